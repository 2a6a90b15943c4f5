"""The one table of operations, and what makes each of them a method in three forms.

Each operation is declared once, by its request class. `operation` is a descriptor: on `Runware` it is a blocking
method, on `AsyncRunware` an asyncio one, and on `rw.submit` one that returns a `Job` at once. All three have the
signature of the request class.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, Generic, ParamSpec, TypeVar, overload

import attrs

from runware.jobs import Job
from runware.tasks.base import Task
from runware.tasks.image import ImageInference

__all__ = ["AsyncFace", "BlockingFace", "JobFace", "Operations", "operation"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class BlockingFace(ABC):
    """A face whose operations wait for the result."""

    @abstractmethod
    def run(self, task: Task[R]) -> R:
        """Run one task and wait for its result."""


class AsyncFace(ABC):
    """A face whose operations are coroutines."""

    @abstractmethod
    async def run(self, task: Task[R]) -> R:
        """Run one task and wait for its result in the running event loop."""


class JobFace(ABC):
    """A face whose operations return a job at once."""

    @abstractmethod
    def run(self, task: Task[R]) -> Job[R]:
        """Start one task."""


class operation(Generic[P, R_co]):  # noqa: N801 - it reads as a decorator does
    """One operation of the table.

    Args:
        request: The request class; its parameters are the operation's.
    """

    def __init__(self, request: Callable[P, Task[R_co]]) -> None:
        self.request = request
        self._name = ""

    @overload
    def __get__(self, face: None, owner: type[Any]) -> operation[P, R_co]: ...
    @overload
    def __get__(self, face: BlockingFace, owner: type[Any]) -> Callable[P, R_co]: ...
    @overload
    def __get__(self, face: AsyncFace, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, R_co]]: ...
    @overload
    def __get__(self, face: JobFace, owner: type[Any]) -> Callable[P, Job[R_co]]: ...
    def __get__(self, face: Any, owner: type[Any]) -> Any:
        if face is None:
            return self
        request = self.request

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return face.run(request(*args, **kwargs))

        call.__name__ = self._name
        call.__qualname__ = f"{owner.__name__}.{self._name}"
        call.__doc__ = document(request)
        call.__signature__ = signature(request)  # type: ignore[attr-defined]
        return call

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = self._name or name  # an alias is the same operation


@cache
def signature(request: Any) -> inspect.Signature:
    """Give the parameters of a request class, its own before those that all have."""
    parameters = inspect.signature(request).parameters
    own = [field.name for field in attrs.fields(request) if not field.inherited]
    rest = [name for name in parameters if name not in own]
    return inspect.Signature([parameters[name] for name in [*own, *rest]])


@cache
def document(request: Any) -> str:
    """Give the documentation of a request class, with that of the parameters it inherits."""
    text = inspect.getdoc(request) or ""
    own = parameters(request)
    inherited = [name for name in signature(request).parameters if f"\n    {name}: " not in text]
    return "\n".join([text, *(f"    {name}: {own.get(name, '')}" for name in inherited)])


@cache
def parameters(request: Any) -> dict[str, str]:
    """Read what the docstrings of a request class and its bases say of each parameter."""
    found: dict[str, str] = {}
    for cls in reversed(request.__mro__):
        section = inspect.cleandoc(cls.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
        name = ""
        for line in section.splitlines():
            if line[4:5].strip():
                name, _, words = line.strip().partition(": ")
                found[name] = words
            else:
                found[name] += " " + line.strip()
    return found


class Operations:
    """Every operation, once, under the wire's name for it; and the JavaScript library's names beside them."""

    image_inference = operation(ImageInference)
    request_images = image_inference
