"""The models that a search finds: an invented list, the same in every server."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

__all__ = ["create_catalogue", "search_models"]

_FIRST = ("Realistic", "Dreamy", "Anime", "Ink", "Pastel", "Cinematic", "Cosmic", "Vintage", "Neon", "Quiet")
_SECOND = ("Vision", "Horizon", "Portrait", "Harbour", "Garden", "Atlas")
_CATEGORIES = ("checkpoint", "lora", "checkpoint", "lycoris", "vae", "embeddings", "checkpoint", "controlnet")
_ARCHITECTURES = ("flux1d", "sdxl", "sd1x", "flux1s", "sd3")
_CONDITIONINGS = ("canny", "depth", "openpose", "tile")
_TAGS = ("photo", "art", "portrait", "landscape", "anime", "style", "base model")


def create_catalogue() -> list[dict[str, Any]]:
    """Create the models of a new server."""
    rng = random.Random(20251027)
    return [_model(rng, number) for number in range(len(_FIRST) * len(_SECOND))]


def _model(rng: random.Random, number: int) -> dict[str, Any]:
    name = f"{_FIRST[number % len(_FIRST)]} {_SECOND[number // len(_FIRST)]}"
    category = _CATEGORIES[number % len(_CATEGORIES)]
    model: dict[str, Any] = {
        "air": f"civitai:{rng.randrange(10_000, 900_000)}@{rng.randrange(10_000, 900_000)}",
        "name": name,
        "version": f"v{rng.randrange(1, 9)}",
        "category": category,
        "architecture": rng.choice(_ARCHITECTURES),
        "tags": rng.sample(_TAGS, 2),
        "heroImage": f"https://mim.runware.ai/r/{name.lower().replace(' ', '-')}.jpg",
        "private": False,
        "comment": "",
    }
    if category == "checkpoint":
        model |= {
            "type": rng.choice(("base", "base", "inpainting", "refiner")),
            "defaultWidth": 1024,
            "defaultHeight": 1024,
            "defaultSteps": 20,
            "defaultScheduler": "Default",
            "defaultCFG": 7.5,
        }
    elif category == "controlnet":
        model["conditioning"] = rng.choice(_CONDITIONINGS)
    elif category in ("lora", "lycoris"):
        model |= {"defaultWeight": 1.0, "positiveTriggerWords": name.lower()}
    return model


def _matches(model: dict[str, Any], task: dict[str, Any]) -> bool:
    wanted = str(task.get("search") or "").lower()
    haystack = " ".join([model["air"], model["name"], model["category"], model["architecture"], *model["tags"]])
    if wanted and wanted not in haystack.lower():
        return False
    for name in ("category", "type", "architecture", "conditioning"):
        asked = task.get(name)
        if asked and model.get(name) != asked:
            return False
    if not set(task.get("tags") or ()) <= set(model["tags"]):
        return False
    visibility = task.get("visibility", "all")
    return not (visibility in ("private", "owned") and not model["private"]) and not (
        visibility == "public" and model["private"]
    )


def search_models(models: list[dict[str, Any]], task: dict[str, Any]) -> dict[str, Any]:
    """Answer a modelSearch: return the number of matching models, and one page of them."""
    found = [model for model in models if _matches(model, task)]
    order = str(task.get("sort") or "_score")
    keys: dict[str, Callable[[dict[str, Any]], str]] = {"name": lambda model: str(model["name"]).lower()}
    key = keys.get(order.lstrip("+-"))
    if key is not None:
        found.sort(key=key)
    if order.startswith("-"):
        found.reverse()
    offset, limit = task.get("offset", 0), task.get("limit", 20)
    return {"totalResults": len(found), "results": found[offset : offset + limit]}
