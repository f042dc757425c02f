"""What `lab calibrate --also` names: pipelines that may lose something, as families with one knob, and levels."""

import difflib
from collections.abc import Sequence
from typing import Final

from foretell.errors import UsageError
from foretell.ir.check import check
from foretell.ir.text import parse
from foretell.lab.budget.modes import Family
from foretell.lab.budget.sample import EXACT
from foretell.passes.levels import LEVELS
from foretell.runtime.calibration import Mode

_WIDTH: Final = 16
_TEXTS: Final = {
    "defer": "d = defer(g, rule=chow, threshold={knob})\n  v = verify(d)\n  a = accept(v, rule=keep)",
    "entropy": "d = defer(g, rule=entropy, threshold={knob})\n  v = verify(d)\n  a = accept(v, rule=keep)",
    "mix": "v = verify(g)\n  a = accept(v, rule=mix, epsilon={knob})",
    "cascade": "v = verify(g)\n  a = accept(v, rule=cascade, alpha={knob})",
}
USUAL: Final = ("O0", "defer=0.2", "defer=0.5", "entropy=1", "mix=0.05", "mix=0.2", "cascade=0.2")
_WARM: Final = ("cascade",)  # at temperature 0 all of q is on one token, and the target would never be asked


def families(given: Sequence[str], temperature: float) -> list[Family]:
    """By KIND=KNOB each, or `all`; those of a kind are ordered from the safest to the most daring.

    >>> [each.name for each in families(["mix=0.2", "mix=0.05"], 0.0)[0].modes]
    ['mix=0.05', 'mix=0.2']
    """
    named = [each for each in _named(given, temperature) if each not in LEVELS]
    found: dict[str, dict[float, Mode]] = {}
    for each in named:
        kind, knob = _read(each)
        if kind in _WARM and temperature == 0:
            raise UsageError(f"{each} at temperature 0 is the small model alone: give --temperature, or leave it out")
        found.setdefault(kind, {})[knob] = _mode(kind, knob)
    return [Family(kind, tuple(modes[knob] for knob in sorted(modes))) for kind, modes in found.items()]


def levels(given: Sequence[str], temperature: float) -> list[Mode]:
    """The levels among them, but for that which is run in any case."""
    return [Mode("exact", each) for each in _named(given, temperature) if each in LEVELS and each != EXACT]


def _named(given: Sequence[str], temperature: float) -> list[str]:
    named = [each for one in given for each in (_usual(temperature) if one == "all" else (one,))]
    return list(dict.fromkeys(named))


def _usual(temperature: float) -> list[str]:
    return [each for each in USUAL if temperature > 0 or each.partition("=")[0] not in _WARM]


def _read(text: str) -> tuple[str, float]:
    kind, _, knob = text.partition("=")
    if kind not in _TEXTS:
        near = difflib.get_close_matches(kind, _TEXTS, 1)
        meant = f"; {near[0]} is meant, perhaps" if near else ""
        raise UsageError(
            f"--also is {text!r}: write a level, or KIND=NUMBER with one of {', '.join(_TEXTS)}, or all{meant}"
        )
    try:
        return kind, float(knob)
    except ValueError:
        raise UsageError(f"--also is {text!r}: write {kind}=NUMBER, as in {kind}=0.2") from None


def _mode(kind: str, knob: float) -> Mode:
    name = f"{kind}={knob:g}"
    rest = _TEXTS[kind].format(knob=f"{knob:g}")
    text = f"pipeline {kind}\n  g = draft(model, of=draft, width={_WIDTH if 'defer' in rest else 5}, law=sampled)\n"
    whole = f"{text}  {rest}\n  commit(a)\n"
    check(parse(whole, name))
    return Mode("pipeline", name, pipeline=whole)
