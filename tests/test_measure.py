"""What a profile counts, against generations that really ran."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.accept.proposal import Guess, Proposal
from foretell.accept.sampling import GREEDY
from foretell.backend.protocol import Session
from foretell.backend.toy import ToyBackend, ToyModel, ToySession
from foretell.draft.reader import Reader
from foretell.draft.source import Source
from foretell.draft.sources import make
from foretell.engine.native import NativeModel
from foretell.ir.ops import Accept, Commit, Draft, Pipeline, Verify
from foretell.profile.counts import WIDTHS, Rounds
from foretell.profile.prompts import Prompt
from foretell.runtime import measure_draft, measure_sources
from foretell.runtime.bind import bind
from foretell.runtime.context import Context
from foretell.runtime.drafter import Drafter
from foretell.runtime.loop import Request, Stream
from foretell.runtime.measure import measure
from foretell.runtime.measure_overhead import overhead
from foretell.runtime.measure_plan import QUICK, Plan
from foretell.runtime.measure_rounds import Offer, chains, counted, labels, offer
from foretell.runtime.measure_text import PromptTimes, Text, encoded, write
from tiny import Zoo

TARGET = ToyBackend(ToyModel(echo=5.0))
DRAFT = ToyBackend(ToyModel(order=2, echo=6.0))
SENTENCE = b"to be or not to be, that is the question. to be or"
ENDS = frozenset({256})


class Silent:
    """A detokeniser for ids without text."""

    def push(self, token: int) -> str:
        return ""


def really(
    session: Session,
    prompt: Sequence[int],
    limit: int,
    statement: Draft,
    source: Callable[[], Source],
    ends: frozenset[int] = frozenset(),
) -> tuple[list[int], list[bool], int]:
    """A generation's tokens, which of them were guesses, and how many guesses there were."""
    pipeline = Pipeline("p", (statement, Verify("v", "g"), Accept("a", "v"), Commit("a")))
    context = Context(session)
    stream = Stream(Request(prompt, limit, end_ids=ends), context, Silent(), bind(pipeline, lambda _: source(), GREEDY))
    events = list(stream)
    context.close()
    return [each.token for each in events], [each.source != "target" for each in events], stream.result.guessed


def text_of(session: Session, prompt: Sequence[int], limit: int, ends: frozenset[int] = frozenset()) -> Text:
    """What the target says by itself."""
    sequence, answer = Context(session), list[int]()
    stream = Stream(
        Request(prompt, limit, end_ids=ends),
        sequence,
        Silent(),
        bind(Pipeline("p", (Verify("v"), Accept("a", "v"), Commit("a"))), lambda _: pytest.fail("no source"), GREEDY),
    )
    answer = [each.token for each in stream]
    sequence.close()
    if stream.result.finish == "stop":
        answer.append(next(iter(ends)))
    return Text("kind", tuple(prompt), tuple(answer), limit)


def assert_replayed(
    session: Session, text: Text, offers: list[Offer], draft: Draft, source: Callable[[], Source]
) -> None:
    """The rounds that were played on paper are those that run."""
    ends = ENDS if 256 in text.answer else frozenset()
    tokens, guessed, guesses = really(session, text.prompt, text.limit, draft, source, ends)
    shown = [token for token in text.answer if token not in ends]
    assert tokens == shown
    assert guessed == labels(offers, draft.width, text.limit)[: len(shown)]
    rounds = counted(offers, draft.width, text.limit)
    assert rounds.guesses == guesses
    assert sum(rounds.hits) == sum(labels(offers, draft.width, text.limit))


@pytest.mark.parametrize("name", measure_sources.SOURCES)
@given(
    echo=st.sampled_from([0.0, 3.0, 5.0, 9.0]),
    prompt=st.integers(1, 3).flatmap(lambda n: st.lists(st.integers(97, 97 + n), min_size=1, max_size=30)),
    width=st.integers(1, 16),
    limit=st.integers(1, 60),
)
@settings(deadline=None)
def test_replayed_free_sources_have_accepted_what_real_ones_do(
    name: str, echo: float, prompt: list[int], width: int, limit: int
) -> None:
    session = ToySession(ToyModel(echo=echo), 4096)
    text = text_of(session, prompt, limit, ENDS)
    offers = measure_sources.replay(name, text).offers
    draft = Draft("g", name, width=width)
    assert_replayed(session, text, offers, draft, lambda: make(draft, GREEDY, session.vocabulary))


@given(
    order=st.integers(1, 3),
    echo=st.sampled_from([0.0, 5.0, 6.0]),
    repeats=st.integers(1, 3),
    prompt=st.integers(0, 60),
    width=st.integers(1, 16),
    limit=st.integers(1, 60),
)
@settings(deadline=None)
def test_a_draft_model_that_was_forced_has_accepted_what_a_real_one_does(
    order: int, echo: float, repeats: int, prompt: int, width: int, limit: int
) -> None:
    session, small = ToySession(ToyModel(echo=5.0), 4096), ToySession(ToyModel(order=order, echo=echo), 4096)
    text = text_of(session, SENTENCE * repeats, limit, ENDS)
    (seen,) = measure_draft.force(small, text, piece_rows=16, prompt=prompt)
    draft = Draft("g", "model", width=width, law="coupled", of="draft", prompt=prompt)
    reader = Reader(small, 16)
    assert_replayed(
        session, text, chains(seen.right, 16), draft, lambda: make(draft, GREEDY, session.vocabulary, reader=reader)
    )


@pytest.mark.parametrize("width", [1, 4, 8])
@pytest.mark.parametrize("keep", [None, 200])
def test_native_models_in_each_form(zoo: Zoo, cache_dir: Path, width: int, keep: int | None) -> None:
    target = zoo.load("qwen2")
    load = partial(NativeModel.load, zoo.path("qwen2"), cache_dir=cache_dir, digest="tiny-qwen2", beside=target)
    random = Random(7)
    text = text_of(target.session(), [random.randrange(300) for _ in range(40)], 40)
    form = cheap = load(precision="Q4_0")
    ids = None
    if keep is not None:
        form = load(precision="Q4_0", keep=range(keep))
        ids = measure_draft.can_say(form.session())
        assert ids is not None
        assert ids.tolist() == list(range(keep))
    assert measure_draft.can_say(cheap.session()) is None
    whole, cut = measure_draft.force(cheap.session(), text, piece_rows=16, kept=(None, ids))
    (again,) = measure_draft.force(form.session(), text, piece_rows=64)
    assert cut.right == again.right, "a cut vocabulary leaves the other scores as they are"
    np.testing.assert_allclose(cut.doubts, again.doubts, atol=1e-5)
    np.testing.assert_allclose(cut.entropies, again.entropies, atol=1e-4)
    assert 0 < sum(whole.right) < len(whole.right)
    draft = Draft("g", "model", width=width, law="coupled", of="draft")
    reader = Reader(form.session(), 16)
    assert_replayed(
        target.session(), text, chains(cut.right, 16), draft, lambda: make(draft, GREEDY, 301, reader=reader)
    )
    for name in measure_sources.SOURCES:
        offers = measure_sources.replay(name, text).offers
        free = Draft("g", name, width=width)
        assert_replayed(target.session(), text, offers, free, lambda free=free: make(free, GREEDY, 301))  # type: ignore[misc]
    for each in {form, cheap}:
        each.close()


def test_answers_written_together_are_those_written_alone() -> None:
    prompts = [Prompt("kind", text) for text in ("a", "to be or not to be", "abc abc abc", "x" * 90, "long" * 2000)]
    for together in (1, 2, 8):
        texts = write(TARGET, prompts, tokens=40, together=together, times=PromptTimes())
        assert [each.prompt for each in texts] == [tuple(encoded(TARGET, each.text)) for each in prompts[:4]]
        assert [each.answer for each in texts] == [
            text_of(TARGET.session(), each.prompt, 40, ENDS).answer for each in texts
        ]
    assert {len(each.answer) for each in texts} > {40}, "one ends by itself, one is cut off"


def test_counts_of_a_scripted_text() -> None:
    # 1 2 3 | 1: then 2 3 1 2 9 comes. Lookup copies 2 3 1 2 3: the first round has four right and one wrong.
    text = Text("kind", (1, 2, 3), (1, 2, 3, 1, 2, 9), 100)
    replayed = measure_sources.replay("lookup", text)
    assert [len(each.right) for each in replayed.offers] == [4, 3, 2, 1, 0]
    counts = measure_sources.count(replayed, text.limit)
    assert counts.rounds[8] == Rounds(1, 1, 8, 8, (1, 1, 1, 1, 1, 0, 0, 0), (1, 1, 1, 1, 0, 0, 0, 0))
    # Rounds of two: 2 3 and the target's 1; then 2 is right and 3 is wrong, the target says 9.
    assert counts.rounds[2] == Rounds(2, 2, 4, 4, (2, 2), (2, 1))
    assert counts.rounds[1] == Rounds(3, 3, 3, 3, (3,), (2,))
    # Matches grow from 1 to 5 tokens (class 4 begins at 4); the last guess is wrong.
    assert {n: (each.guesses, each.right) for n, each in counts.matches.items()} == {
        1: (1, 1),
        2: (1, 1),
        3: (1, 1),
        4: (2, 1),
    }


def test_offers_of_trees() -> None:
    tree = Proposal((Guess(5, -1, "s"), Guess(6, -1, "s"), Guess(7, 1, "s"), Guess(8, 0, "s")))
    assert offer(tree, [6, 7, 9]) == Offer([1, 1, 2, 2], [1, 2])
    narrow = counted([offer(tree, [6, 7, 9]), Offer(), Offer()], 2, 100)
    assert narrow == Rounds(2, 1, 2, 1, (1, 1), (1, 0)), "two guesses of one level, the second of them right"


def test_a_pair_of_toys_end_to_end() -> None:
    ticks: list[tuple[int, int]] = []
    drafter = Drafter(lambda _: DRAFT, lambda _: {1: 1.0})
    profile = measure(TARGET, drafter, QUICK, progress=lambda _, done, total: ticks.append((done, total)))
    counts = profile.counts
    assert profile.how == "quick"
    assert (profile.keys.target, profile.keys.draft) == ("toy", "toy")
    assert profile.target.costs == {1: 1.0, 8: 1.0}
    assert set(profile.drafts) == set(counts.forms) == {"whole"}, "toys have no other forms"
    assert counts.answers == 8
    assert counts.tokens == sum(counts.frequencies.values()) > 200
    assert counts.forms["whole"].places == counts.tokens - counts.answers
    for counted_ in (*counts.forms.values(), *counts.sources.values()):
        assert set(counted_.rounds) == set(WIDTHS)
        for rounds in counted_.rounds.values():
            assert rounds.rounds + sum(rounds.hits) in range(counts.tokens - 2 * counts.answers, counts.tokens)
            assert all(a >= b for a, b in pairwise(rounds.trials))
    places = counts.overlap
    assert places.both + places.draft <= counts.forms["whole"].right
    assert places.both + places.lookup == sum(each.right for each in counts.sources["lookup"].matches.values())
    assert {done <= total for done, total in ticks} == {True}
    assert ticks[-1][0] == ticks[-1][1]
    again = measure(TARGET, drafter, QUICK)
    assert {kind: each.forms for kind, each in again.kinds.items()} == {
        kind: each.forms for kind, each in profile.kinds.items()
    }


def test_own_prompts_and_their_kinds() -> None:
    prompts = (Prompt("mine", "abc abc"), Prompt("mine", "abc"), Prompt("yours", "to be or not to be"))
    profile = measure(TARGET, None, QUICK, prompts)
    assert {kind: each.answers for kind, each in profile.kinds.items()} == {"mine": 2, "yours": 1}
    assert profile.drafts == {}
    assert profile.counts.sources["lookup"].proposal is not None
    nothing = measure(ToyBackend(context=8), None, QUICK)
    assert nothing.kinds == {}, "no prompt fits"


def test_a_draft_that_cannot_read_a_text_is_not_judged_by_it() -> None:
    text = Text("kind", (97, 98, 259), (97, 98, 99), 8)
    assert measure_draft.force(ToySession(ToyModel(vocabulary=256), 64), text, piece_rows=8) == []
    assert measure_draft.force(ToySession(ToyModel(), 4), text, piece_rows=8) == []
    assert len(measure_draft.force(ToySession(ToyModel(), 4), text, piece_rows=8, prompt=2)) == 1


def test_shorter_prompts_are_counted_for_longer_ones_only() -> None:
    plan = Plan("test", 1, rounds=1, tokens=20, prompts=(64, 400))
    counts = measure(TARGET, Drafter(lambda _: DRAFT, lambda _: {}), plan).counts
    assert counts.prompts[64].places > counts.prompts[400].places > 0
    assert counts.prompts[64].whole_right <= counts.forms["whole"].right


def test_overhead_is_what_is_not_in_passes() -> None:
    spread = overhead(TARGET, list(SENTENCE), rounds=8)
    assert spread is not None
    assert spread.count >= 1
    assert spread.least_ms > 0
    assert overhead(ToyBackend(context=len(SENTENCE) + 1), list(SENTENCE), rounds=8) is None


def test_a_slow_machine_measures_less() -> None:
    hurried = measure(TARGET, Drafter(lambda _: DRAFT, lambda _: {}), replace(QUICK, limit_s=1e-9))
    assert hurried.how == "hurried"
    assert hurried.counts.answers == 4
    assert hurried.counts.tokens <= 4 * 24
    assert hurried.counts.forms["whole"].places == hurried.counts.tokens - 4
    assert hurried.drafts["whole"].costs == {1: 1.0, 8: 1.0}
