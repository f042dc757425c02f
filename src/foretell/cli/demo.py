"""`foretell demo`: a real answer with and without speculation, side by side."""

import json
import sys
from typing import TYPE_CHECKING

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.runtime.events import Result

PROMPT = '''This Python module has a bug: `withdraw` lets the balance go below zero. Fix it by raising a ValueError, \
and add a method `transfer(self, other, amount)`. Answer with the whole module in one code block and nothing else.

```python
"""Bank accounts with a history of what happened to them."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class Entry:
    """One change of a balance."""

    when: datetime
    amount: float
    text: str


@dataclass
class Account:
    """An account that remembers its changes."""

    owner: str
    balance: float = 0.0
    history: list[Entry] = field(default_factory=list)

    def deposit(self, amount: float, text: str = "deposit") -> None:
        """Add money."""
        if amount <= 0:
            raise ValueError(f"cannot deposit {amount}: must be above 0")
        self.balance += amount
        self.history.append(Entry(datetime.now(), amount, text))

    def withdraw(self, amount: float, text: str = "withdrawal") -> None:
        """Take money away."""
        if amount <= 0:
            raise ValueError(f"cannot withdraw {amount}: must be above 0")
        self.balance -= amount
        self.history.append(Entry(datetime.now(), -amount, text))

    def statement(self) -> str:
        """All changes, one per line."""
        lines = [f"{entry.when:%Y-%m-%d} {entry.amount:10.2f} {entry.text}" for entry in self.history]
        return "\\n".join(lines)
```
'''
ROWS = (
    ("tokens/s", "tokens_per_s", "{:.1f}"),
    ("tokens per round", "tokens_per_round", "{:.2f}"),
    ("guesses accepted", "acceptance", "{:.0%}"),
    ("first token, s", "first_token_s", "{:.2f}"),
    ("whole response, s", "response_s", "{:.2f}"),
)


def demo(
    model: options.ModelName = None,
    max_tokens: options.MaxTokens = 640,
    threads: options.Threads = None,
    json_: options.Json = False,
) -> int:
    """Answer a real prompt, then again without speculation, and compare: same text, less time."""
    from foretell.cli.render import Printer, follow

    with options.opened(model, threads, None) as loaded:
        if not json_:
            typer.echo(f"{loaded.name}, loaded in {loaded.load_s:.1f} s. The prompt:\n\n{PROMPT}\nThe answer:\n")
        printer = Printer()
        stream = loaded.stream(PROMPT, max_tokens=max_tokens, on_prompt=printer.meter)
        printer.stream = stream
        lookup = follow(stream, (lambda _: None) if json_ else printer)
        printer.end(lookup)
        if lookup.finish == "cancelled":
            return 130
        typer.echo("\nThe same prompt without speculation, for comparison ...", file=sys.stderr)
        plain = follow(loaded.stream(PROMPT, max_tokens=max_tokens, speculation=False), lambda _: None)
    if plain.finish == "cancelled":
        return 130
    same = lookup.tokens == plain.tokens and lookup.text == plain.text
    if json_:
        results = {"lookup": lookup.to_json(), "plain": plain.to_json()}
        typer.echo(json.dumps({"model": loaded.name, "same": same, **results}))
    else:
        _table(lookup, plain)
        typer.echo(
            "Both texts are the same." if same else "error: the texts differ; please report this with the model's name"
        )
    return 0 if same else 1


def _table(lookup: "Result", plain: "Result") -> None:
    from rich.console import Console
    from rich.table import Table

    from foretell.cli.render import number

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for column in ("with speculation", "without"):
        table.add_column(column, justify="right")
    table.add_row("tokens", str(len(lookup.tokens)), str(len(plain.tokens)))
    for title, name, pattern in ROWS:
        table.add_row(title, *(number(getattr(result, name), pattern) for result in (lookup, plain)))
    Console().print(table)
    Console().print(f"{plain.response_s / lookup.response_s:.2f} times as fast with speculation, prompt included.")
