"""What `RUNWARE_LOG` does, and what is said in any case: on standard error, if no logging is set up."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress

from runware.errors import ConfigurationError

__all__ = ["LOG_VARIABLE", "Sparing", "log_to_stderr", "say", "say_interrupted"]

LOG_VARIABLE = "RUNWARE_LOG"
_LEVELS = ("debug", "info", "warning", "error")


class _ToStderr(logging.Handler):
    """Writes to standard error, unless the program has handlers of its own, which have the record anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if not logging.root.handlers and sys.stderr is not None:
            try:
                sys.stderr.write(self.format(record) + "\n")
            except Exception:
                self.handleError(record)


def say(logger: logging.Logger, message: str, *facts: object, trace: bool = False, level: int = logging.ERROR) -> None:
    """Log what its user must hear: it goes to standard error when no handler would have it.

    Args:
        logger: One of the package's.
        message: What to say, as logging has it.
        facts: What the message refers to.
        trace: Whether the exception that is being handled is told as well.
        level: The level at which it is logged.
    """
    logger.log(level, message, *facts, exc_info=trace)
    heard: logging.Logger | None = logger
    while heard is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in heard.handlers):
            return
        heard = heard.parent if heard.propagate else None
    if sys.stderr is not None:
        text = f"{logger.name}: {message % facts}\n" + (traceback.format_exc() if trace else "")
        with suppress(OSError, ValueError):
            sys.stderr.write(text)


def say_interrupted(logger: logging.Logger, task_uuid: str) -> None:
    """Warn that a call was interrupted when its task had been sent."""
    say(
        logger,
        "A call was interrupted when its task had been sent: it may run and be billed. Pick it up with rw.job(%r).",
        task_uuid,
        level=logging.WARNING,
    )


_handler = _ToStderr()
_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))


def log_to_stderr(level: str) -> None:
    """Let the loggers `runware.*`, and no others, write to standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`.

    Raises:
        ConfigurationError: It is something else.
    """
    if level.lower() not in _LEVELS:
        raise ConfigurationError(
            f"{LOG_VARIABLE} must be {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}, not {level!r}.", parameter=LOG_VARIABLE
        )
    logger = logging.getLogger("runware")
    logger.setLevel(level.upper())
    if _handler not in logger.handlers:
        logger.addHandler(_handler)


class Sparing(logging.Filter):
    """Limits how often a logger repeats a warning, so that no server can fill a disk. The next one tells how many.

    Args:
        most: Records of one message, before its arguments are filled in, in a period.
        period: Seconds.
    """

    def __init__(self, most: int = 20, period: float = 10.0) -> None:
        super().__init__()
        self._most = most
        self._period = period
        self.reset()

    def reset(self) -> None:
        """Forget what was logged."""
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be logged."""
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
