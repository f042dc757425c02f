"""Pipelines against each other: halves and ratios on scripted times, and `bench pipelines` on the toy."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from foretell.api import Model
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyBackend, ToyModel, ToySession
from foretell.cli import run
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.check import check
from foretell.ir.ops import Draft, Pipeline
from foretell.lab import approximations, contest
from foretell.lab.contest import Contender, fixed_presets, report
from foretell.lab.halves import against_best, best_fixed, halves
from foretell.lab.suite import Ours, Prompt, Run, run_suite
from foretell.lab.summary import OVERALL, summarise
from foretell.runtime import bind
from foretell.runtime.drafter import Drafter
from foretell.runtime.settings import Options
from test_audit import broken_build
from test_suite import result

TOYS = ["--model", "toy", "--draft", "toy"]
PROMPTS = [Prompt("x", str(i), f"prompt {i}") for i in range(4)]  # half a: 0 and 2; half b: 1 and 3
RATES = {  # tokens per second on each of the prompts
    "O0": (10.0, 10.0, 10.0, 10.0),
    "O3": (18.0, 24.0, 18.0, 24.0),
    "lookup": (20.0, 5.0, 20.0, 5.0),
    "chain": (15.0, 30.0, 15.0, 30.0),
    "odd": (99.0, 99.0, 99.0, 99.0),
}
TOKENS = tuple(range(11))


def scripted(klass: str = "x", tokens: tuple[int, ...] = TOKENS) -> list[Run]:
    prompts = [Prompt(klass, each.id, each.text) for each in PROMPTS]
    return [Run(p, name, result(tokens, rates[i])) for name, rates in RATES.items() for i, p in enumerate(prompts)]


def test_the_best_is_chosen_on_one_half_and_timed_on_the_other() -> None:
    single = [each for each in scripted("y") if each.prompt.id == "0"]
    by_class = halves([*scripted(), *single])
    found = best_fixed(by_class, ["O0", "lookup", "chain"], "O0")
    assert found["x"] == {
        "name_half_a": "lookup",  # 20 there, where chain has 15
        "ratio_half_b": pytest.approx(0.5),
        "name_half_b": "chain",
        "ratio_half_a": pytest.approx(1.5),
        "ratio": pytest.approx((0.5 * 1.5) ** 0.5),
    }
    assert set(found["y"].values()) == {None}
    assert found[OVERALL] == {"ratio": pytest.approx((0.5 * 1.5) ** 0.5)}


def test_levels_are_compared_with_what_was_best_on_the_other_half() -> None:
    found = against_best(halves(scripted()), "O3", ["O0", "lookup", "chain"])
    assert found["x"] == found[OVERALL] == pytest.approx((24 / 5 * 18 / 15) ** 0.5)


def facts(**origins: str) -> dict[str, Any]:
    kinds = {"odd": "lossy"}
    its = {name: {"origin": origin, "class": kinds.get(name, "exact")} for name, origin in origins.items()}
    return {"what": "pipelines", "pipelines": its}


def test_a_report_has_all_names_and_says_who_was_wrong() -> None:
    known = facts(O0="level", O3="level", lookup="preset", chain="preset", odd="preset")
    runs = [*scripted(), Run(Prompt("x", "9", "unfinished"), "O0", result(TOKENS, 1.0))]
    found = report(runs, known)
    assert found["prompts"] == 4
    assert list(found["configurations"]) == list(known["pipelines"])
    assert found["configurations"]["chain"]["x"]["ratio"] == pytest.approx(2.0)  # 40 tokens in 20/15 + 20/30 seconds
    assert found["best_fixed"]["x"]["name_half_a"] == "lookup"  # the odd one is faster, but not exact
    assert list(found["levels_against_best"]) == ["O3"]
    assert found["broken"] == []
    wrong = [each for each in scripted("y", (1, 2, 3)) if each.configuration in {"odd", "chain"}]
    right = [each for each in scripted("y") if each.configuration not in {"odd", "chain"}]
    found = report([*runs, *wrong, *right], known)
    assert found["broken"] == ["chain"]
    assert found["configurations"]["odd"]["y"]["mismatches"] == 4


def test_a_report_of_nothing_yet() -> None:
    found = report([], facts(O0="level", lookup="preset"))
    assert (found["prompts"], found["configurations"], found["broken"]) == (0, {}, [])


TARGET_S, DRAFT_S = 0.010, 0.004


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """A target and a draft whose passes take these times, and nothing else takes any."""
    now = [0.0]
    step = ToySession.step

    def passing(self: ToySession, rows: Rows, want: Want) -> Scores:
        now[0] += DRAFT_S if self._model.order == 2 else TARGET_S
        return step(self, rows, want)

    monkeypatch.setattr(ToySession, "step", passing)
    request = Model.request
    monkeypatch.setattr(Model, "request", lambda *args: replace(request(*args), started_s=None, clock=lambda: now[0]))
    draft = ToyBackend(model=ToyModel(order=2, echo=2.0))
    costs = {1: 10.0, 8: 10.0}
    with Model(ToyBackend(), costs, drafter=Drafter(lambda _: draft, lambda _: {1: 4.0, 8: 4.0})) as model:
        yield model


def test_speeds_follow_from_the_passes(timed: Model) -> None:
    prompts = [Prompt("x", str(i), f"la la la {i} la la la") for i in range(3)]
    who = [Contender("O0", "level", presets.load("plain"))]
    chain = presets.load("chain")
    draft, *rest = chain.statements
    assert isinstance(draft, Draft)
    staged = Pipeline("staged", (replace(draft, inner="lookup"), *rest))
    who += [Contender(each.name, "file", each) for each in (chain, staged, presets.load("lookup"))]
    runs = list(run_suite(prompts, [each.ours(timed, Options()) for each in who], 40, repeats=2))
    table = summarise(runs, "O0")
    assert table["O0"]["x"]["tokens_per_s"] == pytest.approx(1 / TARGET_S)
    for name in ("chain", "staged", "lookup"):
        results = [each.result for each in runs if each.configuration == name]
        took_s = sum(each.rounds * TARGET_S + each.draft_passes * DRAFT_S for each in results)
        later = sum((each.tokens_per_round or 0) * each.rounds for each in results)
        assert table[name]["x"]["tokens_per_s"] == pytest.approx(later / took_s)
        assert table[name]["x"]["ratio"] == pytest.approx(later / took_s * TARGET_S)
        assert table[name]["x"]["mismatches"] == 0
    passes = {name: sum(e.result.draft_passes for e in runs if e.configuration == name) for name in table}
    assert passes["O0"] == passes["lookup"] == 0
    assert 0 < passes["staged"] < passes["chain"]


def test_ctrl_c_in_an_answer_ends_the_suite(timed: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Ours("plain", timed, Options(speculation=False))

    def interrupted(*_: object) -> Scores:
        raise KeyboardInterrupt

    monkeypatch.setattr(ToySession, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ours.run("hello", 5)


def test_presets_that_can_be_the_best() -> None:
    names = fixed_presets(drafting=True)
    assert {"lookup", "copy", "chain", "staged", "tree", "merged"} <= set(names)
    assert not {"plain", "constrained", "sampling", "defer", "cascade", "route"} & set(names)
    assert all(check(presets.load(name)) == "exact" for name in names)
    assert set(names) - set(fixed_presets(drafting=False)) >= {"chain", "staged", "tree", "merged"}
    with pytest.raises(UsageError, match="needs a grammar"):
        contest.preset("constrained")


def test_approximations_are_compared_with_the_chain() -> None:
    runs = []
    for name, rate, acceptance, tokens in [
        ("O0", 1.0, None, TOKENS),
        ("chain", 10.0, 0.8, TOKENS),
        ("cheap", 15.0, 0.6, TOKENS),
        ("wrong", 5.0, 0.8, (1, 2)),
    ]:
        runs += [Run(prompt, name, result(tokens, rate, acceptance)) for prompt in PROMPTS]
    found = approximations.compare(runs, ["cheap", "wrong"], "O0", {"chain": 18.0, "cheap": 9.0})
    assert list(found) == ["chain", "cheap", "wrong"]
    assert found["cheap"]["acceptance_loss"] == pytest.approx(0.2)
    assert found["cheap"]["ratio"] == pytest.approx(1.5)
    assert (found["cheap"]["draft_pass_ratio"], found["cheap"]["mismatches"]) == (2.0, 0)
    assert (found["wrong"]["draft_pass_ms"], found["wrong"]["mismatches"]) == (None, 4)
    assert found["chain"]["acceptance_loss"] == 0


def test_approximated_chains_differ_in_their_draft_alone() -> None:
    found = approximations.approximated()
    assert list(found) == ["chain Q4_0", "chain 16k", "chain 16k Q4_0"]
    assert {check(each) for each in found.values()} == {"exact"}
    assert {each.statements[1:] for each in found.values()} == {presets.load("chain").statements[1:]}


@dataclass
class Steady(ToySession):
    """Passes that take a given time on a clock of the test."""

    takes_s: float
    now: list[float]

    def __post_init__(self) -> None:
        super().__init__(ToyModel(), 100)

    def step(self, rows: Rows, want: Want) -> Scores:
        self.now[0] += self.takes_s * len(rows.tokens)
        return super().step(rows, want)


def test_passes_of_forms_take_turns() -> None:
    now = [0.0]
    sessions = {"chain": Steady(0.018, now), "cheap": Steady(0.009, now)}
    assert approximations.pass_ms(sessions, 3, lambda: now[0]) == pytest.approx({"chain": 18.0, "cheap": 9.0})
    assert [session.steps for session in sessions.values()] == [5, 5]


SUITE = [{"klass": k, "id": i, "prompt": f"la la {k} la la {k} {i} la"} for k in ("a", "b") for i in range(2)]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "suite.jsonl"
    path.write_text("\n".join(map(json.dumps, SUITE)))
    return str(path)


def test_the_command_measures_everything_and_fits_a_terminal(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    own = tmp_path / "own.pipeline"
    own.write_text(presets.text("chain").replace("pipeline chain", "pipeline mine").replace("width=5", "width=2"))
    line = ["bench", "pipelines", file, *TOYS, "-n", "10", "--pipeline", str(own), "--approximations"]
    assert run([*line, "--temperature", "0.8"]) == 0
    *tables, last = capsys.readouterr().out.splitlines()
    assert max(map(len, tables)) <= 80
    assert not any("…" in each for each in tables)
    found = json.loads(last)
    names = ["O0", "O1", "O2", "O3", *fixed_presets(drafting=True), "mine", *approximations.approximated()]
    assert list(found["configurations"]) == names == list(found["pipelines"])
    assert found["pipelines"]["mine"]["origin"] == "file"
    assert "width=2" in found["pipelines"]["mine"]["pipeline"]
    for its in found["configurations"].values():
        assert list(its) == ["a", "b", OVERALL]
        for figures in its.values():
            assert figures["mismatches"] == 0
            assert {"tokens_per_s", "ratio", "response_s", "acceptance", "draft_passes_per_accepted"} <= set(figures)
    assert set(found["best_fixed"]["a"]) >= {"name_half_a", "name_half_b", "ratio"}
    assert {found["best_fixed"]["a"][f"name_half_{half}"] for half in "ab"} <= {"O0", *fixed_presets(drafting=True)}
    assert list(found["levels_against_best"]) == ["O1", "O2", "O3"]
    assert list(found["levels_against_best"]["O1"]) == ["a", "b", OVERALL]
    assert list(found["approximations"]) == ["chain", *approximations.approximated()]


def test_without_a_draft_model_free_presets_are_measured(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["bench", "pipelines", file, "--model", "toy", "-n", "4", "--levels", "1", "--json"]
    assert run([*line, "--classes", "b", "--limit", "1", "--repeats", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["configurations"]) == ["O0", "O1", *fixed_presets(drafting=False)]
    assert (found["prompts"], found["repeats"]) == (1, 2)
    assert found["best_fixed"]["b"]["ratio"] is None
    assert run(["bench", "pipelines", file, "--model", "toy", "-n", "4", "--limit", "1", "--presets", ""]) == 0
    assert "fewer than two prompts" in capsys.readouterr().out


def test_a_broken_round_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Texts that the toy goes on with in part: some guesses are wrong.
    texts = ("tick tock tick tock tick", "to be or not to be, that is the question. to be or")
    file = tmp_path / "partly.jsonl"
    file.write_text("\n".join(json.dumps({"klass": "a", "id": each, "prompt": each}) for each in texts))

    def broken(given: Pipeline) -> object:
        return broken_build(given) if given.name == "copy" else build(given)

    build = bind.build
    monkeypatch.setattr(bind, "build", broken)
    line = ["bench", "pipelines", str(file), "--model", "toy", "--levels", "", "-n", "30"]
    assert run([*line, "--presets", "plain,copy,lookup"]) == 1
    *tables, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found["broken"] == ["copy"]
    assert found["configurations"]["copy"][OVERALL]["mismatches"] > 0
    assert found["configurations"]["lookup"][OVERALL]["mismatches"] == 0
    assert "copy is exact, but gave other tokens than O0" in tables


def test_a_measurement_that_was_stopped_is_gone_on_with(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "record.jsonl"
    line = ["bench", "pipelines", file, "--model", "toy", "-n", "6", "--levels", "O1", "--presets", "copy"]
    line += ["--record", str(path), "--json"]
    answer, asked = Ours.run, []

    def stopping(self: Ours, prompt: str, max_tokens: int) -> Any:
        if prompt != "Hello":  # what warms up
            asked.append((self.name, prompt))
            if len(asked) == 6:
                raise KeyboardInterrupt
        return answer(self, prompt, max_tokens)

    with monkeypatch.context() as patch:
        patch.setattr(Ours, "run", stopping)
        assert run(line) == 130
        out, err = capsys.readouterr()
        assert not out
        assert "stopped: 5 of 12 answers are recorded; --resume goes on" in err
        assert run(line) == 2
        assert "exists" in capsys.readouterr().err
        assert run(["bench", "summary", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["prompts"] == 1  # one has all three answers
        del asked[:]
        asked += [("", "")] * 6  # no more stops
        assert run([*line, "--resume"]) == 0
        found = json.loads(capsys.readouterr().out)
    assert len(asked) == 6 + 7
    assert found["prompts"] == 4
    assert run(["bench", "summary", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--presets", "chain"], "give one with --draft"),
        (["--presets", "nothing"], "no preset 'nothing'"),
        (["--presets", "constrained"], "needs a grammar"),
        (["--levels", "O7"], "no level 'O7'"),
        (["--pipeline", "/no/file"], "no pipeline '/no/file'"),
        (["--pipeline", "lookup"], "two pipelines are called lookup"),
        (["--approximations"], "no draft model to approximate"),
        (["--resume"], "give --record too"),
        (["--max-tokens", "0"], "max-tokens is 0"),
        (["--temperature", "-1"], "temperature is -1"),
    ],
)
def test_wrong_use_is_one_line(file: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert run(["bench", "pipelines", file, "--model", "toy", *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
