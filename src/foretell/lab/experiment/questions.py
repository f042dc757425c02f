"""What a plan's suites ask: prompts that come with Foretell, files of prompts, and tasks whose answers are judged."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from foretell.errors import ForetellError, UsageError
from foretell.lab.experiment.fields import listed, nearest
from foretell.lab.experiment.plan import Plan, Suite
from foretell.lab.prompts import BUILT_IN, CORRECTIONS
from foretell.lab.quality import tasks
from foretell.lab.quality.items import Item, Program
from foretell.lab.quality.measures import Sacrebleu
from foretell.lab.quality.tasks import Task
from foretell.lab.suite import Prompt, read_suite
from foretell.profile import prompts as profile

Locate = Callable[[Task, str], Path]  # the file of a task, of what a plan says as its `data`
_ALL_ROUNDS = 1000  # more than there are


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt of a suite under one seed. item: what is right, where the answer is judged."""

    suite: Suite
    prompt: Prompt
    seed: int
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """All questions of a plan. plan: with the digests of its suites."""

    plan: Plan
    questions: Sequence[Question]

    @property
    def needs_sacrebleu(self) -> bool:
        """Whether some answers are judged by what that package makes."""
        named = (tasks.task(each.at) for each in self.plan.suites if each.source == "task")
        return any(isinstance(task.measures[0], Sacrebleu) for task in named)

    @property
    def programs(self) -> bool:
        """Whether some answers are programs, which need the sandbox."""
        return any(each.item is not None and isinstance(each.item.gold, Program) for each in self.questions)


def asked(plan: Plan, locate: Locate) -> Asked:
    """Reads the suites.

    Raises:
        UsageError: a suite's questions are not those that a stored plan was made with.
        ForetellError: a file cannot be read; it says where.
    """
    suites, questions = [], []
    for suite in plan.suites:
        found = _items(suite, locate)
        digest = _digest(found)
        if suite.digest not in ("", digest):
            raise UsageError(
                f"the questions of suite {suite.name} ({suite.data or suite.at}) have changed since this plan was "
                "stored: give the files of then, or a plan without digests"
            )
        suites.append(replace(suite, digest=digest))
        questions += [
            Question(suites[-1], prompt, seed, item) for seed, (prompt, item) in product(plan.seeds, found.items())
        ]
    return Asked(replace(plan, suites=tuple(suites)), questions)


def _items(suite: Suite, locate: Locate) -> Mapping[Prompt, Item | None]:
    """Prompts, which differ in class or id, with what is right."""
    if suite.source == "task":
        task = tasks.task(suite.at)
        items = tasks.read(task, locate(task, suite.data), suite.limit)
        return {Prompt(task.klass or task.name, each.id, each.prompt): each for each in items}
    found: Sequence[Prompt]
    if suite.source == "file":
        found = read_suite(Path(suite.at), suite.classes, suite.limit)
    else:
        match suite.at:
            case "built-in":
                known: Sequence[Prompt] = BUILT_IN
            case "corrections":
                known = CORRECTIONS
            case _:
                known = _profile()
        found = _of_classes(known, suite)
    counts = Counter((each.klass, each.id) for each in found)
    ((klass, name), most) = counts.most_common(1)[0]
    if most > 1:
        raise ForetellError(
            f"{suite.at} has {most} prompts of the class {klass} with the id {name}: give ids that differ"
        )
    return dict.fromkeys(found)


def _profile() -> list[Prompt]:
    kinds = Counter[str]()
    out = []
    for each in profile.built_in(_ALL_ROUNDS):
        kinds[each.kind] += 1
        out.append(Prompt(each.kind, f"profile/{each.kind}-{kinds[each.kind]}", each.text))
    return out


def _of_classes(prompts: Sequence[Prompt], suite: Suite) -> list[Prompt]:
    known = list(dict.fromkeys(each.klass for each in prompts))
    for klass in suite.classes:
        if klass not in known:
            raise UsageError(f"suite {suite.name} has no class {klass!r}{nearest(klass, known)}; {listed(known)}")
    return [
        each
        for klass in suite.classes or known
        for each in [each for each in prompts if each.klass == klass][: suite.limit]
    ]


def _digest(found: Iterable[Prompt]) -> str:
    said = json.dumps([[each.klass, each.id, each.text] for each in found])
    return hashlib.sha256(said.encode()).hexdigest()[:12]
