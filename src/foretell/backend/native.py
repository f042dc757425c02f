"""The native engine as a loaded model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from foretell.backend.model import Codec, Detokeniser, Template
from foretell.backend.protocol import Session

if TYPE_CHECKING:
    from foretell.models.sources import Progress

PIECE_ROWS: Final = 512  # rows of a prompt per pass: enough that reading the weights is hidden behind arithmetic


class NativeBackend:
    """A GGUF file run by our own engine."""

    def __init__(
        self, path: Path, name: str, threads: int | None, context: int | None, progress: "Progress | None"
    ) -> None:
        from foretell.engine.native import NativeModel  # noqa: PLC0415 — llvmlite is heavy, and the toy needs none

        self.name = name
        self.piece_rows = PIECE_ROWS
        self._model = NativeModel.load(path, threads=threads, context=context, progress=progress)

    @property
    def codec(self) -> Codec:
        """The file's tokenizer."""
        return self._model.tokenizer

    @property
    def template(self) -> Template | None:
        """The file's chat template."""
        return self._model.template

    @property
    def free_rows(self) -> int:
        """Measured once per model and machine."""
        return self._model.free_rows

    @property
    def pass_costs(self) -> Mapping[int, float]:
        """Measured with the free rows."""
        return self._model.pass_costs

    def detokeniser(self) -> Detokeniser:
        """A new stream of text."""
        from foretell.models.detokenise import Detokeniser as Utf8Detokeniser  # noqa: PLC0415 — only with this backend

        return Utf8Detokeniser(self._model.tokenizer)

    def session(self) -> Session:
        """A new session."""
        return self._model.session()

    def close(self) -> None:
        """Give back memory and threads."""
        self._model.close()
