"""What comes back: one class a kind of result, and the list they come in.

Reading a response never fails: what is unknown, renamed or of another type stays in `raw`, and the attribute is
`None`. Names and meanings on the wire are those of the protocol reference, sections 4.3 and 4.5.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import attrs

from runware import media
from runware.errors import DownloadError, RunwareError

__all__ = ["Image", "MediaResult", "Partial", "Result", "Results"]

T = TypeVar("T")
Self = TypeVar("Self", bound="Result")


@attrs.frozen(kw_only=True)
class Result:
    """One result of a task.

    Attributes:
        task_type: The wire's task type (`"imageInference"`).
        task_uuid: The UUID of the task that made it.
        cost: What it cost in US dollars; `None` unless `include_cost` was asked for.
        status: The server's word on it, mostly `"success"`; `None` for results that were pushed.
        raw: The wire item, whole, with whatever is not named here.
    """

    kind: ClassVar[str] = ""

    task_type: str | None = None
    task_uuid: str | None = None
    cost: float | None = None
    status: str | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class MediaResult(Result):
    """A result that is a file: it has a URL, or its bytes came along.

    Attributes:
        uuid: The UUID the server stores it under; it can be passed as an input of another task.
        url: Where it can be fetched, for a limited time; `None` when its bytes came along.
        base64_data: Its bytes in base64, for `output_type="base64Data"`.
        data_uri: Its bytes as a data URI, for `output_type="dataURI"`.
        media_uuid: The server's general media UUID, where it gives one.
        media_url: The server's general media address, where it gives one.
        seed: The seed it was made with; result k of a task has the task's seed plus k.
        nsfw_content: Whether the safety check found something; `None` when it was not asked for.
    """

    uuid: str | None = None
    url: str | None = None
    base64_data: str | None = attrs.field(default=None, repr=False)
    data_uri: str | None = attrs.field(default=None, repr=False)
    media_uuid: str | None = None
    media_url: str | None = None
    seed: int | None = None
    nsfw_content: bool | None = None

    def as_input(self) -> str:
        """Return what names this result to the server when it is the input of another task."""
        name = self.uuid or self.media_uuid or self.url or self.media_url or self.data_uri or self.base64_data
        if not name:
            raise DownloadError("The result holds no media that could be used as an input.")
        return name

    def read(self, *, timeout: float = 60.0) -> bytes:
        """Return the file's bytes, fetching them when only a URL came.

        Args:
            timeout: Seconds that connecting, and each wait for more bytes, may take.

        Raises:
            DownloadError: There is no media, its address has expired, or the network failed.
        """
        return b"".join(self.iter_bytes(timeout=timeout))

    def iter_bytes(self, *, timeout: float = 60.0) -> Iterator[bytes]:
        """Yield the file's bytes piece by piece, without holding the whole file. Raises as `read` does."""
        if text := self.base64_data or self.data_uri:
            yield media.decode_base64(text)
        elif url := self.url or self.media_url:
            yield from media.download(url, timeout=timeout)
        else:
            raise DownloadError("The result holds no media.", task_uuid=self.task_uuid)

    def save(
        self, where: str | os.PathLike[str] = ".", *, overwrite: bool = False, timeout: float = 60.0
    ) -> Path:
        """Save the file and return its path.

        Args:
            where: A directory (it is made when it is missing; the file is named after the UUID, with the
                extension of what arrived), or the path of the file.
            overwrite: Replace a file that is there already.
            timeout: Seconds that connecting, and each wait for more bytes, may take.

        Raises:
            FileExistsError: The file is there already and *overwrite* is false.
            DownloadError: There is no media, its address has expired, or the network failed.
        """
        chunks = self.iter_bytes(timeout=timeout)
        first = next(chunks, b"")
        url = self.url or self.media_url or ""
        extension = media.sniff(first)[1] or os.path.splitext(url.partition("?")[0])[1][:8] or ".bin"
        stem = self.uuid or self.media_uuid or self.kind or "result"
        path = media.target_path(where, stem, extension)
        return media.write_file(path, chain([first], chunks), overwrite=overwrite)


@attrs.frozen(kw_only=True)
class Image(MediaResult):
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
    input_images_uuid: Sequence[str] | None = None
    positive_prompt: str | None = None
    negative_prompt: str | None = None
    outputs: Mapping[str, Any] | None = None

    @property
    def image_uuid(self) -> str | None:
        """The same as `uuid`."""
        return self.uuid

    @property
    def image_url(self) -> str | None:
        """The same as `url`."""
        return self.url


class Results(list[T]):
    """The results of one task: a list, with what they have in common.

    Attributes:
        errors: What went wrong with those that are missing; empty when all came.
    """

    errors: tuple[RunwareError, ...]

    def __init__(self, items: Iterable[T] = (), *, errors: Iterable[RunwareError] = ()) -> None:
        super().__init__(items)
        self.errors = tuple(errors)

    @property
    def cost(self) -> float | None:
        """What they cost together in US dollars; `None` when no result tells its cost."""
        costs = [cost for item in self if (cost := getattr(item, "cost", None)) is not None]
        return sum(costs) if costs else None

    def save_all(
        self, where: str | os.PathLike[str] = ".", *, overwrite: bool = False, timeout: float = 60.0
    ) -> list[Path]:
        """Save every result into a directory, several at once, and return the paths in the results' order.

        Args:
            where: The directory; it is made when it is missing.
            overwrite: Replace files that are there already.
            timeout: Seconds that connecting, and each wait for more bytes, may take.

        Raises:
            FileExistsError: A file is there already and *overwrite* is false.
            DownloadError: One of the results could not be fetched; the others are saved all the same.
        """
        from concurrent.futures import ThreadPoolExecutor

        os.makedirs(where, exist_ok=True)
        with ThreadPoolExecutor(max_workers=8) as pool:
            saved = [
                pool.submit(item.save, where, overwrite=overwrite, timeout=timeout)
                for item in self
                if isinstance(item, MediaResult)
            ]
        return [future.result() for future in saved]


class Partial(Results[T], Generic[T]):
    """The new results of a task that still runs, as `on_partial` gets them.

    Attributes:
        all: Every result so far, the new ones included, in the order they came.
        completed: How many results there are so far.
        total: How many were asked for.
    """

    all: Sequence[T]
    completed: int
    total: int

    def __init__(self, new: Iterable[T], *, all: Sequence[T], total: int) -> None:
        super().__init__(new)
        self.all = all
        self.completed = len(all)
        self.total = total
