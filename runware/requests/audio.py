"""Request classes for audio: speech, music and sound effects (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import attrs

from runware.requests.base import ClassOf
from runware.requests.inference import Generation
from runware.requests.validation import RequestModel
from runware.results import Audio, Results
from runware.results.media import class_by_name

__all__ = ["AudioInference", "AudioSettings", "Speech"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Speech(RequestModel):
    """Speech to synthesize. Which fields apply depends on the model.

    Args:
        text: The text to speak; 1–200 characters in video tasks.
        voice: The voice, by name; video models default to `"auto"`.
        voices: Several voices, in the form the model expects.
        language: The language to speak.
        speed: The speaking rate, on the model's scale.
        volume: The loudness, on the model's scale.
        pitch: The pitch, on the model's scale.
        emotion: The emotion to express.
        tone: The tone of voice.
    """

    text: str | None = None
    voice: str | None = None
    voices: Sequence[Any] | None = None
    language: str | None = None
    speed: float | None = None
    volume: float | None = None
    pitch: float | None = None
    emotion: str | None = None
    tone: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AudioSettings(RequestModel):
    """Encoding quality of the generated audio.

    Args:
        sample_rate: Sample rate in Hz, 8000–48000; the server's default is 44100.
        bitrate: Bit rate in kbit/s, 32–320; the server's default is 128.
        channels: Number of channels.
    """

    sample_rate: int | None = None
    bitrate: int | None = None
    channels: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AudioInference(Generation[Results[Audio]]):
    """Generate speech, music or sound effects. For long audio, pass `delivery_method="async"`.

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
        provider_settings: Provider-specific settings, such as those of `elevenlabs` or `mirelo`, by Python or API name.
        advanced_features: Features of individual models, keyed by API name.
    """

    task_type: ClassVar[str] = "audioInference"
    result_class = Audio
    class_of: ClassVar[ClassOf | None] = staticmethod(
        partial(class_by_name, otherwise=Audio)
    )  # some models return a video
    many: ClassVar[bool] = True
    main: ClassVar[str] = "positive_prompt"

    model: str
    positive_prompt: str | None = None
    negative_prompt: str | None = None
    duration: float | None = None
    speech: Speech | Mapping[str, Any] | None = None
    inputs: Mapping[str, Any] | None = None
    output_format: Literal["MP3", "WAV", "FLAC", "OGG", "MP4", "MOV", "WEBM"] | str | None = None
    audio_settings: AudioSettings | Mapping[str, Any] | None = None
    seed: int | None = None
    steps: int | None = None
    strength: float | None = None
    cfg_scale: float | None = None
    settings: Mapping[str, Any] | None = None
    provider_settings: Mapping[str, Any] | None = None
    advanced_features: Mapping[str, Any] | None = None
