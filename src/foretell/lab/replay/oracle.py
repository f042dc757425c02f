"""The best that these guesses and costs could give: what no policy over the same sources can beat.

Dynamic programming over places of the answer, from its end, by one who knows what is right. The state is how many
tokens of the answer are there and how many of them the draft model has read. A round takes right guesses only: of one
free source, or of the draft model, whose chain may be sped up by a free source that knows what it will say, may take
one guess beside its own at the end (a sibling), and may go one guess too far to have read more. Reading is taken to
cost what the cheapest way to cut it into passes does, at the shortest context. So this is a bound, not a policy.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.backend.null import PassMs, flat
from foretell.draft.sources import free
from foretell.draft.staged import MOST
from foretell.lab.replay.record import FREE, guessed
from foretell.lab.replay.trace import Text, variant_of
from foretell.lab.replay.world import World
from foretell.runtime.events import Result

Ms = NDArray[np.float64]

NAME: Final = "oracle"


@dataclass(frozen=True, slots=True)
class Best:
    """The least milliseconds behind the prompt's pass, and the rounds of a generation that takes them."""

    ms: float
    rounds: int


def oracle(world: World, text: Text) -> Result:
    """The best of what each variant of the draft model allows, as if it had been generated."""
    names = list(text.drafts) if world.costs.draft is not None else []
    best = min((_Search(world, text, name).best() for name in [*names, ""]), key=lambda each: each.ms)
    prompt_ms, pieces = 0.0, range(0, len(text.prompt), world.piece_rows)
    for start in pieces:
        prompt_ms += world.costs.target(min(world.piece_rows, len(text.prompt) - start), start)
    ended = text.answer[-1] in world.end_ids
    later = len(text.answer) - 1
    return Result(
        text="",
        tokens=text.answer[:-1] if ended else text.answer,
        prompt_tokens=len(text.prompt),
        tokens_per_s=1000 * later / best.ms if best.ms else None,
        first_token_s=prompt_ms / 1000,
        response_s=(prompt_ms + best.ms) / 1000,
        load_s=0.0,
        rounds=best.rounds,
        tokens_per_round=later / best.rounds if best.rounds else None,
        acceptance=None,
        guessed=0,
        finish="stop" if ended else "length",
        seed=world.sampling.seed,
    )


class _Search:
    """Over one text with one variant of the draft model, or with none ("").

    right: by place, how many guesses of the best free source are right. run: the same of the draft model. sibling: by
    place, whether the token that came is beside the draft model's own choice. ahead: by place and by guesses made, how
    many guesses about what the model will say are right. costs: by place, least ms to the end, by answer tokens that
    the draft model has read; unread: the same, with the rounds, while it has not even read the prompt.
    """

    def __init__(self, world: World, text: Text, name: str) -> None:
        self.world, self.text, self.name = world, text, name
        count = len(text.answer)
        self.costs: list[Ms] = [np.zeros(place + 1) for place in range(count + 1)]
        self.rounds: list[Ms] = [np.zeros(place + 1) for place in range(count + 1)]
        self.unread = [(0.0, 0.0) for _ in range(count + 1)]
        self.right: list[int] = []
        self.run: list[int] = []
        self.sibling: list[bool] = []
        self.ahead: list[list[int]] = []
        self._draft_ms: PassMs = flat(0.0)
        self._read = 0  # tokens of the prompt that the draft model reads
        if name:
            variant = variant_of(name)
            self._draft_ms, self._read = world.draft_ms(variant), variant[2] or len(text.prompt)
        self._look()

    def best(self) -> Best:
        """From the first token on."""
        count = len(self.text.answer)
        reading = self._reading(self._read, count) if self.name else np.zeros(0)
        first = self._reading(0, self._read + count) if self.name else np.zeros(0)
        for place in range(count - 1, 0, -1):
            self._place(place, reading, first)
        ms, rounds = self.unread[1]
        return Best(ms, int(rounds))

    def _look(self) -> None:
        """What is right where."""
        answer, count = self.text.answer, len(self.text.answer)
        offers = self.text.offers.values()
        self.right = [0] + [max((o[i - 1].right(answer[i:]) for o in offers), default=0) for i in range(1, count)]
        if not self.name:
            return
        along = self.text.drafts[self.name]
        agrees = [i not in along.tails for i in range(count)]  # by answer tokens read, less one
        steps = 1 + min((len(tail.tokens) for tail in along.tails.values()), default=0)
        run = [0] * (count + 1)
        for place in range(count - 1, 0, -1):
            run[place] = run[place + 1] + 1 if agrees[place - 1] else 0
        self.run = [min(each, steps) for each in run]
        greedy = self.world.sampling.temperature == 0
        self.sibling = [False] + [
            greedy and not agrees[i - 1] and answer[i] in along.said.ids[i - 1] for i in range(1, count)
        ] + [False]  # fmt: skip
        self.ahead = self._guessed_ahead()

    def _guessed_ahead(self) -> list[list[int]]:
        """What free sources know of the draft model's chains, as long as these are right."""
        prompt, answer = self.text.prompt, self.text.answer
        sources = [free(name, MOST) for name in FREE]
        for source in sources:
            source.extend((*prompt, answer[0]))
        out: list[list[int]] = [[]]
        for place in range(1, len(answer)):
            coming = answer[place : place + self.run[place]]
            found = []
            for done in range(len(coming) + 1):
                proposals = [source.propose(MOST, coming[:done]) for source in sources]
                found.append(max(guessed(each).right(coming[done:]) for each in proposals))
            out.append(found)
            for source in sources:
                source.extend([answer[place]])
        return out

    def _reading(self, context: int, most: int) -> Ms:
        """Least ms of reading so many tokens, by any cut into passes."""
        take = self._draft_ms
        single = np.array([0.0, *(take(rows, context) for rows in range(1, most + MOST + 2))])
        out = single.copy()
        for rows in range(2, len(single)):
            out[rows] = min(out[rows], np.min(single[1:rows] + out[rows - 1 : 0 : -1]))
        return out

    def _place(self, place: int, reading: Ms, first: Ms) -> None:
        """Best round with so many tokens there, for every number of them that the draft model has read."""
        count, world = len(self.text.answer), self.world
        room = max(0, world.max_tokens - place - 1)
        context = len(self.text.prompt) + place - 1
        round_ms = [world.costs.target(1 + k, context) + world.costs.round_ms for k in range(count - place + 1)]
        best, rounds = np.full(place + 1, inf), np.zeros(place + 1)
        fresh = inf, 0.0
        for kept in range(min(self.right[place], room) + 1):
            after = min(place + kept + 1, count)
            ms = round_ms[kept] + self.costs[after][: place + 1]
            rounds = np.where(ms < best, self.rounds[after][: place + 1] + 1, rounds)
            best = np.minimum(ms, best)
            then_ms, then_rounds = self.unread[after]
            fresh = min(fresh, (round_ms[kept] + then_ms, then_rounds + 1))
        if self.name and room:
            unread = place - np.arange(place + 1)  # at least 1: the newest token is read to guess behind it
            unread[-1] = 1
            for made, kept, known in self._chains(place, room):
                after = min(place + kept + 1, count)
                read = min(known, after)
                rest = round_ms[kept] + self.costs[after][read]
                for ahead, later in self._cuts(place, made):
                    ms = reading[unread + ahead] + later + rest
                    rounds = np.where(ms < best, self.rounds[after][read] + 1, rounds)
                    best = np.minimum(ms, best)
                    whole = first[self._read + place + ahead] + later + rest
                    fresh = min(fresh, (float(whole), float(self.rounds[after][read]) + 1))
        self.costs[place], self.rounds[place], self.unread[place] = best, rounds, fresh

    def _chains(self, place: int, room: int) -> list[tuple[int, int, int]]:
        """Guesses made, tokens kept (a sibling included), and answer tokens read then."""
        out = []
        for right in range(min(self.run[place], room) + 1):
            if right:
                out.append((right, right, place + right - 1))
            out.append((right + 1, right, place + right))
            if right == self.run[place] and right < room and self.sibling[min(place + right, len(self.sibling) - 1)]:
                out.append((right + 1, right + 1, place + right))
        return out

    def _cuts(self, place: int, made: int) -> list[tuple[int, float]]:
        """How many guesses the chain's first pass reads along, and the least ms of its further passes."""
        take, context = self._draft_ms, self._read + place - 1
        known = self.ahead[place]
        least = [inf] * made + [0.0]  # by guesses made
        for done in range(made - 1, 0, -1):
            for ahead in range(min(known[done] if done < len(known) else 0, made - done - 1) + 1):
                least[done] = min(least[done], take(1 + ahead, context + done) + least[done + ahead + 1])
        return [(ahead, least[ahead + 1]) for ahead in range(min(known[0], made - 1) + 1)]
