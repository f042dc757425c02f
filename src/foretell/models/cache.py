"""The cache folder: what lies where, how large it is, and what may go.

models      fetched model files (`hf/` below it: files named as hf:org/repo/file.gguf)
packed      weights arranged for this processor                         made again on the next load
code        compiled kernels                                            made again
tokenizers  parsed tokenizers                                           made again
profiles    measurements of this machine                                measured again
runs        records of the last generations, without their text         for `foretell explain`
calibrations  what a small model may answer                           calibrated again
data        official files of the tasks of `foretell lab quality`       fetched again
"""

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from foretell import flags
from foretell.errors import ForetellError

KINDS = ("models", "packed", "code", "tokenizers", "profiles", "runs", "calibrations", "data")
EVICTABLE = ("packed", "code")
KEPT = ("models", "calibrations")  # deleted only where they are named: they take long to get again


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file in the cache. used_s: seconds since the epoch when it was last used, as far as the file system knows."""

    kind: str
    path: Path
    size_bytes: int
    used_s: float


class Cache:
    """A cache folder. Nothing is created before something is stored."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or flags.cache_dir()

    def folder(self, kind: str) -> Path:
        """The folder for one kind of file; it may not exist yet."""
        return self.root / kind

    def make(self, folder: Path) -> Path:
        """Create a folder of the cache, or say why that is not possible."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, folder) from error
        return folder

    def files(self, kinds: Iterable[str] = KINDS) -> Iterator[CacheFile]:
        """Every file of those kinds, unfinished ones included."""
        for kind in kinds:
            for path in sorted(self.folder(kind).rglob("*")):
                with contextlib.suppress(FileNotFoundError):  # another process may have removed it meanwhile
                    if path.is_file() and not path.is_symlink():
                        facts = path.stat()
                        yield CacheFile(kind, path, facts.st_size, max(facts.st_atime, facts.st_mtime))

    def clear(self, kinds: Iterable[str]) -> list[CacheFile]:
        """Delete everything of those kinds and return what that was."""
        return self._delete(self.files(kinds))

    def limit(self, max_bytes: int) -> list[CacheFile]:
        """Delete packed weights and code, least recently used first, until both together fit, and return what went."""
        found = sorted(self.files(EVICTABLE), key=lambda each: each.used_s, reverse=True)
        kept_bytes = 0
        evicted: list[CacheFile] = []
        for each in found:
            kept_bytes += each.size_bytes
            if kept_bytes > max_bytes:
                evicted.append(each)
                kept_bytes -= each.size_bytes
        return self._delete(reversed(evicted))

    def _delete(self, files: Iterable[CacheFile]) -> list[CacheFile]:
        home = Path.home()
        if self.root == home or self.root in home.parents:
            raise ForetellError(
                f"the cache folder {self.root} holds the home directory, so nothing is deleted from it; "
                "set FORETELL_CACHE to a folder of its own"
            )
        deleted = []
        for each in files:
            try:
                each.path.unlink(missing_ok=True)
            except OSError as error:
                raise explain(error, each.path) from error
            deleted.append(each)
            for folder in each.path.relative_to(self.root).parents[:-1]:
                with contextlib.suppress(OSError):  # not empty
                    (self.root / folder).rmdir()
        return deleted


def mark_used(path: Path) -> None:
    """Remember that a packed file or compiled code was used now, so that `limit` keeps it longest."""
    with contextlib.suppress(OSError):  # a read-only cache works too
        facts = path.stat()
        os.utime(path, (max(facts.st_atime, time.time()), facts.st_mtime))


def explain(error: OSError, path: Path) -> ForetellError:
    """What a failed operation on the cache means to a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ForetellError(
            f"the disk of {path} is full; free some space, run `foretell cache limit 0`, "
            "or set FORETELL_CACHE to another disk"
        )
    reason = error.strerror or str(error)
    return ForetellError(f"cannot write to {path}: {reason}; make it writable or set FORETELL_CACHE to another folder")
