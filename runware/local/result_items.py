"""Create the files and the items of results."""

from __future__ import annotations

from typing import Any

from runware.local.ledger import UNIT
from runware.local.media import Media, extension_of
from runware.local.result_details import RESULT_DETAILS, find_source
from runware.local.state import ServerState
from runware.local.task_inputs import input_of
from runware.local.task_run import TaskRun

__all__ = ["make_item", "make_media"]


def make_media(state: ServerState, run: TaskRun, index: int) -> Media | None:
    """Register the file of one result, or return `None` if the task has none. It is rendered on its first request."""
    spec = run.spec
    if not spec.media_kind:
        return None
    kind = "video" if spec.is_video(run.task) else spec.media_kind
    extension = str(run.task.get("outputFormat") or spec.formats_for(run.task)[0]).lower()
    if run.file is not None:
        extension = extension_of(run.file) or extension
    media = Media(kind, extension, run.task, run.prompt, run.seed + index)
    media.data = run.file
    if run.given is not None and index < len(run.given):
        key = "media" if spec.is_video(run.task) else spec.media_key
        media.uuid = run.given[index].get(f"{key}UUID", media.uuid)
    if spec.needs_input or spec.media_kind == "media":
        value = input_of(run.task)
        if run.source is None:
            run.source = find_source(state, value)
        media.source = run.source
        media.prompt = run.prompt or (run.source.prompt if run.source is not None else str(value)[:60])
    media.style = spec.image_style
    state.media.add(media)
    return media


def make_item(state: ServerState, run: TaskRun, index: int, media: Media | None, payload: str | None) -> dict[str, Any]:
    """Create one finished result.

    Args:
        state: The state of the server.
        run: The task run.
        index: The index of the result.
        media: Its file. `None`: it has none, or this is a dry run.
        payload: The file as base64, if it is sent inside the result.

    Raises:
        ApiError: The task fails.
    """
    spec, task = run.spec, run.task
    item = run.head
    if media is not None:
        if spec.files_in_outputs:
            item["outputs"] = {"files": [{"uuid": media.uuid, "url": state.url(media)}]}
        else:
            key = "media" if spec.is_video(task) else spec.media_key
            item[f"{key}UUID"] = media.uuid
            if payload is None:
                item[f"{key}URL"] = state.url(media)
            elif task["outputType"] in ("base64Data", ["base64Data"]):
                item[f"{key}Base64Data"] = payload
            else:
                item[f"{key}DataURI"] = f"data:{media.content_type};base64,{payload}"
    details = RESULT_DETAILS.get(spec.name)
    if details is not None and not run.dry:
        item |= details(state, run, index)
    if spec.has_seed or (spec.name == "textInference" and "seed" in task):
        item["seed"] = run.seed + index
    if task.get("includeCost") or run.dry:
        item["cost"] = run.cost(index) / UNIT
    if run.given is not None and index < len(run.given):
        given = run.given[index]
        if "outputs" in item and isinstance(given.get("outputs"), dict):
            given = {**given, "outputs": item["outputs"] | given["outputs"]}
        item |= given
    return item
