"""Saving of results in the background, for `map(save_to=...)`: names from a template, and threads that download."""

from __future__ import annotations

import os
import queue
import re
import string
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import attrs

from runware._support.threads import start_thread
from runware.errors import DownloadError, RunwareError, StoreError, ValidationError
from runware.media.cancelling import CancelToken
from runware.media.downloadable import Downloadable, Saving
from runware.media.downloads import Downloads, Session
from runware.media.files import MAX_BYTES, PARTS, check_not_home, safe_name

__all__ = ["Memory", "Order", "Saver", "Template"]

_THREADS = 8
"""How many results are downloaded at a time."""
_TIMEOUT = 60.0
"""Seconds allowed for connecting, and for each wait for more data."""
_LEFT_BEHIND = 86_400.0
"""Seconds without a change after which an incomplete file is one that nobody writes any more."""

_SAMPLE = {"run": "nightly", "index": 0, "n": 0, "uuid": "uuid", "task_uuid": "uuid", "kind": "image", "ext": "png"}
"""The fields of a template, with values of their types."""
_TELLING_APART = {"index", "uuid", "task_uuid"}


class Template:
    """Names the files of results.

    Args:
        save_to: A directory, or a format string with the fields above.
        run: The name of the run, if there is one.

    Raises:
        ValidationError: *save_to* is neither, has an unknown field, or gives every result the same name.
    """

    def __init__(self, save_to: object, run: str | None) -> None:
        text = os.fspath(save_to) if isinstance(save_to, (str, os.PathLike)) else None
        if not isinstance(text, str) or not text:
            raise _invalid(f"must be a directory or a template for file names; got {type(save_to).__name__}")
        check_not_home(text, "save_to")
        if "{" in text or "}" in text:
            self._check(text, run)
            # `{ext}` and `.{ext}` alike, as in the `template` of `save`.
            self._pattern = re.sub(r"(?<![./\\]){ext}$", ".{ext}", text)
        else:
            if Path(text).suffix and not text.endswith(("/", os.sep)) and not Path(text).is_dir():
                raise _invalid(
                    f"names one file for all results: {text!r}. Name a directory ({text + '/'!r}), or add a field, "
                    "such as {index}"
                )
            self._pattern = os.path.join(text, "{uuid}.{ext}")  # noqa: PTH118 - it is no path yet
        self._run = None if run is None else safe_name(run)

    @staticmethod
    def _check(text: str, run: str | None) -> None:
        try:
            names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
            if unknown := sorted(names - _SAMPLE.keys()):
                raise _invalid(
                    f"has the unknown field {{{unknown[0]}}}; there are {', '.join(f'{{{one}}}' for one in _SAMPLE)}"
                )
            text.format(**_SAMPLE)
        except (ValueError, LookupError) as error:
            if isinstance(error, ValidationError):
                raise
            raise _invalid(f"is not a valid template: {error}") from None
        if "run" in names and run is None:
            raise _invalid("has the field {run}, but there is no run: pass run=")
        if not names & _TELLING_APART:
            raise _invalid("gives all results the same name: add {index}, {uuid} or {task_uuid}")

    def path(self, result: Downloadable, *, index: int, n: int, task_uuid: str, extension: str) -> Path:
        """Return the path of a file.

        Args:
            result: The result.
            index: The number of the input, from 0.
            n: The number of the file among those of the input, from 0.
            task_uuid: The UUID of the task.
            extension: The extension that fits the contents, with its dot.
        """
        return Path(
            self._pattern.format(
                run=self._run,
                index=index,
                n=n,
                uuid=safe_name(result.uuid or f"{task_uuid}-{n}"),
                task_uuid=safe_name(task_uuid),
                kind=result.kind or "result",
                ext=extension[1:],
            )
        )


def _invalid(problem: str) -> ValidationError:
    return ValidationError(f"save_to {problem}.", code="invalidParameter", parameter="save_to")


class Memory(Protocol):
    """Remembers which files were saved: a store."""

    def files_of(self, key: str) -> Mapping[int, tuple[str, int]]:
        """Return the path and size of a task's files by their position."""
        ...

    def saved(self, key: str, files: Mapping[int, tuple[str, int]]) -> None:
        """Note the path and size of files. It does not wait."""


@attrs.frozen(kw_only=True, eq=False)
class Order:
    """The results of one task, to be saved.

    Attributes:
        results: The results; those that are no files are left out.
        index: The number of the input, from 0.
        task_uuid: The UUID of the task.
        key: The task's key in the store; `None` if it is in none.
        fresh: Whether the store did not know the task before, so that nothing of it was saved.
        done: Called on the saver's thread with the error, if there is one. It must return quickly.
    """

    results: Sequence[object]
    index: int
    task_uuid: str
    key: str | None
    fresh: bool
    done: Callable[[DownloadError | None], object]


class Saver:
    """Saves results on threads of its own.

    Args:
        template: Names the files.
        downloads: The client's download settings.
        memory: The client's store, if there is one.
    """

    def __init__(self, template: Template, downloads: Downloads, memory: Memory | None) -> None:
        self._template = template
        self._memory = memory
        self._cancel = CancelToken()
        self._session = Session(downloads, self._cancel)
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._running = 0
        self._tidied = False

    def grow(self) -> None:
        """Start a thread, unless there are enough. Called for each task, before it can be done."""
        if self._threads >= _THREADS:
            return
        with self._lock:
            self._running += 1
        try:
            start_thread(self._work, "runware-save", "to save the results")
        except RunwareError:  # the system allows no more threads
            with self._lock:
                self._running -= 1
            if not self._threads:
                raise
        else:
            self._threads += 1

    def put(self, order: Order) -> None:
        """Save results. It does not wait."""
        self._orders.put(order)

    def end(self, *, cancel: bool) -> None:
        """End the threads without waiting for them: after their queued orders or, to cancel, at once."""
        if cancel:
            self._cancel.set()
        for _ in range(self._threads):
            self._orders.put(None)

    def _work(self) -> None:
        try:
            while (order := self._orders.get()) is not None:
                error: DownloadError | None = None
                try:
                    self._save(order)
                except DownloadError as failure:
                    error = failure
                except Exception as failure:  # whatever it is, the results are there
                    error = _failed(order, [failure])
                order.done(error)
                del order, error
        finally:
            with self._lock:
                self._running -= 1
                last = not self._running
            if last:
                self._session.close()

    def _save(self, order: Order) -> None:
        """Save the files of a task that are not there yet.

        Raises:
            DownloadError: Some could not be saved; the others were.
        """
        files = [
            (result, part) for result in order.results if isinstance(result, Downloadable) for part in result.parts()
        ]
        known: Mapping[int, tuple[str, int]] = {}
        memory, key = self._memory, order.key
        if files and memory is not None and key is not None and not order.fresh:
            try:
                known = memory.files_of(key)
            except StoreError:
                known = {}  # the contents of what is there are compared
        paths: dict[int, list[Path]] = {}
        saved: dict[int, tuple[str, int]] = {}
        problems: list[Exception] = []
        for n, (result, part) in enumerate(files):
            before = known.get(n)
            try:
                if before is not None and _is_there(*before):
                    path = Path(before[0])
                else:
                    path, size = self._save_file(order, part, n, None if before is None else before[0])
                    saved[n] = str(path), size
            except (RunwareError, OSError) as error:
                problems.append(error)
            else:
                paths.setdefault(id(result), []).append(path)
        if saved and memory is not None and key is not None:
            memory.saved(key, saved)
        for result, _ in files:
            result.saved_to(paths.get(id(result), ()))
        if problems:
            raise _failed(order, problems) from problems[0]

    def _tidy(self, where: Path) -> None:
        """Remove what downloads of programs that died have left in a directory. A running one has a young file."""
        if self._tidied:
            return
        self._tidied = True
        with suppress(OSError):
            for part in where.glob(PARTS):
                with suppress(OSError):
                    if time.time() - part.stat().st_mtime > _LEFT_BEHIND:
                        part.unlink()

    def _save_file(self, order: Order, part: Downloadable, n: int, before: str | None) -> tuple[Path, int]:
        def name(extension: str) -> Path:
            path = self._template.path(
                part, index=order.index, n=n, task_uuid=part.task_uuid or order.task_uuid, extension=extension
            )
            self._tidy(path.parent)
            return path

        saving = Saving("", overwrite=False, timeout=_TIMEOUT, max_bytes=MAX_BYTES, cancel=self._cancel)
        return part.save_named(self._session, saving, name, before)


def _is_there(path: str, size: int) -> bool:
    try:
        return Path(path).stat().st_size == size
    except OSError:
        return False


def _failed(order: Order, problems: Sequence[Exception]) -> DownloadError:
    """Return the error of results that could not be saved; it holds all results of the task."""
    first = problems[0]
    several = f" {len(problems)} files of the task were not saved." if len(problems) > 1 else ""
    message = first.message if isinstance(first, RunwareError) else f"A result could not be saved: {first}."
    return DownloadError(
        f"{message}{several}",
        task_uuid=order.task_uuid,
        results=list(order.results),
        retryable=isinstance(first, RunwareError) and first.retryable,
    )
