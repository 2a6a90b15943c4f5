"""What a value in a request may be, and what is said of one that is something else."""

# No `from __future__ import annotations` in this package: the checks read the annotations as types.

import inspect
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import attrs

from runware._support.pydantic_schemas import ValidatedAsInstance
from runware._support.unknown_names import folded, misnamed
from runware.errors import ValidationError
from runware.media.inputs import may_be_media
from runware.protocol.codec import wire_name
from runware.protocol.lazy_fields import fill, put_defaults

__all__ = ["SETTINGS", "Checked", "Part", "brief", "describe", "fits", "length", "number_of", "unfit"]

SETTINGS = frozenset(
    ("retry", "timeout", "task_uuid", "on_partial", "extra", "skip_response", "return_partial", "progress", "task_type")
)
"""Fields that steer the call and do not go on the wire."""

_ATOMS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def fits(value: object, expected: Any) -> bool:  # noqa: PLR0911 - a table of kinds
    """Tell whether a value may stand where the annotation is *expected*."""
    origin = get_origin(expected)
    if expected is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in get_args(expected))
    if origin is Literal:
        return value in get_args(expected)
    if origin is Sequence:
        (item,) = get_args(expected)
        return isinstance(value, (list, tuple)) and all(fits(one, item) for one in value)
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


def brief(value: object) -> str:
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


def unfit(callback: Any) -> str:
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


def length(value: object) -> str:
    """Name a value without showing anything of what somebody wrote."""
    return f"<{type(value).__name__} of length {len(value)}>" if isinstance(value, (str, bytes)) else brief(value)


def _shown(name: str, value: object) -> str:
    return length(value) if _WORDS.search(name) else brief(value)


def number_of(value: Any) -> Any:
    """Give an `int` or a `float` for a number of another kind, such as numpy's, and anything else as it is."""
    if isinstance(value, (list, tuple)):
        return [number_of(one) for one in value]
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
class Checked(ValidatedAsInstance):
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
                if not fits(value, check.expected):
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
        number = number_of(value)
        if not fits(number, check.expected):
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


class Part(dict[str, Any]):
    """A dict that stands for an object, and so may have the names of its fields for keys."""

    def __init__(self, cls: Any, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.cls = cls

    def __reduce__(self) -> tuple[Any, ...]:
        return Part, (self.cls, dict(self))

    def wire(self, unstructure: Callable[[Any], Any]) -> dict[str, Any]:
        """Write it. Keys that are no fields stay as they are: the wire may have them.

        Args:
            unstructure: Writes a value.
        """
        checks = _checks(self.cls)
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
        return Part(cls, value)
    if isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        return [_in_place_of(cls, one) for one in value]
    return value
