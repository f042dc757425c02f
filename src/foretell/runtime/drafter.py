"""A loaded draft model, in the forms that pipelines ask for, and what each has read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from foretell.backend.model import Backend
from foretell.backend.protocol import Cutter
from foretell.draft.reader import Reader
from foretell.ir.ops import Draft
from foretell.profile.counts import Form
from foretell.runtime import bill
from foretell.runtime.meter import Meter, Metered, Narrowing
from foretell.runtime.tiers.content import Words

TEXTS: Final = 8  # that are remembered for each statement: conversations that take turns
TOKENS: Final = 1 << 15  # of them together, but for the newest


class Drafter:
    """Gives each statement that asks the model sequences of its own, which outlive a generation.

    Args:
        open_form: loads the model in a form.
        costs: milliseconds of a pass by row count of the loaded model.

    meter: counts the passes of all sequences. frequent: tokens that cut vocabularies of forms loaded from now on begin
    with, the most frequent first. texts, tokens: how many earlier texts are remembered, and how much of them, by
    statements that ask for the first time from now on. cuts: whether `cutter` gives any: a trace holds what the model
    guesses as it was loaded.
    """

    def __init__(self, open_form: Callable[[Form], Backend], costs: Callable[[Backend], Mapping[int, float]]) -> None:
        self._open, self._costs = open_form, costs
        self._forms: dict[Form, Backend] = {}
        self._readers: dict[tuple[str, Form], Reader] = {}
        self._cutters: dict[tuple[str, Form], Cutter[Any]] = {}
        self._words: dict[tuple[str, Form, int], Words] = {}
        self._pass_costs: Mapping[int, float] | None = None
        self.meter = Meter()
        self.frequent: Sequence[int] = ()
        self.texts, self.tokens, self.cuts = TEXTS, TOKENS, True

    def backend(self, form: Form = (0, "")) -> Backend:
        """The model in a form, loaded when it is first asked for."""
        if form not in self._forms:
            self._forms[form] = self._open(form)
        return self._forms[form]

    @contextmanager
    def borrowed(self, form: Form) -> Iterator[Backend]:
        """The model in a form, closed afterwards unless it was loaded already."""
        if form in self._forms or form == (0, ""):
            yield self.backend(form)
            return
        backend = self._open(form)
        try:
            yield backend
        finally:
            backend.close()

    def pass_costs(self) -> Mapping[int, float]:
        """Milliseconds of a pass by row count, of the model as it is."""
        if self._pass_costs is None:
            self._pass_costs = self._costs(self.backend())
        return self._pass_costs

    def know(self, pass_costs: Mapping[int, float], frequent: Sequence[int] = ()) -> None:
        """These were measured: `costs` need not be asked, and tokens were seen so often, the most frequent first."""
        self._pass_costs, self.frequent = pass_costs, frequent

    def shortens(self, statement: Draft) -> bool:  # noqa: ARG002 — scripts know only what was recorded
        """Whether it can read as little of prompts as a statement says."""
        return True

    def reader(self, statement: Draft) -> Reader:
        """What a statement reads with."""
        form = statement.vocabulary, statement.precision
        key = statement.name, form
        if key not in self._readers:
            backend = self.backend(form)
            session = backend.session()
            metered = Metered(session, self.meter, bill.counter(backend))
            if isinstance(session, Cutter):
                self._cutters[key] = Narrowing(session, metered)
            self._readers[key] = Reader(metered, backend.piece_rows, self.texts, self.tokens)
        return self._readers[key]

    def cutter(self, statement: Draft) -> Cutter[Any] | None:
        """What can leave out tokens of what a statement's model says; None where it cannot, or was never asked."""
        return self._cutters.get((statement.name, (statement.vocabulary, statement.precision))) if self.cuts else None

    def words(self, statement: Draft, size: int) -> Words:
        """What a statement's model says, and would say first in so many tokens; it has a `cutter`."""
        key = statement.name, (statement.vocabulary, statement.precision)
        if (*key, size) not in self._words:
            self._words[*key, size] = Words.of(size, self._cutters[key].says, self.frequent)
        return self._words[*key, size]

    def forget(self) -> None:
        """The next text is read from its beginning, as by a model just loaded. Not while a generation runs."""
        for reader in self._readers.values():
            reader.forget()

    def close(self) -> None:
        """Give back memory."""
        self._readers.clear()
        self._cutters.clear()
        self._words.clear()
        for backend in self._forms.values():
            backend.close()
        self._forms.clear()
