"""The same page with a blocking view, with an async view, and with a view whose images are delivered to a webhook.

All use the client of the process.

`get_client()` creates it at the first request, with the key in `RUNWARE_API_KEY`, and not while Django loads. So a
server may load the project before it forks its workers (`gunicorn --preload`).
"""

import os
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from gallery.forms import ImageForm
from runware import Image, RunwareError, get_client
from runware.webhooks import Delivery, WebhookReceiver, sign

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


def keep(delivery: Delivery) -> None:
    """Save a delivered image. If that fails, it is delivered again; a second delivery writes the same file."""
    if isinstance(delivery.result, Image):
        delivery.result.save(settings.MEDIA_ROOT, overwrite=True)


receiver = WebhookReceiver(keep, secret=settings.WEBHOOK_SECRET, confirm=True)


def gallery_later(request: HttpRequest) -> HttpResponse:
    """Show the images, and request more without waiting for them."""
    form = ImageForm(request.POST or None)
    if form.is_valid():
        wanted = form.cleaned_data
        webhook = request.build_absolute_uri(reverse("webhook"))
        try:
            get_client().image_inference(
                positive_prompt=wanted["prompt"],
                number_results=wanted["number"],
                webhook_url=sign(webhook, settings.WEBHOOK_SECRET),
                **SIZE,
            )
        except RunwareError as error:
            form.add_error(None, error.message)
        else:
            return redirect("gallery-later")
    return page(request, form, "webhook")


def page(request: HttpRequest, form: ImageForm, kind: str) -> HttpResponse:
    """Render the page, the newest images first."""
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
    files = [path for path in settings.MEDIA_ROOT.iterdir() if not path.name.startswith(".")]
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:24]
    shown: dict[str, Any] = {"form": form, "images": [path.name for path in newest], "kind": kind, "pid": os.getpid()}
    return render(request, "gallery.html", shown)
