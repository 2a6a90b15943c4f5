"""The files that results point to: known by UUID, made when somebody asks for them."""

from __future__ import annotations

import base64
import binascii
import random
import re
from collections import OrderedDict
from threading import Lock
from typing import Any

from runware.local import clips, pictures

__all__ = ["CONTENT_TYPES", "Media", "MediaStore", "decode_input", "new_uuid", "picture_size"]

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
    "mp3": "audio/mpeg",
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
_STARTS = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8", "jpg"),
    (b"RIFF", "webp"),
    (b"GIF8", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"BM", "bmp"),
)
_CACHE_BYTES = 64 * 2**20
_FILM_FRAMES = 8
_random = random.Random()  # of its own: UUIDs must stay unique in a program that seeds the global generator


def new_uuid() -> str:
    """A random UUID of version 4."""
    # Twice as fast as uuid.uuid4(), and one is needed for every result.
    digits = f"{_random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class Media:
    """One file: either bytes that a client sent, or the task that it is to be made from.

    Attributes:
        uuid: Its UUID.
        kind: The first part of its path: `image`, `video`, `audio`, `model`, `media`.
        extension: Its format.
        task: The task that it belongs to.
        seed: Decides how it looks, together with the task's prompt.
        style: One of `pictures.STYLES`, or `scaled`.
        source: What it is made from, if the task names something we know.
        data: Its bytes, if they came from a client.
    """

    __slots__ = ("data", "extension", "kind", "prompt", "seed", "source", "style", "task", "uuid")

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
    def content_type(self) -> str:
        """Its MIME type."""
        return CONTENT_TYPES.get(self.extension, "application/octet-stream")

    def render(self) -> bytes:
        """Make the file. This can take a tenth of a second; it may run on any thread."""
        if self.data is not None:
            return self.data
        if self.kind == "audio":
            return self._audio()
        if self.kind == "model":
            return self._solid()
        if self.extension in ("mp4", "mov", "webm"):
            return self._film()
        if self.extension == "svg":
            return pictures.svg(self.prompt, self.seed, *picture_size(self))
        quality = self.task.get("outputQuality", 95)
        return pictures.encode(self.picture(), self.extension, quality if isinstance(quality, int) else 95)

    def picture(self) -> Any:
        """Draw it, as a Pillow image."""
        size = picture_size(self)
        if self.data is not None:
            opened = pictures.open_picture(self.data)
            return opened or pictures.scene(self.prompt, self.seed, *size)
        if self.source is None:
            drawn = pictures.scene(self.prompt, self.seed, *size)
        else:
            drawn = self.source.picture()
            if drawn.size != size:
                drawn = drawn.resize(size)
        return pictures.STYLES.get(self.style, pictures.STYLES["scene"])(drawn)

    def _film(self) -> bytes:
        width, height = picture_size(self)
        scale = min(1.0, 320 / max(width, height))
        size = max(16, round(width * scale) // 2 * 2), max(16, round(height * scale) // 2 * 2)
        wide = pictures.scene(self.prompt, self.seed, size[0] * 5 // 4, size[1])
        steps = [(wide.width - size[0]) * number // (_FILM_FRAMES - 1) for number in range(_FILM_FRAMES)]
        views = [wide.crop((left, 0, left + size[0], size[1])) for left in steps]
        if self.extension == "webm":
            return clips.webm([pictures.encode(view, "webp", 80) for view in views], *size, 4)
        brand = b"qt  " if self.extension == "mov" else b"isom"
        return clips.mp4([pictures.encode(view, "jpg", 80) for view in views], *size, 4, brand)

    def _audio(self) -> bytes:
        asked = self.task.get("duration")
        seconds = min(float(asked), 60.0) if isinstance(asked, (int, float)) else 2.0
        if self.extension == "wav":
            pitch = 110 * 2 ** (random.Random(f"{self.prompt}|{self.seed}").randrange(24) / 12)
            return clips.tone(min(seconds, 4.0), pitch)
        if self.extension == "flac":
            return clips.flac()
        if self.extension == "ogg":
            return clips.ogg(self.seed)
        return clips.mp3(seconds)

    def _solid(self) -> bytes:
        rng = random.Random(f"{self.prompt}|{self.seed}")
        if self.extension in ("usdz", "3mf", "zip"):
            return clips.zipped("cube.obj")
        if self.extension in ("obj", "ply", "stl"):
            return clips.mesh_text(self.extension)
        if self.extension == "fbx":
            return b"Kaydara FBX Binary  \x00\x1a\x00" + (7400).to_bytes(4, "little") + bytes(160)
        return clips.glb((round(rng.random(), 3), round(rng.random(), 3), round(rng.random(), 3)))


def picture_size(media: Media) -> tuple[int, int]:
    """Width and height in pixels of what the task asks for."""
    if media.style == "scaled" or (media.source is not None and "width" not in media.task):
        wide, high = picture_size(media.source) if media.source is not None else (1024, 1024)
        factor = media.task.get("upscaleFactor", 2) if media.style == "scaled" else 1
        factor = min(factor if isinstance(factor, (int, float)) else 2, 4096 / max(wide, high))
        return max(1, round(wide * factor)), max(1, round(high * factor))
    if media.data is not None:
        opened = pictures.open_picture(media.data)
        return opened.size if opened is not None else (1024, 1024)
    width, height = media.task.get("width", 1024), media.task.get("height", 1024)
    if isinstance(width, int) and isinstance(height, int) and 0 < width <= 4096 and 0 < height <= 4096:
        return width, height
    return 1024, 1024


def decode_input(value: str) -> tuple[bytes, str] | None:
    """Read a data URI or bare base64; give its bytes and extension, or `None` if it is neither."""
    found = _DATA_URI.match(value)
    encoded = value[found.end() :] if found else value
    extension = _EXTENSIONS.get((found.group(1) or "").lower(), "bin") if found else ""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not extension:
        extension = next((name for start, name in _STARTS if data.startswith(start)), "bin")
    return data, extension


class MediaStore:
    """Every file the server knows, and the most recent ones that were made.

    Args:
        keep: How many files are remembered. `None`: all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._files: dict[str, Media] = {}
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._made_bytes = 0
        self._lock = Lock()

    def add(self, media: Media) -> None:
        """Remember a file."""
        self._files[media.uuid] = media
        if self._keep is not None and len(self._files) > 2 * self._keep:
            for uuid in list(self._files)[: -self._keep or None]:
                del self._files[uuid]

    def get(self, uuid: str) -> Media | None:
        """Find a file by its UUID."""
        return self._files.get(uuid)

    def find(self, value: Any) -> Media | None:
        """Find the file that a media parameter means, by its UUID or by a URL of ours."""
        if not isinstance(value, str) or len(value) > 400:
            return None
        return self._files.get(value) or self._files.get(value.rpartition("/")[2].partition(".")[0])

    def remove(self, uuid: str) -> bool:
        """Forget a file; whether it was there."""
        return self._files.pop(uuid, None) is not None

    def clear(self) -> None:
        """Forget everything."""
        self._files.clear()
        with self._lock:
            self._made.clear()
            self._made_bytes = 0

    def content(self, media: Media) -> bytes:
        """The bytes of a file, made at the first request. May run on any thread."""
        with self._lock:
            made = self._made.get(media.uuid)
            if made is not None:
                self._made.move_to_end(media.uuid)
                return made
        made = media.render()
        with self._lock:
            if media.uuid not in self._made:
                self._made[media.uuid] = made
                self._made_bytes += len(made)
            while self._made_bytes > _CACHE_BYTES and len(self._made) > 1:
                self._made_bytes -= len(self._made.popitem(last=False)[1])
        return made
