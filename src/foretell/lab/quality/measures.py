"""The figures of a task: of one configuration with an interval, and of two that answered the same items."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError
from foretell.lab.quality import gleu, intervals
from foretell.lab.quality.items import Item, Texts, Verdict


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure from 0 to 100 and the interval that it is in with 95 % confidence. how: that interval's method."""

    name: str
    value: float
    low: float
    high: float
    how: str

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two configurations differ on the same items: mine less theirs, in points.

    low, high: what the difference is between, with 95 % confidence; None where only p is known. p: how likely so large
    a difference is if both are equally good. why: what the test went by.
    """

    name: str
    difference: float
    low: float | None
    high: float | None
    p: float
    why: str

    @property
    def significant(self) -> bool:
        """Whether chance is no good explanation."""
        return self.p < intervals.ALPHA

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self) | {"significant": self.significant}


class Measure(Protocol):
    """Makes figures of verdicts. All sequences are of the same items, in the same order; none is empty."""

    def estimate(self, items: Sequence[Item], verdicts: Sequence[Verdict]) -> Estimate:
        """Of one configuration."""
        ...

    def compare(self, items: Sequence[Item], mine: Sequence[Verdict], theirs: Sequence[Verdict]) -> Comparison:
        """Of two."""
        ...


@dataclass(frozen=True, slots=True)
class Right:
    """The share of answers that are right."""

    name: str = "right"

    def estimate(self, items: Sequence[Item], verdicts: Sequence[Verdict]) -> Estimate:
        """With Wilson's interval."""
        right = sum(bool(each.right) for each in verdicts)
        low, high = intervals.wilson(right, len(items))
        return Estimate(self.name, 100 * right / len(items), 100 * low, 100 * high, "Wilson")

    def compare(self, items: Sequence[Item], mine: Sequence[Verdict], theirs: Sequence[Verdict]) -> Comparison:
        """By McNemar's exact test."""
        pairs = [(bool(a.right), bool(b.right)) for a, b in zip(mine, theirs, strict=True)]
        only_mine, only_theirs = pairs.count((True, False)), pairs.count((False, True))
        low, high = intervals.paired_difference(only_mine, only_theirs, len(items))
        return Comparison(
            self.name,
            100 * (only_mine - only_theirs) / len(items),
            100 * low,
            100 * high,
            intervals.mcnemar(only_mine, only_theirs),
            f"right alone: {only_mine} and {only_theirs} of {len(items)} items; McNemar's exact test",
        )


@dataclass(frozen=True, slots=True)
class Gleu:
    """GLEU of corrections; see `foretell.lab.quality.gleu`."""

    name: str = "GLEU"

    def estimate(self, items: Sequence[Item], verdicts: Sequence[Verdict]) -> Estimate:
        """With a bootstrap interval."""
        stats = self._drawn(items, verdicts)
        low, high = intervals.percentiles(_resampled(stats))
        return Estimate(self.name, float(gleu.score(stats.sum(axis=0)).mean()), low, high, "bootstrap")

    def compare(self, items: Sequence[Item], mine: Sequence[Verdict], theirs: Sequence[Verdict]) -> Comparison:
        """By a paired bootstrap."""
        a, b = self._drawn(items, mine), self._drawn(items, theirs)
        differences = _resampled(a) - _resampled(b)
        low, high = intervals.percentiles(differences)
        value = float((gleu.score(a.sum(axis=0)) - gleu.score(b.sum(axis=0))).mean())
        return Comparison(self.name, value, low, high, intervals.bootstrap_p(differences), "paired bootstrap")

    @staticmethod
    def _drawn(items: Sequence[Item], verdicts: Sequence[Verdict]) -> NDArray[np.float64]:
        golds = [_texts(each) for each in items]
        table = gleu.table([g.source for g in golds], [v.extracted for v in verdicts], [g.references for g in golds])
        return gleu.drawn(table)


def _resampled(stats: NDArray[np.float64]) -> NDArray[np.float64]:
    """GLEU of each resample, with one of the draws of references for each."""
    sentences, draws, width = stats.shape
    which = np.random.default_rng(0).integers(draws, size=intervals.RESAMPLES)
    done = 0

    def figure(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal done
        chosen = which[done : done + len(weights)]
        done += len(weights)
        sums = np.einsum("ni,inw->nw", weights, stats[:, chosen])
        return gleu.score(sums.reshape(-1, width))

    return intervals.resampled(sentences, figure)


@dataclass(frozen=True, slots=True)
class Sacrebleu:
    """BLEU (Papineni et al. 2002) or chrF (Popović 2015), as sacrebleu has them (Post 2018, 1804.08771)."""

    name: str

    def estimate(self, items: Sequence[Item], verdicts: Sequence[Verdict]) -> Estimate:
        """With sacrebleu's bootstrap."""
        how, (found,) = self._tested(items, verdicts)
        return Estimate(self.name, found.score, found.mean - found.ci, found.mean + found.ci, how)

    def compare(self, items: Sequence[Item], mine: Sequence[Verdict], theirs: Sequence[Verdict]) -> Comparison:
        """By sacrebleu's paired bootstrap (Koehn 2004)."""
        _, (base, found) = self._tested(items, theirs, mine)
        same = [each.extracted for each in mine] == [each.extracted for each in theirs]
        p = 1.0 if same else float(found.p_value)
        return Comparison(self.name, found.score - base.score, None, None, p, "paired bootstrap")

    def _tested(self, items: Sequence[Item], *systems: Sequence[Verdict]) -> tuple[str, Sequence[Any]]:
        """The signature that sacrebleu asks to quote with its figures, and its result for each system."""
        from sacrebleu.significance import PairedTest  # noqa: PLC0415 — an extra, seldom needed

        golds = [_texts(each).references for each in items]
        # Sacrebleu takes None for a reference that an item has not, though its types do not say so.
        streams: Any = [[each[n] if n < len(each) else None for each in golds] for n in range(max(map(len, golds)))]
        named: list[tuple[str, Sequence[str]]] = [
            (str(n), [each.extracted for each in verdicts]) for n, verdicts in enumerate(systems)
        ]
        test = PairedTest(named, {self.name: _metric(self.name)}, streams, test_type="bs", n_samples=1000)
        signatures, scores = test()
        ((name, signature),) = signatures.items()
        return f"bootstrap, sacrebleu {name} {signature}", scores[name]


def sentence_chrf(answer: str, references: Sequence[str]) -> float:
    """chrF of one answer, 0 to 100."""
    return float(_metric("chrF").sentence_score(answer, list(references)).score)


def require_sacrebleu() -> None:
    """Raise ForetellError where it is not installed."""
    _metric("BLEU")


def _metric(name: str) -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 — an extra, seldom needed
        from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415
    except ImportError:
        raise ForetellError("BLEU and chrF need sacrebleu: pip install 'foretell[lab]'") from None
    made: Mapping[str, Any] = {"BLEU": BLEU, "chrF": CHRF}
    return made[name]()


def _texts(item: Item) -> Texts:
    assert isinstance(item.gold, Texts)  # noqa: S101 — tasks and measures are paired in tasks.py
    return item.gold


RIGHT: Final = Right()
GLEU: Final = Gleu()
CHRF: Final = Sacrebleu("chrF")
BLEU: Final = Sacrebleu("BLEU")
