"""How many draws there are may depend on earlier draws and on q: `stop`, `doubt` and a full tree break no law.

The draft model's real source is enumerated, with Fractions for its distributions: every draw that it could make, and
every coin of the rule. Dropping a guess that was drawn is another thing: test_accept_unsound has what it breaks.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from itertools import takewhile
from typing import Any

import pytest

from enumerate import (
    Drafting,
    Model,
    Text,
    completed,
    drawn_chain,
    emitted,
    texts,
    toy,
)
from foretell.accept.proposal import Proposal, Weights
from foretell.accept.rule import Chance
from foretell.accept.rules import make
from foretell.accept.sampling import Sampling
from foretell.backend.toy import ToyModel, ToySession
from foretell.draft import drawn, sources
from foretell.draft.reader import Reader
from foretell.ir.check import check
from foretell.ir.ops import Draft
from foretell.ir.text import parse

SEEDS = range(4)
EPSILON, ALPHA = Fraction(1, 3), Fraction(1, 4)
STOP, DOUBT = 0.5, Fraction(1, 2)
RULES: dict[str, dict[str, Any]] = {"reject": {}, "block": {}, "mix": {"epsilon": EPSILON}, "cascade": {"alpha": ALPHA}}


def pair(seed: int) -> tuple[Model, Model]:
    return toy(2 * seed), toy(2 * seed + 1)


def guessing(statement: Draft, q: Model, monkeypatch: pytest.MonkeyPatch) -> Drafting:
    """The source of a statement behind a text of one token, with q in place of its model's distributions."""

    def distribution(_: object, history: Sequence[int], __: Sampling) -> Weights:
        return q(tuple(history[1:]))

    monkeypatch.setattr(drawn, "distribution", distribution)

    def propose(chance: Chance) -> Proposal:
        reader = Reader(ToySession(ToyModel(vocabulary=3, readable=False), 16), 4)
        source = sources.make(statement, Sampling(1.0), 3, reader=reader)
        source._chances = lambda _: chance  # type: ignore[attr-defined]
        source.extend([0])
        return source.propose(9)

    return propose


def chain(**knobs: Any) -> Draft:
    return Draft("g", "model", law="sampled", of="small", **knobs)


def tree(**knobs: Any) -> Draft:
    return Draft("g", "model", law="without_replacement", of="small", **knobs)


def lossy(rule: str, p: Weights, q: Weights) -> Weights:
    """What a lossy rule has the text follow where there was a guess."""
    if rule == "mix":
        return p + EPSILON * (q - p)
    distance = sum(each for each in p - q if each > 0)
    return p if max(q) < max(p) - ALPHA * distance else q


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", RULES)
def test_a_chain_may_stop_behind_an_unlikely_guess(rule: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = pair(seed)

    def followed(text: Text) -> Weights:
        """The target's law, or the rule's own as far as a chain behind this text goes."""
        going = all(float(q(text[:i])[text[i]]) >= STOP for i in range(len(text)))
        return lossy(rule, p(text), q(text)) if rule in ("mix", "cascade") and going and len(text) < 3 else p(text)

    given = emitted(guessing(chain(width=3, stop=STOP), q, monkeypatch), make(rule, **RULES[rule]), p)
    assert len({len(text) for text in given}) > 1
    assert completed(given, followed, 4) == texts(followed, 4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "statement",
    [
        tree(width=4, siblings=2),  # there is no room for the last siblings
        tree(width=5, siblings=1, doubt=float(DOUBT)),
        tree(width=4, siblings=1, stop=STOP),
        tree(width=5, siblings=2, doubt=float(DOUBT), stop=STOP),
        tree(width=3, stop=STOP),
    ],
    ids=repr,
)
def test_siblings_may_stand_where_q_is_flat(statement: Draft, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = pair(seed)
    given = emitted(guessing(statement, q, monkeypatch), make("multi"), p)
    assert completed(given, p, 4) == texts(p, 4)


@pytest.mark.parametrize("rule", ["reject", "block"])
def test_ending_before_the_unlikely_guess_is_caught(rule: str) -> None:
    """The same comparison, of chains whose unlikely guess does not stay."""

    def dropping(q: Model, chance: Chance) -> Proposal:
        kept = takewhile(lambda guess: guess.q[guess.token] >= STOP, drawn_chain(q, 2, chance).guesses)  # type: ignore[index]
        return Proposal(tuple(kept))

    pairs = [pair(seed) for seed in SEEDS]
    given = [completed(emitted(partial(dropping, q), make(rule), p), p, 3) for p, q in pairs]
    assert any(one != texts(p, 3) for one, (p, _) in zip(given, pairs, strict=True))


@pytest.mark.parametrize(
    ("draft", "rule", "kind"),
    [
        ("law=sampled, stop=0.3", "reject", "distribution"),
        ("law=sampled, stop=0.3", "block", "distribution"),
        ("law=sampled, stop=0.3", "mix, epsilon=0.1", "lossy"),
        ("law=sampled, stop=0.3", "cascade, alpha=0.1", "lossy"),
        ("law=without_replacement, siblings=2, doubt=0.4, stop=0.3", "multi", "distribution"),
    ],
)
def test_the_checker_allows_what_was_enumerated(draft: str, rule: str, kind: str) -> None:
    text = f"g = draft(model, of=small, {draft})\nv = verify(g)\na = accept(v, rule={rule})\ncommit(a)"
    assert check(parse(text)) == kind
