"""Which tokens are special: those that end a text, and those that must not be made from what a person typed.

GGUF files are incomplete here, so the end tokens are also recognised by their text. The texts and the order of the
rules are those of llama.cpp (src/llama-vocab.cpp), so that both stop at the same token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foretell.models.vocabulary import Kind

_ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<｜end▁of▁sentence｜>", "[e~[",
)  # fmt: skip

# Fill-in-the-middle tokens, looked up by text where the file gives no id: metadata key → texts.
_FILL_ENDS = {
    "tokenizer.ggml.fim_pad_token_id": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "tokenizer.ggml.fim_rep_token_id": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "tokenizer.ggml.fim_sep_token_id": ("<|file_sep|>",),
}
_FILLS = {
    "tokenizer.ggml.fim_pre_token_id": (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>",
    ),
    "tokenizer.ggml.fim_suf_token_id": (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>",
    ),
    "tokenizer.ggml.fim_mid_token_id": (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>",
    ),
}  # fmt: skip
_NAMED_ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")


@dataclass(frozen=True, slots=True)
class Special:
    """ends: tokens after which generation stops. control: never made from text unless asked, never shown as text.

    visible: user-defined tokens, always recognised in text and shown like any other.
    """

    ends: frozenset[int]
    control: frozenset[int]
    visible: frozenset[int]


def token_id(metadata: Mapping[str, Any], key: str, size: int) -> int | None:
    """A token id from the metadata, or None when it is missing or outside the vocabulary of `size` tokens."""
    value = metadata.get(key)
    return value if isinstance(value, int) and 0 <= value < size else None


def classify(metadata: Mapping[str, Any], ids: Mapping[str, int], kinds: Mapping[int, Kind]) -> Special:
    """Sort the special tokens of a vocabulary. `ids`: text → id. `kinds`: the types of tokens that aren't ordinary."""

    def named(table: Mapping[str, tuple[str, ...]]) -> tuple[set[int], set[int]]:
        """All ids for the keys of the table, and those among them that only their text gave away."""
        everything, by_text = set(), set()
        for key, texts in table.items():
            given = token_id(metadata, key, len(ids))
            guesses = [ids[text] for text in texts if text in ids]
            if given is not None:
                everything.add(given)
            elif guesses:
                everything.add(min(guesses))
                by_text.add(min(guesses))
        return everything, by_text

    ends, guessed = named(_FILL_ENDS)
    _, guessed_fills = named(_FILLS)
    by_text = {ids[text] for text in _ENDS if text in ids}
    given = {token_id(metadata, key, len(ids)) for key in _NAMED_ENDS}
    ends |= by_text | {i for i in given if i is not None}
    control = (
        {i for i, kind in kinds.items() if kind in {Kind.CONTROL, Kind.UNKNOWN}} | guessed | guessed_fills | by_text
    )
    visible = {i for i, kind in kinds.items() if kind is Kind.USER_DEFINED} - control
    # Where an answer consists of several messages, <|end|> only ends one of them.
    if {"<|call|>", "<|return|>", "<|end|>"} <= ids.keys() or {"<|calls|>", "<|flush|>", "<|end|>"} <= ids.keys():
        inner = {ids["<|end|>"]}
        ends, control, visible = ends - inner, control - inner, visible | inner
    return Special(frozenset(ends), frozenset(control), frozenset(visible))
