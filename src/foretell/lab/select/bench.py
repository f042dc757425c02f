"""A target on the bench: its answers to some prompts, and what each candidate would have made of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from types import TracebackType
from typing import Self

from foretell.accept.sampling import GREEDY
from foretell.api import Model
from foretell.backend.model import Backend
from foretell.cost import known
from foretell.cost.facts import Facts
from foretell.errors import ForetellError
from foretell.lab.policies.fixed import plain
from foretell.lab.policies.policy import Clock, Fixed
from foretell.lab.replay.costs import Costs, PassTimes
from foretell.lab.replay.record import about, record
from foretell.lab.replay.run import generate
from foretell.lab.replay.score import Scorer
from foretell.lab.replay.trace import About, GuessTrace, Text, variant_name
from foretell.lab.replay.world import Variant
from foretell.lab.select.drafted import drafted
from foretell.lab.select.timing import BLOCKS, Block, Timer
from foretell.lab.select.usage import Prices, usages
from foretell.lab.select.ways import FREE, LEVEL, NONE, WHOLE_FORM, Answer, Candidate, Measured
from foretell.lab.suite import Prompt
from foretell.profile.file import WHOLE, Profile
from foretell.runtime.bill import counter, threads
from foretell.runtime.choose import DRAFT, choose
from foretell.runtime.opening import Opening


@dataclass
class Bench:
    """A loaded target. Use it as a context manager.

    Args:
        opening: how models are opened.
        name: the target's, None for the catalogue's default.
        max_tokens: most of an answer.
        clock: of real runs, seconds.

    target: loaded. facts: what it goes by without a draft model. answers: those that `answer` gave so far.
    """

    opening: Opening
    name: str | None
    max_tokens: int
    clock: Clock = perf_counter
    answers: list[Answer] = field(default_factory=list)
    _profiles: dict[str, Profile] = field(default_factory=dict)  # of candidates

    def __post_init__(self) -> None:
        self.target: Backend = self.opening.open(self.name)
        try:
            self._profile = self.opening.profile(self.target)
        except BaseException:
            self.target.close()
            raise
        self.facts = known.facts(self._profile)
        self.model = Model(self.target, dict(self.facts.target.points), known=self.facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.model.close()

    @property
    def threads(self) -> int:
        """That compute passes."""
        return threads(self.target)

    def answer(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """The target's answers, greedy, guessing for itself what it can; those without a second token are left out."""
        policy = Fixed(FREE, choose(LEVEL, self.facts))
        for prompt in prompts:
            ids = self.model.encode(prompt.text)
            played = generate(self.model, ids, policy, GREEDY, max_tokens=self.max_tokens, clock=self.clock)
            if played.result.finish == "cancelled":
                raise KeyboardInterrupt
            answer = Answer(prompt, tuple(ids), played)
            if len(played.answer) > 1:
                self.answers.append(answer)
            yield answer

    def without(self) -> list[Measured]:
        """NONE and FREE, not timed: `blocks` of candidates hold for them too."""
        head = about(self.model, max_tokens=self.max_tokens)
        trace = GuessTrace(head, self._profile, tuple(self._texts(self.model, (), head)))
        scorer = _scorer(trace, self.facts)
        ways = [plain(), Fixed(FREE, choose(LEVEL, self.facts))]
        return [
            Measured(
                name,
                way.pipeline,
                None,
                tuple(usages(scorer, way)),
                self._prices(),
                None,
                self.facts.overhead_ms,
                counters=(counter(self.target), None),
                flaw=self._profile.flaw,
            )
            for name, way in zip((NONE, FREE), ways, strict=True)
        ]

    def timings(self, count: int = BLOCKS) -> tuple[Block, ...]:
        """Blocks of the target alone."""
        timer = Timer(self.target, None, self.context)
        return tuple(timer.block() for _ in range(count))

    @property
    def context(self) -> int:
        """Tokens behind which passes are timed: half of the answers' rounds stand behind fewer."""
        return int(median(len(each.ids) + len(each.played.answer) // 2 for each in self.answers))

    @contextmanager
    def opened(self, name: str) -> "Iterator[Candidate]":
        """A candidate, with the profile that it was first opened with. ForetellError when it cannot be one.

        A later look at a machine that was busy before may give another profile, by which -O2 may decide otherwise.
        """
        self.opening.check_pair(self.name, name)
        drafter = self.opening.drafter(name, self.target)
        try:
            profile = self._profiles.get(name) or self.opening.profile(self.target, drafter)
            self._profiles[name] = profile
            drafter.know(profile.drafts[WHOLE].costs, profile.counts.by_frequency)
            facts = known.facts(profile)
            model = Model(self.target, dict(facts.target.points), drafter=drafter, known=facts)
            yield Candidate(name, model, drafter, profile, choose(LEVEL, facts))
        finally:
            drafter.close()

    def measured(self, candidate: "Candidate", tick: Callable[[], None]) -> Measured:
        """What a candidate would have made of the answers. `tick` is called after each of them.

        Raises:
            ForetellError: the candidate cannot read the answers.
        """
        form, model, asked = candidate.form, candidate.model, candidate.variants
        backend = candidate.drafter.backend(form or WHOLE_FORM)
        timer, blocks, texts = Timer(self.target, backend, self.context), list[Block](), list[Text]()
        head = about(model, max_tokens=self.max_tokens, steps=candidate.steps)
        for text in self._texts(model, asked, head):
            texts.append(text)
            while len(blocks) * len(self.answers) < BLOCKS * len(texts):
                blocks.append(timer.block())
            tick()
        trace = GuessTrace(head, candidate.profile, tuple(texts))
        return Measured(
            candidate.name,
            candidate.pipeline,
            form,
            tuple(usages(_scorer(trace, model.facts), Fixed(LEVEL, candidate.pipeline))),
            self._prices(),
            Prices(PassTimes.of(candidate.profile.drafts[WHOLE], model.facts.model(DRAFT).prompt_ms), self.context),
            model.facts.overhead_ms,
            tuple(blocks),
            drafted(texts, variant_name(asked[0])),
            (counter(self.target), counter(backend)),
            candidate.profile.flaw,
        )

    def _texts(self, model: Model, asked: Sequence[Variant], head: About) -> Iterator[Text]:
        """The answers, and what the model's draft model would have guessed along them."""
        for each in self.answers:
            prompt = each.prompt
            text = record(model, prompt.klass, prompt.id, each.ids, each.played, asked, head)
            if text is None:
                raise ForetellError(f"the answer to the prompt {prompt.id} is too short for any guess: leave it out")
            yield text

    def _prices(self) -> Prices:
        return Prices(PassTimes.of(self._profile.target, self.facts.prompt_ms), self.context)


def _scorer(trace: GuessTrace, facts: Facts) -> Scorer:
    """Decides by these facts."""
    return Scorer(trace, facts, Costs.measured(trace.profile, facts))
