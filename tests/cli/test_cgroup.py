"""serve --cgroup: what a command started is ended with it wherever it went, and nothing is left behind."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from conftest import eventually, wait_exit
from sessions import Exec, is_running, jobs

# Says the number of a process in a session of its own, which holds none of the command's pipes.
GONE = "echo $(setsid sh -c 'echo $$; exec tail -f /dev/null >/dev/null 2>&1' &);"
DEAF = GONE.replace("echo $$", "trap \"\" HUP TERM; echo $$")


def find_mount():
    """Where cgroup version 2 is mounted, or None."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        place, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(place.split()[4])
    return None


def own_folder():
    mount = find_mount()
    if mount is None:
        pytest.skip("no cgroup (version 2) is mounted")
    lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    return mount / next(line for line in lines if line.startswith("0::")).removeprefix("0::/")


def leaves(folder):
    return sorted(path.name for path in folder.glob("waybill-*"))


def remove(folder):
    """With what is left in it: nobody lives there any more."""
    for path in folder.glob("waybill-*"):
        path.rmdir()
    folder.rmdir()


@pytest.fixture
def cgroup():
    """A cgroup that a daemon may divide."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="waybilltest-", dir=own_folder()))
    except OSError as error:
        pytest.skip(f"no cgroup (version 2) can be made here: {error}")
    if not (folder / "cgroup.kill").exists():
        folder.rmdir()
        pytest.skip("this kernel cannot kill a cgroup (5.14 and later can)")
    yield folder
    eventually(lambda: "populated 0" in (folder / "cgroup.events").read_text(encoding="ascii"))
    remove(folder)


@pytest.fixture
def served(cgroup, daemon, tmp_path):  # in this order: the daemon ends first
    return daemon("--listen", f"unix://{tmp_path}/s", "--cgroup", cgroup)


def shell(line):
    return ("--", "sh", "-c", line)


def end(pid):
    """Ends a survivor, and waits until it is gone."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_running(pid))


def test_where_they_are_is_told(served, cgroup):
    served.stderr.find_all(rf"^waybill serve: each command gets a cgroup, in {cgroup}$")


@pytest.mark.parametrize("log, told", [
    ("text", r"^waybill serve: commands get no cgroups: --cgroup none$"),
    ("json", r'^\{"time":"[^"]*","event":"cgroup","reason":"--cgroup none"\}$'),
])
def test_that_there_are_none_is_told(daemon, tmp_path, log, told):
    running = daemon("--listen", f"unix://{tmp_path}/s", "--log", log, "--cgroup", "none")
    running.stderr.find_all(told)


def test_why_there_are_none_is_told(daemon, tmp_path):
    """auto: it may be that there are some."""
    running = daemon("--listen", f"unix://{tmp_path}/s", "--log", "json")
    [line] = running.stderr.find_all(r'^(\{.*"event":"cgroup".*\})$')
    told = json.loads(line)
    assert bool(told.get("folder")) != bool(told.get("reason")), told


def test_each_command_has_its_own(served, environment, cgroup):
    with Exec(environment, served.uri, *shell("grep ^0:: /proc/self/cgroup; read x")) as one, \
            Exec(environment, served.uri, *shell("grep ^0:: /proc/self/cgroup; read x")) as other:
        names = {one.line().rsplit("/", 1)[1], other.line().rsplit("/", 1)[1]}
        for running in (one, other):
            running.process.communicate(b"\n")
    assert len(names) == 2
    assert names <= set(leaves(cgroup))
    # The daemon itself stays where it was.
    assert "waybill-" not in Path(f"/proc/{served.pid}/cgroup").read_text(encoding="utf-8")


@pytest.mark.parametrize("gone", [GONE, DEAF])
def test_a_timeout_ends_what_left(served, waybill, gone):
    told = waybill("exec", "--timeout", "500ms", served.uri, *shell(gone + "exec tail -f /dev/null"))
    assert told.returncode == 124
    assert not is_running(int(told.stdout))  # once it is reported it is so


def test_what_comes_after_a_kill(served, waybill):
    """A cgroup that was killed may kill whoever is started in it next: nobody is."""
    for _ in range(3):
        assert waybill("exec", "--timeout", "1ms", served.uri, *shell(DEAF + "exec tail -f /dev/null")).returncode == 124
        for number in range(3):
            assert waybill("exec", served.uri, *shell(f"exit {number}")).returncode == number


def test_a_command_that_kills_its_own_cgroup(served, waybill, cgroup):
    """It is over, and nobody else: not even whoever would have been started there next."""
    told = waybill("exec", served.uri, *shell(f"echo 1 >{cgroup}/waybill-{served.pid}-0/cgroup.kill; exec cat"))
    assert told.returncode == 128 + signal.SIGKILL
    for _ in range(3):
        told = waybill("exec", served.uri, *shell("grep ^0:: /proc/self/cgroup"))
        assert told.returncode == 0
        assert told.stdout.decode().strip().rsplit("/", 1)[1] in leaves(cgroup)


def test_kill_ends_what_left(served, environment, waybill):
    with Exec(environment, served.uri, *shell(GONE + "exec tail -f /dev/null")) as running:
        pid = int(running.line())
        assert is_running(pid)
        [number] = jobs(waybill, served.uri)
        assert waybill("kill", served.uri, number).returncode == 0
        running.wait()
        eventually(lambda: not is_running(pid))


def test_a_lost_client_ends_what_left(served, environment):
    line = GONE + "exec tail -f /dev/null"
    with Exec(environment, "--on-disconnect", "kill", served.uri, *shell(line)) as running:
        pid = int(running.line())
        running.signal(signal.SIGKILL)
        running.wait()
        eventually(lambda: not is_running(pid))


def test_a_normal_end_kills_nothing(served, waybill, cgroup):
    """And whoever stays keeps its cgroup to itself: what others are ended with does not reach it."""
    told = waybill("exec", served.uri, *shell(GONE))
    pid = int(told.stdout)
    try:
        assert told.returncode == 0
        where = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").rsplit("/", 1)[1].strip()
        for _ in range(3):
            other = waybill("exec", "--timeout", "200ms", served.uri,
                            *shell("grep ^0:: /proc/self/cgroup; exec tail -f /dev/null"))
            assert other.returncode == 124
            assert other.stdout.decode().strip().rsplit("/", 1)[1] != where
        assert is_running(pid)
        assert served.stop() == 0  # nor does the daemon's end
        assert is_running(pid)
        assert leaves(cgroup) == [where]
    finally:
        end(pid)


def test_the_next_daemon_tidies_up(served, daemon, tmp_path, waybill, cgroup):
    pid = int(waybill("exec", served.uri, *shell(GONE)).stdout)
    try:
        assert served.stop() == 0
        assert len(leaves(cgroup)) == 1
    finally:
        end(pid)
    daemon("--listen", f"unix://{tmp_path}/2", "--cgroup", cgroup)
    assert not any(name.startswith(f"waybill-{served.pid}-") for name in leaves(cgroup))


def test_three_hundred_commands_leave_nothing(served, waybill, cgroup):
    """One after the other and side by side; some fail, some are ended."""
    def work():
        for number in range(50):
            told = waybill("exec", served.uri, *shell(f"exit {number}"))
            assert told.returncode == number

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    assert waybill("exec", served.uri, "--", "/nonexistent").returncode == 127
    assert waybill("exec", "--timeout", "200ms", served.uri, *shell(GONE + "tail -f /dev/null")).returncode == 124
    for worker in workers:
        worker.join()
    assert 0 < len(leaves(cgroup)) <= 64
    assert served.stop() == 0
    assert leaves(cgroup) == []


def test_a_hurried_end_leaves_nothing(served, environment, cgroup):
    with Exec(environment, served.uri, *shell(DEAF + "exec tail -f /dev/null")) as running:
        pid = int(running.line())
        eventually(lambda: served.process.terminate() or served.process.poll() is not None)
        assert wait_exit(served.process) == 0
        assert not is_running(pid)
        assert leaves(cgroup) == []


@pytest.mark.parametrize("folder, word", [("/nonexistent", b"No such file"), ("/proc", b"no cgroup"),
                                          ("/dev/null", b"Not a directory")])
def test_a_folder_that_is_none(waybill, tmp_path, folder, word):
    told = waybill("serve", "--listen", f"unix://{tmp_path}/s", "--cgroup", folder)
    assert told.returncode == 1
    assert told.stderr.count(b"\n") == 1
    assert b"--cgroup" in told.stderr and folder.encode() in told.stderr and word in told.stderr


def test_a_folder_of_somebody_elses(second_user, public_binary, cgroup):
    """Not writable; then writable, but the kernel lets nobody move a process there who does not own both ends."""
    arguments = [public_binary, "serve", "--listen", "tcp://127.0.0.1:0", "--cgroup", str(cgroup)]
    for _ in range(2):
        told = subprocess.run(arguments, capture_output=True, timeout=20, cwd="/", check=False,
                              env={"TMPDIR": "/tmp"}, **second_user.popen_options)
        assert told.returncode == 1
        assert b"--cgroup" in told.stderr and b"Permission denied" in told.stderr
        assert leaves(cgroup) == []
        for path in (cgroup, cgroup / "cgroup.procs"):
            os.chown(path, second_user.uid, second_user.gid)


def test_without_delegation(daemon, second_user, public_binary, environment):
    """A plain user's daemon, and one that is told so: commands run as ever, and what leaves them survives."""
    served = [daemon("--listen", "tcp://127.0.0.1:0", "--cgroup", "none"),
              daemon("--listen", "tcp://127.0.0.1:0", cwd="/", env={"TMPDIR": "/tmp"}, executable=public_binary,
                     **second_user.popen_options)]
    for one, user in zip(served, ({"env": environment}, {"env": {}, **second_user.popen_options})):
        told = subprocess.run([public_binary, "exec", "--timeout", "500ms", one.uri,
                               *shell(GONE + "exec tail -f /dev/null")],
                              capture_output=True, timeout=20, cwd="/", check=False, **user)
        assert told.returncode == 124, told.stderr
        assert is_running(int(told.stdout))
        end(int(told.stdout))


@pytest.fixture
def delegated(cgroup, daemon, second_user, public_binary):
    """The daemon of a plain user who was given the cgroup that it is in, as a service manager does. No option."""
    for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(cgroup / name, second_user.uid, second_user.gid)

    def enter():
        (cgroup / "cgroup.procs").write_text("0", encoding="ascii")
        os.setgroups([])
        os.setgid(second_user.gid)
        os.setuid(second_user.uid)

    return daemon("--listen", "tcp://127.0.0.1:0", cwd="/", env={"TMPDIR": "/tmp"}, executable=public_binary,
                  preexec_fn=enter)


def exec_as(user, binary, *arguments):
    return subprocess.Popen([binary, "exec", *arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, cwd="/", env={}, **user.popen_options)


def test_a_delegated_cgroup_is_found(delegated, cgroup, second_user, public_binary):
    assert len(leaves(cgroup)) == 1  # one was tried
    with exec_as(second_user, public_binary, "--timeout", "500ms", delegated.uri,
                 *shell(GONE + "exec tail -f /dev/null")) as running:
        pid = int(running.stdout.readline())
        assert wait_exit(running) == 124
    assert not is_running(pid)
    assert delegated.stop() == 0
    assert leaves(cgroup) == []


def test_kill_reaches_other_users(delegated, cgroup, second_user, public_binary):
    """What sudo starts is root's, and no signal of the daemon's reaches it; its cgroup's end does."""
    with subprocess.Popen(["tail", "-f", "/dev/null"], start_new_session=True) as stranger, \
            exec_as(second_user, public_binary, "--timeout", "500ms", delegated.uri,
                    *shell("grep ^0:: /proc/self/cgroup; exec tail -f /dev/null")) as running:
        leaf = running.stdout.readline().decode().strip().rsplit("/", 1)[1]
        (cgroup / leaf / "cgroup.procs").write_text(str(stranger.pid), encoding="ascii")
        assert wait_exit(running) == 124
        assert wait_exit(stranger) == -signal.SIGKILL


def test_root_wants_a_mark(cgroup, daemon):
    """Root may write everywhere; what is its own to divide, systemd says."""
    if os.geteuid() != 0:
        pytest.skip("this is about root")

    def enter():
        (cgroup / "cgroup.procs").write_text("0", encoding="ascii")

    daemon("--listen", "upper+tcp://127.0.0.1:0", preexec_fn=enter)
    assert leaves(cgroup) == []
    try:
        os.setxattr(cgroup, "trusted.delegate", b"1")
    except OSError as error:
        pytest.skip(f"a cgroup cannot be marked here: {error}")
    daemon("--listen", "upper+tcp://127.0.0.1:0", preexec_fn=enter)
    assert len(leaves(cgroup)) == 1
