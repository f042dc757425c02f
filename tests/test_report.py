"""Reports of experiments: what rows allow to say, and nothing beyond it."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foretell.errors import ForetellError
from foretell.lab.experiment.rows import Row
from foretell.lab.quality import intervals
from foretell.lab.report import facts, words
from foretell.lab.report.compare import against, compare, least_difference
from foretell.lab.report.equality import equalities
from foretell.lab.report.report import Report, report
from foretell.lab.report.resample import RESAMPLES, Resampled, chance, holm, interval, student
from foretell.lab.report.standing import Point, front
from foretell.lab.report.study import Study, studies
from report_rows import BIG, SIDES, SMALL, make

FEW = {name: SIDES[name] for name in ("O0", "O2", "mix epsilon=0.2")}
RIVALS = FEW | {name: SIDES[name] for name in ("cascade alpha=0.3", "small alone")}


def only(rows: list[Row]) -> Study:
    (study,) = studies(rows)
    return study


def texts(said: Report) -> str:
    return "\n".join(f"{each.tone}: {each.text}" for its in said.sections for each in (*said.notes, *its.findings))


def one_class(times: dict[str, list[float]], **changes: Any) -> list[Row]:
    """Rows of a single class: of each side the response times by prompt."""
    base = make(prompts=1, judged=0, sides={"O0": SIDES["O0"]})[0]
    return [
        replace(
            base,
            **{"configuration": name, "level": name, "id": str(i), "response_s": s, "first_token_s": 0.0} | changes,
        )
        for name, its in times.items()
        for i, s in enumerate(its)
    ]


# Resamples


def test_resamples_of_three_prompts_are_those_that_can_be_enumerated() -> None:
    times = {"O0": [1.0, 2.0, 4.0], "O2": [0.5, 1.9, 1.0]}
    study = only(one_class(times))
    by = Resampled(study)
    o0, o2 = study.sides
    values = by.ratio(o2, o0, "response_s")
    assert values[0] == pytest.approx(3.4 / 7.0)
    # Two of the three are drawn, with replacement: nine equally likely outcomes.
    drawn = [
        sum(times["O2"][i] for i in pair) / sum(times["O0"][i] for i in pair) for pair in product(range(3), repeat=2)
    ]
    known, counts = np.unique(np.round(values[1:], 9), return_counts=True)
    assert known == pytest.approx(sorted(set(np.round(drawn, 9))))
    expected = [drawn_count / 9 * RESAMPLES for drawn_count in np.unique(np.round(drawn, 9), return_counts=True)[1]]
    assert stats.chisquare(counts, expected).pvalue > 1e-4  # fixed seed: fails for one seed in ten thousand


def test_intervals_agree_with_scipys_paired_bootstrap() -> None:
    chance_ = np.random.default_rng(5)
    slow = chance_.gamma(4.0, 1.0, 80)
    fast = slow * chance_.uniform(0.4, 0.9, 80)
    study = only(one_class({"O0": slow.tolist(), "O2": fast.tolist()}))
    found = compare(Resampled(study), study.sides[1], study.sides[0], "response_s")
    theirs = stats.bootstrap(
        (fast, slow),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=5000,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    width = theirs.high - theirs.low
    assert abs(found.low - theirs.low) < 0.1 * width
    assert abs(found.high - theirs.high) < 0.1 * width
    assert found.significant


def test_overall_is_the_geometric_mean_of_the_classes_ratios() -> None:
    study = only(make(prompts=3, judged=3, sides=FEW))
    by = Resampled(study)
    o0, o2 = study.sides[:2]
    ratios = []
    for klass in study.classes:
        of = {
            side.name: [row for row in side.rows if row.klass == klass] for side in (o0, o2)
        }  # of each class: tokens after the first of all answers by their time
        rates = {
            name: sum(r.tokens - 1 for r in its) / sum(r.response_s - (r.first_token_s or 0) for r in its)
            for name, its in of.items()
        }
        ratios.append(rates["-O2"] / rates["-O0"])
    assert by.ratio(o2, o0, "tokens_per_s")[0] == pytest.approx(np.prod(ratios) ** (1 / len(ratios)))


def test_of_repeats_the_median_counts_and_of_seeds_the_mean() -> None:
    rows = one_class({"O0": [1.0]})
    again = [replace(rows[0], repeat=n, response_s=s) for n, s in ((1, 9.0), (2, 2.0))]
    other = replace(rows[0], seed=1, response_s=4.0)
    study = only([*rows, *again, other])
    assert study.table["chat"][0, 0, 1] == pytest.approx((2.0 + 4.0) / 2)


def test_a_single_prompt_has_no_interval_and_nothing_is_significant() -> None:
    study = only(one_class({"O0": [2.0], "O2": [1.0]}))
    by = Resampled(study)
    found = compare(by, study.sides[1], study.sides[0], "response_s")
    assert found is not None
    assert (found.value, found.low, found.high, found.p, found.significant) == (0.5, None, None, 1.0, False)


def test_classes_with_one_prompt_each_are_drawn_in_place_of_prompts() -> None:
    study = only(make(prompts=1, judged=1, sides=FEW))
    by = Resampled(study)
    o0, o2 = study.sides[:2]
    assert all(interval(by.figure(o2, klass, "response_s"), by.freedom([klass])) is None for klass in study.classes)
    ratios = np.array([by.ratio(o2, o0, "response_s", [klass])[0] for klass in study.classes])
    low, high = interval(by.ratio(o2, o0, "response_s"), by.freedom()) or (0.0, 0.0)
    logs = np.log(ratios)
    error = logs.std(ddof=1) / len(logs) ** 0.5  # of the mean of classes
    assert (np.log(high) - np.log(low)) / 2 == pytest.approx(stats.t.ppf(0.975, len(logs) - 1) * error, rel=0.25)


def test_a_few_prompts_that_agree_are_not_certain() -> None:
    sure = np.full(1 + RESAMPLES, -0.3)
    assert chance(sure, 4, 3) == 2**-3
    assert chance(sure, 40, 39) == 2**-39
    assert chance(np.zeros(1 + RESAMPLES), 40, 39) == 1.0
    assert chance(np.full(1 + RESAMPLES, np.nan), 40, 39) == 1.0
    assert chance(sure, 1, 0) == 1.0


@pytest.mark.parametrize(("steps", "freedom"), [(0.5, 30), (2.0, 30), (2.0, 8), (3.0, 12), (9.0, 12)])
def test_p_is_that_of_students_t_for_well_behaved_resamples(steps: float, freedom: int) -> None:
    drawn = stats.norm.ppf((np.arange(RESAMPLES) + 0.5) / RESAMPLES) + steps
    found = chance(np.concatenate([[steps], drawn]), 1000, freedom)
    assert found == pytest.approx(2 * stats.t.sf(steps, freedom), rel=0.15)


@pytest.mark.parametrize("freedom", [2, 3, 5, 9, 30, 300])
def test_students_t_is_near_enough(freedom: int) -> None:
    for share in (0.9, 0.975, 0.995):
        z, t = stats.norm.ppf(share), stats.t.ppf(share, freedom)
        assert 0.995 * t <= student(z, freedom) <= t * (1.02 if freedom >= 5 else 1.15)  # rather too wide


def test_intervals_hold_what_they_promise() -> None:
    """19 of 20 should have the true ratio: of 150 draws at least 133, fewer in one run of a thousand."""
    random, held = np.random.default_rng(3), 0
    base = one_class({"O0": [1.0] * 8, "O2": [1.0] * 8})
    for _ in range(150):
        ratios = np.exp(random.normal(0.0, 0.3, 8))
        times = {"O0": np.ones(8), "O2": ratios / np.exp(0.3**2 / 2)}
        study = only([replace(row, response_s=float(times[row.level][int(row.id)])) for row in base])
        found = compare(Resampled(study), study.sides[1], study.sides[0], "response_s")
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1.0 <= found.high
    assert held >= 133


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_the_chances_and_bonferroni(chances: list[float]) -> None:
    found = holm(chances)
    assert all(
        p <= corrected <= min(1.0, len(chances) * p) + 1e-12 for p, corrected in zip(chances, found, strict=True)
    )
    order = sorted(range(len(chances)), key=chances.__getitem__)
    assert [found[i] for i in order] == sorted(found)
    # The step-down rule itself: reject in order while p is below 5 % divided by what is left.
    rejected, left = set(), len(chances)
    for i in order:
        if chances[i] * left >= 0.05:
            break
        rejected.add(i)
        left -= 1
    assert {i for i, p in enumerate(found) if p < 0.05} == rejected


def test_what_may_be_lost_is_agresti_and_mins_for_right_and_wrong() -> None:
    rows = one_class({"O0": [1.0] * 50, "mix": [1.0] * 50}, measure="right")
    scores = {("O0", i): float(i < 30) for i in range(50)} | {("mix", i): float(i < 24 or i >= 48) for i in range(50)}
    study = only([replace(row, score=scores[row.configuration, int(row.id)]) for row in rows])
    o0, mix = study.sides
    assert least_difference(study, mix, o0) == pytest.approx(intervals.paired_difference(2, 6, 50)[0])
    among = least_difference(study, mix, o0, among=10)
    assert among is not None
    assert among < intervals.paired_difference(2, 6, 50)[0]


def test_few_judged_prompts_certify_nothing_even_where_all_are_equal() -> None:
    for prompts, certified in ((10, False), (80, True)):
        rows = one_class({"O0": [1.0] * prompts, "mix": [1.0] * prompts}, score=1.0, measure="right")
        study = only(rows)
        least = least_difference(study, study.sides[1], study.sides[0])
        assert least is not None
        assert (least >= -0.05) is certified


# Studies


def test_machines_builds_temperatures_and_plans_are_kept_apart_and_said() -> None:
    rows = make(prompts=2, judged=0, sides=FEW)
    for name, value in (("machine", "another"), ("engine", "v2"), ("temperature", 0.8), ("plan", "second")):
        said = report(rows + [replace(row, **{name: value}) for row in rows])
        assert len(said.sections) == 2
        assert "kept apart" in texts(said)
        assert {getattr(its.study, name) for its in said.sections} == {getattr(rows[0], name), value}


def test_the_target_is_the_model_that_is_slowest_alone() -> None:
    study = only(make(prompts=2, judged=2))
    assert study.target == BIG
    assert study.reference.name == "-O0"
    assert study.baseline is not None
    assert study.baseline.name == "-O2"
    small = next(side for side in study.sides if side.model == SMALL)
    assert study.alone(small) is small


def test_prompts_that_not_all_have_answered_are_left_out_and_said() -> None:
    rows = make(prompts=4, judged=0, sides=FEW)
    said = report([row for row in rows if not (row.configuration == "O2" and row.id == "chat-3")])
    assert len(said.sections[0].study.classes["chat"]) == 3
    assert "1 prompt was not answered by all sides" in texts(said)


def test_a_side_of_some_suites_only_does_not_take_the_others_away() -> None:
    rows = [row for row in make(prompts=4, judged=12) if row.configuration != "chain" or row.suite == "gsm8k"]
    its = report(rows).sections[0]
    assert its.study.left_out == 0
    assert len(its.study.classes) == 6
    assert its.overall["chain"]["response_s"].value is None
    assert "chain" in {each.mine for each in its.speed}
    assert "chain" not in {each.side for each in its.time_quality}


def test_classes_of_two_suites_with_the_same_name_are_told_apart() -> None:
    rows = make(prompts=2, judged=0, sides=FEW)
    study = only(rows + [replace(row, suite="others") for row in rows])
    assert "others: chat" in study.classes
    assert "prompts: chat" in study.classes


@pytest.mark.parametrize(
    ("field", "value"), [("response_s", "soon"), ("tokens", -1), ("score", True), ("promise", "all")]
)
def test_rows_that_somebody_edited_are_refused(field: str, value: object) -> None:
    rows = make(prompts=1, judged=0, sides=FEW)
    with pytest.raises(ForetellError, match="answer of O0 to prompts chat-0"):
        report([replace(rows[0], **{field: value}), *rows[1:]])


def test_no_rows_are_an_error() -> None:
    with pytest.raises(ForetellError, match="no rows"):
        report([])


# What is said


def test_exact_sides_are_shown_to_be_equal() -> None:
    said = report(make(prompts=2, judged=2))
    assert said.broken == []
    assert "kept: 0 of 60 answers differ from -O0" in texts(said)
    assert "small alone" not in {each.side for each in said.sections[0].equal}


def test_other_tokens_of_an_exact_side_are_said_first() -> None:
    rows = make(prompts=2, judged=2)
    wrong = [replace(r, digest="other") if (r.configuration, r.id) == ("O3", "code-1") else r for r in rows]
    said = report(wrong)
    assert said.broken == ["-O3"]
    first = said.sections[0].findings[0]
    assert first.tone == "broken"
    assert "code code-1" in first.text
    assert "1 of 12 answers" in first.text


def test_repeats_of_an_exact_side_must_be_equal_too() -> None:
    rows = make(prompts=1, judged=0, sides={"O0": SIDES["O0"]})
    study = only([*rows, replace(rows[0], repeat=1, digest="other")])
    (found,) = equalities(study)
    assert (found.answers, found.unequal) == (1, 1)


def test_sampled_answers_of_different_seeds_may_differ() -> None:
    rows = make(prompts=1, judged=0, sides=FEW, temperature=0.8)
    said = report(rows + [replace(row, seed=1, digest=f"{row.digest} 1") for row in rows])
    assert said.broken == []


def test_what_beats_exact_o2_is_named() -> None:
    said = report(make(prompts=2, judged=60, sides=RIVALS))
    (yes,) = [each for each in said.sections[0].candidates if each.good]
    assert yes.side == "mix epsilon=0.2"
    assert "mix epsilon=0.2 takes less time and less processor time than exact -O2 at equal certified quality" in texts(
        said
    )
    assert "small alone (may lose" in texts(said)


def test_it_is_said_when_nothing_beats_exact_o2() -> None:
    said = texts(report(make(prompts=4, judged=8, sides=RIVALS)))
    assert "none: No setting takes less time and less processor time" in said
    assert "16 judged prompts cannot certify less than" in said


def test_joules_whose_range_begins_at_nothing_leave_everything_open() -> None:
    its = report(make(prompts=2, judged=4, sides=FEW, joules_low=0.0)).sections[0]
    assert its.energies["-O2"].survival != "apart"
    assert its.energies["-O2"].to_json()["range_high"] is None


def test_a_setting_that_takes_more_processor_time_is_not_better() -> None:
    rows = make(prompts=2, judged=80, sides=FEW)
    heavy = [replace(row, processor_s=9.0) if row.configuration.startswith("mix") else row for row in rows]
    its = next(each for each in report(heavy).sections[0].candidates if each.side.startswith("mix"))
    assert its.certified
    assert not its.good
    assert words.lacking(its) == "not certainly less processor time"


def test_a_budget_decides_what_counts_as_equal() -> None:
    rows = make(prompts=2, judged=60, sides=RIVALS)
    good = {budget: [c.side for c in report(rows, budget).sections[0].candidates if c.good] for budget in (0.001, 0.2)}
    assert good[0.001] == []
    assert "cascade alpha=0.3" in good[0.2]


def test_without_scores_nothing_is_said_about_quality() -> None:
    said = report(make(prompts=4, judged=0))
    assert "No answer was judged" in texts(said)
    assert said.sections[0].time_quality == []


def test_a_single_configuration_has_nothing_to_be_compared_with() -> None:
    said = report(make(prompts=4, judged=4, sides={"O0": SIDES["O0"]}))
    assert "Only -O0 was run" in texts(said)
    assert said.sections[0].speed == []


def test_one_side_against_itself_under_another_name_is_no_difference() -> None:
    rows = one_class({"O0": [1.0, 2.0, 3.0, 4.0], "O2": [1.0, 2.0, 3.0, 4.0]})
    study = only(rows)
    (found,) = against(Resampled(study), study.sides[0], "response_s")
    assert (found.value, found.low, found.high, found.p) == (1.0, 1.0, 1.0, 1.0)


# Energy


@pytest.mark.parametrize(
    ("oe", "low", "high", "survives"),
    [(0.5, 0.9, 1.1, "apart"), (0.9, 0.6, 1.5, "same order"), (1.0, 0.6, 1.5, "open"), (1.5, 0.9, 1.1, "apart")],
)
def test_differences_in_joules_survive_their_ranges_or_not(oe: float, low: float, high: float, survives: str) -> None:
    joules = {"O2": 10.0, "Oe": 10.0 * oe}
    rows = one_class({"O2": [1.0] * 12, "Oe": [1.0] * 12})
    rows = [
        replace(
            row,
            joules=joules[row.level],
            joules_low=low * joules[row.level],
            joules_high=high * joules[row.level],
            guessed=3 if row.level == "Oe" else 4,
        )
        for row in rows
    ]
    its = report(rows).sections[0]
    assert its.versus is not None
    assert its.versus.survival == survives
    assert its.versus.low == pytest.approx(oe * low / high)
    assert its.choices[0].different == 12
    assert "-Oe guessed differently from -O2 on 12 of 12 prompts" in texts(report(rows))


def test_without_joules_energy_is_unavailable() -> None:
    nothing = {"joules": None, "joules_low": None, "joules_high": None, "joules_kind": "unavailable"}
    its = report(make(prompts=2, judged=4, **nothing, joules_source="no meter here")).sections[0]
    assert its.energy == {}
    assert its.versus is None
    assert its.energy_quality == []
    assert facts.no_energy(its.study) == "Energy is unavailable: no meter here."
    assert "nothing can be said about energy" in "\n".join(each.text for each in its.findings)


# The front


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=8))
def test_the_front_is_what_nothing_beats(places: list[tuple[int, int]]) -> None:
    found = front(
        [Point(str(i), "exact", "", float(c), None, None, s / 6, None, None) for i, (c, s) in enumerate(places)]
    )
    for each, (cost, score) in zip(found, places, strict=True):
        better = [(c, s) for c, s in places if c <= cost and s >= score and (c, s) != (cost, score)]
        assert each.front is (not better)


def test_levels_are_on_the_plot_with_the_judged_classes_alone() -> None:
    its = report(make(prompts=2, judged=6)).sections[0]
    point = next(each for each in its.time_quality if each.side == "-O2")
    by = Resampled(its.study)
    assert its.study.scored == ["gsm8k", "humaneval"]
    assert its.study.baseline is not None
    assert point.cost == pytest.approx(by.overall(its.study.baseline, "response_s", ["gsm8k", "humaneval"])[0])
    assert point.level == "O2"


def test_energy_against_the_target_alone_is_said_by_how_sure_it_is() -> None:
    said = texts(report(make(prompts=2, judged=4, sides=FEW)))
    assert "open: Less energy than -O0 (modelled), if the ranges err in the same way for all" in said
    assert "whatever the ranges" not in said
    sure = make(prompts=2, judged=4, sides=FEW, joules_kind="measured")
    sure = [replace(r, joules_low=0.99 * (r.joules or 0), joules_high=1.01 * (r.joules or 0)) for r in sure]
    assert "yes: Less energy than -O0 (measured), whatever the ranges" in texts(report(sure))
