"""The tree of errors, and the table that maps server codes to it."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from runware import errors
from runware._support.api_names import python_name
from runware.errors import (
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    ContentModerationError,
    IncompleteResultsError,
    InsufficientCreditsError,
    NotFoundError,
    ProviderError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskError,
    ValidationError,
    error_from_wire,
)
from runware.results import Image

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, RunwareError)]

CODES = {
    ValidationError: "invalidPositivePrompt invalidPositivePromptLength missingPositivePrompt invalidCustomHeight "
    "invalidWidth invalidModel missingParameter unsupportedParameter unsupportedTaskType unsupportedDuration "
    "valueTooLarge arrayTooSmall duplicatePreloadModelAIR maxLycorisModelsExceeded unknownParameter "
    "incompatibleParameters mismatchProviderSettingsProvider unknownProviderSettingsProvider "
    "transparentModelMismatch modelOwnershipValidationError modelAlreadyExists validationFailed someConflictHere",
    ConflictError: "conflictTaskUUID",
    AuthenticationError: "invalidApiKey missingApiKey unauthorized forbidden permissionDenied "
    "insufficientPermissions authenticationFailed authFailed authTimeout invalidAuthentication invalidCredentials "
    "missingAuthentication tokenExpired tokenInvalid tokenMissing tokenRevoked accountSuspended accountDisabled "
    "organizationSuspended organizationDisabled workspaceSuspended workspaceDisabled",
    InsufficientCreditsError: "insufficientCredits quotaExceeded insufficientBalance paymentRequired "
    "environmentPaused monthlyQuotaReached",
    RateLimitError: "rateLimitExceeded rateLimit providerRateLimit",
    ContentModerationError: "contentPolicyViolation providerContentPolicyViolation sensitiveContentDetected "
    "unsafeContentDetected nsfwContentDetected promptBlocked imageBlocked moderationFailed invalidProviderContent "
    "contentModeration",
    NotFoundError: "modelNotFound taskNotFound mediaNotFound providerNotFound taskExpired mediaExpired "
    "taskCancelled taskFailedOrNotFound unknownModel",
    ProviderError: "providerTimeout providerGatewayTimeout webhookTimeout requestTimeout timeout timeoutProvider "
    "providerInternalError inferenceError processingFailed taskFailed downloadFailed uploadFailed "
    "noAvailableServer modelUnavailable modelDisabled modelNotReady mediaStorageFileCouldNotBeMoved",
    ServerError: "internalServerError serviceUnavailable serverUnavailable standardError unknownError "
    "undefinedError defaultError unrecognizedResponse errorRetrievingAccountManagement somethingNew",
}
CODES[AuthenticationError] += " apiKeyRevoked"
CODES[InsufficientCreditsError] += " creditsExhausted balanceTooLow"


@pytest.mark.parametrize(("cls", "code"), [(cls, code) for cls, codes in CODES.items() for code in codes.split()])
def test_every_server_code_has_its_class(cls: type[TaskError], code: str) -> None:
    error = error_from_wire({"code": code, "message": "It says so."})
    assert type(error) is cls
    assert error.code == code
    assert error.retryable is (cls in (RateLimitError, ProviderError, ServerError) and code != "somethingNew")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_survive_pickle_and_copy(cls: type[RunwareError]) -> None:
    error = cls(
        "What happened.",
        code="someCode",
        parameter=["width", "height"],
        task_type="imageInference",
        task_uuid="u",
        documentation="https://runware.ai/docs",
        results=[Image(uuid="i", raw={"imageUUID": "i"})],
        raw={"min": 1},
    )
    error.attempts = ("a: rateLimit",)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is cls
        assert again is not error
        assert again.__dict__ == error.__dict__
        assert str(again) == str(error)
        assert again.args == ("What happened.",)


def test_copied_error_keeps_its_cause() -> None:
    error = ConnectionFailedError("no", stage="TCP")
    error.__cause__ = OSError("refused")
    assert copy.copy(error).__cause__ is error.__cause__


def fail(error: RunwareError) -> None:
    raise error


def test_errors_cross_processes() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(ConnectionLostError) as caught:
        pool.submit(fail, ConnectionLostError("gone", may_have_run=True, task_uuid="u")).result(30)
    assert caught.value.may_have_run
    assert caught.value.task_uuid == "u"


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.ConnectionFailedError, ConnectionError),
        (errors.ConnectionLostError, ConnectionError),
        (errors.TaskTimeoutError, TimeoutError),
        (errors.ValidationError, ValueError),
        (errors.WrongThreadError, RuntimeError),
        (errors.IncompleteResultsError, TaskError),
    ],
)
def test_errors_derive_from_the_builtin_ones_that_python_code_catches(
    cls: type[RunwareError], base: type[Exception]
) -> None:
    assert issubclass(cls, base)


def drawn_tree(text: str) -> dict[str, tuple[str | None, str | None, str]]:
    """Parse a tree drawn with lines: for each name its parent, its other base, and the text beside it."""
    found: dict[str, tuple[str | None, str | None, str]] = {}
    above: list[str] = []
    for line in text.splitlines():
        drawn = re.fullmatch(r"((?:[│ ]   )*)(?:[├└]── )?(\w+Error)(?: \((\w+)\))? *(.*)", line)
        if drawn is None or (not above and drawn[2] != "RunwareError"):
            continue
        level = len(drawn[1]) // 4 + 1 if "── " in line else 0
        del above[level:]
        assert len(above) == level, f"{drawn[2]} hangs from nothing"
        found[drawn[2]] = (above[-1] if above else None, drawn[3], drawn[4])
        above.append(drawn[2])
    return found


def test_tree_in_the_docstring_is_the_class_tree() -> None:
    assert errors.__doc__ is not None
    tree = drawn_tree(errors.__doc__)
    assert set(tree) == {cls.__name__ for cls in CLASSES} == set(errors.__all__)
    for cls in CLASSES:
        parent, other, words = tree[cls.__name__]
        ours, *builtin = [base for base in cls.__bases__ if base is not Exception] or [None]
        assert parent == (ours and ours.__name__)
        assert other == (builtin[0].__name__ if builtin else None)
        if cls is not ConnectionFailedError:  # retried as a connection, not as a task
            assert ("retryable" in words) is cls.retryable


def test_lines_of_the_tree_in_the_docstring_join() -> None:
    assert errors.__doc__ is not None
    tree = drawn_tree(errors.__doc__)

    def draw(name: str, margin: str) -> Iterator[str]:
        below = [child for child, (parent, _, _) in tree.items() if parent == name]
        for child in below:
            last = child == below[-1]
            yield f"{margin}{'└' if last else '├'}── {child}"
            yield from draw(child, margin + ("    " if last else "│   "))

    drawn = [line for line in errors.__doc__.splitlines() if "── " in line]
    for line, expected in zip(drawn, draw("RunwareError", ""), strict=True):
        assert line.startswith(expected)


def test_message_has_code_parameter_and_task() -> None:
    error = error_from_wire(
        {"code": "invalidDimensions", "message": "Area out of range.", "parameter": ["width", "height"], "min": 1},
        task_type="imageInference",
        task_uuid="u",
    )
    assert str(error) == (
        "Area out of range. (code: invalidDimensions, parameter: width, height, task: imageInference u)"
    )
    assert error.raw["min"] == 1


@pytest.mark.parametrize("raw", [{}, {"code": 7, "message": None}, {"parameter": 3, "taskUUID": []}], ids=str)
def test_malformed_error_objects_become_task_errors(raw: dict[str, Any]) -> None:
    assert isinstance(error_from_wire(raw), TaskError)


def test_parameters_that_a_server_names_take_no_memory_without_end() -> None:
    for number in range(10_000):
        assert error_from_wire({"parameter": f"someName${number}"}).parameter == f"someName${number}"
    assert python_name.cache_info().currsize < 10_000


def test_incomplete_results_error_has_the_errors_and_counts_the_results() -> None:
    inner = ProviderError("upstream")
    error = IncompleteResultsError("1 of 2", errors=[inner], results=[Image(uuid="i")])
    assert error.errors == (inner,)
    assert "1 arrived" in str(error)
