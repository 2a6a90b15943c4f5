"""Result classes: one per kind of media or text, and the list that calls return."""

from runware.results.acknowledgement import Acknowledgement
from runware.results.base import ApiObject, Meta, Partial, Result, Results
from runware.results.media import (
    Audio,
    Detection,
    FilesResult,
    GuideImage,
    Image,
    MaskImage,
    MediaResult,
    Model3D,
    StoredMedia,
    ToolOutput,
    Video,
)
from runware.results.pieces import TextPiece
from runware.results.reading import from_dict, from_json
from runware.results.text import Source, Text, ToolCall, Usage

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
