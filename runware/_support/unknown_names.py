"""Errors for parameters or options that are unknown, missing, or passed by position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runware._support.api_names import python_name
from runware._support.lazy_modules import lazy_module
from runware._support.synonyms import ADVICE, SYNONYMS
from runware.errors import UsageError

if TYPE_CHECKING:
    import difflib
    from types import FunctionType
else:
    difflib = lazy_module("difflib")

__all__ = ["fold_name", "names_checked", "near_name", "unknown_name_error"]

F = TypeVar("F", bound="Callable[..., Any]")

_NAMED = 5
"""How many unknown names an error speaks of."""


def fold_name(name: str) -> str:
    """Return a common form of Python and API names: `positive_prompt` and `positivePrompt` become equal."""
    return name.replace("_", "").lower()


def unknown_name_error(
    what: str, names: Collection[str], given: Iterable[str], needed: Iterable[str] = ()
) -> UsageError | None:
    """Return the error for the unknown names, or else for the first missing one; `None` if there is neither.

    Args:
        what: Name of the class or function.
        names: Names it accepts.
        given: Names that were given.
        needed: Names that are required.
    """
    given = list(given)
    if unknown := [name for name in given if name not in names]:
        sentences = [
            f"{f'{what} has no parameter {name!r}' if not number else f'Nor has it {name!r}'}{_suggestion(name, names)}"
            for number, name in enumerate(unknown[:_NAMED])
        ]
        if "extra" in names and not all(sentence.endswith("?") or ": " in sentence for sentence in sentences):
            sentences.append("Pass API parameters without a Python name in extra={...}.")
        return UsageError(" ".join(sentences), parameter=unknown[0])
    for name in needed:
        if name not in given:
            return UsageError(f"{what} requires the parameter {name!r}.", parameter=name)
    return None


def names_checked(method: F) -> F:
    """Wrap a method so that an unknown keyword, or one without its name, is an error of the client's own."""
    code = cast("FunctionType", method).__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    by_position = code.co_argcount - 1

    @wraps(method)
    def checked(self: Any, /, *args: Any, **given: Any) -> Any:
        if not given.keys() <= set(names) and (error := unknown_name_error(f"{method.__name__}()", names, given)):
            raise error
        if len(args) > by_position:
            raise UsageError(f"{method.__name__}() takes its parameters by name: {', '.join(names[by_position:])}.")
        return method(self, *args, **given)

    return cast("F", checked)


def near_name(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was meant by one that is written differently or nearly the same; `None` if there is none."""
    by_form = {fold_name(known): known for known in names}
    form = fold_name(name)
    near = [form] if form in by_form else difflib.get_close_matches(form, by_form, 1, cutoff=0.8)
    return by_form[near[0]] if near else None


def _suggestion(name: str, names: Collection[str]) -> str:
    form = fold_name(name)
    by_form = {fold_name(known): known for known in names}
    if form not in by_form:
        for known, advice in ADVICE.get(form, ()):
            if not known or fold_name(known) in by_form:
                return f": {advice}."
    meant = _meant(form, by_form)
    if meant is None:
        # Short names are like too many others: `eta` is no `extra`.
        near = difflib.get_close_matches(form, by_form, 1, cutoff=0.76) or [
            known for known in by_form if len(form) > 3 and form in known
        ]
        meant = by_form[near[0]] if near else None
    return "." if meant is None else f"; did you mean {meant!r}?"


def _meant(form: str, by_form: Mapping[str, str]) -> str | None:
    """Return what a name of another library or vendor stands for; `None` if that is not known."""
    if form in by_form:
        return by_form[form]
    for path in SYNONYMS.get(form, ()):
        outer, _, inner = path.partition(".")
        if (known := by_form.get(fold_name(outer))) is not None:
            return f"{known}={{{python_name(inner)!r}: ...}}" if inner else known
    return None
