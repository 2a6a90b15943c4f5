"""The same as `serving.py` for asyncio clients. Separate, so that the others need not load asyncio."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Self

from serving import HOLD, PROMPT, Cannot, Computing, Cost, Wait, answer, failure, judged, medium, stdout, telling

__all__ = ["AsyncPeer", "serve_async"]


class AsyncPeer:
    """A client for asyncio."""

    async def open(self, url: str) -> None:
        """Connect."""
        raise NotImplementedError

    def call(self, prompt: str, seed_image: str | None = None) -> Awaitable[Any]:
        """Make a call, whose results are awaited."""
        raise NotImplementedError

    def surviving(self, prompt: str) -> Awaitable[Any]:
        """Make a call in the way that best survives a lost connection."""
        return self.call(prompt)

    def data(self, results: Any) -> str:
        """Return the base64 text of a result."""
        raise NotImplementedError

    def used(self, found: list[Any]) -> list[Any]:
        """Do the minimum that a program does with its results, for clients that leave work until then."""
        return found

    async def partial(self, told: Callable[[int], object]) -> None:
        """Make a call for 20 results; report the timestamp of each as it arrives."""
        raise Cannot("no partial results")

    async def stream(self, prompt: str, told: Callable[[str], object]) -> None:
        """Stream a text; tell each part of it as it comes."""
        raise Cannot("no streams of text")

    async def polled(self, prompt: str) -> int:
        """Run an asynchronous task and return its timestamp."""
        raise Cannot("no polling")

    @asynccontextmanager
    async def wide(self) -> AsyncIterator[None]:
        """Use the settings that large results need."""
        yield

    # ------------------------------------------------------------------ the work

    async def do_open(self, url: str) -> dict[str, Any]:
        await self.open(url)
        return {}

    async def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        call, clock = self.call, time.perf_counter
        done, started = 0, clock()
        while done < count and clock() - started < seconds:
            await call(PROMPT)
            done += 1
        return {"count": done, "wall": clock() - started}

    async def do_flight(self, count: int, *, surviving: bool = False) -> dict[str, Any]:
        call = self.surviving if surviving else self.call
        started = time.perf_counter()
        found = await asyncio.gather(*(call(HOLD) for _ in range(count)), return_exceptions=True)
        found = self.used(found)
        wall = time.perf_counter() - started
        return {"wall": wall, **judged(found)}

    async def do_partial(self, tasks: int) -> dict[str, Any]:
        lags: list[int] = []
        for _ in range(tasks):
            await self.partial(lambda stamp: lags.append(time.monotonic_ns() - stamp))
        return {"lags": lags}

    async def do_tokens(self, pieces: int, every: int) -> dict[str, Any]:
        lags: list[int] = []

        def told(text: str) -> None:
            now = time.monotonic_ns()
            lags.extend(now - int(stamp) for stamp in text.split())

        started = time.perf_counter()
        await self.stream(f"{PROMPT} #pieces={pieces} #every={every}", told)
        wall = time.perf_counter() - started
        assert len(lags) == pieces
        return {"lags": lags if every else [], "wall": wall}

    async def do_polled(self, ms: list[int], spacing: float) -> dict[str, Any]:
        lags = [0] * len(ms)
        told = telling(lags)

        async def one(number: int) -> None:
            told(number, await self.polled(f"{PROMPT} #ms={ms[number]}"))

        tasks = []
        for number in range(len(ms)):
            tasks.append(asyncio.create_task(one(number)))
            if spacing:
                await asyncio.sleep(spacing)
        await asyncio.gather(*tasks)
        return {"lags": lags}

    async def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        prompt = f"#size={size}"
        async with nullcontext() if plain else self.wide():
            started = time.perf_counter()
            for _ in range(count):
                assert len(self.data(await self.call(prompt))) == size
            return {"wall": time.perf_counter() - started}

    async def do_peak(self, count: int, size: int) -> dict[str, Any]:
        """Receive large results at once, and keep the text of all of them."""
        async with self.wide():
            found = await asyncio.gather(*(self.call(f"{PROMPT} #size={size}") for _ in range(count)))
        self.kept = [self.data(found.pop()) for _ in range(count)]
        assert all(len(text) == size for text in self.kept)
        return {}

    async def do_forget(self) -> dict[str, Any]:
        self.kept = []
        return {}

    async def do_mixed(self, seconds: float, size: int, every: float) -> dict[str, Any]:
        """Start small calls at an interval, whether or not earlier ones have ended, beside large ones in turn."""
        clock, lags = time.perf_counter, []

        async def move() -> int:
            moved = 0
            while clock() < started + seconds:
                assert len(self.data(await self.call(f"#size={size}"))) == size
                moved += size
            return moved

        async def one(due: float) -> None:
            await self.call(PROMPT)
            lags.append(clock() - due)

        async with self.wide():
            started = clock()
            large = asyncio.create_task(move())
            small = []
            for number in range(int(seconds / every)):
                due = started + number * every
                await asyncio.sleep(max(0.0, due - clock()))
                small.append(asyncio.create_task(one(due)))
            await asyncio.gather(*small)
            return {"lags": lags, "moved": await large}

    async def do_beside(self, what: str, pauses: int, calls: int, every: float) -> dict[str, Any]:
        """Make paced calls beside a thread that computes, or beside many timers in the same event loop."""
        lags: list[float] = []
        if what == "thread":
            with Computing() as work:
                apart, beside = Cost(work.cpu), Cost(work.cpu)
                await self._paced(pauses, calls, every, lags, apart, beside)
            return {"lags": lags, "cost": beside.cpu / calls - apart.cpu / pauses}
        with Timers() as timers:
            alone, together = Wait(timers.done), Wait(timers.done)
            await self._paced(pauses, calls, every, lags, alone, together)
        return {"lags": lags, "cost": together.more(alone) / calls}

    async def _paced(
        self,
        pauses: int,
        calls: int,
        every: float,
        lags: list[float],
        alone: AbstractContextManager[None],
        together: AbstractContextManager[None],
    ) -> None:
        """Pause, then make calls between such pauses."""
        with alone:
            for _ in range(pauses):
                await asyncio.sleep(every)
        with together:
            for _ in range(calls):
                await asyncio.sleep(every)
                started = time.perf_counter()
                await self.call(PROMPT)
                lags.append(time.perf_counter() - started)

    async def do_upload(self, count: int, size: int) -> dict[str, Any]:
        seed_image = medium(size)
        started = time.perf_counter()
        for _ in range(count):
            await self.call(PROMPT, seed_image)
        return {"wall": time.perf_counter() - started}

    async def do_wait(self, count: int) -> dict[str, Any]:
        async def one() -> None:
            await self.call(HOLD)

        self._left = [asyncio.create_task(one()) for _ in range(count)] + getattr(self, "_left", [])
        return {}

    async def do_collect(self) -> dict[str, Any]:
        gc.collect()
        return {}


class Timers:
    """10,000 timers in the event loop, each of which fires twice a second."""

    COUNT, PERIOD = 10_000, 0.5

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._fired = 0
        for number in range(self.COUNT):
            self._loop.call_later(self.PERIOD * number / self.COUNT, self._fire)
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False

    def done(self) -> int:
        """Return how many have fired."""
        return self._fired

    def _fire(self) -> None:
        self._fired += 1
        if self._running:
            self._loop.call_later(self.PERIOD, self._fire)


def serve_async(peer: AsyncPeer) -> None:
    """Run the commands on standard input, in one event loop, until it ends."""

    async def run() -> None:
        out = stdout()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            try:
                found = await getattr(peer, "do_" + command.pop("do"))(**command)
            except Exception as error:  # it is reported
                found = failure(error)
            answer(out, found)
        os._exit(0)

    asyncio.run(run())
