"""`upload_inputs="once"`: large media is stored on the platform by its content, and named by its UUID."""

from __future__ import annotations

import asyncio
import base64
import inspect
import itertools
import pathlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from runware import ConfigurationError, NotFoundError, Runware, RunwareError
from runware.local import LocalServer
from runware.store import uploads as stored_inputs
from runware.store.uploads import LARGE as LARGE_TEXT
from runware.store.uploads import Uploads

from .conftest import until

PICTURE: dict[str, Any] = {"positive_prompt": "a harbor", "model": "runware:101@1", "width": 512, "height": 512}
LARGE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000


@pytest.fixture
def rw(server: LocalServer) -> Iterator[Runware]:
    with Runware(api_key=server.api_key, url=server.url, upload_inputs="once", check="off") as client:
        yield client


def uploads(server: LocalServer) -> int:
    return sum(task.get("taskType") == "mediaStorage" for task in server.ledger.received)


def test_equal_media_is_stored_once_whatever_form_it_has(
    rw: Runware, server: LocalServer, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(LARGE)
    for media in (LARGE, path, "data:image/png;base64," + base64.b64encode(LARGE).decode()):
        image = rw.image_inference(**PICTURE, seed_image=media)[0]
        assert len(image.meta.request["seedImage"]) == 36
    assert uploads(server) == 1


def test_bytes_of_the_media_are_sent_once(rw: Runware, server: LocalServer) -> None:
    jobs = [rw.submit.image_inference(**PICTURE, seed_image=LARGE) for _ in range(50)]
    assert all(job.result() for job in jobs)
    assert rw.stats.bytes_sent < 1.4 * len(LARGE) + 50 * 1000


def test_memory_of_stored_media_is_limited_and_keeps_the_newest(
    rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_inputs, "_REMEMBERED", 2)
    for last in (b"1", b"2", b"3", b"3", b"2"):
        rw.image_inference(**PICTURE, seed_image=LARGE + last)
    assert uploads(server) == 3
    rw.image_inference(**PICTURE, seed_image=LARGE + b"1")
    assert uploads(server) == 4


def test_calls_at_the_same_time_share_one_upload(rw: Runware, server: LocalServer) -> None:
    async def run() -> None:
        await asyncio.gather(*(rw.aio.image_inference(**PICTURE, seed_image=LARGE) for _ in range(20)))

    asyncio.run(run())
    assert uploads(server) == 1


def test_small_media_is_sent_with_the_task(rw: Runware, server: LocalServer) -> None:
    rw.image_inference(**PICTURE, seed_image=LARGE[:1000])
    assert uploads(server) == 0


def test_media_that_the_server_has_forgotten_is_stored_again_and_nothing_is_bought_twice(
    rw: Runware, server: LocalServer
) -> None:
    rw.image_inference(**PICTURE, seed_image=LARGE)
    server.forget_media()
    jobs = [rw.submit.image_inference(**PICTURE, seed_image=LARGE) for _ in range(10)]
    for job in jobs:
        assert len(job.result()) == 1
    assert len(jobs[0].attempts) == 1  # later ones may know the new UUID
    assert uploads(server) == 2
    assert server.ledger.executed == 11 + uploads(server)
    assert server.ledger.results == 11 + uploads(server)


def test_media_that_stays_unknown_ends_the_call(rw: Runware, server: LocalServer) -> None:
    rw.image_inference(**PICTURE, seed_image=LARGE)
    server.forget_media()
    server.script(
        lambda task: (
            [{"errors": [{"code": "mediaNotFound", "message": "gone", "taskUUID": task["taskUUID"]}]}]
            if task["taskType"] == "imageInference"
            else None
        )
    )
    with pytest.raises(NotFoundError):
        rw.image_inference(**PICTURE, seed_image=LARGE)
    assert uploads(server) == 2


def test_failed_upload_is_the_error_of_the_call_and_the_next_call_tries_again(rw: Runware, server: LocalServer) -> None:
    server.script(
        lambda task: (
            [{"errors": [{"code": "invalidMedia", "message": "no", "taskUUID": task["taskUUID"]}]}]
            if task["taskType"] == "mediaStorage"
            else None
        )
    )
    with pytest.raises(RunwareError, match="no"):
        rw.image_inference(**PICTURE, seed_image=LARGE)
    server.script(None)
    assert rw.image_inference(**PICTURE, seed_image=LARGE)[0].url


def test_store_remembers_media_for_later_processes(server: LocalServer, tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        with Runware(
            api_key=server.api_key, url=server.url, upload_inputs="once", check="off", store=tmp_path / "jobs.db"
        ) as client:
            client.image_inference(**PICTURE, seed_image=LARGE)
    assert uploads(server) == 1


def test_nested_media_is_stored_too(rw: Runware, server: LocalServer) -> None:
    rw.image_inference(**PICTURE, reference_images=[LARGE, LARGE[:-1]])
    assert uploads(server) == 2


def test_inputs_of_a_task_are_stored_at_the_same_time(rw: Runware, server: LocalServer) -> None:
    inputs = [LARGE, LARGE[:-1], LARGE[:-2]]
    with ThreadPoolExecutor(1) as pool:
        with server.hold("mediaStorage"):
            call = pool.submit(rw.image_inference, **PICTURE, reference_images=inputs)
            until(lambda: uploads(server) == len(inputs))
        assert call.result(30)


def test_failed_upload_does_not_fail_another_input_that_other_calls_wait_for(rw: Runware, server: LocalServer) -> None:
    bad = "data:image/png;base64," + base64.b64encode(LARGE[:-1]).decode()
    server.script(
        lambda task: (
            [{"errors": [{"code": "invalidMedia", "message": "no", "taskUUID": task["taskUUID"]}]}]
            if task["taskType"] == "mediaStorage" and task["media"] == bad
            else None
        )
    )
    with pytest.raises(RunwareError, match="no"):
        rw.image_inference(**PICTURE, reference_images=[LARGE[:-1], LARGE])
    assert rw.image_inference(**PICTURE, seed_image=LARGE)[0].url
    assert uploads(server) == 2  # the good one was stored, and is known


def test_option_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="'inline' or 'once'") as caught:
        Runware(api_key="k", upload_inputs="twice")  # type: ignore[arg-type]
    assert caught.value.parameter == "upload_inputs"


class _Stored:
    """The job of an upload, which is done at once."""

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid

    def wait_done(self) -> None:
        pass

    def result(self, timeout: float | None = None) -> _Stored:
        return self

    def as_input(self) -> str:
        return self._uuid


def _steps() -> list[Any]:
    """Return the lines at which an upload may be interrupted, and how often each was reached before."""
    steps: list[Any] = []
    for function in (Uploads._uuids_of, Uploads._store, Uploads._stored, Uploads._remember):
        source, first = inspect.getsourcelines(function)
        for line in sorted({line for _, _, line in function.__code__.co_lines() if line is not None} - {first}):
            if not source[line - first].strip().startswith("with "):  # its end is no step: CPython leaves it in one
                for times in (0, 1):
                    steps.append(
                        pytest.param(function, line, times, id=f"{function.__name__} +{line - first}, {times}")
                    )
    return steps


@pytest.mark.parametrize(("function", "line", "times"), _steps())
def test_upload_interrupted_at_a_line_holds_up_no_other_call(function: Any, line: int, times: int) -> None:
    numbers = itertools.count(1)
    uploads: Any = Uploads(lambda task: _Stored(f"uuid {next(numbers)}"), lambda: None)  # type: ignore[arg-type]
    wire = {"one": "A" * LARGE_TEXT, "two": "B" * LARGE_TEXT}
    reached = itertools.count()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is not function.__code__:
            return None
        if event == "line" and frame.f_lineno == line and next(reached) == times:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(KeyboardInterrupt):
            uploads.replaced("imageInference", wire)
    finally:
        sys.settrace(before)
    replaced: list[Any] = []
    thread = threading.Thread(target=lambda: replaced.append(uploads.replaced("imageInference", wire)), daemon=True)
    thread.start()
    thread.join(5)
    ((new, inputs),) = replaced
    assert set(new.values()) == set(inputs.contents)
    assert len(set(new.values())) == 2


def test_upload_interrupted_in_one_thread_is_made_again_by_those_that_wait_for_it() -> None:
    began, interrupt = threading.Event(), threading.Event()

    class Interrupted(_Stored):
        def wait_done(self) -> None:
            began.set()
            interrupt.wait(5)
            raise KeyboardInterrupt

    jobs = iter([Interrupted("uuid 1"), _Stored("uuid 2")])
    uploads: Any = Uploads(lambda task: next(jobs), lambda: None)  # type: ignore[arg-type, return-value]
    wire = {"one": "A" * LARGE_TEXT}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(uploads.replaced, "imageInference", wire)
        assert began.wait(5)
        second = pool.submit(uploads.replaced, "imageInference", wire)
        until(lambda: bool(next(iter(uploads._running.values()))._condition._waiters))
        interrupt.set()
        assert second.result(5)[0] == {"one": "uuid 2"}
        assert isinstance(first.exception(5), KeyboardInterrupt)


def test_forgotten_media_fails_its_call_alone_if_no_thread_can_be_started(
    rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "runware-uploads":
            raise RuntimeError("can't start new thread")
        start(thread)

    rw.image_inference(**PICTURE, seed_image=LARGE)
    server.forget_media()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RunwareError, match="start a thread"):
        rw.image_inference(**PICTURE, seed_image=LARGE)
    assert rw.image_inference(**PICTURE)
