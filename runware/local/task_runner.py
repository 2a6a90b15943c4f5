"""Run accepted tasks: wait, hold results back, finish and bill them, and deliver them."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import deque
from concurrent.futures import Executor
from typing import Any, NamedTuple

from runware.local.active_faults import ActiveFaults
from runware.local.media import Media
from runware.local.output import Outgoing
from runware.local.prompt_marks import failure_of_result, failure_of_task
from runware.local.result_items import make_item, make_media
from runware.local.state import ServerState
from runware.local.task_run import TaskRun
from runware.local.validation import ApiError
from runware.local.webhooks import WebhookPost, WebhookSender

__all__ = ["ResultHold", "TaskRunner"]


class ResultHold:
    """Keeps finished results back; see `LocalServer.hold`."""

    def __init__(self, task_type: str | None) -> None:
        self.task_type = task_type

    def matches(self, run: TaskRun) -> bool:
        """Return whether it keeps back the results of a task."""
        if self.task_type is None:
            return not run.spec.is_query
        return self.task_type in (run.task["taskType"], run.spec.name)


class _Draft(NamedTuple):
    """A result before it is finished: its number, its file, and the file as base64 if it is sent inside the result."""

    number: int
    media: Media | None
    payload: str | None = None


class _Outcome(NamedTuple):
    """A finished or failed result: either its item or its error is set."""

    item: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class TaskRunner:
    """Runs accepted tasks on the event loop.

    Args:
        state: The state of the server.
        faults: The faults being played.
        webhooks: Sends webhooks and uploads.
        loop: The event loop of the server.
        executor: The threads that render files.
    """

    def __init__(
        self,
        state: ServerState,
        faults: ActiveFaults,
        webhooks: WebhookSender,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
    ) -> None:
        self._state = state
        self._faults = faults
        self._webhooks = webhooks
        self._loop = loop
        self._executor = executor
        self._holds: list[ResultHold] = []
        self._held: deque[tuple[TaskRun, int]] = deque()
        self._rendering: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Cancel the rendering of files."""
        rendering = list(self._rendering)
        for task in rendering:
            task.cancel()
        await asyncio.gather(*rendering, return_exceptions=True)

    def start(self, run: TaskRun) -> None:
        """Start a task and schedule its results."""
        run.started = self._loop.time()
        self._state.add_run(run)
        if not run.spec.is_query:
            self._state.ledger.execute(run.record)
        order = list(range(run.count))
        options = self._state.options
        if not run.spec.reports_status and run.count > 1:
            if options.result_order == "reversed":
                order.reverse()
            elif options.result_order == "shuffled":
                random.Random(run.uuid).shuffle(order)
        spread = options.spread
        if spread <= 0 or run.count == 1:
            self._schedule(run.delay, run, order)
            return
        for position, index in enumerate(order):
            self._schedule(run.delay + position * spread, run, [index])

    def _schedule(self, delay: float, run: TaskRun, indexes: list[int]) -> None:
        if delay <= 0:
            self._hold_or_finish(run, indexes)
        else:
            self._loop.call_later(delay, self._hold_or_finish, run, indexes)

    def progress(self, run: TaskRun) -> int:
        """Return the progress of a task in per cent, from 0 to 99."""
        if run.delay <= 0:
            return 0
        return max(0, min(99, int(100 * (self._loop.time() - run.started) / run.delay)))

    # Holding results back.

    def add_hold(self, hold: ResultHold) -> None:
        """Start keeping results back."""
        self._holds.append(hold)

    def has_hold(self, hold: ResultHold) -> bool:
        """Return whether a hold still keeps results back."""
        return hold in self._holds

    def remove_hold(self, hold: ResultHold) -> None:
        """End one hold, and finish the results that no other one keeps back."""
        if hold not in self._holds:
            return
        self._holds.remove(hold)
        released = []
        for _ in range(len(self._held)):
            run, index = self._held.popleft()
            if self._is_held(run):
                self._held.append((run, index))
            else:
                released.append((run, index))
        self._finish_released(released)

    def release(self, count: int | None) -> None:
        """Finish the oldest held results, or all of them, which also ends every hold."""
        if count is None:
            self._holds.clear()
        amount = len(self._held) if count is None else min(count, len(self._held))
        self._finish_released([self._held.popleft() for _ in range(amount)])

    def _finish_released(self, released: list[tuple[TaskRun, int]]) -> None:
        by_run: dict[int, tuple[TaskRun, list[int]]] = {}
        for run, index in released:
            by_run.setdefault(id(run), (run, []))[1].append(index)
        self._record_held()
        for run, indexes in by_run.values():
            self._finish(run, indexes)

    def _is_held(self, run: TaskRun) -> bool:
        return any(hold.matches(run) for hold in self._holds)

    def _record_held(self) -> None:
        self._state.ledger.held = len(self._held)
        self._state.ledger.changed()

    def _hold_or_finish(self, run: TaskRun, indexes: list[int]) -> None:
        if self._holds and self._is_held(run):
            self._held.extend((run, index) for index in indexes)
            self._record_held()
        else:
            self._finish(run, indexes)

    # Finishing.

    def _finish(self, run: TaskRun, indexes: list[int]) -> None:
        if run.failure is not None:
            return
        failure = failure_of_task(run)
        if failure is not None:
            self._fail(run, failure)
            return
        drafts = [_Draft(index, make_media(self._state, run, index)) for index in indexes]
        if run.inline or run.task.get("uploadEndpoint"):
            task = self._loop.create_task(self._render_and_complete(run, drafts))
            self._rendering.add(task)
            task.add_done_callback(self._rendering.discard)
        else:
            self._complete(run, drafts)

    async def _render_and_complete(self, run: TaskRun, drafts: list[_Draft]) -> None:
        try:
            rendered = [await self._render(run, draft) for draft in drafts]
        except Exception as error:
            self._fail_internally(run, error)
            return
        self._complete(run, rendered)

    async def _render(self, run: TaskRun, draft: _Draft) -> _Draft:
        media = draft.media
        if media is None:
            return draft
        data = await self._loop.run_in_executor(self._executor, self._state.media.content, media)
        endpoint = run.task.get("uploadEndpoint")
        if endpoint:
            self._webhooks.upload(endpoint, data, media.content_type)
        if not run.inline:
            return draft
        padded = self._faults.filter_file(run, data)
        payload = await self._loop.run_in_executor(self._executor, _encode_base64, padded)
        return draft._replace(payload=payload)

    def _complete(self, run: TaskRun, drafts: list[_Draft]) -> None:
        state, billed, units = self._state, 0, 0
        outcomes: list[_Outcome] = []
        try:
            for index, media, payload in drafts:
                failure = failure_of_result(run, index)
                if failure is not None:
                    run.errors[index] = run.error(failure)
                    run.record.error = failure.code
                    outcomes.append(_Outcome(error=run.errors[index]))
                    continue
                item = run.items[index] = make_item(state, run, index, media, payload)
                if index < run.requested:
                    billed += 1
                    units += run.cost(index)
                outcomes.append(_Outcome(item=item))
        except ApiError as error:
            self._fail(run, error)
            return
        except Exception as error:
            self._fail_internally(run, error)
            return
        if not run.spec.is_query:
            state.ledger.bill(run.record, billed, units)
        if state.options.balance is not None:
            failed = (draft.number for draft in drafts if draft.number in run.errors)
            state.options.balance += sum(map(run.cost, failed))
        self._deliver(run, outcomes)

    def _fail_internally(self, run: TaskRun, error: Exception) -> None:
        # A bug of this server must not leave a client without an answer; tests find the exception in the ledger.
        self._state.ledger.errors.append(error)
        self._fail(run, ApiError("internalServerError", f"The local server failed: {error!r}"))

    def _fail(self, run: TaskRun, failure: ApiError) -> None:
        if self._state.options.balance is not None:
            unbilled = (index for index in range(run.requested) if index not in run.items)
            self._state.options.balance += sum(map(run.cost, unbilled))
        error = run.failure = run.error(failure)
        run.record.error = failure.code
        self._deliver(run, [_Outcome(error=error)])

    # Delivering.

    def _deliver(self, run: TaskRun, outcomes: list[_Outcome]) -> None:
        if run.delivery == "webhook":
            self._call_webhook(run, outcomes)
        elif run.delivery == "sync":
            outputs = self._frames(run, outcomes)
            if self._faults.active:
                outputs = self._faults.filter_results(run, outputs)
            run.sink.deliver(outputs)
        self._state.ledger.changed()
        if run.on_done is not None and run.done:
            on_done, run.on_done = run.on_done, None
            on_done()

    def _call_webhook(self, run: TaskRun, outcomes: list[_Outcome]) -> None:
        posts: list[WebhookPost] = []
        for item, error in outcomes:
            if item is not None:
                posts.append(self._webhooks.result_post(run, item))
            if error is not None:
                posts.append(self._webhooks.error_post(run, error))
        if self._faults.active:
            posts = self._faults.filter_webhooks(run, posts, self._webhooks.send)
        for post in posts:
            self._webhooks.send(post)

    def _frames(self, run: TaskRun, outcomes: list[_Outcome]) -> list[Outgoing]:
        size = 1 if run.spec.reports_status else self._state.options.frame_size or len(outcomes)
        frames: list[Outgoing] = []
        for start in range(0, len(outcomes), size):
            part = outcomes[start : start + size]
            frame: dict[str, Any] = {}
            items = [item for item, _ in part if item is not None]
            errors = [error for _, error in part if error is not None]
            if items:
                frame["data"] = items
            if errors:
                frame["errors"] = errors
            frames.append(frame)
        return frames


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
