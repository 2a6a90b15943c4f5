"""Read the body of a webhook, in every form that is known of it (docs/protocol.md, section 5)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import attrs

from runware.errors import TaskError, WebhookError, error_from_wire
from runware.protocol.call import Completion, Meaning, identity, meaning
from runware.protocol.codec import loads_leniently, read_message, structure
from runware.protocol.ids import is_uuid
from runware.protocol.redaction import Redactor
from runware.results import Result
from runware.results.platform import class_for

__all__ = ["MAX_BODY", "Delivery", "parse"]

Item = dict[str, Any]

MAX_BODY = 32 * 2**20
"""Size in bytes of the largest body that is read by default: results may hold images as base64."""
_LONGEST_IDENTITY = 200


@attrs.frozen(kw_only=True)
class Delivery:
    """One result or error of a task, as posted to its webhook. Deliveries with the same `key` are equal.

    Without a result and an error, it only says that the task runs.

    Attributes:
        task_uuid: UUID of the task.
        task_type: The API's task type, such as `"imageInference"`, or `None`.
        result: The result, of the class that a call returns; or `None`.
        error: Why a result, or the whole task, failed; or `None`.
        key: What identifies the delivery, also when it is posted again: the task, and the UUID of the result. Results
            without a UUID, such as texts, are told apart by their content.
        raw: The API object; that of an error without keys, and with long texts shortened.
    """

    task_uuid: str = attrs.field(eq=False)
    task_type: str | None = attrs.field(default=None, eq=False)
    result: Result | None = attrs.field(default=None, eq=False)
    error: TaskError | None = attrs.field(default=None, eq=False)
    key: str
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)


def parse(
    body: bytes | bytearray | memoryview | str | Mapping[str, Any] | list[Any], *, max_size: int = MAX_BODY
) -> list[Delivery]:
    """Read the body of a webhook.

    Args:
        body: The body as received, or the JSON object or list that was made of it.
        max_size: Size of the largest accepted body in bytes; 32 MiB by default. An object is not measured.

    Returns:
        The deliveries, usually one. Duplicates are not dropped; `Delivery.key` identifies them.

    Raises:
        WebhookError: The body is too large, is not JSON, or names no task.
    """
    message = _load(body, max_size)
    if not isinstance(message, (Mapping, list)):
        raise WebhookError(f"The body of a webhook is a JSON object; got {_kind(message)}.")
    try:
        deliveries = [_delivery(item, failed=failed) for item, failed in _entries(message) if _names_task(item)]
    except (RecursionError, TypeError, ValueError) as error:
        raise WebhookError("The body is nested too deeply, or holds something that JSON does not have.") from error
    if not deliveries:
        raise WebhookError("The body names no task: neither an item nor an error in it has a taskUUID that is a UUID.")
    return deliveries


def _load(body: Any, max_size: int) -> Any:
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        return body
    size = memoryview(body).nbytes
    if size > max_size:
        raise WebhookError(f"The body has {size:,} bytes; the limit is {max_size:,}.", status=413)
    if not size:
        raise WebhookError("The body is empty.")
    try:
        return loads_leniently(bytes(body))
    except ValueError:
        pass  # the exception would hold the body
    raise WebhookError(f"The body is not JSON ({size:,} bytes).")


def _kind(value: object) -> str:
    return {type(None): "null", bool: "a boolean", str: "a text", int: "a number", float: "a number"}.get(
        type(value), f"a {type(value).__name__}"
    )


def _names_task(item: Mapping[str, Any]) -> bool:
    return is_uuid(item.get("taskUUID"))


def _entries(message: Mapping[str, Any] | list[Any]) -> Iterator[tuple[Item, bool]]:
    """Yield the items and errors of a body, each with whether it is an error by its place."""
    parts = [message] if isinstance(message, Mapping) else message
    for part in (dict(part) for part in parts if isinstance(part, Mapping)):
        if _names_task(part) and not isinstance(part.get("data"), (dict, list)) and not part.get("errors"):
            yield part, False  # a flat item; it may hold its error
            continue
        names = {name: part[name] for name in ("taskUUID", "taskType") if name in part}
        items, errors = read_message(part)
        for item in items:
            yield item, False
        for error in errors:
            yield {**names, **error}, True


def _delivery(item: Item, *, failed: bool) -> Delivery:
    task_uuid, name = item["taskUUID"], identity(item)
    if name is not None and len(name) > _LONGEST_IDENTITY:
        name = _digest(item)
    said = Meaning.ERROR if failed else _meaning_of(item)
    if said is Meaning.ERROR:
        wire = _redactor(os.environ.get("RUNWARE_API_KEY", "")).clean(item if failed else _error_in(item))
        error = error_from_wire(wire, task_type=_text(item.get("taskType")), task_uuid=task_uuid)
        return Delivery(
            task_uuid=task_uuid,
            task_type=error.task_type,
            error=error,
            key=f"{task_uuid.lower()}:error:{name or _digest(wire)}",
            raw=wire,
        )
    task_type = _text(item.get("taskType"))
    if said is Meaning.RUNNING:
        key = f"{task_uuid.lower()}:running:{_digest(item)}"
        return Delivery(task_uuid=task_uuid, task_type=task_type, key=key, raw=item)
    return Delivery(
        task_uuid=task_uuid,
        task_type=task_type,
        result=structure(item, class_for(item)),
        key=f"{task_uuid.lower()}:{name or _digest(item)}",
        raw=item,
    )


def _meaning_of(item: Item) -> Meaning:
    said = meaning(item, Completion.RESULTS)
    if (
        said is Meaning.RESULT
        and item.get("status") != "success"
        and identity(item) is None
        and isinstance(item.get("code"), str)
        and isinstance(item.get("message"), str)
    ):
        return Meaning.ERROR  # the error itself, without a word around it
    return said


def _error_in(item: Item) -> Item:
    """Return the error object of an item whose result has failed."""
    found = item.get("error")
    if isinstance(found, list):
        found = next((one for one in found if isinstance(one, dict)), None)
    if isinstance(found, dict):
        return found
    return {"code": "taskFailed", "message": _text(found), **item}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _digest(item: Item) -> str:
    text = json.dumps(item, sort_keys=True, default=str)  # ASCII, so that a lone surrogate does no harm
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _redactor(api_key: str) -> Redactor:
    return Redactor([api_key] if api_key else ())
