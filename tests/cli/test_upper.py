"""upper over TCP and UDP."""

import socket

import pytest

from plain import dial, read_exactly, reset

ASCII_BYTES = bytes(range(256))
ASCII_UPPER = bytes(b - 32 if 0x61 <= b <= 0x7A else b for b in range(256))


def test_every_byte(daemon):
    with dial(daemon("--listen", "upper+tcp://127.0.0.1:0").address) as connection:
        connection.sendall(ASCII_BYTES)
        assert read_exactly(connection, 256) == ASCII_UPPER


@pytest.mark.parametrize("encoding", ["utf-8", "gb2312"])
def test_text_beyond_ascii_survives(daemon, encoding):
    text = "粘包 sticky 你好"
    with dial(daemon("--listen", "upper+tcp://127.0.0.1:0").address) as connection:
        sent = text.encode(encoding)
        connection.sendall(sent)
        assert read_exactly(connection, len(sent)).decode(encoding) == "粘包 STICKY 你好"


def test_a_slow_reader_gets_everything_and_holds_up_nobody(daemon):
    running = daemon("--listen", "upper+tcp://127.0.0.1:0")
    with dial(running.address) as slow, dial(running.address) as quick:
        slow.setblocking(False)
        sent = 0
        while True:  # until the kernel's buffers on both sides are full
            try:
                sent += slow.send(b"abcdefgh" * 8192)
            except BlockingIOError:
                quick.sendall(b"through")
                assert read_exactly(quick, 7) == b"THROUGH"
                break
        slow.settimeout(20)
        assert read_exactly(slow, sent) == (b"ABCDEFGH" * (sent // 8 + 1))[:sent]


def test_half_close_still_gets_the_reply(daemon):
    with dial(daemon("--listen", "upper+tcp://127.0.0.1:0").address) as connection:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        assert read_exactly(connection, 3) == b"BYE"
        assert connection.recv(1) == b""


def test_a_flood_of_single_bytes(daemon):
    running = daemon("--listen", "upper+tcp://127.0.0.1:0")
    with dial(running.address) as connection:
        for _ in range(5000):
            connection.send(b"x")
        assert read_exactly(connection, 5000) == b"X" * 5000


def test_a_reset_is_survived(daemon):
    running = daemon("--listen", "upper+tcp://127.0.0.1:0")
    for _ in range(50):
        connection = dial(running.address)
        connection.sendall(b"x" * 100000)
        reset(connection)
    with dial(running.address) as connection:
        connection.sendall(b"ok")
        assert read_exactly(connection, 2) == b"OK"


@pytest.mark.parametrize("host, family", [("127.0.0.1", socket.AF_INET), ("[::1]", socket.AF_INET6)])
def test_datagrams_keep_their_boundaries(daemon, host, family):
    running = daemon("--listen", f"upper+udp://{host}:0")
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect(running.address)
        for message in (b"one", b"", b"three"):
            client.send(message)
        assert [client.recv(100) for _ in range(3)] == [b"ONE", b"", b"THREE"]


@pytest.mark.parametrize("size", [1, 1472, 1473, 9000, 65506, 65507])
def test_a_datagram_of_any_size_is_whole(daemon, size):
    running = daemon("--listen", "upper+udp://127.0.0.1:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(b"a" * size, running.address)
        assert client.recv(70000) == b"A" * size


def test_a_wildcard_socket_answers_from_the_address_that_was_asked(daemon):
    running = daemon("--insecure-plain", "--listen", "upper+udp://0.0.0.0:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect(("127.0.0.9", running.port))  # a connected socket hears that address only
        client.send(b"who")
        assert client.recv(100) == b"WHO"


def test_a_datagram_from_a_port_like_ours_is_not_answered(daemon):
    """Or one forged datagram would go round for ever between two such services."""
    running = daemon("--listen", "upper+udp://127.0.0.1:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as like, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        like.bind(("127.0.0.2", running.port))
        like.sendto(b"echo", running.address)
        client.settimeout(20)
        client.sendto(b"after it", running.address)
        assert client.recv(100) == b"AFTER IT"
        like.setblocking(False)
        with pytest.raises(BlockingIOError):
            like.recv(100)
