"""A profile: what was measured of a machine, a target and perhaps a draft model, and the file that it is kept in.

The file's form is `foretell.profile.sealed`. Everything in it adds up: see `foretell.profile.merge`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError, why
from foretell.profile.counts import Counts, form_of
from foretell.profile.record import added
from foretell.profile.sealed import sealed, unsealed, write_whole
from foretell.profile.spread import Spread

VERSION: Final = 1
_KIND: Final = "profile"
SUFFIX: Final = ".ftprof"
WHOLE: Final = "whole"  # the form of a model as it is
HURRIED: Final = "hurried"  # how a profile was made when the time was too short for its plan
BUILD: Final = ", engine "  # behind it, a backend's key names the build of the engine


@dataclass(frozen=True, slots=True)
class Keys:
    """What a profile is of. machine: see `foretell.profile.machine`. target, draft: keys of backends; "": no draft."""

    machine: str
    target: str
    draft: str = ""

    @property
    def name(self) -> str:
        """Of the file: the same for the same models, whichever machine and engine measured them."""
        models = f"{_model(self.target)}\n{_model(self.draft)}"
        return hashlib.sha256(models.encode()).hexdigest()[:32] + SUFFIX

    def is_rebuilt(self, here: "Keys") -> bool:
        """Whether nothing but the build of the engine differs."""
        pairs = ((self.target, here.target), (self.draft, here.draft))
        return self != here and self.machine == here.machine and all(_model(a) == _model(b) for a, b in pairs)

    def foreign(self, here: "Keys") -> str:
        """Why a profile with these keys says nothing about what is here; "" when it does."""
        if self.machine != here.machine:
            return f"is of another machine ({self.machine})"
        for what, then, now in (("target", self.target, here.target), ("draft", self.draft, here.draft)):
            if _model(then) != _model(now):
                return f"is of another {what}, or of other threads"
            if then != now:
                return "is of another build of the engine"
        return ""


@dataclass(frozen=True, slots=True)
class Times:
    """Of a loaded model.

    passes: by tokens of context before, then by rows. prompt: of a token of a prompt pass. beside: of a draft model in
    another form than its own, passes over one row of it as it is, taken in turns with these. looks: how many times this
    was measured, on as many loads.
    """

    passes: Mapping[int, Mapping[int, Spread]]
    prompt: Spread | None = None
    beside: Spread | None = None
    looks: int = 1

    @property
    def costs(self) -> dict[int, float]:
        """Least milliseconds of a pass by rows, behind the shortest context."""
        return {n: spread.least_ms for n, spread in self.passes[min(self.passes)].items()}

    @property
    def quiet(self) -> bool:
        """Whether nothing disturbed the passes."""
        return all(spread.quiet for spreads in self.passes.values() for spread in spreads.values())

    @property
    def noise(self) -> float:
        """How far medians are above what passes take, at most: 1 when nothing disturbed them."""
        found = (each.median_ms / each.least_ms for spreads in self.passes.values() for each in spreads.values())
        return max(found, default=1.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """Measurements.

    how: "passes" (times of passes alone), "quick", "thorough", or "hurried" when there was no time for all. target: its
    times. drafts: those of the draft model by form. overhead: of a round besides passes and proposals. kinds: what was
    counted, by kind of prompt.
    """

    keys: Keys
    how: str
    target: Times
    drafts: Mapping[str, Times] = field(default_factory=dict)
    overhead: Spread | None = None
    kinds: Mapping[str, Counts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.drafts:
            form_of(name)
        for times in (self.target, *self.drafts.values()):
            if not times.passes or any(1 not in spreads for spreads in times.passes.values()):
                raise ForetellError("passes over one row are missing: measure again with `foretell profile run`")
        if bool(self.keys.draft) != (WHOLE in self.drafts):
            raise ForetellError("passes of the draft model are missing: measure again with `foretell profile run`")

    @property
    def flaw(self) -> str:
        """What makes its times doubtful, for people; "" when nothing does."""
        if self.how == HURRIED:
            return "the machine was too slow or too busy for all that was to be measured"
        if not self.target.quiet:
            return f"other programs ran beside: medians are up to {self.target.noise:.1f} times the least"
        return ""

    @property
    def counts(self) -> Counts:
        """Of all kinds together."""
        return reduce(added, self.kinds.values(), Counts())


def text(profile: Profile) -> str:
    """What the file holds."""
    return sealed(_KIND, VERSION, profile)


def parse(content: str, name: str) -> Profile:
    """The profile of a file's text; `name` stands in messages. Raises ForetellError, in one line."""
    return unsealed(content, _KIND, VERSION, Profile, partial(_bad, name))


def read(path: Path) -> Profile:
    """The profile in a file. Raises ForetellError."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot read the profile {path}: {why(error)}; give another file") from error
    except UnicodeDecodeError as error:
        raise _bad(str(path), "is not text") from error
    return parse(content, str(path))


def write(path: Path, profile: Profile) -> None:
    """Write a file, whole or not at all. Raises ForetellError."""
    try:
        write_whole(path, text(profile))
    except OSError as error:
        raise ForetellError(f"cannot write the profile {path}: {why(error)}; give another file") from error


def _model(key: str) -> str:
    """The part of a backend's key that doesn't name the engine's build."""
    return key.rpartition(BUILD)[0] or key


def _bad(name: str, what: str) -> ForetellError:
    said = " ".join(what.split()).partition(": measure again")[0]  # records of its parts may have said it already
    return ForetellError(f"the profile {name} {said}: measure again with `foretell profile run`")
