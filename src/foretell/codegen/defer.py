"""`defer`: how many guesses of the small model are final, and whether the target is to speak behind them."""

from foretell.accept.proposal import Proposal
from foretell.accept.rule import Verdict
from foretell.codegen.round import Defers
from foretell.errors import ForetellError


def hold(proposal: Proposal, defers: Defers) -> tuple[Proposal, bool]:
    """The guesses before the first place where the rule fires, and whether the target is asked.

    It is asked where the rule fires; also when there are no guesses, or no round would end such a text.
    """
    for place, guess in enumerate(proposal.guesses):
        if guess.q is None:
            raise ForetellError(
                f"a guess of {guess.source} (law {guess.law}) has no distribution that `defer` could judge: "
                "draft with law=sampled"
            )
        if defers(guess.q):
            return Proposal(proposal.guesses[:place]), True
    return proposal, not proposal.guesses


def everything(proposal: Proposal) -> Verdict:
    """All guesses of a chain, and nothing from the target, which was not asked."""
    return Verdict(tuple(range(len(proposal))), None)
