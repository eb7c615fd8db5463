# A server that closes first is started twice.
import os
import socket


def serve_once(port, reuse):
    """Binds to the port (0: any), serves one client, closes first, and ends."""
    with socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        listener.bind(("127.0.0.1", port))
        listener.listen(5)
        port = listener.getsockname()[1]
        client.connect(("127.0.0.1", port))
        server, _ = listener.accept()
        server.close()  # first: TIME_WAIT stays here
        client.recv(1)
    return port


for reuse in 0, 1:
    port = serve_once(0, reuse)
    try:
        serve_once(port, reuse)
        result = "Success"
    except OSError as error:
        result = os.strerror(error.errno)
    print(f"SO_REUSEADDR={reuse}, second start: {result}")
