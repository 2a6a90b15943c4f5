"""What the server received, executed and billed: the books that tests compare a client's word with."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

__all__ = ["UNIT", "Ledger", "TaskRecord"]

# Costs are summed in whole units of 0.00001 dollars, so that 10,000 small prices add up exactly.
UNIT = 100_000


class TaskRecord:
    """The account of one taskUUID.

    Attributes:
        task_type: The wire name of the task's type, empty if it was only asked about.
        prompt: The task's prompt, empty if it has none.
        executions: How often the server started to execute it.
        submissions: How often it was received, refused submissions included.
        results: Results produced and billed.
        polls: getResponse requests received for it.
        units: What was billed, in 0.00001 dollars.
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
        """What was billed, in dollars."""
        return self.units / UNIT


class Ledger:
    """The server's books. Every attribute may be read from any thread; only the server writes.

    Attributes:
        received: Every task as it came on the wire, in order, authentication and polls included; the API key is
            replaced by `***`.
        connections: WebSocket connections made so far.
        authentications: Successful WebSocket authentications.
        refusals: Refused keys, on WebSocket and HTTP.
        resumes: Authentications that took up an earlier session.
        replayed: Frames that were sent again or late after a resume.
        pings: JSON pings received.
        executed: Tasks whose execution was started.
        results: Results produced and billed.
        rejected: Tasks answered with an error instead of being executed.
        conflicts: Tasks rejected because their taskUUID was in use.
        dry_runs: Tasks that were only validated.
        held: Finished results that `hold()` keeps back at the moment.
        http_requests: HTTP requests to the API.
        media_requests: Media files fetched.
        frames_sent: Frames handed to WebSocket connections.
        webhooks: One entry for each webhook delivery: `url`, `body`, `statuses` (one for each try; a text when
            there was no answer), `delivered`.
        uploads: The same for `uploadEndpoint`, with `size` instead of `body`.
        faults: Names of the faults played, in order.
        errors: Unexpected exceptions inside the server, such as those of a `script`.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._changed = threading.Condition()
        self._version = 0
        self._waiters = 0
        self.reset()

    def reset(self) -> None:
        """Start new books."""
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
        self.media_requests = 0
        self.frames_sent = 0
        self.webhooks: list[dict[str, Any]] = []
        self.uploads: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.errors: list[BaseException] = []
        self._units = 0
        self._records: dict[str, TaskRecord] = {}

    @property
    def billed(self) -> float:
        """What was billed so far, in dollars."""
        return self._units / UNIT

    def record(self, task_uuid: str) -> TaskRecord | None:
        """The account of one task; `None` if the server never saw it."""
        return self._records.get(task_uuid)

    def executions(self, task_uuid: str) -> int:
        """How often the task was executed; more than 1 is what a careful client never causes."""
        record = self._records.get(task_uuid)
        return record.executions if record else 0

    def submissions(self, task_uuid: str) -> int:
        """How often the task was received, refused submissions included."""
        record = self._records.get(task_uuid)
        return record.submissions if record else 0

    def polls(self, task_uuid: str) -> int:
        """How often getResponse asked for the task."""
        record = self._records.get(task_uuid)
        return record.polls if record else 0

    def cost(self, task_uuid: str) -> float:
        """What was billed for the task, in dollars."""
        record = self._records.get(task_uuid)
        return record.cost if record else 0.0

    def executions_by_prompt(self) -> dict[str, int]:
        """How many tasks were executed for each prompt."""
        counts: Counter[str] = Counter()
        for record in list(self._records.values()):
            if record.executions:
                counts[record.prompt] += record.executions
        return dict(counts)

    def results_by_prompt(self) -> dict[str, int]:
        """How many results were produced and billed for each prompt."""
        counts: Counter[str] = Counter()
        for record in list(self._records.values()):
            if record.results:
                counts[record.prompt] += record.results
        return dict(counts)

    def tasks(self, task_type: str) -> list[dict[str, Any]]:
        """The received tasks of one type, in order."""
        return [task for task in list(self.received) if task.get("taskType") == task_type]

    def wait_for(self, predicate: Callable[[Ledger], object], timeout: float = 10.0) -> None:
        """Block this thread until the predicate, called with this ledger, gives a true value.

        It is asked again after every change, so it should be cheap.

        Args:
            predicate: Called in this thread, without any lock held.
            timeout: Seconds to wait.

        Raises:
            TimeoutError: It did not hold in time; the message says what the ledger held then.
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
                            raise TimeoutError(f"not within {timeout} s; {self!r}")
        finally:
            with self._changed:
                self._waiters -= 1

    def __repr__(self) -> str:
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int) and name[0] != "_"}
        shown = ", ".join(f"{name}={value}" for name, value in counts.items() if value)
        return f"<Ledger received={len(self.received)}, {shown}, billed={self.billed:.5f}>"

    # What follows is called by the server only, on its own thread.

    def changed(self) -> None:
        """Tell the waiting threads that something happened."""
        self._version += 1
        if self._waiters:
            with self._changed:
                self._changed.notify_all()

    def receive(self, task: dict[str, Any]) -> None:
        """Note a task as it came."""
        if "apiKey" in task:
            task = {**task, "apiKey": "***"}
        self.received.append(task)
        if self._keep is not None and len(self.received) > 2 * self._keep:
            del self.received[: -self._keep or None]
        self.changed()

    def submit(self, task_uuid: str, task_type: str, prompt: str) -> TaskRecord:
        """Note a submission and give the account of its task."""
        record = self._opened(task_uuid)
        record.task_type, record.prompt = task_type, prompt
        record.submissions += 1
        return record

    def poll(self, task_uuid: str) -> None:
        """Note a getResponse."""
        self._opened(task_uuid).polls += 1
        self.changed()

    def _opened(self, task_uuid: str) -> TaskRecord:
        record = self._records.get(task_uuid)
        if record is None:
            record = self._records[task_uuid] = TaskRecord()
            if self._keep is not None and len(self._records) > 2 * self._keep:
                for old in list(self._records)[: -self._keep or None]:
                    del self._records[old]
        return record

    def execute(self, record: TaskRecord) -> None:
        """Note that the execution of a task began."""
        record.executions += 1
        self.executed += 1
        self.changed()

    def bill(self, record: TaskRecord, results: int, units: int) -> None:
        """Note results and their price."""
        record.results += results
        record.units += units
        self.results += results
        self._units += units
        self.changed()

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to one of the counters."""
        setattr(self, counter, getattr(self, counter) + amount)
        self.changed()
