"""One call: its request, the results and errors so far, and when it is complete.

A call knows nothing of the connection. The session moves it from state to state; this module interprets the items
of the server's messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from runware.errors import RunwareError, TaskError, error_from_wire
from runware.protocol.codec import loads
from runware.protocol.retry import Retries

if TYPE_CHECKING:
    from runware._support.http_headers import Headers
    from runware.events import TaskEvent

__all__ = [
    "COUNTS",
    "Call",
    "CallState",
    "Completion",
    "Durable",
    "Meaning",
    "Origin",
    "Polling",
    "Question",
    "StoredInputs",
    "Waiter",
    "Wakeable",
    "identity",
    "is_acknowledgement",
    "meaning",
]

Item = dict[str, Any]


class CallState(Enum):
    """The state of a call. `_FOLLOWING` holds which state may follow which."""

    following: tuple[CallState, ...]
    """The states that may follow this one, from the table below."""

    QUEUED = "queued"
    """Not written, or not completely, so that the server cannot have it."""
    SENT = "sent"
    """Handed to the transport; the server has not said anything about it."""
    ACCEPTED = "accepted"
    """The server has it and works on it; the client polls it."""
    RECOVERING = "recovering"
    """Written before the connection was lost; the client asks the server for its outcome."""
    RETRYING = "retrying"
    """The server failed it; it waits for its next attempt."""
    UNRECORDED = "unrecorded"
    """The store does not have the UUID of its attempt yet, or another call has its task, so it must not be sent."""
    DONE = "done"
    """It has ended. No state follows."""


_QUEUED, _SENT, _ACCEPTED, _RECOVERING, _RETRYING, _UNRECORDED, _DONE = CallState
_FOLLOWING: dict[CallState, tuple[CallState, ...]] = {
    # A task that was submitted before enters RECOVERING: it is looked up, and never sent. A call that waits to be sent
    # again enters ACCEPTED if an item shows that the server has its task.
    _QUEUED: (_SENT, _DONE, _RECOVERING, _ACCEPTED, _UNRECORDED),
    _SENT: (_DONE, _ACCEPTED, _RECOVERING, _RETRYING, _QUEUED),
    _ACCEPTED: (_DONE, _RETRYING, _RECOVERING),
    _RECOVERING: (_ACCEPTED, _DONE, _QUEUED, _RETRYING),
    _RETRYING: (_QUEUED, _DONE, _ACCEPTED, _UNRECORDED),
    _UNRECORDED: (_QUEUED, _DONE, _ACCEPTED),
    _DONE: (),
}
for _state, _states in _FOLLOWING.items():
    # Kept at the member, the likeliest first: members of an enum hash through Python code, which is too slow here.
    _state.following = _states


class Completion(Enum):
    """What completes a call."""

    RESULTS = auto()
    """The number of results asked for. An answer without a result is an acknowledgement; the task is polled then."""
    ACKNOWLEDGEMENT = auto()
    """The server's first message about it."""
    STATUSES = auto()
    """A sequence of statuses that ends in `ready` or `failed` (modelUpload)."""
    ANSWER = auto()
    """The one answer to a lookup of another task, whatever it holds."""
    EXISTING = auto()
    """All that the server has of a task that was submitted before, once nothing of it runs any more."""
    CONNECTION = auto()
    """There is no task: the call waits until the connection is ready."""


_RESULTS = Completion.RESULTS
_ACKNOWLEDGEMENT = Completion.ACKNOWLEDGEMENT


class Question(Enum):
    """What the server can be asked about a task. Both only read, so that they can be repeated."""

    RESPONSE = "getResponse"
    DETAILS = "getTaskDetails"

    @property
    def other(self) -> Question:
        """The other one of the two."""
        return Question.DETAILS if self is Question.RESPONSE else Question.RESPONSE


class Meaning(Enum):
    """The meaning of one item."""

    RESULT = auto()
    ERROR = auto()
    RUNNING = auto()


_RUNNING = Meaning.RUNNING
_IDENTITY = (
    "resultIndex",
    "imageUUID",
    "videoUUID",
    "audioUUID",
    "modelUUID",
    "maskImageUUID",
    "guideImageUUID",
    "mediaUUID",
)
_NO_RESULT = frozenset(("taskType", "taskUUID", "status", "progress"))
COUNTS = ("numberResults", "promptVersions")
"""The parameters of a task that set its number of results."""
_FAILED = frozenset(("error", "failed"))
_UNDER_WAY = frozenset(("processing", "running", "queued", "pending", "scheduled", "waiting", "accepted", "started"))
"""The API uses the first; the others are what comparable services use (docs/protocol.md, section 5)."""


def is_acknowledgement(item: Item) -> bool:
    """Return whether an item only says that the server has the task."""
    return item.keys() <= _NO_RESULT and item.get("status") is None


def meaning(item: Item, completion: Completion) -> Meaning:
    """Classify an item as a result, an error, or a status of a task that is accepted or running."""
    status = item.get("status")
    if not isinstance(status, str):
        status = None
    if status in _FAILED or (item.get("error") and status != "success"):
        return Meaning.ERROR
    if completion is Completion.STATUSES:
        return Meaning.RESULT if status == "ready" else Meaning.RUNNING
    if status is None:
        # A pushed result has no status. An item with nothing but the task's names is an acknowledgement.
        return Meaning.RUNNING if item.keys() <= _NO_RESULT else Meaning.RESULT
    if status == "success" or (status not in _UNDER_WAY and identity(item) is not None):
        return Meaning.RESULT  # a finished result must not be lost because its status has a new name
    return Meaning.RUNNING


def identity(item: Item) -> str | None:
    """Return what distinguishes a result from the others of its task; `None` for results without an id."""
    for name in _IDENTITY:
        if (value := item.get(name)) is not None:
            return f"{name}:{value}"
    outputs = item.get("outputs")
    files = outputs.get("files") if isinstance(outputs, dict) else None
    if isinstance(files, list):
        names = [str(file.get("uuid")) for file in files if isinstance(file, dict) and file.get("uuid")]
        if names:
            return "files:" + ",".join(names)
    return None


class StoredInputs(Protocol):
    """The media stored on the platform that a task names."""

    @property
    def uuids(self) -> frozenset[str]:
        """The UUIDs that the task names."""
        ...

    def renew(self, done: Callable[[Mapping[str, str]], object], failed: Callable[[RunwareError], object]) -> None:
        """Store the media again, without blocking; call *done* with the new UUIDs by the old ones, or *failed*."""


class Durable:
    """What a call needs whose task outlives the process: most calls have none.

    Attributes:
        line: What the store keeps of it, for the recorder; `None` if only its UUID is stable.
        recorded: Whether the store has the UUID of the current attempt, so that it may be sent.
        asks: Whether the server is asked for the task before it is sent: another process may have sent it.
        stable: Whether its UUID is derived from what the task is. The server's answer that it has the UUID already
            then means that it has this very task, and the next attempt's UUID is derived too.
        inputs: The media that the task names and that can be stored again, once; `None` if there is none.
        shared: Whether several calls of this client may be for its task: the store reports the end to all of them.
        leads: Without a store, the UUID under which further calls for its task wait for it; empty if none can.
    """

    __slots__ = ("asks", "inputs", "leads", "line", "recorded", "shared", "stable")

    def __init__(
        self,
        line: object | None = None,
        *,
        stable: bool = False,
        shared: bool = False,
        inputs: StoredInputs | None = None,
    ) -> None:
        self.line = line
        self.recorded = line is None
        self.asks = False
        self.stable = stable
        self.shared = shared
        self.leads = ""
        self.inputs = inputs


class Polling:
    """What a call needs to know once the server is asked for its task. Most calls never need one.

    Attributes:
        question: The question to ask next, or the one that is outstanding.
        outstanding: Whether a question was sent and not answered.
        confirmed: Whether the server itself has said that it has the task.
        empty_answer: Whether an answer without content came, which may have been meant for this call.
        incomplete_since: Since when answers say that nothing runs any more although results are missing; 0.0 if never.
        failed_polls: How many answers in a row did not help.
        failing_since: When the first of those came; 0.0 if there is none.
    """

    __slots__ = (
        "confirmed",
        "empty_answer",
        "failed_polls",
        "failing_since",
        "incomplete_since",
        "outstanding",
        "question",
    )

    def __init__(self) -> None:
        self.question = Question.RESPONSE
        self.outstanding = self.confirmed = self.empty_answer = False
        self.incomplete_since = self.failing_since = 0.0
        self.failed_polls = 0

    def take(self) -> bool:
        """Return whether a question was outstanding; none is from now on."""
        outstanding, self.outstanding = self.outstanding, False
        return outstanding

    def failed(self, now: float) -> float:
        """Count an answer that did not help, and return for how many seconds there were no others."""
        self.failed_polls += 1
        if not self.failing_since:
            self.failing_since = now
        return now - self.failing_since

    def succeeded(self) -> None:
        """Forget the failed polls: the server has sent something about the task."""
        self.failed_polls = 0
        self.failing_since = 0.0


class Wakeable(Protocol):
    """The object a thread waits on."""

    def release(self) -> None:
        """Wake the thread."""


class Origin:
    """What the events of a call say about where it comes from. Calls have one only while something listens.

    Attributes:
        model: The model that was asked for; `None` if there is none.
        context: A copy of the caller's context.
        request: The request, if a listener wants it; it holds the prompt.
        history: The events of the call so far. The driver fills it.
        hidden: Whether the call is a part of another one, and neither counted nor reported.
    """

    __slots__ = ("context", "hidden", "history", "model", "request")

    def __init__(
        self,
        model: str | None = None,
        context: Context | None = None,
        request: bytes | Mapping[str, Any] | None = None,
        *,
        hidden: bool = False,
    ) -> None:
        self.model = model
        self.context = context
        self.request = request
        self.history: list[TaskEvent] = []
        self.hidden = hidden


class Waiter(Protocol):
    """The handle of a call, as the I/O loop sees it. The methods must not block or raise.

    All but `done` are called on the I/O thread.
    """

    def call_arrived(self, call: Call) -> None:
        """Take in the new items of a call that is not finished."""

    def call_ended(self, call: Call, error: RunwareError | None) -> Sequence[Wakeable]:
        """Set the call's outcome; return the waiting threads for the I/O loop to wake."""
        ...

    def done(self) -> bool:
        """Return whether the call has ended or was cancelled."""
        ...

    def abandon(self) -> None:
        """Fail the call in a forked child, where no I/O thread would finish it."""


class Call:
    """One call, from its submission to its end.

    Attributes:
        uuid: The `taskUUID` of the current attempt.
        key: The key in the registry: the UUID, except for lookups, which are about another call's task.
        text: The message to send, a JSON array of one task; emptied when the call ends.
        task_type: The task's type.
        expected: How many results complete it.
        completion: What completes it.
        repeatable: Whether the task only reads, so that sending it twice does no harm.
        policy: The rule for further attempts; `None` for none.
        job: The handle of the caller, which the transport notifies; the session never uses it.
        durable: What the call needs because its task outlives the process; `None` for most.
        timeout: Seconds until the server must have acknowledged the task.
        long_timeout: Seconds for the whole call, from the moment at which the server says that it works on the task.
        state: The state, which only `enter` changes.
        started: When it was submitted, in the session's time.
        deadline: When the call ends at the latest, in the session's time.
        scheduled_deadline: The deadline under which it stands in the heap of deadlines; it may have moved on since.
        sequence: Its place in the order of submission, which it keeps across reconnects.
        timer: When its next step is due; 0.0 if there is none.
        sends: How often the current attempt was sent.
        epoch: The number of the connection over which its last message came or went.
        accepted_at: When the server acknowledged the current attempt; `None` before.
        running: Whether the last answer said that something is still to come.
        progress: The last progress reported, in per cent; `None` if none was.
        items: The results so far, in the order of arrival.
        errors: The errors of single results, as the last answers to polls have them.
        pushed_errors: The errors of single results that were pushed: at least so many have failed.
        seen_ids: The ids of the current attempt's results; `None` until they are needed.
        unreported_statuses: Statuses that were not reported to the caller yet.
        attempts: UUID and outcome of the attempts that ended.
        prior_results: How many of `items` are results of earlier attempts, whose ids mean nothing for this one.
        origin: Where it comes from, for events; `None` if nothing listened when it was submitted.
        headers: The caller's headers for its requests, which the transport adds; the session never uses them, except
            that it asks about tasks with the same headers only.
    """

    __slots__ = (
        "_polling",
        "accepted_at",
        "attempts",
        "completion",
        "deadline",
        "durable",
        "epoch",
        "errors",
        "expected",
        "headers",
        "items",
        "job",
        "key",
        "long_timeout",
        "origin",
        "policy",
        "prior_results",
        "progress",
        "pushed_errors",
        "repeatable",
        "running",
        "scheduled_deadline",
        "seen_ids",
        "sends",
        "sequence",
        "started",
        "state",
        "task_type",
        "text",
        "timeout",
        "timer",
        "unreported_statuses",
        "uuid",
    )

    def __init__(
        self,
        uuid: str,
        text: bytes,
        task_type: str,
        timeout: float,
        long_timeout: float = 0.0,
        expected: int = 1,
        completion: Completion = Completion.RESULTS,
        repeatable: bool = False,
        policy: Retries | None = None,
        job: Waiter | None = None,
    ) -> None:
        self.uuid = uuid
        self.key = uuid
        self.text = text
        self.task_type = task_type
        self.timeout = timeout
        self.long_timeout = long_timeout
        self.expected = expected
        self.completion = completion
        self.repeatable = repeatable
        self.policy = policy
        self.job = job
        self.durable: Durable | None = None
        self.headers: Headers = ()
        self.state = _QUEUED
        self.started = self.deadline = self.scheduled_deadline = 0.0
        self.sequence = 0
        self.timer = 0.0
        self.sends = 0
        self.epoch = 0
        self.accepted_at: float | None = None
        self.running = False
        self.progress: float | None = None
        # There are many calls, so empty sequences share one object.
        self.items: Sequence[Item] = ()
        self.errors: Sequence[TaskError] = ()
        self.pushed_errors: Sequence[TaskError] = ()
        self.seen_ids: set[str | None] | None = None
        self.unreported_statuses: list[Item] | None = None
        self.attempts: list[str] | None = None
        self.prior_results = 0
        self.origin: Origin | None = None
        self._polling: Polling | None = None

    def __repr__(self) -> str:
        return f"<Call {self.task_type} {self.uuid} {self.state.value} {len(self.items)}/{self.expected}>"

    def __lt__(self, other: Call) -> bool:
        """Return whether its entry among the deadlines is due earlier."""
        return self.scheduled_deadline < other.scheduled_deadline or (
            self.scheduled_deadline == other.scheduled_deadline and self.sequence < other.sequence
        )

    def enter(self, state: CallState) -> None:
        """Change the state.

        Raises:
            RuntimeError: The state does not follow the current one.
        """
        if state not in self.state.following:
            raise RuntimeError(f"a call cannot go from {self.state.value} to {state.value}")
        self.state = state

    @property
    def was_sent_in_order(self) -> bool:
        """Whether its only message was sent before those of all calls that were submitted later."""
        return self.sends == 1 and not self.attempts and self.durable is None

    @property
    def attempt(self) -> int:
        """The number of the current attempt, from 1."""
        return 1 + len(self.attempts or ())

    @property
    def polling(self) -> Polling:
        """The state of polling, made when it is first asked for."""
        polling = self._polling
        if polling is None:
            polling = self._polling = Polling()
        return polling

    @property
    def poll_outstanding(self) -> bool:
        """Whether the server was asked for the task and has not answered."""
        return self._polling is not None and self._polling.outstanding

    @property
    def failures(self) -> Sequence[TaskError]:
        """The errors of single results, from answers or pushed, whichever are more."""
        return self.errors if len(self.errors) >= len(self.pushed_errors) else self.pushed_errors

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come. How many results an existing task has is not known in advance."""
        if self.running and self.completion is Completion.EXISTING:
            return False
        return len(self.items) + len(self.failures) >= self.expected

    @property
    def missing(self) -> int:
        """How many results have not come."""
        return max(0, self.expected - len(self.items))

    @property
    def may_run(self) -> bool:
        """Whether the server may have the task."""
        state = self.state
        return state is _SENT or state is _ACCEPTED or state is _RECOVERING

    @property
    def may_have_run(self) -> bool:
        """Whether the server has, or had, this attempt: its message was written once."""
        if self.completion is Completion.CONNECTION:
            return False
        return self.may_run or (self.sends > 0 and not self.repeatable)

    @property
    def several(self) -> bool:
        """Whether an error that names it may be that of one result, with others still to come."""
        return self.expected > 1 or self.completion is Completion.EXISTING

    @property
    def can_try_again(self) -> bool:
        """Whether a new attempt could supply exactly what is missing."""
        if self.completion in (Completion.EXISTING, Completion.STATUSES):
            return False  # how far an upload got is not known

        # With a seed, a second task would make the results again that are there already.
        return not self.items or "seed" not in loads(self.text)[0]

    def is_acknowledged_by(self, item: Item) -> bool:
        """Return whether an item that completed the call says that the server has the task, and holds no result."""
        return self.completion is _ACKNOWLEDGEMENT and meaning(item, _RESULTS) is _RUNNING

    def begin_attempt(self) -> None:
        """Reset what belongs to the attempt that ended; results stay."""
        self.prior_results = len(self.items)
        self.seen_ids = None
        self.sends = 0
        self.errors = self.pushed_errors = ()
        self.accepted_at = None
        self.running = False
        if self._polling is not None:
            empty_answer = self._polling.empty_answer
            self._polling = Polling()
            self._polling.empty_answer = empty_answer  # a lookup stays the same, and one follow-up of it is enough

    def add(self, items: Sequence[Item], epoch: int, *, cumulative: bool) -> int:
        """Add the items of one message, and return how many were new results.

        Args:
            items: The items of this task in one message.
            epoch: The number of the connection they came over.
            cumulative: Whether the message repeats all there is so far (an answer to a poll) instead of adding to it.
        """
        had = len(self.items)
        mine = self.items = list(self.items)
        unnamed: list[Item] = []
        failed: list[Item] = []
        self.running = False
        for item in items:
            said = meaning(item, self.completion)
            if said is Meaning.RUNNING:
                self.running = True
                if self.completion is Completion.STATUSES and item.get("status") is not None:
                    self.unreported_statuses = [*(self.unreported_statuses or ()), item]
                self._note_progress(item)
            elif said is Meaning.ERROR:
                failed.append(item)
            elif (name := identity(item)) is None:
                unnamed.append(item)
            elif self._is_new(name):
                mine.append(item)
        if unnamed:
            self._add_unnamed(mine, unnamed, cumulative=cumulative, replayed=epoch != self.epoch)
        self.epoch = epoch
        if cumulative:
            self.errors = [*self.errors, *map(self._error_of, failed[len(self.errors) :])]
        elif failed:
            self.add_pushed_errors([self._error_of(item) for item in failed])
        return len(self.items) - had

    def add_pushed_errors(self, errors: Sequence[TaskError]) -> None:
        """Add the errors of single results in one message.

        The same error may be pushed twice, above all after a reconnect. So errors with the same code and message count
        as often as they stand in one message, and not once more for each message.
        """
        known = Counter(map(_code_and_message, self.pushed_errors))
        for error in errors:
            if known[_code_and_message(error)] > 0:
                known[_code_and_message(error)] -= 1
            else:
                self.pushed_errors = [*self.pushed_errors, error]

    def add_pushed(self, items: list[Item], epoch: int) -> bool:
        """Add one new result, if the message holds nothing else: the fast path of a pushed result.

        After milliseconds of waiting the processor's caches are cold, and the time depends on the number of functions
        called: through `add`, a message takes half as long again.

        Args:
            items: What was pushed, not asked for.
            epoch: The number of the connection it came over.

        Returns:
            Whether it was added; anything else is for `add`.
        """
        item = items[0]
        if (
            len(items) > 1
            or self.errors
            or self.pushed_errors
            or self.completion is not _RESULTS
            or "status" in item
            or "error" in item
        ):
            return False
        if self.expected == 1 and not self.items:
            # Complete with the first result, so there is nothing to compare it with.
            if item.keys() <= _NO_RESULT:
                return False
            self.items = items
        else:
            name, known = identity(item), self.seen_ids
            if name is None or (known is None and self.items) or (known is not None and name in known):
                return False
            self.items = [*self.items, item]
            if known is None:
                known = self.seen_ids = set()
            known.add(name)
        self.running = False
        self.epoch = epoch
        if self._polling is not None:
            self._polling.succeeded()
        return True

    def _is_new(self, name: str) -> bool:
        """Add an id to those seen, and return whether it was not among them."""
        if self.seen_ids is None:
            self.seen_ids = set(map(identity, self.items[self.prior_results :]))
        if name in self.seen_ids:
            return False
        self.seen_ids.add(name)
        return True

    def still_runs(self, items: Sequence[Item], epoch: int) -> bool:
        """Return whether the items of one message only say that the task is under way, and if so, note that."""
        if len(items) != 1 or self.failures or self.completion is not _RESULTS:
            return False
        item = items[0]
        if meaning(item, _RESULTS) is not _RUNNING:
            return False
        self.running = True
        self.epoch = epoch
        self._note_progress(item)
        return True

    def _note_progress(self, item: Item) -> None:
        progress = item.get("progress")
        if isinstance(progress, bool) or not isinstance(progress, (int, float)):
            return
        if abs(progress) < 1e9:  # an int may be larger than any float
            self.progress = float(progress)

    def add_answer(self, items: Sequence[Item]) -> None:
        """Add the answer to a lookup of another task: its failed items as errors, all others as results."""
        has_results = self.task_type == Question.RESPONSE.value
        failed = [item for item in items if has_results and meaning(item, self.completion) is Meaning.ERROR]
        self.items = [item for item in items if item not in failed] if failed else list(items)
        self.errors = [*self.errors, *map(self._error_of, failed)]

    def _error_of(self, item: Item) -> TaskError:
        """Make the error of an item whose result has failed."""
        raw = item.get("error")
        wire = raw if isinstance(raw, dict) else {"code": "taskFailed", "message": item.get("message"), **item}
        return error_from_wire(wire, task_type=self.task_type, task_uuid=self.uuid)

    def _add_unnamed(self, mine: list[Item], items: list[Item], *, cumulative: bool, replayed: bool) -> None:
        """Add results that have no id of their own, such as texts.

        Two equal texts may be two results, so each one pushed on one connection counts. Answers that repeat everything,
        and pushes on a new connection, are compared with the results so far, one for one.
        """
        if not (cumulative or replayed):
            mine += items
            return
        have = [item for item in mine[self.prior_results :] if identity(item) is None]
        room = len(items) - len(have) if cumulative else len(items)
        for item in items:
            same = next((old for old in have if _same(old, item)), None)
            if same is not None:
                have.remove(same)
            elif room > 0:
                room -= 1
                mine.append(item)


def _code_and_message(error: TaskError) -> tuple[str | None, str]:
    return error.code, error.message


def _same(one: Item, other: Item) -> bool:
    # `status` is there in answers and not in pushes.
    return {**one, "status": None} == {**other, "status": None}
