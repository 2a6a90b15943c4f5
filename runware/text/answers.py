"""Answers of a chat, and their conversion to the type that was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from runware._support.lazy_modules import lazy_module
from runware.errors import ValidationError
from runware.results.base import shown_length
from runware.results.text import Usage
from runware.text.schemas import IndescribableTypeError, MisfitError, shape_of, strict_schema
from runware.text.tools import ToolRun

if TYPE_CHECKING:
    from runware.display import notebook
else:
    notebook = lazy_module("runware.display.notebook")

__all__ = ["Answer", "ResponseFormat"]

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen(kw_only=True)
class Answer(Generic[T_co]):
    """The answer of a chat, with everything that led to it. `str(answer)` returns its text.

    Attributes:
        text: The text. Its `repr` shows only the length, since reprs end up in logs.
        parsed: The answer as an instance of the chat's `response_type`; `None` without one.
        reasoning: The model's reasoning, if the model shows it.
        finish_reason: Why generation ended: `"stop"`, `"length"`, `"content_filter"`, or another reason.
        tool_calls: The tool calls that led to the answer, in order.
        usage: Token usage of all requests that led to the answer; `None` if the server does not report it.
        cost: Their cost in US dollars; `None` if the server does not report it.
        raw: The API's reply to the last request, without its choices.
    """

    text: str = attrs.field(default="", repr=shown_length)
    parsed: T_co = attrs.field(default=None, repr=False)
    reasoning: str = attrs.field(default="", repr=shown_length)
    finish_reason: str | None = None
    tool_calls: Sequence[ToolRun] = attrs.field(default=(), hash=False)
    usage: Usage | None = None
    cost: float | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return the notebook view: the text, with the tool calls, tokens and cost."""
        return notebook.answer_bundle(self)


class ResponseFormat:
    """The type that the answers of a chat are converted to.

    Args:
        kind: The `response_type`.

    Raises:
        ValidationError: The type has no JSON schema.
    """

    def __init__(self, kind: Any) -> None:
        self.name: str = getattr(kind, "__name__", None) or str(kind)
        try:
            self._shape = shape_of(kind)
        except IndescribableTypeError as error:
            raise ValidationError(
                f"response_type: {error}.", code="invalidParameter", parameter="response_type"
            ) from error
        schema = self._shape.schema
        root = schema.get("$defs", {}).get(schema.get("$ref", "").rpartition("/")[2], schema)
        # An answer is always an object; other types become its one field.
        self._wrapped = root.get("type") != "object" or "properties" not in root
        if self._wrapped:
            definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
            inner = {name: part for name, part in schema.items() if name != "$defs"}
            schema = {"type": "object", "properties": {"value": inner}, "required": ["value"], **definitions}
        self._schema, self._strict = strict_schema(schema)

    def request(self) -> dict[str, Any]:
        """Return the parameter that asks for answers of the type."""
        name = "".join(one if one.isalnum() and one.isascii() else "_" for one in self.name)[:64]
        return {
            "type": "json_schema",
            "json_schema": {"name": name, "strict": self._strict, "schema": self._schema},
        }

    def parse(self, text: str) -> Any:
        """Convert an answer.

        Raises:
            ValueError: It is not JSON, or it does not fit the type; the message says how.
        """
        text = text.strip()
        if text.startswith("```"):  # some models write it as for people
            text = text.partition("\n")[2].rpartition("```")[0]
        try:
            value = json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except ValueError:
            raise ValueError("it is not JSON") from None
        if self._wrapped and isinstance(value, dict) and list(value) == ["value"]:
            value = value["value"]
        try:
            return self._shape.load(value, "answer")
        except (MisfitError, RecursionError) as error:
            raise ValueError(str(error)) from error
