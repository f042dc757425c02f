"""A text that changes character half-way: how soon a policy is as fast as what is best behind the change.

Two recorded texts are put together: both prompts, then one answer, then the other, each with what the draft model said
along it. The change is between the answers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from foretell.backend.script import Said, Script, spoken
from foretell.lab.policies.policy import Policy
from foretell.lab.replay.run import Played, replay
from foretell.lab.replay.score import Scorer
from foretell.lab.replay.trace import Text, variant_of
from foretell.lab.replay.world import World

ENOUGH: Final = 0.9  # of the best fixed speed
FREE_ROUNDS, MODEL_ROUNDS = 5, 60  # behind a change: what free sources, and draft models, should need at most


@dataclass(frozen=True, slots=True)
class Settled:
    """A policy behind a change.

    before, after: kinds of text. best: what fixed policy is fastest behind the change. rounds: that begin behind the
    change before the first one from which on the rest of the text comes at ENOUGH of that speed; None: there is none.
    share: of the best's speed, over all that is behind the change. drafts: whether the best asks a draft model.
    """

    before: str
    after: str
    policy: str
    best: str
    rounds: int | None
    share: float
    drafts: bool

    @property
    def in_time(self) -> bool:
        """Whether it took no more rounds than it should."""
        return self.rounds is not None and self.rounds <= (MODEL_ROUNDS if self.drafts else FREE_ROUNDS)


def joined(scorer: Scorer, before: Text, after: Text) -> tuple[World, int]:
    """The world of both texts, and how many tokens of its answer are before the change."""
    world, ends = scorer.world(after), set(scorer.trace.about.end_ids)
    first = before.answer[:-1] if before.answer[-1] in ends else before.answer
    prompt, answer = (*before.prompt, *after.prompt), (*first, *after.answer)
    drafts = {
        variant_of(name): _script(before, after, name, len(first))
        for name in before.drafts.keys() & after.drafts.keys()
    }
    target = spoken(prompt, answer)
    return replace(world, target=target, drafts=drafts, limit=len(answer)), len(first)


def _script(before: Text, after: Text, name: str, kept: int) -> Script:
    """What the draft model says along both, as far as the first one is kept."""
    prompt, answer = (*before.prompt, *after.prompt), (*before.answer[:kept], *after.answer)
    one, two = before.script(name), after.script(name)
    said: dict[int, Said] = {}
    tails: dict[int, tuple[Said, ...]] = {}
    for script, text, start, count in ((one, before, 0, kept), (two, after, kept, len(after.answer))):
        for i in range(1, count + 1):
            here, there = len(text.prompt) + i, len(prompt) + start + i
            said[there] = script.said[here]
            if here in script.tails:
                tails[there] = script.tails[here]
    change, end = len(prompt) + kept, len(one.text)
    if change not in tails:  # it was right to end there
        tails[change] = (one.said[end], *one.tails[end][:-1])
    if said[change].token == after.answer[0]:
        del tails[change]
    return Script((*prompt, *answer), len(prompt), said, tails)


def settled(
    scorer: Scorer, pairs: Iterable[tuple[Text, Text]], policies: Sequence[Policy], fixed: Sequence[Policy]
) -> list[Settled]:
    """Each policy on each pair of texts, beside the fixed ones. Policies that the trace cannot score are left out."""
    policies = [each for each in policies if not scorer.refusal(each)]
    fixed = [each for each in fixed if not scorer.refusal(each)]
    out: list[Settled] = []
    for before, after in pairs:
        world, change = joined(scorer, before, after)
        played = [(each, replay(world, each.fresh()).ready_s) for each in fixed]
        best, fastest = min(played, key=lambda each: each[1][-1] - each[1][change - 1])
        for policy in policies:
            mine = replay(world, policy.fresh())
            rounds, share = _settled(mine, fastest, change)
            out.append(Settled(before.klass, after.klass, policy.name, best.name, rounds, share, best.drafts))
    return out


def pairs(texts: Sequence[Text]) -> list[tuple[Text, Text]]:
    """Every ordered pair of kinds, each by its first text."""
    firsts = list({text.klass: text for text in reversed(texts)}.values())[::-1]
    return [(a, b) for a in firsts for b in firsts if a is not b]


def _settled(played: Played, fastest: Sequence[float], change: int) -> tuple[int | None, float]:
    """`rounds` and `share` of Settled. fastest: when the tokens of the best were there."""
    mine, count = played.ready_s, len(fastest)
    starts = [1, *accumulate((len(turn.tokens) for turn in played.turns), initial=1)][1:-1]  # tokens before each round
    behind = [start for start in starts if change <= start < count]
    found = None
    for i, start in enumerate(behind):
        if ENOUGH * (mine[-1] - mine[start - 1]) <= fastest[-1] - fastest[start - 1]:
            found = i
            break
    share = (fastest[-1] - fastest[change - 1]) / (mine[-1] - mine[change - 1])
    return found, share
