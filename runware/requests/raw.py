"""Tasks in the API's own words."""

# No `from __future__ import annotations` in this package: the checks read the annotations as types.

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from runware.errors import ValidationError
from runware.requests import request_class
from runware.requests.base import Task
from runware.requests.serialization import to_wire
from runware.requests.validation import length
from runware.results import Result, Results
from runware.results.platform import class_for

__all__ = ["RawTask", "as_task"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RawTask(Task[Results[Result]]):
    """A task in the wire's own words, for what has no class.

    Args:
        body: The wire object: `taskType`, and parameters by their names on the wire. Media may stand in it as in any
            other task.
    """

    many: ClassVar[bool] = True
    class_of: ClassVar[Any] = staticmethod(class_for)

    task_type: str = attrs.field(init=False)  # type: ignore[misc]
    body: Mapping[str, Any]

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        kind = self.body.get("taskType")
        if not isinstance(kind, str) or not kind:
            self._reject("body", "needs a taskType, such as {'taskType': 'imageInference', ...}")
        object.__setattr__(self, "task_type", kind)
        # How it is answered depends on what it is, and not on who writes it down.
        known = request_class(kind)
        for fact in ("polled", "repeatable", "statuses", "inspects", "priced"):
            object.__setattr__(self, fact, getattr(known, fact))
        object.__setattr__(self, "counted", known.counted or "numberResults")

    def wire(self) -> dict[str, Any]:
        """Make the wire object, without its UUID."""
        wire = to_wire(self)
        return {**wire.pop("body"), **wire}


def as_task(task: Task[Any] | Mapping[str, Any]) -> Task[Any]:
    """Take a request object as it is, and make one of a wire object.

    Raises:
        ValidationError: It is neither.
    """
    if isinstance(task, Task):
        return task
    if not isinstance(task, Mapping):
        raise ValidationError(
            f"run() takes a request object or a dict, not {length(task)}.", code="invalidParameter", parameter="task"
        )
    body = dict(task)
    return RawTask(body=body, task_uuid=body.pop("taskUUID", None))
