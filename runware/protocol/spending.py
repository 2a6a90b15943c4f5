"""Adding up what results have cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Spending", "cost_of"]

_LARGEST = 1e15


class Spending:
    """What results have cost, and the tokens of texts, as far as the server reports them.

    Attributes:
        cost: The cost in US dollars; `None` if no result has one.
        input_tokens: The tokens of the inputs; `None` if no result says.
        output_tokens: The tokens of the answers; `None` if no result says.
    """

    __slots__ = ("cost", "input_tokens", "output_tokens")

    def __init__(self) -> None:
        self.cost: float | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Add the costs and tokens of some results."""
        for item in items:
            if "cost" in item and (cost := cost_of(item)) is not None:
                self.cost = (self.cost or 0.0) + cost
            if "usage" in item and isinstance(usage := item["usage"], dict):
                self.add_tokens(
                    _number(usage.get("promptTokens", usage.get("inputTokens"))),
                    _number(usage.get("completionTokens", usage.get("outputTokens"))),
                )

    def add_tokens(self, inputs: float | None, outputs: float | None) -> None:
        """Add the tokens of a text."""
        if inputs is not None:
            self.input_tokens = (self.input_tokens or 0) + int(inputs)
        if outputs is not None:
            self.output_tokens = (self.output_tokens or 0) + int(outputs)

    def facts(self) -> dict[str, Any]:
        """Return the sums as attributes of an event."""
        return {name: getattr(self, name) for name in self.__slots__}


def cost_of(item: Mapping[str, Any]) -> float | None:
    """Return the cost of a result in US dollars; `None` if it has none, or none that can be added up."""
    return _number(item.get("cost"))


def _number(value: object) -> float | None:
    """Return a number of the server; `None` if it is none, or not a finite one."""
    if (type(value) is float or type(value) is int) and abs(value) < _LARGEST:
        return value
    return None
