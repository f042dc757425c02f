"""The energy model: its ranges, comparisons that hold whatever the prices are, and where its figures come from."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.profile.energy import calibrated, meters, published
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.joules import Range
from foretell.profile.energy.model import PRICES, Model, Modelled
from foretell.profile.energy.passes import energies
from foretell.profile.energy.work import Work

MODEL = Model(
    Range(10.0, 5.0, 20.0), Range(4.0, 2.0, 8.0), Range(2e-10, 1e-10, 4e-10), Range(1e-12, 1e-12, 3e-12), "a test"
)
WORK = Work(bytes=10**10, macs=10**11, wall_s=0.5, cpu_s=1.0)


def test_joules_are_the_sum_of_four_products() -> None:
    joules = MODEL.joules(WORK)
    assert joules.value == pytest.approx(5 + 4 + 2 + 0.1)
    assert joules.low == pytest.approx(2.5 + 2 + 1 + 0.1)
    assert joules.high == pytest.approx(10 + 8 + 4 + 0.3)
    assert (joules.kind, joules.source) == ("modelled", "a test")
    assert {name: part.value for name, part in MODEL.parts(WORK).items()} == pytest.approx(
        {"idle_w": 5, "core_w": 4, "byte_j": 2, "mac_j": 0.1}
    )
    assert str(joules) == "11.1 J modelled (5.6 to 22.3)"
    assert Modelled(MODEL).begin().end(WORK) == joules


amount = st.integers(0, 10**12)
seconds = st.floats(0.001, 100)
works = st.builds(Work, amount, amount, seconds, seconds)


@st.composite
def models_within(draw: st.DrawFn) -> Model:
    """A machine whose prices are exact and within MODEL's."""
    exact = []
    for price in MODEL.prices:
        number = min(max(draw(st.floats(price.low, price.high)), price.low), price.high)
        exact.append(Range(number, number, number))
    return Model(*exact, source="exact")


@given(truth=models_within(), one=works, other=works)
def test_ranges_and_ratios_hold_every_machine(truth: Model, one: Work, other: Work) -> None:
    true, modelled = truth.joules(one).value, MODEL.joules(one)
    assert true is not None
    assert modelled.low is not None
    assert modelled.high is not None
    assert modelled.low * (1 - 1e-9) <= true <= modelled.high * (1 + 1e-9)
    ratio, exact = MODEL.ratio(one, other), truth.ratio(one, other).value
    assert ratio.low * (1 - 1e-9) <= exact <= ratio.high * (1 + 1e-9)


@given(work=works)
def test_less_of_everything_is_less_whatever_the_prices(work: Work) -> None:
    half = Work(work.bytes // 2, work.macs // 2, work.wall_s / 2, work.cpu_s / 2)
    assert MODEL.ratio(half, work).high <= 0.5 * (1 + 1e-9)


def test_a_ratio_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="takes nothing"):
        MODEL.ratio(WORK, Work())


@pytest.mark.parametrize("kind", published.KINDS)
def test_published_figures_have_ranges_and_sources(kind: str) -> None:
    model = published.published(kind, 4)
    assert model.source == f"published figures for a {kind}"
    for name, price in zip(PRICES, model.prices, strict=True):
        assert 0 < price.low < price.value < price.high, name
        assert model.reasons[name].endswith("]"), "the sources stand last"
    assert model.byte_j.high < 1e-9, "joules, not picojoules"


def test_a_shared_server_idles_by_our_part_of_it() -> None:
    two, four = (published.published("server", n) for n in (2, 4))
    assert four.idle_w.value == pytest.approx(2 * two.idle_w.value)
    assert published.published("laptop", 2).idle_w == published.published("laptop", 8).idle_w


def test_every_source_is_used() -> None:
    table = published._table()
    entries = [table["common"][name] for name in ("byte_pj", "mac_pj")]
    entries += [each[name] for each in table["machine"].values() for name in ("idle_w", "core_w")]
    assert {source for entry in entries for source in entry["sources"]} == set(table["sources"])


@pytest.mark.parametrize(
    ("cpuinfo", "battery", "kind"),
    [
        ("model name\t: Intel(R) Xeon(R) Processor\nflags\t\t: fpu hypervisor\n", False, "server"),
        ("model name\t: AMD EPYC 9B14\nflags\t\t: fpu\n", False, "server"),
        ("model name\t: AMD Ryzen 7 5800X\nflags\t\t: fpu\n", False, "desktop"),
        ("model name\t: 13th Gen Intel(R) Core(TM) i7-1355U\nflags\t\t: fpu hypervisor\n", True, "laptop"),
        ("model name\t: QEMU Virtual CPU\nflags\t\t: fpu hypervisor\n", False, "server"),
        ("", True, "laptop"),
        (None, False, "desktop"),
    ],
)
def test_kinds_of_machine(*, tmp_path: Path, cpuinfo: str | None, battery: bool, kind: str) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    supplies = tmp_path / "supplies"
    (supplies / ("BAT0" if battery else "AC")).mkdir(parents=True)
    assert published.kind(tmp_path / "cpuinfo", supplies) == kind


def test_a_fitted_model_is_kept_for_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "profiles"
    assert calibrated.kept(folder, "mine") is None
    calibrated.keep(folder, MODEL, "mine")
    found = calibrated.kept(folder, "mine")
    assert found is not None
    assert (found.prices, found.source) == (MODEL.prices, MODEL.source)
    assert calibrated.kept(folder, "another") is None
    assert [each.name for each in folder.iterdir()] == [calibrated.NAME]
    monkeypatch.setattr(meters, "machine", lambda: "mine")
    assert meters.model(folder).prices == MODEL.prices
    monkeypatch.setattr(meters, "machine", lambda: "another")
    assert meters.model(folder).source.startswith("published figures")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "null", "[" * 9999, '{"foretell": "energy", "version": 2, "machine": "m"}', "\x00"]
    + [
        json.dumps({"foretell": "energy", "version": 1, "machine": "m", "source": "s", "prices": prices})
        for prices in ({}, [], {"idle_w": [1, 2, 3]}, dict.fromkeys(PRICES, "12"), dict.fromkeys(PRICES, ["x"] * 3))
    ],
)
def test_a_damaged_file_is_no_model(tmp_path: Path, content: str) -> None:
    (tmp_path / calibrated.NAME).write_text(content)
    assert calibrated.kept(tmp_path, "m") is None


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ForetellError, match=r"cannot write .*energy\.json: "):
        calibrated.keep(tmp_path / "file", MODEL, "m")


def test_tokens_of_wider_passes_share_the_weights() -> None:
    counter = PassCounter(10**9, 10**8, 1000, 100, 10**9, 10**8, 10)
    found = energies(counter, {1: 20.0, 4: 20.0}, 2, MODEL, rows=(1, 4, 8), context_tokens=64)
    assert [each.rows for each in found] == [1, 4], "8 rows were not measured"
    one, four = found
    assert one.work == counter.of_pass(1, 64).work + Work(0, 0, 0.02, 0.04)
    assert one.token == one.joules
    assert four.token.value == pytest.approx((four.joules.value or 0) / 4)
