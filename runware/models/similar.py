"""Find the known models whose names are similar to an unknown one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    import difflib
else:
    difflib = lazy_module("difflib")

__all__ = ["similar_models"]

_WORD = re.compile(r"[a-z]+|\d+")
_LONGEST = 100
"""Longer names are cut: the time to compare grows with their square."""
_SHORTEST_START = 3
_CUTOFF = 0.85
_VAGUE = 8
"""A name that fits more models than this, such as `flux`, is too general to suggest any."""


def similar_models(wanted: str, known: Sequence[Sequence[str | None]], count: int = 3) -> list[int]:
    """Return the positions of the models that a name may have meant, the most likely first; empty if none is near.

    Numbers in names are not compared by their letters: `klingai:5@9` is another model than `klingai:6@0`.

    Args:
        wanted: The unknown name: an AIR, a slug, or words.
        known: The AIR, the slug and the name of each model.
        count: The most positions to return.
    """
    # Without the owner that names of other services have: `black-forest-labs/flux-dev`.
    text = wanted.lower()[:_LONGEST].rpartition("/")[2]
    found = [*_same_words(text, known), *_same_id(text, known), *_misspelt(text, known)]
    return list(dict.fromkeys(found))[:count]


def _same_id(wanted: str, known: Sequence[Sequence[str | None]]) -> Iterator[int]:
    """Yield the models whose AIR differs in its version only."""
    begin = wanted.partition("@")[0] + "@"
    if ":" in begin:
        same = [number for number, (air, *_) in enumerate(known) if air and air.lower().startswith(begin)]
        yield from sorted(same, key=lambda number: -_likeness(wanted, str(known[number][0]).lower()))


def _same_words(wanted: str, known: Sequence[Sequence[str | None]]) -> Iterator[int]:
    """Yield the models whose slug or name has all words, first those with the fewest other words."""
    words = set(_WORD.findall(wanted.partition(":")[2] or wanted))
    if not any(map(str.isalpha, words)):
        return  # an AIR with a number as its ID
    found: dict[int, int] = {}
    for number, (_, *names) in enumerate(known):
        for name in filter(None, names):
            others = _WORD.findall(name.lower())
            if all(word in others or _starts_one(word, others) for word in words):
                found[number] = min(len(others), found.get(number, len(others)))
    if len(found) <= _VAGUE:
        yield from sorted(found, key=found.__getitem__)


def _starts_one(word: str, others: list[str]) -> bool:
    return len(word) >= _SHORTEST_START and any(other.startswith(word) for other in others)


def _misspelt(wanted: str, known: Sequence[Sequence[str | None]]) -> Iterator[int]:
    """Yield the models with a name that has nearly the same letters, and the same numbers."""
    numbers = _numbers(wanted)
    near = [
        (-likeness, number)
        for number, names in enumerate(known)
        for name in filter(None, names)
        if _numbers(name) == numbers and (likeness := _likeness(wanted, name.lower())) >= _CUTOFF
    ]
    yield from (number for _, number in sorted(near))


def _numbers(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
