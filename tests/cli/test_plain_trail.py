"""The audit trail of plain services: who came, what was run, and what became of it."""

import os
import re

import pytest

from conftest import eventually
from plain import dial, is_closed, read_header_reply, read_length_reply, reset
from test_authorized import events

ME = f"uid:{os.getuid()}"


@pytest.fixture(name="length")
def fixture_length(daemon):
    return daemon("--log", "json", "--listen", "exec-length+tcp://127.0.0.1:0")


def told(running, event, count=1):
    """So many events of that kind, once they are all there; without their time."""
    found = []

    def are_there():
        found[:] = [{name: value for name, value in line.items() if name != "time"} for line in events(running)
                    if line["event"] == event]
        return len(found) >= count

    eventually(are_there)
    assert len(found) == count, found
    return found


def ask(running, command):
    with dial(running.address) as connection:
        port = connection.getsockname()[1]
        connection.sendall(command)
        return read_length_reply(connection), port


def test_a_connection_a_call_and_its_outcome(length):
    _, port = ask(length, b"echo \x1b[31m\\n; exit 3")
    assert told(length, "connection") == [
        {"event": "connection", "connection": 1, "who": ME, "from": f"127.0.0.1:{port}", "at": length.uri}]
    assert told(length, "call") == [
        {"event": "call", "connection": 1, "who": ME, "call": 1, "service": "exec-length",
         "what": "echo \\x1B[31m\\\\n; exit 3"}]
    assert told(length, "outcome") == [
        {"event": "outcome", "connection": 1, "who": ME, "call": 1, "outcome": "exited", "detail": "3"}]


def test_each_command_of_a_connection(length):
    with dial(length.address) as connection:
        for command in (b"true", b"kill -KILL $$", b"x=" + b"y" * 5000):
            connection.sendall(command)
            read_length_reply(connection)
    ask(length, b"false")
    assert [(line["connection"], line["call"]) for line in told(length, "call", 4)] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert [line["what"] for line in told(length, "call", 4)[:2]] == ["true", "kill -KILL $$"]
    shown = told(length, "call", 4)[2]["what"]
    assert shown.startswith("x=yyy") and shown.endswith("…") and len(shown.encode()) < 256
    assert [(line["outcome"], line["detail"]) for line in told(length, "outcome", 4)] == [
        ("exited", "0"), ("signaled", "KILL"), ("exited", "0"), ("exited", "1")]


def test_who_goes_first_drops_the_call(length):
    connection = dial(length.address)
    connection.sendall(b"exec tail -f /dev/null")
    eventually(length.children)
    reset(connection)
    assert told(length, "outcome") == [
        {"event": "outcome", "connection": 1, "who": ME, "call": 1, "outcome": "dropped"}]


def test_what_is_no_command_is_refused(length):
    with dial(length.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_closed(connection)
    with dial(length.address) as connection:
        connection.sendall(b"x" * 65537)
        read_length_reply(connection)
    refused = told(length, "refused", 2)
    assert [(line["connection"], line["who"], line["code"]) for line in refused] == [
        (1, ME, "no-command"), (2, ME, "limit")]
    assert all(line["from"].startswith("127.0.0.1:") and line["text"].startswith("refused: ") for line in refused)
    told(length, "call", 0)


def test_what_did_not_start_and_what_was_killed(daemon):
    running = daemon("--log", "json", "--listen", "exec-header+tcp://127.0.0.1:0", "--max-commands", "1",
                     "--max-output", "1000")
    with dial(running.address) as sleeper, dial(running.address) as other:
        sleeper.sendall(b"read x < /dev/null; exec tail -f /dev/null")
        eventually(running.children)
        other.sendall(b"true")
        assert b"did not start" in read_header_reply(other)[1]
        assert [(line["connection"], line["outcome"], line["detail"]) for line in told(running, "outcome")] == [
            (2, "refused", "limit")]
    told(running, "outcome", 2)
    eventually(lambda: running.children() == [])
    with dial(running.address) as connection:
        connection.sendall(b"head -c 5000 /dev/zero")
        assert b"killed" in read_header_reply(connection)[1]
    last = told(running, "outcome", 3)[2]
    assert (last["connection"], last["outcome"], last["detail"]) == (3, "failed", "limit")


def test_upper_tells_who_came(daemon):
    running = daemon("--log", "json", "--listen", "upper+tcp://127.0.0.1:0")
    with dial(running.address) as connection:
        connection.sendall(b"secret")
        assert connection.recv(100) == b"SECRET"
        assert [(line["connection"], line["who"]) for line in told(running, "connection")] == [(1, ME)]
    assert not any("secret" in line.casefold() for line in running.stderr.text.splitlines())


def test_in_text(daemon):
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0")
    _, port = ask(running, b"echo \x1b; exit 3")
    running.stderr.find_all(rf"^waybill serve: {re.escape(running.uri)}: connection 1: {ME} from 127\.0\.0\.1:{port}$")
    running.stderr.find_all(r"^waybill serve: connection 1: call 1: exec-length echo \\x1B; exit 3$")
    running.stderr.find_all(r"^waybill serve: connection 1: call 1: exited 3$")
