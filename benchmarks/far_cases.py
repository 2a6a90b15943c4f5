"""The work that all clients do over a line with latency (`far.py`), in milliseconds and in round trips.

Each measurement opens a line of its own and starts a process of its own, so that nothing of an earlier one counts.
Most of the time is the line's, so a busy machine disturbs these figures less than those of the other cases; the round
trips are the same on any machine. That is why times are measured over one line only, of 100 ms, and round trips counted
over the others; and why clients are measured at the same time where they wait, each with a server of its own.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.environments import command
from benchmarks.far import Far
from benchmarks.harness import percentile
from benchmarks.peer import Peer, PeerError

if TYPE_CHECKING:
    from benchmarks.stage import Client, Kind, Stage

__all__ = ["CASES", "PLAIN_ONLY"]

MILLI, NANO = 1e3, 1e-9
USUAL = 100
"""The round trip of the line over which times are measured, in milliseconds."""
OTHERS = (20, 300)
"""Those of the lines over which round trips are counted; a quick comparison takes the first only."""
LARGE, INPUT = 2_000_000, 5_000_000
IN_FLIGHT = 100
SMALLEST = 120
"""Bytes that a task takes at least."""
STALL, SHORT = 2.0, 1.0
"""Seconds of a stall, and of one in a quick comparison."""
JITTER = 0.02
FUTURES, BLOCKING = "ours-futures", "ours-blocking"
ALL: tuple[Kind, ...] = ("ours", "official", "limit")


class Place:
    """Lines to the server, and clients at their near end.

    Args:
        stage: The input of the case.
        far: The relay.
    """

    def __init__(self, stage: Stage, far: Far) -> None:
        self.stage = stage
        self.far = far

    def of(self, own: Stage) -> Place:
        """Return a place with lines to the server of another stage."""
        return Place(own, self.far)

    def line(self, ms: int, jitter: float = 0.0) -> int:
        """Open a line with a round trip of this many milliseconds, and return its port."""
        server = self.stage.ports["tls" if self.stage.transport == "tls" else "port"]
        return self.far.line(server, ms / MILLI, jitter)

    def trips(self, port: int) -> float:
        """Return the round trips so far."""
        return float(self.far.stats(port)["trips"])

    @contextmanager
    def begun(self, client: Client, port: int) -> Iterator[Peer]:
        """Yield a new process that was told to connect through a line, and end it afterwards."""
        stage = self.stage
        line = command(stage.directory, client.environment, client.program, *client.how)
        with Peer(line, stage.environment(client), stage.cores) as peer:
            scheme = client.scheme + "s" * (stage.transport == "tls")
            peer.tell("open", url=f"{scheme}://127.0.0.1:{port}/v1")
            yield peer

    @contextmanager
    def connected(self, client: Client, port: int) -> Iterator[Peer]:
        """Yield a new process that is connected through a line, and has made a call."""
        with self.begun(client, port) as peer:
            peer.hear(self.stage.limit)
            peer.ask(self.stage.limit, "serial", count=1, seconds=self.stage.limit)
            self.stage.control("reset")
            self.far.control("reset", port=port)
            yield peer

    def fly(self, peer: Peer, *, surviving: bool = False) -> None:
        """Put calls in flight, none of which the server answers."""
        self.stage.control("hold", count=1_000_000)
        peer.tell("flight", count=IN_FLIGHT, **({"surviving": True} if surviving else {}))

    def wait(self, there: Callable[[], bool]) -> None:
        """Wait until something has come to pass.

        Raises:
            PeerError: It did not, within the time of a command.
        """
        end = time.monotonic() + self.stage.limit
        while not there():
            if time.monotonic() > end:
                raise PeerError(f"not all sent after {self.stage.limit:g} s")
            time.sleep(0.001)

    def received(self) -> bool:
        """Return whether the server has all calls."""
        return bool(self.stage.control("ledger")["received"] >= IN_FLIGHT)

    def landed(self, peer: Peer, client: Client, line: str) -> list[float]:
        """Wait for the calls in flight, and return the seconds, how many failed, and how many ran more than once."""
        started = time.perf_counter()
        found = peer.hear(min(self.stage.limit / 2, 12.0))
        took = time.perf_counter() - started
        if found.get("error"):
            self.stage.board.cell(line, client.name).note = found["error"]
        return [took, IN_FLIGHT - found["right"], self.stage.control("ledger")["executed"] - IN_FLIGHT]


@contextmanager
def placed(stage: Stage) -> Iterator[Place]:
    """Yield a relay, which does not share a core with the clients if there are two."""
    stage.dismiss()
    with Far(os.sched_getaffinity(0) - stage.cores) as far:
        yield Place(stage, far)


def chosen(stage: Stage, *kinds: Kind, form: str = FUTURES) -> list[Client]:
    """Return the clients of a case. A quick run takes one of our interface forms."""
    found = stage.among(*kinds, fast=False, without=("bare-default", "socket"))
    return [client for client in found if client.kind != "ours" or not stage.quick or client.name == form]


def over_http(clients: list[Client]) -> list[Client]:
    """Return the same clients for calls over HTTP."""
    return [replace(client, scheme="http") for client in clients]


def relay(stage: Stage) -> None:
    """The relay's own error: round trips of one byte over a line of 20 ms, beyond those and a direct one."""
    ms, count = 20, 30 if stage.quick else 70
    port = stage.ports["echo"]
    with placed(stage) as place:
        for _ in range(stage.runs):
            direct = percentile(_round_trips(port, count), 0.5)
            lags = [one - direct - ms / MILLI for one in _round_trips(place.far.line(port, ms / MILLI), count)]
            for line, part in (("far.median", 0.5), ("far.p99", 0.99)):
                stage.board.begin([line], "relay")
                stage.board.cell(line, "relay").runs[-1].append(percentile(lags, part) * MILLI)


def _round_trips(port: int, count: int) -> list[float]:
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(count + 1):
            started = time.perf_counter()
            sock.sendall(b"x")
            sock.recv(1)
            if number:  # the first waits for the handshake too
                found.append(time.perf_counter() - started)
    return found


def first(stage: Stage) -> None:
    """From the start of a new process to its first result.

    The protocol needs four round trips for that: TCP, the upgrade, the authentication and the task; TLS 1.3 needs one
    more. Over HTTP they are two: TCP and the task.
    """

    def measure(client: Client) -> list[float]:
        port = place.line(USUAL)
        with place.begun(client, port) as peer:
            peer.tell("serial", count=1, seconds=stage.limit)
            peer.hear(stage.limit)
            peer.hear(stage.limit)
            return [(time.perf_counter() - peer.started) * MILLI, place.trips(port)]

    def count(ms: int, own: Stage, client: Client) -> list[float]:
        here = place.of(own)
        port = here.line(ms)
        with here.begun(client, port) as peer:
            peer.tell("serial", count=1, seconds=own.limit)
            peer.hear(own.limit)
            peer.hear(own.limit)
            return [here.trips(port)]

    with placed(stage) as place:
        clients = chosen(stage, *ALL, form=BLOCKING)
        for ms in OTHERS[: 1 if stage.quick else None]:
            stage.together(clients, (f"far-first.{ms}.trips",), partial(count, ms), most=1)
        stage.turns(clients, ("far-first.100", "far-first.100.trips"), measure, once=True, share=0.65)
        stage.turns(over_http(clients), ("far-first.http", "far-first.http.trips"), measure, once=True, share=0.35)


def calls(stage: Stage) -> None:
    """One call after another, and 100 in flight at once, on a connection that was used before; both over HTTP too."""

    def measure(own: Stage, client: Client) -> list[float]:
        here = place.of(own)
        port = here.line(USUAL)
        with here.connected(client, port) as peer:
            own.meet()
            found = peer.ask(own.limit, "serial", count=3 if own.quick else 10, seconds=own.limit)
            trips = here.trips(port)
            with own.alone:
                flight = own.flown(peer, IN_FLIGHT)
            return [found["wall"] / found["count"] * MILLI, trips / found["count"], flight * MILLI]

    def count(ms: int, own: Stage, client: Client) -> list[float]:
        here = place.of(own)
        port = here.line(ms)
        with here.connected(client, port) as peer:
            found = peer.ask(own.limit, "serial", count=3, seconds=own.limit)
            return [here.trips(port) / found["count"]]

    with placed(stage) as place:
        clients = chosen(stage, *ALL)
        for ms in OTHERS[: 1 if stage.quick else None]:
            stage.together(clients, (f"far-calls.{ms}.trips",), partial(count, ms), most=1)
        lines = ("far-calls.100", "far-calls.100.trips", "far-calls.100.flight")
        stage.together(clients, lines, measure, share=0.5)
        lines = ("far-calls.http", "far-calls.http.trips", "far-calls.http.flight")
        stage.together(over_http(clients), lines, measure, share=0.4)


def large(stage: Stage) -> None:
    """Results of 2 MB in base64, and inputs of 5 MB, one after another."""
    count = 1 if stage.quick else 2

    def measure(own: Stage, client: Client) -> list[float]:
        here = place.of(own)
        with here.connected(client, here.line(USUAL)) as peer:
            own.meet()
            with own.alone:
                sizes = {"large": LARGE, "upload": INPUT}
                found = [peer.ask(own.limit, do, count=count, size=size) for do, size in sizes.items()]
            return [one["wall"] / count * MILLI for one in found]

    with placed(stage) as place:
        stage.together(chosen(stage, *ALL), ("far-large.results", "far-large.inputs"), measure, most=3)


def polled(stage: Stage) -> None:
    """From the end of an asynchronous task at the server to its caller, for 20 tasks of 0.5 to 1.5 s."""
    durations = [500 + 1_000 * number // 19 for number in range(20)]

    def measure(own: Stage, client: Client) -> list[float]:
        here = place.of(own)
        with here.connected(client, here.line(USUAL)) as peer:
            own.meet()
            found = peer.ask(own.limit + 3, "polled", ms=durations, spacing=0.0037)["lags"]
            lags = [lag * NANO * MILLI for lag in found]
            return [percentile(lags, 0.5), max(lags), own.control("ledger")["poll_frames"]]

    with placed(stage) as place:
        lines = ("far-polled.100", "far-polled.100.worst", "far-polled.100.frames")
        stage.together(chosen(stage, "ours", "official"), lines, measure)


def drop(stage: Stage) -> None:
    """A reset of both ends with 100 calls in flight that the server has; and before any of them has arrived there.

    In the second case, the server knows nothing of the tasks, so that they have to be sent again.
    """

    def measure(name: str, arrived: bool, own: Stage, client: Client) -> list[float]:
        here = place.of(own)
        port = here.line(USUAL)
        with here.connected(client, port) as peer:
            own.meet()
            with own.alone:
                if not arrived:
                    here.far.control("stall", port=port, seconds=60.0)
                before = here.far.stats(port)["up"]
                here.fly(peer, surviving=True)
                if arrived:
                    here.wait(here.received)
                else:
                    here.wait(lambda: bool(here.far.stats(port)["up"] > before + IN_FLIGHT * SMALLEST))
                    time.sleep(0.05)  # for the rest of them
                    own.control("reset")  # so that it answers the tasks at once when they come
                here.far.control("reset", port=port)
                here.far.control("drop", port=port)
                here.far.control("stall", port=port, seconds=0.0)
            took, lost, doubled = here.landed(peer, client, f"{name}.lost")
            return [took, here.trips(port), lost, doubled]

    with placed(stage) as place:
        clients = chosen(stage, "ours", "official")
        for name, arrived in (("far-drop", True), ("far-drop.again", False)):
            lines = [f"{name}.{what}" for what in ("time", "trips", "lost", "doubled")]
            if arrived or stage.transport == "plain" or not stage.quick:
                stage.together(clients, lines, partial(measure, name, arrived), share=0.5)


def stall(stage: Stage) -> None:
    """A line of 100 ms with up to 20 ms of jitter each way stalls for 2 s, with 100 calls in flight; 1 s if quick."""

    def measure(own: Stage, client: Client) -> list[float]:
        here = place.of(own)
        port = here.line(USUAL, jitter=JITTER)
        with here.connected(client, port) as peer:
            own.meet()
            here.fly(peer)
            here.wait(here.received)
            here.far.control("stall", port=port, seconds=SHORT if own.quick else STALL)
            own.control("release")
            return here.landed(peer, client, "far-stall.lost")

    with placed(stage) as place:
        lines = ("far-stall.time", "far-stall.lost", "far-stall.doubled")
        stage.together(chosen(stage, *ALL), lines, measure, most=3)


CASES: dict[str, Callable[[Stage], None]] = {
    "far": relay,
    "far-first": first,
    "far-calls": calls,
    "far-large": large,
    "far-polled": polled,
    "far-drop": drop,
    "far-stall": stall,
}
"""Each case by its name."""
PLAIN_ONLY = frozenset(("far", "far-calls", "far-large", "far-polled", "far-stall"))
"""Cases in which TLS adds bytes, and no round trips."""
