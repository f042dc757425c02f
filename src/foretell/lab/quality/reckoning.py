"""A task whose answers are numbers, GSM8K, and how a number is read out of an answer.

GSM8K: Cobbe et al. 2021, 2110.14168.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from foretell.errors import ForetellError
from foretell.lab.quality.items import Item, Number
from foretell.lab.quality.rows import Row

_MARK: Final = "####"
_NUMBER: Final = re.compile(r"[-+−]?\s?[$€£]?\s?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_BOXED: Final = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_SAID: Final = re.compile(r"(?:final answer|the answer|answer)\b(?:\s+is)?\s*:?", re.IGNORECASE)


def gsm8k(row: Row) -> Item:
    """A word problem of a few steps."""
    question, solution = row.text("question"), row.text("answer")
    value = number(solution.rpartition(_MARK)[2]) if _MARK in solution else None
    if value is None:
        raise ForetellError(f"{row.where}: answer has no number behind {_MARK}; is it this task's file?")
    # Told to end with a marked line, small models write that line alone and reason no more.
    prompt = f"{question.strip()}\n\nReason step by step, and put the final answer, a number, in \\boxed{{}}."
    return Item(row.where.rpartition(" ")[2], prompt, Number(str(value)))


def number(text: str) -> Decimal | None:
    """The last number in a text; separators of thousands and signs of currencies do not count.

    >>> number("so it costs $1,250.50 in all."), number("from 3 to -4"), number("none")
    (Decimal('1250.50'), Decimal('-4'), None)
    """
    found = None
    for each in _NUMBER.finditer(text):
        digits = re.sub(r"[,$€£+]", "", each[0]).replace("−", "-")
        if re.match(r"-\s", digits) or re.search(r"[\w)\]]$", text[: each.start()]):
            digits = digits.lstrip("-")  # "10 - 3" and "10-3" have no -3
        try:
            found = Decimal(digits.strip())
        except InvalidOperation:
            continue
    return found


def final_number(answer: str) -> Decimal | None:
    r"""The number that an answer comes to.

    Looked for behind the last ####, then in the last \boxed{}, then behind the last "answer is" or "answer:", then at
    the end of the text; the first of these places that has a number counts.

    >>> final_number("3 + 4 = 7\n#### 7.00 dollars (for 2)")
    Decimal('7.00')
    >>> final_number("The answer is **$1,000**. That is 10 times 100.")
    Decimal('1000')
    """
    if _MARK in answer:
        found = _first(answer.rpartition(_MARK)[2])
        if found is not None:
            return found
    boxes = _BOXED.findall(answer)
    if boxes:
        found = number(boxes[-1].replace(r"\$", "").replace(r"\,", "").replace("{,}", ","))
        if found is not None:
            return found
    said = list(_SAID.finditer(answer))
    if said:
        sentence = re.split(r"\n\s*\n|\.\s|\.$", answer[said[-1].end() :], maxsplit=1)[0]
        found = number(sentence)
        if found is not None:
            return found
    return number(answer)


def _first(text: str) -> Decimal | None:
    """The first number of a text."""
    found = _NUMBER.search(text)
    return None if found is None else number(found[0])
