"""The environment variables that Foretell reads, all of them, in one table.

| variable | meaning | default |
| --- | --- | --- |
| FORETELL_CACHE | folder for models, packed weights and compiled code | the user's cache folder |
| FORETELL_RUNS | how many recorded runs are kept for `foretell explain`, without their text; 0 records none | 20 |
| FORETELL_TIERS | 0: nothing is specialised while a text is generated, for comparisons; the text is the same | 1 |
| FORETELL_API_KEY | what clients of `foretell serve` have to know | none |
| FORETELL_PEER_PYTHON | Python of `foretell bench engine --peer` that has the rival's library | this one |
| FORETELL_PEER_SERVER | server program of `foretell bench suite --peer` | llama-server on the PATH |

The libraries underneath keep theirs: HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE say how the Hugging Face hub is reached,
pip's own variables and configuration say where packages come from.
"""

import os
from pathlib import Path
from typing import Final

import platformdirs

from foretell.errors import UsageError

RUNS: Final = "FORETELL_RUNS"
TIERS: Final = "FORETELL_TIERS"
API_KEY: Final = "FORETELL_API_KEY"
PEER_PYTHON: Final = "FORETELL_PEER_PYTHON"
PEER_SERVER: Final = "FORETELL_PEER_SERVER"


def cache_dir() -> Path:
    """The folder that holds everything Foretell stores."""
    chosen = os.environ.get("FORETELL_CACHE", "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("foretell", appauthor=False)


def tiers() -> bool:
    """Whether generations are specialised while they run. UsageError when it is neither 0 nor 1."""
    chosen = os.environ.get(TIERS, "").strip() or "1"
    if chosen not in {"0", "1"}:
        raise UsageError(f"{TIERS} is {chosen!r}, must be 0 or 1")
    return chosen == "1"


def runs() -> int:
    """How many recorded runs are kept. UsageError when it is no number."""
    chosen = os.environ.get(RUNS, "").strip() or "20"
    if not chosen.isdecimal():
        raise UsageError(f"{RUNS} is {chosen!r}, must be a whole number from 0 on")
    return int(chosen)
