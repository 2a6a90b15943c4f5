"""Conversion of images to the format that a file name promises, with Pillow (extra `images`)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_module
from runware.errors import ConfigurationError, DownloadError
from runware.media.kinds import EXTENSIONS

if TYPE_CHECKING:
    import PIL
    from PIL import Image as pillow  # noqa: N813 - a module
else:
    PIL = lazy_module("PIL")
    pillow = lazy_module("PIL.Image")

__all__ = ["converted", "fits"]

_SAME = (
    {".jpg", ".jpeg"},
    {".tif", ".tiff"},
    {".heic", ".heif"},
    {".mp4", ".m4v", ".m4a", ".mov"},  # one container format
    {".mkv", ".webm"},
    {".ogg", ".oga", ".opus", ".ogv"},
)
_IMAGES = frozenset((".png", ".jpg", ".webp", ".avif", ".heic", ".heif", ".gif", ".tiff", ".bmp", ".svg"))


def fits(extension: str, arrived: str) -> bool:
    """Return whether a file may have an extension: it is that of its content, or promises nothing.

    Args:
        extension: The extension of the file name, in lower case.
        arrived: The extension for the content.
    """
    known = extension in EXTENSIONS or any(extension in family for family in _SAME)
    if extension == arrived or not known or arrived not in EXTENSIONS:
        return True
    return any(extension in family and arrived in family for family in _SAME)


def converted(data: bytes, arrived: str, extension: str) -> bytes:
    """Return an image in the format of an extension.

    Args:
        data: The image.
        arrived: The extension for its content.
        extension: The extension of the file name, in lower case.

    Raises:
        DownloadError: It is not an image, or Pillow does not read or write one of the formats.
        ConfigurationError: Pillow is not installed.
    """
    words = f"The result is a {arrived} file, and the file name ends with {extension}."
    advice = f"Save it as {arrived}, or name a folder."
    if arrived not in _IMAGES or extension not in _IMAGES | {".jpeg", ".tif"}:
        raise DownloadError(f"{words} Only images are converted. {advice}")
    try:
        write = pillow.registered_extensions().get(extension)
    except ImportError as error:
        raise ConfigurationError(
            f"{words} Converting it needs an extra: pip install 'runware-client[images]'. {advice}"
        ) from error
    if write not in pillow.SAVE:
        raise DownloadError(f"{words} Pillow does not write that format. {advice}")
    output = io.BytesIO()
    try:
        with pillow.open(io.BytesIO(data)) as image:
            animated = getattr(image, "is_animated", False)
            if animated and write not in pillow.SAVE_ALL:
                raise DownloadError(f"{words} It has several frames, which that format has not. {advice}")
            options: dict[str, Any] = {"save_all": True} if animated else {}
            if profile := image.info.get("icc_profile"):
                options["icc_profile"] = profile
            (_opaque(image) if write in ("JPEG", "BMP") else image).save(output, write, **options)
    except PIL.UnidentifiedImageError as error:
        raise DownloadError(f"{words} Pillow does not read it. {advice}") from error
    except DownloadError:
        raise
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError, DecompressionBombError and others
        raise DownloadError(f"{words} Pillow could not convert it ({error}). {advice}") from error
    return output.getvalue()


def _opaque(image: Any) -> Any:
    """Return an image without transparency, on white."""
    if not image.has_transparency_data:
        return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    behind = pillow.new("RGBA", image.size, "white")
    behind.alpha_composite(image.convert("RGBA"))
    return behind.convert("RGB")
