"""Kinds of settings, as plots tell them apart."""

from typing import Final

from foretell.lab.report.study import Side, Study

KINDS: Final = {"level": 1, "exact": 2, "distribution": 4, "lossy": 3, "other": 5}  # of sides, by the page's colour
KIND_NAMES: Final = {
    "level": "-O levels",
    "exact": "other exact settings",
    "distribution": "same distribution",
    "lossy": "lossy settings",
    "other": "another model",
}


def kind(side: Side, study: Study) -> str:
    """Which of KINDS a side is."""
    if side.model != study.target:
        return "other"
    return "level" if side.level else side.promise
