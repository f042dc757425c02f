"""What is told to the process that makes a sandbox, and what it tells back."""

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

STARTED: Final = "started"  # told when all protections hold, or, of a weaker sandbox, those that there are
PASSED: Final = b"passed "  # with the job's word behind it
FAILED: Final = b"failed "  # with an explanation behind it
MOST_SAID_BYTES: Final = 2000  # of a result


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use.

    processor_seconds, memory_bytes: for each process. seconds: on the clock, more generous because a machine may be
    busy. forks: whether it may start other processes. tasks: threads and, if it may, processes. file_bytes: all files
    together; they lie in memory and are gone at the end. open_files: at a time, by each process.
    """

    processor_seconds: int = 10
    seconds: float = 30.0
    memory_bytes: int = 512 << 20
    forks: bool = False
    tasks: int = 8
    file_bytes: int = 16 << 20
    open_files: int = 32


@dataclass(frozen=True, slots=True)
class Job:
    """program: Python source. checks: source that is run after it, in the same module, and raises if it is wrong.

    word: nobody can guess it; who says it has seen the end of the checks. limits: see Limits.
    folders: what the program may read, the standard library above all. weaker: go on where a protection is missing.
    """

    program: str
    checks: str
    word: str
    limits: Limits
    folders: tuple[str, ...]
    weaker: bool = False

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` gave."""
        fields = json.loads(text)
        return cls(**fields | {"limits": Limits(**fields["limits"]), "folders": tuple(fields["folders"])})
