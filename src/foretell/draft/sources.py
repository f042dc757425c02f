"""The draft source of a statement. A new free source is a file and a line here (and its name in `foretell.ir.ops`)."""

from collections.abc import Sequence
from functools import partial

from foretell.accept.chance import KeyedChance
from foretell.accept.grammar import Walk
from foretell.accept.sampling import Sampling
from foretell.draft.copy import CopySource
from foretell.draft.drawn import Drawn
from foretell.draft.grammar import GrammarSource
from foretell.draft.likely import Likely
from foretell.draft.lookup import LookupSource
from foretell.draft.model import ModelSource
from foretell.draft.place import Picker
from foretell.draft.reader import Reader
from foretell.draft.recycled import RecycledSource
from foretell.draft.source import FreeSource, Source
from foretell.errors import ForetellError, UsageError
from foretell.ir.ops import SOURCES, Draft


def make(
    statement: Draft,
    sampling: Sampling,
    vocabulary: int,
    *,
    reader: Reader | None = None,
    reference: Sequence[int] = (),
    deferring: bool = False,
    walk: Walk | None = None,
    sure: bool = False,
) -> Source:
    """The source of a checked statement, for one generation.

    Args:
        statement: what it is to be.
        sampling: the target's settings; drawn guesses take their noise from its seed too.
        vocabulary: of the target.
        reader: of the model that the statement names, for the source `model`; no other source may use it meanwhile.
        reference: tokens of the input that the source `copy` copies from; without, that is the prompt.
        deferring: a `defer` judges the guesses, see `drawn.Drawn`.
        walk: the text under its grammar, for the source `grammar`.
        sure: `lookup` guesses beside the source `copy`, see `copy.CopySource`.

    Raises:
        UsageError: no such source.
    """
    if statement.source != "model":
        return free(statement.source, statement.width, reference, walk, sure=sure)
    if reader is None:
        raise ForetellError(
            f"{statement.name} = draft(model, of={statement.of}) has no model: load {statement.of} first"
        )
    name = statement.of
    options = (name, statement.law, sampling, vocabulary, statement.siblings, statement.doubt)
    drawn = statement.law in {"sampled", "without_replacement"}
    picker: Picker = Drawn(*options, deferring=deferring) if drawn else Likely(*options)
    return ModelSource(
        name,
        reader,
        picker,
        partial(KeyedChance, sampling.seed),
        width=statement.width,
        stop=statement.stop,
        prompt=statement.prompt,
        inner=free(statement.inner, statement.width, reference, walk) if statement.inner else None,
    )


def free(
    source: str, width: int, reference: Sequence[int] = (), walk: Walk | None = None, *, sure: bool = False
) -> FreeSource:
    """A source that guesses without a model; see `make`."""
    match source:
        case "lookup":
            return LookupSource(source, width)
        case "recycled":
            return RecycledSource(source, width)
        case "copy":
            return CopySource(source, width, reference, sure=sure)
        case "grammar" if walk is not None:
            return GrammarSource(source, width, walk)
        case "grammar":
            raise UsageError("the draft source grammar needs one: give --schema, --regex or --grammar")
    raise UsageError(f"there is no draft source {source!r}: choose one of {', '.join(SOURCES)}")
