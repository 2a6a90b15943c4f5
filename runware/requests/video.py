"""Making videos (protocol reference, section 4.6)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs

from runware.media import Media
from runware.requests.audio import Speech
from runware.requests.image import Acceleration, AcceleratorOptions, AdvancedFeatures, Lora
from runware.requests.inference import Generation
from runware.requests.validation import Checked
from runware.results import Results, Video

__all__ = ["FrameImage", "VideoInference", "VideoInputs"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class FrameImage(Checked):
    """A picture that a frame of the video shows.

    Args:
        image: The picture, in the current form of the wire, for `VideoInputs.frame_images`.
        frame: Which frame: `"first"`, `"last"`, or its number. Without it the server places the pictures.
        timestamp: Or when it is shown, in seconds from the start.
        input_image: The picture, in the older form, for `VideoInference.frame_images`.
    """

    image: Media | None = None
    frame: Literal["first", "last"] | int | None = None
    timestamp: float | None = None
    input_image: Media | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class VideoInputs(Checked):
    """The media a video is made from, in the current form of the wire; models differ in what they take of it.

    Args:
        image: A picture.
        images: Several pictures.
        frame_images: Pictures that frames of the video show.
        reference_images: Pictures to go by; each is media, or an object as the model wants it.
        reference_videos: Videos to go by.
        reference_audios: Sounds to go by.
        video: A video.
        audio: A sound.
        audios: Several sounds.
        speech: What is said.
        mask: A mask.
        reference: One thing to go by.
        references: Several things to go by.
        draft_id: The ID of a draft, as `Video.outputs` has it.
        video_id: The ID of a video, as `Video.outputs` has it.
        avatar: An avatar, as the model wants it.
        background: A background, as the model wants it.
        elements: Elements, as the model wants them.
    """

    image: Media | None = None
    images: Sequence[Media] | None = None
    frame_images: Sequence[FrameImage | Mapping[str, Any]] | None = None
    reference_images: Sequence[Media | Mapping[str, Any]] | None = None
    reference_videos: Sequence[Media] | None = None
    reference_audios: Sequence[Media] | None = None
    video: Media | None = None
    audio: Media | None = None
    audios: Sequence[Media] | None = None
    speech: Speech | Mapping[str, Any] | None = None
    mask: Media | None = None
    reference: Media | None = None
    references: Sequence[Media] | None = None
    draft_id: str | None = None
    video_id: str | None = None
    avatar: Any = None
    background: Any = None
    elements: Sequence[Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class VideoInference(Generation[Results[Video]]):
    """Make videos. It takes a while: the task is acknowledged, and asked for until it is done.

    Args:
        model: The model's AIR, such as `"klingai:5@3"`.
        positive_prompt: What to show, 2 or more characters; a few models need none.
        duration: The length in seconds, 1–10 for most models; some take certain lengths only,
            or `"auto"`.
        width: Width in pixels, 256–1920 in steps of 8; some models take certain sizes only.
        height: Height in pixels, 256–1080 in steps of 8; some models take certain sizes only.
        resolution: The size by name, such as `"720p"`, for models that want it so.
        negative_prompt: What not to show.
        inputs: The media to start from, in the current form of the wire.
        fps: Frames a second, 15–60; the server's default is 24.
        seed: The seed; the default is random.
        steps: Steps of the model, 10–50.
        cfg_scale: How closely the prompt is followed, 0–50.
        output_format: The format; the server's default is `"MP4"`.
        speech: What is said, and how.
        frame_images: Pictures that frames of the video show, in the older form.
        reference_images: Pictures to go by, in the older form.
        reference_videos: Videos to go by, in the older form.
        input_audios: Sounds to go by, in the older form.
        lora: LoRA models.
        acceleration: How much quality is given for speed.
        accelerator_options: Caches that save steps.
        advanced_features: Features of single models, such as a watermark.
        provider_settings: Settings of one provider, such as `{"google": {"generateAudio": True}}`, with names as on
            the wire.
        settings: Settings of the model, with names as on the wire.
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
    reference_images: Sequence[Media] | None = None
    reference_videos: Sequence[Media] | None = None
    input_audios: Sequence[Media] | None = None
    lora: Sequence[Lora | Mapping[str, Any]] | None = None
    acceleration: Acceleration | None = None
    accelerator_options: AcceleratorOptions | Mapping[str, Any] | None = None
    advanced_features: AdvancedFeatures | Mapping[str, Any] | None = None
    provider_settings: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None
