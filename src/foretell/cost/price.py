"""The price of a pipeline: what a round of it is expected to take and to give. Modelled, never measured.

    tokens of a round  E = sum over cases of share * (1 + sum of reach)      (1: the target's own token)
    ms of a round      overhead + drafts + sum over cases of share * T(1 + rows)
    ms of an answer    every model's prompt pass + tokens of the answer * ms / E

The same sum as for one chain in arXiv 2211.17192 (theorem 3.8), with the measured T(n) in place of a constant. What is
paced takes the best option of each round: see `paced`.
"""

from dataclasses import dataclass

from foretell.cost.facts import Facts
from foretell.cost.guesses import NONE, Guesses, fired, free
from foretell.cost.model import model
from foretell.cost.paced import paced
from foretell.cost.rounds import expected
from foretell.ir.ops import Accept, Draft, Pipeline, Route


@dataclass(frozen=True, slots=True)
class Price:
    """Expectations.

    ms, tokens: of a round. prompt_ms: before the first token, every model's prompt pass. answer_tokens: of the request
    that prompt passes are spread over.
    """

    ms: float
    tokens: float
    prompt_ms: float
    answer_tokens: int

    @property
    def tokens_per_s(self) -> float:
        """Generation speed behind the first token."""
        return 1000 * self.tokens / self.ms

    @property
    def response_ms(self) -> float:
        """From request to last token: what rewrites are compared by."""
        return self.prompt_ms + self.answer_tokens * self.ms / self.tokens


def price(pipeline: Pipeline, facts: Facts) -> Price:
    """The pipeline's price.

    Raises:
        ForetellError: a source or model of it was not measured.
    """
    lift = next((max(each.epsilon, each.alpha) for each in pipeline.statements if isinstance(each, Accept)), 0.0)
    drafts = [each for each in pipeline.statements if isinstance(each, Draft)]
    steady = {each.name: _guesses(each, facts, lift) for each in drafts if not each.paced}
    prompts = {each.name: draft_prompt_ms(each, facts) for each in drafts if each.source == "model"}
    prompt_ms = facts.prompt_tokens * facts.prompt_ms + sum(prompts[name] for name in steady if name in prompts)
    if len(steady) == len(drafts):
        ms, tokens = expected(pipeline, facts, lambda draft: steady[draft.name])
    else:
        ms, tokens, more_ms = paced(pipeline, facts, steady, prompts)
        prompt_ms += more_ms
    result = Price(ms, tokens, prompt_ms, facts.answer_tokens)
    for statement in pipeline.statements:
        if isinstance(statement, Route):
            result = _routed(result, statement, facts)
    return result


def draft_prompt_ms(draft: Draft, facts: Facts) -> float:
    """The draft model's prompt pass."""
    read = min(facts.prompt_tokens, draft.prompt or facts.prompt_tokens)
    model = facts.model(draft.of)
    return read * model.prompt_ms * model.trade(draft.vocabulary, draft.precision).prompt


def _guesses(draft: Draft, facts: Facts, lift: float) -> Guesses:
    if draft.width < 1:
        return NONE
    if draft.source == "model":
        inner = {draft.inner: facts.source(draft.inner)} if draft.inner else {}
        return model(draft, facts.model(draft.of), inner, lift)
    return free(facts.source(draft.source), draft.width, lift)


def _routed(large: Price, route: Route, facts: Facts) -> Price:
    """The price when a share of queries goes to the small model, which reads every prompt to decide."""
    small = facts.model(route.small)
    share = 1 - fired(small, route.rule, route.threshold)
    token_ms = share * (small.pass_ms(1) + facts.overhead_ms) + (1 - share) * large.ms / large.tokens
    prompt_ms = facts.prompt_tokens * small.prompt_ms + (1 - share) * large.prompt_ms
    return Price(token_ms * large.tokens, large.tokens, prompt_ms, large.answer_tokens)
