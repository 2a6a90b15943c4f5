"""Command line (extra `cli`): `python -m runware`, or `runware` unless another package provides that command."""

from runware.cli.commands import app

__all__ = ["app"]
