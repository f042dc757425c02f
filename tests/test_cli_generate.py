"""`generate`, `chat` and `demo` on the toy, as a person calls them."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from foretell.accept.proposal import Proposal
from foretell.accept.rule import Chance, Verdict
from foretell.cli import run
from foretell.cli.render import follow
from foretell.codegen.round import Outcome, Parts, Round
from foretell.ir.ops import Pipeline
from foretell.runtime import bind
from foretell.runtime.pace import Pace

TOY = ["--model", "toy"]
FIELDS = [
    *("text", "tokens", "prompt_tokens", "tokens_per_s", "first_token_s", "response_s", "load_s", "rounds"),
    *("tokens_per_round", "acceptance", "guessed", "finish", "seed"),
    *("draft_passes", "notes", "processor_s", "energy", "answered_by"),
]


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_generate_streams_text_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "hello", *TOY, "--max-tokens", "12"]) == 0
    out, err = capsys.readouterr()
    assert len(out.rstrip("\n")) == 12
    assert err.count("\n") == 1
    for word in ("12 tokens", "tokens/s", "tokens per round", "first token", "response", "length"):
        assert word in err


def test_generate_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "hello", *TOY, "-n", "12", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    assert list(json.loads(out)) == FIELDS


def test_generate_with_every_option_is_the_same_without_speculation(capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "-n 40 --temperature 0.8 --top-k 20 --top-p 0.9 --min-p 0.05 --repeat-penalty 1.1 --seed 7 --stop zz --stop q"
    )
    command = ["generate", "one two one two", *TOY, *options.split(), "--system", "brief", "--context", "500", "--json"]
    assert run([*command, "--threads", "1"]) == 0
    fast = json.loads(capsys.readouterr().out)
    assert run([*command, "--no-speculation"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert (fast["text"], fast["tokens"], fast["seed"]) == (plain["text"], plain["tokens"], 7)


def test_generate_logprobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "hello", *TOY, "-n", "3", "--logprobs", "2", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["logprobs"]
    assert [len(step["top"]) for step in steps] == [2, 2, 2]
    assert run(["generate", "hello", *TOY, "-n", "3", "--logprobs", "2"]) == 0
    assert capsys.readouterr().out.count("\n") >= 4


def test_prompt_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for arguments, data in ((["hello"], b""), ([], b"hello\n"), (["-"], b"hello")):
        stdin(monkeypatch, data)
        assert run(["generate", *arguments, *TOY, "-n", "5", "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out)["text"])
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("arguments", "data", "status", "words"),
    [
        ([""], b"", 1, "prompt is empty"),
        ([], b" \n", 1, "prompt is empty"),
        ([], b"abc\xff\xfe", 1, "byte 0xff at offset 3"),
        (["a\udcff"], b"", 1, "not valid UTF-8"),
        (["x" * 100, "--context", "50"], b"", 1, "context holds 50"),
        (["x", "--top-p", "0"], b"", 2, "top-p is 0.0"),
        (["x", "--temperature", "-1"], b"", 2, "temperature is -1.0"),
        (["x", "--max-tokens", "0"], b"", 2, "max-tokens is 0"),
        (["x", "--seed", "-3"], b"", 2, "seed is -3"),
        (["x", "--stop", ""], b"", 2, "stop string is empty"),
        (["x", "--threads", "100000"], b"", 2, "threads is 100000"),
        (["x", "--context", "0"], b"", 2, "context is 0"),
        (["x", "--logprobs", "-1"], b"", 2, "logprobs is -1"),
        (["x", "--raw", "--system", "s"], b"", 2, "raw prompt"),
        (["x", "--nonsense"], b"", 2, "nonsense"),
        (["x", "--model", "no-such-model"], b"", 1, "no-such-model"),
    ],
)
def test_bad_input_is_one_line(
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    data: bytes,
    status: int,
    words: str,
) -> None:
    stdin(monkeypatch, data)
    assert run(["generate", *TOY, *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


def test_chat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(monkeypatch, b"hello\n\n/help\n/what\nmore\n/clear\nhello\n/exit\nnever\n")
    assert run(["chat", *TOY, "-n", "8", "--json"]) == 0
    out, err = capsys.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == 3
    assert answers[0]["text"] == answers[2]["text"]
    assert answers[1]["reused_tokens"] > answers[0]["prompt_tokens"]
    assert "unknown command /what" in err
    assert "forgotten" in err


def test_chat_says_when_it_drops_messages_and_goes_on_after_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(monkeypatch, b"hello there\n" * 6 + b"x" * 200 + b"\nhi\n")
    assert run(["chat", *TOY, "-n", "10", "--context", "100"]) == 0
    err = capsys.readouterr().err
    assert "oldest messages are forgotten" in err
    assert "error: the prompt has" in err
    assert err.rstrip().endswith("]")


def test_chat_refuses_other_encodings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(monkeypatch, b"\xff\n")
    assert run(["chat", *TOY]) == 1
    assert "not UTF-8" in capsys.readouterr().err


def test_demo_compares_both_texts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", *TOY]) == 0
    assert "Both texts are the same." in capsys.readouterr().out
    assert run(["demo", *TOY, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["same"] is True
    assert result["lookup"]["tokens"] == result["plain"]["tokens"]


def test_demo_fails_when_the_texts_differ(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def keeps_all(_: Pipeline) -> Round:
        def play(parts: Parts, limit: int, _: Chance) -> Outcome:
            first = next(iter(parts.sources.values()), None)
            proposal = Proposal() if first is None else first.propose(limit)
            choice = parts.verifier.verify(proposal).choice(len(proposal) - 1)
            return Outcome(proposal, Verdict(tuple(range(len(proposal))), choice))

        return play

    monkeypatch.setattr(bind, "build", keeps_all)
    monkeypatch.setattr(Pace, "copied", lambda _, source, limit: range(len(source.offer(limit).guesses)))
    assert run(["demo", *TOY]) == 1
    assert "differ" in capsys.readouterr().out


class Interrupted:
    """A stream that is interrupted between tokens, like a person's Ctrl-C while text is printed."""

    def __init__(self) -> None:
        self.cancelled = False
        self.result = "result"

    def __iter__(self) -> "Interrupted":
        return self

    def __next__(self) -> str:
        if self.cancelled:
            raise StopIteration
        return "event"

    def cancel(self) -> None:
        self.cancelled = True


def test_ctrl_c_while_printing_cancels() -> None:
    def show(_: object) -> None:
        raise KeyboardInterrupt

    stream = Interrupted()
    assert follow(stream, show) == "result"  # type: ignore[arg-type, comparison-overlap]
    assert stream.cancelled


SLOW = """
import sys, time
from foretell.backend.toy import ToyModel
from foretell.cli import main
quick = ToyModel.logits
ToyModel.logits = lambda model, history: time.sleep(0.02) or quick(model, history)
main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("more", [[], ["--no-speculation"]])
def test_ctrl_c_ends_soon_with_what_was_generated(more: list[str]) -> None:
    arguments = ["generate", "la la la la la", *TOY, "--raw", "-n", "3000", *more]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        out, err = process.communicate(timeout=20)
        took_s = time.monotonic() - sent
    assert (first + out).startswith(b" la l")
    assert b"cancelled" in err
    assert err.count(b"\n") == 1
    assert process.returncode == 130
    assert took_s < 2  # 0.2 s are asked for, of which a busy machine may take more
