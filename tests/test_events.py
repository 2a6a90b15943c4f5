"""Events, counters, and the log on standard error."""

from __future__ import annotations

import logging
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runware import AuthenticationError, ClientClosedError, ConfigurationError, Runware, ValidationError, events
from runware._support.logs import log_to_stderr
from runware.errors import RunwareError
from runware.local import LocalServer
from runware.protocol.call import Completion
from runware.transport import callbacks

from .conftest import Interface
from .net import listening
from .support import A, Desk, ack, failure, image, video
from .test_faces import PICTURE


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

    def test_rejected_key_reports_the_authentication_stage(self, make: Make, server: LocalServer) -> None:
        watcher = Watcher()
        client = Runware("rw-wrong", url=server.url, on_event=watcher, max_retries=0)
        with pytest.raises(AuthenticationError):
            client.connect()
        left = watcher.until(events.Disconnected)[-1]
        assert isinstance(left, events.Disconnected)
        assert left.stage == "authentication"
        client.close()


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
