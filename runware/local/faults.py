"""Faults: what goes wrong on request. This module says when a fault can interfere; `scenarios` says what each does."""

# A place to interfere is given everything that any fault might need.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from runware.local.jobs import Job
from runware.local.sessions import Output, Replay
from runware.local.wire import dumps

if TYPE_CHECKING:
    from runware.local.connection import Connection
    from runware.local.state import State

__all__ = ["Fault", "Faults", "HttpFault", "StreamPlan"]


class HttpFault(NamedTuple):
    """What goes wrong with an HTTP request: it is cut, or answered with a bare status."""

    cut: bool
    status: int


class StreamPlan:
    """How a token stream is written.

    Attributes:
        events: The JSON text of each event.
        newline: The end of a line.
        space: What stands between `data:` and the JSON.
        done: Whether `[DONE]` ends the stream.
        joined: Whether everything is written at once.
        split: Whether multi-byte characters are torn apart between writes.
        trailing: Whether the last line is ended.
        abort: Whether the connection is reset at the end.
        pause: Seconds between two writes.
    """

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.newline = "\n"
        self.space = " "
        self.done = True
        self.joined = False
        self.split = False
        self.trailing = True
        self.abort = False
        self.pause = 0.0

    def fail(self, event: dict[str, Any]) -> None:
        """End the stream with an error after two events."""
        self.events = [*self.events[:2], dumps(event)]

    def parts(self) -> list[bytes]:
        """The pieces to be written, in order."""
        end = self.newline * 2
        lines = [f": ping{end}"] + [f"data:{self.space}{event}{end}" for event in self.events]
        if self.done:
            lines.append(f"data:{self.space}[DONE]{end}")
        if not self.trailing:
            lines[-1] = lines[-1].rstrip("\r\n")
        whole = [line.encode() for line in lines]
        if self.joined:
            return [b"".join(whole)]
        return [piece for part in whole for piece in _torn(part)] if self.split else whole


def _torn(part: bytes) -> list[bytes]:
    pieces, start = [], 0
    for position, byte in enumerate(part):
        if byte >= 0xE0:
            pieces.append(part[start : position + 1])
            start = position + 1
    return [*pieces, part[start:]]


class Fault:
    """One fault being played.

    Every method but `use` and `stop` is a place where a fault can interfere; here none does.

    Attributes:
        name: `X1` to `X24`.
        summary: What it does.
        defaults: Its parameters and their default values.
        choices: The allowed values of parameters that have only some.
        default_times: How often it is played. `None`: always.
        parameters: Its parameters in this case.
        times: How often it will still be played. `None`: always.
        played: How often it was played.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    defaults: ClassVar[dict[str, Any]] = {}
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {}
    default_times: ClassVar[int | None] = 1

    def __init__(self, faults: Faults, parameters: dict[str, Any]) -> None:
        unknown = sorted(set(parameters) - {*self.defaults, "times", "task_type"})
        if unknown:
            known = ", ".join([*self.defaults, "times", "task_type"])
            raise ValueError(f"fault {self.name} has no parameter {unknown[0]!r}; it has: {known}")
        self.parameters = {**self.defaults, **parameters}
        for name, allowed in self.choices.items():
            if self.parameters[name] not in allowed:
                wanted = ", ".join(map(str, allowed))
                raise ValueError(f"{name} of fault {self.name} is one of {wanted}, not {self.parameters[name]!r}")
        self.times: int | None = parameters.get("times", self.default_times)
        self.task_type: str | None = parameters.get("task_type")
        self.played = 0
        self._faults = faults

    def __repr__(self) -> str:
        return f"<Fault {self.name} {self.parameters} played={self.played} times={self.times}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Play it no more."""
        self._faults.remove(self)

    def concerns(self, task: dict[str, Any]) -> bool:
        """Whether it may be played with a task."""
        return self.task_type in (None, task.get("taskType"))

    def use(self) -> None:
        """Note that it was played."""
        self.played += 1
        if self.times is not None:
            self.times -= 1
            if self.times <= 0:
                self._faults.remove(self)
        self._faults.note(self.name)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The server's event loop."""
        return self._faults.loop

    def begin(self, state: State) -> None:
        """It was added."""

    def end(self, state: State) -> None:
        """It was removed."""

    def pinged(self, connection: Connection, kind: str) -> bool:
        """A ping came, `json` or `protocol`; whether to leave it unanswered."""
        return False

    def authenticating(self, connection: Connection, task: dict[str, Any]) -> bool:
        """An authentication came; whether the fault has dealt with it."""
        return False

    def authenticated(self, connection: Connection) -> None:
        """An authentication was answered."""

    def resuming(self, plan: Replay) -> None:
        """A session is being resumed."""

    def task_received(self, connection: Connection, task: dict[str, Any]) -> bool:
        """A task came; whether the fault has dealt with it."""
        return False

    def duplicates(self, task: dict[str, Any]) -> bool:
        """Whether a taskUUID may be used twice."""
        return False

    def accepted(self, job: Job) -> None:
        """A job is about to start."""

    def acknowledging(self, job: Job, frames: list[Output]) -> list[Output]:
        """A job is being acknowledged (with no frames if it is synchronous); what to send."""
        return frames

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Results are being delivered; what to send."""
        return frames

    def polled(self, task: dict[str, Any], job: Job | None, frames: list[Output]) -> list[Output]:
        """A poll is being answered; what to send."""
        return frames

    def pad(self, job: Job, data: bytes) -> bytes:
        """A file is going to travel inside a result; what it is."""
        return data

    def http_request(self, jobs: list[Job] | None) -> HttpFault | None:
        """An HTTP request came (`None`), or its jobs have been accepted; how it fails."""
        return None

    def streaming(self, job: Job, plan: StreamPlan) -> None:
        """Tokens are going to be streamed."""


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Read a fault as the command line gives it: `X6:replay=rest,times=2`."""
    name, _, rest = text.partition(":")
    parameters: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, separator, value = pair.partition("=")
        if not separator:
            raise ValueError(f"a fault's parameters are NAME=VALUE, not {pair!r}")
        parameters[key.strip()] = _value(value.strip())
    return name.strip(), parameters


def _value(text: str) -> Any:
    fixed = {"none": None, "true": True, "false": False}
    if text.lower() in fixed:
        return fixed[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class Faults:
    """All faults being played.

    Args:
        state: What the server shares.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._playing: tuple[Fault, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look_again: Callable[[], None] | None = None
        self.active = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The server's event loop."""
        assert self._loop is not None
        return self._loop

    def started(self, loop: asyncio.AbstractEventLoop, look_again: Callable[[], None]) -> None:
        """The server runs; `look_again` has it reconsider how long connections may be inactive."""
        self._loop = loop
        self._look_again = look_again

    def stopped(self) -> None:
        """The server stopped."""
        self._loop = None
        self._look_again = None

    def look_again(self) -> None:
        """The limit of inactivity was changed."""
        if self._look_again is not None:
            self._look_again()

    def make(self, text: str, parameters: dict[str, Any]) -> Fault:
        """Make a fault by its name.

        Raises:
            ValueError: There is no such fault or parameter.
        """
        # The scenarios are made of what this module defines.
        from runware.local.scenarios import FAULTS

        name, given = parse(text)
        kind = FAULTS.get(name.upper())
        if kind is None:
            raise ValueError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
        return kind(self, {**given, **parameters})

    def add(self, fault: Fault) -> None:
        """Play a fault from now on."""
        with self._lock:
            self._playing = (*self._playing, fault)
            self.active = True
        fault.begin(self._state)

    def remove(self, fault: Fault) -> None:
        """Play a fault no more."""
        with self._lock:
            known = fault in self._playing
            self._playing = tuple(other for other in self._playing if other is not fault)
            self.active = bool(self._playing)
        if known:
            fault.end(self._state)

    def clear(self) -> None:
        """Play none any more."""
        for fault in self._playing:
            self.remove(fault)

    def note(self, name: str) -> None:
        """Write into the ledger that a fault was played."""
        self._state.ledger.faults.append(name)
        self._state.ledger.changed()

    def pinged(self, connection: Connection, kind: str) -> bool:
        """Whether a ping stays unanswered."""
        return self.active and any(fault.pinged(connection, kind) for fault in self._playing)

    def authenticating(self, connection: Connection, task: dict[str, Any]) -> bool:
        """Whether a fault has dealt with an authentication."""
        return any(fault.authenticating(connection, task) for fault in self._playing)

    def authenticated(self, connection: Connection) -> None:
        """An authentication was answered."""
        for fault in self._playing:
            fault.authenticated(connection)

    def resuming(self, plan: Replay) -> None:
        """A session is being resumed."""
        for fault in self._playing:
            fault.resuming(plan)

    def task_received(self, connection: Connection, task: dict[str, Any]) -> bool:
        """Whether a fault has dealt with a task."""
        return any(fault.task_received(connection, task) for fault in self._concerned(task))

    def duplicates(self, task: dict[str, Any]) -> bool:
        """Whether a taskUUID may be used twice."""
        return any(fault.duplicates(task) for fault in self._concerned(task))

    def accepted(self, job: Job) -> None:
        """A job is about to start."""
        for fault in self._concerned(job.task):
            fault.accepted(job)

    def acknowledging(self, job: Job, frames: list[Output]) -> list[Output]:
        """What an acknowledgement becomes."""
        return self._chain(job.task, frames, lambda fault, frames: fault.acknowledging(job, frames))

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """What results become."""
        return self._chain(job.task, frames, lambda fault, frames: fault.delivering(job, frames))

    def polled(self, task: dict[str, Any], job: Job | None, frames: list[Output]) -> list[Output]:
        """What the answer to a poll becomes."""
        subject = job.task if job is not None else task
        return self._chain(subject, frames, lambda fault, frames: fault.polled(task, job, frames))

    def pad(self, job: Job, data: bytes) -> bytes:
        """What a file inside a result becomes."""
        for fault in self._concerned(job.task):
            data = fault.pad(job, data)
        return data

    def http_request(self, jobs: list[Job] | None) -> HttpFault | None:
        """How an HTTP request fails; `None`: it does not."""
        found = (fault.http_request(jobs) for fault in self._playing)
        return next((fault for fault in found if fault is not None), None)

    def streaming(self, job: Job, plan: StreamPlan) -> None:
        """Tokens are going to be streamed."""
        for fault in self._concerned(job.task):
            fault.streaming(job, plan)

    def _concerned(self, task: dict[str, Any]) -> list[Fault]:
        return [fault for fault in self._playing if fault.concerns(task)]

    def _chain(
        self,
        task: dict[str, Any],
        frames: list[Output],
        step: Callable[[Fault, list[Output]], list[Output]],
    ) -> list[Output]:
        for fault in self._concerned(task):
            frames = step(fault, frames)
        return frames
