"""Frozen dataclasses of numbers, texts, tuples and mappings: to JSON values, back with every value checked, and added.

Adding is what makes profiles mergeable: counts add up, mappings are joined, what has `+` of its own uses it.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from foretell.errors import ForetellError

T = TypeVar("T")

_MOST = 2**53  # counts beyond it are no exact numbers everywhere


def to_json(value: Any) -> Any:
    """Plain JSON values; keys of mappings become texts, in order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return [to_json(each) for each in value]
    return value


def from_json(kind: type[T], value: Any, where: str) -> T:
    """The record of this class. ForetellError names the place of the first value that does not fit."""
    return _read(kind, value, where)  # type: ignore[no-any-return]  # what _read gives is of the kind that it is asked


def added(a: T, b: T) -> T:
    """Both together. Texts must be equal."""
    return _add(a, b)  # type: ignore[no-any-return]  # of the same class as both


def _read(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):  # a record or nothing
        return None if value is None else _read(get_args(kind)[0], value, where)
    if get_origin(kind) is tuple:
        items = _is(list, value, where)
        return tuple(_read(get_args(kind)[0], each, f"{where}[{i}]") for i, each in enumerate(items))
    if get_origin(kind) is Mapping:
        key, inner = get_args(kind)
        pairs = _is(dict, value, where).items()
        return {_key(key, name, where): _read(inner, each, f"{where}.{name}") for name, each in pairs}
    if is_dataclass(kind):
        return _record(kind, _is(dict, value, where), where)
    if kind is str:
        return _is(str, value, where)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (kind is float and isinstance(value, float))) or not 0 <= value <= _MOST:  # NaN is neither
        raise _wrong(where, value, "a whole number from 0 on" if kind is int else "a number from 0 on")
    return kind(value)


def _record(kind: Any, value: dict[str, Any], where: str) -> Any:
    hints = _hints(kind)
    if value.keys() != hints.keys():
        name = min(value.keys() ^ hints.keys())
        what = "is unknown" if name in value else "is missing"
        raise ForetellError(f"{where}.{name} {what}")
    return kind(**{name: _read(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


def _key(kind: Any, name: str, where: str) -> Any:
    if kind is str:
        return name
    if not (name.isascii() and name.isdigit() and len(name) < 16):
        raise _wrong(where, name, "a whole number from 0 on as a name")
    return int(name)


def _is(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(where, value, {"list": "a list", "dict": "an object"}.get(kind.__name__, "a text"))
    return value


def _wrong(where: str, value: Any, expected: str) -> ForetellError:
    shown = repr(value)
    return ForetellError(f"{where} is {shown if len(shown) < 40 else shown[:36] + ' ...'}, expected {expected}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _add(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    if hasattr(type(a), "__add__") and is_dataclass(a):
        return a + b
    if is_dataclass(a) and not isinstance(a, type):
        return type(a)(**{each.name: _add(getattr(a, each.name), getattr(b, each.name)) for each in fields(a)})
    if isinstance(a, Mapping):
        return {key: _add(a.get(key), b.get(key)) for key in sorted({*a, *b})}
    if isinstance(a, tuple):
        size = max(len(a), len(b))
        longer = ((*each, *(0 for _ in range(size - len(each)))) for each in (a, b))
        return tuple(x + y for x, y in zip(*longer, strict=True))
    if isinstance(a, str):
        if a != b:
            raise ForetellError(f"{a!r} and {b!r} cannot be added: the profiles are of different things")
        return a
    return a + b
