"""What a session hands to its driver: effects to perform, in order, and counters."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from runware._support.lazy_modules import lazy_module
from runware.errors import RunwareError
from runware.protocol.call import Call, Completion
from runware.protocol.effects import Effect, Ended, Happened, Send
from runware.protocol.spending import Spending

if TYPE_CHECKING:
    from runware import events
else:
    events = lazy_module("runware.events")

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

# The names of event classes, which are loaded when events are wanted.
_TaskEvent = Literal["Accepted", "Interrupted", "PartialResults", "Polled", "Resolved", "Retrying", "Sent"]
_ConnectionEvent = Literal["Authenticated", "Connected", "Disconnected"]

_ANSWER, _CONNECTION = Completion.ANSWER, Completion.CONNECTION


class Output:
    """Collects effects and counts.

    Args:
        watched: Whether events are wanted. Check it before a call of `task_event`, which is not free.
        dry_run: Whether tasks are only checked, so that a cost is not spent.

    Attributes:
        effects: The effects that the driver has not performed yet.
        counts: How often each thing has happened.
        spent: The sum of what results cost, and of the tokens of texts.
    """

    def __init__(self, *, watched: bool, dry_run: bool = False) -> None:
        self.effects: deque[Effect] = deque()
        self.counts = dict.fromkeys(_COUNTED, 0)
        self.spent = Spending()
        self.watched = watched
        self._dry_run = dry_run

    def task_event(self, kind: _TaskEvent, call: Call, now: float, **facts: Any) -> None:
        """Emit an event about a task."""
        origin = call.origin
        if call.completion is Completion.CONNECTION or (origin is not None and origin.hidden):
            return
        facts |= {
            "task_uuid": call.uuid,
            "task_type": call.task_type,
            "attempt": call.attempt,
            "elapsed": now - call.started,
        }
        if origin is not None:
            facts["model"], facts["context"] = origin.model, origin.context
        self.effects.append(Happened(getattr(events, kind), facts, origin))

    def connection_event(self, kind: _ConnectionEvent, epoch: int, elapsed: float, **facts: Any) -> None:
        """Emit an event about a connection, if events are wanted."""
        if self.watched:
            self.effects.append(Happened(getattr(events, kind), facts | {"connection": epoch, "elapsed": elapsed}))

    def call_ended(self, call: Call, now: float, error: RunwareError | None = None, status: str = "") -> None:
        """Emit the end of a call. A cancelled call gets no `Ended`: its caller has stopped waiting.

        What its results cost is its own, unless it is a lookup of another call's task or was only checked.
        """
        status = status or ("succeeded" if error is None else "failed")
        origin = call.origin
        spends = bool(call.items) and call.completion is not _ANSWER and not self._dry_run
        if call.completion is not _CONNECTION and (origin is None or not origin.hidden):
            self.counts[status] += 1
            if spends:
                self.spent.add(call.items)
        if status != "cancelled":
            self.effects.append(Ended(call, error))
        if self.watched:
            self._resolved(call, now, error, status, spends=spends)

    def _resolved(self, call: Call, now: float, error: RunwareError | None, status: str, *, spends: bool) -> None:
        facts: dict[str, Any] = {} if error is None else {"error": type(error).__name__, "code": error.code}
        if call.origin is not None and call.origin.request is not None:
            facts |= {"request": call.origin.request, "response": list(call.items)}
        if spends:
            spent = Spending()
            spent.add(call.items)
            facts |= spent.facts()
        self.task_event("Resolved", call, now, status=status, completed=len(call.items), total=call.expected, **facts)

    def take_back_sends(self) -> list[Call]:
        """Remove the `Send` effects that were not performed yet, and return their calls."""
        sends = [effect for effect in self.effects if isinstance(effect, Send)]
        if sends:
            kept = [effect for effect in self.effects if not isinstance(effect, Send)]
            self.effects.clear()
            self.effects.extend(kept)
        return [send.call for send in sends if send.call is not None]
