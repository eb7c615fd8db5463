"""exec-length and exec-header, seen from an old peer."""

import hashlib
import os
import signal
import socket
import struct
from pathlib import Path

import pytest

from conftest import eventually, sanitizer, wait_readable
from plain import dial, is_closed, read_exactly, read_header_reply, read_length_reply, reset

LENGTH = "exec-length+tcp://127.0.0.1:0"
HEADER = "exec-header+tcp://127.0.0.1:0"


@pytest.fixture
def length(daemon):
    return daemon("--listen", LENGTH)


@pytest.fixture
def header(daemon):
    return daemon("--listen", HEADER)


def ask(running, command):
    with dial(running.address) as connection:
        connection.sendall(command)
        return read_length_reply(connection)


def test_stdout_then_stderr(length):
    assert ask(length, b"echo err >&2; echo out") == b"out\nerr\n"


def test_the_header_says_what_follows(header):
    with dial(header.address) as connection:
        connection.sendall(b"echo err >&2; echo out")
        head, payload = read_header_reply(connection)
    assert payload == b"out\nerr\n"
    assert head == {"filename": "output", "total_size": 8, "md5": hashlib.md5(payload).hexdigest()}


def test_no_output_is_a_reply_too(length, header):
    assert ask(length, b"true") == b""
    with dial(header.address) as connection:
        connection.sendall(b"true")
        head, payload = read_header_reply(connection)
        assert (head["total_size"], head["md5"], payload) == (0, hashlib.md5().hexdigest(), b"")


def test_commands_of_one_connection_run_in_order(length):
    with dial(length.address) as connection:
        for i in range(20):
            connection.sendall(b"echo %d" % i)
            assert read_length_reply(connection) == b"%d\n" % i


def test_a_command_that_begins_with_a_dash_is_a_command(length):
    assert b"-x" in ask(length, b"-x")  # "not found", said by the shell, not an option of it


@pytest.mark.parametrize("size", [1023, 1024, 5000, 65536])
def test_a_long_command_runs_whole(length, size):
    command = b"x=" + b"y" * (size - 13) + b";echo ${#x}"
    assert len(command) == size
    assert ask(length, command) == b"%d\n" % (size - 13)


def test_a_long_command_in_pieces_runs_once(length, tmp_path):
    """No piece of it is a command of its own, the first of exactly 1,024 bytes least of all."""
    marker = tmp_path / "ran"
    command = b"x='%s'; echo ${#x} >> %s" % (b"y" * 30000, str(marker).encode())
    with dial(length.address) as connection:
        for start in range(0, len(command), 1024):
            connection.sendall(command[start:start + 1024])
        assert read_length_reply(connection) == b""
    assert marker.read_text() == "30000\n"


def test_too_long_a_command_is_refused_and_never_run_in_part(length, tmp_path):
    marker = tmp_path / "ran"
    command = b"touch %s\n" % str(marker).encode() + b"#" * 65536 + b"\n" + b"echo more\n" * 1000
    with dial(length.address) as connection:
        connection.sendall(command)
        reply = read_length_reply(connection)
        assert reply.startswith(b"waybill: refused: a command may have at most 65536 bytes")
        assert connection.recv(1) == b""
    assert not marker.exists()
    assert ask(length, b"echo still here") == b"still here\n"


def test_half_close_still_gets_the_reply(length):
    for command in (b"echo short", b"echo long #" + b"x" * 2000):
        with dial(length.address) as connection:
            connection.sendall(command)
            connection.shutdown(socket.SHUT_WR)
            assert read_length_reply(connection).startswith((b"short", b"long"))
            assert connection.recv(1) == b""


def test_a_flood_of_single_bytes_is_answered(length):
    with dial(length.address) as connection:
        for byte in b"\n" * 300:
            connection.send(bytes([byte]))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert ask(length, b"echo fine") == b"fine\n"


@pytest.mark.parametrize("listener", [LENGTH, HEADER])
@pytest.mark.parametrize("attack", [
    b"GET /;touch%20{marker};touch {marker}; HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /;touch {marker}; HTTP/1.0\n\ntouch {marker}\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"touch {marker}\0",
    b"GET /" + b"a" * 3000 + b";touch {marker}; HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03;touch {marker};",  # a TLS hello
])
def test_a_browser_is_not_a_caller(daemon, tmp_path, listener, attack):
    running = daemon("--listen", listener)
    marker = tmp_path / "ran"
    with dial(running.address) as connection:
        connection.sendall(attack.replace(b"{marker}", str(marker).encode()))
        assert is_closed(connection)
    running.stderr.find_all(r"127\.0\.0\.1:\d+: refused: .*(HTTP request|NUL)")
    assert not marker.exists()


def test_http_in_a_later_line_is_no_browser(length):
    assert ask(length, b"echo a\n: HTTP/1.1\n") == b"a\n"


def test_the_command_inherits_nothing(daemon):
    read_end, write_end = os.pipe()
    try:
        running = daemon("--listen", LENGTH, pass_fds=[write_end])
        listing = ask(running, b"ls /proc/self/fd; grep -h Sig /proc/self/status; readlink /proc/self/fd/0")
    finally:
        os.close(read_end)
        os.close(write_end)
    lines = listing.decode().split("\n")
    assert lines[:4] == ["0", "1", "2", "3"]  # 3 is the directory that ls reads
    assert "SigBlk:\t0000000000000000" in lines and "SigIgn:\t0000000000000000" in lines
    assert "/dev/null" in lines


def test_nothing_is_left_behind(length):
    before = length.descriptors()
    for _ in range(50):
        assert ask(length, b"echo x; exit 3") == b"x\n"
    eventually(lambda: len(length.descriptors()) == len(before))
    assert length.children() == []


def test_a_sleeping_command_holds_up_nobody(length):
    with dial(length.address) as sleeper:
        sleeper.sendall(b"exec tail -f /dev/null")
        pid, = eventually(length.children)
        assert ask(length, b"echo awake") == b"awake\n"
        os.kill(pid, signal.SIGTERM)
        assert read_length_reply(sleeper) == b""


def test_a_reset_ends_the_command(length):
    connection = dial(length.address)
    connection.sendall(b"tail -f /dev/null | tail -f /dev/null")
    eventually(length.children)
    reset(connection)
    eventually(lambda: length.children() == [])
    assert ask(length, b"echo fine") == b"fine\n"


def test_a_client_that_closes_ends_its_command(length):
    """Its end of stream looks like a half-close; the kernel knows better."""
    connection = dial(length.address)
    connection.sendall(b"tail -f /dev/null | tail -f /dev/null")
    eventually(length.children)
    connection.close()
    eventually(lambda: length.children() == [])


def test_a_half_closed_client_waits_as_long_as_it_takes(length, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with dial(length.address) as half, dial(length.address) as other:
        half.sendall(b"read x < fifo; echo $x")
        half.shutdown(socket.SHUT_WR)
        eventually(length.children)
        other.sendall(b"timeout 0.1 tail -f /dev/null; echo later")  # longer than the daemon waits before it asks
        assert read_length_reply(other) == b"later\n"
        (tmp_path / "fifo").write_text("done\n")
        assert read_length_reply(half) == b"done\n"


def test_one_that_does_not_read_takes_nobody_elses_room(daemon):
    running = daemon("--listen", LENGTH, "--max-spool", "8M")
    with dial(running.address) as silent:
        silent.sendall(b"head -c 8388608 /dev/zero")
        eventually(lambda: any("deleted" in link for link in running.descriptors().values()))
        wait_readable(silent)
        assert ask(running, b"head -c 65536 /dev/zero") == bytes(65536)
        assert ask(running, b"head -c 9000000 /dev/zero").startswith(
            b"waybill: the command was killed: the outputs of all commands have filled their room of 8388608")
        assert read_length_reply(silent) == bytes(8388608)


def test_a_reset_in_mid_reply_is_survived(length):
    for _ in range(10):
        connection = dial(length.address)
        connection.sendall(b"head -c 20000000 /dev/zero")
        read_exactly(connection, 100000)
        reset(connection)
    assert ask(length, b"echo fine") == b"fine\n"
    eventually(lambda: not any("deleted" in link for link in length.descriptors().values()))


def test_who_holds_the_pipe_is_not_waited_for(length):
    reply = ask(length, b"tail -f /dev/null & echo $!")
    os.kill(int(reply), signal.SIGKILL)  # it survived the end of its command


def test_megabytes_on_both_streams(header, tmp_path):
    command = b"head -c 5000000 /dev/urandom > r; cat r & cat r >&2; wait"
    with dial(header.address) as connection:
        connection.sendall(command)
        head, payload = read_header_reply(connection)
    expected = (tmp_path / "r").read_bytes() * 2
    assert payload == expected
    assert head["md5"] == hashlib.md5(expected).hexdigest()


def test_output_past_the_limit_is_refused(daemon):
    running = daemon("--listen", LENGTH, "--listen", HEADER, "--max-output", "1M")
    with dial(running.address) as connection:
        connection.sendall(b"head -c 1048576 /dev/zero")
        assert read_length_reply(connection) == bytes(1048576)
        connection.sendall(b"yes & yes >&2; echo never")
        assert read_length_reply(connection) == \
            b"waybill: the command was killed: its output passed the limit of 1048576 bytes\n"
        connection.sendall(b"echo goes on")
        assert read_length_reply(connection) == b"goes on\n"
    eventually(lambda: running.children() == [])
    with dial(("127.0.0.1", running.ports[1])) as connection:
        connection.sendall(b"yes")
        head, payload = read_header_reply(connection)
        assert payload.startswith(b"waybill: the command was killed")
        assert head["md5"] == hashlib.md5(payload).hexdigest()


def test_three_gigabytes_are_refused_in_little_memory(length):
    reply = ask(length, b"head -c 3221225472 /dev/zero")
    assert reply == b"waybill: the command was killed: its output passed the limit of 1073741824 bytes\n"
    if not sanitizer():
        status = Path(f"/proc/{length.pid}/status").read_text()
        peak_kb = int(status.split("VmHWM:")[1].split()[0])
        assert peak_kb < 60 * 1024


def test_a_full_disk_is_told(daemon, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m none {folder} 2>/dev/null") != 0:
        pytest.skip("cannot mount a tmpfs here")
    try:
        running = daemon("--listen", LENGTH, "--spool", folder)
        reply = ask(running, b"head -c 3000000 /dev/zero")
        assert reply.startswith(b"waybill: the command was killed: keep output in ")
        assert reply.endswith(b": No space left on device\n")
        assert ask(running, b"echo fine") == b"fine\n"
    finally:
        os.system(f"umount -l {folder}")


def test_too_many_commands_at_once_are_told(daemon):
    running = daemon("--listen", LENGTH, "--max-commands", "2")
    sleepers = [dial(running.address) for _ in range(2)]
    for sleeper in sleepers:
        sleeper.sendall(b"exec tail -f /dev/null")
    eventually(lambda: len(running.children()) == 2)
    assert ask(running, b"echo no").startswith(b"waybill: the command did not start: ")
    for sleeper in sleepers:
        reset(sleeper)
    eventually(lambda: running.children() == [])
    assert ask(running, b"echo yes") == b"yes\n"


def test_two_short_commands_stick(length):
    """What the plain protocol cannot cure, and the docs say."""
    with dial(length.address) as connection:
        connection.sendall(b"echo 1;")
        connection.sendall(b"echo 2\n")
        size, = struct.unpack("<i", read_exactly(connection, 4))
        assert size in (2, 4)
