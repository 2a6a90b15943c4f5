"""Operations that block until their result is available.

Generated from the request classes by `tools/generate_operations.py`. Do not edit. The bodies are never run:
`runware.operations.calls` defines what a method does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from runware import requests, results, text
from runware._support.lazy_modules import lazy_module
from runware.media import Media
from runware.options import RetryPolicy
from runware.requests.base import PartialCallback, ProgressCallback, Task
from runware.results import Result, Results

if TYPE_CHECKING:
    from runware.results import platform
else:
    platform = lazy_module("runware.results.platform")

__all__ = ["BlockingOperations"]

R = TypeVar("R")


class BlockingOperations(ABC):
    """The operations of `Runware`."""

    @abstractmethod
    def run(self, task: Task[R]) -> R:
        """Run a task."""

    @abstractmethod
    def stream(self, task: requests.StreamText) -> text.TextStream:
        """Return the stream that an operation made."""

    def image_inference(
        self,
        *,
        positive_prompt: str | None = None,
        model: str | None = None,
        width: int | None = None,
        height: int | None = None,
        negative_prompt: str | None = None,
        output_format: Literal["JPG", "PNG", "WEBP", "TIFF"] | str | None = None,
        steps: int | None = None,
        scheduler: str | None = None,
        seed: int | None = None,
        cfg_scale: float | None = None,
        clip_skip: int | None = None,
        true_cfg_scale: float | None = None,
        strength: float | None = None,
        inputs: requests.ImageInputs | Mapping[str, Any] | None = None,
        seed_image: Media | None = None,
        mask_image: Media | None = None,
        mask_margin: int | None = None,
        reference_images: Sequence[Media | Mapping[str, Any]] | None = None,
        outpaint: requests.Outpaint | Mapping[str, Any] | None = None,
        resolution: str | None = None,
        prompt_weighting: Literal["compel", "sdEmbeds"] | str | None = None,
        use_prompt_weighting: bool | None = None,
        structured_prompt: str | Mapping[str, Any] | None = None,
        vae: str | None = None,
        acceleration: Literal["none", "low", "medium", "high"] | str | None = None,
        accelerator_options: requests.AcceleratorOptions | Mapping[str, Any] | None = None,
        lora: Sequence[requests.Lora | Mapping[str, Any]] | None = None,
        lycoris: Sequence[requests.Lycoris | Mapping[str, Any]] | None = None,
        embeddings: Sequence[requests.Embedding | Mapping[str, Any]] | None = None,
        control_net: Sequence[requests.ControlNet | Mapping[str, Any]] | None = None,
        ip_adapters: Sequence[requests.IPAdapter | Mapping[str, Any]] | None = None,
        refiner: requests.Refiner | Mapping[str, Any] | None = None,
        advanced_features: requests.AdvancedFeatures | Mapping[str, Any] | None = None,
        hires_fix: bool | Mapping[str, Any] | None = None,
        pulid: requests.PuLID | Mapping[str, Any] | None = None,
        ace_plus_plus: requests.AcePlusPlus | Mapping[str, Any] | None = None,
        instant_id: requests.InstantID | Mapping[str, Any] | None = None,
        photo_maker: requests.PhotoMakerSettings | Mapping[str, Any] | None = None,
        ultralytics: requests.Ultralytics | Mapping[str, Any] | None = None,
        upscale_factor: float | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        number_results: int | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[results.Image]:
        """Generate images from text, other images, or both.

        Ranges are those of the API reference (https://runware.ai/docs); a model may have narrower ones.

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
            provider_settings: Provider-specific settings, such as `{"bfl": {"prompt_upsampling": True}}`, by Python or
                API name.
            settings: Model-specific settings, by Python or API name.
            number_results: Number of results: up to 20 images, 4 videos or 3 audio files; 1 by default.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Image`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    request_images = image_inference

    def video_inference(
        self,
        *,
        model: str,
        positive_prompt: str | None = None,
        duration: float | str | None = None,
        width: int | None = None,
        height: int | None = None,
        resolution: str | None = None,
        negative_prompt: str | None = None,
        inputs: requests.VideoInputs | Mapping[str, Any] | None = None,
        fps: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
        cfg_scale: float | None = None,
        output_format: Literal["MP4", "WEBM", "MOV"] | str | None = None,
        speech: requests.Speech | Mapping[str, Any] | None = None,
        frame_images: Sequence[requests.FrameImage | Mapping[str, Any]] | None = None,
        reference_images: Sequence[Media | Mapping[str, Any]] | None = None,
        reference_videos: Sequence[Media | Mapping[str, Any]] | None = None,
        input_audios: Sequence[Media | Mapping[str, Any]] | None = None,
        lora: Sequence[requests.Lora | Mapping[str, Any]] | None = None,
        acceleration: Literal["none", "low", "medium", "high"] | str | None = None,
        accelerator_options: requests.AcceleratorOptions | Mapping[str, Any] | None = None,
        advanced_features: requests.AdvancedFeatures | Mapping[str, Any] | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        number_results: int | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[results.Video]:
        """Generate videos.

        The server runs the task asynchronously; the client polls until it is done.

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
            provider_settings: Provider-specific settings, such as `{"google": {"generate_audio": True}}`, by Python or
                API name.
            settings: Model-specific settings, by Python or API name.
            number_results: Number of results: up to 20 images, 4 videos or 3 audio files; 1 by default.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Video`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def audio_inference(
        self,
        *,
        model: str,
        positive_prompt: str | None = None,
        negative_prompt: str | None = None,
        duration: float | None = None,
        speech: requests.Speech | Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        output_format: Literal["MP3", "WAV", "FLAC", "OGG", "MP4", "MOV", "WEBM"] | str | None = None,
        audio_settings: requests.AudioSettings | Mapping[str, Any] | None = None,
        seed: int | None = None,
        steps: int | None = None,
        strength: float | None = None,
        cfg_scale: float | None = None,
        settings: Mapping[str, Any] | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        advanced_features: Mapping[str, Any] | None = None,
        number_results: int | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[results.Audio]:
        """Generate speech, music or sound effects.

        For long audio, pass `delivery_method="async"`.

        Ranges are those of the API reference (https://runware.ai/docs); a model may have narrower ones.

        Args:
            model: The model's AIR.
            positive_prompt: What to generate; required by music models.
            negative_prompt: What to avoid.
            duration: Length in seconds, 10–300 for most models.
            speech: The text to speak, and how.
            inputs: Input media, keyed by API name.
            output_format: File format; the server's default is `"MP3"`. Only some models produce video formats.
            audio_settings: Sample rate, bit rate and channels.
            seed: Seed for reproducible results; random by default.
            steps: Number of inference steps.
            strength: How strongly an audio input is changed.
            cfg_scale: Guidance scale: how closely to follow the prompt.
            settings: Model-specific settings, by Python or API name.
            provider_settings: Provider-specific settings, such as those of `elevenlabs` or `mirelo`, by Python or API
                name.
            advanced_features: Features of individual models, keyed by API name.
            number_results: Number of results: up to 20 images, 4 videos or 3 audio files; 1 by default.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Audio`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def three_d_inference(
        self,
        *,
        model: str,
        inputs: requests.ThreeDInputs | Mapping[str, Any] | None = None,
        positive_prompt: str | None = None,
        negative_prompt: str | None = None,
        output_format: Literal["GLB", "PLY", "OBJ", "FBX", "STL", "USDZ", "3MF"] | str | None = None,
        seed: int | None = None,
        settings: Mapping[str, Any] | None = None,
        number_results: int | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[results.Model3D]:
        """Generate 3D models.

        The server runs the task asynchronously; the client polls until it is done.

        Args:
            model: The model's AIR.
            inputs: Input media.
            positive_prompt: What to generate.
            negative_prompt: What to avoid.
            output_format: File format; the server's default is `"GLB"`. Not every model supports every format.
            seed: Seed for reproducible results; random by default.
            settings: Model-specific settings, such as `sparseStructure` or `dracoCompression`, by Python or API name.
            number_results: Number of results: up to 20 images, 4 videos or 3 audio files; 1 by default.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Model3D`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def text_inference(
        self,
        *,
        model: str,
        messages: Sequence[requests.Message | Mapping[str, Any]],
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        cache: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        inputs: requests.TextInputs | Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        json_schema: Mapping[str, Any] | str | None = None,
        output_format: Literal["TEXT", "JSON"] | str | None = None,
        include_usage: bool | None = None,
        seed: int | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        number_results: int | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[results.Text]:
        """Generate text with a chat model.

        Args:
            model: The model's AIR, such as `"minimax:m2.7@0"`.
            messages: The conversation so far.
            system_prompt: Instructions that precede the conversation.
            max_tokens: Maximum length of the answer, in tokens.
            temperature: Sampling temperature.
            top_p: Nucleus sampling: cumulative probability of the tokens to choose from.
            top_k: Number of most likely tokens to choose from.
            stop_sequences: Strings that end the answer.
            thinking_level: How much reasoning precedes the answer, for models that support it.
            cache: Prompt caching: `scope` and `ttl`.
            settings: Further model-specific settings, by Python or API name. The API expects the eight parameters from
                `system_prompt` to `cache` inside this object; the client puts them there.
            inputs: Input media of the conversation.
            tools: Tools the model may call.
            tool_choice: Which tool the model must call, in the form the model expects.
            json_schema: JSON schema of the answer, as an object or as JSON text.
            output_format: `"TEXT"` (the server's default) or, with newer models, `"JSON"`.
            include_usage: Report token usage with the result.
            seed: Seed for reproducible results; random by default.
            provider_settings: Provider-specific settings, by Python or API name.
            number_results: Number of answers; 1 by default.
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Text`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def stream_text(
        self,
        *,
        model: str,
        messages: Sequence[requests.Message | Mapping[str, Any]],
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        thinking_level: str | None = None,
        cache: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        inputs: requests.TextInputs | Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        json_schema: Mapping[str, Any] | str | None = None,
        output_format: Literal["TEXT", "JSON"] | str | None = None,
        include_usage: bool | None = None,
        seed: int | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        silence_timeout: float | None = None,
        timeout: float | None = None,
        routing: Mapping[str, Any] | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        task_uuid: str | None = None,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        include_cost: bool | None = None,
    ) -> text.TextStream:
        """Generate text with a chat model, and stream it as it is generated.

        Args:
            model: The model's AIR, such as `"minimax:m2.7@0"`.
            messages: The conversation so far.
            system_prompt: Instructions that precede the conversation.
            max_tokens: Maximum length of the answer, in tokens.
            temperature: Sampling temperature.
            top_p: Nucleus sampling: cumulative probability of the tokens to choose from.
            top_k: Number of most likely tokens to choose from.
            stop_sequences: Strings that end the answer.
            thinking_level: How much reasoning precedes the answer, for models that support it.
            cache: Prompt caching: `scope` and `ttl`.
            settings: Further model-specific settings, by Python or API name. The API expects the eight parameters from
                `system_prompt` to `cache` inside this object; the client puts them there.
            inputs: Input media of the conversation.
            tools: Tools the model may call.
            tool_choice: Which tool the model must call, in the form the model expects.
            json_schema: JSON schema of the answer, as an object or as JSON text.
            output_format: `"TEXT"` (the server's default) or, with newer models, `"JSON"`.
            include_usage: Report token usage with the result.
            seed: Seed for reproducible results; random by default.
            provider_settings: Provider-specific settings, by Python or API name.
            silence_timeout: Seconds without a piece after which the connection is given up; `None` means 120. While the
                server sends keep-alive comments in place of pieces, five times as many are allowed.
            timeout: Deadline for the whole stream in seconds: connecting, all attempts, and every piece. `None` uses
                the client's `long_timeout`.
            routing: Provider routing options, keyed by API name.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `TextStream`: iterate over its pieces, in a `with` block. The request is sent when the first one is read.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The stream failed; raised while it is read. See `runware.errors` for the subclasses.
        """
        raise AssertionError

    def upscale(
        self,
        *,
        inputs: requests.EditingInputs | Mapping[str, Any] | None = None,
        input_image: Media | None = None,
        model: str | None = None,
        output_format: Literal["JPG", "PNG", "WEBP", "MP4", "WEBM", "MOV"] | str | None = None,
        upscale_factor: float | None = None,
        target_megapixels: float | None = None,
        width: int | None = None,
        height: int | None = None,
        resolution: str | None = None,
        fps: float | None = None,
        positive_prompt: str | None = None,
        settings: Mapping[str, Any] | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.Image | results.Video:
        """Upscale an image or a video.

        Args:
            inputs: The input media (current API form).
            input_image: The input image (legacy API form).
            model: The model's AIR. `None` leaves the choice to the server.
            output_format: File format. For images, the server's default is `"JPG"`, or `"PNG"` when removing a
                background.
            upscale_factor: Scale factor; most models accept 2 or 4. Images are limited to 4096 × 4096 pixels after
                scaling.
            target_megapixels: Target size in megapixels, instead of a factor.
            width: Target width in pixels, for models that take a size.
            height: Target height in pixels, for models that take a size.
            resolution: Target size by name, for models that take one.
            fps: Frame rate of a video, in frames per second.
            positive_prompt: Description of the content, for models that use one.
            settings: Model-specific settings, by Python or API name.
            provider_settings: Provider-specific settings, by Python or API name.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Image` or `Video`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    upscale_gan = upscale

    def remove_background(
        self,
        *,
        inputs: requests.EditingInputs | Mapping[str, Any] | None = None,
        input_image: Media | None = None,
        model: str | None = None,
        output_format: Literal["JPG", "PNG", "WEBP", "MP4", "WEBM", "MOV"] | str | None = None,
        settings: requests.RemoveBackgroundSettings | Mapping[str, Any] | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.Image | results.Video:
        """Remove the background of an image or a video.

        Args:
            inputs: The input media (current API form).
            input_image: The input image (legacy API form).
            model: The model's AIR. `None` leaves the choice to the server.
            output_format: File format. For images, the server's default is `"JPG"`, or `"PNG"` when removing a
                background.
            settings: Settings of the background removal.
            provider_settings: Provider-specific settings, by Python or API name.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Image` or `Video`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    remove_image_background = remove_background

    def caption(
        self,
        *,
        inputs: requests.EditingInputs | Mapping[str, Any] | None = None,
        input_image: Media | None = None,
        input_images: Sequence[Media] | None = None,
        model: str | None = None,
        prompt: str | Sequence[str] | None = None,
        template: str | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.Text:
        """Describe an image or a video in words.

        Args:
            inputs: The media to describe (current API form).
            input_image: The image to describe (legacy API form).
            input_images: Several images to describe (legacy API form).
            model: The model's AIR. `None` leaves the choice to the server.
            prompt: Instruction for the description, such as what to look for.
            template: Name of a template for the answer.
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Text`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    request_image_to_text = caption

    def prompt_enhance(
        self,
        *,
        prompt: str,
        prompt_max_length: int = 380,
        prompt_versions: int = 1,
        model: str | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[results.Text]:
        """Expand a short prompt into more detailed ones.

        Args:
            prompt: The prompt to enhance, 1–300 characters.
            prompt_max_length: Maximum length of a prompt, 12–400; 380 by default.
            prompt_versions: Number of prompts to return, 1–5; 1 by default.
            model: The model's AIR; required by newer versions of the API.
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Text`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    enhance_prompt = prompt_enhance

    def controlnet_preprocess(
        self,
        *,
        inputs: requests.EditingInputs | Mapping[str, Any] | None = None,
        input_image: Media | None = None,
        model: str | None = None,
        pre_processor_type: Literal[
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
        | None = None,
        width: int | None = None,
        height: int | None = None,
        low_threshold_canny: int | None = None,
        high_threshold_canny: int | None = None,
        include_hands_and_face_open_pose: bool | None = None,
        output_format: Literal["JPG", "PNG", "WEBP", "TIFF"] | str | None = None,
        settings: Mapping[str, Any] | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.GuideImage:
        """Turn an image into a guide image for a ControlNet model.

        The task is sent under its current name, `controlNetPreprocess`. For a server that only knows the legacy name,
        pass `extra={"taskType": "imageControlNetPreProcess"}`.

        Args:
            inputs: The input media (current API form).
            input_image: The input image (legacy API form).
            model: The model's AIR. `None` leaves the choice to the server.
            pre_processor_type: The preprocessor (legacy API form); in the current form, `model` selects it.
            width: Output width in pixels.
            height: Output height in pixels.
            low_threshold_canny: Lower threshold of `canny`; the server's default is 100.
            high_threshold_canny: Upper threshold of `canny`; the server's default is 200.
            include_hands_and_face_open_pose: Include hands and faces in `openpose`.
            output_format: File format.
            settings: Model-specific settings, by Python or API name.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `GuideImage`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    control_net_preprocess = controlnet_preprocess
    control_net_pre_process = controlnet_preprocess

    def image_masking(
        self,
        *,
        inputs: requests.EditingInputs | Mapping[str, Any] | None = None,
        input_image: Media | None = None,
        model: str | None = None,
        confidence: float | None = None,
        mask_padding: int | None = None,
        mask_blur: int | None = None,
        max_detections: int | None = None,
        output_format: Literal["JPG", "PNG", "WEBP", "TIFF"] | str | None = None,
        settings: Mapping[str, Any] | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.MaskImage:
        """Detect objects in an image, such as faces, and return a mask of them.

        The model decides what is detected.

        Args:
            inputs: The input media (current API form).
            input_image: The input image (legacy API form).
            model: The model's AIR. `None` leaves the choice to the server.
            confidence: Minimum detection confidence, 0–1.
            mask_padding: Pixels by which to grow the mask.
            mask_blur: Blur radius of the mask's edge, in pixels.
            max_detections: Maximum number of detections.
            output_format: File format of the mask.
            settings: Model-specific settings, by Python or API name.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `MaskImage`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def photo_maker(
        self,
        *,
        positive_prompt: str,
        input_images: Sequence[Media],
        model: str | None = None,
        width: int | None = None,
        height: int | None = None,
        negative_prompt: str | None = None,
        output_format: Literal["JPG", "PNG", "WEBP", "TIFF"] | str | None = None,
        steps: int | None = None,
        scheduler: str | None = None,
        seed: int | None = None,
        cfg_scale: float | None = None,
        clip_skip: int | None = None,
        style: Literal[
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
        | None = None,
        strength: int | None = None,
        number_results: int | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[results.Image]:
        """Generate images of a person from photographs.

        The prompt refers to the person as `rwre`; the server adds the word if it is missing.

        Args:
            positive_prompt: What to generate, 2–300 characters.
            input_images: Photographs of the person, 1–4.
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
            style: Name of the style; the server's default is `"No style"`.
            strength: Weight of the style against the likeness, 15–50; the server's default is 15.
            number_results: Number of results: up to 20 images, 4 videos or 3 audio files; 1 by default.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Image`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def vectorize(
        self,
        *,
        inputs: requests.EditingInputs | Mapping[str, Any] | None = None,
        model: str | None = None,
        positive_prompt: str | None = None,
        width: int | None = None,
        height: int | None = None,
        output_format: Literal["SVG"] | str | None = None,
        settings: Mapping[str, Any] | None = None,
        output_type: Literal["URL", "base64Data", "dataURI"] | None = None,
        output_quality: int | None = None,
        upload_endpoint: str | None = None,
        ttl: int | None = None,
        safety: requests.Safety | Mapping[str, Any] | None = None,
        check_nsfw: bool | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.Image:
        """Convert an image to a vector graphic, or generate one from a prompt.

        Args:
            inputs: The input image.
            model: The model's AIR. `None` leaves the choice to the server.
            positive_prompt: What to generate, for models that take a prompt.
            width: Width in pixels, for models that take a size.
            height: Height in pixels, for models that take a size.
            output_format: File format; `"SVG"`.
            settings: Model-specific settings, by Python or API name.
            output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
                models are delivered as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: URL to which the server uploads each result by HTTP PUT.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            safety: Safety check of the task.
            check_nsfw: Check the results (legacy form of *safety*).
            routing: Provider routing options, keyed by API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Image`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def tools(
        self,
        *,
        inputs: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        output_format: Literal[
            "MP4",
            "WEBM",
            "MOV",
            "MKV",
            "MP3",
            "WAV",
            "AAC",
            "FLAC",
            "OGG",
            "PNG",
            "JPG",
            "WEBP",
        ]
        | str
        | None = None,
        model: str = "runware:ffmpeg@0",
        ttl: int | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.ToolOutput:
        """Convert, cut or join media files, with ffmpeg.

        The client polls until the files are there.

        The API does not document what *inputs* and *settings* may contain; they are sent as they are given, with media
        encoded.

        Args:
            inputs: The files to work on, such as `{"video": ...}`, keyed by API name.
            settings: What to do with them, by Python or API name.
            output_format: File format of the result, such as `"MP4"`.
            model: The tool's AIR; `"runware:ffmpeg@0"` is the only one.
            ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `ToolOutput`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def training(
        self,
        *,
        model: str,
        inputs: requests.TrainingInputs | Mapping[str, Any] | None = None,
        import_model: requests.ImportModel | Mapping[str, Any] | None = None,
        trigger_word: str | None = None,
        training_steps: int | None = None,
        learning_rate: float | None = None,
        settings: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> platform.TrainedModel:
        """Train a model.

        Training can take hours: pass a `timeout`, or `skip_response=True` and collect the result later with `rw.job`.

        Args:
            model: AIR of the training model.
            inputs: Training data.
            import_model: Metadata under which the trained model is registered.
            trigger_word: Prompt word that activates what was trained.
            training_steps: Number of training steps.
            learning_rate: Learning rate.
            settings: Training-specific settings, by Python or API name.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `TrainedModel`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def model_upload(
        self,
        *,
        category: Literal["checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet"] | str,
        architecture: str,
        name: str,
        version: str,
        download_url: str,
        format: str = "safetensors",
        air: str | None = None,
        unique_identifier: str | None = None,
        type: Literal["base", "inpainting", "refiner", "positive", "negative"] | str | None = None,
        conditioning: str | None = None,
        private: bool | None = None,
        default_scheduler: str | None = None,
        default_steps: int | None = None,
        default_cfg: float | None = None,
        default_strength: float | None = None,
        default_weight: float | None = None,
        positive_trigger_words: str | Sequence[str] | None = None,
        negative_trigger_words: str | Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        hero_image_url: str | None = None,
        short_description: str | None = None,
        comment: str | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> platform.UploadedModel:
        """Upload a model.

        The server downloads it from a URL and reports progress until it is ready.

        `on_partial` receives each status: `"validated"`, `"downloaded"`, `"optimized"`, `"stored"` and `"ready"`, in
        that order. A failure raises an error.

        Args:
            category: Category of the model.
            architecture: Architecture, such as `"sdxl"`.
            name: Name of the model.
            version: Version of the model.
            download_url: URL from which the server downloads the file.
            format: File format.
            air: AIR of the model; required by older versions of the API.
            unique_identifier: Identifier of your choice.
            type: For checkpoints `"base"`, `"inpainting"` or `"refiner"`; for embeddings `"positive"` or `"negative"`.
            conditioning: For ControlNet models, the kind of guide image.
            private: Restrict the model to your account; the server's default is `True`.
            default_scheduler: Default scheduler.
            default_steps: Default number of steps.
            default_cfg: Default guidance scale, 0–30.
            default_strength: Default strength.
            default_weight: Default weight, −4 to 4.
            positive_trigger_words: Prompt words that activate the model.
            negative_trigger_words: Prompt words for the negative prompt.
            tags: Tags, at most 100.
            hero_image_url: URL of a preview image.
            short_description: Short description.
            comment: Comment.
            delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges
                the task, and the client polls for results on its own. The default depends on the model; it is `"async"`
                for 3D models, training and all video tasks, including upscaling, captioning and background removal.
            webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call
                returns an `Acknowledgement` as soon as the server has the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `UploadedModel`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def model_search(
        self,
        *,
        search: str | None = None,
        tags: Sequence[str] | None = None,
        category: Literal["checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet"] | str | None = None,
        type: Literal["base", "inpainting", "refiner"] | str | None = None,
        architecture: str | None = None,
        conditioning: str | None = None,
        capabilities: Sequence[str] | None = None,
        source: Literal["official", "featured", "community"] | str | None = None,
        visibility: Literal["public", "private", "all", "favorite", "owned"] | str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> platform.ModelPage:
        """Search for models.

        Returns one page of results.

        Args:
            search: Search text.
            tags: Tags a model must have.
            category: Category of the models.
            type: For checkpoints, their type.
            architecture: Architecture, such as `"sdxl"`.
            conditioning: For ControlNet models, the kind of guide image.
            capabilities: Capabilities a model must have.
            source: Source of the models: `"community"`; for Runware's own, `"featured"` or `"official"`, depending on
                the version of the API.
            visibility: Restrict the search by access or ownership; the server's default is `"all"`.
            sort: Sort key: `_score`, `popularity`, `name`, `addedUnixTimestamp` or `updatedDateUnixTimestamp`. Prefix
                any but `_score` with a minus for descending order.
            limit: Models per page, 1–100; the server's default is 20.
            offset: Number of models to skip, 0 or more.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `ModelPage`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def image_upload(
        self,
        *,
        image: Media,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.StoredMedia:
        """Store an image on the server.

        Legacy form of `media_storage`, which also accepts video and audio.

        Args:
            image: The image. The server scales it down if a side exceeds 2048 pixels.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `StoredMedia`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def media_storage(
        self,
        *,
        media: Media,
        operation: Literal["upload", "delete"] = "upload",
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> results.StoredMedia:
        """Store media on the server, to be referred to by UUID; or delete stored media.

        Args:
            media: The media to store; to delete, its UUID or the result of the upload.
            operation: `"upload"` (the default) or `"delete"`.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `StoredMedia`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def get_response(
        self,
        *,
        task_uuid: str,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> Results[Result]:
        """Fetch the current state of an asynchronous task once, without waiting for it.

        Returns what the server has: finished results, each an instance of its own result class, and for unfinished ones
        an item with `status` and possibly `progress`. `errors` holds the failures; if every result failed, the error is
        raised.

        Args:
            task_uuid: UUID of the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Results`, a list of `Result`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def get_task_details(
        self,
        *,
        task_uuid: str,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> platform.TaskDetails:
        """Fetch the request and the response of any task of the account.

        Args:
            task_uuid: UUID of the task.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `TaskDetails`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError

    def account_management(
        self,
        *,
        operation: Literal[
            "getDetails",
            "getUsageActivity",
            "getUsagePerformance",
            "getUsageErrors",
        ]
        | str = "getDetails",
        start_date: str | None = None,
        end_date: str | None = None,
        models: Sequence[str] | None = None,
        api_keys: Sequence[str] | None = None,
        group_by: Literal["date", "model", "apiKey"] | str | Sequence[str] | None = None,
        timezone: str | None = None,
        retry: int | RetryPolicy | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        dry_run: bool | None = None,
        include_cost: bool | None = None,
    ) -> platform.Account:
        """Fetch details of the account: balance, team, keys and usage.

        Args:
            operation: What to fetch: the account's details, or a report of its usage.
            start_date: First day of the usage report, such as `"2026-01-31"`.
            end_date: Last day of the usage report; it covers at most 30 days.
            models: AIRs of the models to include in the usage report.
            api_keys: UUIDs of the API keys to include in the usage report.
            group_by: How to group the usage report: `"date"`, `"model"`, `"apiKey"`, or a list of them.
            timezone: Time zone of the days in the usage report.
            retry: Extra attempts after a retryable failure, or a `RetryPolicy`. `None` uses the client's `max_retries`;
                0 makes a single attempt.
            max_retries: The same as a number, under the name of the client's option; not together with *retry*.
            timeout: Deadline for the whole call in seconds: queueing, connecting, all attempts and polling. `None` uses
                the client's `timeout`, or its `long_timeout` for tasks the server runs asynchronously, whether
                requested or not.
            task_uuid: UUID of the task at the server, for its first attempt. `None` generates one.
            on_partial: Callback `on_partial(results, error)`. Called with each batch of new results, and once with the
                error if the call fails; `results.all` has every result so far. It runs on the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                Exceptions it raises are logged.
            skip_response: Return an `Acknowledgement` as soon as the server has the task, without waiting for results;
                in a list, if the operation returns one.
            return_partial: If only some results arrive, return them instead of raising; their `.errors` explains the
                missing ones.
            progress: `True` shows a progress bar (extra `progress`). A function is called with a `Progress` on each
                change, on a separate thread.
            extra: Additional parameters, keyed by API name and sent unchanged.
            extra_headers: Headers of the HTTP requests of this call, such as those that a gateway needs: tasks, polls
                and streams. They are added to those of `with_options`, and never sent to other servers. Only with
                `transport="http"`, and for streams. Values whose names suggest a secret are hidden in errors.
            dry_run: Only validate the task at the server, without running or billing it: the results have no media, but
                the cost, with *include_cost*. Such calls have a connection of their own, since the API takes this
                setting for a whole connection. `None` uses the client's `dry_run`.
            include_cost: Ask the server to report the cost of each result. `None` uses the client's `include_cost`.

        Returns:
            `Account`.

        Raises:
            ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent.
            RunwareError: The call failed; see `runware.errors` for the subclasses.
        """
        raise AssertionError
