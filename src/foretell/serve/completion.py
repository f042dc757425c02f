"""`/v1/completions`: its requests, and the form of its answers. The text is continued as it is, without a template."""

from collections.abc import Sequence
from typing import Any, Final

from foretell.backend.model import Codec
from foretell.runtime.events import Event
from foretell.serve.ask import ONE, Ask, read_ask
from foretell.serve.fields import Fields, checked_string
from foretell.serve.form import Form, shown
from foretell.serve.limits import Limits
from foretell.serve.refusal import wrong

MOST_LOGPROBS: Final = 20
NO_ECHO: Final = "an answer holds the new text alone"
NO_SUFFIX: Final = "text is only ever continued; a model with fill-in tokens takes them in the prompt"
WANTED: Final = "must be a text, a list of token ids, or a list with one of these"


def read(body: object, limits: Limits) -> Ask:
    """A request, or a Refusal."""
    fields = Fields(body)
    fields.only("best_of", (1,), ONE)
    fields.only("echo", (False,), NO_ECHO)
    fields.only("suffix", ("",), NO_SUFFIX)
    top = fields.whole("logprobs", 0, MOST_LOGPROBS)
    return read_ask(fields, limits, prompt=_prompt(fields.get("prompt")), logprobs=(top is not None, top or 0))


def _prompt(value: object) -> str | tuple[int, ...]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, list):
        if not value:
            raise wrong("prompt", f"empty, {WANTED}")
        if any(isinstance(each, str | list) for each in value):
            raise wrong("prompt", ONE, "unsupported_parameter")
        if any(isinstance(each, bool) or not isinstance(each, int) for each in value):
            raise wrong("prompt", WANTED, "invalid_type")
        return tuple(value)
    if value is None:
        raise wrong("prompt", f"missing, {WANTED}", "missing_required_parameter")
    text = checked_string(value, "prompt")
    if not text.strip():
        raise wrong("prompt", "empty: give a text to continue")
    return text


class TextForm(Form):
    """Answers of this endpoint."""

    prefix = "cmpl-"
    whole_kind = part_kind = "text_completion"

    def __init__(self, ask: Ask, model: str, codec: Codec, fingerprint: str) -> None:
        super().__init__(ask, model, codec, fingerprint)
        self._offset = 0  # characters of the text so far

    def opening(self) -> dict[str, Any] | None:
        """There is none."""
        return None

    def piece(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """The choices of a chunk with these tokens."""
        return self._choice("".join(event.text for event in events), events)

    def last(self, finish: str) -> list[dict[str, Any]]:
        """The choices of the chunk that says why the text ended."""
        return self._choice("", (), finish)

    def choices(self, text: str, events: Sequence[Event], finish: str) -> list[dict[str, Any]]:
        """The choices of an answer as a whole."""
        return self._choice(text, events, finish)

    def _choice(self, text: str, events: Sequence[Event], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "text": text, "logprobs": self._logprobs(events), "finish_reason": finish}]

    def _logprobs(self, events: Sequence[Event]) -> dict[str, Any] | None:
        if not self.ask.logprobs:
            return None
        offsets = []
        for event in events:
            offsets.append(self._offset)
            self._offset += len(event.text)
        decode, top = self.codec.decode, self.ask.top
        return {
            "tokens": [decode([event.token]) for event in events],
            "token_logprobs": [shown(event.logprob) for event in events],
            "top_logprobs": [
                {decode([token]): shown(logprob) for token, logprob in reversed(event.top[:top])} for event in events
            ],
            "text_offset": offsets,
        }
