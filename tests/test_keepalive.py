"""Keepalive with a simulated clock: what proves that the peer is alive."""

from __future__ import annotations

import pytest

from runware.protocol.keepalive import Keepalive

KIB = 1024


def alive(rate: float, *, patience: float = 15.0, seconds: float = 600.0, step: float = 0.5) -> bool:
    """Receive one endless message at the given speed; return whether that keeps the connection."""
    liveness = Keepalive(45.0, patience)
    liveness.opened(100.0)
    now, unfinished = 100.0, 0.0
    while now < 100.0 + seconds:
        now += step
        unfinished += rate * step
        liveness.received(now, int(unfinished), whole=False)
        while now >= liveness.due(busy=True):
            if liveness.check(now, busy=True) == "silent":
                return False
            liveness.ping_left(now)
    return True


@pytest.mark.parametrize("rate", [64 * KIB, 8 * KIB])
@pytest.mark.parametrize("patience", [0.6, 3.0, 15.0, 120.0])
def test_large_message_over_a_slow_steady_line_is_a_sign_of_life(rate: float, patience: float) -> None:
    assert alive(rate, patience=patience, step=patience / 30)


@pytest.mark.parametrize("rate", [0, 1, 50, 500])
def test_trickling_message_counts_as_silence(rate: float) -> None:
    assert not alive(rate)


def test_trickling_message_is_given_up_as_early_as_a_silent_server() -> None:
    liveness = Keepalive(45.0, 15.0)
    liveness.opened(100.0)
    for second in range(10):
        liveness.received(100.0 + second, second, whole=False)
    assert liveness.due(busy=True) == 110.0
    assert liveness.check(110.0, busy=True) == "ping"
    liveness.ping_left(110.0)
    liveness.received(112.0, 20, whole=False)
    assert liveness.due(busy=True) == 115.0
    assert liveness.check(115.0, busy=True) == "silent"


def test_whole_message_is_a_sign_of_life_however_short() -> None:
    liveness = Keepalive(45.0, 15.0)
    liveness.opened(100.0)
    liveness.received(109.0)
    assert liveness.due(busy=True) == 119.0


def test_progress_is_counted_from_the_last_sign_of_life() -> None:
    liveness = Keepalive(45.0, 15.0)
    liveness.opened(100.0)
    liveness.received(101.0, 20 * KIB, whole=False)
    liveness.received(102.0, 30 * KIB, whole=False)
    assert liveness.due(busy=True) == 111.0
    liveness.received(103.0, 36 * KIB, whole=False)
    assert liveness.due(busy=True) == 113.0
    liveness.received(104.0, 0)  # the message is whole; the next one counts from its start
    liveness.received(105.0, 16 * KIB, whole=False)
    assert liveness.due(busy=True) == 115.0


def test_burst_after_a_pause_takes_back_a_ping() -> None:
    liveness = Keepalive(45.0, 15.0)
    liveness.opened(100.0)
    assert liveness.check(110.0, busy=True) == "ping"
    liveness.ping_left(110.0)
    liveness.received(114.0, 16 * KIB, whole=False)
    assert liveness.due(busy=True) == 124.0
