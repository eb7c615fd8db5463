"""jobs, attach, kill: commands that outlive a client."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import unicodedata

import pytest

from conftest import EVENT_SECONDS, WAYBILL, eventually, wait_exit
from parcels import Peer
from sessions import FOREVER, Exec, is_running, jobs, outcome, state_of

MIB = 1 << 20


@pytest.fixture
def served(daemon):
    """Told to end again and again, so that it does not wait for clients that a test has killed."""
    running = daemon("--listen", "tcp://127.0.0.1:0")
    yield running
    eventually(lambda: running.process.send_signal(signal.SIGTERM) or running.process.poll() is not None)


def leave_behind(environment, uri, script, *options):
    """Starts a detached shell, kills its client, and returns (the first line of its output, a pid)."""
    with Exec(environment, "--on-disconnect", "detach", *options, uri, "--", "sh", "-c", f"echo $$; {script}") as running:
        pid = int(running.line())
        running.signal(signal.SIGKILL)
        running.wait()
    return pid


def wait_until_left(waybill, uri):
    """The number of the one job there is, once the daemon knows that its client has gone."""
    eventually(lambda: [job["status"] != "running" for job in jobs(waybill, uri).values()] == [True])
    [number] = jobs(waybill, uri)
    return number


def test_a_list_of_none(served, waybill):
    done = waybill("jobs", served.uri)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert jobs(waybill, served.uri) == {}


def test_a_running_command_is_listed(served, environment, waybill):
    with Exec(environment, served.uri, "--", "sh", "-c", "printf 12345; printf 123 >&2; cat") as running:
        running.process.stdout.read(5)
        listed = eventually(lambda: [job for job in jobs(waybill, served.uri).values() if job["stderr_bytes"] == 3])
        [job] = listed
        assert job["status"] == "running" and job["stdout_bytes"] == 5 and is_running(job["pid"])
        assert job["command"].startswith("sh -c") and job["age_ms"] < 20_000
        fields = waybill("jobs", served.uri).stdout.decode().rstrip("\n").split("\t")
        assert fields[0] == str(job["job"]) and fields[1] == "running" and fields[3:6] == ["5", "3", str(job["pid"])]
        running.process.stdin.close()
        assert running.wait() == 0
    eventually(lambda: jobs(waybill, served.uri) == {})


def test_a_stopped_command_hears_that_it_is_to_end(served, environment, waybill):
    script = "trap '' HUP; trap 'echo ended; exit 3' TERM; echo $$; kill -STOP $$; tail -f /dev/null & wait"
    with Exec(environment, "-n", served.uri, "--", "sh", "-c", script) as running:
        pid = int(running.line())
        eventually(lambda: state_of(pid) == "T")
        [number] = jobs(waybill, served.uri)
        assert waybill("kill", served.uri, number).returncode == 0
        assert running.line() == "ended"
        assert running.wait() == 3


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_list_that_nobody_gets_is_no_success(served, environment, options):
    def run(redirection):
        return subprocess.run(["sh", "-c", f'exec "$0" jobs {options} "$1" {redirection}', WAYBILL, served.uri],
                              env=environment, capture_output=True, timeout=EVENT_SECONDS, check=False)

    assert run(">&-").returncode == 0  # there is nothing to say
    with Exec(environment, served.uri, "--", "sh", "-c", "echo x; exec cat") as running:
        assert running.line() == "x"
        done = run(">&-")
        assert (done.returncode, done.stderr) == (1, b"waybill jobs: stdout: is closed\n")
        assert run("2>&- <&-").returncode == 0


def width_of(text):
    """Columns that it takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def on_a_terminal(environment, columns, *arguments):
    """The lines that `waybill` prints on a terminal of so many columns."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([WAYBILL, *arguments], stdin=subprocess.DEVNULL, stdout=its, env=environment) as process:
        os.close(its)
        text = b""
        try:
            while piece := os.read(ours, 65536):
                text += piece
        except OSError:  # a terminal's end
            pass
        os.close(ours)
        assert wait_exit(process, EVENT_SECONDS) == 0
    return text.decode().splitlines()


def test_a_table_for_a_person(served, environment):
    """What belongs together stands below each other, and no line is longer than the terminal."""
    words = ["a", "粘包" * 30, "c" * 80]
    commands = [Exec(environment, "-n", served.uri, "--", "sh", "-c", "printf 123456789012; echo; exec tail -f /dev/null",
                     word) for word in words]
    try:
        for command in commands:
            command.line()
        wide = eventually(lambda: (lines := on_a_terminal(environment, 300, "jobs", served.uri))
                          and all("  13  " in line for line in lines[1:]) and lines)
        assert len(wide) == 1 + len(words) and wide[0].split()[-2:] == ["CLIENT", "COMMAND"]
        begin = wide[0].index("COMMAND")
        assert [line[begin:].startswith("sh -c ") for line in wide[1:]] == [True] * len(words)
        assert {line[wide[0].index("OUT"):].split()[0] for line in wide[1:]} == {"13"}
        for columns in (begin + 75, begin + 6, 40, 11, 1):
            narrow = on_a_terminal(environment, columns, "jobs", served.uri)
            assert all(width_of(line) <= columns for line in narrow), narrow
            # Ages go on; where they stand does not.
            assert [re.sub(r"\d+", "0", line)[:30] for line in narrow] == \
                [re.sub(r"\d+", "0", line[:columns])[:30] for line in wide]
    finally:
        for command in commands:
            command.signal(signal.SIGTERM)
            assert command.wait() == 128 + signal.SIGTERM
            command.__exit__()


def test_text_of_commands_is_escaped(served, environment, waybill):
    with Exec(environment, served.uri, "--", "sh", "-c", "echo; cat # \x1b[2J\n") as running:
        running.line()
        for arguments in (["jobs", served.uri], ["jobs", "--json", served.uri]):
            done = waybill(*arguments)
            assert b"\x1b" not in done.stdout and done.stdout.count(b"\n") == 1
        running.process.stdin.close()
        assert running.wait() == 0


def test_kill_ends_a_command(served, environment, waybill, tmp_path):
    with Exec(environment, "--result", tmp_path / "r", served.uri, "--", *FOREVER) as running:
        [number] = eventually(lambda: jobs(waybill, served.uri))
        done = waybill("kill", served.uri, number)
        assert (done.returncode, done.stderr) == (0, b"")
        assert running.wait() != 0
    assert outcome(tmp_path / "r")["outcome"] in ("signaled", "cancelled")


def test_kill_with_a_signal(served, environment, waybill):
    for name in ("USR1", "SIGUSR1", "10"):
        with Exec(environment, served.uri, "--", "sh", "-c", "trap 'exit 5' USR1; echo; tail -f /dev/null & wait") as running:
            running.line()
            [number] = jobs(waybill, served.uri)
            assert waybill("kill", "-s", name, served.uri, number).returncode == 0
            assert running.wait() == 5


def test_kill_with_a_signal_that_nobody_knows(served, environment, waybill):
    """A client of another make may know one that this daemon does not: nothing happens, and it is told so."""
    pid = leave_behind(environment, served.uri, "exec tail -f /dev/null")
    number = wait_until_left(waybill, served.uri)
    with Peer(served.uri) as peer:
        peer.say("open", id=1, service="kill", job=number, signal="NOVEL")
        told = peer.hear_until("opened", "exit")[0]
        assert (told.get("outcome"), told.get("error")) == ("refused", "malformed"), told
        peer.say("bye")
    assert is_running(pid)
    assert waybill("kill", served.uri, str(number)).returncode == 0


def test_kill_what_is_not_there(served, waybill):
    done = waybill("kill", served.uri, 12345, 12346)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 2 and b"12345" in done.stderr and b"12346" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["kill", "local"], ["kill", "local", "x"], ["kill", "local", "0"], ["kill", "-s", "NOPE", "local", "1"],
    ["jobs"], ["jobs", "local", "x"], ["attach", "local"], ["attach", "local", "-1"],
    ["attach", "--from", "here", "local", "1"],
])
def test_wrong_command_lines(waybill, arguments):
    done = waybill(*arguments)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1


def test_nobody_there(waybill, tmp_path):
    uri = f"unix://{tmp_path}/none"
    for arguments in (["jobs", uri], ["kill", uri, "1"], ["attach", uri, "1"]):
        done = waybill(*arguments)
        assert done.returncode != 0 and b"connect to" in done.stderr and done.stderr.count(b"\n") == 1


def test_attach_from_the_start(served, environment, waybill):
    pid = leave_behind(environment, served.uri, "echo more; read x; echo got $x; exit 6")
    number = wait_until_left(waybill, served.uri)
    with Exec(environment, "--from", "start", served.uri, number, command="attach") as attached:
        assert [attached.line(), attached.line()] == [str(pid), "more"]
        attached.process.stdin.write(b"word\n")
        attached.process.stdin.close()
        assert attached.line() == "got word"
        assert attached.wait() == 6
    eventually(lambda: jobs(waybill, served.uri) == {})


def test_attach_from_where_it_was_left(served, environment, waybill):
    """Of the last bytes that a client has had the daemon need not know yet: they come again."""
    count = 1_000_000
    with Exec(environment, "--on-disconnect", "detach", served.uri, "--", "sh", "-c",
              f"head -c {count} /dev/zero; read x; echo after; exit 6") as running:
        assert running.process.stdout.read(count) == bytes(count)
        running.signal(signal.SIGKILL)
        running.wait()
    number = wait_until_left(waybill, served.uri)
    with Exec(environment, served.uri, number, command="attach") as attached:
        attached.process.stdin.close()
        seen = attached.process.stdout.read()
        assert attached.wait() == 6
    assert seen.endswith(b"after\n") and (bytes(count) + b"after\n").endswith(seen) and len(seen) < count


def test_attach_to_what_has_ended(served, environment, waybill, tmp_path):
    pid = leave_behind(environment, served.uri, "read x; echo after; echo err >&2; exit 6")
    number = wait_until_left(waybill, served.uri)
    assert waybill("kill", "-s", "KILL", served.uri, number).returncode == 0
    eventually(lambda: not is_running(pid))
    with Exec(environment, "--result", tmp_path / "r", served.uri, number, command="attach") as attached:
        assert attached.wait() == 137
    assert outcome(tmp_path / "r")["outcome"] == "signaled"


def test_attach_to_a_part(served):
    """What the new client does not want does not hold the command up either."""
    with Peer(served.uri) as first:
        first.exec(1, "sh", "-c", f"read x; head -c {4 * MIB} /dev/zero >&2; echo done", up=[0],
                   on_disconnect="detach")
        job = first.hear_until("opened")[0]["job"]
        first.say("bye")
        first.hear_all()
    with Peer(served.uri) as second:
        second.say("open", id=1, service="attach", job=job, up=[0], down=[1])
        second.hear_until("opened")
        second.say("data", b"\n", id=1, stream=0, offset=0)
        assert second.hear_until("data")[1] == b"done\n"
        exit_told = second.hear_until("exit")[0]
        assert (exit_told["outcome"], exit_told["code"]) == ("exited", 0)
        second.say("bye")


def test_attach_forwards_signals(served, environment, waybill):
    leave_behind(environment, served.uri, "trap 'exit 8' INT; tail -f /dev/null & wait")
    number = wait_until_left(waybill, served.uri)
    with Exec(environment, "--from", "start", served.uri, number, command="attach") as attached:
        attached.line()
        attached.signal(signal.SIGINT)
        assert attached.wait() == 8


def test_attach_to_nothing(served, waybill, tmp_path):
    done = waybill("attach", "--result", tmp_path / "r", served.uri, 4711)
    assert done.returncode == 255 and b"job" in done.stderr
    assert outcome(tmp_path / "r")["outcome"] == "refused"
