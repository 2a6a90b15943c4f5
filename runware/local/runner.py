"""Executes jobs: waits, holds results back, finishes them, bills them, and hands them to whoever waits."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import deque
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from runware.local.jobs import Job, fails_at, failure_of, make_item, make_media
from runware.local.media import Media
from runware.local.validation import Rejected

if TYPE_CHECKING:
    from runware.local.couriers import Couriers
    from runware.local.faults import Faults
    from runware.local.sessions import Output
    from runware.local.state import State

__all__ = ["Hold", "Runner"]


class Hold:
    """Keeps finished results back; see `LocalServer.hold`."""

    def __init__(self, task_type: str | None) -> None:
        self.task_type = task_type

    def matches(self, job: Job) -> bool:
        """Whether it keeps back the results of a job."""
        if self.task_type is None:
            return not job.spec.quick
        return self.task_type in (job.task["taskType"], job.spec.name)


class Runner:
    """Executes jobs on the event loop.

    Args:
        state: What the server shares.
        faults: What goes wrong on request.
        couriers: Deliver webhooks and uploads.
        loop: The server's event loop.
        executor: Threads that draw pictures.
    """

    def __init__(
        self,
        state: State,
        faults: Faults,
        couriers: Couriers,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
    ) -> None:
        self._state = state
        self._faults = faults
        self._couriers = couriers
        self._loop = loop
        self._executor = executor
        self._holds: list[Hold] = []
        self._held: deque[tuple[Job, int]] = deque()
        self._drawing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up the pictures that are being drawn."""
        drawing = list(self._drawing)
        for task in drawing:
            task.cancel()
        await asyncio.gather(*drawing, return_exceptions=True)

    def start(self, job: Job) -> None:
        """Execute a job."""
        job.started = self._loop.time()
        self._state.remember(job)
        if not job.spec.quick:
            self._state.ledger.execute(job.record)
        order = list(range(job.count))
        options = self._state.options
        if not job.spec.statuses and job.count > 1:
            if options.result_order == "reversed":
                order.reverse()
            elif options.result_order == "shuffled":
                random.Random(job.uuid).shuffle(order)
        spread = options.spread
        if spread <= 0 or job.count == 1:
            self._after(job.delay, job, order)
            return
        for position, index in enumerate(order):
            self._after(job.delay + position * spread, job, [index])

    def _after(self, delay: float, job: Job, indexes: list[int]) -> None:
        if delay <= 0:
            self._ready(job, indexes)
        else:
            self._loop.call_later(delay, self._ready, job, indexes)

    def progress(self, job: Job) -> int:
        """How far a job is, from 0 to 99."""
        if job.delay <= 0:
            return 0
        return max(0, min(99, int(100 * (self._loop.time() - job.started) / job.delay)))

    # Holding results back.

    def hold(self, hold: Hold) -> None:
        """Keep results back from now on."""
        self._holds.append(hold)

    def drop_hold(self, hold: Hold) -> None:
        """End one hold, and let through what no other one keeps back."""
        if hold in self._holds:
            self._holds.remove(hold)
            self._let_through(len(self._held))

    def release(self, count: int | None) -> None:
        """Let results through: so many of them, or all, which also ends every hold."""
        if count is None:
            self._holds.clear()
        amount = len(self._held) if count is None else min(count, len(self._held))
        batch = [self._held.popleft() for _ in range(amount)]
        self._finish_batch(batch)

    def _let_through(self, amount: int) -> None:
        batch = []
        for _ in range(amount):
            job, index = self._held.popleft()
            if self._is_held(job):
                self._held.append((job, index))
            else:
                batch.append((job, index))
        self._finish_batch(batch)

    def _finish_batch(self, batch: list[tuple[Job, int]]) -> None:
        groups: dict[int, tuple[Job, list[int]]] = {}
        for job, index in batch:
            groups.setdefault(id(job), (job, []))[1].append(index)
        self._note_held()
        for job, indexes in groups.values():
            self._finish(job, indexes)

    def _is_held(self, job: Job) -> bool:
        return any(hold.matches(job) for hold in self._holds)

    def _note_held(self) -> None:
        self._state.ledger.held = len(self._held)
        self._state.ledger.changed()

    def _ready(self, job: Job, indexes: list[int]) -> None:
        if self._holds and self._is_held(job):
            self._held.extend((job, index) for index in indexes)
            self._note_held()
        else:
            self._finish(job, indexes)

    # Finishing.

    def _finish(self, job: Job, indexes: list[int]) -> None:
        if job.failure is not None:
            return
        failure = failure_of(job)
        if failure is not None:
            self._fail(job, failure)
            return
        drafts = [(index, make_media(self._state, job, index)) for index in indexes]
        if job.inline or job.task.get("uploadEndpoint"):
            task = self._loop.create_task(self._draw(job, drafts))
            self._drawing.add(task)
            task.add_done_callback(self._drawing.discard)
        else:
            self._complete(job, [(index, media, None) for index, media in drafts])

    async def _draw(self, job: Job, drafts: list[tuple[int, Media | None]]) -> None:
        try:
            finished = await self._drawn(job, drafts)
        except Exception as error:
            self._break(job, error)
            return
        self._complete(job, finished)

    async def _drawn(
        self, job: Job, drafts: list[tuple[int, Media | None]]
    ) -> list[tuple[int, Media | None, str | None]]:
        finished: list[tuple[int, Media | None, str | None]] = []
        for index, media in drafts:
            payload = None
            if media is not None:
                data = await self._loop.run_in_executor(self._executor, self._state.media.content, media)
                endpoint = job.task.get("uploadEndpoint")
                if endpoint:
                    self._couriers.upload(endpoint, data, media.content_type)
                if job.inline:
                    padded = self._faults.pad(job, data)
                    payload = await self._loop.run_in_executor(self._executor, _encode, padded)
            finished.append((index, media, payload))
        return finished

    def _complete(self, job: Job, drafts: list[tuple[int, Media | None, str | None]]) -> None:
        state, billed = self._state, 0
        done: list[tuple[dict[str, Any] | None, dict[str, Any] | None]] = []
        try:
            for index, media, payload in drafts:
                failed = fails_at(job, index)
                if failed is not None:
                    error = job.errors[index] = job.error(failed)
                    done.append((None, error))
                    continue
                item = job.items[index] = make_item(state, job, index, media, payload)
                billed += index < job.asked
                done.append((item, None))
        except Rejected as rejected:
            self._fail(job, rejected)
            return
        except Exception as error:
            self._break(job, error)
            return
        price = job.spec.price
        if not job.spec.quick:
            state.ledger.bill(job.record, billed, billed * price)
        if state.options.balance is not None:
            state.options.balance += price * sum(1 for _, error in done if error is not None)
        self._deliver(job, done)

    def _break(self, job: Job, error: Exception) -> None:
        # An error of ours must not leave a client waiting; tests find it in the ledger.
        self._state.ledger.errors.append(error)
        self._fail(job, Rejected("internalServerError", f"The local server failed: {error!r}"))

    def _fail(self, job: Job, rejected: Rejected) -> None:
        unbilled = job.asked - len(job.items)
        if self._state.options.balance is not None:
            self._state.options.balance += job.spec.price * unbilled
        error = job.failure = job.error(rejected)
        self._deliver(job, [(None, error)])

    def _deliver(self, job: Job, done: list[tuple[dict[str, Any] | None, dict[str, Any] | None]]) -> None:
        if job.delivery == "webhook":
            for item, error in done:
                self._couriers.webhook(job, item, error)
        elif job.delivery == "sync":
            outputs = self._frames(job, done)
            if self._faults.active:
                outputs = self._faults.delivering(job, outputs)
            job.sink.deliver(outputs)
        self._state.ledger.changed()
        if job.on_done is not None and job.done:
            finished, job.on_done = job.on_done, None
            finished()

    def _frames(self, job: Job, done: list[tuple[dict[str, Any] | None, dict[str, Any] | None]]) -> list[Output]:
        size = 1 if job.spec.statuses else self._state.options.frame_size or len(done)
        frames: list[Output] = []
        for start in range(0, len(done), size):
            part = done[start : start + size]
            frame: dict[str, Any] = {}
            items = [item for item, _ in part if item is not None]
            errors = [error for _, error in part if error is not None]
            if items:
                frame["data"] = items
            if errors:
                frame["errors"] = errors
            frames.append(frame)
        return frames


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
