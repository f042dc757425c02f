"""Everything that is said of a run, as data: what the terminal shows, the page draws and `--json` prints."""

from dataclasses import dataclass
from typing import Any, Final

from foretell.lab.explain.acceptance import Acceptance, acceptance
from foretell.lab.explain.advice import Advice, advice
from foretell.lab.explain.basis import Basis, basis
from foretell.lab.explain.bounds import BreakEven, Chain, break_even, perfect
from foretell.lab.explain.choices import Deciding, Kind, Prediction, changes, deciding, kinds, predictions
from foretell.lab.explain.earned import Balance, earned
from foretell.lab.explain.energy import Energy, energy
from foretell.lab.explain.ledger import Part, ledger
from foretell.profile.record import to_json
from foretell.runtime.run import Change, Run

EXACT: Final = 1e6  # larger numbers keep all digits


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of a run. perfect: a draft that is always right and costs nothing; perfect_draft: one of the draft's cost.

    energy: None where it is not known what passes read.

    mean_rows: of the target's passes; filled: how many of the free rows that is, as a share.
    """

    run: Run
    basis: Basis
    ledger: tuple[Part, ...]
    acceptance: tuple[Acceptance, ...]
    balance: Balance
    perfect: Chain
    perfect_draft: Chain | None
    break_even: tuple[BreakEven, ...]
    kinds: tuple[Kind, ...]
    changes: tuple[Change, ...]
    predictions: tuple[Prediction, ...]
    deciding: Deciding | None
    mean_rows: float
    advice: tuple[Advice, ...]
    energy: Energy | None

    @property
    def filled(self) -> float:
        """Free rows that passes used, as a share of those there were."""
        return min(1.0, self.mean_rows / self.basis.free_rows)

    @property
    def speed_up(self) -> float | None:
        """Rounds against those of the target alone; None without rounds."""
        balance = self.balance
        return balance.plain_ms / balance.actual_ms if balance.actual_ms else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, rounds and text left out: these are in the run's own file. Times are milliseconds."""
        run, base = self.run, self.basis
        whole = {
            "about": run.about,
            "totals": run.totals,
            "notes": run.notes,
            "ledger": self.ledger,
            "acceptance": self.acceptance,
            "earned": {
                "sources": tuple(
                    {"source": each.source, **_fields(each), "ms": each.ms} for each in self.balance.sources
                ),
                "tokens": self.balance.tokens,
                "plain_ms": self.balance.plain_ms,
                "actual_ms": self.balance.actual_ms,
                "rest_ms": self.balance.rest_ms,
                "ms": self.balance.ms,
                "speed_up": self.speed_up,
            },
            "ceiling": {
                "t_ms": dict(base.target.points),
                "drift": base.drift,
                "rest_ms": base.rest_ms,
                "draft_step_ms": base.step_ms,
                "free_rows": base.free_rows,
                "mean_rows": self.mean_rows,
                "free_rows_used": self.filled,
                "plain_tokens_per_s": 1000 / base.plain_ms if base.plain_ms else None,
                "perfect": _chain(self.perfect),
                "perfect_draft": None if self.perfect_draft is None else _chain(self.perfect_draft),
            },
            "break_even": tuple({**_fields(each), "chain": _chain(each.chain)} for each in self.break_even),
            "decisions": self.kinds,
            "changes": self.changes,
            "predictions": self.predictions,
            "deciding": self.deciding,
            "advice": self.advice,
            "energy": None if self.energy is None else self.energy.to_json(),
        }
        return {name: _plain(value) for name, value in whole.items()}


def explain(run: Run) -> Explanation:
    """Compute it."""
    base = basis(run)
    parts, seen, balance = ledger(run, base), acceptance(run), earned(run, base)
    passes = [each.rows for each in run.rounds if each.rows]
    return Explanation(
        run=run,
        basis=base,
        ledger=parts,
        acceptance=seen,
        balance=balance,
        perfect=perfect(base),
        perfect_draft=perfect(base, base.step_ms) if run.about.draft is not None else None,
        break_even=tuple(break_even(each, base) for each in seen),
        kinds=kinds(run),
        changes=changes(run),
        predictions=predictions(run, base),
        deciding=deciding(run),
        mean_rows=sum(passes) / len(passes) if passes else 0.0,
        advice=advice(run, base, parts, seen, balance),
        energy=energy(run, base, {each.source: each.chain for each in seen}),
    )


def _chain(chain: Chain) -> dict[str, Any]:
    return {**_fields(chain), "tokens_per_s": chain.tokens_per_s}


def _fields(record: Any) -> dict[str, Any]:
    found = to_json(record)
    return dict(found)


def _plain(value: Any) -> Any:
    """JSON values with numbers that people can read."""
    match value:
        case float():
            return float(f"{value:.6g}") if abs(value) < EXACT else round(value, 1)
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case None | int() | str():
            return value
    return _plain(to_json(value))
