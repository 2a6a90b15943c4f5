"""What is told of a client's inside: events, counters, and the log on standard error."""

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

from .conftest import Face
from .net import listening
from .support import A, Desk, ack, failure, image, video
from .test_faces import PICTURE


def told(desk: Desk) -> list[str]:
    """The kinds of what happened since it was last asked."""
    happened, desk.happened = desk.happened, []
    return [type(event).__name__ for event in happened]


class TestWithAMadeUpClock:
    def test_nobody_is_told_what_nobody_asked_for(self) -> None:
        desk = Desk()
        desk.submit()
        desk.ready()
        desk.receive({"data": [image()]})
        assert desk.happened == []

    def test_a_call_from_its_start_to_its_end(self) -> None:
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

    def test_results_one_by_one(self) -> None:
        desk = Desk(events=True)
        desk.submit(expected=3)
        desk.ready()
        told(desk)
        for number in (1, 2, 3):
            desk.receive({"data": [image(number=number)]})
        partial = desk.happened[0]
        assert isinstance(partial, events.PartialResults)
        assert (partial.completed, partial.total) == (1, 3)
        assert told(desk) == ["PartialResults", "PartialResults", "Resolved"]

    def test_a_polled_task_is_accepted_once(self) -> None:
        desk = Desk(events=True)
        desk.submit(task_type="videoInference")
        desk.ready()
        desk.receive(ack())
        desk.pass_time(1.0)
        desk.receive({"data": [{"taskType": "videoInference", "taskUUID": A, "status": "processing"}]})
        desk.pass_time(2.0)
        desk.receive({"data": [video()]})
        assert told(desk) == ["Connected", "Authenticated", "Sent", "Accepted", "Resolved"]
        assert desk.session.counts["questions"] >= 2

    def test_another_attempt(self) -> None:
        desk = Desk(events=True)
        desk.submit(retry=1)
        desk.ready()
        told(desk)
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
        assert told(desk) == ["Retrying", "Sent", "Resolved"]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.task_uuid, resolved.attempt, resolved.status, resolved.error, resolved.code) == (
            uuid,
            2,
            "failed",
            "RateLimitError",
            "rateLimitExceeded",
        )

    def test_a_drop_and_the_session_that_goes_on(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.ready()
        told(desk)
        desk.now += 5.0
        desk.lose("reset")
        (left,) = desk.happened
        assert left == events.Disconnected(at=105.0, connection=1, elapsed=5.0, reason="reset", stage=None, in_flight=1)
        desk.ready()
        authenticated = desk.happened[-1]
        assert isinstance(authenticated, events.Authenticated)
        assert (authenticated.connection, authenticated.resumed) == (2, True)

    def test_an_attempt_to_connect_that_fails(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.session.dial_reached(1, "TLS", "example:443")
        desk.fail_dial(RunwareError("No."))
        (left,) = desk.happened
        assert isinstance(left, events.Disconnected)
        assert (left.reason, left.stage) == ("No.", "TLS")

    def test_a_rejected_key(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.open()
        told(desk)
        desk.receive(failure("invalidApiKey", None))
        left, resolved = desk.happened
        assert isinstance(left, events.Disconnected)
        assert isinstance(resolved, events.Resolved)
        assert left.stage == "authentication"
        assert resolved.error == "AuthenticationError"

    def test_cancelling(self) -> None:
        desk = Desk(events=True)
        call = desk.submit()
        desk.ready()
        desk.cancel(call)
        resolved = desk.happened[-1]
        assert isinstance(resolved, events.Resolved)
        assert (resolved.status, resolved.error) == ("cancelled", None)
        desk.cancel(call)
        assert told(desk)[-1:] == ["Resolved"]
        assert desk.session.counts["cancelled"] == 1

    def test_closing(self) -> None:
        desk = Desk(events=True)
        desk.submit()
        desk.ready()
        told(desk)
        desk.close()
        assert told(desk) == ["Disconnected", "Resolved"]
        desk.close()
        desk.submit()
        assert told(desk) == ["Resolved"]

    def test_a_connection_that_is_not_trusted_after_sleep(self) -> None:
        desk = Desk(events=True)
        desk.connect()
        desk.ready()
        told(desk)
        desk.now += 3600.0
        desk.submit()
        (left,) = desk.happened
        assert isinstance(left, events.Disconnected)
        assert left.elapsed == 3600.0

    def test_connecting_is_no_task(self) -> None:
        desk = Desk(events=True)
        desk.connect()
        desk.ready()
        assert told(desk) == ["Connected", "Authenticated"]
        assert set(desk.session.counts.values()) == {0, 1}

    def test_what_is_counted(self) -> None:
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
    """Takes events in, and gives them again."""

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


class TestOverTheWire:
    def test_in_every_face(self, make: Make, face: Face) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        face(client, "image_inference", **PICTURE)
        seen = watcher.until(events.Resolved)
        assert [type(event).__name__ for event in seen] == ["Connected", "Authenticated", "Sent", "Resolved"]
        assert watcher.threads == {"runware-events"}
        assert isinstance(seen[0], events.Connected)
        assert seen[0].host.startswith("127.0.0.1")
        assert all(event.at > 1.7e9 for event in seen)

    def test_the_last_word_comes_after_close(self, make: Make) -> None:
        watcher = Watcher()
        client = make(on_event=watcher)
        client.connect()
        client.close()
        left = watcher.until(events.Disconnected)[-1]
        assert isinstance(left, events.Disconnected)
        assert left.reason == "the client was closed"

    def test_one_that_raises_harms_nobody(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
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

    def test_a_slow_one_holds_up_nothing_and_does_not_fill_the_memory(
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

    def test_stats(self, make: Make, server: LocalServer) -> None:
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

    def test_what_waits_is_seen(self, make: Make, server: LocalServer) -> None:
        server.configure(delay=30.0)
        client = make(max_in_flight=2)
        jobs = [client.submit.image_inference(**PICTURE) for _ in range(5)]
        client.connect()
        # The connection was asked for after the tasks, so that they have been sent by now.
        stats = client.stats
        assert (stats.calls, stats.in_flight, stats.queued) == (5, 2, 3)
        for job in jobs:
            job.cancel()

    def test_the_wish_to_be_connected_is_no_task(self) -> None:
        with listening(lambda sock: sock.recv(1)) as port:  # nobody answers the upgrade
            client = Runware("rw-test-key", url=f"ws://127.0.0.1:{port}/v1", connect_timeout=20.0)
            wish = client._core.connect(20.0)
            engine = client._core.io_loop()
            while not engine._session.calls:
                time.sleep(0.001)
            assert (client.stats.calls, client.stats.queued) == (0, 0)
            client.close()
            assert isinstance(wish.exception(20), ClientClosedError)

    def test_a_client_pickles_with_a_handler_that_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-test-key")
        client = Runware(on_event=print)
        assert pickle.loads(pickle.dumps(client))._core.options.on_event is print

    def test_what_is_no_function(self) -> None:
        with pytest.raises(ConfigurationError, match="on_event must be a function") as caught:
            Runware("rw-test-key", on_event="print")  # type: ignore[arg-type]
        assert caught.value.parameter == "on_event"

    def test_a_wrong_key(self, make: Make, server: LocalServer) -> None:
        watcher = Watcher()
        client = Runware("rw-wrong", url=server.url, on_event=watcher, max_retries=0)
        with pytest.raises(AuthenticationError):
            client.connect()
        left = watcher.until(events.Disconnected)[-1]
        assert isinstance(left, events.Disconnected)
        assert left.stage == "authentication"
        client.close()


def test_an_event_in_the_log_is_one_line() -> None:
    event = events.Retrying(
        at=1.0, task_uuid=A, task_type="caption", attempt=2, elapsed=0.12345, error="X", code=None, delay=1.0
    )
    assert (
        str(event) == f"Retrying task_uuid={A} task_type=caption attempt=2 elapsed=0.123 error=X code=None delay=1.000"
    )


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
    def test_debug(self) -> None:
        ran = run("debug")
        assert "Authenticated connection=1" in ran.stderr
        assert "Resolved task_uuid=" in ran.stderr
        assert "zirconium" not in ran.stderr + ran.stdout
        assert "others {} 30" in ran.stdout

    def test_info(self) -> None:
        ran = run("INFO")
        assert "runware.session: connection 1 is ready" in ran.stderr
        assert "DEBUG" not in ran.stderr

    def test_a_program_with_handlers_of_its_own_has_each_line_once(self) -> None:
        ran = run("info", "own")
        assert ran.stdout.count("own connection 1 is ready") == 1
        assert "connection 1" not in ran.stderr

    def test_another_word(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNWARE_LOG", "loud")
        with pytest.raises(ConfigurationError, match="RUNWARE_LOG must be debug, info, warning or error; got 'loud'"):
            Runware("rw-test-key")

    def test_the_handler_is_added_once(self) -> None:
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


def test_a_signals_handler_may_post_a_callback_in_the_middle_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_ctrl_c_while_the_thread_starts_keeps_no_later_callback_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
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
