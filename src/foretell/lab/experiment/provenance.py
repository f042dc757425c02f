"""Where a measurement is from: machine, version, and the commit of a checkout."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import foretell

_ANSWER_S = 5.0


@cache
def commit() -> str:
    """The commit that this code is of, twelve digits, with "+" where files were changed; "" outside a checkout."""
    package = Path(foretell.__file__).parent
    git = shutil.which("git")
    if git is None or not (package.parent.parent / ".git").exists():  # src/foretell
        return ""
    head = _said(git, package, "rev-parse", "--short=12", "HEAD")
    return head + "+" if head and _said(git, package, "status", "--porcelain", "--", ".") else head


def _said(git: str, folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
