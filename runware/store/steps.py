"""The steps of durable calls that the recorder writes, and the calls that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from runware.errors import RunwareError
from runware.protocol.call import Call
from runware.protocol.effects import Record, Step
from runware.store.lines import Line, line_of

__all__ = [
    "ArrivedResults",
    "Bill",
    "EndedCall",
    "RecordedCalls",
    "RecorderStep",
    "Reservation",
    "SavedFiles",
    "is_attempt",
    "is_independent",
    "is_urgent",
]


class EndedCall:
    """The end of a call. It keeps the results that are to be written, because the call itself drops them.

    Args:
        call: The call.
        error: Why it failed; `None` if it did not.
    """

    __slots__ = ("call", "error", "items", "line", "step", "uuid")

    def __init__(self, call: Call, error: RunwareError | None) -> None:
        self.call = call
        self.line = line_of(call)
        self.uuid = call.uuid
        self.items = [item for item in call.items if not call.is_acknowledged_by(item)]
        self.error = error
        self.step: str | None = None
        """How far the task was, if that is written together with its end."""

    @property
    def key(self) -> str:
        """The task's key, which is known once the store has looked it up."""
        return self.line.key


class ArrivedResults(NamedTuple):
    """All results so far of a call that has not ended."""

    key: str
    items: list[dict[str, Any]]


class SavedFiles(NamedTuple):
    """Where files of a task's results are: path and size by their position among all files of the task."""

    key: str
    files: Mapping[int, tuple[str, int]]


class Reservation(NamedTuple):
    """What a stream or chat may cost. It is sent once `decided` has no error."""

    line: Line
    decided: Future[None]


class Bill(NamedTuple):
    """What a stream or chat has cost, in billionths of a dollar, in place of what was reserved for it."""

    line: Line
    amount: int


RecorderStep: TypeAlias = Record | ArrivedResults | SavedFiles | EndedCall | Reservation | Bill


def is_attempt(step: RecorderStep) -> TypeGuard[Record]:
    """Return whether a step is an attempt, which waits to be sent."""
    return isinstance(step, Record) and step.step is Step.TASK


def is_urgent(step: RecorderStep) -> bool:
    """Return whether something waits to be sent until the step is written."""
    return isinstance(step, Reservation) or is_attempt(step)


def is_independent(step: RecorderStep) -> bool:
    """Return whether a step is the first attempt of a task that no other call can have, and that has no budget.

    What earlier calls have done, or cost, makes no difference for it.
    """
    if not is_attempt(step):
        return False
    call, durable = step.call, step.call.durable
    line = line_of(call)
    return call.attempt == 1 and not (line.limits or line.follows or (durable is not None and durable.stable))


class RecordedCalls:
    """The calls of a client whose tasks are open in the store.

    Attributes:
        own: The calls whose tasks this client follows itself, by key.
        watched: The calls that wait for the outcome of a task which another call follows, with its key.
    """

    __slots__ = ("own", "watched")

    def __init__(self) -> None:
        self.own: dict[str, Call] = {}
        self.watched: dict[Call, str] = {}

    def copy(self) -> RecordedCalls:
        """Return a copy, to be restored if a transaction fails."""
        copy = RecordedCalls()
        copy.restore(self)
        return copy

    def restore(self, before: RecordedCalls) -> None:
        """Set the calls to those of a copy, which may be used again."""
        self.own, self.watched = before.own.copy(), before.watched.copy()

    def forget(self, call: Call, key: str) -> bool:
        """Remove a call; return whether it was the client's own."""
        self.watched.pop(call, None)
        if self.own.get(key) is not call:
            return False
        del self.own[key]
        return True
