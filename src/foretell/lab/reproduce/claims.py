"""All claims of the papers that rows have something to say about."""

from collections.abc import Iterable, Iterator

from foretell.lab.experiment.rows import Row
from foretell.lab.reproduce import deferral, editing, lengths, stages
from foretell.lab.reproduce.cases import cases
from foretell.lab.reproduce.claim import Claim


def claims(rows: Iterable[Row]) -> Iterator[Claim]:
    """In the order of the papers; none where nothing was run that a paper is about."""
    found = cases(rows)
    for paper in (lengths, stages, editing, deferral):
        for each in found:
            yield from paper.claims(each)
