"""What is read out of data files and out of answers."""

import gzip
import json
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from foretell.errors import ForetellError, UsageError
from foretell.lab.quality import extract, tasks
from foretell.lab.quality.items import Item, Number, Program, Texts, Verdict
from foretell.lab.quality.judge import judge
from foretell.lab.quality.reckoning import final_number, number
from foretell.lab.quality.rows import read_rows
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.lab.quality.writing import bare

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": (
        "from typing import List\n\n\ndef helper(x):\n    return x * 2\n\n\n"
        'def twice(x: int) -> int:\n    """Double."""\n'
    ),
    "entry_point": "twice",
    "canonical_solution": "    return helper(x)\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
}
REPAIR = {
    "task_id": "Python/0",
    "declaration": "def twice(x: int) -> int:\n",
    "buggy_solution": "    return x * 3\n",
    "canonical_solution": "    return x * 2\n",
    "entry_point": "twice",
    "test": "def check(twice):\n    assert twice(2) == 4\n\ncheck(twice)",
}
MBPP = {
    "task_id": 2,
    "prompt": "Write a function to double a number.",
    "code": "def twice(x): return 2 * x",
    "test_imports": ["import math"],
    "test_list": ["assert twice(math.floor(2.5)) == 4", "assert set([twice(1)]) == {2}"],
}
GSM8K = {"question": "What is 2 + 3?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"}


def items(name: str, folder: Path, *records: object) -> list[Item]:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return tasks.read(tasks.task(name), path)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Adding gives 5.\n#### 5", 5),
        ("#### $1,234.50", Decimal("1234.50")),
        ("#### 5 apples (of 7)", 5),
        ("First \\boxed{3}, so in the end \\boxed{1{,}250}.", 1250),
        ("\\[ \\boxed{\\$64} \\] because 2 of them cost 128", 64),
        ("The answer is **$1,000**. That is 10 times 100.", 1000),
        ("Final answer: -4", -4),
        ("the answer is 10 - 3 = 7", 7),
        ("She pays 5 and 6, in all 11 dollars.", 11),
        ("It is 3.50", Decimal("3.5")),
        ("10-3", 3),
        ("minus: −8", -8),
        ("####\nI do not know, 12?", 12),
        ("no digits", None),
        ("", None),
    ],
)
def test_the_number_that_an_answer_comes_to(answer: str, expected: object) -> None:
    assert final_number(answer) == expected


def test_numbers() -> None:
    assert number("so it costs $1,250.50 in all.") == Decimal("1250.50")
    assert number("from 3 to -4") == -4
    assert number("x = .5") == Decimal("0.5")
    assert number("none") is None


FUNCTION = "def twice(x):\n    return 2 * x\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{FUNCTION}```",
        f"Here it is:\n\n```py\n{FUNCTION}```\n\nAn example:\n\n```python\nprint(twice(2))\n```",
        f"```bash\npip install x\n```\n```\n{FUNCTION}```",
        f"~~~python\n{FUNCTION}~~~",
        f"   ```python\n   {FUNCTION.replace(chr(10), chr(10) + '   ')}\n   ```",
        f"```python\n{FUNCTION}",
        f"```python\n{FUNCTION}\n\ndef other(x):\n    if x",
        FUNCTION,
        f"You need a function:\n\n{FUNCTION}\nIt doubles its argument.",
        "```python\ntwice = lambda x: 2 * x\n```",
        "```python\ndef half(x):\n    return x\n```\nand\n```python\nfrom math import floor\n\n" + FUNCTION + "```",
    ],
)
def test_code_is_found_in_an_answer(answer: str) -> None:
    code = extract.program(answer, "twice")
    module: dict[str, object] = {}
    exec(code, module)  # noqa: S102 — it is one of those above
    assert module["twice"](21) == 42  # type: ignore[operator]


def test_what_a_program_tries_out_itself_does_not_count() -> None:
    tries = "assert twice(2) == 5\nprint(\n    twice('a' - 1)\n)\nX = 1; print(X)\n"
    assert extract.program(f"```python\n{FUNCTION}{tries}```", "twice") == f"{FUNCTION}X = 1; print(X)\n"


def test_helpers_of_an_earlier_block_come_along() -> None:
    answer = "```python\nX = 2\n```\nthen\n```python\ndef twice(x):\n    return X * x\n\ntwice(\n```"
    assert extract.program(answer, "twice").startswith("def twice")
    assert extract.program("```python\nX = 2\n```", "twice") == "X = 2\n"
    assert extract.program("I can not.", "twice") == ""
    assert extract.program("", "twice") == ""


@pytest.mark.parametrize("answer", ["    return helper(x)", "```python\n    return helper(x)\n```", "return helper(x)"])
def test_an_answer_may_go_on_with_what_was_begun(answer: str, tmp_path: Path) -> None:
    (item,) = items("humaneval", tmp_path, HUMANEVAL)
    assert judge(item, answer, Sandbox()).right


def test_answers_to_tasks_are_judged(tmp_path: Path) -> None:
    sandbox = Sandbox()
    for name, record in (("humaneval", HUMANEVAL), ("humanevalfix", REPAIR), ("mbpp", MBPP)):
        (item,) = items(name, tmp_path, record)
        assert judge(item, f"```python\n{FUNCTION}```", sandbox) == Verdict(True, FUNCTION)
        wrong = judge(item, "```python\ndef twice(x):\n    return x\n```", sandbox)
        assert not wrong.right
        assert wrong.why.startswith("AssertionError")
        assert judge(item, "I will not.", sandbox) == Verdict(False, "", "no code in the answer")
    (item,) = items("gsm8k", tmp_path, GSM8K)
    assert judge(item, "so \\boxed{5.0}", sandbox).right
    assert judge(item, "6", sandbox) == Verdict(False, "6", "6 instead of 5")
    assert judge(item, "?", sandbox) == Verdict(False, "", "no number in the answer")


def test_prompts_have_what_is_needed_and_not_the_solution(tmp_path: Path) -> None:
    for name, record, words in (
        ("humaneval", HUMANEVAL, ["def twice(x: int) -> int:", "Double."]),
        ("humanevalfix", REPAIR, ["return x * 3", "assert twice(2) == 4"]),
        ("mbpp", MBPP, ["double a number", "assert twice(math.floor(2.5)) == 4"]),
        ("gsm8k", GSM8K, ["What is 2 + 3?"]),
    ):
        (item,) = items(name, tmp_path, record)
        assert all(word in item.prompt for word in words)
        assert str(record.get("canonical_solution", record.get("code", "####"))) not in item.prompt


def test_the_full_mbpp_has_other_names(tmp_path: Path) -> None:
    full = {"task_id": 11, "text": "Double.", "test_setup_code": "Y = 4", "test_list": ["assert twice(2) == Y"]}
    (item,) = items("mbpp", tmp_path, full)
    assert item.gold == Program("twice", "", "", "Y = 4\nassert twice(2) == Y\n")
    assert judge(item, FUNCTION, Sandbox()).right


@pytest.mark.parametrize(
    ("name", "record", "field"),
    [
        *(("humaneval", HUMANEVAL, field) for field in ("task_id", "prompt", "entry_point", "test")),
        *(("humanevalfix", REPAIR, field) for field in ("declaration", "buggy_solution", "entry_point", "test")),
        *(("mbpp", MBPP, field) for field in ("task_id", "prompt", "test_list")),
        *(("gsm8k", GSM8K, field) for field in ("question", "answer")),
        ("translation", {"prompt": "Translate: x", "reference": "y"}, "reference"),
        ("jfleg", {"sentence": "x", "corrections": ["y"]}, "corrections"),
    ],
)
def test_a_missing_field_is_named_with_its_line(
    name: str, record: dict[str, object], field: str, tmp_path: Path
) -> None:
    for broken in ({k: v for k, v in record.items() if k != field}, record | {field: None}):
        with pytest.raises(ForetellError, match=rf"data\.jsonl, line 2: the field {field}.* is missing"):
            items(name, tmp_path, record | {"id": "first", "task_id": "first"}, broken)
    with pytest.raises(ForetellError, match=rf"line 1: {field} is "):
        items(name, tmp_path, record | {field: {"odd": 1}})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "line 1: Expecting property name"),
        ("[1]\n", "line 1: '[1]' is no JSON object"),
        ("\n", "no questions of gsm8k"),
        (json.dumps(GSM8K | {"answer": "5"}), "line 1: answer has no number behind ####"),
        ("\xff", "cannot read"),
    ],
)
def test_files_that_are_something_else(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ForetellError) as error:
        tasks.read(tasks.task("gsm8k"), path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_formats_give_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").Table
    records = [MBPP, MBPP | {"task_id": 3}]
    lines = "".join(json.dumps(each) + "\n" for each in records)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "a.json").write_text(json.dumps(records))
    parquet.write_table(table.from_pylist(records), tmp_path / "a.parquet")
    found = [tasks.read(tasks.task("mbpp"), each) for each in sorted(tmp_path.iterdir())]
    assert len(found) == 4
    assert all(each == found[0] for each in found)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 or so")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode())[:-10])
    (tmp_path / "b.json").write_text("{}")
    for each in sorted(tmp_path.glob("b.*")):
        with pytest.raises(ForetellError, match=each.name):
            list(read_rows(each))


def test_files_are_found_by_their_official_names(tmp_path: Path) -> None:
    gsm8k = tasks.task("gsm8k")
    with pytest.raises(ForetellError, match=r"has no test.jsonl or .*, nor a folder gsm8k"):
        tasks.find(gsm8k, tmp_path)
    with pytest.raises(ForetellError, match="there is no"):
        tasks.find(gsm8k, tmp_path / "x")
    inner = tmp_path / "gsm8k"
    inner.mkdir()
    (inner / "test.jsonl").write_text("x")
    assert tasks.find(gsm8k, tmp_path) == tasks.find(gsm8k, inner) == inner / "test.jsonl"
    assert tasks.find(gsm8k, inner / "test.jsonl") == inner / "test.jsonl"
    with pytest.raises(UsageError, match="mbpp is meant"):
        tasks.task("mbbp")
    with pytest.raises(ForetellError, match="two questions with the id 2"):
        items("mbpp", tmp_path, MBPP, MBPP)


def test_texts_to_translate_and_to_correct(tmp_path: Path) -> None:
    (item,) = items("translation", tmp_path, {"translation": {"de": "Guten Tag", "en": "Good day"}})
    assert item.gold == Texts("Guten Tag", ("Good day",))
    assert "from German into English" in item.prompt
    suite = {"klass": "translation", "id": "7", "prompt": "Translate: Hallo", "reference": "Hello"}
    (item,) = items("translation", tmp_path, {"klass": "math", "id": "1", "prompt": "2 + 2"}, suite)
    assert (item.id, item.gold) == ("7", Texts("Translate: Hallo", ("Hello",)))
    grammar = suite | {"klass": "grammar", "prompt": "Correct this.\n\nI likes it .", "reference": ["I like it ."]}
    (item,) = items("jfleg", tmp_path, suite, grammar)
    assert item.gold == Texts("I likes it .", ("I like it .",))
    with pytest.raises(ForetellError, match="3 languages"):
        items("translation", tmp_path, {"translation": {"a": "x", "b": "y", "c": "z"}})


def test_jfleg_comes_as_parallel_texts(tmp_path: Path) -> None:
    folder = tmp_path / "jfleg" / "test"
    folder.mkdir(parents=True)
    (folder / "test.src").write_text("I likes it .\nHe go .\n")
    with pytest.raises(ForetellError, match="no references beside"):
        tasks.read(tasks.task("jfleg"), folder / "test.src")
    (folder / "test.ref0").write_text("I like it .\nHe goes .\n")
    (folder / "test.ref1").write_text("I do like it .\nHe went .\n")
    jfleg = tasks.task("jfleg")
    found = tasks.read(jfleg, tasks.find(jfleg, tmp_path))
    assert [each.gold for each in found] == [
        Texts("I likes it .", ("I like it .", "I do like it .")),
        Texts("He go .", ("He goes .", "He went .")),
    ]
    (folder / "test.ref1").write_text("I do like it .\n")
    with pytest.raises(ForetellError, match="has 1 lines"):
        tasks.read(jfleg, folder / "test.src")


@pytest.mark.parametrize(
    ("answer", "source", "expected"),
    [
        ('Here is the corrected sentence:\n\n"I like it."\n\nNote: I changed it.', "I likes it .", "I like it."),
        ("I like it.", "I likes it .", "I like it."),
        ('"No," he said. "Never."', "No he sayed", '"No," he said. "Never."'),
        ('"I like it."', '"I likes it ."', '"I like it."'),
        ("Translation: Hello: world", "Hallo: Welt", "Hello: world"),
        ("Two\nlines", "Zwei Zeilen", "Two lines"),
        ("A\n\nB", "C\n\nD", "A B"),
        ("", "x", ""),
    ],
)
def test_bare_texts(answer: str, source: str, expected: str) -> None:
    assert bare(answer, source) == expected


def test_numbers_of_lines_are_ids(tmp_path: Path) -> None:
    found = items("gsm8k", tmp_path, GSM8K, GSM8K)
    assert [each.id for each in found] == ["1", "2"]
    assert found[0].gold == Number("5")


def test_a_file_inside_an_archive_is_no_data(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("HumanEval.jsonl", json.dumps(HUMANEVAL))
    with pytest.raises(ForetellError, match="cannot read"):
        tasks.read(tasks.task("humaneval"), tmp_path / "a.whl")
