"""Drafts in one native call against the same passes one by one (`draft_by_steps`): equal bits, the same commitments."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.protocol import Rows, Scores, Want, draft_by_steps
from foretell.engine import drafts
from foretell.engine.layout import PAGE
from foretell.engine.native import NativeModel
from foretell.engine.session import NativeSession
from foretell.errors import ForetellError
from test_engine_invariance import LENGTH, TEXT, THREADS, TOKEN, everywhere, few
from tiny import ISAS, LOGITS, Zoo, committed, tokens

SAMPLINGS = st.sampled_from(
    [
        GREEDY,
        GREEDY,
        Sampling(temperature=1.0, seed=2**64 - 1),
        Sampling(temperature=0.7, top_k=9, seed=3),
        Sampling(temperature=1.3, top_k=40, top_p=0.8, min_p=0.01, seed=2**63),
        Sampling(repeat_penalty=1.4),
        Sampling(temperature=0.9, top_p=0.9, repeat_penalty=1.2, seed=8, logit_bias=((3, 1.5), (40, -2.0))),
    ]
)


@dataclass(frozen=True)
class Chain:
    """A draft, and how many of its tokens turn out right. doubt: which step's chance, and whether a little more."""

    unread: list[int]
    steps: int
    sampling: Sampling
    stop: tuple[int, bool] | None
    reach: tuple[int, bool] | None
    kept: int
    bonus: int


DOUBT = st.none() | st.tuples(st.integers(0, 6), st.booleans())
CHAINS = st.builds(
    Chain,
    unread=st.lists(TOKEN, min_size=1, max_size=4) | st.just(tokens(7, 30)),
    steps=st.sampled_from([1, 2, 5, 17]),
    sampling=SAMPLINGS,
    stop=DOUBT,
    reach=DOUBT,
    kept=st.integers(0, 17),
    bonus=TOKEN,
)


def assert_same(ours: Scores, theirs: Scores) -> None:
    for name in ("tokens", "logprobs", "top_tokens", "top_logprobs"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == other.dtype
        assert mine.shape == other.shape
        assert mine.tobytes() == other.tobytes(), name
    assert (ours.logits is None) == (theirs.logits is None)


def limits(chain: Chain, chances: list[float]) -> tuple[float, float]:
    """Bounds that are just reached, or just missed, at some step; probabilities of tiny models are all alike."""
    products = np.cumprod(np.array(chances)).tolist()

    def limit(of: list[float], place: tuple[int, bool] | None) -> float:
        if place is None:
            return 0.0
        chance = of[min(place[0], len(of) - 1)]
        return math.nextafter(chance, 2.0) if place[1] else chance

    return limit(chances, chain.stop), limit(products, chain.reach)


def check(session: NativeSession, other: NativeSession, at: tuple[int, int], chain: Chain) -> Scores:
    """One draft of each session; they hold the same."""
    want = Want(chain.sampling, top=1)
    before = other.length(at[1])
    whole = draft_by_steps(other, at[1], chain.unread, chain.steps, want, 0.0, 0.0)
    stop, reach = limits(chain, [math.exp(each) for each in whole.logprobs.tolist()])
    other.rewind(at[1], before)
    expected = draft_by_steps(other, at[1], chain.unread, chain.steps, want, stop, reach)
    found = session.draft(at[0], chain.unread, chain.steps, want, stop, reach)
    assert_same(found, expected)
    assert session.length(at[0]) == other.length(at[1]) == before + len(chain.unread) + len(found.tokens) - 1
    if not stop and not reach:
        session.rewind(at[0], before)
        tokens_alone = session.draft(at[0], chain.unread, chain.steps, replace(want, top=0))
        assert tokens_alone.tokens.tolist() == expected.tokens.tolist()
    return found


@everywhere
@few
@given(length=LENGTH, chains=st.lists(CHAINS, min_size=1, max_size=4), threads=st.sampled_from(THREADS))
def test_a_draft_is_its_steps(
    zoo: Zoo, name: str, instructions: str, length: int, chains: list[Chain], threads: int
) -> None:
    """Round after round, with rejections: some of a draft are kept, then comes another token."""
    session, other = (zoo.load(name, instructions, count).session() for count in (threads, 1))
    at = committed(session, TEXT[:length]), committed(other, TEXT[:length])
    held, unread = TEXT[:length], list[int]()
    for each in chains:
        chain = replace(each, unread=[*unread, *each.unread])
        found = check(session, other, at, chain).tokens.tolist()
        held = [*held, *chain.unread, *found[: each.kept]]
        rest = session.length(at[0])
        unread = held[rest:]
        session.rewind(at[0], min(rest, len(held)))
        other.rewind(at[1], min(rest, len(held)))
        held = held[:rest]
        unread = [*unread, each.bonus]
    truth = zoo.truth(name, instructions)
    scores = session.step(Rows.chain(unread, at[0], [len(unread) - 1]), LOGITS)
    assert scores.logits is not None
    assert scores.logits[0].tobytes() == truth.of([*held, *unread])


FORMS = {"cut": {"keep": range(20, 90)}, "lowered": {"precision": "Q4_0"}, "both": {"keep": [7], "precision": "Q4_K"}}


@pytest.fixture(scope="module", params=[(form, isa) for form in FORMS for isa in ISAS], ids="-".join)
def approximated(request: pytest.FixtureRequest, zoo: Zoo, cache_dir: Path) -> Iterator[NativeModel]:
    form, isa = request.param
    model = NativeModel.load(
        zoo.path("qwen2"), threads=1, isa=isa, context=PAGE + 9, cache_dir=cache_dir, digest="tiny-qwen2", **FORMS[form]
    )
    yield model
    model.close()


@few
@given(length=st.integers(0, 40) | st.integers(PAGE - 12, PAGE - 1), chain=CHAINS)
def test_drafts_of_approximated_models(approximated: NativeModel, length: int, chain: Chain) -> None:
    """Up to the end of the context, where a draft may read the last token and no more."""
    session, other = approximated.session(), approximated.session()
    at = committed(session, TEXT[:length]), committed(other, TEXT[:length])
    room = session.context - length
    unread = chain.unread[: room - 1] or chain.unread[:1]
    found = check(session, other, at, replace(chain, unread=unread, steps=min(chain.steps, room - len(unread) + 1)))
    if approximated.keep is not None:
        assert set(found.tokens.tolist()) <= set(approximated.keep.tolist())


def test_a_draft_beyond_the_context_is_refused(zoo: Zoo, cache_dir: Path) -> None:
    model = NativeModel.load(zoo.path("qwen2"), threads=1, context=20, cache_dir=cache_dir, digest="tiny-qwen2")
    session = model.session()
    sequence = committed(session, TEXT[:15])
    with pytest.raises(ForetellError, match="a draft of 5 steps goes beyond the 20 tokens of the context"):
        session.draft(sequence, [1, 2], 5, Want())
    with pytest.raises(ForetellError, match="the text would be 21 tokens long; this model was loaded with room for 20"):
        session.draft(sequence, [1] * 6, 5, Want())
    assert session.length(sequence) == 15
    assert len(session.draft(sequence, [1, 2], 4, Want()).tokens) == 4
    assert session.length(sequence) == 20
    model.close()


def test_wrong_drafts(tiny_model: NativeModel) -> None:
    session = tiny_model.session()
    with pytest.raises(ForetellError, match="there is no sequence 0"):
        session.draft(0, [1], 1, Want())
    sequence = session.open()
    with pytest.raises(ForetellError, match="a pass needs at least one row"):
        session.draft(sequence, [], 1, Want())
    with pytest.raises(ForetellError, match="row 0 has token -1; the vocabulary has"):
        session.draft(sequence, [-1], 1, Want())
    with pytest.raises(ForetellError, match="a draft of 0 steps was asked for"):
        session.draft(sequence, [1], 0, Want())
    with pytest.raises(ForetellError, match="needs probabilities"):
        session.draft(sequence, [1], 3, Want(), stop=0.5)
    assert session.length(sequence) == 0
    session.step(Rows.chain([1], sequence), Want())
    session.draft(sequence, [1], 2, Want())
    with pytest.raises(ForetellError, match="nothing to commit"):  # a draft discards a step, and commits by itself
        session.commit(sequence, [0])


@pytest.mark.parametrize(
    "want",
    [Want(top=3), Want(top=1, logits=True)],
    ids=["alternatives", "logits"],
)
def test_what_native_code_cannot_go_on_from_runs_by_steps(tiny_model: NativeModel, want: Want) -> None:
    session, other = tiny_model.session(), tiny_model.session()
    at = committed(session, TEXT[:9]), committed(other, TEXT[:9])
    assert not drafts.is_native(want, 4, 0.0, 0.0)
    assert_same(session.draft(at[0], [5], 4, want), draft_by_steps(other, at[1], [5], 4, want, 0.0, 0.0))


@pytest.mark.parametrize("calls", [0, 1, 7, 30])
@pytest.mark.parametrize("threads", THREADS)
def test_an_interrupted_draft_commits_nothing(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, calls: int, threads: int
) -> None:
    model = zoo.load("qwen2", threads=threads)
    session, other = model.session(), zoo.load("qwen2").session()
    at = committed(session, TEXT[: PAGE - 2]), committed(other, TEXT[: PAGE - 2])
    shared, count = model.team._shared, 0
    go_on = shared.continue_pass

    def interrupted(*args: int) -> None:
        nonlocal count
        count += 1
        if count == calls + 1:
            raise KeyboardInterrupt
        go_on(*args)

    with monkeypatch.context() as patch:
        patch.setattr(model.team, "_limits", {1: 16})
        patch.setattr(shared, "continue_pass", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.draft(at[0], [5], 100, Want(top=1))
    assert session.length(at[0]) == PAGE - 2
    want = Want(top=1)
    assert_same(session.draft(at[0], [5], 6, want), draft_by_steps(other, at[1], [5], 6, want, 0.0, 0.0))
