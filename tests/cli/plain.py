"""What the tests of the plain services share: reading their replies, byte for byte."""

import json
import socket
import struct

SECONDS = 20


def dial(address):
    connection = socket.create_connection(address, SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(min(size - len(data), 1 << 20))
        assert piece, f"the stream ended after {len(data)} of {size} bytes"
        data += piece
    return bytes(data)


def read_length_reply(connection):
    size, = struct.unpack("<i", read_exactly(connection, 4))
    assert size >= 0
    return read_exactly(connection, size)


def read_header_reply(connection):
    """(header, payload)"""
    size, = struct.unpack("<i", read_exactly(connection, 4))
    header = json.loads(read_exactly(connection, size))
    return header, read_exactly(connection, header["total_size"])


def is_closed(connection):
    """Waits for the end of the stream, orderly or by reset; false if bytes come instead."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def reset(connection):
    """Closes with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
