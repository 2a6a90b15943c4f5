"""Base classes of results, and the list that calls return.

A result holds the API object it came as, and reads each attribute from it on access. Reading never fails: what is
unknown, renamed or of an unexpected type stays in `raw`, and the attribute is `None`.

Fields that may hold dicts, lists or large texts are declared with `hash=False`: equal results have equal hashes without
them. Fields that may hold prompts, texts or media are declared with `repr=False`.
"""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, SupportsIndex, TypeVar, overload

import attrs

from runware._support.lazy_modules import lazy_module
from runware._support.pydantic_schemas import ResultSchema
from runware.errors import RunwareError, ValidationError
from runware.media.cancelling import in_thread
from runware.media.downloadable import Saving, save_all
from runware.media.downloads import Downloads
from runware.media.files import MAX_BYTES
from runware.protocol.codec import dumps, finite_number, loads, structure
from runware.protocol.lazy_fields import put_readers, stored_items

if TYPE_CHECKING:
    from typing import Self

    from runware.display import notebook
else:
    notebook = lazy_module("runware.display.notebook")

__all__ = [
    "ApiObject",
    "Meta",
    "Origin",
    "Partial",
    "Result",
    "Results",
    "shortened",
    "shown_length",
    "shown_url",
    "wire_objects",
]

S = TypeVar("S")
T = TypeVar("T")

_LONGEST_SHOWN = 200
"""Longest text that a `repr` shows. Names, UUIDs and AIRs are shorter; base64 in an unexpected field is longer."""


@attrs.frozen(kw_only=True, repr=False, slots=False)
class ApiObject(ResultSchema):
    """An object in a response. `dict(result)` and JSON encoders that know `__json__` see what `to_dict()` returns.

    Attributes:
        raw: The complete API object, including fields without an attribute here.
    """

    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        put_readers(cls)

    def __attrs_post_init__(self) -> None:
        # Keep only the given values: an object made by hand then reads the rest from `raw`, like a received one.
        given = {name: value for name, value in vars(self).items() if value is not None and value != ()}
        object.__setattr__(self, "__dict__", given)

    def _fallback(self, name: str) -> Any:  # noqa: ARG002 - overrides use it
        """Return the value of a field that is missing from the API object, or `None`."""
        return None

    def to_dict(self, *, api_names: bool = True) -> dict[str, Any]:
        """Return the object as a new dict that JSON can hold. It contains nothing of the request.

        NaN and infinities, which some servers send, are `None` in it.

        Args:
            api_names: The API's own object, complete, which `from_dict` reads. With `False`, the attributes that have
                a value, under their Python names, for tables and templates.
        """
        if api_names:
            return {name: _plain(value, True) for name, value in ({**self.raw, **dict(stored_items(self))}).items()}
        hidden = ("raw", *self._from_request())
        names = (field.name for field in attrs.fields(type(self)) if field.name not in hidden)
        values = ((name, getattr(self, name)) for name in names if not name.startswith("_"))
        return {name: _plain(value, False) for name, value in values if value is not None and value != ()}

    def to_json(self, *, api_names: bool = True) -> str:
        """Return what `to_dict` returns, as JSON in one line."""
        return dumps(self.to_dict(api_names=api_names)).decode()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make an object from what `to_dict()` returned, or from any object of the API.

        `runware.results.from_dict` finds the class by the task type.

        Args:
            data: The object under the API's names. It is kept, as `raw`.

        Raises:
            ValidationError: It is not a dict, or has Python names.
        """
        if not isinstance(data, Mapping) or not data.keys().isdisjoint(_PYTHON_NAMES):
            words = "a dict with Python names" if isinstance(data, Mapping) else type(data).__name__
            raise ValidationError(
                f"{cls.__name__}.from_dict takes a dict with the API's names, as to_dict() returns it; got {words}.",
                code="invalidParameter",
                parameter="data",
            )
        return structure(data if type(data) is dict else dict(data), cls)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Make an object from what `to_json()` returned.

        Raises:
            ValidationError: It is not JSON, not an object, or has Python names.
        """
        return cls.from_dict(parsed(text))

    def keys(self) -> Iterable[str]:
        """Return the keys of `to_dict()`, so that `dict(result)` works."""
        return self.to_dict().keys()

    def __getitem__(self, name: str, /) -> Any:
        try:
            return self.to_dict()[name]
        except KeyError as error:
            if isinstance(name, str) and hasattr(type(self), name):
                error.add_note(f"Keys are the API's names. The attribute is .{name}.")
            raise

    def __json__(self) -> dict[str, Any]:
        """Return the form in which Celery sends the object."""
        return self.to_dict()

    def _from_request(self) -> Sequence[str]:
        """Return the names of attributes whose values come from the request, and not from the server."""
        return ()

    def __repr__(self) -> str:
        # Leaves out prompts and media: reprs end up in logs and tracebacks.
        known = (
            f"{field.name}={field.repr(value) if callable(field.repr) else _shown(value)}"
            for field in attrs.fields(type(self))
            if field.repr and (value := getattr(self, field.name)) is not None
        )
        return f"{type(self).__name__}({', '.join(known)})"


_PYTHON_NAMES = frozenset(("task_type", "task_uuid"))
"""Names in every result of a client, by which a dict with Python names is recognized."""


def parsed(text: str | bytes) -> Any:
    """Parse the JSON of results.

    Raises:
        ValidationError: It is not JSON.
    """
    try:
        return loads(text.encode() if isinstance(text, str) else text)
    except ValueError as error:
        raise ValidationError(f"The text is not JSON: {error}", code="invalidParameter", parameter="text") from error


def _plain(value: Any, api_names: bool) -> Any:
    """Return a value as JSON types, without anything that belongs to the result."""
    if isinstance(value, ApiObject):
        return value.to_dict(api_names=api_names)
    if isinstance(value, Mapping):
        return {name: _plain(one, api_names) for name, one in value.items()}
    if isinstance(value, float):
        return finite_number(value)
    return [_plain(one, api_names) for one in value] if isinstance(value, (list, tuple)) else value


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return shown_length(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value)


def shown_length(text: str) -> str:
    """Return the representation of a text in a `repr`: its length."""
    return f"<str of length {len(text)}>"


def shown_url(url: str) -> str:
    """Return the representation of a URL in a `repr`: everything but its query, which may hold a token."""
    if url[:5].lower() == "data:":
        return shown_length(url)
    end = re.search(r"[?#]", url)
    return _shown(url if end is None else f"{url[: end.start()]}?...")


@attrs.frozen(kw_only=True)
class Meta:
    """Information about the call that produced a result. Its `repr` shows no prompt.

    Attributes:
        request: The API object that was sent. If it exceeds 16 KiB, long texts (mostly base64) are replaced by a note
            of their length, so that results do not keep their inputs in memory.
        task_uuid: UUID of the attempt that produced the result.
        elapsed: Seconds from the call to the arrival of the result; 0.0 for a result that did not come from a call.
        attempts: UUID and outcome of each earlier attempt that failed at the server, oldest first.
    """

    request: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)
    task_uuid: str | None = None
    elapsed: float = 0.0
    attempts: Sequence[str] = attrs.field(default=(), hash=False)


Origin = tuple[bytes | Mapping[str, Any], str | None, float, Sequence[str]]
"""The fields of a `Meta`, which is created on access. The request may still be the encoded message.

A tuple of atomic values, which the garbage collector soon untracks.
"""


def shortened(value: Any) -> Any:
    """Return an API object without media: long texts are replaced by a note of their length."""
    if isinstance(value, str):
        return value if len(value) <= _LONG_TEXT else f"<text of length {len(value)}>"
    if isinstance(value, dict):
        return {name: shortened(one) for name, one in value.items()}
    return [shortened(one) for one in value] if isinstance(value, (list, tuple)) else value


_LONG_TEXT = 4096


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Result(ApiObject):
    """One result of a task. Immutable, hashable and comparable.

    `attrs.evolve` and `copy` keep `meta` and the client's download settings. `pickle` keeps only `meta`: an unpickled
    result is downloaded with the settings of the environment.

    Attributes:
        task_type: The API's task type, such as `"imageInference"`.
        task_uuid: UUID of the task that produced the result.
        cost: Cost in US dollars; `None` unless `include_cost` was set.
        status: Status reported by the server, usually `"success"`; `None` for results that were pushed.
        progress: Progress in percent, while the task runs and if the server reports it.
    """

    kind: ClassVar[str] = ""
    """Prefix of the API names of its fields, such as `"image"` in `imageURL`."""
    shown_as: ClassVar[str] = ""
    """Notebook view: image, video, audio, model, file or text; `""` shows the `repr`."""

    task_type: str | None = None
    task_uuid: str | None = None
    cost: float | None = None
    status: str | None = None
    progress: float | None = None
    # Also parameters of `__init__`, so that `attrs.evolve` keeps them.
    _origin: Origin | None = attrs.field(default=None, alias="_origin", eq=False, repr=False)
    _downloads: Downloads | None = attrs.field(default=None, alias="_downloads", eq=False, repr=False)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return the notebook view: the image or a player, with prompt, seed, size and cost. Downloads nothing."""
        return notebook.result_bundle(self)

    @property
    def meta(self) -> Meta:
        """The request, the elapsed time, and earlier attempts."""
        if self._origin is None:
            return Meta(task_uuid=self.task_uuid)
        sent, task_uuid, elapsed, attempts = self._origin
        if isinstance(sent, bytes):
            sent = loads(sent)[0] if sent else {}
        return Meta(request=sent, task_uuid=task_uuid, elapsed=elapsed, attempts=tuple(attempts))


class Results(list[T], ResultSchema):
    """The results of one task: a list with properties of the whole.

    Slices, `+`, `*` and `copy()` return `Results` too. They keep the errors; `+` combines those of both sides.

    Attributes:
        errors: Why results are missing, one error each; empty if all arrived.
    """

    errors: tuple[RunwareError, ...] = ()

    def __init__(self, items: Iterable[T] = (), *, errors: Iterable[RunwareError] = ()) -> None:
        list.__init__(self, items)  # `super` takes as long as the rest of this, for each call
        if errors:
            self.errors = tuple(errors)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> Results[T]: ...
    def __getitem__(self, index: Any, /) -> Any:
        found = list.__getitem__(self, index)
        return Results(found, errors=self.errors) if isinstance(index, slice) else found

    @overload
    def __add__(self, other: list[T], /) -> Results[T]: ...
    @overload
    def __add__(self, other: list[S], /) -> Results[S | T]: ...
    def __add__(self, other: list[Any], /) -> Results[Any]:
        return Results(super().__add__(other), errors=_joined(self, other))

    def __radd__(self, other: list[S], /) -> Results[S | T]:  # type: ignore[misc] # overrides list.__add__
        return Results([*other, *self], errors=self.errors) if isinstance(other, list) else NotImplemented

    def __iadd__(self, other: Iterable[T], /) -> Self:  # type: ignore[override, misc] # like list.__iadd__
        errors = _joined(self, other)
        self.extend(other)
        if errors:
            self.errors = errors
        return self

    def __mul__(self, times: SupportsIndex, /) -> Results[T]:
        return Results(super().__mul__(times), errors=self.errors)

    def __rmul__(self, times: SupportsIndex, /) -> Results[T]:
        return self * times

    def copy(self) -> Self:
        """Return a shallow copy that keeps the errors."""
        return copy.copy(self)

    if not TYPE_CHECKING:  # else every name would be one of its attributes

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(_of_each(type(self).__name__, name, self), name=name, obj=self)

    @property
    def cost(self) -> float | None:
        """Total cost in US dollars; `None` if no result reports its cost."""
        costs = [cost for item in self if (cost := getattr(item, "cost", None)) is not None and math.isfinite(cost)]
        return sum(costs) if costs else None

    def to_dicts(self, *, api_names: bool = True) -> list[dict[str, Any]]:
        """Return the results as dicts; see `Result.to_dict`.

        A table of them: `pandas.DataFrame(results.to_dicts(api_names=False))`. The errors are not in it.

        Args:
            api_names: Use the API's names, which `runware.results.from_dict` reads; `False` for Python names.
        """
        return [_plain(one, api_names) for one in self]

    def to_json(self, *, api_names: bool = True) -> str:
        """Return what `to_dicts` returns, as JSON in one line."""
        return dumps(self.to_dicts(api_names=api_names)).decode()

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return the notebook view: a grid of the results. Downloads nothing."""
        return notebook.results_bundle(self, self.errors)

    def save_all(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        template: str | None = None,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = MAX_BYTES,
    ) -> list[Path]:
        """Save every result to a directory, several at a time, and return the paths in the order of the results.

        Args:
            where: The directory; created if missing.
            template: The names of the files in the directory, such as `"{task_type}/{index:03}-{seed}{ext}"`. The
                fields are index (from 0), seed, uuid, task_uuid, task_type, kind, model and ext. `None`
                uses the UUIDs.
            overwrite: Replace existing files.
            timeout: Seconds allowed for connecting, and for each wait for more data; 60 by default.
            max_bytes: Maximum size of each file; a larger download is aborted. 2 GiB by default.

        Raises:
            ValidationError: *template* has an unknown field, or gives two results the same name. Nothing was
                downloaded.
            FileExistsError: A file exists and *overwrite* is false.
            DownloadError: A result could not be downloaded; the others are saved nevertheless.
        """
        return save_all(self, Saving(where, overwrite, timeout, max_bytes, template))

    async def asave_all(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        template: str | None = None,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = MAX_BYTES,
    ) -> list[Path]:
        """Save every result to a directory; the asyncio form of `save_all`."""
        return await in_thread(
            lambda cancel: save_all(self, Saving(where, overwrite, timeout, max_bytes, template, cancel))
        )


_IN_ITSELF = frozenset(("data", "images", "output", "outputs", "results", "videos"))
"""Attributes in which other libraries keep the list."""


def _of_each(cls: str, name: str, items: list[Any]) -> str:
    """Return the message for an attribute that a list of results does not have."""
    words = f"{cls!r} object has no attribute {name!r}"
    if name in _IN_ITSELF:
        return f"{words}. It is the list itself: use results[0], or a loop."
    if name.startswith("_") or not items or not hasattr(items[0], name):
        return words
    own = {"save": " results.save_all(...) saves all.", "asave": " results.asave_all(...) saves all."}.get(name, "")
    return f"{words}. It is a list of results: use results[0].{name}, or a loop.{own}"


def _joined(one: object, other: object) -> tuple[RunwareError, ...]:
    """Return the errors of two lists without duplicates: two slices of one list share theirs."""
    found = {id(error): error for part in (one, other) for error in getattr(part, "errors", ())}
    return tuple(found.values())


class Partial(Results[T], Generic[T]):
    """The new results of a running task, as passed to `on_partial`. Slices are `Results`.

    Attributes:
        all: Every result so far, including the new ones, in order of arrival.
        completed: Number of results so far.
        total: Number of results requested.
    """

    all: Sequence[T]
    total: int

    def __init__(self, new: Iterable[T], *, all: Sequence[T], total: int) -> None:  # noqa: A002 - named like the attribute
        list.__init__(self, new)
        self.all = all
        self.total = total

    @property
    def completed(self) -> int:
        """Number of results so far."""
        return len(self.all)


def wire_objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list, or a list with the single object given instead."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
