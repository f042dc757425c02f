"""Experiments on the toy model: rows, results folders that are gone on with, kills, and what is mixed in them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from foretell.api import Model
from foretell.backend.toy import ToyBackend
from foretell.cli import run
from foretell.errors import ForetellError, UsageError
from foretell.lab.experiment import parquet, questions
from foretell.lab.experiment import run as experiment
from foretell.lab.experiment.left import Left
from foretell.lab.experiment.read import parse
from foretell.lab.experiment.results import PLAN, Results, remarks
from foretell.lab.experiment.rows import NAMES, ROWS, Row, by_machine, read_rows
from foretell.lab.experiment.summary import summarise, unequal
from foretell.lab.quality import measures
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.runtime.calibration import Calibration, Certificate, Cost, Mode, write
from foretell.runtime.drafter import Drafter

TOYS = """
target = "toy"
draft = "toy"
max_tokens = 6
seeds = [1, 2]
[[run]]
levels = ["O0", "O2"]
[[run]]
preset = "cascade"
knobs.alpha = [0.1, 0.5]
[[suite]]
name = "prompts"
prompts = "built-in"
classes = ["math", "code"]
temperature = 0.7
[[suite]]
name = "sums"
task = "sums"
limit = 3
"""
ROW = Row(
    plan="p",
    suite="s",
    klass="k",
    id="1",
    model="m",
    configuration="O0",
    origin="level",
    promise="exact",
    level="O0",
    knobs={"alpha": 0.1, "precision": "Q4_0"},
    max_tokens=9,
    temperature=0.0,
    seed=0,
    tokens=5,
    digest="aa",
    finish="length",
    first_token_s=0.5,
    response_s=1.5,
    tokens_per_s=4.0,
    rounds=4,
    machine="here",
    version="1",
    joules=2.0,
    joules_kind="modelled",
)


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    path = tmp_path / "toys.toml"
    path.write_text(TOYS)
    return path


def lab(plan: Path, out: Path, *more: str) -> list[str]:
    return ["lab", "run", str(plan), "--out", str(out), *more]


def keys(folder: Path) -> list[tuple[object, ...]]:
    """Of the rows as they stand in the file."""
    names = ("machine", "configuration", "suite", "id", "seed", "repeat")
    return [tuple(json.loads(each)[name] for name in names) for each in (folder / ROWS).read_text().split("\n")[:-1]]


def test_the_rows_of_a_plan(toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(lab(toys, out, "--json", "--parquet")) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert (found["answers"], found["planned"], found["unequal"]) == (40, 40, [])
    assert found["report"] == f"foretell lab report {out}"
    assert {(each["suite"], each["configuration"]) for each in found["figures"]} == {
        (suite, name)
        for suite in ("prompts", "sums")
        for name in ("O0", "O2", "cascade alpha=0.1", "cascade alpha=0.5")
    }
    rows = read_rows([out])
    assert len({each.key for each in rows}) == 40
    for each in rows:
        assert (each.plan, each.model, each.draft, each.max_tokens) == ("toys", "toy", "toy", 6)
        assert all((each.version, each.machine, each.model_digest, each.draft_digest, each.started, each.pipeline))
        assert each.promise == ("lossy" if each.knobs else "exact")
        assert (each.score is None) == (each.suite == "prompts") == (each.measure == "")
        assert each.temperature == (0.7 if each.suite == "prompts" else 0.0)
        assert each.processor_s is not None
    sampled = {each.seed: each.digest for each in rows if each.configuration == "O0" and each.id == "built-in/math"}
    assert sampled[1] != sampled[2]
    assert list(parquet.read(out / "rows.parquet")) == rows
    columns = pytest.importorskip("pyarrow.json").read_json(out / ROWS)  # as pandas and DuckDB do
    assert (columns.num_rows, columns.column_names) == (40, list(NAMES))
    assert run(lab(toys, out)) == 0
    table = capsys.readouterr().out
    assert "40 of 40 answers" in table
    assert f"The report: foretell lab report {out}" in table
    assert len(keys(out)) == 40


def test_more_repeats_go_on_in_the_same_folder_and_other_plans_do_not(
    toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(lab(toys, out, "--limit", "1", "--seeds", "1")) == 0
    assert len(keys(out)) == 12
    assert run(lab(toys, out, "--limit", "1", "--seeds", "1,5", "--repeats", "2")) == 0
    assert len(keys(out)) == len(set(keys(out))) == 48
    for more, words in (
        (["--limit", "2"], "suite prompts"),
        (["--limit", "1", "-n", "3"], "suite prompts"),
        (["--limit", "1", "--draft", ""], "asks a draft model"),
    ):
        capsys.readouterr()
        assert run(lab(toys, out, *more)) == 2
        assert words in capsys.readouterr().err
    assert run(["lab", "run", str(out / PLAN), "--out", str(out)]) == 0  # as it was stored
    assert len(keys(out)) == 48
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    assert run(lab(toys, tmp_path / "letters")) == 2
    assert "has files but no plan.toml" in capsys.readouterr().err
    assert sorted(each.name for each in (tmp_path / "letters").iterdir()) == ["a.txt"]
    assert run(lab(toys, tmp_path / "letters" / "a.txt")) == 1
    assert "cannot make the folder" in capsys.readouterr().err
    assert run(lab(toys, out, "--seeds", "x")) == 2
    assert run(lab(toys, out, "--limit", "1", "--context", "90")) == 2
    assert "more than the 90 of toy" in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_that_broke_off_anywhere_is_gone_on_with(toys: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = lab(toys, out, "--limit", "1", "--seeds", "1")
    assert run(line) == 0
    whole, wanted = (out / ROWS).read_bytes(), sorted(keys(out), key=str)
    for cut in (0, 1, len(whole) // 3, whole.find(b"\n"), whole.find(b"\n") + 1, len(whole) - 1):
        (out / ROWS).write_bytes(whole[:cut])
        if not cut:
            (out / PLAN).unlink()  # killed before it was written
        assert run(line) == 0
        assert (out / ROWS).read_bytes().startswith(whole[: whole[:cut].rfind(b"\n") + 1])
        assert sorted(keys(out), key=str) == wanted
    (out / PLAN).unlink()
    assert run(line) == 2


def test_killed_at_any_moment_no_row_is_lost_or_doubled(toys: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ["--repeats", "4", "--json"]
    line = [sys.executable, "-m", "foretell", *lab(toys, out, *more)]
    env = os.environ | {"FORETELL_RUNS": "0"}
    chance, kept = random.Random(5), b""
    for _ in range(6):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        end, wanted = time.monotonic() + 30, kept.count(b"\n") + chance.randrange(18)
        while process.poll() is None and time.monotonic() < end and _read(out / ROWS).count(b"\n") < wanted:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.01)  # anywhere: in an answer, in a line, before the file is there
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = _read(out / ROWS)
        assert now.startswith(kept)  # nothing that was kept is lost
        kept = now[: now.rfind(b"\n") + 1]
    assert kept
    done = subprocess.run(line, check=True, capture_output=True, env=env)
    assert json.loads(done.stdout)["answers"] == 160
    assert (out / ROWS).read_bytes().startswith(kept)
    assert len(keys(out)) == len(set(keys(out))) == 160
    other = tmp_path / "other"
    assert run(lab(toys, other, *more)) == 0
    digests = {each.key: each.digest for each in read_rows([other])}
    assert {each.key: each.digest for each in read_rows([out])} == digests


def test_ctrl_c_says_how_to_go_on(toys: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = [sys.executable, "-m", "foretell", *lab(toys, out, "--repeats", "99")]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and _read(out / ROWS).count(b"\n") < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    stopped, count = said.splitlines()[-1], len(keys(out))
    assert stopped.removeprefix("stopped: ").split()[0] in (str(count), str(count - 1))  # between writing and counting
    assert stopped.endswith(" of 3960 answers are recorded; the same command goes on with them")


def test_no_question_is_begun_that_would_not_end_in_time(
    toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(lab(toys, out, "--minutes", "0")) == 0
    assert "0 of 40 answers" in capsys.readouterr().out
    assert run(lab(toys, out)) == 0
    assert len(keys(out)) == 40


def test_the_time_left_goes_by_rows_of_the_same_kind() -> None:
    planned = [("a", "s")] * 3 + [("b", "s")] * 2 + [("c", "t")]
    left = Left(planned, [])
    assert left.seconds() is None
    assert left.of([("a", "s")]) is None
    left.add(replace(ROW, configuration="a", response_s=2.0))
    assert left.seconds() == pytest.approx(2 * 2.0 + 2 * 2.0 + 2.0)
    left.add(replace(ROW, configuration="b", response_s=10.0))
    assert left.seconds() == pytest.approx(2 * 2.0 + 10.0 + 6.0)
    assert left.of([("a", "s"), ("b", "s"), ("d", "s")]) == pytest.approx(2.0 + 10.0 + 6.0)


def test_rows_of_other_machines_and_commits_are_kept_apart_and_said(
    toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    line = lab(toys, out, "--limit", "1", "--seeds", "1")
    assert run(line) == 0
    rows = [json.loads(each) for each in (out / ROWS).read_text().splitlines()]
    foreign = [each | {"machine": "a toaster"} for each in rows]
    older = [rows[0] | {"commit": "0123", "model_digest": "other"}]
    (out / ROWS).write_text("".join(json.dumps(each) + "\n" for each in (*foreign, *older)))
    capsys.readouterr()
    assert run([*line, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["answers"] == 12
    assert "rows of another machine, which are kept apart from those of this one: a toaster" in said.err
    assert "rows so far are of commit 0123" in said.err
    assert "toy is another file than before" in said.err
    assert {name: len(found) for name, found in by_machine(read_rows([out])).items()} == {
        "a toaster": 12,
        rows[0]["machine"]: 13,
    }
    assert run(["lab", "export", str(out)]) == 0
    assert "25 rows in" in (table := capsys.readouterr().out)
    assert "of 2 machines" in table
    assert remarks([], [rows[0]]) == remarks([Row(**rows[0])], [rows[0]]) == []


def test_rows_are_read_from_files_of_both_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ROW, replace(ROW, id="2", score=0.5, first_token_s=None, why="é\n"), replace(ROW, repeat=1)]
    first, second = tmp_path / "a.jsonl", tmp_path / "b.parquet"
    first.write_text("".join(json.dumps(each.to_json()) + "\n" for each in rows[:2]) + '{"plan": "p", "sui')
    parquet.write(second, rows)
    assert read_rows([first]) == rows[:2]
    assert read_rows([second]) == rows
    assert read_rows([first, second]) == rows
    assert run(["lab", "export", str(first), str(second), "--to", str(tmp_path / "c.parquet"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3
    table = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "c.parquet")
    assert table.column_names == list(NAMES)
    assert table.column("knobs")[0].as_py() == '{"alpha": 0.1, "precision": "Q4_0"}'
    later = ROW.to_json() | {"invented": 1}
    first.write_text(json.dumps(later) + "\n")
    assert read_rows([first]) == [ROW]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}\n", "line 1: no plan; expected a row"),
        ('{"plan": 1\n', "line 1: .*delimiter"),
        ("[]\n", "line 1: '\\[\\]' is no JSON object"),
        (None, "has no rows.jsonl"),
    ],
)
def test_files_that_are_no_rows(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "a.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ForetellError, match=words):
        read_rows([tmp_path if text is None else path])


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("PAR")
    with pytest.raises(ForetellError, match="cannot read"):
        read_rows([tmp_path / "a.parquet"])
    with pytest.raises(ForetellError, match="cannot write"):
        parquet.write(tmp_path / "no" / "a.parquet", [ROW])


def test_one_process_at_a_time_writes_a_folder(tmp_path: Path) -> None:
    plan = parse(TOYS, "x", "x", tmp_path)
    with Results(tmp_path / "out", plan), pytest.raises(UsageError, match="written by another process"):
        Results(tmp_path / "out", plan)


def test_what_the_summary_says_by_hand() -> None:
    made = parse(TOYS.replace('"O0", "O2"', '"O0", "O1"'), "x", "x", Path())
    sums = replace(ROW, suite="sums", score=1.0, measure="right")
    rows = [
        replace(sums, id=str(number), configuration=each.name, level=each.level, promise=each.promise, guessed=4)
        for each in made.configurations
        for number in range(2)
    ]
    rows[0] = replace(rows[0], score=0.0, response_s=2.5, tokens_per_s=2.0, acceptance=0.5)
    rows.append(replace(rows[0], id="9"))  # that only one has answered
    figures = summarise(made, rows)
    assert [(each["suite"], each["configuration"], each["answers"]) for each in figures][:2] == [
        ("sums", "O0", 2),
        ("sums", "O1", 2),
    ]
    assert figures[0]["score"] == 0.5
    assert figures[0]["response_s"] == 2.0
    assert figures[0]["tokens_per_s"] == pytest.approx((2 * 2.0 + 1 * 4.0) / 3)
    assert figures[0]["acceptance"] == pytest.approx(2 / 8)
    assert (figures[0]["joules"], figures[0]["joules_kind"], figures[0]["processor_s"]) == (2.0, "modelled", None)
    assert unequal(rows) == []
    wrong = replace(rows[2], digest="bb")
    assert unequal([*rows[:2], wrong, *(replace(each, digest="cc") for each in rows[4:8])]) == [wrong]


def test_a_quality_budget_is_a_configuration_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(tmp_path / "cache"))
    written = TOYS.replace('preset = "cascade"\nknobs.alpha = [0.1, 0.5]', "budgets = [0.05]").replace("0.7", "0")
    path = tmp_path / "budget.toml"
    path.write_text(written)
    assert run(lab(path, tmp_path / "out")) == 2
    assert "calibrate" in capsys.readouterr().err.splitlines()[-1]
    assert keys(tmp_path / "out") == []
    small = replace(ToyBackend(), name="small", key="small, engine x")
    model = Model(ToyBackend(), {1: 1.0, 8: 1.2}, drafter=Drafter(lambda _: small, lambda _: {1: 0.3}))
    mode = Mode("gate", "mean of 8", "mean", 8, 1e9)
    certificate = Certificate("declared", 0.05, 0.95, mode, 60, 0, 0, 0.04, Cost(0.5, 0.9, 0.6), Cost(1.0, 2.0, 0.0))
    model.calibrated = tmp_path / "x.ftcal"
    write(
        model.calibrated,
        Calibration(*model.pair, ("t 0",), 60, 0.0, 0, 40, 60, (certificate,), (), "m", "v", "2026-01-01T00:00Z"),
    )
    made = questions.asked(parse(written, "x", "x", Path()), lambda *_: _SUMS)
    who = experiment.answerers(made.plan, {"pair": model})
    planned = experiment.planned(made, who)
    left = Left((kind for kind, _ in planned), [])
    rows = list(experiment.rows(made, who, (), Sandbox(), left))
    assert {each.key for each in rows} == {key for _, key in planned}
    assert left.seconds() == 0
    for each in rows:
        assert (each.answered_by, each.promise) == (
            ("draft", "lossy") if each.origin == "budget" else ("target", "exact")
        )
    assert next(each.knobs for each in rows if each.origin == "budget") == {
        "budget": 0.05,
        "mode": "mean of 8",
        "threshold": 1e9,
    }


_SUMS = Path(measures.__file__).parent / "sums.jsonl"


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
