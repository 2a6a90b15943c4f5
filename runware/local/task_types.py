"""The task types of the API as data: their parameters, results and prices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from runware.local.task_schema import TaskSpec
from runware.local.validation import (
    Field,
    array,
    boolean,
    file_string,
    file_value,
    integer,
    json_object,
    number,
    string,
)

__all__ = ["OLDER_NAMES", "TASK_TYPES", "current_name", "find_task_type"]

_SEED = integer("seed", 1, 9223372036854775807)
_AIR = re.compile(r"[\w.\-]+(:[\w.\-/]+)*(@[\w.\-]+)?")
_MODEL = string("model", pattern=_AIR)
_REQUIRED_MODEL = string("model", pattern=_AIR, required=True)
_IMAGE_FORMATS = ("JPG", "PNG", "WEBP")
_VIDEO_FORMATS = ("MP4", "WEBM", "MOV")

_COMMON: tuple[Field, ...] = (
    _MODEL,
    Field("outputType", "string", values=("URL", "base64Data", "dataURI")),
    integer("outputQuality", 20, 99),
    string("uploadEndpoint"),
    string("webhookURL"),
    Field("deliveryMethod", "string", values=("sync", "async", "stream")),
    integer("ttl", 60),
    boolean("includeCost"),
    boolean("checkNSFW"),
    json_object(
        "safety",
        boolean("checkContent"),
        Field("mode", "string", values=("none", "fast", "full")),
        boolean("checkInputs"),
    ),
    json_object("routing"),
    json_object("settings"),
    json_object(
        "inputs",
        *map(
            file_value,
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
    json_object("providerSettings"),
)


def _unchecked(*names: str) -> tuple[Field, ...]:
    """Describe parameters whose values are not checked."""
    return tuple(Field(name, "any") for name in names)


_PROMPT = string(
    "positivePrompt",
    2,
    3000,
    required=True,
    length_code="invalidPositivePromptLength",
    missing_code="missingPositivePrompt",
)
_OPTIONAL_PROMPT = replace(_PROMPT, required=False)
_NEGATIVE = string("negativePrompt", 2, 3000)
_WEIGHT = number("weight", -4, 4)
_SHARE = number("weight", 0, 1)
_LORA = array(
    "lora",
    json_object("lora", _REQUIRED_MODEL, _WEIGHT, Field("transformer", "string", values=("high", "low", "both"))),
)
_STEP_RANGE = (
    integer("startStep", 0),
    integer("endStep", 0),
    number("startStepPercentage", 0, 99),
    number("endStepPercentage", 0, 100),
)
_ACCELERATION = (
    Field("acceleration", "string", values=("none", "low", "medium", "high")),
    json_object(
        "acceleratorOptions",
        boolean("teaCache"),
        number("teaCacheDistance", 0, 1),
        boolean("deepCache"),
        integer("deepCacheInterval", 1),
        integer("deepCacheBranchId", 0),
        boolean("fbCache"),
        number("fbCacheThreshold", 0, 1),
        number("cacheStartStepPercentage", 0, 99),
        number("cacheEndStepPercentage", 0, 100),
        integer("cacheMaxConsecutiveSteps", 1, 5),
    ),
)
_DIFFUSION = (
    _NEGATIVE,
    integer("width", 128, 2048, multiplier=64),
    integer("height", 128, 2048, multiplier=64, code="invalidCustomHeight"),
    integer("steps", 1, 100),
    string("scheduler"),
    _SEED,
    number("CFGScale", 0, 50),
    integer("clipSkip", 0, 2),
)
_OUTPAINT = json_object(
    "outpaint",
    *(integer(side, 0, multiplier=64) for side in ("top", "right", "bottom", "left")),
    integer("blur", 0, 32),
)
_ACE = json_object(
    "acePlusPlus",
    Field("type", "string", values=("portrait", "subject", "local_editing")),
    array("inputImages", file_string("inputImages"), maximum=1),
    array("inputMasks", file_string("inputMasks"), maximum=1),
    number("repaintingScale", 0, 1),
)
_PULID = (
    array("inputImages", file_string("inputImages"), minimum=1, maximum=1),
    number("idWeight", 0, 3),
    number("trueCFGScale", 0, 10),
    integer("CFGStartStep", 0, 10),
    number("CFGStartStepPercentage", 0, 100),
)
_IMAGE = (
    _PROMPT,
    *_DIFFUSION,
    number("trueCFGScale", 0),
    number("strength", 0, 1),
    integer("maskMargin", 32, 128),
    file_string("seedImage"),
    file_string("maskImage"),
    string("vae"),
    array("referenceImages", file_value("referenceImages")),
    _OUTPAINT,
    Field("promptWeighting", "string", values=("compel", "sdEmbeds", "sdembeds")),
    boolean("usePromptWeighting"),
    *_ACCELERATION,
    _LORA,
    array("lycoris", json_object("lycoris", _REQUIRED_MODEL, number("weight"))),
    array("embeddings", json_object("embeddings", _REQUIRED_MODEL, _WEIGHT)),
    array(
        "controlNet",
        json_object(
            "controlNet",
            _REQUIRED_MODEL,
            file_string("guideImage", required=True),
            _SHARE,
            *_STEP_RANGE,
            Field("controlMode", "string", values=("prompt", "controlnet", "balanced")),
        ),
    ),
    array(
        "ipAdapters",
        json_object(
            "ipAdapters",
            _REQUIRED_MODEL,
            file_string("guideImage"),
            array("guideImages", file_string("guideImages")),
            _SHARE,
        ),
    ),
    json_object("refiner", _REQUIRED_MODEL, integer("startStep", 2), number("startStepPercentage", 1, 99)),
    json_object("advancedFeatures"),
    json_object("puLID", *_PULID),
    json_object("pulid", *_PULID),
    _ACE,
    json_object("instantID", file_string("inputImage"), file_string("poseImage"), file_value("inputImages")),
    json_object("photoMaker"),
    json_object("ultralytics"),
    *_unchecked("hiresFix", "resolution", "structuredPrompt", "upscaleFactor", "extraArgs"),
)
_VIDEO = (
    replace(_OPTIONAL_PROMPT, maximum=None),
    _NEGATIVE,
    number("duration", 1, 60, code="unsupportedDuration"),
    integer("fps", 15, 60),
    integer("width", 256, 1920, multiplier=8),
    integer("height", 256, 1920, multiplier=8, code="invalidCustomHeight"),
    integer("steps", 10, 50),
    _SEED,
    number("CFGScale", 0, 50),
    *(array(name, file_value(name)) for name in ("frameImages", "referenceImages", "referenceVideos", "inputAudios")),
    json_object("speech"),
    _LORA,
    *_ACCELERATION,
    json_object("advancedFeatures"),
    *_unchecked("resolution", "strength", "skipResponse"),
)
_EDITED = (
    file_string("inputImage"),
    file_string("inputVideo"),
    *_unchecked("resolution", "width", "height", "fps", "positivePrompt"),
)


def _fields(specs: Iterable[Field], options: dict[str, Any]) -> dict[str, Field]:
    fields = {spec.name: spec for spec in (*_COMMON, *specs)}
    if not options.get("price"):  # the API has no includeCost for task types without a price
        del fields["includeCost"]
    maximum, counter = options.get("max_results", 1), options.get("count_parameter", "numberResults")
    if maximum > 1 or counter == "numberResults":
        fields[counter] = integer(counter, 1, maximum)
    if options.get("formats"):
        fields["outputFormat"] = Field("outputFormat", "string")
    return fields


def _task(name: str, *specs: Field, **options: Any) -> TaskSpec:
    return TaskSpec(name, _fields(specs, options), **options)


def _image_task(name: str, *specs: Field, **options: Any) -> TaskSpec:
    return _task(name, *specs, **{"media_kind": "image", "media_key": "image", "formats": _IMAGE_FORMATS, **options})


_OPERATIONS = ("getDetails", "getUsageActivity", "getUsagePerformance", "getUsageErrors")
_CATEGORIES = ("checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet")
_UUID_FIELD = string("taskUUID", required=True)

_TASKS = (
    _image_task("imageInference", *_IMAGE, price=130, max_results=20, has_seed=True),
    _image_task(
        "photoMaker",
        replace(_PROMPT, maximum=300),
        *_DIFFUSION,
        array("inputImages", file_string("inputImages"), minimum=1, maximum=4, required=True),
        Field("style", "string", values=(
            "No style", "Cinematic", "Disney Character", "Digital Art", "Photographic", "Fantasy art", "Neonpunk",
            "Enhance", "Comic book", "Lowpoly", "Line art",
        )),
        integer("strength", 15, 50),
        price=260, max_results=20, has_seed=True,
    ),
    _task(
        "videoInference", _REQUIRED_MODEL, *_VIDEO,
        media_kind="video", media_key="video", formats=_VIDEO_FORMATS, delivery="async", price=18_000,
        max_results=4, has_seed=True,
    ),
    _task(
        "audioInference",
        _REQUIRED_MODEL,
        replace(_OPTIONAL_PROMPT, maximum=None),
        _NEGATIVE,
        number("duration", 1, 300),
        _SEED,
        json_object(
            "audioSettings", integer("sampleRate", 8000, 48000), integer("bitrate", 32, 320), integer("channels", 1, 2)
        ),
        json_object("speech"),
        *_unchecked("steps", "strength", "CFGScale", "advancedFeatures"),
        media_kind="audio", media_key="audio", formats=("MP3", "WAV", "FLAC", "OGG"), price=1000,
        max_results=3, has_seed=True,
    ),
    _task(
        "3dInference", _REQUIRED_MODEL, _OPTIONAL_PROMPT, _NEGATIVE, _SEED,
        media_kind="model", formats=("GLB", "PLY", "OBJ", "FBX", "STL", "USDZ", "3MF"), files_in_outputs=True,
        delivery="async", price=5000, max_results=4, has_seed=True,
    ),
    _task(
        "textInference",
        _REQUIRED_MODEL,
        array(
            "messages",
            json_object("messages", string("role", required=True), Field("content", "any"), array("tools")),
            minimum=1, required=True,
        ),
        _SEED,
        boolean("includeUsage"),
        array("tools"),
        *_unchecked("toolChoice", "jsonSchema", "maxTokens", "temperature", "topP", "topK", "stopSequences",
                  "systemPrompt"),
        Field("outputFormat", "string", values=("TEXT", "JSON")),
        price=2, max_results=4, has_seed=False,
    ),
    _image_task(
        "upscale", *_EDITED, number("upscaleFactor", 1, 8), number("targetMegapixels", 0),
        image_style="scaled", video_formats=_VIDEO_FORMATS, price=200, needs_input=True,
    ),
    _image_task(
        "removeBackground", *_EDITED,
        *(boolean(name) for name in ("postProcessMask", "returnOnlyMask", "alphaMatting")),
        *_unchecked("rgba", "alphaMattingForegroundThreshold", "alphaMattingBackgroundThreshold",
                  "alphaMattingErodeSize"),
        image_style="cutout", formats=("PNG", "WEBP", "JPG"), video_formats=("WEBM", "MOV", "MP4"),
        price=60, needs_input=True,
    ),
    _task(
        "caption", file_string("inputImage"), array("inputImages", file_string("inputImages")),
        file_string("inputVideo"),
        *_unchecked("prompt", "template"),
        price=10, needs_input=True,
    ),
    _image_task(
        "controlNetPreprocess",
        file_string("inputImage"),
        Field("preProcessorType", "string", values=(
            "canny", "depth", "mlsd", "normalbae", "openpose", "tile", "seg", "lineart", "lineart_anime", "shuffle",
            "scribble", "softedge",
        )),
        *(integer(name, 0) for name in ("width", "height", "lowThresholdCanny", "highThresholdCanny")),
        boolean("includeHandsAndFaceOpenPose"),
        media_key="guideImage", image_style="guide", price=50, needs_input=True,
    ),
    _image_task(
        "imageMasking", _REQUIRED_MODEL, file_string("inputImage"), number("confidence", 0, 1), integer("maskPadding"),
        integer("maskBlur", 0), integer("maxDetections", 1),
        media_key="maskImage", image_style="mask", price=50, needs_input=True,
    ),
    _image_task(
        "vectorize", _REQUIRED_MODEL, file_string("inputImage"),
        formats=("SVG",), price=1000, needs_input=True,
    ),
    _task(
        "promptEnhance", string("prompt", 1, 300, required=True), integer("promptMaxLength", 4, 400),
        integer("promptVersions", 1, 5), price=10, max_results=5, count_parameter="promptVersions",
        rejects_unknown=True,
    ),
    _task(
        "training", _REQUIRED_MODEL, json_object("importModel"),
        *_unchecked("learningRate", "trainingSteps", "triggerWord"),
        delivery="async", delivery_fixed=True, price=250_000,
    ),
    _task(
        "tools", _REQUIRED_MODEL, json_object("inputs", required=True),
        media_kind="media", formats=("MP4", "WEBM", "MOV", "MKV", "MP3", "WAV", "AAC", "FLAC", "OGG", "PNG", "JPG",
        "WEBP"), files_in_outputs=True, delivery="async", price=100,
    ),
    _task("imageUpload", file_string("image", required=True), rejects_unknown=True),
    _task(
        "mediaStorage", Field("operation", "string", values=("upload", "delete"), required=True),
        string("media", required=True), rejects_unknown=True,
    ),
    _task(
        "modelUpload",
        Field("category", "string", values=_CATEGORIES, required=True),
        string("downloadURL", required=True),
        string("name", required=True),
        *(string(name) for name in ("air", "uniqueIdentifier", "version", "type", "architecture", "format")),
        string("heroImageURL"), string("shortDescription"), array("tags", string("tags"), maximum=100),
        boolean("private"), number("defaultWeight", -4, 4), number("defaultCFG", 0, 30),
        reports_status=True,
    ),
    _task(
        "modelSearch",
        string("search", 0), array("tags"), integer("limit", 1, 100), integer("offset", 0), string("sort"),
        Field("category", "string", values=_CATEGORIES),
        Field("type", "string", values=("base", "inpainting", "refiner")),
        Field("visibility", "string", values=("public", "private", "all", "favorite", "owned")),
        string("source"),
        *_unchecked("architecture", "conditioning", "capabilities"),
        repeatable=True, is_query=True, rejects_unknown=True,
    ),
    _task(
        "accountManagement", Field("operation", "string", values=_OPERATIONS, required=True),
        *_unchecked("startDate", "endDate", "models", "apiKeys", "groupBy", "timezone"),
        repeatable=True, is_query=True, rejects_unknown=True,
    ),
    _task("getResponse", _UUID_FIELD, repeatable=True, is_query=True),
    _task("getTaskDetails", _UUID_FIELD, repeatable=True, is_query=True),
)  # fmt: skip

OLDER_NAMES = {
    "imageUpscale": "upscale",
    "imageBackgroundRemoval": "removeBackground",
    "imageCaption": "caption",
    "imageControlNetPreProcess": "controlNetPreprocess",
}
"""The current name of each task type that the API also accepts under an older one."""


def current_name(name: str) -> str:
    """Return the current name of a task type that may have an older one."""
    return OLDER_NAMES.get(name, name)


TASK_TYPES: dict[str, TaskSpec] = {task.name: task for task in _TASKS}
TASK_TYPES |= {old: replace(TASK_TYPES[new], name=old) for old, new in OLDER_NAMES.items()}
"""Every task type by name, the older names included."""

_NOT_EXECUTED = ("authentication", "ping", "getResponse", "getTaskDetails")


def find_task_type(name: str) -> TaskSpec:
    """Return a task type that is executed, by its current or older name.

    Raises:
        ValueError: There is none with this name.
    """
    if name in _NOT_EXECUTED:
        raise ValueError(f"{name} is answered from what the server knows; to answer it yourself, use `script`")
    spec = TASK_TYPES.get(OLDER_NAMES.get(name, name))
    if spec is None:
        known = [one for one in TASK_TYPES if one not in _NOT_EXECUTED and one not in OLDER_NAMES]
        words = "".join(part.capitalize() for part in re.split("[_ -]", name)) if set("_ -") & set(name) else name
        close = get_close_matches(words[:1].lower() + words[1:], known, 1)
        hint = f"Did you mean {close[0]!r}?" if close else f"The task types are: {', '.join(known)}."
        raise ValueError(f"there is no task type {name!r}. {hint}")
    return spec
