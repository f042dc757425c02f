"""Numbers as people read them."""


def ms_text(ms: float) -> str:
    """A time, in the unit that suits it.

    >>> ms_text(0.123), ms_text(12.34), ms_text(-5432.1)
    ('0.12 ms', '12.3 ms', '-5.43 s')
    """
    if abs(ms) >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.1f} ms" if abs(ms) >= 10 else f"{ms:.2f} ms"


def joules_text(joules: float) -> str:
    """An energy, in the unit that suits it.

    >>> joules_text(0.0123), joules_text(-12.345), joules_text(1234.5)
    ('12.3 mJ', '-12.3 J', '1234 J')
    """
    size = abs(joules)
    if size < 1:
        return f"{1000 * joules:.1f} mJ" if size >= 0.01 else f"{1000 * joules:.2f} mJ"
    return f"{joules:.2f} J" if size < 10 else f"{joules:.1f} J" if size < 1000 else f"{joules:.0f} J"


def span_text(low: float, high: float) -> str:
    """Between which two energies.

    >>> span_text(0.25, 1.5)
    '250.0 mJ to 1.50 J'
    """
    return f"{joules_text(low)} to {joules_text(high)}"


def speed(tokens_per_s: float) -> str:
    """Tokens per second, as a number.

    >>> speed(12.345), speed(1234.5)
    ('12.3', '1234')
    """
    return f"{tokens_per_s:.1f}" if tokens_per_s < 1000 else f"{tokens_per_s:.0f}"


def times(ratio: float) -> str:
    """A ratio in words.

    >>> times(2.5)
    '2.50 times'
    """
    return f"{ratio:.2f} times"


def plural(count: int, one: str, more: str = "") -> str:
    """A number of things.

    >>> plural(1, "row"), plural(2, "row"), plural(0, "pass", "passes")
    ('1 row', '2 rows', '0 passes')
    """
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def free(rows: int) -> str:
    """How many rows are free.

    >>> free(1), free(8)
    ('1 row is free', '8 rows are free')
    """
    return f"{plural(rows, 'row')} {'is' if rows == 1 else 'are'} free"
