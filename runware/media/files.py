"""How a result becomes bytes, a picture in memory, or files; blocking, and for asyncio by the same code on a thread."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from runware._support.event_loops import warn_in_event_loop
from runware.errors import ConfigurationError, DownloadError
from runware.media import inputs as media

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from runware.media.downloads import Downloads, Session

__all__ = ["MadeOfFiles", "Saving", "ViewedWithPillow", "save_all"]

_AT_ONCE = 8


@attrs.frozen
class Saving:
    """Where to, and how, something is saved."""

    where: str | os.PathLike[str]
    overwrite: bool
    timeout: float
    max_bytes: int
    stop: media.Stop = attrs.field(factory=media.Stop)


def session_of(downloads: Downloads | None, stop: media.Stop | None = None) -> AbstractContextManager[Session]:
    """Give what fetches files the way a client does, or else as the environment says."""
    from runware.media.downloads import Downloads

    return (downloads or Downloads.of_environment()).session(stop)


class MadeOfFiles:
    """A result that is a file, or several."""

    __slots__ = ()

    if TYPE_CHECKING:
        kind: ClassVar[str]
        uuid: str | None
        url: str | None
        base64_data: str | None
        data_uri: str | None
        task_uuid: str | None
        _downloads: Downloads | None

    def read(self, *, timeout: float = 60.0, max_bytes: int = media.MAX_BYTES) -> bytes:
        """Return the file's bytes, fetching them when only a URL came.

        Args:
            timeout: Seconds that connecting, and each wait for more bytes, may take.
            max_bytes: Size above which fetching is given up.

        Raises:
            DownloadError: There is no media, its address has expired, it is too large, or the network failed.
        """
        return b"".join(self.iter_bytes(timeout=timeout, max_bytes=max_bytes))

    async def aread(self, *, timeout: float = 60.0, max_bytes: int = media.MAX_BYTES) -> bytes:
        """Return the file's bytes; `read` for asyncio."""

        def work(stop: media.Stop) -> bytes:
            return b"".join(self._chunks(timeout, max_bytes, stop))

        return await media.in_thread(work)

    def iter_bytes(self, *, timeout: float = 60.0, max_bytes: int = media.MAX_BYTES) -> Generator[bytes, None, None]:
        """Yield the file's bytes piece by piece, without holding the whole file.

        Args:
            timeout: Seconds that connecting, and each wait for more bytes, may take.
            max_bytes: Size above which fetching is given up.

        Raises:
            DownloadError: There is no media, its address has expired, it is too large, or the network failed.
        """
        return self._chunks(timeout, max_bytes, media.Stop())

    def aiter_bytes(self, *, timeout: float = 60.0, max_bytes: int = media.MAX_BYTES) -> AsyncIterator[bytes]:
        """Yield the file's bytes piece by piece; `iter_bytes` for asyncio."""
        return media.step_in_thread(lambda stop: self._chunks(timeout, max_bytes, stop))

    def save(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = media.MAX_BYTES,
    ) -> Path:
        """Save the result and return its path. Nobody ever sees half a file.

        Args:
            where: A directory (it is made when it is missing; the file is named after the UUID, with the
                extension of what arrived), or the path of the file. A 3D model of several files is saved into a
                directory, whose path is returned.
            overwrite: Replace a file that is there already.
            timeout: Seconds that connecting, and each wait for more bytes, may take.
            max_bytes: Size above which fetching is given up.

        Raises:
            FileExistsError: The file is there already and *overwrite* is false.
            DownloadError: There is no media, its address has expired, it is too large, or the network failed.
            OSError: It cannot be written.
        """
        return self._save(Saving(where, overwrite, timeout, max_bytes))

    async def asave(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = media.MAX_BYTES,
    ) -> Path:
        """Save the result and return its path; `save` for asyncio. Cancelling it leaves no file."""
        return await media.in_thread(lambda stop: self._save(Saving(where, overwrite, timeout, max_bytes, stop)))

    # ------------------------------------------------------------------ how

    def _chunks(self, timeout: float, max_bytes: int, stop: media.Stop) -> Generator[bytes, None, None]:
        with session_of(self._downloads, stop) as session:
            yield from media.until(stop, self._pieces(session, timeout, max_bytes))

    def _save(self, saving: Saving) -> Path:
        with session_of(self._downloads, saving.stop) as session:
            return self.save_with(session, saving)

    def _pieces(self, session: Session, timeout: float, max_bytes: int) -> Iterator[bytes]:
        if text := self.base64_data or self.data_uri:
            data = media.decode_base64(text)
            if not data:
                raise DownloadError("The result's data are empty.", task_uuid=self.task_uuid)
            yield data
        elif self.url:
            warn_in_event_loop("await result.asave()")
            yield from session.fetch(self.url, timeout=timeout, max_bytes=max_bytes, task_uuid=self.task_uuid)
        else:
            raise DownloadError("The result holds no media.", task_uuid=self.task_uuid)

    def save_with(self, session: Session, saving: Saving, stem: str | None = None) -> Path:
        """Save the result over connections that it shares with others; for `save` and `save_all`."""
        chunks = media.until(saving.stop, self._pieces(session, saving.timeout, saving.max_bytes))
        first = b""
        while len(first) < media.TELLING and (chunk := next(chunks, None)) is not None:
            first += chunk
        extension = media.extension_of(first, self.url or "")
        path = media.target_path(saving.where, stem or self.uuid or self.kind or "result", extension)
        return media.write_file(path, chain([first], chunks), overwrite=saving.overwrite)


class ViewedWithPillow:
    """A result that is a picture."""

    __slots__ = ()

    read: ClassVar[Callable[..., bytes]]
    aread: ClassVar[Callable[..., Awaitable[bytes]]]

    def to_pil(self, *, timeout: float = 60.0) -> PILImage:
        """Return the picture as a PIL image (extra `images`).

        Args:
            timeout: Seconds that connecting, and each wait for more bytes, may take.

        Raises:
            ConfigurationError: Pillow is not installed.
            DownloadError: It cannot be fetched, or is no picture that Pillow knows (an SVG is none).
        """
        return _opened(self.read(timeout=timeout))

    async def ato_pil(self, *, timeout: float = 60.0) -> PILImage:
        """Return the picture as a PIL image; `to_pil` for asyncio."""
        data = await self.aread(timeout=timeout)
        return await media.in_thread(lambda _: _opened(data))


def _opened(data: bytes) -> PILImage:
    try:
        import PIL.Image
    except ImportError as error:
        raise ConfigurationError("to_pil() needs an extra: pip install 'runware-client[images]'.") from error
    import io

    try:
        picture = PIL.Image.open(io.BytesIO(data))
        picture.load()
    except PIL.UnidentifiedImageError as error:
        raise DownloadError("The result is not a picture that Pillow can read.") from error
    except OSError as error:
        raise DownloadError(f"The result's picture is damaged ({error}).") from error
    return picture


def save_all(items: Sequence[Any], saving: Saving, stem: str | None = None) -> list[Path]:
    """Save several results into a directory, a few at once, and return the paths in their order.

    Args:
        items: The results.
        saving: Where to, and how.
        stem: What those are named after that have no UUID; their kind by itself.

    Raises:
        FileExistsError: A file is there already; the other results are saved all the same, as with any error.
        DownloadError: One of them could not be fetched.
    """
    from concurrent.futures import ThreadPoolExecutor

    warn_in_event_loop("await results.asave_all()")
    files = [item for item in items if isinstance(item, MadeOfFiles)]
    Path(saving.where).mkdir(parents=True, exist_ok=True)
    names = _names(files, stem)
    with ExitStack() as stack:
        # One way out for results of one client, so that they share its connections.
        ways = [getattr(item, "_downloads", None) for item in files]
        sessions = {
            id(way): stack.enter_context(session_of(way, saving.stop))
            for way in {id(way): way for way in ways}.values()
        }
        pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="runware-save")
        try:
            running = [
                pool.submit(item.save_with, sessions[id(way)], saving, name)
                for item, way, name in zip(files, ways, names, strict=True)
            ]
            errors = [error for future in running if (error := future.exception()) is not None]
        except BaseException:
            saving.stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    if errors:
        if len(files) > 1:
            errors[0].add_note(f"{len(errors)} of {len(files)} results were not saved; the others were.")
        raise errors[0]
    return [future.result() for future in running]


def _names(files: Sequence[MadeOfFiles], stem: str | None) -> list[str]:
    """Name each file after its UUID; those that have none, or share one, are numbered."""
    names: list[str] = []
    seen: set[str] = set()
    for number, item in enumerate(files, 1):
        name = media.safe_name(item.uuid or f"{stem or item.kind or 'result'}-{number}")
        if name in seen:
            name = f"{name[:90]}-{number}"
        seen.add(name)
        names.append(name)
    return names
