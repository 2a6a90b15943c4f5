"""Every task type that the server knows, as data: what it takes, what it gives, what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from runware.local import answers
from runware.local.answers import Details
from runware.local.validation import (
    UUID4,
    Field,
    Rejected,
    array,
    boolean,
    check,
    check_all,
    media,
    medium,
    number,
    obj,
    text,
    whole,
)

__all__ = ["TASK_TYPES", "TaskType"]

_SEED = whole("seed", 1, 9223372036854775807)
_AIR = re.compile(r"[\w.\-]+(:[\w.\-/]+)*(@[\w.\-]+)?")
_MODEL = text("model", pattern=_AIR)
_NEEDED_MODEL = text("model", pattern=_AIR, required=True)
IMAGE_FORMATS = ("JPG", "PNG", "WEBP")
VIDEO_FORMATS = ("MP4", "WEBM", "MOV")
PROVIDERS = frozenset((
    "alibaba", "bfl", "bria", "bytedance", "elevenlabs", "google", "ideogram", "klingai", "lightricks", "lumaai",
    "midjourney", "minimax", "mirelo", "openai", "pixverse", "recraft", "runway", "sourceful", "sync", "vidu",
))  # fmt: skip

COMMON: tuple[Field, ...] = (
    _MODEL,
    Field("outputType", "string", values=("URL", "base64Data", "dataURI")),
    whole("outputQuality", 20, 99),
    text("uploadEndpoint"),
    text("webhookURL"),
    Field("deliveryMethod", "string", values=("sync", "async", "stream")),
    whole("ttl", 60),
    boolean("includeCost"),
    boolean("checkNSFW"),
    obj(
        "safety",
        boolean("checkContent"),
        Field("mode", "string", values=("none", "fast", "full")),
        boolean("checkInputs"),
    ),
    obj("routing"),
    obj("settings"),
    obj(
        "inputs",
        *map(
            media,
            (
                "image",
                "images",
                "seedImage",
                "mask",
                "maskImage",
                "referenceImages",
                "frameImages",
                "video",
                "videos",
                "referenceVideos",
                "audio",
                "audios",
                "referenceAudios",
            ),
        ),
    ),
    obj("providerSettings"),
)


def anything(*names: str) -> tuple[Field, ...]:
    """Parameters that are known but not checked."""
    return tuple(Field(name, "any") for name in names)


_PROMPT = text(
    "positivePrompt",
    2,
    3000,
    required=True,
    length_code="invalidPositivePromptLength",
    missing_code="missingPositivePrompt",
)
_FREE_PROMPT = replace(_PROMPT, required=False)
_NEGATIVE = text("negativePrompt", 2, 3000)
_WEIGHT = number("weight", -4, 4)
_SHARE = number("weight", 0, 1)
_LORA = array(
    "lora", obj("lora", _NEEDED_MODEL, _WEIGHT, Field("transformer", "string", values=("high", "low", "both")))
)
_STEP_RANGE = (
    whole("startStep", 0),
    whole("endStep", 0),
    number("startStepPercentage", 0, 99),
    number("endStepPercentage", 0, 100),
)
_ACCELERATION = (
    Field("acceleration", "string", values=("none", "low", "medium", "high")),
    obj(
        "acceleratorOptions",
        boolean("teaCache"),
        number("teaCacheDistance", 0, 1),
        boolean("deepCache"),
        whole("deepCacheInterval", 1),
        whole("deepCacheBranchId", 0),
        boolean("fbCache"),
        number("fbCacheThreshold", 0, 1),
        number("cacheStartStepPercentage", 0, 99),
        number("cacheEndStepPercentage", 0, 100),
        whole("cacheMaxConsecutiveSteps", 1, 5),
    ),
)
_DIFFUSION = (
    _NEGATIVE,
    whole("width", 128, 2048, multiplier=64),
    whole("height", 128, 2048, multiplier=64, code="invalidCustomHeight"),
    whole("steps", 1, 100),
    text("scheduler"),
    _SEED,
    number("CFGScale", 0, 50),
    whole("clipSkip", 0, 2),
)
_OUTPAINT = obj(
    "outpaint",
    *(whole(side, 0, multiplier=64) for side in ("top", "right", "bottom", "left")),
    whole("blur", 0, 32),
)
_ACE = obj(
    "acePlusPlus",
    Field("type", "string", values=("portrait", "subject", "local_editing")),
    array("inputImages", medium("inputImages"), high=1),
    array("inputMasks", medium("inputMasks"), high=1),
    number("repaintingScale", 0, 1),
)
_PULID = (
    array("inputImages", medium("inputImages"), low=1, high=1),
    number("idWeight", 0, 3),
    number("trueCFGScale", 0, 10),
    whole("CFGStartStep", 0, 10),
    number("CFGStartStepPercentage", 0, 100),
)
_IMAGE = (
    _PROMPT,
    *_DIFFUSION,
    number("trueCFGScale", 0),
    number("strength", 0, 1),
    whole("maskMargin", 32, 128),
    medium("seedImage"),
    medium("maskImage"),
    text("vae"),
    array("referenceImages", media("referenceImages")),
    _OUTPAINT,
    Field("promptWeighting", "string", values=("compel", "sdEmbeds", "sdembeds")),
    boolean("usePromptWeighting"),
    *_ACCELERATION,
    _LORA,
    array("lycoris", obj("lycoris", _NEEDED_MODEL, number("weight"))),
    array("embeddings", obj("embeddings", _NEEDED_MODEL, _WEIGHT)),
    array(
        "controlNet",
        obj(
            "controlNet",
            _NEEDED_MODEL,
            medium("guideImage", required=True),
            _SHARE,
            *_STEP_RANGE,
            Field("controlMode", "string", values=("prompt", "controlnet", "balanced")),
        ),
    ),
    array(
        "ipAdapters",
        obj("ipAdapters", _NEEDED_MODEL, medium("guideImage"), array("guideImages", medium("guideImages")), _SHARE),
    ),
    obj("refiner", _NEEDED_MODEL, whole("startStep", 2), number("startStepPercentage", 1, 99)),
    obj("advancedFeatures"),
    obj("puLID", *_PULID),
    obj("pulid", *_PULID),
    _ACE,
    obj("instantID", medium("inputImage"), medium("poseImage"), media("inputImages")),
    obj("photoMaker"),
    obj("ultralytics"),
    *anything("hiresFix", "resolution", "structuredPrompt", "upscaleFactor", "extraArgs"),
)
_VIDEO = (
    replace(_FREE_PROMPT, high=None),
    _NEGATIVE,
    number("duration", 1, 60, code="unsupportedDuration"),
    whole("fps", 15, 60),
    whole("width", 256, 1920, multiplier=8),
    whole("height", 256, 1920, multiplier=8, code="invalidCustomHeight"),
    whole("steps", 10, 50),
    _SEED,
    number("CFGScale", 0, 50),
    *(array(name, media(name)) for name in ("frameImages", "referenceImages", "referenceVideos", "inputAudios")),
    obj("speech"),
    _LORA,
    *_ACCELERATION,
    obj("advancedFeatures"),
    *anything("resolution", "strength", "skipResponse"),
)
_EDITED = (
    medium("inputImage"),
    medium("inputVideo"),
    *anything("resolution", "width", "height", "fps", "positivePrompt"),
)


@dataclass(frozen=True)
class TaskType:
    """One task type.

    Attributes:
        name: The wire name.
        fields: What it takes, by wire name.
        kind: What its file is: `image`, `video`, `audio`, `model`; empty if a result has no file.
        prefix: The start of the keys that name the file: `image` for `imageUUID` and `imageURL`.
        style: How a picture is drawn, one of `pictures.STYLES`, or `scaled`.
        formats: The allowed values of outputFormat, the default first.
        video_formats: The same when the input is a film.
        details: Makes what a result holds besides.
        delivery: The delivery without a deliveryMethod: `sync` or `async`.
        forced: The delivery cannot be chosen.
        price: Of one result, in 0.00001 dollars.
        most: The most results of one task.
        counter: The parameter that says how many results.
        seeded: A result tells its seed.
        needs_input: A picture or film to work on has to be given.
        as_files: A result has `outputs.files` instead of keys of its own.
        closed: Unknown parameters are an error.
        repeatable: It changes nothing, so the same taskUUID may come again.
        quick: It is a question: `delay` and `hold` apply only if they name it.
        statuses: It reports its progress in frames of its own.
    """

    name: str
    fields: Mapping[str, Field]
    kind: str = ""
    prefix: str = ""
    style: str = "scene"
    formats: tuple[str, ...] = ()
    video_formats: tuple[str, ...] = ()
    details: Details | None = None
    delivery: str = "sync"
    forced: bool = False
    price: int = 0
    most: int = 1
    counter: str = "numberResults"
    seeded: bool = False
    needs_input: bool = False
    as_files: bool = False
    closed: bool = False
    repeatable: bool = False
    quick: bool = False
    statuses: bool = False
    required: tuple[Field, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "required", tuple(f for f in self.fields.values() if f.required))

    def validate(self, task: dict[str, Any], *, strict: bool) -> None:
        """Check a task.

        Args:
            task: As it came on the wire.
            strict: Reject unknown parameters also where the real service is open to them.

        Raises:
            Rejected: Something is wrong with it.
        """
        check_all((f for f in self.required if f.name not in task), task)
        fields = self.fields
        for name, value in task.items():
            spec = fields.get(name)
            if spec is not None:
                # Older clients send the one output type in a list.
                listed = name == "outputType" and isinstance(value, list) and len(value) == 1
                check(spec, value[0] if listed else value)
            # The cost has a name that is known, and so is refused where nothing has one, however open the rest is.
            elif name not in ("taskType", "taskUUID") and (strict or self.closed or name == "includeCost"):
                raise Rejected("unknownParameter", f"'{name}' is not a parameter of {self.name}.", name)
        if self.formats:
            self._check_format(task)
        if self.needs_input and not answers.input_of(task) and not task.get("inputVideo"):
            name = "inputImage" if "inputImage" in fields else "inputs.image"
            raise Rejected("missingParameter", f"'{name}' is required.", name, type="string")
        if "providerSettings" in task:
            _check_providers(task)
        if task.get("deliveryMethod") == "stream" and self.name != "textInference":
            allowed = ["sync", "async"]
            message = f"{self.name} cannot be streamed."
            raise Rejected("invalidDeliveryMethod", message, "deliveryMethod", type="string", allowedValues=allowed)
        if task.get("deliveryMethod") == "sync" and self.is_film(task):
            message = f"{self.name} of a video is delivered asynchronously only."
            raise Rejected("invalidDeliveryMethod", message, "deliveryMethod", type="string", allowedValues=["async"])

    def _check_format(self, task: dict[str, Any]) -> None:
        wanted = task.get("outputFormat")
        formats = self.formats_for(task)
        if wanted is not None and wanted not in formats:
            message = f"'outputFormat' must be one of {', '.join(formats)}."
            allowed = list(formats)
            raise Rejected("invalidOutputFormat", message, "outputFormat", type="string", allowedValues=allowed)
        output = task.get("outputType")
        if output not in (None, "URL", ["URL"]) and (self.kind in ("video", "model") or self.is_film(task)):
            message = "'outputType' must be URL here."
            raise Rejected("invalidOutputType", message, "outputType", type="string", allowedValues=["URL"])

    def is_film(self, task: dict[str, Any]) -> bool:
        """Whether the task works on a film rather than on a picture."""
        if not (self.video_formats or self.name == "caption"):
            return False
        inputs = task.get("inputs")
        return "inputVideo" in task or (isinstance(inputs, dict) and bool(inputs.get("video")))

    def formats_for(self, task: dict[str, Any]) -> tuple[str, ...]:
        """The output formats that the task can ask for, the default first."""
        return self.video_formats if self.video_formats and self.is_film(task) else self.formats

    def count(self, task: dict[str, Any]) -> int:
        """How many results the task asks for."""
        if self.statuses:
            return len(answers.UPLOAD_STATUSES)
        asked = task.get(self.counter, 1)
        return asked if isinstance(asked, int) else 1


def _check_providers(task: dict[str, Any]) -> None:
    source = str(task.get("model", "")).partition(":")[0]
    for provider in task["providerSettings"]:
        if provider not in PROVIDERS:
            path = f"providerSettings.{provider}"
            raise Rejected("unknownProviderSettingsProvider", f"There is no provider '{provider}'.", path)
        if source in PROVIDERS and source != provider:
            path = f"providerSettings.{provider}"
            raise Rejected("mismatchProviderSettingsProvider", f"The model is not one of '{provider}'.", path)


def _fields(
    specs: Iterable[Field], most: int, formats: tuple[str, ...], counter: str, *, free: bool
) -> dict[str, Field]:
    found = {spec.name: spec for spec in (*COMMON, *specs)}
    if free:  # what makes nothing cannot be asked what it costs
        del found["includeCost"]
    if most > 1 or counter == "numberResults":
        found[counter] = whole(counter, 1, most)
    if formats:
        found["outputFormat"] = Field("outputFormat", "string")
    return found


def _task(name: str, *specs: Field, **options: Any) -> TaskType:
    formats, counter = options.get("formats", ()), options.get("counter", "numberResults")
    fields = _fields(specs, options.get("most", 1), formats, counter, free=not options.get("price"))
    return TaskType(name, fields, **options)


def _picture(name: str, *specs: Field, **options: Any) -> TaskType:
    return _task(name, *specs, **{"kind": "image", "prefix": "image", "formats": IMAGE_FORMATS, **options})


_OPERATIONS = ("getDetails", "getUsageActivity", "getUsagePerformance", "getUsageErrors")
_CATEGORIES = ("checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet")
_UUID_FIELD = text("taskUUID", required=True)

_TASKS = (
    _picture("imageInference", *_IMAGE, details=answers.image, price=130, most=20, seeded=True),
    _picture(
        "photoMaker",
        replace(_PROMPT, high=300),
        *_DIFFUSION,
        array("inputImages", medium("inputImages"), low=1, high=4, required=True),
        Field("style", "string", values=(
            "No style", "Cinematic", "Disney Character", "Digital Art", "Photographic", "Fantasy art", "Neonpunk",
            "Enhance", "Comic book", "Lowpoly", "Line art",
        )),
        whole("strength", 15, 50),
        details=answers.photo_maker, price=260, most=20, seeded=True,
    ),
    _task(
        "videoInference", _NEEDED_MODEL, *_VIDEO,
        kind="video", prefix="video", formats=VIDEO_FORMATS, delivery="async", price=18_000, most=4, seeded=True,
    ),
    _task(
        "audioInference",
        _NEEDED_MODEL,
        replace(_FREE_PROMPT, high=None),
        _NEGATIVE,
        number("duration", 1, 300),
        _SEED,
        obj("audioSettings", whole("sampleRate", 8000, 48000), whole("bitrate", 32, 320), whole("channels", 1, 2)),
        obj("speech"),
        *anything("steps", "strength", "CFGScale", "advancedFeatures"),
        kind="audio", prefix="audio", formats=("MP3", "WAV", "FLAC", "OGG"), price=1000, most=3, seeded=True,
    ),
    _task(
        "3dInference", _NEEDED_MODEL, _FREE_PROMPT, _NEGATIVE, _SEED,
        kind="model", formats=("GLB", "PLY", "OBJ", "FBX", "STL", "USDZ", "3MF"), as_files=True, delivery="async",
        price=5000, most=4, seeded=True,
    ),
    _task(
        "textInference",
        _NEEDED_MODEL,
        array("messages", obj("messages", text("role", required=True), Field("content", "any", required=True)),
              low=1, required=True),
        _SEED,
        boolean("includeUsage"),
        array("tools"),
        *anything("toolChoice", "jsonSchema", "maxTokens", "temperature", "topP", "topK", "stopSequences",
                  "systemPrompt"),
        Field("outputFormat", "string", values=("TEXT", "JSON")),
        details=answers.text, price=2, most=4, seeded=False,
    ),
    _picture(
        "upscale", *_EDITED, number("upscaleFactor", 1, 8), number("targetMegapixels", 0),
        style="scaled", video_formats=VIDEO_FORMATS, details=answers.with_input, price=200, needs_input=True,
    ),
    _picture(
        "removeBackground", *_EDITED,
        *(boolean(name) for name in ("postProcessMask", "returnOnlyMask", "alphaMatting")),
        *anything("rgba", "alphaMattingForegroundThreshold", "alphaMattingBackgroundThreshold",
                  "alphaMattingErodeSize"),
        style="cutout", formats=("PNG", "WEBP", "JPG"), video_formats=("WEBM", "MOV", "MP4"),
        details=answers.with_input, price=60, needs_input=True,
    ),
    _task(
        "caption", medium("inputImage"), array("inputImages", medium("inputImages")), medium("inputVideo"),
        *anything("prompt", "template"),
        details=answers.caption, price=10, needs_input=True,
    ),
    _picture(
        "controlNetPreprocess",
        medium("inputImage"),
        Field("preProcessorType", "string", values=(
            "canny", "depth", "mlsd", "normalbae", "openpose", "tile", "seg", "lineart", "lineart_anime", "shuffle",
            "scribble", "softedge",
        )),
        *(whole(name, 0) for name in ("width", "height", "lowThresholdCanny", "highThresholdCanny")),
        boolean("includeHandsAndFaceOpenPose"),
        prefix="guideImage", style="guide", details=answers.with_input, price=50, needs_input=True,
    ),
    _picture(
        "imageMasking", _NEEDED_MODEL, medium("inputImage"), number("confidence", 0, 1), whole("maskPadding"),
        whole("maskBlur", 0), whole("maxDetections", 1),
        prefix="maskImage", style="mask", details=answers.masking, price=50, needs_input=True,
    ),
    _picture("vectorize", _NEEDED_MODEL, medium("inputImage"), formats=("SVG",), price=1000, needs_input=True),
    _task(
        "promptEnhance", text("prompt", 1, 300, required=True), whole("promptMaxLength", 4, 400),
        whole("promptVersions", 1, 5), details=answers.enhanced, price=10, most=5, counter="promptVersions",
        closed=True,
    ),
    _task(
        "training", _NEEDED_MODEL, obj("importModel"), *anything("learningRate", "trainingSteps", "triggerWord"),
        details=answers.training, delivery="async", forced=True, price=250_000,
    ),
    _task("tools", _NEEDED_MODEL, kind="media", formats=("MP4", "ZIP"), as_files=True, delivery="async", price=100),
    _task("imageUpload", medium("image", required=True), details=answers.image_upload, closed=True),
    _task(
        "mediaStorage", Field("operation", "string", values=("upload", "delete"), required=True),
        text("media", required=True), details=answers.media_storage, closed=True,
    ),
    _task(
        "modelUpload",
        Field("category", "string", values=_CATEGORIES, required=True),
        text("downloadURL", required=True),
        text("name", required=True),
        *(text(name) for name in ("air", "uniqueIdentifier", "version", "type", "architecture", "format")),
        text("heroImageURL"), text("shortDescription"), array("tags", text("tags"), high=100),
        boolean("private"), number("defaultWeight", -4, 4), number("defaultCFG", 0, 30),
        details=answers.model_upload, statuses=True,
    ),
    _task(
        "modelSearch",
        text("search", 0), array("tags"), whole("limit", 1, 100), whole("offset", 0), text("sort"),
        Field("category", "string", values=_CATEGORIES),
        Field("type", "string", values=("base", "inpainting", "refiner")),
        Field("visibility", "string", values=("public", "private", "all", "favorite", "owned")),
        Field("source", "string", values=("official", "community")),
        *anything("architecture", "conditioning", "capabilities"),
        details=answers.model_search, repeatable=True, quick=True, closed=True,
    ),
    _task(
        "accountManagement", Field("operation", "string", values=_OPERATIONS, required=True),
        *anything("startDate", "endDate", "models", "apiKeys", "groupBy", "timezone"),
        details=answers.account, repeatable=True, quick=True, closed=True,
    ),
    _task("getResponse", _UUID_FIELD, repeatable=True, quick=True),
    _task("getTaskDetails", _UUID_FIELD, repeatable=True, quick=True),
)  # fmt: skip

_OLDER_NAMES = {
    "imageUpscale": "upscale",
    "imageBackgroundRemoval": "removeBackground",
    "imageCaption": "caption",
    "imageControlNetPreProcess": "controlNetPreprocess",
}

TASK_TYPES: dict[str, TaskType] = {task.name: task for task in _TASKS}
TASK_TYPES |= {old: replace(TASK_TYPES[new], name=old) for old, new in _OLDER_NAMES.items()}


def check_uuid(task: dict[str, Any], code: str) -> str:
    """The taskUUID of a task.

    Args:
        task: The task.
        code: The error code when there is none.

    Raises:
        Rejected: There is none, or it is no UUID of version 4.
    """
    value = task.get("taskUUID")
    if value is None:
        raise Rejected(code, "'taskUUID' is required.", "taskUUID", type="string")
    if not isinstance(value, str) or not UUID4(value):
        raise Rejected("invalidTaskUUID", "'taskUUID' must be a UUID of version 4.", "taskUUID", type="string")
    return value
