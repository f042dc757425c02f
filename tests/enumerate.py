"""Exact laws of programs that draw: every choice is followed, with Fractions, and nothing is estimated."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

import numpy as np

from foretell.accept.proposal import ROOT, Guess, Proposal, Weights
from foretell.accept.rule import Chance, Rule

T = TypeVar("T")
Text = tuple[int, ...]
Model = Callable[[Text], Weights]  # what follows a text
Drafting = Callable[[Chance], Proposal]


class Branch:
    """A `Chance` that takes the choices of a script, then always the first possible one, and notes the others."""

    def __init__(self, script: tuple[int, ...]) -> None:
        self.weight = Fraction(1)
        self.forks: list[tuple[int, ...]] = []  # scripts that lead where this one did not
        self._script = script
        self._taken: tuple[int, ...] = ()
        self._used: set[tuple[str, int]] = set()

    def coin(self, purpose: str, node: int, probability: Any) -> bool:
        return bool(self._pick(purpose, node, [1 - probability, probability]))

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        return self._pick(purpose, node, list(weights / weights.sum()))

    def _pick(self, purpose: str, node: int, chances: list[Any]) -> int:
        assert (purpose, node) not in self._used, "two decisions share their noise"
        self._used.add((purpose, node))
        assert all(isinstance(each, (int, Fraction)) for each in chances), "not exact"
        assert min(chances) >= 0
        assert sum(chances) == 1
        possible = [i for i, each in enumerate(chances) if each]
        depth = len(self._taken)
        if depth == len(self._script):
            self.forks += [(*self._taken, i) for i in possible[1:]]
            self._script = (*self._taken, possible[0])
        self._taken = self._script[: depth + 1]
        self.weight *= chances[self._taken[-1]]
        return self._taken[-1]


@dataclass(frozen=True)
class Round:
    """A `Chance` of one of several rounds, over one that they share."""

    chance: Chance
    number: int

    def coin(self, purpose: str, node: int, probability: Any) -> bool:
        return self.chance.coin(f"{self.number} {purpose}", node, probability)

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        return self.chance.draw(f"{self.number} {purpose}", node, weights)


@dataclass
class Noise:
    """A `Chance` that decides by uniform numbers k / cells, one for each key; decisions of one key share theirs.

    Exact as long as all probabilities are multiples of 1 / cells, which is checked.
    """

    chance: Chance
    cells: int
    key: Callable[[str, int], object]
    _drawn: dict[object, Fraction] = field(default_factory=dict)

    def coin(self, purpose: str, node: int, probability: Any) -> bool:
        assert (probability * self.cells) % 1 == 0
        return self.uniform(self.key(purpose, node)) < probability

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        return inverse(weights / weights.sum(), self.uniform(self.key(purpose, node)), self.cells)

    def uniform(self, key: object) -> Fraction:
        if key not in self._drawn:
            cell = self.chance.draw("noise", len(self._drawn), ones(self.cells))
            self._drawn[key] = Fraction(cell, self.cells)
        return self._drawn[key]


@dataclass(frozen=True)
class Known:
    """A `Target` whose distributions are a toy model's; its own choices come from `chosen`."""

    proposal: Proposal
    model: Model
    chosen: Callable[[Text], int] = lambda _: 0

    def text(self, node: int) -> Text:
        return tuple(self.proposal.guesses[i].token for i in self.proposal.path(node))

    def p(self, node: int) -> Weights:
        return self.model(self.text(node))

    def choice(self, node: int) -> int:
        return self.chosen(self.text(node))


def inverse(weights: Weights, uniform: Fraction, cells: int) -> int:
    """The token that a uniform number stands for."""
    assert all((each * cells) % 1 == 0 for each in weights)
    return next(i for i, total in enumerate(itertools.accumulate(weights)) if total > uniform)


def ones(n: int) -> Weights:
    return np.array([Fraction(1)] * n, object)


def fractions(*weights: int) -> Weights:
    """Weights made to sum to 1; not to be written to."""
    out = np.array([Fraction(each, sum(weights)) for each in weights], object)
    out.flags.writeable = False
    return out


def toy(seed: int, vocabulary: int = 3, most: int = 4) -> Model:
    """A model with another random distribution behind every text; some tokens impossible."""

    @cache
    def model(text: Text) -> Weights:
        rng = random.Random(f"{seed} {text}")
        weights = [rng.randint(0, most) for _ in range(vocabulary)]
        weights[rng.randrange(vocabulary)] += 1
        return fractions(*weights)

    return model


def law(program: Callable[[Chance], T]) -> dict[T, Fraction]:
    """The exact distribution of what a program gives."""
    out: dict[T, Fraction] = {}
    scripts: list[tuple[int, ...]] = [()]
    while scripts:
        branch = Branch(scripts.pop())
        result = program(branch)
        out[result] = out.get(result, Fraction(0)) + branch.weight
        scripts += branch.forks
    assert sum(out.values()) == 1
    return out


def texts(model: Model, length: int, begin: Text = ()) -> dict[Text, Fraction]:
    """The distribution of the first `length` tokens of a model's text that begins like this."""
    if len(begin) >= length:
        return {begin[:length]: Fraction(1)}
    out: dict[Text, Fraction] = {}
    for token, chance in enumerate(model(begin)):
        if chance:
            for text, weight in texts(model, length, (*begin, token)).items():
                out[text] = out.get(text, Fraction(0)) + chance * weight
    return out


def completed(emitted: Mapping[Text, Fraction], model: Model, length: int) -> dict[Text, Fraction]:
    """The distribution of texts that begin as emitted and go on as the model does."""
    out: dict[Text, Fraction] = {}
    for begin, chance in emitted.items():
        for text, weight in texts(model, length, begin).items():
            out[text] = out.get(text, Fraction(0)) + chance * weight
    return out


def emitted(drafting: Drafting, rule: Rule, model: Model) -> dict[Text, Fraction]:
    """The distribution of the tokens that one round gives."""

    def program(chance: Chance) -> Text:
        proposal = drafting(chance)
        verdict = rule(proposal, Known(proposal, model), chance)
        assert verdict.bonus is not None
        return (*(proposal.guesses[i].token for i in verdict.path), verdict.bonus)

    return law(program)


def variation(a: Mapping[Text, Fraction], b: Mapping[Text, Fraction]) -> Fraction:
    """Total variation between two distributions."""
    return sum((abs(a.get(key, 0) - b.get(key, 0)) for key in {*a, *b}), Fraction(0)) / 2


def drawn_chain(q: Model, width: int, chance: Chance, until: Callable[[Guess], bool] = lambda _: False) -> Proposal:
    """Guesses drawn one behind the other from q; none behind one that `until` says so of."""
    guesses: list[Guess] = []
    for i in range(width):
        text = tuple(guess.token for guess in guesses)
        weights = q(text)
        guesses.append(Guess(chance.draw("draft", i, weights), i - 1, "model", "sampled", q=weights))
        if until(guesses[-1]):
            break
    return Proposal(tuple(guesses))


def drawn_tree(q: Model, shape: Sequence[int], chance: Chance, doubt: Fraction = Fraction(1)) -> Proposal:
    """Siblings drawn without replacement, shape[d] of them at depth d; fewer when q has no more tokens, or when one is
    drawn that had at least the chance `doubt`.
    """
    guesses: list[Guess] = []
    level: list[tuple[int, Text]] = [(ROOT, ())]
    for count in shape:
        below: list[tuple[int, Text]] = []
        for parent, text in level:
            weights = q(text)
            rest = weights.copy()
            for _ in range(count):
                if not rest.sum():
                    break
                token = chance.draw("draft", len(guesses), rest)
                below.append((len(guesses), (*text, token)))
                guesses.append(Guess(token, parent, "model", "without_replacement", q=weights))
                if rest[token] / rest.sum() >= doubt:
                    break
                rest[token] = Fraction(0)
        level = below
    return Proposal(tuple(guesses))


def likeliest_tree(q: Model, shape: Sequence[int]) -> Proposal:
    """The shape[d] likeliest tokens as siblings at depth d: no chance, so law `point`; each carries q all the same."""
    guesses: list[Guess] = []
    level: list[tuple[int, Text]] = [(ROOT, ())]
    for count in shape:
        below: list[tuple[int, Text]] = []
        for parent, text in level:
            weights = q(text)
            for token in sorted(range(len(weights)), key=lambda i: (-weights[i], i))[:count]:
                below.append((len(guesses), (*text, token)))
                guesses.append(Guess(token, parent, "model", q=weights))
        level = below
    return Proposal(tuple(guesses))


def called(proposal: Proposal, law: str) -> Proposal:
    """The same guesses, said to be drawn by another law."""
    return Proposal(tuple(Guess(g.token, g.parent, g.source, law, g.chance, g.q) for g in proposal.guesses))
