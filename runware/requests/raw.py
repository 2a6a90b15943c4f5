"""Tasks given as plain API objects."""

# No `from __future__ import annotations` in this package: validation reads the annotations as types.

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import fold_name
from runware.errors import ValidationError
from runware.media.inputs import may_be_media
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


_NO_MEDIA = frozenset(("taskType", "model", "positivePrompt", "negativePrompt"))
_DEEPEST_MEDIA = 10
"""More levels than a request class has."""


def _may_have_file_names(value: object, levels: int = _DEEPEST_MEDIA) -> bool:
    """Return whether a value has a text that can be no media. Only then is the request class needed, and loaded."""
    if isinstance(value, str):
        return not may_be_media(value)
    if isinstance(value, Mapping):
        value = [one for name, one in value.items() if name not in _NO_MEDIA]
    return (
        isinstance(value, (list, tuple)) and levels > 0 and any(_may_have_file_names(one, levels - 1) for one in value)
    )


def _fact(name: str, otherwise: object = False) -> Any:
    """Return a property with a fact of the request class, which is loaded only if the task is sent."""
    return property(lambda task: getattr(request_class(task.task_type), name) or otherwise)


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RawTask(Task[Results[Result]]):
    """A task given as a plain API object, for anything without a request class.

    Args:
        body: The API object: `taskType`, and parameters by API name. Media values are encoded as in any other task.
            A file name in place of media is refused if the task type has a request class.
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
        if _may_have_file_names(self.body) and (request := request_class(kind)) is not Task:
            request.check_media(self.body)

    @property
    def delivery_method(self) -> Any:
        """How the results are to be delivered; `None` if that is not said."""
        return self.body.get("deliveryMethod")

    def wire(self) -> dict[str, Any]:
        """Return the API object, without its UUID."""
        wire = to_wire(self)
        wire = {**wire.pop("body"), **wire}
        if self.skip_response and hasattr(request_class(self.task_type), "delivery_method"):
            wire.setdefault("deliveryMethod", "async")  # a task with "sync" is not acknowledged
        return wire

    def load_results(self) -> None:
        """Load all classes that its results may have."""
        platform.class_for({})

    def takes_long(self, wire: Mapping[str, Any]) -> bool:
        """Return whether the client's `long_timeout` applies to the task with this API object."""
        by_default = "deliveryMethod" not in wire and works_on_video(wire)
        return by_default or super().takes_long(wire)


_SETTINGS = frozenset(field.name for field in attrs.fields(Task)) - {"task_uuid", "include_cost"}
"""Settings of a call, which a dict may have beside the parameters. The API has names for the other two."""
_BY_FORM = {fold_name(name): name for name in _SETTINGS}
_OF_CLIENT = frozenset(("check", "long_timeout", "retry_delay"))


def _settings_in(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the call in a dict.

    Raises:
        ValidationError: It has a setting under another name, or an option of the client.
    """
    settings = {}
    for name in task:
        if name in _SETTINGS:
            settings[name] = task[name]
        elif name in _OF_CLIENT:
            raise _no_parameter(name, f"an option of the client: use rw.with_options({name}=...)")
        elif (right := _BY_FORM.get(fold_name(str(name)))) is not None:  # the API would ignore it: a dryRun is billed
            raise _no_parameter(name, f"a setting of the call, which is written {right!r}")
    return settings


def _no_parameter(name: str, what: str) -> ValidationError:
    return ValidationError(f"{name} is no parameter of the API but {what}.", code="invalidParameter", parameter=name)


_ONE_DICT = "such as rw.run({'model': ..., 'positive_prompt': ...})"
_INSTEAD: dict[type, str] = {list: "and rw.map(requests) a list of request objects"}


def as_task(
    task: Task[Any] | Mapping[str, Any], complete: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
) -> Task[Any]:
    """Return a request object unchanged; wrap an API object in a `RawTask`, with the call settings that are in it.

    Args:
        task: The request object or API object.
        complete: Returns an API object with its task type, and with the API's names in place of Python's.

    Raises:
        ValidationError: The value is neither a request object nor a mapping, or has a setting under another name, an
            option of the client, or a file name in place of media.
    """
    if isinstance(task, Task):
        return task
    if not isinstance(task, Mapping):
        raise ValidationError(
            f"run() takes a request object or a dict, {_INSTEAD.get(type(task), _ONE_DICT)}; got {length(task)}.",
            code="invalidParameter",
            parameter="task",
        )
    settings = _settings_in(task)
    body = complete({name: value for name, value in task.items() if name not in settings} if settings else task)
    return RawTask(body=body, task_uuid=body.pop("taskUUID", None), **settings)
