"""The command line, `python -m runware` (extra `cli`). There is no console script: that name is another tool's."""

from runware.cli.commands import app

__all__ = ["app"]
