"""The result class for images, and what it has in common with other files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import attrs

from runware._support.lazy_modules import lazy_module
from runware.errors import DownloadError
from runware.media.downloadable import Downloadable, PillowMixin
from runware.media.files import MAX_EMBEDDED
from runware.results.base import Result, shown_url

if TYPE_CHECKING:
    import tempfile

    from runware.display import notebook
    from runware.media import viewer
else:
    tempfile = lazy_module("tempfile")
    viewer = lazy_module("runware.media.viewer")
    notebook = lazy_module("runware.display.notebook")

__all__ = ["Image", "MediaResult", "SameAs"]


class SameAs:
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
    """An image. Like each `MediaResult`, it has `url`, `uuid`, `seed`, `cost`, `read()` and `save()`.

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

    image_uuid = SameAs("uuid")
    image_url = SameAs("url")
