"""Mixins for results that are files: read, save and open them. The asyncio forms run the same code on a thread."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import attrs

from runware._support.event_loops import warn_in_event_loop
from runware._support.lazy_modules import lazy_module
from runware._support.threads import cannot_start
from runware.errors import ConfigurationError, DownloadError, OverwriteError, ValidationError
from runware.media.cancelling import CancelToken, cancellable, in_thread, iterate_in_thread
from runware.media.conversion import converted, fits
from runware.media.downloads import Downloads, Session
from runware.media.files import (
    MAX_BYTES,
    check_absent,
    check_not_home,
    decoded_chunks,
    keep_file,
    safe_name,
    target_path,
    write_file,
)
from runware.media.kinds import EXTENSIONS, SNIFFED_BYTES, extension_of, url_extension
from runware.media.templates import FileTemplate, with_extension
from runware.options import seconds

if TYPE_CHECKING:
    import concurrent.futures.thread as thread_pools
    from concurrent.futures import Future

    import PIL
    from PIL import Image as pillow  # noqa: N813 - a module
    from PIL.Image import Image as PILImage
else:
    PIL = lazy_module("PIL")
    pillow = lazy_module("PIL.Image")
    thread_pools = lazy_module("concurrent.futures.thread")

__all__ = ["Downloadable", "PillowMixin", "Saving", "save_all"]

_CONCURRENCY = 8


def _template(given: str | FileTemplate | None) -> FileTemplate | None:
    return FileTemplate(given) if isinstance(given, str) else given


@attrs.frozen
class Saving:
    """Destination and limits of a save."""

    where: str | os.PathLike[str] = attrs.field(validator=lambda _, __, where: check_not_home(where, "where"))
    overwrite: bool
    timeout: float
    max_bytes: int
    template: FileTemplate | None = attrs.field(default=None, converter=_template)
    cancel: CancelToken = attrs.field(factory=CancelToken)


def session_of(downloads: Downloads | None, cancel: CancelToken | None = None) -> AbstractContextManager[Session]:
    """Return a download session with the settings of the result's client, or else of the environment."""
    return (downloads or Downloads.of_environment()).session(cancel)


class Downloadable:
    """Mixin for results that consist of one or more files."""

    __slots__ = ()

    if TYPE_CHECKING:
        kind: ClassVar[str]
        shown_as: ClassVar[str]
        uuid: str | None
        url: str | None
        base64_data: str | None
        data_uri: str | None
        task_uuid: str | None
        _downloads: Downloads | None

    def read(self, *, timeout: float = 60.0, max_bytes: int = MAX_BYTES) -> bytes:
        """Return the contents of the file, downloading it if only a URL was delivered.

        Args:
            timeout: Seconds allowed for connecting, and for each wait for more data; 60 by default.
            max_bytes: Maximum size; a larger download is aborted. 2 GiB by default.

        Raises:
            DownloadError: There is no media, the URL has expired, the file is too large, or the network failed.
        """
        return self._read(timeout, max_bytes, CancelToken())

    async def aread(self, *, timeout: float = 60.0, max_bytes: int = MAX_BYTES) -> bytes:
        """Return the contents of the file; the asyncio form of `read`."""
        return await in_thread(lambda cancel: self._read(timeout, max_bytes, cancel))

    def _read(self, timeout: float, max_bytes: int, cancel: CancelToken) -> bytes:
        contents = io.BytesIO()  # takes the memory once, and joining the chunks would take it twice
        for chunk in self._chunks(timeout, max_bytes, cancel):
            contents.write(chunk)
        return contents.getvalue()

    def iter_bytes(self, *, timeout: float = 60.0, max_bytes: int = MAX_BYTES) -> Generator[bytes, None, None]:
        """Yield the contents of the file in chunks, without holding all of it in memory.

        Args:
            timeout: Seconds allowed for connecting, and for each wait for more data; 60 by default.
            max_bytes: Maximum size; a larger download is aborted. 2 GiB by default.

        Raises:
            DownloadError: There is no media, the URL has expired, the file is too large, or the network failed.
        """
        return self._chunks(timeout, max_bytes, CancelToken())

    def aiter_bytes(self, *, timeout: float = 60.0, max_bytes: int = MAX_BYTES) -> AsyncIterator[bytes]:
        """Yield the contents of the file in chunks; the asyncio form of `iter_bytes`."""
        return iterate_in_thread(lambda cancel: self._chunks(timeout, max_bytes, cancel))

    def save(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        template: str | None = None,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = MAX_BYTES,
    ) -> Path:
        """Save the result and return its path. The file appears complete or not at all.

        Args:
            where: A directory or a file path. A directory is created if missing, and the file is named after its UUID,
                with an extension that matches its contents. A 3D model of several files is saved to a directory, whose
                path is returned. An image is converted (extra `images`) if the path ends with the extension of another
                image format than that which arrived.
            template: The name of the file in the directory *where*, such as `"{task_type}/{seed}{ext}"`. The fields are
                index (0), seed, uuid, task_uuid, task_type, kind, model and ext. `None` uses the UUID.
            overwrite: Replace an existing file.
            timeout: Seconds allowed for connecting, and for each wait for more data; 60 by default.
            max_bytes: Maximum size; a larger download is aborted. 2 GiB by default.

        Raises:
            ValidationError: *template* has an unknown field, or *where* begins with `~`. Nothing was downloaded.
            FileExistsError: The file exists and *overwrite* is false.
            DownloadError: There is no media, the URL has expired, the file is too large, the network failed, or the
                result cannot be converted to what the path says.
            ConfigurationError: It would have to be converted, and Pillow is not installed.
            OSError: The file cannot be written.
        """
        return self._save(Saving(where, overwrite, timeout, max_bytes, template))

    async def asave(
        self,
        where: str | os.PathLike[str] = ".",
        *,
        template: str | None = None,
        overwrite: bool = False,
        timeout: float = 60.0,
        max_bytes: int = MAX_BYTES,
    ) -> Path:
        """Save the result and return its path; the asyncio form of `save`. Cancelling it leaves no file behind."""
        return await in_thread(
            lambda cancel: self._save(Saving(where, overwrite, timeout, max_bytes, template, cancel))
        )

    def _chunks(self, timeout: float, max_bytes: int, cancel: CancelToken) -> Generator[bytes, None, None]:
        with session_of(self._downloads, cancel) as session:
            yield from cancellable(cancel, self._contents(session, timeout, max_bytes))

    def _save(self, saving: Saving) -> Path:
        with session_of(self._downloads, saving.cancel) as session:
            return self.save_with(session, saving)

    def _contents(self, session: Session, timeout: float, max_bytes: int) -> Iterator[bytes]:
        if text := self.base64_data or self.data_uri:
            chunks = decoded_chunks(text)
            if not (first := next(chunks, b"")):
                raise DownloadError("The result's data is empty.", task_uuid=self.task_uuid)
            yield first
            yield from chunks
        elif self.url:
            warn_in_event_loop("await result.asave()")
            _check_limits(timeout, max_bytes)
            yield from session.fetch(
                self.url,
                timeout=timeout,
                max_bytes=max_bytes,
                task_uuid=self.task_uuid,
                is_json=_may_be_json(self.shown_as, url_extension(self.url)),
            )
        else:
            raise DownloadError("The result has neither a URL nor data.", task_uuid=self.task_uuid)

    def save_with(self, session: Session, saving: Saving, stem: str | None = None) -> Path:
        """Save the result over a shared download session; used by `save` and `save_all`."""
        extension, contents = self._sniffed(session, saving)
        if saving.template is not None:
            name = saving.template.name(self) if stem is None else stem
            path = Path(saving.where, with_extension(name, extension))
        else:
            path = target_path(saving.where, stem or self.uuid or self.kind or "result", extension)
        if not fits(wanted := path.suffix.lower(), extension):
            check_absent(path, overwrite=saving.overwrite)
            contents = iter([converted(b"".join(contents), extension, wanted)])
        return write_file(path, contents, overwrite=saving.overwrite)

    def save_named(
        self, session: Session, saving: Saving, name: Callable[[str], Path], before: str | None
    ) -> tuple[Path, int]:
        """Save the result for `map`, and return its path and size. A file with the same contents is left as it is.

        Args:
            session: The download session.
            saving: Limits.
            name: Returns the path, given the extension.
            before: The path where it was saved before; that file is replaced.
        """
        extension, chunks = self._sniffed(session, saving)
        path = name(extension)
        return path, keep_file(path, chunks, replace=str(path) == before)

    def _sniffed(self, session: Session, saving: Saving) -> tuple[str, Iterator[bytes]]:
        """Return the extension of the file, and its contents."""
        chunks = cancellable(saving.cancel, self._contents(session, saving.timeout, saving.max_bytes))
        first = b""
        while len(first) < SNIFFED_BYTES and (chunk := next(chunks, None)) is not None:
            first += chunk
        return extension_of(first, self.url or ""), chain([first], chunks)

    def parts(self) -> Sequence[Downloadable]:
        """Return the files that it consists of."""
        return (self,)

    def saved_to(self, paths: Sequence[Path]) -> None:
        """Note where its files were saved."""
        # As text: a Path of one system cannot be unpickled on another one.
        object.__setattr__(self, "_paths", tuple(map(str, paths)))

    @property
    def paths(self) -> Sequence[Path]:
        """Where `map(save_to=...)` has saved its files: usually one; empty if it was not saved so."""
        return tuple(map(Path, vars(self).get("_paths", ())))

    @property
    def path(self) -> Path | None:
        """Where `map(save_to=...)` has saved it, or the first of its files; `None` if it was not saved so."""
        return next(iter(self.paths), None)


def _may_be_json(shown_as: str, extension: str) -> bool:
    """Return whether a file may be JSON, as glTF is, by the kind of its result and the extension in its URL."""
    if shown_as in ("image", "video", "audio"):
        return extension in (".json", ".gltf")
    return extension not in EXTENSIONS


def _check_limits(timeout: object, max_bytes: object) -> None:
    """Check the limits of a download.

    Raises:
        ConfigurationError: *timeout* is no number of seconds above zero, of a day at most.
        ValidationError: *max_bytes* is no integer of 0 or more.
    """
    seconds(timeout, "timeout")
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 0:
        raise ValidationError(
            f"max_bytes must be an integer, 0 or more; got {max_bytes!r}.",
            code="invalidParameter",
            parameter="max_bytes",
        )


class PillowMixin:
    """Mixin for results that are images."""

    __slots__ = ()

    read: ClassVar[Callable[..., bytes]]
    aread: ClassVar[Callable[..., Awaitable[bytes]]]

    def to_pil(self, *, timeout: float = 60.0) -> PILImage:
        """Return the image as a PIL image (extra `images`).

        Args:
            timeout: Seconds allowed for connecting, and for each wait for more data; 60 by default.

        Raises:
            ConfigurationError: Pillow is not installed.
            DownloadError: The image cannot be downloaded, or Pillow cannot read it (SVG, for example).
        """
        return _opened(self.read(timeout=timeout))

    async def ato_pil(self, *, timeout: float = 60.0) -> PILImage:
        """Return the image as a PIL image; the asyncio form of `to_pil`."""
        data = await self.aread(timeout=timeout)
        return await in_thread(lambda _: _opened(data))


def _opened(data: bytes) -> PILImage:
    try:
        read = pillow.open
    except ImportError as error:
        raise ConfigurationError("to_pil() needs an extra: pip install 'runware-client[images]'.") from error
    try:
        image = read(io.BytesIO(data))
        image.load()
    except PIL.UnidentifiedImageError as error:
        raise DownloadError("The result is not an image that Pillow can read.") from error
    except pillow.DecompressionBombError as error:
        raise DownloadError(f"The result's image is not opened: {error} Set PIL.Image.MAX_IMAGE_PIXELS.") from error
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError and others
        raise DownloadError(f"The result's image is damaged ({error}).") from error
    return image


def save_all(items: Sequence[object], saving: Saving, stem: str | None = None) -> list[Path]:
    """Save several results to a directory, a few at a time, and return the paths in their order.

    Args:
        items: The results.
        saving: Destination and limits.
        stem: File name for results without a UUID; their kind by default.

    Raises:
        FileExistsError: A file exists already. As with any error, the other results are saved nevertheless.
        DownloadError: A result could not be downloaded.
        RunwareError: The system allows no more threads.
    """
    warn_in_event_loop("await results.asave_all()")
    files = [item for item in items if isinstance(item, Downloadable)]
    names = _names(files, stem) if saving.template is None else saving.template.names(files)
    try:
        Path(saving.where).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OverwriteError(
            f"{saving.where} is a file; save_all() takes a directory.", filename=os.fspath(saving.where)
        ) from None
    with ExitStack() as stack:
        # One session per client, so that its results share connections.
        settings = [getattr(item, "_downloads", None) for item in files]
        sessions = {
            id(one): stack.enter_context(session_of(one, saving.cancel))
            for one in {id(one): one for one in settings}.values()
        }
        pool = thread_pools.ThreadPoolExecutor(max_workers=_CONCURRENCY, thread_name_prefix="runware-save")
        try:
            running = [
                pool.submit(item.save_with, sessions[id(one)], saving, name)
                for item, one, name in zip(files, settings, names, strict=True)
            ]
            errors = _errors_of(running)
        except RuntimeError as error:
            saving.cancel.set()
            raise cannot_start(error, "to save the results") from error
        except BaseException:
            saving.cancel.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    if errors:
        if len(files) > 1:
            errors[0].add_note(f"{len(errors)} of {len(files)} results were not saved; the others were.")
        raise errors[0]
    return [future.result() for future in running]


def _errors_of(running: Sequence[Future[Path]]) -> list[BaseException]:
    """Wait for all, and return their errors."""
    return [error for future in running if (error := future.exception()) is not None]


def _names(files: Sequence[Downloadable], stem: str | None) -> list[str]:
    """Return a file name for each file: its UUID, or a numbered name for those without one or with the same one."""
    names: list[str] = []
    seen: set[str] = set()
    for number, item in enumerate(files, 1):
        name = safe_name(item.uuid or f"{stem or item.kind or 'result'}-{number}")
        if name in seen:
            name = f"{name[:90]}-{number}"
        seen.add(name)
        names.append(name)
    return names
