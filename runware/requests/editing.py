"""Request classes for editing and analyzing existing images and videos (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.media import Media
from runware.requests.base import ClassOf
from runware.requests.image import ImageFormat
from runware.requests.inference import Inference, MediaTask
from runware.requests.validation import RequestModel
from runware.results import GuideImage, Image, MaskImage, Text, Video
from runware.results.media import class_by_name

__all__ = [
    "Caption",
    "ControlNetPreprocess",
    "EditingInputs",
    "ImageMasking",
    "PreProcessor",
    "RemoveBackground",
    "RemoveBackgroundSettings",
    "Upscale",
    "Vectorize",
]

R_co = TypeVar("R_co", covariant=True)

EditedFormat = Literal["JPG", "PNG", "WEBP", "MP4", "WEBM", "MOV"] | str
PreProcessor = Literal[
    "canny",
    "depth",
    "mlsd",
    "normalbae",
    "openpose",
    "tile",
    "seg",
    "lineart",
    "lineart_anime",
    "shuffle",
    "scribble",
    "softedge",
]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class EditingInputs(RequestModel):
    """Input media of an editing task.

    Args:
        image: The input image.
        video: The input video, instead of an image, where the task accepts one.
    """

    image: Media | None = None
    video: Media | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Editing(MediaTask[R_co]):
    """A task with an input image or video.

    Args:
        inputs: The input media (current API form).
        input_image: The input image (legacy API form).
        model: The model's AIR. `None` leaves the choice to the server.
    """

    main: ClassVar[str] = "input_image"

    inputs: EditingInputs | Mapping[str, Any] | None = None
    input_image: Media | None = None
    model: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class EditingOfAny(Editing[Image | Video]):
    """A task that accepts an image or a video.

    Args:
        output_format: File format. For images, the server's default is `"JPG"`, or `"PNG"` when removing a background.
    """

    result_class = Image
    class_of: ClassVar[ClassOf | None] = staticmethod(partial(class_by_name, otherwise=Image))  # depends on the input

    output_format: EditedFormat | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Upscale(EditingOfAny):
    """Upscale an image or a video.

    Args:
        upscale_factor: Scale factor; most models accept 2 or 4. Images are limited to 4096 × 4096 pixels after scaling.
        target_megapixels: Target size in megapixels, instead of a factor.
        width: Target width in pixels, for models that take a size.
        height: Target height in pixels, for models that take a size.
        resolution: Target size by name, for models that take one.
        fps: Frame rate of a video, in frames per second.
        positive_prompt: Description of the content, for models that use one.
        settings: Model-specific settings, by Python or API name.
        provider_settings: Provider-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "upscale"

    upscale_factor: float | None = None
    target_megapixels: float | None = None
    width: int | None = None
    height: int | None = None
    resolution: str | None = None
    fps: float | None = None
    positive_prompt: str | None = None
    settings: Mapping[str, Any] | None = None
    provider_settings: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RemoveBackgroundSettings(RequestModel):
    """Settings for background removal. Which fields apply depends on the model.

    Args:
        rgba: Color of the new background: red, green, blue, alpha.
        post_process_mask: Smooth the mask.
        return_only_mask: Return the mask instead of the image.
        alpha_matting: Make edges partly transparent.
        alpha_matting_foreground_threshold: Value from which a pixel counts as foreground, 1–255; the server's default
            is 240.
        alpha_matting_background_threshold: Value up to which a pixel counts as background, 1–255; the server's default
            is 10.
        alpha_matting_erode_size: Size of the edge erosion, 1–255; the server's default is 10.
    """

    rgba: Sequence[float] | None = None
    post_process_mask: bool | None = None
    return_only_mask: bool | None = None
    alpha_matting: bool | None = None
    alpha_matting_foreground_threshold: int | None = None
    alpha_matting_background_threshold: int | None = None
    alpha_matting_erode_size: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RemoveBackground(EditingOfAny):
    """Remove the background of an image or a video.

    Args:
        settings: Settings of the background removal.
        provider_settings: Provider-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "removeBackground"

    settings: RemoveBackgroundSettings | Mapping[str, Any] | None = None
    provider_settings: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Caption(Inference[Text]):
    """Describe an image or a video in words.

    Args:
        inputs: The media to describe (current API form).
        input_image: The image to describe (legacy API form).
        input_images: Several images to describe (legacy API form).
        model: The model's AIR. `None` leaves the choice to the server.
        prompt: Instruction for the description, such as what to look for.
        template: Name of a template for the answer.
    """

    task_type: ClassVar[str] = "caption"
    result_class = Text
    main: ClassVar[str] = "input_image"

    inputs: EditingInputs | Mapping[str, Any] | None = None
    input_image: Media | None = None
    input_images: Sequence[Media] | None = None
    model: str | None = None
    prompt: str | Sequence[str] | None = None
    template: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ControlNetPreprocess(Editing[GuideImage]):
    """Turn an image into a guide image for a ControlNet model.

    The task is sent under its current name, `controlNetPreprocess`. For a server that only knows the legacy name, pass
    `extra={"taskType": "imageControlNetPreProcess"}`.

    Args:
        pre_processor_type: The preprocessor (legacy API form); in the current form, `model` selects it.
        width: Output width in pixels.
        height: Output height in pixels.
        low_threshold_canny: Lower threshold of `canny`; the server's default is 100.
        high_threshold_canny: Upper threshold of `canny`; the server's default is 200.
        include_hands_and_face_open_pose: Include hands and faces in `openpose`.
        output_format: File format.
        settings: Model-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "controlNetPreprocess"
    result_class = GuideImage

    pre_processor_type: PreProcessor | None = None
    width: int | None = None
    height: int | None = None
    low_threshold_canny: int | None = None
    high_threshold_canny: int | None = None
    include_hands_and_face_open_pose: bool | None = None
    output_format: ImageFormat | None = None
    settings: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ImageMasking(Editing[MaskImage]):
    """Detect objects in an image, such as faces, and return a mask of them. The model decides what is detected.

    Args:
        confidence: Minimum detection confidence, 0–1.
        mask_padding: Pixels by which to grow the mask.
        mask_blur: Blur radius of the mask's edge, in pixels.
        max_detections: Maximum number of detections.
        output_format: File format of the mask.
        settings: Model-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "imageMasking"
    result_class = MaskImage

    confidence: float | None = None
    mask_padding: int | None = None
    mask_blur: int | None = None
    max_detections: int | None = None
    output_format: ImageFormat | None = None
    settings: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Vectorize(MediaTask[Image]):
    """Convert an image to a vector graphic, or generate one from a prompt.

    Args:
        inputs: The input image.
        model: The model's AIR. `None` leaves the choice to the server.
        positive_prompt: What to generate, for models that take a prompt.
        width: Width in pixels, for models that take a size.
        height: Height in pixels, for models that take a size.
        output_format: File format; `"SVG"`.
        settings: Model-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "vectorize"
    result_class = Image

    inputs: EditingInputs | Mapping[str, Any] | None = None
    model: str | None = None
    positive_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    output_format: Literal["SVG"] | str | None = None
    settings: Mapping[str, Any] | None = None

    @classmethod
    def main_value(cls, value: Any) -> Any:
        """Wrap a bare value, the image, in `EditingInputs`."""
        return EditingInputs(image=value)
