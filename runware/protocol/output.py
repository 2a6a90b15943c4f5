"""What a session hands to its driver: effects to perform, in order, and counters."""

from __future__ import annotations

from collections import deque
from typing import Any

from runware.errors import RunwareError
from runware.events import ConnectionEvent, Resolved, TaskEvent
from runware.protocol.call import Call, Completion
from runware.protocol.effects import Effect, Ended, Happened, Send

__all__ = ["Output"]

_COUNTED: tuple[str, ...] = (
    "succeeded",
    "failed",
    "cancelled",
    "sent",
    "retries",
    "questions",
    "results",
    "connections",
    "drops",
)


class Output:
    """Collects effects and counts.

    Args:
        watched: Whether events are wanted. Check it before a call of `task_event`, which is not free.

    Attributes:
        effects: The effects that the driver has not performed yet.
        counts: How often each thing has happened.
    """

    def __init__(self, *, watched: bool) -> None:
        self.effects: deque[Effect] = deque()
        self.counts = dict.fromkeys(_COUNTED, 0)
        self.watched = watched

    def task_event(self, kind: type[TaskEvent], call: Call, now: float, **facts: Any) -> None:
        """Emit an event about a task."""
        if call.completion is not Completion.CONNECTION:
            facts |= {
                "task_uuid": call.uuid,
                "task_type": call.task_type,
                "attempt": call.attempt,
                "elapsed": now - call.started,
            }
            self.effects.append(Happened(kind, facts))

    def connection_event(self, kind: type[ConnectionEvent], epoch: int, elapsed: float, **facts: Any) -> None:
        """Emit an event about a connection, if events are wanted."""
        if self.watched:
            self.effects.append(Happened(kind, facts | {"connection": epoch, "elapsed": elapsed}))

    def call_ended(self, call: Call, now: float, error: RunwareError | None = None, status: str = "") -> None:
        """Emit the end of a call. A cancelled call gets no `Ended`: its caller has stopped waiting."""
        status = status or ("succeeded" if error is None else "failed")
        if call.completion is not Completion.CONNECTION:
            self.counts[status] += 1
        if status != "cancelled":
            self.effects.append(Ended(call, error))
        if self.watched:
            facts = {} if error is None else {"error": type(error).__name__, "code": error.code}
            self.task_event(Resolved, call, now, status=status, completed=len(call.items), total=call.expected, **facts)

    def take_back_sends(self) -> list[Call]:
        """Remove the `Send` effects that were not performed yet, and return their calls."""
        sends = [effect for effect in self.effects if isinstance(effect, Send)]
        if sends:
            kept = [effect for effect in self.effects if not isinstance(effect, Send)]
            self.effects.clear()
            self.effects.extend(kept)
        return [send.call for send in sends if send.call is not None]
