"""Shared test support: a session with a simulated clock and a simulated network."""

from __future__ import annotations

import json
import random
from typing import Any

from runware.errors import RunwareError
from runware.events import Event
from runware.options import RetryPolicy
from runware.protocol.call import Call, Completion, Durable
from runware.protocol.effects import (
    PING,
    Abort,
    Close,
    Ended,
    Happened,
    Open,
    Record,
    Send,
    SessionConfig,
    State,
    Step,
)
from runware.protocol.retry import Retries
from runware.protocol.session import Session

A = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
B = "1c6e4d2f-8b63-4d2e-8b51-7e2a3c9f1b02"
C = "2d7f5e30-9c74-4e3f-9c62-8f3b4d0a2c03"


class Desk:
    """A session with a simulated driver, which performs its effects without I/O.

    Nothing is written before `write()` when `hold_writes` is set; every other effect is performed at once.
    """

    def __init__(self, *, seed: int = 1, **config: Any) -> None:
        self.session = Session(SessionConfig(**config), rng=random.Random(seed))
        self.now = 100.0
        self.outbox: list[Send] = []
        self.written: list[list[dict[str, Any]]] = []
        self.opened: list[int] = []
        self.aborted: list[tuple[int, str]] = []
        self.closed: list[int] = []
        self.arrived: list[Call] = []
        self.ended: dict[Call, RunwareError | None] = {}
        self.happened: list[Event] = []
        self.records: list[Record] = []
        self.hold_writes = False

    # -------------------------------------------------------------- performing

    def perform(self) -> None:
        while self.session.effects:
            match effect := self.session.effects.popleft():
                case Open(epoch):
                    self.opened.append(epoch)
                case Send(_, call):
                    assert call is None or self.now < call.deadline, "a task was sent for which nobody waits any more"
                    self.outbox.append(effect)
                case Abort(epoch, reason):
                    self.aborted.append((epoch, reason))
                    if epoch == self.session.epoch and self.session.state in (State.READY, State.AUTHENTICATING):
                        self.lose(reason)
                case Close(epoch):
                    self.closed.append(epoch)
                case Call():
                    self.arrived.append(effect)
                case Ended(call, error):
                    assert call not in self.ended, "a call ended twice"
                    self.ended[call] = error
                case Record():
                    self.records.append(effect)
                case Happened(kind, facts):
                    self.happened.append(kind(at=self.now, **facts))
        if not self.hold_writes:
            self.write()

    def write(self, count: int | None = None) -> None:
        taken, self.outbox = (self.outbox, []) if count is None else (self.outbox[:count], self.outbox[count:])
        for send in taken:
            if send.call is not None and send.call.text is not send.text:
                continue  # as the effect specifies
            assert send.call is None or send.call not in self.ended, "a task was sent that is over"
            self.written.append(json.loads(send.text))
            if send.text is PING:
                self.session.ping_written(self.now)

    def take_written(self) -> list[list[dict[str, Any]]]:
        written, self.written = self.written, []
        return written

    # -------------------------------------------------------------- what happens

    def submit(self, uuid: str = A, **facts: Any) -> Call:
        retry = facts.pop("retry", 0)
        policy = Retries.of(retry, 2, 1.0) if isinstance(retry, (int, RetryPolicy)) else retry
        kind = facts.setdefault("task_type", "imageInference")
        body = {"taskType": kind, "taskUUID": uuid, **facts.pop("body", {})}
        durable: Durable | None = facts.pop("durable", None)
        call = Call(
            uuid=uuid, text=json.dumps([body]).encode(), timeout=facts.pop("timeout", 60.0), policy=policy, **facts
        )
        call.durable = durable
        self.session.submit(call, self.now)
        self.perform()
        return call

    def follow(self, uuid: str = A, timeout: float = 60.0) -> Call:
        """Submit what `rw.job(uuid)` does with a store."""
        kind = Completion.EXISTING
        call = Call(uuid=uuid, text=b"", task_type="imageInference", timeout=timeout, completion=kind, expected=1)
        call.durable = Durable(object())
        self.session.submit(call, self.now)
        self.perform()
        return call

    # -------------------------------------------------------------- the store

    def steps(self, call: Call) -> list[Step]:
        """Return what the store was told of a call."""
        return [record.step for record in self.records if record.call is call]

    def to_record(self) -> list[Record]:
        """Take the attempts that the store has not answered."""
        attempts = [record for record in self.records if record.step is Step.TASK]
        self.records = [record for record in self.records if record.step is not Step.TASK]
        return attempts

    def record(self) -> None:
        """Let the store have all attempts that wait for it."""
        for record in self.to_record():
            self.session.task_recorded(record.call, record.uuid, self.now)
            self.perform()

    def meet(
        self, call: Call, current: str | None = None, items: list[dict[str, Any]] | None = None, *, elsewhere: bool
    ) -> None:
        """Report that the store knows the task of a call."""
        self.to_record()
        self.session.task_known(call, call.uuid, current or call.uuid, items or [], elsewhere, self.now)
        self.perform()

    def settle(self, call: Call, items: list[dict[str, Any]], error: RunwareError | None = None) -> None:
        """Report the outcome that the store has."""
        self.session.task_settled(call, items, error, self.now)
        self.perform()

    def refuse_record(self, call: Call, error: RunwareError) -> None:
        """Report that the store could not take the attempt of a call."""
        self.to_record()
        self.session.recording_failed(call, call.uuid, error, self.now)
        self.perform()

    def connect(self) -> Call:
        call = Call(uuid="connect", text=b"", task_type="", timeout=60.0, completion=Completion.CONNECTION)
        self.session.submit(call, self.now)
        self.perform()
        return call

    def cancel(self, call: Call) -> None:
        self.session.cancel(call, self.now)
        self.perform()

    def open(self) -> None:
        self.session.connection_opened(self.session.epoch, "rw-test-key", self.now)
        self.perform()

    def accept_key(self, session_uuid: str = "5b1f0c5e-6a0f-4d0e-9a5c-0c9a5c1d7e10") -> None:
        self.receive({"data": [{"taskType": "authentication", "connectionSessionUUID": session_uuid}]})

    def ready(self) -> None:
        """Connect and authenticate."""
        while self.session.state is State.BACKING_OFF:
            due = self.session.next_deadline()
            assert due is not None
            self.pass_time(due - self.now)
        assert self.session.state is State.CONNECTING, self.session
        self.open()
        self.accept_key()
        state: State = self.session.state  # type checkers do not see that it has changed
        assert state is State.READY

    def fail_dial(self, error: RunwareError, *, permanent: bool = False) -> None:
        self.session.connection_failed(self.session.epoch, error, self.now, permanent=permanent)
        self.perform()

    def lose(self, reason: str = "reset") -> None:
        unsent = {send.call for send in self.outbox if send.call is not None}
        self.outbox = []
        self.session.connection_lost(self.session.epoch, reason, unsent, self.now)
        self.perform()

    def receive(self, message: Any, *, alive: bool = True) -> None:
        if alive:
            self.session.bytes_received(self.now)
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.session.frame_received(data, self.now)
        self.perform()

    def pass_time(self, seconds: float) -> None:
        """Advance the clock, with a tick at each moment that the session asked for."""
        end = self.now + seconds
        while (due := self.session.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            before = due
            self.session.tick(self.now)
            self.perform()
            again = self.session.next_deadline()
            assert again is None or again > before or self.session.state is not State.CLOSED
        self.now = end

    def close(self) -> None:
        self.outbox = []  # as `Close` specifies; what is not written by then is discarded
        self.session.close(self.now)
        self.perform()


def image(uuid: str = A, number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a result item, as the API sends it."""
    return {
        "taskType": "imageInference",
        "taskUUID": uuid,
        "imageUUID": f"9d1b6f10-0c37-4a35-9a86-{number:012d}",
        "imageURL": f"https://im.runware.ai/i/{number}.png",
        **more,
    }


def video(uuid: str = A, number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a finished item of an asynchronous task."""
    return {
        "taskType": "videoInference",
        "taskUUID": uuid,
        "status": "success",
        "videoUUID": f"bb000000-0000-4000-8000-{number:012d}",
        "videoURL": f"https://im.runware.ai/v/{number}.mp4",
        **more,
    }


def ack(uuid: str = A, kind: str = "videoInference") -> dict[str, Any]:
    return {"data": [{"taskType": kind, "taskUUID": uuid}]}


def failure(code: str, uuid: str | None = A, **more: Any) -> dict[str, Any]:
    named = {} if uuid is None else {"taskUUID": uuid}
    return {"errors": [{"code": code, "message": f"It is {code}.", **named, **more}]}
