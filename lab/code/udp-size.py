# The largest datagram, and one byte more.
import socket

receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
sender = socket.socket(type=socket.SOCK_DGRAM)

for size in 65507, 65508:
    try:
        sender.sendto(bytes(size), receiver.getsockname())
        print(f"sendto({size}): sent")
    except OSError as error:
        print(f"sendto({size}): {error.strerror}")
print("recvfrom:", len(receiver.recv(65508)), "bytes")
