"""A report on disk: the page, and its plots as PNG where matplotlib is installed."""

from pathlib import Path

from foretell.errors import ForetellError, why
from foretell.lab.page.pictures import write_png
from foretell.lab.report import plots
from foretell.lab.report.cards import acceptance
from foretell.lab.report.page import energy_kind, page
from foretell.lab.report.report import Report, Section

PAGE = "report.html"


def write(folder: Path, said: Report) -> tuple[list[Path], str]:
    """The files that were written, and why there are no pictures ("": there are). ForetellError when nothing can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).write_text(page(said), encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot write {folder / PAGE}: {why(error)}; give another --out") from error
    files = [folder / PAGE]
    try:
        for number, its in enumerate(said.sections, 1):
            for name, svg in pictures(its).items():
                path = folder / (f"{number}-{name}.png" if len(said.sections) > 1 else f"{name}.png")
                write_png(path, svg)
                files.append(path)
    except ForetellError as error:
        return files, str(error)
    return files, ""


def pictures(its: Section) -> dict[str, str]:
    """Name → SVG, of the plots that there is something to show in."""
    out: dict[str, str] = {}
    if its.time_quality:
        out["time-quality"] = plots.trade_off(its.time_quality, its.study, "response time, s")
    if its.energy_quality:
        unit = f"joules per answer, {energy_kind(its)}"
        out["energy-quality"] = plots.trade_off(its.energy_quality, its.study, unit)
    if its.rate_by_class:
        out["classes"] = plots.panels(its.study, its.rate_by_class)
    rows = acceptance(its)
    if rows:
        out["acceptance"] = plots.heat_map(rows, list(its.study.classes), "Acceptance by class and setting")
    if its.drafts:
        named = {("no draft model" if name == "none" else name): each for name, each in its.drafts.items()}
        out["acceptance-drafts"] = plots.heat_map(named, list(its.study.classes), "Acceptance by class and draft")
    return out
