# Two small writes and a reply, with and without TCP_NODELAY.
import socket
import time

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()


def round_ms():
    began = time.monotonic()
    client.send(b"head")
    client.send(b"body")
    server.recv(8, socket.MSG_WAITALL)
    server.send(b"ok")
    client.recv(2)
    return (time.monotonic() - began) * 1000


stalled = [round_ms() for _ in range(4)][-1]  # a new connection acknowledges at once for a while
print(f"write-write-read: {stalled:.3f} ms")
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
fast = [round_ms() for _ in range(4)][-1]
print(f"with TCP_NODELAY: {fast:.3f} ms")
