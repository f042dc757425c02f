"""Profiles as data and as files: what adds up, what comes back, what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.backend.toy import ToyBackend
from foretell.errors import ForetellError, UsageError
from foretell.profile import passes
from foretell.profile.counts import (
    DOUBTS,
    WIDTHS,
    Counts,
    FormCounts,
    Overlap,
    Rounds,
    Shortened,
    SourceCounts,
    Tally,
    form_name,
    form_of,
)
from foretell.profile.file import Keys, Profile, Times, parse, read, text, write
from foretell.profile.merge import merge
from foretell.profile.prompts import OWN, Prompt, built_in, read_prompts
from foretell.profile.spread import Spread
from foretell.profile.store import Profiles

KEYS = Keys("a machine", "target, 2 threads, engine x", "draft, 2 threads, engine x")

small = st.integers(0, 50)
modest = settings(max_examples=40, deadline=None)  # profiles are large


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    return Spread.of(draw(st.lists(st.floats(0.1, 500), min_size=1, max_size=6)))


@st.composite
def rounds(draw: st.DrawFn, width: int) -> Rounds:
    offered = draw(small)
    hits = tuple(draw(st.lists(small, min_size=width, max_size=width)))
    trials = tuple(each + draw(small) for each in hits)
    return Rounds(offered + draw(small), offered, draw(small), draw(small), trials, hits)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    right = draw(small)
    return Tally(right + draw(small), right, draw(st.floats(0, 30)))


@st.composite
def every_width(draw: st.DrawFn) -> dict[int, Rounds]:
    return {width: draw(rounds(width)) for width in draw(st.sets(st.sampled_from(WIDTHS), max_size=3))}


@st.composite
def forms(draw: st.DrawFn) -> FormCounts:
    ranks = tuple(draw(st.lists(small, max_size=8)))
    right = draw(small)
    places = max(right, sum(ranks)) + draw(small)
    classes = st.dictionaries(st.integers(0, 12), tallies(), max_size=4)
    return FormCounts(places, right, draw(every_width()), draw(classes), draw(classes), ranks)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    sources = st.builds(
        SourceCounts, every_width(), st.dictionaries(small, tallies(), max_size=3), st.none() | spreads()
    )
    names = st.sampled_from(["whole", "whole Q4_0", "16384 Q4_0", "512"])
    short = small.map(lambda n: Shortened(n + 3, n, n + 1))
    return Counts(
        draw(small),
        draw(small),
        draw(small),
        draw(st.dictionaries(st.integers(0, 200_000), small, max_size=5)),
        draw(st.dictionaries(st.sampled_from(["lookup", "recycled", "copy"]), sources)),
        draw(st.dictionaries(names, forms())),
        draw(st.dictionaries(st.sampled_from([64, 128]), short)),
        Overlap(draw(small), draw(small), draw(small), draw(small)),
    )


@st.composite
def times(draw: st.DrawFn) -> Times:
    sizes = {1: draw(spreads())} | draw(st.dictionaries(st.sampled_from([2, 4, 8]), spreads()))
    return Times({64: sizes}, draw(st.none() | spreads()), draw(st.none() | spreads()), draw(st.integers(1, 9)))


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    drafts = {"whole": draw(times())} | draw(st.dictionaries(st.just("whole Q4_0"), times()))
    kinds = draw(st.dictionaries(st.sampled_from(["edit", "list", "ünïcode kind"]), counts(), max_size=2))
    return Profile(KEYS, "quick", draw(times()), drafts, draw(st.none() | spreads()), kinds)


def total(value: Any) -> int:
    """The sum of all whole numbers of a JSON value but those about repeated measurements."""
    if isinstance(value, dict):
        return sum(
            total(each) for name, each in value.items() if name not in ("proposal", "target", "drafts", "overhead")
        )
    if isinstance(value, list):
        return sum(map(total, value))
    return value if isinstance(value, int) else 0


@modest
@given(profile=profiles())
def test_files_give_back_what_was_written(profile: Profile) -> None:
    assert parse(text(profile), "it") == profile
    assert text(parse(text(profile), "it")) == text(profile)


@modest
@given(a=profiles(), b=profiles())
def test_merged_counts_add_up(a: Profile, b: Profile) -> None:
    both = merge([a, b])
    sums = [total(json.loads(text(each))["profile"]) for each in (a, b, both)]
    assert sums[2] == sums[0] + sums[1]
    assert total(json.loads(text(merge([b, a])))["profile"]) == sums[2]
    one = [each.target.passes[64][1] for each in (a, b, both)]
    assert one[2].count == one[0].count + one[1].count
    assert one[2].least_ms == min(one[0].least_ms, one[1].least_ms)
    assert min(one[0].median_ms, one[1].median_ms) - 1e-3 <= one[2].median_ms <= max(one[0].median_ms, one[1].median_ms)
    assert both.target.looks == a.target.looks + b.target.looks


@modest
@given(profile=profiles(), kind=counts())
def test_counts_of_kinds_add_up(profile: Profile, kind: Counts) -> None:
    more = replace(profile, kinds={**profile.kinds, "more": kind})
    assert more.counts.tokens == sum(each.tokens for each in profile.kinds.values()) + kind.tokens
    assert more.counts.overlap.both == profile.counts.overlap.both + kind.overlap.both


def an_example() -> Profile:
    whole = Times({64: {1: Spread(4, 9.0, 9.5), 8: Spread(4, 12.0, 12.5)}}, Spread(3, 1.0, 1.1))
    counted = FormCounts(10, 7, {8: Rounds(5, 5, 9, 9, (5, 3), (4, 2))}, {0: Tally(10, 7, 0.005)}, {}, (7, 2))
    one = Counts(1, 20, 11, {5: 11}, {"lookup": SourceCounts({8: Rounds(9, 4, 8, 8, (4,), (2,))})}, {"whole": counted})
    return Profile(KEYS, "quick", whole, {"whole": whole}, Spread(8, 0.1, 0.2), {"edit": one})


def changed(path: str, value: Any) -> str:
    """The example's file with one value replaced."""
    whole = json.loads(text(an_example()))
    place = whole["profile"]
    *parents, last = path.split("/")
    for each in parents:
        place = place[each]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(whole)


def refused(content: str) -> str:
    with pytest.raises(ForetellError) as error:
        parse(content, "my.ftprof")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("the profile my.ftprof ")
    assert message.endswith(": measure again with `foretell profile run`")
    return message


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("kinds/edit/tokens", 12, "was changed by hand"),
        ("kinds/edit/tokens", -1, "is damaged: profile.kinds.edit.tokens is -1, expected a whole number from 0 on"),
        ("kinds/edit/tokens", 1.5, "expected a whole number from 0 on"),
        ("kinds/edit/tokens", True, "expected a whole number from 0 on"),
        ("kinds/edit/tokens", 10**400, "expected a whole number from 0 on"),
        ("kinds/edit/tokens", ..., "profile.kinds.edit.tokens is missing"),
        ("kinds/edit/more", 1, "profile.kinds.edit.more is unknown"),
        ("kinds/edit/frequencies/x", 1, "is 'x', expected a whole number from 0 on as a name"),
        ("kinds", [], "profile.kinds is [], expected an object"),
        ("how", 3, "profile.how is 3, expected a text"),
        ("target/passes/64/1/least_ms", float("nan"), "least_ms is nan, expected a number from 0 on"),
        ("target/passes/64/1/least_ms", 0, "cannot be"),
        ("target/passes/64/1", ..., "passes over one row are missing"),
        ("target/passes", {}, "passes over one row are missing"),
        ("drafts", {}, "passes of the draft model are missing"),
        ("drafts/cut", {"passes": {"64": {}}, "prompt": None, "beside": None, "looks": 1}, "has no form 'cut'"),
        ("kinds/edit/forms/whole/right", 99, "places of a profile contradict each other"),
        ("kinds/edit/forms/whole/rounds/8/hits", [1, 2, 3], "contradict each other"),
        ("kinds/edit/forms/whole/rounds/8/hits", [6, 2], "contradict each other"),
        ("kinds/edit/forms/whole/doubts", {str(len(DOUBTS)): {"guesses": 1, "right": 0, "total": 0}}, "contradict"),
        ("kinds/edit/sources/lookup/rounds/8/offered", 10, "contradict each other"),
    ],
)
def test_what_was_edited_by_hand_is_said(path: str, value: Any, said: str) -> None:
    assert any(each in refused(changed(path, value)) for each in said.split("|"))


@pytest.mark.parametrize("content", ["", "{", "[]", "1", "null", '"text"', "{}", '{"foretell":"pipeline"}', "[" * 9999])
def test_what_is_no_profile_is_said(content: str) -> None:
    assert "is no" in refused(content)


def test_other_versions_are_said() -> None:
    whole = json.loads(text(an_example()))
    assert "has version 2, not 1: another Foretell made it" in refused(json.dumps(whole | {"version": 2}))
    assert "has version None" in refused(json.dumps({"foretell": "profile"}))


@modest
@given(cut=st.integers(0, 1000), data=st.data())
def test_truncated_and_garbled_files(cut: int, data: st.DataObject) -> None:
    good = text(an_example())
    refused(good[: cut % (len(good) - 1)])
    place = data.draw(st.integers(0, len(good) - 2))
    letter = data.draw(st.characters(codec="ascii"))
    garbled = good[:place] + letter + good[place + 1 :]
    if json_or_none(garbled) != json.loads(good):
        refused(garbled)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@modest
@given(value=json_values, body=st.booleans())
def test_any_json_is_refused_in_one_line(value: Any, body: bool) -> None:
    whole = {"foretell": "profile", "version": 1, "sha256": "", "profile": value} if body else value
    refused(json.dumps(whole))


@modest
@given(data=st.data(), value=json_values)
def test_any_value_in_any_place_is_refused_in_one_line(data: st.DataObject, value: Any) -> None:
    whole = json.loads(text(an_example()))
    place, name = whole, "profile"
    while isinstance(place[name], dict) and place[name] and data.draw(st.integers(0, 4)):
        place = place[name]
        name = data.draw(st.sampled_from(sorted(place)))
    if place[name] == value:
        return
    place[name] = value
    refused(json.dumps(whole))


def json_or_none(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(
        ForetellError, match=r"cannot read the profile .*: No such file or directory; give another file"
    ):
        read(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ForetellError, match="is not text"):
        read(tmp_path / "bytes")
    with pytest.raises(ForetellError, match="cannot write the profile"):
        write(tmp_path / "no folder" / "file", an_example())
    write(tmp_path / "file", an_example())
    assert read(tmp_path / "file") == an_example()
    assert {each.name for each in tmp_path.iterdir()} == {"bytes", "file"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machine": "another"}, "is of another machine (a machine)"),
        ({"target": "other, 2 threads, engine x"}, "is of another target, or of other threads"),
        ({"draft": "draft, 1 threads, engine x"}, "is of another draft, or of other threads"),
        ({"target": "target, 2 threads, engine y"}, "is of another build of the engine"),
        ({"draft": "draft, 2 threads, engine y"}, "is of another build of the engine"),
        ({}, ""),
    ],
)
def test_what_is_of_something_else_is_told_apart(change: dict[str, str], said: str) -> None:
    assert KEYS.foreign(replace(KEYS, **change)) == said
    other = replace(an_example(), keys=replace(KEYS, **change))
    if said:
        with pytest.raises(ForetellError, match="profiles cannot be merged: one is of another"):
            merge([an_example(), other])


def test_profiles_are_kept_by_their_models(tmp_path: Path) -> None:
    kept = Profiles(tmp_path / "profiles")
    assert kept.find(KEYS).why == "nothing was measured yet"
    assert kept.paths() == []
    kept.keep(an_example())
    assert kept.find(KEYS).profile == an_example()
    for here in (replace(KEYS, machine="b"), replace(KEYS, target="target, 2 threads, engine y")):
        found = kept.find(here)
        assert found.profile is None
        assert found.why.startswith(f"the profile {kept.path(KEYS)} is of another ")
    assert kept.find(replace(KEYS, draft="")).why == "nothing was measured yet"
    kept.path(KEYS).write_text(text(an_example())[:-9])
    assert kept.find(KEYS).why == f"the profile {kept.path(KEYS)} is no JSON text, or cut off"
    assert [path.name for path in kept.paths()] == [KEYS.name]
    Profiles(Path("/proc/nowhere")).keep(an_example())  # no error


def test_forms_have_names() -> None:
    for form in ((0, ""), (0, "Q4_0"), (16384, ""), (16384, "Q4_0")):
        assert form_of(form_name(form)) == form
    for name in ("", "Q4_0", "-1", "1.5 Q4_0", "²"):
        with pytest.raises(ForetellError, match="has no form"):
            form_of(name)


def test_passes_are_timed_by_size() -> None:
    ticks: list[int] = []
    found = passes.measure(ToyBackend().session(), repeats=3, tick=lambda: ticks.append(1) or len(ticks) == 9)
    assert set(found) == set(passes.ROWS)
    assert {each.count for each in found.values()} == {3}
    assert len(ticks) == 4
    assert {each.count for each in passes.measure(ToyBackend().session(), repeats=9, tick=lambda: True).values()} == {1}
    assert set(passes.measure(ToyBackend(context=5).session(), repeats=1)) == {1}
    session = ToyBackend(context=200).session()
    assert set(passes.measure(session, repeats=1, rows=(1, 8, 64), context_tokens=150, piece_rows=32)) == {1, 8}
    assert session.steps == 5 + 2 * 2, "150 tokens are read in five passes"
    assert session.open() == 0, "nothing is left open"


def test_free_rows() -> None:
    assert passes.free_rows({1: 10.0}) == 1
    assert passes.free_rows({1: 10.0, 2: 10.9, 4: 11.1, 8: 11.2}) == 2


def test_spreads() -> None:
    assert Spread.of([10.0]).quiet
    assert not Spread.of([10.0, 12.0, 12.0]).quiet
    assert Spread.of([10.0, 12.0, 30.0, 12.0]) == Spread(4, 10.0, 12.0, 1)
    assert Spread(1, 4.0, 4.0) + Spread(3, 2.0, 8.0, 1) == Spread(4, 2.0, 7.0, 1)
    assert Spread.of([0.0]).least_ms > 0, "a clock that stood still"


def test_built_in_prompts_are_of_many_kinds() -> None:
    first, every = built_in(1), built_in(100)
    assert len({each.kind for each in first}) == len(first) == 8
    assert len(every) == 24
    assert {each.kind for each in every} == {each.kind for each in first}
    assert len({each.text for each in every}) == 24
    assert all(each.text == each.text.strip() for each in every)


def test_own_prompts(tmp_path: Path) -> None:
    file = tmp_path / "prompts"
    file.write_text('What is this?\n\n{"prompt": "two\\nlines"}\n{"prompt": "x", "kind": "mine", "id": 3}\n')
    assert read_prompts(file) == (Prompt(OWN, "What is this?"), Prompt(OWN, "two\nlines"), Prompt("mine", "x"))


@pytest.mark.parametrize(
    "line", ['{"prompt": 1}', "{", '{"text": "x"}', '{"prompt": " "}', '{"prompt": "x", "kind": ""}', ""]
)
def test_prompts_that_are_none(tmp_path: Path, line: str) -> None:
    file = tmp_path / "prompts"
    file.write_text(f"\n{line}\n")
    with pytest.raises(UsageError, match=r"line 2: |there is no prompt in"):
        read_prompts(file)
    with pytest.raises(UsageError, match="cannot read prompts"):
        read_prompts(tmp_path / "none")
