"""Names of draft models that say a form too: `qwen2.5-coder-0.5b@q4_0+16384`."""

import re
from pathlib import Path
from typing import Final

from foretell.errors import UsageError
from foretell.profile.counts import Form

PRECISIONS: Final = ("Q4_0", "Q4_K")  # formats that weights can be lowered to
_FORM: Final = re.compile(r"(?P<precision>[A-Za-z]\w*)?(?:\+(?P<vocabulary>\d+))?")


def parse(name: str) -> tuple[str, Form | None]:
    """The model, and the form that it is to have; None: whichever pipelines ask for.

    A form is a format of weights, how many tokens the model can say, or both. What stands behind the last @ is part of
    the model's name when it looks like the rest of a path, or when there is such a file.

    >>> parse("small@q4_0+8192"), parse("small@+8192"), parse("small")
    (('small', (8192, 'Q4_0')), ('small', (8192, '')), ('small', None))

    Raises:
        UsageError: there is no such form.
    """
    model, at, form = name.rpartition("@")
    if not at or "/" in form or form.endswith(".gguf") or Path(name).exists():
        return name, None
    found = _FORM.fullmatch(form)
    precision = (found["precision"] or "").upper() if found else ""
    vocabulary = int(found["vocabulary"] or 0) if found else 0
    if not model or found is None or not form or precision not in ("", *PRECISIONS) or form.endswith("+0"):
        raise UsageError(
            f"{name!r} has the form {form!r}: write MODEL@PRECISION, MODEL@+TOKENS or MODEL@PRECISION+TOKENS, where "
            f"PRECISION is one of {', '.join(PRECISIONS)}, as in {model or 'MODEL'}@q4_0+16384"
        )
    return model, (vocabulary, precision)
