# Seven clients knock at listen(5).
import socket

listener = socket.create_server(("127.0.0.1", 0), backlog=5)  # and no accept
clients = []
for number in range(1, 8):
    client = socket.socket()
    client.settimeout(0.5)
    clients.append(client)  # a client that is collected would be closed
    try:
        client.connect(listener.getsockname())
        print(f"client {number}: connected")
    except TimeoutError:
        print(f"client {number}: no answer in 500 ms")
