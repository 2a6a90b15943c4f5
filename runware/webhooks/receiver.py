"""Receive webhooks as an ASGI application, a WSGI application or a Django view."""

from __future__ import annotations

import inspect
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, overload
from urllib.parse import quote

from runware._support.lazy_modules import lazy_module
from runware._support.logs import RepeatLimit, log_or_stderr
from runware.errors import ConfigurationError, WebhookError
from runware.options import seconds
from runware.results import Acknowledgement, Result, Results
from runware.webhooks.deliveries import MAX_BODY, Delivery, parse
from runware.webhooks.expectations import Expectations, JobSource, PendingResults
from runware.webhooks.memory import DeliveryMemory, RecentKeys
from runware.webhooks.tokens import Secret, secrets_of, verify

if TYPE_CHECKING:
    import asyncio

    from runware.jobs import Job
else:
    asyncio = lazy_module("asyncio")
django_http: Any = lazy_module("django.http")
django_db: Any = lazy_module("django.db")

__all__ = ["Handler", "WebhookReceiver"]

log = logging.getLogger("runware.webhooks")
refusals = logging.getLogger("runware.webhooks.refusals")
refusals.addFilter(RepeatLimit())  # anyone may post what is refused

R = TypeVar("R", bound=Result)
T = TypeVar("T")

Handler = Callable[[Delivery], object]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApplication = Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]

_EXPECT_TIMEOUT = 1200.0
_IN_THREAD = 256 * 1024
"""Size in bytes of a body that takes too long to read on an event loop."""
_MOST_UNHANDLED = 1_000
"""Deliveries that may wait for the handler or be in it. Above, the server is asked to come again."""

_receivers: weakref.WeakSet[WebhookReceiver] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for receiver in list(_receivers):
        receiver.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


class _Answer(NamedTuple):
    """The response to a webhook request: a status, and a text that gives the reason."""

    status: int
    text: str = ""

    @property
    def headers(self) -> list[tuple[str, str]]:
        allow = [("Allow", "POST")] if self.status == HTTPStatus.METHOD_NOT_ALLOWED else []
        return [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(self.body))), *allow]

    @property
    def body(self) -> bytes:
        return f"{self.text}\n".encode() if self.text else b""


_OK, _FAILED, _BUSY = _Answer(200), _Answer(500, "The delivery could not be handled"), _Answer(503, "Come again")


class _Outcome:
    """Whether a handler has succeeded."""

    succeeded = False


class WebhookReceiver:
    """Receives webhooks: as the ASGI application `asgi`, the WSGI application `wsgi`, or the Django view `django_view`.

    It answers 403 without a valid token, 405, 413 and 400 where those fit, and 200 to all else, also to deliveries of
    unknown tasks and to duplicates, because Runware delivers again whatever is not answered with 2xx within about 5 s.

    Args:
        handler: Function, or `async` function, that is called once with each new `Delivery` of a result or an error.
            What it raises is logged. `None` only hands results to those who `expect` them. In ASGI, an `async` function
            runs in the event loop; everything else runs on threads of the receiver.
        secret: The secret of `sign`, or several, of which the first is the newest. `None` accepts every request: anyone
            who finds the URL can then deliver anything.
        confirm: `False` answers at once and runs the handler afterwards; what it raises, or a crash, loses the
            delivery. `True` answers after the handler: if it raises, the answer is 500 and Runware delivers again, a
            few times. It then has to return within 5 s.
        max_body: Size of the largest accepted body in bytes; 32 MiB by default.
        remember: Seconds for which a delivery is remembered so that duplicates are dropped; an hour by default. Several
            processes need a common `DeliveryMemory` instead.
        workers: Number of threads that run handlers; 4 by default.
        path: Path of the public URL, if a proxy changes it on the way. `None` takes the one of the request.
        client: The client that `expect` uses to ask for tasks whose webhook was not called. `None` waits for the
            webhook only.
        poll_after: Seconds without a delivery after which it asks; 60 by default.

    Raises:
        ConfigurationError: An argument is invalid; `parameter` names it.
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        secret: Secret | None,
        confirm: bool = False,
        max_body: int = MAX_BODY,
        remember: float | DeliveryMemory = 3600.0,
        workers: int = 4,
        path: str | None = None,
        client: JobSource | None = None,
        poll_after: float = 60.0,
    ) -> None:
        if handler is not None and not callable(handler):
            raise ConfigurationError("handler must be a function that takes a Delivery.", parameter="handler")
        for name, number in (("max_body", max_body), ("workers", workers)):
            if type(number) is not int or number < 1:
                raise ConfigurationError(f"{name} must be an integer of at least 1; got {number!r}.", parameter=name)
        self._handler = handler
        self._is_async = handler is not None and _is_coroutine_function(handler)
        self._secrets = None if secret is None else secrets_of(secret)
        self._confirm = confirm
        self._max_body = max_body
        numeric = isinstance(remember, (int, float))
        self._own_memory = RecentKeys(seconds(remember, "remember")) if numeric else None
        self._memory: Any = self._own_memory if numeric else remember
        self._workers = workers
        self._path = path
        self._expectations = Expectations(client, seconds(poll_after, "poll_after"))
        self._reset()
        _receivers.add(self)

    def abandon(self) -> None:
        """Start without threads and locks in the child of a fork."""
        self._reset()
        self._expectations.abandon()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._unhandled = 0
        self._confirming: set[str] = set()
        if self._own_memory is not None:
            self._own_memory.renew_lock()

    def __repr__(self) -> str:
        return f"<WebhookReceiver, {len(self._expectations)} tasks expected>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def expect(
        self, task: str | Acknowledgement, *, results: int | None = None, timeout: float | None = None
    ) -> PendingResults[Any]: ...
    @overload
    def expect(
        self, task: Job[Results[T]] | Results[T], *, results: int | None = None, timeout: float | None = None
    ) -> PendingResults[T]: ...
    @overload
    def expect(
        self, task: Job[R] | R, *, results: int | None = None, timeout: float | None = None
    ) -> PendingResults[R]: ...
    def expect(self, task: Any, *, results: int | None = None, timeout: float | None = None) -> PendingResults[Any]:
        """Return a future of the results that the webhook delivers for a task.

        It takes what was delivered before, so that it does not matter which comes first. It ends when every result has
        come or failed. With a client, the server is asked for what is not delivered.

        Args:
            task: The `Acknowledgement` that the call returned, or the list with it; the job of `rw.submit`; or the UUID
                of the task.
            results: Number of results that complete it. `None` takes it from the request, and for a UUID 1.
            timeout: Seconds to wait in all, 1200 by default, at most a day. The future then fails with
                `TaskTimeoutError`.

        Raises:
            ValidationError: *task* or *results* is invalid.
            ConfigurationError: *timeout* is invalid.
        """
        limit = _EXPECT_TIMEOUT if timeout is None else seconds(timeout, "timeout")
        return self._expectations.expect(task, results, limit)

    def close(self) -> None:
        """Wait until the handler has seen every delivery, and fail what is expected with `ClientClosedError`."""
        with self._lock:
            pool, self._pool = self._pool, None
        self._expectations.close()
        if pool is not None:
            pool.shutdown()

    # ------------------------------------------------------------------ the three kinds of server

    @property
    def asgi(self) -> AsgiApplication:
        """The ASGI application."""

        # Not a method: uvicorn takes a bound method for an application of ASGI 2.
        async def application(scope: Message, receive: Receive, send: Send) -> None:
            await self._serve_asgi(scope, receive, send)

        return application

    async def _serve_asgi(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = (scope.get("raw_path") or quote(scope["path"]).encode()).partition(b"?")[0]
        target = _target(path.decode("latin-1"), scope.get("query_string", b"").decode("latin-1"))
        answer = self._refusal(scope["method"], target, headers.get(b"content-length"))
        new: list[Delivery] = []
        if answer is None:
            body = await _body_of(receive, self._max_body)
            if body is None:
                return  # the server has gone
            answer, new = await self._admit_async(body)
        try:
            while self._confirm and new:
                if not await self._handle_async(new.pop(0)):
                    answer = _FAILED
            start = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": start})
            await send({"type": "http.response.body", "body": answer.body})
            while new:
                await self._handle_async(new.pop(0))
        finally:
            for delivery in new:  # the answer could not be sent, so that it comes again
                self._release(delivery, forget=True)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request: the WSGI application."""
        path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"))
        target = _target(path, environ.get("QUERY_STRING", ""))
        length = environ.get("CONTENT_LENGTH") or None
        answer = self._refusal(environ["REQUEST_METHOD"], target, length)
        if answer is None:
            if length is None and not environ.get("wsgi.input_terminated"):
                answer = _Answer(411, "Content-Length is required")
            else:
                most = self._max_body + 1
                read = partial(environ["wsgi.input"].read, most if length is None else min(most, int(length)))
                answer = self._receive_blocking(read)
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.headers)
        return [answer.body]

    def django_view(self, request: Any) -> Any:
        """Serve one request, as a Django view: `path("hook/", receiver.django_view)`. It needs no CSRF token."""
        target = request.get_full_path()
        answer = self._refusal(request.method, target, request.headers.get("Content-Length"))
        if answer is None:
            # Not `request.body`, whose limit in the settings is meant for forms.
            answer = self._receive_blocking(partial(request.read, self._max_body + 1), django_db.close_old_connections)
        response = django_http.HttpResponse(answer.body, status=answer.status)
        for name, value in answer.headers:
            response[name] = value
        return response

    django_view.csrf_exempt = True  # type: ignore[attr-defined]

    # ------------------------------------------------------------------ what they share

    def _refusal(self, method: str, target: str, length: str | None) -> _Answer | None:
        """Return the answer to a request that is refused before its body is read; `None` if it is not."""
        if method != "POST":
            return _Answer(405, "Only POST is allowed")
        if self._secrets is not None:
            if self._path is not None:
                target = _target(self._path, target.partition("?")[2])
            try:
                verify(target, self._secrets)
            except WebhookError as error:
                refusals.warning("refused a delivery: %s", error)
                return _Answer(error.status, error.message)
        if length is not None and not (length.isascii() and length.isdigit()):
            return _Answer(400, "Content-Length is not a number")
        if length is not None and (len(length) > 15 or int(length) > self._max_body):
            return _Answer(413, f"The limit for a body is {self._max_body:,} bytes")
        return None

    def _receive_blocking(self, read: Callable[[], bytes], after: Callable[[], object] | None = None) -> _Answer:
        """Read a body, and handle what is new in it: here, or on a thread.

        Args:
            read: Reads the body.
            after: Called on the thread after each delivery.
        """
        answer, new = self._admit(read())
        if self._confirm:
            handled = [self._handle(delivery) for delivery in new]  # all of them, also after one that failed
            return answer if all(handled) else _FAILED
        for delivery in new:
            if self._submit(delivery, after) is None:
                answer = _BUSY
        return answer

    async def _admit_async(self, body: bytes) -> tuple[_Answer, list[Delivery]]:
        if len(body) < _IN_THREAD and self._own_memory is not None:
            return self._admit(body)
        return await asyncio.to_thread(self._admit, body)

    def _admit(self, body: bytes) -> tuple[_Answer, list[Delivery]]:
        """Read a body and hand over its results; return the answer, and the deliveries that are to be handled."""
        try:
            found = parse(body, max_size=self._max_body)
        except WebhookError as error:
            refusals.warning("refused a delivery: %s", error)
            return _Answer(error.status, error.message), []
        answers: list[_Answer] = [_OK]
        new: list[Delivery] = []
        for delivery in found:
            if delivery.result is None and delivery.error is None:
                continue  # it only says that the task runs
            self._expectations.take(delivery, len(body) // len(found))
            if self._handler is None:
                continue
            answer = self._claim(delivery)
            if answer is None:
                new.append(delivery)
            else:
                answers.append(answer)
        return max(answers), new

    def _claim(self, delivery: Delivery) -> _Answer | None:
        """Return `None` if this request has to handle a delivery, and otherwise what to answer."""
        with self._lock:
            if delivery.key in self._confirming or self._unhandled >= _MOST_UNHANDLED:
                return _BUSY
            self._unhandled += 1
            if self._confirm:
                self._confirming.add(delivery.key)
        try:
            new = self._memory.add(delivery.key)
        except Exception:
            log_or_stderr(log, "the memory of webhook deliveries failed", trace=True)
            self._release(delivery, forget=False)
            return _FAILED
        if not new:
            self._release(delivery, forget=False)
            return _OK
        return None

    def _release(self, delivery: Delivery, *, forget: bool) -> None:
        """End the handling of a delivery; forget it if it is to come again."""
        if forget:
            try:
                self._memory.discard(delivery.key)
            except Exception:
                log_or_stderr(log, "the memory of webhook deliveries failed", trace=True)
        with self._lock:
            self._unhandled -= 1
            self._confirming.discard(delivery.key)

    def _handle(self, delivery: Delivery, after: Callable[[], object] | None = None) -> bool:
        """Run the handler here; return whether it succeeded."""
        with self._handling(delivery) as outcome:
            found = self._handler(delivery)  # type: ignore[misc]  # there is one, or nothing to handle
            if inspect.isawaitable(found):
                asyncio.run(_result_of(found))
            outcome.succeeded = True
        if after is not None:
            after()
        return outcome.succeeded

    def _submit(self, delivery: Delivery, after: Callable[[], object] | None = None) -> Future[bool] | None:
        """Run the handler on a thread. Return `None` if none can be had: the delivery then has to come again."""
        turn = [delivery]  # the executor may have queued what it has no thread for, and run it later

        def work() -> bool:
            try:
                mine = turn.pop()
            except IndexError:
                return False
            return self._handle(mine, after)

        try:
            return self._executor().submit(copy_context().run, work)
        except RuntimeError:  # the system allows no more threads, or the interpreter shuts down
            with suppress(IndexError):
                self._release(turn.pop(), forget=True)
            log_or_stderr(log, "no thread for the webhook handler of task %s", delivery.task_uuid, trace=True)
            return None

    async def _handle_async(self, delivery: Delivery) -> bool:
        """Run an `async` handler in the event loop, and others on a thread; return whether it succeeded."""
        if not self._is_async:
            handled = self._submit(delivery)
            # A thread cannot be cancelled.
            return handled is not None and await asyncio.shield(asyncio.wrap_future(handled))
        with self._handling(delivery) as outcome:
            await self._handler(delivery)  # type: ignore[misc]  # as above
            outcome.succeeded = True
        return outcome.succeeded

    @contextmanager
    def _handling(self, delivery: Delivery) -> Iterator[_Outcome]:
        outcome = _Outcome()
        try:
            yield outcome
        except Exception:
            log_or_stderr(log, "the webhook handler failed for task %s", delivery.task_uuid, trace=True)
        finally:
            self._release(delivery, forget=self._confirm and not outcome.succeeded)

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="runware-webhook")
            return self._pool


def _target(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _is_coroutine_function(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


async def _result_of(awaitable: Awaitable[object]) -> object:
    return await awaitable


async def _body_of(receive: Receive, most: int) -> bytes | None:
    """Return a body, or a part of it that is larger than *most* bytes; `None` if the connection was closed."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > most or not message.get("more_body", False):
            return b"".join(parts)
