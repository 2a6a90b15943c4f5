"""The requests of the command `run`: from a JSON file, or from a model and parameters."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import typer

from runware import Task, ValidationError
from runware._support.lazy_modules import lazy_module
from runware.cli.models import show_estimate
from runware.cli.output import Output, echo
from runware.cli.parameters import read_parameters
from runware.requests.raw import as_task

if TYPE_CHECKING:
    from runware import models as knowledge
    from runware.models import checker as checking
    from runware.models import estimates
else:
    knowledge = lazy_module("runware.models")
    checking = lazy_module("runware.models.checker")
    estimates = lazy_module("runware.models.estimates")

__all__ = ["examine", "expected_results", "tasks_of"]


def tasks_of(target: str, pairs: Sequence[str], timeout: float | None) -> list[Task[Any]]:
    """Return the tasks to run. All of them are checked first, so that an invalid one does not leave others running.

    Args:
        target: A file, `-` for standard input, or the AIR or slug of a model.
        pairs: The parameters of the model.
        timeout: The deadline of each task in seconds.

    Raises:
        ValidationError: A task or a parameter is invalid.
        OSError: The file cannot be read.
    """
    if target == "-" or Path(target).exists() or not _is_model(target):
        if pairs and not Path(target).exists() and target != "-":
            raise knowledge.catalogue().catalogue.unknown(target)
        if pairs:
            raise ValidationError(f"A file takes no parameters; got {pairs[0]!r}.", parameter="NAME=VALUE")
        text = sys.stdin.read() if target == "-" else Path(target).read_text("utf-8")
        try:
            found = json.loads(text.removeprefix("\ufeff"))  # the byte order mark that editors on Windows write
        except RecursionError as error:
            raise ValidationError(f"{target} is nested too deeply to be tasks.", parameter="FILE") from error
        return _tasks(found if isinstance(found, list) else [found], timeout)
    model = knowledge.catalogue().catalogue.get(target)
    parameters = read_parameters(pairs, {} if model is None else model.schema)
    if "model" in parameters:
        raise ValidationError("The model is the first argument; leave out model=.", parameter="model")
    return [_task({"model": target, **parameters}, timeout, "put an @ before it")]


def examine(tasks: Sequence[Task[Any]], check_only: bool, estimate: bool, as_json: bool) -> int:
    """Print the problems and the estimates of tasks; return the exit code.

    Raises:
        NotFoundError: A model is not known.
    """
    checker = _checker()
    problems: list[Any] = []
    for task in tasks:
        wire = checker.named({"taskType": task.task_type, **task.wire()}, task.extra or ())
        model = checker.model_of(wire)
        problems += model.check_task(wire) if check_only else []
        if estimate:
            show_estimate(estimates.estimate(model, wire), as_json)
    if check_only and as_json:
        names = ("parameter", "message", "allowed", "minimum", "maximum", "suggestion")
        Output.json([{name: getattr(problem, name) for name in names} for problem in problems])
    elif check_only:
        for problem in problems:
            echo(problem.message)
        if not problems:
            typer.echo("no problems known", err=True)
    return 2 if problems else 0


def expected_results(task: Task[Any]) -> int:
    """Return how many results a task asks for."""
    return task.expected({**getattr(task, "body", {}), **(task.extra or {})})


def _is_model(target: str) -> bool:
    """Return whether an argument that is not a file names a model. Any AIR may be that of a community model."""
    if "/" in target or target.endswith(".json"):
        return False
    return ":" in target or knowledge.catalogue().catalogue.get(target) is not None


def _checker() -> checking.Checker:
    return checking.Checker(knowledge.catalogue().catalogue, "off")


def _tasks(bodies: list[Any], timeout: float | None) -> list[Task[Any]]:
    tasks: list[Task[Any]] = []
    for number, body in enumerate(bodies, 1):
        try:
            tasks.append(_task(body, timeout, "store it with `runware upload`, and use its UUID"))
        except ValidationError as error:
            raise ValidationError(f"Task {number} of the file: {error.message}", parameter=error.parameter) from error
    return tasks


def _task(body: Any, timeout: float | None, advice: str) -> Task[Any]:
    try:
        task = as_task(body, _checker().completed)
    except ValidationError as error:  # perhaps of a file name in place of media
        raise error.restated(re.sub(r"pass Path\(.*\)", advice, error.message)) from None
    return task if timeout is None else attrs.evolve(task, timeout=timeout)
