# A send that is asked for more than fits.
import socket

BYTES = 16 * 1024 * 1024
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())

client.setblocking(False)  # and nobody reads at the other end
taken = client.send(bytes(BYTES))
print(f"send was asked for {BYTES} bytes and took {taken}")
try:
    while client.send(bytes(BYTES)):
        pass  # an ACK may have made some room
except BlockingIOError as error:
    print("send:", error.strerror)
