"""Schemas by which pydantic validates calls of operations. pydantic is imported only when it asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    import pydantic_core
    from pydantic_core import core_schema
else:
    core_schema = lazy_module("pydantic_core.core_schema")
    pydantic_core = lazy_module("pydantic_core")

__all__ = ["InstancesOf", "NotInJson", "ResultSchema", "ValidatedAsInstance"]


class ValidatedAsInstance:
    """A class that pydantic accepts instances of, unchanged. JSON schemas leave it out: a `dict` does as well."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Mapping[str, Any]:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> NoReturn:
        raise pydantic_core.PydanticOmit


class ResultSchema:
    """A result class: pydantic accepts its instances unchanged, reads the API's own JSON, and writes it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Mapping[str, Any]:
        def read(value: Any) -> Any:
            if isinstance(value, cls):
                return value
            if not issubclass(cls, list):
                return _read(cls, value)
            if not isinstance(value, list):
                raise ValueError(f"{cls.__name__} or a list expected, not {type(value).__name__}")  # noqa: TRY004 - as pydantic wants it
            item = next(iter(get_args(source)), None)
            return cls(_read(item, one) for one in value)

        written = core_schema.plain_serializer_function_ser_schema(_as_json)
        return core_schema.no_info_plain_validator_function(read, serialization=written)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, Any]:
        return {"type": "array" if issubclass(cls, list) else "object"}


def _read(cls: Any, value: Any) -> Any:
    if not isinstance(cls, type) or isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{cls.__name__} or a dict expected, not {type(value).__name__}")  # noqa: TRY004 - as pydantic wants it
    return cls.from_dict(value)  # type: ignore[attr-defined]


def _as_json(result: Any) -> Any:
    return [_as_json(one) for one in result] if isinstance(result, list) else result.to_dict()


class NotInJson:
    """An annotation of callbacks, which JSON schemas leave out.

    Args:
        name: The name of the annotated type.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> NoReturn:
        raise pydantic_core.PydanticOmit


class InstancesOf:
    """An annotation of a union that pydantic has no schema for: instances pass unchanged, and JSON has a string.

    Args:
        name: The name of the union.
        classes: Its members.
    """

    def __init__(self, name: str, *classes: type) -> None:
        self.name = name
        self._classes = classes

    def __repr__(self) -> str:
        return self.name

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Mapping[str, Any]:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return {"type": "string"}

    def _check(self, value: object) -> object:
        if not isinstance(value, self._classes):
            raise ValueError(f"{self.name} expected, not {type(value).__name__}")  # noqa: TRY004 - as pydantic wants it
        return value
