"""The description of a task type, and the checks and decisions that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runware.local.task_inputs import input_of
from runware.local.uuids import match_uuid4
from runware.local.validation import ApiError, Field, check, check_all

__all__ = ["PROVIDERS", "UPLOAD_STATUSES", "TaskSpec", "check_uuid", "delivery_of"]

UPLOAD_STATUSES = (
    ("validated", "Configuration accepted."),
    ("downloaded", "File fetched."),
    ("optimized", "Optimised."),
    ("stored", "Stored."),
    ("ready", "Deployed."),
)
"""The statuses of a model upload and their messages, in order."""

PROVIDERS = frozenset((
    "alibaba", "bfl", "bria", "bytedance", "elevenlabs", "google", "ideogram", "klingai", "lightricks", "lumaai",
    "midjourney", "minimax", "mirelo", "openai", "pixverse", "recraft", "runway", "sourceful", "sync", "vidu",
))  # fmt: skip


@dataclass(frozen=True)
class TaskSpec:
    """One task type.

    Attributes:
        name: The API's name of the task type.
        fields: Its parameters by name.
        media_kind: The kind of its files: `image`, `video`, `audio`, `model`, `media`; empty if results have no file.
        media_key: The start of the keys that name the file: `image` for `imageUUID` and `imageURL`.
        image_style: How an image is drawn: a key of `images.STYLES`, or `scaled`.
        formats: The allowed values of outputFormat, the default first.
        video_formats: The same if the input is a video.
        delivery: The delivery without a deliveryMethod: `sync` or `async`.
        delivery_fixed: Whether deliveryMethod is ignored.
        price: The flat price of one result, in units of 0.00001 dollars; 0 if the task is free.
        max_results: The largest number of results.
        count_parameter: The parameter for the number of results.
        has_seed: Whether a result contains its seed.
        needs_input: Whether an input image or video is required.
        files_in_outputs: Whether a result has `outputs.files` instead of keys that begin with `media_key`.
        rejects_unknown: Whether unknown parameters are an error.
        repeatable: Whether the same taskUUID may be used again, because the task changes nothing.
        is_query: Whether the task only asks for something. `delay` and `hold` affect it only if they name it.
        reports_status: Whether each of its results is a status, in a frame of its own.
        required: The required parameters; made from `fields`.
    """

    name: str
    fields: Mapping[str, Field]
    media_kind: str = ""
    media_key: str = ""
    image_style: str = "scene"
    formats: tuple[str, ...] = ()
    video_formats: tuple[str, ...] = ()
    delivery: str = "sync"
    delivery_fixed: bool = False
    price: int = 0
    max_results: int = 1
    count_parameter: str = "numberResults"
    has_seed: bool = False
    needs_input: bool = False
    files_in_outputs: bool = False
    rejects_unknown: bool = False
    repeatable: bool = False
    is_query: bool = False
    reports_status: bool = False
    required: tuple[Field, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "required", tuple(f for f in self.fields.values() if f.required))

    def validate(self, task: dict[str, Any], *, strict: bool) -> None:
        """Check a task.

        Args:
            task: The task as received.
            strict: Reject unknown parameters also where the real service accepts them.

        Raises:
            ApiError: A parameter is wrong or missing.
        """
        check_all((f for f in self.required if f.name not in task), task)
        fields = self.fields
        for name, value in task.items():
            spec = fields.get(name)
            if spec is not None:
                # Older clients send the output type as a list of one.
                listed = name == "outputType" and isinstance(value, list) and len(value) == 1
                check(spec, value[0] if listed else value)
            # The service rejects includeCost for task types without a price, even where it accepts unknown parameters.
            elif name not in ("taskType", "taskUUID") and (strict or self.rejects_unknown or name == "includeCost"):
                raise ApiError("unknownParameter", f"'{name}' is not a parameter of {self.name}.", name)
        if self.formats:
            self._check_format(task)
        if self.needs_input and not input_of(task) and not task.get("inputVideo"):
            name = "inputImage" if "inputImage" in fields else "inputs.image"
            raise ApiError("missingParameter", f"'{name}' is required.", name, type="string")
        if "providerSettings" in task:
            _check_providers(task)
        if self.name == "textInference":
            _check_messages(task)
        if task.get("deliveryMethod") == "stream" and self.name != "textInference":
            allowed = ["sync", "async"]
            message = f"{self.name} cannot be streamed."
            raise ApiError("invalidDeliveryMethod", message, "deliveryMethod", type="string", allowedValues=allowed)
        if task.get("deliveryMethod") == "sync" and self.is_video(task):
            message = f"{self.name} of a video is delivered asynchronously only."
            raise ApiError("invalidDeliveryMethod", message, "deliveryMethod", type="string", allowedValues=["async"])

    def _check_format(self, task: dict[str, Any]) -> None:
        wanted = task.get("outputFormat")
        formats = self.formats_for(task)
        if wanted is not None and wanted not in formats:
            message = f"'outputFormat' must be one of {', '.join(formats)}."
            allowed = list(formats)
            raise ApiError("invalidOutputFormat", message, "outputFormat", type="string", allowedValues=allowed)
        output = task.get("outputType")
        if output not in (None, "URL", ["URL"]) and (self.media_kind in ("video", "model") or self.is_video(task)):
            message = "'outputType' must be URL here."
            raise ApiError("invalidOutputType", message, "outputType", type="string", allowedValues=["URL"])

    def is_video(self, task: dict[str, Any]) -> bool:
        """Return whether the input of a task is a video rather than an image."""
        if not (self.video_formats or self.name == "caption"):
            return False
        inputs = task.get("inputs")
        return "inputVideo" in task or (isinstance(inputs, dict) and bool(inputs.get("video")))

    def formats_for(self, task: dict[str, Any]) -> tuple[str, ...]:
        """Return the allowed output formats of a task, the default first."""
        return self.video_formats if self.video_formats and self.is_video(task) else self.formats

    def count(self, task: dict[str, Any]) -> int:
        """Return the number of results that a task asks for."""
        if self.reports_status:
            return len(UPLOAD_STATUSES)
        asked = task.get(self.count_parameter, 1)
        return asked if isinstance(asked, int) else 1


def _check_providers(task: dict[str, Any]) -> None:
    source = str(task.get("model", "")).partition(":")[0]
    for provider in task["providerSettings"]:
        if provider not in PROVIDERS:
            path = f"providerSettings.{provider}"
            raise ApiError("unknownProviderSettingsProvider", f"There is no provider '{provider}'.", path)
        if source in PROVIDERS and source != provider:
            path = f"providerSettings.{provider}"
            raise ApiError("mismatchProviderSettingsProvider", f"The model is not one of '{provider}'.", path)


def _check_messages(task: dict[str, Any]) -> None:
    """Check that every message has content, or calls tools."""
    for number, message in enumerate(task["messages"]):
        if message.get("content") is None and not message.get("tools"):
            name = f"messages[{number}].content"
            raise ApiError("missingParameter", f"'{name}' is required.", name, type="string")


def check_uuid(task: dict[str, Any], code: str) -> str:
    """Return the taskUUID of a task.

    Args:
        task: The task.
        code: The error code for a missing taskUUID.

    Raises:
        ApiError: The taskUUID is missing, or not a UUID of version 4.
    """
    value = task.get("taskUUID")
    if value is None:
        raise ApiError(code, "'taskUUID' is required.", "taskUUID", type="string")
    if not isinstance(value, str) or not match_uuid4(value):
        raise ApiError("invalidTaskUUID", "'taskUUID' must be a UUID of version 4.", "taskUUID", type="string")
    return value


def delivery_of(task: dict[str, Any], spec: TaskSpec) -> str:
    """Return how a task's results are delivered: `sync`, `async` or `webhook`."""
    if task.get("webhookURL"):
        return "webhook"
    if spec.delivery_fixed or spec.is_query:
        return spec.delivery
    if spec.is_video(task):
        return "async"
    wanted = task.get("deliveryMethod")
    return wanted if wanted in ("sync", "async") else spec.delivery
