"""What comes back: one class a kind of media or text, and the list they come in. `answers` has the rest.

A result holds the wire item that it came as, and reads an attribute when somebody asks for it. That never fails: what
is unknown, renamed or of another type stays in `raw`, and the attribute is `None`. Names and meanings on the wire are
those of the protocol reference, section 4.

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

from runware._engine.sparse import fill, put_readers
from runware.errors import DownloadError, RunwareError
from runware.media import MAX_BYTES, in_thread, url_extension
from runware.saving import MadeOfFiles, Saving, ViewedWithPillow, save_all

if TYPE_CHECKING:
    from typing import Self

    from runware.downloads import Session

__all__ = [
    "Audio",
    "Detection",
    "GuideImage",
    "Image",
    "MaskImage",
    "MediaResult",
    "Meta",
    "Model3D",
    "Part",
    "Partial",
    "Result",
    "Results",
    "StoredMedia",
    "Text",
    "Usage",
    "Video",
    "class_by_name",
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
class Part:
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
        from runware.notebook import result_bundle

        return result_bundle(self)

    @property
    def meta(self) -> Meta:
        """What was sent for it, how long it took, and the attempts before it."""
        if self._origin is None:
            return Meta(task_uuid=self.task_uuid)
        sent, task_uuid, elapsed, attempts = self._origin
        if isinstance(sent, bytes):
            from runware._engine.codec import loads

            sent = loads(sent)[0] if sent else {}
        return Meta(request=sent, task_uuid=task_uuid, elapsed=elapsed, attempts=tuple(attempts))


class _SameAs:
    """Another name of an attribute that holds text."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.__doc__ = f"The same as `{name}`."

    def __get__(self, result: Any, owner: Any = None) -> str | None:
        if result is None:
            return self  # type: ignore[return-value]
        text: str | None = getattr(result, self._name)
        return text


@attrs.frozen(kw_only=True, repr=False, slots=False)
class MediaResult(Result, MadeOfFiles):
    """A result that is a file: it has a URL, or its bytes came along.

    Attributes:
        uuid: The UUID the server stores it under; it can be passed as an input of another task.
        url: Where it can be fetched, for a limited time; `None` when its bytes came along.
        base64_data: Its bytes in base64, for `output_type="base64Data"`.
        data_uri: Its bytes as a data URI, for `output_type="dataURI"`.
        media_uuid: The server's general media UUID, where it gives one; `uuid` is the same if it has no other.
        media_url: The server's general media address, where it gives one; `url` is the same if it has no other.
        seed: The seed it was made with; result k of a task has the task's seed plus k.
        nsfw_content: Whether the safety check found something; `None` when it was not asked for.
    """

    uuid: str | None = None
    url: str | None = attrs.field(default=None, repr=shown_url)
    base64_data: str | None = attrs.field(default=None, repr=False, hash=False)
    data_uri: str | None = attrs.field(default=None, repr=False, hash=False)
    media_uuid: str | None = None
    media_url: str | None = attrs.field(default=None, repr=shown_url)
    seed: int | None = None
    nsfw_content: bool | None = None

    def _instead(self, name: str) -> Any:
        return self.media_uuid if name == "uuid" else self.media_url if name == "url" else None

    def as_input(self) -> str:
        """Return what names this result to the server when it is the input of another task."""
        name = self.uuid or self.url or self.data_uri or self.base64_data
        if not name:
            raise DownloadError("The result holds no media that could be used as an input.")
        return name


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Image(MediaResult, ViewedWithPillow):
    """A picture.

    Attributes:
        input_image_uuid: The UUID of the picture it was made from.
        input_images_uuid: The UUIDs of the pictures it was made from, where there are several.
        positive_prompt: The prompt it was made with, where the server tells.
        negative_prompt: The negative prompt it was made with, where the server tells.
        outputs: Further outputs of the model, such as `textBlocks` and `structuredPrompt`, as they came.
    """

    kind: ClassVar[str] = "image"

    input_image_uuid: str | None = None
    input_images_uuid: Sequence[str] | None = attrs.field(default=None, hash=False)
    positive_prompt: str | None = attrs.field(default=None, repr=False)
    negative_prompt: str | None = attrs.field(default=None, repr=False)
    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    image_uuid = _SameAs("uuid")
    image_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Video(MediaResult):
    """A video.

    Attributes:
        outputs: Further outputs of the model, such as `draftId` and `videoId`, as they came.
    """

    kind: ClassVar[str] = "video"

    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    video_uuid = _SameAs("uuid")
    video_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Audio(MediaResult):
    """Speech, music or a sound."""

    kind: ClassVar[str] = "audio"

    audio_uuid = _SameAs("uuid")
    audio_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class GuideImage(MediaResult, ViewedWithPillow):
    """A guide image for a ControlNet model.

    Attributes:
        input_image_uuid: The UUID of the picture it was made from.
    """

    kind: ClassVar[str] = "guideImage"

    input_image_uuid: str | None = None

    guide_image_uuid = _SameAs("uuid")
    guide_image_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Detection(Part):
    """Where something was found, in pixels from the top left.

    Attributes:
        x_min: Its left edge.
        y_min: Its top edge.
        x_max: Its right edge.
        y_max: Its bottom edge.
    """

    x_min: float | None = None
    y_min: float | None = None
    x_max: float | None = None
    y_max: float | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class MaskImage(MediaResult, ViewedWithPillow):
    """A mask of what was found in a picture.

    Attributes:
        detections: Where something was found.
        input_image_uuid: The UUID of the picture.
    """

    kind: ClassVar[str] = "maskImage"

    detections: Sequence[Detection] = attrs.field(default=(), hash=False)
    input_image_uuid: str | None = None

    mask_image_uuid = _SameAs("uuid")
    mask_image_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Model3D(MediaResult):
    """A 3D model: one file or several.

    `uuid`, `url`, `read()` and `iter_bytes()` are those of the first file.

    Attributes:
        outputs: The outputs of the model, as they came.
    """

    kind: ClassVar[str] = "model"

    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    def _instead(self, name: str) -> Any:
        value = super()._instead(name)
        if value is None and name in ("uuid", "url") and (files := self.files):
            value = getattr(files[0], name)
        return value

    @property
    def files(self) -> Sequence[MediaResult]:
        """Each file, which has a URL and can be saved by itself."""
        from runware._engine.codec import structure

        files = tuple(structure(file, MediaResult) for file in wire_objects((self.outputs or {}).get("files")))
        for file in files:
            object.__setattr__(file, "_origin", self._origin)
            object.__setattr__(file, "_downloads", self._downloads)
        return files

    def save_with(self, session: Session, saving: Saving, stem: str | None = None) -> Path:
        """Save each file, or the one there is."""
        files = self.files
        if len(files) < 2:
            return super().save_with(session, saving, stem)
        # Models that are saved together share a directory, and their files may have no names of their own.
        save_all(files, saving, stem or self.uuid or self.kind)
        return Path(saving.where)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Usage(Part):
    """How many tokens a text took.

    Attributes:
        prompt_tokens: Those of what was sent; `input_tokens` is the same.
        completion_tokens: Those of the answer; `output_tokens` is the same.
        total_tokens: All of them.
        thinking_tokens: Those of what the model thought.
        input_tokens: Another name the wire has for *prompt_tokens*.
        output_tokens: Another name the wire has for *completion_tokens*.
        cost_breakdown: What each kind cost, as it came.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    thinking_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_breakdown: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    def _instead(self, name: str) -> Any:
        other = _OTHER_NAME.get(name)
        return None if other is None else vars(self).get(other, vars(Usage)[other].own(self))


_OTHER_NAME = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
_OTHER_NAME |= {other: name for name, other in _OTHER_NAME.items()}


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Text(Result):
    """A text. `str()` of it is the text itself; its `repr`, which ends up in logs, tells only how long it is.

    Attributes:
        text: The text; `None` when the answer is in *structured_data* alone.
        finish_reason: Why it ended: `"stop"`, `"length"`, `"content_filter"`, `"tool_calls"`, or another word.
        usage: How many tokens it took, if `include_usage` was asked for.
        reasoning_content: What the model thought, where it tells.
        thought_signature: The signature of the thoughts, to be handed back with the next message.
        structured_data: The answer as an object, such as `ageGroup` and `confidence` of a caption, as it came.
        seed: The seed it was made with.
    """

    text: str | None = attrs.field(default=None, repr=shown_length)
    finish_reason: str | None = None
    usage: Usage | None = None
    reasoning_content: str | None = attrs.field(default=None, repr=shown_length)
    thought_signature: str | None = attrs.field(default=None, repr=False)
    structured_data: Any = attrs.field(default=None, repr=False, hash=False)
    seed: int | None = None

    def __str__(self) -> str:
        return self.text or ""


@attrs.frozen(kw_only=True, repr=False, slots=False)
class StoredMedia(MediaResult, ViewedWithPillow):
    """Media that the server keeps, or has deleted. Its `uuid`, or it itself, can be the input of a task.

    Attributes:
        operation: What was done: `"upload"` or `"delete"`; `None` for `image_upload`.
    """

    kind: ClassVar[str] = "image"  # the older task says imageUUID, the newer one mediaUUID

    operation: str | None = None


class Results(list[T]):
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
        from runware.notebook import results_bundle

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


_BY_EXTENSION: dict[str, type[Result]] = {
    extension: cls
    for cls, extensions in {
        Image: ".jpg .jpeg .png .webp .gif .avif .heic .heif .tif .tiff .bmp .svg",
        Video: ".mp4 .m4v .webm .mov .mkv",
        Audio: ".mp3 .wav .flac .ogg .m4a .aac",
    }.items()
    for extension in extensions.split()
}


def class_by_name(item: Mapping[str, Any], otherwise: type[Result]) -> type[Result]:
    """Tell a picture, a video and a sound apart by the names in a wire item, or by its address."""
    for cls in (otherwise, Image, Video, Audio):
        if cls.kind and any(item.get(cls.kind + name) is not None for name in ("UUID", "URL", "Base64Data", "DataURI")):
            return cls
    return _BY_EXTENSION.get(url_extension(str(item.get("mediaURL"))), otherwise)


def wire_objects(value: object) -> list[dict[str, Any]]:
    """Give the objects of a list, or the one object that stands for a list of one."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
