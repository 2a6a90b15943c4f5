"""Media that is sent once: large inputs are stored on the platform by their content, and named by their UUID."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

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
    """Media by its content. It lives as long as a call that uses it, so that it can be stored again."""

    __slots__ = ("__weakref__", "digest", "text")

    def __init__(self, digest: str, text: str) -> None:
        self.digest = digest
        self.text = text


class Inputs:
    """The stored media that one call names.

    Attributes:
        contents: The media by the UUID that the call names.
    """

    def __init__(self, uploads: Uploads, contents: Mapping[str, _Content]) -> None:
        self._uploads = uploads
        self.contents = contents

    @property
    def uuids(self) -> frozenset[str]:
        """The UUIDs that the call names."""
        return frozenset(self.contents)

    def renew(self, done: Callable[[Mapping[str, str]], object], failed: Callable[[RunwareError], object]) -> None:
        """Store all of it again, on a thread.

        Args:
            done: Called with the new UUIDs by the old ones.
            failed: Called with the error if that fails.
        """

        def run() -> None:
            try:
                new = {uuid: self._uploads.renewed(uuid, content) for uuid, content in self.contents.items()}
            except RunwareError as error:
                failed(error)
            except Exception:
                log.exception("storing the inputs of a task again failed")
                failed(RunwareError("The inputs of the task could not be stored again; see the log."))
            else:
                done(new)

        threading.Thread(target=run, name="runware-uploads", daemon=True).start()


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

    def replaced(self, task_type: str, wire: Mapping[str, Any]) -> tuple[dict[str, Any], Inputs | None]:
        """Return an API object with its large media stored and named by UUIDs, and what was replaced.

        Args:
            task_type: The API's task type.
            wire: The API object.

        Raises:
            RunwareError: Media could not be stored. The task was not sent.
        """
        if task_type in _STORES:
            return dict(wire), None
        contents: dict[str, _Content] = {}
        new = self._walk(wire, contents)
        return new, Inputs(self, contents) if contents else None

    def _walk(self, value: Any, contents: dict[str, _Content]) -> Any:
        if isinstance(value, str):
            if len(value) < LARGE or not (data := _base64_of(value)):
                return value
            digest = hashlib.sha256(data.encode()).hexdigest()
            with self._lock:
                content = self._contents.setdefault(digest, _Content(digest, value))
            uuid = self._uuid_of(content)
            contents[uuid] = content
            return uuid
        if isinstance(value, Mapping):
            return {name: self._walk(one, contents) for name, one in value.items()}
        return [self._walk(one, contents) for one in value] if isinstance(value, list) else value

    def _uuid_of(self, content: _Content) -> str:
        """Return the UUID of stored media; the first call stores it, and others wait for that."""
        digest, now = content.digest, time.time()
        with self._lock:
            uuid, until = self._known.get(digest, ("", 0.0))
            if now < until <= now + KEPT_FOR:  # the second part: the clock may have jumped back
                return uuid
            running = self._running.get(digest)
            mine = running is None
            if running is None:
                running = self._running[digest] = Future()
        if not mine:
            return running.result()
        try:
            uuid = self._remembered(digest) or self._store(content)
        except BaseException as error:
            running.set_exception(error)
            raise
        else:
            running.set_result(uuid)
            return uuid
        finally:
            with self._lock:
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
            self._known.pop(digest, None)  # so that it is the newest again
            self._known[digest] = uuid, stored + KEPT_FOR
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]

    def _store(self, content: _Content) -> str:
        job = self._submit(platform.MediaStorage(media=content.text))
        job.wait_done()
        stored = job.result(0)
        uuid = str(stored.as_input())
        self._remember(content.digest, uuid, time.time())
        if (database := self._database()) is not None:
            with database.writing() as connection:
                database.put_input(connection, content.digest, uuid, len(content.text))
        return uuid

    def renewed(self, uuid: str, content: _Content) -> str:
        """Return the UUID under which media is stored now that the platform has forgotten the one before."""
        with self._lock:
            known, _ = self._known.get(content.digest, (uuid, 0.0))
            if known == uuid:  # not stored again yet, by another call
                self._known.pop(content.digest, None)
        if (database := self._database()) is not None:
            with database.writing() as connection:
                row = database.stored_input(connection, content.digest)
                if row is not None and row["media_uuid"] == uuid:
                    database.forget_input(connection, content.digest)
        return self._uuid_of(content)


def _base64_of(text: str) -> str:
    """Return the base64 in a data URI, or a text that is base64 itself; `""` for anything else."""
    if text[:5].lower() == "data:":
        head, _, data = text.partition(",")
        return data if head.lower().endswith(";base64") else ""
    return text if _BASE64.match(text) else ""
