"""`foretell bench engine` on a file of random weights in the shape of a large model, which need not be had for it.

    python bench/engine.py --shape 7b [OPTIONS OF foretell bench engine]

How long a pass takes does not depend on what the weights are. The file, and what is derived from it, is deleted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from foretell.cli import run

GENERATOR = Path(__file__).parents[1] / "tests" / "synthetic.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="7b", help="see tests/synthetic.py")
    given, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as folder:
        os.environ["FORETELL_CACHE"] = folder
        path = Path(folder, f"synthetic-{given.shape}.gguf")
        subprocess.run([sys.executable, str(GENERATOR), "--shape", given.shape, str(path)], check=True)
        return run(["bench", "engine", "--model", str(path), *others])


if __name__ == "__main__":
    sys.exit(main())
