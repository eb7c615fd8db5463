# Three datagrams, one of them empty.
import socket

receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
sender = socket.socket(type=socket.SOCK_DGRAM)

for message in b"one", b"", b"three":
    sender.sendto(message, receiver.getsockname())
for _ in range(3):
    got, _ = receiver.recvfrom(1024)
    print(f'recvfrom: {len(got)} bytes: "{got.decode()}"')
