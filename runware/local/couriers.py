"""Deliveries to other servers: webhooks and uploads, to this machine only."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from runware.local.wire import dumps

if TYPE_CHECKING:
    from runware.local.jobs import Job
    from runware.local.state import State

__all__ = ["Couriers", "is_loopback"]

_LONGEST_DELAY = 8.0


def is_loopback(host: str | None) -> bool:
    """Whether a host name means this machine."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Couriers:
    """Sends webhooks and uploads.

    Args:
        state: What the server shares; every delivery is noted in its ledger.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._client: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def webhook(self, job: Job, item: dict[str, Any] | None, error: dict[str, Any] | None) -> None:
        """POST one finished result, or an error, to the task's `webhookURL`."""
        wrapped = self._state.switches.q12 == "data"
        if item is not None:
            item = {**item, "status": "success"}
            body: dict[str, Any] = {"data": [item]} if wrapped else item
        elif wrapped:
            body = {"errors": [error]}
        else:
            body = {**job.head, "status": "error", "error": error}
        url = job.task["webhookURL"]
        entry = {"url": url, "body": body, "statuses": [], "delivered": False}
        self._state.ledger.webhooks.append(entry)
        self._start("POST", url, dumps(body).encode(), "application/json", entry)

    def upload(self, url: str, data: bytes, content_type: str) -> None:
        """PUT the bytes of a file to the task's `uploadEndpoint`."""
        entry = {"url": url, "size": len(data), "statuses": [], "delivered": False}
        self._state.ledger.uploads.append(entry)
        self._start("PUT", url, data, content_type, entry)

    def _start(self, method: str, url: str, body: bytes, content_type: str, entry: dict[str, Any]) -> None:
        if not is_loopback(urlsplit(url).hostname):
            entry["statuses"].append("refused: not on this machine")
            self._state.ledger.changed()
            return
        task = asyncio.get_running_loop().create_task(self._send(method, url, body, content_type, entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, method: str, url: str, body: bytes, content_type: str, entry: dict[str, Any]) -> None:
        options = self._state.options
        client = self._client
        if client is None:
            client = self._client = aiohttp.ClientSession(trust_env=False)
        delay = options.webhook_delay
        for attempt in range(options.webhook_tries):
            if attempt:
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                delay = min(_LONGEST_DELAY, 2 * delay)
            try:
                timeout = aiohttp.ClientTimeout(total=options.webhook_timeout)
                headers = {"Content-Type": content_type}
                async with client.request(
                    method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
                ) as reply:
                    await reply.read()
                    entry["statuses"].append(reply.status)
                    entry["delivered"] = 200 <= reply.status < 300
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                entry["statuses"].append(f"{type(error).__name__}: {error}")
            self._state.ledger.changed()
            if entry["delivered"]:
                return

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            self._client = None
