"""A sequence of a session with the ids of its committed tokens: prompts that begin alike are not read again."""

from collections.abc import Sequence

from foretell.backend.protocol import Session


class Context:
    """Committed tokens of one sequence. The list and the session agree after every method."""

    __slots__ = ("sequence", "session", "tokens")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sequence = session.open()
        self.tokens: list[int] = []

    def __len__(self) -> int:
        return len(self.tokens)

    def reuse(self, prompt: Sequence[int]) -> int:
        """Cut back to what the prompt has in common, short of its last token, whose scores are wanted; its length."""
        common = 0
        for ours, theirs in zip(self.tokens, prompt[:-1], strict=False):
            if ours != theirs:
                break
            common += 1
        self.cut(common)
        return common

    def commit(self, tokens: Sequence[int], rows: Sequence[int] | None = None) -> None:
        """Keep rows of the last step, a chain of these tokens: its first rows unless said otherwise."""
        self.tokens.extend(tokens)
        self.session.commit(self.sequence, range(len(tokens)) if rows is None else rows)

    def cut(self, length: int) -> None:
        """Keep at most `length` tokens. Also mends the list when an interrupt came amid a commit."""
        length = min(length, self.session.length(self.sequence), len(self.tokens))
        del self.tokens[length:]
        if self.session.length(self.sequence) > length:
            self.session.rewind(self.sequence, length)

    def fork(self, length: int) -> "Context":
        """Another context with this one's first `length` tokens, which the two share."""
        twin = Context.__new__(Context)
        twin.session, twin.sequence, twin.tokens = self.session, self.session.fork(self.sequence), list(self.tokens)
        twin.cut(length)
        return twin

    def close(self) -> None:
        """Give the sequence back."""
        self.session.close(self.sequence)
