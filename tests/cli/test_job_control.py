"""exec -t and the shell that started it: whoever is in the foreground has the terminal, as it left it."""

import fcntl
import os
import signal
import struct
import termios
from pathlib import Path

import pytest

from conftest import eventually, wait_exit
from sessions import state_of
from test_exec_terminal import served, shell, terminal, tmux  # pylint: disable=unused-import # fixtures

ASK = shell("echo ready; read x; echo got $x; stty size")


def modes(path):
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        return termios.tcgetattr(descriptor)
    finally:
        os.close(descriptor)


def set_modes(path, wanted):
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, wanted)
    finally:
        os.close(descriptor)


def is_raw(path):
    return not modes(path)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def children_of(pid):
    folder = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in folder.read_text(encoding="ascii").split()]


class Client:
    """exec -t in the foreground of a shell in tmux."""

    def __init__(self, served, tmux):
        self.tmux = tmux
        self.tty = tmux.run("display-message", "-p", "#{pane_tty}").strip()
        self.before = modes(self.tty)
        tmux.type(f"waybill exec -t {served.uri} -- sh -c 'echo ready; read x; echo got $x'")
        tmux.wait_for(r"^ready")
        eventually(lambda: is_raw(self.tty))
        shell_pid = int(tmux.run("display-message", "-p", "#{pane_pid}"))
        self.pid, = children_of(shell_pid)

    def stop(self, number=signal.SIGTSTP):
        os.kill(self.pid, number)
        eventually(lambda: state_of(self.pid) == "T")

    def answers(self):
        """The terminal is the command's again."""
        eventually(lambda: is_raw(self.tty))
        self.tmux.type("word")
        self.tmux.wait_for(r"^got word\s+PROMPT>")
        assert modes(self.tty) == self.before


@pytest.fixture
def client(served, tmux):
    return Client(served, tmux)


def test_stopped_and_in_the_foreground_again(client, tmux):
    client.stop()
    tmux.wait_for(r"(Stopped|Suspended).*PROMPT>")
    assert modes(client.tty) == client.before
    tmux.type("fg")
    client.answers()


def test_in_the_background_it_leaves_the_terminal_alone(client, tmux):
    client.stop()
    tmux.wait_for(r"(Stopped|Suspended).*PROMPT>")
    tmux.type("bg")
    tmux.wait_for(r"PROMPT> bg.*PROMPT>")
    eventually(lambda: state_of(client.pid) == "T")  # it asked for the terminal: SIGTTIN
    tmux.type("jobs")
    tmux.wait_for(r"PROMPT> jobs.*Stopped \(tty input\)")
    assert modes(client.tty) == client.before
    tmux.type("fg")
    client.answers()


def test_continued_in_the_background_it_undoes_nothing(client, tmux):
    """SIGSTOP left the terminal raw, and the shell has made something of its own of it."""
    client.stop(signal.SIGSTOP)
    tmux.wait_for(r"(Stopped|Suspended).*PROMPT>")
    shells = list(client.before)
    shells[3] ^= termios.ECHOE
    set_modes(client.tty, shells)
    tmux.type("bg")
    tmux.wait_for(r"PROMPT> bg.*PROMPT>")
    eventually(lambda: state_of(client.pid) == "T")
    tmux.type("jobs")
    tmux.wait_for(r"PROMPT> jobs.*Stopped \(tty input\)")
    assert modes(client.tty) == shells
    set_modes(client.tty, client.before)
    tmux.type("fg")
    client.answers()


def test_a_new_size_while_it_is_stopped(served, terminal):
    """SIGSTOP leaves no time to put the terminal back; SIGCONT makes it ours again, whatever was done to it."""
    screen = terminal("-t", served.uri, *ASK)
    screen.read_until(rb"ready")
    eventually(screen.is_raw)
    screen.process.send_signal(signal.SIGSTOP)
    eventually(lambda: state_of(screen.process.pid) == "T")
    termios.tcsetattr(screen.slave, termios.TCSANOW, screen.before)
    fcntl.ioctl(screen.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 51, 77, 0, 0))
    screen.process.send_signal(signal.SIGCONT)
    eventually(screen.is_raw)
    screen.send(b"word\r")
    screen.read_until(rb"got word\r\n51 77")
    assert wait_exit(screen.process) == 0
    assert screen.is_as_before()
