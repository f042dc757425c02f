"""Prices that were fitted on this machine, kept in a file for later runs."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Final

from foretell.errors import ForetellError
from foretell.profile.energy.joules import Range
from foretell.profile.energy.model import PRICES, Model

NAME: Final = "energy.json"
_VERSION: Final = 1


def keep(folder: Path, model: Model, machine: str) -> Path:
    """Write a model that holds for a machine, in the place of an earlier one."""
    prices = {name: [each.value, each.low, each.high] for name, each in zip(PRICES, model.prices, strict=True)}
    value = {"foretell": "energy", "version": _VERSION, "machine": machine, "source": model.source, "prices": prices}
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(value) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ForetellError(f"cannot write {path}: {error.strerror}; free space there or set FORETELL_CACHE") from error
    return path


def kept(folder: Path, machine: str) -> Model | None:
    """The model that was fitted for this machine. None: there is none, or it is damaged or another machine's."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        value: Any = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if (value["foretell"], value["version"], value["machine"]) != ("energy", _VERSION, machine):
            return None
        ranges = {name: Range(*map(float, value["prices"][name])) for name in PRICES}
        reasons = dict.fromkeys(PRICES, "fitted here")
        return Model(**ranges, source=str(value["source"]), reasons=reasons)
    return None
