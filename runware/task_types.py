"""The names of the API's task types."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["TaskType"]


class TaskType(StrEnum):
    """The task types of the API. Each is the API's own name, a `str`: `TaskType.UPSCALE == "upscale"`.

    The API may have others; `task_type` of a result is a `str` that need not be among them.
    """

    IMAGE_INFERENCE = "imageInference"
    VIDEO_INFERENCE = "videoInference"
    AUDIO_INFERENCE = "audioInference"
    THREE_D_INFERENCE = "3dInference"
    TEXT_INFERENCE = "textInference"
    UPSCALE = "upscale"
    REMOVE_BACKGROUND = "removeBackground"
    CAPTION = "caption"
    PROMPT_ENHANCE = "promptEnhance"
    CONTROLNET_PREPROCESS = "controlNetPreprocess"
    IMAGE_MASKING = "imageMasking"
    PHOTO_MAKER = "photoMaker"
    VECTORIZE = "vectorize"
    TOOLS = "tools"
    TRAINING = "training"
    MODEL_UPLOAD = "modelUpload"
    MODEL_SEARCH = "modelSearch"
    IMAGE_UPLOAD = "imageUpload"
    MEDIA_STORAGE = "mediaStorage"
    GET_RESPONSE = "getResponse"
    GET_TASK_DETAILS = "getTaskDetails"
    ACCOUNT_MANAGEMENT = "accountManagement"
    AUTHENTICATION = "authentication"
    PING = "ping"
