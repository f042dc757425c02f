"""A draft model's part of a profile: each of its forms timed, and how often it is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from foretell.backend.model import Backend
from foretell.errors import ForetellError
from foretell.profile import passes
from foretell.profile.counts import Counts, Form, Overlap, Shortened, form_name
from foretell.profile.file import Times
from foretell.profile.record import added
from foretell.profile.spread import Spread
from foretell.runtime import measure_draft, measure_sources
from foretell.runtime.drafter import Drafter
from foretell.runtime.measure_plan import Meter, Plan
from foretell.runtime.measure_text import PromptTimes, Text

ROWS: Final = (1, 2, 4, 8)  # one row a guess; more when the draft is itself sped up
AS_IS: Final[Form] = (0, "")
ENOUGH: Final = 0.85  # share of the time after which no more forms are tried
PASSES, OPEN, READ = 100, 400, 350  # for the meter: a round through the sizes, loading a form, reading a text


@dataclass(slots=True)
class Forms:
    """The forms of a draft model, loaded one at a time.

    times: what was measured, by name of the form.
    """

    drafter: Drafter
    plan: Plan
    meter: Meter
    times: dict[str, Times] = field(default_factory=dict)

    def work(self, texts: int) -> int:
        """For the meter."""
        forms = 1 + len(self.plan.forms)
        precisions = len({precision for _, precision in (AS_IS, *self.plan.forms)})
        return forms * ((self.plan.repeats + 2) * PASSES + OPEN) + precisions * texts * READ

    def time(self) -> None:
        """Passes of every form."""
        for form in (AS_IS, *self.plan.forms):
            with self.drafter.borrowed(form) as backend:
                self._time(form, backend, self.plan.repeats)

    def time_again(self) -> None:
        """A second block of passes of the model as it is."""
        self._time(AS_IS, self.drafter.backend(), self.plan.repeats // 2)

    def follow(
        self, texts: Sequence[Text], replays: Sequence[Mapping[str, measure_sources.Replay]]
    ) -> list[tuple[str, Counts]]:
        """Time each form and let it read the texts. What it would have guessed, by kind of text."""
        out: list[tuple[str, Counts]] = []
        whole: list[measure_draft.Seen | None] = []
        for precision in dict.fromkeys(("", *(precision for _, precision in self.plan.forms))):
            if precision and self.meter.late(ENOUGH):
                break
            cuts = [form for form in self.plan.forms if form[0] and form[1] == precision]
            seen = self._read(precision, cuts, texts, out)
            whole = whole or seen
        for text, first, replayed in zip(texts, whole, replays, strict=False):
            if first is not None:
                lengths = [n for n in self.plan.prompts if len(text.prompt) > n and not self.meter.late(ENOUGH)]
                shorter = {n: self._shorter(text, first, n) for n in lengths}
                out.append((text.kind, Counts(prompts=shorter, overlap=_overlap(replayed["lookup"], first))))
        return out

    def _read(
        self, precision: str, cuts: Sequence[Form], texts: Sequence[Text], out: list[tuple[str, Counts]]
    ) -> list[measure_draft.Seen | None]:
        """Forms with weights of one format. What the one with the whole vocabulary said of each text."""
        form = 0, precision
        try:
            with self.drafter.borrowed(form) as backend:
                if precision and backend.key == self.drafter.backend().key:
                    return []  # this backend has no such form
                self._time(form, backend, self.plan.repeats if precision else self.plan.repeats // 2)
                kept = {form_name(form): None} | self._cut(cuts, backend)
                reading = PromptTimes()
                said = [self._along(backend, text, kept, reading, out) for text in texts]
                self._add(form_name(form), Times({}, reading.spread, looks=0))
                return said
        except ForetellError:
            if not precision:
                raise
            return []  # the engine cannot lower this model so

    def _along(
        self,
        backend: Backend,
        text: Text,
        kept: Mapping[str, measure_draft.Ids | None],
        reading: PromptTimes,
        out: list[tuple[str, Counts]],
    ) -> measure_draft.Seen | None:
        """One text."""
        pieces, cuts = backend.piece_rows, list(kept.values())
        seen = measure_draft.force(backend.session(), text, piece_rows=pieces, kept=cuts, times=reading)
        forms = {name: measure_draft.count(each, text.limit) for name, each in zip(kept, seen, strict=False)}
        out.append((text.kind, Counts(forms=forms)))
        self.meter.add(READ)
        return seen[0] if seen else None

    def _cut(self, cuts: Sequence[Form], beside: Backend) -> dict[str, measure_draft.Ids | None]:
        """Time forms with cut vocabularies; the ids that each has, where these are not all."""
        out: dict[str, measure_draft.Ids | None] = {}
        for form in cuts:
            if form[0] >= beside.codec.vocabulary or self.meter.late(ENOUGH):
                continue
            with self.drafter.borrowed(form) as backend:
                ids = measure_draft.can_say(backend.session())
                if ids is not None:
                    out[form_name(form)] = ids
                    self._time(form, backend, self.plan.repeats)
        return out

    def _time(self, form: Form, backend: Backend, repeats: int) -> None:
        own = self.drafter.backend()
        if backend.pass_costs is not None:
            found = [Spread.given(backend.pass_costs)]
        else:
            timed = [(backend.session(), ROWS), *([(own.session(), (1,))] if form != AS_IS else [])]
            found = passes.in_turns(timed, repeats=max(1, repeats), tick=lambda: self.meter.ticked(PASSES, 1.0))
        name, beside, first = form_name(form), found[1][1] if found[1:] else None, form_name(form) not in self.times
        times, prompt = {passes.CONTEXT_TOKENS: found[0]}, None
        if first and backend.pass_costs is None:
            prompt = passes.prompt(backend.session(), repeats=1)
        if form == AS_IS and first and backend.pass_costs is None:
            times |= passes.behind(own.session(), self.plan.contexts, repeats=repeats // 2, piece_rows=own.piece_rows)
        self._add(name, Times(times, prompt, beside, looks=int(first)))
        self.meter.add(OPEN)

    def _add(self, name: str, times: Times) -> None:
        """To the same look."""
        old = self.times.get(name)
        self.times[name] = times if old is None else added(old, times)

    def _shorter(self, text: Text, whole: measure_draft.Seen, length: int) -> Shortened:
        backend = self.drafter.backend()
        (seen,) = measure_draft.force(backend.session(), text, piece_rows=backend.piece_rows, prompt=length)
        return Shortened(len(whole.right), sum(seen.right), sum(whole.right))


def _overlap(lookup: measure_sources.Replay, draft: measure_draft.Seen) -> Overlap:
    pairs = [(bool(a.right), b) for a, b in zip(lookup.offers, draft.right, strict=True) if a.depths]
    return Overlap(
        both=pairs.count((True, True)),
        lookup=pairs.count((True, False)),
        draft=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )
