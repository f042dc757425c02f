"""From a pipeline to a function: the generated text compiled, and known to `linecache` so that tracebacks show it."""

import linecache
from functools import cache
from hashlib import sha256
from typing import cast

from foretell.codegen.emit import ENTRY, source
from foretell.codegen.plan import plan
from foretell.codegen.round import Round
from foretell.ir.ops import Pipeline


def build(pipeline: Pipeline) -> Round:
    """A round as `interpret` gives it, faster. ForetellError where the pipeline is wrong."""
    return _compiled(source(plan(pipeline)))


@cache
def _compiled(text: str) -> Round:
    file = f"<foretell round {sha256(text.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names: dict[str, object] = {}
    exec(compile(text, file, "exec"), names)  # noqa: S102 (emit.py wrote it; strings of the pipeline are quoted there)
    return cast("Round", names[ENTRY])
