"""The native draft model's cache through rejections, rounds without it and new prompts, against one that starts afresh.

`test_draft_model` has the same on the toy with every option; here keys and values are real, and every bit of q counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.accept.chance import KeyedChance
from foretell.accept.proposal import Proposal
from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.protocol import Session
from foretell.draft.model import ModelSource
from foretell.draft.reader import Reader
from foretell.draft.sources import make
from foretell.ir.ops import Draft
from test_draft_model import assert_same, follow
from tiny import Zoo

TOKENS = st.integers(0, 255)
WARM = Sampling(temperature=0.9, top_k=50, top_p=0.97, seed=11)
PENALISED = Sampling(temperature=0.9, repeat_penalty=1.2, seed=5, logit_bias=((7, 2.0), (40, -3.0)))
STATEMENTS = [
    Draft("g", "model", of="small", width=5, law="coupled"),
    Draft("g", "model", of="small", width=4, law="point", stop=0.05),
    Draft("g", "model", of="small", width=6, law="coupled", siblings=2, doubt=0.5),
    Draft("g", "model", of="small", width=5, law="coupled", inner="lookup"),
    Draft("g", "model", of="small", width=4, law="sampled", stop=0.02),
    Draft("g", "model", of="small", width=5, law="coupled", prompt=6),
]


@dataclass(frozen=True)
class Turn:
    """Rounds of which the first is drafted for and the others, `off` tokens long, are not.

    limit: most guesses. ranks: which way they are followed; bonus: what comes then.
    """

    limit: int
    ranks: list[int]
    bonus: int
    off: list[int]


TURNS = st.builds(
    Turn,
    limit=st.integers(1, 7),
    ranks=st.lists(st.sampled_from((0, 0, 0, 0, 1)), max_size=6),
    bonus=TOKENS,
    off=st.one_of(st.just([]), st.lists(TOKENS, max_size=3), st.lists(TOKENS, min_size=15, max_size=30)),
)
GENERATIONS = st.lists(
    st.tuples(st.lists(TOKENS, min_size=1, max_size=25), st.lists(TURNS, min_size=1, max_size=4)),
    min_size=1,
    max_size=3,
)


def afresh(
    session: Session,
    statement: Draft,
    sampling: Sampling,
    prompt: Sequence[int],
    later: Sequence[int],
    turn: int,
    limit: int,
) -> Proposal:
    """The guesses of a source that never guessed before."""
    reader = Reader(session, 128)
    source = make(statement, sampling, session.vocabulary, reader=reader)
    assert isinstance(source, ModelSource)
    source._chances = lambda _: KeyedChance(sampling.seed, turn)
    source.extend(prompt)
    if later:
        source.extend(later)
    proposal = source.propose(limit)
    source.close()
    reader.close()
    return proposal


@pytest.mark.parametrize("statement", STATEMENTS, ids=range(len(STATEMENTS)))
@settings(max_examples=25, deadline=None)
@given(
    sampling=st.sampled_from([GREEDY, WARM, PENALISED]),
    generations=GENERATIONS,
    share=st.integers(0, 10),
    piece_rows=st.sampled_from((3, 16, 128)),
)
def test_any_history_gives_the_guesses_of_a_fresh_draft(
    zoo: Zoo,
    statement: Draft,
    sampling: Sampling,
    generations: list[tuple[list[int], list[Turn]]],
    share: int,
    piece_rows: int,
) -> None:
    """share: how many tokens a prompt takes over from the text before it, as a conversation does."""
    model = zoo.load("qwen2")
    session, other = model.session(), model.session()
    reader, text = Reader(session, piece_rows), list[int]()
    for words, turns in generations:
        prompt = [*text[:share], *words]
        text = list(prompt)
        source = make(statement, sampling, session.vocabulary, reader=reader)
        source.extend(prompt)
        for number, turn in enumerate(turns):
            later = text[len(prompt) :]
            expected = afresh(other, statement, sampling, prompt, later, number, turn.limit)
            proposal = source.propose(turn.limit)
            assert_same(proposal, expected)
            assert len(proposal) <= turn.limit
            rounds = [[*follow(proposal, turn.ranks), turn.bonus], *([token] for token in turn.off)]
            for new in rounds:
                source.extend(new)
                text += new
        source.close()
    assert np.array_equal(reader.text, text)
    reader.close()
