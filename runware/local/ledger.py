"""The record of everything that the server received, executed and billed, for tests to compare a client with."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

__all__ = ["UNIT", "Ledger", "TaskRecord"]

# Costs are integers in billionths of a dollar: the sum of 10,000 small prices is exact, and one token has a price.
UNIT = 1_000_000_000


class TaskRecord:
    """The entry of one taskUUID.

    Attributes:
        task_type: The API's name of the task type; empty if the task was only polled.
        prompt: The prompt of the task; empty without one.
        executions: How often the server started to execute the task.
        submissions: How often the task was received, rejected submissions included.
        results: Results produced and billed.
        polls: getResponse requests received for the task.
        units: The billed cost, in billionths of a dollar.
    """

    __slots__ = ("executions", "polls", "prompt", "results", "submissions", "task_type", "units")

    def __init__(self) -> None:
        self.task_type = ""
        self.prompt = ""
        self.executions = 0
        self.submissions = 0
        self.results = 0
        self.polls = 0
        self.units = 0

    @property
    def cost(self) -> float:
        """The billed cost in dollars."""
        return self.units / UNIT


class Ledger:
    """The record of a server. Every attribute may be read from any thread; only the server writes.

    Attributes:
        received: Every task as received, in order, authentication and polls included; the API key is replaced by
            `***`.
        connections: WebSocket connections opened so far.
        authentications: Successful WebSocket authentications.
        refusals: Rejected API keys, over WebSocket and HTTP.
        resumes: Authentications that resumed a session.
        replayed: Frames that were sent after a resume, again or for the first time.
        pings: JSON pings received.
        executed: Tasks whose execution started.
        results: Results produced and billed.
        rejected: Tasks answered with an error instead of being executed.
        conflicts: Tasks rejected because their taskUUID was in use.
        dry_runs: Tasks that were only validated.
        held: Finished results that `hold()` keeps back now.
        http_requests: HTTP requests to the API.
        streams: Number of token streams that were begun.
        streams_dropped: Number of token streams whose client left before the end.
        media_requests: HTTP requests for files.
        service_requests: HTTP requests to the services that describe models.
        frames_sent: Frames sent to WebSocket connections.
        user_agents: The User-Agents of upgrades and HTTP requests.
        webhooks: One entry per webhook: `url`, `body`, `statuses` (one per attempt; a string if there was no
            response) and `delivered`.
        uploads: The same for `uploadEndpoint`, with `size` instead of `body`.
        faults: Names of the faults that were played, in order.
        errors: Unexpected exceptions inside the server, such as those of a `script`.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._changed = threading.Condition()
        self._version = 0
        self._waiters = 0
        self.reset()

    def reset(self) -> None:
        """Reset every attribute."""
        self.received: list[dict[str, Any]] = []
        self.connections = 0
        self.authentications = 0
        self.refusals = 0
        self.resumes = 0
        self.replayed = 0
        self.pings = 0
        self.executed = 0
        self.results = 0
        self.rejected = 0
        self.conflicts = 0
        self.dry_runs = 0
        self.held = 0
        self.http_requests = 0
        self.streams = 0
        self.streams_dropped = 0
        self.media_requests = 0
        self.service_requests = 0
        self.frames_sent = 0
        self.user_agents: set[str] = set()
        self.webhooks: list[dict[str, Any]] = []
        self.uploads: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.errors: list[BaseException] = []
        self._units = 0
        self._records: dict[str, TaskRecord] = {}

    @property
    def billed(self) -> float:
        """The billed cost of all tasks in dollars."""
        return self._units / UNIT

    def record(self, task_uuid: str) -> TaskRecord | None:
        """Return the entry of one task; `None` if the server never received it."""
        return self._records.get(task_uuid)

    def executions(self, task_uuid: str) -> int:
        """Return how often a task was executed. More than 1 means that it was billed more than once."""
        record = self._records.get(task_uuid)
        return record.executions if record else 0

    def submissions(self, task_uuid: str) -> int:
        """Return how often a task was received, rejected submissions included."""
        record = self._records.get(task_uuid)
        return record.submissions if record else 0

    def polls(self, task_uuid: str) -> int:
        """Return the number of getResponse requests for a task."""
        record = self._records.get(task_uuid)
        return record.polls if record else 0

    def cost(self, task_uuid: str) -> float:
        """Return the billed cost of a task in dollars."""
        record = self._records.get(task_uuid)
        return record.cost if record else 0.0

    def executions_by_prompt(self) -> dict[str, int]:
        """Return the number of executed tasks by prompt."""
        counts: Counter[str] = Counter()
        for record in list(self._records.values()):
            if record.executions:
                counts[record.prompt] += record.executions
        return dict(counts)

    def results_by_prompt(self) -> dict[str, int]:
        """Return the number of billed results by prompt."""
        counts: Counter[str] = Counter()
        for record in list(self._records.values()):
            if record.results:
                counts[record.prompt] += record.results
        return dict(counts)

    def tasks(self, task_type: str) -> list[dict[str, Any]]:
        """Return the received tasks of one type, in order."""
        return [task for task in list(self.received) if task.get("taskType") == task_type]

    def wait_for(self, predicate: Callable[[Ledger], object], timeout: float = 10.0) -> None:
        """Block until a predicate returns a true value for this ledger.

        Args:
            predicate: Called with this ledger, in the calling thread and without any lock, now and after every change.
                It should be cheap.
            timeout: Seconds to wait.

        Raises:
            TimeoutError: The predicate was not true in time. The message contains the counters of the ledger.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._waiters += 1
        try:
            while True:
                version = self._version
                if predicate(self):
                    return
                with self._changed:
                    while self._version == version:
                        if not self._changed.wait(deadline - time.monotonic()):
                            raise TimeoutError(f"the predicate was not true within {timeout} s; {self!r}")
        finally:
            with self._changed:
                self._waiters -= 1

    def __repr__(self) -> str:
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int) and name[0] != "_"}
        shown = ", ".join(f"{name}={value}" for name, value in counts.items() if value)
        return f"<Ledger received={len(self.received)}, {shown}, billed={self.billed:.5f}>"

    # The methods below are called by the server only, on its own thread.

    def changed(self) -> None:
        """Wake the threads in `wait_for`."""
        self._version += 1
        if self._waiters:
            with self._changed:
                self._changed.notify_all()

    def receive(self, task: dict[str, Any]) -> None:
        """Record a received task."""
        if "apiKey" in task:
            task = {**task, "apiKey": "***"}
        self.received.append(task)
        if self._keep is not None and len(self.received) > 2 * self._keep:
            del self.received[: -self._keep or None]
        self.changed()

    def submit(self, task_uuid: str, task_type: str, prompt: str) -> TaskRecord:
        """Record a submission; return the entry of its task."""
        record = self._open(task_uuid)
        record.task_type, record.prompt = task_type, prompt
        record.submissions += 1
        return record

    def poll(self, task_uuid: str) -> None:
        """Record a getResponse."""
        self._open(task_uuid).polls += 1
        self.changed()

    def _open(self, task_uuid: str) -> TaskRecord:
        record = self._records.get(task_uuid)
        if record is None:
            record = self._records[task_uuid] = TaskRecord()
            if self._keep is not None and len(self._records) > 2 * self._keep:
                for old in list(self._records)[: -self._keep or None]:
                    del self._records[old]
        return record

    def execute(self, record: TaskRecord) -> None:
        """Record that the execution of a task started."""
        record.executions += 1
        self.executed += 1
        self.changed()

    def bill(self, record: TaskRecord, results: int, units: int) -> None:
        """Record results and their cost."""
        record.results += results
        record.units += units
        self.results += results
        self._units += units
        self.changed()

    def count(self, counter: str, amount: int = 1) -> None:
        """Increase one of the counters."""
        setattr(self, counter, getattr(self, counter) + amount)
        self.changed()
