"""What the engine makes of a model, as text: its tensor graph before and after fusions, and its kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from foretell.engine import isa as instruction_sets
from foretell.engine import jit
from foretell.engine.arch import ARCHITECTURES
from foretell.engine.dequantise import FORMATS
from foretell.engine.fuse import fuse
from foretell.engine.graph import show
from foretell.engine.hyper import Hyper
from foretell.engine.kernels import modules
from foretell.engine.layout import LAYOUTS
from foretell.errors import UsageError
from foretell.models.gguf import GGUF

_ALL: Final = modules(LAYOUTS, FORMATS)
MODULES: Final = tuple(_ALL)  # names of all kernel modules


def graphs(path: Path, layers: int) -> tuple[str, str, int]:
    """The graph of a pass of a GGUF model, before and after its fusions, and how many layers the model has.

    layers: how many of them are shown, from the first; 0 shows all.
    """
    with GGUF.open(path) as gguf:
        hyper = Hyper.read(gguf)
        formats = {name: tensor.format for name, tensor in gguf.tensors.items()}
    shown = min(layers or hyper.layers, hyper.layers)
    graph = ARCHITECTURES[hyper.architecture](replace(hyper, layers=shown))
    return show(graph), show(fuse(graph, formats)), hyper.layers


def kernel(name: str, stage: Literal["llvm", "asm"], isa: str | None = None) -> str:
    """A kernel module as optimised LLVM IR or as assembly.

    Args:
        name: one of MODULES.
        stage: which of the two.
        isa: an instruction set that this processor has; None: its best.

    Raises:
        UsageError: there is no such module or instruction set.
    """
    if name not in MODULES:
        raise UsageError(f"there is no kernel module {name!r}; there are {', '.join(MODULES)}")
    chosen, build = instruction_sets.choose(isa), _ALL[name].build
    return jit.assembly(name, chosen, build) if stage == "asm" else str(jit.optimised(name, chosen, build))
