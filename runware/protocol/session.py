"""The protocol between the client and the server: facts in, effects out; no I/O, no clock, no thread."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Mapping

from runware._support.escaping import one_line, plain_word
from runware._support.logs import RepeatLimit
from runware.errors import (
    AuthenticationError,
    ConnectionLostError,
    InsufficientCreditsError,
    PayloadTooLargeError,
    RunwareError,
    TaskError,
    error_from_wire,
)
from runware.protocol.call import Call, CallState, Completion, Item, Question
from runware.protocol.call_queue import CallQueue
from runware.protocol.codec import dumps, is_empty_answer, named_tasks, read_frame
from runware.protocol.connection import Connection
from runware.protocol.dispatcher import Dispatcher
from runware.protocol.effects import FOREVER, PING, Abort, Close, Exchange, Send, SessionConfig, State
from runware.protocol.exchange_outcomes import ExchangeOutcomes
from runware.protocol.exchanges import Exchanges
from runware.protocol.outcomes import client_closed, connection_is_gone, key_rejected
from runware.protocol.output import Output
from runware.protocol.redaction import Redactor
from runware.protocol.registry import CallRegistry
from runware.protocol.task_poller import TaskPoller
from runware.protocol.timers import Timers
from runware.protocol.tracker import TaskTracker

__all__ = ["Session"]

log = logging.getLogger("runware.session")
log.addFilter(RepeatLimit())

_IDLE, _READY = State.IDLE, State.READY  # an attribute of an enum takes longer than a global variable
_CONNECTION = Completion.CONNECTION
_LARGE = 64 * 1024
"""Bytes above which the upload time of a message counts."""
_BUFFERED = 4 * 1024 * 1024
"""The most bytes that may be on their way in the buffers of the network."""
_SLOWEST_UPLOAD = 64 * 1024
"""Bytes a second on the slowest line that is provided for."""


class Session:
    """The protocol between the client and the server, composed of parts with their own state.

    | Part | State |
    |---|---|
    | `Connection` | the connection's state, by a table of which follows which; keepalive; failures in a row |
    | `CallRegistry` | the open calls by name |
    | `CallQueue` | the order of calls, their in-flight slots, the concurrency window |
    | `Timers` | deadlines, next steps, time limits of polls |
    | `TaskPoller` | none: it sends polls |
    | `Dispatcher` | whether a batch is left to send; calls enter, are sent and end here |
    | `Exchanges`, `ExchangeOutcomes` | over HTTP: which exchanges are open; none |
    | `TaskTracker` | whether the server lists what runs; each call's own state is in `Call`, by a table too |
    | `Output` | effects to perform, counters |

    Invariants: a call ends exactly once; a message about an unknown UUID ends no call; nothing here reads a clock,
    starts a thread or opens a socket.

    A driver owns the socket and the clock, and calls every method on one thread:

    1. Report facts with the methods named in the past tense, and requests with `submit`, `cancel` and `close`. *now*
       is in seconds, and never decreases. Report input that has arrived before calling `tick`.
    2. After each call, perform everything in `effects`, in order, removing each one. Performing an effect may call the
       session again (see 4); go on until it is empty.
    3. Then call `tick` when the time of `next_deadline` has come; `None` means never. It may be in the past.
    4. Perform the effects as follows:
       - `Open(epoch)`: start to connect, without blocking. Report `dial_reached` for each stage, and then
         `connection_opened` or `connection_failed`.
       - `Send(text, call)`: write it after all earlier ones, unless `call.text` is another object when its turn comes.
         Report `ping_written` when the last byte of `PING` was written.
       - `Abort(epoch, reason)`: drop that connection, or the attempt to make it. For an open connection answer with
         `connection_lost`; the session may have moved on already, and ignores it then.
       - `Close(epoch)`: send a close frame and close; messages that were not begun are left out.
       - a `Call`: notify its job of new items or statuses. `Ended(call, error)`: end its job.
       - `Record(call, step, uuid)`: have the store write the step. After `Step.TASK`, report one of `task_recorded`,
         `task_known`, `task_settled` and `recording_failed`.
       - `Renew(call, inputs)`: store the media again. Report `inputs_renewed` or `renewal_failed`.
       - `Happened(kind, facts)`: emit the event, with the time of day.
    5. When a connection ends for any reason, report `connection_lost` with all calls whose message was not written to
       the last byte: those are sent again without asking the server, so a mistake here runs a task twice.
       Report nothing about that connection afterwards.
    6. For each read, report whole messages with `frame_received` (`message_too_large` for those dropped), then
       `bytes_received`. When the network blocks or takes output, report `bytes_written`.

    Each connection has a number, its epoch, which facts about it carry: those of an older one are ignored.

    **Exchanges.** With `SessionConfig.exchanges`, the transport has requests and responses instead (HTTP). There is no
    connection then: no `Open`, `Send`, `Abort` or `Close`, and none of the facts of 4 to 6 about them. Instead:

    - `Exchange`: make the request at once, beside all others. Report one of `response_received`, `response_too_large`
      and `exchange_failed`.
    - `DropExchange(exchange)`: abort it; whatever is reported of it afterwards is ignored.
    """

    def __init__(self, config: SessionConfig | None = None, *, rng: random.Random | None = None) -> None:
        self.config = config or SessionConfig()
        rng = rng or random.Random()
        self.redactor = Redactor()
        self._output = Output(watched=self.config.events, dry_run=self.config.dry_run)
        self._connection = Connection(self.config, self._output, rng)
        self._registry = CallRegistry()
        self._queue = CallQueue(self.config.max_in_flight)
        self._timers = Timers()
        limit = self.config.exchanges
        exchanges = self._exchanges = None if limit is None else Exchanges(limit, self._output)
        poller = TaskPoller(self._connection, self._timers, self._output, exchanges)
        self._dispatcher = Dispatcher(
            self.config.max_queued,
            self._connection,
            self._registry,
            self._queue,
            self._timers,
            poller,
            self._output,
            exchanges,
        )
        self._tracker = TaskTracker(
            self._connection,
            self._registry,
            self._queue,
            self._timers,
            poller,
            self._dispatcher,
            self._output,
            rng,
        )
        self._outcomes = (
            None
            if exchanges is None
            else ExchangeOutcomes(
                connection=self._connection,
                registry=self._registry,
                queue=self._queue,
                timers=self._timers,
                exchanges=exchanges,
                dispatcher=self._dispatcher,
                tracker=self._tracker,
                redactor=self.redactor,
                dispatch=self._dispatch,
                counts=self._output.counts,
                reconnect=self.config.reconnect,
                dry_run=self.config.dry_run,
            )
        )
        self.calls = self._registry.calls
        self._lookups = self._registry.lookups
        self.effects = self._output.effects
        self.counts = self._output.counts
        self.spent = self._output.spent
        self.bytes_received = self._connection.keepalive.received  # the fact that something came in

    def __repr__(self) -> str:
        return f"<Session {self.state.value}, epoch {self.epoch}, {len(self.calls)} calls, {self.in_flight} in flight>"

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._connection.state

    @property
    def epoch(self) -> int:
        """The number of the connection."""
        return self._connection.epoch

    @property
    def session_uuid(self) -> str | None:
        """The server's name for the session, with which the next connection resumes it."""
        return self._connection.session_uuid

    @property
    def in_flight(self) -> int:
        """How many calls are at the server."""
        return self._queue.in_flight

    @property
    def watched(self) -> bool:
        """Whether to emit `Happened` effects. It may be set at any time, in any thread."""
        return self._output.watched

    @watched.setter
    def watched(self, watched: bool) -> None:
        self._output.watched = watched

    # ------------------------------------------------------------------ requests of callers

    def submit(self, call: Call, now: float) -> None:
        """Take a call. It ends by its deadline, whatever happens."""
        if self._dispatcher.admit(call, now):
            self._serve(call, now)

    def _serve(self, call: Call, now: float) -> None:
        """Send the calls that wait, of which this is one, if there is a connection; else ask for one."""
        connection = self._connection
        if self._exchanges is not None:
            if connection.state is _IDLE:
                connection.enter(_READY, now)
        elif connection.state is _READY:
            if not self._queue.in_flight and connection.keepalive.suspect(now):
                # The machine slept, or the client's thread was stopped: nothing new is sent over the old connection.
                reason = "no sign of life for too long"
                self.effects.append(Abort(self.epoch, reason))
                self._left(reason, now)
                connection.enter(_IDLE, now)
                connection.dial(now)
            elif call.completion is _CONNECTION:
                self._dispatcher.end(call, now)  # before all others that wait
        elif connection.state is _IDLE:
            connection.dial(now)
        self._dispatcher.send_queued(now)

    # ------------------------------------------------------------------ facts about the store

    def task_recorded(self, call: Call, uuid: str, now: float) -> None:
        """The store has this attempt of a call, so that it may be sent."""
        if self._dispatcher.recorded(call, uuid, now):
            self._serve(call, now)

    def task_known(self, call: Call, uuid: str, current: str, items: list[Item], elsewhere: bool, now: float) -> None:
        """The store has the task of a call already, from an earlier one that did not end.

        Args:
            call: The call.
            uuid: Its UUID when the store was told.
            current: The UUID of the task's last attempt.
            items: The results of earlier attempts, which are not asked for again.
            elsewhere: Whether another client follows it, so that the call waits for the store's next report; if not,
                the server is asked for the task before it is sent.
            now: The session's time.
        """
        if call.state is not CallState.UNRECORDED or call.uuid != uuid or (durable := call.durable) is None:
            return
        call.sends = max(1, call.sends)  # that client may have sent it
        self._tracker.use_long_timeout(call)
        if elsewhere:
            return
        call.items = items
        call.prior_results = len(items)
        if current != uuid or items:
            self._tracker.become(call, current)
        durable.asks = True
        self.task_recorded(call, current, now)

    def task_settled(self, call: Call, items: list[Item], error: RunwareError | None, now: float) -> None:
        """The store has the outcome of a call's task, which another call, client or webhook has written."""
        if call.state is not CallState.DONE:
            call.items = items
            self._dispatcher.end(call, now, error)

    def recording_failed(self, call: Call, uuid: str, error: RunwareError, now: float) -> None:
        """The store could not take this attempt of a call, or refused it: it is not sent."""
        if call.state in (CallState.UNRECORDED, CallState.RETRYING) and call.uuid == uuid:
            self._dispatcher.end(call, now, error)

    def inputs_renewed(self, call: Call, uuids: Mapping[str, str], now: float) -> None:
        """The media that a call names is stored again, under these new UUIDs by the old ones."""
        self._tracker.inputs_renewed(call, uuids)
        self._dispatcher.send_queued(now)

    def renewal_failed(self, call: Call, error: RunwareError, now: float) -> None:
        """The media that a call names could not be stored again."""
        self._dispatcher.end(call, now, error)

    # ------------------------------------------------------------------ requests of callers, continued

    def cancel(self, call: Call, now: float) -> None:
        """Cancel the call: remove it from the queue, or discard its results if it was already sent.

        There is no `Ended` effect for it: its caller knows.
        """
        self._dispatcher.cancel(call, now)

    def close(self, now: float) -> None:
        """End every call at once. The session stays closed."""
        state = self.state
        if state is State.CLOSED:
            return
        reason = "the client was closed"
        if self._exchanges is not None:
            pass  # each is dropped with the last call that waits for it
        elif state in (State.AUTHENTICATING, State.READY):
            self.effects.append(Close(self.epoch))
        elif state is State.CONNECTING:
            self.effects.append(Abort(self.epoch, reason))
        if state in (State.CONNECTING, State.AUTHENTICATING, State.READY) and self._exchanges is None:
            self._left(reason, now)
        self._connection.enter(State.CLOSED, now)
        self._dispatcher.end_all(now, client_closed)
        self._timers.clear()

    # ------------------------------------------------------------------ facts about the connection

    def dial_reached(self, epoch: int, stage: str, host: str) -> None:
        """The attempt to connect has reached this stage, at this host."""
        if epoch == self.epoch:
            self._connection.stage, self._connection.host = stage, host

    def connection_opened(self, epoch: int, key: str, now: float) -> None:
        """The connection is open. The first message on it is the key."""
        connection = self._connection
        if epoch != self.epoch or self.state is not State.CONNECTING:
            self.effects.append(Abort(epoch, "it came too late"))
            return
        self.redactor.add(key)
        connection.opened(now)
        task = {"taskType": "authentication", "apiKey": key}
        if connection.session_uuid:
            task["connectionSessionUUID"] = connection.session_uuid
        self.effects.append(Send(dumps([task])))
        self._output.connection_event("Connected", self.epoch, now - connection.since, host=connection.host)

    def connection_failed(
        self, epoch: int, error: RunwareError, now: float, *, permanent: bool = False, reason: str | None = None
    ) -> None:
        """The attempt to connect has failed.

        Args:
            epoch: The number of the attempt.
            error: The cause. Every waiting call that ends because of it gets a copy.
            now: The session's time.
            permanent: Whether further attempts cannot help (a certificate that is not trusted, for example).
            reason: The cause for logs and events, when the error's own text repeats the server's words.
        """
        connection = self._connection
        if epoch != self.epoch or self.state not in (State.CONNECTING, State.AUTHENTICATING):
            return
        self.redactor.clean_error(error)  # a proxy may have repeated its password
        reason = one_line(reason or error)
        self._left(reason, now)
        hopeless = connection.failed(error)
        log.info("connection attempt %d failed: %s", epoch, reason)
        if permanent or hopeless:
            connection.give_up(now)
            self._dispatcher.end_all(now, lambda call: connection_is_gone(call, error))
        else:
            connection.back_off(now, wanted=bool(self.calls))

    def connection_lost(self, epoch: int, reason: str, unsent: Collection[Call], now: float) -> None:
        """The connection is gone.

        Args:
            epoch: Its number.
            reason: The cause, in a few words.
            unsent: The calls whose message had not been written to its last byte, so that the server cannot have it.
            now: The session's time.
        """
        connection = self._connection
        if epoch != self.epoch or self.state not in (State.AUTHENTICATING, State.READY):
            return
        if self.state is State.AUTHENTICATING:
            self.connection_failed(epoch, connection.error(f"The connection was closed ({reason}).", now), now)
            return
        log.info("connection %d lost: %s", epoch, one_line(reason))
        self.counts["drops"] += 1
        self._left(reason, now)
        connection.lost(now)
        self._tracker.suspend([*unsent, *self._output.take_back_sends()], reason, now)
        if self.config.reconnect:
            connection.back_off(now, wanted=bool(self.calls))
            return
        connection.enter(State.IDLE, now)
        self._dispatcher.end_all(
            now,
            lambda call: ConnectionLostError(
                f"The connection was lost ({reason}), and reconnect is off.", may_have_run=call.may_have_run
            ),
        )

    def _left(self, reason: str, now: float) -> None:
        """Report the end of a connection, or of an attempt, and free every in-flight slot."""
        self._connection.report_left(reason, now, self.in_flight)
        self._queue.in_flight = 0

    def bytes_written(self, now: float, *, pending: bool) -> None:
        """The network took some output; *pending* is whether some is left."""
        self._connection.keepalive.written(now, pending=pending)

    def ping_written(self, now: float) -> None:
        """The last byte of the ping was written: its answer is due from now."""
        self._connection.keepalive.ping_left(now)

    # ------------------------------------------------------------------ facts about exchanges

    def response_received(
        self, exchange: Exchange, status: int, body: bytes, now: float, *, retry_after: float | None = None
    ) -> None:
        """An exchange has its response.

        Args:
            exchange: The exchange.
            status: The HTTP status.
            body: The body of the response, complete.
            now: The session's time.
            retry_after: Seconds that the server asks to wait, if it did.
        """
        assert self._outcomes is not None
        self._outcomes.response_received(exchange, status, body, now, retry_after)

    def response_too_large(self, exchange: Exchange, limit: int, now: float) -> None:
        """The response of an exchange is too large to be kept."""
        assert self._exchanges is not None
        self.message_too_large([call.uuid for call in self._exchanges.finish(exchange)], limit, now)

    def exchange_failed(
        self, exchange: Exchange, error: RunwareError, now: float, *, sent: bool, permanent: bool = False
    ) -> None:
        """An exchange has brought no response.

        Args:
            exchange: The exchange.
            error: The cause. Every call that ends because of it gets a copy.
            now: The session's time.
            sent: Whether the request was written to its last byte, so that the server may have it. A mistake here makes
                the client send a task again without asking for it.
            permanent: Whether further attempts cannot help, such as after a certificate that is not trusted.
        """
        assert self._outcomes is not None
        self._outcomes.exchange_failed(exchange, error, now, sent=sent, permanent=permanent)

    # ------------------------------------------------------------------ facts about messages

    def frame_received(self, data: bytes | bytearray, now: float) -> None:
        """A whole message came in."""
        try:
            items, errors = read_frame(data)
        except ValueError:
            self._unreadable(data, now)
            return
        if not items and not errors:
            if is_empty_answer(data):
                self._tracker.empty_answer_received(now, dry_run=self.config.dry_run)
            return
        if len(items) == 1 and not errors and not self._lookups:
            (item,) = items
            uuid = item.get("taskUUID")
            call = self.calls.get(uuid) if isinstance(uuid, str) else None
            if call is not None and item.get("taskType") == call.task_type:  # the usual case
                if not self._tracker.result_pushed(call, items, now):
                    self.redactor.clean_frame(items, errors)
                    self._tracker.items_received(call, items, now)
                return
        errors = self.redactor.clean_frame(items, errors)
        self._dispatch(items, errors, now)

    def message_too_large(self, uuids: Collection[str], limit: int, now: float) -> None:
        """A message came that is too large to be kept. Only the UUIDs of its tasks are known."""
        calls = self._registry.named(uuids)
        log.warning("a message of more than %d bytes was dropped; calls it was for: %d", limit, len(calls))
        for call in calls:
            if len(calls) > 1 and call.may_run and call.completion is not Completion.ANSWER:
                self._tracker.ask_for([call], now)  # the answer about one alone may be small enough
            else:
                error = PayloadTooLargeError(
                    f"The response exceeds the limit of {limit:,} bytes for a message. The task ran, and may be "
                    'billed. Request results as URLs (output_type="URL"), or fewer at a time.'
                )
                error.may_have_run = not call.repeatable
                self._dispatcher.end(call, now, error)

    def _unreadable(self, data: bytes | bytearray, now: float) -> None:
        """Ask for the tasks that a message names which is not JSON, not even nearly."""
        calls = self._registry.named(named_tasks(data))
        log.warning("a message of %d bytes cannot be read; calls it names: %d", len(data), len(calls))
        self._tracker.ask_for([call for call in calls if call.completion is not Completion.ANSWER], now)

    def _dispatch(self, items: list[Item], errors: list[Item], now: float) -> None:
        """Pass the items and errors of one message to the calls they are for."""
        touched: dict[Call, list[Item]] = {}
        for item in items:
            kind = item.get("taskType")
            if kind == "authentication":
                self._authenticated(item, now)
            elif kind != "ping":
                found = self._registry.matching(item)
                if not found:
                    log.debug("no call waits for %s %s", *map(self._word, (kind, item.get("taskUUID"))))
                for one in found:
                    if kind == Question.DETAILS.value and one.completion is not Completion.ANSWER:
                        self._tracker.details_received(one, item, now)
                    elif kind == Question.DETAILS.value and one.task_type == Question.RESPONSE.value:
                        self._tracker.lookup_details_received(one, item, now)
                    else:
                        touched.setdefault(one, []).append(item)
        reported = self._attach_errors(touched, errors)
        polled = {call for call in touched if call.poll_outstanding}
        for call, mine in touched.items():
            if call.state is not CallState.DONE:  # details in the same message may have ended it
                self._tracker.items_received(call, mine, now)
        failed: dict[Call, list[Item]] = {}
        for raw in errors:
            self._error_received(raw, failed, reported, now)
        for call, theirs in failed.items():
            if call.state is not CallState.DONE:  # so may an error about the key
                running = call in touched and call.running
                self._tracker.task_failed(call, theirs, now, running=running, polled=call in polled)

    def _attach_errors(self, touched: Collection[Call], errors: list[Item]) -> list[Item]:
        """Attach the errors of a message to the calls that may end with its items, and return those errors."""
        attached: list[Item] = []
        for call in touched:
            if errors and call.completion in (Completion.ANSWER, Completion.EXISTING):
                mine = [raw for raw in errors if call in self._registry.matching(raw)]
                made = [error_from_wire(raw, task_type=call.task_type, task_uuid=call.uuid) for raw in mine]
                call.errors = made or call.errors
                attached += mine
        return attached

    def _error_received(self, raw: Item, failed: dict[Call, list[Item]], reported: list[Item], now: float) -> None:
        """Assign one error to the calls it is for, in *failed*, or to the connection."""
        calls = self._registry.matching(raw)
        error = error_from_wire(raw)
        if calls:
            for call in calls:
                if call.state not in (CallState.QUEUED, CallState.RETRYING, CallState.UNRECORDED):
                    failed.setdefault(call, []).append(raw)
        elif raw.get("taskUUID") is None and (
            self.state is State.AUTHENTICATING
            or (self.state is State.READY and isinstance(error, AuthenticationError) and _is_about_the_key(raw))
        ):
            self._authentication_failed(error, now)
        elif raw not in reported:
            # An error that names no task ends no call: it may be a late one of a task that was cancelled. But it may
            # be all that the server ever sends about a call that times out.
            if raw.get("taskUUID") is None:
                self._connection.unattributed_error = error.code
            # The code only: messages may repeat a prompt.
            log.warning(
                "an error that no call waits for: %s (task %s)", self._word(error.code), self._word(error.task_uuid)
            )

    # ------------------------------------------------------------------ authentication

    def _authenticated(self, item: Item, now: float) -> None:
        connection = self._connection
        if connection.state is not State.AUTHENTICATING:
            return
        uuid = item.get("connectionSessionUUID")
        resumed = uuid is not None and uuid == connection.session_uuid
        self._output.connection_event("Authenticated", self.epoch, now - connection.since, resumed=resumed)
        connection.session_uuid = uuid if isinstance(uuid, str) else None
        self.counts["connections"] += 1
        connection.ready(now)
        log.info("connection %d is ready", self.epoch)
        self._tracker.resume(now)
        for call in [call for call in self.calls.values() if call.completion is Completion.CONNECTION]:
            self._dispatcher.end(call, now)
        self._dispatcher.send_queued(now)

    def _authentication_failed(self, error: TaskError, now: float) -> None:
        connection = self._connection
        self.effects.append(Abort(self.epoch, "authentication failed"))
        if isinstance(error, (AuthenticationError, InsufficientCreditsError)):
            log.warning("the server rejected the API key")
            self._left("the server rejected the API key", now)
            connection.session_uuid = None
            connection.enter(State.IDLE, now)
            self._dispatcher.end_all(now, lambda call: key_rejected(call, error))
        else:
            if not error.retryable:
                connection.session_uuid = None  # the server may have rejected the resumption
            failure = connection.error(f"The server answered: {error}.", now)
            self.connection_failed(
                self.epoch, failure, now, reason=f"the server answered {self._word(error.code)}{connection.where()}"
            )

    # ------------------------------------------------------------------ time

    def next_deadline(self) -> float | None:
        """Return when `tick` must be called at the latest; `None` when nothing is due, ever."""
        if self._dispatcher.more_to_send:
            return float("-inf")
        connection = self._connection
        due = connection.until
        if connection.state is _READY and self._exchanges is None:  # a state that does not end by itself
            due = connection.keepalive.due(busy=self._queue.in_flight > 0)
        due = min(due, self._timers.first())
        return None if due == FOREVER else due

    def tick(self, now: float) -> None:
        """Do what is due."""
        connection = self._connection
        if now >= connection.until:
            if self._outcomes is not None:
                connection.enter(State.READY, now)
                self._outcomes.resume(now)
            elif connection.state is State.BACKING_OFF:
                connection.dial(now)
            else:
                self.effects.append(Abort(self.epoch, "it took too long"))
                limit = self.config.connect_timeout
                self.connection_failed(self.epoch, connection.error(f"No connection within {limit:g} s.", now), now)
        if connection.state is State.READY and self._exchanges is None:
            self._check_keepalive(now)
        self._dispatcher.end_expired(now)
        due = self._timers.due(now)
        if due:
            self._tracker.take_steps(due, now)
        elif self._dispatcher.more_to_send:
            self._dispatcher.send_queued(now)

    def _check_keepalive(self, now: float) -> None:
        keepalive, busy = self._connection.keepalive, self.in_flight > 0
        if now >= keepalive.due(busy=busy):
            keepalive.slack = self._upload_time()
        verdict = keepalive.check(now, busy=busy)
        if verdict == "ping":
            self.effects.append(Send(PING))
        elif verdict:
            # The driver answers with `connection_lost`, which reports what was not written.
            what = "the server is silent" if verdict == "silent" else "output makes no progress"
            self.effects.append(Abort(self.epoch, what))

    def _upload_time(self) -> float:
        """Return how many seconds may pass until the server has received the large messages sent to it.

        They may fill the buffers of a proxy, a tunnel or a slow line long after they were written here, and a ping
        waits behind them. One that was sent before a call whose answer has come is there already.
        """
        proven = self._connection.proven_sequence
        sizes = (
            len(call.text)
            for call in self.calls.values()
            if call.state is CallState.SENT and not (call.sequence < proven and call.was_sent_in_order)
        )
        return min(_BUFFERED, sum(size for size in sizes if size > _LARGE)) / _SLOWEST_UPLOAD

    def _word(self, value: object) -> str:
        """Make a code, a type or a UUID of the server fit for a log."""
        return plain_word(self.redactor.hide(value) if isinstance(value, str) else value)


def _is_about_the_key(raw: Item) -> bool:
    return raw.get("taskType") == "authentication" or raw.get("parameter") == "apiKey"
