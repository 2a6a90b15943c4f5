"""What every request shares: the settings of a call, and the wire's common fields."""

# No `from __future__ import annotations` in this package: the checks read the annotations as types.

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import attrs

from runware._support.pydantic_schemas import NotInJson
from runware.errors import RunwareError
from runware.options import RetryPolicy, seconds
from runware.protocol.ids import is_uuid
from runware.requests.serialization import holds_payload_in, to_wire
from runware.requests.validation import SETTINGS, Checked, brief, fits, unfit
from runware.results import Partial, Result, Results

__all__ = ["PartialCallback", "ProgressCallback", "Task", "works_on_video"]

R_co = TypeVar("R_co", covariant=True)

PartialCallback = Annotated[Callable[[Partial[Any], RunwareError | None], object], NotInJson("PartialCallback")]
ProgressCallback = Annotated[Callable[[Any], object], NotInJson("ProgressCallback")]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Task(Checked, Generic[R_co]):
    """A request, and the settings of the call it is made with. It is never changed, and may be used again.

    Args:
        retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
            `max_retries`; 0 means one attempt.
        timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
            `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
        task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
        on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
            the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for
            a blocking call, in the caller's event loop for asyncio, and on the client's callback thread for
            `submit`. What it raises is logged.
        skip_response: Return after the server's first word, without waiting for results.
        return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of the
            answer tells why the others are missing.
        progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
            change, on a thread of its own.
        extra: Further parameters by their names on the wire, which are sent unchanged.
        include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.
    """

    task_type: ClassVar[str]
    """What the wire calls it."""
    result_class: ClassVar[type[Result]] = Result
    class_of: ClassVar[Any] = None
    """A function that tells which class an item of the answer becomes, where not all become `result_class`."""
    many: ClassVar[bool] = False
    """Whether the answer is a list of results, or one."""
    polled: ClassVar[bool] = False
    """Whether it always takes long, so that it is acknowledged and polled for."""
    repeatable: ClassVar[bool] = False
    """Whether it only reads, so that sending it twice does no harm."""
    statuses: ClassVar[bool] = False
    """Whether it is answered by a sequence of statuses, of which `ready` and `failed` are the last."""
    inspects: ClassVar[bool] = False
    """Whether it asks about another task, whose UUID it bears."""
    priced: ClassVar[bool] = True
    """Whether the wire lets it ask what it costs."""
    counted: ClassVar[str] = ""
    """The parameter on the wire that says how many results there are to be; without one, there is one."""
    always: ClassVar[tuple[str, ...]] = ()
    """Fields that go on the wire even when they have their default."""
    main: ClassVar[str | None] = None
    """The parameter that a value alone is for, as an input of `map`; `None` means the first of its own, and `""`
    that there is none."""

    retry: int | RetryPolicy | None = None
    timeout: float | None = None
    task_uuid: str | None = None
    on_partial: PartialCallback | None = attrs.field(default=None, repr=False)
    skip_response: bool = False
    return_partial: bool = False
    progress: bool | ProgressCallback = attrs.field(default=False, repr=False)
    extra: Mapping[str, Any] | None = None
    include_cost: bool | None = None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if SETTINGS.isdisjoint(vars(self)):
            return  # as mostly
        if self.timeout is not None:
            seconds(self.timeout, "timeout")
        if self.on_partial is not None and (wrong := unfit(self.on_partial)):
            self._reject("on_partial", wrong)
        if self.skip_response and getattr(self, "delivery_method", None) == "sync":
            self._reject("skip_response", "needs delivery_method='async': results that are pushed have no first word")
        retry = self.retry
        if not (retry is None or isinstance(retry, RetryPolicy)) and (
            isinstance(retry, bool) or not isinstance(retry, int) or retry < 0
        ):
            self._reject("retry", f"must be a RetryPolicy or a whole number, 0 or more, not {brief(retry)}")
        if self.extra is not None and not fits(self.extra, Mapping[str, Any]):
            self._reject("extra", f"must be a dict with names on the wire as keys, not {brief(self.extra)}")
        if self.extra is not None and "taskUUID" in self.extra:
            self._reject("extra", "must not hold taskUUID, which the answer is known by; pass task_uuid")
        if self.task_uuid is not None and not is_uuid(self.task_uuid):
            self._reject("task_uuid", f"must be the text of a UUID, not {brief(self.task_uuid)}")

    def expected(self, wire: Mapping[str, Any]) -> int:
        """Tell by the wire object how many results complete it."""
        number = wire.get(self.counted)
        return number if isinstance(number, int) and number > 0 else 1

    def takes_long(self, wire: Mapping[str, Any]) -> bool:
        """Tell by the wire object whether the client's `long_timeout` applies."""
        delivery = wire.get("deliveryMethod", "async" if works_on_video(wire) else None)
        return self.polled or self.statuses or delivery == "async"

    def holds_payload(self) -> bool:
        """Tell whether encoding it reads files or copies large data, and so belongs off an event loop."""
        try:
            return holds_payload_in(self)
        except RecursionError:  # it refers to itself, which encoding it will say
            return True

    @classmethod
    def main_value(cls, value: Any) -> Any:
        """Make of a value alone what its `main` parameter takes."""
        return value

    def wire(self) -> dict[str, Any]:
        """Make the wire object, without its UUID.

        Raises:
            ValidationError: A medium cannot be read; `parameter` tells which.
        """
        return to_wire(self)

    @classmethod
    def assemble(cls, results: Results[Any]) -> R_co:
        """Make the answer of the call from its results."""
        return results if cls.many else results[0]  # type: ignore[return-value]


_ON_VIDEO = frozenset(("upscale", "removeBackground", "caption"))


def works_on_video(wire: Mapping[str, Any]) -> bool:
    """Tell whether a task that could work on a picture works on a video, which the API delivers asynchronously only."""
    inputs = wire.get("inputs")
    return wire.get("taskType") in _ON_VIDEO and isinstance(inputs, Mapping) and bool(inputs.get("video"))
