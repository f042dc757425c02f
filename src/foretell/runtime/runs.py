"""The files that recorded generations are kept in.

A file has one JSON value a line: what the run was of, its totals, each round, and at the end a digest of the lines
before, so that a file that was cut off or changed is told from a whole one. The text and its token ids are in it only
where the person asked for that; what is kept without asking says how long things took, never what was said.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foretell.errors import ForetellError, UsageError, why
from foretell.profile.energy.joules import KINDS
from foretell.profile.record import from_json, to_json
from foretell.runtime.pace import Decision
from foretell.runtime.run import About, Change, Run, Text, Totals
from foretell.runtime.spent import Spent
from foretell.runtime.trace import Round, Tried

VERSION: Final = 1
SUFFIX: Final = ".run"
UNKNOWN: Final = -1  # in the place of a token that was not kept

_TIMES: Final = tuple(name for name in Round._fields if name.endswith("_s"))
_COUNTS: Final = ("rows", "context", "draft_passes", "draft_rows")


def text(run: Run) -> str:
    """What the file holds."""
    lines = [{"foretell": "run", "version": VERSION, "about": to_json(run.about)}, {"totals": to_json(run.totals)}]
    lines += [{"round": _round_json(each, told=run.text is not None)} for each in run.rounds]
    lines += [{"change": to_json(each)} for each in run.changes]
    lines += [{"note": each} for each in run.notes]
    lines += [] if run.text is None else [{"text": to_json(run.text)}]
    lines += [] if run.spent is None else [{"spent": to_json(run.spent)}]
    body = "".join(f"{json.dumps(each, separators=(',', ':'))}\n" for each in lines)
    return f"{body}{json.dumps({'end': _digest(body)})}\n"


def parse(content: str, name: str) -> Run:
    """The run of a file's text; `name` stands in messages. Raises ForetellError, in one line."""
    body, _, last = content.removesuffix("\n").rpartition("\n")
    try:
        lines = [json.loads(line) for line in body.split("\n")] if body else [json.loads(last)]
    except (ValueError, RecursionError) as error:
        raise _bad(name, "is no JSON text, or cut off") from error
    head = lines[0]
    if not isinstance(head, dict) or head.get("foretell") != "run":
        raise _bad(name, "is not a recorded run")
    if head.get("version") != VERSION:
        raise _bad(name, f"has version {head.get('version')!r}, not {VERSION}: another Foretell made it")
    if last != json.dumps({"end": _digest(f"{body}\n")}):
        raise _bad(name, "is cut off or was changed")
    try:
        return _run(lines)
    except ForetellError as error:
        raise _bad(name, f"is damaged: {error}") from error


def _run(lines: Sequence[Any]) -> Run:
    found: dict[str, list[Any]] = {}
    for line in lines[1:]:
        kind, value = next(iter(line.items())) if isinstance(line, dict) and len(line) == 1 else ("", None)
        found.setdefault(kind, []).append(value)
    unknown = sorted(found.keys() - {"totals", "round", "change", "note", "text", "spent"})
    if unknown or len(found.get("totals", ())) != 1 or max(len(found.get(each, ())) for each in ("text", "spent")) > 1:
        raise ForetellError(f"a line is {unknown[0]!r}" if unknown else "it has not one line of totals")
    return Run(
        from_json(About, lines[0].get("about"), "about"),
        from_json(Totals, found["totals"][0], "totals"),
        tuple(_round(each, f"round {i + 1}") for i, each in enumerate(found.get("round", ()))),
        tuple(from_json(Change, each, f"change {i + 1}") for i, each in enumerate(found.get("change", ()))),
        tuple(from_json(str, each, f"note {i + 1}") for i, each in enumerate(found.get("note", ()))),
        from_json(Text, found["text"][0], "text") if "text" in found else None,
        _spent(found["spent"][0], len(found.get("round", ()))) if "spent" in found else None,
    )


def _spent(value: Any, rounds: int) -> Spent:
    try:
        out = from_json(Spent, value, "spent")
    except ValueError as error:  # a range that is none
        raise ForetellError(f"spent: {error}") from error
    if {len(each) for each in (out.target_bytes, out.target_macs, out.draft_bytes, out.draft_macs)} != {rounds}:
        raise ForetellError(f"spent is not of {rounds} rounds")
    if out.kind not in KINDS:
        raise ForetellError(f"spent.kind is {out.kind!r}, expected one of {', '.join(KINDS)}")
    return out


def read(path: Path) -> Run:
    """The run in a file. Raises ForetellError."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot read the run {path}: {why(error)}; see `foretell explain --list`") from error
    except ValueError as error:
        raise _bad(str(path), "is not text") from error
    return parse(content, str(path))


def write(path: Path, run: Run) -> None:
    """Write a file, whole or not at all. Raises ForetellError."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text(text(run), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise ForetellError(f"cannot write the run {path}: {why(error)}; give another file") from error


@dataclass(frozen=True, slots=True)
class Runs:
    """The folder of runs that are kept without asking; it is made when the first one is. most: the newest so many."""

    folder: Path
    most: int

    def paths(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"), reverse=True)

    def keep(self, run: Run) -> Path | None:
        """Keep it, and delete the oldest beyond `most`. A folder that cannot be written to is no error: None."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(run.about.made_s))
        fraction = int(run.about.made_s * 1000) % 1000
        path = self.folder / f"{stamp}-{fraction:03}-{os.getpid()}{SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(path, run)
            for old in self.paths()[self.most :]:
                old.unlink(missing_ok=True)
        except (OSError, ForetellError):
            return None
        return path


def find(runs: Runs, which: str | None) -> Path:
    """The file of a run: the newest (None), the n-th newest ("2"), one by its name, or any file.

    Raises:
        ForetellError: there is none. UsageError: the number is beyond what is kept.
    """
    paths = runs.paths()
    if which is None or which.isdecimal():
        number = 1 if which is None else int(which)
        if not paths:
            raise ForetellError("no run was recorded yet: run `foretell generate` first, or give a file of --trace")
        if not 1 <= number <= len(paths):
            raise UsageError(f"there is no run {number}: {len(paths)} are kept, see `foretell explain --list`")
        return paths[number - 1]
    named = runs.folder / f"{which}{SUFFIX}"
    return named if named.is_file() else Path(which)


def _round_json(each: Round, *, told: bool) -> dict[str, Any]:
    out = {name: round(value, 7) if name in _TIMES else value for name, value in each._asdict().items()}
    out["tried"] = [[parent, source, round(chance, 4)] for _, parent, source, chance in each.tried]
    out["kept"] = list(each.kept)
    if told:
        out["tokens"] = [token for token, *_ in each.tried]
    elif each.bonus is not None:
        out["bonus"] = UNKNOWN
    out["decision"] = None if each.decision is None else list(each.decision)
    return out


def _round(value: Any, where: str) -> Round:
    if not isinstance(value, dict) or value.keys() - {"tokens"} != set(Round._fields):
        raise ForetellError(f"{where} has not the fields of a round")
    for name in (*_TIMES, *_COUNTS):
        from_json(float if name in _TIMES else int, value[name], f"{where}.{name}")
    tokens = value.pop("tokens", None)
    tried = value["tried"]
    if not isinstance(tried, list) or (tokens is not None and not _ids(tokens, len(tried))):
        raise ForetellError(f"{where} has guesses that are none")
    guesses = tuple(_tried(i, each, UNKNOWN if tokens is None else tokens[i], where) for i, each in enumerate(tried))
    kept = value["kept"]
    if (
        not _ids(kept)
        or any(i >= len(guesses) for i in kept)
        or any(guesses[i][1] != before for i, before in zip(kept, (-1, *kept), strict=False))
    ):
        raise ForetellError(f"{where} keeps guesses that do not follow one another")
    bonus, decision = value["bonus"], value["decision"]
    if not (bonus is None or bonus == UNKNOWN or _ids([bonus])):
        raise ForetellError(f"{where}.bonus is {bonus!r}, expected a token")
    if decision is not None:
        decision = _decision(decision, where)
    return Round(**value | {"tried": guesses, "kept": tuple(kept), "decision": decision})


def _tried(place: int, value: Any, token: int, where: str) -> Tried:
    match value:
        case [int(parent), str(source), int() | float() as chance] if -1 <= parent < place and 0 <= chance <= 1:
            return token, parent, source, float(chance)
    raise ForetellError(f"{where} has a guess {value!r}, expected [earlier guess, source, chance]")


def _decision(value: Any, where: str) -> Decision:
    match value:
        case ["plain" | "copy" | "model", str(), int(), int() | float(), int() | float(), str()]:
            return Decision(*value)
    raise ForetellError(f"{where} has a decision {value!r}, expected kind, source, guesses, tokens, ms, reason")


def _ids(values: Any, size: int | None = None) -> bool:
    """Whether this is a list of whole numbers from 0 on."""
    whole = isinstance(values, list) and all(type(each) is int and each >= 0 for each in values)
    return whole and (size is None or len(values) == size)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _bad(name: str, what: str) -> ForetellError:
    return ForetellError(f"the run {name} {' '.join(what.split())}: record it again with `foretell generate --trace`")
