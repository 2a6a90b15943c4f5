"""The queue of calls: the order in which they are sent, and how many may be at the server at once."""

from __future__ import annotations

import heapq
import logging
from collections import deque

from runware.protocol.call import Call, CallState

__all__ = ["CallQueue"]

log = logging.getLogger("runware.session")

_SLOW_DOWN_WINDOW = 1.0
"""Seconds in which several rate-limit errors count as one."""
_QUEUED, _SENT, _ACCEPTED, _RECOVERING = CallState.QUEUED, CallState.SENT, CallState.ACCEPTED, CallState.RECOVERING


class CallQueue:
    """Calls that wait to be sent, and the slots of those at the server.

    Args:
        max_in_flight: How many calls may be at the server at once; `None` for no limit.

    Attributes:
        new: The calls that were never sent, in the order of submission; a new one is appended. Ended ones are skipped
            when they come up.
        returned: A heap of the calls that wait again, by their sequence; they go before those submitted later.
        in_flight: How many calls are at the server, on the current connection.
        window: How many may be there since the server asked to slow down; `None` if it has not, or no longer.
    """

    def __init__(self, max_in_flight: int | None = None) -> None:
        self.new: deque[Call] = deque()
        self.returned: list[tuple[int, Call]] = []
        self.in_flight = 0
        self.window: float | None = None
        self._full_window = 0.0  # the size at which the window is lifted
        self._slowed_at = float("-inf")
        self._max_in_flight = float("inf") if max_in_flight is None else max_in_flight
        self._limit = self._max_in_flight

    def __len__(self) -> int:
        """Return how many calls wait, including those that have ended meanwhile."""
        return len(self.new) + len(self.returned)

    # ------------------------------------------------------------------ order

    def put_back(self, call: Call) -> None:
        """Add a call again, at the place it had."""
        heapq.heappush(self.returned, (call.sequence, call))

    def pop(self, now: float) -> Call | None:
        """Remove and return the next call to send; `None` if none waits, or none has a slot.

        A call that has ended is skipped, and so is one whose deadline has come: the next tick ends it.
        """
        new, returned = self.new, self.returned
        while (new or returned) and self.in_flight < self._limit:
            if returned and (not new or returned[0][0] < new[0].sequence):
                call = heapq.heappop(returned)[1]
            else:
                call = new.popleft()
            if call.state is _QUEUED and call.deadline > now:
                return call
        return None

    @property
    def has_next(self) -> bool:
        """Whether a call waits and a slot is free."""
        return bool(self.new or self.returned) and self.in_flight < self._limit

    def drop_ended(self) -> None:
        """Remove the calls that have ended meanwhile."""
        self.new = deque(call for call in self.new if call.state is _QUEUED)
        self.returned = [entry for entry in self.returned if entry[1].state is _QUEUED]
        heapq.heapify(self.returned)

    def clear(self) -> None:
        """Remove every call."""
        self.new.clear()
        self.returned.clear()

    # ------------------------------------------------------------------ slots

    def release_slot(self, call: Call) -> None:
        """Free the call's in-flight slot, if it holds one. Its state still says whether it does."""
        state = call.state
        if self.in_flight and (state is _SENT or state is _ACCEPTED or state is _RECOVERING):
            self.in_flight -= 1

    def slow_down(self, now: float) -> None:
        """Halve the concurrency window because of a rate-limit error, once for all that come together."""
        if now - self._slowed_at < _SLOW_DOWN_WINDOW:
            return
        self._slowed_at = now
        if self.window is None:
            self._full_window = float(self.in_flight)
        self._set_window(max(1.0, self.in_flight / 2))
        log.info("rate limit: the client lowers its concurrency to %d", self._limit)

    def speed_up(self) -> None:
        """Widen the concurrency window after a success: by one a round, until it is as wide as before."""
        if self.window is not None:
            wider = self.window + 1 / self.window
            self._set_window(None if wider >= self._full_window else wider)

    def _set_window(self, window: float | None) -> None:
        self.window = window
        self._limit = self._max_in_flight if window is None else min(self._max_in_flight, int(window))
