"""Finds the program in an answer.

Models put code into fenced blocks, most of the time; they explain it before and after, they add examples, and they are
cut off in the middle. What counts is the first block that defines what was asked for and that Python can parse, without
the assertions and the printing by which it tries itself out: whether an example of its own is right was not asked.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator
from typing import Final

# A fence, its language, and what is up to the closing fence or the end of an answer that was cut off.
_FENCE: Final = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_FOREIGN: Final = {"bash", "console", "json", "output", "sh", "shell", "text", "txt"}
_STARTS: Final = re.compile(
    r"^(?:from\s+[\w.]+\s+import\b|import\s+\w|def\s+\w|async\s+def\s|class\s+\w|@\w)", re.MULTILINE
)


def program(answer: str, entry: str = "", opening: str = "") -> str:
    """Python source that an answer has, "" when there is none.

    entry: the name that it should define. opening: what it may go on with instead of repeating it.
    """
    return _without_trials(_found(answer, entry, opening))


def _found(answer: str, entry: str, opening: str) -> str:
    candidates = [each for each in _candidates(answer) if each.strip()]
    for code in candidates:
        if defines(code, entry):
            return code
    if opening:  # no candidate repeats the opening: a body
        for code in (*candidates, answer):
            body = textwrap.indent(textwrap.dedent(code.strip("\n")), "    ")
            whole = parsed_part(f"{opening.rstrip()}\n{body}")
            if len(whole) > len(opening.rstrip()) + 1 and defines(whole, entry):
                return whole
    return candidates[0] if candidates else ""


def defines(code: str, entry: str) -> bool:
    """Whether source that parses gives a value to this name at its top level; for "", whether it parses."""
    tree = _tree(code)
    if tree is None or not entry:
        return tree is not None
    return any(entry in _given(each) for each in tree.body)


def parsed_part(code: str) -> str:
    """The longest beginning of source, by lines, that parses: what comes behind was cut off, or is no code."""
    lines = code.splitlines()
    while lines and _tree("\n".join(lines)) is None:
        error = _error_line("\n".join(lines))
        lines = lines[: min(len(lines) - 1, max(error - 1, 0))] if error else lines[:-1]
    return "\n".join(lines).rstrip() + "\n" if lines else ""


def _candidates(answer: str) -> Iterator[str]:
    """Pieces of code, the likeliest first."""
    blocks = [textwrap.dedent(each[3]) for each in _FENCE.finditer(answer) if each[2].lower() not in _FOREIGN]
    yield from blocks
    for place, block in enumerate(blocks):
        if place:  # a helper in one block, what uses it in the next
            yield "\n".join(blocks[: place + 1])
        yield parsed_part(block)
    if not blocks:
        start = _STARTS.search(answer)
        if start is not None:
            yield parsed_part(answer[start.start() :])
        elif answer.strip():
            yield parsed_part(answer)


def _without_trials(code: str) -> str:
    """Source without the top level's assertions and calls of print."""
    tree = _tree(code)
    if tree is None:
        return code
    trials = [each for each in tree.body if _is_trial(each)]
    kept = {line for each in tree.body if each not in trials for line in range(each.lineno, (each.end_lineno or 0) + 1)}
    dropped = {line for each in trials for line in range(each.lineno, (each.end_lineno or 0) + 1)} - kept
    lines = code.splitlines(keepends=True)
    return "".join(line for number, line in enumerate(lines, 1) if number not in dropped)


def _is_trial(node: ast.stmt) -> bool:
    match node:
        case ast.Assert() | ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
            return True
        case _:
            return False


def _given(node: ast.stmt) -> set[str]:
    """Names that a statement gives a value to."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {each.id for each in targets if isinstance(each, ast.Name)}
        case ast.ImportFrom(names=names) | ast.Import(names=names):
            return {each.asname or each.name for each in names}
        case _:
            return set()


def _tree(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():  # of invalid escapes, in code that is not ours
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _error_line(code: str) -> int:
    """The line, from 1, that Python stumbles over; 0 when it does not say."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        return error.lineno or 0
    except (ValueError, RecursionError, MemoryError):
        return 0
    return 0
