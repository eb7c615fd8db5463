"""A crowd: hundreds of sessions, thousands of calls at once, connections that break all the time, sessions that
suspend themselves and leave jobs to each other, a daemon that is killed. What must come of each call is known to
tests/stress/crowd.c, which checks it; here is looked at what is left behind.

CROWD_SECONDS=60 makes it a long one.
"""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import TEST_SECONDS, WAYBILL, Daemon, eventually, sanitizer
from sessions import no_descriptors_left, state_of

CROWD = Path(WAYBILL).resolve().parent / "tests" / "stress" / "crowd"
SECONDS = int(os.environ.get("CROWD_SECONDS", 2))
PATIENCE_SECONDS = 60
HELD_SECONDS = 80
LEFT_BYTES = 16 << 20  # more memory than at the start


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def no_commands_left(daemon):
    """Where the machine is so slow that a goodbye is not heard, a session is held for as long as the daemon does."""
    try:
        eventually(lambda: not daemon.children(), HELD_SECONDS)
    except AssertionError:
        raise AssertionError([command_line(pid) for pid in daemon.children()]) from None


@pytest.fixture
def crowd(daemon, environment, tmp_path):
    """crowd(serve options, *arguments): runs one against a daemon of its own, and looks at what it leaves."""
    if not CROWD.exists():
        pytest.skip(f"{CROWD} is not built (make test-programs)")

    def run(options, *arguments, seconds=SECONDS):
        signal.alarm(TEST_SECONDS + seconds + HELD_SECONDS)  # the deadline of every test, moved
        served = daemon("--listen", f"unix://{tmp_path}/s", "--listen", "tcp://127.0.0.1:0", *options)
        before = len(served.descriptors()), served.memory_bytes()
        ledger = tmp_path / "ledger"
        ledger.touch()
        done = subprocess.run([CROWD, "--ledger", ledger, "--seconds", str(seconds),
                               "--patience-ms", str(PATIENCE_SECONDS * 1000), *arguments, *served.uris],
                              env=environment, capture_output=True, text=True, check=False,
                              timeout=seconds + PATIENCE_SECONDS + 30)
        assert done.returncode == 0, done.stderr[-5000:] + done.stdout
        no_commands_left(served)
        no_descriptors_left(served, before[0] + 1)  # the finder of peers is opened by the first caller
        if not sanitizer():
            eventually(lambda: served.memory_bytes() < before[1] + LEFT_BYTES)
        print(done.stdout)
        return done.stdout

    return run


def told(out, what):
    """The number before a word of the crowd's summary."""
    return int(re.search(rf" (\d+) {what}\b", out).group(1))


def scale(number):
    return str(number // 4 if sanitizer() else number)


def test_all_come_as_they_must(crowd):
    """1,200 at once, of every kind, over connections that last two seconds."""
    out = crowd(["--max-commands", "4000"], "--sessions", scale(120))
    assert 0 < told(out, "left") == told(out, "collected"), out
    assert told(out, "resumed") > 0


def test_few_connections_that_break_often(crowd):
    crowd([], "--sessions", "10", "--calls", "20", "--cut-ms", "100", "--seed", "2")


def test_an_undisturbed_crowd(crowd):
    """Without a cut nothing excuses anything."""
    crowd(["--max-commands", "4000"], "--sessions", scale(100), "--cut-ms", "0", "--seed", "3")


def test_more_than_there_is_room_for(crowd):
    """Whoever comes too many is told so, and nobody else is the worse for it."""
    out = crowd(["--max-commands", "5"], "--sessions", scale(40), "--may-refuse", "--seed", "4")
    assert told(out, "refused") > 0


# --- a daemon that is killed ---


class Mortal:
    """Daemons that follow each other at the same addresses. What the dead ones ran is ended here."""

    def __init__(self, environment, folder, *options):
        self._holder = socket.socket()  # bound, so that nobody else is given the port meanwhile
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        port = self._holder.getsockname()[1]
        self._arguments = ["--listen", f"unix://{folder}/s", "--listen", f"tcp://127.0.0.1:{port}", *options]
        self._popen_options = {"env": environment, "cwd": folder}
        self.start()

    def start(self):
        self.daemon = Daemon(self._arguments, **self._popen_options)

    def crash(self, before):
        """Stopped, so that it does nothing more, while `before` is told what is to come; then killed."""
        running = self.daemon
        running.process.send_signal(signal.SIGSTOP)
        eventually(lambda: all(state_of(f"{running.pid}/task/{task}") == "T"
                               for task in os.listdir(f"/proc/{running.pid}/task")))
        before()
        commands = running.children()
        running.stop(signal.SIGKILL)
        eventually(lambda: not end_sessions(commands))

    def close(self):
        self._holder.close()
        return self.daemon.stop()


def end_sessions(leaders):
    """Kills what runs in the sessions of these; says whether there was anything."""
    found = False
    for entry in os.listdir("/proc"):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
            if entry.isdigit() and int(fields[3]) in leaders and fields[0] not in "ZX":
                found = True
                os.kill(int(entry), signal.SIGKILL)
        except (OSError, IndexError):
            continue
    return found


@pytest.fixture
def mortal(environment, tmp_path):
    daemons = Mortal(environment, tmp_path, "--max-commands", "4000")
    yield daemons
    assert daemons.close() == 0


def lines_of(path):
    return path.read_bytes().count(b"\n")


def test_a_daemon_that_is_killed(mortal, environment, tmp_path):
    """Whatever was under way is lost and says so; nothing is taken for done, nothing runs twice, and the same
    sessions go on with the next daemon."""
    signal.alarm(TEST_SECONDS + 2 * SECONDS + HELD_SECONDS)
    if not CROWD.exists():
        pytest.skip(f"{CROWD} is not built (make test-programs)")
    ledger = tmp_path / "ledger"
    ledger.touch()
    complaints = tmp_path / "complaints"
    with open(complaints, "wb") as err, \
            subprocess.Popen([CROWD, "--crash", "--ledger", ledger, "--seconds", str(2 * SECONDS), "--seed", "5",
                              "--patience-ms", str(PATIENCE_SECONDS * 1000), "--sessions", scale(80),
                              *mortal.daemon.uris], env=environment, stdout=subprocess.PIPE, stderr=err,
                             text=True) as running:
        try:
            for crash in range(max(2, SECONDS // 4)):
                enough = lines_of(ledger) + (20 if sanitizer() else 100)
                eventually(lambda: lines_of(ledger) >= enough or running.poll() is not None, PATIENCE_SECONDS)
                if crash >= 2 and running.poll() is not None:
                    break
                mortal.crash(lambda: running.send_signal(signal.SIGUSR1))
                mortal.start()
            out, _ = running.communicate(timeout=2 * SECONDS + PATIENCE_SECONDS + 30)
        finally:
            running.kill()
    assert running.returncode == 0, complaints.read_text(errors="replace")[-5000:] + out
    assert told(out, "lost") > 0 and told(out, "sessions crashed") > 0 and told(out, "calls afterwards") > 0, out
    no_commands_left(mortal.daemon)
    print(out)
