"""Run a client for a long time over TLS while its connection drops again and again, and account for every call.

python -m tools.soak --seconds 600

The server is `runware.local`, in a process of its own, on loopback. Threads, an event loop and jobs make small calls,
polled tasks, and large ones (2 to 5 MB of base64, in both directions) on one client, and every few seconds the
connection is reset, ended, closed or falls silent. The report lists lost calls (without the right result), doubled ones
(a prompt that the server executed more than once), and whether threads, descriptors and memory stayed flat. The exit
code is 1 if anything was lost, doubled, hangs or grows, or if the client lost a connection that the server had not
dropped.
"""

# A script in a folder of scripts, which prints its report.
# ruff: noqa: INP001, T201

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import multiprocessing
import os
import random
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs
import trustme

from runware import Runware

KEY = "rw-soak-key"
DROPS = ("rst", "fin", "close", "stall")
PATIENCE = 120.0
"""Seconds a call may take; nothing here takes this long unless something is wrong."""
LARGE_RESULT = 3 * 2**20
MIB = 2**20


# ---------------------------------------------------------------------- the server, in its process


def delay_of(task: dict[str, Any]) -> float:
    """Return the duration of a task: seconds for polled ones, almost nothing for the others."""
    chance = random.Random(task["taskUUID"]).random()
    return 0.5 + 2.0 * chance if task.get("deliveryMethod") == "async" else 0.05 * chance


def serve(pipe: Connection, certificate: bytes) -> None:
    """Run the server until the pipe signals the end; count what it executes, and check its inputs."""
    from runware.local import LocalServer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    executed: Counter[str] = Counter()
    spoilt: list[str] = []

    def check(task: dict[str, Any]) -> None:
        # A large input is complete if it has the digest in its prompt.
        prompt = str(task.get("positivePrompt", ""))
        if "seedImage" in task and digest(task["seedImage"]) != prompt.rpartition(" ")[2]:
            spoilt.append(prompt)

    with LocalServer(api_key=KEY, ssl_context=context, delay=delay_of, keep=4000) as server:
        book = server.ledger.execute

        def execute(record: Any) -> None:
            executed[record.prompt] += 1
            book(record)

        server.ledger.execute = execute  # type: ignore[method-assign]
        server.script(check)
        server.play("X11", size=LARGE_RESULT)
        pipe.send(server.url)
        while (order := pipe.recv()) != "stop":
            if order == "close":
                server.close_connections(1001)
            elif order == "stall":
                server.stall()
            else:
                server.drop(order)
        ledger = server.ledger
        pipe.send(
            (executed, spoilt, ledger.connections, ledger.resumes, ledger.conflicts, list(map(repr, ledger.errors)))
        )


def digest(text: str) -> str:
    """Return a short digest of a large text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ---------------------------------------------------------------------- what is measured


@attrs.frozen
class Moment:
    """The resources that the process holds at one time."""

    at: float
    threads: int
    descriptors: int
    memory: float

    @classmethod
    def now(cls, start: float) -> Moment:
        """Measure now."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            time.monotonic() - start,
            threading.active_count(),
            sum(1 for _ in Path("/proc/self/fd").iterdir()),
            pages * os.sysconf("SC_PAGE_SIZE") / MIB,
        )


def grows(moments: list[Moment]) -> list[str]:
    """Compare the second quarter of the time with the last one."""
    quarter = len(moments) // 4
    early, late = moments[quarter : 2 * quarter], moments[-quarter:]
    found = []
    kinds = [("threads", 1.0, 3.0), ("descriptors", 1.0, 3.0)]
    if moments[-1].at >= 60.0:  # before that, memory still grows by the first large messages
        kinds.append(("memory", 1.15, 24.0))
    for name, share, spare in kinds:
        before = statistics.median(getattr(moment, name) for moment in early)
        after = statistics.median(getattr(moment, name) for moment in late)
        if after > before * share + spare:
            found.append(f"{name} grew from {before:g} to {after:g}")
    return found


class Books:
    """The results that the callers saw."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.made: Counter[str] = Counter()
        self.lost: list[str] = []
        self.errors: Counter[str] = Counter()
        self.slowest = 0.0
        self.large = 0

    @contextlib.contextmanager
    def call(self, kind: str, prompt: str) -> Iterator[None]:
        """Record one call; an exception in the body is a loss."""
        start = time.monotonic()
        try:
            yield
        except Exception as error:
            with self._lock:
                self.lost.append(f"{prompt}: {type(error).__name__}: {error}")
                self.errors[type(error).__name__] += 1
        finally:
            with self._lock:
                self.made[kind] += 1
                self.slowest = max(self.slowest, time.monotonic() - start)

    def carried(self, size: int) -> None:
        """Record bytes of base64."""
        with self._lock:
            self.large += size


# ---------------------------------------------------------------------- the callers


class Callers:
    """Threads, jobs and an event loop that call the same client."""

    def __init__(self, rw: Runware, seed: int) -> None:
        self.rw = rw
        self.books = Books()
        self.over = threading.Event()
        self._seed = seed
        self._bytes = random.Random(seed).randbytes(4 * MIB)

    def threads(self) -> list[threading.Thread]:
        """Return all threads, not yet started."""
        bodies: list[Callable[[int], None]] = [*[self.small] * 4, *[self.large_in] * 3, *[self.large_out] * 3]
        bodies += [*[self.polled] * 4, self.many_in_a_loop]
        return [
            threading.Thread(target=body, args=(number,), name=f"caller-{number}", daemon=True)
            for number, body in enumerate(bodies)
        ]

    def _turns(self, number: int, pause: float) -> Iterator[tuple[int, random.Random]]:
        rng = random.Random(f"{self._seed} {number}")
        turn = 0
        while not self.over.wait(pause * rng.random()):
            turn += 1
            yield turn, rng

    def small(self, number: int) -> None:
        """Make small calls, one after the other."""
        for turn, _ in self._turns(number, 0.05):
            prompt = f"small {number} {turn}"
            with self.books.call("small", prompt):
                (image,) = self.rw.image_inference(positive_prompt=prompt, seed=turn)
                assert image.seed == turn

    def large_in(self, number: int) -> None:
        """Request large results."""
        for turn, _ in self._turns(number, 1.0):
            prompt = f"large result {number} {turn}"
            with self.books.call("large result", prompt):
                (image,) = self.rw.image_inference(
                    positive_prompt=prompt, seed=turn, output_type="base64Data", output_format="PNG"
                )
                data = image.base64_data
                assert image.seed == turn
                assert data is not None
                assert len(data) >= LARGE_RESULT
                assert base64.b64decode(data).startswith(b"\x89PNG")
                self.books.carried(len(data))

    def large_out(self, number: int) -> None:
        """Send large inputs, of 2 to 5 MB of base64."""
        for turn, rng in self._turns(number, 1.0):
            start = rng.randrange(1000)
            picture = self._bytes[start : start + rng.randrange(int(1.5 * MIB), int(3.7 * MIB))]
            uri = "data:image/png;base64," + base64.b64encode(picture).decode()
            prompt = f"large input {number} {turn} {digest(uri)}"
            with self.books.call("large input", prompt):
                (image,) = self.rw.image_inference(positive_prompt=prompt, seed=turn, seed_image=uri, strength=0.5)
                assert image.seed == turn
                self.books.carried(len(uri))

    def polled(self, number: int) -> None:
        """Run polled tasks of several results, as jobs."""
        for turn, _ in self._turns(number, 0.2):
            prompt = f"polled {number} {turn}"
            with self.books.call("polled", prompt):
                job = self.rw.submit.image_inference(
                    positive_prompt=prompt, seed=turn, number_results=2, delivery_method="async"
                )
                assert sorted(image.seed or 0 for image in job.result()) == [turn, turn + 1]

    def many_in_a_loop(self, number: int) -> None:
        """Make small calls in an event loop, many at once."""

        async def one(worker: int) -> None:
            turn = 0
            while not self.over.is_set():
                turn += 1
                prompt = f"asyncio {number} {worker} {turn}"
                with self.books.call("asyncio", prompt):
                    (image,) = await self.rw.aio.image_inference(positive_prompt=prompt, seed=turn)
                    assert image.seed == turn
                await asyncio.sleep(0.02)

        async def main() -> None:
            await asyncio.gather(*map(one, range(16)))

        asyncio.run(main())


# ---------------------------------------------------------------------- all of it


def soak(seconds: float, seed: int) -> int:
    """Run the soak, print the report, and return the exit code."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    processes = multiprocessing.get_context("spawn")
    pipe, theirs = processes.Pipe()
    server = processes.Process(
        target=serve, args=(theirs, certificate.private_key_and_cert_chain_pem.bytes()), daemon=True
    )
    server.start()
    rw = Runware(
        KEY,
        url=pipe.recv(),
        ssl_context=context,
        timeout=PATIENCE,
        long_timeout=PATIENCE,
        liveness_timeout=3.0,
        retry_delay=0.2,
    )
    callers = Callers(rw, seed)
    rng = random.Random(seed)
    drops: Counter[str] = Counter()
    moments: list[Moment] = []
    before = threading.active_count()
    start = time.monotonic()
    threads = callers.threads()
    for thread in threads:
        thread.start()
    next_drop, next_row = start + 1.0, start
    while (now := time.monotonic()) < start + seconds:
        moments.append(Moment.now(start))
        if now >= next_row:
            next_row = now + max(1.0, seconds / 10)
            say(moments[-1], callers.books, drops)
        if now >= next_drop:
            how = rng.choice(DROPS)
            drops[how] += 1
            pipe.send(how)
            next_drop = now + rng.uniform(1.0, min(5.0, max(1.5, seconds / 8)))
        time.sleep(min(0.25, seconds / 40))
    callers.over.set()
    patience = time.monotonic() + PATIENCE + 10.0
    for thread in threads:
        thread.join(max(0.1, patience - time.monotonic()))
    hanging = [thread.name for thread in threads if thread.is_alive()]
    say(Moment.now(start), callers.books, drops)
    seen = rw.stats.drops
    rw.close()
    pipe.send("stop")
    told = pipe.recv()
    server.join(30.0)
    left = threading.active_count() - before - len(hanging)
    return report(callers.books, told, hanging, grows(moments), drops, seen, left)


def say(moment: Moment, books: Books, drops: Counter[str]) -> None:
    """Print one row."""
    print(
        f"{moment.at:6.0f} s  {sum(books.made.values()):8,} calls  {sum(drops.values()):4} drops  "
        f"{books.large / MIB:8,.0f} MiB of base64  {len(books.lost):3} lost  {moment.threads:3} threads  "
        f"{moment.descriptors:3} descriptors  {moment.memory:6.0f} MiB RSS",
        flush=True,
    )


def report(
    books: Books, told: Any, hanging: list[str], growth: list[str], drops: Counter[str], seen: int, left: int
) -> int:
    """Print the summary, and return the exit code; *seen* is the number of connections the client lost."""
    executed, spoilt, connections, resumes, conflicts, server_errors = told
    doubled = [prompt for prompt, count in executed.items() if count > 1]
    total = sum(books.made.values())
    never = total - len(books.lost) - len(executed)
    print(f"calls      {total:,}: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(books.made.items())))
    made = sum(drops.values())  # some drops may have met no connection, or one that was silent already
    kinds = ", ".join(f"{count} {how}" for how, count in sorted(drops.items()))
    print(f"drops      {made}: {kinds}; the client lost {seen} connections")
    print(f"server     {connections} connections, {resumes} resumed, {conflicts} conflicts, errors {server_errors}")
    print(
        f"executed   {sum(executed.values()):,} tasks for {len(executed):,} prompts; large inputs spoilt: {len(spoilt)}"
    )
    print(f"slowest    {books.slowest:.1f} s")
    print(f"errors     {dict(books.errors)}")
    print(f"lost       {len(books.lost)} {books.lost[:5] or ''}")
    print(f"doubled    {len(doubled)} {doubled[:5] or ''}")
    print(f"hanging    {len(hanging)} {hanging or ''}")
    print(f"growth     {growth or 'none'}; threads left over {left}")
    failed = bool(
        books.lost or doubled or hanging or growth or spoilt or server_errors or left > 0 or never > 0 or seen > made
    )
    print("FAILED" if failed else "passed")
    return int(failed)


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long calls are made (600)")
    parser.add_argument("--seed", type=int, default=1, help="where the sizes and the drops come from (1)")
    given = parser.parse_args()
    return soak(given.seconds, given.seed)


if __name__ == "__main__":
    sys.exit(main())
