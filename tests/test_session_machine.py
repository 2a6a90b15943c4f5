"""The session under schedules that hypothesis makes up: whatever happens, the rules hold.

`RUNWARE_SCHEDULES` sets how many schedules are tried (the default is short; a long run takes 100000).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runware.errors import (
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    RunwareError,
    TaskError,
    TaskTimeoutError,
)
from runware.events import Resolved
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.effects import State
from runware.protocol.ids import new_uuid

from .support import Desk, image

SCHEDULES = int(os.environ.get("RUNWARE_SCHEDULES", "150"))
CODES = ["rateLimitExceeded", "inferenceError", "invalidWidth", "internalServerError", "invalidProviderContent"]
RESULT_CODES = ["inferenceError", "invalidProviderContent", "gpuOutOfMemory", "internalServerError", "timeoutProvider"]
REFUSALS = ["rateLimitExceeded", "invalidWidth", "insufficientCredits"]
EMPTY = [b"{}", b"[]", b'{"data":[]}', b'{"data":null}', b'{"data":["x"]}']
WHICH = st.integers(0, 30)
REPLAYS = ["before", "after", "twice", "none"]
OTHER = [
    b"garbage",
    b'{"pong":true}',
    b'{"errors":[{}]}',
    b'{"data":[{"taskType":"ping","pong":true}]}',
    b'{"error":"odd"}',
]


class Server:
    """What a server would know: which UUIDs it has got, what it runs, and what it said.

    Attributes:
        tasks: The tasks it has got, by UUID.
        refused: UUIDs that it got although it had them.
        failed: The code with which a task failed as a whole.
        done: The results of each task.
        bad: The codes of the results of each task that failed alone.
        questions: What it was asked and has not answered.
        backlog: Frames that found no connection, for the next one.
    """

    def __init__(
        self, *, response: str, details: str, running_items: str, errors_form: str, running_details: str
    ) -> None:
        self.response = response  # what getResponse answers for a task that runs: "found", "denied", "empty", "trouble"
        self.details = details  # and getTaskDetails
        self.running_items = running_items  # Q9: "all" results that run have an item in an answer, or "one", or none
        self.errors_form = errors_form  # Q7: "errors", "item", or "mixed"
        self.running_details = running_details  # "partial" or "bare": what the details of a task that runs tell
        self.tasks: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self.failed: dict[str, str] = {}
        self.done: dict[str, list[dict[str, Any]]] = {}
        self.bad: dict[str, list[str]] = {}
        self.made = 0
        self.told: set[str] = set()  # what it has told of, and does not refuse any more
        self.questions: list[dict[str, Any]] = []
        self.backlog: list[dict[str, Any]] = []

    def take(self, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Take in what arrived, and give the refusals of what is here already."""
        refusals = []
        for task in tasks:
            if task["taskType"] == "imageInference":
                uuid = task["taskUUID"]
                if uuid in self.tasks:
                    self.refused.append(uuid)
                    self.told.add(uuid)
                    refusals.append({"code": "conflictTaskUUID", "message": "again", "taskUUID": uuid})
                else:
                    self.tasks[uuid] = task
            elif task["taskType"] in ("getResponse", "getTaskDetails"):
                self.questions.append(task)
        return refusals

    def refuse(self, uuid: str) -> None:
        """Refuse a task, and keep nothing of it."""
        del self.tasks[uuid]

    def wanted(self, uuid: str) -> int:
        return int(self.tasks[uuid].get("numberResults", 1))

    def left(self, uuid: str) -> int:
        """How many results are still to come."""
        return (
            0
            if uuid in self.failed
            else max(0, self.wanted(uuid) - len(self.done.get(uuid, ())) - len(self.bad.get(uuid, ())))
        )

    @property
    def running(self) -> list[str]:
        return [uuid for uuid in self.tasks if self.left(uuid) > 0]

    def make(self, uuid: str) -> dict[str, Any]:
        items = self.done.setdefault(uuid, [])
        self.made += 1
        items.append(image(uuid, self.made))
        return items[-1]

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer a question in one of the forms that a server may use."""
        uuid, kind = question["taskUUID"], question["taskType"]
        runs = uuid in self.tasks and self.left(uuid) > 0
        way = (self.response if kind == "getResponse" else self.details) if runs else "found"
        if uuid not in self.tasks or way == "denied":
            unknown = {"code": "taskNotFound", "message": "unknown", "taskUUID": uuid, "taskType": kind}
            return {"errors": [unknown]}
        if way == "empty":
            return {"data": []}
        self.told.add(uuid)
        if way == "trouble":
            trouble = {"code": "internalServerError", "message": "busy", "taskUUID": uuid, "taskType": kind}
            return {"errors": [trouble]}
        return self.details_of(uuid) if kind == "getTaskDetails" else self.response_of(uuid)

    def details_of(self, uuid: str) -> dict[str, Any]:
        named = {"taskType": "imageInference", "taskUUID": uuid}
        done, bad, code = self.done.get(uuid, []), self.bad.get(uuid, []), self.failed.get(uuid)
        errors = [{"code": one, "message": "failed", **named} for one in ([code] if code else bad)]
        details: dict[str, Any] = {"taskType": "getTaskDetails", "taskUUID": uuid, "request": [{}]}
        if self.left(uuid) == 0 or self.running_details == "partial":
            response = {"data": done, **({"errors": errors} if errors else {})}
            details["response"] = [response] if self.errors_form == "item" else response
        return {"data": [details]}

    def response_of(self, uuid: str) -> dict[str, Any]:
        named = {"taskType": "imageInference", "taskUUID": uuid}
        done, bad, code = self.done.get(uuid, []), self.bad.get(uuid, []), self.failed.get(uuid)
        items = [{**item, "status": "success"} for item in done]
        shown = {"all": self.left(uuid), "one": min(1, self.left(uuid)), "none": 0}[self.running_items]
        items += [{**named, "status": "processing"}] * shown
        codes = [code] if code else bad
        if self.errors_form == "errors" or (self.errors_form == "mixed" and code):
            failures = [{"code": one, "message": "failed", "status": "error", **named} for one in codes]
            return {"data": items, **({"errors": failures} if failures else {})}
        bad_items = [{**named, "status": "error", "error": {"code": one, "message": "failed"}} for one in codes]
        return {"data": items + bad_items}


class Schedules(RuleBasedStateMachine):
    @initialize(
        seed=st.integers(0, 2**32),
        reconnect=st.sampled_from([*[True] * 7, False]),
        limit=st.sampled_from([None, None, 1, 3]),
        response=st.sampled_from(["found", "found", "denied", "empty", "trouble"]),
        details=st.sampled_from(["found", "found", "denied", "empty"]),
        running_items=st.sampled_from(["all", "all", "one", "none"]),
        errors_form=st.sampled_from(["mixed", "errors", "item"]),
        running_details=st.sampled_from(["partial", "bare"]),
        up=st.sampled_from([*[True] * 7, False]),
    )
    def start(self, seed: int, reconnect: bool, limit: int | None, up: bool, **ways: str) -> None:
        self.rng = random.Random(f"the test's own, {seed}")
        self.desk = Desk(seed=seed, reconnect=reconnect, max_in_flight=limit, dial_attempts=2, events=True)
        self.server = Server(**ways)
        self.known: list[Call] = []
        self.cancelled: set[Call] = set()
        self.names: dict[Call, list[str]] = {}  # every UUID a call has had
        self.told: set[Call] = set()  # whose error was looked at, at the time
        if up:
            self.desk.connect()
            self.desk.open()
            self.desk.accept_key()

    @property
    def session(self) -> Any:
        return self.desk.session

    # ------------------------------------------------------------------ callers

    @rule(
        count=st.integers(1, 3),
        expected=st.sampled_from([1, 1, 2, 3]),
        timeout=st.sampled_from([1.0, 20.0, 300.0, 300.0, 300.0]),
        retry=st.integers(0, 2),
    )
    def submit(self, count: int, expected: int, timeout: float, retry: int) -> None:
        for _ in range(count):
            uuid = new_uuid(self.rng)
            body = {"numberResults": expected}
            call = self.desk.submit(uuid, expected=expected, timeout=timeout, retry=retry, body=body)
            self.known.append(call)
            self.names[call] = [uuid]

    @precondition(lambda self: self.known)
    @rule(what=st.sampled_from(["cancel", "connect", "hold writes", "write some", "write all"]), which=WHICH)
    def little_things(self, what: str, which: int) -> None:
        if what == "cancel":
            call = self.known[which % len(self.known)]
            if call.state is not CallState.DONE:
                self.cancelled.add(call)
            self.desk.cancel(call)
        elif what == "connect" and self.ready:
            call = self.desk.connect()
            assert call in self.desk.ended or not self.ready
        elif what == "hold writes":
            self.desk.hold_writes = True
        elif what == "write some":
            self.desk.write(which % 4)
        elif what == "write all":
            self.desk.hold_writes = False
            self.desk.write()

    # ------------------------------------------------------------------ the network

    @precondition(lambda self: self.session.state in (State.CONNECTING, State.AUTHENTICATING))
    @rule(
        outcome=st.sampled_from([*["well"] * 10, "bad", "worse", "lost"]),
        same=st.booleans(),
        replay=st.sampled_from(REPLAYS),
    )
    def dial_or_authentication_ends(self, outcome: str, same: bool, replay: str) -> None:
        dialling = self.session.state is State.CONNECTING
        if outcome == "lost" and not dialling:
            self.desk.lose()
        elif outcome == "well":
            self.desk.open() if dialling else self.accept_key(same, replay)
        elif dialling:
            self.desk.fail_dial(ConnectionFailedError("refused"), permanent=outcome == "worse")
        else:
            waiting = [call for call in self.known if call.state is not CallState.DONE]
            code = "invalidApiKey" if outcome == "worse" else "invalidConnectionSessionUUID"
            self.desk.receive({"errors": [{"code": code, "message": "no", "taskType": "authentication"}]})
            if outcome == "worse":
                assert all(isinstance(self.desk.ended[call], AuthenticationError) for call in waiting)
            assert self.session.session_uuid is None

    def accept_key(self, same: bool, replay: str) -> None:
        self.arrive(self.desk.take_written())
        backlog, self.server.backlog = self.server.backlog, []
        if replay in ("before", "twice"):
            self.push(*backlog)
        assert all(task["taskType"] == "authentication" for frame in self.desk.written for task in frame)
        if self.session.state is State.AUTHENTICATING:
            self.desk.accept_key("5b1f0c5e-6a0f-4d0e-9a5c-0c9a5c1d7e10" if same else new_uuid(self.rng))
        if replay in ("after", "twice"):
            self.push(*backlog)

    def come_up(self, same: bool, replay: str) -> None:
        if self.session.state is State.BACKING_OFF:
            self.desk.pass_time(max(0.0, self.session.next_deadline() - self.desk.now))
        if self.session.state is State.CONNECTING:
            self.desk.open()
        if self.session.state is State.AUTHENTICATING:
            self.accept_key(same, replay)

    @precondition(lambda self: self.known)
    @rule(
        lost=st.sampled_from([0, 0, 1, 2, 100]),
        back=st.sampled_from([*[True] * 5, False]),
        same=st.booleans(),
        replay=st.sampled_from(REPLAYS),
    )
    def drop(self, lost: int, back: bool, same: bool, replay: str) -> None:
        """The connection is gone, and with it the last messages that were written; mostly it comes back."""
        frames = self.desk.take_written()
        self.arrive(frames[: max(0, len(frames) - lost)])
        self.desk.lose()
        if back:
            self.come_up(same, replay)

    @rule(
        seconds=st.sampled_from([*[0.05, 0.5, 1.0, 2.0] * 3, 5.0, 30.0, 400.0]),
        lag=st.sampled_from([0.0, 0.0, 3.0, 100.0]),
    )
    def time_passes(self, seconds: float, lag: float) -> None:
        if lag and seconds < 30.0:  # and nobody looked
            self.desk.now += lag
            self.desk.session.tick(self.desk.now)
            self.desk.perform()
        self.desk.pass_time(seconds)

    # ------------------------------------------------------------------ the server

    def arrive(self, frames: list[list[dict[str, Any]]]) -> None:
        """What was written reaches the server; what it refuses is told."""
        refusals = self.server.take([task for frame in frames for task in frame])
        may_deny = self.server.details == "denied"  # although it has the task; the conflict tells the truth then
        assert may_deny or not self.server.refused, "a task was sent again that the server had never denied"
        if refusals:
            self.push({"errors": refusals})

    def push(self, *frames: dict[str, Any]) -> None:
        """Tell the client, or keep it for the next connection."""
        for frame in frames:
            if self.session.state in (State.READY, State.AUTHENTICATING):
                self.desk.receive(frame)
            else:
                self.server.backlog.append(frame)

    @property
    def ready(self) -> bool:
        return self.session.state is State.READY

    def sync(self) -> None:
        while self.ready and (frames := self.desk.take_written()):
            self.arrive(frames)

    @precondition(lambda self: self.server.tasks or self.ready)
    @rule(
        what=st.sampled_from(
            ["result", "result", "result", "one fails", "one fails", "all fail", "refused", "acknowledged"]
        ),
        which=WHICH,
        copies=st.sampled_from([1, 1, 2]),
        code=st.sampled_from(CODES),
        result_code=st.sampled_from(RESULT_CODES),
        refusal=st.sampled_from(REFUSALS),
        extra=st.sampled_from([False, False, True]),
        times=st.integers(1, 4),
    )
    def server_tells(
        self, what: str, which: int, copies: int, code: str, result_code: str, refusal: str, extra: bool, times: int
    ) -> None:
        code = {"one fails": result_code, "refused": refusal}.get(what, code)
        for turn in range(times):
            self.sync()
            self.tell(what, which + turn, copies, code, extra)

    def tell(self, what: str, which: int, copies: int, code: str, extra: bool) -> None:
        server = self.server
        if what == "result":
            suited = [uuid for uuid in server.tasks if uuid not in server.failed and (extra or server.left(uuid) > 0)]
        elif what == "one fails":
            suited = [uuid for uuid in server.running if server.wanted(uuid) > 1]
        elif what in ("all fail", "refused"):
            suited = [uuid for uuid in server.running if not server.done.get(uuid) and not server.bad.get(uuid)]
            if what == "refused":
                suited = [uuid for uuid in suited if uuid not in server.told]
        else:
            suited = [uuid for uuid in server.tasks if uuid not in server.failed]
        if not suited:
            return
        uuid = suited[which % len(suited)]
        if what == "result":
            self.push({"data": [server.make(uuid)] * copies})
        elif what == "one fails":
            server.bad.setdefault(uuid, []).append(code)
            self.push(*[{"errors": [{"code": code, "message": "failed", "taskUUID": uuid}]}] * copies)
        elif what == "refused":
            server.refuse(uuid)
            self.push({"errors": [{"code": code, "message": code, "taskUUID": uuid}]})
        elif what == "all fail":
            server.failed[uuid] = code
            self.push({"errors": [{"code": code, "message": code, "taskUUID": uuid}]})
        else:
            server.told.update(suited)
            self.push({"data": [{"taskType": "imageInference", "taskUUID": uuid} for uuid in suited]})

    @precondition(lambda self: self.ready and self.known)
    @rule(most=st.sampled_from([1, 3, 100]), order=st.sampled_from(["first", "first", "last"]), twice=st.booleans())
    def server_answers(self, most: int, order: str, twice: bool) -> None:
        """Answer questions, also late: those of an earlier connection, or after the time for an answer."""
        self.sync()
        for _ in range(most):
            if self.server.questions and self.ready:
                answer = self.server.answer(self.server.questions.pop(0 if order == "first" else -1))
                for _ in range(2 if twice else 1):
                    if self.ready:
                        self.desk.receive(answer)
                self.sync()

    @precondition(lambda self: self.ready and self.server.tasks)
    @rule(which=WHICH, count=st.integers(0, 3))
    def a_message_is_too_large(self, which: int, count: int) -> None:
        """Only what it was about is known. A single task's is given up, several are asked for one by one."""
        self.sync()
        names = list(self.server.tasks)
        self.session.bytes_received(self.desk.now)
        self.session.message_too_large(names[which % len(names) :][:count], 10, self.desk.now)
        self.desk.perform()

    @rule(message=st.sampled_from(EMPTY + OTHER))
    def noise(self, message: bytes) -> None:
        if self.session.state is not State.AUTHENTICATING or b"error" not in message:
            ended = set(self.desk.ended)
            self.desk.receive(message)
            assert set(self.desk.ended) == ended, "a message that names no task ended a call"

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
    def every_call_is_counted_and_told_of_once(self) -> None:
        if not hasattr(self, "known"):
            return
        counts = self.session.counts
        told = Counter(event.status for event in self.desk.happened if isinstance(event, Resolved))
        assert told == Counter({name: counts[name] for name in ("succeeded", "failed", "cancelled") if counts[name]})
        assert counts["cancelled"] == len(self.cancelled)
        assert len(self.known) == told.total() + sum(call in self.known for call in self.session.calls.values())

    @invariant()
    def no_call_outlives_its_deadline(self) -> None:
        if not hasattr(self, "known"):
            return
        due = self.session.next_deadline()
        for call in self.session.calls.values():
            assert due is not None
            assert due <= call.deadline

    @invariant()
    def the_limit_is_kept(self) -> None:
        if not hasattr(self, "known"):
            return
        there = sum(call.may_run for call in self.session.calls.values())
        assert self.session.in_flight == (there if self.ready else 0)

    @invariant()
    def what_is_pushed_is_waited_for(self) -> None:
        if not hasattr(self, "known"):
            return
        for call in self.session.calls.values():
            if call.state is CallState.QUEUED or (call.state is CallState.SENT and not call.failures):
                assert not call.timer, call

    @invariant()
    def nothing_is_bought_twice(self) -> None:
        if not hasattr(self, "known"):
            return
        server = self.server
        for call in self.known:
            attempts = [attempt.split(":")[0] for attempt in call.attempts or ()]
            for uuid in attempts:
                # A UUID is only left behind after the server's own word that nothing more comes of it, and with all
                # that has come of it.
                assert uuid not in server.tasks or server.left(uuid) <= 0
            for uuid in (*attempts, call.uuid):
                if uuid not in self.names[call]:
                    self.names[call].append(uuid)
                    last = self.names[call][-2]
                    if last not in server.tasks:
                        continue
                    # What a server makes beyond what it owes may come when nothing waits for that attempt any more, or
                    # come in the place of what was lost.
                    made, kept = server.done.get(last, []), _bare(call.items)
                    owed = server.wanted(last) - len(server.bad.get(last, ()))
                    assert sum(item in kept for item in made) >= min(owed, len(made))

    @invariant()
    def what_came_is_what_was_made(self) -> None:
        if not hasattr(self, "known"):
            return
        for call in self.known:
            made = [item for uuid in self.names[call] for item in self.server.done.get(uuid, [])]
            assert all(item in made for item in _bare(call.items))
        for call, error in self.desk.ended.items():
            if error is None and call.completion is Completion.RESULTS:
                assert len(call.items) >= call.expected
            names = [item["imageUUID"] + item["taskUUID"] for item in call.items]
            assert len(names) == len(set(names))
            assert not isinstance(error, ConflictError)  # a conflict can only be with our own message
            if isinstance(error, ConnectionLostError) and not error.may_have_run:
                assert call.uuid not in self.server.tasks
            if isinstance(error, TaskTimeoutError) and not error.may_be_running:
                assert call.uuid not in self.server.tasks
            if isinstance(error, ConnectionFailedError):
                assert call.uuid not in self.server.tasks

    @invariant()
    def no_error_hides_what_still_runs(self) -> None:
        """An error that ends a call although more may come of it says so."""
        if not hasattr(self, "known"):
            return
        for call, error in self.desk.ended.items():
            if call in self.known and error is not None and call not in self.told and call.uuid in self.server.tasks:
                assert error.may_have_run or self.server.left(call.uuid) == 0, error
            self.told.add(call)

    # ------------------------------------------------------------------ in the end

    def heal(self) -> None:
        """From here on all goes well: whoever has the time for it gets a result, or the server's own word."""
        self.desk.hold_writes = False
        self.desk.write()
        for _ in range(150):
            open_ = [call for call in self.known if call.state is not CallState.DONE]
            if not open_:
                break
            if self.session.state is State.CONNECTING:
                self.desk.open()
            if self.session.state is State.AUTHENTICATING:
                self.accept_key(same=True, replay="after")
            self.sync()
            while self.ready and self.server.questions:
                self.desk.receive(self.server.answer(self.server.questions.pop(0)))
                self.sync()
            for uuid in self.server.running if self.ready else ():
                self.desk.receive({"data": [self.server.make(uuid) for _ in range(self.server.left(uuid))]})
            self.desk.pass_time(0.5)
            for call in open_:
                error = self.desk.ended.get(call)
                if self.desk.now < call.deadline and error is not None:
                    assert isinstance(error, TaskError), error
                    assert not isinstance(error, AuthenticationError)

    def teardown(self) -> None:
        if not hasattr(self, "known"):
            return
        start = self.desk.now
        self.heal()
        # The longest wait before a dial is 30 s.
        late = [call for call in self.known if call.state is not CallState.DONE]
        assert all(call.deadline > self.desk.now for call in late)
        assert not late or self.desk.now - start < 75.0, late
        self.desk.pass_time(2000.0)
        self.desk.close()
        assert self.session.calls == {}
        assert all(call in self.desk.ended or call in self.cancelled for call in self.known)
        assert all(error is None or isinstance(error, RunwareError) for error in self.desk.ended.values())
        assert self.session.next_deadline() is None


def _bare(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in item.items() if name != "status"} for item in items]


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(
    max_examples=SCHEDULES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
