"""`foretell replay` and `foretell bench policies`: record, go on, score, compare, refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

from foretell import cli
from foretell.cli.policy_tables import print_refused
from foretell.lab.replay import trace as traces

SUITE = [
    {"klass": "a", "id": "1", "prompt": "to be or not to be, that is the question. to be or"},
    {"klass": "a", "id": "2", "prompt": "abc abc abc abd abc"},
    {"klass": "b", "id": "1", "prompt": "hello world, how are you"},
    {"klass": "b", "id": "2", "prompt": "the quick brown fox and the quick brown dog"},
]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in SUITE))
    return path


@pytest.fixture
def trace(tmp_path: Path, suite: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    assert run("replay", path, "--record", suite, "-m", "toy", "--draft", "toy", "-n", 24, "-p", "plain") == 0
    return path


def run(*arguments: object) -> int:
    return cli.run([str(each) for each in arguments])


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line of what was printed."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_suite_is_recorded_once_and_scored_again_and_again(
    trace: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trace.read_text()
    capsys.readouterr()
    assert run("replay", trace, "--record", suite, "-m", "toy", "--draft", "toy", "-n", 24, "-p", "model-3") == 0
    assert trace.read_text() == before
    found = figures(capsys)
    assert (found["what"], found["texts"], found["max_tokens"]) == ("replay", 4, 24)
    assert set(found["policies"]) == {"plain", "model-3", "oracle"}
    assert found["policies"]["model-3"]["classes"]["a"]["mismatches"] == 0


def test_a_recording_goes_on_where_it_was_stopped(trace: Path, suite: Path) -> None:
    lines = trace.read_text().splitlines(keepends=True)
    trace.write_text("".join(lines[:3]) + lines[3][:40])  # stopped amid the third text
    assert run("replay", trace, "--record", suite, "-m", "toy", "--draft", "toy", "-n", 24, "-p", "plain") == 0
    assert trace.read_text() == "".join(lines)


def test_all_policies_are_shown(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("replay", trace) == 0
    out = capsys.readouterr().out
    assert "Speed by that of plain, 4 texts" in out
    assert "Best fixed policy, chosen on half" in out
    for name in ("lookup-then-model-8", "hf-confidence", "oracle", "by the best fixed"):
        assert name in out


def test_json_is_one_line(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("replay", trace, "--json", "-p", "lookup-4", "--classes", "b") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert set(json.loads(line)["policies"]["lookup-4"]["classes"]) == {"b", "overall"}


def test_texts_have_rows_of_their_own(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("replay", trace, "--texts", "-p", "lookup-4", "--classes", "b") == 0
    out, _ = capsys.readouterr()
    assert out.splitlines()[1].split() == ["text", "plain", "lookup-4", "oracle"]
    assert run("replay", trace, "--texts", "-p", "lookup-4", "--classes", "b", "--json") == 0
    assert set(figures(capsys)["policies"]["plain"]["classes"]) == {"b 1", "b 2", "overall"}


def test_a_change_of_text_is_measured(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("replay", trace, "--change", "-p", "O2", "-p", "plain") == 0
    found = figures(capsys)
    assert found["changes"]["O2"]["changes"] == 2
    assert {each["policy"] for each in found["changed"]} == {"O2", "plain"}
    assert run("replay", trace, "--change", "--classes", "a") == 1
    assert "needs texts of two classes" in capsys.readouterr().err


def test_a_hopeless_draft_is_never_right(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("replay", trace, "--hopeless", "-p", "model-4", "-p", "tree", "-p", "lookup-4") == 0
    found = figures(capsys)["policies"]
    assert (found["model-4"]["acceptance"], found["tree"]["acceptance"]) == (0, 0)
    assert found["model-4"]["classes"]["overall"]["ratio"] < 1 < found["lookup-4"]["classes"]["overall"]["ratio"]
    assert run("replay", trace, "--hopeless", "--check") == 2
    assert "leave out --hopeless and --change" in capsys.readouterr().err


def test_replays_are_checked_against_real_runs(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("replay", trace, "--check", "-p", "plain", "-p", "O2", "-p", "hf-heuristic") == 0
    found = figures(capsys)
    assert {its["differing"] for its in found["checked"].values()} == {0}
    assert found["checked"]["O2"]["texts"] == 4
    lines = trace.read_text().splitlines()
    text = json.loads(lines[1])
    text["answer"] = text["answer"][:-3]  # a text that the model goes on with
    for name in text["offers"]:
        text["offers"][name] = text["offers"][name][:-3]
    text["drafts"] = {}
    trace.write_text("\n".join([lines[0], json.dumps(text)]) + "\n")
    assert run("replay", trace, "--check", "-p", "plain") == 1


def test_another_profile_gives_other_times(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "own.ftprof"
    assert run("profile", "run", "-m", "toy", "--draft", "toy", "-o", profile) == 0
    alone = tmp_path / "alone.ftprof"
    assert run("profile", "run", "-m", "toy", "-o", alone) == 0
    capsys.readouterr()
    assert run("replay", trace, "--profile", profile, "-p", "lookup-4") == 0
    assert figures(capsys)["policies"]["lookup-4"]["slower"] == 0
    assert run("replay", trace, "--profile", alone, "-p", "lookup-4") == 1
    assert "give another one with --profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-p", "best"], 2, "there is no policy 'best'"),
        (["-p", "sampling"], 1, "the trace cannot score sampling: it is of class distribution"),
        (["--classes", "z"], 1, "has no class 'z'; its classes are a, b"),
        (["--record", "nothing.jsonl"], 1, "cannot read nothing.jsonl"),
        (["--profile", "nothing.ftprof"], 1, "cannot read the profile nothing.ftprof"),
    ],
)
def test_wrong_wishes_are_refused_in_one_line(
    trace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    capsys.readouterr()
    assert run("replay", trace, *arguments) == status
    assert message in capsys.readouterr().err


def test_a_trace_of_other_settings_is_not_gone_on_with(
    trace: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", trace, "--record", suite, "-m", "toy", "--draft", "toy", "-n", 99) == 2
    assert "was recorded with max_tokens 24, this is 99" in capsys.readouterr().err
    trace.write_text("".join(trace.read_text().splitlines(keepends=True)[:2]))
    assert run("replay", trace, "--record", suite, "-m", "toy", "-n", 24) == 2
    assert "was recorded with draft 'toy', this is ''" in capsys.readouterr().err


def test_nothing_recorded_is_said(tmp_path: Path, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", tmp_path / "none") == 1
    assert "cannot read the trace" in capsys.readouterr().err
    trace.write_text(trace.read_text().splitlines(keepends=True)[0])
    assert run("replay", trace) == 1
    assert "has no texts" in capsys.readouterr().err


def test_policies_of_a_suite_with_a_trace_that_is_kept(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.jsonl"
    how = ["-m", "toy", "--draft", "toy", "-n", 16, "--trace", kept]
    assert run("bench", "policies", suite, "--limit", 1, *how) == 0
    assert len(traces.read(kept).texts) == 2
    capsys.readouterr()
    assert run("bench", "policies", suite, *how, "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["what"], found["suite"], found["texts"]) == ("policies", "suite.jsonl", 4)
    assert found["best_fixed"]["a"]["name_half_a"] in found["policies"]
    assert len(traces.read(kept).texts) == 4
    assert run("bench", "policies", suite, "--classes", "a", *how, "--json") == 0
    assert figures(capsys)["texts"] == 2


def test_the_strongest_are_run_for_real(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "policies", suite, "-m", "toy", "-n", 16, "--limit", 1, "--real") == 0
    found = figures(capsys)
    assert len(found["real"]) == 4
    assert next(iter(found["real"])) == "plain"
    assert "O2" in found["real"]
    assert all(its["overall"]["mismatches"] == 0 for its in found["real"].values())


def test_what_was_not_scored_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    print_refused({"tree": "siblings [of] drawn guesses"})
    assert capsys.readouterr().out == "not scored: tree (siblings [of] drawn guesses)\n"
