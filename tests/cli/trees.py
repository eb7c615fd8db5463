"""What the tests of files share: trees with everything in them, what they look like, and transfers."""

import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path

from conftest import EVENT_SECONDS, WAYBILL

KIB = 1024
HOLE_BYTES = 8 << 20

NAMES = [
    b"plain", b"with space", b"-dash", b"--delete", b"new\nline", b"tab\t", b"quote'\"", b"back\\slash", b"star*",
    b".hidden", b"a:b", b"\xe6\x96\x87\xe4\xbb\xb6", b"not-utf8-\xff\xfe", b"\x1b[31mred", b"~", b"...", b"..x", b"-",
    b"n" * 255,
]
SIZES = [0, 1, 4095, 4096, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1, 300_000, 3 << 20]


def content(size, seed=b"x"):
    return hashlib.shake_128(seed).digest(size)


def make_tree(root):
    """Every kind of file and name that travels, with times and modes of their own."""
    root = os.fsencode(root)
    os.mkdir(root)
    for i, name in enumerate(NAMES):
        write(os.path.join(root, name), content(100 + i, name), mode=0o600 + i % 8)
    os.mkdir(os.path.join(root, b"sizes"))
    for size in SIZES:
        write(os.path.join(root, b"sizes", b"%d" % size), content(size))
    deep = root
    for i in range(20):
        deep = os.path.join(deep, b"level %d" % i)
        os.mkdir(deep)
    write(os.path.join(deep, b"bottom"), b"here")
    os.mkdir(os.path.join(root, b"empty folder"), 0o750)
    make_links(root)
    make_sparse(os.path.join(root, b"sparse"))
    set_times(root)


def write(path, data, mode=0o644):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def make_links(root):
    os.symlink(b"plain", os.path.join(root, b"link"))
    os.symlink(b"nowhere/at all", os.path.join(root, b"dangling"))
    os.symlink(b"/etc/passwd", os.path.join(root, b"absolute link"))
    os.symlink(b"../outside", os.path.join(root, b"link up"))
    os.symlink(b"odd\xff\n", os.path.join(root, b"odd link"))
    os.link(os.path.join(root, b"plain"), os.path.join(root, b"second name"))
    os.link(os.path.join(root, b"sizes", b"300000"), os.path.join(root, b"large second name"))


def make_sparse(path):
    with open(path, "wb") as file:
        file.write(b"begin")
        file.seek(HOLE_BYTES)
        file.write(b"middle")
        file.truncate(2 * HOLE_BYTES)


def set_times(root):
    """Distinct, odd, with nanoseconds; some before 1970."""
    count = 0
    for folder, folders, files in os.walk(root, topdown=False):
        for name in sorted(files + folders) + [b""]:
            path = os.path.join(folder, name) if name else folder
            count += 1
            moment = (count * 86400 - 10 * 86400) * 10**9 + 123456789 + count
            os.utime(path, ns=(moment, moment), follow_symlinks=False)


def describe(root, times=True):
    """name → what is there, for the whole tree."""
    root = os.fsencode(root)
    seen, first_names = {}, {}
    for folder, folders, files in os.walk(root):
        for name in folders + files + [b""]:
            path = os.path.join(folder, name) if name else folder
            seen[os.path.relpath(path, root)] = describe_one(path, root, first_names, times)
    return seen


def describe_one(path, root, first_names, times):
    info = os.lstat(path)
    facts = {"mtime": info.st_mtime_ns} if times else {}
    if stat.S_ISLNK(info.st_mode):
        return {**facts, "link": os.readlink(path)}
    facts["mode"] = oct(info.st_mode)
    if stat.S_ISREG(info.st_mode):
        facts["digest"] = digest(path)
        if info.st_size >= HOLE_BYTES:
            facts["sparse"] = info.st_blocks * 512 < info.st_size // 2
        if info.st_nlink > 1:
            first_names.setdefault(info.st_ino, []).append(path)
            facts["links"] = info.st_nlink
    return facts


def digest(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def left_over(folder):
    """Temporaries of ours beneath a folder."""
    return sorted(Path(folder).rglob(".waybill-*.part"))


class Transfer:
    """A running put or get. Killed at the end of a `with`."""

    def __init__(self, environment, *arguments, program=WAYBILL, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   "env": environment, **options}
        self.process = subprocess.Popen([program, *map(str, arguments)], **options)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def finish(self, seconds=EVENT_SECONDS):
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err.decode()


def summary(out):
    """The last line of --json."""
    return json.loads(out.splitlines()[-1])
