"""Submit the requests of `map` and yield their outcomes, on the caller's thread or in its event loop."""

from __future__ import annotations

import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from runware._support.elsewhere import run_elsewhere
from runware._support.event_loops import running_loop, warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware.jobs import Job, get_interruptibly
from runware.map.context import MapContext
from runware.map.window import Entry, Window
from runware.requests.base import Task
from runware.transport.loop_inbox import call_soon_in

R = TypeVar("R")

if TYPE_CHECKING:
    import asyncio

    from runware.store.places import MapPlace
else:
    asyncio = lazy_module("asyncio")

__all__ = ["run_async", "run_blocking"]


def run_blocking(window: Window[R], context: MapContext, *, return_exceptions: bool) -> Iterator[R | BaseException]:
    """Yield the outcomes of requests, blocking the current thread.

    Args:
        window: The requests.
        context: The context of the call, which has begun.
        return_exceptions: Whether errors are yielded, too. Otherwise, the first one is raised.
    """
    advances: queue.SimpleQueue[tuple[Entry[R], bool]] = queue.SimpleQueue()
    held: list[Job[R]] = []

    def notify(entry: Entry[R], ready: bool) -> None:
        advances.put((entry, ready))

    def submit_next() -> None:
        while (following := window.next_task()) is not None:
            entry, task = following
            try:
                job = context.core.submit(task, None, held, context.place)
            except Exception as error:  # also of this input only, e.g. a closed file
                window.add_failed(entry, error)
                held.clear()
            else:
                window.add(entry, job)
                held.clear()
                context.watch(entry, notify)

    try:
        while True:
            # A function of its own: a `try` inside this one could be left by Ctrl-C without the `except` below.
            submit_next()
            if (outcome := window.next_outcome()) is not None:
                yield outcome.outcome(return_exceptions=return_exceptions)
                window.yielded()
            elif window.running:
                warn_in_event_loop("async for ... in rw.aio.map(...)")
                window.advance(*get_interruptibly(advances))
            elif window.input_error is not None:
                raise window.input_error
            else:
                return
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        window.cancel(held, interrupted=True)
        raise
    finally:
        completed = window.completed
        window.cancel(held)
        context.end(completed=completed)


async def run_async(
    window: Window[R],
    context: MapContext,
    begin: Callable[[], None],
    submit: Callable[[Task[R], list[Job[R]], MapPlace | None], Awaitable[Job[R]]],
    *,
    return_exceptions: bool,
) -> AsyncIterator[R | BaseException]:
    """Yield the outcomes of requests in an event loop.

    Args:
        window: The requests.
        context: The context of the call.
        begin: Begins it. It may block, so it runs on a thread of its own.
        submit: Submits a request, and appends its job to the list before anything is sent.
        return_exceptions: Whether errors are yielded, too. Otherwise, the first one is raised.
    """
    loop = running_loop()
    advances: asyncio.Queue[tuple[Entry[R], bool]] = asyncio.Queue()
    held: list[Job[R]] = []

    def notify(entry: Entry[R], ready: bool) -> None:
        call_soon_in(loop, partial(advances.put_nowait, (entry, ready)))

    if context.blocks:
        await run_elsewhere(begin)
    try:
        while True:
            while (following := window.next_task()) is not None:
                entry, task = following
                try:
                    job = await submit(task, held, context.place)
                except Exception as error:  # also of this input only, e.g. a closed file
                    window.add_failed(entry, error)
                    held.clear()
                else:
                    window.add(entry, job)
                    held.clear()
                    context.watch(entry, notify)
            if (outcome := window.next_outcome()) is not None:
                yield outcome.outcome(return_exceptions=return_exceptions)
            elif window.running:
                window.advance(*await advances.get())
            elif window.input_error is not None:
                raise window.input_error
            else:
                return
    finally:
        completed = window.completed
        window.cancel(held)
        context.end(completed=completed)
