"""`response_format`: what the text of an answer has to be."""

import json
from typing import Any, Final

from foretell.accept.grammar import Kind
from foretell.serve.fields import Fields
from foretell.serve.refusal import wrong

WHERE: Final = "response_format"
TYPES: Final = "text, json_object, json_schema, regex or grammar"


def read_format(fields: Fields) -> tuple[Kind, str] | None:
    """Kind and text of the grammar (`foretell.accept.grammar.Grammar`) of a request's format; None for any text.

    Besides OpenAI's types there are those of `foretell generate`: {"type": "regex", "regex": "..."} and
    {"type": "grammar", "grammar": "..."} in llguidance's variant of Lark.
    """
    given = fields.inner(WHERE)
    if given is None:
        return None
    kind = given.text("type")
    found: tuple[Kind, str] | None
    match kind:
        case "text":
            found = None
        case "json_object":
            found = "schema", json.dumps({"type": "object"})
        case "json_schema":
            found = "schema", json.dumps(_schema(given))
        case "regex":
            found = "regex", _needed(given, "regex")
        case "grammar":
            found = "lark", _needed(given, "grammar")
        case _:
            raise wrong(f"{WHERE}.type", f"{'missing' if kind is None else repr(kind)[:60]}, must be {TYPES}")
    given.end()
    return found


def _schema(given: Fields) -> dict[str, Any]:
    inner = given.inner("json_schema")
    if inner is None:
        raise wrong(f"{WHERE}.json_schema", "missing: give an object with a schema", "missing_required_parameter")
    schema = inner.get("schema")
    if not isinstance(schema, dict):
        raise wrong(f"{WHERE}.json_schema.schema", "must be a JSON schema, an object", "invalid_type")
    for name in ("name", "description"):
        inner.text(name)
    inner.flag("strict")  # an answer always keeps to the schema
    inner.end()
    return schema


def _needed(given: Fields, name: str) -> str:
    text = given.text(name)
    if text is None:
        raise wrong(f"{WHERE}.{name}", "missing: give a text", "missing_required_parameter")
    return text
