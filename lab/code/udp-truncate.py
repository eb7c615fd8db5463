# A datagram of ten bytes and a buffer of one.
import socket

receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
sender = socket.socket(type=socket.SOCK_DGRAM)

sender.sendto(b"helloworld", receiver.getsockname())
print("recvfrom(1):", len(receiver.recvfrom(1)[0]))
try:
    receiver.recvfrom(1, socket.MSG_DONTWAIT)
except BlockingIOError as error:
    print("recvfrom(1) again:", error.strerror)
sender.sendto(b"helloworld", receiver.getsockname())
print("recvfrom(1, MSG_TRUNC):", receiver.recv_into(bytearray(1), 1, socket.MSG_TRUNC))
