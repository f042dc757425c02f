"""From a name to a loaded model with measured costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from foretell.backend.model import Backend
from foretell.cost import known
from foretell.cost.facts import Facts
from foretell.errors import ForetellError
from foretell.profile.counts import Form, form_of
from foretell.profile.file import HURRIED, WHOLE, Keys, Profile, Times
from foretell.profile.machine import machine
from foretell.profile.passes import CONTEXT_TOKENS
from foretell.profile.prompts import Prompt
from foretell.profile.record import added
from foretell.profile.spread import Spread
from foretell.profile.store import Profiles
from foretell.runtime import draft_name
from foretell.runtime.calibration import FOLDER
from foretell.runtime.drafter import Drafter
from foretell.runtime.measure import measure
from foretell.runtime.measure_plan import PASSES, QUICK, Plan

if TYPE_CHECKING:
    from foretell.models.sources import Progress

MOST_LOOKS: Final = 2  # a machine that is never quiet holds up no more loads than these, and then one
LATER_S: Final = 3600.0  # after so many seconds
ROOMY: Final = 512  # tokens of context in which most of the built-in prompts fit
_PROBED: Final = 37  # every so many tokens are compared


@dataclass(frozen=True, slots=True)
class Opening:
    """How models are opened; see `foretell.load`."""

    threads: int | None
    context: int | None
    cache_dir: Path | None
    pull: bool
    progress: "Progress | None"

    def open(
        self,
        name_or_path: str | Path | None,
        beside: Backend | None = None,
        form: Form = (0, ""),
        frequent: Sequence[int] = (),
        called: str = "",
    ) -> Backend:
        """A loaded model in a form; one `beside` another shares its threads.

        frequent: tokens that a cut vocabulary begins with. called: its name, when that says more than the model.
        """
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
            called or chosen,
            digest,
            cache_dir=store.cache.root,
            threads=self.threads,
            context=self.context,
            progress=self.progress,
            beside=beside if isinstance(beside, NativeBackend) else None,
            form=form,
            frequent=frequent,
        )

    def check_pair(self, target: str | Path | None, draft: str | Path) -> None:
        """Raise ForetellError when a draft's tokens are not the target's, before any weight is read. Fetches both."""
        if "toy" in (target, draft):
            return  # `drafter` compares these
        from foretell.models import pairing  # noqa: PLC0415 — see `open`
        from foretell.models.store import Store  # noqa: PLC0415

        store = Store(self.cache_dir)
        names = [store.catalogue.default if target is None else str(target), draft_name.parse(str(draft))[0]]
        ours, theirs = (store.resolve(each, self.progress, self.pull) for each in names)
        pairing.check_pair(ours, theirs, store.cache.root / "tokenizers")

    def drafter(self, name_or_path: str | Path, target: Backend) -> Drafter:
        """A draft model for a target; raises ForetellError when their tokens differ.

        Its name may say a form (`foretell.runtime.draft_name`): then it has that one, whatever pipelines ask for.
        """
        called = str(name_or_path)
        name, form = draft_name.parse(called)
        drafter = Drafter(lambda asked: self.open(name, target, form or asked, drafter.frequent, called), self.costs)
        try:
            check_same_tokens(target, drafter.backend())
        except BaseException:
            drafter.close()
            raise
        return drafter

    def costs(self, backend: Backend) -> Mapping[int, float]:
        """Milliseconds of a pass by row count, measured once for model, machine and engine."""
        return self.profile(backend).target.costs

    def facts(self, target: Backend, drafter: Drafter | None = None) -> Facts:
        """What passes decide by, with a profile made at first use; `drafter` then knows its costs too."""
        return known.facts(self.profile(target, drafter))

    def profile(self, target: Backend, drafter: Drafter | None = None) -> Profile:
        """What was measured of these models here; measured now when nothing was, or when something disturbed it.

        With a draft model that takes about ten seconds, once. Without, passes alone are timed: lookup learns its
        chances as it runs.
        """
        keys = Keys(machine(), target.key, "" if drafter is None else drafter.backend().key)
        profile = self._given(target, drafter, keys) or self._kept(target, drafter, keys)
        if drafter is not None:
            drafter.know(profile.drafts[WHOLE].costs, profile.counts.by_frequency)
        return profile

    @property
    def profiles(self) -> Profiles:
        """Where profiles are kept."""
        from foretell.models.cache import Cache  # noqa: PLC0415 — see `open`

        return Profiles(Cache(self.cache_dir).folder("profiles"))

    @property
    def calibrations(self) -> Path:
        """Where calibrations are kept."""
        from foretell.models.cache import Cache  # noqa: PLC0415 — see `open`

        return Cache(self.cache_dir).folder(FOLDER)

    def measure(
        self,
        target: Backend,
        drafter: Drafter | None,
        plan: Plan,
        prompts: Sequence[Prompt] | None = None,
        why: str = "",
    ) -> Profile:
        """A new profile, not yet kept."""
        pair = target.name if drafter is None else f"{target.name} with {drafter.backend().name}"
        what = f"measuring {pair}{f' ({why})' if why else ''}"
        return measure(target, drafter, plan, prompts, what=what, progress=self.progress)

    def _given(self, target: Backend, drafter: Drafter | None, keys: Keys) -> Profile | None:
        """A backend may say what its passes cost: then there is nothing to measure."""
        backends = [target] if drafter is None else [target, drafter.backend()]
        costs = [each.pass_costs for each in backends if each.pass_costs is not None]
        times = [Times({CONTEXT_TOKENS: Spread.given(each)}) for each in costs]
        if len(times) < len(backends):
            return None
        return Profile(keys, PASSES.how, times[0], {} if drafter is None else {WHOLE: times[1]})

    def _kept(self, target: Backend, drafter: Drafter | None, keys: Keys) -> Profile:
        found = self.profiles.find(keys)
        profile, why = found.profile, found.why
        if profile is not None and drafter is not None and self._lacks(profile, target):
            profile, why = None, "the profile there has no chances"
        if profile is not None and not (profile.flaw and self._is_due(profile)):
            return profile
        if profile is None and found.before is not None and found.before.how != HURRIED:
            profile = self._rebuilt(target, drafter, found.before, why)
        elif profile is None:
            profile = self.measure(target, drafter, PASSES if drafter is None else QUICK, why=why)
        elif profile.how == HURRIED:
            look = self.measure(target, drafter, QUICK, why="the machine was too busy before")
            profile = look if look.how != HURRIED else added(profile, look)
        else:
            look = self._look(target, drafter, profile, "something disturbed it before")
            quiet = replace(look, kinds=profile.kinds, overhead=added(profile.overhead, look.overhead))
            profile = quiet if look.target.quiet else added(profile, replace(look, kinds={}))
        self.profiles.keep(profile)
        return profile

    def _is_due(self, profile: Profile) -> bool:
        """Whether it is time to look again at what was disturbed."""
        return profile.target.looks < MOST_LOOKS or self.profiles.age_s(profile.keys) > LATER_S

    def _look(self, target: Backend, drafter: Drafter | None, profile: Profile, why: str) -> Profile:
        """The times of what a profile has, measured now. It has no counts, but is called what the profile is."""
        forms = tuple(form_of(name) for name in profile.drafts if name != WHOLE)
        return replace(self.measure(target, drafter, replace(PASSES, forms=forms), why=why), how=profile.how)

    def _rebuilt(self, target: Backend, drafter: Drafter | None, before: Profile, why: str) -> Profile:
        """Times of this build of the engine, and counts that another one made: what is counted are texts."""
        if drafter is not None and self._lacks(before, target):
            return self.measure(target, drafter, QUICK, why=why)
        return replace(self._look(target, drafter, before, why), kinds=before.kinds)

    def _lacks(self, profile: Profile, target: Backend) -> bool:
        """Whether a profile without chances, perhaps of a small context, could have some now."""
        return WHOLE not in profile.counts.forms and target.session().context >= ROOMY


def check_same_tokens(target: Backend, draft: Backend) -> None:
    """Raise ForetellError when a draft's token ids mean something else to the target."""
    ours, theirs = target.codec, draft.codec
    for token in range(0, min(ours.vocabulary, theirs.vocabulary), _PROBED):
        if ours.decode([token]) != theirs.decode([token]):
            raise ForetellError(
                f"{draft.name} cannot draft for {target.name}: token {token} is {theirs.decode([token])!r} in one and "
                f"{ours.decode([token])!r} in the other; choose a draft of the same family"
            )
