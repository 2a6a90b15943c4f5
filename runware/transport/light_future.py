"""The future that a job is, without what most jobs never use.

`Future.__init__` makes a condition of ten objects and two lists: 1.5 KB and 6 µs a call, and the garbage collector
visits each of them again and again while thousands of calls are in flight. So the private parts that
`concurrent.futures` itself works on (`wait`, `as_completed`) are made here in a smaller form: a plain lock in place of
the condition, and a list of waiters that is made when it is asked for. Measured on Python 3.11 with 10,000 calls in
flight: 37 µs of CPU and 2.3 KB a call, against 45 µs and 3.6 KB with plain futures. One call after another takes as
long with either. Where a future has other parts than these, its public methods are used instead.

Callbacks and sleeping threads are kept in lists of our own. A signal handler that cancels a job may run between any two
instructions of the main thread. So whatever enters itself in a list checks afterwards whether the job is over, the list
of callbacks is emptied one by one, and the state changes within one statement that calls nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from runware._support.locks import make_rlock
from runware.transport.callbacks import run_guarded
from runware.transport.wakeup import POLL, Sleeper, bells, wake

__all__ = ["LightFuture"]

R = TypeVar("R")

_PENDING, _FINISHED, _CANCELLED = "PENDING", "FINISHED", "CANCELLED_AND_NOTIFIED"
"""The states of a future. `RUNNING` is none of a job: it can be cancelled to its end."""

_PARTS = {"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"}


def _has_known_parts() -> bool:
    """Whether a future of this Python consists of the parts that are replaced here."""
    made: Future[None] = Future()
    before = getattr(made, "_state", None)
    made.cancel()
    made.set_running_or_notify_cancel()
    return vars(made).keys() == _PARTS and (before, made._state) == (_PENDING, _CANCELLED)  # noqa: SLF001


class _Late:
    """A list of a future that is made when somebody asks for it, because most are never used."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, future: Any, owner: type[Any]) -> list[Any]:
        made: list[Any] = []
        future._watched = True  # noqa: SLF001 - it is a part of the future
        setattr(future, self._name, made)
        return made


class LightFuture(Future[R], Generic[R]):
    """A `concurrent.futures.Future` that only its owner can end, and that wakes those who wait for it when it wants.

    It can be waited for, and end, in any thread and in a signal's handler.
    """

    light: ClassVar[bool] = _has_known_parts()

    _watched = False
    _waiters = _Late()  # pyright: ignore[reportAssignmentType]

    def __init__(self) -> None:
        if self.light:
            self._condition = make_rlock()  # all that anybody else does with it
            self._state = _PENDING
            self._result = None
            self._exception = None
        else:
            super().__init__()
        self._callbacks: list[Callable[[], object]] | None = None
        self._sleepers: list[Any] | None = None

    # ------------------------------------------------------------------ how it ends

    def done(self) -> bool:
        """Return whether it has ended, or was cancelled."""
        return self._state != _PENDING if self.light else super().done()

    def _enter(self, state: str) -> bool:
        """Enter a final state and return `True`, unless one was entered before."""
        self._state = state if (before := self._state) == _PENDING else before
        return before == _PENDING

    def settle(self, answer: Any, error: BaseException | None) -> Sequence[Sleeper]:
        """End with a result or an error, unless it has ended, and run the callbacks.

        Returns:
            Those who wait for it. They are still to be woken.
        """
        if self.light:
            with self._condition:
                if self._state == _PENDING:
                    self._result, self._exception = answer, error  # before the state, for who looks without the lock
                    if self._enter(_FINISHED):
                        for waiter in self._waiters if self._watched else ():
                            waiter.add_result(self) if error is None else waiter.add_exception(self)
        elif not super().done():
            with suppress(Exception):  # cancelled meanwhile
                super().set_result(answer) if error is None else super().set_exception(error)
        # If it was over already, Ctrl-C may have kept `cancel` from what follows.
        sleepers = self._take_sleepers() if self._sleepers else ()
        if self._callbacks:
            self._run_callbacks()
        return sleepers

    def end_cancelled(self) -> bool:
        """End as cancelled, wake those who wait and run the callbacks; return `False` if it had ended before."""
        with self._condition:
            if self.light:
                if not self._enter(_CANCELLED):
                    return False
                for waiter in self._waiters if self._watched else ():
                    waiter.add_cancelled(self)
            elif super().done():
                return False
            else:
                super().cancel()
                with suppress(RuntimeError):  # a signal handler has cancelled it meanwhile
                    super().set_running_or_notify_cancel()
        wake(self._take_sleepers())
        self._run_callbacks()
        return True

    def outcome(self) -> tuple[Any, BaseException | None]:
        """Return the result and the error of one that has ended and was not cancelled."""
        if self.light:
            return self._result, self._exception
        error = super().exception(0)
        return (None, error) if error is not None else (super().result(0), None)

    def renew_lock(self) -> None:
        """Replace the lock, in a child that was forked: another thread may have held it."""
        self._condition = make_rlock() if self.light else threading.Condition()

    # ------------------------------------------------------------------ callbacks

    def when_over(self, callback: Callable[[], object]) -> None:
        """Call *callback* once, in the thread that ends it; at once if it has ended."""
        with self._condition:
            self._callbacks = self._callbacks or []
            self._callbacks.append(callback)
        if self.done():
            self._run_callbacks()

    def forget(self, callback: Callable[[], object]) -> None:
        """Do not call *callback* any more."""
        with suppress(ValueError, AttributeError):
            self._callbacks.remove(callback)  # type: ignore[union-attr]

    def _run_callbacks(self) -> None:
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:  # another thread has taken the last one
                return
            run_guarded(callback)

    # ------------------------------------------------------------------ waiting

    def wait_over(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, or for *timeout* seconds, and return whether it has."""
        if timeout is None:
            while not self.done():
                self._sleep(POLL)
        elif not self.done():
            self._sleep(timeout)
        return self.done()

    def _sleep(self, timeout: float | None) -> None:
        """Sleep until it has ended or *timeout* seconds have passed; without one, it may come back for nothing."""
        bell = bells.take() if timeout is None else None
        turn: Any = bell
        if bell is None:
            turn = threading.Lock()
            turn.acquire()
        woken = False
        try:
            with self._condition:
                self._sleepers = [*(self._sleepers or ()), turn]
            if not self.done():
                woken = turn.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        finally:
            with self._condition:
                sleepers = self._sleepers or ()
                unheard = turn in sleepers
                if unheard:
                    self._sleepers = [other for other in sleepers if other is not turn]
            if bell is not None:
                if woken or unheard:
                    bells.put_back(bell)
                else:
                    bells.give_up(bell)  # it has rung, or will, and not for the next who would wait for it

    def _take_sleepers(self) -> Sequence[Sleeper]:
        """Return those who wait, to be woken, each once."""
        with self._condition:
            sleepers, self._sleepers = self._sleepers, None
        return sleepers or ()

    # ------------------------------------------------------------------ what executors do with their futures

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether it was not cancelled. The call runs without anybody's doing, so that nothing changes."""
        if self.cancelled():
            return False
        if self.done():
            raise RuntimeError("The job is over.")
        return True

    def set_result(self, result: R) -> NoReturn:  # noqa: ARG002
        """Raise `InvalidStateError`: the result is that of the call."""
        self._refuse()

    def set_exception(self, exception: BaseException | None) -> NoReturn:  # noqa: ARG002
        """Raise `InvalidStateError`: the result is that of the call."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        from concurrent.futures import InvalidStateError

        raise InvalidStateError(f"Only the server's answer ends {self!r}; cancel() stops waiting for it.")
