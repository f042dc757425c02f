"""Qwen3 (arXiv 2505.09388): norms of each head's query and key."""

from foretell.engine.arch.decoder import decoder
from foretell.engine.graph import Graph
from foretell.engine.hyper import Hyper


def qwen3(hyper: Hyper) -> Graph:
    """The tensor graph of one pass."""
    return decoder(hyper, norms=True)
