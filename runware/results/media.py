"""Result classes for files: images, videos, audio, 3D models and stored media."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import attrs

from runware._support.lazy_modules import lazy_module
from runware.errors import DownloadError
from runware.media.downloadable import Downloadable, PillowMixin, Saving, save_all
from runware.media.downloads import Session
from runware.media.files import MAX_EMBEDDED
from runware.media.kinds import url_extension
from runware.media.templates import with_extension
from runware.protocol.codec import structure
from runware.results.base import ApiObject, Result, shown_url, wire_objects

if TYPE_CHECKING:
    import tempfile

    from runware.display import notebook
    from runware.media import viewer
else:
    tempfile = lazy_module("tempfile")
    viewer = lazy_module("runware.media.viewer")
    notebook = lazy_module("runware.display.notebook")

__all__ = [
    "Audio",
    "Detection",
    "FilesResult",
    "GuideImage",
    "Image",
    "MaskImage",
    "MediaResult",
    "Model3D",
    "StoredMedia",
    "ToolOutput",
    "Video",
    "class_by_name",
]


class _SameAs:
    """An alias of a text attribute."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.__doc__ = f"Alias of `{name}`."

    def __get__(self, result: Any, owner: Any = None) -> str | None:
        if result is None:
            return self  # type: ignore[return-value]
        text: str | None = getattr(result, self._name)
        return text


@attrs.frozen(kw_only=True, repr=False, slots=False)
class MediaResult(Result, Downloadable):
    """A result that is a file, delivered as a URL or inline.

    Attributes:
        uuid: UUID of the stored file; usable as an input of another task.
        url: Download URL, valid for a limited time; `None` if the data was delivered inline.
        base64_data: The file in base64, for `output_type="base64Data"`.
        data_uri: The file as a data URI, for `output_type="dataURI"`.
        media_uuid: The API's generic `mediaUUID`, if present; `uuid` falls back to it.
        media_url: The API's generic `mediaURL`, if present; `url` falls back to it.
        seed: Seed of this result; result k of a task has the task's seed plus k.
        nsfw_content: Whether the safety check flagged the result; `None` if it was not requested.
        positive_prompt: The prompt: what the server returns, or else that of the request, if it is known. The latter
            is not part of `to_dict()`, so that a prompt does not leave the program with its result.
    """

    shown_as: ClassVar[str] = "file"

    uuid: str | None = None
    url: str | None = attrs.field(default=None, repr=shown_url)
    base64_data: str | None = attrs.field(default=None, repr=False, hash=False)
    data_uri: str | None = attrs.field(default=None, repr=False, hash=False)
    media_uuid: str | None = None
    media_url: str | None = attrs.field(default=None, repr=shown_url)
    seed: int | None = None
    nsfw_content: bool | None = None
    # Not compared: the same result has it or not, depending on where it comes from.
    positive_prompt: str | None = attrs.field(default=None, repr=False, eq=False)

    def _fallback(self, name: str) -> Any:
        if name == "uuid":
            return self.media_uuid
        if name == "url":
            return self.media_url
        if name == "positive_prompt" and self._origin is not None:
            prompt = self.meta.request.get("positivePrompt")
            return prompt if isinstance(prompt, str) else None
        return None

    def _from_request(self) -> Sequence[str]:
        known_to_server = self._origin is None or "positivePrompt" in self.raw
        return () if known_to_server else ("positive_prompt",)

    def get_url(self) -> str:
        """Return the download URL: `url` for code that needs a `str`.

        Raises:
            DownloadError: The result has no URL, because its data was delivered inline.
        """
        if self.url is None:
            held = self.base64_data or self.data_uri
            words = "its data was delivered inline; use read() or save()" if held else "the server sent none"
            raise DownloadError(f"The result has no URL: {words}.", task_type=self.task_type, task_uuid=self.task_uuid)
        return self.url

    def embed(self, *, timeout: float = 60.0, max_bytes: int = MAX_EMBEDDED) -> Self:
        """Return the result with its data in it, as `base64_data`: downloaded now, and shown without the network.

        A notebook that shows it keeps the file after the URL has expired.

        Args:
            timeout: Seconds allowed for connecting, and for each wait for more data; 60 by default.
            max_bytes: Maximum size; 8 MiB by default, since a notebook is stored with it.

        Raises:
            DownloadError: There is no media, the URL has expired, the file is too large, or the network failed.
        """
        data = self.read(timeout=timeout, max_bytes=max_bytes)
        return attrs.evolve(self, base64_data=base64.b64encode(data).decode())

    def show(self, *, timeout: float = 60.0) -> None:
        """Show the result: in a notebook below the cell, elsewhere in the program that the system has for such files.

        Args:
            timeout: Seconds allowed for connecting, and for each wait for more data; 60 by default.

        Raises:
            ConfigurationError: There is no display, or no program that opens files.
            DownloadError: There is no media, the URL has expired, or the network failed.
        """
        if notebook.in_notebook():
            notebook.show(self)
            return
        viewer.check_display()
        viewer.open_file(self.save(f"{tempfile.mkdtemp(prefix='runware-')}/", timeout=timeout))

    def as_input(self) -> str:
        """Return the identifier to send when this result is the input of another task."""
        name = self.uuid or self.url or self.data_uri or self.base64_data
        if not name:
            raise DownloadError("The result has no UUID, URL or data, so it cannot be used as an input.")
        return name


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Image(MediaResult, PillowMixin):
    """An image.

    Attributes:
        input_image_uuid: UUID of the input image.
        input_images_uuid: UUIDs of the input images, if there were several.
        negative_prompt: The negative prompt, if the server returns it.
        outputs: Further outputs of the model, such as `textBlocks`, unchanged.
        structured_prompt: The prompt in the form of JSON that the model made of it, unchanged; usable as the
            `structured_prompt` of another image.
    """

    kind: ClassVar[str] = "image"
    shown_as: ClassVar[str] = "image"

    input_image_uuid: str | None = None
    input_images_uuid: Sequence[str] | None = attrs.field(default=None, hash=False)
    negative_prompt: str | None = attrs.field(default=None, repr=False)
    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)
    structured_prompt: Any = attrs.field(default=None, repr=False, hash=False)

    def _fallback(self, name: str) -> Any:
        if name == "structured_prompt":
            return (self.outputs or {}).get("structuredPrompt")
        return super()._fallback(name)

    image_uuid = _SameAs("uuid")
    image_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Video(MediaResult):
    """A video.

    Attributes:
        outputs: Further outputs of the model, such as `draftId` and `videoId`, unchanged.
    """

    kind: ClassVar[str] = "video"
    shown_as: ClassVar[str] = "video"

    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    video_uuid = _SameAs("uuid")
    video_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Audio(MediaResult):
    """An audio file: speech, music or sound effects."""

    kind: ClassVar[str] = "audio"
    shown_as: ClassVar[str] = "audio"

    audio_uuid = _SameAs("uuid")
    audio_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class GuideImage(MediaResult, PillowMixin):
    """A guide image for a ControlNet model.

    Attributes:
        input_image_uuid: UUID of the input image.
    """

    kind: ClassVar[str] = "guideImage"
    shown_as: ClassVar[str] = "image"

    input_image_uuid: str | None = None

    guide_image_uuid = _SameAs("uuid")
    guide_image_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Detection(ApiObject):
    """Bounding box of a detected object, in pixels from the top left.

    Attributes:
        x_min: Left edge.
        y_min: Top edge.
        x_max: Right edge.
        y_max: Bottom edge.
    """

    x_min: float | None = None
    y_min: float | None = None
    x_max: float | None = None
    y_max: float | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class MaskImage(MediaResult, PillowMixin):
    """A mask of the objects detected in an image.

    Attributes:
        detections: Bounding boxes of the detected objects.
        input_image_uuid: UUID of the input image.
    """

    kind: ClassVar[str] = "maskImage"
    shown_as: ClassVar[str] = "image"

    detections: Sequence[Detection] = attrs.field(default=(), hash=False)
    input_image_uuid: str | None = None

    mask_image_uuid = _SameAs("uuid")
    mask_image_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class FilesResult(MediaResult):
    """A result that consists of one or more files.

    `uuid`, `url`, `read()` and `iter_bytes()` refer to the first file.

    Attributes:
        outputs: Outputs of the model, unchanged.
    """

    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    def _fallback(self, name: str) -> Any:
        value = super()._fallback(name)
        if value is None and name in ("uuid", "url") and (files := self.files):
            value = getattr(files[0], name)
        return value

    @property
    def files(self) -> Sequence[MediaResult]:
        """The files, each with its own URL and `save()`."""
        files = tuple(structure(file, MediaResult) for file in wire_objects((self.outputs or {}).get("files")))
        for file in files:
            object.__setattr__(file, "_origin", self._origin)
            object.__setattr__(file, "_downloads", self._downloads)
        return files

    def parts(self) -> Sequence[Downloadable]:
        """Return the files; without several, the result itself."""
        files = self.files
        return files if len(files) > 1 else (self,)

    def save_with(self, session: Session, saving: Saving, stem: str | None = None) -> Path:
        """Save all files."""
        files = self.files
        if len(files) < 2:
            return super().save_with(session, saving, stem)
        if saving.template is not None:
            name = saving.template.name(self) if stem is None else stem
            inner = attrs.evolve(saving, where=Path(saving.where, with_extension(name, "")), template=None)
            save_all(files, inner, self.uuid or self.kind)
            return Path(inner.where)
        # Several results may share the directory, and their files may have no names of their own.
        save_all(files, saving, stem or self.uuid or self.kind)
        return Path(saving.where)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Model3D(FilesResult):
    """A 3D model, consisting of one or more files."""

    kind: ClassVar[str] = "model"
    shown_as: ClassVar[str] = "model"


@attrs.frozen(kw_only=True, repr=False, slots=False)
class ToolOutput(FilesResult):
    """What a tool made of its inputs: one or more files of any kind."""


@attrs.frozen(kw_only=True, repr=False, slots=False)
class StoredMedia(MediaResult, PillowMixin):
    """Media stored on the server, or deleted from it. Pass it, or its `uuid`, as an input of a task.

    Attributes:
        operation: `"upload"` or `"delete"`; `None` for `image_upload`.
    """

    kind: ClassVar[str] = "image"
    shown_as: ClassVar[str] = "image"  # imageUpload returns imageUUID, mediaStorage returns mediaUUID

    operation: str | None = None


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
    """Return the result class of an item, judging by its field names or the file extension in its URL."""
    for cls in (otherwise, Image, Video, Audio):
        if cls.kind and any(item.get(cls.kind + name) is not None for name in ("UUID", "URL", "Base64Data", "DataURI")):
            return cls
    return _BY_EXTENSION.get(url_extension(str(item.get("mediaURL"))), otherwise)
