"""Objects in requests for images and videos, which load with the first of them (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from runware.media import Media
from runware.requests.validation import RequestModel

__all__ = [
    "AcceleratorOptions",
    "AcePlusPlus",
    "AdvancedFeatures",
    "ControlNet",
    "Embedding",
    "FluxKontext",
    "IPAdapter",
    "ImageInputs",
    "InstantID",
    "Lora",
    "Lycoris",
    "Outpaint",
    "PhotoMakerSettings",
    "PuLID",
    "Refiner",
    "Region",
    "RegionalPrompting",
    "Ultralytics",
    "Watermark",
]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Outpaint(RequestModel):
    """How far to extend an image on each side.

    Args:
        top: Pixels to add at the top; a multiple of 64, or 0.
        right: Pixels to add on the right; a multiple of 64, or 0.
        bottom: Pixels to add at the bottom; a multiple of 64, or 0.
        left: Pixels to add on the left; a multiple of 64, or 0.
        blur: Blur of the seam, 0–32; the server's default is 0.
    """

    top: int | None = None
    right: int | None = None
    bottom: int | None = None
    left: int | None = None
    blur: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Lora(RequestModel):
    """A LoRA model.

    Args:
        model: The LoRA's AIR.
        weight: Weight, −4 to 4; the server's default is 1.
        transformer: For video models, the stage it applies to: `"high"`, `"low"` or `"both"` (the default).
    """

    model: str
    weight: float | None = None
    transformer: Literal["high", "low", "both"] | str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Lycoris(RequestModel):
    """A LyCORIS model.

    Args:
        model: The LyCORIS model's AIR.
        weight: Weight.
    """

    model: str
    weight: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Embedding(RequestModel):
    """A textual inversion embedding.

    Args:
        model: The embedding's AIR.
        weight: Weight, −4 to 4; the server's default is 1.
    """

    model: str
    weight: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ControlNet(RequestModel):
    """A ControlNet model and its guide image.

    Args:
        model: The ControlNet model's AIR.
        guide_image: The guide image, as `controlnet_preprocess` returns it.
        weight: Weight, 0–1; the server's default is 1.
        start_step: First step it applies to.
        start_step_percentage: First step it applies to, as a percentage of all steps, 0–99.
        end_step: Last step it applies to.
        end_step_percentage: Last step it applies to, as a percentage of all steps, up to 100.
        control_mode: Whether to prefer the prompt, the guide image, or a balance of both.
    """

    model: str
    guide_image: Media | None = None
    weight: float | None = None
    start_step: int | None = None
    start_step_percentage: float | None = None
    end_step: int | None = None
    end_step_percentage: float | None = None
    control_mode: Literal["prompt", "controlnet", "balanced"] | str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class IPAdapter(RequestModel):
    """An IP-Adapter model and its guide images.

    Args:
        model: The IP-Adapter model's AIR.
        guide_image: The guide image.
        guide_images: Several guide images.
        weight: Weight, 0–1; the server's default is 1.
        combine_method: How to combine several guide images.
        weight_type: How to apply the weight.
        embed_scaling: How to scale embeddings.
        weight_composition: Weight of the composition.
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
class Refiner(RequestModel):
    """A refiner model, which runs the last steps.

    Args:
        model: The refiner's AIR.
        start_step: First step it runs, from 2 to the number of steps.
        start_step_percentage: First step it runs, as a percentage of all steps, 1–99.
    """

    model: str
    start_step: int | None = None
    start_step_percentage: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AcceleratorOptions(RequestModel):
    """Caching methods that speed up inference.

    Args:
        tea_cache: Enable TeaCache.
        tea_cache_distance: TeaCache distance, 0–1; the server's default is 0.5.
        deep_cache: Enable DeepCache.
        deep_cache_interval: DeepCache interval in steps, 1 or more; the server's default is 3.
        deep_cache_branch_id: DeepCache branch; the server's default is 0.
        fb_cache: Enable the first-block cache.
        fb_cache_threshold: First-block cache threshold, 0–1; the server's default is 0.25.
        db_cache: Enable the dual-block cache; not together with `tea_cache`.
        db_cache_threshold: Dual-block cache threshold, 0–1; the server's default is 0.25.
        db_cache_skip_interval: Dual-block cache interval in steps, 1 or more; the server's default is 5.
        cache_start_step: First step that may use the cache.
        cache_start_step_percentage: First step that may use the cache, as a percentage of all steps, 0–99.
        cache_end_step: Last step that may use the cache.
        cache_end_step_percentage: Last step that may use the cache, as a percentage of all steps, up to 100.
        cache_max_consecutive_steps: Maximum number of consecutive cached steps, 1–5; the server's default is 3.
    """

    tea_cache: bool | None = None
    tea_cache_distance: float | None = None
    deep_cache: bool | None = None
    deep_cache_interval: int | None = None
    deep_cache_branch_id: int | None = None
    fb_cache: bool | None = None
    fb_cache_threshold: float | None = None
    db_cache: bool | None = None
    db_cache_threshold: float | None = None
    db_cache_skip_interval: int | None = None
    cache_start_step: int | None = None
    cache_start_step_percentage: float | None = None
    cache_end_step: int | None = None
    cache_end_step_percentage: float | None = None
    cache_max_consecutive_steps: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class FluxKontext(RequestModel):
    """Guidance settings of FLUX Kontext models.

    Args:
        guidance_end_step: Last step that uses guidance.
        guidance_end_step_percentage: Last step that uses guidance, as a percentage of all steps.
    """

    guidance_end_step: int | None = None
    guidance_end_step_percentage: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Region(RequestModel):
    """A region of the image with its own prompt.

    Args:
        prompt: The region's prompt.
        mask: The region: four numbers, or a mask image.
    """

    prompt: str
    mask: Sequence[int] | Media | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class RegionalPrompting(RequestModel):
    """Prompts for regions of the image.

    Args:
        regions: The regions, each with its prompt.
        inject_steps: Number of steps that use the regional prompts.
        background_prompt: Prompt for the rest of the image.
        base_ratio: Weight of the main prompt relative to the regions.
    """

    regions: Sequence[Region | Mapping[str, Any]] | None = None
    inject_steps: int | None = None
    background_prompt: str | None = None
    base_ratio: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Watermark(RequestModel):
    """A watermark on the result.

    Args:
        text: Watermark text.
        image: Watermark image, instead of a text.
        display_position: Position of the watermark.
        tiled: Repeat the watermark over the whole image.
        opacity: Opacity, 0.1–1.
        font_color: Color of the text.
        bg_color: Background color of the text.
    """

    text: str | None = None
    image: Media | None = None
    display_position: str | None = None
    tiled: bool | None = None
    opacity: float | None = None
    font_color: str | None = None
    bg_color: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AdvancedFeatures(RequestModel):
    """Features of individual models.

    Args:
        layer_diffuse: Generate a transparent background.
        hires_fix: Run a second pass at a higher resolution.
        flux_kontext: Guidance settings of FLUX Kontext models.
        regional_prompting: Prompts for regions of the image.
        watermark: Watermark to add.
    """

    layer_diffuse: bool | None = None
    hires_fix: bool | Mapping[str, Any] | None = None
    flux_kontext: FluxKontext | Mapping[str, Any] | None = None
    regional_prompting: RegionalPrompting | Mapping[str, Any] | None = None
    watermark: Watermark | Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class PuLID(RequestModel):
    """Identity from a face image, with PuLID.

    Args:
        input_images: The face image; exactly one.
        id_weight: Weight of the identity, 0–3; the server's default is 1.
        true_cfg_scale: Guidance scale, 0–10.
        cfg_start_step: First step that uses guidance, 0–10.
        cfg_start_step_percentage: First step that uses guidance, as a percentage of all steps, 0–100.
    """

    input_images: Sequence[Media] | None = None
    id_weight: float | None = None
    true_cfg_scale: float | None = None
    cfg_start_step: int | None = None
    cfg_start_step_percentage: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AcePlusPlus(RequestModel):
    """Subject-driven generation and local edits, with ACE++.

    Args:
        type: Kind of task; the server's default is `"portrait"`.
        input_images: The input image; at most one.
        input_masks: The mask; at most one.
        repainting_scale: How much to repaint, 0–1; the server's default is 0.
    """

    type: Literal["portrait", "subject", "local_editing"] | str | None = None
    input_images: Sequence[Media] | None = None
    input_masks: Sequence[Media] | None = None
    repainting_scale: float | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class InstantID(RequestModel):
    """Identity from a face image, with InstantID.

    Args:
        input_image: The face image.
        pose_image: Image of the pose.
        input_images: Several face images.
        identity_net_strength: Weight of the identity.
        adapter_strength: Weight of the adapter.
        control_net_canny_weight: Weight of the edges.
        control_net_depth_weight: Weight of the depth map.
        enhance_non_face_region: Enhance the rest of the image as well.
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
class PhotoMakerSettings(RequestModel):
    """Identity from face images, with PhotoMaker.

    Args:
        style: Name of the style.
        strength: Weight of the style.
        images: The face images.
    """

    style: str | None = None
    strength: float | None = None
    images: Sequence[Media] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Ultralytics(RequestModel):
    """Detection and regeneration of faces and other details in the finished image.

    Args:
        inpaint_size: Size in pixels at which a detail is regenerated.
        mask_blur: Blur radius of the detail's mask.
        mask_padding: Padding of the detail's mask, in pixels.
        confidence: Minimum detection confidence, 0–1.
        positive_prompt: Prompt for the detail.
        negative_prompt: Negative prompt for the detail.
        steps: Number of steps for the detail.
        cfg_scale: Guidance scale for the detail.
        strength: How strongly the detail is changed, 0–1.
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
class ImageInputs(RequestModel):
    """Input media of an image task (current API form). Which fields apply depends on the model.

    Items of lists are media, or objects in the form the model expects, keyed by API name.

    Args:
        image: The input image.
        images: Several input images.
        mask: The mask.
        seed_image: Image to start from (image-to-image).
        mask_image: Mask of the area to repaint (inpainting).
        reference_images: Reference images.
        reference_videos: Reference videos.
        fonts: Fonts, in the form the model expects.
        super_resolution_references: Reference images for super-resolution.
    """

    image: Media | None = None
    images: Sequence[Media | Mapping[str, Any]] | None = None
    mask: Media | None = None
    seed_image: Media | None = None
    mask_image: Media | None = None
    reference_images: Sequence[Media | Mapping[str, Any]] | None = None
    reference_videos: Sequence[Media | Mapping[str, Any]] | None = None
    fonts: Sequence[Any] | None = None
    super_resolution_references: Sequence[Media | Mapping[str, Any]] | None = None
