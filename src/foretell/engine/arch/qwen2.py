"""Qwen2 and Qwen2.5 (arXiv 2407.10671): biases on queries, keys and values."""

from foretell.engine.arch.decoder import decoder
from foretell.engine.graph import Graph
from foretell.engine.hyper import Hyper


def qwen2(hyper: Hyper) -> Graph:
    """The tensor graph of one pass."""
    return decoder(hyper, biases=True)
