"""From a name to a loaded model with measured costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from foretell.backend.model import Backend
from foretell.errors import ForetellError
from foretell.profile.machine import machine
from foretell.profile.passes import measure, remembered
from foretell.runtime.drafter import Drafter, Form

if TYPE_CHECKING:
    from foretell.models.sources import Progress

_PROBED: Final = 37  # every so many tokens are compared


@dataclass(frozen=True, slots=True)
class Opening:
    """How models are opened; see `foretell.load`."""

    threads: int | None
    context: int | None
    cache_dir: Path | None
    pull: bool
    progress: "Progress | None"

    def open(self, name_or_path: str | Path | None, beside: Backend | None = None, form: Form = (0, "")) -> Backend:
        """A loaded model in a form; one `beside` another shares its threads."""
        if name_or_path == "toy":
            from foretell.backend.toy import ToyBackend  # noqa: PLC0415 — only when it is asked for

            return ToyBackend() if self.context is None else replace(ToyBackend(), context=self.context)
        from foretell.backend.native import NativeBackend  # noqa: PLC0415 — the store and the engine are heavy
        from foretell.models.store import Store  # noqa: PLC0415

        store = Store(self.cache_dir)
        chosen = store.catalogue.default if name_or_path is None else str(name_or_path)
        path = store.resolve(chosen, self.progress, self.pull)
        digest = store.digest(path, self.progress)
        return NativeBackend(
            path,
            chosen,
            digest,
            cache_dir=store.cache.root,
            threads=self.threads,
            context=self.context,
            progress=self.progress,
            beside=beside if isinstance(beside, NativeBackend) else None,
            form=form,
        )

    def drafter(self, name_or_path: str | Path, target: Backend) -> Drafter:
        """A draft model for a target; raises ForetellError when their tokens differ."""
        drafter = Drafter(lambda form: self.open(name_or_path, target, form), self.costs)
        try:
            check_same_tokens(target, drafter.backend())
        except BaseException:
            drafter.close()
            raise
        return drafter

    def costs(self, backend: Backend) -> Mapping[int, float]:
        """Milliseconds of a pass by row count, measured once for model, machine and engine."""
        if backend.pass_costs is not None:
            return backend.pass_costs
        from foretell.models.cache import Cache  # noqa: PLC0415 — see `open`

        key = f"{backend.key}, {machine()}"
        return remembered(Cache(self.cache_dir).folder("profiles"), key, lambda: measure(backend.session()))


def check_same_tokens(target: Backend, draft: Backend) -> None:
    """Raise ForetellError when a draft's token ids mean something else to the target."""
    ours, theirs = target.codec, draft.codec
    for token in range(0, min(ours.vocabulary, theirs.vocabulary), _PROBED):
        if ours.decode([token]) != theirs.decode([token]):
            raise ForetellError(
                f"{draft.name} cannot draft for {target.name}: token {token} is {theirs.decode([token])!r} in one and "
                f"{ours.decode([token])!r} in the other; choose a draft of the same family"
            )
