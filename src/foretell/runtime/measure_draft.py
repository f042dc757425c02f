"""How often a draft model is right: it reads the target's texts, and at each place its own choice is compared.

Teacher forcing: after right guesses a draft model stands where the text stands, so one reading in passes of many rows
says what it would have guessed in any round. What a cut vocabulary changes follows from the same scores, because the
scores of the tokens that are left stay the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.backend.protocol import Rows, Session, Want
from foretell.profile.counts import DOUBTS, ENTROPIES, RANKS, WIDTHS, FormCounts, Tally
from foretell.runtime.measure_rounds import chains, counted
from foretell.runtime.measure_text import PromptTimes, Text

Ids = NDArray[np.int64]

_ROWS: Final = 32  # with all logits, in a pass: some megabytes


@dataclass(slots=True)
class Seen:
    """At each place of an answer behind its first token.

    right: whether the draft's choice was. doubts: its 1 - max q. entropies: of q, in nats. ranks: of the target's
    token, counted from 0.
    """

    right: list[bool] = field(default_factory=list)
    doubts: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)


def can_say(session: Session) -> Ids | None:
    """The ids that a form of a model can say; None when these are all."""
    sequence = session.open()
    try:
        logits = session.step(Rows.chain([0], sequence), Want(logits=True)).logits
    finally:
        session.close(sequence)
    if logits is None:
        return None
    ids = np.flatnonzero(np.isfinite(logits[0]))
    return None if len(ids) == logits.shape[1] else ids


def force(
    session: Session,
    text: Text,
    *,
    piece_rows: int,
    kept: Sequence[Ids | None] = (None,),
    prompt: int = 0,
    times: PromptTimes | None = None,
) -> list[Seen]:
    """What a draft model says along a text, for each of some vocabularies; nothing when it cannot read it.

    Args:
        session: of the draft model.
        text: see there.
        piece_rows: most rows of a pass.
        kept: ids that a vocabulary is cut to, ascending; None for the whole one.
        prompt: how many of the prompt's last tokens it reads; 0: all.
        times: gets those of the passes over the prompt.
    """
    read = text.prompt[-prompt:]
    said, coming = text.answer[:-1], np.asarray(text.answer[1:])
    if len(read) + len(said) > session.context or max((*read, *said)) >= session.vocabulary:
        return []
    out = [Seen() for _ in kept]
    sequence = session.open()
    try:
        for start in range(0, len(read), piece_rows):
            piece = read[start : start + piece_rows]
            started = perf_counter()
            session.step(Rows.chain(piece, sequence, ()), Want())
            if times is not None:
                times.add(len(piece), perf_counter() - started)
            session.commit(sequence, range(len(piece)))
        for start in range(0, len(said), min(piece_rows, _ROWS)):
            piece = said[start : start + min(piece_rows, _ROWS)]
            logits = session.step(Rows.chain(piece, sequence), Want(logits=True)).logits
            session.commit(sequence, range(len(piece)))
            if logits is not None:
                for seen, ids in zip(out, kept, strict=True):
                    _look(seen, logits, coming[start : start + len(piece)], ids)
    finally:
        session.close(sequence)
    return out


def count(seen: Seen, limit: int) -> FormCounts:
    """Counts over one text whose answer had at most so many tokens."""
    offers = chains(seen.right, WIDTHS[-1])
    ranks = np.bincount(np.asarray(seen.ranks, np.int64), minlength=RANKS)[:RANKS] if seen.ranks else ()
    return FormCounts(
        places=len(seen.right),
        right=sum(seen.right),
        rounds={width: counted(offers, width, limit) for width in WIDTHS},
        doubts=_classes(seen.doubts, seen.right, DOUBTS),
        entropies=_classes(seen.entropies, seen.right, ENTROPIES),
        ranks=tuple(int(n) for n in ranks),
    )


def _look(seen: Seen, logits: NDArray[np.float32], coming: Ids, kept: Ids | None) -> None:
    """Add places. logits: float32 [places, vocabulary]. coming: the target's tokens there."""
    if kept is not None:
        logits = logits[:, kept]
    best = logits.argmax(axis=1)  # ties to the lowest id, as the engine chooses
    top = logits[np.arange(len(best)), best]
    shifted = logits - top[:, None]
    powers = np.exp(shifted)
    total = powers.sum(axis=1, dtype=np.float64)
    shifted[np.isneginf(shifted)] = 0  # their power is 0
    entropy = np.log(total) - np.einsum("ij,ij->i", powers, shifted, dtype=np.float64) / total
    places = coming if kept is None else np.searchsorted(kept, coming)
    ids = np.arange(logits.shape[1])
    for row, (place, token) in enumerate(zip(places, coming, strict=True)):
        there = place < len(ids) and (kept is None or kept[place] == token)
        mine = logits[row]
        rank = int((mine > mine[place]).sum() + (mine[:place] == mine[place]).sum()) if there else len(ids)
        seen.right.append(bool(there) and rank == 0)
        seen.ranks.append(rank)
    seen.doubts += np.clip(1 - 1 / total, 0, 1).tolist()
    seen.entropies += np.clip(entropy, 0, ENTROPIES[-1]).tolist()


def _classes(values: Sequence[float], right: Sequence[bool], ends: Sequence[float]) -> dict[int, Tally]:
    found = np.searchsorted(ends, values)
    out: dict[int, Tally] = {}
    for each, value, hit in zip(found.tolist(), values, right, strict=True):
        old = out.get(each, Tally())
        out[each] = Tally(old.guesses + 1, old.right + hit, old.total + value)
    return out
