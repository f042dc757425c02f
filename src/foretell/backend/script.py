"""Scripts: what a model says along a text that is known, so that it can be played without the model.

A *place* is a number of tokens that were read: at place p the model says what follows the text's first p tokens. Behind
a wrong guess of its own it stands off the text; how it would go on there for some tokens is its *tail*.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

UNKNOWN: Final = -1  # a token that nobody wrote down
STEPS: Final = 8  # guesses of a chain that a script has, its tail included
CERTAIN: Final = 0.0  # log-probability


class Said(NamedTuple):
    """A model's choice at a place.

    token: its id. logprob: log-probability under the model. top: the likeliest (id, log-probability), descending; as
    many as were wanted, none when nobody asked.
    """

    token: int
    logprob: float = CERTAIN
    top: tuple[tuple[int, float], ...] = ()


class Node(NamedTuple):
    """Where a model stands: at a place of the text (off 0), or `off` tokens of its own beside it."""

    place: int
    off: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """What one model says along one text.

    text: the tokens that it reads, the prompt's first. prompt: how many these are.
    said: by place; a place that is missing is one where nobody asks. tails: by place, what follows `said` there when
    that is not what came, or at the text's end.
    """

    text: tuple[int, ...]
    prompt: int
    said: Mapping[int, Said]
    tails: Mapping[int, tuple[Said, ...]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Guesses of a chain that it has wherever the chain begins; without any tail, as many as anyone asks."""
        return 1 + min((len(tail) for tail in self.tails.values()), default=len(self.text))

    def follow(self, node: Node | None, token: int) -> Node | None:
        """Where the model stands after one more token; None where nothing is known."""
        if node is None:
            return None
        place, off = node
        if off:
            tail = self.tails.get(place, ())
            return Node(place, off + 1) if off <= len(tail) and tail[off - 1].token == token else None
        if place < len(self.text) and self.text[place] == token:
            return Node(place + 1)
        said = self.said.get(place)
        return Node(place, 1) if said is not None and said.token == token else None

    def says(self, node: Node | None) -> Said | None:
        """What the model says there, if that is known."""
        if node is None:
            return None
        if not node.off:
            return self.said.get(node.place)
        tail = self.tails.get(node.place, ())
        return tail[node.off - 1] if node.off <= len(tail) else None


def spoken(prompt: Sequence[int], answer: Sequence[int], end: int | None = None) -> Script:
    """The script of the model whose answer it is. end: what it says behind the answer; None: the answer's last token.

    >>> script = spoken([1, 2], [7, 8])
    >>> [script.says(Node(place)).token for place in (2, 3, 4)]
    [7, 8, 8]
    """
    text = (*prompt, *answer)
    said = {place: Said(text[place]) for place in range(len(prompt), len(text))}
    said[len(text)] = Said(text[-1] if end is None else end)
    return Script(text, len(prompt), said)


def cut(script: Script, skip: int) -> Script:
    """The same text without its first `skip` tokens."""
    if not skip:
        return script
    return Script(
        script.text[skip:],
        script.prompt - skip,
        {place - skip: said for place, said in script.said.items() if place >= skip},
        {place - skip: tail for place, tail in script.tails.items() if place >= skip},
    )


# A draft's calibration: draws the probability that it gives its own guess, and how often such a guess is right.
Sureness = Callable[[Random], tuple[float, float]]


def always(right: float) -> Sureness:
    """Every guess is right with this chance, and the draft says so."""
    return lambda _: (right, right)


def classes(calibration: Sequence[tuple[float, float, float]]) -> Sureness:
    """Guesses of some classes: (probability under the draft, how often right, share), as measured of a real model."""
    shares = [share for _, _, share in calibration]

    def draw(random: Random) -> tuple[float, float]:
        ((sure, right, _),) = random.choices(calibration, shares)
        return sure, right

    return draw


def hopeless(sure: float = 0.95) -> Sureness:
    """No guess is ever right, and the draft is sure of each."""
    return lambda _: (sure, 0.0)


def drafted(
    text: Sequence[int], prompt: int, sureness: Sureness, *, seed: int = 0, vocabulary: int = 1000, steps: int = STEPS
) -> Script:
    """The script of a draft that guesses along a text, right as often as it is told to.

    Args:
        text: prompt and answer.
        prompt: tokens of the text that are the prompt's.
        sureness: see there; drawn at each place for itself.
        seed: of all chance.
        vocabulary: wrong guesses are drawn from so many ids.
        steps: guesses of a chain that is written down.
    """
    random = Random(seed)  # noqa: S311 — nothing secret

    def wrong(token: int, sure: float) -> Said:
        return Said((token + random.randrange(1, vocabulary)) % vocabulary, math.log(sure))

    said: dict[int, Said] = {}
    tails: dict[int, tuple[Said, ...]] = {}
    for place in range(prompt, len(text) + 1):
        sure, right = sureness(random)
        here = place < len(text) and random.random() < right
        said[place] = Said(text[place], math.log(sure)) if here else wrong(text[min(place, len(text) - 1)], sure)
        if not here:
            tails[place] = tuple(wrong(0, sureness(random)[0]) for _ in range(steps - 1))
    return Script(tuple(text), prompt, said, tails)


def novel(count: int, *, seed: int = 0, vocabulary: int = 1000) -> list[int]:
    """A text in which hardly anything stands twice: nothing for copying sources."""
    random = Random(seed)  # noqa: S311 — nothing secret
    return (
        random.sample(range(vocabulary), count) if count <= vocabulary else random.choices(range(vocabulary), k=count)
    )


def repeated(count: int, *, period: int = 40, slips: float = 0.02, seed: int = 0, vocabulary: int = 1000) -> list[int]:
    """A text that repeats itself after `period` tokens, but for a share of `slips`."""
    random = Random(seed)  # noqa: S311 — nothing secret
    out = novel(min(period, count), seed=seed, vocabulary=vocabulary)
    while len(out) < count:
        out.append(random.randrange(vocabulary) if random.random() < slips else out[-period])
    return out
