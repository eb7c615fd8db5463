"""The example programs: built against the installed face of the library alone, and run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import EVENT_SECONDS, ROOT, WAYBILL, libraries, sanitizer

LIBRARY = Path(WAYBILL).parent / "libwaybill.a"


@pytest.fixture
def build(tmp_path):
    """build(name) compiles examples/NAME.c and returns the program's path."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        pytest.skip("there is no C compiler")
    if not LIBRARY.exists():
        pytest.skip(f"{LIBRARY.name} is not beside the binary")
    flags = {"address": ["-fsanitize=address,undefined"], "thread": ["-fsanitize=thread"], "": []}[sanitizer()]

    def compile_one(name):
        program = tmp_path / name
        done = subprocess.run([compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *flags,
                               f"-I{ROOT}/include", f"{ROOT}/examples/{name}.c", LIBRARY, *libraries(), "-o",
                               program], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return program

    return compile_one


def run(environment, program, *arguments, **options):
    return subprocess.run([program, *arguments], env=environment, capture_output=True, timeout=EVENT_SECONDS,
                          check=False, **options)


def test_run(build, daemon, environment, tmp_path):
    uri = daemon("--listen", f"unix://{tmp_path}/s").uri
    program = build("run")
    done = run(environment, program, uri, "echo", "a b")
    assert (done.returncode, done.stdout) == (0, b"a b\n-- exited 0, 4 bytes of stdout, 0 of stderr, complete\n")
    done = run(environment, program, uri, "sh", "-c", "exit 3")
    assert done.returncode == 1 and b"-- exited 3" in done.stdout
    done = run(environment, program, f"unix://{tmp_path}/none", "true")
    assert done.returncode == 1 and b"-- failed: connect to" in done.stdout
    assert run(environment, program, uri).returncode == 2


def test_side_by_side(build, daemon, environment):
    uri = daemon("--listen", "tcp://127.0.0.1:0").uri
    program = build("side_by_side")
    done = run(environment, program, uri, "sort -r", "sed s/^/number-/", "exit 3", input=b"1\n2\n3\n")
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("1: ")] == ["1: 3", "1: 2", "1: 1", "1: exited 0"]
    assert [line for line in lines if line.startswith("2: ")] == \
        ["2: number-1", "2: number-2", "2: number-3", "2: exited 0"]
    assert [line for line in lines if line.startswith("3: ")] == ["3: exited 3"]
    assert done.returncode == 1 and done.stderr == b""
