"""The details of a result besides its file, seed and cost, for each task type."""

# The functions of RESULT_DETAILS are called with the same arguments, whether they need them or not.
# ruff: noqa: ARG001

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from runware.local.ledger import UNIT
from runware.local.media import CONTENT_TYPES, Media, decode_input
from runware.local.model_catalogue import search_models
from runware.local.state import ServerState
from runware.local.task_inputs import input_of
from runware.local.task_run import TaskRun
from runware.local.task_schema import UPLOAD_STATUSES
from runware.local.task_types import OLDER_NAMES
from runware.local.uuids import match_uuid4, new_uuid
from runware.local.validation import ApiError

__all__ = ["RESULT_DETAILS", "answer_text", "find_source", "token_usage"]

ResultDetails = Callable[[ServerState, TaskRun, int], dict[str, Any]]

# Base64 with fewer characters is not a file, but perhaps a name.
_MIN_BASE64_LENGTH = 60
_PROMPT_ADDITIONS = (
    "morning mist, film grain",
    "long exposure, blue hour",
    "soft rim light, shallow depth of field",
    "wide angle, dramatic clouds",
    "painterly strokes, warm palette",
)


def find_source(state: ServerState, value: Any) -> Media | None:
    """Find the file that a media parameter stands for; store it if the parameter contains the file itself."""
    known = state.media.find(value)
    if known is not None or not isinstance(value, str) or len(value) < _MIN_BASE64_LENGTH:
        return known
    decoded = decode_input(value)
    if decoded is None:
        return None
    media = Media("image", decoded[1], {}, "")
    media.data = decoded[0]
    state.media.add(media)
    return media


def _input_uuid(state: ServerState, value: Any) -> str:
    known = find_source(state, value)
    if known is not None:
        return known.uuid
    return value if isinstance(value, str) and match_uuid4(value) else new_uuid()


def _input_image(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return the UUID of the input image, the same for all results."""
    if run.input_uuid is None:
        run.input_uuid = run.source.uuid if run.source is not None else _input_uuid(state, input_of(run.task))
    return {"inputImageUUID": run.input_uuid}


def _image(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return whether a generated image is unsafe, if the task asks for the check."""
    task = run.task
    safety = task.get("safety")
    requested = task.get("checkNSFW") or (
        isinstance(safety, dict) and (safety.get("checkContent") or safety.get("mode", "none") != "none")
    )
    return {"NSFWContent": "[nsfw]" in run.prompt} if requested else {}


def _photo_maker(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return the UUIDs of the input images, the same for all results."""
    if run.input_uuids is None:
        run.input_uuids = [_input_uuid(state, value) for value in run.task.get("inputImages", [])]
    return {"inputImagesUUID": run.input_uuids} | _image(state, run, index)


def _masking(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return the input image and the bounding box of a detection."""
    rng = random.Random(run.uuid)
    left, top = rng.randrange(10, 200), rng.randrange(10, 200)
    found = {"x_min": left, "y_min": top, "x_max": left + 100, "y_max": top + 120}
    return _input_image(state, run, index) | {"detections": [found]}


def _caption(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return a description of an image; images that the server made are described by their prompt."""
    known = find_source(state, input_of(run.task))
    subject = known.prompt if known is not None and known.prompt else "boats tied to a pier"
    return {"text": f"a picture of {subject}" if known is not None else subject}


def _enhanced_prompt(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return a longer prompt."""
    words = f"{run.prompt}, {_PROMPT_ADDITIONS[(len(run.prompt) + index) % len(_PROMPT_ADDITIONS)]}"
    return {"text": words[: run.task.get("promptMaxLength", 380)]}


def answer_text(run: TaskRun, index: int) -> str:
    """Return the answer of the language model."""
    if run.given is not None and index < len(run.given) and isinstance(run.given[index].get("text"), str):
        return str(run.given[index]["text"])
    settings = run.task.get("settings")
    style = f" ({index + 1})" if run.count > 1 else ""
    prefix = f"[{settings['systemPrompt']}] " if isinstance(settings, dict) and settings.get("systemPrompt") else ""
    return f"{prefix}You said: {run.prompt}{style} — and that is all there is to say, ☃."


def token_usage(run: TaskRun, words: str) -> dict[str, int]:
    """Return the number of tokens of the messages and the answer, at four characters each."""
    messages = run.task.get("messages") or []
    read = sum(math.ceil(len(str(message.get("content", ""))) / 4) for message in messages)
    written = math.ceil(len(words) / 4)
    return {"promptTokens": read, "completionTokens": written, "totalTokens": read + written}


def called_tools(run: TaskRun) -> list[dict[str, Any]]:
    """Return the calls of tools that the prompt asks for: `[tool:NAME]`, or `[tool:NAME={"city": "Oslo"}]`."""
    offered = {tool.get("name") for tool in run.task.get("tools") or [] if isinstance(tool, dict)}
    calls: list[dict[str, Any]] = []
    for part in run.prompt.split("[tool:")[1:]:
        name, _, arguments = part.partition("]")[0].partition("=")
        if name in offered:
            calls.append({"id": f"call_{len(calls) + 1}", "name": name, "input": json.loads(arguments or "{}")})
    return calls


def _text(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return the answer of the language model, and its usage if the task asks for it."""
    words = answer_text(run, index)
    item: dict[str, Any] = {"text": words, "finishReason": "stop"}
    if run.task.get("includeUsage"):
        item["usage"] = token_usage(run, words)
    return item


def _stored(state: ServerState, run: TaskRun, value: str, kind: str) -> Media:
    known = state.media.find(value)
    media = Media(kind, "png", {}, known.prompt if known is not None else run.prompt or value[:60])
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
            raise ApiError(f"invalid{name.title()}", f"'{name}' is no URL, data URI or base64.", name, type="string")
        media.data, media.extension = decoded
    state.media.add(media)
    return media


def _image_upload(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Store an image; return its UUID and URL."""
    media = _stored(state, run, run.task["image"], "image")
    return {"imageUUID": media.uuid, "imageURL": state.url(media)}


def _media_storage(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Store or delete a file."""
    task = run.task
    if task["operation"] == "upload":
        media = _stored(state, run, task["media"], "media")
        return {"operation": "upload", "mediaUUID": media.uuid, "mediaURL": state.url(media)}
    if not state.media.remove(task["media"]):
        raise ApiError("mediaNotFound", "There is no such media.", "media", type="string")
    return {"operation": "delete", "mediaUUID": task["media"]}


def _model_upload(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return one status of a model upload; add the model to the search with the last one."""
    task = run.task
    status, message = UPLOAD_STATUSES[min(index, len(UPLOAD_STATUSES) - 1)]
    air = task.get("air") or f"local:{task.get('uniqueIdentifier', run.uuid[:8])}@{task.get('version', '1')}"
    if status == "ready":
        state.own_airs.add(air.lower())
        names = ("name", "version", "category", "architecture", "type", "conditioning", "comment")
        model = {"air": air, "architecture": "", "tags": task.get("tags", []), "private": task.get("private", True)}
        model |= {name: task[name] for name in names if name in task}
        if not any(known["air"] == air for known in state.models):
            state.models.append(model)
    return {"status": status, "message": message, "air": air}


def _model_search(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return one page of the matching models."""
    return search_models(state.models, run.task)


def _training(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return the AIR identifier of a trained model."""
    wanted = run.task.get("importModel")
    air = (wanted.get("air") if isinstance(wanted, dict) else None) or f"local:{int(run.uuid[:6], 16)}@1"
    state.own_airs.add(str(air).lower())
    return {"air": air, "outputs": {}}


def _usage(state: ServerState, task: dict[str, Any]) -> dict[str, Any]:
    """Return the reports of a usage operation, by the groups that the task asks for."""
    ledger, today = state.ledger, datetime.now(UTC).date().isoformat()
    executed = [done for done in ledger.received if ledger.executions(str(done.get("taskUUID")))]
    models = task.get("models") or sorted({str(done["model"]) for done in executed if "model" in done})

    def row(tasks: list[dict[str, Any]]) -> dict[str, Any]:
        names = {str(one["taskUUID"]) for one in tasks}
        row: dict[str, Any] = {"date": today}
        if task["operation"] == "getUsageActivity":
            row |= {"count": len(names), "spend": round(sum(map(ledger.cost, names)), 5)}
        elif task["operation"] == "getUsagePerformance":
            row |= dict.fromkeys(("avgInferenceTime", "p90InferenceTime", "p99InferenceTime"), 0.1)
        else:
            row |= {"clientErrors": ledger.rejected, "serverErrors": 0}
        return row

    meta = {
        "totalRequests": ledger.executed, "totalResults": ledger.results, "totalSpend": round(ledger.billed, 5),
        "totalErrors": ledger.rejected,
    }  # fmt: skip
    by_model = [{**row([done for done in executed if done.get("model") == model]), "model": model} for model in models]
    reports = {"date": [row(executed)], "model": by_model, "apiKey": [{**row(executed), "apiKey": "local"}]}
    groups = task.get("groupBy") or list(reports)
    names = {"date": "timeseries"}
    found = {names.get(group, group): {"data": reports[group], "meta": meta} for group in groups if group in reports}
    return {"operation": task["operation"], "usage": found} | {
        name: task[name] for name in ("startDate", "endDate") if name in task
    }


def _account(state: ServerState, run: TaskRun, index: int) -> dict[str, Any]:
    """Return the account, or a report of its usage."""
    operation = run.task["operation"]
    if operation != "getDetails":
        return _usage(state, run.task)
    ledger, options = state.ledger, state.options
    remaining = 100.0 - ledger.billed if options.balance is None else options.balance / UNIT
    balance: Any = round(remaining, 5)
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


RESULT_DETAILS: dict[str, ResultDetails] = {
    "imageInference": _image,
    "photoMaker": _photo_maker,
    "textInference": _text,
    "upscale": _input_image,
    "removeBackground": _input_image,
    "caption": _caption,
    "controlNetPreprocess": _input_image,
    "imageMasking": _masking,
    "promptEnhance": _enhanced_prompt,
    "training": _training,
    "imageUpload": _image_upload,
    "mediaStorage": _media_storage,
    "modelUpload": _model_upload,
    "modelSearch": _model_search,
    "accountManagement": _account,
}
"""The function that creates the details of a result, by task type."""
RESULT_DETAILS |= {old: RESULT_DETAILS[new] for old, new in OLDER_NAMES.items()}
