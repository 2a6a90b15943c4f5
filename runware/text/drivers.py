"""The drivers of chats: they perform the steps of a turn, in the caller's thread or in an event loop.

The requests of one turn share a connection, if it has been idle for a few seconds at most. Turns do not: a server may
close an idle connection at any moment, and then it cannot be known whether a request has arrived.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop
from runware._support.lazy_modules import lazy_module
from runware.errors import ClientClosedError, RunwareError, TaskCancelledError
from runware.options import Options
from runware.text.completions import TASK_TYPE, ChatPiece
from runware.text.requester import Requester, abandoned, load_http, ready, reply_of
from runware.text.steps import (
    AwaitTool,
    DeadlineError,
    Hand,
    Open,
    Prepare,
    Prepared,
    Read,
    Reply,
    Sleep,
    StartTools,
    Step,
)
from runware.text.tool_calls import run_async, run_in_own_loop, run_in_threads
from runware.text.tools import ToolRun
from runware.transport.activity import Activity
from runware.transport.http_client import async_http_client, http_client, limit_network

if TYPE_CHECKING:
    import asyncio

    import httpx2

    from runware.store.expenses import Expense
    from runware.text.open_streams import OpenStreams
else:
    asyncio = lazy_module("asyncio")
    httpx2 = lazy_module("httpx2")

__all__ = ["AsyncDriver", "BlockingDriver", "ChatOwner"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_POLL = 3600.0
"""The longest wait in one piece, in seconds: longer ones overflow on some platforms."""


class ChatOwner(Protocol):
    """The client of a chat, as the chat sees it."""

    options: Options
    activity: Activity

    @property
    def streams(self) -> OpenStreams:
        """The streams and chats that are in flight."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the client is closed."""
        ...

    def expense(self, task_type: str, uuid: str, wire: Callable[[], Mapping[str, Any]]) -> Expense | None:
        """Return what counts the cost of a request; `None` if nothing does."""
        ...

    @property
    def started(self) -> bool:
        """Whether what the client knows about models is loaded."""
        ...

    def check_thread(self) -> None:
        """Raise `WrongThreadError` on one of the client's own threads."""

    def check_model(self, name: str, task_type: str) -> None:
        """Report a known model that makes something else than a request asks for; it may block before `started`."""


class Performable(Protocol[R_co]):
    """A turn, as its driver sees it."""

    @property
    def sent(self) -> bool:
        """Whether a request is under way."""
        ...

    driver: Callable[[], Any]

    def steps(self) -> Generator[Step, Any, R_co]:
        """Yield the steps."""
        ...


class _Driver(Requester, Generic[R]):
    """What both drivers have in common: the state of the turn, the request, and how errors are translated."""

    def __init__(self, owner: ChatOwner, turn: Performable[R]) -> None:
        super().__init__(owner.options)
        self._owner = owner
        self._turn = turn
        turn.driver = weakref.ref(self)
        self._steps = turn.steps()
        self._begun = False
        self._running = 0  # the thread that takes steps; 0 while none does
        self._result: list[R] = []
        self._error: RunwareError | None = None

    @property
    def in_flight(self) -> str | None:
        """Its name in the log, if a request was sent and has no answer. There is no UUID of a task."""
        waits = not (self._result or self._error is not None or self.ended_by)
        return "(a chat)" if waits and self._turn.sent and self._sent else None

    @property
    def written(self) -> bool:
        """Whether the last request may have been written."""
        return self._sent

    def over(self) -> bool:
        """Return whether the turn has ended. If an interrupt came between its end and that of its steps, close them."""
        state = inspect.getgeneratorstate(self._steps)
        if self.ended_by and self._running in (0, threading.get_ident()) and state != inspect.GEN_RUNNING:
            self._steps.close()
            return True
        return state == inspect.GEN_CLOSED

    def result(self) -> R:
        """Return what the turn returned.

        Raises:
            RunwareError: It failed, or was ended before.
        """
        if self._result:
            return self._result[0]
        raise copy.copy(self._error) if self._error is not None else self._closed_error()

    def _begin(self) -> None:
        """Check that the turn may go on; register it before its first step."""
        if self._error is not None:
            raise copy.copy(self._error)
        if self.ended_by:
            raise self._closed_error()
        if self._running:
            raise RunwareError("The answer is being read elsewhere already.")
        if not self._begun:
            if self._owner.closed:
                raise ClientClosedError("The client is closed. Create a new one for further calls.")
            self._owner.streams.add(self)
            self.redact_secrets()
            self._begun = True
        self._running = threading.get_ident()
        if self.ended_by:  # meanwhile, by another thread or a signal handler, which has closed the steps
            self._running = 0
            raise self._closed_error()

    def _advance(self, outcome: Any, error: Exception | None) -> Step | None:
        """Return the next step; `None` at the end."""
        try:
            if self.ended_by and error is not None:
                error = self._closed_error()
            return self._steps.send(outcome) if error is None else self._steps.throw(error)
        except StopIteration as end:
            if self.ended_by and end.value is None:  # the steps were closed meanwhile
                raise self._closed_error() from None
            self._result.append(end.value)
            return None
        except RunwareError as failure:
            self._error = failure
            raise copy.copy(failure) from failure.__cause__

    def _meaning(self, step: Step, failure: Exception) -> Exception:
        """Return what the failure of a step means for the turn; raise it if it is none of the network."""
        if isinstance(step, (Open, Read)):
            failure.__traceback__ = None  # its frames hold the key
            return self.translated(failure)
        if isinstance(failure, (RunwareError, DeadlineError)):
            return failure
        raise failure

    def _refusal(self, step: Step) -> RunwareError:
        """Return the error of a step that is not begun, because the turn was ended."""
        if isinstance(step, Open):
            self._sent = False
        return self._closed_error()

    def _closed_error(self) -> RunwareError:
        client, sent = self.ended_by == "client", self._turn.sent and self._sent
        cls = ClientClosedError if client else TaskCancelledError
        error = cls(
            f"The {'client' if client else 'chat'} was closed before the answer was complete."
            + (" The server may go on, and bill it." if sent else ""),
            task_type=TASK_TYPE,
        )
        error.may_have_run = sent
        return error


class BlockingDriver(_Driver[R]):
    """Performs a turn in the caller's thread. Plain tools run in threads, async ones in an event loop on another."""

    def __init__(self, owner: ChatOwner, turn: Performable[R]) -> None:
        owner.check_thread()
        super().__init__(owner, turn)
        self._http: httpx2.Client | None = None
        self._response: httpx2.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._wake = threading.Event()
        self._tools: SimpleQueue[ToolRun | None] = SimpleQueue()
        self._cancel_tools: Callable[[], object] = lambda: None
        self._async_tools: tuple[threading.Thread | None, set[str]] = (None, set())

    def next_piece(self) -> ChatPiece | None:
        """Wait for the next piece; return `None` at the end.

        Raises:
            RunwareError: The turn failed.
        """
        if self._result:
            return None
        self._begin()
        going_on = False
        try:
            step = self._take_steps()
            going_on = step is not None
            return None if step is None else step.piece
        finally:
            self._running = 0
            if not going_on or self.ended_by:
                self._end()

    def _take_steps(self) -> Hand | None:
        """Take steps until there is a piece; return `None` at the end."""
        outcome: Any = None
        error: Exception | None = None
        while (step := self._advance(outcome, error)) is not None:
            if isinstance(step, Hand):
                return step
            outcome = error = None
            try:
                outcome = self._perform(step)
            except Exception as failure:
                error = self._meaning(step, failure)
        return None

    def _perform(self, step: Step) -> Any:
        if self.ended_by:
            raise self._refusal(step)
        if isinstance(step, Read):
            self._until = step.until
            return next(self._chunks, b"")
        if isinstance(step, Open):
            return self._open(step)
        if isinstance(step, Prepare):
            return step.work()
        if isinstance(step, Sleep):
            if self._wake.wait(step.seconds):
                raise self._closed_error()
            return None
        if isinstance(step, StartTools):
            self._start_tools(list(step.calls))
            return None
        assert isinstance(step, AwaitTool)
        return self._await_tool(step.until)

    def _open(self, step: Open) -> Reply:
        self._release()
        self._until, self._sent = step.until, False
        if self._http is None:
            self._http = http_client(self._options, self._url, connecting=self._connecting)
        request = self._http.build_request(
            "GET" if step.body is None else "POST",
            self._url + step.path,
            content=step.body,
            headers=self.request_headers(),
            timeout=httpx2.Timeout(None, connect=self.connect_timeout(step.until)),
            extensions={"trace": self._trace},
        )
        response = self._response = self._http.send(request, stream=True)
        self._chunks = response.iter_bytes() if "Content-Encoding" in response.headers else response.iter_raw()
        return reply_of(response)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        network = self.note(event, info)
        if network is not None:
            limit_network(network, lambda: self._until - time.monotonic())

    def _start_tools(self, calls: list[Prepared]) -> None:
        tools = self._tools
        run_in_threads([one for one in calls if not one.tool.is_async], tools.put)
        if tasks := [one for one in calls if one.tool.is_async]:
            thread, self._cancel_tools = run_in_own_loop(tasks, tools.put)
            self._async_tools = thread, {one.run.id for one in tasks}

    def _await_tool(self, until: float) -> ToolRun:
        self._until = until
        while True:
            try:
                found = self._tools.get(timeout=min(self.left(), _POLL))
            except Empty:
                if time.monotonic() >= until:
                    raise DeadlineError from None
                continue
            if found is None:
                raise self._closed_error()
            thread, left = self._async_tools
            left.discard(found.id)
            if thread is not None and not left:
                # Under gevent, the caller would seem to be in the event loop until it has ended.
                thread.join(1.0)
                self._async_tools = None, set()
            return found

    def _release(self) -> None:
        """End the current response; its connection is kept if it was read to the end."""
        response, self._response = self._response, None
        self._chunks = iter(())
        with suppress(Exception):
            if response is not None:
                response.close()

    def _end(self) -> None:
        """End the turn and its connection."""
        if not self._result and self._error is None:
            self.ended_by = self.ended_by or "chat"
        with suppress(ValueError):  # another thread closes them
            self._steps.close()  # first, as that frees the chat
        self._release()
        http, self._http = self._http, None
        self._network = None
        cancel, self._cancel_tools = self._cancel_tools, lambda: None
        with suppress(Exception):
            if http is not None:
                http.close()
        if not self._result:
            cancel()

    def abort(self, *, client: bool = False) -> None:
        """End the turn and its connection; safe in any thread."""
        if self._result or self._error is not None or self.ended_by:
            return
        self.ended_by = "client" if client else "chat"
        self._wake.set()
        self._tools.put(None)
        if not self._running:
            self._end()
            return
        self.shut_down()

    def abandon(self) -> None:
        """Close the descriptors after a fork, in the child, without a word to the server."""
        if self._result or self._error is not None or self.ended_by:
            return
        self.ended_by = "client"
        # Kept, because ending it would write to the connection.
        abandoned.append((self._response, self._http, self._chunks))
        self._response, self._http, self._chunks = None, None, iter(())
        self.close_descriptor()


class AsyncDriver(_Driver[R]):
    """Performs a turn in the running event loop. Async tools are its tasks; plain ones run in threads."""

    def __init__(self, owner: ChatOwner, turn: Performable[R]) -> None:
        super().__init__(owner, turn)
        self._http: httpx2.AsyncClient | None = None
        self._response: httpx2.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._tools: asyncio.Queue[ToolRun] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def next_piece(self) -> ChatPiece | None:
        """Wait for the next piece; return `None` at the end.

        Raises:
            RunwareError: The turn failed.
        """
        if self._result:
            return None
        loop = running_loop()
        self._begin()
        self._loop = loop
        going_on = False
        try:
            outcome: Any = None
            error: Exception | None = None
            while (step := self._advance(outcome, error)) is not None:
                if isinstance(step, Hand):
                    going_on = True
                    return step.piece
                outcome = error = None
                try:
                    outcome = await self._perform(step)
                except Exception as failure:
                    error = self._meaning(step, failure)
            return None
        finally:
            self._running = 0
            if not going_on or self.ended_by:
                await self._end()

    async def _perform(self, step: Step) -> Any:
        if self.ended_by:
            raise self._refusal(step)
        if isinstance(step, Read):
            assert self._chunks is not None
            async with self._limit(step.until):
                return await anext(self._chunks, b"")
        if isinstance(step, Open):
            return await self._open(step)
        if isinstance(step, Prepare):
            return await run_elsewhere(step.work) if step.blocks else step.work()
        if isinstance(step, Sleep):
            with suppress(DeadlineError):
                async with self._limit(time.monotonic() + step.seconds):
                    await asyncio.Event().wait()
            return None
        if isinstance(step, StartTools):
            self._start_tools(list(step.calls))
            return None
        assert isinstance(step, AwaitTool)
        assert self._tools is not None
        async with self._limit(step.until):
            return await self._tools.get()

    @contextlib.asynccontextmanager
    async def _limit(self, until: float) -> AsyncIterator[None]:
        """Raise `DeadlineError` if the block is not done in time, and the error of a closed chat if that is why."""
        self._until = until
        assert self._loop is not None
        timeout = asyncio.timeout_at(self._loop.time() + max(0.0, until - time.monotonic()))
        self._limits.add(timeout)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if self.ended_by:
                raise self._closed_error() from None
            if timeout.expired():
                raise DeadlineError from None
            raise
        finally:
            self._limits.discard(timeout)

    async def _open(self, step: Open) -> Reply:
        await self._release()
        self._sent = False
        # A function that returns the key may block, and so may loading the HTTP library.
        headers = (
            await run_elsewhere(self.request_headers) if callable(self._options.api_key) else self.request_headers()
        )
        if self._http is None:
            if not ready:
                await run_elsewhere(lambda: load_http(self._options))
            self._http = async_http_client(self._options, self._url)
        request = self._http.build_request(
            "GET" if step.body is None else "POST",
            self._url + step.path,
            content=step.body,
            headers=headers,
            timeout=httpx2.Timeout(None, connect=self.connect_timeout(step.until)),
            extensions={"trace": self._trace},
        )
        try:
            async with self._limit(step.until):
                response = self._response = await self._http.send(request, stream=True)
        except DeadlineError:
            if self._sent:
                raise
            raise TimeoutError from None
        self._chunks = response.aiter_bytes() if "Content-Encoding" in response.headers else response.aiter_raw()
        return reply_of(response)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        self.note(event, info)

    def _start_tools(self, calls: list[Prepared]) -> None:
        loop = self._loop
        assert loop is not None
        tools = self._tools = asyncio.Queue()

        def ended(run: ToolRun) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tools.put_nowait, run)

        run_in_threads([one for one in calls if not one.tool.is_async], ended)
        for one in calls:
            if one.tool.is_async:
                task = loop.create_task(run_async(one))
                self._tasks.add(task)
                task.add_done_callback(lambda task: None if task.cancelled() else tools.put_nowait(task.result()))
                task.add_done_callback(self._tasks.discard)

    async def _release(self) -> None:
        response, self._response = self._response, None
        self._chunks = None
        with suppress(Exception):
            if response is not None:
                await response.aclose()

    async def _end(self) -> None:
        """End the turn, its connection and the tasks of its tools."""
        if not self._result and self._error is None:
            self.ended_by = self.ended_by or "chat"
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        self._steps.close()
        await self._release()
        http, self._http = self._http, None
        with suppress(Exception):
            if http is not None:
                await http.aclose()
        await self.close_network()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    async def close(self) -> None:
        """End the turn and its connection at once."""
        if self._result or self._error is not None:
            return
        self.ended_by = self.ended_by or "chat"
        if self._running:
            self._end_limits()
        else:
            await self._end()

    def abort(self, *, client: bool = False) -> None:
        """End the turn; safe in any thread."""
        if self._result or self._error is not None or self.ended_by:
            return
        self.ended_by = "client" if client else "chat"
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._abort_in_loop)

    def _abort_in_loop(self) -> None:
        self._end_limits()
        if not self._running and self._loop is not None:
            task = self._loop.create_task(self._end())
            _ending.add(task)
            task.add_done_callback(_ending.discard)

    def _end_limits(self) -> None:
        assert self._loop is not None
        for timeout in self._limits:
            with suppress(RuntimeError):  # it has just expired
                timeout.reschedule(self._loop.time())

    def abandon(self) -> None:
        """Forget the connection after a fork, in the child: its event loop belongs to the parent."""
        if not (self._result or self._error is not None or self.ended_by):
            self.ended_by = "client"
            abandoned.append((self._response, self._http, self._chunks))
            self._response = self._http = self._chunks = self._loop = None
            self.replace_descriptor()


_ending: set[asyncio.Task[None]] = set()
"""Tasks that end turns. The event loop holds no reference to its tasks."""
