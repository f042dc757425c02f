"""Tasks whose answers are programs: HumanEval, the repairs of HumanEvalPack, MBPP.

HumanEval: Chen et al. 2021, 2107.03374. HumanEvalPack (its task "fix"): Muennighoff et al. 2023, 2308.07124. MBPP:
Austin et al. 2021, 2108.07732.
"""

import ast
import builtins
from collections.abc import Iterable

from foretell.errors import ForetellError
from foretell.lab.quality.items import Item, Program
from foretell.lab.quality.rows import Row


def humaneval(row: Row) -> Item:
    """Complete a function of which signature and docstring are given."""
    opening, entry = row.text("prompt"), row.text("entry_point")
    checks = f"{row.text('test')}\n\ncheck({entry})\n"
    prompt = (
        f"Complete this Python function.\n\n```python\n{opening.rstrip()}\n```\n\n"
        "Answer with the whole function, and the imports it needs, in one code block."
    )
    return Item(row.text("task_id"), prompt, Program(entry, _stub(opening), opening, checks))


def repair(row: Row) -> Item:
    """Find the fault in a function that fails its tests."""
    entry, declaration, checks = row.text("entry_point"), row.text("declaration"), row.text("test")
    wrong = f"{declaration.rstrip()}\n{row.text('buggy_solution').rstrip()}"
    prompt = (
        f"The function {entry} has a bug: it fails these tests.\n\n```python\n{wrong}\n\n\n{checks.strip()}\n```\n\n"
        f"Answer with the whole corrected function {entry} in one code block, without the tests."
    )
    return Item(row.text("task_id"), prompt, Program(entry, _stub(declaration), declaration, checks))


def mbpp(row: Row) -> Item:
    """Write a function from a sentence and three tests. The file may be the sanitized one or the full one."""
    tests = row.texts("test_list")
    prepared = "\n".join((*row.texts("test_imports", optional=True), *row.texts("test_setup_code", optional=True)))
    shown = "\n".join(tests)
    prompt = (
        f"{row.text('prompt', 'text').strip()}\n\nThe Python code must pass these tests:\n\n```python\n{shown}\n```\n\n"
        "Answer with the code in one code block, without the tests."
    )
    gold = Program(called(tests, row.where), "", "", f"{prepared}\n{shown}\n")
    return Item(row.text("task_id"), prompt, gold)


def called(tests: Iterable[str], where: str) -> str:
    """The first function that the tests call and that Python does not have; "" when there is none."""
    for test in tests:
        try:
            tree = ast.parse(test)
        except SyntaxError as error:
            raise ForetellError(f"{where}: a test is no Python ({error.msg}): {test[:60]!r}") from error
        calls = (each.func for each in ast.walk(tree) if isinstance(each, ast.Call))
        for each in calls:
            if isinstance(each, ast.Name) and not hasattr(builtins, each.id):
                return each.id
    return ""


def _stub(opening: str) -> str:
    """An opening that is complete as it is: imports, helpers, and a function that does nothing."""
    stub = f"{opening.rstrip()}\n    pass\n"
    try:
        ast.parse(stub)
    except SyntaxError:
        return ""
    return stub
