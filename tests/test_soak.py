"""Run the soak of `tools/soak.py` for a few seconds."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).parent.parent


def test_soak_of_a_few_seconds_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tools.soak", "--seconds", "8"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "lost       0" in done.stdout
    assert "doubled    0" in done.stdout
