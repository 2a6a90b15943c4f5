"""What can go wrong, as a tree of exceptions, and the one table from server codes to them.

RunwareError
├── ConfigurationError (ValueError)          an option cannot work; nothing was sent
├── ClientClosedError                        the client was closed, or belongs to another process
├── WrongThreadError (RuntimeError)          a blocking call on one of the client's own threads
├── ConnectionFailedError (ConnectionError)  no connection could be made; nothing was sent
├── ConnectionLostError (ConnectionError)    the connection was lost; may_have_run says what that means
├── TaskTimeoutError (TimeoutError)          the time for the call was up
├── TaskCancelledError (CancelledError)      the caller cancelled
├── PayloadTooLargeError (ValueError)        a message is above the size limit
├── DownloadError                            a result could not be fetched or saved
└── TaskError                                the server, or a check before sending, refused the task or it failed
    ├── IncompleteResultsError               some results came, some failed
    ├── ValidationError (ValueError)         a parameter is wrong
    ├── AuthenticationError                  the API key is rejected
    ├── InsufficientCreditsError             no credits are left
    ├── RateLimitError                       too many requests; retryable
    ├── ContentModerationError               moderation blocked it
    ├── NotFoundError                        unknown or expired
    ├── ConflictError                        the task_uuid is in use
    ├── ProviderError                        the model's provider failed; retryable
    └── ServerError                          the server failed; retryable
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, ClassVar, Self, TypeVar

from runware._support.escaping import escape_controls, one_line

__all__ = [
    "AuthenticationError",
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
    "PayloadTooLargeError",
    "ProviderError",
    "RateLimitError",
    "RunwareError",
    "ServerError",
    "TaskCancelledError",
    "TaskError",
    "TaskTimeoutError",
    "ValidationError",
    "WrongThreadError",
]


E = TypeVar("E", bound="RunwareError")


class RunwareError(Exception):
    """Base of everything this package raises.

    Control characters are escaped in everything it says, and its text is one line, so that it can be printed and
    logged whoever chose the words. What the server said comes without the API key and without media.

    Attributes:
        message: What happened, in one or two sentences.
        code: The server's own code (`"invalidWidth"`), or `None` when it did not come from the server.
        parameter: The wire or Python name of the parameter at fault, several as a list, or `None`.
        task_type: The wire's task type (`"imageInference"`), or `None`.
        task_uuid: The UUID the task had at the server, or `None`.
        documentation: An address to read more at, or `None`.
        retryable: Whether the same call may work when it is tried again.
        results: What had arrived before the failure; it has been paid for.
        raw: The server's error object, as it came, but without keys and with long texts shortened; empty when there
            is none.
        attempts: UUID and outcome of each attempt that was made at the server, oldest first.
        may_have_run: Whether the server may run the task, or may have run it, although this error ends the call. It may
            be billed then, and `rw.job(error.ref)` waits for what comes of it.
    """

    retryable: bool = False
    may_have_run: bool = False
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
        }
        known = ", ".join(f"{name}: {value}" for name, value in facts.items() if value)
        message = self.message
        if not message.isprintable():
            message = " ".join(message.split())  # a line feed would start a line of its own in a log
        return f"{message} ({known})" if known else message

    @property
    def ref(self) -> dict[str, str] | None:
        """What `rw.job(ref)` picks the task up with, like `Job.ref`; `None` for an error that names no task."""
        if self.task_uuid is None:
            return None
        return {"task_uuid": self.task_uuid, **({"task_type": self.task_type} if self.task_type else {})}

    def restated(self, message: str) -> Self:
        """Return a copy with another message."""
        copied = self.__copy__()
        copied.message = message
        copied.args = (message,)
        return copied

    def __copy__(self) -> Self:
        copied = _restore(type(self), self.message, self.__dict__.copy())
        copied.__cause__ = self.__cause__
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default protocol, which calls the class with `args`.
        return _restore, (type(self), self.message, self.__dict__.copy())


def _word(value: Any) -> Any:
    """Make a name that the server may have chosen safe to print; what is no text stays as it is."""
    return one_line(value, 200) if isinstance(value, str) else value


def _restore(cls: type[E], message: str, state: dict[str, Any]) -> E:
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class ConfigurationError(RunwareError, ValueError):
    """An option cannot work. `parameter` names it. Nothing was sent."""


class ClientClosedError(RunwareError):
    """The client was closed, or the process that owned it was forked."""


class WrongThreadError(RunwareError, RuntimeError):
    """A blocking call was made on one of the client's own threads, where it could never end."""


class ConnectionFailedError(RunwareError, ConnectionError):
    """No connection could be made. Nothing of the call was sent, so it cost nothing.

    Attributes:
        stage: Where it failed: `"key"`, `"name lookup"`, `"TCP"`, `"proxy"`, `"TLS"`, `"upgrade"` or
            `"authentication"`.
        host: The host and port that was tried, or that of the proxy.
        elapsed: Seconds from the start of the attempt to its failure.
    """

    retryable = True

    def __init__(self, message: str, *, stage: str = "TCP", host: str = "", elapsed: float = 0.0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.stage = stage
        self.host = host
        self.elapsed = elapsed


class ConnectionLostError(RunwareError, ConnectionError):
    """The connection went away and the outcome of the call could not be learned.

    Attributes:
        may_have_run: Whether the server may have the task, so that it may run and be billed. When it is
            `False`, nothing of it was sent.
    """

    def __init__(self, message: str, *, may_have_run: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.may_have_run = may_have_run
        self.retryable = not may_have_run


class TaskTimeoutError(RunwareError, TimeoutError):
    """The time for the call was up.

    Attributes:
        may_be_running: Whether the task was sent, so that the server may still work on it and bill it: wait for it with
            `rw.job(error.ref)`. `may_have_run` is the same.
    """

    def __init__(self, message: str, *, may_be_running: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.may_be_running = self.may_have_run = may_be_running


class TaskCancelledError(RunwareError, CancelledError):
    """The caller cancelled. Work that the server had accepted may still run and be billed."""


class PayloadTooLargeError(RunwareError, ValueError):
    """A message is above the size cap. Store the media first and send its UUID or URL instead."""


class DownloadError(RunwareError):
    """A result could not be fetched or saved; its `url` may have expired."""


class TaskError(RunwareError):
    """The task was refused or failed: the server said so, or a check did before anything was sent."""


class IncompleteResultsError(TaskError):
    """Some of the results came and some failed.

    Attributes:
        results: Those that came. They are complete, and paid for.
        errors: Why the others did not, one error each.
    """

    def __init__(self, message: str, *, errors: Sequence[RunwareError] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.errors = tuple(errors)


class ValidationError(TaskError, ValueError):
    """A parameter is wrong. `parameter` names it; nothing ran and nothing was billed."""


class AuthenticationError(TaskError):
    """The server does not accept the API key, or what it may do. Trying again does not help."""


class InsufficientCreditsError(TaskError):
    """The account has no credits left."""


class RateLimitError(TaskError):
    """The server asks for a slower pace."""

    retryable = True


class ContentModerationError(TaskError):
    """The prompt, an input or the result was blocked by moderation."""


class NotFoundError(TaskError):
    """The model, task or media does not exist, or has expired."""


class ConflictError(TaskError):
    """The `task_uuid` is in use already."""


class ProviderError(TaskError):
    """The model's provider failed or took too long."""

    retryable = True


class ServerError(TaskError):
    """The server failed; or it answered with a code that is not known, and then `retryable` is false."""

    retryable = True


# The server's codes (protocol reference, section 6.2). They are being re-standardised, so what is not listed
# is recognised by its form; an exact row wins over a form, and an earlier form over a later one.
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
_CONTAINS: tuple[
    tuple[str, type[TaskError]], ...
] = (  # in any case: `timeoutProvider` is as much one as `requestTimeout`
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
    """Tell which class a server code belongs to; `None` for one that nothing is known of."""
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
    """Make the typed error for a server's error object, whatever of it is missing or odd.

    Args:
        raw: The object as it came (protocol reference, section 6.1).
        task_type: The task type to report when the object has none.
        task_uuid: The task UUID to report when the object has none.
    """
    # The 2024 form has no code: {"error": true, "errorId": 19, "errorMessage": "Invalid api key"}.
    legacy = raw.get("errorMessage")
    code = "invalidApiKey" if raw.get("errorId") == 19 else str(raw.get("code") or "unknownError")
    parameter = raw.get("parameter")
    if not (parameter is None or isinstance(parameter, str)):
        parameter = [str(name) for name in parameter[:100]] if isinstance(parameter, list) else str(parameter)
    message = str(raw.get("message") or legacy or "The server reported an error without a message.")
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}... ({len(message)} characters)"
    documentation = _text(raw.get("documentation")) or ""
    known = class_for_code(code)
    return (known or ServerError)(
        message,
        code=code,
        parameter=parameter,
        task_type=_text(raw.get("taskType")) or task_type,
        task_uuid=_text(raw.get("taskUUID")) or task_uuid,
        # Something may link it: `javascript:` is no place to read.
        documentation=one_line(documentation) if documentation.startswith(("https://", "http://")) else None,
        # What may have happened is not known, so that trying again might buy it again (section 6.2 has it so too).
        retryable=None if known else False,
        raw=raw,
    )


_LONGEST_MESSAGE = 5000


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
