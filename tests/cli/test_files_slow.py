"""put to a disk that takes its time: a daemon that is told to end waits for it, and a person sees how it stands."""

import os
import re
import signal

import pytest

from conftest import EVENT_SECONDS, eventually
from slow_disk import slow_disk  # pylint: disable=unused-import # a fixture
from test_exec_terminal import tmux  # pylint: disable=unused-import # a fixture
from test_files_broken import listens
from trees import Transfer, content, left_over, write

MIB = 1 << 20
BYTES = 12 * MIB


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    write(path, content(BYTES))
    return path


@pytest.mark.parametrize("what", ["write", "sync"])
def test_drain_waits_for_the_disk(daemon, environment, slow_disk, file, tmp_path, what):
    """However long that takes. Nobody else is let in meanwhile, and the file is whole."""
    (tmp_path / "in").mkdir()
    served = daemon("--listen", f"unix://{tmp_path}/socket", env=slow_disk.environment(environment, what))
    with Transfer(environment, "put", file, f"{served.uri}:{tmp_path}/in/there") as running:
        slow_disk.wait_until_it_stands()
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: not listens(tmp_path / "socket"))
        assert not (tmp_path / "in/there").exists()
        assert served.process.poll() is None and running.process.poll() is None
        slow_disk.go_on()
        code, _, err = running.finish()
    assert code == 0, err
    assert served.stop() == 0
    assert (tmp_path / "in/there").read_bytes() == content(BYTES)
    assert left_over(tmp_path) == []


def test_a_tree_in_a_daemon_that_drains(daemon, environment, slow_disk, tmp_path):
    """Also what comes after the file that the disk was at: the whole of the call counts."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for i in range(40):
        write(tree / f"{i:02}", content(MIB // 4 + i, b"%d" % i))
    served = daemon("--listen", f"unix://{tmp_path}/socket", env=slow_disk.environment(environment, "sync"))
    with Transfer(environment, "put", "-r", tree, f"{served.uri}:{tmp_path}/there") as running:
        slow_disk.wait_until_it_stands()
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: not listens(tmp_path / "socket"))
        slow_disk.go_on()
        code, _, err = running.finish()
    assert code == 0, err
    assert served.stop() == 0
    assert sorted(os.listdir(tmp_path / "there")) == sorted(os.listdir(tree))
    for path in tree.iterdir():
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()


# --- what a person sees ---

BAR = r"\[#*\.+\] +\d+%  [\d.]+ [KM]iB"


@pytest.fixture
def slow(daemon, environment, slow_disk, tmp_path):
    (tmp_path / "in").mkdir()
    return daemon("--listen", f"unix://{tmp_path}/s", env=slow_disk.environment(environment, "write"))


def put(tmux, slow, source, *options):
    """Short lines: one that wraps is not found. The source and the target stand in variables of the shell."""
    tmux.type(f"cd {source.parent}")
    tmux.wait_for(r"PROMPT> cd [^>]*PROMPT>")
    tmux.type(f"T={slow.uri}:{source.parent}/in")
    tmux.type("clear")
    tmux.wait_for(r"\A\s*PROMPT>\s*\Z")
    tmux.type(" ".join(["waybill put", *options, source.name, "$T; echo code=$?"]))


def test_a_bar_that_comes_and_goes(slow, slow_disk, tmux, file, tmp_path):
    put(tmux, slow, file)
    slow_disk.wait_until_it_stands()
    tmux.wait_for(BAR + r".*  file$")
    slow_disk.go_on()
    tmux.wait_for(r"code=0")
    shown = tmux.screen()
    assert re.search(r"^1 file in [\d.]+ s: 12\.0 MiB sent, 0 B saved, 12\.0 MiB verified$", shown, re.MULTILINE), shown
    assert "[" not in shown and "%" not in shown, shown
    assert (tmp_path / "in/file").read_bytes() == content(BYTES)


@pytest.mark.parametrize("columns", [80, 50, 24])
def test_a_bar_has_one_line(slow, slow_disk, tmux, tmp_path, columns):
    """However long the name is, whatever it holds, and however narrow the window is."""
    os.mkdir(tmp_path / "tree")
    write(tmp_path / "tree" / ("long\x1b[31m\u6587" * 12), content(BYTES))
    tmux.resize(columns, 24)
    put(tmux, slow, tmp_path / "tree", "-r")
    slow_disk.wait_until_it_stands()
    tmux.wait_for(r"^\[#+\.+")
    again = [tmux.screen() for _ in range(20)]
    for shown in again:
        lines = shown.rstrip("\n").split("\n")
        bars = [line for line in lines if line.startswith("[")]
        assert len(bars) == 1 and lines.index(bars[0]) == len([line for line in lines if line]) - 1, shown
    slow_disk.go_on()
    tmux.wait_for(r"code=0")
    assert "[#" not in tmux.screen() and "[." not in tmux.screen()


def test_interrupted_at_the_keyboard(slow, slow_disk, tmux, file, tmp_path):
    tmux.resize(200, 24)  # the message names the daemon, however long its path is
    put(tmux, slow, file)
    slow_disk.wait_until_it_stands()
    tmux.wait_for(BAR)
    tmux.keys("C-c")
    tmux.wait_for(r"^waybill put: .*interrupted; the same command goes on from here")
    slow_disk.go_on()
    tmux.wait_for(r"code=130")
    assert not re.search(BAR, tmux.screen()), tmux.screen()


def test_stopped_and_in_the_foreground_again(slow, slow_disk, tmux, file, tmp_path):
    put(tmux, slow, file)
    slow_disk.wait_until_it_stands()
    tmux.wait_for(BAR)
    tmux.keys("C-z")
    tmux.wait_for(r"(Stopped|Suspended).*PROMPT>")
    slow_disk.go_on()
    tmux.type("fg")
    tmux.wait_for(r"^1 file in .*PROMPT>")
    assert (tmp_path / "in/file").read_bytes() == content(BYTES)
