"""Recording a run: it changes nothing, its times are those of the clock, and its file comes back as it was."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.accept.proposal import Proposal, chain
from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyDetokeniser, ToySession
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts
from foretell.draft.lookup import LookupSource
from foretell.draft.source import Source
from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.ir.ops import Accept, Commit, Draft, Merge, Pipeline, Verify
from foretell.lab.explain.explanation import explain
from foretell.lab.explain.page import page
from foretell.runtime.bind import bind
from foretell.runtime.context import Context
from foretell.runtime.events import Result
from foretell.runtime.loop import Request, Stream
from foretell.runtime.pace import LOG, Change, Decision, Pace
from foretell.runtime.paced import PacedCopy
from foretell.runtime.run import Change as Changed
from foretell.runtime.run import Run, Text
from foretell.runtime.runs import Runs, find, parse, read, text, write
from foretell.runtime.trace import Recorder, Round
from recorded import DRAFT_MS, ECHO, PROMPT, finished, generation, no_source, round_, run_of

FLAT = Facts(Curve.of({1: 1.0, 8: 1.0}), prompt_ms=1.0)
TIMES = {"round_s", "propose_s", "draft_s", "verify_s", "accept_s", "reader_s", "start_s"}


def plain(request: Request) -> Result:
    """The toy's own text."""
    bound = bind(presets.load("plain"), no_source, request.sampling)
    return Stream(request, Context(ToySession(ECHO, 512)), ToyDetokeniser(), bound).result


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.9, seed=3)])
def test_recording_changes_nothing(sampling: Sampling) -> None:
    stream, recorder, _ = generation(wrong=3, sampling=sampling)
    result = stream.result
    assert result.tokens == plain(Request(PROMPT, 40, sampling)).tokens
    assert len(recorder.rounds) == result.rounds
    assert sum(len(each.tried) for each in recorder.rounds) == result.guessed


def test_times_are_those_of_the_clock() -> None:
    """Passes of 8 or 16 ms, guesses of 2 ms each and 1 ms of looking, 0.5 ms of reading each event."""
    stream, recorder, clock = generation(wrong=4, own_ms=1.0)
    for _ in stream:
        clock.spend(0.5)
    run = finished(stream, recorder)
    totals, guesses = run.totals, sum(len(each.tried) for each in run.rounds)
    assert totals.whole_s == pytest.approx(clock())
    assert totals.prompt_s == pytest.approx(0.016)
    assert totals.draft_s == pytest.approx(guesses * DRAFT_MS / 1000)
    assert totals.verify_s == pytest.approx(len(run.rounds) * 0.008)
    assert totals.propose_s - totals.draft_s == pytest.approx(len(run.rounds) * 0.001)
    assert totals.reader_s == pytest.approx(0.0005 * totals.tokens)
    assert sum(each.round_s for each in run.rounds) + run.rounds[0].start_s == pytest.approx(totals.whole_s)
    assert [each.start_s for each in run.rounds[1:]] == pytest.approx(
        [each.start_s + each.round_s for each in run.rounds[:-1]]
    )
    assert sum(each.draft_passes for each in run.rounds) == guesses


def test_rounds_hold_what_was_guessed_and_kept() -> None:
    stream, recorder, _ = generation(width=3, wrong=4)
    result = stream.result
    text_ = [] if recorder.first is None else [recorder.first]
    for each in recorder.rounds:
        assert each.rows == 1 + len(each.tried)
        assert [parent for _, parent, _, _ in each.tried] == list(range(-1, len(each.tried) - 1))
        assert each.context == len(PROMPT) + len(text_) - 1
        text_ += [each.tried[i][0] for i in each.kept] + [each.bonus or 0]
    assert text_ == list(result.tokens)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_a_clock_that_jumps_gives_no_negative_times(steps: list[float]) -> None:
    times = list(accumulate(steps))
    ticks = count()
    recorder = Recorder()
    stream = Stream(
        Request(PROMPT, 12, started_s=3.0, clock=lambda: times[next(ticks) % len(times)]),
        Context(ToySession(ECHO, 512)),
        ToyDetokeniser(),
        bind(presets.load("lookup"), lambda _: LookupSource("lookup", 3), GREEDY),
        recorder=recorder,
    )
    result = stream.result
    assert result.tokens == plain(Request(PROMPT, 12)).tokens
    assert result.response_s >= 0
    assert result.tokens_per_s is None or result.tokens_per_s > 0
    assert all(value >= 0 for each in recorder.rounds for name, value in each._asdict().items() if name in TIMES)
    said = explain(finished(stream, recorder))
    assert all(part.ms >= 0 for part in said.ledger)
    assert sum(part.ms for part in said.ledger) == pytest.approx(1000 * said.run.totals.whole_s, abs=1e-6)


@dataclass
class Failing:
    """A source that raises in the n-th call of one of its methods."""

    method: str
    at: int
    error: Exception
    name: str = "shaky"
    calls: int = 0

    def _call(self, method: str) -> None:
        self.calls += method == self.method
        if method == self.method and self.calls > self.at:
            raise self.error

    def extend(self, tokens: Sequence[int]) -> None:
        self._call("extend")

    def propose(self, limit: int) -> Proposal:
        self._call("propose")
        return chain([0, 0], self.name)

    def close(self) -> None:
        self._call("close")


def failing(source: Failing, recorder: Recorder | None = None) -> Stream:
    bound = bind(presets.load("lookup"), lambda _: source, GREEDY)
    return Stream(Request(PROMPT, 20), Context(ToySession(ECHO, 512)), ToyDetokeniser(), bound, recorder=recorder)


@pytest.mark.usefixtures("dropping")
@pytest.mark.parametrize("recorder", [None, Recorder()])
@pytest.mark.parametrize("method", ["extend", "propose", "close"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_source_that_raises_is_dropped_and_said(method: str, at: int, recorder: Recorder | None) -> None:
    source = Failing(method, at, ValueError("out of\nwits"))
    result = failing(source, recorder).result
    assert result.tokens == plain(Request(PROMPT, 20)).tokens
    if method == "close" and at:
        assert result.notes == ()
        return
    (note,) = result.notes
    assert "shaky" in note
    assert "ValueError: out of wits" in note
    assert f"round {at + 1 if method == 'propose' else max(1, at)}" in note or method == "close"
    assert source.calls == at + 1, "it was asked again"
    assert result.to_json()["notes"] == [note]


def paced(*sources: Source) -> Stream:
    """A generation in which these are paced together."""
    pace = Pace(FLAT, 8)
    waiting = [PacedCopy(source, pace, pace.matches(source.name), 7) for source in sources]
    pace.begin(waiting, [])
    names = [f"g{i}" for i in range(len(sources))]
    statements = (*(Draft(name, "lookup", paced=True) for name in names), Merge("m", tuple(names)))
    pipeline = Pipeline("several", (*statements, Verify("v", "m"), Accept("a", "v"), Commit("a")))
    made = iter(waiting)
    bound = bind(pipeline, lambda _: next(made), GREEDY, None, pace)
    return Stream(Request(PROMPT, 60), Context(ToySession(ECHO, 512)), ToyDetokeniser(), bound)


@pytest.mark.usefixtures("dropping")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("method", ["extend", "propose"])
def test_of_sources_that_are_paced_together_only_the_failing_one_goes(method: str, *, first: bool) -> None:
    good, bad = LookupSource("lookup", 7), Failing(method, 2, ZeroDivisionError("by zero"))
    stream = paced(bad, good) if first else paced(good, bad)
    events = list(stream)
    assert stream.result.tokens == plain(Request(PROMPT, 60)).tokens
    assert ["shaky" in note for note in stream.result.notes] == [True]
    assert sum(event.source == "lookup" for event in events) > 20
    assert stream.bound.pace is not None
    assert [(each.source, each.what) for each in stream.bound.pace.log if each.what == "dropped"] == [
        ("shaky", "dropped")
    ]


@pytest.mark.usefixtures("dropping")
def test_a_source_inside_another_takes_it_along() -> None:
    """Both fail for the same reason, one after the other; the text is the same."""

    @dataclass
    class Outer(Failing):
        inner: Failing = field(default_factory=lambda: Failing("propose", 0, ValueError("inner"), "inner"))

        def propose(self, limit: int) -> Proposal:
            return self.inner.propose(limit)

    inner = Failing("propose", 3, ValueError("twin"), "inner")
    stream = paced(Outer("never", 0, ValueError(), "outer"), inner)
    result = stream.result
    assert result.tokens == plain(Request(PROMPT, 60)).tokens
    assert [note.split()[2] for note in result.notes] == ["inner", "outer"]


def test_what_a_person_can_act_on_is_no_failing_source() -> None:
    with pytest.raises(UsageError, match="give another"):
        _ = failing(Failing("propose", 2, UsageError("give another"))).result
    stream = failing(Failing("propose", 2, KeyboardInterrupt()))  # type: ignore[arg-type]  # no Exception, and meant
    assert stream.result.finish == "cancelled"
    assert stream.result.notes == ()


def test_an_interrupted_run_still_adds_up() -> None:
    stream, recorder, clock = generation(max_tokens=40)
    for seen, _ in enumerate(stream):
        if seen == 8:
            stream.cancel()
    run = finished(stream, recorder)
    assert run.totals.finish == "cancelled"
    assert run.totals.whole_s == pytest.approx(clock())
    assert run.totals.tokens < 40
    with pytest.raises(ForetellError, match="not ended"):
        finished(generation()[0], Recorder())


@pytest.mark.parametrize("at", [0, 1, 2, 7])
def test_ctrl_c_in_a_pass_still_adds_up(at: int) -> None:
    """The pass that was interrupted took its time, and that is in the ledger."""
    stream, recorder, clock = generation(max_tokens=40)
    session, passes = stream._context.session, count()
    step = session.step

    def interrupted(rows: Rows, want: Want) -> Scores:
        if next(passes) == at:
            clock.spend(4.0)
            raise KeyboardInterrupt
        return step(rows, want)

    session.step = interrupted  # type: ignore[method-assign]
    run = finished(stream, recorder)
    assert run.totals.finish == "cancelled"
    assert (run.totals.first_token_s is None) == (at == 0)
    said = explain(run)
    assert sum(part.ms for part in said.ledger) == pytest.approx(clock.ms)
    parts = {part.name: part.ms for part in said.ledger}
    assert parts["prompt"] + parts["verify"] + parts["verify, rejected"] == pytest.approx(
        (16.0 if at else 0.0) + 8.0 * max(0, at - 1) + 4.0
    )


@st.composite
def trees(draw: st.DrawFn) -> Round:
    """A round with any tree of guesses of any sources, and any path of it kept."""
    tried = [
        (
            draw(st.integers(0, 300)),
            draw(st.integers(-1, i - 1)),
            draw(st.sampled_from(["draft", "lookup", "é<&"])),
            0.25,
        )
        for i in range(draw(st.integers(0, 9)))
    ]
    kept: list[int] = []
    node = draw(st.integers(-1, len(tried) - 1))
    while node != -1:
        kept.insert(0, node)
        node = tried[node][1]
    seconds = st.floats(0, 0.5).map(lambda value: round(value, 7))
    propose, draft, verify, rest = (draw(seconds) for _ in range(4))
    return Round(
        start_s=draw(seconds),
        round_s=round(propose + draft + verify + rest, 7),
        propose_s=round(propose + draft, 7),
        draft_s=draft,
        verify_s=verify,
        accept_s=0.0,
        reader_s=0.0,
        rows=draw(st.integers(0, 20)),
        context=draw(st.integers(0, 5000)),
        draft_passes=draw(st.integers(0, 9)),
        draft_rows=draw(st.integers(0, 600)),
        tried=tuple(tried),
        kept=tuple(kept),
        bonus=draw(st.none() | st.integers(0, 300)),
        decision=None,
    )


@given(rounds=st.lists(trees(), max_size=6), told=st.booleans())
def test_any_run_comes_back_and_is_explained(*, rounds: list[Round], told: bool) -> None:
    run = run_of(rounds)
    if told:
        run = replace(run, text=Text((1, 2), (3,), "shown \u2028 \n text"))
    back = parse(text(run), "x")
    assert back.text == run.text
    shape = [
        [(each.kept, each.bonus is None, [guess[1:] for guess in each.tried]) for each in which.rounds]
        for which in (run, back)
    ]
    assert shape[0] == shape[1]
    if told:
        assert back.rounds == run.rounds
    said = explain(back)
    assert sum(part.ms for part in said.ledger) == pytest.approx(1000 * run.totals.whole_s, abs=1e-3)
    assert sum(each.kept for each in said.balance.sources) == sum(len(each.kept) for each in rounds)
    assert sum(each.whole.kept for each in said.acceptance) == sum(len(each.kept) for each in rounds)
    assert page(said).startswith("<!DOCTYPE html>")


def sample() -> Run:
    decision = Decision("model", "draft", 3, 2.5, 14.25, "it pays")
    rounds = [round_([(5, "draft"), (6, "lookup")], 1, decision=decision), round_([], 0), round_([(300, "copy")], 0)]
    run = run_of(rounds)
    return replace(run, changes=(Changed(2, "draft", "off", "wrong too often"),), notes=("a note",))


def test_the_file_gives_the_run_back(tmp_path: Path) -> None:
    stream, recorder, _ = generation(wrong=3)
    run = finished(stream, recorder, told=True)
    write(tmp_path / "a.run", run)
    back = read(tmp_path / "a.run")
    assert back.text == run.text
    assert back.text is not None
    assert back.text.answer == stream.result.tokens
    assert [(each.tried, each.kept, each.bonus) for each in back.rounds] == [
        (each.tried, each.kept, each.bonus) for each in run.rounds
    ]
    assert back.totals == run.totals
    assert back.about == run.about
    assert [each.verify_s for each in back.rounds] == pytest.approx([each.verify_s for each in run.rounds], abs=1e-7)


def test_without_consent_no_token_is_written() -> None:
    stream, recorder, _ = generation(wrong=3)
    content = text(finished(stream, recorder))
    for line in map(json.loads, content.splitlines()):
        assert "text" not in line
        assert "tokens" not in line.get("round", {})
        assert line.get("round", {}).get("bonus") in {None, -1}
    back = parse(content, "x")
    assert back.text is None
    assert {token for each in back.rounds for token, *_ in each.tried} == {-1}


def test_decisions_changes_and_notes_come_back() -> None:
    run = sample()
    back = parse(text(run), "x")
    assert back.rounds[0].decision == Decision("model", "draft", 3, 2.5, 14.25, "it pays")
    assert (back.changes, back.notes) == (run.changes, run.notes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda whole: whole[: len(whole) // 2], "cut off"),
        (lambda whole: whole.rsplit("\n", 2)[0], "cut off or was changed"),
        (lambda whole: whole.replace('"kept":[0]', '"kept":[1]'), "cut off or was changed"),
        (lambda whole: whole.replace('"version":1', '"version":9'), "version 9, not 1: another Foretell"),
        (lambda whole: whole.replace('"foretell":"run"', '"foretell":"profile"'), "not a recorded run"),
        (lambda _: "", "no JSON"),
        (lambda _: "[" * 100_000, "no JSON"),
        (lambda _: "[]", "not a recorded run"),
        (lambda _: "null\nnull\n", "not a recorded run"),
    ],
)
def test_a_file_that_is_no_run_is_one_line(change: Callable[[str], str], says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.run"
    path.write_text(change(text(sample())))
    with pytest.raises(ForetellError, match=says) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"kept":[0]', '"kept":[1]', "do not follow one another"),
        ('"kept":[0]', '"kept":[7]', "do not follow one another"),
        ('[-1,"draft",0.5]', '[5,"draft",0.5]', "has a guess"),
        ('[-1,"draft",0.5]', '[-1,"draft",1.5]', "has a guess"),
        ('"rows":3', '"rows":-3', "expected a whole number"),
        ('"rows":3', '"rows":"3"', "expected a whole number"),
        ('"rows":3,', "", "has not the fields of a round"),
        ('"bonus":-1', '"bonus":-2', "expected a token"),
        ('"plain"', '"plane"', "has a decision"),
        ('"model","draft"', '"modal","draft"', "has a decision"),
        ('"whole_s"', '"hole_s"', "is unknown|is missing"),
        ('{"note":', '{"tone":', "a line is 'tone'"),
        ('{"totals":', '{"change":', "one line of totals"),
    ],
)
def test_a_file_with_wrong_values_is_one_line(old: str, new: str, says: str) -> None:
    """As somebody would make it who also puts the digest right."""
    content = text(sample())
    if old == '"plain"':
        content, old = content.replace('"model","draft"', '"plain","draft"'), '"plain"'
    assert old in content
    body = content.rsplit("\n", 2)[0].replace(old, new, 1) + "\n"
    with pytest.raises(ForetellError, match=says) as caught:
        parse(body + json.dumps({"end": hashlib.sha256(body.encode()).hexdigest()}) + "\n", "x")
    assert "\n" not in str(caught.value)


def test_the_newest_runs_are_kept(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", 3)
    with pytest.raises(ForetellError, match="no run was recorded yet"):
        find(runs, None)
    made = [runs.keep(replace(sample(), about=replace(sample().about, made_s=1.7e9 + n))) for n in range(5)]
    assert runs.paths() == made[:1:-1]
    assert find(runs, None) == made[4]
    assert find(runs, "3") == made[2]
    assert made[3] is not None
    assert find(runs, made[3].stem) == made[3]
    assert find(runs, "some.run") == Path("some.run")
    for wrong in ("0", "4"):
        with pytest.raises(UsageError, match="3 are kept"):
            find(runs, wrong)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    assert Runs(tmp_path / "runs", 3).keep(sample()) is None
    with pytest.raises(ForetellError, match="cannot write the run"):
        write(tmp_path / "runs" / "a.run", sample())
    with pytest.raises(ForetellError, match="cannot read the run"):
        read(tmp_path)


def test_changes_of_mind_are_those_of_this_generation() -> None:
    pace = Pace(FLAT, 4)
    for _ in range(LOG + 3):
        pace.note("lookup", "off", "an earlier turn")
    assert (len(pace.log), pace.forgotten) == (LOG, 3)
    pace.begin([], [])
    recorder = Recorder()
    bound = bind(presets.load("lookup"), lambda _: LookupSource("lookup", 3), GREEDY, None, pace)
    stream = Stream(Request(PROMPT, 5), Context(ToySession(ECHO, 512)), ToyDetokeniser(), bound, recorder=recorder)
    next(stream)
    pace.note("lookup", "on", "right again")
    _ = stream.result
    assert recorder.log == (Change(1, "lookup", "on", "right again"),)


def test_of_very_many_changes_of_mind_the_newest_are_kept_and_the_others_counted() -> None:
    pace, recorder = Pace(FLAT, 4), Recorder()
    bound = bind(presets.load("lookup"), lambda _: LookupSource("lookup", 3), GREEDY, None, pace)
    stream = Stream(Request(PROMPT, 5), Context(ToySession(ECHO, 512)), ToyDetokeniser(), bound, recorder=recorder)
    for i in range(LOG + 3):
        pace.note("lookup", "off", str(i))
    _ = stream.result
    assert len(recorder.log) == LOG + 1
    assert recorder.log[0].why == "3 earlier changes of mind"
    assert recorder.log[1].why == "3"
