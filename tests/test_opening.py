"""When profiles are made, kept, distrusted and measured anew."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import foretell
from foretell.backend.native import NativeBackend
from foretell.backend.toy import ToyBackend, ToyModel
from foretell.profile.counts import Form
from foretell.profile.file import BUILD, Profile, read, text
from foretell.profile.prompts import Prompt
from foretell.profile.spread import Spread
from foretell.runtime import measure, opening
from foretell.runtime.drafter import Drafter
from foretell.runtime.measure_draft import can_say
from foretell.runtime.measure_plan import PASSES, Plan
from foretell.runtime.opening import LATER_S, MOST_LOOKS, Opening
from tiny import Zoo

NOISY = Spread(3, 1.0, 1.2)
SPREAD = Spread(3, 2.0, 2.1)


@dataclass
class Workshop:
    """Models whose passes have to be measured, and what is measured of them. plans: those that were carried out."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    target: ToyBackend = field(default_factory=lambda: replace(ToyBackend(), pass_costs=None, key="t, engine 1"))
    small: ToyBackend = field(default_factory=lambda: replace(ToyBackend(), pass_costs=None, key="d, engine 1"))
    passes: Spread = SPREAD
    plans: list[Plan] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        real = measure.measure

        def watched(
            target: ToyBackend, drafter: Drafter | None, plan: Plan, prompts: Sequence[Prompt] | None, **more: object
        ) -> Profile:
            self.plans.append(plan)
            return real(target, drafter, plan, (Prompt("kind", "abc"),), **more)  # type: ignore[arg-type]

        self.monkeypatch.setattr(opening, "measure", watched)
        self.monkeypatch.setattr(
            measure.passes, "in_turns", lambda timed, **_: [dict.fromkeys((1, 8), self.passes) for _ in timed]
        )
        self.monkeypatch.setattr(measure.passes, "prompt", lambda *_, **__: SPREAD)
        self.monkeypatch.setattr(measure, "overhead", lambda *_: SPREAD)
        self.monkeypatch.setattr(opening, "machine", lambda: "here")
        self.monkeypatch.setattr(measure, "machine", lambda: "here")

    @property
    def opening(self) -> Opening:
        def progress(what: str, done_bytes: int, total_bytes: int) -> None:
            if what not in self.said:
                self.said.append(what)

        return Opening(None, None, self.folder, True, progress)

    def drafter(self) -> Drafter:
        return Drafter(lambda _: self.small, lambda _: pytest.fail("the pair's profile has them"))

    @property
    def file(self) -> Path:
        (path,) = (self.folder / "profiles").iterdir()
        return path


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def test_without_a_draft_passes_alone_are_timed_once(workshop: Workshop) -> None:
    for _ in range(3):
        known = workshop.opening.facts(workshop.target)
        assert known.origin == "partly measured (assumed: chances of lookup, chances of copy)"
        assert (known.target(1), set(known.sources), known.models) == (2.0, {"lookup", "copy"}, {})
        assert workshop.opening.costs(workshop.target) == {1: 2.0, 8: 2.0}
    assert workshop.plans == [PASSES]
    assert workshop.said == ["measuring toy (nothing was measured yet)"]


def test_with_a_draft_chances_are_measured_once(workshop: Workshop) -> None:
    for _ in range(2):
        drafter = workshop.drafter()
        known = workshop.opening.facts(workshop.target, drafter)
        assert set(known.models) == {"draft"}
        assert drafter.pass_costs() == {1: 2.0, 8: 2.0}
    assert list(drafter.frequent) == read(workshop.file).counts.by_frequency
    assert len(drafter.frequent) == 3
    assert [plan.how for plan in workshop.plans] == ["quick"]
    assert workshop.said == ["measuring toy with toy (nothing was measured yet)"]
    assert read(workshop.file).counts.answers == 1


def test_costs_that_a_backend_gives_are_taken(workshop: Workshop) -> None:
    known = workshop.opening.facts(ToyBackend(), Drafter(lambda _: ToyBackend(), lambda _: {}))
    assert (known.target(1), known.models["draft"].pass_ms(1)) == (1.0, 1.0)
    assert known.origin == "partly measured (assumed: chances of lookup, chances of copy, chances of draft)"
    assert workshop.plans == []
    assert not (workshop.folder / "profiles").exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:100], "is no JSON text, or cut off"),
        (lambda content: content.replace('"looks":1', '"looks":0'), "was changed by hand"),
        (
            lambda content: content.replace('"version":1', '"version":0'),
            "has version 0, not 1: another Foretell made it",
        ),
        (lambda content: content.replace('"count":3', '"count":0'), "is damaged: 0 measurements"),
    ],
)
def test_a_bad_file_is_said_and_measured_anew(workshop: Workshop, damage, said: str) -> None:  # type: ignore[no-untyped-def]
    workshop.opening.facts(workshop.target)
    good = workshop.file.read_text()
    workshop.file.write_text(damage(good))
    workshop.said.clear()
    workshop.opening.facts(workshop.target)
    assert len(workshop.plans) == 2
    (line,) = workshop.said
    assert line.startswith(f"measuring toy (the profile {workshop.file} {said}")
    assert "\n" not in line
    assert workshop.file.read_text() == good


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machine": "there"}, "is of another machine (there)"),
        ({"target": "t, engine 2"}, "is of another build of the engine"),
        ({"target": "other, engine 1"}, "is of another target, or of other threads"),
    ],
)
def test_a_foreign_file_is_said_and_measured_anew(workshop: Workshop, change: dict[str, str], said: str) -> None:
    workshop.opening.facts(workshop.target)
    mine = read(workshop.file)
    workshop.file.write_text(text(replace(mine, keys=replace(mine.keys, **change))))
    workshop.said.clear()
    workshop.opening.facts(workshop.target)
    assert workshop.said == [f"measuring toy (the profile {workshop.file} {said})"]
    assert read(workshop.file) == mine


def test_what_was_disturbed_is_looked_at_again_and_the_best_counts(workshop: Workshop) -> None:
    workshop.passes = NOISY
    assert workshop.opening.costs(workshop.target)[1] == 1.0
    workshop.passes = Spread(9, 0.8, 1.0)
    assert workshop.opening.costs(workshop.target)[1] == 0.8
    for _ in range(20):
        workshop.passes = NOISY
        assert workshop.opening.costs(workshop.target)[1] == 0.8
    assert len(workshop.plans) == read(workshop.file).target.looks == MOST_LOOKS
    assert "1.3 times the least" in read(workshop.file).flaw


def test_what_was_disturbed_is_looked_at_again_an_hour_later(workshop: Workshop) -> None:
    workshop.passes = NOISY
    for _ in range(5):
        workshop.opening.costs(workshop.target)
    then = workshop.file.stat().st_mtime - LATER_S - 1
    os.utime(workshop.file, (then, then))
    for _ in range(3):
        workshop.opening.costs(workshop.target)
        assert len(workshop.plans) == MOST_LOOKS + 1
    os.utime(workshop.file, (then, then))
    workshop.passes = SPREAD
    assert workshop.opening.costs(workshop.target)[1] == 2.0, "the machine's present speed, now that it is known"
    os.utime(workshop.file, (then, then))
    workshop.opening.costs(workshop.target)
    assert len(workshop.plans) == MOST_LOOKS + 2
    assert read(workshop.file).flaw == ""


def test_another_build_of_the_engine_keeps_what_was_counted(workshop: Workshop) -> None:
    workshop.opening.facts(workshop.target, workshop.drafter())
    before = read(workshop.file)
    workshop.target, workshop.small = (
        replace(each, key=f"{each.key[0]}, engine 2") for each in (workshop.target, workshop.small)
    )
    workshop.passes = Spread(3, 5.0, 5.1)
    for _ in range(2):
        known = workshop.opening.facts(workshop.target, workshop.drafter())
        assert known.target(1) == 5.0
    after = read(workshop.file)
    assert after.kinds == before.kinds
    assert after.keys.target == "t, engine 2"
    assert (after.how, after.drafts["whole"].costs) == ("quick", {1: 5.0, 8: 5.0})
    assert [plan.how for plan in workshop.plans] == ["quick", "passes"]
    assert workshop.said[-1].endswith("is of another build of the engine)")


def test_a_quiet_look_ends_it(workshop: Workshop) -> None:
    workshop.passes = NOISY
    workshop.opening.costs(workshop.target)
    workshop.passes = Spread(100, 0.9, 0.9)
    for _ in range(5):
        workshop.opening.costs(workshop.target)
    assert len(workshop.plans) == 2


def test_a_second_look_at_a_pair_keeps_its_counts(workshop: Workshop) -> None:
    workshop.passes = NOISY
    workshop.opening.facts(workshop.target, workshop.drafter())
    before = read(workshop.file)
    workshop.opening.facts(workshop.target, workshop.drafter())
    after = read(workshop.file)
    assert after.kinds == before.kinds
    assert after.how == "quick"
    assert after.drafts["whole"].passes[256][1].count > before.drafts["whole"].passes[256][1].count
    assert [plan.how for plan in workshop.plans] == ["quick", "passes"]


def test_a_hurried_profile_is_made_again(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "QUICK", replace(opening.QUICK, limit_s=1e-9))
    for looks in range(1, MOST_LOOKS):
        workshop.opening.facts(workshop.target, workshop.drafter())
        assert (read(workshop.file).how, read(workshop.file).target.looks) == ("hurried", looks)
    assert read(workshop.file).counts.answers == MOST_LOOKS - 1
    monkeypatch.undo()
    workshop.__post_init__()
    for _ in range(2):
        workshop.opening.facts(workshop.target, workshop.drafter())
        assert (read(workshop.file).how, read(workshop.file).counts.answers) == ("quick", 1)
    assert workshop.said[1:] == ["measuring toy with toy (the machine was too busy before)"]


def test_a_small_context_does_not_spoil_larger_ones(workshop: Workshop) -> None:
    large, workshop.target = workshop.target, replace(workshop.target, context=16)
    for _ in range(2):
        assert "chances of draft" in workshop.opening.facts(workshop.target, workshop.drafter()).origin
    assert len(workshop.plans) == 1
    workshop.opening.facts(large, workshop.drafter())
    assert len(workshop.plans) == 2
    assert workshop.said[-1] == "measuring toy with toy (the profile there has no chances)"
    assert read(workshop.file).counts.answers == 1


def test_a_folder_that_cannot_be_written_to_is_no_error(workshop: Workshop) -> None:
    workshop.folder = Path("/proc/nowhere")
    assert workshop.opening.costs(workshop.target) == {1: 2.0, 8: 2.0}


def test_forms_are_borrowed_or_kept() -> None:
    opened: list[Form] = []
    closed: list[Form] = []

    class Watched(ToyBackend):
        def close(self) -> None:
            closed.append(opened[-1])

    def open_form(form: Form) -> ToyBackend:
        opened.append(form)
        return Watched(ToyModel())

    costs: list[int] = []
    drafter = Drafter(open_form, lambda _: {1: float(len(costs)), 2: float(costs.append(1) or 0)})
    with drafter.borrowed((0, "")) as own:
        assert own is drafter.backend()
    assert closed == []
    with drafter.borrowed((5, "Q4_0")):
        assert opened == [(0, ""), (5, "Q4_0")]
    assert closed == [(5, "Q4_0")]
    kept = drafter.backend((5, "Q4_0"))
    with drafter.borrowed((5, "Q4_0")) as again:
        assert again is kept
    assert len(closed) == 1
    assert drafter.pass_costs() is drafter.pass_costs()
    assert len(costs) == 1
    drafter.know({1: 7.0})
    assert drafter.pass_costs() == {1: 7.0}


@pytest.mark.parametrize(
    ("frequent", "expected"),
    [
        ((), range(20)),
        ((250, 7, 99), (*range(18), 99, 250)),
        (range(300, 200, -1), range(281, 301)),
        ((999,), range(20)),
    ],
)
def test_a_cut_vocabulary_begins_with_the_frequent_tokens(
    zoo: Zoo, cache_dir: Path, frequent: Sequence[int], expected: Sequence[int]
) -> None:
    backend = NativeBackend(
        zoo.path("qwen2"), "it", "tiny-qwen2", cache_dir=cache_dir, threads=1, form=(20, ""), frequent=frequent
    )
    ids = can_say(backend.session())
    assert ids is not None
    assert ids.tolist() == sorted({*expected, *backend.codec.end_ids})
    backend.close()


def test_native_models_are_measured_when_they_are_loaded_first(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "QUICK", replace(opening.QUICK, limit_s=0))  # however busy the machine is
    said: list[str] = []

    def progress(what: str, done_bytes: int, total_bytes: int) -> None:
        said.append(what)

    path = zoo.path("qwen2")
    for _ in range(2):
        with foretell.load(path, cache_dir=tmp_path, draft=path, progress=progress, threads=1) as model:
            assert model.facts.origin == "measured"
            assert set(model.facts.models["draft"].precisions) == {"Q4_0"}
            assert model.facts.models["draft"].chances[0] > 0.9, "the same model"
            assert model.facts.models["draft"].precisions["Q4_0"].kept < 1
            assert model.generate("abc", max_tokens=8).tokens == model.generate("abc", max_tokens=8, level="O0").tokens
    kept = [read(each) for each in (tmp_path / "profiles").iterdir()]
    assert [set(each.drafts) for each in kept] == [{"whole", "whole Q4_0"}], "a vocabulary of 301 is not cut"
    assert kept[0].keys.target == kept[0].keys.draft
    assert BUILD in kept[0].keys.target
    firsts = [each for each in dict.fromkeys(said) if each.startswith("measuring")]
    assert firsts[0] == f"measuring {path} with {path} (nothing was measured yet)"
