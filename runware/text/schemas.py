"""JSON schemas of Python types, and the strict conversion of JSON values to them.

A type becomes a `Shape`: its schema and the conversion, made in one pass so that they agree. The conversion accepts
what the schema allows and nothing else. cattrs would turn `"5"` into 5 and the string `"abc"` into a list of three
letters; here both mean that the model did not do what it was asked for.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import json
import re
import sys
import types
import typing
import uuid
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Union

import attrs

from runware._support.escaping import one_line

__all__ = [
    "IndescribableTypeError",
    "MisfitError",
    "Shape",
    "dump_json",
    "parse_docstring",
    "shape_of",
    "strict_schema",
]

Schema = dict[str, Any]
Load = Callable[[Any, str], Any]


class IndescribableTypeError(TypeError):
    """A type has no JSON schema. The message says why, as a clause."""


class MisfitError(ValueError):
    """A JSON value does not fit its type. The message names the place and what was expected."""

    def __init__(self, path: str, expected: str, value: Any) -> None:
        super().__init__(f"{path} must be {expected}; got {one_line(json.dumps(value, default=str), 80)}")


@attrs.frozen
class Shape:
    """A type as JSON.

    Attributes:
        schema: Its JSON schema.
        load: Convert a JSON value to the type. The second argument is the path of the value, for errors.
    """

    schema: Schema
    load: Load


_ARTICLES = {"string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false"}
_FORMATS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    dt.datetime: ("date-time", dt.datetime.fromisoformat),
    dt.date: ("date", dt.date.fromisoformat),
    dt.time: ("time", dt.time.fromisoformat),
    uuid.UUID: ("uuid", uuid.UUID),
}
_ARRAYS: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    set: set,
    tuple: tuple,
    frozenset: frozenset,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Iterable: list,
    abc.Collection: list,
    abc.Set: set,
    abc.MutableSet: set,
}
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_UNTYPED = (Any, object, inspect.Parameter.empty)
_SUPPORTED = (
    "use str, int, float, bool, None, Literal, Enum, list, tuple, dict[str, ...], unions of them, a dataclass, an "
    "attrs class, a TypedDict or a pydantic model"
)


def shape_of(kind: Any) -> Shape:
    """Return the shape of a type.

    Raises:
        IndescribableTypeError: The type, or a part of it, has no JSON schema.
    """
    builder = _Builder()
    shape = builder.shape(kind)
    return Shape({**shape.schema, "$defs": builder.definitions}, shape.load) if builder.definitions else shape


class _Builder:
    """Builds the shape of one type.

    Attributes:
        definitions: The schemas that others refer to: classes that contain themselves.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._open: list[Any] = []
        self._recursive: set[Any] = set()
        self._made: dict[Any, Shape] = {}

    def shape(self, kind: Any) -> Shape:
        """Return the shape of a type or a part of one."""
        kind = _resolved(kind)
        if typing.get_origin(kind) is Annotated:
            inner, *notes = typing.get_args(kind)
            shape, note = self.shape(inner), _note(notes)
            return Shape({**shape.schema, "description": note}, shape.load) if note else shape
        if kind in _UNTYPED:
            return Shape({}, lambda value, path: value)
        found = self._generic(typing.get_origin(kind) or kind, typing.get_args(kind))
        if found is None and isinstance(kind, type):
            found = self._named(kind)
        if found is None:
            raise IndescribableTypeError(f"{_name(kind)} has no JSON schema; {_SUPPORTED}")
        return found

    def _generic(self, origin: Any, arguments: tuple[Any, ...]) -> Shape | None:
        """Return the shape of a type that has others as its parts; `None` if it is none."""
        if origin is Literal:
            return _choice("Literal", {value: value for value in arguments})
        if origin in (Union, types.UnionType):
            return self._union([self.shape(one) for one in arguments])
        if origin in _MAPPINGS:
            return self._mapping(arguments)
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return self._tuple([self.shape(one) for one in arguments])
        if origin in _ARRAYS:
            return _array(self.shape(arguments[0] if arguments else Any), _ARRAYS[origin])
        return None

    def _named(self, kind: type[Any]) -> Shape:
        if kind in _PLAIN:
            return _plain(kind)
        if kind in _FORMATS:
            return _formatted(*_FORMATS[kind])
        if issubclass(kind, Enum):
            return _choice(kind, {member.value: member for member in kind})
        if hasattr(kind, "model_json_schema") and hasattr(kind, "model_validate"):
            return self._pydantic(kind)
        if attrs.has(kind) or dataclasses.is_dataclass(kind) or _is_typed_dict(kind):
            return self._object(kind)
        raise IndescribableTypeError(f"{_name(kind)} has no JSON schema; {_SUPPORTED}")

    def _union(self, members: list[Shape]) -> Shape:
        def load(value: Any, path: str) -> Any:
            problems = []
            for member in members:
                try:
                    return member.load(value, path)
                except MisfitError as error:
                    problems.append(error)
            # The member that got furthest into the value explains best what is wrong.
            raise max(problems, key=lambda problem: str(problem).partition(" must be ")[0].count("."))

        return Shape({"anyOf": [member.schema for member in members]}, load)

    def _tuple(self, members: list[Shape]) -> Shape:
        schemas = [member.schema for member in members]
        distinct = [schema for at, schema in enumerate(schemas) if schema not in schemas[:at]]
        # Not `prefixItems`, which several providers refuse.
        items = {"items": distinct[0] if len(distinct) == 1 else {"anyOf": distinct}} if distinct else {}
        size = len(members)

        def load(value: Any, path: str) -> Any:
            if not isinstance(value, list) or len(value) != size:
                raise MisfitError(path, f"an array of {size} items", value)
            return tuple(
                member.load(one, f"{path}[{at}]") for at, (member, one) in enumerate(zip(members, value, strict=True))
            )

        return Shape({"type": "array", **items, "minItems": size, "maxItems": size}, load)

    def _mapping(self, arguments: tuple[Any, ...]) -> Shape:
        key, value = arguments or (str, Any)
        if key not in (str, Any):
            raise IndescribableTypeError(f"the keys of a JSON object are strings; use dict[str, ...], not {_name(key)}")
        inner = self.shape(value)

        def load(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise MisfitError(path, "an object", value)
            return {name: inner.load(one, f"{path}.{name}") for name, one in value.items()}

        return Shape({"type": "object", "additionalProperties": inner.schema or True}, load)

    def _pydantic(self, kind: Any) -> Shape:
        try:
            schema = kind.model_json_schema()
        except Exception as error:  # pydantic has several, and imports nothing here
            raise IndescribableTypeError(f"pydantic has no JSON schema for {_name(kind)}: {one_line(error)}") from error
        for name, definition in schema.pop("$defs", {}).items():
            self._define(name, definition)

        def load(value: Any, path: str) -> Any:
            try:
                return kind.model_validate(value)
            except Exception as error:  # a ValidationError of pydantic, or what a validator raises
                details: Any = error
                problems: Any = details.errors(include_url=False) if hasattr(error, "errors") else []
                first: dict[str, Any] = problems[0] if problems else {"loc": (), "msg": str(error)}
                place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
                raise MisfitError(path + place, f"valid ({first['msg']})", first.get("input", value)) from error

        return Shape(schema, load)

    def _object(self, kind: type[Any]) -> Shape:
        if kind in self._open:
            self._recursive.add(kind)

            def load(value: Any, path: str) -> Any:
                return self._made[kind].load(value, path)

            return Shape({"$ref": f"#/$defs/{kind.__name__}"}, load)
        self._open.append(kind)
        try:
            shape = self._made[kind] = self._fields(kind)
        finally:
            self._open.pop()
        if kind not in self._recursive:
            return shape
        self._define(kind.__name__, shape.schema)
        return Shape({"$ref": f"#/$defs/{kind.__name__}"}, shape.load)

    def _define(self, name: str, schema: Schema) -> None:
        if self.definitions.setdefault(name, schema) != schema:
            raise IndescribableTypeError(f"there are two different classes with the name {name}; rename one")

    def _fields(self, kind: Any) -> Shape:
        try:
            hints = typing.get_type_hints(kind, include_extras=True)
        except Exception as error:  # a NameError, or whatever evaluating an annotation raises
            raise IndescribableTypeError(
                f"the annotations of {_name(kind)} cannot be read: {one_line(error)}"
            ) from error
        summary, notes = parse_docstring(kind.__doc__)
        if summary.startswith(f"{_name(kind)}("):
            summary = ""  # written by `dataclass`
        shapes: dict[str, Shape] = {}
        required = set()
        for name, annotation, needed in _declared(kind, hints):
            try:
                shape = self.shape(annotation)
            except IndescribableTypeError as error:
                raise IndescribableTypeError(f"{kind.__name__}.{name}: {error}") from error
            if (note := notes.get(name)) and "description" not in shape.schema:
                shape = Shape({**shape.schema, "description": note}, shape.load)
            shapes[name] = shape
            if needed:
                required.add(name)
        schema = object_schema({name: shape.schema for name, shape in shapes.items()}, required)
        if summary:
            schema["description"] = summary

        def load(value: Any, path: str) -> Any:
            values = load_fields(shapes, required, value, path)
            if attrs.has(kind):
                values = {str(attrs.fields_dict(kind)[name].alias): one for name, one in values.items()}
            try:
                return kind(**values)
            except Exception as error:  # its own validators may raise anything, such as an AssertionError
                raise MisfitError(path, f"a valid {kind.__name__} ({one_line(error, 200)})", value) from error

        return Shape(schema, load)


def object_schema(properties: Mapping[str, Schema], required: abc.Set[str]) -> Schema:
    """Return the schema of an object."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name in required],
        "additionalProperties": False,
    }


def load_fields(shapes: Mapping[str, Shape], required: abc.Set[str], value: Any, path: str) -> dict[str, Any]:
    """Convert the fields of a JSON object.

    Raises:
        MisfitError: It is no object, a required field is missing, or one does not fit. Unknown fields are ignored.
    """
    if not isinstance(value, dict):
        raise MisfitError(path, "an object", value)
    for name in shapes:
        if name in required and name not in value:
            raise MisfitError(path, f"an object with {name!r}", value)
    return {name: shape.load(value[name], f"{path}.{name}") for name, shape in shapes.items() if name in value}


def _declared(kind: Any, hints: Mapping[str, Any]) -> Iterable[tuple[str, Any, bool]]:
    """Yield name, annotation and whether it is required, of each field of a class."""
    if attrs.has(kind):
        for field in attrs.fields(kind):
            if field.init:
                yield field.name, hints.get(field.name, Any), field.default is attrs.NOTHING
    elif dataclasses.is_dataclass(kind):
        for one in dataclasses.fields(kind):
            if one.init:
                missing = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
                yield one.name, hints[one.name], missing
    else:
        for name, hint in hints.items():
            needed = name in kind.__required_keys__
            # Under `from __future__ import annotations`, `__required_keys__` does not know NotRequired.
            inner = hint
            while _qualifier(inner) in ("Required", "NotRequired", "ReadOnly"):
                needed = {"Required": True, "NotRequired": False}.get(_qualifier(inner), needed)
                inner = typing.get_args(inner)[0]
            yield name, inner, needed


def _qualifier(hint: Any) -> str:
    return str(getattr(typing.get_origin(hint), "_name", None) or getattr(typing.get_origin(hint), "__name__", ""))


def _is_typed_dict(kind: type[Any]) -> bool:
    return issubclass(kind, dict) and hasattr(kind, "__required_keys__")


_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _plain(kind: type[Any]) -> Shape:
    name = _PLAIN[kind]

    def load(value: Any, path: str) -> Any:
        accepted = isinstance(value, (int, float) if kind is float else kind)
        if not accepted or (isinstance(value, bool) and kind is not bool):
            raise MisfitError(path, _ARTICLES.get(name, name), value)
        # Python reads NaN and Infinity, which are no JSON, and numbers of any size.
        if kind is float and not abs(value) <= sys.float_info.max:
            raise MisfitError(path, "a finite number", value)
        return float(value) if kind is float else value

    return Shape({"type": name}, load)


def _formatted(name: str, parse: Callable[[str], Any]) -> Shape:
    def load(value: Any, path: str) -> Any:
        try:
            return parse(value)
        except (TypeError, ValueError, AttributeError) as error:
            raise MisfitError(path, f"a string of format {name}", value) from error

    return Shape({"type": "string", "format": name}, load)


def _choice(kind: Any, values: Mapping[Any, Any]) -> Shape:
    """Return the shape of a literal or an enumeration: JSON values, and what they become."""
    if not values or not all(value is None or type(value) in (str, int, float, bool) for value in values):
        raise IndescribableTypeError(f"the values of {_name(kind)} must be strings, numbers or booleans")
    allowed = list(values)
    types_ = {_PLAIN[type(value)] for value in allowed}

    def load(value: Any, path: str) -> Any:
        for one in allowed:
            if one == value and isinstance(one, bool) == isinstance(value, bool):
                return values[one]
        raise MisfitError(path, f"one of {', '.join(map(json.dumps, allowed))}", value)

    return Shape({**({"type": types_.pop()} if len(types_) == 1 else {}), "enum": allowed}, load)


def _array(item: Shape, make: Callable[[Iterable[Any]], Any]) -> Shape:
    def load(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise MisfitError(path, "an array", value)
        try:
            return make([item.load(one, f"{path}[{at}]") for at, one in enumerate(value)])
        except TypeError as error:  # a set of what cannot be hashed
            raise MisfitError(path, f"an array for a {make.__name__}", value) from error

    return Shape({"type": "array", "items": item.schema}, load)


def _resolved(kind: Any) -> Any:
    """Return what a name for a type stands for: `None`, a NewType, a `type` statement."""
    while hasattr(kind, "__supertype__") or type(kind).__name__ == "TypeAliasType":
        kind = kind.__supertype__ if hasattr(kind, "__supertype__") else kind.__value__
    return type(None) if kind is None else kind


def _note(metadata: Iterable[Any]) -> str:
    for one in metadata:
        for found in (one, getattr(one, "documentation", None), getattr(one, "description", None)):
            if isinstance(found, str):
                return found
    return ""


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).removeprefix("typing.")


def strict_schema(schema: Schema) -> tuple[Schema, bool]:
    """Return a schema for answers, and whether a model can be held to it strictly.

    In strict mode, providers want every property required and no others allowed. A type with values that can be
    anything, or with keys of the model's choice, cannot be expressed so.
    """
    strict = True

    def visit(part: Any) -> Any:
        nonlocal strict
        if isinstance(part, list):
            return [visit(one) for one in part]
        if not isinstance(part, dict):
            return part
        if not part or (part.get("type") == "object" and part.get("additionalProperties", True) is not False
                        and "properties" not in part):  # fmt: skip
            strict = False
        made = {
            name: visit(one) for name, one in part.items() if name not in ("properties", "$defs", "enum", "default")
        }
        for name in ("properties", "$defs"):
            if isinstance(part.get(name), dict):  # its keys are names, not keywords
                made[name] = {key: visit(one) for key, one in part[name].items()}
        if "enum" in part:
            made["enum"] = part["enum"]
        if "properties" in made:
            made["required"] = list(made["properties"])
            made["additionalProperties"] = False
        return made

    return visit(schema), strict


_SECTION = re.compile(r"[A-Z][A-Za-z ]*:\s*")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


def parse_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return the text before the sections of a docstring in Google style, and the words about each parameter."""
    lines = inspect.cleandoc(text or "").splitlines()
    start = next((at for at, line in enumerate(lines) if _SECTION.fullmatch(line)), len(lines))
    notes: dict[str, list[str]] = {}
    wanted, indent, current = False, 0, None
    for line in lines[start:]:
        depth = len(line) - len(line.lstrip())
        if not depth and line.strip():
            wanted, indent, current = line.strip() in ("Args:", "Arguments:", "Parameters:", "Attributes:"), 0, None
        elif wanted and line.strip():
            indent = indent or depth
            entry = _ENTRY.fullmatch(line.strip()) if depth == indent else None
            if entry is not None:
                current = notes.setdefault(entry[1], [entry[2]])
            elif current is not None:
                current.append(line.strip())
    return "\n".join(lines[:start]).strip(), {name: " ".join(filter(None, parts)) for name, parts in notes.items()}


def dump_json(value: Any) -> str:
    """Return a value as JSON; what has no JSON form as its `str`.

    Raises:
        ValueError: The value contains itself.
        TypeError: The key of a mapping is neither a string nor a number.
    """
    return json.dumps(value, default=_jsonable, ensure_ascii=False)


def _jsonable(value: Any) -> Any:
    made: Any = str(value)
    if hasattr(value, "model_dump"):
        made = value.model_dump(mode="json")
    elif isinstance(getattr(value, "raw", None), Mapping):
        made = dict(value.raw)  # a result of this package
    elif attrs.has(type(value)):
        made = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, Enum):
        made = value.value
    elif isinstance(value, Mapping):
        made = dict(value)
    elif isinstance(value, (abc.Set, abc.KeysView, abc.ValuesView)):
        made = list(value)
    elif isinstance(value, (dt.datetime, dt.date, dt.time)):
        made = value.isoformat()
    return made
