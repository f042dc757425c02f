"""Texts limited by a JSON schema, a regular expression or a grammar: which tokens may come next, through llguidance.

What is allowed behind some tokens depends on these tokens alone. Where the grammar leaves no choice about the coming
bytes, only the token that the model's own tokenizer would write there is allowed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from foretell.backend.model import Codec
from foretell.errors import ForetellError, UsageError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Kind = Literal["schema", "regex", "lark"]

# JSON is written as json.dumps does: where spaces may stand is no choice, so more tokens are certain, and no text is
# lost in endless spaces. A schema's own "x-guidance" goes before.
_LAYOUT: Final = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_WORDS: Final = {"schema": "schema", "regex": "regular expression", "lark": "grammar"}
_SPECIAL: Final = b"\xff"  # how llguidance tells control tokens from text; no UTF-8 has this byte


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a whole text has to be.

    kind: "schema" (JSON Schema), "regex" (of the whole text, in the syntax of Rust's regex crate, without look-around)
    or "lark" (rules in llguidance's variant of Lark; the first one is `start`). text: the thing itself.

    >>> Grammar("regex", "[0-9]+(")
    Traceback (most recent call last):
    ...
    foretell.errors.UsageError: the regular expression cannot be used: unclosed group

    Raises:
        UsageError: it is not well-formed, or no text fits.
    """

    kind: Kind
    text: str

    def __post_init__(self) -> None:
        from llguidance import LLTokenizer  # noqa: PLC0415 — only when there is a grammar

        try:
            tokens = LLTokenizer("byte")
            first = Walk(_matcher(self, tokens), frozenset({tokens.eos_token})).allowed(())
        except ForetellError as error:
            raise UsageError(f"the {_WORDS[self.kind]} cannot be used: {error}") from None
        if first is None or first.tolist() == [tokens.eos_token]:
            raise UsageError(f"the {_WORDS[self.kind]} cannot be used: only the empty text fits")

    @classmethod
    def schema(cls, schema: Mapping[str, Any]) -> Self:
        """Of a JSON schema as Python values."""
        return cls("schema", json.dumps(schema))


class Guide:
    """Grammars over the tokens of one model.

    Args:
        codec: the model's tokenizer. vocabulary: number of ids that the model scores, at least the tokenizer's.
    """

    def __init__(self, codec: Codec, vocabulary: int) -> None:
        from llguidance import LLTokenizer  # noqa: PLC0415 — see Grammar

        self._ends = codec.end_ids
        # Its class of this purpose only copies; it asks for no more than these attributes.
        self._tokens = LLTokenizer(_Tokens(codec, vocabulary), vocabulary, sorted(codec.end_ids))  # type: ignore[arg-type]

    def walk(self, grammar: Grammar) -> "Walk":
        """A new text under a grammar."""
        return Walk(_matcher(grammar, self._tokens), self._ends)


class Walk:
    """One text under a grammar, and what may follow it. Tokens that end a text may come where it is complete."""

    def __init__(self, matcher: "LLMatcher", ends: frozenset[int]) -> None:
        self._matcher, self._ends = matcher, ends
        self._known: dict[tuple[int, ...], NDArray[np.int64] | None] = {}  # what is allowed behind guesses

    def extend(self, tokens: Iterable[int]) -> None:
        """These tokens were committed; one that ends the text does not count, nor do those behind it."""
        new = list(takewhile(lambda token: token not in self._ends, tokens))
        if self._matcher.try_consume_tokens(new) < len(new):
            raise ForetellError(f"tokens {new} were committed, but the grammar forbids them")
        self._known.clear()

    def permits(self, path: Sequence[int]) -> bool:
        """Whether these tokens may follow the text; their bytes, if not as these very tokens (see `allowed`)."""
        return self._ends.isdisjoint(path[:-1]) and self._matcher.validate_tokens(list(path)) == len(path)

    def allowed(self, path: Sequence[int]) -> NDArray[np.int64] | None:
        """Tokens that may follow the text and these guesses: int64 [1 or more], ascending. None: the guesses may not.

        Raises:
            ForetellError: nothing may follow, or the grammar is too complex from here on.
        """
        key = tuple(path)
        if key not in self._known:
            self._known[key] = self._behind(key)
        return self._known[key]

    def forced(self, after: Sequence[int] = ()) -> list[int]:
        """Tokens without an alternative behind the text and these guesses."""
        matcher = self._matcher
        taken = matcher.try_consume_tokens(list(after))
        found = list(matcher.compute_ff_tokens()) if taken == len(after) else []
        matcher.rollback(taken)
        return found

    def _behind(self, path: tuple[int, ...]) -> NDArray[np.int64] | None:
        if not self._ends.isdisjoint(path):
            return None
        matcher = self._matcher
        taken = matcher.try_consume_tokens(list(path))
        found = self._next() if taken == len(path) else None
        matcher.rollback(taken)
        return found

    def _next(self) -> NDArray[np.int64]:
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise ForetellError(_reason(self._matcher))
        ids = np.flatnonzero(np.unpackbits(mask, bitorder="little"))
        return ids[:1] if self._ends.issuperset(ids[: len(self._ends) + 1].tolist()) else ids  # one end is like another


class _Tokens:
    """A tokenizer in the form that llguidance reads."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, codec: Codec, vocabulary: int) -> None:
        self.eos_token_id = min(codec.end_ids)
        self.tokens: list[bytes] = []
        self.special_token_ids: list[int] = []
        self._codec = codec
        for token in range(vocabulary):
            text = codec.text_bytes(token) if token < codec.vocabulary else b""
            if not text:
                self.special_token_ids.append(token)
                text = _SPECIAL + b"<%d>" % token
            self.tokens.append(b"" if text == _SPECIAL else text)

    def __call__(self, text: str | bytes) -> list[int]:
        return self._codec.encode(text if isinstance(text, str) else text.decode())


def _matcher(grammar: Grammar, tokens: "LLTokenizer") -> "LLMatcher":
    from llguidance import LLMatcher, LLParserLimits  # noqa: PLC0415 — see Grammar

    match grammar.kind:
        case "schema":
            text = LLMatcher.grammar_from_json_schema(_object(grammar.text), defaults=_LAYOUT)  # type: ignore[arg-type]
        case "regex":
            text = LLMatcher.grammar_from_regex(grammar.text)
        case "lark":
            text = LLMatcher.grammar_from_lark(grammar.text)
    matcher = LLMatcher(tokens, text, log_level=0, limits=LLParserLimits(verbose_errors=False))
    if matcher.is_error():
        raise ForetellError(_reason(matcher))
    return matcher


def _object(schema: str) -> dict[str, Any]:
    try:
        value = json.loads(schema)
    except ValueError as error:
        raise ForetellError(f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ForetellError("it must be a JSON object; {} is the schema of any JSON")
    return value


def _reason(matcher: "LLMatcher") -> str:
    """The line of an error message that a person can use."""
    text = matcher.get_error()
    if matcher.stop_reason() == "InternalError" and text.startswith("NoExtension"):
        return "no text fits"
    lines = text.splitlines() or ["unknown"]
    return next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
