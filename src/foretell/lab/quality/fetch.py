"""Where a task's file is: here, or fetched once: a file of a data set on the Hugging Face hub, or one of a package."""

import os
import re
import tempfile
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError, UsageError
from foretell.lab.quality import tasks
from foretell.lab.quality.tasks import Task
from foretell.models import sources
from foretell.models.cache import Cache
from foretell.models.catalogue import Hub, Packages
from foretell.models.sources import Progress, SourceError

OFFICIAL: Final = "official"  # what a person writes for the task's own source
_PREFIX: Final = "hf:"
_KIND: Final = "dataset"
_ANSWER_S: Final = 5.0  # a hub that has not answered by then is given up
_NAME: Final = re.compile(r"hf:([\w.-]+/[\w.-]+)/(.+)")


def is_fetched(data: str) -> bool:
    """Whether what was given names something to fetch, and no path."""
    return data == OFFICIAL or data.startswith(_PREFIX)


def located(wanted: Task, data: str, cache: Cache, progress: Progress) -> Path:
    """The file of what a person gave: a path to it or to its folder, or something to fetch; see `fetched`."""
    if not is_fetched(data):
        return tasks.find(wanted, Path(data))
    if data == OFFICIAL and wanted.shipped:
        return Path(__file__).parent / wanted.shipped
    return fetched(wanted, data, cache, progress)


def fetched(wanted: Task, data: str, cache: Cache, progress: Progress) -> Path:
    """The file, from the cache if it is there. data: `official`, or hf:ORG/REPOSITORY/FILE of a data set."""
    source = _source(wanted, data)
    name = source.file if isinstance(source, Hub) else source.member
    folder = cache.folder("data") / wanted.name / _safe(source.label)
    path = folder / name.rpartition("/")[2]
    if path.exists():
        return path
    cache.make(folder)
    with tempfile.TemporaryDirectory(prefix="new-", dir=folder) as staging:
        try:
            new = (
                _from_hub(source, Path(staging))
                if isinstance(source, Hub)
                else sources.fetch(source, Path(staging), None, wanted.name, progress).path
            )
            new.replace(path)
        except (SourceError, OSError) as error:
            raise ForetellError(
                f"cannot fetch {wanted.name} ({source.label}): {error}; give a local file or folder with --data"
            ) from error
    return path


def _source(wanted: Task, data: str) -> Hub | Packages:
    if data != OFFICIAL:
        named = _NAME.fullmatch(data)
        if named is None:
            raise UsageError(f"data is {data!r}: write hf:ORG/REPOSITORY/FILE for a file of a data set on the hub")
        return Hub(named[1], named[2])
    if wanted.source is None:
        raise UsageError(f"{wanted.name} has no official source: give a file with --data")
    return wanted.source


def _from_hub(source: Hub, staging: Path) -> Path:
    from huggingface_hub import (  # noqa: PLC0415 — slow, seldom needed
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415

    endpoint = os.environ.get("HF_ENDPOINT") or None  # the library reads it only once, when it is imported
    try:
        disable_progress_bars()
        # Asked first, because the download itself would spend 20 seconds on retries when there is no network.
        url = hf_hub_url(source.repo, source.file, repo_type=_KIND, revision=source.revision, endpoint=endpoint)
        get_hf_file_metadata(url, timeout=_ANSWER_S)
        return Path(
            hf_hub_download(
                source.repo,
                source.file,
                repo_type=_KIND,
                revision=source.revision,
                endpoint=endpoint,
                local_dir=staging,
            )
        )
    except Exception as error:  # which errors there are depends on the HTTP library of the installed version
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = {
            401: "it wants a login (HTTP 401); set HF_TOKEN if you have access",
            403: "it wants a login (HTTP 403); set HF_TOKEN if you have access",
            404: f"no such data set or file: {source.repo}, {source.file} (HTTP 404)",
            None: "no connection",
        }.get(status, f"it answered HTTP {status}")
        raise SourceError(reason) from error


def _safe(label: str) -> str:
    return re.sub(r"[^\w.-]+", "-", label)
