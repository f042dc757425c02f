"""Are our token ids those of llama.cpp, and how long do opening a tokenizer and encoding take?

    python bench/tokenizer.py --model M.gguf M2.gguf ... --texts suite.jsonl data.json ... --peer-python peer/bin/python

Compared for each model, on every string in the given files and on hard texts made here: ids with control tokens
recognised and not, each token's bytes, end tokens. Prints a table, then one JSON line; exit status 1 on any difference.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from foretell.models.gguf import GGUF
from foretell.models.tokenizer import Tokenizer
from hard_texts import HANDWRITTEN, every_code_point, invented

WORKER = Path(__file__).with_name("peers") / "llama_cpp_vocabulary.py"
INVENTED = 1500
OPENINGS = 5


class Peer:
    """llama.cpp's tokenizer in a process of its own."""

    def __init__(self, worker: "subprocess.Popen[str]") -> None:
        self._worker = worker

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command and wait for the answer."""
        stdin, stdout = self._worker.stdin, self._worker.stdout
        if stdin is None or stdout is None:
            raise SystemExit("the llama.cpp worker has no pipes")
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise SystemExit(f"the llama.cpp worker ended with status {self._worker.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def peer(python: str, model: Path) -> Iterator[Peer]:
    """A worker for one model; -P keeps its folder, with files named after the library, off the module path."""
    command = [python, "-P", str(WORKER), str(model.resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        yield Peer(worker)


def strings(value: Any) -> Iterator[str]:
    """Every string inside a JSON value."""
    match value:
        case str() if value:
            yield value
        case list():
            for each in value:
                yield from strings(each)
        case dict():
            yield from strings(list(value.values()))


def read_texts(files: Sequence[Path]) -> list[str]:
    """The different strings of JSON and JSON-lines files, in order."""
    found: dict[str, None] = {}
    for file in files:
        content = file.read_text(encoding="utf-8")
        parts = content.splitlines() if file.suffix == ".jsonl" else [content]
        for part in parts:
            found.update(dict.fromkeys(strings(json.loads(part))))
    return list(found)


def open_tokenizer(model: Path) -> tuple[Tokenizer, float, float]:
    """The tokenizer, the seconds of the first opening, and the least of later ones, when the parsed form is on disk."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(OPENINGS):
            with GGUF.open(model) as gguf:
                begin = time.perf_counter()
                tokenizer = Tokenizer.from_gguf(gguf, Path(folder))
                seconds.append(time.perf_counter() - begin)
    return tokenizer, seconds[0], min(seconds[1:])


def differences(ours: Sequence[list[int]], theirs: Sequence[list[int]], texts: Sequence[str], console: Console) -> int:
    """How many texts have other ids; the first few are shown."""
    wrong = [i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
    for i in wrong[:5]:
        console.print(f"{texts[i][:80]!r}: ours {ours[i][:12]}, llama.cpp's {theirs[i][:12]}", markup=False)
    return len(wrong)


def compare(model: Path, python: str, texts: Sequence[str], console: Console) -> dict[str, Any]:
    """One model's line of the result."""
    tokenizer, first_s, later_s = open_tokenizer(model)
    with peer(python, model) as rival:
        about = rival.ask(op="describe")
        result: dict[str, Any] = {"peer_version": about["version"], "texts": len(texts)}
        for name, special in (("mismatches", False), ("mismatches_special", True)):
            begin = time.perf_counter()
            ours = [tokenizer.encode(text, special=special) for text in texts]
            seconds = time.perf_counter() - begin
            theirs = rival.ask(op="tokenise", texts=texts, special=special)
            result[name] = differences(ours, theirs["ids"], texts, console)
            n_tokens = sum(map(len, ours))
            result["encode_tokens_per_s"] = round(n_tokens / seconds)
            result["peer_encode_tokens_per_s"] = round(n_tokens / theirs["seconds"])
    size = range(tokenizer.vocabulary)
    result["piece_mismatches"] = sum(tokenizer.token_bytes(i).hex() != about["pieces"][i] for i in size)
    result["piece_mismatches"] += sum(tokenizer.text_bytes(i).hex() != about["shown"][i] for i in size)
    result["end_tokens_equal"] = sorted(tokenizer.end_ids) == about["ends"]
    result["add_bos_equal"] = tokenizer.add_bos == about["add_bos"]
    return result | {"first_open_s": round(first_s, 3), "open_s": round(later_s, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="+", required=True)
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help="JSON or JSON-lines files")
    parser.add_argument("--peer-python", required=True, help="an interpreter that has llama-cpp-python")
    options = parser.parse_args()
    console = Console(stderr=True)
    texts = [*read_texts(options.texts), *HANDWRITTEN, *invented(INVENTED), *every_code_point()]
    results = {model.stem: compare(model, options.peer_python, texts, console) for model in options.model}
    table = Table("", *results)
    for key in next(iter(results.values())):
        table.add_row(key, *(str(result[key]) for result in results.values()))
    console.print(table)
    print(json.dumps({"machine": platform.processor() or platform.machine(), "models": results}))
    same = all(
        not result["mismatches"] + result["mismatches_special"] + result["piece_mismatches"]
        and result["end_tokens_equal"]
        and result["add_bos_equal"]
        for result in results.values()
    )
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
