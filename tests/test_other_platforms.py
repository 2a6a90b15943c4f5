"""What Windows and macOS have or lack, simulated: no `poll`, no fork, code pages, file names, waits in short steps."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import pathlib
import re
import select
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import pytest

from runware import ConnectionFailedError, Runware, ValidationError
from runware.local import LocalServer
from runware.media import files
from runware.media.files import name_problem, write_file
from runware.transport import driver, light_future, poller, wakeup

from .net import refusing_port
from .test_three_interfaces import PICTURE

PROJECT = pathlib.Path(__file__).resolve().parent.parent
WITHOUT = """
import os, select, signal, socket, sys, time
for module, names in (
    (select, ("poll", "epoll")),
    (os, ("fork", "forkpty", "register_at_fork", "getuid", "O_DIRECTORY", "O_NOFOLLOW", "mkfifo", "eventfd")),
    (time, ("CLOCK_BOOTTIME",)),
    (signal, ("pthread_kill", "SIGALRM", "setitimer", "set_wakeup_fd")),
    (socket, ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "SO_REUSEPORT")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
import json, pathlib
from runware import Runware
PICTURE = json.loads(os.environ["PICTURE"])
"""


def run_without(body: str, server: LocalServer, tmp_path: pathlib.Path) -> list[str]:
    """Run a program whose standard library lacks what other systems lack; return the words that it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "RUNWARE_API_KEY": server.api_key,
        "RUNWARE_URL": server.url,
        "PICTURE": json.dumps(PICTURE),
    }
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT + body],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


@pytest.fixture
def windows_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits as on Windows: no `poll`, and Ctrl-C does not interrupt the wait for a lock."""
    wakeup.wakeup_pool.clear()
    for module in (wakeup, light_future):
        monkeypatch.setattr(module, "POLL", 0.1)
    monkeypatch.delattr(select, "poll")
    monkeypatch.delattr(os, "eventfd", raising=False)
    yield
    wakeup.wakeup_pool.clear()


@pytest.mark.usefixtures("windows_waits")
@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_calls_work_without_poll_and_with_short_waits(server: LocalServer, transport: str) -> None:
    assert isinstance(poller.make_poller(), poller._SelectPoller)
    options: dict[str, Any] = {"transport": transport, "timeout": 20.0, "retry_delay": 0.02}
    with Runware(server.api_key, url=server.url, **options) as rw:
        assert rw.image_inference(**PICTURE)
        jobs = [rw.submit.image_inference(**PICTURE) for _ in range(50)]
        assert all(len(job.result()) == 1 for job in jobs)
        server.drop()
        assert rw.image_inference(**PICTURE)

        async def several() -> list[Any]:
            return await asyncio.gather(*(rw.aio.image_inference(**PICTURE) for _ in range(20)))

        assert len(asyncio.run(several())) == 20


@pytest.mark.usefixtures("windows_waits")
def test_refused_connection_is_found_without_poll() -> None:
    rw = Runware("key", url=f"ws://127.0.0.1:{refusing_port()}/v1", max_retries=0, timeout=10.0)
    with pytest.raises(ConnectionFailedError) as caught:
        rw.connect()
    assert caught.value.stage == "TCP"
    rw.close()


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_client_works_where_the_system_has_neither_fork_nor_poll(
    server: LocalServer, tmp_path: pathlib.Path, transport: str
) -> None:
    body = f"""
import asyncio
rw = Runware(transport={transport!r}, timeout=30.0, store=pathlib.Path("jobs.db"))
path = rw.image_inference(**PICTURE)[0].save("out/")
async def one():
    return await rw.aio.image_inference(**PICTURE)
images = [*asyncio.run(one()), *rw.map(rw.image_inference, [PICTURE] * 3)]
print(path.parent.name, len(images), len(list(rw.jobs.list())))
with rw.stream_text(model="google:gemma@4-31b", messages=[{{"role": "user", "content": "hello"}}]) as stream:
    assert stream.result().text
rw.close()
"""
    assert run_without(body, server, tmp_path) == ["out", "4", "5"]


def test_local_server_works_where_the_system_has_neither_fork_nor_poll(
    server: LocalServer, tmp_path: pathlib.Path
) -> None:
    body = """
from runware.local import LocalServer
with LocalServer() as local, Runware(local.api_key, url=local.url, timeout=30.0) as rw:
    local.drop()
    print(len(rw.image_inference(**PICTURE)))
"""
    assert run_without(body, server, tmp_path) == ["1"]


def test_asyncio_form_needs_no_event_loop_that_watches_descriptors(server: LocalServer, tmp_path: pathlib.Path) -> None:
    # The proactor loop of Windows has no add_reader. What the loop needs for itself it does under other names.
    body = """
import asyncio
class Loop(asyncio.SelectorEventLoop):
    def add_reader(self, *_): raise NotImplementedError
    add_writer = remove_reader = remove_writer = add_signal_handler = add_reader
rw = Runware(timeout=30.0)
async def main():
    made = [images async for images in rw.aio.map(rw.aio.image_inference, [PICTURE] * 3)]
    return len(made) + len(await rw.submit.image_inference(**PICTURE))
with asyncio.Runner(loop_factory=Loop) as runner:
    print(runner.run(main()))
rw.close()
"""
    assert run_without(body, server, tmp_path) == ["4"]


@pytest.mark.skipif(sys.platform != "linux", reason="simulates the clocks of other systems")
def test_clock_counts_the_time_asleep_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    made = driver._suspend_aware_clock()
    assert isinstance(made, partial)
    assert made.args == (time.CLOCK_BOOTTIME,)
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert driver._suspend_aware_clock() is time.monotonic  # as on Windows, where it counts that time
    monkeypatch.setattr(sys, "platform", "darwin")
    made = driver._suspend_aware_clock()
    assert isinstance(made, partial)
    assert made.args == (time.CLOCK_MONOTONIC,)


# ---------------------------------------------------------------------- processes


def make_images(rw: Runware) -> int:
    return len(rw.image_inference(**PICTURE))


def set_variables(variables: dict[str, str]) -> None:
    os.environ.update(variables)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_client_works_in_processes_that_are_not_forked(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not have it")
    variables = {"RUNWARE_API_KEY": server.api_key, "RUNWARE_URL": server.url}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # A fork server that another test has started has the variables of that time.
    pool = ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context(method), initializer=set_variables, initargs=(variables,)
    )
    with Runware(timeout=30.0) as rw:
        assert make_images(rw) == 1
        with pool:
            assert list(pool.map(make_images, [rw] * 2, timeout=60)) == [1, 1]


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("out/kite.png", ""),
        ("../out/.hidden/kite.tar.gz", ""),
        ("./kite (1).png", ""),
        ("console.png", ""),
        ("12:30.png", "the character ':'"),
        ("out/a?.png", "the character '?'"),
        ("a|b/kite.png", "the character '|'"),
        ("out/kite.", "ends with a dot or a space"),
        ("out /kite.png", "ends with a dot or a space"),
        ("CON", "name of a device"),
        ("out/nul.png", "name of a device"),
        ("Com1.tar.gz", "name of a device"),
        ("lpt9 .txt", "name of a device"),
    ],
)
def test_names_that_windows_cannot_have_are_recognized(path: str, problem: str) -> None:
    found = name_problem(pathlib.PurePosixPath(path))
    assert problem in found
    assert bool(problem) == bool(found)


def test_drive_is_no_problem_and_a_stream_is() -> None:
    assert name_problem(pathlib.PureWindowsPath("C:/out/kite.png")) == ""
    assert name_problem(pathlib.PureWindowsPath("//server/share/kite.png")) == ""
    assert "'b:c.png'" in name_problem(pathlib.PureWindowsPath("C:/a/b:c.png"))


@pytest.mark.parametrize("how", ["write", "keep"])
def test_name_that_windows_cannot_have_is_refused_there_before_anything_is_downloaded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(files, "_on_windows", lambda: True)
    path, chunks = tmp_path / "12:30.png", iter((b"x",))
    with pytest.raises(ValidationError, match="cannot be a file on Windows") as caught:
        write_file(path, chunks, overwrite=False) if how == "write" else files.keep_file(path, chunks, replace=True)
    assert caught.value.parameter == "path"
    assert list(chunks) == [b"x"]
    assert list(tmp_path.iterdir()) == []


def test_names_chosen_by_a_server_are_fine_on_every_system() -> None:
    for text in ("CON", "nul", "a:b", "runware:101@1", "trailing. ", "..", "com1", "x" * 300, "\u2603"):
        name = files.safe_name(text)
        assert name_problem(pathlib.PurePosixPath(name)) == ""
        assert name_problem(pathlib.PurePosixPath(f"{name}.png")) == ""


def test_files_are_saved_where_the_file_system_has_no_hard_links(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(pathlib.Path, "hardlink_to", refuse)
    path = write_file(tmp_path / "a.png", iter((b"x",)), overwrite=False)
    with pytest.raises(FileExistsError):
        write_file(path, iter((b"y",)), overwrite=False)
    assert path.read_bytes() == b"x"


def test_file_that_another_program_has_open_is_left_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(pathlib.Path, "replace", refuse)  # as Windows does
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(PermissionError):
        write_file(path, iter((b"new",)), overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"


# ---------------------------------------------------------------------- the command line


def command(*arguments: str, encoding: str, folder: pathlib.Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, "-m", "runware", *arguments],
        env=environment, cwd=folder, capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_command_line_prints_any_text_into_a_pipe_with_a_code_page(tmp_path: pathlib.Path, encoding: str) -> None:
    shown = command("text", "snow \u2603 \U0001f600", "--local", encoding=encoding, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert rb"snow \u2603 \U0001f600" in shown.stdout
    as_json = command("text", "snow \u2603 \U0001f600", "--local", "--json", encoding=encoding, folder=tmp_path)
    assert as_json.returncode == 0, as_json.stderr
    assert "snow \u2603 \U0001f600" in json.dumps(json.loads(as_json.stdout), ensure_ascii=False)
    failed = command("caption", "snow\u2603.png", "--local", encoding=encoding, folder=tmp_path)
    assert failed.returncode == 2
    assert b"Traceback" not in failed.stderr


@pytest.mark.parametrize(
    "arguments", [("--help",), ("image", "--help"), ("models", "show", "bfl:5@1"), ("serve", "--list")]
)
def test_help_and_tables_print_with_a_code_page(tmp_path: pathlib.Path, arguments: tuple[str, ...]) -> None:
    shown = command(*arguments, encoding="cp437", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr


def test_command_line_keeps_text_as_it_is_in_unicode(tmp_path: pathlib.Path) -> None:
    shown = command("text", "snow \u2603", "--local", "--json", encoding="utf-8", folder=tmp_path)
    assert "snow \u2603".encode() in shown.stdout


# ---------------------------------------------------------------------- the workflow

WORKFLOW = PROJECT / ".github" / "workflows" / "tests.yml"


def test_workflow_has_the_versions_of_the_classifiers_and_the_test_command_of_the_readme() -> None:
    text = WORKFLOW.read_text("utf-8")
    classifiers = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    supported = [one.rpartition(" ")[2] for one in classifiers if "Python :: 3." in one]
    (versions,) = re.findall(r"^ +python: (\[.*\])$", text, re.MULTILINE)
    assert json.loads(versions) == supported  # strings: 3.10 without quotes would be 3.1
    (readme,) = re.findall(r"^pip install -e '\.\[test\]'.*$", (PROJECT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert f"run: {readme}\n" in text
    assert "secrets" not in text


def test_workflow_is_one_that_github_can_read() -> None:
    yaml: Any = pytest.importorskip("yaml", reason="PyYAML comes with the extra docs")
    workflow = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    job = workflow["jobs"]["tests"]
    assert job["runs-on"] == "${{ matrix.os }}"
    assert job["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert job["defaults"]["run"]["shell"] == "bash"
    assert all({"uses", "run"} & step.keys() for step in job["steps"])
    assert workflow["permissions"] == {"contents": "read"}
    assert {"push", "pull_request"} <= workflow[True].keys()  # YAML 1.1 reads `on` as a boolean
