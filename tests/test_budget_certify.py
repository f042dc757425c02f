"""Certificates on questions whose truth is known."""

import random
from dataclasses import replace

import pytest

from calibrations import answer, drawn, question
from foretell.errors import ForetellError, UsageError
from foretell.lab.budget import modes, pipelines
from foretell.lab.budget.certify import LEARN, attempt, certify, split
from foretell.lab.budget.frontier import frontier
from foretell.lab.budget.modes import ALWAYS, Family, gate, outcome, tally
from foretell.lab.budget.sample import AGAIN, Sample, samples
from foretell.runtime.calibration import Mode

RUNS = 250


def made(count: int, loss: float, gain: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    return split(drawn(count, loss, gain, seed), seed)


@pytest.mark.parametrize(("loss", "gain"), [(0.05, 0.0), (0.4, 0.1)])
def test_false_certificates_are_as_rare_as_promised(loss: float, gain: float) -> None:
    """Doubt says nothing here, so a threshold θ loses θ (loss - gain). False alarm of this test: below 0.1 %."""
    budget, false = 0.05, 0
    family = [Family("f", (*(gate("mean", 1, each / 8) for each in range(1, 8)), ALWAYS))]
    for seed in range(RUNS):
        found = attempt(family, *made(120, loss, gain, seed), budget, 0.95)
        passed = [each.tally.mode for each in found.tested if each.p is not None and each.p <= 0.05]
        true = [(1 if mode == ALWAYS else mode.threshold) * (loss - gain) for mode in passed]
        false += any(each >= budget - 1e-12 for each in true)
    # 5 % at most; three deviations of a share of so many runs
    assert false / RUNS <= 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5


def test_where_doubt_tells_losses_a_budget_is_certified_and_held() -> None:
    certified, small = 0, []
    for seed in range(8):
        found = certify(drawn(130, 0.3, 0.0, seed, sharp=0.9), [0.05], 0.95, seed).attempts[0]
        if found.certificate is not None:
            certified += 1
            small.append(found.certificate.cost.small)
            fresh = tally(found.certificate.mode, drawn(400, 0.3, 0.0, 1000 + seed, sharp=0.9))
            assert fresh.loss <= 0.05
            assert found.certificate.saves == ("time", "processor time")
    assert certified >= 6
    assert max(small) > 0.4


def test_a_small_model_that_is_as_good_answers_everything() -> None:
    found = certify(drawn(120, 0.0, 0.1, 3), [0.05], 0.95, 0)
    (one,) = found.attempts
    assert one.certificate is not None
    assert one.certificate.mode == ALWAYS
    assert one.certificate.cost.small == 1
    assert found.smallest is not None
    assert found.smallest.budget < 0.05


def test_too_few_questions_are_refused_with_the_number_that_is_needed() -> None:
    found = certify(drawn(50, 0.0, 0.0, 3), [0.05], 0.95, 0)
    (one,) = found.attempts
    assert one.certificate is None
    assert "with so few questions" in one.why
    assert one.needed == 98
    assert certify(drawn(98, 0.0, 0.0, 3), [0.05], 0.95, 0).attempts[0].certificate is not None
    assert found.smallest is not None
    assert 0.05 < found.smallest.budget < 0.12
    assert found.certificates == (found.smallest,)
    with pytest.raises(UsageError, match=r"8 questions were answered, too few .* give at least 12"):
        certify(drawn(8, 0.0, 0.0, 3), [0.05], 0.95, 0)


def test_a_small_model_that_is_always_wrong_is_never_certified() -> None:
    found = certify(drawn(120, 0.6, 0.0, 1), [0.05], 0.95, 0)
    (one,) = found.attempts
    assert all(each.tally.mode != ALWAYS for each in one.tested if each.p is not None and each.p <= 0.05)
    none = [Family("f", (ALWAYS,))]
    alone = attempt(none, *split(drawn(120, 0.6, 0.0, 1), 0), 0.05, 0.95)
    assert alone.certificate is None
    assert alone.needed is None
    assert "no less than 5 %" in alone.why


def test_tests_stop_at_the_first_that_fails() -> None:
    found = attempt([Family("f", (ALWAYS, gate("mean", 1, 0.001)))], *split(drawn(120, 0.5, 0.0, 1), 0), 0.05, 0.95)
    first, second = found.tested
    assert first.p is not None
    assert second.p is None
    assert found.certificate is None


def test_the_split_is_by_task_and_by_nothing_else() -> None:
    questions = drawn(50, 0.1, 0.1, 1) + [replace(each, id=f"u{each.id}", task="u") for each in drawn(20, 0.1, 0.1, 2)]
    learn, check = split(questions, 7)
    assert [sum(each.task == task for each in learn) for task in "tu"] == [round(LEARN * 50), round(LEARN * 20)]
    assert {each.id for each in learn} | {each.id for each in check} == {each.id for each in questions}
    shuffled = random.Random(0).sample(questions, len(questions))
    assert split(shuffled, 7) == (learn, check)


def test_what_a_gate_takes() -> None:
    sure, unsure = question(1, target=False, small=True, doubt=0.1), question(2, target=True, small=False, doubt=0.9)
    for tokens, spent in ((1, 0.1), (8, 0.3), (0, 0.3)):
        mode = gate("mean", tokens, 0.5)
        left = outcome(mode, sure)
        assert (left.right, left.response_s, left.processor_s, left.small) == (True, 0.3, 0.6, 1)
        asked = outcome(mode, unsure)
        assert (asked.right, asked.small) == (True, 0)
        assert (asked.response_s, asked.processor_s) == (pytest.approx(1 + spent), pytest.approx(2 + 2 * spent))
    early = outcome(gate("worst", 0, 0.5), unsure)  # the first token is above it already
    assert early.response_s == pytest.approx(1.1)
    short = outcome(gate("length", 0, 1.0), sure)  # so is the second of its three
    assert (short.small, short.response_s) == (0, pytest.approx(1.2))


def test_a_second_answer_is_paid_for_by_all() -> None:
    one = question(1, target=True, small=True, doubt=0.1)
    again = answer(1, AGAIN, True, 0.4, (0.1, 0.1, 0.1))
    (sample,) = samples([*one.answers.values(), again], ["O2", "small", AGAIN])
    assert sample.disagreement == 0
    assert outcome(gate("disagreement", 0, 0.0), sample).response_s == pytest.approx(0.7)
    assert samples([*one.answers.values()], ["O2", "small", AGAIN]) == []


def test_a_gate_may_hand_on_to_a_pipeline() -> None:
    (family,) = pipelines.families(["mix=0.1"], 0.0)
    mixed = answer(1, "mix=0.1", True, 0.6)
    questions = [
        replace(each, answers={**each.answers, "mix=0.1": mixed})
        for each in (question(i, target=False, small=False, doubt=i / 20) for i in range(20))
    ]
    found = modes.families(questions, [family])
    combined = [each for each in found if each.name.endswith(", else mix=0.1")]
    assert len(combined) == 3
    mode = combined[0].modes[3]
    assert (mode.otherwise, mode.kind) == ("mix=0.1", "gate")
    assert mode.both is not None
    assert outcome(mode, questions[0]).right is False
    handed_on = outcome(mode, questions[19])
    assert (handed_on.right, handed_on.small, handed_on.response_s) == (True, 0, pytest.approx(0.9))
    assert outcome(modes.TARGET, questions[0]).response_s == 1


def test_thresholds_are_readable_and_split_the_questions() -> None:
    questions = drawn(60, 0.1, 0.1, 1)
    found = modes.families(questions)
    assert {"mean surprise of the first token", "largest surprise of the whole answer", "length"} <= {
        each.name for each in found
    }
    for family in found:
        assert family.modes[-1] == ALWAYS
        limits = [each.threshold for each in family.modes[:-1]]
        assert limits == sorted(set(limits))
        assert all(float(f"{each:.4g}") == each for each in limits)
    shares = [tally(each, questions).cost.small for each in found[0].modes]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.05)


def test_the_frontier_says_what_beats_exact() -> None:
    questions = drawn(80, 0.0, 0.05, 2)
    points = frontier(questions, modes.families(questions), 0.05, 0.95)
    assert points[0].tally.mode.name == "O2"
    assert (points[0].time, points[0].processor, points[0].upper) == (1, 1, 0)
    best = next(each for each in points if each.tally.mode == ALWAYS)
    assert best.front
    assert best.beats
    assert best.time == pytest.approx(0.3)
    slow = [question(i, target=True, small=True, doubt=0.1, small_s=1.5) for i in range(20)]
    assert not any(each.beats for each in frontier(slow, modes.families(slow), 0.05, 0.95))


def test_pipelines_by_name() -> None:
    found = pipelines.families(["all", "defer=0.05"], 0.0)
    assert [each.name for each in found] == ["defer", "entropy", "mix"]
    assert [each.name for each in found[0].modes] == ["defer=0.05", "defer=0.2", "defer=0.5"]
    assert isinstance(found[0].modes[0], Mode)
    assert [each.name for each in pipelines.levels(["O2", "all", "O1"], 0.0)] == ["O0", "O1"]
    assert "cascade" in {each.name for each in pipelines.families(["all"], 0.7)}
    for wrong, why in (
        ("defre=0.2", "defer is meant"), ("mix", "as in mix=0.2"), ("mix=2", "epsilon"), ("cascade=1", "temperature 0")
    ):  # fmt: skip
        with pytest.raises(ForetellError, match=why):
            pipelines.families([wrong], 0.0)
