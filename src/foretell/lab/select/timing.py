"""Short timings of target and draft in the same moments, again and again, so that one knows how much they vary."""

from dataclasses import dataclass
from typing import Final

from foretell.backend.model import Backend
from foretell.profile import passes

BLOCKS: Final = 6  # of timings, spread over the time that a candidate is measured in
REPEATS: Final = 2  # of each size in a block, behind one that warms up
ROWS: Final = (1, 2, 3, 4, 6, 8, 12, 16)
DRAFT_ROWS: Final = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Block:
    """Milliseconds of a pass by rows, of both models in the same moments; that over the most rows reads a prompt."""

    target: dict[int, float]
    draft: dict[int, float]


class Timer:
    """Times passes of a target, and of a draft model in the form that runs.

    Args:
        target: a loaded model.
        draft: the same; None: without one.
        context: tokens before the passes, or as many as the models have room for.
    """

    def __init__(self, target: Backend, draft: Backend | None, context: int) -> None:
        self._models = [(target, ROWS), *([] if draft is None else [(draft, DRAFT_ROWS)])]
        self._sessions = [backend.session() for backend, _ in self._models]
        self._context = context

    def block(self, repeats: int = REPEATS) -> Block:
        """One block. A backend that says what its passes cost is not timed.

        Medians, not the least: a run too takes what passes usually take.
        """
        models = list(zip(self._models, self._sessions, strict=True))
        timed = [(session, rows) for (backend, rows), session in models if backend.pass_costs is None]
        found = iter(passes.in_turns(timed, repeats=repeats, context_tokens=self._context) if timed else ())
        out: list[dict[int, float]] = []
        for (backend, _), session in models:
            if backend.pass_costs is not None:
                out.append(dict(backend.pass_costs))
                continue
            times = {n: spread.median_ms for n, spread in next(found).items()}
            prompt = passes.prompt(session, repeats=1)
            if prompt is not None:
                times[passes.PROMPT_ROWS] = passes.PROMPT_ROWS * prompt.median_ms
            out.append(times)
        return Block(out[0], out[1] if len(out) > 1 else {})
