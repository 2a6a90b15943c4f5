"""Media in and out: what may be passed as an input, and how a result becomes bytes and files."""

from runware.media.inputs import MAX_BYTES, Media, ReadableFile

__all__ = ["MAX_BYTES", "Media", "ReadableFile"]
