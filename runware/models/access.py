"""The catalogue as programs use it: `rw.models`, and `runware.models` without a client."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import attrs

from runware._support.elsewhere import run_elsewhere
from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module
from runware._support.unknown_names import names_checked
from runware.errors import ConnectionFailedError, RunwareError, ValidationError
from runware.models.catalogue import Model, ModelExample, Snapshot, bundled_snapshot, unknown_model
from runware.models.descriptions import listed_as_html
from runware.models.newer import NONSENSE, NewerModels
from runware.models.services import Cache, Services
from runware.models.wording import LISTED
from runware.options import Options
from runware.transport.http_client import OpenRequests

if TYPE_CHECKING:
    import difflib
else:
    difflib = lazy_module("difflib")

__all__ = ["AsyncModels", "Catalogue", "Models"]

log = logging.getLogger("runware.models")

REFRESH_TIMEOUT = 5.0
"""Seconds that the services have to answer, for all requests of one call together."""


class ModelList(list[Model]):
    """Models, which a notebook shows as a table. Slices are tables too."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Model: ...
    @overload
    def __getitem__(self, index: slice, /) -> ModelList: ...
    def __getitem__(self, index: Any, /) -> Any:
        found = super().__getitem__(index)
        return ModelList(found) if isinstance(index, slice) else found

    def _repr_html_(self) -> str:
        return listed_as_html(self)


class Catalogue:
    """The models that a process knows: the snapshot, and what the services have returned since. Thread-safe.

    Only `refresh`, `listing` and the methods with `fetch` in their names wait for the network.

    Args:
        options: The client's options, for the services.
        snapshot: The models to begin with; `None` is the snapshot in the package.
        requests: The requests of the client, which ends them when it is closed; `None` without a client.

    Attributes:
        version: The known models, another object after each refresh; `None` before the first use.
        ages: Whether the known models are ever refreshed by `renew`.
    """

    def __init__(
        self, options: Options, snapshot: Snapshot | None = None, requests: OpenRequests | None = None
    ) -> None:
        self._options = options
        self._snapshot = snapshot
        self._requests = OpenRequests() if requests is None else requests
        self._cache = Cache(options)
        # The saved responses, and the models that they describe. They are replaced as a whole and without a lock: a
        # child that was forked while another thread held it would wait for ever. Reading the cache twice does no harm.
        self.version: tuple[dict[str, Any], NewerModels] | None = None
        self._max_age = options.models_max_age
        self.ages = self._max_age is not None
        self._due = math.inf if self._max_age is None else 0.0
        """When the next refresh is due, as a time of `time.time`; 0 before that was computed."""
        self._renewing = threading.Lock()  # only tried, never waited for: a fork may leave it locked

    @property
    def snapshot(self) -> Snapshot:
        """The models in the package."""
        return self._snapshot or bundled_snapshot()

    def get(self, name: str) -> Model | None:
        """Return the model with an AIR or slug; `None` if it is not known."""
        self.renew()
        newer = self._load()[1]
        key = newer.key(name)
        return self.snapshot.get(name) if key is None else newer.model(key)

    def all(self) -> Iterator[Model]:
        """Yield every model once; a record of the services replaces that of the snapshot."""
        self.renew()
        newer = self._load()[1]
        seen: set[str | None] = set()
        for model in self.snapshot:
            key = newer.key(model.air, model.slug)
            seen.add(key)
            yield model if key is None else newer.model(key)
        yield from (newer.model(key) for key in newer if key not in seen)

    def nearest(self, name: str) -> list[Model]:
        """Return the models of the snapshot that a name may have meant; empty if none is near."""
        return self.snapshot.nearest(name)

    def unknown(self, name: str) -> RunwareError:
        """Return the error for a model that is not known."""
        return unknown_model(name, self.snapshot)

    # ------------------------------------------------------------------ what the services said

    def refresh(self, timeout: float) -> None:
        """Fetch new models and schemas from the services, and keep them in the user's cache directory.

        Raises:
            ConnectionFailedError: They did not answer in time. What was known stays.
        """
        with self._services(timeout) as services:
            self._refresh(services)

    def _refresh(self, services: Services) -> None:
        known = self._load()[0]
        fetched: dict[str, Any] = {}
        registry, etag = services.registry(known.get("etag"))
        records = list(services.models())
        if registry is not None:
            fetched = {"etag": etag, "registry": registry}
            with suppress(ConnectionFailedError):  # the schemas for which no time was left stay as they were
                for name in known.get("schemas", {}):
                    if (schema := services.schema(name)) is not None:
                        fetched.setdefault("schemas", {})[name] = schema
        if records:
            fetched["records"] = records
        self._keep({**fetched, "at": time.time()})

    def renew(self) -> None:
        """Refresh the known models in the background, if they are older than the client's `models_max_age`."""
        if self._max_age is None or time.time() < self._due or not self._renewing.acquire(blocking=False):
            return
        try:
            now, first = time.time(), self._due == 0.0
            if now < self._due:  # another thread has started it
                return
            self._due = now + self._max_age  # set before the attempt: if it fails, the next one is not due earlier
            age = self._age(self._load()[0]) if first else math.inf
            if age < self._max_age:
                self._due -= age
            elif not self._requests.closed:
                threading.Thread(target=self._renew, name="runware-models", daemon=True).start()
        except RuntimeError as error:  # no thread can be started
            self._log_renewal(error)
        finally:
            self._renewing.release()

    def _renew(self) -> None:
        """Read what another process has fetched meanwhile, or else ask the services. Only log failures."""
        try:
            saved = self._read()
            if self._age(saved) < (self._max_age or 0.0):
                self.version = saved, NewerModels(saved, self.snapshot)
                return
            with self._services(REFRESH_TIMEOUT) as services:
                self._refresh(services)
        except Exception as error:  # no error of a refresh may reach a call
            if not self._requests.closed:
                self._log_renewal(error)

    def _log_renewal(self, error: Exception) -> None:
        log.info("the catalogue of models was not refreshed, and stays as it is: %s", one_line(error))

    def _age(self, saved: Mapping[str, Any]) -> float:
        """Return the seconds since the services were asked or the snapshot was made, whichever is less."""
        made = datetime.fromisoformat(self.snapshot.date).replace(tzinfo=UTC).timestamp()
        asked = saved.get("at")
        age = time.time() - max(made, asked if isinstance(asked, (int, float)) else 0.0)
        return age if age >= 0.0 else math.inf  # a time in the future: the clock was wrong when it was saved

    def _services(self, timeout: float) -> Services:
        return Services(self._options, timeout, self._requests)

    def fetch_schema(self, model: Model, timeout: float) -> Model:
        """Return a model with its full request schema, from the service or the cache.

        Raises:
            ConnectionFailedError: The service did not answer in time.
        """
        name = model.air or model.slug
        with self._services(timeout) as services:
            schema = services.schema(name)
        if schema is None:
            return model
        self._keep({"schemas": {name: schema}})
        return self.get(name) or model

    def fetch_examples(self, model: Model, timeout: float) -> Model:
        """Return a model with its examples.

        Raises:
            ConnectionFailedError: The service did not answer in time.
        """
        with self._services(timeout) as services:
            found = services.record(model.air or model.slug, "examples") or []
        examples = tuple(
            ModelExample(
                title=str(one.get("title") or one.get("id") or ""), request=one["request"], asset=one.get("asset")
            )
            for one in found
            if isinstance(one, Mapping) and isinstance(one.get("request"), Mapping)
        )
        return attrs.evolve(model, examples=examples)

    def listing(self, what: str, timeout: float) -> list[dict[str, Any]]:
        """Return the creators, collections or capabilities.

        Raises:
            ConnectionFailedError: The service did not answer in time.
        """
        with self._services(timeout) as services:
            return services.listing(what)

    def _load(self) -> tuple[dict[str, Any], NewerModels]:
        """Return the responses of the services, and the models that they describe. The first call reads the cache."""
        if self.version is None:
            saved = self._read()
            try:
                newer = NewerModels(saved, self.snapshot)
            except NONSENSE as error:
                self._cache.discard(error)
                saved, newer = {}, NewerModels({}, self.snapshot)
            if self.version is None:  # no response was kept meanwhile
                self.version = saved, newer
        return self.version

    def _read(self) -> dict[str, Any]:
        """Return the saved responses; empty if they were saved with an older snapshot, which was less complete."""
        saved = self._cache.read()
        return saved if str(saved.get("snapshot", self.snapshot.date)) >= self.snapshot.date else {}

    def _newest(self) -> dict[str, Any]:
        """Return the known responses, or those that another process has saved since, with the schemas of both."""
        known, saved = self._load()[0], self._read()
        try:
            NewerModels(saved, self.snapshot)
        except NONSENSE:
            return known
        older, newer = (saved, known) if self._age(known) <= self._age(saved) else (known, saved)
        return {**newer, "schemas": {**older.get("schemas", {}), **newer.get("schemas", {})}}

    def _keep(self, fetched: dict[str, Any]) -> None:
        """Add responses of the services to the known ones, and save them.

        Raises:
            ConnectionFailedError: A response is malformed. The known models stay as they were.
        """
        known = self._newest()
        schemas = {**known.get("schemas", {}), **fetched.get("schemas", {})}
        saved = {**known, **fetched, "schemas": schemas, "snapshot": self.snapshot.date}
        try:
            newer = NewerModels(saved, self.snapshot)
        except NONSENSE as error:
            host = self._options.service_url("content").partition("://")[2]
            raise ConnectionFailedError(
                f"The catalogue of models at {host} did not answer in the expected form.", stage="HTTP", host=host
            ) from error
        self.version = saved, newer
        self._cache.write(saved)


# ---------------------------------------------------------------------- for programs


class Models:
    """The catalogue of models. It needs no API key, and works without the network from a snapshot.

    Args:
        catalogue: The models that are known.
        search: Runs a search for models at the API, with a page's offset; `None` without a client.
    """

    def __init__(self, catalogue: Catalogue, search: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self.catalogue = catalogue
        self._search = search

    def __repr__(self) -> str:
        return f"<Models of {self.catalogue.snapshot.date}>"

    def __iter__(self) -> Iterator[Model]:
        return self.catalogue.all()

    def __len__(self) -> int:
        return sum(1 for _ in self.catalogue.all())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.catalogue.get(name) is not None

    def get(
        self, name: str, *, schema: bool = False, examples: bool = False, timeout: float = REFRESH_TIMEOUT
    ) -> Model:
        """Return a model by its AIR (`"bytedance:seedance@1.5-pro"`) or its slug (`"bfl-flux-1-dev"`).

        Args:
            name: The AIR or slug.
            schema: Fetch its full request schema from the schema service.
            examples: Fetch requests that run, with what they made.
            timeout: Seconds for what is fetched, 5 by default. Without *schema* and *examples*, nothing is.

        Raises:
            NotFoundError: It is not known; the message names those that may have been meant.
            ConnectionFailedError: The service did not answer in time.
        """
        if not isinstance(name, str):
            raise ValidationError(
                f"get(): name must be a str, an AIR or a slug; got {type(name).__name__}.",
                code="invalidParameter",
                parameter="name",
            )
        catalogue = self.catalogue
        model = catalogue.get(name)
        if model is None:
            raise catalogue.unknown(name)
        if schema:
            model = catalogue.fetch_schema(model, timeout)
        return catalogue.fetch_examples(model, timeout) if examples else model

    @names_checked
    def list(
        self,
        *,
        capability: str | None = None,
        category: str | None = None,
        creator: str | None = None,
        q: str | None = None,
        status: str | None = None,
    ) -> Sequence[Model]:
        """Return the known models that fit all filters.

        Args:
            capability: A capability, such as `"text-to-video"`; prefixes (`"io:"`) are optional.
            category: The kind of their results: `"image"`, `"video"`, `"audio"`, `"text"`, `"3d"`, `"model"` (training)
                or `"file"`.
            creator: Who made them, without regard to case.
            q: Words that are all in their name, AIR or slug.
            status: Their status, such as `"live"`.

        Raises:
            ValidationError: No model at all has such a *capability*, *category*, *creator* or *status*.
        """
        every = list(self.catalogue.all())
        for name, value in (("q", q), ("capability", capability)):
            if not (value is None or isinstance(value, str)):
                raise _not_listed(name, f"must be a str; got {one_line(repr(value), 60)}.")
        capability = capability and capability.rpartition(":")[2]
        _check_filter("category", category, {one.modality for one in every})
        _check_filter("capability", capability, {name for one in every for name in one.capabilities})
        _check_filter("creator", creator, {one.creator for one in every}, alike=_plain)
        _check_filter("status", status, {one.status for one in every})
        words = (q or "").lower().split()
        return ModelList(
            model
            for model in every
            if (capability is None or capability.lower() in (one.lower() for one in model.capabilities))
            and (category is None or model.modality == category.lower())
            and (creator is None or _plain(creator) == _plain(model.creator or ""))
            and (status is None or model.status.lower() == status.lower())
            and all(word in f"{model.name} {model.air} {model.slug}".lower() for word in words)
        )

    def search(self, text: str, **filters: Any) -> Iterator[Any]:
        """Search all models of the platform, including those of the community, and yield them page by page.

        Args:
            text: What to search for.
            filters: Parameters of `rw.model_search`, such as `category="lora"`, and `offset=9` to leave the first out.

        Raises:
            RunwareError: The search failed, or there is no client to run it with.
        """
        if self._search is None:
            raise RunwareError("A search needs a client: use rw.models.search(...).")
        offset = filters.get("offset") or 0
        while True:
            page = self._search({"search": text, **filters, "offset": offset})
            yield from page
            offset += len(page)
            if not len(page) or offset >= (page.total_results or 0):
                return

    def refresh(self, timeout: float = REFRESH_TIMEOUT) -> None:
        """Fetch what is new from the catalogue and schema services, and keep it in the user's cache directory.

        Args:
            timeout: Seconds for all of it; 5 by default.

        Raises:
            ConnectionFailedError: They did not answer in time. What was known stays.
        """
        self.catalogue.refresh(timeout)

    def creators(self, timeout: float = REFRESH_TIMEOUT) -> Sequence[Mapping[str, Any]]:
        """Fetch the creators, each with its models.

        Raises:
            ConnectionFailedError: The service did not answer within *timeout* seconds.
        """
        return self.catalogue.listing("creators", timeout)

    def collections(self, timeout: float = REFRESH_TIMEOUT) -> Sequence[Mapping[str, Any]]:
        """Fetch the collections, each with its models.

        Raises:
            ConnectionFailedError: The service did not answer within *timeout* seconds.
        """
        return self.catalogue.listing("collections", timeout)

    def capabilities(self) -> Sequence[str]:
        """Return the capabilities of the known models, such as `"text-to-image"`."""
        return sorted({one for model in self.catalogue.all() for one in model.capabilities})


class AsyncModels:
    """The same as `Models`, for asyncio. Methods that may read files or use the network run in a thread.

    Args:
        models: The blocking form.
        search: Runs a search for models at the API.
    """

    def __init__(self, models: Models, search: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self._models = models
        self._search = search

    def __repr__(self) -> str:
        return repr(self._models)

    async def get(
        self, name: str, *, schema: bool = False, examples: bool = False, timeout: float = REFRESH_TIMEOUT
    ) -> Model:
        """Return a model; see `Models.get`."""
        return await run_elsewhere(lambda: self._models.get(name, schema=schema, examples=examples, timeout=timeout))

    async def list(
        self,
        *,
        capability: str | None = None,
        category: str | None = None,
        creator: str | None = None,
        q: str | None = None,
        status: str | None = None,
    ) -> Sequence[Model]:
        """Return the known models that fit all filters; see `Models.list`."""
        return await run_elsewhere(
            lambda: self._models.list(capability=capability, category=category, creator=creator, q=q, status=status)
        )

    async def search(self, text: str, **filters: Any) -> AsyncIterator[Any]:
        """Search all models of the platform; see `Models.search`."""
        if self._search is None:
            raise RunwareError("A search needs a client: use rw.models.search(...).")
        offset = filters.get("offset") or 0
        while True:
            page = await self._search({"search": text, **filters, "offset": offset})
            for model in page:
                yield model
            offset += len(page)
            if not len(page) or offset >= (page.total_results or 0):
                return

    async def refresh(self, timeout: float = REFRESH_TIMEOUT) -> None:
        """Fetch what is new; see `Models.refresh`."""
        await run_elsewhere(lambda: self._models.refresh(timeout))

    async def creators(self, timeout: float = REFRESH_TIMEOUT) -> Sequence[Mapping[str, Any]]:
        """Fetch the creators; see `Models.creators`."""
        return await run_elsewhere(lambda: self._models.creators(timeout))

    async def collections(self, timeout: float = REFRESH_TIMEOUT) -> Sequence[Mapping[str, Any]]:
        """Fetch the collections; see `Models.collections`."""
        return await run_elsewhere(lambda: self._models.collections(timeout))

    async def capabilities(self) -> Sequence[str]:
        """Return the capabilities of the known models; see `Models.capabilities`."""
        return await run_elsewhere(self._models.capabilities)


def _check_filter(
    name: str, value: str | None, known: set[str | None], alike: Callable[[str], str] = str.lower
) -> None:
    """Raise `ValidationError` unless a filter is one of the known values, as compared by *alike*."""
    by_form = {alike(one): one for one in known if one}
    if value is None or (isinstance(value, str) and alike(value) in by_form):
        return
    near = difflib.get_close_matches(alike(value), by_form, 1) if isinstance(value, str) else []
    names = sorted(by_form.values())
    words = f"must be one of {', '.join(map(repr, names))}" if len(names) <= LISTED else "is that of no known model"
    hint = f" Did you mean {by_form[near[0]]!r}?" if near else ""
    raise _not_listed(name, f"{words}; got {one_line(repr(value), 60)}.{hint}")


def _not_listed(name: str, problem: str) -> ValidationError:
    """Return the error of a filter of `list` that is not valid."""
    return ValidationError(f"list(): {name} {problem}", code="invalidParameter", parameter=name)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
