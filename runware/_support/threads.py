"""Start threads, with a typed error if the system allows no more."""

from __future__ import annotations

import threading
from collections.abc import Callable

from runware.errors import RunwareError

__all__ = ["cannot_start", "start_thread"]


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
        thread.start()
    except RuntimeError as error:
        raise cannot_start(error, purpose) from error
    return thread


def cannot_start(error: RuntimeError, purpose: str) -> RunwareError:
    """Return the error of a thread that could not be started.

    Args:
        error: What was raised.
        purpose: What the thread is for: `"to show the progress"`.
    """
    return RunwareError(f"Could not start a thread {purpose}: {error}.", retryable=True)
