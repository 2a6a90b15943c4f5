"""Events and counters of calls that the session does not know: streams of text, requests of chats, calls of apps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_module
from runware._support.locks import make_rlock
from runware.errors import RunwareError, TaskCancelledError
from runware.protocol.call import Origin
from runware.protocol.spending import Spending
from runware.transport.callbacks import EventFeed

if TYPE_CHECKING:
    from runware import events
else:
    events = lazy_module("runware.events")

__all__ = ["ActiveCall", "Activity"]

_COUNTED: tuple[str, ...] = ("succeeded", "failed", "cancelled", "sent", "retries", "questions", "results")


class Activity:
    """Counts the calls that run outside the session of a client, and reports their events.

    Args:
        feed: Receives the events.
    """

    def __init__(self, feed: EventFeed) -> None:
        self._feed = feed
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._spent = Spending()
        self._lock = make_rlock()  # re-entrant: a signal handler may close a stream at any moment
        self._open: set[ActiveCall] = set()

    def begin(
        self, task_uuid: str, task_type: str, model: str | None, request: Any = b"", context: Context | None = None
    ) -> ActiveCall:
        """Count a call that starts now.

        Args:
            task_uuid: The UUID of its task; `""` if it has none.
            task_type: Its task type.
            model: The model that is asked for, or the name of the app.
            request: The request, for listeners that want it.
            context: The caller's context; `None` means the current one.
        """
        origin = self._feed.origin(model, request, context) if self._feed.wanted else None
        call = ActiveCall(self, task_uuid, task_type, origin)
        with self._lock:
            self._open.add(call)
        return call

    def counts(self) -> dict[str, Any]:
        """Return the counters, as far as `Stats` has them."""
        with self._lock:
            calls = list(self._open)
            counts = dict(self._counts)
        in_flight = sum(call.in_flight for call in calls)
        return {
            **counts,
            **{name: total or 0 for name, total in self._spent.facts().items()},
            "calls": sum(counts[how] for how in ("succeeded", "failed", "cancelled")) + len(calls),
            "in_flight": in_flight,
            "queued": len(calls) - in_flight,
        }

    def abandon(self) -> None:
        """After a fork, in the child: forget the parent's calls."""
        self.__init__(self._feed)  # type: ignore[misc]

    # ------------------------------------------------------------------ for its calls

    def count(self, name: str) -> None:
        """Count one thing more."""
        with self._lock:
            self._counts[name] += 1

    def end(self, call: ActiveCall, status: str, results: int, spent: Spending) -> bool:
        """Count the end of a call; return whether it was still open."""
        with self._lock:
            if call not in self._open:
                return False
            self._open.discard(call)
            self._counts[status] += 1
            self._counts["results"] += results
            total = self._spent
            total.cost = (total.cost or 0.0) + (spent.cost or 0.0)
            total.add_tokens(spent.input_tokens, spent.output_tokens)
        return True

    def report(self, kind: type[events.TaskEvent], facts: dict[str, Any], origin: Origin | None) -> None:
        """Report an event of a call."""
        if origin is not None:
            facts |= {"model": origin.model, "context": origin.context}
        self._feed.report(kind, facts, origin)

    @property
    def watched(self) -> bool:
        """Whether events are wanted."""
        return self._feed.wanted


class ActiveCall:
    """One of those calls. The methods are safe in any thread, and never block; the first end counts.

    Attributes:
        in_flight: Whether the server has, or may have, its task.
    """

    def __init__(self, activity: Activity, task_uuid: str, task_type: str, origin: Origin | None) -> None:
        self._activity = activity
        self._task_uuid = task_uuid
        self._task_type = task_type
        self._origin = origin
        self._started = time.monotonic()
        self._attempt = 1
        self._has_piece = False
        self.in_flight = False

    def sent(self, size: int, task_uuid: str | None = None) -> None:
        """Report that the request is being sent.

        Args:
            size: The size of the request in bytes.
            task_uuid: The UUID of its task, if it has another one than before.
        """
        self._task_uuid = task_uuid or self._task_uuid
        self.in_flight = True
        self._activity.count("sent")
        self._report("Sent", size=size)

    def polled(self) -> None:
        """Report that the server is asked for the outcome."""
        self.in_flight = True
        self._activity.count("questions")
        self._report("Polled")

    def first_piece(self) -> None:
        """Report the first piece of a text; later pieces are ignored."""
        if not self._has_piece:
            self._has_piece = True
            self._report("FirstPiece")

    def interrupted(self, reason: str) -> None:
        """Report that the connection was lost, and the server is asked for the rest."""
        self._report("Interrupted", reason=reason)

    def retrying(self, error: RunwareError | None, delay: float) -> None:
        """Report that an attempt failed, and another one follows in *delay* seconds."""
        self.in_flight = False
        self._activity.count("retries")
        self._report("Retrying", error=type(error).__name__, code=getattr(error, "code", None), delay=delay)
        self._attempt += 1

    def ended(
        self,
        error: BaseException | None = None,
        *,
        results: Sequence[Mapping[str, Any]] = (),
        spent: Spending | None = None,
    ) -> None:
        """Report the end, unless it has ended before.

        Args:
            error: The error. `TaskCancelledError`, and anything but a `RunwareError`, count as cancelled.
            results: The results as API objects.
            spent: What they have cost, if that is not in them.
        """
        if spent is None:
            spent = Spending()
            spent.add(results)
        failed = isinstance(error, RunwareError) and not isinstance(error, TaskCancelledError)
        status = "succeeded" if error is None else "failed" if failed else "cancelled"
        if not self._activity.end(self, status, len(results), spent):
            return
        facts = spent.facts()
        if failed:
            facts |= {"error": type(error).__name__, "code": getattr(error, "code", None)}
        if self._origin is not None and self._origin.request is not None:
            facts |= {"request": self._origin.request, "response": list(results)}
        self._report("Resolved", status=status, completed=len(results), total=1, **facts)

    def _report(self, kind: str, **facts: Any) -> None:
        if self._activity.watched:
            facts |= {
                "task_uuid": self._task_uuid,
                "task_type": self._task_type,
                "attempt": self._attempt,
                "elapsed": time.monotonic() - self._started,
            }
            self._activity.report(getattr(events, kind), facts, self._origin)
