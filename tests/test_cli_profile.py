"""`foretell profile` as a person calls it."""

import json
from pathlib import Path

import pytest

from foretell.cli import run
from foretell.profile.file import read, write
from test_known import PAIR


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pair.ftprof"
    write(path, PAIR)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert run(["profile", *arguments]) == status
    captured = capsys.readouterr()
    if status:
        assert captured.out.count("\n") + captured.err.count("\n") == 1, "one line"
        return captured.out + captured.err
    return captured.out


def test_a_run_writes_what_show_reads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "toy.ftprof"
    table = said(capsys, "run", "--quick", "--model", "toy", "--draft", "toy", "--out", str(out))
    assert table.startswith("quick profile, 8 answers with ")
    assert "\nlookup " in table
    assert "\ndraft whole " in table
    assert "\ntranslation " in table
    assert said(capsys, "show", str(out)) == table
    shown = json.loads(said(capsys, "show", str(out), "--json"))
    assert shown["profile"]["how"] == "quick"
    assert said(capsys, "show", str(out), "--json") == out.read_text()


def test_a_run_on_own_prompts_without_a_draft(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.write_text('to be or not to be\n{"prompt": "abc abc", "kind": "mine"}\n')
    made = json.loads(said(capsys, "run", "--model", "toy", "--prompts", str(prompts), "--json"))
    assert set(made["profile"]["kinds"]) == {"own", "mine"}
    assert made["profile"]["drafts"] == {}


def test_show_has_every_measured_thing(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    table = said(capsys, "show", str(file))
    for each in (
        "draft 16384 Q4_0",
        "94.0%",
        "10.0 ms",
        "90% of its right guesses stay",
        "next ones are right: 40%, 33%",
    ):
        assert each in table
    assert "facts: measured" in table


def test_merge_and_diff(capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.ftprof"
    said(capsys, "merge", str(file), str(file), "--out", str(both))
    assert read(both).counts.tokens == 2 * PAIR.counts.tokens
    rows = said(capsys, "diff", str(file), str(both)).splitlines()
    (first,) = [row.split() for row in rows if row.startswith("target T(1) ms")]
    assert first[-3:] == ["40", "40", "1.00"]
    pairs = json.loads(said(capsys, "diff", str(file), str(both), "--json"))
    assert pairs["draft 16384 Q4_0 kept"] == [0.94, 0.94]
    assert pairs["lookup offers"] == [0.5, 0.5]
    assert pairs["grammar offers"] == [None, 0.1], "only both together have seen it often enough"
    assert said(capsys, "merge", str(file), str(tmp_path / "none"), "--out", str(both), status=1).startswith(
        "error: cannot read the profile"
    )


def test_check_says_whether_a_profile_holds(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(capsys, "check", str(file), status=1).startswith("the profile is of another machine (m): measure again")
    monkeypatch.setattr("foretell.profile.machine.machine", lambda: "m")
    assert said(capsys, "check", str(file)) == "the profile holds here\n"
    assert "another target" in said(capsys, "check", str(file), "--model", "toy", status=1)
    toy = tmp_path / "toy.ftprof"
    said(capsys, "run", "--model", "toy", "--draft", "toy", "--out", str(toy))
    monkeypatch.undo()
    for models in ([], ["--model", "toy", "--draft", "toy"]):
        assert said(capsys, "check", str(toy), *models) == "the profile holds here\n"
    assert "another draft" in said(capsys, "check", str(toy), "--model", "toy", status=1)


def test_without_a_file_the_newest_is_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(tmp_path))
    assert "nothing was measured yet: run `foretell profile run`" in said(capsys, "show", status=1)
    (tmp_path / "profiles").mkdir()
    write(tmp_path / "profiles" / PAIR.keys.name, PAIR)
    assert said(capsys, "show").startswith("quick profile, 4 answers with 204 tokens")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["run", "--quick", "--thorough", "--model", "toy"], 2),
        (["run", "--model", "toy", "--prompts", "/nowhere"], 2),
        (["run", "--model", "toy", "--out", "/nowhere/file"], 1),
        (["show", "/nowhere"], 1),
        (["merge", "--out", "x"], 2),
        (["diff", "/nowhere", "/nowhere"], 1),
        (["check", "/nowhere"], 1),
    ],
)
def test_bad_input_is_said_in_a_line(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int) -> None:
    assert run(["profile", *arguments]) == status
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ")
    assert not any("Traceback" in line for line in lines)
