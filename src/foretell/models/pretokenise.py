r"""How text is cut into words before byte-pair merging: one regular expression per family of vocabularies.

The families and the names that GGUF files give them are those of llama.cpp (src/llama-vocab.cpp), whose ids we match.
Two things differ from the expressions that circulate in `tokenizer.json` files:

- `(?i:'s|...)` is spelt out, because case folding would also take the long s (U+017F) for an s.
- \p{L} and \p{N} leave out what Unicode 16 added. The vocabularies and llama.cpp's tables are older, while the regular
  expression library keeps up: without this, the same text would get other ids after an update of a dependency.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

# Letters and numbers that Unicode 16.0 assigned (DerivedAge.txt, "16.0", general categories L and N).
_UNICODE_16 = (
    r"\x{1C89}-\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}\x{10D40}-\x{10D65}\x{10D6F}-\x{10D85}"
    r"\x{10EC2}-\x{10EC4}\x{11380}-\x{113D3}\x{116D0}-\x{116E3}\x{11BC0}-\x{11BF9}\x{13460}-\x{143FA}\x{16100}-\x{16139}"
    r"\x{16D40}-\x{16D79}\x{18CFF}\x{1CCF0}-\x{1CCF9}\x{1E5D0}-\x{1E5FA}"
)
_L = rf"[\p{{L}}&&[^{_UNICODE_16}]]"
_N = rf"[\p{{N}}&&[^{_UNICODE_16}]]"
_CONTRACTION = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"


def _modern(digits: str) -> str:
    """The expression of the Llama 3 and Qwen families; they differ in how many digits make a word."""
    return rf"{_CONTRACTION}|[^\r\n{_L}{_N}]?{_L}+|{digits}| ?[^\s{_L}{_N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


_GPT2 = rf"'(?:[stmd]|re|ve|ll)| ?{_L}+| ?{_N}+| ?[^\s{_L}{_N}]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, slots=True)
class PreTokeniser:
    """A family's rules.

    splits: expressions applied in turn, each inside the pieces that the one before left; matches become words.
    whole_words: a word that is in the vocabulary is one token, whatever the merges would make of it.
    add_bos: whether prompts begin with the bos token when the file does not say.
    """

    splits: tuple[str, ...]
    whole_words: bool = False
    add_bos: bool = False

    def build(self) -> "PreTokenizer":
        """The equivalent object of `tokenizers`, which ends by writing bytes in GPT-2's alphabet."""
        from tokenizers import Regex, pre_tokenizers  # noqa: PLC0415  # heavy, and `--help` must not wait for it

        steps: list[Any] = [pre_tokenizers.Split(Regex(split), "isolated") for split in self.splits]
        return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


_QWEN2 = PreTokeniser((_modern(_N),))
_LLAMA3 = PreTokeniser((_modern(f"{_N}{{1,3}}"),), whole_words=True, add_bos=True)
_SMOLLM = PreTokeniser((_N, _GPT2))

# `tokenizer.ggml.pre` → rules; several names mean the same.
PRE_TOKENISERS = {
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "smollm": _SMOLLM,
}
