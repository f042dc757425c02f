"""What generations are billed: every pass counted, processor seconds, the meter's joules or the model's."""

import dataclasses
import gc
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import foretell
from foretell.api import Model
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyBackend, ToySession
from foretell.cli import run
from foretell.cli.render import summary
from foretell.ir import presets
from foretell.profile.energy import powercap
from foretell.profile.energy.counted import Counted
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.joules import Joules, Range
from foretell.profile.energy.model import Model as Prices
from foretell.profile.energy.model import Modelled
from foretell.profile.energy.work import Work
from foretell.runtime import bill
from foretell.runtime.bill import Billing
from foretell.runtime.events import Result
from foretell.runtime.meter import Meter, Metered, Narrowing

COUNTER = PassCounter(1000, 300, 7, 2, 50, 20, 3)
SMALL = PassCounter(100, 30, 1, 2, 5, 2, 1)
PRICES = Prices(Range(1.0, 0.5, 2.0), Range(2.0, 1.0, 4.0), Range(1e-3, 5e-4, 2e-3), Range(1e-4, 5e-5, 2e-4), "made up")
NOTHING, ONE = Range(0.0, 0.0, 0.0), Range(1.0, 1.0, 1.0)
BYTES = Prices(NOTHING, NOTHING, ONE, NOTHING, "a joule a byte")
PROMPT = "to be or not to be, that is the question. to be or"


class Window:
    """A window that says one thing, and knows how often it was ended and with what."""

    def __init__(self, said: Joules) -> None:
        self.said, self.ended = said, list[Work]()

    def end(self, work: Work) -> Joules:
        self.ended.append(work)
        return self.said


class Fixed:
    """A meter whose windows all say the same."""

    name = about = "fixed"

    def __init__(self, said: Joules) -> None:
        self.said, self.windows = said, list[Window]()

    def begin(self) -> Window:
        self.windows.append(Window(self.said))
        return self.windows[-1]


def billing(meter: object = None, counter: PassCounter | None = COUNTER, prices: Prices = BYTES) -> Billing:
    return Billing(meter or Modelled(prices), prices, counter)  # type: ignore[arg-type]  # whatever has windows


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy is taken to read weights: as a draft model fewer than as the target."""
    made = iter([COUNTER, *[SMALL] * 20])
    monkeypatch.setattr(bill, "counter", lambda _: next(made))


@given(
    rows=st.integers(1, 40),
    context=st.integers(0, 3000),
    steps=st.integers(1, 9),
    counter=st.builds(PassCounter, *[st.integers(0, 10**9)] * 7),
    data=st.data(),
)
def test_a_chain_of_passes_is_their_sum(
    rows: int, context: int, steps: int, counter: PassCounter, data: st.DataObject
) -> None:
    wanted = data.draw(st.integers(0, rows))
    passes = [counter.of_pass(rows, context, wanted)]
    passes += [counter.of_pass(1, context + rows + i, 1) for i in range(steps - 1)]
    assert counter.of_chain(rows, context, wanted, steps) == (
        sum(each.work.bytes for each in passes),
        sum(each.work.macs for each in passes),
    )


class Noted(ToySession):
    """The toy, with a list of its passes as (rows, context, scored)."""

    passes: list[tuple[int, int, int]]

    def step(self, rows: Rows, want: Want) -> Scores:
        self.passes.append((len(rows.tokens), self.length(rows.sequences[0]), len(rows.wanted)))
        return super().step(rows, want)


class NotedBackend(ToyBackend):
    """Its sessions note all passes in one list."""

    def session(self) -> ToySession:
        made = Noted(self.model, self.context)
        made.passes = NOTES
        return made


NOTES: list[tuple[int, int, int]] = []


@pytest.fixture
def noted() -> Iterator[Model]:
    NOTES.clear()
    backend = NotedBackend()
    model = Model(backend, backend.pass_costs or {}, billing=billing())
    with model:
        yield model


def total(passes: Sequence[tuple[int, int, int]], counter: PassCounter = COUNTER) -> int:
    return sum(counter.of_pass(*each).work.bytes for each in passes)


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "Oe"])
def test_every_pass_of_the_target_is_counted(noted: Model, level: str) -> None:
    result = noted.generate(PROMPT, max_tokens=30, level=level)
    assert len(NOTES) == result.rounds + 1, "one pass over the prompt"
    assert result.energy is not None
    assert result.energy.value == total(NOTES)
    assert result.energy.kind == "modelled"
    assert result.processor_s is not None
    assert result.processor_s > 0


def test_a_conversation_pays_for_what_it_reads_and_not_for_what_it_has(noted: Model) -> None:
    chat = noted.chat()
    for text in ("hello", "and now?"):
        NOTES.clear()
        result = chat.send(text, max_tokens=8).result
        assert result.energy is not None
        assert result.energy.value == total(NOTES) > 0


def test_a_cancelled_generation_is_billed_for_what_it_did(noted: Model) -> None:
    stream = noted.stream(PROMPT, max_tokens=30)
    next(stream)
    stream.close()
    assert stream.result.finish == "cancelled"
    assert stream.result.energy is not None
    assert stream.result.energy.value == total(NOTES) > 0


def test_passes_of_the_draft_model_are_counted_for_the_generation_that_made_them(counted: None) -> None:
    with foretell.load("toy", draft="toy") as model:
        model.billing = dataclasses.replace(model.billing, meter=Modelled(BYTES))
        meter = model.drafter.meter if model.drafter else Meter()
        for _ in range(2):
            before = meter.bytes
            result = model.generate(PROMPT, max_tokens=20, pipeline=presets.load("chain"))
            alone = model.generate(PROMPT, max_tokens=20, level="O0")
            drafted = meter.bytes - before
            assert result.draft_passes > 0
            assert drafted >= result.draft_passes * SMALL.always_bytes
            assert result.energy is not None
            assert alone.energy is not None
            passes = (result.rounds + 1) * (COUNTER.always_bytes + COUNTER.output_bytes)
            assert (result.energy.value or 0) - drafted >= passes
            assert (alone.energy.value or 0) >= (alone.rounds + 1) * (COUNTER.always_bytes + COUNTER.output_bytes)


@pytest.mark.parametrize("threshold", ["0", "1"])
def test_a_routed_query_pays_for_the_small_model_reading_it(counted: None, threshold: str) -> None:
    """Sure or not, the small model reads the prompt; the target does when it answers."""
    text = presets.text("route").replace("threshold=0.5", f"threshold={threshold}")
    pipeline = foretell.ir.text.parse(text)
    with foretell.load("toy", draft="toy") as model:
        model.billing = dataclasses.replace(model.billing, meter=Modelled(BYTES))
        result = model.generate(PROMPT, max_tokens=5, pipeline=pipeline, speculation=False)
    assert result.energy is not None
    read = SMALL.of_pass(result.prompt_tokens, 0, 1).work.bytes
    least = COUNTER.always_bytes * (result.rounds + 1) if threshold == "0" else 0
    assert (result.energy.value or 0) > read + least
    if threshold == "1":
        assert (result.energy.value or 0) < read + COUNTER.always_bytes


def test_rows_are_counted_where_the_session_is() -> None:
    """Behind a context; a pass that scores nothing leaves out the output matrix; steps of a draft are passes."""
    meter, session = Meter(), ToyBackend().session()
    metered = Metered(session, meter, COUNTER)
    sequence = metered.open()
    metered.step(Rows.chain([1, 2, 3], sequence, ()), Want())
    metered.commit(sequence, range(3))
    assert meter.bytes == COUNTER.of_pass(3, 0, 0).work.bytes
    scores = metered.draft(sequence, [4, 5], 3, Want())
    passes = [COUNTER.of_pass(2, 3, 1), COUNTER.of_pass(1, 5, 1), COUNTER.of_pass(1, 6, 1)]
    assert len(scores.chosen) == 3
    assert meter.macs == COUNTER.of_pass(3, 0, 0).work.macs + sum(each.work.macs for each in passes)
    assert (meter.passes, meter.rows) == (4, 3 + 4)


def generated(meter: Fixed, counter: PassCounter | None = COUNTER) -> Result:
    backend = ToyBackend()
    with Model(backend, backend.pass_costs or {}, billing=billing(meter, counter)) as model:
        return model.generate(PROMPT, max_tokens=10)


def test_a_meter_that_measures_is_believed_and_asked_once() -> None:
    said = Joules(8.0, 7.5, 8.5, "RAPL", "measured")
    meter = Fixed(said)
    result = generated(meter)
    assert result.energy == said
    (window,) = meter.windows
    assert len(window.ended) == 1
    assert generated(Fixed(said), None).energy == said, "also where nothing could be modelled"
    assert "0.8 J per token measured (0.75 to 0.85)" in summary(result)


def test_a_meter_that_lost_a_domain_is_marked() -> None:
    result = generated(Fixed(Joules(8.0, 7.0, None, "RAPL", "measured", ("package-1",))))
    assert "at least 0.7 J per token measured, without package-1" in summary(result)
    assert result.to_json()["energy"]["missing"] == ["package-1"]


def test_a_meter_that_disappears_is_replaced_by_the_model_and_named() -> None:
    result = generated(Fixed(Joules.unavailable("cannot read package-0: gone", ("package-0",))))
    assert result.finish in ("stop", "length")
    energy = result.energy
    assert energy is not None
    assert (energy.kind, energy.missing) == ("modelled", ("package-0",))
    assert energy.source == "a joule a byte; not measured: cannot read package-0: gone"
    assert energy.value is not None


def test_a_stream_that_nobody_reads_closes_its_window() -> None:
    meter = Fixed(Joules.unavailable("no"))
    backend = ToyBackend()
    with Model(backend, backend.pass_costs or {}, billing=billing(meter)) as model:
        stream = model.stream(PROMPT, max_tokens=10)
        assert not meter.windows[0].ended
        del stream
        gc.collect()
    assert len(meter.windows[0].ended) == 1


def test_where_nothing_can_be_said_nothing_is() -> None:
    lost = Joules.unavailable("cannot read package-0: gone", ("package-0",))
    result = generated(Fixed(lost), None)
    assert result.energy is not None
    assert (result.energy.kind, result.energy.value) == ("unavailable", None)
    assert " J " not in summary(result)
    with foretell.load("toy") as toy:
        energy = toy.generate("hello", max_tokens=3).energy
    assert energy is not None
    assert energy.source == "it is not known what passes of this model read"


def test_results_come_back_from_json_and_older_ones_too() -> None:
    result = generated(Fixed(Joules(8.0, 7.0, None, "RAPL", "measured", ("package-1",))))
    assert Result.from_json(result.to_json()) == result
    old = result.to_json()
    for name in ("energy", "processor_s", "notes", "draft_passes"):
        del old[name]
    read = Result.from_json(old)
    assert (read.energy, read.processor_s, read.notes) == (None, None, ())
    assert read.tokens == result.tokens


@pytest.mark.parametrize(
    "energy", [{}, {"kind": "guessed", "value": 1, "low": 1, "high": 1, "source": ""}, [], "much", {"kind": "measured"}]
)
def test_an_energy_that_is_none_is_refused(energy: object) -> None:
    values = generated(Fixed(Joules.unavailable("no"))).to_json() | {"energy": energy}
    with pytest.raises((KeyError, TypeError, ValueError)):
        Result.from_json(values)


def test_generate_says_what_a_token_took(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill, "counter", lambda _: COUNTER)
    assert run(["generate", "hello", "--model", "toy", "-n", "12", "-Oe"]) == 0
    assert " J per token modelled (" in capsys.readouterr().err


class Cutting(ToySession):
    """The toy with outputs that can be left out, which changes nothing of what it says."""

    narrowed: object = None

    @property
    def says(self) -> NDArray[np.int32]:
        return np.arange(100, dtype=np.int32)

    def cut(self, size: int) -> list[int]:
        return [size]

    def narrow(self, cut: list[int] | None) -> None:
        self.narrowed = cut


def test_a_cut_output_matrix_is_read_in_part() -> None:
    meter, session = Meter(), Cutting(ToyBackend().model, 64)
    metered = Metered(session, meter, COUNTER)
    cutter = Narrowing(session, metered)
    sequence = metered.open()
    cut = cutter.cut(25)
    cutter.narrow(cut)
    assert session.narrowed is cut
    metered.step(Rows.chain([1], sequence), Want())
    assert meter.bytes == COUNTER.cut(0.25).of_pass(1, 0).work.bytes
    assert COUNTER.cut(0.25).output_bytes == 75
    cutter.narrow(None)
    metered.step(Rows.chain([1], sequence), Want())
    assert meter.bytes == COUNTER.cut(0.25).of_pass(1, 0).work.bytes + COUNTER.of_pass(1, 0).work.bytes
    assert (len(cutter.says), cutter.vocabulary) == (100, session.vocabulary)


class Burning(ToySession):
    """The toy on a machine whose counter says so many microjoules more with each pass, and may vanish in one."""

    zone: Path
    said = 0
    vanishes = 0

    def step(self, rows: Rows, want: Want) -> Scores:
        self.said += 1_000_000
        counter = self.zone / "energy_uj"
        if self.steps + 1 == self.vanishes:
            counter.unlink()
        elif counter.exists():
            counter.write_text(f"{(9_500_000 + self.said) % 10_000_000}")
        return super().step(rows, want)


@pytest.mark.parametrize("vanishes", [0, 5])
def test_a_generation_under_a_counter_that_wraps_around_or_vanishes(tmp_path: Path, vanishes: int) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, says in (("name", "package-0"), ("max_energy_range_uj", "10000000"), ("energy_uj", "9500000")):
        (zone / name).write_text(f"{says}\n")
    made, seconds = powercap.meter(tmp_path), itertools.count(0.0, 1.0)
    meter = Counted(made.name, made.about, made.domains, every_s=None, delay_s=0.001, clock=lambda: next(seconds))
    backend = ToyBackend()
    with Model(backend, backend.pass_costs or {}, billing=billing(meter)) as model:
        session = Burning(backend.model, backend.context)
        session.zone, session.vanishes = zone, vanishes
        model._session = session
        result = model.generate(PROMPT, max_tokens=8, level="O0")
    energy = result.energy
    assert energy is not None
    assert len(result.tokens) == 8, "the run goes on"
    if vanishes:
        assert (energy.kind, energy.missing) == ("modelled", ("package-0",))
        assert energy.source.endswith("not measured: cannot read package-0: No such file or directory")
    else:
        assert energy.kind == "measured"
        assert energy.value == pytest.approx(session.steps)
