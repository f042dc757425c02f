"""The same texts with a draft model that is never right and always sure: what a policy must not be fooled by."""

from dataclasses import replace

from foretell.backend.script import Said, Script, drafted, hopeless
from foretell.lab.replay.trace import About, Along, GuessTrace, Sayings, Text


def without_hope(trace: GuessTrace, seed: int = 0) -> GuessTrace:
    """A trace whose draft model guesses wrong tokens by chance, each with a probability of 0.95."""
    texts = [_text(text, trace.about, seed + i) for i, text in enumerate(trace.texts)]
    return replace(trace, texts=tuple(texts))


def _text(text: Text, about: About, seed: int) -> Text:
    tokens, first = (*text.prompt, *text.answer), len(text.prompt) + 1
    vocabulary = min(about.vocabulary, about.draft_vocabulary)
    script = drafted(tokens, len(text.prompt), hopeless(), seed=seed, vocabulary=vocabulary, steps=about.steps)
    places = range(first, len(tokens) + 1)
    along = Along(
        Sayings.of([_beside(script, place, about.top, vocabulary) for place in places]),
        {place - first: Sayings.of(_tops(script.tails[place], about.top, vocabulary)) for place in places},
    )
    return replace(text, drafts=dict.fromkeys(text.drafts, along))


def _beside(script: Script, place: int, top: int, vocabulary: int) -> Said:
    """A choice with others beside it that are wrong too."""
    came = script.text[min(place, len(script.text) - 1)]
    return _top(script.said[place], top, vocabulary, came)


def _tops(tail: tuple[Said, ...], top: int, vocabulary: int) -> list[Said]:
    return [_top(each, top, vocabulary, -1) for each in tail]


def _top(said: Said, top: int, vocabulary: int, came: int) -> Said:
    ids = [said.token]
    while len(ids) < top:
        following = (ids[-1] + 1) % vocabulary
        ids.append(following if following != came else (following + 1) % vocabulary)
    return said._replace(top=tuple((token, said.logprob - 3 * rank) for rank, token in enumerate(ids)))
