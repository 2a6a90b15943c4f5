"""The session with a simulated clock: connection, correlation of messages, deadlines, start and end."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runware.errors import (
    AuthenticationError,
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    ContentModerationError,
    IncompleteResultsError,
    InsufficientCreditsError,
    PayloadTooLargeError,
    ProviderError,
    RunwareError,
    TaskTimeoutError,
    ValidationError,
)
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.effects import State
from runware.protocol.tracker import PATIENCE

from .support import A, B, C, Desk, ack, failure, image, video


@pytest.fixture
def desk() -> Desk:
    return Desk()


def ready_desk(**config: object) -> Desk:
    desk = Desk(**config)
    desk.connect()
    desk.ready()
    desk.take_written()
    return desk


class TestConnecting:
    def test_no_connection_before_the_first_call(self, desk: Desk) -> None:
        assert desk.session.state is State.IDLE
        assert desk.session.next_deadline() is None
        assert desk.opened == []

    def test_first_call_connects_authenticates_and_is_sent(self, desk: Desk) -> None:
        call = desk.submit()
        assert desk.opened == [1]
        desk.open()
        assert desk.take_written() == [[{"taskType": "authentication", "apiKey": "rw-test-key"}]]
        desk.accept_key()
        assert desk.take_written() == [[{"taskType": "imageInference", "taskUUID": A}]]
        desk.receive({"data": [image()]})
        assert desk.ended == {call: None}
        assert call.items == [image()]

    def test_calls_made_while_connecting_are_sent_in_order(self, desk: Desk) -> None:
        for uuid in (A, B, C):
            desk.submit(uuid)
        desk.ready()
        assert [frame[0]["taskUUID"] for frame in desk.take_written()[1:]] == [A, B, C]
        assert desk.opened == [1]

    def test_connect_ends_when_ready_and_at_once_afterwards(self, desk: Desk) -> None:
        first = desk.connect()
        assert first not in desk.ended
        desk.ready()
        assert desk.ended[first] is None
        second = desk.connect()
        assert desk.ended[second] is None
        assert len(desk.take_written()) == 1

    def test_messages_around_the_authentication_reply_are_processed(self, desk: Desk) -> None:
        call = desk.submit()
        desk.open()
        desk.receive({"data": [image(B)]})
        desk.receive(failure("inferenceError", C))
        desk.receive(
            {"data": [{"taskType": "authentication", "connectionSessionUUID": "s"}, {"taskType": "ping", "pong": True}]}
        )
        desk.receive({"data": [image()]})
        assert desk.ended == {call: None}

    def test_hanging_dial_is_given_up_and_retried(self) -> None:
        desk = Desk(connect_timeout=5.0, dial_attempts=2)
        call = desk.submit()
        desk.session.dial_reached(1, "TCP", "example.net:443")
        desk.pass_time(5.0)
        assert desk.aborted == [(1, "it took too long")]
        assert desk.session.state is State.BACKING_OFF
        desk.pass_time(2.0)
        assert desk.opened == [1, 2]
        desk.pass_time(5.0)
        error = desk.ended[call]
        assert isinstance(error, ConnectionFailedError)
        assert error.stage == "name lookup"
        assert error.task_uuid == A

    def test_connect_timeout_reports_the_stage_and_host(self) -> None:
        desk = Desk(connect_timeout=5.0, dial_attempts=1)
        call = desk.submit()
        desk.session.dial_reached(1, "TLS", "example.net:443")
        desk.pass_time(5.0)
        error = desk.ended[call]
        assert isinstance(error, ConnectionFailedError)
        assert (error.stage, error.host, error.elapsed) == ("TLS", "example.net:443", 5.0)

    def test_authentication_shares_the_connect_timeout(self) -> None:
        desk = Desk(connect_timeout=5.0, dial_attempts=1)
        call = desk.submit()
        desk.pass_time(3.0)
        desk.open()
        desk.pass_time(2.0)
        error = desk.ended[call]
        assert isinstance(error, ConnectionFailedError)
        assert error.stage == "authentication"

    def test_permanent_dial_failure_is_not_retried(self, desk: Desk) -> None:
        calls = [desk.submit(A), desk.submit(B)]
        desk.fail_dial(ConnectionFailedError("untrusted", stage="TLS"), permanent=True)
        errors = [desk.ended[call] for call in calls]
        assert [type(error) for error in errors] == [ConnectionFailedError] * 2
        assert errors[0] is not errors[1]
        assert desk.session.state is State.IDLE

    def test_call_after_a_failed_dial_dials_again(self) -> None:
        desk = Desk(dial_attempts=1)
        desk.submit()
        desk.fail_dial(ConnectionFailedError("refused"))
        call = desk.submit(B)
        desk.ready()
        desk.receive({"data": [image(B)]})
        assert desk.ended[call] is None

    def test_reconnecting_goes_on_until_the_deadline(self) -> None:
        desk = ready_desk(dial_attempts=2)
        desk.lose()
        call = desk.submit(timeout=30.0)
        for _ in range(4):
            if desk.session.state is State.BACKING_OFF:
                desk.pass_time(desk.session.next_deadline() - desk.now)
            desk.fail_dial(ConnectionFailedError("refused", stage="TCP"))
        assert call not in desk.ended
        desk.pass_time(30.0)
        assert isinstance(desk.ended[call], ConnectionFailedError)

    def test_facts_about_an_old_connection_are_ignored(self, desk: Desk) -> None:
        desk.submit(timeout=100.0)
        desk.pass_time(15.0)
        desk.session.connection_opened(1, "key", desk.now)
        desk.session.connection_failed(1, ConnectionFailedError("late"), desk.now)
        desk.session.connection_lost(1, "late", (), desk.now)
        desk.perform()
        assert desk.aborted[-1] == (1, "it came too late")
        assert desk.session.state in (State.BACKING_OFF, State.CONNECTING)


class TestRejectedKey:
    @pytest.mark.parametrize(
        "frame",
        [
            failure("invalidApiKey", None, taskType="authentication", parameter="apiKey"),
            {"error": {"code": "invalidApiKey", "message": "no", "taskType": "authentication"}},
            {"error": True, "errorId": 19, "errorMessageContentId": 1212, "errorMessage": "Invalid api key"},
        ],
        ids=["plural", "singular", "legacy"],
    )
    def test_rejected_key_fails_every_call_without_a_retry(self, desk: Desk, frame: object) -> None:
        calls = [desk.submit(A, retry=5), desk.submit(B), desk.connect()]
        desk.open()
        desk.receive(frame)
        errors = [desk.ended[call] for call in calls]
        assert [type(error) for error in errors] == [AuthenticationError] * 3
        assert len(set(map(id, errors))) == 3
        assert all(error is not None and error.code == "invalidApiKey" for error in errors)
        assert desk.session.state is State.IDLE
        assert desk.session.next_deadline() is None
        assert desk.opened == [1]

    def test_call_after_a_rejected_key_tries_again(self, desk: Desk) -> None:
        desk.submit()
        desk.open()
        desk.receive(failure("invalidApiKey", None, taskType="authentication"))
        call = desk.submit(B)
        desk.ready()
        desk.receive({"data": [image(B)]})
        assert desk.ended[call] is None

    def test_server_error_during_authentication_is_not_a_rejected_key(self) -> None:
        desk = Desk(dial_attempts=1)
        call = desk.submit()
        desk.open()
        desk.receive(failure("serviceUnavailable", None))
        error = desk.ended[call]
        assert isinstance(error, ConnectionFailedError)
        assert error.stage == "authentication"

    def test_close_during_authentication_is_not_a_rejected_key(self) -> None:
        desk = Desk(dial_attempts=1)
        call = desk.submit()
        desk.open()
        desk.lose("closed with code 1008")
        assert isinstance(desk.ended[call], ConnectionFailedError)


class TestCorrelation:
    def test_items_and_errors_of_one_message_both_count(self) -> None:
        desk = ready_desk()
        good, bad = desk.submit(A), desk.submit(B)
        desk.receive({"data": [image(A)], **failure("invalidProviderContent", B)})
        assert desk.ended[good] is None
        assert isinstance(desk.ended[bad], ContentModerationError)

    def test_one_message_may_answer_several_calls(self) -> None:
        desk = ready_desk()
        calls = [desk.submit(uuid) for uuid in (A, B, C)]
        desk.receive({"data": [image(C), image(A), image(B)]})
        assert [desk.ended[call] for call in calls] == [None] * 3
        assert [call.items[0]["taskUUID"] for call in calls] == [A, B, C]

    def test_results_in_several_messages_arrive_in_order(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3)
        desk.receive({"data": [image(number=3), image(number=1)]})
        assert desk.arrived == [call]
        assert call not in desk.ended
        desk.receive({"data": [image(number=2)]})
        assert desk.ended[call] is None
        assert [item["imageURL"][-5] for item in call.items] == ["3", "1", "2"]

    def test_duplicates_are_dropped_and_extra_results_are_kept(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2)
        desk.receive({"data": [image(number=1)]})
        desk.receive({"data": [image(number=1)]})
        assert call not in desk.ended
        desk.receive({"data": [image(number=1), image(number=2), image(number=3)]})
        assert len(call.items) == 3

    def test_equal_texts_are_two_results(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2, task_type="promptEnhance")
        item = {"taskType": "promptEnhance", "taskUUID": A, "text": "harbour"}
        desk.receive({"data": [item]})
        desk.receive({"data": [item]})
        assert desk.ended[call] is None
        assert len(call.items) == 2

    @pytest.mark.parametrize(
        "message",
        [
            {"data": [image(B)]},
            failure("inferenceError", B),
            failure("defaultError", None),
            {"data": []},
            {"data": None},
            {},
            [],
            b"not json",
            b"\xff\xfe",
            b'{"data": [1, "two", null]}',
            b'"text"',
            {"data": [{"taskUUID": 7}]},
            {"errors": "nonsense"},
            {"errors": [None]},
        ],
        ids=str,
    )
    def test_message_without_a_known_task_ends_no_call(self, message: object) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.receive(message)
        assert call not in desk.ended
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_reused_uuid_is_refused_and_the_first_call_goes_on(self) -> None:
        desk = ready_desk()
        first, second = desk.submit(A), desk.submit(A)
        assert isinstance(desk.ended[second], ConflictError)
        desk.receive({"data": [image()]})
        assert desk.ended[first] is None

    def test_array_and_single_object_messages_are_read(self) -> None:
        desk = ready_desk()
        one, two = desk.submit(A), desk.submit(B)
        desk.receive([failure("invalidWidth", A)])
        desk.receive({"data": image(B)})
        assert isinstance(desk.ended[one], ValidationError)
        assert desk.ended[two] is None

    def test_acknowledgement_ends_a_call_that_waits_for_no_more(self) -> None:
        desk = ready_desk()
        call = desk.submit(completion=Completion.ACKNOWLEDGEMENT, expected=4, task_type="videoInference")
        desk.receive(ack())
        assert desk.ended[call] is None
        assert call.items == ack()["data"]

    def test_upload_ends_with_its_last_status(self) -> None:
        desk = ready_desk()
        call = desk.submit(completion=Completion.STATUSES, task_type="modelUpload")
        for status in ("validated", "downloaded", "downloaded", "optimized", "stored"):
            desk.receive({"data": [{"taskUUID": A, "status": status}]})
        assert call not in desk.ended
        desk.receive({"data": [{"taskUUID": A, "status": "ready", "air": "acme:1@1"}]})
        assert desk.ended[call] is None
        assert len(desk.arrived) == 5

    def test_failed_status_is_an_error(self) -> None:
        desk = ready_desk()
        call = desk.submit(completion=Completion.STATUSES, task_type="modelUpload", retry=3)
        desk.receive({"data": [{"taskUUID": A, "status": "failed", "message": "Download failed."}]})
        error = desk.ended[call]
        assert error is not None
        assert error.message == "Download failed."


class TestMessagesAboveTheCap:
    def too_large(self, desk: Desk, *uuids: str) -> None:
        desk.session.message_too_large(uuids, 1000, desk.now)
        desk.perform()

    def test_oversized_message_about_one_task_ends_it(self) -> None:
        desk = ready_desk()
        call, other = desk.submit(A, expected=2), desk.submit(B)
        desk.receive({"data": [image(A)]})
        self.too_large(desk, A)
        error = desk.ended[call]
        assert isinstance(error, PayloadTooLargeError)
        assert error.task_uuid == A
        assert len(call.items) == 1
        assert other not in desk.ended

    def test_oversized_message_about_several_tasks_looks_up_each(self) -> None:
        desk = ready_desk()
        calls = [desk.submit(A), desk.submit(B)]
        desk.take_written()
        self.too_large(desk, A, B)
        assert [[(task["taskType"], task["taskUUID"]) for task in frame] for frame in desk.take_written()] == [
            [("getResponse", A)],
            [("getResponse", B)],
        ]
        desk.receive({"data": [image(A)]})
        self.too_large(desk, B)
        assert desk.ended[calls[0]] is None
        assert isinstance(desk.ended[calls[1]], PayloadTooLargeError)

    def test_oversized_response_to_a_callers_lookup_ends_it(self) -> None:
        desk = ready_desk()
        look = desk.submit(A, task_type="getResponse", completion=Completion.ANSWER, repeatable=True)
        self.too_large(desk, A)
        assert isinstance(desk.ended[look], PayloadTooLargeError)

    def test_oversized_message_about_no_call_is_dropped(self, caplog: pytest.LogCaptureFixture) -> None:
        desk = ready_desk()
        call = desk.submit(A)
        self.too_large(desk, C)
        self.too_large(desk)
        assert call not in desk.ended
        assert "was dropped" in caplog.text


class TestSingleFailures:
    def test_errors_of_some_results_keep_the_others(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3)
        desk.receive({"data": [image(number=1), image(number=2)], **failure("inferenceError")})
        error = desk.ended[call]
        assert isinstance(error, IncompleteResultsError)
        assert len(call.items) == 2
        assert [type(one) for one in error.errors] == [ProviderError]

    def test_task_is_looked_up_after_the_error_of_one_result(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3)
        desk.receive(failure("inferenceError"))
        assert call not in desk.ended
        desk.pass_time(0.3)
        desk.receive({"data": [image(number=1)]})
        desk.pass_time(3.0)
        assert call not in desk.ended
        assert desk.take_written()[-1] == [{"taskType": "getResponse", "taskUUID": A}]
        while call not in desk.ended:
            desk.receive({"data": [image(number=1, status="success")], **failure("inferenceError", status="error")})
            desk.pass_time(1.0)
        assert PATIENCE < desk.now - 100.0 < PATIENCE + 6.0  # unlisted results may still be running
        error = desk.ended[call]
        assert isinstance(error, IncompleteResultsError)
        assert error.may_have_run
        assert len(call.items) == 1

    def test_refused_task_ends_once_the_server_denies_it(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3)
        desk.receive(failure("invalidWidth"))
        desk.pass_time(0.6)
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        assert isinstance(desk.ended[call], ValidationError)


class TestDeadlines:
    def test_sent_call_may_run_after_its_timeout(self) -> None:
        desk = ready_desk()
        call = desk.submit(timeout=20.0)
        for _ in range(4):
            desk.pass_time(5.0)
            desk.receive({"data": [{"taskType": "ping", "pong": True}]})
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert error.may_be_running
        assert error.task_uuid == A

    def test_timeout_of_a_queued_call_says_that_it_never_ran(self) -> None:
        desk = ready_desk(max_in_flight=1)
        desk.submit(A, timeout=9.0)
        waiting = desk.submit(B, timeout=5.0)
        desk.pass_time(5.0)
        error = desk.ended[waiting]
        assert isinstance(error, TaskTimeoutError)
        assert not error.may_be_running

    def test_no_call_is_sent_after_its_deadline(self) -> None:
        """The slot that a call leaves at its deadline is not given to others that end then: they have timed out too."""
        desk = ready_desk(max_in_flight=1)
        sent, *waiting = (desk.submit(uuid, timeout=10.0) for uuid in (A, B, C))
        desk.take_written()
        desk.session.bytes_received(desk.now + 9.0)
        desk.pass_time(10.0)
        assert isinstance(desk.ended[sent], TaskTimeoutError)
        for call in waiting:
            error = desk.ended[call]
            assert isinstance(error, TaskTimeoutError)
            assert not error.may_be_running
        assert desk.take_written() == []

    def test_late_result_starts_no_call_after_its_deadline(self) -> None:
        desk = ready_desk(max_in_flight=1)
        desk.submit(A, timeout=60.0)
        waiting = desk.submit(B, timeout=10.0)
        desk.take_written()
        desk.now += 10.0  # no tick in between
        desk.receive({"data": [image(A)]})
        desk.pass_time(0.0)
        assert isinstance(desk.ended[waiting], TaskTimeoutError)
        assert desk.take_written() == []

    def test_message_not_written_by_the_deadline_is_discarded(self) -> None:
        desk = ready_desk()
        desk.hold_writes = True
        desk.submit(A, timeout=2.0)
        desk.submit(B, timeout=60.0)
        desk.pass_time(2.0)
        desk.write()
        assert desk.take_written() == [[{"taskType": "imageInference", "taskUUID": B}]]

    def test_result_after_the_deadline_is_ignored(self) -> None:
        desk = ready_desk()
        call = desk.submit(timeout=1.0)
        desk.pass_time(1.0)
        desk.receive({"data": [image()]})
        assert isinstance(desk.ended[call], TaskTimeoutError)

    def test_timers_of_ended_calls_do_not_accumulate(self) -> None:
        desk = ready_desk()
        for number in range(5000):
            uuid = f"00000000-0000-4000-8000-{number:012d}"
            desk.submit(uuid, timeout=1000.0)
            desk.receive({"data": [image(uuid)]})
        assert len(desk.session._timers) < 2100
        assert desk.session.next_deadline() == desk.now + 45.0


class TestQueue:
    def test_max_in_flight_limits_what_is_sent(self) -> None:
        desk = ready_desk(max_in_flight=2)
        calls = [desk.submit(uuid) for uuid in (A, B, C)]
        assert len(desk.take_written()) == 2
        desk.receive({"data": [image(B)]})
        assert desk.take_written() == [[{"taskType": "imageInference", "taskUUID": C}]]
        desk.receive(failure("invalidWidth", A))
        desk.receive({"data": [image(C)]})
        assert set(desk.ended) >= set(calls)

    def test_cancelling_a_call_sends_the_next_one(self) -> None:
        desk = ready_desk(max_in_flight=1)
        first = desk.submit(A)
        desk.submit(B)
        desk.take_written()
        desk.cancel(first)
        assert desk.take_written()[0][0]["taskUUID"] == B
        assert first not in desk.ended

    def test_cancelled_call_is_not_sent(self) -> None:
        desk = ready_desk(max_in_flight=1)
        desk.submit(A)
        second = desk.submit(B)
        desk.submit(C)
        desk.take_written()
        desk.cancel(second)
        desk.receive({"data": [image(A)]})
        assert [frame[0]["taskUUID"] for frame in desk.take_written()] == [C]

    def test_max_queued_limits_the_queue(self) -> None:
        desk = Desk(max_queued=1)
        desk.submit(A)
        second = desk.submit(B)
        assert isinstance(desk.ended[second], RunwareError)
        assert "max_queued" in str(desk.ended[second])


class TestClosing:
    def test_close_ends_every_call_at_once(self) -> None:
        desk = ready_desk(max_in_flight=1)
        calls = [desk.submit(A), desk.submit(B)]
        desk.close()
        assert [type(desk.ended[call]) for call in calls] == [ClientClosedError] * 2
        assert "may still run" in str(desk.ended[calls[0]])
        assert "may still run" not in str(desk.ended[calls[1]])
        assert desk.closed == [1]
        assert desk.session.next_deadline() is None

    def test_close_aborts_a_dial(self, desk: Desk) -> None:
        call = desk.submit()
        desk.close()
        assert isinstance(desk.ended[call], ClientClosedError)
        assert desk.aborted == [(1, "the client was closed")]

    def test_closed_session_refuses_calls_and_does_nothing(self) -> None:
        desk = ready_desk()
        desk.close()
        call = desk.submit()
        assert isinstance(desk.ended[call], ClientClosedError)
        desk.close()
        desk.receive({"data": [image()]})
        desk.lose()
        desk.pass_time(1000.0)
        assert desk.session.state is State.CLOSED
        assert desk.opened == [1]


class TestKeepalive:
    def test_idle_connection_is_pinged_after_the_heartbeat_interval(self) -> None:
        desk = ready_desk()
        desk.pass_time(44.9)
        assert desk.take_written() == []
        desk.pass_time(0.1)
        assert desk.take_written() == [[{"taskType": "ping", "ping": True}]]
        desk.receive({"data": [{"taskType": "ping", "pong": True}]})
        assert desk.session.next_deadline() == desk.now + 45.0

    def test_silent_idle_connection_is_given_up_and_not_replaced(self) -> None:
        desk = ready_desk()
        desk.pass_time(50.0)
        assert desk.aborted == [(1, "the server is silent")]
        assert desk.session.state is State.IDLE
        assert desk.session.next_deadline() is None

    def test_silent_connection_with_calls_is_given_up_after_liveness_timeout(self) -> None:
        desk = ready_desk()
        desk.submit()
        desk.pass_time(10.0)
        assert desk.take_written()[-1] == [{"taskType": "ping", "ping": True}]
        desk.pass_time(4.9)
        assert desk.aborted == []
        desk.now = desk.session.next_deadline()
        assert desk.now == 115.0
        desk.session.tick(desk.now)
        desk.perform()
        assert desk.aborted == [(1, "the server is silent")]
        assert desk.session.state is State.BACKING_OFF

    def test_any_bytes_are_a_sign_of_life(self) -> None:
        desk = ready_desk()
        desk.submit()
        for _ in range(20):
            desk.pass_time(9.0)
            desk.session.bytes_received(desk.now)
            if desk.ended:
                break
        assert desk.aborted == []

    def test_lag_of_our_own_thread_condemns_no_connection(self) -> None:
        desk = ready_desk()
        desk.submit()
        desk.pass_time(10.0)
        desk.now += 300.0  # our thread was blocked: no tick in all that time
        desk.session.tick(desk.now)
        desk.perform()
        assert desk.aborted == []
        assert desk.session.state is State.READY or desk.ended
        desk.pass_time(5.0)
        assert desk.aborted

    def test_answer_to_a_ping_is_due_from_when_it_was_written(self) -> None:
        desk = ready_desk()
        desk.submit()
        desk.hold_writes = True
        desk.pass_time(10.0)
        desk.session.bytes_written(desk.now, pending=True)
        desk.pass_time(8.0)
        assert desk.aborted == []
        desk.session.bytes_written(desk.now, pending=False)
        desk.write()
        desk.pass_time(4.9)
        assert desk.aborted == []
        desk.pass_time(0.2)
        assert desk.aborted

    def test_output_without_progress_is_a_dead_connection(self) -> None:
        desk = ready_desk()
        desk.hold_writes = True
        desk.submit()
        desk.session.bytes_written(desk.now, pending=True)
        for _ in range(15):
            desk.pass_time(1.0)
            desk.session.bytes_received(desk.now)
        assert desk.aborted == [(1, "output makes no progress")]

    def test_connection_is_not_trusted_with_a_new_call_after_sleep(self) -> None:
        desk = ready_desk()
        desk.now += 3600.0  # the machine slept: no tick
        call = desk.submit()
        assert desk.aborted == [(1, "no sign of life for too long")]
        assert desk.opened == [1, 2]
        desk.ready()
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None


class TestReconnectOff:
    def test_drop_ends_calls_and_the_next_one_dials(self) -> None:
        desk = ready_desk(reconnect=False, max_in_flight=1)
        written, waiting = desk.submit(A), desk.submit(B)
        desk.lose()
        first, second = desk.ended[written], desk.ended[waiting]
        assert isinstance(first, ConnectionLostError)
        assert isinstance(second, ConnectionLostError)
        assert (first.may_have_run, second.may_have_run) == (True, False)
        call = desk.submit(C)
        desk.ready()
        desk.receive({"data": [image(C)]})
        assert desk.ended[call] is None


def test_repr_shows_state_and_counts() -> None:
    desk = ready_desk()
    desk.submit()
    assert repr(desk.session) == "<Session ready, epoch 1, 1 calls, 1 in flight>"


def test_pushed_video_without_status_completes() -> None:
    desk = ready_desk()
    call = desk.submit(task_type="videoInference")
    item = video()
    del item["status"]
    desk.receive({"data": [item]})
    assert desk.ended[call] is None
    assert call.state is CallState.DONE


WORDS = st.sampled_from(
    [A, B, "imageInference", "getTaskDetails", "getResponse", "authentication", "ping", "success", "processing",
     "error", "failed", "ready", "taskNotFound", "conflictTaskUUID", "inferenceError"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["data", "errors", "error", "taskUUID", "taskType", "status", "progress", "imageUUID", "outputs", "files", "uuid",
     "response", "request", "code", "message", "parameter", "errorId", "connectionSessionUUID", "resultIndex", "text",
     "cost", "imageURL", "seed", "documentation"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=12,
)


class TestAnyMessage:
    """Whatever a server sends, the session goes on: an exception in it would end every call."""

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        value=VALUES,
        form=st.sampled_from(["bare", "data", "errors"]),
        expected=st.sampled_from([1, 2]),
        state=st.sampled_from(["ready", "resumed", "authenticating"]),
    )
    def test_no_message_raises_an_exception(self, value: Any, form: str, expected: int, state: str) -> None:
        desk = ready_desk()
        kinds = {A: "imageInference", B: "textInference"}
        calls = [desk.submit(uuid, task_type=kind, expected=expected, retry=1) for uuid, kind in kinds.items()]
        if state != "ready":
            desk.lose()
            desk.pass_time((desk.session.next_deadline() or desk.now) - desk.now)
            desk.open()
        if state == "resumed":
            desk.accept_key()
        if form != "bare":
            value = {form: [{**value, "taskUUID": A} if isinstance(value, dict) else value]}
        desk.receive(value)
        desk.close()
        assert all(call in desk.ended for call in calls)

    @pytest.mark.parametrize("standard", [False, True], ids=["orjson", "json"])
    def test_deeply_nested_message_is_survived(self, standard: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if standard:
            monkeypatch.setattr("runware.protocol.codec.orjson", None)
        desk = ready_desk()
        call = desk.submit()
        desk.receive(b"[" * 100_000)
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None


ITEMS = st.fixed_dictionaries(
    {"taskType": st.just("imageInference"), "taskUUID": st.just(A)},
    optional={
        "imageUUID": st.sampled_from(["one", "two", "three", None]),
        "resultIndex": st.sampled_from([0, 1]),
        "text": st.sampled_from(["same", "other"]),
        "status": st.sampled_from(["success", "processing", "error", None]),
        "error": st.sampled_from([None, {"code": "timeoutProvider", "message": "Upstream."}]),
    },
)
PUSHES = st.lists(st.lists(ITEMS, min_size=1, max_size=2), max_size=6)


class TestFastPath:
    """The fast path for pushed results has the same outcome as the general one."""

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(pushes=PUSHES, expected=st.sampled_from([1, 2, 20]), epochs=st.lists(st.booleans(), min_size=6, max_size=6))
    def test_fast_path_has_the_outcome_of_the_general_one(
        self, pushes: list[list[dict[str, Any]]], expected: int, epochs: list[bool]
    ) -> None:
        short, long = (
            Call(uuid=A, text=b"", task_type="imageInference", timeout=60.0, expected=expected) for _ in range(2)
        )
        epoch = 1
        for items, next_epoch in zip(pushes, epochs, strict=False):
            epoch += next_epoch
            had = len(long.items)
            long.add(items, epoch, cumulative=False)
            if short.add_pushed(items, epoch):
                assert len(short.items) == had + 1
            else:
                short.add(items, epoch, cumulative=False)
            seen = [(list(call.items), call.running, call.epoch, len(call.errors)) for call in (short, long)]
            assert seen[0] == seen[1]
            if long.complete:
                break

    def test_fast_path_takes_ordinary_results(self) -> None:
        one = Call(uuid=A, text=b"", task_type="imageInference", timeout=60.0)
        assert one.add_pushed([image()], 1)
        two = Call(uuid=A, text=b"", task_type="imageInference", timeout=60.0, expected=2)
        assert two.add_pushed([image(number=1)], 1)
        assert not two.add_pushed([image(number=1)], 1)
        assert two.add_pushed([image(number=2)], 1)
        assert two.complete


class TestErrorsWithoutTaskUuid:
    KEY: ClassVar = {"taskType": "authentication", "parameter": "apiKey"}

    def test_key_rejected_later_fails_every_call(self) -> None:
        desk = ready_desk(max_in_flight=1)
        calls = [desk.submit(A), desk.submit(B)]
        desk.receive(failure("invalidApiKey", None, **self.KEY))
        assert all(isinstance(desk.ended[call], AuthenticationError) for call in calls)
        assert desk.session.state is State.IDLE
        assert desk.aborted

    def test_missing_credits_at_authentication_are_no_network_failure(self) -> None:
        desk = Desk()
        call = desk.submit()
        desk.open()
        desk.receive(failure("insufficientCredits", None, taskType="authentication"))
        assert isinstance(desk.ended[call], InsufficientCreditsError)
        assert desk.opened == [1]

    @pytest.mark.parametrize("more", [{}, {"taskType": "imageInference"}])
    def test_unassigned_error_is_reported_by_calls_that_time_out(self, more: dict[str, str]) -> None:
        desk = ready_desk()
        call = desk.submit(timeout=5.0)
        desk.receive(failure("insufficientCredits", None, **more))
        assert call not in desk.ended
        desk.pass_time(5.0)
        assert isinstance(desk.ended[call], TaskTimeoutError)
        assert "insufficientCredits" in str(desk.ended[call])


class TestDryRun:
    def test_empty_response_ends_a_dry_run(self) -> None:
        desk = ready_desk(dry_run=True)
        first, second = desk.submit(A, expected=2), desk.submit(B)
        desk.receive({"data": []})
        assert desk.ended[first] is None
        assert second not in desk.ended
        assert [item["taskUUID"] for item in first.items] == [A, A]
        desk.receive({"data": []})
        assert desk.ended[second] is None
        desk.receive({"data": []})

    def test_empty_response_ends_no_other_call(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.receive({"data": []})
        assert call not in desk.ended


@pytest.mark.parametrize("word", ["completed", "succeeded", "done"])
def test_finished_result_counts_whatever_its_status_is_called(word: str) -> None:
    desk = ready_desk()
    call = desk.submit()
    desk.receive({"data": [image(status=word)]})
    assert desk.ended[call] is None


@pytest.mark.parametrize("word", ["processing", "queued", "pending"])
def test_item_of_a_running_task_is_no_result_even_with_a_url(word: str) -> None:
    desk = ready_desk()
    call = desk.submit()
    desk.receive({"data": [image(status=word)]})
    assert call not in desk.ended


def test_timeout_before_sending_reports_the_stage_of_the_connection() -> None:
    desk = Desk()
    call, wish = desk.submit(timeout=4.0), desk.connect()
    desk.session.dial_reached(1, "upgrade", "ws.example:443")
    desk.pass_time(4.0)
    error = desk.ended[call]
    assert isinstance(error, TaskTimeoutError)
    assert error.retryable
    assert "'upgrade' with ws.example:443" in str(error)
    assert wish not in desk.ended


def test_ended_calls_do_not_count_towards_max_queued() -> None:
    desk = Desk(max_queued=1)
    desk.submit(A, timeout=1.0)
    desk.pass_time(2.0)
    assert desk.submit(B) not in desk.ended


def test_message_not_sent_before_a_drop_may_not_have_run() -> None:
    desk = ready_desk(reconnect=False, max_in_flight=1)
    first, second = desk.submit(A), desk.submit(B)
    desk.session.frame_received(
        json.dumps({"data": [image()]}).encode(), desk.now
    )  # the effects have not been performed yet
    desk.session.connection_lost(1, "reset", set(), desk.now)
    desk.perform()
    assert desk.ended[first] is None
    error = desk.ended[second]
    assert isinstance(error, ConnectionLostError)
    assert not error.may_have_run


class TestSlowLines:
    def test_upload_in_progress_excuses_silence(self) -> None:
        desk = ready_desk()
        call = desk.submit(timeout=300.0, body={"seedImage": "A" * 2_000_000})
        desk.pass_time(40.0)  # half a minute at 64 KB a second
        assert desk.aborted == []
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_silence_during_an_upload_is_limited(self) -> None:
        desk = ready_desk()
        desk.submit(timeout=300.0, body={"seedImage": "A" * 200_000_000})
        desk.pass_time(15.0 + 64.0 + 1.0)
        assert desk.aborted == [(1, "the server is silent")]

    def test_acknowledged_upload_excuses_no_silence(self) -> None:
        desk = ready_desk()
        desk.submit(timeout=300.0, task_type="videoInference", body={"seedImage": "A" * 2_000_000})
        desk.receive(ack())
        desk.pass_time(15.1)
        assert desk.aborted == [(1, "the server is silent")]

    def test_upload_that_a_later_answer_proves_received_excuses_no_silence(self) -> None:
        desk = ready_desk()
        desk.submit(A, timeout=300.0, body={"seedImage": "A" * 2_000_000})
        later = desk.submit(B, timeout=300.0)
        desk.receive({"data": [{**image(), "taskUUID": B}]})  # sent after the upload, which the server has then
        assert desk.ended[later] is None
        desk.pass_time(15.1)
        assert desk.aborted == [(1, "the server is silent")]

    def test_upload_sent_again_after_that_answer_excuses_silence(self) -> None:
        desk = ready_desk()
        first = desk.submit(A, timeout=300.0, retry=2, body={"seedImage": "A" * 2_000_000})
        desk.submit(B, timeout=300.0)
        desk.receive({"data": [{**image(), "taskUUID": B}]})
        desk.receive({"errors": [{"code": "serviceUnavailable", "message": "Later.", "taskUUID": A}]})
        desk.pass_time(3.0)
        assert first.attempts
        assert first.state is CallState.SENT
        desk.pass_time(15.1)
        assert desk.aborted == []
