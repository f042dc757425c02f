"""The model store: from a name to a checked file on this machine.

A file appears under its final name only when it is complete and its digest is right, so whoever sees it may use it
without a lock. Fetching happens in a staging folder under a lock; a killed fetch is taken up again by the next one.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from foretell.errors import ForetellError, why
from foretell.models.cache import Cache, explain
from foretell.models.catalogue import Catalogue, Entry, Hub, Source
from foretell.models.gguf import GGUF
from foretell.models.sources import Progress, SourceError, fetch, quiet

_HUB_PREFIX = "hf:"
_CHUNK_BYTES = 1 << 22
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model file that is on this machine."""

    name: str
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file to fetch. size_bytes and sha256 are None where only its source knows them."""

    name: str
    target: Path
    sources: tuple[Source, ...]
    size_bytes: int | None
    sha256: str | None


class Store:
    """The models in a cache folder, and the ways to get more of them."""

    def __init__(self, cache_dir: Path | None = None, catalogue: Catalogue | None = None) -> None:
        self.cache = Cache(cache_dir)
        self.catalogue = catalogue or Catalogue.load()

    @property
    def folder(self) -> Path:
        """Where model files lie."""
        return self.cache.folder("models")

    def path(self, entry: Entry) -> Path:
        """Where the entry's file lies, or would."""
        return self.folder / entry.file

    def resolve(self, name_or_path: str, progress: Progress | None = None, pull: bool = True) -> Path:
        """The file of a catalogue name, of `hf:org/repo/file.gguf`, or of a path.

        What is missing is fetched, unless `pull` is false. A catalogue model's digest is checked, once per file.
        Raises ForetellError when there is no such model or it cannot be had.
        """
        report = progress or quiet
        if name_or_path.startswith(_HUB_PREFIX):
            wanted = self._hub_file(name_or_path)
            return wanted.target if wanted.target.is_file() else self._obtain(wanted, report, pull)
        entry = self.catalogue.get(name_or_path)
        if entry is None:
            return self._local(name_or_path)
        target = self.path(entry)
        if target.is_file():
            self._check(entry, target, report)
            return target
        return self._obtain(_Wanted(entry.name, target, entry.sources, entry.size_bytes, entry.sha256), report, pull)

    def pulled(self) -> list[Pulled]:
        """The models that are here: the catalogue's first, then files from the hub."""
        known = [(each.name, self.path(each)) for each in self.catalogue]
        hub = self.folder / "hf"
        known += [(_HUB_PREFIX + path.relative_to(hub).as_posix(), path) for path in sorted(hub.rglob("*.gguf"))]
        return [Pulled(name, path, path.stat().st_size) for name, path in known if path.is_file()]

    def digest(self, path: Path, progress: Progress | None = None) -> str:
        """The SHA-256 of a file, in hexadecimal; computed once and then remembered by size, time and inode."""
        try:
            facts = path.stat()
            memo = self._memo(path)
            print_ = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                noted = json.loads(memo.read_text())
                if noted["file"] == print_:
                    return str(noted["sha256"])
            sha256 = _sha256(path, path.name, progress or quiet)
            after = path.stat()
        except OSError as error:
            raise ForetellError(f"cannot read {path}: {why(error)}; check the path") from error
        if [after.st_size, after.st_mtime_ns, after.st_ino] == print_:
            self._remember(path, sha256)
        return sha256

    def _memo(self, path: Path) -> Path:
        key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
        return self.folder / ".digests" / f"{key}.json"

    def _remember(self, path: Path, sha256: str) -> None:
        """Note the digest of the file as it is now. A cache that cannot be written remembers nothing."""
        facts = path.stat()
        memo = self._memo(path)
        noted = {"file": [facts.st_size, facts.st_mtime_ns, facts.st_ino], "sha256": sha256, "path": str(path)}
        with contextlib.suppress(OSError):
            memo.parent.mkdir(parents=True, exist_ok=True)
            new = memo.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(noted))
            new.replace(memo)

    def _check(self, entry: Entry, path: Path, report: Progress) -> None:
        size = path.stat().st_size
        if size != entry.size_bytes:
            found = f"it has {size} bytes instead of {entry.size_bytes}"
        elif (sha256 := self.digest(path, report)) != entry.sha256:
            found = f"its SHA-256 is {sha256} instead of {entry.sha256}"
        else:
            return
        raise ForetellError(
            f"{path} is not the file of {entry.name}: {found}; delete it and run `foretell pull {entry.name}`"
        )

    def _local(self, name_or_path: str) -> Path:
        path = Path(name_or_path).expanduser()
        if path.is_file():
            return path
        if path.is_dir():
            raise ForetellError(f"{path} is a folder; give the path of a GGUF file in it")
        if path.suffix == ".gguf" or path.parent != Path():
            raise ForetellError(f"there is no file {path}; check the path, or see `foretell models` for names")
        raise self.catalogue.unknown(name_or_path)

    def _hub_file(self, name: str) -> _Wanted:
        parts = PurePosixPath(name.removeprefix(_HUB_PREFIX)).parts
        if len(parts) < 3 or not all(_HUB_NAME.fullmatch(each) for each in parts) or not name.endswith(".gguf"):
            raise ForetellError(f"{name!r} does not name a file on the hub; write hf:org/repo/file.gguf")
        if split := _SPLIT.search(name):
            raise ForetellError(f"{name} is one of {int(split[1])} parts of a split model; choose a file that is whole")
        source = Hub("/".join(parts[:2]), "/".join(parts[2:]))
        return _Wanted(name, self.folder / "hf" / Path(*parts), (source,), None, None)

    def _obtain(self, wanted: _Wanted, report: Progress, pull: bool) -> Path:
        if not pull:
            raise ForetellError(f"{wanted.name} is not on this machine; run `foretell pull {wanted.name}`")
        try:
            with self._lock(wanted.name, report):
                if not wanted.target.is_file():  # another process may have been quicker
                    self._fetch(wanted, report)
        except OSError as error:
            raise explain(error, Path(error.filename or self.folder)) from error
        return wanted.target

    @contextlib.contextmanager
    def _lock(self, name: str, report: Progress) -> Iterator[None]:
        """One process fetches a model; others wait for it."""
        lock = FileLock(self.cache.make(self.folder / ".locks") / f"{_safe(name)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report(f"waiting for another process that fetches {name}", 0, 0)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _fetch(self, wanted: _Wanted, report: Progress) -> None:
        """Try the sources in order; the first that delivers the right file ends the search."""
        staging = self.cache.make(self.folder / ".staging" / _safe(wanted.name))
        failures: list[str] = []
        for source in wanted.sources:
            try:
                fetched = fetch(source, staging, wanted.size_bytes, wanted.name, report)
                sha256 = _checked(fetched.path, wanted, fetched.sha256, report)
            except SourceError as error:
                failures.append(f"{source.label}: {error}")
                continue
            except _WrongFileError as error:
                shutil.rmtree(staging)  # going on from wrong bytes would never end
                staging.mkdir()
                failures.append(f"{source.label}: {error}")
                continue
            _publish(fetched.path, wanted.target)
            self._remember(wanted.target, sha256)
            shutil.rmtree(staging, ignore_errors=True)
            return
        raise ForetellError(_nowhere(wanted, failures))


class _WrongFileError(Exception):
    """A source delivered something else than was wanted."""


def _checked(path: Path, wanted: _Wanted, promised: str | None, report: Progress) -> str:
    """The file's SHA-256, once it is known to be the wanted file."""
    size = path.stat().st_size
    if wanted.size_bytes is not None and size != wanted.size_bytes:
        raise _WrongFileError(f"it delivered {size} bytes instead of {wanted.size_bytes}")
    sha256 = _sha256(path, wanted.name, report)
    expected = wanted.sha256 or promised or sha256
    if sha256 != expected:
        raise _WrongFileError(f"the digest does not match: SHA-256 is {sha256} instead of {expected}")
    if wanted.sha256 is None:  # nobody vouches for such a file, so look inside before it gets its name
        try:
            GGUF.open(path).close()
        except ForetellError as error:
            raise _WrongFileError(f"it delivered no usable file ({str(error).removeprefix(f'{path} ')})") from error
    return sha256


def _publish(path: Path, target: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())  # the name must not outlive a power cut without its bytes
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)


def _nowhere(wanted: _Wanted, failures: list[str]) -> str:
    facts = f"{wanted.size_bytes} bytes, SHA-256 {wanted.sha256}" if wanted.sha256 else "a GGUF file"
    return (
        f"cannot fetch {wanted.name}; tried {'; '.join(failures)}. "
        f"To place the file by hand, put it ({facts}) at {wanted.target}"
    )


def _sha256(path: Path, name: str, report: Progress) -> str:
    total, done = path.stat().st_size, 0
    state = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            state.update(buffer[:count])
            done += count
            report(f"checking {name}", done, total)
    return state.hexdigest()


def _safe(name: str) -> str:
    """A model's name as a file name."""
    return re.sub(r"[^\w.-]", "_", name)
