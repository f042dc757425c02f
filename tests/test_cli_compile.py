"""`foretell compile` as a person calls it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from foretell.cli import run
from foretell.codegen.emit import source
from foretell.codegen.plan import plan
from foretell.cost.assumed import assumed
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.check import check
from foretell.ir.ops import Accept, Commit, Draft, Pipeline, Verify
from foretell.ir.text import parse, show
from foretell.passes.given import improved
from foretell.passes.levels import LEVELS, level
from foretell.passes.rewrite import of_kind
from synthetic import write
from tiny import MODELS

FACTS = assumed("draft")


def compiled(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["compile", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", presets.names())
def test_a_given_pipeline_stays_as_it_is_without_a_level(capsys: pytest.CaptureFixture[str], name: str) -> None:
    pipeline = presets.load(name)
    assert compiled(capsys, name) == show(pipeline)
    assert compiled(capsys, name, "--emit", "py") == source(plan(pipeline))


@pytest.mark.parametrize("name", LEVELS)
def test_levels_without_models_go_by_assumptions(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert parse(compiled(capsys, f"-{name}")) == level(name, draft="draft", facts=FACTS).pipeline


def test_every_stage_of_a_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled(capsys, "--emit", "plan").startswith("plan O2: exact\n")
    steps = compiled(capsys, "--emit", "passes")
    assert "\n-   g = draft(" in steps
    assert "# g: inner lookup" in steps
    assert "tokens/s" in steps
    tiers = compiled(capsys, "paced", "--emit", "tier")
    assert tiers.startswith("# tier 1. Guard: in this round, g (")
    assert tiers.count("def run_round(") == tiers.count("; else tier 0.")
    assert compiled(capsys, "plain", "--emit", "tier").startswith("# plain: no tier 1")
    costs = compiled(capsys, "-O3", "--emit", "cost")
    assert costs.count("\nkept ") == 1
    assert costs.count("\nrejected ") > 10
    assert "its class is lossy" in costs


def test_facts_are_measured_where_models_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    free = json.loads(compiled(capsys, "-O1", "--model", "toy", "--json"))
    assert free["facts"] == "partly measured (assumed: chances of lookup, chances of copy)"
    assert "model" not in free["pipeline"]
    both = json.loads(compiled(capsys, "chain", "--model", "toy", "--draft", "toy", "--json"))
    assert both["facts"] == "partly measured (assumed: chances of lookup, chances of copy, chances of draft)"
    half = json.loads(compiled(capsys, "chain", "--model", "toy", "--json"))
    assert half["facts"].endswith("all assumed of draft")
    assert both["price"] != half["price"]
    assert run(["compile", "chain", "-O1"]) == 0
    assert "times and chances: assumed" in capsys.readouterr().err


def test_json_has_steps_and_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(compiled(capsys, "-O3", "--emit", "py", "--json"))
    assert found["py"].startswith('"""One round')
    assert found["class"] == "exact"
    assert [each["name"] for each in found["steps"]] == ["search", "accompany"]
    assert [each["rejected"] == "" for each in found["candidates"]].index(True) == 0
    assert all(each["rejected"] for each in found["candidates"][1:])


def test_list_shows_every_preset_with_its_class(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(compiled(capsys, "--list", "--json"))
    assert {row["name"]: row["class"] for row in rows} == {name: check(presets.load(name)) for name in presets.names()}
    assert all(row["about"].endswith(".") for row in rows)
    assert "speculative cascade" in compiled(capsys, "--list")


def test_graph_before_and_after_fusions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.gguf"
    shape, formats = MODELS["qwen2"]
    write(path, shape, formats)
    found = json.loads(compiled(capsys, "--emit", "graph", "--model", str(path), "--layers", "0", "--json"))
    assert found["before"].count(" = attention ") == found["layers"] == shape.layers
    assert " = silu " in found["before"]
    assert " = silu " not in found["after"]
    assert found["after"].count(" = gated ") == shape.layers
    text = compiled(capsys, "--emit", "graph", "--model", str(path))
    assert f"1 of its {shape.layers} layers" in text
    assert text.count(" = attention ") == 2


def test_kernels_as_llvm_and_assembly(capsys: pytest.CaptureFixture[str]) -> None:
    llvm = compiled(capsys, "--emit", "llvm", "--kernel", "product_Q4_0", "--isa", "portable")
    assert "target triple" in llvm
    assert "define void @gated_Q4_0(" in llvm
    assert "x86" not in llvm.split("declare", 1)[-1]
    assert "\ngated_Q4_0:" in compiled(capsys, "--emit", "asm", "--kernel", "product_Q4_0", "--isa", "portable")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nowhere"], 2, "no pipeline 'nowhere'"),
        (["--emit", "machine"], 2, "no stage 'machine'"),
        (["-O7"], 2, "no level 'O7'"),
        (["chain", "-O7"], 2, "no level 'O7'"),
        (["--allow", "anything"], 2, "no class 'anything'"),
        (["--emit", "graph", "--model", "toy"], 2, "no tensor graph"),
        (["--emit", "graph", "--model", "/no/such.gguf"], 1, "/no/such.gguf"),
        (["--emit", "asm"], 2, "--kernel"),
        (["--emit", "asm", "--kernel", "product_Q9"], 2, "no kernel module 'product_Q9'"),
        (["--emit", "asm", "--kernel", "driver", "--isa", "sse"], 2, "unknown instruction set 'sse'"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    assert run(["compile", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.pipeline"
    path.write_text("g = draft(lookup)\nv = verify(g)\na = accept(v, rule=block)\ncommit(a)\n")
    assert run(["compile", str(path)]) == 1
    assert "a = accept(v, rule=block)" in capsys.readouterr().err


@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("to", LEVELS)
def test_improving_a_pipeline_keeps_its_promise_and_costs_nothing(name: str, to: str) -> None:
    pipeline = presets.load(name)
    trace = improved(pipeline, to, facts=FACTS)
    assert trace.start == pipeline
    order = ["exact", "distribution", "lossy"]
    assert order.index(check(trace.pipeline)) <= order.index(check(pipeline))
    assert trace.price.response_ms <= trace.start_price.response_ms * (1 + 1e-9)
    if to == "O0":
        assert trace.pipeline is pipeline
    constrained = [each.constrained for each in of_kind(pipeline, Verify)]
    assert [each.constrained for each in of_kind(trace.pipeline, Verify)] == constrained
    assert bool(trace.candidates) == (to == "O3" and check(pipeline) == "exact" and constrained == [False])


def test_a_class_is_lowered_only_where_that_is_allowed() -> None:
    guesses = Draft("g", "model", of="draft", law="sampled", width=4)
    pipeline = Pipeline("p", (guesses, Verify("v", "g"), Accept("a", "v", "coupled"), Commit("a")))
    alone = replace(FACTS, sources={})
    assert check(improved(pipeline, "O2", facts=alone).pipeline) == "exact"
    assert check(improved(pipeline, "O2", facts=alone, allow="distribution").pipeline) == "distribution"
    with pytest.raises(UsageError, match="no level 'best'"):
        improved(pipeline, "best", facts=FACTS)
