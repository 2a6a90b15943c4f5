"""The parameters of request classes: their order, annotations as text, and documentation.

`tools/generate_operations.py` writes the methods from it, and `operation` describes a user's own operations with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from runware import requests

__all__ = ["all_operations", "answer_of", "document", "fields", "parameters", "signature", "spell", "summary"]


class _Spelled(str):
    """An annotation as written in the source; its `repr` has no quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def all_operations() -> dict[str, tuple[str, ...]]:
    """Return the tables of operations and streams as one; a stream stands behind the operation that it streams."""
    types = {name: getattr(requests, request).task_type for name, (request, *_) in requests.STREAMS.items()}
    found: dict[str, tuple[str, ...]] = {}
    for name, row in requests.OPERATIONS.items():
        found[name] = row
        task_type = getattr(requests, row[0]).task_type
        found |= {stream: requests.STREAMS[stream] for stream, kind in types.items() if kind == task_type}
    return found


_GENERAL = ("runware.requests.base", "runware.requests.inference")


@cache
def fields(request: Any) -> tuple[attrs.Attribute[Any], ...]:
    """Return the fields of a request class in the order of interest: its own, required ones first; shared ones last."""
    home: dict[str, int] = {}
    for depth, cls in enumerate(filter(attrs.has, request.__mro__)):
        for field in attrs.fields(cls):
            if not field.inherited:
                home.setdefault(field.name, depth if cls.__module__ in _GENERAL else -1)
    return tuple(
        sorted(
            filter(lambda field: field.init and field.name not in request.hidden, attrs.fields(request)),
            key=lambda field: (home[field.name], field.default is not attrs.NOTHING),
        )
    )


@cache
def signature(request: Any) -> inspect.Signature:
    """Return the parameters of a request class, and the result of its task."""
    hints = get_type_hints(request, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is attrs.NOTHING else field.default,
            annotation=_Spelled(spell(hints[field.name])),
        )
        for field in fields(request)
    ]
    return inspect.Signature(parameters, return_annotation=_Spelled(spell(answer_of(request))))


def answer_of(request: Any) -> Any:
    """Return the type a request class is answered with: the argument of `Task[...]`."""
    for base in request.__orig_bases__:
        for argument in get_args(base):
            return argument
    raise AssertionError(f"{request} does not declare its answer, as in Task[...]")


_NAMES: Mapping[str, str] = MappingProxyType({"Media": "Media"})


def spell(annotation: Any, names: Mapping[str, str] = _NAMES) -> str:
    """Return an annotation as written in the source.

    Args:
        annotation: The annotation, as `get_type_hints` returns it with its extras.
        names: How classes and annotated types are named, where that is not their own name or what they stand for.
    """
    if annotation is NoneType:
        return "None"
    if isinstance(annotation, list):
        return f"[{', '.join(spell(one, names) for one in annotation)}]"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " | ".join(spell(one, names) for one in arguments)
    if origin is Annotated:
        name = annotation.__metadata__[0].name
        return str(names[name]) if name in names else spell(arguments[0], names)
    if origin is Literal:
        return f"Literal[{', '.join(repr(one) for one in arguments)}]"
    name = str(getattr(origin or annotation, "__name__", annotation))
    name = names.get(name, name)
    return f"{name}[{', '.join(spell(one, names) for one in arguments)}]" if arguments else name


def summary(request: Any) -> str:
    """Return the docstring of a request class without its parameters."""
    return (inspect.getdoc(request) or "").partition("\nArgs:\n")[0].rstrip()


@cache
def document(request: Any) -> str:
    """Return the documentation of a request class, inherited parameters included."""
    words = parameters(request)
    lines = (f"    {field.name}: {words.get(field.name, '')}" for field in fields(request))
    return "\n".join([summary(request), "", "Args:", *lines])


@cache
def parameters(request: Any, heading: str = "Args:") -> dict[str, str]:
    """Return the docstring text of each parameter of a class and its bases, from the section with this *heading*."""
    found: dict[str, str] = {}
    for cls in reversed(request.__mro__):
        section = inspect.cleandoc(cls.__doc__ or "").partition(heading + "\n")[2].partition("\n\n")[0]
        name = ""
        for line in section.splitlines():
            if line[4:5].strip():
                name, _, words = line.strip().partition(": ")
                found[name] = words
            else:
                found[name] += " " + line.strip()
    return found
