"""Answers tasks, wherever they come from. Everything here happens on the server's own event loop."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Protocol

from runware.local import polls
from runware.local.answers import prompt_of
from runware.local.connection import Connection
from runware.local.couriers import Couriers
from runware.local.faults import Faults
from runware.local.jobs import Job, Sink, make_item, mark_applies
from runware.local.runner import Runner
from runware.local.sessions import Output, Replay, Session
from runware.local.state import State
from runware.local.tasks import TASK_TYPES, TaskType, check_uuid
from runware.local.validation import DOCUMENTATION, Rejected

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Caller", "Engine", "Script"]

Script = Callable[[dict[str, Any]], list[Any] | None]

_AUTHENTICATION_PAGE = "https://runware.ai/docs/models-api/authentication"


class Caller(Sink, Protocol):
    """Whoever sent a task: a session, or an HTTP request.

    Attributes:
        http: Whether it is an HTTP request.
        dry: Whether its tasks are only validated.
    """

    http: bool
    dry: bool

    def attach(self, job: Job) -> None:
        """A job was accepted and will start."""

    def begin(self) -> None:
        """An answer will come later."""

    def finish(self) -> None:
        """An answer that was to come later has come."""


class SessionCaller:
    """A task that came over a WebSocket."""

    http = False

    def __init__(self, session: Session, dry: bool) -> None:
        self.session = session
        self.dry = dry

    def deliver(self, outputs: list[Output]) -> None:
        """Send frames to the session."""
        self.session.deliver(outputs)

    def attach(self, job: Job) -> None:
        """Its results are pushed; nothing has to be noted."""

    def begin(self) -> None:
        """Answers are pushed; nothing has to be noted."""

    def finish(self) -> None:
        """Answers are pushed; nothing has to be noted."""


class Engine:
    """The server without its listening socket and its thread.

    Args:
        state: What survives this engine.
        faults: What goes wrong on request.
        loop: The event loop that everything runs on.
        executor: Threads that draw pictures.
        http: Makes the protocols of plain HTTP connections.
    """

    def __init__(
        self,
        state: State,
        faults: Faults,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        http: web.Server,
    ) -> None:
        self.state = state
        self.faults = faults
        self.loop = loop
        self._http = http
        self.couriers = Couriers(state)
        self.runner = Runner(state, faults, self.couriers, loop, executor)
        self.connections: list[Connection] = []
        self.sessions: dict[str, Session] = {}
        self.waiting: set[asyncio.Transport] = set()
        self.transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self.script: Script | None = None
        self._attempts: Counter[str] = Counter()
        faults.started(loop, self.inactivity_changed)

    # Connections.

    def connection_opened(self, connection: Connection) -> None:
        """A WebSocket was opened."""
        self.connections.append(connection)
        self.state.ledger.count("connections")

    def connection_lost(self, connection: Connection) -> None:
        """A WebSocket is gone."""
        if connection in self.connections:
            self.connections.remove(connection)
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection = None
            session.lost_at = self.loop.time()
            self.loop.call_later(self.state.options.resume_window + 0.001, self._expire, session)
        self.state.ledger.changed()

    def inactivity_changed(self) -> None:
        """The limit of inactivity was changed; look at every connection again."""
        for connection in self.connections:
            connection.inactivity_changed()

    def http_protocol(self) -> asyncio.Protocol:
        """Make the protocol of a plain HTTP connection."""
        return self._http()

    def http_transports(self) -> list[asyncio.Transport]:
        """The plain HTTP connections that are open now."""
        return [handler.transport for handler in self._http.connections if handler.transport is not None]

    def _expire(self, session: Session) -> None:
        if session.connection is None and self._expired(session):
            self.sessions.pop(session.uuid, None)
            session.expire()

    def _expired(self, session: Session) -> bool:
        window = self.state.options.resume_window
        return session.connection is None and self.loop.time() - session.lost_at > window

    # Messages.

    def message_received(self, connection: Connection, payload: bytes) -> None:
        """Answer one WebSocket message."""
        problem, body = read_body(self.state, payload)
        if problem is not None:
            connection.send({"errors": [problem]})
            return
        caller: SessionCaller | None = None
        for task in body:
            if caller is None or caller.session is not connection.session:
                session = connection.session
                caller = SessionCaller(session, connection.dry) if session is not None else None
            self._task_received(connection, caller, task)

    def binary_received(self, connection: Connection) -> None:
        """Refuse a binary message."""
        error = {"code": self.state.switches.q14, "message": "Messages must be text."}
        connection.send({"errors": [error | {"documentation": DOCUMENTATION}]})

    def _task_received(self, connection: Connection, caller: SessionCaller | None, task: Any) -> None:
        if not isinstance(task, dict):
            connection.send({"errors": [not_an_object(self.state)]})
            return
        self.state.ledger.receive(task)
        scripted = self.scripted(task)
        if scripted is not None:
            for output in scripted:
                connection.send(output)
            return
        if self.faults.active and self.faults.task_received(connection, task):
            return
        kind = task.get("taskType")
        if kind == "authentication":
            self._authenticate(connection, task)
        elif caller is None:
            error = Rejected("missingApiKey", "Authenticate first.", "apiKey").wire(task)
            self.state.ledger.count("rejected")
            connection.send({"errors": [error]})
        elif kind == "ping":
            self.state.ledger.count("pings")
            if not self.faults.pinged(connection, "json"):
                connection.send({"data": [{"taskType": "ping", "pong": True}]})
        else:
            self.submit(task, caller)

    def scripted(self, task: dict[str, Any]) -> list[Any] | None:
        """What the test's own script answers; `None` if it leaves the task to the server."""
        if self.script is None:
            return None
        try:
            return self.script(task)
        except Exception as error:
            self.state.ledger.errors.append(error)
            return [{"errors": [Rejected("internalServerError", f"The script failed: {error!r}").wire(task)]}]

    # Authentication.

    def check_key(self, key: Any) -> None:
        """Accept a key.

        Raises:
            Rejected: It is missing or wrong.
        """
        details = {"type": "string", "taskType": "authentication"}
        if not isinstance(key, str) or not key:
            rejected = Rejected("missingApiKey", "The API key is missing.", "apiKey", **details)
        elif key != self.state.options.api_key:
            rejected = Rejected("invalidApiKey", "The API key is not valid.", "apiKey", **details)
        else:
            return
        self.state.ledger.count("refusals")
        raise rejected

    def _authenticate(self, connection: Connection, task: dict[str, Any]) -> None:
        if self.faults.active and self.faults.authenticating(connection, task):
            return
        self.authenticate(connection, task)

    def authenticate(self, connection: Connection, task: dict[str, Any]) -> None:
        """Answer an authentication, faults aside."""
        try:
            self.check_key(task.get("apiKey"))
            asked = task.get("connectionSessionUUID")
            session = self._find_session(asked) if asked is not None else connection.session
        except Rejected as rejected:
            self.refuse(connection, {"errors": [rejected.wire({}) | {"documentation": _AUTHENTICATION_PAGE}]})
            return
        ledger = self.state.ledger
        ledger.authentications += 1
        if asked is not None and session is not None:
            self._resume(connection, session)
        else:
            if session is None:
                session = Session(connection)
                self.sessions[session.uuid] = session
            connection.session = session
            self._welcome(connection, session)
        ledger.changed()
        if self.faults.active:
            self.faults.authenticated(connection)

    def refuse(self, connection: Connection, frame: Output) -> None:
        """Send a refusal, and close if the switch says so."""
        connection.send(frame)
        if self.state.switches.q3 != "open":
            connection.close(int(self.state.switches.q3))

    def _welcome(self, connection: Connection, session: Session) -> None:
        connection.send({"data": [{"taskType": "authentication", "connectionSessionUUID": session.uuid}]})

    def _find_session(self, uuid: Any) -> Session | None:
        session = self.sessions.get(uuid) if isinstance(uuid, str) else None
        if session is not None and not self._expired(session):
            return session
        if self.state.switches.q2 == "error":
            name = "connectionSessionUUID"
            message = "The session is unknown or has expired."
            raise Rejected("invalidConnectionSessionUUID", message, name, type="string", taskType="authentication")
        return None

    def _resume(self, connection: Connection, session: Session) -> None:
        switches = self.state.switches
        plan = Replay(
            new_uuid=switches.q1 == "new",
            before=switches.q4 == "before",
            written=switches.q5 == "yes",
            undelivered=switches.replay,
        )
        if self.faults.active:
            self.faults.resuming(plan)
        previous = session.connection
        if previous is not None and previous is not connection:
            previous.session = None
            if previous.stalled:
                previous.abort()
        frames = session.take(plan)
        session.connection = connection
        connection.session = session
        if plan.new_uuid:
            self.sessions.pop(session.uuid, None)
            session.uuid = connection.uuid
            self.sessions[session.uuid] = session
        self.state.ledger.resumes += 1
        self.state.ledger.replayed += len(frames)
        if plan.before:
            session.deliver(frames)
        self._welcome(connection, session)
        if not plan.before:
            session.deliver(frames)

    # Tasks.

    def submit(self, task: dict[str, Any], caller: Caller) -> None:
        """Execute a task, or answer a question about one."""
        try:
            spec, uuid = self._validate(task, caller)
            if spec.name == "getResponse":
                self._poll(task, uuid, caller)
            elif spec.name == "getTaskDetails":
                answer = polls.details(self.state, task)
                self.answer(self.state.options.delay_for(task, quick=True), caller, [answer])
            else:
                self._accept(task, spec, uuid, caller)
        except Rejected as rejected:
            self.state.ledger.count("rejected")
            caller.deliver([{"errors": [rejected.wire(task)]}])
        except Exception as error:
            # An error of ours, or of a function that a test gave us, must not leave a client waiting.
            self.state.ledger.errors.append(error)
            failed = Rejected("internalServerError", f"The local server failed: {error!r}")
            caller.deliver([{"errors": [failed.wire(task)]}])

    def _validate(self, task: dict[str, Any], caller: Caller) -> tuple[TaskType, str]:
        switches = self.state.switches
        kind = task.get("taskType")
        if kind is None:
            raise Rejected(switches.q14, "'taskType' is required.", "taskType", type="string")
        spec = TASK_TYPES.get(kind) if isinstance(kind, str) else None
        if spec is None:
            raise Rejected("unsupportedTaskType", f"There is no task type {kind!r}.", "taskType", type="string")
        uuid = check_uuid(task, switches.q14)
        spec.validate(task, strict=switches.strict)
        if task.get("deliveryMethod") == "stream" and not caller.http and switches.q10 == "error":
            message = "Tokens are streamed over HTTP only."
            raise Rejected("unsupportedParameter", message, "deliveryMethod", type="string")
        return spec, uuid

    def _poll(self, task: dict[str, Any], uuid: str, caller: Caller) -> None:
        self.state.ledger.poll(uuid)
        self.answer(
            self.state.options.delay_for(task, quick=True), caller, lambda: self._poll_answer(task, uuid, caller)
        )

    def _poll_answer(self, task: dict[str, Any], uuid: str, caller: Caller) -> list[Output]:
        job = self.state.jobs.get(uuid)
        progress = self.runner.progress(job) if job is not None else 0
        frames: list[Output] = [polls.poll(self.state, task, progress, http=caller.http)]
        return self.faults.polled(task, job, frames) if self.faults.active else frames

    def answer(self, delay: float, caller: Caller, outputs: list[Output] | Callable[[], list[Output]]) -> None:
        """Answer a question, now or later."""
        if delay > 0:
            caller.begin()
            self.loop.call_later(delay, self._answer_late, caller, outputs)
            return
        caller.deliver(outputs() if callable(outputs) else outputs)

    def _answer_late(self, caller: Caller, outputs: list[Output] | Callable[[], list[Output]]) -> None:
        self.answer(0.0, caller, outputs)
        caller.finish()

    def _accept(self, task: dict[str, Any], spec: TaskType, uuid: str, caller: Caller) -> None:
        state, ledger = self.state, self.state.ledger
        prompt = prompt_of(task)
        record = ledger.submit(uuid, task["taskType"], prompt)
        known = state.jobs.get(uuid)
        if known is not None and not spec.repeatable and not known.dry and not self.faults.duplicates(task):
            ledger.conflicts += 1
            raise Rejected("conflictTaskUUID", "This taskUUID was already used.", "taskUUID", type="string")
        job = Job(task, spec, prompt, record, caller)
        if state.switches.unasked_async and job.delivery == "sync" and not spec.quick and "deliveryMethod" not in task:
            job.delivery = "async"
        if caller.dry:
            self._dry_run(job, caller)
            return
        if "[" in prompt:
            self._attempts[prompt] += 1
            job.attempt = self._attempts[prompt]
            self._refuse_by_prompt(prompt, job.attempt)
        self._charge(spec, job.asked)
        job.ack = state.switches.q8
        job.delay = state.options.delay_for(task, quick=spec.quick)
        if self.faults.active:
            self.faults.accepted(job)
        caller.attach(job)
        acknowledged = job.delivery != "sync"
        if job.ack == "finished":
            self.runner.start(job)
        frames: list[Output] = [self._acknowledgement(job)] if acknowledged else []
        if self.faults.active:
            frames = self.faults.acknowledging(job, frames)
        if frames:
            caller.deliver(frames)
        if job.ack != "finished":
            self.runner.start(job)

    def _acknowledgement(self, job: Job) -> dict[str, Any]:
        finished = polls.finished_items(job) if job.ack == "finished" else []
        if finished:
            return {"data": finished}
        if job.ack == "processing":
            return {"data": [{**job.head, "status": "processing"}]}
        return {"data": [job.head]}

    def _refuse_by_prompt(self, prompt: str, attempt: int) -> None:
        if mark_applies(prompt, "[rate-limit", attempt):
            raise Rejected("rateLimitExceeded", "Slow down.")
        if "[error:" in prompt:
            code = prompt.partition("[error:")[2].partition("]")[0]
            raise Rejected(code, f"The prompt asked for the error {code}.")

    def _charge(self, spec: TaskType, results: int) -> None:
        options = self.state.options
        if options.balance is None or not spec.price:
            return
        cost = spec.price * results
        if cost > options.balance:
            raise Rejected("insufficientCredits", "Top up your balance.")
        options.balance -= cost

    def _dry_run(self, job: Job, caller: Caller) -> None:
        job.dry = True
        self.state.ledger.count("dry_runs")
        for index in range(job.count):
            job.items[index] = make_item(self.state, job, index, None, None)
        self.state.remember(job)
        if job.delivery != "sync":
            caller.deliver([{"data": [job.head]}])
            return
        items = list(job.items.values()) if self.state.switches.q11 == "items" else []
        caller.deliver([{"data": items}])


def not_an_object(state: State) -> dict[str, Any]:
    """The error for a task that is no JSON object."""
    error = {"code": state.switches.q14, "message": "Every task must be an object."}
    return error | {"documentation": DOCUMENTATION}


def read_body(state: State, payload: bytes) -> tuple[dict[str, Any] | None, list[Any]]:
    """Read a message: an error, or the tasks in it."""
    code = state.switches.q14
    try:
        body = json.loads(payload.decode())
    except (ValueError, RecursionError):
        message = "The message is not JSON."
    else:
        most = state.switches.q15
        if isinstance(body, list) and (not most or len(body) <= most):
            return None, body
        message = f"At most {most} tasks in one message." if isinstance(body, list) else "An array is required."
    return {"code": code, "message": message, "documentation": DOCUMENTATION}, []
