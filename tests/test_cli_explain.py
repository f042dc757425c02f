"""`foretell explain` and what is recorded for it, as a person calls them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.cli import run
from foretell.cli.explain_tables import print_explanation
from foretell.lab.explain.explanation import explain
from foretell.runtime.runs import read
from test_explain import mixed

PROMPT = "to be or not to be, that is the question. to be or"
GENERATE = ["generate", PROMPT, "--model", "toy", "--max-tokens", "30"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FORETELL_CACHE", str(folder))
    monkeypatch.setenv("FORETELL_RUNS", "3")
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of a command."""
    capsys.readouterr()
    status = run(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_the_last_run_is_explained(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    for _ in range(5):
        assert call(capsys, *GENERATE)[0] == 0
    assert len(list((cache / "runs").iterdir())) == 3
    status, out, _ = call(capsys, "explain")
    assert status == 0
    for word in ("Where the time went", "Guesses", "What is possible here", "Decisions", "What would have helped"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80
    listed = json.loads(call(capsys, "explain", "--list", "--json")[1])
    assert [(each["run"], each["target"], each["tokens"]) for each in listed] == [(n, "toy", 30) for n in (1, 2, 3)]
    assert "toy" in call(capsys, "explain", "--list")[1]
    assert [each["path"] for each in listed] == sorted((str(each) for each in (cache / "runs").iterdir()), reverse=True)
    for number, arguments in ((1, []), (2, ["2"])):
        said = json.loads(call(capsys, "explain", *arguments, "--json")[1])
        assert said == explain(read(Path(listed[number - 1]["path"]))).to_json()


def test_what_is_kept_without_asking_holds_no_text(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    text = json.loads(call(capsys, *GENERATE, "--json")[1])["text"]
    (kept,) = (cache / "runs").iterdir()
    content = kept.read_text()
    assert text not in content
    assert "question" not in content
    assert read(kept).text is None


def test_a_trace_holds_the_text(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> None:
    trace = tmp_path / "a.run"
    result = json.loads(call(capsys, *GENERATE, "--json", "--trace", str(trace))[1])
    told = read(trace).text
    assert told is not None
    assert (told.shown, list(told.answer), len(told.prompt)) == (
        result["text"],
        result["tokens"],
        result["prompt_tokens"],
    )
    assert not (cache / "runs").exists(), "a run that goes into a file is not kept twice"
    assert call(capsys, "explain", str(trace))[0] == 0


def test_recording_can_be_switched_off(
    capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_RUNS", "0")
    assert call(capsys, *GENERATE)[0] == 0
    assert not (cache / "runs").exists()
    monkeypatch.setenv("FORETELL_RUNS", "many")
    assert call(capsys, *GENERATE)[:2] == (2, "")
    assert "FORETELL_RUNS is 'many'" in call(capsys, "explain")[2]


def test_a_chat_records_each_answer(
    capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(["hello", "and now?"])
    monkeypatch.setattr("foretell.cli.chat._read", lambda: next(lines, None))
    assert call(capsys, "chat", "--model", "toy", "-n", "12")[0] == 0
    first, second = sorted((cache / "runs").iterdir())
    assert read(first).totals.reused_tokens == 0
    assert read(second).totals.reused_tokens > 0


def test_the_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call(capsys, *GENERATE)
    page = tmp_path / "run.html"
    status, out, err = call(capsys, "explain", "--html", str(page))
    assert (status, out, err) == (0, "", f"wrote {page}\n")
    assert page.read_text().startswith("<!DOCTYPE html>")
    status, out, _ = call(capsys, "explain", "--html", str(page), "--json")
    assert json.loads(out)["about"]["target"]["name"] == "toy"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["explain"], 1, "no run was recorded yet"),
        (["explain", "7"], 1, "no run was recorded yet"),
        (["explain", "nothing.run"], 1, "cannot read the run nothing.run"),
        (["explain", "."], 1, "cannot read the run"),
        (["explain", "--list", "--html", "x.html"], 2, "leave out the run and --html"),
        (["explain", "--html", "no/such/x.html"], 2, "no folder that exists"),
        (["explain", "--html", "."], 2, "is a folder"),
        ([*GENERATE, "--trace", "no/such/x.run"], 2, "no folder that exists"),
        ([*GENERATE, "--trace", "."], 2, "is a folder"),
    ],
)
def test_refusals_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, says: str
) -> None:
    got, out, err = call(capsys, *arguments)
    assert (got, out) == (status, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err


def test_a_damaged_run_is_one_line_and_is_listed(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    call(capsys, *GENERATE)
    (kept,) = (cache / "runs").iterdir()
    kept.write_text(kept.read_text()[:-100])
    status, out, err = call(capsys, "explain")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "cut off" in err
    assert "cannot be read" in call(capsys, "explain", "--list")[1]
    assert "cut off" in json.loads(call(capsys, "explain", "--list", "--json")[1])[0]["error"]
    kept.write_bytes(b"\xff\xfe")
    assert "is not text" in call(capsys, "explain", "1")[2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_leave_to_write(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written" in call(capsys, *GENERATE, "--trace", str(tmp_path / "a.run"))[2]


def test_the_cache_knows_runs(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    call(capsys, *GENERATE)
    assert json.loads(call(capsys, "cache", "--json")[1])["totals_bytes"]["runs"] > 0
    assert call(capsys, "cache", "clear", "runs", "--yes")[0] == 0
    assert not (cache / "runs").exists()


@pytest.mark.parametrize("columns", ["80", "120"])
def test_tables_fit(capsys: pytest.CaptureFixture[str], columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_explanation(explain(mixed()))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= int(columns)
    assert "…" not in out, "something was cut off"
    for word in ("wrong too often", "the source copy failed", "verify", "it pays (12)"):
        assert word in out


@given(st.integers(0, 40))
def test_any_part_of_a_run_is_shown(size: int) -> None:
    whole = mixed()
    print_explanation(explain(replace(whole, rounds=whole.rounds[:size])))
