"""talk from a pipe: against the daemon, and against a server of twenty lines."""

import contextlib
import json
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, PYTHON, WAYBILL, wait_exit, wait_readable
from scripted import Scripted, assert_failed, framed, says, uri_of

HERE = Path(__file__).resolve().parent
EXEC = ["exec-length", "exec-header"]
COMMAND_BYTES_MAX = 65536
DATAGRAM_BYTES_MAX = 65507


@pytest.fixture
def talk(waybill):
    """talk(uri, input, *options) runs to its end."""

    def run(uri, given=b"", *arguments, **options):
        return waybill("talk", *arguments, uri, input=given, **options)

    return run


# --- the daemon -------------------------------------------------------------------------------------


def test_upper_over_tcp(daemon, talk):
    running = daemon("--listen", "upper+tcp://127.0.0.1:0")
    ended = talk(running.uri, "one\n\n\nzwei ä 你好\nlast without a newline".encode())
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode() == "ONE\nZWEI ä 你好\nLAST WITHOUT A NEWLINE\n"


def test_upper_takes_every_byte_but_newline(daemon, talk):
    line = bytes(byte for byte in range(256) if byte != 10)
    ended = talk(daemon("--listen", "upper+tcp://127.0.0.1:0").uri, line + b"\n")
    assert ended.stdout == line.upper() + b"\n"


@pytest.mark.parametrize("size", [65535, 65536, 65537, 65538, 2 * 65537, 8 << 20])
def test_upper_takes_a_line_of_any_length(daemon, talk, size):
    ended = talk(daemon("--listen", "upper+tcp://127.0.0.1:0").uri, b"x" * size + b"\ny\n")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == b"X" * size + b"\nY\n"


def test_upper_over_udp(daemon, talk):
    running = daemon("--listen", "upper+udp://127.0.0.1:0")
    ended = talk(running.uri, b"one\ntwo\nthree\n" + b"x" * DATAGRAM_BYTES_MAX)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == b"ONE\nTWO\nTHREE\n" + b"X" * DATAGRAM_BYTES_MAX + b"\n"


def test_a_datagram_that_cannot_be(daemon, talk):
    running = daemon("--listen", "upper+udp://127.0.0.1:0")
    ended = talk(running.uri, b"one\n" + b"x" * (DATAGRAM_BYTES_MAX + 1) + b"\ntwo\n")
    assert_failed(ended, str(DATAGRAM_BYTES_MAX), code=2)
    assert ended.stdout == b"ONE\n"


@pytest.mark.parametrize("service", EXEC)
def test_exec(daemon, talk, service):
    running = daemon("--listen", f"{service}+tcp://127.0.0.1:0")
    ended = talk(running.uri, b"echo one\n\nprintf two; echo three >&2\ntrue\nexit 3\nprintf end")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == b"one\ntwothree\nend"


@pytest.mark.parametrize("service", EXEC)
def test_exec_output_is_exact(daemon, talk, service):
    running = daemon("--listen", f"{service}+tcp://127.0.0.1:0")
    ended = talk(running.uri, b"head -c 5000000 /dev/zero; printf '\\033\\377\\r'")
    assert ended.returncode == 0
    assert ended.stdout == bytes(5000000) + b"\x1b\xff\r"


@pytest.mark.parametrize("service", EXEC)
def test_the_longest_command(daemon, talk, service):
    running = daemon("--listen", f"{service}+tcp://127.0.0.1:0")
    whole = b"echo ok #".ljust(COMMAND_BYTES_MAX, b"x")
    ended = talk(running.uri, whole + b"\n" + whole + b"x\n")
    assert_failed(ended, str(COMMAND_BYTES_MAX), code=2)
    assert ended.stdout == b"ok\n"


def test_verbose_shows_the_frame(daemon, talk):
    ended = talk(daemon("--listen", "exec-header+tcp://127.0.0.1:0").uri, b"echo hi", "--verbose")
    assert ended.stdout == b"hi\n"
    lines = ended.stderr.decode().splitlines()
    assert lines[0] == "length, 4 bytes:"
    length = struct.unpack("<i", bytes.fromhex(lines[1].strip()[:11]))[0]
    assert lines[2] == f"header, {length} bytes:"
    header = bytes.fromhex("".join(line[2:49] for line in lines[3:]))
    assert json.loads(header)["total_size"] == 3


@pytest.mark.parametrize("service", ["upper+tcp", "upper+udp", "exec-length+tcp", "exec-header+tcp"])
def test_ipv6(daemon, talk, service):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    line, reply = (b"abc", b"ABC\n") if "upper" in service else (b"echo abc", b"abc\n")
    assert talk(daemon("--listen", f"{service}://[::1]:0").uri, line).stdout == reply


# --- twenty lines -----------------------------------------------------------------------------------


def count_code_lines(path):
    """Lines of code: without the opening comment, imports and empty lines."""
    source = path.read_text(encoding="utf-8").split('"""', 2)[2]
    return sum(bool(line.strip()) and not line.startswith("import") for line in source.splitlines())


@pytest.mark.parametrize("name", ["twenty_line_client.py", "twenty_line_server.py"])
def test_twenty_lines_are_twenty_lines(name):
    assert count_code_lines(HERE / name) <= 20


@pytest.mark.parametrize("service", EXEC)
def test_a_client_of_twenty_lines(daemon, service):
    running = daemon("--listen", f"{service}+tcp://127.0.0.1:0")
    command = [PYTHON, HERE / "twenty_line_client.py", service, str(running.port)]
    ended = subprocess.run([*command, "echo one", "seq 100000 | tail -1", "echo three >&2", "true"],
                           capture_output=True, check=False, timeout=EVENT_SECONDS)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == b"one\n100000\nthree\n"


@contextlib.contextmanager
def twenty_line_server(*arguments):
    """Yields its port."""
    process = subprocess.Popen([PYTHON, HERE / "twenty_line_server.py", *arguments], stdout=subprocess.PIPE)
    try:
        wait_readable(process.stdout)
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        wait_exit(process)
        process.stdout.close()


@pytest.mark.parametrize("arguments", [
    ["exec-length", "-", "-"],
    ["exec-header", "filename", "real"],
    ["exec-header", "filenema", "real"],
    ["exec-header", "filenema", "any text"],
])
def test_a_server_of_twenty_lines(talk, arguments):
    with twenty_line_server(*arguments) as port:
        uri = f"{arguments[0]}+tcp://127.0.0.1:{port}"
        for _ in range(2):
            ended = talk(uri, b"echo one\nseq 100000 | tail -1\necho three >&2\ntrue\n")
            assert (ended.returncode, ended.stderr) == (0, b"")
            assert ended.stdout == b"one\n100000\nthree\n"


# --- the pipe ---------------------------------------------------------------------------------------


def test_nobody_reads_the_output(daemon, environment):
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0")
    process = subprocess.Popen([WAYBILL, "talk", running.uri], env=environment, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    process.stdin.write(b"seq 100000\n" * 2)
    process.stdin.close()
    assert wait_exit(process) == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_full_disk(daemon, talk):
    running = daemon("--listen", "exec-length+tcp://127.0.0.1:0")
    with open("/dev/full", "wb") as full:
        ended = talk(running.uri, b"echo x\n", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert_failed(ended, "stdout: No space left on device")


@pytest.mark.parametrize("closed, reply, code", [
    ("<&-", b"", 0),
    (">&-", framed(b"echo evil\n"), 0),
    ("2>&-", b"\xff\xff\xff\xff", 1),
    ("<&- >&- 2>&-", b"", 0),
])
def test_no_output_goes_back_to_the_server(environment, closed, reply, code):
    """A socket must not become stdin, stdout or stderr where the program was started without."""
    heard = []

    def script(connection):
        if connection.recv(100):
            connection.sendall(reply)
        heard.append(connection.recv(100))

    with Scripted(script) as server:
        ended = subprocess.run(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", WAYBILL, "talk",
                                uri_of("exec-length", server)], input=b"command\n", env=environment,
                               capture_output=True, check=False, timeout=EVENT_SECONDS)
    assert heard == [b""]
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"", b"")


def test_interrupt_while_a_reply_is_awaited(environment):
    asked = threading.Event()

    def script(connection):
        connection.recv(100)
        asked.set()
        connection.recv(100)

    with Scripted(script) as server:
        process = subprocess.Popen([WAYBILL, "talk", uri_of("exec-length", server)], env=environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(b"command\n")
        process.stdin.flush()
        assert asked.wait(EVENT_SECONDS)
        process.send_signal(signal.SIGINT)
        assert wait_exit(process) == 128 + signal.SIGINT
    process.stdin.close()
    process.stdout.close()


# --- character sets ---------------------------------------------------------------------------------


def test_gbk_in_both_directions(talk):
    heard = []

    def script(connection):
        heard.append(connection.recv(100))
        reply = "你好，世界\n".encode("gbk")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(reply):  # every character is cut in two
            connection.sendall(bytes([byte]))
        connection.recv(1)

    with Scripted(script) as server:
        ended = talk(uri_of("exec-length", server), "echo 你好".encode(), "--encoding", "gbk")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode() == "你好，世界\n"
    assert heard == ["echo 你好".encode("gbk")]


def test_what_cannot_be_decoded_is_shown(talk):
    with Scripted(says(framed("好".encode("gbk") + b"\xff!\x81"))) as server:
        ended = talk(uri_of("exec-length", server), b"x", "-e", "gbk")
    assert ended.stdout.decode() == r"好\xFF!\x81"


def test_what_cannot_be_encoded_is_not_sent(talk):
    def script(connection):
        assert connection.recv(100) == b""

    with Scripted(script) as server:
        ended = talk(uri_of("exec-length", server), "€ und ☃".encode(), "-e", "latin1")
    assert_failed(ended, "line: .*latin1", code=2)


def test_a_long_line_in_another_character_set(daemon, talk):
    """Characters are cut between the pieces of a long line."""
    line = "你a" * 100000
    ended = talk(daemon("--listen", "upper+tcp://127.0.0.1:0").uri, line.encode(), "-e", "utf-16le")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode() == "你A" * 100000 + "\n"
