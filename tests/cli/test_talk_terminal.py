"""talk on a terminal: prompt, editing, history, ^C, and what a reply may not do to it."""

import fcntl
import os
import pty
import re
import select
import signal
import stat
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, WAYBILL, wait_exit
from scripted import Scripted, framed, says, uri_of

HISTORY_LINES_MAX = 1000
UP, CONTROL_C, CONTROL_D = b"\x1b[A", b"\x03", b"\x04"


def has_libedit():
    return b"el_gets" in Path(WAYBILL).read_bytes() or b"libedit.so" in Path(WAYBILL).read_bytes()


needs_libedit = pytest.mark.skipif(not has_libedit(), reason="this build has no line editing (libedit)")


class Terminal:
    """`waybill talk` on a pseudo-terminal of its own."""

    def __init__(self, environment, *arguments):
        self.master, slave = pty.openpty()
        self._unread = b""
        try:
            self.process = subprocess.Popen(
                [WAYBILL, "talk", *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                env={**environment, "TERM": "dumb", "XDG_STATE_HOME": environment["HOME"] + "/state"},
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        finally:
            os.close(slave)

    def send(self, data):
        os.write(self.master, data)

    def read_until(self, pattern):
        """Waits for the pattern and returns all up to its end; \\r\\n shows as \\n."""
        deadline = time.monotonic() + EVENT_SECONDS
        while not (found := re.search(pattern, self._unread)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], \
                f"no {pattern!r} in {self._unread!r}"
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # EIO: nobody holds the other side any more
                piece = b""
            assert piece, f"the end, and no {pattern!r} in {self._unread!r}"
            self._unread += piece
        seen, self._unread = self._unread[:found.end()], self._unread[found.end():]
        return seen.replace(b"\r\n", b"\n")

    def prompt(self):
        return self.read_until(rb">>: ")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(environment):
    opened = []

    def start(*arguments):
        opened.append(Terminal(environment, *arguments))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def history_path(environment):
    return Path(environment["HOME"]) / "state" / "waybill" / "history"


def test_prompt_reply_and_end(daemon, terminal):
    screen = terminal(daemon("--listen", "upper+tcp://127.0.0.1:0").uri)
    screen.prompt()
    screen.send(b"hello\r")
    assert b"HELLO\n" in screen.prompt()
    screen.send("grüße 你好\r".encode())
    assert "GRüßE 你好\n".encode() in screen.prompt()
    screen.send(b"\r")  # empty: skipped
    assert screen.prompt().replace(b"\r", b"").strip() == b">>:"
    screen.send(CONTROL_D)
    assert wait_exit(screen.process) == 0


def test_the_prompt_stands_on_a_line_of_its_own(daemon, terminal):
    screen = terminal(daemon("--listen", "exec-length+tcp://127.0.0.1:0").uri)
    screen.prompt()
    screen.send(b"printf no-newline\r")
    assert screen.read_until(rb"no-newline\r?\n>>: ")


def test_what_a_terminal_would_obey_is_shown(terminal):
    output = b"\x1b]0;title\x07\x1b[2Jred\x9b31m\x7f\r!\r\nbell\x07 tab\t\xe2\x80\xae \xc2\x9b ok\xff\n"
    with Scripted(says(framed(output))) as server:
        screen = terminal(uri_of("exec-length", server))
        screen.prompt()
        screen.send(b"x\r")
        seen = screen.read_until(rb"ok\S*\r?\n")
        screen.prompt()
        screen.send(CONTROL_D)
        assert wait_exit(screen.process) == 0
    shown = (rb"\x1B]0;title\x07\x1B[2Jred\x9B31m\x7F\r!" + b"\n" +
             rb"bell\x07 tab" + b"\t" + rb"\xE2\x80\xAE \xC2\x9B ok\xFF" + b"\n")
    assert shown in seen.replace(b"\r\n", b"\n")


def test_raw_passes_everything(terminal):
    with Scripted(says(framed(b"\x1b[31mred\x1b[0m\n"))) as server:
        screen = terminal("--raw", uri_of("exec-length", server))
        screen.prompt()
        screen.send(b"x\r")
        assert b"\x1b[31mred\x1b[0m\n" in screen.prompt()
        screen.send(CONTROL_D)
        assert wait_exit(screen.process) == 0


def test_gbk_becomes_readable_and_stays_safe(terminal):
    with Scripted(says(framed("你好\x1b[2J\n".encode("gbk") + b"\xff\n"))) as server:
        screen = terminal("--encoding=gbk", uri_of("exec-length", server))
        screen.prompt()
        screen.send("问\r".encode())
        assert "你好".encode() + rb"\x1B[2J" + b"\n" + rb"\xFF" + b"\n" in screen.prompt()
        screen.send(CONTROL_D)
        assert wait_exit(screen.process) == 0


def test_interrupt_at_the_prompt_drops_the_line(daemon, terminal):
    screen = terminal(daemon("--listen", "upper+tcp://127.0.0.1:0").uri)
    screen.prompt()
    screen.send(b"not this")
    screen.read_until(rb"not this")
    screen.send(CONTROL_C)
    screen.prompt()
    screen.send(b"but this\r")
    seen = screen.prompt()
    assert b"BUT THIS\n" in seen and b"NOT" not in seen
    screen.send(CONTROL_D)
    assert wait_exit(screen.process) == 0


def test_interrupt_while_waiting_ends(terminal):
    asked = threading.Event()

    def script(connection):
        connection.recv(100)
        asked.set()
        connection.recv(100)

    with Scripted(script) as server:
        screen = terminal(uri_of("exec-length", server))
        screen.prompt()
        screen.send(b"wait\r")
        assert asked.wait(EVENT_SECONDS)
        screen.send(CONTROL_C)
        assert wait_exit(screen.process) == 128 + signal.SIGINT


def test_a_lost_connection_is_said(terminal):
    with Scripted(says(b"\x2c\1\0\0half a line", until_closed=False)) as server:
        screen = terminal(uri_of("exec-length", server))
        screen.prompt()
        screen.send(b"x\r")
        screen.read_until(rb"half a line\r?\nwaybill talk: connection lost: [^\n]*11 of 300[^\n]*\n")
        assert wait_exit(screen.process) == 1


@needs_libedit
def test_history(daemon, terminal, history_path):
    uri = daemon("--listen", "upper+tcp://127.0.0.1:0").uri
    for line, reply in [(b"first\r", rb"FIRST"), (UP + b"!\r", rb"FIRST!"), (UP + UP + b"?\r", rb"FIRST\?")]:
        screen = terminal(uri)
        screen.prompt()
        screen.send(line)
        screen.read_until(reply + rb"\r?\n")
        screen.prompt()
        screen.send(CONTROL_D)
        assert wait_exit(screen.process) == 0
    assert stat.S_IMODE(history_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history_path.parent.stat().st_mode) == 0o700


@needs_libedit
def test_history_is_bounded(daemon, terminal, history_path):
    history_path.parent.mkdir(parents=True)
    lines = [f"line-{n}" for n in range(HISTORY_LINES_MAX + 500)]
    history_path.write_text("\n".join(["_HiStOrY_V2_", *lines, ""]), encoding="ascii")
    history_path.chmod(0o644)
    screen = terminal(daemon("--listen", "upper+tcp://127.0.0.1:0").uri)
    screen.prompt()
    screen.send(b"newest\r")
    screen.prompt()
    screen.send(CONTROL_D)
    assert wait_exit(screen.process) == 0
    kept = history_path.read_text(encoding="ascii").splitlines()[1:]
    assert len(kept) == HISTORY_LINES_MAX
    assert kept[-1] == "newest" and kept[-2] == lines[-1]
    assert stat.S_IMODE(history_path.stat().st_mode) == 0o600


@needs_libedit
def test_no_history_is_no_trouble(daemon, terminal, environment):
    (Path(environment["HOME"]) / "state").write_text("a file, not a folder", encoding="ascii")
    screen = terminal(daemon("--listen", "upper+tcp://127.0.0.1:0").uri)
    screen.prompt()
    screen.send(b"x\r")
    assert b"X\n" in screen.prompt()
    screen.send(CONTROL_D)
    assert wait_exit(screen.process) == 0
