"""keygen: a pair that ssh-keygen takes for its own."""

import os
import subprocess

import pytest

from conftest import EVENT_SECONDS
from secure import fingerprint, need, own


def ssh_keygen_run(*arguments):
    need("ssh-keygen")
    return subprocess.run(["ssh-keygen", *map(str, arguments)], check=True, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=EVENT_SECONDS).stdout


def test_where_it_is_looked_for(waybill, environment):
    done = waybill("keygen")
    path = own(environment, "id_ed25519")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[0] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.with_suffix(".pub").stat().st_mode & 0o777 == 0o644


def test_ssh_keygen_reads_it(waybill, tmp_path):
    path = tmp_path / "key"
    done = waybill("keygen", "-f", path, "-C", "who it is")
    assert done.stdout.decode().splitlines()[1] == f"256 {fingerprint(path)} (ED25519)"
    public = (tmp_path / "key.pub").read_text(encoding="ascii")
    assert ssh_keygen_run("-y", "-f", path).split()[:2] == public.split()[:2]
    assert public.rstrip("\n").endswith(" who it is")
    assert "who it is" in ssh_keygen_run("-lf", path)
    ssh_keygen_run("-p", "-f", path, "-P", "", "-N", "secret")  # and can give it a passphrase
    assert waybill("keygen", "-f", path).returncode == 1


def test_nothing_is_overwritten(waybill, tmp_path):
    for name in ("key", "key.pub"):
        (tmp_path / name).write_text("mine", encoding="ascii")
        done = waybill("keygen", "-f", tmp_path / "key")
        assert done.returncode == 1 and b"already" in done.stderr
        assert (tmp_path / name).read_text(encoding="ascii") == "mine"
        (tmp_path / name).unlink()
        assert os.listdir(tmp_path).count("key") == 0


def test_a_link_is_not_followed(waybill, tmp_path):
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    assert waybill("keygen", "-f", tmp_path / "key").returncode == 1
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("arguments, word", [
    (["-C", "two\nlines"], b"one line"), (["more"], b"-f FILE"), (["-f", ""], b"file"),
])
def test_wrong_command_lines(waybill, arguments, word):
    done = waybill("keygen", *arguments)
    assert done.returncode in (1, 2) and word in done.stderr.lower() or word in done.stderr


def test_a_folder_that_cannot_be_made(waybill):
    done = waybill("keygen", "-f", "/proc/none/key")
    assert done.returncode == 1 and b"/proc/none" in done.stderr
