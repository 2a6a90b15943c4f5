"""What every request shares: the settings of a call, the wire's common fields, and the checks before sending."""

# No `from __future__ import annotations` in this package: the checks read the annotations as types.

import inspect
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from runware._engine.ids import is_uuid
from runware._engine.sparse import fill, put_defaults
from runware.errors import RunwareError, ValidationError
from runware.media import ReadableFile, encode_media, holds_payload, may_be_media
from runware.names import folded, misnamed
from runware.options import RetryPolicy, seconds
from runware.results import Partial, Result, Results

__all__ = ["Checked", "RawTask", "Task", "as_task", "to_wire"]

R_co = TypeVar("R_co", covariant=True)

SETTINGS = frozenset(
    ("retry", "timeout", "task_uuid", "on_partial", "extra", "skip_response", "return_partial", "progress", "task_type")
)
"""Fields that steer the call and do not go on the wire."""

_ATOMS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def _fits(value: object, expected: Any) -> bool:  # noqa: PLR0911 - a table of kinds
    """Tell whether a value may stand where the annotation is *expected*."""
    origin = get_origin(expected)
    if expected is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(expected))
    if origin is Literal:
        return value in get_args(expected)
    if origin is Sequence:
        (item,) = get_args(expected)
        return isinstance(value, (list, tuple)) and all(_fits(one, item) for one in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if expected in _ATOMS:
        # bool is an int to Python, but `width=True` is a mistake; NaN and infinity have no form in JSON.
        if isinstance(value, bool) and expected is not bool:
            return False
        return isinstance(value, _ATOMS[expected]) and not (isinstance(value, float) and not math.isfinite(value))
    return isinstance(value, expected)


def describe(expected: Any) -> str:
    """Put an annotation into words."""
    origin = get_origin(expected)
    if origin in (Union, UnionType):
        options = [option for option in get_args(expected) if option is not NoneType]
        if Path in options:
            return "media (a Path, bytes, a binary file, a PIL image, one of our results, or a str)"
        return " or ".join(describe(option) for option in options)
    if origin is Literal:
        return "one of " + ", ".join(repr(option) for option in get_args(expected))
    if origin is Sequence:
        return f"a list of {describe(get_args(expected)[0])}"
    if origin is Mapping:
        return "a dict"
    names: dict[Any, str] = {float: "a finite number", Any: "anything"}
    return names.get(expected) or str(getattr(expected, "__name__", expected))


def _brief(value: object) -> str:
    """Name a value without showing much of it: it may be a prompt, or base64."""
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= 20 else f"<{type(value).__name__} of length {len(value)}>"
    if isinstance(value, (int, float, NoneType)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        kinds = sorted(set(map(_kind, value)))
        return f"{type(value).__name__} of {', '.join(kinds)}" if kinds else "an empty list"
    return _kind(value)


def _kind(value: object) -> str:
    return "dict" if isinstance(value, dict) else type(value).__name__


def _unfit(callback: Any) -> str:
    """Tell what is wrong with a callback for results and an error; nothing, if it can be called."""
    if not callable(callback):
        return "must be callable"
    if inspect.iscoroutinefunction(callback):
        return "must be a plain function, which is not awaited; to await, use `async for` over a job of rw.submit"
    try:
        inspect.signature(callback).bind(None, None)
    except TypeError:
        return "must take two arguments, the results and the error"
    except ValueError:  # it does not say what it takes
        pass
    return ""


_WORDS = re.compile("prompt|text|message|content|instruction|lyrics")
"""What the fields are called that hold what somebody wrote, of which not even a short one is shown."""


def _length(value: object) -> str:
    return f"<{type(value).__name__} of length {len(value)}>" if isinstance(value, (str, bytes)) else _brief(value)


def _shown(name: str, value: object) -> str:
    return _length(value) if _WORDS.search(name) else _brief(value)


def _number(value: Any) -> Any:
    """Give an `int` or a `float` for a number of another kind, such as numpy's, and anything else as it is."""
    if isinstance(value, (list, tuple)):
        return [_number(one) for one in value]
    kind = type(value)
    if kind.__name__.startswith("bool") or hasattr(kind, "__len__"):  # numpy has a bool too; an array is no number
        return value
    for convert in (operator.index, float):
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError):
            pass
    return value


class _Check(NamedTuple):
    """What is known of a field that is checked."""

    at_once: frozenset[type]  # types whose values fit without a closer look
    expected: Any
    needed: bool
    media: bool
    part: Any  # the class for which a dict may stand here


@cache
def _checks(cls: Any) -> dict[str, _Check]:
    """Read the checks of a class off its annotations, at the first use."""
    hints = get_type_hints(cls)

    def check(field: Any) -> _Check:
        expected = hints[field.name]
        kinds = tuple(_kinds(expected))
        media = Path in kinds
        part = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Checked)), None)
        # A str may be the name of a file, where it is media.
        at_once = _at_once(expected) - ({str} if media else set())
        return _Check(at_once, expected, field.default is attrs.NOTHING, media, part)

    return {field.name: check(field) for field in attrs.fields(cls) if field.name not in SETTINGS}


def _kinds(expected: Any) -> Iterator[Any]:
    """Yield what may stand at a place: the members of unions and the items of lists."""
    if get_origin(expected) in (Union, UnionType, Sequence):
        for option in get_args(expected):
            yield from _kinds(option)
    else:
        yield expected


def _at_once(expected: Any) -> frozenset[type]:
    options = get_args(expected) if get_origin(expected) in (Union, UnionType) else (expected,)
    # A float may be NaN, and so needs the closer look.
    return frozenset(option for option in options if option in (str, int, bool)) | (
        {int} if float in options else set()
    )


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Checked:
    """A part of a request. Its values are checked against their annotations when it is made."""

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        put_defaults(cls)
        cls.__init__ = _sparse(cls)  # type: ignore[method-assign]

    def __attrs_post_init__(self) -> None:
        checks = _checks(type(self))  # type: ignore[arg-type]
        for name, value in vars(self).items():
            check = checks.get(name)
            if check is None or type(value) in check.at_once:
                continue
            if value is not None:
                if not _fits(value, check.expected):
                    vars(self)[name] = self._converted(name, value, check)
                elif check.media or check.part is not None:
                    vars(self)[name] = self._seen_into(name, value, check)
            elif check.needed:
                self._reject(name, "is needed, and must not be None")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field.name) == getattr(other, field.name) for field in attrs.fields(type(self)))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # What was given, but neither prompts nor media: reprs end up in logs and tracebacks.
        given = (
            f"{field.name}={_shown(field.name, value)}"
            for field in attrs.fields(type(self))
            if (value := getattr(self, field.name)) != field.default and field.repr
        )
        return f"{type(self).__name__}({', '.join(given)})"

    @classmethod
    def _converted(cls, name: str, value: object, check: _Check) -> object:
        number = _number(value)
        if not _fits(number, check.expected):
            cls._reject(name, f"must be {describe(check.expected)}, not {_shown(name, value)}")
        return number

    @classmethod
    def _seen_into(cls, name: str, value: object, check: _Check) -> object:
        for path, text in _no_media(value, check, name):
            file = repr(text) if len(text) <= 60 and not re.search(r"\s", text) else "..."  # or else it is a prompt
            cls._reject(path, f"is no UUID, URL, data URI or base64. If it is the name of a file, pass Path({file})")
        return value if check.part is None else _in_place_of(check.part, value)

    @classmethod
    def _reject(cls, name: str, what: str) -> None:
        kind = getattr(cls, "task_type", None)
        raise ValidationError(
            f"{cls.__name__}: {name} {what}.",
            code="invalidParameter",
            parameter=name,
            task_type=kind if isinstance(kind, str) else None,
        )


def _sparse(cls: Any) -> Callable[..., None]:
    """Make the `__init__` of a class: it keeps what is given, in one step."""
    dense: Callable[..., None] = cls.__init__
    if any(field.validator or field.converter or hasattr(field.default, "factory") for field in attrs.fields(cls)):
        return dense  # somebody's own class, with more than a value in its fields
    names = frozenset(field.name for field in attrs.fields(cls) if field.init)
    needed = frozenset(field.name for field in attrs.fields(cls) if field.init and field.default is attrs.NOTHING)

    @wraps(dense)
    def init(self: Any, /, *args: Any, **given: Any) -> None:
        if args or not needed <= given.keys() <= names:
            raise _misused(cls, args, given)
        fill(self, given)
        self.__attrs_post_init__()

    return init


def _misused(cls: Any, args: tuple[Any, ...], given: dict[str, Any]) -> TypeError:
    fields = [field for field in attrs.fields(cls) if field.init]
    needed = [field.name for field in fields if field.default is attrs.NOTHING]
    error = misnamed(cls.__name__, [field.name for field in fields], given, () if args else needed)
    return error or TypeError(f"{cls.__name__} takes its parameters by name.")


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Task(Checked, Generic[R_co]):
    """A request, and the settings of the call it is made with. It is never changed, and may be used again.

    Args:
        retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
            `max_retries`; 0 means one attempt.
        timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
            `timeout`, or its `long_timeout` for tasks that are polled.
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
    on_partial: Callable[[Partial[Any], RunwareError | None], object] | None = attrs.field(default=None, repr=False)
    skip_response: bool = False
    return_partial: bool = False
    progress: bool | Callable[[Any], object] = attrs.field(default=False, repr=False)
    extra: Mapping[str, Any] | None = None
    include_cost: bool | None = None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if SETTINGS.isdisjoint(vars(self)):
            return  # as mostly
        if self.timeout is not None:
            seconds(self.timeout, "timeout")
        if self.on_partial is not None and (wrong := _unfit(self.on_partial)):
            self._reject("on_partial", wrong)
        if self.skip_response and getattr(self, "delivery_method", None) == "sync":
            self._reject("skip_response", "needs delivery_method='async': results that are pushed have no first word")
        retry = self.retry
        if not (retry is None or isinstance(retry, RetryPolicy)) and (
            isinstance(retry, bool) or not isinstance(retry, int) or retry < 0
        ):
            self._reject("retry", f"must be a RetryPolicy or a whole number, 0 or more, not {_brief(retry)}")
        if self.extra is not None and not _fits(self.extra, Mapping[str, Any]):
            self._reject("extra", f"must be a dict with names on the wire as keys, not {_brief(self.extra)}")
        if self.extra is not None and "taskUUID" in self.extra:
            self._reject("extra", "must not hold taskUUID, which the answer is known by; pass task_uuid")
        if self.task_uuid is not None and not is_uuid(self.task_uuid):
            self._reject("task_uuid", f"must be the text of a UUID, not {_brief(self.task_uuid)}")

    def expected(self, wire: Mapping[str, Any]) -> int:
        """Tell by the wire object how many results complete it."""
        number = wire.get(self.counted)
        return number if isinstance(number, int) and number > 0 else 1

    @property
    def takes_long(self) -> bool:
        """Whether the client's `long_timeout` applies."""
        return self.polled or self.statuses

    def holds_payload(self) -> bool:
        """Tell whether encoding it reads files or copies large data, and so belongs off an event loop."""
        try:
            return _holds_payload(self)
        except RecursionError:  # it refers to itself, which encoding it will say
            return True

    @property
    def acknowledgement_only(self) -> bool:
        """Whether the server's first word ends the call."""
        return self.skip_response

    @classmethod
    def main_value(cls, value: Any) -> Any:
        """Make of a value alone what its `main` parameter takes."""
        return value

    @classmethod
    def result_for(cls, item: Mapping[str, Any]) -> type[Result]:  # noqa: ARG003 - some classes look at it
        """Tell which class an item of the answer becomes."""
        return cls.result_class

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


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RawTask(Task[Results[Result]]):
    """A task in the wire's own words, for what has no class.

    Args:
        body: The wire object: `taskType`, and parameters by their names on the wire. Media may stand in it as in any
            other task.
    """

    many: ClassVar[bool] = True

    task_type: str = attrs.field(init=False)  # type: ignore[misc]
    body: Mapping[str, Any]

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        kind = self.body.get("taskType")
        if not isinstance(kind, str) or not kind:
            self._reject("body", "needs a taskType, such as {'taskType': 'imageInference', ...}")
        object.__setattr__(self, "task_type", kind)
        # How it is answered depends on what it is, and not on who writes it down.
        from runware.tasks import request_class

        known = request_class(kind)
        for fact in ("polled", "repeatable", "statuses", "inspects", "priced"):
            object.__setattr__(self, fact, getattr(known, fact))
        object.__setattr__(self, "counted", known.counted or "numberResults")

    @classmethod
    def result_for(cls, item: Mapping[str, Any]) -> type[Result]:
        """Tell which class an item of the answer becomes."""
        from runware.answers import class_for

        return class_for(item)

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
            f"run() takes a request object or a dict, not {_length(task)}.", code="invalidParameter", parameter="task"
        )
    body = dict(task)
    return RawTask(body=body, task_uuid=body.pop("taskUUID", None))


_PLAIN = frozenset((NoneType, str, int, float, bool))


def _holds_payload(value: Any) -> bool:
    if type(value) in _PLAIN:  # most are; a look at a protocol takes 30 µs, and an event loop waits for it
        return isinstance(value, str) and holds_payload(value)
    if attrs.has(type(value)) and not isinstance(value, Result):
        return any(_holds_payload(one) for name, one in vars(value).items() if name == "extra" or name not in SETTINGS)
    if isinstance(value, (list, tuple)):
        return any(map(_holds_payload, value))
    if isinstance(value, Mapping):
        return any(map(_holds_payload, value.values()))
    return holds_payload(value)


def _no_media(value: Any, check: _Check, path: str) -> Iterator[tuple[str, str]]:
    """Find text that cannot be media, where media stand: in a field, a list, a dict in place of an object."""
    if isinstance(value, str):
        if check.media and not may_be_media(value):
            yield path, value
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from _no_media(one, check, f"{path}[{number}]")
    elif isinstance(value, Mapping) and check.part is not None:
        checks = _folded_checks(check.part)
        for key, one in value.items():
            if inner := checks.get(folded(str(key))):
                yield from _no_media(one, inner, f"{path}.{key}")


@cache
def _folded_checks(cls: Any) -> dict[str, _Check]:
    return {folded(name): check for name, check in _checks(cls).items()}


class _Part(dict[str, Any]):
    """A dict that stands for an object, and so may have the names of its fields for keys."""

    def __init__(self, cls: Any, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.cls = cls

    def __reduce__(self) -> tuple[Any, ...]:
        return _Part, (self.cls, dict(self))

    def wire(self) -> dict[str, Any]:
        """Write it. Keys that are no fields stay as they are: the wire may have them."""
        from runware._engine.codec import wire_name

        checks = _checks(self.cls)
        unstructure = _converter().unstructure
        wire = {}
        for key, value in self.items():
            check = checks.get(key)
            if check is None:
                wire[key] = unstructure(value)
            else:
                wire[wire_name(key)] = unstructure(_in_place_of(check.part, value) if check.part else value)
        return wire


def _in_place_of(cls: Any, value: Any) -> Any:
    """Let dicts that stand for objects of a class, alone or in a list, be written with the names of its fields."""
    if isinstance(value, Mapping):
        return _Part(cls, value)
    if isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        return [_in_place_of(cls, one) for one in value]
    return value


@cache
def _writer(cls: Any) -> Any:
    return _converter().get_unstructure_hook(cls)


@cache
def _converter() -> Any:
    from runware._engine.codec import new_converter

    converter = new_converter(SETTINGS, _leaf, _Part)
    for kind in (Result, Path, bytes, bytearray, memoryview):
        converter.register_unstructure_hook(kind, encode_media)
    converter.register_unstructure_hook(_Part, _Part.wire)
    return converter


def _leaf(value: object) -> object:
    """Write what is neither an object nor JSON: a number of another kind, or media."""
    number = _number(value)
    return encode_media(value) if number is value else number


def to_wire(task: Task[Any]) -> dict[str, Any]:
    """Make the wire object of a task, without its UUID: wire names, media as text, `extra` last.

    Raises:
        ValidationError: A medium cannot be read; `parameter` tells which.
    """
    try:
        wire: dict[str, Any] = _writer(type(task))(task, {"taskType": task.task_type})  # type: ignore[arg-type]
        if task.always:
            from runware._engine.codec import wire_name

            for name in task.always:
                wire.setdefault(wire_name(name), getattr(task, name))
        if task.extra:
            from runware._engine.codec import form_of

            wire.update(form_of(_converter(), dict(task.extra), task, "extra"))
    except ValidationError as error:
        if error.parameter is not None:
            raise
        name = _find_unusable(task) or "extra"
        raise ValidationError(
            f"{type(task).__name__}: {name}: {error.message}",
            code=error.code,
            parameter=name,
            task_type=task.task_type,
        ) from error
    return wire


def _find_unusable(value: Any, path: str = "") -> str | None:
    """Find the field whose medium cannot be sent."""
    children: list[tuple[str, object]] = []
    if isinstance(value, (str, bool, int, float)) or value is None or callable(value):
        return None
    if attrs.has(type(value)) and not isinstance(value, Result):
        names = (field.name for field in attrs.fields(type(value)) if field.name != "extra")
        children = [(f"{path}.{name}" if path else name, getattr(value, name)) for name in names]
    elif isinstance(value, (list, tuple)):
        children = [(f"{path}[{number}]", one) for number, one in enumerate(value)]
    elif isinstance(value, Mapping):
        children = [(f"{path}.{name}" if path else str(name), one) for name, one in value.items()]
    else:
        try:
            _leaf(value)
        except ValidationError:
            return path
        # A file can be read once; that it was empty the second time says nothing.
        return path if isinstance(value, ReadableFile) and not isinstance(value, Path) else None
    return next((found for name, child in children if (found := _find_unusable(child, name))), None)
