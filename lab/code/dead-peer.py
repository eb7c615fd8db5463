# A peer that vanishes; TCP_USER_TIMEOUT notices.
import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import time

CLONE_NEWNET, CLONE_NEWUSER, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x10000000, 0x8914, 1
libc = ctypes.CDLL(None)


def set_loopback(up):
    """Takes the loopback of our own network namespace up or down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP if up else 0))


if libc.unshare(CLONE_NEWNET) < 0 and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0:
    sys.exit(print("skipped: needs root, or user namespaces"))
set_loopback(True)
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)

set_loopback(False)  # the peer vanishes
began = time.monotonic()
print("send to the dead peer:", client.send(b"data"))
select.select([client], [], [], 10)
error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
print(f"TCP_USER_TIMEOUT of 1 s: {os.strerror(error)} after {time.monotonic() - began:.1f} s")
