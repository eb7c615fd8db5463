# 200 datagrams to a receiver that reads too late.
import select
import socket

receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
receiver.bind(("127.0.0.1", 0))
sender = socket.socket(type=socket.SOCK_DGRAM)

sent = sum(sender.sendto(bytes(1000), receiver.getsockname()) > 0 for _ in range(200))
received = 0
while select.select([receiver], [], [], 0)[0]:
    receiver.recv(1000)
    received += 1
print(f"sent without an error: {sent}, received: {received}, lost: {sent - received}")
