"""Fixtures of several test files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from foretell.engine.native import NativeModel
from foretell.runtime.loop import Stream
from tiny import Zoo

# The same examples each time, so that a run of the tests depends on the code alone. HYPOTHESIS_PROFILE=search looks
# for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Commands that tests run leave no records among those of the person who runs the tests.
os.environ["FORETELL_RUNS"] = "0"

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


# A generation goes on without a draft source that fails. In tests that would hide mistakes, so there it is an error,
# but for tests that ask for `dropping`.
_drop = Stream._failed


def _fail(stream: Stream, called: str, error: Exception) -> None:
    raise AssertionError(f"the source {called} failed") from error


Stream._failed = _fail  # type: ignore[method-assign]


@pytest.fixture
def dropping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources that fail are dropped, as they are outside of tests."""
    monkeypatch.setattr(Stream, "_failed", _drop)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file of this name in tests/golden, or write it there."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no {path}: run pytest with --update-golden and look at the file"
        assert text == path.read_text(encoding="utf-8"), f"{path} differs: --update-golden if this is meant"

    return compare


@pytest.fixture(scope="session")
def shared_dir(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all test processes of this run share."""
    root = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # one of several processes of pytest-xdist
        root = root.parent
    return root


@pytest.fixture(scope="session")
def cache_dir(shared_dir: Path) -> Path:
    """A cache for engines, so that kernels compile once for each instruction set."""
    return shared_dir / "engine-cache"


@pytest.fixture(scope="session")
def zoo(shared_dir: Path, cache_dir: Path) -> Iterator[Zoo]:
    """The tiny models of `tiny.MODELS`, loaded as they are asked for."""
    zoo = Zoo(shared_dir / "zoo", cache_dir)
    yield zoo
    zoo.close()


@pytest.fixture
def tiny_model(zoo: Zoo) -> NativeModel:
    """A model to try things with that does not close it."""
    return zoo.load("qwen2")
