"""Faults of connections, sessions, keys, HTTP requests and token streams."""

# Faults take what they need of their arguments; `defaults` and `choices` are declared as ClassVar in Fault.
# ruff: noqa: ARG002, RUF012

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runware.local.faults import Fault, Faults, HttpFault, StreamPlan
from runware.local.jobs import Job, delivery_of
from runware.local.sessions import Cut, Output, Replay
from runware.local.tasks import TASK_TYPES
from runware.local.validation import Rejected

if TYPE_CHECKING:
    from runware.local.connection import Connection
    from runware.local.state import State

__all__ = [
    "CleanClose",
    "DropBetweenResults",
    "EarlyReplay",
    "HalfOpen",
    "IgnoredPings",
    "Inactivity",
    "LostReply",
    "LostSubmission",
    "NewSession",
    "OddStream",
    "RefusedKey",
    "RevokedKey",
    "SilentAuthentication",
]

_REPLAYS = ("rest", "all", "nothing")
_HOWS = ("fin", "rst", "stall", "close")


class SilentAuthentication(Fault):
    """X1."""

    name = "X1"
    summary = "an authentication is never answered, or after `delay` seconds"
    defaults = {"delay": None}

    def authenticating(self, connection: Connection, task: dict[str, Any]) -> bool:
        """Say nothing, or not yet."""
        self.use()
        delay = self.parameters["delay"]
        if delay is not None:
            self.loop.call_later(delay, connection.engine.authenticate, connection, task)
        return True


class RefusedKey(Fault):
    """X2."""

    name = "X2"
    summary = "the key is refused, in one of three `form`s, and the connection may `end`"
    defaults = {"form": "plural", "end": "open"}
    choices = {"form": ("plural", "singular", "legacy"), "end": ("open", 1008, 1000, "fin", "rst")}

    def authenticating(self, connection: Connection, task: dict[str, Any]) -> bool:
        """Refuse the key."""
        self.use()
        message = "The API key is not valid."
        details = {"type": "string", "taskType": "authentication"}
        error = Rejected("invalidApiKey", message, "apiKey", **details).wire({})
        frames: dict[str, dict[str, Any]] = {
            "plural": {"errors": [error]},
            "singular": {"error": error},
            "legacy": {
                "error": True,
                "errorId": 19,
                "errorMessageContentId": 1212,
                "errorMessage": "Invalid api key",
            },
        }
        connection.engine.state.ledger.count("refusals")
        connection.send(frames[self.parameters["form"]])
        end = self.parameters["end"]
        if isinstance(end, int):
            connection.close(end)
        elif end != "open":
            connection.end(end)
        return True


class CutAfter(Fault):
    """Ends the connection after so many tasks or results."""

    choices = {"replay": _REPLAYS, "how": _HOWS}

    def __init__(self, faults: Faults, parameters: dict[str, Any]) -> None:
        if "after_results" in parameters and "after_tasks" not in parameters:
            parameters = {**parameters, "after_tasks": None}
        elif "after_tasks" in parameters and "after_results" not in parameters:
            parameters = {**parameters, "after_results": None}
        super().__init__(faults, parameters)
        self._seen = 0

    def _cut(self) -> Cut:
        self._seen = 0
        self.use()
        get = self.parameters
        return Cut(get["how"], get.get("code", 1000), get["replay"], bool(get.get("mid_frame")))

    def acknowledging(self, job: Job, frames: list[Output]) -> list[Output]:
        """Count tasks."""
        limit = self.parameters["after_tasks"]
        if limit is None:
            return frames
        self._seen += 1
        return [*frames, self._cut()] if self._seen >= limit else frames

    def delivering(self, job: Job, frames: list[Output]) -> list[Output]:
        """Count results."""
        limit = self.parameters["after_results"]
        if limit is None:
            return frames
        for position, frame in enumerate(frames):
            items = frame.get("data", []) if isinstance(frame, dict) else []
            if not isinstance(items, list):
                continue
            room = limit - self._seen
            if len(items) < room:
                self._seen += len(items)
                continue
            assert isinstance(frame, dict)
            before: list[Output] = [{"data": items[:room]}] if room > 0 else []
            rest = {**frame, "data": items[room:]}
            if not rest["data"]:
                del rest["data"]
            after: list[Output] = [rest] if rest else []
            return [*frames[:position], *before, self._cut(), *after, *frames[position + 1 :]]
        return frames

    def polled(self, task: dict[str, Any], job: Job | None, frames: list[Output]) -> list[Output]:
        """Count the finished results in an answer to a poll."""
        limit = self.parameters["after_results"]
        if limit is None:
            return frames
        items = [item for frame in frames if isinstance(frame, dict) for item in frame.get("data") or []]
        finished = sum(1 for item in items if isinstance(item, dict) and item.get("status") == "success")
        if limit == 0:
            return [self._cut(), *frames]
        return [*frames, self._cut()] if finished >= limit else frames


class HalfOpen(CutAfter):
    """X3."""

    name = "X3"
    summary = "silence while TCP stays up: at once after authentication, or after so many tasks or results"
    defaults = {"after_results": None, "after_tasks": None, "replay": "rest", "how": "stall", "mid_frame": False}

    def authenticated(self, connection: Connection) -> None:
        """Fall silent at once if nothing else was asked for."""
        at_once = self.parameters["after_results"] is None and self.parameters["after_tasks"] is None
        if at_once and connection.session is not None:
            connection.session.deliver([self._cut()])


class IgnoredPings(Fault):
    """X4."""

    name = "X4"
    summary = "pings are not answered: `kind` json, protocol or both"
    defaults = {"kind": "json"}
    choices = {"kind": ("json", "protocol", "both")}
    default_times = None

    def pinged(self, connection: Connection, kind: str) -> bool:
        """Leave it unanswered."""
        if self.parameters["kind"] not in (kind, "both"):
            return False
        self.use()
        return True


class LostSubmission(Fault):
    """X5."""

    name = "X5"
    summary = (
        "the connection ends around a submission: before its acknowledgement (`when` submit), after it (ack), or at"
        " a poll; `then` a resume replays the acknowledgement, or a resend meets a conflict, or nothing is known"
    )
    defaults = {"when": "submit", "then": "replay", "delivery": "async", "how": "fin"}
    choices = {
        "when": ("submit", "ack", "poll"),
        "then": ("replay", "conflict", "nothing"),
        "delivery": ("async", "sync", "any"),
        "how": _HOWS,
    }

    def task_received(self, connection: Connection, task: dict[str, Any]) -> bool:
        """Lose the submission altogether."""
        spec = TASK_TYPES.get(str(task.get("taskType")))
        get = self.parameters
        if get["then"] != "nothing" or get["when"] != "submit" or spec is None or spec.quick:
            return False
        if get["delivery"] not in ("any", delivery_of(task, spec)):
            return False
        self.use()
        connection.end(get["how"])
        return True

    def acknowledging(self, job: Job, frames: list[Output]) -> list[Output]:
        """Lose the acknowledgement, or the connection after it."""
        get = self.parameters
        if job.spec.quick or get["when"] == "poll" or get["delivery"] not in ("any", job.delivery):
            return frames
        self.use()
        cut = Cut(get["how"])
        if get["when"] == "ack":
            return [*frames, cut]
        return [cut, *frames] if get["then"] == "replay" else [cut]

    def polled(self, task: dict[str, Any], job: Job | None, frames: list[Output]) -> list[Output]:
        """Lose the answer to a poll."""
        if self.parameters["when"] != "poll":
            return frames
        self.use()
        return [Cut(self.parameters["how"])]


class DropBetweenResults(CutAfter):
    """X6."""

    name = "X6"
    summary = "the connection is lost after so many results; a resume replays the rest, all of them, or nothing"
    defaults = {"after_results": 1, "after_tasks": None, "replay": "rest", "how": "fin", "mid_frame": False}


class CleanClose(CutAfter):
    """X7."""

    name = "X7"
    summary = "a close frame with `code` while tasks run"
    defaults = {"after_tasks": 1, "after_results": None, "code": 1000, "replay": "rest", "how": "close"}


class EarlyReplay(Fault):
    """X8."""

    name = "X8"
    summary = "a resume replays before the reply to its authentication"
    default_times = None

    def resuming(self, plan: Replay) -> None:
        """Replay first."""
        self.use()
        plan.before = True


class Inactivity(Fault):
    """X17."""

    name = "X17"
    summary = "a connection is closed after `after` seconds without a message instead of 120"
    defaults = {"after": 0.2}
    default_times = None

    def begin(self, state: State) -> None:
        """Shorten the limit."""
        self._previous = state.options.inactivity
        state.options.inactivity = self.parameters["after"]
        self._faults.look_again()

    def end(self, state: State) -> None:
        """Restore the limit."""
        state.options.inactivity = self._previous


class NewSession(Fault):
    """X18."""

    name = "X18"
    summary = "the session gets another UUID when it is resumed"
    default_times = None

    def resuming(self, plan: Replay) -> None:
        """Change the UUID."""
        self.use()
        plan.new_uuid = True


class LostReply(Fault):
    """X20."""

    name = "X20"
    summary = (
        "an HTTP request is executed (or not, `run=false`) and then cut, or answered with `status` and text that is"
        " not JSON"
    )
    defaults = {"status": None, "run": True}

    def http_request(self, jobs: list[Job] | None) -> HttpFault | None:
        """Cut it."""
        if self.parameters["run"] == (jobs is None):
            return None
        self.use()
        status = self.parameters["status"]
        return HttpFault(cut=status is None, status=status or 503)


class OddStream(Fault):
    """X21."""

    name = "X21"
    summary = (
        "a token stream with torn characters (split), without [DONE] (no-done), with CRLF (crlf), in one write"
        " (joined), without the space after `data:` (no-space), without its last line end (no-newline), reset before"
        " its end (cut), with an error inside (error, error-singular); join forms with +"
    )
    defaults = {"form": "split"}
    _forms = (
        "split", "no-done", "crlf", "joined", "no-space", "no-newline", "cut", "error", "error-singular",
    )  # fmt: skip

    def __init__(self, faults: Faults, parameters: dict[str, Any]) -> None:
        super().__init__(faults, parameters)
        self._wanted = set(str(self.parameters["form"]).split("+"))
        unknown = sorted(self._wanted - set(self._forms))
        if unknown:
            raise ValueError(f"form of fault X21 is made of {', '.join(self._forms)}, not {unknown[0]!r}")

    def streaming(self, job: Job, plan: StreamPlan) -> None:
        """Change how the stream is written."""
        self.use()
        wanted = self._wanted
        plan.split, plan.joined = "split" in wanted, "joined" in wanted
        plan.done = not wanted & {"no-done", "cut", "error", "error-singular"}
        plan.newline = "\r\n" if "crlf" in wanted else "\n"
        plan.space = "" if "no-space" in wanted else " "
        plan.trailing = "no-newline" not in wanted
        plan.abort = "cut" in wanted
        plan.pause = 0.005
        if "cut" in wanted:
            plan.events = plan.events[:2]
        if wanted & {"error", "error-singular"}:
            error = job.error(Rejected("timeoutProvider", "The provider stopped answering."))
            plan.fail({"errors": [error]} if "error" in wanted else {"error": error})


class RevokedKey(Fault):
    """X22."""

    name = "X22"
    summary = "the key is refused after so many successful authentications: `after` 1, or 0 if there was one already"
    defaults = {"after": None}
    default_times = None

    def begin(self, state: State) -> None:
        """Count from here."""
        done = state.ledger.authentications
        after = self.parameters["after"]
        self._limit = done + (after if after is not None else int(done == 0))

    def authenticating(self, connection: Connection, task: dict[str, Any]) -> bool:
        """Refuse the key."""
        if connection.engine.state.ledger.authentications < self._limit:
            return False
        self.use()
        connection.engine.authenticate(connection, {**task, "apiKey": "revoked"})
        return True
