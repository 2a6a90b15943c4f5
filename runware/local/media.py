"""The files of results: found by UUID, rendered on their first request."""

from __future__ import annotations

import base64
import binascii
import random
import re
from collections import OrderedDict
from threading import Lock
from typing import Any

from PIL import Image

from runware.local import audio, images, meshes, video
from runware.local.uuids import new_uuid

__all__ = ["CONTENT_TYPES", "Media", "MediaStore", "decode_input", "extension_of"]

CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "svg": "image/svg+xml",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "glb": "model/gltf-binary",
    "ply": "model/ply",
    "obj": "model/obj",
    "stl": "model/stl",
    "fbx": "application/octet-stream",
    "usdz": "model/vnd.usdz+zip",
    "3mf": "model/3mf",
    "zip": "application/zip",
    "bin": "application/octet-stream",
}
_EXTENSIONS = {kind: extension for extension, kind in reversed(CONTENT_TYPES.items())}
_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?[^,]*;base64,", re.IGNORECASE)
# The first bytes of each image format.
_SIGNATURES = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8", "jpg"),
    (b"RIFF", "webp"),
    (b"GIF8", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"BM", "bmp"),
)
_CACHE_BYTES = 64 * 2**20
_VIDEO_FRAMES = 8
_DEFAULT_SIZE = (1024, 1024)


class Media:
    """One file: either the bytes that a client sent, or the task from which it is rendered.

    Attributes:
        uuid: Its UUID.
        kind: The first part of its path: `image`, `video`, `audio`, `model`, `media`.
        extension: Its format.
        task: Its task.
        seed: The number that determines its content, together with `prompt`.
        style: A key of `images.STYLES`, or `scaled`.
        source: Its input file, if the server has it.
        data: Its bytes, if a client sent them.
    """

    __slots__ = ("_prompt", "data", "extension", "kind", "seed", "source", "style", "task", "uuid")

    def __init__(self, kind: str, extension: str, task: dict[str, Any], prompt: str, seed: int = 0) -> None:
        self.uuid = new_uuid()
        self.kind = kind
        self.extension = extension
        self.task = task
        self.prompt = prompt
        self.seed = seed
        self.style = "scene"
        self.source: Media | None = None
        self.data: bytes | None = None

    @property
    def prompt(self) -> str:
        """The text that determines its content, together with `seed`, without lone surrogates."""
        return self._prompt

    @prompt.setter
    def prompt(self, text: str) -> None:
        self._prompt = text.encode("utf-8", "replace").decode()  # a lone surrogate can be neither drawn nor encoded

    @property
    def content_type(self) -> str:
        """Its MIME type."""
        return CONTENT_TYPES.get(self.extension, "application/octet-stream")

    def render(self) -> bytes:
        """Create the content of the file. This can take a tenth of a second, and may run on any thread."""
        if self.data is not None:
            return self.data
        if self.kind == "audio" or self.content_type.startswith("audio/"):
            return self._audio()
        if self.kind == "model":
            return self._mesh()
        if self.content_type.startswith("video/"):
            return self._video()
        if self.extension == "svg":
            return images.svg(self.prompt, self.seed, *_image_size(self))
        quality = self.task.get("outputQuality", 95)
        return images.encode(self.draw(), self.extension, quality if isinstance(quality, int) else 95)

    def draw(self) -> Image.Image:
        """Draw the file as an image."""
        size = _image_size(self)
        if self.data is not None:
            decoded = images.decode(self.data)
            return decoded or images.scene(self.prompt, self.seed, *size)
        if self.source is None:
            drawn = images.scene(self.prompt, self.seed, *size)
        else:
            drawn = self.source.draw()
            if drawn.size != size:
                drawn = drawn.resize(size)
        return images.STYLES.get(self.style, images.STYLES["scene"])(drawn)

    def _video(self) -> bytes:
        width, height = _image_size(self)
        scale = min(1.0, 320 / max(width, height))
        size = max(16, round(width * scale) // 2 * 2), max(16, round(height * scale) // 2 * 2)
        wide = images.scene(self.prompt, self.seed, size[0] * 5 // 4, size[1])
        steps = [(wide.width - size[0]) * number // (_VIDEO_FRAMES - 1) for number in range(_VIDEO_FRAMES)]
        views = [wide.crop((left, 0, left + size[0], size[1])) for left in steps]
        if self.extension in ("webm", "mkv"):
            document = b"webm" if self.extension == "webm" else b"matroska"
            return video.webm([images.encode(view, "webp", 80) for view in views], *size, 4, document)
        brand = b"qt  " if self.extension == "mov" else b"isom"
        return video.mp4([images.encode(view, "jpg", 80) for view in views], *size, 4, brand)

    def _audio(self) -> bytes:
        duration = self.task.get("duration")
        seconds = min(float(duration), 60.0) if isinstance(duration, (int, float)) else 2.0
        if self.extension == "wav":
            pitch = 110 * 2 ** (random.Random(f"{self.prompt}|{self.seed}").randrange(24) / 12)
            return audio.wav(min(seconds, 4.0), pitch)
        if self.extension == "flac":
            return audio.flac()
        if self.extension == "aac":
            return audio.aac(seconds)
        if self.extension == "ogg":
            return audio.ogg(self.seed)
        return audio.mp3(seconds)

    def _mesh(self) -> bytes:
        rng = random.Random(f"{self.prompt}|{self.seed}")
        if self.extension in ("usdz", "3mf", "zip"):
            return meshes.zip_archive("cube.obj")
        if self.extension in ("obj", "ply", "stl"):
            return meshes.mesh_text(self.extension)
        if self.extension == "fbx":
            return b"Kaydara FBX Binary  \x00\x1a\x00" + (7400).to_bytes(4, "little") + bytes(160)
        return meshes.glb((round(rng.random(), 3), round(rng.random(), 3), round(rng.random(), 3)))


def _image_size(media: Media) -> tuple[int, int]:
    """Return the width and height in pixels that the task asks for."""
    if media.style == "scaled" or (media.source is not None and "width" not in media.task):
        wide, high = _image_size(media.source) if media.source is not None else _DEFAULT_SIZE
        factor = media.task.get("upscaleFactor", 2) if media.style == "scaled" else 1
        factor = min(factor if isinstance(factor, (int, float)) else 2, 4096 / max(wide, high))
        return max(1, round(wide * factor)), max(1, round(high * factor))
    if media.data is not None:
        decoded = images.decode(media.data)
        return decoded.size if decoded is not None else _DEFAULT_SIZE
    width, height = media.task.get("width", 1024), media.task.get("height", 1024)
    if isinstance(width, int) and isinstance(height, int) and 0 < width <= 4096 and 0 < height <= 4096:
        return width, height
    return _DEFAULT_SIZE


def extension_of(data: bytes) -> str:
    """Return the format of an image; empty if the first bytes are not those of one."""
    return next((name for start, name in _SIGNATURES if data.startswith(start)), "")


def decode_input(value: str) -> tuple[bytes, str] | None:
    """Decode a data URI or base64; return the bytes and the extension, or `None` if it is neither."""
    found = _DATA_URI.match(value)
    encoded = value[found.end() :] if found else value
    extension = _EXTENSIONS.get((found.group(1) or "").lower(), "bin") if found else ""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not extension:
        extension = extension_of(data) or "bin"
    return data, extension


class MediaStore:
    """The files of the server, and a cache of rendered ones.

    Args:
        keep: The number of files that are kept at least. `None`: all.

    Attributes:
        forgotten: The UUIDs of files that were removed: a task that names one is refused.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._files: dict[str, Media] = {}
        self.forgotten: set[str] = set()
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._lock = Lock()

    def add(self, media: Media) -> None:
        """Store a file, and discard the oldest ones if there are more than twice `keep`."""
        self._files[media.uuid] = media
        if self._keep is not None and len(self._files) > 2 * self._keep:
            for uuid in list(self._files)[: -self._keep or None]:
                del self._files[uuid]

    def get(self, uuid: str) -> Media | None:
        """Return a file by its UUID."""
        return self._files.get(uuid)

    def find(self, value: Any) -> Media | None:
        """Find the file that a media parameter names, by UUID or by a URL of this server."""
        if not isinstance(value, str) or len(value) > 400:
            return None
        return self._files.get(value) or self._files.get(value.rpartition("/")[2].partition(".")[0])

    def remove(self, uuid: str) -> bool:
        """Remove a file; return whether it was there."""
        if self._files.pop(uuid, None) is None:
            return False
        self.forgotten.add(uuid)
        return True

    def stored(self) -> list[str]:
        """Return the UUIDs of the files that clients have stored, the oldest first."""
        return [uuid for uuid, media in self._files.items() if media.data is not None]

    def clear(self) -> None:
        """Remove all files."""
        self._files.clear()
        with self._lock:
            self._cache.clear()
            self._cached_bytes = 0

    def content(self, media: Media) -> bytes:
        """Return the content of a file, and render it if it is not in the cache. May run on any thread."""
        with self._lock:
            cached = self._cache.get(media.uuid)
            if cached is not None:
                self._cache.move_to_end(media.uuid)
                return cached
        data = media.render()
        with self._lock:
            if media.uuid not in self._cache:
                self._cache[media.uuid] = data
                self._cached_bytes += len(data)
            while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return data
