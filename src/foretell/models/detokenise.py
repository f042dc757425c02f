"""Text from tokens as they come. A character whose bytes are spread over several tokens waits until it is whole."""

import codecs
from typing import Protocol


class Pieces(Protocol):
    """What gives each token's bytes; a Tokenizer."""

    def text_bytes(self, token: int) -> bytes:
        """The bytes that the token adds to the text."""
        ...


class Detokeniser:
    """Turns a stream of tokens into text. Everything pushed and the final flush together equal `Tokenizer.decode`.

    Bytes that can't be UTF-8 become U+FFFD as soon as that is certain.
    """

    def __init__(self, tokenizer: Pieces) -> None:
        self._pieces = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._whole = True  # whether no character is unfinished

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""
        data = self._pieces.text_bytes(token)
        if self._whole:
            try:
                return data.decode()  # nearly always, and many times as fast
            except UnicodeDecodeError:
                pass
        text = self._decoder.decode(data)
        self._whole = not self._decoder.getstate()[0]
        return text

    def flush(self) -> str:
        """End of the stream: an unfinished character becomes U+FFFD. The object can be used again afterwards."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        self._whole = True
        return rest
