"""One core for all clients of a process that have equal options, so that they share a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from runware._support.import_lock import loading
from runware.core import Core
from runware.options import Options

__all__ = ["close_shared_cores", "shared_core", "shared_core_replaced"]

_shared: dict[tuple[object, ...], Core] = {}
_replacements: list[Callable[[], Core]] = []


@contextmanager
def shared_core_replaced(find: Callable[[], Core]) -> Iterator[None]:
    """Make `shared_core` return the core that a function returns, for all options, in tests."""
    _replacements.append(find)
    try:
        yield
    finally:
        _replacements.remove(find)


def close_shared_cores(url: str) -> None:
    """Close the shared cores of one server, whose clients would otherwise outlive the test that started it.

    Args:
        url: A URL of the server.
    """
    server = urlsplit(url).netloc
    for core in list(_shared.values()):
        if urlsplit(core.options.url).netloc == server:
            core.close()


def _forget_closed_cores() -> None:
    for closed in [other for other, shared in _shared.items() if shared.closed]:
        del _shared[closed]


def shared_core(options: Options) -> Core:
    """Return the core shared by all clients of this process with equal options.

    Options that cannot be compared get a separate core, which is closed when it is garbage collected.
    """
    if _replacements:
        return _replacements[-1]()
    key = options.identity()
    if key is None:
        return Core(options)
    # Under the import lock, which is free in a forked child. A lock of its own could be taken in either order with it:
    # creating a core may import modules, and the body of a module may call `get_client`.
    with loading:
        core = _shared.get(key)
        if core is None or core.closed:
            _forget_closed_cores()
            core = _shared[key] = Core(options)
        return core
