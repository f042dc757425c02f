"""A guess trace: finished texts, and at each place of them what every source would have guessed there.

The file has JSON lines. The first says what was recorded, and holds the profile that times come from; each other line
is a text. Under greedy and coupled acceptance the text is the target's whatever is guessed, so these guesses decide
what any policy over the same sources would have had accepted.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.script import Said, Script
from foretell.errors import ForetellError, why
from foretell.lab.replay.world import Variant
from foretell.profile import file as profiles
from foretell.profile.counts import form_name, form_of
from foretell.profile.file import Profile
from foretell.profile.record import from_json, to_json

VERSION: Final = 1
KIND: Final = "guess trace"
_AGAIN: Final = "record again with `foretell replay --record`"


@dataclass(frozen=True, slots=True)
class About:
    """What was recorded.

    target, draft: names, "" without a draft model. machine: see `foretell.profile.machine`. max_tokens: most of an
    answer. temperature, seed: how tokens were chosen. steps: guesses of a chain of the draft model. top: how many of
    its likeliest tokens are known at each place. width: most guesses of a free source. The others as of sessions.
    """

    target: str
    draft: str
    machine: str
    max_tokens: int
    temperature: float
    seed: int
    steps: int
    top: int
    width: int
    vocabulary: int
    draft_vocabulary: int
    context: int
    piece_rows: int
    draft_piece_rows: int
    end_ids: tuple[int, ...]

    @property
    def sampling(self) -> Sampling:
        """As of the generations."""
        return Sampling(temperature=self.temperature, seed=self.seed) if self.temperature else GREEDY


@dataclass(frozen=True, slots=True)
class Guessed:
    """What a free source guessed at a place. parents: index of each guess's parent plus 1; empty for a chain."""

    tokens: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.parents and len(self.parents) != len(self.tokens):
            raise ForetellError(f"{len(self.tokens)} guesses have {len(self.parents)} parents")
        if any(parent > i for i, parent in enumerate(self.parents)):
            raise ForetellError(f"the parents {list(self.parents)} are not before their guesses")

    def right(self, coming: Sequence[int]) -> int:
        """How deep its guesses agree with what came."""
        parents = self.parents or range(len(self.tokens))
        children = {
            (parent, token): i + 1
            for i, (parent, token) in reversed([*enumerate(zip(parents, self.tokens, strict=True))])
        }
        node = depth = 0
        for token in coming:
            if (node, token) not in children:
                break
            node, depth = children[node, token], depth + 1
        return depth


@dataclass(frozen=True, slots=True)
class Sayings:
    """Choices of a draft model at places one after the other.

    tokens, nats: each choice, and minus the log of its probability. ids, id_nats: of each, the likeliest tokens, and
    the same of them.
    """

    tokens: tuple[int, ...]
    nats: tuple[float, ...]
    ids: tuple[tuple[int, ...], ...]
    id_nats: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.nats) == len(self.ids) == len(self.id_nats):
            raise ForetellError("tokens, nats, ids and id_nats have different lengths")
        if any(len(ids) != len(nats) for ids, nats in zip(self.ids, self.id_nats, strict=True)):
            raise ForetellError("ids and id_nats have different lengths")

    @staticmethod
    def of(said: Sequence[Said]) -> "Sayings":
        """From what a script holds."""
        return Sayings(
            tuple(each.token for each in said),
            tuple(_nats(each.logprob) for each in said),
            tuple(tuple(token for token, _ in each.top) for each in said),
            tuple(tuple(_nats(logprob) for _, logprob in each.top) for each in said),
        )

    def said(self) -> Iterator[Said]:
        """As a script wants it."""
        for token, nats, ids, id_nats in zip(self.tokens, self.nats, self.ids, self.id_nats, strict=True):
            yield Said(token, -nats, tuple((each, -n) for each, n in zip(ids, id_nats, strict=True)))


@dataclass(frozen=True, slots=True)
class Along:
    """A draft model along a text.

    said: behind each token of the answer, the first one on. tails: by the index of these, how it goes on where its
    choice is not what came, and behind the text's end.
    """

    said: Sayings
    tails: Mapping[int, Sayings]


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt and its answer, as ids, the end token included if it came.

    offers: of each free source, its guesses behind each token of the answer but the last. drafts: by the name of the
    draft model's variant.
    """

    klass: str
    id: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    offers: Mapping[str, tuple[Guessed, ...]]
    drafts: Mapping[str, Along] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.prompt or len(self.answer) < 2:
            raise ForetellError("a text needs a prompt and an answer of two tokens")
        for name, guessed in self.offers.items():
            if len(guessed) != len(self.answer) - 1:
                raise ForetellError(f"{name} has {len(guessed)} offers, expected {len(self.answer) - 1}")
        for name, along in self.drafts.items():
            variant_of(name)
            self._check(name, along)

    def _check(self, name: str, along: Along) -> None:
        count, tokens = len(self.answer), along.said.tokens
        if len(tokens) != count:
            raise ForetellError(f"{name} has {len(tokens)} choices, expected {count}")
        wrong = {i for i in range(count) if i == count - 1 or tokens[i] != self.answer[i + 1]}
        if wrong != set(along.tails):
            place = min(wrong ^ set(along.tails))
            raise ForetellError(f"{name} has {'no' if place in wrong else 'a'} tail at place {place}, and should not")

    def script(self, name: str) -> Script:
        """What the draft model says, in this variant."""
        first, along = len(self.prompt) + 1, self.drafts[name]
        return Script(
            (*self.prompt, *self.answer),
            len(self.prompt),
            {first + i: said for i, said in enumerate(along.said.said())},
            {first + i: tuple(tail.said()) for i, tail in along.tails.items()},
        )


@dataclass(frozen=True, slots=True)
class GuessTrace:
    """A file's contents."""

    about: About
    profile: Profile
    texts: tuple[Text, ...]


def variant_name(variant: Variant) -> str:
    """As files call it.

    >>> variant_name((0, "", 0)), variant_name((16384, "Q4_0", 64))
    ('whole', '16384 Q4_0/64')
    """
    return form_name(variant[:2]) + (f"/{variant[2]}" if variant[2] else "")


def variant_of(name: str) -> Variant:
    """The variant of a name. Raises ForetellError."""
    form, slash, prompt = name.partition("/")
    if slash and not (prompt.isascii() and prompt.isdigit()):
        raise ForetellError(f"a draft model has no variant {name!r}")
    vocabulary, precision = form_of(form)
    return vocabulary, precision, int(prompt) if slash else 0


def header(about: About, profile: Profile) -> str:
    """The first line of a file."""
    whole = {
        "foretell": KIND,
        "version": VERSION,
        "about": to_json(about),
        "profile": json.loads(profiles.text(profile)),
    }
    return json.dumps(whole, separators=(",", ":")) + "\n"


def line(text: Text) -> str:
    """A line of a file."""
    return json.dumps(to_json(text), separators=(",", ":")) + "\n"


def read(path: Path, profile: Profile | None = None) -> GuessTrace:
    """A file's contents; a last line that broke off is left out. Raises ForetellError, in one line.

    profile: to go by instead of the one in the file, which then need not be readable.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ForetellError(f"cannot read the trace {path}: {why(error)}; give another file") from error
    except UnicodeDecodeError as error:
        raise ForetellError(f"{path} is no {KIND}: it is not text; {_AGAIN}") from error
    about, known = _header(path, _json(path, 1, lines[0]), profile)
    texts: list[Text] = []
    for number, content in enumerate(lines[1:-1], 2):  # behind the last line's end there is nothing, or a broken line
        try:
            text = from_json(Text, _json(path, number, content), "text")
            _check_known(text, about)
        except ForetellError as error:
            raise _bad(path, number, str(error)) from error
        texts.append(text)
    return GuessTrace(about, known, tuple(texts))


def _header(path: Path, whole: Any, profile: Profile | None) -> tuple[About, Profile]:
    if not isinstance(whole, dict) or whole.get("foretell") != KIND:
        raise ForetellError(f"{path} is no {KIND}: {_AGAIN}")
    if whole.get("version") != VERSION:
        raise ForetellError(f"{path} has version {whole.get('version')!r}, not {VERSION}: {_AGAIN}")
    try:
        about = from_json(About, whole.get("about"), "about")
        profile = profile or profiles.parse(json.dumps(whole.get("profile")), "in it")
    except ForetellError as error:
        raise _bad(path, 1, str(error)) from error
    if bool(about.draft) != bool(profile.keys.draft):
        raise ForetellError(f"the profile is of other models than the trace {path}: give another one with --profile")
    return about, profile


def _check_known(text: Text, about: About) -> None:
    """Raise ForetellError for tokens that the models don't have, and for tails of another length."""
    if max(*text.prompt, *text.answer) >= about.vocabulary:
        raise ForetellError(f"a token is {max(*text.prompt, *text.answer)}: the target has {about.vocabulary}")
    for name, along in text.drafts.items():
        if any(len(tail.tokens) != about.steps - 1 for tail in along.tails.values()):
            raise ForetellError(f"a tail of {name} has not {about.steps - 1} tokens")


def _json(path: Path, number: int, content: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _bad(path, number, "it is no JSON text, or cut off") from error


def _bad(path: Path, number: int, what: str) -> ForetellError:
    what = " ".join(what.split()).partition(": measure again")[0]
    return ForetellError(f"the trace {path} is damaged in line {number}: {what}; {_AGAIN}")


def _nats(logprob: float) -> float:
    return round(max(0.0, -logprob), 6)
