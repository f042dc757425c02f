"""`foretell bench policies`: every policy on a suite of prompts, by replay, and the strongest ones for real."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from foretell.cli import options, suite, traces

if TYPE_CHECKING:
    from foretell.accept.sampling import Sampling
    from foretell.api import Model
    from foretell.lab.policies.policy import Policy
    from foretell.lab.suite import Prompt, Run
    from foretell.runtime.events import Result

STRONGEST: Final = 2  # baselines that are run for real, too


def policies(
    file: suite.File,
    *,
    model: options.ModelName = None,
    draft: options.Draft = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="File of guesses; what it has is not asked again.", show_default="none"),
    ] = None,
    real: Annotated[
        bool, typer.Option("--real", help="Also run plain, the two strongest baselines and O2, taking turns.")
    ] = False,
    max_tokens: options.MaxTokens = 128,
    temperature: options.Temperature = 0.0,
    seed: suite.Seed = 0,
    classes: suite.Classes = "",
    limit: suite.Limit = None,
    repeats: suite.Repeats = 1,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    json_: options.Json = False,
) -> None:
    """Record what every source would guess, once, and score every policy on it; the best fixed one per class too."""
    from foretell.cli import policy_tables as tables
    from foretell.cli import replay
    from foretell.lab.replay.score import Scorer
    from foretell.lab.replay.trace import read
    from foretell.lab.suite import read_suite
    from foretell.runtime.settings import Options, Settings

    Settings(**Options(max_tokens=max_tokens, temperature=temperature, seed=seed))
    prompts = read_suite(file, suite.names(classes), limit)
    with traces.kept(trace) as path:
        if not traces.covers(path, prompts, max_tokens, temperature, seed):
            with options.opened(model, threads, context, draft) as loaded:
                traces.recorded(loaded, path, prompts, max_tokens, temperature, seed)
        found = traces.chosen(read(path), prompts)
    scorer = Scorer.of(found)
    wanted, refused = replay.possible(scorer, None)
    out: dict[str, Any] = {"what": "policies", "suite": file.name, **asdict(found.about), "refused": refused}
    out |= replay.scored(scorer, wanted, texts=False)
    if not json_:
        tables.print_policies(out)
        tables.print_refused(refused)
    if real:
        names = _strongest(out)
        about = found.about
        with options.opened(model or about.target, threads, context, draft or about.draft or None) as loaded:
            chosen = [each for name in names for each in wanted if each.name == name]
            runs = _runs(loaded, prompts, chosen, max_tokens, about.sampling, repeats)
        out["real"] = _figures(runs, json_=json_)
    typer.echo(json.dumps(out))


def _strongest(out: dict[str, Any]) -> list[str]:
    """Plain, the baselines with the largest overall speed, and ours."""
    from foretell.lab.policies.catalogue import OURS, REFERENCE
    from foretell.lab.replay.oracle import NAME
    from foretell.passes.levels import LEVELS

    speeds = {name: its["classes"]["overall"]["ratio"] or 0.0 for name, its in out["policies"].items()}
    rivals = [name for name in speeds if name not in (REFERENCE, NAME, *LEVELS)]
    best = sorted(rivals, key=lambda name: -speeds[name])[:STRONGEST]
    return [REFERENCE, *best, *([OURS] if OURS in speeds else [])]


@dataclass(frozen=True, slots=True)
class _Real:
    """A policy as a configuration of a suite."""

    model: "Model"
    policy: "Policy"
    sampling: "Sampling"

    @property
    def name(self) -> str:
        """The policy's."""
        return self.policy.name

    def run(self, prompt: str, max_tokens: int) -> "Result":
        """Answer a prompt from scratch."""
        from foretell.lab.replay.run import generate

        if self.model.drafter is not None:
            self.model.drafter.forget()
        ids = self.model.encode(prompt)
        played = generate(self.model, ids, self.policy, self.sampling, max_tokens=max_tokens, clock=perf_counter)
        if played.result.finish == "cancelled":
            raise KeyboardInterrupt
        return played.result


def _runs(
    model: "Model",
    prompts: "list[Prompt]",
    chosen: "list[Policy]",
    max_tokens: int,
    sampling: "Sampling",
    repeats: int,
) -> "list[Run]":
    who = [_Real(model, each.fresh(), sampling) for each in chosen]
    return suite.answers(prompts, who, max_tokens, 0, repeats, None)


def _figures(runs: "list[Run]", *, json_: bool) -> dict[str, Any]:
    from foretell.cli.tables import print_speeds
    from foretell.lab.policies.catalogue import REFERENCE
    from foretell.lab.summary import summarise

    table = summarise(runs, REFERENCE)
    if not json_:
        typer.echo("\nFor real, taking turns:")
        print_speeds(table)
    return table
