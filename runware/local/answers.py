"""What a result of each kind of task holds besides its file, seed and cost."""

# Every answer is asked in the same way, whether it needs all arguments or not.
# ruff: noqa: ARG001

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runware.local import catalogue
from runware.local.ledger import UNIT
from runware.local.media import CONTENT_TYPES, Media, decode_input, new_uuid
from runware.local.validation import UUID4, Rejected

if TYPE_CHECKING:
    from runware.local.jobs import Job
    from runware.local.state import State

__all__ = ["UPLOAD_STATUSES", "Details", "input_of", "prompt_of", "source_of"]

Details = Callable[["State", "Job", int], dict[str, Any]]

UPLOAD_STATUSES = (
    ("validated", "Configuration accepted."),
    ("downloaded", "File fetched."),
    ("optimized", "Optimised."),
    ("stored", "Stored."),
    ("ready", "Deployed."),
)
# Base64 of fewer characters is no picture, but perhaps a name.
_SHORTEST_FILE = 60
_FLOURISHES = (
    "morning mist, film grain",
    "long exposure, blue hour",
    "soft rim light, shallow depth of field",
    "wide angle, dramatic clouds",
    "painterly strokes, warm palette",
)


def prompt_of(task: dict[str, Any]) -> str:
    """The text that a task is about, empty if it has none."""
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


def input_of(task: dict[str, Any]) -> Any:
    """The picture or film that a task works on, in the older or the current shape; `None` without one."""
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


def source_of(state: State, value: Any) -> Media | None:
    """The file that a media parameter means: one we know, or one that comes with the task and is kept from now on."""
    known = state.media.find(value)
    if known is not None or not isinstance(value, str) or len(value) < _SHORTEST_FILE:
        return known
    decoded = decode_input(value)
    if decoded is None:
        return None
    media = Media("image", decoded[1], {}, "")
    media.data = decoded[0]
    state.media.add(media)
    return media


def _input_uuid(state: State, value: Any) -> str:
    known = source_of(state, value)
    if known is not None:
        return known.uuid
    return value if isinstance(value, str) and UUID4(value) else new_uuid()


def with_input(state: State, job: Job, index: int) -> dict[str, Any]:
    """Name the picture that the task worked on."""
    if "inputImageUUID" not in job.memo:
        value = input_of(job.task)
        job.memo["inputImageUUID"] = job.source.uuid if job.source is not None else _input_uuid(state, value)
    return {"inputImageUUID": job.memo["inputImageUUID"]}


def image(state: State, job: Job, index: int) -> dict[str, Any]:
    """A generated picture: flagged if that was asked for."""
    task = job.task
    safety = task.get("safety")
    asked = task.get("checkNSFW") or (
        isinstance(safety, dict) and (safety.get("checkContent") or safety.get("mode", "none") != "none")
    )
    return {"NSFWContent": "[nsfw]" in job.prompt} if asked else {}


def photo_maker(state: State, job: Job, index: int) -> dict[str, Any]:
    """A picture made from photographs."""
    if "inputs" not in job.memo:
        job.memo["inputs"] = [_input_uuid(state, value) for value in job.task.get("inputImages", [])]
    return {"inputImagesUUID": job.memo["inputs"]} | image(state, job, index)


def masking(state: State, job: Job, index: int) -> dict[str, Any]:
    """A mask, and where something was found."""
    rng = random.Random(job.uuid)
    left, top = rng.randrange(10, 200), rng.randrange(10, 200)
    found = {"x_min": left, "y_min": top, "x_max": left + 100, "y_max": top + 120}
    return with_input(state, job, index) | {"detections": [found]}


def caption(state: State, job: Job, index: int) -> dict[str, Any]:
    """A description of a picture; pictures of our own are described by their prompt."""
    known = source_of(state, input_of(job.task))
    subject = known.prompt if known is not None and known.prompt else "boats tied to a pier"
    return {"text": f"a picture of {subject}" if known is not None else subject}


def enhanced(state: State, job: Job, index: int) -> dict[str, Any]:
    """A longer prompt."""
    words = f"{job.prompt}, {_FLOURISHES[(len(job.prompt) + index) % len(_FLOURISHES)]}"
    return {"text": words[: job.task.get("promptMaxLength", 380)]}


def answer_text(job: Job, index: int) -> str:
    """What the language model says."""
    settings = job.task.get("settings")
    style = f" ({index + 1})" if job.count > 1 else ""
    prefix = f"[{settings['systemPrompt']}] " if isinstance(settings, dict) and settings.get("systemPrompt") else ""
    return f"{prefix}You said: {job.prompt}{style} — and that is all there is to say, ☃."


def token_usage(job: Job, words: str) -> dict[str, int]:
    """How many tokens were read and written, at four characters each."""
    messages = job.task.get("messages") or []
    read = sum(math.ceil(len(str(message.get("content", ""))) / 4) for message in messages)
    written = math.ceil(len(words) / 4)
    return {"promptTokens": read, "completionTokens": written, "totalTokens": read + written}


def text(state: State, job: Job, index: int) -> dict[str, Any]:
    """An answer of a language model."""
    words = answer_text(job, index)
    item: dict[str, Any] = {"text": words, "finishReason": "stop"}
    if job.task.get("includeUsage"):
        item["usage"] = token_usage(job, words)
    return item


def _stored(state: State, job: Job, value: str, kind: str) -> Media:
    known = state.media.find(value)
    media = Media(kind, "png", {}, known.prompt if known is not None else job.prompt or value[:60])
    if value.startswith(("http://", "https://")):
        extension = urlsplit(value).path.rpartition(".")[2].lower()
        media.extension = extension if extension in CONTENT_TYPES else "png"
        media.kind = "video" if media.extension in ("mp4", "webm", "mov") else kind
        if known is not None:
            media.source, media.extension = known, known.extension
    else:
        decoded = decode_input(value)
        if decoded is None or not decoded[0]:
            name = "image" if kind == "image" else "media"
            raise Rejected(f"invalid{name.title()}", f"'{name}' is no URL, data URI or base64.", name, type="string")
        media.data, media.extension = decoded
    state.media.add(media)
    return media


def image_upload(state: State, job: Job, index: int) -> dict[str, Any]:
    """Where an uploaded picture is."""
    media = _stored(state, job, job.task["image"], "image")
    return {"imageUUID": media.uuid, "imageURL": state.url(media)}


def media_storage(state: State, job: Job, index: int) -> dict[str, Any]:
    """Where a stored file is, or that it was deleted."""
    task = job.task
    if task["operation"] == "upload":
        media = _stored(state, job, task["media"], "media")
        return {"operation": "upload", "mediaUUID": media.uuid, "mediaURL": state.url(media)}
    if not state.media.remove(task["media"]):
        raise Rejected("mediaNotFound", "There is no such media.", "media", type="string")
    return {"operation": "delete", "mediaUUID": task["media"]}


def model_upload(state: State, job: Job, index: int) -> dict[str, Any]:
    """One step of a model's upload; after the last one a search finds it."""
    task = job.task
    status, message = UPLOAD_STATUSES[min(index, len(UPLOAD_STATUSES) - 1)]
    air = task.get("air") or f"local:{task.get('uniqueIdentifier', job.uuid[:8])}@{task.get('version', '1')}"
    if status == "ready":
        names = ("name", "version", "category", "architecture", "type", "conditioning", "comment")
        model = {"air": air, "architecture": "", "tags": task.get("tags", []), "private": task.get("private", True)}
        model |= {name: task[name] for name in names if name in task}
        if not any(known["air"] == air for known in state.models):
            state.models.append(model)
    return {"status": status, "message": message, "air": air}


def model_search(state: State, job: Job, index: int) -> dict[str, Any]:
    """One page of the models that match."""
    return catalogue.search(state.models, job.task)


def training(state: State, job: Job, index: int) -> dict[str, Any]:
    """A trained model."""
    wanted = job.task.get("importModel")
    air = wanted.get("air") if isinstance(wanted, dict) else None
    return {"air": air or f"local:{int(job.uuid[:6], 16)}@1", "outputs": {}}


def account(state: State, job: Job, index: int) -> dict[str, Any]:
    """The account's details. The usage operations give an empty list: their shape is not documented."""
    operation = job.task["operation"]
    if operation != "getDetails":
        return {"operation": operation, "results": []}
    ledger, options = state.ledger, state.options
    left = 100.0 - ledger.billed if options.balance is None else options.balance / UNIT
    balance: Any = round(left, 5)
    if state.switches.q18 == "object":
        balance = {"amount": balance, "currency": "USD"}
    used = {"credits": round(ledger.billed, 5), "requests": ledger.executed}
    return {
        "operation": operation,
        "organizationUUID": "ff000000-0000-4000-8000-000000000001",
        "organizationName": "Local Organization",
        "AIRSource": "local",
        "balance": balance,
        "team": [
            {
                "name": "Ada Example",
                "email": "ada@example.com",
                "roles": ["Owner"],
                "joinedAt": "2025-01-01T00:00:00Z",
            }
        ],
        "apiKeys": [
            {
                "name": "local",
                "apiKey": f"{(options.api_key or '')[:4]}****",
                "description": "",
                "createdAt": "2025-01-02T00:00:00Z",
                "enabled": options.api_key is not None,
                "requests": ledger.executed,
                "lastUsedAt": "2025-01-03T00:00:00Z",
            }
        ],
        "usage": dict.fromkeys(("total", "today", "last7Days", "last30Days"), used),
    }
