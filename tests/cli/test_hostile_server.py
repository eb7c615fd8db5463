"""Daemons that keep no rule. Whatever one says, `waybill exec` ends with 255 and one line that says why, unless
all of a command's output and its outcome came, and agree: there is no success without proof."""

import hashlib
import json
import re
import socket
import struct
import subprocess
import threading

import pytest

from conftest import WAYBILL, sanitizer
from parcels import Parcels
from scripted import Scripted

OUTPUT = b"the quick brown fox\n"
BIG = 2**53 - 1
WELCOME = {"op": "welcome", "waybill": 1, "instance": "01" * 16, "born": 1, "resumed": False,
           "services": ["exec"], "digest": "sha256", "hold_ms": 1000}
OPENED = {"op": "opened", "id": 1, "job": 1, "pid": 2, "pty": False}
DATA = {"op": "data", "id": 1, "stream": 1, "offset": 0, "total_size": len(OUTPUT)}
EOF_1 = {"op": "eof", "id": 1, "stream": 1, "from": 0, "offset": len(OUTPUT),
         "digest": hashlib.sha256(OUTPUT).hexdigest()}
EOF_2 = {"op": "eof", "id": 1, "stream": 2, "from": 0, "offset": 0}
EXIT = {"op": "exit", "id": 1, "outcome": "exited", "code": 0, "bytes": {"1": len(OUTPUT), "2": 0}}
GOOD = [(WELCOME, b""), (OPENED, b""), (DATA, OUTPUT), (EOF_1, b""), (EOF_2, b""), (EXIT, b"")]


def framed(header, payload=b""):
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + payload


def without(header, *names):
    return {name: header[name] for name in header if name not in names}


@pytest.fixture
def run(waybill):
    """run(bytes) answers `exec` with just that: the first parcel its hello, the rest its open. Closes when it
    has left or (hang_up) at once. A CompletedProcess."""

    def exec_against(answer, *options, hang_up=False):
        first = 4 + int.from_bytes(answer[:4], "little")

        def script(connection):
            with Parcels(connection) as peer:
                try:
                    peer.hear_until("hello")
                    connection.sendall(answer[:first])
                    if len(answer) > first:
                        peer.hear_until("open")
                        connection.sendall(answer[first:])
                    if hang_up:
                        connection.shutdown(socket.SHUT_WR)
                    peer.hear_all()
                except (EOFError, BrokenPipeError, ConnectionResetError):
                    pass

        with Scripted(script) as server:
            return waybill("exec", "-n", "--retry", "0", *options, f"tcp://127.0.0.1:{server.port}", "--", "x")

    return exec_against


def assert_not_brought(done):
    assert done.returncode == 255, (done.returncode, done.stdout)
    text = done.stderr.decode()
    assert len(text.splitlines()) == 1, text
    assert text.startswith("waybill exec: ") and text.endswith("\n")
    assert text[:-1].isprintable(), text


def test_the_good_one(run):
    done = run(b"".join(framed(*parcel) for parcel in GOOD))
    assert (done.returncode, done.stdout, done.stderr) == (0, OUTPUT, b"")


def test_cut_at_every_byte(run):
    """Of a conversation that would be a success, less than all of it is none."""
    whole = b"".join(framed(*parcel) for parcel in GOOD)
    step = 17 if sanitizer() else 5
    for end in [*range(0, len(whole), step), len(whole) - 1]:
        assert_not_brought(run(whole[:end], hang_up=True))


def test_every_byte_changed(run):
    """What came is not what was sent: never a success with other output."""
    whole = b"".join(framed(*parcel) for parcel in GOOD)
    begin = len(framed(*GOOD[0]))
    for at in range(begin, len(whole), 23 if sanitizer() else 7):
        done = run(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:], hang_up=True)
        assert done.returncode != 0 or done.stdout == OUTPUT, (at, whole[at - 20:at + 20])


# What one of the parcels of a good conversation is replaced with, by its place.
BAD = {
    "no eof": (3, None),
    "no eof of a stream without bytes": (4, None),
    "another digest": (3, {**EOF_1, "digest": "00" * 32}),
    "the digest of another kind": (3, {**EOF_1, "digest": "00" * 16}),
    "no digest": (3, without(EOF_1, "digest")),
    "eof too early": (3, {**EOF_1, "offset": len(OUTPUT) - 1}),
    "eof from elsewhere": (3, {**EOF_1, "from": 1}),
    "fewer bytes": (5, {**EXIT, "bytes": {"1": len(OUTPUT) - 1, "2": 0}}),
    "more bytes": (5, {**EXIT, "bytes": {"1": len(OUTPUT), "2": 1}}),
    "no bytes": (5, without(EXIT, "bytes")),
    "bytes of one stream": (5, {**EXIT, "bytes": {"1": len(OUTPUT)}}),
    "bytes in text": (5, {**EXIT, "bytes": {"1": str(len(OUTPUT)), "2": 0}}),
    "a list of bytes": (5, {**EXIT, "bytes": []}),
    "no code": (5, without(EXIT, "code")),
    "code 256": (5, {**EXIT, "code": 256}),
    "code 2^32": (5, {**EXIT, "code": 2**32}),
    "code true": (5, {**EXIT, "code": True}),
    "an outcome nobody knows": (5, {**EXIT, "outcome": "triumph"}),
    "lost": (5, {**EXIT, "outcome": "lost"}),
    "signal 0": (5, {**EXIT, "outcome": "signaled", "signal": "0"}),
    "signal 1000": (5, {**EXIT, "outcome": "signaled", "signal": "1000"}),
    "no signal": (5, {**EXIT, "outcome": "signaled"}),
    "refused with code 0": (5, {**EXIT, "outcome": "refused"}),
    "failed with code 0": (5, {**EXIT, "outcome": "failed"}),
    "failed with code 256": (5, {**EXIT, "outcome": "failed", "code": 256}),
    "gone": (5, {"op": "gone", "id": 1}),
    "bye": (5, {"op": "bye"}),
    "of another call": (5, {**EXIT, "id": 2}),
    "of no call": (5, {**EXIT, "id": 0}),
    "no opened": (1, None),
    "opened far away": (1, {**OPENED, "from": {"1": BIG}}),
    "opened elsewhere": (1, {**OPENED, "from": {"1": 5}}),
    "opened from nothing": (1, {**OPENED, "from": []}),
    "a gap": (2, {**DATA, "offset": 1}),
    "far away": (2, {**DATA, "offset": BIG}),
    "data of stdin": (2, {**DATA, "stream": 0}),
    "data of stream 15": (2, {**DATA, "stream": 15}),
    "data of call 2": (2, {**DATA, "id": 2}),
    "too much": (2, {**DATA, "total_size": 2**40}),
    "a have": (2, {"op": "have", "id": 1, "stream": 1, "offset": 0}),
    "an open": (2, {"op": "open", "id": 2, "service": "exec"}),
    "a second welcome": (2, WELCOME),
    "another version": (0, {**WELCOME, "waybill": 2}),
    "an unknown digest": (0, {**WELCOME, "digest": "crc32"}),
    "no instance": (0, without(WELCOME, "instance")),
    "a short instance": (0, {**WELCOME, "instance": "01"}),
    "no calls": (0, {**WELCOME, "limits": {"calls": 0}}),
    "no welcome": (0, None),
    "crit": (0, {**WELCOME, "crit": ["novel"], "novel": 1}),
    "full": (0, {"op": "error", "code": "full", "text": "no room", "retry": True}),
    "an error in colours": (0, {"op": "error", "code": "\x1b[31m", "text": "\x1b]0;title\x07\r\n\x9b31m\u202egnp"}),
    "an error without text": (0, {"op": "error"}),
    "an error that is long": (0, {"op": "error", "code": "c" * 31, "text": "t" * 8000}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(run, name):
    place, replacement = BAD[name]
    parcels = [list(parcel) for parcel in GOOD]
    if replacement is None:
        del parcels[place]
    else:
        parcels[place][0] = replacement
        if "total_size" not in replacement:
            parcels[place][1] = b""
    assert_not_brought(run(b"".join(framed(*parcel) for parcel in parcels), hang_up=True))


def test_an_outcome_in_colours(run, tmp_path):
    """A text of the daemon's reaches a terminal and --result escaped."""
    told = {**EXIT, "outcome": "refused", "error": "\x1b[2J", "text": "one\ntwo\x1b]0;x\x07\x00"}
    done = run(framed(WELCOME) + framed(OPENED) + framed(told), "--result", "r")
    assert_not_brought(done)
    assert (tmp_path / "r").read_bytes().count(b"\n") == 1


def test_beyond_the_window(run):
    """A daemon that sends without credit is not listened to any more, and nothing is kept."""
    done = run(framed(WELCOME) + framed(OPENED) + b"".join(
        framed({**DATA, "offset": at, "total_size": 65536}, b"x" * 65536) for at in range(0, 4 << 20, 65536)))
    # stdout is read, so credit was given for what it took; without any consumed, at most a window.
    assert done.returncode == 255 and len(done.stdout) <= 4 << 20


def test_credit_for_input_that_was_not_sent(environment):
    """What has not left cannot have been consumed. (It would be read from where it no longer lies.)"""
    size = 1 << 20

    def script(connection):
        connection.setsockopt(6, 10, 1)  # TCP_WINDOW_CLAMP: little leaves the client
        with Parcels(connection) as peer:
            opened, _ = peer.hear_until("hello")
            connection.sendall(framed(WELCOME))
            opened, _ = peer.hear_until("open")
            connection.sendall(framed({**OPENED, "window": 8 << 20}))
            for offset in range(16384, size, 16384):
                peer.say("credit", id=opened["id"], stream=0, offset=offset, limit=8 << 20)
            heard = peer.hear_all()
            assert heard[-1][0]["op"] == "error", heard[-1][0]
            assert b"".join(payload for header, payload in heard if header["op"] == "data").strip(b"y") == b""

    with Scripted(script) as server:
        with subprocess.Popen([WAYBILL, "exec", "--retry", "0", f"tcp://127.0.0.1:{server.port}", "--", "x"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment) as process:
            feeder = threading.Thread(target=feed, args=(process, b"y" * size))
            feeder.start()
            assert process.wait(20) == 255, process.stderr.read()
            feeder.join()


def feed(process, data):
    try:
        process.stdin.write(data)
        process.stdin.close()
    except BrokenPipeError:
        pass


FLOODS = {"ping": {"op": "ping", "n": 1}, "unknown": {"op": "novel"}, "gone": {"op": "gone", "id": 7},
          "have": {"op": "have", "id": 1, "signal": 0}, "opened": OPENED}


@pytest.mark.parametrize("name", FLOODS)
def test_flood(run, name):
    """In the midst of a good conversation it only takes its time."""
    parcel = framed(FLOODS[name]) * 5000
    if name == "gone":  # of a call that never was
        assert_not_brought(run(framed(WELCOME) + parcel))
        return
    done = run(framed(WELCOME) + framed(OPENED) + parcel + b"".join(framed(*rest) for rest in GOOD[2:]))
    assert (done.returncode, done.stdout, done.stderr) == (0, OUTPUT, b"")


def test_not_a_daemon(run):
    for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", bytes(100), b"\xff" * 100):
        done = run(answer, hang_up=True)
        assert_not_brought(done)
        assert re.search(rb"bad answer", done.stderr), done.stderr
