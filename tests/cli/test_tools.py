"""The project's own tools: tidy finds what is planted, run-tests counts what goes wrong, deps is quick.

Words that tidy looks for are put together here, so that this file is no finding.
"""

import os
import subprocess

import pytest
from conftest import PYTHON, ROOT

OPENING = "/* A room. */\n"
GUARDED = OPENING + "#ifndef A_H\n#define A_H\n%s\n#endif\n"
NAP = "slee" + "p"

# rule: (file, its text, what the finding says)
PLANTED = {
    "layers-up": ("src/base/a.c", OPENING + '#include "wire/a.h"\n', "base may not include wire/a.h"),
    "layers-beside": ("src/keys/a.c", OPENING + '#include "session/a.h"\n', "keys may not include session"),
    "layers-sys": ("src/sys/a.c", OPENING + '#include "waybill/header.h"\n', "sys may not include waybill"),
    "layers-transport": ("src/transport/a.c", OPENING + '#include "wire/a.h"\n', "transport may not"),
    "layers-public": ("include/waybill/a.h", GUARDED % '#include "base/b.h"', "may not include base/b.h"),
    "layers-lab": ("lab/a.c", OPENING + '#include "app/a.h"\n', "lab may not include app/a.h"),
    "layers-absent": ("src/cli/a.c", OPENING + '#include "cli/none.h"\n', '"cli/none.h" is not in the tree'),
    "layers-floor": ("src/attic/a.c", OPENING, "src/attic is no floor"),
    "circle": ("src/base/b.h", GUARDED % '#include "base/c.h"', "circle: "),
    "purity-header": ("src/wire/b.c", OPENING + "#include <unistd.h>\n", "<unistd.h> in a pure floor"),
    "purity-call": ("src/session/b.c", OPENING + "int f(int d)\n{\n\treturn close(d);\n}\n", "close() in a pure"),
    "purity-public": ("include/waybill/header.h", GUARDED % "#include <time.h>", "<time.h> in a pure floor"),
    "function-length": ("src/base/d.c", OPENING + "int f(void)\n{\n" + "\n" * 68 + "}\n", "f has 71 lines"),
    "file-length": ("src/base/e.c", OPENING + "\n" * 600, "601 lines"),
    "banned": ("src/base/f.c", OPENING + "int f(char *a)\n{\n\treturn atoi(a);\n}\n", "banned: atoi()"),
    "nap-in-c": ("src/base/g.c", OPENING + f"void f(void)\n{{\n\t{NAP}(1);\n}}\n", f"{NAP}: {NAP}: wait"),
    "nap-in-python": ("tests/cli/test_a.py", f"import time\ntime.{NAP}(1)\n", "wait for the event"),
    "nap-in-a-command": ("tests/cli/test_b.py", f'run("{NAP} 9")\n', "wait for the event"),
    "leftover": ("docs/A.md", "TO" + "DO: more\n", "leftover: TO" + "DO"),
    "leftover-words": ("src/base/h.c", "/* good enough for" + " now */\n", "leftover: for" + " now"),
    "whitespace": ("README.md", "a \n", "whitespace: at the end"),
    "newline": ("README.md", "a", "no newline at the end"),
    "guard": ("src/base/i.h", OPENING + "int f(void);\n", "guard: no include guard"),
    "opening": ("src/base/j.c", "int i;\n", "opening: "),
    "home-path": ("docs/A.md", "see /ho" + "me/someone/notes\n", "machine-path: "),
}


@pytest.fixture
def house(tmp_path):
    """A small clean tree."""
    texts = {path: GUARDED % "" for path in (
        "src/base/b.h", "src/wire/a.h", "src/session/a.h", "src/app/a.h", "include/waybill/header.h")}
    texts["src/base/c.h"] = GUARDED % '#include "base/b.h"'
    texts["src/wire/header.c"] = OPENING + '#include "waybill/header.h"\n#include "base/c.h"\n'
    plant(tmp_path, texts)
    return tmp_path


def plant(root, texts):
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def tidy(root):
    done = subprocess.run([PYTHON, ROOT / "tools" / "tidy", root], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_tidy_passes_a_clean_tree(house):
    code, lines = tidy(house)
    assert (code, len(lines)) == (0, 1), lines
    assert lines[0].startswith("tidy: 7 files, 0 findings")


@pytest.mark.parametrize("name", PLANTED)
def test_tidy_finds(house, name):
    path, text, what = PLANTED[name]
    plant(house, {path: text})
    code, lines = tidy(house)
    assert code == 1
    assert len(lines) == 2, lines  # this one finding, and the summary
    assert what in lines[0]
    assert lines[0].split(":")[0] in (path, "src/base/c.h")  # a circle has two ends


def test_tidy_reads_code_not_text(house):
    plant(house, {"src/wire/k.c": OPENING + "// close(1)\n/* atoi(a) */\nstatic const char t[] = \"system(\\\"\";\n"
                                            "int f(struct k *k)\n{\n\treturn k->close(k) + k_read(k);\n}\n"})
    code, lines = tidy(house)
    assert code == 0, lines


def test_tidy_finds_a_changed_layout(house):
    (house / ".clang-format").write_bytes((ROOT / ".clang-format").read_bytes())
    plant(house, {"src/base/l.c": OPENING + "int f( void )\n{\n    return 1;\n}\n"})
    code, lines = tidy(house)
    if "layout unchecked" in lines[-1]:
        pytest.skip(lines[-1])
    assert code == 1
    assert lines[0] == "src/base/l.c:2: layout: 2 lines; clang-format -i src/base/l.c"


# --- run-tests ----------------------------------------------------------------------------------------

PROGRAMS = {
    "good": ("echo 1..2; echo 'ok 1 - a'; echo 'ok 2 - b'", "2 passed, 0 failed"),
    "failing": ("echo 1..2; echo 'ok 1 - a'; echo 'not ok 2 - b'; echo '# 1 != 2'; exit 1", "1 passed, 1 failed"),
    "skipping": ("echo 1..1; echo 'needs root'; echo 'not ok 1 # SKIP a'", "0 passed, 0 failed, 1 skipped"),
    "empty": ("exit 0", "0 passed, 1 failed"),
    "short": ("echo 1..2; echo 'ok 1 - a'", "1 passed, 1 failed"),
    "crashing": ("echo 1..1; kill -SEGV $$", "0 passed, 1 failed"),
    "late": ("echo 1..1; echo 'ok 1 - a'; exit 23", "1 passed, 1 failed"),
    "hanging": ("echo 1..1; exec tail -f /dev/null", "0 passed, 1 failed"),
}


def run_tests(build, seconds=60):
    done = subprocess.run([PYTHON, ROOT / "tools" / "run-tests", build, "unit"], capture_output=True, text=True,
                          check=False, env={**os.environ, "PROGRAM_SECONDS": str(seconds)})
    assert not done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_run_tests_counts(tmp_path, name):
    script, total = PROGRAMS[name]
    program = tmp_path / "tests" / "unit" / "base" / "test_a"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    program.chmod(0o755)
    code, output = run_tests(tmp_path, seconds=1 if name == "hanging" else 60)
    assert output.splitlines()[-1] == total
    assert code == (0 if " 0 failed" in total else 1)
    if name == "failing":
        assert "1 != 2" in output
    if name == "skipping":
        assert "needs root" in output


def test_run_tests_fails_where_nothing_runs(tmp_path):
    code, output = run_tests(tmp_path)
    assert (code, output.splitlines()[-1]) == (1, "0 passed, 1 failed")


# --- deps ---------------------------------------------------------------------------------------------


def deps(*groups, **options):
    return subprocess.run([ROOT / "tools" / "deps", *groups], capture_output=True, text=True, check=False, **options)


def test_deps_says_nothing_where_nothing_is_missing():
    done = deps("build", "test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_deps_knows_its_groups():
    done = deps("everything")
    assert done.returncode == 2
    assert "no group 'everything'" in done.stderr


def test_deps_names_what_is_missing_where_there_is_no_apt(tmp_path):
    for tool in ("sh", "cut", "sort", "tr", "sed", "grep", "python3"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    done = deps("build", env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "missing: cc libssl libxxhash make pkg-config" in done.stderr
    assert "libedit " not in done.stderr.splitlines()[0]
