"""The whole path of tls and keys under attack, with the real binary: agents, key files, hosts and clients that do
what no good one would."""

import base64
import fcntl
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from conftest import EVENT_SECONDS, WAYBILL
from parcels import Parcels
from secure import USER, Place, dial, fingerprint, need, place, public, ssh_keygen, tls_client
from sessions import Exec
from test_trust import Terminal

__all__ = ["Place", "place"]


def string(data):
    return struct.pack(">I", len(data)) + data


class Agent:
    """An ssh-agent made to measure: it lists one key, and answers as it was told to. Answers are whole messages
    with their length; None hangs up, "silence" says nothing at all."""

    def __init__(self, path, key, listed=None, signed=None):
        blob = base64.b64decode(public(key).split()[1])
        self.asked_to_sign = 0
        self._listed = listed or string(b"\x0c" + struct.pack(">I", 1) + string(blob) + string(b"\x1b[31mred\n"))
        self._signed = signed
        self._ended = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(EVENT_SECONDS)
        self._listener.close()

    def _serve(self, stream, connection):
        while head := stream.read(4):
            request = stream.read(struct.unpack(">I", head)[0])
            answer = self._listed
            if request[:1] == b"\x0d":
                self.asked_to_sign += 1
                answer = self._signed
            if answer is None:
                return
            if answer == "silence":
                self._ended.wait(EVENT_SECONDS)
                return
            connection.sendall(answer)

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                try:
                    self._serve(stream, connection)
                except OSError:
                    continue


# --- who we are is not for everybody to know ---


def test_a_changed_host_key_ends_the_search(place, daemon, environment):
    """A host has two addresses, and its own key only at the second: whoever answers at the first is not passed over."""
    running = place.serve()
    other = ssh_keygen(place.folder / "other_host")
    daemon("--user", USER, "--listen", f"tls://127.0.0.2:{running.port}", "--host-key", other,
           "--authorized-keys", place.authorized)
    place.known.write_text(f"[two]:{running.port} {public(other)}", encoding="utf-8")
    hosts = place.folder / "hosts"
    hosts.write_text("127.0.0.1 two\n127.0.0.2 two\n", encoding="utf-8")
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    within = ["unshare", "--mount", "sh", "-c", script, hosts]
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("naming an address takes a mount, which is not allowed here")

    def run(*options):
        return subprocess.run([*within, WAYBILL, "exec", *options, f"tls://two:{running.port}", "--", "echo", "in"],
                              env=environment, capture_output=True, check=False, timeout=EVENT_SECONDS)

    refused = run(*place.options)
    assert (refused.returncode, refused.stdout) == (255, b"") and b"HAS CHANGED" in refused.stderr, refused.stderr
    refused = run("--known-hosts", place.known, "-i", "/nonexistent")
    assert refused.returncode == 255 and b"/nonexistent: No such file" in refused.stderr, refused.stderr
    assert running.stop() == 0  # then nobody is at the first address, and the second counts
    entered = run(*place.options)
    assert (entered.returncode, entered.stdout) == (0, b"in\n"), entered.stderr


@pytest.mark.parametrize("known", ["changed", "revoked", "unknown"])
def test_a_wrong_host_does_not_learn_who_calls(place, environment, tmp_path, known):
    """Its key is judged before ours is shown, and before ssh-agent is asked for anything."""
    running = place.serve()
    if known == "changed":
        other = ssh_keygen(place.folder / "other_host")
        place.known.write_text(f"[127.0.0.1]:{running.port} {public(other)}", encoding="utf-8")
    elif known == "revoked":
        place.known.write_text(f"@revoked * {public(place.host)}", encoding="utf-8")
    else:
        place.known.unlink()
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
    with Agent(tmp_path / "agent", place.key) as agent:
        place.is_refused(running.uri, fingerprint(place.host),
                         options=["-i", f"{place.key}.pub", "--known-hosts", place.known])
        assert agent.asked_to_sign == 0
    assert place.gets_in(place.serve().uri)  # and here is a daemon that hears of the key
    assert fingerprint(place.key) not in running.stderr.text


# --- what known_hosts has besides ---


def test_other_kinds_of_key_are_named(place):
    running = place.serve()
    lines = "".join(f"[127.0.0.1]:{running.port} {public(ssh_keygen(place.folder / kind, kind=kind))}"
                    for kind in ("rsa", "ecdsa"))
    place.known.write_text(lines, encoding="utf-8")
    message = place.is_refused(running.uri, "waybill trust --fingerprint", "ssh-rsa", "ecdsa")
    assert "makes no sense" not in message


def test_lines_that_make_no_sense_are_named(place):
    running = place.serve()
    place.known.write_text("# mine\n127.0.0.1\nx ssh-ed25519 AAAA\n", encoding="utf-8")
    place.is_refused(running.uri, f"{place.known}:2 makes no sense")


def test_they_are_named_on_a_terminal(place, environment):
    running = place.serve()
    rsa = ssh_keygen(place.folder / "rsa", kind="rsa")
    place.known.write_text(f"[127.0.0.1]:{running.port} {public(rsa)}", encoding="utf-8")
    for command in (["trust", "--known-hosts", place.known, running.uri],
                    ["exec", *place.options, running.uri, "--", "true"]):
        with Terminal(environment, *command) as terminal:
            terminal.expect("ssh-rsa")
            terminal.expect("yes, no, or the fingerprint")
            terminal.type("no\n")
            assert terminal.wait() == 255


# --- agents ---


HUGE = struct.pack(">I", 0xffffffff)
AGENT_KEY = "the key"
BAD_AGENTS = {
    "a list without end": (HUGE + b"\x0c" * 100, None),
    "a list of more than there is": (string(b"\x0c" + struct.pack(">I", 0xffffffff)), None),
    "an empty answer": (struct.pack(">I", 0), None),
    "half a list": (string(b"\x0c\x00"), None),
    "another answer": (string(b"\x06"), None),
    "a signature without end": (AGENT_KEY, HUGE + b"\x0e" * 100),
    "a short signature": (AGENT_KEY, string(b"\x0e" + string(string(b"ssh-ed25519") + string(b"x")))),
    "another kind of signature": (AGENT_KEY, string(b"\x0e" + string(string(b"ssh-rsa") + string(b"x" * 64)))),
    "a refusal": (AGENT_KEY, string(b"\x05")),
    "an end": (AGENT_KEY, None),
    "a wrong signature": (AGENT_KEY, string(b"\x0e" + string(string(b"ssh-ed25519") + string(b"x" * 64)))),
}


@pytest.mark.parametrize("name", BAD_AGENTS)
def test_bad_agents(place, environment, tmp_path, name):
    """Refused in words, at once, and the agent is not asked over and over."""
    listed, signed = BAD_AGENTS[name]
    running = place.serve()
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
    options = ["-i", f"{place.key}.pub", "--known-hosts", place.known]
    with Agent(tmp_path / "agent", place.key, None if listed is AGENT_KEY else listed, signed) as agent:
        message = place.is_refused(running.uri, "signature" if name == "a wrong signature" else "ssh-agent",
                                   options=options)
        assert agent.asked_to_sign == (1 if listed is AGENT_KEY else 0), message
    assert "\x1b" not in message


def test_a_silent_agent(place, environment, tmp_path):
    running = place.serve()
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
    with Agent(tmp_path / "agent", place.key, listed="silence"):
        place.is_refused(running.uri, str(place.key), "ssh-agent: no answer",
                         options=["-i", f"{place.key}.pub", "--known-hosts", place.known])
        assert place.gets_in(running.uri)  # a key in a file needs no agent


def test_the_hello_waits_for_no_key(environment, tmp_path):
    """The host is at its answer while the client still looks for the key that it will show."""
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as agent, socket.create_server(("127.0.0.1", 0)) as host:
        agent.bind(environment["SSH_AUTH_SOCK"])
        agent.listen(1)
        for listener in (agent, host):
            listener.settimeout(EVENT_SECONDS)
        with Exec(environment, f"tls://127.0.0.1:{host.getsockname()[1]}", "--", "true",
                  stderr=subprocess.DEVNULL) as running:
            asked, _ = agent.accept()  # and is never answered
            caller, _ = host.accept()
            with asked, caller:
                caller.settimeout(EVENT_SECONDS)
                assert caller.recv(1) == b"\x16"
            assert running.wait() == 255


def test_without_a_key_no_host_is_judged(place, waybill, tmp_path):
    """However quick the host is: nobody is asked about it, and nothing is written down."""
    running = place.serve()
    for _ in range(20):
        done = waybill("exec", "--accept-new", "--known-hosts", tmp_path / "new", "-i", "/nonexistent",
                       running.uri, "--", "true")
        assert done.returncode == 255 and b"/nonexistent: No such file" in done.stderr, done.stderr
        assert not (tmp_path / "new").exists()


# --- key files ---


@pytest.fixture
def odd_file(place):
    """odd_file(kind, path) puts something in the place of a file."""

    def make(kind, path):
        path.unlink(missing_ok=True)
        if kind == "fifo":
            os.mkfifo(path, 0o600)
        elif kind == "folder":
            path.mkdir()
        elif kind == "zeros":
            path.symlink_to("/dev/zero")
        elif kind == "terminal":
            path.symlink_to("/dev/tty")
        elif kind == "loop":
            path.symlink_to(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        elif kind == "huge":
            path.touch(0o600)
            os.truncate(path, 100 << 20)
        elif kind == "endless line":
            path.write_bytes(b"x" * 500_000)
            path.chmod(0o600)
        elif kind == "noise":
            path.write_bytes(os.urandom(100_000))
            path.chmod(0o600)
        elif kind == "empty":
            path.touch(0o600)

    return make


ODD_FILES = ["fifo", "folder", "zeros", "terminal", "loop", "socket", "huge", "endless line", "noise", "empty"]


@pytest.mark.parametrize("kind", ODD_FILES)
def test_odd_key_files(place, odd_file, kind):
    running = place.serve()
    path = place.folder / "odd"
    odd_file(kind, path)
    message = place.is_refused(running.uri, str(path), options=["-i", path, "--known-hosts", place.known])
    assert len(message) < 1000


@pytest.mark.parametrize("kind", ODD_FILES)
def test_odd_known_hosts(place, odd_file, kind):
    running = place.serve()
    odd_file(kind, place.known)
    message = place.is_refused(running.uri)
    assert len(message) < 1000


@pytest.mark.parametrize("kind", ODD_FILES)
def test_odd_authorized_keys(place, odd_file, kind):
    """The daemon goes on, lets nobody in by them, and is there again once the file is."""
    running = place.serve()
    odd_file(kind, place.authorized)
    before = running.memory_bytes()
    place.is_refused(running.uri)
    assert running.memory_bytes() < before + (20 << 20)
    assert "\x1b" not in running.stderr.text
    if place.authorized.is_dir() and not place.authorized.is_symlink():
        place.authorized.rmdir()
    place.authorized.unlink(missing_ok=True)
    place.authorize("")
    assert place.gets_in(running.uri)


def test_a_link_that_others_could_turn(place):
    """The file is good, but whoever may write beside the link decides which file it is."""
    running = place.serve()
    folder = place.folder / "open"
    folder.mkdir()
    for path, options in ((place.key, ["-i", folder / "link", "--known-hosts", place.known]),
                          (place.known, ["-i", place.key, "--known-hosts", folder / "link"])):
        folder.chmod(0o777)
        (folder / "link").symlink_to(path)
        place.is_refused(running.uri, "others can write to this folder", options=options)
        folder.chmod(0o755)
        assert place.gets_in(running.uri, options=options)
        (folder / "link").unlink()


def test_a_link_of_another_user(place, second_user):
    """In a folder like /tmp it may stay there and lead to a file of ours, but we do not follow it."""
    running = place.serve()
    folder = place.folder / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    link = folder / "link"
    for path, options in ((place.key, ["-i", link, "--known-hosts", place.known]),
                          (place.known, ["-i", place.key, "--known-hosts", link])):
        link.symlink_to(path)
        assert place.gets_in(running.uri, options=options)
        os.chown(link, second_user.uid, -1, follow_symlinks=False)
        place.is_refused(running.uri, f"{link}: the link belongs to another user", options=options)
        link.unlink()
    place.authorized.rename(folder / "real")
    place.authorized.symlink_to(link)
    link.symlink_to(folder / "real")
    assert place.gets_in(running.uri)
    os.chown(link, second_user.uid, -1, follow_symlinks=False)
    place.is_refused(running.uri, "the link belongs to another user")


def test_a_lock_on_known_hosts_holds_nobody_up(place):
    """Whoever may read a file may lock it."""
    running = place.serve()
    place.known.write_text("", encoding="utf-8")
    with open(place.known, encoding="utf-8") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert place.gets_in(running.uri, options=[*place.options, "--accept-new"])
    assert place.gets_in(running.uri)


def test_control_bytes_in_names(place, environment):
    """Neither in a file's name, nor in a host's, nor in a comment do they reach the terminal."""
    running = place.serve()
    red = place.folder / "\x1b[31mred\n"
    for options in (["-i", red, "--known-hosts", place.known], ["-i", place.key, "--known-hosts", red]):
        message = place.is_refused(running.uri, options=options)
        assert "\x1b" not in message, message
    place.known.write_text(f"[127.0.0.1]:{running.port} {public(ssh_keygen(place.folder / 'other'))}", "utf-8")
    place.known.rename(red)
    for command in (["trust", "--yes", "--known-hosts", red, running.uri],
                    ["exec", "-i", place.key, "--known-hosts", red, running.uri, "--", "true"],
                    ["trust", "\x1b[31mred"], ["exec", "tls://\x1b[31mred", "--", "true"]):
        done = place._waybill(*command)
        assert done.returncode == 255 and b"\x1b" not in done.stderr, done.stderr
    odd = ssh_keygen(place.folder / "odd", comment="\x1b[31mred")
    place.authorized.write_text(f"\x1b[31mred {public(odd)}", encoding="utf-8")
    message = place.is_refused(running.uri)
    place.is_refused(running.uri, options=["-i", odd, "--known-hosts", red])
    assert "\x1b" not in message + running.stderr.text


@pytest.mark.parametrize("kind", ["gone", "others", *ODD_FILES])
def test_authorized_keys_that_become_odd(place, odd_file, environment, kind):
    """Whatever happens to the file, it lets nobody stay."""
    running = place.serve()
    with Exec(environment, *place.options, running.uri, "--", "sh", "-c", "echo on; cat") as call:
        assert call.line() == "on"
        if kind == "others":
            place.authorized.chmod(0o666)
        else:
            odd_file(kind, place.authorized)
        assert call.wait() == 255
    running.stderr.find_all(r"withdrawn")


def test_authorized_keys_written_anew(place, environment):
    """As an editor does it: whose line is still there stays in."""
    other = ssh_keygen(place.folder / "other")
    place.authorized.write_text(public(place.key) + public(other), encoding="utf-8")
    running = place.serve()
    command = (running.uri, "--", "sh", "-c", "echo on; cat")
    with Exec(environment, *place.options, *command) as stays, \
            Exec(environment, "-i", other, "--known-hosts", place.known, *command) as goes:
        assert stays.line() == goes.line() == "on"
        new = place.folder / "new"
        new.write_text("# more\n" + public(place.key), encoding="utf-8")
        new.rename(place.authorized)
        assert goes.wait() == 255
        stays.process.stdin.write(b"still here\n")
        stays.process.stdin.close()
        assert stays.line() == "still here"
        assert stays.wait() == 0


# --- clients ---


class ForeignKey:
    """A key and its certificate as openssl makes them, of any size, for Python's own TLS."""

    def __init__(self, folder, name, certificate_bytes=0):
        need("openssl")
        self._secret, self._shown, config = (str(folder / f"{name}.{suffix}") for suffix in ("pem", "crt", "conf"))
        names = "".join(f",DNS:{'a' * 60}{number:06}.example" for number in range(certificate_bytes // 78))
        with open(config, "w", encoding="ascii") as out:
            out.write(f"[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\nsubjectAltName=DNS:x{names}\n")
        self._openssl("genpkey", "-algorithm", "ed25519", "-out", self._secret)
        self._openssl("req", "-x509", "-new", "-key", self._secret, "-subj", "/CN=x", "-config", config, "-out",
                      self._shown)
        raw = self._openssl("pkey", "-in", self._secret, "-pubout", "-outform", "DER")[-32:]
        self.line = "ssh-ed25519 " + base64.b64encode(string(b"ssh-ed25519") + string(raw)).decode() + "\n"

    @staticmethod
    def _openssl(*arguments):
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=EVENT_SECONDS).stdout

    def dial(self, address):
        context = tls_client()
        context.load_cert_chain(self._shown, self._secret)
        return context.wrap_socket(dial(address))


def first_flight():
    """What a client of TLS says first, in many more bytes than ten seconds have tenths."""
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls_client().wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    return sent.read()


def say_hello(connection):
    peer = Parcels(connection)
    peer.say("hello", waybill=1, session=os.urandom(16).hex(), secret=os.urandom(32).hex(), epoch=1, agent="x",
             digests=["xxh128"])
    return peer.hear()[0]


def test_great_certificates(place, tmp_path):
    """What counts is the key; but nobody sends more than a little before it is known."""
    running = place.serve()
    for size, is_let_in in ((0, True), (8000, True), (24000, False), (90000, False)):
        key = ForeignKey(tmp_path, f"key{size}", size)
        place.authorized.write_text(key.line + public(place.key), encoding="utf-8")
        if is_let_in:
            with key.dial(running.address) as connection:
                assert say_hello(connection)["op"] == "welcome"
            continue
        with pytest.raises((EOFError, OSError)):
            with key.dial(running.address) as connection:
                say_hello(connection)
    assert len(running.stderr.find_all(r"too much before it is known", 2)) == 2
    assert place.gets_in(running.uri)


def test_those_who_never_come_to_the_point(place, tmp_path):
    """A handshake by drops, an authorized key without a word, half a hello: each is gone after ten seconds, and
    meanwhile costs next to nothing."""
    key = ForeignKey(tmp_path, "key")
    place.authorized.write_text(key.line + public(place.key), encoding="utf-8")
    running = place.serve()
    first = iter([bytes([byte]) for byte in first_flight()])
    silent, half = key.dial(running.address), key.dial(running.address)
    half.sendall(b"\xff\x0f\x00\x00{")
    begun = time.monotonic()
    with silent, half, dial(running.address) as drops:
        while not select.select([drops], [], [], 0.1)[0]:
            drops.sendall(next(first))
        assert 9 < time.monotonic() - begun < 15
        for connection in (silent, half):
            assert Parcels(connection).hear()[0]["code"] == "timeout"
    assert place.gets_in(running.uri)


# --- servers ---


class Hostile:
    """A server that says something, and then nothing."""

    def __init__(self, says, ends):
        self._says, self._ends = says, ends
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"tls://127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(EVENT_SECONDS)
        self._listener.close()

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    for _ in range(1 if self._ends else 10000):
                        connection.sendall(self._says)
                    if not self._ends:
                        self._over.wait(EVENT_SECONDS)
                except OSError:
                    continue


HOSTILE = {
    "an end": (b"", True),
    "a record without end": (b"\x16\x03\x03\x40\x00" + b"\x02\x00\xff\xff" * 4096, False),
    "zeros": (bytes(65536), False),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", True),
    "http in colours": (b"HTTP/1.0 200 \x1b[31mred\r\n\r\n", True),
    "an alert": (b"\x15\x03\x03\x00\x02\x02\x28", True),
    "a half record": (b"\x16\x03\x03\x40\x00\x02", True),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("command", ["trust", "exec"])
def test_hostile_servers(place, name, command):
    place.known.write_text("", encoding="utf-8")
    with Hostile(*HOSTILE[name]) as server:
        if command == "trust":
            done = place._waybill("trust", "--yes", "--known-hosts", place.known, server.uri)
        else:
            done = place._waybill("exec", *place.options, "--accept-new", server.uri, "--", "true")
    message = done.stderr.decode()
    assert done.returncode == 255 and done.stdout == b"" and "\x1b" not in message, message
    assert 0 < len(message) < 500, message
    assert place.known.read_bytes() == b""


class ForeignHost(Hostile):
    """A host that speaks TLS, but not ours."""

    def __init__(self, certificate, secret, **changes):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, secret)
        self._context.set_alpn_protocols(changes.pop("protocols", ["waybill/1"]))
        for name, value in changes.items():
            setattr(self._context, name, value)
        super().__init__(b"", True)

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(EVENT_SECONDS)
                try:
                    self._context.wrap_socket(connection, server_side=True).close()
                except OSError:  # an SSLError is one
                    continue


FOREIGN = {
    "tls 1.2": ("ed25519", {"maximum_version": ssl.TLSVersion.TLSv1_2}, "no TLS 1.3"),
    "another protocol": ("ed25519", {"protocols": ["http/1.1"]}, "does not speak waybill/1"),
    "rsa": ("rsa:2048", {}, "Ed25519"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_hosts(place, tmp_path, name):
    """Refused in words of their own, by a client that would believe anybody; nothing is written down."""
    need("openssl")
    kind, changes, word = FOREIGN[name]
    certificate, secret = str(tmp_path / "foreign.crt"), str(tmp_path / "foreign.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", kind, "-nodes", "-keyout", secret, "-out", certificate,
                    "-subj", "/CN=x"], check=True, capture_output=True, timeout=EVENT_SECONDS)
    place.known.write_text("", encoding="utf-8")
    with ForeignHost(certificate, secret, **changes) as server:
        message = place.is_refused(server.uri, word, options=[*place.options, "--accept-new"])
        done = place._waybill("trust", "--yes", "--known-hosts", place.known, server.uri)
    assert done.returncode == 255 and word in done.stderr.decode(), done.stderr
    assert place.known.read_bytes() == b"" and "fingerprint" not in message
