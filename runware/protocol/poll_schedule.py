"""When to ask the server for which task, and in which frames.

A task is asked for a tenth of a second after it was accepted, since hardly one is through earlier, then at growing
distances: a fixed part of the time it has taken so far, so that the delay it adds stays a small part of the task's own
duration, and never more than a second.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from runware.protocol.call import Call, Question

__all__ = ["ANSWER_TIMEOUT", "earliness", "next_delay", "question_frames"]

FIRST = 0.1
"""Seconds after which a task is asked for that was just accepted."""
PART = 0.17
LONGEST = 0.9
"""The distance between two questions: a part of the time the task has taken so far, and seconds it never exceeds."""
JITTER = 0.1
"""The part of a distance by which chance may shorten it, so that clients do not ask in step."""
SHARED = 0.3
LEAST_SHARED = 0.01
"""The part of a distance, and at least the seconds, by which a question may be early to go with another.

A wake-up, with a frame there and back, costs as much as ten questions in it.
"""

ANSWER_TIMEOUT = 5.0
"""Seconds after which a question without an answer is asked again."""

_PER_FRAME = 100
_RESPONSE, _DETAILS = (f'{{"taskType":"{question.value}","taskUUID":"' for question in Question)


def next_delay(elapsed: float, rng: random.Random) -> float:
    """Tell how many seconds to wait before asking again.

    Args:
        elapsed: Seconds since the task was accepted.
        rng: Where the jitter comes from; it shortens the delay by up to a tenth.
    """
    delay = PART * elapsed
    if delay > LONGEST:
        delay = LONGEST
    elif delay < FIRST - elapsed:
        delay = FIRST - elapsed
    return delay * (1.0 - JITTER * rng.random())


def earliness(elapsed: float) -> float:
    """Tell how many seconds too early a task may be asked for, to go with another one.

    Args:
        elapsed: Seconds since the task was accepted.
    """
    return max(LEAST_SHARED, SHARED * min(LONGEST, PART * elapsed))


def question_frames(calls: Iterable[Call]) -> Iterator[bytes]:
    """Write the questions about some calls, as many in a frame as are worth it."""
    # A UUID has nothing that JSON would write in another way, and there are thousands of questions a second.
    tasks = [
        (_RESPONSE if call.polling.question is Question.RESPONSE else _DETAILS) + call.uuid + '"}' for call in calls
    ]
    for start in range(0, len(tasks), _PER_FRAME):
        yield f"[{','.join(tasks[start : start + _PER_FRAME])}]".encode()
