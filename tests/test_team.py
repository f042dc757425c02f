"""The thread team: interrupts, sleep, and passes that race with threads that wake up late."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from foretell.backend.protocol import Rows, Want
from foretell.engine import team as teams
from foretell.engine.native import NativeModel
from foretell.engine.session import NativeSession
from foretell.engine.team import Team, choose_threads
from foretell.errors import ForetellError, UsageError
from tiny import LOGITS, Zoo, committed, tokens

PROCESSORS = choose_threads(None)
THREADS = sorted({1, min(2, PROCESSORS)})
PROMPT = tokens(0, 40)


@pytest.fixture
def own_model(zoo: Zoo, cache_dir: Path) -> Iterator[NativeModel]:
    """A model that may be closed."""
    model = NativeModel.load(zoo.path("llama"), threads=THREADS[-1], cache_dir=cache_dir, digest="tiny-llama")
    yield model
    model.close()


def test_threads_default_to_the_processors() -> None:
    assert choose_threads(None) == PROCESSORS
    assert choose_threads(1) == 1


@pytest.mark.parametrize("threads", [0, -3])
def test_fewer_threads_than_one_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads is {threads}, must be 1 or more"):
        choose_threads(threads)


def test_more_threads_than_processors_are_refused_before_packing(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"threads is 4096, but this process may use {PROCESSORS}; give at most"):
        NativeModel.load(zoo.path("llama"), threads=4096, cache_dir=tmp_path)
    assert not (tmp_path / "packed").exists()


@contextmanager
def much_longer_passes(model: NativeModel, rows: int) -> Iterator[NativeSession]:
    """Passes of so many rows repeat their stages for a second or so; other passes are not to be run meanwhile."""
    session = model.session()
    sequence = committed(session, PROMPT)
    took = []
    for _ in range(3):
        began = time.perf_counter()
        session.step(Rows.chain(PROMPT[:rows], sequence), Want())
        took.append(time.perf_counter() - began)
    program = model.program(rows, rows)
    stages, times = program.stages, int(1 / min(took))
    repeated = teams.i64(stages.size * times).reshape(-1, stages.shape[1])
    repeated[:] = np.tile(stages, (times, 1))
    program.stages = repeated
    yield session
    program.stages = stages


@contextmanager
def interrupted_after(*delays_s: float) -> Iterator[list[float]]:
    """Ctrl-C after each of these times; gives the times at which it was sent."""
    sent: list[float] = []

    def send() -> None:
        for delay in delays_s:
            time.sleep(delay)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield sent
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("rows", [1, 8, 40])
def test_an_interrupt_ends_a_long_pass_at_once(zoo: Zoo, threads: int, rows: int) -> None:
    model = zoo.load("qwen2", "portable", threads)  # the slowest, so that few repetitions do
    with much_longer_passes(model, rows) as session:
        sequence = 0
        took: list[float] = []
        while len(took) < 3 and min(took, default=1) > 0.2:  # another process may hold the processors for a while
            with interrupted_after(0.15) as sent, pytest.raises(KeyboardInterrupt):
                session.step(Rows.chain(PROMPT[:rows], sequence), Want())
            took.append(time.perf_counter() - sent[0])
    assert min(took) < 0.2
    assert session.length(sequence) == len(PROMPT)
    with pytest.raises(ForetellError, match="nothing to commit"):
        session.commit(sequence, [0])
    scores = session.step(Rows.chain([5], sequence), LOGITS)
    assert scores.logits is not None
    assert scores.logits[0].tobytes() == zoo.truth("qwen2", "portable").of([*PROMPT, 5])


def test_a_second_interrupt_does_no_harm(zoo: Zoo) -> None:
    model = zoo.load("qwen2", "portable", THREADS[-1])

    def step() -> None:
        with interrupted_after(0.1, 0.0, 0.0001):
            try:
                session.step(Rows.chain(PROMPT[:8], 0), Want())
            except KeyboardInterrupt:
                time.sleep(0.2)  # the others come in here, or came while the first was dealt with
                raise

    with much_longer_passes(model, 8) as session, pytest.raises(KeyboardInterrupt):
        step()
    scores = session.step(Rows.chain([5], 0), LOGITS)
    assert scores.logits is not None
    assert scores.logits[0].tobytes() == zoo.truth("qwen2", "portable").of([*PROMPT, 5])


@pytest.mark.parametrize("calls", [0, 1, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_between_native_calls(zoo: Zoo, monkeypatch: pytest.MonkeyPatch, calls: int, threads: int) -> None:
    model = zoo.load("qwen2", threads=threads)
    session = model.session()
    sequence = committed(session, PROMPT)
    shared, count = model.team._shared, 0
    go_on = shared.continue_pass

    def interrupted(*args: int) -> None:
        nonlocal count
        count += 1
        if count == calls + 1:
            raise KeyboardInterrupt
        go_on(*args)

    with monkeypatch.context() as patch:
        patch.setattr(model.team, "_limits", {1: 1})
        patch.setattr(shared, "continue_pass", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.step(Rows.chain([5], sequence), Want())
    assert session.length(sequence) == len(PROMPT)
    scores = session.step(Rows.chain([5], sequence), LOGITS)
    assert scores.logits is not None
    assert scores.logits[0].tobytes() == zoo.truth("qwen2").of([*PROMPT, 5])


def test_a_pass_in_many_native_calls_gives_the_same(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.load("qwen2")
    session = model.session()
    sequence = committed(session, PROMPT)
    monkeypatch.setattr(model.team, "_limits", {1: 1})
    scores = session.step(Rows.chain([5], sequence), LOGITS)
    assert scores.logits is not None
    assert scores.logits[0].tobytes() == zoo.truth("qwen2").of([*PROMPT, 5])


def test_waiting_takes_no_processor_time(own_model: NativeModel) -> None:
    session = own_model.session()
    session.step(Rows.chain([1, 2], session.open()), Want())
    used = []
    for _ in range(5):  # other tests' threads may be about to go to sleep
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(0.2)
        used.append(time.process_time() - before)
    assert min(used) < 0.004
    assert own_model.team._shared.parked[1:] == [True] * (own_model.team.threads - 1)


def test_passes_at_every_moment_of_falling_asleep(zoo: Zoo, cache_dir: Path) -> None:
    """Passes of changing size, begun before, while and after the other threads park, and new programs amid them."""
    rng = np.random.default_rng(0)
    text = tokens(4, 24)
    for _ in range(3):
        model = NativeModel.load(zoo.path("llama"), threads=THREADS[-1], cache_dir=cache_dir, digest="tiny-llama")
        session = model.session()
        sequence = session.open()
        for rows in rng.integers(1, 25, 60).tolist():
            time.sleep(float(rng.choice([0, 0.001, 0.002, 0.003])))
            scores = session.step(Rows.chain(text[:rows], sequence, [rows - 1]), LOGITS)
            assert scores.logits is not None
            assert scores.logits[0].tobytes() == zoo.truth("llama").of(text[:rows])
        model.close()


def test_closing_ends_the_threads_and_twice_is_no_error(own_model: NativeModel) -> None:
    session = own_model.session()
    sequence = session.open()
    session.step(Rows.chain([1], sequence), Want())
    workers = own_model.team._workers
    own_model.close()
    own_model.close()
    assert not any(worker.is_alive() for worker in workers)
    with pytest.raises(ForetellError, match="the model is closed; load it again"):
        session.step(Rows.chain([1], sequence), Want())


def test_a_forgotten_team_ends_its_threads(zoo: Zoo) -> None:
    team = Team(zoo.load("qwen2").kernels, THREADS[-1])
    workers = team._workers
    del team
    for worker in workers:
        worker.join(timeout=5)
    assert not any(worker.is_alive() for worker in workers)


FORKING = """
import os, sys, time, warnings
from pathlib import Path
from foretell.backend.protocol import Rows, Want
from foretell.engine.native import NativeModel
from foretell.errors import ForetellError

model = NativeModel.load(Path(sys.argv[1]), threads=int(sys.argv[3]), cache_dir=Path(sys.argv[2]), digest="tiny-qwen2")
session = model.session()
sequence = session.open()
before = session.step(Rows.chain([1, 2], sequence), Want(logits=True)).logits.tobytes()
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    try:
        session.step(Rows.chain([1, 2], sequence), Want())
    except ForetellError as error:
        print(error)
        model.close()
        sys.exit(0)
    sys.exit("ran in the child")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert session.step(Rows.chain([1, 2], sequence), Want(logits=True)).logits.tobytes() == before
"""  # and ends without closing


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_is_told_to_load_again(zoo: Zoo, cache_dir: Path) -> None:
    began = time.monotonic()
    given = [str(zoo.path("qwen2")), str(cache_dir), str(THREADS[-1])]
    done = subprocess.run(
        [sys.executable, "-c", FORKING, *given], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the model was loaded before this process was forked; load it again in the child\n"
    assert time.monotonic() - began < 30
