"""What a daemon owes the machine it runs on: whose it is, whom it lets in where there are no keys, its units."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, ROOT, WAYBILL, Daemon, wait_exit, wait_readable
from secure import LISTEN, Place, USER, fingerprint, place, public, ssh_keygen

__all__ = ["Place", "place"]

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def status_of(pid):
    """/proc/PID/status, by name."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


# --- whose daemon it is ---


@root_only
def test_root_has_to_say_whose_daemon_it_is(waybill, place):
    done = waybill("serve", "--listen", "tls://127.0.0.1:0", "--host-key", place.host)
    assert done.returncode == 1 and b"--user" in done.stderr and b"root" in done.stderr
    assert place.serve().stderr.find_all("listening tls://")  # with --user


def test_nobody_of_that_name(waybill, place):
    done = waybill("serve", "--user", "no-such-user", "--listen", "tls://127.0.0.1:0", "--host-key", place.host)
    assert done.returncode == 1 and b"no-such-user" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root can become anybody")
def test_only_root_becomes_somebody_else(waybill, place):
    done = waybill("serve", "--user", "root", "--listen", "tls://127.0.0.1:0", "--host-key", place.host)
    assert done.returncode == 1 and b"only root" in done.stderr


@pytest.fixture
def public_folder():
    """A folder that everybody can enter: those of the tests are ours alone."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@root_only
def test_the_daemon_becomes_its_user(place, second_user, public_folder, environment):
    """Wholly, and before anybody is listened to; the host key was root's alone to read."""
    name = pwd.getpwuid(second_user.uid).pw_name
    shutil.copy(place.authorized, public_folder / "authorized")
    running = place._daemon("--user", name, "--listen", "tls://127.0.0.1:0", "--host-key", place.host,
                            "--authorized-keys", public_folder / "authorized",
                            env={**environment, "TMPDIR": "/tmp"}, extra_groups=[0, 12345])
    place.known.write_text(f"[127.0.0.1]:{running.port} {public(place.host)}", encoding="utf-8")
    status = status_of(running.pid)
    assert status["Uid"] == [str(second_user.uid)] * 4
    assert status["Gid"] == [str(second_user.gid)] * 4
    assert not {"0", "12345"} & set(status["Groups"])
    assert set(status["CapEff"] + status["CapPrm"]) == {"0" * 16}
    for task in Path(f"/proc/{running.pid}/task").iterdir():
        assert status_of(f"{running.pid}/task/{task.name}")["Uid"] == status["Uid"]
    done = place.exec(running.uri, "sh", "-c", 'id -u; echo "$HOME"; cat "$0"', place.host)
    assert done.stdout.decode().split() == [str(second_user.uid), pwd.getpwuid(second_user.uid).pw_dir]
    assert b"Permission denied" in done.stderr
    # The authorities are looked at as that user.
    os.chmod(public_folder / "authorized", 0o600)
    place.is_refused(running.uri, "authorized_keys", "Permission denied")


def test_keyless_root_needs_no_user(daemon, waybill, tmp_path):
    running = daemon("--listen", f"unix://{tmp_path}/s")
    assert waybill("exec", running.uri, "--", "true").returncode == 0


# --- keyless listeners, and somebody else on the machine ---


def inherit(listener, environment, name, *arguments):
    """serve with a socket that a service manager hands over."""
    script = 'exec 3<&"$1"; LISTEN_PID=$$; export LISTEN_PID; shift; exec "$@"'
    return subprocess.Popen(["/bin/bash", "-c", script, "bash", str(listener.fileno()), WAYBILL, "serve",
                             *map(str, arguments)],
                            env={**environment, "LISTEN_FDS": "1", "LISTEN_FDNAMES": name},
                            pass_fds=[listener.fileno()], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def end(process):
    process.send_signal(signal.SIGTERM)
    code = wait_exit(process)
    process.stderr.close()
    return code


def try_as(user, binary, folder, uri, *options):
    """What happens to a command of the second user's; whether it ran."""
    marker = folder / "ran"
    done = subprocess.run([binary, "exec", "--server-uid", str(os.getuid()), *options, uri, "--", "touch", marker],
                          env={"PATH": os.environ["PATH"]}, cwd="/", capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=EVENT_SECONDS, **user.popen_options)
    return done, marker.exists()


@pytest.mark.parametrize("listen", ["unix", "tcp://127.0.0.1:0", "tcp://[::1]:0"])
def test_another_user_runs_nothing(daemon, second_user, public_binary, public_folder, waybill, listen):
    public_folder.chmod(0o777)
    uri = daemon("--listen", f"unix://{public_folder}/s" if listen == "unix" else listen).uri
    done, ran = try_as(second_user, public_binary, public_folder, uri)
    assert done.returncode == 255 and not ran
    assert waybill("exec", uri, "--", "true").returncode == 0


def test_another_user_at_an_inherited_unix_socket(second_user, public_binary, public_folder, environment, waybill):
    """Even where the socket's file lets everybody connect: the kernel says who it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{public_folder}/s")
        listener.listen(16)
        os.chmod(f"{public_folder}/s", 0o666)
        process = inherit(listener, environment, "session")
        try:
            wait_readable(process.stderr)
            assert process.stderr.readline() == f"listening unix://{public_folder}/s\n".encode()
            public_folder.chmod(0o777)
            done, ran = try_as(second_user, public_binary, public_folder, f"unix://{public_folder}/s")
            assert done.returncode == 255 and not ran
            refusal = rf"refused .*uid {second_user.uid} opened the socket"
            assert any(re.search(refusal, line.decode()) for line in process.stderr)
            assert waybill("exec", f"unix://{public_folder}/s", "--", "true").returncode == 0
        finally:
            assert end(process) == 0


# --- inherited sockets ---


def test_an_inherited_tls_socket(place, environment):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = inherit(listener, environment, "tls", "--user", USER, "--host-key", place.host,
                          "--authorized-keys", place.authorized)
        place.known.write_text(f"[127.0.0.1]:{port} {public(place.host)}", encoding="utf-8")
        try:
            assert place.gets_in(f"tls://127.0.0.1:{port}")
            assert process.stderr.readline().startswith(b"host key SHA256:")
            assert process.stderr.readline() == b"listening tls://127.0.0.1:%d\n" % port
        finally:
            assert end(process) == 0


def test_an_inherited_unix_socket_is_not_for_tls(environment, place, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(16)
        process = inherit(listener, environment, "tls", "--user", USER, "--host-key", place.host)
        assert wait_exit(process) == 1
        assert b"tcp socket" in process.stderr.read()
        process.stderr.close()


# --- host keys ---


@pytest.mark.parametrize("what, word", [
    ("open", "others can read"), ("rsa", "ssh-rsa"), ("locked", "passphrase"), ("missing", "No such file"),
    ("public", "without a passphrase"),
])
def test_host_keys_that_will_not_do(waybill, tmp_path, what, word):
    path = tmp_path / "bad"
    if what != "missing":
        ssh_keygen(path, kind="rsa" if what == "rsa" else "ed25519", passphrase="secret" if what == "locked" else "")
    if what == "open":
        path.chmod(0o604)
    if what == "public":
        path = path.with_suffix(".pub")
    done = waybill("serve", *LISTEN, "--host-key", path)
    assert done.returncode == 1 and word in done.stderr.decode(), done.stderr


@root_only
def test_roots_daemon_has_the_host_key_of_sshd(daemon):
    """So that whoever knows the host from ssh knows it here."""
    path = "/etc/ssh/ssh_host_ed25519_key"
    if not os.path.exists(path):
        pytest.skip(f"there is no {path} here (Debian: openssh-server)")
    running = daemon(*LISTEN)
    assert running.stderr.find_all(rf"^host key (SHA256:\S+) {path}$") == [fingerprint(path)]


@root_only
def test_a_users_daemon_makes_its_host_key_once(daemon, second_user, public_binary, public_folder, environment):
    os.chown(public_folder, second_user.uid, second_user.gid)
    theirs = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
    options = {"executable": public_binary, "cwd": "/", **second_user.popen_options,
               "env": {**theirs, "HOME": str(public_folder), "TMPDIR": "/tmp"}}
    path = public_folder / ".config" / "waybill" / "host_key"
    first = daemon("--listen", "tls://127.0.0.1:0", **options)
    shown = first.stderr.find_all(rf"^host key (SHA256:\S+) {path}, made just now$")
    assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o600, second_user.uid)
    second = daemon("--listen", "tls://127.0.0.1:0", **options)
    assert second.stderr.find_all(rf"^host key (SHA256:\S+) {path}$") == shown == [fingerprint(path)]


# --- units ---

UNITS = sorted((ROOT / "packaging" / "systemd").glob("*/*"))


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_name_options_that_exist(waybill, path):
    text = path.read_text(encoding="utf-8")
    known = waybill("help", "serve").stdout.decode()
    for option in re.findall(r"^ExecStart=.*", text, re.MULTILINE):
        for name in re.findall(r"(--[a-z-]+)", option):
            assert f"{name} " in known, name
    for name in re.findall(r"^FileDescriptorName=(.*)", text, re.MULTILINE):
        assert name in ("session", "tls")


def test_a_port_is_opened_by_who_enables_it_alone():
    """Whatever else is started: a service pulls in all that its Sockets= names, and a unit what it wants."""
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        pulled = re.findall(r"^(Sockets|Wants|Requires|Requisite|BindsTo|Upholds|Also)=(.*)$", text, re.MULTILINE)
        assert not [names for _, names in pulled if "tls" in names], path


def test_units_are_hardened(tmp_path):
    """systemd's own judgement; docs/SECURITY.md notes the figure."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here (Debian: systemd)")
    for path in UNITS:
        shutil.copy(path, tmp_path)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "./waybill@.service"],
                          cwd=tmp_path, capture_output=True, text=True, check=False, timeout=EVENT_SECONDS)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if not found:
        pytest.skip(f"systemd-analyze says nothing here: {done.stderr}")
    assert float(found.group(1)) <= 2.5
