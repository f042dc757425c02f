"""Draft models: their guesses are those of a draft that starts afresh each round, whatever happened before."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.accept.chance import KeyedChance
from foretell.accept.distribution import distribution
from foretell.accept.noise import row_key, shifted
from foretell.accept.proposal import ROOT, Proposal, Weights
from foretell.accept.rule import Chance
from foretell.accept.sampling import GREEDY, Sampling
from foretell.accept.warpers import choose
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import VOCABULARY, ToyModel, ToySession
from foretell.draft.drawn import Drawn
from foretell.draft.likely import Likely
from foretell.draft.model import ModelSource
from foretell.draft.reader import Reader
from foretell.draft.sources import free, make
from foretell.draft.staged import LEAST, MOST, ahead
from foretell.ir.ops import Draft

MODEL = ToyModel(echo=4.0)
WARM = Sampling(temperature=0.8, top_k=30, top_p=0.95, repeat_penalty=1.1, seed=5)
TOKENS = st.integers(97, 103)


class Unsteady(ToySession):
    """A session in which Ctrl-C may come; counts rows."""

    def __init__(self, context: int = 512) -> None:
        super().__init__(MODEL, context)
        self.trouble: str | None = None
        self.rows = 0

    def step(self, rows: Rows, want: Want) -> Scores:
        self._trouble("step")
        self.rows += len(rows.tokens)
        return super().step(rows, want)

    def commit(self, sequence: int, path: Sequence[int]) -> None:
        self._trouble("before")
        super().commit(sequence, path)
        self._trouble("after")

    def _trouble(self, when: str) -> None:
        if self.trouble == when:
            self.trouble = None
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Round:
    """How many guesses are asked for (0: switched off), which way they are followed, what comes then, and Ctrl-C."""

    limit: int
    follow: list[int]
    bonus: list[int]
    trouble: str | None


ROUNDS = st.lists(
    st.builds(
        Round,
        limit=st.integers(0, 9),
        follow=st.lists(st.sampled_from((0, 0, 0, 1, 2)), max_size=9),
        bonus=st.lists(TOKENS, min_size=1, max_size=3),
        trouble=st.sampled_from((None, None, None, "step", "before", "after")),
    ),
    min_size=1,
    max_size=7,
)
STATEMENTS = st.builds(
    Draft,
    name=st.just("g"),
    source=st.just("model"),
    of=st.just("small"),
    width=st.integers(1, 8),
    law=st.sampled_from(("point", "coupled", "sampled", "without_replacement")),
    siblings=st.integers(0, 3),
    doubt=st.sampled_from((0.0, 0.3, 0.9)),
    stop=st.sampled_from((0.0, 0.1, 0.5)),
    inner=st.sampled_from(("", "lookup", "recycled", "copy")),
)


def reader_of(session: ToySession | None = None, piece_rows: int = 5) -> Reader:
    return Reader(session or ToySession(MODEL, 512), piece_rows)


def fresh(statement: Draft, sampling: Sampling, text: Sequence[int], turn: int, limit: int) -> Proposal:
    """The guesses of a source that was told the text at once."""
    source = make(statement, sampling, VOCABULARY, reader=reader_of())
    assert isinstance(source, ModelSource)
    source._chances = lambda _: KeyedChance(sampling.seed, turn)
    source.extend(text)
    return source.propose(limit)


def assert_same(ours: Proposal, theirs: Proposal) -> None:
    """Equal, q included."""
    assert [each._replace(q=None) for each in ours.guesses] == [each._replace(q=None) for each in theirs.guesses]
    for mine, other in zip(ours.guesses, theirs.guesses, strict=True):
        assert np.array_equal(mine.q, other.q) if mine.q is not None else other.q is None  # type: ignore[arg-type]


def follow(proposal: Proposal, ranks: Sequence[int]) -> list[int]:
    """Tokens of a path through the proposal."""
    node, tokens = ROOT, []
    for rank in ranks:
        children = proposal.children(node)
        if rank >= len(children):
            break
        node = children[rank]
        tokens.append(proposal.guesses[node].token)
    return tokens


@settings(max_examples=250, deadline=None)
@given(
    statement=STATEMENTS,
    warm=st.booleans(),
    prompt=st.lists(TOKENS, min_size=1, max_size=30),
    rounds=ROUNDS,
    piece_rows=st.sampled_from((1, 4, 100)),
)
def test_any_history_gives_the_guesses_of_a_fresh_draft(
    statement: Draft, warm: bool, prompt: list[int], rounds: list[Round], piece_rows: int
) -> None:
    sampling, session = WARM if warm else GREEDY, Unsteady()
    source = make(statement, sampling, VOCABULARY, reader=reader_of(session, piece_rows))
    text = [*prompt, 97]
    source.extend(text)
    for each in rounds:
        proposal = Proposal()
        if each.limit:
            session.trouble = each.trouble
            try:
                proposal = source.propose(each.limit)
            except KeyboardInterrupt:
                continue
            session.trouble = None
            expected = fresh(statement, sampling, text, source._proposals - 1, each.limit)  # type: ignore[attr-defined]
            assert_same(proposal, expected)
        new = [*follow(proposal, each.follow), *each.bonus]
        source.extend(new)
        text += new
    source.close()


@settings(max_examples=100, deadline=None)
@given(statement=STATEMENTS, warm=st.booleans(), prompt=st.lists(TOKENS, min_size=1, max_size=40))
def test_staged_guesses_are_the_same(statement: Draft, warm: bool, prompt: list[int]) -> None:
    sampling = WARM if warm else GREEDY
    plain = fresh(replace(statement, inner=""), sampling, prompt, 0, 9)
    assert_same(fresh(statement, sampling, prompt, 0, 9), plain)


def alone(text: list[int], sampling: Sampling, count: int) -> list[int]:
    """What the toy says after a text, one token after the other."""
    out = list(text)
    for _ in range(count):
        out.append(choose(MODEL.logits(out), out, len(out), sampling))
    return out[len(text) :]


@settings(max_examples=50, deadline=None)
@given(prompt=st.lists(TOKENS, min_size=1, max_size=40), inner=st.sampled_from(("", "lookup", "recycled")))
def test_chains_of_point_and_coupled_are_what_the_model_would_say(prompt: list[int], inner: str) -> None:
    coupled = Draft("g", "model", width=6, law="coupled", of="small", inner=inner)
    assert fresh(coupled, WARM, prompt, 0, 9).tokens == alone(prompt, WARM, 6)
    assert fresh(coupled, GREEDY, prompt, 0, 9).tokens == alone(prompt, GREEDY, 6)
    point = replace(coupled, law="point")
    assert fresh(point, WARM, prompt, 0, 9).tokens == alone(prompt, replace(WARM, temperature=0.0), 6)


def test_staging_saves_passes_where_the_text_repeats_itself() -> None:
    passes = {}
    for inner in ("", "lookup"):
        reader = reader_of()
        source = make(Draft("g", "model", of="small", inner=inner), GREEDY, VOCABULARY, reader=reader)
        text = list(b"the cat sat on the mat. the cat sat on the mat. the cat ")
        source.extend(text)
        for _ in range(6):
            source.extend([*source.propose(8).tokens, 97])
        passes[inner] = reader.passes
    assert passes[""] == 6 * 8
    assert passes["lookup"] <= passes[""] // 2


def test_what_is_read_ahead_and_right_is_not_read_again() -> None:
    text, session = list(b"some text"), Unsteady()
    reader = reader_of(session, 99)
    statement = Draft("g", "model", of="small", inner="copy", width=16)
    said = alone(text, GREEDY, 16)
    source = make(statement, GREEDY, VOCABULARY, reader=reader, reference=[text[-1], *said])
    source.extend(text)
    assert source.propose(16).tokens == said
    assert reader.passes == 2
    assert session.rows == len(text) + 15


@given(text=st.lists(TOKENS, min_size=1, max_size=40), room=st.integers(0, 20))
def test_only_guesses_that_may_pay_are_read_ahead(text: list[int], room: int) -> None:
    inner = free("recycled", 99)
    inner.extend(text)
    tried = ahead(inner, (), room)
    assert len(tried) <= min(MOST, room)
    for node, guess in enumerate(tried.guesses):
        assert ROOT <= guess.parent < node
        assert np.prod([tried.guesses[i].chance for i in tried.path(node)]) >= LEAST * 0.999


def test_nothing_is_read_before_guesses_are_asked_for() -> None:
    session = Unsteady()
    source = make(Draft("g", "model", of="small"), GREEDY, VOCABULARY, reader=reader_of(session))
    source.extend(list(b"a prompt of many tokens"))
    source.extend(list(b"and more"))
    assert session.rows == 0
    assert len(source.propose(1)) == 1
    assert session.rows == len(b"a prompt of many tokens" + b"and more")


def test_what_was_accepted_is_not_read_again_nor_is_a_prompt_that_begins_alike() -> None:
    session = Unsteady()
    reader = reader_of(session)
    text = list(b"a prompt of many tokens")
    for _ in range(2):
        source = make(Draft("g", "model", of="small", width=4), GREEDY, VOCABULARY, reader=reader)
        source.extend(text)
        session.rows = 0
        tokens = source.propose(4).tokens
    assert session.rows == 1 + 3  # the second time: the newest token, and three guesses
    session.rows = 0
    source.extend([*tokens, 97])
    source.propose(4)
    assert session.rows == 2 + 3  # the last guess and the bonus


def test_a_shortened_prompt_is_not_read_and_leaves_the_noise_in_place() -> None:
    """The toy looks at three tokens, so without echo what it says depends on the last ones and the position alone."""
    plain = ToyModel()
    sampling = Sampling(temperature=1.0, seed=2**64 - 3)
    text = list(b"a prompt of many tokens, of which the last ones count")
    found = []
    for prompt in (0, 10, 1000):
        session = ToySession(plain, 512)
        reader = Reader(session)
        statement = Draft("g", "model", of="small", law="coupled", prompt=prompt, siblings=2)
        source = make(statement, sampling, VOCABULARY, reader=reader)
        source.extend([*text, 97])
        found.append((source.propose(8), session.length(0)))
    (whole, all_rows), (short, few_rows), (long, _) = found
    assert whole == short == long
    assert few_rows == all_rows - len(text) + 10


@given(seed=st.integers(0, 2**64 - 1), by=st.integers(0, 10**6), position=st.integers(0, 10**6))
def test_shifted_seeds(seed: int, by: int, position: int) -> None:
    assert 0 <= shifted(seed, by) < 2**64
    assert row_key(shifted(seed, by), position) == row_key(seed, position + by)


@dataclass
class Script:
    """Chance that draws by a rule and notes what it was asked."""

    pick: Callable[[Weights], int]
    asked: list[tuple[str, int, Weights]] = field(default_factory=list)

    def coin(self, purpose: str, node: int, probability: Any) -> bool:
        raise AssertionError(f"a draft tossed a coin: {purpose} {node} {probability}")

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        self.asked.append((purpose, node, weights.copy()))
        return self.pick(weights)


def likeliest(weights: Weights) -> int:
    return int(np.argmax(weights))


def source_with(picker: Drawn | Likely, chance: Chance, width: int = 8, **options: Any) -> ModelSource:
    return ModelSource("small", reader_of(), picker, lambda _: chance, width=width, **options)


def test_drawn_guesses_carry_the_distribution_that_they_were_drawn_from() -> None:
    """The penalty is so large that a forgotten guess of the chain would show."""
    text, script, sampling = list(b"some text"), Script(likeliest), replace(WARM, repeat_penalty=3.0)
    source = source_with(Drawn("small", "sampled", sampling, VOCABULARY), script, 4)
    source.extend(text)
    proposal = source.propose(9)
    assert proposal.is_chain
    assert [node for _, node, _ in script.asked] == [0, 1, 2, 3]
    for guess, (_, _, weights) in zip(proposal.guesses, script.asked, strict=True):
        q = distribution(MODEL.logits(text), text, sampling)
        assert guess.q is not None
        assert np.array_equal(guess.q, q)
        assert np.array_equal(weights, q)
        assert guess.chance == q[guess.token]
        text.append(guess.token)


def test_siblings_are_drawn_without_those_before_them_and_carry_the_whole_distribution() -> None:
    script = Script(likeliest)
    source = source_with(Drawn("small", "without_replacement", WARM, VOCABULARY, siblings=2), script, 5)
    source.extend(list(b"some text"))
    proposal = source.propose(9)
    assert proposal.parents == [ROOT, ROOT, ROOT, 0, 0]
    assert [node for _, node, _ in script.asked] == [0, 1, 2, 3, 4]
    first = script.asked[0][2]
    for i in range(3):
        without = first.copy()
        without[proposal.tokens[:i]] = 0
        assert np.array_equal(script.asked[i][2], without)
        assert np.array_equal(proposal.guesses[i].q, first)  # type: ignore[arg-type]


def test_whether_siblings_are_drawn_does_not_depend_on_the_draw() -> None:
    """The least likely token is drawn each time: what was drawn looks doubtful, the distribution decides."""
    picker = Drawn("small", "without_replacement", replace(WARM, temperature=0.3), VOCABULARY, siblings=1, doubt=0.5)
    script = Script(lambda weights: int(np.flatnonzero(weights)[np.argmin(weights[weights > 0])]))
    source = source_with(picker, script, 12)
    source.extend(list(b"the cat, the cat, the c"))
    proposal = source.propose(12)
    flat = {guess.parent for guess in proposal.guesses if guess.q is not None and guess.q.max() < 0.5}
    assert 0 < len(flat) < len({guess.parent for guess in proposal.guesses})
    for node in {guess.parent for guess in proposal.guesses[:-1]}:
        assert len(proposal.children(node)) == 1 + (node in flat)


def test_siblings_end_when_nothing_is_left_to_draw() -> None:
    picker = Drawn("small", "without_replacement", replace(WARM, top_k=2), VOCABULARY, siblings=5)
    source = source_with(picker, Script(likeliest), 4)
    source.extend([97])
    assert len(source.propose(4).children(ROOT)) <= 2


def test_for_defer_guesses_say_how_sure_the_model_is() -> None:
    statement = Draft("g", "model", of="small", law="sampled", width=3)
    source = make(statement, GREEDY, VOCABULARY, reader=reader_of(), deferring=True)
    source.extend(list(b"some text"))
    proposal = source.propose(3)
    assert proposal.tokens == alone(list(b"some text"), GREEDY, 3)
    for guess in proposal.guesses:
        assert guess.q is not None
        assert guess.q.argmax() == guess.token
        assert guess.q.min() > 0
        assert guess.q.sum() == pytest.approx(1)


@pytest.mark.parametrize("law", ["point", "coupled"])
def test_siblings_stand_beside_doubtful_guesses_only(law: str) -> None:
    text = list(b"the cat sat on the m")
    chain = source_with(Likely("small", law, WARM, VOCABULARY), Script(likeliest), 12)
    chain.extend(text)
    chances = sorted(guess.chance for guess in chain.propose(12).guesses)
    sure = (chances[5] + chances[6]) / 2
    picker = Likely("small", law, WARM, VOCABULARY, siblings=2, doubt=1 - sure)
    source = source_with(picker, Script(likeliest), 24)
    source.extend(text)
    proposal = source.propose(24)
    mains = sorted({guess.parent for guess in proposal.guesses} - {ROOT})
    doubtful = {node: proposal.guesses[node].chance < sure for node in mains}
    assert set(doubtful.values()) == {True, False}
    for node in mains:
        family = proposal.children(proposal.guesses[node].parent)
        assert family[0] == node  # the chain goes on behind the first
        assert len(family) == (3 if doubtful[node] else 1)
        assert len({proposal.guesses[i].token for i in family}) == len(family)


@given(text=st.lists(TOKENS, min_size=1, max_size=20))
def test_coupled_siblings_come_next_in_the_same_draw(text: list[int]) -> None:
    """With no other warper: the siblings are what the model says when the tokens before them cannot be said."""
    sampling = Sampling(temperature=0.2, seed=8)
    source = source_with(Likely("small", "coupled", sampling, VOCABULARY, siblings=2), Script(likeliest), 3)
    source.extend(text)
    logits = MODEL.logits(text)
    for guess in source.propose(3).guesses:
        assert guess.token == choose(logits, text, len(text), sampling)
        logits[guess.token] = -1e9


def test_the_chain_ends_behind_a_guess_that_is_too_doubtful() -> None:
    statement = Draft("g", "model", of="small", law="point", width=40)
    text = list(b"the cat sat on the m")
    whole = fresh(statement, GREEDY, text, 0, 40)
    assert len(whole) == 40
    least = sorted(guess.chance for guess in whole.guesses)[10]
    first = next(i for i, guess in enumerate(whole.guesses) if guess.chance < least)
    assert fresh(replace(statement, stop=least), GREEDY, text, 0, 40).guesses == whole.guesses[: first + 1]


def test_the_chain_ends_where_it_becomes_unlikely_as_a_whole() -> None:
    """By `reach`; set for one proposal, and changed for the next."""
    source = source_with(Likely("small", "point", GREEDY, VOCABULARY), Script(likeliest), 20)
    source.extend(list(b"the cat sat on the m"))
    whole = source.propose(20).guesses
    products = np.cumprod([guess.chance for guess in whole]).tolist()
    for end in (1, 6, 13):
        source.reach = math.nextafter(products[end], 2.0)
        assert source.propose(20).guesses == whole[: end + 1]
        source.reach = products[end]
        assert source.propose(20).guesses == whole[: end + 2]


class Drafts(ToySession):
    """Counts drafts."""

    def __init__(self) -> None:
        super().__init__(MODEL, 512)
        self.drafts = 0

    def draft(self, *arguments: Any, **options: Any) -> Scores:
        self.drafts += 1
        return super().draft(*arguments, **options)


@pytest.mark.parametrize(
    ("statement", "drafts"),
    [
        (Draft("g", "model", of="small", law="point"), 1),
        (Draft("g", "model", of="small", law="coupled", stop=0.2), 1),
        (Draft("g", "model", of="small", law="coupled", siblings=1), 0),
        (Draft("g", "model", of="small", law="point", inner="lookup"), 0),
        (Draft("g", "model", of="small", law="sampled"), 0),
    ],
)
def test_chains_of_the_models_own_choices_are_one_call(statement: Draft, drafts: int) -> None:
    session = Drafts()
    source = make(statement, WARM, VOCABULARY, reader=reader_of(session))
    source.extend(list(b"some text"))
    source.propose(6)
    assert session.drafts == drafts


@pytest.mark.parametrize("law", ["point", "coupled"])
@pytest.mark.parametrize("stop", [0.0, 0.3])
def test_one_call_guesses_what_passes_one_by_one_do(law: str, stop: float) -> None:
    for seed in range(6):
        text, sampling = list(b"the cat sat on the m")[seed:], replace(WARM, seed=seed)
        guesses = []
        for plain in (True, False):
            picker = Likely("small", law, sampling, VOCABULARY)
            picker.plain = plain
            source = source_with(picker, Script(likeliest), 9, stop=stop)
            source.reach = stop / 9
            source.extend(text)
            guesses.append(source.propose(9))
        assert guesses[0] == guesses[1]


@pytest.mark.parametrize("law", ["point", "coupled", "sampled", "without_replacement"])
@pytest.mark.parametrize("vocabulary", [110, VOCABULARY, VOCABULARY + 40])
def test_no_guess_is_outside_the_targets_vocabulary(law: str, vocabulary: int) -> None:
    sampling, ended = Sampling(temperature=1.5, seed=3), 0
    for start in range(97, 109):
        statement = Draft("g", "model", of="small", law=law, width=8, siblings=2)  # type: ignore[arg-type]
        source = make(statement, replace(sampling, seed=start), vocabulary, reader=reader_of())
        source.extend([start, start])
        proposal = source.propose(8)
        ended += len(proposal) < 8
        assert all(token < vocabulary for token in proposal.tokens)
        assert all(guess.q is None or guess.q.shape == (vocabulary,) for guess in proposal.guesses)
    assert (ended > 0) == (vocabulary == 110 and law in {"point", "coupled"})


def test_a_text_with_tokens_that_the_draft_does_not_know_gets_no_guesses() -> None:
    source = make(Draft("g", "model", of="small"), GREEDY, VOCABULARY + 50, reader=reader_of())
    source.extend([97, 98])
    assert len(source.propose(2)) == 2
    source.extend([VOCABULARY])
    assert len(source.propose(2)) == 0


@pytest.mark.parametrize("inner", ["", "lookup"])
def test_a_full_context_ends_chains_without_an_error(inner: str) -> None:
    text = list(b"abababab")
    statement = Draft("g", "model", of="small", inner=inner, width=8)
    source = make(statement, GREEDY, VOCABULARY, reader=reader_of(ToySession(MODEL, len(text) + 3)))
    source.extend(text)
    assert source.propose(8).tokens == fresh(statement, GREEDY, text, 0, 4).tokens
    source.extend(list(b"abc"))
    assert len(source.propose(8)) == 1
    source.extend([97])
    assert len(source.propose(8)) == 0
