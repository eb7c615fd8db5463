"""What the black-box tests share: the real binary ($WAYBILL), daemons of it, a second user.

Nothing here sleeps. A test waits for an event (a line on stderr, a process's end, a readable socket) with
a deadline; only what the kernel shows to those who look (/proc) is looked at again and again.
"""

import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYBILL = os.environ.get("WAYBILL") or str(ROOT / "build" / "waybill")
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable

TEST_SECONDS = 120  # no test may take longer
EVENT_SECONDS = 20  # no event may

# In the background, or under nohup, these may be ignored, and a client of ours leaves it so.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


def sanitizer():
    """"address", "thread" or "": how the binary was built. Memory and speed mean nothing where it is set."""
    try:
        binary = Path(WAYBILL).read_bytes()
    except OSError:
        return ""
    return "address" if b"__asan_init" in binary else "thread" if b"__tsan_init" in binary else ""


def libraries():
    """What a program that uses libwaybill.a links with, as waybill.pc beside the binary says."""
    lines = (Path(WAYBILL).parent / "waybill.pc").read_text(encoding="utf-8").splitlines()
    libs = next(line for line in lines if line.startswith("Libs:"))
    return libs.split("-lwaybill", 1)[1].split()


def eventually(predicate, seconds=EVENT_SECONDS):
    """Looks until predicate() is true and returns what it returned; for what sends no event."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        assert time.monotonic() < deadline, f"not so after {seconds} s: {predicate}"
        os.sched_yield()


def wait_readable(source, seconds=EVENT_SECONDS):
    """Waits until a socket, pipe or descriptor is readable (or at its end)."""
    poller = select.poll()
    poller.register(source, select.POLLIN)
    assert poller.poll(seconds * 1000), f"nothing to read after {seconds} s"


def wait_exit(process, seconds=EVENT_SECONDS):
    """The exit code of a Popen; kills it, and fails, if it does not end in time."""
    if process.poll() is not None:
        return process.returncode
    pidfd = os.pidfd_open(process.pid)
    try:
        wait_readable(pidfd, seconds)
    except AssertionError:
        process.kill()
        process.wait()
        raise AssertionError(f"{process.args} did not end in {seconds} s") from None
    finally:
        os.close(pidfd)
    return process.wait()


class Stderr:
    """A process's standard error, collected by a thread; can be waited on."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self):
        for line in self._pipe:
            with self._changed:
                self._text += line.decode("utf-8", "replace")
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self):
        with self._changed:
            return self._text

    def find_all(self, pattern, count=1, seconds=EVENT_SECONDS):
        """Waits for `count` matches of a pattern (^ and $ match at lines) and returns them all."""

        def found():
            return re.findall(pattern, self._text, re.MULTILINE)

        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(found()) >= count, seconds)
            assert len(found()) >= count, f"no {pattern!r} on stderr:\n{self._text}"
            return found()

    def close(self):
        self._thread.join(EVENT_SECONDS)
        self._pipe.close()


class Daemon:
    """A running `waybill serve`. uris and ports stand in the order of its --listen options."""

    def __init__(self, arguments, **popen_options):
        listeners = max(1, sum(bool(re.match(r"--listen(=|$)|-l", argument)) for argument in arguments))
        self.process = subprocess.Popen([WAYBILL, "serve", *arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        **popen_options)
        self.pid = self.process.pid
        self.stderr = Stderr(self.process.stderr)
        try:
            self.uris = self.stderr.find_all(r"^listening (\S+)$", listeners)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            self.stderr.close()
            raise
        self.ports = [int(uri.rsplit(":", 1)[1]) if uri[-1].isdigit() and "unix:" not in uri else None
                      for uri in self.uris]

    @property
    def uri(self):
        return self.uris[0]

    @property
    def port(self):
        return self.ports[0]

    @property
    def address(self):
        """(host, port) of the first listener, as socket.connect wants it."""
        return self.uri.split("://", 1)[1].rsplit(":", 1)[0].strip("[]"), self.port

    def descriptors(self):
        """What its open descriptors are: number → link. Without those of cgroups that wait for the next command."""
        folder = f"/proc/{self.pid}/fd"
        links = {}
        for name in os.listdir(folder):
            try:
                links[int(name)] = os.readlink(f"{folder}/{name}")
            except FileNotFoundError:
                continue
        return {number: link for number, link in links.items() if f"/waybill-{self.pid}-" not in link}

    def children(self):
        """The pids of its children, zombies included."""
        folder = Path(f"/proc/{self.pid}/task")
        return [int(pid) for task in folder.iterdir() for pid in (task / "children").read_text().split()]

    def memory_bytes(self):
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024

    def stop(self, number=signal.SIGTERM):
        """Signals it, waits for its end and returns the exit code. Safe to repeat."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return wait_exit(self.process)
        finally:
            self.stderr.close()


@pytest.fixture(autouse=True)
def deadline():
    """No test hangs: after TEST_SECONDS it fails where it stands."""

    def expire(_number, _frame):
        raise TimeoutError(f"the test took more than {TEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def environment(tmp_path):
    """An environment that knows nothing of who runs the tests: HOME and the like are empty folders."""
    folders = {name: tmp_path / name.lower() for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in os.environ if name == "PATH" or name.endswith("SAN_OPTIONS")}
    return {**kept, "LANG": "C.UTF-8", **{name: str(folder) for name, folder in folders.items()}}


@pytest.fixture
def daemon(environment, tmp_path):
    """daemon(*arguments, **popen_options) starts `waybill serve` and waits until it listens. At the test's
    end each is told to stop and has to exit 0."""
    running = []

    def start(*arguments, **popen_options):
        options = {"env": environment, "cwd": tmp_path, **popen_options}
        running.append(Daemon([str(argument) for argument in arguments], **options))
        return running[-1]

    yield start
    wrong = []
    for one in running:
        try:
            code = one.stop()
        except AssertionError as error:
            wrong.append(str(error))
            continue
        if code != 0:
            wrong.append(f"the daemon's exit code is {code}")
        if wrong:
            wrong.append(one.stderr.text)
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def waybill(environment, tmp_path):
    """waybill(*arguments, **options) runs the binary to its end: a CompletedProcess with bytes."""

    def run(*arguments, **options):
        options = {"env": environment, "cwd": tmp_path, "timeout": EVENT_SECONDS, "check": False,
                   "capture_output": True, **options}
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([WAYBILL, *map(str, arguments)], **options)

    return run


class SecondUser:
    """Somebody else on this machine. popen_options make a subprocess theirs."""

    def __init__(self, uid, gid):
        self.uid, self.gid = uid, gid
        self.popen_options = {"user": uid, "group": gid, "extra_groups": []}

    def python(self, source, *arguments, **options):
        """Runs Python source as this user, in /; a CompletedProcess with bytes."""
        options = {"timeout": EVENT_SECONDS, "check": False, "capture_output": True, "cwd": "/",
                   **self.popen_options, **options}
        return subprocess.run([PYTHON, "-I", "-c", source, *map(str, arguments)], **options)


@pytest.fixture
def public_binary():
    """The binary where everybody can run it: the build may stand in a folder that is ours alone."""
    with tempfile.TemporaryDirectory(prefix="waybill-test-") as folder:
        os.chmod(folder, 0o755)
        yield shutil.copy(WAYBILL, folder)


@pytest.fixture
def second_user():
    """A user who is not the daemon's. Only root can become one, so this skips for everybody else."""
    if os.geteuid() != 0:
        pytest.skip("becoming a second user needs root")
    try:
        entry = pwd.getpwnam("nobody")
        user = SecondUser(entry.pw_uid, entry.pw_gid)
    except KeyError:
        user = SecondUser(65534, 65534)
    try:
        tried = user.python("import os; print(os.getuid())")
    except (PermissionError, subprocess.SubprocessError) as error:
        pytest.skip(f"cannot become uid {user.uid} here: {error}")
    assert tried.stdout.strip() == str(user.uid).encode(), tried.stderr
    return user
