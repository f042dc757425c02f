"""What a pass of a model reads and multiplies: counts of one model, and sums over passes."""

from dataclasses import dataclass, replace

from foretell.profile.energy.work import Work


@dataclass(frozen=True, slots=True)
class PassCounts:
    """Of one pass. weights: packed matrices and vectors; cache: keys and values read and written."""

    weight_bytes: int
    cache_bytes: int
    embedding_bytes: int
    product_macs: int
    attention_macs: int

    @property
    def work(self) -> Work:
        """All of it, without its time."""
        n_bytes = self.weight_bytes + self.cache_bytes + self.embedding_bytes
        return Work(n_bytes, self.product_macs + self.attention_macs)


@dataclass(frozen=True, slots=True)
class PassCounter:
    """A model's passes. Bytes and multiply-adds: of every pass, of every row, of every scored row, of a token seen.

    always_bytes: weights that every pass reads. output_bytes: those that a pass reads which scores rows.
    cache_bytes: keys and values of a token. row_bytes: of the embedding matrix.
    row_macs, scored_macs: products. seen_macs: attention of a row to a token.
    """

    always_bytes: int
    output_bytes: int
    cache_bytes: int
    row_bytes: int
    row_macs: int
    scored_macs: int
    seen_macs: int

    def of_pass(self, rows: int, context: int, wanted: int | None = None) -> PassCounts:
        """Of a chain of rows behind so many tokens, of which `wanted` are scored; None: all."""
        scored = rows if wanted is None else wanted
        seen = rows * context + rows * (rows + 1) // 2
        return PassCounts(
            self.always_bytes + (self.output_bytes if scored else 0),
            (context + rows) * self.cache_bytes,
            rows * self.row_bytes,
            rows * self.row_macs + scored * self.scored_macs,
            seen * self.seen_macs,
        )

    def of_chain(self, rows: int, context: int, wanted: int, steps: int = 1) -> tuple[int, int]:
        """Bytes and multiply-adds of a pass, and of steps - 1 more over one scored row each, each behind the last.

        As the sum of `of_pass`, in little more than a microsecond, however many they are.
        """
        later, behind = steps - 1, context + rows
        all_rows, scored = rows + later, wanted + later
        triangle = later * (later + 1) // 2
        n_bytes = steps * self.always_bytes + (later + (wanted > 0)) * self.output_bytes
        n_bytes += (steps * behind + triangle) * self.cache_bytes + all_rows * self.row_bytes
        seen = rows * context + rows * (rows + 1) // 2 + later * behind + triangle
        return n_bytes, all_rows * self.row_macs + scored * self.scored_macs + seen * self.seen_macs

    def cut(self, share: float) -> "PassCounter":
        """The same model with an output matrix that has this share of its tokens."""
        return replace(self, output_bytes=round(self.output_bytes * share), scored_macs=round(self.scored_macs * share))

    def of_prompt(self, tokens: int, piece_rows: int, context: int = 0) -> Work:
        """Of reading a prompt in pieces, of which the last token is scored."""
        work = Work()
        for start in range(0, tokens, piece_rows):
            rows = min(piece_rows, tokens - start)
            work += self.of_pass(rows, context + start, int(start + rows == tokens)).work
        return work
