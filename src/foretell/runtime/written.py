"""What the model itself wrote, as text and as the very tokens: it is never encoded again in a different way.

Text that is encoded anew can come to other tokens than those that the model chose, and then nothing behind them is what
a conversation that simply went on would have said. So a conversation whose text begins with one that is known here
takes the tokens over, and only what is new is encoded.
"""

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final

from foretell.backend.model import Codec
from foretell.runtime.events import Result

MOST: Final = 4096  # texts: all of them are looked at for each prompt


class Written:
    """Finished answers with all that was before them. For any threads.

    Args:
        codec: the model's tokenizer.
        characters: of all texts together, at most; those not used for longest are forgotten first, the newest never.
    """

    def __init__(self, codec: Codec, characters: int) -> None:
        self._codec, self._most = codec, characters
        self._known: OrderedDict[str, array[int]] = OrderedDict()  # least recently used first
        self._characters = 0
        self._lock = Lock()

    def encode(self, rendered: str) -> list[int]:
        """Ids of a conversation's text (see `Model.render`); known tokens are taken over."""
        text, ids = self._longest(rendered)
        if ids:
            return [*ids, *self._codec.encode_protected(rendered[len(text) :])]
        return self._codec.with_bos(self._codec.encode_protected(rendered))

    def add(self, rendered: str, ids: Sequence[int], result: Result) -> None:
        """An answer, and the prompt before it as text and ids. One that was cut inside a token is not kept."""
        if not result.tokens or self._codec.decode(result.tokens) != result.text:
            return
        text = rendered + self._codec.protect(result.text)
        with self._lock:
            if self._known.pop(text, None) is None:
                self._characters += len(text)
            self._known[text] = array("i", (*ids, *result.tokens))
            while len(self._known) > 1 and (self._characters > self._most or len(self._known) > MOST):
                self._characters -= len(self._known.popitem(last=False)[0])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()
            self._characters = 0

    def _longest(self, rendered: str) -> tuple[str, Sequence[int]]:
        """The longest known text that this one begins with, and its tokens; both empty when there is none."""
        with self._lock:
            text = max((each for each in self._known if rendered.startswith(each)), key=len, default="")
            if not text:
                return "", ()
            self._known.move_to_end(text)
            return text, self._known[text]
