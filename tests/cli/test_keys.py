"""--key: a command that is asked for twice runs once."""

import pytest

from conftest import eventually
from sessions import Exec, jobs, outcome


@pytest.fixture
def uri(daemon):
    return daemon("--listen", "tcp://127.0.0.1:0").uri


def test_a_key_runs_once(waybill, uri, tmp_path):
    marker = tmp_path / "ran"
    command = ("exec", "--key", "deploy 42", "--result", tmp_path / "result", uri, "--", "sh", "-c",
               f"echo ran >> {marker}; exit 3")
    assert waybill(*command).returncode == 3
    again = waybill(*command)
    assert again.returncode == 255
    assert b"ran before: exited with code 3" in again.stderr
    result = outcome(tmp_path / "result")
    assert (result["outcome"], result["error"]) == ("refused", "done")
    assert marker.read_text() == "ran\n"


@pytest.mark.parametrize("options, script, end", [
    ((), "kill -KILL $$", b"ended by signal KILL"), (("--timeout", "10ms"), "exec tail -f /dev/null", b"timeout")])
def test_who_asks_again_hears_how_it_ended(waybill, uri, options, script, end):
    command = ("exec", "--key", "k", *options, uri, "--", "sh", "-c", script)
    waybill(*command)
    again = waybill(*command)
    assert again.returncode == 255 and b"ran before: " + end in again.stderr, again.stderr


def test_a_key_stands_for_one_command(waybill, uri):
    assert waybill("exec", "--key", "k", uri, "--", "echo", "a", "b").stdout == b"a b\n"
    for other in (("echo", "a b"), ("echo", "a", "b", ""), ("true",), ("echo", "a", "c")):
        done = waybill("exec", "--key", "k", uri, "--", *other)
        assert done.returncode == 255 and b"another command" in done.stderr
    assert waybill("exec", "--key", "k2", uri, "--", "echo", "a b").stdout == b"a b\n"


def test_the_same_bytes_may_mean_another_command(waybill, uri):
    """Argument, environment, folder, a shell's line: each would travel as the same bytes."""
    assert waybill("exec", "--key", "k", uri, "--", "echo", "a=b").stdout == b"a=b\n"
    assert waybill("exec", "--key", "one", uri, "--", "echo").stdout == b"\n"
    for key, options in (("k", ("-e", "a=b", uri, "--", "echo")), ("k", ("--cwd", "a=b", uri, "--", "echo")),
                         ("one", ("--shell", "echo", uri)), ("one", ("-t", uri, "--", "echo"))):
        done = waybill("exec", "--key", key, *options)
        assert done.returncode == 255 and b"another command" in done.stderr, (options, done.stderr)


def test_what_never_started_frees_its_key(waybill, uri, tmp_path):
    command = ("exec", "--key", "k", "--cwd", tmp_path / "later", uri, "--", "echo", "here")
    assert waybill(*command).returncode == 255
    (tmp_path / "later").mkdir()
    assert waybill(*command).stdout == b"here\n"


def test_a_lost_client_finds_its_command_again(waybill, environment, uri):
    """The client dies; the same command line goes on with the same job, output and all."""
    command = ("--key", "k", "--on-disconnect", "detach", uri, "--", "sh", "-c",
               "echo $$; read line; echo $line; exit 5")
    with Exec(environment, *command) as first:
        pid = first.line()
        busy = waybill("exec", *command)
        assert busy.returncode == 255 and b"connected" in busy.stderr
        first.process.kill()
        first.wait()
    eventually(lambda: [job["status"] for job in jobs(waybill, uri).values()] != ["running"])
    again = waybill("exec", *command, input=b"hello\n")
    assert again.stdout.decode() == f"{pid}\nhello\n"
    assert again.returncode == 5
