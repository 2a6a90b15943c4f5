"""The pytest plugin, used as a user's tests would use it."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import subprocess
import sys

import pytest

from runware import ProviderError, Runware, get_client
from runware.local import LocalServer
from runware.pytest_plugin import runware_client, runware_server

PROJECT = pathlib.Path(__file__).parent.parent
__all__ = ["runware_client", "runware_server"]

USERS_TESTS = """
from runware import get_client

def make(prompt):
    (image,) = get_client().image_inference(positive_prompt=prompt, model="runware:101@1", width=512, height=512)
    return image

def test_code_that_makes_its_own_client(runware_server):
    assert make("a red kite").url.startswith(runware_server.http_url)
    assert runware_server.ledger.results_by_prompt() == {"a red kite": 1}

def test_the_server_is_new_for_each_test(runware_server, runware_client):
    assert runware_server.ledger.results_by_prompt() == {}
    assert runware_client.image_inference(positive_prompt="a heron", model="runware:101@1", width=512, height=512)
"""


def test_the_server_and_the_client(runware_server: LocalServer, runware_client: Runware) -> None:
    (image,) = runware_client.image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512)
    assert image.read()
    assert get_client()._core is runware_client._core
    assert runware_server.ledger.results_by_prompt() == {"a kite": 1}


def test_failures_on_request(runware_server: LocalServer, runware_client: Runware) -> None:
    with pytest.raises(ProviderError):
        runware_client.image_inference(positive_prompt="x [provider-error]", model="runware:101@1", retry=0)
    with runware_server.hold("imageInference"):
        job = runware_client.submit.image_inference(positive_prompt="x y", model="runware:101@1")
        runware_server.ledger.wait_for(lambda ledger: ledger.held == 1)
        runware_server.drop()
    assert len(job.result(20)) == 1
    assert runware_server.ledger.executions(job.task_uuid) == 1


def test_in_a_project_of_its_own(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_theirs.py").write_text(USERS_TESTS)
    installed = any(point.name == "runware" for point in importlib.metadata.entry_points(group="pytest11"))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider",
         *([] if installed else ["-p", "runware.pytest_plugin"])],
        capture_output=True, text=True, timeout=50, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
