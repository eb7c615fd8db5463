"""A crowd: hundreds of sessions, thousands of calls at once, connections that break all the time. What must
come of each call is known to tests/stress/crowd.c, which checks it; here is looked at what is left behind.

CROWD_SECONDS=60 makes it a long one.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import TEST_SECONDS, WAYBILL, eventually, sanitizer
from sessions import no_descriptors_left

CROWD = Path(WAYBILL).resolve().parent / "tests" / "stress" / "crowd"
SECONDS = int(os.environ.get("CROWD_SECONDS", 3))
PATIENCE_SECONDS = 60
LEFT_BYTES = 16 << 20  # more memory than at the start


@pytest.fixture
def crowd(daemon, environment, tmp_path):
    """crowd(serve options, *arguments): runs one against a daemon of its own, and looks at what it leaves."""
    if not CROWD.exists():
        pytest.skip(f"{CROWD} is not built (make test-programs)")

    def run(options, *arguments, seconds=SECONDS):
        signal.alarm(TEST_SECONDS + seconds)  # the deadline of every test, moved
        served = daemon("--listen", f"unix://{tmp_path}/s", "--listen", "tcp://127.0.0.1:0", *options)
        before = len(served.descriptors()), served.memory_bytes()
        ledger = tmp_path / "ledger"
        ledger.touch()
        done = subprocess.run([CROWD, "--ledger", ledger, "--seconds", str(seconds),
                               "--patience-ms", str(PATIENCE_SECONDS * 1000), *arguments, *served.uris],
                              env=environment, capture_output=True, text=True, check=False,
                              timeout=seconds + PATIENCE_SECONDS + 30)
        assert done.returncode == 0, done.stderr[-5000:] + done.stdout
        eventually(lambda: not served.children())
        no_descriptors_left(served, before[0] + 1)  # the finder of peers is opened by the first caller
        if not sanitizer():
            eventually(lambda: served.memory_bytes() < before[1] + LEFT_BYTES)
        print(done.stdout)
        return done.stdout

    return run


def scale(number):
    return str(number // 4 if sanitizer() else number)


def test_all_come_as_they_must(crowd):
    """2,000 at once, of every kind, over connections that last two seconds."""
    crowd(["--max-commands", "4000"], "--sessions", scale(200))


def test_few_connections_that_break_often(crowd):
    crowd([], "--sessions", "10", "--calls", "20", "--cut-ms", "100", "--seed", "2")


def test_an_undisturbed_crowd(crowd):
    """Without a cut nothing excuses anything."""
    crowd(["--max-commands", "4000"], "--sessions", scale(100), "--cut-ms", "0", "--seed", "3")


def test_more_than_there_is_room_for(crowd):
    """Whoever comes too many is told so, and nobody else is the worse for it."""
    told = crowd(["--max-commands", "5"], "--sessions", scale(40), "--may-refuse", "--seed", "4")
    assert " 0 refused" not in told
