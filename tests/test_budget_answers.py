"""Answers within a quality budget, on toy models; and the command that calibrates."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foretell.api import Model
from foretell.backend.toy import ToyBackend, ToyModel
from foretell.cli import run
from foretell.errors import UsageError
from foretell.lab.budget import measure
from foretell.lab.budget.modes import gate, outcome
from foretell.lab.budget.pipelines import families
from foretell.lab.budget.record import Record
from foretell.lab.budget.sample import samples
from foretell.lab.experiment.rows import read_rows
from foretell.lab.quality.items import Item, Number
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.runtime.calibration import Calibration, Certificate, Cost, Mode, read, write
from foretell.runtime.drafter import Drafter
from foretell.runtime.settings import Options, Settings
from foretell.runtime.trace import Recorder
from foretell.runtime.within import Asking
from serving import serving

TARGET = ToyBackend(ToyModel(echo=5.0))
SMALL = replace(ToyBackend(ToyModel(order=2, echo=6.0)), name="small", key="small, engine x")
PROMPTS = [f"to be or not to be, that is question {i}. to be or" for i in range(12)]
FAST, SLOW = Cost(0.5, 0.9, 0.6), Cost(1.0, 2.0, 0.0)
QUESTIONS = [{"question": f"What is {i} + {i}?", "answer": f"It is\n#### {2 * i}"} for i in range(1, 25)]


@pytest.fixture
def model() -> Model:
    return Model(TARGET, {1: 1.0, 8: 1.2, 16: 1.9}, drafter=Drafter(lambda _: SMALL, lambda _: {1: 0.3, 8: 0.4}))


def calibrated(model: Model, folder: Path, mode: Mode, cost: Cost = FAST) -> None:
    path = folder / "x.ftcal"
    certificate = Certificate("declared", 0.05, 0.95, mode, 60, 0, 0, 0.04, cost, SLOW)
    large, tiny = model.pair
    write(
        path, Calibration(large, tiny, ("t 0",), 60, 0.0, 0, 40, 60, (certificate,), (), "m", "v", "2026-01-01T00:00Z")
    )
    model.calibrated = path


def alone(model: Model, prompt: str) -> Any:
    """What the small model says to a prompt of the target's template."""
    small = Model(SMALL, {1: 0.3, 8: 0.4})
    return small.generate(model.render([{"role": "user", "content": prompt}]), raw=True, max_tokens=60)


@pytest.mark.parametrize("signal", ["mean", "worst", "margin", "entropy", "length", "disagreement"])
def test_a_gate_leaves_answers_to_the_small_model_where_it_is_sure(model: Model, tmp_path: Path, signal: str) -> None:
    tokens = 0 if signal in ("length", "disagreement") else 8
    for threshold, who in ((1e9, "draft"), (0.0, "target")):
        calibrated(model, tmp_path, gate(signal, tokens, threshold))
        model._calibration = None
        result = model.generate(PROMPTS[0], max_tokens=60, quality_budget=0.05)
        expected = alone(model, PROMPTS[0]) if who == "draft" else model.generate(PROMPTS[0], max_tokens=60, level="O0")
        assert (result.answered_by, result.text, result.tokens) == (who, expected.text, expected.tokens)
        (why,) = result.notes
        assert f"the {'small model' if who == 'draft' else 'target'} answered, by" in why
        assert "certified for 5 %" in why
        assert result.first_token_s is not None
        assert result.first_token_s <= result.response_s


def test_what_is_computed_afterwards_is_what_would_have_happened(model: Model, tmp_path: Path) -> None:
    items = [Item(f"t/{i}", prompt, Number("1")) for i, prompt in enumerate(PROMPTS)]
    who = measure.configurations(model, Options(), (), again=True)
    found = samples(list(measure.answers(items, who, 60, 0, Sandbox())), [each.name for each in who])
    assert len(found) == len(PROMPTS)
    by_prompt = {PROMPTS[int(each.id[2:])]: each for each in found}
    seen = set()
    for signal, tokens in (("mean", 1), ("worst", 8), ("entropy", 0), ("length", 0), ("disagreement", 0)):
        figures = sorted(
            each.disagreement or 0.0 if signal == "disagreement" else
            float(each.small.tokens) if signal == "length" else max(each.small.surprise[:8])
            for each in found
        )  # fmt: skip
        calibrated(model, tmp_path, gate(signal, tokens, figures[len(figures) // 2]))
        model._calibration = None
        for prompt in PROMPTS:
            expected = outcome(gate(signal, tokens, figures[len(figures) // 2]), by_prompt[prompt])
            result = model.generate(prompt, max_tokens=60, quality_budget=0.05)
            assert result.answered_by == ("draft" if expected.small else "target"), (signal, prompt)
            seen.add((signal, result.answered_by))
    assert {each for _, each in seen} == {"draft", "target"}


def test_a_stream_of_a_budget(model: Model, tmp_path: Path) -> None:
    calibrated(model, tmp_path, gate("mean", 8, 1e9))
    recorder = Recorder()
    stream = model.stream(PROMPTS[1], max_tokens=60, quality_budget=0.05, recorder=recorder)
    events = list(stream)
    result = stream.result
    assert "".join(each.text for each in events) == result.text
    assert tuple(each.token for each in events) == result.tokens
    assert all(each.logprob is None and each.top == () for each in events)
    assert recorder.chosen >= len(result.tokens)
    with_them = list(model.stream(PROMPTS[1], max_tokens=60, quality_budget=0.05, logprobs=2))
    assert all(len(each.top) == 2 and each.logprob is not None for each in with_them)
    calibrated(model, tmp_path, gate("mean", 8, 0.0))
    model._calibration = None
    recorder = Recorder()
    plain = model.generate(PROMPTS[1], max_tokens=60)
    asked = model.stream(PROMPTS[1], max_tokens=60, quality_budget=0.05, recorder=recorder)
    assert asked.result.tokens == plain.tokens
    assert recorder.rounds
    assert len(recorder.rounds) == plain.rounds
    processor_s = asked.result.processor_s
    assert processor_s is not None
    assert processor_s > 0


def test_modes_without_a_gate(model: Model, tmp_path: Path) -> None:
    calibrated(model, tmp_path, Mode("small", "small model alone"))
    result = model.generate(PROMPTS[2], max_tokens=60, quality_budget=0.05)
    assert (result.answered_by, result.tokens) == ("draft", alone(model, PROMPTS[2]).tokens)
    calibrated(model, tmp_path, families(["defer=0.5"], 0.0)[0].modes[0])
    model._calibration = None
    result = model.generate(PROMPTS[2], max_tokens=60, quality_budget=0.05)
    assert result.answered_by == "both"
    assert "both models answered, by defer=0.5" in result.notes[0]
    (one,) = families(["defer=0.5"], 0.0)[0].modes
    calibrated(model, tmp_path, gate("mean", 8, 0.0, one))
    model._calibration = None
    again = model.generate(PROMPTS[2], max_tokens=60, quality_budget=0.05)
    assert (again.answered_by, again.tokens) == ("both", result.tokens)
    assert "both models answered, by mean surprise of the first 8 tokens, else defer=0.5" in again.notes[0]
    calibrated(model, tmp_path, Mode("small", "small model alone"), cost=Cost(1.5, 2.5, 1.0))
    model._calibration = None
    result = model.generate(PROMPTS[2], max_tokens=60, quality_budget=0.05)
    assert (result.answered_by, result.tokens) == ("target", model.generate(PROMPTS[2], max_tokens=60).tokens)
    assert "nothing that is certified for 5 % saves" in result.notes[0]


def test_what_is_refused(model: Model, tmp_path: Path) -> None:
    def refused(**options: Any) -> str:
        with pytest.raises(UsageError) as raised:
            model.generate("a", max_tokens=5, **({"quality_budget": 0.05} | options))
        return str(raised.value)

    assert "loaded without a place for calibrations" in refused()
    model.calibrated = tmp_path / "calibrations"
    assert "there is no calibration of small in the place of toy" in refused()
    calibrated(model, tmp_path, gate("mean", 8, 0.1))
    assert "the smallest certified is 5 %" in refused(quality_budget=0.01)
    assert "made at temperature 0" in refused(temperature=0.5)
    assert "does not go with repeat-penalty" in refused(repeat_penalty=1.2)
    assert "does not go with logit-bias" in refused(logit_bias={3: 1.0})
    assert "must be a share between 0 and 1" in refused(quality_budget=5)
    with pytest.raises(UsageError, match="needs a small model"):
        Model(TARGET, {1: 1.0, 8: 1.0}).generate("a", quality_budget=0.05)
    other = replace(SMALL, key="another")
    foreign = Model(TARGET, {1: 1.0, 8: 1.2}, drafter=Drafter(lambda _: other, lambda _: {1: 0.3, 8: 0.4}))
    foreign.calibrated = model.calibrated
    with pytest.raises(UsageError, match="is of the draft small, which is not"):
        foreign.generate("a", quality_budget=0.05)


def test_an_interrupted_gate_shows_what_there_is(model: Model, tmp_path: Path) -> None:
    calibrated(model, tmp_path, gate("mean", 0, 0.0))
    settings = Settings(quality_budget=0.05, max_tokens=60)
    request = model.request(model.encode(PROMPTS[0]), settings, 0.0)
    stream = model.within_budget(Asking(request, settings, model.bill(), stopped=lambda: True))
    assert stream.result.finish == "cancelled"
    assert len(stream.result.tokens) < 60


def test_a_server_within_a_budget(model: Model, tmp_path: Path) -> None:
    expected = {
        who: (alone(model, PROMPTS[3]) if who == "draft" else model.generate(PROMPTS[3], max_tokens=60)).text
        for who in ("draft", "target")
    }
    for threshold, who in ((1e9, "draft"), (0.0, "target")):
        calibrated(model, tmp_path, gate("mean", 8, threshold))
        pair = Model(TARGET, model.pass_costs, drafter=Drafter(lambda _: SMALL, lambda _: {1: 0.3, 8: 0.4}))
        pair.calibrated = model.calibrated
        with serving(pair, quality_budget=0.05) as server:
            asked = {"messages": [{"role": "user", "content": PROMPTS[3]}], "max_tokens": 60}
            for _ in range(2):
                status, body, _ = server.ask(**asked)
                assert (status, body["choices"][0]["message"]["content"]) == (200, expected[who])
                assert body["usage"].get("answered_by", "target") == who
            _, warm, _ = server.ask(**asked, temperature=0.8, seed=1)
            assert "answered_by" not in warm["usage"]
        answers = [each.answer for each in server.served if each.answer is not None]
        assert [each.figures()["answered_by"] for each in answers] == [who, who, "target"]
        assert [bool(each.result.notes) for each in answers] == [True, True, False]
    calibrated(model, tmp_path, gate("mean", 8, 0.1))
    with pytest.raises(UsageError, match="the smallest certified is 5 %"), serving(model, quality_budget=0.01):
        pass


def command(folder: Path, *more: str) -> list[str]:
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
    pair = ["--model", "toy", "--draft", "toy", "--max-tokens", "12"]
    return ["lab", "calibrate", "gsm8k", "--data", str(path), *pair, *more]


def last(out: str) -> Any:
    return json.loads(out.rstrip("\n").rsplit("\n", 1)[-1])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(tmp_path / "cache"))
    record, rows = tmp_path / "record.jsonl", tmp_path / "rows.jsonl"
    options = ["--record", str(record), "--rows", str(rows), "--also", "mix=0.1", "--also", "O0"]
    assert run(command(tmp_path, *options, "--agreement")) == 1
    out = capsys.readouterr().out
    found = last(out)
    assert "Refused: 5 % cannot be certified at 95 % with so few questions" in out
    assert "about 98 questions in all would be needed" in out
    assert found["budgets"][0]["needed"] == 98
    assert {each["name"] for each in found["frontier"]} >= {"O2", "O0", "small model alone", "mix=0.1"}
    kept = read(Path(found["file"]))
    (smallest,) = kept.certificates
    assert (smallest.how, kept.learned, kept.checked) == ("smallest", 10, 14)
    assert 0.1 < smallest.budget < 0.3
    assert {each.configuration for each in Record.read(record).entries} == {
        *("O2", "O0", "small", "small again", "mix=0.1")
    }
    written = read_rows([rows])
    assert {"O2", "small model alone", "mix=0.1"} <= {each.configuration for each in written}
    assert all(each.question[:3] == ("gsm8k", "gsm8k", each.id) for each in written)
    assert {each.promise for each in written if each.configuration == "O2"} == {"exact"}
    gates = [each for each in written if each.knobs.get("computed") == "offline"]
    assert all(each.promise == "lossy" and each.joules_kind == "unavailable" for each in gates)
    assert run(command(tmp_path, *options, "--agreement", "--budget", "25%", "--resume", "--json")) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert last(out)["budgets"][0]["certified"]
    assert len(Record.read(record).entries) == 5 * len(QUESTIONS)
    ask = ["generate", "to be or not", "--model", "toy", "--draft", "toy", "-n", "9"]
    assert run([*ask, "--quality-budget", "30%", "--json"]) == 0
    assert last(capsys.readouterr().out)["notes"]
    assert run([*ask, "--quality-budget", "1%"]) == 2
    assert "the quality budget is 1 %" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--budget", "5"], "write it as 5% or 0.05"),
        (["--confidence", "2"], "confidence is '2'"),
        (["--resume"], "nothing to resume"),
        (["--also", "mixed=1"], "mix is meant"),
        (["--limit", "3"], "too few to learn from"),
        (["--output", "/nowhere/x.ftcal"], "is in no folder that exists"),
    ],
)
def test_wrong_usage_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: Sequence[str], why: str
) -> None:
    assert run(command(tmp_path, *more)) == 2
    err = capsys.readouterr().err
    assert why in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["lab", "calibrate", "gsm8k"], "give it with --draft"),
        (["lab", "calibrate", "jfleg", "--draft", "toy"], "better or worse, not right or wrong"),
        (["lab", "calibrate", "gsm", "--draft", "toy"], "gsm8k is meant"),
        (["generate", "x", "--quality-budget", "5%"], "give it with --draft"),
        (["generate", "x", "--quality-budget", "5", "--draft", "toy"], "write it as 5% or 0.05"),
        (["generate", "x", "--calibration", "x"], "--calibration is for --quality-budget"),
        (["generate", "x", "--quality-budget", "5%", "--draft", "toy", "--calibration", "no"], "cannot read the calib"),
        (["serve", "--quality-budget", "5%", "--draft", "toy", "--calibration", "no"], "cannot read the calibration"),
        (["serve", "--quality-budget", "0"], "give it with --draft"),
        (["generate", "x", "--quality-budget", "5%", "--draft", "toy", "--regex", "a"], "does not go with grammar"),
        (["generate", "x", "--quality-budget", "5%", "--draft", "toy", "--pipeline", "chain"], "go with pipeline"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], why: str) -> None:
    assert run([*arguments, "--model", "toy"]) in (1, 2)
    assert why in capsys.readouterr().err
