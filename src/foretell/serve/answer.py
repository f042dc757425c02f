"""A finished answer with what is said about it besides its text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foretell.runtime.events import Result


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished generation.

    reused: tokens of the prompt that did not have to be read. queue_s: how long the request waited.
    sources: tokens of the text by who proposed them.
    """

    result: Result
    reused: int
    queue_s: float
    sources: Mapping[str, int]

    @property
    def accepted(self) -> int:
        """Guessed tokens that were right."""
        result = self.result
        return round((result.acceptance or 0) * result.guessed)

    def usage(self) -> dict[str, Any]:
        """OpenAI's counts. A prediction's tokens are here the guesses of all sources.

        Joules, and who answered if it was not the target alone, are fields more, which OpenAI's clients keep as they
        keep all that they don't know.
        """
        result, accepted = self.result, self.accepted
        written = len(result.tokens)
        who = {} if result.answered_by == "target" else {"answered_by": result.answered_by}
        energy = {} if result.energy is None else {"energy": result.energy.to_json()}
        return {
            "prompt_tokens": result.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": result.prompt_tokens + written,
            "prompt_tokens_details": {"cached_tokens": self.reused},
            "completion_tokens_details": {
                "accepted_prediction_tokens": accepted,
                "rejected_prediction_tokens": result.guessed - accepted,
            },
            **energy,
            **who,
        }

    def figures(self) -> dict[str, Any]:
        """What `foretell generate --json` says of a generation, without its text."""
        named = self.result.to_json()
        for name in ("text", "tokens", "prompt_tokens", "finish", "load_s"):
            del named[name]
        return named | {"reused_tokens": self.reused, "queue_s": self.queue_s, "sources": dict(self.sources)}
