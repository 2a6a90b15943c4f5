"""Cases of the comparison in which a client is not alone: large messages, other work, options, and its end."""

from __future__ import annotations

import json
import subprocess

from benchmarks.harness import percentile
from benchmarks.peer import PeerError
from benchmarks.stage import LARGE, Client, Stage

__all__ = ["close", "dead", "mixed", "options", "peak", "thread", "timers", "told"]

MICRO, MILLI, MEGA = 1e6, 1e3, 1e6


def mixed(stage: Stage) -> None:
    """A small call every 5 ms, whether or not earlier ones have ended, beside 2 MB results without a pause."""
    calls, every = 100 if stage.quick else 200, 0.005
    seconds = calls * every

    def measure(client: Client) -> list[float]:
        found = stage.peer(client).ask(stage.limit, "mixed", seconds=seconds, size=LARGE, every=every)
        lags = [lag * MILLI for lag in found["lags"]]
        return [percentile(lags, 0.5), percentile(lags, 0.99), found["moved"] / MEGA / seconds]

    lines = ("mixed.median", "mixed.p99", "mixed.moved")
    stage.turns(stage.among("ours", "official", fast=False), lines, measure, samples=calls, once=True)


def _beside(stage: Stage, case: str, clients: list[Client]) -> None:
    calls = 20 if stage.quick else 200

    def measure(client: Client) -> list[float]:
        how = {"what": case, "pauses": min(calls, 50), "calls": calls, "every": 0.002}
        found = stage.peer(client).ask(stage.limit, "beside", **how)
        lags = found["lags"]
        return [percentile(lags, 0.5) * MICRO, percentile(lags, 0.99) * MILLI, found["cost"] * MICRO]

    stage.turns(clients, (f"{case}.median", f"{case}.p99", f"{case}.cost"), measure, samples=calls, once=True)


def timers(stage: Stage) -> None:
    """A call after each pause of 2 ms in an event loop with 10,000 timers that fire twice a second: Python, asyncio."""
    _beside(
        stage, "timers", [client for client in _python(stage) if client.name not in ("ours-blocking", "ours-futures")]
    )


def thread(stage: Stage) -> None:
    """A call after each pause of 2 ms beside a thread that computes in Python without a pause: Python."""
    _beside(stage, "thread", _python(stage))


def _python(stage: Stage) -> list[Client]:
    return stage.among("ours", "official", fast=False, without=("sdk-js",))


def options(stage: Stage) -> None:
    """What checks of requests, which are on by default, and a store on SQLite cost: calls of this client."""
    names = ("ours-futures", "ours-unchecked", "ours-store")
    clients = [client for client in stage.clients if client.name in names]
    alone = [one for one in clients if one.name == "ours-futures"]
    stage.turns(clients, ("options.wall", "options.cpu"), stage.one_by_one, slices=3 if stage.quick else 5)
    stage.turns(clients, ("options.1000", "options.1000.cpu"), lambda client: stage.at_once(client, 1_000), slices=2)
    stage.turns(alone, ("options.cold",), lambda client: [float(_output(stage, client, ["-c", COLD], 30.0)) * MILLI])


def told(stage: Stage) -> None:
    """Calls of this client that are all in flight at once, and are all told to slow down: the time of one.

    They are not retried, since the pauses before that would be most of the time.
    """

    def each(client: Client, count: int) -> float:
        with stage.fresh(client) as peer:
            peer.hear(stage.limit)
            stage.control("reset")
            stage.control("hold", count=count, order="slow")
            found = peer.ask(stage.limit, "flight", count=count)
            if found["right"] or "RateLimit" not in found["error"]:
                raise PeerError(f"not all were told to slow down: {found['right']} {found['error']}")
            return float(found["wall"]) / count

    def measure(client: Client) -> list[float]:
        few, many = each(client, 1_000), each(client, 10_000 if stage.quick else 100_000)
        return [few * MICRO, many / few]

    clients = [client for client in stage.clients if client.name == "ours-once"]
    stage.turns(clients, ("told.1000", "told.ratio"), measure, once=True)


COLD = """
import time
from runware import Runware
rw = Runware("bench")
started = time.perf_counter()
rw.check(task_type="imageInference", positive_prompt="a lighthouse", model="runware:101@1", width=1024, height=1024)
print(time.perf_counter() - started)
"""


def peak(stage: Stage) -> None:
    """100 results of 2 MB at once, 20 in a quick run: the peak of the memory by the size of the texts that are kept.

    It is counted above what the process had after a first such result.
    """
    stage.dismiss()
    count = 20 if stage.quick else 100

    def measure(client: Client) -> list[float]:
        with stage.fresh(client) as peer:
            peer.hear(stage.limit)
            peer.ask(stage.limit, "peak", count=1, size=LARGE)
            peer.ask(stage.limit, "forget")
            peer.ask(stage.limit, "collect")
            before = peer.resident()
            peer.forget_peak()
            peer.ask(stage.limit, "peak", count=count, size=LARGE)
            return [(peer.peak() - before) / (count * LARGE)]

    clients = stage.among("ours", "official", without=("ours-blocking+fast", "ours-asyncio+fast"))
    stage.turns(clients, ("peak.ratio",), measure, once=True, most=3)


def close(stage: Stage) -> None:
    """How long `close()` of this client takes."""
    lines = ("close.idle", "close.busy", "close.dialling")
    for client in stage.clients:
        if client.name == "ours-blocking":
            with stage.judging(client, lines):
                how = ["-m", "benchmarks.worker", "close", "--runs", str(stage.runs), *["--quick"] * stage.quick]
                for figure in json.loads(_output(stage, client, how, 120.0)):
                    if figure["name"] in lines:
                        stage.board.cell(figure["name"], client.name).runs = [[value] for value in figure["values"]]


DEAD = """
import itertools, json, socket, sys, time
from runware import Runware
resolve, live = socket.getaddrinfo, int(sys.argv[1])
silent = socket.create_server(("127.0.0.1", 0), backlog=0)
filling = [socket.socket() for _ in range(4)]
for one in filling:
    one.setblocking(False)
    one.connect_ex(silent.getsockname())  # a full backlog: what comes later gets no answer, as from a dead address
addresses, unknown = [], itertools.count(81)  # the client remembers lookups, and addresses that have won
socket.getaddrinfo = lambda host, *more, **named: addresses if host == "localhost" else resolve(host, *more, **named)

def first(*ports):
    addresses[:] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    started = time.perf_counter()
    with Runware("bench", url=f"ws://localhost:{next(unknown)}/v1") as rw:
        rw.image_inference(positive_prompt="a lighthouse", model="runware:101@1", width=1024, height=1024)
        return time.perf_counter() - started

first(live)
alone = first(live)
print(json.dumps(first(silent.getsockname()[1], live) - alone))
"""


def dead(stage: Stage) -> None:
    """What a name costs whose first address is dead: a first call, without what it takes if all are alive."""

    def measure(client: Client) -> list[float]:
        return [float(_output(stage, client, ["-c", DEAD, str(stage.ports["port"])], 30.0))]

    clients = [client for client in stage.clients if client.name == "ours-blocking"]
    stage.turns(clients, ("dead.more",), measure)


def _output(stage: Stage, client: Client, arguments: list[str], limit: float) -> str:
    """Run Python in the environment of a client."""
    line = [str(stage.directory / client.environment / "bin/python"), *arguments]
    try:
        done = subprocess.run(
            line, env=stage.environment(client), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"not through after {limit:g} s") from None
    if done.returncode:
        raise PeerError(" ".join(done.stderr.strip().splitlines()[-1:])[:200])
    return done.stdout
