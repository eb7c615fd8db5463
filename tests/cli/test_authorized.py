"""authorized_keys: what a line lets a key do, and what takes it away again."""

import json
import os
import pwd
import re
import socket
import time

import pytest

from conftest import eventually, wait_readable
from secure import LISTEN, USER, Place, dial, fingerprint, own, place, public, ssh_keygen
from sessions import FOREVER, Exec, is_running, outcome
from test_hygiene import end, inherit

__all__ = ["Place", "place"]


# --- refusals, each with its own message ---


def test_from(place):
    place.authorize('from="192.0.2.0/24,10.0.0.1"')
    running = place.serve()
    place.is_refused(running.uri, "line 1: from: 127.0.0.1")
    running.stderr.find_all(rf"key-refused: {re.escape(str(place.authorized))}: line 1: from: ")
    place.authorize('from="127.0.0.0/8,!127.0.0.2"')
    assert place.gets_in(running.uri)
    place.authorize('from="*,!127.0.0.0/8"')
    place.is_refused(running.uri, "line 1: from: 127.0.0.1")
    place.authorize('from="*,!127.0.0.0/33"')  # nobody knows whom it was to keep out
    place.is_refused(running.uri, "makes no sense")


def test_why_a_known_key_is_refused_is_told(place):
    """Not that the other one, which is shown after it, is unknown."""
    place.authorize('from="192.0.2.1"')
    running = place.serve()
    other = ssh_keygen(place.folder / "other")
    for keys in ((place.key, other), (other, place.key), (other, place.key, ssh_keygen(place.folder / "third"))):
        options = [word for key in keys for word in ("-i", key)] + ["--known-hosts", place.known]
        assert "not authorized" not in place.is_refused(running.uri, "line 1: from: 127.0.0.1", options=options)


def test_from_over_ipv6(place):
    running = place.serve("--listen", "tls://[::1]:0")
    place.known.write_text(f"* {public(place.host)}", encoding="utf-8")
    for networks, is_let_in in (("::1", True), ("0:0::0:1/128", True), ("*,!::/64", False), ("127.0.0.1", False),
                                ("0.0.0.0/0", False)):
        place.authorize(f'from="{networks}"')
        assert place.gets_in(running.uris[1]) if is_let_in else place.is_refused(running.uris[1], "from: ::1")


def test_expiry(place):
    place.authorize('expiry-time="20200101"')
    running = place.serve()
    place.is_refused(running.uri, "expir")
    place.authorize('expiry-time="99990101Z"')
    assert place.gets_in(running.uri)


def test_from_over_a_socket_of_ipv6(place, environment):
    """As systemd opens one, for both: whoever comes over IPv4 has an address of IPv4."""
    place.known.write_text(f"* {public(place.host)}", encoding="utf-8")
    place.authorize('from="127.0.0.0/8"')
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::ffff:127.0.0.1", 0))
        listener.listen(16)
        port = listener.getsockname()[1]
        process = inherit(listener, environment, "tls", "--user", USER, "--host-key", place.host,
                          "--authorized-keys", place.authorized)
        try:
            assert place.gets_in(f"tls://127.0.0.1:{port}")
            assert any(re.search(r" from 127\.0\.0\.1:\d+, waybill", line.decode()) for line in process.stderr)
            place.authorize('from="::/0"')
            place.is_refused(f"tls://127.0.0.1:{port}", "from: 127.0.0.1")
        finally:
            assert end(process) == 0


@pytest.mark.parametrize("zone, is_let_in", [("UTC0", True), ("EAST-14", False), ("WEST+12", True)])
def test_expiry_is_told_in_the_daemons_time_zone(place, environment, zone, is_let_in):
    """Unless it ends in Z, as for sshd."""
    soon = time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + 3600))
    place.authorize(f'expiry-time="{soon}"')
    running = place.serve(env={**environment, "TZ": zone})
    assert place.gets_in(running.uri) if is_let_in else place.is_refused(running.uri, "expir", soon)
    place.authorize(f'expiry-time="{soon}Z"')
    assert place.gets_in(running.uri)


def test_lines_that_make_no_sense_are_in_the_log(place):
    """One of them may have been meant for the key; the peer has no business with that."""
    place.authorized.write_text(f'# mine\ncommand="without an end {public(place.key)}', encoding="utf-8")
    running = place.serve()
    message = place.is_refused(running.uri, "not authorized")
    assert "sense" not in message
    running.stderr.find_all(rf"unknown-key: {re.escape(str(place.authorized))}: no line has this key \(1 make no "
                            r"sense or are too long, the first is line 2\)")


def test_an_unknown_option(place):
    place.authorize("make-coffee")
    running = place.serve()
    place.is_refused(running.uri, "make-coffee")
    running.stderr.find_all(r"key-refused: .*make-coffee")


def test_a_withdrawn_key(place):
    running = place.serve()
    assert place.gets_in(running.uri)
    place.authorized.write_text("", encoding="utf-8")
    place.is_refused(running.uri, "not authorized", fingerprint(place.key))
    place.authorize("")
    assert place.gets_in(running.uri)


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_file_that_others_can_write(place, mode):
    running = place.serve()
    place.authorized.chmod(mode)
    place.is_refused(running.uri, "authorized_keys", "others can write")
    running.stderr.find_all(rf"keys-unusable: .*{re.escape(place.authorized.name)}: others can write")
    place.authorized.chmod(0o644)
    assert place.gets_in(running.uri)


def test_a_folder_that_others_can_write(place):
    running = place.serve()
    place.folder.chmod(0o777)
    place.is_refused(running.uri, "others can write to this folder", options=place_options_elsewhere(place))
    place.folder.chmod(0o1777)  # sticky: others can put files there, but not in place of ours
    assert place.gets_in(running.uri)


def place_options_elsewhere(place):
    """The client's files, in a folder of their own."""
    folder = place.folder.parent / "client"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        for path in (place.key, place.known):
            (folder / path.name).write_bytes(path.read_bytes())
            (folder / path.name).chmod(0o600)
    return ["-i", folder / place.key.name, "--known-hosts", folder / place.known.name]


def test_a_file_of_another_user(place, second_user):
    running = place.serve()
    os.chown(place.authorized, second_user.uid, -1)
    place.is_refused(running.uri, "belongs to another user")


def test_a_link_is_judged_by_where_it_leads(place):
    running = place.serve()
    open_folder = place.folder / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    place.authorized.rename(open_folder / "real")
    place.authorized.symlink_to(open_folder / "real")
    place.is_refused(running.uri, "others can write to this folder")
    open_folder.chmod(0o755)
    assert place.gets_in(running.uri)


def test_several_files_and_lines(place):
    """One line that lets the key in is enough."""
    other = place.folder / "other"
    other.write_text('expiry-time="20200101" ' + public(place.key) + "\n# and\n" + public(place.key), encoding="utf-8")
    place.authorized.write_text("nonsense\n", encoding="utf-8")
    assert place.gets_in(place.serve("--authorized-keys", other).uri)


def test_no_file_at_all(place):
    running = place.serve()
    place.authorized.unlink()
    place.is_refused(running.uri, "not authorized")


# --- what a line makes of a session ---


def need_a_shell():
    if os.path.basename(pwd.getpwuid(os.geteuid()).pw_shell) in ("nologin", "false"):
        pytest.skip("a forced command needs an account with a shell")


def test_a_forced_command(place):
    need_a_shell()
    place.authorize('command="echo forced: $SSH_ORIGINAL_COMMAND"')
    running = place.serve()
    done = place.exec(running.uri, "git-upload-pack", "a b's")
    assert (done.returncode, done.stdout) == (0, b"forced: git-upload-pack 'a b'\\''s'\n"), done.stderr
    done = place._waybill("exec", *place.options, "--shell", "a | b", running.uri)
    assert done.stdout == b"forced: a | b\n"


def test_a_forced_command_takes_nothing_else_from_the_client(place):
    need_a_shell()
    place.authorize('command="pwd; echo ${EVIL-unset} ${LC_X-unset} ${PATH}"')
    running = place.serve()
    done = place._waybill("exec", *place.options, "--cwd", "/", "-e", "EVIL=1", "-e", "LC_X=kept", "-e",
                          "PATH=/evil", running.uri, "--", "true")
    lines = done.stdout.decode().splitlines()
    assert lines[0] != "/" and lines[1].startswith("unset kept /") and "evil" not in lines[1]


def test_a_key_that_was_narrowed_does_not_get_into_what_it_began(place, environment):
    """Its jobs go on, and it sees them; it gives input to those of its one command only."""
    need_a_shell()
    forced = "echo begun; read line; echo got $line"
    detached = [*place.options, "--on-disconnect", "detach"]
    running = place.serve()

    def begin(*command):
        with Exec(environment, *detached, running.uri, "--", *command) as call:
            assert call.line() == "begun"
            call.process.kill()
            call.wait()

    begin("sh", "-c", forced)
    place.authorize(f'command="{forced}"')
    begin("anything")
    done = place._waybill("attach", *place.options, running.uri, "1", input=b"this\n")
    assert done.returncode == 255 and b"its own command only" in done.stderr and not done.stdout, done
    done = place._waybill("attach", *place.options, running.uri, "2", input=b"this\n")
    assert done.returncode == 0 and done.stdout.endswith(b"got this\n"), done
    place.authorize("")
    done = place._waybill("attach", *place.options, running.uri, "1", input=b"this\n")
    assert done.returncode == 0 and done.stdout.endswith(b"got this\n"), done


def test_environment(place):
    place.authorize('environment="ROLE=ci",environment="PLACE=a \\"b\\""')
    running = place.serve()
    done = place._waybill("exec", *place.options, "-e", "ROLE=mine", "-e", "OTHER=2", running.uri, "--", "sh", "-c",
                          'echo "$ROLE,$PLACE,$OTHER"')
    assert done.stdout == b'ci,a "b",2\n'


@pytest.mark.parametrize("options, pty", [("restrict", False), ("no-pty", False), ("restrict,pty", True), ("", True)])
def test_terminals(place, options, pty):
    place.authorize(options)
    running = place.serve()
    assert place.gets_in(running.uri)
    done = place._waybill("exec", *place.options, "-t", running.uri, "--", "test", "-t", "1")
    assert done.returncode == (0 if pty else 255)
    assert pty or b"terminal" in done.stderr


def test_forwarding_options_are_moot(place):
    place.authorize('no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-user-rc,permitopen="a:1"')
    assert place.gets_in(place.serve().uri)


def test_permit(place):
    place.authorize('permit="jobs"')
    running = place.serve()
    place.is_refused(running.uri, "may not run commands")
    assert place._waybill("jobs", *place.options, running.uri).returncode == 0
    place.authorize('permit="exec"')
    assert place.gets_in(running.uri)
    done = place._waybill("jobs", *place.options, running.uri)
    assert done.returncode != 0 and b"may not see" in done.stderr


@pytest.mark.parametrize("between", ["/", "//", "/./", "/.//./"])
def test_permit_belongs_in_waybills_own_file(place, between):
    """sshd would refuse the line: so do we, where sshd reads it too."""
    folder = place.folder / ".ssh"
    folder.mkdir(mode=0o700)
    theirs = folder / "authorized_keys"
    theirs.write_text(f'permit="exec" {public(place.key)}', encoding="utf-8")
    place.authorized.unlink()
    running = place.serve("--authorized-keys", f"{folder}{between}authorized_keys")
    place.is_refused(running.uri, "permit")


def test_the_usual_files(daemon, waybill, environment, tmp_path):
    """Waybill's own file first, then ssh's; either is enough."""
    ssh = tmp_path / "home" / ".ssh"
    ssh.mkdir(mode=0o700)
    ours = own(environment, "authorized_keys")
    ours.parent.mkdir(mode=0o700)
    host, key = ssh_keygen(tmp_path / "host"), ssh_keygen(tmp_path / "key")
    running = daemon(*LISTEN, "--host-key", host)
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{running.port} {public(host)}", encoding="utf-8")

    def code():
        return waybill("exec", "-i", key, "--known-hosts", known, running.uri, "--", "true").returncode

    assert code() == 255
    (ssh / "authorized_keys").write_text(public(key), encoding="utf-8")
    assert code() == 0
    (ssh / "authorized_keys").unlink()
    ours.write_text(f'permit="exec" {public(key)}', encoding="utf-8")
    assert code() == 0


# --- sessions that live ---


def test_a_withdrawn_key_ends_its_sessions(place, environment):
    other = ssh_keygen(place.folder / "other")
    place.authorized.write_text(public(place.key) + public(other), encoding="utf-8")
    running = place.serve()
    stays = ["-i", other, "--known-hosts", place.known]
    with Exec(environment, *place.options, "--result", place.folder / "r", running.uri, "--", "sh", "-c",
              "echo $$; exec tail -f /dev/null") as goes, \
            Exec(environment, *stays, running.uri, "--", "sh", "-c", "echo $$; exec cat") as remains:
        pid, _ = int(goes.line()), int(remains.line())
        place.authorized.write_text(public(other), encoding="utf-8")
        assert goes.wait() == 255
        assert b"not authorized" in goes.process.stderr.read()
        eventually(lambda: not is_running(pid))
        remains.process.stdin.write(b"here\n")
        remains.process.stdin.close()
        assert remains.line() == "here" and remains.wait() == 0
    assert outcome(place.folder / "r")["outcome"] == "lost"
    running.stderr.find_all(r"is not let in any more: unknown-key")


def test_a_held_session_of_a_withdrawn_key_ends(place, environment):
    """Its client is not even there."""
    running = place.serve()
    with Exec(environment, *place.options, running.uri, "--", "sh", "-c", "echo $$; exec tail -f /dev/null") as call:
        pid = int(call.line())
        call.process.kill()
        call.wait()
        assert is_running(pid)
        place.authorized.write_text("", encoding="utf-8")
        eventually(lambda: not is_running(pid))


def test_a_session_ends_when_its_key_expires(place, environment):
    soon = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 2))
    place.authorize(f'expiry-time="{soon}"')
    running = place.serve()
    with Exec(environment, *place.options, running.uri, "--", *FOREVER) as call:
        assert call.wait() == 255
        assert b"expir" in call.process.stderr.read()
    place.is_refused(running.uri, "expir")


def test_what_runs_runs_on(place, environment):
    """A key that may do less from now on is not withdrawn: what it has begun goes on."""
    running = place.serve()
    with Exec(environment, *place.options, running.uri, "--", "sh", "-c", "echo on; cat") as call:
        assert call.line() == "on"
        place.authorize('permit="jobs"')
        place.is_refused(running.uri, "may not run commands")
        call.process.stdin.close()
        assert call.wait() == 0


# --- the trail ---


def events(running):
    return [json.loads(line) for line in running.stderr.text.splitlines() if line.startswith("{")]


def test_the_trail_in_json(place):
    place.authorized.write_text(public(place.key), encoding="utf-8")
    other = ssh_keygen(place.folder / "other")
    running = place.serve("--log", "json")
    place.exec(running.uri, "printf", "\x1b[31m\n\"quoted\"", "é")
    place.exec(running.uri, "sh", "-c", "kill -9 $$")
    place.is_refused(running.uri, options=["-i", other, "--known-hosts", place.known])
    last = ["ended", "ended", "refused"]
    eventually(lambda: sorted(e["event"] for e in events(running) if e["event"] in last) == last)
    told = events(running)
    who = fingerprint(place.key)
    session = next(e for e in told if e["event"] == "session")
    assert session["who"] == who and session["from"].startswith("127.0.0.1:") and "waybill" in session["agent"]
    call = next(e for e in told if e["event"] == "call")
    assert call["session"] == session["session"] and call["service"] == "exec" and call["call"] == 1
    assert call["what"] == r'printf \x1B[31m\n"quoted" é' and call["who"] == who
    ends = [(e["outcome"], e.get("detail")) for e in told if e["event"] == "outcome"]
    assert ends == [("exited", "0"), ("signaled", "KILL")]
    refused = next(e for e in told if e["event"] == "refused")
    assert refused["code"] == "unknown-key" and refused["who"] == fingerprint(other)
    for event in told:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]), event
        assert not any(ord(c) < 32 for value in event.values() for c in str(value)), event


def test_the_trail_in_text(place):
    running = place.serve()
    place.exec(running.uri, "printf", "\x1b[31m")
    running.stderr.find_all(r"^waybill serve: session [0-9a-f]{8}: SHA256:\S+ from 127\.0\.0\.1:\d+, waybill/")
    running.stderr.find_all(r"^waybill serve: session [0-9a-f]{8}: call 1: exec printf \\x1B\[31m$")
    running.stderr.find_all(r"^waybill serve: session [0-9a-f]{8}: call 1: exited 0$")
    running.stderr.find_all(r"^waybill serve: session [0-9a-f]{8}: ended$")
    assert "\x1b" not in running.stderr.text


@pytest.mark.parametrize("words", [["true", "x" * 300], ["true", *["x"] * 300], ["true", "\x1b" * 200]])
def test_a_command_that_is_too_long_for_the_trail(place, words):
    """It is cut where it can be seen: nobody hides what he does behind how it begins."""
    running = place.serve()
    place.exec(running.uri, *words)
    shown, = running.stderr.find_all(r"call 1: exec (.*)$")
    assert shown.startswith("true ") and shown.endswith("…") and 200 < len(shown) <= 256
    place.exec(running.uri, "true", "x" * 200)
    assert not running.stderr.find_all(r"call 1: exec (.*)$", 2)[1].endswith("…")


def test_secrets_are_not_in_the_trail(place):
    running = place.serve()
    done = place._waybill("exec", *place.options, "-e", "TOKEN=verysecret", running.uri, "--", "true")
    assert done.returncode == 0
    running.stderr.find_all(r": ended$")
    assert "verysecret" not in running.stderr.text


def test_plain_calls_leave_a_trail_too(daemon, waybill, tmp_path):
    running = daemon("--log", "json", "--listen", f"unix://{tmp_path}/s")
    assert waybill("exec", running.uri, "--", "true").returncode == 0
    eventually(lambda: any(e["event"] == "ended" for e in events(running)))
    told = [e for e in events(running) if "session" in e]
    assert [e["event"] for e in told] == ["session", "call", "outcome", "ended"]
    assert all(e["who"] == f"uid:{os.getuid()}" for e in told)


def test_wrong_format(waybill):
    done = waybill("serve", "--log", "xml")
    assert done.returncode == 2 and b"--log" in done.stderr


def test_a_flood_of_refusals_hides_no_call(place):
    other = ssh_keygen(place.folder / "other")
    running = place.serve()
    for _ in range(3):
        place.is_refused(running.uri, options=["-i", other, "--known-hosts", place.known])
    for _ in range(400):
        with dial(running.address) as connection:
            connection.sendall(b"GET / HTTP/1.1")
            wait_readable(connection)
    place.exec(running.uri, "echo", "seen")
    running.stderr.find_all(r"call 1: exec echo seen$")
    assert running.stderr.text.count("refused") < 300


# --- files ---


def test_a_key_for_one_folder(place, tmp_path):
    """put:/dir is a drop box: nothing runs, nothing comes out, and nothing goes beside it."""
    box = tmp_path / "box"
    box.mkdir()
    (tmp_path / "file").write_text("content", encoding="ascii")
    place.authorize(f'permit="put:{box}"')
    running = place.serve()
    place.is_refused(running.uri, "may not run commands")
    done = place._waybill("put", *place.options, tmp_path / "file", f"{running.uri}:/name")
    assert done.returncode == 0, done.stderr
    assert (box / "name").read_text(encoding="ascii") == "content"
    done = place._waybill("put", *place.options, tmp_path / "file", f"{running.uri}:../beside")
    assert done.returncode != 0 and not (tmp_path / "beside").exists()
    done = place._waybill("get", *place.options, f"{running.uri}:/name", tmp_path / "back")
    assert done.returncode != 0 and not (tmp_path / "back").exists()


def test_a_forced_command_moves_no_files(place, tmp_path):
    place.authorize('command="true"')
    running = place.serve()
    (tmp_path / "file").write_text("content", encoding="ascii")
    done = place._waybill("put", *place.options, tmp_path / "file", f"{running.uri}:{tmp_path}/copy")
    assert done.returncode != 0 and not (tmp_path / "copy").exists()
