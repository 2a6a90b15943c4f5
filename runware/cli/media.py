"""The commands for existing media: describe, edit and store it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from runware.cli.common import (
    Extra,
    Given,
    Json,
    Local,
    Model,
    OpenFiles,
    OptionalModel,
    Out,
    Overwrite,
    Timeout,
    command,
    read_settings,
)
from runware.cli.output import Output, client, media, reporting
from runware.cli.parameters import model_takes
from runware.media.kinds import SNIFFED_BYTES, sniff, url_extension

__all__ = ["caption", "remove_background", "upload", "upscale", "vectorize"]

_FORMATS = {"JPG": ".jpg", "PNG": ".png", "WEBP": ".webp", "MP4": ".mp4", "WEBM": ".webm", "MOV": ".mov"}
_SIZES = frozenset(("upscaleFactor", "targetMegapixels", "width", "height", "resolution"))
"""Parameters that say how large the result is to be."""
_VIDEOS = frozenset((".mp4", ".webm", ".mov", ".mkv", ".m4v"))


def _is_video(source: Any) -> bool:
    """Return whether an argument is a video. A UUID does not tell, and is taken for an image."""
    if not isinstance(source, Path):
        return str(source).startswith("data:video/") or url_extension(str(source)) in _VIDEOS
    with source.open("rb") as file:
        return sniff(file.read(SNIFFED_BYTES))[0].startswith("video/")


def _input(source: Any, model: str | None, is_video: bool = False) -> dict[str, Any]:
    """Return the input of a task: in `inputs`, as all models of the catalogue take it, or without a model as before."""
    return {"inputs": {"video" if is_video else "image": source}} if model or is_video else {"input_image": source}


@command
def caption(
    given: Given,
    prompt: Annotated[
        Optional[str], typer.Option("--prompt", metavar="TEXT", help="Instruction for the description.")
    ] = None,
    model: OptionalModel = None,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Describe an image in words."""
    with reporting(as_json, local):
        source = media(given)
        with client(local) as rw:
            output = Output(as_json, local=local)
            job = rw.submit.caption(
                **_input(source, model), prompt=prompt, model=model, timeout=timeout, include_cost=True
            )
            output.finish(job)


@command
def upscale(
    given: Given,
    factor: Annotated[
        Optional[float],
        typer.Option(
            "--factor",
            "-f",
            metavar="NUMBER",
            help="Scale factor: 2 or 4, and others with some models. Default: 2, unless the model takes none, or --set "
            "has a size.",
        ),
    ] = None,
    model: OptionalModel = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Upscale an image or a video."""
    further = read_settings(extra)
    with reporting(as_json, local):
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(1)
        form = output.file_format(None, _FORMATS)
        source = media(given)
        with client(local) as rw:
            if factor is None and _SIZES.isdisjoint(further or ()):
                factor = 2.0 if model is None or model_takes(model, "upscale_factor") else None
            job = rw.submit.upscale(
                **_input(source, model, _is_video(source)),
                model=model,
                upscale_factor=int(factor) if factor is not None and factor.is_integer() else factor,
                output_format=form,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


@command
def remove_background(
    given: Given,
    model: OptionalModel = None,
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Remove the background of an image or a video.

    runware remove-background photo.jpg -o cut.png
    """
    further = read_settings(extra)
    with reporting(as_json, local):
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(1)
        form = output.file_format(None, _FORMATS)
        source = media(given)
        with client(local) as rw:
            is_video = _is_video(source)
            job = rw.submit.remove_background(
                inputs={"video" if is_video else "image": source},
                model=model or ("bria:51@1" if is_video else "runware:109@1"),
                output_format=form,
                extra=further,
                timeout=timeout,
                include_cost=True,
            )
            output.finish(job)


@command
def vectorize(
    given: Given,
    model: Model = "recraft:1@1",
    extra: Extra = None,
    out: Out = None,
    overwrite: Overwrite = False,
    open_files: OpenFiles = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Make a vector graphic (SVG) of an image.

    runware vectorize logo.png -o logo.svg
    """
    further = read_settings(extra)
    with reporting(as_json, local):
        output = Output(as_json, out, overwrite, local, open_files)
        output.check(1)
        output.file_format(None, {"SVG": ".svg"})
        source = media(given)
        with client(local) as rw:
            job = rw.submit.vectorize(
                inputs={"image": source}, model=model, extra=further, timeout=timeout, include_cost=True
            )
            output.finish(job)


@command
def upload(
    files: Annotated[list[str], typer.Argument(metavar="MEDIA", help="Files or URLs.")],
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Store media on the platform, and print the UUID of each, for use in place of a file."""
    with reporting(as_json, local):
        sources = [media(one) for one in files]
        with client(local) as rw:
            output = Output(as_json)
            output.finish(*(rw.submit.media_storage(media=one, timeout=timeout) for one in sources))
