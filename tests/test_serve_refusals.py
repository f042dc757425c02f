"""What the server refuses: always 4xx in OpenAI's form, never a failure, and nothing that makes sense."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import foretell
from foretell.cli import run
from foretell.serve import grammars
from foretell.serve.limits import Limits
from foretell.serve.server import listen
from serving import HELLO, Running, serving

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
LIMITS = Limits(body_bytes=20_000, most_tokens=300, grace_s=0)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(foretell.load("toy", context=400), LIMITS) as running:
        yield running


BASE: dict[str, dict[str, Any]] = {
    CHAT: {"model": "toy", "messages": HELLO, "max_tokens": 3},
    TEXT: {"model": "toy", "prompt": "hello", "max_tokens": 3},
}


def message(**fields: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "hello"} | fields]}


@pytest.mark.parametrize(
    ("path", "fields", "param", "words"),
    [
        (CHAT, {"messages": None}, "messages", "missing or empty"),
        (CHAT, {"messages": []}, "messages", "missing or empty"),
        (CHAT, {"messages": "hello"}, "messages", "'hello', must be a list"),
        (CHAT, {"messages": ["hello"]}, "messages[0]", "'hello', must be an object"),
        (CHAT, message(role="robot"), "messages[0].role", "'robot', must be system, developer, user or assistant"),
        (CHAT, message(role=None), "messages[0].role", "missing"),
        (CHAT, message(role="tool"), "messages[0].role", "'tool'"),
        (CHAT, message(content=None), "messages[0].content", "missing"),
        (CHAT, message(content=" "), "messages[0].content", "empty"),
        (CHAT, message(content=7), "messages[0].content", "7, must be a text"),
        (CHAT, message(content="a\ud800"), "messages[0].content", "character 1 is half of a surrogate pair"),
        (CHAT, message(content=[{"type": "image_url"}]), "messages[0].content[0].type", "reads and writes text"),
        (CHAT, message(content=[{"type": "text"}]), "messages[0].content[0].text", "missing"),
        (CHAT, message(tool_calls=[{}]), "messages[0].tool_calls", "calls no tools"),
        (CHAT, message(mood="good"), "messages[0].mood", "there is no field"),
        (CHAT, {"tools": [{"type": "function"}]}, "tools", "calls no tools"),
        (CHAT, {"tool_choice": "required"}, "tool_choice", "calls no tools"),
        (CHAT, {"modalities": ["audio"]}, "modalities", "reads and writes text"),
        (CHAT, {"top_logprobs": 2}, "top_logprobs", "only with logprobs"),
        (CHAT, {"logprobs": True, "top_logprobs": 21}, "top_logprobs", "between 0 and 20"),
        (CHAT, {"logprobs": 5}, "logprobs", "must be true or false"),
        (CHAT, {"max_completion_tokens": 4}, "max_tokens", "max_completion_tokens differs"),
        (TEXT, {"prompt": None}, "prompt", "missing"),
        (TEXT, {"prompt": ""}, "prompt", "empty"),
        (TEXT, {"prompt": []}, "prompt", "empty"),
        (TEXT, {"prompt": ["a", "b"]}, "prompt", "send several requests"),
        (TEXT, {"prompt": [1, "b"]}, "prompt", "send several requests"),
        (TEXT, {"prompt": [1, True]}, "prompt", "must be a text"),
        (TEXT, {"prompt": [1, 260]}, "prompt", "there is no token 260; ids are 0 to 259"),
        (TEXT, {"prompt": [-1]}, "prompt", "there is no token -1"),
        (TEXT, {"best_of": 2}, "best_of", "send several requests"),
        (TEXT, {"echo": True}, "echo", "the new text alone"),
        (TEXT, {"suffix": "x"}, "suffix", "only ever continued"),
        (TEXT, {"logprobs": True}, "logprobs", "must be a whole number"),
        (CHAT, {"prediction": {"content": 1}}, "prediction.content", "1, must be a text"),
        (CHAT, {"prediction": {"type": "text", "content": ""}}, "prediction.type", "of type content"),
        (CHAT, {"model": None}, "model", "missing"),
        (CHAT, {"n": 2}, "n", "send several requests"),
        (CHAT, {"n": True}, "n", "send several requests"),
        (CHAT, {"temperature": -0.1}, "temperature", "between 0 and 2"),
        (CHAT, {"temperature": 2.1}, "temperature", "between 0 and 2"),
        (CHAT, {"temperature": "hot"}, "temperature", "'hot', must be a number"),
        (CHAT, {"temperature": False}, "temperature", "false, must be a number"),
        (CHAT, {"temperature": 10**400}, "temperature", "more than 30 digits, must be between"),
        (CHAT, {"top_p": 1.5}, "top_p", "between 0 and 1"),
        (CHAT, {"seed": 1.5}, "seed", "must be a whole number"),
        (CHAT, {"seed": 2**64}, "seed", "must be between"),
        (CHAT, {"max_tokens": 0}, "max_tokens", "0, must be between 1"),
        (CHAT, {"max_tokens": 301}, "max_tokens", "must be 300 at most"),
        (CHAT, {"stop": [""]}, "stop", "an empty text"),
        (CHAT, {"stop": [1]}, "stop", "1, must be a text"),
        (CHAT, {"stop": ["a"] * 17}, "stop", "17 texts"),
        (CHAT, {"stop": "a" * 1001}, "stop", "more than 1000"),
        (CHAT, {"logit_bias": {"x": 1}}, "logit_bias", "must be a token id"),
        (CHAT, {"logit_bias": {"1": 101}}, "logit_bias.1", "between -100 and 100"),
        (CHAT, {"logit_bias": {"1": None}}, "logit_bias", "must be a token id"),
        (CHAT, {"logit_bias": {"260": 1}}, None, "the model has tokens 0 to 259"),
        (CHAT, {"logit_bias": [1]}, "logit_bias", "must be an object"),
        (CHAT, {"presence_penalty": 0.5}, "presence_penalty", "repeat_penalty"),
        (CHAT, {"frequency_penalty": -1}, "frequency_penalty", "repeat_penalty"),
        (CHAT, {"stream": "yes"}, "stream", "'yes', must be true or false"),
        (CHAT, {"stream_options": {"include_usage": True}}, "stream_options", "only for stream: true"),
        (CHAT, {"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "there is no field"),
        (CHAT, {"response_format": {"type": "xml"}}, "response_format.type", "'xml', must be text, json_object"),
        (CHAT, {"response_format": {}}, "response_format.type", "missing"),
        (CHAT, {"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing"),
        (
            CHAT,
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no"}}}},
            "response_format",
            "the schema cannot be used",
        ),
        (CHAT, {"response_format": {"type": "regex", "regex": "("}}, "response_format", "unclosed group"),
        (CHAT, {"response_format": {"type": "regex"}}, "response_format.regex", "missing"),
        (CHAT, {"temprature": 1}, "temprature", "there is no field 'temprature'"),
        (CHAT, {"\ud800": 1}, "\\ud800", "there is no field"),
    ],
)
def test_fields(server: Running, path: str, fields: dict[str, object], param: str | None, words: str) -> None:
    status, body, headers = server.post(path, BASE[path] | fields)
    error = body["error"]
    assert (status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert words in error["message"]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "user": "me", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "presence_penalty": 0},
        {"stop": None, "seed": None, "tools": [], "tool_choice": "auto", "frequency_penalty": 0.0},
        {"response_format": None, "logprobs": None, "stream": None, "max_completion_tokens": 3},
        {"seed": -1, "stream_options": None, "logit_bias": {}, "stop": [], "parallel_tool_calls": True},
        {"prediction": {"type": "content", "content": "hello"}, "safety_identifier": "x", "top_p": 0, "temperature": 1},
    ],
)  # fmt: skip
def test_fields_that_change_nothing(server: Running, fields: dict[str, object]) -> None:
    assert server.post(CHAT, BASE[CHAT] | fields)[0] == 200


def test_a_schema_that_takes_all_time_or_memory(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammars, "PATIENCE_S", 0.5)
    patterns = [{"type": "string", "pattern": f"(a|b)*a(a|b){{{size}}}"} for size in range(5, 25)]
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"allOf": patterns}}}
    status, body, _ = server.post(CHAT, BASE[CHAT] | {"response_format": schema})
    assert (status, body["error"]["param"]) == (400, "response_format")
    assert "too much time or memory" in body["error"]["message"]
    assert server.post(CHAT, BASE[CHAT] | {"response_format": {"type": "regex", "regex": "a+"}})[0] == 200


def test_models_and_contexts(server: Running) -> None:
    for path, base in BASE.items():
        status, body, _ = server.post(path, base | {"model": "gpt-4o"})
        assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")
    long = "x" * 400
    for path, fields, param in [(CHAT, message(content=long), "messages"), (TEXT, {"prompt": long}, "prompt")]:
        status, body, _ = server.post(path, BASE[path] | fields)
        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "context_length_exceeded", param)
    status, body, _ = server.post(TEXT, BASE[TEXT] | {"prompt": "x" * 390, "max_tokens": 300})
    assert (status, body["usage"]["total_tokens"] <= 400) == (200, True)


def test_sizes(server: Running) -> None:
    assert server.post(CHAT, b" " * 20_001)[0] == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 1000

    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("POST", CHAT, pieces(), encode_chunked=True, headers={"transfer-encoding": "chunked"})
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error"]["code"]) == (413, "request_too_large")
    connection.close()


def test_api_keys() -> None:
    with serving(api_key="sesame", limits=LIMITS) as running:
        status, body, _ = running.ask()
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert running.post("/v1/models", b"", method="GET")[0] == 401
        assert running.post("/metrics", b"", {"authorization": "Bearer x"}, method="GET")[0] == 401
        assert running.post("/health", b"", method="GET")[0] == 200
        client = running.client(api_key="sesame")
        assert client.chat.completions.create(model="toy", messages=HELLO, max_tokens=4).choices
        status, body, _ = running.post(CHAT, BASE[CHAT], {"host": "evil.example", "authorization": "Bearer sesame"})
        assert (status, body["error"]["type"]) == (403, "permission_error")


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),  # somebody speaks TLS
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 66_000,
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no host
    ],
    ids=["words", "tls", "large", "chunks", "hostless"],
)
def test_what_is_no_http(server: Running, data: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "invalid_http"
    assert server.ask()[0] == 200


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["user", "text", "json_schema", "regex", "content", "assistant", "\x1a", "<|end|>", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
KNOWN = """
    model messages prompt max_tokens max_completion_tokens temperature top_p top_k min_p repeat_penalty seed stop stream
    stream_options logit_bias logprobs top_logprobs response_format n user presence_penalty tools best_of echo suffix
    modalities metadata safety_identifier prediction
"""
NAMES = st.sampled_from(KNOWN.split())
ROLES = st.sampled_from(["user", "assistant", "system"])
SCHEMA = st.fixed_dictionaries({"schema": JSON, "name": st.text(max_size=5)})
SCHEMAS = st.fixed_dictionaries({"type": st.just("json_schema"), "json_schema": SCHEMA})
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES | JSON, "content": JSON}), max_size=3)
FEW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_answer(status: int, body: dict[str, Any], sent: object) -> None:
    """A good answer, or 4xx in OpenAI's form."""
    if status == 200:
        assert body["object"] in {"chat.completion", "text_completion"}, sent
        return
    assert 400 <= status < 500, (status, body, sent)
    assert set(body) == {"error"}, sent
    assert set(body["error"]) == {"message", "type", "param", "code"}, sent
    assert body["error"]["message"], sent


@FEW
@given(path=st.sampled_from([CHAT, TEXT]), fields=st.dictionaries(NAMES, JSON, min_size=1, max_size=3))
@example(path=CHAT, fields={"logit_bias": {"1": 1e308}})
@example(path=CHAT, fields={"temperature": float("nan")})
def test_any_values_in_fields(server: Running, path: str, fields: dict[str, Any]) -> None:
    fields = fields | {"stream": False} if fields.get("stream") is True else fields
    status, body, _ = server.post(path, BASE[path] | fields)
    check_answer(status, body, fields)


@FEW
@given(fields=st.fixed_dictionaries({}, optional={"messages": MESSAGES, "response_format": SCHEMAS, "stop": JSON}))
def test_any_messages_and_schemas(server: Running, fields: dict[str, Any]) -> None:
    status, body, _ = server.post(CHAT, BASE[CHAT] | fields)
    check_answer(status, body, fields)


@FEW
@given(
    path=st.sampled_from([CHAT, TEXT]), body=st.binary(max_size=60) | JSON.map(lambda each: json.dumps(each).encode())
)
def test_any_bodies(server: Running, path: str, body: bytes) -> None:
    status, answer, _ = server.post(path, body)
    check_answer(status, answer, body)
    assert status >= 400


@FEW
@given(
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), max_size=20),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
)
def test_any_paths(server: Running, path: str, method: str) -> None:
    status, body, _ = server.post(f"/{path}", b"", method=method)
    assert status in {400, 404, 405} or path in {"health", "v1/models", "metrics"}
    assert status == 200 or body["error"]["message"]


def refused(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert run(["serve", "--model", "toy", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_the_command_refuses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no level 'O9'" in refused(capsys, 2, "-O9")
    assert "the API key is empty" in refused(capsys, 2, "--api-key", " ")
    assert "--port" in refused(capsys, 2, "--port", "99999")
    assert "--queue" in refused(capsys, 2, "--queue", "0")
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}: Address already in use; choose another --port" in refused(capsys, 1, "--port", port)
    assert "choose another --host" in refused(capsys, 1, "--host", "no.such.host.invalid", "--port", "0")
    monkeypatch.setenv("FORETELL_API_KEY", "   ")
    assert "the API key is empty" in refused(capsys, 2)
