"""That two ways give the same tokens, question by question."""

from foretell.lab.reproduce.cases import Sample
from foretell.lab.reproduce.claim import Claim


def same(paper: str, says: str, title: str, sample: Sample) -> Claim:
    """Of a sample's first two sides."""
    pairs = [*zip(sample.rows(0), sample.rows(1), strict=True)]
    equal = sum(a.digest == b.digest for a, b in pairs)
    return Claim(paper, says, title, "same", 1.0, equal / len(pairs), None, None, f"{len(pairs)} answers")
