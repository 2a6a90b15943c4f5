"""What a caller passes to an app: names, paths and the payload, checked and encoded before anything is sent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from runware.errors import DownloadError, PayloadTooLargeError, ValidationError
from runware.media.files import decode_base64
from runware.media.inputs import ImageLike, ReadableFile, StoredResult, encode_media
from runware.protocol.codec import dumps
from runware.protocol.ids import is_uuid, new_uuid
from runware.requests.validation import brief, fits, number_of

__all__ = ["AppAddress", "endpoint_path", "envelope", "payload_of", "rejected", "task_id_of"]

_APP = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_SEGMENT = re.compile(r"[a-z]([a-z0-9-]{0,62}[a-z0-9])?")
_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LONGEST_PATH = 255
_DEEPEST = 100
_LARGEST = 64 * 2**20
_MEDIA = (bytes, bytearray, memoryview, Path, ReadableFile, ImageLike, StoredResult)


def rejected(parameter: str, what: str) -> ValidationError:
    """Return the error of a wrong argument."""
    return ValidationError(f"App: {parameter} {what}.", code="invalidParameter", parameter=parameter)


@attrs.frozen
class AppAddress:
    """An app, in one of its environments.

    Attributes:
        name: The app's ID.
        environment: The environment; `None` means the server's default, `"production"`.
    """

    name: str
    environment: str | None = None

    @classmethod
    def checked(cls, name: object, environment: object) -> AppAddress:
        """Return the address of an app.

        Raises:
            ValidationError: The name of the app or the environment cannot be one.
        """
        if not isinstance(name, str) or not _APP.fullmatch(name):
            raise rejected(
                "name",
                "must be the app's ID, 6 to 30 lower-case letters, digits and hyphens, such as 'my-upscaler'; "
                f"got {brief(name)}",
            )
        if environment is not None and not (isinstance(environment, str) and _ENVIRONMENT.fullmatch(environment)):
            raise rejected(
                "environment",
                "must be up to 63 lower-case letters, digits, dots, hyphens and underscores, such as 'staging'; got "
                f"{brief(environment)}",
            )
        return cls(name, environment)

    @property
    def query(self) -> dict[str, str]:
        """The parameters that every request to the app has."""
        return {} if self.environment is None else {"environment": self.environment}

    def tasks_path(self, task_id: str | None = None, app_id: str | None = None) -> str:
        """Return the path of the app's tasks, or of one of them; *app_id* is what the server named as its app."""
        path = f"/v1/apps/{quote(app_id or self.name, safe='')}/tasks"
        return path if task_id is None else f"{path}/{task_id}"

    def invoke_path(self, endpoint: str | None, *, sync: bool) -> str:
        """Return the path that calls an endpoint; `None` stands for the default endpoint."""
        path = f"/v1/apps/{self.name}/invoke-{'sync' if sync else 'async'}"
        return path if endpoint is None else f"{path}/{endpoint}"

    def source(self) -> str:
        """Return the Python expression that stands for the app, for messages."""
        environment = "" if self.environment is None else f", environment={self.environment!r}"
        return f"rw.app({self.name!r}{environment})"


def endpoint_path(endpoint: object) -> str | None:
    """Return the path of an endpoint; `None` means the app's default endpoint.

    Raises:
        ValidationError: It cannot be a path.
    """
    if endpoint is None:
        return None
    valid = isinstance(endpoint, str) and len(endpoint) <= _LONGEST_PATH
    if valid and all(map(_SEGMENT.fullmatch, str(endpoint).split("/"))):
        return str(endpoint)
    guess = str(endpoint).strip("/").lower().replace("_", "-") if valid else ""
    meant = f". Did you mean {guess!r}?" if guess and all(map(_SEGMENT.fullmatch, guess.split("/"))) else ""
    raise ValidationError(
        "App: endpoint must be a path such as 'run' or 'v1/chat/completions': lower-case letters, digits and hyphens, "
        f"without a slash at the start, at most {_LONGEST_PATH} characters; got {brief(endpoint)}{meant or '.'}",
        code="invalidParameter",
        parameter="endpoint",
    )


def task_id_of(given: object) -> str:
    """Return the ID of a task in the form the API takes, or a new one for `None`.

    Raises:
        ValidationError: It is no UUID.
    """
    if given is None:
        return new_uuid()
    text = str(given).lower() if isinstance(given, (str, uuid.UUID)) else None
    if text is None or not is_uuid(text):
        raise rejected("task_id", f"must be a UUID; got {brief(given)}")
    return text


def payload_of(payload: object, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload to send, from a dict or from keyword arguments. Media are encoded, which may read files.

    Raises:
        ValidationError: Both were given, or JSON has no form for something in it; `parameter` names it.
    """
    if payload is not None and inputs:
        raise rejected("payload", f"and keyword arguments ({', '.join(inputs)}) exclude each other; pass one of them")
    whole = inputs if payload is None else payload
    if not isinstance(whole, Mapping):
        raise rejected("payload", f"must be a dict; got {brief(whole)}")
    return {_key(key, ""): _encoded(value, str(key), _DEEPEST) for key, value in whole.items()}


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise rejected(path or "payload", f"must have text as its keys; got {brief(key)}")
    return key


def _encoded(value: Any, path: str, levels: int) -> Any:
    """Return the JSON form of a value in the payload; *path* names it in errors."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        if not fits(value, float):
            raise rejected(path, "is NaN or infinite, for which JSON has no form")
        return number_of(value)
    if isinstance(value, (Mapping, list, tuple)):
        if not levels:
            raise rejected(path, f"contains itself, or is nested more than {_DEEPEST} deep")
        if isinstance(value, Mapping):
            return {_key(key, path): _encoded(one, f"{path}.{key}", levels - 1) for key, one in value.items()}
        return [_encoded(one, f"{path}[{number}]", levels - 1) for number, one in enumerate(value)]
    number = number_of(value)
    if number is not value:
        return _encoded(number, path, levels)
    if not isinstance(value, _MEDIA):
        raise rejected(path, f"must be JSON (dict, list, str, number, bool or None) or media; got {brief(value)}")
    try:
        return _media(value)
    except (ValidationError, DownloadError) as error:
        raise ValidationError(f"App: {path}: {error.message}", code="invalidMedia", parameter=path) from error


def _media(value: Any) -> str:
    """Return media as an app can open them: the URL of a result, or a data URI."""
    if not isinstance(value, StoredResult):
        return encode_media(value)
    # Elsewhere a result is sent as its UUID, which only Runware's own models know.
    address = getattr(value, "url", None) or getattr(value, "data_uri", None)
    if isinstance(address, str):
        return address
    inline = getattr(value, "base64_data", None)
    if not inline:
        raise ValidationError(
            "The result has no URL and no data, and an app cannot open its UUID.", code="invalidMedia"
        )
    return encode_media(decode_base64(inline))


def envelope(task_id: str, payload: dict[str, Any]) -> bytes:
    """Return the body of a call.

    Raises:
        PayloadTooLargeError: It exceeds 64 MiB.
    """
    body = dumps({"taskId": task_id, "payload": payload})
    if len(body) > _LARGEST:
        raise PayloadTooLargeError(
            f"The payload has {len(body):,} bytes; the limit is {_LARGEST:,}. Store its media first, with "
            "rw.media_storage, and pass the results, which are sent as URLs.",
            parameter="payload",
        )
    return body
