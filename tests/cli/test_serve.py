"""The daemon's life: start, limits, and an orderly end."""

import fcntl
import os
import re
import resource
import signal
import socket
import subprocess

import pytest

from conftest import WAYBILL, eventually, sanitizer, wait_exit, wait_readable
from plain import dial, is_closed, read_exactly, read_length_reply

UPPER = "upper+tcp://127.0.0.1:0"
LENGTH = "exec-length+tcp://127.0.0.1:0"


@pytest.mark.parametrize("arguments, code, says", [
    (["--listen", "lower+tcp://127.0.0.1:0"], 1, "upper+tcp, upper+udp, exec-length+tcp, exec-header+tcp"),
    (["--listen", "upper+udq://127.0.0.1:0"], 1, "upper+udq"),
    (["--listen", "upper+tcp://127.0.0.1:65536"], 1, "65536"),
    (["--listen", "upper+tcp://[::1:0"], 1, "["),
    (["--listen", "upper+tcp://no.such.host.invalid:0"], 1, "no.such.host.invalid"),
    (["--allow-uid", "root", "--listen", UPPER], 2, "id -u"),
    (["--max-output", "3G", "--listen", UPPER], 2, "--max-output"),
    (["stray", "--listen", UPPER], 2, "--listen"),
    (["--spool", "/nonexistent", "--listen", UPPER], 1, "--spool: /nonexistent"),
])
def test_bad_usage_is_one_clear_line(waybill, arguments, code, says):
    done = waybill("serve", *arguments)
    assert done.returncode == code
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("waybill serve: ") and says in lines[0]


def test_without_a_listener_it_is_the_users_own_socket(daemon, waybill, environment):
    running = daemon()
    path = os.path.join(environment["XDG_RUNTIME_DIR"], "waybill.sock")
    assert running.uri == f"unix://{path}"
    assert os.stat(path).st_mode & 0o777 == 0o600
    del environment["XDG_RUNTIME_DIR"]
    done = waybill("serve")
    assert done.returncode == 1 and b"XDG_RUNTIME_DIR is not set" in done.stderr


def test_an_address_in_use_is_an_error_at_start(daemon, waybill):
    running = daemon("--listen", UPPER)
    done = waybill("serve", "--listen", running.uri)
    assert done.returncode == 1
    assert b"Address already in use" in done.stderr


def test_a_restart_takes_the_same_port_at_once(daemon):
    running = daemon("--listen", UPPER)
    with dial(running.address) as connection:
        connection.sendall(b"x")
        read_exactly(connection, 1)
        assert running.stop() == 0  # the daemon closes first: TIME_WAIT stays with its port
    again = daemon("--listen", running.uri)
    assert again.port == running.port


def test_names_are_looked_up(daemon):
    running = daemon("--listen", "upper+tcp://localhost:0")
    assert running.uri == f"upper+tcp://localhost:{running.port}"


@pytest.fixture
def waiting(daemon, tmp_path):
    """(daemon, connection, release): a command that waits until release() is called."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    running = daemon("--listen", LENGTH)
    connection = dial(running.address)
    connection.sendall(b"read word < %s; echo $word" % str(fifo).encode())
    eventually(running.children)
    yield running, connection, lambda: fifo.write_text("done\n")
    connection.close()


def test_draining_finishes_what_is_under_way(waiting):
    running, busy, release = waiting
    with dial(running.address) as idle:
        running.process.send_signal(signal.SIGTERM)
        assert is_closed(idle)
    with pytest.raises(ConnectionRefusedError):
        dial(running.address)
    assert running.process.poll() is None
    release()
    assert read_length_reply(busy) == b"done\n"
    assert wait_exit(running.process) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_kills_what_runs(waiting, number):
    running, busy, _ = waiting
    command, = running.children()
    running.process.send_signal(number)
    running.stderr.find_all("listening")
    eventually(lambda: not os.path.exists(f"/proc/{running.pid}/net") or listening(running) == 0)
    running.process.send_signal(number)
    assert wait_exit(running.process) == 0
    assert is_closed(busy)
    assert not os.path.exists(f"/proc/{command}")


def listening(running):
    """How many sockets the daemon listens on: 0 once it drains."""
    with open(f"/proc/{running.pid}/net/tcp", encoding="ascii") as table:
        return sum(f":{running.port:04X} 00000000:0000 0A" in line for line in table)


def test_draining_does_not_lose_a_reply_to_a_command_that_came_too_late(daemon, tmp_path):
    """Unread input makes TCP reset the connection when it is closed, and a reset overtakes the reply."""
    os.mkfifo(tmp_path / "fifo")
    running = daemon("--listen", LENGTH)
    with dial(running.address) as connection:
        connection.sendall(b"read x < fifo; head -c 1000000 /dev/zero # " + b"x" * 2000)
        eventually(running.children)
        connection.sendall(b"echo too late")
        running.process.send_signal(signal.SIGTERM)
        eventually(lambda: listening(running) == 0)
        (tmp_path / "fifo").write_text("go\n")
        assert read_length_reply(connection) == bytes(1000000)
        assert connection.recv(1) == b""
    assert wait_exit(running.process) == 0


def test_a_slow_reader_gets_its_reply_while_draining(daemon):
    running = daemon("--listen", LENGTH)
    with dial(running.address) as connection:
        connection.sendall(b"head -c 30000000 /dev/zero")
        wait_readable(connection)
        running.process.send_signal(signal.SIGTERM)
        assert read_length_reply(connection) == bytes(30000000)
    assert wait_exit(running.process) == 0


def inherit(socket_, environment, name, *arguments, abstract=False, redirect=""):
    """Starts a daemon as a service manager would, and returns it with its notifications."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = os.path.join(environment["TMPDIR"], "notify")
    manager.bind("\0" + path if abstract else path)
    manager.settimeout(20)
    script = f'exec 3<&"$1" {redirect}; LISTEN_PID=$$; export LISTEN_PID; shift; exec "$@"'
    process = subprocess.Popen(
        ["/bin/bash", "-c", script, "bash", str(socket_.fileno()), WAYBILL, "serve", *arguments],
        env={**environment, "LISTEN_FDS": "1", "LISTEN_FDNAMES": name,
             "NOTIFY_SOCKET": "@" + path if abstract else path},
        pass_fds=[socket_.fileno()], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return process, manager


@pytest.mark.parametrize("abstract", [False, True])
def test_sockets_are_inherited_and_readiness_is_told(environment, abstract):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process, manager = inherit(listener, environment, "exec-length", abstract=abstract)
        with manager, process.stderr:
            assert manager.recv(100) == b"READY=1"
            with dial(listener.getsockname()) as connection:
                connection.sendall(b"env")
                variables = read_length_reply(connection)
            assert b"LISTEN_" not in variables and b"NOTIFY_SOCKET" not in variables
            process.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"
            assert wait_exit(process) == 0
            port = listener.getsockname()[1]
            listening, cgroups = process.stderr.read().splitlines()[:2]
            assert listening == b"listening exec-length+tcp://127.0.0.1:%d" % port
            assert re.match(rb"waybill serve: (each command gets a cgroup, in|commands get no cgroups:) .", cgroups)


def test_nothing_becomes_a_closed_stdin_stdout_or_stderr(environment):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process, manager = inherit(listener, environment, "exec-length", redirect="<&- >&- 2>&-")
        with manager, process.stderr:
            assert manager.recv(100) == b"READY=1"
            for number in range(3):
                assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
            with dial(listener.getsockname()) as connection:
                connection.sendall(b"echo fine")
                assert read_length_reply(connection) == b"fine\n"
            process.send_signal(signal.SIGTERM)
            assert wait_exit(process) == 0


def test_an_inherited_socket_needs_a_service(environment):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process, manager = inherit(listener, environment, "mystery")
        with manager, process.stderr:
            assert wait_exit(process) == 1
            assert b"waybill serve: mystery: no such service" in process.stderr.read()


def test_running_out_of_descriptors_is_survived_without_spinning(daemon):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    running = daemon("--listen", UPPER, preexec_fn=few)
    crowd = [dial(running.address) for _ in range(60)]  # the kernel completes their handshakes
    running.stderr.find_all("Too many open files")
    used = cpu_ticks(running.pid)
    crowd[0].sendall(b"first")
    assert read_exactly(crowd[0], 5) == b"FIRST"
    for connection in crowd[:40]:
        connection.close()
    crowd[59].sendall(b"last")
    assert read_exactly(crowd[59], 4) == b"LAST"
    assert cpu_ticks(running.pid) - used < 20  # a spinning loop uses 100 a second
    for connection in crowd:
        connection.close()


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_connections_past_the_limit_are_refused(daemon):
    running = daemon("--listen", UPPER, "--max-connections", "2")
    with dial(running.address) as one, dial(running.address) as two, dial(running.address) as three:
        assert is_closed(three)
        for connection in (one, two):
            connection.sendall(b"in")
            assert read_exactly(connection, 2) == b"IN"
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: 2 connections are open")


def test_a_log_that_nobody_reads_stops_nothing(environment, second_user, tmp_path):
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)  # fewer lines than may be written at once
    process = subprocess.Popen([WAYBILL, "serve", "--listen", LENGTH], env=environment, cwd=tmp_path,
                               stderr=write_end, stdin=subprocess.DEVNULL)
    os.close(write_end)
    wait_readable(read_end)
    port = int(os.read(read_end, 200).split(b":")[-1])
    for _ in range(20):  # each would write a line, in the end into a full pipe
        second_user.python("""
import socket, sys
for _ in range(100):
    socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
""", port)
    with dial(("127.0.0.1", port)) as connection:
        connection.sendall(b"echo fine")
        assert read_length_reply(connection) == b"fine\n"
    process.send_signal(signal.SIGTERM)
    assert wait_exit(process) == 0
    os.close(read_end)


def test_ten_thousand_idle_and_two_hundred_busy(daemon):
    wanted = 10000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted + 500:
        pytest.skip(f"{wanted} connections need as many descriptors; the hard limit is {hard}")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        running = daemon("--listen", UPPER)
        before = running.memory_bytes()
        idle = [dial(running.address) for _ in range(wanted)]
        eventually(lambda: len(os.listdir(f"/proc/{running.pid}/fd")) >= wanted, 60)
        each = (running.memory_bytes() - before) / wanted
        busy = [dial(running.address) for _ in range(200)]
        for i in range(20):
            for connection in busy:
                connection.sendall(b"message %02d" % i)
            for connection in busy:
                assert read_exactly(connection, 10) == b"MESSAGE %02d" % i
        if not sanitizer():
            assert each <= 512
        for connection in idle + busy:
            connection.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
