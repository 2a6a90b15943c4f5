"""Working on pictures and videos that are there already (protocol reference, 4.12 to 4.19)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.media import Media
from runware.requests.image import ImageFormat
from runware.requests.inference import Inference, MediaTask
from runware.requests.validation import Checked
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
class EditingInputs(Checked):
    """What is worked on, in the current form of the wire.

    Args:
        image: A picture.
        video: Or a video, where the task takes one.
    """

    image: Media | None = None
    video: Media | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Editing(MediaTask[R_co]):
    """A task that works on a medium.

    Args:
        inputs: What is worked on, in the current form of the wire.
        input_image: The picture, in the older form.
        model: The model's AIR. Without it the server decides.
    """

    main: ClassVar[str] = "input_image"

    inputs: EditingInputs | Mapping[str, Any] | None = None
    input_image: Media | None = None
    model: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class EditingOfAny(Editing[Image | Video]):
    """A task that works on a picture or a video.

    Args:
        output_format: The format. For pictures the server's default is `"JPG"`, and `"PNG"` when the background is
            removed.
    """

    result_class = Image
    class_of: ClassVar[Any] = staticmethod(partial(class_by_name, otherwise=Image))  # a picture or a video

    output_format: EditedFormat | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Upscale(EditingOfAny):
    """Enlarge a picture or a video.

    Args:
        upscale_factor: By how much, 2 or 4 for most models. A picture becomes 4096 × 4096 pixels at most.
        target_megapixels: Or how large it becomes, in millions of pixels.
        width: Width in pixels, for models that want it so.
        height: Height in pixels, for models that want it so.
        resolution: The size by name, for models that want it so.
        fps: Frames a second of a video.
        positive_prompt: What it shows, for models that want to know.
        settings: Settings of the model, with names as on the wire.
        provider_settings: Settings of one provider, with names as on the wire.
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
class RemoveBackgroundSettings(Checked):
    """How a background is removed; models differ in what they take of it.

    Args:
        rgba: The color of the new background: red, green, blue and opacity.
        post_process_mask: Whether the mask is smoothed.
        return_only_mask: Whether the mask is the result.
        alpha_matting: Whether edges become partly transparent.
        alpha_matting_foreground_threshold: From where on a pixel is foreground, 1–255; the server's default is 240.
        alpha_matting_background_threshold: Up to where a pixel is background, 1–255; the server's default is 10.
        alpha_matting_erode_size: How far the edge is taken back, 1–255; the server's default is 10.
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
    """Remove the background of a picture or a video.

    Args:
        settings: How it is removed.
        provider_settings: Settings of one provider, with names as on the wire.
    """

    task_type: ClassVar[str] = "removeBackground"

    settings: RemoveBackgroundSettings | Mapping[str, Any] | None = None
    provider_settings: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Caption(Inference[Text]):
    """Describe a picture or a video in words.

    Args:
        inputs: What is described, in the current form of the wire.
        input_image: The picture, in the older form.
        input_images: Several pictures, in the older form.
        model: The model's AIR. Without it the server decides.
        prompt: What to tell of it.
        template: The name of a template for the answer.
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
    """Make the guide image for a ControlNet model from a picture.

    The task goes under its current name, `controlNetPreprocess`. For a server that knows only the older one, pass
    `extra={"taskType": "imageControlNetPreProcess"}`.

    Args:
        pre_processor_type: The preprocessor, in the older form; in the current one, `model` names it.
        width: Width in pixels.
        height: Height in pixels.
        low_threshold_canny: Lower threshold of `canny`; the server's default is 100.
        high_threshold_canny: Upper threshold of `canny`; the server's default is 200.
        include_hands_and_face_open_pose: Whether `openpose` looks at hands and faces too.
        output_format: The format.
        settings: Settings of the model, with names as on the wire.
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
    """Find things in a picture, such as faces, and make a mask of them. The model decides what is looked for.

    Args:
        confidence: From which confidence on something counts as found, 0–1.
        mask_padding: Pixels by which the mask is widened.
        mask_blur: The blur of the mask's edge in pixels.
        max_detections: How many things are found at most.
        output_format: The format of the mask.
        settings: Settings of the model, with names as on the wire.
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
    """Make a vector graphic of a picture, or from a prompt.

    Args:
        inputs: The picture.
        model: The model's AIR. Without it the server decides.
        positive_prompt: What to show, for models that make it from a prompt.
        width: Width in pixels, for models that want it so.
        height: Height in pixels, for models that want it so.
        output_format: The format, which is `"SVG"`.
        settings: Settings of the model, with names as on the wire.
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
        """Make of a value alone what its `main` parameter takes: the picture."""
        return EditingInputs(image=value)
