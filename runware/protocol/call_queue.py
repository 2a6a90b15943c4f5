"""The book of calls: who waits, who is in flight, what is due when, and how a call ends."""

from __future__ import annotations

import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from runware.errors import (
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    RunwareError,
)
from runware.events import Resolved, Sent, TaskEvent
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.effects import FOREVER, Effect, Ended, Happened, Send, SessionConfig, State
from runware.protocol.outcomes import at_the_server, before_it_was_sent
from runware.protocol.poll_schedule import earliness

__all__ = ["Book"]

log = logging.getLogger("runware.session")

_BREATH = 1.0
"""Seconds in which several answers that ask for a slower pace count as one."""
_AT_ONCE = 1000
"""Calls for which something is done before the network and the deadlines of others have their turn."""
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
Step = tuple[float, int, Call]
"""When something is to be done for a call; a number, so that two are never compared further; and the call."""


class Book:
    """Calls by the name they have on the wire, their queue and their timers.

    It knows the connection's state only to see whether something may be sent.
    """

    def __init__(self, config: SessionConfig, rng: random.Random) -> None:
        self.config = config
        self.state = State.IDLE
        self.epoch = 0
        self.calls: dict[str, Call] = {}
        self.counts = dict.fromkeys(_COUNTED, 0)
        self._watched = config.events
        self._rng = rng
        self.effects: deque[Effect] = deque()
        self._queue: deque[Call] = deque()  # in the order of submission
        self._returned: list[tuple[int, Call]] = []  # a heap: what waits again, and goes before those submitted later
        self._more_to_send = False
        self._deadlines: list[Call] = []  # two heaps; a call is in the first without a tuple of its own
        self._steps: list[Step] = []
        self._stale = 0
        self._numbers = itertools.count(1)
        self._in_flight = 0
        self._looks: dict[str, list[Call]] = {}  # questions of callers, by the task they are about
        self._questions: deque[Step] = deque()  # steps too: each is due as long after the one before as it was asked
        self._pace: float | None = None  # how many calls may be at the server since it asked for a slower pace
        self._full_pace = 0.0
        self._slowed_at = float("-inf")
        self._last_failure: ConnectionFailedError | None = None
        self._stray: str | None = None  # the code of the last error that named nobody
        self._proven = False  # whether the connection has been of use
        self._lists_running = False  # whether the server's answers have results in them that still run

    @property
    def in_flight(self) -> int:
        """How many calls are at the server."""
        return self._in_flight

    def _happened(self, kind: type[TaskEvent], call: Call, now: float, **facts: Any) -> None:
        """Tell those who watch of a task."""
        if call.completion is not Completion.CONNECTION:
            facts |= {
                "task_uuid": call.uuid,
                "task_type": call.task_type,
                "attempt": call.attempt,
                "elapsed": now - call.started,
            }
            self.effects.append(Happened(kind, facts))

    # ------------------------------------------------------------------ in

    def _admit(self, call: Call, now: float) -> bool:
        """Enter a new call, or end it at once when that cannot be."""
        call.started = now
        call.deadline = call.timer = now + call.timeout
        call.turn = next(self._numbers)
        if call.completion is Completion.ANSWER:
            call.key = f"{call.uuid}:{call.turn}"
        error: RunwareError
        if self._waiting() >= self.config.max_queued:
            self._queue = deque(one for one in self._queue if one.state is CallState.QUEUED)  # and not over
            self._returned = [entry for entry in self._returned if entry[1].state is CallState.QUEUED]
            heapq.heapify(self._returned)
        if self.state is State.CLOSED:
            error = ClientClosedError("The client is closed.")
        elif call.key in self.calls:
            error = ConflictError(
                "A task with this task_uuid is already running on this client.",
                code="conflictTaskUUID",
                parameter="task_uuid",
            )
        elif self._waiting() >= self.config.max_queued:
            error = RunwareError(
                f"{self._waiting()} calls are waiting already. Wait for some of them, or raise max_queued.",
                retryable=True,
            )
        else:
            self.calls[call.key] = call
            if call.completion is Completion.ANSWER:
                self._looks.setdefault(call.uuid, []).append(call)
            heapq.heappush(self._deadlines, call)
            self._queue.append(call)
            return True
        call.state = CallState.DONE
        self._conclude(call, now, self._named(error, call))
        return False

    def _requeue(self, call: Call) -> None:
        """Let a call wait for its turn again, at the place it had."""
        self._forget_step(call)  # the time limit of the question whose answer led here
        call.state = CallState.QUEUED
        heapq.heappush(self._returned, (call.turn, call))

    def _waiting(self) -> int:
        """Return how many calls wait for their turn, including those that have ended meanwhile."""
        return len(self._queue) + len(self._returned)

    def _next_in_line(self) -> Call:
        queue, returned = self._queue, self._returned
        if returned and (not queue or returned[0][0] < queue[0].turn):
            return heapq.heappop(returned)[1]
        return queue.popleft()

    def _pump(self, now: float) -> None:
        """Send what waits, in order, as far as it may be sent; of very much, a part, and the rest at the next tick."""
        self._more_to_send = False
        if self.state is not State.READY:
            return
        limit = self.config.max_in_flight
        if self._pace is not None:
            limit = int(self._pace) if limit is None else min(limit, int(self._pace))
        sends = 0
        while (self._queue or self._returned) and (limit is None or self._in_flight < limit):
            if sends == _AT_ONCE:
                self._more_to_send = True
                return
            call = self._next_in_line()
            if call.state is not CallState.QUEUED or call.deadline <= now:
                continue  # it has ended, or the next tick ends it: nobody waits for what it would buy
            if call.completion is Completion.CONNECTION:
                self._release(call)  # as `_end` does, which would come back here for each of them
                self._conclude(call, now)
                continue
            call.epoch = self.epoch
            self._in_flight += 1
            if call.completion is Completion.EXISTING:
                call.state = CallState.RECOVERING
                self._ask([call], now)
                continue
            call.state = CallState.SENT
            call.sends += 1
            sends += 1
            self.counts["sent"] += 1
            self.effects.append(Send(call.text, call))
            if self._watched:
                self._happened(Sent, call, now, size=len(call.text))

    def _ask(self, calls: list[Call], now: float) -> None:
        raise NotImplementedError

    def _where(self) -> str:
        """Tell how far the connection is, in words that end a sentence; nothing, if it is there."""
        raise NotImplementedError

    def _slow_down(self, now: float) -> None:
        """The server asked for a slower pace: halve it, once for all the calls that are told so together."""
        if now - self._slowed_at < _BREATH:
            return
        self._slowed_at = now
        if self._pace is None:
            self._full_pace = float(self._in_flight)
        self._pace = max(1.0, self._in_flight / 2)
        log.info("the server asks for a slower pace: %d calls at once from now", int(self._pace))

    def _speed_up(self) -> None:
        """A call went well: after a round of those, one more is let in, until the pace is what it was."""
        assert self._pace is not None
        self._pace += 1 / self._pace
        if self._pace >= self._full_pace:
            self._pace = None

    # ------------------------------------------------------------------ out

    def _end(self, call: Call, now: float, error: RunwareError | None = None) -> None:
        """End a call, and let the next one in."""
        if call.state is CallState.DONE:
            return
        if error is not None:
            self._named(error, call)
        self._release(call)
        if error is None and self._pace is not None:
            self._speed_up()
        self._conclude(call, now, error)
        if self._queue or self._returned:
            self._pump(now)

    def _conclude(self, call: Call, now: float, error: RunwareError | None = None, status: str = "") -> None:
        """Tell that a call is over: whoever made it, unless it was cancelled, and those who watch."""
        status = status or ("succeeded" if error is None else "failed")
        if call.completion is not Completion.CONNECTION:
            self.counts[status] += 1
        if status != "cancelled":
            self.effects.append(Ended(call, error))
        if self._watched:
            facts = {} if error is None else {"error": type(error).__name__, "code": error.code}
            self._happened(Resolved, call, now, status=status, completed=len(call.items), total=call.expected, **facts)

    def _release(self, call: Call) -> None:
        """Take a call out of everything, and drop its payload, so that it is not written any more either."""
        if self.calls.get(call.key) is call:
            del self.calls[call.key]
            if call.completion is Completion.ANSWER:
                self._looks[call.uuid].remove(call)
                if not self._looks[call.uuid]:
                    del self._looks[call.uuid]
        self._land(call)
        call.state = CallState.DONE
        call.text = b""
        call.known = None
        self._stale += 2 if call.due else 1
        if self._stale > 1000:
            self._sweep()

    def _land(self, call: Call) -> None:
        """A call that was at the server is there no more, as far as we are concerned."""
        if self._in_flight and call.may_run:
            self._in_flight -= 1

    def _end_all(self, now: float, make: Callable[[Call], RunwareError]) -> None:
        self._queue.clear()
        self._returned.clear()
        for call in sorted(self.calls.values(), key=lambda call: call.turn):
            self._end(call, now, make(call))

    @staticmethod
    def _named(error: RunwareError, call: Call) -> RunwareError:
        if call.completion is not Completion.CONNECTION:
            error.task_type = error.task_type or call.task_type
            error.task_uuid = error.task_uuid or call.uuid
        error.attempts = tuple(call.attempts or ())
        return error

    # ------------------------------------------------------------------ time

    def _step_at(self, call: Call, when: float) -> None:
        """Come back to a call at this time; an earlier appointment is forgotten."""
        if call.due:
            self._stale += 1
            if self._stale > 1000:
                self._sweep()
        call.due = when
        heapq.heappush(self._steps, (when, next(self._numbers), call))

    def _forget_step(self, call: Call) -> None:
        if call.due:
            call.due = 0.0
            self._stale += 1

    def _first_timer(self) -> float:
        deadlines, steps, questions = self._deadlines, self._steps, self._questions
        while deadlines and deadlines[0].state is CallState.DONE:
            heapq.heappop(deadlines)
            self._stale -= 1
        while steps and _is_stale(steps[0]):
            heapq.heappop(steps)
            self._stale -= 1
        while questions and _is_stale(questions[0]):
            questions.popleft()
            self._stale -= 1
        first = deadlines[0].timer if deadlines else FOREVER
        if steps and steps[0][0] < first:
            first = steps[0][0]
        if questions and questions[0][0] < first:
            first = questions[0][0]
        return first

    def _due_steps(self, now: float) -> list[Call]:
        """End the calls whose time is up, and tell the others for which something is to be done."""
        while self._deadlines and self._deadlines[0].timer <= now:
            call = heapq.heappop(self._deadlines)
            if call.state is not CallState.DONE:
                if call.deadline > now:  # it has moved on
                    call.timer = call.deadline
                    heapq.heappush(self._deadlines, call)
                    continue
                self._ran_out(call, now)
            self._stale -= 1  # it is gone from there already
        due: list[Call] = []
        questions, steps = self._questions, self._steps
        while questions and len(due) < _AT_ONCE:  # the rest is still due at the next tick, which comes at once
            when, _, call = step = questions[0]
            if not _is_stale(step):
                if when > now:
                    break
                call.due = 0.0
                due.append(call)
            else:
                self._stale -= 1
            questions.popleft()
        while steps and len(due) < _AT_ONCE:
            when, _, call = step = steps[0]
            if not _is_stale(step):
                # Questions share a frame, and a wake-up, which costs more than asking some too early.
                if when > now:
                    if not due or call.state is not CallState.ACCEPTED or call.accepted_at is None or call.troubles:
                        break
                    if when > now + earliness(now - call.accepted_at):
                        break
                call.due = 0.0
                due.append(call)
            else:
                self._stale -= 1
            heapq.heappop(steps)
        return due

    def _sweep(self) -> None:
        # What is no longer wanted is kept, but never much more of it than of what is.
        if self._stale * 2 > len(self._deadlines) + len(self._steps) + len(self._questions):
            self._deadlines = [call for call in self._deadlines if call.state is not CallState.DONE]
            self._deadlines.sort(key=attrgetter("timer", "turn"))  # a heap, and faster than comparing calls
            self._steps = [step for step in self._steps if not _is_stale(step)]
            heapq.heapify(self._steps)
            self._questions = deque(step for step in self._questions if not _is_stale(step))
            self._stale = 0

    def _extend(self, call: Call) -> None:
        """Give a call the time of long ones: the server has said that it works on the task."""
        deadline = call.started + call.long_timeout
        call.deadline = max(call.deadline, deadline)

    def _ran_out(self, call: Call, now: float) -> None:
        unreached = self._last_failure if self.state is not State.READY else None
        error = at_the_server(call, self._stray) or before_it_was_sent(call, self._where(), unreached)
        self._end(call, now, error)


def _is_stale(step: Step) -> bool:
    when, _, call = step
    return call.due != when or call.state is CallState.DONE
