"""The lab: every statement checked on this kernel, in both languages, within 80 columns; and programs
that do what they are said to do."""

import fcntl
import functools
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import unicodedata

import pytest

from conftest import PYTHON, ROOT, WAYBILL, sanitizer

NAMES = ["sticky", "partial-write", "nagle", "backlog", "reuseaddr", "close", "handshake",
         "one-at-a-time", "dead-peer", "udp-boundary", "udp-truncate", "udp-size", "udp-loss",
         "udp-concurrent", "byte-order", "encoding"]

# What the programs of --code and --python must print: the phenomenon, whatever its exact figures.
PROGRAMS = {
    "sticky": r"two sends, one recv: 10 bytes: helloworld",
    "partial-write": r"asked for 16777216 bytes and took (?!16777216$)\d+",
    "nagle": r"write-write-read: [3-9]\d\.\d+ ms\nwith TCP_NODELAY: \d\.\d+ ms",
    "backlog": r"client 6: connected\nclient 7: no answer in 500 ms",
    "reuseaddr": r"=0, second start: Address already in use\nSO_REUSEADDR=1, second start: Success",
    "close": r"all read: recv = 0 .*\n.*unread: recv = -1 Connection reset by peer",
    "handshake": r"before accept: +ESTABLISHED\n.*its FIN: +FIN_WAIT2\n.*that FIN: +CLOSE_WAIT",
    "one-at-a-time": r"is there: no answer\n.*has gone: answered",
    "dead-peer": r"send to the dead peer: 4\nTCP_USER_TIMEOUT of 1 s: .+ after [12]\.\d s|skipped: needs root",
    "udp-boundary": r'3 bytes: "one"\nrecvfrom: 0 bytes: ""\nrecvfrom: 5 bytes: "three"',
    "udp-truncate": r"recvfrom\(1\): 1\n.*again: .+\nrecvfrom\(1, MSG_TRUNC\): 10",
    "udp-size": r"sendto\(65507\): sent\nsendto\(65508\): Message too long\nrecvfrom: 65507 bytes",
    "udp-loss": r"sent without an error: 200, received: \d+, lost: [1-9]\d*",
    "udp-concurrent": r"four requests: 2\d\d ms\nfour workers, the same socket: (\d\d|1[0-4]\d) ms",
    "byte-order": r"00 00 00 05\nread with '<I': 83886080\nread with '!I': 5\n3 GiB in an int32: .+",
    "encoding": r"GBK read as UTF-8: .+ at byte 0\nGBK read as GBK: 你好\nUTF-8 read as GBK: 浣犲ソ\n.*锟斤拷",
}

# A cure that is left out, and the experiment whose check must notice.
BREAKS = {
    "length": "sticky", "sendall": "partial-write", "nodelay": "nagle", "cork": "nagle",
    "writev": "nagle", "backlog": "backlog", "reuseaddr": "reuseaddr", "drain": "close",
    "client-first": "handshake", "events": "one-at-a-time", "zero": "udp-boundary",
    "peek": "udp-truncate", "chunks": "udp-size", "ack": "udp-loss", "workers": "udp-concurrent",
    "order": "byte-order", "limit": "byte-order", "carry": "encoding",
}

CHECK_SECONDS = 60  # what --all --check may take


def environment(locale="C.UTF-8", **others):
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith("LC_") and key not in ("LANG", "NO_COLOR", "WAYBILL_LAB_BREAK")}
    return {**kept, "LC_ALL": locale, **others}


def lab(*arguments, binary=WAYBILL, env=None, **options):
    return subprocess.run([binary, "lab", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          env=env or environment(), timeout=2 * CHECK_SECONDS, check=False, **options)


def columns(line):
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def too_wide(text, limit=80):
    return [line for line in text.splitlines() if columns(line) > limit]


@functools.cache
def all_as_text(language):
    ended = lab("--all", "--lang", language)
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout.decode()


@functools.cache
def all_as_json():
    """Everything, in Chinese, as a dictionary of experiments: one run for all tests that look into it."""
    return {told["name"]: told for told in
            map(json.loads, lab("--all", "--json", "--lang", "zh").stdout.splitlines())}


# --- the list, the language -------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_list_names_all_sixteen(language):
    ended = lab("--lang", language)
    assert (ended.returncode, ended.stderr) == (0, b"")
    lines = ended.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert not too_wide(ended.stdout.decode())
    assert len({line.split(maxsplit=1)[1] for line in lines}) == len(NAMES)


def test_the_list_as_json():
    listed = json.loads(lab("--json").stdout)
    assert [row["name"] for row in listed["experiments"]] == NAMES


@pytest.mark.parametrize("variables, chinese", [
    ({"LANG": "zh_CN.UTF-8"}, True),
    ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, False),
    ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, True),
    ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
    ({}, False),
])
def test_the_locale_chooses_the_language(variables, chinese):
    env = environment()
    del env["LC_ALL"]
    text = lab("close", env={**env, **variables}).stdout.decode()
    assert ("为什么" in text, "Why" in text) == (chinese, not chinese)
    text = lab("close", "--lang", "en" if chinese else "zh", env={**env, **variables}).stdout.decode()
    assert ("为什么" in text) == (not chinese)


def test_english_in_the_c_locale_is_ascii():
    for name in NAMES[:2] + ["encoding"]:
        assert lab(name, env=environment("C")).stdout.isascii()


# --- the check --------------------------------------------------------------------------------------


def check_lines(text, names=NAMES):
    lines = text.splitlines()
    for line in lines:
        assert re.match(r"ok [\w-]+: |differs here: |skipped: [\w-]+: needs ", line), line
        assert re.search(r"\(.+\)$", line), line  # the measured value
        assert columns(line) <= 80 or not line.startswith("ok "), line
    for name in names:
        assert any(f" {name}: " in line for line in lines), name
    return lines


def test_all_statements_hold_here():
    ended = lab("--all", "--check")
    lines = check_lines(ended.stdout.decode())
    assert (ended.returncode, ended.stderr) == (0, b""), ended.stdout.decode()
    assert sum(line.startswith("ok ") for line in lines) >= 70


def test_all_statements_hold_for_a_plain_user(second_user, public_binary):
    """What needs root is skipped, loudly; nothing else is."""
    ended = lab("--all", "--check", cwd="/", binary=public_binary, **second_user.popen_options)
    lines = check_lines(ended.stdout.decode())
    assert (ended.returncode, ended.stderr) == (0, b""), ended.stdout.decode()
    skipped = {line.split(": ")[1] for line in lines if line.startswith("skipped: ")}
    assert skipped <= {"handshake", "dead-peer", "udp-size", "encoding", "one-at-a-time"}
    assert "dead-peer" in skipped
    assert sum(line.startswith("ok ") for line in lines) >= 60


def test_the_check_speaks_chinese():
    ended = lab("--all", "--check", "--lang", "zh")
    assert ended.returncode == 0, ended.stdout.decode()
    for line in ended.stdout.decode().splitlines():
        assert re.match(r"(成立 |此处不同：|跳过：)[\w-]+：.*[一-龥].* \(.+\)$", line), line
        assert columns(line) <= 80 or not line.startswith("成立"), line


@pytest.mark.parametrize("cure", BREAKS)
def test_a_cure_left_out_fails_the_check(cure):
    name = BREAKS[cure]
    broken = lab(name, "--check", env=environment(WAYBILL_LAB_BREAK=cure))
    assert broken.returncode == 1, broken.stdout.decode()
    assert f"FAILS: {name}: " in broken.stdout.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a peer that vanishes")
@pytest.mark.parametrize("cure", ["keepalive", "user-timeout"])
def test_a_dead_peer_goes_unnoticed_without_its_cure(cure):
    broken = lab("dead-peer", "--check", env=environment(WAYBILL_LAB_BREAK=cure))
    assert broken.returncode == 1, broken.stdout.decode()
    assert "FAILS: dead-peer: " in broken.stdout.decode()


@pytest.mark.parametrize("arguments", [["sticky"], ["--all", "--check"]])
def test_without_a_loopback_it_says_so(arguments):
    """In an empty network namespace; a plain user needs one of users around it."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("network namespaces are not allowed here")
    ended = subprocess.run([*unshare, WAYBILL, "lab", *arguments], capture_output=True, check=False,
                           timeout=CHECK_SECONDS)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == b"waybill lab: 127.0.0.1: ENETUNREACH; is the loopback interface up?\n"


# --- the text ---------------------------------------------------------------------------------------


same_in_every_build = pytest.mark.skipif(bool(sanitizer()), reason="the text is the same in every build")


@same_in_every_build
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_wraps_at_80_columns(language):
    text = all_as_text(language)
    assert not too_wide(text)
    headings = {"en": ["Claim", "Question", "What happened", "Why", "Cure: "],
                "zh": ["常见说法", "问题", "实测结果", "为什么", "解法："]}[language]
    for heading in headings:
        assert len(re.findall(f"^{heading}", text, re.MULTILINE)) == len(NAMES), heading
    assert "\033" not in text
    assert not re.search(r"[ \t]$", text.replace(" │\n", "│\n"), re.MULTILINE)


@same_in_every_build
def test_no_english_sentence_is_left_in_chinese():
    text = re.sub("“[^”]*”", "", all_as_text("zh"))
    sources = {source for told in all_as_json().values() for source in told["sources"]}
    for line in text.splitlines():
        if line.strip() in sources or "waybill lab" in line:
            continue
        words = re.findall(r"(?<![\w.(_\"'/-])[a-z]{2,}(?: [a-z]{2,}){2,}", line)
        assert not words, line


# --- JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_json_tells_it_all(name):
    told = all_as_json()[name]
    assert told["language"] == "zh"
    for key in "title claim question why cure code_c code_python".split():
        assert told[key], key
    assert told["verdict"] in ("ok", "differs", "skipped")
    assert 1 <= told["outcome"] <= len(told["choices"])
    kinds = {item["kind"] for item in told["run"]}
    assert {"part", "truth"} <= kinds
    assert any(item["cure"] and item["kind"] == "truth" for item in told["run"])
    for item in told["run"]:
        if item["kind"] == "call":
            assert item["side"] in ("client", "server")
            assert ("result" in item) != ("error" in item)
            assert item["at_ns"] >= 0 and item["took_ns"] >= 0


def test_every_time_is_of_this_run():
    def times():
        return [(item["at_ns"], item["took_ns"]) for item in json.loads(lab("sticky", "--json").stdout)["run"]
                if item["kind"] == "call"]

    first, second = times(), times()
    assert len(first) == len(second) >= 10
    assert first != second


def test_json_of_all_is_one_object_a_line():
    assert list(all_as_json()) == NAMES


# --- the documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("document, word", [("docs/LEARN.md", "ok"), ("docs/zh/LEARN.md", "成立")])
def test_the_documents_show_what_the_lab_says(document, word):
    """Every statement and every title pasted there is one that the lab prints today."""
    text = (ROOT / document).read_text()
    today = all_as_text("en" if word == "ok" else "zh").splitlines()
    pasted = re.findall(rf"^  {word} .*(?= \()", text, re.MULTILINE)
    assert len(pasted) >= 40
    for statement in pasted:
        assert any(line.startswith(statement) for line in today), statement
    for title in re.findall(r"^```text\n(.+)$", text, re.MULTILINE):
        assert title in today, title
    for name in NAMES:
        assert re.search(rf"^##+ .*`{name}`$", text, re.MULTILINE), name
    assert not too_wide("\n".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)))


# --- the programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_c_program_shows_it(name, tmp_path):
    text = lab(name, "--code").stdout.decode()
    command = re.search(r"^ \* (cc .* && \./[\w-]+) \*/$", text, re.MULTILINE)[1]
    (tmp_path / f"{name}.c").write_text(text)
    ended = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, check=False,
                           timeout=CHECK_SECONDS)
    assert (ended.returncode, ended.stderr) == (0, b""), ended.stderr.decode()
    assert re.search(PROGRAMS[name], ended.stdout.decode(), re.MULTILINE), ended.stdout.decode()


@pytest.mark.parametrize("name", NAMES)
def test_the_python_program_shows_it(name, tmp_path):
    text = lab(name, "--python", "--lang", "zh").stdout.decode()
    assert re.search(rf"^# python3 {name}\.py$", text, re.MULTILINE)
    (tmp_path / f"{name}.py").write_text(text)
    ended = subprocess.run([PYTHON, f"{name}.py"], cwd=tmp_path, capture_output=True, check=False,
                           timeout=CHECK_SECONDS)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert re.search(PROGRAMS[name], ended.stdout.decode(), re.MULTILINE), ended.stdout.decode()


# --- on a terminal ----------------------------------------------------------------------------------


def on_terminal(*arguments, width=80, answer=b"", **variables):
    """Runs the lab on a terminal of its own and returns what it wrote there."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.execve(WAYBILL, [WAYBILL, "lab", *arguments], environment(**variables))
    written, answered = b"", False
    while True:
        assert select.select([terminal], [], [], CHECK_SECONDS)[0], written
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # EIO is a terminal's end of file
            piece = b""
        if not piece:
            break
        written += piece
        if not answered and re.search("Enter: |回车：".encode(), written):
            os.write(terminal, answer + b"\n")
            answered = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.decode().replace("\r\n", "\n")


def uncoloured(text):
    return re.sub(r"\033\[\d*m", "", text)


def test_a_terminal_is_asked_for_a_prediction():
    code, text = on_terminal("sticky", answer=b"1")
    assert code == 0
    assert "Your prediction, 1 to 3" in text
    assert "You predicted 1: it came otherwise." in uncoloured(text)
    code, text = on_terminal("sticky", "--lang", "zh", answer=b"2")
    assert "你的预测是 2：猜对了。" in uncoloured(text)


def test_enter_just_shows():
    code, text = on_terminal("sticky", answer=b"")
    assert code == 0
    assert "What happened" in text and "You predicted" not in text


def test_no_ask_does_not_ask():
    code, text = on_terminal("sticky", "--no-ask")
    assert code == 0
    assert "Your prediction" not in text
    assert "\033[" in text  # coloured all the same


def test_no_color_is_honoured():
    assert "\033" not in on_terminal("sticky", "--no-ask", NO_COLOR="1")[1]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_text_fits_the_terminal(language, width):
    text = uncoloured(on_terminal("close", "--no-ask", "--lang", language, width=width)[1])
    assert not too_wide(text, width)
    assert max(columns(line) for line in text.splitlines()) == width  # and uses it


# --- wrong command lines ----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, words", [
    (["no-such"], "no such experiment"),
    (["no\x1bsuch"], r"no\x1Bsuch"),
    (["sticky", "nagle"], "one experiment at a time"),
    (["sticky", "--all"], "--all"),
    (["--all", "--code"], "--all"),
    (["--check"], "which experiment"),
    (["--code"], "which experiment"),
    (["sticky", "--lang", "fr"], "en or zh"),
])
def test_wrong_command_lines(arguments, words):
    ended = lab(*arguments)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr.count(b"\n") == 1
    assert words in ended.stderr.decode()


