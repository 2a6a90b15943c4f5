"""Result classes: what comes back, one class a kind of media or text, and the list they come in."""

from runware.results.base import Meta, Part, Partial, Result, Results
from runware.results.media import (
    Audio,
    Detection,
    GuideImage,
    Image,
    MaskImage,
    MediaResult,
    Model3D,
    StoredMedia,
    Video,
)
from runware.results.text import Text, Usage

__all__ = [
    "Audio",
    "Detection",
    "GuideImage",
    "Image",
    "MaskImage",
    "MediaResult",
    "Meta",
    "Model3D",
    "Part",
    "Partial",
    "Result",
    "Results",
    "StoredMedia",
    "Text",
    "Usage",
    "Video",
]
