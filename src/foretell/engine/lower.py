"""A graph lowered to operations: memory for what they read and write, their argument records, and stages.

Records hold addresses, so they are made once for a capacity of rows; what changes from pass to pass are a few numbers
(`foretell.engine.frame`). Operations of a stage do not read one another's results; a stage begins when the one before
it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from foretell.engine.frame import Frame
from foretell.engine.graph import Add, Attention, Embed, Gated, Graph, Multiply, Norm, Product, Scores, Silu, users
from foretell.engine.hyper import Hyper
from foretell.engine.kernels import attention, embedding, product, rowwise, spread
from foretell.engine.kernels import frame as frames
from foretell.engine.layout import ACTIVATIONS, LAYOUTS, aligned, float_bits, groups, page_layer_bytes
from foretell.engine.pack import Weights
from foretell.engine.scoring import OPS, Need, Scorer
from foretell.engine.team import i64

CHUNK_BYTES = 64 * 1024  # packed bytes of a product that a thread takes at a time: some microseconds of reading


class Items(Enum):
    """What an operation's number of work items depends on: a field of the frame."""

    FIXED = frames.ONE
    SCORED = frames.SCORED  # FIXED, in passes whose scores are wanted
    ROWS = frames.ROWS
    WANTED = frames.WANTED
    ATTEND = frames.ATTEND
    MERGE = frames.MERGE


@dataclass(frozen=True, slots=True)
class Embedding:
    """The embedding matrix as it lies in the file: uint8 [vocabulary, bytes of a row] of a format."""

    format: str
    data: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Op:
    """A kernel, its record, and its items: `factor` times what `kind` says, `chunk` at a time.

    need: of an operation on logits; it has no items in a pass that does not need it.
    """

    kernel: str
    record: NDArray[np.int64]
    kind: Items
    factor: int
    chunk: int
    need: Need = Need.ALWAYS


class Lowering:
    """The operations of a pass over at most `rows` rows of which `wanted` are scored.

    stages: lists of operations. frame and scorer: what a pass sets before it runs.
    """

    def __init__(
        self,
        graph: Graph,
        hyper: Hyper,
        weights: Weights,
        embedded: Embedding,
        rope: NDArray[np.float32],
        threads: int,
        rows: int,
        wanted: int,
        keep: NDArray[np.int32] | None = None,
    ) -> None:
        self.rows, self.wanted = rows, wanted
        self.stages: list[list[Op]] = []
        partial_floats = hyper.heads * attention.partial_floats(hyper.head_size)
        self.frame = Frame(rows, hyper.kv_heads, threads, partial_floats)
        self._graph, self._hyper, self._weights, self.threads = graph, hyper, weights, threads
        self._embedding = embedded
        self._kept = keep  # the token ids of the output matrix, ascending; None: all of the vocabulary
        self._rope = rope  # float32 [2, context, rope_size / 2]: cosines, sines
        self._keep: list[NDArray[np.generic]] = []
        self._users = users(graph)
        self._counts = {False: self.frame.at(frames.ROWS), True: self.frame.at(frames.WANTED)}  # by whether scored
        self._buffers()
        for number, node in enumerate(graph):
            self._lower(number, node)

    def silence(self, ids: NDArray[np.int32]) -> None:
        """Make these tokens impossible until a pass gives them logits again: the ids that were kept are changing."""
        self._logits[:, ids] = -np.inf

    def _array(self, n_bytes: int) -> NDArray[np.uint8]:
        array = i64(aligned(n_bytes, 64) // 8 + 8).view(np.uint8)
        self._keep.append(array)
        return array

    def _address(self, n_bytes: int) -> int:
        return int(self._array(n_bytes).ctypes.data)

    def _buffers(self) -> None:
        h, rows = self._hyper, self.rows
        self._qkv_width = (h.heads + 2 * h.kv_heads) * h.head_size
        self._residual = self._address(4 * rows * h.width)
        self._qkv, self._mixed = (
            self._address(4 * rows * self._qkv_width),
            self._address(4 * rows * h.heads * h.head_size),
        )
        self._hidden, self._hidden2 = self._address(4 * rows * groups(h.feed_forward) * 16), 0
        self._logits = self._logit_rows(h.vocabulary)
        self._kept_logits = self._logits  # as the output matrix gives them
        if self._kept is not None:
            self._kept_logits = self._logit_rows(len(self._kept))
            self._logits[:] = -np.inf
        self.scorer = Scorer(self._logits, h.vocabulary, self.threads, None if self._kept is None else len(self._kept))
        self.frame.point(frames.SCORER, self.scorer.record)
        self._shared_forms: dict[tuple[int, str, bool], tuple[int, int, int]] = {}
        self._normed = self._address(4 * h.width * self.threads)
        group_heads = h.heads // h.kv_heads
        self._forms: dict[int, dict[str, tuple[int, int, int]]] = {}
        self._place: dict[int, tuple[int, int]] = {}
        self._scratch = self._address(attention.scratch_bytes(group_heads) * self.threads)
        self._product_scratch = self._address(product.scratch_bytes(max(rows, self.wanted)) * self.threads)
        self._scratch_bytes = attention.scratch_bytes(group_heads)

    def _logit_rows(self, outputs: int) -> NDArray[np.float32]:
        """Memory for a number for each wanted row and output, outputs padded to 16."""
        stride = groups(outputs) * 16
        flat = self._array(4 * self.wanted * stride).view(np.float32)[: self.wanted * stride]
        return flat.reshape(self.wanted, stride)

    def _form(self, width: int, family: str, *, wanted: bool) -> tuple[int, int, int]:
        """Memory for rows of a width in a quantised form; read before it is written again, so it serves all layers."""
        key = (width, family, wanted)
        if key not in self._shared_forms:
            rows = self.wanted if wanted else self.rows
            sizes = ACTIVATIONS[family].sizes(width)
            self._shared_forms[key] = tuple(self._address(size * rows) for size in sizes)  # type: ignore[assignment]
        return self._shared_forms[key]

    def _families(self, number: int) -> set[str]:
        """Families of the weights that node `number`'s result is multiplied with."""
        out = set()
        for user in self._users[number]:
            node = self._graph[user]
            names = (
                [node.weight] if isinstance(node, Product) else [node.gate, node.up] if isinstance(node, Gated) else []
            )
            out |= {LAYOUTS[self._weights.tensors[n].layout].family for n in names}
        return out

    def _targets(self, number: int, width: int, *, wanted: bool) -> list[int]:
        """The record's fields that say where rows go in which form."""
        forms = {f: self._form(width, f, wanted=wanted) for f in self._families(number)}
        self._forms[number] = forms
        none = (0, 0, 0)
        sb, bl, fl = forms.get("superblock", none), forms.get("block", none), forms.get("float", none)
        return [self._counts[wanted], width, *sb, *bl, fl[0]]

    def _lower(self, number: int, node: object) -> None:
        h = self._hyper
        match node:
            case Embed():
                self._embed()
                self._place[number] = self._residual, h.width
            case Norm(x, weight, wanted):
                fields = self._targets(number, h.width, wanted=wanted)
                source, stride = self._place[x]
                gather = int(self.frame.wanted_rows.ctypes.data) if wanted else 0
                fields += [
                    source,
                    stride,
                    self._weights.address(weight),
                    float_bits(h.norm_epsilon),
                    gather,
                    self._normed,
                ]
                self._stage(
                    Op("norm", self._record(fields, rowwise.FIELDS), Items.WANTED if wanted else Items.ROWS, 1, 1)
                )
            case Product():
                self._product(number, node)
            case Gated(x, gate, up):
                fields = self._product_fields(x, gate, self._hidden, groups(h.feed_forward) * 16, wanted=False)
                fields += [0, 0, self._weights.address(up), self._group_bytes(up)]
                self._stage(self._groups_op(f"gated_{self._weights.tensors[gate].layout}", fields, gate, 2))
                self._place[number] = self._hidden, groups(h.feed_forward) * 16
                self._quantise(number, h.feed_forward)
            case Silu(x):
                self._place[number] = self._place[x]  # applied by the multiplication that follows
            case Multiply(a, b):
                (gate_at, stride), (up_at, _) = self._place[a], self._place[b]
                fields = [gate_at, up_at, stride]
                self._stage(Op("silu_multiply", self._record(fields, 8), Items.ROWS, 1, 1))
                self._place[number] = gate_at, stride
                self._quantise(number, h.feed_forward)
            case Attention():
                self._attention(number, node)
            case Scores():
                if self._kept is not None:
                    self._spread(self._kept)
                for op in OPS:
                    factor = self.scorer.spans if op.by_span else 1
                    self._stage(Op(op.kernel, self.scorer.record, Items.WANTED, factor, 1, op.need))
            case Add():
                raise NotImplementedError(f"node {number}: an addition that is not part of a product")

    def _embed(self) -> None:
        data = self._embedding.data
        fields = [self.frame.address, int(data.ctypes.data), data.shape[1], self._hyper.width, self._residual]
        record = self._record(fields, embedding.FIELDS)
        self._stage(Op(f"embed_{self._embedding.format}", record, Items.ROWS, 1, 1))

    def _record(self, fields: list[int], size: int) -> NDArray[np.int64]:
        record = i64(size)
        record[: len(fields)] = fields
        return record

    def _stage(self, op: Op, *, join: bool = False) -> None:
        if join:
            self.stages[-1].append(op)
        else:
            self.stages.append([op])

    def _group_bytes(self, name: str) -> int:
        packed = self._weights.tensors[name]
        return LAYOUTS[packed.layout].group_bytes(packed.inputs)

    def _product_fields(self, x: int, weight: str, out: int, stride: int, *, wanted: bool) -> list[int]:
        packed = self._weights.tensors[weight]
        layout = LAYOUTS[packed.layout]
        form = self._forms[x][layout.family]
        rows = self._counts[wanted]
        return [
            self._weights.address(weight),
            self._group_bytes(weight),
            packed.inputs // layout.block,
            *form,
            out,
            stride,
            rows,
        ]

    def _groups_op(self, kernel: str, fields: list[int], weight: str, matrices: int, *, wanted: bool = False) -> Op:
        chunk = max(1, CHUNK_BYTES // (matrices * self._group_bytes(weight)))
        record = self._record(fields, product.FIELDS)
        record[product.SCRATCH], record[product.SCRATCH_BYTES] = (
            self._product_scratch,
            product.scratch_bytes(max(self.rows, self.wanted)),
        )
        kind = Items.SCORED if wanted else Items.FIXED
        return Op(kernel, record, kind, groups(self._weights.tensors[weight].outputs), chunk)

    def _product(self, number: int, node: Product) -> None:
        h, packed = self._hyper, self._weights.tensors[node.weight]
        wanted = any(isinstance(self._graph[u], Scores) for u in self._users[number])
        join = False
        if wanted:
            out, stride = int(self._kept_logits.ctypes.data), self._kept_logits.shape[1]
        elif node.onto is not None:
            out, stride = self._place[node.onto]
        else:
            reader = next(self._graph[u] for u in self._users[number])
            if isinstance(reader, Attention):
                before = {reader.q: 0, reader.k: h.heads, reader.v: h.heads + h.kv_heads}[number]
                out, stride, join = self._qkv + 4 * before * h.head_size, self._qkv_width, number != reader.q
            else:
                join = isinstance(reader, Multiply)
                if join:
                    self._hidden2 = self._hidden2 or self._address(4 * self.rows * groups(h.feed_forward) * 16)
                out, stride = (self._hidden2 if join else self._hidden), groups(h.feed_forward) * 16
        fields = self._product_fields(node.x, node.weight, out, stride, wanted=wanted)
        fields += [self._weights.address(node.bias) if node.bias else 0, int(node.onto is not None)]
        self._stage(self._groups_op(f"product_{packed.layout}", fields, node.weight, 1, wanted=wanted), join=join)
        self._place[number] = out, stride

    def _spread(self, kept: NDArray[np.int32]) -> None:
        source, target = self._kept_logits, self._logits
        fields = [int(source.ctypes.data), source.shape[1], len(kept), int(kept.ctypes.data)]
        fields += [int(target.ctypes.data), target.shape[1]]
        self._stage(Op("spread", self._record(fields, spread.FIELDS), Items.WANTED, spread.spans(len(kept)), 1))

    def _quantise(self, number: int, width: int) -> None:
        source, stride = self._place[number]
        fields = [*self._targets(number, width, wanted=False), source, stride]
        self._stage(Op("quantise", self._record(fields, rowwise.FIELDS), Items.ROWS, -(-width // 1024), 2))

    def _attention(self, number: int, node: Attention) -> None:
        h, f = self._hyper, self.frame
        layer_at = node.layer * page_layer_bytes(h.kv_heads, h.head_size)
        at = [int(a.ctypes.data) for a in (f.positions, f.key_at, f.slots)]
        norms = [self._weights.address(n) if n else 0 for n in (node.q_norm, node.k_norm)]
        table = [int(self._rope[k].ctypes.data) for k in range(2)]
        fields = [
            self._counts[False],
            self._qkv,
            self._qkv_width,
            h.heads,
            h.kv_heads,
            h.head_size,
            h.rope_size // 2,
            *table,
            *at,
            layer_at,
        ]
        fields += [*norms, float_bits(h.norm_epsilon), int(h.rope_interleaved)]
        self._stage(Op("rope_store", self._record(fields, rowwise.ROPE_FIELDS), Items.ROWS, 1, 1))
        width, scale = h.heads * h.head_size, float_bits(h.head_size**-0.5)
        shape = [self._qkv, self._qkv_width, h.heads, h.kv_heads, h.head_size, scale, layer_at]
        fields = [*shape, f.address, self._mixed, width, self._scratch, self._scratch_bytes]
        record = self._record(fields, attention.FIELDS)
        self._stage(Op("attend", record, Items.ATTEND, 1, 1))
        self._stage(Op("merge", record, Items.MERGE, h.heads, 2))
        self._place[number] = self._mixed, width
        self._quantise(number, width)
