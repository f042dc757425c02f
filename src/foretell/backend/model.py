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
        """Ids of a text; `special` reads the names of special tokens as these."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        ...


class Template(Protocol):
    """A chat template."""

    def render(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt of a conversation."""
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
    def template(self) -> Template | None:
        """Its chat template, if it has one."""
        ...

    @property
    def free_rows(self) -> int:
        """Rows that one pass checks in about the time of one (DESIGN.md, section 3); measured."""
        ...

    @property
    def pass_costs(self) -> Mapping[int, float]:
        """Measured milliseconds of a pass by row count; empty when unknown."""
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
