"""What the tests of sessions share: `waybill exec` as a process that can be watched."""

import json
import os
import signal
import subprocess

from conftest import EVENT_SECONDS, PYTHON, WAYBILL, eventually, wait_exit

FOREVER = ("tail", "-f", "/dev/null")  # a command that does not end


def is_running(pid):
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


class Exec:
    """A running `waybill exec` (or attach). Killed at the end of a `with`. In a process group of its own, as
    a shell's job: in one without a parent in its session, the kernel lets nobody stop."""

    def __init__(self, environment, *arguments, command="exec", **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   "env": environment, "preexec_fn": os.setpgrp, **options}
        self.process = subprocess.Popen([WAYBILL, command, *map(str, arguments)], **options)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def line(self):
        """The next line of stdout, as text."""
        return self.process.stdout.readline().decode().rstrip("\n")

    def wait(self, seconds=EVENT_SECONDS):
        return wait_exit(self.process, seconds)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Stops it as ^Z does and waits until it is stopped."""
        self.signal(signal.SIGTSTP)
        eventually(lambda: state_of(self.pid) == "T")


def outcome(path):
    """What --result has written: one line of JSON."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") and text.count("\n") == 1, text
    return json.loads(text)


def jobs(waybill, uri):
    """What `waybill jobs --json` lists, by the job's number."""
    done = waybill("jobs", "--json", uri)
    assert done.returncode == 0, done.stderr
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    return {job["job"]: job for job in listed}


def python(source, *arguments):
    """argv of a command in Python."""
    return (PYTHON, "-I", "-c", source, *map(str, arguments))


def no_descriptors_left(daemon, before):
    eventually(lambda: len(daemon.descriptors()) <= before)


__all__ = ["Exec", "FOREVER", "eventually", "is_running", "jobs", "no_descriptors_left", "os", "outcome",
           "python", "state_of"]
