"""What all results have in common, and the list they come in.

A result holds the API object that it came as, and reads an attribute when it is asked for. That never fails: what is
unknown, renamed or of another type stays in `raw`, and the attribute is `None`.

Fields are declared with `hash=False` where they may hold dicts or lists (or large texts): equal results have equal
hashes without them. They are declared with `repr=False` where they may hold prompts, texts or media.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, SupportsIndex, TypeVar, overload

import attrs

from runware._support.pydantic_schemas import ResultSchema
from runware.errors import RunwareError
from runware.media.files import Saving, save_all
from runware.media.inputs import MAX_BYTES, in_thread
from runware.protocol.codec import loads
from runware.protocol.lazy_fields import fill, put_readers

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "Meta",
    "Origin",
    "Part",
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
"""Characters of one text that a `repr` shows. No name, UUID or AIR has more; base64 that came in a wrong place does."""


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Part(ResultSchema):
    """A part of an answer.

    Attributes:
        raw: The wire object, whole, with whatever is not named here.
    """

    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        put_readers(cls)

    def __attrs_post_init__(self) -> None:
        # One that somebody has made reads what was not given to it, as one that came does.
        fill(self, {name: value for name, value in vars(self).items() if value is not None and value != ()})

    def _instead(self, name: str) -> Any:  # noqa: ARG002 - some classes look at it
        """Give what stands for a field that the wire item does not have, or `None`."""
        return None

    def __repr__(self) -> str:
        # What there is of it, but neither prompts nor media: reprs end up in logs and tracebacks.
        known = (
            f"{field.name}={field.repr(value) if callable(field.repr) else _shown(value)}"
            for field in attrs.fields(type(self))
            if field.repr and (value := getattr(self, field.name)) is not None
        )
        return f"{type(self).__name__}({', '.join(known)})"


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return shown_length(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value)


def shown_length(text: str) -> str:
    """Return what a `repr` shows of a text."""
    return f"<str of length {len(text)}>"


def shown_url(url: str) -> str:
    """Return what a `repr` shows of a URL: all but its query, which may hold a token."""
    if url[:5].lower() == "data:":
        return shown_length(url)
    end = re.search(r"[?#]", url)
    return _shown(url if end is None else f"{url[: end.start()]}?...")


@attrs.frozen(kw_only=True)
class Meta:
    """What is known of the call that a result came with. Its `repr` shows no prompt.

    Attributes:
        request: What was sent: the wire object. In one of more than 16 KiB, long texts (base64, mostly) are replaced
            by words that tell their length, so that results do not keep their inputs in memory.
        task_uuid: The UUID of the attempt that made the result.
        elapsed: Seconds from the call to the result's arrival; 0.0 for a result that no call brought.
        attempts: UUID and outcome of each attempt that the server had failed before, oldest first.
    """

    request: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)
    task_uuid: str | None = None
    elapsed: float = 0.0
    attempts: Sequence[str] = attrs.field(default=(), hash=False)


Origin = tuple[bytes | Mapping[str, Any], str | None, float, Sequence[str]]
"""What `Meta` is made of when somebody asks for it. The request may be the message that was sent.

It holds nothing that the garbage collector has to look into, so that it soon stops looking at it.
"""


def shortened(value: Any) -> Any:
    """Give a wire object without the media in it: of a long text, only the length is told."""
    if isinstance(value, str):
        return value if len(value) <= _LONG_TEXT else f"<text of length {len(value)}>"
    if isinstance(value, dict):
        return {name: shortened(one) for name, one in value.items()}
    return [shortened(one) for one in value] if isinstance(value, (list, tuple)) else value


_LONG_TEXT = 4096


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Result(Part):
    """One result of a task. It is never changed, and can be hashed and compared.

    `attrs.evolve` and `copy` keep `meta` and the client's settings for downloads; `pickle` keeps `meta` alone, and a
    result that was unpickled is fetched with the settings of the environment.

    Attributes:
        task_type: The wire's task type (`"imageInference"`).
        task_uuid: The UUID of the task that made it.
        cost: What it cost in US dollars; `None` unless `include_cost` was asked for.
        status: The server's word on it, mostly `"success"`; `None` for results that were pushed.
        progress: How far it is in percent, while it is not done and the server tells.
    """

    kind: ClassVar[str] = ""
    """What its fields' API names begin with, such as `"image"` in `imageURL`."""
    shown_as: ClassVar[str] = ""
    """How a notebook shows it: image, video, audio, model, file or text; an empty one as its repr."""

    task_type: str | None = None
    task_uuid: str | None = None
    cost: float | None = None
    status: str | None = None
    progress: float | None = None
    # Parameters of `__init__` too, so that `attrs.evolve` hands them on.
    _origin: Origin | None = attrs.field(default=None, alias="_origin", eq=False, repr=False)
    _downloads: Any = attrs.field(default=None, alias="_downloads", eq=False, repr=False)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Show itself in a notebook: the picture or a player, prompt, seed, size and cost. Nothing is fetched."""
        from runware.display.notebook import result_bundle

        return result_bundle(self)

    @property
    def meta(self) -> Meta:
        """What was sent for it, how long it took, and the attempts before it."""
        if self._origin is None:
            return Meta(task_uuid=self.task_uuid)
        sent, task_uuid, elapsed, attempts = self._origin
        if isinstance(sent, bytes):
            sent = loads(sent)[0] if sent else {}
        return Meta(request=sent, task_uuid=task_uuid, elapsed=elapsed, attempts=tuple(attempts))


class Results(list[T], ResultSchema):
    """The results of one task: a list, with what they have in common.

    Slices, `+`, `*` and `copy()` are `Results` too. They keep the errors; `+` joins those of both sides.

    Attributes:
        errors: What went wrong with those of the task that are missing; empty when all came.
    """

    errors: tuple[RunwareError, ...] = ()

    def __init__(self, items: Iterable[T] = (), *, errors: Iterable[RunwareError] = ()) -> None:
        super().__init__(items)
        if errors:
            self.errors = tuple(errors)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> Results[T]: ...
    def __getitem__(self, index: Any, /) -> Any:
        found = super().__getitem__(index)
        return Results(found, errors=self.errors) if isinstance(index, slice) else found

    @overload
    def __add__(self, other: list[T], /) -> Results[T]: ...
    @overload
    def __add__(self, other: list[S], /) -> Results[S | T]: ...
    def __add__(self, other: list[Any], /) -> Results[Any]:
        return Results(super().__add__(other), errors=_joined(self, other))

    def __radd__(self, other: list[S], /) -> Results[S | T]:  # type: ignore[misc] # a list's own `+` makes a list
        return Results([*other, *self], errors=self.errors) if isinstance(other, list) else NotImplemented

    def __iadd__(self, other: Iterable[T], /) -> Self:  # type: ignore[override, misc] # as that of a list
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
        """Return a copy, with what else is known of them."""
        return copy.copy(self)

    @property
    def cost(self) -> float | None:
        """What they cost together in US dollars; `None` when no result tells its cost."""
        costs = [cost for item in self if (cost := getattr(item, "cost", None)) is not None]
        return sum(costs) if costs else None

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Show the results in a notebook, as a grid. Nothing is fetched."""
        from runware.display.notebook import results_bundle

        return results_bundle(self, self.errors)

    def save_all(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = MAX_BYTES,
    ) -> list[Path]:
        """Save every result into a directory, several at once, and return the paths in the results' order.

        Args:
            where: The directory; it is made when it is missing.
            overwrite: Replace files that are there already.
            timeout: Seconds that connecting, and each wait for more bytes, may take.
            max_bytes: Size above which fetching a file is given up.

        Raises:
            FileExistsError: A file is there already and *overwrite* is false.
            DownloadError: One of the results could not be fetched; the others are saved all the same.
        """
        return save_all(self, Saving(where, overwrite, timeout, max_bytes))

    async def asave_all(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = MAX_BYTES,
    ) -> list[Path]:
        """Save every result into a directory; `save_all` for asyncio."""
        return await in_thread(lambda stop: save_all(self, Saving(where, overwrite, timeout, max_bytes, stop)))


def _joined(one: Any, other: Any) -> tuple[RunwareError, ...]:
    """Return the errors of two lists, each once: two slices of one list have the same ones."""
    found = {id(error): error for part in (one, other) for error in getattr(part, "errors", ())}
    return tuple(found.values())


class Partial(Results[T], Generic[T]):
    """The new results of a task that still runs, as `on_partial` gets them. A slice of it is `Results`.

    Attributes:
        all: Every result so far, the new ones included, in the order they came.
        total: How many were asked for.
    """

    all: Sequence[T]
    total: int

    def __init__(self, new: Iterable[T], *, all: Sequence[T], total: int) -> None:  # noqa: A002 - it is the attribute
        list.__init__(self, new)
        self.all = all
        self.total = total

    @property
    def completed(self) -> int:
        """How many results there are so far."""
        return len(self.all)


def wire_objects(value: object) -> list[dict[str, Any]]:
    """Give the objects of a list, or the one object that stands for a list of one."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
