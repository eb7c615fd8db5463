"""put and get between people who do not trust each other: what the other side says is not what was asked for."""

import hashlib
import os
import signal

import pytest

from conftest import eventually
from file_peers import FileServer
from scripted import Scripted
from trees import Transfer, left_over


def small(name, payload=b"x", **changes):
    return {"op": "file", "n": 1, "name": name, "size": len(payload), "mode": 0o644, "mtime": "0.000000000",
            "digest": hashlib.sha256(payload).hexdigest(), **changes}


def folder(name, n):
    return {"op": "dir", "n": n, "name": name, "mode": 0o755, "mtime": "0.000000000"}


def get_from(waybill, items, *arguments):
    """Runs a get; the daemon sends these items, whatever was asked for. "HERE" in an argument is the daemon."""
    def script(connection):
        server = FileServer(connection)
        for payload, header in items:
            server.item(payload, **header)
        server.item(op="done", files=len(items), bytes=0)
        server.hear_finished()
        server.exit()
        server.drain()

    with Scripted(script) as server:
        here = f"tcp://127.0.0.1:{server.port}"
        return waybill("get", "--digest", "sha256", *(str(a).replace("HERE", here) for a in arguments))


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


# --- a daemon that sends what nobody asked for ---

UNASKED = [
    ("another file", (), [(b"x", small("evil"))]),
    ("a second file", (), [(b"x", small("f")), (b"x", small("evil", n=2))]),
    ("a folder", (), [(b"", folder(".ssh", 1)), (b"x", small(".ssh/evil", n=2)), (b"", {"op": "dir_end", "name": ".ssh"})]),
    ("a link", (), [(b"", {"op": "link", "n": 1, "name": "f", "target": "/etc", "mtime": "0.000000000"})]),
    ("a folder of that name", (), [(b"", folder("f", 1)), (b"", {"op": "dir_end", "name": "f"})]),
    ("another tree", ("-r",), [(b"", folder("evil", 1)), (b"", {"op": "dir_end", "name": "evil"})]),
    ("another link", ("-r",), [(b"", {"op": "link", "n": 1, "name": "evil", "target": "/etc", "mtime": "0.000000000"})]),
    ("a hard link", (), [(b"x", small("f")), (b"", {"op": "hardlink", "n": 2, "name": "evil", "to": "f"})]),
]


@pytest.mark.parametrize("what, flags, items", UNASKED, ids=[case[0] for case in UNASKED])
def test_only_what_was_asked_for(waybill, target, what, flags, items):
    """`get host:f .` in a home must not bring a .bashrc."""
    done = get_from(waybill, items, *flags, "HERE:some/f", target)
    assert done.returncode in (1, 255), what
    assert done.stderr.count(b"asked") == 1, done.stderr
    assert set(os.listdir(target)) <= {"f"} and not (target / "f").is_dir(), os.listdir(target)
    assert not (target / "f").is_symlink()


@pytest.mark.parametrize("path, names", [("some/f", ["f"]), ("f/", ["f"]), ("f//", ["f"])])
def test_what_was_asked_for_arrives(waybill, target, path, names):
    done = get_from(waybill, [(b"x", small(name)) for name in names], f"HERE:{path}", target)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(target)) == names


@pytest.mark.parametrize("path", [".", "/", "a/.."])
def test_a_tree_without_a_name_is_spread(waybill, target, path):
    """Who asks for all of a folder's content takes any name, but only with -r."""
    items = [(b"", folder(".", 1)), (b"x", small("any", n=2)), (b"", {"op": "dir_end", "name": "."})]
    assert get_from(waybill, items, f"HERE:{path}", target).returncode == 255
    assert os.listdir(target) == []
    done = get_from(waybill, items, "-r", f"HERE:{path}", target)
    assert done.returncode == 0, done.stderr
    assert os.listdir(target) == ["any"]


# --- what is in the way ---

@pytest.fixture
def uri(daemon, tmp_path):
    return daemon("--listen", f"unix://{tmp_path}/socket").uri


@pytest.mark.parametrize("way", ["put", "get"])
@pytest.mark.parametrize("size", [5, 1 << 20])
def test_a_device_stays(uri, waybill, target, tmp_path, way, size):
    """As root, `get host:file /dev/null` must not leave a machine without it. A pipe stands for the device."""
    (tmp_path / "file").write_bytes(b"x" * size)
    os.mkfifo(target / "null")
    places = (tmp_path / "file", f"{uri}:{target}/null") if way == "put" \
        else (f"{uri}:{tmp_path}/file", target / "null")
    done = waybill(way, *places)
    assert done.returncode == 1 and b"in the way" in done.stderr, done.stderr
    assert (target / "null").is_fifo() and os.listdir(target) == ["null"]


@pytest.mark.parametrize("way", ["put", "get"])
def test_holes_stay_holes_in_a_changed_file(uri, waybill, target, tmp_path, way):
    """What agrees is taken from the old file, its holes as holes."""
    places = (tmp_path / "file", f"{uri}:{target}/") if way == "put" else (f"{uri}:{tmp_path}/file", target)
    for position in (None, 60 << 20, 20 << 20):
        with open(tmp_path / "file", "a+b" if position is None else "r+b") as file:
            file.truncate(100 << 20)
            file.seek(position or 0)
            file.write(b"changed")
        done = waybill(way, *places)
        assert done.returncode == 0, done.stderr
    assert (target / "file").read_bytes() == (tmp_path / "file").read_bytes()
    assert os.stat(target / "file").st_blocks * 512 < 4 << 20


@pytest.mark.parametrize("way", ["put", "get"])
def test_what_is_too_deep_is_left_out(uri, waybill, target, tmp_path, way):
    """And all the rest arrives: it is one folder's failure, not the transfer's."""
    tree, here = tmp_path / "tree", os.getcwd()
    tree.mkdir()
    try:
        os.chdir(tree)
        for _ in range(258):
            os.mkdir("d")
            os.chdir("d")
            with open("file", "w", encoding="ascii") as file:
                file.write("x")
    finally:
        os.chdir(here)
    (tree / "last").mkdir()
    (tree / "last/file").write_text("x")
    places = (tree, f"{uri}:{target}/") if way == "put" else (f"{uri}:{tree}", target)
    done = waybill(way, "-r", *places)
    assert done.returncode == 1, done.stderr
    assert b"deep" in done.stderr and done.stderr.count(b"\n") == 2, done.stderr
    assert (target / "tree/last/file").exists()
    assert len(list((target / "tree").rglob("file"))) == 254 + 1


@pytest.mark.parametrize("way", ["put", "get"])
def test_interrupted_in_a_hole(uri, environment, target, tmp_path, way):
    """Nothing travels for a long while, and ^C is heard all the same."""
    with open(tmp_path / "file", "wb") as file:
        try:
            file.truncate(4 << 40)
        except OSError as error:
            pytest.skip(f"no file of 4 TiB here: {error}")
    places = (tmp_path / "file", f"{uri}:{target}/") if way == "put" else (f"{uri}:{tmp_path}/file", target)
    with Transfer(environment, way, *places) as running:
        eventually(lambda: left_over(target))
        running.process.send_signal(signal.SIGINT)
        code, _, err = running.finish()
    assert code == 128 + signal.SIGINT, err
    assert not (target / "file").exists()


# --- a client that wants more than the folder it may put into ---


def test_a_confined_put_takes_over_no_owners(daemon, waybill, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o4755)
    uri = daemon("--listen", f"unix://{tmp_path}/socket", "--root", tmp_path / "root").uri
    done = waybill("put", "-p", tmp_path / "f", f"{uri}:/")
    assert done.returncode == 255
    assert b"owners (-p) are not taken over" in done.stderr
    assert waybill("put", tmp_path / "f", f"{uri}:/").returncode == 0
    assert (tmp_path / "root" / "f").stat().st_mode & 0o7777 == 0o755
