"""The data of the inspector: tasks, connections and faults as JSON values."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from runware.local.active_faults import ActiveFaults
from runware.local.connection import WebSocketConnection
from runware.local.fault_registry import FAULTS
from runware.local.ledger import UNIT, ReceivedRequest
from runware.local.media import Media
from runware.local.options import DEFAULT_KEY
from runware.local.state import ServerState
from runware.local.task_run import TaskRun

__all__ = ["MEDIA_PATH", "describe_faults", "describe_server", "describe_task", "find_deliveries"]

MEDIA_PATH = "/inspector/media/"

_LONGEST_TEXT = 300
_MOST_ENTRIES = 50
_DEEPEST = 6
_RECENT_DELIVERIES = 500


def describe_server(
    state: ServerState, faults: ActiveFaults, connections: Iterable[WebSocketConnection], *, holding: bool
) -> dict[str, Any]:
    """Return the numbers, the connections and the faults being played."""
    ledger, balance = state.ledger, state.options.balance
    now = asyncio.get_running_loop().time()
    # A key that the user chose may be one of the real service, so the page shows only the default key.
    key = state.options.api_key if state.options.api_key == DEFAULT_KEY else None
    return {
        "url": f"ws{state.http_url.removeprefix('http')}/v1",
        "key": key,
        "executed": ledger.executed,
        "results": ledger.results,
        "rejected": ledger.rejected,
        "billed": ledger.billed,
        "balance": None if balance is None else balance / UNIT,
        "held": ledger.held,
        "holding": holding,
        "connections": [_describe_connection(one, now) for one in connections],
        "playing": [
            {
                "name": fault.name,
                "times": fault.times,
                "played": fault.played,
                "parameters": {name: value for name, value in fault.parameters.items() if value is not None},
            }
            for fault in faults.playing
        ],
    }


def _describe_connection(connection: WebSocketConnection, now: float) -> dict[str, Any]:
    session = connection.session
    return {
        "session": session.uuid if session is not None else None,
        "program": connection.headers.get("user-agent", ""),
        "stalled": connection.stalled,
        "seconds": round(now - connection.opened_at),
    }


def describe_faults() -> list[dict[str, Any]]:
    """Return every fault with its parameters and their allowed values."""
    return [
        {
            "name": fault.name,
            "alias": fault.alias,
            "summary": fault.summary,
            "times": fault.default_times,
            "parameters": {
                name: {"default": default, "choices": list(fault.choices.get(name, ()))}
                for name, default in fault.defaults.items()
            },
        }
        for fault in FAULTS.values()
    ]


def find_deliveries(state: ServerState) -> dict[str, list[dict[str, Any]]]:
    """Return the recent webhooks by the taskUUID that they name."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in state.ledger.webhooks[-_RECENT_DELIVERIES:]:
        for uuid in _task_uuids(entry["body"]):
            found[uuid].append(
                {"url": entry["url"], "statuses": [str(one) for one in entry["statuses"]], "ok": entry["delivered"]}
            )
    return found


def _task_uuids(body: Any) -> set[str]:
    """Return the tasks that the body of a webhook names, in any of its forms."""
    if not isinstance(body, dict):
        return set()
    parts = [body, *body.get("data", ()), *body.get("errors", ()), body.get("error")]
    return {part["taskUUID"] for part in parts if isinstance(part, dict) and isinstance(part.get("taskUUID"), str)}


def describe_task(
    state: ServerState, request: ReceivedRequest, deliveries: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return the data of one request for the page."""
    run = state.runs.get(request.task_uuid) if request.rejection is None else None
    record = request.record
    items = [] if run is None else [run.items[index] for index in sorted(run.items)]
    return {
        "number": request.number,
        "uuid": request.task_uuid,
        "type": request.task_type,
        "model": str(request.task.get("model", ""))[:_LONGEST_TEXT],
        "prompt": (record.prompt if record is not None else "")[:_LONGEST_TEXT],
        "request": _shortened(request.parameters),
        "at": request.received_at,
        "status": _status(state, request, run),
        "delivery": run.delivery if run is not None else "",
        "expected": run.count if run is not None and not run.spec.reports_status else 0,
        "results": [{"media": _media(state, item), "fields": _shortened(item)} for item in items],
        "errors": _errors(request, run),
        "cost": request.cost,
        "polls": record.polls if record is not None else 0,
        "executions": record.executions if record is not None else 0,
        "submissions": record.submissions if record is not None else 0,
        "deliveries": deliveries.get(request.task_uuid, []),
    }


def _status(state: ServerState, request: ReceivedRequest, run: TaskRun | None) -> str:
    if request.rejection is not None:
        return "rejected"
    if run is not None:
        return _status_of_run(run)
    app_run = state.app_runs.get(request.task_uuid)
    if app_run is not None:
        return "done" if app_run.finished.is_set() else "running"
    if request.error:
        return "failed"
    return "done" if request.results else "received"


def _status_of_run(run: TaskRun) -> str:
    if run.dry:
        return "dry run"
    if run.failure is not None:
        return "failed"
    if not run.done:
        return "running"
    return "partly failed" if run.errors else "done"


def _errors(request: ReceivedRequest, run: TaskRun | None) -> list[dict[str, Any]]:
    if request.rejection is not None:
        return [_shortened(request.rejection)]
    if run is None:
        return []
    return [_shortened(error) for error in (run.failure, *run.errors.values()) if error is not None]


def _media(state: ServerState, item: dict[str, Any]) -> list[dict[str, str]]:
    """Return the files of one result."""
    uuids = [value for name, value in item.items() if name.endswith("UUID") and not name.startswith("input")]
    outputs = item.get("outputs")
    if isinstance(outputs, dict):
        uuids += [file.get("uuid") for file in outputs.get("files", ()) if isinstance(file, dict)]
    files = [state.media.get(uuid) for uuid in uuids if isinstance(uuid, str)]
    return [_describe_media(file) for file in files if file is not None]


def _describe_media(file: Media) -> dict[str, str]:
    return {
        "path": f"{MEDIA_PATH}{file.uuid}.{file.extension}",
        "kind": file.content_type.partition("/")[0],
        "format": file.extension,
    }


def _shortened(value: Any, depth: int = 0) -> Any:
    """Return a JSON value with long texts, such as files in base64, and long lists cut."""
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:_LONGEST_TEXT]}… ({len(value):,} characters)"
    if isinstance(value, (dict, list)) and depth >= _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {str(name)[:100]: _shortened(value[name], depth + 1) for name in list(value)[:_MOST_ENTRIES]}
    if isinstance(value, list):
        return [_shortened(one, depth + 1) for one in value[:_MOST_ENTRIES]]
    return value
