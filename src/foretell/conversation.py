"""A conversation with a loaded model."""

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Unpack

from foretell.runtime.context import Context
from foretell.runtime.history import History, checked_text, common
from foretell.runtime.loop import OnPrompt, Stream
from foretell.runtime.pace import Pace
from foretell.runtime.route import check_unrouted
from foretell.runtime.settings import Options, Settings
from foretell.runtime.trace import Recorder

if TYPE_CHECKING:
    from foretell.api import Model


class Chat:
    """A conversation. Earlier turns are not read again: their tokens stay in the cache and new ones are appended.

    >>> import foretell
    >>> chat = foretell.load("toy").chat(system="short answers")
    >>> first = chat.send("hello", max_tokens=6).result
    >>> second = chat.send("and now?", max_tokens=6).result
    >>> len(chat.messages), chat.reused_tokens >= first.prompt_tokens, chat.dropped
    (4, True, 0)

    Attributes:
        dropped: messages that the last `send` had to forget because the context was full.
        reused_tokens: how much of the last prompt did not have to be read.
    """

    def __init__(self, model: "Model", system: str | None = None) -> None:
        self.model = model
        self.system = system
        self.dropped = self.reused_tokens = 0
        self._history = History(partial(model.render, system=system), model.backend.codec, model.context)
        self._context = Context(model.session)
        self._asked: tuple[str, str, list[int]] = ("", "", [])  # question, rendered prompt, its tokens
        self._stream: Stream | None = None
        self._paces: dict[bool, Pace] = {}  # by whether it goes by joules; it learns through all turns

    @property
    def messages(self) -> list[dict[str, str]]:
        """The finished turns so far, without the system message."""
        if self._stream is not None and self._stream.finished:
            self._remember()
        return list(self._history.messages)

    def send(
        self,
        text: str,
        *,
        on_prompt: OnPrompt | None = None,
        recorder: Recorder | None = None,
        **options: Unpack[Options],
    ) -> Stream:
        """Say something; the stream is the answer. An unfinished answer before it is finished first."""
        started, settings = perf_counter(), Settings(**options)
        bill = self.model.bill(recorder)
        self._remember()
        question = {"role": "user", "content": checked_text(text)}
        check_unrouted(settings.pipeline)
        rendered, ids, dropped = self._history.fit(question, settings.max_tokens)
        request = self.model.request(ids, settings, started)
        thrifty = settings.level == "Oe"
        pace = self._paces.get(thrifty) or self._paces.setdefault(thrifty, self.model.pace(settings.level))
        bound = self.model.bound(settings, request.sampling, pace)
        stream = Stream(
            request,
            self._context,
            self.model.backend.detokeniser(),
            bound,
            on_prompt=on_prompt,
            recorder=recorder,
            bill=bill,
        )
        del self._history.messages[:dropped]
        self.dropped = dropped
        self.reused_tokens = common(self._context.tokens, ids)
        self._asked, self._stream = (text, rendered, ids), stream
        return stream

    def clear(self) -> None:
        """Forget all turns."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._history.clear()
        self._context.cut(0)

    def close(self) -> None:
        """Give the cache back."""
        self.clear()
        self._context.close()

    def _remember(self) -> None:
        """Add the last question and its answer to the history, once the answer is complete."""
        if self._stream is None:
            return
        stream, self._stream = self._stream, None  # let go first: one that failed must not fail every later turn
        result = stream.result
        if result.tokens:
            self._history.add(*self._asked, result)
