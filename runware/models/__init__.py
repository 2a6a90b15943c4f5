"""What models make, which parameters they take, and what they cost. Neither a key nor a network is needed.

    >>> from runware import models
    >>> models.get("bfl-flux-1-dev").air
    'runware:101@1'

A client has the same as `rw.models`, with its own proxy and trust store, and with a search of all models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_attributes
from runware.models.access import AsyncModels, Catalogue, Models
from runware.models.catalogue import Model, ModelExample, Parameter, Price, Rate, Size
from runware.models.problems import Problem
from runware.options import read_options

if TYPE_CHECKING:
    from runware.models.estimates import Estimate
else:
    __getattr__ = lazy_attributes(globals(), {"Estimate": "estimates"})

__all__ = [
    "AsyncModels",
    "Catalogue",
    "Estimate",
    "Model",
    "ModelExample",
    "Models",
    "Parameter",
    "Price",
    "Problem",
    "Rate",
    "Size",
    "catalogue",
    "get",
    "list",
    "refresh",
]


_by_url: dict[str, Models] = {}


def catalogue() -> Models:
    """Return the catalogue of the server in the environment (`RUNWARE_URL`), which the functions below use."""
    options = read_options({"api_key": "none-is-sent"})
    return _by_url.setdefault(options.url, Models(Catalogue(options)))


def get(name: str, **options: Any) -> Model:
    """Return a model by its AIR or slug; see `Models.get`."""
    return catalogue().get(name, **options)


def list(**filters: Any) -> Sequence[Model]:  # noqa: A001 - `models.list`, as the client has it
    """Return the known models that fit all filters; see `Models.list`."""
    return catalogue().list(**filters)


def refresh(timeout: float = 5.0) -> None:
    """Fetch what is new from the services; see `Models.refresh`."""
    catalogue().refresh(timeout)
