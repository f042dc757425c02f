"""The joules of a recorded run: they add up to what was billed, whatever the prices, and the file keeps them."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foretell.cli import run as command
from foretell.errors import ForetellError
from foretell.lab.explain import words
from foretell.lab.explain.energy import Energy, Span
from foretell.lab.explain.explanation import Explanation, explain
from foretell.lab.explain.page import page
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.joules import Joules, Range
from foretell.profile.energy.model import PRICES, Model
from foretell.profile.energy.work import Work
from foretell.runtime.pace import Decision
from foretell.runtime.run import Run
from foretell.runtime.runs import parse, text, write
from foretell.runtime.spent import Spent
from recorded import DRAFT_MS, finished, generation, round_, run_of

COUNTER = PassCounter(10**9, 10**8, 10**4, 1000, 10**9, 10**8, 10**5)
SMALL = PassCounter(10**8, 10**7, 10**3, 100, 10**8, 10**7, 10**4)
MODEL = Model(
    Range(2.0, 1.0, 4.0), Range(5.0, 3.0, 9.0), Range(2e-10, 1e-10, 3e-10), Range(1e-12, 0.0, 5e-12), "a test"
)
LOOKUP, DRAFTS = [(1, "lookup")], [(1, "draft")] * 3


def spending(run: Run, its: Model = MODEL, processor_s: float = 1.0) -> Run:
    """The run with counts of its passes behind ten tokens, and the joules that these come to."""
    target = [COUNTER.of_chain(each.rows, each.context, each.rows) for each in run.rounds]
    draft = [
        SMALL.of_chain(1, each.context, 1, each.draft_passes) if each.draft_passes else (0, 0) for each in run.rounds
    ]
    prompt = COUNTER.of_chain(10, 0, 1)
    moved = [prompt, *target, *draft]
    work = Work(sum(each[0] for each in moved), sum(each[1] for each in moved), run.totals.whole_s, processor_s)
    said = its.joules(work)
    spent = Spent(
        prices=its,
        threads=2,
        counter=COUNTER,
        draft=SMALL,
        processor_s=processor_s,
        prompt_bytes=prompt[0],
        prompt_macs=prompt[1],
        target_bytes=tuple(each[0] for each in target),
        target_macs=tuple(each[1] for each in target),
        draft_bytes=tuple(each[0] for each in draft),
        draft_macs=tuple(each[1] for each in draft),
        joules=said.value,
        low=said.low,
        high=said.high,
        kind=said.kind,
        source=said.source,
        missing=said.missing,
    )
    return replace(run, spent=spent)


def mixed() -> Run:
    rounds = []
    for i in range(12):
        rounds += [
            round_([], 0, rest_ms=2.0),
            round_(LOOKUP, i % 2, rest_ms=2.0),
            round_(DRAFTS, i % 4, draft_ms=3 * DRAFT_MS, rest_ms=2.0),
        ]
    return run_of(rounds, prompt_ms=16.0)


def energy_of(run: Run) -> tuple[Explanation, Energy]:
    said = explain(run)
    assert said.energy is not None
    return said, said.energy


def near(a: Span, b: Joules) -> bool:
    return [a.value, a.low, a.high] == pytest.approx([b.value, b.low, b.high])


def test_the_parts_add_up_to_what_was_billed() -> None:
    run = spending(mixed())
    said, found = energy_of(run)
    assert near(found.modelled, found.total)
    for which in ("value", "low", "high"):
        parts = sum(getattr(part.joules, which) for part in found.parts)
        prices = sum(getattr(each, which) for each in found.by_price.values())
        assert parts == pytest.approx(getattr(found.modelled, which)), which
        assert prices == pytest.approx(getattr(found.modelled, which)), which
    assert sum(part.share for part in found.parts) == pytest.approx(1.0)
    assert [part.name for part in found.parts] == [part.name for part in said.ledger]
    assert found.per_token == found.total.per(run.totals.tokens)


def test_a_recorded_generation_adds_up_too() -> None:
    """With an interrupted stream's reader, sources and setup: all that is not in rounds is in the rest."""
    stream, recorder, clock = generation(width=5, wrong=3, own_ms=1.0)
    for _ in stream:
        clock.spend(0.25)
    run = spending(finished(stream, recorder), processor_s=0.4)
    _, found = energy_of(run)
    assert near(found.modelled, found.total)
    by = {part.name: part.joules.value for part in found.parts}
    assert by["reader"] == pytest.approx(2.0 * run.totals.reader_s), "idle watts alone"


def test_prices_of_time_alone_give_the_ledger_of_time() -> None:
    watt = Model(Range(1.0, 1.0, 1.0), *(3 * (Range(0.0, 0.0, 0.0),)), source="a watt")
    said, found = energy_of(spending(mixed(), watt))
    for time, part in zip(said.ledger, found.parts, strict=True):
        assert 1000 * part.joules.value == pytest.approx(time.ms), part.name
    for earned, source in zip(said.balance.sources, found.sources, strict=True):
        assert 1000 * source.earned.value == pytest.approx(earned.ms)
        assert source.earned.low == source.earned.high
    assert 1000 * found.saved.value == pytest.approx(said.balance.ms)
    assert all(not each.differs and each.survives for each in found.lengths)


def test_bytes_make_rejected_rows_free_and_multiply_adds_make_them_dear() -> None:
    """Eight rows take twice one row's time; of their bytes hardly any are rejected ones', of their products 7 of 8."""
    nothing = Range(0.0, 0.0, 0.0)
    run = run_of([round_([(1, "lookup")] * 7, 0)] * 5)
    shares = {}
    for name, its in (
        ("time", Model(Range(1.0, 1.0, 1.0), nothing, nothing, nothing, "")),
        ("bytes", Model(nothing, nothing, Range(1e-9, 1e-9, 1e-9), nothing, "")),
        ("macs", Model(nothing, nothing, nothing, Range(1e-9, 1e-9, 1e-9), "")),
    ):
        _, found = energy_of(spending(run, its))
        by = {part.name: part.joules.value for part in found.parts}
        shares[name] = by["verify, rejected"] / (by["verify"] + by["verify, rejected"])
    assert shares["time"] == pytest.approx(0.5)
    assert shares["bytes"] < 0.001
    assert shares["macs"] == pytest.approx(7 / 8, abs=0.01)


def test_a_source_may_save_time_and_cost_joules() -> None:
    """Free rows, one of three guesses right: less time, but every row is multiplied for."""
    nothing = Range(0.0, 0.0, 0.0)
    macs = Model(nothing, nothing, nothing, Range(1e-9, 1e-9, 1e-9), "")
    said, found = energy_of(spending(run_of([round_([(1, "lookup")] * 3, 1)] * 20), macs))
    assert said.balance.sources[0].ms > 0
    assert found.sources[0].earned.value < 0
    (length,) = found.lengths
    assert length.joules < length.seconds
    assert length.survives


def test_decisions_by_joules_are_not_compared_with_times() -> None:
    decision = Decision("plain", "", 0, 1.0, 99.0, "no guess is worth its time")
    run = run_of([round_([], 0, rest_ms=2.0, decision=decision)] * 3)
    thrifty = replace(run, about=replace(run.about, level="Oe"))
    assert {each.by for each in explain(run).predictions} == {"decisions", "curves"}
    assert {each.by for each in explain(thrifty).predictions} == {"curves"}
    assert page(explain(thrifty))


def test_a_measured_total_stands_beside_modelled_parts() -> None:
    run = spending(mixed())
    assert run.spent is not None
    measured = replace(run.spent, joules=50.0, low=49.0, high=None, kind="measured", source="RAPL", missing=("dram",))
    _, found = energy_of(replace(run, spent=measured))
    assert str(found.total) == "at least 49 J measured, without dram"
    assert near(found.modelled, MODEL.joules(Work(*_amounts(run)))), "as before"


def _amounts(run: Run) -> tuple[int, int, float, float]:
    its = run.spent
    assert its is not None
    n_bytes = its.prompt_bytes + sum(its.target_bytes) + sum(its.draft_bytes)
    macs = its.prompt_macs + sum(its.target_macs) + sum(its.draft_macs)
    return n_bytes, macs, run.totals.whole_s, its.processor_s


def test_the_file_keeps_it() -> None:
    run = spending(mixed())
    content = text(run)
    assert parse(content, "it").spent == run.spent
    assert parse(text(mixed()), "it").spent is None, "as in files of a time before"
    assert explain(mixed()).energy is None
    json.dumps(explain(run).to_json(), allow_nan=False)


def damaged(content: str, change: dict[str, Any]) -> str:
    """The file with other values, and the digest that fits."""
    lines = content.splitlines()[:-1]
    spent = json.loads(lines[-1])
    lines[-1] = json.dumps({"spent": spent["spent"] | change})
    body = "".join(f"{each}\n" for each in lines)
    return f"{body}{json.dumps({'end': hashlib.sha256(body.encode()).hexdigest()})}\n"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target_bytes": [1]}, "spent is not of 36 rounds"),
        ({"kind": "guessed"}, "spent.kind is 'guessed', expected one of measured, modelled, unavailable"),
        ({"draft_macs": ["x"] * 36}, r"spent.draft_macs\[0\] is 'x'"),
        ({"threads": -1}, "spent.threads is -1"),
        ({"more": 1}, "spent.more is unknown"),
        ({"joules": "much"}, "spent.joules is 'much'"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(change: dict[str, Any], says: str) -> None:
    content = text(spending(mixed()))
    with pytest.raises(ForetellError, match=says) as error:
        parse(damaged(content, change), "it")
    assert "\n" not in str(error.value)


def test_prices_that_are_no_ranges_are_refused() -> None:
    prices = {name: {"value": 1.0, "low": 2.0, "high": 3.0} for name in PRICES} | {"source": "", "reasons": {}}
    with pytest.raises(ForetellError, match=r"spent: 1\.0 is not between 2\.0 and 3\.0"):
        parse(damaged(text(spending(mixed())), {"prices": prices}), "it")


def test_the_terminal_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write(tmp_path / "with.run", spending(mixed()))
    write(tmp_path / "without.run", mixed())
    assert command(["explain", str(tmp_path / "with.run")]) == 0
    shown = capsys.readouterr().out
    section = shown[shown.index("Where the energy went") : shown.index("What would have helped")]
    assert " J per token modelled (" in section
    assert "a test; the parts are modelled" in section
    assert max(map(len, section.splitlines())) <= 80
    for name in ("verify", "prompt", "busy processors", "multiply-adds", "lookup", "draft"):
        assert name in section
    assert command(["explain", str(tmp_path / "without.run")]) == 0
    assert "energy" not in capsys.readouterr().out


def test_the_page_shows_it() -> None:
    html = page(explain(spending(mixed())))
    assert "Where the energy went" in html
    assert "J per token modelled (" in html
    assert "busy processors" in html
    assert "Where the energy went" not in page(explain(mixed()))


def test_words() -> None:
    assert [words.joules_text(each) for each in (0.0, 0.005, 0.5, 5.0, 50.0, 5000.0)] == [
        *("0.00 mJ", "5.00 mJ", "500.0 mJ", "5.00 J", "50.0 J", "5000 J")
    ]
