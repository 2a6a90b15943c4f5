"""Making speech, music and sounds (protocol reference, section 4.7)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import attrs

from runware.requests.inference import Generation
from runware.requests.validation import Checked
from runware.results import Audio, Results
from runware.results.media import class_by_name

__all__ = ["AudioInference", "AudioSettings", "Speech"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Speech(Checked):
    """What is said, and how; models differ in what they take of it.

    Args:
        text: What is said; 1–200 characters in videos.
        voice: Who says it; the default of video models is `"auto"`.
        voices: Several voices, as the model wants them.
        language: The language.
        speed: How fast.
        volume: How loud.
        pitch: How high.
        emotion: The emotion.
        tone: The tone.
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
class AudioSettings(Checked):
    """The technical quality of a sound.

    Args:
        sample_rate: Samples a second, 8000–48000; the server's default is 44100.
        bitrate: Kilobits a second, 32–320; the server's default is 128.
        channels: How many channels.
    """

    sample_rate: int | None = None
    bitrate: int | None = None
    channels: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AudioInference(Generation[Results[Audio]]):
    """Make speech, music or sounds. For long ones, pass `delivery_method="async"`.

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
    """

    task_type: ClassVar[str] = "audioInference"
    result_class = Audio
    class_of: ClassVar[Any] = staticmethod(partial(class_by_name, otherwise=Audio))  # some models answer with a video
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
