"""Connections that break, clients that die, daemons that die: what is left, and what is told."""

import hashlib
import os
import pty
import re
import signal
import threading
import time

import pytest

from conftest import EVENT_SECONDS, eventually
from parcels import Peer
from relay import Relay
from secure import enable_tls
from sessions import FOREVER, Exec, is_running, jobs, outcome, python, state_of

INPUT_BYTES, OUTPUT_BYTES = 6_000_000, 15_000_000

# Notes that it ran, so that a second run would show; reads all of stdin; then writes both outputs side by side.
WORK = """if True:
    import hashlib, os, sys, threading
    with open(sys.argv[1], 'a') as ran: ran.write('ran\\n')
    got = hashlib.sha256()
    while data := os.read(0, 65536): got.update(data)
    def write(fd, data):
        while data: data = data[os.write(fd, data):]
    outputs = [hashlib.shake_128(name).digest(int(sys.argv[2])) for name in (b'out', b'err')]
    threads = [threading.Thread(target=write, args=(fd + 1, memoryview(outputs[fd]))) for fd in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    os.write(1, got.hexdigest().encode())
    sys.exit(7)
"""


def work(folder):
    return python(WORK, folder / "ran", OUTPUT_BYTES)


def collect(pipe, into, name):
    thread = threading.Thread(target=lambda: into.__setitem__(name, pipe.read()))
    thread.start()
    return thread


def give(pipe, data):
    def write():
        pipe.write(data)
        pipe.close()

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize("transport, kinds, cuts", [
    ("tcp", ("reset", "end", "silence"), 40), ("tcp", ("reset",), 40), ("tcp", ("end",), 40),
    ("tls", ("reset", "end", "silence"), 20),
])
def test_forty_cuts(daemon, environment, tmp_path, transport, kinds, cuts):
    """Whatever breaks, and wherever: the same bytes, the same exit code, one run."""
    port = daemon(*(enable_tls(environment) if transport == "tls" else ["--listen", "tcp://127.0.0.1:0"])).port
    data = hashlib.shake_128(b"in").digest(INPUT_BYTES)
    got = {}
    with Relay(port, seed=cuts + len(kinds), every_bytes=400_000, cuts=cuts, kinds=kinds,
               transport=transport) as relay:
        with Exec(environment, "--silence", "1s", "--result", tmp_path / "r", relay.uri, "--", *work(tmp_path)) as running:
            threads = [give(running.process.stdin, data), collect(running.process.stdout, got, "out"),
                       collect(running.process.stderr, got, "err")]
            code = running.wait(100)
            for thread in threads:
                thread.join(EVENT_SECONDS)
        seen = dict(relay.seen)
    assert code == 7, got.get("err", b"")[:300]
    assert got["out"] == hashlib.shake_128(b"out").digest(OUTPUT_BYTES) + hashlib.sha256(data).hexdigest().encode()
    assert got["err"] == hashlib.shake_128(b"err").digest(OUTPUT_BYTES)
    assert (tmp_path / "ran").read_text(encoding="ascii") == "ran\n"
    assert seen["cuts"] == cuts and set(kinds) <= set(seen), seen
    assert outcome(tmp_path / "r")["complete"] is True


# --- the client dies ---


@pytest.fixture(params=["tcp", "tls"])
def served(request, daemon, environment):
    """A daemon that is not to wait at its end for clients that a test has killed: it is told again and
    again (signals that come together count as one)."""
    running = daemon(*(enable_tls(environment) if request.param == "tls" else ["--listen", "tcp://127.0.0.1:0"]))
    yield running
    eventually(lambda: running.process.send_signal(signal.SIGTERM) or running.process.poll() is not None)


def start_forever(environment, uri, *options):
    """A command that says its pid and does not end."""
    running = Exec(environment, *options, uri, "--", "sh", "-c", "echo $$; exec tail -f /dev/null")
    return running, int(running.line())


def kill_client(running):
    running.signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL


def pass_time(waybill, uri, milliseconds):
    """An event that comes so much later: a command that is ended then."""
    assert waybill("exec", "--timeout", f"{milliseconds}ms", uri, "--", *FOREVER).returncode == 124


def test_kill_policy(served, environment):
    running, pid = start_forever(environment, served.uri, "--on-disconnect", "kill")
    with running:
        assert is_running(pid)
        kill_client(running)
        eventually(lambda: not is_running(pid))


def test_hold_policy(served, environment, waybill):
    running, pid = start_forever(environment, served.uri, "--on-disconnect", "hold=1s")
    with running:
        began = time.monotonic()
        kill_client(running)
        eventually(lambda: not is_running(pid))
        assert time.monotonic() - began > 0.99  # a daemon counts whole milliseconds
    eventually(lambda: [job["status"] for job in jobs(waybill, served.uri).values()] in ([], ["ended"]))


def test_a_held_command_is_listed(served, environment, waybill):
    """The hold is long, so that it lasts however slowly those run who look."""
    running, pid = start_forever(environment, served.uri, "--on-disconnect", "hold=50s")
    with running:
        kill_client(running)
        eventually(lambda: [job["status"] for job in jobs(waybill, served.uri).values()] == ["held"])
        assert is_running(pid)
    [number] = jobs(waybill, served.uri)
    assert waybill("kill", served.uri, number).returncode == 0
    eventually(lambda: not is_running(pid))


def test_detach_policy(served, environment, waybill):
    running, pid = start_forever(environment, served.uri, "--on-disconnect", "detach")
    with running:
        kill_client(running)
        eventually(lambda: [job["status"] for job in jobs(waybill, served.uri).values()] in (["held"], ["detached"]))
        assert is_running(pid)
    [number] = jobs(waybill, served.uri)
    assert waybill("kill", served.uri, number).returncode == 0
    eventually(lambda: not is_running(pid))


def test_a_long_hold_outlives_the_usual_one(daemon, environment):
    """hold=… of a call may be longer than what `welcome` said: the client goes on trying as long."""
    served = daemon("--listen", "tcp://127.0.0.1:0")
    with Relay(served.port, transport=served.uri.split(":")[0]) as relay:
        with Exec(environment, "--on-disconnect", "hold=120s", relay.uri, "--", "cat") as running:
            running.process.stdin.write(b"one\n")
            running.process.stdin.flush()
            assert running.line() == "one"
            relay.cut()
            running.process.stdin.write(b"two\n")
            running.process.stdin.flush()
            assert running.line() == "two"
            running.process.stdin.close()
            assert running.wait() == 0


# --- the daemon dies ---


def kill_daemon(served):
    served.process.kill()
    served.process.wait()
    served.stderr.close()


class Doomed:
    """A daemon that a test kills: the fixture, which wants exit code 0, is not for it."""

    def __init__(self, environment, *listen):
        from conftest import Daemon
        self.daemon = Daemon([item for uri in listen for item in ("--listen", uri)], env=environment)

    def __enter__(self):
        return self.daemon

    def __exit__(self, *_):
        if self.daemon.process.poll() is None:
            kill_daemon(self.daemon)


def kill_stray(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def test_a_dead_daemon_is_lost(environment, tmp_path):
    with Doomed(environment, "tcp://127.0.0.1:0") as served:
        running, pid = start_forever(environment, served.uri, "--retry", "300ms", "--result", tmp_path / "r")
        with running:
            kill_daemon(served)
            assert running.wait() == 255
            assert b"lost" in running.process.stderr.read()
    kill_stray(pid)
    told = outcome(tmp_path / "r")
    assert told["outcome"] == "lost" and told["complete"] is False and "code" not in told


def test_a_restarted_daemon_has_forgotten(environment, tmp_path):
    uri = f"unix://{tmp_path}/s"
    with Doomed(environment, uri) as first:
        running, pid = start_forever(environment, uri, "--result", tmp_path / "r")
        with running:
            kill_daemon(first)
            with Doomed(environment, uri):
                assert running.wait() == 255
    kill_stray(pid)
    assert outcome(tmp_path / "r")["outcome"] == "lost"


def test_no_retry(served, environment, tmp_path):
    with Relay(served.port, transport=served.uri.split(":")[0]) as relay:
        running, pid = start_forever(environment, relay.uri, "--retry", "0", "--on-disconnect", "kill",
                                     "--result", tmp_path / "r")
        with running:
            relay.cut()
            assert running.wait() == 255
        assert relay.seen["connections"] == 1
    assert outcome(tmp_path / "r")["outcome"] == "lost"
    eventually(lambda: not is_running(pid))


# --- while disconnected ---


def test_signals_end_a_client_that_is_disconnected(served, environment, tmp_path):
    with Relay(served.port, transport=served.uri.split(":")[0]) as relay:
        running, pid = start_forever(environment, relay.uri, "--on-disconnect", "kill", "--result", tmp_path / "r")
        with running:
            relay.refuse()
            eventually(lambda: not is_running(pid))  # the daemon knows; the client tries again and again
            # A signal that comes before the client has noticed goes to the command, so it is repeated.
            eventually(lambda: running.signal(signal.SIGINT) or running.process.poll() is not None)
            assert running.wait() == 255
            stderr = running.process.stderr.read()
    assert stderr.count(b"\n") == 1 and b"lost" in stderr  # nothing on the way: stderr is no terminal
    assert outcome(tmp_path / "r")["outcome"] == "lost"


def test_a_person_is_told(served, environment):
    master, slave = pty.openpty()
    with Relay(served.port, transport=served.uri.split(":")[0]) as relay:
        with Exec(environment, relay.uri, "--", "cat", stderr=slave) as running:
            os.close(slave)
            running.process.stdin.write(b"one\n")
            running.process.stdin.flush()
            assert running.line() == "one"
            relay.cut()
            seen = b""
            while not re.search(rb"lost.*\n.*again", seen):
                seen += os.read(master, 1000)
            running.process.stdin.close()
            assert running.wait() == 0
    os.close(master)


def test_a_stopped_client_is_waited_for(served, environment, waybill):
    """^Z, for longer than the hold: the command is still there, and so is what was written meanwhile."""
    with Exec(environment, "--on-disconnect", "hold=1s", "--silence", "1s", served.uri, "--",
              "sh", "-c", "echo $$; cat") as running:
        pid = int(running.line())
        running.stop()
        pass_time(waybill, served.uri, 2000)
        assert is_running(pid) and state_of(running.pid) == "T"
        running.process.stdin.write(b"still here\n")
        running.process.stdin.flush()
        running.signal(signal.SIGCONT)
        assert running.line() == "still here"
        running.process.stdin.close()
        assert running.wait() == 0


def test_a_connection_that_broke_while_stopped(served, environment):
    """It is made again once the client goes on."""
    with Relay(served.port, transport=served.uri.split(":")[0]) as relay:
        with Exec(environment, relay.uri, "--", "cat") as running:
            running.process.stdin.write(b"one\n")
            running.process.stdin.flush()
            assert running.line() == "one"
            running.stop()
            relay.cut("reset")
            running.process.stdin.write(b"two\n")
            running.process.stdin.flush()
            running.signal(signal.SIGCONT)
            assert running.line() == "two"
            running.process.stdin.close()
            assert running.wait() == 0


# --- what is left for commands to read ---

READ_FIRST, MIB = 6_000_000, 1 << 20


def leave_input(uri):
    """Brings a command that stops reading all the stdin that the daemon takes, and leaves. Returns how much the
    command has not read. The answer to a ping comes late, so that the window grows."""
    with Peer(uri) as peer:
        peer.exec(1, "sh", "-c", f"head -c {READ_FIRST} >/dev/null; exec tail -f /dev/null", up=[0], down=[],
                  on_disconnect="detach")
        limit = peer.hear_until("opened")[0]["window"]
        sent, quiet, asked, number = 0, 0, None, 0
        while quiet < 20:
            for offset in range(sent, limit, 65536):
                peer.say("data", bytes(min(65536, limit - offset)), id=1, stream=0, offset=offset)
            sent, number = limit, number + 1
            if asked and sent >= READ_FIRST * 9 // 10:
                peer.say("pong", n=asked)
                asked = None
            peer.say("ping", n=number)
            quiet += sent >= READ_FIRST
            while (told := peer.hear_until("ping", "pong", "credit")[0]) != {"op": "pong", "n": number}:
                quiet = 0
                if told["op"] == "ping":
                    asked = told["n"]
                elif told["op"] == "credit":
                    limit = told["limit"]
        peer.say("bye")
        peer.hear_all()
        return sent - READ_FIRST


def test_input_that_nobody_reads_is_bounded(daemon, tmp_path, waybill):
    """Each command has little of it; there are many. All are one worker's, or at most two's."""
    served = daemon("--listen", f"unix://{tmp_path}/s")
    left = [leave_input(served.uri) for _ in range(24)]
    assert left[0] > 4 * MIB
    assert sum(left) < 2 * 64 * MIB + len(left) * MIB // 2
    for job in jobs(waybill, served.uri):
        assert waybill("kill", served.uri, job).returncode == 0
    eventually(lambda: {job["status"] for job in jobs(waybill, served.uri).values()} == {"ended"})
    assert leave_input(served.uri) > 4 * MIB
