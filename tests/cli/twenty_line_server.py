#!/usr/bin/python3
"""Serves shell commands to one client after another, the way tutorials do: `waybill talk` must get along.

usage: twenty_line_server.py exec-length|exec-header filename|filenema real|TEXT-SENT-AS-MD5
Prints its port.
"""
import hashlib
import json
import socket
import struct
import subprocess
import sys

service, name_key, md5 = sys.argv[1:]
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        while command := connection.recv(1024):
            ended = subprocess.run(command, shell=True, capture_output=True, check=False)
            output = ended.stdout + ended.stderr
            digest = hashlib.md5(output).hexdigest() if md5 == "real" else md5
            if service == "exec-header":
                header = json.dumps({name_key: "out", "total_size": len(output), "md5": digest}).encode()
                connection.send(struct.pack("i", len(header)) + header)
            else:
                connection.send(struct.pack("i", len(output)))
            connection.sendall(output)
        connection.close()
