"""How often free sources are right, replayed over texts."""

from bisect import bisect_right
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from foretell.draft.copy import KINDS
from foretell.draft.lookup import LENGTHS, Lookup
from foretell.draft.sources import free
from foretell.profile.counts import WIDTHS, SourceCounts, Tally
from foretell.profile.record import added
from foretell.profile.spread import Spread
from foretell.runtime.measure_rounds import Offer, counted, offer
from foretell.runtime.measure_text import Text

SOURCES: Final = ("lookup", "recycled", "copy")
_TIMED: Final = 16  # places whose proposals are timed together: one alone takes microseconds


@dataclass(slots=True)
class Replay:
    """A source over one text. offers: see `play`. matches: see `foretell.profile.counts.SourceCounts`."""

    offers: list[Offer] = field(default_factory=list)
    matches: dict[int, Tally] = field(default_factory=dict)
    proposal: Spread | None = None


def replay(name: str, text: Text, width: int = WIDTHS[-1]) -> Replay:
    """What a free source guesses at each place of an answer, up to `width` tokens."""
    source, answer, out = free(name, width), text.answer, Replay()
    matcher = Lookup((*text.prompt, answer[0])) if name == "lookup" else None
    times: list[float] = []
    source.extend((*text.prompt, answer[0]))
    for place in range(1, len(answer)):
        started = perf_counter()
        proposal = source.propose(width)
        times.append(1000 * (perf_counter() - started))
        here = offer(proposal, answer[place:])
        out.offers.append(here)
        if matcher is not None:
            if here.depths:
                shortest = LENGTHS[bisect_right(LENGTHS, matcher.match_length) - 1]
                right = Tally(1, int(bool(here.right)), matcher.match_length)
                out.matches[shortest] = added(out.matches.get(shortest, Tally()), right)
            matcher.extend(answer[place : place + 1])
        if name == "copy" and here.depths:
            kind = KINDS.index(proposal.guesses[0].chance)
            right = Tally(1, int(proposal.guesses[0].token == answer[place]), proposal.guesses[0].chance)
            out.matches[kind] = added(out.matches.get(kind, Tally()), right)
        source.extend(answer[place : place + 1])
    pieces = [times[i : i + _TIMED] for i in range(0, len(times), _TIMED)]
    if pieces:
        out.proposal = Spread.of([sum(piece) / len(piece) for piece in pieces])
    return out


def count(replayed: Replay, limit: int) -> SourceCounts:
    """A source's counts over one text."""
    rounds = {width: counted(replayed.offers, width, limit) for width in WIDTHS}
    return SourceCounts(rounds, replayed.matches, replayed.proposal)
