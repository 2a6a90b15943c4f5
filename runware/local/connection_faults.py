"""Faults of connections, sessions, keys, HTTP requests and token streams."""

# A hook uses the arguments that it needs; `defaults` and `choices` are declared as ClassVar in Fault.
# ruff: noqa: ARG002, RUF012

from __future__ import annotations

import math
import time
from email.utils import formatdate
from typing import Any

from runware.local.client_session import ReplayPlan
from runware.local.connection import WebSocketConnection
from runware.local.faults import Fault, FaultHost, HttpFault, ServiceFault
from runware.local.output import ConnectionCut, Outgoing
from runware.local.state import ServerState
from runware.local.stream_plan import StreamPlan
from runware.local.task_run import TaskRun
from runware.local.task_schema import delivery_of
from runware.local.task_types import TASK_TYPES
from runware.local.validation import ApiError

__all__ = [
    "CleanClose",
    "DropBetweenResults",
    "EarlyReplay",
    "FailingService",
    "HalfOpen",
    "IgnoredPings",
    "Inactivity",
    "IrregularStream",
    "LostHttpResponse",
    "LostSubmission",
    "NewSession",
    "RejectedKey",
    "RevokedKey",
    "SilentAuthentication",
]

_REPLAYS = ("rest", "all", "nothing")
_HOWS = ("fin", "rst", "stall", "close")


class SilentAuthentication(Fault):
    """X1: an authentication without a reply."""

    name = "X1"
    summary = "an authentication is answered after `delay` seconds, or never"
    defaults = {"delay": None}

    def on_authentication(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Ignore the authentication, or delay its reply."""
        self.record_use()
        delay = self.parameters["delay"]
        if delay is not None:
            self._host.loop.call_later(delay, self._host.authenticate, connection, task)
        return True


class RejectedKey(Fault):
    """X2: a rejected key."""

    name = "X2"
    summary = "the key is rejected, with an error in one of three `form`s, and the connection may `end`"
    defaults = {"form": "plural", "end": "open"}
    choices = {"form": ("plural", "singular", "legacy"), "end": ("open", 1008, 1000, "fin", "rst")}

    def on_authentication(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Reject the key."""
        self.record_use()
        message = "The API key is not valid."
        details = {"type": "string", "taskType": "authentication"}
        error = ApiError("invalidApiKey", message, "apiKey", **details).to_object({})
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
        self._host.state.ledger.count("refusals")
        connection.send(frames[self.parameters["form"]])
        end = self.parameters["end"]
        if isinstance(end, int):
            connection.close(end)
        elif end != "open":
            connection.end(end)
        return True


class CutAfter(Fault):
    """Ends the connection after a number of tasks or results."""

    choices = {"replay": _REPLAYS, "how": _HOWS}

    def __init__(self, host: FaultHost, parameters: dict[str, Any]) -> None:
        if "after_results" in parameters and "after_tasks" not in parameters:
            parameters = {**parameters, "after_tasks": None}
        elif "after_tasks" in parameters and "after_results" not in parameters:
            parameters = {**parameters, "after_results": None}
        super().__init__(host, parameters)
        self._seen = 0

    def _cut(self) -> ConnectionCut:
        self._seen = 0
        self.record_use()
        get = self.parameters
        return ConnectionCut(get["how"], get.get("code", 1000), get["replay"], bool(get.get("mid_frame")))

    def filter_acknowledgement(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Count tasks, and cut the connection after the last acknowledgement."""
        limit = self.parameters["after_tasks"]
        if limit is None:
            return frames
        self._seen += 1
        return [*frames, self._cut()] if self._seen >= limit else frames

    def filter_results(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Count results, and cut the connection between two of them."""
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
            before: list[Outgoing] = [{"data": items[:room]}] if room > 0 else []
            rest = {**frame, "data": items[room:]}
            if not rest["data"]:
                del rest["data"]
            after: list[Outgoing] = [rest] if rest else []
            return [*frames[:position], *before, self._cut(), *after, *frames[position + 1 :]]
        return frames

    def filter_poll(self, task: dict[str, Any], run: TaskRun | None, frames: list[Outgoing]) -> list[Outgoing]:
        """Count the finished results in the response to a poll."""
        limit = self.parameters["after_results"]
        if limit is None:
            return frames
        items = [item for frame in frames if isinstance(frame, dict) for item in frame.get("data") or []]
        finished = sum(1 for item in items if isinstance(item, dict) and item.get("status") == "success")
        if limit == 0:
            return [self._cut(), *frames]
        return [*frames, self._cut()] if finished >= limit else frames


class HalfOpen(CutAfter):
    """X3: a half-open connection."""

    name = "X3"
    summary = "silence while TCP stays up: right after authentication, or after a number of tasks or results"
    defaults = {"after_results": None, "after_tasks": None, "replay": "rest", "how": "stall", "mid_frame": False}

    def on_authenticated(self, connection: WebSocketConnection) -> None:
        """Stall right after authentication unless a number of tasks or results is given."""
        at_once = self.parameters["after_results"] is None and self.parameters["after_tasks"] is None
        if at_once and connection.session is not None:
            connection.session.deliver([self._cut()])


class IgnoredPings(Fault):
    """X4: unanswered pings."""

    name = "X4"
    summary = "pings of a `kind` are not answered"
    defaults = {"kind": "json"}
    choices = {"kind": ("json", "protocol", "both")}
    default_times = None

    def on_ping(self, connection: WebSocketConnection, kind: str) -> bool:
        """Leave pings of the chosen kind unanswered."""
        if self.parameters["kind"] not in (kind, "both"):
            return False
        self.record_use()
        return True


class LostSubmission(Fault):
    """X5: a connection lost around a submission."""

    name = "X5"
    summary = (
        "the connection ends around a submission: before its acknowledgement (`when` submit), after it (ack), or at"
        " a poll (poll); afterwards (`then`) a resume replays the acknowledgement (replay), a resend is a conflict"
        " (conflict), or the task is unknown (nothing)"
    )
    defaults = {"when": "submit", "then": "replay", "delivery": "async", "how": "fin"}
    choices = {
        "when": ("submit", "ack", "poll"),
        "then": ("replay", "conflict", "nothing"),
        "delivery": ("async", "sync", "any"),
        "how": _HOWS,
    }

    def on_task(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Lose the submission, so that the task is unknown."""
        spec = TASK_TYPES.get(str(task.get("taskType")))
        get = self.parameters
        if get["then"] != "nothing" or get["when"] != "submit" or spec is None or spec.is_query:
            return False
        if get["delivery"] not in ("any", delivery_of(task, spec)):
            return False
        self.record_use()
        connection.end(get["how"])
        return True

    def filter_acknowledgement(self, run: TaskRun, frames: list[Outgoing]) -> list[Outgoing]:
        """Lose the acknowledgement, or the connection after it."""
        get = self.parameters
        if run.spec.is_query or get["when"] == "poll" or get["delivery"] not in ("any", run.delivery):
            return frames
        self.record_use()
        cut = ConnectionCut(get["how"])
        if get["when"] == "ack":
            return [*frames, cut]
        return [cut, *frames] if get["then"] == "replay" else [cut]

    def filter_poll(self, task: dict[str, Any], run: TaskRun | None, frames: list[Outgoing]) -> list[Outgoing]:
        """Lose the response to a poll."""
        if self.parameters["when"] != "poll":
            return frames
        self.record_use()
        return [ConnectionCut(self.parameters["how"])]


class DropBetweenResults(CutAfter):
    """X6: a connection lost between results."""

    name = "X6"
    summary = "the connection is lost after a number of results; a resume replays the rest, all of them, or nothing"
    defaults = {"after_results": 1, "after_tasks": None, "replay": "rest", "how": "fin", "mid_frame": False}


class CleanClose(CutAfter):
    """X7: a close frame while tasks run."""

    name = "X7"
    summary = "a close frame with `code` while tasks run"
    defaults = {"after_tasks": 1, "after_results": None, "code": 1000, "replay": "rest", "how": "close"}


class EarlyReplay(Fault):
    """X8: a replay before the authentication reply."""

    name = "X8"
    summary = "a resume replays frames before the reply to its authentication"
    default_times = None

    def on_resume(self, plan: ReplayPlan) -> None:
        """Replay before the reply."""
        self.record_use()
        plan.before = True


class Inactivity(Fault):
    """X17: a short inactivity limit."""

    name = "X17"
    summary = "a connection is closed after `after` seconds without a message, instead of 120"
    defaults = {"after": 0.2}
    default_times = None

    def on_added(self, state: ServerState) -> None:
        """Shorten the limit."""
        self._previous = state.options.inactivity
        state.options.inactivity = self.parameters["after"]
        self._host.inactivity_changed()

    def on_removed(self, state: ServerState) -> None:
        """Restore the limit."""
        state.options.inactivity = self._previous


class NewSession(Fault):
    """X18: another UUID for a resumed session."""

    name = "X18"
    summary = "a session gets another UUID when it is resumed"
    default_times = None

    def on_resume(self, plan: ReplayPlan) -> None:
        """Change the UUID."""
        self.record_use()
        plan.new_uuid = True


class LostHttpResponse(Fault):
    """X20: a lost HTTP response."""

    name = "X20"
    summary = (
        "an HTTP request is executed (or not, `run=false`), and (`how`) its connection is reset (cut), or it is"
        " answered `delay` seconds later (late), twice (twice) or not at all (never); or it is answered with `status`,"
        " a Retry-After header of `retry_after` seconds (as a `date`), and a `body` that is not JSON (text), an API"
        " error (error), nothing (empty) or an empty answer (data)"
    )
    defaults = {
        "how": "cut", "status": None, "body": "text", "run": True, "delay": 0.2, "retry_after": None, "date": False,
    }  # fmt: skip
    choices = {"how": ("cut", "late", "twice", "never"), "body": ("text", "error", "empty", "data")}

    def on_http_request(self, tasks: list[Any], runs: list[TaskRun] | None) -> HttpFault | None:
        """Fail the request, on arrival or after its tasks were accepted."""
        get = self.parameters
        concerned = any(isinstance(task, dict) and self.concerns(task) for task in tasks)
        if get["run"] == (runs is None) or not (concerned or self.task_type is None):
            return None
        self.record_use()
        if get["status"] is None:
            return HttpFault(get["how"], delay=get["delay"])
        wait = get["retry_after"]
        if wait is not None and get["date"]:
            wait = formatdate(math.ceil(time.time() + wait), usegmt=True)
        return HttpFault("status", get["status"], get["body"], None if wait is None else str(wait))


class IrregularStream(Fault):
    """X21: an irregular token stream."""

    name = "X21"
    summary = (
        "a token stream with characters split between writes (split), without [DONE] (no-done), with CRLF (crlf), in"
        " one write (joined), without the space after `data:` (no-space), without its last line ending (no-newline),"
        " with usage and cost after the finish (late-usage), with empty UUIDs (empty-uuid), with events in a `data`"
        " object (nested), with an event that is no JSON (garbage); or, after `after` events: reset (cut), closed"
        " (fin), reset or closed within a character (torn, torn-fin), silent (silence), silent but for comments"
        " (pings), with an error (error, error-singular); combine forms with +"
    )
    defaults = {"form": "split", "after": 2}
    _errors = ("error", "error-singular")
    _ends = {"cut": "rst", "fin": "fin", "torn": "rst", "torn-fin": "fin", "silence": "silence", "pings": "pings"}
    _forms = (
        "split", "no-done", "crlf", "joined", "no-space", "no-newline", "late-usage", "empty-uuid", "nested", "garbage",
        *_ends, *_errors,
    )  # fmt: skip

    def __init__(self, host: FaultHost, parameters: dict[str, Any]) -> None:
        super().__init__(host, parameters)
        self._wanted = set(str(self.parameters["form"]).split("+"))
        unknown = sorted(self._wanted - set(self._forms))
        if unknown:
            raise ValueError(f"form of fault X21 must be one or more of {', '.join(self._forms)}; got {unknown[0]!r}")

    def on_stream(self, run: TaskRun, plan: StreamPlan) -> None:
        """Change how the stream is written."""
        self.record_use()
        wanted, after = self._wanted, self.parameters["after"]
        plan.split, plan.joined = "split" in wanted, "joined" in wanted
        plan.done = "no-done" not in wanted
        plan.newline = "\r\n" if "crlf" in wanted else "\n"
        plan.space = "" if "no-space" in wanted else " "
        plan.trailing = "no-newline" not in wanted
        plan.torn = bool(wanted & {"torn", "torn-fin"})
        plan.pause = 0.005
        if "late-usage" in wanted:
            plan.separate_usage()
        for form in sorted(wanted & self._ends.keys()):
            plan.cut(len(plan.events) if plan.torn else after, self._ends[form])
        for form in sorted(wanted & {*self._errors}):
            error = run.error(ApiError("timeoutProvider", "The provider stopped answering."))
            plan.fail(after, {"errors": [error]} if form == "error" else {"error": error})
        if "empty-uuid" in wanted:
            plan.clear_uuids()
        if "nested" in wanted:
            plan.nest()
        if "garbage" in wanted:
            plan.events.insert(after, "{")


class RevokedKey(Fault):
    """X22: a key revoked between connections."""

    name = "X22"
    summary = "the key is rejected after `after` further authentications (default: 1, or 0 if there was one already)"
    defaults = {"after": None}
    default_times = None

    def on_added(self, state: ServerState) -> None:
        """Set the limit from the number of authentications so far."""
        done = state.ledger.authentications
        after = self.parameters["after"]
        self._limit = done + (after if after is not None else int(done == 0))

    def on_authentication(self, connection: WebSocketConnection, task: dict[str, Any]) -> bool:
        """Reject the key from the limit on."""
        if self._host.state.ledger.authentications < self._limit:
            return False
        self.record_use()
        self._host.authenticate(connection, {**task, "apiKey": "revoked"})
        return True


class FailingService(Fault):
    """X25: a failing service that describes models."""

    name = "X25"
    summary = (
        "the services that describe models fail at every path that begins with `path`: they never answer (stall),"
        " answer a byte every `every` seconds (drip), with a page (html), with JSON of another form (nonsense), with"
        " half of it (cut), with more bytes than a client accepts (huge), or with `status` (error)"
    )
    defaults = {"form": "stall", "path": "/", "status": 503, "every": 0.05}
    choices = {"form": ("stall", "drip", "html", "nonsense", "cut", "huge", "error")}
    default_times = None

    def on_service_request(self, path: str) -> ServiceFault | None:
        """Fail the request."""
        get = self.parameters
        if not path.startswith(get["path"]):
            return None
        self.record_use()
        return ServiceFault(get["form"], get["status"] if get["form"] == "error" else 200, get["every"])
