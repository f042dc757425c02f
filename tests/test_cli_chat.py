"""What `chat` takes as `generate` does: levels, drafts, pipelines, grammars and bias."""

import io
import json
import sys
from pathlib import Path

import pytest

from foretell.cli import run

TOY = ["--model", "toy"]


def chatted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> list[dict[str, object]]:
    lines = b"one two one two one\nand three one two\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines), encoding="utf-8"))
    assert run(["chat", *TOY, "-n", "25", "--json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("temperature", ["0", "0.8"])
@pytest.mark.parametrize(
    "options",
    [
        ["-O1"],
        ["-O2", "--draft", "toy"],
        ["-O3", "--draft", "toy"],
        ["--pipeline", "chain", "--draft", "toy"],
        ["--pipeline", "merged", "--draft", "toy"],
        ["--pipeline", "lookup", "--logit-bias", "q=0"],
    ],
    ids=" ".join,
)
def test_a_conversation_is_the_same_whoever_guesses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], temperature: str
) -> None:
    sampled = ["--temperature", temperature, "--seed", "4"]
    plain = chatted(monkeypatch, capsys, "-O0", *sampled)
    found = chatted(monkeypatch, capsys, *options, *sampled)
    assert [each["tokens"] for each in found] == [each["tokens"] for each in plain]
    assert [each["acceptance"] for each in plain] == [None, None]
    assert found[1]["reused_tokens"] == plain[1]["reused_tokens"] != 0


def test_a_conversation_under_a_grammar_with_a_bias(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for letter in "ab":
        bias = ["--logit-bias", f"{letter}=50"]
        answers = chatted(monkeypatch, capsys, "--regex", "[ab]{3}", "--draft", "toy", *bias)
        assert [each["text"] for each in answers] == [letter * 3] * 2
    schema = tmp_path / "s.json"
    schema.write_text('{"enum": ["x", "y"]}')
    for options in (["--schema", str(schema)], ["--schema", str(schema), "--pipeline", "constrained"]):
        assert {str(each["text"]) for each in chatted(monkeypatch, capsys, *options)} <= {'"x"', '"y"'}


def test_drafts_that_save_nothing_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "hello", *TOY, "-n", "3", "--draft", "toy", "--json"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert err == "warning: the draft model is the target itself, so its guesses save nothing\n"
