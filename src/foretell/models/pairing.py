"""Whether two model files have the same tokens, by their metadata alone: before weights are read or packed."""

from pathlib import Path
from typing import Final

from foretell.errors import ForetellError
from foretell.models.gguf import GGUF
from foretell.models.tokenizer import Tokenizer
from foretell.models.vocabulary import Vocabulary, digest, read_vocabulary

_PROBED: Final = 37  # every so many tokens are compared: different vocabularies differ nearly everywhere


def check_pair(target: Path, draft: Path, cache_dir: Path) -> None:
    """Raise ForetellError when ordinary tokens of a draft model are other ones of its target.

    Args:
        target: a GGUF file.
        draft: the same.
        cache_dir: folder of parsed vocabularies. Two that were parsed before and are equal are known by their digests.
    """
    known = digest(target, cache_dir)
    if known is not None and known == digest(draft, cache_dir):
        return
    with GGUF.open(target) as ours, GGUF.open(draft) as theirs:
        token = _difference(read_vocabulary(ours, cache_dir), read_vocabulary(theirs, cache_dir))
        if token is None:
            return
        texts = [Tokenizer.from_gguf(each, cache_dir).decode([token]) for each in (theirs, ours)]
    raise ForetellError(
        f"{draft.name} cannot draft for {target.name}: token {token} is {texts[0]!r} in one and {texts[1]!r} in the "
        "other; choose a draft of the same family"
    )


def _difference(ours: Vocabulary, theirs: Vocabulary) -> int | None:
    """The first probed token that is an ordinary one in both and another one."""
    for token in range(0, min(len(ours.tokens), len(theirs.tokens)), _PROBED):
        special = token in ours.kinds or token in theirs.kinds
        if not special and ours.tokens[token] != theirs.tokens[token]:
            return token
    return None
