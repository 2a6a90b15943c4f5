"""One task being executed: when its results are finished, what they hold, what they cost."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from runware.local.answers import input_of, source_of
from runware.local.ledger import UNIT, TaskRecord
from runware.local.media import Media
from runware.local.validation import Rejected

if TYPE_CHECKING:
    from runware.local.sessions import Output
    from runware.local.state import State
    from runware.local.tasks import TaskType

__all__ = ["Job", "Sink", "delivery_of", "fails_at", "failure_of", "make_item", "make_media", "mark_applies"]


class Sink(Protocol):
    """Where a job's frames go: a session of a WebSocket, or an HTTP request."""

    def deliver(self, outputs: list[Output]) -> None:
        """Send frames, or keep them until they can be sent."""


class Job:
    """One task being executed.

    Attributes:
        task: The task as it came.
        spec: Its type.
        uuid: Its taskUUID.
        prompt: Its prompt.
        record: Its account in the ledger.
        sink: Where its frames go.
        delivery: `sync`, `async` or `webhook`.
        asked: Results that were asked for, and are billed.
        count: Results that it will have.
        attempt: How often a task with the same prompt was submitted, this one included.
        delay: Seconds until the first one.
        ack: What its acknowledgement holds, a value of the switch `q8`.
        started: When it was started, in the event loop's time.
        seed: The seed of its first result.
        items: Its finished results, by position.
        errors: Its failed results, by position.
        failure: The error if the task failed as a whole.
        on_done: Called when everything is finished. `None`: nobody waits.
        dry: It is only validated.
        memo: What answers are to say alike in all results.
        source: The file it works on, if we know it.
    """

    __slots__ = (
        "ack", "asked", "attempt", "count", "delay", "delivery", "dry", "errors", "failure", "items", "memo", "on_done",
        "prompt", "record", "seed", "sink", "source", "spec", "started", "task", "uuid",
    )  # fmt: skip

    def __init__(self, task: dict[str, Any], spec: TaskType, prompt: str, record: TaskRecord, sink: Sink) -> None:
        self.task = task
        self.spec = spec
        self.uuid: str = task["taskUUID"]
        self.prompt = prompt
        self.record = record
        self.sink = sink
        self.asked = self.count = spec.count(task)
        self.delivery = delivery_of(task, spec)
        self.attempt = 1
        self.delay = 0.0
        self.ack = "none"
        self.started = 0.0
        seed = task.get("seed")
        self.seed: int = seed if isinstance(seed, int) else random.getrandbits(31) + 1
        self.items: dict[int, dict[str, Any]] = {}
        self.errors: dict[int, dict[str, Any]] = {}
        self.failure: dict[str, Any] | None = None
        self.on_done: Callable[[], None] | None = None
        self.dry = False
        self.memo: dict[str, Any] = {}
        self.source: Media | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will come of it."""
        return self.failure is not None or len(self.items) + len(self.errors) >= self.count

    @property
    def head(self) -> dict[str, Any]:
        """What every item of it begins with."""
        return {"taskType": self.task["taskType"], "taskUUID": self.uuid}

    @property
    def inline(self) -> bool:
        """Whether its files travel inside its results."""
        return self.task.get("outputType") not in (None, "URL", ["URL"]) and bool(self.spec.prefix)

    def error(self, rejected: Rejected) -> dict[str, Any]:
        """Make an error object of it."""
        return rejected.wire(self.task)


def delivery_of(task: dict[str, Any], spec: TaskType) -> str:
    """How a task's results reach its caller: `sync`, `async` or `webhook`."""
    if task.get("webhookURL"):
        return "webhook"
    if spec.forced or spec.quick:
        return spec.delivery
    if spec.is_film(task):
        return "async"
    asked = task.get("deliveryMethod")
    return asked if asked in ("sync", "async") else spec.delivery


def make_media(state: State, job: Job, index: int) -> Media | None:
    """Note the file of one result; it is made when somebody asks for it."""
    spec = job.spec
    if not spec.kind:
        return None
    film = spec.is_film(job.task)
    extension = str(job.task.get("outputFormat") or spec.formats_for(job.task)[0]).lower()
    media = Media("video" if film else spec.kind, extension, job.task, job.prompt, job.seed + index)
    if spec.needs_input:
        value = input_of(job.task)
        if job.source is None:
            job.source = source_of(state, value)
        media.source = job.source
        media.prompt = job.prompt or (job.source.prompt if job.source is not None else str(value)[:60])
    media.style = spec.style
    state.media.add(media)
    return media


def make_item(state: State, job: Job, index: int, media: Media | None, payload: str | None) -> dict[str, Any]:
    """Make one finished result.

    Args:
        state: What the server shares.
        job: The job.
        index: Which result.
        media: Its file. `None`: it has none, or this is a dry run.
        payload: The file as base64, if it travels inside the result.

    Raises:
        Rejected: The job fails here.
    """
    spec, task = job.spec, job.task
    item = job.head
    if media is not None:
        if spec.as_files:
            item["outputs"] = {"files": [{"uuid": media.uuid, "url": state.url(media)}]}
        else:
            prefix = "media" if spec.is_film(task) else spec.prefix
            item[f"{prefix}UUID"] = media.uuid
            if payload is None:
                item[f"{prefix}URL"] = state.url(media)
            elif task["outputType"] in ("base64Data", ["base64Data"]):
                item[f"{prefix}Base64Data"] = payload
            else:
                item[f"{prefix}DataURI"] = f"data:{media.content_type};base64,{payload}"
    if spec.details is not None and not job.dry:
        item |= spec.details(state, job, index)
    if spec.seeded or (spec.name == "textInference" and "seed" in task):
        item["seed"] = job.seed + index
    if task.get("includeCost") or job.dry:
        item["cost"] = spec.price / UNIT
    return item


_MARKS = {
    "[unsafe": ("invalidProviderContent", "Blocked by the provider."),
    "[provider-error": ("providerInternalError", "The provider failed."),
    "[timeout": ("timeoutProvider", "The provider did not answer in time."),
}


def mark_applies(prompt: str, mark: str, attempt: int) -> bool:
    """Whether a prompt asks for a failure: `[mark]` always, `[mark:2]` for the first two attempts."""
    start = prompt.find(mark)
    if start < 0:
        return False
    rest = prompt[start + len(mark) :]
    if rest.startswith("]"):
        return True
    times = rest[1:].partition("]")[0]
    return rest.startswith(":") and times.isdigit() and attempt <= int(times)


def failure_of(job: Job) -> Rejected | None:
    """The failure of the whole task that its prompt asks for."""
    failure = job.memo.get("failure")
    if isinstance(failure, Rejected):
        return failure
    if "[" not in job.prompt:
        return None
    for mark, (code, message) in _MARKS.items():
        if mark_applies(job.prompt, mark, job.attempt):
            return Rejected(code, message)
    return None


def fails_at(job: Job, index: int) -> Rejected | None:
    """The failure of one result that the prompt asks for: `[fail:2]` or `[fail:2=CODE]` is the second of all."""
    _, found, rest = job.prompt.partition(f"[fail:{index + 1}")
    code = rest.partition("]")[0]
    if (found and code[:1] in ("", "=")) or index in job.memo.get("fails", ()):
        return Rejected(code[1:] or "inferenceError", f"Result {index + 1} of {job.count} failed.")
    return None
