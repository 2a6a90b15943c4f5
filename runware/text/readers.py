"""The readers of streams: they perform the steps of an exchange, in a thread or in an event loop.

Each stream has a connection of its own. An idle connection could be reused, but the server may close it at any moment:
then it cannot be known whether the request has arrived, and a stream must never be bought twice.
"""

from __future__ import annotations

import copy
import importlib
import logging
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop
from runware._support.import_lock import loading
from runware._support.lazy_modules import lazy_module
from runware._support.locks import make_rlock
from runware._support.logs import warn_interrupted
from runware.errors import (
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    RunwareError,
    TaskCancelledError,
)
from runware.jobs import Job, Owner
from runware.options import KEY_VARIABLE, Options
from runware.protocol.ids import new_uuid
from runware.protocol.redaction import Redactor, secrets_of
from runware.requests.plan import Plan
from runware.requests.text import StreamText
from runware.results import Results, TextPiece
from runware.text.exchange import (
    DEFAULT_SILENCE,
    BrokenConnectionError,
    DeadlineError,
    Exchange,
    Open,
    Pieces,
    Read,
    Recover,
    Reply,
    Sleep,
    Step,
)
from runware.transport.http_client import async_http_client, authorization, http_client

if TYPE_CHECKING:
    import asyncio
    import ssl

    import httpx2

else:
    asyncio = lazy_module("asyncio")
    httpx2 = lazy_module("httpx2")
    ssl = lazy_module("ssl")

__all__ = ["AsyncReader", "BlockingReader", "OpenStreams", "Reader", "StreamOwner"]

log = logging.getLogger("runware.text")

_SLICE = 65_536
"""The bytes written before the deadline is looked at again."""


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

    def follow(self, ref: str | Mapping[str, Any], timeout: float | None, on_partial: Any) -> Job[Results[Any]]:
        """Wait for a task that was submitted before."""
        ...


class OpenStreams:
    """The streams of a client that are being read, so that closing the client ends them."""

    def __init__(self) -> None:
        self._lock = make_rlock()
        self._open: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._closed = False

    def add(self, reader: Reader) -> None:
        """Register a stream.

        Raises:
            ClientClosedError: The client is closed.
        """
        with self._lock:
            if self._closed:
                raise ClientClosedError("The client is closed. Create a new one for further calls.")
            self._open.add(reader)

    def close(self) -> None:
        """End every stream, for good."""
        with self._lock:
            self._closed = True
            readers = list(self._open)
        for reader in readers:
            reader.abort(client=True)

    def abandon(self) -> None:
        """Give up the streams after a fork, in the child: they go on in the parent."""
        self._lock = make_rlock()
        readers, self._open = list(self._open), weakref.WeakSet()
        for reader in readers:
            reader.abandon()


# ---------------------------------------------------------------------- reading


class Reader:
    """What the readers of the forms have in common: the exchange, the request, and how errors are translated.

    Args:
        owner: The client.
        task: The request.
        uuid: The UUID of the task.
    """

    def __init__(self, owner: StreamOwner, task: StreamText, uuid: str) -> None:
        self._owner = owner
        self._uuid = uuid
        self._options = owner.options
        self._url = owner.options.service_url("api")
        self._silence = task.silence_timeout or DEFAULT_SILENCE
        self._steps: Generator[Step, Any, None] | None = None
        self.exchange: Exchange | None = None
        self.reading = False
        self.complete = False
        self.ended_by = ""
        self.error: RunwareError | None = None
        self._until = 0.0
        self._sent = False
        self._network: Any = None
        self._redactor = Redactor()
        self._job: Job[Any] | None = None

    @property
    def uuid(self) -> str:
        """The UUID of the task; with retries, that of the last attempt."""
        return self._uuid if self.exchange is None else self.exchange.uuid

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
        self._owner.streams.add(self)
        self._redactor.add(*secrets_of(self._options), lasting=True)
        self.exchange = Exchange(plan, self._silence, time.monotonic, self._redactor, self._owner.downloads)
        self._steps = self.exchange.steps()

    def abort(self, *, client: bool = False) -> None:
        """End the connection; safe in any thread.

        Args:
            client: Whether the client is closed, and not only this stream.
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """Give up the connection after a fork, in the child, without a word to the server."""
        raise NotImplementedError

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
            return step
        except StopIteration:
            self.complete = True
            return None
        except RunwareError as raised:
            failure = raised
        if self.ended_by:
            failure = exchange.closed_error(by=self.ended_by)
        raise self._fail(failure)

    def _fail(self, error: RunwareError) -> RunwareError:
        self.error = error
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
            warn_interrupted(log, self.exchange.uuid)

    # ------------------------------------------------------------------ requests and errors

    def request_headers(self) -> dict[bytes, bytes]:
        """Return the headers of the request, with the key."""
        headers: dict[bytes, bytes] = {
            b"Accept": b"text/event-stream",
            b"Accept-Encoding": b"identity",  # compression would hold pieces back
            b"Cache-Control": b"no-cache",
            b"Content-Type": b"application/json",
        }
        if self._options.dry_run:
            headers[b"X-Runware-Dry-Run"] = b"1"
        try:
            found = authorization(self._options)
        except RunwareError:
            raise
        except Exception as error:
            raise ConnectionFailedError(
                f"api_key() raised {type(error).__name__}: {error}", stage="key", retryable=False
            ) from None
        for name, value in found.items():
            self._redactor.add(value.rpartition(" ")[2])
            if not value.removeprefix("Bearer").strip() or value.endswith(" None"):
                raise ConfigurationError(
                    f"api_key() returned no key. {KEY_VARIABLE} is not used when api_key is a function.",
                    parameter="api_key",
                )
            headers[name.encode()] = value.encode()
        return headers

    def connect_timeout(self, step: Open) -> float:
        """Return the seconds that connecting may take."""
        return max(0.001, min(self._options.connect_timeout, step.until - time.monotonic()))

    def left(self) -> float:
        """Return the seconds until the current step must be done."""
        return max(0.001, self._until - time.monotonic())

    def note(self, event: str, info: Mapping[str, Any]) -> Any:
        """Note what the HTTP library reports: a new connection, and that the request is being sent.

        Returns:
            The connection, if it is new.

        Raises:
            BrokenConnectionError: The stream was closed meanwhile.
        """
        connected = event.endswith((".connect_tcp.complete", ".start_tls.complete"))
        sending = event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT"
        if connected:
            self._network = info.get("return_value")
        if (connected or sending) and self.ended_by:
            raise BrokenConnectionError("closed")
        self._sent = self._sent or sending
        return self._network if connected else None

    def translated(self, error: Exception) -> Exception:
        """Return what an error of the HTTP library means for the exchange."""
        if isinstance(error, (RunwareError, BrokenConnectionError, DeadlineError)):
            return error
        timed_out = isinstance(error, (TimeoutError, httpx2.TimeoutException))
        if self._sent:
            if timed_out and time.monotonic() >= self._until - 0.01:
                return DeadlineError()
            return BrokenConnectionError(self._redactor.hide(_words(error)))
        stage, cause = "TCP", _cause(error)
        if isinstance(error, httpx2.ProxyError):
            stage = "proxy"
        elif isinstance(cause, socket.gaierror):
            stage = "name lookup"
        elif isinstance(cause, ssl.SSLError):
            stage = "TLS"
        what = "no response in time" if timed_out else self._redactor.hide(_words(error))
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = f"{cause.verify_message}. Behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate"
        host = httpx2.URL(self._url).netloc.decode()
        return ConnectionFailedError(
            f"Could not connect to {host}: {stage}: {what}. Nothing was sent.",
            stage=stage,
            host=host,
            retryable=not isinstance(cause, ssl.SSLCertVerificationError),
        )


def _cause(error: BaseException) -> BaseException:
    """Return the first error of the operating system or TLS behind one of the HTTP library."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OSError):
            return one
        one = one.__cause__ or one.__context__
    return error


def _words(error: Exception) -> str:
    cause = _cause(error)
    return (cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)) or type(error).__name__


def _reply(response: httpx2.Response) -> Reply:
    headers = response.headers
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Reply(response.status_code, content_type, headers.get("Retry-After", ""))


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
        self._chunks: Iterator[bytes] = iter(())
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
            outcome: Any = None
            error: Exception | None = None
            while (step := self.advance(outcome, error)) is not None:
                if self.on_step is not None:
                    self.on_step(step)
                if isinstance(step, Pieces):
                    going_on = True
                    return step.pieces
                outcome = error = None
                try:
                    outcome = self._perform(step)
                except Exception as failure:
                    error = self.translated(failure)
                    failure.__traceback__ = None  # its frames hold the key
            return ()
        except RunwareError:
            raise
        except BaseException:  # Ctrl-C
            self.ended_by = self.ended_by or "stream"
            self.interrupted()
            raise
        finally:
            self.reading = False
            if not going_on or self.ended_by:
                self._disconnect()

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Read):
            self._until = step.until
            return next(self._chunks, b"")
        if isinstance(step, Open):
            return self._open(step)
        self._disconnect()
        if isinstance(step, Sleep):
            self._wake.wait(step.seconds)
            return None
        assert isinstance(step, Recover)
        self._job = job = self._owner.follow(step.ref, step.timeout, None)
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
        timeout = httpx2.Timeout(None, connect=self.connect_timeout(step))
        http = self._http = http_client(self._options, self._url, timeout=timeout)
        request = http.build_request(
            "POST", self._url, content=step.body, headers=self.request_headers(), extensions={"trace": self._trace}
        )
        response = self._response = http.send(request, stream=True)
        self._chunks = response.iter_bytes() if "Content-Encoding" in response.headers else response.iter_raw()
        return _reply(response)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        network = self.note(event, info)
        if network is not None:
            self._limit(network)

    def _limit(self, network: Any) -> None:
        """Let every read and write of a connection end with the current step.

        The HTTP library gives each of them the same number of seconds, so that many could take any time together.
        """
        read, write = network.read, network.write

        def limited_read(max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG001 - the interface
            received: bytes = read(max_bytes, self.left())
            return received

        def limited_write(buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG001 - the interface
            for start in range(0, len(buffer), _SLICE):
                write(buffer[start : start + _SLICE], self.left())

        network.read, network.write = limited_read, limited_write

    def _disconnect(self) -> None:
        """Close the connection, if there is one."""
        response, self._response = self._response, None
        http, self._http = self._http, None
        self._network, self._chunks = None, iter(())
        with suppress(Exception):
            if response is not None:
                response.close()
        with suppress(Exception):
            if http is not None:
                http.close()

    def abort(self, *, client: bool = False) -> None:
        """End the connection; safe in any thread."""
        if self.complete or self.ended_by:
            return
        self.ended_by = "client" if client else "stream"
        self._wake.set()
        if (job := self._job) is not None:
            job.cancel()
        if not self.reading:
            self._disconnect()
        elif (network := self._network) is not None:
            with suppress(Exception):
                # Not the method of an SSLSocket, which changes its state under the thread that reads from it.
                socket.socket.shutdown(network.get_extra_info("socket"), socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Close the descriptor after a fork, in the child, without a word to the server."""
        if self.complete or self.ended_by:
            return
        self.ended_by, network = "fork", self._network
        # Kept, because ending it would write to the connection.
        _abandoned.append((self._response, self._http, self._chunks))
        self._response, self._http, self._chunks, self._network = None, None, iter(()), None
        if network is not None:
            with suppress(Exception):
                network.get_extra_info("socket").close()
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
        self._chunks: AsyncIterator[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None

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
            self.ended_by = self.ended_by or "stream"
            raise
        finally:
            self.reading = False
            if not going_on or self.ended_by:
                await self._disconnect()

    async def _begin(self) -> None:
        task, self._task = self._task, None
        assert task is not None
        self._loop, self._wake = running_loop(), asyncio.Event()
        if _ready and not task.holds_payload():
            self.begin(self._owner.plan(task, self._uuid))
        else:
            # Loading the HTTP library, and reading and encoding media, would hold up the loop.
            self.begin(await run_elsewhere(lambda: _prepare(self._owner, task, self._uuid)))

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Read):
            assert self._chunks is not None
            async with self._limit(step.until):
                return await anext(self._chunks, b"")
        if isinstance(step, Open):
            return await self._open(step)
        await self._disconnect()
        if isinstance(step, Sleep):
            assert self._wake is not None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), step.seconds)
            return None
        assert isinstance(step, Recover)
        self._job = job = await run_elsewhere(lambda: self._owner.follow(step.ref, step.timeout, None))
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
        return asyncio.timeout_at(self._loop.time() + until - time.monotonic())

    async def _open(self, step: Open) -> Reply:
        await self._disconnect()
        self._sent = False
        # A function that returns the key may block.
        headers = (
            await run_elsewhere(self.request_headers) if callable(self._options.api_key) else self.request_headers()
        )
        timeout = httpx2.Timeout(None, connect=self.connect_timeout(step))
        http = self._http = async_http_client(self._options, self._url, timeout=timeout)
        request = http.build_request(
            "POST", self._url, content=step.body, headers=headers, extensions={"trace": self._trace}
        )
        async with self._limit(step.until):
            response = self._response = await http.send(request, stream=True)
        self._chunks = response.aiter_bytes() if "Content-Encoding" in response.headers else response.aiter_raw()
        return _reply(response)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        self.note(event, info)

    async def _disconnect(self) -> None:
        """Close the connection, if there is one."""
        response, self._response = self._response, None
        http, self._http = self._http, None
        self._network = self._chunks = None
        with suppress(Exception):
            if response is not None:
                await response.aclose()
        with suppress(Exception):
            if http is not None:
                await http.aclose()

    def abort(self, *, client: bool = False) -> None:
        """End the connection; safe in any thread."""
        if self.complete or self.ended_by:
            return
        self.ended_by = "client" if client else "stream"
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
        if (http := self._http) is not None and self._loop is not None:
            closing = self._loop.create_task(self._disconnect() if not self.reading else _close(http))
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)

    def abandon(self) -> None:
        """Forget the connection after a fork, in the child: its event loop belongs to the parent."""
        if not (self.complete or self.ended_by):
            self.ended_by = "fork"
            _abandoned.append((self._response, self._http, self._chunks))
            self._response = self._http = self._chunks = self._loop = None


_abandoned: list[Any] = []
"""Parts of connections that belong to the parent of this process. Garbage collection would close them."""
_closing: set[asyncio.Task[None]] = set()
"""Tasks that close connections. The event loop holds no reference to its tasks."""


async def _close(http: httpx2.AsyncClient) -> None:
    with suppress(Exception):
        await http.aclose()


_ready: list[bool] = []
"""Has an element once the modules that a stream needs are loaded."""


def _prepare(owner: StreamOwner, task: StreamText, uuid: str) -> Plan:
    """Encode a request, and load the modules and certificates that streams need."""
    plan = owner.plan(task, uuid)
    if not _ready:
        with loading:
            http_client(owner.options, owner.options.service_url("api")).close()
            with suppress(ImportError):  # what anyio loads at its first use; the place may change
                importlib.import_module("anyio._backends._asyncio")
        _ready.append(True)
    return plan
