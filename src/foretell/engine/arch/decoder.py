"""What the supported decoders share: pre-norm attention and gated feed-forward blocks on a residual stream."""

from foretell.engine.graph import Add, Attention, Builder, Embed, Graph, Multiply, Norm, Product, Ref, Scores, Silu
from foretell.engine.hyper import Hyper


def decoder(hyper: Hyper, *, biases: bool = False, norms: bool = False) -> Graph:
    """The graph of a decoder. biases: on queries, keys and values. norms: of each head's query and key."""
    g = Builder()
    x = g.add(Embed())
    for layer in range(hyper.layers):
        name = f"blk.{layer}."
        x = g.add(Add(x, _attention(g, x, name, layer, biases=biases, norms=norms)))
        x = g.add(Add(x, _feed_forward(g, x, name)))
    final = g.add(Norm(x, "output_norm.weight", wanted=True))
    logits = g.add(Product(final, hyper.output))
    g.add(Scores(logits))
    return tuple(g.nodes)


def _attention(g: Builder, x: Ref, name: str, layer: int, *, biases: bool, norms: bool) -> Ref:
    normed = g.add(Norm(x, name + "attn_norm.weight"))
    q, k, v = (
        g.add(Product(normed, f"{name}attn_{part}.weight", bias=f"{name}attn_{part}.bias" if biases else None))
        for part in "qkv"
    )
    q_norm, k_norm = (f"{name}attn_{part}_norm.weight" if norms else None for part in "qk")
    mixed = g.add(Attention(q, k, v, layer, q_norm, k_norm))
    return g.add(Product(mixed, name + "attn_output.weight"))


def _feed_forward(g: Builder, x: Ref, name: str) -> Ref:
    normed = g.add(Norm(x, name + "ffn_norm.weight"))
    gate = g.add(Silu(g.add(Product(normed, name + "ffn_gate.weight"))))
    up = g.add(Product(normed, name + "ffn_up.weight"))
    return g.add(Product(g.add(Multiply(gate, up)), name + "ffn_down.weight"))
