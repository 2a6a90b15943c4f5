"""The session over exchanges, with a made-up clock: no connection, and every response with what it answers."""

from __future__ import annotations

import json
import random
from typing import Any

import attrs
import pytest

from runware.errors import (
    AuthenticationError,
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskTimeoutError,
    ValidationError,
)
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.effects import DropExchange, Ended, Exchange, Happened, Record, SessionConfig, State
from runware.protocol.ids import new_uuid
from runware.protocol.responses import read_response
from runware.protocol.session import Session

from .support import A, B, C, Desk, ack, failure, image, video
from .test_session_machine import SCHEDULES

UNREACHED = ConnectionFailedError("Could not connect.", stage="TCP")
LOST = ConnectionLostError("The response was lost.")
NOTHING = {"data": []}


class HttpDesk(Desk):
    """A session over exchanges, and the requests that it has open."""

    def __init__(self, *, seed: int = 1, exchanges: int = 100, **config: Any) -> None:
        super().__init__(seed=seed)
        self.session = Session(SessionConfig(exchanges=exchanges, **config), rng=random.Random(seed))
        self.open_exchanges: list[Exchange] = []
        self.dropped: list[Exchange] = []

    def perform(self) -> None:
        while self.session.effects:
            match effect := self.session.effects.popleft():
                case Exchange():
                    assert effect.open
                    self.open_exchanges.append(effect)
                case DropExchange(exchange):
                    self.open_exchanges.remove(exchange)
                    self.dropped.append(exchange)
                case Call():
                    self.arrived.append(effect)
                case Ended(call, error):
                    assert call not in self.ended, "a call ended twice"
                    self.ended[call] = error
                case Record():
                    self.records.append(effect)
                case Happened(kind, facts):
                    self.happened.append(kind(at=self.now, **facts))
                case _:
                    raise AssertionError(f"{effect!r} is no effect of exchanges")

    @property
    def bodies(self) -> list[Any]:
        """The tasks of the open exchanges."""
        return [json.loads(exchange.text or b"[]") for exchange in self.open_exchanges]

    def answer(self, message: Any, status: int = 200, *, which: int = 0, retry_after: float | None = None) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        exchange = self.open_exchanges.pop(which)
        self.session.response_received(exchange, status, body, self.now, retry_after=retry_after)
        self.perform()

    def fail(self, *, sent: bool, permanent: bool = False, which: int = 0) -> None:
        exchange = self.open_exchanges.pop(which)
        error = LOST if sent else UNREACHED
        self.session.exchange_failed(exchange, error, self.now, sent=sent, permanent=permanent)
        self.perform()

    def question(self) -> str:
        """Return the one question that is open, by its task type."""
        ((task,),) = self.bodies
        return str(task["taskType"])


@pytest.fixture
def desk() -> HttpDesk:
    return HttpDesk()


class TestRequests:
    def test_first_call_is_a_request_at_once(self, desk: HttpDesk) -> None:
        assert desk.session.next_deadline() is None
        call = desk.submit()
        assert desk.bodies == [[{"taskType": "imageInference", "taskUUID": A}]]
        desk.answer({"data": [image()]})
        assert desk.ended == {call: None}
        assert call.items == [image()]
        assert desk.session.next_deadline() is None

    def test_requests_are_limited_and_the_rest_waits_in_order(self) -> None:
        desk = HttpDesk(exchanges=2)
        calls = [desk.submit(uuid) for uuid in (A, B, C)]
        assert len(desk.open_exchanges) == 2
        assert desk.session.in_flight == 2
        desk.answer({"data": [image(A)]})
        assert [tasks[0]["taskUUID"] for tasks in desk.bodies] == [B, C]
        desk.answer({"data": [image(C)]}, which=1)
        desk.answer({"data": [image(B)]})
        assert desk.ended == dict.fromkeys(calls)

    def test_polls_of_several_tasks_share_a_request_beside_the_limit(self) -> None:
        desk = HttpDesk(exchanges=2)
        desk.submit(A, task_type="videoInference", long_timeout=600.0)
        desk.submit(B, task_type="videoInference", long_timeout=600.0)
        desk.answer(ack(A))
        desk.answer(ack(B))
        desk.submit(C)
        desk.submit("d" * 36)
        desk.pass_time(0.2)
        assert {task["taskUUID"] for task in desk.bodies[2]} == {A, B}
        desk.answer({"data": [video(B), video(A)]}, which=2)
        assert len(desk.ended) == 2

    def test_close_ends_calls_and_drops_their_requests(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.session.close(desk.now)
        desk.perform()
        error = desk.ended[call]
        assert isinstance(error, ClientClosedError)
        assert error.may_have_run
        assert len(desk.dropped) == 1
        assert desk.session.state is State.CLOSED

    @pytest.mark.parametrize("how", ["cancel", "deadline"])
    def test_request_that_nothing_waits_for_is_dropped(self, desk: HttpDesk, how: str) -> None:
        call = desk.submit(timeout=3.0)
        (exchange,) = desk.open_exchanges
        if how == "cancel":
            desk.cancel(call)
        else:
            desk.pass_time(3.0)
            assert isinstance(desk.ended[call], TaskTimeoutError)
        assert desk.dropped == [exchange]
        desk.session.response_received(exchange, 200, json.dumps({"data": [image()]}).encode(), desk.now)
        desk.perform()
        assert not call.items

    def test_response_too_large_to_keep(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.session.response_too_large(desk.open_exchanges.pop(), 1000, desk.now)
        desk.perform()
        assert isinstance(desk.ended[call], PayloadTooLargeError)


class TestConnect:
    def test_connect_checks_the_key_with_a_request_of_its_own(self, desk: HttpDesk) -> None:
        call = desk.connect()
        assert [exchange.text for exchange in desk.open_exchanges] == [b""]
        desk.answer({"data": [{"taskType": "authentication", "connectionSessionUUID": new_uuid()}]})
        assert desk.ended == {call: None}
        again = desk.connect()
        assert desk.ended[again] is None
        assert not desk.open_exchanges
        assert desk.session.counts["sent"] == 0

    @pytest.mark.parametrize("status", [500, 503, 200])
    def test_connect_tries_again_when_something_else_answers(self, desk: HttpDesk, status: int) -> None:
        call = desk.connect()
        for _ in range(2):
            desk.answer(b"upstream unavailable", status)
            assert call not in desk.ended
            desk.pass_time(5.0)
        if status != 200:
            desk.answer(b"upstream unavailable", status)
            assert isinstance(desk.ended[call], ConnectionFailedError)
        else:
            desk.answer(NOTHING)
            assert desk.ended[call] is None

    def test_deadline_of_connect_says_nothing_about_billing(self, desk: HttpDesk) -> None:
        call = desk.connect()
        desk.pass_time(60.0)
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert not error.may_have_run


class TestKeyRejected:
    @pytest.mark.parametrize("status", [401, 403])
    def test_rejected_key_fails_everything_at_once(self, desk: HttpDesk, status: int) -> None:
        refused, other = desk.submit(A), desk.submit(B)
        desk.answer(failure("invalidApiKey", None, taskType="authentication"), status)
        assert isinstance(desk.ended[refused], AuthenticationError)
        assert isinstance(desk.ended[other], AuthenticationError)
        assert not refused_may_have_run(desk.ended[refused])
        assert refused_may_have_run(desk.ended[other])
        assert len(desk.dropped) == 1
        assert desk.session.next_deadline() is None

    def test_401_of_any_form_is_about_the_key(self, desk: HttpDesk) -> None:
        calls = [desk.submit(A), desk.submit(B)]
        desk.answer(b"<html>Unauthorized</html>", 401)
        assert all(isinstance(desk.ended[call], AuthenticationError) for call in calls)

    def test_403_of_a_gateway_is_not(self, desk: HttpDesk) -> None:
        call, other = desk.submit(A), desk.submit(B)
        desk.answer(b"<html>Forbidden</html>", 403)
        assert type(desk.ended[call]) is ServerError
        assert other not in desk.ended

    def test_rejection_of_a_task_that_was_sent_before_says_that_it_may_have_run(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.fail(sent=True)
        desk.answer(failure("taskNotFound", taskType="getResponse"), 404)
        desk.answer(failure("taskNotFound", taskType="getTaskDetails"), 404)
        desk.answer(b"", 401)
        error = desk.ended[call]
        assert isinstance(error, AuthenticationError)
        assert error.may_have_run
        assert "may run and bill it" in error.message

    def test_connect_checks_again_after_a_rejection(self, desk: HttpDesk) -> None:
        desk.submit(A)
        desk.answer({"data": [image()]})
        desk.submit(B)
        desk.answer(failure("invalidApiKey", None, parameter="apiKey"), 401)
        desk.connect()
        assert [exchange.text for exchange in desk.open_exchanges] == [b""]


def refused_may_have_run(error: RunwareError | None) -> bool:
    assert error is not None
    return error.may_have_run


class TestErrorsOfTasks:
    @pytest.mark.parametrize("status", [200, 400])
    def test_error_without_a_task_uuid_ends_the_call_of_its_request(self, desk: HttpDesk, status: int) -> None:
        call, other = desk.submit(A), desk.submit(B)
        desk.answer(failure("invalidWidth", None), status)
        error = desk.ended[call]
        assert isinstance(error, ValidationError)
        assert error.task_uuid == A
        assert other not in desk.ended

    def test_empty_list_of_errors_is_no_failure(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.answer({"data": [image()], "errors": []})
        assert desk.ended == {call: None}

    def test_conflict_of_the_first_message_is_an_error(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.answer({"data": [], **failure("conflictTaskUUID")}, 400)
        assert isinstance(desk.ended[call], ConflictError)

    def test_status_5xx_without_a_task_uuid_leaves_the_outcome_open(self, desk: HttpDesk) -> None:
        call = desk.submit(retry=2)
        desk.answer({"error": "upstream failed"}, 500)
        assert desk.question() == "getResponse"
        desk.answer({"data": [image(status="success")]})
        assert desk.ended == {call: None}

    def test_redirection_is_not_followed(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.answer(b"", 302)
        assert "url" in str(desk.ended[call])


class TestLostAnswers:
    def test_same_uuid_goes_out_again_only_after_the_server_denies_it_twice(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.fail(sent=True)
        assert desk.question() == "getResponse"
        assert call.state is CallState.RECOVERING
        desk.answer(failure("taskNotFound", taskType="getResponse"), 404)
        assert desk.question() == "getTaskDetails"
        desk.answer(failure("taskNotFound", taskType="getTaskDetails"), 404)
        assert desk.bodies == [[{"taskType": "imageInference", "taskUUID": A}]]
        desk.answer(failure("conflictTaskUUID"), 400)
        assert desk.question() == "getResponse"
        desk.answer({"data": [image(status="success")]})
        assert desk.ended == {call: None}

    def test_empty_answers_to_questions_end_no_call(self, desk: HttpDesk) -> None:
        call = desk.submit(timeout=5.0)
        desk.fail(sent=True)
        asked = set()
        for _ in range(6):
            while not desk.open_exchanges:
                desk.pass_time(0.1)
            asked.add(desk.question())
            desk.answer(NOTHING)
        assert asked == {"getResponse", "getTaskDetails"}
        desk.pass_time(5.0)
        error = desk.ended[call]
        assert isinstance(error, ConnectionLostError)
        assert error.may_have_run

    def test_task_that_only_reads_is_sent_again(self, desk: HttpDesk) -> None:
        call = desk.submit(repeatable=True, task_type="modelSearch")
        desk.fail(sent=True)
        desk.pass_time(0.0)
        assert desk.question() == "modelSearch"
        desk.answer(b"upstream unavailable", 503)
        desk.pass_time(5.0)
        desk.answer({"data": [{"taskType": "modelSearch", "taskUUID": A, "results": []}]})
        assert desk.ended == {call: None}

    @pytest.mark.parametrize("body", [b"upstream unavailable", b"", b"[]", b'{"hello":1}', b"null"])
    def test_2xx_with_rubbish_is_asked_about(self, desk: HttpDesk, body: bytes) -> None:
        call = desk.submit()
        desk.answer(body)
        assert desk.question() == "getResponse"
        desk.answer({"data": [image(status="success")]})
        assert desk.ended == {call: None}

    def test_gateway_timeout_is_no_word_about_the_task(self, desk: HttpDesk) -> None:
        call = desk.submit(retry=2)
        desk.answer(failure("requestTimeout"), 504)
        assert desk.question() == "getResponse"
        desk.answer({"data": [{"taskType": "imageInference", "taskUUID": A, "status": "processing"}]})
        desk.pass_time(1.0)
        desk.answer({"data": [image(status="success")]})
        assert desk.ended == {call: None}

    def test_reconnect_off_ends_the_call_of_the_lost_answer_alone(self) -> None:
        desk = HttpDesk(reconnect=False)
        call, other = desk.submit(A), desk.submit(B)
        desk.fail(sent=True)
        error = desk.ended[call]
        assert isinstance(error, ConnectionLostError)
        assert error.may_have_run
        assert other not in desk.ended

    def test_lost_answer_to_a_poll_changes_nothing_for_the_task(self, desk: HttpDesk) -> None:
        call = desk.submit(task_type="videoInference", long_timeout=600.0)
        desk.answer(ack())
        for message, status in ((b"bad gateway", 502), (failure("invalidTaskUUID", None), 400)):
            while not desk.open_exchanges:
                desk.pass_time(0.1)
            desk.answer(message, status)
            assert call not in desk.ended
        while not desk.open_exchanges:
            desk.pass_time(0.1)
        desk.fail(sent=True)
        while not desk.open_exchanges:
            desk.pass_time(0.1)
        desk.answer({"data": [video()]})
        assert desk.ended == {call: None}

    def test_error_without_a_name_does_not_end_one_of_several_polled_tasks(self, desk: HttpDesk) -> None:
        for uuid in (A, B):
            desk.submit(uuid, task_type="videoInference", long_timeout=600.0)
            desk.answer(ack(uuid))
        desk.pass_time(0.2)
        desk.answer(failure("taskNotFound", None), 404)
        desk.pass_time(3.0)
        assert not desk.ended
        desk.answer({"data": [video(A), video(B)]})
        assert len(desk.ended) == 2


class TestNotReached:
    def test_request_that_was_not_sent_is_repeated_with_the_same_uuid(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.fail(sent=False)
        assert desk.session.state is State.BACKING_OFF
        assert call.state is CallState.QUEUED
        desk.pass_time(1.0)
        assert desk.bodies == [[{"taskType": "imageInference", "taskUUID": A}]]
        desk.answer({"data": [image()]})
        assert desk.ended == {call: None}
        assert desk.session.counts["questions"] == 0

    def test_those_that_fail_together_count_once(self, desk: HttpDesk) -> None:
        calls = [desk.submit(uuid) for uuid in (A, B, C)]
        for _ in calls:
            desk.fail(sent=False)
        assert not desk.ended
        desk.pass_time(1.0)
        for uuid in (A, B, C):
            desk.answer({"data": [image(uuid)]})
        assert desk.ended == dict.fromkeys(calls)

    def test_server_that_was_never_reached_is_given_up(self, desk: HttpDesk) -> None:
        call = desk.submit()
        for _ in range(3):
            desk.fail(sent=False)
            desk.pass_time(10.0)
        error = desk.ended[call]
        assert isinstance(error, ConnectionFailedError)
        assert not error.may_have_run

    def test_server_that_was_reached_before_is_tried_until_the_deadline(self, desk: HttpDesk) -> None:
        desk.submit(A)
        desk.answer({"data": [image()]})
        call = desk.submit(B, timeout=30.0)
        while call not in desk.ended:
            while desk.open_exchanges:
                desk.fail(sent=False)
            desk.pass_time(0.5)
        assert desk.now == pytest.approx(130.0, abs=1.0)
        assert isinstance(desk.ended[call], ConnectionFailedError)

    def test_untrusted_certificate_is_not_tried_again(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.fail(sent=False, permanent=True)
        assert isinstance(desk.ended[call], ConnectionFailedError)

    def test_poll_that_was_not_sent_is_asked_after_the_pause(self, desk: HttpDesk) -> None:
        call = desk.submit(task_type="videoInference", long_timeout=600.0)
        desk.answer(ack())
        desk.pass_time(0.2)
        desk.fail(sent=False)
        desk.pass_time(1.0)
        assert desk.question() == "getResponse"
        desk.answer({"data": [video()]})
        assert desk.ended == {call: None}

    def test_other_requests_go_on_and_end_the_pause(self, desk: HttpDesk) -> None:
        desk.submit(A)
        waiting = desk.submit(B)
        desk.fail(sent=False, which=1)
        assert desk.session.state is State.BACKING_OFF
        desk.answer({"data": [image(A)]})
        assert desk.session.state is State.READY
        desk.answer({"data": [image(B)]})
        assert desk.ended[waiting] is None


class TestRetryAfter:
    def test_wait_of_the_server_is_kept(self, desk: HttpDesk) -> None:
        call = desk.submit(retry=2)
        desk.answer(failure("rateLimitExceeded", None), 429, retry_after=7.0)
        desk.pass_time(6.9)
        assert not desk.open_exchanges
        desk.pass_time(0.2)
        ((task,),) = desk.bodies
        desk.answer({"data": [image(task["taskUUID"])]})
        assert desk.ended == {call: None}

    def test_429_of_a_gateway_is_a_rate_limit(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.answer(b"slow down", 429, retry_after=7.0)
        error = desk.ended[call]
        assert isinstance(error, RateLimitError)
        assert error.retry_after == 7.0

    def test_wait_beyond_the_deadline_is_an_error_at_once(self, desk: HttpDesk) -> None:
        call = desk.submit(retry=2, timeout=20.0)
        desk.answer(failure("rateLimitExceeded", None), 429, retry_after=3600.0)
        assert isinstance(desk.ended[call], RateLimitError)

    def test_wait_before_a_poll_is_kept(self, desk: HttpDesk) -> None:
        desk.submit(task_type="videoInference", long_timeout=600.0)
        desk.answer(ack())
        desk.pass_time(0.2)
        desk.answer(b"slow down", 429, retry_after=9.0)
        desk.pass_time(8.9)
        assert not desk.open_exchanges
        desk.pass_time(0.2)
        assert desk.question() == "getResponse"

    def test_503_with_a_wait_is_asked_about_after_it(self, desk: HttpDesk) -> None:
        desk.submit()
        desk.answer(b"maintenance", 503, retry_after=4.0)
        desk.pass_time(3.9)
        assert not desk.open_exchanges
        desk.pass_time(0.2)
        assert desk.question() == "getResponse"

    def test_server_that_keeps_failing_is_not_hammered(self, desk: HttpDesk) -> None:
        """It denies the task each time, so that the message is sent again, but less and less often."""
        desk.submit(timeout=60.0)
        sent = 0
        while not desk.ended:
            while desk.open_exchanges:
                if desk.open_exchanges[0].question:
                    desk.answer(failure("taskNotFound", taskType=desk.question()), 404)
                else:
                    sent += 1
                    desk.answer(b"upstream unavailable", 503)
            desk.pass_time(0.1)
        assert 5 < sent < 60


class TestPartialAnswers:
    def test_acknowledgement_of_a_synchronous_task_is_polled(self, desk: HttpDesk) -> None:
        call = desk.submit()
        desk.answer(ack(kind="imageInference"))
        assert call.state is CallState.ACCEPTED
        desk.pass_time(1.0)
        desk.answer({"data": [image(status="success")]})
        assert desk.ended == {call: None}

    def test_missing_results_are_polled(self, desk: HttpDesk) -> None:
        call = desk.submit(expected=3)
        desk.answer({"data": [image(A, 1), image(A, 2)]})
        assert desk.question() == "getResponse"
        desk.answer({"data": [image(A, number, status="success") for number in (1, 2, 3)]})
        assert desk.ended == {call: None}
        assert len(call.items) == 3

    def test_statuses_of_an_upload_are_polled(self, desk: HttpDesk) -> None:
        call = desk.submit(task_type="modelUpload", completion=Completion.STATUSES, long_timeout=600.0)
        status = {"taskType": "modelUpload", "taskUUID": A, "status": "validated"}
        desk.answer({"data": [status]})
        desk.pass_time(1.0)
        assert desk.question() == "getResponse"
        desk.answer({"data": [status | {"status": "ready"}]})
        assert desk.ended == {call: None}

    def test_lookup_that_finds_nothing_ends_with_nothing(self, desk: HttpDesk) -> None:
        call = desk.submit(task_type="getResponse", completion=Completion.ANSWER, repeatable=True)
        desk.answer(NOTHING)
        assert desk.question() == "getTaskDetails"
        desk.answer(NOTHING)
        assert desk.ended == {call: None}
        details = desk.submit(B, task_type="getTaskDetails", completion=Completion.ANSWER, repeatable=True)
        desk.answer(NOTHING)
        assert isinstance(desk.ended[details], NotFoundError)

    @pytest.mark.parametrize("message", [NOTHING, ack(kind="imageInference"), {"data": [image(cost=0.1)]}])
    def test_dry_run_is_never_polled(self, message: dict[str, Any]) -> None:
        desk = HttpDesk(dry_run=True)
        call = desk.submit(expected=2)
        desk.answer(message)
        assert desk.ended == {call: None}
        assert not desk.open_exchanges
        assert len(call.items) == 2


def test_response_is_read_whatever_it_is() -> None:
    for status in range(100, 600, 7):
        for body in (b"", b"\xff", b"[", b"[[]]", b'{"errors":{}}', b'{"errors":[null, 1]}', b'{"data":[{}]', b'"x"'):
            response = read_response(status, body)
            assert response.items == []
            assert not (response.is_empty and status >= 300)


class TestSchedules:
    """Random schedules: whatever happens, a call ends once, by its deadline, and no task is bought twice."""

    @attrs.define
    class Server:
        """What a server would know: the tasks it has got, and those among them that failed."""

        tasks: set[str] = attrs.field(factory=set)
        failed: set[str] = attrs.field(factory=set)

        def respond(self, exchange: Exchange, rng: random.Random) -> Any:
            """Return the true answer."""
            items: list[Any] = []
            errors: list[Any] = []
            for task in json.loads(exchange.text):
                uuid, kind = task["taskUUID"], task["taskType"]
                if kind == "imageInference":
                    if uuid in self.tasks:
                        errors.append({"code": "conflictTaskUUID", "message": "Again.", "taskUUID": uuid})
                        continue
                    self.tasks.add(uuid)
                    if rng.random() < 0.2:
                        self.failed.add(uuid)
                        errors.append(self.error(uuid))
                    elif rng.random() < 0.3:
                        items.append({"taskType": kind, "taskUUID": uuid})
                    else:
                        items.append(image(uuid))
                elif uuid not in self.tasks:
                    if rng.random() < 0.7:
                        errors.append(
                            {"code": "taskNotFound", "message": "Unknown.", "taskUUID": uuid, "taskType": kind}
                        )
                elif uuid in self.failed and kind == "getResponse":
                    errors.append(self.error(uuid) | {"status": "error"})
                elif uuid in self.failed:
                    items.append({"taskType": kind, "taskUUID": uuid, "response": {"errors": [self.error(uuid)]}})
                elif kind == "getTaskDetails":
                    items.append({"taskType": kind, "taskUUID": uuid, "response": {"data": [image(uuid)]}})
                elif rng.random() < 0.5:
                    items.append({"taskType": "imageInference", "taskUUID": uuid, "status": "processing"})
                else:
                    items.append(image(uuid, status="success"))
            return {"data": items, **({"errors": errors} if errors else {})}

        def error(self, uuid: str) -> dict[str, Any]:
            return {"code": "inferenceError", "message": "It failed.", "taskUUID": uuid, "taskType": "imageInference"}

    def test_rules_hold_in_random_schedules(self) -> None:
        for seed in range(2 * SCHEDULES):
            self.play(seed)

    def play(self, seed: int) -> None:
        rng = random.Random(seed)
        desk, server = HttpDesk(seed=1_000_000 + seed, exchanges=rng.choice([1, 2, 100])), self.Server()
        calls: list[Call] = []
        cancelled: set[Call] = set()
        for _ in range(40):
            step = rng.random()
            if step < 0.25:
                calls.append(desk.submit(new_uuid(rng), timeout=rng.choice([3.0, 60.0]), retry=rng.choice([0, 2])))
            elif step < 0.3 and calls:
                call = rng.choice(calls)
                if call not in desk.ended:
                    desk.cancel(call)
                    cancelled.add(call)
            elif step < 0.45:
                desk.pass_time(rng.choice([0.0, 0.1, 1.0, 10.0]))
            elif desk.open_exchanges:
                self.outcome(desk, server, rng)
        for _ in range(2000):
            if len(desk.ended) + len(cancelled - desk.ended.keys()) >= len(calls):
                break
            if desk.open_exchanges:
                desk.answer(server.respond(desk.open_exchanges[0], rng))
            desk.pass_time(0.5)
        assert {call for call in calls if call not in desk.ended} <= cancelled, seed
        assert desk.session.in_flight == 0, seed
        assert not desk.open_exchanges, seed
        assert desk.session.next_deadline() is None or not desk.session.calls, seed
        for call, error in desk.ended.items():
            attempts = [line.partition(":")[0] for line in call.attempts or ()]
            assert server.failed.issuperset(attempts), seed  # only the server's word allows another attempt
            if error is not None and call.uuid in server.tasks - server.failed:
                assert error.may_have_run, (seed, error)

    def outcome(self, desk: HttpDesk, server: Server, rng: random.Random) -> None:
        which = rng.randrange(len(desk.open_exchanges))
        kind = rng.choice(["true", "true", "lost", "lost before", "unsent", "gateway", "rubbish", "empty"])
        exchange = desk.open_exchanges[which]
        if kind == "true":
            desk.answer(server.respond(exchange, rng), which=which)
        elif kind == "lost":
            server.respond(exchange, rng)
            desk.fail(sent=True, which=which)
        elif kind == "lost before":
            desk.fail(sent=True, which=which)
        elif kind == "unsent":
            if desk.session._connection._ever_ready:
                desk.fail(sent=False, which=which)
        else:
            if rng.random() < 0.5:
                server.respond(exchange, rng)
            body, status = {"gateway": (b"bad", 502), "rubbish": (b"<html>", 200), "empty": (b'{"data":[]}', 200)}[kind]
            desk.answer(body, status, which=which)
