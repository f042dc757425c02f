"""Suites of prompts: how they are read, run, noted and made figures of; `bench suite` on the toy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from foretell.api import Model
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyBackend, ToyModel, ToySession
from foretell.cli import run
from foretell.cli.progress import _Meter
from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.lab.record import Record, digest, read
from foretell.lab.suite import Ours, Prompt, Run, read_suite, run_suite
from foretell.lab.summary import OVERALL, complete, summarise
from foretell.runtime.drafter import Drafter
from foretell.runtime.events import Result
from foretell.runtime.settings import Options

TOY = ["--model", "toy"]
SUITE = [
    {"klass": "echo", "id": 1, "prompt": "tick tock tick tock tick"},
    {"klass": "echo", "id": 2, "prompt": "la la la la la la"},
    {"klass": "other", "id": 3, "prompt": "abcdefgh"},
]


def suite_file(folder: Path, lines: list[str]) -> str:
    path = folder / "suite.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def result(tokens: tuple[int, ...], rate: float, acceptance: float | None = None, passes: int = 0) -> Result:
    later = len(tokens) - 1
    return Result(
        text="",
        tokens=tokens,
        prompt_tokens=1,
        tokens_per_s=rate,
        first_token_s=1.0,
        response_s=1.0 + later / rate,
        load_s=0.0,
        rounds=later,
        tokens_per_round=1.0,
        acceptance=acceptance,
        guessed=0 if acceptance is None else 10,
        finish="length",
        seed=0,
        draft_passes=passes,
    )


def test_bench_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = suite_file(tmp_path, [json.dumps(each) for each in SUITE])
    assert run(["bench", "suite", file, *TOY, "--max-tokens", "20", "--json"]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    configurations = json.loads(line)["configurations"]
    assert list(configurations) == ["plain", "O2"]
    for figures in configurations.values():
        assert list(figures) == ["echo", "other", OVERALL]
        assert all(each["mismatches"] == 0 for each in figures.values())
    names = {"tokens", "tokens_per_s", "first_token_s", "response_s", "tokens_per_round", "acceptance", "mismatches"}
    assert names <= set(configurations["O2"]["echo"])
    assert configurations["plain"][OVERALL]["tokens_per_round"] == pytest.approx(1.0)
    assert run(["bench", "suite", file, *TOY, "--classes", "other", "--limit", "1", "--temperature", "0.8"]) == 0
    table, last = capsys.readouterr().out.rstrip("\n").rsplit("\n", 1)
    assert table.split()[:3] == ["class", "who", "tok/s"]
    assert "drafts" not in table
    assert list(json.loads(last)["configurations"]["plain"]) == ["other", OVERALL]


def test_a_suite_is_recorded_and_summed_up_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, record = suite_file(tmp_path, [json.dumps(each) for each in SUITE]), str(tmp_path / "record.jsonl")
    line = ["bench", "suite", file, *TOY, "-n", "8", "--repeats", "2", "--record", record]
    assert run([*line, "--json"]) == 0
    first = capsys.readouterr().out
    assert run(["bench", "summary", record, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(first)
    assert len(read(Path(record)).entries) == 3 * 2 * 2


@pytest.mark.parametrize(
    ("lines", "arguments", "words"),
    [
        (["{"], [], "line 1"),
        (['{"klass": "a", "id": 1}'], [], "line 1"),
        (['{"klass": "a", "id": 1, "prompt": ""}'], [], "not empty"),
        (["[1]"], [], "line 1"),
        ([], [], "no prompts"),
        (['{"klass": "a", "id": 1, "prompt": "x"}'], ["--classes", "b"], "no class 'b'"),
    ],
)
def test_bad_suites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], arguments: list[str], words: str
) -> None:
    assert run(["bench", "suite", suite_file(tmp_path, lines), *TOY, *arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_missing_suite(tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match="cannot read"):
        read_suite(tmp_path / "nothing.jsonl")


A, B = Prompt("x", "1", "a"), Prompt("y", "2", "b")


def test_summary_of_a_suite_by_hand() -> None:
    table = summarise(
        [
            Run(A, "rival", result((1, 2, 3), 8.0, 0.5, passes=10)),
            Run(A, "plain", result((1, 2, 4), 4.0)),
            Run(B, "plain", result((1, 2, 3, 4), 16.0)),
            Run(B, "rival", result((1, 2, 3, 4), 2.0, 0.125)),
        ]
    )
    assert list(table) == ["plain", "rival"]
    assert table["plain"][OVERALL]["tokens_per_s"] == pytest.approx(8.0)
    assert table["rival"][OVERALL]["tokens_per_s"] == pytest.approx(4.0)
    assert table["rival"][OVERALL]["acceptance"] == pytest.approx(0.25)
    assert table["rival"]["x"]["mismatches"] == 1
    assert table["rival"][OVERALL]["mismatches"] == 1
    assert table["plain"]["x"]["acceptance"] is None
    assert [table["rival"][klass]["ratio"] for klass in ("x", "y", OVERALL)] == pytest.approx([2.0, 0.125, 0.5])
    assert table["plain"][OVERALL]["ratio"] == 1
    assert table["rival"]["x"]["draft_passes_per_accepted"] == pytest.approx(2.0)
    assert table["rival"][OVERALL]["draft_passes_per_accepted"] == pytest.approx(10 / 6.25)
    assert table["plain"]["x"]["draft_passes_per_accepted"] is None


def test_without_the_reference_there_is_no_ratio() -> None:
    table = summarise([Run(A, "rival", result((1, 2), 8.0))])
    assert table["rival"]["x"]["ratio"] is None
    assert table["rival"]["x"]["mismatches"] == 0


def test_of_repeats_the_median_times_count_and_every_mismatch() -> None:
    rates = (8.0, 2.0, 4.0)
    runs = [Run(A, "rival", result((1, 2, 3), rate), i) for i, rate in enumerate(rates)]
    runs += [Run(A, "plain", result((1, 2, 3), 2.0), 0), Run(A, "plain", result((1, 2, 3), 2.0), 1)]
    table = summarise(runs)
    assert table["rival"]["x"]["tokens_per_s"] == pytest.approx(4.0)
    assert table["rival"]["x"]["response_s"] == pytest.approx(1.5)
    assert table["rival"]["x"]["ratio"] == pytest.approx(2.0)
    assert (table["rival"]["x"]["prompts"], table["rival"]["x"]["tokens"]) == (1, 3)
    runs[1] = replace(runs[1], result=result((1, 2, 9), 2.0))
    assert summarise(runs)["rival"]["x"]["mismatches"] == 1


def test_answers_are_compared_with_the_reference_s_of_the_same_repeat() -> None:
    rates = {"plain": (1.0, 4.0, 2.0), "rival": (2.0, 2.0, 2.0)}  # 3, 1.5, 2 s and 2 s each
    runs = [Run(A, name, result((1, 2, 3), each), i) for name, those in rates.items() for i, each in enumerate(those)]
    other = Prompt("x", "2", "c")
    runs += [Run(other, "plain", result((1, 2, 3), 1.0), 0), Run(other, "rival", result((1, 2, 3), 2.0), 0)]
    runs += [Run(B, "plain", result((1, 2), 1.0), 0), Run(B, "rival", result((1, 2), 0.5), 1)]
    its = summarise(runs)["rival"]
    assert its["x"]["response_ratio"] == pytest.approx(1.5**0.5), "medians 1 and 1.5"
    assert its["x"]["response_ratio_least"] == its[OVERALL]["response_ratio_least"] == pytest.approx(1.0)
    assert (its["y"]["response_ratio"], its["y"]["response_ratio_least"]) == (None, None), "of different repeats"


def test_only_prompts_that_all_have_answered_are_complete() -> None:
    runs = [Run(A, "plain", result((1,), 1.0)), Run(B, "plain", result((1,), 1.0)), Run(B, "rival", result((1,), 1.0))]
    assert complete(runs, ["plain", "rival"]) == runs[1:]
    assert complete(runs, ["plain"]) == runs[:2]


@dataclass
class Scripted:
    """Answers at once, and notes what it was asked."""

    name: str
    asked: list[tuple[str, str]] = field(default_factory=list)

    def run(self, prompt: str, max_tokens: int) -> Result:
        self.asked.append((self.name, prompt))
        return result(tuple(range(max_tokens)), 1.0)


def test_configurations_take_turns_in_an_order_that_the_seed_gives() -> None:
    asked: list[tuple[str, str]] = []
    who = [Scripted(name, asked) for name in "abc"]
    prompts = [Prompt("x", str(i), f"prompt {i}") for i in range(5)]

    def order(seed: int, known: Sequence[Run] = ()) -> list[tuple[str, str]]:
        asked.clear()
        runs = list(run_suite(prompts, who, 3, seed, 2, {each.key for each in known}))
        assert [(each.configuration, each.prompt.text) for each in runs] == asked
        return list(asked)

    first = order(1)
    assert first == order(1) != order(2)
    for start in range(0, 30, 3):
        turn = first[start : start + 3]
        assert {name for name, _ in turn} == set("abc")
        assert len({prompt for _, prompt in turn}) == 1
    done = list(run_suite(prompts, who, 3, 1, 2))[:7]
    assert order(1, done) == first[7:]


def test_a_draft_model_reads_each_answers_prompt_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the second configuration that asks it would have the prompt for nothing."""
    draft = ToyBackend(model=ToyModel(order=2, echo=2.0))
    costs = {1: 1.0, 8: 1.0}
    rows: list[int] = []
    step = ToySession.step

    def counted(self: ToySession, given: Rows, want: Want) -> Scores:
        rows.append(len(given.tokens))
        return step(self, given, want)

    monkeypatch.setattr(ToySession, "step", counted)
    with Model(ToyBackend(), costs, drafter=Drafter(lambda _: draft, lambda _: costs)) as model:
        ours = Ours("chain", model, Options(pipeline=presets.load("chain")))
        first = ours.run("la la la la", 12)
        asked = list(rows)
        rows.clear()
        again = ours.run("la la la la", 12)
    assert rows == asked
    assert first.tokens == again.tokens
    assert first.draft_passes == again.draft_passes > 0


FACTS = {
    "what": "pipelines",
    "model": "toy",
    "draft": None,
    "machine": "m",
    "suite": "s",
    "suite_digest": "d",
    "max_tokens": 3,
    "temperature": 0.0,
    "seed": 0,
    "pipelines": {"plain": {"class": "exact"}},
}
RUNS = [Run(A, "plain", result((1, 2, 3), 4.0, 0.5, 7)), Run(B, "plain", result((4, 5), 2.0), 1)]


def record(path: Path, facts: dict[str, Any] = FACTS, prompts: Sequence[Prompt] = (A, B), *, resume: bool) -> Record:
    """A record that was opened and closed."""
    with Record(path, facts, prompts, resume=resume) as opened:
        return opened


def test_a_record_gives_back_what_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    with Record(path, FACTS, [A, B], resume=False) as opened:
        assert opened.runs == []
        for each in RUNS:
            opened.add(each)
        with pytest.raises(UsageError, match="being written by another process"):
            record(path, resume=True)
    assert json.loads(path.read_text().splitlines()[1])["digest"] == digest((1, 2, 3)) != digest((1, 23))
    found = read(path)
    assert found.facts == FACTS
    assert [(each.key, each.result) for each in found.entries] == [(each.key, each.result) for each in RUNS]
    assert record(path, resume=True).runs == RUNS
    assert record(path, prompts=[B], resume=True).runs == RUNS[1:]
    doubled = path.read_bytes()
    path.write_bytes(doubled + doubled.splitlines(keepends=True)[1])
    assert record(path, resume=True).runs == RUNS


def test_a_record_that_broke_off_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    with Record(path, FACTS, [A, B], resume=True) as opened:
        for each in RUNS:
            opened.add(each)
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read(path).entries) == 1
    more = FACTS | {"pipelines": {"lookup": {"class": "exact"}}}
    with Record(path, more, [A, B], resume=True) as opened:
        assert opened.runs == RUNS[:1]
        opened.add(RUNS[1])
    found = read(path)
    assert [each.key for each in found.entries] == [each.key for each in RUNS]
    assert list(found.facts["pipelines"]) == ["plain", "lookup"]


def test_a_level_may_come_to_another_pipeline_on_a_later_load(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    first, later = (FACTS | {"pipelines": {"O2": {"origin": "level", "pipeline": each}}} for each in "ab")
    assert record(path, first, resume=False).changed == []
    assert record(path, first, resume=True).changed == []
    assert record(path, later, resume=True).changed == ["O2"]
    assert read(path).facts["pipelines"]["O2"]["pipeline"] == "b"


def test_a_record_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record(path, resume=False)
    with pytest.raises(UsageError, match="exists: give --resume"):
        record(path, resume=False)
    with pytest.raises(UsageError, match="recorded with max_tokens 3, this is 4"):
        record(path, FACTS | {"max_tokens": 4}, resume=True)
    with pytest.raises(UsageError, match="another pipeline plain"):
        record(path, FACTS | {"pipelines": {"plain": {"class": "lossy"}}}, resume=True)
    with pytest.raises(ForetellError, match="ids that differ"):
        record(tmp_path / "other", prompts=[A, replace(A, text="b")], resume=False)
    with pytest.raises(ForetellError, match="cannot write"):
        record(tmp_path / "no" / "folder", resume=False)
    path.write_text('{"what": "x", "pipelines": {}}\n{"odd": 1}\n')
    with pytest.raises(ForetellError, match="line 2: 'tokens'"):
        read(path)
    path.write_text("\n")
    with pytest.raises(ForetellError, match="line 1"):
        read(path)
    path.write_text("{}")
    with pytest.raises(ForetellError, match="does not say what was measured"):
        read(path)
    with pytest.raises(ForetellError, match="cannot read"):
        read(tmp_path)


def test_a_log_file_has_a_line_a_minute_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    meter = _Meter("answers", 20, 4, lambda: now)
    for _ in range(8):
        now += 25
        meter.advance()
    said = ["answers: 4 of 20", "answers: 7 of 20, 5 min left", "answers: 10 of 20, 4 min left"]
    assert capsys.readouterr().err.splitlines() == said


def test_a_log_file_says_the_time_left_that_is_known_better(capsys: pytest.CaptureFixture[str]) -> None:
    now, left = 0.0, iter([None, 90.0, 30.0])
    meter = _Meter("answers", 20, 0, lambda: now, lambda: next(left))
    for _ in range(2):
        now += 60
        meter.advance()
    said = ["answers: 0 of 20", "answers: 1 of 20, 2 min left", "answers: 2 of 20, 30 s left"]
    assert capsys.readouterr().err.splitlines() == said
