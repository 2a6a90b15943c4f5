"""What `RUNWARE_LOG` does: the package's log on standard error, for programs that have not set up logging."""

from __future__ import annotations

import logging
import sys

from runware.errors import ConfigurationError

__all__ = ["LOG_VARIABLE", "log_to_stderr"]

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
