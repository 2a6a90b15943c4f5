"""Media: what may be passed as an input, and how results are downloaded and saved."""

from runware.media.files import MAX_BYTES
from runware.media.inputs import Media, ReadableFile

__all__ = ["MAX_BYTES", "Media", "ReadableFile"]
