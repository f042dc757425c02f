"""The tensor graph and its fusions; what graphs mean is checked with the engine's scores (`test_engine_reference`)."""

import numpy as np
import pytest

from foretell.engine.arch import ARCHITECTURES
from foretell.engine.fuse import accumulate, fuse, gate
from foretell.engine.graph import (
    Add,
    Builder,
    Embed,
    Gated,
    Graph,
    Multiply,
    Norm,
    Product,
    Scores,
    Silu,
    operands,
    show,
    users,
    without_dead,
)
from foretell.engine.hyper import Hyper
from foretell.models.gguf import GGUF
from tiny import MODELS, Zoo

EMBED, NORM = Embed(), Norm(0, "n")
FEED_FORWARD: Graph = (
    EMBED,
    NORM,
    Product(1, "gate"),
    Silu(2),
    Product(1, "up"),
    Multiply(3, 4),
    Product(5, "down"),
    Add(0, 6),
    Scores(7),
)
SAME = {"gate": "Q4_K", "up": "Q4_K", "down": "Q6_K"}


def evaluate(graph: Graph) -> np.ndarray:
    """A graph without attention, on random numbers for everything that is named. `onto` writes into its operand."""
    size, values = 8, list[np.ndarray]()

    def named(name: str, *shape: int) -> np.ndarray:
        return np.random.default_rng(list(name.encode())).normal(size=shape)

    def product(x: np.ndarray, weight: str, bias: str | None = None) -> np.ndarray:
        return named(weight, size, size) @ x + (named(bias, size) if bias else 0)

    for node in graph:
        match node:
            case Embed():
                values.append(named("embedding", size))
            case Norm(x, weight):
                values.append(values[x] / np.linalg.norm(values[x]) * named(weight, size))
            case Product(x, weight, bias, None):
                values.append(product(values[x], weight, bias))
            case Product(x, weight, bias, onto):
                assert onto is not None
                values[onto] += product(values[x], weight, bias)
                values.append(values[onto])
            case Silu(x):
                values.append(values[x] / (1 + np.exp(-values[x])))
            case Multiply(a, b):
                values.append(values[a] * values[b])
            case Add(a, b):
                values.append(values[a] + values[b])
            case Gated(x, gate_, up):
                a = product(values[x], gate_)
                values.append(a / (1 + np.exp(-a)) * product(values[x], up))
            case Scores(x):
                return values[x].copy()
            case _:
                raise AssertionError(node)
    raise AssertionError("no scores")


def test_gate_and_up_of_one_format_become_one_operation() -> None:
    fused = gate(FEED_FORWARD, SAME)
    assert fused == (EMBED, NORM, Gated(1, "gate", "up"), Product(2, "down"), Add(0, 3), Scores(4))
    assert np.allclose(evaluate(fused), evaluate(FEED_FORWARD))


def test_additions_become_part_of_the_product() -> None:
    fused = accumulate(FEED_FORWARD)
    assert fused[-2:] == (Product(5, "down", onto=0), Scores(6))
    assert np.allclose(evaluate(fused), evaluate(FEED_FORWARD))


def test_all_fusions() -> None:
    assert fuse(FEED_FORWARD, SAME) == (EMBED, NORM, Gated(1, "gate", "up"), Product(2, "down", onto=0), Scores(3))


def changed(**nodes: object) -> Graph:
    """FEED_FORWARD with other nodes, by n and number."""
    graph = list(FEED_FORWARD)
    for name, node in nodes.items():
        graph[int(name[1:])] = node  # type: ignore[call-overload]
    return tuple(graph)


@pytest.mark.parametrize(
    ("graph", "formats"),
    [
        (FEED_FORWARD, SAME | {"up": "Q8_0"}),
        (changed(n2=Product(1, "gate", bias="b")), SAME),
        (changed(n4=Product(1, "up", bias="b")), SAME),
        (changed(n4=Product(0, "up")), SAME),  # of something else
        (changed(n3=Silu(1)), SAME),
        (changed(n5=Multiply(4, 3)), SAME),
    ],
    ids=["two formats", "gate with bias", "up with bias", "two inputs", "no product", "other way round"],
)
def test_what_cannot_be_gated_stays(graph: Graph, formats: dict[str, str]) -> None:
    assert gate(graph, formats) is graph


def test_a_gate_that_is_read_elsewhere_too_stays_beside() -> None:
    graph = (*FEED_FORWARD[:8], Add(7, 2), Scores(8))
    fused = gate(graph, SAME)
    assert sum(isinstance(node, Gated) for node in fused) == 1
    assert np.allclose(evaluate(fused), evaluate(graph))


@pytest.mark.parametrize(
    "graph",
    [
        (EMBED, NORM, Product(1, "w"), Add(0, 2), Add(3, 0), Scores(4)),  # the old value is read again
        (EMBED, NORM, Product(1, "w"), Add(0, 2), Add(3, 2), Scores(4)),  # so is the product
        (EMBED, NORM, Silu(1), Add(0, 2), Scores(3)),
    ],
    ids=["read again", "product read twice", "no product"],
)
def test_what_cannot_be_accumulated_stays(graph: Graph) -> None:
    assert accumulate(graph) is graph


def test_accumulation_keeps_the_meaning_of_chains() -> None:
    graph: Graph = (EMBED, NORM, Product(1, "a"), Add(0, 2), Norm(3, "m"), Product(4, "b"), Add(3, 5), Scores(6))
    fused = accumulate(graph)
    assert fused == (EMBED, NORM, Product(1, "a", onto=0), Norm(2, "m"), Product(3, "b", onto=2), Scores(4))
    assert np.allclose(evaluate(fused), evaluate(graph))


def test_dead_nodes_go_and_the_rest_is_renumbered() -> None:
    graph: Graph = (EMBED, Silu(0), NORM, Silu(2), Scores(3))
    assert without_dead(graph) == (EMBED, Norm(0, "n"), Silu(1), Scores(2))
    assert without_dead(FEED_FORWARD) is FEED_FORWARD


def test_operands_and_users() -> None:
    assert list(operands(Product(3, "w", onto=1))) == [3, 1]
    assert list(operands(EMBED)) == []
    assert users(FEED_FORWARD)[:3] == [[1, 7], [2, 4], [3]]


def test_show() -> None:
    text = show((EMBED, Norm(0, "n", wanted=True), Product(1, "w", bias="b", onto=0), Scores(2)))
    assert text.splitlines() == [
        "%0 = embed",
        "%1 = norm x=%0 weight=n wanted=True",
        "%2 = product x=%1 weight=w bias=b onto=%0",
        "%3 = scores x=%2",
    ]


def test_a_builder_numbers_its_nodes() -> None:
    builder = Builder()
    assert [builder.add(EMBED), builder.add(NORM)] == [0, 1]
    assert builder.nodes == [EMBED, NORM]


@pytest.mark.parametrize("name", MODELS)
def test_architectures_name_every_tensor_once_and_fuse_fully(zoo: Zoo, name: str) -> None:
    with GGUF.open(zoo.path(name)) as gguf:
        hyper, formats = Hyper.read(gguf), {key: tensor.format for key, tensor in gguf.tensors.items()}
    graph = ARCHITECTURES[hyper.architecture](hyper)
    fused = fuse(graph, formats)
    known = set(formats) - {"rope_freqs.weight"} - (set() if hyper.tied else {"token_embd.weight"})
    for each in (graph, fused):
        fields = ("weight", "bias", "gate", "up", "q_norm", "k_norm")
        named = [getattr(node, field) for node in each for field in fields if getattr(node, field, None)]
        assert sorted(named) == sorted(known)
        assert all(ref < number for number, node in enumerate(each) for ref in operands(node))
    assert not any(isinstance(node, Add) for node in fused)
    one_format = formats["blk.0.ffn_gate.weight"] == formats["blk.0.ffn_up.weight"]
    assert sum(isinstance(node, Gated) for node in fused) == (hyper.layers if one_format else 0)
    assert len(graph) > len(fused)
