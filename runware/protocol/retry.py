"""Retry rules: whether and when a failed call is retried. tenacity decides, but never sleeps."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_module, load_module
from runware.errors import RunwareError
from runware.options import RetryPolicy

if TYPE_CHECKING:
    import tenacity
else:
    tenacity = lazy_module("tenacity")

__all__ = ["Retries"]

LONGEST_WAIT = 30.0


class Retries:
    """The retry rule of a call: a `RetryPolicy`, with the client's defaults for what it does not set.

    Attributes:
        policy: The caller's policy; its parts may be `None`.
        attempts: The most attempts, when the policy has no *stop*.
        delay: The first wait in seconds when the policy has no *wait*; it doubles from there.
    """

    __slots__ = ("attempts", "delay", "policy")

    def __init__(self, policy: RetryPolicy, attempts: int, delay: float) -> None:
        self.policy = policy
        self.attempts = attempts
        self.delay = delay

    @classmethod
    def of(cls, given: int | RetryPolicy | None, default: int | RetryPolicy, delay: float) -> Retries:
        """Make the rule from the settings of the call and the client; a number means extra attempts."""
        chosen = default if given is None else given
        if isinstance(chosen, RetryPolicy):
            if any(part is not None for part in (chosen.stop, chosen.wait, chosen.retry)):
                load_module("tenacity")  # on the caller's thread: the I/O thread must not wait for an import
            # A policy without *stop* gives up as the client does.
            return cls(chosen, 1 + (default if isinstance(default, int) else 2), delay)
        return cls(RetryPolicy(), 1 + chosen, delay)

    def wait_before_next(
        self, error: RunwareError, *, attempt: int, started: float, now: float, rng: random.Random
    ) -> float | None:
        """Return how many seconds to wait before the next attempt; `None` if there is none.

        Args:
            error: The error of the attempt.
            attempt: The number of the attempt that ended, from 1.
            started: When the call began, in the session's time.
            now: The session's time.
            rng: The source of the default wait's jitter.
        """
        policy = self.policy
        if policy.retry is None and not error.retryable:
            return None
        if policy.stop is None and attempt >= self.attempts:
            return None
        if policy.stop is None and policy.wait is None and policy.retry is None:
            return self._default_wait(attempt, rng)
        state = _tenacity_state(error, attempt, started, now)
        if policy.retry is not None and not policy.retry(state):
            return None
        wait = self._default_wait(attempt, rng) if policy.wait is None else float(policy.wait(state))
        state.upcoming_sleep = wait
        if policy.stop is not None and policy.stop(state):
            return None
        return max(0.0, wait)

    def _default_wait(self, attempt: int, rng: random.Random) -> float:
        return backoff(attempt, self.delay, rng)


def backoff(failures: int, delay: float, rng: random.Random) -> float:
    """Return an exponential wait with full jitter, so that many clients do not come back in step.

    The first wait is a tenth of *delay* at most: most lost connections can be made again at once.
    """
    most = delay / 10.0 if failures == 1 else min(LONGEST_WAIT, delay * 2.0 ** min(failures - 2, 16))
    return most * rng.random()


def _tenacity_state(error: RunwareError, attempt: int, started: float, now: float) -> tenacity.RetryCallState:
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempt
    state.set_exception((type(error), error, error.__traceback__))
    # tenacity reads its own clock; ours is the session's.
    state.start_time = started
    state.outcome_timestamp = now
    return state
