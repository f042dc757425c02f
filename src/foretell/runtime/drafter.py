"""A loaded draft model, in the forms that pipelines ask for, and what each has read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from foretell.backend.model import Backend
from foretell.draft.reader import Reader
from foretell.ir.ops import Draft
from foretell.profile.counts import Form
from foretell.runtime.meter import Meter, Metered


class Drafter:
    """Gives each statement that asks the model a sequence of its own, which outlives a generation.

    Args:
        open_form: loads the model in a form.
        costs: milliseconds of a pass by row count of the loaded model.

    meter: counts the passes of all sequences. frequent: tokens that cut vocabularies of forms loaded from now on begin
    with, the most frequent first.
    """

    def __init__(self, open_form: Callable[[Form], Backend], costs: Callable[[Backend], Mapping[int, float]]) -> None:
        self._open, self._costs = open_form, costs
        self._forms: dict[Form, Backend] = {}
        self._readers: dict[tuple[str, Form], Reader] = {}
        self._pass_costs: Mapping[int, float] | None = None
        self.meter = Meter()
        self.frequent: Sequence[int] = ()

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

    def reader(self, statement: Draft) -> Reader:
        """The sequence of a statement."""
        form = statement.vocabulary, statement.precision
        key = statement.name, form
        if key not in self._readers:
            backend = self.backend(form)
            self._readers[key] = Reader(Metered(backend.session(), self.meter), backend.piece_rows)
        return self._readers[key]

    def forget(self) -> None:
        """The next text is read from its beginning, as by a model just loaded. Not while a generation runs."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def close(self) -> None:
        """Give back memory."""
        self._readers.clear()
        for backend in self._forms.values():
            backend.close()
        self._forms.clear()
