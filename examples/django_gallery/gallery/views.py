"""The same page with a blocking view and with an async view. Both use the client of the process.

`get_client()` creates it at the first request, with the key in `RUNWARE_API_KEY`, and not while Django loads. So a
server may load the project before it forks its workers (`gunicorn --preload`).
"""

import os
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from gallery.forms import ImageForm
from runware import RunwareError, get_client

SIZE = {"model": "runware:101@1", "width": 768, "height": 512, "timeout": 60.0}


def gallery(request: HttpRequest) -> HttpResponse:
    """Show the images, and generate more."""
    form = ImageForm(request.POST or None)
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            images = get_client().image_inference(
                positive_prompt=wanted["prompt"], number_results=wanted["number"], **SIZE
            )
            images.save_all(settings.MEDIA_ROOT)
        except RunwareError as error:
            form.add_error(None, error.message)
        else:
            return redirect("gallery")
    return page(request, form, "blocking view")


async def gallery_async(request: HttpRequest) -> HttpResponse:
    """Show the images, and generate more, without blocking the event loop."""
    form = ImageForm(request.POST or None)
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            images = await get_client().aio.image_inference(
                positive_prompt=wanted["prompt"], number_results=wanted["number"], **SIZE
            )
            await images.asave_all(settings.MEDIA_ROOT)
        except RunwareError as error:
            form.add_error(None, error.message)
        else:
            return redirect("gallery-async")
    return page(request, form, "async view")


def page(request: HttpRequest, form: ImageForm, kind: str) -> HttpResponse:
    """Render the page, the newest images first."""
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
    files = [path for path in settings.MEDIA_ROOT.iterdir() if not path.name.startswith(".")]
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:24]
    shown: dict[str, Any] = {"form": form, "images": [path.name for path in newest], "kind": kind, "pid": os.getpid()}
    return render(request, "gallery.html", shown)
