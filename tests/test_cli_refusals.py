"""What `generate` and `chat` refuse in one line, before any model is loaded."""

from pathlib import Path
from typing import NoReturn

import pytest

import foretell.api
from foretell.cli import run

MODEL = "draft(model, of=draft"
END = "v = verify(g)\na = accept(v, rule={})\ncommit(a)\n"
COMMANDS = pytest.mark.parametrize("command", [["generate", "hello"], ["chat"]], ids=lambda each: each[0])


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> NoReturn:
        raise AssertionError("loaded a model")

    monkeypatch.setattr(foretell.api, "load", load)


def refused(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert run(list(arguments)) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@COMMANDS
@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("g = draft(lookup,, width=3)", 1, "line 1, column 18: expected "),
        ("pipeline p\n  g = drift(lookup)", 1, "line 2, column 7: expected an operation (draft, merge, defer,"),
        (f"g = {MODEL}, law=drawn)", 1, "line 1, column 32: expected one of point, coupled, sampled"),
        ("g = draft(lookup)\nv = verify(g", 1, "expected , or )"),
        (f"g = draft(lokup)\n{END.format('coupled')}", 1, "g = draft(lokup, width=8): there is no source 'lokup'"),
        (f"g = draft(lookup)\n{END.format('block')}", 1, "a = accept(v, rule=block): block is for a chain of law"),
        (f"g = {MODEL}, law=sampled)\n{END.format('mix')}", 1, "mix is lossy: say by epsilon="),
        (f"g = {MODEL}, law=sampled)\n{END.format('cascade')}", 1, "cascade is lossy: say by alpha="),
        (f"g = {MODEL}, law=coupled)\n{END.format('coupled')}", 2, "asks a draft model: give one with --draft"),
        (f"g = draft(model, of=x)\n{END.format('coupled')}", 2, "asks the model 'x': here the draft model is called"),
        (f"g = draft(lookup)\n{END.format('greedy')}", 2, "by rule greedy, but the temperature is 0.5"),
        ("v = verify(constrained=true)\na = accept(v)\ncommit(a)", 2, "is constrained: give --schema, --regex"),
    ],
)
def test_pipelines(
    *, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], text: str, status: int, words: str
) -> None:
    path = tmp_path / "my.pipeline"
    path.write_text(text)
    said = refused(capsys, status, *command, "--pipeline", str(path), "--temperature", "0.5")
    assert words in said
    assert "my.pipeline" in said


@COMMANDS
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-O9"], "there is no level 'O9'; there are O0, O1, O2, O3, Oe"),
        (["-O", "fast"], "no level 'Ofast'"),
        (
            ["--pipeline", "nowhere"],
            "there is no pipeline 'nowhere': give a text file, or one of approximated, cascade, chain,",
        ),
        (["--pipeline", "/"], "cannot read the pipeline '/': "),
        (["--pipeline", "chain"], "pipeline chain asks a draft model: give one with --draft"),
        (["--pipeline", "constrained"], "pipeline constrained is constrained: give --schema, --regex or --grammar"),
        (["--pipeline", "lookup", "--regex", "a"], "pipeline lookup does not keep to a grammar"),
        (["--regex", "[a"], "the regular expression cannot be used: unclosed character class"),
        (["--regex", "a", "--schema", "x"], "--schema and --regex exclude each other"),
        (["--schema", "nowhere"], "there is no schema 'nowhere': give a text file"),
        (["--grammar", "/"], "cannot read the grammar '/': "),
        (["--top-p", "3"], "top-p is 3.0"),
        (["--repeat-penalty", "1e39"], "repeat-penalty is 1e+39, must be between 0.001 and 1000"),
    ],
)
def test_options(capsys: pytest.CaptureFixture[str], command: list[str], options: list[str], words: str) -> None:
    assert words in refused(capsys, 2, *command, *options)


@COMMANDS
@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--schema", "{", "the schema cannot be used: it is no JSON"),
        ("--schema", '{"type": "integer", "minimum": 3, "maximum": 1}', "minimum (3) is greater than maximum (1)"),
        ("--grammar", "start: other", "the grammar cannot be used: at 1(8): unknown name"),
        ("--grammar", b"\xff", "'utf-8' codec can't decode byte 0xff"),
        ("--pipeline", b"\xff", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_files(
    *,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    option: str,
    text: str | bytes,
    words: str,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in refused(capsys, 2, *command, option, str(path))


def test_a_conversation_is_not_routed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be routed" in refused(capsys, 2, "chat", "--pipeline", "route")
    assert "give one with --draft" in refused(capsys, 2, "generate", "hello", "--pipeline", "route")
