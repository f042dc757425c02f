"""The fields of a JSON object, read one by one and checked; what nobody asked for is refused at the end."""

from collections.abc import Collection, Mapping
from math import isfinite

from foretell.serve.refusal import Refusal, wrong


class Fields:
    """Reads an object. A field that is null counts as missing.

    Args:
        value: what should be the object.
        where: its place in the request, for messages; "" for the request itself.
    """

    def __init__(self, value: object, where: str = "") -> None:
        self._where = where
        if not isinstance(value, Mapping):
            raise wrong(where or "body", f"{_shown(value)}, must be an object", "invalid_type")
        self._values = value
        self._left = {name for name, each in value.items() if each is not None}

    def path(self, name: str) -> str:
        """What a field is called in messages."""
        return f"{self._where}.{name}" if self._where else name

    def get(self, name: str) -> object:
        """Any value, or None."""
        self._left.discard(name)
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """A text, or None."""
        value = self.get(name)
        return None if value is None else checked_string(value, self.path(name))

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number in a range, or None."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(self.path(name), f"{_shown(value)}, must be a whole number", "invalid_type")
        if not low <= value <= high:
            raise wrong(self.path(name), f"{_shown(value)}, must be between {low} and {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number in a range, or None."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(self.path(name), f"{_shown(value)}, must be a number", "invalid_type")
        if not low <= value <= high or not isfinite(value):
            raise wrong(self.path(name), f"{_shown(value)}, must be between {low:g} and {high:g}")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false; false when it is missing."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.path(name), f"{_shown(value)}, must be true or false", "invalid_type")
        return bool(value)

    def items(self, name: str) -> list[object]:
        """A list; empty when it is missing."""
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong(self.path(name), f"{_shown(value)}, must be a list", "invalid_type")
        return value

    def inner(self, name: str) -> "Fields | None":
        """An object, or None."""
        value = self.get(name)
        return None if value is None else Fields(value, self.path(name))

    def only(self, name: str, neutral: Collection[object], instead: str) -> None:
        """A field that may only say what happens anyway."""
        value = self.get(name)
        if value is not None and not any(type(value) is type(each) and value == each for each in neutral):
            message = f"{_shown(value)} is not supported: {instead}"
            raise wrong(self.path(name), message, "unsupported_parameter")

    def end(self, ignored: Collection[str] = ()) -> None:
        """Nothing more may be there but what is without effect."""
        for name in sorted(self._left - set(ignored)):
            message = f"there is no field {_shown(self.path(name))}: leave it out"
            raise Refusal(400, message, param=_printable(self.path(name)), code="unknown_parameter")


def checked_string(value: object, where: str) -> str:
    """A text of whole characters."""
    if not isinstance(value, str):
        raise wrong(where, f"{_shown(value)}, must be a text", "invalid_type")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise wrong(where, f"character {error.start} is half of a surrogate pair: give valid Unicode") from None
    return value


def _shown(value: object) -> str:
    """A value in a message, short."""
    match value:
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[value]
        case list():
            text = "a list"
        case Mapping():
            text = "an object"
        case int() if abs(value) >= 10**30:  # some are too long for Python to write
            text = "a number of more than 30 digits"
        case _:
            text = repr(value)
    return _printable(text if len(text) <= 60 else f"{text[:57]}...")


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
