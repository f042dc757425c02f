"""Audits on the toy: sound pipelines pass, deliberately broken rounds and rules are caught."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.accept.proposal import Proposal
from foretell.accept.rule import Chance, Rule, Target, Verdict
from foretell.api import Model
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyBackend, ToyModel, ToySession
from foretell.cli import audit as command
from foretell.cli import run
from foretell.codegen.build import build
from foretell.codegen.round import Outcome, Parts, Round
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.ops import Accept, Commit, Draft, Pipeline, Verify
from foretell.lab import rescore
from foretell.lab.audit import Audit, Finding, Variant, difference, refuse_untestable
from foretell.lab.prompts import BUILT_IN
from foretell.lab.suite import Prompt
from foretell.runtime import bind
from foretell.runtime.drafter import Drafter

TOYS = ["--model", "toy", "--draft", "toy"]
PROMPTS = [Prompt("chat", str(i), f"prompt {i}: the cat sat on the mat, the cat sat") for i in range(8)]
EXACT = ("plain", "lookup", "copy", "chain", "staged", "tree", "merged")


def pipeline(rule: str, law: str = "sampled", width: int = 4, **more: Any) -> Pipeline:
    siblings = {"siblings": 2} if law == "without_replacement" else {}
    guesses = Draft("g", "model", of="draft", law=law, width=width, **siblings)  # type: ignore[arg-type]
    return Pipeline(rule, (guesses, Verify("v", "g"), Accept("a", "v", rule, **more), Commit("a")))


@pytest.fixture
def model() -> Iterator[Model]:
    """A target and a draft that are right about each other only now and then."""
    target, draft = ToyBackend(), ToyBackend(model=ToyModel(order=2, echo=2.0))
    costs = {1: 1.0, 8: 1.0}
    with Model(target, costs, drafter=Drafter(lambda _: draft, lambda _: costs)) as loaded:
        yield loaded


def audited(model: Model, *pipelines: Pipeline, temperature: float = 0.8, tokens: int = 60) -> list[Finding]:
    variants = [Variant(each.name, each, temperature) for each in pipelines]
    return Audit(model, variants, tokens, seed=3).run(PROMPTS)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_exact_pipelines_and_levels_give_the_targets_tokens(model: Model, temperature: float) -> None:
    levels = [Variant(name, presets.load("plain"), temperature, name) for name in ("O1", "O2", "O3")]
    variants = [Variant(name, presets.load(name), temperature) for name in EXACT]
    for each in Audit(model, [*variants, *levels], 40).run(PROMPTS[:3]):
        assert each.passed, each
        assert (each.answers, each.seeds, each.tests) == (3, (0, 2), ())
        assert each.tokens > 20


def test_a_prompt_is_read_once_for_all_its_answers(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    step: Callable[..., Any] = ToySession.step

    def counted(self: ToySession, given: Any, want: Any) -> Any:
        if self is model.session:
            rows.append(len(given.tokens))
        return step(self, given, want)

    monkeypatch.setattr(ToySession, "step", counted)
    names = [presets.load(name) for name in EXACT]
    assert all(each.passed for each in audited(model, *names, pipeline("reject"), tokens=10))
    read = [len(model.encode(each.text)) for each in PROMPTS]
    assert len([n for n in rows if n > min(read) // 2]) == len(PROMPTS)


@pytest.mark.parametrize(
    "sound",
    [
        pipeline("reject"),
        pipeline("block"),
        pipeline("multi", "without_replacement", 8),
        pipeline("mix", epsilon=0.05),
        Pipeline("free", (Draft("g", "lookup"), Verify("v", "g"), Accept("a", "v", "reject"), Commit("a"))),
    ],
    ids=lambda each: each.name,
)
def test_pipelines_that_keep_the_distribution_pass(model: Model, sound: Pipeline) -> None:
    (found,) = audited(model, sound)
    assert found.passed, found
    assert (found.impossible, found.mismatches) == (0, 0)
    assert {each.tokens for each in found.tests} == {found.tokens} == {len(PROMPTS) * 60}
    assert [each.order for each in found.tests] == ["p", "g / p"]
    assert sum(each.false_alarm for each in found.tests) <= 1e-7


def everything(proposal: Proposal, target: Target, chance: Chance) -> Verdict:
    """Keeps all guesses, as if they were right."""
    return Verdict(tuple(range(len(proposal))), target.choice(len(proposal) - 1))


def no_residual(proposal: Proposal, target: Target, chance: Chance) -> Verdict:
    """Rejection whose bonus is drawn from p, not from what is left of it: too near to the draft."""
    for i, guess in enumerate(proposal.guesses):
        p, q = target.p(i - 1), guess.q
        assert q is not None
        if not chance.coin("accept", i, min(1.0, p[guess.token] / q[guess.token])):
            return Verdict(tuple(range(i)), chance.draw("bonus", i - 1, p))
    return Verdict(tuple(range(len(proposal))), chance.draw("bonus", len(proposal) - 1, target.p(len(proposal) - 1)))


@pytest.mark.parametrize("broken", [everything, no_residual])
def test_broken_rules_fail_the_statistical_test(model: Model, monkeypatch: pytest.MonkeyPatch, broken: Rule) -> None:
    monkeypatch.setattr(bind.rules, "make", lambda *_, **_knobs: broken)
    (found,) = audited(model, pipeline("reject"), tokens=1300)
    assert not found.passed
    assert not {each.order: each for each in found.tests}["g / p"].passed


def test_a_lossy_rule_fails_where_it_loses_more_than_it_says(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bind.rules, "make", lambda *_, **_knobs: everything)
    (found,) = audited(model, pipeline("mix", epsilon=0.02), tokens=150)
    assert not found.passed


def test_text_without_chance_is_compared_token_for_token(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = audited(model, pipeline("reject"), temperature=0.0)
    assert found.passed
    assert found.variant.means == "tokens"
    monkeypatch.setattr(bind.rules, "make", lambda *_, **_knobs: everything)
    (found,) = audited(model, pipeline("reject"), temperature=0.0)
    assert found.mismatches == len(PROMPTS)


def broken_build(given: Pipeline) -> Round:
    """A round that keeps its first guess whatever the target says."""

    def play(parts: Parts, limit: int, chance: Chance) -> Outcome:
        outcome = build(given)(parts, limit, chance)
        if not len(outcome.proposal) or outcome.verdict.path:
            return outcome
        checked = parts.verifier.verify(outcome.proposal)
        return Outcome(outcome.proposal, Verdict((0,), checked.choice(0)))

    return play


def test_a_broken_round_fails_with_the_first_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, out_file = tmp_path / "prompts.jsonl", tmp_path / "certificate.json"
    lines = [{"klass": p.klass, "id": p.id, "prompt": p.text} for p in PROMPTS]
    file.write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(bind, "build", broken_build)
    command = ["audit", "copy", "plain", *TOYS, "-n", "60", "--prompts", str(file), "--seed", "5"]
    assert run([*command, "--output", str(out_file)]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out_file.read_text())
    assert str(out_file) in err
    assert not found["passed"]
    outcomes = {(each["name"], each["temperature"]): each for each in found["variants"]}
    assert all(outcomes["plain", t]["passed"] for t in (0.0, 0.8))
    for t in (0.0, 0.8):
        wrong = outcomes["copy", t]
        assert not wrong["passed"]
        assert wrong["seeds"] == [5, 12]
        first = wrong["first_difference"]
        assert first["expected_token"] != first["found_token"]
        assert f"copy at temperature {t:g}, prompt {first['prompt']}, seed {first['seed']}" in out
        assert repr(first["expected"]) in out
        assert repr(first["found"]) in out
    assert "FAILED" in out


def test_certificate_of_sound_pipelines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "sampling", *TOYS, "-O1", "-n", "12", "--temperature", "0.8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["partial"]) == (True, False)
    assert found["prompts"] == [each.id for each in BUILT_IN]
    sampling, level = found["variants"]
    assert (sampling["class"], sampling["means"], sampling["answers"]) == ("distribution", "statistics", 8)
    assert sum(each["false_alarm"] for each in sampling["tests"]) <= found["false_alarm"] == 1e-7
    assert (level["name"], level["means"], level["mismatches"]) == ("O1", "tokens", 0)
    assert run(["audit", *TOYS, "-n", "5"]) == 0
    out = capsys.readouterr().out
    assert out.count("all the same") == 2
    assert "O2" in out


def test_levels_and_presets_at_all_temperatures_share_a_prompt_pass_and_the_targets_text(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `foretell audit chain staged tree -O1 -O2 -O3 --temperature 0 --temperature 0.8` makes them."""
    presets_, temperatures = ["chain", "staged", "tree"], [0.0, 0.8]
    given = [(name, presets.load(name)) for name in presets_]
    variants = command._variants(model, given, ["O1", "O2", "O3"], temperatures, None)
    assert len(variants) == 12
    long: list[tuple[bool, int]] = []
    pipelines: list[str] = []
    step, answer = ToySession.step, Audit._answer

    def stepped(self: ToySession, rows: Rows, want: Want) -> Scores:
        if len(rows.tokens) > 25:
            long.append((self is model.session, len(rows.tokens)))
        return step(self, rows, want)

    def answered(self: Audit, ids: Any, settings: Any, *, ends: bool) -> tuple[int, ...]:
        pipelines.append(settings.level if settings.pipeline is None else settings.pipeline.name)
        return answer(self, ids, settings, ends=ends)

    monkeypatch.setattr(ToySession, "step", stepped)
    monkeypatch.setattr(Audit, "_answer", answered)
    assert all(each.passed for each in Audit(model, variants, 8).run(PROMPTS[:2]))
    assert sum(mine for mine, _ in long) == 2
    assert pipelines.count("O0") == 2 * len(temperatures)
    assert len(pipelines) == 2 * (len(variants) + len(temperatures))


def test_ctrl_c_ends_an_audit_with_a_partial_certificate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answer, answers, out_file = Audit._answer, [0], tmp_path / "certificate.json"

    def stopping(self: Audit, *arguments: Any, **options: Any) -> tuple[int, ...]:
        answers[0] += 1
        if answers[0] == 11:
            raise KeyboardInterrupt
        return answer(self, *arguments, **options)

    monkeypatch.setattr(Audit, "_answer", stopping)
    line = ["audit", "lookup", "copy", "sampling", *TOYS, "-n", "12", "--temperature", "0.8"]
    assert run([*line, "--output", str(out_file)]) == 130
    err = capsys.readouterr().err
    assert "stopped: 7 of 24 answers; the certificate is partial" in err
    found = json.loads(out_file.read_text())
    assert (found["passed"], found["partial"]) == (True, True)
    assert found["prompts"] == [each.id for each in BUILT_IN[:3]]
    looked = {each["name"]: (each["answers"], each["seeds"]) for each in found["variants"]}
    assert looked == {"lookup": (3, [0, 2]), "copy": (2, [0, 1]), "sampling": (2, [0, 1])}
    answers[0] = 9
    assert run(line) == 130
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [each["passed"] for each in found["variants"]] == [None, None, None]
    assert found["prompts"] == []


SLOW = """
import sys, time
from foretell.backend.toy import ToyModel
from foretell.cli import main
quick = ToyModel.logits
ToyModel.logits = lambda model, history: time.sleep(0.002) or quick(model, history)
main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_a_signal_amid_a_pass_ends_an_audit(tmp_path: Path) -> None:
    line = ["audit", "lookup", "copy", "-m", "toy", "-n", "400", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "answers: 0 of 32\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    found = json.loads(out)
    assert found["partial"] is True
    assert "the certificate is partial" in err
    assert process.returncode == 130


def test_constrained_text_is_compared_with_the_constrained_target(capsys: pytest.CaptureFixture[str]) -> None:
    limited = ["--regex", "a[a-z]+ b", "-n", "20"]
    assert run(["audit", "constrained", "-O2", "--model", "toy", *limited, "--json"]) == 0
    assert all(each["mismatches"] == 0 for each in json.loads(capsys.readouterr().out)["variants"])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["defer", "--draft", "toy"], 2, "nothing to audit"),
        (["cascade", "--draft", "toy"], 2, "nothing to audit"),
        (["route", "--draft", "toy"], 2, "nothing to audit"),
        (["chain"], 2, "with --draft"),
        (["constrained"], 2, "give --schema"),
        (["nowhere"], 2, "no pipeline 'nowhere'"),
        (["-O9"], 2, "no level 'O9'"),
        (["--max-tokens", "0"], 2, "max-tokens is 0"),
        (["--temperature", "-1"], 2, "temperature is -1"),
        (["--prompts", "/no/such.jsonl"], 1, "/no/such.jsonl"),
        (["sampling", "--draft", "toy", "--context", "120"], 1, "choose a larger context"),
        (["-n", "2", "--limit", "1", "--output", "/no/such/file"], 1, "cannot write /no/such/file"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    assert run(["audit", "--model", "toy", *arguments]) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]


def test_a_constrained_distribution_is_refused() -> None:
    wrong = Pipeline(
        "w", (Draft("g", "lookup"), Verify("v", "g", constrained=True), Accept("a", "v", "reject"), Commit("a"))
    )
    with pytest.raises(UsageError, match="constrained and distribution"):
        refuse_untestable(wrong)


def test_difference_where_one_answer_ends() -> None:
    found = difference("x", 1, [97, 98], [97, 98, 99], lambda ids: bytes(ids).decode())
    assert (found.place, found.before, found.expected, found.found) == (2, "ab", "", "c")
    assert (found.expected_token, found.found_token) == (None, 99)


def test_rereading_gives_what_was_drawn_from(model: Model) -> None:
    """Greedy text: all of p is on the token that follows, in pieces as at once."""
    ids = model.encode("hello hello hello")
    tokens = model.generate("hello hello hello", max_tokens=40).tokens
    context = rescore.Context(model.session)
    again = rescore.Reread(context, piece_rows=5, vocabulary=model.session.vocabulary)
    sampling = Variant("x", presets.load("plain"), 0.0).settings(5, 0, None).sampling(0)
    for _ in range(2):
        p = list(again.along(ids, tokens, sampling))
        assert [int(np.argmax(each)) for each in p] == list(tokens)
        assert all(each.max() == 1 for each in p)
    assert context.tokens == [*ids, *tokens[:-1]]


HEAT = 2.0
CUT = 16384


@pytest.fixture(scope="module")
def smollm() -> Iterator[Model]:
    """A real model whose draft is itself with a cut vocabulary: at this heat often wrong."""
    from foretell import load

    with load("smollm2-135m", draft="smollm2-135m") as loaded:
        yield loaded


def cut(each: Pipeline) -> Pipeline:
    draft, *rest = each.statements
    assert isinstance(draft, Draft)
    return Pipeline(each.name, (replace(draft, vocabulary=CUT), *rest))


@pytest.mark.model
@pytest.mark.slow
def test_rules_keep_the_distribution_of_a_real_model(smollm: Model) -> None:
    """False alarms of all these tests together have a probability of at most 1e-7."""
    sound = [pipeline("reject"), pipeline("block"), pipeline("multi", "without_replacement", 6)]
    for found in audited(smollm, *map(cut, sound), temperature=HEAT, tokens=32):
        assert found.passed, found
        assert found.tokens == 32 * len(PROMPTS)
        assert 0 < sum(each.false_alarm for each in found.tests) <= 1e-7


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(("broken", "tokens"), [(everything, 32), (no_residual, 64)])
def test_broken_rules_are_caught_on_a_real_model(
    smollm: Model, monkeypatch: pytest.MonkeyPatch, broken: Rule, tokens: int
) -> None:
    monkeypatch.setattr(bind.rules, "make", lambda *_, **_knobs: broken)
    (found,) = audited(smollm, cut(pipeline("reject")), temperature=HEAT, tokens=tokens)
    assert not {each.order: each for each in found.tests}["g / p"].passed
