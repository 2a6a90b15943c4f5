"""Streams of text, as users have them: to iterate over, in blocking code and in event loops, and as jobs."""

from __future__ import annotations

import logging
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.threads import start_thread
from runware.errors import RunwareError, ValidationError
from runware.futures import Owner
from runware.jobs import Job, Progress
from runware.protocol.call import CallState
from runware.requests.plan import Plan
from runware.requests.text import StreamText
from runware.results import Results, Text, TextPiece
from runware.results.pieces import TextParts
from runware.text.exchange import Open, Pieces, Recover, Sleep, Step
from runware.text.readers import AsyncReader, BlockingReader, Reader, StreamOwner
from runware.transport.wakeup import wake

if TYPE_CHECKING:
    from runware.store.keeper import Place

__all__ = ["AsyncTextStream", "StreamJob", "TextStream"]

log = logging.getLogger("runware.text")

R = TypeVar("R", bound=Reader)


def _refuse_callback(task: StreamText) -> None:
    if task.on_partial is not None:
        raise ValidationError(
            "stream_text: on_partial goes with rw.submit.stream_text(...). Here, iterate over the stream.",
            code="invalidParameter",
            parameter="on_partial",
            task_type=task.task_type,
        )


class _Stream(Generic[R]):
    """What the streams of blocking code and of event loops have in common."""

    _reader: R
    _pending: list[TextPiece]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._reader.uuid} {self._reader.state}>"

    @property
    def task_uuid(self) -> str:
        """The UUID of the task at the server; with retries, that of the last attempt."""
        return self._reader.uuid

    @property
    def ref(self) -> dict[str, str]:
        """A reference with which `rw.job(ref)` can ask for the whole text later, also in another process."""
        return {"task_uuid": self._reader.uuid, "task_type": StreamText.task_type}

    @property
    def received(self) -> Text:
        """The text of the pieces so far."""
        exchange = self._reader.exchange
        return TextParts().result() if exchange is None else exchange.text(ahead=self._pending)


class TextStream(_Stream[BlockingReader], Iterator[TextPiece]):
    """A text that is generated while it is read: iterate over its pieces, then ask for the `result()`.

    `rw.stream_text` returns it. The request is sent when the first piece is read. Use it as a context manager: leaving
    the block ends the connection at once. It is read in the caller's thread; only one thread may read at a time.

    Args:
        owner: The client.
        task: The request.
    """

    def __init__(self, owner: StreamOwner, task: StreamText) -> None:
        _refuse_callback(task)
        self._owner = owner
        self._reader = BlockingReader(owner, task, owner.plan(task))
        self._pending: list[TextPiece] = []
        self._finalizer = weakref.finalize(self, self._reader.abort)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TextPiece:
        """Wait for the next piece.

        Raises:
            RunwareError: The stream failed. `results` holds the text so far, if there is any.
            StopIteration: The text is complete.
        """
        if not self._pending:
            if self._reader.exchange is None:
                self._owner.check_thread()
                warn_in_event_loop("async for piece in rw.aio.stream_text(...)")
            self._pending = list(reversed(self._reader.next_pieces()))
            if not self._pending:
                self._finalizer.detach()
                raise StopIteration
        return self._pending.pop()

    def text(self) -> Iterator[str]:
        """Yield the text of each further piece that has some. Raises as the stream itself does."""
        for piece in self:
            if text := piece.text:
                yield text

    def result(self) -> Text:
        """Return the whole text. What has not been read yet is read first, and can no longer be iterated over.

        Raises:
            RunwareError: The stream failed, or was closed before its end. `results` holds the text so far, if there is
                any.
        """
        for _ in self:
            pass
        return self.received

    def close(self) -> None:
        """End the connection, if it is still there. The server may go on, and bill the whole text."""
        self._reader.abort()


class AsyncTextStream(_Stream[AsyncReader], AsyncIterator[TextPiece]):
    """A text that is generated while it is read, for asyncio: `async for` its pieces, then `await stream.result()`.

    `rw.aio.stream_text` returns it. The request is sent when the first piece is read. Use it with `async with`: leaving
    the block ends the connection at once, as does cancelling the task that reads. It belongs to the event loop in which
    it is read first; only one task may read at a time.

    Args:
        owner: The client.
        task: The request.
    """

    def __init__(self, owner: StreamOwner, task: StreamText) -> None:
        _refuse_callback(task)
        self._reader = AsyncReader(owner, task)
        self._pending: list[TextPiece] = []
        self._finalizer = weakref.finalize(self, self._reader.abort)

    async def __aenter__(self) -> Self:
        running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TextPiece:
        """Wait for the next piece.

        Raises:
            RunwareError: The stream failed. `results` holds the text so far, if there is any.
            StopAsyncIteration: The text is complete.
        """
        if not self._pending:
            self._pending = list(reversed(await self._reader.next_pieces()))
            if not self._pending:
                self._finalizer.detach()
                raise StopAsyncIteration
        return self._pending.pop()

    async def text(self) -> AsyncIterator[str]:
        """Yield the text of each further piece that has some. Raises as the stream itself does."""
        async for piece in self:
            if text := piece.text:
                yield text

    async def result(self) -> Text:
        """Return the whole text. What has not been read yet is read first, and can no longer be iterated over.

        Raises:
            RunwareError: The stream failed, or was closed before its end. `results` holds the text so far, if there is
                any.
        """
        async for _ in self:
            pass
        return self.received

    async def close(self) -> None:
        """End the connection, if it is still there. The server may go on, and bill the whole text."""
        await self._reader.close()

    aclose = close


class StreamJob(Job[Text]):
    """A stream as a job: iterate over it for its pieces as they come; its result is the whole `Text`.

    `rw.submit.stream_text` returns it. The request is sent at once, and read on a thread of its own. All pieces are
    kept, so that any number of threads and event loops can iterate over them. If it fails, `results` of the error
    holds one `Text`, with the text so far.

    Args:
        owner: The client.
        task: The request.
        plan: Its plan.
        dispatch: Runs `on_partial` callbacks; `None` means the callback thread.
        place: Its place in a call of `map` with a budget.
    """

    def __init__(
        self, owner: StreamOwner, task: StreamText, plan: Plan, dispatch: Any, place: Place | None = None
    ) -> None:
        self._reader = BlockingReader(owner, task, plan)
        self._reader.place = place
        call = plan.start()
        call.text = b""  # it is sent by the reader, and may hold large media
        super().__init__(task, call, owner, dispatch, plan.sent)
        self._pieces: list[Any] = []
        self._results = self._pieces

    def __repr__(self) -> str:
        return f"<StreamJob {self.task_uuid} {self.status} {len(self._results)} pieces>"

    @property
    def progress(self) -> Progress:
        """The progress so far. The text is one result, which is complete at the end; `results` has its pieces."""
        return super().progress._replace(completed=int(self.status == "succeeded"))

    def start(self) -> None:
        """Start reading.

        Raises:
            RunwareError: The system allows no more threads.
        """
        start_thread(self.run, "runware-stream", "to read the stream")

    def __iter__(self) -> Iterator[TextPiece]:  # type: ignore[override] # the items are pieces, as with several results
        """Yield each piece as it comes; at the end, raise the error if the stream failed."""
        return cast("Iterator[TextPiece]", super().__iter__())

    def __aiter__(self) -> AsyncIterator[TextPiece]:  # type: ignore[override]
        """Yield each piece as it comes; at the end, raise the error if the stream failed."""
        return cast("AsyncIterator[TextPiece]", super().__aiter__())

    def run(self) -> None:
        """Read to the end, in this thread."""
        call, reader = self._call, self._reader
        reader.on_step = self._follow_step
        reader.on_abandon = self.abandon
        failure: RunwareError | None = None
        items: list[Any] = []
        call.items = items
        try:
            while pieces := reader.next_pieces():
                items += pieces
                call.running = True
                if call.state in (CallState.SENT, CallState.RECOVERING):
                    call.enter(CallState.ACCEPTED)
                if self.done():
                    return
                self.call_arrived(call)
        except RunwareError as error:
            failure = error
        except Exception as error:
            log.exception("reading the stream %s failed", reader.uuid)
            failure = RunwareError(
                f"Reading the stream failed ({type(error).__name__}).", task_type=call.task_type, task_uuid=call.uuid
            )
            failure.may_have_run = True
        call.attempts = list(reader.attempts) or None
        if call.state is not CallState.DONE:
            call.enter(CallState.DONE)
        wake(self.call_ended(call, failure))

    def _follow_step(self, step: Step) -> None:
        """Keep the state of the call, which `status` and `running()` show."""
        call = self._call
        if isinstance(step, Open):
            call.uuid = step.uuid
            if call.state is CallState.RETRYING:
                call.enter(CallState.QUEUED)
            if call.state is CallState.QUEUED:
                call.enter(CallState.SENT)
            call.sends += 1
        elif isinstance(step, Sleep) and CallState.RETRYING in call.state.following:
            call.enter(CallState.RETRYING)
        elif isinstance(step, Recover) and CallState.RECOVERING in call.state.following:
            call.enter(CallState.RECOVERING)
        elif isinstance(step, Pieces):
            call.attempts = list(self._reader.attempts) or None

    def _cancel_call(self, owner: Owner, *, interrupted: bool) -> None:  # noqa: ARG002 - the session does not know it
        self._reader.abort()
        if interrupted:
            self._reader.interrupted()

    def _make_results(self, items: Sequence[Any], *, keep: bool = True) -> list[Any]:
        # The items of the call are the pieces. They are kept in a list, as there may be many thousands.
        new = list(items)
        if keep:
            self._pieces += new
        return new

    def _results_so_far(self) -> Sequence[Any]:
        if (error := self._reader.error) is not None:
            return error.results
        return (self._kind.assemble(Results(self._results)),) if self._results else ()
