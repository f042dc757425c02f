"""The parts of the server that need no socket: the queue, contexts, known tokens, the guard, bodies."""

import doctest
import threading
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

import foretell
import foretell.serve.waiting
from foretell.backend.protocol import Rows, Want
from foretell.runtime.events import Result
from foretell.runtime.written import Written
from foretell.serve.body import parse
from foretell.serve.guard import Guard, is_loopback
from foretell.serve.limits import DEEPEST
from foretell.serve.pool import Pool, Seat
from foretell.serve.refusal import Refusal
from foretell.serve.service import public_name
from foretell.serve.waiting import ClosedError, FullError, Waiting


def test_examples() -> None:
    outcome = doctest.testmod(foretell.serve.waiting)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=30))
def test_every_client_gets_its_turn(items: list[tuple[str, int]]) -> None:
    waiting = Waiting[tuple[str, int]](100)
    for item in items:
        assert waiting.put(item[0], item) is None
    taken = [waiting.take() for _ in items]
    for client in "abc":
        mine = [item for item in items if item[0] == client]
        assert [item for item in taken if item and item[0] == client] == mine  # each client's own order stays
    for i, item in enumerate(taken):
        assert item is not None
        others = {each[0] for each in taken[i + 1 :] if each} - {item[0]}
        again = next((j for j in range(i + 1, len(taken)) if taken[j][0] == item[0]), None)  # type: ignore[index]
        between = {each[0] for each in taken[i + 1 : again] if each}
        assert again is None or others <= between  # nobody is served twice while another one waits


def test_a_full_queue_makes_room_at_the_expense_of_who_has_most() -> None:
    waiting = Waiting[str](4)
    for item in ("a1", "a2", "a3", "b1"):
        assert waiting.put(item[0], item) is None
    with pytest.raises(FullError, match="4 requests are waiting"):
        waiting.put("a", "a4")
    assert waiting.put("c", "c1") == "a3"
    assert waiting.put("d", "d1") == "a2"
    with pytest.raises(FullError):
        waiting.put("e", "e1")
    assert len(waiting) == 4
    assert waiting.remove("b1")
    assert not waiting.remove("b1")
    assert [waiting.take(), waiting.take(), waiting.take()] == ["a1", "c1", "d1"]


def test_a_closed_queue() -> None:
    waiting = Waiting[str](4)
    found: list[str | None] = []
    taker = threading.Thread(target=lambda: found.append(waiting.take()))
    taker.start()
    waiting.put("a", "a1")
    taker.join(timeout=10)
    waiting.put("a", "a2")
    assert waiting.close() == ["a2"]
    assert found == ["a1"]
    assert waiting.take() is None
    with pytest.raises(ClosedError):
        waiting.put("a", "a3")


def filled(pool: Pool, model: foretell.Model, text: str) -> Seat:
    """What a request does with the pool."""
    ids = model.encode(text, raw=True)
    seat = pool.take(ids)
    seat.context.reuse(ids)
    for token in ids[len(seat.context) :]:
        seat.context.session.step(Rows.chain([token], seat.context.sequence), Want())
        seat.context.commit([token])
    pool.give(seat)
    return seat


def test_the_pool_goes_on_shares_and_forgets() -> None:
    model = foretell.load("toy")
    pool = Pool(model, tokens=40, most=3)
    first = filled(pool, model, "abcdefgh")
    assert filled(pool, model, "abcdefgh and more") is first  # goes on
    other = filled(pool, model, "abcdef another way")
    assert other is not first
    assert [bytes(seat.context.tokens) for seat in (first, other)] == [b"abcdefgh and more", b"abcdef another way"]
    assert pool.tokens == 35
    third = filled(pool, model, "xyz")
    assert len(pool) == 3
    filled(pool, model, "12345")  # one context too many: the least recently used goes
    assert len(pool) == 3
    assert third.context.tokens
    long = filled(pool, model, "z" * 60)  # more than all may hold: only the newest stays
    assert (len(pool), pool.tokens) == (1, 60)
    assert long.context.tokens
    pool.close()
    assert model.session.open() == 0


class Pairs:
    """A codec for `Written`: "ab" is one token where it is encoded, but may have been written as two."""

    def encode_protected(self, text: str) -> list[int]:
        return [each or 1000 for each in text.replace("|", "").replace("ab", "\0").encode()]

    def protect(self, text: str) -> str:
        return text.replace("<", "<|")

    def with_bos(self, ids: list[int]) -> list[int]:
        return [7, *ids]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join("ab" if each == 1000 else chr(each) for each in ids)


def result(text: str, tokens: Iterable[int]) -> Result:
    base = foretell.load("toy").generate("a", max_tokens=1)
    return replace(base, text=text, tokens=tuple(tokens))


def test_what_the_model_wrote_is_not_encoded_again() -> None:
    written = Written(Pairs(), 1000)  # type: ignore[arg-type]
    ids = written.encode("Q:")
    assert ids == [7, *b"Q:"]
    written.add("Q:", ids, result("ab<", b"ab<"))
    assert written.encode("Q:ab<|ab") == [7, *b"Q:ab<", 1000]  # two tokens as written, one where it is new
    assert written.encode("Q:abab") == [7, *b"Q:", 1000, 1000]
    written.add("Q:", ids, result("abc", b"abx"))  # cut inside a token: not known
    assert written.encode("Q:abc") == [7, *b"Q:", 1000, ord("c")]
    longer = written.encode("Q:ab<|\nR:")
    written.add("Q:ab<|\nR:", longer, result("ab", b"ab"))
    assert written.encode("Q:ab<|\nR:ab!") == [7, *b"Q:ab<\nR:ab!"]
    written.clear()
    assert written.encode("Q:ab") == [7, *b"Q:", 1000]


def test_known_texts_are_bounded() -> None:
    written = Written(Pairs(), 30)  # type: ignore[arg-type]
    for name in "12345":
        written.add(f"{name}:", [ord(name), 58], result("ab" * 4, b"ab" * 4))
    assert [len(written.encode(f"{name}:{'ab' * 4}")) for name in "12345"] == [7, 7, 10, 10, 10]
    written.add("6:", [54, 58], result("ab" * 50, b"ab" * 50))
    assert len(written.encode("6:" + "ab" * 50)) == 102  # the newest is kept, however long
    assert len(written.encode("5:" + "ab" * 4)) == 7


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"{", "Expecting property name"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": -Infinity}', "-Infinity is no JSON"),
        (b'"\xff"', "byte 1 is not UTF-8"),
        (b"[" * 200_000, "nested deeper than"),
        (b"[" * 150 + b"]" * 150, "nested deeper than"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "nested deeper than"),
        (b"1" * 5000, "digits"),
        (b"{} {}", "Extra data"),
    ],
)
def test_bodies_that_are_no_json(data: bytes, words: str) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        parse(data)
    assert refused.value.status == 400
    assert parse(b"[" * (DEEPEST - 1) + b"]" * (DEEPEST - 1)) is not None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic key ü"}, 401),
        ({"authorization": "Bearer kéy"}, 401),
        ({"authorization": "Bearer key", "host": "evil.example"}, 403),
        ({"authorization": "Bearer key", "host": "localhost:80", "origin": "http://evil.example"}, 403),
        ({"authorization": "Bearer key", "host": "[::1", "origin": "null"}, 403),
        ({"authorization": "Bearer key", "host": "localhost:80", "origin": "http://localhost:3000"}, 0),
        ({"authorization": "bearer  key", "host": "[::1]:8080"}, 0),
        ({"authorization": "Bearer key", "host": "127.0.0.1:8080"}, 0),
    ],
)
def test_the_guard(headers: dict[str, str], status: int) -> None:
    guard, given = Guard("key", "127.0.0.1"), Headers(headers)
    if status:
        with pytest.raises(Refusal) as refused:
            guard.check(given, is_open=False)
        assert refused.value.status == status
        assert refused.value.body["error"]["type"] in {"authentication_error", "permission_error"}
    else:
        guard.check(given, is_open=False)


def test_an_open_server_is_called_by_any_name() -> None:
    Guard("key", "192.168.0.7").check(Headers({"host": "box.lan", "authorization": "Bearer key"}), is_open=False)
    Guard(None, "192.168.0.7").check(Headers({"origin": "http://elsewhere.example"}), is_open=False)
    Guard("key", "127.0.0.1").check(Headers({"host": "localhost"}), is_open=True)
    assert is_loopback("127.8.8.8")
    assert is_loopback("x.localhost")
    assert not is_loopback("localhost.evil.example")
    assert not is_loopback("")


def test_public_names() -> None:
    assert public_name("qwen2.5-coder-1.5b") == "qwen2.5-coder-1.5b"
    assert public_name("/home/me/models/thing-q4.gguf") == "thing-q4"
    assert public_name("thing.gguf") == "thing"
    assert public_name("hf:org/repo/file.gguf") == "hf:org/repo/file.gguf"
