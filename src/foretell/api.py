"""The Python interface: load a model, generate or stream text, hold a conversation.

>>> import foretell
>>> model = foretell.load("toy")
>>> prompt = "to be or not to be, that is the question. to be or"
>>> result = model.generate(prompt, max_tokens=20)
>>> plain = model.generate(prompt, max_tokens=20, speculation=False)
>>> result.text == plain.text, result.rounds < plain.rounds, plain.tokens_per_round
(True, True, 1.0)

Events come one per token and say who proposed it:

>>> events = list(model.stream(prompt, max_tokens=20))
>>> "".join(event.text for event in events) == result.text
True
>>> sorted({event.source for event in events})
['lookup', 'target']

A stop string is cut off; sampling is repeatable by its seed:

>>> first = model.generate("abc", temperature=0.9, max_tokens=10, seed=5)
>>> stopped = model.generate("abc", temperature=0.9, max_tokens=10, seed=5, stop=first.text[4:6])
>>> stopped.text == first.text[:4], stopped.finish
(True, 'stop')
>>> model.close()
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from foretell.backend.model import Backend
from foretell.backend.protocol import Session
from foretell.errors import ForetellError, UsageError
from foretell.profile.machine import machine
from foretell.profile.passes import free_rows, measure, remembered
from foretell.runtime.context import Context
from foretell.runtime.events import Result
from foretell.runtime.loop import OnPrompt, Request, Stream
from foretell.runtime.settings import Options, Settings
from foretell.runtime.width import Width

if TYPE_CHECKING:
    from foretell.models.sources import Progress

Message = Mapping[str, str]  # role ("system", "user", "assistant") and content


def load(
    name_or_path: str | Path | None = None,
    *,
    threads: int | None = None,
    context: int | None = None,
    cache_dir: Path | None = None,
    pull: bool = True,
    progress: "Progress | None" = None,
) -> "Model":
    """Load a model.

    Args:
        name_or_path: a name of the catalogue (`foretell models`), `hf:org/repo/file.gguf`, a path to a GGUF file, or
            "toy" for a tiny built-in model that needs no file. None: the catalogue's default.
        threads: worker threads; None chooses.
        context: most tokens of prompt and output together; None chooses.
        cache_dir: where models and compiled code are kept; None: the user's cache directory.
        pull: whether a missing model may be fetched.
        progress: told about fetching and packing.

    Raises:
        ForetellError: the model cannot be had, read or run here.
        UsageError: an argument is out of range.
    """
    started = perf_counter()
    _check(threads, context)
    name = None if name_or_path is None else str(name_or_path)
    backend = _open(name, threads=threads, context=context, cache_dir=cache_dir, pull=pull, progress=progress)
    costs = backend.pass_costs
    if costs is None:
        from foretell.models.cache import Cache  # noqa: PLC0415 — see `_open`

        key = f"{backend.key}, {machine()}"
        try:
            costs = remembered(Cache(cache_dir).folder("profiles"), key, lambda: measure(backend.session()))
        except BaseException:  # Ctrl-C, most likely
            backend.close()
            raise
    return Model(backend, costs, perf_counter() - started)


class Model:
    """A loaded model. Use it as a context manager, or call `close`. Not for two threads at once.

    Attributes:
        name: what was loaded. load_s: what loading took. backend: what runs it.
        pass_costs: measured milliseconds of a pass by row count.
    """

    def __init__(self, backend: Backend, pass_costs: Mapping[int, float], load_s: float = 0.0) -> None:
        self.backend = backend
        self.name = backend.name
        self.pass_costs = dict(pass_costs)
        self.load_s = load_s
        self._session: Session | None = backend.session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def context(self) -> int:
        """Most tokens of prompt and output together."""
        return self.session.context

    @property
    def free_rows(self) -> int:
        """Rows that one pass scores in about the time of one."""
        return free_rows(self.pass_costs)

    @property
    def session(self) -> Session:
        """The session that all generations of this model share."""
        if self._session is None:
            raise ForetellError("the model is closed: load it again")
        return self._session

    def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        raw: bool = False,
        **options: Unpack[Options],
    ) -> Result:
        """The whole text at once. Arguments as for `stream`."""
        return self.stream(prompt, system=system, raw=raw, **options).result

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        raw: bool = False,
        on_prompt: OnPrompt | None = None,
        **options: Unpack[Options],
    ) -> Stream:
        """Token by token.

        Args:
            prompt: a text, or the messages of a conversation.
            system: a system message before them.
            raw: continue the text as it is, without the chat template; names of control tokens in it mean these.
            on_prompt: told how many of the prompt's tokens were read.
            options: see foretell.runtime.settings.Settings.

        Returns:
            An iterator of events, with the `result` at the end.
        """
        started, settings = perf_counter(), Settings(**options)
        context = Context(self.session)
        try:
            request = self.request(self.encode(prompt, system, raw), settings, started)
            return Stream(
                request,
                context,
                self.backend.detokeniser(),
                width=self.width(settings),
                on_prompt=on_prompt,
                on_end=context.close,
            )
        except BaseException:
            context.close()
            raise

    def chat(self, system: str | None = None) -> "Chat":
        """A conversation that keeps what was read."""
        return Chat(self, system)

    def encode(self, prompt: str | Sequence[Message], system: str | None = None, raw: bool = False) -> list[int]:
        """Token ids of a prompt."""
        codec = self.backend.codec
        if raw:
            if not isinstance(prompt, str) or system is not None:
                raise UsageError("a raw prompt is one text without a system message: leave one of the two out")
            return codec.with_bos(codec.encode(checked_text(prompt), special=True))
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        checked_text(messages[-1]["content"] if messages else "")
        return codec.with_bos(codec.encode_protected(self.render(messages, system)))

    def render(self, messages: Sequence[Message], system: str | None = None) -> str:
        """The text of a conversation under the model's chat template, for `encode_protected` of the codec."""
        first = [] if system is None else [{"role": "system", "content": system}]
        protect = self.backend.codec.protect
        safe = [{"role": each["role"], "content": protect(each["content"])} for each in (*first, *messages)]
        return self.backend.template.render(safe)

    def request(self, prompt: Sequence[int], settings: Settings, started: float) -> Request:
        """What the loop needs."""
        seed = settings.choose_seed()
        return Request(
            prompt=prompt,
            max_tokens=settings.max_tokens,
            sampling=settings.sampling(seed),
            end_ids=self.backend.codec.end_ids,
            stop=settings.stops,
            top=settings.logprobs,
            piece_rows=self.backend.piece_rows,
            seed=seed,
            load_s=self.load_s,
            started_s=started,
        )

    def width(self, settings: Settings) -> Width | None:
        """A new rule for the number of guesses; None without speculation.

        It may use more than the free rows, as far as passes were measured: only where it expects that to pay.
        """
        most = max(self.pass_costs)
        return Width(self.pass_costs, most - 1) if settings.speculation and most > 1 else None

    def close(self) -> None:
        """Give back memory and threads."""
        if self._session is not None:
            self._session = None
            self.backend.close()


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

    def __init__(self, model: Model, system: str | None = None) -> None:
        self.model = model
        self.system = system
        self.dropped = self.reused_tokens = 0
        self._messages: list[dict[str, str]] = []
        self._context = Context(model.session)
        self._known: tuple[str, list[int]] = ("", [])  # rendered text so far and exactly its tokens, as generated
        self._asked: tuple[str, str, list[int]] = ("", "", [])  # question, rendered prompt, its tokens
        self._stream: Stream | None = None
        self._width: Width | None = None  # learns through all turns

    @property
    def messages(self) -> list[dict[str, str]]:
        """The finished turns so far, without the system message."""
        if self._stream is not None and self._stream.finished:
            self._remember()
        return list(self._messages)

    def send(self, text: str, *, on_prompt: OnPrompt | None = None, **options: Unpack[Options]) -> Stream:
        """Say something; the stream is the answer. An unfinished answer before it is finished first."""
        started, settings = perf_counter(), Settings(**options)
        self._remember()
        question = {"role": "user", "content": checked_text(text)}
        rendered, ids, dropped = self._fit(question, settings)
        request = self.model.request(ids, settings, started)
        if settings.speculation and self._width is None:
            self._width = self.model.width(settings)
        width = self._width if settings.speculation else None
        stream = Stream(request, self._context, self.model.backend.detokeniser(), width=width, on_prompt=on_prompt)
        del self._messages[:dropped]
        self.dropped = dropped
        self.reused_tokens = _common(self._context.tokens, ids)
        self._asked, self._stream = (text, rendered, ids), stream
        return stream

    def clear(self) -> None:
        """Forget all turns."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self._known = None, ("", [])
        self._messages.clear()
        self._context.cut(0)

    def close(self) -> None:
        """Give the cache back."""
        self.clear()
        self._context.close()

    def _remember(self) -> None:
        """Add the last question and its answer to the history, once the answer is complete."""
        if self._stream is None:
            return
        result, (question, rendered, ids) = self._stream.result, self._asked
        self._stream = None
        if not result.tokens:
            return
        self._messages += [{"role": "user", "content": question}, {"role": "assistant", "content": result.text}]
        codec = self.model.backend.codec
        whole = codec.decode(result.tokens) == result.text  # else a token was cut by a stop string
        answer = codec.protect(result.text)
        self._known = (rendered + answer, [*ids, *result.tokens]) if whole else ("", [])

    def _fit(self, question: Message, settings: Settings) -> tuple[str, list[int], int]:
        """The prompt as text and ids, and how many of the oldest messages it leaves out.

        Messages are left out when no room for the answer remains: then so many that half the context is free,
        because everything that is kept must be read again.
        """
        size = self.model.context
        reserve = min(settings.max_tokens or size, size // 4)
        rendered, ids = self._encode([*self._messages, question])
        dropped = 0
        if len(ids) + reserve > size:
            while dropped < len(self._messages) and len(ids) > size // 2:
                dropped += 2
                rendered, ids = self._encode([*self._messages[dropped:], question])
        return rendered, ids, dropped

    def _encode(self, messages: Sequence[Message]) -> tuple[str, list[int]]:
        """Text and ids; tokens that the model itself wrote are taken over, not encoded again."""
        rendered, codec = self.model.render(messages, self.system), self.model.backend.codec
        text, ids = self._known
        if ids and rendered.startswith(text):
            return rendered, ids + codec.encode_protected(rendered[len(text) :])
        return rendered, codec.with_bos(codec.encode_protected(rendered))


def _check(threads: int | None, context: int | None) -> None:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads is not None and not 1 <= threads <= processors:
        raise UsageError(f"threads is {threads}, must be between 1 and the number of processors, {processors}")
    if context is not None and context < 2:
        raise UsageError(f"context is {context}, must be 2 or more")


def _open(
    name: str | None,
    *,
    threads: int | None,
    context: int | None,
    cache_dir: Path | None,
    pull: bool,
    progress: "Progress | None",
) -> Backend:
    if name == "toy":
        from foretell.backend.toy import ToyBackend  # noqa: PLC0415 — only when it is asked for

        return ToyBackend() if context is None else replace(ToyBackend(), context=context)
    from foretell.backend.native import NativeBackend  # noqa: PLC0415 — the store and the engine are heavy
    from foretell.models.store import Store  # noqa: PLC0415

    store = Store(cache_dir)
    chosen = store.catalogue.default if name is None else name
    path = store.resolve(chosen, progress, pull)
    digest = store.digest(path, progress)
    return NativeBackend(
        path, chosen, digest, cache_dir=store.cache.root, threads=threads, context=context, progress=progress
    )


def checked_text(prompt: str) -> str:
    """The prompt, if it is one; a ForetellError says what is wrong with it."""
    if not prompt.strip():
        raise ForetellError("the prompt is empty: give a text as an argument or on standard input")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise ForetellError(
            f"the prompt is not valid UTF-8 at character {error.start}: give it as UTF-8 text"
        ) from error
    return prompt


def _common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    for count, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return count
    return min(len(ours), len(theirs))
