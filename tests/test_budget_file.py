"""The file of a calibration: damaged, edited, foreign; and which budgets it allows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foretell.errors import ForetellError, UsageError
from foretell.runtime.calibration import (
    Calibration,
    Certificate,
    Cost,
    Mode,
    Model,
    kept,
    of_pair,
    parse,
    percent,
    read,
    read_budget,
    text,
    write,
)

GATE = Mode("gate", "mean surprise of the first 8 tokens", "mean", 8, 0.25)
FAST, SLOW = Cost(0.5, 0.9, 0.6), Cost(1.0, 2.0, 0.0)
FIVE = Certificate("declared", 0.05, 0.95, GATE, 60, 0, 1, 0.02, FAST, SLOW)
TEN = replace(FIVE, budget=0.1, mode=Mode("small", "small model alone"), cost=Cost(0.3, 0.6, 1.0))
LARGE = Model.of("large", "aaaa, 2 threads, avx2, engine e1")
TINY = Model.of("tiny", "bbbb, 2 threads, avx2, engine e1")
WHOLE = Calibration(
    LARGE, TINY, ("gsm8k 0123",), 256, 0.0, 0, 40, 60, (FIVE, TEN), (), "a machine", "0.1", "2026-01-01T00:00:00+00:00"
)

MIXED = (
    "g = draft(model, of=draft, width=5, law=sampled)\nv = verify(g)\na = accept(v, rule=mix, epsilon=0.1)\ncommit(a)"
)
SPOKEN = replace(WHOLE, certificates=(replace(FIVE, mode=Mode("pipeline", "mix=0.1", pipeline=MIXED)),))


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert parse(text(WHOLE), "x") == WHOLE
    path = kept(tmp_path, LARGE, TINY)
    write(path, WHOLE)
    assert of_pair(tmp_path, LARGE, TINY) == read(path) == WHOLE
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert (LARGE.digest, LARGE.engine) == ("aaaa", "e1")


def changed(**what: Any) -> str:
    whole = json.loads(text(WHOLE))
    whole["calibration"] |= what
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (text(WHOLE)[:-40], "is no JSON text, or cut off"),
        ("", "is no JSON text, or cut off"),
        ("[]", "is not a calibration"),
        (text(WHOLE).replace('"version":1', '"version":9'), "has version 9, not 1"),
        (changed(temperature=1.0), "was changed by hand"),
        (text(WHOLE).replace('"threshold":0.25', '"threshold":0.5'), "was changed by hand"),
        (changed(extra=1), "calibration.extra is unknown"),
        (changed(checked=None), "calibration.checked is None, expected a whole number"),
        (changed(certificates=[{}]), "is missing"),
        (text(WHOLE).replace('"signal":"mean"', '"signal":"mood"'), "goes by 'mood', which is none of"),
        (text(WHOLE).replace('"kind":"small"', '"kind":"tiny"'), "has kind 'tiny', which is none of"),
        (text(SPOKEN).replace("epsilon=0.1", "epsilom=0.1"), "epsilom"),
        (text(SPOKEN).replace("rule=mix", "rule=mixed"), "mixed"),
        (text(WHOLE).replace('"budget":0.05', '"budget":0'), "makes no sense"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "mine.ftcal"
    path.write_text(content)
    with pytest.raises(ForetellError) as raised:
        of_pair(path, LARGE, TINY)
    said = str(raised.value)
    assert why in said
    assert "mine.ftcal" in said
    assert said.endswith("make one with `foretell lab calibrate`")
    assert "\n" not in said


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no calibration of tiny in the place of large: make one"):
        of_pair(tmp_path / "calibrations", LARGE, TINY)
    with pytest.raises(ForetellError, match=r"cannot read the calibration .*No such file"):
        of_pair(tmp_path / "none.ftcal", LARGE, TINY)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ForetellError, match="is not text"):
        read(tmp_path / "bytes")
    with pytest.raises(ForetellError, match="cannot write"):
        write(tmp_path / "bytes" / "below", WHOLE)


def test_another_pair_is_refused_and_another_engine_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.ftcal"
    write(path, WHOLE)
    rebuilt = Model.of("large", "aaaa, 4 threads, avx512, engine e2")
    assert of_pair(path, rebuilt, TINY) == WHOLE
    assert WHOLE.doubts(rebuilt, TINY) == "it was made with another build of the engine"
    assert WHOLE.doubts(LARGE, TINY) == ""
    cut = Model.of("tiny@q4_0", "bbbb, form (0, 'Q4_0'), 2 threads, avx2, engine e1")
    assert cut.short == "bbbb, form (0, 'Q4_0')"
    with pytest.raises(UsageError, match="is of the draft tiny"):
        of_pair(path, LARGE, cut)
    for target, draft, what in ((TINY, TINY, "target large"), (LARGE, LARGE, "draft tiny")):
        with pytest.raises(UsageError, match=f"is of the {what}, which is not the .* that is loaded"):
            of_pair(path, target, draft)


def test_which_budgets_are_allowed() -> None:
    assert WHOLE.certificate(0.05) == WHOLE.certificate(0.07) == FIVE
    assert WHOLE.certificate(0.1) == TEN
    dear = replace(TEN, cost=Cost(2.0, 4.0, 1.0))
    assert replace(WHOLE, certificates=(FIVE, dear)).certificate(0.5) == FIVE
    with pytest.raises(UsageError, match=r"the quality budget is 4 %, .* the smallest certified is 5 %"):
        WHOLE.certificate(0.04)
    with pytest.raises(UsageError, match=r"nothing was certified \(too few\)"):
        replace(WHOLE, certificates=(), refused=("too few",)).certificate(0.5)
    assert FIVE.saves == ("time", "processor time")
    assert replace(FIVE, cost=Cost(0.5, 2.5, 0.6)).saves == ("time",)


@pytest.mark.parametrize("given", ["5", "0", "-1%", "100%", "five", "", "nan", "1e9%"])
def test_budgets_that_are_none(given: str) -> None:
    with pytest.raises(UsageError, match=r"write it as 5% or 0.05"):
        read_budget(given)


def test_budgets_as_people_write_them() -> None:
    assert [read_budget(each) for each in ("5%", " 2.5 % ", "0.05", "50%")] == [0.05, 0.025, 0.05, 0.5]
    assert percent(0.125) == "12.5 %"
