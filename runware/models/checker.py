"""Checks of requests before they are sent, by the client's option `check`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

from runware._support.logs import log_or_stderr
from runware.errors import ValidationError
from runware.models.access import Catalogue
from runware.models.catalogue import Model
from runware.models.names import to_api_names
from runware.models.schema import Problem, matches

__all__ = ["Check", "Checker", "validation_error"]

log = logging.getLogger("runware.check")

Check = Literal["off", "warn", "error"]

_VARYING = frozenset(("taskUUID", "positivePrompt", "negativePrompt", "prompt", "seed"))
"""Parameters that differ between otherwise equal requests. They are checked each time, the others once."""
_REMEMBERED = 2000
_ANY: Mapping[str, Any] = {"properties": {"taskType": {}, "taskUUID": {}}}
"""The schema of a task whose model is not known: only these two names are sure."""


class Checker:
    """Checks tasks against the schemas of their models, and makes their names those of the API.

    Args:
        catalogue: The models that are known.
        mode: What a problem does: `"error"` raises, `"warn"` logs, `"off"` is not even looked for.
    """

    def __init__(self, catalogue: Catalogue, mode: Check) -> None:
        self.catalogue = catalogue
        self._mode = mode
        self._good: dict[Any, Mapping[str, Any]] = {}
        self._warned: set[tuple[str, str]] = set()

    def prepare(self) -> None:
        """Read the snapshot and the cache."""
        self.catalogue.get("")

    def check(self, task: dict[str, Any]) -> None:
        """Check a task with API names. A slug in place of the model's AIR is replaced.

        Raises:
            ValidationError: It has problems, and the mode is `"error"`; `problems` has all of them.
        """
        name = task.get("model")
        if not isinstance(name, str):
            return
        if ":" not in name and (known := self.catalogue.get(name)) is not None and known.air:
            task["model"] = name = known.air
        if self._mode == "off":
            return
        key = _key(task)
        properties = self._good.get(key) if key is not None else None
        if properties is not None and all(
            matches(properties[name], task[name]) for name in _VARYING if name in task and name in properties
        ):
            return
        model = self.catalogue.get(name)
        if model is None or model.task_type != task.get("taskType"):
            return
        problems = model.check_task(task)
        if problems:
            self._report(model, problems)
        elif key is not None:
            if len(self._good) >= _REMEMBERED:
                self._good.clear()
            self._good[key] = model.schema.get("properties", {})

    def completed(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task given as a plain dict with API names, and with the task type of its model if it has none.

        Raises:
            ValidationError: It has no task type, and its model is not known.
        """
        name = task.get("model")
        model = self.catalogue.get(name) if isinstance(name, str) else None
        made = to_api_names(task, model.schema if model is not None else _ANY)
        if "taskType" in made or name is None:
            return made
        if model is None or model.task_type is None:
            nearest = self.catalogue.unknown(str(name)).message
            raise ValidationError(
                "run(): the task has no taskType, and its model does not tell it. Add one, such as 'taskType': "
                f"'imageInference'. {nearest}",
                code="invalidParameter",
                parameter="taskType",
            )
        return {"taskType": model.task_type, **made}

    def model_of(self, task: dict[str, Any]) -> Model:
        """Return the model of a task with API names.

        Raises:
            NotFoundError: It is not known.
        """
        name = str(task.get("model"))
        model = self.catalogue.get(name)
        if model is None:
            raise self.catalogue.unknown(name)
        task["model"] = model.air or name
        return model

    def _report(self, model: Model, problems: list[Problem]) -> None:
        if self._mode == "error":
            raise validation_error(model, problems)
        for problem in problems:
            known = (model.name, problem.parameter)
            if known not in self._warned:
                if len(self._warned) >= _REMEMBERED:
                    self._warned.clear()
                self._warned.add(known)
                log_or_stderr(log, "%s", problem.message, level=logging.WARNING)


def _key(task: Mapping[str, Any]) -> Any:
    """Return a value that is equal for tasks that differ only in what varies; `None` for tasks with objects in them."""
    key = tuple(item for item in task.items() if item[0] not in _VARYING)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def validation_error(model: Model, problems: list[Problem]) -> ValidationError:
    """Return one error with all problems of a request."""
    first = problems[0]
    message = first.message if len(problems) == 1 else " ".join(problem.message for problem in problems)
    error = ValidationError(
        message,
        code="invalidParameter",
        parameter=first.parameter if len(problems) == 1 else [problem.parameter for problem in problems],
        task_type=model.task_type,
        documentation=model.documentation,
    )
    error.problems = tuple(problems)
    error.allowed, error.minimum, error.maximum = first.allowed, first.minimum, first.maximum
    return error
