"""What Foretell takes beside its passes: time to load, memory, the processor while it waits, Python between passes.

    python bench/footprint.py [MODEL] [--draft NAME] [--loads 5] [--idle-s 10] [--tokens 128] [--context 4096]

Loads and memory are those of the commands that a person types, with a cache folder of their own that is empty at first
and deleted at the end; `chat` is typed into through a pseudoterminal. Linux only: memory and processor time come from
/proc.
"""

import argparse
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

import foretell
from foretell.backend.native import NativeBackend
from foretell.backend.protocol import Rows, Want
from foretell.engine.hyper import Hyper
from foretell.engine.layout import PAGE, page_layer_bytes
from foretell.engine.native import NativeModel
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF
from foretell.models.store import Store
from foretell.models.tokenizer import Tokenizer
from foretell.profile.machine import machine
from foretell.runtime.settings import Options

COMMAND = (sys.executable, "-m", "foretell")
PATIENCE_S = 300  # for an answer of the chat
SETTLE_S = 1.0  # before idleness is measured: threads wait busily for 2 ms before they sleep
MARGIN = 1.1, 300_000_000  # resident memory may be so many times the packed weights, and so many bytes more
MUST = {"first": 20.0, "later": 1.0, "outside": 0.3, "draft": 1.02}  # seconds, seconds, milliseconds, a ratio
DRAFTS = (1, 4, 8)  # steps of the drafts that are timed
DRAFT_CONTEXT = 200  # tokens before them
LIKELY = Want(top=1)  # what a draft is asked for: its best token and how likely it is

WORDS = "word " * 100
PROGRAM = "".join(
    f"def area_{n}(width, height):\n    total = width * height\n    return total + {n}\n\n\n" for n in range(12)
)
QUESTION = f"Rename total to result everywhere in this program and print all of it:\n\n{PROGRAM}"
WAYS: Mapping[str, Options] = {
    "no guesses": {"speculation": False},
    "lookup": {},
    "lookup, sampled": {"temperature": 0.8, "top_p": 0.95, "repeat_penalty": 1.1, "seed": 1},
}


def generate(path: Path) -> tuple[float, float]:
    """Seconds to load, and of the whole command that generates one token."""
    begin = time.perf_counter()
    command = [*COMMAND, "generate", "Hello", "--model", str(path), "--max-tokens", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - begin
    if done.returncode:
        raise ForetellError(f"`foretell generate` failed: {done.stderr.strip()}")
    return float(json.loads(done.stdout)["load_s"]), took_s


@dataclass(slots=True)
class Chat:
    """`foretell chat --json` at the other end of a terminal."""

    process: int
    terminal: int
    seen: str = ""

    def until(self, pattern: str) -> str:
        """Wait for output that ends like the pattern; returns what came since the last call."""
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(f"(?:{pattern})\\Z", self.seen):
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, deadline - time.monotonic()))
            try:
                more = os.read(self.terminal, 65536) if ready else b""
            except OSError:  # how Linux says that the other side is closed
                more = b""
            if not more:
                raise ForetellError(f"`foretell chat` ended or said nothing; its last words: {self.seen[-300:]!r}")
            self.seen += more.decode(errors="replace")
        seen, self.seen = self.seen, ""
        return seen

    def ask(self, line: str) -> dict[str, Any]:
        """Type a line and read the answer."""
        os.write(self.terminal, f"{line}\n".encode())
        answer = self.until(r"(?:\{.*\}|error: [^\r\n]*)\r\n> ")
        start = answer.rfind('{"text"')
        if start < 0:
            raise ForetellError(f"`foretell chat` said: {answer.removesuffix('> ').rpartition('error: ')[2].strip()}")
        return dict(json.loads(answer[start:].removesuffix("> ")))

    def processor_s(self) -> float:
        """Processor time of all its threads so far, in steps of a clock tick (10 ms)."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def idle_ms(self, for_s: float) -> float:
        """Milliseconds of processor time that it uses while nobody types."""
        time.sleep(SETTLE_S)
        before = self.processor_s()
        time.sleep(for_s)
        return 1000 * (self.processor_s() - before)

    def memory(self, name: str) -> int:
        """Bytes that /proc/PID/status has under a name."""
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{self.process}/status").read_text(), re.MULTILINE)
        if found is None:
            raise ForetellError(f"/proc/{self.process}/status does not tell {name}")
        return 1024 * int(found[1])


@contextmanager
def chatting(path: Path, context: int, system: str) -> Iterator[Chat]:
    """A chat that waits for its first line. It is asked to leave at the end."""
    arguments = [*COMMAND, "chat", "--json", "--model", str(path), "--context", str(context), "--system", system]
    process, terminal = pty.fork()
    if not process:
        os.execve(sys.executable, arguments, os.environ | {"TERM": "dumb"})  # noqa: S606 — an argument list, no shell
    chat = Chat(process, terminal)
    try:
        chat.until("> ")
        yield chat
        os.write(terminal, b"\x04")
        _, status = os.waitpid(process, 0)
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise
    finally:
        os.close(terminal)
    if status:
        raise ForetellError(f"`foretell chat` ended with status {os.waitstatus_to_exitcode(status)} on Ctrl-D")


def waiting(path: Path, packed_bytes: int, context: int, idle_s: float) -> dict[str, Any]:
    """Memory and idleness of a chat, before its first answer and after one to a prompt that fills half the context."""
    with GGUF.open(path) as gguf:
        hyper = Hyper.read(gguf)
        tokens_a_word = len(Tokenizer.from_gguf(gguf, None).encode(WORDS)) / WORDS.count(" ")
    page_bytes = hyper.layers * page_layer_bytes(hyper.kv_heads, hyper.head_size)
    with chatting(path, context, "word " * int(context / 2 / tokens_a_word)) as chat:
        fresh_ms, fresh_bytes = chat.idle_ms(idle_s), chat.memory("VmRSS")
        answer = chat.ask("Name three birds and say one sentence about each.")
        after_ms, held_bytes, peak_bytes = chat.idle_ms(idle_s), chat.memory("VmRSS"), chat.memory("VmHWM")
    held = answer["prompt_tokens"] + len(answer["tokens"])
    kv_bytes = page_bytes * -(-held // PAGE)
    return {
        "idle_s": idle_s,
        "idle_ms": {"before": round(fresh_ms, 1), "after": round(after_ms, 1)},
        "packed_bytes": packed_bytes,
        "held_tokens": held,
        "kv_bytes": kv_bytes,
        "resident_bytes": {"before": fresh_bytes, "after": held_bytes, "peak": peak_bytes},
        "resident_limit_bytes": {
            "before": round(MARGIN[0] * packed_bytes) + MARGIN[1],
            "after": round(MARGIN[0] * packed_bytes) + MARGIN[1] + kv_bytes,
        },
    }


@dataclass(slots=True)
class Clock:
    """When native code ran. calls: (whether a pass began, start, end) of each call, in seconds."""

    calls: list[tuple[bool, float, float]] = field(default_factory=list)

    def timed(self, call: Callable[..., None], *, begins: bool) -> Callable[..., None]:
        """The same call, noted."""

        def noted(*arguments: int) -> None:
            start = time.perf_counter()
            call(*arguments)
            self.calls.append((begins, start, time.perf_counter()))

        return noted

    def outside_ms(self) -> list[float]:
        """For each pass, milliseconds outside native code from its beginning to that of the next."""
        starts = [place for place, (begins, _, _) in enumerate(self.calls) if begins]
        return [
            1000 * (self.calls[b][1] - self.calls[a][1] - sum(end - start for _, start, end in self.calls[a:b]))
            for a, b in pairwise(starts)
        ]


def outside(path: Path, tokens: int) -> dict[str, dict[str, float]]:
    """Per way of generating: milliseconds of a round outside native code, and rounds."""
    figures = {}
    with foretell.load(path) as model:
        if not isinstance(model.backend, NativeBackend):
            raise ForetellError(f"{path} is not run by the native engine: give a GGUF file")
        clock, team = Clock(), model.backend.model.team._shared  # noqa: SLF001 — native calls have no public name
        for call, begins in (("run_pass", True), ("continue_pass", False)):
            setattr(team, call, clock.timed(getattr(team, call), begins=begins))
        for name, options in WAYS.items():
            given: Options = {"max_tokens": tokens, **options}
            stream = model.stream(QUESTION, **given)
            next(stream)
            clock.calls.clear()  # those of the prompt
            result = stream.result
            rounds = clock.outside_ms()
            if len(rounds) < 2:
                raise ForetellError(f"{len(rounds) + 1} rounds are too few to say anything: raise --tokens")
            figures[name] = {
                "median": round(median(rounds), 4),
                "mean": round(mean(rounds), 4),
                "p95": round(quantiles(rounds, n=20)[-1], 4),
                "rounds": len(rounds),
                "tokens_per_round": round(result.tokens_per_round or 1.0, 2),
            }
    return figures


def draft_loop(path: Path, rounds: int) -> dict[str, Any]:
    """Drafts in one native call beside passes over one row: in each round each draft once, in random order, and passes.

    `ratio`: of a draft of k steps to k times the round's median pass, median over rounds.
    """
    model = NativeModel.load(path, cache_dir=Path(os.environ["FORETELL_CACHE"]))
    session = model.session()
    sequence = session.open()
    session.step(Rows.chain(range(1, 1 + DRAFT_CONTEXT), sequence, ()), LIKELY)
    session.commit(sequence, range(DRAFT_CONTEXT))

    def drafted(steps: int) -> float:
        session.rewind(sequence, DRAFT_CONTEXT)
        begin = time.perf_counter()
        session.draft(sequence, [1], steps, LIKELY)
        return 1000 * (time.perf_counter() - begin)

    def passes() -> list[float]:
        session.rewind(sequence, DRAFT_CONTEXT)
        taken, token = [], 1
        for _ in range(max(DRAFTS)):
            begin = time.perf_counter()
            token = session.step(Rows.chain([token], sequence), LIKELY).chosen[0]
            session.commit(sequence, [0])
            taken.append(1000 * (time.perf_counter() - begin))
        return taken

    times: dict[int, list[float]] = {steps: [] for steps in DRAFTS}
    alone: list[float] = []  # each round's median pass
    order, rng = [0, *DRAFTS], random.Random(0)  # noqa: S311 — an order, no secret
    for _ in range(rounds):
        rng.shuffle(order)
        for steps in order:
            if steps:
                times[steps].append(drafted(steps))
            else:
                alone.append(median(passes()))
    model.close()
    ratios = {k: median(a / (k * b) for a, b in zip(times[k], alone, strict=True)) for k in DRAFTS}
    return {
        "pass_ms": round(median(alone), 3),
        "steps": {str(k): {"median_ms": round(median(times[k]), 3), "ratio": round(ratios[k], 4)} for k in DRAFTS},
        "rounds": rounds,
    }


def show(report: Mapping[str, Any]) -> Table:
    """The report as a table with what is asked for."""
    table = Table("what", "measured", "must be", title=f"{report['model']}, {report['machine']}")
    first, later = report["first_load_s"], report["later_load_s"]
    table.add_row("first load, with packing", f"{first:.2f} s", f"≤ {MUST['first']:.0f} s")
    table.add_row(f"later loads, median of {later['count']}", f"{later['median']:.2f} s", f"≤ {MUST['later']:.1f} s")
    table.add_row("a command that generates one token", f"{report['command_s']:.2f} s", "")
    resident, limit = report["resident_bytes"], report["resident_limit_bytes"]
    megabytes = "{:.0f} MB".format
    for when, what in (("before", "memory, loaded"), ("after", f"memory, holding {report['held_tokens']} tokens")):
        table.add_row(what, megabytes(resident[when] / 1e6), f"≤ {megabytes(limit[when] / 1e6)}")
    table.add_row("memory, highest", megabytes(resident["peak"] / 1e6), "")
    for when, ms in report["idle_ms"].items():
        table.add_row(f"processor, {report['idle_s']:.0f} s {when} an answer", f"{ms:.0f} ms", "0 ms")
    for name, round_ms in report["outside_ms"].items():
        figures = f"{round_ms['median']:.3f} ms a round"
        table.add_row(f"outside native code, {name}", figures, f"≤ {MUST['outside']} ms")
    loop = report["draft_loop"]
    table.add_row(f"draft {loop['model']}, a pass over one row", f"{loop['pass_ms']:.2f} ms", "")
    for steps, figures in loop["steps"].items():
        what = f"draft of {steps} steps / {steps} passes"
        table.add_row(what, f"{figures['ratio']:.3f}", f"≤ {MUST['draft']}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="name or path; the catalogue's default")
    parser.add_argument("--draft", help="name or path of the model whose draft loop is timed; without: the same")
    parser.add_argument("--loads", type=int, default=5, help="later loads")
    parser.add_argument("--idle-s", type=float, default=10.0, help="seconds of waiting")
    parser.add_argument("--tokens", type=int, default=128, help="generated for the time outside native code")
    parser.add_argument("--rounds", type=int, default=40, help="of the draft loop's timing")
    parser.add_argument("--context", type=int, default=4096, help="of the chat; half of it is filled")
    parser.add_argument("--json", action="store_true", help="print only the line of JSON")
    given = parser.parse_args()
    try:
        report = measure(given)
    except (ForetellError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not given.json:
        Console().print(show(report))
    print(json.dumps(report))
    return 0


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Everything, in a cache folder that is deleted at the end."""
    if not Path("/proc/self/stat").exists():
        raise ForetellError("there is no /proc here: run this on Linux")
    store = Store()
    name = given.model or store.catalogue.default
    path, draft = store.resolve(name), store.resolve(given.draft or name)
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as folder:
        os.environ["FORETELL_CACHE"] = folder
        first_s, _ = generate(path)
        later = [generate(path) for _ in range(given.loads)]
        (packed,) = Path(folder, "packed").glob("*.pack")
        loads = [load_s for load_s, _ in later]
        return {
            "model": name,
            "machine": machine(),
            "first_load_s": round(first_s, 3),
            "later_load_s": {
                "median": round(median(loads), 3),
                "max": round(max(loads), 3),
                "count": len(loads),
            },
            "command_s": round(median(command_s for _, command_s in later), 3),
            **waiting(path, packed.stat().st_size, given.context, given.idle_s),
            "outside_ms": outside(path, given.tokens),
            "draft_loop": {"model": given.draft or name, **draft_loop(draft, given.rounds)},
        }


if __name__ == "__main__":
    sys.exit(main())
