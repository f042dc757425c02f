"""`/v1/chat/completions`: its requests, and the form of its answers."""

from collections.abc import Sequence
from typing import Any, Final

from foretell.runtime.events import Event
from foretell.serve.ask import Ask, Messages, read_ask
from foretell.serve.fields import Fields, checked_string
from foretell.serve.form import Form, byte_list, shown
from foretell.serve.limits import Limits
from foretell.serve.refusal import wrong

ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
NO_TOOLS: Final = "this server calls no tools; response_format makes answers of a given form"
TEXT_ONLY: Final = "this server reads and writes text"
MOST_LOGPROBS: Final = 20


def read(body: object, limits: Limits) -> Ask:
    """A request, or a Refusal."""
    fields = Fields(body)
    for name in ("tools", "functions"):
        fields.only(name, ([],), NO_TOOLS)
    fields.only("tool_choice", ("none", "auto"), NO_TOOLS)
    fields.only("function_call", ("none", "auto"), NO_TOOLS)
    fields.flag("parallel_tool_calls")
    fields.only("modalities", (["text"],), TEXT_ONLY)
    fields.only("audio", (), TEXT_ONLY)
    fields.only("web_search_options", (), TEXT_ONLY)
    fields.only("reasoning_effort", ("none",), "the model thinks as its template says")
    wanted, top = fields.flag("logprobs"), fields.whole("top_logprobs", 0, MOST_LOGPROBS)
    if top is not None and not wanted:
        raise wrong("top_logprobs", "only with logprobs: true")
    messages, prediction = _messages(fields), _prediction(fields)
    return read_ask(fields, limits, messages=messages, prediction=prediction, logprobs=(wanted, top or 0))


def _prediction(fields: Fields) -> str:
    given = fields.inner("prediction")
    if given is None:
        return ""
    given.only("type", ("content",), "a prediction is of type content")
    text = _content(given)
    given.end()
    return text


def _messages(fields: Fields) -> Messages:
    given = fields.items("messages")
    if not given:
        raise wrong("messages", "missing or empty: give at least one message", "missing_required_parameter")
    messages = tuple(_message(Fields(each, f"messages[{i}]")) for i, each in enumerate(given))
    if not messages[-1]["content"].strip():
        raise wrong(f"messages[{len(messages) - 1}].content", "empty: say something in the last message")
    return messages


def _message(fields: Fields) -> dict[str, str]:
    role = fields.text("role")
    if role not in ROLES:
        what = "missing" if role is None else repr(role)[:60]
        raise wrong(fields.path("role"), f"{what}, must be system, developer, user or assistant")
    content = _content(fields)
    for name in ("tool_calls", "function_call"):
        fields.only(name, ([],), NO_TOOLS)
    fields.only("audio", (), TEXT_ONLY)
    fields.text("name")
    fields.text("refusal")
    fields.end(("annotations",))  # part of answers, which clients send back
    return {"role": ROLES[role], "content": content}


def _content(fields: Fields) -> str:
    value, where = fields.get("content"), fields.path("content")
    if isinstance(value, list):
        return "".join(_part(Fields(each, f"{where}[{i}]")) for i, each in enumerate(value))
    if value is None:
        raise wrong(where, "missing: give a text", "missing_required_parameter")
    return checked_string(value, where)


def _part(fields: Fields) -> str:
    fields.only("type", ("text",), TEXT_ONLY)
    text = fields.text("text")
    if text is None:
        raise wrong(fields.path("text"), "missing: give a text", "missing_required_parameter")
    fields.end(("prompt_cache_breakpoint",))
    return text


class ChatForm(Form):
    """Answers of this endpoint."""

    prefix = "chatcmpl-"
    whole_kind, part_kind = "chat.completion", "chat.completion.chunk"

    def opening(self) -> dict[str, Any] | None:
        """The chunk before any text."""
        return self.part([self._delta({"role": "assistant", "content": ""})])

    def piece(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """The choices of a chunk with these tokens."""
        text = "".join(event.text for event in events)
        return [self._delta({"content": text}, events)]

    def last(self, finish: str) -> list[dict[str, Any]]:
        """The choices of the chunk that says why the text ended."""
        return [self._delta({}, finish=finish)]

    def choices(self, text: str, events: Sequence[Event], finish: str) -> list[dict[str, Any]]:
        """The choices of an answer as a whole."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return [{"index": 0, "message": message, "logprobs": self._logprobs(events), "finish_reason": finish}]

    def _delta(self, delta: dict[str, Any], events: Sequence[Event] = (), finish: str | None = None) -> dict[str, Any]:
        logprobs = self._logprobs(events) if events else None
        return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    def _logprobs(self, events: Sequence[Event]) -> dict[str, Any] | None:
        if not self.ask.logprobs:
            return None
        content = []
        for event in events:
            top = [self._token(token, logprob) for token, logprob in event.top[: self.ask.top]]
            content.append(self._token(event.token, event.logprob) | {"top_logprobs": top})
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float | None) -> dict[str, Any]:
        text = self.codec.decode([token])
        return {"token": text, "logprob": shown(logprob), "bytes": byte_list(self.codec, token)}
