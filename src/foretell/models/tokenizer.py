"""Text to tokens and back, from a GGUF file's own vocabulary: byte-level BPE through Hugging Face `tokenizers`.

Ids equal llama.cpp's. Special tokens are cut out here and not by the library, for two reasons: what a person typed must
not turn into a control token unless the caller says so, and llama.cpp looks for the longest special token first in the
whole text, not for the leftmost.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from foretell.errors import ForetellError
from foretell.models.detokenise import Detokeniser
from foretell.models.gguf import GGUF
from foretell.models.pretokenise import PRE_TOKENISERS, PreTokeniser
from foretell.models.special import classify, token_id
from foretell.models.vocabulary import Kind, Vocabulary, read_vocabulary

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Detokeniser", "Tokenizer"]


def _alphabet() -> dict[int, str]:
    """GPT-2's alphabet: byte → the printable character that stands for it."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


# Noncharacters, which Unicode keeps for such internal use: one breaks up look-alikes of control tokens, and those that
# a text itself contains are written in two so that they survive.
_MARK = "\ufdd0"
_ESCAPES = {0xFDD0: "\ufdd1\ufdd2", 0xFDD1: "\ufdd1\ufdd1"}
_UNESCAPES = {pair: chr(code) for code, pair in _ESCAPES.items()}
_BYTE_NAME = re.compile("<0x[0-9A-Fa-f]{2}>")
_ALPHABET = _alphabet()
_BYTES = {ord(character): byte for byte, character in _ALPHABET.items()}  # for str.translate, then Latin-1


class Tokenizer:
    """A model's tokenizer.

    Attributes:
        vocabulary: number of tokens.
        end_ids: tokens after which generation stops; usually several.
        bos_id: the token that begins a text, if there is one.
        add_bos: whether prompts begin with it. `encode` never adds it; `with_bos` does.
    """

    def __init__(self, vocabulary: Vocabulary, rules: PreTokeniser, metadata: Mapping[str, Any]) -> None:
        ids = dict(zip(vocabulary.tokens, range(len(vocabulary.tokens)), strict=True))
        special = classify(metadata, ids, vocabulary.kinds)
        self._tokens = vocabulary.tokens
        self._kinds = vocabulary.kinds
        self._control = special.control
        self._texts: dict[int, bytes] = {}  # of tokens that were asked for before
        self._visible_texts = self._longest_first(special.visible)
        self._special_texts = self._longest_first(special.visible | special.control)
        self.vocabulary = len(self._tokens)
        self.end_ids = special.ends
        self.bos_id = token_id(metadata, "tokenizer.ggml.bos_token_id", self.vocabulary)
        self.add_bos = self.bos_id is not None and bool(metadata.get("tokenizer.ggml.add_bos_token", rules.add_bos))
        # Some vocabularies lack bytes. They get ids past the end, dropped after encoding, so that what is left of a
        # word is not merged across the gap.
        gaps = [character for character in _ALPHABET.values() if character not in ids]
        self._has_gaps = bool(gaps)
        self._bpe = _build(vocabulary, ids, gaps, rules)

    @classmethod
    def from_gguf(cls, gguf: GGUF, cache_dir: Path | None = None) -> Self:
        """The file's tokenizer. With a cache directory, the parsed vocabulary is kept there for the next time.

        Raises:
            ForetellError: the file has no tokenizer, or one of another kind.
        """
        rules = _rules(gguf)
        return cls(read_vocabulary(gguf, cache_dir), rules, gguf.metadata)

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The text's tokens, without bos.

        Args:
            text: any text without lone surrogates.
            special: also recognise control tokens such as <|im_start|>; only for text that a chat template made.
        """
        return self._encode(text, self._special_texts if special else self._visible_texts)

    def protect(self, text: str) -> str:
        """The text with a mark inside everything that looks like a control token.

        What a person typed goes through here into a chat template, and the result through `encode_protected`: so the
        template's control tokens are recognised and the person's look-alikes stay text.
        """
        parts = [
            self._tokens[part] if isinstance(part, int) else self._break_up(part)
            for part in _cut(text, self._visible_texts)
        ]
        return _MARK.join(parts)

    def encode_protected(self, text: str) -> list[int]:
        """Like `encode` with `special`, for text of which some parts went through `protect`."""
        return self._encode(text, self._special_texts, protected=True)

    def with_bos(self, ids: Sequence[int]) -> list[int]:
        """The ids with bos before them if this model wants it and it is not there yet."""
        if self.bos_id is None or not self.add_bos or (ids and ids[0] == self.bos_id):
            return list(ids)
        return [self.bos_id, *ids]

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of the tokens; bytes that are not UTF-8 become U+FFFD. `special`: show control tokens too."""
        piece = self.token_bytes if special else self.text_bytes
        return b"".join(map(piece, ids)).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The token's own bytes, which need not be whole characters; for a control token its name.

        Raises:
            IndexError: there is no such token.
        """
        if not 0 <= token < self.vocabulary:
            raise IndexError(f"token {token} is outside the vocabulary of {self.vocabulary}")
        text = self._tokens[token]
        match self._kinds.get(token, Kind.NORMAL):
            case Kind.NORMAL if token not in self._control:
                return _from_alphabet(text)
            case Kind.BYTE if _BYTE_NAME.fullmatch(text):
                return bytes.fromhex(text[3:5])
            case Kind.UNUSED:
                return b""
        return text.encode()

    def text_bytes(self, token: int) -> bytes:
        """The bytes that the token adds to the text that a person reads: none for a control token."""
        known = self._texts.get(token)
        if known is None:
            known = self._texts[token] = b"" if token in self._control else self.token_bytes(token)
        return known

    def _break_up(self, text: str) -> str:
        text = text.translate(_ESCAPES)
        for special, token in self._special_texts:
            # A token of one character can't be broken up; no vocabulary has a control token like that.
            while token in self._control and len(special) > 1 and special in text:
                text = text.replace(special, special[0] + _MARK + special[1:])
        return text

    def _longest_first(self, ids: Iterable[int]) -> list[tuple[str, int]]:
        texts = [(self._tokens[i], i) for i in ids if self._tokens[i]]
        return sorted(texts, key=lambda pair: (-len(pair[0].encode()), pair[1]))

    def _encode(self, text: str, specials: Sequence[tuple[str, int]], protected: bool = False) -> list[int]:
        ids: list[int] = []
        for piece in _cut(text, specials):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                ids.extend(self._encode_plain(_unprotected(piece) if protected else piece))
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._bpe.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError) as error:
            raise ForetellError("the text has a lone surrogate, which is no character; give valid Unicode") from error
        return [i for i in ids if i < self.vocabulary] if self._has_gaps else ids


def _rules(gguf: GGUF) -> PreTokeniser:
    """The rules that the file names, or the reason why its tokenizer can't be used."""
    model = gguf.metadata.get("tokenizer.ggml.model")
    if model is None or model in {"none", "no_vocab"}:
        raise ForetellError(
            f"{gguf.path} has no tokenizer (tokenizer.ggml.model is missing); use a GGUF file that contains one"
        )
    if model != "gpt2":
        raise ForetellError(
            f"{gguf.path} has a tokenizer of the unsupported model {model!r}; supported: 'gpt2' (byte-level BPE)"
        )
    name = gguf.metadata.get("tokenizer.ggml.pre")
    if name not in PRE_TOKENISERS:
        raise ForetellError(
            f"{gguf.path} has the unsupported pre-tokeniser {name!r}; supported: {', '.join(PRE_TOKENISERS)}"
        )
    return PRE_TOKENISERS[name]


def _build(
    vocabulary: Vocabulary, ids: dict[str, int], gaps: Sequence[str], rules: PreTokeniser
) -> "tokenizers.Tokenizer":
    import tokenizers  # noqa: PLC0415  # heavy, and `--help` must not wait for it

    control = {Kind.CONTROL, Kind.UNKNOWN}
    words = ids | {character: len(ids) + i for i, character in enumerate(gaps)}
    for token, kind in vocabulary.kinds.items():
        if kind in control:
            del words[vocabulary.tokens[token]]
    text = vocabulary.tokens.__getitem__
    merges = list(zip(map(text, vocabulary.left), map(text, vocabulary.right), strict=True))
    built = tokenizers.Tokenizer(tokenizers.models.BPE(words, merges, ignore_merges=rules.whole_words))
    built.pre_tokenizer = rules.build()
    return built


def _cut(text: str, specials: Sequence[tuple[str, int]]) -> list[str | int]:
    """The text as a list of plain pieces and special tokens' ids; the longest special token is looked for first."""
    pieces: list[str | int] = [text] if text else []
    for special, token in specials:
        if special in text:
            pieces = [part for piece in pieces for part in _cut_one(piece, special, token)]
    return pieces


def _cut_one(piece: str | int, special: str, token: int) -> list[str | int]:
    if isinstance(piece, int):
        return [piece]
    parts: list[str | int] = []
    for i, plain in enumerate(piece.split(special)):
        parts += ([token] if i else []) + ([plain] if plain else [])
    return parts


def _unprotected(text: str) -> str:
    text = text.replace(_MARK, "")
    return re.sub("|".join(_ESCAPES.values()), lambda pair: _UNESCAPES[pair[0]], text)


def _from_alphabet(text: str) -> bytes:
    try:
        return text.translate(_BYTES).encode("latin-1")
    except UnicodeEncodeError:  # not in the alphabet at all: a token that some converter wrote as plain text
        return text.encode()
