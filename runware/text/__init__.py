"""Streams of text: what `stream_text` returns, in its three forms. Loaded when it is first used."""

from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    from runware.text.streams import AsyncTextStream, StreamJob, TextStream
else:
    _streams = lazy_module("runware.text.streams")

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_streams, name)


__all__ = ["AsyncTextStream", "StreamJob", "TextStream"]
