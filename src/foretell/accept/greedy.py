"""Greedy acceptance: keep a guess when it is the target's likeliest token.

At temperature 0 the target's choice is its argmax, so this is the walk of `coupled`, without noise; exact for every law
and every tree. A guess of a greedy draft is right when argmax p = argmax q (Stern et al., arXiv 1811.03115, section 3).
"""

from foretell.accept.coupled import accept

__all__ = ["accept"]
