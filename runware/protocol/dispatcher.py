"""How calls enter, are sent, and end. Everything that must happen together at those moments is here."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from runware.errors import ClientClosedError, ConflictError, RunwareError
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.call_queue import CallQueue
from runware.protocol.connection import Connection
from runware.protocol.effects import Record, Send, State, Step
from runware.protocol.exchanges import Exchanges
from runware.protocol.outcomes import at_the_server, before_it_was_sent
from runware.protocol.output import Output
from runware.protocol.registry import CallRegistry
from runware.protocol.task_poller import TaskPoller
from runware.protocol.timers import BATCH, Timers

__all__ = ["Dispatcher"]

_SENT, _RECOVERING, _DONE = CallState.SENT, CallState.RECOVERING, CallState.DONE
_ANSWER, _CONNECTION, _EXISTING = Completion.ANSWER, Completion.CONNECTION, Completion.EXISTING
_READY, _CLOSED = State.READY, State.CLOSED


class Dispatcher:
    """Moves calls through the registry, the queue and the timers.

    Args:
        max_queued: How many calls may wait to be sent.
        connection: Its state decides whether anything can be sent.
        registry: The open calls.
        queue: The calls that wait.
        timers: The calls' timers.
        poller: Asks about calls whose task was submitted before.
        output: Takes the effects.
        exchanges: The open exchanges, for a transport that has them.

    Attributes:
        more_to_send: Whether sending stopped after a batch, and goes on at the next tick.
    """

    def __init__(
        self,
        max_queued: int,
        connection: Connection,
        registry: CallRegistry,
        queue: CallQueue,
        timers: Timers,
        poller: TaskPoller,
        output: Output,
        exchanges: Exchanges | None = None,
    ) -> None:
        self.more_to_send = False
        self._unrecorded: set[Call] = set()
        self._behind: dict[Call, list[Call]] = {}  # the calls that go on once another one with their task has ended
        self._leading: dict[str, Call] = {}  # the calls for which those behind them wait, by the UUID that is asked for
        self._numbers = itertools.count(1)
        self._max_queued = max_queued
        self._connection = connection
        self._registry = registry
        self._queue = queue
        self._timers = timers
        self._poller = poller
        self._output = output
        self._exchanges = exchanges

    # ------------------------------------------------------------------ entering

    def admit(self, call: Call, now: float) -> bool:
        """Queue a new call, or end it at once if that is not possible; return whether it was queued."""
        queue, registry, durable = self._queue, self._registry, call.durable
        call.started = now
        call.deadline = call.scheduled_deadline = now + call.timeout
        call.sequence = next(self._numbers)
        held = durable is not None and not durable.recorded
        leads = durable is not None and durable.stable and not durable.shared and call.completion is not _ANSWER
        first = self._leading.get(call.uuid) if leads else None
        if call.completion is _ANSWER or first is not None or (held and self._may_be_followed(call)):
            call.key = f"{call.uuid}:{call.sequence}"  # the task may be a call of this client
        waiting = len(queue.new) + len(queue.returned) + len(self._unrecorded)
        if self._connection.state is _CLOSED or waiting >= self._max_queued or call.key in registry.calls:
            error = self._refusal(call)
            if error is not None:
                call.enter(_DONE)
                self._output.call_ended(call, now, _attributed(error, call))
                return False
        registry.add(call)
        self._timers.add_deadline(call)
        if first is not None:
            call.sends = 1  # by the first one
            call.deadline = max(call.deadline, now + call.long_timeout)
            self.hold(call)
            self._behind.setdefault(first, []).append(call)
            return True
        if leads:
            self._lead(call)
        if held:
            self._output.effects.append(Record(call, Step.TASK, call.uuid))
            self.hold(call)
        else:
            queue.new.append(call)
        return True

    def _lead(self, call: Call) -> None:
        """Register a call by its UUID, so that further calls for its task wait for it, also during later attempts."""
        assert call.durable is not None
        call.durable.leads = call.uuid
        self._leading[call.uuid] = call

    def _may_be_followed(self, call: Call) -> bool:
        """Return whether the task of a durable call may be that of another call of this client."""
        shared = call.durable is not None and call.durable.shared
        return call.completion is _EXISTING or (shared and call.uuid in self._registry.calls)

    def _refusal(self, call: Call) -> RunwareError | None:
        """Return why a new call cannot be queued; `None` if it can, without the queued calls that have ended."""
        if self._connection.state is _CLOSED:
            return ClientClosedError("The client is closed.")
        if call.key in self._registry.calls:
            return _already_running()
        self._queue.drop_ended()
        waiting = len(self._queue) + len(self._unrecorded)
        if waiting < self._max_queued:
            return None
        return RunwareError(
            f"{waiting} calls are waiting already. Wait for some of them, or raise max_queued.", retryable=True
        )

    def requeue(self, call: Call) -> None:
        """Queue a call again, at the place it had."""
        self._timers.cancel(call)  # the time limit of the poll whose answer led here
        call.enter(CallState.QUEUED)
        self._queue.put_back(call)

    # ------------------------------------------------------------------ durable calls

    def hold(self, call: Call) -> None:
        """Keep a call from being sent until the store has its attempt."""
        call.enter(CallState.UNRECORDED)
        self._unrecorded.add(call)

    def recorded(self, call: Call, uuid: str, now: float) -> bool:
        """Queue a call whose attempt is in the store; return `False` if the call is about another attempt by now."""
        durable = call.durable
        if durable is None or call.state is _DONE or call.uuid != uuid:
            return False
        if call.state is CallState.UNRECORDED:
            if call.key != call.uuid:
                other = self._registry.calls.get(call.uuid)
                allowed = durable.asks or call.completion is not _EXISTING
                # The store has given the task to this call. The other one may be waiting there for its end.
                if other is not None and not (allowed and other.state is CallState.UNRECORDED):
                    return self._follow(call, other, now)
                self._registry.rename(call, call.uuid)
            self.release_hold(call)
            self.requeue(call)
        durable.recorded = True
        return True

    def release_hold(self, call: Call) -> None:
        """Do not count a call any more among those that wait for the store."""
        self._unrecorded.discard(call)

    def _follow(self, call: Call, other: Call, now: float) -> bool:
        """Keep a call waiting for the task that another call of this client has begun meanwhile, or asks for."""
        if other.durable is None or other.durable.line is None:
            self.end(call, now, _already_running())
        elif other.completion is _EXISTING:
            # The store need not know its task, and would allow this call again and again.
            self._behind.setdefault(other, []).append(call)
        else:
            # The store has been told of the other one by now, and reports its end.
            self._output.effects.append(Record(call, Step.TASK, call.uuid))
        return False

    # ------------------------------------------------------------------ sending

    def send_queued(self, now: float) -> None:
        """Send the calls that wait, in order, as far as limits allow: a batch at once, the rest at the next tick."""
        self.more_to_send = False
        if self._connection.state is not _READY:
            return
        queue, output, exchanges = self._queue, self._output, self._exchanges
        sends = 0
        while queue.new or queue.returned:
            if exchanges is not None and exchanges.full:
                return
            if sends == BATCH:
                self.more_to_send = queue.has_next
                return
            call = queue.pop(now)
            if call is None:
                return
            if call.completion is _CONNECTION and (exchanges is None or self._connection.key_accepted):
                self._release(call)  # as `end` does, which would come back here for each of them
                output.call_ended(call, now)
                continue
            call.epoch = self._connection.epoch
            queue.in_flight += 1
            durable = call.durable
            if call.completion is _EXISTING or (durable is not None and durable.asks):
                if durable is not None:
                    durable.asks = False  # once: a task that the server does not know is sent
                call.enter(_RECOVERING)
                self._poller.poll([call], now)
                continue
            call.enter(_SENT)
            call.sends += 1
            sends += 1
            if exchanges is not None:
                exchanges.begin(call.text, (call,), question=False)
                if call.completion is _CONNECTION:
                    continue  # a request that checks the key is no task
            else:
                output.effects.append(Send(call.text, call))
            output.counts["sent"] += 1
            if durable is not None and durable.line is not None:
                output.effects.append(Record(call, Step.SENT, call.uuid))
            if output.watched:
                output.task_event("Sent", call, now, size=len(call.text))

    # ------------------------------------------------------------------ ending

    def end(self, call: Call, now: float, error: RunwareError | None = None) -> None:
        """End a call, with its results or with an error, and send the next one."""
        if call.state is _DONE:
            return
        queue = self._queue
        self._release(call)
        if error is not None:
            _attributed(error, call)
        elif queue.window is not None:
            queue.speed_up()
        self._output.call_ended(call, now, error)
        if queue.new or queue.returned:
            self.send_queued(now)

    def end_all(self, now: float, make: Callable[[Call], RunwareError]) -> None:
        """End every call with an error of its own, in the order of submission."""
        self._queue.clear()
        for call in sorted(self._registry.calls.values(), key=lambda call: call.sequence):
            self.end(call, now, make(call))

    def end_expired(self, now: float) -> None:
        """End the calls whose deadline has come."""
        connection = self._connection
        for call in self._timers.expired(now):
            unreached = connection.last_failure if connection.state is not _READY else None
            error = at_the_server(call, connection.unattributed_error)
            self.end(call, now, error or before_it_was_sent(call, connection.where(), unreached))

    def cancel(self, call: Call, now: float) -> None:
        """Cancel the call: remove it from the queue, or discard its results if it was already sent."""
        if self._registry.calls.get(call.key) is call:
            self._release(call)
            if (durable := call.durable) is not None and durable.line is not None:
                self._output.effects.append(Record(call, Step.CANCELLED, call.uuid))
            self._output.call_ended(call, now, status="cancelled")
            call.job = None
            self.send_queued(now)

    def _release(self, call: Call) -> None:
        """Take a call out of everything, so that nothing more is sent or expected for it."""
        self._registry.remove(call)
        self._unrecorded.discard(call)
        self._queue.release_slot(call)
        if self._exchanges is not None:
            self._exchanges.leave(call)
        call.enter(_DONE)
        call.text = b""  # so that it is not written any more
        call.seen_ids = None
        self._timers.call_ended(call)
        if self._leading and call.durable is not None and self._leading.get(call.durable.leads) is call:
            del self._leading[call.durable.leads]
        if self._behind:
            for waiting in self._behind.pop(call, ()):
                if waiting.state is not _DONE:
                    self._continue(waiting, call)

    def _continue(self, call: Call, first: Call) -> None:
        """Continue a call that has waited for the end of another one with the same task."""
        durable, uuid = call.durable, call.uuid
        assert durable is not None
        if durable.shared or not durable.stable:
            self._output.effects.append(Record(call, Step.TASK, uuid))
        elif (other := self._leading.get(uuid) or self._registry.calls.get(uuid)) is not None:
            self._behind.setdefault(other, []).append(call)
        else:
            # It is sent again: the server's word that it has the task leads to the results.
            call.sends = 1 if first.sends or first.attempts else 0
            self._lead(call)
            self._registry.rename(call, uuid)
            if not (durable.recorded or first.items):  # results are counted already
                self._output.effects.append(Record(call, Step.TASK, uuid))
                return
            durable.recorded = True
            self.release_hold(call)
            self.requeue(call)


def _already_running() -> ConflictError:
    return ConflictError(
        "A task with this task_uuid is already running on this client: wait for its own job.",
        code="conflictTaskUUID",
        parameter="task_uuid",
    )


def _attributed(error: RunwareError, call: Call) -> RunwareError:
    """Note in an error which call it is about."""
    if call.completion is not _CONNECTION:
        error.task_type = error.task_type or call.task_type
        error.task_uuid = error.task_uuid or call.uuid
    error.attempts = tuple(call.attempts or ())
    return error
