"""GLEU, for corrections of grammar: n-gram precision that also counts what should have been changed and was not.

With C the correction that is judged, S the source and R a reference, as multisets of n-grams, n from 1 to 4 (Napoles,
Sakaguchi, Post and Tetreault, "GLEU Without Tuning", 2016, 1605.02592):

    p_n  = sum over sentences of max(0, |C ∩ R| - |C ∩ (S without what R has)|)  /  sum of |C|
    GLEU = min(1, exp(1 - r / c)) * (p_1 p_2 p_3 p_4)^(1/4)      c, r: lengths of all corrections and references

The last two sets are counted over n-grams of S that R has not at all. Of several references one is drawn per sentence,
many times, and the mean of the scores is taken.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

ORDERS: Final = 4
DRAWS: Final = 200  # of a reference for each sentence
_SEED: Final = 1605
# JFLEG comes with words and punctuation apart ("it 's", "ca n't", "facts ,"), models write as people do. Both become
# the same tokens.
_TOKEN: Final = re.compile(r"\w+(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|\d+(?:[.,]\d+)+|\w+(?:-\w+)*|\S", re.IGNORECASE)
_SAME: Final = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"'})


def tokens(text: str) -> list[str]:
    """Words and signs.

    >>> tokens("It's good, isn't it?") == tokens("It 's good , is n't it ?")
    True
    """
    return _TOKEN.findall(text.translate(_SAME).replace("``", '"').replace("''", '"'))


def statistics(source: str, correction: str, reference: str) -> NDArray[np.float64]:
    """float64 [2 + 2 * ORDERS]: lengths of correction and reference, then numerator and denominator of each order."""
    s, c, r = tokens(source), tokens(correction), tokens(reference)
    out = [len(c), len(r)]
    for order in range(1, ORDERS + 1):
        in_s, in_c, in_r = (_grams(each, order) for each in (s, c, r))
        unchanged = Counter({gram: count for gram, count in in_s.items() if gram not in in_r})
        right, wrong = (in_c & in_r).total(), (in_c & unchanged).total()
        out += [max(0, right - wrong), max(0, len(c) + 1 - order)]
    return np.array(out, dtype=np.float64)


def score(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """GLEU from 0 to 100 of sums of statistics; total: float64 [..., 2 + 2 * ORDERS]."""
    lengths, references = total[..., 0], total[..., 1]
    right, count = total[..., 2::2], total[..., 3::2]
    possible = (right > 0).all(axis=-1) & (lengths > 0)
    safe_right, safe_count = np.where(right > 0, right, 1.0), np.where(count > 0, count, 1.0)
    log_precision = np.log(safe_right / safe_count).mean(axis=-1)
    brevity = np.minimum(0.0, 1.0 - references / np.where(lengths > 0, lengths, 1.0))
    return np.where(possible, 100.0 * np.exp(log_precision + brevity), 0.0)


def table(
    sources: Sequence[str], corrections: Sequence[str], references: Sequence[Sequence[str]]
) -> list[NDArray[np.float64]]:
    """The statistics of each sentence, float64 [its references, 2 + 2 * ORDERS]."""
    return [
        np.stack([statistics(source, correction, each) for each in known])
        for source, correction, known in zip(sources, corrections, references, strict=True)
    ]


def drawn(stats: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """float64 [sentences, draws, 2 + 2 * ORDERS]: a reference drawn for each sentence, the same for all corrections."""
    random = np.random.default_rng(_SEED)
    draws = 1 if all(len(each) == 1 for each in stats) else DRAWS
    return np.stack([each[random.integers(len(each), size=draws)] for each in stats])


def gleu(sources: Sequence[str], corrections: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The score of all sentences together, 0 to 100."""
    return float(score(drawn(table(sources, corrections, references)).sum(axis=0)).mean())


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))
