"""Schemas of Python types, functions as tools, and what replies of the chat endpoint mean."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, Required, TypedDict, TypeVar

import attrs
import pytest

from runware import Tool, ToolRun, ValidationError, tool
from runware.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    NotFoundError,
    PayloadTooLargeError,
    ProviderError,
    RateLimitError,
    RunwareError,
    ServerError,
)
from runware.text.answers import ResponseFormat
from runware.text.completions import (
    CompletionParts,
    added,
    max_output_tokens,
    reply_error,
    wants_max_tokens,
)
from runware.text.schemas import IndescribableTypeError, MisfitError, dump_json, parse_docstring, shape_of
from runware.text.tools import Tools


class Unit(Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


UserId = NewType("UserId", int)


@dataclasses.dataclass
class Place:
    """A place.

    Attributes:
        city: The city,
            in words.
        unit: The unit.
    """

    city: str
    unit: Unit = Unit.CELSIUS


class Trip(TypedDict):
    days: int
    places: NotRequired[list[Place]]


class Loose(TypedDict, total=False):
    name: Required[str]
    age: int


@attrs.define
class Node:
    _value: int
    children: list[Node] = attrs.field(factory=list)


@attrs.define
class Positive:
    number: int = attrs.field(validator=attrs.validators.gt(0))


@dataclasses.dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise AssertionError("odd")


# ---------------------------------------------------------------------- schemas


@pytest.mark.parametrize(
    ("kind", "schema", "value", "expected"),
    [
        (str, {"type": "string"}, "x", "x"),
        (int, {"type": "integer"}, 5, 5),
        (float, {"type": "number"}, 5, 5.0),
        (bool, {"type": "boolean"}, True, True),
        (None, {"type": "null"}, None, None),
        (Any, {}, [1], [1]),
        (UserId, {"type": "integer"}, 5, 5),
        (Annotated[int, "how many"], {"type": "integer", "description": "how many"}, 5, 5),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, None),
        (Optional[str], {"anyOf": [{"type": "string"}, {"type": "null"}]}, "x", "x"),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x", "x"),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, "b", "b"),
        (Literal[1, "b"], {"enum": [1, "b"]}, 1, 1),
        (Unit, {"type": "string", "enum": ["c", "f"]}, "f", Unit.FAHRENHEIT),
        (list[int], {"type": "array", "items": {"type": "integer"}}, [1], [1]),
        (list, {"type": "array", "items": {}}, [1, "x"], [1, "x"]),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}, ["x"], ["x"]),
        (set[int], {"type": "array", "items": {"type": "integer"}}, [1, 1], {1}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1, 2], (1, 2)),
        (
            tuple[int, str],
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "minItems": 2,
                "maxItems": 2,
            },
            [1, "x"],
            (1, "x"),
        ),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": 1}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": True}, {"a": 1}, {"a": 1}),
        (dt.date, {"type": "string", "format": "date"}, "2026-11-28", dt.date(2026, 11, 28)),
        (
            dt.datetime,
            {"type": "string", "format": "date-time"},
            "2026-11-28T12:00:00+00:00",
            dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC),
        ),
        (uuid.UUID, {"type": "string", "format": "uuid"}, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
    ],
    ids=str,
)
def test_type_becomes_a_schema_and_its_values_are_loaded(
    kind: Any, schema: dict[str, Any], value: Any, expected: Any
) -> None:
    shape = shape_of(kind)
    assert shape.schema == schema
    loaded = shape.load(value, "value")
    assert loaded == expected
    assert type(loaded) is type(expected)


def test_class_becomes_an_object_schema() -> None:
    shape = shape_of(Place)
    assert shape.schema == {
        "type": "object",
        "description": "A place.",
        "properties": {
            "city": {"type": "string", "description": "The city, in words."},
            "unit": {"type": "string", "enum": ["c", "f"], "description": "The unit."},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert shape.load({"city": "Oslo"}, "x") == Place("Oslo")
    trip = shape_of(Trip)
    assert trip.schema["required"] == ["days"]
    assert trip.load({"days": 2, "places": [{"city": "Oslo", "unit": "f"}]}, "x") == {
        "days": 2, "places": [Place("Oslo", Unit.FAHRENHEIT)],
    }  # fmt: skip
    assert shape_of(Loose).schema["required"] == ["name"]


def test_recursive_class_becomes_a_schema_with_a_reference() -> None:
    shape = shape_of(Node)
    assert shape.schema["$ref"] == "#/$defs/Node"
    assert shape.schema["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert shape.load({"_value": 1, "children": [{"_value": 2}]}, "x") == Node(1, [Node(2)])


def test_pydantic_model_becomes_a_schema_and_is_loaded() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is an optional part of the test environment")

    class Inner(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        word: str

    class Model(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        number: int
        inner: Inner

    Model.model_rebuild(_types_namespace={"Inner": Inner})
    shape = shape_of(list[Model])
    assert shape.schema["$defs"]["Inner"]["properties"]["word"]["type"] == "string"
    assert shape.load([{"number": 1, "inner": {"word": "x"}}], "x")[0].inner.word == "x"
    with pytest.raises(MisfitError, match=r"answer\[0\].inner.word must be valid"):
        shape.load([{"number": 1, "inner": {}}], "answer")
    strict = ResponseFormat(Model).request()["json_schema"]
    assert strict["schema"]["$defs"]["Inner"]["additionalProperties"] is False

    class Checked(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        number: int

        @pydantic.field_validator("number")  # type: ignore[untyped-decorator]
        @classmethod
        def look_up(cls, number: int) -> int:
            return {1: 2}[number]

    with pytest.raises(MisfitError, match="answer must be valid"):
        shape_of(Checked).load({"number": 5}, "answer")
    assert dump_json(Model(number=1, inner=Inner(word="x"))) == '{"number": 1, "inner": {"word": "x"}}'


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (int, "5", 'answer must be an integer; got "5"'),
        (int, True, "an integer"),
        (int, 1.5, "an integer"),
        (str, 5, "a string"),
        (bool, 1, "true or false"),
        (list[str], "abc", "an array"),
        (list[int], [1, "x"], r"answer\[1\] must be an integer"),
        (dict[str, int], [1], "an object"),
        (dict[str, int], {"a": "b"}, "answer.a must be"),
        (tuple[int, str], [1], "an array of 2 items"),
        (Literal["a"], "b", 'one of "a"'),
        (Literal[1], True, "one of 1"),
        (Unit, "k", 'one of "c", "f"'),
        (dt.date, "soon", "format date"),
        (dt.date, 5, "format date"),
        (Place, {"unit": "c"}, "an object with 'city'"),
        (Place, [], "an object"),
        (Place | None, {"city": 5}, "answer.city must be a string"),
        (set[list[int]], [[1]], "an array for a set"),
        (Positive, {"number": -1}, "a valid Positive"),
        (Even, {"number": 1}, r"a valid Even \(odd\)"),
        (float, 10**309, "a finite number"),
        (float, math.nan, "a finite number; got NaN"),
        (float | None, -math.inf, "a finite number"),
    ],
    ids=str,
)
def test_values_that_do_not_fit(kind: Any, value: Any, words: str) -> None:
    with pytest.raises(MisfitError, match=words):
        shape_of(kind).load(value, "answer")


T = TypeVar("T")


class Unresolved:
    pass


@dataclasses.dataclass
class Mistaken:
    part: Missing  # type: ignore[name-defined]  # noqa: F821


class Complex(Enum):
    ONE = (1, 2)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bytes, "bytes has no JSON schema; use str"),
        (Unresolved, "Unresolved has no JSON schema"),
        (Callable, "no JSON schema"),
        (T, "no JSON schema"),
        ("str", "no JSON schema"),
        (dict[int, str], "keys of a JSON object are strings"),
        (list[bytes], "bytes"),
        (Complex, "must be strings, numbers or booleans"),
        (Mistaken, "annotations of Mistaken cannot be read"),
    ],
    ids=str,
)
def test_type_without_a_schema_raises(kind: Any, words: str) -> None:
    with pytest.raises(IndescribableTypeError, match=words):
        shape_of(kind)


def test_two_classes_of_one_name_in_one_schema() -> None:
    def make(kind: type[Any]) -> Any:
        made = dataclasses.make_dataclass("Tree", [("value", kind), ("children", "list[Tree]")])
        made.__init__.__globals__["Tree"] = made
        return made

    shape_of(make(int))
    pydantic = pytest.importorskip("pydantic", reason="pydantic is an optional part of the test environment")
    first = pydantic.create_model("Part", x=(int, ...))
    second = pydantic.create_model("Part", y=(str, ...))
    outer = [pydantic.create_model(name, part=(kind, ...)) for name, kind in (("A", first), ("B", second))]
    with pytest.raises(IndescribableTypeError, match="two different classes with the name Part"):
        shape_of(tuple[outer[0], outer[1]])  # type: ignore[misc]


def test_response_types_are_objects_for_the_endpoint() -> None:
    request = ResponseFormat(list[Place]).request()["json_schema"]
    assert request["schema"]["properties"]["value"]["type"] == "array"
    assert request["schema"]["properties"]["value"]["items"]["required"] == ["city", "unit"]
    assert request["strict"] is True
    assert ResponseFormat(dict[str, int]).request()["json_schema"]["strict"] is False
    assert ResponseFormat(int | None).parse('{"value": null}') is None
    assert ResponseFormat(Node).request()["json_schema"]["schema"]["$ref"] == "#/$defs/Node"
    assert ResponseFormat(Node).parse('{"_value": 1}') == Node(1)


def test_docstring_gives_the_description_and_those_of_parameters() -> None:
    def documented() -> None:
        """Do it.

        In detail: yes.

        Args:
            first (str): The first
                one.
            *second: The second.
            third: With: a colon.

        Returns:
            first: nothing.
        """

    summary, notes = parse_docstring(documented.__doc__)
    assert summary == "Do it.\n\nIn detail: yes."
    assert notes == {"first": "The first one.", "second": "The second.", "third": "With: a colon."}
    assert parse_docstring(None) == ("", {})


# ---------------------------------------------------------------------- tools


def get_weather(city: Annotated[str, "The city."], unit: Unit = Unit.CELSIUS, *, days: int = 3) -> str:
    """Look up the weather.

    Args:
        city: Not used, as the annotation says it.
        unit: The unit.
    """
    return f"{city} {unit} {days}"


def test_function_becomes_a_tool_definition() -> None:
    assert Tool(get_weather).definition() == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Look up the weather.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The city."},
                    "unit": {"type": "string", "enum": ["c", "f"], "description": "The unit."},
                    "days": {"type": "integer", "default": 3},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


def test_references_of_parameters_are_found_at_the_root() -> None:
    def grow(node: Node, other: Node) -> None: ...

    parameters = Tool(grow).parameters
    assert parameters["properties"]["node"] == {"$ref": "#/$defs/Node"}
    assert "Node" in parameters["$defs"]


class Weather:
    def today(self, city: str) -> str:
        """Say it."""
        return city

    async def __call__(self, city: str) -> str:
        """Call it."""
        return city


def test_methods_partials_and_callable_objects() -> None:
    method = Tool(Weather().today)
    assert (method.name, list(method.parameters["properties"]), method.is_async) == ("today", ["city"], False)
    bound = Tool(functools.partial(get_weather, days=5))
    assert bound.name == "get_weather"
    assert bound.parameters["required"] == ["city"]
    thing = Tool(Weather())
    assert (thing.name, thing.description, thing.is_async) == ("Weather", "Call it.", True)


def no_annotation(city): ...  # type: ignore[no-untyped-def]
def star(*cities: str) -> None: ...
def double_star(**cities: str) -> None: ...
def positional(city: str, /) -> None: ...
def unsupported(city: bytes) -> None: ...
def unknown(city: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([no_annotation], "'city' of no_annotation.. has no annotation. Write city: str"),
        ([star], "star.. takes .cities"),
        ([double_star], "double_star.. takes"),
        ([positional], "positional-only"),
        ([unsupported], "bytes has no JSON schema"),
        ([unknown], "name 'Nowhere' is not defined"),
        ([generator], "is a generator"),
        ([lambda: 1], "Pass Tool.function, name="),
        ([5], "a tool is a function; got int"),
        ([print], r"print\(\) takes \*"),
        ([get_weather, get_weather], "two tools have the name"),
        (get_weather, "a list of functions is needed"),
        ("get_weather", "a list of functions is needed"),
        (5, "a list of functions is needed"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_tools_that_cannot_be_described(given: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as failure:
        Tools.of(given)
    assert failure.value.parameter == "tools"


@pytest.mark.parametrize(
    "parameters", [5, {"type": "string"}, {"properties": {"x": object()}}], ids=["int", "type", "object"]
)
def test_invalid_explicit_schema_raises(parameters: Any) -> None:
    with pytest.raises(ValidationError):
        Tool(no_annotation, parameters=parameters)


def test_explicit_schema_replaces_missing_annotations() -> None:
    made = tool(name="x", parameters={"properties": {"city": {"type": "string"}}})(no_annotation)
    assert made.definition()["function"]["parameters"] == {
        "type": "object", "properties": {"city": {"type": "string"}},
    }  # fmt: skip
    assert made.arguments({"city": 5}) == {"city": 5}


def test_run_of_a_tool_hides_its_texts() -> None:
    run = ToolRun(id="1", name="x", input={"secret": "s3cret"}, output="s3cret", result="s3cret", input_text="s3cret")
    assert "s3cret" not in repr(run)


# ---------------------------------------------------------------------- replies


def delta(**given: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": given, "finish_reason": None}]}


@pytest.mark.parametrize("with_index", [True, False])
def test_fragments_of_tool_calls_are_joined(with_index: bool) -> None:
    parts = CompletionParts()

    def call(index: int, **given: Any) -> None:
        parts.add(delta(tool_calls=[{**({"index": index} if with_index else {}), **given}]))

    call(0, id="a", type="function", function={"name": "f", "arguments": ""})
    call(0, function={"arguments": '{"x"'})
    call(0, function={"arguments": ": 1}"})
    call(1, id="b", function={"name": "g", "arguments": "{}"}, extra_content={"signature": "s"})
    first, second = parts.completion().tool_calls
    assert first == {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    assert second["extra_content"] == {"signature": "s"}


def test_calls_without_ids_get_one() -> None:
    parts = CompletionParts()
    calls = [{"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "f"}}, "odd", {"function": 5}]
    parts.add({"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]})
    made = parts.completion().tool_calls
    assert len({call["id"] for call in made}) == 3
    assert [call["function"]["arguments"] for call in made] == ['{"x": 1}', "", ""]
    assert ToolRun.of(made[1]).input == {}
    assert ToolRun.of(made[2]).name == ""


@pytest.mark.parametrize(
    "chunk",
    [{}, {"choices": None}, {"choices": []}, {"choices": [5]}, {"choices": [{"delta": None}]},
     {"choices": [{"delta": 5}]},
     {"choices": [{"delta": {"content": 5, "tool_calls": 5}, "finish_reason": 5}]}, {"usage": 5},
     {"usage": {"cost": float("inf")}}, {"usage": {"cost": 10**400}}],
    ids=str,
)  # fmt: skip
def test_malformed_chunks_are_ignored(chunk: dict[str, Any]) -> None:
    parts = CompletionParts()
    parts.add(chunk)
    completion = parts.completion()
    assert (completion.text, completion.tool_calls, completion.cost) == ("", [], None)


@pytest.mark.parametrize("odd", [{"index": [1]}, {"index": {}}, {"id": ["a"]}, {"id": 5}], ids=str)
def test_tool_call_with_malformed_fields_is_read(odd: dict[str, Any]) -> None:
    parts = CompletionParts()
    parts.add(delta(tool_calls=[{"function": {"name": "f", "arguments": "{}"}, **odd}]))
    (call,) = parts.completion().tool_calls
    assert isinstance(call["id"], str)
    assert call["function"] == {"name": "f", "arguments": "{}"}


def test_function_of_a_call_that_is_first_a_text_and_then_an_object_is_survived() -> None:
    parts = CompletionParts()
    parts.add(delta(tool_calls=[{"index": 0, "function": "f"}]))
    parts.add(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}]))
    assert parts.completion().tool_calls[0]["function"] == {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize("odd", ["12", None, [1], 1.5], ids=str)
def test_usage_that_is_no_number_is_left_out_of_sums(odd: Any) -> None:
    parts = CompletionParts()
    parts.add({"usage": {"promptTokens": odd, "completion_tokens": 2}})
    usage = parts.completion().usage
    total = added(usage, usage)
    assert total is not None
    assert (total.prompt_tokens, total.completion_tokens) == (None, 4)


def test_repeated_call_does_not_run_twice() -> None:
    """Also if its id is that of another call too, and it was given a new one."""
    parts = CompletionParts()
    asked = [("a", "1"), ("a", "2"), ("a_1", "3"), ("a", "2"), ("a", "1"), ("a_1", "4"), ("a_1", "3")]
    calls = [{"id": uuid, "function": {"name": "f", "arguments": arguments}} for uuid, arguments in asked]
    parts.add({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]})
    made = parts.completion().tool_calls
    assert len({call["id"] for call in made}) == len(made)
    assert [call["function"]["arguments"] for call in made] == ["1", "2", "3", "4"]


def test_reasoning_and_content_in_their_forms() -> None:
    parts = CompletionParts()
    parts.add(delta(reasoning_content="a"))
    parts.add(delta(reasoning=["b", {"text": "c"}]))
    parts.add(delta(content=[{"type": "text", "text": "d"}]))
    parts.add({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    counts = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": 0.5}
    details = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 1}}
    parts.add({"choices": [], "usage": counts | details})
    completion = parts.completion()
    assert (completion.reasoning, completion.text, completion.finish_reason, completion.cost) == (
        "abc",
        "d",
        "stop",
        0.5,
    )
    usage = completion.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.thinking_tokens) == (5, 3, 1)
    total = added(usage, usage)
    assert total is not None
    assert (total.total_tokens, total.cached_tokens) == (14, 6)
    assert added(None, usage) is usage


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [
        (400, {"errors": [{"code": "invalidModel", "message": "m", "parameter": "model"}]}, ValidationError),
        (
            401,
            {"error": {"message": "m", "type": "invalid_request_error", "code": "invalid_api_key"}},
            AuthenticationError,
        ),
        (401, None, AuthenticationError),
        (402, {"message": "m"}, InsufficientCreditsError),
        (404, {"error": {"code": "model_not_found", "message": "m"}}, NotFoundError),
        (413, {}, PayloadTooLargeError),
        (422, {"detail": "m"}, ValidationError),
        (429, {"error": {"type": "rate_limit_error"}}, RateLimitError),
        (429, {"error": {"code": "insufficient_quota"}}, InsufficientCreditsError),
        (429, [{"error": {"code": 429, "message": "m"}}], RateLimitError),
        (500, {"error": "it broke"}, ServerError),
        (502, None, ServerError),
        (504, {"errors": [{"code": "timeoutProvider", "message": "m"}]}, ProviderError),
        (200, {"error": {"message": "late"}}, ServerError),
    ],
    ids=str,
)
def test_status_and_body_choose_the_error_class(status: int, body: Any, cls: type[RunwareError]) -> None:
    error = reply_error(status, body, "<html>")
    assert type(error) is cls
    assert error.may_have_run is (status >= 500 or status == 200)


def test_empty_errors_are_none() -> None:
    assert reply_error(200, {"errors": [], "error": None, "choices": []}) is None
    assert reply_error(200, None) is None


def test_errors_name_parameters_as_the_client_does() -> None:
    error = reply_error(400, {"error": {"code": "x", "message": "m", "param": "max_completion_tokens"}})
    assert error is not None
    assert error.parameter == "max_tokens"
    assert wants_max_tokens(error)
    other = reply_error(400, {"error": {"message": "maxTokens is too large"}})
    assert other is not None
    assert wants_max_tokens(other)
    assert not wants_max_tokens(RateLimitError("max_tokens per minute"))


def test_longest_answer_of_a_model() -> None:
    rows: list[Any] = [{"id": "google-gemma-4-31b", "max_output_tokens": 10}, {"id": "x", "max_output_tokens": None}, 5]
    for models in (rows, {"data": rows}):
        assert max_output_tokens(models, "google:gemma@4-31b") == 10
        assert max_output_tokens(models, "google-gemma-4-31b") == 10
        assert max_output_tokens(models, "x") is None
        assert max_output_tokens(models, "y") is None
    assert max_output_tokens(None, "y") is None


def test_dump_json_writes_classes_enums_dates_and_sets() -> None:
    value = {"place": Place("Oslo"), "unit": Unit.CELSIUS, "when": dt.date(2026, 1, 2), "many": {3}, "odd": 1j}
    assert json.loads(dump_json(value)) == {
        "place": {"city": "Oslo", "unit": "c"}, "unit": "c", "when": "2026-01-02", "many": [3], "odd": "1j",
    }  # fmt: skip
