"""exec on a terminal: raw for as long as it is shown there, and always back as it was."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, WAYBILL, eventually, sanitizer, wait_exit
from sessions import state_of

ROWS, COLUMNS = 33, 99


class Terminal:
    """`waybill exec` on a pseudo-terminal, as a person would have it."""

    def __init__(self, environment, *arguments):
        self.master, self.slave = pty.openpty()
        self.resize(ROWS, COLUMNS)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [WAYBILL, "exec", *map(str, arguments)], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, env={**environment, "TERM": "xterm"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data):
        os.write(self.master, data)

    def read_until(self, pattern):
        deadline = time.monotonic() + EVENT_SECONDS
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {pattern!r} in {self.seen!r}"
            self.seen += os.read(self.master, 65536)
        self.seen = self.seen[found.end():]
        return found

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
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
def served(daemon):
    return daemon("--listen", "tcp://127.0.0.1:0")


def shell(script):
    return ("--", "sh", "-c", script)


def test_the_command_has_a_terminal_of_that_size(served, terminal):
    screen = terminal("-t", served.uri, *shell("tty; stty size; echo $TERM; exit 3"))
    screen.read_until(rb"/dev/pts/\d+\r\n33 99\r\nxterm\r\n")
    assert wait_exit(screen.process) == 3
    assert screen.is_as_before()


def test_a_new_size_is_told(served, terminal):
    screen = terminal("-t", served.uri, *shell("trap 'stty size' WINCH; echo ready; while :; do read x && break; done"))
    screen.read_until(rb"ready")
    screen.resize(44, 111)
    screen.read_until(rb"44 111")
    screen.resize(20, 70)
    screen.read_until(rb"20 70")
    screen.send(b"\r")
    assert wait_exit(screen.process) == 0


def test_keys_go_unread(served, terminal):
    """^C, ^Z and ^\\ mean something to the command's terminal, not to ours."""
    screen = terminal("-t", served.uri, *shell("stty raw -echo; echo ready; head -c 4 | od -An -tx1"))
    screen.read_until(rb"ready")
    assert screen.is_raw()
    screen.send(b"\x03\x1a\x1c\x04")
    screen.read_until(rb"03 1a 1c 04")
    assert wait_exit(screen.process) == 0
    assert screen.is_as_before()


def test_interrupt_key(served, terminal):
    screen = terminal("-t", served.uri, *shell("trap 'echo caught; exit 4' INT; echo ready; while :; do read x; done"))
    screen.read_until(rb"ready")
    screen.send(b"\x03")
    screen.read_until(rb"caught")
    assert wait_exit(screen.process) == 4


def test_end_of_file_key(served, terminal):
    screen = terminal("-t", served.uri, *shell("cat; echo end"))
    screen.send(b"line\r")
    screen.read_until(rb"line\r\nline\r\n")
    screen.send(b"\x04")
    screen.read_until(rb"end")
    assert wait_exit(screen.process) == 0


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGSEGV, signal.SIGABRT, signal.SIGALRM, signal.SIGXCPU])
def test_restored_after_a_fatal_signal(served, terminal, number):
    if sanitizer() and number in (signal.SIGSEGV, signal.SIGABRT):
        pytest.skip("the sanitizer has this signal to itself")
    screen = terminal("-t", "--on-disconnect", "kill", served.uri, *shell("echo ready; exec tail -f /dev/null"))
    screen.read_until(rb"ready")
    eventually(screen.is_raw)
    screen.process.send_signal(number)
    assert wait_exit(screen.process) != 0
    assert screen.is_as_before()
    end_soon(served)


def end_soon(served):
    """The daemon need not wait for a client that was killed."""
    eventually(lambda: served.process.send_signal(signal.SIGTERM) or served.process.poll() is not None)


def test_restored_when_the_command_is_killed(served, terminal):
    screen = terminal("-t", served.uri, *shell("echo ready $$; exec tail -f /dev/null"))
    pid = int(screen.read_until(rb"ready (\d+)").group(1))
    eventually(screen.is_raw)
    os.kill(pid, signal.SIGKILL)
    assert wait_exit(screen.process) == 137
    assert screen.is_as_before()


def test_restored_when_it_cannot_start(served, terminal):
    screen = terminal("-t", served.uri, "--", "no-such-command")
    assert wait_exit(screen.process) == 127
    assert screen.is_as_before()


def test_restored_while_it_is_stopped(served, terminal):
    screen = terminal("-t", served.uri, *shell("echo ready; read x; echo got $x"))
    screen.read_until(rb"ready")
    eventually(screen.is_raw)
    screen.process.send_signal(signal.SIGTSTP)
    # Its group is orphaned here, so the kernel does not stop it; a shell's would be.
    eventually(lambda: state_of(screen.process.pid) == "T" or screen.is_raw())
    screen.process.send_signal(signal.SIGCONT)
    eventually(screen.is_raw)
    screen.send(b"word\r")
    screen.read_until(rb"got word")
    assert wait_exit(screen.process) == 0
    assert screen.is_as_before()


def test_a_pipe_as_stdin(served, waybill):
    done = waybill("exec", "-t", served.uri, *shell("stty size; cat; test -t 0 && exit 6"), input=b"piped\n")
    assert done.returncode == 6
    assert b"24 80\r\n" in done.stdout and done.stdout.count(b"piped\r\n") == 2 and done.stderr == b""


def test_without_a_terminal_ours_is_left_alone(served, terminal):
    screen = terminal(served.uri, *shell("echo ready; cat"))
    screen.read_until(rb"ready")
    assert screen.is_as_before()
    screen.send(b"line\r")
    screen.read_until(rb"line\r\nline\r\n")
    screen.send(b"\x04")
    assert wait_exit(screen.process) == 0


# --- real programs, in tmux ---


class Tmux:
    """A tmux server of the test's own, with a shell in one window."""

    def __init__(self, folder, environment):
        self.socket = folder / "tmux"
        self.environment = environment
        self.run("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh")
        self.wait_for(r"[$#] *$")
        # Short lines: a long one wraps, and its words are not found.
        self.type(f"PATH={Path(WAYBILL).parent}:$PATH")
        self.wait_for(r"PATH=.*^[$#] *$")  # typed before, the next line would stand in front of its prompt
        self.type("PS1=PROMPT'> '")
        self.wait_for(r"^PROMPT>")

    def run(self, *arguments):
        done = subprocess.run(["tmux", "-u", "-S", str(self.socket), *arguments], env=self.environment, check=False,
                              capture_output=True, timeout=EVENT_SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode(errors="replace")

    def screen(self):
        return self.run("capture-pane", "-p")

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def type(self, line):
        self.run("send-keys", "-l", line)
        self.keys("Enter")

    def wait_for(self, pattern):
        try:
            return eventually(lambda: re.search(pattern, self.screen(), re.MULTILINE | re.DOTALL))
        except AssertionError:
            raise AssertionError(f"no {pattern!r} on\n{self.screen()}") from None

    def resize(self, columns, rows):
        self.run("resize-window", "-x", str(columns), "-y", str(rows))

    def end(self):
        subprocess.run(["tmux", "-S", str(self.socket), "kill-server"], capture_output=True, check=False,
                       timeout=EVENT_SECONDS)


@pytest.fixture
def tmux(tmp_path, environment):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    server = Tmux(tmp_path, environment)
    yield server
    server.end()


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def test_vim(served, tmux, tmp_path):
    need("vim")
    path = tmp_path / "text"
    tmux.type(f"waybill exec -t {served.uri} -- vim -u NONE -N {path}; echo code=$?")
    tmux.wait_for(r"~.*~.*text")
    tmux.keys("i")
    tmux.run("send-keys", "-l", "written in vim")
    tmux.wait_for(r"^written in vim")
    tmux.resize(100, 40)
    tmux.keys("Escape")
    tmux.type(":set lines? columns?")
    tmux.wait_for(r"lines=40.*columns=100")
    tmux.keys("Enter")
    tmux.type(":wq")
    tmux.wait_for(r"code=0")
    assert path.read_text(encoding="ascii") == "written in vim\n"
    tmux.type("stty -a | grep -c -- ' icanon'")
    tmux.wait_for(r"^1$")


def test_less(served, tmux, tmp_path):
    need("less")
    path = tmp_path / "lines"
    path.write_text("".join(f"line {i}\n" for i in range(1, 1001)), encoding="ascii")
    tmux.type(f"waybill exec -t {served.uri} -- less {path}; echo code=$?")
    tmux.wait_for(r"^line 1$.*line 23")
    tmux.keys("G")
    tmux.wait_for(r"line 1000")
    tmux.run("send-keys", "-l", "?line 500")
    tmux.keys("Enter")
    tmux.wait_for(r"^line 500")
    tmux.keys("q")
    tmux.wait_for(r"code=0")


@pytest.mark.parametrize("program, sign", [("top", r"PID +USER"), ("htop", r"F10")])
def test_top_and_htop(served, tmux, program, sign):
    need(program)
    tmux.type(f"waybill exec -t {served.uri} -- {program}; echo code=$?")
    tmux.wait_for(sign)
    tmux.resize(120, 30)
    tmux.wait_for(sign)
    tmux.keys("q")
    tmux.wait_for(r"code=0")


def test_job_control_of_a_shell(served, tmux):
    """^Z on a command without a terminal of its own: the shell has its prompt back; fg goes on."""
    tmux.type(f"waybill exec {served.uri} -- sh -c 'echo ready; cat'")
    tmux.wait_for(r"^ready")
    tmux.keys("C-z")
    tmux.wait_for(r"(Stopped|Suspended).*PROMPT>")
    tmux.type("fg")
    tmux.type("some words")
    tmux.wait_for(r"some words\s+some words")
    tmux.keys("C-d")
    tmux.wait_for(r"PROMPT> *\s*$")


def test_a_remote_shell_has_job_control(served, tmux):
    tmux.type(f"waybill exec -t {served.uri} -- sh -i; echo code=$?")
    tmux.wait_for(r"code.*^[$#] *$")
    tmux.type("PS1=REMOTE'> '")
    tmux.wait_for(r"^REMOTE>")
    # It speaks once it is in the foreground: a key that is typed before is the remote shell's.
    tmux.type("sh -c 'trap \"echo again\" CONT; echo up; while kill -0 $PPID; do read x; done'")
    tmux.wait_for(r"^up$")
    tmux.keys("C-z")
    tmux.wait_for(r"(Stopped|Suspended)")
    tmux.type("fg")
    tmux.wait_for(r"^again$")
    tmux.keys("C-c")
    tmux.wait_for(r"^again\s+.*REMOTE>[^>]*$")
    tmux.type("exit 9")
    tmux.wait_for(r"code=9")
