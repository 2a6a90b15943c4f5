"""Events, counters, and the log on standard error."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import json
import logging
import pathlib
import pickle
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runware import AuthenticationError, ClientClosedError, ConfigurationError, Runware, ValidationError, events
from runware._support.logs import log_to_stderr
from runware.errors import DownloadError, RunwareError
from runware.local import LocalServer
from runware.protocol.call import Completion
from runware.protocol.spending import Spending
from runware.transport import callbacks

from .conftest import Interface, until
from .net import listening
from .support import A, Desk, ack, failure, image, video
from .test_three_interfaces import PICTURE


def kinds_of_events(desk: Desk) -> list[str]:
    """Return the kinds of the events since the last look, and forget them."""
    happened, desk.happened = desk.happened, []
    return [type(event).__name__ for event in happened]


class TestWithASimulatedClock:
    def test_events_are_not_made_without_a_handler(self) -> None:
        desk = Desk()
        desk.submit()
        desk.ready()
        desk.receive({"data": [image()]})
        assert desk.happened == []

    def test_events_of_a_call_from_start_to_end(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.now += 0.25
        desk.open()
        desk.now += 0.25
        desk.accept_key()
        desk.now += 1.5
        desk.receive({"data": [image()]})
        assert desk.happened == [
            events.Connected(at=100.25, connection=1, elapsed=0.25, host=""),
            events.Authenticated(at=100.5, connection=1, elapsed=0.5, resumed=False),
            events.Sent(at=100.5, task_uuid=A, task_type="imageInference", attempt=1, elapsed=0.5, size=84),
            events.Resolved(
                at=102.0,
                task_uuid=A,
                task_type="imageInference",
                attempt=1,
                elapsed=2.0,
                status="succeeded",
                completed=1,
                total=1,
            ),
        ]

    def test_each_partial_result_makes_an_event(self) -> None:
        desk = Desk(events=True)
        desk.submit(expected=3)
        desk.ready()
        kinds_of_events(desk)
        for number in (1, 2, 3):
            desk.receive({"data": [image(number=number)]})
        partial = desk.happened[0]
        assert isinstance(partial, events.PartialResults)
        assert (partial.completed, partial.total) == (1, 3)
        assert kinds_of_events(desk) == ["PartialResults", "PartialResults", "Resolved"]

    def test_polled_task_is_accepted_once_and_each_poll_makes_an_event(self) -> None:
        desk = Desk(events=True)
        desk.submit(task_type="videoInference")
        desk.ready()
        desk.receive(ack())
        desk.pass_time(1.0)
        processing = {"taskType": "videoInference", "taskUUID": A, "status": "processing", "progress": 30}
        desk.receive({"data": [processing]})
        desk.pass_time(2.0)
        desk.receive({"data": [video()]})
        polls = [event for event in desk.happened if isinstance(event, events.Polled)]
        assert [type(event).__name__ for event in desk.happened if event not in polls] == [
            "Connected",
            "Authenticated",
            "Sent",
            "Accepted",
            "Resolved",
        ]
        assert len(polls) == desk.session.counts["questions"] >= 2
        assert (polls[0].progress, polls[-1].progress) == (None, 30.0)

    def test_each_retry_makes_an_event(self) -> None:
        desk = Desk(events=True)
        desk.submit(retry=1)
        desk.ready()
        kinds_of_events(desk)
        desk.receive(failure("rateLimitExceeded"))
        (retrying,) = desk.happened
        assert isinstance(retrying, events.Retrying)
        assert (retrying.task_uuid, retrying.attempt, retrying.error, retrying.code) == (
            A,
            1,
            "RateLimitError",
            "rateLimitExceeded",
        )
        desk.pass_time(retrying.delay)
        (uuid,) = desk.session.calls
        desk.receive(failure("rateLimitExceeded", uuid))
        resolved = desk.happened[-1]
        assert kinds_of_events(desk) == ["Retrying", "Sent", "Resolved"]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.task_uuid, resolved.attempt, resolved.status, resolved.error, resolved.code) == (
            uuid,
            2,
            "failed",
            "RateLimitError",
            "rateLimitExceeded",
        )

    def test_drop_and_resumed_session_make_events(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.ready()
        kinds_of_events(desk)
        desk.now += 5.0
        desk.lose("reset")
        left, interrupted = desk.happened
        assert left == events.Disconnected(at=105.0, connection=1, elapsed=5.0, reason="reset", stage=None, in_flight=1)
        assert interrupted == events.Interrupted(
            at=105.0, task_uuid=A, task_type="imageInference", attempt=1, elapsed=5.0, reason="reset"
        )
        kinds_of_events(desk)
        desk.ready()
        _, authenticated, polled = desk.happened
        assert isinstance(polled, events.Polled)
        assert isinstance(authenticated, events.Authenticated)
        assert (authenticated.connection, authenticated.resumed) == (2, True)

    def test_failed_attempt_to_connect_makes_an_event(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.session.dial_reached(1, "TLS", "example:443")
        desk.fail_dial(RunwareError("No."))
        (left,) = desk.happened
        assert isinstance(left, events.Disconnected)
        assert (left.reason, left.stage) == ("No.", "TLS")

    def test_rejected_key_makes_an_event(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.open()
        kinds_of_events(desk)
        desk.receive(failure("invalidApiKey", None))
        left, resolved = desk.happened
        assert isinstance(left, events.Disconnected)
        assert isinstance(resolved, events.Resolved)
        assert left.stage == "authentication"
        assert resolved.error == "AuthenticationError"

    def test_cancellation_makes_one_event(self) -> None:
        desk = Desk(events=True)
        call = desk.submit()
        desk.ready()
        desk.cancel(call)
        resolved = desk.happened[-1]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.status, resolved.error) == ("cancelled", None)
        desk.cancel(call)
        assert kinds_of_events(desk)[-1:] == ["Resolved"]
        assert desk.session.counts["cancelled"] == 1

    def test_close_makes_events_of_the_connection_and_each_call(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.ready()
        kinds_of_events(desk)
        desk.close()
        assert kinds_of_events(desk) == ["Disconnected", "Resolved"]
        desk.close()
        desk.submit()
        assert kinds_of_events(desk) == ["Resolved"]

    def test_connection_not_trusted_after_sleep_makes_an_event(self) -> None:
        desk = Desk(events=True)
        desk.connect()
        desk.ready()
        kinds_of_events(desk)
        desk.now += 3600.0
        desk.submit()
        (left,) = desk.happened
        assert isinstance(left, events.Disconnected)
        assert left.elapsed == 3600.0

    def test_connect_makes_no_event_of_a_call(self) -> None:
        desk = Desk(events=True)
        desk.connect()
        desk.ready()
        assert kinds_of_events(desk) == ["Connected", "Authenticated"]
        assert set(desk.session.counts.values()) == {0, 1}

    def test_counters_count_every_outcome(self) -> None:
        desk = Desk()
        for number in range(4):
            desk.submit(A[:-1] + str(number))
        desk.submit(A[:-1] + "9", completion=Completion.EXISTING)
        desk.ready()
        desk.receive({"data": [image(A[:-1] + "0")]})
        desk.receive(failure("invalidWidth", A[:-1] + "1"))
        desk.cancel(desk.session.calls[A[:-1] + "2"])
        desk.lose()
        assert desk.session.counts == {
            "succeeded": 1,
            "failed": 1,
            "cancelled": 1,
            "sent": 4,
            "retries": 0,
            "questions": 1,
            "results": 1,
            "connections": 1,
            "drops": 1,
        }


Make = Callable[..., Runware]


@pytest.fixture
def make(server: LocalServer) -> Iterator[Make]:
    made: list[Runware] = []

    def client(**options: Any) -> Runware:
        made.append(Runware(server.api_key, url=server.url, **{"timeout": 20.0, "retry_delay": 0.02, **options}))
        return made[-1]

    yield client
    for one in made:
        one.close()


class Watcher:
    """Records events, and waits for them."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        self.threads: set[str] = set()

    def __call__(self, event: events.Event) -> None:
        self.threads.add(threading.current_thread().name)
        self.queue.put(event)

    def until(self, kind: type[events.Event]) -> list[events.Event]:
        found = [self.queue.get(timeout=10)]
        while type(found[-1]) is not kind:
            found.append(self.queue.get(timeout=10))
        return found


class TestOverASocket:
    def test_events_of_a_call_are_the_same_in_every_interface(self, make: Make, interface: Interface) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        interface(client, "image_inference", **PICTURE)
        seen = watcher.until(events.Resolved)
        assert [type(event).__name__ for event in seen] == ["Connected", "Authenticated", "Sent", "Resolved"]
        assert watcher.threads == {"runware-events"}
        assert isinstance(seen[0], events.Connected)
        assert seen[0].host.startswith("127.0.0.1")
        assert all(event.at > 1.7e9 for event in seen)

    def test_disconnected_event_arrives_after_close(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        client.connect()
        client.close()
        left = watcher.until(events.Disconnected)[-1]
        assert isinstance(left, events.Disconnected)
        assert left.reason == "the client was closed"

    def test_handler_that_raises_disturbs_no_call(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        done = threading.Event()

        def broken(event: events.Event) -> None:
            if isinstance(event, events.Resolved):
                done.set()
            raise LookupError("mine")

        client = make(on_event=broken)
        assert client.image_inference(**PICTURE)
        assert done.wait(10)
        assert client.image_inference(**PICTURE)
        assert "a callback raised" in caplog.text

    def test_slow_handler_delays_no_call_and_its_queue_is_bounded(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(callbacks, "MAX_EVENTS", 3)
        go, partials = threading.Event(), []
        client = make(on_event=lambda _: go.wait(20))
        job = client.submit.image_inference(**PICTURE, on_partial=lambda results, _: partials.append(results))
        job.result(20)
        for _ in range(4):
            client.image_inference(**PICTURE)
        go.set()
        assert client.stats.events_dropped > 0
        assert caplog.text.count("on_event is too slow") == 1
        assert client.stats.succeeded == 5

    def test_stats_count_calls_results_and_bytes(self, make: Make, server: LocalServer) -> None:
        client = make(max_retries=1)
        assert client.stats == events.Stats()
        client.image_inference(**PICTURE, number_results=3)
        with pytest.raises(ValidationError):
            client.image_inference(**{**PICTURE, "width": 63})
        client.image_inference(**{**PICTURE, "positive_prompt": "a kite [rate-limit:1]"})
        stats = client.stats
        assert (stats.calls, stats.succeeded, stats.failed, stats.retries) == (3, 2, 1, 1)
        assert (stats.results, stats.sent, stats.in_flight, stats.queued) == (4, 4, 0, 0)
        assert stats.connections == 1
        assert stats.bytes_sent > 400
        assert stats.bytes_received > 400
        assert client.aio.stats == client.stats

    def test_stats_show_calls_in_flight_and_queued(self, make: Make, server: LocalServer) -> None:
        server.configure(delay=30.0)
        client = make(max_in_flight=2)
        jobs = [client.submit.image_inference(**PICTURE) for _ in range(5)]
        client.connect()
        # connect() was posted after the tasks, so that they have been sent by now.
        stats = client.stats
        assert (stats.calls, stats.in_flight, stats.queued) == (5, 2, 3)
        for job in jobs:
            job.cancel()

    def test_connect_does_not_count_as_a_call(self) -> None:
        with listening(lambda sock: sock.recv(1)) as port:  # the upgrade is never answered
            client = Runware("rw-test-key", url=f"ws://127.0.0.1:{port}/v1", connect_timeout=20.0)
            wish = client._core.connect(20.0)
            io_loop = client._core.io_loop()
            while not io_loop._session.calls:
                time.sleep(0.001)
            assert (client.stats.calls, client.stats.queued) == (0, 0)
            client.close()
            assert isinstance(wish.exception(20), ClientClosedError)

    def test_client_with_a_picklable_handler_can_be_pickled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-test-key")
        client = Runware(on_event=print)
        assert pickle.loads(pickle.dumps(client))._core.options.on_event is print

    def test_handler_that_is_no_function_raises(self) -> None:
        with pytest.raises(ConfigurationError, match="on_event must be a function") as caught:
            Runware("rw-test-key", on_event="print")  # type: ignore[arg-type]
        assert caught.value.parameter == "on_event"

    def test_handler_that_nothing_would_await_raises(self) -> None:
        async def watch(event: events.Event) -> None: ...

        with pytest.raises(ConfigurationError, match="on_event must be a plain function, not a coroutine function"):
            Runware("rw-test-key", on_event=watch)

    def test_rejected_key_reports_the_authentication_stage(self, make: Make, server: LocalServer) -> None:
        watcher = Watcher()
        client = Runware("rw-wrong", url=server.url, on_event=watcher, max_retries=0)
        with pytest.raises(AuthenticationError):
            client.connect()
        left = watcher.until(events.Disconnected)[-1]
        assert isinstance(left, events.Disconnected)
        assert left.stage == "authentication"
        client.close()


CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


def caller_of(event: events.TaskEvent | events.Downloaded) -> str:
    assert event.context is not None
    return event.context.run(CALLER.get)


QUESTION: dict[str, Any] = {
    "model": "google:gemma@4-31b",
    "messages": [{"role": "user", "content": "Why?"}],
    "include_usage": True,
    "include_cost": True,
}


async def read_in_loop(client: Runware) -> Any:
    async with client.aio.stream_text(**QUESTION) as stream:
        return await stream.result()


STREAMS = {
    "blocking": lambda client: client.stream_text(**QUESTION).result(),
    "job": lambda client: client.submit.stream_text(**QUESTION).result(20),
    "asyncio": lambda client: asyncio.run(read_in_loop(client)),
}
NAME = "my-upscaler"
APPS = {
    "blocking": lambda client: client.app(NAME).call("run", {}),
    "job": lambda client: client.submit.app(NAME).call("run", {}).result(20),
    "asyncio": lambda client: asyncio.run(client.aio.app(NAME).call("run", {})),
}


class TestAllWork:
    """What events and counters say of everything a client does."""

    def test_events_know_model_cost_and_caller(self, make: Make, interface: Interface) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        CALLER.set("me")
        images = interface(client, "image_inference", **PICTURE, number_results=2, include_cost=True)
        seen = [event for event in watcher.until(events.Resolved) if isinstance(event, events.TaskEvent)]
        assert {event.model for event in seen} == {PICTURE["model"]}
        assert {caller_of(event) for event in seen} == {"me"}
        resolved = seen[-1]
        assert isinstance(resolved, events.Resolved)
        assert resolved.cost == pytest.approx(images.cost)
        assert client.stats.cost == pytest.approx(images.cost)
        assert images.cost > 0
        assert resolved.input_tokens is None
        assert list(resolved.history) == seen[:-1]
        assert (resolved.request, resolved.response) == (None, None)
        assert str(PICTURE["positive_prompt"]) not in repr(seen)

    def test_polls_do_not_make_the_history_long(self) -> None:
        feed = callbacks.EventFeed()
        origin = feed.origin("m", b"")
        facts = {"task_uuid": A, "task_type": "videoInference", "attempt": 1, "elapsed": 1.0}
        for _ in range(300):
            feed.report(events.Polled, dict(facts), origin)
        feed.report(events.Accepted, dict(facts), origin)
        assert len(origin.history) == 101

    @pytest.mark.parametrize("read", STREAMS.values(), ids=STREAMS)
    def test_stream_has_events_and_counters(self, make: Make, read: Callable[[Runware], Any]) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        CALLER.set("me")
        text = read(client)
        seen = watcher.until(events.Resolved)
        assert [type(event).__name__ for event in seen] == ["Sent", "FirstPiece", "Resolved"]
        assert {caller_of(event) for event in seen if isinstance(event, events.TaskEvent)} == {"me"}
        resolved = seen[-1]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.task_uuid, resolved.task_type) == (text.task_uuid, "textInference")
        assert (resolved.model, resolved.status, resolved.completed) == (QUESTION["model"], "succeeded", 1)
        assert resolved.cost == text.cost > 0
        assert (resolved.input_tokens, resolved.output_tokens) == (text.usage.input_tokens, text.usage.output_tokens)
        stats = client.stats
        assert (stats.calls, stats.succeeded, stats.sent, stats.results, stats.in_flight) == (1, 1, 1, 1, 0)
        assert stats.cost == pytest.approx(text.cost)
        assert (stats.input_tokens, stats.output_tokens) == (text.usage.input_tokens, text.usage.output_tokens)

    def test_retried_stream_counts_its_attempts(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        client.stream_text(**{**QUESTION, "messages": [{"role": "user", "content": "Why? [rate-limit:1]"}]}).result()
        seen = watcher.until(events.Resolved)
        assert [type(event).__name__ for event in seen] == ["Sent", "Retrying", "Sent", "FirstPiece", "Resolved"]
        retrying, again = seen[1], seen[2]
        assert isinstance(retrying, events.Retrying)
        assert isinstance(again, events.Sent)
        assert (retrying.error, retrying.attempt, again.attempt) == ("RateLimitError", 1, 2)
        assert retrying.task_uuid != again.task_uuid
        assert (client.stats.calls, client.stats.retries) == (1, 1)

    def test_stream_that_is_closed_early_is_cancelled(self, make: Make, server: LocalServer) -> None:
        server.configure(delay=30.0)
        watcher = Watcher()
        client = make(on_event=watcher)
        client.stream_text(**QUESTION).close()  # it was never begun, so there is no call
        job = client.submit.stream_text(**QUESTION)
        server.ledger.wait_for(lambda ledger: ledger.tasks("textInference"))
        assert (client.stats.calls, client.stats.in_flight) == (1, 1)
        job.cancel()
        resolved = watcher.until(events.Resolved)[-1]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.status, resolved.error, resolved.completed) == ("cancelled", None, 0)
        stats = client.stats
        assert (stats.calls, stats.cancelled, stats.in_flight, stats.queued) == (1, 1, 0, 0)

    def test_failed_stream_has_its_error(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        with pytest.raises(RunwareError):
            client.stream_text(**{**QUESTION, "messages": [{"role": "user", "content": "[error:lost]"}]}).result()
        resolved = watcher.until(events.Resolved)[-1]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.status, resolved.code) == ("failed", "lost")
        assert resolved.error is not None
        assert client.stats.failed == 1

    def test_rest_of_a_broken_stream_is_counted_once(self, make: Make, server: LocalServer) -> None:
        server.play("X21", form="cut")
        watcher = Watcher()
        client = make(on_event=watcher)
        text = client.stream_text(**QUESTION).result()
        seen = [type(event).__name__ for event in watcher.until(events.Resolved) if isinstance(event, events.TaskEvent)]
        assert seen == ["Sent", "FirstPiece", "Interrupted", "Resolved"]
        assert (client.stats.calls, client.stats.succeeded) == (1, 1)
        assert client.stats.cost == pytest.approx(text.cost)

    def test_lost_answer_over_http_interrupts_its_call(self, make: Make, server: LocalServer) -> None:
        server.play("X20")
        watcher = Watcher()
        client = make(on_event=watcher, transport="http")
        client.image_inference(**PICTURE)
        seen = [event for event in watcher.until(events.Resolved) if isinstance(event, events.TaskEvent)]
        kinds = [type(event).__name__ for event in seen]
        assert (kinds[:3], kinds[-1]) == (["Sent", "Interrupted", "Polled"], "Resolved")
        assert {event.model for event in seen} == {PICTURE["model"]}

    def test_each_request_of_a_chat_is_a_call(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)

        def get_weather(city: str) -> str:
            """Return the weather."""
            return f"7 degrees in {city}, says {CALLER.get()}"

        CALLER.set("me")
        chat = client.chat(model="local-model", tools=[get_weather])
        chat.send('[call:get_weather {"city": "Oslo"}]')
        seen = watcher.until(events.Resolved) + watcher.until(events.Resolved)
        assert [type(event).__name__ for event in seen] == ["Sent", "Resolved", "Sent", "Resolved"]
        ends = [event for event in seen if isinstance(event, events.Resolved)]
        assert {(event.model, event.task_type, caller_of(event)) for event in ends} == {("local-model", "chat", "me")}
        assert chat.usage is not None
        assert sum(event.input_tokens or 0 for event in ends) == chat.usage.input_tokens == client.stats.input_tokens
        assert sum(event.cost or 0.0 for event in ends) == pytest.approx(chat.cost) == pytest.approx(client.stats.cost)
        assert (client.stats.calls, client.stats.succeeded) == (2, 2)

    @pytest.mark.parametrize("call", APPS.values(), ids=APPS)
    def test_call_of_an_app_has_events_and_counters(
        self, make: Make, server: LocalServer, call: Callable[[Runware], Any]
    ) -> None:
        server.app(NAME, {"run": lambda payload: {"done": True}})
        watcher = Watcher()
        client = make(on_event=watcher)
        CALLER.set("me")
        task = call(client)
        seen = [event for event in watcher.until(events.Resolved) if not isinstance(event, events.Polled)]
        assert [type(event).__name__ for event in seen] == ["Sent", "Resolved"]
        resolved = seen[-1]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.task_uuid, resolved.task_type, resolved.model) == (task.id, "serverless", NAME)
        assert (resolved.status, caller_of(resolved)) == ("succeeded", "me")
        assert (client.stats.calls, client.stats.succeeded, client.stats.sent) == (1, 1, 1)

    def test_dry_run_of_one_call_is_counted_and_costs_nothing(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        client.image_inference(**PICTURE, dry_run=True, include_cost=True)
        watcher.until(events.Resolved)
        client.image_inference(**PICTURE)
        watcher.until(events.Resolved)
        stats = client.stats
        assert (stats.calls, stats.succeeded, stats.connections, stats.cost) == (2, 2, 2, 0.0)
        assert watcher.threads == {"runware-events"}

    def test_cost_of_a_lookup_is_that_of_another_call(self, make: Make) -> None:
        client = make()
        image = client.image_inference(**PICTURE, include_cost=True)[0]
        client.get_response(task_uuid=image.task_uuid)
        assert client.stats.cost == pytest.approx(image.cost)

    def test_costs_of_another_form_are_left_out(self) -> None:
        spent = Spending()
        spent.add([{"cost": "free"}, {"cost": True}, {"cost": float("nan")}, {"cost": 10**400}, {"usage": 3}])
        assert (spent.cost, spent.input_tokens) == (None, None)
        spent.add([{"cost": 1}, {"cost": 0.5, "usage": {"promptTokens": 3, "completionTokens": None}}])
        assert (spent.cost, spent.input_tokens, spent.output_tokens) == (1.5, 3, None)

    @pytest.mark.parametrize("how", ["save", "asave", "read", "aiter_bytes", "save_all"])
    def test_download_makes_an_event(self, make: Make, tmp_path: pathlib.Path, how: str) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        images = client.image_inference(**PICTURE)
        CALLER.set("me")

        async def iterate() -> None:
            async for _ in images[0].aiter_bytes():
                pass

        match how:
            case "save":
                images[0].save(tmp_path)
            case "asave":
                asyncio.run(images[0].asave(tmp_path))
            case "read":
                images[0].read()
            case "aiter_bytes":
                asyncio.run(iterate())
            case "save_all":
                images.save_all(tmp_path)
        downloaded = watcher.until(events.Downloaded)[-1]
        assert isinstance(downloaded, events.Downloaded)
        assert (downloaded.task_uuid, downloaded.host, downloaded.error) == (images[0].task_uuid, "127.0.0.1", None)
        assert downloaded.size > 100
        assert caller_of(downloaded) == "me"

    def test_failed_download_makes_an_event(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        image = client.image_inference(**PICTURE)[0]
        with pytest.raises(DownloadError):
            image.read(max_bytes=10)
        next(image.iter_bytes())  # and given up
        first, second = watcher.until(events.Downloaded)[-1], watcher.until(events.Downloaded)[-1]
        assert isinstance(first, events.Downloaded)
        assert isinstance(second, events.Downloaded)
        assert (first.error, second.error) == ("DownloadError", "cancelled")

    def test_results_keep_no_client_alive(self, make: Make, server: LocalServer) -> None:
        client = Runware(server.api_key, url=server.url, on_event=lambda event: client.stats)  # noqa: F821 - until it is deleted
        images = client.image_inference(**PICTURE)
        client.close()
        gone = weakref.ref(client._core)
        del client
        until(lambda: gc.collect() is not None and gone() is None)
        assert images[0].read()

    def test_listener_can_come_and_go(self, make: Make) -> None:
        client = make()
        client.image_inference(**PICTURE)
        watcher = Watcher()
        client._core.listen(watcher, (events.Resolved,))
        client.image_inference(**PICTURE)
        client.image_inference(**PICTURE)
        assert isinstance(watcher.queue.get(timeout=10), events.Resolved)
        assert isinstance(watcher.queue.get(timeout=10), events.Resolved)
        client._core.unlisten(watcher)
        client.image_inference(**PICTURE)
        client.close()
        assert watcher.queue.empty()

    def test_event_as_a_dict_has_neither_context_nor_content(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        client.image_inference(**PICTURE)
        shown = watcher.until(events.Resolved)[-1].to_dict()
        assert shown["model"] == PICTURE["model"]
        assert not {"context", "history", "request", "response"} & shown.keys()
        assert json.loads(json.dumps(shown)) == shown


class TestStructlog:
    """structlog takes the client's log records and its events as they are."""

    def test_formatter_of_structlog_renders_the_log_of_the_client(self, make: Make) -> None:
        structlog = pytest.importorskip("structlog", reason="structlog is an optional part of the test environment")
        stdlib = structlog.stdlib
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(
            stdlib.ProcessorFormatter(
                processors=[stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
                foreign_pre_chain=[stdlib.add_logger_name, stdlib.add_log_level, stdlib.ExtraAdder()],
            )
        )
        logger = logging.getLogger("runware")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            client = make()
            client.image_inference(**PICTURE)
            client.close()
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        (sent,) = [line for line in lines if line["event"].startswith("Sent task_uuid=")]
        assert (sent["logger"], sent["level"]) == ("runware.engine", "debug")
        assert "model=" + PICTURE["model"] in sent["event"]
        assert PICTURE["positive_prompt"] not in stream.getvalue()

    def test_events_are_logged_with_what_is_bound_where_the_call_was_made(self, make: Make) -> None:
        structlog = pytest.importorskip("structlog", reason="structlog is an optional part of the test environment")
        written: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

        def keep(_logger: object, _method: str, fields: Any) -> Any:
            written.put(dict(fields))
            raise structlog.DropEvent

        log = structlog.wrap_logger(None, processors=[structlog.contextvars.merge_contextvars, keep])

        def write(event: events.Event) -> None:
            if isinstance(event, events.TaskEvent):
                assert event.context is not None
                event.context.run(log.info, type(event).__name__, **event.to_dict())

        client = make(on_event=write)
        with structlog.contextvars.bound_contextvars(request_id="r-17"):
            client.image_inference(**PICTURE)
        sent, resolved = written.get(timeout=10), written.get(timeout=10)
        assert (sent["event"], resolved["event"]) == ("Sent", "Resolved")
        assert sent["request_id"] == resolved["request_id"] == "r-17"
        assert resolved["model"] == PICTURE["model"]


def test_event_in_the_log_is_one_line() -> None:
    event = events.Retrying(
        at=1.0, task_uuid=A, task_type="caption", attempt=2, elapsed=0.12345, error="X", code=None, delay=1.0
    )
    assert str(event) == f"Retrying task_uuid={A} task_type=caption attempt=2 elapsed=0.123 error=X delay=1.000"


PROGRAM = """
import logging, sys
from runware import Runware
from runware.local import LocalServer
if "own" in sys.argv:
    logging.basicConfig(format="own %(message)s", stream=sys.stdout)
with LocalServer() as server, Runware(server.api_key, url=server.url) as rw:
    rw.image_inference(positive_prompt="zirconium", model="runware:101@1")
levels = {name: logger.level for name, logger in logging.root.manager.loggerDict.items()
          if isinstance(logger, logging.Logger) and logger.level and not name.startswith("runware")}
print("others", levels, logging.root.level)
"""


def run(level: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *arguments],
        env={"RUNWARE_LOG": level, "PATH": "", "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


class TestLog:
    def test_debug_level_logs_events_without_prompts(self) -> None:
        ran = run("debug")
        assert "Authenticated connection=1" in ran.stderr
        assert "Resolved task_uuid=" in ran.stderr
        assert "zirconium" not in ran.stderr + ran.stdout
        assert "others {} 30" in ran.stdout

    def test_info_level_logs_connections_only(self) -> None:
        ran = run("INFO")
        assert "runware.session: connection 1 is ready" in ran.stderr
        assert "DEBUG" not in ran.stderr

    def test_program_with_its_own_handlers_logs_each_line_once(self) -> None:
        ran = run("info", "own")
        assert ran.stdout.count("own connection 1 is ready") == 1
        assert "connection 1" not in ran.stderr

    def test_unknown_log_level_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNWARE_LOG", "loud")
        with pytest.raises(ConfigurationError, match="RUNWARE_LOG must be debug, info, warning or error; got 'loud'"):
            Runware("rw-test-key")

    def test_log_handler_is_added_once(self) -> None:
        logger = logging.getLogger("runware")
        before, level = list(logger.handlers), logger.level
        try:
            log_to_stderr("error")
            log_to_stderr("warning")
            assert len(logger.handlers) == len(before) + 1
            assert logger.level == logging.WARNING
        finally:
            logger.handlers[:] = before
            logger.setLevel(level)


def test_signal_handler_may_post_a_callback_while_one_is_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    done: queue.SimpleQueue[str] = queue.SimpleQueue()
    thread = callbacks.CallbackThread("test-callbacks")
    start = threading.Thread.start

    def interrupted(starting: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        thread.post(lambda: done.put("handler"))
        start(starting)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    poster = threading.Thread(target=lambda: thread.post(lambda: done.put("caller")), daemon=True)
    start(poster)
    assert [done.get(timeout=20), done.get(timeout=20)] == ["handler", "caller"]
    (serving,) = [one for one in threading.enumerate() if one.name == "test-callbacks"]
    thread.stop()
    serving.join(20)
    assert not serving.is_alive()
    thread.post(lambda: done.put("later"))
    assert done.get(timeout=20) == "later"
    thread.stop()


def test_ctrl_c_at_the_start_of_the_thread_keeps_no_later_callback_from_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken_off(starting: threading.Thread) -> None:
        raise KeyboardInterrupt

    done = threading.Event()
    thread = callbacks.CallbackThread()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", broken_off)
        with pytest.raises(KeyboardInterrupt):
            thread.post(lambda: None)
    thread.post(done.set)
    assert done.wait(20)
    thread.stop()
