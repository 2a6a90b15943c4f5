"""Result classes for files other than images: videos, audio, 3D models and stored media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

from runware.media.downloadable import Downloadable, PillowMixin, Saving, save_all
from runware.media.downloads import Session
from runware.media.kinds import url_extension
from runware.media.templates import with_extension
from runware.protocol.codec import structure
from runware.results.base import ApiObject, Result, wire_objects
from runware.results.images import Image, MediaResult, SameAs

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


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Video(MediaResult):
    """A video. Like each `MediaResult`, it has `url`, `uuid`, `seed`, `cost`, `read()` and `save()`.

    Attributes:
        outputs: Further outputs of the model, such as `draftId` and `videoId`, unchanged.
    """

    kind: ClassVar[str] = "video"
    shown_as: ClassVar[str] = "video"

    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    video_uuid = SameAs("uuid")
    video_url = SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Audio(MediaResult):
    """An audio file: speech, music or sound effects.

    Like each `MediaResult`, it has `url`, `uuid`, `seed`, `cost`, `read()` and `save()`.
    """

    kind: ClassVar[str] = "audio"
    shown_as: ClassVar[str] = "audio"

    audio_uuid = SameAs("uuid")
    audio_url = SameAs("url")


@attrs.frozen(kw_only=True, repr=False, slots=False)
class GuideImage(MediaResult, PillowMixin):
    """A guide image for a ControlNet model.

    Attributes:
        input_image_uuid: UUID of the input image.
    """

    kind: ClassVar[str] = "guideImage"
    shown_as: ClassVar[str] = "image"

    input_image_uuid: str | None = None

    guide_image_uuid = SameAs("uuid")
    guide_image_url = SameAs("url")


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

    mask_image_uuid = SameAs("uuid")
    mask_image_url = SameAs("url")


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
