"""What depends on whether an event loop runs: the warning about blocking calls, and the error where asyncio is not."""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import TYPE_CHECKING

from runware.errors import WrongThreadError

if TYPE_CHECKING:
    import asyncio

__all__ = ["RunwareAsyncUsageWarning", "running_loop", "warn_in_event_loop"]


class RunwareAsyncUsageWarning(UserWarning):
    """A blocking call was made where an event loop runs, which stands still meanwhile."""


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop of asyncio.

    Raises:
        WrongThreadError: None runs here.
    """
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise WrongThreadError(
            "`rw.aio`, `await job` and `async for` need a running event loop of asyncio, and there is none here. Under "
            "trio, make a blocking call in a thread: `await trio.to_thread.run_sync(job.result)`."
        ) from None


_warned: list[bool] = []


def warn_in_event_loop(instead: str) -> None:
    """Warn, once a process, that a blocking call holds up the event loop it is made in.

    A notebook's own loop does not mind. The warning points at the first line outside this package.

    Args:
        instead: The expression that does the same in an event loop.
    """
    asyncio = sys.modules.get("asyncio")
    if _warned or asyncio is None or asyncio._get_running_loop() is None or _in_notebook():  # noqa: SLF001
        return
    _warned.append(True)
    warnings.warn(
        "A blocking call of runware was made where an event loop runs, which stands still until it returns. "
        f"Use `{instead}`.",
        RunwareAsyncUsageWarning,
        stacklevel=_caller_level(),
    )


def _in_notebook() -> bool:
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and bool(kernel.IPKernelApp.initialized())


def _caller_level() -> int:
    """Return how far up the stack the first frame outside this package is, as `warnings.warn` counts."""
    level = 1
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("runware."):
        frame = frame.f_back
        level += 1
    return level
