"""exec: a command on a daemon, as if it ran here."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from conftest import EVENT_SECONDS, WAYBILL, eventually, sanitizer, wait_readable
from secure import enable_tls
from sessions import FOREVER, Exec, is_running, outcome, python

SHOW_ARGV = "import sys, os; [sys.stdout.buffer.write(os.fsencode(a) + b'\\0') for a in sys.argv[1:]]"


@pytest.fixture(params=["tcp", "unix", "tls"])
def any_uri(request, daemon, tmp_path, environment):
    """A daemon on each transport."""
    if request.param == "tls":
        return daemon(*enable_tls(environment)).uri
    listen = "tcp://127.0.0.1:0" if request.param == "tcp" else f"unix://{tmp_path}/s"
    return daemon("--listen", listen).uri


@pytest.fixture
def uri(daemon):
    return daemon("--listen", "tcp://127.0.0.1:0").uri


# --- what arrives ---


def test_streams_stay_apart(waybill, any_uri):
    done = waybill("exec", any_uri, "--", "sh", "-c", "echo out; echo err >&2; cat; exit 7", input=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\nin", b"err\n")


def test_argv_is_exact(waybill, uri):
    arguments = [b"a b", b"", b"$HOME", b"'\"\\`", b"*", b"\xff\xfe", b"-n", b"--", b"new\nline"]
    done = subprocess.run([os.fsencode(WAYBILL), b"exec", uri.encode(), b"--",
                           *map(os.fsencode, python(SHOW_ARGV)), *arguments],
                          capture_output=True, check=False, timeout=EVENT_SECONDS)
    assert done.stdout.split(b"\0")[:-1] == arguments, done.stderr


def test_options_before_and_behind_the_destination(waybill, uri):
    for arguments in (["-n", uri, "echo", "-n"], [uri, "-n", "echo", "-n"], [uri, "-n", "--", "echo", "-n"]):
        assert waybill("exec", *arguments).stdout == b""
    assert waybill("exec", uri, "--", "echo", "--result", "x").stdout == b"--result x\n"


def test_shell_takes_a_line(waybill, uri):
    done = waybill("exec", "--shell", "echo a b | tr a-z A-Z; exit 5", uri)
    assert (done.returncode, done.stdout) == (5, b"A B\n")


def test_folder_and_environment(waybill, uri, tmp_path):
    done = waybill("exec", "--cwd", tmp_path, "--env", "ONE=1=1", "-e", "TWO=", uri, "--",
                   "sh", "-c", 'pwd; echo "$ONE,${TWO-unset},$HOME,$WAYBILL_JOB"')
    folder, line = done.stdout.decode().splitlines()
    assert folder == str(tmp_path)
    one, two, home, job = line.split(",")
    assert (one, two) == ("1=1", "") and home.startswith("/") and int(job) > 0
    done = waybill("exec", "--cwd", tmp_path / "nowhere", uri, "--", "pwd")
    assert done.returncode == 255 and b"nowhere" in done.stderr and not done.stdout


def test_half_close(environment, uri):
    with Exec(environment, uri, "--", "sh", "-c", "cat; echo end; cat") as running:
        running.process.stdin.write(b"first\n")
        running.process.stdin.flush()
        assert running.line() == "first"
        running.process.stdin.close()
        assert running.line() == "end"
        assert running.wait() == 0


def test_no_stdin_leaves_ours_alone(environment, uri):
    read_end, write_end = os.pipe()
    os.write(write_end, b"untouched")
    with Exec(environment, "-n", uri, "--", "cat", stdin=read_end) as running:
        assert running.wait() == 0
        assert running.process.stdout.read() == b""
    assert os.read(read_end, 100) == b"untouched"
    os.close(read_end)
    os.close(write_end)


def test_a_command_that_cannot_start_eats_no_stdin(environment, uri):
    read_end, write_end = os.pipe()
    os.write(write_end, b"untouched")
    with Exec(environment, uri, "--", "no-such-command", stdin=read_end) as running:
        assert running.wait() == 127
    assert os.read(read_end, 100) == b"untouched"
    os.close(read_end)
    os.close(write_end)


def test_closed_descriptors_are_no_trouble(environment, uri):
    for close in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(["sh", "-c", f'exec "$0" exec "$1" -- sh -c "cat; exit 4" {close}', WAYBILL, uri],
                              env=environment, stdin=subprocess.DEVNULL, timeout=EVENT_SECONDS, check=False)
        assert done.returncode == 4, close


@pytest.mark.parametrize("close, stream, code, told", [
    (">&-", 1, 255, b"waybill exec: stdout: is closed\n"), ("2>&-", 2, 255, b""), (">&-", 2, 0, b"word\n"),
    ("2>&-", 1, 0, b""),
])
def test_what_a_closed_descriptor_loses_is_no_success(environment, uri, close, stream, code, told):
    done = subprocess.run(["sh", "-c", f'exec "$0" exec "$1" -- sh -c "echo word >&{stream}; exit 0" {close}', WAYBILL,
                           uri], env=environment, capture_output=True, timeout=EVENT_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (code, told)


def test_stderr_can_be_opened(waybill, uri):
    done = waybill("exec", uri, "--", "sh", "-c", "echo x > /dev/stderr; echo y > /dev/stdout")
    assert (done.stdout, done.stderr) == (b"y\n", b"x\n")


def test_local_is_the_users_own_daemon(daemon, waybill, environment):
    daemon("--listen", f"unix://{environment['XDG_RUNTIME_DIR']}/waybill.sock")
    assert waybill("exec", "local", "--", "echo", "here").stdout == b"here\n"


# --- how it ends ---


@pytest.mark.parametrize("command, code, expected", [
    (("true",), 0, {"outcome": "exited", "code": 0, "complete": True}),
    (("sh", "-c", "exit 200"), 200, {"outcome": "exited", "code": 200}),
    (("sh", "-c", "kill -9 $$"), 137, {"outcome": "signaled", "signal": "KILL"}),
    (("sh", "-c", "kill -TERM $$"), 143, {"outcome": "signaled", "signal": "TERM"}),
    (("no-such-command",), 127, {"outcome": "failed", "code": 127}),
    (("/etc",), 126, {"outcome": "failed", "code": 126}),
])
def test_exit_codes(waybill, uri, tmp_path, command, code, expected):
    done = waybill("exec", "--result", tmp_path / "r", uri, "--", *command)
    assert done.returncode == code
    told = outcome(tmp_path / "r")
    assert expected.items() <= told.items()
    assert bool(done.stderr) == (expected["outcome"] == "failed")


def test_a_result_tells_of_output(waybill, uri, tmp_path):
    waybill("exec", "--result", tmp_path / "r", uri, "--", "sh", "-c", "printf 12345; printf 123 >&2")
    told = outcome(tmp_path / "r")
    assert (told["stdout_bytes"], told["stderr_bytes"]) == (5, 3) and told["job"] > 0


def test_timeout(waybill, uri, tmp_path):
    done = waybill("exec", "--timeout", "200ms", "--result", tmp_path / "r", uri, "--", *FOREVER)
    assert done.returncode == 124
    assert outcome(tmp_path / "r")["outcome"] == "timeout"


def test_nobody_there(waybill, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for uri in (f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/none"):
        done = waybill("exec", "--result", tmp_path / "r", uri, "--", "true")
        assert done.returncode == 255
        assert done.stderr.count(b"\n") == 1 and b"connect to" in done.stderr
        assert outcome(tmp_path / "r")["outcome"] == "failed"


@pytest.mark.parametrize("arguments", [
    [], ["local"], ["--shell", "x", "local", "y"], ["--on-disconnect", "perhaps", "local", "x"],
    ["--on-disconnect", "hold=", "local", "x"], ["--env", "novalue", "local", "x"], ["--retry", "soon", "local", "x"],
    ["--result", "/no/such/folder/r", "local", "x"],
])
def test_wrong_command_lines(waybill, arguments):
    done = waybill("exec", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"waybill exec: ") and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("uri", ["tcp://192.0.2.1:9", "tls://127.0.0.1:9", "upper+tcp://127.0.0.1:9", "nonsense://x"])
def test_where_no_session_can_be(waybill, uri, tmp_path):
    done = waybill("exec", "--result", tmp_path / "r", uri, "--", "true")
    assert done.returncode == 255 and done.stderr.count(b"\n") == 1
    assert outcome(tmp_path / "r")["outcome"] in ("refused", "failed")


def test_somebody_elses_daemon_hears_nothing(waybill, second_user, tmp_path):
    """A listener of another user's gets a connection and not one byte."""
    source = """if True:
        import socket, sys
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
        print(len(connection.recv(100)), flush=True)
    """
    with subprocess.Popen(["/usr/bin/python3", "-I", "-c", source], stdout=subprocess.PIPE, cwd="/",
                          **second_user.popen_options) as other:
        port = int(other.stdout.readline())
        done = waybill("exec", "--result", tmp_path / "r", f"tcp://127.0.0.1:{port}", "--", "true")
        assert done.returncode == 255 and b"uid" in done.stderr
        assert outcome(tmp_path / "r")["outcome"] == "refused"
        assert int(other.stdout.readline()) == 0
        assert other.wait(EVENT_SECONDS) == 0


# --- signals ---

# (print, unlike os.write, may not be entered again by a signal that comes while it is at work.)
TRAPS = "import os, signal, sys\n" \
        "def note(n, f): os.write(1, signal.Signals(n).name.encode() + b'\\n'); n == signal.SIGTERM and sys.exit(9)\n" \
        "[signal.signal(n, note) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)]\n" \
        "os.write(1, b'ready\\n')\n" \
        "while True: signal.pause()\n"


def test_signals_go_to_the_command(environment, uri):
    with Exec(environment, uri, "--", *python(TRAPS)) as running:
        assert running.line() == "ready"
        for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM"):
            running.signal(getattr(signal, name))
            assert running.line() == name
        assert running.wait() == 9


def test_what_was_ignored_at_the_start_stays_so(environment, uri):
    with Exec(environment, uri, "--", *python(TRAPS),
              preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as running:
        assert running.line() == "ready"
        running.signal(signal.SIGHUP)
        running.signal(signal.SIGINT)
        assert running.line() == "SIGINT"  # and no SIGHUP before it
        running.signal(signal.SIGTERM)
        assert running.line() == "SIGTERM"
        assert running.wait() == 9


def test_commands_start_with_usual_signals(environment, uri):
    def trouble():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    with Exec(environment, uri, "--", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", preexec_fn=trouble) as running:
        seen = dict(line.split(b":\t") for line in running.process.stdout.read().splitlines())
        assert running.wait() == 0
    assert int(seen[b"SigBlk"], 16) == 0 and int(seen[b"SigIgn"], 16) == 0


def test_a_stopped_client_goes_on(environment, uri):
    with Exec(environment, uri, "--", "cat") as running:
        running.process.stdin.write(b"one\n")
        running.process.stdin.flush()
        assert running.line() == "one"
        running.stop()
        running.process.stdin.write(b"two\n")
        running.process.stdin.flush()
        running.signal(signal.SIGCONT)
        assert running.line() == "two"
        running.process.stdin.close()
        assert running.wait() == 0


# --- much output, slow readers, none at all ---


def test_much_on_both_outputs_and_a_reader_that_waits(daemon, environment):
    running_daemon = daemon("--listen", "tcp://127.0.0.1:0")
    count = 30_000_000
    script = f"head -c {count} /dev/zero & head -c {count} /dev/zero | tr '\\0' x >&2; wait"
    with Exec(environment, running_daemon.uri, "--", "sh", "-c", script) as running:
        wait_readable(running.process.stdout)
        wait_until_idle(running)
        if not sanitizer():
            assert memory(running.pid) < 64 << 20 and memory(running_daemon.pid) < 64 << 20
        collected = {}
        threads = [threading.Thread(target=lambda name=name: collected.__setitem__(
            name, getattr(running.process, name).read())) for name in ("stderr", "stdout")]
        for thread in threads:
            thread.start()
        assert running.wait(60) == 0
        for thread in threads:
            thread.join()
        assert collected["stdout"] == bytes(count) and collected["stderr"] == b"x" * count
        if not sanitizer():
            assert memory(running_daemon.pid) < 64 << 20


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def wait_until_idle(running):
    """Until nothing moves: windows and pipes are full, and a while brings neither work nor an end."""
    before = None
    while before != (now := cpu_ticks(running.pid)):
        before = now
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.3)


def test_a_reader_that_leaves(environment, uri, tmp_path):
    with Exec(environment, "--result", tmp_path / "r", uri, "--", "sh", "-c", "yes; echo $? >&2") as running:
        assert running.line() == "y"
        running.process.stdout.close()
        assert running.process.stderr.readline().strip() == b"141"  # yes has met a closed pipe
        assert running.wait() == 0
    assert outcome(tmp_path / "r")["complete"] is True


def test_a_reader_that_leaves_a_silent_command(environment, uri):
    """No byte has to be written to notice; the command then writes into a closed pipe."""
    with Exec(environment, uri, "--", "sh", "-c", "echo ready >&2; read x; yes; echo $? >&2") as running:
        assert running.process.stderr.readline() == b"ready\n"
        running.process.stdout.close()
        running.process.stdin.write(b"go\n")
        running.process.stdin.flush()
        assert running.process.stderr.readline().strip() == b"141"
        running.process.stdin.close()
        assert running.wait() == 0


def test_a_full_disk_is_no_success(waybill, uri):
    with open("/dev/full", "wb") as full:
        done = waybill("exec", uri, "--", "echo", "x", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 255 and b"No space left" in done.stderr


def test_stdout_ends_when_the_commands_does(environment, uri):
    with Exec(environment, uri, "--", "sh", "-c", "echo x; exec >&-; cat >&2") as running:
        assert running.process.stdout.read() == b"x\n"
        assert running.process.poll() is None
        running.process.stdin.close()
        assert running.wait() == 0


def test_what_we_share_stays_blocking(environment, uri):
    """O_NONBLOCK belongs to the open file, which others write to as well."""
    read_end, write_end = os.pipe()
    with Exec(environment, uri, "--", "sh", "-c", "echo x; cat", stdout=write_end) as running:
        assert os.read(read_end, 10) == b"x\n"
        assert not fcntl.fcntl(write_end, fcntl.F_GETFL) & os.O_NONBLOCK
        running.process.stdin.close()
        assert running.wait() == 0
    os.close(write_end)
    assert os.read(read_end, 10) == b""
    os.close(read_end)


@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_any_kind_of_stdout(environment, uri, tmp_path, kind):
    count = 5_000_000
    if kind == "file":
        with open(tmp_path / "out", "wb") as file, \
                Exec(environment, uri, "--", "head", "-c", count, "/dev/zero", stdout=file) as running:
            assert running.wait() == 0
        assert (tmp_path / "out").stat().st_size == count
        return
    if kind == "pipe":
        read_end, write_end = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb")))
    else:
        near, write_end = socket.socketpair()
        read_end = near.makefile("rb")
    with Exec(environment, uri, "--", "head", "-c", count, "/dev/zero", stdout=write_end) as running:
        write_end.close()
        assert len(read_end.read()) == count
        assert running.wait() == 0
    read_end.close()
    if kind == "socket":
        near.close()


def test_appending_to_a_file(environment, uri, tmp_path):
    path = tmp_path / "log"
    path.write_text("before\n", encoding="ascii")
    with open(path, "ab") as file, Exec(environment, uri, "--", "echo", "after", stdout=file) as running:
        assert running.wait() == 0
    assert path.read_text(encoding="ascii") == "before\nafter\n"


def test_many_side_by_side(environment, uri):
    running = [Exec(environment, uri, "--", "sh", "-c", f"echo {i}; exit {i}") for i in range(20)]
    try:
        for number, one in enumerate(running):
            assert one.line() == str(number)
            assert one.wait() == number
    finally:
        for one in running:
            one.__exit__()


def test_a_long_argument_list(waybill, uri):
    many = ["x" * 1000] * 900
    done = waybill("exec", uri, "--", "sh", "-c", "echo $#", "sh", *many)
    assert done.stdout == b"900\n", done.stderr
    done = waybill("exec", uri, "--", "true", *["x" * 1000] * 1200)
    assert done.returncode == 255 and b"arguments" in done.stderr


def test_a_normal_exit_kills_nothing(waybill, uri):
    done = waybill("exec", uri, "--", "sh", "-c", "setsid tail -f /dev/null >/dev/null 2>&1 & echo $!")
    assert done.returncode == 0
    pid = int(done.stdout)
    try:
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_running(pid))


def test_result_is_json_also_with_odd_text(waybill, uri, tmp_path):
    waybill("exec", "--result", tmp_path / "r", uri, "--", "no\nsuch \"command\"\x1b")
    assert json.loads((tmp_path / "r").read_text(encoding="utf-8"))["outcome"] == "failed"


def test_text_from_afar_is_escaped(waybill, uri):
    done = waybill("exec", uri, "--", "no\x1bsuch")
    assert b"\x1b" not in done.stderr and done.stderr.count(b"\n") == 1


def test_commands_of_all_count_together(daemon, environment, waybill, tmp_path):
    """So many may run at once, whichever sessions and listeners they came by; a place that is free is given."""
    served = daemon("--listen", f"unix://{tmp_path}/s", "--listen", "exec-length+tcp://127.0.0.1:0",
                    "--max-commands", "2")
    running = [Exec(environment, "-n", served.uri, "--", "sh", "-c", "echo on; exec tail -f /dev/null") for _ in range(2)]
    try:
        assert [one.line() for one in running] == ["on", "on"]
        for _ in range(4):  # whichever worker each comes to
            done = waybill("exec", "-n", served.uri, "--", "true")
            assert done.returncode == 255 and b"2 commands are running already" in done.stderr
        assert b"2 commands are running already" in waybill("talk", served.uris[1], input=b"echo hi\n").stdout
        running[0].signal(signal.SIGTERM)
        assert running[0].wait() == 128 + signal.SIGTERM
        for _ in range(4):
            assert waybill("exec", "-n", served.uri, "--", "true").returncode == 0
        assert waybill("talk", served.uris[1], input=b"echo hi\n").stdout == b"hi\n"
    finally:
        for one in running:
            one.signal(signal.SIGTERM)
            one.wait()
            one.__exit__()


def test_a_relative_folder_in_path_is_passed_over(daemon, waybill, tmp_path):
    """It would mean the daemon's folder to whoever looks, and the command's to whoever starts."""
    served = daemon("--listen", f"unix://{tmp_path}/s", cwd=tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "here").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "bin" / "here").chmod(0o755)
    for path, code in ((f"bin:{tmp_path}/bin", 0), ("bin:./bin::", 127), (f"{tmp_path}/bin", 0)):
        done = waybill("exec", "-n", "--cwd", tmp_path, "-e", f"PATH={path}", served.uri, "--", "here")
        assert done.returncode == code, (path, done.stderr)
