"""The pipelines that come with Foretell: text files in the folder `presets`, to be copied and edited."""

from importlib.resources import files

from foretell.errors import UsageError
from foretell.ir.ops import Pipeline
from foretell.ir.text import parse

_FOLDER = files("foretell.ir") / "presets"
_SUFFIX = ".pipeline"


def names() -> tuple[str, ...]:
    """All presets, in alphabetical order."""
    return tuple(sorted(each.name.removesuffix(_SUFFIX) for each in _FOLDER.iterdir() if each.name.endswith(_SUFFIX)))


def text(name: str) -> str:
    """A preset as it was written, comments included. UsageError when there is none of this name."""
    if name not in names():
        raise UsageError(f"there is no preset {name!r}; there are {', '.join(names())}")
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def load(name: str) -> Pipeline:
    """A preset. UsageError when there is none of this name."""
    return parse(text(name), name)
