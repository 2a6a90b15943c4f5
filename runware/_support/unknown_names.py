"""Errors for parameters or options that are unknown, missing, or passed by position."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from runware._support.api_names import python_name
from runware._support.lazy_modules import lazy_module
from runware._support.synonyms import SYNONYMS
from runware.errors import UsageError

if TYPE_CHECKING:
    import difflib
else:
    difflib = lazy_module("difflib")

__all__ = ["fold_name", "unknown_name_error"]


def fold_name(name: str) -> str:
    """Return a common form of Python and API names: `positive_prompt` and `positivePrompt` become equal."""
    return name.replace("_", "").lower()


def unknown_name_error(
    what: str, names: Collection[str], given: Iterable[str], needed: Iterable[str] = ()
) -> UsageError | None:
    """Return the error for the first unknown name, or else for the first missing one; `None` if there is neither.

    Args:
        what: Name of the class or function.
        names: Names it accepts.
        given: Names that were given.
        needed: Names that are required.
    """
    given = list(given)
    for name in given:
        if name not in names:
            return UsageError(f"{what} has no parameter {name!r}{_suggestion(name, names)}", parameter=name)
    for name in needed:
        if name not in given:
            return UsageError(f"{what} requires the parameter {name!r}.", parameter=name)
    return None


def _suggestion(name: str, names: Collection[str]) -> str:
    form = fold_name(name)
    by_form = {fold_name(known): known for known in names}
    meant = _meant(form, by_form)
    if meant is None:
        near = difflib.get_close_matches(form, by_form, 1, cutoff=0.75) or [
            known for known in by_form if len(form) > 3 and form in known
        ]
        meant = by_form[near[0]] if near else None
    if meant is not None:
        return f"; did you mean {meant!r}?"
    return ". Pass API parameters without a Python name in extra={...}." if "extra" in names else "."


def _meant(form: str, by_form: Mapping[str, str]) -> str | None:
    """Return what a name of another library or vendor stands for; `None` if that is not known."""
    if form in by_form:
        return by_form[form]
    for path in SYNONYMS.get(form, ()):
        outer, _, inner = path.partition(".")
        if (known := by_form.get(fold_name(outer))) is not None:
            return f"{known}={{{python_name(inner)!r}: ...}}" if inner else known
    return None
