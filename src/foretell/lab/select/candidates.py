"""Which draft models are tried: those that a person names, or those of the store that are smaller than the target."""

from pathlib import Path

from foretell.errors import UsageError
from foretell.lab.select.ways import FREE, NONE
from foretell.models.store import Store
from foretell.runtime import draft_name


def names(text: str) -> list[str]:
    """Those of a list that is separated by commas, each once; forms are checked. Raises UsageError."""
    found = list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    if not found:
        raise UsageError("there is no candidate: name draft models, separated by commas")
    for each in found:
        if each in (NONE, FREE):
            raise UsageError(f"{each!r} is always among what is compared: name draft models as candidates")
        draft_name.parse(each)
    return found


def smaller(target: str | None, cache_dir: Path | None = None) -> list[str]:
    """The models on this machine whose files are smaller than the target's; none when it is not here yet."""
    store = Store(cache_dir)
    here = {each.name: each.size_bytes for each in store.pulled()}
    name = target or store.catalogue.default
    path = Path(name)
    size = here.get(name) or (path.stat().st_size if path.is_file() else 0)
    return sorted((each for each, its in here.items() if its < size), key=lambda each: -here[each])
