"""Random JSON schemas for Hypothesis, each with what says whether a value fits: written without any schema library."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Checked = tuple[dict[str, Any], Callable[[Any], bool]]  # a schema, and whether a value fits


def _leaves() -> st.SearchStrategy[Checked]:
    texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
    return st.one_of(
        st.just(({"type": "boolean"}, lambda value: isinstance(value, bool))),
        st.just(({"type": "null"}, lambda value: value is None)),
        st.tuples(st.integers(-99, 99), st.integers(0, 99)).map(_integers),
        st.integers(0, 5).map(_strings),
        st.lists(texts | st.integers(-9, 9), min_size=1, max_size=3, unique_by=repr).map(_enums),
    )


def _integers(pair: tuple[int, int]) -> Checked:
    least, most = pair[0], pair[0] + pair[1]
    fits = lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most  # noqa: E731
    return {"type": "integer", "minimum": least, "maximum": most}, fits


def _strings(most: int) -> Checked:
    return {"type": "string", "maxLength": most}, lambda value: isinstance(value, str) and len(value) <= most


def _enums(values: list[Any]) -> Checked:
    return {"enum": values}, lambda value: value in values


def _arrays(pair: tuple[Checked, int]) -> Checked:
    (schema, fits), most = pair
    whole = {"type": "array", "items": schema, "maxItems": most}
    return whole, lambda value: isinstance(value, list) and len(value) <= most and all(map(fits, value))


def _objects(parts: dict[str, Checked]) -> Checked:
    names, optional = list(parts), list(parts)[1:2]  # one may be missing
    whole = {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in parts.items()},
        "required": [name for name in names if name not in optional],
        "additionalProperties": False,
    }

    def fits(value: Any) -> bool:
        if not isinstance(value, dict) or not set(names) - set(optional) <= value.keys() <= set(names):
            return False
        return all(parts[name][1](each) for name, each in value.items())

    return whole, fits


SCHEMAS = st.recursive(
    _leaves(),
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(0, 3)).map(_arrays),
        st.dictionaries(st.sampled_from(["id", "name", "überlang", 'a "b"', "tags"]), inner, max_size=4).map(_objects),
    ),
    max_leaves=6,
)
