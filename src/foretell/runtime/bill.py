"""What a generation took: processor seconds, and joules by the best meter there is.

Passes are counted while they run, in whole numbers (`foretell.runtime.meter`); what they come to in joules is worked
out once, at the end. A meter that measures knows nothing of that, and the model goes by it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from foretell.cost.pricing import FormCounter, Pricing
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.joules import Joules
from foretell.profile.energy.meter import Meter as EnergyMeter
from foretell.profile.energy.model import Model as Prices
from foretell.profile.energy.work import Work
from foretell.runtime.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from foretell.backend.model import Backend
    from foretell.runtime.drafter import Drafter


@dataclass(frozen=True, slots=True)
class Billing:
    """How generations of a loaded model are billed.

    meter: measures, or is the model. prices: of the model. counter: of the target's passes; None when it is not known
    what they read, so that nothing can be modelled. threads: that passes keep busy. draft: counts the draft model's
    passes, those of earlier generations too; None without one.
    """

    meter: EnergyMeter
    prices: Prices
    counter: PassCounter | None
    threads: int = 1
    draft: Meter | None = None

    @staticmethod
    def of(backend: Backend, draft: Meter | None = None, folder: Path | None = None) -> Billing:
        """Of a loaded model. folder: where `foretell energy calibrate` keeps its prices."""
        from foretell.profile.energy import meters  # noqa: PLC0415 — looks for meters, at no other time

        return Billing(meters.best(folder), meters.model(folder), counter(backend), threads(backend), draft)

    def pricing(self, drafts: Mapping[str, Drafter]) -> Pricing | None:
        """What costs in joules are made of, with these draft models; None when it is not known what passes read."""
        if self.counter is None:
            return None
        forms = {name: forms_of(each.backend()) for name, each in drafts.items()}
        known = {name: form for name, form in forms.items() if form is not None}
        return Pricing(self.prices, self.threads, self.counter, known)

    def begin(self, target: Meter) -> Bill:
        """A generation begins. target: is to count its passes of the target."""
        return Bill(self, target)


class Bill:
    """One generation's, from now on.

    counter: of the passes that its stream makes; None: they are counted elsewhere, or nobody can. small: counts those
    of a model that is asked before or instead of the target. processor_s, energy: None until it has ended.
    """

    def __init__(self, billing: Billing, target: Meter) -> None:
        self.billing, self.target, self.counter = billing, target, billing.counter
        self.small = Meter()
        self.processor_s: float | None = None
        self.energy: Joules | None = None
        self._draft = billing.draft or Meter()
        self._before = self._draft.bytes, self._draft.macs
        self._began = perf_counter(), process_time()
        self._window = billing.meter.begin()

    def end(self) -> None:
        """It has ended. Only the first call counts."""
        if self.energy is not None:
            return
        wall_s, cpu_s = perf_counter() - self._began[0], max(0.0, process_time() - self._began[1])
        n_bytes = self.target.bytes + self.small.bytes + self._draft.bytes - self._before[0]
        macs = self.target.macs + self.small.macs + self._draft.macs - self._before[1]
        work = Work(n_bytes, macs, wall_s, cpu_s)
        self.processor_s = cpu_s
        self.energy = self._known(self._window.end(work), work)

    def __del__(self) -> None:
        """A generation that nobody reads to its end still closes its window, which meters keep a list of."""
        if self.energy is None and hasattr(self, "_window"):
            with suppress(Exception):  # at the end of the process meters may be gone
                self._window.end(Work())

    def _known(self, said: Joules, work: Work) -> Joules:
        """What the meter said, or the model instead of a meter that failed."""
        billing = self.billing
        if billing.counter is None and said.kind != "measured":
            return Joules.unavailable("it is not known what passes of this model read")
        if said.kind != "unavailable" or billing.counter is None:
            return said
        modelled = billing.prices.joules(work)
        return replace(modelled, source=f"{modelled.source}; not measured: {said.source}", missing=said.missing)


def counter(backend: Backend) -> PassCounter | None:
    """Of a loaded model's passes; None when it is none of the native engine."""
    from foretell.backend.native import NativeBackend  # noqa: PLC0415 — only once a model is loaded

    if not isinstance(backend, NativeBackend):
        return None
    from foretell.profile.energy.counts import of_model  # noqa: PLC0415 — the engine is heavy

    return of_model(backend.model)


def forms_of(backend: Backend) -> FormCounter | None:
    """Counts the passes of a draft model's forms, none of which need be loaded; None when that is not known.

    A vocabulary is taken to be cut to just so many tokens, without the end tokens that are kept besides.
    """
    from foretell.backend.native import NativeBackend  # noqa: PLC0415 — see `counter`

    whole = counter(backend)
    if whole is None or not isinstance(backend, NativeBackend):
        return None
    path, tokens, base = backend.model.path, backend.codec.vocabulary, whole

    @cache
    def form(vocabulary: int, precision: str) -> PassCounter:
        from foretell.profile.energy.counts import of_file  # noqa: PLC0415 — see `counter`

        its = of_file(path, precision) if precision else base
        return its.cut(min(1.0, vocabulary / tokens)) if vocabulary else its

    return form


def threads(backend: Backend) -> int:
    """That its passes keep busy."""
    from foretell.backend.native import NativeBackend  # noqa: PLC0415 — see `counter`

    return backend.model.team.threads if isinstance(backend, NativeBackend) else 1
