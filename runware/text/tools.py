"""Python functions as tools of a chat: their schema from signature and docstring, and the calls that a model makes."""

from __future__ import annotations

import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

import attrs

from runware._support.escaping import one_line
from runware.errors import ValidationError
from runware.text.schemas import (
    IndescribableTypeError,
    MisfitError,
    Shape,
    dump_json,
    load_fields,
    object_schema,
    parse_docstring,
    shape_of,
)

__all__ = ["Tool", "ToolRun", "Tools", "tool"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNUSED = "unused"
_NO_PARAMETERS = {
    "type": "object",
    "properties": {_UNUSED: {"type": "string", "description": "Not used. Leave it out."}},
}
"""Sent for a tool without parameters: the endpoint refuses an object without properties (status 400)."""


class Tool:
    """A Python function that a model may call.

    Without a schema given by hand, it is made from the function's signature and docstring: annotations become types,
    parameters with a default are optional, and the `Args:` section in Google style, or `Annotated[str, "..."]`,
    describes them.

    Args:
        function: The function, plain or `async`. It is called with keyword arguments.
        name: Name for the model; the function's by default. Up to 64 letters, digits, `_` and `-`.
        description: Description for the model; by default the docstring up to its first section.
        parameters: JSON schema of the arguments, an object. The function is then called with the arguments as they
            come.

    Raises:
        ValidationError: The function cannot be described; the message says what would work.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(function):
            raise _invalid(f"a tool is a function; got {type(function).__name__}. Pass tools=[get_weather].")
        target: Any = function
        while isinstance(target, functools.partial):
            target = target.func
        if not (inspect.isroutine(target) or isinstance(target, type)):
            target = type(target).__call__  # an object that can be called
        self.function = function
        self.name = str(name or getattr(target, "__name__", ""))
        if self.name == "__call__":
            self.name = type(function).__name__
        if not _NAME.fullmatch(self.name):
            raise _invalid(
                f"the name of a tool has up to 64 letters, digits, _ and -; {one_line(self.name, 80)!r} is none. Pass "
                "Tool(function, name='get_weather')."
            )
        self.is_async = inspect.iscoroutinefunction(target)
        """Whether the function is `async`."""
        if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
            raise _invalid(f"{self.name}() is a generator; a tool returns its result, such as a list.")
        summary, notes = parse_docstring(getattr(target, "__doc__", None))
        self.description = summary if description is None else description
        """What the model is told about the tool."""
        self._shapes: dict[str, Shape] | None = None
        self._required: set[str] = set()
        if parameters is None:
            self.parameters: Mapping[str, Any] = self._described(target, notes)
            """The JSON schema of its arguments."""
        else:
            self.parameters = _given_schema(self.name, parameters)
        functools.update_wrapper(self, target, assigned=("__module__", "__doc__"), updated=())

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    def __call__(self, *args: Any, **given: Any) -> Any:
        """Call the function."""
        return self.function(*args, **given)

    def definition(self) -> dict[str, Any]:
        """Return the tool in the form of the API."""
        parameters = self.parameters if self.parameters.get("properties") else _NO_PARAMETERS
        about = {"description": self.description} if self.description else {}
        return {"type": "function", "function": {"name": self.name, **about, "parameters": parameters}}

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments to call the function with.

        Raises:
            MisfitError: They do not fit the signature.
        """
        if self._shapes is None:
            return dict(given)
        unknown = [name for name in given if name not in self._shapes]
        if unknown and self._shapes:
            raise MisfitError(unknown[0], f"left out; the parameters are {', '.join(self._shapes)}", given[unknown[0]])
        return load_fields(self._shapes, self._required, dict(given), "arguments")

    def _described(self, target: Any, notes: Mapping[str, str]) -> dict[str, Any]:
        name = self.name
        advice = f"or give the schema by hand: Tool({name}, parameters={{...}})."
        try:
            parameters = inspect.signature(self.function).parameters
            hints = typing.get_type_hints(
                vars(target).get("__init__") if isinstance(target, type) else target, include_extras=True
            )
        except Exception as error:  # no signature, or whatever evaluating an annotation raises
            raise _invalid(
                f"the signature of {name}() cannot be read ({one_line(error)}). Annotate it, {advice}"
            ) from error
        self._shapes = {}
        properties: dict[str, Any] = {}
        for parameter in parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise _invalid(
                    f"{name}() takes {parameter}, which a model cannot be told of. Name its parameters, {advice}"
                )
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise _invalid(
                    f"the parameter {parameter.name!r} of {name}() is positional-only; tools are called with keyword "
                    f"arguments. Remove the / from the signature."
                )
            if parameter.name not in hints:
                raise _invalid(
                    f"the parameter {parameter.name!r} of {name}() has no annotation. Write {parameter.name}: str, "
                    f"{advice}"
                )
            try:
                shape = shape_of(hints[parameter.name])
            except IndescribableTypeError as error:
                raise _invalid(f"the parameter {parameter.name!r} of {name}(): {error}; {advice}") from error
            self._shapes[parameter.name] = shape
            schema = dict(shape.schema)
            if (note := notes.get(parameter.name)) and "description" not in schema:
                schema["description"] = note
            if parameter.default is parameter.empty:
                self._required.add(parameter.name)
            elif type(parameter.default) in (str, int, float, bool):
                schema["default"] = parameter.default
            properties[parameter.name] = schema
        return _hoisted(object_schema(properties, self._required))


def _hoisted(schema: dict[str, Any]) -> dict[str, Any]:
    """Move the definitions of the parameters to the root, where their references look for them."""
    definitions: dict[str, Any] = {}
    for part in schema["properties"].values():
        definitions |= part.pop("$defs", {})
    return {**schema, "$defs": definitions} if definitions else schema


def _given_schema(name: str, parameters: object) -> Mapping[str, Any]:
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise _invalid(
            f"the parameters of the tool {name} must be the JSON schema of an object, such as "
            "{'type': 'object', 'properties': {'city': {'type': 'string'}}}."
        )
    try:
        json.dumps(parameters)
    except (TypeError, ValueError) as error:
        raise _invalid(f"the parameters of the tool {name} are not JSON: {error}.") from error
    return {"type": "object", **parameters}


def _invalid(message: str) -> ValidationError:
    return ValidationError(f"tools: {message}", code="invalidParameter", parameter="tools")


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, parameters: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **given: Any) -> Any:
    """Make a `Tool` of a function, as a decorator: `@tool`, or `@tool(name="weather", description="...")`.

    Args:
        function: The function.
        given: `name`, `description` and `parameters`, as in `Tool`.

    Raises:
        ValidationError: The function cannot be described.
    """
    if function is None:
        return lambda function: Tool(function, **given)
    return Tool(function, **given)


@attrs.frozen(kw_only=True)
class ToolRun:
    """A tool call that the model made, with its outcome.

    Attributes:
        id: The model's identifier of the call.
        name: Name of the tool.
        input: The arguments as JSON values; `None` if the model did not write a JSON object.
        input_text: The arguments as the model wrote them.
        output: The text that the model got in return; `None` while the call has not ended.
        result: What the function returned; `None` if it failed, or if it ran before.
        error: Why the call failed: the exception that the function raised, or a `ValueError` for an unknown tool or
            arguments that do not fit. The model got its text, and the chat went on.
    """

    id: str
    name: str
    input: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)
    input_text: str = attrs.field(default="", repr=False)
    output: str | None = attrs.field(default=None, repr=False)
    result: Any = attrs.field(default=None, repr=False, eq=False)
    error: BaseException | None = attrs.field(default=None, eq=False)

    @property
    def done(self) -> bool:
        """Whether the call has ended."""
        return self.output is not None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> ToolRun:
        """Return a call from its form in a message."""
        function = raw["function"]
        try:
            given = json.loads(function["arguments"].strip() or "{}")
        except (ValueError, RecursionError):
            given = None
        return cls(
            id=raw["id"],
            name=function["name"],
            input=given if isinstance(given, dict) else None,
            input_text=function["arguments"],
        )

    def returned(self, value: Any) -> ToolRun:
        """Return the call with the result of its function."""
        try:
            text = value if isinstance(value, str) else dump_json(value)
        except Exception as error:  # no JSON, or what the methods of the value raise
            return self.failed(error)
        return attrs.evolve(self, output=text, result=value)

    def failed(self, error: BaseException) -> ToolRun:
        """Return the call with an error, whose text the model gets."""
        try:
            words = f": {error}"
        except Exception:  # its own `__str__` failed
            words = ""
        return attrs.evolve(self, output=f"Error: {type(error).__name__}{words}", error=error)


@attrs.frozen
class Tools:
    """The tools of a chat.

    Attributes:
        functions: Those that the chat runs, by name.
        others: Definitions that are sent as they are, such as `{"type": "search"}`, for tools that the server runs.
    """

    functions: Mapping[str, Tool]
    others: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, given: Iterable[Any] | None) -> Tools:
        """Return the tools that were given: functions, `Tool` objects, and definitions as dicts.

        Raises:
            ValidationError: A function cannot be described, or two have the same name.
        """
        if given is not None and (
            callable(given) or isinstance(given, (str, Mapping)) or not isinstance(given, Iterable)
        ):
            raise _invalid(f"a list of functions is needed: tools=[get_weather]; got a {type(given).__name__}.")
        functions: dict[str, Tool] = {}
        others = []
        for one in given or ():
            if isinstance(one, Mapping):
                others.append(one)
                continue
            found = one if isinstance(one, Tool) else Tool(one)
            if found.name in functions:
                raise _invalid(
                    f"two tools have the name {found.name!r}. Pass Tool(function, name=...) for one of them."
                )
            functions[found.name] = found
        return cls(functions, others)

    def definitions(self) -> list[Mapping[str, Any]]:
        """Return the tools in the form of the API."""
        return [*(one.definition() for one in self.functions.values()), *self.others]

    def prepare(self, run: ToolRun) -> tuple[Tool, Callable[[], Any]]:
        """Return the tool of a call, and a function that runs it with the converted arguments.

        Raises:
            ValueError: There is no such tool, or the arguments do not fit.
        """
        found = self.functions.get(run.name)
        if found is None:
            known = f"The tools are: {', '.join(self.functions)}." if self.functions else "There are none."
            raise ValueError(f"There is no tool {one_line(run.name, 80)!r}. {known}")
        if run.input is None:
            raise ValueError("The arguments are not a JSON object.")
        return found, functools.partial(found.function, **found.arguments(run.input))
