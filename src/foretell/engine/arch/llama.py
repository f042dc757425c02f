"""Llama and its relatives (arXiv 2302.13971, 2407.21783), SmolLM among them."""

from foretell.engine.arch.decoder import decoder
from foretell.engine.graph import Graph
from foretell.engine.hyper import Hyper


def llama(hyper: Hyper) -> Graph:
    """The tensor graph of one pass."""
    return decoder(hyper, biases=hyper.qkv_biases)
