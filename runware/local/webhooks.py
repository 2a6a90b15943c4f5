"""Send webhooks, and upload results to a task's `uploadEndpoint`; to this machine only."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from runware.local.access_control import is_loopback
from runware.local.encoding import encode_json
from runware.local.state import ServerState
from runware.local.task_run import TaskRun

__all__ = ["WebhookSender"]

_MAX_BACKOFF = 8.0


class WebhookSender:
    """Sends webhooks and uploads, with retries.

    Args:
        state: The state of the server; its ledger records every delivery.
    """

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._client: aiohttp.ClientSession | None = None
        self._deliveries: set[asyncio.Task[None]] = set()

    def send_result(self, run: TaskRun, item: dict[str, Any]) -> None:
        """POST one finished result to the task's `webhookURL`."""
        body: dict[str, Any] = {**item, "status": "success"}
        self._send_webhook(run, {"data": [body]} if self._wrapped else body)

    def send_error(self, run: TaskRun, error: dict[str, Any]) -> None:
        """POST an error to the task's `webhookURL`."""
        self._send_webhook(
            run, {"errors": [error]} if self._wrapped else {**run.head, "status": "error", "error": error}
        )

    @property
    def _wrapped(self) -> bool:
        return self._state.switches.q12 == "data"

    def _send_webhook(self, run: TaskRun, body: dict[str, Any]) -> None:
        url = run.task["webhookURL"]
        entry = {"url": url, "body": body, "statuses": [], "delivered": False}
        self._state.ledger.webhooks.append(entry)
        self._start("POST", url, encode_json(body).encode(), "application/json", entry)

    def upload(self, url: str, data: bytes, content_type: str) -> None:
        """PUT a file to the task's `uploadEndpoint`."""
        entry = {"url": url, "size": len(data), "statuses": [], "delivered": False}
        self._state.ledger.uploads.append(entry)
        self._start("PUT", url, data, content_type, entry)

    def _start(self, method: str, url: str, body: bytes, content_type: str, entry: dict[str, Any]) -> None:
        if not is_loopback(urlsplit(url).hostname):
            entry["statuses"].append("refused: not on this machine")
            self._state.ledger.changed()
            return
        task = asyncio.get_running_loop().create_task(self._deliver(method, url, body, content_type, entry))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, method: str, url: str, body: bytes, content_type: str, entry: dict[str, Any]) -> None:
        options = self._state.options
        client = self._client
        if client is None:
            client = self._client = aiohttp.ClientSession(trust_env=False)
        backoff = options.webhook_delay
        for attempt in range(options.webhook_tries):
            if attempt:
                await asyncio.sleep(backoff * random.uniform(0.8, 1.2))
                backoff = min(_MAX_BACKOFF, 2 * backoff)
            try:
                timeout = aiohttp.ClientTimeout(total=options.webhook_timeout)
                headers = {"Content-Type": content_type}
                async with client.request(
                    method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
                ) as response:
                    await response.read()
                    entry["statuses"].append(response.status)
                    entry["delivered"] = 200 <= response.status < 300
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                entry["statuses"].append(f"{type(error).__name__}: {error}")
            self._state.ledger.changed()
            if entry["delivered"]:
                return

    async def close(self) -> None:
        """Cancel the deliveries in flight and close their connections."""
        deliveries = list(self._deliveries)
        for task in deliveries:
            task.cancel()
        await asyncio.gather(*deliveries, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            self._client = None
