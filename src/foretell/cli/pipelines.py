"""`foretell bench pipelines`: levels, presets and pipelines of one's own against the target alone, interleaved."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli import options, suite

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.lab.contest import Contender


def pipelines(
    file: suite.File,
    *,
    model: options.ModelName = None,
    draft: options.Draft = None,
    presets: Annotated[
        str | None,
        typer.Option(help="Presets, separated by commas.", show_default="the exact ones that need no grammar"),
    ] = None,
    levels: Annotated[str, typer.Option(help="Levels, separated by commas; O0 is measured in any case.")] = (
        "O0,O1,O2,O3"
    ),
    pipeline: Annotated[
        list[str] | None,
        typer.Option("--pipeline", help="File with a pipeline; may be given several times.", show_default="none"),
    ] = None,
    approximations: Annotated[
        bool, typer.Option("--approximations", help="Also chain with cheaper forms of the draft model.")
    ] = False,
    max_tokens: options.MaxTokens = 128,
    temperature: options.Temperature = 0.0,
    seed: suite.Seed = 0,
    classes: suite.Classes = "",
    limit: suite.Limit = None,
    repeats: suite.Repeats = 1,
    record: suite.RecordFile = None,
    resume: suite.Resume = False,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    json_: options.Json = False,
) -> int:
    """Compare pipelines on a suite of prompts. Status 1 when an exact one gives other tokens than the target alone."""
    from foretell.errors import UsageError
    from foretell.lab import contest
    from foretell.lab.approximations import BASE, approximated
    from foretell.lab.contest import Contender
    from foretell.lab.suite import read_suite
    from foretell.runtime.settings import Options, Settings

    sampling = Options(temperature=temperature, seed=seed)
    wanted = [options.level_name(each) for each in suite.names(levels)]
    for level in (contest.REFERENCE, *wanted):
        Settings(**(sampling | Options(max_tokens=max_tokens, level=level)))
    chosen = contest.fixed_presets(drafting=draft is not None) if presets is None else suite.names(presets)
    if approximations and draft is None:
        raise UsageError("there is no draft model to approximate: give --draft")
    if approximations and BASE not in chosen:
        chosen.append(BASE)
    fixed = [Contender(each, "preset", contest.preset(each)) for each in chosen if each != "plain"]
    for name in pipeline or ():
        given = options.read_pipeline(name)
        if given is not None:
            fixed.append(Contender(given.name, "file", given))
    if approximations:
        fixed += [Contender(name, "approximation", each) for name, each in approximated().items()]
    for each in fixed:
        Settings(**(sampling | Options(pipeline=each.pipeline)))
        options.check_models(each.pipeline, draft)
    prompts = read_suite(file, suite.names(classes), limit)
    with options.opened(model, threads, context, draft) as loaded:
        contenders = [*contest.level_contenders(loaded, wanted), *fixed]
        contest.require_names_differ(contenders)
        who = [each.ours(loaded, sampling) for each in contenders]
        facts = suite.facts_of("pipelines", file, (loaded.name, draft), max_tokens, temperature, seed, repeats)
        facts["pipelines"] = {each.name: each.to_json() for each in contenders}
        if approximations:
            facts["draft_pass_ms"] = _draft_pass_ms(loaded, contenders)
        kept = suite.recording(record, facts, prompts, resume)
        runs = suite.answers(prompts, who, max_tokens, seed, repeats, kept)
    return suite.show(runs, facts, json_)


def _draft_pass_ms(model: "Model", contenders: "Sequence[Contender]") -> dict[str, float]:
    """Milliseconds of a pass of the draft model in the forms that are compared."""
    from foretell.ir.ops import Draft
    from foretell.lab.approximations import BASE, pass_ms
    from foretell.passes.rewrite import of_kind

    sessions = {}
    for each in contenders:
        if model.drafter is not None and (each.name == BASE or each.origin == "approximation"):
            (draft,) = of_kind(each.pipeline, Draft)
            sessions[each.name] = model.drafter.backend((draft.vocabulary, draft.precision)).session()
    return pass_ms(sessions)
