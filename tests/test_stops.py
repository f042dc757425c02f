"""Stop strings against finding them in the whole text."""

from hypothesis import given
from hypothesis import strategies as st

from foretell.runtime.events import Event
from foretell.runtime.stops import StopStrings

PIECES = st.lists(st.text("ab", max_size=3), max_size=15)
STOPS = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


@given(pieces=PIECES, stops=STOPS)
def test_text_is_cut_at_the_first_stop_string_that_is_complete(pieces: list[str], stops: list[str]) -> None:
    filter_ = StopStrings(stops)
    shown: list[Event] = []
    so_far = ""
    for i, piece in enumerate(pieces):
        so_far += piece
        shown += filter_.push(Event(i, piece, "target"))
        text = "".join(event.text for event in shown)
        found = min((so_far.find(stop) for stop in stops if stop in so_far), default=None)
        if found is not None:
            assert filter_.stopped
            assert text == so_far[:found]
            break
        assert not filter_.stopped
        hidden = so_far[len(text) :]
        assert so_far.startswith(text)
        assert not hidden or any(stop.startswith(hidden[i:]) for stop in stops for i in range(len(hidden)))
    shown += filter_.flush()
    if not filter_.stopped:
        assert "".join(event.text for event in shown) == so_far
        assert [event.token for event in shown] == list(range(len(pieces)))
    else:
        assert [event.token for event in shown] == list(range(len(shown)))


def test_a_token_without_a_character_before_the_stop_string_is_dropped() -> None:
    filter_ = StopStrings(["xyz"])
    pieces = ["a", "bx", "y", "z!"]
    shown = [event for i, piece in enumerate(pieces) for event in filter_.push(Event(i, piece, "target"))]
    assert [(event.token, event.text) for event in shown] == [(0, "a"), (1, "b")]
    assert filter_.stopped
    assert filter_.flush() == []


def test_without_stop_strings_nothing_is_held() -> None:
    event = Event(1, "", "target")
    assert StopStrings([]).push(event) == [event]
