"""A calibration: what was certified of a small model in the place of a large one, and the file that it is kept in.

The file's form is `foretell.profile.sealed`. Thresholds and certificates hold on any machine; times are of the one that
is named.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError, UsageError, why
from foretell.ir.check import check
from foretell.ir.ops import Pipeline
from foretell.ir.text import parse as parse_pipeline
from foretell.profile.sealed import sealed, unsealed, write_whole
from foretell.runtime.signals import SIGNALS, WHOLE

VERSION: Final = 1
_KIND: Final = "calibration"
SUFFIX: Final = ".ftcal"
_DIGEST: Final = re.compile(r"[^,]*(, form \([^)]*\))?")
FOLDER: Final = "calibrations"  # of the cache
MAKE: Final = "make one with `foretell lab calibrate`"
HOWS: Final = ("declared", "smallest")

KINDS: Final = ("exact", "small", "gate", "pipeline")


@dataclass(frozen=True, slots=True)
class Mode:
    """Who answers.

    kind: "exact": the target. "small": the small model. "gate": that, where `signal` over its first `tokens` tokens (0:
    its whole answer) is at most `threshold`, and the target otherwise. "pipeline": both speak as the text `pipeline`
    says; a gate that has one goes there instead of to the target. name: for people. otherwise: a gate's pipeline's.
    """

    kind: str
    name: str
    signal: str = ""
    tokens: int = 0
    threshold: float = 0.0
    pipeline: str = ""
    otherwise: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ForetellError(f"the mode {self.name} has kind {self.kind!r}, which is none of {', '.join(KINDS)}")
        if self.kind == "gate" and self.signal not in SIGNALS:
            raise ForetellError(f"the mode {self.name} goes by {self.signal!r}, which is none of {', '.join(SIGNALS)}")
        if self.signal in WHOLE and self.tokens:
            raise ForetellError(f"the mode {self.name} goes by {self.signal} of {self.tokens} tokens: only of all")
        if self.kind == "pipeline" and not self.pipeline:
            raise ForetellError(f"the mode {self.name} has no pipeline")
        if self.pipeline:
            check(parse_pipeline(self.pipeline, self.otherwise or self.name))

    @property
    def both(self) -> Pipeline | None:
        """What runs instead of the target, if anything."""
        return parse_pipeline(self.pipeline, self.otherwise or self.name) if self.pipeline else None


@dataclass(frozen=True, slots=True)
class Cost:
    """Means over the items that were measured. small: share that the small model answered."""

    response_s: float
    processor_s: float
    small: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """With this confidence, answering by `mode` loses at most `budget` of accuracy (0 to 1) against the target alone.

    how: "declared": the budget was named before the items were looked at; "smallest": it is the least that the items
    certify for the safest threshold. items, losses, gains: of the held-back split; items that the target alone had
    right, and that the mode alone had. p: of the test (`foretell.lab.budget.exact`). cost: of the mode; exact: of the
    target at -O2, on the same items.
    """

    how: str
    budget: float
    confidence: float
    mode: Mode
    items: int
    losses: int
    gains: int
    p: float
    cost: Cost
    exact: Cost

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 1 or not 0 < self.confidence < 1 or self.how not in HOWS:
            raise ForetellError(f"a certificate of {self.budget:g} at {self.confidence:g} makes no sense")

    @property
    def saves(self) -> tuple[str, ...]:
        """What it needs less of than exact -O2 did: "time", "processor time", both or nothing."""
        less = (self.cost.response_s < self.exact.response_s, self.cost.processor_s < self.exact.processor_s)
        return tuple(name for name, is_less in zip(("time", "processor time"), less, strict=True) if is_less)


@dataclass(frozen=True, slots=True)
class Model:
    """name: what it was called. digest: of its file, and its form if that changes what it says. engine: the build."""

    name: str
    digest: str
    engine: str

    @staticmethod
    def of(name: str, key: str) -> "Model":
        """From a backend's key.

        >>> Model.of("small", "0a1b, form (512, 'Q4_0'), 2 threads, avx2, engine 77")
        Model(name='small', digest="0a1b, form (512, 'Q4_0')", engine='77')
        """
        found = _DIGEST.match(key)
        return Model(name, found[0] if found else key, key.rpartition("engine ")[2] if "engine " in key else "")

    @property
    def short(self) -> str:
        """Its digest, as people see it."""
        digest, comma, form = self.digest.partition(",")
        return f"{digest[:12]}{comma}{form}"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was certified of a pair, and how.

    tasks: "name digest-of-the-data" each. learned, checked: items of the two splits. made: UTC, ISO 8601. refused:
    why declared budgets could not be certified.
    """

    target: Model
    draft: Model
    tasks: tuple[str, ...]
    max_tokens: int
    temperature: float
    seed: int
    learned: int
    checked: int
    certificates: tuple[Certificate, ...]
    refused: tuple[str, ...]
    machine: str
    foretell: str
    made: str

    def check_pair(self, target: Model, draft: Model) -> None:
        """Raise UsageError when it is of other models."""
        for what, mine, here in (("target", self.target, target), ("draft", self.draft, draft)):
            if mine.digest != here.digest:
                raise UsageError(
                    f"the calibration is of the {what} {mine.name}, which is not the {here.name} that is loaded "
                    f"(their files differ): {MAKE} for this pair"
                )

    def doubts(self, target: Model, draft: Model) -> str:
        """What speaks against trusting its figures with these builds of the same models; "" when nothing does."""
        same = (self.target.engine, self.draft.engine) == (target.engine, draft.engine)
        return "" if same else "it was made with another build of the engine"

    def check_settings(self, temperature: float, top_k: int, top_p: float, min_p: float) -> None:
        """Raise UsageError for a way to draw tokens that was not calibrated."""
        if temperature != self.temperature or (temperature > 0 and (top_k, top_p, min_p) != (0, 1.0, 0.0)):
            raise UsageError(
                f"the calibration was made at temperature {self.temperature:g} without top-k, top-p and min-p: "
                "generate so, or calibrate again"
            )

    def certificate(self, budget: float) -> Certificate:
        """What may be lost at most is `budget`: the cheapest mode that is certified for it, or a UsageError saying why.

        Cheapest is by response time and processor time, each against exact -O2, multiplied.
        """
        fit = [each for each in self.certificates if each.budget <= budget + 1e-12]
        if not fit:
            least = min((each.budget for each in self.certificates), default=None)
            which = f"the smallest certified is {percent(least)}" if least is not None else "nothing was certified"
            why = "" if least is not None else f" ({'; '.join(self.refused)})" if self.refused else ""
            raise UsageError(
                f"the quality budget is {percent(budget)}, and for {self.draft.name} in the place of "
                f"{self.target.name} {which}{why}: give a larger budget, or calibrate with more items"
            )
        return min(fit, key=lambda each: relative(each.cost, each.exact))


def relative(cost: Cost, exact: Cost) -> float:
    """Geometric mean of response time and processor time, against another's."""
    pairs = ((cost.response_s, exact.response_s), (cost.processor_s, exact.processor_s))
    ratios = [mine / theirs for mine, theirs in pairs if theirs > 0]
    product = 1.0
    for each in ratios:
        product *= each
    return product ** (1 / len(ratios)) if ratios else 1.0


def percent(share: float) -> str:
    """For people.

    >>> percent(0.05), percent(0.0125)
    ('5 %', '1.25 %')
    """
    return f"{100 * share:.4g} %"


def share(text: str) -> float:
    """The number that is written as `5%`, `5 %` or 0.05; nan for what is none."""
    written = text.strip()
    try:
        return float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
    except ValueError:
        return nan


def read_budget(text: str, what: str = "quality-budget") -> float:
    """A share of all answers: `5%` or 0.05. UsageError for what is neither, or not between 0 and 1.

    >>> read_budget("5%"), read_budget("0.05"), read_budget("2.5 %")
    (0.05, 0.05, 0.025)
    """
    value = share(text)
    if not 0 < value < 1:
        raise UsageError(f"{what} is {text!r}: write it as 5% or 0.05, between 0 and 1")
    return value


def text(calibration: Calibration) -> str:
    """What the file holds."""
    return sealed(_KIND, VERSION, calibration)


def parse(content: str, name: str) -> Calibration:
    """The calibration of a file's text; `name` stands in messages. ForetellError, in one line, for what is none."""
    return unsealed(content, _KIND, VERSION, Calibration, partial(_bad, name))


def read(path: Path) -> Calibration:
    """The calibration in a file. Raises ForetellError."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot read the calibration {path}: {why(error)}; {MAKE}") from error
    except UnicodeDecodeError as error:
        raise _bad(str(path), "is not text") from error
    return parse(content, str(path))


def write(path: Path, calibration: Calibration) -> None:
    """Write a file, whole or not at all. Raises ForetellError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text(calibration))
    except OSError as error:
        raise ForetellError(f"cannot write the calibration {path}: {why(error)}; give --output") from error


def kept(folder: Path, target: Model, draft: Model) -> Path:
    """Where the calibration of a pair is kept."""
    pair = f"{target.digest}\n{draft.digest}"
    return folder / f"{hashlib.sha256(pair.encode()).hexdigest()[:32]}{SUFFIX}"


def of_pair(where: Path, target: Model, draft: Model) -> Calibration:
    """The calibration of a pair. where: a file, or the folder where they are kept.

    Raises:
        UsageError: there is none, or it is of other models.
        ForetellError: the file is none.
    """
    path = kept(where, target, draft) if where.is_dir() or where.name == FOLDER else where
    if path != where and not path.exists():
        raise UsageError(f"there is no calibration of {draft.name} in the place of {target.name}: {MAKE}")
    calibration = read(path)
    calibration.check_pair(target, draft)
    return calibration


def _bad(name: str, what: str) -> ForetellError:
    return ForetellError(f"the calibration {name} {' '.join(what.split())}; {MAKE}")
