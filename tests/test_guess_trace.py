"""Guess traces: what is recorded is what the models say, and files that are not what they should be are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from foretell.accept.sampling import GREEDY
from foretell.backend.protocol import Rows, Want
from foretell.errors import ForetellError
from foretell.lab.policies import fixed
from foretell.lab.replay import trace as traces
from foretell.lab.replay.record import FREE, about, offered, record
from foretell.lab.replay.run import generate
from foretell.lab.replay.score import Scorer
from foretell.lab.replay.trace import Guessed
from foretell.lab.replay.world import AS_IT_IS
from replays import pair, scorer

Edit = Callable[[list[str]], list[str]]


@pytest.fixture(scope="module")
def toys() -> Scorer:
    return scorer(pair())


def written(path: Path, toys: Scorer) -> Path:
    found = toys.trace
    path.write_text(traces.header(found.about, found.profile) + "".join(map(traces.line, found.texts)))
    return path


def test_a_trace_comes_back_as_it_was_written(toys: Scorer, tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", toys)
    assert traces.read(path) == toys.trace
    with path.open("a") as file:
        file.write('{"klass": "x", "id"')  # broken off
    assert traces.read(path) == toys.trace


def test_a_recorded_draft_says_what_the_model_says(toys: Scorer) -> None:
    text = toys.trace.texts[0]
    script = text.script("whole")
    with pair() as model:
        assert model.drafter is not None
        session = model.drafter.backend().session()
        sequence = session.open()
        for place in sorted(script.tails):
            session.rewind(sequence, 0)
            session.step(Rows.chain(script.text[: place - 1], sequence, ()), Want())
            session.commit(sequence, range(place - 1))
            scores = session.draft(sequence, script.text[place - 1 : place], 10, Want(top=4))
            assert scores.chosen == [script.said[place].token, *(each.token for each in script.tails[place])]
            assert scores.logprobs[0] == pytest.approx(script.said[place].logprob, abs=1e-5)
            assert scores.top_tokens[0].tolist() == [token for token, _ in script.said[place].top]


def change_about(**new: Any) -> Edit:
    def edit(lines: list[str]) -> list[str]:
        head = json.loads(lines[0])
        head["about"] |= new
        return [json.dumps(head), *lines[1:]]

    return edit


def change_text(edit: Callable[[dict[str, Any]], object]) -> Edit:
    def changed(lines: list[str]) -> list[str]:
        text = json.loads(lines[1])
        edit(text)
        return [lines[0], json.dumps(text), *lines[2:]]

    return changed


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda _: [""], "is damaged in line 1: it is no JSON text"),
        (lambda lines: ["[]", *lines[1:]], "is no guess trace"),
        (lambda lines: [lines[0].replace('"version":1', '"version":7'), *lines[1:]], "has version 7, not 1"),
        (change_about(steps="many"), "line 1: about.steps is 'many', expected a whole number"),
        (change_about(colour=1), "line 1: about.colour is unknown"),
        (change_about(draft=""), "the profile is of other models"),
        (change_about(vocabulary=3), "line 2: a token is"),
        (change_about(steps=4), "a tail of 16384 Q4_0 has not 3 tokens"),
        (lambda lines: [lines[0].replace('"how":"quick"', '"how":"quack"'), *lines[1:]], "was changed by hand"),
        (lambda lines: [lines[0], lines[1][:50], *lines[2:]], "is damaged in line 2: it is no JSON text"),
        (change_text(lambda text: text.pop("prompt")), "line 2: text.prompt is missing"),
        (change_text(lambda text: text.update(answer=[1])), "needs a prompt and an answer of two tokens"),
        (change_text(lambda text: text["offers"]["lookup"].pop()), "lookup has"),
        (change_text(lambda text: text["drafts"]["whole"]["said"]["tokens"].pop()), "different lengths"),
        (change_text(lambda text: text["drafts"]["whole"]["tails"].popitem()), "tail at place"),
        (change_text(lambda text: text["drafts"].update(odd=text["drafts"]["whole"])), "no form 'odd'"),
        (
            change_text(lambda text: text["offers"].update(lookup=[{"tokens": [1], "parents": [2]}] * 39)),
            "are not before their guesses",
        ),
    ],
)
def test_damaged_traces_are_refused_in_one_line(toys: Scorer, tmp_path: Path, edit: Edit, message: str) -> None:
    path = written(tmp_path / "t.jsonl", toys)
    path.write_text("\n".join(edit(path.read_text().split("\n"))))
    with pytest.raises(ForetellError) as caught:
        traces.read(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "with --profile" in str(caught.value) or "record again with" in str(caught.value)


def test_files_that_are_no_text_or_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match="cannot read the trace"):
        traces.read(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ForetellError, match="it is not text"):
        traces.read(tmp_path / "bytes")


def test_what_free_sources_offered_is_judged_along_trees() -> None:
    tree = Guessed((1, 2, 3, 2), (0, 0, 1, 3))
    assert tree.right([1, 3, 2, 9]) == 3
    assert tree.right([2, 3]) == 1
    assert tree.right([4]) == 0
    assert Guessed((5, 6)).right([5, 6, 7]) == 2


def test_an_answer_too_short_for_guesses_is_left_out() -> None:
    with pair() as model:
        head = about(model, max_tokens=1)
        played = generate(model, [1, 2], fixed.plain(), GREEDY, max_tokens=1, clock=perf_counter)
        assert record(model, "x", "1", [1, 2], played, [AS_IT_IS], head) is None


def test_free_offers_are_what_the_sources_say_at_full_width(toys: Scorer) -> None:
    text = toys.trace.texts[0]
    assert set(text.offers) == set(FREE)
    for name, offers in text.offers.items():
        assert tuple(offered(name, text.prompt, text.answer, toys.trace.about.width)) == offers
    assert any(each.parents for each in text.offers["recycled"])
    assert max(len(each.tokens) for each in text.offers["lookup"]) == 15
