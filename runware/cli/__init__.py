"""The command line (extra `cli`): `python -m runware`, or `runware` if no other tool of that name comes first."""

from runware.cli.commands import app

__all__ = ["app"]
