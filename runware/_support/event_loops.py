"""Check for a running event loop: warn about blocking calls in one, and raise without one where it is needed."""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_module
from runware.errors import WrongThreadError

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = lazy_module("asyncio")

__all__ = ["RunwareAsyncUsageWarning", "running_loop", "warn_in_event_loop"]


class RunwareAsyncUsageWarning(UserWarning):
    """Warns of a blocking call in a running event loop, which it blocks."""


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running asyncio event loop.

    Raises:
        WrongThreadError: No event loop is running.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise WrongThreadError(
            "`rw.aio`, `await job` and `async for` need a running asyncio event loop. Under trio, make a blocking call "
            "in a thread: `await trio.to_thread.run_sync(job.result)`."
        ) from None


_warned: list[bool] = []


def warn_in_event_loop(instead: str) -> None:
    """Warn, once per process, if a blocking call is made in a running event loop.

    Notebooks, which always run one, are exempt. The warning points at the first line outside this package.

    Args:
        instead: The asynchronous equivalent of the call.
    """
    loaded = sys.modules.get("asyncio")
    if _warned or loaded is None or loaded._get_running_loop() is None or _in_notebook():  # noqa: SLF001
        return
    _warned.append(True)
    warnings.warn(
        "A blocking call of runware was made in a running event loop, which it blocks until it returns. "
        f"Use `{instead}`.",
        RunwareAsyncUsageWarning,
        stacklevel=_caller_level(),
    )


def _in_notebook() -> bool:
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and bool(kernel.IPKernelApp.initialized())


def _caller_level() -> int:
    """Return the `stacklevel` of the first frame outside this package."""
    level = 1
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("runware."):
        frame = frame.f_back
        level += 1
    return level
