"""The price of a task by the rates of its model, or by the price of a measured run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["TaskPrice", "task_price"]

Task = Mapping[str, Any]
Record = Mapping[str, Any]

_BLOCK = 1024 * 1024
_TIERS = re.compile(r"\b(\d+p|\d+(?:\.\d+)?K)\b")


class TaskPrice(NamedTuple):
    """The price of a task in dollars.

    Attributes:
        each: For each result.
        once: For its inputs, however many results there are.
    """

    each: float
    once: float = 0.0


def task_price(record: Record, task: Task, tokens: Mapping[str, int], *, measured: bool) -> TaskPrice | None:
    """Return the price of a task; `None` if nothing is known.

    Args:
        record: The record of its model.
        task: The task.
        tokens: The tokens that a text task reads (`promptTokens`) and writes (`completionTokens`).
        measured: Whether measured runs count where there are no rates.
    """
    rates = record.get("pricingRates") or []
    if not rates:
        price = _measured_price(record, task) if measured else None
        return None if price is None else TaskPrice(price)
    each = once = 0.0
    for unit in dict.fromkeys(rate["unit"] for rate in rates):
        charge = _charge(
            [rate for rate in rates if rate["unit"] == unit], _units(unit, record, task, tokens), record, task
        )
        if unit in ("inputImage", "inputToken"):
            once += charge
        else:
            each += charge
    return TaskPrice(each, once)


def _charge(rates: list[Record], amount: float, record: Record, task: Task) -> float:
    """Return the charge for an amount of one unit."""
    # A surcharge is for something that the service decides to do, such as a search, and that this server never does.
    rates = [rate for rate in rates if "surcharge" not in str(rate.get("label"))]
    steps = sorted((rate.get("after") or 0, rate["amount"]) for rate in rates)
    if steps and steps[-1][0]:
        ends = [start for start, _ in steps[1:]] + [math.inf]
        spans = zip(steps, ends, strict=True)
        return float(sum(max(0.0, min(amount, end) - start) * price for (start, price), end in spans))
    facts = _Facts(record, task)
    fitting = [rate for rate in rates if facts.allow(str(rate.get("label") or ""))]
    chosen = next(iter(fitting or rates), None)
    return amount * chosen["amount"] if chosen is not None else 0.0


# How much of a unit.


def _units(unit: str, record: Record, task: Task, tokens: Mapping[str, int]) -> float:
    """Return how much of a unit a task uses: each of its results, or the whole task for what it reads."""
    counts: dict[str, Callable[[], Any]] = {
        "output": lambda: 1,
        "durationSecond": lambda: _seconds(record, task),
        "outputMegapixel": lambda: math.ceil(int(task.get("width") or 0) * int(task.get("height") or 0) / _BLOCK),
        "inputImage": lambda: _count_inputs(task, "image"),
        "step": lambda: task.get("steps") or _property(record, "steps").get("default") or 0,
        "character": lambda: len(_text(task)),
        "utf8Byte": lambda: len(_text(task).encode("utf-8", "surrogatepass")),
        "inputToken": lambda: tokens.get("promptTokens", 0),
        "outputToken": lambda: tokens.get("completionTokens", 0),
    }
    # This server has no cache of tokens, and does not count the seconds of its computations.
    return float(counts.get(unit, int)())


def _property(record: Record, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record["schema"].get("properties", {}).get(name, {})
    return found


def _seconds(record: Record, task: Task) -> float:
    """Return the duration of a task: as asked for, the model's default, or the shortest that the model has."""
    facts = _property(record, "duration")
    asked = task.get("duration", facts.get("default"))
    if isinstance(asked, (int, float)) and not isinstance(asked, bool):
        return float(asked)
    spans = [facts, *facts.get("oneOf", ())]
    shortest = [span["minimum"] for span in spans if "minimum" in span]
    shortest += [value for value in facts.get("enum", ()) if isinstance(value, (int, float))]
    return float(min(shortest, default=5))


def _count_inputs(task: Task, kind: str) -> int:
    """Return the number of images or videos that a task reads."""
    count = 0
    inputs = task.get("inputs")
    for group in (task, inputs if isinstance(inputs, Mapping) else {}):
        for name, value in group.items():
            if kind in name.lower():
                count += len(value) if isinstance(value, list) else isinstance(value, str)
    return count


def _text(task: Task) -> str:
    speech = task.get("speech")
    if isinstance(speech, Mapping) and isinstance(speech.get("text"), str):
        return str(speech["text"])
    return str(task.get("positivePrompt") or task.get("prompt") or "")


# Which rate.


class _Facts:
    """The properties of a task that the label of a rate may name: its resolution, its sound, its inputs."""

    def __init__(self, record: Record, task: Task) -> None:
        self._tier = _tier(record, task)
        self._sound = next(_sound(task), None)
        self._images = _count_inputs(task, "image") > 0
        self._videos = _count_inputs(task, "video") > 0
        settings = task.get("settings")
        self._draft = isinstance(settings, Mapping) and bool(settings.get("draft"))

    def allow(self, label: str) -> bool:
        """Return whether a label does not contradict the task."""
        words = label.lower()
        tiers = [tier.lower() for tier in _TIERS.findall(label)]
        with_sound = "audio" in words and not re.search(r"\b(no|without) audio", words)
        needs_video = bool(re.search("video input|input video", words))
        return (
            (not tiers or self._tier is None or self._tier in tiers)
            and ("audio" not in words or self._sound in (None, with_sound))
            and (not needs_video or self._videos)
            and not (re.search(r"\bno input", words) and self._videos)
            and ("draft" not in words or self._draft)
            and not (words.startswith("text-to-") and self._images)
            and not (words.startswith("image-to-") and not self._images)
        )


def _tier(record: Record, task: Task) -> str | None:
    """Return the resolution of a task, such as `1080p`; `None` if it is not known."""
    named = task.get("resolution")
    size = task.get("width"), task.get("height")
    if named is None and size == (None, None):
        named = _property(record, "resolution").get("default")
    if isinstance(named, str):
        return named.lower()
    for one in record.get("dimensions") or ():
        if (one["width"], one["height"]) == size and (found := _TIERS.search(one.get("label") or "")):
            return found[1].lower()
    return None


def _sound(task: Task) -> Iterator[bool]:
    """Yield the settings of a task about sound, wherever they are."""
    providers = task.get("providerSettings")
    places = [task, task.get("settings"), *(providers.values() if isinstance(providers, Mapping) else ())]
    for place in places:
        if isinstance(place, Mapping):
            for name in ("sound", "audio", "generateAudio"):
                if isinstance(place.get(name), bool):
                    yield place[name]


# Measured runs.


def _measured_price(record: Record, task: Task) -> float | None:
    """Return the price of the measured run that is most similar to a task."""
    runs = [*(record.get("pricingMeasured") or ()), *(record.get("pricingExamples") or ())]
    steps = task.get("steps", _property(record, "steps").get("default"))
    facts = [f"{task.get('width')}x{task.get('height')}", f"{steps} steps", f"{task.get('duration')}s"]

    def likeness(run: Record) -> int:
        words = str(run.get("configuration", "")).replace("×", "x")
        return sum(fact in words for fact in facts)

    best = max(runs, key=likeness, default=None)
    return None if best is None else float(str(best["price"]).lstrip("$"))
