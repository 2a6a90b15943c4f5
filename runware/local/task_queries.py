"""Answer the queries about tasks: getResponse and getTaskDetails."""

from __future__ import annotations

from typing import Any

from runware.local.state import ServerState
from runware.local.task_run import TaskRun
from runware.local.validation import ApiError

__all__ = ["answer_details", "answer_poll", "finished_items"]


def _task_not_found() -> ApiError:
    return ApiError("taskNotFound", "No such task.", "taskUUID", type="string")


def answer_poll(state: ServerState, task: dict[str, Any], progress: int, *, http: bool) -> dict[str, Any]:
    """Answer a getResponse.

    Args:
        state: The state of the server.
        task: The getResponse task.
        progress: The progress of the task in per cent.
        http: Whether the query came over HTTP.

    Returns:
        A frame.
    """
    run = _known_run(state, task)
    switches = state.switches
    if run is None or (run.delivery == "sync" and not switches.sync_polls):
        empty = switches.q6 == "empty" or (switches.q6 == "auto" and http)
        return {"data": []} if empty else {"errors": [_task_not_found().to_object(task)]}
    frame = _unfinished_or_done(state, run, progress) if run.failure is None else _failed(state, run, run.failure)
    if switches.q17 == "getResponse":
        frame["data"] = [{**item, "taskType": "getResponse"} for item in frame["data"]]
    return frame


def _known_run(state: ServerState, task: dict[str, Any]) -> TaskRun | None:
    """Return the task that a query is about; `None` if the server does not have it, or not any more."""
    run = state.runs.get(task["taskUUID"])
    if run is not None and state.switches.p7 == "unknown" and run.task.get("deliveryMethod") == "stream":
        return None
    return run


def _failed(state: ServerState, run: TaskRun, failure: dict[str, Any]) -> dict[str, Any]:
    finished = finished_items(run)
    if state.switches.q7 == "item":
        return {"data": [*finished, _error_item(run, failure)]}
    return {"data": finished, "errors": [_poll_error(failure)]}


def _poll_error(error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "status": "error"}


def _error_item(run: TaskRun, error: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in error.items() if name not in ("taskType", "taskUUID")}
    return {**run.head, "status": "error", "error": shown}


def finished_items(run: TaskRun) -> list[dict[str, Any]]:
    """Return the finished results of a task as the response to a poll contains them."""
    if run.spec.reports_status:
        return [run.items[max(run.items)]] if run.items else []
    return [{**run.items[index], "status": "success"} for index in sorted(run.items)]


def _unfinished_or_done(state: ServerState, run: TaskRun, progress: int) -> dict[str, Any]:
    if run.spec.reports_status:
        return {"data": finished_items(run) or [{**run.head, "status": "processing"}]}
    switches = state.switches
    as_errors = switches.q7 == "errors" or (switches.q7 == "mixed" and len(run.errors) >= run.count)
    data: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    waiting = 0
    for index in range(run.count):
        if index in run.items:
            data.append({**run.items[index], "status": "success"})
        elif index in run.errors:
            if as_errors:
                errors.append(_poll_error(run.errors[index]))
            else:
                data.append(_error_item(run, run.errors[index]))
        else:
            waiting += 1
            if switches.q9 == "all" or (switches.q9 == "one" and waiting == 1):
                item = {**run.head, "status": "processing"}
                data.append(item | {"progress": progress} if waiting == 1 else item)
    return {"data": data, "errors": errors} if errors else {"data": data}


def answer_details(state: ServerState, task: dict[str, Any]) -> dict[str, Any]:
    """Answer a getTaskDetails.

    Raises:
        ApiError: The task was never executed, or still runs and the switch `running_details` hides it.
    """
    run = _known_run(state, task)
    if run is None or run.dry or (state.switches.running_details == "unknown" and not run.done):
        raise _task_not_found()
    items = [run.items[index] for index in sorted(run.items)]
    errors = [run.failure] if run.failure is not None else [run.errors[index] for index in sorted(run.errors)]
    response: Any
    if state.switches.task_details == "array":
        response = [{"data": items, **({"error": errors[0]} if errors else {})}]
    elif errors and not items:
        response = {"errors": errors}
    else:
        response = {"data": items, **({"errors": errors} if errors else {})}
    answer = {"taskType": "getTaskDetails", "taskUUID": run.uuid, "request": [run.task], "response": response}
    return {"data": [answer]}
