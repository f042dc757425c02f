"""`foretell chat` as a person meets it: at a terminal, with Ctrl-C and Ctrl-D."""

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from foretell.cli import chat as command
from foretell.cli import render, run
from foretell.runtime.events import Result

pty = pytest.importorskip("pty", reason="needs pseudoterminals", exc_type=ImportError)
readline = pytest.importorskip("readline", reason="needs line editing", exc_type=ImportError)

# A toy of 50 passes a second. Only a process whose terminal it is gets a signal for Ctrl-C.
CHAT = """
import fcntl, sys, termios, time
from foretell.backend.toy import ToyModel
from foretell.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
quick = ToyModel.logits
ToyModel.logits = lambda model, history: time.sleep(0.02) or quick(model, history)
main(["chat", "--model", "toy", "--no-speculation", *sys.argv[1:]])
"""
CTRL_C, CTRL_D = b"\x03", b"\x04"
WAIT_S = 30


class Terminal:
    """The keys and the screen of a chat."""

    def __init__(self, keyboard: int, process: "subprocess.Popen[bytes]") -> None:
        self.keyboard, self.process = keyboard, process
        self.screen = self.greeting = ""

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def until(self, pattern: str) -> str:
        """What is written up to the first match, which must come."""
        deadline = time.monotonic() + WAIT_S
        while (found := re.search(pattern, self.screen, re.DOTALL)) is None:
            ready, _, _ = select.select([self.keyboard], [], [], max(0.0, deadline - time.monotonic()))
            more = self._read() if ready else ""
            assert more, f"no {pattern!r} in {self.screen!r}"
            self.screen += more
        seen, self.screen = self.screen[: found.end()], self.screen[found.end() :]
        return seen

    def rest(self) -> str:
        """What is written until the chat ends."""
        while more := self._read():
            self.screen += more
        self.process.wait(WAIT_S)
        return self.screen

    def _read(self) -> str:
        try:
            return os.read(self.keyboard, 4096).decode()
        except OSError:  # how Linux says that nobody is there any more
            return ""


@contextmanager
def chatting(*arguments: str, stdout: int | None = None, kind: str = "dumb") -> Iterator[Terminal]:
    """A chat that waits for its first line."""
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CHAT, *arguments],
        stdin=screen,
        stdout=screen if stdout is None else stdout,
        stderr=screen,
        start_new_session=True,
        env=os.environ | {"TERM": kind},
    )
    os.close(screen)
    try:
        terminal = Terminal(keyboard, process)
        terminal.greeting = terminal.until("> $")
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)


def test_ctrl_c_stops_an_answer_and_the_chat_goes_on() -> None:
    with chatting("-n", "2000") as terminal:
        terminal.type(b"la la la la la\n")
        terminal.until(r"la la la la la\r\n.{5}")
        terminal.type(CTRL_C)
        started = time.monotonic()
        assert re.search(r"\r\n\[\d+ tokens.*cancelled\]\r\n> $", terminal.until(r"\]\r\n> "))
        assert time.monotonic() - started < 2  # 0.2 s are asked for, of which a busy machine may take more
        terminal.type(b"/help\n")
        assert command.HELP in terminal.until(r"\r\n> $")


def test_the_sign_of_ctrl_c_is_no_part_of_the_line_after_it() -> None:
    with chatting("-n", "2000", "--json") as terminal:
        terminal.type(b"la la la la la\n")
        terminal.until("la la la la la\r\n")
        time.sleep(0.3)  # some passes, of which nothing shows
        terminal.type(CTRL_C)
        assert re.search(r"\^C\r\n\{.*\}\r\n> $", terminal.until(r"\}\r\n> "))


@pytest.mark.skipif("libedit" in (readline.__doc__ or ""), reason="libedit does not tell pasted lines from typed ones")
def test_lines_pasted_together_are_one_message() -> None:
    with chatting("-n", "3", kind="xterm") as terminal:
        assert "\x1b[?2004h" in terminal.greeting  # asks the terminal to mark what is pasted
        terminal.type(b"\x1b[200~one\ntwo\x1b[201~")
        terminal.until("two")
        terminal.type(b"\n")
        answers = terminal.until(r"\[3 tokens.*\]\r\n.*> $")
        terminal.type(b"/exit\n")
        assert (answers + terminal.rest()).count("[3 tokens") == 1


def test_ctrl_c_at_the_prompt_forgets_what_was_typed() -> None:
    with chatting("-n", "3") as terminal:
        terminal.type(b"/exi")
        terminal.until("/exi")
        time.sleep(0.5)  # Python handles it with the next key when it comes just before it waits for one
        terminal.type(CTRL_C)
        assert command.HELP in terminal.until(r"\r\n> $")
        terminal.type(b"hello\n")
        assert "[3 tokens" in terminal.until(r"\]\r\n> $")
        assert terminal.process.poll() is None


def test_ctrl_d_leaves_on_a_line_of_its_own() -> None:
    with chatting() as terminal:
        terminal.type(CTRL_D)
        assert terminal.rest().endswith("\r\n")
        assert terminal.process.returncode == 0


def test_the_prompt_is_shown_but_not_piped() -> None:
    reader, writer = os.pipe()
    with chatting("-n", "3", "--json", stdout=writer) as terminal:
        os.close(writer)
        terminal.type(b"hello\n")
        terminal.until("hello\r\n> $")
        terminal.type(CTRL_D)
        terminal.rest()
        with os.fdopen(reader) as piped:
            assert re.fullmatch(r"\{.*\}\n", piped.read())


def test_a_ctrl_c_that_comes_late_does_not_leave(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, summaries = iter(["one", "two"]), iter([KeyboardInterrupt, None])
    quick = render.summary

    def interrupted(result: Result) -> str:
        late = next(summaries)
        if late is not None:
            raise late
        return quick(result)

    monkeypatch.setattr(command, "_read", lambda: next(lines, None))
    monkeypatch.setattr(render, "summary", interrupted)
    assert run(["chat", "--model", "toy", "-n", "3"]) == 0
    assert capsys.readouterr().err.count("[3 tokens") == 1
