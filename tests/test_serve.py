"""`foretell serve` through OpenAI's own client and curl: what it says is what the command line says."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foretell.cli import run
from serving import HELLO, Running, serving

TOY = ["--model", "toy"]
ECHO = "one two one two one two one"
Options = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


def said(capsys: pytest.CaptureFixture[str], prompt: str, *options: str) -> dict[str, Any]:
    """What `foretell generate` says."""
    capsys.readouterr()
    assert run(["generate", prompt, *TOY, "--json", *options]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


SETTINGS = pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, []),
        ({"max_tokens": 40}, ["-n", "40"]),
        ({"temperature": 0.9, "seed": 11, "max_tokens": 60}, ["--temperature", "0.9", "--seed", "11", "-n", "60"]),
        (
            {"temperature": 1.2, "top_p": 0.7, "seed": 5, "max_completion_tokens": 30},
            ["--temperature", "1.2", "--top-p", "0.7", "--seed", "5", "-n", "30"],
        ),
        ({"stop": ["o", "q"], "max_tokens": 50}, ["--stop", "o", "--stop", "q", "-n", "50"]),
        ({"logit_bias": {"113": 9}, "max_tokens": 30}, ["--logit-bias", "q=9", "-n", "30"]),
        (
            {"extra_body": {"top_k": 5, "min_p": 0.01, "repeat_penalty": 1.3}, "temperature": 1, "seed": 0},
            ["--top-k", "5", "--min-p", "0.01", "--repeat-penalty", "1.3", "--temperature", "1", "--seed", "0"],
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)


@SETTINGS
def test_chat_says_what_the_command_line_says(
    server: Running, capsys: pytest.CaptureFixture[str], options: Options, flags: list[str]
) -> None:
    expected = said(capsys, ECHO, *flags)
    messages = [{"role": "user", "content": ECHO}]
    client = server.client()
    answer = client.chat.completions.create(model="toy", messages=messages, **options)
    chunks = list(
        client.chat.completions.create(
            model="toy", messages=messages, stream=True, stream_options={"include_usage": True}, **options
        )
    )
    assert answer.choices[0].message.content == expected["text"]
    assert answer.choices[0].finish_reason == expected["finish"]
    assert "".join(each.choices[0].delta.content or "" for each in chunks[:-1]) == expected["text"]
    assert [each.choices[0].finish_reason for each in chunks[:-1] if each.choices[0].finish_reason] == [
        expected["finish"]
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({each.id for each in chunks}) == 1
    assert chunks[-1].usage is not None
    assert answer.usage is not None
    for usage in (answer.usage, chunks[-1].usage):
        assert usage.prompt_tokens == expected["prompt_tokens"]
        assert usage.completion_tokens == len(expected["tokens"])
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        details = usage.completion_tokens_details
        assert details is not None
        assert details.accepted_prediction_tokens is not None
        assert details.rejected_prediction_tokens is not None
        assert details.accepted_prediction_tokens + details.rejected_prediction_tokens == expected["guessed"]


@SETTINGS
def test_completion_says_what_the_command_line_says(
    server: Running, capsys: pytest.CaptureFixture[str], options: Options, flags: list[str]
) -> None:
    expected = said(capsys, ECHO, "--raw", *flags)
    client = server.client()
    options = {name.replace("completion_", ""): value for name, value in options.items()}
    for prompt in (ECHO, [ECHO], list(ECHO.encode()), [list(ECHO.encode())]):
        answer = client.completions.create(model="toy", prompt=prompt, **options)  # type: ignore[arg-type]
        assert answer.choices[0].text == expected["text"]
        assert answer.choices[0].finish_reason == expected["finish"]
    chunks = list(client.completions.create(model="toy", prompt=ECHO, stream=True, **options))
    assert "".join(each.choices[0].text for each in chunks) == expected["text"]
    assert chunks[-1].choices[0].finish_reason == expected["finish"]


def test_system_messages_and_parts(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    expected = said(capsys, "hello", "--system", "be brief", "-n", "20")["text"]
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "be brief"}, {"role": "user", "content": parts, "name": "me"}]
        _, body, _ = server.ask(messages=messages, max_tokens=20)
        assert body["choices"][0]["message"]["content"] == expected


def test_curl(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    expected = said(capsys, "hello there", "-n", "25")["text"]
    body = {"model": "toy", "messages": HELLO, "max_tokens": 25}

    def asked(**more: object) -> str:
        data = json.dumps(body | more)
        command = [curl, "-sS", "--fail", f"{server.url}/v1/chat/completions", "-d", data]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert json.loads(asked())["choices"][0]["message"]["content"] == expected
    lines = asked(stream=True).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    values = [json.loads(each.removeprefix("data: ")) for each in lines[:-2]]
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in values) == expected
    assert all("usage" not in each for each in values)


def test_logprobs(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    expected = said(capsys, "hello there", "-n", "12", "--logprobs", "3")["logprobs"]
    client = server.client()
    answer = client.chat.completions.create(model="toy", messages=HELLO, max_tokens=12, logprobs=True, top_logprobs=3)
    assert answer.choices[0].logprobs is not None
    found = answer.choices[0].logprobs.content
    assert found is not None
    assert [(each.bytes, each.logprob) for each in found] == [([each["token"]], each["logprob"]) for each in expected]
    tops = [[(top.bytes, top.logprob) for top in each.top_logprobs] for each in found]
    assert tops == [[([token], logprob) for token, logprob in each["top"]] for each in expected]
    chunks = client.chat.completions.create(model="toy", messages=HELLO, max_tokens=12, logprobs=True, stream=True)
    streamed = [each for chunk in chunks if (logprobs := chunk.choices[0].logprobs) for each in logprobs.content or ()]
    assert [each.logprob for each in streamed] == [each["logprob"] for each in expected]
    assert all(each.top_logprobs == [] for each in streamed)


def test_logprobs_of_completions(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    expected = said(capsys, "hello", "--raw", "-n", "9", "--logprobs", "2")["logprobs"]
    client = server.client()
    whole = client.completions.create(model="toy", prompt="hello", max_tokens=9, logprobs=2).choices[0].logprobs
    assert whole is not None
    assert whole.token_logprobs == [each["logprob"] for each in expected]
    assert [len(each) for each in whole.top_logprobs or ()] == [2] * len(expected)
    assert whole.text_offset == list(range(len(expected)))
    chunks = list(client.completions.create(model="toy", prompt="hello", max_tokens=9, logprobs=0, stream=True))
    offsets = [
        offset
        for chunk in chunks
        if chunk.choices[0].logprobs
        for offset in chunk.choices[0].logprobs.text_offset or ()
    ]
    assert offsets == whole.text_offset


def test_response_formats(server: Running, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "count": {"type": "integer", "maximum": 99}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    expected = said(capsys, "hello there", "--schema", str(file))["text"]
    format_ = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}
    client = server.client()
    answer = client.chat.completions.create(model="toy", messages=HELLO, response_format=format_)
    assert answer.choices[0].message.content == expected
    assert json.loads(expected)["colour"] in {"red", "green"}
    chunks = client.chat.completions.create(model="toy", messages=HELLO, response_format=format_, stream=True)
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == expected
    for body, kind in [({"type": "regex", "regex": "[ab]{3}"}, str), ({"type": "text"}, str)]:
        status, value, _ = server.ask(response_format=body)
        assert status == 200
        assert isinstance(value["choices"][0]["message"]["content"], kind)
    _, value, _ = server.ask(response_format={"type": "grammar", "grammar": 'start: "x" "y"'})
    assert value["choices"][0]["message"]["content"] == "xy"
    _, value, _ = server.ask(response_format={"type": "json_object"}, max_tokens=3000, logit_bias={"125": 100})
    assert json.loads(value["choices"][0]["message"]["content"]) == {}


def test_predictions_are_guesses(server: Running) -> None:
    options: Options = {"model": "toy", "messages": HELLO, "max_tokens": 60, "temperature": 1, "seed": 9}
    client = server.client()
    plain = client.chat.completions.create(**options)
    text = plain.choices[0].message.content or ""
    parts = [{"type": "text", "text": text[:9]}, {"type": "text", "text": text[9:]}]
    for prediction, sooner in [(text, True), (parts, True), ("nothing of the kind", False), ("<|end|>" * 3000, False)]:
        given = {"type": "content", "content": prediction}
        answer = client.chat.completions.create(prediction=given, **options)
        assert answer.choices[0].message.content == text
        rounds = [each.foretell["rounds"] for each in (answer, plain)]  # type: ignore[attr-defined]
        assert (rounds[0] < rounds[1] / 2) == sooner


def test_a_conversation_goes_on_as_chat_does(
    server: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = ["first of all", "and then?", "and at last?"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(turns).encode()), encoding="utf-8"))
    capsys.readouterr()
    assert run(["chat", *TOY, "-n", "25", "--json", "--system", "talk"]) == 0
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    messages: list[Any] = [{"role": "system", "content": "talk"}]
    client = server.client()
    for turn, (text, line) in enumerate(zip(turns, expected, strict=True)):
        messages.append({"role": "user", "content": text})
        answer = client.chat.completions.create(model="toy", messages=messages, max_tokens=25)
        assert answer.choices[0].message.content == line["text"]
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == line["prompt_tokens"]
        assert answer.usage.prompt_tokens_details is not None
        if turn:
            assert answer.usage.prompt_tokens_details.cached_tokens == line["reused_tokens"]
        messages.append(answer.choices[0].message)  # with all the fields of an answer


def test_models_health_and_unknown_paths(server: Running) -> None:
    client = server.client()
    assert [each.id for each in client.models.list()] == ["toy"]
    assert client.models.retrieve("toy").id == "toy"
    status, body, _ = server.post("/v1/models/hf:a/b/c.gguf", b"", method="GET")
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    status, body, _ = server.post("/health", b"", method="GET")
    assert (status, body["status"]) == (200, "ok")
    for path, method, expected in [("/v1/nothing", "GET", 404), ("/v1/models", "POST", 405), ("/health", "PUT", 405)]:
        status, body, _ = server.post(path, b"", method=method)
        assert (status, body["error"]["type"]) == (expected, "invalid_request_error")
