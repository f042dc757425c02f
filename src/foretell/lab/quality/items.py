"""What a task asks, what is right, and what is said about an answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """Right is a program that passes its checks.

    entry: the name that it must define; "" when none is known. before: source that stands before it: imports and
    helpers that the task gives. opening: what the task has begun and an answer may just go on with. checks: source that
    raises when the program is wrong.
    """

    entry: str
    before: str
    opening: str
    checks: str


@dataclass(frozen=True, slots=True)
class Number:
    """Right is this number, whatever way it is written."""

    value: str


@dataclass(frozen=True, slots=True)
class Texts:
    """There are good texts to compare with. source: what was to be translated or corrected."""

    source: str
    references: tuple[str, ...]


Gold = Program | Number | Texts


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a task, and what is right."""

    id: str
    prompt: str
    gold: Gold


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer is worth.

    right: None where answers are not right or wrong but nearer or farther. extracted: the part of the answer that
    counts: a program, a number, a text. why: what was wrong with it, in a line.
    """

    right: bool | None
    extracted: str
    why: str = ""
