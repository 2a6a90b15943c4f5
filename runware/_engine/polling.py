"""When to ask the server for which task, and in which frames.

A task is asked for soon after it was accepted, then at growing distances: a fixed part of the time it has taken so
far, so that the delay it adds stays a small part of the task's own duration, and never more than a second.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from runware._engine.calls import Call
from runware._engine.codec import dumps

__all__ = ["ANSWER_TIMEOUT", "next_delay", "question_frames"]

SHORTEST = 0.025
LONGEST = 0.9
PART = 0.17
JITTER = 0.1

ANSWER_TIMEOUT = 5.0
"""Seconds after which a question without an answer is asked again."""

_PER_FRAME = 100


def next_delay(elapsed: float, rng: random.Random) -> float:
    """Tell how many seconds to wait before asking again.

    Args:
        elapsed: Seconds since the task was accepted.
        rng: Where the jitter comes from; it shortens the delay by up to a tenth.
    """
    delay = min(LONGEST, max(SHORTEST, PART * elapsed))
    return delay * (1.0 - JITTER * rng.random())


def question_frames(calls: Iterable[Call]) -> Iterator[bytes]:
    """Write the questions about some calls, as many in a frame as are worth it."""
    tasks = [{"taskType": call.question.value, "taskUUID": call.uuid} for call in calls]
    for start in range(0, len(tasks), _PER_FRAME):
        yield dumps(tasks[start : start + _PER_FRAME])
