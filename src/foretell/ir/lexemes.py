"""The text of a pipeline cut into words, numbers, strings and marks, each with its place (docs/pipelines.md)."""

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from foretell.errors import ForetellError

Kind = Literal["word", "number", "string", "mark", "newline", "end"]

_WORD: Final = r"[A-Za-z_][A-Za-z0-9_./:@-]*"
_LEXEME: Final = re.compile(
    rf"""
    (?P<space>   [ \t\r\f\ufeff]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<number>  -? (?: \d+\.?\d* | \.\d+ ) (?: [eE][+-]?\d+ )? (?![\w.]) )
  | (?P<word>    {_WORD} )
  | (?P<string>  "(?: [^"\\\n] | \\. )*" )
  | (?P<mark>    [=(),] )
    """,
    re.ASCII | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A piece of text and where it begins. line, column: from 1."""

    kind: Kind
    text: str
    line: int
    column: int

    @property
    def shown(self) -> str:
        """What an error calls it."""
        return {"newline": "the end of the line", "end": "the end of the text"}.get(self.kind, repr(self.text))


def is_word(text: str) -> bool:
    """Whether a text may stand without quotes."""
    return re.fullmatch(_WORD, text) is not None


def is_name(text: str) -> bool:
    """Whether a statement may set this name."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is not None


def lexemes(text: str, file: str) -> list[Lexeme]:
    """All but blanks, comments and the ends of lines within parentheses; the last one has the kind `end`."""
    out: list[Lexeme] = []
    at, line, start, depth = 0, 1, 0, 0  # start: of the line. depth: of parentheses
    while at < len(text):
        column = at - start + 1
        match = _LEXEME.match(text, at)
        if match is None:
            odd = Lexeme("word", (text[at : at + 20].split() or [text[at]])[0], line, column)
            raise expected("a word, a number, text in double quotes, or one of = ( ) ,", odd, file)
        kind, at = match.lastgroup, match.end()
        if kind == "newline":
            line, start = line + 1, at
        depth = max(0, depth + (match[0] == "(") - (match[0] == ")"))
        if kind != "space" and not (kind == "newline" and depth):
            out.append(Lexeme(cast("Kind", kind), match[0], line - (kind == "newline"), column))
    return [*out, Lexeme("end", "", line, at - start + 1)]


def expected(what: str, found: Lexeme, file: str) -> ForetellError:
    """The error that says where something else should stand."""
    return ForetellError(f"{file}, line {found.line}, column {found.column}: expected {what}; found {found.shown}")
