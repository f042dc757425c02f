"""What a loaded model offers to the loop and the API, whichever backend runs it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from foretell.backend.protocol import Session


class Detokeniser(Protocol):
    """Text from a stream of ids, never half a character."""

    def push(self, token: int) -> str:
        """The text that this token completes."""
        ...


class Codec(Protocol):
    """Text to token ids and back."""

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        ...

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a generation."""
        ...

    def with_bos(self, ids: Sequence[int]) -> list[int]:
        """The ids with the token that begins a text before them, if the model wants one and it is not there."""
        ...

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text; `special` reads the names of control tokens as these."""
        ...

    def protect(self, text: str) -> str:
        """The text with a mark inside what looks like a control token, for `encode_protected`."""
        ...

    def encode_protected(self, text: str) -> list[int]:
        """Ids of a text of which some parts are protected: only elsewhere control tokens are recognised."""
        ...

    def text_bytes(self, token: int) -> bytes:
        """The bytes that a token adds to the text; none for a control token."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        ...


class Template(Protocol):
    """A chat template."""

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt of a conversation. Raises ForetellError when the model has no template or it refuses."""
        ...


class Backend(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def codec(self) -> Codec:
        """Its tokenizer."""
        ...

    @property
    def template(self) -> Template:
        """Its chat template."""
        ...

    @property
    def pass_costs(self) -> Mapping[int, float] | None:
        """Milliseconds of a pass by row count, 1 among them; None when this has to be measured."""
        ...

    @property
    def key(self) -> str:
        """What the costs depend on besides the machine."""
        ...

    @property
    def piece_rows(self) -> int:
        """Most rows of a prompt that go into one pass."""
        ...

    def detokeniser(self) -> Detokeniser:
        """A new stream of text."""
        ...

    def session(self) -> Session:
        """A new session."""
        ...

    def close(self) -> None:
        """Give back memory and threads."""
        ...
