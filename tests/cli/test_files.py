"""put and get: what arrives is what was there, both ways, over every transport, and scp's rules of names."""

import json
import os
import pwd

import pytest

from conftest import EVENT_SECONDS, WAYBILL, sanitizer
from secure import enable_tls
from trees import HOLE_BYTES, KIB, Transfer, content, describe, left_over, make_tree, summary, write

SECONDS = EVENT_SECONDS * (4 if sanitizer() else 1)


@pytest.fixture(params=["unix", "tcp", "tls"])
def listen(request, environment, tmp_path):
    """What `serve` needs for each transport."""
    if request.param == "tls":
        return enable_tls(environment)
    return ["--listen", {"unix": f"unix://{tmp_path}/socket", "tcp": "tcp://127.0.0.1:0"}[request.param]]


@pytest.fixture
def uri(daemon, tmp_path):
    """One daemon, over a unix socket."""
    return daemon("--listen", f"unix://{tmp_path}/socket").uri


@pytest.fixture
def transfer(waybill):
    """transfer(*arguments) has to succeed; its --json summary."""

    def run(*arguments, **options):
        done = waybill(*arguments, "--json", timeout=SECONDS, **options)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr == b""
        return summary(done.stdout)

    return run


# --- round trips ---

def test_tree_both_ways(daemon, transfer, tmp_path, listen):
    """Everything that a tree can hold comes back: put, then get, then compared with what was there."""
    uri = daemon(*listen).uri
    make_tree(tmp_path / "tree")
    before = describe(tmp_path / "tree")
    put = transfer("put", "-r", tmp_path / "tree", f"{uri}:{tmp_path}/there")
    assert describe(tmp_path / "there") == before
    got = transfer("get", "-r", f"{uri}:{tmp_path}/there", tmp_path / "back")
    assert describe(tmp_path / "back") == before
    assert left_over(tmp_path) == []
    for told in (put, got):
        assert told["outcome"] == "complete" and told["failed"] == 0
        assert told["bytes_sent"] < 12 << 20, "holes do not travel"
    assert describe(tmp_path / "tree") == before


def test_again_sends_nothing(uri, transfer, tmp_path):
    """What is there already is not sent a second time, either way, but for files of a size (SIZES has two of them)
    that is neither worth digests of blocks nor small enough to be compared at once."""
    make_tree(tmp_path / "tree")
    before = describe(tmp_path / "tree")
    (tmp_path / "there").mkdir()
    for _ in range(2):
        told = transfer("put", "-r", tmp_path / "tree", f"{uri}:{tmp_path}/there")
    assert told["bytes_sent"] <= 2 * 128 * KIB + 1 and told["bytes_saved"] > 3 << 20, told
    assert describe(tmp_path / "there/tree") == before
    (tmp_path / "back").mkdir()
    for _ in range(2):
        told = transfer("get", "-r", f"{uri}:{tmp_path}/there/tree", tmp_path / "back")
    assert told["bytes_sent"] <= 2 * 128 * KIB + 1 and told["bytes_saved"] > 3 << 20, told
    assert describe(tmp_path / "back/tree") == before


def test_delta(uri, transfer, tmp_path):
    """Of a large file that changed a little, little travels; --no-delta sends it whole."""
    data = bytearray(content(24 << 20))
    write(tmp_path / "file", data)
    transfer("put", tmp_path / "file", f"{uri}:{tmp_path}/there")
    data[5_000_000:5_000_010] = b"0123456789"
    data += b"more"
    write(tmp_path / "file", data)
    told = transfer("put", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert (tmp_path / "there").read_bytes() == data
    assert told["bytes_sent"] < 1 << 20 and told["bytes_saved"] > 22 << 20, told
    data[0:1] = b"!"
    write(tmp_path / "file", data)
    told = transfer("put", "--no-delta", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert (tmp_path / "there").read_bytes() == data
    assert told["bytes_sent"] >= len(data)


@pytest.mark.parametrize("digest", ["xxh128", "sha256", "md5"])
def test_digests(uri, transfer, tmp_path, digest):
    write(tmp_path / "small", content(1000))
    write(tmp_path / "large", content(1 << 20))
    (tmp_path / "there").mkdir()
    told = transfer("put", "--digest", digest, tmp_path / "small", tmp_path / "large", f"{uri}:{tmp_path}/there")
    assert told["bytes_verified"] == 1000 + (1 << 20)
    (tmp_path / "back").mkdir()
    transfer("get", "--digest", digest, f"{uri}:{tmp_path}/there/small", f"{uri}:{tmp_path}/there/large",
             tmp_path / "back")
    assert describe(tmp_path / "back", times=False)[b"large"] == describe(tmp_path, times=False)[b"large"]


def test_compressed(uri, waybill, tmp_path):
    write(tmp_path / "file", b"the same again " * 500_000)
    done = waybill("put", "-z", "--json", tmp_path / "file", f"{uri}:{tmp_path}/there")
    if b"zstd" in done.stderr:
        pytest.skip("this build has no zstd")
    assert done.returncode == 0, done.stderr
    assert summary(done.stdout)["bytes_sent"] < 1 << 20
    assert (tmp_path / "there").read_bytes() == (tmp_path / "file").read_bytes()


def test_past_four_gib(uri, transfer, tmp_path):
    """Offsets beyond 32 bits, without the bytes."""
    size = (4 << 30) + 5
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
    told = transfer("put", tmp_path / "huge", f"{uri}:{tmp_path}/there")
    assert told["bytes_sent"] < 1 << 20
    assert os.stat(tmp_path / "there").st_size == size
    assert os.stat(tmp_path / "there").st_blocks < HOLE_BYTES // 512
    with open(tmp_path / "there", "rb") as file:
        file.seek(size - 4)
        assert file.read() == b"\0end"


# --- stdin and stdout ---

def test_standard_streams(uri, waybill, tmp_path):
    data = content(1_000_000)
    done = waybill("put", "-", f"{uri}:{tmp_path}/there", input=data)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there").read_bytes() == data
    done = waybill("get", f"{uri}:{tmp_path}/there", "-")
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_standard_output_closed(uri, environment, tmp_path):
    """A reader that has seen enough ends the transfer, not in silence and not for ever."""
    write(tmp_path / "file", content(8 << 20))
    with Transfer(environment, "get", f"{uri}:{tmp_path}/file", "-") as running:
        assert running.process.stdout.read(10)
        running.process.stdout.close()
        running.process.stdout = None
        code, _, err = running.finish()
    assert code != 0 and err


@pytest.mark.parametrize("mask, mode", [(0o077, 0o600), (0o022, 0o644), (0o777, 0o600)])
def test_a_stream_is_as_private_as_a_file(uri, waybill, tmp_path, mask, mode):
    done = waybill("put", "-", f"{uri}:{tmp_path}/there", input=b"x", umask=mask)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("size", [2, 1_000_000])
def test_standard_streams_that_cannot_be(uri, environment, tmp_path, size):
    """Nothing is taken for what was meant to be read, and nothing that was lost counts as written."""
    write(tmp_path / "file", content(size))

    def run(redirection, *arguments):
        with Transfer(environment, "-c", f'exec "$0" "$@" {redirection}', WAYBILL, *arguments, program="/bin/sh") as one:
            code, _, err = one.finish()
        return code, err

    code, err = run(">&-", "get", f"{uri}:{tmp_path}/file", "-")
    assert code == 255 and err == "waybill get: stdout: is closed\n", (code, err)
    code, err = run("<&-", "put", "-", f"{uri}:{tmp_path}/there")
    assert code == 255 and err == "waybill put: stdin: is closed\n", (code, err)
    assert not (tmp_path / "there").exists()
    code, err = run(">/dev/full", "get", f"{uri}:{tmp_path}/file", "-")
    assert code == 255 and "waybill get: stdout: No space left on device\n" in err, (code, err)
    for way, places in (("get", (f"{uri}:{tmp_path}/file", tmp_path / "here")),
                        ("put", (tmp_path / "file", f"{uri}:{tmp_path}/there"))):
        code, err = run(">&-", way, "--json", *places)
        assert code == 255 and err == f"waybill {way}: stdout: is closed\n", (code, err)
        assert not any(path.exists() for path in (tmp_path / "here", tmp_path / "there"))
    for closed in (">&-", "<&-", "2>&-"):
        assert run(closed, "get", f"{uri}:{tmp_path}/file", tmp_path / "here")[0] == 0, closed


# --- scp's rules ---

def test_names(uri, transfer, tmp_path):
    write(tmp_path / "file", b"data")
    (tmp_path / "folder").mkdir()
    transfer("put", tmp_path / "file", f"{uri}:{tmp_path}/new")
    assert (tmp_path / "new").read_bytes() == b"data"
    transfer("put", tmp_path / "file", f"{uri}:{tmp_path}/folder")
    assert (tmp_path / "folder/file").read_bytes() == b"data"
    transfer("put", "-r", tmp_path / "folder", f"{uri}:{tmp_path}/other")
    assert (tmp_path / "other/file").read_bytes() == b"data"
    transfer("put", "-r", tmp_path / "folder", f"{uri}:{tmp_path}/other")
    assert (tmp_path / "other/folder/file").read_bytes() == b"data"


def test_home(daemon, transfer, tmp_path):
    """A relative path begins in the home of the daemon's user, wherever the daemon was started."""
    uri = daemon("--listen", f"unix://{tmp_path}/socket").uri
    write(tmp_path / "file", b"data")
    name = f"waybill-test-{os.getpid()}"
    place = os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, name)
    try:
        transfer("put", tmp_path / "file", f"{uri}:{name}")
        assert os.path.exists(place)
        transfer("get", f"{uri}:{name}", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b"data"
    finally:
        os.unlink(place)


def test_folder_wants_r(uri, waybill, tmp_path):
    (tmp_path / "folder").mkdir()
    done = waybill("put", tmp_path / "folder", f"{uri}:{tmp_path}/there")
    assert done.returncode == 1 and b"-r" in done.stderr
    assert not (tmp_path / "there").exists()
    done = waybill("get", f"{uri}:{tmp_path}/folder", tmp_path / "here")
    assert done.returncode == 1 and b"folder" in done.stderr


@pytest.mark.parametrize("arguments", [
    ("put",), ("put", "file"), ("put", "file", "here"), ("put", "a:b", "c:d"), ("get",), ("get", "a:b"),
    ("get", "file", "here"), ("get", "a:b", "c:d"), ("get", "a:x", "b:y", "here"), ("get", "a:x", "a:y", "-"),
    ("put", "-", "-", "a:x"), ("put", "--digest", "crc", "file", "a:x"), ("put", "file", "tcp://127.0.0.1:1"),
    ("get", "--json", "a:x", "-"), ("put", "-r", "-", "a:x"),
])
def test_usage(waybill, arguments):
    done = waybill(*arguments)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(b"waybill ")


# --- what else was asked for ---

def test_exclude(uri, transfer, tmp_path):
    for name in ("keep.c", "drop.o", "build/x", "src/drop.o", "src/keep.c"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "tree" / name, b"x")
    for way in ("put", "get"):
        places = (tmp_path / "tree", f"{uri}:{tmp_path}/{way}")
        if way == "get":
            places = (f"{uri}:{tmp_path}/tree", tmp_path / way)
        transfer(way, "-r", "--exclude", "*.o", "--exclude", "build", *places)
        assert sorted(describe(tmp_path / way)) == [b".", b"keep.c", b"src", b"src/keep.c"]


def test_update(uri, transfer, tmp_path):
    write(tmp_path / "file", b"old")
    os.utime(tmp_path / "file", (1000, 1000))
    write(tmp_path / "there", b"newer")
    transfer("put", "--update", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert (tmp_path / "there").read_bytes() == b"newer"
    transfer("put", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert (tmp_path / "there").read_bytes() == b"old"


@pytest.mark.parametrize("way", ["put", "get"])
def test_delete(uri, transfer, tmp_path, way):
    """Only with --delete, only in folders that are sent, never what is excluded."""
    for name in ("from/tree/a", "from/tree/sub/b", "to/tree/gone", "to/tree/sub/gone/deep", "to/tree/kept.o",
                 "to/beside"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, b"x")
    places = (tmp_path / "from/tree", f"{uri}:{tmp_path}/to")
    if way == "get":
        places = (f"{uri}:{tmp_path}/from/tree", tmp_path / "to")
    transfer(way, "-r", *places)
    assert (tmp_path / "to/tree/gone").exists()
    transfer(way, "-r", "--delete", "--exclude", "*.o", *places)
    assert sorted(describe(tmp_path / "to")) == [b".", b"beside", b"tree", b"tree/a", b"tree/kept.o", b"tree/sub",
                                                 b"tree/sub/b"]


def test_special_files_are_left_out(uri, waybill, tmp_path):
    (tmp_path / "tree").mkdir()
    os.mkfifo(tmp_path / "tree/pipe")
    write(tmp_path / "tree/file", b"x")
    done = waybill("put", "-r", tmp_path / "tree", f"{uri}:{tmp_path}/there")
    assert b"pipe" in done.stderr
    assert sorted(describe(tmp_path / "there")) == [b".", b"file"]


def test_setuid_does_not_travel(uri, transfer, tmp_path):
    write(tmp_path / "file", b"x", mode=0o4755)
    transfer("put", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert os.stat(tmp_path / "there").st_mode & 0o7777 == 0o755


def test_limit(uri, waybill, tmp_path):
    """--limit holds both ways, and nothing is lost by it."""
    write(tmp_path / "file", content(300_000))
    for way, places in (("put", (tmp_path / "file", f"{uri}:{tmp_path}/there")),
                        ("get", (f"{uri}:{tmp_path}/there", tmp_path / "back"))):
        done = waybill(way, "--json", "--limit", "400K", *places)
        assert done.returncode == 0, done.stderr
        assert summary(done.stdout)["elapsed_ms"] >= 300
    assert (tmp_path / "back").read_bytes() == content(300_000)


# --- what is said ---

def test_said(uri, waybill, tmp_path):
    write(tmp_path / "file", b"data")
    done = waybill("put", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert done.stdout == b"" and b"\r" not in done.stderr
    assert b"1 file in" in done.stderr and b"sent" in done.stderr and b"verified" in done.stderr
    done = waybill("put", "--quiet", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert done.stdout == done.stderr == b""
    done = waybill("put", "--progress", tmp_path / "file", f"{uri}:{tmp_path}/there")
    assert b"\r\x1b[K" in done.stderr


def test_failures_are_named_and_escaped(uri, waybill, tmp_path):
    write(tmp_path / "good", b"x")
    done = waybill("put", "--json", tmp_path / "good", tmp_path / "evil\x1b[31m", f"{uri}:{tmp_path}/")
    assert done.returncode == 1
    assert b"\x1b" not in done.stderr and b"\x1b" not in done.stdout and b"evil\\x1B" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["error"] == "not-found" and "evil" in lines[0]["text"]
    assert lines[-1]["outcome"] == "partial" and lines[-1]["failed"] == 1
    done = waybill("get", f"{uri}:{tmp_path}/good", f"{uri}:{tmp_path}/absent", tmp_path / "")
    assert done.returncode == 1 and b"absent" in done.stderr


def test_what_is_wrong_here_comes_first(waybill, tmp_path):
    """Sources that cannot be sent are told without asking a daemon: there is none."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    target = f"unix://{tmp_path}/nobody:there"
    for sources, why in ((["missing"], ["missing: No such file or directory"]),
                         (["folder"], ["folder: a folder; -r takes folders"]),
                         (["pipe", "missing"], ["pipe: neither a file nor a folder",
                                                "missing: No such file or directory"])):
        done = waybill("put", "-q", *sources, target)
        assert done.returncode == 1, done.stderr
        assert done.stderr.decode().splitlines() == [f"waybill put: {one}" for one in why]
    done = waybill("put", "--json", "missing", target)
    assert done.returncode == 1
    assert [json.loads(line).get("error") for line in done.stdout.splitlines()] == ["not-found", None]
    assert summary(done.stdout)["outcome"] == "partial"
    write(tmp_path / "file", b"x")
    assert waybill("put", "missing", "file", target).returncode == 255
    done = waybill("get", target, "no/such/place")
    assert done.returncode == 255
    assert done.stderr == b"waybill get: no/such/place: No such file or directory\n"


def test_nobody_there(waybill, tmp_path):
    write(tmp_path / "file", b"x")
    done = waybill("put", tmp_path / "file", f"unix://{tmp_path}/nobody:x")
    assert done.returncode == 255 and len(done.stderr.splitlines()) >= 1
