"""tls: the right key gets in, and everything else is refused with a word of its own."""

import base64
import io
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, eventually
from relay import Relay
from secure import (LISTEN, Place, USER, dial, enable_tls, fingerprint, need, own, place, public, ssh_keygen,
                    tls_client)
from sessions import FOREVER, Exec, outcome, state_of

__all__ = ["Place", "place"]


# --- who gets in ---


def test_the_right_key(place):
    running = place.serve()
    assert place.gets_in(running.uri)
    assert place.gets_in(f"127.0.0.1:{running.port}")
    assert place.gets_in(f"{USER}@127.0.0.1:{running.port}")
    assert place.gets_in(f"tls://{USER}@127.0.0.1:{running.port}")


def test_everything_is_found_by_itself(daemon, waybill, environment):
    running = daemon(*enable_tls(environment))
    done = waybill("exec", f"127.0.0.1:{running.port}", "--", "echo", "in")
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr


def test_what_ssh_has_is_found_by_itself(daemon, waybill, environment, tmp_path):
    """~/.ssh as it is: key, authorized_keys and known_hosts, which knows the host at no port."""
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(mode=0o700)
    ssh_keygen(folder / "id_ed25519")
    host = ssh_keygen(tmp_path / "host")
    shutil.copy(folder / "id_ed25519.pub", folder / "authorized_keys")
    (folder / "known_hosts").write_text(f"127.0.0.1 {public(host)}", encoding="utf-8")
    need("ssh-keygen")
    subprocess.run(["ssh-keygen", "-H", "-f", folder / "known_hosts"], check=True, capture_output=True,
                   timeout=EVENT_SECONDS)
    assert "127.0.0.1" not in (folder / "known_hosts").read_text(encoding="utf-8")
    running = daemon(*LISTEN, "--host-key", host)
    done = waybill("exec", running.uri, "--", "echo", "in")
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr


def test_an_unknown_key(place):
    other = ssh_keygen(place.folder / "other")
    running = place.serve()
    place.is_refused(running.uri, "refused", fingerprint(other), "not authorized",
                     options=["-i", other, "--known-hosts", place.known])
    running.stderr.find_all(rf"refused 127\.0\.0\.1:\d+, {fingerprint(other).replace('+', chr(92) + '+')}: unknown-key")


def test_of_several_keys_the_right_one_is_found(place):
    others = [ssh_keygen(place.folder / name) for name in ("one", "two")]
    running = place.serve()
    options = ["-i", others[0], "-i", others[1], *place.options]
    assert place.gets_in(running.uri, options=options)
    place.is_refused(running.uri, fingerprint(others[1]), options=options[:4] + ["--known-hosts", place.known])


def test_an_rsa_key(place):
    rsa = ssh_keygen(place.folder / "rsa", kind="rsa")
    place.is_refused(place.serve().uri, str(rsa), "ssh-rsa is not supported", "only ssh-ed25519",
                     options=["-i", rsa, "--known-hosts", place.known])


def test_a_public_rsa_key(place):
    rsa = ssh_keygen(place.folder / "rsa", kind="rsa")
    place.is_refused(place.serve().uri, "rsa.pub", "ssh-rsa is not supported",
                     options=["-i", f"{rsa}.pub", "--known-hosts", place.known])


def test_an_authorized_rsa_key_is_passed_over(place):
    rsa = ssh_keygen(place.folder / "rsa", kind="rsa")
    place.authorized.write_text(public(rsa) + public(place.key), encoding="utf-8")
    assert place.gets_in(place.serve().uri)


def test_a_locked_key(place):
    locked = ssh_keygen(place.folder / "locked", passphrase="secret")
    place.authorize("", locked)
    place.is_refused(place.serve().uri, "locked", "ssh-add", options=["-i", locked, "--known-hosts", place.known])


def test_no_key_at_all(place):
    place.is_refused(place.serve().uri, "no key", "Ed25519", "keygen", options=["--known-hosts", place.known])


def test_no_key_and_an_agent_that_is_not_there(place, environment, tmp_path):
    """Who relies on ssh-agent hears that it is gone."""
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "gone")
    place.is_refused(place.serve().uri, "no key", "ssh-agent", str(tmp_path / "gone"),
                     options=["--known-hosts", place.known])


def test_a_key_that_others_can_read(place):
    place.key.chmod(0o604)
    place.is_refused(place.serve().uri, "others can read", "chmod 600")


def test_a_key_file_that_is_not_there(place):
    place.is_refused(place.serve().uri, "nowhere", "No such file",
                     options=["-i", place.folder / "nowhere", "--known-hosts", place.known])


@pytest.fixture
def agent(environment, tmp_path):
    """An ssh-agent; its socket is in the environment."""
    need("ssh-agent", "ssh-add")
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    eventually(path.exists)
    environment["SSH_AUTH_SOCK"] = str(path)
    yield
    process.terminate()
    process.wait(EVENT_SECONDS)


def ssh_add(environment, path, passphrase=None):
    asked = {}
    if passphrase:
        helper = path.parent / "askpass"
        helper.write_text(f"#!/bin/sh\necho {passphrase}\n", encoding="ascii")
        helper.chmod(0o700)
        asked = {"SSH_ASKPASS": str(helper), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    subprocess.run(["ssh-add", "-q", str(path)], env={**environment, **asked}, check=True, capture_output=True,
                   stdin=subprocess.DEVNULL, timeout=EVENT_SECONDS)


def test_the_agent_shows_what_it_holds(place, agent, environment):
    running = place.serve()
    ssh_add(environment, place.key)
    place.key.rename(place.folder / "away")
    assert place.gets_in(running.uri, options=["--known-hosts", place.known])


def test_the_agent_unlocks_a_locked_key(place, agent, environment):
    locked = ssh_keygen(place.folder / "locked", passphrase="secret")
    place.authorize("", locked)
    running = place.serve()
    ssh_add(environment, locked, "secret")
    assert place.gets_in(running.uri, options=["-i", locked, "--known-hosts", place.known])
    assert place.gets_in(running.uri, options=["-i", f"{locked}.pub", "--known-hosts", place.known])
    subprocess.run(["ssh-add", "-q", "-D"], env=environment, check=True, capture_output=True, timeout=EVENT_SECONDS)
    place.is_refused(running.uri, "ssh-add", options=["-i", locked, "--known-hosts", place.known])


class SlowAgent:
    """Between a client and its ssh-agent: whoever has to agree to a signature takes his time."""

    def __init__(self, path, agent, seconds):
        self._agent, self._seconds, self._ended = agent, seconds, threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(EVENT_SECONDS)
        self._listener.close()

    def _pass_on(self, client):
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(self._agent)
            while head := client.recv(4, socket.MSG_WAITALL):
                request = client.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)
                if request[:1] == b"\x0d":
                    self._ended.wait(self._seconds)
                agent.sendall(head + request)
                head = agent.recv(4, socket.MSG_WAITALL)
                client.sendall(head + agent.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))

    def _run(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._pass_on(client)


def test_an_agent_that_asks_its_user(place, agent, environment, tmp_path):
    """Longer than the daemon waits for anything else: whoever agrees late is let in all the same, and asked once."""
    running = place.serve()
    ssh_add(environment, place.key)
    slow = SlowAgent(tmp_path / "slow", environment["SSH_AUTH_SOCK"], 11)
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "slow")
    try:
        assert place.gets_in(running.uri, options=["-i", f"{place.key}.pub", "--known-hosts", place.known])
    finally:
        slow.close()
    assert "refused" not in running.stderr.text


class LyingAgent:
    """An ssh-agent that lists a key and signs with another: a certificate whose key is right over a handshake
    whose signature is not."""

    def __init__(self, path, key, signature=None):
        self.blob = base64.b64decode(public(key).split()[1])
        self.signed = 0
        self._signature = signature or os.urandom(64)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(EVENT_SECONDS)
        self._listener.close()

    @staticmethod
    def _string(data):
        return struct.pack(">I", len(data)) + data

    def _answer(self, request):
        if request[:1] == b"\x0b":  # which identities?
            return b"\x0c" + struct.pack(">I", 1) + self._string(self.blob) + self._string(b"")
        self.signed += 1
        return b"\x0e" + self._string(self._string(b"ssh-ed25519") + self._string(self._signature))

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                while head := stream.read(4):
                    connection.sendall(self._string(self._answer(stream.read(struct.unpack(">I", head)[0]))))


def test_a_signature_that_does_not_hold(place, environment, tmp_path):
    """The key is the right one, and known to everybody; only its owner can sign with it."""
    running = place.serve()
    agent = LyingAgent(tmp_path / "agent", place.key)
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
    try:
        place.is_refused(running.uri, "signature",
                         options=["-i", f"{place.key}.pub", "--known-hosts", place.known])
    finally:
        agent.close()
    assert agent.signed > 0
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: tls: .*signature")
    assert "session" not in running.stderr.text


def test_a_key_that_anybody_could_sign_for(place, environment, tmp_path):
    """The neutral point: by arithmetic alone one signature holds for every message. Whoever wrote it into
    authorized_keys was taken in."""
    neutral = b"\x01" + bytes(31)
    blob = LyingAgent._string(b"ssh-ed25519") + LyingAgent._string(neutral)
    key = place.folder / "weak"
    Path(f"{key}.pub").write_text(f"ssh-ed25519 {base64.b64encode(blob).decode()}\n", encoding="ascii")
    place.authorize("", key)
    running = place.serve()
    agent = LyingAgent(tmp_path / "agent", key, neutral + bytes(32))
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
    try:
        place.is_refused(running.uri, options=["-i", f"{key}.pub", "--known-hosts", place.known])
    finally:
        agent.close()
    assert agent.signed > 0
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: tls: .*(small order|signature)")
    assert "session" not in running.stderr.text


def test_another_user_is_refused_by_name(place):
    running = place.serve()
    place.is_refused(f"somebody@127.0.0.1:{running.port}", "another user")


# --- hosts ---


def test_an_unknown_host(place):
    running = place.serve()
    place.known.unlink()
    message = place.is_refused(running.uri, fingerprint(place.host), "waybill trust --fingerprint")
    assert not place.known.exists()
    # The very command that it names does it.
    command = next(line for line in message.splitlines() if line.startswith("  waybill trust ")).split()[1:]
    done = place._waybill(*command)
    assert done.returncode == 0, done.stderr
    assert place.gets_in(running.uri)


def test_accept_new(place):
    running = place.serve()
    place.known.write_text("# mine", encoding="utf-8")
    assert place.gets_in(running.uri, options=[*place.options, "--accept-new"])
    key = " ".join(public(place.host).split()[:2])
    assert place.known.read_text(encoding="utf-8") == f"# mine\n[127.0.0.1]:{running.port} {key}\n"
    assert place.gets_in(running.uri)


@pytest.mark.parametrize("more", [[], ["--accept-new"]])
def test_a_changed_host_key(place, more):
    running = place.serve()
    other = ssh_keygen(place.folder / "other_host")
    place.known.write_text(f"# first\n[127.0.0.1]:{running.port} {public(other)}", encoding="utf-8")
    before = place.known.read_bytes()
    place.is_refused(running.uri, "WARNING", "ANOTHER KEY", "CHANGED", f"{place.known}:2", fingerprint(place.host),
                     options=[*place.options, *more])
    assert place.known.read_bytes() == before


def test_a_bare_mismatch_is_unknown_not_changed(place):
    running = place.serve()
    other = ssh_keygen(place.folder / "other_host")
    place.known.write_text(f"127.0.0.1 {public(other)}", encoding="utf-8")
    message = place.is_refused(running.uri, "not known")
    assert "WARNING" not in message


def test_a_revoked_host_key(place):
    running = place.serve()
    place.known.write_text(place.known.read_text(encoding="utf-8") + f"@revoked * {public(place.host)}",
                           encoding="utf-8")
    place.is_refused(running.uri, "REVOKED", "revoked")


def test_known_hosts_that_others_can_write(place):
    running = place.serve()
    place.known.chmod(0o666)
    place.is_refused(running.uri, "known", "others can write")


def test_a_host_key_that_changes_ends_a_session(place, environment):
    """Somebody else answers at the address of the daemon: the session does not go on there."""
    running = place.serve()
    with Exec(environment, *place.options, "--result", place.folder / "r", running.uri, "--", "sh", "-c",
              "echo on; cat") as call:
        assert call.line() == "on"
        port = running.port
        running.process.kill()
        running.process.wait()
        other = ssh_keygen(place.folder / "other_host")
        impostor = place._daemon("--user", USER, "--listen", f"tls://127.0.0.1:{port}", "--host-key", other,
                                 "--authorized-keys", place.authorized)
        assert call.wait() == 255
        assert b"ANOTHER KEY" in call.process.stderr.read()
    assert outcome(place.folder / "r")["outcome"] == "lost"
    assert "session" not in impostor.stderr.text
    running.process.returncode = 0  # its end was ours


# --- the port itself ---


def test_tls_1_2(place):
    running = place.serve()
    context = tls_client(maximum_version=ssl.TLSVersion.TLSv1_2)
    with dial(running.address) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(connection)
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: tls: the peer offers no TLS 1\.3")


def test_no_alpn(place):
    running = place.serve()
    context = tls_client()
    context.set_alpn_protocols(["http/1.1"])
    with dial(running.address) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        with context.wrap_socket(connection) as secured:
            secured.recv(1)
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: tls: the peer does not speak waybill/1")


def test_no_certificate(place):
    running = place.serve()
    with dial(running.address) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        with tls_client().wrap_socket(connection) as secured:
            secured.recv(1)
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: tls: the peer shows no certificate")


@pytest.mark.parametrize("host", ["é.example", "café", "tls://é.example:8090"])
def test_a_host_name_in_other_letters(waybill, host):
    done = waybill("exec", host, "--", "true")
    assert done.returncode == 255
    assert b"written in ASCII" in done.stderr and b"xn--" in done.stderr, done.stderr


@pytest.mark.parametrize("arguments", [["jobs"], ["kill", "1"], ["kill", "1", "2"], ["attach", "1"]])
def test_255_where_nobody_was_reached(place, waybill, arguments):
    """A refused key, a host that nobody knows, a port where nobody is: as exec says it."""
    running = place.serve()
    other = ssh_keygen(place.folder / "other")
    command, jobs = arguments[0], arguments[1:]
    for options, uri, word in ((["-i", other, "--known-hosts", place.known], running.uri, b"not authorized"),
                               (["-i", place.key, "--known-hosts", place.folder / "none"], running.uri, b"host key"),
                               (place.options, "tls://127.0.0.1:1", b"connect to")):
        done = waybill(command, *options, uri, *jobs)
        assert done.returncode == 255 and word in done.stderr, done.stderr
    assert waybill("jobs", *place.options, running.uri).returncode == 0
    assert waybill("kill", *place.options, running.uri, "12345").returncode == 1


def test_plain_text_on_the_tls_port(place):
    running = place.serve()
    done = place._waybill("exec", f"tcp://127.0.0.1:{running.port}", "--", "true")
    assert done.returncode == 255
    assert b"give tls://" in done.stderr
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: tls: plain text")


def test_tls_on_a_plain_port(place, daemon):
    place.serve()
    plain = daemon("--listen", "tcp://127.0.0.1:0")
    place.is_refused(f"tls://127.0.0.1:{plain.port}", "tls", options=[*place.options, "--accept-new"])


def test_nobody_there(place):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    place.is_refused(f"tls://127.0.0.1:{port}", "Connection refused")


def test_who_connects_and_goes_leaves_nothing(place):
    running = place.serve()
    before = len(running.descriptors())
    for _ in range(50):
        with dial(running.address):
            pass
        with dial(running.address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"\x16\x03\x01")
    assert place.gets_in(running.uri)
    eventually(lambda: len(running.descriptors()) <= before)


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_thousand_half_open_handshakes(place, first):
    """Nobody good is kept out by those who never say who they are."""
    running = place.serve()
    before = len(running.descriptors())
    crowd = [dial(running.address) for _ in range(1000)]
    for connection in crowd:
        try:
            connection.sendall(first)
        except ConnectionError:
            pass  # its place was somebody else's by then
    try:
        for _ in range(5):
            assert place.gets_in(running.uri)
        assert len(running.descriptors()) < before + 128 + 20  # the budget of a source, and what is just begun
    finally:
        for connection in crowd:
            connection.close()
    running.stderr.find_all(r"refused 127\.0\.0\.1:\d+: crowd: ")


# --- what comes over it ---


def test_bytes_both_ways(place, environment):
    running = place.serve()
    data = os.urandom(5_000_000)
    done = place.exec(running.uri, "sh", "-c", "cat; echo over >&2; exit 3", input=data)
    assert (done.returncode, done.stdout, done.stderr) == (3, data, b"over\n")


def test_result(place):
    running = place.serve()
    place.is_refused(running.uri, options=["-i", ssh_keygen(place.folder / "other"), "--known-hosts", place.known,
                                           "--result", place.folder / "r"])
    told = json.loads((place.folder / "r").read_text(encoding="utf-8"))
    assert told["outcome"] == "refused" and told["error"] == "unknown-key", told


def test_attach_goes_to_the_worker_of_the_job(place, environment):
    """A connection moves from thread to thread, with TLS and all that is in it."""
    running = place.serve()
    for number in range(1, 7):
        with Exec(environment, *place.options, "--on-disconnect", "detach", running.uri, "--", "sh", "-c",
                  "echo begun; read line; echo got $line; head -c 300000 /dev/zero") as call:
            assert call.line() == "begun"
            call.process.kill()
            call.wait()
        with Exec(environment, *place.options, running.uri, str(number), command="attach") as call:
            call.process.stdin.write(b"this\n")
            call.process.stdin.flush()
            while (line := call.line()) != "got this":
                assert line == "begun"
            assert len(call.process.stdout.read()) == 300000
            assert call.wait() == 0, call.process.stderr.read()


class Overhearing(Relay):
    """Keeps what the client of each connection says first."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.first = {}

    def has_any(self):
        return bool(self._pairs)

    def _read(self, pair, end):
        if pair not in self.first and end is next(iter(pair.ends)):
            self.first[pair] = end.recv(65536, socket.MSG_PEEK)
        super()._read(pair, end)


def has_ticket(hello):
    """Whether a TLS 1.3 ClientHello has the extension pre_shared_key (RFC 8446, section 4.2.11)."""
    stream = io.BytesIO(hello[5 + 4 + 2 + 32:])
    take = lambda width: stream.read(int.from_bytes(stream.read(width), "big"))
    take(1), take(2), take(1)  # session id, ciphers, compression
    extensions = io.BytesIO(take(2))
    kinds = []
    while head := extensions.read(4):
        kinds.append(int.from_bytes(head[:2], "big"))
        extensions.read(int.from_bytes(head[2:], "big"))
    return 41 in kinds


def test_a_ticket_is_no_way_in(place, environment):
    """A client that comes back with a TLS ticket is asked for its key's right to come in like anybody else."""
    running = place.serve()
    with Overhearing(running.port, transport="tls") as relay:
        place.known.write_text(f"127.0.0.1 {public(place.host)}", encoding="utf-8")
        with Exec(environment, *place.options, relay.uri, "--", "sh", "-c", "echo on; cat") as call:
            assert call.line() == "on"
            say = lambda word: (call.process.stdin.write(word.encode() + b"\n"), call.process.stdin.flush())
            for word in map(str, range(10)):  # a ticket is for those that stay
                say(word)
                assert call.line() == word
            relay.cut("reset")
            eventually(lambda: len(relay.first) == 2)
            say("again")
            assert call.line() == "again"
            call.signal(signal.SIGSTOP)  # so that it hears of nothing before it is back
            eventually(lambda: state_of(call.pid) == "T")
            relay.cut("reset")
            eventually(lambda: not relay.has_any())
            place.authorized.write_text("", encoding="utf-8")
            call.signal(signal.SIGCONT)
            assert call.wait() == 255
            assert b"not authorized" in call.process.stderr.read()
        # At the door, and not only by those who look after sessions when the file has changed.
        running.stderr.find_all(r"refused 127\.0\.0\.1:\d+, SHA256:\S+: unknown-key")
        tickets = [has_ticket(hello) for hello in relay.first.values()]
        assert not tickets[0] and all(tickets[1:]) and len(tickets) > 2, tickets


def test_jobs_of_a_key_are_its_own_and_the_users(place, daemon, waybill, environment, tmp_path):
    """Another key does not see them; the daemon's own user does, and can end them."""
    other = ssh_keygen(place.folder / "other")
    place.authorized.write_text(public(place.key) + public(other), encoding="utf-8")
    running = place.serve("--listen", f"unix://{tmp_path}/s")
    with Exec(environment, *place.options, running.uris[0], "--", *FOREVER) as call:
        listed = lambda *options: [json.loads(line)["job"] for line in waybill(
            "jobs", "--json", *options).stdout.splitlines()]
        eventually(lambda: listed(*place.options, running.uris[0]) == [1])
        assert listed("-i", other, "--known-hosts", place.known, running.uris[0]) == []
        done = waybill("kill", "-i", other, "--known-hosts", place.known, running.uris[0], "1")
        assert done.returncode != 0 and b"no such job" in done.stderr
        assert listed(running.uris[1]) == [1]
        assert waybill("kill", running.uris[1], "1").returncode == 0
        assert call.wait() != 0


def test_keys_of_ones_own_are_made_once(daemon, environment, waybill):
    """A daemon without a host key makes one, and keeps it."""
    own(environment, "x").parent.mkdir(mode=0o700)
    if os.path.exists("/etc/ssh/ssh_host_ed25519_key") and os.geteuid() == 0:
        pytest.skip("root's daemon takes sshd's host key, which is here")
    first = daemon(*LISTEN)
    path = own(environment, "host_key")
    assert path.stat().st_mode & 0o777 == 0o600
    shown = first.stderr.find_all(r"^host key (SHA256:\S+) .*made just now$")
    second = daemon(*LISTEN)
    assert second.stderr.find_all(r"^host key (SHA256:\S+) ") == shown
    assert fingerprint(path) == shown[0]
