"""One call: what was asked, what has come of it so far, and when it is complete.

A call knows nothing of the connection. `Session` moves it from state to state; this file says what an item means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from runware.errors import TaskError, error_from_wire
from runware.protocol.codec import loads

__all__ = ["COUNTS", "Call", "CallState", "Completion", "Question", "is_acknowledgement"]

Item = dict[str, Any]


class CallState(Enum):
    """Where a call stands. It only ever leaves `DONE` by being forgotten."""

    QUEUED = "queued"
    """Not written, or not completely, so that the server cannot have it."""
    SENT = "sent"
    """Handed to the socket; the server has not said anything about it."""
    ACCEPTED = "accepted"
    """The server has it and works on it; it is asked for."""
    RECOVERING = "recovering"
    """It was written before the connection was lost; the server is asked what became of it."""
    RETRYING = "retrying"
    """The server failed it; it waits for its next attempt."""
    DONE = "done"


_SENT, _ACCEPTED, _RECOVERING = CallState.SENT, CallState.ACCEPTED, CallState.RECOVERING


class Completion(Enum):
    """What a call waits for."""

    RESULTS = auto()
    """As many results as were asked for; an answer without one is an acknowledgement, after which they are polled."""
    ACKNOWLEDGEMENT = auto()
    """The server's first word."""
    STATUSES = auto()
    """A sequence of statuses that ends in `ready` or `failed` (modelUpload)."""
    ANSWER = auto()
    """The one answer to a question about another task, whatever it holds."""
    EXISTING = auto()
    """All that the server has of a task that was submitted before, once nothing of it runs any more."""
    CONNECTION = auto()
    """No task at all: that the connection is ready."""


_RESULTS = Completion.RESULTS


class Question(Enum):
    """What the server can be asked about a task. Both only read, so that they may be asked again."""

    RESPONSE = "getResponse"
    DETAILS = "getTaskDetails"


class Meaning(Enum):
    """What one item says."""

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
"""What a task says how many results it wants with."""
_FAILED = frozenset(("error", "failed"))
_UNDER_WAY = frozenset(("processing", "running", "queued", "pending", "scheduled", "waiting", "accepted", "started"))
"""The wire has the first; the others are words that servers of its kind use (protocol reference, 5.3)."""


def is_acknowledgement(item: Item) -> bool:
    """Tell whether an item only says that the server has the task."""
    return item.keys() <= _NO_RESULT and item.get("status") is None


def meaning(item: Item, completion: Completion) -> Meaning:
    """Tell a result from an error and from a word that the task is accepted or running."""
    status = item.get("status")
    if not isinstance(status, str):
        status = None
    if status in _FAILED or (item.get("error") and status != "success"):
        return Meaning.ERROR
    if completion is Completion.STATUSES:
        return Meaning.RESULT if status == "ready" else Meaning.RUNNING
    if status is None:
        # A pushed result has no status. What has nothing but its names is an acknowledgement.
        return Meaning.RUNNING if item.keys() <= _NO_RESULT else Meaning.RESULT
    if status == "success" or (status not in _UNDER_WAY and identity(item) is not None):
        return Meaning.RESULT  # a finished one must not be lost because its status has a new name
    return Meaning.RUNNING


def identity(item: Item) -> str | None:
    """Tell what distinguishes a result from the others of its task; `None` for results without a name."""
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


class Call:
    """One call, from submit to its end.

    Attributes:
        uuid: The `taskUUID` of the current attempt.
        text: The message to send, a JSON array of one task; emptied when the call ends.
        expected: How many results complete it.
        repeatable: Whether the task only reads, so that sending it twice does no harm.
        job: Whoever waits; the engine hands it through.
        timeout: Seconds until the server's word is due.
        long_timeout: Seconds for all of it, from the moment at which the server says that it works on the task.
        deadline: When the call ends at the latest, in the session's time.
        items: The results so far, as they came, in order.
        errors: The errors of single results, as the last answers to questions have them.
        pushed_errors: The errors of single results that came without a question: at least so many have failed.
        attempts: UUID and outcome of the attempts that ended.
    """

    __slots__ = (
        "accepted_at",
        "asked",
        "attempt",
        "attempts",
        "before",
        "completion",
        "conflicted",
        "deadline",
        "due",
        "empty_answer",
        "epoch",
        "errors",
        "expected",
        "items",
        "job",
        "key",
        "known",
        "long_timeout",
        "news",
        "over_since",
        "policy",
        "progress",
        "pushed_errors",
        "question",
        "repeatable",
        "running",
        "sends",
        "started",
        "state",
        "task_type",
        "text",
        "timeout",
        "timer",
        "troubled_at",
        "troubles",
        "turn",
        "uuid",
    )

    def __init__(
        self,
        *,
        uuid: str,
        text: bytes,
        task_type: str,
        timeout: float,
        long_timeout: float = 0.0,
        expected: int = 1,
        completion: Completion = Completion.RESULTS,
        repeatable: bool = False,
        policy: Any = None,
        job: Any = None,
    ) -> None:
        self.uuid = uuid
        self.key = uuid  # what it is known by; a question about another task has a name of its own
        self.text = text
        self.task_type = task_type
        self.timeout = timeout
        self.long_timeout = long_timeout
        self.expected = expected
        self.completion = completion
        self.repeatable = repeatable
        self.policy = policy
        self.job = job
        self.state = CallState.QUEUED
        # Empty ones are no objects of their own, because there are many calls.
        self.items: Sequence[Item] = ()
        self.errors: Sequence[TaskError] = ()
        self.pushed_errors: Sequence[TaskError] = ()
        self.attempts: list[str] | None = None
        self.attempt = 1
        self.before = 0  # results of earlier attempts, which those of this one have nothing in common with
        self.sends = 0
        self.started = self.deadline = 0.0
        self.timer = 0.0  # the deadline as it was when it was entered among the deadlines; it may have moved on since
        self.accepted_at: float | None = None
        self.turn = 0  # place in the order of submission, kept across reconnects
        self.due = 0.0  # when the next step of its own is to be taken; 0.0 when there is none
        self.question = Question.RESPONSE
        self.asked = False  # a question is on its way
        self.empty_answer = False  # an answer without anything in it came, which may have been meant for it
        self.conflicted = False  # the server's own word that it has the task
        self.running = False  # the last answer said that something is still to come
        self.over_since = 0.0  # since when answers say that nothing more is to come, and yet something is missing
        self.troubles = 0  # answers in a row that did not help
        self.troubled_at = 0.0  # when the first of them came
        self.progress: float | None = None
        self.known: set[str | None] | None = None
        self.news: list[Item] | None = None  # statuses that nobody was told of yet
        self.epoch = 0

    def __repr__(self) -> str:
        return f"<Call {self.task_type} {self.uuid} {self.state.value} {len(self.items)}/{self.expected}>"

    def __lt__(self, other: Call) -> bool:
        """Whether its timer is due earlier."""
        return self.timer < other.timer or (self.timer == other.timer and self.turn < other.turn)

    @property
    def failures(self) -> Sequence[TaskError]:
        """The errors of single results, from answers or pushed, whichever are more."""
        return self.errors if len(self.errors) >= len(self.pushed_errors) else self.pushed_errors

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come. Of a task submitted elsewhere nobody knows how many results it has."""
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
        """Whether the server may have this attempt, or may have had it: its message was written once."""
        return self.may_run or (self.sends > 0 and not self.repeatable)

    @property
    def several(self) -> bool:
        """Whether an error that names it may be that of one result, with others still to come."""
        return self.expected > 1 or self.completion is Completion.EXISTING

    @property
    def can_try_again(self) -> bool:
        """Whether a new attempt could supply just what is missing."""
        if self.completion in (Completion.EXISTING, Completion.STATUSES):
            return False  # of an upload nobody knows how far it came

        # With a seed, a second task would make the results again that are there already.
        return not self.items or "seed" not in loads(self.text)[0]

    def add(self, items: Sequence[Item], epoch: int, *, cumulative: bool) -> int:
        """Take in the items of one message and return how many were new results.

        Args:
            items: The items of this task in one message.
            epoch: The number of the connection they came over.
            cumulative: Whether the message repeats all there is so far (an answer to a question), rather than
                telling something new.
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
                    self.news = [*(self.news or ()), item]
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
        """Take in the errors of single results that one message tells of.

        The same error may be pushed twice, above all after a reconnect. So errors with the same words count as often as
        they stand in one message, and not once more for each message.
        """
        known = Counter(map(_words, self.pushed_errors))
        for error in errors:
            if known[_words(error)] > 0:
                known[_words(error)] -= 1
            else:
                self.pushed_errors = [*self.pushed_errors, error]

    def add_pushed(self, items: list[Item], epoch: int) -> bool:
        """Take in one new result, if that is all that a message says.

        After milliseconds of waiting nothing is left in the processor's caches, and what counts is how many functions
        the way to the caller goes through: by way of `add`, a message takes half as long again.

        Args:
            items: What was pushed, not asked for.
            epoch: The number of the connection it came over.

        Returns:
            Whether it was taken in; anything else is for `add`.
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
            # Complete with the first result, and nothing to tell apart.
            if item.keys() <= _NO_RESULT:
                return False
            self.items = items
        else:
            name, known = identity(item), self.known
            if name is None or (known is None and self.items) or (known is not None and name in known):
                return False
            self.items = [*self.items, item]
            if known is None:
                known = self.known = set()
            known.add(name)
        self.running = False
        self.epoch = epoch
        return True

    def _is_new(self, name: str) -> bool:
        """Tell whether no result of this name has come yet; from now on one has."""
        if self.known is None:
            self.known = set(map(identity, self.items[self.before :]))
        if name in self.known:
            return False
        self.known.add(name)
        return True

    def still_runs(self, items: Sequence[Item], epoch: int) -> bool:
        """Tell whether all that the items of one message say is that the task is under way; then, take that in."""
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
        """Take in the answer to a question about another task: what it says has failed, and all the rest."""
        tells = self.task_type == Question.RESPONSE.value
        failed = [item for item in items if tells and meaning(item, self.completion) is Meaning.ERROR]
        self.items = [item for item in items if item not in failed] if failed else list(items)
        self.errors = [*self.errors, *map(self._error_of, failed)]

    def _error_of(self, item: Item) -> TaskError:
        """Make the error of an item that says that its result has failed."""
        raw = item.get("error")
        wire = raw if isinstance(raw, dict) else {"code": "taskFailed", "message": item.get("message"), **item}
        return error_from_wire(wire, task_type=self.task_type, task_uuid=self.uuid)

    def _add_unnamed(self, mine: list[Item], items: list[Item], *, cumulative: bool, replayed: bool) -> None:
        """Take in results that have no name of their own, such as texts.

        Two equal texts may be two results, so what is pushed on one connection counts whatever it says. Answers
        that repeat everything, and pushes on a new connection, are compared with what is there, one for one.
        """
        if not (cumulative or replayed):
            mine += items
            return
        have = [item for item in mine[self.before :] if identity(item) is None]
        room = len(items) - len(have) if cumulative else len(items)
        for item in items:
            same = next((old for old in have if _same(old, item)), None)
            if same is not None:
                have.remove(same)
            elif room > 0:
                room -= 1
                mine.append(item)


def _words(error: TaskError) -> tuple[str | None, str]:
    return error.code, error.message


def _same(one: Item, other: Item) -> bool:
    # `status` is there in answers and not in pushes.
    return {**one, "status": None} == {**other, "status": None}
