"""Find the prompt and the input file of a task, in any of the shapes that the API accepts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

__all__ = ["input_of", "named_in", "prompt_of"]


def prompt_of(task: dict[str, Any]) -> str:
    """Return the prompt of a task, or the text that stands for one; empty without any."""
    for name in ("positivePrompt", "prompt", "name", "search"):
        value = task.get(name)
        if isinstance(value, str):
            return value
    messages = task.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        content = messages[-1].get("content")
        return content if isinstance(content, str) else ""
    speech = task.get("speech")
    if isinstance(speech, dict) and isinstance(speech.get("text"), str):
        return str(speech["text"])
    return ""


def named_in(value: Any, uuids: Collection[str], path: str = "") -> str | None:
    """Return the path of the first parameter that names one of some files; `None` if there is none."""
    if isinstance(value, str):
        return path if value in uuids else None
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (named_in(one, uuids, f"{path}.{name}" if path else str(name)) for name, one in children)
    return next((one for one in found if one is not None), None)


def input_of(task: dict[str, Any]) -> Any:
    """Return the input image or video of a task, in the older or the current form; `None` without one."""
    if "inputImage" in task:
        return task["inputImage"]
    many = task.get("inputImages")
    if isinstance(many, list) and many:
        return many[0]
    inputs = task.get("inputs")
    if isinstance(inputs, dict):
        for name in ("image", "video", "images"):
            value = inputs.get(name)
            if value:
                return value[0] if isinstance(value, list) else value
    return None
