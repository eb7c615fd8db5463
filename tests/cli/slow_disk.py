"""A daemon on a disk that stands still until it is told to go on: see slow_disk.c."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import sanitizer, wait_readable

SOURCE = Path(__file__).with_name("slow_disk.c")


class SlowDisk:
    def __init__(self, folder):
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if not compiler:
            pytest.skip("there is no C compiler")
        if sanitizer():
            pytest.skip("a sanitizer wants to be loaded before everything else")
        self.folder = folder
        self.library = folder / "slow_disk.so"
        subprocess.run([compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", SOURCE, "-o", self.library, "-ldl"],
                       check=True)
        self.fifos = {}
        for name in ("asked", "gate"):
            os.mkfifo(folder / name)
            self.fifos[name] = os.open(folder / name, os.O_RDWR | os.O_NONBLOCK)

    def environment(self, environment, what):
        """For a process whose disk it is; what: "write" or "sync"."""
        return {**environment, "LD_PRELOAD": str(self.library), "SLOW_DISK": what,
                "SLOW_DISK_FOLDER": str(self.folder)}

    def wait_until_it_stands(self):
        wait_readable(self.fifos["asked"])
        os.read(self.fifos["asked"], 1)

    def go_on(self):
        """For good."""
        os.write(self.fifos["gate"], b"g" * 60000)

    def close(self):
        for descriptor in self.fifos.values():
            os.close(descriptor)


@pytest.fixture
def slow_disk(tmp_path):
    folder = tmp_path / "slow"
    folder.mkdir()
    disk = SlowDisk(folder)
    yield disk
    disk.go_on()
    disk.close()
