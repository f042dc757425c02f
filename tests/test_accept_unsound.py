"""What the checker refuses is wrong: every refused combination of rule and guesses has a counter-example.

A counter-example shows a rule guesses of another kind together with their q, called by the law that the rule reads q
of, and the first token of the round no longer follows the target. (Read as `point`, the same guesses would be sound but
q of no use: see test_accept_exact.)
"""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import product

import pytest

from enumerate import (
    Known,
    Model,
    Noise,
    Round,
    Text,
    called,
    drawn_chain,
    drawn_tree,
    emitted,
    fractions,
    inverse,
    law,
    likeliest_tree,
    toy,
)
from foretell.accept.proposal import ROOT, Guess, Proposal
from foretell.accept.rule import Chance, Rule
from foretell.accept.rules import make
from foretell.ir.laws import LAWS, Refusal, judge

EPSILON, ALPHA = Fraction(1, 50), Fraction(1, 100)
SEEDS = range(12)
RULES = {
    "reject": make("reject"),
    "block": make("block"),
    "multi": make("multi"),
    "mix": make("mix", epsilon=EPSILON),
    "cascade": make("cascade", alpha=ALPHA),
}
Kind = Callable[[Model, Chance], Proposal]


def target_and_draft(seed: int) -> tuple[Model, Model]:
    """A target that is the more certain at first, so that a cascade asks it, and a draft that excludes nothing."""
    candidates = ((toy(2 * n), toy(2 * n + 1)) for n in range(10 * seed, 10 * seed + 1000))
    return next((p, q) for p, q in candidates if p(()).max() > q(()).max() + ALPHA and q(()).min() > 0)


def breach(rule: str, kind: Kind, seed: int) -> Fraction:
    """By how much the first token's law leaves what the rule promises: the target's, or ε around it."""
    target, q = target_and_draft(seed)
    read = called_for(rule)
    given = emitted(lambda chance: called(kind(q, chance), read), RULES[rule], target)
    first = [sum(weight for text, weight in given.items() if text[0] == x) for x in range(3)]
    distance = sum(abs(each) for each in first - target(())) / 2
    return max(distance - (EPSILON if rule == "mix" else 0), Fraction(0))


def called_for(rule: str) -> str:
    """The law whose q a rule reads."""
    return "without_replacement" if rule == "multi" else "sampled"


def likeliest_chain(q: Model, _: Chance) -> Proposal:
    return likeliest_tree(q, (1, 1))


def likeliest_siblings(q: Model, _: Chance) -> Proposal:
    return likeliest_tree(q, (2, 1))


def likelier_of_two(q: Model, chance: Chance) -> Proposal:
    """Two are drawn, the likelier one is kept."""
    drawn = [chance.draw("draft", i, q(())) for i in range(2)]
    token = max(drawn, key=lambda x: q(())[x])
    return Proposal((Guess(token, ROOT, "model", q=q(())),))


def dropped_when_unlikely(q: Model, chance: Chance) -> Proposal:
    """A drawn guess goes when it is not the likeliest, and what is behind it, too."""
    guesses = drawn_chain(q, 2, chance).guesses
    likely = [guess.q is not None and guess.q[guess.token] == guess.q.max() for guess in guesses]
    return Proposal(guesses[: [*likely, False].index(False)])


def merged(q: Model, chance: Chance) -> Proposal:
    """A drawn guess behind one of another source; equal ones share a row."""
    drawn = chance.draw("draft", 0, q(()))
    tokens = dict.fromkeys([0, drawn])
    return Proposal(tuple(Guess(token, ROOT, "merged", q=q(())) for token in tokens))


def likelier_first(q: Model, chance: Chance) -> Proposal:
    """Siblings drawn each on its own, equal ones once, in the order of their q."""
    drawn = {chance.draw("draft", i, q(())) for i in range(2)}
    return Proposal(tuple(Guess(x, ROOT, "model", q=q(())) for x in sorted(drawn, key=lambda x: -q(())[x])))


def distinct_siblings(q: Model, chance: Chance) -> Proposal:
    return drawn_tree(q, (2, 1), chance)


def unlikely_siblings_dropped(q: Model, chance: Chance) -> Proposal:
    guesses = drawn_tree(q, (2,), chance).guesses
    return Proposal(tuple(guess for guess in guesses if guess.q is not None and guess.q[guess.token] == guess.q.max()))


# (law, chain, pruned) -> guesses that a source with this law may give
KINDS: dict[tuple[str, bool, bool], Kind] = {
    ("point", True, False): likeliest_chain,
    ("point", True, True): likelier_of_two,
    ("point", False, False): likeliest_siblings,
    ("point", False, True): merged,
    ("coupled", True, False): dropped_when_unlikely,  # any selection of coupled guesses is allowed
    ("coupled", True, True): dropped_when_unlikely,
    ("coupled", False, False): likelier_first,
    ("coupled", False, True): likelier_first,
    ("sampled", True, True): dropped_when_unlikely,
    ("sampled", False, False): distinct_siblings,
    ("sampled", False, True): unlikely_siblings_dropped,
    ("without_replacement", True, True): dropped_when_unlikely,
    ("without_replacement", False, False): distinct_siblings,
    ("without_replacement", False, True): unlikely_siblings_dropped,
}
EXCEPTIONS = {("multi", ("sampled", False, False)): likelier_first}  # distinct ones in their order are what it wants
SOUND = {  # by test_accept_exact
    *(("reject", ("point", chain, pruned)) for chain in (True, False) for pruned in (True, False)),
    *((rule, ("sampled", True, False)) for rule in RULES),
    *((rule, ("without_replacement", True, False)) for rule in RULES),  # a chain has no siblings: the same as sampled
    ("multi", ("without_replacement", False, False)),
}
SOUND_THOUGH_REFUSED = {
    *(("reject", ("point", chain, True)) for chain in (True, False)),
    *((rule, ("without_replacement", True, False)) for rule in RULES if rule != "multi"),
    ("multi", ("sampled", True, False)),
}
COUNTER = {
    (rule, kind): EXCEPTIONS.get((rule, kind), draft)
    for rule, (kind, draft) in product(RULES, KINDS.items())
    if (rule, kind) not in SOUND
}


@pytest.mark.parametrize(("rule", "kind"), COUNTER)
def test_counter_example(rule: str, kind: tuple[str, bool, bool]) -> None:
    draft = COUNTER[rule, kind]
    assert any(breach(rule, draft, seed) > 0 for seed in SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", RULES)
def test_the_same_measure_finds_nothing_wrong_with_what_is_allowed(rule: str, seed: int) -> None:
    assert breach(rule, lambda q, chance: drawn_chain(q, 2, chance), seed) == 0
    if rule == "multi":
        assert breach(rule, lambda q, chance: drawn_tree(q, (2, 1), chance), seed) == 0


def test_the_checker_refuses_whatever_has_a_counter_example() -> None:
    every = product(RULES, product(LAWS, (True, False), (True, False)))
    refused = {
        (rule, (law, chain, pruned))
        for rule, (law, chain, pruned) in every
        if isinstance(judge(rule, law, chain=chain, pruned=pruned), Refusal)
    }
    assert set(COUNTER) <= refused
    assert refused & SOUND <= SOUND_THOUGH_REFUSED


P, Q = fractions(1, 1, 1, 1), fractions(0, 0, 1, 3)


def first_token(key: Callable[[str, int], object]) -> list[Fraction]:
    """The law of the first token when noise is shared by decisions of the same key."""

    def program(chance: Chance) -> int:
        noise = Noise(chance, 12, key)
        proposal = drawn_chain(lambda _: Q, 1, noise)
        verdict = make("reject")(proposal, Known(proposal, lambda _: P), noise)
        return proposal.guesses[0].token if verdict.path else int(str(verdict.bonus))

    given = law(program)
    return [given.get(x, Fraction(0)) for x in range(4)]


def test_noise_of_the_draft_reused_in_the_residual_is_wrong() -> None:
    assert first_token(lambda purpose, node: (purpose, node)) == list(P)
    assert first_token(lambda purpose, _: "coin" if purpose == "accept" else "draw") != list(P)


def test_noise_of_the_draft_reused_by_the_coin_is_wrong() -> None:
    assert first_token(lambda purpose, _: "bonus" if purpose == "bonus" else "draft and coin") != list(P)


def test_noise_of_the_coin_reused_in_the_residual_is_wrong() -> None:
    """The coin says where the uniform number lies, so the residual is drawn from a part of its range."""
    assert first_token(lambda purpose, _: "draft" if purpose == "draft" else "coin and bonus") != list(P)


def two_rounds(rule: Rule, *, reuse: bool) -> dict[Text, Fraction]:
    """Two tokens; a second round draws its guess with the noise of its position again, or with fresh noise."""
    p, q = fractions(1, 1), fractions(1, 3)

    def program(chance: Chance) -> Text:
        noise = Noise(chance, 4, lambda *_: None)

        def drafted(keys: list[object]) -> Proposal:
            tokens = [inverse(q, noise.uniform(key), 4) for key in keys]
            return Proposal(tuple(Guess(token, i - 1, "model", "sampled", q=q) for i, token in enumerate(tokens)))

        out: list[int] = []
        rounds: list[list[object]] = [[0, 1], [1 if reuse else "fresh"]]
        for number, keys in enumerate(rounds):
            if len(out) < 2:
                proposal = drafted(keys)
                verdict = rule(proposal, Known(proposal, lambda _: p), Round(chance, number))
                out += [*(proposal.guesses[i].token for i in verdict.path), int(str(verdict.bonus))]
        return tuple(out[:2])

    return law(program)


def test_coupled_draws_are_no_draws_for_a_block() -> None:
    """A coupled draft uses the noise of a position again in the next round; a block has already judged by it."""
    uniform = {text: Fraction(1, 4) for text in product((0, 1), repeat=2)}
    assert two_rounds(RULES["block"], reuse=False) == uniform
    assert two_rounds(RULES["block"], reuse=True) != uniform
    assert two_rounds(RULES["reject"], reuse=True) == uniform  # which never looks behind the place where it stops


def test_deterministic_siblings_called_without_replacement_are_wrong_by_this_much() -> None:
    """Always guessing 0 with q(0) = 1/2 where p(0) = 1/4: kept half of the time, not a quarter."""
    p, q = fractions(1, 3), fractions(1, 1)
    certain = called(likeliest_tree(lambda _: q, (1,)), "without_replacement")
    given = emitted(lambda _: certain, make("multi"), lambda _: p)
    assert sum(weight for text, weight in given.items() if text[0] == 0) == Fraction(1, 2)


def test_pruning_by_q_is_wrong_by_this_much() -> None:
    """A drawn 0 is dropped and the target asked instead: 0 comes out 3 times in 8 where p(0) = 1/2."""
    p, q = fractions(1, 1), fractions(1, 3)
    given = emitted(partial(dropped_when_unlikely, lambda _: q), make("reject"), lambda _: p)
    assert sum(weight for text, weight in given.items() if text[0] == 0) == Fraction(3, 8)
