"""Architectures: each is a function from a model's shape to the tensor graph of one pass."""

from collections.abc import Callable

from foretell.engine.arch.llama import llama
from foretell.engine.arch.qwen2 import qwen2
from foretell.engine.arch.qwen3 import qwen3
from foretell.engine.graph import Graph
from foretell.engine.hyper import Hyper

ARCHITECTURES: dict[str, Callable[[Hyper], Graph]] = {"llama": llama, "qwen2": qwen2, "qwen3": qwen3}
