"""A model loaded for the native engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretell.engine import isa as instruction_sets
from foretell.engine.approximate import Approximated
from foretell.engine.arch import ARCHITECTURES
from foretell.engine.builders import Builders
from foretell.engine.fuse import fuse
from foretell.engine.hyper import Hyper, inverse_frequencies
from foretell.engine.kernels import Kernels, modules
from foretell.engine.lower import Embedding, Lowering
from foretell.engine.pack import VERSION, Weights, open_pack, pack, write_pack
from foretell.engine.program import Program
from foretell.engine.session import NativeSession, rope_table
from foretell.engine.team import Team, choose_threads
from foretell.errors import ForetellError, UsageError
from foretell.models import cache
from foretell.models.gguf import GGUF

# Most rows of a prompt pass: the hidden layer's activations of so many rows stay in the second-level cache.
PIECE_ROWS = 128
_LEAST_ROWS = 16  # what the first program has room for
_MODULE_BYTES = 20_000_000  # packed in about half the time that a kernel module is compiled in
_LOOK_S = 0.1  # between two looks at what compiles


class NativeModel:
    """Weights, compiled kernels and threads. `session()` gives sequences to run."""

    def __init__(
        self,
        path: Path,
        gguf: GGUF,
        weights: Weights,
        kernels: Kernels,
        threads: int | None,
        context: int | None,
        keep: NDArray[np.int32] | None = None,
        beside: NativeModel | None = None,
        precision: str | None = None,
    ) -> None:
        self.path, self.gguf, self.precision = path, gguf, precision
        self.hyper = h = Hyper.read(gguf)
        self.context = h.context if context is None else context
        self.weights, self.kernels, self.keep = weights, kernels, keep
        formats = {name: packed.layout for name, packed in weights.tensors.items()}
        self.graph = fuse(ARCHITECTURES[h.architecture](h), formats)
        self.team: Team = Team(kernels, threads) if beside is None else beside.team
        self._owns_team = beside is None
        self._rope = rope_table(inverse_frequencies(gguf, h), self.context, h.rope_magnitude)
        embedding = gguf.tensors["token_embd.weight"]
        self._embedding = Embedding(embedding.format, gguf.data("token_embd.weight").reshape(embedding.shape[0], -1))
        self._program: Program | None = None

    @staticmethod
    def load(
        path: Path | str,
        *,
        threads: int | None = None,
        context: int | None = None,
        isa: str | None = None,
        cache_dir: Path | None = None,
        digest: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        keep: Sequence[int] | None = None,
        precision: str | None = None,
        beside: NativeModel | None = None,
    ) -> NativeModel:
        """Load a GGUF file; pack its weights if that was not done before.

        cache_dir: where packed weights and compiled code are kept; None keeps them in memory. digest: the file's, if
        known; otherwise its identity on disk is the key. progress(done bytes, all bytes): of packing.
        keep: the token ids that the model can say; all others score minus infinity. precision: "Q4_0" or "Q4_K", what
        matrices of more bits are stored in. See `foretell.engine.approximate`.
        beside: a model whose threads and instruction set this one shares, for as long as that one lives.
        """
        path = Path(path)
        gguf = GGUF.open(path)
        try:
            hyper = Hyper.read(gguf)
            _check(hyper, context)
            choose_threads(threads)  # refused now rather than after a long packing
            source = Approximated(gguf, hyper, keep=keep, precision=precision)
            chosen = instruction_sets.choose(isa) if beside is None else beside.kernels.isa
            skip = frozenset() if hyper.tied else frozenset({"token_embd.weight"})
            skip |= {"rope_freqs.weight"}
            used = {t.format for n, t in source.tensors.items() if len(t.shape) == 2 and n not in skip}
            embedded = {gguf.tensors["token_embd.weight"].format}
            folder = cache_dir / "code" if cache_dir else None
            names = modules(used, embedded)
            with Builders(chosen, names, folder, choose_threads(None)) as builders:
                told = _Told(progress, builders)
                if cache_dir is None:
                    weights = Weights(*pack(source, skip, told))
                else:
                    weights = _packed(cache_dir / "packed", digest or _identity(path), source, skip, told)
                told.wait()
            kernels = _kernels(chosen, used, embedded, folder)
            return NativeModel(path, gguf, weights, kernels, threads, context, source.keep, beside, precision)
        except BaseException:
            gguf.close()
            raise

    def session(self) -> NativeSession:
        """New sequences."""
        return NativeSession(self)

    def program(self, rows: int, wanted: int) -> Program:
        """The program for passes of at least this size; made anew, with room to spare, when the last is too small."""
        have = self._program
        if have is not None and have.rows >= rows and have.wanted >= wanted:
            return have
        self.team.check()  # a closed model has let go of what a program is made of
        rows = max(_room(rows), have.rows if have else 0)
        wanted = max(_room(wanted), have.wanted if have else 0)
        self._program = Program(self.lowered(rows, wanted, self.weights, self.keep), self.kernels)
        return self._program

    def lowered(self, rows: int, wanted: int, weights: Weights, keep: NDArray[np.int32] | None) -> Lowering:
        """The operations of passes of at most this size, with these weights; keep: ids of the output matrix."""
        threads = self.team.threads
        return Lowering(self.graph, self.hyper, weights, self._embedding, self._rope, threads, rows, wanted, keep)

    def close(self) -> None:
        """Stop the threads and let go of the memory of passes. Sessions of a closed model refuse to work."""
        if self._owns_team:
            self.team.close()
        self._program = None
        self.gguf.close()


def _packed(folder: Path, digest: str, source: Approximated, skip: frozenset[str], told: _Told) -> Weights:
    """Weights from their pack, which is made if there is none.

    A cut output matrix has a pack of its own beside that of the whole model: there may be many cuts.
    """
    whole, output = source.whole, source.output if source.keep is not None else ""
    unread = frozenset({output})
    place = folder / f"{digest}{whole.key}-v{VERSION}.pack"
    weights = open_pack(place, whole, skip, unread) or write_pack(place, whole, skip, told)
    if not output:
        return weights
    place, others = folder / f"{digest}{source.key}-v{VERSION}.pack", skip | (source.tensors.keys() - unread)
    return weights.joined(open_pack(place, source, others) or write_pack(place, source, others, told))


class _Told:
    """Tells a callback about packing and compiling together: (done bytes, all bytes), a module being some bytes too."""

    def __init__(self, progress: Callable[[int, int], None] | None, builders: Builders) -> None:
        self._progress, self._builders = progress, builders
        self._done = self._total = 0

    def __call__(self, done: int, total: int) -> None:
        """So much is packed."""
        self._done, self._total = done, total
        if self._progress is not None:
            built, modules = self._builders.done, self._builders.total
            self._progress(done + built * _MODULE_BYTES, total + modules * _MODULE_BYTES)

    def wait(self) -> None:
        """Return when all is compiled that is being compiled."""
        while self._builders.working(_LOOK_S):
            self(self._done, self._total)


def _room(rows: int) -> int:
    """A power of two, so that growing makes few programs."""
    return max(_LEAST_ROWS, 1 << (rows - 1).bit_length())


def _kernels(isa: instruction_sets.ISA, formats: set[str], embedded: set[str], folder: Path | None) -> Kernels:
    try:
        return Kernels(isa, formats, embedded, folder)
    except OSError as error:
        if folder is None:
            raise
        raise cache.explain(error, folder) from error


def _identity(path: Path) -> str:
    stat = path.stat()
    return hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}".encode()).hexdigest()[:32]


def _check(h: Hyper, context: int | None) -> None:
    if context is not None and not 1 <= context <= h.context:
        raise UsageError(f"context is {context}, must be between 1 and {h.context}, what this model was trained for")
    if h.head_size % 16 or h.head_size > 256:
        raise ForetellError(f"heads of {h.head_size} are not supported; they must be a multiple of 16 and at most 256")
    if h.width % 16:
        raise ForetellError(f"a width of {h.width} is not supported; it must be a multiple of 16")
