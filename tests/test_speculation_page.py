"""The page about speculative sampling: its figures are what theory says, and it can be read."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from foretell.cli import run
from foretell.lab.reproduce import page as pages
from foretell.lab.reproduce import speculation
from foretell.lab.reproduce.page import page


@pytest.fixture(scope="module")
def its() -> speculation.Example:
    return speculation.example(2000)


def test_what_comes_out_of_the_example_follows_p(its: speculation.Example) -> None:
    assert its.counted.sum() == its.rounds == 2000
    assert its.common + (1 - its.common.sum()) * its.rest == pytest.approx(its.p)
    assert stats.chisquare(its.counted, its.rounds * its.p).pvalue > 1e-4  # fails for one seed in ten thousand
    assert its.kept == pytest.approx(its.common.sum(), abs=4 * 0.5 / its.rounds**0.5)


def test_rounds_have_as_many_tokens_as_the_formula_says() -> None:
    for each in speculation.means(60):
        assert each.tokens == pytest.approx(each.formula, abs=5 * each.error + 0.02)


def test_shared_noise_agrees_as_often_as_the_formula_says() -> None:
    for each in speculation.coupled(80):
        assert each.formula <= each.rejection + 1e-9
        error = (each.formula * (1 - each.formula) / each.positions) ** 0.5
        assert each.counted == pytest.approx(each.formula, abs=4 * error)
    p = np.array([0.2, 0.3, 0.5])
    assert speculation.coupled_chance(p, p) == pytest.approx(1.0)


def test_the_page_is_well_formed_and_needs_no_network(
    its: speculation.Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found, pairs = speculation.means(20), speculation.coupled(10)
    text = page(its, found, pairs)
    root = ET.fromstring(text.removeprefix("<!DOCTYPE html>"))  # noqa: S314 — our own
    assert not [each for each in root.iter() if {"src", "href"} & set(each.attrib)]
    assert len(root.findall(".//svg")) == 9
    assert "2,000 tokens of the rule" in text
    for name, value in (("example", its), ("means", found), ("coupled", pairs)):
        monkeypatch.setattr(pages, name, lambda value=value: value)
    assert run(["lab", "explain-speculation", "--out", str(tmp_path / "a.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(tmp_path / "a.html")}
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == text
    assert run(["lab", "explain-speculation", "--out", str(tmp_path / "no" / "a.html")]) == 2
    assert "is in no folder that exists" in capsys.readouterr().err
