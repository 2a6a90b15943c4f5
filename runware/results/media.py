"""Images, videos, sounds, 3D models and what else is a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

from runware.errors import DownloadError
from runware.media.downloads import Session
from runware.media.files import MadeOfFiles, Saving, ViewedWithPillow, save_all
from runware.media.inputs import url_extension
from runware.protocol.codec import structure
from runware.results.base import Part, Result, shown_url, wire_objects

__all__ = [
    "Audio",
    "Detection",
    "GuideImage",
    "Image",
    "MaskImage",
    "MediaResult",
    "Model3D",
    "StoredMedia",
    "Video",
    "class_by_name",
]


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

    shown_as: ClassVar[str] = "file"

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
    shown_as: ClassVar[str] = "image"

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
    shown_as: ClassVar[str] = "video"

    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    video_uuid = _SameAs("uuid")
    video_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Audio(MediaResult):
    """Speech, music or a sound."""

    kind: ClassVar[str] = "audio"
    shown_as: ClassVar[str] = "audio"

    audio_uuid = _SameAs("uuid")
    audio_url = _SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class GuideImage(MediaResult, ViewedWithPillow):
    """A guide image for a ControlNet model.

    Attributes:
        input_image_uuid: The UUID of the picture it was made from.
    """

    kind: ClassVar[str] = "guideImage"
    shown_as: ClassVar[str] = "image"

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
    shown_as: ClassVar[str] = "image"

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
    shown_as: ClassVar[str] = "model"

    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    def _instead(self, name: str) -> Any:
        value = super()._instead(name)
        if value is None and name in ("uuid", "url") and (files := self.files):
            value = getattr(files[0], name)
        return value

    @property
    def files(self) -> Sequence[MediaResult]:
        """Each file, which has a URL and can be saved by itself."""
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
class StoredMedia(MediaResult, ViewedWithPillow):
    """Media that the server keeps, or has deleted. Its `uuid`, or it itself, can be the input of a task.

    Attributes:
        operation: What was done: `"upload"` or `"delete"`; `None` for `image_upload`.
    """

    kind: ClassVar[str] = "image"
    shown_as: ClassVar[str] = "image"  # the older task says imageUUID, the newer one mediaUUID

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
    """Tell a picture, a video and a sound apart by the names in a wire item, or by its address."""
    for cls in (otherwise, Image, Video, Audio):
        if cls.kind and any(item.get(cls.kind + name) is not None for name in ("UUID", "URL", "Base64Data", "DataURI")):
            return cls
    return _BY_EXTENSION.get(url_extension(str(item.get("mediaURL"))), otherwise)
