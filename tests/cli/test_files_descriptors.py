"""A daemon that may have few descriptors open: what one client's transfers hold is bounded, and what another one
does goes on."""

import hashlib
import os
import resource

import pytest

from conftest import eventually
from file_peers import FileClient, FileServer
from scripted import Scripted
from trees import content, left_over, write

SIZE, BEGUN = 300_000, b"begun"
BODY = BEGUN + bytes(SIZE - len(BEGUN))
SHA = hashlib.sha256(BODY).hexdigest()
BATCH = 100  # what the first windows have room for


def few(most):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Folder(FileClient):
    """One that puts numbered files into a folder, and does not wait for what is told of them before it must."""

    def __init__(self, port, folder):
        super().__init__(port, "put", os.fsencode(folder), digest="sha256", recursive=True, into=True)
        self.said = b""

    def offer(self, number, n):
        self.item(op="offer", n=n, name=f"f{number}", mode=0o644, mtime="1.000000000", size=SIZE)

    def wait_for_want(self, n):
        """They come in the order of the offers."""
        while self.said.count(b'"want"') < n:
            header, payload = self.hear_until("data", "exit", "error")
            assert header["op"] == "data", header
            self.said += payload

    def begin(self, n):
        self.wait_for_want(n)
        self.item(BEGUN, op="data", n=n, offset=0)


def leave_half_done(port, folder, count):
    """A transfer that broke off within each of these files."""
    for first in range(0, count, BATCH):
        batch = range(first, min(first + BATCH, count))
        client = Folder(port, folder)
        for n, number in enumerate(batch, start=1):
            client.offer(number, n)
            client.begin(n)
            client.item(op="abort", n=n, error="changed", text="it stopped")
        client.item(op="done", files=0, bytes=0)
        assert client.end()[1]["code"] == 1
    assert len(left_over(folder)) == count


@pytest.mark.parametrize("most, count", [(256, 250), (64, 60)])
def test_one_client_leaves_the_others_theirs(daemon, waybill, tmp_path, most, count):
    """Hundreds of files that were half done before, offered at once: another one's put, and a put of its own in the
    end, have descriptors enough."""
    running = daemon("--listen", "tcp://127.0.0.1:0", preexec_fn=few(most))
    folder = tmp_path / "there"
    folder.mkdir()
    leave_half_done(running.port, folder, count)
    client = Folder(running.port, folder)
    for number in range(count):
        client.offer(number, number + 1)
    client.wait_for_want(1)
    write(tmp_path / "other", content(SIZE))
    done = waybill("put", tmp_path / "other", f"{running.uri}:{tmp_path}/arrived")
    assert done.returncode == 0, done.stderr
    assert len(running.descriptors()) < most * 3 // 4
    for n in range(1, count + 1):
        client.begin(n)
        client.item(op="hole", n=n, offset=len(BEGUN), bytes=SIZE - len(BEGUN))
        client.item(op="end", n=n, size=SIZE, digest=SHA)
    client.item(op="done", files=count, bytes=count * SIZE)
    assert client.end()[1]["code"] == 0
    assert left_over(folder) == []
    assert all((folder / f"f{number}").read_bytes() == BODY for number in range(count))


def test_more_transfers_than_descriptors_are_enough_for(daemon, waybill, tmp_path):
    """Long before --max-transfers: the last one is refused, and those that run go on."""
    running = daemon("--listen", "tcp://127.0.0.1:0", preexec_fn=few(64))
    clients = []
    for i in range(2):
        (tmp_path / f"{i}").mkdir()
        clients.append(Folder(running.port, tmp_path / f"{i}"))
        clients[i].offer(0, 1)
        clients[i].begin(1)
    write(tmp_path / "file", b"here")
    for places in [(tmp_path / "file", f"{running.uri}:{tmp_path}/there"),
                   (f"{running.uri}:{tmp_path}/file", tmp_path / "there")]:
        done = waybill("put" if places[0] == tmp_path / "file" else "get", *places)
        assert done.returncode == 255
        assert b"its limit of open files); try again later" in done.stderr
    for i, client in enumerate(clients):
        client.item(op="hole", n=1, offset=len(BEGUN), bytes=SIZE - len(BEGUN))
        client.item(op="end", n=1, size=SIZE, digest=SHA)
        client.item(op="done", files=1, bytes=SIZE)
        assert client.end()[1]["code"] == 0
        assert (tmp_path / f"{i}/f0").read_bytes() == BODY
    done = waybill("put", tmp_path / "file", f"{running.uri}:{tmp_path}/there")
    assert done.returncode == 0, done.stderr
    eventually(lambda: (tmp_path / "there").read_bytes() == b"here")


@pytest.mark.parametrize("most, options", [(31, []), (1024, ["--max-transfers", "1"])])
def test_a_lost_put_leaves_its_place_to_the_next(daemon, waybill, tmp_path, most, options):
    """It waits for its client, and nothing else may run meanwhile: but for the same, which goes on from it."""
    running = daemon("--listen", "tcp://127.0.0.1:0", *options, preexec_fn=few(most))
    folder = tmp_path / "there"
    folder.mkdir()
    write(tmp_path / "f0", BODY)
    for _ in range(2):
        client = Folder(running.port, folder)
        client.offer(0, 1)
        client.begin(1)
        eventually(lambda: left_over(folder))
        client.connection.close()
        refused = waybill("put", tmp_path / "f0", f"{running.uri}:{tmp_path}/elsewhere")
        assert refused.returncode == 255 and b"try again later" in refused.stderr
        # It may not have been seen yet that the client has gone.
        eventually(lambda: waybill("put", "-r", tmp_path / "f0", f"{running.uri}:{folder}").returncode == 0)
        assert (folder / "f0").read_bytes() == BODY
        assert left_over(folder) == []
        (folder / "f0").unlink()


def test_a_client_needs_none_for_others(waybill, tmp_path):
    """It compares as many files at a time as its own limit lets it have open, and not what a shell begins with."""
    count, seen = 40, b""
    (tmp_path / "here").mkdir()
    for number in range(count):
        write(tmp_path / f"here/f{number}", BODY)

    def script(connection):
        nonlocal seen
        server = FileServer(connection)
        server.item(op="dir", n=1, name="here", mode=0o755, mtime="1.000000000")
        for n in range(2, count + 2):
            server.item(op="offer", n=n, name=f"here/f{n - 2}", mode=0o644, mtime="1.000000000", size=SIZE)
        while seen.count(b'"want"') < count:
            header, payload = server.hear_until("data", "cancel", "bye")
            assert header["op"] == "data", header
            seen += payload
        for n in range(2, count + 2):
            server.item(op="copy", n=n, offset=0, bytes=SIZE)
            server.item(op="end", n=n, size=SIZE, digest=SHA)
        server.item(op="dir_end", name="here")
        server.item(op="done", files=count + 1, bytes=0)
        server.hear_finished()
        server.exit()
        server.drain()

    with Scripted(script) as server:
        done = waybill("get", "-r", "--digest", "sha256", f"tcp://127.0.0.1:{server.port}:/there/here", tmp_path,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 4096)))
    assert done.returncode == 0, done.stderr
    assert seen.count(b'"want"') == count
