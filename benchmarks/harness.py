"""Starting the server, its control port, repeated measurements, and their results.

Only the standard library: clients in environments of their own are measured with this file as well.
"""

from __future__ import annotations

import gc
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

__all__ = [
    "ROOT",
    "Better",
    "Child",
    "Column",
    "Context",
    "Control",
    "Figure",
    "ServerProcess",
    "Stopwatch",
    "cpu",
    "cpu_of",
    "environment",
    "interleave",
    "part",
    "percentile",
    "waits_of",
    "wall",
]

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
Better = Literal["lower", "higher"]


@dataclass
class Figure:
    """One measured quantity.

    Attributes:
        name: What was measured: the case, a dot, and the quantity.
        values: One number per run.
        unit: Unit of the values; `"x"` for a ratio of two measurements of the same run.
        better: Which way is better.
        note: What it is compared with, or how it was measured.
    """

    name: str
    values: list[float]
    unit: str
    better: Better = "lower"
    note: str = ""

    @property
    def median(self) -> float:
        """The value to quote."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half the distance between the extremes, as a fraction of the median."""
        median = self.median
        return (max(self.values) - min(self.values)) / 2 / median if median else 0.0


class Control:
    """The control port of a server. Threads may share it."""

    def __init__(self, port: int) -> None:
        self._lock = Lock()
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=60.0)
        self._file = self._sock.makefile("rw", encoding="utf-8", newline="\n")

    def __call__(self, do: str, **more: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        with self._lock:
            self._file.write(json.dumps({"do": do, **more}) + "\n")
            self._file.flush()
            answer: dict[str, Any] = json.loads(self._file.readline())
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._sock.close()


class Child:
    """A module of this package in a process of its own, which ends with the `with` block, or with this process.

    It prints a JSON object on one line, its ports, when it is ready, and ends when its standard input does.

    Args:
        module: The module.
        options: Its arguments.
        cores: The processors it may use; `None` or an empty set for all.
    """

    def __init__(self, module: str, *options: str, cores: set[int] | None = None) -> None:
        self._line = [sys.executable, "-m", module, *options]
        self._cores = cores

    def start(self) -> dict[str, int]:
        """Start the process, and return its ports when it is ready."""
        self._process = subprocess.Popen(
            self._line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True
        )
        if self._cores:
            os.sched_setaffinity(self._process.pid, self._cores)
        assert self._process.stdout is not None
        ports: dict[str, int] = json.loads(self._process.stdout.readline())
        return ports

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ServerProcess(Child):
    """`benchmarks.server`.

    Args:
        certificate: A PEM file with which it serves TLS as well, on the port `tls`.
        cores: The processors it may use; `None` or an empty set for all.
    """

    def __init__(self, certificate: Path | None = None, cores: set[int] | None = None) -> None:
        options = () if certificate is None else ("--certificate", str(certificate))
        super().__init__("benchmarks.server", *options, cores=cores)

    def __enter__(self) -> dict[str, int]:
        return self.start()


@dataclass
class Context:
    """The input of a case.

    Attributes:
        ports: The server's ports: `port` for clients, `control`, and `echo`.
        control: The server's control port.
        runs: How often to measure.
        quick: Whether to do less.
    """

    ports: dict[str, int]
    control: Control
    runs: int
    quick: bool

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        return f"ws://127.0.0.1:{self.ports['port']}/v1"


class Stopwatch:
    """Wall time, and the CPU time of all threads of this process.

    Attributes:
        wall: Seconds.
        cpu: CPU seconds of the process.
        io: CPU seconds of the client's I/O thread among them, where measured.
        server: CPU seconds of the server meanwhile, where measured.
    """

    wall = cpu = io = server = 0.0

    def __enter__(self) -> Self:
        self._cpu = time.process_time()
        self._wall = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu


class Column(Generic[T]):
    """The results of one measurement, turn by turn; a number of consecutive turns (the slices) form a run.

    Short slices that alternate with those of other measurements see the same disturbances as they do.
    """

    def __init__(self, slices: int) -> None:
        self.turns: list[T] = []
        self.slices = slices

    def each(self, read: Callable[[T], float]) -> list[float]:
        """Return one number per run: the median of its slices."""
        return self._by_run([read(turn) for turn in self.turns])

    def over(self, other: Column[Any], read: Callable[[Any], float]) -> list[float]:
        """Divide this by another measurement slice by slice; return one number per run, the median of its slices."""
        pairs = zip(self.turns, other.turns, strict=True)
        return self._by_run([read(one) / read(two) for one, two in pairs])

    def _by_run(self, values: list[float]) -> list[float]:
        step = self.slices
        return [statistics.median(values[start : start + step]) for start in range(0, len(values), step)]


def interleave(runs: int, *measurements: Callable[[], T], slices: int = 1, dry: bool = True) -> list[Column[T]]:
    """Take several measurements in turn, so that disturbances of the machine affect all of them.

    Args:
        runs: The number of values of each.
        measurements: The measurements to take in turn.
        slices: The number of turns per run.
        dry: Whether to take one turn before that does not count.
    """
    for measure in measurements if dry else ():
        measure()
    columns: list[Column[T]] = [Column(slices) for _ in measurements]
    for _ in range(runs):
        gc.collect()  # between runs only; the collector itself stays on, as it is for users
        for _ in range(slices):
            for measure, column in zip(measurements, columns, strict=True):
                column.turns.append(measure())
    return columns


def wall(watch: Stopwatch) -> float:
    """Return the wall time."""
    return watch.wall


def cpu(watch: Stopwatch) -> float:
    """Return the CPU time."""
    return watch.cpu


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this fraction of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def waits_of(thread: Thread) -> int:
    """Return how often a thread of this process has waited, as the kernel counts it (Linux)."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text(encoding="utf-8")
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def cpu_of(thread: Thread) -> float:
    """Return the CPU seconds of one thread of this process."""
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def part(server: int) -> set[int]:
    """Give the server's process a core of its own, if there are two, and return the remaining ones."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return set(cores)
    os.sched_setaffinity(server, cores[-1:])
    return set(cores[:-1])


def environment() -> dict[str, str]:
    """Return the environment for a measuring process: this one's, with the project first on the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
