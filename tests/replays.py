"""Toy models of which guess traces are made, for tests of replays."""

from collections.abc import Sequence
from time import perf_counter

from foretell.accept.sampling import GREEDY, Sampling
from foretell.api import Model
from foretell.backend.toy import ToyBackend, ToyModel
from foretell.cost import known
from foretell.lab.policies.catalogue import everything
from foretell.lab.policies.fixed import plain
from foretell.lab.policies.policy import Policy
from foretell.lab.replay.record import about, record, variants
from foretell.lab.replay.run import generate
from foretell.lab.replay.score import Scorer
from foretell.lab.replay.trace import GuessTrace
from foretell.profile.file import WHOLE, Keys, Profile, Times
from foretell.profile.spread import Spread
from foretell.runtime.drafter import Drafter

TARGET_MS = {1: 20.0, 2: 21.0, 4: 22.0, 8: 24.0, 16: 40.0}
DRAFT_MS = {1: 4.0, 2: 4.1, 8: 4.5, 16: 7.0}
PROMPTS = (
    "to be or not to be, that is the question. to be or",
    "hello world, how are you",
    "abc abc abc abd abc",
)


def profile(*, drafting: bool = True) -> Profile:
    """Of the pair of `pair`."""
    times = {64: Spread.given(TARGET_MS)}, {64: Spread.given(DRAFT_MS)}
    drafts = {WHOLE: Times(times[1])} if drafting else {}
    return Profile(Keys("a machine", "toy", "toy" if drafting else ""), "quick", Times(times[0]), drafts)


def pair(order: int = 3, echo: float = 4.0, *, drafting: bool = True, target: ToyModel | None = None) -> Model:
    """A toy target, and one that guesses for it: the nearer its order and echo are to the target's, the better."""
    draft = Drafter(lambda _: ToyBackend(ToyModel(order=order, echo=echo)), lambda _: DRAFT_MS)
    facts = known.facts(profile(drafting=drafting))
    backend = ToyBackend(target or ToyModel(echo=5.0))
    return Model(backend, TARGET_MS, drafter=draft if drafting else None, known=facts)


def traced(
    model: Model,
    prompts: Sequence[str] = PROMPTS,
    max_tokens: int = 40,
    sampling: Sampling = GREEDY,
    policies: Sequence[Policy] | None = None,
) -> GuessTrace:
    """The model's own answers and all guesses along them, as policies need them; of classes x and y in turns."""
    head = about(model, max_tokens=max_tokens, temperature=sampling.temperature, seed=sampling.seed)
    asked = everything(model.facts) if policies is None else policies
    texts = []
    for i, prompt in enumerate(prompts):
        ids = model.encode(prompt)
        if model.drafter is not None:
            model.drafter.forget()
        played = generate(model, ids, plain(), sampling, max_tokens=max_tokens, clock=perf_counter)
        texts.append(record(model, "xy"[i % 2], str(i), ids, played, variants(p.pipeline for p in asked), head))
    return GuessTrace(head, profile(drafting=model.drafter is not None), tuple(t for t in texts if t is not None))


def scorer(model: Model, **how: object) -> Scorer:
    """Ready to score a new trace of the model."""
    return Scorer.of(traced(model, **how))  # type: ignore[arg-type]  # handed on
