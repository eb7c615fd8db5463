"""A TCP relay that breaks what passes through it: by reset, by a plain end, or by falling silent.

    with Relay(port, seed=7, every_bytes=400_000, cuts=40) as relay:
        ... connect to relay.port ...

After about `every_bytes` (seeded, at random) a connection is cut, at whatever byte that is; after `cuts`
of them the relay only relays. relay.seen counts what was done, by kind.
"""

import collections
import random
import select
import socket
import struct
import threading

PIECE_BYTES = 65536
KINDS = ("reset", "end", "silence")


class Pair:
    """One connection, both halves of it. Whatever was read and not yet written goes with a cut."""

    def __init__(self, near, far, budget):
        self.ends = {near: far, far: near}
        self.waiting = {near: b"", far: b""}  # to be written to that end
        self.ended = set()  # ends that said that they will send no more
        self.budget = budget
        self.silent = False

    def wants_read(self, end):
        return end not in self.ended and not self.waiting[self.ends[end]]

    def close(self, reset=False):
        for end in self.ends:
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()


class Relay:
    def __init__(self, port, seed=1, every_bytes=0, cuts=0, kinds=KINDS, transport="tcp"):
        self._target = ("127.0.0.1", port)
        self._random = random.Random(seed)
        self._every, self._left, self._kinds = every_bytes, cuts, kinds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.uri = f"{transport}://127.0.0.1:{self.port}"
        self.seen = collections.Counter()
        self._pairs = []
        self._wake, self._woken = socket.socketpair()
        self._orders = collections.deque()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._order("stop")
        self._thread.join(20)
        for pair in self._pairs:
            pair.close()
        self._listener.close()
        self._wake.close()
        self._woken.close()

    def cut(self, kind="end"):
        """Cuts everything that is connected now, behind what was sent so far ("reset" may undo that)."""
        self._order(kind)

    def refuse(self):
        """From now on nobody is let through; what is connected is cut."""
        self._order("refuse")

    # --- the relay's own thread ---

    def _order(self, what):
        self._orders.append(what)
        self._wake.send(b"x")

    def _budget(self):
        return self._random.randrange(1, 2 * self._every) if self._every and self._left > 0 else None

    def _run(self):
        while True:
            poller = select.poll()
            sockets = {self._woken.fileno(): self._woken, self._listener.fileno(): self._listener}
            poller.register(self._woken, select.POLLIN)
            poller.register(self._listener, select.POLLIN)
            for pair in self._pairs:
                for end in pair.ends:
                    self._register(poller, sockets, pair, end)
            for number, _events in poller.poll():
                if not self._handle(sockets[number]):
                    return

    @staticmethod
    def _register(poller, sockets, pair, end):
        events = (select.POLLIN if pair.wants_read(end) else 0) | (select.POLLOUT if pair.waiting[end] else 0)
        if events and not pair.silent:
            sockets[end.fileno()] = (pair, end)
            poller.register(end, events)

    def _handle(self, what):
        if what is self._listener:
            self._accept()
        elif what is self._woken:
            self._woken.recv(1)
            return self._obey(self._orders.popleft())
        elif what[0] in self._pairs and not what[0].silent:
            self._move(*what)
        return True

    def _obey(self, order):
        for pair in list(self._pairs):
            for end in pair.ends:
                if pair in self._pairs and not pair.silent:
                    self._move(pair, end)  # what is on its way arrives
        if order == "stop":
            return False
        if order == "refuse":
            self._target = None
            order = "reset"
        for pair in list(self._pairs):
            self._cut(pair, order)
        return True

    def _accept(self):
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(self._target) if self._target else None
        except OSError:
            far = None
        if far is None:
            near.close()
            return
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append(Pair(near, far, self._budget()))
        self.seen["connections"] += 1

    def _move(self, pair, end):
        try:
            if pair.waiting[end]:
                pair.waiting[end] = pair.waiting[end][end.send(pair.waiting[end]):]
            if pair.wants_read(end):
                self._read(pair, end)
            other = pair.ends[end]
            if end in pair.ended and not pair.waiting[other]:
                other.shutdown(socket.SHUT_WR)
            if len(pair.ended) == 2 and not any(pair.waiting.values()):
                self._drop(pair)
        except BlockingIOError:
            return
        except OSError:
            self._drop(pair, reset=True)

    def _read(self, pair, end):
        data = end.recv(PIECE_BYTES)
        if not data:
            pair.ended.add(end)
            return
        self.seen["bytes"] += len(data)
        other = pair.ends[end]
        if pair.budget is not None and len(data) >= pair.budget:
            self._left -= 1
            try:
                other.send(data[:pair.budget])  # so that a cut falls at any byte
            except BlockingIOError:
                pass
            self._cut(pair, self._random.choice(self._kinds))
            return
        if pair.budget is not None:
            pair.budget -= len(data)
        pair.waiting[other] = data  # first, for a full socket makes send() raise
        pair.waiting[other] = data[other.send(data):]

    def _cut(self, pair, kind):
        self.seen[kind] += 1
        self.seen["cuts"] += 1
        if kind == "silence":
            pair.silent = True  # the sockets stay open, and nothing moves any more
        else:
            self._drop(pair, reset=kind == "reset")

    def _drop(self, pair, reset=False):
        self._pairs.remove(pair)
        pair.close(reset)
