"""The README keeps true: its tree names every file, with what the file itself says it is."""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "bench", "docs", "examples")
BEGIN, END = "## Where things are\n\n```text\n", "\n```"
NAMES, ROOM = 34, 84
DATA = {  # files that say nothing of themselves
    "catalogue.toml": "models by name: sizes, licences, digests, sources",
    "coefficients.toml": "prices of the energy model, with their ranges and sources",
    "py.typed": "this package has types",
}


def described(path: Path) -> str:
    """The first sentence of a module's docstring, or of a document's heading."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
    if path.suffix != ".py":
        return DATA.get(path.name, "")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(text.split("\n\n", 1)[0].split()).split(". ", 1)[0].rstrip(".:")
    return sentence.split("`: ", 1)[1] if sentence.startswith("`") and "`: " in sentence else sentence


def shortened(what: str) -> str:
    """Without the clauses that a line has no room for."""
    while len(what) > ROOM:
        cut = max(what.rfind(mark) for mark in (": ", "; ", ", ", " ("))
        what = what[: cut if cut > 0 else what.rindex(" ", 0, ROOM)]
    return what


def tree(files: list[str]) -> str:
    """One line for each folder and file."""
    lines, seen = list[str](), set[str]()
    for file in sorted(files, key=lambda each: (FOLDERS.index(each.split("/", 1)[0]), each)):
        *folders, name = file.split("/")
        for depth in range(len(folders)):
            folder = "/".join(folders[: depth + 1])
            if folder not in seen:
                seen.add(folder)
                lines.append(f"{'  ' * depth}{folders[depth]}/")
        what = described(ROOT / file)
        if what or name != "__init__.py":
            lines.append(f"{'  ' * len(folders) + name:<{NAMES}} {shortened(what)}".rstrip())
    return "\n".join(lines)


def test_tree(request: pytest.FixtureRequest) -> None:
    """The tree is that of the files under version control; --update-golden writes it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "--", *FOLDERS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    now = tree([file for file in listed.stdout.splitlines() if (ROOT / file).exists()])
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    begin = text.index(BEGIN) + len(BEGIN)
    end = text.index(END, begin)
    if request.config.getoption("--update-golden"):
        readme.write_text(text[:begin] + now + text[end:], encoding="utf-8")
    else:
        assert text[begin:end] == now, "run pytest tests/test_readme.py --update-golden"
