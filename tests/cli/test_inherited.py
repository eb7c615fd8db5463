"""What a command has of its daemon, and what not: signals are at their defaults, umask and limits as whoever
started the daemon had them. And what the daemon makes of a limit of its own."""

import re
import resource
import signal
import subprocess

import pytest

from conftest import EVENT_SECONDS, sanitizer
from plain import dial, read_length_reply
from trees import content, write

MIB = 1 << 20
SOFT_FILES = 321
UMASK = 0o027
# The first two cannot be; with the third ignored a daemon refuses to start.
NOT_IGNORED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
REPORT = "cat /proc/self/limits /proc/self/status"


def odd_start():
    """What a daemon may be started with."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT_FILES, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (4 * MIB, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * MIB, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    for number in signal.valid_signals() - NOT_IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def limits_of(report):
    """Name → soft and hard limit, as /proc/self/limits shows them."""
    return dict(re.findall(r"^(Max .*?)  +(\S+ +\S+)", report, re.MULTILINE))


def signals_of(report):
    return {name: int(value, 16) for name, value in re.findall(r"^(Sig(?:Blk|Ign|Cgt)):\t([0-9a-f]+)", report,
                                                               re.MULTILINE)}


def by_exec(*options):
    def ask(daemon_uris, waybill):
        done = waybill("exec", *options, daemon_uris[0], "--", *REPORT.split())  # no shell: it would set its own mask
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


def by_shell(daemon_uris, waybill):
    done = waybill("exec", "--shell", REPORT, daemon_uris[0])
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_plain(daemon_uris, _waybill):
    host, port = daemon_uris[1].split("://")[1].rsplit(":", 1)
    with dial((host, int(port))) as connection:
        connection.sendall(REPORT.encode())
        return read_length_reply(connection)


WAYS = {"pipes": by_exec(), "no input": by_exec("-n"), "terminal": by_exec("-t"), "shell": by_shell, "plain": by_plain}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_command_starts_with(daemon, waybill, way):
    running = daemon("--listen", "tcp://127.0.0.1:0", "--listen", "exec-length+tcp://127.0.0.1:0",
                     preexec_fn=odd_start, umask=UMASK)
    usual = subprocess.run(["sh", "-c", REPORT], preexec_fn=odd_start, capture_output=True, text=True, check=True)
    report = WAYS[way](running.uris, waybill).decode().replace("\r\n", "\n")
    assert signals_of(report) == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}
    assert re.search(r"^Umask:\t(\d+)", report, re.MULTILINE).group(1) == f"{UMASK:04o}"
    limits = limits_of(report)
    assert limits["Max open files"].split()[0] == str(SOFT_FILES)
    assert limits == limits_of(usual.stdout)


LIMIT = 16 * MIB  # what a daemon needs for itself, its rings, is less


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_a_file_past_the_daemons_limit(daemon, waybill, tmp_path):
    """An error that is told, of one transfer; not SIGXFSZ, and the end of a daemon."""
    running = daemon("--listen", f"unix://{tmp_path}/socket", preexec_fn=small_files)
    write(tmp_path / "large", content(LIMIT + MIB))
    write(tmp_path / "small", content(1000))
    (tmp_path / "in").mkdir()
    done = waybill("put", tmp_path / "large", f"{running.uri}:{tmp_path}/in/large")
    assert done.returncode in (1, 255) and b"File too large" in done.stderr, done.stderr
    assert not (tmp_path / "in/large").exists()
    done = waybill("put", tmp_path / "small", f"{running.uri}:{tmp_path}/in/small")
    assert done.returncode == 0, done.stderr
    assert running.process.poll() is None


def test_output_past_the_daemons_limit(daemon):
    """Output that has to wait in a file, which may not grow so far."""
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0", preexec_fn=small_files)
    with dial(running.address) as connection:
        connection.settimeout(EVENT_SECONDS * (3 if sanitizer() else 1))
        connection.sendall(b"head -c %d /dev/zero" % (LIMIT + MIB))
        assert read_length_reply(connection).startswith(b"waybill: ")
    with dial(running.address) as connection:
        connection.sendall(b"echo still")
        assert read_length_reply(connection) == b"still\n"
