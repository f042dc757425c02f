"""Whether speculation and batching change anything, on a real model: tokens and scores compared bit for bit.

    python bench/exactness.py MODEL SUITE.jsonl [--prompts 12] [--tokens 128] [--trials 20] [--isa avx2 portable]

Texts: every prompt of the suite, with and without lookup, and with as many guesses as there are whether or not they
pay; greedy and sampled. Scores, for each instruction set: random trees, rows of several sequences mixed, prompts cut at
random, and random histories of commits, rejections, rewinds and forks, on every number of threads, all against one row
at a time on one thread. Exit status 1 if anything differs.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from foretell import api
from foretell.backend.protocol import ROOT, Rows, Session, Want
from foretell.engine import isa as instruction_sets
from foretell.engine.native import NativeModel
from foretell.engine.team import choose_threads
from foretell.errors import ForetellError
from foretell.lab.suite import read_suite
from foretell.models.gguf import GGUF
from foretell.models.store import Store
from foretell.models.tokenizer import Tokenizer
from foretell.profile.machine import machine
from foretell.runtime.settings import Options

EAGER: Mapping[int, float] = {1: 1.0, 8: 1.0}  # pass costs under which every guess pays
LOGITS = Want(logits=True)
MOST_ROWS = 20
PIECE = 128

Trial = Callable[[Session, list[int], np.random.Generator], Iterator[tuple[list[int], bytes]]]


@dataclass(slots=True)
class Count:
    """Texts or rows compared and how many of them differed; of texts also tokens, guesses and how many were kept."""

    compared: int = 0
    mismatches: int = 0
    tokens: int = 0
    guesses: int = 0
    kept: int = 0

    def add(self, *, same: bool) -> None:
        """One comparison."""
        self.compared += 1
        self.mismatches += not same


@dataclass(slots=True)
class Truth:
    """Digests of all logits after each text, computed one row at a time."""

    session: Session
    held: list[int] = field(default_factory=list)
    known: dict[tuple[int, ...], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.session.open()

    def of(self, path: list[int]) -> bytes:
        """The digest after the last token of a path."""
        if tuple(path) not in self.known:
            common = 0
            while common < min(len(self.held), len(path) - 1) and self.held[common] == path[common]:
                common += 1
            self.session.rewind(0, common)
            del self.held[common:]
            for token in path[common:]:
                (digest,) = digests(self.session, Rows([token], [ROOT], [0], [0]))
                self.session.commit(0, [0])
                self.held.append(token)
                self.known[tuple(self.held)] = digest
        return self.known[tuple(path)]


def digests(session: Session, rows: Rows) -> list[bytes]:
    """One pass; the digest of each wanted row's logits."""
    logits = session.step(rows, LOGITS).logits
    if logits is None:
        raise ForetellError("the engine returned no logits although they were asked for")
    return [hashlib.sha256(row.tobytes()).digest() for row in logits]


def fill(session: Session, path: Sequence[int]) -> int:
    """A new sequence with these tokens."""
    sequence = session.open()
    for start in range(0, len(path), PIECE):
        piece = path[start : start + PIECE]
        session.step(Rows.chain(piece, sequence, ()), Want())
        session.commit(sequence, range(len(piece)))
    return sequence


def forest(session: Session, text: list[int], rng: np.random.Generator, most: int) -> Iterator[tuple[list[int], bytes]]:
    """A pass over random trees of up to `most` sequences that hold beginnings of the text."""
    before = [text[: int(length)] for length in rng.integers(0, len(text) + 1, int(rng.integers(1, most + 1)))]
    sequences = [fill(session, path) for path in before]
    count = int(rng.integers(2, MOST_ROWS + 1))
    owners = rng.integers(0, len(before), count).tolist()
    tokens = [int(rng.choice(text)) for _ in range(count)]
    parents, paths = list[int](), list[list[int]]()
    for row in range(count):
        mine = [ROOT, *(k for k in range(row) if owners[k] == owners[row])]
        parents.append(mine[-1] if rng.random() < 0.5 else int(rng.choice(mine)))
        above = before[owners[row]] if parents[row] == ROOT else paths[parents[row]]
        paths.append([*above, tokens[row]])
    rows = Rows(tokens, parents, [sequences[k] for k in owners], range(count))
    yield from zip(paths, digests(session, rows), strict=True)


def trees(session: Session, text: list[int], rng: np.random.Generator) -> Iterator[tuple[list[int], bytes]]:
    """Of one sequence."""
    yield from forest(session, text, rng, 1)


def mixed(session: Session, text: list[int], rng: np.random.Generator) -> Iterator[tuple[list[int], bytes]]:
    """Of up to three."""
    yield from forest(session, text, rng, 3)


def cuts(session: Session, text: list[int], rng: np.random.Generator) -> Iterator[tuple[list[int], bytes]]:
    """The text in pieces."""
    sequence, done = session.open(), 0
    while done < len(text):
        piece = text[done : done + int(rng.integers(1, 60))]
        (digest,) = digests(session, Rows.chain(piece, sequence, [len(piece) - 1]))
        session.commit(sequence, range(len(piece)))
        done += len(piece)
        yield text[:done], digest


def histories(session: Session, text: list[int], rng: np.random.Generator) -> Iterator[tuple[list[int], bytes]]:
    """Steps over trees of which a branch or nothing is kept, rewinds, forks; then one row of every sequence."""
    start = text[: int(rng.integers(0, len(text)))]
    held = {fill(session, start): start}
    for _ in range(8):
        sequence = int(rng.choice(list(held)))
        match int(rng.integers(0, 5)):
            case 0:
                length = max(0, len(held[sequence]) - int(rng.integers(0, 10)))
                session.rewind(sequence, length)
                held[sequence] = held[sequence][:length]
            case 1 if len(held) < 3:
                held[session.fork(sequence)] = list(held[sequence])
            case _:
                count = int(rng.integers(1, 9))
                parents = [int(rng.integers(-1, row)) if row else ROOT for row in range(count)]
                tokens = [int(rng.choice(text)) for _ in range(count)]
                session.step(Rows(tokens, parents, [sequence] * count, ()), Want())
                path, row = list[int](), int(rng.integers(-1, count))
                while row != ROOT:
                    path, row = [row, *path], parents[row]
                session.commit(sequence, path)
                held[sequence] = [*held[sequence], *(tokens[k] for k in path)]
    rows = Rows([text[0]] * len(held), [ROOT] * len(held), list(held), range(len(held)))
    yield from zip(([*path, text[0]] for path in held.values()), digests(session, rows), strict=True)


KINDS: dict[str, Trial] = {"trees": trees, "mixed sequences": mixed, "prompt cuts": cuts, "histories": histories}


def compare_scores(store: Store, path: Path, name: str, text: list[int], given: argparse.Namespace) -> dict[str, Count]:
    """All kinds of passes within one instruction set."""
    model = NativeModel.load(path, isa=name, threads=1, cache_dir=store.cache.root, digest=store.digest(path))
    others = [
        NativeModel(path, model.gguf, model.weights, model.kernels, threads, None)
        for threads in range(2, choose_threads(given.threads) + 1)
    ]
    truth, counts = Truth(model.session()), {kind: Count() for kind in KINDS}
    for trial in track(range(given.trials), f"Scores, {name}", console=Console(stderr=True)):
        for number, (kind, passes) in enumerate(KINDS.items()):
            rng = np.random.default_rng([given.seed, number, trial])
            session = [model, *others][trial % (1 + len(others))].session()
            for row, digest in passes(session, text, rng):
                counts[kind].add(same=digest == truth.of(row))
    for each in (*others, model):
        each.close()
    return counts


def compare_texts(
    model: api.Model, prompts: Sequence[str], temperature: float, given: argparse.Namespace
) -> dict[str, Count]:
    """Every prompt by all configurations, against the model without speculation."""
    eager = api.Model(model.backend, EAGER)
    ways = {"lookup": model, "all guesses": eager}
    counts = {way: Count() for way in ways}
    what = f"Texts, temperature {temperature}"
    for seed, prompt in enumerate(track(prompts, what, console=Console(stderr=True)), given.seed):
        options = Options(max_tokens=given.tokens, temperature=temperature, seed=seed)
        plain = model.generate(prompt, **(options | Options(speculation=False)))
        for way, each in ways.items():
            result = each.generate(prompt, **options)
            same = (result.tokens, result.text, result.finish) == (plain.tokens, plain.text, plain.finish)
            counts[way].add(same=same)
            counts[way].tokens += len(plain.tokens)
            counts[way].guesses += result.guessed
            counts[way].kept += round((result.acceptance or 0) * result.guessed)
    return counts


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Everything."""
    prompts = [prompt.text for prompt in read_suite(given.suite)]
    store = Store(given.cache)
    path = store.resolve(given.model)
    result: dict[str, Any] = {
        "model": path.stem,
        "machine": machine(),
        "threads": choose_threads(given.threads),
        "tokens": given.tokens,
        "texts": {},
        "scores": {},
    }
    chosen = (
        prompts if given.prompts is None else prompts[:: max(1, len(prompts) // max(1, given.prompts))][: given.prompts]
    )
    if chosen:
        with api.load(given.model, threads=given.threads, cache_dir=given.cache) as model:
            for temperature in given.temperatures:
                counts = compare_texts(model, chosen, temperature, given)
                result["texts"][str(temperature)] = {way: asdict(count) for way, count in counts.items()}
    if given.trials:
        with GGUF.open(path) as gguf:
            text = Tokenizer.from_gguf(gguf, None).encode("\n\n".join(prompts))[: given.context_tokens]
        for name in given.isa or available():
            counts = compare_scores(store, path, name, text, given)
            result["scores"][name] = {
                kind: {"compared": count.compared, "mismatches": count.mismatches} for kind, count in counts.items()
            }
    return result


def available() -> list[str]:
    """Names of the instruction sets that run here."""
    names = list(instruction_sets.ALL)
    return names[names.index(instruction_sets.host().name) :]


def show(result: dict[str, Any]) -> None:
    """A table for people."""
    table = Table(title=f"{result['model']}: differences, bit for bit")
    for heading in ("what", "how", "compared", "differ", "tokens", "guesses", "kept"):
        table.add_column(heading, justify="left" if heading in {"what", "how"} else "right", no_wrap=True)
    for temperature, ways in result["texts"].items():
        for way, count in ways.items():
            figures = (count[key] for key in ("compared", "mismatches", "tokens", "guesses", "kept"))
            table.add_row(f"texts at {temperature}", way, *map(str, figures))
    for name, kinds in result["scores"].items():
        for kind, count in kinds.items():
            table.add_row(f"scores, {name}", kind, str(count["compared"]), str(count["mismatches"]))
    Console(stderr=True).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether speculation and batching change anything, bit for bit.")
    parser.add_argument("model", help="a name of the catalogue or a GGUF file")
    parser.add_argument("suite", type=Path, help="a JSONL file with the fields klass, id, prompt")
    parser.add_argument("--prompts", type=int, help="only so many, evenly spread; 0: no texts")
    parser.add_argument("--tokens", type=int, default=128, help="of each text")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.8])
    parser.add_argument("--trials", type=int, default=20, help="passes or histories of each kind; 0: no scores")
    parser.add_argument("--context-tokens", type=int, default=200, help="of the text that sequences hold beginnings of")
    parser.add_argument("--isa", nargs="+", choices=list(instruction_sets.ALL), help="all that run here, unless given")
    parser.add_argument("--threads", type=int, help="as many as there are processors, unless given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="the user's cache folder, unless given")
    given = parser.parse_args()
    try:
        result = measure(given)
    except ForetellError as error:
        sys.exit(f"error: {error}")
    counts = [count for part in ("texts", "scores") for group in result[part].values() for count in group.values()]
    result["exact"] = not any(count["mismatches"] for count in counts)
    show(result)
    print(json.dumps(result))
    sys.exit(not result["exact"])


if __name__ == "__main__":
    main()
