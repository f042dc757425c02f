"""What a generation gives: one event per token while it runs, one result at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from foretell.profile.energy.joules import Joules

Finish = Literal["stop", "length", "cancelled"]
AnsweredBy = Literal["target", "draft", "both"]
Alternative = tuple[int, float]  # token id and log-probability


class Event(NamedTuple):
    """One generated token.

    token: its id. text: the text that it completes ("" when it ends inside a character).
    source: who proposed it: "target", or the draft source whose guess the target confirmed, such as "lookup".
    logprob, top: its log-probability and the likeliest alternatives under the target's unmodified distribution, when
        asked for.
    """

    token: int
    text: str
    source: str
    logprob: float | None = None
    top: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A finished generation. The fields are those of `--json`.

    text: without the end token and without the stop string and what follows; a character that the limit cut in half is
        left out.
    tokens: ids of the tokens that contribute to `text`.
    prompt_tokens: length of the prompt, reused or not.
    tokens_per_s: generated tokens after the first per second since the first; None below two tokens.
    first_token_s, response_s: from the request to the first and the last token (None: there was none; response_s
        always).
    load_s: what loading the model took, before the request.
    rounds: passes after those of the prompt.
    tokens_per_round: tokens that these gave per pass, 1.0 without speculation; None when there were none.
    acceptance: share of the guessed tokens that were kept; None when nothing was guessed.
    guessed: how many these were.
    finish: "stop" (end token or stop string), "length" (limit or full context), "cancelled".
    seed: what to give to get the same text again.
    draft_passes: passes of draft models whose scores were wanted.
    notes: what went wrong without changing the text, in words: a draft source that failed and was dropped.
    processor_s: processor time of this process, all of its threads together, in the generation; None: not looked at.
    energy: what it took, from the request to its end; None: nobody asked.
    answered_by: "target"; "draft" where a route or a quality budget left the answer to the small model, "both" where it
        let both speak. Notes say why.

    Generated tokens, for the two rates, are those that the model chose: an end token and the tokens of a stop string
        count.
    """

    text: str
    tokens: tuple[int, ...]
    prompt_tokens: int
    tokens_per_s: float | None
    first_token_s: float | None
    response_s: float
    load_s: float
    rounds: int
    tokens_per_round: float | None
    acceptance: float | None
    guessed: int
    finish: Finish
    seed: int
    draft_passes: int = 0
    notes: tuple[str, ...] = ()
    processor_s: float | None = None
    energy: Joules | None = None
    answered_by: AnsweredBy = "target"

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        energy = None if self.energy is None else self.energy.to_json()
        return values | {"tokens": list(self.tokens), "notes": list(self.notes), "energy": energy}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Result":
        """The result whose fields these are, also of a time when it had fewer.

        Raises KeyError, TypeError or ValueError when they are not a result's.
        """
        energy = values.get("energy")
        given = {
            "tokens": tuple(values["tokens"]),
            "notes": tuple(values.get("notes", ())),
            "energy": None if energy is None else Joules.from_json(energy),
        }
        return Result(**{**values, **given})
