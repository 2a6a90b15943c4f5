"""The services that describe models, over HTTP: a catalogue, a registry, and a request schema for each model.

None of them needs an API key, and none gets it. Responses are kept in the user's cache directory, so that later
processes need no network.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module
from runware.errors import ConnectionFailedError
from runware.options import Options, seconds
from runware.transport import http_client
from runware.transport.http_client import OpenRequests

if TYPE_CHECKING:
    import httpx2
    import platformdirs
else:
    httpx2 = lazy_module("httpx2")
    platformdirs = lazy_module("platformdirs")

__all__ = ["CACHE_VARIABLE", "Cache", "Services", "cache_folder"]

log = logging.getLogger("runware.models")

CACHE_VARIABLE = "RUNWARE_CACHE"
_PAGE = 200
_MAX_PAGES = 50
_MAX_BYTES = 32 * 2**20
_FORMAT = 1


def cache_folder() -> Path:
    """Return the folder of the cache: `RUNWARE_CACHE`, or the user's cache directory.

    Raises:
        FileNotFoundError: There is none.
    """
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    try:
        return Path(platformdirs.user_cache_dir("runware", appauthor=False))
    except RuntimeError as error:  # a user without a home directory, as in some containers
        raise FileNotFoundError(f"the user has no cache directory; {CACHE_VARIABLE} can name one") from error


class Services:
    """Requests to the services, with one time limit for all of them.

    Args:
        options: The client's options: its proxy, trust store and URL.
        timeout: Seconds for all requests together.
        requests: The requests of the client, which ends them when it is closed.

    Raises:
        ConfigurationError: The timeout is not valid.
    """

    def __init__(self, options: Options, timeout: float, requests: OpenRequests) -> None:
        self._options = options
        self._deadline = http_client.Deadline(seconds(timeout, "timeout"), requests)
        self._clients: dict[str, httpx2.Client] = {}

    def __enter__(self) -> Self:
        self._deadline.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline.__exit__()
        for client in self._clients.values():
            client.close()

    def registry(self, etag: str | None) -> tuple[dict[str, Any] | None, str | None]:
        """Return the registry and its ETag; no registry if it has not changed since *etag*."""
        found = self._get("schemas", "/registry.json", etag=etag)
        if found is None:
            return None, etag
        if not (isinstance(found[0], dict) and isinstance(found[0].get("models"), dict)):
            raise self._misunderstood("schemas")
        return found

    def schema(self, name: str) -> dict[str, Any] | None:
        """Return the request schema of a model by its AIR; `None` if the service does not know the model."""
        found = self._get("schemas", f"/resolve/{quote(name, safe='')}")
        if found is None:
            return None
        schema = found[0].get("requestSchema") if isinstance(found[0], dict) else None
        if not isinstance(schema, dict):
            raise self._misunderstood("schemas")
        return schema

    def models(self, **filters: str | None) -> Iterator[dict[str, Any]]:
        """Yield the records of the catalogue, page after page."""
        query = {name: value for name, value in filters.items() if value is not None}
        offset = 0
        for _ in range(_MAX_PAGES):
            page = self._get(
                "content", "/models", {**query, "paginate": "true", "limit": str(_PAGE), "offset": str(offset)}
            )
            items = self._items(page[0]) if page is not None else []
            yield from items
            offset += len(items)
            total = page[0].get("total") if page is not None and isinstance(page[0], dict) else None
            if not items or not isinstance(total, int) or offset >= total:
                return

    def record(self, name: str, part: str = "") -> Any:
        """Return the record of a model by AIR or slug, or a part of it (`"examples"`); `None` if it is not known."""
        found = self._get("content", f"/models/{quote(name, safe='')}{'/' if part else ''}{part}")
        return None if found is None else found[0]

    def listing(self, what: str) -> list[dict[str, Any]]:
        """Return a list: `"creators"`, `"collections"` or `"capabilities"`."""
        found = self._get("content", f"/{what}")
        return [] if found is None else self._items(found[0])

    def _items(self, answer: Any) -> list[dict[str, Any]]:
        found = answer.get("items", answer.get("data")) if isinstance(answer, dict) else answer
        if not isinstance(found, list):
            raise self._misunderstood("content")
        return [one for one in found if isinstance(one, dict)]

    def _misunderstood(self, service: Any) -> ConnectionFailedError:
        host = self._options.service_url(service).partition("://")[2]
        return _failed(host, "answered with something else than what was asked for")

    def _get(
        self, service: Any, path: str, query: Mapping[str, str] | None = None, *, etag: str | None = None
    ) -> tuple[Any, str | None] | None:
        """Return the JSON at a path and its ETag; `None` for 404 and for 304.

        A body that is cut off at the deadline raises an HTTP error, or is not JSON.

        Raises:
            ConnectionFailedError: The service does not answer in time, or not with JSON.
            ClientClosedError: The client is closed.
        """
        base = self._options.service_url(service)
        deadline = self._deadline
        left = deadline.left
        host = base.partition("://")[2]
        late = f"did not answer within {deadline.seconds:g} s"
        if left <= 0:
            deadline.check_open()
            raise _failed(host, late)
        client = self._clients.get(base)
        if client is None:
            client = http_client.http_client(self._options, base, connecting=deadline.connecting)
            self._clients[base] = client
        headers = {"If-None-Match": etag} if etag else {}
        try:
            with client.stream(
                "GET",
                base + path,
                params=dict(query or {}),
                headers=headers,
                timeout=left,
                extensions=deadline.extensions,
            ) as response:
                if response.status_code in (304, 404):
                    return None
                if response.status_code != 200:
                    raise _failed(host, f"answered with status {response.status_code}")
                body = b"".join(self._chunks(response, host))
            return json.loads(body), response.headers.get("ETag")
        except httpx2.HTTPError as error:
            deadline.check_open()
            raise _failed(
                host, late if deadline.left <= 0 else f"could not be reached ({type(error).__name__})"
            ) from error
        except (ValueError, RecursionError) as error:
            deadline.check_open()
            raise _failed(host, late if deadline.left <= 0 else "did not answer with JSON") from error

    def _chunks(self, response: httpx2.Response, host: str) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > _MAX_BYTES:
                raise _failed(host, "sent too much")
            yield chunk


def _failed(host: str, what: str) -> ConnectionFailedError:
    return ConnectionFailedError(f"The catalogue of models at {host} {what}.", stage="HTTP", host=host)


class Cache:
    """The responses of the services, in a file of the user's cache directory.

    A file that cannot be read is removed and logged; one that cannot be written is only logged.

    Args:
        options: The client's options; each server has a file of its own.
    """

    def __init__(self, options: Options) -> None:
        host = options.service_url("content").partition("://")[2]
        name = "".join(character if character.isalnum() or character in ".-" else "_" for character in host)
        self._path: Callable[[], Path] = lambda: cache_folder() / f"models-{name}.json"

    def read(self) -> dict[str, Any]:
        """Return the saved responses; empty if there are none."""
        try:
            saved = json.loads(self._path().read_bytes())
            if isinstance(saved, dict) and saved.get("format") == _FORMAT:
                return saved
            reason = "it has another format"
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            reason = one_line(error)
        self.discard(reason)
        return {}

    def discard(self, reason: object) -> None:
        """Remove the file, and log why."""
        path = self._path()
        log.warning("the cache of models %s cannot be used, and is removed: %s", path, one_line(reason))
        with suppress(OSError):
            path.unlink()

    def write(self, content: Mapping[str, Any]) -> None:
        """Save the responses of the services.

        The file is replaced as a whole, so that a reader never sees half of it.
        """
        try:
            path = self._path()
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.urandom(8).hex()}")  # readable by those whom the umask allows
            try:
                with part.open("x", encoding="utf-8") as file:
                    json.dump({**content, "format": _FORMAT}, file)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            log.warning("the cache of models cannot be written: %s", one_line(error))
