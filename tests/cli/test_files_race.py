"""A folder that becomes a link while a tree arrives in it: somebody on the receiver's machine renames, as fast as
the machine goes. What arrives may fail, and says so; nothing lands, changes or vanishes where the link leads. And
trees that meet another of their kind on the way."""

import hashlib
import os
import shutil
import subprocess
from contextlib import ExitStack

import pytest

from conftest import EVENT_SECONDS, PYTHON, eventually, sanitizer
from file_peers import FileClient
from trees import Transfer, content, describe, left_over, write

FOLDERS, FILES = 6, 12

# Exchanges a folder and a link in one step, for ever: RENAME_EXCHANGE of renameat2(2). A folder that is not there
# yet, or is away just now, is tried again.
SWAPPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2
pairs = [(os.fsencode(name), os.fsencode(link)) for name, link in zip(sys.argv[1::2], sys.argv[2::2])]
swaps = 0
print("ready", flush=True)
while True:
    for name, link in pairs:
        if libc.renameat2(AT_FDCWD, name, AT_FDCWD, link, RENAME_EXCHANGE) == 0:
            swaps += 1
            if swaps == 100:
                print("swapped", flush=True)
"""


def facts(folder):
    """All that a folder holds, and its own mode and time: to be compared."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files, ""]:
            path = os.path.join(place, name) if name else place
            info = os.lstat(path)
            found[os.path.relpath(path, folder)] = (
                info.st_mode, info.st_ino, info.st_mtime_ns,
                hashlib.sha256(open(path, "rb").read()).hexdigest() if name in files else "")
    return found


@pytest.fixture
def outside(tmp_path):
    """What the link leads to: like the tree, so that a step through the link would find everything it looks for."""
    folder = tmp_path / "outside"
    make_tree(folder, b"outside")
    os.chmod(folder, 0o751)
    before = facts(folder)
    yield folder
    assert facts(folder) == before


def make_tree(root, seed):
    os.mkdir(root)
    for i in range(FOLDERS):
        folder = root / f"d{i}"
        os.makedirs(folder / "deep")
        for j in range(FILES):
            write(folder / f"{j}", content(2000 if j else 300_000, seed + b"%d %d" % (i, j)), mode=0o640)
        write(folder / "deep/end", content(10, seed))


class Swapper:
    def __init__(self, pairs):
        self.process = subprocess.Popen([PYTHON, "-I", "-c", SWAPPER, *[str(path) for pair in pairs for path in pair]],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wait(self):
        """Until it has swapped often."""
        assert self.process.stdout.readline() == "swapped\n"


@pytest.mark.parametrize("way", ["put", "get"])
@pytest.mark.parametrize("options", [(), ("--delete",), ("--no-fsync",)], ids=lambda options: " ".join(options) or "-")
def test_a_folder_that_becomes_a_link(daemon, waybill, tmp_path, outside, way, options):
    """Folders that were there before are exchanged with links, while the same tree arrives again and again."""
    uri = daemon("--listen", f"unix://{tmp_path}/socket").uri
    source, target = tmp_path / "source", tmp_path / "target"
    make_tree(source, b"new")
    make_tree(target, b"old")
    links = []
    for i in range(0, FOLDERS, 2):
        links.append((target / f"d{i}", tmp_path / f"link{i}"))
        os.symlink(outside / f"d{i}", links[-1][1])
    places = (f"{source}/.", f"{uri}:{target}") if way == "put" else (f"{uri}:{source}/.", target)
    codes = []
    with Swapper(links) as swapper:
        swapper.wait()
        for run in range(6 if sanitizer() else 20):
            for i in range(FOLDERS):
                write(source / f"d{i}/{run % FILES}", content(5000, b"%d" % run))
            done = waybill(way, "-r", *options, *places, timeout=EVENT_SECONDS * 3)
            assert done.returncode in (0, 1, 255), done.stderr
            assert done.returncode == 0 or done.stderr
            codes.append(done.returncode)
    print(codes)


@pytest.mark.parametrize("way", ["put", "get"])
def test_a_new_folder_that_becomes_a_link(daemon, waybill, tmp_path, outside, way):
    """The same with folders that the transfer makes, as soon as they have their names."""
    uri = daemon("--listen", f"unix://{tmp_path}/socket").uri
    source = tmp_path / "source"
    make_tree(source, b"new")
    for run in range(5 if sanitizer() else 15):
        target = tmp_path / f"target{run}"
        target.mkdir()
        links = [(target / f"d{i}", tmp_path / f"link{run}-{i}") for i in range(FOLDERS)]
        for i, (_, link) in enumerate(links):
            os.symlink(outside / f"d{i}", link)
        places = (f"{source}/.", f"{uri}:{target}") if way == "put" else (f"{uri}:{source}/.", target)
        with Swapper(links):
            done = waybill(way, "-r", *places, timeout=EVENT_SECONDS * 3)
        assert done.returncode in (0, 1, 255), done.stderr


@pytest.mark.parametrize("way", ["put", "get"])
@pytest.mark.parametrize("options", [(), ("--no-fsync",)], ids=lambda options: " ".join(options) or "-")
def test_two_at_one_time(daemon, environment, tmp_path, way, options):
    """Two trees for one target at the same time: both arrive, and every name has one of the two versions, whole.
    The target is new, or holds one of them already."""
    uri = daemon("--listen", f"unix://{tmp_path}/socket").uri
    sources, target = [tmp_path / "one/tree", tmp_path / "two/tree"], tmp_path / "target"
    for i, source in enumerate(sources):
        source.parent.mkdir()
        make_tree(source, b"%d" % i)
    versions = [describe(source, times=False) for source in sources]
    for run in range(4 if sanitizer() else 8):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        if run % 2:
            shutil.copytree(sources[run // 2 % 2], target / "tree", symlinks=True)
        places = [(source, f"{uri}:{target}") if way == "put" else (f"{uri}:{source}", target) for source in sources]
        with ExitStack() as stack:
            both = [stack.enter_context(Transfer(environment, way, "-r", "-q", *options, *place)) for place in places]
            assert [one.finish() for one in both] == 2 * [(0, b"", "")]
        found = describe(target / "tree", times=False)
        assert found.keys() == versions[0].keys()
        assert not left_over(target)
        for name, what in found.items():
            assert what in (versions[0][name], versions[1][name]), name


def test_at_the_worst_moment(daemon, tmp_path, outside):
    """One step at a time: a folder is begun, becomes a link, and then a file for it comes."""
    running = daemon("--listen", "tcp://127.0.0.1:0")
    target = tmp_path / "target"
    (target / "d0").mkdir(parents=True)
    sha = hashlib.sha256(b"x").hexdigest()
    client = FileClient(running.port, "put", os.fsencode(target), digest="sha256", recursive=True, into=True)
    client.item(op="dir", n=1, name="d0", mode=0o755, mtime="0.000000000")
    client.item(b"x", op="file", n=2, name="d0/first", size=1, mode=0o644, mtime="0.000000000", digest=sha)
    eventually(lambda: (target / "d0").exists() and any(target.rglob("*first*")) or any(target.rglob(".waybill-*")))
    os.rename(target / "d0", target / "aside")
    os.symlink(outside / "d0", target / "d0")
    for n, name in enumerate(["d0/escaped", "d0/0", "d0/deep/escaped"], start=3):
        client.item(b"x", op="file", n=n, name=name, size=1, mode=0o644, mtime="0.000000000", digest=sha)
    client.item(op="dir_end", n=1, name="d0", mode=0o700, mtime="1.000000000")
    client.item(op="done", files=4, bytes=4)
    answers, end = client.end()
    assert end["op"] in ("exit", "error") and end.get("outcome") != "exited" or end.get("code") == 1, (answers, end)
    assert os.readlink(target / "d0") == str(outside / "d0")


def test_three_transfers_of_one_large_file(daemon, tmp_path):
    """The second takes over what the first has written, and ends; the first's temporary stays the first's, so the
    third makes one of its own, and each name that is given is that of a whole file."""
    size, served = 300_000, daemon("--listen", "tcp://127.0.0.1:0")
    folder = tmp_path / "there"
    folder.mkdir()

    def body(letter):
        return letter * 10 + bytes(size - 10)

    def begin(letter):
        client = FileClient(served.port, "put", os.fsencode(folder / "file"), digest="sha256")
        client.item(op="offer", n=1, name="x", mode=0o644, mtime="1.000000000", size=size)
        while b'"want"' not in client.hear_until("data")[1]:
            pass
        client.item(letter * 10, op="data", n=1, offset=0)
        eventually(lambda: any(os.path.getsize(folder / name) == 10 for name in os.listdir(folder)
                               if name.startswith(".waybill-")))
        return client

    def finish(client, letter):
        client.item(op="hole", n=1, offset=10, bytes=size - 10)
        client.item(op="end", n=1, size=size, digest=hashlib.sha256(body(letter)).hexdigest())
        client.item(op="done", files=1, bytes=size)
        return client.end()[1]["code"]

    first = begin(b"A")
    second = begin(b"B")
    assert finish(second, b"B") == 0 and (folder / "file").read_bytes() == body(b"B")
    third = begin(b"C")
    assert finish(first, b"A") == 0 and (folder / "file").read_bytes() == body(b"A")
    assert finish(third, b"C") == 0 and (folder / "file").read_bytes() == body(b"C")
