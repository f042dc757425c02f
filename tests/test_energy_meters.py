"""Meters on recorded readings: right joules across wrap-around, missing domains, permission errors, other libraries."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from threading import enumerate as threads
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.profile.energy import meters, nvml, powercap, zeus
from foretell.profile.energy.counted import Counted, Counter, Power
from foretell.profile.energy.joules import Joules, Range
from foretell.profile.energy.meters import Candidate
from foretell.profile.energy.work import Watch, Work

NOTHING = Work()
SPAN = 262_143_328_850  # microjoules, as on laptops; servers have a quarter of it


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Tree:
    """A powercap folder with zones of these names and microjoules."""

    def __init__(self, root: Path, zones: dict[str, tuple[str, int]]) -> None:
        self.root = root
        for zone, (name, reading) in zones.items():
            (root / zone).mkdir(parents=True)
            (root / zone / "name").write_text(f"{name}\n")
            (root / zone / "max_energy_range_uj").write_text(f"{SPAN}\n")
            self.set(zone, reading)

    def set(self, zone: str, reading: int) -> None:
        (self.root / zone / "energy_uj").write_text(f"{reading}\n")


TWO_SOCKETS = {
    "intel-rapl:0": ("package-0", 1_000_000),
    "intel-rapl:0:0": ("core", 500_000),
    "intel-rapl:0:1": ("dram", 200_000),
    "intel-rapl:1": ("package-1", 5_000_000),
    "intel-rapl:1:0": ("dram", 300_000),
    "intel-rapl:2": ("psys", 9_000_000),
    "intel-rapl-mmio:0": ("package-0", 1_000_000),
}


def rapl(root: Path, clock: Clock) -> Counted:
    made = powercap.meter(root)
    return Counted(made.name, made.about, made.domains, every_s=None, delay_s=made.delay_s, clock=clock)


def test_packages_and_memory_are_added_once(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path, TWO_SOCKETS), Clock()
    meter = rapl(tmp_path, clock)
    assert meter.about == "RAPL: package-0, package-0 dram, package-1, package-1 dram"
    window = meter.begin()
    for zone, (_, reading) in TWO_SOCKETS.items():
        tree.set(zone, reading + {"intel-rapl:0": 10, "intel-rapl:0:1": 2, "intel-rapl:1": 20}.get(zone, 4) * 10**6)
    clock.now = 2.0
    joules = window.end(NOTHING)
    assert joules.value == pytest.approx(10 + 2 + 20 + 4)
    assert joules.kind == "measured"
    assert joules.missing == ()
    assert (joules.low, joules.high) == (pytest.approx(36 * (1 - 0.0005)), pytest.approx(36 * (1 + 0.0005)))


def test_a_processor_without_a_memory_domain_says_so(tmp_path: Path) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 1)})
    assert powercap.meter(tmp_path).about == "RAPL: package-0, memory not included"


def test_a_counter_that_wraps_around(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path, {"intel-rapl:0": ("package-0", SPAN - 3_000_000)}), Clock()
    window = rapl(tmp_path, clock).begin()
    tree.set("intel-rapl:0", 4_000_000)
    clock.now = 1.0
    assert window.end(NOTHING).value == pytest.approx(7.0)


@given(steps=st.lists(st.floats(0, 99.0), min_size=1, max_size=30), start=st.floats(0, 100))
def test_any_number_of_wraps_that_are_seen(steps: list[float], start: float) -> None:
    total = start

    def read() -> float:
        return total % 100.0

    counter = Counter("it", read, 100.0)
    counter.sample(0)
    for step in steps:
        total += step
        counter.sample(0)
    assert counter.joules == pytest.approx(sum(steps), abs=1e-6)


def test_a_long_window_is_looked_at_before_its_counter_is_around() -> None:
    readings, enough = 0, Event()

    def read() -> float:  # 0.6 of its span between two looks: two without one between them would lose a whole round
        nonlocal readings
        readings += 1
        if readings > 6:
            enough.set()
        return readings * 0.6 % 1.0

    meter = Counted("m", "m", [Counter("it", read, 1.0)], every_s=0.001, delay_s=0.0)
    window = meter.begin()
    assert enough.wait(30)
    value = window.end(NOTHING).value
    assert value == pytest.approx((readings - 1) * 0.6)
    for each in threads():
        if each.name == "foretell-energy":
            each.join(30)
            assert not each.is_alive(), "it looks while a window is open"


# Microjoules as two sockets with memory said them every two minutes, the first at 250 W: its counter, of 65.5 kJ as in
# servers, is around between the first look and the second, and once more before the last.
SERVER_SPAN = 65_532_610_987
LOGGED = {
    "intel-rapl:0": [48_123_456_789, 12_590_845_802, 42_590_845_802, 7_058_234_815],
    "intel-rapl:0:0": [9_000_000_000, 11_400_000_000, 13_800_000_000, 16_200_000_000],
    "intel-rapl:1": [1_000_000, 6_001_000_000, 12_001_000_000, 18_001_000_000],
    "intel-rapl:1:0": [65_532_610_986, 1_199_999_999, 2_399_999_999, 3_599_999_999],
}
NAMES = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "dram", "intel-rapl:1": "package-1", "intel-rapl:1:0": "dram"}


def logged(root: Path) -> tuple[Tree, Clock, Counted]:
    tree, clock = Tree(root, {zone: (NAMES[zone], said[0]) for zone, said in LOGGED.items()}), Clock()
    for zone in LOGGED:
        (root / zone / "max_energy_range_uj").write_text(f"{SERVER_SPAN}\n")
    return tree, clock, rapl(root, clock)


def test_a_logged_run_across_wrap_around(tmp_path: Path) -> None:
    tree, clock, meter = logged(tmp_path)
    window = meter.begin()
    for look in range(1, 4):
        for zone, said in LOGGED.items():
            tree.set(zone, said[look])
        clock.now = 120.0 * look
        if look < 3:
            meter.begin().end(NOTHING)  # any other window is a look, as that of the meter's own thread
    joules = window.end(NOTHING)
    # 30,000 J in each of three times two minutes; 2,400 of its memory; 6,000 of the second; 1,200 of its memory.
    assert joules.value == pytest.approx(3 * (30_000 + 2_400 + 6_000 + 1_200), abs=1e-3)
    assert joules.missing == ()


def test_a_logged_run_that_may_not_be_read_any_more(tmp_path: Path, forbid: Callable[[str], None]) -> None:
    """Somebody takes the permission back amid the run: of one domain, then of all."""
    tree, clock, meter = logged(tmp_path)
    window = meter.begin()
    for zone, said in LOGGED.items():
        tree.set(zone, said[1])
    clock.now = 120.0
    forbid("intel-rapl:0/energy_uj")
    joules = window.end(NOTHING)
    assert joules.value == pytest.approx(2_400 + 6_000 + 1_200, abs=1e-3)
    assert (joules.high, joules.missing) == (None, ("package-0",))
    window = meter.begin()
    forbid("energy_uj")
    clock.now = 240.0
    joules = window.end(NOTHING)
    assert joules.kind == "unavailable"
    assert joules.source == "cannot read package-0: Permission denied"
    assert set(joules.missing) == {"package-0", "package-0 dram", "package-1", "package-1 dram"}


def test_windows_overlap(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path, {"intel-rapl:0": ("package-0", 0)}), Clock()
    meter = rapl(tmp_path, clock)
    first = meter.begin()
    tree.set("intel-rapl:0", 1_000_000)
    clock.now = 1.0
    second = meter.begin()
    tree.set("intel-rapl:0", 3_000_000)
    clock.now = 2.0
    assert first.end(NOTHING).value == pytest.approx(3.0)
    tree.set("intel-rapl:0", 4_000_000)
    clock.now = 3.0
    assert second.end(NOTHING).value == pytest.approx(3.0)


def test_a_domain_that_vanishes_midway_is_named_and_the_rest_is_a_lower_bound(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path, TWO_SOCKETS), Clock()
    meter = rapl(tmp_path, clock)
    window = meter.begin()
    tree.set("intel-rapl:0", 6_000_000)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    clock.now = 1.0
    joules = window.end(NOTHING)
    assert joules.value == pytest.approx(5.0)
    assert joules.high is None
    assert joules.missing == ("package-1",)
    assert str(joules) == "at least 5 J measured, without package-1"
    tree.set("intel-rapl:1", 0)
    again = meter.begin()
    clock.now = 2.0
    assert again.end(NOTHING).missing == (), "later windows have it again"


def test_one_that_was_away_in_between_is_missing_too() -> None:
    answers = iter([1.0, OSError("gone"), 3.0])

    def read() -> float:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    meter = Counted("m", "m", [Counter("it", read), Counter("other", lambda: 1.0)], every_s=None, delay_s=0.0)
    window = meter.begin()
    meter.begin()
    assert window.end(NOTHING).missing == ("it",)


def test_one_that_could_not_be_read_at_the_beginning_is_missing(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path, TWO_SOCKETS), Clock()
    meter = rapl(tmp_path, clock)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    window = meter.begin()
    tree.set("intel-rapl:0", 2_000_000)
    tree.set("intel-rapl:1", 6_000_000)
    clock.now = 1.0
    joules = window.end(NOTHING)
    assert (joules.value, joules.missing) == (pytest.approx(1.0), ("package-0",))


def test_a_reset_between_windows_harms_neither() -> None:
    readings = iter([5.0, 6.0, 1.0, 3.0])
    meter = Counted("m", "m", [Counter("it", lambda: next(readings))], every_s=None, delay_s=0.0)
    assert meter.begin().end(NOTHING).value == pytest.approx(1.0)
    assert meter.begin().end(NOTHING).value == pytest.approx(2.0)


def test_all_vanished_is_unavailable_and_says_why(tmp_path: Path) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 0)})
    window = powercap.meter(tmp_path).begin()
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    joules = window.end(NOTHING)
    assert joules == Joules.unavailable("cannot read package-0: No such file or directory", ("package-0",))
    assert str(joules) == "energy unavailable: cannot read package-0: No such file or directory"


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Files whose path has this text cannot be read by this user (who may be one that nothing is forbidden to)."""
    read, forbidden = Path.read_text, list[str]()

    def guarded(self: Path, *arguments: Any, **named: Any) -> str:
        if any(each in str(self) for each in forbidden):
            raise PermissionError(13, "Permission denied", str(self))
        return read(self, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", guarded)
    return forbidden.append


def test_counters_that_only_the_administrator_may_read(tmp_path: Path, forbid: Callable[[str], None]) -> None:
    Tree(tmp_path, TWO_SOCKETS)
    forbid("energy_uj")
    with pytest.raises(ForetellError) as error:
        powercap.meter(tmp_path)
    assert str(error.value) == (
        "package-0 cannot be read: Permission denied; an administrator can allow it: "
        f"chmod a+r {tmp_path}/intel-rapl*/energy_uj"
    )


def test_some_counters_that_may_not_be_read_leave_a_partial_measurement(
    tmp_path: Path, forbid: Callable[[str], None]
) -> None:
    tree, clock = Tree(tmp_path, TWO_SOCKETS), Clock()
    forbid("intel-rapl:0:1/energy_uj")
    window = rapl(tmp_path, clock).begin()
    tree.set("intel-rapl:1", 7_000_000)
    clock.now = 1.0
    joules = window.end(NOTHING)
    assert joules.value == pytest.approx(2.0)
    assert joules.missing == ("package-0 dram",)


@pytest.mark.parametrize("text", ["", "abc", "1.5 J"])
def test_what_is_no_number_is_no_reading(tmp_path: Path, text: str) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 0)})
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text(text)
    with pytest.raises(ForetellError, match="package-0 cannot be read: invalid literal"):
        powercap.meter(tmp_path)


def test_no_powercap_at_all(tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match=r"^not in .*none, as in most virtual machines"):
        powercap.meter(tmp_path / "none")


def test_a_zone_without_a_range_never_goes_back(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path, {"intel-rapl:0": ("package-0", 5_000_000)}), Clock()
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").unlink()
    window = rapl(tmp_path, clock).begin()
    tree.set("intel-rapl:0", 1_000_000)
    clock.now = 1.0
    assert window.end(NOTHING).source == "cannot read package-0: its counter was reset"


def test_a_window_shorter_than_the_counters_step_is_unavailable(tmp_path: Path) -> None:
    clock = Clock()
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 0)})
    window = rapl(tmp_path, clock).begin()
    clock.now = 0.0004
    assert window.end(NOTHING).source == "0.4 ms are too short for RAPL, which needs 1 ms"


def test_power_is_added_up_over_time() -> None:
    watts = iter([10.0, 20.0, 20.0, 0.0])
    power = Power("gpu", lambda: next(watts))
    for now in (0.0, 1.0, 3.0, 4.0):
        power.sample(now)
    assert power.joules == pytest.approx(15 + 40 + 10)


class NVMLError(Exception):
    """As nvidia-ml-py has one."""


class Devices:
    """The functions of pynvml over devices: (millijoules or None, milliwatts)."""

    NVMLError = NVMLError

    def __init__(self, *devices: list[int | None]) -> None:
        self.devices = devices

    def nvmlInit(self) -> None:  # noqa: N802 — as in the library
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        return self._given(handle, 0)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return self._given(handle, 1)

    def _given(self, handle: int, which: int) -> int:
        found = self.devices[handle][which]
        if found is None:
            raise NVMLError("Not Supported")
        return found


def graphics(monkeypatch: pytest.MonkeyPatch, clock: Clock, *devices: list[int | None]) -> Counted:
    monkeypatch.setitem(sys.modules, "pynvml", Devices(*devices))
    made = nvml.meter()
    return Counted(
        made.name, made.about, made.domains, every_s=None, delay_s=made.delay_s, share=made.share, clock=clock
    )


def test_graphics_by_their_energy_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, devices = Clock(), ([1000, 5], [9000, 5])
    meter = graphics(monkeypatch, clock, *devices)
    assert meter.about == "NVML: gpu-0, gpu-1"
    window = meter.begin()
    devices[0][0], devices[1][0], clock.now = 4000, 10_000, 10.0
    joules = window.end(NOTHING)
    assert (joules.value, joules.kind) == (pytest.approx(4.0), "measured")
    assert joules.high == pytest.approx(4.04)


def test_graphics_by_their_power(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, devices = Clock(), ([None, 100_000],)
    meter = graphics(monkeypatch, clock, *devices)
    assert meter.about == "NVML: gpu-0, from its power"
    window = meter.begin()
    devices[0][1], clock.now = 200_000, 2.0
    joules = window.end(NOTHING)
    assert joules.value == pytest.approx(300.0)
    assert joules.low == pytest.approx(300 * (1 - 0.05 - 0.05))


def test_graphics_of_which_one_is_lost_and_one_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that was loaded again counts from 0: less than before is no wrap-around there."""
    clock, devices = Clock(), ([1000, 5], [9_000_000, 5], [500, 5])
    window = graphics(monkeypatch, clock, *devices).begin()
    devices[0][0], devices[1][0], devices[2][0], clock.now = 4000, 7000, None, 10.0
    joules = window.end(NOTHING)
    assert (joules.value, joules.high, joules.missing) == (pytest.approx(3.0), None, ("gpu-1", "gpu-2"))


def test_power_between_looks_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliwatts as they were said every second: idle, three seconds of work, idle again."""
    clock, devices = Clock(), ([None, 30_000],)
    meter = graphics(monkeypatch, clock, *devices)
    window = meter.begin()
    for said in (250_000, 250_000, 250_000, 30_000):
        devices[0][1], clock.now = said, clock.now + 1.0
        meter.begin().end(NOTHING)
    assert window.end(NOTHING).value == pytest.approx(140 + 250 + 250 + 140)


def test_graphics_that_are_lost_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, devices = Clock(), ([1000, None],)
    window = graphics(monkeypatch, clock, *devices).begin()
    devices[0][0], clock.now = None, 1.0
    assert window.end(NOTHING) == Joules.unavailable("cannot read gpu-0: Not Supported", ("gpu-0",))


def test_graphics_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ForetellError, match=r"^measures no device here: Not Supported$"):
        graphics(monkeypatch, Clock(), [None, None])
    with pytest.raises(ForetellError, match=r"^measures no device here$"):
        graphics(monkeypatch, Clock())
    broken = Devices()
    monkeypatch.setattr(broken, "nvmlInit", lambda: broken.nvmlDeviceGetPowerUsage(0), raising=False)
    broken.devices = ([None, None],)
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    with pytest.raises(ForetellError, match=r"^does not work here: Not Supported$"):
        nvml.meter()


class Monitor:
    """A ZeusMonitor that says one thing."""

    said: Any = None

    def __init__(self, gpu_indices: list[int]) -> None:
        assert gpu_indices == []
        self.cpu_indices, self.soc_is_present = [0], False
        self.open: set[str] = set()

    def begin_window(self, key: str, sync_execution: bool) -> None:
        assert key not in self.open
        self.open.add(key)

    def end_window(self, key: str, sync_execution: bool) -> Any:
        self.open.remove(key)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Monitor]]:
    monkeypatch.setitem(sys.modules, "zeus.monitor", SimpleNamespace(ZeusMonitor=Monitor))
    yield Monitor
    Monitor.said = None


def test_zeus_says_processors_and_memory(monitor: type[Monitor]) -> None:
    monitor.said = SimpleNamespace(time=2.0, cpu_energy={0: 3.0, 1: 4.0}, dram_energy={0: 1.0}, soc_energy=None)
    meter = zeus.meter()
    first, second = meter.begin(), meter.begin()
    assert first.end(NOTHING).value == pytest.approx(8.0)
    assert second.end(NOTHING).kind == "measured"


def test_zeus_says_a_whole_chip(monitor: type[Monitor]) -> None:
    chip = SimpleNamespace(cpu_total_mj=1500, dram_mj=500, gpu_mj=99)
    monitor.said = SimpleNamespace(time=2.0, cpu_energy=None, dram_energy=None, soc_energy=chip)
    assert zeus.meter().begin().end(NOTHING).value == pytest.approx(2.0)


def test_zeus_fails(monitor: type[Monitor], monkeypatch: pytest.MonkeyPatch) -> None:
    monitor.said = RuntimeError("no RAPL")
    assert str(zeus.meter().begin().end(NOTHING)) == "energy unavailable: zeus: no RAPL"
    monitor.said = SimpleNamespace(time=2.0, cpu_energy=None, dram_energy=None)
    assert zeus.meter().begin().end(NOTHING).kind == "unavailable"
    monkeypatch.setattr(Monitor, "begin_window", lambda *_, **__: 1 / 0)
    assert "division" in zeus.meter().begin().end(NOTHING).source
    monkeypatch.setattr(Monitor, "__init__", lambda *_, **__: 1 / 0)
    with pytest.raises(ForetellError, match="does not work here"):
        zeus.meter()


def test_the_best_is_the_first_that_measures_processors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent() -> Any:
        raise ForetellError("not here")

    Tree(tmp_path, TWO_SOCKETS)
    here = powercap.meter(tmp_path)
    monkeypatch.setattr(meters, "_KNOWN", (("A", "processors", absent), ("B", "graphics", lambda: here)))
    assert list(meters.found()) == [Candidate("A", "processors", None, "not here"), Candidate("B", "graphics", here)]
    with pytest.raises(ForetellError, match=r"^there is no energy meter here \(A: not here\)$"):
        meters.measuring()
    assert meters.best().name == "model"
    assert meters.best().begin().end(Work(wall_s=1.0)).kind == "modelled"
    monkeypatch.setattr(meters, "_KNOWN", (("A", "processors", absent), ("C", "processors", lambda: here)))
    assert meters.best() is here


def test_a_watch_takes_the_time_between() -> None:
    wall, cpu = Clock(), Clock()
    watch = Watch(wall, cpu)
    wall.now, cpu.now = 2.0, 3.0
    assert watch.work(10, 20) == Work(10, 20, 2.0, 3.0)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (1, 0, 0.5), (1, -1, 2), (float("nan"), 0, 1)])
def test_a_range_holds_its_value(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="is not between"):
        Range(*numbers)
