"""`foretell energy` as a person calls it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foretell.cli import run
from foretell.profile.energy import calibrated, meters
from foretell.profile.energy.meters import Candidate
from foretell.profile.file import Keys, Profile, Times
from foretell.profile.machine import machine
from foretell.profile.spread import Spread
from foretell.runtime.opening import Opening
from test_energy_fit import TRUE, Simulated
from tiny import Zoo


@pytest.fixture(autouse=True)
def no_meter(monkeypatch: pytest.MonkeyPatch, cache_dir: Path) -> None:
    """As on a virtual machine, with kernels that other tests have compiled."""
    monkeypatch.setenv("FORETELL_CACHE", str(cache_dir))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(meters, "found", lambda: iter([Candidate("RAPL", "processors", None, "not there")]))


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*arguments: str) -> str:
        assert run(["energy", *arguments]) == 0
        return capsys.readouterr().out

    return call


def test_without_a_meter_calibrating_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["energy", "calibrate"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: there is no energy meter here (RAPL: not there): calibrate on a machine that has one; "
        "here joules are modelled\n"
    )


def test_show_says_what_is_measured_and_what_is_modelled(said: Callable[..., str]) -> None:
    shown = said("show")
    assert "RAPL  processors  no: not there" in shown
    assert "No meter of processors: joules are modelled." in shown
    assert "The model goes by published figures for a " in shown
    assert "ISSCC" not in shown
    assert "ISSCC" in said("show", "--sources")


def test_show_gives_joules_of_a_models_tokens(
    said: Callable[..., str], monkeypatch: pytest.MonkeyPatch, zoo: Zoo
) -> None:
    times = Times({64: Spread.given({1: 2.0, 4: 2.5, 8: 4.0})})
    monkeypatch.setattr(Opening, "profile", lambda *_: Profile(Keys("m", "t"), "passes", times))
    model = str(zoo.path("qwen2"))
    shown = json.loads(said("show", "--model", model, "--threads", "1", "--json"))
    assert [each["rows"] for each in shown["passes"]] == [1, 4, 8]
    assert [each["wall_s"] for each in shown["passes"]] == [0.002, 0.0025, 0.004]
    for each in shown["passes"]:
        joules, token = each["joules"], each["token"]
        assert joules["kind"] == "modelled"
        assert joules["low"] < joules["value"] < joules["high"]
        assert token["value"] == pytest.approx(joules["value"] / each["rows"])
    assert shown["meters"] == [{"name": "RAPL", "of": "processors", "about": None, "why": "not there"}]
    assert set(shown["model"]["prices"]) == {"idle_w", "core_w", "byte_j", "mac_j"}
    table = said("show", "--model", model, "--threads", "1")
    assert "qwen2.gguf, 1 threads, behind 64 tokens:" in table
    assert "Joules are modelled;" in table


def test_the_toy_has_nothing_to_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["energy", "show", "--model", "toy"]) == 2
    assert capsys.readouterr().err == "error: toy reads no weights: give another --model\n"


def test_calibrating_finds_the_prices_of_a_meter_and_keeps_them(
    said: Callable[..., str], monkeypatch: pytest.MonkeyPatch, zoo: Zoo, tmp_path: Path
) -> None:
    monkeypatch.setattr(meters, "found", lambda: iter([Candidate("simulated", "processors", Simulated())]))
    monkeypatch.setattr("foretell.cli.energy._folder", lambda: tmp_path)
    options = ("--model", str(zoo.path("qwen2")), "--threads", "2", "--rounds", "2", "--seconds", "0.05")
    fitted = json.loads(said("calibrate", *options, "--json"))
    for price, true in zip(fitted["prices"].values(), TRUE.prices, strict=True):
        assert price["value"] == pytest.approx(true.value, rel=1e-3)
    assert set(fitted["missed"]) == {"idle", "one", "all", "memory", "compute"}
    kept = calibrated.kept(tmp_path, machine())
    assert kept is not None
    assert kept.idle_w.value == fitted["prices"]["idle_w"]["value"]
    shown = said("show")
    assert "simulated processors  measures" in shown
    assert "The model goes by figures fitted here with a simulated meter:" in shown
    assert "modelled against measured: " in said("calibrate", *options)
