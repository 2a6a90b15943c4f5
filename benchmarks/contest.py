"""The work that all clients do, case by case."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks import far_cases
from benchmarks.beside import close, dead, mixed, options, peak, thread, timers, told
from benchmarks.harness import percentile
from benchmarks.peer import PeerError
from benchmarks.stage import CLIENTS, LARGE, Client, Stage

__all__ = ["CASES", "CLIENTS", "PLAIN_ONLY", "Client", "Stage", "spread", "too_slow"]

MICRO, MILLI, MEGA, NANO = 1e6, 1e3, 1e6, 1e-9
INPUT = 5_000_000


# ---------------------------------------------------------------------- speed


def serial(stage: Stage) -> None:
    """One call after another, in slices that alternate."""
    lines = ("serial.wall", "serial.cpu")
    clients = stage.warm(stage.among("ours", "official", "limit"), lines, stage.peer)
    stage.turns(clients, lines, stage.one_by_one, slices=3 if stage.quick else 8)


def flight(stage: Stage) -> None:
    """Many calls in flight at once; none is answered before the last has arrived."""
    left = stage.among("ours", "official", "limit", without=("socket",))
    slices = {100: 5, 1_000: 2}
    shares = {100: 0.03, 1_000: 0.05, 10_000: 0.22, 100_000: 0.7}
    if stage.quick:
        shares = {100: 0.2, 1_000: 0.3, 10_000: 0.5}
    for count, share in shares.items():

        def measure(client: Client, count: int = count) -> list[float]:
            return stage.at_once(client, count)

        if count == 100_000:  # they are told from the others by then, and take minutes
            left = [client for client in left if "+" not in client.name and client.name != "bare-default"]
            if stage.clock.seconds * share < len(left):
                break  # the comparison is so late that even one measurement of each would be too much
            left = [client for client in left if not too_slow(stage, client, count)]
        lines = (f"flight.{count}", f"flight.{count}.cpu")
        stage.turns(left, lines, measure, slices=slices.get(count, 1), share=share)
        for client in list(left):
            if stage.board.cell(lines[0], client.name).failed:
                left.remove(client)  # it is not measured with more


def too_slow(stage: Stage, client: Client, count: int) -> bool:
    """Return whether a client would exceed the limit, and say so in the table: it would be waited for in vain."""
    cell = stage.board.good("flight.10000", client.name)
    seconds = 0.0 if cell is None else cell.figure.median / MICRO * count
    if seconds <= stage.limit:
        return False
    stage.board.cell(f"flight.{count}", client.name).failed = f"not tried, as it would take {seconds:.0f} s"
    return True


def growth(stage: Stage) -> None:
    """100,000 calls at once, and the same number by the thousand: half of those before, half after; 10,000 if quick."""
    count = 10_000 if stage.quick else 100_000

    def measure(client: Client) -> list[float]:
        peer = stage.peer(client)
        before = sum(stage.flown(peer, 1_000) for _ in range(count // 2_000))
        many = stage.flown(peer, count)
        after = sum(stage.flown(peer, 1_000) for _ in range(count // 2_000))
        return [many / (before + after)]

    stage.turns(stage.among("ours", fast=False), ("growth.ratio",), measure, once=True, most=2)


def http(stage: Stage) -> None:
    """Calls over HTTP: one after another, and 100 at once, of which none is answered before the last has arrived.

    The first 100 make as many connections, over TLS with as many handshakes. The others use those.
    """
    count, slices = 100, 3 if stage.quick else 8
    one, all_at_once = ("http.wall", "http.cpu"), (f"http.{count}", f"http.{count}.cpu")
    able = []
    for client in stage.among("ours", "official", "limit", without=("socket", "bare-default")):
        over_http = replace(client, scheme="http")
        stage.board.cell(one[0], client.name)  # so that the rows have the order of the clients
        with stage.judging(over_http, (*one, *all_at_once)):
            stage.peer(over_http)
            able.append(over_http)
    stage.turns(able, one, stage.one_by_one, slices=slices, share=0.6)
    able = [client for client in able if stage.board.good(one[0], client.name)]
    stage.turns(able, (f"http.{count}.first",), lambda client: stage.at_once(client, count)[:1], most=1, share=0.1)
    able = [client for client in able if stage.board.good(f"http.{count}.first", client.name)]
    stage.turns(able, all_at_once, lambda client: stage.at_once(client, count), slices=slices, share=0.3)


def large(stage: Stage) -> None:
    """Results of 2 MB in base64, and inputs of 5 MB, one after another, in processes that have done much before."""
    clients = stage.among("ours", "official", "limit", without=("bare-default",))
    for client in clients:
        if client.kind == "ours":
            with stage.judging(client, ("large.results", "large.inputs")):
                stage.flown(stage.peer(client), 3_000 if stage.quick else 10_000)
        with stage.judging(client, ("large.plain",)):
            stage.peer(client).ask(stage.limit, "large", count=1, size=LARGE, plain=True)
    results, inputs = (4, 2) if stage.quick else (8, 4)

    def down(client: Client) -> list[float]:
        found = stage.peer(client).ask(stage.limit, "large", count=results, size=LARGE)
        return [results * LARGE / MEGA / found["wall"]]

    def up(client: Client) -> list[float]:
        found = stage.peer(client).ask(stage.limit, "upload", count=inputs, size=INPUT)
        return [inputs * INPUT / MEGA / found["wall"]]

    clients = [client for client in clients if not stage.spoiled("large.results", client)]
    slices = 2 if stage.quick else 3
    stage.turns(clients, ("large.results",), down, slices=slices, share=0.5)
    stage.turns(clients, ("large.inputs",), up, slices=slices, share=0.5)
    for client in clients:
        if failed := stage.board.cell("large.plain", client.name).failed:
            stage.board.cell("large.results", client.name).note = f"with its settings changed; as it comes: {failed}"


# ---------------------------------------------------------------------- delays


def partial(stage: Stage) -> None:
    """From the moment the server sends a result to the callback that receives it."""
    tasks = 3 if stage.quick else 11  # the last result of a task may come with the response

    def measure(client: Client) -> list[float]:
        lags = [lag * NANO * MILLI for lag in stage.peer(client).ask(stage.limit, "partial", tasks=tasks)["lags"]]
        if len(lags) < 19 * tasks:
            raise PeerError(f"{len(lags)} of {20 * tasks} results were told")
        return [percentile(lags, 0.5), percentile(lags, 0.99)]

    clients = stage.among("ours", "official", fast=False)
    stage.turns(clients, ("partial.median", "partial.p99"), measure, samples=19 * tasks)


def tokens(stage: Stage) -> None:
    """Streams of text: from the server's write of a piece to the caller, and pieces a second if all are there."""
    pieces, many = (100, 5_000) if stage.quick else (250, 20_000)

    def lag(client: Client) -> list[float]:
        lags = stage.peer(client).ask(stage.limit, "tokens", pieces=pieces, every=2)["lags"]
        return [percentile(lags, 0.5) * NANO * MILLI, percentile(lags, 0.99) * NANO * MILLI]

    def rate(client: Client) -> list[float]:
        return [many / stage.peer(client).ask(stage.limit, "tokens", pieces=many, every=0)["wall"]]

    clients = stage.among("ours", "official", fast=False)
    stage.turns(clients, ("tokens.median", "tokens.p99"), lag, samples=pieces, share=0.6)
    stage.turns(clients, ("tokens.rate",), rate, slices=1 if stage.quick else 2, share=0.4)


def spread(mean: int, count: int) -> list[int]:
    """Return durations from half to one and a half times the mean, so that no polling rhythm fits all of them."""
    return [round(mean * (0.5 + number / (count - 1))) for number in range(count)]


def polled(stage: Stage) -> None:
    """From the end of an asynchronous task at the server to its caller, for tasks of about 0.3 s and 2 s."""
    means = {"0.3s": 300, "2s": 2_000}
    lines = [f"polled.{name}.{what}" for name in means for what in ("median", "worst", "part")]
    durations = {name: spread(mean, 20) for name, mean in means.items()}
    ms = [one for pair in zip(*durations.values(), strict=True) for one in pair]

    def begin(client: Client) -> None:
        stage.peer(client).tell("polled", ms=ms, spacing=0.0037)

    def end(client: Client) -> list[float]:
        found = stage.peer(client).hear(stage.limit + 3)["lags"]
        values = []
        for number, name in enumerate(means):
            lags = [lag * NANO for lag in found[number::2]]
            parts = [lag * 1e5 / one for lag, one in zip(lags, durations[name], strict=True)]
            values += [percentile(lags, 0.5), max(lags), max(parts)]
        return values

    stage.side_by_side(stage.waiters, lines, begin, end)


def many(stage: Stage) -> None:
    """1,000 asynchronous tasks at once: the cost of waiting, and the lag of their results.

    They take 0.75 to 2.25 s, and a third of that in a quick run.
    """
    ms = spread(500 if stage.quick else 1_500, 1_000)
    lines = ("many.frames", "many.questions", "many.cpu", "many.median")

    def measure(client: Client) -> list[float]:
        peer = stage.peer(client)
        stage.control("reset")
        before = peer.cpu()
        lags = peer.ask(stage.limit + 5, "polled", ms=ms, spacing=0)["lags"]
        ledger = stage.control("ledger")
        asked = [ledger[what] / len(ms) for what in ("poll_frames", "polls")]
        return [*asked, (peer.cpu() - before) / len(ms) * MILLI, percentile(lags, 0.5) * NANO]

    clients = [client for client in stage.waiters if client.name != "ours-blocking"]
    stage.turns(clients, lines, measure, once=True)


def drop(stage: Stage) -> None:
    """A drop after 100 calls were received and none was answered; the server accepts connections again at once."""
    stage.dismiss()
    count = 100
    lines = ("drop.time", "drop.lost", "drop.doubled")
    limit = 4.0 if stage.quick else 65.0 if stage.transport == "plain" else 20.0

    def measure(own: Stage, client: Client) -> list[float]:
        with own.fresh(client) as peer:
            peer.hear(own.limit)
            peer.ask(own.limit, "serial", count=1, seconds=1)
            own.control("reset")
            own.control("hold", count=10 * count)
            own.control("drop", after=count)
            own.meet()
            with own.alone:  # some are through in less time than it takes another to begin
                peer.tell("flight", count=count, surviving=True)
                time.sleep(0.2)
            found = peer.hear(limit)
        executed = own.control("ledger")["executed"]
        if found.get("error"):
            stage.board.cell("drop.lost", client.name).note = found["error"]
        return [found["wall"], count - found["right"], executed - count]

    stage.together(stage.waiters, lines, measure)


# ---------------------------------------------------------------------- fixed costs


def idle(stage: Stage) -> None:
    """1,000 calls wait, and nothing happens; all clients at the same time."""
    seconds = 0.5 if stage.quick else 2.0
    lines = ("idle.wakeups", "idle.cpu")
    left = stage.waiters
    for _ in range(stage.times(once=True, most=3)):
        stage.dismiss()
        for client in left:
            stage.board.begin(lines, client.name)
            with stage.judging(client, lines):
                stage.in_flight(stage.peer(client), 1_000)
        left = [client for client in left if not stage.spoiled(lines[0], client)]
        time.sleep(0.5)
        before: dict[Client, tuple[int, float]] = {}
        for client in left:
            with stage.judging(client, lines):
                before[client] = stage.peer(client).waits(), stage.peer(client).cpu()
        time.sleep(seconds)
        for client, (waits, cpu) in before.items():
            with stage.judging(client, lines):
                peer = stage.peer(client)
                for line, value in zip(lines, (peer.waits() - waits, (peer.cpu() - cpu) * MILLI), strict=True):
                    stage.board.cell(line, client.name).runs[-1].append(value / seconds)
    stage.dismiss()


def memory(stage: Stage) -> None:
    """The memory that a call in flight adds to a process."""
    stage.dismiss()
    count = 2_000 if stage.quick else 10_000

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

    stage.turns(stage.among("ours", "official", fast=False), ("memory.call",), measure, once=True, most=3)


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
    clients = stage.warm(clients, ("start",), measure)  # the first one reads files that the system may not have cached
    stage.turns(clients, ("start",), measure, slices=1 if stage.quick else 2)


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
    tries = 1 if stage.quick else 3
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
                    line, cwd=place, env=stage.environment(client), capture_output=True, timeout=30, check=True
                )
            except subprocess.SubprocessError as error:
                raise PeerError(type(error).__name__) from None
            found.append(json.loads(done.stdout))
        return [min(one[0] for one in found) * MILLI, found[-1][1]][: 1 if client.environment == "sdk-js" else 2]

    clients = [client for client in stage.clients if client.name in chosen]
    stage.turns([client for client in clients if client.name != "sdk-js"], python, measure, once=True)
    stage.turns([client for client in clients if client.name == "sdk-js"], python[:1], measure, once=True)


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
    "mixed": mixed,
    "timers": timers,
    "thread": thread,
    "options": options,
    "told": told,
    "peak": peak,
    "idle": idle,
    "drop": drop,
    "start": start,
    "import": imports,
    "memory": memory,
    "close": close,
    "dead": dead,
    **far_cases.CASES,
}
"""Each case by its name. Those that need processes of their own come last. A case of another module is entered here."""
PLAIN_ONLY = frozenset(("growth", "options", "told", "import", "close", "dead")) | far_cases.PLAIN_ONLY
"""Cases that do not depend on how a client connects."""
