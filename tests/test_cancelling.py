"""Cancelling at every point of a call's life: everything is freed, and the client goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from runware import ClientClosedError, Runware, TaskCancelledError, TaskTimeoutError
from runware.errors import ConnectionFailedError
from runware.local import LocalServer
from runware.protocol.call import Call, CallState

from .conftest import until
from .support import A, B, Desk, ack, failure, image
from .test_session import ready_desk
from .test_three_interfaces import PICTURE


def while_dialling() -> tuple[Desk, Call]:
    desk = Desk()
    return desk, desk.submit(A)


def while_backing_off() -> tuple[Desk, Call]:
    desk, call = while_dialling()
    desk.fail_dial(ConnectionFailedError("refused"))
    return desk, call


def while_authenticating() -> tuple[Desk, Call]:
    desk, call = while_dialling()
    desk.open()
    return desk, call


def in_the_queue() -> tuple[Desk, Call]:
    desk = ready_desk(max_in_flight=1)
    desk.submit(B)
    return desk, desk.submit(A)


def before_it_was_written() -> tuple[Desk, Call]:
    desk = ready_desk()
    desk.hold_writes = True
    return desk, desk.submit(A)


def when_sent() -> tuple[Desk, Call]:
    desk = ready_desk()
    return desk, desk.submit(A, expected=3, body={"numberResults": 3})


def between_results() -> tuple[Desk, Call]:
    desk, call = when_sent()
    desk.receive({"data": [image(number=1)]})
    return desk, call


def after_the_error_of_one_result() -> tuple[Desk, Call]:
    desk, call = between_results()
    desk.receive(failure("inferenceError"))
    return desk, call


def when_accepted() -> tuple[Desk, Call]:
    desk, call = when_sent()
    desk.receive(ack(kind="imageInference"))
    return desk, call


def while_asked_for() -> tuple[Desk, Call]:
    desk, call = when_accepted()
    desk.pass_time(0.1)
    assert call.poll_outstanding
    return desk, call


def while_disconnected() -> tuple[Desk, Call]:
    desk, call = when_accepted()
    desk.lose()
    return desk, call


def while_recovering() -> tuple[Desk, Call]:
    desk, call = when_sent()
    desk.lose()
    desk.ready()
    assert call.state is CallState.RECOVERING
    return desk, call


def before_the_next_attempt() -> tuple[Desk, Call]:
    desk = ready_desk()
    call = desk.submit(A, retry=3)
    desk.receive(failure("rateLimitExceeded"))
    assert call.state is CallState.RETRYING
    return desk, call


POINTS = [
    while_dialling, while_backing_off, while_authenticating, in_the_queue, before_it_was_written, when_sent,
    between_results, after_the_error_of_one_result, when_accepted, while_asked_for, while_disconnected,
    while_recovering, before_the_next_attempt,
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
def test_cancel_at_any_point_frees_the_call_and_the_next_one_works(point: Callable[[], tuple[Desk, Call]]) -> None:
    desk, call = point()
    desk.cancel(call)
    assert call not in desk.ended
    assert call.text == b""
    assert call.key not in desk.session.calls
    desk.cancel(call)  # cancelling again does nothing

    # Whatever the server still sends for the call is discarded, also after another drop.
    unwritten = desk.hold_writes
    desk.hold_writes = False
    desk.write()
    assert not unwritten or desk.take_written() == []
    for news in ({"data": [image(call.uuid, 7)]}, failure("inferenceError", call.uuid), ack(call.uuid)):
        desk.receive(news)
    if desk.session.calls or desk.session.state.value in ("connecting", "authenticating", "backing off"):
        for other in list(desk.session.calls.values()):
            desk.cancel(other)

    # The next call goes through. The client allows the same UUID to be used again.
    later = desk.submit(A)
    if desk.session.state.value == "authenticating":
        desk.accept_key()
    elif desk.session.state.value != "ready":
        desk.ready()
    sent = [task for frame in desk.take_written() for task in frame if task["taskType"] == "imageInference"]
    assert A in [task["taskUUID"] for task in sent]
    desk.receive({"data": [image()]})
    assert desk.ended[later] is None
    assert desk.session.in_flight == 0


@pytest.mark.parametrize("when", ["queued", "dialling", "held", "polled", "between"])
def test_cancel_at_any_point_over_a_socket_leaves_every_operation_working(when: str, server: LocalServer) -> None:
    limit = 1 if when == "queued" else None
    client = Runware(server.api_key, url=server.url, timeout=20.0, max_in_flight=limit)
    if when != "dialling":
        client.connect()
    parameters: dict[str, Any] = {**PICTURE, "number_results": 2}
    with server.hold("imageInference"):
        blocking = client.submit.image_inference(**PICTURE) if when == "queued" else None
        if when == "polled":
            parameters["delivery_method"] = "async"
        if when == "between":
            server.configure(frame_size=1)
        job = client.submit.image_inference(**parameters)
        if when in ("held", "between", "polled"):
            server.ledger.wait_for(lambda ledger: ledger.held == 2)
        if when == "polled":
            server.ledger.wait_for(lambda ledger: ledger.polls(job.task_uuid) >= 1)
        if when == "between":
            results = iter(job)
            server.release(1)
            next(results)
        assert job.cancel()
        assert not job.cancel() or job.cancelled()
        with pytest.raises(TaskCancelledError) as caught:
            job.result()
        assert len(caught.value.results) == (1 if when == "between" else 0)
        if blocking is not None:
            blocking.cancel()
    io_loop = client._core._io_loop
    assert io_loop is not None
    client.connect()
    assert io_loop._session.calls == {}
    (picture,) = client.image_inference(**PICTURE)
    assert client.upscale(input_image=picture, upscale_factor=2).url
    assert client.remove_background(input_image=picture).url
    assert client.caption(input_image=picture).text
    assert client.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)[0].url
    assert client.prompt_enhance(prompt="harbour")[0].text
    assert client.account_management().balance is not None
    client.close()


LARGE = b"\x89PNG" + bytes(12_000_000)


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
def test_call_cancelled_or_timed_out_behind_an_upload_is_not_sent(how: str, server: LocalServer) -> None:
    """Sent later, the task would be executed and billed for nothing."""
    with Runware(server.api_key, url=server.url, timeout=30.0) as client:
        server.stall()  # the server reads no more than the kernel buffers
        first = client.submit.image_inference(**PICTURE, seed_image=LARGE)
        waiting = client.submit.image_inference(**PICTURE, timeout=0.2 if how == "out of time" else None)
        later = client.submit.image_inference(**PICTURE)
        if how == "cancelled":
            waiting.cancel()
            client.connect()  # when this returns, the I/O thread has processed the cancellation
        else:
            assert isinstance(waiting.exception(), TaskTimeoutError)
        server.wake()
        assert first.result()
        assert later.result()
    assert {task["taskUUID"] for task in server.ledger.tasks("imageInference")} == {first.task_uuid, later.task_uuid}


def test_cancelled_job_calls_no_callback_for_later_results(
    rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with server.hold():
        job = rw.submit.image_inference(
            **PICTURE, on_partial=lambda results, error: told.append(threading.current_thread().name)
        )
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        monkeypatch.setattr(rw._core, "cancel_call", lambda call, **how: None)  # the I/O thread does not learn of it
        job.cancel()
    until(lambda: rw.stats.results == 1)
    rw.image_inference(**PICTURE)
    assert not told


def test_call_submitted_just_before_close_is_not_sent(server: LocalServer) -> None:
    client = Runware(server.api_key, url=server.url)
    client.connect()
    io_loop, gate = client._core._io_loop, threading.Event()
    assert io_loop is not None
    io_loop._post(lambda now: gate.wait(20) and None)  # so that it finds both at once
    job = client.submit.image_inference(**PICTURE)
    closing = threading.Thread(target=client.close)
    closing.start()
    until(lambda: len(io_loop._inbox) == 2)  # the task and the close
    gate.set()
    closing.join(20)
    assert isinstance(job.exception(), ClientClosedError)
    with Runware(server.api_key, url=server.url) as another:
        last = another.submit.image_inference(**PICTURE)
        last.result()
    assert [task["taskUUID"] for task in server.ledger.tasks("imageInference")] == [last.task_uuid]
