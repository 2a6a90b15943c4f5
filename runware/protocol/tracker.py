"""Tracking the tasks that the server has, or may have: polls, recovery after a lost connection, and retries.

The server's own answer decides. A task whose outcome is unknown is asked for, first with getResponse, then with
getTaskDetails. Only when the server knows nothing of it is the same message sent again, with the same UUID; if the
server answers `conflictTaskUUID`, the task is running, and is polled. A new UUID is only made after the server has
said that the attempt failed.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Mapping

from runware.errors import (
    AuthenticationError,
    ConflictError,
    InsufficientCreditsError,
    NotFoundError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskError,
    ValidationError,
    error_from_wire,
)
from runware.protocol.call import COUNTS, Call, CallState, Completion, Item, Question, is_acknowledgement
from runware.protocol.call_queue import CallQueue
from runware.protocol.codec import dumps, loads
from runware.protocol.connection import Connection
from runware.protocol.dispatcher import Dispatcher
from runware.protocol.effects import Record, Renew, Send, State, Step
from runware.protocol.exchanges import Exchanges
from runware.protocol.ids import derived_uuid, new_uuid
from runware.protocol.outcomes import incomplete
from runware.protocol.output import Output
from runware.protocol.poll_schedule import next_delay
from runware.protocol.registry import CallRegistry
from runware.protocol.retry import backoff
from runware.protocol.retry_after import LONGEST_RETRY_AFTER
from runware.protocol.task_poller import TaskPoller
from runware.protocol.timers import Timers

__all__ = ["CONFIRM", "PATIENCE", "SETTLE", "TaskTracker"]

log = logging.getLogger("runware.session")

SETTLE = 0.5
"""Seconds of silence after the error of one of several pushed results, after which the others are asked for."""
CONFIRM = 0.3
"""Seconds after an answer that a task is over although results are missing, after which the task is asked for again."""
PATIENCE = 30.0
"""Seconds for which the server may deny a task that it had accepted, or answer polls of it with errors, before that is
taken for its final answer."""
_SLOWEST = 5.0
"""The most seconds between two polls that failed."""
_SENT = CallState.SENT
_QUESTIONS = [question.value for question in Question]
_UNKNOWN_TO_BOTH = 5
"""How often the server must deny a task that was submitted elsewhere, and may not have reached it yet."""
_REFUSALS = (
    AuthenticationError,
    ConflictError,
    InsufficientCreditsError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
"""Errors of a whole task, which the server sends before it runs it. A single result fails with any other."""
_LOST_MEDIA = frozenset(("mediaNotFound", "mediaExpired"))
_REFUSED_PROMPTS = frozenset(("promptBlocked", "contentPolicyViolation"))


class TaskTracker:
    """Follows the calls that the server has, or may have.

    It changes calls through the dispatcher, which ends and queues them, and through their timers.
    """

    def __init__(
        self,
        connection: Connection,
        registry: CallRegistry,
        queue: CallQueue,
        timers: Timers,
        poller: TaskPoller,
        dispatcher: Dispatcher,
        output: Output,
        rng: random.Random,
    ) -> None:
        self._connection = connection
        self._registry = registry
        self._queue = queue
        self._timers = timers
        self._poller = poller
        self._dispatcher = dispatcher
        self._output = output
        self._rng = rng
        self._lists_running = False  # whether the server's answers are known to list results that still run

    # ------------------------------------------------------------------ after a loss, and after the next connection

    def suspend(self, unsent: Iterable[Call], reason: str, now: float) -> None:
        """Prepare every call for the next connection: queue it again, or mark it to be asked for.

        Args:
            unsent: The calls whose message was not written to its last byte.
            reason: Why the connection was lost, in a few words.
            now: The session's time.
        """
        never_written = set(unsent)
        again: list[Call] = []
        for call in self._registry.calls.values():
            if self._output.watched and call.may_run:
                self._output.task_event("Interrupted", call, now, reason=reason)
            if call.poll_outstanding:
                call.polling.outstanding = False
            if call.state is not CallState.RETRYING:
                self._timers.cancel(call)  # the next connection asks for it at once
            if call.state is CallState.SENT:
                if call in never_written or call.repeatable:
                    again.append(call)
                else:
                    call.enter(CallState.RECOVERING)
                    call.polling.question = Question.RESPONSE
        for call in again:
            self._dispatcher.requeue(call)
            if call in never_written:
                call.sends -= 1

    def resume(self, now: float) -> None:
        """Ask at once for everything that the server has or may have: a new connection is ready."""
        theirs = [call for call in self._registry.calls.values() if call.may_run]
        self._queue.in_flight = len(theirs)
        self._poller.poll(sorted(theirs, key=lambda call: call.sequence), now)

    # ------------------------------------------------------------------ exchanges that brought no answer

    def resume_polls(self, exchanges: Exchanges, now: float) -> None:
        """Poll the tasks whose time for that came while requests had to wait."""
        due = [
            call
            for call in self._registry.calls.values()
            if call.state in (CallState.ACCEPTED, CallState.RECOVERING) and not call.timer and not exchanges.of(call)
        ]
        self._poller.poll(sorted(due, key=lambda call: call.sequence), now)

    def outcome_lost(self, call: Call, now: float, retry_after: float | None) -> None:
        """Handle the loss of the answer to a task: ask for it before the same message is sent again.

        Args:
            call: The call.
            now: The session's time.
            retry_after: The seconds that the server asks to wait, if it did.
        """
        if self._output.watched:
            self._output.task_event("Interrupted", call, now, reason="the answer was lost")
        wait = self._pause_before_sending(call, retry_after)
        if call.repeatable or call.completion is Completion.CONNECTION:
            self._queue.release_slot(call)
            call.enter(CallState.RETRYING)
            self._timers.set(call, now + wait)
            return
        call.enter(CallState.RECOVERING)
        call.polling.question = Question.RESPONSE
        self._ask_after(call, now, wait)

    def rest_missing(self, call: Call, now: float) -> None:
        """Handle the end of an answer to a task that does not hold everything: the rest is polled."""
        self._accept(call, now)
        self._poller.poll([call], now)

    def poll_lost(self, call: Call, now: float, retry_after: float | None) -> None:
        """Handle the loss of an answer to a poll."""
        polling = call.polling
        polling.outstanding = False
        polling.failed(now)
        if call.state is CallState.RECOVERING:
            polling.question = polling.question.other
        self._poll_again(call, now, 0.5, retry_after)

    def _pause_before_sending(self, call: Call, retry_after: float | None) -> float:
        """Return how many seconds to wait: none after the first loss, and then longer each time."""
        pause = 0.0 if call.sends <= 1 else backoff(call.sends, 0.5, self._rng)
        return max(min(pause, _SLOWEST), min(retry_after or 0.0, LONGEST_RETRY_AFTER))

    def _ask_after(self, call: Call, now: float, wait: float) -> None:
        if wait:
            self._timers.set(call, now + wait)
        else:
            self._poller.poll([call], now)

    # ------------------------------------------------------------------ polling

    def use_long_timeout(self, call: Call) -> None:
        """Apply the long timeout to a call: another client has sent its task."""
        _extend_deadline(call)

    def ask_for(self, calls: Iterable[Call], now: float) -> None:
        """Ask for tasks of which a message came that could not be read."""
        running = [call for call in calls if call.may_run]
        for call in running:
            self._accept(call, now)
        self._poller.poll(running, now)

    def take_steps(self, due: list[Call], now: float) -> None:
        """Take the next step of calls whose timer was due."""
        to_poll: list[Call] = []
        for call in due:
            if call.state is CallState.RETRYING:
                self._next_attempt(call)
            elif call.state is CallState.SENT:
                # Nothing more came after the error of one result. Only the server knows about the others.
                self._accept(call, now)
                to_poll.append(call)
            elif call.may_run and self._connection.state is State.READY:
                if call.poll_outstanding and call.state is CallState.RECOVERING:
                    call.polling.question = call.polling.question.other  # no answer: the other question may get one
                to_poll.append(call)
        self._poller.poll(to_poll, now)
        self._dispatcher.send_queued(now)

    def _next_attempt(self, call: Call) -> None:
        """Queue the next attempt of a call, or hold it until the store has it."""
        if call.durable is None or call.durable.recorded:
            self._dispatcher.requeue(call)
        else:
            self._dispatcher.hold(call)

    def _poll_later(self, call: Call, now: float) -> None:
        """Poll a task that the server works on after a while."""
        since = self._accept(call, now)
        self._timers.set(call, now + next_delay(now - since, self._rng))

    def _accept(self, call: Call, now: float) -> float:
        """Note that the server has a task, and return since when that is known."""
        if call.state is not CallState.ACCEPTED:
            if not call.may_run:
                self._queue.in_flight += 1  # it was waiting to be sent again
                self._dispatcher.release_hold(call)
            call.enter(CallState.ACCEPTED)
        if call.accepted_at is None:
            call.accepted_at = now
            if call.durable is not None and call.durable.line is not None:
                self._output.effects.append(Record(call, Step.ACCEPTED, call.uuid))
            if self._output.watched:
                self._output.task_event("Accepted", call, now)
        return call.accepted_at

    def _next_delay(self, call: Call, now: float) -> float:
        since = call.started if call.accepted_at is None else call.accepted_at
        return next_delay(now - since, self._rng)

    # ------------------------------------------------------------------ answers

    def result_pushed(self, call: Call, items: list[Item], now: float) -> bool:
        """Take one new result and nothing else, which is the usual message; return whether it was that."""
        connection = self._connection
        if call.state is not _SENT or not call.add_pushed(items, connection.epoch):
            return False
        connection.proven_sequence = call.sequence
        output = self._output
        output.counts["results"] += 1
        if len(call.items) >= call.expected:
            self._dispatcher.end(call, now)
        else:
            output.effects.append(call)
            if output.watched:
                output.task_event("PartialResults", call, now, completed=len(call.items), total=call.expected)
        return True

    def items_received(self, call: Call, items: list[Item], now: float) -> None:
        """Take items that name this call, pushed or in an answer."""
        polling = call.polling
        polled = polling.take()
        polling.succeeded()
        self._connection.proven_sequence = call.sequence
        epoch, counts = self._connection.epoch, self._output.counts
        if call.state is CallState.ACCEPTED and call.still_runs(items, epoch):
            # The most frequent answer.
            polling.incomplete_since = 0.0
            self._lists_running = self._lists_running or (polled and _is_listing(items))
            _extend_deadline(call)
            took = self._poller.took(call, now) if polled else 0.0
            self._timers.set(call, now + next_delay(now - (call.accepted_at or 0.0), self._rng, took=took))
            return
        followed = call.state is not CallState.SENT
        answer = call.completion is Completion.ANSWER
        new = 0 if answer else call.add(items, epoch, cumulative=polled or followed)
        counts["results"] += new
        if call.running:
            _extend_deadline(call)
            self._lists_running = self._lists_running or (polled and _is_listing(items))
        complete = call.complete
        if complete and not call.failures:
            self._dispatcher.end(call, now)
        elif answer:
            call.add_answer(items)
            counts["results"] += len(call.items)
            self._dispatcher.end(call, now, None if call.items or not call.errors else call.errors[-1])
        elif call.completion is Completion.EXISTING and not call.running and (call.items or call.errors):
            call.expected = len(call.items) + len(call.errors)
            self._finish(call, now)
        elif call.completion is Completion.ACKNOWLEDGEMENT and not call.errors:
            call.items = call.items or items[:1]
            self._dispatcher.end(call, now)
        elif complete:
            self._finish(call, now)
        elif polled and call.errors and not call.running and all(item.get("status") for item in items):
            self._reported_over(call, now, whole=False, again=False)
        else:
            self._continue(call, items, now, new=new, followed=followed)

    def _continue(self, call: Call, items: list[Item], now: float, *, new: int, followed: bool) -> None:
        """Report new results of a task of which more is to come, and schedule the next poll if it needs one."""
        if new or call.completion is Completion.STATUSES:
            self._output.effects.append(call)
            if self._output.watched and new:
                self._output.task_event("PartialResults", call, now, completed=len(call.items), total=call.expected)
        if call.completion is Completion.STATUSES and not (followed or _must_be_polled(call, items)):
            return  # its statuses are pushed
        call.polling.incomplete_since = 0.0
        if call.running or followed or "success" in [item.get("status") for item in items]:
            self._poll_later(call, now)  # pushed results have no status: these are the first of a task that is polled
        elif call.failures:
            self._timers.set(call, now + SETTLE)

    def _reported_over(self, call: Call, now: float, *, whole: bool, again: bool) -> None:
        """Handle an answer that lists failed results and no running ones, although some results are missing.

        Messages may cross, and an answer may come in two parts, so the server has to say it twice. A server may also
        list only what is finished (docs/protocol.md, section 7). Unless it is known to list what runs, there is no new
        attempt.

        Args:
            call: The call.
            now: The session's time.
            whole: Whether the answer has the form for a task that failed as a whole.
            again: Whether a new attempt is allowed.
        """
        polling = call.polling
        polling.incomplete_since = polling.incomplete_since or now
        wait = CONFIRM if whole or self._lists_running else PATIENCE
        left = polling.incomplete_since + wait - now
        if left > 0.0:
            self._timers.set(call, now + min(wait, left, max(CONFIRM, self._next_delay(call, now))))
            return
        error: TaskError = call.failures[-1]
        if not self._lists_running:
            others = f"{call.missing} of {call.expected} results are missing, and may still run and be billed."
            error = error.restated(f"{error.message} {others}")
            error.may_have_run = True
        self._fail(call, error, now, again=again and self._lists_running)

    def _finish(self, call: Call, now: float) -> None:
        """End a call that has everything that is to come, with its results or with an error."""
        if call.failures and call.missing:
            self._fail(call, call.failures[-1], now)
        else:
            self._dispatcher.end(call, now)

    def task_failed(self, call: Call, raws: list[Item], now: float, *, running: bool, polled: bool) -> None:
        """Handle the errors in one message that name this call.

        Args:
            call: The call.
            raws: The errors.
            now: The session's time.
            running: Whether the same message says that something of the task still runs.
            polled: Whether a poll was outstanding when items of the same message were taken.
        """
        polling = call.polling
        polled = polling.take() or polled
        errors = [error_from_wire(raw) for raw in raws]
        error, raw = errors[0], raws[0]
        if isinstance(error, RateLimitError):
            self._queue.slow_down(now)
        about, lookup = raw.get("taskType"), call.completion is Completion.ANSWER
        if about in _QUESTIONS and not lookup and not (polled and about == polling.question.value):
            polling.outstanding = polled
            return  # late: of an earlier connection, or answered already, or replaced by the other question
        if polled and self._poll_failed(call, error, raw, now):
            return
        # An error of a poll says nothing about the task, and is no reason for a new attempt. Not every error says what
        # it is about: while a poll is outstanding, it may be the poll.
        again = lookup or (about not in _QUESTIONS and not (polled and about is None and raw.get("status") != "error"))
        if isinstance(error, ConflictError) and (call.sends > 1 or (call.durable is not None and call.durable.stable)):
            # An earlier message with the same task has arrived, of this client or another: the server has the task.
            polling.confirmed = True
            polling.question = Question.RESPONSE
            if call.state is not CallState.RECOVERING:
                call.enter(CallState.RECOVERING)
            self._poller.poll([call], now)
        elif call.several:
            final = raw.get("status") == "error"
            self._some_failed(call, errors, now, polled=polled, final=final, running=running, again=again)
        else:
            self._fail(call, error, now, again=again)

    def _some_failed(
        self, call: Call, errors: list[TaskError], now: float, *, polled: bool, final: bool, running: bool, again: bool
    ) -> None:
        """Handle errors that may be those of single results: the others are billed, and may still arrive."""
        existing = call.completion is Completion.EXISTING  # nothing of it is pushed, so that every error is an answer
        over = polled and not running and (final or existing)
        if not over:
            call.add_pushed_errors(errors)
        elif len(errors) > len(call.errors):
            call.errors = errors
        if call.complete and (not existing or (over and final)):
            self._fail(call, errors[-1], now, again=again)
        elif over:
            # With results beside the errors, the missing ones are not known to have failed: no new attempt.
            alone = len(call.items) == call.prior_results
            self._reported_over(call, now, whole=final and alone, again=again and alone)
        elif call.state is CallState.SENT:
            self._timers.set(call, now + SETTLE)
        elif not running:
            self._timers.set(call, now + self._next_delay(call, now))

    # ------------------------------------------------------------------ failed polls

    def _poll_failed(self, call: Call, error: TaskError, raw: Item, now: float) -> bool:
        """Handle an error that came while a poll was outstanding; return whether it was about the poll."""
        if isinstance(error, NotFoundError):
            self._task_unknown(call, error, now)
            return True
        about_poll = raw.get("taskType") in _QUESTIONS
        passing = error.retryable and isinstance(error, (RateLimitError, ServerError)) and raw.get("status") != "error"
        if not (passing or about_poll):
            return False
        polling = call.polling
        lasted = polling.failed(now)
        if lasted >= PATIENCE and not (about_poll or call.several or isinstance(error, RateLimitError)):
            # It may be the task's own error in an unusual form. That is not certain, so there is no new attempt.
            error.may_have_run = True
            self._fail(call, error, now, again=False)
            return True
        log.debug("a poll of %s failed with %s", call.uuid, error.code)
        if call.state is CallState.RECOVERING:
            polling.question = polling.question.other
        self._poll_again(call, now, 0.5, error.retry_after)
        return True

    def _poll_again(self, call: Call, now: float, pause: float, retry_after: float | None = None) -> None:
        """Poll again after a failed poll, *pause* seconds later for each of them, and not before the server asked."""
        wait = max(pause * call.polling.failed_polls, self._next_delay(call, now))
        self._timers.set(call, now + max(min(wait, _SLOWEST), min(retry_after or 0.0, LONGEST_RETRY_AFTER)))

    def _task_unknown(self, call: Call, error: TaskError, now: float) -> None:
        """Handle the answer that the server does not know a task."""
        polling = call.polling
        lasted = polling.failed(now)
        if polling.question is Question.RESPONSE:
            polling.question = Question.DETAILS
            if call.state is CallState.ACCEPTED and not call.failures:
                self._timers.set(call, now + 0.2)  # right after acceptance the server's own records may lag
            else:
                self._poller.poll([call], now)
            return
        polling.question = Question.RESPONSE
        known = polling.confirmed or len(call.items) > call.prior_results  # the server has the task, or had it
        if call.failures and _is_refusal(call.failures[-1]) and not known:
            self._fail(call, call.failures[-1], now)  # it was refused, and the server keeps nothing of it
        elif call.completion is Completion.EXISTING:
            # Another process may have submitted it a moment ago, and its message may still be on its way.
            if polling.failed_polls >= _UNKNOWN_TO_BOTH:
                self._fail(call, error, now)
            else:
                self._timers.set(call, now + 0.1 * polling.failed_polls)
        elif call.state is CallState.ACCEPTED and lasted >= PATIENCE and not (known or call.failures):
            error.may_have_run = True
            self._fail(call, error, now, again=False)
        elif call.state is CallState.RECOVERING and not (known or call.failures):
            # The server never received the message. With the same UUID, a mistake here cannot run the task twice.
            self._queue.release_slot(call)
            self._dispatcher.requeue(call)
            self._dispatcher.send_queued(now)
        else:
            # A server may deny what it runs, as long as it runs: keep waiting for the results.
            self._poll_again(call, now, 0.2)

    # ------------------------------------------------------------------ details, and empty answers

    def details_received(self, call: Call, item: Item, now: float) -> None:
        """Handle the answer to getTaskDetails for one of the client's own tasks, in either of its forms."""
        items, errors = _parts_of(item)
        polling = call.polling
        polling.confirmed = True  # the server has it, so it is never sent again
        polled = polling.outstanding
        if items:
            # Details are those of a task that is over: they are results, not an acknowledgement.
            failed_polls = polling.failed_polls
            self.items_received(call, items, now)
            if call.state is CallState.DONE:
                return
            call.polling.failed_polls = failed_polls
        if not polled:
            return  # late: it was answered already, or the question is of an earlier connection
        call.polling.outstanding = False
        if errors:
            failed = [error_from_wire(raw, task_type=call.task_type, task_uuid=call.uuid) for raw in errors]
            if len(failed) > len(call.errors):
                call.errors = failed
            if len(call.items) + len(failed) >= call.expected:
                self._fail(call, failed[-1], now)
                return
            # They say nothing about what is missing; getResponse may.
        elif items:
            return  # `items_received` has scheduled what comes next
        call.polling.question = call.polling.question.other
        self._poll_later(call, now)

    def lookup_details_received(self, lookup: Call, item: Item, now: float) -> None:
        """End a caller's getResponse, which had been answered with nothing, with the details of its task."""
        items, errors = _parts_of(item)
        lookup.errors = [error_from_wire(raw, task_uuid=lookup.uuid) for raw in errors]
        lookup.add_answer(items)
        self._dispatcher.end(lookup, now, lookup.errors[-1] if lookup.errors and not lookup.items else None)

    def empty_answer_received(self, now: float, *, dry_run: bool) -> None:
        """Handle an empty answer, which names no task: whatever it was meant for goes on, and is asked for again.

        Args:
            now: The session's time.
            dry_run: Whether an empty answer means that the oldest task is valid.
        """
        for group in list(self._registry.lookups.values()):
            for lookup in group:
                if lookup.state is CallState.SENT and not lookup.polling.empty_answer:
                    lookup.polling.empty_answer = True
                    if lookup.task_type == Question.RESPONSE.value:
                        # There may be nothing to report of its task yet. The details of a task carry its UUID.
                        details = [{"taskType": Question.DETAILS.value, "taskUUID": lookup.uuid}]
                        self._output.effects.append(Send(dumps(details)))
        if dry_run and self._dry_run_passed(now):
            return
        call = self._timers.oldest_poll()
        if call is not None:
            # Taken for the answer to the oldest poll, so that the next one goes out as early as after another answer.
            self.poll_was_empty(call, now)

    def poll_was_empty(self, call: Call, now: float) -> None:
        """Handle an answer to a poll that holds nothing, which says nothing about the task."""
        polling = call.polling
        polling.outstanding = False
        last = polling.question is Question.DETAILS
        if call.state is not CallState.ACCEPTED or last:
            polling.question = polling.question.other
        if call.state is CallState.ACCEPTED or last:
            self._timers.set(call, now + self._next_delay(call, now))
        else:
            self._poller.poll([call], now)

    def _dry_run_passed(self, now: float) -> bool:
        """End the oldest task of a dry run as valid, and return whether there was one."""
        sent = [call for call in self._registry.calls.values() if call.state is _SENT]
        if not sent:
            return False
        self.end_valid(min(sent, key=lambda call: call.sequence), now)
        return True

    def end_valid(self, call: Call, now: float) -> None:
        """End a call of a dry run whose task the server finds valid."""
        call.items = [*call.items, *([{"taskType": call.task_type, "taskUUID": call.uuid}] * call.missing)]
        self._dispatcher.end(call, now)

    # ------------------------------------------------------------------ retries

    def _fail(self, call: Call, error: RunwareError, now: float, *, again: bool = True) -> None:
        """Retry a call whose attempt has failed by the server's own word, unless *again* forbids it, or end it."""
        if call.durable is not None and _has_lost_inputs(call, error):
            self._renew_inputs(call, error)
            return
        wait = None
        retries = call.policy
        if again and retries is not None and isinstance(error, TaskError) and call.can_try_again:
            try:
                wait = retries.wait_before_next(
                    error, attempt=call.attempt, started=call.started, now=now, rng=self._rng
                )
            except Exception:  # one caller's policy must not affect other calls
                log.exception("the retry policy of %s raised; it is not tried again", call.task_type)
        if wait is not None and error.retry_after is not None:
            wait = max(wait, min(error.retry_after, LONGEST_RETRY_AFTER))
        if wait is not None and now + wait < call.deadline:
            self._retry_later(call, error, now, wait)
            return
        if call.items and call.completion is not Completion.STATUSES:
            error = incomplete(call, error)
        self._dispatcher.end(call, now, error)

    def _retry_later(self, call: Call, error: RunwareError, now: float, wait: float) -> None:
        """Start the next attempt in *wait* seconds."""
        log.info("attempt %d of %s failed (%s), next in %.2f s", call.attempt, call.uuid, error.code, wait)
        output = self._output
        output.counts["retries"] += 1
        if output.watched:
            output.task_event("Retrying", call, now, error=type(error).__name__, code=error.code, delay=wait)
        self._fail_attempt(call, error)
        self._timers.set(call, now + wait)

    def _fail_attempt(self, call: Call, error: RunwareError) -> None:
        """End an attempt that has failed, and prepare the next one."""
        call.attempts = [*(call.attempts or ()), f"{call.uuid}: {error.code or type(error).__name__}"]
        self._queue.release_slot(call)
        if call.completion is not Completion.ANSWER:  # a lookup stays the same, and is about the same task
            self._renew(call)
            if (durable := call.durable) is not None and durable.line is not None:
                durable.recorded = False
                self._output.effects.append(Record(call, Step.TASK, call.uuid))
        call.enter(CallState.RETRYING)
        call.begin_attempt()

    def _renew_inputs(self, call: Call, error: RunwareError) -> None:
        """Have the media of a task stored again that was refused because the platform has forgotten it."""
        durable = call.durable
        assert durable is not None
        assert durable.inputs is not None
        log.info("an input of %s is not stored any more; it is stored again", call.uuid)
        self._output.effects.append(Renew(call, durable.inputs))
        durable.inputs = None  # once
        self._fail_attempt(call, error)

    def inputs_renewed(self, call: Call, uuids: Mapping[str, str]) -> None:
        """Send a task with the media that was stored again."""
        if call.state is not CallState.RETRYING or call.timer:
            return
        for old, new in uuids.items():
            call.text = call.text.replace(old.encode(), new.encode())
        self._next_attempt(call)

    def _renew(self, call: Call) -> None:
        """Make the message of the next attempt: a new task for the server, for the results that are missing."""
        durable = call.durable
        if durable is not None and durable.line is not None:
            durable.stable = True  # if another client follows the task by mistake, both must make the same next attempt
        stable = durable is not None and durable.stable
        self.become(call, derived_uuid(call.uuid) if stable else new_uuid(self._rng))

    def become(self, call: Call, uuid: str) -> None:
        """Make a call that of another attempt, with this UUID."""
        if call.text:
            task = loads(call.text)[0]
            task["taskUUID"] = uuid
            for count in COUNTS:
                if count in task:
                    task[count] = call.missing
            call.text = dumps([task])
        self._registry.rename(call, uuid)


def _extend_deadline(call: Call) -> None:
    """Apply the long timeout to a call: the server has said that it works on the task."""
    call.deadline = max(call.deadline, call.started + call.long_timeout)


def _must_be_polled(call: Call, items: list[Item]) -> bool:
    """Return whether a call's statuses are not pushed, so that the server has to be polled."""
    return all(map(is_acknowledgement, items)) and loads(call.text)[0].get("deliveryMethod") == "async"


def _parts_of(details: Item) -> tuple[list[Item], list[Item]]:
    """Return the items and the errors in an answer to getTaskDetails."""
    response = details.get("response")
    items: list[Item] = []
    errors: list[Item] = []
    for part in _objects(response):
        items += _objects(part.get("data"))
        errors += _objects(part.get("errors")) + _objects(part.get("error"))
    return items, errors


def _objects(value: object) -> list[Item]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _is_listing(items: list[Item]) -> bool:
    """Return whether items are an answer that lists results by their status, rather than an acknowledgement."""
    return all(item.get("status") for item in items)


def _has_lost_inputs(call: Call, error: RunwareError) -> bool:
    """Return whether a task was refused because the platform does not have media any more that it names.

    Which code it uses then is not documented, so a refusal that repeats the UUID of such an input counts too.
    """
    inputs = None if call.durable is None else call.durable.inputs
    if inputs is None or call.items or not isinstance(error, (NotFoundError, ValidationError)):
        return False
    if error.code in _LOST_MEDIA:
        return True
    said = f"{error.message} {error.raw}"
    return any(uuid in said for uuid in inputs.uuids)


def _is_refusal(error: TaskError) -> bool:
    return isinstance(error, _REFUSALS) or error.code in _REFUSED_PROMPTS
