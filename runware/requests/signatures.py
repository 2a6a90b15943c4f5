"""What `help()`, an editor and a notebook show of an operation: its parameters and their documentation.

It is read off the request class when an operation is first used.
"""

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
    """An annotation as it is read in the source; its `repr` has no quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


_GENERAL = ("runware.requests.base", "runware.requests.inference")


@cache
def fields(request: Any) -> tuple[attrs.Attribute[Any], ...]:
    """Give the fields of a request class in the order of interest: own and needed ones first, what many have last."""
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
    """Give the parameters of a request class, and what a face gives for it."""
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
    """Tell what a request class is answered with: the argument of `Task[...]`."""
    for base in request.__orig_bases__:
        for argument in get_args(base):
            return argument
    raise AssertionError(f"{request} does not say what it is answered with")


def spell(annotation: Any) -> str:
    """Write an annotation as it stands in the source."""
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
    """Give the documentation of a request class, with that of the parameters it inherits."""
    head = (inspect.getdoc(request) or "").partition("\nArgs:\n")[0].rstrip()
    words = parameters(request)
    lines = (f"    {field.name}: {words.get(field.name, '')}" for field in fields(request))
    return "\n".join([head, "", "Args:", *lines])


@cache
def parameters(request: Any, heading: str = "Args:") -> dict[str, str]:
    """Read what the docstrings of a class and its bases say of each parameter, or of what else has a *heading*."""
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
