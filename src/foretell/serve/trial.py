"""A process that tries grammars, so that one that takes all memory or never ends takes no server with it.

A line on stdin is the JSON of [kind, text]; the line on stdout is the JSON of what is wrong with it, null for nothing.
"""

import json
import sys
from pathlib import Path

from foretell.accept.grammar import Grammar
from foretell.errors import UsageError

MEMORY_BYTES = 2**30  # beyond what the process has at its start
MOST_CHARACTERS = 300  # of a message


def main() -> None:
    """Until stdin ends."""
    _limit()
    for line in sys.stdin:
        wrong = None
        try:
            Grammar(*json.loads(line))
        except UsageError as error:
            wrong = str(error)[:MOST_CHARACTERS]
        print(json.dumps(wrong), flush=True)  # noqa: T201 — this is what the process is for


def _limit() -> None:
    try:
        import resource  # noqa: PLC0415 — not on all platforms
    except ImportError:
        return
    statm = Path("/proc/self/statm")  # its first number is the size of the address space in pages
    now = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 4 * MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
