"""The messages of a chat: checks, and media as parts of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from runware._support.escaping import one_line
from runware.errors import ValidationError
from runware.media import Media
from runware.media.inputs import StoredResult, encode_media, may_be_media
from runware.media.kinds import SNIFFED_BYTES, UNKNOWN, sniff
from runware.protocol.ids import is_uuid
from runware.requests.text import Message

__all__ = ["Content", "check_messages", "encode_messages", "open_calls", "user_message"]

Content = str | Sequence[str | Media | Mapping[str, Any]]
"""The content of a message: text, or a list of texts, media, and parts in the form of the API."""

_AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3"}


def user_message(content: Content, images: Any = None) -> dict[str, Any]:
    """Return a message of the user. Its media are encoded by `encode_messages`.

    Raises:
        ValidationError: There is no content.
    """
    if images is None:
        images = []
    elif isinstance(images, (str, bytes, bytearray, memoryview)) or not isinstance(images, Sequence):
        images = [images]  # a single one
    parts = [content] if isinstance(content, str) else content
    if not isinstance(parts, Sequence) or isinstance(parts, (bytes, bytearray, memoryview)):
        raise invalid("content", f"must be a str, or a list of texts and media; got {type(content).__name__}")
    if not images and not any(parts):
        raise invalid("content", "is empty")
    if isinstance(content, str) and not images:
        return {"role": "user", "content": content}
    return {"role": "user", "content": [*filter(None, parts), *map(_Image, images)]}


class _Image:
    """An image that is not encoded yet. Unlike in other content, a string is one as well."""

    def __init__(self, value: Any) -> None:
        self.value = value


def check_messages(messages: Any) -> list[dict[str, Any]]:
    """Return messages as a list of dicts.

    Raises:
        ValidationError: A message has no role, or is no message.
    """
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence):
        raise invalid("messages", f"must be a list of dicts; got {type(messages).__name__}")
    made = []
    for at, given in enumerate(messages):
        message = {"role": given.role, "content": given.content} if isinstance(given, Message) else given
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise invalid("messages", f"must be dicts such as {{'role': 'user', 'content': 'Hello'}}; [{at}] is none")
        content = message.get("content")
        if not (content is None or isinstance(content, (str, list, tuple))):
            raise invalid("messages", f"[{at}] has content of type {type(content).__name__}; use a str or a list")
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, (list, tuple)) else ():
            if not (
                isinstance(call, Mapping)
                and isinstance(call.get("id"), str)
                and isinstance(function := call.get("function"), Mapping)
                and isinstance(function.get("name"), str)
                and isinstance(function.get("arguments"), str)
            ):
                raise invalid("messages", f"[{at}] has tool_calls without id, function.name or function.arguments")
        made.append(dict(message))
    return made


def encode_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages with their media in the form of the API. It may read files.

    Raises:
        ValidationError: A medium cannot be read or sent.
    """
    return [
        {**message, "content": [_part(part) for part in content]}
        if isinstance(content, (list, tuple))
        else dict(message)
        for message in messages
        for content in (message.get("content"),)
    ]


def _part(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str):
        return {"type": "text", "text": value}
    image = isinstance(value, _Image)
    parameter = "images" if image else "content"
    value = value.value if image else value
    try:
        encoded = _location(value)
    except ValidationError as error:
        raise invalid(parameter, f": {error.message}") from error
    if encoded.lower().startswith(("http://", "https://")):
        kind = getattr(value, "kind", "image") or "image"
        if kind != "image":
            raise invalid(parameter, f": a chat takes no {kind} by URL; download it, and pass its Path")
        return {"type": "image_url", "image_url": {"url": encoded}}
    media_type, _, data = encoded[5:].partition(";base64,")
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": encoded}}
    if image:
        raise invalid(parameter, f"must be images; got {one_line(media_type, 60)}")
    if media_type in _AUDIO:
        return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[media_type]}}
    if media_type == "application/pdf":
        name = getattr(value, "name", None)
        name = name if isinstance(name, str) and name else "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": encoded}}
    raise invalid(
        parameter,
        f"must be texts, images, WAV or MP3 audio, or PDF documents; got {one_line(media_type, 60)}. Pass others as "
        "parts in the form that the model expects, dicts",
    )


def _location(value: Any) -> str:
    """Return the URL or data URI of a medium."""
    if isinstance(value, StoredResult) and not isinstance(value, str):
        # The endpoint knows no UUIDs of stored media.
        for name in ("url", "data_uri", "base64_data"):
            if found := getattr(value, name, None):
                return _location(str(found))
    found = encode_media(value)
    if found[:5].lower() == "data:" or found.lower().startswith(("http://", "https://")):
        return found
    if is_uuid(found):
        raise ValidationError("A chat takes no UUIDs of stored media. Pass the URL, or the file.")
    if not may_be_media(found):
        raise ValidationError(f"{one_line(found, 60)!r} is no URL, data URI or base64. Pass Path(...) for a file.")
    try:
        start = base64.b64decode(found[: SNIFFED_BYTES * 4 // 3 // 4 * 4 + 4], validate=True)
    except (binascii.Error, ValueError):
        start = b""
    media_type = sniff(start)[0] if start else UNKNOWN[0]
    if media_type == UNKNOWN[0]:
        raise ValidationError("The text is no URL, data URI or base64 of a known format.")
    return f"data:{media_type};base64,{found}"


def open_calls(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the calls at the end of a conversation that have no result yet, each in the form of a message."""
    answered: set[Any] = set()
    for message in reversed(messages):
        if message.get("role") != "tool":
            calls = message.get("tool_calls") or () if message.get("role") == "assistant" else ()
            return [call for call in calls if call["id"] not in answered]
        answered.add(message.get("tool_call_id"))
    return []


def invalid(parameter: str, problem: str) -> ValidationError:
    """Return the error of a parameter."""
    space = "" if problem.startswith(":") else " "
    return ValidationError(
        f"{parameter}{space}{problem}.".replace("..", "."), code="invalidParameter", parameter=parameter
    )
