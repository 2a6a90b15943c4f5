"""The work that all clients do, case by case."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmarks import far_cases
from benchmarks.environments import command, surroundings
from benchmarks.harness import Control, percentile
from benchmarks.peer import CannotError, Peer, PeerError
from benchmarks.standings import Board

__all__ = ["CASES", "CLIENTS", "Client", "Stage"]

MICRO, MILLI, MEGA, NANO = 1e6, 1e3, 1e6, 1e-9
LARGE = 2_000_000
INPUT = 5_000_000
Kind = Literal["ours", "official", "limit"]


@dataclass(frozen=True)
class Client:
    """A client in the comparison.

    Attributes:
        name: Its name in the tables.
        environment: The environment of its program.
        program: The program, in `peers/`.
        how: The arguments of the program.
        kind: Its origin.
        scheme: The scheme of the URL that it connects to: `ws`, or `http` for calls over HTTP.
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
    Client("runware-sdk", "runware-sdk", "runware_sdk.py", (), "official"),
    Client("runware", "runware", "runware_old.py", (), "official"),
    Client("sdk-js", "sdk-js", "sdk_js.mjs", (), "official"),
    Client("bare", "ours", "bare.py", ("lean",), "limit"),
    Client("bare+orjson", "ours-fast", "bare.py", ("lean",), "limit"),
    Client("bare-default", "ours", "bare.py", ("default",), "limit"),
    Client("tcp", "ours", "bare.py", ("tcp",), "limit"),
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
    """

    ports: dict[str, int]
    control: Control
    directory: Path
    clients: Sequence[Client]
    runs: int
    quick: bool
    board: Board
    cores: set[int]
    _peers: dict[Client, Peer] = field(default_factory=dict)

    @property
    def limit(self) -> float:
        """Seconds that a client may take for one command."""
        return 8.0 if self.quick else 60.0

    @property
    def patience(self) -> float:
        """Seconds after which a slow client is not measured again in a case."""
        return 5.0 if self.quick else 15.0

    @property
    def waiters(self) -> list[Client]:
        """The clients measured while waiting. The interface forms of this one share that: a quick run takes one."""
        return self.among("ours", "official", fast=False, without=("ours-blocking", "ours-asyncio") * self.quick)

    def among(self, *kinds: Kind, fast: bool = True, without: Iterable[str] = ()) -> list[Client]:
        """Return the clients of a case."""
        found = [client for client in self.clients if client.kind in kinds and client.name not in without]
        return [client for client in found if fast or "+" not in client.name]

    @contextmanager
    def fresh(self, client: Client) -> Iterator[Peer]:
        """Yield a new, connected process, and end it afterwards."""
        line = command(self.directory, client.environment, client.program, *client.how)
        with Peer(line, surroundings(client.environment), self.cores) as peer:
            peer.tell("open", url=self.url(client))
            yield peer

    def url(self, client: Client) -> str:
        """Return the URL that a client connects to; `tcp` only echoes bytes."""
        return f"{client.scheme}://127.0.0.1:{self.ports['echo' if client.name == 'tcp' else 'port']}/v1"

    def peer(self, client: Client) -> Peer:
        """Return the process that a client used before, or a new one."""
        peer = self._peers.get(client)
        if peer is None or not peer.alive:
            line = command(self.directory, client.environment, client.program, *client.how)
            peer = self._peers[client] = Peer(line, surroundings(client.environment), self.cores)
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
        """Record what a client could not do. A client that failed starts anew in the next case."""
        try:
            yield
        except CannotError as error:
            for line in lines:
                self.board.cell(line, client.name).note = str(error)
        except PeerError as error:
            if peer := self._peers.pop(client, None):
                peer.close()
            for line in lines:
                self.board.cell(line, client.name).failed = str(error)

    def turns(
        self,
        clients: Sequence[Client],
        lines: Sequence[str],
        measure: Callable[[Client], Sequence[float]],
        *,
        slices: int = 1,
        once: bool = False,
        patience: float | None = None,
    ) -> None:
        """Measure the clients in turn, slice by slice, and enter one value per line.

        A client that fails is out; one that takes too long is not measured again, and has fewer runs.

        Args:
            clients: The clients to measure.
            lines: The lines to enter.
            measure: Returns a value for each line.
            slices: The number of turns per run.
            once: Whether a quick comparison has only one run.
            patience: Total seconds a client may take; `None` uses the limit of all cases.
        """
        patience = self.patience if patience is None else patience
        left = list(clients)
        spent = dict.fromkeys([client.name for client in clients], 0.0)
        for _ in range(1 if once and self.quick else self.runs):
            for client in left:
                self.board.begin(lines, client.name)
            for _ in range(slices):
                for client in list(left):
                    if spent[client.name] > patience:
                        continue
                    started = time.monotonic()
                    with self.judging(client, lines):
                        for line, value in zip(lines, measure(client), strict=True):
                            self.board.cell(line, client.name).runs[-1].append(value)
                    spent[client.name] += time.monotonic() - started
                    cell = self.board.cell(lines[0], client.name)
                    if cell.failed or cell.note:
                        left.remove(client)
            left = [client for client in left if spent[client.name] < patience]
        for client in clients:
            cell = self.board.cell(lines[0], client.name)
            if spent[client.name] >= patience and not cell.failed and not cell.note:
                cell.note = f"slow, so measured {sum(map(len, cell.runs))} times only"

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


# ---------------------------------------------------------------------- speed


def serial(stage: Stage) -> None:
    """One call after another, in slices that alternate."""
    lines = ("serial.wall", "serial.cpu")
    stage.turns(stage.clients, lines, lambda client: _one_by_one(stage, client), slices=5 if stage.quick else 8)


def _one_by_one(stage: Stage, client: Client) -> list[float]:
    """Return the microseconds and the CPU of a call, one after another."""
    count, warm = 200, 20
    peer = stage.peer(client)
    peer.ask(stage.limit, "serial", count=warm, seconds=0.05)  # it slept during the others' turns
    before = peer.cpu()
    found = peer.ask(stage.limit, "serial", count=count, seconds=0.3)
    each = MICRO / found["count"]
    return [found["wall"] * each, (peer.cpu() - before) * each]


def _at_once(stage: Stage, client: Client, count: int) -> list[float]:
    """Return the microseconds and the CPU of a call, with this number in flight."""
    peer = stage.peer(client)
    before = peer.cpu()
    wall = _flown(stage, peer, count)
    return [wall / count * MICRO, (peer.cpu() - before) / count * MICRO]


def _flown(stage: Stage, peer: Peer, count: int) -> float:
    """Put a number of calls in flight at once, and return the seconds until all have ended."""
    stage.control("reset")
    stage.control("hold", count=count)
    found = peer.ask(stage.limit, "flight", count=count)
    if found["right"] < count:
        raise PeerError(f"{count - found['right']:,} of {count:,} failed: {found.get('error', '')}")
    wall: float = found["wall"]
    return wall


def flight(stage: Stage) -> None:
    """Many calls in flight at once; none is answered before the last has arrived."""
    left = stage.among("ours", "official", "limit", without=("tcp",))
    slices = {100: 5, 1_000: 2}
    for count in (100, 1_000, 10_000) if stage.quick else (100, 1_000, 10_000, 100_000):

        def measure(client: Client, count: int = count) -> list[float]:
            return _at_once(stage, client, count)

        lines = (f"flight.{count}", f"flight.{count}.cpu")
        stage.turns(left, lines, measure, slices=slices.get(count, 1))
        for client in list(left):
            if stage.board.cell(lines[0], client.name).failed:
                left.remove(client)  # it is not measured with more


def growth(stage: Stage) -> None:
    """100,000 calls at once, and the same number by the thousand: half of those before, half after."""

    def measure(client: Client) -> list[float]:
        peer = stage.peer(client)
        before = sum(_flown(stage, peer, 1_000) for _ in range(50))
        many = _flown(stage, peer, 100_000)
        after = sum(_flown(stage, peer, 1_000) for _ in range(50))
        return [many / (before + after)]

    if not stage.quick:
        ours = [client for client in stage.clients if client.name in ("ours-futures", "ours-futures+fast")]
        stage.turns(ours, ("growth.ratio",), measure, patience=120.0)


def http(stage: Stage) -> None:
    """Calls over HTTP: one after another, and 100 at once, of which none is answered before the last has arrived."""
    count, slices = 100, 5 if stage.quick else 8
    one, all_at_once = ("http.wall", "http.cpu"), (f"http.{count}", f"http.{count}.cpu")
    able = []
    for client in stage.among("ours", "official", "limit", without=("tcp", "bare-default")):
        over_http = replace(client, scheme="http")
        stage.board.cell(one[0], client.name)  # so that the rows have the order of the clients
        with stage.judging(over_http, (*one, *all_at_once)):
            stage.peer(over_http)
            able.append(over_http)
    stage.turns(able, one, lambda client: _one_by_one(stage, client), slices=slices)
    able = [client for client in able if stage.board.good(one[0], client.name)]
    stage.turns(able, all_at_once, lambda client: _at_once(stage, client, count), slices=slices)


def large(stage: Stage) -> None:
    """Results of 2 MB in base64, and inputs of 5 MB, one after another."""
    clients = stage.among("ours", "official", "limit", without=("tcp", "bare-default"))
    for client in clients:
        with stage.judging(client, ("large.plain",)):
            stage.peer(client).ask(stage.limit, "large", count=1, size=LARGE, plain=True)
    results, inputs = (4, 2) if stage.quick else (8, 4)

    def down(client: Client) -> list[float]:
        found = stage.peer(client).ask(stage.limit, "large", count=results, size=LARGE)
        return [results * LARGE / MEGA / found["wall"]]

    def up(client: Client) -> list[float]:
        found = stage.peer(client).ask(stage.limit, "upload", count=inputs, size=INPUT)
        return [inputs * INPUT / MEGA / found["wall"]]

    stage.turns(clients, ("large.results",), down, slices=3)
    stage.turns(clients, ("large.inputs",), up, slices=3)
    for client in clients:
        if failed := stage.board.cell("large.plain", client.name).failed:
            stage.board.cell("large.results", client.name).note = f"with its settings changed; as it comes: {failed}"


# ---------------------------------------------------------------------- delays


def partial(stage: Stage) -> None:
    """From the moment the server sends a result to the callback that receives it."""
    tasks = 3 if stage.quick else 5

    def measure(client: Client) -> list[float]:
        lags = [lag * NANO * MILLI for lag in stage.peer(client).ask(stage.limit, "partial", tasks=tasks)["lags"]]
        if len(lags) < 19 * tasks:  # the last may come with the response
            raise PeerError(f"{len(lags)} of {20 * tasks} results were told")
        return [percentile(lags, 0.5), percentile(lags, 0.99)]

    clients = stage.among("ours", "official", fast=False)
    stage.turns(clients, ("partial.median", "partial.p99"), measure, slices=1 if stage.quick else 4, patience=60.0)


def tokens(stage: Stage) -> None:
    """Streams of text: from the server's write of a piece to the caller, and pieces a second if all are there."""
    pieces, many = (100, 5_000) if stage.quick else (250, 20_000)

    def lag(client: Client) -> list[float]:
        lags = stage.peer(client).ask(stage.limit, "tokens", pieces=pieces, every=2)["lags"]
        return [percentile(lags, 0.5) * NANO * MILLI, percentile(lags, 0.99) * NANO * MILLI]

    def rate(client: Client) -> list[float]:
        return [many / stage.peer(client).ask(stage.limit, "tokens", pieces=many, every=0)["wall"]]

    clients = stage.among("ours", "official", fast=False)
    stage.turns(clients, ("tokens.median", "tokens.p99"), lag, slices=1 if stage.quick else 4)
    stage.turns(clients, ("tokens.rate",), rate, slices=1 if stage.quick else 4)


def spread(mean: int, count: int) -> list[int]:
    """Return durations from half to one and a half times the mean, so that no polling rhythm fits all of them."""
    return [round(mean * (0.5 + number / (count - 1))) for number in range(count)]


def polled(stage: Stage) -> None:
    """From the end of an asynchronous task at the server to its caller, for tasks of about 0.3 s and 2 s."""
    means = {"0.3s": 300, "2s": 2_000}
    lines = [f"polled.{name}.{what}" for name in means for what in ("median", "worst", "part")]
    durations = {name: spread(mean, 20) for name, mean in means.items()}
    ms = [one for pair in zip(*durations.values(), strict=True) for one in pair]

    def measure(client: Client) -> list[float]:
        found = stage.peer(client).ask(stage.limit + 3, "polled", ms=ms, spacing=0.0037)["lags"]
        values = []
        for number, name in enumerate(means):
            lags = [lag * NANO for lag in found[number::2]]
            parts = [lag * 1e5 / one for lag, one in zip(lags, durations[name], strict=True)]
            values += [percentile(lags, 0.5), max(lags), max(parts)]
        return values

    stage.turns(stage.waiters, lines, measure, once=True)


def many(stage: Stage) -> None:
    """1,000 asynchronous tasks of 1.5 to 4.5 s at once: the cost of waiting, and the lag of their results."""
    ms = spread(3_000, 1_000)
    lines = ("many.frames", "many.questions", "many.cpu", "many.median")

    def measure(client: Client) -> list[float]:
        peer = stage.peer(client)
        stage.control("reset")
        before = peer.cpu()
        lags = peer.ask(stage.limit + 5, "polled", ms=ms, spacing=0)["lags"]
        ledger = stage.control("ledger")
        asked = [ledger[what] / len(ms) for what in ("poll_frames", "polls")]
        return [*asked, (peer.cpu() - before) / len(ms) * MILLI, percentile(lags, 0.5) * NANO]

    stage.turns([client for client in stage.waiters if client.name != "ours-blocking"], lines, measure, once=True)


def drop(stage: Stage) -> None:
    """A drop after 100 calls were received and none was answered; the server accepts connections again at once."""
    stage.dismiss()
    count = 100
    lines = ("drop.time", "drop.lost", "drop.doubled")

    def measure(client: Client) -> list[float]:
        with stage.fresh(client) as peer:
            peer.hear(stage.limit)
            peer.ask(stage.limit, "serial", count=1, seconds=1)
            stage.control("reset")
            stage.control("hold", count=10 * count)
            stage.control("drop", after=count)
            found = peer.ask(stage.limit + 30.0 * (not stage.quick), "flight", count=count, surviving=True)
        executed = stage.control("ledger")["executed"]
        if found.get("error"):
            stage.board.cell("drop.lost", client.name).note = found["error"]
        return [found["wall"], count - found["right"], executed - count]

    stage.turns(stage.waiters, lines, measure, slices=1 if stage.quick else 3, once=True)


# ---------------------------------------------------------------------- fixed costs


def idle(stage: Stage) -> None:
    """1,000 calls wait, and nothing happens."""
    stage.dismiss()
    seconds = 1.0 if stage.quick else 3.0

    def measure(client: Client) -> list[float]:
        with stage.fresh(client) as peer:
            peer.hear(stage.limit)
            stage.in_flight(peer, 1_000)
            time.sleep(0.5)
            waits, cpu = peer.waits(), peer.cpu()
            time.sleep(seconds)
            return [(peer.waits() - waits) / seconds, (peer.cpu() - cpu) / seconds * MILLI]

    stage.turns(stage.waiters, ("idle.wakeups", "idle.cpu"), measure, once=True)


def memory(stage: Stage) -> None:
    """The memory that a call in flight adds to a process."""
    stage.dismiss()
    count = 10_000

    def measure(client: Client) -> list[float]:
        with stage.fresh(client) as peer:
            peer.hear(stage.limit)
            stage.in_flight(peer, 200)
            peer.ask(stage.limit, "collect")
            before = peer.resident()
            stage.in_flight(peer, count)
            time.sleep(0.2)
            peer.ask(stage.limit, "collect")
            return [(peer.resident() - before) / count]

    stage.turns(stage.among("ours", "official", fast=False), ("memory.call",), measure, once=True)


def start(stage: Stage) -> None:
    """From the start of the process to its first result."""
    stage.dismiss()

    def measure(client: Client) -> list[float]:
        with stage.fresh(client) as peer:
            peer.tell("serial", count=1, seconds=60)
            peer.hear(stage.limit)
            peer.hear(stage.limit)
            return [(time.perf_counter() - peer.started) * MILLI]

    clients = stage.among("ours", "official", without=("ours-futures+fast", "ours-asyncio+fast"))
    stage.turns(clients, ("start",), measure, slices=3, patience=60.0)


IMPORT = """
import sys, time
before = set(sys.modules)
started = time.perf_counter()
import {what}
print([time.perf_counter() - started, len(set(sys.modules) - before)])
"""
IMPORT_JS = (
    "const started = performance.now(); await import('@runware/sdk-js');"
    "console.log(JSON.stringify([(performance.now() - started) / 1000, 0]))"
)


def imports(stage: Stage) -> None:
    """The cost of importing: the best of several fresh processes per run."""
    tries = 3 if stage.quick else 5
    chosen = ("ours-blocking", "ours-blocking+fast", "runware-sdk", "runware", "sdk-js", "bare")
    python = ("import.time", "import.modules")

    def measure(client: Client) -> list[float]:
        place = stage.directory / client.environment
        what = "websocket" if client.kind == "limit" else "runware"
        line = [str(place / "bin/python"), "-c", IMPORT.format(what=what)]
        if client.environment == "sdk-js":
            line = ["node", "--input-type=module", "-e", IMPORT_JS]
        found = []
        for _ in range(tries):
            try:
                done = subprocess.run(
                    line, cwd=place, env=surroundings(client.environment), capture_output=True, timeout=30, check=True
                )
            except subprocess.SubprocessError as error:
                raise PeerError(type(error).__name__) from None
            found.append(json.loads(done.stdout))
        return [min(one[0] for one in found) * MILLI, found[-1][1]][: 1 if client.environment == "sdk-js" else 2]

    clients = [client for client in stage.clients if client.name in chosen]
    stage.turns([client for client in clients if client.name != "sdk-js"], python, measure)
    stage.turns([client for client in clients if client.name == "sdk-js"], python[:1], measure)


CASES: dict[str, Callable[[Stage], None]] = {
    "serial": serial,
    "flight": flight,
    "growth": growth,
    "http": http,
    "partial": partial,
    "tokens": tokens,
    "polled": polled,
    "many": many,
    "large": large,
    "idle": idle,
    "drop": drop,
    "start": start,
    "import": imports,
    "memory": memory,
    **far_cases.CASES,
}
"""Each case by its name. Those that need processes of their own come last."""
