"""Decide what to send to an app, when to repeat a request, and what an answer means. The caller performs the I/O.

A flow is a generator. It yields an `Exchange`, and is sent the `Answer` or the `Failure`; or a `Pause`, and is sent
`None`. It returns what its caller asked for, or raises a typed error.

A task has an ID that the client makes, and the server answers a second request with the same ID with the task of the
first. So a request whose answer was lost is repeated as it was, and nothing runs twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import attrs

from runware.errors import (
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    NotFoundError,
    RunwareError,
    ServerError,
    TaskTimeoutError,
)
from runware.options import Options
from runware.protocol.codec import loads, structure
from runware.protocol.poll_schedule import next_delay
from runware.protocol.redaction import Redactor
from runware.protocol.retry import Retries, backoff
from runware.protocol.retry_after import LONGEST_RETRY_AFTER, parse_retry_after
from runware.serverless.inputs import AppAddress
from runware.serverless.problems import TASK_TYPE, failed_task_error, problem_error
from runware.serverless.results import AppTask

__all__ = ["Answer", "AppFlows", "Exchange", "Failure", "Flow", "Invocation", "Pause"]

T = TypeVar("T")

LONGEST_EXCHANGE = 30.0
"""Seconds for the answer to a request that the server answers at once."""
SHORTEST_POLL, LONGEST_POLL = 0.1, 2.0
"""The limits of the interval between two polls in seconds. Each poll is a request of its own."""
FRESH = 30.0
"""Seconds for which the server may not know a task yet that it has just accepted."""


@attrs.frozen
class Exchange:
    """An HTTP request to perform.

    Attributes:
        method: The HTTP method.
        path: The path at the serverless host.
        query: The parameters of the URL.
        content: The body, JSON; `None` for none.
        timeout: Seconds until the answer has to be complete.
    """

    method: str
    path: str
    query: Mapping[str, str]
    content: bytes | None
    timeout: float


@attrs.frozen
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)  # the server may echo the key
    """With lower-case names."""
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Failure:
    """A request that got no complete answer.

    Attributes:
        reason: What happened.
        sent: Whether the server may have received the request.
        late: Whether its timeout passed.
        permanent: Whether it is hopeless to try again.
        stage: The stage of the connection that failed, as in `ConnectionFailedError`.
    """

    reason: str
    sent: bool
    late: bool = False
    permanent: bool = False
    stage: str = "TCP"


@attrs.frozen
class Pause:
    """A wait.

    Attributes:
        seconds: How long.
    """

    seconds: float


Flow = Generator[Exchange | Pause, Any, T]


@attrs.frozen(kw_only=True)
class Invocation:
    """A call of an endpoint.

    Attributes:
        task_id: The ID of its task.
        endpoint: The path of the endpoint; `None` for the default one.
        content: The body to send.
        sync: Whether the server is asked to answer with the finished task.
        wait: Whether to wait for the end of the task.
        timeout: The deadline in seconds; `None` means the client's.
    """

    task_id: str
    endpoint: str | None
    content: bytes
    sync: bool
    wait: bool
    timeout: float | None


class AppFlows:
    """The flows of one app.

    Args:
        address: The app.
        options: The client's options.
        redactor: Removes secrets from what the server says.
        clock: Returns the time in seconds from any origin.
        wall_clock: Returns the time in seconds since 1970.
        rng: The source of jitter.
    """

    def __init__(
        self,
        address: AppAddress,
        options: Options,
        redactor: Redactor,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._address = address
        self._options = options
        self._redactor = redactor
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()
        self._retries = Retries.of(None, options.max_retries, options.retry_delay)

    # ------------------------------------------------------------------ calls

    def invoke(self, call: Invocation) -> Flow[AppTask]:
        """Call an endpoint, and wait for the end of its task if that is wanted."""
        started, options = self._clock(), self._options
        deadline = started + (options.longest_timeout if call.timeout is None else call.timeout)
        # The server answers to an asynchronous call at once. A synchronous one tells nothing before its end.
        accepted_by = started + (options.timeout if call.timeout is None else call.timeout)
        task = yield from self._submit(call, deadline if call.sync else accepted_by)
        if not call.wait:
            return task
        if not task.done:
            task = yield from self._follow(call.task_id, deadline, app_id=task.app_id)
        return self._successful(task)

    def follow(self, task_id: str, timeout: float | None) -> Flow[AppTask]:
        """Wait for the end of a task."""
        limit = self._options.longest_timeout if timeout is None else timeout
        task = yield from self._follow(task_id, self._clock() + limit, at_once=True)
        return self._successful(task)

    def read(self, task_id: str, timeout: float | None) -> Flow[AppTask]:
        """Return a task as it is now."""
        body = yield from self._get(self._address.tasks_path(task_id), {}, timeout, task_id)
        task = self._task_of(body, task_id)
        if task is None:
            raise _unreadable(task_id)
        return task

    def page(
        self, cursor: str | None, size: int | None, timeout: float | None
    ) -> Flow[tuple[list[AppTask], str | None]]:
        """Return one page of the tasks, and the cursor of the next one, if there is one."""
        given = {"limit": None if size is None else str(size), "cursor": cursor}
        query = {name: value for name, value in given.items() if value is not None}
        body = yield from self._get(self._address.tasks_path(), query, timeout, None)
        items = body.get("data") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(items, list):
            raise _unreadable(None)
        following = body.get("nextCursor")
        following = following if isinstance(following, str) and following else None
        if following is not None and following == cursor:
            raise ServerError("The list of tasks does not go on: its next page is itself.", retryable=False)
        return [structure(item, AppTask) for item in items if isinstance(item, dict)], following

    # ------------------------------------------------------------------ steps

    def _submit(self, call: Invocation, limit: float) -> Flow[AppTask]:
        """Send a call until the server has answered it."""
        path = self._address.invoke_path(call.endpoint, sync=call.sync)
        may_have_run, attempt, failures, started = False, 0, 0, self._clock()
        last: Failure | None = None
        while (remaining := limit - self._clock()) > 0:
            seconds = remaining if call.sync else min(remaining, LONGEST_EXCHANGE)
            reply = yield Exchange("POST", path, self._address.query, call.content, seconds)
            if isinstance(reply, Failure):
                last, failures = reply, failures + 1
                may_have_run |= reply.sent
                if reply.permanent or not self._options.reconnect:
                    break
                wait = backoff(failures, self._options.retry_delay, self._rng)
            else:
                task = self._task_in(reply, call.task_id)
                if task is not None:
                    return task
                error = self._error_of(reply, call.task_id)
                # These are the server's own word that it did not take the task; others may come from a gateway.
                refused = 300 <= reply.status < 500 and reply.status not in (408, 425)
                may_have_run |= not refused and reply.status != 503
                if isinstance(error, ConflictError) and may_have_run:
                    return structure({"id": call.task_id, "status": "pending"}, AppTask)  # an earlier request arrived
                attempt += 1
                pause = self._retries.wait_before_next(
                    error, attempt=attempt, started=started, now=self._clock(), rng=self._rng
                )
                error.may_have_run = may_have_run
                if pause is None:
                    raise error
                wait = max(pause, self._asked_wait(reply))
                if self._clock() + wait >= limit:
                    raise error
            yield Pause(min(wait, max(0.0, limit - self._clock())))
        raise self._unanswered(call.task_id, last, self._clock() - started, may_have_run=may_have_run)

    def _follow(
        self, task_id: str, deadline: float, *, app_id: str | None = None, at_once: bool = False
    ) -> Flow[AppTask]:
        """Poll a task until its end."""
        started = self._clock()
        wait, failures = 0.0 if at_once else self._interval(0.0), 0
        cause: RunwareError | None = None
        while True:
            left = deadline - self._clock()
            if wait > 0:
                yield Pause(max(0.0, min(wait, left)))
                left = deadline - self._clock()
            if left <= 0:
                raise self._out_of_time(task_id) from cause
            path = self._address.tasks_path(task_id, app_id)
            reply = yield Exchange("GET", path, self._address.query, None, min(left, LONGEST_EXCHANGE))
            elapsed = self._clock() - started
            wait = self._interval(elapsed)
            if isinstance(reply, Answer) and (task := self._task_in(reply, task_id)) is not None:
                if task.done:
                    return task
                app_id, failures = task.app_id or app_id, 0
                continue
            cause = self._failed_poll(reply, task_id)
            if isinstance(cause, NotFoundError):
                if elapsed >= FRESH:
                    raise cause
                continue
            # A failed poll says nothing about the task.
            if not cause.retryable:
                raise cause
            failures += 1
            asked = self._asked_wait(reply) if isinstance(reply, Answer) else 0.0
            wait = max(wait, asked, backoff(failures, self._options.retry_delay, self._rng))

    def _interval(self, elapsed: float) -> float:
        """Return the seconds until the next poll of a task that was accepted *elapsed* seconds ago."""
        return max(SHORTEST_POLL, next_delay(elapsed, self._rng, LONGEST_POLL))

    def _get(self, path: str, query: Mapping[str, str], timeout: float | None, task_id: str | None) -> Flow[Any]:
        """Read something, again after a failure that may pass; return the parsed body."""
        started = self._clock()
        limit = started + (self._options.timeout if timeout is None else timeout)
        attempt = 0
        while True:
            seconds = min(max(0.001, limit - self._clock()), LONGEST_EXCHANGE)
            reply = yield Exchange("GET", path, {**self._address.query, **query}, None, seconds)
            if isinstance(reply, Answer) and reply.status == 200:
                return self._parsed(reply)
            if isinstance(reply, Failure) and self._clock() >= limit:
                raise self._out_of_time(task_id, may_be_running=False)
            error = self._failed_poll(reply, task_id)
            error.may_have_run = False  # this call runs nothing
            attempt += 1
            wait = self._retries.wait_before_next(
                error, attempt=attempt, started=started, now=self._clock(), rng=self._rng
            )
            if wait is None:
                raise error
            wait = max(wait, self._asked_wait(reply) if isinstance(reply, Answer) else 0.0)
            if self._clock() + wait >= limit:
                raise error
            yield Pause(wait)

    # ------------------------------------------------------------------ what answers mean

    def _parsed(self, reply: Answer) -> Any:
        try:
            return loads(reply.body)
        except ValueError:
            return None

    def _task_in(self, reply: Answer, task_id: str) -> AppTask | None:
        """Return the task in an answer; `None` if it holds no task, or another one."""
        return self._task_of(self._parsed(reply), task_id) if reply.status in (200, 201, 202) else None

    def _task_of(self, body: Any, task_id: str) -> AppTask | None:
        if not isinstance(body, dict) or not isinstance(body.get("id"), str) or body["id"].lower() != task_id:
            return None
        return structure(body, AppTask)

    def _successful(self, task: AppTask) -> AppTask:
        """Return a finished task.

        Raises:
            TaskError: The task failed.
        """
        if task.status == "completed":
            return task
        raise failed_task_error(task, self._redactor.clean(task.error))

    def _error_of(self, reply: Answer, task_id: str | None) -> RunwareError:
        """Return the error for an answer without what was asked for."""
        if reply.status < 400:
            error: RunwareError = ServerError(
                f"The server answered with HTTP status {reply.status}, but without a task that can be read.",
                task_type=TASK_TYPE,
                task_uuid=task_id,
                retryable=reply.status in (200, 201, 202),
            )
            return error
        problem = self._redactor.clean(self._parsed(reply))
        return problem_error(reply.status, problem, reply.headers.get("x-request-id"), task_id)

    def _failed_poll(self, reply: Answer | Failure, task_id: str | None) -> RunwareError:
        if isinstance(reply, Answer):
            error = self._error_of(reply, task_id)
        elif reply.permanent and not reply.sent:
            error = self._connection_failed(reply, task_id)
        else:
            error = ConnectionLostError(f"{reply.reason}.", task_type=TASK_TYPE, task_uuid=task_id)
            error.retryable = not reply.permanent
        error.may_have_run = True
        return error

    def _asked_wait(self, reply: Answer) -> float:
        """Return the seconds that the server asks to wait; 0 for none."""
        wait = parse_retry_after(reply.headers.get("retry-after", ""), self._wall_clock())
        return min(wait or 0.0, LONGEST_RETRY_AFTER)

    # ------------------------------------------------------------------ ends without an answer

    def _connection_failed(self, failure: Failure, task_id: str | None, elapsed: float = 0.0) -> ConnectionFailedError:
        error = ConnectionFailedError(
            f"{failure.reason}.", stage=failure.stage, elapsed=elapsed, task_type=TASK_TYPE, task_uuid=task_id
        )
        error.retryable = not failure.permanent
        return error

    def _unanswered(self, task_id: str, last: Failure | None, elapsed: float, *, may_have_run: bool) -> RunwareError:
        """Return the error of a call that the server never answered."""
        if last is None or (last.late and may_have_run):
            return self._out_of_time(task_id, may_be_running=may_have_run)
        if not may_have_run:
            return self._connection_failed(last, task_id, elapsed)
        return ConnectionLostError(
            f"{last.reason}. The app may run the task. {self._way_back(task_id)}",
            may_have_run=True,
            task_type=TASK_TYPE,
            task_uuid=task_id,
        )

    def _out_of_time(self, task_id: str | None, *, may_be_running: bool = True) -> TaskTimeoutError:
        message = "The deadline passed before the server answered."
        if may_be_running and task_id is not None:
            message = f"The deadline passed; the app's task may go on. {self._way_back(task_id)}"
        return TaskTimeoutError(message, may_be_running=may_be_running, task_type=TASK_TYPE, task_uuid=task_id)

    def _way_back(self, task_id: str) -> str:
        return f"Wait for it with {self._address.source()}.task({task_id!r}, wait=True)."


def _unreadable(task_id: str | None) -> ServerError:
    return ServerError("The server's answer cannot be read.", task_type=TASK_TYPE, task_uuid=task_id, retryable=False)
