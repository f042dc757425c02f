"""What the server counts, in the form that Prometheus reads."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from foretell.runtime.run import Totals, totals
from foretell.runtime.trace import Recorder, Round
from foretell.serve.answer import Answer

SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
ROWS: Final = (1, 2, 4, 8, 12, 16, 24, 32, 64)


class Metrics:
    """Counters of one server.

    Args:
        free_rows: rows that one pass of the target scores in about the time of one.
        waiting, running: how many requests wait and are computed. kept: contexts that are kept, and tokens in them.
    """

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(
        self,
        free_rows: int,
        *,
        waiting: Callable[[], int],
        running: Callable[[], int],
        kept: Callable[[], tuple[int, int]],
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self._free = free_rows

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"foretell_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str, value: Callable[[], float]) -> None:
            Gauge(f"foretell_{name}", what, registry=registry).set_function(value)

        def seconds(name: str, what: str) -> Histogram:
            return Histogram(f"foretell_{name}_seconds", what, registry=registry, buckets=SECONDS)

        self._requests = counter("requests", "Requests by path and HTTP status.", "path", "status")
        self._answers = counter("answers", "Computed answers by why they ended.", "finish")
        self._prompt = counter("prompt_tokens", "Tokens of prompts: read, or reused from earlier requests.", "how")
        self._tokens = counter("generated_tokens", "Tokens of answers by who proposed them.", "source")
        self._guessed = counter("guessed_tokens", "Guesses that the target checked, by source.", "source")
        self._accepted = counter("accepted_tokens", "Guesses that were right, by source.", "source")
        self._rounds = counter("rounds", "Rounds: passes of the target after those over prompts.")
        self._rows = Histogram("foretell_rows", "Rows of these passes.", registry=registry, buckets=ROWS)
        self._free_rows = counter("free_rows", "Rows beside the first that these passes had for nothing.")
        self._used = counter("free_rows_used", "How many of those held a guess.")
        self._joules = counter("joules", "Energy of generations by who says so; see `foretell energy`.", "kind")
        self._processor_s = counter("processor_seconds", "Processor time of generations, of all threads.")
        self._changes = counter(
            "changes", "What generations changed while they ran, such as tiers, by what it was.", "what"
        )
        self._ledger = counter("ledger_seconds", "Where the time of generations went.", "part")
        self._queue_s = seconds("queue", "Time that requests waited.")
        self._first_s = seconds("first_token", "From the start of computing to the first token.")
        self._response_s = seconds("response", "From the start of computing to the last token.")
        gauge("queue_length", "Requests that wait.", waiting)
        gauge("running", "Requests that are being computed.", running)
        gauge("contexts", "Contexts that are kept for later requests.", lambda: kept()[0])
        gauge("context_tokens", "Tokens in these contexts.", lambda: kept()[1])
        gauge("free_rows_of_a_pass", "Rows that one pass scores in about the time of one.", lambda: free_rows)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)

    def request(self, path: str, status: int) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()

    def answer(self, answer: Answer, recorder: Recorder) -> None:
        """A generation has ended."""
        result = answer.result
        self._answers.labels(result.finish).inc()
        self._prompt.labels("reused").inc(answer.reused)
        self._prompt.labels("read").inc(result.prompt_tokens - answer.reused)
        for source, count in answer.sources.items():
            self._tokens.labels(source).inc(count)
        for each in recorder.rounds:
            self._round(each)
        for change in recorder.log:
            self._changes.labels(change.what).inc()
        self._spent(totals(recorder, result))
        self._processor_s.inc(result.processor_s or 0.0)
        if result.energy is not None:
            self._joules.labels(result.energy.kind).inc(result.energy.value or 0.0)
        self._queue_s.observe(answer.queue_s)
        self._response_s.observe(result.response_s)
        if result.first_token_s is not None:
            self._first_s.observe(result.first_token_s)

    def _round(self, done: Round) -> None:
        kept = set(done.kept)
        for node, (_, _, source, _) in enumerate(done.tried):
            self._guessed.labels(source).inc()
            self._accepted.labels(source).inc(node in kept)
        if done.rows:
            self._rounds.inc()
            self._rows.observe(done.rows)
            self._free_rows.inc(self._free - 1)
            self._used.inc(min(done.rows, self._free) - 1)

    def _spent(self, spent: Totals) -> None:
        parts = {
            "prompt": spent.prompt_s,
            "draft": spent.draft_s,
            "propose": spent.propose_s - spent.draft_s,
            "verify": spent.verify_s,
            "accept": spent.accept_s,
        }
        parts["other"] = spent.whole_s - sum(parts.values())
        for part, value in parts.items():
            self._ledger.labels(part).inc(max(0.0, value))
