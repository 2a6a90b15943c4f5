"""The exception hierarchy, and the table that maps server error codes to it (docs/protocol.md, section 6).

RunwareError
├── ConfigurationError (ValueError)          an option is invalid; nothing was sent
├── UsageError (TypeError)                   a call is written wrongly, such as an unknown parameter
├── ClientClosedError                        the client was closed, or belongs to another process
├── WrongThreadError (RuntimeError)          a blocking call on one of the client's own threads
├── ConnectionFailedError (ConnectionError)  no connection could be made; nothing was sent
├── ConnectionLostError (ConnectionError)    the connection was lost; see may_have_run
├── TaskTimeoutError (TimeoutError)          the deadline of the call passed
├── TaskCancelledError (CancelledError)      the caller cancelled the call
├── PayloadTooLargeError (ValueError)        a message exceeds the size limit
├── DownloadError                            a result could not be downloaded
│   └── OverwriteError (FileExistsError)     a file is there already, and overwrite is not set
├── StoreError                               the store cannot be opened, read or written
├── BudgetExceededError                      the task might exceed the budget; it was not sent
├── WebhookError (ValueError)                what was posted to a webhook cannot be read
│   └── WebhookTokenError                    the token in a webhook's URL is missing, changed or expired
└── TaskError                                the task was rejected or failed
    ├── IncompleteResultsError               some results arrived, some failed
    ├── AnswerFormatError (ValueError)       an answer does not fit the response_type of its chat
    ├── ToolRoundsError                      a model goes on calling tools beyond the limit
    ├── ValidationError (ValueError)         a parameter is invalid
    ├── AuthenticationError                  the API key was rejected
    ├── InsufficientCreditsError             the account has no credits left
    ├── RateLimitError                       too many requests; retryable
    ├── ContentModerationError               blocked by moderation
    ├── NotFoundError                        unknown or expired
    ├── ConflictError                        the task_uuid is already in use
    ├── ProviderError                        the model's provider failed; retryable
    └── ServerError                          the server failed; retryable
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from runware._support.api_names import python_path
from runware._support.escaping import escape_controls, one_line

__all__ = [
    "AnswerFormatError",
    "AuthenticationError",
    "BudgetExceededError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ContentModerationError",
    "DownloadError",
    "IncompleteResultsError",
    "InsufficientCreditsError",
    "NotFoundError",
    "OverwriteError",
    "PayloadTooLargeError",
    "ProviderError",
    "RateLimitError",
    "RunwareError",
    "ServerError",
    "StoreError",
    "TaskCancelledError",
    "TaskError",
    "TaskTimeoutError",
    "ToolRoundsError",
    "UsageError",
    "ValidationError",
    "WebhookError",
    "WebhookTokenError",
    "WrongThreadError",
]


if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    class _Facts(TypedDict, total=False):
        """The keyword arguments of `RunwareError`."""

        code: str | None
        parameter: str | Sequence[str] | None
        task_type: str | None
        task_uuid: str | None
        documentation: str | None
        retryable: bool | None
        results: Sequence[Any]
        raw: Mapping[str, Any] | None


T = TypeVar("T")
E = TypeVar("E", bound="RunwareError")


class RunwareError(Exception):
    """Base class of all exceptions of this package.

    Control characters in texts are escaped, and `str(error)` is a single line, so errors are safe to print and log even
    if the server chose the words. Server messages contain neither the API key nor media.

    Attributes:
        message: Description of the error, in one or two sentences.
        code: The server's error code, such as `"invalidWidth"`; `None` if the error did not come from the server.
        parameter: Python name of the invalid parameter, also for errors of the server; a list if there are several; or
            `None`. The API's name is in `raw`.
        task_type: The API's task type, such as `"imageInference"`, or `None`.
        task_uuid: UUID of the task at the server, or `None`.
        documentation: URL with more information, or `None`.
        retryable: Whether repeating the call may succeed.
        results: Results that arrived before the failure; they have been billed.
        raw: The server's error object without keys and with long texts shortened; empty if there is none.
        attempts: UUID and outcome of each attempt made at the server, oldest first.
        may_have_run: Whether the server may run, or may have run, the task despite this error. It may then be billed;
            `rw.job(error.ref)` waits for its results.
        retry_after: Seconds for which the server asked to wait before the next attempt; `None` if it did not.
        request_id: The server's ID of the failed request, for its support; only calls of apps have one.
        index: For an error of `map`, the number of the input, from 0; else `None`.
        input: For an error of `map`, the input as plain data, without media and long texts; else `None`. It may hold a
            prompt, which `str` and `repr` do not show.
    """

    retryable: bool = False
    request_id: str | None = None
    may_have_run: bool = False
    retry_after: float | None = None
    index: int | None = None
    input: object = None
    default_code: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        parameter: str | Sequence[str] | None = None,
        task_type: str | None = None,
        task_uuid: str | None = None,
        documentation: str | None = None,
        retryable: bool | None = None,
        results: Sequence[Any] = (),
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        message = escape_controls(message)
        super().__init__(message)
        self.message = message
        self.code = _word(code) or self.default_code
        whole = parameter is None or isinstance(parameter, str)
        self.parameter = _word(parameter) if whole else [_word(name) for name in parameter or ()]
        self.task_type = _word(task_type)
        self.task_uuid = _word(task_uuid)
        self.documentation = documentation
        if retryable is not None:
            self.retryable = retryable
        self.results: Sequence[Any] = results
        self.raw: Mapping[str, Any] = raw or {}
        self.attempts: Sequence[str] = ()

    def __str__(self) -> str:
        parameter = self.parameter
        facts = {
            "code": self.code,
            "parameter": parameter if parameter is None or isinstance(parameter, str) else ", ".join(parameter),
            "task": " ".join(filter(None, (self.task_type, self.task_uuid))),
            "results": f"{len(self.results)} arrived" if self.results else None,
            "input": None if self.index is None else f"number {self.index}",
        }
        known = ", ".join(f"{name}: {value}" for name, value in facts.items() if value)
        message = self.message
        if not message.isprintable():
            message = " ".join(message.split())  # a line feed would start a new line in a log
        return f"{message} ({known})" if known else message

    @property
    def ref(self) -> dict[str, str] | None:
        """Reference for `rw.job(ref)`, like `Job.ref`; `None` if the error has no task UUID."""
        if self.task_uuid is None:
            return None
        return {"task_uuid": self.task_uuid, **({"task_type": self.task_type} if self.task_type else {})}

    def restated(self, message: str) -> Self:
        """Return a copy with a different message."""
        copied = self.__copy__()
        copied.message = message
        copied.args = (message,)
        return copied

    def __copy__(self) -> Self:
        copied = _restore(type(self), self.message, self.__dict__.copy())
        copied.__cause__ = self.__cause__
        return copied

    def __reduce__(self) -> tuple[object, ...]:
        # The default protocol calls the class with `args`, without keyword-only arguments.
        return _restore, (type(self), self.message, self.__dict__.copy())


def _word(value: T) -> T | str:
    """Make a server-chosen name safe to print; return anything but a `str` unchanged."""
    return one_line(value, 200) if isinstance(value, str) else value


def _restore(cls: type[E], message: str, state: dict[str, Any]) -> E:
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class ConfigurationError(RunwareError, ValueError):
    """An option is invalid; `parameter` names it. Nothing was sent."""


class UsageError(RunwareError, TypeError):
    """A call is written wrongly: an unknown or missing parameter or option, or one by position. Nothing was sent."""

    def __str__(self) -> str:
        return self.message  # which names the parameter


class ClientClosedError(RunwareError):
    """The client was closed, or it belongs to the parent of a forked process."""


class WrongThreadError(RunwareError, RuntimeError):
    """A blocking call was made on one of the client's own threads, where it would deadlock."""


class ConnectionFailedError(RunwareError, ConnectionError):
    """No connection could be established. The call was not sent, so it cost nothing.

    Attributes:
        stage: Stage that failed: `"key"`, `"name lookup"`, `"TCP"`, `"proxy"`, `"TLS"`, `"upgrade"` or
            `"authentication"`; over HTTP, also `"request"`, which could not be written.
        host: Host and port of the server, or of the proxy.
        elapsed: Seconds from the start of the attempt to its failure.
    """

    retryable = True

    def __init__(
        self, message: str, *, stage: str = "TCP", host: str = "", elapsed: float = 0.0, **facts: Unpack[_Facts]
    ) -> None:
        super().__init__(message, **facts)
        self.stage = stage
        self.host = host
        self.elapsed = elapsed


class ConnectionLostError(RunwareError, ConnectionError):
    """The connection was lost and the outcome of the call could not be determined.

    Attributes:
        may_have_run: Whether the server may have received the task, so that it may run and be billed. If `False`,
            nothing was sent.
    """

    def __init__(self, message: str, *, may_have_run: bool = False, **facts: Unpack[_Facts]) -> None:
        super().__init__(message, **facts)
        self.may_have_run = may_have_run
        self.retryable = not may_have_run


class TaskTimeoutError(RunwareError, TimeoutError):
    """The deadline of the call passed.

    Attributes:
        may_be_running: Whether the task was sent, so that the server may still run and bill it; `rw.job(error.ref)`
            waits for its results. The same as `may_have_run`.
    """

    def __init__(self, message: str, *, may_be_running: bool = False, **facts: Unpack[_Facts]) -> None:
        super().__init__(message, **facts)
        self.may_be_running = self.may_have_run = may_be_running


class TaskCancelledError(RunwareError, CancelledError):
    """The caller cancelled the call. A task the server has accepted may still run and be billed."""


class PayloadTooLargeError(RunwareError, ValueError):
    """A message exceeds the size limit. Upload the media first and pass its UUID or URL instead."""


class DownloadError(RunwareError):
    """A result could not be downloaded or saved; its URL may have expired."""


class OverwriteError(DownloadError, FileExistsError):
    """A file exists already, and *overwrite* is not set. Nothing was downloaded.

    Attributes:
        filename: Its path.
    """

    def __init__(self, message: str, *, filename: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.errno = errno.EEXIST
        self.filename = filename


class StoreError(RunwareError):
    """The store of durable tasks cannot be opened, read or written. A task that it could not take was not sent."""


class BudgetExceededError(RunwareError):
    """The task or text might cost more than the budget has left, so it was not sent. Running ones go on.

    Attributes:
        limit: The budget in US dollars.
        spent: US dollars billed. Streams and chats that were cut off count with their estimates.
        reserved: US dollars reserved for running ones, by estimate.
        estimate: US dollars that this one may cost, by estimate; `None` if that is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        limit: float = 0.0,
        spent: float = 0.0,
        reserved: float = 0.0,
        estimate: float | None = None,
        **facts: Unpack[_Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.estimate = estimate


class WebhookError(RunwareError, ValueError):
    """What was posted to a webhook cannot be read. The message says why, and does not repeat the body.

    Attributes:
        status: The HTTP status with which to answer: 400, or 413 if the body is too large.
    """

    def __init__(self, message: str, *, status: int = 400, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.status = status


class WebhookTokenError(WebhookError):
    """The token in a webhook's URL is missing, changed or expired, so the delivery may be forged.

    Attributes:
        status: The HTTP status with which to answer: 403.
        reason: `"missing"`, `"changed"` or `"expired"`.
    """

    def __init__(self, message: str, *, reason: str = "missing", status: int = 403, **facts: Any) -> None:
        super().__init__(message, status=status, **facts)
        self.reason = reason


class TaskError(RunwareError):
    """The task was rejected or failed, at the server or in a check before sending."""


class IncompleteResultsError(TaskError):
    """Some results arrived and some failed.

    Attributes:
        results: The results that arrived. They are complete and have been billed.
        errors: Why the others are missing, one error each.
    """

    def __init__(self, message: str, *, errors: Sequence[RunwareError] = (), **facts: Unpack[_Facts]) -> None:
        super().__init__(message, **facts)
        self.errors = tuple(errors)


class AnswerFormatError(TaskError, ValueError):
    """An answer does not fit the `response_type` of its chat. It has been billed, and is among the chat's messages.

    Attributes:
        text: The answer as the model wrote it.
        answer: The whole answer, with its cost; `answer.parsed` is `None`.
    """

    def __init__(self, message: str, *, text: str = "", answer: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.text = text
        self.answer = answer


class ToolRoundsError(TaskError):
    """A model goes on calling tools after as many rounds as the chat allows (`max_rounds`).

    The tool calls of the last round were not run, and the messages say so: `chat.send(None)` lets the model go on.

    Attributes:
        answer: What the model has written and called, with its cost.
    """

    def __init__(self, message: str, *, answer: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.answer = answer


class ValidationError(TaskError, ValueError):
    """A parameter is invalid; `parameter` names it. Nothing ran and nothing was billed.

    Attributes:
        allowed: All values the model accepts for it, if they are known and listed.
        minimum: The smallest number the model accepts, or `None`.
        maximum: The largest number the model accepts, or `None`.
        problems: Every problem that a check of the request found (`runware.models.Problem`); empty for other errors.
    """

    allowed: Sequence[Any] = ()
    minimum: float | None = None
    maximum: float | None = None
    problems: Sequence[Any] = ()


class AuthenticationError(TaskError):
    """The server rejected the API key, or its permissions. Retrying does not help."""


class InsufficientCreditsError(TaskError):
    """The account has no credits left."""


class RateLimitError(TaskError):
    """The server limits the request rate."""

    retryable = True


class ContentModerationError(TaskError):
    """Moderation blocked the prompt, an input or the result."""


class NotFoundError(TaskError):
    """The model, task or media does not exist, or has expired."""


class ConflictError(TaskError):
    """The `task_uuid` is already in use."""


class ProviderError(TaskError):
    """The model's provider failed or took too long."""

    retryable = True


class ServerError(TaskError):
    """The server failed, or returned an unknown error code; with an unknown code, `retryable` is false."""

    retryable = True


# Server error codes (docs/protocol.md, section 6). The API is re-standardizing them, so codes that are not listed are
# classified by their form. An exact match wins over a form, and an earlier form over a later one.
_EXACT: dict[str, type[TaskError]] = {
    code: cls
    for cls, codes in {
        ConflictError: "conflictTaskUUID conflictTaskUUIDDuringRetries",
        AuthenticationError: (
            "unauthorized forbidden permissionDenied insufficientPermissions authenticationFailed authFailed"
            " authTimeout invalidAuthentication invalidCredentials missingAuthentication tokenExpired tokenInvalid"
            " tokenMissing tokenRevoked accountSuspended accountDisabled organizationSuspended"
            " organizationDisabled workspaceSuspended workspaceDisabled"
        ),
        InsufficientCreditsError: "paymentRequired environmentPaused",
        RateLimitError: "rateLimit rateLimitExceeded",
        ContentModerationError: (
            "contentPolicyViolation providerContentPolicyViolation sensitiveContentDetected"
            " unsafeContentDetected nsfwContentDetected promptBlocked imageBlocked moderationFailed"
            " contentModeration invalidProviderContent"
        ),
        NotFoundError: "taskCancelled taskFailedOrNotFound unknownModel",
        ProviderError: (
            "timeoutProvider timeout inferenceError processingFailed taskFailed downloadFailed uploadFailed"
            " noAvailableServer modelUnavailable modelDisabled modelNotReady mediaStorageFileCouldNotBeMoved"
        ),
        ServerError: (
            "internalServerError serviceUnavailable serverUnavailable standardError unknownError"
            " undefinedError defaultError unrecognizedResponse errorRetrievingAccountManagement"
        ),
        ValidationError: (
            "unknownParameter incompatibleParameters mismatchProviderSettingsProvider"
            " unknownProviderSettingsProvider transparentModelMismatch modelOwnershipValidationError"
            " modelAlreadyExists validationFailed"
        ),
    }.items()
    for code in codes.split()
}
_CONTAINS: tuple[tuple[str, type[TaskError]], ...] = (  # case-insensitive: `timeoutProvider` and `requestTimeout`
    ("apikey", AuthenticationError),
    ("credits", InsufficientCreditsError),
    ("quota", InsufficientCreditsError),
    ("balance", InsufficientCreditsError),
    ("ratelimit", RateLimitError),
    ("timeout", ProviderError),
)
_ENDS: tuple[tuple[str, type[TaskError]], ...] = (("NotFound", NotFoundError), ("Expired", NotFoundError))
_STARTS: tuple[tuple[str, type[TaskError]], ...] = (
    *(
        (prefix, ValidationError)
        for prefix in ("invalid", "missing", "conflict", "duplicate", "unsupported", "value", "array", "max")
    ),
    ("provider", ProviderError),
)


def class_for_code(code: str) -> type[TaskError] | None:
    """Return the exception class for a server error code; `None` if the code is unknown."""
    if cls := _EXACT.get(code):
        return cls
    for part, cls in _CONTAINS:
        if part in code.lower():
            return cls
    for suffix, cls in _ENDS:
        if code.endswith(suffix):
            return cls
    for prefix, cls in _STARTS:
        if code.startswith(prefix):
            return cls
    return ValidationError if "Conflict" in code else None


def error_from_wire(raw: Mapping[str, Any], *, task_type: str | None = None, task_uuid: str | None = None) -> TaskError:
    """Return the typed error for a server error object, tolerating missing and malformed fields.

    Args:
        raw: The error object (docs/protocol.md, section 6).
        task_type: Task type to use if the object has none.
        task_uuid: Task UUID to use if the object has none.
    """
    # The 2024 form has no code: {"error": true, "errorId": 19, "errorMessage": "Invalid api key"}.
    legacy = raw.get("errorMessage")
    code = "invalidApiKey" if raw.get("errorId") == 19 else str(raw.get("code") or "unknownError")
    parameter = raw.get("parameter")
    if isinstance(parameter, list):
        parameter = [python_path(str(name)[:200]) for name in parameter[:100]]
    elif parameter is not None:
        parameter = python_path(str(parameter)[:200])
    message = str(raw.get("message") or legacy or "The server reported an error without a message.")
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}... ({len(message)} characters)"
    documentation = _text(raw.get("documentation")) or ""
    known = class_for_code(code)
    error = (known or ServerError)(
        message,
        code=code,
        parameter=parameter,
        task_type=_text(raw.get("taskType")) or task_type,
        task_uuid=_text(raw.get("taskUUID")) or task_uuid,
        # It may be rendered as a link, so `javascript:` URLs and the like are dropped.
        documentation=one_line(documentation) if documentation.startswith(("https://", "http://")) else None,
        # The task may have run, so a retry could be billed twice (docs/protocol.md, section 6).
        retryable=None if known else False,
        raw=raw,
    )
    wait = raw.get("retryAfter")  # put there by the transport, from a header
    if isinstance(wait, (int, float)) and not isinstance(wait, bool) and 0 <= wait < 1e6:
        error.retry_after = float(wait)
    return error


_LONGEST_MESSAGE = 5000


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
