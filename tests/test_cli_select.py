"""`foretell select`: files of one's own, forms, candidates that are none, wrong wishes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from foretell import cli
from synthetic import Shape, write
from tiny import MODELS, Zoo

SHAPE, FORMATS = MODELS["qwen2"]


@pytest.fixture(autouse=True)
def own_cache(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(cache_dir))


def run(*arguments: object) -> int:
    return cli.run(["select", *map(str, arguments)])


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line of what was printed."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def way(found: dict[str, Any], name: object) -> dict[str, Any]:
    (its,) = (each for each in found["ways"] if each["name"] == str(name))
    return dict(its)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    lines = [{"kind": kind, "prompt": f"the {kind} is on"} for kind in ("table", "tree", "table")]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_models_forms_and_what_is_no_draft(
    zoo: Zoo, tmp_path: Path, prompts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = zoo.path("qwen2")
    hopeless = write(tmp_path / "hopeless.gguf", Shape(vocabulary=SHAPE.vocabulary, seed=77), FORMATS)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(target.read_bytes()[:5000])
    asked: Sequence[object] = (target, f"{target}@q4_0+280", hopeless, broken, "nothing", "toy")
    how = ["-m", target, "--candidates", ",".join(map(str, asked)), "--prompts", prompts, "-n", 12, "-t", 1]
    assert run(*how, "--verify", "all") == 0
    found = figures(capsys)
    assert set(found["refused"]) == {str(broken), "nothing", "toy"}
    assert {each["name"] for each in found["ways"]} == {"none", "lookup", *map(str, asked[:3])}
    assert (found["prompts"], found["classes"]) == (3, ["table", "tree"])
    assert way(found, target)["draft"]["right"] == 1
    assert 0.05 < way(found, asked[1])["draft"]["right"] <= 1
    assert way(found, asked[1])["form"] in {"280 Q4_0", None}
    assert way(found, hopeless)["draft"]["right"] < 0.1
    assert way(found, hopeless)["verdict"] == "hopeless"
    assert found["choice"] in {"none", "lookup", *map(str, asked[:2])}
    for each in found["ways"]:
        assert each["energy"]["kind"] == "modelled"
        assert each["energy"]["low"] <= each["energy"]["value"] <= each["energy"]["high"]
    assert way(found, "none")["energy"]["value"] == 1
    assert all(each["mismatches"] == 0 for each in found["verified"]["ways"])
    assert len(found["verified"]["ways"]) == len(found["ways"])


def test_tables_say_what_was_found(prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-m", "toy", "--candidates", "toy,nothing", "--prompts", prompts, "-n", 12) == 0
    out, err = capsys.readouterr()
    for text in (
        "Predicted for toy on 3 prompts",
        "no draft model",
        "none: target alone",
        "times, by class:",
        "refused: nothing: unknown model 'nothing'",
        "choice: ",
        "Predicted, and run for real",
    ):
        assert text in out
    assert "3 prompts, 2 candidates: about " in err


def test_json_is_one_line_and_no_run_is_needed(prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = [
        "-m",
        "toy",
        "--candidates",
        "toy",
        "--prompts",
        prompts,
        "--limit",
        1,
        "-n",
        12,
        "--verify",
        "none",
        "--json",
    ]
    assert run(*how) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["what"], found["target"], found["prompts"], "verified" in found) == ("select", "toy", 1, False)


def test_without_any_draft_the_status_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-m", "toy", "--candidates", "nothing", "--limit", 4, "-n", 16, "--verify", "none") == 1
    found = figures(capsys)
    assert {each["name"] for each in found["ways"]} == {"none", "lookup"}
    assert found["choice"] == "lookup"


def test_smaller_models_that_are_here_are_candidates(
    zoo: Zoo, tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(tmp_path / "empty"))
    assert run("-m", "toy", "--prompts", prompts, "-n", 12, "--verify", "none", "--json") == 0
    assert figures(capsys)["refused"] == {}
    folder = tmp_path / "empty" / "models" / "hf" / "o" / "r"
    folder.mkdir(parents=True)
    small = write(folder / "small.gguf", Shape(layers=1, vocabulary=SHAPE.vocabulary), FORMATS)
    from foretell.lab.select.candidates import smaller

    assert smaller(str(zoo.path("qwen2"))) == ["hf:o/r/small.gguf"]
    assert smaller(str(small)) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--candidates", "a@q5_1"], 2, "has the form 'q5_1': write MODEL@PRECISION"),
        (["--candidates", ","], 2, "there is no candidate"),
        (["--candidates", "toy", "--prompts", "nothing"], 2, "cannot read prompts from nothing"),
        (["--candidates", "toy", "--verify", "some"], 2, "verify is 'some', must be one of best, all, none"),
        (["--candidates", "toy", "--limit", "0"], 2, "--limit"),
        (["--candidates", "toy", "-n", "0"], 2, "max-tokens is 0"),
        (["--candidates", "toy", "-n", "1"], 1, "no answer had two tokens"),
        (["--candidates", "toy", "-m", "nothing"], 1, "unknown model 'nothing'"),
    ],
)
def test_wrong_wishes_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    assert run("-m", "toy", *arguments) == status
    assert message in capsys.readouterr().err


def test_a_damaged_prompt_file_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "suite.jsonl"
    path.write_text('{"klass": "a", "id": "1", "prompt": "x"}\n{"klass": "a", "id": "2"}\n')
    assert run("-m", "toy", "--candidates", "toy", "--prompts", path) == 1
    assert f"{path}, line 2" in capsys.readouterr().err
