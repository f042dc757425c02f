"""Routing: a whole query goes to the small model when that is sure of how its answer begins, else to the target."""

from dataclasses import replace

from foretell.accept import defers
from foretell.accept.distribution import distribution
from foretell.accept.sampling import Sampling
from foretell.backend.protocol import Rows, Want
from foretell.errors import ForetellError, UsageError
from foretell.ir.ops import Pipeline, Route
from foretell.runtime.context import Context
from foretell.runtime.loop import Request


def route_of(pipeline: Pipeline | None) -> Route | None:
    """The pipeline's routing statement, if it has one."""
    statements = () if pipeline is None else pipeline.statements
    return next((each for each in statements if isinstance(each, Route)), None)


def check_unrouted(pipeline: Pipeline | None) -> None:
    """Raise UsageError for a pipeline that no conversation can run: both models would have to read every turn."""
    if route_of(pipeline) is not None:
        raise UsageError("a conversation cannot be routed: use a pipeline without route()")


def unrouted(pipeline: Pipeline) -> Pipeline:
    """What runs once the query went one way or the other."""
    return replace(pipeline, statements=tuple(each for each in pipeline.statements if not isinstance(each, Route)))


def is_sure(route: Route, request: Request, small: Context) -> bool:
    """Whether the rule leaves the query to the small model: by its distribution behind the prompt, at temperature 1.

    The small model reads the prompt; what it has read stays in its context.
    """
    prompt, session = request.prompt, small.session
    done = small.reuse(prompt)
    while len(prompt) - done > request.piece_rows:
        piece = prompt[done : done + request.piece_rows]
        session.step(Rows.chain(piece, small.sequence, ()), Want())
        small.commit(piece)
        done += len(piece)
    rest = prompt[done:]
    scores = session.step(Rows.chain(rest, small.sequence, (len(rest) - 1,)), Want(logits=True))
    small.commit(rest)
    if scores.logits is None:
        raise ForetellError("the small model gave no distribution, although it was asked for one")
    q = distribution(scores.logits[0], (), Sampling(temperature=1.0))
    return not defers.make(route.rule, route.threshold)(q)
