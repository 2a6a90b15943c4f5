"""Request classes: one per operation, plus the objects used in requests.

Modules are loaded when one of their classes is first used: loading all of them would take a third of the time budget of
`import runware`, and most programs use one or two.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from runware._support.lazy_modules import lazy_attributes, lazy_module, load_module

if TYPE_CHECKING:
    from runware.requests import base
    from runware.requests.audio import AudioInference, AudioSettings, Speech
    from runware.requests.base import Task
    from runware.requests.editing import (
        Caption,
        ControlNetPreprocess,
        EditingInputs,
        ImageMasking,
        RemoveBackground,
        RemoveBackgroundSettings,
        Upscale,
        Vectorize,
    )
    from runware.requests.image import ImageInference, PhotoMaker
    from runware.requests.image_parts import (
        AcceleratorOptions,
        AcePlusPlus,
        AdvancedFeatures,
        ControlNet,
        Embedding,
        FluxKontext,
        ImageInputs,
        InstantID,
        IPAdapter,
        Lora,
        Lycoris,
        Outpaint,
        PhotoMakerSettings,
        PuLID,
        Refiner,
        Region,
        RegionalPrompting,
        Ultralytics,
        Watermark,
    )
    from runware.requests.inference import Safety
    from runware.requests.platform import (
        AccountManagement,
        GetResponse,
        GetTaskDetails,
        ImageUpload,
        ImportModel,
        MediaStorage,
        ModelSearch,
        ModelUpload,
        Training,
        TrainingInputs,
    )
    from runware.requests.text import Message, PromptEnhance, StreamText, TextInference, TextInputs
    from runware.requests.three_d import ThreeDInference, ThreeDInputs
    from runware.requests.tools import Tools
    from runware.requests.video import FrameImage, VideoInference, VideoInputs
else:
    base = lazy_module("runware.requests.base")

_MODULES = {
    name: module
    for module, names in {
        "audio": "AudioInference AudioSettings Speech",
        "editing": (
            "Caption ControlNetPreprocess EditingInputs ImageMasking RemoveBackground RemoveBackgroundSettings"
            " Upscale Vectorize"
        ),
        "image": "ImageInference PhotoMaker",
        "image_parts": (
            "AcceleratorOptions AcePlusPlus AdvancedFeatures ControlNet Embedding FluxKontext IPAdapter"
            " ImageInputs InstantID Lora Lycoris Outpaint PhotoMakerSettings PuLID Refiner Region"
            " RegionalPrompting Ultralytics Watermark"
        ),
        "inference": "Safety",
        "platform": (
            "AccountManagement GetResponse GetTaskDetails ImageUpload ImportModel MediaStorage ModelSearch ModelUpload"
            " Training TrainingInputs"
        ),
        "text": "Message PromptEnhance TextInference TextInputs StreamText",
        "three_d": "ThreeDInference ThreeDInputs",
        "tools": "Tools",
        "video": "FrameImage VideoInference VideoInputs",
    }.items()
    for name in names.split()
}
if not TYPE_CHECKING:
    __getattr__ = lazy_attributes(globals(), _MODULES)

OPERATIONS = {
    "image_inference": ("ImageInference", "request_images"),
    "video_inference": ("VideoInference",),
    "audio_inference": ("AudioInference",),
    "three_d_inference": ("ThreeDInference",),
    "text_inference": ("TextInference",),
    "upscale": ("Upscale", "upscale_gan"),
    "remove_background": ("RemoveBackground", "remove_image_background"),
    "caption": ("Caption", "request_image_to_text"),
    "prompt_enhance": ("PromptEnhance", "enhance_prompt"),
    "controlnet_preprocess": ("ControlNetPreprocess", "control_net_preprocess", "control_net_pre_process"),
    "image_masking": ("ImageMasking",),
    "photo_maker": ("PhotoMaker",),
    "vectorize": ("Vectorize",),
    "tools": ("Tools",),
    "training": ("Training",),
    "model_upload": ("ModelUpload",),
    "model_search": ("ModelSearch",),
    "image_upload": ("ImageUpload",),
    "media_storage": ("MediaStorage",),
    "get_response": ("GetResponse",),
    "get_task_details": ("GetTaskDetails",),
    "account_management": ("AccountManagement",),
}
"""Every operation: its name after the API's task type, its request class, and its aliases (the JavaScript library's
names). `tools/generate_operations.py` writes the methods of `runware.operations` from this table."""

STREAMS = {"stream_text": ("StreamText",)}
"""The operations that return a stream: an object to iterate over, in place of a result. Otherwise like `OPERATIONS`."""


@cache
def request_class(task_type: str) -> "type[Task[Any]]":
    """Return the request class for a task type; `Task` if there is none."""
    # Most classes have the name of the task type, so that only their module is loaded.
    for name, module in sorted(_MODULES.items(), key=lambda one: one[0].lower() != task_type.lower()):
        found = getattr(load_module(f"{__name__}.{module}"), name)
        if getattr(found, "task_type", None) == task_type:
            return cast("type[Task[Any]]", found)
    return base.Task


__all__ = [
    "AcceleratorOptions",
    "AccountManagement",
    "AcePlusPlus",
    "AdvancedFeatures",
    "AudioInference",
    "AudioSettings",
    "Caption",
    "ControlNet",
    "ControlNetPreprocess",
    "EditingInputs",
    "Embedding",
    "FluxKontext",
    "FrameImage",
    "GetResponse",
    "GetTaskDetails",
    "IPAdapter",
    "ImageInference",
    "ImageInputs",
    "ImageMasking",
    "ImageUpload",
    "ImportModel",
    "InstantID",
    "Lora",
    "Lycoris",
    "MediaStorage",
    "Message",
    "ModelSearch",
    "ModelUpload",
    "Outpaint",
    "PhotoMaker",
    "PhotoMakerSettings",
    "PromptEnhance",
    "PuLID",
    "Refiner",
    "Region",
    "RegionalPrompting",
    "RemoveBackground",
    "RemoveBackgroundSettings",
    "Safety",
    "Speech",
    "StreamText",
    "TextInference",
    "TextInputs",
    "ThreeDInference",
    "ThreeDInputs",
    "Tools",
    "Training",
    "TrainingInputs",
    "Ultralytics",
    "Upscale",
    "Vectorize",
    "VideoInference",
    "VideoInputs",
    "Watermark",
]
