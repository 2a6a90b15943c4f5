"""The base class of all requests: call settings, and facts that decide how a task is run."""

# No `from __future__ import annotations` in this package: validation reads the annotations as types.

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import attrs

from runware._support.http_headers import header_problem
from runware._support.pydantic_schemas import NotInJson
from runware.errors import RunwareError
from runware.media.inputs import LARGE_TEXT
from runware.options import RetryPolicy, seconds
from runware.protocol.ids import is_uuid
from runware.requests.serialization import holds_payload_in, to_wire
from runware.requests.validation import SETTINGS, RequestModel, brief, callback_problem, fits, progress_problem
from runware.results import Partial, Result, Results

__all__ = ["PartialCallback", "ProgressCallback", "Task", "no_stream", "works_on_video"]

R_co = TypeVar("R_co", covariant=True)

PartialCallback = Annotated[Callable[[Partial[Any], RunwareError | None], object], NotInJson("PartialCallback")]
ProgressCallback = Annotated[Callable[[Any], object], NotInJson("ProgressCallback")]
ClassOf = Callable[[Mapping[str, Any]], type[Result]]
_PLAIN = frozenset((int, float, bool, type(None)))
_CHECKED = SETTINGS | {"number_results"}
"""The parameters whose values have limits besides their types."""


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Task(RequestModel, Generic[R_co]):
    """A request together with its call settings. Immutable and reusable.

    Args:
        retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`; 0
            makes a single attempt.
        max_retries: The same as a number, under the name of the client's option; not together with *retry*.
        timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses the
            client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether requested or
            not.
        task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
        on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
            error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
            blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
            Exceptions it raises are logged.
        skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results; in a
            list, if the operation returns one.
        return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
            missing ones.
        progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each change,
            on a separate thread.
        extra: Additional parameters, keyed by API name and sent unchanged.
        extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls and
            streams. They are added to those of `with_options`, and never sent to other servers. Only with
            `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
        dry_run: Only validate the task at the server, without running or billing it: the results have no media, but the
            cost, with *include_cost*. Such calls have a connection of their own, since the API takes this setting for a
            whole connection. `None` uses the client's `dry_run`.
        include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.
    """

    task_type: ClassVar[str]
    """The API's task type, such as `"imageInference"`."""
    result_class: ClassVar[type[Result]] = Result
    class_of: ClassVar[ClassOf | None] = None
    """A function from a response item to its result class; `None` if every item becomes `result_class`."""
    many: ClassVar[bool] = False
    """Whether the call returns a list of results, or a single one."""
    polled: ClassVar[bool] = False
    """Whether the task always runs asynchronously: acknowledged, then polled."""
    repeatable: ClassVar[bool] = False
    """Whether the task only reads, so that sending it twice is harmless."""
    statuses: ClassVar[bool] = False
    """Whether the response is a sequence of statuses, ending with `ready` or `failed`."""
    inspects: ClassVar[bool] = False
    """Whether the task queries another task and carries that task's UUID."""
    streamed: ClassVar[bool] = False
    """Whether the response is a stream over an HTTP connection of its own."""
    plain: ClassVar[bool] = False
    """Whether the task is a plain API object, so that no parameters of a class say which names are right."""
    hidden: ClassVar[frozenset[str]] = frozenset()
    """Inherited parameters that the operation refuses, and does not show."""
    priced: ClassVar[bool] = True
    """Whether the API accepts `includeCost` for the task."""
    counted: ClassVar[str] = ""
    """API name of the parameter with the number of results; `""` if there is always one."""
    always: ClassVar[tuple[str, ...]] = ()
    """Fields that are sent even when they have their default."""
    main: ClassVar[str | None] = None
    """The parameter that a bare value sets, as an input of `map`. `None` means the first own parameter, `""` that a
    bare value is not accepted."""

    retry: int | RetryPolicy | None = None
    max_retries: int | None = None
    timeout: float | None = None
    task_uuid: str | None = None
    on_partial: PartialCallback | None = attrs.field(default=None, repr=False)
    skip_response: bool = False
    return_partial: bool = False
    progress: bool | ProgressCallback = attrs.field(default=False, repr=False)
    extra: Mapping[str, Any] | None = None
    extra_headers: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    dry_run: bool | None = None
    include_cost: bool | None = None

    def __attrs_post_init__(self) -> None:
        RequestModel.__attrs_post_init__(self)  # `super` takes longer, for each request
        if _CHECKED.isdisjoint(self.__dict__):
            return  # the common case
        number = vars(self).get("number_results")
        if number is not None and number < 1:
            self._reject("number_results", f"must be 1 or more; got {number}")
        if self.timeout is not None:
            seconds(self.timeout, "timeout")
        if self.on_partial is not None and (wrong := callback_problem(self.on_partial)):
            self._reject("on_partial", wrong)
        if self.progress is not False and (wrong := progress_problem(self.progress)):
            self._reject("progress", wrong)
        for name in ("dry_run", "skip_response", "return_partial"):
            if not isinstance(value := getattr(self, name), bool | None):
                self._reject(name, f"must be True or False; got {brief(value)}")
        if self.skip_response and getattr(self, "delivery_method", None) == "sync":
            self._reject("skip_response", "needs delivery_method='async'; a task with 'sync' is not acknowledged")
        retry = self.retry
        if not (retry is None or isinstance(retry, RetryPolicy)) and (
            isinstance(retry, bool) or not isinstance(retry, int) or retry < 0
        ):
            self._reject("retry", f"must be a RetryPolicy or an integer, 0 or more; got {brief(retry)}")
        if self.max_retries is not None:
            if isinstance(self.max_retries, bool) or not isinstance(self.max_retries, int) or self.max_retries < 0:
                self._reject("max_retries", f"must be an integer, 0 or more; got {brief(self.max_retries)}")
            if retry is not None:
                self._reject("max_retries", "and retry mean the same; pass one of them")
            object.__setattr__(self, "retry", self.max_retries)
        self._check_additions()
        if self.task_uuid is not None and not is_uuid(self.task_uuid):
            self._reject("task_uuid", f"must be a UUID as a str; got {brief(self.task_uuid)}")

    def _check_additions(self) -> None:
        if self.extra is not None and not fits(self.extra, Mapping[str, Any]):
            self._reject("extra", f"must be a dict with API names as keys; got {brief(self.extra)}")
        if self.extra is not None and "taskUUID" in self.extra:
            self._reject("extra", "must not contain taskUUID, which identifies the response; pass task_uuid instead")
        for name in self.extra or ():
            if "_" in name and any(name == field.name for field in attrs.fields(type(self))):
                self._reject("extra", f"has API names as keys; pass {name}=... beside it")
        if self.extra_headers is not None and (wrong := header_problem(self.extra_headers)):
            self._reject("extra_headers", wrong)

    def expected(self, wire: Mapping[str, Any]) -> int:
        """Return how many results complete the task with this API object."""
        number = wire.get(self.counted)
        return number if isinstance(number, int) and number > 0 else 1

    def takes_long(self, wire: Mapping[str, Any]) -> bool:
        """Return whether the client's `long_timeout` applies to the task with this API object."""
        return self.polled or self.statuses or wire.get("deliveryMethod") == "async"

    def load_results(self) -> None:
        """Load the classes of its results, if they are not loaded yet: the I/O thread imports nothing."""

    def holds_payload(self) -> bool:
        """Return whether encoding reads files or copies large data, and so must not run on an event loop."""
        for value in self.__dict__.values():  # the usual request needs no more, and may be made on an event loop
            kind = type(value)
            if kind is str:
                if len(value) > LARGE_TEXT:
                    break
            elif kind not in _PLAIN:
                break
        else:
            return False
        try:
            return holds_payload_in(self)
        except RecursionError:  # a value contains itself; encoding it raises the error
            return True

    @classmethod
    def main_value(cls, value: Any) -> Any:
        """Convert a bare value, as passed to `map`, to a value of the `main` parameter."""
        return value

    def wire(self) -> dict[str, Any]:
        """Return the API object, without its UUID.

        Raises:
            ValidationError: A media input cannot be read; `parameter` names it.
        """
        return to_wire(self)

    @classmethod
    def assemble(cls, results: Results[Any]) -> R_co:
        """Return what the call returns, given its results."""
        return results if cls.many else results[0]  # type: ignore[return-value]


_ON_VIDEO = frozenset(("upscale", "removeBackground", "caption"))


def works_on_video(wire: Mapping[str, Any]) -> bool:
    """Return whether a task that accepts images or videos has a video as its input.

    The API delivers those asynchronously only.
    """
    inputs = wire.get("inputs")
    return wire.get("taskType") in _ON_VIDEO and isinstance(inputs, Mapping) and bool(inputs.get("video"))


def no_stream(task_type: str) -> str:
    """Return why a task cannot be delivered as a stream, for the error message."""
    if task_type == "textInference":
        return "'stream' needs a method of its own: use rw.stream_text(...), which returns the pieces as they come"
    return (
        f"cannot be 'stream': only text can be streamed, with rw.stream_text(...); {task_type} takes 'sync' or 'async'"
    )
