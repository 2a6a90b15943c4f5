"""Models, as the snapshot in the package and the content service describe them.

The snapshot is a list of records in the form of the content service, each with the request schema of its model. It is
read when the first model is asked for, and a record is parsed when its model is.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import attrs

from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module
from runware.errors import NotFoundError
from runware.models.descriptions import described, described_as_html, price_lines
from runware.models.names import as_sent, to_api_names
from runware.models.problems import Problem, find_problems
from runware.models.schema import prepare
from runware.models.similar import similar_models
from runware.models.wording import either_of, join_path, python_path, takes

if TYPE_CHECKING:
    from runware.models import estimates
    from runware.models.estimates import Estimate
else:
    estimates = lazy_module("runware.models.estimates")

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Runner(Protocol[R_co]):
    """A client, or one of its other forms."""

    def run(self, task: Mapping[str, Any], /) -> R_co:
        """Run a task."""
        ...


__all__ = [
    "Model",
    "ModelExample",
    "Parameter",
    "Price",
    "Rate",
    "Size",
    "Snapshot",
    "bundled_snapshot",
    "unknown_model",
]

_FILE = Path(__file__).with_name("snapshot.jsonl.gz")
_GZIP = zlib.MAX_WBITS | 16
_PAGE = "https://runware.ai/docs/models/"
_CALL_SETTINGS = ("taskType", "taskUUID", "model")


@attrs.frozen(kw_only=True)
class Rate:
    """The price of one unit.

    Attributes:
        amount: US dollars for a unit.
        unit: The unit: `"output"`, `"durationSecond"`, `"outputMegapixel"`, `"inputToken"`, ...
        label: The case it applies to, such as `"1080p with audio"`; `None` if it always does.
        after: The number of units that are not charged at this rate; 0 if it applies from the first.
    """

    amount: float
    unit: str
    label: str | None = None
    after: int = 0


@attrs.frozen(kw_only=True)
class Price:
    """The price and the duration of an earlier run with a certain configuration.

    Attributes:
        configuration: The configuration in words, such as `"1024x1024, 28 steps"`.
        price: US dollars.
        seconds: How long it took; `None` if that is not known.
    """

    configuration: str
    price: float
    seconds: float | None = None


class Size(NamedTuple):
    """A size of results that a model offers.

    Attributes:
        width: Pixels.
        height: Pixels.
        label: Its name, such as `"1080p 16:9"`; empty if it has none.
    """

    width: int
    height: int
    label: str = ""


@attrs.frozen(kw_only=True)
class Parameter:
    """A parameter of a model.

    Attributes:
        name: Its name in Python, with dots for one inside another: `"inputs.reference_images"`, and with brackets for
            one inside each object of a list: `"lora[].weight"`.
        takes: What it takes, in words; empty if anything.
        required: Whether every request needs it; inside an object, whether the object does.
        default: What the server uses without it; `None` if there is no default, or it is not known.
        allowed: All values it takes, if there is a list of them.
        minimum: The smallest number it takes, or `None`.
        maximum: The largest number it takes, or `None`.
        api_name: Its name in the API.
    """

    name: str
    takes: str
    required: bool = False
    default: Any = None
    allowed: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    api_name: str


@attrs.frozen(kw_only=True)
class ModelExample:
    """A request that can be run, with its result.

    Attributes:
        title: Its title.
        request: The task with API names, without a UUID.
        asset: URL of its result, or `None`.
    """

    title: str
    request: Mapping[str, Any] = attrs.field(repr=False)
    asset: str | None = None

    def run(self, rw: Runner[R]) -> R:
        """Run the request.

        Return what `run` of the given form returns: results, a job for `rw.submit`, an awaitable for `rw.aio`.
        """
        return rw.run(dict(self.request))


@attrs.frozen(kw_only=True, repr=False)
class Model:
    """A model: what it makes, takes and costs.

    Attributes:
        air: Its AIR, the name that requests use; `None` for a few models that only have a slug.
        slug: Its name in URLs, such as `"bfl-flux-1-dev"`.
        name: Its name for people.
        creator: Who made it, or `None`.
        status: `"live"`, `"coming-soon"`, `"deprecated"` or `"compatible-only"` (reachable through `rw.chat` only).
        task_type: The API's task type of its requests; `None` if it has none.
        capabilities: What it can do, such as `"text-to-image"`.
        architecture: The family it belongs to, or `None`.
        released_at: The date of its release, as the service writes it, or `None`.
        context_window: For text models, the most tokens of a conversation, or `None`.
        replaced_by: The slug of the model that replaces it, or `None`.
        examples: Requests that run, if they were fetched (`rw.models.get(..., examples=True)`).
        limits: Whether the limits of its parameters are known, and not only their names.
        notes: Rules between parameters that a check cannot apply, in words.
        raw: The whole record.
    """

    air: str | None
    slug: str
    name: str
    creator: str | None = None
    status: str = "live"
    task_type: str | None = None
    capabilities: tuple[str, ...] = ()
    architecture: str | None = None
    released_at: str | None = None
    context_window: int | None = None
    replaced_by: str | None = None
    examples: tuple[ModelExample, ...] = attrs.field(default=(), eq=False)
    limits: bool = False
    notes: tuple[str, ...] = ()
    schema: Mapping[str, Any] = attrs.field(factory=dict, eq=False)
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False)

    @classmethod
    def of(cls, record: Mapping[str, Any], enums: Mapping[str, list[Any]] | None = None) -> Model:
        """Create a model from a record of the snapshot or of the content service."""
        text: dict[str, Any] = {
            field: value for field, api in _TEXTS.items() if isinstance(value := record.get(api), str) and value
        }
        capabilities, notes = (
            found if isinstance(found := record.get(name), list) else [] for name in ("capabilities", "notes")
        )
        window = record.get("contextWindow")
        return cls(
            air=text.pop("air", None),
            slug=text.pop("slug", ""),
            name=text.pop("name", "") or str(record.get("air") or ""),
            status=text.pop("status", "live"),
            capabilities=tuple(str(one).partition(":")[2] or str(one) for one in capabilities),
            notes=tuple(map(str, notes)),
            context_window=window if isinstance(window, int) else None,
            limits=bool(record.get("limits")),
            schema=prepare(schema if isinstance(schema := record.get("schema"), dict) else {}, enums),
            raw={name: value for name, value in record.items() if name != "schema"},
            **text,
        )

    def __repr__(self) -> str:
        return one_line(f"<Model {self.name} {self.air or self.slug}>")

    def __str__(self) -> str:
        """Return what it makes, takes and costs, as text for a terminal."""
        return described(self)

    def _repr_html_(self) -> str:
        """Return the same as a table for a notebook."""
        return described_as_html(self)

    @property
    def price_lines(self) -> list[str]:
        """Its rates and prices in words."""
        return [one_line(line) for line in price_lines(self)]

    @property
    def documentation(self) -> str | None:
        """The URL of its page in Runware's documentation; `None` if it has no slug."""
        return _PAGE + self.slug if self.slug else None

    @property
    def modality(self) -> str | None:
        """What it makes: `"image"`, `"video"`, `"audio"`, `"text"`, `"3d"`; `None` if that is not known."""
        made = self.raw.get("outputModality")
        return made if isinstance(made, str) else None

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The prices of its units. Several units add up; several labels of one unit are alternatives."""
        return tuple(
            Rate(
                amount=float(one["amount"]),
                unit=str(one.get("unit", "")),
                label=label if isinstance(label := one.get("label"), str) else None,
                after=after if isinstance(after := one.get("after"), int) else 0,
            )
            for one in self._listed("pricingRates")
            if _is_price(one.get("amount"))
        )

    @property
    def prices(self) -> tuple[Price, ...]:
        """The prices of earlier runs: measured ones, and those of examples."""
        found = [*self._listed("pricingMeasured"), *self._listed("pricingExamples")]
        return tuple(
            Price(
                configuration=str(one.get("configuration", "")),
                price=price,
                seconds=latency / 1000 if isinstance(latency := one.get("latencyMs"), (int, float)) else None,
            )
            for one in found
            if (price := _dollars(one.get("price"))) is not None
        )

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes it offers, if it takes no others; otherwise, or if they are not known, empty."""
        return tuple(
            Size(width, height, str(one.get("label") or ""))
            for one in self._listed("dimensions")
            if isinstance(width := one.get("width"), int) and isinstance(height := one.get("height"), int)
        )

    def _listed(self, name: str) -> list[Mapping[str, Any]]:
        """Return the objects in a list of the record, without items of other types, which no service should send."""
        found = self.raw.get(name)
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []

    @property
    def seconds(self) -> float | None:
        """How long a typical run takes, in seconds; `None` if none was measured."""
        measured = sorted(price.seconds for price in self.prices if price.seconds is not None)
        return measured[len(measured) // 2] if measured else None

    @property
    def delivery_methods(self) -> tuple[str, ...]:
        """How results can be delivered: `"sync"`, `"async"`, `"stream"`; empty if that is not known."""
        found = self.schema.get("properties", {}).get("deliveryMethod", {})
        return tuple(found.get("enum") or [one["const"] for one in found.get("oneOf") or () if "const" in one])

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of its requests, required ones first. Parameters inside an object follow that object."""
        required = self.schema.get("required", ())
        found = _parameters(self.schema, "")
        return tuple(sorted(found, key=lambda one: _STEP.split(one.api_name)[0] not in required))

    def check(self, **parameters: Any) -> list[Problem]:
        """Return every problem of a request to this model; empty if it accepts it, as far as is known.

        Args:
            parameters: The parameters of the request, with Python or API names.
        """
        if parameters.get("model") == self.slug:
            del parameters["model"]
        task = {"taskType": self.task_type, "model": self.air, **as_sent(parameters)}
        return self.check_task(to_api_names(task, self.schema))

    def estimate(self, **parameters: Any) -> Estimate:
        """Estimate the cost of a request to this model, from its rates or from earlier runs.

        Args:
            parameters: The parameters of the request, with Python or API names.
        """
        return estimates.estimate(self, to_api_names(as_sent(parameters), self.schema))

    def check_task(self, task: Mapping[str, Any]) -> list[Problem]:
        """Return every problem of a task with API names; empty if the model accepts it, as far as is known."""
        return find_problems(self.schema, task, self.name)


_TEXTS = {
    "air": "air",
    "slug": "slug",
    "name": "name",
    "creator": "creator",
    "status": "status",
    "task_type": "taskType",
    "architecture": "architecture",
    "released_at": "releasedAt",
    "replaced_by": "replacedBy",
}


def _is_price(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _dollars(value: Any) -> float | None:
    """Return a price in dollars: the service writes some as numbers, some as `"$0.70"`."""
    if _is_price(value):
        return float(value)
    try:
        return float(str(value).strip().lstrip("$"))
    except ValueError:
        return None


_STEP = re.compile(r"[.\[]")


def _parameters(schema: Mapping[str, Any], path: str) -> Iterator[Parameter]:
    required = schema.get("required", ())
    for name, facts in schema.get("properties", {}).items():
        if not isinstance(facts, Mapping) or (not path and name in _CALL_SETTINGS):
            continue
        whole = join_path(path, name)
        choices = facts.get("enum") or ([facts["const"]] if "const" in facts else [])
        yield Parameter(
            name=python_path(whole),
            takes=takes(facts),
            required=name in required,
            default=facts.get("default"),
            allowed=tuple(choices),
            minimum=facts.get("minimum"),
            maximum=facts.get("maximum"),
            api_name=whole,
        )
        yield from _parameters(facts, whole)
        if isinstance(items := facts.get("items"), Mapping):
            yield from _parameters(items, f"{whole}[]")


class Snapshot:
    """The models known without the network.

    Args:
        lines: The header and the records, one a line, as `tools/build_models.py` writes them.

    Attributes:
        date: The date of the snapshot, such as `"2026-11-28"`.
        version: The version of the schemas it was made from.
    """

    def __init__(self, lines: list[str]) -> None:
        header = json.loads(lines[0])
        self.date: str = header["date"]
        self.version: str = header["version"]
        self._enums: dict[str, list[Any]] = header["enums"]
        self._lines = lines[1:]
        self._listed: list[list[str | None]] = header["models"]
        self._names: dict[str, int] = {}
        for number, names in enumerate(self._listed):
            for name in names[:2]:
                if name:
                    self._names[name.lower()] = number
        self._models: dict[int, Model] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._names

    def __iter__(self) -> Iterator[Model]:
        return map(self._model, range(len(self._lines)))

    def _model(self, number: int) -> Model:
        found = self._models.get(number)
        if found is None:
            found = self._models[number] = Model.of(json.loads(self._lines[number]), self._enums)
        return found

    def get(self, name: str) -> Model | None:
        """Return the model with an AIR or a slug; `None` if it is not known."""
        number = self._names.get(name.lower())
        return None if number is None else self._model(number)

    def nearest(self, name: str) -> list[Model]:
        """Return the models that a name may have meant; empty if none is near."""
        return [self._model(number) for number in similar_models(name, self._listed)]


@cache
def bundled_snapshot() -> Snapshot:
    """Return the snapshot in the package."""
    return Snapshot(zlib.decompress(_FILE.read_bytes(), _GZIP).decode().splitlines())


def in_words(model: Model) -> str:
    """Return the AIR or slug of a model, with its name for people."""
    return f"{model.air or model.slug} ({model.name})"


def unknown_model(name: str, snapshot: Snapshot) -> NotFoundError:
    """Return the error for a model that is not known, with the known ones that may have been meant."""
    near = [in_words(one) for one in snapshot.nearest(name)]
    if near:
        hint = f"Did you mean {either_of(near)}?"
    else:
        hint = "rw.models.list(q=...) finds known ones by a word, and rw.models.search(...) those of the community too."
    return NotFoundError(
        f"No model {one_line(repr(name), 100)} in the catalogue of {snapshot.date}. {hint} If it is newer, or of the "
        "community, requests take it all the same, and its parameters cannot be checked.",
        code="modelNotFound",
        parameter="model",
    )
