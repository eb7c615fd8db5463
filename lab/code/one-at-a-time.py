# Two clients at a server that serves one.
import select
import socket
import threading


def serve(listener):
    """The tutorial's server: an outer loop accepts, an inner loop serves to the end."""
    while True:
        connection, _ = listener.accept()
        while data := connection.recv(64):
            connection.send(data)
        connection.close()


def answered(client, seconds):
    return "answered" if select.select([client], [], [], seconds)[0] else "no answer"


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()
first = socket.create_connection(listener.getsockname())  # and says nothing
second = socket.create_connection(listener.getsockname())
second.send(b"hello")
print("client 2, while client 1 is there:", answered(second, 0.3))
first.close()
print("client 2, after client 1 has gone:", answered(second, 3))
