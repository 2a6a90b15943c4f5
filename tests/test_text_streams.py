"""Streams of text against the local server: three forms, every fault, and what ends a stream early."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import runware
from runware import Runware, RunwareError, StreamText, Text, TextPiece
from runware.errors import (
    AuthenticationError,
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    ProviderError,
    RateLimitError,
    TaskCancelledError,
    TaskTimeoutError,
    ValidationError,
)
from runware.local import LocalServer
from runware.text import AsyncTextStream, StreamJob, TextStream
from tests.conftest import until
from tests.net import refusing_port

MODEL = "google:gemma@4-31b"
ANSWER = "You said: {} — and that is all there is to say, ☃."


def asked(prompt: str = "Tell me about the sea", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **more}


class Outcome:
    """What one stream gave: its pieces, and its result or its error."""

    def __init__(self) -> None:
        self.pieces: list[TextPiece] = []
        self.result: Text | None = None
        self.error: RunwareError | None = None

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def read_blocking(rw: Runware, **parameters: Any) -> Outcome:
    outcome = Outcome()
    with rw.stream_text(**parameters) as stream:
        try:
            for piece in stream:
                outcome.pieces.append(piece)
            outcome.result = stream.result()
        except RunwareError as error:
            outcome.error = error
    return outcome


async def read_in_loop(rw: Runware, **parameters: Any) -> Outcome:
    outcome = Outcome()
    async with rw.aio.stream_text(**parameters) as stream:
        try:
            async for piece in stream:
                outcome.pieces.append(piece)
            outcome.result = await stream.result()
        except RunwareError as error:
            outcome.error = error
    return outcome


def read_job(rw: Runware, **parameters: Any) -> Outcome:
    outcome = Outcome()
    job = rw.submit.stream_text(**parameters)
    try:
        for piece in job:
            outcome.pieces.append(piece)
        outcome.result = job.result(20)
    except RunwareError as error:
        outcome.error = error
    return outcome


Form = Callable[..., Outcome]
FORMS: dict[str, Form] = {
    "blocking": read_blocking,
    "asyncio": lambda rw, **parameters: asyncio.run(read_in_loop(rw, **parameters)),
    "job": read_job,
}


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def read(request: pytest.FixtureRequest) -> Form:
    form: Form = request.param
    return form


# ---------------------------------------------------------------------- streams that go well


def test_pieces_put_together_are_the_text(rw: Runware, read: Form) -> None:
    outcome = read(rw, **asked(include_usage=True, include_cost=True))
    assert outcome.error is None
    result = outcome.result
    assert result is not None
    assert outcome.text == result.text == ANSWER.format("Tell me about the sea")
    assert "".join(piece.reasoning for piece in outcome.pieces) == result.reasoning == "short answer"
    assert len(outcome.pieces) > 5
    assert result.finish_reason == "stop"
    assert result.usage is not None
    assert result.usage.total_tokens
    assert result.cost == 0.00002
    assert result.task_type == "textInference"
    assert result.task_uuid == outcome.pieces[0].task_uuid == result.meta.task_uuid
    assert result.meta.request["messages"][0]["content"] == "Tell me about the sea"
    assert outcome.pieces[1].raw["delta"]["text"] == outcome.pieces[1].text


@pytest.mark.parametrize(
    "form",
    [
        "split", "crlf", "joined", "no-space", "no-newline", "late-usage", "empty-uuid", "nested", "split+crlf",
        "late-usage+empty-uuid", "joined+no-newline",
    ],
)  # fmt: skip
def test_stream_is_read_however_it_is_written(server: LocalServer, rw: Runware, read: Form, form: str) -> None:
    server.play("X21", form=form)
    outcome = read(rw, **asked(include_usage=True, include_cost=True))
    assert outcome.error is None
    assert outcome.result is not None
    assert outcome.text == outcome.result.text == ANSWER.format("Tell me about the sea")
    assert outcome.result.cost == 0.00002
    assert outcome.result.usage is not None
    assert outcome.result.finish_reason == "stop"
    assert {piece.task_uuid for piece in outcome.pieces} == {outcome.result.task_uuid}
    assert outcome.result.task_uuid
    assert server.ledger.http_requests == 1


@pytest.mark.parametrize("form", ["tools", "toolCalls"])
def test_calls_of_tools_are_put_together(server: LocalServer, rw: Runware, read: Form, form: str) -> None:
    server.switch(p5=form, p25="present")
    tools = [{"name": name, "description": "x", "schema": {"type": "object"}} for name in ("weather", "clock")]
    outcome = read(rw, **asked('Look [tool:weather={"city": "Øslo"}] and [tool:clock]', tools=tools))
    assert outcome.result is not None
    first, second = outcome.result.tool_calls
    assert (first.id, first.name, first.input) == ("call_1", "weather", {"city": "Øslo"})
    assert (second.id, second.name, second.input) == ("call_2", "clock", {})
    assert outcome.result.finish_reason == "tool_calls"
    assert any(piece.tool_calls for piece in outcome.pieces)
    assert "Øslo" not in repr(outcome.result.tool_calls)


def test_dry_run_costs_nothing(server: LocalServer, read: Form) -> None:
    with Runware(server.api_key, url=server.url, dry_run=True) as rw:
        outcome = read(rw, **asked(include_cost=True))
    assert outcome.error is None
    assert outcome.result is not None
    assert outcome.result.cost == 0.00002
    assert server.ledger.executed == 0


def test_text_method_of_a_stream_yields_its_text(rw: Runware) -> None:
    with rw.stream_text(**asked()) as stream:
        assert "".join(stream.text()) == ANSWER.format("Tell me about the sea")

    async def main() -> str:
        async with rw.aio.stream_text(**asked()) as stream:
            return "".join([part async for part in stream.text()])

    assert asyncio.run(main()) == ANSWER.format("Tell me about the sea")


def test_result_reads_what_was_not_read(rw: Runware) -> None:
    whole = ANSWER.format("Tell me about the sea")
    assert rw.stream_text(**asked()).result().text == whole
    with rw.stream_text(**asked()) as stream:
        first = next(piece for piece in stream if piece.text)
        assert stream.received.text == first.text
        assert stream.result().text == whole
        assert stream.result().text == whole
        assert list(stream) == []
    assert stream.result().text == whole

    async def main() -> None:
        assert (await rw.aio.stream_text(**asked()).result()).text == whole
        async with rw.aio.stream_text(**asked()) as stream:
            async for piece in stream:
                if piece.text:
                    break
            assert (await stream.result()).text == whole
            assert [piece async for piece in stream] == []

    asyncio.run(main())


def test_job_gives_its_pieces_to_any_number_of_readers(rw: Runware) -> None:
    seen: list[Any] = []
    job = rw.submit.stream_text(**asked(), on_partial=lambda pieces, error: seen.append((list(pieces), error)))
    assert isinstance(job, StreamJob)
    texts = ["".join(piece.text for piece in job) for _ in range(2)]

    async def main() -> tuple[str, Text]:
        return "".join([piece.text async for piece in job]), await job

    text, result = asyncio.run(main())
    assert {*texts, text, str(result)} == {ANSWER.format("Tell me about the sea")}
    assert (job.status, *job.progress[:2]) == ("succeeded", 1, 1)
    until(lambda: sum(len(pieces) for pieces, _ in seen) == len(job.results))
    assert [piece.text for pieces, _ in seen for piece in pieces] == [piece.text for piece in job.results]
    assert rw.job(job.ref).result(10)[0].text == str(result)


def test_request_objects_run_in_every_way(rw: Runware) -> None:
    task = StreamText(**asked())
    whole = ANSWER.format("Tell me about the sea")
    assert rw.run(task).text == whole
    assert rw.submit.run(task).result(10).text == whole
    assert rw.stream(task).result().text == whole

    async def main() -> tuple[str | None, str | None]:
        return (await rw.aio.run(task)).text, (await rw.aio.stream(task).result()).text

    assert asyncio.run(main()) == (whole, whole)


def test_request_is_sent_when_the_first_piece_is_read(server: LocalServer, rw: Runware) -> None:
    with rw.stream_text(**asked()) as stream:
        assert "not started" in repr(stream)
        assert server.ledger.http_requests == 0
    with pytest.raises(TaskCancelledError, match="Nothing was sent"):
        stream.result()
    assert server.ledger.http_requests == 0


def test_map_takes_the_operation_and_gives_whole_texts(rw: Runware) -> None:
    prompts = [f"number {number}" for number in range(10)]
    inputs = [asked(prompt) for prompt in prompts]
    found = [text.text for text in rw.map(rw.stream_text, inputs, concurrency=5)]
    assert found == [ANSWER.format(prompt) for prompt in prompts]


def test_stream_needs_no_websocket(server: LocalServer, rw: Runware, read: Form) -> None:
    assert read(rw, **asked()).error is None
    assert server.ledger.authentications == 0
    assert "not connected" in repr(rw)


@pytest.mark.parametrize("form", ["split", "cut", "torn-fin", "silence"])
def test_stream_of_a_client_that_uses_http(server: LocalServer, read: Form, form: str) -> None:
    with Runware(server.api_key, url=server.url, transport="http", retry_delay=0.01) as rw:
        server.play("X21", form=form, after=4)
        outcome = read(rw, **asked(silence_timeout=0.2))
    assert outcome.error is None
    assert outcome.text == ANSWER.format("Tell me about the sea")
    assert server.ledger.connections == 0
    assert len(server.ledger.tasks("textInference")) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_of_the_local_server_is_honoured(server: LocalServer, rw: Runware, read: Form, status: int) -> None:
    server.play("X20", status=status, run=False, body="error", retry_after="0.2")
    began = time.monotonic()
    assert read(rw, **asked()).error is None
    assert time.monotonic() - began >= 0.2
    assert server.ledger.executed == 1


def test_task_uuid_of_the_caller_is_kept(server: LocalServer, rw: Runware, read: Form) -> None:
    uuid = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
    outcome = read(rw, **asked(task_uuid=uuid))
    assert outcome.result is not None
    assert outcome.result.task_uuid == uuid
    assert server.ledger.executions(uuid) == 1
    again = read(rw, **asked(task_uuid=uuid))
    assert again.error is not None
    assert again.error.code == "conflictTaskUUID"


# ---------------------------------------------------------------------- ends that were not announced


CUTS = ["no-done", "cut", "fin", "torn", "torn-fin", "garbage", "split+fin", "crlf+cut"]


@pytest.mark.parametrize("form", CUTS)
def test_cut_stream_is_completed_by_what_the_server_has(
    server: LocalServer, rw: Runware, read: Form, form: str
) -> None:
    server.play("X21", form=form, after=4)
    outcome = read(rw, **asked(include_usage=True, include_cost=True))
    assert outcome.error is None
    result = outcome.result
    assert result is not None
    assert outcome.text == result.text == ANSWER.format("Tell me about the sea")
    assert result.finish_reason == "stop"
    assert result.cost == 0.00002
    assert result.usage is not None
    assert server.ledger.executions(str(result.task_uuid)) == 1
    assert server.ledger.submissions(str(result.task_uuid)) == 1


@pytest.mark.parametrize("form", CUTS)
def test_cut_stream_that_the_server_does_not_know_fails_with_the_text_so_far(
    server: LocalServer, read: Form, form: str
) -> None:
    server.switch(p7="unknown")
    server.play("X21", form=form, after=4)
    with Runware(server.api_key, url=server.url, timeout=2.0, long_timeout=3.0, retry_delay=0.01) as rw:
        outcome = read(rw, **asked())
    error = outcome.error
    assert isinstance(error, ConnectionLostError)
    assert error.may_have_run
    assert not error.retryable
    (so_far,) = error.results
    assert isinstance(so_far, Text)
    assert so_far.text
    assert so_far.text == outcome.text
    assert ANSWER.format("Tell me about the sea").startswith(so_far.text)
    assert "sea" not in str(error)
    assert "billed" in str(error)
    assert server.ledger.submissions(str(error.task_uuid)) == 1


def test_cut_stream_is_not_completed_with_another_text(server: LocalServer, rw: Runware, read: Form) -> None:
    server.play("X21", form="cut", after=4)
    server.script(_other_text)
    outcome = read(rw, **asked())
    assert isinstance(outcome.error, ConnectionLostError)
    so_far, whole = outcome.error.results
    assert so_far.text == outcome.text
    assert whole.text == "Something else."


def _other_text(task: dict[str, Any]) -> list[Any] | None:
    if task["taskType"] not in ("getResponse", "getTaskDetails"):
        return None
    item = {"taskType": "textInference", "taskUUID": task["taskUUID"], "text": "Something else.", "status": "success"}
    if task["taskType"] == "getTaskDetails":
        item = {"taskType": "getTaskDetails", "taskUUID": task["taskUUID"], "response": {"data": [item]}}
    return [{"data": [item]}]


@pytest.mark.parametrize("form", ["error", "error-singular", "error+nested"])
def test_error_within_a_stream_is_typed_and_has_the_text_so_far(
    server: LocalServer, rw: Runware, read: Form, form: str
) -> None:
    server.play("X21", form=form, after=3)
    outcome = read(rw, **asked())
    error = outcome.error
    assert isinstance(error, ProviderError)
    assert error.code == "timeoutProvider"
    assert error.results[0].text == outcome.text
    assert outcome.text
    assert error.may_have_run
    assert server.ledger.http_requests == 1, "a stream that has begun is not bought again"


@pytest.mark.parametrize("form", ["silence", "pings"])
def test_silence_ends_at_its_limit_and_is_completed(server: LocalServer, rw: Runware, read: Form, form: str) -> None:
    server.play("X21", form=form, after=3)
    outcome = read(rw, **asked(silence_timeout=0.2 if form == "silence" else 0.05))
    assert outcome.error is None
    assert outcome.text == ANSWER.format("Tell me about the sea")
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)


@pytest.mark.parametrize("form", ["silence", "pings"])
def test_timeout_bounds_the_whole_stream(server: LocalServer, rw: Runware, read: Form, form: str) -> None:
    server.play("X21", form=form, after=3)
    began = time.monotonic()
    outcome = read(rw, **asked(timeout=0.4))
    assert 0.3 < time.monotonic() - began < 5.0
    assert isinstance(outcome.error, TaskTimeoutError)
    assert outcome.error.may_have_run
    assert outcome.error.results[0].text == outcome.text
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)


# ---------------------------------------------------------------------- refusals


def test_wrong_key_is_refused_and_not_retried(server: LocalServer, read: Form) -> None:
    client = Runware("rw-wrong-key-0123", url=server.url, retry_delay=0.01)
    outcome = read(client, **asked())
    client.close()
    assert isinstance(outcome.error, AuthenticationError)
    assert not outcome.error.may_have_run
    assert server.ledger.http_requests == 1


def test_retry_policy_applies_before_the_stream(server: LocalServer, rw: Runware, read: Form) -> None:
    outcome = read(rw, **asked("Tell me [rate-limit:2]"))
    assert outcome.error is None
    assert outcome.result is not None
    assert outcome.text == ANSWER.format("Tell me [rate-limit:2]")
    assert server.ledger.http_requests == 3
    assert len(outcome.result.meta.attempts) == 2
    outcome = read(rw, **asked("Tell me [rate-limit]", retry=1))
    assert isinstance(outcome.error, RateLimitError)
    assert len(outcome.error.attempts) == 1
    assert not outcome.error.may_have_run
    assert server.ledger.executed == 1


def test_lost_response_is_asked_for_and_never_bought_again(server: LocalServer, rw: Runware, read: Form) -> None:
    server.play("X20")
    outcome = read(rw, **asked())
    assert outcome.error is None
    assert outcome.text == ANSWER.format("Tell me about the sea")
    assert server.ledger.executed == 1
    assert len(server.ledger.tasks("textInference")) == 1


@pytest.mark.parametrize("status", [500, 502])
def test_status_that_says_nothing_is_asked_about(server: LocalServer, rw: Runware, read: Form, status: int) -> None:
    server.play("X20", status=status)
    outcome = read(rw, **asked())
    assert outcome.text == ANSWER.format("Tell me about the sea")
    assert len(server.ledger.tasks("textInference")) == 1


def test_unavailable_server_is_tried_again_with_the_same_uuid(server: LocalServer, rw: Runware, read: Form) -> None:
    server.play("X20", status=503)  # although it ran the task
    outcome = read(rw, **asked())
    assert outcome.text == ANSWER.format("Tell me about the sea")
    first, second = server.ledger.tasks("textInference")
    assert first["taskUUID"] == second["taskUUID"]
    assert server.ledger.executed == 1


def test_no_server_is_a_typed_error_after_the_retries(read: Form) -> None:
    rw = Runware("rw-test-key", url=f"ws://127.0.0.1:{refusing_port()}/v1", retry_delay=0.01)
    outcome = read(rw, **asked())
    rw.close()
    assert isinstance(outcome.error, ConnectionFailedError)
    assert outcome.error.stage == "TCP"
    assert not outcome.error.may_have_run
    assert "rw-test-key" not in str(outcome.error)


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"delivery_method": "async"}, "delivery_method"),
        ({"webhook_url": "https://example.com/hook"}, "webhook_url"),
        ({"number_results": 2}, "number_results"),
        ({"skip_response": True}, "skip_response"),
        ({"return_partial": True}, "return_partial"),
        ({"progress": True}, "progress"),
        ({"extra": {"deliveryMethod": "sync"}}, "extra"),
        ({"extra": {"numberResults": 2}}, "extra"),
        ({"silence_timeout": 0}, "silence_timeout"),
    ],
)
def test_what_no_stream_can_do_is_refused_before_anything_is_sent(
    server: LocalServer, rw: Runware, given: dict[str, Any], parameter: str
) -> None:
    for method in (rw.stream_text, rw.aio.stream_text, rw.submit.stream_text):
        with pytest.raises(RunwareError) as failure:
            method(**asked(**given))
        assert failure.value.parameter == parameter
    assert server.ledger.http_requests == 0


def test_callback_is_for_jobs_only(rw: Runware) -> None:
    for method in (rw.stream_text, rw.aio.stream_text):
        with pytest.raises(ValidationError, match=r"rw\.submit\.stream_text"):
            method(**asked(on_partial=lambda pieces, error: None))


def test_operations_without_a_stream_say_so(server: LocalServer, rw: Runware) -> None:
    picture: dict[str, Any] = {"positive_prompt": "x", "model": "runware:101@1", "width": 512, "height": 512}
    for call in (
        lambda: rw.image_inference(**picture, delivery_method="stream"),  # type: ignore[arg-type]
        lambda: rw.image_inference(**picture, extra={"deliveryMethod": "stream"}),
        lambda: rw.run({"taskType": "imageInference", "positivePrompt": "x", "deliveryMethod": "stream"}),
        lambda: rw.text_inference(**asked(delivery_method="stream")),
        lambda: rw.run({"taskType": "textInference", "model": MODEL, "deliveryMethod": "stream"}),
    ):
        with pytest.raises(ValidationError, match=r"rw\.stream_text") as failure:
            call()
        assert failure.value.parameter == "delivery_method"
    assert not server.ledger.received


# ---------------------------------------------------------------------- ends by the user


@asynccontextmanager
async def held_in_loop(server: LocalServer, rw: Runware) -> AsyncIterator[AsyncTextStream]:
    server.play("X21", form="silence", after=3)
    stream = rw.aio.stream_text(**asked())
    for _ in range(3):
        await anext(stream)
    yield stream


@pytest.fixture
def held(server: LocalServer, rw: Runware) -> Iterator[TextStream]:
    """A stream of which nothing more comes."""
    server.play("X21", form="silence", after=3)
    stream = rw.stream_text(**asked())
    for _ in range(3):
        next(stream)
    yield stream
    stream.close()


def dropped(server: LocalServer) -> None:
    server.ledger.wait_for(lambda ledger: ledger.streams_dropped == 1)


def test_leaving_the_block_ends_the_connection(server: LocalServer, held: TextStream) -> None:
    with held as stream:
        pass
    dropped(server)
    with pytest.raises(TaskCancelledError) as failure:
        stream.result()
    assert failure.value.may_have_run
    assert failure.value.results[0].text == stream.received.text


def test_leaving_the_block_ends_the_connection_in_a_loop(server: LocalServer, rw: Runware) -> None:
    async def main() -> None:
        async with held_in_loop(server, rw) as stream:
            async with stream:
                pass
            await asyncio.to_thread(dropped, server)
            with pytest.raises(TaskCancelledError):
                await stream.result()

    asyncio.run(main())


def test_closing_the_client_ends_a_read_in_another_thread(server: LocalServer, rw: Runware, held: TextStream) -> None:
    errors: list[BaseException] = []
    reading = threading.Event()

    def run() -> None:
        reading.set()
        try:
            next(held)
        except RunwareError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    reading.wait(10)
    until(lambda: held._reader.reading)
    rw.close()
    thread.join(10)
    dropped(server)
    (error,) = errors
    assert isinstance(error, ClientClosedError)
    assert error.may_have_run
    assert error.results
    with pytest.raises(ClientClosedError):
        rw.stream_text(**asked())


def test_closing_the_client_ends_a_read_in_a_loop(server: LocalServer, rw: Runware) -> None:
    async def main() -> None:
        async with held_in_loop(server, rw) as stream:
            reading = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            await rw.aio.close()
            with pytest.raises(ClientClosedError) as failure:
                await asyncio.wait_for(reading, 10)
            assert failure.value.results
            await asyncio.to_thread(dropped, server)

    asyncio.run(main())


def test_closing_the_client_ends_a_job(server: LocalServer, rw: Runware) -> None:
    server.play("X21", form="silence", after=3)
    job = rw.submit.stream_text(**asked())
    until(lambda: len(job.results) == 3)
    assert job.progress[:2] == (0, 1)
    rw.close()
    with pytest.raises(ClientClosedError) as failure:
        job.result(10)
    assert failure.value.results[0].text
    dropped(server)
    until(lambda: not any(thread.name == "runware-stream" for thread in threading.enumerate()))


def test_cancelled_task_ends_the_connection(server: LocalServer, rw: Runware) -> None:
    async def main() -> None:
        async with held_in_loop(server, rw) as stream:
            reading = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.01)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await asyncio.to_thread(dropped, server)
            with pytest.raises(TaskCancelledError):
                await stream.result()

    asyncio.run(main())


def test_cancelled_job_ends_the_connection(server: LocalServer, rw: Runware) -> None:
    server.play("X21", form="silence", after=3)
    job = rw.submit.stream_text(**asked())
    until(lambda: len(job.results) == 3)
    assert job.status in ("accepted", "sent", "running")
    assert job.running()
    assert job.cancel()
    dropped(server)
    assert job.status == "cancelled"
    with pytest.raises(TaskCancelledError):
        job.result(10)
    until(lambda: not any(thread.name == "runware-stream" for thread in threading.enumerate()))


def test_stream_that_is_garbage_ends_its_connection(server: LocalServer, rw: Runware) -> None:
    server.play("X21", form="silence", after=3)
    stream = rw.stream_text(**asked())
    for _ in range(3):
        next(stream)
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None
    dropped(server)


def test_stream_that_is_garbage_in_a_loop_ends_its_connection(server: LocalServer, rw: Runware) -> None:
    async def main() -> None:
        server.play("X21", form="silence", after=3)
        stream = rw.aio.stream_text(**asked())
        for _ in range(3):
            await anext(stream)
        del stream
        gc.collect()
        await asyncio.to_thread(dropped, server)

    asyncio.run(main())


def test_second_reader_is_refused(rw: Runware, server: LocalServer) -> None:
    async def main() -> None:
        async with held_in_loop(server, rw) as stream:
            reading = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="read by another task"):
                await anext(stream)
            await stream.close()
            with pytest.raises(TaskCancelledError):
                await reading

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_does_not_touch_the_stream_of_its_parent(server: LocalServer, rw: Runware) -> None:
    server.play("X21", form="split")
    with rw.stream_text(**asked()) as stream:
        pieces = [next(stream)]
        job = rw.submit.stream_text(**asked())
        child = os.fork()
        if not child:
            code = 1
            try:
                with_error = 0
                for read in (lambda: next(stream), lambda: job.result(5)):
                    try:
                        read()
                    except ClientClosedError:
                        with_error += 1
                stream.close()
                gc.collect()
                code = 0 if with_error == 2 or (with_error == 1 and job.done()) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        pieces += stream
    assert "".join(piece.text for piece in pieces) == ANSWER.format("Tell me about the sea")
    assert job.result(10).text == ANSWER.format("Tell me about the sea")


# ---------------------------------------------------------------------- many, and secrets


MANY = 200


def test_200_blocking_streams_at_once(server: LocalServer, rw: Runware) -> None:
    texts: list[str | None] = [None] * MANY
    start = threading.Barrier(MANY)

    def run(number: int) -> None:
        start.wait(60)
        texts[number] = rw.stream_text(**asked(f"number {number}")).result().text

    threads = [threading.Thread(target=run, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert texts == [ANSWER.format(f"number {number}") for number in range(MANY)]


def test_200_streams_at_once_in_a_loop(server: LocalServer, rw: Runware) -> None:
    async def main() -> list[Text]:
        streams = [rw.aio.stream_text(**asked(f"number {number}")) for number in range(MANY)]
        return await asyncio.gather(*(stream.result() for stream in streams))

    assert [text.text for text in asyncio.run(main())] == [ANSWER.format(f"number {number}") for number in range(MANY)]


def test_two_hundred_stream_jobs_run_concurrently(server: LocalServer, rw: Runware) -> None:
    jobs = [rw.submit.stream_text(**asked(f"number {number}")) for number in range(MANY)]
    assert [job.result(60).text for job in jobs] == [ANSWER.format(f"number {number}") for number in range(MANY)]


def test_no_repr_or_error_shows_key_or_prompt(server: LocalServer, rw: Runware, read: Form) -> None:
    server.play("X21", form="error", after=3)
    outcome = read(rw, **asked("a secret prompt"))
    task = StreamText(**asked("a secret prompt"))
    stream = rw.stream(task)
    job = rw.submit.run(task)
    shown = [repr(one) for one in (outcome.error, outcome.pieces, task, stream, job, stream.received, job.result(10))]
    stream.close()
    assert not [text for text in shown if "secret" in text or server.api_key in text]


def test_no_log_shows_key_or_prompt(
    server: LocalServer, rw: Runware, read: Form, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for form in ("cut", "error", "split"):
            server.play("X21", form=form, after=3)
            read(rw, **asked("a secret prompt"))
    assert "runware.text" in {record.name for record in caplog.records}
    shown = [f"{record.getMessage()} {record.args}" for record in caplog.records]
    assert not [line for line in shown if "secret" in line or server.api_key in line]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_interrupt_ends_the_connection_and_names_the_task(
    server: LocalServer, held: TextStream, caplog: pytest.LogCaptureFixture
) -> None:
    main = threading.get_ident()

    def interrupt() -> None:
        until(lambda: held._reader.reading)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        next(held)
    thread.join(10)
    dropped(server)
    assert held.task_uuid in caplog.text
    with pytest.raises(TaskCancelledError):
        next(held)


def test_exit_with_a_stream_in_flight_names_its_task(server: LocalServer) -> None:
    server.play("X21", form="silence", after=3)
    program = f"""
from runware import Runware
rw = Runware({server.api_key!r}, url={server.url!r})
job = rw.submit.stream_text(**{asked()!r})
next(iter(job))
print(job.task_uuid)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert "1 stream in flight" in done.stderr
    assert done.stdout.strip() in done.stderr
    dropped(server)


def test_request_is_not_kept_while_the_text_comes(server: LocalServer, rw: Runware) -> None:
    server.play("X21", form="silence", after=3)
    job = rw.submit.stream_text(**asked("x" * 1_000_000))
    until(lambda: len(job.results) == 3)
    assert job._call.text == b""
    assert job._reader.exchange is not None
    assert not job._reader.exchange._body
    job.cancel()


def test_echoed_key_is_removed_from_errors(server: LocalServer, rw: Runware, read: Form) -> None:
    server.script(lambda task: [{"error": {"code": "invalidThing", "message": f"bad key {server.api_key}"}}])
    outcome = read(rw, **asked())
    assert isinstance(outcome.error, ValidationError)
    assert server.api_key not in str(outcome.error) + repr(outcome.error.raw)


def test_key_may_come_from_a_function(server: LocalServer, read: Form) -> None:
    rw = Runware(lambda: server.api_key, url=server.url)
    assert read(rw, **asked()).error is None
    rw.close()


@pytest.mark.parametrize("key", [lambda: 1 / 0, lambda: None], ids=["raises", "none"])
def test_function_without_a_key_is_a_typed_error(server: LocalServer, read: Form, key: Any) -> None:
    rw = Runware(key, url=server.url, retry_delay=0.01)
    outcome = read(rw, **asked())
    rw.close()
    assert isinstance(outcome.error, (ConnectionFailedError, runware.ConfigurationError))
    assert "api_key()" in str(outcome.error)
    assert server.ledger.http_requests == 0
