"""Media that is uploaded once: large inputs are stored on the platform by their content, and named by their UUID."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

from runware._support.http_headers import Headers
from runware._support.lazy_modules import lazy_module
from runware._support.locks import make_rlock
from runware.errors import RunwareError

if TYPE_CHECKING:
    from runware.jobs import Job
    from runware.requests import platform
    from runware.store.database import Database
else:
    platform = lazy_module("runware.requests.platform")

__all__ = ["KEPT_FOR", "LARGE", "Inputs", "Uploads"]

log = logging.getLogger("runware.store")

LARGE = 100_000
"""Length of the base64 text from which media is stored instead of sent with each task."""
KEPT_FOR = 6 * 86_400.0
"""Seconds for which stored media is relied on. How long the platform keeps it is not documented; a task that is refused
because it has forgotten an input stores that again."""
_REMEMBERED = 10_000
"""The most contents whose UUIDs are kept in memory, at 300 bytes each. Older ones are stored again when they are used
again, unless the client's store has them."""
_STORES = frozenset(("mediaStorage", "imageUpload"))
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+=*\Z")

Submit = Callable[[Any], "Job[Any]"]


class _Content:
    """The content of media. It lives as long as a call uses it, so that it can be stored again."""

    __slots__ = ("__weakref__", "digest", "text")

    def __init__(self, digest: str, text: str) -> None:
        self.digest = digest
        self.text = text


class Inputs:
    """The stored media that one call names.

    Attributes:
        contents: The media by the UUID that the call names.
    """

    def __init__(self, uploads: Uploads, contents: Mapping[str, _Content], headers: Headers = ()) -> None:
        self._uploads = uploads
        self._headers = headers
        self.contents = contents

    @property
    def uuids(self) -> frozenset[str]:
        """The UUIDs that the call names."""
        return frozenset(self.contents)

    def renew(self, done: Callable[[Mapping[str, str]], object], failed: Callable[[RunwareError], object]) -> None:
        """Store all media of the call again, on a thread.

        Args:
            done: Called with the new UUIDs by the old ones.
            failed: Called with the error if that fails.
        """

        def run() -> None:
            try:
                new = self._uploads.renewed(self.contents, self._headers)
            except RunwareError as error:
                failed(error)
            except Exception:
                log.exception("storing the inputs of a task again failed")
                failed(RunwareError("The inputs of the task could not be stored again; see the log."))
            else:
                done(new)

        try:
            threading.Thread(target=run, name="runware-uploads", daemon=True).start()
        except RuntimeError as error:
            failed(RunwareError(f"Could not start a thread to store the inputs again: {error}.", retryable=True))


class Uploads:
    """Stores large media once for all calls of a client, and remembers it in the client's store if there is one.

    Args:
        submit: Submits a request and returns its job.
        database: Returns the database of the client's store, or `None`.
    """

    def __init__(self, submit: Submit, database: Callable[[], Database | None]) -> None:
        self._submit = submit
        self._database = database
        self.abandon()

    def abandon(self) -> None:
        """Start with nothing remembered in memory: when made, and in the child of a fork."""
        self._lock = make_rlock()
        self._known: dict[str, tuple[str, float]] = {}
        self._running: dict[str, Future[str]] = {}
        self._contents: weakref.WeakValueDictionary[str, _Content] = weakref.WeakValueDictionary()

    def replaced(
        self, task_type: str, wire: Mapping[str, Any], headers: Headers = ()
    ) -> tuple[dict[str, Any], Inputs | None]:
        """Return an API object with its large media stored and named by UUIDs, and what was replaced.

        Args:
            task_type: The API's task type.
            wire: The API object.
            headers: The headers of the task, with which its media is stored too.

        Raises:
            RunwareError: Media could not be stored. The task was not sent.
        """
        if task_type in _STORES:
            return dict(wire), None
        found: dict[str, _Content] = {}
        self._find(wire, found)
        if not found:
            return dict(wire), None
        uuids = self._uuids_of(found.values(), headers)
        contents = {uuids[content.digest]: content for content in found.values()}
        inputs = Inputs(self, contents, headers)
        return _named(wire, {text: uuids[content.digest] for text, content in found.items()}), inputs

    def _find(self, value: Any, found: dict[str, _Content]) -> None:
        """Find the large media in an API object, by its text."""
        if isinstance(value, str):
            if len(value) >= LARGE and value not in found and (data := _base64_of(value)):
                digest = hashlib.sha256(data.encode()).hexdigest()
                with self._lock:
                    found[value] = self._contents.setdefault(digest, _Content(digest, value))
        elif isinstance(value, Mapping | list):
            for one in value.values() if isinstance(value, Mapping) else value:
                self._find(one, found)

    def _uuids_of(self, contents: Iterable[_Content], headers: Headers = ()) -> dict[str, str]:
        """Return the UUIDs of media by its digests. Media that is not stored yet is uploaded concurrently.

        The first call that needs it stores it, and others wait for that.
        """
        uuids: dict[str, str] = {}
        mine: dict[str, tuple[_Content, Future[str]]] = {}
        others: dict[str, tuple[_Content, Future[str]]] = {}
        now = time.time()
        try:
            with self._lock:
                for content in contents:
                    digest = content.digest
                    uuid, until = self._known.get(digest, ("", 0.0))
                    running = self._running.get(digest)
                    if now < until <= now + KEPT_FOR:  # the upper limit: the clock may have jumped back
                        uuids[digest] = uuid
                    elif digest in mine:
                        pass
                    elif running is not None and not running.done():
                        others[digest] = content, running
                    else:
                        mine[digest] = content, Future()  # set before other calls can wait for it
                        self._running[digest] = mine[digest][1]
            if mine:
                uuids |= self._store(mine, headers)
        finally:
            self._end(mine)
        # After its own media was stored, for which another call may wait.
        for digest, (content, running) in others.items():
            try:
                uuids[digest] = running.result()
            except CancelledError:  # the call that stored it was interrupted
                uuids |= self._uuids_of([content], headers)
        return uuids

    def _store(self, mine: Mapping[str, tuple[_Content, Future[str]]], headers: Headers) -> dict[str, str]:
        """Store media, or find in the store that it was stored; end each future, also if others fail."""
        uuids: dict[str, str] = {}
        failure: RunwareError | None = None
        extra = {name.decode(): value.decode() for name, value in headers} or None
        try:
            jobs: dict[str, Job[Any]] = {}
            for digest, (content, running) in mine.items():
                if (uuid := self._remembered(digest)) is not None:
                    uuids[digest] = uuid
                    running.set_result(uuid)
                else:
                    jobs[digest] = self._submit(platform.MediaStorage(media=content.text, extra_headers=extra))
            for digest, job in jobs.items():
                content, running = mine[digest]
                try:
                    uuids[digest] = self._stored(content, job)
                except RunwareError as error:
                    failure = failure or error
                    running.set_exception(error)
                else:
                    running.set_result(uuids[digest])
        except Exception as error:
            for _, running in mine.values():
                if not running.done():
                    running.set_exception(error)
            raise
        if failure is not None:
            raise failure
        return uuids

    def _end(self, mine: Mapping[str, tuple[_Content, Future[str]]]) -> None:
        """End the waits of other calls for media that is not being stored any more.

        Ctrl-C may have come at any line.
        """
        for digest, (_, running) in mine.items():
            running.cancel()  # unless it is done
            with self._lock:
                if self._running.get(digest) is running:
                    del self._running[digest]

    def _remembered(self, digest: str) -> str | None:
        database = self._database()
        if database is None:
            return None
        with database.reading() as connection:
            row = database.stored_input(connection, digest)
        if row is None or not 0 <= time.time() - row["stored"] < KEPT_FOR:
            return None
        self._remember(digest, row["media_uuid"], row["stored"])
        return str(row["media_uuid"])

    def _remember(self, digest: str, uuid: str, stored: float) -> None:
        with self._lock:
            self._known.pop(digest, None)  # moves it to the newest
            self._known[digest] = uuid, stored + KEPT_FOR
            if len(self._known) > _REMEMBERED:  # by one
                del self._known[next(iter(self._known))]

    def _stored(self, content: _Content, job: Job[Any]) -> str:
        """Wait until media is stored, remember that, and return its UUID."""
        job.wait_done()
        stored = job.result(0)
        uuid = str(stored.as_input())
        self._remember(content.digest, uuid, time.time())
        if (database := self._database()) is not None:
            with database.writing() as connection:
                database.put_input(connection, content.digest, uuid, len(content.text))
        return uuid

    def renewed(self, contents: Mapping[str, _Content], headers: Headers = ()) -> dict[str, str]:
        """Return the UUIDs under which media is stored now that the platform has forgotten those before.

        Args:
            contents: The media by the UUIDs before.
            headers: The headers of the task.
        """
        for uuid, content in contents.items():
            self._forget(uuid, content)
        uuids = self._uuids_of(contents.values(), headers)
        return {uuid: uuids[content.digest] for uuid, content in contents.items()}

    def _forget(self, uuid: str, content: _Content) -> None:
        with self._lock:
            known, _ = self._known.get(content.digest, (uuid, 0.0))
            if known == uuid:  # not stored again yet, by another call
                self._known.pop(content.digest, None)
        if (database := self._database()) is not None:
            with database.writing() as connection:
                row = database.stored_input(connection, content.digest)
                if row is not None and row["media_uuid"] == uuid:
                    database.forget_input(connection, content.digest)


def _named(value: Any, uuids: Mapping[str, str]) -> Any:
    """Return an API object with media named by UUIDs."""
    if isinstance(value, str):
        return uuids.get(value, value) if len(value) >= LARGE else value
    if isinstance(value, Mapping):
        return {name: _named(one, uuids) for name, one in value.items()}
    return [_named(one, uuids) for one in value] if isinstance(value, list) else value


def _base64_of(text: str) -> str:
    """Return the base64 in a data URI, or a text that is base64 itself; `""` for anything else."""
    if text[:5].lower() == "data:":
        head, _, data = text.partition(",")
        return data if head.lower().endswith(";base64") else ""
    return text if _BASE64.match(text) else ""
