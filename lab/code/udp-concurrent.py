# Four requests to one worker, then to four.
import select
import socket
import threading
import time

server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
client = socket.socket(type=socket.SOCK_DGRAM)


def work():
    while True:
        request, sender = server.recvfrom(16)
        select.select([], [], [], 0.05)  # 50 ms of work
        server.sendto(request, sender)


def four_requests_ms():
    began = time.monotonic()
    for _ in range(4):
        client.sendto(b"work", server.getsockname())
    for _ in range(4):
        client.recv(16)
    return (time.monotonic() - began) * 1000


threading.Thread(target=work, daemon=True).start()
print(f"one worker, four requests: {four_requests_ms():.0f} ms")
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
print(f"four workers, the same socket: {four_requests_ms():.0f} ms")
