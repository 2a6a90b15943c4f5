"""Schemas by which pydantic validates calls of operations. pydantic is imported only when it asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["InstancesOf", "ValidatedAsInstance"]


class ValidatedAsInstance:
    """A class that pydantic accepts instances of, unchanged. JSON schemas leave it out: a `dict` does as well."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Mapping[str, Any]:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> NoReturn:
        from pydantic_core import PydanticOmit

        raise PydanticOmit


class InstancesOf:
    """An annotation of a union that pydantic has no schema for: instances pass unchanged, and JSON has a string.

    Args:
        name: The name of the union in errors.
        classes: Its members.
    """

    def __init__(self, name: str, *classes: type) -> None:
        self._name = name
        self._classes = classes

    def __repr__(self) -> str:
        return self._name

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Mapping[str, Any]:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return {"type": "string"}

    def _check(self, value: object) -> object:
        if not isinstance(value, self._classes):
            raise ValueError(f"{self._name} expected, not {type(value).__name__}")  # noqa: TRY004 - as pydantic wants it
        return value
