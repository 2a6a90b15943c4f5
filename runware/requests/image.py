"""Request classes for image generation (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import attrs

from runware._support.lazy_modules import lazy_module
from runware.media import Media
from runware.requests.inference import Generation
from runware.results import Image, Results

if TYPE_CHECKING:
    from runware.requests import image_parts as parts
else:
    # Annotations with its classes are strings: a request that uses none of them does without the module.
    parts = lazy_module("runware.requests.image_parts")

    def __getattr__(name: str) -> Any:
        """Return an object's class, which was here before; requests that were pickled refer to it."""
        if name.startswith("_"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(parts, name)


__all__ = ["Diffusion", "ImageFormat", "ImageInference", "PhotoMaker"]

R_co = TypeVar("R_co", covariant=True)

ImageFormat = Literal["JPG", "PNG", "WEBP", "TIFF"] | str
"""Known formats, for editor completion; the server may accept others."""
Acceleration = Literal["none", "low", "medium", "high"] | str


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Diffusion(Generation[R_co]):
    """A task that generates images from a prompt.

    Args:
        positive_prompt: What to generate, 2–3000 characters. `"__BLANK__"` means no prompt; a few models take none.
        model: The model's AIR, such as `"runware:101@1"`. `None` leaves the choice to the server.
        width: Width in pixels; a multiple of 64 from 128 to 2048 for most models.
        height: Height in pixels; a multiple of 64 from 128 to 2048 for most models.
        negative_prompt: What to avoid, 2–3000 characters.
        output_format: File format; the server's default is `"JPG"`. Only some models produce `"TIFF"`.
        steps: Number of inference steps, 1–100; the server's default is 20.
        scheduler: Name of the scheduler; defaults to the model's.
        seed: Seed for reproducible results, 1–9223372036854775807; random by default. Result k uses seed plus k.
        cfg_scale: Guidance scale: how closely to follow the prompt, 0–50; the server's default is 7.
        clip_skip: Number of text encoder layers to skip, 0–2.
    """

    result_class = Image
    many: ClassVar[bool] = True

    positive_prompt: str | None = None
    model: str | None = None
    width: int | None = None
    height: int | None = None
    negative_prompt: str | None = None
    output_format: ImageFormat | None = None
    steps: int | None = None
    scheduler: str | None = None
    seed: int | None = None
    cfg_scale: float | None = None
    clip_skip: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ImageInference(Diffusion[Results[Image]]):
    """Generate images from text, other images, or both.

    Ranges are those of the API reference (https://runware.ai/docs); a model may have narrower ones.

    Args:
        true_cfg_scale: Guidance scale for FLUX models, instead of `cfg_scale`.
        strength: How strongly a seed image is changed, 0–1; the server's default is 0.8.
        inputs: Input media (current API form).
        seed_image: Image to start from (legacy API form of `inputs`).
        mask_image: Mask of the area to repaint (legacy API form of `inputs`).
        mask_margin: Pixels of context around the mask, 32–128.
        reference_images: Reference images (legacy API form of `inputs`).
        outpaint: How far to extend the image on each side.
        resolution: Size by name, for models that take one instead of width and height.
        prompt_weighting: Syntax for weights in the prompt.
        use_prompt_weighting: Enable weights in the prompt (legacy form of `prompt_weighting`).
        structured_prompt: A prompt in parts, in the form the model expects.
        vae: AIR of a VAE.
        acceleration: How much quality to trade for speed; the server's default is `"none"`.
        accelerator_options: Caching methods that speed up inference.
        lora: LoRA models to apply.
        lycoris: LyCORIS models to apply.
        embeddings: Textual inversion embeddings to apply.
        control_net: ControlNet models with their guide images.
        ip_adapters: IP-Adapter models with their guide images.
        refiner: Refiner model for the last steps.
        advanced_features: Features of individual models.
        hires_fix: Run a second pass at a higher resolution: `True`, or an object in the form the model expects.
        pulid: Identity from a face image, with PuLID.
        ace_plus_plus: Subject-driven generation and local edits, with ACE++.
        instant_id: Identity from a face image, with InstantID.
        photo_maker: Identity from face images, with PhotoMaker.
        ultralytics: Detection and regeneration of faces and other details.
        upscale_factor: Scale factor for the result, for models that support it.
        provider_settings: Provider-specific settings, such as `{"bfl": {"prompt_upsampling": True}}`,
            by Python or API name.
        settings: Model-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "imageInference"
    true_cfg_scale: float | None = None
    strength: float | None = None
    inputs: "parts.ImageInputs | Mapping[str, Any] | None" = None
    seed_image: Media | None = None
    mask_image: Media | None = None
    mask_margin: int | None = None
    reference_images: Sequence[Media | Mapping[str, Any]] | None = None
    outpaint: "parts.Outpaint | Mapping[str, Any] | None" = None
    resolution: str | None = None
    prompt_weighting: Literal["compel", "sdEmbeds"] | str | None = None
    use_prompt_weighting: bool | None = None
    structured_prompt: str | Mapping[str, Any] | None = None
    vae: str | None = None
    acceleration: Acceleration | None = None
    accelerator_options: "parts.AcceleratorOptions | Mapping[str, Any] | None" = None
    lora: "Sequence[parts.Lora | Mapping[str, Any]] | None" = None
    lycoris: "Sequence[parts.Lycoris | Mapping[str, Any]] | None" = None
    embeddings: "Sequence[parts.Embedding | Mapping[str, Any]] | None" = None
    control_net: "Sequence[parts.ControlNet | Mapping[str, Any]] | None" = None
    ip_adapters: "Sequence[parts.IPAdapter | Mapping[str, Any]] | None" = None
    refiner: "parts.Refiner | Mapping[str, Any] | None" = None
    advanced_features: "parts.AdvancedFeatures | Mapping[str, Any] | None" = None
    hires_fix: bool | Mapping[str, Any] | None = None
    pulid: "parts.PuLID | Mapping[str, Any] | None" = None
    ace_plus_plus: "parts.AcePlusPlus | Mapping[str, Any] | None" = None
    instant_id: "parts.InstantID | Mapping[str, Any] | None" = None
    photo_maker: "parts.PhotoMakerSettings | Mapping[str, Any] | None" = None
    ultralytics: "parts.Ultralytics | Mapping[str, Any] | None" = None
    upscale_factor: float | None = None
    provider_settings: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None


PhotoMakerStyle = Literal[
    "No style",
    "Cinematic",
    "Disney Character",
    "Digital Art",
    "Photographic",
    "Fantasy art",
    "Neonpunk",
    "Enhance",
    "Comic book",
    "Lowpoly",
    "Line art",
]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class PhotoMaker(Diffusion[Results[Image]]):
    """Generate images of a person from photographs.

    The prompt refers to the person as `rwre`; the server adds the word if it is missing.

    Args:
        positive_prompt: What to generate, 2–300 characters.
        input_images: Photographs of the person, 1–4.
        style: Name of the style; the server's default is `"No style"`.
        strength: Weight of the style against the likeness, 15–50; the server's default is 15.
    """

    task_type: ClassVar[str] = "photoMaker"

    positive_prompt: str = attrs.field()
    input_images: Sequence[Media]
    style: PhotoMakerStyle | None = None
    strength: int | None = None
