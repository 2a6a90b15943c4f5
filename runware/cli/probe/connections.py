"""Questions about connections: sessions, replays, limits and malformed messages."""

from __future__ import annotations

import time
from typing import Any

from runware.cli.probe.lines import Probe, UndecidedError, WebSocketLine, items_of, new_uuid
from runware.cli.probe.tasks import image_task

__all__ = ["ask_keys", "ask_limits", "ask_malformed", "ask_sessions"]

_SIZES = (1 << 20, 4 << 20, 16 << 20)
_TASKS = 101
_CLOSING = 2.0
"""Seconds within which the service would close a refused connection."""


def ask_keys(probe: Probe) -> None:
    """Q2, Q3: an unknown session, and a rejected key."""
    unknown = probe.connect(session=new_uuid(), wait=False)
    try:
        unknown.authenticated()
        probe.found["q2"] = "new"
    except UndecidedError as error:
        if "refused" not in str(error):
            raise
        probe.found["q2"], probe.notes["q2"] = "error", str(error)
    rejected = probe.connect(key="rw-probe-of-a-rejected-key", wait=False)
    first = rejected.receive()
    if not items_of(first)[1]:
        raise UndecidedError("the wrong key was not refused")
    rejected.receive(_CLOSING)
    probe.found["q3"] = "open" if rejected.close_code is None else str(rejected.close_code)


def ask_sessions(probe: Probe) -> None:
    """Q1, Q4, Q5 and replays: what a new connection receives when it resumes the session of a lost one."""
    line = probe.connect()
    session = line.session
    task = image_task(deliveryMethod="sync")
    line.send([task])
    if any(items_of(frame, task["taskUUID"])[0] for frame in line.pong()):
        probe.notes["replay"] = "the result came before the connection could be dropped"
        probe.notes["q4"] = probe.notes["replay"]
    else:
        line.reset()
        finished = bool(probe.until(lambda: _is_finished(probe, task["taskUUID"]), 20.0))
        line = _resume(probe, session, task["taskUUID"], finished=finished)
        probe.found["q1"] = "same" if line.session == session else "new"
    session = line.session
    whole = image_task(deliveryMethod="sync")
    line.send([whole])
    probe.pay(line.about(whole["taskUUID"], 30.0)[0])
    line.reset()
    again = probe.connect(session=session)
    frames = [*again.early, *again.messages(1.5)]
    probe.found.setdefault("q1", "same" if again.session == session else "new")
    probe.found["q5"] = "yes" if any(items_of(frame, whole["taskUUID"])[0] for frame in frames) else "no"


def _resume(probe: Probe, session: str | None, task_uuid: str, *, finished: bool) -> WebSocketLine:
    line = probe.connect(session=session)
    before = any(items_of(frame, task_uuid)[0] for frame in line.early)
    after = not before and any(items_of(frame, task_uuid)[0] for frame in line.messages(1.5))
    if before or after or finished:
        probe.found["replay"] = str(before or after)
    else:
        probe.notes["replay"] = "nothing was replayed, but it is not known whether the task had finished"
    if before or after:
        probe.found["q4"] = "before" if before else "after"
    else:
        probe.notes["q4"] = "nothing was replayed"
    return line


def _is_finished(probe: Probe, task_uuid: str) -> bool:
    reply = probe.post([{"taskType": "getTaskDetails", "taskUUID": task_uuid}])
    return any("URL" in str(one.get("response")) for one in reply.data)


def ask_malformed(probe: Probe) -> None:
    """Q14: the codes for messages that are no array of tasks."""
    codes: dict[str, str] = {}
    for name, message in (
        ("no JSON", "{"),
        ("no array", '{"taskType": "ping", "ping": true}'),
        ("no taskUUID", '[{"taskType": "getResponse"}]'),
    ):
        line = probe.connect()
        line.send(message)
        errors = items_of(line.receive(5.0))[1]
        closed = f"closed with {line.close_code}" if line.close_code is not None else "no answer"
        codes[name] = str(errors[0].get("code")) if errors else closed
    if len(set(codes.values())) == 1:
        probe.found["q14"] = codes["no JSON"]
    else:
        probe.found["q14"] = codes["no array"]
        probe.notes["q14"] = ", ".join(f"{name}: {code}" for name, code in codes.items())


def ask_limits(probe: Probe) -> None:
    """Q13, Q15, P17: the size of messages, and the number of tasks in one."""
    line = probe.connect()
    polls = [{"taskType": "getResponse", "taskUUID": new_uuid()} for _ in range(_TASKS)]
    line.send(polls)
    data, errors = items_of(line.receive(10.0))
    named = {one.get("taskUUID") for one in (*data, *errors)}
    refused = bool(errors) and not named & {one["taskUUID"] for one in polls}
    probe.found["q15"] = f"fewer than {_TASKS}" if refused else f"{_TASKS} or more"
    accepted = 0
    for size in _SIZES:
        line = probe.connect()
        if not _takes(line, size):
            break
        accepted = size
    top = next((size for size in _SIZES if size > accepted), None)
    probe.found["q13"] = f"{accepted >> 20} MiB or more" if top is None else f"less than {top >> 20} MiB"
    body: list[Any] = [{"taskType": "getResponse", "taskUUID": new_uuid(), "padding": "x" * _SIZES[-1]}]
    reply = probe.post(body)
    probe.found["P17"] = f"a body of {_SIZES[-1] >> 20} MiB over HTTP gets status {reply.status}"


def _takes(line: WebSocketLine, size: int) -> bool:
    try:
        line.send([{"taskType": "ping", "ping": True, "padding": "x" * size}])
    except UndecidedError:
        return False
    end = time.monotonic() + 30.0
    return line.receive(max(1.0, end - time.monotonic())) is not None
