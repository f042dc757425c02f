"""The kernels: Python that writes LLVM IR. `Kernels` compiles what a model needs, or loads it from the cache."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from foretell.engine.isa import ISA
from foretell.engine.jit import Library
from foretell.engine.kernels import attention, driver, product, rowwise, scores
from foretell.engine.layout import LAYOUTS


class Kernels:
    """Addresses of compiled functions by name."""

    def __init__(self, isa: ISA, formats: Iterable[str], cache_dir: Path | None) -> None:
        self.isa = isa
        self._libraries: list[Library] = []
        self._addresses: dict[str, int] = {}
        for name, module in (("driver", driver), ("rowwise", rowwise), ("attention", attention), ("scores", scores)):
            self._add(Library(name, module.EXPORTS, isa, module.build, cache_dir), module.EXPORTS)
        for name in sorted(set(formats)):
            layout = LAYOUTS[name]
            exports = product.exports(layout)
            build = partial(product.build, layout=layout)
            library = Library(f"product_{name}", exports, isa, build, cache_dir)
            self._add(library, exports)

    def _add(self, library: Library, exports: tuple[str, ...]) -> None:
        self._libraries.append(library)
        self._addresses |= {name: library[name] for name in exports}

    def __getitem__(self, name: str) -> int:
        return self._addresses[name]
