#!/usr/bin/python3
"""Runs commands through an exec listener, from what docs/PROTOCOL.md says about the plain services.

usage: twenty_line_client.py exec-length|exec-header PORT COMMAND…
"""
import hashlib
import json
import socket
import struct
import sys

service, port, *commands = sys.argv[1:]
with socket.create_connection(("127.0.0.1", int(port))) as connection, connection.makefile("rb") as replies:
    for command in commands:
        connection.sendall(command.encode())
        size, = struct.unpack("<i", replies.read(4))
        if service == "exec-header":
            header = json.loads(replies.read(size))
            size = header["total_size"]
        output = replies.read(size)
        if service == "exec-header" and hashlib.md5(output).hexdigest() != header["md5"]:
            sys.exit("md5: not what was sent")
        sys.stdout.buffer.write(output)
