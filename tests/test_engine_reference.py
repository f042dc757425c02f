"""The engine against a plain float32 forward pass of the dequantised weights."""

import numpy as np
import pytest

from foretell.backend.protocol import Rows
from foretell.engine.reference import Reference
from tiny import ISAS, LOGITS, MODELS, Zoo, tokens

# Root mean square of the difference over that of the scores.
#
# Float weights: activations stay float32, but keys and values are rounded to 11 bits (relative error up to 2^-12 each,
# in two layers).
#
# Integer weights: an activation is rounded to a step of 1/127 of the largest of its 32 or 256. For normal numbers the
# largest of 256 is about 2.9 deviations, so the error is 2.9 / 127 / sqrt(12) = 0.0066 of a deviation, and so is that
# of a product. A score has up to a dozen such errors added up on its way (4 products a layer, 2 or 3 layers, and the
# last): 0.0066 * sqrt(12) = 0.023, and some more where attention and silu are steep.
TOLERANCE = {"qwen3": 0.002, "llama": 0.03, "qwen2": 0.03, "mixed": 0.04}


@pytest.mark.parametrize("instructions", ISAS)
@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_the_reference(zoo: Zoo, name: str, instructions: str) -> None:
    text = tokens(7, 150)  # crosses a page
    reference = Reference(zoo.path(name))
    expected = reference.logits(text)
    reference.close()
    session = zoo.load(name, instructions).session()
    sequence = session.open()
    got = session.step(Rows.chain(text, sequence), LOGITS).logits
    assert got is not None
    error = np.sqrt(np.mean((got - expected) ** 2)) / np.std(expected)
    assert error < TOLERANCE[name]
    assert np.isfinite(got).all()
