"""Making pictures from text and pictures (protocol reference, section 4.5)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.media import Media
from runware.requests.inference import Generation
from runware.requests.validation import Checked
from runware.results import Image, Results

__all__ = [
    "AcceleratorOptions",
    "AcePlusPlus",
    "AdvancedFeatures",
    "ControlNet",
    "Diffusion",
    "Embedding",
    "FluxKontext",
    "IPAdapter",
    "ImageFormat",
    "ImageInference",
    "ImageInputs",
    "InstantID",
    "Lora",
    "Lycoris",
    "Outpaint",
    "PhotoMaker",
    "PhotoMakerSettings",
    "PuLID",
    "Refiner",
    "Region",
    "RegionalPrompting",
    "Ultralytics",
    "Watermark",
]

R_co = TypeVar("R_co", covariant=True)

ImageFormat = Literal["JPG", "PNG", "WEBP", "TIFF"] | str
"""The formats that are known, for an editor to offer; the server may have others."""
Acceleration = Literal["none", "low", "medium", "high"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Outpaint(Checked):
    """How far a picture is extended.

    Args:
        top: Pixels to add at the top, 0 or more in steps of 64.
        right: Pixels to add at the right, 0 or more in steps of 64.
        bottom: Pixels to add at the bottom, 0 or more in steps of 64.
        left: Pixels to add at the left, 0 or more in steps of 64.
        blur: Blur of the border, 0–32; the server's default is 0.
    """

    top: int | None = None
    right: int | None = None
    bottom: int | None = None
    left: int | None = None
    blur: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Lora(Checked):
    """A LoRA model.

    Args:
        model: Its AIR.
        weight: Its weight, −4 to 4; the server's default is 1.
        transformer: For video models, the stage it applies to: `"high"`, `"low"` or `"both"` (the default).
    """

    model: str
    weight: float | None = None
    transformer: Literal["high", "low", "both"] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Lycoris(Checked):
    """A LyCORIS model.

    Args:
        model: Its AIR.
        weight: Its weight.
    """

    model: str
    weight: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Embedding(Checked):
    """A textual inversion.

    Args:
        model: Its AIR.
        weight: Its weight, −4 to 4; the server's default is 1.
    """

    model: str
    weight: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ControlNet(Checked):
    """A ControlNet model with its guide image.

    Args:
        model: Its AIR.
        guide_image: The guide image, as `controlnet_preprocess` makes it.
        weight: Its weight, 0–1; the server's default is 1.
        start_step: The step at which it begins.
        start_step_percentage: The same in percent of the steps, 0–99.
        end_step: The step at which it ends.
        end_step_percentage: The same in percent of the steps, up to 100.
        control_mode: Whether the prompt, the guide image or both lead.
    """

    model: str
    guide_image: Media | None = None
    weight: float | None = None
    start_step: int | None = None
    start_step_percentage: float | None = None
    end_step: int | None = None
    end_step_percentage: float | None = None
    control_mode: Literal["prompt", "controlnet", "balanced"] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class IPAdapter(Checked):
    """An IP-Adapter model with its guide images.

    Args:
        model: Its AIR.
        guide_image: The guide image.
        guide_images: Several guide images.
        weight: Its weight, 0–1; the server's default is 1.
        combine_method: How several guide images are combined.
        weight_type: How the weight is applied.
        embed_scaling: How embeddings are scaled.
        weight_composition: The weight of the composition.
    """

    model: str
    guide_image: Media | None = None
    guide_images: Sequence[Media] | None = None
    weight: float | None = None
    combine_method: str | None = None
    weight_type: str | None = None
    embed_scaling: str | None = None
    weight_composition: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Refiner(Checked):
    """A refiner model, which takes over for the last steps.

    Args:
        model: Its AIR.
        start_step: The step at which it takes over, 2 to the number of steps.
        start_step_percentage: The same in percent of the steps, 1–99.
    """

    model: str
    start_step: int | None = None
    start_step_percentage: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AcceleratorOptions(Checked):
    """Caches that save steps.

    Args:
        tea_cache: Whether TeaCache is used.
        tea_cache_distance: Its distance, 0–1; the server's default is 0.5.
        deep_cache: Whether DeepCache is used.
        deep_cache_interval: Its interval in steps, 1 or more; the server's default is 3.
        deep_cache_branch_id: Its branch; the server's default is 0.
        fb_cache: Whether the first-block cache is used.
        fb_cache_threshold: Its threshold, 0–1; the server's default is 0.25.
        cache_start_step: The step at which caching begins.
        cache_start_step_percentage: The same in percent of the steps, 0–99.
        cache_end_step: The step at which caching ends.
        cache_end_step_percentage: The same in percent of the steps, up to 100.
        cache_max_consecutive_steps: How many steps in a row may be cached, 1–5; the server's default is 3.
    """

    tea_cache: bool | None = None
    tea_cache_distance: float | None = None
    deep_cache: bool | None = None
    deep_cache_interval: int | None = None
    deep_cache_branch_id: int | None = None
    fb_cache: bool | None = None
    fb_cache_threshold: float | None = None
    cache_start_step: int | None = None
    cache_start_step_percentage: float | None = None
    cache_end_step: int | None = None
    cache_end_step_percentage: float | None = None
    cache_max_consecutive_steps: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class FluxKontext(Checked):
    """Guidance of FLUX Kontext models.

    Args:
        guidance_end_step: The step at which guidance ends.
        guidance_end_step_percentage: The same in percent of the steps.
    """

    guidance_end_step: int | None = None
    guidance_end_step_percentage: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Region(Checked):
    """A part of the picture with a prompt of its own.

    Args:
        prompt: The prompt.
        mask: Where it applies: four numbers, or a mask image.
    """

    prompt: str
    mask: Sequence[int] | Media | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RegionalPrompting(Checked):
    """Prompts for parts of the picture.

    Args:
        regions: The parts.
        inject_steps: For how many steps they are applied.
        background_prompt: The prompt of the rest.
        base_ratio: How much the whole picture's prompt counts.
    """

    regions: Sequence[Region | Mapping[str, Any]] | None = None
    inject_steps: int | None = None
    background_prompt: str | None = None
    base_ratio: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Watermark(Checked):
    """A watermark on the result.

    Args:
        text: Its text.
        image: Or its picture.
        display_position: Where it stands.
        tiled: Whether it is repeated over the whole picture.
        opacity: How strong it is, 0.1–1.
        font_color: The color of the text.
        bg_color: The color behind the text.
    """

    text: str | None = None
    image: Media | None = None
    display_position: str | None = None
    tiled: bool | None = None
    opacity: float | None = None
    font_color: str | None = None
    bg_color: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AdvancedFeatures(Checked):
    """Features of single models.

    Args:
        layer_diffuse: Whether the result has a transparent background.
        hires_fix: Whether a second pass at a higher resolution is made.
        flux_kontext: Guidance of FLUX Kontext models.
        regional_prompting: Prompts for parts of the picture.
        watermark: A watermark.
    """

    layer_diffuse: bool | None = None
    hires_fix: bool | Mapping[str, Any] | None = None
    flux_kontext: FluxKontext | Mapping[str, Any] | None = None
    regional_prompting: RegionalPrompting | Mapping[str, Any] | None = None
    watermark: Watermark | Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class PuLID(Checked):
    """Identity from a picture of a face, with PuLID.

    Args:
        input_images: The picture, one.
        id_weight: How much the identity counts, 0–3; the server's default is 1.
        true_cfg_scale: The guidance, 0–10.
        cfg_start_step: The step at which guidance begins, 0–10.
        cfg_start_step_percentage: The same in percent of the steps, 0–100.
    """

    input_images: Sequence[Media] | None = None
    id_weight: float | None = None
    true_cfg_scale: float | None = None
    cfg_start_step: int | None = None
    cfg_start_step_percentage: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AcePlusPlus(Checked):
    """Subjects and edits with ACE++.

    Args:
        type: What it does; the server's default is `"portrait"`.
        input_images: The picture, at most one.
        input_masks: The mask, at most one.
        repainting_scale: How much is painted anew, 0–1; the server's default is 0.
    """

    type: Literal["portrait", "subject", "local_editing"] | None = None
    input_images: Sequence[Media] | None = None
    input_masks: Sequence[Media] | None = None
    repainting_scale: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class InstantID(Checked):
    """Identity from a picture of a face, with InstantID.

    Args:
        input_image: The picture of the face.
        pose_image: A picture of the pose.
        input_images: Several pictures of the face.
        identity_net_strength: How much the identity counts.
        adapter_strength: How much the adapter counts.
        control_net_canny_weight: The weight of the edges.
        control_net_depth_weight: The weight of the depth.
        enhance_non_face_region: Whether the rest of the picture is improved too.
    """

    input_image: Media | None = None
    pose_image: Media | None = None
    input_images: Sequence[Media] | None = None
    identity_net_strength: float | None = None
    adapter_strength: float | None = None
    control_net_canny_weight: float | None = None
    control_net_depth_weight: float | None = None
    enhance_non_face_region: bool | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class PhotoMakerSettings(Checked):
    """Identity from pictures of a face, with PhotoMaker.

    Args:
        style: The style.
        strength: How much the style counts.
        images: The pictures.
    """

    style: str | None = None
    strength: float | None = None
    images: Sequence[Media] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Ultralytics(Checked):
    """Faces and other details made anew after the picture.

    Args:
        inpaint_size: The size in pixels at which a detail is made.
        mask_blur: The blur of its mask.
        mask_padding: The padding of its mask in pixels.
        confidence: From which confidence on something counts as found, 0–1.
        positive_prompt: The prompt of the detail.
        negative_prompt: Its negative prompt.
        steps: Its steps.
        cfg_scale: Its guidance.
        strength: How much it is changed, 0–1.
    """

    inpaint_size: int | None = None
    mask_blur: int | None = None
    mask_padding: int | None = None
    confidence: float | None = None
    positive_prompt: str | None = None
    negative_prompt: str | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    strength: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ImageInputs(Checked):
    """The media a picture is made from, in the current form of the wire.

    Args:
        image: The picture.
        images: Several pictures.
        mask: A mask.
        seed_image: The picture to start from.
        mask_image: The mask of the part to paint.
        reference_images: Pictures to go by; each is media, or an object as the model wants it.
        fonts: Fonts, as the model wants them.
        super_resolution_references: Pictures to go by when details are made.
    """

    image: Media | None = None
    images: Sequence[Media] | None = None
    mask: Media | None = None
    seed_image: Media | None = None
    mask_image: Media | None = None
    reference_images: Sequence[Media | Mapping[str, Any]] | None = None
    fonts: Sequence[Any] | None = None
    super_resolution_references: Sequence[Media] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Diffusion(Generation[R_co]):
    """A task that makes pictures from a prompt.

    Args:
        positive_prompt: What to show, 2–3000 characters; `"__BLANK__"` means no prompt, and a few models take none.
        model: The model's AIR, such as `"runware:101@1"`. Without it the server decides.
        width: Width in pixels, 128–2048 in steps of 64 for most models.
        height: Height in pixels, 128–2048 in steps of 64 for most models.
        negative_prompt: What not to show, 2–3000 characters.
        output_format: The format; the server's default is `"JPG"`, and few models make a `"TIFF"`.
        steps: Steps of the model, 1–100; the server's default is 20.
        scheduler: The scheduler's name; the default is the model's.
        seed: The seed, 1–9223372036854775807; result k has seed plus k. The default is random.
        cfg_scale: How closely the prompt is followed, 0–50; the server's default is 7.
        clip_skip: Layers of the text encoder to skip, 0–2.
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
    """Make pictures.

    Args:
        true_cfg_scale: How closely the prompt is followed, for FLUX models.
        strength: How much a seed image is changed, 0–1; the server's default is 0.8.
        inputs: The media to start from, in the current form of the wire.
        seed_image: The picture to start from, in the older form.
        mask_image: The mask of the part to paint, in the older form.
        mask_margin: Pixels round the mask, 32–128.
        reference_images: Pictures to go by, in the older form.
        outpaint: How far the picture is extended.
        resolution: The size by name, for models that want it so.
        prompt_weighting: The syntax for weights in the prompt.
        use_prompt_weighting: The older switch for weights in the prompt.
        structured_prompt: A prompt in parts, as the model wants it.
        vae: The AIR of a VAE.
        acceleration: How much quality is given for speed; the server's default is `"none"`.
        accelerator_options: Caches that save steps.
        lora: LoRA models.
        lycoris: LyCORIS models.
        embeddings: Textual inversions.
        control_net: ControlNet models.
        ip_adapters: IP-Adapter models.
        refiner: A refiner model.
        advanced_features: Features of single models.
        hires_fix: A second pass at a higher resolution: `True`, or an object as the model wants it.
        pulid: Identity with PuLID.
        ace_plus_plus: Subjects and edits with ACE++.
        instant_id: Identity with InstantID.
        photo_maker: Identity with PhotoMaker.
        ultralytics: Details made anew.
        upscale_factor: By how much the result is enlarged, for models that can.
        provider_settings: Settings of one provider, such as `{"bfl": {"promptUpsampling": True}}`, with names as on
            the wire.
        settings: Settings of the model, with names as on the wire.
    """

    task_type: ClassVar[str] = "imageInference"
    true_cfg_scale: float | None = None
    strength: float | None = None
    inputs: ImageInputs | Mapping[str, Any] | None = None
    seed_image: Media | None = None
    mask_image: Media | None = None
    mask_margin: int | None = None
    reference_images: Sequence[Media] | None = None
    outpaint: Outpaint | Mapping[str, Any] | None = None
    resolution: str | None = None
    prompt_weighting: Literal["compel", "sdEmbeds"] | None = None
    use_prompt_weighting: bool | None = None
    structured_prompt: str | Mapping[str, Any] | None = None
    vae: str | None = None
    acceleration: Acceleration | None = None
    accelerator_options: AcceleratorOptions | Mapping[str, Any] | None = None
    lora: Sequence[Lora | Mapping[str, Any]] | None = None
    lycoris: Sequence[Lycoris | Mapping[str, Any]] | None = None
    embeddings: Sequence[Embedding | Mapping[str, Any]] | None = None
    control_net: Sequence[ControlNet | Mapping[str, Any]] | None = None
    ip_adapters: Sequence[IPAdapter | Mapping[str, Any]] | None = None
    refiner: Refiner | Mapping[str, Any] | None = None
    advanced_features: AdvancedFeatures | Mapping[str, Any] | None = None
    hires_fix: bool | Mapping[str, Any] | None = None
    pulid: PuLID | Mapping[str, Any] | None = None
    ace_plus_plus: AcePlusPlus | Mapping[str, Any] | None = None
    instant_id: InstantID | Mapping[str, Any] | None = None
    photo_maker: PhotoMakerSettings | Mapping[str, Any] | None = None
    ultralytics: Ultralytics | Mapping[str, Any] | None = None
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
    """Make pictures of a person from photographs. The prompt names the person `rwre`; the server adds it if needed.

    Args:
        positive_prompt: What to show, 2–300 characters.
        input_images: Photographs of the person, 1–4.
        style: The style; the server's default is `"No style"`.
        strength: How much the style counts against the likeness, 15–50; the server's default is 15.
    """

    task_type: ClassVar[str] = "photoMaker"

    positive_prompt: str = attrs.field()
    input_images: Sequence[Media]
    style: PhotoMakerStyle | None = None
    strength: int | None = None
