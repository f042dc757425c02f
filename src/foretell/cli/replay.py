"""`foretell replay`: what other policies would have made of texts whose guesses were recorded."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli import options, suite, traces

if TYPE_CHECKING:
    from foretell.lab.policies.policy import Policy
    from foretell.lab.replay.score import Scorer
    from foretell.lab.replay.trace import GuessTrace


def replay(
    trace: Annotated[Path, typer.Argument(help="File of guesses; --record makes it.")],
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", "-p", help="Name; may be given several times.", show_default="all that can be"),
    ] = None,
    classes: suite.Classes = "",
    profile: Annotated[
        Path | None,
        typer.Option("--profile", help="Times and chances to go by.", show_default="those in the trace"),
    ] = None,
    texts: Annotated[bool, typer.Option("--texts", help="A row for each text, not for each class.")] = False,
    change: Annotated[
        bool, typer.Option("--change", help="Put texts of two kinds together: how soon policies settle behind it.")
    ] = False,
    hopeless: Annotated[
        bool, typer.Option("--hopeless", help="With a draft model that is never right and always sure of itself.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run the policies for real too, and compare round by round.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="First answer this suite and write down all guesses.", show_default="none"),
    ] = None,
    model: options.ModelName = None,
    draft: options.Draft = None,
    max_tokens: options.MaxTokens = 128,
    temperature: options.Temperature = 0.0,
    seed: suite.Seed = 0,
    limit: suite.Limit = None,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    json_: options.Json = False,
) -> int:
    """Score policies on recorded guesses, without running a model: tokens per round and time on a virtual clock.

    Status 1 when --check finds a round that is another one than replayed.
    """
    from foretell.errors import UsageError
    from foretell.lab.replay.hopeless import without_hope
    from foretell.lab.replay.score import Scorer
    from foretell.lab.replay.trace import read
    from foretell.lab.suite import read_suite
    from foretell.profile.file import read as read_profile

    if check and (hopeless or change):
        raise UsageError("--check is of the recorded texts and models: leave out --hopeless and --change")
    if record is not None:
        prompts = read_suite(record, suite.names(classes), limit)
        if not traces.covers(trace, prompts, max_tokens, temperature, seed):
            with options.opened(model, threads, context, draft) as loaded:
                traces.recorded(loaded, trace, prompts, max_tokens, temperature, seed)
    found = read(trace, None if profile is None else read_profile(profile))
    found = _of_classes(found, suite.names(classes), trace)
    scorer = Scorer.of(without_hope(found) if hopeless else found)
    policies, refused = possible(scorer, policy)
    out: dict[str, Any] = {"what": "replay", **asdict(found.about), "hopeless": hopeless, "refused": refused}
    if check:
        out["checked"] = _checked(scorer, policies, model, draft, threads, context)
    elif change:
        out |= _changes(scorer, policies)
    else:
        out |= scored(scorer, policies, texts=texts)
    if not json_:
        _print(out, texts=texts)
    typer.echo(json.dumps(out))
    return 1 if check and any(each["differing"] for each in out["checked"].values()) else 0


def _of_classes(trace: "GuessTrace", classes: list[str], path: Path) -> "GuessTrace":
    from foretell.errors import ForetellError

    known = list(dict.fromkeys(text.klass for text in trace.texts))
    for klass in classes:
        if klass not in known:
            raise ForetellError(f"{path} has no class {klass!r}; its classes are {', '.join(known) or 'none'}")
    if not trace.texts:
        raise ForetellError(f"{path} has no texts: record some with `foretell replay --record`")
    return replace(trace, texts=tuple(each for each in trace.texts if not classes or each.klass in classes))


def possible(scorer: "Scorer", names: list[str] | None) -> "tuple[list[Policy], dict[str, str]]":
    """Those to play, and why others cannot be. One that was asked for by name must be possible."""
    from foretell.errors import ForetellError
    from foretell.lab.policies.catalogue import everything, named

    wanted = [named(each, scorer.facts) for each in names] if names else everything(scorer.facts)
    why = {each.name: scorer.refusal(each) for each in wanted}
    if names:
        for name, reason in why.items():
            if reason:
                raise ForetellError(f"the trace cannot score {name}: {reason}")
    return [each for each in wanted if not why[each.name]], {name: each for name, each in why.items() if each}


def scored(scorer: "Scorer", policies: "list[Policy]", *, texts: bool) -> dict[str, Any]:
    from foretell.cli.progress import steps
    from foretell.lab.policies.catalogue import REFERENCE, fixed_set, named
    from foretell.lab.replay.oracle import NAME, oracle
    from foretell.lab.replay.report import latest, report
    from foretell.lab.suite import Prompt, Run

    alone = list(scorer.score(named(REFERENCE, scorer.facts)))
    runs, late = [each.run for each in alone], {REFERENCE: latest(alone, alone)}
    others = {each.name: each for each in policies if each.name != REFERENCE}
    with steps("policies", len(others) + 1) as advance:
        for name, policy in others.items():
            advance()
            mine = list(scorer.score(policy))
            runs += [each.run for each in mine]
            late[name] = latest(mine, alone)
        advance()
    for text in scorer.trace.texts:
        runs.append(Run(Prompt(text.klass, text.id, ""), NAME, oracle(scorer.world(text), text)))
    if texts:
        runs = [
            Run(Prompt(f"{r.prompt.klass} {r.prompt.id}", r.prompt.id, ""), r.configuration, r.result) for r in runs
        ]
    fixed = [each.name for each in fixed_set(drafting=True)]
    figures = report(runs, fixed)
    for name, seconds in late.items():
        figures["policies"][name]["late_s"] = seconds
    return figures


def _changes(scorer: "Scorer", policies: "list[Policy]") -> dict[str, Any]:
    from foretell.errors import ForetellError
    from foretell.lab.policies.catalogue import fixed_set
    from foretell.lab.replay.change import pairs, settled
    from foretell.lab.replay.report import changes

    both = pairs(scorer.trace.texts)
    if not both:
        raise ForetellError("a change needs texts of two classes: give a trace that has them")
    found = settled(scorer, both, policies, fixed_set(drafting=bool(scorer.facts.models)))
    return {"changes": changes(found), "changed": [asdict(each) for each in found]}


def _checked(
    scorer: "Scorer",
    policies: "list[Policy]",
    model: str | None,
    draft: str | None,
    threads: int | None,
    context: int | None,
) -> dict[str, Any]:
    from foretell.cli.progress import steps
    from foretell.errors import UsageError
    from foretell.lab.policies.catalogue import REFERENCE
    from foretell.lab.replay.check import agreement, check
    from foretell.profile.file import BUILD

    about = scorer.trace.about
    with options.opened(model or about.target, threads, context, draft or about.draft or None) as loaded:
        ours, theirs = loaded.backend.key, scorer.trace.profile.keys.target
        if ours.partition(BUILD)[0] != theirs.partition(BUILD)[0]:
            raise UsageError(f"the trace is of another {about.target} than this one: give its model with --model")
        if ours != theirs:
            typer.echo("warning: the trace is of another build of the engine, whose texts may differ", err=True)
        found = []
        with steps("runs", len(policies) * len(scorer.trace.texts)) as advance:
            for each in check(loaded, scorer, policies, scorer.trace.texts):
                found.append(each)
                advance()
    return agreement(found, REFERENCE)


def _print(out: dict[str, Any], *, texts: bool) -> None:
    from foretell.cli import policy_tables as tables

    if "checked" in out:
        tables.print_checked(out["checked"])
    elif "changes" in out:
        tables.print_changes(out["changes"])
    elif texts:
        tables.print_texts(out)
    else:
        tables.print_policies(out)
    tables.print_refused(out["refused"])
