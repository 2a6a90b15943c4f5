"""Request classes for video generation (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs

from runware.media import Media
from runware.requests.audio import Speech
from runware.requests.image import Acceleration
from runware.requests.image_parts import AcceleratorOptions, AdvancedFeatures, Lora
from runware.requests.inference import Generation
from runware.requests.validation import RequestModel
from runware.results import Results, Video

__all__ = ["FrameImage", "VideoInference", "VideoInputs"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class FrameImage(RequestModel):
    """An image for a frame of the video.

    Args:
        image: The image, for `VideoInputs.frame_images` (current API form).
        frame: The frame: `"first"`, `"last"`, or its number. `None` lets the server distribute the images.
        timestamp: Position in seconds from the start, instead of a frame.
        input_image: The image, for `VideoInference.frame_images` (legacy API form).
    """

    image: Media | None = None
    frame: Literal["first", "last"] | int | None = None
    timestamp: float | None = None
    input_image: Media | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class VideoInputs(RequestModel):
    """Input media of a video task (current API form). Which fields apply depends on the model.

    Items of lists are media, or objects in the form the model expects, keyed by API name.

    Args:
        image: The input image.
        images: Several input images.
        frame_images: Images for frames of the video.
        reference_images: Reference images.
        reference_videos: Reference videos.
        reference_audios: Reference audio files.
        video: The input video.
        audio: The input audio file.
        audios: Several input audio files.
        speech: Speech to synthesize.
        mask: The mask.
        reference: A single reference.
        references: Several references.
        draft_id: ID of a draft, from `Video.outputs`.
        video_id: ID of a video, from `Video.outputs`.
        avatar: An avatar, in the form the model expects.
        background: A background, in the form the model expects.
        elements: Elements, in the form the model expects.
    """

    image: Media | None = None
    images: Sequence[Media | Mapping[str, Any]] | None = None
    frame_images: Sequence[FrameImage | Mapping[str, Any]] | None = None
    reference_images: Sequence[Media | Mapping[str, Any]] | None = None
    reference_videos: Sequence[Media | Mapping[str, Any]] | None = None
    reference_audios: Sequence[Media | Mapping[str, Any]] | None = None
    video: Media | None = None
    audio: Media | None = None
    audios: Sequence[Media | Mapping[str, Any]] | None = None
    speech: Speech | Mapping[str, Any] | None = None
    mask: Media | None = None
    reference: Media | None = None
    references: Sequence[Media | Mapping[str, Any]] | None = None
    draft_id: str | None = None
    video_id: str | None = None
    avatar: Any = None
    background: Any = None
    elements: Sequence[Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class VideoInference(Generation[Results[Video]]):
    """Generate videos. The server runs the task asynchronously; the client polls until it is done.

    Ranges are those of the API reference (https://runware.ai/docs); a model may have narrower ones.

    Args:
        model: The model's AIR, such as `"bytedance:seedance@1.5-pro"`.
        positive_prompt: What to generate, 2 or more characters; a few models need none.
        duration: Length in seconds, 1–10 for most models. Some accept only certain lengths, or `"auto"`.
        width: Width in pixels; a multiple of 8 from 256 to 1920. Some models accept only certain sizes.
        height: Height in pixels; a multiple of 8 from 256 to 1080. Some models accept only certain sizes.
        resolution: Size by name, such as `"720p"`, for models that take one instead of width and height.
        negative_prompt: What to avoid.
        inputs: Input media (current API form).
        fps: Frame rate in frames per second, 15–60; the server's default is 24.
        seed: Seed for reproducible results; random by default.
        steps: Number of inference steps, 10–50.
        cfg_scale: Guidance scale: how closely to follow the prompt, 0–50.
        output_format: File format; the server's default is `"MP4"`.
        speech: Speech to synthesize.
        frame_images: Images for frames of the video (legacy API form of `inputs`).
        reference_images: Reference images (legacy API form of `inputs`).
        reference_videos: Reference videos (legacy API form of `inputs`).
        input_audios: Input audio files (legacy API form of `inputs`).
        lora: LoRA models to apply.
        acceleration: How much quality to trade for speed.
        accelerator_options: Caching methods that speed up inference.
        advanced_features: Features of individual models, such as a watermark.
        provider_settings: Provider-specific settings, such as `{"google": {"generate_audio": True}}`,
            by Python or API name.
        settings: Model-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "videoInference"
    result_class = Video
    many: ClassVar[bool] = True
    polled: ClassVar[bool] = True
    main: ClassVar[str] = "positive_prompt"

    model: str
    positive_prompt: str | None = None
    duration: float | str | None = None
    width: int | None = None
    height: int | None = None
    resolution: str | None = None
    negative_prompt: str | None = None
    inputs: VideoInputs | Mapping[str, Any] | None = None
    fps: int | None = None
    seed: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    output_format: Literal["MP4", "WEBM", "MOV"] | str | None = None
    speech: Speech | Mapping[str, Any] | None = None
    frame_images: Sequence[FrameImage | Mapping[str, Any]] | None = None
    reference_images: Sequence[Media | Mapping[str, Any]] | None = None
    reference_videos: Sequence[Media | Mapping[str, Any]] | None = None
    input_audios: Sequence[Media | Mapping[str, Any]] | None = None
    lora: Sequence[Lora | Mapping[str, Any]] | None = None
    acceleration: Acceleration | None = None
    accelerator_options: AcceleratorOptions | Mapping[str, Any] | None = None
    advanced_features: AdvancedFeatures | Mapping[str, Any] | None = None
    provider_settings: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None
