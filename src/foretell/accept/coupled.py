"""Acceptance of coupled and greedy guesses: keep a guess when the target itself chooses the same token.

The target's choice at a position is a function of its logits and of noise keyed by (seed, position, token), so the kept
tokens are exactly those that the target alone would have generated, whatever was guessed (DESIGN.md, section 6).
"""

from collections.abc import Sequence


def accepted(guesses: Sequence[int], chosen: Sequence[int]) -> int:
    """How many guesses of a chain are kept. chosen[i] is the target's token after i guesses.

    >>> accepted([5, 6, 7], [5, 6, 9, 1])
    2
    """
    for count, guess in enumerate(guesses):
        if chosen[count] != guess:
            return count
    return len(guesses)
