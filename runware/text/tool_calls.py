"""Running the tools that a model calls: plain functions in threads, async ones in an event loop."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_module
from runware._support.threads import start_thread
from runware.errors import RunwareError
from runware.text.steps import Prepared
from runware.text.tools import ToolRun

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = lazy_module("asyncio")

__all__ = ["run_async", "run_in_own_loop", "run_in_threads"]

_THREADS = 32
"""The most threads for the tools of one round."""


def _run(one: Prepared) -> ToolRun:
    """Run a plain function."""
    try:
        found = one.function()
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            raise TypeError(f"{one.run.name}() returned an awaitable; declare the tool with `async def`")
    except BaseException as error:  # the model gets it; SystemExit would end a thread unseen
        return one.run.failed(error)
    return one.run.returned(found)


async def run_async(one: Prepared) -> ToolRun:
    """Run an async function."""
    try:
        return one.run.returned(await one.function())
    except asyncio.CancelledError as error:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        return one.run.failed(error)
    except (KeyboardInterrupt, GeneratorExit):  # of the event loop, not of the tool
        raise
    except BaseException as error:  # the model gets it; without an outcome, it would be waited for
        return one.run.failed(error)


def run_in_threads(calls: list[Prepared], ended: Callable[[ToolRun], object]) -> None:
    """Run plain functions in threads, each with a copy of the caller's context."""
    waiting: SimpleQueue[Any] = SimpleQueue()
    for one in calls:
        waiting.put((copy_context(), one))

    def work() -> None:
        with suppress(Empty):
            while True:
                context, one = waiting.get_nowait()
                ended(context.run(_run, one))

    for number in range(min(len(calls), _THREADS)):
        try:
            start_thread(work, "runware-tool", "to call a tool")
        except RunwareError:
            if not number:
                raise
            break  # the threads that there are call the other tools too


def run_in_own_loop(
    calls: list[Prepared], ended: Callable[[ToolRun], object]
) -> tuple[threading.Thread, Callable[[], None]]:
    """Run async functions in an event loop on a thread of its own, with a copy of the caller's context.

    Returns:
        The thread, and a function that cancels them.
    """
    started: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = SimpleQueue()
    running = {one.run.id: one.run for one in calls}

    def done(task: asyncio.Task[ToolRun]) -> None:
        if not task.cancelled() and task.exception() is None:
            running.pop(task.result().id)
            ended(task.result())

    async def run_all() -> None:
        started.put((asyncio.get_running_loop(), asyncio.current_task()))
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                for one in calls:
                    group.create_task(run_async(one)).add_done_callback(done)

    def work() -> None:
        every = run_all()
        try:
            asyncio.run(every)
        except BaseException as error:  # the event loop could not start, or a tool has stopped it
            every.close()
            for run in running.values():
                ended(run.failed(error))

    context = copy_context()
    thread = start_thread(lambda: context.run(work), "runware-tools", "to call tools")

    def cancel() -> None:
        with suppress(Empty, RuntimeError):  # RuntimeError: the loop has ended
            loop, task = started.get(timeout=1.0)
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)

    return thread, cancel
