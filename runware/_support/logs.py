"""Logging: `RUNWARE_LOG`, messages that fall back to standard error, and a limit on repeated warnings."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress

from runware.errors import ConfigurationError

__all__ = ["LOG_VARIABLE", "RepeatLimit", "log_or_stderr", "log_to_stderr", "warn_interrupted"]

LOG_VARIABLE = "RUNWARE_LOG"
_LEVELS = ("debug", "info", "warning", "error")


class _StderrHandler(logging.Handler):
    """Writes to standard error, unless the root logger has handlers, which get the record too."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if not logging.root.handlers and sys.stderr is not None:
            try:
                sys.stderr.write(self.format(record) + "\n")
            except Exception:
                self.handleError(record)


def log_or_stderr(
    logger: logging.Logger, message: str, *args: object, trace: bool = False, level: int = logging.ERROR
) -> None:
    """Log a message; if no handler is configured for it, write it to standard error.

    Args:
        logger: A logger of this package.
        message: The format string.
        args: Its arguments.
        trace: Whether to include the traceback of the current exception.
        level: The log level.
    """
    logger.log(level, message, *args, exc_info=trace)
    current: logging.Logger | None = logger
    while current is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in current.handlers):
            return
        current = current.parent if current.propagate else None
    if sys.stderr is not None:
        text = f"{logger.name}: {message % args}\n" + (traceback.format_exc() if trace else "")
        with suppress(OSError, ValueError):
            sys.stderr.write(text)


_jobs_log = logging.getLogger("runware.jobs")
"""Has no `RepeatLimit`: each warning names another task."""


def warn_interrupted(task_uuid: str) -> None:
    """Warn that a call was interrupted after its task was sent."""
    log_or_stderr(
        _jobs_log,
        "A call was interrupted after its task was sent: it may run and be billed. Pick it up with rw.job(%r).",
        task_uuid,
        level=logging.WARNING,
    )


_handler = _StderrHandler()
_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))


def log_to_stderr(level: str) -> None:
    """Write the logs of `runware.*` to standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`.

    Raises:
        ConfigurationError: The level is unknown.
    """
    if level.lower() not in _LEVELS:
        raise ConfigurationError(
            f"{LOG_VARIABLE} must be {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}; got {level!r}.", parameter=LOG_VARIABLE
        )
    logger = logging.getLogger("runware")
    logger.setLevel(level.upper())
    if _handler not in logger.handlers:
        logger.addHandler(_handler)


class RepeatLimit(logging.Filter):
    """Limit how often a logger repeats a warning, so that a server cannot fill a disk with them.

    The first record of the next period states how many were suppressed.

    Args:
        most: Records allowed per period with the same format string.
        period: Seconds.
    """

    def __init__(self, most: int = 20, period: float = 10.0) -> None:
        super().__init__()
        self._most = most
        self._period = period
        self.reset()

    def reset(self) -> None:
        """Forget all counts."""
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record."""
        if record.levelno < logging.WARNING:
            return True
        message = str(record.msg)
        since, count = self._seen.get(message, (record.created, 0))
        if not 0 <= record.created - since < self._period:
            if count > self._most:
                record.msg = f"{message} (and {count - self._most} more like it, not logged)"
            since, count = record.created, 0
        self._seen[message] = since, count + 1
        return count < self._most
