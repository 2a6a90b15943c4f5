"""Answers to tasks that a test sets, in place of those that the server generates."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from runware.local.validation import ApiError

__all__ = ["GivenResults", "PlannedAnswer", "PlannedAnswers"]

GivenResults = (
    Mapping[str, Any]
    | Sequence[Mapping[str, Any]]
    | Callable[[dict[str, Any]], Mapping[str, Any] | Sequence[Mapping[str, Any]] | None]
)
"""Fields of every result; or a list with the fields of each; or a function of the task that returns either, or `None`
to leave the answer to the server."""

_ACRONYMS = {"url": "URL", "uri": "URI", "uuid": "UUID", "nsfw": "NSFW", "cfg": "CFG"}


class PlannedAnswer:
    """The answer to the next tasks of one type; `LocalServer.respond` creates it.

    Attributes:
        task_type: The task type.
        results: Fields that replace those of the results that the server makes up. `None`: none.
        error: The error with which the task fails. `None`: it succeeds.
        file: The content of the files of the results. `None`: the server draws them.
        delay: Seconds until the first result. `None`: the delay of the server.
        times: How many further tasks it answers. `None`: all.
        result_errors: The errors of results that fail, by the index of the result.
        requests: The tasks that it answered, in order.
    """

    def __init__(
        self,
        task_type: str,
        results: GivenResults | None = None,
        *,
        error: str | Mapping[str, Any] | None = None,
        message: str | None = None,
        file: bytes | os.PathLike[str] | None = None,
        delay: float | None = None,
        times: int | None = 1,
    ) -> None:
        if error is not None and (results is not None or file is not None):
            raise ValueError("error excludes results and file: a task fails, or has results")
        if message is not None and error is None:
            raise ValueError("message belongs to an error: respond(..., error='invalidModel', message='...')")
        if delay is not None and delay < 0:
            raise ValueError(f"delay must not be negative; got {delay!r}")
        if times is not None and times < 1:
            raise ValueError(f"times must be 1 or more, or None for always; got {times!r}")
        if results is not None and not callable(results):
            _check_results(results)
        self.task_type = task_type
        self.results = results
        self.error = None if error is None else _error(error, message)
        self.file = None if file is None else _content(file)
        self.delay = delay
        self.times = times
        self.result_errors: Mapping[int, ApiError] = {}
        self.requests: list[dict[str, Any]] = []
        self._owner: PlannedAnswers | None = None

    def results_for(self, task: dict[str, Any], count: int) -> Sequence[Mapping[str, Any]] | None:
        """Return the given fields of each result of a task; `None`: the server makes all of them up.

        Args:
            task: The task.
            count: The number of results that it asks for.

        Raises:
            ApiError: The task asks for another number of results than there are.
        """
        results = self.results
        if callable(results):
            results = results(task)
            if results is not None:
                _check_results(results)
        if results is None:
            return None
        if isinstance(results, Mapping):
            return [results] * count
        if len(results) != count:
            message = (
                f"respond({self.task_type!r}, ...) was given {len(results)} results, and the task asks for {count}. "
                "Give as many as it asks for, or a single dict for all of them."
            )
            raise ApiError("invalidNumberResults", message, "numberResults")
        return results

    def stop(self) -> None:
        """Stop answering with it."""
        if self._owner is not None:
            self._owner.remove(self)

    def attach(self, owner: PlannedAnswers) -> None:
        """Connect it to the answers from which `stop` removes it."""
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        left = "always" if self.times is None else f"{self.times} more"
        return f"<PlannedAnswer {self.task_type}, used={len(self.requests)}, {left}>"


class PlannedAnswers:
    """All planned answers: first those for a number of tasks, in the order given, then the newest one for all tasks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: list[PlannedAnswer] = []
        self.active = False

    def add(self, answer: PlannedAnswer) -> None:
        """Plan an answer."""
        answer.attach(self)
        with self._lock:
            self._answers.append(answer)
            self.active = True

    def remove(self, answer: PlannedAnswer) -> None:
        """Cancel an answer."""
        with self._lock:
            self._answers = [other for other in self._answers if other is not answer]
            self.active = bool(self._answers)

    def clear(self) -> None:
        """Cancel all answers."""
        with self._lock:
            self._answers = []
            self.active = False

    def take(self, task_type: str, task: dict[str, Any]) -> PlannedAnswer | None:
        """Return the answer to a task, and count it; `None`: the server makes one up."""
        with self._lock:
            fitting = [answer for answer in self._answers if answer.task_type == task_type]
            counted = [answer for answer in fitting if answer.times is not None]
            found = counted[0] if counted else fitting[-1] if fitting else None
            if found is None:
                return None
            found.requests.append(task)
            if found.times is not None:
                found.times -= 1
                if found.times == 0:
                    self._answers.remove(found)
                    self.active = bool(self._answers)
            return found


def _check_results(results: object) -> None:
    """Raise an error unless the results are one or several dicts with the API's names."""
    several = [results] if isinstance(results, Mapping) else results
    if not isinstance(several, Sequence) or not all(isinstance(one, Mapping) for one in several):
        raise TypeError(f"results takes a dict, a list of dicts, or a function; got {results!r}")
    for one in several:
        for name in one:
            if "_" in name:
                raise ValueError(f"results takes the API's names: {_api_name(name)!r}; got {name!r}")


def _api_name(name: str) -> str:
    first, *others = re.split("_+", name.strip("_"))
    return first + "".join(_ACRONYMS.get(part, part.capitalize()) for part in others)


def _error(error: str | Mapping[str, Any], message: str | None) -> ApiError:
    details = {"code": error} if isinstance(error, str) else dict(error)
    code = details.pop("code", None)
    if not isinstance(code, str) or not code:
        raise ValueError(f"error takes an error code of the API, or a dict with a code; got {error!r}")
    text = message or details.pop("message", None) or f"The test asked for the error {code}."
    return ApiError(code, text, details.pop("parameter", None), **details)


def _content(file: bytes | os.PathLike[str]) -> bytes:
    data = file if isinstance(file, bytes) else Path(file).read_bytes()
    if not data:
        raise ValueError("file must not be empty")
    return data
