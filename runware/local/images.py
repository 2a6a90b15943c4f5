"""Draw images from a prompt and a seed: the same prompt and seed always give the same image.

Each image is an invented landscape with the prompt in small letters at the bottom, so that a person sees which request
it belongs to.
"""

from __future__ import annotations

import colorsys
import html
import io
import math
import random
import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

__all__ = ["STYLES", "decode", "encode", "scene", "svg"]

Colour = tuple[int, int, int]
_MAX_PIXELS = 4096 * 4096
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that an XML document cannot hold, not even escaped."""


class _Scene(NamedTuple):
    """The objects of a scene, in fractions of the width and height."""

    sky: tuple[Colour, Colour, Colour]
    sun: tuple[float, float, float]
    sun_colour: Colour
    stars: tuple[tuple[float, float], ...]
    hills: tuple[tuple[Colour, tuple[float, ...]], ...]


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, saturation), min(1.0, value))
    return round(red * 255), round(green * 255), round(blue * 255)


def _compose(prompt: str, seed: int) -> _Scene:
    rng = random.Random(f"{prompt}|{seed}")
    hue = rng.random()
    night = rng.random() < 0.25
    light = 0.35 if night else rng.uniform(0.75, 0.95)
    warm = rng.uniform(0.0, 0.13)
    sky = (
        _colour(hue, 0.65, light * 0.6),
        _colour(hue + 0.06, 0.45, light),
        _colour(warm, 0.35, min(1.0, light * 1.15)),
    )
    sun = (rng.uniform(0.15, 0.85), rng.uniform(0.18, 0.48), rng.uniform(0.04, 0.09))
    sun_colour = _colour(warm, 0.12 if night else 0.35, 1.0)
    stars = tuple((rng.random(), rng.uniform(0, 0.5)) for _ in range(90)) if night else ()
    hills = []
    layers = 5
    for layer in range(layers):
        depth = layer / (layers - 1)
        points = [0.0] * 49
        base = 0.5 + 0.36 * depth
        for wave in (1.3, 2.9, 7.1, 13.7):
            phase, height = rng.uniform(0, math.tau), 0.085 * (1.2 - 0.5 * depth) / wave**0.8
            for x in range(len(points)):
                points[x] += height * math.sin(phase + math.tau * wave * x / 48 * rng.uniform(0.995, 1.005))
        colour = _colour(hue + 0.1 * (1 - depth), 0.3 + 0.4 * depth, light * (0.8 - 0.62 * depth))
        hills.append((colour, tuple(base + y for y in points)))
    return _Scene(sky, sun, sun_colour, stars, tuple(hills))


@cache
def _glow() -> Image.Image:
    # Pillow's gradient ends with a third of its strength at the edges of its square, which would be visible.
    return ImageOps.invert(Image.radial_gradient("L")).point([max(0, level - 80) ** 2 // 120 for level in range(256)])


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def scene(prompt: str, seed: int, width: int, height: int) -> Image.Image:
    """Draw a landscape.

    Args:
        prompt: Determines the image together with `seed`; it is written at the bottom.
        seed: Any integer.
        width: Width in pixels.
        height: Height in pixels.
    """
    plan = _compose(prompt, seed)
    # Drawing at twice the size and reducing it smooths the edges; large images do not need that.
    scale = 2 if width * height <= 1_500_000 else 1
    wide, high = width * scale, height * scale
    column = Image.new("RGB", (1, 3))
    for row, colour in enumerate(plan.sky):
        column.putpixel((0, row), colour)
    image = column.resize((width, height), Image.Resampling.BICUBIC, box=(0, 0.4, 1, 2.6)).resize((wide, high))
    draw = ImageDraw.Draw(image)
    for x, y in plan.stars:
        radius = scale * (1 + (x * 7919) % 1)
        draw.ellipse(_box(x * wide, y * high, radius), fill=(235, 235, 245))
    side = min(wide, high)
    x, y, radius = plan.sun[0] * wide, plan.sun[1] * high, plan.sun[2] * side
    halo = round(radius * 9)
    glow = _glow().resize((halo, halo)).point([level * 3 // 5 for level in range(256)])
    image.paste(plan.sun_colour, (round(x - halo / 2), round(y - halo / 2)), glow)
    draw.ellipse(_box(x, y, radius), fill=plan.sun_colour)
    for colour, ridge in plan.hills:
        points = [(wide * i / (len(ridge) - 1), high * level) for i, level in enumerate(ridge)]
        draw.polygon([*points, (wide, high), (0, high)], fill=colour)
    if scale > 1:
        image = image.reduce(scale)
    _write_prompt(image, prompt, seed)
    return image


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def _write_prompt(image: Image.Image, prompt: str, seed: int) -> None:
    size = max(9, min(22, image.height // 40))
    font = _font(size)
    draw = ImageDraw.Draw(image, "RGBA")
    room = image.width - 2 * size
    line = " ".join(f"{prompt}  ·  seed {seed}".split())
    while len(line) > 4 and draw.textlength(line, font=font) > room:
        line = line[: max(4, int(len(line) * 0.9))].rstrip(" …") + "…"
    top = image.height - 2 * size
    draw.rectangle((0, top, image.width, image.height), fill=(0, 0, 0, 110))
    draw.text((size, top + size // 3), line, font=font, fill=(255, 255, 255, 230))


def _guide(image: Image.Image) -> Image.Image:
    edges = image.convert("L").filter(ImageFilter.FIND_EDGES)
    return edges.point([255 if level > 24 else 0 for level in range(256)]).convert("RGB")


def _ellipse_mask(image: Image.Image) -> Image.Image:
    mask = Image.new("L", image.size, 0)
    wide, high = image.size
    ImageDraw.Draw(mask).ellipse((wide * 0.2, high * 0.15, wide * 0.8, high * 0.85), fill=255)
    return mask


def _cutout(image: Image.Image) -> Image.Image:
    result = image.convert("RGBA")
    result.putalpha(_ellipse_mask(image).filter(ImageFilter.GaussianBlur(2)))
    return result


STYLES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "scene": lambda image: image,
    "guide": _guide,
    "mask": lambda image: _ellipse_mask(image).convert("RGB"),
    "cutout": _cutout,
}
"""The functions that turn a scene into the image of a task type, by style."""


def decode(data: bytes) -> Image.Image | None:
    """Decode an image that a client sent; return `None` if it is not an image, or too large."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def encode(image: Image.Image, extension: str, quality: int = 95) -> bytes:
    """Encode an image as `jpg`, `png`, `webp`, `gif`, `tiff` or `bmp`."""
    buffer = io.BytesIO()
    if extension == "jpg":
        image.convert("RGB").save(buffer, "JPEG", quality=quality)
    elif extension == "webp":
        image.save(buffer, "WEBP", quality=quality, method=2)
    elif extension in ("gif", "tiff", "bmp"):
        image.save(buffer, extension.upper())
    else:
        image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def svg(prompt: str, seed: int, width: int, height: int) -> bytes:
    """Draw the scene as a vector image."""
    plan = _compose(prompt, seed)
    stops = "".join(f'<stop offset="{half / 2}" stop-color="rgb{colour}"/>' for half, colour in enumerate(plan.sky))
    x, y, radius = plan.sun[0] * width, plan.sun[1] * height, plan.sun[2] * min(width, height)
    shapes = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="rgb{plan.sun_colour}"/>']
    for colour, ridge in plan.hills:
        points = " ".join(f"{width * i / (len(ridge) - 1):.1f},{height * y:.1f}" for i, y in enumerate(ridge))
        shapes.append(f'<polygon points="{points} {width},{height} 0,{height}" fill="rgb{colour}"/>')
    title = html.escape(_NOT_IN_XML.sub("\ufffd", prompt))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><title>{title}</title>'
        f'<defs><linearGradient id="sky" x2="0" y2="1">{stops}</linearGradient></defs>'
        f'<rect width="{width}" height="{height}" fill="url(#sky)"/>{"".join(shapes)}'
        f'<text x="8" y="{height - 8}" font-size="14" fill="white">{title}</text></svg>'
    ).encode()
