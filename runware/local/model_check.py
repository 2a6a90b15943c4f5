"""Check a task against the request schema of its model, with a validator of JSON Schema."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from runware.local.model_words import (
    condition_words,
    conflict_words,
    contains_words,
    join,
    missing_words,
    named_paths,
    option_words,
    size_words,
    unknown_words,
    value_words,
)
from runware.local.validation import ApiError

__all__ = ["SchemaValidators", "create_validator"]

_LONGEST_PATTERN = 10_000
"""Longer strings are media, for which a pattern takes too long."""


class SchemaValidators:
    """Checks tasks against the schemas of their models. Each schema is compiled once."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}

    def refusals(self, record: Mapping[str, Any], task: Mapping[str, Any]) -> list[ApiError]:
        """Return an error for everything that a model does not accept.

        Args:
            record: The record of the model.
            task: The task as received.
        """
        air = record["air"]
        validator = self._compiled.get(air)
        if validator is None:
            validator = self._compiled[air] = create_validator(record["schema"])
        found = [error for one in validator.iter_errors(task) for error in _errors_of(one, validator, record["name"])]
        return list({str(error): error for error in found}.values())


def create_validator(schema: Any) -> Any:
    """Create a validator for the draft that the schema service uses, with the service's tolerances."""
    # The import takes as long as the start of the whole server, and most servers refuse nothing by a schema.
    import jsonschema.validators

    formats = jsonschema.FormatChecker(formats=())
    for name, matches in _FORMATS.items():
        formats.checks(name)(matches)
    kind = jsonschema.validators.extend(
        jsonschema.Draft202012Validator, {"multipleOf": _check_multiple, "pattern": _check_pattern}
    )
    return kind(schema, format_checker=formats)


# Keywords and formats.


def _check_multiple(validator: Any, unit: float, value: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001
    if validator.is_type(value, "number") and not _is_multiple(value, unit):
        yield _failure(f"{value} is not a multiple of {unit}")


def _is_multiple(value: float, unit: float) -> bool:
    """Return whether a number is a multiple of another one, as decimal numbers: 0.07 is one of 0.01."""
    if isinstance(value, int) and isinstance(unit, int):
        return value % unit == 0
    try:
        count = value / unit
    except OverflowError:  # an integer beyond all floats
        return False
    return math.isfinite(count) and math.isclose(count, round(count), rel_tol=1e-9, abs_tol=1e-9)


def _check_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001
    # The service's pattern of data URIs does not match the media type image/svg+xml.
    if not isinstance(value, str) or len(value) > _LONGEST_PATTERN or value.startswith("data:"):
        return
    if re.search(pattern, value) is None:
        yield _failure("the pattern does not match")


def _failure(message: str) -> Exception:
    import jsonschema.validators

    error: Exception = jsonschema.ValidationError(message)
    return error


def _is_uuid(value: object) -> bool:
    return (
        _skips_format(value) or re.fullmatch(r"[\da-fA-F]{8}(-[\da-fA-F]{4}){3}-[\da-fA-F]{12}", str(value)) is not None
    )


def _is_uri(value: object) -> bool:
    return _skips_format(value) or re.match(r"[A-Za-z][A-Za-z\d+.-]*:\S", str(value)) is not None


def _skips_format(value: object) -> bool:
    return not isinstance(value, str) or len(value) > _LONGEST_PATTERN


_FORMATS = {"uuid": _is_uuid, "uri": _is_uri}


# Errors in the API's form.


def _errors_of(error: Any, validator: Any, model: str) -> Iterator[ApiError]:
    """Yield the API's errors for one of the validator's."""
    path = ""
    for step in error.absolute_path:
        path = f"{path}[{step}]" if isinstance(step, int) else join(path, step)
    because, rule = _condition(error, validator), error.validator_value
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            for name in error.instance:
                if name not in known:
                    words = unknown_words(path, name, known, model)
                    yield ApiError("unsupportedParameter", words, join(path, name))
        case "required":
            for name in rule:
                if name not in error.instance and name != "taskUUID":
                    yield _missing(error, path, name, because, model)
        case "dependentRequired":
            for name in rule:
                for other in rule[name]:
                    if name in error.instance and other not in error.instance:
                        yield _missing(error, path, other, f" together with {name}", model)
        case "not" if isinstance(error.instance, dict):
            given = [one for one in dict.fromkeys(named_paths(rule)) if _is_given(error.instance, one)]
            paths = [join(path, one) for one in given]
            yield ApiError("incompatibleParameters", conflict_words(rule, paths, model, because), paths or None)
        case "oneOf" | "anyOf" if isinstance(error.instance, dict) and any(map(_names_parameters, rule)):
            yield _no_option(error, validator, path, because, model)
        case _:
            yield _wrong_value(error, path, model)


def _condition(error: Any, validator: Any) -> str:
    """Return the condition under which the failed rule holds, in words; empty if it always does."""
    # The path of a failed keyword has the branch (`then`, `else`), and not the condition (`if`) beside it.
    steps = [*error.absolute_schema_path][:-1]
    if not steps or steps[-1] not in ("then", "else"):
        return ""
    node = validator.schema
    for step in steps[:-1]:
        node = node[step]
    return condition_words(node["if"], met=steps[-1] == "then")


def _missing(error: Any, path: str, name: str, because: str, model: str) -> ApiError:
    properties = error.schema.get("properties", {})
    outermost = error.validator == "required" and not _in_rule(error)
    if not outermost:
        name = next(named_paths({"required": [name], "properties": properties}), name)
    schema = properties.get(name, {}) if outermost else {}
    return ApiError(
        "missingParameter",
        missing_words(join(path, name), schema, model, because),
        join(path, name),
        **_details(schema),
    )


def _in_rule(error: Any) -> bool:
    return any(step in ("allOf", "if", "then", "else") for step in error.absolute_schema_path)


def _no_option(error: Any, validator: Any, path: str, because: str, model: str) -> ApiError:
    options, value = error.validator_value, error.instance
    sizes = [_size_of(option) for option in options]
    listed = [size for size in sizes if size is not None]
    if listed and len(listed) == len(sizes):
        words = size_words(listed, value.get("width"), value.get("height"), model)
        return ApiError("invalidSize", words, ["width", "height"], type="integer")
    fitting = [option for option in options if validator.evolve(schema=option).is_valid(value)]
    named = [join(path, one) for option in options for one in named_paths(option)]
    words = option_words(options, fitting, path, model, because)
    return ApiError("incompatibleParameters" if len(fitting) > 1 else "missingParameter", words, named or None)


def _names_parameters(option: Any) -> bool:
    return next(named_paths(option), None) is not None or _size_of(option) is not None


def _size_of(option: Any) -> tuple[int, int] | None:
    sides = [option.get("properties", {}).get(side, {}).get("const") for side in ("width", "height")]
    return None if None in sides else (sides[0], sides[1])


def _is_given(value: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def _wrong_value(error: Any, path: str, model: str) -> ApiError:
    schema = error.schema
    name = re.sub(r"\[\d+\]", "", path).rpartition(".")[2]
    code = f"invalid{name[:1].upper()}{name[1:]}"
    details = {} if isinstance(schema, bool) else _details(schema)
    if error.validator == "contains":
        return ApiError(code, contains_words(path, model), path, type="array")
    return ApiError(code, value_words(schema, error.instance, path, model), path or None, **details)


def _details(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits of a parameter as fields of an error object."""
    kind = schema.get("type")
    found = {
        "type": "float" if kind == "number" else kind,
        "min": schema.get("minimum"),
        "max": schema.get("maximum"),
        "multiplier": schema.get("multipleOf"),
        "allowedValues": schema.get("enum") or ([schema["const"]] if "const" in schema else None),
    }
    return {name: value for name, value in found.items() if value is not None}
