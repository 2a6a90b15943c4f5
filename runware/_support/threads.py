"""Start threads, with a typed error if the system allows no more."""

from __future__ import annotations

import threading
from collections.abc import Callable

from runware._support.locks import release_thread_lock, thread_lock_count
from runware.errors import RunwareError

__all__ = ["cannot_start", "launch", "start_thread"]


def start_thread(work: Callable[[], object], name: str, purpose: str) -> threading.Thread:
    """Start a daemon thread.

    Args:
        work: What it runs.
        name: Its name.
        purpose: What it is for, in an error: `"to show the progress"`.

    Raises:
        RunwareError: The system allows no more threads.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        launch(thread)
    except RuntimeError as error:
        raise cannot_start(error, purpose) from error
    return thread


def launch(thread: threading.Thread) -> None:
    """Start a thread, so that Ctrl-C meanwhile leaves no lock of `threading` locked.

    Raises:
        RuntimeError: The system allows no more threads.
    """
    held = thread_lock_count()
    try:
        thread.start()
    except RuntimeError as error:
        if error.__context__ is not None and not isinstance(error.__context__, Exception):
            # Ctrl-C inside a lock of `threading`, which then fails to release it, with an error of its own.
            raise error.__context__ from None
        raise
    finally:
        release_thread_lock(held)


def cannot_start(error: RuntimeError, purpose: str) -> RunwareError:
    """Return the error of a thread that could not be started.

    Args:
        error: What was raised.
        purpose: What the thread is for: `"to show the progress"`.
    """
    return RunwareError(f"Could not start a thread {purpose}: {error}.", retryable=True)
