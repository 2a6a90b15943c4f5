"""Signatures and documentation of operations, read from the request classes at first use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from runware.media import Media

__all__ = ["answer_of", "document", "fields", "parameters", "signature", "spell"]


class _Spelled(str):
    """An annotation as written in the source; its `repr` has no quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


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
            filter(lambda field: field.init, attrs.fields(request)),
            key=lambda field: (home[field.name], field.default is not attrs.NOTHING),
        )
    )


@cache
def signature(request: Any, gives: str = "{}") -> inspect.Signature:
    """Return the signature of an operation.

    Args:
        request: The request class.
        gives: Template of the return annotation; `{}` stands for the answer's type.
    """
    hints = get_type_hints(request)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is attrs.NOTHING else field.default,
            annotation=_Spelled(spell(hints[field.name])),
        )
        for field in fields(request)
    ]
    answer = gives.format(spell(answer_of(request)))
    return inspect.Signature(parameters, return_annotation=_Spelled(answer))


def answer_of(request: Any) -> Any:
    """Return the type a request class is answered with: the argument of `Task[...]`."""
    for base in request.__orig_bases__:
        for argument in get_args(base):
            return argument
    raise AssertionError(f"{request} does not declare its answer, as in Task[...]")


def spell(annotation: Any) -> str:
    """Return an annotation as written in the source."""
    if annotation is NoneType:
        return "None"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        if set(arguments) >= _MEDIA:
            return " | ".join(["Media", *(spell(one) for one in arguments if one not in _MEDIA)])
        return " | ".join(map(spell, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is Callable:
        return "Callable[[Partial, RunwareError | None], object]"
    name = str(getattr(origin or annotation, "__name__", annotation))
    return f"{name}[{', '.join(map(spell, arguments))}]" if arguments else name


_MEDIA = frozenset(get_args(Media))


@cache
def document(request: Any) -> str:
    """Return the documentation of a request class, inherited parameters included."""
    head = (inspect.getdoc(request) or "").partition("\nArgs:\n")[0].rstrip()
    words = parameters(request)
    lines = (f"    {field.name}: {words.get(field.name, '')}" for field in fields(request))
    return "\n".join([head, "", "Args:", *lines])


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
