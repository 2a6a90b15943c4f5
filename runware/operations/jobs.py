"""Operations that return a job at once.

Generated from the request classes by `tools/generate_operations.py`. Do not edit. The bodies are never run:
`runware.operations.calls` says what a method does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from runware import requests
from runware.jobs import Job
from runware.media import Media
from runware.options import RetryPolicy
from runware.requests.base import PartialCallback, ProgressCallback, Task
from runware.results import (
    Audio,
    GuideImage,
    Image,
    MaskImage,
    Model3D,
    Result,
    Results,
    StoredMedia,
    Text,
    Video,
)
from runware.results.platform import Account, ModelPage, TaskDetails, TrainedModel, UploadedModel

__all__ = ["JobOperations"]

R = TypeVar("R")


class JobOperations(ABC):
    """The operations of `rw.submit`."""

    @abstractmethod
    def run(self, task: Task[R]) -> Job[R]:
        """Run the task that an operation made."""

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
        reference_images: Sequence[Media] | None = None,
        outpaint: requests.Outpaint | Mapping[str, Any] | None = None,
        resolution: str | None = None,
        prompt_weighting: Literal["compel", "sdEmbeds"] | None = None,
        use_prompt_weighting: bool | None = None,
        structured_prompt: str | Mapping[str, Any] | None = None,
        vae: str | None = None,
        acceleration: Literal["none", "low", "medium", "high"] | None = None,
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Image]]:
        """Make pictures.

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
            number_results: How many results to make, up to 20 pictures, 4 videos or 3 sounds; the default is 1.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Image`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        reference_images: Sequence[Media] | None = None,
        reference_videos: Sequence[Media] | None = None,
        input_audios: Sequence[Media] | None = None,
        lora: Sequence[requests.Lora | Mapping[str, Any]] | None = None,
        acceleration: Literal["none", "low", "medium", "high"] | None = None,
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Video]]:
        """Make videos.

        It takes a while: the task is acknowledged, and asked for until it is done.

        Args:
            model: The model's AIR, such as `"klingai:5@3"`.
            positive_prompt: What to show, 2 or more characters; a few models need none.
            duration: The length in seconds, 1–10 for most models; some take certain lengths only, or `"auto"`.
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
            number_results: How many results to make, up to 20 pictures, 4 videos or 3 sounds; the default is 1.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Video`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Audio]]:
        """Make speech, music or sounds.

        For long ones, pass `delivery_method="async"`.

        Args:
            model: The model's AIR.
            positive_prompt: What to make; music models need it.
            negative_prompt: What not to make.
            duration: Its length in seconds, 10–300 for most models.
            speech: What is said, and how.
            inputs: The media to start from, with names as on the wire.
            output_format: The format; the server's default is `"MP3"`, and few models make a video.
            audio_settings: The technical quality.
            seed: The seed; the default is random.
            steps: Steps of the model.
            strength: How much an input is changed.
            cfg_scale: How closely the prompt is followed.
            settings: Settings of the model, with names as on the wire.
            provider_settings: Settings of one provider, such as `elevenlabs` or `mirelo`, with names as on the wire.
            advanced_features: Features of single models, with names as on the wire.
            number_results: How many results to make, up to 20 pictures, 4 videos or 3 sounds; the default is 1.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Audio`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Model3D]]:
        """Make 3D models.

        It takes a while: the task is acknowledged, and asked for until it is done.

        Args:
            model: The model's AIR.
            inputs: The media to start from.
            positive_prompt: What to make.
            negative_prompt: What not to make.
            output_format: The format; the server's default is `"GLB"`, and not every model has every format.
            seed: The seed; the default is random.
            settings: Settings of the model, such as `sparseStructure` or `dracoCompression`, with names as on the wire.
            number_results: How many results to make, up to 20 pictures, 4 videos or 3 sounds; the default is 1.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Model3D`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        number_results: int | None = None,
        provider_settings: Mapping[str, Any] | None = None,
        routing: Mapping[str, Any] | None = None,
        delivery_method: Literal["sync", "async"] | None = None,
        webhook_url: str | None = None,
        retry: int | RetryPolicy | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Text]]:
        """Let a chat model answer.

        Args:
            model: The model's AIR, such as `"minimax:m2.7@0"`.
            messages: The conversation so far.
            system_prompt: What the model is told beforehand.
            max_tokens: How long the answer may be, in tokens.
            temperature: How free the answer is.
            top_p: From which share of the likely tokens it is chosen.
            top_k: From how many of the likely tokens it is chosen.
            stop_sequences: Texts that end the answer.
            thinking_level: How much the model thinks first.
            cache: How the prompt is cached: `scope` and `ttl`.
            settings: Further settings of the model, with names as on the wire. The eight above are sent inside it,
                which is where the current wire has them.
            inputs: The media that the conversation is about.
            tools: Tools that the model may call.
            tool_choice: Which tool it shall call, as the model wants it.
            json_schema: The JSON schema of the answer, as an object or as its text.
            output_format: `"TEXT"`, the server's default, or `"JSON"` with newer models.
            include_usage: Whether the result tells how many tokens were used.
            seed: The seed; the default is random.
            number_results: How many answers to make; the default is 1.
            provider_settings: Settings of one provider, with names as on the wire.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Text`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Image | Video]:
        """Enlarge a picture or a video.

        Args:
            inputs: What is worked on, in the current form of the wire.
            input_image: The picture, in the older form.
            model: The model's AIR. Without it the server decides.
            output_format: The format. For pictures the server's default is `"JPG"`, and `"PNG"` when the background is
                removed.
            upscale_factor: By how much, 2 or 4 for most models. A picture becomes 4096 × 4096 pixels at most.
            target_megapixels: Or how large it becomes, in millions of pixels.
            width: Width in pixels, for models that want it so.
            height: Height in pixels, for models that want it so.
            resolution: The size by name, for models that want it so.
            fps: Frames a second of a video.
            positive_prompt: What it shows, for models that want to know.
            settings: Settings of the model, with names as on the wire.
            provider_settings: Settings of one provider, with names as on the wire.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Image` or `Video`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Image | Video]:
        """Remove the background of a picture or a video.

        Args:
            inputs: What is worked on, in the current form of the wire.
            input_image: The picture, in the older form.
            model: The model's AIR. Without it the server decides.
            output_format: The format. For pictures the server's default is `"JPG"`, and `"PNG"` when the background is
                removed.
            settings: How it is removed.
            provider_settings: Settings of one provider, with names as on the wire.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Image` or `Video`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Text]:
        """Describe a picture or a video in words.

        Args:
            inputs: What is described, in the current form of the wire.
            input_image: The picture, in the older form.
            input_images: Several pictures, in the older form.
            model: The model's AIR. Without it the server decides.
            prompt: What to tell of it.
            template: The name of a template for the answer.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Text`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Text]]:
        """Make better prompts of a short one.

        Args:
            prompt: The short prompt, 1–300 characters.
            prompt_max_length: How long a prompt may become, 12–400.
            prompt_versions: How many prompts to make, 1–5.
            model: The model's AIR, which newer servers ask for.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Text`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[GuideImage]:
        """Make the guide image for a ControlNet model from a picture.

        The task goes under its current name, `controlNetPreprocess`. For a server that knows only the older one, pass
        `extra={"taskType": "imageControlNetPreProcess"}`.

        Args:
            inputs: What is worked on, in the current form of the wire.
            input_image: The picture, in the older form.
            model: The model's AIR. Without it the server decides.
            pre_processor_type: The preprocessor, in the older form; in the current one, `model` names it.
            width: Width in pixels.
            height: Height in pixels.
            low_threshold_canny: Lower threshold of `canny`; the server's default is 100.
            high_threshold_canny: Upper threshold of `canny`; the server's default is 200.
            include_hands_and_face_open_pose: Whether `openpose` looks at hands and faces too.
            output_format: The format.
            settings: Settings of the model, with names as on the wire.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `GuideImage`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[MaskImage]:
        """Find things in a picture, such as faces, and make a mask of them.

        The model decides what is looked for.

        Args:
            inputs: What is worked on, in the current form of the wire.
            input_image: The picture, in the older form.
            model: The model's AIR. Without it the server decides.
            confidence: From which confidence on something counts as found, 0–1.
            mask_padding: Pixels by which the mask is widened.
            mask_blur: The blur of the mask's edge in pixels.
            max_detections: How many things are found at most.
            output_format: The format of the mask.
            settings: Settings of the model, with names as on the wire.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `MaskImage`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Image]]:
        """Make pictures of a person from photographs.

        The prompt names the person `rwre`; the server adds it if needed.

        Args:
            positive_prompt: What to show, 2–300 characters.
            input_images: Photographs of the person, 1–4.
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
            style: The style; the server's default is `"No style"`.
            strength: How much the style counts against the likeness, 15–50; the server's default is 15.
            number_results: How many results to make, up to 20 pictures, 4 videos or 3 sounds; the default is 1.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Image`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Image]:
        """Make a vector graphic of a picture, or from a prompt.

        Args:
            inputs: The picture.
            model: The model's AIR. Without it the server decides.
            positive_prompt: What to show, for models that make it from a prompt.
            width: Width in pixels, for models that want it so.
            height: Height in pixels, for models that want it so.
            output_format: The format, which is `"SVG"`.
            settings: Settings of the model, with names as on the wire.
            output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
                come as URLs only.
            output_quality: Quality of compressed formats, 20–99; the server's default is 95.
            upload_endpoint: An address to which the server sends each result with HTTP PUT.
            ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
            safety: The safety check.
            check_nsfw: The older form of *safety*.
            routing: How a provider is chosen, as the wire has it.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Image`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[TrainedModel]:
        """Train a model.

        It can take hours: pass a `timeout`, or `skip_response=True` and ask later with `get_response`.

        Args:
            model: The AIR of the model that trains.
            inputs: What it is trained with.
            import_model: How the trained model is filed.
            trigger_word: The word that stands for what was trained.
            training_steps: How many steps.
            learning_rate: How large a step is.
            settings: Settings of the training, with names as on the wire.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `TrainedModel`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError

    def model_upload(
        self,
        *,
        category: Literal["checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet"],
        architecture: str,
        name: str,
        version: str,
        download_url: str,
        format: str = "safetensors",
        air: str | None = None,
        unique_identifier: str | None = None,
        type: Literal["base", "inpainting", "refiner", "positive", "negative"] | None = None,
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
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[UploadedModel]:
        """Add a model of your own.

        The server fetches it, says how far it is, and in the end that it is ready.

        `on_partial` gets each of its words; `status` is `"validated"`, `"downloaded"`, `"optimized"`, `"stored"` and
        `"ready"`, in that order. Failure is an error.

        Args:
            category: What kind of model it is.
            architecture: Its architecture, such as `"sdxl"`.
            name: Its name.
            version: Its version.
            download_url: Where the server can fetch it.
            format: The format of the file.
            air: Its AIR; older servers ask for it.
            unique_identifier: An identifier of your own.
            type: For checkpoints `"base"`, `"inpainting"` or `"refiner"`; for embeddings `"positive"` or `"negative"`.
            conditioning: For ControlNet models, what they are guided by.
            private: Whether only you can use it; the server's default is `True`.
            default_scheduler: The scheduler used by default.
            default_steps: The steps made by default.
            default_cfg: The guidance used by default, 0–30.
            default_strength: The strength used by default.
            default_weight: The weight used by default, −4 to 4.
            positive_trigger_words: Words that bring it out.
            negative_trigger_words: Words that it is held back with.
            tags: Tags, at most 100.
            hero_image_url: The address of a picture of it.
            short_description: What it does, in few words.
            comment: A note.
            delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
                without your doing. The default is the model's; for videos (also those that are upscaled, captioned or
                freed of their background), 3D models and training it is `"async"`.
            webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
                the acknowledgement.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `UploadedModel`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError

    def model_search(
        self,
        *,
        search: str | None = None,
        tags: Sequence[str] | None = None,
        category: Literal["checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet"] | None = None,
        type: Literal["base", "inpainting", "refiner"] | None = None,
        architecture: str | None = None,
        conditioning: str | None = None,
        capabilities: Sequence[str] | None = None,
        source: Literal["official", "community"] | None = None,
        visibility: Literal["public", "private", "all", "favorite", "owned"] | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        retry: int | RetryPolicy | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[ModelPage]:
        """Search for models.

        The answer is one page of them.

        Args:
            search: What to look for.
            tags: Tags they must have.
            category: What kind of model.
            type: For checkpoints, which type.
            architecture: Their architecture.
            conditioning: For ControlNet models, what they are guided by.
            capabilities: What they must be able to do.
            source: Whose models.
            visibility: Whose models, by who can use them; the server's default is all.
            sort: What they are sorted by: `_score`, or `popularity`, `name`, `addedUnixTimestamp` or
                `updatedDateUnixTimestamp` with a minus in front for descending order.
            limit: How many to tell, 1–100; the server's default is 20.
            offset: How many to pass over, 0 or more.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `ModelPage`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError

    def image_upload(
        self,
        *,
        image: Media,
        retry: int | RetryPolicy | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[StoredMedia]:
        """Store a picture.

        This is the older form of `media_storage`, which takes videos and sounds too.

        Args:
            image: The picture. It is made smaller if a side has more than 2048 pixels.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `StoredMedia`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError

    def media_storage(
        self,
        *,
        media: Media,
        operation: Literal["upload", "delete"] = "upload",
        retry: int | RetryPolicy | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[StoredMedia]:
        """Store media, to be named by their UUID from then on; or delete them.

        Args:
            media: What is stored; or, to delete, the UUID or our result.
            operation: `"upload"` or `"delete"`.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `StoredMedia`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError

    def get_response(
        self,
        *,
        task_uuid: str,
        retry: int | RetryPolicy | None = None,
        timeout: float | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Results[Result]]:
        """Look once what has come of a task that was delivered asynchronously, without waiting for it.

        The answer holds what the server has: results, each of the class of its kind, and for what is not done yet a
        word with `status` and perhaps `progress`. Its `errors` tell what failed; when all of it did, the error is
        raised.

        Args:
            task_uuid: The UUID of the task that is asked about.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Results`, a list of `Result`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError

    def get_task_details(
        self,
        *,
        task_uuid: str,
        retry: int | RetryPolicy | None = None,
        timeout: float | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[TaskDetails]:
        """Tell what was sent for a task and what was answered, for any task of the account.

        Args:
            task_uuid: The UUID of the task that is asked about.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `TaskDetails`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError

    def account_management(
        self,
        *,
        operation: Literal["getDetails", "getUsageActivity", "getUsagePerformance", "getUsageErrors"] = "getDetails",
        start_date: str | None = None,
        end_date: str | None = None,
        models: Sequence[str] | None = None,
        api_keys: Sequence[str] | None = None,
        group_by: Sequence[str] | None = None,
        timezone: str | None = None,
        retry: int | RetryPolicy | None = None,
        timeout: float | None = None,
        task_uuid: str | None = None,
        on_partial: PartialCallback | None = None,
        skip_response: bool = False,
        return_partial: bool = False,
        progress: bool | ProgressCallback = False,
        extra: Mapping[str, Any] | None = None,
        include_cost: bool | None = None,
    ) -> Job[Account]:
        """Tell about the account: its balance, team, keys and usage.

        Args:
            operation: What to tell. Without `"getDetails"`, the answer is in the result's `raw`.
            start_date: For usage, the first day, such as `"2026-01-31"`.
            end_date: For usage, the last day.
            models: For usage, the AIRs of the models that count.
            api_keys: For usage, the keys that count.
            group_by: For usage, what it is grouped by.
            timezone: For usage, the time zone of the days.
            retry: Extra attempts after a failure that may pass, or a `RetryPolicy`. `None` means the client's
                `max_retries`; 0 means one attempt.
            timeout: Seconds for the whole call: queue, connection, attempts and polling. `None` means the client's
                `timeout`, and its `long_timeout` for tasks that the server works on asynchronously, asked to or not.
            task_uuid: The UUID the task has at the server, for its first attempt. `None` makes a new one.
            on_partial: Called as `on_partial(results, error)` with the new results each time some arrive, and once with
                the error if the call fails; `results.all` has every result so far. It runs in the caller's thread for a
                blocking call, in the caller's event loop for asyncio, and on the client's callback thread for `submit`.
                What it raises is logged.
            skip_response: Return after the server's first word, without waiting for results.
            return_partial: When some results came and the rest failed, return those instead of raising; `.errors` of
                the answer tells why the others are missing.
            progress: `True` shows a progress bar (extra `progress`); a function is called with a `Progress` at each
                change, on a thread of its own.
            extra: Further parameters by their names on the wire, which are sent unchanged.
            include_cost: Whether each result tells its cost. `None` means the client's `include_cost`.

        Returns:
            A job. What it gives: `Account`.

        Raises:
            ValidationError: A parameter is wrong; `parameter` names it. Nothing was sent.
            ClientClosedError: The client is closed.
        """
        raise AssertionError
