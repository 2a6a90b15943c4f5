"""The options of the server, which tests may change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["DEFAULT_KEY", "RESULT_ORDERS", "Delay", "ServerOptions"]

DEFAULT_KEY = "rw-local-key"
"""The key that is accepted if no other is given. It is no secret."""

Delay = float | Mapping[str, float] | Callable[[dict[str, Any]], float]
"""Seconds until a task's first result: one number, a number per task type, or a function of the task."""

RESULT_ORDERS = ("as-is", "reversed", "shuffled")


@dataclass(slots=True)
class ServerOptions:
    """The behaviour of the server. Durations are in seconds.

    Attributes:
        api_key: The accepted key; `None` while it is revoked.
        delay: The time until a task's first result.
        spread: The time between the results of one task.
        result_order: The order in which the results of one task finish: `as-is`, `reversed` or `shuffled`.
        frame_size: Results per frame. `None`: all that finish at the same moment.
        mix_tasks: Whether results of different tasks that finish at the same moment share a frame.
        balance: Remaining credits, in billionths of a dollar. `None`: unlimited.
        inactivity: Time without a message after which the server closes a connection. 0: never.
        resume_window: Time during which a session can be resumed after its connection was lost.
        sync_window: Time after which an HTTP request for a synchronous task is answered with status 504, or by a
            serverless app with 202, while the task goes on. 0: never.
        webhook_timeout: Time that a webhook receiver has to respond.
        webhook_delay: Backoff before the first retry of a webhook; it doubles with each retry, up to 8 seconds.
        webhook_tries: Attempts per webhook.
        allowed_hosts: Names, each with or without a port, that are accepted in `Host` and `Origin` besides the names
            of this machine.
    """

    api_key: str | None
    delay: Delay = 0.0
    spread: float = 0.0
    result_order: str = "as-is"
    frame_size: int | None = None
    mix_tasks: bool = False
    balance: int | None = None
    inactivity: float = 120.0
    resume_window: float = 120.0
    sync_window: float = 0.0
    webhook_timeout: float = 5.0
    webhook_delay: float = 0.25
    webhook_tries: int = 5
    allowed_hosts: Sequence[str] = ()

    def delay_for(self, task: dict[str, Any], *, is_query: bool = False) -> float:
        """Return the seconds until the first result of a task.

        Args:
            task: The task.
            is_query: Whether the task only asks for something (a poll, a search). A query is delayed only if `delay`
                is a mapping or a function.
        """
        delay = self.delay
        if isinstance(delay, (int, float)):
            return 0.0 if is_query else delay
        if isinstance(delay, Mapping):
            return float(delay.get(task["taskType"], 0.0))
        return float(delay(task))
