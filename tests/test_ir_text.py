"""Text to pipeline and back."""

import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.lexemes import lexemes
from foretell.ir.ops import Accept, Commit, Defer, Draft, Merge, Pipeline, Route, Verify
from foretell.ir.text import line, parse, show
from pipelines import anything, well_formed

DOCS = (Path(__file__).parents[1] / "docs" / "pipelines.md").read_text(encoding="utf-8")


@given(anything())
def test_what_is_shown_parses_back(pipeline: Pipeline) -> None:
    text = show(pipeline)
    assert parse(text) == pipeline
    assert len(text.splitlines()) == 1 + len(pipeline.statements)


@given(well_formed())
def test_what_passes_the_checker_parses_back(pipeline: Pipeline) -> None:
    assert parse(show(pipeline)) == pipeline


@given(well_formed(), st.data())
def test_blanks_lines_and_comments_mean_nothing(pipeline: Pipeline, data: st.DataObject) -> None:
    out, depth = [], 0
    for each in lexemes(show(pipeline), "x")[:-1]:
        depth += (each.text == "(") - (each.text == ")")
        blanks = ["  ", "\t", ' \r\n\n# a (comment) "\n' if depth or each.kind == "newline" else " "]
        out.append(each.text + data.draw(st.sampled_from(blanks)))
    assert parse("\n# before\n" + "".join(out)) == pipeline


def test_defaults_are_not_written_but_for_widths_and_rules() -> None:
    statements = (
        Route("small one", "chow", 0.5),
        Draft("g", "model", 8, "sampled", of="qwen2.5-coder-0.5b", siblings=2, doubt=1e-05, precision="Q4_0"),
        Draft("h", "lookup", width=3),
        Merge("m", ("g", "h")),
        Defer("d", "m", rule="entropy", threshold=2.0),
        Verify("v", "d", constrained=True),
        Verify("w"),
        Accept("a", "v", rule="mix", epsilon=0.1),
        Accept("b", "w"),
        Commit("a"),
    )
    assert show(Pipeline("p", statements)) == (
        "pipeline p\n"
        '  route(small="small one", rule=chow, threshold=0.5)\n'
        "  g = draft(model, of=qwen2.5-coder-0.5b, width=8, law=sampled, siblings=2, doubt=1e-05, precision=Q4_0)\n"
        "  h = draft(lookup, width=3)\n"
        "  m = merge(g, h, width=16)\n"
        "  d = defer(m, rule=entropy, threshold=2.0)\n"
        "  v = verify(d, constrained=true)\n"
        "  w = verify()\n"
        "  a = accept(v, rule=mix, epsilon=0.1)\n"
        "  b = accept(w, rule=coupled)\n"
        "  commit(a)\n"
    )


def test_the_name_is_the_file_s_unless_the_text_says_it() -> None:
    assert parse("v = verify()", "mine") == Pipeline("mine", (Verify("v"),))
    assert parse('pipeline "my own"\nv = verify()', "mine").name == "my own"
    assert parse("pipeline = verify()", "mine") == Pipeline("mine", (Verify("pipeline"),))


def test_numbers_and_strings() -> None:
    assert parse("g = draft(model, doubt=1, stop=.5)") == Pipeline(
        "pipeline", (Draft("g", "model", doubt=1.0, stop=0.5),)
    )
    assert parse(r'g = draft("mo\u0064el", of="\"a\"")').statements == (Draft("g", "model", of='"a"'),)


@pytest.mark.parametrize(
    ("text", "place", "expected", "found"),
    [
        ("pipeline\n", (1, 9), "a word, or text in double quotes for the pipeline's name", "the end of the line"),
        ("g draft(lookup)", (1, 1), "an operation (draft, merge, defer, verify, accept, route, commit), or", "'g'"),
        ("g = drfat(lookup)", (1, 5), "an operation (draft, merge", "'drfat'"),
        ("draft(lookup)", (1, 1), "a name for its value, as in x = draft(...)", "'draft'"),
        ("pipeline p\n  x = commit(a)", (2, 3), "commit(...) alone, for it gives no value", "'x'"),
        ("a-b = verify()", (1, 1), "a name of letters, digits and _", "'a-b'"),
        ("3 = verify()", (1, 1), "a name of letters", "'3'"),
        ("v = verify", (1, 11), "(", "the end of the text"),
        ("v = verify\n()", (1, 11), "(", "the end of the line"),
        ("v = verify(g", (1, 13), ", or )", "the end of the text"),
        ("v = verify(g\na = accept(v)", (2, 1), ", or )", "'a'"),
        ("v = verify(g) a = accept(v)", (1, 15), "the end of the line", "'a'"),
        ("v = verify(g))", (1, 14), "the end of the line", "')'"),
        ("v = verify(g, h)", (1, 15), "NAME=value, the name one of constrained", "'h'"),
        ("commit(a, b)", (1, 11), ")", "'b'"),
        ("commit(a, b=3)", (1, 11), ")", "'b'"),
        ("commit()", (1, 8), "tokens, which commit needs", "')'"),
        ("m = merge(width=3)", (1, 18), "proposals, which merge needs", "')'"),
        ("d = defer(g, rule=chow)", (1, 23), "threshold=..., which defer needs", "')'"),
        ("route(draft, rule=chow)", (1, 7), "NAME=value, the name one of small, rule, threshold", "'draft'"),
        ("g = draft(lookup, wdith=3)", (1, 19), "one of width, law, of", "'wdith'"),
        ("g = draft(lookup, source=copy)", (1, 19), "one of width", "'source'"),
        ("g = draft(lookup, width=3, width=4)", (1, 28), "one of law, of", "'width'"),
        ("g = draft(lookup, width=3.5)", (1, 25), "a whole number for width", "'3.5'"),
        ("g = draft(lookup, width=9999999999999999999)", (1, 25), "a whole number for width", "'9999999999999999999'"),
        ("g = draft(lookup, width=many)", (1, 25), "a whole number for width", "'many'"),
        ("g = draft(lookup, width=)", (1, 25), "a whole number for width", "')'"),
        ("g = draft(3)", (1, 11), "a word, or text in double quotes for source", "'3'"),
        ("g = draft(,)", (1, 11), "a word, or text in double quotes for source", "','"),
        ("g = draft(model,\n  law=drawn)", (2, 7), "one of point, coupled, sampled, without_replacement", "'drawn'"),
        ("v = verify(g, constrained=yes)", (1, 27), "true or false for constrained", "'yes'"),
        ("d = defer(g, rule=chow, threshold=low)", (1, 35), "a number for threshold", "'low'"),
        ("g = draft(3b)", (1, 11), "a word, a number, text in double quotes", "'3b)'"),
        ('g = draft("lookup)', (1, 11), "a word, a number, text in double quotes", "'\"lookup)'"),
        (r'g = draft("\q")', (1, 11), "a word, or text in double quotes for source", repr(r'"\q"')),
        ("g = draft(lookup); v = verify(g)", (1, 18), "a word, a number", "';'"),
        ("\ufeff\n\n  g = draft(løkup)", (3, 14), "a word, a number", "'økup)'"),
    ],
)  # fmt: skip
def test_errors_say_where_and_what(text: str, place: tuple[int, int], expected: str, found: str) -> None:
    with pytest.raises(ForetellError) as caught:
        parse(text, "my.pipeline")
    said = str(caught.value)
    assert said.startswith(f"my.pipeline, line {place[0]}, column {place[1]}: expected {expected}")
    assert said.endswith(f"; found {found}")
    assert "\n" not in said


@given(st.text(string.printable + "é\u2028\udc80", max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse(text)
    except ForetellError as error:
        said = str(error)
    else:
        return
    assert len(said.splitlines()) == 1


def test_numbers_are_finite() -> None:
    with pytest.raises(ForetellError, match="line 2, column 27: expected"):
        parse("pipeline p\n  g = draft(lookup, doubt=1e999)\n")


@given(anything(), st.data())
def test_no_damage_breaks_the_parser(pipeline: Pipeline, data: st.DataObject) -> None:
    text = show(pipeline)
    at, until = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    damaged = text[:at] + data.draw(st.text(string.printable, max_size=3)) + text[until:]
    try:
        again = parse(damaged)
    except ForetellError as error:
        again, said = None, str(error)
    if again is None:
        assert re.match(r"pipeline, line \d+, column \d+: expected .*; found ", said)
    else:
        assert parse(show(again)) == again


def test_examples_of_the_docs() -> None:
    found = re.findall(r"^```pipeline\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    assert [(each.name, check(each)) for each in map(parse, found)] == [
        ("chain", "exact"), ("light", "exact"), ("multi", "distribution"), ("loose", "lossy"),
        ("mine", "exact"),
    ]  # fmt: skip
    built, compiled = re.findall(r"^```python\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(built + re.sub(r'"qwen[^"]*"', '"toy"', compiled), names)  # noqa: S102 (our own page)
    assert names["mine"] == parse(found[-1])
    assert names["result"].tokens


def test_errors_of_the_docs() -> None:
    with pytest.raises(ForetellError) as caught:
        parse("pipeline p\n  g = draft(model, width=5, law=drawn)", "my.pipeline")
    assert str(caught.value) in DOCS
    with pytest.raises(ForetellError) as caught:
        check(parse("pipeline p\n g = draft(lookup)\n v = verify(g)\n a = accept(v, rule=block)\n commit(a)"))
    assert str(caught.value) in DOCS


def test_every_argument_is_in_the_docs() -> None:
    for kind in (Draft, Merge, Defer, Verify, Accept, Route):
        for name in kind.__slots__:
            bare = name in ("name", "source", "proposal", "proposals", "scores")
            assert bare or re.search(rf"`{name}`|\b{name}=", DOCS), (kind, name)


def test_a_statement_alone() -> None:
    assert line(Commit("a")) == "commit(a)"
    assert line(Accept("a", "v", "cascade", alpha=0.5)) == "a = accept(v, rule=cascade, alpha=0.5)"
