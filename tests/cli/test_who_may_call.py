"""The kernel's word on who is calling, attacked."""

import os
import shutil
import signal
import socket
import tempfile

import pytest

from conftest import WAYBILL, eventually
from plain import dial, is_closed, read_length_reply

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


def test_allow_uid_lets_one_in(daemon, second_user):
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0", "--allow-uid", second_user.uid)
    assert b"hello" in second_user.python(SEND_AND_READ, running.port).stdout
    with dial(running.address) as connection:
        connection.sendall(b"echo own")
        assert read_length_reply(connection) == b"own\n"


@pytest.fixture
def public_binary():
    """The binary where everybody can run it: the build may stand in a folder that is ours alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield shutil.copy(WAYBILL, folder)


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
