"""Estimates of the cost of a request, from the rates of its model, or from the prices of earlier runs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs

from runware.models.schema import SIZES, find_schema, is_number
from runware.models.wording import money

if TYPE_CHECKING:
    from runware.models.catalogue import Model, Price, Rate

__all__ = ["Estimate", "estimate"]

Basis = Literal["rates", "measured", "dry run", "unknown"]

_MEGAPIXEL = 1024 * 1024
_CHARACTERS_A_TOKEN = 4.0
"""A rule of thumb for English text."""
_TIER = re.compile(r"\b(\d+p|\d+(?:\.\d+)?K)\b")


@attrs.frozen(kw_only=True)
class Estimate:
    """What a request will cost.

    Attributes:
        minimum: The least it costs in US dollars; `None` if nothing is known.
        maximum: The most it costs in US dollars; equal to *minimum* if the rates leave nothing open.
        seconds: How long a typical run takes; `None` if none was measured.
        basis: Where the numbers come from: `"rates"` times units; `"measured"`, the prices of earlier runs, which may
            have had other settings; `"dry run"`, the server's answer to a dry run; `"unknown"`.
        exact: Whether it is the price itself, and neither a range nor the price of earlier runs.
    """

    minimum: float | None = None
    maximum: float | None = None
    seconds: float | None = None
    basis: Basis = "unknown"
    exact: bool = False

    @property
    def cost(self) -> float | None:
        """The most it costs in US dollars, for sums that must not be exceeded; `None` if nothing is known."""
        return self.maximum

    def __str__(self) -> str:
        if self.minimum is None or self.maximum is None:
            cost = "of unknown cost"
        elif self.minimum == self.maximum:
            cost = f"{'' if self.exact else 'about '}{money(self.minimum)}"
        else:
            cost = f"{money(self.minimum)} to {money(self.maximum)}"
        return cost if self.seconds is None else f"{cost}, about {self.seconds:.0f} s"


class _Range(NamedTuple):
    low: float
    high: float

    def times(self, amount: float) -> _Range:
        return _Range(self.low * amount, self.high * amount)

    def plus(self, other: _Range) -> _Range:
        return _Range(self.low + other.low, self.high + other.high)


def estimate(model: Model, task: Mapping[str, Any]) -> Estimate:
    """Estimate the lowest and the highest cost of a task with API names.

    Args:
        model: The model of the task.
        task: The task. Missing parameters have the model's defaults; a parameter without a default makes a range.
    """
    try:
        return _estimate(model, task)
    except OverflowError:  # an integer beyond all floats, which no model takes
        return Estimate(seconds=model.seconds)


def _estimate(model: Model, task: Mapping[str, Any]) -> Estimate:
    results = _integer(task, model, "numberResults", 1)
    from_rates = _from_rates(model, task, results)
    if from_rates is not None:
        low, high = (round(value, 12) for value in from_rates)
        return Estimate(minimum=low, maximum=high, seconds=model.seconds, basis="rates", exact=low == high)
    known = _comparable(model.prices, task, model)
    if known:
        prices = [price.price * results for price in known]
        return Estimate(minimum=min(prices), maximum=max(prices), seconds=model.seconds, basis="measured")
    return Estimate(seconds=model.seconds)


def _integer(task: Mapping[str, Any], model: Model, name: str, otherwise: int) -> int:
    value = task.get(name, _default(model, name))
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise


def _facts(model: Model, name: str) -> Mapping[str, Any]:
    found = model.schema.get("properties", {}).get(name)
    return found if isinstance(found, Mapping) else {}


def _default(model: Model, name: str) -> Any:
    return _facts(model, name).get("default")


def _from_rates(model: Model, task: Mapping[str, Any], results: int) -> _Range | None:
    by_unit: dict[str, list[Rate]] = {}
    for rate in model.rates:
        by_unit.setdefault(rate.unit, []).append(rate)
    if not by_unit:
        return None
    total = _Range(0.0, 0.0)
    for unit, rates in by_unit.items():
        amount = _amount(unit, task, model, results)
        if amount is None:
            return None
        total = total.plus(_charge(rates, amount, task, model))
    return total


# ---------------------------------------------------------------------- how much of a unit


def _amount(unit: str, task: Mapping[str, Any], model: Model, results: int) -> _Range | None:
    """Return how many units a task uses; `None` if that is not known."""
    count = _COUNTS.get(unit)
    if count is None:
        return None
    span = count(task, model)
    return span if span is None or unit in _OF_INPUT else span.times(results)


def _exactly(amount: float) -> _Range:
    return _Range(amount, amount)


def _megapixels(task: Mapping[str, Any], _: Model) -> _Range | None:
    width, height = task.get("width"), task.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return _exactly(math.ceil(width * height / _MEGAPIXEL))
    return None


def _steps(task: Mapping[str, Any], model: Model) -> _Range | None:
    steps = task.get("steps", _default(model, "steps"))
    return _exactly(steps) if isinstance(steps, int) else None


def _input_tokens(task: Mapping[str, Any], _: Model) -> _Range:
    tokens = len(_text_of(task)) / _CHARACTERS_A_TOKEN
    return _Range(0.5 * tokens, 2.0 * tokens)


def _output_tokens(task: Mapping[str, Any], model: Model) -> _Range | None:
    settings = task.get("settings")
    limit = settings.get("maxTokens") if isinstance(settings, Mapping) else None
    if limit is None:  # the answer is as long as the model lets it be, which the schemas of the snapshot do not say
        facts = find_schema(model.schema, "settings.maxTokens") or {}
        limit = facts.get("default", facts.get("maximum"))
    return _Range(1, limit) if model.task_type == "textInference" and isinstance(limit, int) else None


def _duration(task: Mapping[str, Any], model: Model) -> _Range | None:
    facts = _facts(model, "duration")
    value = task.get("duration", facts.get("default"))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return _Range(value, value)
    spans = [facts, *(one for one in facts.get("oneOf", ()) if isinstance(one, Mapping))]
    numbers = [one for one in facts.get("enum", ()) if isinstance(one, (int, float)) and not isinstance(one, bool)]
    lows = [one["minimum"] for one in spans if "minimum" in one] + numbers
    highs = [one["maximum"] for one in spans if "maximum" in one] + numbers
    return _Range(min(lows), max(highs)) if lows and highs else None


def _inputs(task: Mapping[str, Any], kind: str) -> int:
    """Return how many input images (or videos) a task has."""
    found = 0
    inputs = task.get("inputs")
    for name, value in {**task, **(inputs if isinstance(inputs, Mapping) else {})}.items():
        if kind in name.lower():
            if isinstance(value, (list, tuple)):
                found += len(value)
            elif isinstance(value, str):
                found += 1
    return found


def _text_of(task: Mapping[str, Any]) -> str:
    speech = task.get("speech")
    if isinstance(speech, Mapping) and isinstance(speech.get("text"), str):
        return str(speech["text"])
    messages = task.get("messages")
    if isinstance(messages, (list, tuple)):
        return "".join(str(one.get("content", "")) for one in messages if isinstance(one, Mapping))
    return str(task.get("positivePrompt") or task.get("prompt") or "")


_COUNTS: dict[str, Callable[[Mapping[str, Any], Model], _Range | None]] = {
    "output": lambda *_: _exactly(1),
    "durationSecond": _duration,
    "outputMegapixel": _megapixels,
    "inputImage": lambda task, _: _exactly(_inputs(task, "image")),
    "character": lambda task, _: _exactly(len(_text_of(task))),
    "utf8Byte": lambda task, _: _exactly(len(_text_of(task).encode("utf-8", "surrogatepass"))),
    "step": _steps,
    "inputToken": _input_tokens,
    "outputToken": _output_tokens,
    # It is not known whether the cache will be used, which only makes a request cheaper.
    "cachedInputToken": lambda *_: _exactly(0),
    "cacheWriteToken": lambda *_: _exactly(0),
}
_OF_INPUT = frozenset(("inputImage", "inputToken", "cachedInputToken", "cacheWriteToken"))
"""Units that are used once, however many results there are."""


# ---------------------------------------------------------------------- which rate applies


def _charge(rates: list[Rate], amount: _Range, task: Mapping[str, Any], model: Model) -> _Range:
    surcharges = [rate for rate in rates if "surcharge" in (rate.label or "")]
    tiers = [rate for rate in rates if rate not in surcharges]
    total = _Range(0.0, 0.0)
    if any(rate.after for rate in tiers):
        return _Range(_graduated(tiers, amount.low), _graduated(tiers, amount.high))
    fitting = [rate for rate in tiers if _fits(rate.label, task, model)] or tiers
    if fitting:
        amounts = [rate.amount for rate in fitting]
        total = _Range(amount.low * min(amounts), amount.high * max(amounts))
    for rate in surcharges:
        total = total.plus(_Range(0.0, amount.high * rate.amount))
    return total


def _graduated(rates: list[Rate], amount: float) -> float:
    """Return the charge when each rate applies from a number of units to the next one's."""
    steps = sorted(rates, key=lambda rate: rate.after)
    ends = [rate.after for rate in steps[1:]] + [math.inf]
    return sum(max(0.0, min(amount, end) - rate.after) * rate.amount for rate, end in zip(steps, ends, strict=True))


def _fits(label: str | None, task: Mapping[str, Any], model: Model) -> bool:
    """Return whether a rate's label does not contradict a task."""
    if not label:
        return True
    words = label.lower()
    tiers = {tier.lower() for tier in _TIER.findall(label)}
    mine = _tier(task, model)
    if tiers and mine is not None and mine not in tiers:
        return False
    silent = bool(re.search(r"\b(no|without) audio", words))
    audio = _has_audio(task)
    if audio is not None and "audio" in words and audio == silent:
        return False
    has_video = _inputs(task, "video") > 0
    plain = bool(re.search(r"\bno input", words))
    asks_video = "video input" in words or "input video" in words
    if (asks_video and not has_video) or (plain and has_video):
        return False
    settings = task.get("settings")
    draft = isinstance(settings, Mapping) and bool(settings.get("draft"))
    if "draft" in words and not draft:
        return False
    return not (words.startswith("text-to-") and _inputs(task, "image")) and not (
        words.startswith("image-to-") and not _inputs(task, "image")
    )


def _tier(task: Mapping[str, Any], model: Model) -> str | None:
    """Return the resolution of a task, such as `1080p`; `None` if that is not known."""
    resolution = task.get("resolution")
    if not isinstance(resolution, str):
        # Neither may be a list or a dict, which could not be looked up.
        width, height = (one if is_number(one := task.get(name)) else None for name in ("width", "height"))
        size = (width, height)
        title = next((sizes[size] for sizes in _size_lists(model.schema) if size in sizes), None)
        found = _TIER.search(title or _label_of(size, model) or "")
        if found is not None:
            return found[1].lower()
        resolution = _default(model, "resolution") if size == (None, None) else None
    return resolution.lower() if isinstance(resolution, str) else None


def _label_of(size: tuple[Any, Any], model: Model) -> str | None:
    return next((one.label for one in model.sizes if (one.width, one.height) == size), None)


def _size_lists(schema: Any) -> Iterable[Mapping[Any, str]]:
    if isinstance(schema, Mapping):
        if SIZES in schema:
            yield schema[SIZES]
        for name in ("allOf", "then", "else"):
            yield from _size_lists(schema.get(name))
    elif isinstance(schema, list):
        for one in schema:
            yield from _size_lists(one)


def _has_audio(task: Mapping[str, Any]) -> bool | None:
    """Return whether a task asks for sound; `None` if that is left open."""
    places = [task, task.get("settings")]
    providers = task.get("providerSettings")
    if isinstance(providers, Mapping):
        places += list(providers.values())
    for place in places:
        if isinstance(place, Mapping):
            for name in ("sound", "audio", "generateAudio"):
                if isinstance(place.get(name), bool):
                    return bool(place[name])
    return None


# ---------------------------------------------------------------------- earlier runs


def _comparable(prices: tuple[Price, ...], task: Mapping[str, Any], model: Model) -> list[Price]:
    """Return the earlier runs that agree most with a task in size, steps and duration."""
    width, height = task.get("width"), task.get("height")
    steps = task.get("steps", _default(model, "steps"))
    facts = [f"{width}x{height}", f"{steps} steps", f"{task.get('duration')}s"]
    best: list[Price] = []
    most = 0
    for price in prices:
        words = price.configuration.replace("×", "x").replace(" · ", ", ")
        agreeing = sum(fact in words for fact in facts)
        if agreeing > most:
            best, most = [], agreeing
        if agreeing == most:
            best.append(price)
    return best
