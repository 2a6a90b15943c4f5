"""Faults of results, errors, polls and uploads: what is wrong with frames on a healthy connection."""

# Faults take what they need of their arguments; `defaults` and `choices` are declared as ClassVar in Fault.
# ruff: noqa: ARG002, RUF012

from __future__ import annotations

import random
from typing import Any

from runware.local.faults import Fault, Faults
from runware.local.jobs import Job
from runware.local.media import new_uuid
from runware.local.sessions import Output
from runware.local.validation import Rejected

__all__ = [
    "Drip",
    "ErrorShapes",
    "FailingPoll",
    "InstantResults",
    "LargeResult",
    "Noise",
    "OddPolls",
    "OddUpload",
    "OverDelivery",
    "SharedUuid",
    "StrayError",
]


class StrayError(Fault):
    """X9."""

    name = "X9"
    summary = "before results comes an error for a taskUUID that nobody waits for"
    defaults = {"code": "inferenceError"}

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Send the error first."""
        self.use()
        error = {"code": self.parameters["code"], "message": "Failed.", "taskType": "imageInference"}
        return [{"errors": [{**error, "taskUUID": new_uuid()}]}, *frames]


class ErrorShapes(Fault):
    """X10."""

    name = "X10"
    summary = (
        "errors in every shape: F18 (list of parameters), F19 (data and an error of another task), F20 (data and an"
        " error of the same task), F21 (of no task, before the results), F22 (in an array), singular, singular-list,"
        " legacy (before the results)"
    )
    defaults = {"form": "F20", "other": None}
    choices = {"form": ("F18", "F19", "F20", "F21", "F22", "singular", "singular-list", "legacy")}

    def __init__(self, faults: Faults, parameters: dict[str, Any]) -> None:
        super().__init__(faults, parameters)
        self._chosen: set[str] = set()

    def accepted(self, job: Job) -> None:
        """Decide that the job fails, where the shape is one of a failed task."""
        if job.spec.quick or (self.times is not None and len(self._chosen) >= self.times):
            return
        self._chosen.add(job.uuid)
        form = self.parameters["form"]
        if form == "F18":
            job.memo["failure"] = Rejected("invalidDimensions", "Area out of range.", ["width", "height"])
        elif form == "F20":
            job.memo["fails"] = {job.count - 1}
        elif form in ("F22", "singular", "singular-list"):
            job.memo["failure"] = Rejected("unknownError", "Something failed.")

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Bring the error into its shape."""
        if job.uuid not in self._chosen:
            return frames
        self._chosen.discard(job.uuid)
        self.use()
        form, first = self.parameters["form"], frames[0]
        error = job.error(Rejected("unknownError", "Something failed."))
        if form == "F19" and isinstance(first, dict):
            stranger = {**error, "code": "invalidProviderContent", "taskUUID": self.parameters["other"] or new_uuid()}
            return [{**first, "errors": [*first.get("errors", []), stranger]}, *frames[1:]]
        before: dict[str, Output] = {
            "F21": {"errors": [{"code": "defaultError", "message": "Something went wrong."}]},
            "legacy": {"error": True, "errorId": 19, "errorMessageContentId": 1212, "errorMessage": "Failed"},
        }
        instead: dict[str, Output] = {
            "F22": [{"errors": [error]}],
            "singular": {"error": error},
            "singular-list": {"error": [error]},
        }
        if form in before:
            return [before[form], *frames]
        return [instead[form]] if form in instead else frames


class LargeResult(Fault):
    """X11."""

    name = "X11"
    summary = "files inside results are padded, so that their base64 has at least `size` characters"
    defaults = {"size": 3 * 2**20}
    default_times = None

    def pad(self, job: Job, data: bytes) -> bytes:
        """Append zeros, which readers of pictures ignore."""
        self.use()
        return data.ljust(-(-self.parameters["size"] * 3 // 4), b"\0")


class InstantResults(Fault):
    """X12."""

    name = "X12"
    summary = "results come without any delay, and `in_ack` finished results in the acknowledgement itself"
    defaults = {"in_ack": False}
    default_times = None

    def accepted(self, job: Job) -> None:
        """Hurry."""
        self.use()
        job.delay = 0.0
        if self.parameters["in_ack"]:
            job.ack = "finished"


class OverDelivery(Fault):
    """X13."""

    name = "X13"
    summary = "`extra` more results than asked for, and every frame `copies` more times"
    defaults = {"extra": 1, "copies": 1}
    default_times = None

    def accepted(self, job: Job) -> None:
        """Plan more results."""
        if not job.spec.statuses and not job.spec.quick:
            self.use()
            job.count += self.parameters["extra"]

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Repeat frames."""
        return [frame for frame in frames for _ in range(1 + self.parameters["copies"])]


_NOISE: dict[str, Output] = {
    "empty-data": {"data": []},
    "null-data": {"data": None},
    "empty-object": {},
    "empty-array": [],
    "text": "this is not JSON {",
    "binary": b"\x00\x01\x02",
    "string-items": {"data": ["a string", None, 5]},
    "null": "null",
}


class Noise(Fault):
    """X14."""

    name = "X14"
    summary = "frames that mean nothing before every acknowledgement, result and poll answer"
    defaults = {"form": "all"}
    choices = {"form": ("all", *_NOISE)}
    default_times = None

    def _with_noise(self, frames: list[Output]) -> list[Output]:
        if not frames:
            return frames
        self.use()
        form = self.parameters["form"]
        noise = list(_NOISE.values()) if form == "all" else [_NOISE[form]]
        return [*noise, *frames]

    def acknowledging(self, job: Job, frames: list[Output]) -> list[Output]:
        """Add noise."""
        return self._with_noise(frames)

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Add noise."""
        return self._with_noise(frames)

    def polled(self, task: dict[str, Any], job: Job | None, frames: list[Output]) -> list[Output]:
        """Add noise."""
        return self._with_noise(frames)


class OddPolls(Fault):
    """X15."""

    name = "X15"
    summary = "answers to polls lack the first item, are reordered, have no media UUIDs, or nothing but a status"
    defaults = {"form": "shrink"}
    choices = {"form": ("shrink", "reorder", "no-ids", "status-only")}
    default_times = 2

    def polled(self, task: dict[str, Any], job: Job | None, frames: list[Output]) -> list[Output]:
        """Change the items of a finished or partly finished task."""
        frame = frames[-1] if frames else None  # other faults put theirs before it
        if not isinstance(frame, dict):
            return frames
        items = frame.get("data") or []
        if not any(item.get("status") == "success" for item in items):
            return frames
        self.use()
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
    """X16."""

    name = "X16"
    summary = "a poll gets a passing error"
    defaults = {"code": "rateLimitExceeded"}

    def polled(self, task: dict[str, Any], job: Job | None, frames: list[Output]) -> list[Output]:
        """Answer with the error."""
        self.use()
        return [{"errors": [Rejected(self.parameters["code"], "Try again later.").wire(task)]}]


class SharedUuid(Fault):
    """X19."""

    name = "X19"
    summary = "tasks with a taskUUID that is in use are executed as well, instead of meeting a conflict"
    default_times = None

    def duplicates(self, task: dict[str, Any]) -> bool:
        """Allow it."""
        self.use()
        return True


class Drip(Fault):
    """X23."""

    name = "X23"
    summary = "results drip out one by one every `interval` seconds, in an `order` that mixes the tasks"
    defaults = {"interval": 0.01, "order": "shuffled"}
    choices = {"order": ("shuffled", "reversed", "as-is")}
    default_times = None

    def __init__(self, faults: Faults, parameters: dict[str, Any]) -> None:
        super().__init__(faults, parameters)
        self._pool: list[tuple[Job, Output]] = []
        self._random = random.Random(23)
        self._dripping = False

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Take the frames apart and let them wait."""
        if getattr(job.sink, "http", False) or job.spec.statuses:
            return frames
        self.use()
        for frame in frames:
            if isinstance(frame, dict):
                self._pool += [(job, {name: [item]}) for name, items in frame.items() for item in items]
            else:
                self._pool.append((job, frame))
        if not self._dripping:
            self._dripping = True
            self.loop.call_later(self.parameters["interval"], self._drip)
        return []

    def _drip(self) -> None:
        order = self.parameters["order"]
        last = len(self._pool) - 1
        position = {"as-is": 0, "reversed": last}.get(order, self._random.randint(0, last))
        job, frame = self._pool.pop(position)
        job.sink.deliver([frame])
        self._dripping = bool(self._pool)
        if self._dripping:
            self.loop.call_later(self.parameters["interval"], self._drip)


class OddUpload(Fault):
    """X24."""

    name = "X24"
    summary = "statuses of a model's upload are repeated, end with failed, or have no taskType"
    defaults = {"form": "repeat"}
    choices = {"form": ("repeat", "failed", "no-task-type")}
    default_times = None

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Change the statuses."""
        if not job.spec.statuses:
            return frames
        self.use()
        form = self.parameters["form"]
        if form == "repeat":
            return [frame for frame in frames for _ in range(2)]
        changed: list[Output] = []
        for frame in frames:
            items = frame.get("data", []) if isinstance(frame, dict) else []
            bare = [{name: value for name, value in item.items() if name != "taskType"} for item in items]
            if form == "failed" and bare and bare[0]["status"] != "validated":
                if bare[0]["status"] == "downloaded":
                    failed = {"taskUUID": job.uuid, "status": "failed", "message": "Download failed."}
                    changed.append({"data": [failed]})
                continue
            changed.append({"data": bare} if form == "no-task-type" else frame)
        return changed
