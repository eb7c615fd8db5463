# The states of a connection, before accept and after a FIN.
import select
import socket

NAMES = ["?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
         "CLOSE_WAIT"]


def show(when, connection):
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    print(f"{when:26} {NAMES[state]}")


listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
show("client, before accept:", client)
server, _ = listener.accept()
client.shutdown(socket.SHUT_WR)
select.select([], [], [], 0.1)  # the ACK of a FIN may be delayed
show("client, after its FIN:", client)
show("server, after that FIN:", server)
