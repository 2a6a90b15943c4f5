"""The readers of streams: they perform the steps of an exchange, in a thread or in an event loop.

Each stream has a connection of its own. An idle connection could be reused, but the server may close it at any moment:
then it cannot be known whether the request has arrived, and a stream must never be bought twice.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop
from runware._support.http_headers import Headers, secret_values
from runware._support.lazy_modules import lazy_module
from runware._support.logs import warn_interrupted
from runware.errors import ClientClosedError, RunwareError, TaskCancelledError
from runware.futures import Owner
from runware.jobs import Job
from runware.options import Options
from runware.protocol.codec import loads
from runware.protocol.ids import new_uuid
from runware.requests.plan import Plan
from runware.requests.text import StreamText
from runware.results import Results, TextPiece
from runware.text.bodies import AsyncBody, BlockingBody
from runware.text.exchange import (
    DEFAULT_SILENCE,
    BrokenConnectionError,
    Exchange,
    Open,
    Pieces,
    Read,
    Recover,
    Reply,
    Reserve,
    Sleep,
    Step,
)
from runware.text.open_streams import OpenStreams
from runware.text.requester import Requester, abandoned, load_http, ready, reply_of
from runware.transport.activity import ActiveCall, Activity
from runware.transport.http_client import async_http_client, http_client, limit_network

if TYPE_CHECKING:
    import asyncio

    import httpx2

    from runware.store.expenses import Expense
    from runware.store.keeper import Place
else:
    asyncio = lazy_module("asyncio")
    httpx2 = lazy_module("httpx2")

__all__ = ["AsyncReader", "BlockingReader", "Reader", "StreamOwner"]


class StreamOwner(Owner, Protocol):
    """The client of a stream, as the stream sees it."""

    options: Options

    @property
    def streams(self) -> OpenStreams:
        """The streams of this client."""
        ...

    def plan(self, task: StreamText, uuid: str | None = None) -> Plan:
        """Encode a request. Unless it has a UUID, it gets this one, or a new one."""
        ...

    activity: Activity

    def expense(
        self, task_type: str, uuid: str, wire: Callable[[], Mapping[str, Any]], place: Place | None = None
    ) -> Expense | None:
        """Return what counts the cost of a stream; `None` if nothing does."""
        ...

    def follow(
        self,
        ref: str | Mapping[str, Any],
        timeout: float | None,
        on_partial: Any,
        *,
        hidden: bool = False,
        headers: Headers | None = None,
    ) -> Job[Results[Any]]:
        """Wait for a task that was submitted before; if it is *hidden*, it is neither counted nor reported."""
        ...


class Reader(Requester):
    """What the readers of the forms have in common: the exchange, the request, and how errors are translated.

    Args:
        owner: The client.
        task: The request.
        uuid: The UUID of the task.
    """

    def __init__(self, owner: StreamOwner, task: StreamText, uuid: str) -> None:
        super().__init__(owner.options)
        self._owner = owner
        self._uuid = uuid
        self._silence = task.silence_timeout or DEFAULT_SILENCE
        self._steps: Generator[Step, Any, None] | None = None
        self.exchange: Exchange | None = None
        self.reading = False
        self.complete = False
        self.error: RunwareError | None = None
        self._job: Job[Any] | None = None
        # It may be read in another thread, or by another task.
        self._context = copy_context() if owner.activity.watched else None
        self._call: ActiveCall | None = None
        self._expense: Expense | None = None
        self.place: Place | None = None
        """Its place in a call of `map` with a budget."""

    @property
    def uuid(self) -> str:
        """The UUID of the task; with retries, that of the last attempt."""
        return self._uuid if self.exchange is None else self.exchange.uuid

    @property
    def in_flight(self) -> str | None:
        """The UUID of the task, if it was sent and its stream is not complete."""
        return self.uuid if self.exchange is not None and self.state == "streaming" else None

    @property
    def attempts(self) -> Sequence[str]:
        """The UUID and outcome of each failed attempt, oldest first."""
        return () if self.exchange is None else self.exchange.attempts

    @property
    def state(self) -> str:
        """The state, in words."""
        if self.complete:
            return "complete"
        if self.error is not None:
            return "failed"
        return "closed" if self.ended_by else "not started" if self.exchange is None else "streaming"

    def begin(self, plan: Plan) -> None:
        """Start the exchange."""
        self._headers = plan.headers
        self._redactor.add(*secret_values(plan.headers), lasting=True)
        self._owner.streams.add(self)
        text, redactor = plan.text, self.redact_secrets()
        expense = self._expense = self._owner.expense(plan.task_type, plan.uuid, lambda: loads(text)[0], self.place)
        self.exchange = Exchange(
            plan,
            self._silence,
            time.monotonic,
            redactor,
            self._owner.downloads,
            reserve=None if expense is None else expense.reserve,
        )
        self._steps = self.exchange.steps()
        self._call = self._owner.activity.begin(plan.uuid, plan.task_type, plan.model, plan.sent, self._context)

    def advance(self, outcome: Any, error: Exception | None) -> Step | None:
        """Return the next step; `None` at the end.

        Raises:
            RunwareError: The stream failed.
        """
        steps, exchange = self._steps, self.exchange
        assert steps is not None
        assert exchange is not None
        if self.ended_by:
            raise self._fail(exchange.closed_error(by=self.ended_by))
        failure: RunwareError
        try:
            step: Step = steps.send(outcome) if error is None else steps.throw(error)
            self._report(step)
            return step
        except StopIteration:
            self.complete = True
            self._report_end(None)
            return None
        except RunwareError as raised:
            failure = raised
        if self.ended_by:
            failure = exchange.closed_error(by=self.ended_by)
        raise self._fail(failure)

    def _report(self, step: Step) -> None:
        call = self._call
        assert call is not None
        if isinstance(step, Open):
            call.sent(len(step.body), step.uuid)
        elif isinstance(step, Pieces):
            call.first_piece()
        elif isinstance(step, Sleep):
            call.retrying(step.error, step.seconds)
        elif isinstance(step, Recover):
            call.interrupted("the stream broke off")

    def _report_end(self, error: RunwareError | None) -> None:
        """Report the end, and count what the stream has cost."""
        if self._call is not None and self.exchange is not None:
            text = self.exchange.text()
            self._call.ended(error, results=() if error is not None and text.text == "" else (text.raw,))
            if self._expense is not None:
                may_have_run = error is not None and error.may_have_run
                self._expense.settle(text.raw, succeeded=error is None, may_have_run=may_have_run)

    def end(self, by: str) -> None:
        """Note that the stream is ended before it is complete: by `"stream"`, `"client"` or `"fork"`."""
        self.ended_by = self.ended_by or by
        if (exchange := self.exchange) is not None and (call := self._call) is not None:
            exchange.sent |= self._sent and call.in_flight  # while its response is awaited
            self._report_end(exchange.closed_error(self.ended_by))

    def _fail(self, error: RunwareError) -> RunwareError:
        self.error = error
        self._report_end(error)
        # Each caller gets a copy: raising the same instance again would extend its traceback.
        return copy.copy(error)

    def refuse(self) -> None:
        """Raise the error of a stream that has ended without being complete."""
        if self.error is not None:
            raise copy.copy(self.error)
        if self.ended_by and not self.complete:
            if self.exchange is None:
                cls = TaskCancelledError if self.ended_by == "stream" else ClientClosedError
                raise cls(f"The {self.ended_by} was closed before the stream began. Nothing was sent.")
            raise self.exchange.closed_error(by=self.ended_by)

    def interrupted(self) -> None:
        """Warn that reading was interrupted, if the task was sent."""
        if self.exchange is not None and (self._sent or self.exchange.sent):
            warn_interrupted(self.exchange.uuid)


class BlockingReader(Reader):
    """Reads a stream in the caller's thread.

    Args:
        owner: The client.
        task: The request.
        plan: Its plan.
    """

    def __init__(self, owner: StreamOwner, task: StreamText, plan: Plan) -> None:
        super().__init__(owner, task, plan.uuid)
        self._plan: Plan | None = plan
        self._http: httpx2.Client | None = None
        self._response: httpx2.Response | None = None
        self._body: BlockingBody | None = None
        self._wake = threading.Event()
        self.on_step: Callable[[Step], object] | None = None
        self.on_abandon: Callable[[], object] = lambda: None

    def next_pieces(self) -> Sequence[TextPiece]:
        """Wait for the next pieces; return none at the end.

        Raises:
            RunwareError: The stream failed.
        """
        if self.complete:
            return ()
        self.refuse()
        if self.reading:
            raise RuntimeError("the stream is being read by another thread")
        self.reading = True
        going_on = False
        try:
            if self._plan is not None:
                plan, self._plan = self._plan, None
                self.begin(plan)
            step = self._take_steps()
            going_on = step is not None
            return () if step is None else step.pieces
        except RunwareError:
            raise
        except BaseException:  # Ctrl-C
            self.end("stream")
            self.interrupted()
            raise
        finally:
            self.reading = False
            if not going_on or self.ended_by:
                self._disconnect()

    def _take_steps(self) -> Pieces | None:
        """Take steps until there are pieces; return `None` at the end."""
        outcome: Any = None
        error: Exception | None = None
        while (step := self.advance(outcome, error)) is not None:
            if self.on_step is not None:
                self.on_step(step)
            if isinstance(step, Pieces):
                return step
            outcome = error = None
            try:
                outcome = self._perform(step)
            except Exception as failure:
                error = self.translated(failure)
                failure.__traceback__ = None  # its frames hold the key
        return None

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Read):
            self._until = step.until
            assert self._body is not None
            return self._body.read()
        if isinstance(step, Open):
            return self._open(step)
        if isinstance(step, Reserve):
            return step.work()
        self._disconnect()
        if isinstance(step, Sleep):
            self._wake.wait(step.seconds)
            return None
        assert isinstance(step, Recover)
        self._job = job = self._owner.follow(step.ref, step.timeout, None, hidden=True, headers=self._headers)
        try:
            if self.ended_by:
                job.cancel()
            return job.result()
        except BaseException:
            job.cancel()
            raise
        finally:
            self._job = None

    def _open(self, step: Open) -> Reply:
        self._disconnect()
        self._until, self._sent = step.until, False
        timeout = httpx2.Timeout(None, connect=self.connect_timeout(step.until))
        http = self._http = http_client(self._options, self._url, timeout=timeout, connecting=self._connecting)
        request = http.build_request(
            "POST", self._url, content=step.body, headers=self.request_headers(), extensions={"trace": self._trace}
        )
        response = self._response = http.send(request, stream=True)
        body = self._body = self._body or BlockingBody(None)
        body.begin(response)
        return reply_of(response)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        network = self.note(event, info)
        if network is not None:
            limit_network(network, lambda: self._until - time.monotonic())
        if self._sent and self._body is None:
            self._body = BlockingBody(self._network)

    def _disconnect(self) -> None:
        """Close the connection, if there is one."""
        response, self._response = self._response, None
        http, self._http = self._http, None
        self._network = self._body = None
        with suppress(Exception):
            if response is not None:
                response.close()
        with suppress(Exception):
            if http is not None:
                http.close()

    def abort(self, *, client: bool = False) -> None:
        """End the connection; safe in any thread."""
        if self.complete or self.ended_by == "fork":
            return
        self.end("client" if client else "stream")  # again, if Ctrl-C has cut the first end short
        self._wake.set()
        if (job := self._job) is not None:
            job.cancel()
        if not self.reading:
            self._disconnect()
        else:
            self.shut_down()

    def abandon(self) -> None:
        """Close the descriptor after a fork, in the child, without a word to the server."""
        if self.complete or self.ended_by:
            return
        self.ended_by = "fork"
        # Kept, because ending it would write to the connection.
        abandoned.append((self._response, self._http, self._body))
        self._response = self._http = self._body = None
        self.close_descriptor()
        self.on_abandon()


class AsyncReader(Reader):
    """Reads a stream in the running event loop.

    Args:
        owner: The client.
        task: The request.
    """

    def __init__(self, owner: StreamOwner, task: StreamText) -> None:
        super().__init__(owner, task, task.task_uuid or new_uuid())
        self._task: StreamText | None = task
        self._http: httpx2.AsyncClient | None = None
        self._response: httpx2.Response | None = None
        self._body: AsyncBody | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._scope: asyncio.Timeout | None = None

    async def next_pieces(self) -> Sequence[TextPiece]:
        """Wait for the next pieces; return none at the end.

        Raises:
            RunwareError: The stream failed.
        """
        if self.complete:
            return ()
        self.refuse()
        if self.reading:
            raise RuntimeError("the stream is being read by another task")
        self.reading = True
        going_on = False
        try:
            if self._task is not None:
                await self._begin()
            outcome: Any = None
            error: Exception | None = None
            while (step := self.advance(outcome, error)) is not None:
                if isinstance(step, Pieces):
                    going_on = True
                    return step.pieces
                outcome = error = None
                try:
                    outcome = await self._perform(step)
                except Exception as failure:
                    error = self.translated(failure)
                    failure.__traceback__ = None  # its frames hold the key
            return ()
        except RunwareError:
            raise
        except BaseException:  # the task was cancelled
            self.end("stream")
            raise
        finally:
            self.reading = False
            if not going_on or self.ended_by:
                await self._disconnect()

    async def _begin(self) -> None:
        task, self._task = self._task, None
        assert task is not None
        self._loop, self._wake = running_loop(), asyncio.Event()
        if ready and not task.holds_payload():
            self.begin(self._owner.plan(task, self._uuid))
        else:
            # Loading the HTTP library, and reading and encoding media, would hold up the loop.
            self.begin(await run_elsewhere(lambda: _prepare(self._owner, task, self._uuid)))

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Read):
            assert self._body is not None
            async with self._limit(step.until):
                return await self._body.read()
        if isinstance(step, Open):
            return await self._open(step)
        if isinstance(step, Reserve):
            return await run_elsewhere(step.work)
        await self._disconnect()
        if isinstance(step, Sleep):
            assert self._wake is not None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), step.seconds)
            return None
        assert isinstance(step, Recover)
        self._job = job = await run_elsewhere(
            lambda: self._owner.follow(step.ref, step.timeout, None, hidden=True, headers=self._headers)
        )
        try:
            if self.ended_by:
                job.cancel()
            return await job
        except BaseException:
            job.cancel()
            raise
        finally:
            self._job = None

    def _limit(self, until: float) -> asyncio.Timeout:
        self._until = until
        assert self._loop is not None
        scope = self._scope = asyncio.timeout_at(self._loop.time() + until - time.monotonic())
        return scope

    async def _open(self, step: Open) -> Reply:
        await self._disconnect()
        self._sent = False
        # A function that returns the key may block.
        headers = (
            await run_elsewhere(self.request_headers) if callable(self._options.api_key) else self.request_headers()
        )
        timeout = httpx2.Timeout(None, connect=self.connect_timeout(step.until))
        http = self._http = async_http_client(self._options, self._url, timeout=timeout)
        request = http.build_request(
            "POST", self._url, content=step.body, headers=headers, extensions={"trace": self._trace}
        )
        if self.ended_by:
            raise BrokenConnectionError("closed")
        async with self._limit(step.until):
            response = self._response = await http.send(request, stream=True)
        body = self._body = self._body or AsyncBody(None)
        body.begin(response)
        return reply_of(response)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        self.note(event, info)
        if self._sent and self._body is None:
            self._body = AsyncBody(self._network)

    async def _disconnect(self) -> None:
        """Close the connection, if there is one."""
        response, self._response = self._response, None
        http, self._http = self._http, None
        self._body = None
        with suppress(Exception):
            if response is not None:
                await response.aclose()
        with suppress(Exception):
            if http is not None:
                await http.aclose()
        await self.close_network()

    def abort(self, *, client: bool = False) -> None:
        """End the connection; safe in any thread."""
        if self.complete or self.ended_by:
            return
        self.end("client" if client else "stream")
        if (job := self._job) is not None:
            job.cancel()
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._abort_in_loop)

    async def close(self) -> None:
        """End the connection, and wait until it is closed if no other task reads."""
        self.abort()
        if not self.reading and self._http is not None and self._loop is running_loop():
            await self._disconnect()

    def _abort_in_loop(self) -> None:
        if self._wake is not None:
            self._wake.set()
        if self.reading and self._scope is not None:
            with suppress(RuntimeError):  # nothing waits in it
                self._scope.reschedule(0.0)
        if (http := self._http) is not None and self._loop is not None:
            closing = self._loop.create_task(self._disconnect() if not self.reading else _close(http))
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)

    def abandon(self) -> None:
        """Forget the connection after a fork, in the child: its event loop belongs to the parent."""
        if not (self.complete or self.ended_by):
            self.ended_by = "fork"
            abandoned.append((self._response, self._http, self._body))
            self._response = self._http = self._body = self._loop = None
            self.replace_descriptor()


_closing: set[asyncio.Task[None]] = set()
"""Tasks that close connections. The event loop holds no reference to its tasks."""


async def _close(http: httpx2.AsyncClient) -> None:
    with suppress(Exception):
        await http.aclose()


def _prepare(owner: StreamOwner, task: StreamText, uuid: str) -> Plan:
    """Encode a request, and load the modules and certificates that streams need."""
    plan = owner.plan(task, uuid)
    load_http(owner.options)
    return plan
