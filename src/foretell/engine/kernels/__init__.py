"""The kernels: Python that writes LLVM IR. `Kernels` compiles what a model needs, or loads it from the cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from foretell.engine.isa import ISA
from foretell.engine.jit import Build, Library
from foretell.engine.kernels import attention, driver, embedding, frame, product, rowwise, scores
from foretell.engine.layout import LAYOUTS

_DEAR = ("superblock", "block", "float")  # families, those first that take longest to compile
_FIXED = {
    "attention": attention,
    "scores": scores,
    "rowwise": rowwise,
    "frame": frame,
    "driver": driver,
}


@dataclass(frozen=True, slots=True)
class Module:
    """Kernels that are compiled together: the functions that they export, and what writes their LLVM IR."""

    exports: tuple[str, ...]
    build: Build


def modules(formats: Iterable[str], embedded: Iterable[str]) -> dict[str, Module]:
    """By name, all that models need whose matrices have these formats, and their embeddings those; the dear ones first.

    Embeddings are read as they lie in the file, so their formats need no product.
    """
    out = {}
    for name in sorted(set(formats), key=lambda each: (_DEAR.index(LAYOUTS[each].family), each)):
        layout = LAYOUTS[name]
        out[f"product_{name}"] = Module(product.exports(layout), partial(product.build, layout=layout))
    for name, each in _FIXED.items():
        out[name] = Module(each.EXPORTS, each.build)
    for name in sorted(set(embedded)):
        out[f"embedding_{name}"] = Module(embedding.exports(name), partial(embedding.build, name=name))
    return out


class Kernels:
    """Addresses of compiled functions by name."""

    def __init__(self, isa: ISA, formats: Iterable[str], embedded: Iterable[str], cache_dir: Path | None) -> None:
        self.isa = isa
        self._libraries: list[Library] = []
        self._addresses: dict[str, int] = {}
        for name, module in modules(formats, embedded).items():
            library = Library(name, module.exports, isa, module.build, cache_dir)
            self._libraries.append(library)
            self._addresses |= {each: library[each] for each in module.exports}

    def __getitem__(self, name: str) -> int:
        return self._addresses[name]
