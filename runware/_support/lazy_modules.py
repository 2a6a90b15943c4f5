"""Modules that load when they are first used, so that `import runware` stays fast.

This is the client's one mechanism for lazy imports. At the top of a module:

    if TYPE_CHECKING:
        from runware.display import progress
    else:
        progress = lazy_module("runware.display.progress")

Type checkers see the module itself. At run time, the first use of an attribute imports it under the import lock, so
that a fork beside it stays safe. `load_module` imports a module at once, under the same lock.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from runware._support.import_lock import loading

__all__ = ["is_installed", "lazy_attributes", "lazy_module", "load_module"]


class _LazyModule:
    """Stands for a module until it is needed. Then it takes over the module's own `__dict__`, so that uses are fast."""

    __slots__ = ("__dict__", "_lazy_name")

    def __init__(self, name: str) -> None:
        self._lazy_name = name

    def __getattr__(self, attribute: str) -> Any:
        # Only for what is not in its `__dict__`: before the first use, and what the module's own `__getattr__` makes.
        if attribute.startswith("__"):  # tools that inspect the module around it import nothing
            raise AttributeError(f"{self!r} has no attribute {attribute!r}")
        module = load_module(self._lazy_name)
        self.__dict__ = vars(module)
        return getattr(module, attribute)

    def __repr__(self) -> str:
        return f"<lazy module {self._lazy_name!r}>"


def lazy_module(name: str) -> Any:
    """Return a stand-in for a module, which the first use of one of its attributes imports.

    Args:
        name: The full name of the module. Tests read it to check the direction of imports, so it must be a literal.

    Returns:
        An object with the module's attributes. Using one raises `ImportError` if the module cannot be imported.
    """
    return _LazyModule(name)


def lazy_attributes(package: dict[str, Any], modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package that loads each of its names at its first use.

    Args:
        package: The package's `globals()`.
        modules: The module in the package that has each name.
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        found = package[name] = getattr(load_module(f"{package['__name__']}.{modules[name]}"), name)
        return found

    return load


def is_installed(name: str) -> bool:
    """Return whether a top-level module can be found, without importing it."""
    return importlib.util.find_spec(name) is not None


def load_module(name: str) -> ModuleType:
    """Import a module under the import lock: one that is chosen at run time, or that another thread must find loaded.

    Args:
        name: The full name of the module.

    Raises:
        ImportError: The module cannot be imported.
    """
    with loading:
        return importlib.import_module(name)
