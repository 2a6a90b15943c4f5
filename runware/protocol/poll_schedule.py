"""The poll schedule: when to poll which task, and in which frames.

A task is polled a tenth of a second after it was accepted, because hardly any is done earlier, then at growing
intervals: a fixed part of the time it has taken so far, so that the delay that polling adds stays a small part of the
task's own duration, and never exceeds a second. The time until the answer is part of an interval, up to its half, so
that the latency of the line adds little to it, and a server that answers slowly is not polled much more often.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from runware.protocol.call import Call, Question

__all__ = ["ANSWER_TIMEOUT", "EXCHANGE_TIMEOUT", "earliness", "next_delay", "question_frames"]

FIRST = 0.1
"""Seconds until the first poll of a task that was just accepted."""
PART = 0.17
LONGEST = 0.9
"""The interval between two polls: a part of the time the task has taken so far, and its upper limit in seconds."""
JITTER = 0.1
"""The part of an interval by which jitter may shorten it, so that clients do not poll in step."""
SHARED = 0.3
LEAST_SHARED = 0.01
"""The part of an interval, and at least the seconds, by which a poll may be early to share a frame with another.

A wake-up with a frame each way costs as much as ten polls in it.
"""

ANSWER_TIMEOUT = 5.0
"""Seconds after which a poll without an answer is repeated."""
EXCHANGE_TIMEOUT = 300.0
"""The same for a poll that is a request of its own: its loss is reported by itself, and an answer may be large."""

_PER_FRAME = 100
_RESPONSE, _DETAILS = (f'{{"taskType":"{question.value}","taskUUID":"' for question in Question)


def next_delay(elapsed: float, rng: random.Random, longest: float = LONGEST, *, took: float = 0.0) -> float:
    """Return how many seconds to wait before the next poll.

    Args:
        elapsed: Seconds since the task was accepted.
        rng: Where the jitter comes from; it shortens the delay by up to a tenth.
        longest: The upper limit in seconds.
        took: Seconds that the last poll took to be answered, which are part of the interval, up to its half.
    """
    delay = PART * elapsed
    if delay > longest:
        delay = longest
    elif delay < FIRST - elapsed:
        delay = FIRST - elapsed
    if took:
        delay -= min(took, delay / 2)
    return delay * (1.0 - JITTER * rng.random())


def earliness(elapsed: float) -> float:
    """Return by how many seconds a poll may be early to share a frame with another one.

    Args:
        elapsed: Seconds since the task was accepted.
    """
    return max(LEAST_SHARED, SHARED * min(LONGEST, PART * elapsed))


def question_frames(calls: Sequence[Call]) -> Iterator[tuple[bytes, Sequence[Call]]]:
    """Encode the polls of some calls, up to a hundred in a frame; each frame comes with its calls."""
    # A UUID needs no escapes, and there are thousands of polls a second.
    tasks = [
        (_RESPONSE if call.polling.question is Question.RESPONSE else _DETAILS) + call.uuid + '"}' for call in calls
    ]
    for start in range(0, len(tasks), _PER_FRAME):
        end = start + _PER_FRAME
        yield f"[{','.join(tasks[start:end])}]".encode(), calls[start:end]
