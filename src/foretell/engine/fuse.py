"""Fusions: rewrites of the tensor graph that keep its meaning and save passes over memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from foretell.engine.graph import Add, Gated, Graph, Multiply, Node, Product, Silu, users, without_dead


def fuse(graph: Graph, formats: Mapping[str, str]) -> Graph:
    """All fusions. `formats`: tensor name to format name."""
    return without_dead(accumulate(gate(graph, formats)))


def gate(graph: Graph, formats: Mapping[str, str]) -> Graph:
    """multiply (silu (product x g)) (product x u)  →  gated x g u, where one kernel reads both formats."""
    new: dict[int, Node] = {}
    for number, node in enumerate(graph):
        if not isinstance(node, Multiply):
            continue
        silu, up = graph[node.a], graph[node.b]
        if not (isinstance(silu, Silu) and isinstance(up, Product)):
            continue
        inner = graph[silu.x]
        if not isinstance(inner, Product) or inner.x != up.x or inner.bias or up.bias:
            continue
        if formats[inner.weight] == formats[up.weight]:
            new[number] = Gated(up.x, inner.weight, up.weight)
    return _replaced(graph, new)


def accumulate(graph: Graph) -> Graph:
    """add a (product x w)  →  product x w onto a, where nothing reads the old `a` afterwards."""
    new: dict[int, Node] = {}
    readers = users(graph)
    for number, node in enumerate(graph):
        if not isinstance(node, Add):
            continue
        product = graph[node.b]
        if not isinstance(product, Product) or product.onto is not None or readers[node.b] != [number]:
            continue
        if max(readers[node.a]) == number:
            new[number] = replace(product, onto=node.a)
    return _replaced(graph, new)


def _replaced(graph: Graph, new: Mapping[int, Node]) -> Graph:
    """The graph with some nodes replaced by number; the same object where there are none."""
    return without_dead(tuple(new.get(number, node) for number, node in enumerate(graph))) if new else graph
