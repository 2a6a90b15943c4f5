"""The soak: the server's process, the callers, the drops, and the moments in which everything is measured."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import ssl
import tempfile
import threading
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs
import trustme

from .asynchronous import Asynchronous
from .call_log import CallLog
from .clients import PATIENCE, Clients
from .growth import WARM_UP, Census, Sample
from .pacing import Gate, Pace
from .plants import Plants
from .report import Findings, growth, report, row
from .server import DROPS, FIRST_KEY, serve
from .threaded import Threaded

__all__ = ["Settings", "soak"]

Turn = Callable[[random.Random], None]
AsyncTurn = Callable[[random.Random], Coroutine[Any, Any, None]]

_INTERIM = 10
"""Samples after which the growth so far is shown."""
_SETTLING = 15.0
"""Seconds in which a client must have no task left after the last call has ended."""


@attrs.frozen
class Settings:
    """What is asked for.

    Attributes:
        seconds: How long calls are made.
        rate: Calls a second.
        seed: Of sizes, drops and random moments.
        traced: Whether allocations are traced.
        planted: Faults that are planted.
    """

    seconds: float
    rate: float
    seed: int
    traced: bool = False
    planted: list[str] = attrs.Factory(list)

    @property
    def scale(self) -> float:
        """The share of a minute that the run has, at most 1: short runs have shorter tasks and pauses."""
        return min(1.0, self.seconds / 60.0)

    @property
    def moments(self) -> int:
        """How often everything is held and measured: once a minute in an hour."""
        return max(5, min(60, int(self.seconds / 10)))

    @property
    def limit(self) -> int:
        """More calls than there can be."""
        return int(self.rate * self.seconds * 2) + 50_000


@attrs.frozen
class Caller:
    """One or several callers of one kind.

    Attributes:
        turn: Makes one turn.
        workers: How many callers there are.
        share: Their share of all calls.
        calls: The mean number of calls of a turn.
    """

    turn: Any
    workers: int
    share: float
    calls: float = 1.0

    def paces(self, gate: Gate, settings: Settings) -> list[Pace]:
        """Return the pace of each worker."""
        rate = settings.rate * self.share / self.calls / self.workers
        name = self.turn.__qualname__
        return [Pace(gate, rate, f"{settings.seed} {name} {worker}") for worker in range(self.workers)]


def threaded(clients: Clients, call_log: CallLog, settings: Settings) -> list[Caller]:
    """Return the callers that work in threads."""
    does = Threaded(clients, call_log, settings.seed)
    callers = [
        Caller(does.small, 4, 0.32),
        Caller(does.futures, 2, 0.21, 20),
        Caller(does.mapped, 1, 0.06, 20),
        Caller(does.cancelled, 2, 0.04, 10),
        Caller(does.http, 2, 0.03),
        Caller(does.durable, 1, 0.015, 5),
        Caller(does.durable_run, 1, 0.01, 10),
        Caller(does.polled, 3, 0.006),
        Caller(does.video, 1, 0.002),
        Caller(does.stream, 1, 0.003),
        Caller(does.stream_left, 1, 0.002),
        Caller(does.stream_job, 1, 0.002),
        Caller(does.chat, 1, 0.003, 2),
        Caller(does.tools, 1, 0.001),
        Caller(does.upload, 1, 0.002),
        Caller(does.stored_input, 1, 0.001),
        Caller(does.large_result, 2, 0.0007),
        Caller(does.large_input, 1, 0.0004),
        Caller(does.client, 1, 0.0015),
        Caller(does.fork, 1, 0.0004),
    ]
    if settings.planted:
        callers.append(Caller(Plants(clients, call_log, settings.planted).plant, 1, 0.02))
    return callers


def asynchronous(clients: Clients, call_log: CallLog) -> list[Caller]:
    """Return the callers that work in an event loop."""
    does = Asynchronous(clients, call_log)
    return [
        Caller(does.gathered, 2, 0.21, 20),
        Caller(does.mapped, 1, 0.04, 20),
        Caller(does.cancelled, 1, 0.03, 10),
        Caller(does.http_gathered, 1, 0.01, 5),
        Caller(does.stream, 2, 0.003),
        Caller(does.chat, 1, 0.001),
        Caller(does.client, 1, 0.0007),
    ]


class Crew:
    """All callers, each in a thread, and those of the event loop in one thread.

    Args:
        gate: Holds them.
        settings: What is asked for.
        clients: The clients.
        call_log: Where each call is recorded.
    """

    def __init__(self, gate: Gate, settings: Settings, clients: Clients, call_log: CallLog) -> None:
        self.crashes: list[str] = []
        self._gate = gate
        self._settings = settings
        self._threaded = threaded(clients, call_log, settings)
        self._asynchronous = asynchronous(clients, call_log)
        self._threads: list[threading.Thread] = []

    def warm_up(self) -> None:
        """Make one turn of each kind, so that all modules are loaded."""
        rng = random.Random(self._settings.seed)

        async def turns() -> None:
            for caller in self._asynchronous:
                await caller.turn(rng)

        for caller in self._threaded:
            caller.turn(rng)
        asyncio.run(turns())

    def start(self) -> None:
        """Start all."""
        self._threads = [
            threading.Thread(target=self._work, args=(caller.turn, pace), name="caller", daemon=True)
            for caller in self._threaded
            for pace in caller.paces(self._gate, self._settings)
        ]
        self._threads.append(threading.Thread(target=self._loop, name="caller-loop", daemon=True))
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> list[str]:
        """Wait for all, and return the names of those that hang."""
        patience = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.1, patience - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _work(self, turn: Turn, pace: Pace) -> None:
        try:
            for rng in pace.turns():
                turn(rng)
        except Exception:
            # It must show in the report.
            self.crashes.append(traceback.format_exc())

    async def _work_async(self, turn: AsyncTurn, pace: Pace) -> None:
        async for rng in pace.turns_async():
            await turn(rng)

    def _loop(self) -> None:
        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for caller in self._asynchronous:
                    for pace in caller.paces(self._gate, self._settings):
                        group.create_task(self._work_async(caller.turn, pace))

        try:
            asyncio.run(main())
        except Exception:
            # It must show in the report.
            self.crashes.append(traceback.format_exc())


class Soak:
    """One soak.

    Args:
        settings: What is asked for.
        clients: The clients.
        pipe: Leads to the server.
        process: The server's process.
        folder: For files.
    """

    def __init__(self, settings: Settings, clients: Clients, pipe: Connection, process: int, folder: Path) -> None:
        self.found = Findings(CallLog(settings.limit))
        self._settings = settings
        self._clients = clients
        self._pipe = pipe
        self._process = process
        self._gate = Gate()
        self._crew = Crew(self._gate, settings, clients, self.found.call_log)
        self._random = random.Random(settings.seed)
        self._warm = int(settings.moments * WARM_UP)
        self._snapshot = str(folder / "allocations")  # in a file, as it would count as growth itself
        self._start = 0.0

    def run(self) -> Findings:
        """Make calls until the time is over, and return what was found."""
        settings, found = self._settings, self.found
        before = threading.active_count()
        self._crew.warm_up()
        self._start = time.monotonic()
        self._crew.start()
        interval = settings.seconds / settings.moments
        next_moment, next_drop = self._start + interval, self._start + 1.0
        while len(found.samples) < settings.moments and not found.stuck:
            now = time.monotonic()
            if now >= next_moment:
                self._measure()
                next_moment = max(next_moment + interval, now + interval / 2)
            elif now >= next_drop:
                self._drop()
                next_drop = now + self._random.uniform(1.0, max(1.5, 8.0 * settings.scale))
            time.sleep(max(0.0, min(next_moment, next_drop, time.monotonic() + 0.25) - time.monotonic()))
        self._gate.end()
        found.hanging = self._crew.join(0.1 if found.stuck else PATIENCE)
        found.crashes = self._crew.crashes
        found.cpu = time.process_time()
        found.seconds = time.monotonic() - self._start
        found.lost_connections = self._clients.main.stats.drops
        self._clients.close()
        self._pipe.send("stop")
        found.account = self._pipe.recv()
        found.threads_left = threading.active_count() - before - len(found.hanging)
        return found

    def _drop(self) -> None:
        (how,) = self._random.choices(list(DROPS), list(DROPS.values()))
        self.found.drops[how] += 1
        self._pipe.send(how)

    def _measure(self) -> None:
        """Hold all callers, check that nothing is left of their calls, and measure."""
        found = self.found
        found.stuck = not self._gate.close(PATIENCE + 30.0)
        patience = time.monotonic() + _SETTLING
        while (pending := self._clients.pending()) and time.monotonic() < patience:
            time.sleep(0.01)
        found.leftovers = max(found.leftovers, pending)
        sample = Sample.take(self._start, found.call_log.begun)
        found.samples.append(sample)
        row(sample, found, self._process)
        if len(found.samples) % _INTERIM == 0:
            growth(found)
        if len(found.samples) == self._warm + 1:
            found.census = Census()
            if self._settings.traced:
                tracemalloc.start()
        elif len(found.samples) == self._warm + 2 and self._settings.traced:
            tracemalloc.take_snapshot().dump(self._snapshot)
        elif len(found.samples) == self._settings.moments and found.census is not None:
            found.more = Census().grown_since(found.census)
            if self._settings.traced:
                lines = tracemalloc.take_snapshot().compare_to(tracemalloc.Snapshot.load(self._snapshot), "lineno")
                found.lines = [str(line) for line in lines[:15]]
        self._renew_key()
        self._gate.open()

    def _renew_key(self) -> None:
        """Let the server accept another key, and end the connections, so that clients ask for the key again."""
        self.found.drops["rst"] += 1
        self._clients.key = f"{FIRST_KEY}-{len(self.found.samples)}"
        self._pipe.send(self._clients.key)
        self._pipe.recv()  # it does


def soak(settings: Settings) -> int:
    """Run a soak, print its report, and return the exit code."""
    # The callers fork beside threads on purpose.
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    processes = multiprocessing.get_context("spawn")
    pipe, theirs = processes.Pipe()
    pem = certificate.private_key_and_cert_chain_pem.bytes()
    server = processes.Process(target=serve, args=(theirs, pem, settings.limit, settings.scale), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RUNWARE_CACHE"] = folder
        clients = Clients(pipe.recv(), context, Path(folder))
        found = Soak(settings, clients, pipe, server.pid or 0, Path(folder)).run()
    server.join(30.0)
    return report(found)
