"""What a response over HTTP says: its items, and which of its errors are verdicts on the tasks of its request."""

from __future__ import annotations

from typing import Any

from runware.errors import AuthenticationError, ConnectionFailedError, TaskError, error_from_wire
from runware.protocol.call import Call
from runware.protocol.codec import loads, read_frame

__all__ = ["Response", "read_response"]

Item = dict[str, Any]

_UNDECIDED = (408, 425, 504)
"""Statuses that say that a request has waited for too long, and nothing about its tasks, which may run."""
_CODES = {
    401: ("invalidApiKey", "The server rejected the API key"),
    402: ("insufficientCredits", "The account has no credits left"),
    413: ("payloadTooLarge", "The request is larger than the server accepts"),
    429: ("rateLimitExceeded", "The server limits the request rate"),
}


class Response:
    """A response, parsed.

    Attributes:
        status: The HTTP status.
        items: The items, perhaps of several tasks.
        errors: The errors; for a refusal without any, one made from the status.
        readable: Whether the body has the form of the API's answers.
        retry_after: Seconds that the server asks to wait; `None` if it does not.
    """

    __slots__ = ("errors", "items", "readable", "retry_after", "status")

    def __init__(
        self, status: int, items: list[Item], errors: list[Item], *, readable: bool, retry_after: float | None
    ) -> None:
        self.status = status
        self.items = items
        self.errors = errors
        self.readable = readable
        self.retry_after = retry_after

    @property
    def succeeded(self) -> bool:
        """Whether it comes from the API, and is no refusal."""
        return 200 <= self.status < 300 and self.readable and not self.errors

    @property
    def is_empty(self) -> bool:
        """Whether it comes from the API, and holds nothing."""
        return self.succeeded and not self.items

    def rejection(self, errors: list[Item]) -> TaskError | None:
        """Return the error about the API key, if there is one."""
        for raw in errors:
            error = error_from_wire(raw)
            about_key = raw.get("taskType") == "authentication" or raw.get("parameter") == "apiKey"
            if self.status == 401 or (
                isinstance(error, AuthenticationError) and not _names_task(raw) and (about_key or self.status == 403)
            ):
                return error
        return None

    def verdicts(self, errors: list[Item], calls: list[Call], *, question: bool) -> list[Item]:
        """Return the errors that are verdicts on tasks, each naming its own.

        An error that names no task is about those of the request. But a 5xx without names may come from a gateway
        behind which the task runs, and so may any error that says that the request took too long: the server is asked
        then.

        Args:
            errors: The errors of this response.
            calls: The calls that the response is for.
            question: Whether it answers questions about their tasks.
        """
        mine = {call.uuid for call in calls}
        found: list[Item] = []
        wish = {} if self.retry_after is None else {"retryAfter": self.retry_after}
        for given in errors:
            raw = given | wish
            if _names_task(raw):
                if question or self.status not in _UNDECIDED or raw.get("taskUUID") not in mine:
                    found.append(raw)
            elif self.status < 500 and self.status not in _UNDECIDED and len(calls) == 1:
                (call,) = calls
                kind = call.polling.question.value if question else call.task_type
                found.append({**raw, "taskUUID": call.uuid, "taskType": raw.get("taskType") or kind})
        return found

    def no_api_error(self) -> ConnectionFailedError:
        """Make the error of a response that does not come from the API."""
        return ConnectionFailedError(
            f"The server answered with HTTP {self.status}, and not as the API does.", stage="authentication"
        )


def read_response(status: int, body: bytes, retry_after: float | None = None) -> Response:
    """Parse a response, whatever it is.

    Args:
        status: The HTTP status.
        body: The body.
        retry_after: Seconds that the server asks to wait; `None` if it does not.
    """
    items: list[Item] = []
    errors: list[Item] = []
    readable = True
    try:
        items, errors = read_frame(body)
        if not items and not errors:
            message = loads(body)
            readable = isinstance(message, dict) and message.get("data") == []
    except ValueError:
        readable = False
    if not items and not errors and 300 <= status < 500 and status not in _UNDECIDED:
        code, message = _CODES.get(status, (f"http{status}", "The server refused the request"))
        advice = " Check the client's url." if status in (301, 302, 303, 307, 308, 404, 405) else ""
        errors = [{"code": code, "message": f"{message} (HTTP {status}).{advice}"}]
    return Response(status, items, errors, readable=readable, retry_after=retry_after)


def _names_task(raw: Item) -> bool:
    return isinstance(raw.get("taskUUID"), str) and bool(raw["taskUUID"])
