"""Validate tasks, answer queries, and start the execution of other tasks, for WebSocket and HTTP alike."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from runware.local.active_faults import ActiveFaults
from runware.local.model_rules import ModelRules
from runware.local.output import Outgoing, OutputSink
from runware.local.planned_answers import PlannedAnswer
from runware.local.prompt_marks import has_mark
from runware.local.result_items import make_item
from runware.local.state import ServerState
from runware.local.task_inputs import named_in, prompt_of
from runware.local.task_queries import answer_details, answer_poll, finished_items
from runware.local.task_run import TaskRun
from runware.local.task_runner import TaskRunner
from runware.local.task_schema import TaskSpec, check_uuid
from runware.local.task_types import TASK_TYPES, current_name
from runware.local.validation import ApiError

__all__ = ["Script", "TaskProcessor", "TaskSource"]

Script = Callable[[dict[str, Any]], list[Any] | None]
"""A function that answers tasks in place of the server; see `LocalServer.script`."""


class TaskSource(OutputSink, Protocol):
    """The sender of a task: a WebSocket session, or an HTTP request.

    Attributes:
        dry: Whether its tasks are only validated.
    """

    dry: bool

    def attach(self, run: TaskRun) -> None:
        """Register an accepted task before it starts."""

    def expect_answer(self) -> None:
        """Register that an answer will be delivered later."""

    def answer_delivered(self) -> None:
        """Register that an expected answer was delivered."""


class TaskProcessor:
    """Processes tasks from all sources.

    Args:
        state: The state of the server.
        faults: The faults being played.
        runner: Runs the accepted tasks.
        loop: The event loop of the server.

    Attributes:
        script: The function of a test that answers tasks in place of the server.
    """

    def __init__(
        self, state: ServerState, faults: ActiveFaults, runner: TaskRunner, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._state = state
        self._faults = faults
        self._runner = runner
        self._loop = loop
        self._models = ModelRules(state)
        self.script: Script | None = None
        self._attempts: Counter[str] = Counter()

    def run_script(self, task: dict[str, Any]) -> list[Any] | None:
        """Return the answers of the script, or `None` if it leaves the task to the server."""
        if self.script is None:
            return None
        try:
            return self.script(task)
        except Exception as error:
            # An exception of a test's script must not leave a client without an answer; tests find it in the ledger.
            self._state.ledger.errors.append(error)
            return [{"errors": [ApiError("internalServerError", f"The script failed: {error!r}").to_object(task)]}]

    def submit(self, task: dict[str, Any], source: TaskSource) -> None:
        """Execute a task, or answer a query."""
        try:
            spec, uuid = self._validate(task, source)
            if spec.name == "getResponse":
                self._poll(task, uuid, source)
            elif spec.name == "getTaskDetails":
                answer = answer_details(self._state, task)
                self._answer(self._state.options.delay_for(task, is_query=True), source, lambda: [answer])
            else:
                self._accept(task, spec, uuid, source)
        except ApiError as error:
            refusal = error.to_object(task)
            self._state.ledger.reject(task, refusal)
            source.deliver([{"errors": [refusal]}])
        except Exception as error:
            # Neither a bug of this server nor an exception of a test's function may leave a client without an answer.
            self._state.ledger.errors.append(error)
            failure = ApiError("internalServerError", f"The local server failed: {error!r}")
            source.deliver([{"errors": [failure.to_object(task)]}])

    def _validate(self, task: dict[str, Any], source: TaskSource) -> tuple[TaskSpec, str]:
        switches = self._state.switches
        name = task.get("taskType")
        if name is None:
            raise ApiError(switches.q14, "'taskType' is required.", "taskType", type="string")
        spec = TASK_TYPES.get(name) if isinstance(name, str) else None
        if spec is None:
            raise ApiError("unsupportedTaskType", f"There is no task type {name!r}.", "taskType", type="string")
        uuid = check_uuid(task, switches.q14)
        if self._state.recording is None:  # a recorded answer already has the real service's own errors
            self._models.check(task, spec)
        lost = self._state.media.forgotten
        if lost and (name := named_in(task, lost)) is not None:
            raise ApiError("mediaNotFound", f"The media of '{name}' is not stored here.", name, type="string")
        if task.get("deliveryMethod") == "stream" and not source.http and switches.q10 == "error":
            message = "Tokens are streamed over HTTP only."
            raise ApiError("unsupportedParameter", message, "deliveryMethod", type="string")
        return spec, uuid

    # Queries.

    def _poll(self, task: dict[str, Any], uuid: str, source: TaskSource) -> None:
        self._state.ledger.poll(uuid)
        delay = self._state.options.delay_for(task, is_query=True)
        self._answer(delay, source, lambda: self._poll_answer(task, uuid, source))

    def _poll_answer(self, task: dict[str, Any], uuid: str, source: TaskSource) -> list[Outgoing]:
        run = self._state.runs.get(uuid)
        progress = self._runner.progress(run) if run is not None else 0
        frames: list[Outgoing] = [answer_poll(self._state, task, progress, http=source.http)]
        return self._faults.filter_poll(task, run, frames) if self._faults.active else frames

    def _answer(self, delay: float, source: TaskSource, create: Callable[[], list[Outgoing]]) -> None:
        if delay > 0:
            source.expect_answer()
            self._loop.call_later(delay, self._answer_late, source, create)
            return
        source.deliver(create())

    def _answer_late(self, source: TaskSource, create: Callable[[], list[Outgoing]]) -> None:
        source.deliver(create())
        source.answer_delivered()

    # Execution.

    def _accept(self, task: dict[str, Any], spec: TaskSpec, uuid: str, source: TaskSource) -> None:
        state, ledger = self._state, self._state.ledger
        prompt = prompt_of(task)
        record = ledger.submit(uuid, task["taskType"], prompt)
        known = state.runs.get(uuid)
        if known is not None and not spec.repeatable and not known.dry and not self._faults.allow_duplicate(task):
            ledger.conflicts += 1
            raise ApiError("conflictTaskUUID", "This taskUUID was already used.", "taskUUID", type="string")
        run = TaskRun(task, spec, prompt, record, source)
        run.costs = self._models.costs(run)
        unasked = run.delivery == "sync" and not spec.is_query and "deliveryMethod" not in task
        if state.switches.unasked_async and unasked:
            run.delivery = "async"
        if source.dry:
            self._dry_run(run, source)
            return
        if "[" in prompt:
            self._attempts[prompt] += 1
            run.attempt = self._attempts[prompt]
            self._reject_by_prompt(prompt, run.attempt)
        planned = self._plan(task, spec, run.count)
        run.delay = state.options.delay_for(task, is_query=spec.is_query)
        if planned is not None:
            run.plan(planned)
        self._charge(run)
        run.acknowledgement = state.switches.q8
        if self._faults.active:
            self._faults.on_accepted(run)
        source.attach(run)
        acknowledged = run.delivery != "sync"
        start_first = run.acknowledgement == "finished"
        if start_first:
            self._runner.start(run)
        frames: list[Outgoing] = [self._acknowledgement(run)] if acknowledged else []
        if self._faults.active:
            frames = self._faults.filter_acknowledgement(run, frames)
        if frames:
            source.deliver(frames)
        if not start_first:
            self._runner.start(run)

    def _plan(self, task: dict[str, Any], spec: TaskSpec, count: int) -> PlannedAnswer | None:
        """Return the answer that a test gave, or the recorded one; `None`: the server makes one up.

        Raises:
            ApiError: The server replays a recording, and the task was not recorded.
        """
        state = self._state
        planned = state.planned.take(current_name(spec.name), task) if state.planned.active else None
        if planned is None and state.recording is not None:
            planned = state.recording.take(task, count)
        return planned

    def _acknowledgement(self, run: TaskRun) -> dict[str, Any]:
        finished = finished_items(run) if run.acknowledgement == "finished" else []
        if finished:
            return {"data": finished}
        if run.acknowledgement == "processing":
            return {"data": [{**run.head, "status": "processing"}]}
        return {"data": [run.head]}

    def _reject_by_prompt(self, prompt: str, attempt: int) -> None:
        if has_mark(prompt, "[rate-limit", attempt):
            raise ApiError("rateLimitExceeded", "Slow down.")
        if "[error:" in prompt:
            code = prompt.partition("[error:")[2].partition("]")[0]
            raise ApiError(code, f"The prompt asked for the error {code}.")

    def _charge(self, run: TaskRun) -> None:
        options = self._state.options
        if options.balance is None:
            return
        cost = sum(map(run.cost, range(run.requested)))
        if cost > options.balance:
            raise ApiError("insufficientCredits", "Top up your balance.")
        options.balance -= cost

    def _dry_run(self, run: TaskRun, source: TaskSource) -> None:
        run.dry = True
        self._state.ledger.count("dry_runs")
        for index in range(run.count):
            run.items[index] = make_item(self._state, run, index, None, None)
        self._state.add_run(run)
        if run.delivery != "sync":
            source.deliver([{"data": [run.head]}])
            return
        items = list(run.items.values()) if self._state.switches.q11 == "items" else []
        source.deliver([{"data": items}])
