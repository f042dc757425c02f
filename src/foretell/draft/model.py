"""The draft source `model`: a smaller model guesses a chain, or a tree with siblings beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from foretell.accept.proposal import ROOT, Guess, Proposal
from foretell.accept.rule import Chance
from foretell.accept.sampling import PENALTY_WINDOW
from foretell.backend.protocol import Doubt, Scores
from foretell.draft.place import Picker, Place
from foretell.draft.reader import Reader
from foretell.draft.source import FreeSource
from foretell.draft.staged import ahead, continued

_NONE = Proposal()


class ModelSource:
    """Guesses of a draft model.

    Its chain ends after `width` guesses (siblings count), behind a guess whose probability is below `stop`, where the
    product of the guesses' probabilities falls below `reach`, where its context is full, and where it would guess what
    the target cannot say. `stop` and `reach` may be set between proposals; `reach` is 0 at first.

    Args:
        name: what its guesses are labelled with.
        reader: the draft model's sequence, for this source alone until it is closed; the caller's to close.
        picker: the law.
        chances: the randomness of the n-th proposal, counted from 0.
        width: most guesses.
        stop: see above; 0 is never.
        prompt: how many of the prompt's last tokens are read; 0 means all.
        inner: a free source that is asked what the model will guess, so that one pass gives several guesses.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        picker: Picker,
        chances: Callable[[int], Chance],
        *,
        width: int,
        stop: float = 0.0,
        prompt: int = 0,
        inner: FreeSource | None = None,
    ) -> None:
        self.name = name
        self._reader, self._picker, self._chances = reader, picker, chances
        self.stop, self.reach = stop, 0.0
        self._width, self._prompt, self._inner = width, prompt, inner
        self._begun = False
        self._proposals = 0

    @property
    def passes(self) -> int:
        """The reader's passes so far whose scores were wanted."""
        return self._reader.passes

    def extend(self, tokens: Sequence[int]) -> None:
        """Committed tokens; nothing is read before guesses are asked for."""
        if self._inner is not None:
            self._inner.extend(tokens)
        if self._begun:
            self._reader.extend(tokens)
            return
        self._begun = True
        beyond = len(tokens) - 1 - self._prompt  # the last of these is not the prompt's
        self._reader.begin(tokens, max(0, beyond) if self._prompt else 0)

    def propose(self, limit: int) -> Proposal:
        """Its guesses: each with the siblings behind it, then what follows it."""
        room = min(limit, self._width)
        if room < 1 or not self._reader.catch_up():
            return _NONE
        made = _Made(self._chances(self._proposals), room, Doubt(self.stop, self.reach))
        self._proposals += 1
        if self._picker.plain and self._inner is None:
            self._draft(made)
        else:
            while made.going and self._reader.takes(made.chain):
                self._read(made)
        return Proposal(tuple(made.guesses))

    def _draft(self, made: "_Made") -> None:
        """The whole chain at once, where each guess is the model's own choice."""
        steps = min(made.room, self._reader.room)
        scores = self._reader.draft(steps, self._picker.want, self.stop, self.reach)
        for row in range(len(scores.chosen)):
            if made.going:
                self._guess(made, scores, row)

    def _read(self, made: "_Made") -> None:
        """One pass of the model: the guess behind the chain, and more for as long as the inner source was right."""
        tried = self._tried(made)
        scores = self._reader.step(made.chain, tried, self._picker.want)
        node, path = ROOT, list[int]()
        self._guess(made, scores, 0)
        while made.going and (node := continued(tried, node, made.chain[-1])) != ROOT:
            path.append(node)
            self._guess(made, scores, node + 1)
        self._reader.keep(path)

    def _tried(self, made: "_Made") -> Proposal:
        """What the inner source says that the model will guess."""
        if self._inner is None:
            return _NONE
        tried = ahead(self._inner, made.chain, made.room - len(made.guesses) - 1)
        return tried if self._reader.takes([*made.chain, *tried.tokens]) else _NONE

    def _guess(self, made: "_Made", scores: Scores, row: int) -> None:
        """Add the guess at the chain's end, which these scores are for, and its siblings."""
        text = self._reader.text
        place = Place(
            parent=made.end,
            first=len(made.guesses),
            room=made.room - len(made.guesses),
            history=[*text[-PENALTY_WINDOW:], *made.chain],
            position=len(text) + len(made.chain),
            chance=made.chance,
        )
        found = self._picker.guesses(scores, row, place)
        if not found:
            made.going = False
            return
        made.end = len(made.guesses)
        made.guesses += found
        made.chain.append(found[0].token)
        made.going = not made.doubt.ends(found[0].chance) and len(made.guesses) < made.room

    def close(self) -> None:
        """Close the inner source; the reader is the caller's."""
        if self._inner is not None:
            self._inner.close()


@dataclass(slots=True)
class _Made:
    """A proposal in the making. chain: tokens without siblings. end: index of its last guess. room: for guesses."""

    chance: Chance
    room: int
    doubt: Doubt
    guesses: list[Guess] = field(default_factory=list)
    chain: list[int] = field(default_factory=list)
    end: int = ROOT
    going: bool = True
