"""From logits to what the decode loop asks for: the chosen token, the likeliest ones.

What is chosen is defined in `foretell.accept.warpers`; here is how it is found with few looks at each logit, by rows
and spans of the vocabulary in parallel:

    spread        of a cut output matrix only: to true ids (spread.py)
    span_max      the largest logit of each lane of each span (logits.py)
    row_max       of the row; and a floor, below which no logit matters to top-k and top-p (selecting.py)
    histogram     of logits by their distance below the largest: how many, and their weights (selecting.py)
    cut, rank     the bin where top-k or top-p ends, and in it the last survivor (selecting.py, keys.py)
    draw          noise for those logits that could win with it (drawing.py)

Steps 3 to 5 of the definition each keep a prefix in rank order (larger logit first, equal ones by lower id), so what
they leave over is said by the last logit and id that are kept and by min-p's threshold. The penalty changes the logits
in place; `restore` puts the old ones back.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine.isa import ISA
from foretell.engine.kernels import drawing, keys, logits, selecting, spread

EXPORTS = (*spread.EXPORTS, *logits.EXPORTS, *selecting.EXPORTS, *drawing.EXPORTS)


def build(module: ir.Module, isa: ISA) -> None:
    """All operations."""
    for part in (spread, logits, keys, selecting, drawing):
        part.build(module, isa)
