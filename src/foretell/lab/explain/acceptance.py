"""How often guesses were right: by source, by place, by what their source thought of them, by how the text went."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from foretell.accept.proposal import ROOT
from foretell.runtime.run import Run
from foretell.runtime.trace import Round

THOUGHTS: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97)  # where classes of what a source thinks begin
FEW: Final = 5  # guesses of a place, below which it says little
MOODS: Final = ("first", "none kept", "some kept", "all kept", "no guesses")


class Tried(NamedTuple):
    """A guess. place: 1 behind the newest token. reached: what it hangs on was right. mood: see MOODS."""

    source: str
    place: int
    chance: float
    reached: bool
    kept: bool
    mood: str


@dataclass(frozen=True, slots=True)
class Count:
    """Guesses of a class. reached: those whose forerunners were kept. kept: of these. thought: their mean chance."""

    name: str
    tried: int
    reached: int
    kept: int
    thought: float

    @property
    def right(self) -> float | None:
        """How often a guess was right whose forerunners were."""
        return self.kept / self.reached if self.reached else None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Of one source. rounds: in which it guessed. whole: all its guesses. The rest: the same by class."""

    source: str
    rounds: int
    whole: Count
    places: tuple[Count, ...]
    thoughts: tuple[Count, ...]
    moods: tuple[Count, ...]

    @property
    def chain(self) -> tuple[float, ...]:
        """How often it was right at each place; a place with few guesses is like the one before it."""
        out: list[float] = []
        for each in self.places:
            before = out[-1] if out else None
            few = each.reached < FEW and before is not None
            out.append(before if few and before is not None else each.right or 0.0)
        return tuple(out)


def acceptance(run: Run) -> tuple[Acceptance, ...]:
    """Of each source that guessed, the busiest first."""
    guesses = list(_guesses(run))
    sources = sorted({each.source for each in guesses}, key=lambda name: -sum(g.source == name for g in guesses))
    return tuple(_of(name, [each for each in guesses if each.source == name], run) for name in sources)


def _of(source: str, guesses: list[Tried], run: Run) -> Acceptance:
    rounds = sum(any(name == source for _, _, name, _ in each.tried) for each in run.rounds)
    deepest = max(each.place for each in guesses)
    return Acceptance(
        source,
        rounds,
        _count(source, guesses),
        _by(guesses, lambda each: str(each.place), [str(n) for n in range(1, deepest + 1)]),
        _by(guesses, _thought, [_class(i) for i in range(len(THOUGHTS))]),
        _by(guesses, lambda each: each.mood, MOODS),
    )


def _by(guesses: list[Tried], kind: Callable[[Tried], str], names: Sequence[str]) -> tuple[Count, ...]:
    """Of each class that has guesses."""
    sorts = {name: [each for each in guesses if kind(each) == name] for name in names}
    return tuple(_count(name, chosen) for name, chosen in sorts.items() if chosen)


def _count(name: str, guesses: list[Tried]) -> Count:
    reached = [each for each in guesses if each.reached]
    thought = sum(each.chance for each in reached) / len(reached) if reached else 0.0
    return Count(name, len(guesses), len(reached), sum(each.kept for each in reached), thought)


def _guesses(run: Run) -> Iterator[Tried]:
    mood = MOODS[0]
    for each in run.rounds:
        kept = {ROOT, *each.kept}
        places = {ROOT: 0}
        for i, (_, parent, source, chance) in enumerate(each.tried):
            places[i] = places[parent] + 1
            yield Tried(source, places[i], chance, parent in kept, i in kept, mood)
        mood = _mood(each)


def _mood(each: Round) -> str:
    if not each.tried:
        return "no guesses"
    if not each.kept:
        return "none kept"
    last = each.kept[-1]
    return "some kept" if any(parent == last for _, parent, _, _ in each.tried) else "all kept"


def _thought(each: Tried) -> str:
    return _class(bisect_right(THOUGHTS, each.chance) - 1)


def _class(i: int) -> str:
    upper = 1.0 if i + 1 == len(THOUGHTS) else THOUGHTS[i + 1]
    return f"{THOUGHTS[i]:.0%} to {upper:.0%}"
