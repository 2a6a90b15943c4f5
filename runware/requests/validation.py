"""Validation of request values against the annotations of request classes."""

# No `from __future__ import annotations` in this package: validation reads the annotations as types.

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

from runware._support.api_names import python_path, wire_name
from runware._support.pydantic_schemas import ValidatedAsInstance
from runware._support.unknown_names import fold_name, near_name, unknown_name_error
from runware.errors import UsageError, ValidationError
from runware.media.inputs import may_be_media
from runware.protocol.lazy_fields import put_defaults

__all__ = [
    "SETTINGS",
    "ObjectDict",
    "RequestModel",
    "brief",
    "callback_problem",
    "describe",
    "fits",
    "length",
    "number_of",
    "progress_problem",
]

SETTINGS = frozenset(
    (
        *("retry", "timeout", "silence_timeout", "task_uuid", "on_partial", "extra"),
        *("skip_response", "return_partial", "progress", "task_type", "dry_run", "max_retries"),
        "extra_headers",
    )
)
"""Call settings: fields that are not sent."""

_ATOMS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def fits(value: object, expected: Any) -> bool:  # noqa: PLR0911 - one return per kind of annotation
    """Return whether a value matches an annotation."""
    origin = get_origin(expected)
    if expected is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in get_args(expected))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(expected)  # an array equals each of them, item by item
    if origin is Sequence:
        (item,) = get_args(expected)
        return isinstance(value, (list, tuple)) and all(fits(one, item) for one in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if expected in _ATOMS:
        # bool is a subclass of int, but `width=True` is a mistake. JSON has no NaN and no infinity.
        if isinstance(value, bool) and expected is not bool:
            return False
        return isinstance(value, _ATOMS[expected]) and not (isinstance(value, float) and not math.isfinite(value))
    return isinstance(value, expected)


def describe(expected: Any) -> str:
    """Describe an annotation in words, for error messages."""
    origin = get_origin(expected)
    if origin in (Union, UnionType):
        options = [option for option in get_args(expected) if option is not NoneType]
        if Path in options:
            return "media (a Path, bytes, a binary file, a PIL image, a result, or a str)"
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
    """Describe a value without exposing much of it: it may be a prompt, or base64."""
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


def callback_problem(callback: Any) -> str:
    """Return what is wrong with an `on_partial` callback, or `""`."""
    return "must be callable" if not callable(callback) else _function_problem(callback, ("the results", "the error"))


def progress_problem(progress: Any) -> str:
    """Return what is wrong with the value of `progress`, or `""`."""
    if isinstance(progress, bool):
        return ""
    if not callable(progress):
        return f"must be True, False or a function; got {brief(progress)}"
    return _function_problem(progress, ("a Progress",))


def _function_problem(function: Callable[..., object], arguments: tuple[str, ...]) -> str:
    if inspect.iscoroutinefunction(function):
        return "must be a plain function, not a coroutine function; to await, use `async for` over a job of rw.submit"
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        number = "two arguments" if len(arguments) == 2 else "one argument"
        return f"must take {number}: {' and '.join(arguments)}"
    except ValueError:  # no signature available, as with some builtins
        pass
    return ""


_DIGITS = re.compile(r"\d")
_TEXT_FIELDS = re.compile("prompt|text|message|content|instruction|lyrics")
"""Names of fields that hold user text. Errors and reprs show only its length, however short it is."""


def length(value: object) -> str:
    """Describe a value without exposing any text in it."""
    return f"<{type(value).__name__} of length {len(value)}>" if isinstance(value, (str, bytes)) else brief(value)


def _shown(name: str, value: object) -> str:
    return length(value) if _TEXT_FIELDS.search(name) else brief(value)


def _mismatch(name: str, value: object, expected: Any) -> str:
    """Describe what a parameter takes and what it got, with an example where a single object needs a list."""
    options = get_args(expected) if get_origin(expected) in (Union, UnionType) else (expected,)
    if isinstance(value, Mapping) and not any(fits({}, option) for option in options):
        lists = [option for option in options if get_origin(option) is Sequence]
        if any(fits(value, item) for option in lists for item in get_args(option)):
            return f"takes a list: {name}=[{{...}}]; got a single dict"
    if isinstance(value, Mapping) and (odd := [key for key in value if not isinstance(key, str)]):
        return f"must have names as keys; got the key {brief(odd[0])}"
    kinds = tuple(_kinds(expected))
    shown = _shown(name, value)
    if Path in kinds and isinstance(value, (list, tuple)) and value and fits(value[0], expected):
        return f"takes one of them: {name}=results[0]; got {shown}"
    model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, RequestModel)), None)
    if model is not None and Path not in kinds:
        example = f"{{{', '.join(f'{key!r}: ...' for key in _example(model))}}}"
        many = any(get_origin(option) is Sequence for option in options)
        return f"takes {'a list: ' if many else 'a dict: '}{name}={f'[{example}]' if many else example}; got {shown}"
    return f"must be {describe(expected)}; got {shown}"


def _example(model: Any) -> list[str]:
    """Return the first two fields of a class: those that say what it is about."""
    return [field.name for field in attrs.fields(model) if field.name not in SETTINGS][:2]


def number_of(value: Any) -> Any:
    """Convert a foreign number type, such as numpy's, to `int` or `float`; return anything else unchanged."""
    if isinstance(value, (list, tuple)):
        return [number_of(one) for one in value]
    kind = type(value)
    if kind.__name__.startswith("bool") or hasattr(kind, "__len__"):  # not numpy's bool, not an array
        return value
    for convert in (operator.index, float):
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError):
            pass
    return value


class _Check(NamedTuple):
    """Precomputed facts for checking a field."""

    accepted: frozenset[type]  # types that need no further check
    expected: Any
    required: bool
    media: bool
    object_class: Any  # the class a dict is accepted in place of


_hints = cache(get_type_hints)


def _without_extras(annotation: Any) -> Any:
    """Return an annotation as `get_type_hints` returns it, without what `Annotated` adds to types inside it."""
    return get_type_hints(type("_", (), {"__annotations__": {"_": annotation}}))["_"]


@cache
def _checks(cls: Any) -> dict[str, _Check]:
    """Return the checks of a class, built from its annotations at first use."""
    found = ((field.name, _check(cls, field.name)) for field in attrs.fields(cls))
    return {name: check for name, check in found if check is not None}


@cache
def _check(cls: Any, name: str) -> _Check | None:
    """Return the check of one field; `None` if there is none.

    Only an annotation that is a string is looked up: it refers to a module that the usual request does not need.
    """
    field = attrs.fields_dict(cls).get(name)
    if field is None or name in SETTINGS:
        return None
    try:
        expected = _hints(cls)[name] if isinstance(field.type, str) else _without_extras(field.type)
    except NameError:  # a type inside it is a string
        expected = _hints(cls)[name]
    kinds = tuple(_kinds(expected))
    object_class = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, RequestModel)), None)
    return _Check(_accepted_types(expected), expected, field.default is attrs.NOTHING, Path in kinds, object_class)


def _kinds(expected: Any) -> Iterator[Any]:
    """Yield the types an annotation allows: members of unions and items of sequences."""
    if get_origin(expected) in (Union, UnionType, Sequence):
        for option in get_args(expected):
            yield from _kinds(option)
    else:
        yield expected


def _accepted_types(expected: Any) -> frozenset[type]:
    """Return the types whose values need no further check."""
    options = get_args(expected) if get_origin(expected) in (Union, UnionType) else (expected,)
    # A float may be NaN and needs the full check. A str given as media may be a file name by mistake.
    simple = (int, bool) if Path in _kinds(expected) else (str, int, bool)
    return frozenset(option for option in options if option in simple) | ({int} if float in options else set())


@cache
def _simple(cls: Any) -> dict[str, frozenset[type]]:
    """Return the types whose values need no further check, by field, as far as annotations are no strings."""

    def accepted(field: Any) -> frozenset[type]:
        known = frozenset() if isinstance(field.type, str) else _accepted_types(field.type)
        return known if field.default is attrs.NOTHING else known | {NoneType}

    return {field.name: accepted(field) for field in attrs.fields(cls)}


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RequestModel(ValidatedAsInstance):
    """An object in a request. Its values are validated against their annotations on creation."""

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        put_defaults(cls)
        cls.__init__ = _keyword_init(cls)  # type: ignore[method-assign]

    def __attrs_post_init__(self) -> None:
        simple = _simple(type(self))  # type: ignore[arg-type]
        for name, value in self.__dict__.items():  # `vars` takes longer, for each request
            if type(value) in simple.get(name, ()):
                continue
            check = _check(type(self), name)  # type: ignore[arg-type]
            if check is None or type(value) in check.accepted:
                continue
            if value is not None:
                if not fits(value, check.expected):
                    vars(self)[name] = self._converted(name, value, check)
                elif check.media or check.object_class is not None:
                    vars(self)[name] = self._checked_media(name, value, check)
            elif check.required:
                self._reject(name, "is required and must not be None")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field.name) == getattr(other, field.name) for field in attrs.fields(type(self)))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Leaves out prompts and media: reprs end up in logs and tracebacks. Error reporters also show the instance of a
        # constructor that has failed, which lacks attributes.
        given = (
            f"{field.name}={_shown(field.name, value)}"
            for field in attrs.fields(type(self))
            if (value := getattr(self, field.name, field.default)) != field.default and field.repr
        )
        return f"{type(self).__name__}({', '.join(given)})"

    @classmethod
    def _converted(cls, name: str, value: object, check: _Check) -> object:
        number = number_of(value)
        if not fits(number, check.expected):
            cls._reject(name, _mismatch(name, value, check.expected))
        return number

    @classmethod
    def _checked_media(cls, name: str, value: object, check: _Check) -> object:
        for path, text in _not_media(value, check, name):
            cls._refuse_file_name(path, text)
        if check.object_class is None:
            return value
        for path, field in _misspelt(value, check, name):
            cls._reject(path, f"is not a parameter; did you mean {field!r}?")
        return _mark_objects(check.object_class, value)

    @classmethod
    def _refuse_file_name(cls, path: str, text: str) -> None:
        # Long text, or text with spaces, may be a prompt and is not shown.
        file = repr(text) if len(text) <= 60 and not re.search(r"\s", text) else "..."
        cls._reject(path, f"is not a UUID, URL, data URI or base64. If it is a file name, pass Path({file})")

    @classmethod
    def check_media(cls, given: Mapping[str, Any]) -> None:
        """Check an API object that is sent in place of an object of this class: a `str` is no file to send.

        Raises:
            ValidationError: A `str` that can only be a file name stands where media is expected.
        """
        checks = _folded_checks(cls)  # type: ignore[arg-type]
        for name, value in given.items():
            if (check := checks.get(fold_name(str(name)))) is not None:
                for path, text in _not_media(value, check, str(name)):
                    cls._refuse_file_name(python_path(path), text)

    @classmethod
    def _reject(cls, name: str, what: str) -> None:
        kind = getattr(cls, "task_type", None)
        raise ValidationError(
            f"{cls.__name__}: {name} {what}{'' if what.endswith('?') else '.'}",
            code="invalidParameter",
            parameter=name,
            task_type=kind if isinstance(kind, str) else None,
        )


def _keyword_init(cls: Any) -> Callable[..., None]:
    """Return an `__init__` for a class that stores only the given values, in one step."""
    dense: Callable[..., None] = cls.__init__
    if any(field.validator or field.converter or hasattr(field.default, "factory") for field in attrs.fields(cls)):
        return dense  # a user-defined class with converters, validators or factories
    names = frozenset(field.name for field in attrs.fields(cls) if field.init)
    needed = frozenset(field.name for field in attrs.fields(cls) if field.init and field.default is attrs.NOTHING)

    @wraps(dense)
    def init(self: Any, /, *args: Any, **given: Any) -> None:
        if args or not names.issuperset(given) or (needed and not needed <= given.keys()):
            raise _usage_error(cls, args, given)
        object.__setattr__(self, "__dict__", given)
        self.__attrs_post_init__()

    return init


def _usage_error(cls: Any, args: tuple[Any, ...], given: dict[str, Any]) -> TypeError:
    fields = [field for field in attrs.fields(cls) if field.init]
    needed = [field.name for field in fields if field.default is attrs.NOTHING]
    error = unknown_name_error(cls.__name__, [field.name for field in fields], given, () if args else needed)
    if error is not None:
        return error
    own = [field.name for field in fields if field.name not in SETTINGS]
    main = "positive_prompt" if "positive_prompt" in own else next(iter(own), None)
    first = main if getattr(cls, "main", None) is None else cls.main
    such = f", such as {first}=..." if first and first not in given else ""
    return UsageError(f"{cls.__name__} takes keyword arguments only{such}.", parameter=first or None)


def _not_media(value: Any, check: _Check, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and text of each `str` that cannot be media, also in lists and dicts in place of objects."""
    if isinstance(value, str):
        if check.media and not may_be_media(value):
            yield path, value
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from _not_media(one, check, f"{path}[{number}]")
    elif isinstance(value, Mapping) and check.object_class is not None:
        checks = _folded_checks(check.object_class)
        for key, one in value.items():
            if inner := checks.get(fold_name(str(key))):
                yield from _not_media(one, inner, f"{path}.{key}")


def _misspelt(value: Any, check: _Check, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the right name of each key of a dict that is nearly a field of the class.

    Sent unchanged, it would be refused, or ignored and billed. Other unknown keys are sent: the API may know them, such
    as a `fluxKontext2`, whose number makes it another one.
    """
    if isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from _misspelt(one, check, f"{path}[{number}]")
    elif isinstance(value, Mapping) and check.object_class is not None:
        checks = _checks(check.object_class)
        names = _names(check.object_class)
        for key, one in value.items():
            field = names.get(key)
            if field is not None:
                yield from _misspelt(one, checks[field], f"{path}.{key}")
            elif (near := near_name(str(key), checks)) is not None and _DIGITS.findall(str(key)) == _DIGITS.findall(
                near
            ):
                yield f"{path}.{key}", near


@cache
def object_names(cls: Any) -> frozenset[str]:
    """Return the API names of the fields of a class that take objects."""
    return frozenset(wire_name(name) for name, check in _checks(cls).items() if check.object_class is not None)


@cache
def _names(cls: Any) -> dict[str, str]:
    """Return the field of a class for each of its Python and API names."""
    return {spelling: name for name in _checks(cls) for spelling in (name, wire_name(name))}


@cache
def _folded_checks(cls: Any) -> dict[str, _Check]:
    return {fold_name(name): check for name, check in _checks(cls).items()}


class ObjectDict(dict[str, Any]):
    """A dict in place of an object. Its keys may be the field names of that object's class."""

    def __init__(self, cls: Any, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.cls = cls

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectDict, (self.cls, dict(self))

    def wire(self, unstructure: Callable[[Any], Any]) -> dict[str, Any]:
        """Return the API object. Unknown keys stay as they are: the API may know them.

        Args:
            unstructure: Encodes a value.
        """
        checks = _checks(self.cls)
        wire = {}
        for key, value in self.items():
            check = checks.get(key)
            if check is None:
                wire[key] = unstructure(value)
            else:
                wire[wire_name(key)] = unstructure(
                    _mark_objects(check.object_class, value) if check.object_class else value
                )
        return wire


def _mark_objects(cls: Any, value: Any) -> Any:
    """Mark dicts in place of objects of a class, alone or in a list, so that their field names are translated."""
    if isinstance(value, Mapping):
        return ObjectDict(cls, value)
    if isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        return [_mark_objects(cls, one) for one in value]
    return value
