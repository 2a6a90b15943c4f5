"""The work that all clients do over a line with latency (`far.py`), in milliseconds and in round trips.

Each measurement opens a line of its own and starts a process of its own, so that nothing of an earlier one counts.
Most of the time is the line's, so a busy machine disturbs these figures less than those of the other cases; the round
trips are the same on any machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environments import command, surroundings
from benchmarks.far import Far
from benchmarks.harness import environment, percentile
from benchmarks.peer import CannotError, Peer, PeerError

if TYPE_CHECKING:
    from benchmarks.contest import Client, Kind, Stage

__all__ = ["CASES"]

MILLI, NANO = 1e3, 1e-9
RTTS = (20, 100, 300)
"""Round trips in milliseconds."""
USUAL = 100
"""The round trip of what is measured over one line only, in milliseconds."""
LARGE, INPUT = 2_000_000, 5_000_000
IN_FLIGHT = 100
STALL = 2.0
JITTER = 0.02
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

    def line(self, ms: int, jitter: float = 0.0, to: int | None = None) -> int:
        """Open a line with a round trip of this many milliseconds, and return its port."""
        return self.far.line(to or self.stage.ports["port"], ms / MILLI, jitter)

    def trips(self, port: int) -> float:
        """Return the round trips so far."""
        return float(self.far.stats(port)["trips"])

    @contextmanager
    def begun(self, client: Client, port: int, env: dict[str, str] | None = None) -> Iterator[Peer]:
        """Yield a new process that was told to connect through a line, and end it afterwards."""
        line = command(self.stage.directory, client.environment, client.program, *client.how)
        with Peer(line, surroundings(client.environment) | (env or {}), self.stage.cores) as peer:
            peer.tell("open", url=f"{client.scheme}://127.0.0.1:{port}/v1")
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

    def fly(self, peer: Peer, **more: bool) -> None:
        """Put calls in flight, none of which the server answers, and wait until it has all of them."""
        self.stage.control("hold", count=1_000_000)
        peer.tell("flight", count=IN_FLIGHT, **more)
        end = time.monotonic() + self.stage.limit
        while self.stage.control("ledger")["received"] < IN_FLIGHT:
            if time.monotonic() > end:
                raise PeerError(f"not all sent after {self.stage.limit:g} s")
            time.sleep(0.001)

    def landed(self, peer: Peer, client: Client, case: str) -> list[float]:
        """Wait for the calls in flight, and return the seconds, how many failed, and how many ran more than once."""
        started = time.perf_counter()
        found = peer.hear(self.stage.limit + 30.0 * (not self.stage.quick))
        took = time.perf_counter() - started
        if found.get("error"):
            self.stage.board.cell(f"{case}.lost", client.name).note = found["error"]
        return [took, IN_FLIGHT - found["right"], self.stage.control("ledger")["executed"] - IN_FLIGHT]


@contextmanager
def placed(stage: Stage) -> Iterator[Place]:
    """Yield a relay, which does not share a core with the clients if there are two."""
    stage.dismiss()
    with Far(os.sched_getaffinity(0) - stage.cores) as far:
        yield Place(stage, far)


def clients(stage: Stage, *kinds: Kind, form: str = "ours-futures") -> list[Client]:
    """Return the clients of a case. A quick run takes one of our interface forms."""
    found = stage.among(*kinds, fast=False, without=("tcp", "bare-default"))
    return [client for client in found if client.kind != "ours" or not stage.quick or client.name == form]


def rtts(stage: Stage) -> tuple[int, ...]:
    """Return the round trips to measure, in milliseconds."""
    return (USUAL,) if stage.quick else RTTS


def relay(stage: Stage) -> None:
    """The relay's own error: round trips of one byte over a line of 20 ms, without those that a direct line needs."""
    ms, count = RTTS[0], 50 if stage.quick else 200
    with placed(stage) as place:
        echo = stage.ports["echo"]
        for _ in range(stage.runs):
            direct = percentile(_round_trips(echo, count), 0.5)
            lags = [one - direct - ms / MILLI for one in _round_trips(place.line(ms, to=echo), count)]
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

    A WebSocket needs at least four round trips for that: TCP, the upgrade, the authentication and the task. TLS 1.3
    needs one more, and HTTP without TLS two: TCP and the task.
    """
    form = "ours-blocking"
    with placed(stage) as place:
        for ms in rtts(stage):
            _first(place, f"far-first.{ms}", ms, clients(stage, *ALL, form=form))
        over_http = [replace(one, scheme="http") for one in clients(stage, *ALL, form=form)]
        _first(place, "far-first.http", USUAL, over_http)
        official = clients(stage, "ours", "official", form=form)
        secure = [replace(client, scheme="wss") for client in official]
        try:
            with tls_server(stage) as (port, env):
                for ms in rtts(stage):
                    _first(place, f"far-first.tls.{ms}", ms, secure, to=port, env=env)
        except CannotError as error:
            stage.board.cell("far-first.tls.100", form).note = f"no server for TLS: {error}"


def _first(
    place: Place,
    name: str,
    ms: int,
    chosen: list[Client],
    *,
    to: int | None = None,
    env: dict[str, str] | None = None,
) -> None:
    stage = place.stage

    def measure(client: Client) -> list[float]:
        port = place.line(ms, to=to)
        with place.begun(client, port, env) as peer:
            peer.tell("serial", count=1, seconds=stage.limit)
            peer.hear(stage.limit)
            peer.hear(stage.limit)
            return [(time.perf_counter() - peer.started) * MILLI, place.trips(port)]

    stage.turns(chosen, (name, f"{name}.trips"), measure, once=True, patience=60.0)


@contextmanager
def tls_server(stage: Stage) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield a port that speaks TLS, and the environment variables with which clients trust its certificate.

    It is the server's own port for TLS if there is one, else `runware.local`, which is slower by less than 10 ms.

    Raises:
        CannotError: There is neither.
    """
    try:
        import trustme
    except ImportError:
        raise CannotError("trustme is not installed") from None
    with tempfile.TemporaryDirectory() as directory:
        authority, file = Path(directory) / "authority.pem", Path(directory) / "server.pem"
        made = trustme.CA()
        made.cert_pem.write_to_path(str(authority))
        made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))
        line = [sys.executable, "-m", "runware.local", "--port", "0", "--key", "bench", "--delay", "0"]
        process = subprocess.Popen(
            [*line, "--cert", str(file)], stdout=subprocess.PIPE, env=environment(), text=True, bufsize=1
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise CannotError("runware.local does not start")
            port = int(url.rpartition(":")[2].partition("/")[0])
            yield port, {"SSL_CERT_FILE": str(authority), "NODE_EXTRA_CA_CERTS": str(authority)}
        finally:
            process.terminate()
            process.communicate(timeout=10)


def calls(stage: Stage) -> None:
    """One call after another, and 100 in flight at once, on a connection that was used before; both over HTTP too."""
    count = 5
    lines = {ms: [f"far-calls.{ms}", f"far-calls.{ms}.trips", f"far-calls.{ms}.flight"] for ms in rtts(stage)}

    def measure(client: Client, ms: int) -> list[float]:
        port = place.line(ms)
        with place.connected(client, port) as peer:
            found = peer.ask(stage.limit, "serial", count=count, seconds=stage.limit)
            trips = place.trips(port)
            stage.control("hold", count=IN_FLIGHT)
            flown = peer.ask(stage.limit, "flight", count=IN_FLIGHT)
            if flown["right"] < IN_FLIGHT:
                raise PeerError(f"{IN_FLIGHT - flown['right']} of {IN_FLIGHT} failed: {flown.get('error', '')}")
            return [found["wall"] / found["count"] * MILLI, trips / found["count"], flown["wall"] * MILLI]

    with placed(stage) as place:
        for ms, names in lines.items():
            stage.turns(clients(stage, *ALL), names, lambda client, ms=ms: measure(client, ms), once=True)  # type: ignore[misc]
        over_http = [replace(client, scheme="http") for client in clients(stage, *ALL)]
        names = ["far-calls.http", "far-calls.http.trips", "far-calls.http.flight"]
        stage.turns(over_http, names, lambda client: measure(client, USUAL), once=True)


def large(stage: Stage) -> None:
    """Results of 2 MB in base64, and inputs of 5 MB, one after another."""
    count = 3

    def each(client: Client, do: str, size: int) -> list[float]:
        port = place.line(USUAL)
        with place.connected(client, port) as peer:
            found = peer.ask(stage.limit, do, count=count, size=size)
            return [found["wall"] / count * MILLI]

    with placed(stage) as place:
        chosen = clients(stage, *ALL)
        stage.turns(chosen, ["far-large.results"], lambda client: each(client, "large", LARGE), once=True)
        stage.turns(chosen, ["far-large.inputs"], lambda client: each(client, "upload", INPUT), once=True)


def polled(stage: Stage) -> None:
    """From the end of an asynchronous task at the server to its caller, for 20 tasks of 0.5 to 1.5 s."""
    ms = [500 + 50 * number for number in range(20)]

    def measure(client: Client) -> list[float]:
        port = place.line(USUAL)
        with place.connected(client, port) as peer:
            lags = peer.ask(stage.limit + 3, "polled", ms=ms, spacing=0.0037)["lags"]
            frames = stage.control("ledger")["poll_frames"]
            return [percentile(lags, 0.5) * NANO * MILLI, max(lags) * NANO * MILLI, frames]

    with placed(stage) as place:
        names = ["far-polled.median", "far-polled.worst", "far-polled.frames"]
        stage.turns(clients(stage, "ours", "official"), names, measure, once=True)


def drop(stage: Stage) -> None:
    """From a reset, with 100 calls in flight that the server has, to the end of all of them."""

    def measure(client: Client) -> list[float]:
        port = place.line(USUAL)
        with place.connected(client, port) as peer:
            place.fly(peer, surviving=True)
            place.far.control("reset", port=port)
            place.far.control("drop", port=port)
            took, lost, doubled = place.landed(peer, client, "far-drop")
            return [took, place.trips(port), lost, doubled]

    with placed(stage) as place:
        names = ["far-drop.time", "far-drop.trips", "far-drop.lost", "far-drop.doubled"]
        stage.turns(clients(stage, "ours", "official"), names, measure, once=True)


def stall(stage: Stage) -> None:
    """A line of 100 ms with up to 20 ms of jitter each way stalls for 2 s, with 100 calls in flight."""

    def measure(client: Client) -> list[float]:
        port = place.line(USUAL, jitter=JITTER)
        with place.connected(client, port) as peer:
            place.fly(peer)
            place.far.control("stall", port=port, seconds=STALL)
            stage.control("release")
            return place.landed(peer, client, "far-stall")

    with placed(stage) as place:
        names = ["far-stall.time", "far-stall.lost", "far-stall.doubled"]
        stage.turns(clients(stage, *ALL), names, measure, once=True)


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
