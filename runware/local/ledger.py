"""The record of everything that the server received, executed and billed, for tests to compare a client with."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["UNIT", "Ledger", "ReceivedRequest", "TaskRecord", "units_of"]

# Costs are integers in billionths of a dollar: the sum of 10,000 small prices is exact, and one token has a price.
UNIT = 1_000_000_000
_MOST = 1e15
"""Dollars from which on a cost is nonsense, which a test may want its client to see."""

_NOT_REQUESTS = frozenset(("authentication", "ping", "getResponse"))
_RECENT = 100
_FIRST = ("model", "positivePrompt", "prompt", "width", "height", "numberResults")
_OMITTED = frozenset(("taskType", "taskUUID"))
_CELL = 40


def units_of(cost: object, price: int) -> int:
    """Return the cost that a result reports, in billionths of a dollar; *price* if it is no sensible number."""
    if isinstance(cost, (int, float)) and abs(cost) < _MOST:
        return round(cost * UNIT)
    return price


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
        error: The code of the last error of the task or of one of its results; empty without one.
    """

    __slots__ = ("error", "executions", "polls", "prompt", "results", "submissions", "task_type", "units")

    def __init__(self) -> None:
        self.task_type = ""
        self.prompt = ""
        self.executions = 0
        self.submissions = 0
        self.results = 0
        self.polls = 0
        self.units = 0
        self.error = ""

    @property
    def cost(self) -> float:
        """The billed cost in dollars."""
        return self.units / UNIT


class ReceivedRequest:
    """One task that was sent to be executed. `request["width"]` is a parameter under its API name.

    Attributes:
        number: Its number: the requests of a server are counted.
        task: The task as received.
        task_uuid: The taskUUID; empty without one.
        received_at: The time of its arrival, in seconds since 1970 (`time.time()`).
        rejection: The API's error object with which it was rejected. `None`: it was accepted.
    """

    __slots__ = ("_records", "number", "received_at", "rejection", "task", "task_uuid")

    def __init__(
        self, number: int, task: dict[str, Any], task_uuid: str, records: Mapping[str, TaskRecord], received_at: float
    ) -> None:
        self.number = number
        self.task = task
        self.task_uuid = task_uuid or str(task.get("taskUUID", ""))
        self.received_at = received_at
        self.rejection: dict[str, Any] | None = None
        self._records = records

    def __getitem__(self, name: str) -> Any:
        return self.task[name]

    def __contains__(self, name: object) -> bool:
        return name in self.task

    @property
    def task_type(self) -> str:
        """The API's name of the task type; empty without one."""
        return str(self.task.get("taskType", ""))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters under their API names: everything but the task type and the UUID."""
        return {name: value for name, value in self.task.items() if name not in _OMITTED}

    @property
    def record(self) -> TaskRecord | None:
        """The entry of its taskUUID, with what was executed and billed; `None` if it was rejected at once."""
        return self._records.get(self.task_uuid)

    @property
    def results(self) -> int:
        """The number of results produced and billed."""
        return self.record.results if self.record is not None else 0

    @property
    def cost(self) -> float:
        """The billed cost in dollars."""
        return self.record.cost if self.record is not None else 0.0

    @property
    def error(self) -> str:
        """The code of the error with which it was rejected or failed; empty without one."""
        if self.rejection is not None:
            return str(self.rejection.get("code", ""))
        return self.record.error if self.record is not None else ""

    def described_parameters(self) -> str:
        """Return the parameters as `name=value`, the main ones first, long values shortened."""
        names = [*(name for name in _FIRST if name in self.task), *(name for name in self.parameters)]
        return ", ".join(f"{name}={shorten(self.task[name])}" for name in dict.fromkeys(names))

    def described_outcome(self) -> str:
        """Return the number of results, the cost and the error."""
        results = f"{self.results} result{'' if self.results == 1 else 's'}, ${self.cost:.5f}"
        return f"{results}, {self.error}" if self.error else results

    def __repr__(self) -> str:
        return f"<{self.task_type or 'no task type'} {self.described_parameters()}: {self.described_outcome()}>"


def shorten(value: Any) -> str:
    """Return a JSON value as text of one line and at most 40 characters."""
    if isinstance(value, list):
        return f"[{', '.join(map(shorten, value[:2]))}{', …' if len(value) > 2 else ''}]"
    text = repr(value[: 2 * _CELL] if isinstance(value, str) else value)
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def request_table(requests: Sequence[ReceivedRequest], billed: float) -> str:
    """Return a table of requests: their task types, outcomes and main parameters."""
    rows = [(request.task_type, request.described_outcome(), request.described_parameters()) for request in requests]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{kind:{widths[0]}}  {outcome:{widths[1]}}  {parameters}" for kind, outcome, parameters in rows]
    return "\n".join([*lines, f"{len(rows)} request{'' if len(rows) == 1 else 's'}, ${billed:.5f}"])


class Ledger:
    """The record of a server. Every attribute may be read from any thread; only the server writes.

    `print(server.ledger)` shows what was sent as a table.

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
        self._numbered = 0
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
        self._requests: list[ReceivedRequest] = []
        self.changed()

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """What was sent to be executed, in order: every received task but authentications, pings and polls."""
        return tuple(self._requests)

    def latest(self, count: int) -> list[ReceivedRequest]:
        """Return the last of `requests`, at most *count*."""
        return self._requests[-count:]

    @property
    def last(self) -> ReceivedRequest:
        """The last of `requests`.

        Raises:
            LookupError: There is none.
        """
        requests = self._requests
        if not requests:
            raise LookupError(f"nothing was sent yet; {self!r}")
        return requests[-1]

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        return self._version

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
        shown = "".join(f"{name}={value}, " for name, value in counts.items() if value)
        return f"<Ledger received={len(self.received)}, {shown}billed={self.billed:.5f}>"

    def __str__(self) -> str:
        return request_table(self.requests, self.billed)

    # The methods below are called by the server only, on its own thread.

    def changed(self) -> None:
        """Wake the threads in `wait_for`."""
        self._version += 1
        if self._waiters:
            with self._changed:
                self._changed.notify_all()

    def receive(self, task: dict[str, Any], task_uuid: str = "") -> None:
        """Record a received task; *task_uuid* names its entry if the task itself has none."""
        if "apiKey" in task:
            task = {**task, "apiKey": "***"}
        self.received.append(task)
        if self._keep is not None and len(self.received) > 2 * self._keep:
            del self.received[: -self._keep or None]
        if task.get("taskType") not in _NOT_REQUESTS:
            self._numbered += 1
            self._requests.append(ReceivedRequest(self._numbered, task, task_uuid, self._records, time.time()))
            if self._keep is not None and len(self._requests) > 2 * self._keep:
                del self._requests[: -self._keep or None]
        self.changed()

    def reject(self, task: dict[str, Any], error: Mapping[str, Any]) -> None:
        """Record that a task was answered with an error object instead of being executed."""
        self.rejected += 1
        # A task is rejected soon after it was received; those of one message are received one by one.
        for request in reversed(self._requests[-_RECENT:]):
            if request.task is task:
                request.rejection = dict(error)
                break
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
