"""Blocking work, on a thread of its own, for code in an event loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from runware._support.event_loops import running_loop
from runware._support.lazy_modules import lazy_module
from runware._support.threads import start_thread

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = lazy_module("asyncio")

__all__ = ["run_elsewhere"]

T = TypeVar("T")


async def run_elsewhere(work: Callable[[], T], *, unwanted: Callable[[T], object] = lambda answer: None) -> T:
    """Run blocking work on a new thread; the loop's executor may have no free one.

    Args:
        work: The function to run. It is not started if the wait is cancelled before.
        unwanted: Called with the result if the wait was cancelled meanwhile.

    Raises:
        RunwareError: The system allows no more threads.
    """
    running_loop()
    done: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        if done.set_running_or_notify_cancel():
            try:
                done.set_result(context.run(work))
            except BaseException as error:  # it is raised where it is waited for
                done.set_exception(error)

    start_thread(run, "runware-elsewhere", "for blocking work")
    try:
        return await asyncio.wrap_future(done)
    except asyncio.CancelledError:
        done.add_done_callback(lambda done: done.cancelled() or done.exception() or unwanted(done.result()))
        raise
