"""Every acceptance rule gives the law that it promises: by enumeration with Fractions, compared by equality.

A broken variant of each rule (its source with one thing changed) is caught by the same comparison.
"""

import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell.accept
from enumerate import (
    Drafting,
    Known,
    Model,
    Text,
    called,
    completed,
    drawn_chain,
    drawn_tree,
    emitted,
    likeliest_tree,
    texts,
    toy,
    variation,
)
from foretell.accept.proposal import ROOT, Guess, Proposal, Weights
from foretell.accept.rule import Chance, Rule
from foretell.accept.rules import NAMES, make

SEEDS = range(6)
EPSILON, ALPHA = Fraction(1, 3), Fraction(1, 4)
Make = Callable[..., Rule]


def pair(seed: int, vocabulary: int = 3) -> tuple[Model, Model]:
    """A target and a draft that have nothing to do with each other."""
    return toy(2 * seed, vocabulary), toy(2 * seed + 1, vocabulary)


def follows(target: Model, drafting: Drafting, rule: Rule, length: int) -> bool:
    """Whether a round, and the target behind it, give texts that are distributed as the target's."""
    return completed(emitted(drafting, rule, target), target, length) == texts(target, length)


def chains(q: Model, rule: Rule, target: Model) -> bool:
    return all(follows(target, partial(drawn_chain, q, width), rule, width + 1) for width in range(4))


def trees(q: Model, rule: Rule, target: Model) -> bool:
    shapes = ((1,), (2,), (3,), (2, 2), (3, 1), (1, 2), (1, 1, 1))
    return all(follows(target, partial(drawn_tree, q, shape), rule, len(shape) + 1) for shape in shapes)


def certain_trees(q: Model, rule: Rule, target: Model) -> bool:
    shapes = ((1,), (2,), (3,), (2, 2), (3, 2), (1, 3, 1), (2, 1, 2))
    return all(follows(target, fixed(likeliest_tree(q, shape)), rule, len(shape) + 1) for shape in shapes)


def fixed(proposal: Proposal) -> Drafting:
    """No chance in the draft."""
    return lambda _: proposal


def replaced(pi: Callable[[Weights, Weights], Weights], target: Model, q: Model, width: int) -> Model:
    """The law of a lossy rule: π where there is a guess, the target's behind the last."""
    return lambda text: pi(target(text), q(text)) if len(text) < width else target(text)


def lossy_chains(pi: Callable[[Weights, Weights], Weights], q: Model, rule: Rule, target: Model) -> bool:
    def one(width: int) -> bool:
        law = replaced(pi, target, q, width)
        given = emitted(partial(drawn_chain, q, width), rule, target)
        return completed(given, law, width + 1) == texts(law, width + 1)

    return all(map(one, range(4)))


def mixed(p: Weights, q: Weights) -> Weights:
    return p + EPSILON * (q - p)


def cascaded(p: Weights, q: Weights) -> Weights:
    distance = sum(each for each in p - q if each > 0)
    return p if max(q) < max(p) - ALPHA * distance else q


def walks(rule: Rule, seed: int) -> bool:
    """Whether a rule of choices keeps to the target's own text, whatever is guessed, and as far as it was guessed."""
    own = toy(seed)

    def chosen(text: Text) -> int:
        return int(own(text).argmax())

    for shape in ((), (1,), (2,), (3,), (2, 2), (3, 1, 1), (1, 1, 1), (3, 3, 3)):
        proposal = likeliest_tree(toy(seed + 100), shape)
        verdict = rule(proposal, Known(proposal, own, chosen), Unused())
        text: Text = ()
        guessed = {tuple(proposal.guesses[i].token for i in proposal.path(node)) for node in range(len(proposal))}
        expected = []
        while text in guessed | {()}:
            expected.append(chosen(text))
            text = (*text, expected[-1])
        if [*(proposal.guesses[i].token for i in verdict.path), verdict.bonus] != expected:
            return False
        if verdict.path and list(verdict.path) != proposal.path(verdict.path[-1]):
            return False
    return True


def keeps(rule: Rule, seed: int) -> bool:
    for width in range(4):
        proposal = likeliest_tree(toy(seed), (1,) * width)
        verdict = rule(proposal, Known(proposal, toy(seed), lambda text: 10 * len(text) + sum(text)), Unused())
        if verdict.path != tuple(range(width)) or verdict.bonus != 10 * width + sum(proposal.tokens):
            return False
    return True


class Unused:
    """A `Chance` for rules that need none."""

    def coin(self, purpose: str, node: int, probability: object) -> bool:
        raise AssertionError("tossed a coin")

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        raise AssertionError("drew a token")


def holds(name: str, make: Make, seed: int) -> bool:
    """Whether a rule gives what it promises, of toy models with this seed."""
    target, q = pair(seed)
    match name:
        case "greedy" | "coupled":
            return walks(make(name), seed)
        case "reject":
            return chains(q, make(name), target) and certain_trees(q, make(name), target)
        case "block":
            return chains(q, make(name), target)
        case "multi":
            larger, smaller = pair(seed, vocabulary=4)
            wide = follows(larger, partial(drawn_tree, smaller, (3,)), make(name), 2)
            return wide and trees(q, make(name), target)
        case "mix":
            return lossy_chains(mixed, q, make(name, epsilon=EPSILON), target)
        case "cascade":
            return lossy_chains(cascaded, q, make(name, alpha=ALPHA), target)
        case "keep":
            return keeps(make(name), seed)
    raise AssertionError(name)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_rule_gives_its_law(name: str, seed: int) -> None:
    assert holds(name, make, seed)


MUTANTS = {  # rule: (file, what stands there, what is put in its place)
    "reject": [
        ("rejection", "p = residual(p, q)", "pass"),  # drawn from p after a rejection
        ("rejection", "p = residual(p, q)", "p = residual(q, p)"),
        ("rejection", "return over / total if", "return over if"),  # later siblings are tried against too little
        ("rejection", "min(1, p[guess.token] / q[guess.token])", "p[guess.token]"),  # q forgotten: the coin of a point
        (
            "rejection",
            "child, left = _tried(proposal, node, target.p(node)",
            "child, left = _tried(proposal, node, target.p(ROOT)",
        ),
        ("reject", "return p, drawn_from(guess, p)", "return p, guess.q"),  # of a guess without chance
    ],
    "block": [
        ("block", "_behind(reach[kept] * p[kept],", "_behind(p[kept],"),  # the residual of token verification
        ("block", "return over, rest / (rest + lost)", "return over, 1 - lost"),  # h = w
        ("block", "return over, rest / (rest + lost)", "return over, 1"),
        ("block", "reach.append(min(1, reach[i] * ", "reach.append(min(1, "),  # the place alone, not the block
        ("block", "= p[kept], reach[kept]", "= q[kept - 1] if kept else p[0], reach[kept]"),
    ],
    "multi": [
        ("multi", "_without(guess.q, earlier)", "guess.q"),  # as if siblings were drawn independently
        ("multi", "rest / rest.sum()", "rest"),
        ("multi", "rest[list(tokens)] = 0", "rest[tokens[-1]] = 0"),  # only the last sibling is taken out
        ("rejection", "p = residual(p, q)", "pass"),
        ("rejection", "earlier.append(guess.token)", "pass"),
    ],
    "mix": [
        ("mix", "(1 - epsilon) * p + epsilon * q, q", "p, q"),
        ("mix", "(1 - epsilon) * p + epsilon * q, q", "p + epsilon * q, q"),
        ("mix", "(1 - epsilon) * p + epsilon * q, q", "epsilon * p + (1 - epsilon) * q, q"),
    ],
    "cascade": [
        ("cascade", "(p if asked else q), q", "(q if asked else p), q"),
        ("cascade", "p.max() - alpha * variation", "p.max()"),
        ("cascade", ".sum() / 2", ".sum() * 2"),
    ],
    "greedy": [("coupled", "token == token", "token >= 0")],
    "coupled": [
        ("coupled", "token == token", "token >= 0"),
        ("coupled", "token = target.choice(node)", "token = target.choice(ROOT)"),
        ("coupled", "in proposal.children(node)", "in proposal.children(node)[:1]"),  # the first sibling only
        ("coupled", "return Verdict(tuple(path), token)", "return Verdict(tuple(path[:-1]), token)"),
    ],
    "keep": [
        ("keep", "target.choice(node)", "target.choice(ROOT)"),
        ("keep", "while children :=", "if children :="),
    ],
}


@pytest.mark.parametrize(("name", "change"), [(name, each) for name, changes in MUTANTS.items() for each in changes])
def test_broken_variant_is_caught(name: str, change: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    broken = mutated(monkeypatch, *change)

    def survives(seed: int) -> bool:
        try:
            return holds(name, broken, seed)
        except (AssertionError, TypeError, ZeroDivisionError):
            return False  # the enumeration met what is no probability, or noise used twice

    assert not all(survives(seed) for seed in SEEDS)


def test_mutants_are_of_every_rule() -> None:
    assert set(MUTANTS) == set(NAMES)


def mutated(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> Make:
    """`rules.make` of a second copy of the rules, one file of which is changed."""
    folder = Path(foretell.accept.__file__).parent
    for each in ("rejection", "coupled", "greedy", "reject", "block", "multi", "mix", "cascade", "keep", "rules"):
        source = (folder / f"{each}.py").read_text(encoding="utf-8")
        if each == name:
            assert source.count(old) == 1, f"{name}.py: {old!r}"
            source = source.replace(old, new)
        module = ModuleType(f"foretell.accept.{each}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(source, f"broken {each}.py", "exec"), module.__dict__)  # noqa: S102 - our own source
    made: Make = module.make
    return made


@pytest.mark.parametrize("name", ["reject", "block", "multi"])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_guess_read_as_point_is_sound_wherever_it_came_from(name: str, data: st.DataObject) -> None:
    """Whatever the tree: given the guesses, the text is the target's. So merged, pruned and coupled ones do no harm."""
    law = data.draw(st.sampled_from(["point", "coupled"]))
    guesses: list[Guess] = []
    for _ in range(data.draw(st.integers(0, 3 if name == "block" else 5))):
        last = len(guesses) - 1
        parent = last if name == "block" else data.draw(st.integers(ROOT, last))
        free = sorted({0, 1, 2} - {guess.token for guess in guesses if guess.parent == parent})
        if free:
            guesses.append(Guess(data.draw(st.sampled_from(free)), parent, "any", law))
    proposal = Proposal(tuple(guesses))
    length = 1 + max((len(proposal.path(node)) for node in range(len(proposal))), default=0)
    assert follows(toy(data.draw(st.integers(0, 50))), fixed(proposal), make(name), length)


@pytest.mark.parametrize("name", ["reject", "multi"])
@pytest.mark.parametrize("seed", SEEDS)
def test_other_laws_are_read_as_point(name: str, seed: int) -> None:
    target, q = pair(seed)

    def other(chance: Chance) -> Proposal:
        tree = drawn_tree(q, (2, 1), chance)
        return tree if name == "reject" else called(tree, "sampled")

    assert follows(target, other, make(name), 3)


@pytest.mark.parametrize("name", ["reject", "block"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_chain_may_end_behind_an_unlikely_guess_that_stays(name: str, seed: int) -> None:
    target, q = pair(seed)
    doubtful = partial(drawn_chain, q, 3, until=lambda guess: guess.q is not None and guess.q[guess.token] < 0.4)
    assert follows(target, doubtful, make(name), 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_more_siblings_may_be_drawn_beside_a_doubtful_one(seed: int) -> None:
    target, q = pair(seed)
    doubtful = partial(drawn_tree, q, (3, 2), doubt=Fraction(1, 2))
    assert follows(target, doubtful, make("multi"), 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_mix_stays_within_its_bound(seed: int) -> None:
    """Of every token, given those before it: the conditional law of the round's text against the target's."""
    target, q = pair(seed)
    law = replaced(mixed, target, q, 2)
    text = completed(emitted(partial(drawn_chain, q, 2), make("mix", epsilon=EPSILON), target), law, 3)
    for depth in range(3):
        for begin in {each[:depth] for each in text}:
            total = sum(weight for each, weight in text.items() if each[:depth] == begin)
            mine = {
                (x,): sum((w for each, w in text.items() if each[: depth + 1] == (*begin, x)), Fraction(0)) / total
                for x in range(3)
            }
            distance = variation(mine, {(x,): target(begin)[x] for x in range(3)})
            assert distance <= EPSILON
            if depth < 2:
                assert distance == EPSILON * sum(each for each in q(begin) - target(begin) if each > 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "knobs"), [("mix", {"epsilon": 1}), ("cascade", {"alpha": 1})])
def test_a_lossy_rule_at_its_end_keeps_every_guess(name: str, knobs: dict[str, int], seed: int) -> None:
    target, q = pair(seed)
    given = emitted(partial(drawn_chain, q, 2), make(name, **knobs), target)
    law = replaced(lambda _, q: q, target, q, 2)
    assert {len(text) for text in given} == {3}
    assert given == texts(law, 3)


def test_keep_takes_the_first_of_siblings() -> None:
    proposal = likeliest_tree(toy(0), (2, 2))
    verdict = make("keep")(proposal, Known(proposal, toy(0), lambda _: 7), Unused())
    assert (verdict.path, verdict.bonus) == ((0, 2), 7)
    assert proposal.path(2) == [0, 2]
