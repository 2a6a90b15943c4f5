"""One execution of a task: its settings, and the results and errors that exist so far."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runware.local.ledger import TaskRecord, units_of
from runware.local.media import Media
from runware.local.output import OutputSink
from runware.local.planned_answers import PlannedAnswer
from runware.local.task_schema import TaskSpec, delivery_of
from runware.local.validation import ApiError

__all__ = ["TaskRun"]


class TaskRun:
    """One execution of a task.

    Attributes:
        task: The task as received.
        spec: Its task type.
        uuid: Its taskUUID.
        prompt: Its prompt.
        record: Its entry in the ledger.
        sink: The receiver of its frames.
        delivery: `sync`, `async` or `webhook`.
        requested: The number of results that the task asks for, and that are billed.
        costs: The price of each of them, in billionths of a dollar.
        count: The number of results that it produces.
        attempt: How many tasks with this prompt were submitted so far, this one included.
        delay: Seconds until the first result.
        acknowledgement: The content of its acknowledgement, a value of the switch `q8`.
        started: The event loop's time when it was started.
        seed: The seed of its first result.
        items: Finished results by index.
        errors: Errors of failed results by index.
        failure: The error if the task failed as a whole.
        on_done: Called once when every result has finished or failed.
        dry: Whether it is only validated.
        input_uuid: The UUID of its input image, which every result names.
        input_uuids: The same for several input images.
        forced_failure: The error with which a fault makes the whole task fail.
        failing_results: Indexes of the results that a fault makes fail.
        source: Its input file, if the server has it.
        given: The fields of each result that a test gave. `None`: none.
        given_errors: The errors of results that are to fail, by their indexes.
        file: The content of its files that a test gave. `None`: the server draws them.
    """

    __slots__ = (
        "acknowledgement", "attempt", "costs", "count", "delay", "delivery", "dry", "errors", "failing_results",
        "failure", "file", "forced_failure", "given", "given_errors", "input_uuid", "input_uuids", "items", "on_done",
        "prompt", "record", "requested", "seed", "sink", "source", "spec", "started", "task", "uuid",
    )  # fmt: skip

    def __init__(self, task: dict[str, Any], spec: TaskSpec, prompt: str, record: TaskRecord, sink: OutputSink) -> None:
        self.task = task
        self.spec = spec
        self.uuid: str = task["taskUUID"]
        self.prompt = prompt
        self.record = record
        self.sink = sink
        self.requested = self.count = spec.count(task)
        self.costs: Sequence[int] = (0,)
        self.delivery = delivery_of(task, spec)
        self.attempt = 1
        self.delay = 0.0
        self.acknowledgement = "none"
        self.started = 0.0
        seed = task.get("seed")
        self.seed: int = seed if isinstance(seed, int) else random.getrandbits(31) + 1
        self.items: dict[int, dict[str, Any]] = {}
        self.errors: dict[int, dict[str, Any]] = {}
        self.failure: dict[str, Any] | None = None
        self.on_done: Callable[[], None] | None = None
        self.dry = False
        self.input_uuid: str | None = None
        self.input_uuids: list[str] | None = None
        self.forced_failure: ApiError | None = None
        self.failing_results: frozenset[int] = frozenset()
        self.source: Media | None = None
        self.given: Sequence[Mapping[str, Any]] | None = None
        self.file: bytes | None = None
        self.given_errors: Mapping[int, ApiError] = {}

    def plan(self, answer: PlannedAnswer) -> None:
        """Apply the answer that a test has set.

        Raises:
            ApiError: The answer does not fit the task.
        """
        self.given = answer.results_for(self.task, self.requested)
        if self.given is not None:
            costs = [one.get("cost") for one in self.given]
            known = [units_of(cost, self.cost(index)) for index, cost in enumerate(costs)]
            self.costs = known or self.costs
        self.forced_failure = answer.error
        self.given_errors = answer.result_errors
        self.file = answer.file
        if answer.delay is not None:
            self.delay = answer.delay

    @property
    def done(self) -> bool:
        """Whether every result has finished or failed."""
        return self.failure is not None or len(self.items) + len(self.errors) >= self.count

    def cost(self, index: int) -> int:
        """Return the price of one result, in billionths of a dollar."""
        return self.costs[min(index, len(self.costs) - 1)]

    @property
    def head(self) -> dict[str, Any]:
        """The keys that every item of it begins with."""
        return {"taskType": self.task["taskType"], "taskUUID": self.uuid}

    @property
    def inline(self) -> bool:
        """Whether its files are sent inside its results."""
        return self.task.get("outputType") not in (None, "URL", ["URL"]) and bool(self.spec.media_key)

    def error(self, error: ApiError) -> dict[str, Any]:
        """Convert an error to the API's error object for this task."""
        return error.to_object(self.task)
