"""Peers of put and get that say whatever they like: items and answers by hand. What is said here is short, so
no credit beyond the first window is needed."""

import os
import socket

from parcels import Parcels


def parcel(payload=b"", **header):
    """The bytes of one, as they stand within a stream."""
    kept = []
    Parcels(_Keeper(kept)).say(header.pop("op"), payload, **header)
    return b"".join(kept)


class _Keeper:
    def __init__(self, kept):
        self.sendall = kept.append

    def settimeout(self, _seconds):
        pass


class _Stored:
    """A connection that gives what was stored, and then its end."""

    def __init__(self, data):
        self._data = data

    def settimeout(self, _seconds):
        pass

    def recv(self, _most):
        data, self._data = self._data, b""
        return data


def items_of(data):
    """The headers of the parcels that a stream held."""
    reader, found = Parcels(_Stored(data)), []
    while True:
        try:
            found.append(reader.hear()[0])
        except EOFError:
            return found


class FileClient(Parcels):
    """A client that opens one put or get and then says whatever it likes on stream 0."""

    def __init__(self, port, service, *strings, paths=1, **fields):
        super().__init__(socket.create_connection(("127.0.0.1", port)))
        self.say("hello", waybill=1, session=os.urandom(16).hex(), secret=os.urandom(32).hex(), epoch=1,
                 digests=["sha256"])
        self.hear_until("welcome")
        self.say("open", b"".join(string + b"\0" for string in strings), id=1, service=service, up=[0], down=[1],
                 undigested=[0, 1], window=65536, paths=paths, excludes=len(strings) - paths, **fields)
        self.sent = 0

    def send(self, data):
        self.say("data", data, id=1, stream=0, offset=self.sent)
        self.sent += len(data)

    def item(self, payload=b"", **header):
        """One item (or anything else) on stream 0."""
        self.send(parcel(payload, **header))

    def end(self):
        """Ends stream 0; then all answers, and the call's `exit`."""
        self.say("eof", id=1, stream=0, **{"from": 0}, offset=self.sent)
        return self.outcome()

    def outcome(self):
        """(answers, exit): all there are, up to `exit` (or to the connection's `error`)."""
        data = b""
        while True:
            header, payload = self.hear_until("data", "exit", "error", "gone")
            if header["op"] != "data":
                self.connection.close()
                return items_of(data), header
            data += payload


class FileServer(Parcels):
    """A daemon that answers one call of put or get with what it likes. For a script of Scripted."""

    def __init__(self, connection, service="get"):
        super().__init__(connection)
        self.hear_until("hello")
        self.say("welcome", waybill=1, instance=os.urandom(16).hex(), born=1, resumed=False,
                 services=["put", "get"], digest="sha256", hold_ms=60000)
        self.open, self.strings = self.hear_until("open")
        assert self.open["service"] == service
        self.id = self.open["id"]
        self.say("opened", id=self.id, window=65536)
        self.sent = 0

    def item(self, payload=b"", **header):
        data = parcel(payload, **header)
        self.say("data", data, id=self.id, stream=1, offset=self.sent)
        self.sent += len(data)

    def exit(self, code=0):
        self.say("eof", id=self.id, stream=1, **{"from": 0}, offset=self.sent)
        self.say("exit", id=self.id, bytes={"1": self.sent}, outcome="exited", code=code)

    def hear_finished(self):
        """Until the client has said that it has everything, or wants no more."""
        data = b""
        while b'"finished"' not in data:
            header, payload = self.hear_until("data", "cancel", "bye")
            data += payload
            if header["op"] != "data":
                return

    def drain(self):
        """Reads until the client has left."""
        try:
            while True:
                self.hear()
        except (EOFError, ConnectionResetError):
            return
