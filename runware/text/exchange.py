"""The life of one stream of text: attempts, pieces, and its end. No I/O: a driver performs the steps.

`Exchange.steps` is a generator. It yields what to do next, and its driver sends back the outcome or throws the error.
So the blocking, the asyncio and the job form share every decision.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, NamedTuple

from runware.errors import (
    AuthenticationError,
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    InsufficientCreditsError,
    NotFoundError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskCancelledError,
    TaskError,
    TaskTimeoutError,
    error_from_wire,
)
from runware.protocol.call import is_acknowledgement
from runware.protocol.codec import dumps, loads, read_frame
from runware.protocol.ids import new_uuid
from runware.protocol.redaction import Redactor
from runware.protocol.retry_after import LONGEST_RETRY_AFTER
from runware.requests.plan import Plan
from runware.results import Results, Text, TextPiece
from runware.results.pieces import TextParts
from runware.text.sse import EventParser, EventTooLargeError

__all__ = [
    "DEFAULT_SILENCE",
    "BrokenConnectionError",
    "DeadlineError",
    "Exchange",
    "Open",
    "Pieces",
    "Read",
    "Recover",
    "Reply",
    "Reserve",
    "Sleep",
    "Step",
]

log = logging.getLogger("runware.text")

DEFAULT_SILENCE = 120.0
"""Seconds without a piece after which a connection is given up. Models may think for a minute or two."""
KEEPALIVE_FACTOR = 5.0
"""The factor by which that limit grows while only keep-alive comments come."""
MAX_RECEIVED = 512 * 1024 * 1024
"""The most bytes that one stream may have: some hundred times the longest answer of a model."""
MAX_REFUSAL = 16 * 1024 * 1024
"""The most bytes of a response that is no stream."""
RECOVERY_TIMEOUT = 30.0
"""The most seconds for which the server is asked for a text whose stream broke off."""


class BrokenConnectionError(Exception):
    """The connection ended after the request may have been sent. Its text says how."""


class DeadlineError(Exception):
    """The time at which a step had to be done has passed."""


class Reply(NamedTuple):
    """The head of a response.

    Attributes:
        status: The HTTP status.
        content_type: The content type, without parameters.
        retry_after: The seconds that the header `Retry-After` asks for; 0.0 without one.
    """

    status: int
    content_type: str
    retry_after: float = 0.0


class Reserve(NamedTuple):
    """Reserve what the stream may cost.

    Attributes:
        work: Does it. It blocks, and raises the error of a budget that does not allow it.
    """

    work: Callable[[], object]


class Open(NamedTuple):
    """Connect and send the request. The outcome is a `Reply`.

    Attributes:
        body: The request.
        uuid: The UUID of its task.
        until: When it must be done, in the time of the exchange.
    """

    body: bytes
    uuid: str
    until: float


class Read(NamedTuple):
    """Read from the response. The outcome is some bytes; none at its end.

    Attributes:
        until: When it must be done, in the time of the exchange.
    """

    until: float


class Sleep(NamedTuple):
    """Wait before the next attempt; there is no connection meanwhile.

    Attributes:
        seconds: For how long.
        error: The error of the attempt before.
    """

    seconds: float
    error: RunwareError | None = None


class Recover(NamedTuple):
    """Ask the server for the results of the task, without sending it again. The outcome is its `Results`.

    Attributes:
        ref: The reference of the task.
        timeout: For how many seconds at most.
    """

    ref: Mapping[str, Any]
    timeout: float


class Pieces(NamedTuple):
    """Hand over new pieces.

    Attributes:
        pieces: The pieces.
    """

    pieces: Sequence[TextPiece]


Step = Reserve | Open | Read | Sleep | Recover | Pieces


class _Refusal(NamedTuple):
    """Why an attempt failed, although the task did not run.

    Attributes:
        error: The error.
        retry_after: For how many seconds the server wants no further attempt.
        final: Whether the server has said that this attempt failed, so that another one needs a new UUID.
    """

    error: RunwareError
    retry_after: float = 0.0
    final: bool = False


class Exchange:
    """One stream: its request, what has come, and what to do next.

    Args:
        plan: The plan of the request.
        silence: Seconds without a piece after which the connection is given up.
        clock: Returns the time in seconds.
        redactor: Removes secrets from the server's errors.
        downloads: The download settings of the results.
        rng: The source of jitter.
        reserve: Reserves what the stream may cost, within a number of seconds; `None` if nothing counts it.
    """

    def __init__(
        self,
        plan: Plan,
        silence: float,
        clock: Callable[[], float],
        redactor: Redactor,
        downloads: Any = None,
        rng: random.Random | None = None,
        reserve: Callable[[float], object] | None = None,
    ) -> None:
        self._plan = plan._replace(text=b"")  # the request may hold large media, and is dropped when the stream begins
        self._silence = silence
        self._clock = clock
        self._redactor = redactor
        self._downloads = downloads
        self._rng = rng or random.Random()
        self._reserve = reserve
        self._body = plan.text
        self.uuid = plan.uuid
        self.parts = TextParts()
        self.sent = False
        self.attempts: tuple[str, ...] = ()
        self.started = clock()
        self._deadline = self.started + plan.timeout
        self._received = 0
        self._unclear = False  # whether an earlier request with this UUID may have reached the API

    def __repr__(self) -> str:
        return f"<Exchange {self._plan.task_type} {self.uuid}>"

    @property
    def ref(self) -> dict[str, str]:
        """The reference of the task, for `rw.job`."""
        return {"task_uuid": self.uuid, "task_type": self._plan.task_type}

    def text(self, ahead: Collection[TextPiece] = ()) -> Text:
        """Return the text so far, without that of some of the last pieces."""
        return self.parts.result(self._origin(), self._downloads, ahead=ahead)

    def _origin(self) -> tuple[Any, str, float, Sequence[str]]:
        return self._plan.sent, self.uuid, self._clock() - self.started, self.attempts

    # ------------------------------------------------------------------ the steps

    def steps(self) -> Generator[Step, Any, None]:
        """Yield the steps until the stream is complete.

        Raises:
            RunwareError: It failed. `results` holds the text so far, if there is any.
        """
        if (reserve := self._reserve) is not None:
            left = self._deadline - self._clock()
            yield Reserve(lambda: reserve(left))
        attempt = 1
        while True:
            refusal = yield from self._attempt()
            if refusal is None:
                return
            error, retry_after, final = refusal
            error.may_have_run |= self._unclear and not final
            wait = self._wait_before_next(error, attempt)
            if wait is None or self._clock() + max(wait, retry_after) >= self._deadline:
                raise self.completed(error)
            log.debug("stream %s: %s; next attempt in %.1f s", self.uuid, type(error).__name__, max(wait, retry_after))
            if final:
                self._renew(error)
            yield Sleep(max(wait, retry_after), error)
            attempt += 1

    def _wait_before_next(self, error: RunwareError, attempt: int) -> float | None:
        policy = self._plan.policy
        if policy is None:
            return None
        return policy.wait_before_next(error, attempt=attempt, started=self.started, now=self._clock(), rng=self._rng)

    def _attempt(self) -> Generator[Step, Any, _Refusal | None]:
        """Make one attempt. Return why it was refused, if another one is allowed."""
        again = self.sent
        try:
            reply: Reply = yield Open(self._body, self.uuid, min(self._deadline, self._clock() + self._silence))
            self.sent = True
            if reply.status == 200 and reply.content_type == "text/event-stream":
                return (yield from self._stream())
            body = yield from self._whole_body()
        except ConnectionFailedError as error:
            return _Refusal(error)
        except BrokenConnectionError as error:
            lost = f"The connection was lost before the stream began ({error})"
        except DeadlineError:
            lost = f"No response came for {self._silence:g} s"
        else:
            return (yield from self._take_reply(reply, body, again=again))
        self.sent = True
        self._check_deadline()
        yield from self._recover(lost)
        return None

    def _check_deadline(self) -> None:
        """Raise the error of the whole stream if its deadline has passed, and not only that of a step."""
        if self._clock() >= self._deadline:
            raise self.timeout_error() from None

    def _whole_body(self) -> Generator[Step, Any, bytes]:
        parts: list[bytes] = []
        while chunk := (yield Read(min(self._deadline, self._clock() + self._silence))):
            self._received += len(chunk)
            if self._received > MAX_REFUSAL:
                raise BrokenConnectionError("the response is too large")
            parts.append(chunk)
        return b"".join(parts)

    # ------------------------------------------------------------------ responses that are no stream

    def _take_reply(self, reply: Reply, body: bytes, *, again: bool) -> Generator[Step, Any, _Refusal | None]:
        """Take a response that is no stream: a refusal, or the whole answer at once.

        Args:
            reply: Its head.
            body: Its body.
            again: Whether the same task had been sent before, without an answer that says what became of it.
        """
        try:
            items, errors = read_frame(body)
        except ValueError:
            items, errors = [], []
        texts = [item for item in items if item.get("taskType") != "authentication" and not is_acknowledgement(item)]
        unknown: TaskError | None = None
        if errors:
            error = self._error(errors[0], reply.status)
            conflict = again and error.code == "conflictTaskUUID"
            named = errors[0].get("taskUUID") == self.uuid
            if reply.status == 503 and not named:
                self._unclear = True
                return _Refusal(error, min(reply.retry_after, LONGEST_RETRY_AFTER))
            if not conflict and reply.status not in _UNDECIDED and (named or reply.status < 500):
                # After an unclear answer, some refusals do not say what became of the earlier request.
                final = not (self._unclear and isinstance(error, _SAYS_NOTHING))
                return _Refusal(error, min(reply.retry_after, LONGEST_RETRY_AFTER), final=final)
            reason, unknown = "The server has the task, but no stream of it", error
        elif reply.status == 200 and texts:
            yield Pieces([self._piece(item) for item in texts])  # a model without streams, or a dry run
            return None
        elif reply.status == 200:
            reason = "The server answered without a stream"
        elif reply.status not in _UNDECIDED and (reply.status == 503 or reply.status < 500):
            # The task was refused. If that should be wrong, it does not run twice, because it keeps its UUID.
            error = self._error({}, reply.status)
            self._unclear |= reply.status == 503  # a gateway may say so after it has passed the task on
            return _Refusal(error, min(reply.retry_after, LONGEST_RETRY_AFTER))
        else:
            reason = f"The server answered HTTP {reply.status}, without saying what became of the task"
        yield from self._recover(reason, unknown)
        return None

    def _error(self, raw: Mapping[str, Any], status: int) -> TaskError:
        """Make the error of a refusal."""
        error = error_from_wire(self._redactor.clean(raw), task_type=self._plan.task_type, task_uuid=self.uuid)
        cls = _BY_STATUS.get(status)
        if cls is not None and (not raw or error.code == "unknownError"):
            message = error.message if raw else f"The server answered HTTP {status} without a reason."
            return cls(
                message,
                task_type=error.task_type,
                task_uuid=error.task_uuid,
                raw=error.raw,
                documentation=error.documentation,
            )
        if not raw:
            return ServerError(
                f"The server answered HTTP {status}, which no stream of text can begin with. Check the client's url.",
                task_type=self._plan.task_type,
                task_uuid=self.uuid,
                retryable=False,
            )
        return error

    def _renew(self, error: RunwareError) -> None:
        """Prepare a new attempt after the server said that this one failed, which needs a new UUID."""
        self.attempts = (*self.attempts, f"{self.uuid}: {error.code}")
        before, self.uuid = self.uuid, new_uuid()
        self._body = self._body.replace(before.encode(), self.uuid.encode(), 1)
        self.sent = self._unclear = False

    # ------------------------------------------------------------------ the stream

    def _stream(self) -> Generator[Step, Any, _Refusal | None]:
        """Read the stream to its end, or ask the server for the rest. Return an error that came in place of a text."""
        parser = EventParser()
        last_bytes = last_piece = self._clock()
        reason = ""
        while not reason:
            limit = min(last_bytes + self._silence, last_piece + KEEPALIVE_FACTOR * self._silence)
            try:
                chunk = yield Read(min(self._deadline, limit))
                done, pieces, problem = self._read_events(parser.feed(chunk) if chunk else parser.close())
            except DeadlineError:
                self._check_deadline()
                reason = f"No piece came for {self._clock() - last_piece:.0f} s"
                break
            except BrokenConnectionError as error:
                reason = f"The stream broke off ({error})"
                break
            except EventTooLargeError as error:
                reason = f"The stream cannot be read: {error}"
                break
            last_bytes = self._clock()
            if pieces:
                self._body = b""
                last_piece = last_bytes
                yield Pieces(pieces)
            if isinstance(problem, RunwareError):
                if self._body:
                    return _Refusal(problem, final=True)
                raise self.completed(problem)
            if done:
                return None
            self._received += len(chunk)
            if problem or not chunk:
                reason = problem or "The stream ended before its end was announced"
            elif self._received > MAX_RECEIVED:
                reason = f"The stream has more than {MAX_RECEIVED:,} bytes"
        yield from self._recover(reason)
        return None

    def _read_events(self, events: Sequence[str]) -> tuple[bool, list[TextPiece], RunwareError | str | None]:
        """Return whether the stream is complete, the pieces, and an error or what else is wrong."""
        pieces: list[TextPiece] = []
        for data in events:
            if data.strip() == "[DONE]":
                return True, pieces, None
            try:
                event = loads(data.encode())
            except (ValueError, UnicodeEncodeError):
                event = None
            if isinstance(event, dict) and isinstance(event.get("data"), dict):
                event = event["data"]  # the form that the first official SDK reads
            if not isinstance(event, dict):
                return False, pieces, "The stream has an event that cannot be read"
            if event.get("error") or event.get("errors"):
                _, errors = read_frame(dumps(event))
                return False, pieces, self._error(errors[0] if errors else {"code": "unknownError"}, 200)
            pieces.append(self._piece(event))
        return False, pieces, None

    def _piece(self, event: dict[str, Any]) -> TextPiece:
        if not event.get("taskUUID"):
            event = {**event, "taskUUID": self.uuid}  # some models leave it empty
        values = {"raw": event, "_origin": self._origin(), "_downloads": self._downloads}
        delta = event.get("delta")
        if isinstance(delta, dict) and isinstance(text := delta.get("text"), str):
            values["text"] = text  # read by every caller; a field that is read lazily takes longer
        piece = TextPiece.__new__(TextPiece)
        object.__setattr__(piece, "__dict__", values)
        self.parts.add(piece)
        return piece

    # ------------------------------------------------------------------ ends

    def _recover(self, reason: str, cause: RunwareError | None = None) -> Generator[Step, Any, None]:
        """Ask the server for the whole text, and complete the stream with what is missing.

        Args:
            reason: Why the stream is not complete, as the beginning of a sentence.
            cause: The server's error, if there is one.

        Raises:
            RunwareError: The server does not have the text, or not this one.
        """
        log.debug("stream %s: %s; asking the server for the text", self.uuid, reason)
        timeout = min(RECOVERY_TIMEOUT, self._deadline - self._clock())
        whole: Text | None = None
        if timeout > 0.0:
            try:
                results: Results[Any] = yield Recover(self.ref, timeout)
            except (ClientClosedError, TaskCancelledError) as error:
                raise self.completed(error) from None
            except RunwareError as error:
                if isinstance(error, TaskError) and not isinstance(error, _SAYS_NOTHING):
                    raise self.completed(error) from None  # the server's word that the task failed
                log.debug("stream %s: the server does not have the text: %s", self.uuid, error)
            else:
                whole = next((one for one in results if isinstance(one, Text) and one.text is not None), None)
        if whole is not None and (rest := self._rest(whole)) is not None:
            yield Pieces([self._piece(rest)])
            return
        if cause is not None:
            cause.may_have_run = True
            raise self.completed(cause)
        lost = ConnectionLostError(
            f"{reason}, and the server does not have the whole text{'' if whole is None else ' that began like this'}. "
            "What was generated may be billed. error.results has the text so far; to run the task again, start a new "
            "stream.",
            may_have_run=True,
            task_type=self._plan.task_type,
            task_uuid=self.uuid,
        )
        raise self.completed(lost, *(() if whole is None else (whole,)))

    def _rest(self, whole: Text) -> dict[str, Any] | None:
        """Return an event with what is missing; `None` if what came is not the beginning of the text."""
        text, so_far = whole.text or "", self.parts.text
        if not text.startswith(so_far):
            return None
        delta: dict[str, Any] = {"text": text[len(so_far) :]}
        reasoning, known = whole.reasoning or "", self.parts.reasoning
        if reasoning.startswith(known) and len(reasoning) > len(known):
            delta["reasoningContent"] = reasoning[len(known) :]
        more = {name: value for name, value in whole.raw.items() if name not in ("text", "reasoningContent")}
        return {**more, "delta": delta}

    def completed(self, error: RunwareError, *further: Text) -> RunwareError:
        """Add to an error what has come, and what may be billed."""
        if not self.parts.empty:
            error.results = (self.text(), *further)
            error.may_have_run = True
        elif further:
            error.results = further
        error.attempts = self.attempts
        return error

    def timeout_error(self) -> RunwareError:
        """Return the error of a stream that is not complete at its deadline."""
        return self.completed(
            TaskTimeoutError(
                f"The stream was not complete after {self._plan.timeout:g} s. Set a longer timeout.",
                may_be_running=self.sent,
                task_type=self._plan.task_type,
                task_uuid=self.uuid,
            )
        )

    def closed_error(self, by: str) -> RunwareError:
        """Return the error of a stream that was ended before it was complete.

        Args:
            by: What ended it: `"stream"` (its own `close` or `cancel`), `"client"` or `"fork"`.
        """
        words = _CLOSED[by] + (" The server may go on, and bill it." if self.sent else " Nothing was sent.")
        cls = TaskCancelledError if by == "stream" else ClientClosedError
        error = cls(words, task_type=self._plan.task_type, task_uuid=self.uuid)
        error.may_have_run = self.sent
        return self.completed(error)


_CLOSED = {
    "stream": "The stream was closed before the text was complete.",
    "client": "The client was closed before the text was complete.",
    "fork": "The process was forked before the text was complete. The stream goes on in the parent.",
}
_BY_STATUS: dict[int, type[TaskError]] = {
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AuthenticationError,
    429: RateLimitError,
    503: ServerError,
}
_UNDECIDED = (408, 425, 504)
"""Statuses that say that a request waited for too long, and nothing about its task (docs/protocol.md, section 6)."""
_SAYS_NOTHING = (NotFoundError, AuthenticationError, RateLimitError)
"""Errors of a question that say nothing about the task that was asked for."""
