"""The errors of calls whose outcome the server has not reported, with true statements about what may be billed."""

from __future__ import annotations

import copy

from runware.errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    IncompleteResultsError,
    RunwareError,
    TaskError,
    TaskTimeoutError,
)
from runware.protocol.call import Call, CallState, Completion

__all__ = [
    "at_the_server",
    "before_it_was_sent",
    "client_closed",
    "connection_is_gone",
    "incomplete",
    "key_rejected",
]


def at_the_server(call: Call, unattributed_error: str | None) -> RunwareError | None:
    """Make the error of a call whose deadline came while the server had its task, or may have had it.

    Args:
        call: The call.
        unattributed_error: The code of the last error that named no task.

    Returns:
        The error; `None` for a call that the server cannot have.
    """
    if call.completion is Completion.CONNECTION or call.state is CallState.UNRECORDED:
        return _followed_elsewhere(call)
    limit = _limit(call)
    if call.failures and call.may_run and not call.repeatable:
        last = call.failures[-1]
        error = last.restated(
            f"{last.message} This is the error of {_number(len(call.failures), 'result')} of {call.expected}; the "
            f"others did not arrive within {limit}. They may still run and be billed."
        )
        error.retryable = False
        error.may_have_run = True
        return incomplete(call, error) if call.items else error
    if call.state is CallState.RECOVERING or (call.may_have_run and not call.may_run):
        return ConnectionLostError(
            f"The connection was lost, and the outcome of the task is still unknown after {limit}. "
            "The server may have run and billed it.",
            may_have_run=True,
        )
    if call.may_run and call.repeatable:
        empty = (
            " It answered with nothing, which may mean that it does not know the task."
            if call.polling.empty_answer
            else ""
        )
        return TaskTimeoutError(f"No answer within {limit}.{empty} The task only reads, so it can be repeated.")
    if call.may_run:
        hint = (
            f" The server reported an error without naming a task: {unattributed_error}." if unattributed_error else ""
        )
        return TaskTimeoutError(
            f"No result within {limit}. The task was sent, so the server may still run and bill it; "
            f"rw.job(task_uuid) waits for its results.{hint}",
            may_be_running=True,
        )
    return None


def before_it_was_sent(call: Call, where: str, unreached: ConnectionFailedError | None) -> RunwareError:
    """Make the error of a call whose deadline came before its task was sent, or before its next attempt was.

    Args:
        call: The call.
        where: How far the attempt to connect is, as the end of a sentence.
        unreached: Why there is no connection; `None` if there is one.
    """
    limit = _limit(call)
    if call.items:
        return TaskTimeoutError(
            f"{len(call.items)} of {call.expected} results arrived within {limit}, and are in `results`; they may be "
            f"billed. The missing ones could not be requested again in time{where}."
        )
    if call.attempts:
        return TaskTimeoutError(
            f"The server failed {_number(len(call.attempts), 'attempt')} ({call.attempts[-1]}), and the task could not "
            f"be sent again within {limit}{where}.",
            retryable=True,
        )
    if call.state is CallState.UNRECORDED:
        return TaskTimeoutError(
            f"The task could not be written to the store within {limit}, so it was not sent. Nothing was billed.",
            retryable=True,
        )
    if unreached is not None:
        return copy.copy(unreached)
    if call.completion is Completion.CONNECTION:
        return TaskTimeoutError(f"The connection was not ready within {limit}{where}.", retryable=True)
    return TaskTimeoutError(f"The task could not be sent within {limit}{where}. Nothing was billed.", retryable=True)


def _followed_elsewhere(call: Call) -> TaskTimeoutError | None:
    """Make the error of a call that waited for a task which another client, or call, has sent; `None` for others."""
    if not (call.may_have_run or call.completion is Completion.EXISTING):
        return None
    return TaskTimeoutError(
        f"No outcome within {_limit(call)} of a task that another client or call has sent. The server may still run "
        "and bill it; rw.job(task_uuid) waits for its results.",
        may_be_running=True,
    )


def incomplete(call: Call, error: RunwareError) -> IncompleteResultsError:
    """Make the error of a call with some results, from the error of those that are missing."""
    whole = IncompleteResultsError(
        f"{len(call.items)} of {call.expected} results arrived; the rest failed: {error.message}",
        errors=[*call.failures] or [error],
        code=error.code,
        parameter=error.parameter,
        documentation=error.documentation,
        raw=error.raw,
    )
    whole.may_have_run = error.may_have_run
    return whole


def client_closed(call: Call) -> ClientClosedError:
    """Make the error of a call that ends because the client is closed."""
    sent = " Its task was sent, so the server may still run and bill it." if call.may_have_run else ""
    error = ClientClosedError(f"The client was closed while the call was running.{sent}")
    error.may_have_run = call.may_have_run
    return error


def key_rejected(call: Call, error: TaskError) -> TaskError:
    """Make the error of a call that ends because the key was rejected."""
    if not call.may_have_run:
        return copy.copy(error)
    restated = error.restated(
        f"{error.message} The call's task was sent before, and its outcome cannot be looked up: the server may run and "
        "bill it."
    )
    restated.may_have_run = True
    return restated


def connection_is_gone(call: Call, error: RunwareError) -> RunwareError:
    """Make the error of a call that ends because no further attempt to connect can succeed."""
    if not call.may_have_run:
        return copy.copy(error)
    lost = ConnectionLostError(
        f"The connection was lost, and a new one cannot be established: {error.message} The outcome of the task is "
        "unknown; the server may have run and billed it.",
        may_have_run=True,
    )
    lost.__cause__ = error
    return lost


def _limit(call: Call) -> str:
    return f"{call.deadline - call.started:g} s"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
