"""Tests what pipelines promise, on the models and prompts of the person who asks.

An exact pipeline is compared token for token with the target alone. Of one that keeps the distribution the tokens are
tested against the distributions of the target (`foretell.lab.uniformity`); likewise of the lossy rule `mix`, which
bounds what is lost per token. The prompt is read once for all of its answers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from foretell.accept.grammar import Grammar
from foretell.api import Model
from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.ir.check import check
from foretell.ir.ops import Accept, Class, Draft, Pipeline, Verify
from foretell.lab.rescore import Reread, Weights, guessed
from foretell.lab.suite import Prompt
from foretell.lab.uniformity import Uniformity, surprise, transform, uniformity
from foretell.runtime.context import Context
from foretell.runtime.loop import Request, Stream
from foretell.runtime.settings import Options, Settings

FALSE_ALARM: Final = 1e-7  # of all statistical tests of an audit together
PLAIN: Final = presets.load("plain")
SHOWN_TOKENS: Final = 24  # of the text before a difference, and behind it

Means = Literal["tokens", "statistics"]


@dataclass(frozen=True, slots=True)
class Variant:
    """What is audited, at a temperature: a pipeline, run as it is given or as its level runs it.

    label: what a person calls it. level: the level that made the pipeline, or "".
    """

    label: str
    pipeline: Pipeline
    temperature: float
    level: str = ""

    @property
    def kind(self) -> Class:
        """What the pipeline promises."""
        return check(self.pipeline)

    @property
    def epsilon(self) -> float:
        """What the law of a token may be off by."""
        return max(each.epsilon for each in self.pipeline.statements if isinstance(each, Accept))

    @property
    def means(self) -> Means:
        """How its promise is tested. Without chance, the same distribution is the same text."""
        same = self.kind == "exact" or (self.kind == "distribution" and self.temperature == 0)
        return "tokens" if same else "statistics"

    def settings(self, max_tokens: int, seed: int, grammar: Grammar | None) -> Settings:
        """How it is run."""
        options = Options(max_tokens=max_tokens, temperature=self.temperature, seed=seed, grammar=grammar)
        if self.level:
            options["level"] = self.level
        else:
            options["pipeline"] = self.pipeline
        return Settings(**options)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an answer leaves that of the target alone.

    prompt, seed: which answer. place: number of its token, from 0. before: the text up to there.
    expected, found: the text from there, of the target alone and of the pipeline. expected_token, found_token: ids
    there, None where that answer has ended.
    """

    prompt: str
    seed: int
    place: int
    before: str
    expected: str
    found: str
    expected_token: int | None
    found_token: int | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a variant.

    answers, tokens: how many were looked at. seeds: of the first and the last answer. mismatches: answers with other
    tokens than those of the target alone; `first` is the first of them. impossible: tokens that the target excludes.
    tests: statistical ones. None of this concerns the other kind of promise.
    """

    variant: Variant
    answers: int
    tokens: int
    seeds: tuple[int, int]
    mismatches: int = 0
    first: Difference | None = None
    impossible: int = 0
    tests: tuple[Uniformity, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the promise held."""
        allowed = self.impossible == 0 or self.variant.epsilon > 0
        return self.mismatches == 0 and allowed and all(each.passed for each in self.tests)


def refuse_untestable(pipeline: Pipeline) -> None:
    """UsageError for a pipeline that promises nothing."""
    kind = check(pipeline)
    if kind != "exact" and any(each.constrained for each in pipeline.statements if isinstance(each, Verify)):
        raise UsageError(f"pipeline {pipeline.name} is constrained and {kind}: of constrained ones, audit exact ones")
    if kind == "lossy" and all(each.rule != "mix" for each in pipeline.statements if isinstance(each, Accept)):
        raise UsageError(
            f"pipeline {pipeline.name} is lossy and gives no bound on what is lost, so there is nothing to audit; "
            "choose an exact or a distribution pipeline, or the rule mix"
        )


class Audit:
    """Runs variants on prompts.

    Args:
        model: the target, with its draft model if a variant needs one.
        variants: what is audited.
        max_tokens: of each answer.
        seed: of the first prompt's answers; the next prompt has the next seed.
        grammar: what answers are limited to, also those of the target alone.

    `interrupted` says whether Ctrl-C ended a run before all answers were looked at.
    """

    def __init__(
        self, model: Model, variants: Sequence[Variant], max_tokens: int, seed: int = 0, grammar: Grammar | None = None
    ) -> None:
        self._model, self._variants, self._max_tokens, self._seed = model, variants, max_tokens, seed
        self._grammar = grammar
        self._context = Context(model.session)
        self._vocabulary = model.session.vocabulary
        self._target = Reread(self._context, model.backend.piece_rows, self._vocabulary)
        self._rereads: dict[tuple[int, str], Reread] = {}  # of the draft model, by its form
        self._random = np.random.default_rng(seed)
        self.interrupted = False

    def run(self, prompts: Sequence[Prompt], done: Callable[[], None] = lambda: None) -> list[Finding]:
        """What was found out about each variant, up to Ctrl-C if that comes before the end.

        `done` is told about every answer that was looked at.
        """
        alone: dict[tuple[float, int], tuple[int, ...]] = {}
        collected = [_Collected(each) for each in self._variants]
        try:
            for number, prompt in enumerate(prompts):
                ids, seed = self._model.encode(prompt.text), self._seed + number
                for each in collected:
                    key = each.variant.temperature, seed
                    if each.variant.means == "tokens":
                        if key not in alone:
                            plain = Variant("target", PLAIN, key[0], "O0").settings(
                                self._max_tokens, seed, self._grammar
                            )
                            alone[key] = self._answer(ids, plain, ends=True)
                        self._compare(each, prompt, ids, seed, alone[key])
                    else:
                        self._collect(each, ids, seed)
                    done()
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self._context.close()
            for reread in self._rereads.values():
                reread.context.close()
        tests = sum(len(each.numbers) for each in collected)
        return [each.finding(self._seed, FALSE_ALARM / max(1, tests)) for each in collected]

    def _answer(self, ids: Sequence[int], settings: Settings, *, ends: bool) -> tuple[int, ...]:
        """Tokens of an answer. Without `ends` there is no token that ends it, so their number is known before."""
        model, sampling = self._model, settings.sampling(settings.choose_seed())
        request = Request(
            prompt=ids,
            max_tokens=settings.max_tokens,
            sampling=sampling,
            end_ids=model.backend.codec.end_ids if ends else frozenset(),
            piece_rows=model.backend.piece_rows,
            seed=settings.choose_seed(),
        )
        bound = model.bound(settings, sampling)
        result = Stream(request, self._context, model.backend.detokeniser(), bound).result
        if result.finish == "cancelled":
            raise KeyboardInterrupt
        return result.tokens

    def _compare(
        self, each: "_Collected", prompt: Prompt, ids: Sequence[int], seed: int, expected: tuple[int, ...]
    ) -> None:
        found = self._answer(ids, each.variant.settings(self._max_tokens, seed, self._grammar), ends=True)
        each.answers += 1
        each.tokens += len(found)
        if found == expected:
            return
        each.mismatches += 1
        if each.first is None:
            each.first = difference(prompt.id, seed, expected, found, self._model.backend.codec.decode)

    def _collect(self, each: "_Collected", ids: Sequence[int], seed: int) -> None:
        settings = each.variant.settings(self._max_tokens, seed, self._grammar)
        tokens = self._answer(ids, settings, ends=False)
        if len(tokens) < self._max_tokens:
            raise ForetellError(
                f"the context holds {self._context.session.context} tokens, a prompt has {len(ids)}: no room for "
                f"{self._max_tokens} more; choose a larger context or fewer tokens"
            )
        sampling = settings.sampling(seed)
        numbers: dict[str, list[float]] = {}
        impossible = 0
        drafts = [one for one in each.variant.pipeline.statements if isinstance(one, Draft)]
        expected = {one.name: self._expected(one, ids, tokens, settings, seed) for one in drafts}
        for token, p in zip(tokens, self._target.along(ids, tokens, sampling), strict=True):
            impossible += int(p[token] == 0)
            numbers.setdefault("p", []).append(transform(p, p, token, self._random.random()))
            for name, places in expected.items():
                number = transform(p, surprise(p, next(places)), token, self._random.random())
                numbers.setdefault(f"{name} / p", []).append(number)
        each.answers += 1
        each.tokens += len(tokens)
        each.impossible += impossible
        for order, those in numbers.items():
            each.numbers.setdefault(order, []).extend(those)

    def _expected(
        self, draft: Draft, ids: Sequence[int], tokens: Sequence[int], settings: Settings, seed: int
    ) -> Iterator[Weights]:
        """What a draft expected at each place of an answer."""
        sampling = settings.sampling(seed)
        if draft.source != "model":
            return guessed(draft, ids, tokens, sampling, self._vocabulary)
        drafter, form = self._model.drafter, (draft.vocabulary, draft.precision)
        if drafter is None:
            raise UsageError(f"{draft.name} = draft(model, of={draft.of}) has no model: give --draft")
        if form not in self._rereads:
            backend = drafter.backend(form)
            self._rereads[form] = Reread(Context(backend.session()), backend.piece_rows, self._vocabulary)
        return self._rereads[form].along(ids, tokens, sampling)


class _Collected:
    """What is known of a variant while it runs."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.answers = self.tokens = self.mismatches = self.impossible = 0
        self.first: Difference | None = None
        self.numbers: dict[str, list[float]] = {}  # of each order

    def finding(self, seed: int, false_alarm: float) -> Finding:
        return Finding(
            self.variant,
            self.answers,
            self.tokens,
            (seed, seed + max(0, self.answers - 1)),
            self.mismatches,
            self.first,
            self.impossible,
            tuple(uniformity(name, each, false_alarm, self.variant.epsilon) for name, each in self.numbers.items()),
        )


def difference(
    prompt: str, seed: int, expected: Sequence[int], found: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> Difference:
    """Where two different answers part."""
    pairs = zip(expected, found, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(found)))
    around = slice(place, place + SHOWN_TOKENS)
    return Difference(
        prompt,
        seed,
        place,
        decode(found[max(0, place - SHOWN_TOKENS) : place]),
        decode(expected[around]),
        decode(found[around]),
        expected[place] if place < len(expected) else None,
        found[place] if place < len(found) else None,
    )
