"""Prices fitted to a simulated meter of known prices are found again, within the range that the fit states."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import nnls

from foretell.engine.native import NativeModel
from foretell.errors import ForetellError
from foretell.profile.energy.counts import of_model
from foretell.profile.energy.fit import Fit, Measurement, fit, nonnegative
from foretell.profile.energy.joules import Joules, Range
from foretell.profile.energy.loads import Load, loads, measure
from foretell.profile.energy.model import Model
from foretell.profile.energy.work import Work

TRUE = Model(*(Range(x, x, x) for x in (12.0, 6.5, 1.8e-10, 2.2e-12)), source="simulated")

# What the five loads of two seconds are on a machine with 8 threads and a model of 1 GB.
LOADS = {
    "idle": Work(0, 0, 2.0, 0.01),
    "one": Work(0, 0, 2.0, 2.0),
    "all": Work(0, 0, 2.0, 15.5),
    "memory": Work(70 * 10**9, 110 * 10**9, 2.0, 15.8),
    "compute": Work(12 * 10**9, 1100 * 10**9, 2.0, 15.9),
}


class Simulated:
    """A meter that takes its joules from true prices, with some noise."""

    name, about = "simulated", "a simulated meter"

    def __init__(self, noise: float = 0.0, seed: int = 0, also: Callable[[Work], float] = lambda _: 0.0) -> None:
        self._noise, self._chance, self._also = noise, np.random.default_rng(seed), also

    def begin(self) -> "Simulated":
        return self

    def end(self, work: Work) -> Joules:
        value = ((TRUE.joules(work).value or 0) + self._also(work)) * self._chance.normal(1, self._noise)
        return Joules(value, value, value, self.about, "measured")


def measured(meter: Simulated, rounds: int = 5) -> Fit:
    every = [Load(name, lambda _, work=work: work) for name, work in LOADS.items()]
    return fit(measure(meter, every, rounds, 2.0), "a test")


def test_exact_readings_give_exact_prices() -> None:
    found = measured(Simulated())
    for price, true in zip(found.model.prices, TRUE.prices, strict=True):
        assert price.value == pytest.approx(true.value, rel=1e-6)
        assert price.high - price.low < 1e-5 * price.value
    assert found.worst < 1e-9
    assert found.model.source == "a test"


def test_noisy_readings_give_ranges_that_hold_the_truth() -> None:
    """Ten calibrations of five rounds, 2 % of noise in each reading: 40 prices, of which ranges hold 38 on average."""
    held = 0
    for seed in range(10):
        found = measured(Simulated(0.02, seed))
        for price, true in zip(found.model.prices, TRUE.prices, strict=True):
            held += price.low <= true.value <= price.high
        assert found.model.idle_w.value == pytest.approx(TRUE.idle_w.value, rel=0.05)
        assert found.model.core_w.value == pytest.approx(TRUE.core_w.value, rel=0.05)
        for work in LOADS.values():
            assert found.model.joules(work).value == pytest.approx(TRUE.joules(work).value, rel=0.05)
    assert held >= 36


def test_what_the_model_does_not_describe_widens_the_range() -> None:
    """All threads together take 25 J more than the model can say: clocks, voltage, fans."""
    bent = measured(Simulated(also=lambda work: 25.0 if work == LOADS["all"] else 0.0))
    assert bent.worst > 0.05
    for price, true in zip(bent.model.prices, TRUE.prices, strict=True):
        assert price.low <= true.value * (1 + 1e-9)
        assert price.high >= true.value * (1 - 1e-9)
        assert price.high - price.low > 0.02 * true.value


def test_loads_run_in_turns() -> None:
    order: list[str] = []

    def run(name: str) -> Callable[[float], Work]:
        def load(_: float) -> Work:
            order.append(name)
            return LOADS[name]

        return load

    ticks: list[int] = []
    measure(Simulated(), [Load(name, run(name)) for name in LOADS], 3, 0.0, lambda: ticks.append(1))
    rounds = [order[i : i + 5] for i in range(0, 15, 5)]
    assert all(sorted(each) == sorted(LOADS) for each in rounds)
    assert rounds[0] != rounds[1]
    assert len(ticks) == 15


def test_a_meter_that_fails_midway_is_said() -> None:
    class Failing(Simulated):
        def end(self, work: Work) -> Joules:
            return Joules.unavailable("it vanished")

    with pytest.raises(ForetellError, match=r"^the meter failed amid the measurement \(energy unavailable: it van"):
        measured(Failing())


def test_a_load_that_is_interrupted_ends_its_window() -> None:
    ended: list[Work] = []

    class Noting(Simulated):
        def end(self, work: Work) -> Joules:
            ended.append(work)
            return super().end(work)

    def interrupted(_: float) -> Work:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(Noting(), [Load("x", interrupted)], 1, 1.0)
    assert ended == [Work()]


def test_loads_that_tell_nothing_apart_are_refused() -> None:
    alike = [Measurement(name, LOADS["memory"], 100.0) for name in LOADS]
    with pytest.raises(ForetellError, match="too much alike"):
        fit(alike, "")
    without = [Measurement(name, LOADS[name], 100.0) for name in ("idle", "one", "all")]
    with pytest.raises(ForetellError, match="too much alike"):
        fit(without, "")
    with pytest.raises(ForetellError, match="too much alike"):
        fit([], "")
    with pytest.raises(ForetellError, match="said 0 J"):
        fit([Measurement("idle", LOADS["idle"], 0.0)], "")


@pytest.mark.parametrize("seed", range(40))
def test_least_squares_without_negative_numbers(seed: int) -> None:
    chance = np.random.default_rng(seed)
    a = chance.normal(0, 1, (9, 4)) * [1e-3, 1, 1e9, 1e3]
    b = chance.normal(0, 1, 9)
    assert nonnegative(a, b) == pytest.approx(nnls(a / [1e-3, 1, 1e9, 1e3], b)[0] / [1e-3, 1, 1e9, 1e3], abs=1e-12)


def test_loads_of_a_real_session_count_what_they_do(tiny_model: NativeModel) -> None:
    counter = of_model(tiny_model)
    session = tiny_model.session()
    its = {load.name: load.run(0.02) for load in loads(session, counter, tiny_model.team.threads)}
    assert list(its) == list(LOADS)
    assert (its["idle"].bytes, its["one"].macs) == (0, 0)
    assert all(work.wall_s >= 0.02 for work in its.values())
    assert its["one"].cpu_s > 0
    for name, rows in (("memory", 1), ("compute", 64)):
        each = counter.of_pass(rows, 0).work
        passes, left = divmod(its[name].bytes, each.bytes)
        assert (passes >= 1, left) == (True, 0)
        assert its[name].macs == passes * each.macs
    assert session.open() == 0, "no sequence is left"
