"""put and get where something goes wrong: connections, processes, disks, and peers that lie."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, eventually, sanitizer
from file_peers import FileClient, FileServer
from relay import Relay
from scripted import Scripted
from trees import Transfer, content, describe, left_over, make_tree, summary, write

MIB = 1 << 20
SLOW = 4 if sanitizer() else 1
SECONDS = EVENT_SECONDS * SLOW * 3
LARGE = (16 if sanitizer() else 64) * MIB
EVERY = LARGE // 16
WINDOW = 8 * MIB  # the largest: what one cut may cost


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(file.read()).hexdigest()


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large"
    write(path, content(LARGE))
    return path


@pytest.fixture
def served(daemon, tmp_path):
    return daemon("--listen", f"unix://{tmp_path}/socket", "--listen", "tcp://127.0.0.1:0")


# --- connections ---

@pytest.mark.parametrize("way", ["put", "get"])
def test_cuts(served, waybill, large, tmp_path, way):
    """However often the connection breaks: the same file, and hardly a byte more than it has."""
    with Relay(served.ports[1], seed=11, every_bytes=EVERY, cuts=60, kinds=("reset", "end")) as relay:
        places = (large, f"{relay.uri}:{tmp_path}/there")
        if way == "get":
            places = (f"{relay.uri}:{large}", tmp_path / "there")
        done = waybill(way, "--json", *places, timeout=SECONDS)
        cuts, travelled = relay.seen["cuts"], relay.seen["bytes"]
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "there") == digest(large)
    assert cuts >= 4
    assert summary(done.stdout)["bytes_sent"] == LARGE, "the session sends again what was cut, not the engine"
    assert travelled <= LARGE * 1.01 + cuts * WINDOW, (travelled, cuts)


def test_cuts_in_a_tree(served, waybill, tmp_path):
    make_tree(tmp_path / "tree")
    with Relay(served.ports[1], seed=5, every_bytes=100_000, cuts=40) as relay:
        done = waybill("put", "-r", "--silence", "500ms", tmp_path / "tree", f"{relay.uri}:{tmp_path}/there",
                       timeout=SECONDS)
        assert relay.seen["cuts"] >= 10
    assert done.returncode == 0, done.stderr
    assert describe(tmp_path / "there") == describe(tmp_path / "tree")


# --- processes ---

def part_of(folder, least):
    """A temporary that holds so many bytes."""
    return next((path for path in left_over(folder) if allocated(path) >= least), None)


def allocated(path):
    try:
        return os.stat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("way", ["put", "get"])
@pytest.mark.parametrize("who", ["client", "daemon"])
def test_killed_and_run_again(daemon, environment, waybill, large, tmp_path, way, who):
    """kill -9 of either side: the old file stands, and the same command sends only what was not there."""
    (tmp_path / "in").mkdir()
    target = tmp_path / "in/file"
    write(target, b"old")
    running = daemon("--listen", f"unix://{tmp_path}/socket") if who == "client" else None
    if not running:
        running = Unchecked(environment, tmp_path)
    uri = f"unix://{tmp_path}/socket"
    places = (large, f"{uri}:{target}") if way == "put" else (f"{uri}:{large}", target)
    with Transfer(environment, way, "--limit", LARGE // 4, "--retry", "0", *places) as first:
        eventually(lambda: part_of(tmp_path / "in", LARGE // 4) or first.process.poll() is not None)
        assert first.process.poll() is None, first.finish()
        os.kill(first.pid if who == "client" else running.pid, signal.SIGKILL)
        code, _, err = first.finish()
    assert code == (-signal.SIGKILL if who == "client" else 255), err
    assert target.read_bytes() == b"old"
    if who == "daemon":
        running.reap()
        os.unlink(f"{tmp_path}/socket")
        running = daemon("--listen", uri)
    done = waybill(way, "--json", *places, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert digest(target) == digest(large)
    told = summary(done.stdout)
    assert told["bytes_saved"] >= LARGE // 5, told
    assert told["bytes_sent"] <= LARGE - LARGE // 5, told
    assert left_over(tmp_path) == []


class Unchecked:
    """A daemon that is to be killed: nobody asks how it ended."""

    def __init__(self, environment, tmp_path):
        from conftest import WAYBILL
        self.process = subprocess.Popen([WAYBILL, "serve", "--listen", f"unix://{tmp_path}/socket"],
                                        env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        assert self.process.stderr.readline().startswith(b"listening")

    def reap(self):
        self.process.wait(EVENT_SECONDS)
        self.process.stderr.close()


def test_interrupted(served, environment, waybill, large, tmp_path):
    """^C says that the same command goes on, and it does."""
    (tmp_path / "in").mkdir()
    places = (large, f"{served.uri}:{tmp_path}/in/file")
    with Transfer(environment, "put", "--limit", LARGE // 4, *places) as running:
        eventually(lambda: part_of(tmp_path / "in", LARGE // 8))
        running.process.send_signal(signal.SIGINT)
        code, _, err = running.finish()
    assert code == 128 + signal.SIGINT and "interrupted" in err and "goes on" in err
    assert not (tmp_path / "in/file").exists()
    eventually(lambda: not served.children())
    done = waybill("put", "--json", *places, timeout=SECONDS)
    assert done.returncode == 0 and summary(done.stdout)["bytes_saved"] >= LARGE // 10
    assert digest(tmp_path / "in/file") == digest(large)


def test_nothing_is_left_of_many(daemon, environment, large, tmp_path):
    """Clients that are killed in the middle leave the daemon no thread, no descriptor, no ring."""
    served = daemon("--listen", f"unix://{tmp_path}/socket", "--hold", "1s")

    def threads():
        return len(os.listdir(f"/proc/{served.pid}/task"))

    (tmp_path / "in").mkdir()
    before_threads, before = threads(), len(served.descriptors())
    for i in range(6):
        arguments = ("put", large, f"{served.uri}:{tmp_path}/in/{i}")
        if i % 2:
            arguments = ("get", f"{served.uri}:{large}", tmp_path / f"in/{i}")
        with Transfer(environment, arguments[0], "--limit", "1M", *arguments[1:]) as running:
            eventually(lambda: left_over(tmp_path / "in"))
            running.process.send_signal(signal.SIGINT if i < 4 else signal.SIGKILL)
            running.finish()
        for path in left_over(tmp_path / "in"):
            path.unlink(missing_ok=True)
    with Transfer(environment, "get", f"{served.uri}:{large}", tmp_path / "in/last") as running:
        assert running.finish(SECONDS)[0] == 0
    eventually(lambda: threads() == before_threads, SECONDS)
    eventually(lambda: len(served.descriptors()) <= before)


def test_drain(daemon, environment, large, tmp_path):
    """A daemon that is told to end lets a transfer finish."""
    served = daemon("--listen", f"unix://{tmp_path}/socket")
    with Transfer(environment, "put", "--limit", LARGE // 2, large, f"{served.uri}:{tmp_path}/there") as running:
        eventually(lambda: left_over(tmp_path))
        served.process.send_signal(signal.SIGTERM)
        code, _, err = running.finish(SECONDS)
    assert code == 0, err
    assert served.stop() == 0
    assert digest(tmp_path / "there") == digest(large)


def listens(path):
    """Whether somebody accepts at a unix socket: no daemon that drains does."""
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(str(path))
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            return False


def test_second_signal_ends_at_once(daemon, environment, large, tmp_path):
    served = daemon("--listen", f"unix://{tmp_path}/socket")
    with Transfer(environment, "put", "--limit", "1M", "--retry", "0", large,
                  f"{served.uri}:{tmp_path}/there") as running:
        eventually(lambda: left_over(tmp_path))
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: not listens(tmp_path / "socket"))
        served.process.send_signal(signal.SIGTERM)
        assert served.stop() == 0
        code, _, err = running.finish()
    assert code == 255 and err
    assert not (tmp_path / "there").exists()


# --- disks, files and rights ---

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)], capture_output=True,
                           check=False)
    if tried.returncode != 0:
        pytest.skip(f"no small file system here: {tried.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("way", ["put", "get"])
def test_full_disk(served, waybill, small_disk, tmp_path, way):
    write(tmp_path / "file", content(8 * MIB))
    write(small_disk / "file", b"old")
    places = (tmp_path / "file", f"{served.uri}:{small_disk}/file")
    if way == "get":
        places = (f"{served.uri}:{tmp_path}/file", small_disk / "file")
    done = waybill(way, "--json", *places)
    assert done.returncode in (1, 255), done.stderr
    assert b"o space left" in done.stderr, done.stderr
    assert b"no-space" in done.stdout, done.stdout
    assert (small_disk / "file").read_bytes() == b"old"


@pytest.mark.parametrize("way", ["put", "get"])
def test_read_only_target(served, waybill, small_disk, tmp_path, way):
    write(tmp_path / "file", b"new")
    write(small_disk / "file", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    places = (tmp_path / "file", f"{served.uri}:{small_disk}/file")
    if way == "get":
        places = (f"{served.uri}:{tmp_path}/file", small_disk / "file")
    done = waybill(way, *places)
    assert done.returncode in (1, 255)
    assert b"ead-only" in done.stderr
    assert (small_disk / "file").read_bytes() == b"old"


def test_no_such_folder(served, waybill, tmp_path):
    write(tmp_path / "file", b"x")
    done = waybill("put", tmp_path / "file", f"{served.uri}:{tmp_path}/absent/file")
    assert done.returncode == 255 and b"absent" in done.stderr
    done = waybill("get", f"{served.uri}:{tmp_path}/file", tmp_path / "absent/file")
    assert done.returncode == 255 and b"absent" in done.stderr


@pytest.fixture
def common_place():
    """A folder that every user can come to, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="waybill-test-"))
    os.chmod(place, 0o755)
    yield place
    shutil.rmtree(place)


def test_permission(daemon, second_user, public_binary, waybill, common_place):
    """What the daemon's user may not read or write is one clear error a file; the others arrive."""
    os.mkdir(common_place / "theirs")
    os.chown(common_place / "theirs", second_user.uid, -1)
    served = daemon("--listen", f"unix://{common_place}/theirs/socket", "--allow-uid", os.geteuid(),
                    "--spool", common_place / "theirs", cwd="/", executable=public_binary,
                    **second_user.popen_options)
    os.mkdir(common_place / "tree")
    write(common_place / "tree/secret", b"x", mode=0o600)
    write(common_place / "tree/open", b"x")
    reach = ("--server-uid", second_user.uid)
    done = waybill("get", "-r", *reach, f"{served.uri}:{common_place}/tree", common_place / "back")
    assert done.returncode == 1 and b"secret" in done.stderr and b"ermission" in done.stderr, done.stderr
    assert (common_place / "back/open").exists() and not (common_place / "back/secret").exists()
    done = waybill("put", *reach, common_place / "tree/open", f"{served.uri}:{common_place}/tree/new")
    assert done.returncode in (1, 255) and b"ermission" in done.stderr, done.stderr
    assert not (common_place / "tree/new").exists()


def test_source_that_changes(served, environment, tmp_path):
    """A file that is written to while it is read does not arrive as a mixture."""
    source = tmp_path / "source"
    write(source, content(8 * MIB))
    write(tmp_path / "there", b"old")
    with Transfer(environment, "put", "--json", "--limit", "4M", source, f"{served.uri}:{tmp_path}/there") as running:
        eventually(lambda: part_of(tmp_path, MIB))
        with open(source, "r+b") as file:
            file.write(b"changed")
        code, out, err = running.finish(SECONDS)
    assert code == 1 and "changed" in err, err
    assert b'"changed"' in out
    assert (tmp_path / "there").read_bytes() == b"old"


def test_source_that_shrinks(served, environment, tmp_path):
    source = tmp_path / "source"
    write(source, content(8 * MIB))
    with Transfer(environment, "get", "--limit", "4M", f"{served.uri}:{source}", tmp_path / "here") as running:
        eventually(lambda: part_of(tmp_path, MIB))
        os.truncate(source, 0)
        code, _, err = running.finish(SECONDS)
    assert code == 1 and "source" in err or "here" in err
    assert not (tmp_path / "here").exists()


# --- what a daemon allows ---

def test_root(daemon, waybill, tmp_path):
    """With --root, "/" is that folder, and nothing leads out of it."""
    (tmp_path / "root/sub").mkdir(parents=True)
    write(tmp_path / "outside", b"outside")
    write(tmp_path / "file", b"data")
    os.symlink(tmp_path, tmp_path / "root/out")
    os.symlink("../..", tmp_path / "root/sub/up")
    uri = daemon("--listen", f"unix://{tmp_path}/socket", "--root", tmp_path / "root").uri
    for path in ("/sub/", "sub/", "/sub/file", "sub/../sub/file", "//sub/file"):
        done = waybill("put", tmp_path / "file", f"{uri}:{path}")
        assert done.returncode == 0, (path, done.stderr)
        assert (tmp_path / "root/sub/file").read_bytes() == b"data"
        (tmp_path / "root/sub/file").unlink()
    for path in ("../escaped", "/../escaped", "out/escaped", "sub/up/escaped", "sub/../../escaped"):
        done = waybill("put", tmp_path / "file", f"{uri}:{path}")
        assert done.returncode != 0, path
    assert not (tmp_path / "escaped").exists()
    for path in ("../outside", "out/outside", "sub/up/outside", str(tmp_path / "outside")):
        done = waybill("get", f"{uri}:{path}", tmp_path / "stolen")
        assert done.returncode != 0 and not (tmp_path / "stolen").exists(), path
    done = waybill("get", "-r", f"{uri}:/", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    assert os.readlink(tmp_path / "all/out") == str(tmp_path), "a link travels as a link"


def test_quotas(daemon, waybill, tmp_path):
    uri = daemon("--listen", f"unix://{tmp_path}/socket", "--max-put-bytes", "1M", "--max-put-files", "10").uri
    write(tmp_path / "large", content(2 * MIB))
    write(tmp_path / "there", b"old")
    done = waybill("put", tmp_path / "large", f"{uri}:{tmp_path}/there")
    assert done.returncode != 0 and done.stderr
    assert (tmp_path / "there").read_bytes() == b"old"
    (tmp_path / "many").mkdir()
    for i in range(20):
        write(tmp_path / f"many/{i}", b"x")
    done = waybill("put", "-r", tmp_path / "many", f"{uri}:{tmp_path}/in")
    assert done.returncode != 0 and done.stderr
    assert len(describe(tmp_path / "in")) <= 11


def test_transfers_at_one_time(daemon, environment, waybill, large, tmp_path):
    uri = daemon("--listen", f"unix://{tmp_path}/socket", "--max-transfers", "1").uri
    with Transfer(environment, "put", "--limit", "1M", large, f"{uri}:{tmp_path}/there") as running:
        eventually(lambda: left_over(tmp_path))
        done = waybill("put", large, f"{uri}:{tmp_path}/other")
        assert done.returncode == 255 and b"--max-transfers" in done.stderr
        running.process.send_signal(signal.SIGINT)
        running.finish()


# --- peers that lie ---

# sha256, so that the tests need no xxHash.
SHA_OF_X = hashlib.sha256(b"x").hexdigest()

BAD_NAMES = ["../escaped", "/escaped", "a/../../escaped", "..", ".", "", "a//b", "a/./b", "out/escaped", "x" * 300,
             "/".join("d" * 300)]


def small(name, payload=b"x", **changes):
    return {"op": "file", "n": 1, "name": name, "size": len(payload), "mode": 0o644, "mtime": "0.000000000",
            "digest": hashlib.sha256(payload).hexdigest(), **changes}


@pytest.fixture
def outside(tmp_path):
    """A target with a link out of it, and what must stay as it is."""
    target = tmp_path / "target"
    target.mkdir()
    os.symlink("..", target / "out")
    write(tmp_path / "precious", b"precious")
    yield target
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "escaped").exists()


def assert_no_success(answers, end):
    """The call ended in order, and said that not all is well."""
    assert end["op"] == "exit", (answers, end)
    assert end["outcome"] == "failed" and end["error"] or end["code"] == 1, (answers, end)


def test_client_by_hand_can_be_honest(served, outside):
    """What follows would prove nothing if this did not work."""
    client = FileClient(served.ports[1], "put", os.fsencode(outside), digest="sha256", into=True)
    client.item(b"x", **small("f"))
    client.item(op="done", files=1, bytes=1)
    answers, end = client.end()
    assert (end["outcome"], end["code"]) == ("exited", 0), (answers, end)
    assert answers[-1]["op"] == "finished"
    assert (outside / "f").read_bytes() == b"x"


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_hostile_client_names(served, outside, name):
    client = FileClient(served.ports[1], "put", os.fsencode(outside), digest="sha256", into=True)
    client.item(b"x", **small(name))
    client.item(op="done", files=1, bytes=1)
    answers, end = client.end()
    assert_no_success(answers, end)
    assert os.listdir(outside) == ["out"], os.listdir(outside)


LIES = [
    ("a wrong digest", [(b"y", small("f", digest=SHA_OF_X))]),
    ("a wrong size", [(b"xx", small("f", size=1))]),
    ("an enormous size", [(b"x", small("f", size=2**53))]),
    ("a digest of another kind", [(b"x", small("f", digest="00"))]),
    ("no digest", [(b"x", {k: v for k, v in small("f").items() if k != "digest"})]),
    ("data without an offer", [(b"x", {"op": "data", "n": 1, "offset": 0})]),
    ("a copy without a basis", [(b"", {"op": "offer", "n": 1, "name": "f", "size": 10, "mode": 420,
                                       "mtime": "0.000000000"}),
                                (b"", {"op": "copy", "n": 1, "offset": 0, "bytes": 10})]),
    ("an unknown item", [(b"", {"op": "mknod", "n": 1, "name": "f"})]),
    ("numbers that fall", [(b"x", small("g", n=5)), (b"x", small("f", n=4))]),
    ("a hard link out", [(b"", {"op": "hardlink", "n": 1, "name": "f", "to": "../precious"})]),
    ("a hard link through a link", [(b"", {"op": "hardlink", "n": 1, "name": "f", "to": "out/precious"})]),
    ("no item at all", [(b"", {"op": "dir"})]),
]


@pytest.mark.parametrize("what, items", LIES, ids=[lie[0] for lie in LIES])
def test_hostile_client_items(served, outside, what, items):
    client = FileClient(served.ports[1], "put", os.fsencode(outside), digest="sha256", into=True)
    for payload, header in items:
        client.item(payload, **header)
    client.item(op="done", files=1, bytes=1)
    answers, end = client.end()
    assert_no_success(answers, end)
    assert not (outside / "f").exists(), what


def test_link_then_through_it(served, outside):
    """A link is stored as it is told, and then not followed."""
    client = FileClient(served.ports[1], "put", os.fsencode(outside), digest="sha256", into=True)
    client.item(op="link", n=1, name="mine", target="..", mtime="0.000000000")
    client.item(b"x", **small("mine/escaped", n=2))
    client.item(op="done", files=2, bytes=1)
    assert_no_success(*client.end())
    assert os.readlink(outside / "mine") == ".."


def test_stream_that_is_no_items(served, outside):
    client = FileClient(served.ports[1], "put", os.fsencode(outside))
    client.send(b"\xff" * 1000)
    _, end = client.outcome()
    assert end["outcome"] == "failed" and end["error"], end


@pytest.mark.parametrize("fields", [{"paths": 2}, {"paths": 0}, {"digest": "crc"}, {"recursive": 1}, {"digest": 7}])
def test_bad_open(served, outside, fields):
    client = FileClient(served.ports[1], "put", os.fsencode(outside), **fields)
    _, end = client.outcome()
    assert end["op"] == "error" or end["outcome"] in ("refused", "failed")


def get_from(waybill, outside, items, *arguments, **options):
    """Runs a get from a daemon that sends these items."""
    def script(connection):
        server = FileServer(connection)
        for payload, header in items:
            server.item(payload, **header)
        server.item(op="done", files=len(items), bytes=0)
        server.hear_finished()
        server.exit()
        server.drain()

    with Scripted(script) as server:
        return waybill("get", "--json", "--digest", "sha256", *arguments,
                       f"tcp://127.0.0.1:{server.port}:f", outside, **options)


def test_scripted_daemon_can_be_honest(waybill, outside):
    """What follows would prove nothing if this did not work."""
    done = get_from(waybill, outside, [(b"x", small("f"))])
    assert done.returncode == 0, done.stderr
    assert (outside / "f").read_bytes() == b"x"


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_hostile_daemon_names(waybill, outside, name):
    done = get_from(waybill, outside, [(b"x", small(name))], "-r")
    assert done.returncode in (1, 255) and done.stderr
    assert os.listdir(outside) == ["out"]


@pytest.mark.parametrize("what, items", LIES, ids=[lie[0] for lie in LIES])
def test_hostile_daemon_items(waybill, outside, what, items):
    done = get_from(waybill, outside, items, "-r")
    assert done.returncode in (1, 255), (what, done.stdout)
    assert done.stderr
    assert not (outside / "f").exists(), what


def test_daemon_that_says_success_too_early(waybill, outside):
    def script(connection):
        server = FileServer(connection)
        server.item(b"x", **small("f"))
        server.exit()
        server.drain()

    with Scripted(script) as server:
        done = waybill("get", "--json", f"tcp://127.0.0.1:{server.port}:f", outside)
    assert done.returncode == 255 and done.stderr


def test_daemon_that_swallows(waybill, tmp_path):
    """A put whose daemon says `exited 0` without having said that all is on disk is no success."""
    write(tmp_path / "file", b"x")

    def script(connection):
        server = FileServer(connection, "put")
        server.exit()
        server.drain()

    with Scripted(script) as server:
        done = waybill("put", tmp_path / "file", f"tcp://127.0.0.1:{server.port}:x")
    assert done.returncode == 255 and done.stderr
