"""The clients of a soak."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from runware import Runware

from .server import FIRST_KEY

__all__ = ["PATIENCE", "Clients"]

PATIENCE = 120.0
"""Seconds that a call may take; nothing here takes this long unless something is wrong."""


class Clients:
    """Clients that live as long as the soak, and the options of those that do not.

    Args:
        url: The URL of the server.
        context: TLS settings that trust it.
        folder: Where the store is.

    Attributes:
        key: The key that the server accepts now.
        main: Over the WebSocket.
        http: Over HTTP.
        once: Stores large inputs on the server.
        durable: With a store.
    """

    def __init__(self, url: str, context: ssl.SSLContext, folder: Path) -> None:
        self.key = FIRST_KEY
        self.options: dict[str, Any] = {
            "url": url,
            "ssl_context": context,
            "timeout": PATIENCE,
            "long_timeout": PATIENCE,
            "liveness_timeout": 3.0,
            "retry_delay": 0.2,
        }
        self.main = Runware(self.current_key, **self.options)
        self.http = Runware(self.current_key, transport="http", **self.options)
        self.once = Runware(self.current_key, upload_inputs="once", **self.options)
        self.durable = Runware(self.current_key, store=folder / "jobs.db", **self.options)

    def current_key(self) -> str:
        """Return the key; clients call this for each connection."""
        return self.key

    @property
    def all(self) -> list[Runware]:
        """All clients."""
        return [self.main, self.http, self.once, self.durable]

    def pending(self) -> int:
        """Return the number of tasks that the clients still have."""
        return sum(client.stats.in_flight + client.stats.queued for client in self.all)

    def close(self) -> None:
        """Close all."""
        for client in self.all:
            client.close()
