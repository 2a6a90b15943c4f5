"""The session under schedules that hypothesis makes up: whatever happens, the rules hold.

`RUNWARE_SCHEDULES` sets how many schedules are tried (the default is short; a long run takes 100000).
"""

from __future__ import annotations

import os
import random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from runware._engine.calls import Call, CallState, Completion
from runware._engine.effects import State
from runware._engine.ids import new_uuid
from runware.errors import AuthenticationError, ConnectionFailedError, ConnectionLostError, RunwareError

from .support import Desk, image

SCHEDULES = int(os.environ.get("RUNWARE_SCHEDULES", "150"))
CODES = ["rateLimitExceeded", "inferenceError", "invalidWidth", "internalServerError", "invalidProviderContent"]


class Server:
    """What a server would know: which UUIDs it has got, what it runs, and how often it began to."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.begun: dict[str, int] = {}
        self.failed: set[str] = set()
        self.done: dict[str, list[dict[str, Any]]] = {}
        self.questions: list[dict[str, Any]] = []

    def take(self, frames: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Take in what was written, and give the refusals of what is here already."""
        refusals = []
        for task in (task for frame in frames for task in frame):
            if task["taskType"] == "imageInference":
                uuid = task["taskUUID"]
                if uuid in self.tasks:
                    refusals.append({"code": "conflictTaskUUID", "message": "again", "taskUUID": uuid})
                else:
                    self.tasks[uuid] = task
                    self.begun[uuid] = self.begun.get(uuid, 0) + 1
            elif task["taskType"] in ("getResponse", "getTaskDetails"):
                self.questions.append(task)
        return refusals

    def make(self, uuid: str) -> dict[str, Any]:
        items = self.done.setdefault(uuid, [])
        items.append(image(uuid, len(items) + 1))
        return items[-1]

    def wanted(self, uuid: str) -> int:
        return int(self.tasks[uuid].get("numberResults", 1))


class Schedules(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize(
        seed=st.integers(0, 2**32),
        reconnect=st.sampled_from([True, True, True, False]),
        limit=st.sampled_from([None, None, 1, 3]),
    )
    def start(self, seed: int, reconnect: bool, limit: int | None) -> None:
        self.rng = random.Random(f"not the seed of the session: {seed}")
        self.desk = Desk(seed=seed, reconnect=reconnect, max_in_flight=limit, dial_attempts=2)
        self.server = Server()
        self.known: list[Call] = []
        self.cancelled: set[Call] = set()
        self.prompts: dict[Call, list[str]] = {}

    @property
    def session(self) -> Any:
        return self.desk.session

    # ------------------------------------------------------------------ callers

    @rule(
        target=calls, expected=st.integers(1, 3), timeout=st.sampled_from([1.0, 20.0, 300.0]), retry=st.integers(0, 2)
    )
    def submit(self, expected: int, timeout: float, retry: int) -> Call:
        uuid = new_uuid(self.rng)
        call = self.desk.submit(uuid, expected=expected, timeout=timeout, retry=retry, body={"numberResults": expected})
        self.known.append(call)
        return call

    @rule(call=calls)
    def cancel(self, call: Call) -> None:
        if call.state is not CallState.DONE:
            self.cancelled.add(call)
        self.desk.cancel(call)

    @rule()
    def hold_writes(self) -> None:
        self.desk.hold_writes = True

    @rule(count=st.integers(0, 3))
    def write_some(self, count: int) -> None:
        self.desk.write(count)

    @rule()
    def write_all(self) -> None:
        self.desk.hold_writes = False
        self.desk.write()

    # ------------------------------------------------------------------ the network

    @precondition(lambda self: self.session.state is State.CONNECTING)
    @rule()
    def dial_succeeds(self) -> None:
        self.desk.open()

    @precondition(lambda self: self.session.state is State.CONNECTING)
    @rule(permanent=st.sampled_from([False, False, True]))
    def dial_fails(self, permanent: bool) -> None:
        self.desk.fail_dial(ConnectionFailedError("refused"), permanent=permanent)

    @precondition(lambda self: self.session.state is State.AUTHENTICATING)
    @rule(same=st.booleans())
    def key_accepted(self, same: bool) -> None:
        self.server.take(self.desk.take_written())
        self.desk.accept_key("5b1f0c5e-6a0f-4d0e-9a5c-0c9a5c1d7e10" if same else new_uuid(self.rng))

    @precondition(lambda self: self.session.state is State.AUTHENTICATING)
    @rule()
    def key_rejected(self) -> None:
        waiting = [call for call in self.known if call.state is not CallState.DONE]
        self.desk.receive({"errors": [{"code": "invalidApiKey", "message": "no", "taskType": "authentication"}]})
        assert all(isinstance(self.desk.ended[call], AuthenticationError) for call in waiting)

    @rule()
    def drop(self) -> None:
        self.refuse(self.server.take(self.desk.take_written()), lost=True)
        self.desk.lose()

    @rule(seconds=st.sampled_from([0.05, 0.5, 5.0, 30.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.desk.pass_time(seconds)

    @rule(seconds=st.sampled_from([3.0, 100.0]))
    def thread_lags(self, seconds: float) -> None:
        self.desk.now += seconds
        self.desk.session.tick(self.desk.now)
        self.desk.perform()

    # ------------------------------------------------------------------ the server

    def refuse(self, refusals: list[dict[str, Any]], *, lost: bool = False) -> None:
        if refusals and not lost and self.ready:
            self.desk.receive({"errors": refusals})

    @property
    def ready(self) -> bool:
        return self.session.state is State.READY

    def sync(self) -> None:
        while frames := self.desk.take_written():
            self.refuse(self.server.take(frames))

    @precondition(lambda self: self.ready)
    @rule(data=st.data(), copies=st.integers(1, 2), extra=st.booleans())
    def push_result(self, data: st.DataObject, copies: int, extra: bool) -> None:
        self.sync()
        open_tasks = [uuid for uuid in self.server.tasks if uuid not in self.server.failed]
        if open_tasks and self.ready:
            uuid = data.draw(st.sampled_from(open_tasks))
            done = self.server.done.get(uuid, [])
            item = self.server.make(uuid) if len(done) < self.server.wanted(uuid) or extra else done[0]
            self.desk.receive({"data": [item] * copies})

    @precondition(lambda self: self.ready)
    @rule(data=st.data(), code=st.sampled_from(CODES))
    def push_error(self, data: st.DataObject, code: str) -> None:
        self.sync()
        fresh = [uuid for uuid in self.server.tasks if not self.server.done.get(uuid)]
        if fresh and self.ready:
            uuid = data.draw(st.sampled_from(fresh))
            self.server.failed.add(uuid)
            self.desk.receive({"errors": [{"code": code, "message": code, "taskUUID": uuid}]})

    @precondition(lambda self: self.ready)
    @rule()
    def acknowledge(self) -> None:
        self.sync()
        uuids = [uuid for uuid in self.server.tasks if uuid not in self.server.failed]
        if self.ready:
            self.desk.receive({"data": [{"taskType": "imageInference", "taskUUID": uuid} for uuid in uuids]})

    @precondition(lambda self: self.ready)
    @rule(empty=st.booleans())
    def answer(self, empty: bool) -> None:
        """Answer one question truthfully."""
        self.sync()
        if not self.server.questions or not self.ready:
            return
        question = self.server.questions.pop(0)
        uuid, kind = question["taskUUID"], question["taskType"]
        if uuid not in self.server.tasks:
            unknown = {"code": "taskNotFound", "message": "unknown", "taskUUID": uuid, "taskType": kind}
            self.desk.receive({"data": []} if empty else {"errors": [unknown]})
        elif uuid in self.server.failed:
            error = {"code": "inferenceError", "message": "failed", "taskUUID": uuid, "status": "error"}
            self.desk.receive({"errors": [error]})
        elif kind == "getResponse":
            done = [{**item, "status": "success"} for item in self.server.done.get(uuid, [])]
            running = {"taskType": "imageInference", "taskUUID": uuid, "status": "processing"}
            missing = self.server.wanted(uuid) - len(done)
            self.desk.receive({"data": done + [running] * missing})
        else:
            done = self.server.done.get(uuid, [])
            response = {"data": done} if len(done) >= self.server.wanted(uuid) else None
            self.desk.receive({"data": [{"taskType": kind, "taskUUID": uuid, "request": [{}], "response": response}]})

    @rule(
        message=st.sampled_from(
            [
                b"garbage",
                b"{}",
                b"[]",
                b'{"data":[]}',
                b'{"data":null}',
                b'{"data":["x"]}',
                b'{"errors":[{}]}',
                b'{"data":[{"taskType":"ping","pong":true}]}',
                b'{"error":"odd"}',
            ]
        )
    )
    def noise(self, message: bytes) -> None:
        if self.session.state is not State.AUTHENTICATING or b"error" not in message:
            self.desk.receive(message)

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def every_call_is_in_one_place(self) -> None:
        if not hasattr(self, "known"):
            return
        for call in self.known:
            ended = call in self.desk.ended
            open_ = self.session.calls.get(call.key) is call
            assert ended + open_ + (call in self.cancelled) == 1, call
            if open_:
                assert self.desk.now <= call.deadline + 400.0

    @invariant()
    def no_call_outlives_its_deadline(self) -> None:
        if not hasattr(self, "known"):
            return
        due = self.session.next_deadline()
        for call in self.session.calls.values():
            assert due is not None
            assert due <= call.deadline

    @invariant()
    def nothing_is_bought_twice(self) -> None:
        if not hasattr(self, "known"):
            return
        assert all(count == 1 for count in self.server.begun.values())
        for call in self.known:
            # A UUID is only left behind after the server's own word that it failed.
            for attempt in call.attempts or ():
                assert attempt.split(":")[0] in self.server.failed

    @invariant()
    def what_came_is_what_was_made(self) -> None:
        if not hasattr(self, "known"):
            return
        for call, error in self.desk.ended.items():
            if error is None and call.completion is Completion.RESULTS:
                assert len(call.items) >= call.expected
            names = [item["imageUUID"] + item["taskUUID"] for item in call.items]
            assert len(names) == len(set(names))
            if isinstance(error, ConnectionLostError) and not error.may_have_run:
                assert call.uuid not in self.server.tasks

    def teardown(self) -> None:
        if not hasattr(self, "known"):
            return
        self.desk.pass_time(2000.0)
        self.desk.close()
        assert self.session.calls == {}
        assert all(call in self.desk.ended or call in self.cancelled for call in self.known)
        assert all(error is None or isinstance(error, RunwareError) for error in self.desk.ended.values())
        assert self.session.next_deadline() is None


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(
    max_examples=SCHEDULES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
