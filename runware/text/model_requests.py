"""The requests of a chat to a model: attempts, replies, and how one may end. No I/O: a driver performs the steps."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from runware.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    RunwareError,
    TaskTimeoutError,
    ValidationError,
)
from runware.protocol.codec import dumps, loads
from runware.protocol.redaction import Redactor
from runware.protocol.retry import Retries
from runware.protocol.retry_after import LONGEST_RETRY_AFTER
from runware.protocol.spending import Spending
from runware.text.completions import (
    TASK_TYPE,
    ChatPiece,
    Completion,
    CompletionParts,
    as_task,
    error_object,
    max_output_tokens,
    reply_error,
    wants_max_tokens,
)
from runware.text.sse import EventParser, EventTooLargeError
from runware.text.steps import BrokenConnectionError, DeadlineError, Hand, Open, Prepare, Read, Reply, Sleep, Step
from runware.transport.activity import ActiveCall, Activity

if TYPE_CHECKING:
    from runware.store.expenses import Expense

__all__ = ["ModelRequests"]

log = logging.getLogger("runware.text")

PATH = "/chat/completions"
MODELS_PATH = "/models"
KEEPALIVE_FACTOR = 5.0
"""The factor by which the silence limit grows while only keep-alive comments come, or before a whole reply."""
MAX_RECEIVED = 256 * 1024 * 1024
"""The most bytes that one reply may have."""
REPEATED = (429, 503)
"""Statuses that say that nothing ran. The others of 500 and above leave that open."""


_LENGTHS = frozenset(("max_tokens", "max_completion_tokens"))


class ModelRequests:
    """Requests to a model within one deadline.

    Args:
        deadline: When everything must be done.
        timeout: The same as a number of seconds, for errors.
        silence: Seconds without a piece after which a connection is given up.
        retries: The retry rule.
        redactor: Removes secrets from errors.
        clock: Returns the time in seconds.
        activity: Counts and reports the requests.
        expense: Returns what counts the cost of a request, as `Core.expense` does.
    """

    def __init__(
        self,
        *,
        deadline: float,
        timeout: float,
        silence: float,
        retries: Retries,
        redactor: Redactor,
        clock: Callable[[], float],
        activity: Activity,
        expense: Callable[[str, str, Callable[[], Mapping[str, Any]]], Expense | None],
    ) -> None:
        self.deadline = deadline
        self._timeout = timeout
        self._silence = silence
        self._retries = retries
        self._redactor = redactor
        self._clock = clock
        self._activity = activity
        self._expense = expense
        self._call: ActiveCall | None = None
        self._started = clock()
        self._rng = random.Random()
        self.parts = CompletionParts()
        self.sent = False
        """Whether a request is under way, so that it may be billed."""

    def ask(self, body: dict[str, Any], written: Callable[[], bool] = lambda: True) -> Generator[Step, Any, Completion]:
        """Yield the steps of one request until its answer is complete.

        Args:
            body: The request. If the server's default for `max_tokens` is refused, it gets the model's own limit.
            written: Returns whether the request that is under way may have been written.

        Raises:
            RunwareError: It failed.
        """
        call = self._call = self._activity.begin("", TASK_TYPE, body["model"], body)
        expense = self._expense(TASK_TYPE, "", partial(as_task, body))
        try:
            if (left := self.deadline - self._clock()) <= 0.0:  # the caller has kept the last piece for that long
                raise self.timeout_error()
            if expense is not None:
                yield Prepare(partial(expense.reserve, left), blocks=True)
            completion = yield from self._attempts(body, call)
            if expense is not None:
                expense.settle({"cost": completion.cost}, succeeded=True)
        except BaseException as error:
            call.ended(error)
            if expense is not None:
                self._settle(expense, error, written)
            raise
        text = {"text": completion.text, "finishReason": completion.finish_reason}
        call.ended(results=(text,), spent=_spending(completion))
        return completion

    def _settle(self, expense: Expense, error: BaseException, written: Callable[[], bool]) -> None:
        """Count what a request may cost that has no answer, or whose answer Ctrl-C has kept from being counted."""
        if isinstance(error, RunwareError):
            may_have_run, answered = error.may_have_run, False
        else:
            may_have_run, answered = self.sent and written(), self.parts.finished
        bill = {"cost": self.parts.completion().cost} if may_have_run or answered else {}
        expense.settle(bill, succeeded=answered, may_have_run=may_have_run)

    def _attempts(self, body: dict[str, Any], call: ActiveCall) -> Generator[Step, Any, Completion]:
        attempt, models_read = 1, False
        while True:
            self.parts, self.sent = CompletionParts(), False
            error, wait_for = yield from self._attempt(body)
            self.sent = False
            if error is None:
                return self.parts.completion()
            if not models_read and not _LENGTHS & body.keys() and wants_max_tokens(error):
                models_read = True
                longest = yield from self._max_output_tokens(body["model"])
                if longest is not None:
                    log.debug("chat: the model takes max_tokens up to %d; sending it", longest)
                    body["max_tokens"] = longest
                    continue
            now = self._clock()
            wait = wait_for is not None and self._retries.wait_before_next(
                error, attempt=attempt, started=self._started, now=now, rng=self._rng
            )
            pause = max(wait or 0.0, wait_for or 0.0)
            if wait is False or wait is None or now + pause >= self.deadline:
                raise error
            log.debug("chat: %s; next attempt in %.1f s", type(error).__name__, pause)
            call.retrying(error, pause)
            yield Sleep(pause)
            attempt += 1

    def _attempt(self, body: Mapping[str, Any]) -> Generator[Step, Any, tuple[RunwareError | None, float | None]]:
        """Make one attempt.

        Returns:
            Its error, if it failed; and the least seconds until the next attempt, `None` if there must be none.
        """
        patience = self._silence * KEEPALIVE_FACTOR
        try:
            data = dumps(body)
            if not _finite(body):  # orjson sends null for it
                raise ValueError("NaN and infinities have no form in JSON")
        except (TypeError, ValueError, RecursionError) as error:
            raise ValidationError(
                f"The messages or extra hold something that is not JSON: {error}.",
                code="invalidParameter",
                parameter="extra",
            ) from error
        try:
            self.sent = True
            assert self._call is not None
            self._call.sent(len(data))
            reply: Reply = yield Open(PATH, data, self._limit(patience))
            if reply.content_type == "text/event-stream" and reply.status == 200:
                yield from self._stream()
                return None, None
            data = yield from self._body()
        except ConnectionFailedError as error:
            return error, 0.0
        except BrokenConnectionError as error:
            raise self._lost(f"The connection was lost before the answer was complete ({error})") from None
        except DeadlineError:
            raise self._late() from None
        return (yield from self._take(reply, data))

    def _limit(self, patience: float) -> float:
        return min(self.deadline, self._clock() + patience)

    def _body(self) -> Generator[Step, Any, bytes]:
        parts: list[bytes] = []
        size = 0
        while chunk := (yield Read(self._limit(self._silence))):
            size += len(chunk)
            if size > MAX_RECEIVED:
                raise BrokenConnectionError(f"it exceeds {MAX_RECEIVED:,} bytes")
            parts.append(chunk)
        return b"".join(parts)

    def _take(self, reply: Reply, data: bytes) -> Generator[Step, Any, tuple[RunwareError | None, float | None]]:
        """Take a reply that is no stream: an answer or an error."""
        try:
            body = loads(data)
        except ValueError:
            body = None
        error = self._error(reply.status, body, data)
        if error is not None:
            again = reply.status in REPEATED and not error.may_have_run
            return error, min(reply.retry_after, LONGEST_RETRY_AFTER) if again else None
        if not isinstance(body, dict) or not body.get("choices"):
            raise self._lost("The server answered without an error and without a text")
        yield Hand(self.parts.add(body))
        return None, None

    def _error(self, status: int, body: Any, data: bytes = b"") -> RunwareError | None:
        if status < 300 and error_object(body) is None:
            return None
        text = "" if body is not None else self._redactor.hide(data[:1000].decode("utf-8", "replace"))
        return reply_error(status, self._redactor.clean(body), text)

    def _stream(self) -> Generator[Step, Any, None]:
        """Read a stream to its end."""
        parser = EventParser()
        last_bytes = last_piece = self._clock()
        size = 0
        while True:
            try:
                chunk: bytes = yield Read(
                    min(self.deadline, last_bytes + self._silence, last_piece + KEEPALIVE_FACTOR * self._silence)
                )
                events = parser.feed(chunk) if chunk else parser.close()
            except (BrokenConnectionError, DeadlineError, EventTooLargeError) as error:
                if self.parts.finished:
                    return  # the answer is whole; what may be missing is its cost
                if isinstance(error, DeadlineError):
                    raise self._late() from None
                raise self._lost(f"The stream broke off ({error})") from None
            last_bytes = self._clock()
            size += len(chunk)
            for data in events:
                if data.strip() == "[DONE]":
                    if self.parts.empty:
                        raise self._lost("The stream ended without an answer")
                    return
                last_piece = last_bytes
                piece = self._event(data)
                if piece.text or piece.reasoning:
                    assert self._call is not None
                    self._call.first_piece()
                    yield Hand(piece)
            if self.parts.finished and not chunk:
                return
            if not chunk or size > MAX_RECEIVED:
                raise self._lost("The stream ended before the answer was complete")

    def _event(self, data: str) -> ChatPiece:
        try:
            chunk = loads(data.encode("utf-8", "surrogatepass"))
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            raise self._lost("The stream has an event that cannot be read")
        error = self._error(200, chunk)
        if error is not None:
            raise error
        return self.parts.add(chunk)

    def _max_output_tokens(self, model: str) -> Generator[Step, Any, int | None]:
        """Ask for the longest answer of the model."""
        try:
            reply: Reply = yield Open(MODELS_PATH, None, self._limit(self._silence))
            data = yield from self._body()
            return max_output_tokens(loads(data), model) if reply.status == 200 else None
        except (ConnectionFailedError, BrokenConnectionError, DeadlineError, ValueError):
            return None

    def _lost(self, reason: str) -> ConnectionLostError:
        return ConnectionLostError(
            f"{reason}. It may be billed. The request is not sent again by itself: the endpoint has no way to ask for "
            "an answer that was lost.",
            may_have_run=True,
            task_type=TASK_TYPE,
        )

    def _late(self) -> RunwareError:
        if self._clock() >= self.deadline:
            return self.timeout_error()
        return self._lost("The server was silent for too long (silence_timeout)")

    def timeout_error(self) -> TaskTimeoutError:
        """Return the error of a deadline that has passed."""
        return TaskTimeoutError(
            f"The answer was not complete after {self._timeout:g} s. Set a longer timeout.",
            may_be_running=self.sent,
            task_type=TASK_TYPE,
        )


def _finite(value: object) -> bool:
    """Return whether all numbers in a request are finite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return not isinstance(value, (list, tuple)) or all(map(_finite, value))


def _spending(completion: Completion) -> Spending:
    spent, usage = Spending(), completion.usage
    spent.cost = completion.cost
    if usage is not None:
        spent.add_tokens(usage.prompt_tokens, usage.completion_tokens)
    return spent
