"""Learned chances against how often guesses were right so far, on texts of known chances."""

from random import Random

import pytest

from foretell.cost.model import USUAL
from foretell.cost.scores import score
from foretell.draft.lookup import LookupSource
from foretell.runtime.backoff import FIRST, MOST, Backoff
from foretell.runtime.chances import Doubts, Matches


def test_scores_of_perfect_and_of_constant_chances() -> None:
    found = score([[(1.0, True), (0.0, False)] * 10])
    assert (found.count, found.right, found.brier) == (20, 0.5, 0.0)
    assert found.gain == 1.0
    assert found.table == ((0.0, 0.0, 10), (1.0, 1.0, 10))
    even = score([[(0.5, bool(i % 2)) for i in range(40)]])
    assert even.brier == pytest.approx(0.25)
    assert 0.25 < even.constant < 0.27, "it has to learn the rate"
    assert score([]).gain == 0.0


def test_a_draft_models_own_probability_tells_more_than_its_rate() -> None:
    rng, texts = Random(0), list[list[tuple[float, bool]]]()
    for _ in range(20):
        doubts, text = Doubts(), list[tuple[float, bool]]()
        for _ in range(100):
            ((sure, chance, _),) = rng.choices(USUAL, [share for _, _, share in USUAL])
            right = rng.random() < chance
            text.append((doubts.chance(sure), right))
            doubts.score(sure, right)
        texts.append(text)
    found = score(texts)
    assert found.gain > 0.2
    assert all(abs(chance - right) < 0.12 for chance, right, count in found.table if count > 100)


def test_the_length_of_a_match_tells_more_than_the_rate_of_copies() -> None:
    rng, texts = Random(1), list[list[tuple[float, bool]]]()
    for _ in range(10):
        words = [[rng.randrange(60) for _ in range(rng.randrange(2, 12))] for _ in range(8)]
        tokens = [token for _ in range(25) for token in rng.choice(words)]
        source, matches, text = LookupSource("lookup", 8), Matches(), list[tuple[float, bool]]()
        for place, token in enumerate(tokens):
            proposal, coming = source.propose(8), tokens[place : place + 8]
            for guess, came in zip(proposal.guesses, coming, strict=False):
                text.append((matches.chance(guess.chance), guess.token == came))
                if guess.token != came:
                    break
            matches.score(proposal, (), coming)
            source.extend([token])
        texts.append(text)
    assert score(texts).gain > 0.1


def test_what_fails_is_tried_ever_more_rarely_and_never_given_up() -> None:
    backoff, due = Backoff(), list[int]()
    for now in range(400):
        if backoff.tick():
            due.append(now)
            backoff.failed()
    gaps = [b - a for a, b in zip([-1, *due], due, strict=False)]
    assert gaps[:3] == [FIRST, 2 * FIRST, MOST]
    assert set(gaps[3:]) == {MOST}
    backoff.used()
    assert not any(backoff.tick() for _ in range(FIRST - 1))
    assert backoff.tick()
