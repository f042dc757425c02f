"""The text form of a pipeline, both ways: `parse(show(p)) == p` for every pipeline that `check` passes.

An operation is written with the names of its class in ops.py: `Draft(name="g", source="model", width=5)` is
`g = draft(model, width=5)`. Other fields that have their default value are left out.
"""

import json
import re
from dataclasses import MISSING, fields
from math import isfinite
from typing import Any, Final, get_args, get_type_hints

from foretell.errors import ForetellError
from foretell.ir.lexemes import Lexeme, expected, is_name, is_word, lexemes
from foretell.ir.ops import Commit, Pipeline, Route, Statement

_OPERATIONS: Final[dict[str, type[Statement]]] = {each.__name__.lower(): each for each in get_args(Statement)}
_HINTS: Final = {kind: get_type_hints(kind) for kind in _OPERATIONS.values()}
_BARE: Final = ("source", "proposals", "proposal", "scores", "tokens")  # fields that are written without their name
_SAID: Final = ("width", "rule")  # fields that are written even when they have their default value
_EXPECTED: Final = {
    str: "a word, or text in double quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def parse(text: str, name: str = "pipeline") -> Pipeline:
    """A pipeline from its text; not checked.

    Args:
        text: see docs/pipelines.md.
        name: of the file, for errors; and of the pipeline, if the text doesn't begin with its name.

    Raises:
        ForetellError: says the line and column, and what was expected there.
    """
    return _Parser(text, name).pipeline()


def show(pipeline: Pipeline) -> str:
    """The text of a pipeline: its name, then each statement in a line of its own."""
    return "".join([f"{title(pipeline)}\n", *(f"  {line(each)}\n" for each in pipeline.statements)])


def title(pipeline: Pipeline) -> str:
    """The first line of its text."""
    return f"pipeline {word(pipeline.name)}"


def line(statement: Statement) -> str:
    """The text of one statement."""
    arguments: list[str] = []
    for field in sorted(fields(statement), key=lambda each: each.name not in (*_BARE, "of")):  # who, then how
        value = getattr(statement, field.name)
        if field.name == "name" or (value == field.default and field.name not in _SAID):
            continue
        said = [word(each) for each in value] if isinstance(value, tuple) else [word(value)]
        arguments += said if field.name in _BARE else [f"{field.name}={said[0]}"]
    name = "" if isinstance(statement, Route | Commit) else f"{word(statement.name)} = "
    return f"{name}{operation(statement)}({', '.join(arguments)})"


def operation(statement: Statement) -> str:
    """What a statement does, as text says it: draft, merge and so on."""
    return type(statement).__name__.lower()


def word(value: object) -> str:
    """A value as text says it: always within one line, and `_read` understands it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return repr(float(value))
        case str():
            return value if is_word(value) else json.dumps(value)
        case _:
            return str(value)


def _read(lexeme: Lexeme, hint: Any) -> object | None:
    """The value of a field's type, or None where the text is no such value."""
    match lexeme.kind:
        case "word" if hint is bool:
            return {"true": True, "false": False}.get(lexeme.text)
        case "word" if hint is str or lexeme.text in get_args(hint):
            return lexeme.text
        case "string" if hint is str:
            return _unquoted(lexeme.text)
        case "number" if hint is float:
            number = float(lexeme.text)
            return number if isfinite(number) else None
        case "number" if hint is int and re.fullmatch(r"-?\d{1,18}", lexeme.text):
            return int(lexeme.text)
        case _:
            return None


def _unquoted(text: str) -> str | None:
    try:
        return str(json.loads(text))
    except ValueError:  # an escape that JSON doesn't have
        return None


class _Parser:
    """Recursive descent: a method for each rule of the grammar."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._lexemes = lexemes(text, file)
        self._at = 0

    def pipeline(self) -> Pipeline:
        self._skip_lines()
        name = self._header()
        statements = []
        self._skip_lines()
        while self._peek().kind != "end":
            statements.append(self._statement())
            if self._peek().kind not in ("newline", "end"):
                raise self._wrong("the end of the line")
            self._skip_lines()
        return Pipeline(name, tuple(statements))

    def _header(self) -> str:
        if self._peek().text != "pipeline" or self._peek(1).kind == "mark":  # a statement may set the name `pipeline`
            return self._file
        self._at += 1
        return str(self._value(str, "the pipeline's name"))

    def _statement(self) -> Statement:
        first = self._peek()
        named = self._peek(1).text == "="
        if named:
            if not is_name(first.text):
                raise self._wrong("a name of letters, digits and _")
            self._at += 2
        kind = _OPERATIONS.get(self._peek().text)
        if kind is None:
            what = f"an operation ({', '.join(_OPERATIONS)})"
            raise self._wrong(what if named else f"{what}, or a name and = before it")
        if named and "name" not in _HINTS[kind]:
            raise expected(f"{self._peek().text}(...) alone, for it gives no value", first, self._file)
        if not named and "name" in _HINTS[kind]:
            raise self._wrong(f"a name for its value, as in x = {first.text}(...)")
        self._at += 1
        values: dict[str, Any] = {"name": first.text} if named else {}
        return kind(**self._arguments(kind, values))

    def _arguments(self, kind: type[Statement], values: dict[str, Any]) -> dict[str, Any]:
        self._mark("(")
        while self._peek().text != ")":
            self._argument(kind, values)
            if self._peek().text != ")":
                self._mark(",", "or )")
        missing = [each.name for each in fields(kind) if each.default is MISSING and each.name not in values]
        if missing:
            said = missing[0] if missing[0] in _BARE else f"{missing[0]}=..."
            raise self._wrong(f"{said}, which {kind.__name__.lower()} needs")
        self._mark(")")
        return values

    def _argument(self, kind: type[Statement], values: dict[str, Any]) -> None:
        hints, key = _HINTS[kind], self._peek().text
        keywords = [each for each in hints if each not in (*_BARE, "name")]
        if self._peek(1).text == "=":
            if key not in keywords or key in values:
                left = [each for each in keywords if each not in values]
                raise self._wrong(f"one of {', '.join(left)}" if left else ")")
            self._at += 2
            values[key] = self._value(hints[key], key)
            return
        bare = next((each for each in hints if each in _BARE), "")
        if bare == "proposals":
            values[bare] = (*values.get(bare, ()), self._value(str, "a proposal"))
            return
        if not bare or bare in values:
            raise self._wrong(f"NAME=value, the name one of {', '.join(keywords)}" if keywords else ")")
        values[bare] = self._value(str, bare)

    def _value(self, hint: Any, what: str) -> object:
        value = _read(self._peek(), hint)
        if value is None:
            form = _EXPECTED.get(hint) or f"one of {', '.join(get_args(hint))}"
            raise self._wrong(f"{form} for {what}")
        self._at += 1
        return value

    def _mark(self, mark: str, more: str = "") -> None:
        if self._peek().text != mark:
            raise self._wrong(f"{mark} {more}".strip())
        self._at += 1

    def _skip_lines(self) -> None:
        while self._peek().kind == "newline":
            self._at += 1

    def _peek(self, ahead: int = 0) -> Lexeme:
        return self._lexemes[min(self._at + ahead, len(self._lexemes) - 1)]

    def _wrong(self, what: str) -> ForetellError:
        return expected(what, self._peek(), self._file)
