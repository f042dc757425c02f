"""Sources, targets and rules that follow a script: random, but the same for the same seed. They note who was called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from foretell.accept.proposal import ROOT, Guess, Proposal, Weights
from foretell.accept.rule import Chance, Rule, Target, Verdict
from foretell.accept.rules import make
from foretell.codegen.round import Parts
from foretell.ir.ops import Accept, Defer, Draft, Pipeline

VOCABULARY = 3  # small, so that guesses are often right

Log = list[tuple[Any, ...]]


def weights(random: Random) -> Weights:
    """A distribution; some tokens have probability 0."""
    raw = np.array([random.choice((0, 1, 2, 5)) for _ in range(VOCABULARY)], float)
    raw[random.randrange(VOCABULARY)] += 1
    return raw / raw.sum()


@dataclass
class ScriptedSource:
    """Guesses in a chain or a tree; of every number from none to the limit."""

    statement: Draft
    branches: bool
    random: Random
    log: Log

    @property
    def name(self) -> str:
        return self.statement.source

    def extend(self, tokens: Sequence[int]) -> None:
        self.log.append(("extend", self.statement.name, tuple(tokens)))

    def propose(self, limit: int) -> Proposal:
        self.log.append(("propose", self.statement.name, limit))
        guesses: list[Guess] = []
        for i in range(self.random.randint(0, limit)):
            parent = self.random.randrange(ROOT, i) if self.branches else i - 1
            guesses.append(self._guess(parent, [each.token for each in guesses if each.parent == parent]))
        return Proposal(tuple(guesses))

    def close(self) -> None:
        self.log.append(("close", self.statement.name))

    def _guess(self, parent: int, taken: list[int]) -> Guess:
        q = weights(self.random)
        token = self.random.choice([each for each in range(VOCABULARY) if each not in taken] or [0])
        law = self.statement.law
        drawn = law in ("sampled", "without_replacement")
        return Guess(token, parent, self.name, law, self.random.random(), q if drawn else None)


@dataclass(frozen=True)
class ScriptedTarget:
    """A choice and a distribution for every path."""

    proposal: Proposal
    seed: str

    def choice(self, node: int) -> int:
        return self._random(node).randrange(VOCABULARY)

    def p(self, node: int) -> Weights:
        return weights(self._random(node))

    def _random(self, node: int) -> Random:
        return Random(f"{self.seed} {[self.proposal.guesses[i].token for i in self.proposal.path(node)]}")


@dataclass
class ScriptedVerifier:
    """A new target each time."""

    seed: int
    log: Log
    last: ScriptedTarget | None = None

    def verify(self, proposal: Proposal, *, constrained: bool = False) -> ScriptedTarget:
        self.log.append(("verify", proposal.tokens, proposal.parents, constrained))
        self.last = ScriptedTarget(proposal, f"{self.seed} {len(self.log)}")
        return self.last


@dataclass
class ScriptedChance:
    """Coins and draws in the order in which they are asked for."""

    random: Random
    log: Log

    def coin(self, purpose: str, node: int, probability: Any) -> bool:
        self.log.append(("coin", purpose, node, probability))
        return self.random.random() < probability

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        self.log.append(("draw", purpose, node))
        return self.random.choices(range(len(weights)), [float(each) for each in weights])[0]


def compare(proposal: Proposal, target: Target, chance: Chance) -> Verdict:
    """What greedy and coupled mean, said another way than in the code under test: down the tree, child by child."""
    path: list[int] = []
    while True:
        node = path[-1] if path else ROOT
        token = target.choice(node)
        right = [child for child in proposal.children(node) if proposal.guesses[child].token == token]
        if not right:
            return Verdict(tuple(path), token)
        path.append(right[0])


def gamble(knobs: tuple[Any, ...], log: Log) -> Rule:
    """Any other rule: what it was given is noted, and what it keeps is left to chance."""

    def rule(proposal: Proposal, target: Target, chance: Chance) -> Verdict:
        log.append(("rule", knobs, proposal.tokens, proposal.parents, target.p(ROOT).tolist()))
        node, path = ROOT, []
        for child, guess in enumerate(proposal.guesses):
            if guess.parent == node and chance.coin("accept", child, 0.6):
                path.append(node := child)
        return Verdict(tuple(path), chance.draw("bonus", node, target.p(node)))

    return rule


@dataclass
class Script:
    """Parts for a pipeline, and what became of them. Two scripts of one seed are told apart by nothing."""

    pipeline: Pipeline
    seed: int
    log: Log = field(default_factory=list)

    def parts(self) -> Parts:
        sources, rules, defers = {}, {}, {}
        for statement in self.pipeline.statements:
            match statement:
                case Draft(name=name):
                    branches = statement.source == "recycled" or statement.siblings > 0
                    sources[name] = ScriptedSource(statement, branches, Random(f"{self.seed} {name}"), self.log)
                case Accept(name=name, rule="greedy" | "coupled"):
                    rules[name] = make(statement.rule)
                case Accept(name=name):
                    rules[name] = gamble((name, statement.rule, statement.epsilon, statement.alpha), self.log)
                case Defer(name=name):
                    defers[name] = self._defers(statement)
        return Parts(sources, rules, defers, ScriptedVerifier(self.seed, self.log))

    def chance(self) -> ScriptedChance:
        return ScriptedChance(Random(self.seed), self.log)

    def _defers(self, statement: Defer) -> Callable[[Weights], bool]:
        def fires(q: Weights) -> bool:
            self.log.append(("defers", statement.name, q.tolist()))
            return bool(q[0] > 0.6)

        return fires
