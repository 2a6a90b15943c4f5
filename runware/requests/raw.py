"""Tasks given as plain API objects."""

# No `from __future__ import annotations` in this package: validation reads the annotations as types.

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from runware._support.lazy_modules import lazy_module
from runware.errors import ValidationError
from runware.requests import request_class
from runware.requests.base import ClassOf, Task, works_on_video
from runware.requests.serialization import to_wire
from runware.requests.validation import length
from runware.results import Result, Results

if TYPE_CHECKING:
    from runware.results import platform
else:
    platform = lazy_module("runware.results.platform")

__all__ = ["RawTask", "as_task"]


def _class_for(item: Mapping[str, Any]) -> type[Result]:
    return platform.class_for(item)


def _fact(name: str, otherwise: object = False) -> Any:
    """Return a property with a fact of the request class, which is loaded only if the task is sent."""
    return property(lambda task: getattr(request_class(task.task_type), name) or otherwise)


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RawTask(Task[Results[Result]]):
    """A task given as a plain API object, for anything without a request class.

    Args:
        body: The API object: `taskType`, and parameters by API name. Media values are encoded as in any other task.
    """

    many: ClassVar[bool] = True
    plain: ClassVar[bool] = True
    class_of: ClassVar[ClassOf | None] = staticmethod(_class_for)
    # Delivery depends on the task type, not on how the task was written.
    polled = _fact("polled")
    repeatable = _fact("repeatable")
    statuses = _fact("statuses")
    inspects = _fact("inspects")
    priced = _fact("priced")
    counted = _fact("counted", "numberResults")

    task_type: str = attrs.field(init=False)  # type: ignore[misc]
    body: Mapping[str, Any]

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        kind = self.body.get("taskType")
        if not isinstance(kind, str) or not kind:
            self._reject(
                "body", "must have a taskType, such as {'taskType': 'imageInference', ...}, or a model that tells it"
            )
        object.__setattr__(self, "task_type", kind)

    def wire(self) -> dict[str, Any]:
        """Return the API object, without its UUID."""
        wire = to_wire(self)
        return {**wire.pop("body"), **wire}

    def load_results(self) -> None:
        """Load all classes that its results may have."""
        platform.class_for({})

    def takes_long(self, wire: Mapping[str, Any]) -> bool:
        """Return whether the client's `long_timeout` applies to the task with this API object."""
        by_default = "deliveryMethod" not in wire and works_on_video(wire)
        return by_default or super().takes_long(wire)


_ONE_DICT = "such as rw.run({'model': ..., 'positive_prompt': ...})"
_INSTEAD: dict[type, str] = {list: "and rw.map(requests) a list of request objects"}


def as_task(
    task: Task[Any] | Mapping[str, Any], complete: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
) -> Task[Any]:
    """Return a request object unchanged; wrap an API object in a `RawTask`.

    Args:
        task: The request object or API object.
        complete: Returns an API object with its task type, and with the API's names in place of Python's.

    Raises:
        ValidationError: The value is neither a request object nor a mapping.
    """
    if isinstance(task, Task):
        return task
    if not isinstance(task, Mapping):
        raise ValidationError(
            f"run() takes a request object or a dict, {_INSTEAD.get(type(task), _ONE_DICT)}; got {length(task)}.",
            code="invalidParameter",
            parameter="task",
        )
    body = complete(task)
    return RawTask(body=body, task_uuid=body.pop("taskUUID", None))
