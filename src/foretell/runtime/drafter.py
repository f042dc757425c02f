"""A loaded draft model, in the forms that pipelines ask for, and what each has read."""

from collections.abc import Callable, Mapping

from foretell.backend.model import Backend
from foretell.draft.reader import Reader
from foretell.ir.ops import Draft

Form = tuple[int, str]  # size that its vocabulary is cut to, 0 for the whole; format of its weights, "" as they are


class Drafter:
    """Gives each statement that asks the model a sequence of its own, which outlives a generation.

    Args:
        open_form: loads the model in a form.
        costs: milliseconds of a pass by row count of a loaded form.
    """

    def __init__(self, open_form: Callable[[Form], Backend], costs: Callable[[Backend], Mapping[int, float]]) -> None:
        self._open, self._costs = open_form, costs
        self._forms: dict[Form, Backend] = {}
        self._readers: dict[tuple[str, Form], Reader] = {}

    def backend(self, form: Form = (0, "")) -> Backend:
        """The model in a form, loaded when it is first asked for."""
        if form not in self._forms:
            self._forms[form] = self._open(form)
        return self._forms[form]

    def pass_costs(self, form: Form = (0, "")) -> Mapping[int, float]:
        """Milliseconds of a pass by row count."""
        return self._costs(self.backend(form))

    def reader(self, statement: Draft) -> Reader:
        """The sequence of a statement."""
        form = statement.vocabulary, statement.precision
        key = statement.name, form
        if key not in self._readers:
            backend = self.backend(form)
            self._readers[key] = Reader(backend.session(), backend.piece_rows)
        return self._readers[key]

    def close(self) -> None:
        """Give back memory."""
        self._readers.clear()
        for backend in self._forms.values():
            backend.close()
        self._forms.clear()
