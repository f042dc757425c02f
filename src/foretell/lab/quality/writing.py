"""Tasks whose answers are texts, compared with those of people: translation, and the corrections of JFLEG.

JFLEG: Napoles, Sakaguchi and Tetreault 2017, 1702.04066.
"""

import re
from typing import Final

from foretell.errors import ForetellError
from foretell.lab.quality.items import Item, Texts
from foretell.lab.quality.rows import Row

_LANGUAGES: Final = {
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ro": "Romanian",
    "ru": "Russian",
    "zh": "Chinese",
}
_LABEL: Final = re.compile(
    r"^[^\n.!?]{0,60}\b(translation|translated|correct(?:ed|ion)?|sentence|text)\b[^\n.!?:]*:\s*", re.IGNORECASE
)
_QUOTES: Final = {'"': '"', "“": "”", "„": "“", "«": "»", "'": "'"}


def translation(row: Row) -> Item:
    """Either `prompt` and `reference`, or a pair of languages under `translation`, the first into the second."""
    pair = row.fields.get("translation")
    if isinstance(pair, dict):
        if len(pair) != 2:
            raise ForetellError(f"{row.where}: translation has {len(pair)} languages; expected two")
        inner = Row(f"{row.where}: translation", pair)
        (source, source_text), (target, target_text) = ((code, inner.text(code)) for code in pair)
        prompt = (
            f"Translate from {_LANGUAGES.get(source, source)} into {_LANGUAGES.get(target, target)}. Answer with the "
            f"translation alone.\n\n{source_text}"
        )
        return Item(_id(row), prompt, Texts(source_text, (target_text,)))
    prompt = row.text("prompt")
    return Item(_id(row), prompt, Texts(prompt, row.texts("reference", "references")))


def jfleg(row: Row) -> Item:
    """A learner's sentence, to be made right and fluent. Also `prompt` and `reference`, with the text behind a line."""
    if "sentence" not in row.fields and "prompt" in row.fields:
        prompt = row.text("prompt")
        source = prompt.rpartition("\n\n")[2]
        return Item(_id(row), prompt, Texts(source, row.texts("reference", "references")))
    source = row.text("sentence")
    references = tuple(each for each in row.texts("corrections") if each.strip())
    if not references:
        raise ForetellError(f"{row.where}: all corrections are empty; expected at least one")
    prompt = (
        "Correct the following sentence so that it is grammatical and fluent. Answer with the corrected sentence alone."
        f"\n\n{source.strip()}"
    )
    return Item(_id(row), prompt, Texts(source.strip(), references))


def bare(answer: str, source: str) -> str:
    r"""The text of an answer without a label, quotation marks or notes that the source has not, in one line.

    >>> bare('Here is the corrected sentence:\n\n"I like it."\n\nNote: I changed two words.', "I likes it .")
    'I like it.'
    """
    text = answer.strip()
    if not _LABEL.match(source):
        text = _LABEL.sub("", text).strip()
    if "\n\n" not in source:
        text = text.split("\n\n")[0]
    text = " ".join(text.split())
    quoted = len(text) > 1 and text[-1] == _QUOTES.get(text[0]) and not set(text[1:-1]) & {text[0], text[-1]}
    return text[1:-1].strip() if quoted and source.strip()[:1] != text[0] else text


def _id(row: Row) -> str:
    """Its own, or the number of its line."""
    return row.text("id") if row.fields.get("id") is not None else row.where.rpartition(" ")[2]
