"""tools/demo: it tells the truth, ends by itself, leaves nothing behind, and notices what is wrong."""

import os
import subprocess
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, ROOT, WAYBILL, libraries

EXAMPLES = Path(WAYBILL).parent / "examples"


def example(name, tmp_path):
    """An example program; built here where `make demo` has not built it yet."""
    if os.access(EXAMPLES / name, os.X_OK):
        return EXAMPLES / name
    library = Path(WAYBILL).parent / "libwaybill.a"
    if not library.exists():
        pytest.skip(f"no {library} to build examples/{name}.c with")
    built = tmp_path / name
    flags = subprocess.run(["nm", WAYBILL], capture_output=True, text=True, check=False).stdout
    sanitize = ["-fsanitize=address,undefined"] if "__asan_init" in flags else \
        ["-fsanitize=thread"] if "__tsan_init" in flags else []
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", *sanitize, f"-I{ROOT}/include",
                    ROOT / "examples" / f"{name}.c", library, *libraries(), "-o", built],
                   check=True)
    return built


@pytest.fixture
def programs(tmp_path):
    return example("glue", tmp_path), example("cutter", tmp_path)


@pytest.fixture
def demo(environment, tmp_path):
    def run(*arguments):
        return subprocess.run([ROOT / "tools" / "demo", *map(str, arguments)], env=environment, cwd=tmp_path,
                              capture_output=True, check=False, timeout=EVENT_SECONDS, stdin=subprocess.DEVNULL)

    return run


def test_the_tour(demo, environment, programs):
    ended = demo(WAYBILL, *programs)
    text = ended.stdout.decode()
    assert (ended.returncode, ended.stderr) == (0, b""), text
    for word in ["GRüßE", "ONE\n    TWO\n    THREE\n", "    100000\n", "  7b 22 66 69 6c 65 6e 61 6d 65 22",
                 "glued together", 'decoded  "and the second"', "exit code 7", "connection 4 cut after 300000 bytes"]:
        assert word in text, word
    assert os.listdir(environment["TMPDIR"]) == []


def test_a_wrong_reply_is_noticed(demo, tmp_path, environment, programs):
    """The same program, but its upper-casing talk is replaced."""
    liar = tmp_path / "liar"
    liar.write_text(f'#!/bin/sh\n[ "$1" = talk ] && {{ cat; exit 0; }}\nexec {WAYBILL} "$@"\n', encoding="ascii")
    liar.chmod(0o755)
    ended = demo(liar, *programs)
    assert ended.returncode == 1
    assert b"The demo failed: expected this: HELLO" in ended.stderr
    assert os.listdir(environment["TMPDIR"]) == []


def test_a_daemon_that_does_not_start_is_noticed(demo, programs):
    ended = demo("/bin/false", *programs)
    assert ended.returncode == 1
    assert b"The demo failed: the daemon ended" in ended.stderr
