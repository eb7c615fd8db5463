"""Clients that keep no rule. Whatever one says in whatever state, the daemon answers with one error, or with
none, keeps within its limits, and serves everybody else as before."""

import itertools
import json
import os
import socket
import struct

import pytest

from conftest import eventually, sanitizer
from parcels import Peer
from sessions import FOREVER, is_running, jobs

BIG = 2**53 - 1
MIB = 1 << 20
KEPT = 1 << 19  # of output that a reader makes no room for; what a pipe holds comes on top
FLOOD = 2000 if sanitizer() else 20000


@pytest.fixture
def served(daemon, tmp_path, waybill):
    """A daemon that after everything still serves."""
    one = daemon("--listen", f"unix://{tmp_path}/s", "--listen", "tcp://127.0.0.1:0", "--hold", "300ms")
    yield one
    done = waybill("exec", one.uris[1], "--", "echo", "well")
    assert (done.returncode, done.stdout) == (0, b"well\n"), done.stderr


def error_of(peer):
    """What ends the connection: the last parcel is an `error`."""
    heard = [header for header, _ in peer.hear_all()]
    assert heard and heard[-1]["op"] == "error", heard
    return heard[-1]


# ---- what is not allowed ----

BEFORE_HELLO = [{"op": op, "id": 1} for op in ("open", "data", "synced", "have", "bye", "error", "ping", "novel")]


@pytest.mark.parametrize("parcel", BEFORE_HELLO, ids=lambda parcel: parcel["op"])
def test_nothing_comes_before_hello(served, parcel):
    with Peer(served.uri, greet=False) as peer:
        peer.say_raw(json.dumps(parcel).encode())
        assert error_of(peer)["code"] == "malformed"


BAD_HELLOS = {
    "version": ({"waybill": 2}, "version"),
    "no digests": ({"digests": []}, "digest"),
    "other digests": ({"digests": ["crc32", "md5"]}, "digest"),
    "epoch 0": ({"epoch": 0}, "malformed"),
    "session too short": ({"session": "00"}, "malformed"),
    "session in capitals": ({"session": "AB" * 16}, "malformed"),
    "secret too long": ({"secret": "ab" * 33}, "limit"),
    "no chunk": ({"limits": {"chunk": 0}}, "malformed"),
    "no calls": ({"limits": {"calls": 0}}, "malformed"),
    "a list of limits": ({"limits": []}, "malformed"),
    "long agent": ({"agent": "a" * 64}, "limit"),
    "somebody else's": ({"user": "somebody else"}, "user"),
    "crit": ({"crit": ["novel"], "novel": 1}, "unsupported"),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_bad_hello(served, name):
    fields, code = BAD_HELLOS[name]
    with Peer(served.uri, greet=False) as peer:
        peer.hello(**fields)
        assert error_of(peer)["code"] == code


NOT_HERE = [
    dict(op="hello", waybill=1), dict(op="welcome"), dict(op="opened", id=1), dict(op="exit", id=1),
    dict(op="gone", id=1), dict(op="synced"), dict(op="have", id=1),
]
NO_SUCH_CALL = [
    dict(op="signal", id=9, n=1, name="INT"), dict(op="cancel", id=9), dict(op="forget", id=9),
    dict(op="resize", id=9, rows=1, cols=1), dict(op="credit", id=9, stream=1, offset=0, limit=1),
    dict(op="data", id=9, stream=0, offset=0), dict(op="eof", id=0, stream=0, offset=0),
    dict(op="reset", id=BIG, stream=1),
]
BAD_FOR_A_CALL = [
    dict(op="data", id=1, stream=1, offset=0), dict(op="data", id=1, stream=3, offset=0),
    dict(op="data", id=1, stream=BIG, offset=0), dict(op="data", id=1, stream=0, offset=1),
    dict(op="data", id=1, stream=0, offset=BIG), dict(op="data", id=1, stream=-1, offset=0),
    dict(op="data", id=1, stream=0.0, offset=0), dict(op="eof", id=1, stream=0, offset=1),
    dict(op="eof", id=1, stream=0, offset=1, **{"from": 0}), dict(op="eof", id=1, stream=1, offset=0, **{"from": 0}),
    dict(op="credit", id=1, stream=0, offset=0, limit=1), dict(op="credit", id=1, stream=1, offset=1, limit=1),
    dict(op="credit", id=1, stream=1, offset=BIG, limit=BIG), dict(op="reset", id=1, stream=0),
    dict(op="signal", id=1, n=2, name="INT"), dict(op="signal", id=1, n=BIG, name="INT"),
    dict(op="signal", id=1, n=1, name="A" * 16), dict(op="signal", id=1, n=1, name=""),
    dict(op="signal", id=1, n=1), dict(op="resize", id=1, rows=0, cols=1),
    dict(op="resize", id=1, rows=1, cols=65536), dict(op="open"), dict(op="open", id=-1, service="exec"),
    dict(op="open", id=2, service="exec", up=[0, 0]), dict(op="open", id=2, service="exec", up=[16]),
    dict(op="open", id=2, service="exec", up=[1], down=[1]), dict(op="open", id=2, service="x" * 32),
    dict(op="open", id=2, service="exec", down=list(range(9))), dict(op="open", id=2, service="exec", up={}),
    dict(op="open", id=2, service="exec", key="k" * 129), dict(op="open", id=2, service="exec", window=-1),
    dict(op="open", id=2, service="exec", crit=["novel"], novel=1), dict(op="x" * 32), dict(op="ping", n=-1),
    dict(op="ping", n=1, total_size=1), dict(op="data", id=1, stream=0, offset=0, total_size=262145),
    dict(op="open", id=2, service="exec", total_size=MIB + 1), dict(op="novel", total_size=262145),
]


def known_by(parcel):
    return "-".join(str(value)[:12] for value in parcel.values())


@pytest.mark.parametrize("parcel", NOT_HERE + NO_SUCH_CALL + BAD_FOR_A_CALL, ids=known_by)
def test_bad_parcel(served, waybill, parcel):
    """Of a session that is live and has call 1: it ends the connection; the call is held, and is dropped when
    nobody comes back."""
    with Peer(served.uri) as peer:
        peer.exec(1, *FOREVER, up=[0])
        opened, _ = peer.hear_until("opened")
        if parcel.get("name") == "":
            peer.say_raw(json.dumps(parcel).encode())
            peer.say("bye")
            return
        peer.say_raw(json.dumps(parcel).encode())
        assert error_of(peer)["code"] in ("malformed", "limit", "unsupported")
    eventually(lambda: not is_running(opened["pid"]))
    assert not jobs(waybill, served.uri)


BAD_HEADS = [struct.pack("<I", size) for size in (0, 1, 16385, 2**31, 2**32 - 1)] + [
    struct.pack("<I", len(text)) + text
    for text in (b"[]", b"{}", b'{"op":1}', b'{"op":"ping","op":"ping"}', b'{"op":"ping","n":1e3}', b"\xff\xfe",
                 b'{"op":"ping","n":9007199254740992}', b'{"op":"ping","n":1}x', b'{"a":' * 9 + b"1" + b"}" * 9)]


@pytest.mark.parametrize("head", BAD_HEADS, ids=repr)
def test_bad_head(served, head):
    with Peer(served.uri) as peer:
        peer.connection.sendall(head)
        assert error_of(peer)["code"] in ("malformed", "limit")


# ---- requests of exec ----

BAD_REQUESTS = {
    "more arguments than there are": (b"a\0", {"argc": 2}),
    "giant counts": (b"a\0", {"argc": BIG, "envc": BIG}),
    "counts that wrap": (b"a\0", {"argc": 2**32 + 1}),
    "no end": (b"a", {"argc": 1}),
    "nothing": (b"", {"argc": 1}),
    "no arguments": (b"a=b\0", {"argc": 0, "envc": 1}),
    "no NAME=value": (b"a\0b\0", {"argc": 1, "envc": 1}),
    "a nameless variable": (b"a\0=b\0", {"argc": 1, "envc": 1}),
    "two lines for a shell": (b"a\0b\0", {"argc": 2, "shell": True}),
    "a policy nobody knows": (b"a\0", {"argc": 1, "on_disconnect": "cling"}),
    "rows": (b"a\0", {"argc": 1, "pty": True, "rows": 65536}),
    "a long terminal": (b"a\0", {"argc": 1, "pty": True, "term": "t" * 64}),
    "a number for a truth": (b"a\0", {"argc": 1, "pty": 1}),
    "no argc": (b"a\0", {}),
    "a negative time": (b"a\0", {"argc": 1, "timeout_ms": -1}),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request(served, name):
    """Refuses the call, and not the connection."""
    payload, fields = BAD_REQUESTS[name]
    with Peer(served.uri) as peer:
        peer.say("open", payload, id=1, service="exec", down=[1], **fields)
        told, _ = peer.hear_until("exit", "error")
        if told["op"] == "error":  # the header itself was bad
            return
        assert told["outcome"] == "refused" and told["error"] in ("malformed", "limit")
        peer.exec(2, "true")
        assert peer.hear_until("exit")[0]["outcome"] == "exited"


def test_great_numbers(served):
    """What is legal and vast is not more than what is there."""
    with Peer(served.uri, limits={"calls": BIG, "streams": BIG, "chunk": BIG, "open": BIG}) as peer:
        peer.exec(BIG - 1, "echo", "hi", window=BIG, timeout_ms=BIG, hold_ms=BIG)
        told, _ = peer.hear_until("exit")
        assert told["outcome"] == "exited" and told["bytes"] == {"1": 3, "2": 0}
        peer.exec(BIG, "true")
        assert peer.hear_until("exit")[0]["id"] == BIG
        peer.exec(5, "true")
        assert peer.hear_until("gone")[0]["id"] == 5


def test_the_smallest_pieces(served):
    """A client that takes a byte at a time gets each."""
    with Peer(served.uri, limits={"chunk": 1}) as peer:
        peer.exec(1, "echo", "hello")
        heard = []
        while not heard or heard[-1][0]["op"] != "exit":
            heard.append(peer.hear())
        pieces = [payload for header, payload in heard if header["op"] == "data"]
        assert b"".join(pieces) == b"hello\n" and max(map(len, pieces)) == 1


# ---- windows ----

def test_input_beyond_the_window(served, waybill):
    """A command that reads nothing: the daemon keeps what it granted, and hears no more."""
    with Peer(served.uri) as peer:
        peer.exec(1, *FOREVER, up=[0])
        window = peer.hear_until("opened")[0]["window"]
        for offset in range(0, window, 1024):
            peer.say("data", b"x" * 1024, id=1, stream=0, offset=offset)
        # Credit may have come for what the pipe took; nobody grants this.
        peer.say("data", id=1, stream=0, offset=window, total_size=262144)
        assert error_of(peer)["code"] == "limit"


def test_credit_for_what_was_not_written(served, waybill):
    """More is staged than the socket takes. What cannot have arrived cannot have been consumed: it is still
    read from, and the place of its bytes not free."""
    wrong = []
    for offset in (270336, 286720, 290112):
        with Peer(served.uri) as peer:
            peer.exec(1, "head", "-c", str(64 * MIB), "/dev/zero", window=8 * MIB, down=[1])
            job = peer.hear_until("opened")[0]["job"]
            eventually(lambda: jobs(waybill, served.uri)[job]["stdout_bytes"] == KEPT)
            peer.say("credit", id=1, stream=1, offset=offset, limit=8 * MIB)
            peer.say("ping", n=1)
            peer.say("bad", crit=["bad"], n=-1)
            peer.say("ping", n=-1)
            wrong.append(error_of(peer))
    assert served.process.poll() is None
    assert any("more than was sent" in error["text"] for error in wrong), wrong


def test_damaged_input(served):
    """stdin that did not arrive as it was sent: the command never sees its end."""
    with Peer(served.uri) as peer:
        peer.exec(1, "sh", "-c", "cat >/dev/null; echo complete", up=[0])
        peer.hear_until("opened")
        peer.say("data", b"abc", id=1, stream=0, offset=0)
        peer.say("eof", id=1, stream=0, offset=3, digest="00" * 16, **{"from": 0})
        told, _ = peer.hear_until("exit")
        assert told["outcome"] == "failed" and told["error"] == "digest", told
        assert told["bytes"]["1"] == 0


def test_an_end_cuts_no_output_off(served):
    """A command that has ended, with output that nobody has made room for: the daemon finds room, and tells at
    once what there was. Whether it was cancelled or had ended before is for the daemon to say."""
    with Peer(served.uri) as peer:
        peer.exec(1, "head", "-c", str(KEPT + 50000), "/dev/zero", window=8 * MIB, down=[1])
        opened, _ = peer.hear_until("opened")
        eventually(lambda: not is_running(opened["pid"]))
        peer.say("cancel", id=1)
        heard = [peer.hear()]
        while heard[-1][0]["op"] != "exit":
            heard.append(peer.hear())
        told = heard[-1][0]
        assert sum(len(payload) for _, payload in heard) == told["bytes"]["1"] == KEPT + 50000
        assert told["outcome"] in ("cancelled", "exited"), told


def test_output_waits_for_its_reader(served, waybill):
    """However long: that nothing moves because nobody makes room is not the silence that ends an output."""
    with Peer(served.uri) as peer:
        peer.exec(1, "head", "-c", str(KEPT + 50000), "/dev/zero", window=8 * MIB, down=[1])
        opened, _ = peer.hear_until("opened")
        eventually(lambda: not is_running(opened["pid"]))
        longer = waybill("exec", "-n", "--timeout", "1500ms", served.uri, "--", *FOREVER)
        assert longer.returncode == 124
        got = 0
        while True:
            header, payload = peer.hear()
            got += len(payload)
            if header["op"] == "data" and got == KEPT:
                peer.say("credit", id=1, stream=1, offset=got, limit=8 * MIB)
            if header["op"] == "eof":
                assert "held_open" not in header
            if header["op"] == "exit":
                assert header["outcome"] == "exited" and header["bytes"]["1"] == got == KEPT + 50000
                break


def come_again(peer, unread_from=None):
    """Another connection that goes on with call 1 and, where it is not None, its stream 1 from that offset."""
    later = peer.again()
    later.say("have", id=1)
    if unread_from is not None:
        later.say("have", id=1, stream=1, offset=unread_from)
    later.say("synced")
    later.hear_until("synced")
    return later


def hear_bytes(peer, count):
    """Takes so much of a stream, and acknowledges nothing."""
    while count > 0:
        count -= len(peer.hear_until("data")[1])


def attach_to(served, job, **fields):
    """What somebody else hears who attaches: `opened`, or the `exit` of a refusal."""
    with Peer(served.uri) as other:
        other.say("open", id=1, service="attach", job=job, **fields)
        told, _ = other.hear_until("opened", "exit")
        other.say("bye")
        return told


def test_what_was_sent_is_not_kept_for_ever(served, waybill):
    """A client that was sent everything, acknowledged nothing, and is away. Whoever takes its job over would
    have the daemon keep all that for it, in memory."""
    count = 40 * MIB
    with Peer(served.uri) as first:
        first.exec(1, "head", "-c", str(count), "/dev/zero", window=BIG, down=[1], on_disconnect="detach",
                   hold_ms=60000)
        job = first.hear_until("opened")[0]["job"]
    eventually(lambda: jobs(waybill, served.uri)[job]["stdout_bytes"] == count)
    with come_again(first, 0) as second:
        hear_bytes(second, count)
    eventually(lambda: jobs(waybill, served.uri)[job]["status"] != "running")
    told = attach_to(served, job, down=[1])
    assert (told["op"], told.get("error")) == ("exit", "limit"), told
    with come_again(second, count) as third:  # as if nothing had been
        third.say("credit", id=1, stream=1, offset=count, limit=BIG)
        assert third.hear_until("exit")[0]["bytes"] == {"1": count}
        third.say("ping", n=1)
        third.hear_until("pong")
    eventually(lambda: jobs(waybill, served.uri)[job]["status"] != "running")
    assert attach_to(served, job, down=[1])["op"] == "opened"


def test_input_is_not_kept_for_ever(served, waybill):
    """One client after the other attaches and leaves as much as it may for a command that reads nothing."""
    with Peer(served.uri) as peer:
        peer.exec(1, *FOREVER, up=[0], on_disconnect="detach")
        job = peer.hear_until("opened")[0]["job"]
        peer.say("bye")
        peer.hear_all()
    left, told = 0, None
    while left < 64 * MIB:
        with Peer(served.uri) as peer:
            peer.say("open", id=1, service="attach", job=job, up=[0])
            told, _ = peer.hear_until("opened", "exit")
            if told["op"] == "exit":
                break
            for offset in range(0, told["window"], 65536):
                peer.say("data", bytes(min(65536, told["window"] - offset)), id=1, stream=0, offset=offset)
            left += told["window"]
            peer.say("bye")
            peer.hear_all()
    assert (told["op"], told.get("error")) == ("exit", "limit"), told
    assert left < 32 * MIB
    assert attach_to(served, job)["op"] == "opened"
    assert waybill("kill", served.uri, str(job)).returncode == 0


# ---- floods ----

def flood(peer, served, parcel, count=FLOOD):
    """Says the same again and again while listening; returns how much memory the daemon took more, and what it
    said."""
    before = served.memory_bytes()
    text = json.dumps(parcel).encode()
    piece = (struct.pack("<I", len(text)) + text) * 100
    for _ in range(count // 100):
        peer.connection.sendall(piece)
    peer.say("ping", n=4711)
    heard = []
    while True:
        header, _ = peer.hear()
        heard.append(header)
        if header["op"] == "pong" and header["n"] == 4711:
            return served.memory_bytes() - before, heard


FLOODS = {
    "ping": dict(op="ping", n=1), "pong": dict(op="pong", n=1), "unknown": dict(op="novel", x=1),
    "unsupported": dict(op="unsupported", what="novel"), "signal": dict(op="signal", id=1, n=1, name="WINCH"),
    "resize": dict(op="resize", id=1, rows=3, cols=4), "credit": dict(op="credit", id=1, stream=1, offset=0, limit=9),
    "cancel": dict(op="cancel", id=2), "open again": dict(op="open", id=1, service="exec", argc=1),
    "gone": dict(op="open", id=0, service="exec"), "reset": dict(op="reset", id=1, stream=2),
    "empty data": dict(op="data", id=1, stream=0, offset=0), "suspend": dict(op="suspend"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood(served, name):
    with Peer(served.uri) as peer:
        peer.exec(1, *FOREVER, up=[0])
        peer.hear_until("opened")
        peer.exec(2, *FOREVER)
        peer.hear_until("opened")
        grown, heard = flood(peer, served, FLOODS[name])
        if not sanitizer():
            assert grown < 8 * MIB
        assert len(heard) < FLOOD
        peer.say("bye")


def test_more_calls_than_allowed(served):
    with Peer(served.uri) as peer:
        for number in range(1, 258):
            peer.say("open", id=number, service="novel")
        assert error_of(peer)["code"] == "limit"


def test_more_gone_than_calls(served):
    """Who does not read answers gets no more than there may be calls."""
    with Peer(served.uri) as peer:
        peer.exec(BIG, "true")
        peer.hear_until("exit")
        # Nothing is read: first the sockets fill, then the answers wait.
        peer.connection.setblocking(False)
        piece = b"".join(struct.pack("<I", len(text)) + text for text in (
            json.dumps({"op": "open", "id": number, "service": "exec"}).encode() for number in range(1, 1000)))
        sent = 0
        try:
            while sent < 64 * MIB:
                sent += peer.connection.send(piece)
        except (BlockingIOError, ConnectionResetError, BrokenPipeError):
            pass
        peer.connection.settimeout(20)
    assert served.process.poll() is None


def test_calls_of_a_client_that_reads_nothing(served):
    """Outputs wait with their commands, and not in the daemon."""
    with Peer(served.uri) as peer:
        for number in range(1, 65):
            peer.exec(number, "head", "-c", str(4 * MIB), "/dev/zero", window=8 * MIB)
        before = served.memory_bytes()
        eventually(lambda: len(served.children()) >= 64)
        if not sanitizer():
            assert served.memory_bytes() - before < 64 * MIB
        opened = {peer.hear_until("opened")[0]["id"] for _ in range(64)}
        assert opened == set(range(1, 65))
        peer.say("bye")
    eventually(lambda: not served.children())


# ---- resuming ----

def test_stale_and_stolen(served, waybill):
    """The owner of a session is who knows its secret, and of two connections the later epoch's."""
    with Peer(served.uri, epoch=5) as peer:
        peer.exec(1, *FOREVER)
        peer.hear_until("opened")
        for epoch in (0, 1, 5):
            with Peer(served.uri, peer.session, peer.secret, epoch, greet=False) as late:
                late.hello()
                assert error_of(late)["code"] == ("stale" if epoch else "malformed")
        with Peer(served.uri, peer.session, None, 6, greet=False) as thief:
            thief.hello()
            assert error_of(thief)["code"] == "refused"
        with peer.again() as later:
            assert later.welcome["resumed"] is True
            assert error_of(peer)["code"] == "superseded"
            later.say("have", id=1)
            later.say("have", id=1, stream=1, offset=0)
            later.say("synced")
            assert later.hear_until("opened")[0]["id"] == 1
            [job] = jobs(waybill, served.uri).values()
            assert job["status"] == "running"
            later.say("cancel", id=1)
            assert later.hear_until("exit")[0]["outcome"] == "cancelled"


SAY_HELLO = """
import socket, struct, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
hello = sys.argv[2].encode()
connection.sendall(struct.pack("<I", len(hello)) + hello)
head = connection.recv(65536)
print(b'"welcome"' in head)
"""


def test_somebody_elses_session(daemon, second_user, waybill):
    """One who knows id and secret of a session, and may call, is still not who made it."""
    served = daemon("--listen", "tcp://127.0.0.1:0", "--allow-uid", second_user.uid)
    session, secret = os.urandom(16).hex(), os.urandom(32).hex()
    hello = json.dumps({"op": "hello", "waybill": 1, "session": session, "secret": secret, "epoch": 1,
                        "digests": ["xxh128"]})
    done = second_user.python(SAY_HELLO, served.port, hello)
    assert done.stdout == b"True\n", done.stderr
    with Peer(served.uri, session, secret, 2, greet=False) as thief:
        thief.hello()
        error = error_of(thief)
        assert error["code"] == "refused" and "somebody else" in error["text"], error


BAD_HAVES = [dict(id=1, stream=1, offset=BIG), dict(id=1, stream=0, offset=0), dict(id=1, stream=7, offset=0),
             dict(id=1, stream=1), dict(stream=1, offset=0), dict(id=1, stream=1, offset=-1)]


@pytest.mark.parametrize("have", BAD_HAVES, ids=known_by)
def test_bad_have(served, have):
    with Peer(served.uri) as peer:
        peer.exec(1, *FOREVER)
        peer.hear_until("opened")
        with peer.again() as later:
            later.say("have", **have)
            assert error_of(later)["code"] == "malformed"


def test_odd_syncing(served):
    """Unknown calls are passed over, and what is not listed is forgotten, once."""
    with Peer(served.uri) as peer:
        peer.exec(1, *FOREVER)
        opened, _ = peer.hear_until("opened")
        with peer.again() as later:
            for number in itertools.chain(range(2, 2000), [BIG]):
                later.say("have", id=number)
            later.say("synced")
            eventually(lambda: not is_running(opened["pid"]))
            later.exec(1, "true")
            assert later.hear_until("gone")[0]["id"] == 1
            later.say("synced")
            assert error_of(later)["code"] == "malformed"


def test_a_session_with_calls_stays_where_it_is(served, waybill):
    """Jobs are spread over the workers; to attach, a session goes to the job's, and cannot with calls of its own."""
    with Peer(served.uri) as one, Peer(served.uri) as other:
        for peer in (one, other):
            peer.exec(1, *FOREVER, on_disconnect="detach")
            peer.hear_until("opened")
    # Held for no longer than 300 ms, then detached: whoever looks may come late to the one.
    eventually(lambda: all(job["status"] in ("held", "detached") for job in jobs(waybill, served.uri).values()))
    with Peer(served.uri) as peer:
        peer.exec(1, "cat", up=[0])
        peer.hear_until("opened")
        told = []
        for number in (1, 2):
            peer.say("open", id=number + 1, service="attach", job=number, down=[1, 2])
            told.append(peer.hear_until("opened", "exit")[0])
        # One of the two, or with more workers both, run elsewhere.
        errors = [header["error"] for header in told if header["op"] == "exit"]
        assert errors in (["busy"], ["busy", "busy"]), told
        peer.say("data", b"still here", id=1, stream=0, offset=0)
        assert peer.hear_until("data")[1] == b"still here"
        peer.say("bye")


def test_superseded_without_an_end(served, waybill):
    """A client that comes again and again and reads nothing: what it left half read goes in time."""
    count = 100
    before = len(served.descriptors())
    with Peer(served.uri) as first:
        first.exec(1, "head", "-c", str(64 * MIB), "/dev/zero", window=8 * MIB, down=[1])
        first.hear_until("opened")
        peers = [first]
        for _ in range(count):
            peer = peers[-1].again()
            peer.say("have", id=1)
            peer.say("have", id=1, stream=1, offset=0)
            peer.say("synced")
            peer.hear_until("synced")
            peers.append(peer)
        assert jobs(waybill, served.uri)[1]["status"] == "running"
        for peer in peers:
            peer.connection.close()
    eventually(lambda: len(served.descriptors()) <= before + 1)


def test_cut_anywhere(served, waybill):
    """The same conversation, ended at every so many bytes: no trace of it stays."""
    session, secret = os.urandom(16).hex(), os.urandom(32).hex()
    texts = [{"op": "hello", "waybill": 1, "session": session, "secret": secret, "epoch": 1, "digests": ["xxh128"]},
             {"op": "open", "id": 1, "service": "exec", "argc": 1, "up": [0], "down": [1], "total_size": 4},
             {"op": "data", "id": 1, "stream": 0, "offset": 0, "total_size": 5}]
    raw = b"".join(struct.pack("<I", len(text)) + text + payload for text, payload in zip(
        (json.dumps(text).encode() for text in texts), (b"", b"cat\0", b"hello")))
    for end in range(0, len(raw) + 1, 7):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(served.uri[len("unix://"):])
            connection.sendall(raw[:end].replace(session.encode(), os.urandom(16).hex().encode()))
    eventually(lambda: not jobs(waybill, served.uri))
    eventually(lambda: not served.children())


def test_strangers_go_in_time(served):
    """Of those who have not said hello there are so many and no more: the oldest goes."""
    peers = [Peer(served.uri, greet=False) for _ in range(257)]
    assert peers[0].connection.recv(1) == b""
    peers[1].hello()
    assert peers[1].hear()[0]["op"] == "welcome"
    for peer in peers:
        peer.connection.close()


def test_half_a_parcel_and_a_half_close(served):
    with Peer(served.uri) as peer:
        peer.connection.sendall(struct.pack("<I", 100) + b'{"op":')
        peer.connection.shutdown(socket.SHUT_WR)
        assert peer.hear_all() == []

