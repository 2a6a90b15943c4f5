"""Programs with a store are killed at random moments: every task is executed and billed once in the end.

`python -m tools.kill_runs` does the same for longer.
"""

from __future__ import annotations

import pathlib
import sys

import pytest

from tools.kill_runs import Killings

from . import postgres


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no fork server")
def test_killed_process_loses_and_buys_nothing_twice(tmp_path: pathlib.Path) -> None:
    killings = Killings(None, tmp_path, tasks=60, longest=0.4)
    killings.go(12)
    assert killings.kills == 12


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no fork server")
def test_two_processes_that_are_killed_in_turn_share_a_run(tmp_path: pathlib.Path) -> None:
    killings = Killings(None, tmp_path, tasks=60, processes=2, longest=0.4)
    killings.go(4)


@pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing()))
def test_two_processes_on_one_postgresql_that_are_killed_in_turn(tmp_path: pathlib.Path) -> None:
    with postgres.postgres(safe=False) as url:
        Killings(url, tmp_path, tasks=60, processes=2, longest=0.5).go(4)
