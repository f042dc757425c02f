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


@dataclass(frozen=True, slots=True)
class Module:
    """Kernels that are compiled together: the functions that they export, and what writes their LLVM IR."""

    exports: tuple[str, ...]
    build: Build


def modules(formats: Iterable[str]) -> dict[str, Module]:
    """By name, all that models need whose matrices have these formats."""
    fixed = {
        "driver": driver,
        "frame": frame,
        "embedding": embedding,
        "rowwise": rowwise,
        "attention": attention,
        "scores": scores,
    }
    out = {name: Module(each.EXPORTS, each.build) for name, each in fixed.items()}
    for name in sorted(set(formats)):
        layout = LAYOUTS[name]
        out[f"product_{name}"] = Module(product.exports(layout), partial(product.build, layout=layout))
    return out


class Kernels:
    """Addresses of compiled functions by name."""

    def __init__(self, isa: ISA, formats: Iterable[str], cache_dir: Path | None) -> None:
        self.isa = isa
        self._libraries: list[Library] = []
        self._addresses: dict[str, int] = {}
        for name, module in modules(formats).items():
            library = Library(name, module.exports, isa, module.build, cache_dir)
            self._libraries.append(library)
            self._addresses |= {each: library[each] for each in module.exports}

    def __getitem__(self, name: str) -> int:
        return self._addresses[name]
