"""What the methods of the three forms do when they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from runware import requests

__all__ = ["running"]


def running(declared: Any, request: str, *, through: str = "run") -> Callable[..., Any]:
    """Return the method that a generated declaration stands for: it makes a request of what was given and runs it.

    It has the declaration's signature, type hints, docstring and kind (coroutine function or not). It does not run the
    declaration's body. Of up to 61 parameters a call gives a few, and `**given` holds just these. A body that picks
    them with one comparison for each parameter took 1.3 µs more a call (2.9 µs this way), and 1.2 KiB more for each
    call that is awaited, as its frame holds all parameters. The request class refuses wrong names and says which
    was meant, which Python itself does not before 3.13, and never for `positivePrompt`.

    Args:
        declared: The generated method.
        request: The name of its request class, loaded at the first call. The method has it as `request_name`.
        through: The method of the client that runs the request.
    """
    name = declared.__name__

    def run_of(client: Any) -> Callable[[Any], Any]:
        try:
            return cast("Callable[[Any], Any]", getattr(client, through))
        except AttributeError:
            raise TypeError(f"{name}() is a method: call it on a client, as in Runware().{name}(...).") from None

    @wraps(declared)
    def method(client: Any = None, /, *args: Any, **given: Any) -> Any:
        return run_of(client)(getattr(requests, request)(*args, **given))

    @wraps(declared)
    async def coroutine_method(client: Any = None, /, *args: Any, **given: Any) -> Any:
        result = run_of(client)(getattr(requests, request)(*args, **given))
        del args, given  # not kept while the call is in flight
        return await result

    made: Any = coroutine_method if inspect.iscoroutinefunction(declared) else method
    made.request_name = request
    return cast("Callable[..., Any]", made)
