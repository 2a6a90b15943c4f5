"""Faults of webhooks: sent twice, reordered, late, before the acknowledgement, lost, or of an unexpected form."""

# A hook uses the arguments that it needs; `defaults` and `choices` are declared as ClassVar in Fault.
# ruff: noqa: ARG002, RUF012

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from runware.local.faults import Fault, FaultHost
from runware.local.output import Outgoing
from runware.local.task_run import TaskRun
from runware.local.uuids import new_uuid
from runware.local.webhooks import WebhookPost

__all__ = [
    "DuplicateWebhooks",
    "EarlyWebhooks",
    "IrregularWebhooks",
    "LateWebhooks",
    "LostWebhooks",
    "ReorderedWebhooks",
]

Send = Callable[[WebhookPost], None]


class DuplicateWebhooks(Fault):
    """W1: webhooks that come several times."""

    name = "W1"
    summary = "every webhook is delivered `copies` more times, although the first was answered with 2xx"
    defaults = {"copies": 1}
    default_times = None

    def filter_webhooks(self, run: TaskRun, posts: list[WebhookPost], send: Send) -> list[WebhookPost]:
        """Repeat webhooks."""
        self.record_use()
        copies = [WebhookPost(post.url, post.body) for post in posts for _ in range(self.parameters["copies"])]
        return [*posts, *copies]


class ReorderedWebhooks(Fault):
    """W2: webhooks in mixed order."""

    name = "W2"
    summary = "webhooks of all tasks are sent one by one every `interval` seconds, in an `order` that mixes the tasks"
    defaults = {"interval": 0.01, "order": "shuffled"}
    choices = {"order": ("shuffled", "reversed")}
    default_times = None

    def __init__(self, host: FaultHost, parameters: dict[str, Any]) -> None:
        super().__init__(host, parameters)
        self._pool: list[tuple[WebhookPost, Send]] = []
        self._random = random.Random(2)

    def filter_webhooks(self, run: TaskRun, posts: list[WebhookPost], send: Send) -> list[WebhookPost]:
        """Keep webhooks for the timer."""
        self.record_use()
        scheduled = bool(self._pool)
        self._pool += [(post, send) for post in posts]
        if not scheduled:
            self._host.loop.call_later(self.parameters["interval"], self._send_next)
        return []

    def _send_next(self) -> None:
        last = len(self._pool) - 1
        position = last if self.parameters["order"] == "reversed" else self._random.randint(0, last)
        post, send = self._pool.pop(position)
        send(post)
        if self._pool:
            self._host.loop.call_later(self.parameters["interval"], self._send_next)


class LateWebhooks(Fault):
    """W3: late webhooks."""

    name = "W3"
    summary = "webhooks are sent `seconds` after the results are finished"
    defaults = {"seconds": 0.1}
    default_times = None

    def filter_webhooks(self, run: TaskRun, posts: list[WebhookPost], send: Send) -> list[WebhookPost]:
        """Delay webhooks."""
        self.record_use()
        for post in posts:
            post.delay += self.parameters["seconds"]
        return posts


class EarlyWebhooks(Fault):
    """W4: webhooks before the acknowledgement."""

    name = "W4"
    summary = "a task is acknowledged over the WebSocket only after its first webhook was delivered or given up"
    default_times = None

    def __init__(self, host: FaultHost, parameters: dict[str, Any]) -> None:
        super().__init__(host, parameters)
        self._held: dict[str, list[Outgoing]] = {}

    def filter_acknowledgement(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Keep the acknowledgement back."""
        if run.delivery != "webhook" or run.sink.http:
            return frames
        self.record_use()
        self._held[run.uuid] = frames
        return []

    def filter_webhooks(self, run: TaskRun, posts: list[WebhookPost], send: Send) -> list[WebhookPost]:
        """Send the acknowledgement after the first webhook."""
        frames = self._held.pop(run.uuid, None)
        if frames is not None:
            posts[0].attempted = lambda: run.sink.deliver(frames)
        return posts


class LostWebhooks(Fault):
    """W5: webhooks that are never sent."""

    name = "W5"
    summary = "webhooks are never sent; the results can be polled"

    def filter_webhooks(self, run: TaskRun, posts: list[WebhookPost], send: Send) -> list[WebhookPost]:
        """Lose webhooks."""
        self.record_use()
        for post in posts:
            post.lost = True
        return posts


class IrregularWebhooks(Fault):
    """W6: webhooks of an unexpected form."""

    name = "W6"
    summary = (
        "all that is finished comes in one webhook (several), or before each webhook comes one that says that the task"
        " runs (processing), names an unknown task (unknown-task) or is not JSON (garbage)"
    )
    defaults = {"form": "several"}
    choices = {"form": ("several", "processing", "unknown-task", "garbage")}
    default_times = None

    def filter_webhooks(self, run: TaskRun, posts: list[WebhookPost], send: Send) -> list[WebhookPost]:
        """Merge webhooks, or put others before them."""
        self.record_use()
        form = self.parameters["form"]
        if form == "several":
            posts[0].body = _merged([post.body for post in posts])
            return posts[:1]
        before = {
            "processing": {**run.head, "status": "processing", "progress": 50},
            "unknown-task": {**run.head, "taskUUID": new_uuid(), "imageUUID": new_uuid(), "newField": {"a": [1]}},
            "garbage": b"<html>Service Unavailable",
        }[form]
        return [one for post in posts for one in (WebhookPost(post.url, before), post)]


def _merged(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one body with the items and errors of several."""
    items: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for body in bodies:
        if "taskUUID" in body:
            items.append(body)
            continue
        items += body.get("data", ())
        errors += body.get("errors", [body["error"]] if "error" in body else ())
    return {"data": items, **({"errors": errors} if errors else {})}
