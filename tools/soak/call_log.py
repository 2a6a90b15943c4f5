"""The outcomes of all calls, in memory that does not grow."""

from __future__ import annotations

import contextlib
import enum
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator

__all__ = ["Call", "CallLog", "Outcome"]

_SHOWN = 20


class Outcome(enum.IntEnum):
    """How a call ended.

    Attributes:
        BEGUN: It has not ended yet.
        DONE: With the right result.
        CANCELLED: The caller gave it up.
        CUT: The connection was lost, and the caller was told so. Only for what cannot always be asked for again: chats,
            and streams that broke off before the server had read their request.
        LOST: Any other error, or a wrong result.
    """

    BEGUN = 0
    DONE = 1
    CANCELLED = 2
    CUT = 3
    LOST = 4


class Call:
    """One call.

    Attributes:
        number: Its number. The server finds it at the end of the prompt.
        outcome: What it counts as if the block of `CallLog.call` ends without an error.
    """

    __slots__ = ("kind", "number", "outcome")

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind
        self.outcome = Outcome.DONE

    @property
    def prompt(self) -> str:
        """A prompt that no other call has."""
        return f"{self.kind} {self.number}"

    @property
    def seed(self) -> int:
        """A seed that no other call has."""
        return self.number + 1


class CallLog:
    """One byte for the outcome of each call, and one for its kind, allocated and touched at the start.

    Args:
        limit: The number of calls that there may be.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._outcomes = bytearray(b"\xff") * limit
        self._kinds = bytearray(b"\xff") * limit
        self._names: list[str] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.begun = 0
        self.losses: list[str] = []
        self.errors: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.large = 0

    def begin(self, kind: str) -> Call:
        """Begin a call."""
        with self._lock:
            if kind not in self._names:
                self._names.append(kind)
            number = next(self._numbers)
            self._outcomes[number] = Outcome.BEGUN
            self._kinds[number] = self._names.index(kind)
            self.begun += 1
        return Call(number, kind)

    def end(self, call: Call, outcome: Outcome = Outcome.DONE) -> None:
        """Record the outcome of a call."""
        self._outcomes[call.number] = outcome

    def lose(self, call: Call, error: BaseException) -> None:
        """Record that a call failed."""
        with self._lock:
            self.errors[type(error).__name__] += 1
            if len(self.losses) < _SHOWN:
                self.losses.append(f"{call.prompt}: {type(error).__name__}: {str(error)[:300]}")
        self.end(call, Outcome.LOST)

    @contextlib.contextmanager
    def call(self, kind: str) -> Iterator[Call]:
        """Record one call; an exception in the block is a loss."""
        call = self.begin(kind)
        start = time.monotonic()
        try:
            yield call
        except Exception as error:
            # Whatever it is, the call is lost, and the caller goes on with the next one.
            self.lose(call, error)
        else:
            self.end(call, call.outcome)
        self.took(kind, time.monotonic() - start)

    def took(self, kind: str, seconds: float) -> None:
        """Record how long a call took."""
        if seconds > self.slowest.get(kind, 0.0):
            self.slowest[kind] = seconds

    def carried(self, size: int) -> None:
        """Record characters of base64."""
        with self._lock:
            self.large += size

    def of(self, outcome: Outcome) -> list[str]:
        """Return the calls with an outcome, as kind and number."""
        found, start = [], self._outcomes.find(outcome)
        while start >= 0:
            found.append(f"{self.kind_of(start)} {start}")
            start = self._outcomes.find(outcome, start + 1)
        return found

    def count(self, outcome: Outcome) -> int:
        """Return the number of calls with an outcome."""
        return self._outcomes.count(outcome)

    def outcome_of(self, number: int) -> int:
        """Return the outcome of a call."""
        return self._outcomes[number]

    def kind_of(self, number: int) -> str:
        """Return the kind of a call."""
        return self._names[self._kinds[number]]

    def by_kind(self) -> dict[str, int]:
        """Return the number of calls of each kind."""
        return {name: self._kinds.count(place) for place, name in enumerate(self._names)}
