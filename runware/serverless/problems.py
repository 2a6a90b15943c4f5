"""Errors from the answers of apps: problem details of RFC 9457, and failed tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runware._support.escaping import one_line
from runware.errors import (
    AuthenticationError,
    ConflictError,
    InsufficientCreditsError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskError,
    ValidationError,
)
from runware.serverless.results import AppTask

__all__ = ["TASK_TYPE", "failed_task_error", "problem_error"]

TASK_TYPE = "serverless"
"""What errors have as their `task_type`. It is no task type of the API."""

_BY_STATUS: dict[int, type[RunwareError]] = {
    400: ValidationError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: ValidationError,
    429: RateLimitError,
}
_TEMPORARY = frozenset((408, 425, 429, 500, 502, 503, 504))
_PAUSED = "environment-paused"
_MOST_FIELDS = 20


def problem_error(status: int, problem: Any, request_id: str | None, task_id: str | None) -> RunwareError:
    """Return the error for an answer that is no success.

    Args:
        status: Its HTTP status.
        problem: Its parsed body, without secrets; anything else than an object counts as none.
        request_id: Its `X-Request-Id` header.
        task_id: The task, if the request was about one.
    """
    body: Mapping[str, Any] = problem if isinstance(problem, Mapping) else {}
    kind = _text(body, "type") or ""
    code = kind.rpartition("#")[2].rpartition("/")[2] or None
    fields = _fields(body.get("errors"))
    about = _text(body, "detail") or _text(body, "title") or f"The server answered with HTTP status {status}."
    named = [f"{name} {detail}" if name else detail for name, detail in fields]
    message = " ".join((_sentence(about), *(map(_sentence, named))))
    request_id = _text(body, "requestId") or request_id
    paused = code == _PAUSED
    # The environment has used up its budget. That holds until the budget is raised or the month turns.
    cls = InsufficientCreditsError if paused else _BY_STATUS.get(status, ServerError if status >= 500 else TaskError)
    parameters = [name for name, _ in fields if name]
    error = cls(
        message,
        code=code,
        parameter=parameters[0] if len(parameters) == 1 else parameters or None,
        task_type=TASK_TYPE,
        task_uuid=task_id,
        documentation=one_line(kind) if kind.startswith(("https://", "http://")) else None,
        retryable=status in _TEMPORARY and not paused,
        raw=body or {"status": status},
    )
    error.request_id = one_line(request_id, 200) if request_id else None
    return error


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def _sentence(text: str) -> str:
    text = one_line(text.strip())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _fields(errors: Any) -> Sequence[tuple[str, str]]:
    """Return the name of each field that the server rejects, as Python code has it, and why."""
    return [
        (_name(_text(error, "pointer") or ""), _text(error, "detail") or "is invalid")
        for error in (errors[:_MOST_FIELDS] if isinstance(errors, list) else ())
        if isinstance(error, Mapping)
    ]


def _name(pointer: str) -> str:
    """Return the Python name of a JSON pointer into the body: `#/payload/images/0` is `images[0]`."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("#").split("/")[1:]]
    if parts == ["taskId"]:
        return "task_id"
    if parts[:1] == ["payload"] and len(parts) > 1:
        del parts[0]
    return re.sub(r"\.(?=\[)", "", ".".join(f"[{part}]" if part.isdecimal() else part for part in parts))


def failed_task_error(task: AppTask, error: Any) -> TaskError:
    """Return the error of a task that ran and failed. The task is in `results` if it left an output.

    Args:
        task: The task.
        error: What the server says of the failure, without secrets: a text, an object, or nothing.
    """
    content: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    words = error if isinstance(error, str) else next(filter(None, (_text(content, name) for name in _WORDS)), "")
    code = next(filter(None, (_text(content, name) for name in ("code", "type"))), None)
    failure = TaskError(
        f"The app failed: {_sentence(words)}" if words else "The app failed, and the server does not say why.",
        code=code,
        task_type=TASK_TYPE,
        task_uuid=task.id,
        results=() if task.output is None else (task,),
        raw=content or {"error": error},
    )
    failure.may_have_run = True
    return failure


_WORDS = ("message", "detail", "title", "error")
