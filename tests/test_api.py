"""The Python interface, on the toy; its documentation's examples are run."""

import doctest
import importlib
import subprocess
import sys

import pytest

import foretell

DOCUMENTED = [
    "foretell",
    "foretell.accept.coupled",
    "foretell.accept.noise",
    "foretell.api",
    "foretell.build",
    "foretell.draft.lookup",
    "foretell.ir.build",
    "foretell.profile.counts",
    "foretell.profile.machine",
    "foretell.profile.passes",
    "foretell.profile.spread",
    "foretell.runtime.compiled",
    "foretell.runtime.stops",
    "foretell.cost.choice",
]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_in_the_documentation(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.fixture
def model() -> foretell.Model:
    return foretell.load("toy")


def test_public_names_are_lazy_and_complete() -> None:
    assert all(getattr(foretell, name) is not None for name in foretell.__all__)
    assert set(foretell.__all__) <= set(dir(foretell))
    with pytest.raises(AttributeError):
        _ = foretell.nothing  # type: ignore[attr-defined]
    code = "import sys, foretell; assert 'numpy' not in sys.modules; foretell.load; assert 'numpy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_generations_do_not_disturb_each_other(model: foretell.Model) -> None:
    alone = [model.generate(text, max_tokens=20).text for text in ("first", "second")]
    streams = [model.stream(text, max_tokens=20) for text in ("first", "second")]
    texts = ["", ""]
    for pair in zip(*streams, strict=False):
        texts = [text + event.text for text, event in zip(texts, pair, strict=True)]
    assert all(whole.startswith(text) for whole, text in zip(alone, texts, strict=True))
    assert [stream.result.text for stream in streams] == alone
    assert model.session.open() == 0  # every sequence was given back


def test_same_seed_same_text_and_the_seed_is_reported(model: foretell.Model) -> None:
    drawn = model.generate("abc", temperature=1.0, max_tokens=30)
    again = model.generate("abc", temperature=1.0, max_tokens=30, seed=drawn.seed, speculation=False)
    assert drawn.tokens == again.tokens
    assert model.generate("abc", temperature=1.0, max_tokens=30, seed=drawn.seed + 1).tokens != drawn.tokens
    assert model.generate("abc", max_tokens=3).seed == 0
    assert model.generate("abc", max_tokens=3, seed=9).seed == 9


def test_messages_system_and_raw(model: foretell.Model) -> None:
    plain = model.encode("hi")
    assert plain == model.encode([{"role": "user", "content": "hi"}])
    assert model.encode("hi", system="s") == [259, ord("s"), 256, *plain]
    assert model.encode("hi<|end|>", raw=True) == [*b"hi", 256]
    assert model.encode("hi<|end|>") == [257, *b"hi<|end|>", 256, 258]
    with pytest.raises(foretell.UsageError):
        model.encode("hi", system="s", raw=True)
    with pytest.raises(foretell.UsageError):
        model.encode([{"role": "user", "content": "hi"}], raw=True)


def test_logprobs(model: foretell.Model) -> None:
    events = list(model.stream("abc", max_tokens=8, logprobs=3))
    for event in events:
        assert len(event.top) == 3
        assert event.top[0] == (event.token, event.logprob)
    assert all(event.logprob is None for event in model.stream("abc", max_tokens=3))


@pytest.mark.parametrize("prompt", ["", "  \n", "a\ud800b"])
def test_bad_prompts(model: foretell.Model, prompt: str) -> None:
    with pytest.raises(foretell.ForetellError, match=r"empty|UTF-8"):
        model.generate(prompt)
    assert model.session.open() == 0


@pytest.mark.parametrize(
    "options",
    [{"max_tokens": 0}, {"temperature": -1}, {"stop": ""}, {"stop": ["a", ""]}, {"logprobs": 101}, {"top_p": 2}],
)
def test_options_out_of_range(model: foretell.Model, options: dict[str, object]) -> None:
    with pytest.raises(foretell.UsageError):
        model.generate("abc", **options)  # type: ignore[arg-type]


def test_unknown_options_are_type_errors(model: foretell.Model) -> None:
    with pytest.raises(TypeError):
        model.generate("abc", temprature=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(("name", "value"), [("threads", 0), ("threads", 10_000), ("context", 1)])
def test_load_arguments_out_of_range(name: str, value: int) -> None:
    with pytest.raises(foretell.UsageError, match=name):
        foretell.load("toy", **{name: value})  # type: ignore[arg-type]


def test_prompt_longer_than_the_context() -> None:
    with foretell.load("toy", context=20) as model:
        assert model.context == 20
        with pytest.raises(foretell.ForetellError, match="context holds 20"):
            model.generate("a text that is too long for it")
        assert model.generate("short").finish in {"length", "stop"}


def test_a_closed_model_says_so(model: foretell.Model) -> None:
    model.close()
    model.close()
    with pytest.raises(foretell.ForetellError, match="closed"):
        model.generate("abc")


def test_chat_never_reads_earlier_turns_again(model: foretell.Model) -> None:
    chat = model.chat(system="be brief")
    known = 0
    for turn in range(6):
        result = chat.send(f"question {turn}", max_tokens=12).result
        assert chat.reused_tokens >= known
        known = result.prompt_tokens + len(result.tokens) - 1  # the newest token was never fed
    assert len(chat.messages) == 12
    whole = model.render([*chat.messages, {"role": "user", "content": "question 6"}], "be brief")
    ids = model.backend.codec.encode_protected(whole)
    expected = model.generate(
        [*chat.messages, {"role": "user", "content": "question 6"}], system="be brief", max_tokens=9
    )
    answer = chat.send("question 6", max_tokens=9).result
    assert answer.prompt_tokens == len(ids)
    assert answer.text == expected.text
    chat.close()
    assert model.session.open() == 0


def test_chat_drops_the_oldest_turns_when_full_and_says_so() -> None:
    model = foretell.load("toy", context=200)
    chat = model.chat(system="s")
    dropped = []
    for turn in range(12):
        result = chat.send(f"question number {turn}", max_tokens=20).result
        assert result.prompt_tokens + len(result.tokens) <= 200
        dropped.append(chat.dropped)
    assert sum(dropped) > 0
    assert dropped[0] == 0
    assert all(each % 2 == 0 for each in dropped)
    assert chat.messages[0]["role"] == "user"
    with pytest.raises(foretell.ForetellError, match="context holds 200"):
        chat.send("x" * 300)
    before = chat.messages
    assert chat.send("and now?", max_tokens=5).result.tokens
    assert len(chat.messages) == len(before) + 2 - chat.dropped


def test_chat_after_clear_cancel_and_stop_strings(model: foretell.Model) -> None:
    chat = model.chat()
    first = chat.send("hello there", max_tokens=9).result.text
    chat.clear()
    assert chat.messages == []
    stream = chat.send("hello there", max_tokens=9)
    assert next(stream).text == first[0]
    stream.cancel()
    chat.send("more", max_tokens=5, stop=first[1])
    assert chat.messages[1] == {"role": "assistant", "content": first[0]}
    cancelled = chat.send("never answered")
    cancelled.cancel()
    assert cancelled.result.finish == "cancelled"
    assert all(message["content"] != "never answered" for message in chat.messages)
    assert chat.send("again", max_tokens=3, speculation=False).result.acceptance is None
