"""The catalogue as programs use it: `rw.models`, and `runware.models` without a client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import attrs

from runware._support.escaping import one_line
from runware.errors import ConnectionFailedError, RunwareError, ValidationError
from runware.media.cancelling import in_thread
from runware.models.catalogue import Model, ModelExample, Snapshot, bundled_snapshot, unknown_model
from runware.models.descriptions import listed_as_html
from runware.models.schema import prepare
from runware.models.services import Cache, Services
from runware.options import Options

__all__ = ["AsyncModels", "Catalogue", "Models"]

T = TypeVar("T")

_NONSENSE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer of another form than expected raises."""
REFRESH_TIMEOUT = 5.0
"""Seconds that the services have to answer, for everything that is asked for at once."""


class ModelList(list[Model]):
    """Models, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return listed_as_html(self)


class Catalogue:
    """The models that a process knows: the snapshot, and what the services said since. Thread-safe.

    Nothing here waits for the network but `refresh` and what has `fetch` in its name.

    Args:
        options: The client's options, for the services.
        snapshot: The models to begin with; `None` is the snapshot in the package.
    """

    def __init__(self, options: Options, snapshot: Snapshot | None = None) -> None:
        self._options = options
        self._snapshot = snapshot
        self._cache = Cache(options)
        # What was saved, and the models it describes. It is replaced as a whole and under no lock: a child that was
        # forked while another thread held one would wait for ever. Reading the cache twice does no harm.
        self._known: tuple[dict[str, Any], dict[str, Model]] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The models in the package."""
        return self._snapshot or bundled_snapshot()

    @property
    def version(self) -> object:
        """An object that is another one after each refresh; `None` before the first look at a model."""
        return self._known

    def get(self, name: str) -> Model | None:
        """Return the model with an AIR or slug; `None` if it is not known."""
        return self._load()[1].get(name.lower()) or self.snapshot.get(name)

    def all(self) -> Iterator[Model]:
        """Yield every model once, those of the services instead of those of the snapshot."""
        newer = self._load()[1]
        seen: set[int] = set()
        for model in self.snapshot:
            known = newer.get((model.air or "").lower()) or newer.get(model.slug.lower()) or model
            seen.add(id(known))
            yield known
        for model in newer.values():
            if id(model) not in seen:
                seen.add(id(model))
                yield model

    def unknown(self, name: str) -> RunwareError:
        """Return the error for a model that is not known."""
        return unknown_model(name, self.snapshot)

    # ------------------------------------------------------------------ what the services said

    def refresh(self, timeout: float) -> None:
        """Ask the services for what is new, and keep it in the user's cache directory.

        Raises:
            ConnectionFailedError: They did not answer in time. What was known stays.
        """
        saved = dict(self._load()[0])
        with Services(self._options, timeout) as services:
            registry, etag = services.registry(saved.get("etag"))
            if registry is not None:
                saved |= {"etag": etag, "registry": registry}
            saved["records"] = list(services.models()) or saved.get("records", [])
        saved["at"] = time.time()
        self._keep(saved)

    def fetch_schema(self, model: Model, timeout: float) -> Model:
        """Return a model with its full request schema, from the service or the cache.

        Raises:
            ConnectionFailedError: The service did not answer in time.
        """
        name = model.air or model.slug
        with Services(self._options, timeout) as services:
            schema = services.schema(name)
        if schema is None:
            return model
        saved = dict(self._load()[0])
        saved["schemas"] = {**saved.get("schemas", {}), name: schema}
        self._keep(saved)
        return self.get(name) or model

    def fetch_examples(self, model: Model, timeout: float) -> Model:
        """Return a model with its examples.

        Raises:
            ConnectionFailedError: The service did not answer in time.
        """
        with Services(self._options, timeout) as services:
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
        with Services(self._options, timeout) as services:
            return services.listing(what)

    def _load(self) -> tuple[dict[str, Any], dict[str, Model]]:
        """Return what the services said, and the models it describes. The first call reads the cache."""
        if self._known is None:
            saved = self._cache.read()
            try:
                newer = self._merged(saved)
            except _NONSENSE as error:
                self._cache.discard(error)
                saved, newer = {}, {}
            if self._known is None:  # nothing was fetched meanwhile
                self._known = saved, newer
        return self._known

    def _keep(self, saved: dict[str, Any]) -> None:
        """Use what the services said, and save it.

        Raises:
            ConnectionFailedError: It has not the form that it should have. What was known stays.
        """
        try:
            newer = self._merged(saved)
        except _NONSENSE as error:
            host = self._options.service_url("content").partition("://")[2]
            raise ConnectionFailedError(
                f"The catalogue of models at {host} did not answer in the expected form.", stage="HTTP", host=host
            ) from error
        self._known = saved, newer
        self._cache.write(saved)

    def _merged(self, saved: Mapping[str, Any]) -> dict[str, Model]:
        """Return the models that the services described, by AIR and by slug.

        What has another form raises one of `_NONSENSE`.
        """
        made: dict[str, Model] = {}
        for air, facts in saved.get("registry", {}).get("models", {}).items():
            if self.snapshot.get(air) is None:
                self._add(made, {"air": air, "slug": facts.get("id"), "taskType": facts.get("taskType")})
        for record in saved.get("records", []):
            self._add(made, {**record, "slug": record.get("slug") or record.get("model")})
        for name, schema in saved.get("schemas", {}).items():
            known = made.get(name.lower()) or self.snapshot.get(name)
            if known is not None:
                model = attrs.evolve(known, schema=prepare(schema), limits=True)
                tuple(model.parameters)  # fails if it is no schema
                model.check()
                _store(made, model)
        return made

    def _add(self, made: dict[str, Model], record: Mapping[str, Any]) -> None:
        known = made.get(str(record.get("air") or "").lower()) or self.snapshot.get(
            str(record.get("air") or record.get("slug") or "")
        )
        if known is None:
            _store(made, Model.of(record))
            return
        newer = Model.of({**known.raw, **{name: value for name, value in record.items() if value is not None}})
        notes = newer.notes or known.notes
        _store(made, attrs.evolve(newer, schema=known.schema, limits=known.limits, notes=notes))


def _store(made: dict[str, Model], model: Model) -> None:
    for name in (model.air, model.slug):
        if name:
            made[name.lower()] = model


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

    def get(
        self, name: str, *, schema: bool = False, examples: bool = False, timeout: float = REFRESH_TIMEOUT
    ) -> Model:
        """Return a model by its AIR (`"klingai:5@3"`) or its slug (`"bfl-flux-1-dev"`).

        Args:
            name: The AIR or slug.
            schema: Fetch its full request schema from the schema service.
            examples: Fetch requests that run, with what they made.
            timeout: Seconds for what is fetched, 5 by default. Without *schema* and *examples*, nothing is.

        Raises:
            NotFoundError: It is not known; the message names the nearest.
            ConnectionFailedError: The service did not answer in time.
        """
        catalogue = self.catalogue
        model = catalogue.get(name)
        if model is None:
            raise catalogue.unknown(name)
        if schema:
            model = catalogue.fetch_schema(model, timeout)
        return catalogue.fetch_examples(model, timeout) if examples else model

    def list(
        self,
        *,
        capability: str | None = None,
        category: str | None = None,
        creator: str | None = None,
        q: str | None = None,
        status: str | None = None,
    ) -> Sequence[Model]:
        """Return the known models, those that fit all filters.

        Args:
            capability: What they can do, such as `"text-to-video"`; prefixes (`"io:"`) are optional.
            category: What they make: `"image"`, `"video"`, `"audio"`, `"text"` or `"3d"`.
            creator: Who made them, without regard to case.
            q: Words that their name, AIR or slug has.
            status: Their status, such as `"live"`.

        Raises:
            ValidationError: No model has such a *category*.
        """
        if category is not None and category.lower() not in (known := {one.modality for one in self.catalogue.all()}):
            names = sorted(filter(None, known))
            near = get_close_matches(category.lower(), names, 1)
            raise ValidationError(
                f"list(): category must be one of {', '.join(map(repr, names))}; got {one_line(repr(category), 60)}."
                + (f" Did you mean {near[0]!r}?" if near else ""),
                code="invalidParameter",
                parameter="category",
            )
        wanted = (capability or "").rpartition(":")[2].lower()
        words = (q or "").lower().split()
        return ModelList(
            model
            for model in self.catalogue.all()
            if (not wanted or wanted in (one.lower() for one in model.capabilities))
            and (category is None or model.modality == category.lower())
            and (creator is None or _plain(creator) == _plain(model.creator or ""))
            and (status is None or model.status == status)
            and all(word in f"{model.name} {model.air} {model.slug}".lower() for word in words)
        )

    def search(self, text: str, **filters: Any) -> Iterator[Any]:
        """Search all models at the API, those of the community too; yield them page after page.

        Args:
            text: What to search for.
            filters: Parameters of `rw.model_search`, such as `category="lora"`.

        Raises:
            RunwareError: The search failed, or there is no client to run it with.
        """
        if self._search is None:
            raise RunwareError("A search needs a client: use rw.models.search(...).")
        offset = 0
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
        """Return everything that known models can do, such as `"text-to-image"`."""
        return sorted({one for model in self.catalogue.all() for one in model.capabilities})


class AsyncModels:
    """The same for asyncio. What may read files or the network runs in a thread.

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
        return await _elsewhere(lambda: self._models.get(name, schema=schema, examples=examples, timeout=timeout))

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
        return await _elsewhere(
            lambda: self._models.list(capability=capability, category=category, creator=creator, q=q, status=status)
        )

    async def search(self, text: str, **filters: Any) -> Any:
        """Search all models at the API; yield them page after page. See `Models.search`."""
        if self._search is None:
            raise RunwareError("A search needs a client: use rw.models.search(...).")
        offset = 0
        while True:
            page = await self._search({"search": text, **filters, "offset": offset})
            for model in page:
                yield model
            offset += len(page)
            if not len(page) or offset >= (page.total_results or 0):
                return

    async def refresh(self, timeout: float = REFRESH_TIMEOUT) -> None:
        """Fetch what is new; see `Models.refresh`."""
        await _elsewhere(lambda: self._models.refresh(timeout))

    async def creators(self, timeout: float = REFRESH_TIMEOUT) -> Sequence[Mapping[str, Any]]:
        """Fetch the creators; see `Models.creators`."""
        return await _elsewhere(lambda: self._models.creators(timeout))

    async def collections(self, timeout: float = REFRESH_TIMEOUT) -> Sequence[Mapping[str, Any]]:
        """Fetch the collections; see `Models.collections`."""
        return await _elsewhere(lambda: self._models.collections(timeout))

    async def capabilities(self) -> Sequence[str]:
        """Return everything that known models can do; see `Models.capabilities`."""
        return await _elsewhere(self._models.capabilities)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


async def _elsewhere(work: Callable[[], T]) -> T:
    return await in_thread(lambda _: work())
