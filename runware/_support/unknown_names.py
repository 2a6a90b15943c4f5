"""Errors for parameters or options that are unknown, missing, or passed by position."""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["folded", "misnamed", "unknown_name_error"]


def folded(name: str) -> str:
    """Return a name without underscores in lower case, so that Python and API spellings compare equal."""
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


misnamed = unknown_name_error  # the former name, until its last users are changed


def _suggestion(name: str, names: Collection[str]) -> str:
    from difflib import get_close_matches  # imported here, since correct calls never need it

    form = folded(name)
    by_form = {folded(known): known for known in names}
    near = get_close_matches(form, by_form, 1) or [known for known in by_form if len(form) > 3 and form in known]
    if near:
        return f"; did you mean {by_form[near[0]]!r}?"
    return ". Pass API parameters without a Python name in extra={...}." if "extra" in names else "."
