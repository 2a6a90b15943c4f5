"""Names of the API and of Python: `taskUUID` is `task_uuid`."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["IRREGULAR", "python_name", "python_path", "wire_name"]

IRREGULAR = {
    "cfg_scale": "CFGScale",
    "true_cfg_scale": "trueCFGScale",
    "cfg_start_step": "CFGStartStep",
    "cfg_start_step_percentage": "CFGStartStepPercentage",
    "default_cfg": "defaultCFG",
    "check_nsfw": "checkNSFW",
    "nsfw_content": "NSFWContent",
    "instant_id": "instantID",
    "air_source": "AIRSource",
    "high_threshold_canny": "highThresholdCanny",
    # Snake case in the API as well.
    **{name: name for name in ("x_min", "y_min", "x_max", "y_max")},
}
_CAPITALS = {"uuid": "UUID", "url": "URL", "uri": "URI"}
_REMEMBERED = 2048
"""The most names that are remembered: they come in the caller's requests and in the server's errors, too."""


@lru_cache(_REMEMBERED)
def wire_name(name: str) -> str:
    """Return the API's name of a Python field: `task_uuid` is `taskUUID`, `cfg_scale` is `CFGScale`."""
    if name in IRREGULAR:
        return IRREGULAR[name]
    first, *rest = name.split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


_REGULAR = {api: name for name, api in IRREGULAR.items()}
_WORDS = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z]")


@lru_cache(_REMEMBERED)
def python_name(name: str) -> str:
    """Return the Python name of an API field: `taskUUID` is `task_uuid`, `CFGScale` is `cfg_scale`."""
    if name in _REGULAR:
        return _REGULAR[name]
    base, bracket, index = name.partition("[")
    if bracket:
        return f"{python_name(base)}[{index}"
    words = _WORDS.findall(name)
    return "_".join(words).lower() if "".join(words) == name else name


_STEP = re.compile(r"[^.\[\]]+")


def python_path(path: str) -> str:
    """Return a path of API names as Python code writes it: `lora[0].weight`, also for `lora.0.weight`."""
    made = ""
    for step in _STEP.findall(path):
        made += f"[{step}]" if step.isdigit() else f".{python_name(step)}" if made else python_name(step)
    return made or path
