"""Kernel modules compiled ahead by processes: all of them, and nothing left behind when that does not work."""

from pathlib import Path

import pytest

from foretell.engine import builders, jit
from foretell.engine.builders import Builders
from foretell.engine.isa import choose
from foretell.engine.kernels import Kernels, modules

PORTABLE = choose("portable")
NAMES = ("driver", "frame", "embedding_Q8_0")  # quick ones


def finish(work: Builders) -> None:
    while work.working(0.1):
        pass


def test_processes_leave_the_objects_that_are_compiled_here(tmp_path: Path) -> None:
    ahead, here = tmp_path / "ahead", tmp_path / "here"
    with Builders(PORTABLE, NAMES, ahead, 2) as work:
        assert len(work._processes) == 2
        finish(work)
        assert (work.done, work.total) == (3, 3)
    known = modules((), ("Q8_0",))
    for name in NAMES:
        image = jit.compiled(name, PORTABLE, known[name].build, here)
        assert jit.kept_at(name, PORTABLE, ahead).read_bytes()[:-32] == image
    assert {path.name for path in ahead.iterdir()} == {path.name for path in here.iterdir()}
    with Builders(PORTABLE, NAMES, ahead, 2) as work:
        assert (work.total, work._processes) == (0, [])


@pytest.mark.parametrize(("names", "folder", "processes"), [(NAMES[:1], True, 2), (NAMES, True, 1), (NAMES, False, 2)])
def test_no_process_where_it_would_not_help(
    tmp_path: Path, names: tuple[str, ...], folder: bool, processes: int
) -> None:
    with Builders(PORTABLE, names, tmp_path if folder else None, processes) as work:
        assert work._processes == []
        assert not work.working(0)


def test_without_an_interpreter_to_start_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders.sys, "executable", "")
    with Builders(PORTABLE, NAMES, tmp_path, 2) as work:
        assert not work.working(0)
    monkeypatch.setattr(builders.sys, "executable", str(tmp_path / "none"))
    with Builders(PORTABLE, NAMES, tmp_path, 2) as work:
        assert not work.working(0)


def test_an_interrupt_ends_the_processes_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    work = Builders(PORTABLE, ("product_Q4_K", "product_Q6_K"), tmp_path, 2)
    (tmp_path / f".partial-{work._processes[0].pid}-x").write_bytes(b"half")
    with pytest.raises(KeyboardInterrupt), work:
        raise KeyboardInterrupt
    assert all(process.returncode is not None for process in work._processes)
    assert list(tmp_path.glob(".partial-*")) == []


def test_what_a_process_failed_at_is_compiled_by_who_needs_it(tmp_path: Path) -> None:
    with Builders(PORTABLE, ("nothing", "driver", "frame"), tmp_path, 2) as work:
        finish(work)
    assert work.done < work.total
    kernels = Kernels(PORTABLE, (), (), tmp_path)
    assert kernels["run_pass"]
    assert jit.kept_at("scores", PORTABLE, tmp_path).exists()
