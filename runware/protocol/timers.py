"""The timers of calls: their deadlines, their next steps, and the time limits of polls.

A call has one deadline and at most one other timer, `Call.timer`. Entries are not removed when they become stale, but
skipped when they come up, and swept out when they are more than half of all.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from operator import attrgetter

from runware.protocol.call import Call, CallState
from runware.protocol.effects import FOREVER
from runware.protocol.poll_schedule import earliness

__all__ = ["BATCH", "Timers"]

BATCH = 1000
"""How many calls are served at once, before the network and the deadlines of others have their turn."""
_SWEEP = 1000
"""How many stale entries there must be before a sweep is considered."""
Entry = tuple[float, int, Call]
"""When a timer is due; a number, so that the comparison of two entries never reaches the call; and the call."""
_DONE, _ACCEPTED = CallState.DONE, CallState.ACCEPTED


def _is_stale(entry: Entry) -> bool:
    when, _, call = entry
    return call.timer != when or call.state is _DONE


class Timers:
    """Every timer of every call."""

    def __init__(self) -> None:
        # Most deadlines come in order, since most calls have the same timeout: 5 % of a call with 10,000 in flight.
        self._in_order: deque[Call] = deque()
        self._deadlines: list[Call] = []  # the others, a heap; a call has no tuple of its own here, which saves memory
        self._steps: list[Entry] = []  # a heap
        self._polls: deque[Entry] = deque()  # in order by themselves, since each poll has the same time limit
        self._stale = 0
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._in_order) + len(self._deadlines) + len(self._steps) + len(self._polls)

    def add_deadline(self, call: Call) -> None:
        """Schedule the end of a new call."""
        in_order = self._in_order
        if not in_order or in_order[-1].scheduled_deadline <= call.scheduled_deadline:
            in_order.append(call)
        else:
            heapq.heappush(self._deadlines, call)

    def set(self, call: Call, when: float) -> None:
        """Set the timer of a call; it replaces the one it had."""
        if call.timer:
            self._stale += 1
            if self._stale > _SWEEP:
                self._sweep()
        call.timer = when
        heapq.heappush(self._steps, (when, next(self._numbers), call))

    def set_poll_limit(self, call: Call, when: float) -> None:
        """Set the timer of a call that was polled: *when* never decreases from one poll to the next."""
        if call.timer:
            self._stale += 1
        call.timer = when
        self._polls.append((when, 0, call))

    def cancel(self, call: Call) -> None:
        """Cancel the timer of a call, if it has one."""
        if call.timer:
            call.timer = 0.0
            self._stale += 1

    def call_ended(self, call: Call) -> None:
        """Note that the entries of a call are stale."""
        self._stale += 2 if call.timer else 1
        if self._stale > _SWEEP:
            self._sweep()

    def clear(self) -> None:
        """Drop every timer, when no call is left."""
        self._in_order.clear()
        self._deadlines.clear()
        self._steps.clear()
        self._polls.clear()

    def first(self) -> float:
        """Return when the first timer is due."""
        in_order = self._in_order
        while in_order and in_order[0].state is _DONE:
            in_order.popleft()
            self._stale -= 1
        first = in_order[0].scheduled_deadline if in_order else FOREVER
        if self._deadlines or self._steps or self._polls:
            return min(first, self._first_of_others())
        return first  # the common case

    def _first_of_others(self) -> float:
        """Return when the first timer is due that is not among the deadlines that came in order."""
        deadlines, steps, polls = self._deadlines, self._steps, self._polls
        while deadlines and deadlines[0].state is _DONE:
            heapq.heappop(deadlines)
            self._stale -= 1
        while steps and _is_stale(steps[0]):
            heapq.heappop(steps)
            self._stale -= 1
        while polls and _is_stale(polls[0]):
            polls.popleft()
            self._stale -= 1
        first = deadlines[0].scheduled_deadline if deadlines else FOREVER
        if steps and steps[0][0] < first:
            first = steps[0][0]
        if polls and polls[0][0] < first:
            first = polls[0][0]
        return first

    def expired(self, now: float) -> Iterator[Call]:
        """Yield the calls whose deadline has passed. The caller ends each of them before it takes the next one."""
        while (call := self._take_expired(now)) is not None:
            if call.state is not _DONE:
                if call.deadline > now:  # it has moved on
                    call.scheduled_deadline = call.deadline
                    heapq.heappush(self._deadlines, call)
                    continue
                yield call
            self._stale -= 1  # its end has counted this entry, which is gone already

    def _take_expired(self, now: float) -> Call | None:
        """Remove and return the call whose entry is the first, if it is due."""
        in_order, others = self._in_order, self._deadlines
        if in_order and not (others and others[0] < in_order[0]):
            return in_order.popleft() if in_order[0].scheduled_deadline <= now else None
        return heapq.heappop(others) if others and others[0].scheduled_deadline <= now else None

    def due(self, now: float) -> list[Call]:
        """Take the timers that are due, a batch of them at most, and return their calls."""
        due: list[Call] = []
        polls, steps = self._polls, self._steps
        while polls and len(due) < BATCH:  # the rest is still due at the next tick, which comes at once
            when, _, call = entry = polls[0]
            if not _is_stale(entry):
                if when > now:
                    break
                call.timer = 0.0
                due.append(call)
            else:
                self._stale -= 1
            polls.popleft()
        while steps and len(due) < BATCH:
            when, _, call = entry = steps[0]
            if not _is_stale(entry):
                # Polls share a frame and a wake-up, which cost more than asking for some tasks too early.
                if when > now and not (due and _may_be_early(call, when, now)):
                    break
                call.timer = 0.0
                due.append(call)
            else:
                self._stale -= 1
            heapq.heappop(steps)
        return due

    def oldest_poll(self) -> Call | None:
        """Return the call that was polled first of those whose polls are outstanding."""
        self.first()  # drops what was answered
        return next(
            (call for when, _, call in self._polls if call.timer == when and call.poll_outstanding and call.may_run),
            None,
        )

    def _sweep(self) -> None:
        if self._stale * 2 > len(self):
            self._in_order = deque(call for call in self._in_order if call.state is not _DONE)
            self._deadlines = [call for call in self._deadlines if call.state is not _DONE]
            # A sorted list is a heap, and sorting by these keys is faster than comparing calls.
            self._deadlines.sort(key=attrgetter("scheduled_deadline", "sequence"))
            self._steps = [entry for entry in self._steps if not _is_stale(entry)]
            heapq.heapify(self._steps)
            self._polls = deque(entry for entry in self._polls if not _is_stale(entry))
            self._stale = 0


def _may_be_early(call: Call, when: float, now: float) -> bool:
    """Return whether a call can be polled now, together with others, although its timer is due later."""
    if call.state is not _ACCEPTED or call.accepted_at is None or call.polling.failed_polls:
        return False
    return when <= now + earliness(now - call.accepted_at)
