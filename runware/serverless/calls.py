"""Performing the flows of apps over HTTP: in the caller's thread, in event loops, and on a thread for each job.

A client has one `AppCalls`, which is closed with it. Calls that block share connections, which are kept. Each job has
its own, which a cancelled job cuts. Calls in an event loop share those of the loop, which end with the last of the
calls: nothing else could close them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

import attrs
import httpx2

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop
from runware._support.locks import make_rlock
from runware._support.logs import log_or_stderr
from runware._support.threads import cannot_start
from runware.errors import ClientClosedError, RunwareError
from runware.options import Options
from runware.protocol.redaction import Redactor, secrets_of
from runware.serverless.flows import Answer, Exchange, Failure, Flow, Pause
from runware.transport.http_client import (
    Connecting,
    KeyHeader,
    async_http_client,
    http_client,
    limit_network,
    replace_descriptor,
)

__all__ = ["AppCalls"]

log = logging.getLogger("runware.serverless")

T = TypeVar("T")

_LARGEST_ANSWER = 256 * 2**20


class RunningJob(Protocol):
    """A job, as its thread sees it."""

    @property
    def task_id(self) -> str:
        """The UUID of its task."""
        ...

    def done(self) -> bool:
        """Return whether it is over."""
        ...

    def end(self, answer: Any, error: BaseException | None) -> None:
        """Set the outcome, unless it is over."""

    def abandon(self) -> None:
        """Fail after a fork, in the child."""

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call a function when it is over."""


def _closed_error() -> ClientClosedError:
    return ClientClosedError("The client is closed. An app's task that was sent may still run and be billed.")


class AppCalls:
    """Runs the calls of a client's apps.

    Args:
        options: The client's options.

    Attributes:
        redactor: Removes the client's secrets from what the server says.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._url = options.service_url("serverless")
        self.redactor = Redactor(secrets_of(options))
        self._reset()

    def _reset(self) -> None:
        self._lock = make_rlock()  # a signal handler may close the client at any moment
        self._closing = threading.Event()
        self._connections = _Connections(self._options, self._url)
        self._jobs: dict[RunningJob, tuple[threading.Thread, _Connections]] = {}
        self._loops: dict[asyncio.AbstractEventLoop, tuple[httpx2.AsyncClient, set[object]]] = {}
        self._scopes: set[tuple[asyncio.AbstractEventLoop, asyncio.Timeout]] = set()
        self._networks: weakref.WeakSet[Any] = weakref.WeakSet()  # the connections of event loops

    # ------------------------------------------------------------------ life cycle

    def check_open(self) -> None:
        """Raise `ClientClosedError` if the client is closed."""
        if self._closing.is_set():
            raise _closed_error()

    def close(self, timeout: float = 0.0) -> None:
        """End everything that runs, and wait at most *timeout* seconds for the threads of jobs."""
        self._closing.set()
        with self._lock:
            jobs, scopes = dict(self._jobs), list(self._scopes)
        for job in jobs:
            job.end(None, _closed_error())
        for loop, scope in scopes:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_expire, scope)
        self._connections.disconnect()
        deadline = time.monotonic() + timeout
        for thread, _ in jobs.values():
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._connections.close()

    def drop(self) -> None:
        """End with the client that was dropped, or with the program, and log the tasks that are left behind."""
        running = [job.task_id for job in list(self._jobs)]
        self.close()
        if running:
            log_or_stderr(
                log,
                "the program ended with %d call%s of apps in progress; their tasks may run and be billed. task_id: %s",
                len(running),
                "" if len(running) == 1 else "s",
                ", ".join(running[:20]) + (", ..." if len(running) > 20 else ""),
            )

    def abandon(self) -> None:
        """Reset after a fork, in the child: the parent's connections must not be used, and its threads do not exist."""
        closed, jobs = self._closing.is_set(), list(self._jobs)
        for connections in (self._connections, *(connections for _, connections in self._jobs.values())):
            connections.abandon()
        for network in list(self._networks):
            replace_descriptor(network)
        self._reset()
        if closed:
            self._closing.set()
        for job in jobs:
            job.abandon()

    # ------------------------------------------------------------------ in the caller's thread

    def run(self, flow: Flow[T]) -> T:
        """Run a flow in this thread.

        Raises:
            ClientClosedError: The client is closed.
        """
        return self._drive(flow, self._closing, self._connections)

    def _drive(self, flow: Flow[T], stop: threading.Event, connections: _Connections) -> T:
        """Run a flow in this thread. Once *stop* is set, pauses end."""
        reply: Any = None
        try:
            self.check_open()
            header = self._key_header()
            while True:
                try:
                    step = flow.send(reply)
                except StopIteration as end:
                    answer: T = end.value
                    return answer
                if isinstance(step, Pause):
                    reply = None
                    stop.wait(step.seconds)
                else:
                    began = time.monotonic()
                    reply = self._send(step, header, connections)
                    if self._key_may_be_old(reply) and (newer := self._key_header()).key != header.key:
                        header = newer
                        reply = self._send(_rest_of(step, began), header, connections)
                if stop.is_set():
                    raise _closed_error()  # a job that is over already ignores it
        finally:
            flow.close()

    def _send(self, exchange: Exchange, header: KeyHeader, connections: _Connections) -> Answer | Failure:
        end = time.monotonic() + exchange.timeout
        watch = _Watch(connections.register)
        connections.limit(end)
        try:
            client = connections.client()
            with client.stream(**self._request(exchange, header), extensions={"trace": watch}) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _LARGEST_ANSWER:
                        return _too_large()
                return Answer(response.status_code, _lower(response.headers), bytes(body))
        except httpx2.HTTPError as error:
            return self._failure(error, watch)
        except RunwareError:
            raise
        except Exception:
            self.check_open()  # httpx2 was in the middle of something when its connection ended
            raise

    # ------------------------------------------------------------------ jobs

    def start(self, flow: Flow[Any], job: RunningJob) -> None:
        """Run a flow on a thread of its own, and end a job with its outcome.

        Raises:
            ClientClosedError: The client is closed.
        """
        stop, connections = threading.Event(), _Connections(self._options, self._url)

        def work() -> None:
            try:
                answer = self._drive(flow, stop, connections)
            except BaseException as error:  # it is raised where the job is waited for
                job.end(None, error)
            else:
                job.end(answer, None)
            finally:
                connections.close()
                with self._lock:
                    self._jobs.pop(job, None)

        thread = threading.Thread(target=work, name="runware-app-call", daemon=True)
        with self._lock:
            self.check_open()
            self._jobs[job] = thread, connections
        job.when_done(stop.set)
        job.when_done(connections.disconnect)
        try:
            thread.start()
        except BaseException as error:
            with self._lock:
                self._jobs.pop(job, None)
            if isinstance(error, RuntimeError):
                raise cannot_start(error, "for the call") from error
            raise

    # ------------------------------------------------------------------ in event loops

    async def run_async(self, flow: Flow[T]) -> T:
        """Run a flow in the running event loop.

        Raises:
            ClientClosedError: The client is closed.
        """
        loop = running_loop()
        reply: Any = None
        try:
            async with self._ended_by_close(loop), self._async_http(loop) as client:
                called = callable(self._options.api_key)
                header = await run_elsewhere(self._key_header) if called else self._key_header()
                while True:
                    try:
                        step = flow.send(reply)
                    except StopIteration as end:
                        answer: T = end.value
                        return answer
                    if isinstance(step, Pause):
                        reply = None
                        await asyncio.sleep(step.seconds)
                    else:
                        began = time.monotonic()
                        reply = await self._send_async(client, step, header)
                        if self._key_may_be_old(reply):
                            newer = await run_elsewhere(self._key_header)
                            if newer.key != header.key:
                                header = newer
                                reply = await self._send_async(client, _rest_of(step, began), header)
        finally:
            flow.close()

    @asynccontextmanager
    async def _ended_by_close(self, loop: asyncio.AbstractEventLoop) -> AsyncIterator[None]:
        """Raise `ClientClosedError` in this task when the client is closed."""
        scope = asyncio.timeout(None)
        entry = (loop, scope)
        try:
            async with scope:
                with self._lock:
                    self.check_open()
                    self._scopes.add(entry)
                try:
                    yield
                finally:
                    with self._lock:
                        self._scopes.discard(entry)
        except TimeoutError:
            if not scope.expired():
                raise
            raise _closed_error() from None

    @asynccontextmanager
    async def _async_http(self, loop: asyncio.AbstractEventLoop) -> AsyncIterator[httpx2.AsyncClient]:
        """Return the HTTP client of an event loop, which all calls share that run there at the same time."""
        user = object()
        client, users = self._loops.get(loop) or (async_http_client(self._options, self._url), set())
        self._loops[loop] = client, users
        users.add(user)
        try:
            yield client
        finally:
            users.discard(user)
            if not users:
                self._loops.pop(loop, None)
                await client.aclose()

    async def _send_async(self, client: httpx2.AsyncClient, exchange: Exchange, header: KeyHeader) -> Answer | Failure:
        watch = _Watch(self._networks.add)
        limit = asyncio.timeout(exchange.timeout)
        extensions = {"trace": watch.asynchronously}
        try:
            async with limit, client.stream(**self._request(exchange, header), extensions=extensions) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _LARGEST_ANSWER:
                        return _too_large()
                return Answer(response.status_code, _lower(response.headers), bytes(body))
        except httpx2.HTTPError as error:
            return self._failure(error, watch)
        except TimeoutError:
            if not limit.expired():
                raise
            return _late(watch)
        finally:
            await watch.close_unfinished()

    # ------------------------------------------------------------------ requests

    def _key_header(self) -> KeyHeader:
        """Return the header with the key. If the key comes from a function, it is called.

        Raises:
            ConnectionFailedError: The function raised.
            ConfigurationError: It returned no key.
        """
        header = KeyHeader(self._options)
        with self._lock:
            self.redactor.add(header.key)
        return header

    def _key_may_be_old(self, reply: Answer | Failure) -> bool:
        """Return whether a request was refused with a key that a function returned, which may rotate keys."""
        return isinstance(reply, Answer) and reply.status == 401 and callable(self._options.api_key)

    def _request(self, exchange: Exchange, header: KeyHeader) -> dict[str, Any]:
        content_type = {} if exchange.content is None else {"Content-Type": "application/json"}
        limit = exchange.timeout
        return {
            "method": exchange.method,
            "url": self._url + exchange.path,
            "params": exchange.query or None,
            "content": exchange.content,
            "headers": {**header.headers, **content_type, "Accept": "application/json, application/problem+json"},
            "timeout": httpx2.Timeout(limit, connect=min(limit, self._options.connect_timeout)),
        }

    def _failure(self, error: httpx2.HTTPError, watch: _Watch) -> Failure:
        host = httpx2.URL(self._url).host
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = (
                    f"The certificate of {host} is not trusted ({cause.verify_message}). If your network inspects TLS, "
                    "point SSL_CERT_FILE at its CA certificate"
                )
                return Failure(reason, sent=False, permanent=True, stage="TLS")
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, httpx2.ConnectTimeout):
            return Failure(f"Could not connect to {host} in time", sent=False)
        if isinstance(error, httpx2.TimeoutException):
            return _late(watch)
        words = self.redactor.hide(str(error)).rstrip(".") or type(error).__name__
        if watch.sent:
            return Failure(f"The connection to {host} was lost ({words})", sent=True)
        stage = "proxy" if isinstance(error, httpx2.ProxyError) else "TCP"
        return Failure(f"Could not connect to {host} ({words})", sent=False, stage=stage)


class _Connections:
    """HTTP connections that another thread can cut.

    Args:
        options: The client's options.
        url: A URL on the host.
    """

    def __init__(self, options: Options, url: str) -> None:
        self._options = options
        self._url = url
        self._lock = make_rlock()
        self._client: httpx2.Client | None = None
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self._requests = threading.local()  # threads share the connections, and each waits for its own answer
        self._connecting = Connecting()
        self._cut = False

    def client(self) -> httpx2.Client:
        """Return the HTTP client.

        Raises:
            ClientClosedError: The connections were cut.
        """
        with self._lock:
            if self._cut:
                raise _closed_error()
            if self._client is None:
                self._client = http_client(self._options, self._url, connecting=self._connecting)
            return self._client

    def limit(self, end: float) -> None:
        """Set when the request of this thread has to be over (`time.monotonic()`)."""
        self._requests.end = end

    def register(self, stream: Any) -> None:
        """Add a new connection."""
        limit_network(stream, lambda: self._requests.end - time.monotonic())
        with self._lock:
            self._streams.add(stream)
        if self._cut:
            self.disconnect()

    def disconnect(self) -> None:
        """Shut down the connections for good, which wakes the threads that wait for an answer; closing would not."""
        self._cut = True
        self._connecting.cancel()
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            with suppress(Exception):
                # Not `SSLSocket.shutdown`, which takes the TLS object away from a thread that reads.
                socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connections for good."""
        self._cut = True
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def abandon(self) -> None:
        """Close the sockets after a fork, in the child: in this process only, and without a word to the server."""
        for stream in list(self._streams):
            with suppress(Exception):
                stream.get_extra_info("socket").close()


class _Watch:
    """Watches one request: the connections that it makes, and whether it was written.

    Attributes:
        sent: Whether something of the request was written, so that the server may have all of it.
    """

    def __init__(self, register: Callable[[Any], None] | None = None) -> None:
        self.sent = False
        self._register = register
        self._unfinished: Any = None  # the connection, until the request is written to it

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(".send_request_headers.started"):
            if info["request"].method != b"CONNECT":  # which is for the proxy
                self.sent, self._unfinished = True, None
        elif event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._unfinished = info["return_value"]
            if self._register is not None:
                self._register(self._unfinished)

    async def asynchronously(self, event: str, info: Mapping[str, Any]) -> None:
        """Watch a request of an `AsyncClient`."""
        self(event, info)

    async def close_unfinished(self) -> None:
        """Close a connection that an `AsyncClient` has begun to make, and that no request was written to.

        httpcore2 does not if the task is cancelled, or its timeout passes, during the TLS handshake: the connection
        belongs to nothing then, and stays open until it is collected as garbage.
        """
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is not None:
            with suppress(Exception):
                await unfinished.aclose()


def _rest_of(exchange: Exchange, began: float) -> Exchange:
    """Return the same exchange with the time that is left of it."""
    return attrs.evolve(exchange, timeout=max(0.001, exchange.timeout - (time.monotonic() - began)))


def _late(watch: _Watch) -> Failure:
    return Failure("The server did not answer in time", sent=watch.sent, late=True)


def _too_large() -> Failure:
    return Failure(f"The answer has more than {_LARGEST_ANSWER:,} bytes", sent=True, permanent=True)


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _expire(scope: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it was left meanwhile
        scope.reschedule(0.0)
