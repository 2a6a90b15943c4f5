"""Operations of a user's own, for tasks that have no method here."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cached_property
from inspect import Parameter
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from runware._support.import_lock import loading
from runware._support.lazy_modules import lazy_module
from runware.operations.asynchronous import AsyncOperations
from runware.operations.blocking import BlockingOperations
from runware.operations.jobs import JobOperations

if TYPE_CHECKING:
    from runware.jobs import Job
    from runware.requests import signatures
    from runware.requests.base import Task
else:
    signatures = lazy_module("runware.requests.signatures")

__all__ = ["operation"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class operation(Generic[P, R_co]):  # noqa: N801 - it reads as a decorator does
    """An operation that a subclass of a client adds: `masks = operation(lambda: Masks)`.

    Args:
        load: Returns the request class, whose parameters are the operation's. It is called at the first use.
    """

    def __init__(self, load: Callable[[], Callable[P, Task[R_co]]]) -> None:
        self._load = load
        self._name = ""
        self._qualname = ""

    def __repr__(self) -> str:
        return f"<operation {self._name}>"

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if not self._name:  # an alias is the same operation
            self._name = name
            self._qualname = f"{owner.__qualname__}.{name}"

    @overload
    def __call__(self, client: BlockingOperations, /, *args: P.args, **given: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, client: AsyncOperations, /, *args: P.args, **given: P.kwargs) -> Coroutine[Any, Any, R_co]: ...
    @overload
    def __call__(self, client: JobOperations, /, *args: P.args, **given: P.kwargs) -> Job[R_co]: ...
    def __call__(self, client: Any, /, *args: P.args, **given: P.kwargs) -> Any:
        """Call it as an unbound method: `Mine.masks(rw, ...)` is `rw.masks(...)`."""
        return self.__get__(client, type(client))(*args, **given)

    @cached_property
    def request(self) -> Callable[P, Task[R_co]]:
        """The request class."""
        with loading:  # *load* usually imports the class
            return self._load()

    @overload
    def __get__(self, client: None, owner: type[Any]) -> operation[P, R_co]: ...
    @overload
    def __get__(self, client: BlockingOperations, owner: type[Any]) -> Callable[P, R_co]: ...
    @overload
    def __get__(self, client: AsyncOperations, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, R_co]]: ...
    @overload
    def __get__(self, client: JobOperations, owner: type[Any]) -> Callable[P, Job[R_co]]: ...
    def __get__(self, client: Any, owner: type[Any]) -> Any:
        if client is None:
            return self
        # Bound anew at each use: an object that kept its bound method would be a cycle.
        return MethodType(self._coroutine_method if isinstance(client, AsyncOperations) else self._method, client)

    @cached_property
    def _method(self) -> Callable[..., Any]:
        request = self.request

        def method(client: Any, /, *args: P.args, **given: P.kwargs) -> Any:
            return client.run(request(*args, **given))

        return self._described(method)

    @cached_property
    def _coroutine_method(self) -> Callable[..., Any]:
        request = self.request

        async def method(client: Any, /, *args: P.args, **given: P.kwargs) -> Any:
            return await client.run(request(*args, **given))

        return self._described(method)

    def _described(self, method: Any) -> Callable[..., Any]:
        method.__name__ = self._name
        method.__qualname__ = self._qualname
        method.__doc__ = signatures.document(self.request)
        method.request = self.request
        shown = signatures.signature(self.request)
        client = Parameter("self", Parameter.POSITIONAL_ONLY)
        method.__signature__ = shown.replace(parameters=[client, *shown.parameters.values()])
        return cast("Callable[..., Any]", method)
