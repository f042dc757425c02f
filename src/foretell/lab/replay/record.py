"""What every source would have guessed along a text, asked of loaded models.

The draft model reads the text once, in passes of many rows, and says at every place what it would have chosen. Where
that is not what came, a copy of its sequence goes on for some tokens by itself; many copies share a pass.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from foretell.accept.noise import shifted
from foretell.accept.proposal import Proposal
from foretell.accept.sampling import GREEDY, Sampling
from foretell.api import Model
from foretell.backend.protocol import ROOT, Rows, Scores, Session, Want
from foretell.backend.script import Said
from foretell.draft.sources import free
from foretell.errors import ForetellError
from foretell.ir.ops import Draft, Pipeline
from foretell.lab.replay.run import Played
from foretell.lab.replay.trace import About, Along, Guessed, Sayings, Text, variant_name
from foretell.lab.replay.world import AS_IT_IS, Variant
from foretell.passes.rewrite import of_kind
from foretell.profile.machine import machine
from foretell.runtime.paced_tail import tail_of

STEPS: Final = 10  # guesses of a chain: as far as the shipped trees go
TOP: Final = 4  # likeliest tokens of a place: the shipped trees have two siblings beside a guess
WIDTH: Final = 15  # guesses of a free source
FREE: Final = ("lookup", "recycled", "copy")
ROWS: Final = 32  # of a pass along an answer: few enough for scores of all of them
COPIES: Final = 16  # sequences that go on by themselves in one pass


def about(model: Model, *, max_tokens: int, temperature: float = 0.0, seed: int = 0, steps: int = STEPS) -> About:
    """What a trace of these models says of itself."""
    drafter = model.drafter
    draft = None if drafter is None else drafter.backend()
    return About(
        target=model.name,
        draft="" if draft is None else draft.name,
        machine=machine(),
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        steps=steps,
        top=TOP,
        width=WIDTH,
        vocabulary=model.session.vocabulary,
        draft_vocabulary=1 if draft is None else draft.session().vocabulary,
        context=model.session.context,
        piece_rows=model.backend.piece_rows,
        draft_piece_rows=1 if draft is None else draft.piece_rows,
        end_ids=tuple(sorted(model.backend.codec.end_ids)),
    )


def variants(pipelines: Iterable[Pipeline | None]) -> list[Variant]:
    """Those of the draft model that these pipelines ask, and the model as it is."""
    drafts = [each for pipeline in pipelines if pipeline is not None for each in of_kind(pipeline, Draft) if each.of]
    drafts += [tail for tail in map(tail_of, drafts) if tail is not None]
    return list(dict.fromkeys([AS_IT_IS, *((each.vocabulary, each.precision, each.prompt) for each in drafts)]))


def record(
    model: Model, klass: str, id_: str, prompt: Sequence[int], played: Played, wanted: Iterable[Variant], known: About
) -> Text | None:
    """What was guessed along a generation; None for an answer too short for any guess."""
    answer = played.answer
    if len(answer) < 2:
        return None
    if model.drafter is None:
        wanted = ()
    short = {(form[0], form[1], form[2] if form[2] < len(prompt) else 0) for form in wanted}
    drafts = {variant_name(each): _along(model, prompt, answer, each, known) for each in sorted(short)}
    offers = {name: tuple(offered(name, prompt, answer, known.width)) for name in FREE}
    return Text(klass, id_, tuple(prompt), answer, offers, drafts)


def offered(name: str, prompt: Sequence[int], answer: Sequence[int], width: int) -> Iterator[Guessed]:
    """What a free source guesses behind each token of an answer but the last."""
    source = free(name, width)
    source.extend((*prompt, answer[0]))
    for token in answer[1:]:
        yield guessed(source.propose(width))
        source.extend([token])


def guessed(proposal: Proposal) -> Guessed:
    """A proposal as a trace has it."""
    parents = () if proposal.is_chain else tuple(parent + 1 for parent in proposal.parents)
    return Guessed(tuple(proposal.tokens), parents)


def _along(model: Model, prompt: Sequence[int], answer: Sequence[int], variant: Variant, known: About) -> Along:
    if model.drafter is None:
        raise ForetellError("there is no draft model to ask: give --draft")
    vocabulary, precision, last = variant
    read = prompt[-last:]
    with model.drafter.borrowed((vocabulary, precision)) as backend:
        session = backend.session()
        _check_fits(session, len(read) + len(answer) + known.steps, max((*read, *answer)))
        want = Want(_moved(known.sampling, len(prompt) - len(read)), known.top)
        sequence = session.open()
        try:
            for piece in _pieces(read, backend.piece_rows):
                session.step(Rows.chain(piece, sequence, ()), Want())
                session.commit(sequence, range(len(piece)))
            said: list[Said] = []
            for piece in _pieces(answer, min(ROWS, backend.piece_rows)):
                said += _said(session.step(Rows.chain(piece, sequence), want))
                session.commit(sequence, range(len(piece)))
            wrong = [i for i, each in enumerate(said) if i + 1 == len(answer) or each.token != answer[i + 1]]
            tails: dict[int, Sayings] = {}
            for group in _pieces(wrong, COPIES):
                places = [len(read) + i + 1 for i in group]
                starts = [said[i].token for i in group]
                found = _tails(session, sequence, places, starts, known.steps - 1, want)
                tails |= {i: Sayings.of(tail) for i, tail in zip(group, found, strict=True)}
        finally:
            session.close(sequence)
    return Along(Sayings.of(said), tails)


def _tails(
    session: Session, sequence: int, places: Sequence[int], starts: Sequence[int], steps: int, want: Want
) -> list[list[Said]]:
    """How the model goes on by itself, `steps` tokens behind each of these places and a token there."""
    out: list[list[Said]] = [[] for _ in places]
    copies: list[int] = []
    try:
        for place in places:
            copies.append(session.fork(sequence))
            session.rewind(copies[-1], place)
        unread = list(starts)
        for _ in range(steps):
            rows = Rows(unread, [ROOT] * len(copies), copies, range(len(copies)))
            said = _said(session.step(rows, want))
            for row, copy in enumerate(copies):
                session.commit(copy, (row,))
                out[row].append(said[row])
            unread = [each.token for each in said]
    finally:
        for copy in copies:
            session.close(copy)
    return out


def _said(scores: Scores) -> list[Said]:
    return [
        Said(token, float(logprob), tuple(zip(ids.tolist(), logprobs.tolist(), strict=True)))
        for token, logprob, ids, logprobs in zip(
            scores.chosen, scores.logprobs, scores.top_tokens, scores.top_logprobs, strict=True
        )
    ]


def _moved(sampling: Sampling, by: int) -> Sampling:
    """The same draws for a model that does not read the text's first tokens."""
    return sampling if sampling == GREEDY else replace(sampling, seed=shifted(sampling.seed, by))


def _check_fits(session: Session, tokens: int, largest: int) -> None:
    if tokens > session.context or largest >= session.vocabulary:
        raise ForetellError(
            f"the draft model cannot read a text of {tokens} tokens with its context of {session.context} and "
            f"{session.vocabulary} token ids: leave the prompt out, or load with a larger --context"
        )


def _pieces(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
