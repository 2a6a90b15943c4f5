"""Errors for parameters or options that are unknown, missing, or passed by position."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    import difflib

    from runware._support import synonyms
else:
    difflib = lazy_module("difflib")
    synonyms = lazy_module("runware._support.synonyms")

__all__ = ["fold_name", "unknown_name_error"]


def fold_name(name: str) -> str:
    """Return a common form of Python and API names: `positive_prompt` and `positivePrompt` become equal."""
    return name.replace("_", "").lower()


def unknown_name_error(
    what: str, names: Collection[str], given: Iterable[str], needed: Iterable[str] = ()
) -> TypeError | None:
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
            return TypeError(f"{what} has no parameter {name!r}{_suggestion(name, names)}")
    for name in needed:
        if name not in given:
            return TypeError(f"{what} requires the parameter {name!r}.")
    return None


def _suggestion(name: str, names: Collection[str]) -> str:
    form = fold_name(name)
    by_form = {fold_name(known): known for known in names}
    meant = map(fold_name, synonyms.SYNONYMS.get(form, ()))
    near = (
        [known for known in (form, *meant) if known in by_form]
        or difflib.get_close_matches(form, by_form, 1)
        or [known for known in by_form if len(form) > 3 and form in known]
    )
    if near:
        return f"; did you mean {by_form[near[0]]!r}?"
    return ". Pass API parameters without a Python name in extra={...}." if "extra" in names else "."
