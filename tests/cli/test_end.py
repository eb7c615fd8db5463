"""The end of a daemon while much is on its way from thread to thread. (What it loses of that, a sanitizer tells
at its end.)"""

import threading

from conftest import eventually, wait_exit
from parcels import Peer
from sessions import FOREVER, jobs


def keep_coming(uri, stop, *argv):
    """Sessions without end: each moves to a job, or is new and says nothing more."""
    number = 0
    while not stop.is_set():
        number += 1
        try:
            peer = Peer(uri, greet=False)
            peer.hello()
            if argv:
                peer.say("open", id=1, service="attach", job=argv[number % len(argv)], up=[0], down=[1, 2])
            if number % 2:
                peer.hear_until("exit", "opened") if argv else peer.hear()
            peer.connection.close()
        except (OSError, EOFError):
            continue


def test_a_hasty_end_in_a_crowd(daemon, waybill, tmp_path):
    """Told to end twice while sessions come and move: it ends, and keeps nothing."""
    for turn in range(5):
        served = daemon("--listen", f"unix://{tmp_path}/{turn}")
        with Peer(served.uri) as one, Peer(served.uri) as other:
            for peer in (one, other):
                peer.exec(1, *FOREVER, on_disconnect="detach")
                peer.hear_until("opened")
        eventually(lambda: [job["status"] for job in jobs(waybill, served.uri).values()] == ["held", "held"])
        stop = threading.Event()
        crowd = [threading.Thread(target=keep_coming, args=(served.uri, stop, *[1, 2][:number % 3]))
                 for number in range(6)]
        for member in crowd:
            member.start()
        eventually(lambda: len(served.descriptors()) > 20, 5)
        served.process.terminate()
        served.process.terminate()
        assert wait_exit(served.process) == 0
        stop.set()
        for member in crowd:
            member.join()


def test_an_end_waits_for_who_is_on_the_way(daemon, waybill, tmp_path):
    """A session that is between two workers when the daemon is told to end is there, and is waited for."""
    served = daemon("--listen", f"unix://{tmp_path}/s")
    with Peer(served.uri) as one, Peer(served.uri) as other:
        for peer in (one, other):
            peer.exec(1, "cat", up=[0], on_disconnect="detach")
            peer.hear_until("opened")
    eventually(lambda: [job["status"] for job in jobs(waybill, served.uri).values()] == ["held", "held"])
    peers = [Peer(served.uri) for _ in range(2)]
    for number, peer in enumerate(peers):
        peer.say("open", id=1, service="attach", job=number + 1, up=[0], down=[1, 2])
    told = [peer.hear_until("opened", "exit")[0]["op"] for peer in peers]
    assert told == ["opened", "opened"]
    served.process.terminate()
    for peer in peers:
        peer.say("eof", id=1, stream=0, offset=0, **{"from": 0})
        assert peer.hear_until("exit")[0]["code"] == 0
        peer.say("forget", id=1)
        assert peer.hear_until("bye")
        peer.connection.close()
    assert wait_exit(served.process) == 0
