"""How many guesses the rules keep, against theory: exactly where it can be enumerated, else within 3 standard errors.

Seeds are fixed: a test that passes once passes always. A right rule with other noise fails a comparison with 3 standard
errors in 3 of 1000.
"""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from enumerate import Drafting, Known, Model, drawn_chain, drawn_tree, fractions, law, likeliest_tree, toy
from foretell.accept.chance import KeyedChance
from foretell.accept.proposal import Proposal
from foretell.accept.rule import Chance, Rule
from foretell.accept.rules import make
from foretell.accept.sampling import Sampling
from foretell.accept.warpers import choose

ROUNDS = 4000
VOCABULARY = 8


def expected(drafting: Drafting, rule: Rule, target: Model) -> Fraction:
    """How many guesses a round keeps, exactly."""

    def program(chance: Chance) -> int:
        proposal = drafting(chance)
        return len(rule(proposal, Known(proposal, target), chance).path)

    return sum((kept * weight for kept, weight in law(program).items()), Fraction(0))


def random_pair(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(VOCABULARY, 0.5), 2)
    return p, q


def measured(drafting: Drafting, rule: Rule, target: Model) -> NDArray[np.int64]:
    """The guesses kept in each of many rounds, with the noise of real rounds."""
    kept = []
    for number in range(ROUNDS):
        chance = KeyedChance(5, number)
        proposal = drafting(chance)
        kept.append(len(rule(proposal, Known(proposal, target), chance).path))
    return np.array(kept)


def within(kept: NDArray[np.int64] | NDArray[np.bool_], theory: float) -> bool:
    error = max(float(kept.std()), 1e-3) / np.sqrt(len(kept))
    return abs(float(kept.mean()) - theory) <= 3 * error


@pytest.mark.parametrize("seed", range(8))
def test_reject_keeps_the_overlap(seed: int) -> None:
    p, q = random_pair(seed)
    kept = measured(partial(drawn_chain, lambda _: q, 1), make("reject"), lambda _: p)
    assert within(kept, np.minimum(p, q).sum())


@pytest.mark.parametrize("seed", range(8))
def test_a_greedy_guess_is_kept_with_its_probability(seed: int) -> None:
    p, q = random_pair(seed)
    proposal = likeliest_tree(lambda _: q, (1,))
    theory = p[q.argmax()]
    assert within(measured(lambda _: proposal, make("reject"), lambda _: p), theory)
    own = [choose(np.log(p).astype(np.float32), [], i, Sampling(1.0, seed=seed)) for i in range(ROUNDS)]
    assert within(np.array(own) == q.argmax(), theory)


@pytest.mark.parametrize("seed", range(8))
def test_coupled_guesses_are_right_as_often_as_gumbel_noise_makes_them(seed: int) -> None:
    p, q = random_pair(seed)
    sampling = Sampling(1.0, seed=seed)
    logits = [np.log(each).astype(np.float32) for each in (p, q)]
    same = [choose(logits[0], [], i, sampling) == choose(logits[1], [], i, sampling) for i in range(ROUNDS)]
    theory = sum(1 / np.maximum(p / p[x], q / q[x]).sum() for x in range(VOCABULARY))
    assert within(np.array(same), theory)
    assert theory <= np.minimum(p, q).sum()  # coupling without communication costs something


@pytest.mark.parametrize("seed", range(4))
def test_block_and_reject_on_chains_of_three(seed: int) -> None:
    p, q = random_pair(seed)
    drafting = partial(drawn_chain, lambda _: q, 3)
    rate = float(np.minimum(p, q).sum())
    assert within(measured(drafting, make("reject"), lambda _: p), rate + rate**2 + rate**3)
    reach, weights = np.ones(1), np.ones(1)  # w of every beginning, and its probability under q
    theory = 0.0
    for _ in range(3):
        reach, weights = np.minimum(1, np.outer(reach, p / q)).ravel(), np.outer(weights, q).ravel()
        theory += float(reach @ weights)
    assert within(measured(drafting, make("block"), lambda _: p), theory)


@pytest.mark.parametrize("seed", range(12))
def test_block_keeps_at_least_as_many_as_reject(seed: int) -> None:
    target, q = toy(2 * seed), toy(2 * seed + 1)
    for width in range(4):
        drafting = partial(drawn_chain, q, width)
        block, reject = (expected(drafting, make(name), target) for name in ("block", "reject"))
        assert block >= reject
        if width < 2:
            assert block == reject


def test_the_example_of_the_block_paper() -> None:
    """p = (1/3, 2/3), q = (2/3, 1/3), two guesses: 10/9 by tokens, 11/9 by blocks."""
    drafting: Drafting = partial(drawn_chain, lambda _: fractions(2, 1), 2)
    assert expected(drafting, make("reject"), lambda _: fractions(1, 2)) == Fraction(10, 9)
    assert expected(drafting, make("block"), lambda _: fractions(1, 2)) == Fraction(11, 9)


@pytest.mark.parametrize("seed", range(6))
def test_reject_on_siblings_keeps_one_with_their_joint_probability(seed: int) -> None:
    target, q = toy(2 * seed, 4), toy(2 * seed + 1, 4)
    proposal = likeliest_tree(q, (3,))
    rate = sum(target(())[token] for token in proposal.tokens)
    assert expected(lambda _: proposal, make("reject"), target) == rate


@pytest.mark.parametrize("seed", range(6))
def test_a_further_sibling_never_lowers_what_multi_keeps(seed: int) -> None:
    target, q = toy(2 * seed, 4), toy(2 * seed + 1, 4)
    rates = [expected(partial(drawn_tree, q, (count,)), make("multi"), target) for count in (1, 2, 3)]
    assert rates[0] == sum(np.minimum(target(()), q(())))
    assert rates == sorted(rates)


@pytest.mark.parametrize("seed", range(6))
def test_mix_keeps_more_than_reject_by_its_share(seed: int) -> None:
    """Σ min((1 - ε) p + ε q, q) = Σ min(p, q) + ε (1 - Σ min(p, q))."""
    target, q = toy(2 * seed), toy(2 * seed + 1)
    epsilon = Fraction(1, 5)
    plain = sum(np.minimum(target(()), q(())))
    drafting = partial(drawn_chain, q, 1)
    assert expected(drafting, make("mix", epsilon=epsilon), target) == plain + epsilon * (1 - plain)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["reject", "block", "multi", "mix", "cascade"])
@pytest.mark.parametrize("noise", [0.0, 1e-16, 1e-7])
def test_rules_stand_rounding(name: str, noise: float) -> None:
    """p and q that differ by rounding alone: residuals of nothing must not stop a round."""
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    rng = np.random.default_rng(1)
    rule = make(name, epsilon=0.1, alpha=0.5)
    kept = 0
    for number in range(500):
        q = p * (1 + noise * (rng.random(5) - 0.5))
        chance = KeyedChance(3, number)
        drafted: Proposal = drawn_chain(lambda _, q=q: q, 3, chance)  # type: ignore[misc]
        if name == "multi":
            drafted = drawn_tree(lambda _, q=q: q, (2, 1), chance)  # type: ignore[misc]
        verdict = rule(drafted, Known(drafted, lambda _: p), chance)
        kept += len(verdict.path)
        assert verdict.bonus in range(4)
    assert kept >= 500 * (2 if name == "multi" else 3) - 5
