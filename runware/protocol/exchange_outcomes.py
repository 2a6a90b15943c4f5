"""What the outcome of an exchange means for its calls: a response, or none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from copy import copy

from runware._support.escaping import one_line
from runware.errors import ConnectionLostError, NotFoundError, RunwareError, TaskError
from runware.protocol.call import Call, CallState, Completion, Item, Question
from runware.protocol.call_queue import CallQueue
from runware.protocol.codec import dumps
from runware.protocol.connection import Connection
from runware.protocol.dispatcher import Dispatcher
from runware.protocol.effects import Exchange, State
from runware.protocol.exchanges import Exchanges
from runware.protocol.outcomes import connection_is_gone, key_rejected
from runware.protocol.redaction import Redactor
from runware.protocol.registry import CallRegistry
from runware.protocol.responses import Response, read_response
from runware.protocol.timers import Timers
from runware.protocol.tracker import TaskTracker

__all__ = ["ExchangeOutcomes"]

log = logging.getLogger("runware.session")


class ExchangeOutcomes:
    """Takes the outcomes of exchanges, and has the parts of the session do what follows from them.

    Args:
        connection: Pauses between requests that cannot be sent, and knows whether the key was accepted.
        registry: The open calls.
        queue: The calls that wait.
        timers: The calls' timers.
        exchanges: The open exchanges.
        dispatcher: Ends and queues calls.
        tracker: Decides about tasks that the server has, or may have.
        redactor: Cleans errors.
        dispatch: Passes the items and errors of one message to their calls.
        counts: The session's counters.
        reconnect: Whether a call survives the loss of its response.
        dry_run: Whether the server only checks tasks.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        registry: CallRegistry,
        queue: CallQueue,
        timers: Timers,
        exchanges: Exchanges,
        dispatcher: Dispatcher,
        tracker: TaskTracker,
        redactor: Redactor,
        dispatch: Callable[[list[Item], list[Item], float], None],
        counts: dict[str, int],
        reconnect: bool,
        dry_run: bool,
    ) -> None:
        self._connection = connection
        self._registry = registry
        self._queue = queue
        self._timers = timers
        self._exchanges = exchanges
        self._dispatcher = dispatcher
        self._tracker = tracker
        self._redactor = redactor
        self._dispatch = dispatch
        self._counts = counts
        self._reconnect = reconnect
        self._dry_run = dry_run

    def response_received(
        self, exchange: Exchange, status: int, body: bytes, now: float, retry_after: float | None
    ) -> None:
        """Handle a response; see `Session.response_received`."""
        calls = self._exchanges.finish(exchange)
        if not calls:
            return
        response = read_response(status, body, retry_after)
        if status < 500 and (response.readable or response.errors):  # else it may be a network's login page
            self._exchange_succeeded(now)
        if status == 429:
            self._queue.slow_down(now)
        if response.succeeded:
            self._connection.key_accepted = True
        if response.items or response.errors:
            if self._is_plain_result(calls, response, exchange, now):
                return
            errors = self._redactor.clean_frame(response.items, response.errors)
            rejection = response.rejection(errors)
            if rejection is not None:
                self._key_rejected(rejection, () if exchange.question else calls, now)
                return
            verdicts = response.verdicts(errors, calls, question=exchange.question)
            self._dispatch(response.items, verdicts, now)
        for call in calls:
            if call.state is not CallState.DONE and self._exchanges.of(call) is None:
                self._response_ended(call, exchange, response, now)
        self._dispatcher.send_queued(now)

    def exchange_failed(
        self, exchange: Exchange, error: RunwareError, now: float, *, sent: bool, permanent: bool = False
    ) -> None:
        """Handle the lack of a response; see `Session.exchange_failed`."""
        calls = self._exchanges.finish(exchange)
        if not calls:
            return
        self._redactor.clean_error(error)
        log.info("a request got no answer: %s", one_line(error))
        if sent:
            self._counts["drops"] += 1
            for call in calls:
                self._answer_lost(call, exchange, error, now)
        else:
            self._not_sent(calls, exchange, error, now, permanent=permanent)
        self._dispatcher.send_queued(now)

    def _exchange_succeeded(self, now: float) -> None:
        paused = self._connection.state is State.BACKING_OFF
        self._connection.works(now)
        if paused:
            self.resume(now)

    def resume(self, now: float) -> None:
        """Go on after a pause."""
        self._tracker.resume_polls(self._exchanges, now)
        self._dispatcher.send_queued(now)

    def _not_sent(
        self, calls: list[Call], exchange: Exchange, error: RunwareError, now: float, *, permanent: bool
    ) -> None:
        """Send the same messages again after a pause, unless that is hopeless."""
        for call in calls:
            if exchange.question:
                call.polling.outstanding = False
                self._timers.cancel(call)
            elif call.state is CallState.SENT:
                call.sends -= 1
                self._queue.release_slot(call)
                self._dispatcher.requeue(call)
        connection = self._connection
        # Those that fail together count once.
        hopeless = connection.state is State.READY and connection.failed(error)
        if permanent or hopeless:
            connection.give_up(now)
            self._dispatcher.end_all(now, lambda call: connection_is_gone(call, error))
        elif connection.state is State.READY:
            connection.back_off(now, wanted=True)

    def _answer_lost(self, call: Call, exchange: Exchange, error: RunwareError, now: float) -> None:
        """Handle a request that the server may have, and whose answer was lost."""
        if not self._reconnect and call.completion is not Completion.CONNECTION:
            reason = f"The answer to the request was lost, and reconnect is off: {error.message}"
            self._dispatcher.end(call, now, ConnectionLostError(reason, may_have_run=call.may_have_run))
        elif exchange.question:
            self._tracker.poll_lost(call, now, None)
        elif call.state is CallState.SENT:
            self._tracker.outcome_lost(call, now, None)

    def _response_ended(self, call: Call, exchange: Exchange, response: Response, now: float) -> None:
        """Handle the end of a response that has not ended this call."""
        tracker = self._tracker
        if exchange.question:
            if call.poll_outstanding and response.is_empty:
                tracker.poll_was_empty(call, now)
            elif call.poll_outstanding:
                tracker.poll_lost(call, now, response.retry_after)
        elif call.completion is Completion.CONNECTION:
            if response.succeeded:
                self._dispatcher.end(call, now)
            else:
                self._not_sent([call], exchange, response.no_api_error(), now, permanent=False)
        elif self._dry_run and response.succeeded and call.may_run:
            tracker.end_valid(call, now)
        elif call.state is not CallState.SENT:
            return  # the answer has settled how it goes on
        elif call.completion is Completion.ANSWER and response.is_empty:
            self._lookup_was_empty(call, now)
        elif call.items or call.failures or call.unreported_statuses:
            tracker.rest_missing(call, now)
        else:
            self._connection.unattributed_error = f"HTTP {response.status}"
            tracker.outcome_lost(call, now, response.retry_after)

    def _lookup_was_empty(self, lookup: Call, now: float) -> None:
        """Ask for the details of a task that getResponse says nothing about; end a lookup of which nothing is left."""
        if lookup.task_type != Question.RESPONSE.value:
            self._dispatcher.end(lookup, now, NotFoundError("The server knows nothing of this task."))
        elif lookup.polling.empty_answer:
            self._dispatcher.end(lookup, now)
        else:
            lookup.polling.empty_answer = True
            details = [{"taskType": Question.DETAILS.value, "taskUUID": lookup.uuid}]
            self._exchanges.begin(dumps(details), [lookup], question=False)

    def _is_plain_result(self, calls: list[Call], response: Response, exchange: Exchange, now: float) -> bool:
        """End a call with the one result it waits for, which is the usual response; return whether it was that."""
        if len(response.items) != 1 or response.errors or exchange.question or self._registry.lookups:
            return False
        (call,), (item,) = calls, response.items
        if call.expected > 1 or item.get("taskUUID") != call.uuid or item.get("taskType") != call.task_type:
            return False
        return self._tracker.result_pushed(call, response.items, now)

    def _key_rejected(self, error: TaskError, refused: Collection[Call], now: float) -> None:
        """End everything: the server rejected the key, and has not run the tasks of that request.

        But one that was sent before, and whose answer was lost, may have run then.
        """
        log.warning("the server rejected the API key")
        self._connection.key_accepted = False
        for call in refused:
            self._dispatcher.end(call, now, key_rejected(call, error) if call.sends > 1 else copy(error))
        if self._connection.state is not State.CLOSED:
            self._connection.give_up(now)
        self._dispatcher.end_all(now, lambda call: key_rejected(call, error))
