"""The other side of a session, by hand: parcels over a socket, written from docs/PROTOCOL.md alone. For peers
that do what no client or daemon of ours would."""

import json
import os
import socket
import struct

SECONDS = 20
HEADER_MAX = 16384


class Parcels:
    """A connection that carries parcels. Every wait has a deadline."""

    def __init__(self, connection):
        connection.settimeout(SECONDS)
        self.connection = connection
        self._held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def say(self, op, payload=b"", **fields):
        """Sends one parcel; total_size follows from the payload unless it is given."""
        if payload:
            fields.setdefault("total_size", len(payload))
        self.say_raw(json.dumps({"op": op, **fields}).encode(), payload)

    def say_raw(self, header, payload=b""):
        self.connection.sendall(struct.pack("<I", len(header)) + header + payload)

    def _take(self, count):
        while len(self._held) < count:
            more = self.connection.recv(1 << 20)
            if not more:
                raise EOFError
            self._held += more
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def hear(self):
        """The next parcel: (header, payload). EOFError at the end of the connection."""
        count, = struct.unpack("<I", self._take(4))
        assert 2 <= count <= HEADER_MAX, count
        header = json.loads(self._take(count))
        return header, self._take(header.get("total_size", 0))

    def hear_until(self, *ops):
        """The first parcel of one of these kinds; all that come before it are passed over."""
        while True:
            header, payload = self.hear()
            if header["op"] in ops:
                return header, payload

    def hear_all(self):
        """Every parcel up to the end of the connection."""
        heard = []
        try:
            while True:
                heard.append(self.hear())
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return heard


class Peer(Parcels):
    """A client of sessions, on a unix socket or a loopback port."""

    def __init__(self, uri, session=None, secret=None, epoch=1, greet=True, **fields):
        if uri.startswith("unix://"):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(SECONDS)
            connection.connect(uri[len("unix://"):])
        else:
            host, port = uri.split("://")[1].rsplit(":", 1)
            connection = socket.create_connection((host, int(port)), SECONDS)
        super().__init__(connection)
        self.session = session or os.urandom(16).hex()
        self.secret = secret or os.urandom(32).hex()
        self.epoch = epoch
        self.uri = uri
        if greet:
            self.hello(**fields)
            self.welcome = self.hear_until("welcome")[0]

    def hello(self, **fields):
        self.say("hello", **{"waybill": 1, "session": self.session, "secret": self.secret, "epoch": self.epoch,
                             "agent": "by hand", "digests": ["xxh128"], **fields})

    def again(self, **options):
        """Another connection for the same session, with the next epoch; not synced yet."""
        return Peer(self.uri, self.session, self.secret, self.epoch + 1, **options)

    def exec(self, number, *argv, up=(), down=(1, 2), **fields):
        payload = b"".join(os.fsencode(str(word)) + b"\0" for word in argv)
        self.say("open", payload, id=number, service="exec", argc=len(argv), up=list(up), down=list(down),
                 **fields)
