"""The commands that make images, video, audio and 3D models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from runware import ValidationError
from runware._support.lazy_modules import lazy_module
from runware.cli.common import (
    Extra,
    Height,
    Json,
    Local,
    Model,
    Negative,
    Number,
    OpenFiles,
    OptionalModel,
    Out,
    Overwrite,
    Prompt,
    Seed,
    Timeout,
    Width,
    command,
    file_format,
    read_prompt,
    read_settings,
)
from runware.cli.output import Output, client, media, reporting
from runware.cli.parameters import model_takes

if TYPE_CHECKING:
    from runware import models as knowledge
else:
    knowledge = lazy_module("runware.models")

__all__ = ["audio", "image", "three_d", "video"]

_IMAGES = {"JPG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tiff"}
_VIDEOS = {"MP4": ".mp4", "WEBM": ".webm", "MOV": ".mov"}
_SOUNDS = {"MP3": ".mp3", "WAV": ".wav", "FLAC": ".flac", "OGG": ".ogg"}
_SIDE = "In pixels. Default: 1024, if the model takes a size."
_MODELS_3D = {"GLB": ".glb", "PLY": ".ply", "OBJ": ".obj", "FBX": ".fbx", "STL": ".stl", "USDZ": ".usdz", "3MF": ".3mf"}


def _whole(number: float) -> float:
    """Return a whole number as `int`: some models refuse 5.0."""
    return int(number) if float(number).is_integer() else number


def _format(given: str | None, formats: dict[str, str]) -> str | None:
    if given is None:
        return None
    if given.upper() not in formats:
        raise typer.BadParameter(f"must be {', '.join(formats)}; got {given!r}", param_hint="--format")
    return given.upper()


@command
def image(
    prompt: Prompt,
    model: Model = "runware:101@1",
    width: Annotated[Optional[int], typer.Option("--width", "-W", metavar="PIXELS", help=_SIDE)] = None,
    height: Annotated[Optional[int], typer.Option("--height", "-H", metavar="PIXELS", help=_SIDE)] = None,
    number: Number = 1,
    negative: Negative = None,
    seed: Seed = None,
    steps: Annotated[
        Optional[int], typer.Option("--steps", metavar="NUMBER", help="Number of inference steps.")
    ] = None,
    form: Annotated[Optional[str], file_format(*_IMAGES)] = None,
    start: Annotated[
        Optional[str],
        typer.Option("--from", metavar="MEDIA", help="Image to start from: file, URL or UUID."),
    ] = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Generate images.

    runware image "a red kite over dunes" -n 2 -o out/
    """
    further, form = read_settings(extra), _format(form, _IMAGES)
    with reporting(as_json, local):
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(number)
        form = output.file_format(form, _IMAGES)
        inputs = {"seed_image": media(start)} if start is not None else None
        side = None if model_takes(model, "width") is False or "resolution" in (further or {}) else 1024
        with client(local) as rw:
            job = rw.submit.image_inference(
                positive_prompt=read_prompt(prompt),
                model=model,
                width=side if width is None else width,
                height=side if height is None else height,
                number_results=number,
                negative_prompt=negative,
                seed=seed,
                steps=steps,
                output_format=form,
                inputs=inputs,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


@command
def video(
    prompt: Prompt,
    model: Model = "bytedance:seedance@1.5-pro",
    duration: Annotated[
        Optional[float],
        typer.Option(
            "--duration", "-d", metavar="SECONDS", help="Length in seconds. Default: 5, if the model takes it."
        ),
    ] = None,
    width: Width = None,
    height: Height = None,
    number: Number = 1,
    negative: Negative = None,
    seed: Seed = None,
    form: Annotated[Optional[str], file_format(*_VIDEOS)] = None,
    start: Annotated[
        Optional[str], typer.Option("--from", metavar="MEDIA", help="First frame: file, URL or UUID.")
    ] = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Generate videos.

    runware video "waves at dusk" -d 5 -o waves.mp4
    """
    further, form = read_settings(extra), _format(form, _VIDEOS)
    with reporting(as_json, local):
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(number)
        form = output.file_format(form, _VIDEOS)
        inputs = {"frame_images": [{"image": media(start), "frame": "first"}]} if start is not None else None
        if duration is None and model_takes(model, "duration") is not False:
            duration = 5
        with client(local) as rw:
            job = rw.submit.video_inference(
                positive_prompt=read_prompt(prompt),
                model=model,
                duration=_whole(duration) if duration is not None else None,
                width=width,
                height=height,
                number_results=number,
                negative_prompt=negative,
                seed=seed,
                output_format=form,
                inputs=inputs,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


@command
def audio(
    prompt: Prompt,
    model: OptionalModel = None,
    kind: Annotated[
        Literal["music", "speech"],
        typer.Option("--kind", help="What the prompt is: a description of music or sounds, or a text to speak."),
    ] = "music",
    voice: Annotated[
        Optional[str],
        typer.Option("--voice", metavar="NAME", help="Voice, by the model's name for it; implies --kind speech."),
    ] = None,
    duration: Annotated[
        Optional[float], typer.Option("--duration", "-d", metavar="SECONDS", help="Length in seconds.")
    ] = None,
    number: Number = 1,
    seed: Seed = None,
    form: Annotated[Optional[str], file_format(*_SOUNDS)] = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Generate music, sounds or speech.

    runware audio "calm piano" -d 20 -o piano.mp3; runware audio "Hello there." --voice Ashley -o hello.mp3
    """
    further, form = read_settings(extra), _format(form, _SOUNDS)
    with reporting(as_json, local):
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(number)
        form = output.file_format(form, _SOUNDS)
        text = read_prompt(prompt)
        spoken = kind == "speech" or voice is not None
        speech: dict[str, Any] = {"text": text, **({"voice": voice} if voice is not None else {})}
        with client(local) as rw:
            job = rw.submit.audio_inference(
                model=model or ("inworld:tts@1.5-mini" if spoken else "runware:ace-step@v1.5-turbo"),
                positive_prompt=None if spoken else text,
                speech=speech if spoken else None,
                duration=_whole(duration) if duration is not None else None,
                number_results=number,
                seed=seed,
                output_format=form,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


@command
def three_d(
    prompt: Annotated[Optional[str], typer.Argument(metavar="PROMPT", help="What to generate; - reads stdin.")] = None,
    start: Annotated[
        Optional[str],
        typer.Option("--from", metavar="MEDIA", help="Image to make a model of: file, URL or UUID."),
    ] = None,
    model: OptionalModel = None,
    seed: Seed = None,
    form: Annotated[Optional[str], file_format(*_MODELS_3D)] = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Generate 3D models, from words or from an image.

    runware 3d "a wooden chair" -o chair.glb; runware 3d --from chair.jpg -o chair.glb
    """
    further, form = read_settings(extra), _format(form, _MODELS_3D)
    with reporting(as_json, local):
        if prompt is None and start is None:
            raise ValidationError("A 3D model needs a prompt or an image (--from).", parameter="PROMPT")
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(1)
        form = output.file_format(form, _MODELS_3D)
        source = media(start) if start is not None else None
        model = model or ("microsoft:trellis-2@4b" if source is not None else "tripo:v3.1@0")
        with client(local) as rw:
            job = rw.submit.three_d_inference(
                model=model,
                positive_prompt=read_prompt(prompt) if prompt is not None else None,
                inputs=None if source is None else _inputs(model, source),
                seed=seed,
                output_format=form,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


def _inputs(model: str, source: Any) -> dict[str, Any]:
    """Return the image in the input field of the model: some models take one image, others a list."""
    from_catalogue = knowledge.catalogue().catalogue.get(model)
    names = {one.name for one in from_catalogue.parameters} if from_catalogue is not None else set()
    return {"images": [source]} if "inputs.images" in names and "inputs.image" not in names else {"image": source}
