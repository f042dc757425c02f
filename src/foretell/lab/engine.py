"""What passes cost, ours and a rival's, taken in turns.

A round times every row count once, in shuffled order; beside each of our passes stand one reading of all packed
weights, one run of the dot-product peak and the rival's pass over the same tokens, so that what disturbs the machine
disturbs all of them.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, sleep
from typing import Any, Final, Protocol

from foretell.accept.sampling import Sampling
from foretell.backend.protocol import Rows, Want
from foretell.engine.native import PIECE_ROWS, NativeModel
from foretell.lab.peers.llama_cpp import LlamaCpp
from foretell.profile.probe import Probe

COUNTS: Final = (*range(1, 17), 32, 64)
PROMPT_TOKENS: Final = 512
SAMPLED_COUNT: Final = 8  # the pass that is also timed with sampling
SAMPLED: Final = Want(Sampling(temperature=0.8, top_p=0.95, seed=1))
_SETTLE_S: Final = 0.03  # after a pass: threads wait busily for a while (OpenMP up to 15 ms) before they sleep

Times = dict[int, list[float]]  # row count → seconds


class Side(Protocol):
    """An engine with one sequence."""

    def extend(self, tokens: Sequence[int], start: int) -> None:
        """Hold these tokens from `start` on."""
        ...

    def pass_s(self, tokens: Sequence[int], start: int) -> float:
        """Seconds of a pass over tokens at `start`, all scored; they are not kept."""
        ...

    def prompt_s(self, tokens: Sequence[int]) -> float:
        """Seconds to read a prompt and score its last token. Whatever the sequence held is forgotten."""
        ...


class Ours:
    """Our engine."""

    def __init__(self, model: NativeModel) -> None:
        self.session = model.session()
        self.sequence = self.session.open()

    def extend(self, tokens: Sequence[int], start: int) -> None:
        """Hold these tokens from `start` on."""
        self.session.rewind(self.sequence, start)
        self._read(tokens)

    def pass_s(self, tokens: Sequence[int], start: int, want: Want | None = None) -> float:
        """Seconds of a pass over tokens at `start`, all scored; they are not kept."""
        self.session.rewind(self.sequence, start)
        begin = perf_counter()
        self.session.step(Rows.chain(tokens, self.sequence), want or Want())
        return perf_counter() - begin

    def prompt_s(self, tokens: Sequence[int]) -> float:
        """Seconds to read a prompt and score its last token."""
        self.session.rewind(self.sequence, 0)
        begin = perf_counter()
        self._read(tokens)
        return perf_counter() - begin

    def _read(self, tokens: Sequence[int]) -> None:
        for start in range(0, len(tokens), PIECE_ROWS):
            piece = tokens[start : start + PIECE_ROWS]
            last = [len(piece) - 1] if start + len(piece) == len(tokens) else []
            self.session.step(Rows.chain(piece, self.sequence, last), Want())
            self.session.commit(self.sequence, range(len(piece)))


class Theirs:
    """llama.cpp behind its worker process, which does the timing."""

    def __init__(self, peer: LlamaCpp) -> None:
        self.peer = peer

    def extend(self, tokens: Sequence[int], start: int) -> None:
        """Hold these tokens from `start` on."""
        for first in range(0, len(tokens), PROMPT_TOKENS):
            self.peer.pass_s(tokens[first : first + PROMPT_TOKENS], start + first, "none")

    def pass_s(self, tokens: Sequence[int], start: int) -> float:
        """Seconds of a pass over tokens at `start`, all scored; they are not kept."""
        return self.peer.pass_s(tokens, start, "all")

    def prompt_s(self, tokens: Sequence[int]) -> float:
        """Seconds to read a prompt and score its last token."""
        return self.peer.pass_s(tokens, 0, "last")


@dataclass(slots=True)
class Measured:
    """Everything that was timed.

    ours, theirs: context → row count → seconds. prompts, their_prompts, sampled: seconds. bandwidth, products, peak:
    rates as `Probe` gives them.
    """

    contexts: Sequence[int]
    ours: dict[int, Times] = field(default_factory=dict)
    theirs: dict[int, Times] = field(default_factory=dict)
    prompts: list[float] = field(default_factory=list)
    their_prompts: list[float] = field(default_factory=list)
    sampled: list[float] = field(default_factory=list)
    bandwidth: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)


def steps(contexts: Sequence[int], rounds: int) -> int:
    """How often `measure` reports progress."""
    return rounds * (1 + len(contexts) * len(COUNTS))


def measure(
    model: NativeModel,
    probe: Probe,
    peer: LlamaCpp | None,
    contexts: Iterable[int],
    rounds: int,
    progress: Callable[[], None] = lambda: None,
) -> Measured:
    """Take `rounds` interleaved measurements of everything, contexts in ascending order."""
    out = Measured(sorted(set(contexts)))
    # Ordinary ids: both sides look rows of an embedding up, and no kernel depends on values.
    chance = random.Random(0)  # noqa: S311 — nothing secret
    text = [chance.randrange(model.hyper.vocabulary) for _ in range(max(PROMPT_TOKENS, *out.contexts) + max(COUNTS))]
    ours, theirs = Ours(model), None if peer is None else Theirs(peer)
    for side in (ours, theirs):
        if side is not None:  # buffers of all sizes are made before anything counts
            side.prompt_s(text[:PROMPT_TOKENS])
            for count in COUNTS:
                side.pass_s(text[:count], 0)
    course = _Course(out, ours, theirs, probe, text, rounds, chance, progress)
    course.prompts()
    before = 0
    for context in out.contexts:
        course.passes(before, context)
        before = context
    ours.session.close(ours.sequence)
    return out


@dataclass(frozen=True, slots=True)
class _Course:
    """Who takes part, over which tokens, how often; what is timed goes to `out`."""

    out: Measured
    ours: Ours
    theirs: Theirs | None
    probe: Probe
    text: Sequence[int]
    rounds: int
    chance: random.Random
    progress: Callable[[], None]

    def prompts(self) -> None:
        """Prompts of both sides; ours holds nothing afterwards."""
        text = self.text[:PROMPT_TOKENS]
        for _ in range(self.rounds):
            for mine in self._turns():
                if mine:
                    self.out.prompts.append(self.ours.prompt_s(text))
                elif self.theirs is not None:
                    self.out.their_prompts.append(self.theirs.prompt_s(text))
                sleep(_SETTLE_S)
            self.progress()
        self.ours.session.rewind(self.ours.sequence, 0)

    def passes(self, held: int, context: int) -> None:
        """Passes of all row counts at a context; both sides hold the first `held` tokens of it already."""
        self.ours.extend(self.text[held:context], held)
        if self.theirs is not None:
            self.theirs.extend(self.text[held:context], held)
        mine: Times = {n: [] for n in COUNTS}
        other: Times = {n: [] for n in COUNTS}
        for _ in range(self.rounds):
            for count in self.chance.sample(COUNTS, len(COUNTS)):
                tokens = self.text[context : context + count]
                for our_turn in self._turns():
                    if our_turn:
                        mine[count].append(self._our_turn(tokens, context))
                    elif self.theirs is not None:
                        other[count].append(self.theirs.pass_s(tokens, context))
                    sleep(_SETTLE_S)
                self.progress()
        self.out.ours[context] = mine
        if self.theirs is not None:
            self.out.theirs[context] = other

    def _our_turn(self, tokens: Sequence[int], context: int) -> float:
        """Seconds of our pass; beside it stands what it is compared with."""
        took_s = self.ours.pass_s(tokens, context)
        self.out.bandwidth.append(self.probe.bandwidth_gb_s())
        self.out.peak.append(self.probe.peak_gmac_s())
        if len(tokens) == 1:
            self.out.products.append(self.probe.products_gb_s(self.ours.session, self.ours.sequence))
        if len(tokens) == SAMPLED_COUNT and context == self.out.contexts[0]:
            self.out.sampled.append(self.ours.pass_s(tokens, context, SAMPLED))
        return took_s

    def _turns(self) -> list[bool]:
        """Who is next: True is us."""
        return [True] if self.theirs is None else self.chance.sample([True, False], 2)


def report(measured: Measured, probe: Probe) -> dict[str, Any]:
    """The figures by their stable names; `peer` is left for the caller to complete.

    over_bound: T(n) / max(T(1), n * row_gmac / P), from medians. over_peer: our median / the rival's. noise: what a
    typical median of our passes is above the best; near 1 on a quiet machine.
    """
    noise = [median(values) / min(values) for times in measured.ours.values() for values in times.values()]
    peak = median(measured.peak)
    contexts: dict[str, dict[str, Any]] = {}
    for context, times in measured.ours.items():
        middle = {n: median(values) for n, values in times.items()}
        bound = {n: max(middle[1], n * probe.row_gmac / peak) for n in middle}
        contexts[str(context)] = {"t_ms": _t_ms(times)} | {
            "over_bound": {str(n): round(middle[n] / bound[n], 4) for n in middle}
        }
        if context in measured.theirs:
            theirs = {n: median(values) for n, values in measured.theirs[context].items()}
            contexts[str(context)]["over_peer"] = {str(n): round(middle[n] / theirs[n], 4) for n in middle}
    bandwidth, products = median(measured.bandwidth), median(measured.products)
    return {
        "contexts": contexts,
        "prompt_tokens_per_s": round(PROMPT_TOKENS / median(measured.prompts), 2),
        "bandwidth_gb_s": round(bandwidth, 3),
        "read_gb_s": round(products, 3),
        "peak_gmac_s": round(peak, 2),
        "read_share": round(products / bandwidth, 4),
        "row_gmac": round(probe.row_gmac, 6),
        "matrix_bytes": probe.matrix_bytes,
        "reading": probe.reading,
        "sampled_t_ms": _t_ms({SAMPLED_COUNT: measured.sampled}),
        "noise": round(median(noise), 4),
    }


def report_peer(measured: Measured, peer: LlamaCpp) -> dict[str, Any]:
    """The rival's figures by the same names. What a pass of it reads and the machine's limits are not its own: null."""
    return {
        "name": "llama.cpp",
        "version": peer.version,
        "system_info": peer.system_info,
        "features": peer.features,
        "contexts": {str(context): {"t_ms": _t_ms(times)} for context, times in measured.theirs.items()},
        "prompt_tokens_per_s": round(PROMPT_TOKENS / median(measured.their_prompts), 2),
        "bandwidth_gb_s": None,
        "read_gb_s": None,
        "peak_gmac_s": None,
    }


def _t_ms(times: Mapping[int, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {
        str(n): {"min": round(1000 * min(values), 4), "median": round(1000 * median(values), 4)}
        for n, values in times.items()
    }
