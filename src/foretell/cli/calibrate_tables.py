"""What `foretell lab calibrate` shows: what modes lose and take, what was certified, and whether anything pays."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.lab.budget.certify import Attempt, Certified
    from foretell.lab.budget.frontier import Point
    from foretell.runtime.calibration import Calibration, Certificate

_SHOWN = 12  # gates of the front


def print_report(
    certified: "Certified",
    calibration: "Calibration",
    points: "Sequence[Point]",
    facts: Mapping[str, Any],
    where: Path,
) -> None:
    """The frontier, the tests, and sentences that say what follows."""
    from rich.console import Console

    from foretell.cli.tables import table_of

    console = Console(highlight=False, soft_wrap=True)
    items = len(certified.learned) + len(certified.checked)
    tasks = " and ".join(facts["tasks"])
    console.print(f"{tasks}, {items} questions, {facts['draft']} in the place of {facts['model']}")
    table = table_of("who", "right", "loss", "95 %", "small", "time", "cpu")
    table.columns[0].no_wrap = False
    for each in _shown(points):
        its = each.tally
        table.add_row(
            mode_words(its.mode.name, its.mode.kind, its.mode.threshold),
            f"{its.right}/{its.items}",
            f"{100 * its.loss:.1f}",
            f"{100 * each.low:.0f} to {100 * each.high:.0f}",
            f"{its.cost.small:.0%}",
            f"{each.time:.2f}",
            f"{each.processor:.2f}",
        )
    console.print(table)
    console.print(
        "loss: points of accuracy against the target; small: answers of the small model; time and cpu (processor "
        "time): against exact -O2. Gates: those that no other beats in all three, of "
        f"{len(points)} modes, chosen and measured on the same questions, so too good to be true."
    )
    right = points[0].tally.right / points[0].tally.items
    if right <= max(each.budget for each in certified.attempts):
        console.print(f"The target has {right:.0%} right itself: a budget that large allows to lose all of it.")
    for attempt in certified.attempts:
        console.print()
        _print_attempt(console, attempt, len(certified.learned))
    for certificate in calibration.certificates:
        console.print(certificate_words(certificate))
    console.print(pays_words(calibration, points, certified.attempts[0].budget))
    if calibration.certificates:
        console.print(f"Kept in {where}")


def mode_words(name: str, kind: str, threshold: float) -> str:
    """A mode with its threshold."""
    if kind == "exact":
        return "target alone, -O0" if name == "O0" else f"target, exact -{name}"
    gate, _, otherwise = name.partition(", else ")
    return f"{gate} <= {threshold:.4g}{', else ' if otherwise else ''}{otherwise}" if kind == "gate" else name


def certificate_words(each: "Certificate") -> str:
    """What a certificate says."""
    from foretell.runtime.calibration import percent

    mode = mode_words(each.mode.name, each.mode.kind, each.mode.threshold)
    how = "Certified" if each.how == "declared" else "The smallest budget that these questions certify"
    saves = f"it saves {' and '.join(each.saves)}" if each.saves else "it saves neither time nor processor time"
    return (
        f"{how}: at most {percent(each.budget)} lost, with {percent(each.confidence)} confidence, by {mode} "
        f"({each.losses} lost and {each.gains} gained of {each.items}, p = {each.p:.2g}); it leaves "
        f"{each.cost.small:.0%} of the answers to the small model, and {saves} against exact -O2 "
        f"(time {each.cost.response_s / each.exact.response_s:.2f}, processor time "
        f"{each.cost.processor_s / each.exact.processor_s if each.exact.processor_s else 1:.2f})."
    )


def pays_words(calibration: "Calibration", points: "Sequence[Point]", budget: float) -> str:
    """Whether anything needs less of both than exact -O2."""
    from foretell.runtime.calibration import percent

    both = [each for each in calibration.certificates if len(each.saves) > 1]
    if both:
        names = ", ".join(dict.fromkeys(mode_words(e.mode.name, e.mode.kind, e.mode.threshold) for e in both))
        return f"Less time and less processor time than exact -O2, certified: {names}."
    seen = [each.tally.mode for each in points if each.beats]
    if seen:
        some = ", ".join(mode_words(each.name, each.kind, each.threshold) for each in seen[:3])
        return (
            f"Nothing that is certified needs less time and less processor time than exact -O2. {len(seen)} modes did, "
            f"and lost no more than {percent(budget)} here, which may be chance: {some}."
        )
    return f"No mode that lost at most {percent(budget)} here needs less time and less processor time than exact -O2."


def _shown(points: "Sequence[Point]") -> "list[Point]":
    """The target, pipelines, the small model, and gates of the front."""
    alike = {(each.tally.loss, each.time, each.processor): each for each in reversed(points) if each.front}
    front = [each for each in points if each in alike.values() and each.tally.mode.kind == "gate"]
    step = max(1, -(-len(front) // _SHOWN))
    kept = {id(each) for each in front[::step]}
    return [each for each in points if each.tally.mode.kind != "gate" or id(each) in kept]


def _print_attempt(console: Any, attempt: "Attempt", learned: int) -> None:
    from foretell.cli.tables import table_of
    from foretell.runtime.calibration import percent

    console.print(
        f"{percent(attempt.budget)}: {attempt.family}, chosen on {learned} questions; tested on the others, from the "
        "safest on, until one fails:"
    )
    table = table_of("text", "lost", "gained", "of", "small", "p")
    for each in attempt.tested:
        its = each.tally
        table.add_row(
            mode_words(its.mode.name, its.mode.kind, its.mode.threshold),
            str(its.losses),
            str(its.gains),
            str(its.items),
            f"{its.cost.small:.0%}",
            "-" if each.p is None else f"{each.p:.3f}",
        )
    console.print(table)
    if attempt.why:
        console.print(f"Refused: {attempt.why}.")
