"""The pytest plugin, used as a user's tests would use it."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

from pytest_runware import runware_client, runware_server
from runware import ProviderError, Runware, get_client
from runware.local import LocalServer

PROJECT = pathlib.Path(__file__).parent.parent
__all__ = ["runware_client", "runware_server"]

USERS_TESTS = """
import threading

from runware import get_client

def make(prompt):
    (image,) = get_client().image_inference(positive_prompt=prompt, model="runware:101@1", width=512, height=512)
    return image

def test_code_that_makes_its_own_client(runware_server):
    assert make("a red kite").url.startswith(runware_server.http_url)
    assert runware_server.ledger.results_by_prompt() == {"a red kite": 1}

def test_client_of_an_earlier_server_has_left_no_thread(runware_server):
    assert not [thread.name for thread in threading.enumerate() if thread.name == "runware-io"]

def test_the_fake_client_is_that_of_the_process(fake_runware):
    fake_runware.respond("image_inference", {"url": "https://cdn.test/kite.jpg"})
    assert make("a red kite").url == "https://cdn.test/kite.jpg"
    assert fake_runware.calls[0].request.positive_prompt == "a red kite"

def test_the_server_is_new_for_each_test(runware_server, runware_client):
    assert runware_server.ledger.results_by_prompt() == {}
    assert runware_client.image_inference(positive_prompt="a heron", model="runware:101@1", width=512, height=512)
"""


def test_fixtures_give_a_server_and_a_client(runware_server: LocalServer, runware_client: Runware) -> None:
    (image,) = runware_client.image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512)
    assert image.read()
    assert get_client()._core is runware_client._core
    assert runware_server.ledger.results_by_prompt() == {"a kite": 1}


def test_server_fails_and_drops_on_request(runware_server: LocalServer, runware_client: Runware) -> None:
    with pytest.raises(ProviderError):
        runware_client.image_inference(positive_prompt="x [provider-error]", model="runware:101@1", retry=0)
    with runware_server.hold("imageInference"):
        job = runware_client.submit.image_inference(positive_prompt="x y", model="runware:101@1")
        runware_server.ledger.wait_for(lambda ledger: ledger.held == 1)
        runware_server.drop()
    assert len(job.result(20)) == 1
    assert runware_server.ledger.executions(job.task_uuid) == 1


def test_plugin_works_in_a_project_of_its_own(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_theirs.py").write_text(USERS_TESTS)
    installed = any(point.name == "runware" for point in importlib.metadata.entry_points(group="pytest11"))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider",
         *([] if installed else ["-p", "pytest_runware"])],
        capture_output=True, text=True, timeout=50, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout


TESTS_WITH_A_STORE = """
import os
from runware import get_client

def make(run):
    rw = get_client()
    assert len(list(rw.map(rw.image_inference, ["a kite"], common={"model": "runware:101@1"}, run=run))) == 1

def test_server(runware_server):
    make("nightly")
    assert [run.succeeded for run in get_client().runs] == [1]

def test_store_of_the_test_is_kept(monkeypatch, tmp_path, request):
    monkeypatch.setenv("RUNWARE_STORE", f"sqlite:///{tmp_path.as_posix()}/own.db")
    request.getfixturevalue("runware_server")
    make("nightly")
    assert (tmp_path / "own.db").exists()

def test_fake(fake_runware):
    assert get_client().image_inference(positive_prompt="a kite", model="runware:101@1")
"""


def test_store_of_the_environment_gets_nothing_of_tests(tmp_path: pathlib.Path) -> None:
    """The real run of that name would take the prompts for done, and their bills would count."""
    pytest.importorskip("sqlalchemy")
    (tmp_path / "test_theirs.py").write_text(TESTS_WITH_A_STORE)
    result = run_pytest(tmp_path, RUNWARE_STORE=f"sqlite:///{tmp_path.as_posix()}/real.db")
    assert "3 passed" in result.stdout, result.stdout + result.stderr
    assert not (tmp_path / "real.db").exists()


UNRELATED_TESTS = """
import sys

def test_unrelated():
    assert "pytest_runware" in sys.modules
    assert not [name for name in sys.modules if name.partition(".")[0] == "runware"]
"""


def run_pytest(directory: pathlib.Path, *paths: pathlib.Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a project with the plugin, and with *paths* first on the import path."""
    # Without installed plugins: an installed version of this one may be older.
    path = os.pathsep.join(map(str, (*paths, PROJECT)))
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "pytest_runware", "-p", "no:cacheprovider"],
        capture_output=True, text=True, timeout=50, cwd=directory, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path, **variables},
    )  # fmt: skip


def test_unrelated_project_imports_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_unrelated.py").write_text(UNRELATED_TESTS)
    result = run_pytest(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("package", ["", "raise ImportError('broken')\n"])
def test_foreign_package_of_the_same_name_breaks_only_the_fixtures(package: str, tmp_path: pathlib.Path) -> None:
    foreign = tmp_path / "site" / "runware"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text(package)
    metadata = tmp_path / "site" / "runware-9.9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: runware\nVersion: 9.9\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_theirs.py").write_text("def test_one(): pass\n\ndef test_two(runware_client): pass\n")
    result = run_pytest(project, tmp_path / "site")
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    assert "The fixture runware_server cannot be set up" in result.stdout
    assert "runware 9.9 is installed" in result.stdout
    assert "pip uninstall runware runware-sdk" in result.stdout


def test_missing_extra_is_explained(tmp_path: pathlib.Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ImportError('no aiohttp', name='aiohttp')\n")
    (tmp_path / "test_theirs.py").write_text("def test_one(runware_server): pass\n")
    result = run_pytest(tmp_path, tmp_path)
    assert "pip install 'runware-client[local]'" in result.stdout, result.stdout + result.stderr


def test_wheel_contains_the_plugin(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=PROJECT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(tmp_path / result.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
        (entries,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "runware = pytest_runware" in wheel.read(entries).decode()
    assert {"pytest_runware.py", "runware/__init__.py", "runware/py.typed", "runware/local/page/inspector.js"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pytest_runware.py", "runware"}
