"""Pipelines that mean the same become the same pipeline."""

from dataclasses import dataclass, replace
from typing import ClassVar

from foretell.cost.facts import Facts
from foretell.ir.ops import Commit, Draft, Merge, Pipeline, Route, Statement
from foretell.passes.rewrite import Rewritten, changed, of_kind, reads, renamed


@dataclass(frozen=True, slots=True)
class Canonicalise:
    """Drop what nobody uses, repetitions and settings without effect; flatten merges.

    a = draft(lookup)                     a = draft(lookup)
    b = draft(recycled)                   b = draft(recycled)
    m = merge(a, a)              ->
    n = merge(m, b)                       n = merge(a, b)
    """

    name: ClassVar[str] = "canonicalise"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:  # noqa: ARG002 - every pass is called alike
        """See the class."""
        remarks: list[str] = []
        while step := _unused(pipeline) or _settings(pipeline) or _merges(pipeline):
            pipeline, remark = step
            remarks.append(remark)
        return pipeline, tuple(remarks)


Step = tuple[Pipeline, str] | None


def _unused(pipeline: Pipeline) -> Step:
    used = {name for statement in pipeline.statements for name in reads(statement)}
    for statement in pipeline.statements:
        if not isinstance(statement, Commit | Route) and statement.name not in used:
            return changed(pipeline, statement), f"nobody uses {statement.name}: dropped"
    return None


def _settings(pipeline: Pipeline) -> Step:
    for draft in of_kind(pipeline, Draft):
        if draft.doubt and not draft.siblings:
            return changed(pipeline, draft, replace(draft, doubt=0.0)), f"{draft.name} has no siblings: doubt dropped"
    return None


def _merges(pipeline: Pipeline) -> Step:
    drafts = {each.name: each for each in of_kind(pipeline, Draft)}
    merges = {each.name: each for each in of_kind(pipeline, Merge)}
    for merge in merges.values():
        once = tuple(dict.fromkeys(merge.proposals))
        if once != merge.proposals:
            return changed(pipeline, merge, replace(merge, proposals=once)), f"{merge.name} merges the same twice: once"
        twin = _twin(merge, drafts)
        if twin:
            kept, dropped = twin
            return renamed(pipeline, dropped, kept), f"{dropped} guesses what {kept} does: {kept} taken for both"
        only = drafts.get(once[0]) or merges[once[0]]
        if len(once) == 1 and only.width <= merge.width:
            return renamed(
                changed(pipeline, merge), merge.name, only.name
            ), f"{merge.name} merges {only.name} alone: dropped"
        inner = next((merges[each] for each in once if each in merges), None)
        if inner and inner.width >= merge.width:  # a narrower one limits what comes from it
            at = once.index(inner.name)
            flat = replace(merge, proposals=(*once[:at], *inner.proposals, *once[at + 1 :]))
            return changed(pipeline, merge, flat), f"{inner.name} is merged again by {merge.name}: merged there at once"
    return None


def _twin(merge: Merge, drafts: dict[str, Draft]) -> tuple[str, str] | None:
    """Two drafts of a merge that give the same guesses: alike but for their names, and without a law of chance."""
    seen: dict[Statement, str] = {}
    for name in merge.proposals:
        draft = drafts.get(name)
        if draft is None or draft.law not in ("point", "coupled"):
            continue
        first = seen.setdefault(replace(draft, name=""), name)
        if first != name:
            return first, name
    return None
