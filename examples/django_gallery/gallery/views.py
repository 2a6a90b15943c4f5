"""The same page twice: with a blocking view, and with an async one. Both use the process's one client.

`get_client()` makes it at the first request, from `RUNWARE_API_KEY`; it is never made while Django loads, so that a
server that loads the project first and forks its workers afterwards (`gunicorn --preload`) is fine.
"""

import os
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from gallery.forms import PictureForm
from runware import RunwareError, get_client

SIZE = {"model": "runware:101@1", "width": 768, "height": 512, "timeout": 60.0}


def gallery(request: HttpRequest) -> HttpResponse:
    """Show the pictures, and make more."""
    form = PictureForm(request.POST or None)
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
    """Show the pictures, and make more, without holding up the event loop."""
    form = PictureForm(request.POST or None)
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


def page(request: HttpRequest, form: PictureForm, kind: str) -> HttpResponse:
    """Draw the page, the newest pictures first."""
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
    files = [path for path in settings.MEDIA_ROOT.iterdir() if not path.name.startswith(".")]
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:24]
    shown: dict[str, Any] = {"form": form, "pictures": [path.name for path in newest], "kind": kind, "pid": os.getpid()}
    return render(request, "gallery.html", shown)
