"""talk against servers that lie, stutter, stop and vanish: one clear line each, exit 1, little memory."""

import contextlib
import hashlib
import os
import re
import select
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, WAYBILL, sanitizer, wait_exit, wait_readable
from plain import reset
from scripted import Scripted, assert_failed, framed, head_of, says, uri_of

EXEC = ["exec-length", "exec-header"]
MEMORY_BYTES_MAX = 60 << 20


@pytest.fixture
def talk(waybill):
    """talk(uri, input, *options) runs to its end."""

    def run(uri, given=b"", *arguments, **options):
        return waybill("talk", *arguments, uri, input=given, **options)

    return run


NESTED = b'{"a":' * 2000 + b"1" + b"}" * 2000
DIGITS = b'{"filename":"x","total_size":' + b"9" * 51 + b',"md5":"x"}'

BAD_REPLIES = {
    "length -1": ("exec-length", b"\xff\xff\xff\xff", r"bad reply: length: -1 .*\(offset 0\)"),
    "header length -1": ("exec-header", b"\xff\xff\xff\xff", r"bad reply: length: -1 .*\(offset 0\)"),
    "header length 0": ("exec-header", bytes(4), r"bad reply: length: .* 0 bytes, not of 2 to 16384"),
    "header length 1": ("exec-header", b"\1\0\0\0{", r"bad reply: length: .* 1 bytes, not of 2 to 16384"),
    "header length 16385": ("exec-header", b"\1\x40\0\0", r"16385 bytes, not of 2 to 16384"),
    "header length 0x7fffffff": ("exec-header", b"\xff\xff\xff\x7f{}", r"2147483647 bytes, not of 2"),
    "1 MiB of nesting": ("exec-header", framed(b"[" * (1 << 20)), r"1048576 bytes, not of 2 to 16384"),
    "nesting": ("exec-header", framed(NESTED), r"bad reply: header: .*\(offset \d+\)"),
    "not UTF-8": ("exec-header", framed(b'{"filename":"\xff\xfe"}'), r"bad reply: header: .*\(offset 17\)"),
    "not an object": ("exec-header", framed(b"[1,2,3]"), r"bad reply: header: .*\(offset 4\)"),
    "not JSON": ("exec-header", framed(b"GET / HTTP/1.1"), r"bad reply: header: .*\(offset 4\)"),
    "duplicate keys": ("exec-header", framed(b'{"filename":"x","total_size":1,"total_size":2}'),
                       r"bad reply: header: .*total_size.*\(offset \d+\)"),
    "negative": ("exec-header", framed(head_of(b"", total_size=-1)), r"bad reply: header: total_size: "),
    "fractional": ("exec-header", framed(head_of(b"", total_size=1.5)), r"bad reply: header: total_size: "),
    "exponent": ("exec-header", framed(b'{"filename":"x","total_size":1e3}'), r"header: total_size: "),
    "51 digits": ("exec-header", framed(DIGITS), r"bad reply: header: total_size: "),
    "2^53": ("exec-header", framed(head_of(b"", total_size=1 << 53)), r"bad reply: header: total_size: "),
    "text": ("exec-header", framed(head_of(b"", total_size="1")), r"bad reply: header: total_size: "),
    "no total_size": ("exec-header", framed(head_of(b"", total_size=None)), r"header: total_size: .*missing|missing.*total_size"),
    "filename a number": ("exec-header", framed(head_of(b"", filename=1)), r"header: filename: not text"),
    "filenema a number": ("exec-header", framed(head_of(b"", filename=None, filenema=1)), r"header: filenema: not text"),
    "md5 a number": ("exec-header", framed(head_of(b"", md5=1)), r"header: md5: not text"),
    "empty object": ("exec-header", framed(b"{}"), r"header: total_size: .*missing|missing.*total_size"),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_bad_replies(talk, name):
    service, reply, pattern = BAD_REPLIES[name]
    with Scripted(says(reply)) as server:
        ended = talk(uri_of(service, server), b"command\n")
    assert_failed(ended, pattern)
    assert ended.stdout == b""


def test_wrong_md5(talk):
    payload = b"what was sent"
    with Scripted(says(framed(head_of(payload, md5="0" * 32), payload))) as server:
        ended = talk(uri_of("exec-header", server), b"command\n")
    assert_failed(ended, f"bad reply: md5: .*{'0' * 32}.*{hashlib.md5(payload).hexdigest()}")
    assert ended.stdout == payload


@pytest.mark.parametrize("changes", [
    {"md5": hashlib.md5(b"payload").hexdigest().upper()},
    {"md5": "any text"},
    {"md5": "x" * 5000},
    {"md5": "f" * 31},
    {"md5": None},
    {"filename": None, "filenema": "x" * 9000},
    {"filename": None},
    {"extra": [1, {"deep": None}]},
])
def test_headers_that_are_taken(talk, changes):
    with Scripted(says(framed(head_of(b"payload", **changes), b"payload"))) as server:
        ended = talk(uri_of("exec-header", server), b"command\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"payload", b"")


@pytest.mark.parametrize("service, head", [("exec-length", bytes(4)), ("exec-header", framed(head_of(b"")))])
def test_nothing_is_an_answer(talk, service, head):
    with Scripted(says(head)) as server:
        ended = talk(uri_of(service, server), b"command\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@pytest.mark.parametrize("service, reply, pattern", [
    ("exec-length", b"", r"closed it after 0 of 4 bytes of the length"),
    ("exec-length", b"\1\0", r"closed it after 2 of 4 bytes of the length"),
    ("exec-length", b"\x2c\1\0\0twelve bytes", r"closed it after 12 of 300 bytes of the output"),
    ("exec-length", b"\xff\xff\xff\x7ften bytes!", r"closed it after 10 of 2147483647 bytes of the output"),
    ("exec-header", b"\x2c\1\0\0{", r"closed it after 1 of 300 bytes of the header"),
    ("exec-header", framed(head_of(b"payload"), b"pay"), r"closed it after 3 of 7 bytes of the output"),
    ("upper", b"COM", r"closed it after 3 of 7 bytes of the reply"),
])
def test_cut_replies(talk, service, reply, pattern):
    with Scripted(says(reply, until_closed=False)) as server:
        assert_failed(talk(uri_of(service, server), b"command\n"), f"connection lost: .*{pattern}")


def test_a_reset_in_mid_reply(talk):
    def script(connection):
        connection.recv(100)
        connection.sendall(b"\x2c\1\0\0twelve bytes")
        reset(connection)

    with Scripted(script) as server:
        ended = talk(uri_of("exec-length", server), b"command\n")
    assert_failed(ended, r"connection lost: Connection reset by peer after \d+ of \d+ bytes of the ")


@pytest.mark.parametrize("service, reply, pattern", [
    ("exec-length", b"\1\0", r"within 0.2 s after 2 of 4 bytes of the length"),
    ("exec-header", b"\1", r"within 0.2 s after 1 of 4 bytes of the length"),
    ("exec-header", b"\x2c\1\0\0{\"file", r"within 0.2 s after 6 of 300 bytes of the header"),
    ("upper", b"COM", r"within 0.2 s after 3 of 7 bytes of the reply"),
])
def test_half_a_reply_and_then_silence(talk, service, reply, pattern):
    with Scripted(says(reply)) as server:
        assert_failed(talk(uri_of(service, server), b"command\n", "--timeout", "200ms"), pattern)


def test_a_command_may_run_longer_than_the_timeout(daemon, environment, tmp_path):
    """No deadline runs before a reply begins."""
    running = daemon("--listen", "exec-header+tcp://127.0.0.1:0")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    process = subprocess.Popen([WAYBILL, "talk", "--timeout", "10ms", running.uri], env=environment,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(f"cat {gate}".encode())
    process.stdin.close()
    with gate.open("wb") as opened:  # the command runs from here on
        poller = select.poll()
        poller.register(process.stdout, select.POLLIN)
        assert not poller.poll(200), "talk did not wait"
        opened.write(b"open")
    assert process.stdout.read() == b"open"
    assert wait_exit(process) == 0
    process.stdout.close()


@pytest.mark.parametrize("service", EXEC)
def test_a_flood_of_single_bytes(talk, service):
    payload = bytes(range(256)) * 4
    reply = framed(head_of(payload), payload) if service == "exec-header" else framed(payload)

    def script(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(100)
        for byte in reply:
            connection.sendall(bytes([byte]))
        connection.recv(1)

    with Scripted(script) as server:
        ended = talk(uri_of(service, server), b"command\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, payload, b"")


def test_more_than_was_asked_for(talk):
    with Scripted(says(b"COMMAND AND MORE")) as server:
        ended = talk(uri_of("upper", server), b"command\n")
    assert_failed(ended, "bad reply: more than the 7 bytes that were sent")


@pytest.mark.parametrize("service, reply", [("exec-length", framed(b"ok\n") + b"stray"), ("upper", b"ONE")])
def test_bytes_or_an_end_between_two_lines(talk, waybill, service, reply):
    """What came before the second line was sent must not be taken for its reply."""
    closed = service == "upper"
    seen = threading.Event()

    def script(connection):
        connection.recv(100)
        connection.sendall(reply)
        if closed:
            connection.shutdown(socket.SHUT_WR)
        seen.set()
        with contextlib.suppress(ConnectionResetError):
            connection.recv(100)

    with Scripted(script) as server:
        reading, writing = os.pipe()
        process = subprocess.Popen([WAYBILL, "talk", uri_of(service, server)], stdin=reading,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(reading)
        os.write(writing, b"one\n")
        assert seen.wait(EVENT_SECONDS)
        wait_readable(process.stdout)
        os.write(writing, b"two\n")
        os.close(writing)
        output, errors = process.communicate(timeout=EVENT_SECONDS)
    ended = subprocess.CompletedProcess([], process.returncode, output, errors)
    assert_failed(ended, "closed it between two lines" if closed else "bytes that no line has asked for")


def peak_memory_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024


def test_a_claim_of_2_gib_takes_no_memory(environment):
    if sanitizer():
        pytest.skip("memory says nothing with a sanitizer in it")
    sent, looked = threading.Event(), threading.Event()

    def script(connection):
        connection.recv(100)
        connection.sendall(b"\xff\xff\xff\x7f")
        for _ in range(200):
            connection.sendall(bytes(1 << 20))
        sent.set()
        assert looked.wait(EVENT_SECONDS)

    with Scripted(script) as server:
        process = subprocess.Popen([WAYBILL, "talk", uri_of("exec-length", server)], env=environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        process.stdin.write(b"command\n")
        process.stdin.close()
        assert sent.wait(EVENT_SECONDS)
        peak_bytes = peak_memory_bytes(process.pid)
        looked.set()
        text = process.stderr.read().decode()
        assert wait_exit(process) == 1
    process.stderr.close()
    assert f"after {200 << 20} of 2147483647 bytes" in text
    assert peak_bytes < MEMORY_BYTES_MAX


def test_nobody_listens(talk):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert_failed(talk(f"upper+tcp://127.0.0.1:{port}", b"x\n"), f"connect to 127.0.0.1:{port}: Connection refused$")
    assert_failed(talk(f"upper+udp://127.0.0.1:{port}", b"x\n"), "no reply: Connection refused")


def test_a_name_that_is_none(talk):
    assert_failed(talk("upper+tcp://no-such-host.invalid:1", b"x\n"), "no-such-host.invalid")


def test_no_datagram_comes_back(talk):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        ended = talk(f"upper+udp://127.0.0.1:{deaf.getsockname()[1]}", b"x\n", "--timeout=100ms")
    assert_failed(ended, "no reply within 0.1 s")


def test_an_empty_datagram_is_a_reply(talk):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as odd:
        odd.bind(("127.0.0.1", 0))
        odd.settimeout(EVENT_SECONDS)
        thread = threading.Thread(target=lambda: odd.sendto(b"", odd.recvfrom(100)[1]))
        thread.start()
        ended = talk(f"upper+udp://127.0.0.1:{odd.getsockname()[1]}", b"x\n")
        thread.join()
    assert (ended.returncode, ended.stdout) == (0, b"\n")
