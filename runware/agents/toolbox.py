"""The tools: their signatures and docstrings are what models read, and are declared nowhere else."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import attrs

from runware import options
from runware._support.escaping import one_line
from runware.agents.budget import Budget, BudgetError, Reservation, dollars
from runware.agents.inputs import InputFiles
from runware.agents.results import ToolResult
from runware.client import Runware
from runware.errors import (
    ConfigurationError,
    ConnectionFailedError,
    NotFoundError,
    RunwareError,
    TaskError,
    ValidationError,
)
from runware.jobs import Job, Progress
from runware.models import Estimate, Model
from runware.options import seconds
from runware.protocol.ids import is_uuid
from runware.requests.base import Task
from runware.requests.raw import as_task
from runware.results import MediaResult, Result, Results, Text

__all__ = ["Toolbox", "watcher"]

P = ParamSpec("P")

watcher: ContextVar[Callable[[Progress], object] | None] = ContextVar("watcher", default=None)
"""Called about every second with the progress of the job that a tool waits for."""

_LOOK = 1.0
_MOST_JOBS = 256
_MOST_MODELS = 20
_IMAGE = "runware:400@2"
_VIDEO = "minimax:h3@fast"
_SPEECH = "inworld:tts@1.5-mini"
_SIZE = 1024
_MAKES = {"imageInference": "image", "videoInference": "video", "audioInference": "audio"}


def _tool(method: Callable[Concatenate[Toolbox, P], str]) -> Callable[Concatenate[Toolbox, P], str]:
    """Return errors as texts: most frameworks end the whole run when a tool raises."""

    @functools.wraps(method)
    def tool(self: Toolbox, /, *args: P.args, **given: P.kwargs) -> str:
        try:
            return method(self, *args, **given)
        except (RunwareError, OSError) as error:
            return ToolResult(f"Error: {_words(error)}", error=error)

    return tool


def _words(error: Exception) -> str:
    """Return the text of an error, with what a model can do about it."""
    words = str(error)
    if getattr(error, "may_have_run", False) and isinstance(error, RunwareError) and error.task_uuid:
        words += f" It may still run: call job_status with job_id {error.task_uuid} before you try again."
    elif isinstance(error, NotFoundError) and error.code != _UNKNOWN_JOB:
        words += " search_models finds models."
    elif isinstance(error, OSError) and not isinstance(error, RunwareError):
        words = f"Files cannot be saved: {error.strerror or words}{f' ({error.filename})' if error.filename else ''}."
    return words


_UNKNOWN_JOB = "unknownJob"


class Toolbox:
    """The tools of one client, with their folder, their budget and the jobs under way. Thread-safe.

    Args:
        rw: The client.
        folder: Where files are saved; `None` saves nothing.
        read: Further folders whose images can be inputs.
        budget: The most that the tools may spend together, in US dollars, or a `runware.Budget`; `None` sets no limit.
            The budget of the client holds as well.
        wait: Seconds that a tool waits for its result; 0 does not wait.

    Attributes:
        folder: Where files are saved, or `None`.
        budget: What was spent.
        inputs: What may be read.
        functions: The tools.

    Raises:
        ConfigurationError: An argument is invalid; `parameter` names it.
    """

    def __init__(
        self,
        rw: Runware,
        *,
        folder: str | os.PathLike[str] | None = None,
        read: Iterable[str | os.PathLike[str]] = (),
        budget: float | options.Budget | None = None,
        wait: float = 45.0,
    ) -> None:
        if not isinstance(rw, Runware):
            raise ConfigurationError(
                f"The tools need a Runware client; got {type(rw).__name__}. They are plain functions, which asyncio "
                "frameworks run on threads.",
                parameter="rw",
            )
        self._rw = rw
        self._wait_limit = 0.0 if wait == 0 else seconds(wait, "wait")
        self.budget = Budget(budget)
        self.folder = None if folder is None else Path(folder).expanduser().absolute()
        self.inputs = InputFiles([*(() if self.folder is None else (self.folder,)), *read])
        self._running: dict[str, tuple[Job[Any], Reservation | None]] = {}
        self.functions: list[Callable[..., str]] = [
            self.make_image,
            self.edit_image,
            self.make_video,
            self.make_speech,
            self.describe_image,
            self.search_models,
            self.get_price,
            self.job_status,
        ]

    # ------------------------------------------------------------------ tools

    @_tool
    def make_image(
        self, prompt: str, model: str = _IMAGE, width: int = _SIZE, height: int = _SIZE, number: int = 1
    ) -> str:
        """Make images from a description. Returns the id, file and URL of each, and what it cost.

        The id of an image can be passed to edit_image, make_video and describe_image.

        Args:
            prompt: What the images show: subject, style, light, composition.
            model: The model, by its AIR; search_models finds others.
            width: Width in pixels; a multiple of 16, up to 2048 with most models.
            height: Height in pixels, likewise.
            number: How many images to make, 1 to 20. Each costs.
        """
        task = {"positivePrompt": prompt, **self._size(model, width, height), "numberResults": number}
        return self._run("image", model, {"taskType": "imageInference", **task})

    @_tool
    def edit_image(self, image: str, prompt: str, model: str = _IMAGE, width: int = _SIZE, height: int = _SIZE) -> str:
        """Change an image as described, or make a new one after it. Returns its id, file and URL, and what it cost.

        Args:
            image: The image: the id of an earlier result, a URL, or the path of a file in an allowed folder.
            prompt: What to change, such as "make it night, with the lamp on".
            model: The model, by its AIR; it must be able to edit (search_models).
            width: Width of the result in pixels; a multiple of 16.
            height: Height of the result in pixels, likewise.
        """
        media = self.inputs.media(image)
        task = {"positivePrompt": prompt, **self._size(model, width, height), **self._reference(model, media)}
        return self._run("image", model, {"taskType": "imageInference", **task})

    @_tool
    def make_video(self, prompt: str, image: str | None = None, model: str = _VIDEO, duration: float = 5) -> str:
        """Make a short video from a description, or from an image that becomes its first frame.

        It takes minutes. If it is not finished in time, the answer has a job id: call job_status with it. Never call
        make_video again for the same video, which would be paid for twice.

        Args:
            prompt: What happens in the video.
            image: The first frame: the id of an earlier result, a URL, or the path of a file in an allowed folder.
            model: The model, by its AIR; search_models finds others.
            duration: Length in seconds. The price grows with it.
        """
        task: dict[str, Any] = {"positivePrompt": prompt, "duration": _whole(duration)}
        if image is not None:
            task |= self._first_frame(model, self.inputs.media(image))
        return self._run("video", model, {"taskType": "videoInference", **task})

    @_tool
    def make_speech(self, text: str, voice: str | None = None, model: str = _SPEECH) -> str:
        """Speak a text. Returns the id, file and URL of the audio, and what it cost.

        Args:
            text: The text to speak.
            voice: The name of the voice, one that the model has; its default if left out.
            model: The model, by its AIR; search_models finds others.
        """
        speech = {"text": text, **({} if voice is None else {"voice": voice})}
        return self._run("audio file", model, {"taskType": "audioInference", "speech": speech})

    @_tool
    def describe_image(self, image: str, question: str | None = None) -> str:
        """Describe what an image shows, or answer a question about it.

        Args:
            image: The image: the id of an earlier result, a URL, or the path of a file in an allowed folder.
            question: What to look for; a general description if left out.
        """
        task = {"inputImage": self.inputs.media(image), **({} if question is None else {"prompt": question})}
        return self._run("description", None, {"taskType": "caption", **task})

    @_tool
    def search_models(
        self,
        query: str = "",
        makes: Literal["image", "video", "audio", "text", "3d"] | None = None,
        community: bool = False,
    ) -> str:
        """Find models: their AIR, what they can do, and their prices. Costs nothing.

        Args:
            query: Words of a name, a creator or an ability, such as "kling", "text-to-audio" or "edit".
            makes: Only models that make this.
            community: Search the many models of the community (checkpoints, LoRAs) instead of the curated ones.
        """
        if community:
            page = self._rw.model_search(search=query or None, limit=_MOST_MODELS)
            found = [" ".join(filter(None, (m.air, m.name, m.version, m.category, m.architecture))) for m in page]
            total = page.total_results or len(found)
        else:
            models = self._matching(query, makes)
            found, total = [_line(model) for model in models[:_MOST_MODELS]], len(models)
        if not found:
            return ToolResult("No model has that. Try fewer words, or community=true; without words, all are listed.")
        more = f"\n{total - len(found)} more: search for more words." if total > len(found) else ""
        return ToolResult("\n".join(one_line(line) for line in found) + more)

    @_tool
    def get_price(
        self,
        model: str,
        text: str = "",
        width: int | None = None,
        height: int | None = None,
        duration: float | None = None,
        number: int = 1,
    ) -> str:
        """Return what a request would cost and how long it takes, and what is left of the budget. Costs nothing.

        Args:
            model: The model, by its AIR.
            text: The prompt, or the text to speak. Models that charge for characters or tokens need it.
            width: Width in pixels, for images and videos.
            height: Height in pixels, likewise.
            duration: Length in seconds, for videos and music.
            number: How many results.
        """
        known = self._model(model)
        kind = known.task_type if known is not None else None
        lines = []
        if kind is None:
            # A length is that of a video or of music. Videos cost more, and too high a price harms less.
            kind, result = ("imageInference", "an image") if duration is None else ("videoInference", "a video")
            lines.append(f"The catalogue does not say what {model} makes; {result} was assumed.")
        if kind in _MAKES:
            given: dict[str, Any] = {"width": width, "height": height, "duration": _whole(duration)}
            if kind == "imageInference":
                given |= self._size(model, width or _SIZE, height or _SIZE)
            if self._takes(model, "speech"):
                given["speech"] = {"text": text or "..."}
            else:
                given["positivePrompt"] = text or "a lighthouse"
            task = self._task({"taskType": kind, "model": _air(model, known), "numberResults": number, **given})
            try:
                lines.append(_priced(model, self._estimate(task)))
            except TaskError as error:
                if known is None:
                    raise
                lines.append(f"The server does not accept such a request: {error}")
        if known is not None and known.price_lines:
            lines.append(f"Prices of {known.name}: {'; '.join(known.price_lines)}.")
        return ToolResult("\n".join([*(lines or [f"The prices of {model} are not known."]), *self._left()]))

    @_tool
    def job_status(self, job_id: str) -> str:
        """Get the result of a job that was not finished when its tool returned. Waits for it for a while.

        Args:
            job_id: The id that the tool returned.
        """
        held = self._running.get(job_id)
        if held is not None:
            return self._finish(*held, job_id, "result")
        if not is_uuid(job_id):
            raise ValidationError(
                f"{one_line(repr(job_id), 80)} is not the id of a job: it looks like "
                "26a972d8-4213-4ee9-9724-8fc1dfcd8baf, and is in the answer of the tool that began it.",
                code="invalidParameter",
                parameter="job_id",
            )
        try:
            return self._finish(self._rw.job(job_id), None, job_id, "result")
        except NotFoundError as error:
            raise NotFoundError(
                f"There is no job {job_id}, or its result has expired.", code=_UNKNOWN_JOB, task_uuid=job_id
            ) from error

    # ------------------------------------------------------------------ requests

    def _model(self, name: str | None) -> Model | None:
        return None if name is None else self._rw.models.catalogue.get(name)

    def _takes(self, name: str, *path: str) -> bool | None:
        """Return whether a model has a parameter, by its API names; `None` if its parameters are not known."""
        model = self._model(name)
        inside: Any = {} if model is None else model.schema
        for part in path:
            if not inside.get("properties"):
                return None
            if part not in inside["properties"]:
                return False
            inside = inside["properties"][part]
        return True

    def _size(self, model: str, width: int, height: int) -> dict[str, int]:
        return {} if self._takes(model, "width") is False else {"width": width, "height": height}

    def _reference(self, model: str, media: Any) -> dict[str, Any]:
        """Return an image to edit, where the model takes it."""
        places: dict[tuple[str, ...], dict[str, Any]] = {
            ("inputs", "referenceImages"): {"inputs": {"referenceImages": [media]}},
            ("inputs", "image"): {"inputs": {"image": media}},
            ("inputs", "seedImage"): {"inputs": {"seedImage": media}},
            ("referenceImages",): {"referenceImages": [media]},
            ("seedImage",): {"seedImage": media},
        }
        return self._placed(model, places, "does not edit images", "query='edit'")

    def _first_frame(self, model: str, media: Any) -> dict[str, Any]:
        """Return the first frame of a video, where the model takes it."""
        places: dict[tuple[str, ...], dict[str, Any]] = {
            ("inputs", "frameImages"): {"inputs": {"frameImages": [{"image": media, "frame": "first"}]}},
            ("frameImages",): {"frameImages": [{"inputImage": media, "frame": "first"}]},
        }
        return self._placed(model, places, "does not start from an image", "query='image-to-video'")

    def _placed(
        self, model: str, places: Mapping[tuple[str, ...], dict[str, Any]], problem: str, search: str
    ) -> dict[str, Any]:
        """Return the first of several forms that a model takes, or that it may take as far as is known."""
        for wanted in (True, None):
            for path, form in places.items():
                if self._takes(model, *path) is wanted:
                    return form
        raise _unfit(f"{model} {problem}", search)

    def _matching(self, query: str, makes: str | None) -> list[Model]:
        """Return the live models with most of the words, best first."""
        words = query.lower().split()
        ranked: list[tuple[int, bool, bool, int, Model]] = []
        for model in self._rw.models.list(category=makes, status="live"):
            about = f"{model.name} {model.air} {model.slug} {model.creator} {' '.join(model.capabilities)}".lower()
            hits = sum(word in about for word in words)
            if hits or not words:
                # Among equals, those of which more is known.
                ranked.append((-hits, not model.price_lines, not model.capabilities, len(ranked), model))
        return [one[-1] for one in sorted(ranked, key=lambda one: one[:-1])]

    # ------------------------------------------------------------------ money

    def _estimate(self, task: Task[Any]) -> Estimate:
        """Return the price of a request: from the rates of the model, or else from the server's own dry run.

        Raises:
            TaskError: The server does not accept the request.
            ConnectionFailedError: The server cannot be asked, and nothing else is known.
        """
        try:
            known = self._rw.estimate(task)
        except NotFoundError:
            known = Estimate()
        if known.basis == "rates":
            return known
        try:
            return self._rw.estimate(task, exact=True)
        except ConnectionFailedError:
            if known.cost is None:
                raise
            return known

    def _reserve(self, task: Task[Any]) -> Reservation | None:
        if self.budget.limit is None:
            return None
        cost = self._estimate(task).cost
        if cost is None:
            raise BudgetError(
                "The budget does not allow it: neither the catalogue nor the server can tell what it costs. Nothing "
                "was sent. Choose a model that search_models shows with a price.",
                code="unknownPrice",
                limit=self.budget.limit,
            )
        return self.budget.reserve(cost)

    def _left(self) -> list[str]:
        return [f"{left}."] if (left := str(self.budget)) else []

    # ------------------------------------------------------------------ running

    def _task(self, body: Mapping[str, Any]) -> Task[Any]:
        return as_task({name: value for name, value in body.items() if value is not None}, dict)

    def _run(self, what: str, model: str | None, body: Mapping[str, Any]) -> ToolResult:
        known = self._model(model)
        if known is not None and known.task_type not in (None, body["taskType"]):
            raise _unfit(f"{model} is for another task, {known.task_type}", f"makes={_MAKES[body['taskType']]!r}")
        task = attrs.evolve(self._task({**body, "model": _air(model, known)}), include_cost=True)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be used is found before it costs
        reservation = self._reserve(task)
        try:
            job = self._rw.submit.run(task)
        except BaseException:
            if reservation is not None:
                reservation.settle(0.0)
            raise
        if reservation is not None:
            job.add_done_callback(functools.partial(_settle, reservation))
        return self._finish(job, reservation, job.task_uuid, what)

    def _finish(self, job: Job[Any], reservation: Reservation | None, job_id: str, what: str) -> ToolResult:
        """Return the results of a job, or its id if it is not done in time."""
        self._keep(job, reservation, job_id)
        if not self._wait(job):
            now = job.progress
            percent = "" if now.percent is None else f", {now.percent:.0f} %"
            return ToolResult(
                f"Not finished yet ({now.status}{percent}, {now.elapsed:.0f} s). It goes on. Call job_status with "
                f"job_id {job_id} to get the result; do not start it again, which would be paid for twice."
            )
        self._running.pop(job_id, None)
        if reservation is not None:
            _settle(reservation, job)
        try:
            job.result(0)
            error = None
        except (RunwareError, CancelledError) as failed:
            if not job.results:
                raise
            error = failed
        return self._report(job.results, error, what)

    def _wait(self, job: Job[Any]) -> bool:
        """Wait for a job within the limit; return whether it is done."""
        watch = watcher.get()
        end = time.monotonic() + self._wait_limit
        while not job.done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            try:
                job.exception(left if watch is None else min(left, _LOOK))
            except TimeoutError:
                if watch is not None:
                    watch(job.progress)
            except CancelledError:
                break
        return True

    def _keep(self, job: Job[Any], reservation: Reservation | None, job_id: str) -> None:
        """Keep a job, also while a tool waits for it: a client follows a task with one job only."""
        if len(self._running) >= _MOST_JOBS:
            # `rw.job` finds their results too, as long as the server has them.
            for name in [name for name, (one, _) in list(self._running.items()) if one.done()]:
                self._running.pop(name, None)
        self._running[job_id] = job, reservation

    def _report(self, results: Results[Result], error: Exception | None, what: str) -> ToolResult:
        files = Results(one for one in results if isinstance(one, MediaResult))
        texts = [str(one) for one in results if isinstance(one, Text)]
        paths: list[Path] = []
        if self.folder is not None and files:
            try:
                # A job may be looked at twice. A name that is no UUID could be that of a file of the user.
                paths = files.save_all(self.folder, overwrite=all(is_uuid(one.uuid) for one in files))
            except (RunwareError, OSError) as failed:  # their URLs still work
                error = error or failed
        lines = [_described(one, paths[at] if paths else None) for at, one in enumerate(files)]
        cost = "" if results.cost is None else f" for {dollars(results.cost)}"
        count = f"{len(results)} {what}{'' if len(results) == 1 else 's'}{cost}"
        summary = " ".join([f"{count}.", *self._left()])
        problem = [] if error is None else [f"Error: {_words(error)}"]
        text = "\n".join([*texts, f"({summary})" if texts else summary, *lines, *problem])
        return ToolResult(text, results=results, paths=paths, error=error)


def _unfit(problem: str, search: str) -> ValidationError:
    return ValidationError(
        f"{problem}. Leave out model, or find one with search_models({search}).",
        code="unsupportedParameter",
        parameter="model",
    )


def _settle(reservation: Reservation, job: Any) -> None:
    """Replace what was reserved for a job that is done by its bill."""
    try:
        error = job.exception(0)
    except CancelledError as cancelled:
        error = cancelled
    cost = job.cost
    # What may have been billed stays counted: a bill that was not seen, and a task that may have run.
    unknown = error is None or getattr(error, "may_have_run", False) or isinstance(error, CancelledError)
    reservation.settle(cost if cost is not None or unknown else 0.0)


def _air(name: str | None, known: Model | None) -> str | None:
    """Return the AIR of a model, which may be named by its slug."""
    return name if known is None or known.air is None else known.air


def _priced(model: str, found: Estimate) -> str:
    words = {"dry run": ", says the server", "measured": ", as earlier runs did"}.get(found.basis, "")
    return f"Such a request to {model} {'is' if found.cost is None else 'costs'} {found}{words}."


def _described(one: MediaResult, path: Path | None) -> str:
    facts = (f"id {one.uuid}" if one.uuid else None, f"file {path}" if path is not None else None, one.url)
    return "- " + ", ".join(filter(None, facts))


def _line(model: Model) -> str:
    about = ", ".join(filter(None, (model.modality, *model.capabilities)))
    price = "; ".join(model.price_lines[:2])
    name = f"{model.name} ({model.creator})" if model.creator else model.name
    return f"{model.air or model.slug}  {name}: " + "; ".join(filter(None, (about, price)))


def _whole(number: float | None) -> float | None:
    """Return a whole number as an `int`, as most models want durations."""
    return int(number) if isinstance(number, float) and number.is_integer() else number
