"""What is said of a parameter or an option that is misspelt, left out, or given by position."""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["folded", "misnamed"]


def folded(name: str) -> str:
    """Make names of Python and of the wire the same: `positive_prompt` and `positivePrompt`."""
    return name.replace("_", "").lower()


def misnamed(what: str, names: Collection[str], given: Iterable[str], needed: Iterable[str] = ()) -> TypeError | None:
    """Make the error for the first name that is unknown, or else for the first that is missing, if there is one.

    Args:
        what: Whose names they are.
        names: Those that it has.
        given: Those that it got.
        needed: Those that it must get.
    """
    given = list(given)
    for name in given:
        if name not in names:
            return TypeError(f"{what} has no parameter {name!r}{_suggestion(name, names)}")
    for name in needed:
        if name not in given:
            return TypeError(f"{what} needs the parameter {name!r}.")
    return None


def _suggestion(name: str, names: Collection[str]) -> str:
    from difflib import get_close_matches  # here, because it takes time that no right call needs

    form = folded(name)
    by_form = {folded(known): known for known in names}
    near = get_close_matches(form, by_form, 1) or [known for known in by_form if len(form) > 3 and form in known]
    if near:
        return f"; did you mean {by_form[near[0]]!r}?"
    return ". What only the wire has goes into extra={...}." if "extra" in names else "."
