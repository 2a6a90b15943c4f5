"""The clients of the comparison, and what their cases share: processes, turns, and failures."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmarks.clock import Clock, Pace
from benchmarks.environments import command, surroundings
from benchmarks.harness import Control, ServerProcess, part
from benchmarks.peer import CannotError, Peer, PeerError
from benchmarks.standings import Board, Transport
from benchmarks.tls import trusting

__all__ = ["CLIENTS", "LARGE", "Client", "Stage"]

MICRO = 1e6
LARGE = 2_000_000
"""Characters of a large result."""

Kind = Literal["ours", "variant", "official", "limit"]


@dataclass(frozen=True)
class Client:
    """A client in the comparison.

    Attributes:
        name: Its name in the tables.
        environment: The environment of its program.
        program: The program, in `peers/`.
        how: The arguments of the program.
        kind: Its origin; `variant` is this client with options, for the case about those.
        scheme: The scheme of the URL that it connects to, without the `s` of TLS: `ws`, or `http` for calls over HTTP.
    """

    name: str
    environment: str
    program: str
    how: tuple[str, ...]
    kind: Kind
    scheme: str = "ws"


CLIENTS = (
    Client("ours-blocking", "ours", "ours.py", ("blocking",), "ours"),
    Client("ours-futures", "ours", "ours.py", ("futures",), "ours"),
    Client("ours-asyncio", "ours", "ours_asyncio.py", (), "ours"),
    Client("ours-blocking+fast", "ours-fast", "ours.py", ("blocking",), "ours"),
    Client("ours-futures+fast", "ours-fast", "ours.py", ("futures",), "ours"),
    Client("ours-asyncio+fast", "ours-fast", "ours_asyncio.py", (), "ours"),
    Client("ours-unchecked", "ours", "ours.py", ("futures", "unchecked"), "variant"),
    Client("ours-store", "ours-store", "ours.py", ("futures", "store"), "variant"),
    Client("ours-once", "ours", "ours.py", ("futures", "once"), "variant"),
    Client("runware-sdk", "runware-sdk", "runware_sdk.py", (), "official"),
    Client("runware", "runware", "runware_old.py", (), "official"),
    Client("sdk-js", "sdk-js", "sdk_js.mjs", (), "official"),
    Client("bare", "ours", "bare.py", ("lean",), "limit"),
    Client("bare+orjson", "ours-fast", "bare.py", ("lean",), "limit"),
    Client("bare-default", "ours", "bare.py", ("default",), "limit"),
    Client("socket", "ours", "bare.py", ("socket",), "limit"),
)


@dataclass
class Stage:
    """The input of a case.

    Attributes:
        ports: The server's ports.
        control: The server's control port.
        directory: Where the environments are.
        clients: The clients to measure.
        runs: How often to measure.
        quick: Whether to do less.
        board: Where the results go.
        cores: The processors that the clients may use.
        folder: The certificate of the server, and temporary files of the clients.
        transport: Whether the clients connect over TLS.
        clock: The time that the cases may take, and have taken.
        certificate: The server's certificate, with its key; `None` without TLS.
        alone: Held by a client that is measured beside others while its figure depends on the processor.
    """

    ports: dict[str, int]
    control: Control
    directory: Path
    clients: Sequence[Client]
    runs: int
    quick: bool
    board: Board
    cores: set[int]
    folder: Path
    transport: Transport = "plain"
    clock: Clock = field(default_factory=lambda: Clock([], float("inf"), quick=False))
    certificate: Path | None = None
    alone: threading.Lock = field(default_factory=threading.Lock)
    _peers: dict[Client, Peer] = field(default_factory=dict)
    _servers: dict[str, Stage] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)
    _gate: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    @property
    def limit(self) -> float:
        """Seconds that a client may take for one command. What takes forever does so over TLS as well."""
        return 8.0 if self.quick else 30.0 if self.transport == "plain" else 20.0

    @property
    def waiters(self) -> list[Client]:
        """The clients measured while waiting. The forms of this one share that: a quick run leaves one out."""
        return self.among("ours", "official", fast=False, without=("ours-blocking",) * self.quick)

    def among(self, *kinds: Kind, fast: bool = True, without: Iterable[str] = ()) -> list[Client]:
        """Return the clients of a case; a quick comparison has none with orjson over TLS."""
        found = [client for client in self.clients if client.kind in kinds and client.name not in without]
        fast = fast and not (self.quick and self.transport == "tls")  # it costs time, and adds little
        return [client for client in found if fast or "+" not in client.name]

    @contextmanager
    def fresh(self, client: Client) -> Iterator[Peer]:
        """Yield a new process that connects, and end it afterwards."""
        with self._start(client) as peer:
            peer.tell("open", url=self.url(client))
            yield peer

    def environment(self, client: Client) -> dict[str, str]:
        """Return the environment variables of a client: it trusts the server's certificate."""
        return {**surroundings(client.environment), **trusting(self.folder), "TMPDIR": str(self.folder)}

    def _start(self, client: Client) -> Peer:
        line = command(self.directory, client.environment, client.program, *client.how)
        return Peer(line, self.environment(client), self.cores)

    def url(self, client: Client) -> str:
        """Return the URL that a client connects to."""
        if self.transport == "tls":
            return f"{client.scheme}s://127.0.0.1:{self.ports['tls']}/v1"
        return f"{client.scheme}://127.0.0.1:{self.ports['port']}/v1"

    def peer(self, client: Client) -> Peer:
        """Return the process that a client used before, or a new one."""
        peer = self._peers.get(client)
        if peer is None or not peer.alive:
            peer = self._peers[client] = self._start(client)
            peer.ask(self.limit, "open", url=self.url(client))
        return peer

    def dismiss(self) -> None:
        """End all processes."""
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()
        self.control("reset")

    @contextmanager
    def judging(self, client: Client, lines: Sequence[str]) -> Iterator[None]:
        """Record what a client took, and what it could not do. One that failed starts anew in the next case."""
        try:
            with self.clock.client(client.name):
                yield
        except CannotError as error:
            for line in lines:
                self.board.cell(line, client.name).note = str(error)
        except Exception as error:  # a row that says so, and not the end of the comparison
            if peer := self._peers.pop(client, None):
                peer.close()
            for line in lines:
                text = str(error) if isinstance(error, PeerError) else f"{type(error).__name__}: {error}"
                self.board.cell(line, client.name).failed = text

    def turns(
        self,
        clients: Sequence[Client],
        lines: Sequence[str],
        measure: Callable[[Client], Sequence[float]],
        *,
        slices: int = 1,
        samples: int = 0,
        once: bool = False,
        most: int | None = None,
        share: float = 1.0,
    ) -> None:
        """Measure the clients in turn, slice by slice, and enter one value per line.

        A client that fails is out. One that is slow has fewer slices in each run, at least one, and then fewer runs:
        see `Pace`.

        Args:
            clients: The clients to measure.
            lines: The lines to enter.
            measure: Returns a value for each line.
            slices: The number of turns per run.
            samples: How many samples a percentile of one turn is taken of.
            once: Whether a quick comparison has only one run.
            most: The number of runs that is enough, because the figure has little spread; `None` for all.
            share: The part of the time for the case that these lines may take.
        """
        runs = self.times(once=once, most=most)
        pace = Pace(clients, share * self.clock.seconds, runs, slices)
        for client in clients:
            self.board.cell(lines[0], client.name).wanted = runs * slices
            for line in lines:
                self.board.cell(line, client.name).samples = samples
        for _ in range(runs):
            left = pace.next_run()
            for client in left:
                self.board.begin(lines, client.name)
            for number in range(slices):
                for client in list(left):
                    if number and not pace.has_turn(client):
                        continue
                    started = self.clock.now()
                    with self.judging(client, lines):
                        self._enter(client, lines, measure(client))
                    pace.took(client, self.clock.now() - started)
                    if self.spoiled(lines[0], client):
                        pace.leave(client)
                        left.remove(client)

    def warm(
        self, clients: Sequence[Client], lines: Sequence[str], measure: Callable[[Client], object]
    ) -> list[Client]:
        """Let each client do once what is measured next, because a first time costs more; return those that can."""
        for client in clients:
            with self.judging(client, lines):
                measure(client)
        return [client for client in clients if not self.spoiled(lines[0], client)]

    def _enter(self, client: Client, lines: Sequence[str], values: Sequence[float]) -> None:
        for line, value in zip(lines, values, strict=True):
            self.board.cell(line, client.name).runs[-1].append(value)

    def together(
        self,
        clients: Sequence[Client],
        lines: Sequence[str],
        measure: Callable[[Stage, Client], Sequence[float]],
        *,
        once: bool = True,
        most: int | None = None,
        share: float = 1.0,
    ) -> None:
        """Measure clients that mostly wait, all at the same time, each with a server of its own.

        Args:
            clients: The clients to measure.
            lines: The lines to enter.
            measure: Returns a value for each line. It gets a stage with the client's own server, starts a process, and
                calls `meet` when that is ready, so that no start of another one disturbs what it measures.
            once: Whether a quick comparison has only one run.
            most: The number of runs that is enough; `None` for all.
            share: The part of the time for the case that these lines may take.
        """
        runs = self.times(once=once, most=most)
        seconds = share * self.clock.seconds
        left, spent = list(clients), dict.fromkeys(clients, 0.0)
        for client in clients:
            self.board.cell(lines[0], client.name).wanted = runs

        def take(own: Stage, client: Client) -> None:
            started = self.clock.now()
            with self.judging(client, lines):
                try:
                    self._enter(client, lines, measure(own, client))
                except BaseException:
                    own._gate.abort()
                    raise
            spent[client] += self.clock.now() - started

        with ThreadPoolExecutor(max(1, len(clients))) as pool:
            stages = {client: self._apart(client) for client in clients}
            for run in range(1, runs + 1):
                gate = threading.Barrier(max(1, len(left)))
                for client in left:
                    self.board.begin(lines, client.name)
                list(pool.map(take, [replace(stages[client], _gate=gate) for client in left], left))
                left = [one for one in left if not self.spoiled(lines[0], one)]
                left = [one for one in left if spent[one] * (run + 1) / run <= seconds]

    def _apart(self, client: Client) -> Stage:
        """Return this stage with the server that the client has for itself."""
        if client.name not in self._servers:
            ports = self._open.enter_context(ServerProcess(self.certificate))
            control = Control(ports["control"])
            self._open.callback(control.close)
            if self.cores != os.sched_getaffinity(0):
                part(control("usage")["pid"])
            self._servers[client.name] = replace(self, ports=ports, control=control, _peers={})
        return self._servers[client.name]

    def close(self) -> None:
        """End all processes, those of the servers of single clients as well."""
        self.dismiss()
        self._servers.clear()
        self._open.close()

    def meet(self) -> None:
        """Wait until all clients that are measured at the same time are ready, or one of them has failed."""
        with suppress(threading.BrokenBarrierError):
            self._gate.wait(self.limit)

    def side_by_side(
        self,
        clients: Sequence[Client],
        lines: Sequence[str],
        begin: Callable[[Client], None],
        end: Callable[[Client], Sequence[float]],
    ) -> None:
        """Measure clients that mostly wait, all at the same time; a quick comparison does so once.

        Args:
            clients: The clients to measure.
            lines: The lines to enter.
            begin: Tells a client what to do.
            end: Waits for a client, and returns a value for each line.
        """
        left = list(clients)
        for _ in range(self.times(once=True)):
            for client in left:
                self.board.begin(lines, client.name)
                with self.judging(client, lines):
                    begin(client)
            left = [client for client in left if not self.spoiled(lines[0], client)]
            for client in left:
                with self.judging(client, lines):
                    self._enter(client, lines, end(client))
            left = [client for client in left if not self.spoiled(lines[0], client)]

    def times(self, *, once: bool, most: int | None = None) -> int:
        """Return the number of runs; *once* is for what a quick comparison measures once, *most* a limit."""
        runs = 1 if self.quick and (once or self.transport == "tls") else self.runs
        return runs if most is None else min(runs, most)

    def spoiled(self, line: str, client: Client) -> bool:
        """Return whether a client failed, or cannot be measured."""
        cell = self.board.cell(line, client.name)
        return bool(cell.failed or cell.note)

    def one_by_one(self, client: Client) -> list[float]:
        """Return the microseconds and the CPU of a call, one after another."""
        count, warm = 200, 20
        peer = self.peer(client)
        peer.ask(self.limit, "serial", count=warm, seconds=0.05)  # it slept during the others' turns
        before = peer.cpu()
        found = peer.ask(self.limit, "serial", count=count, seconds=0.3)
        each = MICRO / found["count"]
        return [found["wall"] * each, (peer.cpu() - before) * each]

    def at_once(self, client: Client, count: int) -> list[float]:
        """Return the microseconds and the CPU of a call, with this number in flight."""
        peer = self.peer(client)
        before = peer.cpu()
        wall = self.flown(peer, count)
        return [wall / count * MICRO, (peer.cpu() - before) / count * MICRO]

    def flown(self, peer: Peer, count: int) -> float:
        """Put a number of calls in flight at once, and return the seconds until all have ended."""
        self.control("reset")
        self.control("hold", count=count)
        found = peer.ask(self.limit, "flight", count=count)
        if found["right"] < count:
            raise PeerError(f"{count - found['right']:,} of {count:,} failed: {found.get('error', '')}")
        wall: float = found["wall"]
        return wall

    def in_flight(self, peer: Peer, count: int) -> None:
        """Put a number of calls in flight, none of which the server answers."""
        self.control("reset")
        self.control("hold", count=1_000_000)
        peer.ask(self.limit, "wait", count=count)
        end = time.monotonic() + self.limit
        while self.control("ledger")["received"] < count:
            if time.monotonic() > end:
                raise PeerError(f"not all sent after {self.limit:g} s")
            time.sleep(0.01)
