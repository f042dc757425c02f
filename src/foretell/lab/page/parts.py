"""Parts that pages of results share: the document with its style and script, cards, keys, tables."""

from collections.abc import Iterable, Sequence
from importlib import resources

from foretell.lab.page.svg import Markup, tag


def document(title: str, body: Markup, *styles: str) -> str:
    """A whole page that needs nothing else; well-formed as XML too."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup("".join((resource("foretell.lab.page", "page.css"), *styles)))),
    )
    script = tag("script", Markup(resource("foretell.lab.page", "page.js")))
    html = tag("html", head, tag("body", body, tag("div", "", id="tip"), script), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def resource(package: str, name: str) -> str:
    """The text of a file that comes with a package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")


def card(title: str, about: str, *parts: Markup, wide: bool = False) -> Markup:
    """A part of the page with its title and a line about it. wide: over both columns."""
    return tag("section", tag("h2", title), tag("p", about), *parts, class_="card wide" if wide else "card")


def key(items: Iterable[tuple[str, str]]) -> Markup:
    """What colours mean: (class, name)."""
    return tag("ul", *(tag("li", tag("i", "", class_=style), name) for style, name in items), class_="key")


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (), soft: Sequence[int] = ()
) -> Markup:
    """All columns but the first, and those of `left` and `soft`, are numbers."""

    def style(column: int) -> str:
        if column in soft:
            return "soft"
        return "" if column in left or not column else "n"

    top = tag("tr", *(tag("th", name, class_=style(i)) for i, name in enumerate(head)))
    lines = (tag("tr", *(tag("td", cell, class_=style(i)) for i, cell in enumerate(row))) for row in rows)
    return tag("table", tag("thead", top), tag("tbody", *lines))
