"""What the tests of tls and keys share: keys where Waybill looks for them by itself, or written by OpenSSH."""

import os
import pwd
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, WAYBILL

USER = pwd.getpwuid(os.geteuid()).pw_name
LISTEN = ("--user", USER, "--listen", "tls://127.0.0.1:0")


def own(environment, name):
    """A file of Waybill's own."""
    return Path(environment["XDG_CONFIG_HOME"]) / "waybill" / name


def enable_tls(environment):
    """Keys of both sides where they are looked for, and trust both ways. Returns what serve needs besides."""
    for name in ("host_key", "id_ed25519"):
        subprocess.run([WAYBILL, "keygen", "-f", str(own(environment, name)), "-C", ""], env=environment,
                       check=True, stdout=subprocess.DEVNULL, timeout=EVENT_SECONDS)
    shutil.copy(own(environment, "id_ed25519.pub"), own(environment, "authorized_keys"))
    host = own(environment, "host_key.pub").read_text(encoding="ascii")
    # A host by its bare name is known at every port.
    own(environment, "known_hosts").write_text(f"127.0.0.1 {host}", encoding="ascii")
    return list(LISTEN)


def need(*programs):
    """OpenSSH's own programs write what these tests read."""
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"there is no {program} here (Debian: openssh-client)")


def ssh_keygen(path, kind="ed25519", passphrase="", comment="a comment"):
    """A pair as ssh-keygen writes it."""
    need("ssh-keygen")
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", comment, "-f", str(path)], check=True,
                   stdin=subprocess.DEVNULL, timeout=EVENT_SECONDS)
    return Path(path)


def fingerprint(path):
    """What ssh-keygen -lf says of a key file."""
    need("ssh-keygen")
    done = subprocess.run(["ssh-keygen", "-lf", str(path)], check=True, capture_output=True, text=True,
                          timeout=EVENT_SECONDS)
    return done.stdout.split()[1]


def public(path):
    return Path(f"{path}.pub").read_text(encoding="utf-8")


class Place:
    """A daemon with a host key of its own, an authorized_keys to be written to, and a client's files, all of
    them written by OpenSSH and named on the command line."""

    def __init__(self, folder, daemon, waybill):
        self.folder, self._daemon, self._waybill = folder, daemon, waybill
        self.host = ssh_keygen(folder / "host", comment="host")
        self.key = ssh_keygen(folder / "key")
        self.authorized = folder / "authorized"
        self.known = folder / "known"
        self.authorize("")

    def authorize(self, options, key=None):
        """The one line of authorized_keys."""
        line = public(key or self.key)
        self.authorized.write_text(f"{options} {line}" if options else line, encoding="utf-8")

    def serve(self, *arguments, **options):
        """Starts the daemon and makes its host known."""
        running = self._daemon(*LISTEN, "--host-key", self.host, "--authorized-keys", self.authorized, *arguments,
                               **options)
        self.known.write_text(f"[127.0.0.1]:{running.port} {public(self.host)}", encoding="utf-8")
        return running

    @property
    def options(self):
        return ["-i", self.key, "--known-hosts", self.known]

    def exec(self, uri, *command, options=None, **more):
        return self._waybill("exec", *(self.options if options is None else options), uri, "--", *command, **more)

    def gets_in(self, uri, **more):
        done = self.exec(uri, "echo", "in", **more)
        assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
        return True

    def is_refused(self, uri, *words, **more):
        """Refused: exit code 255, nothing on stdout, and a message that says why."""
        done = self.exec(uri, "echo", "in", **more)
        message = done.stderr.decode()
        assert (done.returncode, done.stdout) == (255, b""), message
        for word in words:
            assert word in message, message
        return message


@pytest.fixture
def place(tmp_path, daemon, waybill):
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return Place(folder, daemon, waybill)


def tls_client(**changes):
    """A context of Python's own TLS: speaks waybill/1, shows no key, believes anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["waybill/1"])
    for name, value in changes.items():
        setattr(context, name, value)
    return context


def dial(address):
    connection = socket.create_connection(address, EVENT_SECONDS)
    connection.settimeout(EVENT_SECONDS)
    return connection
