"""The soak of `tools/soak`: a few seconds of it, faults that it must find, and the fit of what grows."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import sys

import pytest

from tools.soak.call_log import CallLog, Outcome
from tools.soak.growth import THRESHOLDS, Sample, fit, fits_of
from tools.soak.plants import PLANTS
from tools.soak.report import Findings, failures
from tools.soak.server import Account

PROJECT = pathlib.Path(__file__).parent.parent


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tools.soak", *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


@pytest.mark.usefixtures("unmeasured")
def test_soak_of_a_few_seconds_passes() -> None:
    done = soak("--seconds", "4", "--rate", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "lost         0" in done.stdout
    assert "doubled      0" in done.stdout
    assert "hung         0" in done.stdout
    assert done.stdout.endswith("passed\n")


@pytest.mark.usefixtures("unmeasured")
def test_soak_finds_every_planted_fault() -> None:
    done = soak("--seconds", "4", "--rate", "400", "--plant", *PLANTS)
    verdict = done.stdout.splitlines()[-1]
    assert done.returncode == 1, done.stdout + done.stderr
    for found in (
        "calls were lost",
        "calls were executed more than once",
        "calls have not ended",
        "blocks grow",
        "threads grow",
        "descriptors grow",
    ):
        assert found in verdict, done.stdout + done.stderr


def samples(**slopes: float) -> list[Sample]:
    """Return an hour of samples of a million calls, with noise, and with growth for each million calls."""
    rng = random.Random(1)
    level = {"blocks": 400_000.0, "memory": 130.0, "threads": 45.0, "descriptors": 40.0}
    noise = {"blocks": 500.0, "memory": 4.0, "threads": 4.0, "descriptors": 4.0}
    return [
        Sample(
            at=60.0 * minute,
            calls=1_000_000 * minute // 60,
            **{
                name: level[name] + slopes.get(name, 0.0) * minute / 60 + rng.uniform(-noise[name], noise[name])  # type: ignore[arg-type]
                for name in level
            },
        )
        for minute in range(1, 61)
    ]


def test_fit_has_the_slope_and_its_standard_error() -> None:
    line = fit("blocks", [0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0])
    assert (line.slope, line.error, line.span, line.grown) == (2.0, 0.0, 3.0, 6.0)
    rng = random.Random(1)
    x = [float(number) for number in range(400)]
    noisy = fit("blocks", x, [2.0 * at + rng.gauss(0.0, 10.0) for at in x])
    expected = 10.0 / (400 * 400 * 399 / 12) ** 0.5
    assert noisy.error == pytest.approx(expected, rel=0.2)
    assert abs(noisy.slope - 2.0) < 3.0 * noisy.error


def test_fit_is_less_certain_of_samples_that_resemble_their_neighbours() -> None:
    rng = random.Random(1)
    x = [float(number) for number in range(100)]
    independent = [rng.gauss(0.0, 1.0) for _ in x]
    alike = [independent[number // 10] for number in range(100)]
    assert fit("blocks", x, alike).error > 2.0 * fit("blocks", x, independent).error


def test_noise_alone_does_not_count_as_growth() -> None:
    assert [line.name for line, _ in fits_of(samples()) if line.grows] == []


@pytest.mark.parametrize("name", THRESHOLDS)
def test_growth_by_three_times_the_threshold_is_found(name: str) -> None:
    grown = samples(**{name: 3.0 * THRESHOLDS[name] / 0.73})  # a quarter of the time is the warm-up
    assert [line.name for line, _ in fits_of(grown) if line.grows] == [name]


def test_resident_memory_is_not_judged_before_large_messages_have_been_there() -> None:
    short = [Sample(at=one.at / 100, **{n: getattr(one, n) for n in ("calls", *THRESHOLDS)}) for one in samples()]
    assert "memory" not in [line.name for line, _ in fits_of(short)]


def test_every_call_is_accounted_for() -> None:
    call_log = CallLog(100)
    with call_log.call("small") as small:
        pass
    with call_log.call("chat") as chat:
        chat.outcome = Outcome.CUT
    with call_log.call("small") as lost:
        raise ValueError("wrong result")
    hung = call_log.begin("job")
    assert [call_log.outcome_of(call.number) for call in (small, chat, lost, hung)] == [
        Outcome.DONE,
        Outcome.CUT,
        Outcome.LOST,
        Outcome.BEGUN,
    ]
    assert call_log.of(Outcome.BEGUN) == ["job 3"]
    assert call_log.by_kind() == {"small": 2, "chat": 1, "job": 1}
    assert call_log.losses == ["small 2: ValueError: wrong result"]
    executed = bytes([2, 1, 0, 0, *bytes(96)])
    findings = Findings(call_log, account=Account(executed, [], 1, 0, 0, []))
    assert failures(findings) == [
        "1 calls were lost",
        "1 calls were executed more than once",
        "1 calls have not ended",
    ]


def test_call_that_was_answered_without_being_executed_is_a_failure() -> None:
    call_log = CallLog(10)
    with call_log.call("small"):
        pass
    findings = Findings(call_log, account=Account(bytes(10), [], 1, 0, 0, []))
    assert failures(findings) == ["1 calls were answered without having been executed"]
