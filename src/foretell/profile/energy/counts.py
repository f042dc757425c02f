"""What passes of a model read and multiply, counted from its tensor graph and the sizes of its packed weights.

Counted is what a pass must move at least once: packed weights and vectors, rows of the embedding matrix, the context's
keys and values and the new ones; and the multiply-adds of matrix products and attention. Activations and logits stay in
caches, and so does a small model in a large cache: how many bytes come from memory itself is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from foretell.profile.energy.work import Work

if TYPE_CHECKING:
    from foretell.engine.native import NativeModel


@dataclass(frozen=True, slots=True)
class PassCounts:
    """Of one pass. weights: packed matrices and vectors; cache: keys and values read and written."""

    weight_bytes: int
    cache_bytes: int
    embedding_bytes: int
    product_macs: int
    attention_macs: int

    @property
    def work(self) -> Work:
        """All of it, without its time."""
        n_bytes = self.weight_bytes + self.cache_bytes + self.embedding_bytes
        return Work(n_bytes, self.product_macs + self.attention_macs)


@dataclass(frozen=True, slots=True)
class PassCounter:
    """A model's passes. Bytes and multiply-adds: of every pass, of every row, of every scored row, of a token seen.

    always_bytes: weights that every pass reads. output_bytes: those that a pass reads which scores rows.
    cache_bytes: keys and values of a token. row_bytes: of the embedding matrix.
    row_macs, scored_macs: products. seen_macs: attention of a row to a token.
    """

    always_bytes: int
    output_bytes: int
    cache_bytes: int
    row_bytes: int
    row_macs: int
    scored_macs: int
    seen_macs: int

    def of_pass(self, rows: int, context: int, wanted: int | None = None) -> PassCounts:
        """Of a chain of rows behind so many tokens, of which `wanted` are scored; None: all."""
        scored = rows if wanted is None else wanted
        seen = rows * context + rows * (rows + 1) // 2
        return PassCounts(
            self.always_bytes + (self.output_bytes if scored else 0),
            (context + rows) * self.cache_bytes,
            rows * self.row_bytes,
            rows * self.row_macs + scored * self.scored_macs,
            seen * self.seen_macs,
        )

    def of_prompt(self, tokens: int, piece_rows: int, context: int = 0) -> Work:
        """Of reading a prompt in pieces, of which the last token is scored."""
        work = Work()
        for start in range(0, tokens, piece_rows):
            rows = min(piece_rows, tokens - start)
            work += self.of_pass(rows, context + start, int(start + rows == tokens)).work
        return work


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
