"""help, --help, --version, and wrong command lines."""

import os
import re
import shutil
import subprocess

import pytest

from conftest import ROOT, WAYBILL

COMMANDS = ["serve", "exec", "put", "get", "jobs", "attach", "kill", "keygen", "trust", "talk", "lab"]


def is_one_line(text, *words):
    lines = text.decode().splitlines()
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]
    return True


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["-h"], ["help", "help"]])
def test_help_lists_the_commands(waybill, arguments):
    ended = waybill(*arguments)
    assert (ended.returncode, ended.stderr) == (0, b"")
    lines = ended.stdout.decode().splitlines()
    for command in [*COMMANDS, "help"]:
        assert any(line.split()[:1] == [command] for line in lines), command
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(waybill, command):
    asked, given = waybill("help", command), waybill(command, "--help")
    assert (asked.returncode, asked.stderr) == (0, b"")
    assert asked.stdout == given.stdout
    lines = asked.stdout.decode().splitlines()
    assert lines[0].startswith(f"usage: waybill {command} ")
    assert "  -h, --help" in asked.stdout.decode()
    assert max(map(len, lines)) <= 80


def test_every_option_of_talk_is_explained(waybill):
    text = waybill("help", "talk").stdout.decode()
    for option in ["--encoding NAME", "--raw", "--timeout DURATION", "--verbose"]:
        assert option in text


@pytest.fixture(scope="module", name="pages")
def _pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([ROOT / "tools" / "man", WAYBILL, folder], check=True)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_manual_page_says_what_the_help_says(waybill, pages, command):
    page = (pages / f"waybill-{command}.1").read_text(encoding="utf-8").replace("\\-", "-")
    text = waybill("help", command).stdout.decode()
    options = re.findall(r"^  +((?:-\w, )?--[^ \n]+(?: [^ \n]+)?)(?:$|  )", text, re.MULTILINE)
    assert "-h, --help" in options
    for option in options:
        assert f"\n.B {option}\n" in page
    for line in text.split("Options:")[0].splitlines()[1:]:
        if line.startswith("  ") and "'" not in line:
            assert f"\n{line[2:]}\n" in page
    assert f"waybill-{command} (1)" in (pages / "waybill.1").read_text(encoding="utf-8").replace("\\-", "-")


@pytest.mark.skipif(not (shutil.which("man") and shutil.which("groff")), reason="needs man and groff")
@pytest.mark.parametrize("name", ["waybill", *(f"waybill-{command}" for command in COMMANDS)])
def test_a_manual_page_is_sound(pages, name):
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", pages / f"{name}.1"], check=True,
                          capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat"})
    assert done.stderr == b""
    shown = re.sub(r"\x1b\[\d*m|.\x08", "", done.stdout.decode())
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"]:
        assert f"\n{section}\n" in shown


def test_version(waybill):
    ended = waybill("--version")
    name, version = ended.stdout.decode().split()
    assert (ended.returncode, name) == (0, "waybill")
    assert len(version.split(".")) == 3


def test_no_command_at_all(waybill):
    ended = waybill()
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"usage:" in ended.stderr


@pytest.mark.parametrize("arguments, word", [
    (["tlak"], "'tlak'"),
    (["help", "tlak"], "'tlak'"),
    (["help", "talk", "serve"], "one command"),
    (["evil\x1b[2J"], r"'evil\x1B[2J'"),
    ([r"C:\new"], r"'C:\new'"),
    (["talk"], "URI"),
    (["talk", "one", "two"], "URI"),
    (["talk", ""], ": give one URI"),
    (["talk", "\x1b[31m"], r": \x1B[31m: not a URI"),
    (["talk", r"a\b"], r": a\b: not a URI"),
    (["serve", "--listen="], "--listen: needs a value (URI)"),
    (["serve", "--listen", ""], "--listen: needs a value (URI)"),
    (["talk", "--encodin=gbk", "upper+tcp://127.0.0.1"], "--encodin: there is no such option"),
    (["talk", "--raw=yes", "upper+tcp://127.0.0.1"], "--raw: takes no value"),
    (["talk", "--timeout"], "--timeout: needs a value (DURATION)"),
    (["talk", "--timeout=soon", "upper+tcp://127.0.0.1"], "'soon' is not a duration"),
    (["talk", "-t", "0s", "upper+tcp://127.0.0.1"], "give 1ms to 24h"),
    (["talk", "-x", "upper+tcp://127.0.0.1"], "-x"),
    (["talk", "tcp://127.0.0.1:1"], "not a plain service"),
    (["talk", "exec-length+udp://127.0.0.1:1"], "not a plain service"),
    (["talk", "127.0.0.1:1"], "127.0.0.1:1"),
    (["talk", "-e", "no-such-set", "upper+tcp://127.0.0.1:1"], "no-such-set"),
    (["talk", "-e", "gbk//IGNORE", "upper+tcp://127.0.0.1:1"], "gbk//IGNORE"),
])
def test_wrong_command_lines(waybill, arguments, word):
    ended = waybill(*arguments)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert is_one_line(ended.stderr, "waybill", word)


def test_a_full_disk_is_not_success(waybill):
    with open("/dev/full", "wb") as full:
        ended = waybill("help", stdout=full, stderr=-1, capture_output=False)
    assert ended.returncode == 1
    assert is_one_line(ended.stderr, "stdout")
