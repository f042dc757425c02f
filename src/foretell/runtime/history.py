"""The turns of a conversation as text and as tokens: what the model itself wrote is never encoded again."""

from collections.abc import Callable, Mapping, Sequence

from foretell.backend.model import Codec
from foretell.errors import ForetellError
from foretell.runtime.events import Result
from foretell.runtime.written import Written

Message = Mapping[str, str]  # role ("system", "user", "assistant") and content


class History:
    """The finished turns so far, without the system message.

    Args:
        render: the text of a conversation, as `encode_protected` of the codec wants it.
        codec: the model's tokenizer.
        size: most tokens of prompt and answer together.
    """

    def __init__(self, render: Callable[[Sequence[Message]], str], codec: Codec, size: int) -> None:
        self.messages: list[dict[str, str]] = []
        self._render, self._size = render, size
        self._written = Written(codec, 0)  # the text so far and exactly its tokens: the newest is always kept

    def fit(self, question: Message, max_tokens: int | None) -> tuple[str, list[int], int]:
        """The prompt as text and ids, and how many of the oldest messages it leaves out.

        Messages are left out when no room for the answer remains: then so many that half the context is free,
        because everything that is kept must be read again.
        """
        reserve = min(max_tokens or self._size, self._size // 4)
        rendered, ids = self._encode([*self.messages, question])
        dropped = 0
        if len(ids) + reserve > self._size:
            while dropped < len(self.messages) and len(ids) > self._size // 2:
                dropped += 2
                rendered, ids = self._encode([*self.messages[dropped:], question])
        return rendered, ids, dropped

    def add(self, question: str, rendered: str, ids: Sequence[int], result: Result) -> None:
        """A turn: a question, the prompt that it came to as text and ids, and the answer."""
        self.messages += [{"role": "user", "content": question}, {"role": "assistant", "content": result.text}]
        self._written.clear()
        self._written.add(rendered, ids, result)

    def clear(self) -> None:
        """Forget all turns."""
        self.messages.clear()
        self._written.clear()

    def _encode(self, messages: Sequence[Message]) -> tuple[str, list[int]]:
        """Text and ids; tokens that the model itself wrote are taken over."""
        rendered = self._render(messages)
        return rendered, self._written.encode(rendered)


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


def common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens two texts begin alike with."""
    for count, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return count
    return min(len(ours), len(theirs))
