"""Foretell: language models that generate faster by prediction, without changing what they say.

>>> import foretell
>>> with foretell.load("toy") as model:
...     result = model.generate("the cat sat on the mat. the cat", max_tokens=8)
>>> len(result.tokens), result.finish
(8, 'length')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.accept.grammar import Grammar
    from foretell.api import Model, load
    from foretell.conversation import Chat
    from foretell.errors import ForetellError, UsageError
    from foretell.runtime.compiled import Compiled, compile  # noqa: A004 — the name that people look for
    from foretell.runtime.events import Event, Result
    from foretell.runtime.loop import Stream
    from foretell.runtime.settings import Options

__version__ = "0.1.0"
__all__ = [
    "Chat",
    "Compiled",
    "Event",
    "ForetellError",
    "Grammar",
    "Model",
    "Options",
    "Result",
    "Stream",
    "UsageError",
    "compile",
    "load",
]

# Where a public name lives; imported when it is first used, so that `import foretell` and `foretell --help` are quick.
_HOMES = {
    "Chat": "foretell.conversation",
    "Compiled": "foretell.runtime.compiled",
    "Event": "foretell.runtime.events",
    "ForetellError": "foretell.errors",
    "Grammar": "foretell.accept.grammar",
    "Model": "foretell.api",
    "Options": "foretell.runtime.settings",
    "Result": "foretell.runtime.events",
    "Stream": "foretell.runtime.loop",
    "UsageError": "foretell.errors",
    "compile": "foretell.runtime.compiled",
    "load": "foretell.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
