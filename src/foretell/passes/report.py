"""Traces as text, for people: what each pass did, and what a search considered."""

from difflib import ndiff

from foretell.cost.facts import Facts
from foretell.cost.price import Price
from foretell.ir.ops import Pipeline
from foretell.ir.text import show
from foretell.passes.manager import Trace


def steps(trace: Trace) -> str:
    """The pipeline, then each pass with its remarks, the lines it changed, and the price of what it made."""
    parts = [f"{show(trace.start)}{_price(trace.start_price)}\n"]
    for step in trace.steps:
        remarks = "".join(f"  # {each}\n" for each in step.remarks)
        if step.after is step.before:
            parts.append(f"{step.name}: nothing changed\n{remarks}")
        else:
            parts.append(f"{step.name}\n{remarks}{_difference(step.before, step.after)}{_price(step.price)}\n")
    return "\n".join(parts)


def costs(trace: Trace, facts: Facts) -> str:
    """The pipelines that were considered, by predicted price: the one that was kept, then those that were rejected."""
    request = f"{facts.prompt_tokens} tokens of prompt and {facts.answer_tokens} of answer"
    lines = [f"predicted from {facts.origin} times and chances, for {request}"]
    if not trace.candidates:
        lines += [f"start: {_price(trace.start_price)}"]
        lines += [f"{step.name}: {_price(step.price)}" for step in trace.steps if step.after is not step.before]
    for each in trace.candidates:
        cost = _price(each.price) if each.price else "no price"
        lines.append(f"{'rejected' if each.reason else 'kept'} {each.pipeline.name}: {cost}")
        lines += [f"  {each.reason}"] if each.reason else []
        lines += [f"  {line.strip()}" for line in show(each.pipeline).splitlines()[1:]]
    return "\n".join(lines) + "\n"


def _price(price: Price) -> str:
    return (
        f"{price.tokens:.2f} tokens in {price.ms:.1f} ms a round, {price.tokens_per_s:.1f} tokens/s, "
        f"an answer in {price.response_ms:.0f} ms"
    )


def _difference(before: Pipeline, after: Pipeline) -> str:
    lines = ndiff(show(before).splitlines(keepends=True), show(after).splitlines(keepends=True))
    return "".join(line for line in lines if not line.startswith("?"))
