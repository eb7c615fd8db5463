# Two sends on one end, one recv on the other.
import socket

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()

client.send(b"hello")
client.send(b"world")
server.recv(10, socket.MSG_PEEK | socket.MSG_WAITALL)  # both are here now
got = server.recv(1024)
print(f"two sends, one recv: {len(got)} bytes: {got.decode()}")
