"""How far a quantised engine's scores are from a float32 forward pass of the same, dequantised weights.

    python bench/agreement.py MODEL.gguf TEXTS [--peer-python peer/bin/python] [--tokens 20000]

Both our engine and (with --peer-python) llama.cpp score the same tokens in windows of fresh context. Printed for each:
the mean over tokens of KL(reference || engine) in nats, and how often the likeliest token is the reference's. The
ratio of the means gets a bootstrap bound over windows, since tokens of one window share their context.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from foretell.backend.protocol import Rows, Want
from foretell.engine.native import NativeModel
from foretell.engine.reference import Reference
from foretell.errors import ForetellError
from foretell.lab.peers.llama_cpp import LlamaCpp
from foretell.models.gguf import GGUF
from foretell.models.tokenizer import Tokenizer

Logits = NDArray[np.float32]  # [tokens, vocabulary]

RESAMPLES = 20_000
PIECE = 128  # rows scored by one pass of our engine, and rows compared at a time: bounds memory
SHORTEST = 40  # characters: shorter strings of a record are names and categories


class Scorer(Protocol):
    """Scores of each token of a window, in a fresh context."""

    def __call__(self, tokens: Sequence[int], /) -> Logits:
        """Scores [tokens, vocabulary]."""
        ...


@dataclass(slots=True)
class Record:
    """One engine against the reference. divergences, agreements: one array [tokens] for each window."""

    divergences: list[NDArray[np.float64]] = field(default_factory=list)
    agreements: list[NDArray[np.bool_]] = field(default_factory=list)
    seconds: float = 0.0

    def compare(self, reference: Logits, scorer: Scorer, window: Sequence[int]) -> None:
        """Score a window and add how it differs."""
        begin = time.perf_counter()
        scores = scorer(window)
        self.seconds += time.perf_counter() - begin
        if not np.isfinite(scores).all():
            raise ForetellError("the engine gave scores that are not finite: report this with the model's name")
        self.divergences.append(divergence(reference, scores))
        self.agreements.append(reference.argmax(axis=1) == scores.argmax(axis=1))

    def summary(self) -> dict[str, float]:
        """Means over all tokens. mean_kl_rest leaves out each window's first token.

        Qwen's models give the first token activations so large that 8 bits lose most of them: its divergence, of
        several nats, is a thousand times that of the others and would hide them.
        """
        divergences, agreements = np.concatenate(self.divergences), np.concatenate(self.agreements)
        return {
            "mean_kl": float(divergences.mean()),
            "mean_kl_rest": float(np.concatenate([window[1:] for window in self.divergences]).mean()),
            "p99_kl": float(np.quantile(divergences, 0.99)),
            "greedy_agreement": float(agreements.mean()),
            "seconds": self.seconds,
        }


class Native:
    """Our engine, through the same session that generation uses."""

    def __init__(self, path: Path, threads: int, context: int) -> None:
        self.model = NativeModel.load(path, threads=threads, context=context)
        self.session = self.model.session()

    def __call__(self, tokens: Sequence[int], /) -> Logits:
        """Scores [tokens, vocabulary], by passes of a prompt's size."""
        sequence = self.session.open()
        pieces = []
        for start in range(0, len(tokens), PIECE):
            piece = tokens[start : start + PIECE]
            scores = self.session.step(Rows.chain(piece, sequence), Want(logits=True)).logits
            if scores is None:
                raise ForetellError("the engine returned no logits although they were asked for")
            pieces.append(scores)
            self.session.commit(sequence, range(len(piece)))
        self.session.close(sequence)
        return np.concatenate(pieces)


def divergence(reference: Logits, scores: Logits) -> NDArray[np.float64]:
    """KL(softmax(reference) || softmax(scores)) of each row in nats, computed in float64."""
    result = np.empty(len(reference))
    for start in range(0, len(reference), PIECE):
        piece = slice(start, start + PIECE)
        p, q = log_softmax(reference[piece]), log_softmax(scores[piece])
        result[piece] = (np.exp(p) * (p - q)).sum(axis=1)
    return result


def log_softmax(scores: Logits) -> NDArray[np.float64]:
    """Along the last axis."""
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def upper_bound(ours: Record, theirs: Record, skip: int = 0) -> float:
    """The 95 % quantile of (our mean / their mean) when whole windows are drawn again with replacement.

    skip: how many tokens at the start of each window to leave out.
    """
    pairs = zip(ours.divergences, theirs.divergences, strict=True)
    sums = np.array([[a[skip:].sum(), b[skip:].sum()] for a, b in pairs])
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    totals = sums[drawn].sum(axis=1)
    return float(np.quantile(totals[:, 0] / totals[:, 1], 0.95))


def texts(path: Path) -> list[str]:
    """The texts of a file or of all files in a folder, taken in turn from each file so that all kinds come up early.

    Of JSON and JSON lines: every record's long strings. Any other file is one text.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise ForetellError(f"no texts at {path}: give a file or a folder of them")
    sources = [iter(list(_texts(file))) for file in files if file.name not in {"LICENSE", "README.md"}]
    result: list[str] = []
    while sources:
        remaining = []
        for source in sources:
            text = next(source, None)
            if text is not None:
                result.append(text)
                remaining.append(source)
        sources = remaining
    return result


def _texts(path: Path) -> Iterator[str]:
    content = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".jsonl":
            records = [json.loads(line) for line in content.splitlines() if line.strip()]
        case ".json":
            loaded = json.loads(content)
            records = loaded if isinstance(loaded, list) else [loaded]
        case _:
            records = [content]
    for record in records:
        text = "\n\n".join(_strings(record))
        if text:
            yield text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= SHORTEST:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def windows(model: Path, path: Path, count: int, size: int) -> list[list[int]]:
    """`count` tokens in windows of `size`, each beginning as a prompt of this model begins."""
    with GGUF.open(model) as gguf:
        tokenizer = Tokenizer.from_gguf(gguf, None)
    tokens: list[int] = []
    for text in texts(path):
        tokens += tokenizer.encode(text + "\n\n")
        if len(tokens) >= count:
            break
    else:
        raise ForetellError(f"{path} holds {len(tokens)} tokens, fewer than {count}: ask for fewer with --tokens")
    begin = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    step = size - len(begin)
    return [begin + tokens[start : min(start + step, count)] for start in range(0, count, step)]


def machine() -> dict[str, Any]:
    """What it ran on."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {"processor": names[0] if names else platform.processor(), "cpus": os.cpu_count()}


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run all engines over all windows."""
    parts = windows(given.model, given.texts, given.tokens, given.window)
    reference = Reference(given.model, keep=not given.frugal)
    records = {"ours": Record()}
    scorers: dict[str, Scorer] = {"ours": Native(given.model, given.threads, given.window)}
    peer = None
    if given.peer_python is not None:
        peer = LlamaCpp(
            given.peer_python,
            given.model,
            threads=given.threads,
            context=given.window,
            rows=given.window,
            repack=not given.peer_plain,
        )
        records["peer"], scorers["peer"] = Record(), peer.logits
    try:
        for window in track(parts, "Scoring", console=Console(stderr=True)):
            expected = reference.logits(window)
            for name, record in records.items():
                record.compare(expected, scorers[name], window)
    finally:
        if peer is not None:
            peer.close()
        reference.close()
    result: dict[str, Any] = {
        "model": given.model.name,
        "machine": machine(),
        "threads": given.threads,
        "tokens": sum(len(window) for window in parts),
        "window_tokens": given.window,
        **{name: record.summary() for name, record in records.items()},
    }
    if peer is not None:
        result["peer"] |= {"name": "llama.cpp", "version": peer.version, "features": peer.features}
        result["kl_ratio"] = result["ours"]["mean_kl"] / result["peer"]["mean_kl"]
        result["kl_ratio_upper95"] = upper_bound(records["ours"], records["peer"])
        result["kl_rest_ratio"] = result["ours"]["mean_kl_rest"] / result["peer"]["mean_kl_rest"]
        result["kl_rest_ratio_upper95"] = upper_bound(records["ours"], records["peer"], skip=1)
        result["agreement_difference"] = result["ours"]["greedy_agreement"] - result["peer"]["greedy_agreement"]
    return result


def show(result: dict[str, Any]) -> None:
    """A table for people."""
    table = Table(title=f"{result['model']}: {result['tokens']} tokens against a float32 forward pass")
    for heading in ("engine", "mean KL, nats", "without first", "99 % KL", "greedy equal", "time, s"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for name in ("ours", "peer"):
        if name in result:
            row = result[name]
            figures = (
                f"{row['mean_kl']:.6f}",
                f"{row['mean_kl_rest']:.6f}",
                f"{row['p99_kl']:.5f}",
                f"{row['greedy_agreement']:.2%}",
            )
            table.add_row(row.get("name", name), *figures, f"{row['seconds']:.0f}")
    console = Console(stderr=True)
    console.print(table)
    if "kl_ratio" in result:
        for key, what in (("kl_ratio", "all tokens"), ("kl_rest_ratio", "without each window's first")):
            bound = result[f"{key}_upper95"]
            console.print(f"ours / llama.cpp, {what}: {result[key]:.3f}, at most {bound:.3f} (95 %)")


def main() -> None:
    parser = argparse.ArgumentParser(description="Agreement with a float32 forward pass of the dequantised weights.")
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("texts", type=Path, help="a text, JSON or JSON-lines file, or a folder of them")
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=512, help="tokens of context")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--frugal", action="store_true", help="don't keep the float32 weights in memory: slower")
    parser.add_argument("--peer-python", type=Path, help="an interpreter with llama-cpp-python, to compare with")
    parser.add_argument("--peer-plain", action="store_true", help="no rearranged weights (REPACK, AMX) in llama.cpp")
    try:
        result = measure(parser.parse_args())
    except ForetellError as error:
        sys.exit(f"error: {error}")
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
