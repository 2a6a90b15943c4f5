"""Kill programs with a store at random moments, start them again, and count what the server has executed and billed.

    python -m tools.kill_runs --kills 1000 --tasks 500
    python -m tools.kill_runs --kills 200 --processes 2 --store postgresql+psycopg://...

A run is `map(run=..., save_to=...)` over a number of tasks. Its processes are killed (`SIGKILL`) until one of them ends
by itself; then every task must have been executed and billed once, every file must be there once, and the next run
begins. Processes are forked from a server that has loaded all modules, so that most kills hit the work and not the
start of the interpreter.
"""

# A script in a folder of scripts, which prints its report.
# ruff: noqa: INP001, T201

from __future__ import annotations

import argparse
import multiprocessing
import pathlib
import random
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from runware import Runware
from runware.errors import RunwareError
from runware.local import LocalServer

__all__ = ["Killings", "main"]

MODULES = [
    "runware.store.access",
    "runware.map",
    "runware.media.saving",
    "runware.store.places",
    "runware.store.recorder",
    "runware.store.runs",
    "runware.transport.io_loop",
    "httpx2",
    "runware.requests.image",
    "sqlalchemy.dialects.sqlite",
]
_LONGEST = 120.0
"""Seconds in which a process that is not killed must end."""


def work(url: str, key: str, store: str, run: str, tasks: int, folder: str, begun: Connection) -> None:
    """Do the tasks of a run, as far as they are not done."""
    begun.send_bytes(b"!")
    client = Runware(key, url=url, store=store, timeout=60.0, check="off", max_in_flight=20)
    parameters: dict[str, Any] = {"model": "runware:101@1", "width": 128, "height": 128}
    inputs = [{"positive_prompt": f"{run} {number}", **parameters} for number in range(tasks)]
    for _ in client.map(client.image_inference, inputs, run=run, save_to=pathlib.Path(folder) / "files" / run):
        pass
    client.close()


class Killings:
    """Runs whose processes are killed.

    Args:
        store: The URL of the store; `None` for a file in *folder*.
        folder: Where files are written.
        tasks: How many tasks a run has.
        processes: How many processes work on a run at the same time.
        longest: The most seconds that a process works before it is killed.
        seed: Of the random moments.
    """

    def __init__(
        self,
        store: str | None,
        folder: pathlib.Path,
        *,
        tasks: int = 500,
        processes: int = 1,
        longest: float = 0.6,
        seed: int | None = None,
    ) -> None:
        self.store = store or f"sqlite:///{folder / 'jobs.db'}"
        self.folder = folder
        self.tasks = tasks
        self.processes = processes
        self.longest = longest
        self.kills = 0
        self.runs = 0
        self._random = random.Random(seed)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(MODULES)

    def go(self, kills: int, *, show: bool = False) -> None:
        """Kill as often as asked, and finish the last run.

        Raises:
            AssertionError: A task was lost, or executed or billed more than once.
        """
        # Some tasks take longer than others, so that there are some in every state.
        with LocalServer(delay=lambda task: 0.03 * (sum(task["taskUUID"].encode()) % 4)) as server:
            while self.kills < kills:
                self.runs += 1
                self._run(server, f"run-{self.runs}", kills)
                self._check(server)
                if show:
                    print(f"{self.kills} kills, {self.runs} runs, {server.ledger!r}", flush=True)

    def _run(self, server: LocalServer, run: str, kills: int) -> None:
        alive = [self._start(server, run) for _ in range(self.processes)]
        while self.kills < kills:
            victim = self._random.randrange(len(alive))
            alive[victim].join(self._random.uniform(0.0, self.longest))
            if alive[victim].exitcode is None:
                alive[victim].kill()
                alive[victim].join()
                self.kills += 1
                alive[victim] = self._start(server, run)
            elif alive[victim].exitcode == 0:
                break
            else:
                raise AssertionError(f"a process ended with {alive[victim].exitcode}")
        for process in alive:
            process.join(_LONGEST)
            assert process.exitcode == 0, f"a process ended with {process.exitcode}"
            process.close()

    def _start(self, server: LocalServer, run: str) -> BaseProcess:
        begun, begins = self._context.Pipe(duplex=False)
        arguments = (server.url, server.api_key, self.store, run, self.tasks, str(self.folder), begins)
        process = self._context.Process(target=work, args=arguments)
        process.start()
        begins.close()
        begun.recv_bytes()  # what happens before is the start of an interpreter
        begun.close()
        return process

    def _check_files(self) -> None:
        for run in range(1, self.runs + 1):
            folder = self.folder / "files" / f"run-{run}"
            # What a killed download had written stays for a while under a hidden name.
            sizes = [path.stat().st_size for path in folder.iterdir() if not path.name.startswith(".")]
            assert len(sizes) == self.tasks, f"{len(sizes)} files of run {run} are there"
            assert all(sizes)

    def _check(self, server: LocalServer) -> None:
        """Compare what the server has executed with what was asked for, and with the store."""
        ledger = server.ledger
        executed = ledger.executions_by_prompt()
        asked = self.tasks * self.runs
        several = {prompt: count for prompt, count in executed.items() if count != 1}
        assert not several, f"tasks that were executed more than once: {several}"
        assert len(executed) == asked, f"{len(executed)} of {asked} tasks were executed"
        assert set(ledger.results_by_prompt().values()) == {1}
        with Runware(server.api_key, url=server.url, store=self.store) as client:
            stored = [(task.state, task.cost) for task in client.jobs]
        assert [state for state, _ in stored] == ["succeeded"] * asked, f"{len(stored)} tasks are in the store"
        billed = sum(cost or 0.0 for _, cost in stored)
        self._check_files()
        assert abs(billed - ledger.billed) < 1e-6, f"${billed} is in the store, and ${ledger.billed} was billed"


def main() -> int:
    """Kill, and print what happened."""
    parser = argparse.ArgumentParser(prog="python -m tools.kill_runs", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=500, help="of each run")
    parser.add_argument("--processes", type=int, default=1, help="how many work on a run at the same time")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds that a process works at most")
    parser.add_argument("--store", help="URL of the store; a SQLite file by default")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        killings = Killings(
            arguments.store,
            pathlib.Path(folder),
            tasks=arguments.tasks,
            processes=arguments.processes,
            longest=arguments.longest,
            seed=arguments.seed,
        )
        try:
            killings.go(arguments.kills, show=True)
        except (AssertionError, RunwareError) as error:
            print(f"FAILED after {killings.kills} kills: {error}")
            return 1
    print(f"{killings.kills} kills, {killings.runs} runs, {time.monotonic() - started:.0f} s: every task once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
