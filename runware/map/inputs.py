"""Turn the inputs of `map` into requests, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from runware import requests
from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import unknown_name_error
from runware.errors import UsageError, ValidationError
from runware.requests.base import Task
from runware.requests.validation import brief, length

R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    from runware.requests import raw, signatures

    RequestOrError: TypeAlias = Task[R] | Exception
    """A request, or the reason why it could not be created."""
    InputWithRequest: TypeAlias = tuple[object, RequestOrError[R]]
    """The abbreviated form of an input, and its request."""
else:
    raw = lazy_module("runware.requests.raw")
    signatures = lazy_module("runware.requests.signatures")

__all__ = ["read_inputs", "request_class_of", "requests_from"]

_SINGLE_INPUTS = (str, bytes, bytearray, memoryview, Mapping)
"""Types that are iterable, but a single input."""
_MAX_TEXT = 1000
"""The length in characters up to which errors keep a text of their input."""
_MAX_ITEMS = 20
"""How many items of a list errors keep."""
_MAX_DEPTH = 4
"""How deeply nested the data may be that errors keep."""


def request_class_of(what: object) -> object:
    """Return the request class of an operation, or *what* unchanged."""
    if name := getattr(what, "request_name", None):
        return getattr(requests, name)
    return getattr(what, "request", what)


def requests_from(
    what: object,
    inputs: Iterable[object] | None,
    common: Mapping[str, object] | None = None,
    task_of: Callable[[Any], Task[Any]] | None = None,
) -> Iterator[RequestOrError[Any]]:
    """Create the requests lazily; an input that is not valid becomes its error.

    Args:
        what: An operation, a request class, or (without *inputs*) an iterable of request objects or API objects.
        inputs: For each request, its parameters or the value of its main parameter.
        common: Parameters for every request; those of the input take precedence.
        task_of: Makes a request of a request object or API object; `None` takes the task type from the object itself.

    Raises:
        UsageError: The arguments do not fit together.
    """
    return (task for _, task in read_inputs(what, inputs, common, task_of or raw.as_task))


def read_inputs(
    what: object,
    inputs: Iterable[object] | None,
    common: Mapping[str, object] | None,
    task_of: Callable[[Any], Task[Any]],
) -> Iterator[InputWithRequest[Any]]:
    """Return an iterator over the inputs: the abbreviated form of each, with its request. See `requests_from`."""
    if inputs is None:
        if callable(what) or isinstance(what, _SINGLE_INPUTS) or not isinstance(what, Iterable):
            raise UsageError("map() takes an operation and inputs for it, or an iterable of request objects.")
        if common is not None:
            raise UsageError("map() takes common= together with an operation and inputs for it.")
        return _create_each(_checked_task(task_of), what)
    request = request_class_of(what)
    if not (isinstance(request, type) and issubclass(request, Task)):
        raise UsageError("map() takes one of the client's operations or a request class, not any other function.")
    if isinstance(inputs, _SINGLE_INPUTS):
        kind = "dict" if isinstance(inputs, Mapping) else type(inputs).__name__
        raise UsageError(f"map() takes an iterable of inputs; a {kind} is a single one. Put it in a list.")
    names = [field.name for field in signatures.fields(request)]  # type: ignore[arg-type]  # every class can be hashed
    return _create_each(_request_factory(request, names[0], _check_common(request.__name__, names, common)), inputs)


def _checked_task(task_of: Callable[[Any], Task[Any]]) -> Callable[[object], Task[Any]]:
    """Return a function that makes a request of a request object or API object, and refuses anything else."""

    def make(value: object) -> Task[Any]:
        if not isinstance(value, (Task, Mapping)):
            raise ValidationError(
                f"map() without an operation takes request objects or dicts; got {length(value)}. Name the operation "
                "first, as in rw.map(rw.image_inference, prompts, common={...}).",
                code="invalidParameter",
                parameter="what",
            )
        return task_of(value)

    return make


def _check_common(what: str, names: list[str], common: Mapping[str, object] | None) -> Mapping[str, Any]:
    """Check the common parameters before any input is consumed."""
    if not (common is None or isinstance(common, Mapping)):
        raise UsageError(f"common must be a dict of parameters; got {type(common).__name__}.")
    if error := unknown_name_error(what, names, common or ()):
        raise error
    return common or {}


def _request_factory(request: type[Task[R]], first: str, common: Mapping[str, Any]) -> Callable[[object], Task[R]]:
    """Return a function that creates a request from one input."""
    main = first if request.main is None else request.main

    def make(value: object) -> Task[R]:
        if isinstance(value, Task):
            return value
        if isinstance(value, Mapping):
            return request(**{**common, **value})
        if not main:
            raise ValidationError(
                f"{request.__name__} needs a dict of parameters for each input; got {type(value).__name__}.",
                code="invalidParameter",
                parameter="inputs",
            )
        return request(**{**common, main: request.main_value(value)})

    return make


def _create_each(make: Callable[[T], Task[R]], values: Iterable[T]) -> Iterator[InputWithRequest[R]]:
    """Yield the abbreviated form of each value, with the request that *make* creates from it, or its error."""
    for value in values:
        try:
            task: RequestOrError[R] = make(value)
        except Exception as error:  # the outcome of this input; the others still run
            task = error
        yield _abbreviated(value), task


def _abbreviated(value: object, depth: int = 0) -> object:
    """Return an input in the form that errors keep: plain data, without media, and with long values cut."""
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else brief(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Task):
        value = {"taskType": value.task_type, **vars(value)}
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(name): _abbreviated(one, depth + 1) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [_abbreviated(one, depth + 1) for one in value[:_MAX_ITEMS]]
    return brief(value)
