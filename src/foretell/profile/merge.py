"""Profiles of the same machine and models, added."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from foretell.errors import ForetellError
from foretell.profile.file import Profile
from foretell.profile.record import added


def merge(profiles: Sequence[Profile]) -> Profile:
    """All of them together: counts add up, measurements keep the least and a mean of medians. At least one.

    Raises:
        ForetellError: they are of different machines, models or builds of the engine.
    """
    first = profiles[0]
    for each in profiles[1:]:
        why = each.keys.foreign(first.keys)
        if why:
            raise ForetellError(f"profiles cannot be merged: one {why}, seen from the first; give profiles of one kind")
    how = first.how if all(each.how == first.how for each in profiles) else "merged"
    return reduce(added, [replace(each, how=how) for each in profiles])
