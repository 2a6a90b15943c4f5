"""Complete validation errors of the server from the schema of the model: the accepted values, and the nearest one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runware._support.api_names import python_path
from runware._support.unknown_names import near_name
from runware.errors import ValidationError
from runware.models.catalogue import Model, in_words
from runware.models.schema import find_schema
from runware.models.wording import either_of, takes
from runware.task_types import TaskType

__all__ = ["completed", "with_models", "with_task_type"]

_OF_CALL = frozenset(("taskType", "taskUUID", "model"))
"""Parameters for which the schema of a model only lists its own values."""


def completed(error: ValidationError, task: Mapping[str, Any], model: Model) -> ValidationError:
    """Return the server's error completed with what the model accepts. Its own message comes first; `raw` is unchanged.

    Args:
        error: The error, which names at least one parameter.
        task: The task with API names.
        model: The model of the task.
    """
    given = error.raw.get("parameter")  # the API's name
    names = [given] if isinstance(given, str) else [name for name in given or () if isinstance(name, str)]
    if not names or not _OF_CALL.isdisjoint(names):
        return error
    made = error.restated(_sentence(error.message, _advice(error.message, names, task, model)))
    made.documentation = error.documentation or model.documentation
    facts = find_schema(model.schema, names[0])
    if facts:
        choices = facts.get("enum") or ([facts["const"]] if "const" in facts else [])
        made.allowed = error.allowed or tuple(choices)
        made.minimum, made.maximum = facts.get("minimum"), facts.get("maximum")
    return made


def with_models(error: ValidationError, near: Sequence[Model]) -> ValidationError:
    """Return the server's error about an unknown model, completed with the models that may have been meant."""
    if not near:
        return error.restated(_sentence(error.message, iter(("rw.models.list(q=...) finds known ones by a word.",))))
    named = [model for model in near if (model.air or model.slug) not in error.message]
    if not named:
        return error
    return error.restated(_sentence(error.message, iter((f"Did you mean {either_of(list(map(in_words, named)))}?",))))


def with_task_type(error: ValidationError, given: str) -> ValidationError:
    """Return the server's error about an unknown task type, completed with the one that may have been meant."""
    near = near_name(given, list(map(str, TaskType)))
    if near is None or near == given:
        return error
    return error.restated(_sentence(error.message, iter((f"Did you mean {near!r}?",))))


def _advice(message: str, names: list[str], task: Mapping[str, Any], model: Model) -> Iterator[str]:
    """Yield the advice that the server's message does not contain yet."""
    problems = {problem.parameter: problem for problem in model.check_task(task)}
    for name in names:
        problem = problems.get(python_path(name))
        words = takes(find_schema(model.schema, name) or {})
        if problem is not None and problem.message in message:
            continue
        if words and words not in message:
            about = "It" if len(names) == 1 else python_path(name)
            near = problem.suggestion if problem is not None and problem.value is not None else None
            yield f"{about} takes {words}." + (f" Did you mean {near!r}?" if near is not None else "")
        elif problem is not None and not words:
            yield problem.message[:1].upper() + problem.message[1:] if len(names) > 1 else problem.message


def _sentence(message: str, advice: Iterator[str]) -> str:
    words = message.rstrip()
    if words and words[-1] not in ".!?":
        words += "."
    found = " ".join(advice)
    if found.startswith(words.rstrip(".!?")):  # it contains the same advice, and more
        return found
    return f"{words} {found}" if found else message
