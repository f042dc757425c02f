"""The server under load: many clients, full queues, time limits, clients that go away, and the end."""

import gc
import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import openai
import pytest

import foretell
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToySession
from foretell.serve.job import Job
from foretell.serve.limits import Limits
from foretell.serve.refusal import Refusal
from serving import ENDLESS, HELLO, Running, SlowSession, serving, slow_model, until


class Asked(NamedTuple):
    text: str
    tokens: int
    seed: int


def asked(running: Running, each: Asked, *, stream: bool, client: openai.OpenAI) -> str:
    options: Any = {
        "model": "toy",
        "messages": [{"role": "user", "content": each.text}],
        "max_tokens": each.tokens,
        "seed": each.seed,
        "temperature": 0.8,
    }
    if not stream:
        return client.chat.completions.create(**options).choices[0].message.content or ""
    chunks = client.chat.completions.create(**options, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_200_requests_of_8_clients() -> None:
    wanted = [Asked(f"request {i % 61} of some", 10 + i % 17, i % 5) for i in range(200)]
    with foretell.load("toy") as model:
        alone = [
            model.generate(each.text, max_tokens=each.tokens, seed=each.seed, temperature=0.8).text for each in wanted
        ]
    sizes: list[int] = []
    with serving(limits=Limits(queue=200, grace_s=0)) as running:

        def one_client(number: int) -> list[tuple[int, str]]:
            with running.client() as client:
                mine = range(number, 200, 8)
                return [(i, asked(running, wanted[i], stream=i % 3 == 0, client=client)) for i in mine]

        for _ in range(2):
            with ThreadPoolExecutor(8) as clients:
                found = dict(pair for each in clients.map(one_client, range(8)) for pair in each)
            assert [found[i] for i in range(200)] == alone
            until(lambda: len(running.served) % 200 == 0)
            running.served.clear()
            gc.collect()
            sizes.append(len(gc.get_objects()))
        assert len(running.service.waiting) == 0
        assert not running.service.running
    assert sizes[1] - sizes[0] < 500  # 200 requests more leave nothing behind


def test_a_client_that_goes_away_stops_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    model = slow_model()
    session = model.session
    assert isinstance(session, SlowSession)
    heard: list[int] = []  # passes so far when the server heard of it
    stop = Job.stop

    def noting(job: Job, why: Refusal | None = None) -> None:
        heard.append(session.steps)
        stop(job, why)

    monkeypatch.setattr(Job, "stop", noting)
    with serving(model) as running:
        for stream in (True, False):
            data = json.dumps({"model": "toy", "messages": HELLO, "stream": stream} | ENDLESS).encode()
            host, port = running.url.removeprefix("http://").split(":")
            before = session.steps
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(data)}\r\n\r\n"
                connection.sendall(head.encode() + data)
                until(lambda before=before: session.steps > before + 3)
            until(lambda: not running.service.running)
            assert session.steps <= heard[0] + 2  # the pass that ran, and one that may have begun in that moment
            until(lambda: len(heard) >= 2)
            heard.clear()
        status, _, _ = running.ask()
        assert status == 200
        until(lambda: len(running.served) >= 3)  # noted behind the reply
        assert [each.status for each in running.served] == [200, 499, 200]


def test_a_client_that_goes_away_while_it_waits() -> None:
    model = slow_model()
    with serving(model) as running, running.client() as client:
        stream = client.chat.completions.create(model="toy", messages=HELLO, stream=True, **ENDLESS)
        next(iter(stream))
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.3).completions.create(model="toy", prompt="x" * 50)
        until(lambda: len(running.service.waiting) == 0)
        stream.close()
        until(lambda: not running.service.running)


def test_a_full_queue_and_queue_timeouts() -> None:
    limits = Limits(queue=2, queue_s=2, grace_s=0)
    with serving(slow_model(), limits) as running, running.client() as client, ThreadPoolExecutor(8) as pool:
        stream = client.chat.completions.create(model="toy", messages=HELLO, stream=True, **ENDLESS)
        next(iter(stream))
        many = [pool.submit(running.ask, user="many") for _ in range(2)]
        until(lambda: len(running.service.waiting) == 2)
        status, body, headers = running.ask(user="many")
        assert (status, body["error"]["code"]) == (429, "queue_full")
        assert int(headers["retry-after"]) >= 1
        other = pool.submit(running.ask, user="other")  # has fewer waiting: one of the many has to go
        codes = sorted((each.result()[0], each.result()[1]["error"]["code"]) for each in many)
        assert codes == [(429, "queue_full"), (503, "queue_timeout")]
        status, body, headers = other.result()
        assert (status, body["error"]["code"]) == (503, "queue_timeout")
        assert int(headers["retry-after"]) >= 1
        stream.close()
        until(lambda: not running.service.running)
        assert running.ask()[0] == 200


def test_answers_that_take_too_long() -> None:
    with serving(slow_model(), Limits(answer_s=1, grace_s=0)) as running:
        status, body, headers = running.ask(**ENDLESS)
        assert (status, body["error"]["code"], headers["x-should-retry"]) == (504, "timeout", "false")
        client = running.client()
        chunks = client.chat.completions.create(model="toy", messages=HELLO, stream=True, **ENDLESS)
        with pytest.raises(openai.APIError, match="not finished within"):
            list(chunks)
        assert running.ask()[0] == 200


def test_the_end_lets_the_answer_that_is_computed_finish() -> None:
    with serving(slow_model(), Limits(grace_s=20)) as running, ThreadPoolExecutor(2) as pool:
        client = running.client()
        options = ENDLESS | {"max_tokens": 120}
        stream = client.chat.completions.create(model="toy", messages=HELLO, stream=True, **options)
        chunks = [next(iter(stream))]
        waits = pool.submit(running.ask)
        until(lambda: len(running.service.waiting) == 1)
        running.server.should_exit = True
        status, body, _ = waits.result()
        assert (status, body["error"]["code"]) == (503, "shutting_down")
        chunks += list(stream)
        with foretell.load("toy") as model:
            settings: Any = options | {"logit_bias": {256: -100}}
            expected = model.generate("hello there", **settings).text
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected
        running.thread.join(timeout=10)
        assert not running.thread.is_alive()
        with pytest.raises(OSError, match="refused"):
            running.ask()


def test_the_end_without_grace() -> None:
    with serving(slow_model(), Limits(grace_s=0.1)) as running:
        client = running.client()
        stream = client.chat.completions.create(model="toy", messages=HELLO, stream=True, **ENDLESS)
        chunks = iter(stream)
        next(chunks)
        running.server.should_exit = True
        with pytest.raises(openai.APIError, match="shutting down"):
            list(chunks)
        running.thread.join(timeout=10)
        assert not running.thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_command(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "foretell", "serve", "--model", "toy", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        about = json.loads(process.stdout.readline())
        assert (about["model"], about["level"], about["draft"]) == ("toy", "O2", None)
        client = openai.OpenAI(base_url=f"{about['url']}/v1", api_key="x", max_retries=0)
        assert client.completions.create(model="toy", prompt="hello", max_tokens=5).choices[0].text
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err == ""
    (line,) = out.splitlines()
    assert json.loads(line)["usage"]["completion_tokens"] == 5
    client.close()


def test_nobody_reads_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "foretell", "serve", "--model", "toy", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(process.stdout.readline())["url"]
        process.stdout.close()
        with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
            texts = [client.completions.create(model="toy", prompt="hello", max_tokens=5) for _ in range(3)]
        process.terminate()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
    assert len({each.choices[0].text for each in texts}) == 1


def test_a_stuck_reader_does_not_hold_up_others() -> None:
    with serving() as running:
        host, port = running.url.removeprefix("http://").split(":")
        data = json.dumps({"model": "toy", "messages": HELLO, "stream": True, "max_tokens": 500}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(data)}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.sendall(head.encode() + data)  # and never reads
            assert running.ask()[0] == 200


def test_a_failure_costs_one_answer(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    step = ToySession.step

    def failing(session: ToySession, rows: Rows, want: Want) -> Scores:
        if session.steps == 4:
            session.steps += 1
            raise broken
        return step(session, rows, want)

    monkeypatch.setattr(ToySession, "step", failing)
    for broken in (RuntimeError("the machine is on fire"), foretell.ForetellError("nothing works")):
        with serving() as running:
            status, body, _ = running.ask(max_tokens=40)
            assert (status, body["error"]["code"], body["error"]["type"]) == (500, "internal_error", "server_error")
            assert str(broken) in caplog.text
            assert str(broken) not in body["error"]["message"]
            assert running.ask()[0] == 200
            assert running.post("/health", b"", method="GET")[0] == 200
