"""Cancellation of blocking work, and running it on threads for asyncio."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from runware._support.lazy_modules import lazy_module
from runware._support.threads import cannot_start
from runware.errors import DownloadError

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = lazy_module("asyncio")

__all__ = ["CancelToken", "cancellable", "in_thread", "iterate_in_thread"]

T = TypeVar("T")


class CancelToken:
    """A thread-safe flag that cancels blocking work."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []

    def set(self) -> None:
        """Cancel: set the flag and run the registered callbacks."""
        with self._lock:
            self._cancelled.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Return whether the work was cancelled."""
        return self._cancelled.is_set()

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Register a callback to run on cancellation; run it at once if already cancelled."""
        with self._lock:
            if not self._cancelled.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def check(self, seconds: float = 0.0) -> None:
        """Wait up to *seconds* and raise if the work was cancelled.

        Raises:
            DownloadError: The work was cancelled.
        """
        if self._cancelled.wait(seconds) if seconds else self._cancelled.is_set():
            raise DownloadError("The download was cancelled.")


def cancellable(cancel: CancelToken, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks until cancellation.

    Raises:
        DownloadError: The work was cancelled, possibly after the last chunk, so that no result is kept either way.
    """
    for chunk in chunks:
        cancel.check()
        yield chunk
    cancel.check()


async def in_thread(work: Callable[[CancelToken], T]) -> T:
    """Run blocking work in the running loop's executor.

    Args:
        work: Called with a token, which is set when the awaiting task is cancelled. The work should then end soon.
    """
    cancel = CancelToken()
    context = copy_context()  # for events and logs
    try:
        return await _in_executor(lambda: context.run(work, cancel))
    except asyncio.CancelledError:
        cancel.set()
        raise


async def iterate_in_thread(make: Callable[[CancelToken], Generator[bytes, None, None]]) -> AsyncIterator[bytes]:
    """Iterate over a blocking generator in the running loop's executor.

    Args:
        make: Creates the generator; called with a token, which is set when the iteration ends early.
    """
    cancel = CancelToken()
    context = copy_context()
    chunks = make(cancel)
    lock = threading.Lock()  # a step may still be running after the iteration was cancelled

    def step() -> bytes | None:
        with lock:
            return context.run(next, chunks, None)

    def end() -> None:
        with lock:
            chunks.close()

    try:
        while (chunk := await _in_executor(step)) is not None:
            yield chunk
    finally:
        cancel.set()
        _in_executor(end)


def _in_executor(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run a function in the running loop's executor.

    Raises:
        RunwareError: The system allows no more threads.
    """
    try:
        return asyncio.get_running_loop().run_in_executor(None, work)
    except RuntimeError as error:
        raise cannot_start(error, "for a download") from error
