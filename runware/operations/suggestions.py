"""Errors for misspelt, missing and positional parameters that say which name was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from runware._support.unknown_names import misnamed

__all__ = ["with_suggestions"]


def with_suggestions(method: Any, request: str) -> Callable[..., Any]:
    """Wrap a generated method so that a wrong parameter name is answered with the right one.

    Python 3.11 and 3.12 suggest no parameter names, and no version of Python knows that `positivePrompt` is
    `positive_prompt` here. The wrapper stands outside of the generated source, where editors and documentation tools
    read the plain signature; at run time it has the signature, type hints and kind (coroutine function or not) of the
    method.

    Args:
        method: The method.
        request: The name of its request class, which the error names. The wrapper has it as `request_name`.
    """
    defaults = method.__kwdefaults__
    code = method.__code__
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    needed = [name for name in names if name not in defaults]

    def explain(client: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        """Raise a better error, if it is the arguments that the method does not take."""
        if not hasattr(client, "run"):
            name = method.__name__
            raise TypeError(f"{name}() is a method: call it on a client, as in Runware().{name}(...).") from None
        error = misnamed(request, names, given, () if args else needed)
        if error is None and args:
            error = TypeError(f"{request} takes its parameters by name.")
        if error is not None:
            raise error from None

    @wraps(method)
    def call(client: Any = None, /, *args: Any, **given: Any) -> Any:
        try:
            return method(client, *args, **given)
        except (TypeError, AttributeError):
            explain(client, args, given)
            raise

    @wraps(method)
    async def call_async(client: Any = None, /, *args: Any, **given: Any) -> Any:
        try:
            coroutine = method(client, *args, **given)
        except TypeError:
            explain(client, args, given)
            raise
        del args, given  # not kept while the call is in flight
        return await coroutine

    wrapper: Any = call_async if inspect.iscoroutinefunction(method) else call
    wrapper.request_name = request
    return cast("Callable[..., Any]", wrapper)
