"""Fixtures of several test files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.engine.native import NativeModel
from tiny import Zoo


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
