"""Claims of papers beside measurements: verdicts, formulas, and a small run of the shipped plan on the toy model."""

import json
from pathlib import Path

import numpy as np
import pytest

from foretell.cli import run
from foretell.lab.reproduce import rules
from foretell.lab.reproduce.claim import Claim, Relation, interval
from foretell.lab.reproduce.lengths import rounds_of


def claim(relation: Relation, measured: float, low: float | None, high: float | None) -> Claim:
    return Claim("0000.00000", "says", "case", relation, 1.0, measured, low, high, "8 prompts")


@pytest.mark.parametrize(
    ("relation", "measured", "low", "high", "verdict"),
    [
        ("equal", 1.02, 0.98, 1.06, "holds"),
        ("equal", 1.05, 1.02, 1.08, "nearly"),
        ("equal", 1.5, 1.4, 1.6, "does not hold"),
        ("equal", 1.0, None, None, "undecided"),
        ("same", 1.0, None, None, "holds"),
        ("same", 0.999, None, None, "does not hold"),
        ("more", 1.5, 1.2, 1.8, "holds"),
        ("more", 1.1, 0.9, 1.3, "undecided"),
        ("more", 0.8, 0.7, 0.9, "does not hold"),
        ("less", 0.5, 0.4, 0.6, "holds"),
        ("less", 0.9, 0.7, 1.1, "undecided"),
        ("less", 1.5, 1.4, 1.6, "does not hold"),
    ],
)
def test_verdicts(relation: Relation, measured: float, low: float | None, high: float | None, verdict: str) -> None:
    assert claim(relation, measured, low, high).verdict == verdict


def test_an_interval_needs_some_items() -> None:
    flat = np.ones(101)
    assert interval(flat, flat, 2) == (None, None)
    assert interval(flat, flat, 3) == (1.0, 1.0)


def test_rounds_of_a_text_that_ends_agree_with_chance() -> None:
    """A round gives 1 + the run of kept guesses, and no more than is still wanted."""
    chance, length, wanted, trials = 0.7, 3, 10, 20_000
    random = np.random.default_rng(5)
    rounds = np.zeros(trials)
    left = np.full(trials, wanted)
    while (left > 0).any():
        kept = np.cumprod(random.random((trials, length)) < chance, axis=1).sum(1)
        rounds += left > 0
        left = left - (kept + 1)
    expected = rounds_of(np.array([chance]), length, wanted)[0, wanted]
    assert expected == pytest.approx(rounds.mean(), abs=5 * rounds.std() / trials**0.5)


def test_rules_alone_do_what_papers_say_of_them() -> None:
    found = list(rules.claims(rounds=1000, rounds_each=60, count=200))
    assert {each.paper for each in found} == {"2302.01318", "2211.17192", "2405.19261"}
    # each interval misses about once in 20 by chance; of 24, as many as 8 do once in ten thousand
    assert sum(each.verdict != "holds" for each in found) < 8


def test_the_plan_and_its_claims(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results"
    options = ["-m", "toy", "--draft", "toy", "--limit", "3", "--max-tokens", "24", "--seeds", "0"]
    assert run(["lab", "run", "reproduce", *options, "--out", str(out)]) == 0
    capsys.readouterr()
    assert run(["lab", "claims", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["claims"]
    mine = [each for each in found if "toy" in each["case"]]
    assert {each["paper"] for each in mine} == {"2211.17192", "2308.04623", "2106.04970", "2405.19261"}
    exact = [each for each in mine if each["relation"] == "same"]
    assert len(exact) == 2
    assert all(each["verdict"] == "holds" and each["measured"] == 1.0 for each in exact)


def test_claims_of_no_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "claims"]) == 0
    assert "lab run reproduce" in capsys.readouterr().out
    assert run(["lab", "claims", str(tmp_path / "none")]) != 0
    error = capsys.readouterr().err
    assert error.startswith("error:")
    assert "Traceback" not in error
