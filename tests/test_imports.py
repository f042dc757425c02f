"""The architecture, as far as imports show it (DESIGN.md, section 4)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "foretell"

# From top to bottom: a module imports from its own layer and from lower ones.
LAYERS = [
    ["__main__"],
    ["cli"],
    ["serve"],
    ["lab"],
    ["__init__", "api", "build", "conversation"],  # what `import foretell` offers
    ["runtime"],
    ["codegen"],
    ["passes"],
    ["cost"],
    ["draft"],
    ["accept"],
    ["ir"],
    ["profile"],
    ["backend"],
    ["engine"],
    ["models"],
    ["errors", "flags"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Modules that anyone may import, because they are plain data or pure definitions and import only each other and errors:
# the contract of a backend is spoken by both sides of it; how to sample is part of what a pass is asked for; and what a
# draw is (warpers, noise) must be the same thing for a backend and for the rules that check its guesses.
LEAVES = {"accept.noise", "accept.sampling", "accept.warpers", "backend.protocol"}

# The one name that lower layers may take from the package itself: its version, for the keys of cached files.
VERSION = "__version__"

HEAVY = {"llguidance", "llvmlite", "tokenizers", "huggingface_hub", "jinja2"}


def modules() -> dict[str, Path]:
    """Dotted name below the package → file."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """The full names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{each.name}" for each in node.names}
    return found


def internal(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a file imports."""
    found = set()
    for name in imports(path):
        if name == "foretell" or not name.startswith("foretell."):
            continue
        inner = name.removeprefix("foretell.")
        while inner and inner not in known:  # the last part may be a name within a module
            inner = inner.rpartition(".")[0]
        if inner or not name.endswith(VERSION):
            found.add(inner or "__init__")
    return found


def layer(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def test_every_module_has_a_place() -> None:
    assert {layer(each) for each in modules()} <= set(RANK)


def test_imports_go_downwards() -> None:
    known = modules()
    wrong = [
        f"{module} imports {other}"
        for module, path in sorted(known.items())
        for other in sorted(internal(path, known) - LEAVES)
        if module not in LEAVES and RANK[layer(other)] < RANK[layer(module)]
    ]
    assert wrong == []


def test_leaves_import_only_leaves() -> None:
    known = modules()
    for leaf in LEAVES:
        assert internal(known[leaf], known) <= LEAVES | {"errors"}


def test_passes_and_ops_name_sources_and_models_by_string() -> None:
    known = modules()
    for module, path in known.items():
        if layer(module) in ("passes", "ir"):
            assert {layer(each) for each in internal(path, known)}.isdisjoint({"draft", "backend", "engine"}), module


def test_only_adapters_import_llvmlite() -> None:
    users = {
        layer(module)
        for module, path in modules().items()
        if any(name.split(".")[0] == "llvmlite" for name in imports(path))
    }
    assert users <= {"backend", "engine"}


def test_one_adapter_imports_llguidance() -> None:
    users = {
        module for module, path in modules().items() if any(n.split(".")[0] == "llguidance" for n in imports(path))
    }
    assert users == {"accept.grammar"}


@pytest.mark.parametrize("code", ["import foretell", "from foretell import cli; cli.run(['--help'])"])
def test_heavy_libraries_wait_until_they_are_needed(code: str) -> None:
    script = f"{code}\nimport sys; print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
