"""A policy's generation of one prompt, by real models or by scripts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foretell.accept.rule import Chance
from foretell.accept.sampling import Sampling
from foretell.api import Model
from foretell.backend.model import Backend
from foretell.codegen.round import Outcome, Parts
from foretell.errors import ForetellError
from foretell.lab.policies.policy import Clock, Kit, Policy
from foretell.lab.replay.world import World
from foretell.runtime.bind import Bound
from foretell.runtime.context import Context
from foretell.runtime.events import Result
from foretell.runtime.loop import Request, Stream


@dataclass(frozen=True, slots=True)
class Turn:
    """A round. guessed: tokens that were tried. kept: those of them that were right. tokens: all that it gave."""

    guessed: int
    kept: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a generation.

    result: with times by the clock that it ran by. sources: of each token shown, who guessed it, or "target".
    times_s: when each of them was there, since the request. turns: its rounds, the prompt's pass not among them.
    """

    result: Result
    sources: tuple[str, ...]
    times_s: tuple[float, ...]
    turns: tuple[Turn, ...]

    @property
    def ready_s(self) -> list[float]:
        """When each token of the answer was there, since the request; an end token with its round."""
        times = list(self.times_s)
        return times + [self.result.response_s] * (len(self.answer) - len(times))

    @property
    def answer(self) -> tuple[int, ...]:
        """The tokens that were shown, and the end token if it came in a round."""
        tokens = self.result.tokens
        chosen = [*tokens[:1], *(token for turn in self.turns for token in turn.tokens)]
        ended = self.result.finish == "stop" and len(chosen) > len(tokens) > 0
        return (*tokens, chosen[len(tokens)]) if ended else tokens


def generate(
    model: Model, prompt: Sequence[int], policy: Policy, sampling: Sampling, *, max_tokens: int, clock: Clock
) -> Played:
    """One generation. Raises ForetellError when a source of the policy failed."""
    backend: Backend = model.backend
    started, turns = clock(), list[Turn]()
    bound = _noted(policy.bound(Kit(model, sampling, clock)), turns)
    request = Request(
        prompt=prompt,
        max_tokens=max_tokens,
        sampling=sampling,
        end_ids=backend.codec.end_ids,
        piece_rows=backend.piece_rows,
        seed=sampling.seed,
        started_s=started,
        clock=clock,
    )
    context = Context(model.session)
    sources, times = list[str](), list[float]()
    try:
        stream = Stream(request, context, backend.detokeniser(), bound, on_end=context.close)
    except BaseException:
        context.close()
        raise
    for event in stream:
        sources.append(event.source)
        times.append(clock() - started)
    result = stream.result
    if result.notes:
        raise ForetellError(result.notes[0])
    return Played(result, tuple(sources), tuple(times), _ended(turns, backend.codec.end_ids))


def replay(world: World, policy: Policy) -> Played:
    """The same from a script. Raises ForetellError where the script does not say enough, or another text comes out."""
    opened = world.opened()
    played = generate(
        opened.model, world.prompt, policy, world.sampling, max_tokens=world.max_tokens, clock=opened.clock
    )
    if played.answer != world.answer:
        raise ForetellError(f"{policy.name} gave another text than the one that was recorded: its rules are not exact")
    return played


def _ended(turns: Sequence[Turn], end_ids: frozenset[int]) -> tuple[Turn, ...]:
    """The same, without what the last round gave behind an end token."""
    out = list(turns)
    if out and any(token in end_ids for token in out[-1].tokens):
        last = out[-1]
        shown = 1 + next(i for i, token in enumerate(last.tokens) if token in end_ids)
        out[-1] = Turn(last.guessed, min(last.kept, shown), last.tokens[:shown])
    return tuple(out)


def _noted(bound: Bound, turns: list[Turn]) -> Bound:
    """The same, and each round is noted."""

    def play(parts: Parts, limit: int, chance: Chance) -> Outcome:
        outcome = bound.play(parts, limit, chance)
        proposal, (path, bonus) = outcome
        tokens = [proposal.guesses[i].token for i in path]
        turns.append(Turn(len(proposal), len(path), tuple(tokens if bonus is None else [*tokens, bonus])))
        return outcome

    return replace(bound, play=play)
