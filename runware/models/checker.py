"""Checks of requests before they are sent, by the client's option `check`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from runware._support.api_names import python_name, python_path
from runware._support.escaping import one_line
from runware._support.logs import log_or_stderr
from runware.errors import NotFoundError, ValidationError
from runware.models.access import Catalogue
from runware.models.catalogue import Model
from runware.models.names import stray_names, to_api_names
from runware.models.problems import Problem
from runware.models.schema import matches
from runware.models.wording import right_name

__all__ = ["Check", "Checker", "Route", "validation_error"]

log = logging.getLogger("runware.check")

Check = Literal["off", "warn", "error"]

_VARYING = frozenset(("taskUUID", "positivePrompt", "negativePrompt", "prompt", "seed"))
"""Parameters that differ between otherwise equal requests. They are checked each time, the others once."""
_REMEMBERED = 2000
_LONGEST_TEXT = 200
"""Tasks with a longer text, such as an image, are not remembered: that would keep it alive."""


class Route(NamedTuple):
    """How a model delivers its results.

    Attributes:
        asynchronous: Whether it only runs asynchronously.
        seconds: How long a typical run takes; `None` if none was measured.
    """

    asynchronous: bool
    seconds: float | None


class _Memory(NamedTuple):
    """What was found out with one state of the catalogue. A check that a refresh overtakes writes into the old one.

    Attributes:
        version: The version of the catalogue.
        good: Requests without problems, with the limits of what varies among them, and their routes.
        routes: Routes by model.
        fixed: Functions that return what does not vary of tasks with certain names.
    """

    version: object
    good: dict[Any, tuple[list[_Limit], Route]]
    routes: dict[str, Route]
    fixed: dict[tuple[str, ...], Callable[[Mapping[str, Any]], tuple[Any, ...]]]

    def flat_key(self, task: Mapping[str, Any]) -> Any:
        """Return what `_key` does for a task without objects, lists and long texts, in steps that run in C."""
        names = tuple(task)
        fixed = self.fixed.get(names)
        if fixed is None:
            if len(self.fixed) >= _REMEMBERED:
                self.fixed.clear()
            # The model once more, since one name alone would not give a tuple.
            fixed = self.fixed[names] = itemgetter("model", *(name for name in names if name not in _VARYING))
        values = fixed(task)
        return fixed, values, *map(type, values)  # the types, since 1 equals True

    def known_route(self, key: Any, task: Mapping[str, Any]) -> Route | None:
        """Return the route of a task with this key if the task is known to have no problems."""
        good = self.good.get(key)
        if good is None:
            return None
        limits, route = good
        for name, schema, kind, low, high in limits:
            value: Any = task[name]
            given = type(value)
            if given is not kind:
                if not matches(schema, value):
                    return None
            elif not low <= (value if given is int else len(value)) <= high:
                return None
        return route

    def remember(self, key: Any, task: Mapping[str, Any], model: Model, route: Route) -> None:
        """Note that a task with this key has no problems."""
        if len(self.good) >= _REMEMBERED:
            self.good.clear()
        properties = model.schema.get("properties", {})
        limits = [_Limit.of(name, properties.get(name, True)) for name in task if name in _VARYING]
        self.good[key] = limits, route


class _Limit(NamedTuple):
    """What a parameter that varies takes, in the form that is checked fastest.

    Attributes:
        name: The API's name of the parameter.
        schema: Its schema.
        kind: The only type it takes, `str` or `int`; `None` if the schema says more.
        low: The least length or number.
        high: The greatest length or number.
    """

    name: str
    schema: Any
    kind: type | None = None
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def of(cls, name: str, schema: Any) -> _Limit:
        """Return the limit that a schema sets."""
        for kind, word, low, high in (
            (str, "string", "minLength", "maxLength"),
            (int, "integer", "minimum", "maximum"),
        ):
            if isinstance(schema, Mapping) and schema.get("type") == word and schema.keys() <= {"type", low, high}:
                return cls(name, schema, kind, schema.get(low, -math.inf), schema.get(high, math.inf))
        return cls(name, schema)


class Checker:
    """Checks tasks against the schemas of their models, and makes their names those of the API.

    Args:
        catalogue: The models that are known.
        mode: What a problem does: `"error"` raises, `"warn"` logs, `"off"` is not even looked for.
    """

    def __init__(self, catalogue: Catalogue, mode: Check) -> None:
        self.catalogue = catalogue
        self._mode = mode
        self._memory = _Memory(None, {}, {}, {})
        self._warned: set[tuple[str, str]] = set()

    def prepare(self) -> None:
        """Read the snapshot and the cache."""
        self.catalogue.get("")

    def check(self, task: dict[str, Any], *, flat: bool = False) -> Route | None:
        """Check a task with API names. A slug in place of the model's AIR is replaced.

        Args:
            task: The task.
            flat: Whether it is known to have neither objects nor lists nor long texts.

        Returns:
            How the model delivers its results; `None` if it is not known, or checks are off.

        Raises:
            ValidationError: It has problems, and the mode is `"error"`; `problems` has all of them.
        """
        name = task.get("model")
        if not isinstance(name, str):
            return None
        if ":" not in name and (known := self.catalogue.get(name)) is not None and known.air:
            task["model"] = name = known.air
        if self._mode == "off":
            return None
        catalogue, memory = self.catalogue, self._memory
        if catalogue.ages:
            catalogue.renew()
        if memory.version is not (version := catalogue.version):  # a refresh has brought other models
            memory = self._memory = _Memory(version, {}, {}, {})
        key = memory.flat_key(task) if flat else _key(task)
        route = memory.known_route(key, task) if key is not None else None
        if route is not None:
            return route
        model = catalogue.get(name)
        if model is None or model.task_type != task.get("taskType"):
            self._report_kind(model, task.get("taskType"))
            return None
        try:
            route = memory.routes.get(name)
            if route is None:
                route = memory.routes[name] = Route(model.delivery_methods == ("async",), model.seconds)
            problems = model.check_task(task)
        except Exception as error:  # a schema of the service that cannot be read must not stop the call
            log_or_stderr(log, "cannot check requests to %s: %r", model.name, error, level=logging.WARNING)
            return None
        if problems:
            self._report(model, problems)
        elif key is not None and not (flat and _has_longer_text(task)):
            memory.remember(key, task, model, route)
        return route

    def check_kind(self, name: str, task_type: str) -> None:
        """Report a known model that makes something else than a task asks for.

        Args:
            name: The AIR or slug of the model.
            task_type: The task type; `"chat"` for the chat endpoint.

        Raises:
            ValidationError: It makes something else, and the mode is `"error"`.
        """
        if self._mode != "off":
            self._report_kind(self.catalogue.get(name), task_type)

    def named(self, task: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
        """Return a task with API names, also inside its dicts.

        Args:
            task: The task, whose own names are the API's already.
            kept: Parameters that stay as they are.
        """
        name = task.get("model")
        model = self.catalogue.get(name) if isinstance(name, str) else None
        return to_api_names(task, model.schema if model is not None else {}, kept)

    def refuse_stray_names(self, task: Mapping[str, Any], kept: Collection[str], objects: Collection[str]) -> None:
        """Refuse a task with a name that no parameter of the API can have.

        Args:
            task: The task, with API names wherever they are known.
            kept: Parameters that stay as they are.
            objects: Parameters that take objects that the client describes.

        Raises:
            ValidationError: It has one; `parameter` names it.
        """
        name = task.get("model")
        model = self.catalogue.get(name) if isinstance(name, str) else None
        schema = model.schema if model is not None else {}
        path = next((python_path(one) for one in stray_names(task, schema, kept, objects)), None)
        if path is None:
            return
        right = right_name(path, schema.get("properties") or ()) if path in task else None
        if right in task:
            raise ValidationError(
                f"{path} is given twice, as {path} and as {right}; pass one of them.",
                code="invalidParameter",
                parameter=path,
                task_type=str(task.get("taskType")),
            )
        hint = "API parameters have no underscores: pass one that the client does not know by its API name."
        raise ValidationError(
            f"{path} is not a parameter{f' of {model.name}' if model is not None else ''}"
            f"{f'; did you mean {python_name(right)}?' if right else f'. {hint}'}",
            code="invalidParameter",
            parameter=path,
            task_type=str(task.get("taskType")),
        )

    def completed(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task given as a plain dict with API names, and with the task type of its model if it has none.

        Raises:
            ValidationError: It has no task type, and no model that tells it.
        """
        name = task.get("model")
        model = self.catalogue.get(name) if isinstance(name, str) else None
        made = to_api_names(task, model.schema if model is not None else {})
        if "taskType" in made:
            return made
        if model is not None and model.task_type is not None:
            return {"taskType": model.task_type, **made}
        if not isinstance(name, str):
            why = ", or a model that tells it."
        elif model is None:
            why = f", since its model is not known. {self.catalogue.unknown(name).message}"
        else:
            why = f", since {model.name} has none."
        raise ValidationError(
            f"The request needs a task_type, such as 'imageInference'{why}",
            code="invalidParameter",
            parameter="task_type",
        )

    def model_of(self, task: dict[str, Any]) -> Model:
        """Return the model of a task with API names.

        Raises:
            NotFoundError: It is not known.
        """
        name = task.get("model")
        if not isinstance(name, str):
            raise NotFoundError("The request names no model, so that nothing is known about it.", parameter="model")
        model = self.catalogue.get(name)
        if model is None:
            raise self.catalogue.unknown(name)
        task["model"] = model.air or name
        return model

    def _report_kind(self, model: Model | None, task_type: Any) -> None:
        """Report a known model that makes something else than a task asks for."""
        if model is not None and (problem := _other_kind(model, task_type)) is not None:
            self._report(model, [problem], task_type)

    def _report(self, model: Model, problems: list[Problem], task_type: str | None = None) -> None:
        if self._mode == "error":
            error = validation_error(model, problems)
            error.task_type = task_type or error.task_type
            raise error
        for problem in problems:
            known = (model.name, problem.parameter)
            if known not in self._warned:
                if len(self._warned) >= _REMEMBERED:
                    self._warned.clear()
                self._warned.add(known)
                log_or_stderr(log, "%s", one_line(problem.message, 2000), level=logging.WARNING)


_GENERATING = {
    "imageInference": ("images", "image_inference"),
    "videoInference": ("videos", "video_inference"),
    "audioInference": ("audio", "audio_inference"),
    "3dInference": ("3D models", "three_d_inference"),
    "textInference": ("text", "text_inference"),
    "chat": ("text", "chat"),
}
"""What the tasks that generate something make, and their operations. A model makes one of these."""


def _other_kind(model: Model, task_type: Any) -> Problem | None:
    """Return the problem of a model that makes something else than a task asks for; `None` if it may fit."""
    asked, made = _GENERATING.get(task_type), _GENERATING.get(model.task_type or "")
    if asked is None or made is None or asked[0] == made[0]:
        return None
    name = model.air or model.slug
    return Problem(
        parameter="model",
        message=f"model {name} ({model.name}) makes {made[0]}, not {asked[0]}. Use rw.{made[1]}(...), or a model of "
        f"rw.models.list(category={_CATEGORIES.get(asked[0], asked[0])!r}).",
        value=name,
    )


_CATEGORIES = {"images": "image", "videos": "video", "3D models": "3d"}


def _key(task: Mapping[str, Any]) -> Any:
    """Return a value that is equal for tasks that differ only in what varies; `None` if it would be large.

    It is `None` for conversations, too: they hardly ever come twice, and thousands of them would stay in memory.
    """
    if "messages" in task:
        return None
    key: list[Any] = []
    try:
        for name, value in task.items():
            key.append(name)
            if name not in _VARYING:
                # Without a call of `_frozen` for numbers and short texts, which most values are.
                kind = type(value)
                plain = kind is int or (kind is str and len(value) <= _LONGEST_TEXT)
                key.append(value if plain else _frozen(value))
    except ValueError:
        return None
    return tuple(key)


def _has_longer_text(task: Mapping[str, Any]) -> bool:
    """Return whether a flat task has a text that is too long to be remembered."""
    return any(type(one) is str and len(one) > _LONGEST_TEXT for name, one in task.items() if name not in _VARYING)


def _frozen(value: Any) -> Any:
    """Return a value of JSON in a form that can be a key, and differs for values that JSON distinguishes."""
    kind = type(value)
    if kind is str:
        if len(value) > _LONGEST_TEXT:
            raise ValueError
        return value
    if kind is int or kind is float or value is None:
        return value
    if kind is bool:
        return bool, value  # 1 equals True
    if kind is dict:
        return dict, *[(name, _frozen(one)) for name, one in value.items()]
    if kind is list:
        return list, *map(_frozen, value)
    raise ValueError


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
