"""What the commands show of a generation: text as it comes, a line or a table of figures."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.runtime.events import Event, Result
    from foretell.runtime.loop import Stream


def follow(stream: "Stream", show: "Callable[[Event], None]") -> "Result":
    """Read a stream to its end. Ctrl-C ends it early, whether it comes in a pass or between two tokens."""
    while True:
        try:
            for event in stream:
                show(event)
        except KeyboardInterrupt:
            stream.cancel()
        else:
            return stream.result


class Printer:
    """Writes the text of events to standard output at once. A reader that goes away ends the stream."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.meter = PromptMeter()
        self._open = True
        self._ends_line = True
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a character shows "?"

    def __call__(self, event: "Event") -> None:
        """Show one event."""
        self.meter.clear()
        self.write(event.text)

    def write(self, text: str) -> None:
        """Show text."""
        if not text or not self._open:
            return
        self._ends_line = text.endswith("\n")
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            self._open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
            if self.stream is not None:
                self.stream.cancel()

    def end(self, result: "Result") -> None:
        """End the line if text stands on it, or the ^C that a terminal shows for a key that no text follows."""
        self.meter.clear()
        if not self._ends_line:
            self.write("\n")
        elif result.finish == "cancelled" and sys.stderr.isatty():
            sys.stderr.write("\n")


class PromptMeter:
    """On a terminal, how much of a long prompt has been read."""

    def __init__(self) -> None:
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Called after each piece."""
        if done < total and sys.stderr.isatty():
            self._shown = True
            sys.stderr.write(f"\rreading the prompt: {done} of {total} tokens")
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def summary(result: "Result") -> str:
    """The figures of a generation in one line."""
    parts = [f"{len(result.tokens)} tokens"]
    if result.tokens_per_s is not None:
        parts.append(f"{result.tokens_per_s:.1f} tokens/s")
    if result.tokens_per_round is not None:
        parts.append(f"{result.tokens_per_round:.2f} tokens per round")
    if result.acceptance is not None:
        parts.append(f"{result.acceptance:.0%} of {result.guessed} guesses accepted")
    if result.first_token_s is not None:
        parts.append(f"first token {result.first_token_s:.2f} s")
    parts += [f"response {result.response_s:.2f} s", *joules_per_token(result), result.finish]
    return "; ".join((", ".join(parts), *result.notes))


def joules_per_token(result: "Result") -> list[str]:
    """What each token of the answer took, prompt included; nothing when nobody can say."""
    energy = result.energy
    if energy is None or energy.value is None or not result.tokens:
        return []
    return [energy.per(len(result.tokens)).said("J per token")]


def logprob_json(events: "Sequence[Event]") -> list[dict[str, Any]]:
    """Log-probabilities of a generation as plain JSON values."""
    return [
        {"token": event.token, "logprob": event.logprob, "top": [list(pair) for pair in event.top]} for event in events
    ]


def logprob_lines(events: "Sequence[Event]", decode: Callable[[list[int]], str]) -> list[str]:
    """One line per token: its text, log-probability and alternatives."""
    lines = []
    for event in events:
        others = "  ".join(f"{decode([token])!r} {logprob:.3f}" for token, logprob in event.top)
        lines.append(f"{decode([event.token])!r:16} {event.logprob:8.3f}   {others}")
    return lines


def number(value: float | None, pattern: str = "{:.2f}") -> str:
    """A figure of a table, or a dash where there is none."""
    return "-" if value is None else pattern.format(value)
