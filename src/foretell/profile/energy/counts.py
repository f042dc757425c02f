"""What passes of a model read and multiply, counted from its tensor graph and the sizes of its packed weights.

Counted is what a pass must move at least once: packed weights and vectors, rows of the embedding matrix, the context's
keys and values and the new ones; and the multiply-adds of matrix products and attention. Activations and logits stay in
caches, and so does a small model in a large cache: how many bytes come from memory itself is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.engine.approximate import Approximated
from foretell.engine.arch import ARCHITECTURES
from foretell.engine.dequantise import FORMATS
from foretell.engine.fuse import fuse
from foretell.engine.graph import Attention, Embed, Gated, Graph, Norm, Product, Scores, users
from foretell.engine.hyper import Hyper
from foretell.engine.layout import PAGE, page_layer_bytes
from foretell.engine.pack import Packed, plan
from foretell.models.gguf import GGUF
from foretell.profile.energy.counter import PassCounter

if TYPE_CHECKING:
    from foretell.engine.native import NativeModel


def of_model(model: NativeModel) -> PassCounter:
    """A loaded model's."""
    return count(model.graph, model.hyper, model.weights.tensors, model.gguf.tensors["token_embd.weight"].format)


def of_file(path: Path, precision: str | None = None) -> PassCounter:
    """A GGUF file's, which is not loaded; `precision` as in `foretell.engine.approximate`."""
    with GGUF.open(path) as gguf:
        hyper = Hyper.read(gguf)
        source = Approximated(gguf, hyper, precision=precision)
        tensors, _ = plan(source, frozenset({"rope_freqs.weight"}))
        graph = fuse(
            ARCHITECTURES[hyper.architecture](hyper), {name: packed.layout for name, packed in tensors.items()}
        )
        return count(graph, hyper, tensors, gguf.tensors["token_embd.weight"].format)


def count(graph: Graph, hyper: Hyper, tensors: Mapping[str, Packed], embedding: str) -> PassCounter:
    """From a graph; `tensors` has the weights that it names, `embedding` is the format of the embedding matrix."""
    readers = users(graph)
    always = output = cache = row_bytes = row_macs = scored_macs = seen_macs = 0
    for number, node in enumerate(graph):
        match node:
            case Embed():
                row_bytes += FORMATS[embedding].row_bytes(hyper.width)
            case Norm(_, weight, _):
                always += tensors[weight].n_bytes
            case Product():
                n_bytes = sum(tensors[name].n_bytes for name in (node.weight, node.bias) if name)
                macs = tensors[node.weight].outputs * tensors[node.weight].inputs
                if any(isinstance(graph[each], Scores) for each in readers[number]):
                    output, scored_macs = output + n_bytes, scored_macs + macs
                else:
                    always, row_macs = always + n_bytes, row_macs + macs
            case Gated(_, gate, up):
                always += tensors[gate].n_bytes + tensors[up].n_bytes
                row_macs += sum(tensors[name].outputs * tensors[name].inputs for name in (gate, up))
            case Attention():
                always += sum(tensors[name].n_bytes for name in (node.q_norm, node.k_norm) if name)
                cache += page_layer_bytes(hyper.kv_heads, hyper.head_size) // PAGE
                seen_macs += 2 * hyper.heads * hyper.head_size
            case _:
                continue
    return PassCounter(always, output, cache, row_bytes, row_macs, scored_macs, seen_macs)
