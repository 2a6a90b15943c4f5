"""Former name of `runware.media.downloads`, which results pickled by version 0.2.0 refer to."""

from runware.media.downloads import _nothing

__all__ = ["_nothing"]
