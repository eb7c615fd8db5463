# What a client is told when the server closes.
import socket


def close_with(what, data):
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    client.send(data)
    if data:
        server.recv(8, socket.MSG_PEEK)  # it is here, and stays unread
    server.close()
    try:
        print(f"{what}: recv = {len(client.recv(8))} (end)")
    except ConnectionResetError as error:
        print(f"{what}: recv = -1 {error.strerror}")
    client.close()
    listener.close()


close_with("close, all read", b"")
close_with("close, 6 bytes unread", b"unread")
