"""How packed weights and quantised activations lie in memory: the one place that knows.

Weights are stored in groups of 16 output rows. Four consecutive inputs of 16 outputs make one vector of 64 bytes,
byte 4 * output + input, so that one dot-product instruction multiplies 16 outputs by 4 inputs. 32 inputs are 8 such
vectors, numbered 0..7.

Quants keep their low four bits (or all eight) in `low` and the rest in `high`:
    low, 4 bits    4 x 64 bytes: byte b of line g holds vector 2g in its low nibble, vector 2g + 1 in its high nibble
    low, 8 bits    8 x 64 bytes
    high, 1 bit    64 bytes: bit v of byte b belongs to vector v
    high, 2 bits   2 x 64 bytes: bits 2(v mod 4).. of byte b of line v // 4 belong to vector v

A superblock group is a sequence of blocks of 256 inputs, each:
    low of 8 x 32 inputs | high of 8 x 32 inputs | scales | minima | d f16[16] | dmin f16[16] | padding to 64 bytes
with scales u8[8][16] and minima u8[4][16][2] (pairs of 32 inputs, for the paired dot product) for Q4_K and Q5_K,
scales i8[16][16] for Q6_K.

A block group keeps its parts apart, so that each stays aligned: low of all its blocks | high | d f16[blocks][16] | m
f16[blocks][16] | padding.

A float group is element[inputs][16].

Activations of a pass are cut into tiles of rows (`ISA.tile`, the last one smaller), each tile stored by itself:
    values i8[blocks][rows][256 or 32] | one array each of scales f32[blocks][rows] and of sums, see `Activation`.
"""

from dataclasses import dataclass

import numpy as np

GROUP = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of one packed format.

    block: inputs a block. sub: inputs a scale. low, high: bits. offset: what is subtracted from an unsigned quant.
    minimum: whether a block has minima (value = scale * quant - minimum, or + m for the block family).
    """

    name: str
    family: str
    block: int
    sub: int
    low: int
    high: int
    offset: int
    minimum: bool
    item_bytes: int = 0

    @property
    def bits(self) -> int:
        """Bits of an unsigned quant."""
        return self.low + self.high

    @property
    def low_bytes(self) -> int:
        """Bytes of the low part of 32 inputs of 16 outputs."""
        return 64 * self.low

    @property
    def high_bytes(self) -> int:
        """Bytes of the high part of 32 inputs of 16 outputs."""
        return 64 * self.high

    @property
    def scales_at(self) -> int:
        """Where the integer scales of a superblock begin."""
        return 8 * (self.low_bytes + self.high_bytes)

    @property
    def minima_at(self) -> int:
        """Where the integer minima of a superblock begin."""
        return self.scales_at + GROUP * self.block // self.sub

    @property
    def d_at(self) -> int:
        """Where the float scale of a superblock begins; `dmin` follows it."""
        return self.minima_at + (GROUP * 8 if self.minimum else 0)

    @property
    def block_bytes(self) -> int:
        """Bytes of one superblock of 16 outputs, padded to a cache line."""
        return aligned(self.d_at + (64 if self.minimum else 32))

    def group_bytes(self, inputs: int) -> int:
        """Bytes of 16 output rows."""
        if self.family == "float":
            return aligned(GROUP * self.item_bytes * inputs)
        if self.family == "superblock":
            return inputs // self.block * self.block_bytes
        per_block = self.low_bytes + self.high_bytes + (64 if self.minimum else 32)
        return aligned(inputs // self.block * per_block)

    def bytes(self, outputs: int, inputs: int) -> int:
        """Bytes of a packed matrix; outputs are padded to 16."""
        return groups(outputs) * self.group_bytes(inputs)


def groups(outputs: int) -> int:
    """Groups of 16 that hold so many outputs."""
    return -(-outputs // GROUP)


def float_bits(number: float) -> int:
    """A float32 as the low half of a record's field; infinite beyond the largest."""
    with np.errstate(over="ignore"):
        return int(np.float32(number).view(np.uint32))


def aligned(size: int, to: int = 64) -> int:
    """Round a size up."""
    return -(-size // to) * to


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("Q4_K", "superblock", 256, 32, 4, 0, 0, minimum=True),
        Layout("Q5_K", "superblock", 256, 32, 4, 1, 0, minimum=True),
        Layout("Q6_K", "superblock", 256, 16, 4, 2, 32, minimum=False),
        Layout("Q4_0", "block", 32, 32, 4, 0, 8, minimum=False),
        Layout("Q4_1", "block", 32, 32, 4, 0, 0, minimum=True),
        Layout("Q5_0", "block", 32, 32, 4, 1, 16, minimum=False),
        Layout("Q5_1", "block", 32, 32, 4, 1, 0, minimum=True),
        Layout("Q8_0", "block", 32, 32, 8, 0, 128, minimum=False),
        Layout("F32", "float", 1, 1, 0, 0, 0, minimum=False, item_bytes=4),
        Layout("F16", "float", 1, 1, 0, 0, 0, minimum=False, item_bytes=2),
        Layout("BF16", "float", 1, 1, 0, 0, 0, minimum=False, item_bytes=2),
    )
}


@dataclass(frozen=True, slots=True)
class Activation:
    """Sizes of a row's quantised form, bytes a row, for `inputs` inputs.

    superblock: values i8, scales f32 per 256, then per 256 inputs 80 bytes of sums: i32[16] of -32 * (sum of 16
    values), for Q6_K's offset, and i16[8] of sums of 32 values, for minima. block: values i8, scales f32 per 32, i32
    per 32: minus the sum of the values; f32 per 32: scale * sum. float: values f32.
    """

    family: str

    @property
    def block(self) -> int:
        """Inputs that share a scale."""
        return {"superblock": 256, "block": 32, "float": 1}[self.family]

    @property
    def sums_bytes(self) -> int:
        """Bytes of sums a block of a row."""
        return {"superblock": 80, "block": 8, "float": 0}[self.family]

    def sizes(self, inputs: int) -> tuple[int, int, int]:
        """Bytes a row of values, scales and sums."""
        if self.family == "float":
            return 4 * inputs, 0, 0
        blocks = inputs // self.block
        return inputs, 4 * blocks, self.sums_bytes * blocks


ACTIVATIONS = {family: Activation(family) for family in ("superblock", "block", "float")}

PAGE = 128  # positions in a page of the key-value cache; also the span over which attention sums before merging


def page_layer_bytes(kv_heads: int, head_size: int) -> int:
    """Bytes of one layer's keys and values in a page."""
    return 4 * PAGE * kv_heads * head_size
