"""Answers to questions about tasks: getResponse and getTaskDetails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runware.local.validation import Rejected

if TYPE_CHECKING:
    from runware.local.jobs import Job
    from runware.local.state import State

__all__ = ["details", "finished_items", "poll"]


def _unknown() -> Rejected:
    return Rejected("taskNotFound", "No such task.", "taskUUID", type="string")


def poll(state: State, task: dict[str, Any], progress: int, *, http: bool) -> dict[str, Any]:
    """Answer a getResponse.

    Args:
        state: What the server shares.
        task: The getResponse task.
        progress: How far the job is, in per cent.
        http: Whether the question came over HTTP.

    Returns:
        A frame.
    """
    job = state.jobs.get(task["taskUUID"])
    switches = state.switches
    if job is None or (job.delivery == "sync" and not switches.sync_polls):
        empty = switches.q6 == "empty" or (switches.q6 == "auto" and http)
        return {"data": []} if empty else {"errors": [_unknown().wire(task)]}
    frame = _failed(state, job) if job.failure is not None else _running(state, job, progress)
    if switches.q17 == "getResponse":
        frame["data"] = [{**item, "taskType": "getResponse"} for item in frame["data"]]
    return frame


def _poll_error(error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "status": "error"}


def _failed(state: State, job: Job) -> dict[str, Any]:
    assert job.failure is not None
    good = finished_items(job)
    if state.switches.q7 == "item":
        return {"data": [*good, _error_item(job, job.failure)]}
    return {"data": good, "errors": [_poll_error(job.failure)]}


def _error_item(job: Job, error: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in error.items() if name not in ("taskType", "taskUUID")}
    return {**job.head, "status": "error", "error": shown}


def finished_items(job: Job) -> list[dict[str, Any]]:
    """The finished results of a job, as a poll shows them."""
    if job.spec.statuses:
        return [job.items[max(job.items)]] if job.items else []
    return [{**job.items[index], "status": "success"} for index in sorted(job.items)]


def _running(state: State, job: Job, progress: int) -> dict[str, Any]:
    if job.spec.statuses:
        return {"data": finished_items(job) or [{**job.head, "status": "processing"}]}
    as_errors = state.switches.q7 == "errors" or (state.switches.q7 == "mixed" and len(job.errors) >= job.count)
    data: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    waiting = 0
    for index in range(job.count):
        if index in job.items:
            data.append({**job.items[index], "status": "success"})
        elif index in job.errors:
            if as_errors:
                errors.append(_poll_error(job.errors[index]))
            else:
                data.append(_error_item(job, job.errors[index]))
        else:
            waiting += 1
            if state.switches.q9 == "all" or (state.switches.q9 == "one" and waiting == 1):
                item = {**job.head, "status": "processing"}
                data.append(item | {"progress": progress} if waiting == 1 else item)
    frame: dict[str, Any] = {"data": data}
    if errors:
        frame["errors"] = errors
    return frame


def details(state: State, task: dict[str, Any]) -> dict[str, Any]:
    """Answer a getTaskDetails.

    Raises:
        Rejected: The task was never executed.
    """
    job = state.jobs.get(task["taskUUID"])
    if job is None or job.dry or (state.switches.running_details == "unknown" and not job.done):
        raise _unknown()
    items = [job.items[index] for index in sorted(job.items)]
    errors = [job.failure] if job.failure is not None else [job.errors[index] for index in sorted(job.errors)]
    response: Any
    if state.switches.task_details == "array":
        response = [{"data": items, **({"error": errors[0]} if errors else {})}]
    elif errors and not items:
        response = {"errors": errors}
    else:
        response = {"data": items, **({"errors": errors} if errors else {})}
    answer = {"taskType": "getTaskDetails", "taskUUID": job.uuid, "request": [job.task], "response": response}
    return {"data": [answer]}
