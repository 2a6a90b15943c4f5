"""Send webhooks, and upload results to a task's `uploadEndpoint`; to this machine only."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from runware.local.access_control import is_loopback
from runware.local.encoding import encode_json
from runware.local.state import ServerState
from runware.local.task_run import TaskRun

__all__ = ["WebhookPost", "WebhookSender"]

_MAX_BACKOFF = 8.0


def _do_nothing() -> None:
    pass


@dataclass(slots=True)
class WebhookPost:
    """One request to a webhook.

    Attributes:
        url: The `webhookURL`.
        body: The JSON object, or bytes that are sent as they are.
        delay: Seconds before the first attempt.
        lost: Whether it is never sent.
        attempted: Called when it was delivered, or given up.
    """

    url: str
    body: Any
    delay: float = 0.0
    lost: bool = False
    attempted: Callable[[], object] = _do_nothing


class WebhookSender:
    """Sends webhooks and uploads, with retries.

    Args:
        state: The state of the server; its ledger records every delivery.
    """

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._client: aiohttp.ClientSession | None = None
        self._deliveries: set[asyncio.Task[None]] = set()

    def result_post(self, run: TaskRun, item: dict[str, Any]) -> WebhookPost:
        """Return the request that delivers one finished result to the task's `webhookURL`."""
        body: dict[str, Any] = {**item, "status": "success"}
        return WebhookPost(run.task["webhookURL"], {"data": [body]} if self._wrapped else body)

    def error_post(self, run: TaskRun, error: dict[str, Any]) -> WebhookPost:
        """Return the request that delivers an error to the task's `webhookURL`."""
        form = self._state.switches.webhook_error
        if form == "auto":
            form = "errors" if self._wrapped else "item"
        item = {**run.head, "status": "error", "error": error}
        bodies: dict[str, dict[str, Any]] = {
            "errors": {"errors": [error]},
            "error": {"error": error},
            "item": item,
            "data": {"data": [item]},
            "flat": {**run.head, **error, "status": "error"},
        }
        return WebhookPost(run.task["webhookURL"], bodies[form])

    @property
    def _wrapped(self) -> bool:
        return self._state.switches.q12 == "data"

    def send(self, post: WebhookPost) -> None:
        """Start to deliver a webhook, unless it is to be lost."""
        if post.lost:
            entry = {"url": post.url, "body": post.body, "statuses": ["lost"], "delivered": False}
            self._state.ledger.webhooks.append(entry)
            self._state.ledger.changed()
            post.attempted()
            return
        entry = {"url": post.url, "body": post.body, "statuses": [], "delivered": False}
        self._state.ledger.webhooks.append(entry)
        data = post.body if isinstance(post.body, bytes) else encode_json(post.body).encode()
        self._start("POST", post.url, data, "application/json", entry, post)

    def upload(self, url: str, data: bytes, content_type: str) -> None:
        """PUT a file to the task's `uploadEndpoint`."""
        entry = {"url": url, "size": len(data), "statuses": [], "delivered": False}
        self._state.ledger.uploads.append(entry)
        self._start("PUT", url, data, content_type, entry)

    def _start(
        self,
        method: str,
        url: str,
        body: bytes,
        content_type: str,
        entry: dict[str, Any],
        post: WebhookPost | None = None,
    ) -> None:
        if not is_loopback(urlsplit(url).hostname):
            entry["statuses"].append("refused: not on this machine")
            self._state.ledger.changed()
            if post is not None:
                post.attempted()
            return
        request = method, url, body, content_type, entry
        delivery = self._deliver(*request) if post is None else self._deliver_post(post, *request)
        task = asyncio.get_running_loop().create_task(delivery)
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver_post(self, post: WebhookPost, *request: Any) -> None:
        try:
            if post.delay > 0:
                await asyncio.sleep(post.delay)
            await self._deliver(*request)
        finally:
            post.attempted()

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
