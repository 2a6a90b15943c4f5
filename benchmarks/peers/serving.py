"""Shared code of all Python clients: commands arrive as JSON lines, and each is answered with one.

Only the standard library: it runs in the environment of every client. A client defines how one call is made; the loops
are here, and so are the same for all. Times come from the monotonic clock, as the server's timestamps do.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

__all__ = [
    "EVERY",
    "HOLD",
    "NUMBER",
    "PROMPT",
    "Cannot",
    "Computing",
    "Cost",
    "Peer",
    "Wait",
    "answer",
    "failure",
    "judged",
    "medium",
    "serve",
    "stdout",
    "telling",
]

LIFETIME = 3600
PROMPT = "a lighthouse at dusk, waves, long exposure, film grain"
HOLD = PROMPT + " #hold"
NUMBER = 20
"""Results of a task whose partial results are measured."""
EVERY = f"{PROMPT} #every=4"

_media: dict[int, str] = {}


class Cannot(Exception):  # noqa: N818 - no error: there is nothing to measure
    """The client does not support it; the text says why."""


def medium(size: int) -> str:
    """Return an input of this many characters, created once."""
    if size not in _media:
        head = "data:image/png;base64,"
        _media[size] = head + base64.b64encode(os.urandom(size)).decode()[: size - len(head)]
    return _media[size]


class Peer:
    """A blocking client. What it does not support raises."""

    def open(self, url: str) -> None:
        """Connect."""
        raise NotImplementedError

    def call(self, prompt: str, seed_image: str | None = None) -> Any:
        """Make a call and return its results."""
        raise NotImplementedError

    def data(self, results: Any) -> str:
        """Return the base64 text of a result."""
        raise NotImplementedError

    def together(self, prompt: str, count: int) -> list[Any]:
        """Put a number of calls in flight at once, and return the results of each, or its error."""
        raise Cannot("one call at a time")

    def partial(self, told: Callable[[int], object]) -> None:
        """Make a call for 20 results; report the timestamp of each as it arrives."""
        raise Cannot("no partial results")

    def stream(self, prompt: str, told: Callable[[str], object]) -> None:
        """Stream a text; tell each part of it as it comes."""
        raise Cannot("no streams of text")

    def polled(self, prompts: list[str], told: Callable[[int, int], object], spacing: float) -> None:
        """Start asynchronous tasks at intervals; report number and timestamp of each when its caller has the result."""
        raise Cannot("no polling")

    def leave(self, count: int) -> None:
        """Start calls and leave them in flight."""
        raise Cannot("one call at a time")

    # ------------------------------------------------------------------ the work

    def do_open(self, url: str) -> dict[str, Any]:
        self.open(url)
        return {}

    def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        call, clock = self.call, time.perf_counter
        done, started = 0, clock()
        while done < count and clock() - started < seconds:
            call(PROMPT)
            done += 1
        return {"count": done, "wall": clock() - started}

    def do_flight(self, count: int, *, surviving: bool = False) -> dict[str, Any]:
        started = time.perf_counter()
        found = self.together(HOLD, count)
        wall = time.perf_counter() - started
        return {"wall": wall, **judged(found)}

    def do_partial(self, tasks: int) -> dict[str, Any]:
        lags: list[int] = []
        for _ in range(tasks):
            self.partial(lambda stamp: lags.append(time.monotonic_ns() - stamp))
        return {"lags": lags}

    def do_tokens(self, pieces: int, every: int) -> dict[str, Any]:
        lags: list[int] = []

        def told(text: str) -> None:
            now = time.monotonic_ns()
            lags.extend(now - int(stamp) for stamp in text.split())

        started = time.perf_counter()
        self.stream(f"{PROMPT} #pieces={pieces} #every={every}", told)
        wall = time.perf_counter() - started
        assert len(lags) == pieces
        return {"lags": lags if every else [], "wall": wall}

    def do_polled(self, ms: list[int], spacing: float) -> dict[str, Any]:
        lags = [0] * len(ms)
        self.polled([f"{PROMPT} #ms={one}" for one in ms], telling(lags), spacing)
        return {"lags": lags}

    def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        prompt = f"#size={size}"
        started = time.perf_counter()
        for _ in range(count):
            assert len(self.data(self.call(prompt))) == size
        return {"wall": time.perf_counter() - started}

    def do_peak(self, count: int, size: int) -> dict[str, Any]:
        """Receive large results at once, and keep the text of all of them."""
        found = self.together(f"{PROMPT} #size={size}", count)
        self.kept = [self.data(found.pop()) for _ in range(count)]
        assert all(len(text) == size for text in self.kept)
        return {}

    def do_forget(self) -> dict[str, Any]:
        self.kept = []
        return {}

    def do_mixed(self, seconds: float, size: int, every: float) -> dict[str, Any]:
        """Start small calls at an interval, whether or not earlier ones have ended, beside large ones in turn."""
        clock, lags = time.perf_counter, []
        started = clock()

        def move() -> int:
            moved = 0
            while clock() < started + seconds:
                assert len(self.data(self.call(f"#size={size}"))) == size
                moved += size
            return moved

        def one(due: float) -> None:
            self.call(PROMPT)
            lags.append(clock() - due)

        with ThreadPoolExecutor(32) as pool:
            large = pool.submit(move)
            small = []
            for number in range(int(seconds / every)):
                due = started + number * every
                time.sleep(max(0.0, due - clock()))
                small.append(pool.submit(one, due))
            for each in small:
                each.result()
            return {"lags": lags, "moved": large.result()}

    def do_beside(self, what: str, pauses: int, calls: int, every: float) -> dict[str, Any]:
        """Make paced calls beside a thread that computes, after pauses alone."""
        if what != "thread":
            raise Cannot("no event loop")
        with Computing() as work:
            alone, together = Cost(work.cpu), Cost(work.cpu)
            with alone:
                for _ in range(pauses):
                    time.sleep(every)
            lags = []
            with together:
                for _ in range(calls):
                    time.sleep(every)
                    started = time.perf_counter()
                    self.call(PROMPT)
                    lags.append(time.perf_counter() - started)
        return {"lags": lags, "cost": together.cpu / calls - alone.cpu / pauses}

    def do_upload(self, count: int, size: int) -> dict[str, Any]:
        seed_image = medium(size)
        started = time.perf_counter()
        for _ in range(count):
            self.call(PROMPT, seed_image)
        return {"wall": time.perf_counter() - started}

    def do_wait(self, count: int) -> dict[str, Any]:
        self.leave(count)
        return {}

    def do_collect(self) -> dict[str, Any]:
        gc.collect()
        return {}


class Computing:
    """A thread that computes in Python, without a pause."""

    def __enter__(self) -> Self:
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join(10)

    def cpu(self) -> float:
        """Return the CPU seconds of this thread so far."""
        assert self._thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def _run(self) -> None:
        while self._running:
            for _ in range(200):
                pass


class Cost:
    """The CPU time of the process during something, without that of a thread.

    Args:
        thread: Returns the CPU seconds of the thread.

    Attributes:
        cpu: Seconds.
    """

    def __init__(self, thread: Callable[[], float]) -> None:
        self._thread = thread
        self.cpu = 0.0

    def __enter__(self) -> None:
        self._started = time.process_time() - self._thread()

    def __exit__(self, *_: object) -> None:
        self.cpu = time.process_time() - self._thread() - self._started


class Wait:
    """The CPU time of the process during something, and how far a counter moves meanwhile."""

    def __init__(self, counter: Callable[[], int]) -> None:
        self._counter = counter
        self.cpu, self.moved = 0.0, 0

    def __enter__(self) -> None:
        self._cpu, self._count = time.process_time(), self._counter()

    def __exit__(self, *_: object) -> None:
        self.cpu, self.moved = time.process_time() - self._cpu, self._counter() - self._count

    def more(self, usual: Wait) -> float:
        """Return the CPU seconds above those of what the counter counts, which cost what they usually do."""
        return self.cpu - self.moved * usual.cpu / usual.moved


def telling(lags: list[int]) -> Callable[[int, int], object]:
    """Return a function that records the lag of a task, given its number and its timestamp."""

    def told(number: int, stamp: int) -> None:
        lags[number] = time.monotonic_ns() - stamp

    return told


def judged(found: list[Any]) -> dict[str, Any]:
    """Return how many calls succeeded, and the first error of the others."""
    errors = [one for one in found if isinstance(one, BaseException)]
    error = f"{type(errors[0]).__name__}: {errors[0]}" if errors else ""
    return {"right": sum(bool(one) for one in found) - len(errors), "error": error}


# ---------------------------------------------------------------------- commands


def stdout() -> Any:
    """Reserve standard output for the answers; what a client prints goes to standard error."""
    signal.alarm(LIFETIME)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def answer(out: Any, found: dict[str, Any]) -> None:
    """Write an answer."""
    out.write(json.dumps(found) + "\n")
    out.flush()


def failure(error: BaseException) -> dict[str, Any]:
    """Return the answer that reports an error."""
    kind = "cannot" if isinstance(error, Cannot) else "failed"
    text = str(error) if kind == "cannot" else f"{type(error).__name__}: {error}"
    return {kind: text}


def serve(peer: Peer) -> None:
    """Run the commands on standard input until it ends."""
    out = stdout()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            found = getattr(peer, "do_" + command.pop("do"))(**command)
        except Exception as error:  # it is reported
            found = failure(error)
        answer(out, found)
    os._exit(0)  # calls still in flight are not waited for
