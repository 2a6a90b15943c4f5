"""The future of a client, which threads and event loops wait for: what the jobs of calls and of apps have in common."""

from __future__ import annotations

import contextvars
import copy
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from runware._support.event_loops import running_loop, warn_in_event_loop
from runware.errors import TaskCancelledError, ValidationError
from runware.options import waiting_time
from runware.protocol.call import Call
from runware.transport.callbacks import run_guarded
from runware.transport.light_future import LightFuture
from runware.transport.loop_inbox import LoopWait

if TYPE_CHECKING:
    from runware.media.downloads import Downloads

__all__ = ["ClientFuture", "Completer", "Owner"]

R = TypeVar("R")
E = TypeVar("E", bound=BaseException)

Completer = Callable[[ValidationError, bytes | Mapping[str, Any]], ValidationError]
"""Returns the server's refusal of a task with what its model accepts, given the message that was sent."""


class Owner(Protocol):
    """The client of a job, as the job sees it."""

    downloads: Downloads

    def cancel_call(self, call: Call, *, interrupted: bool = False) -> None:
        """Cancel the call: remove it from the queue, or discard its results if it was already sent."""

    @property
    def post_callback(self) -> Callable[[Callable[[], object]], None]:
        """A function that runs a callback on the callback thread. It holds no reference to the client."""
        ...

    @property
    def complete_error(self) -> Completer:
        """A function that completes the server's refusal of a task. It holds no reference to the client."""
        ...

    def check_thread(self) -> None:
        """Raise `WrongThreadError` on one of the client's own threads."""


class ClientFuture(LightFuture[R], Generic[R]):
    """A future of a client, which can also be awaited in any event loop. Its callbacks run on the callback thread."""

    _owner: Owner | None
    """The client; `None` when it is done."""

    @abstractmethod
    def cancelled_error(self) -> TaskCancelledError:
        """Return the error of a cancelled call."""

    def result(self, timeout: float | None = None) -> R:
        """Wait for the call and return its result.

        Args:
            timeout: Seconds to wait; the call goes on afterwards. `None` waits until the call's deadline.

        Raises:
            TimeoutError: The call did not finish within *timeout*.
            ConfigurationError: *timeout* is no number.
            RunwareError: The call failed; see its subclasses.
            TaskCancelledError: It was cancelled.
        """
        outcome = self.outcome()
        if outcome is not None and outcome[1] is None:
            return outcome[0]  # type: ignore[return-value]  # without an error, it has a result
        answer, error = self._outcome_within(timeout)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: a reference cycle that would keep the callers' objects
        return answer  # type: ignore[return-value]  # without an error, it has a result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return its error, or `None` if it succeeded.

        Args:
            timeout: Seconds to wait; the call goes on afterwards. `None` waits until the call's deadline.

        Raises:
            TimeoutError: The call did not finish within *timeout*.
            TaskCancelledError: It was cancelled.
        """
        return self._outcome_within(timeout)[1]

    def _outcome_within(self, timeout: float | None) -> tuple[R | None, BaseException | None]:
        """Wait for the call and return its result and its error. Raises as `result` does."""
        if (outcome := self.outcome()) is None:
            if not self.done():
                if timeout is not None:
                    timeout = waiting_time(timeout)
                if timeout is None or timeout > 0:
                    warn_in_event_loop("await job")
                if (owner := self._owner) is not None:
                    owner.check_thread()
                if not self.wait_done(timeout):
                    raise TimeoutError
            if (outcome := self.outcome()) is None:
                raise self.cancelled_error()
        answer, error = outcome
        # Each caller gets a copy: raising the same instance again would extend its traceback, across threads too.
        return answer, None if error is None else self._error_to_raise(error)

    def _error_to_raise(self, error: E) -> E:
        """Return a copy of the error."""
        return copy.copy(error)

    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call *fn* with the job when it is done, on the client's callback thread; at once if it is done already.

        It runs in a copy of the current context.
        """
        if self.done() or (owner := self._owner) is None:
            run_guarded(partial(fn, self))
        else:
            bound = partial(contextvars.copy_context().run, partial(fn, self))
            post = owner.post_callback  # not the owner, which the callback would keep alive
            self.when_done(lambda: post(bound))

    def __await__(self) -> Generator[Any, None, R]:
        """Wait in the running event loop, as `wait_async` does."""
        wait = self.wait_in_loop()
        try:
            yield from wait.__await__()
        except BaseException:  # the wait was cancelled
            self.remove_wakeable(wait)
            raise
        return self.result(0)

    def wait_in_loop(self) -> LoopWait:
        """Begin a wait in the running event loop.

        Raises:
            WrongThreadError: There is no running asyncio event loop.
        """
        wait = LoopWait(running_loop())
        # Through the loop even if the job is done, so that callbacks queued there before run first.
        self.add_wakeable(wait)
        return wait

    async def wait_async(self) -> R:
        """Wait in the running event loop. Cancelling the wait does not cancel the job.

        Raises:
            WrongThreadError: There is no running asyncio event loop.
        """
        return await self
