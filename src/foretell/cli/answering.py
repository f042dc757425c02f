"""The loop of every long measurement: what comes is kept at once, with a bar, and Ctrl-C says how to go on."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import typer

E = TypeVar("E")


def collected(
    found: list[E],
    new: Iterable[E],
    total: int,
    keep: Callable[[E], None] | None,
    *,
    what: str = "answers",
    again: str = "--resume goes on",
    left_s: Callable[[], float | None] | None = None,
) -> list[E]:
    """`found` with all that is `new`.

    Args:
        found: what there is already; it is added to.
        new: what comes.
        total: how many there will be.
        keep: called with each before the next is asked for; None where nothing is kept.
        what: a word for the bar.
        again: words for how to go on after Ctrl-C.
        left_s: knows the seconds left better than the bar does.
    """
    from foretell.cli.progress import steps

    with steps(what, total, len(found), left_s) as advance:
        try:
            for each in new:
                if keep is not None:
                    keep(each)
                found.append(each)
                advance()
        except KeyboardInterrupt:
            if keep is not None:
                typer.echo(f"stopped: {len(found)} of {total} {what} are recorded; {again}", err=True)
            raise
    return found
