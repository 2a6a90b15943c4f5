"""The request class for tools: work on files without a model (docs/protocol.md, section 4)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs

from runware.requests.inference import Delivered
from runware.results import ToolOutput

__all__ = ["Tools"]

ToolFormat = Literal["MP4", "WEBM", "MOV", "MKV", "MP3", "WAV", "AAC", "FLAC", "OGG", "PNG", "JPG", "WEBP"] | str
"""Known formats, for editor completion; the server may accept others."""


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Tools(Delivered[ToolOutput]):
    """Convert, cut or join media files, with ffmpeg. The client polls until the files are there.

    The API does not document what *inputs* and *settings* may contain; they are sent as they are given, with media
    encoded.

    Args:
        inputs: The files to work on, such as `{"video": ...}`, keyed by API name.
        settings: What to do with them, by Python or API name.
        output_format: File format of the result, such as `"MP4"`.
        model: The tool's AIR; `"runware:ffmpeg@0"` is the only one.
        ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
    """

    task_type: ClassVar[str] = "tools"
    result_class = ToolOutput
    polled: ClassVar[bool] = True
    main: ClassVar[str] = "inputs"
    always: ClassVar[tuple[str, ...]] = ("model",)

    inputs: Mapping[str, Any]
    settings: Mapping[str, Any] | None = None
    output_format: ToolFormat | None = None
    model: str = "runware:ffmpeg@0"
    ttl: int | None = None
