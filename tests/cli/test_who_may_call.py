"""The kernel's word on who is calling, attacked."""

import os
import signal
import socket

import pytest

from conftest import eventually
from plain import dial, is_closed, read_exactly, read_header_reply, read_length_reply, reset
from sessions import state_of

PLAIN_TCP = ["upper+tcp://127.0.0.1:0", "exec-length+tcp://127.0.0.1:0", "exec-header+tcp://127.0.0.1:0"]

SEND_AND_CLOSE = """
import socket, sys
for _ in range(200):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(sys.argv[2].encode())
"""

SEND_AND_READ = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try:
    connection.sendall(b"echo hello")
    print(connection.recv(100))
except ConnectionError:
    print(b"")
"""


@pytest.mark.parametrize("uri", PLAIN_TCP)
def test_another_user_is_refused(daemon, second_user, uri):
    running = daemon("--listen", uri)
    assert second_user.python(SEND_AND_READ, running.port).stdout.strip() == b"b''"
    running.stderr.find_all(rf"refused 127\.0\.0\.1:\d+: uid {second_user.uid} opened the socket")


def test_another_user_who_sends_and_closes_at_once_is_refused(daemon, second_user, tmp_path):
    """Its socket then shows uid 0 and inode 0, and the daemon of these tests is root."""
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0")
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    marker = folder / "ran"
    done = second_user.python(SEND_AND_CLOSE, running.port, f"touch {marker}")
    assert done.returncode == 0, done.stderr
    with dial(running.address) as connection:  # in the queue behind all of those
        connection.sendall(b"echo mine")
        assert read_length_reply(connection) == b"mine\n"
    assert not marker.exists()
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: ", 10)


def test_a_socket_speaks_for_who_opened_it(daemon, second_user):
    """Opened by the second user and used by us: refused. Opened by us and used by them: not."""
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        second_user.python("""
import socket, sys
passing = socket.socket(fileno=int(sys.argv[2]))
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
socket.send_fds(passing, [b"x"], [connection.fileno()])
""", running.port, theirs.fileno(), pass_fds=[theirs.fileno()])
        ours.settimeout(20)
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    with socket.socket(fileno=descriptors[0]) as connection:
        connection.settimeout(20)
        try:
            connection.sendall(b"echo hello")
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert is_closed(connection)
    running.stderr.find_all(rf"refused .*uid {second_user.uid} opened the socket")

    with dial(running.address) as connection:
        done = second_user.python("""
import socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
connection.settimeout(20)
connection.sendall(b"id -u")
print(connection.recv(100))
""", connection.fileno(), pass_fds=[connection.fileno()])
        assert b"%d" % os.getuid() in done.stdout, done.stderr


class Held:
    """A daemon that looks at nothing for a while: what comes meanwhile waits in the listener's queue."""

    def __init__(self, running):
        self.running = running

    def __enter__(self):
        self.running.process.send_signal(signal.SIGSTOP)
        eventually(lambda: self._all_are_stopped())
        return self

    def _all_are_stopped(self):
        return all(state_of(f"{self.running.pid}/task/{task}") == "T"
                   for task in os.listdir(f"/proc/{self.running.pid}/task"))

    def __exit__(self, *_):
        self.running.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("service", ["exec-length+tcp", "exec-header+tcp"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_who_has_gone_before_it_was_asked_about_is_nobody(daemon, tmp_path, service, how):
    """Also where it was us: the kernel shows no owner of the socket, and a command is not run on a guess."""
    running = daemon("--listen", f"{service}://127.0.0.1:0")
    marker = tmp_path / "ran"
    with Held(running):
        for _ in range(5):
            connection = dial(running.address)
            connection.sendall(f"touch {marker}".encode())
            if how == "reset":
                reset(connection)
            else:
                connection.close()
    running.stderr.find_all(r"refused .*: ", 5)
    with dial(running.address) as connection:
        connection.sendall(b"true")
        (read_length_reply if service == "exec-length+tcp" else read_header_reply)(connection)
    assert not marker.exists()


def test_who_has_said_all_before_it_was_asked_about_is_answered(daemon):
    """Half-closed: it still waits for its reply, and its owner is known."""
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0", "--listen", "upper+tcp://127.0.0.1:0")
    upper = "127.0.0.1", running.ports[1]
    with Held(running):
        asked = [dial(running.address), dial(upper)]
        for connection, words in zip(asked, (b"echo mine", b"mine")):
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
    assert read_length_reply(asked[0]) == b"mine\n" and is_closed(asked[0])
    assert read_exactly(asked[1], 4) == b"MINE" and is_closed(asked[1])
    for connection in asked:
        connection.close()
    assert "refused" not in running.stderr.text


def test_a_session_whose_client_has_gone_before_it_was_asked_about(daemon, waybill):
    """The same question at the door of sessions: nothing of it is left, and the next one is let in."""
    running = daemon("--listen", "tcp://127.0.0.1:0")
    before = len(running.descriptors())
    with Held(running):
        for _ in range(5):
            dial(running.address).close()
    assert waybill("exec", running.uri, "--", "echo", "in").stdout == b"in\n"
    running.stderr.find_all(r"refused .*: ", 5)
    eventually(lambda: len(running.descriptors()) <= before + 1)  # the finder of peers: opened by the first caller


def test_allow_uid_lets_one_in(daemon, second_user):
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0", "--allow-uid", second_user.uid)
    assert b"hello" in second_user.python(SEND_AND_READ, running.port).stdout
    with dial(running.address) as connection:
        connection.sendall(b"echo own")
        assert read_length_reply(connection) == b"own\n"


def test_root_is_no_exception(daemon, second_user, environment, public_binary):
    """A daemon of the second user refuses root."""
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0", cwd="/", executable=public_binary,
                     env={**environment, "TMPDIR": "/tmp"}, **second_user.popen_options)
    with dial(running.address) as connection:
        assert is_closed(connection)
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: uid 0 opened the socket")
    assert b"hello" in second_user.python(SEND_AND_READ, running.port).stdout


def test_a_mapped_ipv4_address_is_the_same_caller(daemon):
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0")
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(("::ffff:127.0.0.1", running.port))
        connection.sendall(b"echo mapped")
        assert read_length_reply(connection) == b"mapped\n"


def test_ipv6(daemon):
    running = daemon("--listen", "exec-length+tcp://[::1]:0")
    with dial(running.address) as connection:
        connection.sendall(b"echo six")
        assert read_length_reply(connection) == b"six\n"


@pytest.mark.parametrize("uri", ["exec-length+tcp://0.0.0.0:0", "upper+udp://0.0.0.0:0", "upper+tcp://[::]:0"])
def test_beyond_loopback_is_refused_at_start(waybill, uri):
    done = waybill("serve", "--listen", uri)
    assert done.returncode == 1
    assert b"loopback" in done.stderr and b"--insecure-plain" in done.stderr


def test_insecure_plain_serves_everybody(daemon, second_user):
    running = daemon("--insecure-plain", "--listen", "exec-length+tcp://0.0.0.0:0")
    assert b"hello" in second_user.python(SEND_AND_READ, running.port).stdout


def test_a_refused_crowd_leaves_nothing_behind(daemon, second_user):
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0")
    before = len(running.descriptors())
    second_user.python(SEND_AND_CLOSE, running.port, "true")
    with dial(running.address) as connection:
        connection.sendall(b"true")
        assert read_length_reply(connection) == b""
    eventually(lambda: len(running.descriptors()) == before)
    assert running.stop(signal.SIGTERM) == 0
