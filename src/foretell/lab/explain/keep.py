"""A generation of a loaded model, recorded: what it is of, and where its record goes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foretell import __version__, flags
from foretell.api import Model
from foretell.backend.model import Backend
from foretell.ir.text import show
from foretell.models.cache import Cache
from foretell.profile.machine import machine
from foretell.runtime.choose import DRAFT
from foretell.runtime.events import Result
from foretell.runtime.loop import Stream
from foretell.runtime.run import About, Known, Run, made
from foretell.runtime.runs import Runs, write
from foretell.runtime.settings import Options, Settings
from foretell.runtime.spent import spent
from foretell.runtime.trace import Recorder


@dataclass(frozen=True, slots=True)
class Recording:
    """One generation's.

    recorder: for `Model.stream` or `Chat.send`; None when nothing is to be recorded. file: where the record goes, with
    text; None keeps it without text in the cache folder.
    """

    recorder: Recorder | None
    file: Path | None

    @staticmethod
    def of(model: Model, file: Path | None = None) -> "Recording":
        """For the next generation of this model."""
        if file is None and not flags.runs():
            return Recording(None, None)
        return Recording(Recorder(None if model.drafter is None else model.drafter.meter), file)

    def keep(self, model: Model, stream: Stream, result: Result, options: Options) -> Path | None:
        """Write it down, now that the generation has ended. Where; None when it was not recorded or not kept.

        Raises:
            ForetellError: the file that was asked for cannot be written.
        """
        if self.recorder is None:
            return None
        run = recorded(model, stream, result, options, self.recorder, told=self.file is not None)
        if self.file is None:
            return kept().keep(run)
        write(self.file, run)
        return self.file


def kept() -> Runs:
    """The runs in the cache folder."""
    return Runs(Cache().folder("runs"), flags.runs())


def recorded(
    model: Model, stream: Stream, result: Result, options: Options, recorder: Recorder, *, told: bool = False
) -> Run:
    """The run of a generation that has ended. told: whether with its text."""
    settings, facts = Settings(**options), model.facts
    drafter = model.drafter
    about = About(
        made_s=time.time(),
        foretell=__version__,
        machine=machine(),
        target=Known(
            model.name, model.backend.key, dict(facts.target.points), facts.prompt_ms, bits=_bits(model.backend)
        ),
        draft=None if drafter is None else _draft(model, drafter.backend()),
        pipeline=show(stream.bound.pipeline),
        level="" if settings.pipeline is not None else settings.level if settings.speculation else "O0",
        overhead_ms=facts.overhead_ms,
        origin=facts.origin,
        settings=_settings(settings, result.seed),
    )
    taken = spent(facts.energy, result, recorder, DRAFT)
    return made(about, recorder, result, stream.prompt if told else None, taken)


def _draft(model: Model, backend: Backend) -> Known:
    known = model.facts.model(DRAFT)
    cheaper = {name: (trade.cost, trade.kept) for name, trade in known.precisions.items()}
    points = dict(known.pass_ms.points)
    return Known(backend.name, backend.key, points, known.prompt_ms, _bits(backend), cheaper)


def _bits(backend: Backend) -> float:
    """Of a weight, on average over the matrices that every pass reads."""
    from foretell.backend.native import NativeBackend  # noqa: PLC0415 — only once a model is loaded

    if not isinstance(backend, NativeBackend):
        return 0.0
    tensors = [each for each in backend.model.gguf.tensors.values() if len(each.shape) == 2]
    weights = sum(each.shape[0] * each.shape[1] for each in tensors)
    return 8 * sum(each.n_bytes for each in tensors) / weights if weights else 0.0


def _settings(settings: Settings, seed: int) -> Mapping[str, str]:
    """By name, without what was said: stop strings and grammars are only counted."""
    out = {
        "max-tokens": str(settings.max_tokens),
        "temperature": f"{settings.temperature:g}",
        "top-k": str(settings.top_k),
        "top-p": f"{settings.top_p:g}",
        "min-p": f"{settings.min_p:g}",
        "repeat-penalty": f"{settings.repeat_penalty:g}",
        "seed": str(seed),
        "stop": str(len(settings.stops)),
        "grammar": "no" if settings.grammar is None else settings.grammar.kind,
    }
    usual = {"top-k": "0", "top-p": "1", "min-p": "0", "repeat-penalty": "1", "stop": "0", "grammar": "no"}
    return {name: value for name, value in out.items() if usual.get(name) != value}
