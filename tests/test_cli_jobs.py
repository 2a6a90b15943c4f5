"""The commands `jobs ...` on a store of a client."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from runware import Runware
from runware.cli.commands import app
from runware.local import LocalServer

from .test_three_interfaces import PICTURE

run = CliRunner().invoke


@pytest.fixture
def store(server: LocalServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a picture that is made, one that failed, and one that was left."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    with Runware(api_key=server.api_key, url=server.url, store=url, retry_delay=0) as rw:
        rw.image_inference(**PICTURE)
        with pytest.raises(Exception, match="asked for"):
            rw.image_inference(**{**PICTURE, "positive_prompt": "x [error:invalidProviderContent]"})
        with server.hold("imageInference"):
            rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: len(ledger.tasks("imageInference")) == 3, 20)
            rw.close()
    monkeypatch.setenv("RUNWARE_STORE", url)
    monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
    monkeypatch.setenv("RUNWARE_URL", server.url)
    return url


@pytest.mark.usefixtures("store")
def test_list_shows_each_task_with_its_state() -> None:
    shown = run(app, ["jobs", "list"])
    lines = shown.stdout.splitlines()
    assert [line.split()[3] for line in lines] == ["succeeded", "failed", "open"]
    assert "$0.0013" in lines[0]
    assert "3 tasks" in shown.stderr
    assert len(json.loads(run(app, ["jobs", "list", "--state", "failed", "--json"]).stdout)) == 1


@pytest.mark.usefixtures("store")
def test_show_has_the_request_and_the_error() -> None:
    failed = json.loads(run(app, ["jobs", "list", "--state", "failed", "--json"]).stdout)[0]
    shown = run(app, ["jobs", "show", failed["key"]]).stdout
    assert "x [error:invalidProviderContent]" in shown
    assert "invalidProviderContent" in shown.split("error: ")[1]
    assert re.search(r"^created: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", shown, re.MULTILINE)
    assert isinstance(failed["created"], float)
    assert run(app, ["jobs", "show", "none"]).exit_code == 1


@pytest.mark.usefixtures("store")
def test_recover_goes_on_with_what_was_left(server: LocalServer) -> None:
    shown = run(app, ["jobs", "recover"])
    assert shown.exit_code == 0, shown.output
    assert "1 task, 0 failed" in shown.stderr
    assert server.ledger.executed == 2
    assert "0 tasks" in run(app, ["jobs", "recover"]).stderr


def test_runs_are_listed_and_their_failed_tasks_tried_again(store: str) -> None:
    with Runware(store=store, retry_delay=0) as rw:
        inputs = [{**PICTURE, "positive_prompt": text} for text in ("a kite", "x [error:invalidProviderContent]")]
        assert len(list(rw.map(rw.image_inference, inputs, run="nightly", return_exceptions=True))) == 2
    (shown,) = json.loads(run(app, ["jobs", "runs", "--json"]).stdout)
    assert (shown["name"], shown["succeeded"], shown["failed"]) == ("nightly", 1, 1)
    assert "nightly" in run(app, ["jobs", "runs"]).stdout
    assert "1 task" in run(app, ["jobs", "retry-failed", "nightly"]).stderr
    assert run(app, ["jobs", "retry-failed", "other"]).exit_code == 1


def test_store_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWARE_STORE", raising=False)
    shown = run(app, ["jobs", "list"])
    assert shown.exit_code == 2
    assert "--store" in shown.stderr


@pytest.mark.parametrize("command", ["list", "runs", "recover"])
def test_misspelt_store_is_an_error_and_makes_no_file(command: str, tmp_path: pathlib.Path) -> None:
    shown = run(app, ["jobs", command, "--store", f"sqlite:///{tmp_path}/jbos.db"])
    assert (shown.exit_code, f"There is no store {tmp_path}/jbos.db." in shown.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["runs"], ["retry-failed", "x"]])
def test_store_without_its_extra_says_what_to_install(command: list[str], store: str, tmp_path: pathlib.Path) -> None:
    # In place of the package, which the tests have.
    (tmp_path / "sqlalchemy.py").write_text("raise ModuleNotFoundError('No module', name='sqlalchemy')")
    arguments = [sys.executable, "-m", "runware", "jobs", *command, "--store", store]
    shown = subprocess.run(
        arguments, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, "pip install 'runware-client[store]'" in shown.stderr) == (2, True), shown.stderr


@pytest.mark.usefixtures("store")
def test_names_and_key_file_work_as_in_other_commands(
    server: LocalServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = json.loads(run(app, ["jobs", "list", "--json"]).stdout)
    python = json.loads(run(app, ["jobs", "list", "--json", "--names", "python"]).stdout)
    assert [one["taskUUID"] for one in api] == [one["task_uuid"] for one in python]
    monkeypatch.delenv("RUNWARE_API_KEY")
    refused = run(app, ["jobs", "recover"])
    assert (refused.exit_code, "--key-file" in refused.stderr) == (2, True)
    (tmp_path / "key").write_text(server.api_key)
    shown = run(app, ["jobs", "recover", "--key-file", str(tmp_path / "key"), "--json", "--names", "python"])
    assert shown.exit_code == 0, shown.output
    assert [one["error"] for one in json.loads(shown.stdout)] == [None]


WITHOUT_COMMON_OPTIONS = {
    "serve": "has the options of python -m runware.local; a server needs no key of its own",
    "completion": "prints a script for a shell",
}


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from _commands(one, (*path, name))
        else:
            yield " ".join((*path, name)), one


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_names_and_key_file(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ({"--names", "--key-file"} <= options) == (name not in WITHOUT_COMMON_OPTIONS)
    assert "--json" not in options or name not in WITHOUT_COMMON_OPTIONS


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"serve"}))
def test_usage_has_each_bracket_once(name: str) -> None:
    usage = run(app, [*name.split(), "--help"]).stdout.split("Usage:")[1].splitlines()[0]
    assert "[[" not in usage, usage
