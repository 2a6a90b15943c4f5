"""What becomes of a task once the server may have it: following, asking again after a loss, trying again.

The server's word is what counts. A task whose outcome is unknown is asked for, first with getResponse, then with
getTaskDetails; only when the server knows nothing of it is the same message sent again, with the same UUID, and when
that answers `conflictTaskUUID` it is running, and is followed. A new UUID is only made after the server's own word
that the attempt failed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

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
from runware.events import Accepted, PartialResults, Retrying
from runware.protocol.call import COUNTS, Call, CallState, Completion, Item, Question, is_acknowledgement
from runware.protocol.call_queue import Book
from runware.protocol.codec import dumps, loads
from runware.protocol.effects import Send, State
from runware.protocol.ids import new_uuid
from runware.protocol.outcomes import incomplete
from runware.protocol.poll_schedule import ANSWER_TIMEOUT, next_delay, question_frames
from runware.protocol.retry import Retries

__all__ = ["Following"]

log = logging.getLogger("runware.session")

SETTLE = 0.5
"""Seconds of silence after the error of one of several pushed results, after which the others are asked for."""
CONFIRM = 0.3
"""Seconds after an answer that a task is over although results are missing, after which that is asked once more."""
PATIENCE = 30.0
"""Seconds for which the server may deny a task that it had accepted, or answer questions about it with errors, before
that is taken for its last word."""
_SLOWEST = 5.0
"""The most seconds between two questions that met with trouble."""
_SENT = CallState.SENT
_QUESTIONS = [question.value for question in Question]
_UNKNOWN_TO_BOTH = 5
"""How often the server must deny a task that was submitted elsewhere, which may be on its way to it."""
_REFUSALS = (
    AuthenticationError,
    ConflictError,
    InsufficientCreditsError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
"""What the server says of a whole task before it runs. What a result ended with is anything else."""
_REFUSED_PROMPTS = frozenset(("promptBlocked", "contentPolicyViolation"))


class Following(Book):
    """The calls that the server has, or may have."""

    # ------------------------------------------------------------------ after a loss, and after the next connection

    def _suspend(self, unsent: Iterable[Call]) -> set[Call]:
        """The connection is gone: sort the calls, and tell those whose message can simply be sent again."""
        never_written = set(unsent)
        again: set[Call] = set()
        for call in self.calls.values():
            call.asked = False
            if call.state is not CallState.RETRYING:
                self._forget_step(call)  # it is asked for as soon as the connection stands again
            if call.state is CallState.SENT:
                if call in never_written or call.repeatable:
                    again.add(call)
                else:
                    call.state = CallState.RECOVERING
                    call.question = Question.RESPONSE
        for call in again:
            call.state = CallState.QUEUED
            if call in never_written:
                call.sends -= 1
        self._in_flight = 0
        return again

    def _resume(self, now: float) -> None:
        """The connection stands again: ask at once for everything the server has or may have."""
        theirs = [call for call in self.calls.values() if call.may_run]
        self._in_flight = len(theirs)
        self._ask(sorted(theirs, key=lambda call: call.turn), now)

    # ------------------------------------------------------------------ asking

    def _ask(self, calls: list[Call], now: float) -> None:
        if not calls or self.state is not State.READY:
            return  # once it is ready, everything is asked for
        due = now + ANSWER_TIMEOUT
        for call in calls:
            self._forget_step(call)
            call.asked = True
            call.due = due
            self._questions.append((due, 0, call))
        self.counts["questions"] += len(calls)
        self.effects.extend(map(Send, question_frames(calls)))

    def _take_steps(self, due: list[Call], now: float) -> None:
        """Do what is due for these calls."""
        to_ask: list[Call] = []
        for call in due:
            if call.state is CallState.RETRYING:
                self._requeue(call)
            elif call.state is CallState.SENT:
                # Nothing more came after the error of one result. Only the server can tell what the others do.
                self._accept(call, now)
                to_ask.append(call)
            elif call.may_run and self.state is State.READY:
                if call.asked and call.state is CallState.RECOVERING:
                    call.question = _other(call.question)  # no answer: perhaps to the other question
                to_ask.append(call)
        self._ask(to_ask, now)
        self._pump(now)

    def _follow(self, call: Call, now: float) -> None:
        """The server works on a task: ask again after a while."""
        since = self._accept(call, now)
        self._step_at(call, now + next_delay(now - since, self._rng))

    def _accept(self, call: Call, now: float) -> float:
        """The server has a task. Give the time since when that is known."""
        if not call.may_run:
            self._in_flight += 1  # it was waiting to be sent again
        call.state = CallState.ACCEPTED
        if call.accepted_at is None:
            call.accepted_at = now
            if self._watched:
                self._happened(Accepted, call, now)
        return call.accepted_at

    # ------------------------------------------------------------------ answers

    def _result_pushed(self, call: Call, items: list[Item], now: float) -> bool:
        """Tell whether what came in was one new result and nothing else, as it mostly is; then, that is seen to."""
        if call.state is not _SENT or not call.add_pushed(items, self.epoch):
            return False
        self._heard(call)
        self.counts["results"] += 1
        if len(call.items) >= call.expected:
            self._end(call, now)
        else:
            self.effects.append(call)
            if self._watched:
                self._happened(PartialResults, call, now, completed=len(call.items), total=call.expected)
        return True

    def _items_received(self, call: Call, items: list[Item], now: float) -> None:
        """Items that name this call came in, pushed or as an answer."""
        asked, call.asked = call.asked, False
        self._heard(call)
        if call.state is CallState.ACCEPTED and call.still_runs(items, self.epoch):
            # What most answers say, and nothing else.
            call.over_since = 0.0
            self._lists_running = self._lists_running or asked
            self._extend(call)
            self._step_at(call, now + next_delay(now - (call.accepted_at or 0.0), self._rng))
            return
        followed = call.state is not CallState.SENT
        answer = call.completion is Completion.ANSWER
        new = 0 if answer else call.add(items, self.epoch, cumulative=asked or followed)
        self.counts["results"] += new
        if call.running:
            self._extend(call)
            self._lists_running = self._lists_running or (asked and any(item.get("status") for item in items))
        complete = call.complete
        if complete and not call.failures:
            self._end(call, now)
        elif answer:
            call.add_answer(items)
            self.counts["results"] += len(call.items)
            self._end(call, now, None if call.items or not call.errors else call.errors[-1])
        elif call.completion is Completion.EXISTING and not call.running and (call.items or call.errors):
            call.expected = len(call.items) + len(call.errors)
            self._finish(call, now)
        elif call.completion is Completion.ACKNOWLEDGEMENT and not call.errors:
            call.items = call.items or items[:1]
            self._end(call, now)
        elif complete:
            self._finish(call, now)
        elif asked and call.errors and not call.running and all(item.get("status") for item in items):
            self._said_to_be_over(call, now, whole=False, again=False)
        else:
            self._goes_on(call, items, now, new=new, followed=followed)

    def _goes_on(self, call: Call, items: list[Item], now: float, *, new: int, followed: bool) -> None:
        """Report what is new of a task of which more is to come, and see to it that the server is asked for it."""
        if new or call.completion is Completion.STATUSES:
            self.effects.append(call)
            if self._watched and new:
                self._happened(PartialResults, call, now, completed=len(call.items), total=call.expected)
        if call.completion is Completion.STATUSES and not (followed or _is_to_be_polled(call, items)):
            return  # its statuses are pushed
        call.over_since = 0.0
        if call.running or followed or "success" in [item.get("status") for item in items]:
            self._follow(call, now)  # what is pushed has no status: these are the first of a task that is polled
        elif call.failures:
            self._step_at(call, now + SETTLE)

    def _heard(self, call: Call) -> None:
        """The server has told something of a task, and not only trouble with a question about it."""
        call.troubles = 0
        call.troubled_at = 0.0
        self._proven = True

    @staticmethod
    def _met_trouble(call: Call, now: float) -> float:
        """Count an answer that did not help, and return for how many seconds there were no others."""
        call.troubles += 1
        if not call.troubled_at:
            call.troubled_at = now
        return now - call.troubled_at

    def _said_to_be_over(self, call: Call, now: float, *, whole: bool, again: bool) -> None:
        """An answer says that some results failed, and lists no other that runs, although some are missing.

        Messages may cross, and an answer may come in two parts, so it has to be said twice. And a server may list only
        what is finished (open question Q9). Unless it is known to list what runs, nothing is bought on it.

        Args:
            call: The call.
            now: The session's time.
            whole: Whether it is said in the form that tells of a task that failed as a whole.
            again: Whether a new attempt is allowed.
        """
        call.over_since = call.over_since or now
        wait = CONFIRM if whole or self._lists_running else PATIENCE
        left = call.over_since + wait - now
        if left > 0.0:
            self._step_at(call, now + min(wait, left, max(CONFIRM, next_delay(now - self._since_of(call), self._rng))))
            return
        error: TaskError = call.failures[-1]
        if not self._lists_running:
            others = f"Of {call.missing} results nothing else is known; those may still run and be billed."
            error = error.restated(f"{error.message} {others}")
            error.may_have_run = True
        self._fail(call, error, now, again=again and self._lists_running)

    def _finish(self, call: Call, now: float) -> None:
        """A call has everything that is to come: end it, well or not."""
        if call.failures and call.missing:
            self._fail(call, call.failures[-1], now)
        else:
            self._end(call, now)

    def _task_failed(self, call: Call, raws: list[Item], now: float, *, running: bool) -> None:
        """Errors that name this call came in, in one message.

        Args:
            call: The call.
            raws: The errors.
            now: The session's time.
            running: Whether the same message says that something of the task still runs.
        """
        asked, call.asked = call.asked, False
        errors = [error_from_wire(raw) for raw in raws]
        error, raw = errors[0], raws[0]
        if isinstance(error, RateLimitError):
            self._slow_down(now)
        about, asks = raw.get("taskType"), call.completion is Completion.ANSWER
        if about in _QUESTIONS and not asks and not (asked and about == call.question.value):
            call.asked = asked
            return  # late: of an earlier connection, or answered already, or given up for the other question
        if asked and self._answer_failed(call, error, raw, now):
            return
        # Trouble with a question is no word on the task, which is not bought again then. Not every error says what it
        # is about: while a question is open, it may be that.
        again = asks or (about not in _QUESTIONS and not (asked and about is None and raw.get("status") != "error"))
        if isinstance(error, ConflictError) and call.sends > 1:
            # Our own message was the first: the server has the task.
            call.conflicted = True
            call.state = CallState.RECOVERING
            call.question = Question.RESPONSE
            self._ask([call], now)
        elif call.several:
            final = raw.get("status") == "error"
            self._some_failed(call, errors, now, asked=asked, final=final, running=running, again=again)
        else:
            self._fail(call, error, now, again=again)

    def _some_failed(
        self, call: Call, errors: list[TaskError], now: float, *, asked: bool, final: bool, running: bool, again: bool
    ) -> None:
        """Take in errors that may be those of single results: the others are paid for, and may be on their way."""
        existing = call.completion is Completion.EXISTING  # nothing is pushed of it, so that every error is an answer
        over = asked and not running and (final or existing)
        if not over:
            call.add_pushed_errors(errors)
        elif len(errors) > len(call.errors):
            call.errors = errors
        if call.complete and (not existing or (over and final)):
            self._fail(call, errors[-1], now, again=again)
        elif over:
            # With results beside the errors, what is missing is not said to have failed, and is not bought again.
            alone = len(call.items) == call.before
            self._said_to_be_over(call, now, whole=final and alone, again=again and alone)
        elif call.state is CallState.SENT:
            self._step_at(call, now + SETTLE)
        elif not running:
            self._step_at(call, now + next_delay(now - self._since_of(call), self._rng))

    def _answer_failed(self, call: Call, error: TaskError, raw: Item, now: float) -> bool:
        """An error came while a question was open. Tell whether it was about the question, not the task."""
        if isinstance(error, NotFoundError):
            self._unknown(call, error, now)
            return True
        about_question = raw.get("taskType") in _QUESTIONS
        passing = error.retryable and isinstance(error, (RateLimitError, ServerError)) and raw.get("status") != "error"
        if not (passing or about_question):
            return False
        lasted = self._met_trouble(call, now)
        if lasted >= PATIENCE and not (about_question or call.several or isinstance(error, RateLimitError)):
            # It may be the task's own, told in an odd way. That is not sure, so nothing is bought on it.
            error.may_have_run = True
            self._fail(call, error, now, again=False)
            return True
        log.debug("asking for %s met %s", call.uuid, error.code)
        if call.state is CallState.RECOVERING:
            call.question = _other(call.question)
        wait = max(0.5 * call.troubles, next_delay(now - self._since_of(call), self._rng))
        self._step_at(call, now + min(wait, _SLOWEST))
        return True

    @staticmethod
    def _since_of(call: Call) -> float:
        return call.started if call.accepted_at is None else call.accepted_at

    def _unknown(self, call: Call, error: TaskError, now: float) -> None:
        """The server says that it does not know a task that we asked for."""
        denied = self._met_trouble(call, now)
        if call.question is Question.RESPONSE:
            call.question = Question.DETAILS
            if call.state is CallState.ACCEPTED and not call.failures:
                self._step_at(call, now + 0.2)  # right after it was accepted, the server's own memory may lag
            else:
                self._ask([call], now)
            return
        call.question = Question.RESPONSE
        known = call.conflicted or len(call.items) > call.before  # whatever it says now, it has the task, or had it
        if call.failures and _is_refusal(call.failures[-1]) and not known:
            self._fail(call, call.failures[-1], now)  # it said no, and keeps nothing of it
        elif call.completion is Completion.EXISTING:
            # It may have been submitted a moment ago, by somebody whose message is still on its way.
            if call.troubles >= _UNKNOWN_TO_BOTH:
                self._fail(call, error, now)
            else:
                self._step_at(call, now + 0.1 * call.troubles)
        elif call.state is CallState.ACCEPTED and denied >= PATIENCE and not (known or call.failures):
            error.may_have_run = True
            self._fail(call, error, now, again=False)
        elif call.state is CallState.RECOVERING and not (known or call.failures):
            # It never got the message. The same UUID goes out, so that a mistake here cannot buy twice.
            self._land(call)
            self._requeue(call)
            self._pump(now)
        else:
            # A server may deny what it runs, as long as it runs: what comes of it is waited for.
            wait = max(0.2 * call.troubles, next_delay(now - self._since_of(call), self._rng))
            self._step_at(call, now + min(wait, _SLOWEST))

    def _details_received(self, call: Call, item: Item, now: float) -> None:
        """The answer to getTaskDetails for one of our own tasks, in either of its forms."""
        items, errors = _parts_of(item)
        call.conflicted = True  # it is known there, so it is never sent again
        asked = call.asked
        if items:
            # The details are those of a task that is through: they are results, not an acknowledgement.
            troubles = call.troubles
            self._items_received(call, items, now)
            if call.state is CallState.DONE:
                return
            call.troubles = troubles
        if not asked:
            return  # late: it was answered already, or asked on an earlier connection
        call.asked = False
        if errors:
            failed = [error_from_wire(raw, task_type=call.task_type, task_uuid=call.uuid) for raw in errors]
            if len(failed) > len(call.errors):
                call.errors = failed
            if len(call.items) + len(failed) >= call.expected:
                self._fail(call, failed[-1], now)
                return
            # Of what is missing it says nothing; perhaps getResponse does.
        elif items:
            return  # it was seen to with them
        call.question = _other(call.question)
        self._follow(call, now)

    def _look_answered(self, look: Call, item: Item, now: float) -> None:
        """The details of a task came for a caller's getResponse that had been answered with nothing."""
        items, errors = _parts_of(item)
        look.errors = [error_from_wire(raw, task_uuid=look.uuid) for raw in errors]
        look.add_answer(items)
        self._end(look, now, look.errors[-1] if look.errors and not look.items else None)

    def _answered_nothing(self, now: float) -> None:
        """An empty answer names nobody, and says nothing: whatever it was meant for goes on, and is asked for again."""
        for group in list(self._looks.values()):
            for look in group:
                if look.state is CallState.SENT and not look.empty_answer:
                    look.empty_answer = True
                    if look.task_type == Question.RESPONSE.value:
                        # Perhaps there is nothing to tell of its task yet. The details of the task bear its name.
                        details = [{"taskType": Question.DETAILS.value, "taskUUID": look.uuid}]
                        self.effects.append(Send(dumps(details)))
        if self.config.dry_run and self._checked(now):
            return
        self._first_timer()  # lets go of what was answered
        call = next((call for due, _, call in self._questions if call.due == due and call.asked and call.may_run), None)
        if call is None:
            return
        # Taken for the answer to the oldest question, so that the next one is asked as early as after another answer.
        call.asked = False
        last = call.question is Question.DETAILS
        if call.state is not CallState.ACCEPTED or last:
            call.question = _other(call.question)
        if call.state is CallState.ACCEPTED or last:
            self._step_at(call, now + next_delay(now - self._since_of(call), self._rng))
        else:
            self._ask([call], now)

    def _checked(self, now: float) -> bool:
        """Tell whether an empty answer is that of a dry run: the oldest task is in order, and nothing was made."""
        sent = [call for call in self.calls.values() if call.state is _SENT]
        if not sent:
            return False
        call = min(sent, key=lambda call: call.turn)
        call.items = [{"taskType": call.task_type, "taskUUID": call.uuid}] * call.expected
        self._end(call, now)
        return True

    # ------------------------------------------------------------------ trying again

    def _fail(self, call: Call, error: RunwareError, now: float, *, again: bool = True) -> None:
        """The server has said that an attempt failed: try again, unless *again* forbids it, or end the call."""
        wait = None
        retries: Retries | None = call.policy
        if again and retries is not None and isinstance(error, TaskError) and call.can_try_again:
            try:
                wait = retries.wait_before_next(
                    error, attempt=call.attempt, started=call.started, now=now, rng=self._rng
                )
            except Exception:  # one caller's policy must not become everybody's trouble
                log.exception("the retry policy of %s raised; it is not tried again", call.task_type)
        if wait is not None and now + wait < call.deadline:
            self._try_again(call, error, now, wait)
            return
        if call.items and call.completion is not Completion.STATUSES:
            error = incomplete(call, error)
        self._end(call, now, error)

    def _try_again(self, call: Call, error: RunwareError, now: float, wait: float) -> None:
        log.info("attempt %d of %s failed (%s), next in %.2f s", call.attempt, call.uuid, error.code, wait)
        self.counts["retries"] += 1
        if self._watched:
            self._happened(Retrying, call, now, error=type(error).__name__, code=error.code, delay=wait)
        call.attempts = [*(call.attempts or ()), f"{call.uuid}: {error.code or type(error).__name__}"]
        self._land(call)
        if call.completion is not Completion.ANSWER:  # a question stays the same, and is about the same task
            self._rename(call)
        call.attempt += 1
        call.before = len(call.items)
        call.known = None
        call.sends = 0
        call.state = CallState.RETRYING
        call.errors = call.pushed_errors = ()
        call.accepted_at = None
        call.asked = call.conflicted = call.running = False
        call.troubles = 0
        call.troubled_at = call.over_since = 0.0
        call.question = Question.RESPONSE
        self._step_at(call, now + wait)

    def _rename(self, call: Call) -> None:
        """A new attempt is a new task to the server, for as many results as are missing."""
        del self.calls[call.key]
        task = loads(call.text)[0]
        call.uuid = call.key = task["taskUUID"] = new_uuid(self._rng)
        for count in COUNTS:
            if count in task:
                task[count] = call.missing
        call.text = dumps([task])
        self.calls[call.key] = call


def _is_to_be_polled(call: Call, items: list[Item]) -> bool:
    """Tell whether statuses are not pushed but have to be asked for."""
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


def _is_refusal(error: TaskError) -> bool:
    return isinstance(error, _REFUSALS) or error.code in _REFUSED_PROMPTS


def _other(question: Question) -> Question:
    return Question.DETAILS if question is Question.RESPONSE else Question.RESPONSE
