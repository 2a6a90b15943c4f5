"""Every change of connection and call state, and nothing else.

Rule 1: everything that changes the state of the connection or of a call is here, and in the two classes this one is
built on: `Book` (who waits for what) and `Following` (what the server has). Rule 2: no clock, no thread, no socket;
time comes in as `now`, in seconds that never run back. Rule 3: inputs are facts in the past tense, outputs are
effects to perform, in order. Rule 4: a call ends exactly once; a message for an unknown UUID ends nobody.

Each connection has a number, its epoch, which every fact about it carries: news of an older one is dropped.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection
from typing import Any

from runware._support.escaping import one_line, plain_word
from runware._support.logs import RepeatLimit
from runware.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ConnectionLostError,
    InsufficientCreditsError,
    PayloadTooLargeError,
    RunwareError,
    TaskError,
    error_from_wire,
)
from runware.events import Authenticated, Connected, ConnectionEvent, Disconnected
from runware.protocol.call import Call, CallState, Completion, Item, Question
from runware.protocol.codec import dumps, is_empty_answer, named_tasks, read_frame
from runware.protocol.effects import FOREVER, PING, Abort, Close, Happened, Open, Send, SessionConfig, State
from runware.protocol.keepalive import Liveness
from runware.protocol.outcomes import client_closed, connection_is_gone, key_rejected
from runware.protocol.redaction import Redactor
from runware.protocol.retry import backoff
from runware.protocol.tracker import Following

__all__ = ["Session"]

log = logging.getLogger("runware.session")
log.addFilter(RepeatLimit())

_PROVEN = 5.0
"""Seconds for which a connection that brought nothing must have been ready before its loss is a first failure again."""


_LARGE = 64 * 1024
_BUFFERED = 4 * 1024 * 1024
_SLOWEST = 64 * 1024
"""Bytes above which a message takes its time, that may be on their way, and that a slow line takes in a second."""


class Session(Following):
    """The protocol between the client and the server: facts in, effects out.

    Facts are the methods in the past tense, and `submit`, `cancel` and `close`. After each, `effects` holds what
    is to be done, and `next_deadline` tells when `tick` is to be called at the latest.
    """

    def __init__(self, config: SessionConfig | None = None, *, rng: random.Random | None = None) -> None:
        super().__init__(config or SessionConfig(), rng or random.Random())
        self.session_uuid: str | None = None
        self.redactor = Redactor()
        self._failures = 0
        self._ever_ready = False
        self._stage = ("TCP", "")
        self._since = 0.0
        self._until = FOREVER
        self._liveness = Liveness(self.config.heartbeat_interval, self.config.liveness_timeout)
        self.bytes_received = self._liveness.received  # the fact that something came in: the connection lives

    def __repr__(self) -> str:
        return f"<Session {self.state.value}, epoch {self.epoch}, {len(self.calls)} calls, {self._in_flight} in flight>"

    # ------------------------------------------------------------------ what callers want

    def submit(self, call: Call, now: float) -> None:
        """Take a call on. It ends by its deadline, whatever happens."""
        if not self._admit(call, now):
            return
        if self.state is State.READY and not self._in_flight and self._liveness.suspect(now):
            # The machine slept, or our thread was stopped: the old connection is not trusted with anything new.
            self.effects.append(Abort(self.epoch, "nothing was heard for too long"))
            self._left("nothing was heard for too long", now)
            self._enter(State.IDLE, now)
        if self.state is State.IDLE:
            self._dial(now)
        elif self.state is State.READY and call.completion is Completion.CONNECTION:
            self._end(call, now)  # whoever else waits for a turn
        self._pump(now)

    def cancel(self, call: Call, now: float) -> None:
        """Forget a call whose caller gave up. Nobody is told; the caller knows."""
        if self.calls.get(call.key) is call:
            self._release(call)
            self._conclude(call, now, status="cancelled")
            call.job = None
            self._pump(now)

    def close(self, now: float) -> None:
        """End everything: every call fails at once, and the session stays closed."""
        if self.state is State.CLOSED:
            return
        if self.state in (State.AUTHENTICATING, State.READY):
            self.effects.append(Close(self.epoch))
        elif self.state is State.CONNECTING:
            self.effects.append(Abort(self.epoch, "the client was closed"))
        if self.state in (State.CONNECTING, State.AUTHENTICATING, State.READY):
            self._left("the client was closed", now)
        self._enter(State.CLOSED, now)
        self._end_all(now, client_closed)
        self._deadlines.clear()
        self._steps.clear()
        self._questions.clear()

    # ------------------------------------------------------------------ facts about the connection

    def dial_reached(self, epoch: int, stage: str, host: str) -> None:
        """The attempt to connect has come to this stage, at this host."""
        if epoch == self.epoch:
            self._stage = (stage, host)

    def connection_opened(self, epoch: int, key: str, now: float) -> None:
        """The connection stands. The first message on it is the key."""
        if epoch != self.epoch or self.state is not State.CONNECTING:
            self.effects.append(Abort(epoch, "it came too late"))
            return
        self.redactor.add(key)
        self.state = State.AUTHENTICATING  # within the time that was set for dialling and authentication together
        self._stage = ("authentication", self._stage[1])
        self._liveness.opened(now)
        task = {"taskType": "authentication", "apiKey": key}
        if self.session_uuid:
            task["connectionSessionUUID"] = self.session_uuid
        self.effects.append(Send(dumps([task])))
        self._seen(Connected, now, host=self._stage[1])

    def connection_failed(
        self, epoch: int, error: RunwareError, now: float, *, permanent: bool = False, reason: str | None = None
    ) -> None:
        """The attempt to connect has failed.

        Args:
            epoch: The number of the attempt.
            error: Why. Every waiting call that ends because of it gets a copy.
            now: The session's time.
            permanent: Whether trying again cannot help (a certificate that is not trusted, for example).
            reason: What logs and events say of it, when the error's own text repeats the server's words.
        """
        if epoch != self.epoch or self.state not in (State.CONNECTING, State.AUTHENTICATING):
            return
        self._failures += 1
        self.redactor.clean_error(error)  # a proxy may have repeated its password
        reason = one_line(reason or error)
        self._left(reason, now)
        if isinstance(error, ConnectionFailedError):
            self._last_failure = error
        log.info("connection attempt %d failed: %s", epoch, reason)
        hopeless = not self._ever_ready and self._failures >= self.config.dial_attempts
        if permanent or hopeless:
            self._enter(State.IDLE, now)
            self._failures = 0
            self._end_all(now, lambda call: connection_is_gone(call, error))
        else:
            self._back_off(now)

    def connection_lost(self, epoch: int, reason: str, unsent: Collection[Call], now: float) -> None:
        """The connection is gone.

        Args:
            epoch: Its number.
            reason: Why, in a few words.
            unsent: The calls whose message had not been written to its last byte, so that the server cannot have it.
            now: The session's time.
        """
        if epoch != self.epoch or self.state not in (State.AUTHENTICATING, State.READY):
            return
        if self.state is State.AUTHENTICATING:
            self.connection_failed(epoch, self._connect_error(f"The connection was closed ({reason}).", now), now)
            return
        unsent = {*unsent, *self._take_sends()}
        log.info("connection %d lost: %s", epoch, one_line(reason))
        self.counts["drops"] += 1
        self._left(reason, now)
        self._failures = 1 if self._proven or now - self._since >= _PROVEN else self._failures + 1
        again = self._suspend(unsent)
        if not self.config.reconnect:
            self._enter(State.IDLE, now)
            self._end_all(
                now,
                lambda call: ConnectionLostError(
                    f"The connection was lost ({reason}), and reconnect is off.", may_have_run=call.may_have_run
                ),
            )
            return
        for call in again:
            self._requeue(call)
        self._back_off(now)

    def _take_sends(self) -> list[Call]:
        """Take back what was to be sent and has not been looked at yet; give the calls of it."""
        sends = [effect for effect in self.effects if isinstance(effect, Send)]
        if sends:
            kept = [effect for effect in self.effects if not isinstance(effect, Send)]
            self.effects.clear()
            self.effects.extend(kept)
        return [send.call for send in sends if send.call is not None]

    def bytes_written(self, now: float, *, pending: bool) -> None:
        """The network took some output; *pending* tells whether some is left."""
        self._liveness.written(now, pending=pending)

    def ping_written(self, now: float) -> None:
        """The ping has left, to its last byte: its answer is due from now."""
        self._liveness.ping_left(now)

    # ------------------------------------------------------------------ facts about messages

    def frame_received(self, data: bytes | memoryview, now: float) -> None:
        """A message came in, whole."""
        try:
            items, errors = read_frame(data)
        except ValueError:
            self._unreadable(data, now)
            return
        if not items and not errors:
            if is_empty_answer(data):
                self._answered_nothing(now)
            return
        if len(items) == 1 and not errors and not self._looks:
            (item,) = items
            uuid = item.get("taskUUID")
            call = self.calls.get(uuid) if isinstance(uuid, str) else None
            if call is not None and item.get("taskType") == call.task_type:  # the usual case
                if not self._result_pushed(call, items, now):
                    self.redactor.clean_frame(items, errors)
                    self._items_received(call, items, now)
                return
        errors = self.redactor.clean_frame(items, errors)
        self._sort_out(items, errors, now)

    def _unreadable(self, data: bytes | memoryview, now: float) -> None:
        """A message is not JSON, not even nearly. What it names is asked for at once."""
        calls = {call: None for uuid in named_tasks(data) for call in self._calls_for({"taskUUID": uuid})}
        log.warning("a message of %d bytes cannot be read; calls it names: %d", len(data), len(calls))
        self._ask_for([call for call in calls if call.completion is not Completion.ANSWER], now)

    def _ask_for(self, calls: Collection[Call], now: float) -> None:
        """Ask the server for tasks of which it has told something that could not be taken in."""
        calls = [call for call in calls if call.may_run]
        for call in calls:
            self._accept(call, now)
        self._ask(calls, now)

    def _sort_out(self, items: list[Item], errors: list[Item], now: float) -> None:
        """Find out whom the items and errors of one message are for."""
        touched: dict[Call, list[Item]] = {}
        for item in items:
            kind = item.get("taskType")
            if kind == "authentication":
                self._authenticated(item, now)
            elif kind != "ping":
                found = self._calls_for(item)
                if not found:
                    log.debug("nobody waits for %s %s", *map(self._word, (kind, item.get("taskUUID"))))
                for one in found:
                    if kind == Question.DETAILS.value and one.completion is not Completion.ANSWER:
                        self._details_received(one, item, now)
                    elif kind == Question.DETAILS.value and one.task_type == Question.RESPONSE.value:
                        self._look_answered(one, item, now)
                    else:
                        touched.setdefault(one, []).append(item)
        told = self._tell_errors(touched, errors)
        asked = {call for call in touched if call.asked}
        for call, mine in touched.items():
            if call.state is not CallState.DONE:  # details that came in the same message may have ended it
                self._items_received(call, mine, now)
        failed: dict[Call, list[Item]] = {}
        for raw in errors:
            self._error_received(raw, failed, told, now)
        for call, theirs in failed.items():
            call.asked = call.asked or call in asked  # the items of the same message were seen to before
            self._task_failed(call, theirs, now, running=call in touched and call.running)

    def message_too_large(self, uuids: Collection[str], limit: int, now: float) -> None:
        """A message came that is too large to be kept. Only which tasks it was about is known."""
        calls = {call: None for uuid in uuids for call in self._calls_for({"taskUUID": uuid})}
        log.warning("a message of more than %d bytes was passed over; calls it was for: %d", limit, len(calls))
        for call in calls:
            if len(calls) > 1 and call.may_run and call.completion is not Completion.ANSWER:
                self._ask_for([call], now)  # each alone may be small enough
            else:
                error = PayloadTooLargeError(
                    f"The answer has more than the {limit:,} bytes that a message may have. The task was run, and may "
                    'be billed. Ask for results as URLs (output_type="URL"), or for fewer at a time.'
                )
                error.may_have_run = not call.repeatable
                self._end(call, now, error)

    def _calls_for(self, raw: Item) -> list[Call]:
        """Tell whom an item or an error is for: the call it names, and those who asked about that task."""
        uuid = raw.get("taskUUID")
        if not isinstance(uuid, str):
            return []
        call, kind = self.calls.get(uuid), raw.get("taskType")
        found = [] if call is None else [call]
        if uuid in self._looks:
            # An answer to getResponse has the task's own type; one to getTaskDetails has its own. Details serve a
            # question for results too that was answered with nothing.
            details = kind == Question.DETAILS.value
            found += [
                look
                for look in self._looks[uuid]
                if (look.task_type == Question.DETAILS.value) is details or (details and look.empty_answer)
            ]
        return found

    def _tell_errors(self, touched: Collection[Call], errors: list[Item]) -> list[Item]:
        """Calls that may end with the items of a message take the errors beside them along. Give those."""
        told: list[Item] = []
        for call in touched:
            if errors and call.completion in (Completion.ANSWER, Completion.EXISTING):
                mine = [raw for raw in errors if call in self._calls_for(raw)]
                made = [error_from_wire(raw, task_type=call.task_type, task_uuid=call.uuid) for raw in mine]
                call.errors = made or call.errors
                told += mine
        return told

    def _authenticated(self, item: Item, now: float) -> None:
        if self.state is not State.AUTHENTICATING:
            return
        uuid = item.get("connectionSessionUUID")
        self._seen(Authenticated, now, resumed=uuid is not None and uuid == self.session_uuid)
        self.session_uuid = uuid if isinstance(uuid, str) else None
        self.counts["connections"] += 1
        self._enter(State.READY, now)
        self._proven = False
        self._stray = None
        self._ever_ready = True
        self._last_failure = None
        log.info("connection %d is ready", self.epoch)
        self._resume(now)
        for call in [call for call in self.calls.values() if call.completion is Completion.CONNECTION]:
            self._end(call, now)
        self._pump(now)

    def _error_received(self, raw: Item, failed: dict[Call, list[Item]], told: list[Item], now: float) -> None:
        calls = self._calls_for(raw)
        error = error_from_wire(raw)
        if calls:
            for call in calls:
                if call.state not in (CallState.QUEUED, CallState.RETRYING):
                    failed.setdefault(call, []).append(raw)
        elif raw.get("taskUUID") is None and (
            self.state is State.AUTHENTICATING
            or (self.state is State.READY and isinstance(error, AuthenticationError) and _about_the_key(raw))
        ):
            self._authentication_failed(error, now)
        elif raw not in told:
            # Not even an error without a name is anybody's: a late error of a forgotten task must not end others.
            # But it may be all that is ever said to a call whose time runs out.
            if raw.get("taskUUID") is None:
                self._stray = error.code
            # Its code only: messages may repeat a prompt.
            log.warning(
                "an error for nobody who waits: %s (task %s)", self._word(error.code), self._word(error.task_uuid)
            )

    def _authentication_failed(self, error: TaskError, now: float) -> None:
        self.effects.append(Abort(self.epoch, "authentication failed"))
        if isinstance(error, (AuthenticationError, InsufficientCreditsError)):
            log.warning("the server rejected the API key")
            self._left("the server rejected the API key", now)
            self.session_uuid = None
            self._enter(State.IDLE, now)
            self._end_all(now, lambda call: key_rejected(call, error))
        else:
            if not error.retryable:
                self.session_uuid = None  # it is what the server does not want
            failure = self._connect_error(f"The server said: {error}.", now)
            self.connection_failed(
                self.epoch, failure, now, reason=f"the server said {self._word(error.code)}{self._where()}"
            )

    # ------------------------------------------------------------------ time

    def next_deadline(self) -> float | None:
        """Tell when `tick` is to be called at the latest; `None` when nothing is due, ever."""
        if self._more_to_send:
            return float("-inf")
        due = min(self._until, self._first_timer())
        if self.state is State.READY:
            silence = self._liveness.due(busy=self._in_flight > 0)
            due = min(due, silence)
        return None if due == FOREVER else due

    def tick(self, now: float) -> None:
        """Do what is due. What came in over the network is to be fed before."""
        if now >= self._until:
            if self.state is State.BACKING_OFF:
                self._dial(now)
            else:
                self.effects.append(Abort(self.epoch, "it took too long"))
                limit = self.config.connect_timeout
                self.connection_failed(self.epoch, self._connect_error(f"No connection within {limit:g} s.", now), now)
        if self.state is State.READY:
            busy = self._in_flight > 0
            if now >= self._liveness.due(busy=busy):
                self._liveness.slack = self._upload_time()
            verdict = self._liveness.check(now, busy=busy)
            if verdict == "ping":
                self.effects.append(Send(PING))
            elif verdict:
                # Whoever performs it answers with `connection_lost`, which tells what had not been written.
                what = "the server is silent" if verdict == "silent" else "output makes no progress"
                self.effects.append(Abort(self.epoch, what))
        due = self._due_steps(now)
        if due:
            self._take_steps(due, now)
        elif self._more_to_send:
            self._pump(now)

    def _upload_time(self) -> float:
        """Tell how many seconds large messages may take that the server has not said anything about.

        They may fill the buffers of a proxy, a tunnel or a slow line long after they have left here, and a ping waits
        behind them.
        """
        sizes = (len(call.text) for call in self.calls.values() if call.state is CallState.SENT)
        return min(_BUFFERED, sum(size for size in sizes if size > _LARGE)) / _SLOWEST

    # ------------------------------------------------------------------ those who watch

    def _word(self, value: object) -> str:
        """Make a code, a type or a UUID of the server fit for a log."""
        return plain_word(self.redactor.hide(value) if isinstance(value, str) else value)

    def _seen(self, kind: type[ConnectionEvent], now: float, **facts: Any) -> None:
        if self._watched:
            facts |= {"connection": self.epoch, "elapsed": now - self._since}
            self.effects.append(Happened(kind, facts))

    def _left(self, reason: str, now: float) -> None:
        stage = None if self.state is State.READY else self._stage[0]
        self._seen(Disconnected, now, reason=reason, stage=stage, in_flight=self._in_flight)

    # ------------------------------------------------------------------ states

    def _enter(self, state: State, now: float, *, until: float = FOREVER) -> None:
        self.state = state
        self._since = now
        self._until = until
        if state is not State.READY:
            self._in_flight = 0

    def _dial(self, now: float) -> None:
        self.epoch += 1
        self._stage = ("name lookup", "")
        self._enter(State.CONNECTING, now, until=now + self.config.connect_timeout)
        self.effects.append(Open(self.epoch))

    def _back_off(self, now: float) -> None:
        if self.calls:
            wait = backoff(self._failures, self.config.retry_delay, self._rng)
            self._enter(State.BACKING_OFF, now, until=now + wait)
        else:
            self._enter(State.IDLE, now)  # nobody waits; the next call dials

    def _where(self) -> str:
        stage, host = self._stage
        if self.state not in (State.CONNECTING, State.AUTHENTICATING):
            return ""
        return f", at the stage {stage!r}{f' with {host}' if host else ''}"

    def _connect_error(self, message: str, now: float) -> ConnectionFailedError:
        stage, host = self._stage
        return ConnectionFailedError(
            f"{message[:-1]}{self._where()}.",
            stage=stage,
            host=host,
            elapsed=now - self._since,
        )


def _about_the_key(raw: Item) -> bool:
    return raw.get("taskType") == "authentication" or raw.get("parameter") == "apiKey"
