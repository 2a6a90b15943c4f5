"""Why an official client is ahead where it is: sentences for the tables, by line, form of this client, and client."""

from __future__ import annotations

__all__ = ["REASONS"]

REASONS: dict[tuple[str, str, str], str] = {}
"""The key of the line, the form of this client that was compared, such as `ours-asyncio`, and the official client.

A reason is entered when a profile has shown it, and removed with the line.
"""
