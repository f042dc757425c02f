"""Tables of a profile, and its figures by name."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from foretell.cost.known import facts
from foretell.profile.file import WHOLE, Profile

if TYPE_CHECKING:
    from rich.table import Table

    from foretell.cost.facts import Facts

DRAFT: Final = "draft"
ROWS: Final = (1, 2, 4, 8, 16)
PLACES: Final = 4


def figures(profile: Profile) -> dict[str, float]:
    """What decisions go by, as numbers by name. Times are milliseconds, all others shares."""
    known = facts(profile, DRAFT)
    out = {f"target T({n}) ms": ms for n, ms in profile.target.costs.items()}
    out["target prompt token ms"] = known.prompt_ms
    for form, times in profile.drafts.items():
        out |= {f"draft {form} T({n}) ms": ms for n, ms in times.costs.items()}
    for name, source in known.sources.items():
        if name in profile.counts.sources:
            out[f"{name} offers"] = source.offers
            out |= {f"{name} place {i + 1}": chance for i, chance in enumerate(source.chances[:PLACES])}
    for model in known.models.values():
        out["draft prompt token ms"] = model.prompt_ms
        if WHOLE in profile.counts.forms:
            out |= {f"draft place {i + 1}": chance for i, chance in enumerate(model.chances[:PLACES])}
            out |= {
                f"draft {size or 'whole'} {how} kept".replace("  ", " "): each.kept
                for (size, how), each in model.forms.items()
            }
            out |= {f"draft last {n} prompt tokens kept": factor for n, factor in model.prompts.items()}
    return out


def print_profile(profile: Profile) -> None:
    """Times, then chances, then the draft model, then kinds of prompts."""
    from rich.console import Console

    console = Console(highlight=False)
    known, counts = facts(profile, DRAFT), profile.counts
    about = f"{counts.answers} answers with {counts.tokens} tokens" if counts.answers else "no texts"
    console.print(f"{profile.how} profile, {about}; facts: {known.origin}", soft_wrap=True)
    console.print(profile.keys.machine, soft_wrap=True)
    if profile.flaw:
        console.print(
            f"doubtful: {profile.flaw}; `foretell profile run` measures again, and so do later loads", soft_wrap=True
        )
    console.print()
    console.print(_times(profile))
    if not counts.answers:
        return
    console.print("\nRight, of guesses whose forerunners were right, in rounds of at most 8 guesses:")
    console.print(_chances(profile, known))
    if WHOLE in counts.forms:
        console.print("\nThe draft model's guesses, by its own probability of them:")
        console.print(_calibration(known))
        model = known.models[DRAFT]
        beside = ", ".join(f"{share:.0%}" for share in model.siblings[:PLACES])
        console.print(f"when its first choice is wrong, the next ones are right: {beside}")
        for n, factor in model.prompts.items():
            console.print(f"reading only the last {n} tokens of longer prompts, {factor:.0%} of its right guesses stay")
        console.print(f"overlap of lookup and draft: {known.overlap:.2f} (0: independent, 1: the same places)")
    console.print("\nBy kind of prompt, tokens per round of at most 8 guesses:")
    console.print(_kinds(profile))


def print_difference(first: Mapping[str, float], second: Mapping[str, float]) -> None:
    """One row per figure."""
    from rich.console import Console

    table = _table("figure", "first", "second", "ratio")
    for name in dict.fromkeys((*first, *second)):
        a, b = first.get(name), second.get(name)
        ratio = f"{b / a:.2f}" if a and b is not None else "-"
        table.add_row(name, *("-" if each is None else f"{each:.3g}" for each in (a, b)), ratio)
    Console(highlight=False).print(table)


def _times(profile: Profile) -> "Table":
    table = _table("pass of", *(f"{n} rows" if n > 1 else "1 row" for n in ROWS), "prompt token", "noise")
    models = {"target": profile.target} | {f"draft {name}": each for name, each in sorted(profile.drafts.items())}
    for name, times in models.items():
        spreads = times.passes[min(times.passes)]
        noise = max(each.median_ms / each.least_ms for each in spreads.values())
        cells = [f"{spreads[n].least_ms:.1f}" if n in spreads else "-" for n in ROWS]
        prompt = f"{times.prompt.least_ms:.2f}" if times.prompt else "-"
        table.add_row(name, *cells, prompt, f"{noise:.2f}")
        for tokens in sorted(times.passes)[1:]:
            behind = times.passes[tokens]
            cells = [f"{behind[n].least_ms:.1f}" if n in behind else "-" for n in ROWS]
            table.add_row(f"  behind {tokens} tokens", *cells, "", "")
    table.caption = "least milliseconds; noise: the worst median as a part of its least"
    table.caption_justify = "left"
    return table


def _chances(profile: Profile, known: "Facts") -> "Table":
    table = _table("source", "offers", *(f"guess {i + 1}" for i in range(PLACES)), "pass", "kept")
    for name in sorted(profile.counts.sources):
        if name in known.sources:
            source = known.sources[name]
            table.add_row(name, f"{source.offers:.0%}", *_places(source.chances), "-", "-")
    for model in known.models.values():
        if WHOLE in profile.counts.forms:
            table.add_row("draft whole", "100%", *_places(model.chances), f"{model.pass_ms(1):.1f} ms", "100%")
            for (size, precision), trade in model.forms.items():
                ms = f"{trade.cost * model.pass_ms(1):.1f} ms"
                kept = tuple(chance * trade.kept for chance in model.chances)
                name = f"draft {size or 'whole'} {precision}"
                table.add_row(name, "100%", *_places(kept), ms, f"{trade.kept:.1%}")
    return table


def _places(chances: tuple[float, ...]) -> list[str]:
    return [f"{chance:.0%}" for chance in chances[:PLACES]] + ["-"] * (PLACES - len(chances))


def _calibration(known: "Facts") -> "Table":
    table = _table("probability up to", "right", "share")
    for upper, right, share in known.models[DRAFT].calibration:
        table.add_row(f"{upper:g}", f"{right:.0%}", f"{share:.0%}")
    table.columns[0].justify = "right"
    return table


def _kinds(profile: Profile) -> "Table":
    names = sorted(profile.counts.sources)
    drafted = WHOLE in profile.counts.forms
    table = _table("kind", "tokens", *names, *(("draft",) if drafted else ()))
    for kind, counts in sorted(profile.kinds.items()):
        rounds = [counts.sources[name].rounds.get(8) if name in counts.sources else None for name in names]
        if drafted:
            rounds.append(counts.forms[WHOLE].rounds.get(8) if WHOLE in counts.forms else None)
        cells = [
            f"{(each.rounds + sum(each.hits)) / each.rounds:.2f}" if each and each.rounds else "-" for each in rounds
        ]
        table.add_row(kind, str(counts.tokens), *cells)
    return table


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    return table
