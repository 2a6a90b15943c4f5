"""Results from their JSON, when the class is not known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from runware._support.lazy_modules import lazy_module
from runware.results.base import Result, Results, parsed

if TYPE_CHECKING:
    from runware.results import platform
else:
    platform = lazy_module("runware.results.platform")

__all__ = ["from_dict", "from_json"]


@overload
def from_dict(data: Mapping[str, Any]) -> Result: ...
@overload
def from_dict(data: Sequence[Mapping[str, Any]]) -> Results[Any]: ...
def from_dict(data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Result | Results[Any]:
    """Make a result, or a list of them, from what `to_dict()` or `to_dicts()` returned.

    Each gets the class that its task type calls for. The request in `meta` and the client's download settings do not
    come back: the results are downloaded with the settings of the environment.

    Args:
        data: One object under the API's names, or a list of them.

    Raises:
        ValidationError: It is neither, or has Python names.
    """
    if isinstance(data, (list, tuple)):
        return Results(from_dict(one) for one in data)
    cls = platform.class_for(data) if isinstance(data, Mapping) else Result
    return cls.from_dict(data)  # type: ignore[arg-type]  # which raises for anything else


def from_json(text: str | bytes) -> Result | Results[Any]:
    """Make a result, or a list of them, from what `to_json()` returned; see `from_dict`.

    Raises:
        ValidationError: It is not JSON, not of results, or has Python names.
    """
    data: Any = parsed(text)
    result: Result | Results[Any] = from_dict(data)
    return result
