"""The pipelines that come with Foretell."""

import re
from pathlib import Path
from typing import TypeVar

import pytest

from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.check import check
from foretell.ir.ops import Accept, Class, Defer, Draft, Merge, Pipeline, Route, Verify
from foretell.ir.text import parse, show

ROOT = Path(__file__).parents[1]
CLASSES: dict[str, Class] = {
    "plain": "exact",
    "lookup": "exact",
    "chain": "exact",
    "sampling": "distribution",
    "staged": "exact",
    "tree": "exact",
    "copy": "exact",
    "merged": "exact",
    "paced": "exact",
    "approximated": "exact",
    "defer": "lossy",
    "cascade": "lossy",
    "route": "lossy",
    "constrained": "exact",
}


T = TypeVar("T")


def one(name: str, kind: type[T]) -> T:
    (found,) = (each for each in presets.load(name).statements if isinstance(each, kind))
    return found


def test_names() -> None:
    assert presets.names() == tuple(sorted(CLASSES))


@pytest.mark.parametrize("name", CLASSES)
def test_class_name_and_round_trip(name: str) -> None:
    pipeline = presets.load(name)
    assert check(pipeline) == CLASSES[name]
    assert pipeline.name == name
    assert parse(show(pipeline)) == pipeline


@pytest.mark.parametrize("name", CLASSES)
def test_files_are_laid_out_as_show_does_and_say_what_they_are_for(name: str) -> None:
    comments, code = re.fullmatch(r"((?:# .*\n)+)(pipeline (?:.*\n)+)", presets.text(name)).groups()
    assert code == show(presets.load(name))
    assert all(len(each) <= 120 for each in comments.splitlines())


def test_what_each_expresses() -> None:
    assert [each.source for each in presets.load("plain").statements if isinstance(each, Draft)] == []
    assert one("lookup", Draft).source == "lookup"
    assert (one("chain", Draft).of, one("chain", Draft).law, one("chain", Accept).rule) == (
        "draft",
        "coupled",
        "coupled",
    )
    assert (one("sampling", Draft).law, one("sampling", Accept).rule) == ("sampled", "reject")
    assert one("staged", Draft).inner == "lookup"
    assert one("tree", Draft).siblings > 0 < one("tree", Draft).doubt
    assert one("copy", Draft).source == "copy"
    assert len(one("merged", Merge).proposals) == 3
    assert (one("defer", Defer).rule, one("defer", Accept).rule) == ("chow", "keep")
    assert one("cascade", Accept).alpha > 0
    assert one("route", Route).small == "draft"
    assert one("constrained", Verify).constrained
    assert "grammar" in [each.source for each in presets.load("constrained").statements if isinstance(each, Draft)]


def test_the_docs_list_them() -> None:
    docs = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| (exact|distribution|lossy) \|", docs, re.MULTILINE)) == CLASSES


def test_an_unknown_one() -> None:
    with pytest.raises(UsageError, match=r"there is no preset 'chian'; there are approximated, cascade, chain"):
        presets.load("chian")
    with pytest.raises(UsageError, match="no preset"):
        presets.load("../presets/chain")


def test_loading_gives_equal_data() -> None:
    assert isinstance(presets.load("plain"), Pipeline)
    assert presets.load("plain") == presets.load("plain")
