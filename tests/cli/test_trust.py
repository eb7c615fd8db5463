"""trust, and the question on a terminal: a host's key looked at and written down."""

import os
import pty
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, WAYBILL, wait_exit
from secure import Place, fingerprint, need, place, public, ssh_keygen

__all__ = ["Place", "place"]


class Terminal:
    """A program on a terminal of its own, with somebody who types."""

    def __init__(self, environment, *arguments):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen([WAYBILL, *map(str, arguments)], env=environment, stdin=theirs,
                                        stdout=subprocess.PIPE, stderr=theirs, start_new_session=True,
                                        preexec_fn=self._be_in_the_foreground)
        os.close(theirs)
        self.shown = ""

    @staticmethod
    def _be_in_the_foreground():
        os.close(os.open(os.ttyname(0), os.O_RDWR))
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for what it starts in the background

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        os.close(self._ours)

    def expect(self, text):
        deadline = time.monotonic() + EVENT_SECONDS
        while text not in self.shown:
            assert select.select([self._ours], [], [], max(0, deadline - time.monotonic()))[0], self.shown
            try:
                self.shown += os.read(self._ours, 65536).decode()
            except OSError:
                raise AssertionError(f"no {text!r} in {self.shown!r}") from None

    def type(self, text):
        os.write(self._ours, text.encode())

    def wait(self):
        return wait_exit(self.process)


@pytest.fixture
def fresh(place):
    """A daemon whose host nobody knows."""
    running = place.serve()
    place.known.unlink()
    return running


def test_the_fingerprint_is_what_ssh_keygen_prints(place, fresh, waybill):
    need("ssh-keygen")
    done = waybill("trust", "--yes", "--known-hosts", place.known, fresh.uri)
    size, shown, *_, kind = subprocess.run(["ssh-keygen", "-lf", place.host], capture_output=True, check=True,
                                           text=True, timeout=EVENT_SECONDS).stdout.split()
    assert (done.returncode, done.stdout.decode()) == (0, f"{size} {shown} {kind}\n"), done.stderr
    assert place.known.read_text(encoding="ascii") == (
        f"[127.0.0.1]:{fresh.port} {' '.join(public(place.host).split()[:2])}\n")
    assert place.known.stat().st_mode & 0o777 == 0o600
    assert place.gets_in(fresh.uri)
    # ssh-keygen finds the host in what we wrote.
    found = subprocess.run(["ssh-keygen", "-F", f"[127.0.0.1]:{fresh.port}", "-f", place.known], check=True,
                           capture_output=True, text=True, timeout=EVENT_SECONDS)
    assert public(place.host).split()[1] in found.stdout


@pytest.mark.parametrize("hashed", [[], ["-H"]])
def test_what_ssh_keyscan_writes(place, tmp_path, hashed):
    """sshd and we serve with the same host key, one after the other at the same port."""
    need("ssh-keyscan")
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if not sshd:
        pytest.skip("there is no sshd here for ssh-keyscan to ask (Debian: openssh-server)")
    if os.geteuid() == 0 and "sshd:" not in Path("/etc/passwd").read_text(encoding="utf-8"):
        pytest.skip("root's sshd needs the account sshd, which is not here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = tmp_path / "sshd_config"
    settings.write_text(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place.host}\nPidFile none\n",
                        encoding="ascii")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    with subprocess.Popen([sshd, "-D", "-e", "-f", settings], stderr=subprocess.PIPE, text=True) as server:
        while "listening on" not in (line := server.stderr.readline()):
            assert line, "sshd did not start"
        scan = subprocess.run(["ssh-keyscan", *hashed, "-t", "ed25519", "-p", str(port), "127.0.0.1"], text=True,
                              check=True, capture_output=True, timeout=EVENT_SECONDS)
        server.kill()
    assert scan.stdout.startswith("|1|" if hashed else f"[127.0.0.1]:{port} "), scan.stderr
    running = place.serve("--listen", f"tls://127.0.0.1:{port}")
    place.known.write_text(scan.stdout, encoding="ascii")
    assert place.gets_in(running.uris[1])


def test_a_known_host_is_not_written_twice(place, waybill):
    running = place.serve()
    before = place.known.read_bytes()
    assert waybill("trust", "--known-hosts", place.known, running.uri).returncode == 0
    assert place.known.read_bytes() == before


def test_in_a_script_nothing_is_trusted_by_itself(place, fresh, waybill):
    done = waybill("trust", "--known-hosts", place.known, fresh.uri)
    assert done.returncode == 255 and b"--fingerprint" in done.stderr
    done = waybill("trust", "--known-hosts", place.known, "--fingerprint", "SHA256:" + "A" * 43, fresh.uri)
    assert done.returncode == 255 and b"another one" in done.stderr
    assert not place.known.exists()
    done = waybill("trust", "--known-hosts", place.known, "--fingerprint", fingerprint(place.host), fresh.uri)
    assert done.returncode == 0 and place.gets_in(fresh.uri)


def test_the_command_that_trusts_can_be_pasted(place, fresh):
    """A shell takes each of its words as one, whatever stands in it."""
    known = place.folder / "it's here" / "known hosts"
    destination = f"$(touch ran);`id`@127.0.0.1:{fresh.port}"
    message = place.is_refused(destination, options=["-i", place.key, "--known-hosts", known])
    line = next(line for line in message.splitlines() if line.startswith("  waybill trust "))
    assert shlex.split(line) == ["waybill", "trust", "--fingerprint", fingerprint(place.host), "--known-hosts",
                                 str(known), destination]
    assert place._waybill(*shlex.split(line)[1:]).returncode == 0
    assert place.gets_in(fresh.uri, options=["-i", place.key, "--known-hosts", known])


def test_a_changed_key_is_not_written_down(place, waybill):
    running = place.serve()
    other = ssh_keygen(place.folder / "other")
    place.known.write_text(f"[127.0.0.1]:{running.port} {public(other)}", encoding="utf-8")
    before = place.known.read_bytes()
    for how in ([], ["--yes"], ["--fingerprint", fingerprint(place.host)]):
        done = waybill("trust", *how, "--known-hosts", place.known, running.uri)
        assert done.returncode == 255 and b"HAS ANOTHER KEY" in done.stderr
    assert place.known.read_bytes() == before


@pytest.mark.parametrize("destination, word", [
    ("local", b"only over tls"), ("unix:///x", b"only over tls"), ("tls://127.0.0.1:1", b"refused"),
    ("a/b", b"not a destination"), ("@host", b"user"), ("tls://", b"not a destination"),
])
def test_wrong_destinations(waybill, destination, word):
    done = waybill("trust", "--yes", destination)
    assert done.returncode == 255 and word in done.stderr, done.stderr


@pytest.mark.parametrize("answer", ["yes", "fingerprint"])
def test_the_question_answered(place, fresh, environment, answer):
    with Terminal(environment, "exec", *place.options, fresh.uri, "--", "echo", "in") as terminal:
        terminal.expect(f"256 {fingerprint(place.host)} (ED25519)")
        terminal.type("what\n")
        terminal.expect("Please type yes, no, or the fingerprint")
        terminal.type((fingerprint(place.host) if answer == "fingerprint" else "yes") + "\n")
        assert terminal.wait() == 0
        assert terminal.process.stdout.read() == b"in\n"
    assert place.gets_in(fresh.uri)  # and is not asked again


def test_the_question_denied(place, fresh, environment):
    with Terminal(environment, "exec", *place.options, fresh.uri, "--", "echo", "in") as terminal:
        terminal.expect("yes, no, or the fingerprint")
        terminal.type("no\n")
        assert terminal.wait() == 255
        assert terminal.process.stdout.read() == b""
    assert not place.known.exists()


def test_the_question_interrupted(place, fresh, environment):
    with Terminal(environment, "exec", *place.options, fresh.uri, "--", "echo", "in") as terminal:
        terminal.expect("yes, no, or the fingerprint")
        terminal.type("\x03")
        assert terminal.wait() == -signal.SIGINT


def test_stdin_is_left_to_the_command(place, fresh, environment):
    """The question goes to the terminal, and so does the answer, whatever stdin is."""
    with Terminal(environment, "trust", "--known-hosts", place.known, fresh.uri) as terminal:
        terminal.expect("yes, no, or the fingerprint")
        terminal.type("yes\n")
        assert terminal.wait() == 0
    assert place.gets_in(fresh.uri)


NAMES = [
    ("*", True), ("127.0.0.*", True), ("127.0.0.?", True), ("[127.0.0.1]:{port}", True), ("far,127.0.0.1,near", True),
    ("[127.0.0.1]:1", False), ("127.0.0.2", False), ("*,!127.0.0.1,![127.0.0.1]:{port}", False),
    ("![127.*,[127.0.0.1]:{port}", False), ("# 127.0.0.1", False), ("@cert-authority *", False), ("@unheard-of *", False),
]


@pytest.mark.parametrize("names, is_known", NAMES)
def test_what_names_a_host(place, names, is_known):
    running = place.serve()
    other = public(ssh_keygen(place.folder / "other"))
    names = names.format(port=running.port)
    place.known.write_text(f"elsewhere {other}{names} {public(place.host)}", encoding="utf-8")
    assert place.gets_in(running.uri) if is_known else place.is_refused(running.uri, "not known")


@pytest.mark.parametrize("names, word", [("*,!127.0.0.1,![127.0.0.1]:{port}", None), ("127.*", "REVOKED"),
                                         ("[127.0.0.1]:{port}", "REVOKED")])
def test_whom_a_revoked_line_names(place, names, word):
    """Wherever the line stands, and whatever else is known of the key."""
    running = place.serve()
    revoked = f"@revoked {names.format(port=running.port)} {public(place.host)}"
    for text in (revoked + place.known.read_text("utf-8"), place.known.read_text("utf-8") + revoked):
        place.known.write_text(text, encoding="utf-8")
        assert place.is_refused(running.uri, word) if word else place.gets_in(running.uri)


def test_several_keys_of_a_host(place):
    """One of them is enough, in lines that were written twice, with line ends of another system, or without one."""
    running = place.serve()
    other = public(ssh_keygen(place.folder / "other"))
    right = place.known.read_text("utf-8")
    for text in (right.replace(public(place.host), other) + right, right + right, right.replace("\n", "\r\n"),
                 right.rstrip("\n")):
        place.known.write_text(text, encoding="utf-8", newline="")
        assert place.gets_in(running.uri)
