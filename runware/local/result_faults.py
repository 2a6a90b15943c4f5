"""Faults of results, errors, polls and uploads: wrong frames on a healthy connection."""

# A hook uses the arguments that it needs; `defaults` and `choices` are declared as ClassVar in Fault.
# ruff: noqa: ARG002, RUF012

from __future__ import annotations

import random
from typing import Any

from runware.local.faults import Fault, FaultHost
from runware.local.output import Frame, Outgoing
from runware.local.task_run import TaskRun
from runware.local.uuids import new_uuid
from runware.local.validation import ApiError

__all__ = [
    "ErrorShapes",
    "ExtraResults",
    "FailingPoll",
    "InstantResults",
    "IrregularPolls",
    "IrregularUpload",
    "LargeResult",
    "MeaninglessFrames",
    "ReusedTaskUuid",
    "SingleResults",
    "UnknownTaskError",
]


class UnknownTaskError(Fault):
    """X9: an error of an unknown task."""

    name = "X9"
    summary = "an error for an unknown taskUUID comes before results"
    defaults = {"code": "inferenceError"}

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Send the error first."""
        self.record_use()
        error = {"code": self.parameters["code"], "message": "Failed.", "taskType": "imageInference"}
        return [{"errors": [{**error, "taskUUID": new_uuid()}]}, *frames]


class ErrorShapes(Fault):
    """X10: errors in unusual shapes."""

    name = "X10"
    summary = (
        "errors in unusual shapes: F18 (list of parameters), F19 (data and an error of another task), F20 (data and an"
        " error of the same task), F21 (of no task, before the results), F22 (in an array), singular, singular-list,"
        " legacy (before the results)"
    )
    defaults = {"form": "F20", "other": None}
    choices = {"form": ("F18", "F19", "F20", "F21", "F22", "singular", "singular-list", "legacy")}

    def __init__(self, host: FaultHost, parameters: dict[str, Any]) -> None:
        super().__init__(host, parameters)
        self._chosen: set[str] = set()

    def on_accepted(self, run: TaskRun) -> None:
        """Make the task, or one of its results, fail where the shape is that of a failed task."""
        if run.spec.is_query or (self.times is not None and len(self._chosen) >= self.times):
            return
        self._chosen.add(run.uuid)
        form = self.parameters["form"]
        if form == "F18":
            run.forced_failure = ApiError("invalidDimensions", "Area out of range.", ["width", "height"])
        elif form == "F20":
            run.failing_results = frozenset((run.count - 1,))
        elif form in ("F22", "singular", "singular-list"):
            run.forced_failure = ApiError("unknownError", "Something failed.")

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Send the error in the chosen shape."""
        if run.uuid not in self._chosen:
            return frames
        self._chosen.discard(run.uuid)
        self.record_use()
        form, first = self.parameters["form"], frames[0]
        error = run.error(ApiError("unknownError", "Something failed."))
        if form == "F19" and isinstance(first, dict):
            foreign = {**error, "code": "invalidProviderContent", "taskUUID": self.parameters["other"] or new_uuid()}
            return [{**first, "errors": [*first.get("errors", []), foreign]}, *frames[1:]]
        before: dict[str, Frame] = {
            "F21": {"errors": [{"code": "defaultError", "message": "Something went wrong."}]},
            "legacy": {"error": True, "errorId": 19, "errorMessageContentId": 1212, "errorMessage": "Failed"},
        }
        instead: dict[str, Frame] = {
            "F22": [{"errors": [error]}],
            "singular": {"error": error},
            "singular-list": {"error": [error]},
        }
        if form in before:
            return [before[form], *frames]
        return [instead[form]] if form in instead else frames


class LargeResult(Fault):
    """X11: large results."""

    name = "X11"
    summary = "files inside results are padded, so that their base64 has at least `size` characters"
    defaults = {"size": 3 * 2**20}
    default_times = None

    def filter_file(self, run: TaskRun, data: bytes) -> bytes:
        """Append zeros, which image decoders ignore."""
        self.record_use()
        return data.ljust(-(-self.parameters["size"] * 3 // 4), b"\0")


class InstantResults(Fault):
    """X12: results without delay."""

    name = "X12"
    summary = "results are delivered without delay; with `in_ack`, in the acknowledgement"
    defaults = {"in_ack": False}
    default_times = None

    def on_accepted(self, run: TaskRun) -> None:
        """Remove the delay, and put finished results into the acknowledgement if chosen."""
        self.record_use()
        run.delay = 0.0
        if self.parameters["in_ack"]:
            run.acknowledgement = "finished"


class ExtraResults(Fault):
    """X13: more results than requested."""

    name = "X13"
    summary = "`extra` more results than requested, and every frame `copies` more times"
    defaults = {"extra": 1, "copies": 1}
    default_times = None

    def on_accepted(self, run: TaskRun) -> None:
        """Increase the number of results."""
        if not run.spec.reports_status and not run.spec.is_query:
            self.record_use()
            run.count += self.parameters["extra"]

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Repeat frames."""
        return [frame for frame in frames for _ in range(1 + self.parameters["copies"])]


_MEANINGLESS_FRAMES: dict[str, Frame] = {
    "empty-data": {"data": []},
    "null-data": {"data": None},
    "empty-object": {},
    "empty-array": [],
    "text": "this is not JSON {",
    "binary": b"\x00\x01\x02",
    "string-items": {"data": ["a string", None, 5]},
    "null": "null",
}


class MeaninglessFrames(Fault):
    """X14: frames without meaning."""

    name = "X14"
    summary = "frames without meaning come before every acknowledgement, result and poll response"
    defaults = {"form": "all"}
    choices = {"form": ("all", *_MEANINGLESS_FRAMES)}
    default_times = None

    def _with_meaningless_frames(self, frames: list[Outgoing]) -> list[Outgoing]:
        if not frames:
            return frames
        self.record_use()
        form = self.parameters["form"]
        extra = list(_MEANINGLESS_FRAMES.values()) if form == "all" else [_MEANINGLESS_FRAMES[form]]
        return [*extra, *frames]

    def filter_acknowledgement(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Send meaningless frames first."""
        return self._with_meaningless_frames(frames)

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Send meaningless frames first."""
        return self._with_meaningless_frames(frames)

    def filter_poll(self, task: dict[str, Any], run: TaskRun | None, frames: list[Outgoing]) -> list[Outgoing]:
        """Send meaningless frames first."""
        return self._with_meaningless_frames(frames)


class IrregularPolls(Fault):
    """X15: irregular responses to polls."""

    name = "X15"
    summary = (
        "responses to polls lack the first item (shrink), are reordered (reorder), have no media UUIDs (no-ids), or"
        " nothing but a status (status-only)"
    )
    defaults = {"form": "shrink"}
    choices = {"form": ("shrink", "reorder", "no-ids", "status-only")}
    default_times = 2

    def filter_poll(self, task: dict[str, Any], run: TaskRun | None, frames: list[Outgoing]) -> list[Outgoing]:
        """Change the items of a finished or partly finished task."""
        frame = frames[-1] if frames else None  # other faults put their frames before it
        if not isinstance(frame, dict):
            return frames
        items = frame.get("data") or []
        if not any(item.get("status") == "success" for item in items):
            return frames
        self.record_use()
        form = self.parameters["form"]
        if form == "shrink":
            items = items[1:]
        elif form == "reorder":
            items = items[::-1]
        elif form == "no-ids":
            items = [{k: v for k, v in item.items() if k == "taskUUID" or not k.endswith("UUID")} for item in items]
        else:
            items = [{k: item[k] for k in ("taskType", "taskUUID", "status") if k in item} for item in items]
        return [*frames[:-1], {**frame, "data": items}]


class FailingPoll(Fault):
    """X16: a temporary error for a poll."""

    name = "X16"
    summary = "a poll is answered with a temporary error"
    defaults = {"code": "rateLimitExceeded"}

    def filter_poll(self, task: dict[str, Any], run: TaskRun | None, frames: list[Outgoing]) -> list[Outgoing]:
        """Replace the response with the error."""
        self.record_use()
        return [{"errors": [ApiError(self.parameters["code"], "Try again later.").to_object(task)]}]


class ReusedTaskUuid(Fault):
    """X19: one taskUUID for several tasks."""

    name = "X19"
    summary = "tasks with a taskUUID that is in use are executed, too, instead of rejected as a conflict"
    default_times = None

    def allow_duplicate(self, task: dict[str, Any]) -> bool:
        """Allow the duplicate."""
        self.record_use()
        return True


class SingleResults(Fault):
    """X23: results one by one."""

    name = "X23"
    summary = "results of all tasks are sent one by one every `interval` seconds, in an `order` that mixes the tasks"
    defaults = {"interval": 0.01, "order": "shuffled"}
    choices = {"order": ("shuffled", "reversed", "as-is")}
    default_times = None

    def __init__(self, host: FaultHost, parameters: dict[str, Any]) -> None:
        super().__init__(host, parameters)
        self._pool: list[tuple[TaskRun, Outgoing]] = []
        self._random = random.Random(23)
        self._scheduled = False

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Split the frames into single results, and keep them for the timer."""
        if run.sink.http or run.spec.reports_status:
            return frames
        self.record_use()
        for frame in frames:
            if isinstance(frame, dict):
                self._pool += [(run, {name: [item]}) for name, items in frame.items() for item in items]
            else:
                self._pool.append((run, frame))
        if not self._scheduled:
            self._scheduled = True
            self._host.loop.call_later(self.parameters["interval"], self._send_next)
        return []

    def _send_next(self) -> None:
        order = self.parameters["order"]
        last = len(self._pool) - 1
        position = {"as-is": 0, "reversed": last}.get(order, self._random.randint(0, last))
        run, frame = self._pool.pop(position)
        run.sink.deliver([frame])
        self._scheduled = bool(self._pool)
        if self._scheduled:
            self._host.loop.call_later(self.parameters["interval"], self._send_next)


class IrregularUpload(Fault):
    """X24: irregular statuses of a model upload."""

    name = "X24"
    summary = "statuses of a model upload are repeated (repeat), end with failed (failed), or have no taskType"
    defaults = {"form": "repeat"}
    choices = {"form": ("repeat", "failed", "no-task-type")}
    default_times = None

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Change the statuses."""
        if not run.spec.reports_status:
            return frames
        self.record_use()
        form = self.parameters["form"]
        if form == "repeat":
            return [frame for frame in frames for _ in range(2)]
        changed: list[Outgoing] = []
        for frame in frames:
            items = frame.get("data", []) if isinstance(frame, dict) else []
            bare = [{name: value for name, value in item.items() if name != "taskType"} for item in items]
            if form == "failed" and bare and bare[0]["status"] != "validated":
                if bare[0]["status"] == "downloaded":
                    failed = {"taskUUID": run.uuid, "status": "failed", "message": "Download failed."}
                    changed.append({"data": [failed]})
                continue
            changed.append({"data": bare} if form == "no-task-type" else frame)
        return changed
