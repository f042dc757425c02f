"""Constrained output: what a grammar forbids is never said, and speculation changes only the number of passes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.accept.distribution import distribution
from foretell.accept.grammar import Grammar, Guide, Walk
from foretell.accept.limited import Limited, choose_among
from foretell.accept.proposal import ROOT, Guess, Proposal, chain
from foretell.accept.sampling import GREEDY, Sampling
from foretell.accept.warpers import choose
from foretell.api import Model
from foretell.backend.toy import END, VOCABULARY, ToyBackend, ToyCodec, ToyModel
from foretell.cli import generate as command
from foretell.cli import options
from foretell.draft.grammar import GrammarSource, permitted
from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.ir.ops import Pipeline
from foretell.ir.text import parse
from foretell.runtime.drafter import Drafter
from schemas import SCHEMAS, Checked

GUIDE = Guide(ToyCodec(), VOCABULARY)
FORCED = Grammar("regex", "abc[0-9]{3}xyz(foo|bar)")
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.01, 0.7, 3.0]),
    top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([0.6, 1.0]),
    min_p=st.sampled_from([0.0, 0.1]),
    repeat_penalty=st.sampled_from([1.0, 1.3]),
    seed=st.integers(0, 2**64 - 1),
)


def walk(pattern: str, text: str = "") -> Walk:
    out = GUIDE.walk(Grammar("regex", pattern))
    out.extend(text.encode())
    return out


@pytest.fixture(scope="module")
def model() -> Model:
    backend = ToyBackend(ToyModel(echo=3.0))
    drafter = Drafter(lambda _: ToyBackend(ToyModel(echo=2.0)), lambda _: {1: 0.1, 8: 0.1})
    return Model(backend, {1: 1.0, 8: 1.0}, drafter=drafter)


# ---- grammars


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("schema", "{", "the schema cannot be used: it is no JSON"),
        ("schema", "3", "must be a JSON object"),
        ("schema", '{"type": "strin"}', "Invalid type: strin"),
        ("schema", '{"x-guidance": {"a": 3}}', "unknown field"),
        ("schema", '{"type": "integer", "minimum": 3, "maximum": 1}', "minimum (3) is greater"),
        ("schema", '{"not": {"type": "string"}}', "Unimplemented"),
        ("regex", "[a", "the regular expression cannot be used: unclosed character class"),
        ("regex", "a(?=b)", "look-around"),
        ("regex", r"a[^\s\S]", "no text fits"),
        ("regex", "", "only the empty text fits"),
        ("lark", "start: other", 'unknown name: "other"'),
        ("lark", "start: start", "the grammar cannot be used: no text fits"),
    ],
)
def test_impossible_grammars(kind: Any, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Grammar(kind, text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_has_one_layout_unless_the_schema_says_otherwise() -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a", "b"]}
    free = {"whitespace_flexible": True, "item_separator": ",", "key_separator": ":"}
    texts = (b'{"a": 1, "b": 2}', b'{"a":1,"b":2}', b'{ "a" :1,\n"b":  2}')
    for more, fits in (({}, [True, False, False]), ({"x-guidance": free}, [True, True, True])):
        grammar = Grammar.schema({**schema, **more, "additionalProperties": False})
        assert [GUIDE.walk(grammar).permits(text) for text in texts] == fits


def test_what_may_follow() -> None:
    allowed = walk("(cat|car|dog)s?", "ca").allowed
    behind = {path: allowed(path.encode()) for path in ("", "r", "rs", "x", "rsx")}
    assert {path: None if ids is None else ids.tolist() for path, ids in behind.items()} == {
        "": [ord("r"), ord("t")],
        "r": [ord("s"), END],
        "rs": [END],
        "x": None,
        "rsx": None,
    }
    assert allowed([ord("r"), END]) is None


def test_one_end_stands_for_all() -> None:
    class Two(ToyCodec):
        end_ids = frozenset({END, 259})

    ends = Guide(Two(), VOCABULARY).walk(Grammar("regex", "ab?"))
    ends.extend(b"a")
    assert (ids := ends.allowed(())) is not None
    assert ids.tolist() == [ord("b"), END, 259]
    ends.extend(b"b")
    assert (ids := ends.allowed(())) is not None
    assert ids.tolist() == [END]


def test_committed_tokens_must_fit() -> None:
    with pytest.raises(ForetellError, match="the grammar forbids them"):
        walk("ab").extend(b"ax")


def test_bytes_that_no_text_has_are_never_allowed() -> None:
    first = walk(".").allowed(())
    assert first is not None
    assert {0xFF, 0xC0, 0x80, 257}.isdisjoint(first.tolist())


# ---- choosing


@given(sampling=SAMPLINGS, seed=st.integers(0, 2**32), count=st.integers(1, 40), spread=st.sampled_from([1, 20, 300]))
@settings(deadline=None)
def test_choosing_among_few_is_choosing_with_the_others_at_minus_infinity(
    sampling: Sampling, seed: int, count: int, spread: int
) -> None:
    random = np.random.default_rng(seed)
    logits = (random.standard_normal(40) * spread).astype(np.float32)
    history = random.integers(0, 40, 10).tolist()
    allowed = np.sort(random.permutation(40)[:count])
    masked = np.full(40, -np.inf, np.float32)
    masked[allowed] = logits[allowed]
    assert choose_among(allowed, logits, history, 10, sampling) == choose(masked, history, 10, sampling)


class Pass:
    """Made-up logits behind each node; counts how often a pass was asked for."""

    def __init__(self) -> None:
        self.rows = np.random.default_rng(3).standard_normal((9, VOCABULARY)).astype(np.float32)
        self.asked = 0

    def __call__(self) -> "Pass":
        self.asked += 1
        return self

    def choice(self, node: int) -> int:
        return int(self.rows[node + 1].argmax())

    def logits(self, node: int) -> Any:
        return self.rows[node + 1]


def test_a_pass_is_made_once_and_only_for_a_choice() -> None:
    made, sampling = Pass(), Sampling(temperature=0.8, seed=5)
    guesses = chain(b"bcx", "x")
    target = Limited(guesses, walk("abc[xyz]q", "a"), [7, 97], 2, sampling, VOCABULARY, made)
    assert [target.choice(ROOT), target.choice(0)] == list(b"bc")
    assert target.p(0).tolist() == [float(token == ord("c")) for token in range(VOCABULARY)]
    assert made.asked == 0
    masked = np.full(VOCABULARY, -np.inf, np.float32)
    masked[list(b"xyz")] = made.rows[2][list(b"xyz")]
    assert target.choice(1) == choose(masked, [7, 97, 98, 99], 4, sampling)
    assert target.p(1) == pytest.approx(distribution(masked, (), sampling))
    assert target.p(1).nonzero()[0].tolist() == list(b"xyz")
    assert target.choice(2) == ord("q")
    assert made.asked == 1


def test_what_hangs_on_forbidden_guesses_is_free() -> None:
    made = Pass()
    target = Limited(chain(b"z", "x"), walk("[ab]c"), [], 0, GREEDY, VOCABULARY, made)
    assert target.p(0).argmax() == target.choice(0) == made.choice(0)
    assert target.p(ROOT)[ord("z")] == 0


# ---- sources


def test_forced_tokens_are_guessed() -> None:
    source = GrammarSource("grammar", 4, walk("abc[0-9]defghi", "a"))
    assert bytes(source.propose(9).tokens) == b"bc"
    assert bytes(source.propose(1).tokens) == b"b"
    assert bytes(source.propose(9, after=b"bc5").tokens) == b"defg"
    assert not source.propose(9, after=b"x")
    assert not source.propose(0)
    assert bytes(source.propose(9).tokens) == b"bc"  # asking changed nothing


def test_forbidden_guesses_are_cut_with_what_hangs_on_them() -> None:
    limit = walk("a(bc|de)f")
    tree = [(b"a", ROOT), (b"x", 0), (b"b", 0), (b"b", 1), (b"d", 0), (b"c", 2), (b"f", 4)]
    guesses = [Guess(token[0], parent, "s", chance=0.5) for token, parent in tree]
    kept = permitted(Proposal(tuple(guesses)), limit)
    assert [(guess.token, guess.parent) for guess in kept.guesses] == [
        *[(ord("a"), ROOT), (ord("b"), 0), (ord("d"), 0), (ord("c"), 1)]
    ]
    fits = chain(b"ab", "s")
    assert permitted(fits, limit) is fits
    drawn = chain(b"ax", "s", "sampled")
    assert permitted(drawn, limit) is drawn


# ---- generating


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_tokens_without_an_alternative_need_no_pass(model: Model, level: str) -> None:
    result = model.generate("x", grammar=FORCED, level=level)
    assert result.finish == "stop"
    assert result.text[:3] + result.text[6:9] == "abcxyz"
    assert result.rounds <= 4  # three digits and a word
    assert level != "O0" or result.rounds == 4
    certain = model.generate("x", grammar=Grammar("regex", "one possible text"), level=level)
    assert (certain.text, certain.rounds, certain.finish) == ("one possible text", 0, "stop")


PIPELINES = [
    None,
    presets.load("constrained"),
    parse("pipeline p\ng = draft(recycled)\nv = verify(g, constrained=true)\na = accept(v)\ncommit(a)"),
    parse(
        "pipeline p\ng = draft(model, of=draft, law=coupled, inner=grammar, siblings=2, doubt=0.5)\n"
        "v = verify(g, constrained=true)\na = accept(v)\ncommit(a)"
    ),
]


@given(
    schema=SCHEMAS,
    prompt=st.text(min_size=1, max_size=30).filter(str.strip),
    temperature=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 2**32 - 1),
    pipeline=st.sampled_from(PIPELINES),
    short=st.integers(1, 40),
)
@settings(deadline=None, max_examples=200)
def test_output_fits_its_schema_whoever_guesses(
    *,
    model: Model,
    schema: Checked,
    prompt: str,
    temperature: float,
    seed: int,
    pipeline: Pipeline | None,
    short: int,
) -> None:
    asked: foretell.Options = {"grammar": Grammar.schema(schema[0]), "temperature": temperature, "seed": seed}
    plain = model.generate(prompt, **asked, level="O0", max_tokens=400)
    guessed = model.generate(prompt, **asked, pipeline=pipeline, max_tokens=400)
    assert (guessed.tokens, guessed.finish) == (plain.tokens, plain.finish)
    assert guessed.rounds <= plain.rounds
    cut = model.generate(prompt, **asked, max_tokens=short)
    assert plain.tokens[: len(cut.tokens)] == cut.tokens
    assert GUIDE.walk(asked["grammar"]).permits(plain.tokens)  # type: ignore[arg-type]
    assert plain.finish == "stop"  # all these schemas have an end
    assert schema[1](json.loads(plain.text))


@pytest.mark.parametrize("rule", ["reject", "coupled"])
def test_rules_that_draw_keep_to_the_grammar(model: Model, rule: str) -> None:
    pipeline = parse(
        "pipeline p\ng = draft(model, of=draft, law=sampled)\n"
        f"v = verify(g, constrained=true)\na = accept(v, rule={rule})\ncommit(a)"
    )
    for seed in range(20):
        result = model.generate("x", grammar=FORCED, temperature=1, seed=seed, pipeline=pipeline)
        assert result.draft_passes > 0
        text = result.text
        assert (text[:3], text[3:6].isdigit(), text[6:9], text[9:] in {"foo", "bar"}) == ("abc", True, "xyz", True)


@pytest.mark.parametrize("level", ["O0", "O2"])
def test_log_probabilities_are_the_models_own(model: Model, level: str) -> None:
    prompt, events = model.encode("x"), list(model.stream("x", grammar=FORCED, logprobs=2, level=level))
    assert len(events) == 12
    history = list(prompt)
    for event in events:
        logits = ToyModel(echo=3.0).logits(history).astype(np.float64)
        assert event.logprob == pytest.approx(logits[event.token] - np.log(np.exp(logits).sum()), abs=1e-4)
        assert len(event.top) == 2
        history.append(event.token)


def test_chat_under_a_grammar(model: Model) -> None:
    chat = model.chat()
    answers = [chat.send("x", grammar=Grammar("regex", "(yes|no)\\."), max_tokens=9).result.text for _ in range(3)]
    assert set(answers) <= {"yes.", "no."}
    assert len(chat.messages) == 6
    assert chat.send("x", max_tokens=6).result.text not in {"yes.", "no."}


def test_grammar_and_pipeline_must_agree(model: Model) -> None:
    with pytest.raises(UsageError, match="pipeline constrained is constrained: give --schema"):
        model.generate("x", pipeline=presets.load("constrained"))
    with pytest.raises(UsageError, match="pipeline lookup does not keep to a grammar"):
        model.generate("x", pipeline=presets.load("lookup"), grammar=FORCED)


# ---- the command


def test_files_and_patterns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema, rules = tmp_path / "s.json", tmp_path / "g.lark"
    schema.write_text('{"enum": ["a", "b"]}')
    rules.write_text('start: "x" ("y" | "z")')
    for arguments, answers in (
        ({"schema": str(schema)}, {'"a"', '"b"'}),
        ({"regex": "u[vw]"}, {"uv", "uw"}),
        ({"grammar": str(rules)}, {"xy", "xz"}),
    ):
        assert command.generate("hello", model="toy", **arguments) == 0  # type: ignore[arg-type]
        assert capsys.readouterr().out.strip() in answers


def test_wrong_files_are_found_before_a_model_is(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"type": "strin"}')
    for arguments, words in (
        ({"schema": str(bad)}, "Invalid type"),
        ({"schema": str(tmp_path / "none")}, "there is no schema"),
        ({"grammar": str(tmp_path)}, "cannot read the grammar"),
        ({"regex": "(", "schema": str(bad)}, "--schema and --regex exclude each other"),
        ({"regex": "("}, "unclosed group"),
        ({"pipeline": "constrained"}, "is constrained: give"),
    ):
        with pytest.raises(UsageError, match=words):
            command.generate("x", model="no-such-model", **arguments)  # type: ignore[arg-type]
    assert options.read_grammar(None, None, None) is None
