"""The tokenizer against llama.cpp's answers, and what it does with control tokens, broken files and its cache."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.models import vocabulary as vocabulary_module
from foretell.models.gguf import GGUF
from foretell.models.pretokenise import PRE_TOKENISERS
from foretell.models.store import Store
from foretell.models.tokenizer import Detokeniser, Tokenizer
from foretell.models.vocabulary import Kind, Vocabulary

# Written by bench/tokenizer_golden.py. "small" answers are for the small vocabulary in the same file.
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "tokenizer.json").read_text(encoding="ascii"))
TEXTS: list[str] = GOLDEN["texts"]
TOKENS: list[str] = GOLDEN["vocabulary"]["tokens"]
MODELS = {"qwen2": "qwen2.5-coder-0.5b", "smollm": "smollm2-135m"}
BYTES = 254  # tokens for single bytes in the small vocabulary, which lacks 0x04 and 0x13
BOS, END = TOKENS.index("<|im_start|>"), TOKENS.index("<|im_end|>")
TOOL = TOKENS.index("<tool_call>")

any_text = st.text(st.characters(codec="utf-8"))
tricky_text = st.lists(
    st.sampled_from(
        [
            "<|im_end|>",
            "<|im_start|>",
            "<tool_call>",
            "<|",
            "|>",
            "\ufdd0",
            "\ufdd1",
            "\ufdd2",
            "<",
            "im_end",
            "e",
            " ",
            "é",
        ]
    )
).map("".join)


def small(pre: str, **metadata: Any) -> Tokenizer:
    """A tokenizer with the small vocabulary, made without a file."""
    table = GOLDEN["vocabulary"]
    ids = {token: i for i, token in enumerate(table["tokens"])}
    pairs = [merge.split(" ") for merge in table["merges"]]
    kinds = {i: Kind(kind) for i, kind in enumerate(table["kinds"]) if kind != Kind.NORMAL}
    vocabulary = Vocabulary(table["tokens"], kinds, [ids[a] for a, _ in pairs], [ids[b] for _, b in pairs])
    given_ids = {"tokenizer.ggml.bos_token_id": BOS, "tokenizer.ggml.eos_token_id": END}
    return Tokenizer(vocabulary, PRE_TOKENISERS[pre], given_ids | metadata)


QWEN2 = small("qwen2")


def write(path: Path, **changes: Any) -> Path:
    """A GGUF file with the small vocabulary. Changes: metadata by last word of the key; None leaves one out."""
    table = GOLDEN["vocabulary"]
    values = {"model": "gpt2", "pre": "qwen2", "tokens": table["tokens"], "token_type": table["kinds"]}
    values |= {"merges": table["merges"], "eos_token_id": END, **changes}
    writer = GGUFWriter(path, "llama")
    for key, value in values.items():
        match value:
            case None:
                pass
            case str():
                writer.add_string(f"tokenizer.ggml.{key}", value)
            case int():
                writer.add_uint32(f"tokenizer.ggml.{key}", value)
            case _:
                writer.add_array(f"tokenizer.ggml.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def opened(path: Path, cache_dir: Path | None = None) -> Tokenizer:
    with GGUF.open(path) as gguf:
        return Tokenizer.from_gguf(gguf, cache_dir)


def check_golden(tokenizer: Tokenizer, answers: dict[str, Any]) -> None:
    assert [tokenizer.encode(text) for text in TEXTS] == answers["plain"]
    assert [tokenizer.encode(text, special=True) for text in TEXTS] == answers["special"]
    assert sorted(tokenizer.end_ids) == answers["ends"]
    assert tokenizer.add_bos == answers["add_bos"]


@pytest.mark.parametrize("pre", GOLDEN["small"])
def test_small_vocabulary_as_llama_cpp(pre: str) -> None:
    check_golden(small(pre), GOLDEN["small"][pre])


@pytest.mark.model
@pytest.mark.parametrize("pre", MODELS)
def test_model_as_llama_cpp(pre: str, tmp_path: Path) -> None:
    path = Store().resolve(MODELS[pre])
    for _ in range(2):  # parsed, then out of the cache
        check_golden(opened(path, tmp_path), GOLDEN["models"][pre])


def test_golden_small_answers_tell_the_pre_tokenisers_apart() -> None:
    answers = [GOLDEN["small"][pre]["plain"] for pre in PRE_TOKENISERS if pre in GOLDEN["small"]]
    for i, one in enumerate(answers):
        for other in answers[:i]:
            assert sum(a != b for a, b in zip(one, other, strict=True)) > 10


@pytest.mark.parametrize(
    ("pre", "text", "words"),
    [
        ("qwen2", "I'LL pay 1234$!\n\n  ok", ["I", "'LL", " pay", " ", "1", "2", "3", "4", "$!\n\n", " ", " ok"]),
        ("llama-bpe", "I'LL pay 1234$!\n\n  ok", ["I", "'LL", " pay", " ", "123", "4", "$!\n\n", " ", " ok"]),
        ("smollm", "I'LL pay 1234$!\n\n  ok", ["I", "'", "LL", " pay", " ", "1", "2", "3", "4", "$!", "\n\n ", " ok"]),
        ("qwen2", "'ſ", ["'ſ"]),  # a long s is no s
        ("qwen2", "a\U00016d40b", ["a", "\U00016d40b"]),  # a letter since Unicode 16: not one here
        ("llama-bpe", "1\U000116d0", ["1", "\U000116d0"]),  # likewise a digit
    ],
)
def test_words(pre: str, text: str, words: list[str]) -> None:
    pieces = [piece for piece, _ in PRE_TOKENISERS[pre].build().pre_tokenize_str(text)]
    assert [_from_letters(piece) for piece in pieces] == words


def _from_letters(piece: str) -> str:
    """Undo GPT-2's alphabet by way of the small vocabulary's byte tokens."""
    letters = {TOKENS[i]: QWEN2.token_bytes(i) for i in range(BYTES)}
    return b"".join(letters[letter] for letter in piece).decode()


def test_empty_text() -> None:
    assert QWEN2.encode("") == []
    assert QWEN2.decode([]) == ""


@settings(deadline=None)
@given(any_text)
def test_round_trip(text: str) -> None:
    text = text.replace("\x04", "").replace("\x13", "")  # bytes that the small vocabulary lacks
    assert QWEN2.decode(QWEN2.encode(text)) == text


@settings(deadline=None)
@given(any_text)
def test_lacking_bytes_are_dropped_and_nothing_else(text: str) -> None:
    raw = text.encode().replace(b"\x04", b"").replace(b"\x13", b"")
    ids = QWEN2.encode(text)
    assert max(ids, default=0) < QWEN2.vocabulary
    assert b"".join(map(QWEN2.token_bytes, ids)) == raw


def test_no_merge_across_a_dropped_byte() -> None:
    he = QWEN2.encode("he")
    assert len(he) == 1
    assert QWEN2.encode("h\x04e") == [TOKENS.index("h"), TOKENS.index("e")]


@settings(deadline=None)
@given(any_text | tricky_text)
def test_text_never_becomes_a_control_token(text: str) -> None:
    control = {i for i, kind in enumerate(GOLDEN["vocabulary"]["kinds"]) if kind == Kind.CONTROL}
    assert control.isdisjoint(QWEN2.encode(text))


def test_special_tokens_in_text() -> None:
    text = "<|im_start|>e<tool_call><|im_end|>"
    e = TOKENS.index("e")
    assert QWEN2.encode(text, special=True) == [BOS, e, TOOL, END]
    plain = QWEN2.encode(text)
    assert TOOL in plain  # user-defined tokens are ordinary text
    assert {BOS, END}.isdisjoint(plain)
    assert QWEN2.decode(plain) == text


@settings(deadline=None)
@given(any_text | tricky_text)
def test_protected_text_encodes_as_plain_text(text: str) -> None:
    assert QWEN2.encode_protected(QWEN2.protect(text)) == QWEN2.encode(text)


@settings(deadline=None)
@given(tricky_text)
def test_protected_text_between_control_tokens(text: str) -> None:
    prompt = f"<|im_start|>user\n{QWEN2.protect(text)}\n<|im_end|>"
    ids = QWEN2.encode_protected(prompt)
    assert [i for i in ids if i in {BOS, END}] == [BOS, END]
    assert QWEN2.decode(ids, special=True) == f"<|im_start|>user\n{text}\n<|im_end|>"


def test_lone_surrogate() -> None:
    with pytest.raises(ForetellError, match="lone surrogate"):
        QWEN2.encode("a\ud83d")


def test_control_tokens_are_not_text() -> None:
    assert QWEN2.decode([BOS, TOKENS.index("e"), END]) == "e"
    assert QWEN2.decode([BOS, TOKENS.index("e"), END], special=True) == "<|im_start|>e<|im_end|>"
    assert QWEN2.token_bytes(END) == b"<|im_end|>"
    assert QWEN2.text_bytes(END) == b""
    assert QWEN2.text_bytes(TOOL) == b"<tool_call>"
    assert QWEN2.token_bytes(TOKENS.index("[PAD0]")) == b""


@pytest.mark.parametrize("token", [-1, len(TOKENS)])
def test_no_such_token(token: int) -> None:
    with pytest.raises(IndexError, match="outside the vocabulary"):
        QWEN2.token_bytes(token)


def test_byte_tokens_and_tokens_outside_the_alphabet() -> None:
    vocabulary = Vocabulary(["<0x0A>", "日本", "Ġa", "<0xZZ>"], {0: Kind.BYTE, 3: Kind.BYTE}, [], [])
    tokenizer = Tokenizer(vocabulary, PRE_TOKENISERS["qwen2"], {})
    assert [tokenizer.token_bytes(i) for i in range(4)] == [b"\n", "日本".encode(), b" a", b"<0xZZ>"]


def test_bos() -> None:
    llama = small("llama-bpe")
    assert llama.add_bos
    assert llama.with_bos([1, 2]) == [BOS, 1, 2]
    assert llama.with_bos([BOS, 1]) == [BOS, 1]
    assert llama.with_bos([]) == [BOS]
    assert small("qwen2").with_bos([1]) == [1]
    assert small("qwen2", **{"tokenizer.ggml.add_bos_token": True}).with_bos([1]) == [BOS, 1]
    assert small("llama-bpe", **{"tokenizer.ggml.add_bos_token": False}).with_bos([1]) == [1]
    nowhere = small("llama-bpe", **{"tokenizer.ggml.bos_token_id": 10**6})
    assert nowhere.bos_id is None
    assert nowhere.with_bos([1]) == [1]


def test_end_token_that_only_the_metadata_names() -> None:
    e = TOKENS.index("e")
    assert e in small("qwen2", **{"tokenizer.ggml.eot_token_id": e}).end_ids


def test_end_inside_an_answer_of_several_messages() -> None:
    tokens = ["a", "<|return|>", "<|call|>", "<|end|>"]
    tokenizer = Tokenizer(
        Vocabulary(tokens, dict.fromkeys((1, 2, 3), Kind.CONTROL), [], []), PRE_TOKENISERS["qwen2"], {}
    )
    assert tokenizer.end_ids == {1, 2}


@settings(deadline=None)
@given(st.lists(st.integers(0, QWEN2.vocabulary - 1)))
def test_stream_equals_decode(ids: list[int]) -> None:
    stream = Detokeniser(QWEN2)
    assert "".join([*map(stream.push, ids), stream.flush()]) == QWEN2.decode(ids)


@settings(deadline=None)
@given(any_text)
def test_stream_shows_whole_characters_only(text: str) -> None:
    byte_ids = {QWEN2.token_bytes(i): i for i in range(BYTES)}
    ids = [byte_ids[bytes([byte])] for byte in text.encode() if bytes([byte]) in byte_ids]
    stream = Detokeniser(QWEN2)
    shown = [stream.push(i) for i in ids]
    assert "".join(shown) == QWEN2.decode(ids)
    assert stream.flush() == ""
    assert all(len(each) <= 1 for each in shown)


def test_stream_that_ends_inside_a_character() -> None:
    stream = Detokeniser(QWEN2)
    first = QWEN2.encode("€")[0]
    if QWEN2.token_bytes(first) == "€".encode():
        first = next(i for i in range(BYTES) if QWEN2.token_bytes(i) == b"\xe2")
    assert stream.push(first) == ""
    assert stream.flush() == "\ufffd"
    assert stream.push(TOKENS.index("e")) == "e"  # usable again


def _no_parsing(_gguf: GGUF) -> Vocabulary:
    raise AssertionError("the cache was not used")


def test_cache_is_used_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = write(tmp_path / "m.gguf"), tmp_path / "cache"
    fresh = opened(path, cache)
    assert [each.suffix for each in cache.iterdir()] == [".json"]  # nothing unfinished is left
    monkeypatch.setattr(vocabulary_module, "_parse", _no_parsing)
    cached = opened(path, cache)
    assert [cached.encode(text) for text in TEXTS] == [fresh.encode(text) for text in TEXTS]
    assert cached.end_ids == fresh.end_ids


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other_layout(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"vocabulary 1", b"vocabulary 0", 1))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_truncate, _flip, _empty, _other_layout, _folder])
def test_damaged_cache_is_rebuilt(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path, cache = write(tmp_path / "m.gguf"), tmp_path / "cache"
    fresh = opened(path, cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    damage(file)
    again = opened(path, cache)
    assert [again.encode(text) for text in TEXTS] == [fresh.encode(text) for text in TEXTS]
    assert list(cache.iterdir()) == [file]
    assert file.is_dir() or file.read_bytes() == whole


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert opened(write(tmp_path / "m.gguf"), tmp_path / "file" / "cache").encode("e") == QWEN2.encode("e")


def test_file_removed_while_open(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf")
    with GGUF.open(path) as gguf:
        path.unlink()
        assert Tokenizer.from_gguf(gguf, tmp_path / "cache").encode("e") == QWEN2.encode("e")


def test_another_file_is_not_mistaken_for_the_cached_one(tmp_path: Path) -> None:
    path, cache = tmp_path / "m.gguf", tmp_path / "cache"
    opened(write(path), cache)
    path.unlink()
    merges = GOLDEN["vocabulary"]["merges"]
    assert opened(write(path, merges=merges[:1]), cache).encode("hello") != QWEN2.encode("hello")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "has no tokenizer"),
        ({"model": "none"}, "has no tokenizer"),
        ({"tokens": None}, r"has no tokenizer \(tokenizer.ggml.tokens is missing"),
        ({"merges": None}, r"has no tokenizer \(tokenizer.ggml.merges is missing"),
        ({"model": "llama"}, "unsupported model 'llama'; supported: 'gpt2'"),
        ({"pre": None}, "unsupported pre-tokeniser None; supported: qwen2, "),
        ({"pre": "tekken"}, "unsupported pre-tokeniser 'tekken'; supported: qwen2, .*llama-bpe, .*smollm"),
        ({"tokens": [1, 2, 3]}, "is not a list of strings"),
        ({"token_type": [1, 1]}, "tokens but 2 token types"),
        ({"tokens": [*TOKENS[:-1], TOKENS[0]]}, "a token twice"),
        ({"merges": ["h e", "q zzz"]}, "the merge 'q zzz' needs a token"),
        ({"merges": ["he"]}, "the merge 'he' needs a token"),
    ],
)
def test_unusable_files(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", **changes)
    with pytest.raises(ForetellError, match=message) as caught:
        opened(path, tmp_path / "cache")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_merges_that_would_make_control_tokens_are_left_out(tmp_path: Path) -> None:
    tokens = ["a", "b", "ab", "aab"]
    path = write(tmp_path / "m.gguf", tokens=tokens, token_type=[1, 1, 3, 1], merges=["a b", "a ab"], eos_token_id=2)
    assert opened(path).encode("ab") == [0, 1]


def test_file_without_token_types(tmp_path: Path) -> None:
    assert opened(write(tmp_path / "m.gguf", token_type=None)).encode("hello") == QWEN2.encode("hello")


def test_repeated_merge_keeps_its_first_rank(tmp_path: Path) -> None:
    tokens = ["a", "b", "c", "ab", "bc"]
    path = write(tmp_path / "m.gguf", tokens=tokens, token_type=[1] * 5, merges=["a b", "b c", "a b"], eos_token_id=0)
    assert opened(path).encode("abc") == [3, 2]
