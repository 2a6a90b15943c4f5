"""Result classes: one per kind of media or text, and the list that calls return.

Modules are loaded when one of their classes is first used: most programs use one kind of result.
"""

from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_attributes
from runware.results.base import ApiObject, Meta, Partial, Result, Results

if TYPE_CHECKING:
    from runware.results.acknowledgement import Acknowledgement
    from runware.results.images import Image, MediaResult
    from runware.results.media import (
        Audio,
        Detection,
        FilesResult,
        GuideImage,
        MaskImage,
        Model3D,
        StoredMedia,
        ToolOutput,
        Video,
    )
    from runware.results.pieces import TextPiece
    from runware.results.reading import from_dict, from_json
    from runware.results.text import Source, Text, ToolCall, Usage

_MODULES = {
    name: module
    for module, names in {
        "acknowledgement": "Acknowledgement",
        "images": "Image MediaResult",
        "media": "Audio Detection FilesResult GuideImage MaskImage Model3D StoredMedia ToolOutput Video",
        "pieces": "TextPiece",
        "reading": "from_dict from_json",
        "text": "Source Text ToolCall Usage",
    }.items()
    for name in names.split()
}
if not TYPE_CHECKING:
    __getattr__ = lazy_attributes(globals(), _MODULES)

Part = ApiObject
"""The name of `ApiObject` in version 0.2.0."""

__all__ = [
    "Acknowledgement",
    "ApiObject",
    "Audio",
    "Detection",
    "FilesResult",
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
    "Source",
    "StoredMedia",
    "Text",
    "TextPiece",
    "ToolCall",
    "ToolOutput",
    "Usage",
    "Video",
    "from_dict",
    "from_json",
]
