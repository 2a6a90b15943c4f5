"""The handles of apps in the three forms, and the job of a call."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Protocol

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware._support.logs import log_or_stderr
from runware.errors import ClientClosedError, ConfigurationError, TaskCancelledError
from runware.futures import ClientFuture, Owner
from runware.options import Options, seconds
from runware.requests.serialization import holds_payload_in
from runware.requests.validation import brief
from runware.serverless.inputs import AppAddress, endpoint_path, envelope, payload_of, rejected, task_id_of
from runware.transport.activity import Activity
from runware.transport.wakeup import wake

if TYPE_CHECKING:
    import asyncio

    from runware.serverless import calls, flows
    from runware.serverless.calls import AppCalls
    from runware.serverless.flows import AppFlows, Flow, Invocation
    from runware.serverless.results import AppTask
    from runware.transport import dialer
else:
    asyncio = lazy_module("asyncio")
    # They bring httpx2, which takes longer to import than an event loop should stand still.
    calls = lazy_module("runware.serverless.calls")
    flows = lazy_module("runware.serverless.flows")
    dialer = lazy_module("runware.transport.dialer")

__all__ = ["App", "AppJob", "AppSubmitter", "AsyncApp"]

log = logging.getLogger("runware.serverless")


class AppOwner(Owner, Protocol):
    """The client of an app, as the app sees it."""

    options: Options
    activity: Activity

    def part(self, kind: Any) -> Any:
        """Return the client's one object of a class, which is closed with the client."""


class _AppHandle:
    """Common base of the handles: an app of a client, in one of its environments."""

    def __init__(self, owner: AppOwner, name: str, environment: str | None) -> None:
        self._address = AppAddress.checked(name, environment)
        self._owner = owner

    def __repr__(self) -> str:
        environment = "" if self.environment is None else f" in {self.environment}"
        return f"<{type(self).__name__} {self.name}{environment}>"

    @property
    def name(self) -> str:
        """The app's ID."""
        return self._address.name

    @property
    def environment(self) -> str | None:
        """The environment; `None` means the server's default, `"production"`."""
        return self._address.environment

    def _calls(self) -> AppCalls:
        made: AppCalls = self._owner.part(calls.AppCalls)
        made.check_open()
        return made

    def _flows(self, running: AppCalls) -> AppFlows:
        return flows.AppFlows(self._address, self._owner.options, running.redactor)

    def _settings(
        self, endpoint: object, *, task_id: object, timeout: object, wait: object, sync: object
    ) -> dict[str, Any]:
        """Check what a call was given besides its payload."""
        if self._owner.options.dry_run:
            raise ConfigurationError(
                "Apps have no dry run: a call would be run and billed. Use a client without dry_run.",
                parameter="dry_run",
            )
        if timeout is not None:
            seconds(timeout, "timeout")
        for name, value in (("wait", wait), ("sync", sync)):
            if not isinstance(value, bool):
                raise rejected(name, f"must be True or False; got {brief(value)}. As part of the payload, pass a dict")
        settings = {"endpoint": endpoint_path(endpoint), "task_id": task_id_of(task_id), "timeout": timeout}
        return {**settings, "wait": wait, "sync": sync and wait}

    def _invocation(self, settings: dict[str, Any], payload: object, inputs: Mapping[str, Any]) -> Invocation:
        """Return what to send, with the payload encoded."""
        return flows.Invocation(**settings, content=envelope(settings["task_id"], payload_of(payload, inputs)))

    def _call(self, running: AppCalls, invocation: Invocation) -> Flow[AppTask]:
        return self._reported(self._flows(running).invoke(invocation), invocation.task_id, invocation.content)

    def _look(self, running: AppCalls, task_id: object, timeout: float | None, *, wait: bool) -> Flow[AppTask]:
        if timeout is not None:
            seconds(timeout, "timeout")
        found, made = task_id_of(str(task_id)), self._flows(running)
        return self._reported(made.follow(found, timeout) if wait else made.read(found, timeout), found)

    def _reported(self, flow: Flow[AppTask], task_id: str, content: bytes = b"") -> Flow[AppTask]:
        """Return the same flow, which is counted and reported from its first step on."""
        activity = self._owner.activity
        return _reported_steps(
            activity, flow, task_id, self.name, content, copy_context() if activity.watched else None
        )


def _reported_steps(
    activity: Activity, flow: Flow[AppTask], task_id: str, app: str, content: bytes, context: Context | None
) -> Flow[AppTask]:
    call = activity.begin(task_id, "serverless", app, content, context)
    reply: Any = None
    try:
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                task: AppTask = end.value
                break
            if isinstance(step, flows.Exchange):
                call.polled() if step.content is None else call.sent(len(step.content))
            reply = yield step
    except BaseException as error:
        flow.close()
        call.ended(error)
        raise
    call.ended(results=(task.raw,))
    return task


class App(_AppHandle):
    """A serverless app. Its calls block until the app has finished. Thread-safe.

    Calls run in the thread that makes them, over HTTP: the client needs no WebSocket and no thread for them.
    """

    def call(
        self,
        endpoint: str | None = None,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        wait: bool = True,
        sync: bool = False,
        task_id: str | None = None,
        timeout: float | None = None,
        **inputs: Any,
    ) -> AppTask:
        """Call an endpoint, and return its finished task.

        The client makes the ID of the task. A request whose answer was lost is repeated with the same ID, which the
        server runs once. Interrupting the call ends the wait only: the app goes on, and is billed.

        Args:
            endpoint: Path of the endpoint, such as `"run"` or `"v1/chat/completions"`. `None` calls the app's default
                endpoint.
            payload: What the endpoint is called with, instead of *inputs*. It may have any keys.
            wait: Wait for the end of the task. Otherwise, return as soon as the server has accepted it; `task` then
                says how far it is.
            sync: Ask the server to answer with the finished task, which saves the time between two polls. If the task
                takes longer than the server waits (some minutes), it is polled like others. Without *wait*, it has no
                effect.
            task_id: UUID of the task. `None` makes one. A call with the UUID of an existing task returns that task,
                and runs nothing.
            timeout: Deadline of the whole call in seconds. `None` uses the client's `timeout` until the server has
                accepted the task, and its `long_timeout` from the start of the call for the rest.
            inputs: The payload as keyword arguments. In both forms, media anywhere in it (a `Path`, `bytes`, a binary
                file, a PIL image) are sent as data URIs, and results of this package as their URLs.

        Raises:
            ValidationError: An argument is wrong, and nothing was sent; or the app rejects the payload. `parameter`
                names it.
            TaskError: The app failed. `raw` has its error, and `results` the task, if it left an output.
            TaskTimeoutError: The deadline passed. The task may go on; `task(error.task_uuid, wait=True)` waits for it.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        warn_in_event_loop("await rw.aio.app(...).call(...)")
        settings = self._settings(endpoint, task_id=task_id, timeout=timeout, wait=wait, sync=sync)
        invocation = self._invocation(settings, payload, inputs)
        running = self._calls()
        try:
            return running.run(self._call(running, invocation))
        except Exception:
            raise
        except BaseException:  # Ctrl-C
            _warn_interrupted(self._address, invocation.task_id)
            raise

    def task(self, task_id: str, *, wait: bool = False, timeout: float | None = None) -> AppTask:
        """Return a task of the app.

        Args:
            task_id: UUID of the task.
            wait: Wait for its end. A task that the server does not know is waited for as well, for 30 seconds, as a new
                one may not be known at once.
            timeout: Deadline in seconds. `None` uses the client's `timeout`, or its `long_timeout` if *wait* is true.

        Raises:
            NotFoundError: The server does not know the task (any more).
            TaskError: The task failed, and *wait* is true.
            TaskTimeoutError: The deadline passed.
        """
        warn_in_event_loop("await rw.aio.app(...).task(...)")
        running = self._calls()
        return running.run(self._look(running, task_id, timeout, wait=wait))

    def tasks(self, *, page_size: int | None = None, timeout: float | None = None) -> Iterator[AppTask]:
        """Iterate over the app's tasks, in the order of the server. Pages are fetched as they are needed.

        Args:
            page_size: Number of tasks in a page. `None` leaves it to the server.
            timeout: Deadline for each page in seconds. `None` uses the client's `timeout`.
        """
        _check_page(page_size, timeout)
        return self._pages(page_size, timeout)

    def _pages(self, page_size: int | None, timeout: float | None) -> Iterator[AppTask]:
        cursor: str | None = None
        while True:
            warn_in_event_loop("async for task in rw.aio.app(...).tasks()")
            running = self._calls()
            items, cursor = running.run(self._flows(running).page(cursor, page_size, timeout))
            yield from items
            if cursor is None:
                return


class AsyncApp(_AppHandle):
    """A serverless app, for asyncio. Cancelling the task that awaits a call ends the wait; the app goes on."""

    async def call(
        self,
        endpoint: str | None = None,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        wait: bool = True,
        sync: bool = False,
        task_id: str | None = None,
        timeout: float | None = None,
        **inputs: Any,
    ) -> AppTask:
        """Call an endpoint, and return its finished task. `App.call` describes the arguments and errors."""
        running_loop()
        settings = self._settings(endpoint, task_id=task_id, timeout=timeout, wait=wait, sync=sync)
        if _holds_files(inputs if payload is None else payload):
            invocation = await run_elsewhere(lambda: self._invocation(settings, payload, inputs))
        else:
            await self._load()
            invocation = self._invocation(settings, payload, inputs)
        running = await self._load()
        return await running.run_async(self._call(running, invocation))

    async def task(
        self,
        task_id: str,
        *,
        wait: bool = False,
        timeout: float | None = None,
    ) -> AppTask:
        """Return a task of the app. `App.task` describes the arguments and errors."""
        running = await self._load()
        return await running.run_async(self._look(running, task_id, timeout, wait=wait))

    def tasks(self, *, page_size: int | None = None, timeout: float | None = None) -> AsyncIterator[AppTask]:
        """Iterate over the app's tasks. `App.tasks` describes the arguments."""
        _check_page(page_size, timeout)
        return self._pages(page_size, timeout)

    async def _pages(self, page_size: int | None, timeout: float | None) -> AsyncIterator[AppTask]:
        cursor: str | None = None
        while True:
            running = await self._load()
            items, cursor = await running.run_async(self._flows(running).page(cursor, page_size, timeout))
            for item in items:
                yield item
            if cursor is None:
                return

    async def _load(self) -> AppCalls:
        """Return what runs the calls. What that needs is loaded on another thread, once."""
        if not _loaded:
            await run_elsewhere(_load)
        return self._calls()


_loaded: list[bool] = []


def _load() -> None:
    _ = calls.AppCalls, flows.AppFlows
    dialer.default_context()  # reads the trust store
    _loaded.append(True)


class AppSubmitter(_AppHandle):
    """A serverless app, whose calls return jobs at once. Each job that runs has a thread."""

    def call(
        self,
        endpoint: str | None = None,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        wait: bool = True,
        sync: bool = False,
        task_id: str | None = None,
        timeout: float | None = None,
        **inputs: Any,
    ) -> AppJob:
        """Call an endpoint, and return the job of the call. `App.call` describes the arguments.

        Media in the payload are read and encoded before this returns; nothing else blocks.
        """
        settings = self._settings(endpoint, task_id=task_id, timeout=timeout, wait=wait, sync=sync)
        invocation = self._invocation(settings, payload, inputs)
        running = self._calls()
        return self._started(running, self._call(running, invocation), invocation.task_id)

    def task(self, task_id: str, *, timeout: float | None = None) -> AppJob:
        """Return a job that ends with a task that was sent before. `App.task` describes the arguments."""
        running = self._calls()
        return self._started(running, self._look(running, task_id, timeout, wait=True), task_id_of(str(task_id)))

    def _started(self, running: AppCalls, flow: Flow[AppTask], task_id: str) -> AppJob:
        job = AppJob(self._owner, self._address, task_id)
        running.start(flow, job)
        return job


class AppJob(ClientFuture["AppTask"]):
    """A call of an app in progress: a `concurrent.futures.Future` that asyncio can await as well.

    Wait for it with `result()`, or with `await job` in any event loop. `cancel()` ends the wait only: the app cannot
    be stopped, and what was sent may run and be billed.
    """

    def __init__(self, owner: AppOwner, address: AppAddress, task_id: str) -> None:
        super().__init__()
        self._owner = owner
        self._address = address
        self._task_id = task_id

    def __repr__(self) -> str:
        return f"<AppJob {self.app_id} {self.task_id} {self.status}>"

    def __reduce__(self) -> Any:
        raise TypeError(f"A job cannot be pickled. Pickle job.task_id; {self._address.source()}.task(...) finds it.")

    @property
    def app_id(self) -> str:
        """The app's ID."""
        return self._address.name

    @property
    def task_id(self) -> str:
        """The UUID of the task."""
        return self._task_id

    @property
    def status(self) -> str:
        """The status: running, succeeded, failed or cancelled."""
        if (outcome := self.outcome()) is not None:
            return "succeeded" if outcome[1] is None else "failed"
        return "cancelled" if self.cancelled() else "running"

    def running(self) -> bool:
        """Return whether the call is in progress. It can still be cancelled."""
        return not self.done()

    def cancel(self) -> bool:
        """Stop waiting for the app. A task that was sent may still run and be billed.

        Returns:
            Whether it was cancelled; `False` if it was done already.
        """
        if not self.settle_cancelled():
            return self.cancelled()
        self._owner = None
        return True

    def cancelled_error(self) -> TaskCancelledError:
        """Return the error of a cancelled call."""
        return TaskCancelledError(
            "The wait for the app was cancelled. If the task was sent, it may still run and be billed; "
            f"{self._address.source()}.task({self._task_id!r}) finds it.",
            task_type="serverless",
            task_uuid=self._task_id,
        )

    def end(self, answer: Any, error: BaseException | None) -> None:
        """Set the outcome, unless it is done. Called by the client."""
        wake(self.settle(answer, error))
        self._owner = None

    def abandon(self) -> None:
        """Fail the job after a fork, in the child, where no thread would finish it."""
        self.replace_lock()
        error = ClientClosedError(
            "The process was forked while the app was called. The call continues in the parent; "
            f"{self._address.source()}.task({self._task_id!r}, wait=True) waits for it in this process too.",
            task_type="serverless",
            task_uuid=self._task_id,
        )
        self.end(None, error)


def _holds_files(payload: object) -> bool:
    """Return whether encoding a payload reads files or copies large data, and so must not run on an event loop."""
    try:
        return holds_payload_in(payload)
    except RecursionError:  # it contains itself; encoding it raises the error
        return True


def _check_page(page_size: object, timeout: object) -> None:
    if timeout is not None:
        seconds(timeout, "timeout")
    if page_size is not None and (isinstance(page_size, bool) or not isinstance(page_size, int) or page_size < 1):
        raise rejected("page_size", f"must be an integer of at least 1; got {brief(page_size)}")


def _warn_interrupted(address: AppAddress, task_id: str) -> None:
    log_or_stderr(
        log,
        "A call of an app was interrupted: if its task was sent, it runs and is billed. Find it with %s.task(%r).",
        address.source(),
        task_id,
        level=logging.WARNING,
    )
