"""The native engine as a loaded model."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from foretell import engine
from foretell.backend.model import Codec, Detokeniser, Template
from foretell.backend.protocol import Session

if TYPE_CHECKING:
    from foretell.models.sources import Progress


class NativeBackend:
    """A GGUF file run by our own engine.

    Args:
        path: the file. name: what a person calls it. digest: its SHA-256, the key of what is derived from it.
        cache_dir: root of the cache folder.
        threads, context: None lets the engine choose. progress: told how far packing is.
        beside: a model whose threads this one shares: the target, for its draft.
        form: of a draft: how many tokens it can say (0: all; else so many, and the end tokens), and the format that its
            weights are lowered to.
        frequent: tokens that come first among those that it can say. Then come those with the lowest ids, which are the
            frequent ones in a vocabulary made by merging.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        digest: str,
        *,
        cache_dir: Path,
        threads: int | None = None,
        context: int | None = None,
        progress: "Progress | None" = None,
        beside: "NativeBackend | None" = None,
        form: tuple[int, str] = (0, ""),
        frequent: Sequence[int] = (),
    ) -> None:
        from foretell.engine.native import PIECE_ROWS, NativeModel  # noqa: PLC0415 — heavy; the toy needs none of it
        from foretell.models.detokenise import Detokeniser as Utf8Detokeniser  # noqa: PLC0415
        from foretell.models.template import ChatTemplate  # noqa: PLC0415
        from foretell.models.tokenizer import Tokenizer  # noqa: PLC0415

        def packing(done: int, total: int) -> None:
            if progress is not None:
                progress(f"arranging {name} for this processor", done, total)

        self.name = name
        self.piece_rows = PIECE_ROWS
        self.pass_costs: Mapping[int, float] | None = None  # to be measured
        self._digest, self._form = digest, form
        keep, precision = form
        self.model: NativeModel = NativeModel.load(
            path,
            threads=threads,
            context=context,
            cache_dir=cache_dir,
            digest=digest,
            progress=packing,
            beside=None if beside is None else beside.model,
            keep=_kept(path, keep, frequent, cache_dir) if keep else None,
            precision=precision or None,
        )
        tokenizer = Tokenizer.from_gguf(self.model.gguf, cache_dir / "tokenizers")
        self.codec: Codec = tokenizer
        self.detokeniser: Callable[[], Detokeniser] = partial(Utf8Detokeniser, tokenizer)
        self.template: Template = ChatTemplate.from_gguf(self.model.gguf)

    @property
    def key(self) -> str:
        """File, threads, instruction set and engine, on which the costs of passes depend."""
        model = self.model
        form = "" if self._form == (0, "") else f", form {self._form}"
        return f"{self._digest}{form}, {model.team.threads} threads, {model.kernels.isa.name}, engine {_engine()}"

    def session(self) -> Session:
        """A new session."""
        return self.model.session()

    def close(self) -> None:
        """Give back memory and threads."""
        self.model.close()


def _kept(path: Path, count: int, frequent: Sequence[int], cache_dir: Path) -> list[int]:
    from foretell.models.gguf import GGUF  # noqa: PLC0415 — see NativeBackend
    from foretell.models.tokenizer import Tokenizer  # noqa: PLC0415

    with GGUF.open(path) as gguf:
        tokenizer = Tokenizer.from_gguf(gguf, cache_dir / "tokenizers")
    first = dict.fromkeys(token for token in frequent if token < tokenizer.vocabulary)
    kept = list(first | dict.fromkeys(range(min(count, tokenizer.vocabulary))))[:count]
    return sorted({*kept, *tokenizer.end_ids})


def _engine() -> str:
    """Names the engine's code as it is, so that no measurement outlives a change of it."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in engine.__path__ for path in Path(folder).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
