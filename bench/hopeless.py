"""A draft model of the right tokens that is hardly ever right, to see what is made of it.

    python bench/hopeless.py MODEL OUT.gguf [--share 0.2]
    foretell select --candidates MODEL,OUT.gguf --verify all

The copy takes as long as the model. Rows of its embedding matrix are shuffled, all of them or a share, so that it reads
other tokens than those that are there; with a small share it is right sometimes.
"""

import argparse
import shutil
from pathlib import Path
from typing import Final

import numpy as np

from foretell.models.gguf import GGUF
from foretell.models.store import Store

MATRIX: Final = "token_embd.weight"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="as for --model of `foretell generate`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows, from 0 to 1")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        parser.error(f"the share is {options.share}, must be between 0 and 1")
    source = Store().resolve(options.model)
    shutil.copyfile(source, options.out)
    shuffle(source, options.out, options.share, options.seed)


def shuffle(source: Path, copy: Path, share: float, seed: int) -> None:
    """Put rows of the embedding matrix elsewhere in a copy of a model's file."""
    random = np.random.default_rng(seed)
    with GGUF.open(source) as gguf:
        tensor = gguf.tensors[MATRIX]
        rows = gguf.rows(MATRIX, 0, tensor.shape[0]).copy()
    moved = np.flatnonzero(random.random(len(rows)) < share)
    rows[moved] = rows[random.permutation(moved)]
    with copy.open("r+b") as file:
        file.seek(tensor.offset)
        file.write(rows.tobytes())


if __name__ == "__main__":
    main()
