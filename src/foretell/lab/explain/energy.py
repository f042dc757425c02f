"""The joules of a run: where they went, what each source cost and saved, and how sure all of that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foretell.lab.explain.basis import Basis
from foretell.lab.explain.earned import Balance, earned
from foretell.lab.explain.ledger import Part, ledger
from foretell.lab.explain.priced import Priced, priced
from foretell.lab.explain.thrift import Length, lengths
from foretell.profile.energy.joules import Joules
from foretell.profile.record import to_json
from foretell.runtime.run import Run

PRICED: Final = {
    "idle": "idle watts, for as long as it took",
    "cores": "busy processors",
    "memory": "bytes read and written",
    "arithmetic": "multiply-adds",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A number that may be below 0: what it most likely is, and between which two it lies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class JoulePart:
    """A part of the energy. share: of the whole. wasted: whether nothing came of it. what: in words."""

    name: str
    joules: Span
    share: float
    wasted: bool
    what: str


@dataclass(frozen=True, slots=True)
class JoulesEarned:
    """Of a source. saved: rounds of the target alone that its kept guesses stand for. cost: its rows, its passes."""

    source: str
    saved: Span
    cost: Span
    earned: Span


@dataclass(frozen=True, slots=True)
class Energy:
    """Of a run.

    total: as the meter or the model said when it ended. modelled: the sum of the ledger, which is always modelled.
    per_token: of the total. by_price: which price it is of. parts: as of the time's ledger. sources: what each source
    saved and cost. saved: rounds against those of the target alone. lengths: where fewer joules and less time ask for
    other guesses.
    """

    total: Joules
    modelled: Span
    per_token: Joules | None
    by_price: Mapping[str, Span]
    parts: tuple[JoulePart, ...]
    sources: tuple[JoulesEarned, ...]
    saved: Span
    lengths: tuple[Length, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. Energies are joules."""
        return {
            "total": self.total.to_json(),
            "modelled": _fields(self.modelled),
            "per_token": None if self.per_token is None else self.per_token.to_json(),
            "by_price": {name: _fields(each) for name, each in self.by_price.items()},
            "ledger": [_fields(each) for each in self.parts],
            "earned": [_fields(each) for each in self.sources],
            "saved": _fields(self.saved),
            "lengths": [{**_fields(each), "differs": each.differs, "survives": each.survives} for each in self.lengths],
        }


def energy(run: Run, basis: Basis, chances: Mapping[str, Sequence[float]]) -> Energy | None:
    """Of a run; None when it is not known what its passes read. chances: of each source's guesses, by place."""
    spent = run.spent
    if spent is None:
        return None
    prices = spent.prices
    likeliest, *ends = [priced(run, basis, spent, at) for at in (prices.likeliest, *prices.ends)]
    each = [_Sums.of(found) for found in (likeliest, *ends)]
    parts = tuple(
        JoulePart(same[0].name, _span(one.ms for one in same), same[0].share, same[0].wasted, same[0].what)
        for same in zip(*(one.parts for one in each), strict=True)
    )
    sources = tuple(
        JoulesEarned(
            same[0].source,
            _span(one.saved_ms for one in same),
            _span(one.rows_ms + one.draft_ms for one in same),
            _span(one.ms for one in same),
        )
        for same in zip(*(one.balance.sources for one in each), strict=True)
    )
    return Energy(
        total=spent.total,
        modelled=_span(one.whole for one in each),
        per_token=spent.total.per(run.totals.tokens) if run.totals.tokens else None,
        by_price=_by_price(run),
        parts=parts,
        sources=sources,
        saved=_span(one.balance.ms for one in each),
        lengths=lengths(chances, basis, likeliest.basis, [one.basis for one in ends]),
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """Millijoules at exact prices."""

    whole: float
    parts: tuple[Part, ...]
    balance: Balance

    @staticmethod
    def of(found: Priced) -> "_Sums":
        return _Sums(1000 * found.run.totals.whole_s, ledger(found.run, found.basis), earned(found.run, found.basis))


def _fields(record: Any) -> dict[str, Any]:
    return dict(to_json(record))


def _span(millijoules: Iterable[float]) -> Span:
    """In joules: the first, and the least and greatest of all."""
    found = [each / 1000 for each in millijoules]
    return Span(found[0], min(found), max(found))


def _by_price(run: Run) -> dict[str, Span]:
    """Joules by what they are for, as in PRICED."""
    spent = run.spent
    if spent is None:
        return {}
    n_bytes = spent.prompt_bytes + sum(spent.target_bytes) + sum(spent.draft_bytes)
    macs = spent.prompt_macs + sum(spent.target_macs) + sum(spent.draft_macs)
    amounts = (run.totals.whole_s, spent.processor_s, n_bytes, macs)
    products = [price * amount for price, amount in zip(spent.prices.prices, amounts, strict=True)]
    return {name: Span(each.value, each.low, each.high) for name, each in zip(PRICED, products, strict=True)}
