"""The parts of the client in memory, without a socket: the cost of encoding and parsing messages, and the session.

This is the only file here that knows the client's internals; it shows where a task's CPU time goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.baseline import PROMPT, dumps, loads, request, uuids
from benchmarks.frames import SMALL, SMALL_HEADER
from benchmarks.harness import Column, Context, Figure, interleave
from runware.protocol.call import Call, Completion
from runware.protocol.codec import dumps as encode
from runware.protocol.codec import read_frame, structure
from runware.protocol.effects import Ended, Send
from runware.protocol.session import Session
from runware.requests.image import ImageInference
from runware.results import Image

__all__ = ["codec", "session"]

MICRO = 1e6


def codec(context: Context) -> list[Figure]:
    """Making a request and parsing a response, against the bare JSON of both."""
    count = 500
    names = uuids(count)
    parameters: dict[str, Any] = {"positive_prompt": PROMPT, "model": "runware:101@1", "width": 1024, "height": 1024}
    tasks = [ImageInference(**parameters) for _ in names]
    wires = [{**task.wire(), "taskUUID": name} for task, name in zip(tasks, names, strict=True)]
    bare_wires = [request(name) for name in names]
    answers = [(SMALL % (name.encode(), number, number))[SMALL_HEADER:] for number, name in enumerate(names)]
    items = [read_frame(answer)[0][0] for answer in answers]
    steps: dict[str, Callable[[], object]] = {
        "construct": lambda: [ImageInference(**parameters) for _ in names],
        "wire": lambda: [task.wire() for task in tasks],
        "dumps": lambda: [encode([wire]) for wire in wires],
        "read": lambda: [read_frame(answer) for answer in answers],
        "structure": lambda: [_read(structure(item, Image)) for item in items],
        "bare_dumps": lambda: [dumps([wire]) for wire in bare_wires],
        "bare_loads": lambda: [loads(answer) for answer in answers],
    }
    notes = {
        "construct": "request object, checked",
        "wire": "request object to wire object",
        "dumps": "wire object to bytes",
        "read": "bytes to items",
        "structure": "item to result object, of which four fields are read",
        "bare_dumps": "JSON alone",
        "bare_loads": "JSON alone",
    }
    columns = dict(
        zip(steps, interleave(context.runs, *(_timed(step) for step in steps.values()), slices=10), strict=True)
    )
    bare = _sum(columns["bare_dumps"], columns["bare_loads"])
    ours = _sum(*(columns[name] for name in ("construct", "wire", "dumps", "read", "structure")))
    figures = [Figure("codec.ratio", ours.over(bare, _same), "x", "lower", "request and answer, ours / bare JSON")]
    for name, column in columns.items():
        each = [seconds / count * MICRO for seconds in column.each(_same)]
        figures.append(Figure(f"codec.{name}", each, "us", "lower", notes[name]))
    return figures


def _read(image: Image) -> tuple[object, ...]:
    return image.uuid, image.url, image.seed, image.cost


def _same(seconds: float) -> float:
    return seconds


def _timed(step: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        started = time.thread_time()
        step()
        return time.thread_time() - started

    return run


def _sum(*columns: Column[float]) -> Column[float]:
    total: Column[float] = Column(columns[0].slices)
    total.turns = [sum(turn) for turn in zip(*(column.turns for column in columns), strict=True)]
    return total


# ---------------------------------------------------------------------- session


def ready_session() -> Session:
    """Return a session whose connection is ready."""
    session = Session()
    wish = Call(uuid="c", text=b"", task_type="", timeout=60.0, completion=Completion.CONNECTION)
    session.submit(wish, 0.0)
    session.connection_opened(session.epoch, "key", 0.0)
    answer = {"data": [{"taskType": "authentication", "connectionSessionUUID": uuids(1)[0]}]}
    session.frame_received(dumps(answer), 0.0)
    session.effects.clear()
    return session


def _flight(count: int) -> tuple[float, float]:
    """Submit a number of calls, then answer all of them; return the CPU seconds of both halves."""
    session = ready_session()
    names = uuids(count)
    calls = [Call(uuid=name, text=b"[]", task_type="imageInference", timeout=60.0) for name in names]
    answers = [(SMALL % (name.encode(), number, number))[SMALL_HEADER:] for number, name in enumerate(names)]
    sent = ended = 0
    started = time.thread_time()
    for call in calls:
        session.submit(call, 1.0)
        sent += type(session.effects.popleft()) is Send
    between = time.thread_time()
    for answer in answers:
        session.frame_received(answer, 2.0)
        ended += type(session.effects.popleft()) is Ended
    finished = time.thread_time()
    assert sent == ended == count
    assert not session.effects
    return between - started, finished - between


def session(context: Context) -> list[Figure]:
    """Calls through the session alone: submission, response and end, with several numbers in flight."""
    counts = (1_000, 10_000, 100_000)

    def few() -> tuple[float, float]:
        flights = sorted(_flight(counts[0]) for _ in range(10))
        return flights[5]

    columns = interleave(context.runs, few, lambda: _flight(counts[1]), lambda: _flight(counts[2]))
    figures = [
        Figure(
            "session.growth",
            [value * counts[0] / counts[2] for value in columns[2].over(columns[0], sum)],
            "x",
            "lower",
            "CPU a call, 100,000 / 1,000 in flight",
        )
    ]
    for count, column in zip(counts, columns, strict=True):
        for name, part in (("submit", 0), ("answer", 1)):
            each = [turn[part] / count * MICRO for turn in column.turns]
            note = "CPU a call" if name == "submit" else "CPU a call, with its JSON"
            figures.append(Figure(f"session.{name}_{count}", each, "us", "lower", note))
    return figures
