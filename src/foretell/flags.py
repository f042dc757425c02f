"""The environment variables that Foretell reads, all of them, in one table.

| variable | meaning | default |
| --- | --- | --- |
| FORETELL_CACHE | folder for models, packed weights and compiled code | the user's cache folder |
| FORETELL_PEER_PYTHON | Python of `foretell bench engine --peer` that has the rival's library | this one |
| FORETELL_PEER_SERVER | server program of `foretell bench suite --peer` | llama-server on the PATH |

The libraries underneath keep theirs: HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE say how the Hugging Face hub is reached,
pip's own variables and configuration say where packages come from.
"""

import os
from pathlib import Path
from typing import Final

import platformdirs

PEER_PYTHON: Final = "FORETELL_PEER_PYTHON"
PEER_SERVER: Final = "FORETELL_PEER_SERVER"


def cache_dir() -> Path:
    """The folder that holds everything Foretell stores."""
    chosen = os.environ.get("FORETELL_CACHE", "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("foretell", appauthor=False)
