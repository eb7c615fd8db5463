"""A server of one connection that does what a script says: what the tests of `talk` play tricks with."""

import hashlib
import json
import re
import select
import socket
import struct
import threading

SECONDS = 20


class Scripted:
    """Listens on a port of its own and runs script(connection) for the first to connect.

    Leaving the block waits for the script's end and raises what it raised."""

    def __init__(self, script, family=socket.AF_INET):
        self._script = script
        self._error = None
        self._listener = socket.create_server(("127.0.0.1", 0), family=family)
        self._listener.settimeout(SECONDS)
        self.port = self._listener.getsockname()[1]
        self._accepted = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        try:
            connection, _ = self._listener.accept()
            self._accepted.set()
            with connection:
                connection.settimeout(SECONDS)
                self._script(connection)
        except Exception as error:  # handed to the test's own thread
            self._error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, _value, _trace):
        # A client may have come and gone before our thread was given its turn.
        if not self._accepted.is_set() and select.select([self._listener], [], [], 0)[0]:
            self._accepted.wait(SECONDS)
        self._listener.close()
        self._thread.join(SECONDS)
        if kind is None:
            assert not self._thread.is_alive(), "the scripted server did not end"
            if self._error:
                raise self._error


def says(*pieces, until_closed=True):
    """A script: waits for a command, then sends the pieces; goes on reading until the client has left,
    or closes at once."""

    def script(connection):
        assert connection.recv(65536)
        try:
            for piece in pieces:
                connection.sendall(piece)
            while until_closed and connection.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client may leave as soon as it has seen enough

    return script


def uri_of(service, server):
    return f"{service}+tcp://127.0.0.1:{server.port}"


def framed(header, payload=b""):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<i", len(header)) + header + payload


def head_of(payload, **changes):
    head = {"filename": "x", "total_size": len(payload), "md5": hashlib.md5(payload).hexdigest(), **changes}
    return {key: value for key, value in head.items() if value is not None}


def assert_failed(ended, pattern, code=1):
    text = ended.stderr.decode()
    assert ended.returncode == code, text
    assert len(text.splitlines()) == 1, text
    assert text.startswith("waybill talk: ")
    assert re.search(pattern, text), text
