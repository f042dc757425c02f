"""The tensor graph of one pass: what is computed, before anything is said of memory, threads or machine code.

    node ::= embed                              rows of the embedding matrix
           | norm x weight [wanted]             RMS norm; `wanted` keeps only the rows whose scores are wanted
           | product x weight [bias] [onto]     x times a packed matrix, plus a bias, plus node `onto` (in its memory)
           | attention q k v layer [norms]      rotary embedding, cache, attention
           | silu x | multiply a b | add a b
           | gated x gate up                    silu(x gate) * (x up), one operation
           | scores x                           what the caller wants of the logits

A graph is a tuple of nodes; an operand is the number of an earlier node. Nodes are immutable, rewrites make new graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

Ref = int


@dataclass(frozen=True, slots=True)
class Embed:
    """Rows of the embedding matrix."""


@dataclass(frozen=True, slots=True)
class Norm:
    """RMS norm."""

    x: Ref
    weight: str
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Product:
    """x times the transposed matrix `weight`."""

    x: Ref
    weight: str
    bias: str | None = None
    onto: Ref | None = None


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention to the sequence's keys and values; q and k are rotated, and normalised first where norms are named."""

    q: Ref
    k: Ref
    v: Ref
    layer: int
    q_norm: str | None = None
    k_norm: str | None = None


@dataclass(frozen=True, slots=True)
class Silu:
    """x / (1 + e^-x)."""

    x: Ref


@dataclass(frozen=True, slots=True)
class Multiply:
    """Element by element."""

    a: Ref
    b: Ref


@dataclass(frozen=True, slots=True)
class Add:
    """Element by element."""

    a: Ref
    b: Ref


@dataclass(frozen=True, slots=True)
class Gated:
    """silu(x gate) * (x up)."""

    x: Ref
    gate: str
    up: str


@dataclass(frozen=True, slots=True)
class Scores:
    """The end of every graph: x are logits."""

    x: Ref


Node = Embed | Norm | Product | Attention | Silu | Multiply | Add | Gated | Scores
Graph = tuple[Node, ...]
_REFS = {"x", "a", "b", "q", "k", "v", "onto"}


class Builder:
    """Collects nodes; each method returns the new node's number."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, node: Node) -> Ref:
        """Append a node."""
        self.nodes.append(node)
        return len(self.nodes) - 1


def operands(node: Node) -> Iterator[Ref]:
    """The numbers of the nodes that this one reads."""
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name in _REFS and value is not None:
            yield value


def users(graph: Graph) -> list[list[int]]:
    """For each node, the numbers of those that read it."""
    out: list[list[int]] = [[] for _ in graph]
    for number, node in enumerate(graph):
        for ref in operands(node):
            out[ref].append(number)
    return out


def without_dead(graph: Graph) -> Graph:
    """Drop what nothing reads, and renumber."""
    read = {len(graph) - 1}
    for number in range(len(graph) - 1, -1, -1):
        if number in read:
            read.update(operands(graph[number]))
    if len(read) == len(graph):
        return graph
    renamed = {old: new for new, old in enumerate(sorted(read))}
    out = []
    for old in sorted(read):
        node = graph[old]
        changes: dict[str, Any] = {
            f.name: renamed[getattr(node, f.name)]
            for f in fields(node)
            if f.name in _REFS and getattr(node, f.name) is not None
        }
        out.append(replace(node, **changes))
    return tuple(out)


def show(graph: Graph) -> str:
    """The graph as text, a node a line."""
    lines = []
    for number, node in enumerate(graph):
        parts = []
        for f in fields(node):
            value = getattr(node, f.name)
            if value is not None and value is not False:
                parts.append(f"{f.name}=%{value}" if f.name in _REFS else f"{f.name}={value}")
        lines.append(f"%{number} = {type(node).__name__.lower()} {' '.join(parts)}".rstrip())
    return "\n".join(lines)
