"""What becomes of a task once the server may have it: following, asking again after a loss, trying again.

The server's word is what counts. A task whose outcome is unknown is asked for, first with getResponse, then with
getTaskDetails; only when the server knows nothing of it is the same message sent again, with the same UUID, and when
that answers `conflictTaskUUID` it is running, and is followed. A new UUID is only made after the server's own word
that the attempt failed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from runware._engine.book import Book
from runware._engine.calls import COUNTS, Call, CallState, Completion, Item, Question, is_acknowledgement
from runware._engine.codec import dumps, loads
from runware._engine.effects import Send, State
from runware._engine.ids import new_uuid
from runware._engine.polling import ANSWER_TIMEOUT, next_delay, question_frames
from runware._engine.retry import Retries
from runware.errors import (
    ConflictError,
    ContentModerationError,
    IncompleteResultsError,
    NotFoundError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskError,
    error_from_wire,
)
from runware.events import Accepted, PartialResults, Retrying

__all__ = ["Following"]

log = logging.getLogger("runware.session")

SETTLE = 0.5
"""Seconds of silence after the error of one of several pushed results, after which the others are asked for."""
_SENT = CallState.SENT
_QUESTIONS = [question.value for question in Question]
_TROUBLES = 5
"""Answers in a row that only tell of trouble, after which the trouble is taken for the task's own."""


class Following(Book):
    """The calls that the server has, or may have."""

    # ------------------------------------------------------------------ after a loss, and after the next connection

    def _suspend(self, unsent: Iterable[Call]) -> set[Call]:
        """The connection is gone: sort the calls, and tell those whose message can simply be sent again."""
        never_written = set(unsent)
        again: set[Call] = set()
        for call in self.calls.values():
            call.asked = False
            self._put_in_doubt(call)
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
        if call.state is CallState.SENT:
            self._put_in_doubt(call)
        call.state = CallState.ACCEPTED
        if call.accepted_at is None:
            call.accepted_at = now
            if self._watched:
                self._happened(Accepted, call, now)
        return call.accepted_at

    @staticmethod
    def _put_in_doubt(call: Call) -> None:
        """From here on answers count, which repeat the errors that were pushed."""
        if call.several and call.errors:
            call.doubt, call.errors = call.errors[-1], ()

    # ------------------------------------------------------------------ answers

    def _result_pushed(self, call: Call, items: list[Item], now: float) -> bool:
        """Tell whether what came in was one new result and nothing else, as it mostly is; then, that is seen to."""
        if call.state is not _SENT or not call.add_pushed(items, self.epoch):
            return False
        call.troubles = 0
        self._proven = True
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
        call.troubles = 0
        self._proven = True
        if call.state is CallState.ACCEPTED and call.still_runs(items, self.epoch):
            # What most answers say, and nothing else.
            self._step_at(call, now + next_delay(now - (call.accepted_at or 0.0), self._rng))
            return
        followed = call.state is not CallState.SENT
        doubtful = bool(call.errors) and not followed  # errors that were pushed may have been pushed twice
        answer = call.completion is Completion.ANSWER
        new = 0 if answer else call.add(items, self.epoch, cumulative=asked or followed)
        self.counts["results"] += new
        complete = call.complete
        if complete and not call.errors:
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
        elif complete and not (doubtful and call.missing):
            self._finish(call, now)
        elif asked and call.errors and not call.running and all(item.get("status") for item in items):
            # That was all there is. What is missing is not said to have failed, so it is not bought again.
            self._fail(call, call.errors[-1], now, again=False)
        else:
            if new or call.completion is Completion.STATUSES:
                self.effects.append(call)
                if self._watched and new:
                    self._happened(PartialResults, call, now, completed=len(call.items), total=call.expected)
            if call.completion is Completion.STATUSES and not (followed or _is_to_be_polled(call, items)):
                return  # its statuses are pushed
            if call.running or followed or "success" in [item.get("status") for item in items]:
                self._follow(call, now)  # what is pushed has no status: these are the first of a task that is polled
            elif call.errors:
                self._step_at(call, now if complete else now + SETTLE)

    def _finish(self, call: Call, now: float) -> None:
        """A call has everything that is to come: end it, well or not."""
        if call.errors and call.missing:
            self._fail(call, call.errors[-1], now)
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
        elif call.several and all(one.retryable or isinstance(one, ContentModerationError) for one in errors):
            final = raw.get("status") == "error"
            self._some_failed(call, errors, now, final=final, running=running, asked=asked, again=again)
        else:
            self._fail(call, error, now, again=again)

    def _some_failed(
        self, call: Call, errors: list[TaskError], now: float, *, final: bool, running: bool, asked: bool, again: bool
    ) -> None:
        """The errors may be those of single results: the others are paid for, and may be on their way."""
        if call.state is CallState.SENT:
            doubtful = bool(call.errors)
            call.errors = [*call.errors, *errors]
            if call.complete and not doubtful:
                self._finish(call, now)
            else:
                self._step_at(call, now if call.complete else now + SETTLE)
        elif running:
            call.doubt = errors[-1]  # the answer that says it is over will tell it again
        elif final or (asked and call.troubles >= _TROUBLES):
            call.errors = errors
            self._fail(call, errors[-1], now, again=again and (final or call.complete))
        else:  # pushed, or an answer that does not say whether it is the last
            call.doubt = errors[-1]
            call.troubles += asked  # what is pushed may be the same error over and over
            since = call.accepted_at if call.accepted_at is not None else call.started
            self._step_at(call, now + next_delay(now - since, self._rng))

    def _answer_failed(self, call: Call, error: TaskError, raw: Item, now: float) -> bool:
        """An error came while a question was open. Tell whether it was about the question, not the task."""
        if isinstance(error, NotFoundError):
            self._unknown(call, error, now)
            return True
        transient = isinstance(error, (RateLimitError, ServerError)) and raw.get("status") != "error"
        if not (transient or raw.get("taskType") in _QUESTIONS):
            return False
        call.troubles += 1
        if call.troubles >= _TROUBLES and not isinstance(error, RateLimitError):
            return False
        log.debug("asking for %s met %s", call.uuid, error.code)
        if call.state is CallState.RECOVERING:
            call.question = _other(call.question)
        since = call.accepted_at if call.accepted_at is not None else call.started
        self._step_at(call, now + max(0.5 * call.troubles, next_delay(now - since, self._rng)))
        return True

    def _unknown(self, call: Call, error: TaskError, now: float) -> None:
        """The server does not know a task that we asked for."""
        last = call.question is Question.DETAILS
        if call.doubt is not None and last and not call.conflicted:
            self._fail(call, call.doubt, now)  # it said no, and keeps nothing of it
        elif call.state is CallState.ACCEPTED:
            # It had accepted it. Right after, its own memory may lag; then the word stands, unless the other question
            # gets another answer.
            call.question = _other(call.question)
            call.troubles += 1
            if call.troubles >= _TROUBLES and not call.conflicted:
                self._fail(call, error, now, again=False)
            else:
                self._step_at(call, now + 0.2 * min(call.troubles, _TROUBLES))
        elif call.question is Question.RESPONSE:
            call.question = Question.DETAILS
            self._ask([call], now)
        elif call.completion is Completion.EXISTING:
            # It may have been submitted a moment ago, by somebody whose message is still on its way.
            call.troubles += 1
            if call.troubles >= _TROUBLES:
                self._fail(call, error, now)
            else:
                call.question = Question.RESPONSE
                self._step_at(call, now + 0.1 * call.troubles)
        elif call.conflicted:
            call.question = Question.RESPONSE
            self._step_at(call, now + next_delay(now - call.started, self._rng))
        else:
            # It never got the message. The same UUID goes out, so that a mistake here cannot buy twice.
            self._land(call)
            self._requeue(call)
            self._pump(now)

    def _details_received(self, call: Call, item: Item, now: float) -> None:
        """The answer to getTaskDetails for one of our own tasks, in either of its forms."""
        response = item.get("response")
        parts = [part for part in (response if isinstance(response, list) else [response]) if isinstance(part, dict)]
        items: list[Item] = []
        errors: list[Item] = []
        for part in parts:
            data = part.get("data")
            items += [one for one in (data if isinstance(data, list) else [data]) if isinstance(one, dict)]
            for key in ("errors", "error"):
                found = part.get(key)
                errors += [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]
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
            all_told = len(call.items) + len(failed) >= call.expected
            if not all_told and call.troubles < _TROUBLES:
                # Of what is missing it says nothing; perhaps getResponse does.
                call.doubt = failed[-1]
                call.troubles += 1
                call.question = _other(call.question)
                self._follow(call, now)
                return
            call.errors = failed
            self._fail(call, failed[-1], now, again=all_told)  # what is missing is not said to have failed
        elif not items:
            # Known, but not through. getResponse may tell of it from now on.
            call.question = _other(call.question)
            self._follow(call, now)

    def _answered_nothing(self, now: float) -> None:
        """An empty answer names nobody. It is taken for the oldest question's, which only leads to the next one."""
        looks = [call for group in self._looks.values() for call in group if call.state is CallState.SENT]
        if looks:
            look = min(looks, key=lambda call: call.turn)
            if look.task_type == Question.RESPONSE.value:
                self._end(look, now)
            else:
                self._end(look, now, NotFoundError("The server does not know the task.", code="taskNotFound"))
            return
        if self.config.dry_run and self._checked(now):
            return
        self._first_timer()  # lets go of what was answered
        call = next((call for due, _, call in self._questions if call.due == due and call.asked and call.may_run), None)
        if call is None:
            return
        call.asked = False
        if call.state is CallState.ACCEPTED:
            self._follow(call, now)
        else:
            self._unknown(call, NotFoundError("The server does not know the task."), now)

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
            errors: list[RunwareError] = [*call.errors] or [error]
            missing = f"{len(call.items)} of {call.expected} results came; the rest failed: "
            error = IncompleteResultsError(
                missing + errors[-1].message,
                errors=errors,
                code=error.code,
                parameter=error.parameter,
                documentation=error.documentation,
                raw=error.raw,
            )
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
        call.errors = ()
        call.accepted_at = None
        call.asked = call.conflicted = False
        call.doubt = None
        call.troubles = 0
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


def _other(question: Question) -> Question:
    return Question.DETAILS if question is Question.RESPONSE else Question.RESPONSE
