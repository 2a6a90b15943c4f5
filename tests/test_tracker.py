"""Tracking tasks with a simulated clock: polls, recovery after a drop, and retries."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest
import tenacity

from runware.errors import (
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    IncompleteResultsError,
    InsufficientCreditsError,
    NotFoundError,
    ProviderError,
    RateLimitError,
    ServerError,
    TaskError,
    TaskTimeoutError,
    ValidationError,
)
from runware.options import RetryPolicy
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.effects import State
from runware.protocol.ids import new_uuid
from runware.protocol.tracker import CONFIRM, PATIENCE, SETTLE

from .support import A, B, C, Desk, ack, failure, image, video
from .test_session import ready_desk

SESSION = "5b1f0c5e-6a0f-4d0e-9a5c-0c9a5c1d7e10"
PROCESSING = {"taskType": "videoInference", "taskUUID": A, "status": "processing"}


def accepted(desk: Desk, **facts: Any) -> Call:
    call = desk.submit(task_type="videoInference", timeout=600.0, **facts)
    desk.receive(ack())
    desk.take_written()
    return call


def asked(desk: Desk) -> list[tuple[str, str]]:
    """Return the lookups since the last look, as pairs of task type and UUID."""
    return [
        (task["taskType"], task["taskUUID"])
        for frame in desk.take_written()
        for task in frame
        if task["taskType"] in ("getResponse", "getTaskDetails")
    ]


def next_poll(desk: Desk) -> float:
    """Advance the clock until the server is polled, and return how long it took."""
    start = desk.now
    while not asked(desk):
        desk.pass_time(0.01)
        assert desk.now - start < 10.0
    return desk.now - start


class TestPolling:
    def test_acknowledged_task_is_polled_until_it_is_done(self) -> None:
        desk = ready_desk()
        call = accepted(desk)
        assert call.state is CallState.ACCEPTED
        next_poll(desk)
        desk.receive({"data": [{**PROCESSING, "progress": 30}]})
        assert call.progress == 30
        for odd in (10**400, -(10**400), float("nan"), True, "40", None):
            desk.receive({"data": [{**PROCESSING, "progress": odd}]})
            desk.receive({"data": [{**PROCESSING, "progress": odd}, {**PROCESSING, "progress": odd}]})
            assert call.progress == 30
        next_poll(desk)
        desk.receive({"data": [video()]})
        assert desk.ended[call] is None
        desk.pass_time(30.0)
        assert asked(desk) == []

    def test_no_poll_while_another_is_outstanding(self) -> None:
        desk = ready_desk()
        accepted(desk)
        next_poll(desk)
        desk.pass_time(4.8)
        assert asked(desk) == []
        desk.pass_time(0.4)
        assert asked(desk) == [("getResponse", A)]

    def test_poll_interval_stays_a_small_part_of_the_duration(self) -> None:
        desk = ready_desk()
        accepted(desk)
        start = desk.now
        while desk.now - start < 60.0:
            waited = next_poll(desk)
            elapsed = desk.now - start
            assert waited <= max(0.11, 0.2 * elapsed)
            assert waited <= 1.0
            desk.receive({"data": [PROCESSING]})

    def test_time_until_the_answer_is_part_of_the_poll_interval(self) -> None:
        desk = ready_desk()
        accepted(desk)
        start = desk.now
        while desk.now - start < 30.0:
            waited = next_poll(desk)
            elapsed = desk.now - start
            desk.pass_time(0.3)  # half of the interval of a task of 4 s
            if elapsed > 6.0:
                assert 0.3 + waited <= min(0.17 * elapsed, 0.9) + 0.02
            desk.receive({"data": [PROCESSING]})

    def test_slow_answers_do_not_shorten_a_poll_interval_by_more_than_half(self) -> None:
        desk = ready_desk()
        accepted(desk)
        for number in range(20):
            waited = next_poll(desk)
            if number > 5:
                assert 0.4 <= waited <= 0.46
            desk.pass_time(2.0)
            desk.receive({"data": [PROCESSING]})

    def test_first_poll_waits_a_moment(self) -> None:
        desk = ready_desk()
        accepted(desk)
        assert 0.08 < next_poll(desk) < 0.11

    @staticmethod
    def _follow(desk: Desk, seconds: float, *, deaf: str | None = None) -> list[list[str]]:
        """Answer the polls, except those of one task; return which tasks each message polled."""
        frames: list[list[str]] = []
        end = desk.now + seconds
        while desk.now < end:
            for frame in desk.take_written():
                frames.append(sorted("AB"[task["taskUUID"] == B] for task in frame))
                uuids = [task["taskUUID"] for task in frame if task["taskUUID"] != deaf]
                desk.receive({"data": [{**PROCESSING, "taskUUID": uuid} for uuid in uuids]})
            desk.pass_time(0.005)
        return frames

    @staticmethod
    def _accept(desk: Desk, uuid: str) -> None:
        desk.submit(uuid, task_type="videoInference", timeout=600.0)
        desk.take_written()
        desk.receive(ack(uuid))

    def test_polls_of_several_tasks_come_to_share_messages(self) -> None:
        desk = ready_desk()
        self._accept(desk, A)
        self._follow(desk, 0.03)
        self._accept(desk, B)
        frames = self._follow(desk, 4.0)
        assert frames[0] == ["A"]
        assert frames[-5:] == [["A", "B"]] * 5
        assert len(frames) < 30

    def test_short_task_does_not_speed_up_the_polls_of_a_long_one(self) -> None:
        desk = ready_desk()
        self._accept(desk, A)
        self._follow(desk, 60.0)
        self._accept(desk, B)
        frames = self._follow(desk, 3.0)
        assert sum("B" in frame for frame in frames) > 15
        assert sum("A" in frame for frame in frames) <= 6

    def test_outstanding_poll_is_not_repeated_to_join_another(self) -> None:
        desk = ready_desk()
        self._accept(desk, A)
        self._accept(desk, B)
        frames = self._follow(desk, 4.9, deaf=A)
        assert sum("B" in frame for frame in frames) > 15
        assert sum("A" in frame for frame in frames) == 1

    def test_pause_after_a_failed_poll_is_not_shortened_to_join_another(self) -> None:
        """The patience with a server that lost a task does not depend on other tasks."""

        def waits(*others: str) -> list[float]:
            desk = ready_desk()
            self._accept(desk, A)
            self._follow(desk, 10.0)
            for uuid in others:
                self._accept(desk, uuid)
            moments: list[float] = []
            while A in desk.session.calls:
                for kind, uuid in asked(desk):
                    if uuid == A:
                        moments.append(desk.now)
                        desk.receive(failure("taskNotFound", A, taskType=kind))
                    else:
                        desk.receive({"data": [{**PROCESSING, "taskUUID": uuid}]})
                desk.pass_time(0.005)
            return [after - before for before, after in itertools.pairwise(moments)]

        alone, beside_others = waits()[:20], waits(B, C)[:20]
        assert alone[::2] == pytest.approx([0.2] * 10, abs=0.011)  # from getResponse to getTaskDetails
        assert min(alone[1::2]) > 0.7
        assert min(beside_others) >= 0.2
        assert min(beside_others[1::2]) > 0.7

    def test_poll_responses_are_cumulative(self) -> None:
        desk = ready_desk()
        call = accepted(desk, expected=2)
        next_poll(desk)
        desk.receive({"data": [video(number=1), PROCESSING]})
        assert desk.arrived == [call]
        next_poll(desk)
        desk.receive({"data": [video(number=1), PROCESSING]})
        assert desk.arrived == [call]
        next_poll(desk)
        desk.receive({"data": [video(number=2), video(number=1)]})
        assert [item["videoURL"][-5] for item in call.items] == ["1", "2"]
        assert desk.ended[call] is None

    def test_cumulative_texts_without_uuids_are_counted(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="textInference", expected=3, timeout=600.0)
        desk.receive(ack(kind="textInference"))
        desk.take_written()
        text = {"taskType": "textInference", "taskUUID": A, "status": "success"}
        for answer in (["a"], ["a", "a"], ["a"], [], ["b", "a", "a"]):
            next_poll(desk)
            items = [{**text, "text": one} for one in answer] or [{**PROCESSING, "taskType": "textInference"}]
            desk.receive({"data": items})
        assert sorted(item["text"] for item in call.items) == ["a", "a", "b"]
        assert desk.ended[call] is None

    def test_polls_due_at_the_same_time_share_a_message(self) -> None:
        desk = ready_desk()
        for uuid in (A, B, C):
            desk.submit(uuid, task_type="videoInference", timeout=600.0)
        desk.receive({"data": [ack(uuid)["data"][0] for uuid in (A, B, C)]})
        desk.take_written()
        desk.lose()
        desk.ready()
        frames = desk.take_written()[1:]
        assert [[task["taskUUID"] for task in frame] for frame in frames] == [[A, B, C]]

    def test_failure_under_errors_ends_the_call(self) -> None:
        desk = ready_desk()
        call = accepted(desk)
        next_poll(desk)
        desk.receive({"data": [], **failure("timeoutProvider", status="error")})
        assert isinstance(desk.ended[call], ProviderError)

    def test_failure_of_an_item_keeps_the_other_results(self) -> None:
        desk = ready_desk()
        call = accepted(desk, expected=2)
        next_poll(desk)
        bad = {**PROCESSING, "status": "error", "error": {"code": "providerInternalError", "message": "Upstream."}}
        desk.receive({"data": [video(), bad]})
        error = desk.ended[call]
        assert isinstance(error, IncompleteResultsError)
        assert error.code == "providerInternalError"
        assert len(call.items) == 1

    @pytest.mark.parametrize("code", ["rateLimitExceeded", "internalServerError"])
    def test_temporary_poll_errors_are_tolerated(self, code: str) -> None:
        desk = ready_desk()
        call = accepted(desk)
        for _ in range(3):
            next_poll(desk)
            desk.receive(failure(code))
        assert call not in desk.ended
        next_poll(desk)
        desk.receive({"data": [video()]})
        assert desk.ended[call] is None

    def answer_until_the_end(self, desk: Desk, call: Call, code: str, **more: Any) -> float:
        """Answer every lookup with an error, and return how long the call took to end."""
        start = desk.now
        while call not in desk.ended:
            next_poll(desk)
            desk.receive(failure(code, **more))
            assert desk.take_written() == []
        return desk.now - start

    def test_lasting_poll_error_ends_the_call_after_the_patience(self) -> None:
        desk = ready_desk()
        call = accepted(desk, retry=2)
        assert PATIENCE < self.answer_until_the_end(desk, call, "internalServerError") < PATIENCE + 6.0
        error = desk.ended[call]
        assert isinstance(error, ServerError)
        assert error.may_have_run
        assert error.ref == {"task_uuid": A, "task_type": "videoInference"}

    def test_poll_error_that_names_the_lookup_ends_no_task_before_its_deadline(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="videoInference", timeout=120.0)
        desk.receive(ack())
        desk.take_written()
        start = desk.now
        while call not in desk.ended:
            for kind, _ in asked(desk):
                desk.receive(failure("internalServerError", taskType=kind))
            desk.pass_time(0.1)
        assert desk.now - start == pytest.approx(120.0, abs=0.2)
        assert isinstance(desk.ended[call], TaskTimeoutError)

    def test_forgotten_task_ends_as_not_found_after_the_patience(self) -> None:
        desk = ready_desk()
        call = accepted(desk)
        assert PATIENCE < self.answer_until_the_end(desk, call, "taskNotFound") < PATIENCE + 6.0
        error = desk.ended[call]
        assert isinstance(error, NotFoundError)
        assert error.may_have_run

    def test_empty_poll_response_means_not_yet(self) -> None:
        desk = ready_desk()
        call = accepted(desk)
        for _ in range(20):
            next_poll(desk)
            desk.receive({"data": []})
        assert call not in desk.ended

    def test_rejection_instead_of_an_acknowledgement_ends_the_call(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="videoInference")
        desk.receive(failure("unsupportedDuration", allowedValues=[6, 10]))
        assert isinstance(desk.ended[call], ValidationError)

    def test_deadline_ends_a_polled_call(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="videoInference", timeout=8.0)
        desk.receive(ack())
        while call not in desk.ended:
            desk.pass_time(0.01)
            if asked(desk):
                desk.receive({"data": [PROCESSING]})
        assert desk.now == pytest.approx(108.0, abs=0.02)
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert error.may_be_running


class TestResume:
    def test_reconnect_names_the_old_session(self) -> None:
        desk = ready_desk()
        desk.submit()
        desk.lose()
        desk.ready()
        (auth,) = next(frame for frame in desk.take_written() if frame[0]["taskType"] == "authentication")
        assert auth["connectionSessionUUID"] == SESSION

    def test_unwritten_task_is_sent_after_a_reconnect(self) -> None:
        desk = ready_desk()
        desk.hold_writes = True
        call = desk.submit()
        desk.lose()
        desk.hold_writes = False
        desk.ready()
        assert [frame[0]["taskType"] for frame in desk.take_written()] == ["authentication", "imageInference"]
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_written_task_is_looked_up_and_not_sent_again(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.take_written()
        desk.lose()
        desk.ready()
        assert [frame[0]["taskType"] for frame in desk.take_written()] == ["authentication", "getResponse"]
        assert call.state is CallState.RECOVERING

    def test_task_that_only_reads_is_sent_again(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="modelSearch", repeatable=True)
        desk.take_written()
        desk.lose()
        desk.ready()
        assert [frame[0]["taskType"] for frame in desk.take_written()] == ["authentication", "modelSearch"]
        desk.receive({"data": [{"taskType": "modelSearch", "taskUUID": A, "results": []}]})
        assert desk.ended[call] is None

    def test_replay_after_the_authentication_reply_ends_the_call(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_replay_before_the_authentication_reply_ends_the_call(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.pass_time(desk.session.next_deadline() - desk.now)
        desk.open()
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None
        desk.accept_key()
        assert asked(desk) == []

    def test_replay_that_repeats_everything_counts_once(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3)
        desk.receive({"data": [image(number=1)]})
        desk.lose()
        desk.ready()
        desk.receive({"data": [image(number=1), image(number=2)]})
        desk.receive({"data": [image(number=1), image(number=3)]})
        assert [item["imageURL"][-5] for item in call.items] == ["1", "2", "3"]
        assert desk.ended[call] is None

    def test_replayed_texts_are_not_counted_twice(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2, task_type="promptEnhance")
        item = {"taskType": "promptEnhance", "taskUUID": A, "text": "one"}
        desk.receive({"data": [item]})
        desk.lose()
        desk.ready()
        desk.receive({"data": [item]})
        assert call not in desk.ended
        desk.receive({"data": [item, {**item, "text": "two"}]})
        assert [one["text"] for one in call.items] == ["one", "two"]

    def test_get_response_delivers_the_result(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None

    def test_get_response_shows_that_the_task_runs(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.take_written()
        desk.receive({"data": [{"taskType": "imageInference", "taskUUID": A, "status": "processing"}]})
        next_poll(desk)
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None

    @pytest.mark.parametrize("unknown", [{"data": []}, failure("taskNotFound", taskType="getResponse")], ids=str)
    @pytest.mark.parametrize("form", ["object", "array"])
    def test_get_task_details_delivers_the_result(self, unknown: Any, form: str) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.take_written()
        desk.receive(unknown)
        assert asked(desk) == [("getTaskDetails", A)]
        response: Any = {"data": [image()]}
        details = {"taskType": "getTaskDetails", "taskUUID": A, "request": [{"taskType": "imageInference"}]}
        desk.receive({"data": [{**details, "response": [response] if form == "array" else response}]})
        assert desk.ended[call] is None
        assert call.items[0]["imageURL"]

    def test_get_task_details_delivers_the_failure(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.receive({"data": []})
        error = {"code": "inferenceError", "message": "Failed."}
        desk.receive(
            {"data": [{"taskType": "getTaskDetails", "taskUUID": A, "request": [], "response": {"errors": [error]}}]}
        )
        assert isinstance(desk.ended[call], ProviderError)

    def test_get_task_details_without_results_shows_that_the_task_runs(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.receive({"data": []})
        desk.take_written()
        desk.receive({"data": [{"taskType": "getTaskDetails", "taskUUID": A, "request": [{}]}]})
        next_poll(desk)
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None

    def test_task_unknown_to_the_server_is_sent_again_with_the_same_uuid(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        desk.take_written()
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        assert desk.take_written() == [[{"taskType": "imageInference", "taskUUID": A}]]
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_task_sent_again_is_not_polled_because_of_an_old_lookup(self) -> None:
        """The time limit of an answered lookup has ended. A pushed task may take long."""
        desk = ready_desk()
        call = desk.submit(timeout=60.0)
        desk.lose()
        desk.ready()
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        desk.take_written()
        for _ in range(30):
            desk.pass_time(1.0)
            desk.receive({"data": [{"taskType": "ping", "pong": True}]})
        assert asked(desk) == []
        assert call.state is CallState.SENT
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_conflict_after_sending_again_means_that_the_task_runs(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.receive({"data": []})
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        desk.take_written()
        desk.receive(failure("conflictTaskUUID", parameter="taskUUID"))
        assert asked(desk) == [("getResponse", A)]
        # Whatever it answers now, the task is never sent a third time.
        desk.receive({"data": []})
        desk.receive({"data": []})
        assert {task["taskType"] for frame in desk.take_written() for task in frame} <= {
            "getResponse",
            "getTaskDetails",
        }
        next_poll(desk)
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None

    def test_conflict_at_the_first_attempt_is_raised(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.receive(failure("conflictTaskUUID", parameter="taskUUID"))
        assert isinstance(desk.ended[call], ConflictError)

    def test_unknown_outcome_ends_at_the_deadline_with_may_have_run(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2, timeout=20.0)
        desk.receive({"data": [image(number=1)]})
        desk.lose()
        desk.ready()
        for _ in range(20):
            desk.pass_time(1.0)
            desk.session.bytes_received(desk.now)
        error = desk.ended[call]
        assert isinstance(error, ConnectionLostError)
        assert error.may_have_run
        assert len(call.items) == 1
        assert {question for question, _ in asked(desk)} == {"getResponse", "getTaskDetails"}

    def test_accepted_task_is_polled_on_the_new_connection(self) -> None:
        desk = ready_desk()
        call = accepted(desk)
        next_poll(desk)
        desk.lose()
        desk.ready()
        assert ("getResponse", A) in asked(desk)
        desk.receive({"data": [video()]})
        assert desk.ended[call] is None

    def test_drop_at_every_point_sends_the_task_once(self) -> None:
        for drops in range(1, 6):
            desk = ready_desk()
            call = desk.submit()
            sent = 1
            for _ in range(drops):
                desk.take_written()
                desk.lose()
                desk.ready()
                sent += sum(task["taskType"] == "imageInference" for frame in desk.take_written() for task in frame)
            assert sent == 1
            desk.receive({"data": [image()]})
            assert desk.ended[call] is None

    def test_order_is_kept_across_a_drop(self) -> None:
        desk = ready_desk(max_in_flight=2)
        desk.hold_writes = True
        for uuid in (A, B, C):
            desk.submit(uuid)
        desk.lose()
        desk.hold_writes = False
        desk.ready()
        assert [frame[0]["taskUUID"] for frame in desk.take_written()[1:]] == [A, B]

    def test_backoff_grows_and_is_reset_by_a_healthy_connection(self) -> None:
        desk = ready_desk()
        desk.submit(timeout=10_000.0)
        waits = []
        for _ in range(8):
            desk.lose()
            waits.append(desk.session.next_deadline() - desk.now)
            desk.ready()
        assert waits[0] <= 0.1
        assert 1.0 < max(waits) <= 30.0
        for _ in range(3):
            desk.pass_time(2.0)
            desk.session.bytes_received(desk.now)
        desk.lose()
        assert desk.session.next_deadline() - desk.now <= 0.1

    def test_idle_client_reconnects_only_for_the_next_call(self) -> None:
        desk = ready_desk()
        desk.lose()
        assert desk.session.state is State.IDLE
        assert desk.session.next_deadline() is None

    def test_upload_statuses_continue_after_a_drop(self) -> None:
        desk = ready_desk()
        call = desk.submit(completion=Completion.STATUSES, task_type="modelUpload")
        desk.receive({"data": [{"taskUUID": A, "status": "validated"}]})
        desk.lose()
        desk.ready()
        desk.receive({"data": [{"taskUUID": A, "status": "stored"}]})
        desk.take_written()
        next_poll(desk)
        desk.receive({"data": [{"taskUUID": A, "status": "ready"}]})
        assert desk.ended[call] is None


class TestRetries:
    def test_retry_after_a_temporary_failure_has_a_new_uuid(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=2)
        desk.take_written()
        desk.receive(failure("rateLimitExceeded"))
        assert call not in desk.ended
        desk.pass_time(1.0)
        ((task,),) = desk.take_written()
        assert task["taskUUID"] == call.uuid != A
        desk.receive({"data": [image(call.uuid)]})
        assert desk.ended[call] is None
        assert call.attempts == [f"{A}: rateLimitExceeded"]

    def test_last_attempt_ends_the_call(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=2)
        for _ in range(3):
            assert call not in desk.ended
            desk.receive(failure("providerInternalError", call.uuid))
            desk.pass_time(4.0)
        error = desk.ended[call]
        assert isinstance(error, ProviderError)
        assert len(error.attempts) == 2

    @pytest.mark.parametrize("code", ["invalidWidth", "invalidApiKey", "insufficientCredits", "invalidProviderContent"])
    def test_permanent_failure_is_not_retried(self, code: str) -> None:
        desk = ready_desk()
        call = desk.submit(retry=5)
        desk.receive(failure(code))
        assert call in desk.ended

    def test_zero_retries_mean_one_attempt(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=0)
        desk.receive(failure("rateLimitExceeded"))
        assert isinstance(desk.ended[call], RateLimitError)

    def test_deadline_covers_all_attempts(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=100, timeout=5.0)
        start = desk.now
        while call not in desk.ended:
            desk.receive(failure("rateLimitExceeded", call.uuid))
            desk.pass_time(0.5)
            assert desk.now - start <= 6.0

    def test_no_retry_if_its_pause_would_outlast_the_deadline(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=RetryPolicy(wait=tenacity.wait_fixed(10.0)), timeout=5.0)
        desk.receive(failure("rateLimitExceeded"))
        assert isinstance(desk.ended[call], RateLimitError)

    def test_only_missing_results_are_requested_again(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=1, expected=3, body={"numberResults": 3})
        desk.take_written()
        desk.receive({"data": [image(number=1)], "errors": failure("inferenceError")["errors"] * 2})
        desk.pass_time(1.0)
        ((task,),) = desk.take_written()
        assert task["numberResults"] == 2
        desk.receive({"data": [image(call.uuid, 2), image(call.uuid, 3)]})
        assert desk.ended[call] is None
        assert len(call.items) == 3

    def test_seeded_task_with_results_is_not_retried(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=1, expected=2, body={"numberResults": 2, "seed": 7})
        desk.receive({"data": [image(number=1)], **failure("inferenceError")})
        assert isinstance(desk.ended[call], IncompleteResultsError)

    def test_tenacity_stop_wait_and_retry_are_used(self) -> None:
        desk = ready_desk()
        policy = RetryPolicy(
            stop=tenacity.stop_after_attempt(4),
            wait=tenacity.wait_fixed(0.25),
            retry=tenacity.retry_if_exception_type(InsufficientCreditsError),
        )
        call = desk.submit(retry=policy)
        for number in range(4):
            desk.take_written()
            desk.receive(failure("insufficientCredits", call.uuid))
            if number < 3:
                desk.pass_time(0.24)
                assert desk.take_written() == []
                desk.pass_time(0.01)
                assert len(desk.take_written()) == 1
        assert isinstance(desk.ended[call], InsufficientCreditsError)

    def test_tenacity_stop_after_delay_uses_the_sessions_clock(self) -> None:
        desk = ready_desk()
        policy = RetryPolicy(stop=tenacity.stop_after_delay(3.0), wait=tenacity.wait_fixed(1.0))
        call = desk.submit(retry=policy)
        tries = 0
        while call not in desk.ended:
            desk.receive(failure("rateLimitExceeded", call.uuid))
            tries += 1
            desk.pass_time(1.0)
        assert tries == 4

    def test_tenacity_stop_before_delay_knows_the_next_pause(self) -> None:
        desk = ready_desk()
        policy = RetryPolicy(stop=tenacity.stop_before_delay(0.5), wait=tenacity.wait_fixed(1.0))
        call = desk.submit(retry=policy)
        desk.receive(failure("rateLimitExceeded"))
        assert isinstance(desk.ended[call], RateLimitError)


class TestOneOfSeveralFails:
    """An error that names a task of several results may be about one of them: the others are billed."""

    def unsettled(self, **facts: Any) -> tuple[Desk, Call]:
        desk = ready_desk()
        call = desk.submit(expected=3, body={"numberResults": 3}, **facts)
        desk.take_written()
        return desk, call

    def test_server_is_asked_before_a_retry(self) -> None:
        desk, call = self.unsettled(retry=2)
        desk.receive({"data": [image(number=1)]})
        desk.receive(failure("inferenceError"))
        desk.pass_time(SETTLE)
        assert asked(desk) == [("getResponse", A)]
        running = {"taskType": "imageInference", "taskUUID": A, "status": "processing"}
        bad = {**running, "status": "error", "error": {"code": "inferenceError", "message": "One failed."}}
        desk.receive({"data": [image(number=1, status="success"), bad, running]})
        desk.receive({"data": [image(number=3)]})
        assert [task for frame in desk.written for task in frame if task["taskType"] == "imageInference"] == []
        assert call.uuid != A  # its last result arrived, so that the failed one is retried
        assert call.attempts == [f"{A}: inferenceError"]
        desk.pass_time(1.0)
        assert [
            task["numberResults"]
            for frame in desk.take_written()
            for task in frame
            if "model" not in task and task["taskType"] == "imageInference"
        ] == [1]

    def test_results_after_an_error_are_not_lost(self) -> None:
        desk, call = self.unsettled()
        desk.receive(failure("invalidProviderContent"))
        assert call not in desk.ended
        desk.receive({"data": [image(number=1)]})
        desk.pass_time(SETTLE)
        assert asked(desk) == [("getResponse", A)]
        running = {"taskType": "imageInference", "taskUUID": A, "status": "processing"}
        desk.receive(
            {"data": [image(number=1, status="success"), running], **failure("invalidProviderContent", status="error")}
        )
        assert call not in desk.ended
        next_poll(desk)
        done = [image(number=1, status="success"), image(number=2, status="success")]
        desk.receive({"data": done, **failure("invalidProviderContent", status="error")})
        error = desk.ended[call]
        assert isinstance(error, IncompleteResultsError)
        assert error.code == "invalidProviderContent"
        assert len(call.items) == 2

    def lists_what_runs(self, desk: Desk) -> None:
        """Let the client see that this server lists running results in its responses."""
        other = desk.submit(B, task_type="videoInference", timeout=600.0)
        desk.receive(ack(B))
        next_poll(desk)
        desk.receive({"data": [{**PROCESSING, "taskUUID": B}]})
        desk.cancel(other)

    def test_failed_task_is_not_retried_if_the_server_may_not_list_what_runs(self) -> None:
        desk, call = self.unsettled(retry=1)
        desk.receive(failure("providerInternalError"))
        desk.pass_time(SETTLE)
        for _ in range(2):
            desk.receive({"data": [], **failure("providerInternalError", status="error")})
            desk.pass_time(CONFIRM)
        error = desk.ended[call]
        assert isinstance(error, ProviderError)
        assert error.may_have_run
        assert not call.attempts

    def test_acknowledgement_in_place_of_a_poll_response_does_not_show_that_the_server_lists_what_runs(self) -> None:
        desk, call = self.unsettled(retry=1)
        desk.submit(B, task_type="videoInference", timeout=600.0)
        desk.receive(ack(B))
        next_poll(desk)
        desk.receive(ack(B))
        desk.receive(failure("providerInternalError"))
        desk.pass_time(SETTLE)
        for _ in range(2):
            desk.receive({"data": [], **failure("providerInternalError", status="error")})
            desk.pass_time(CONFIRM)
        assert desk.ended[call].may_have_run
        assert not call.attempts

    def test_failed_task_is_retried_after_the_failure_is_confirmed(self) -> None:
        desk, call = self.unsettled(retry=1)
        self.lists_what_runs(desk)
        desk.receive(failure("providerInternalError"))
        desk.pass_time(SETTLE)
        assert asked(desk) == [("getResponse", A)]
        desk.receive({"data": [], **failure("providerInternalError", status="error")})
        assert call.uuid == A  # the response may have come in two parts
        desk.pass_time(CONFIRM)
        assert asked(desk) == [("getResponse", A)]
        desk.receive({"data": [], **failure("providerInternalError", status="error")})
        desk.pass_time(1.0)
        ((task,),) = desk.take_written()
        assert task["taskUUID"] == call.uuid != A
        assert task["numberResults"] == 3

    def test_second_part_of_a_response_can_show_that_the_task_runs(self) -> None:
        desk, call = self.unsettled(retry=1)
        desk.receive(failure("providerInternalError"))
        desk.pass_time(SETTLE)
        running = {"taskType": "imageInference", "taskUUID": A, "status": "processing"}
        for _ in range(5):
            desk.receive(failure("providerInternalError", status="error"))
            desk.receive({"data": [running, running]})
            next_poll(desk)
        assert call.uuid == A
        desk.receive({"data": [image(number=1), image(number=2)]})
        assert call.attempts == [f"{A}: providerInternalError"]

    @pytest.mark.parametrize("lists", [True, False])
    def test_failure_of_the_only_listed_item_ends_the_call(self, lists: bool) -> None:
        desk, call = self.unsettled()
        if lists:
            self.lists_what_runs(desk)
        start = desk.now
        desk.receive(failure("providerInternalError"))
        desk.pass_time(SETTLE)
        bad = {
            "taskType": "imageInference",
            "taskUUID": A,
            "status": "error",
            "error": {"code": "providerInternalError"},
        }
        while call not in desk.ended:
            desk.receive({"data": [bad]})
            next_poll(desk) if call not in desk.ended else None
        assert isinstance(desk.ended[call], ProviderError)
        assert desk.now - start < 2.0 if lists else PATIENCE < desk.now - start < PATIENCE + 3.0
        assert desk.ended[call].may_have_run is not lists

    def test_task_that_the_server_never_accepted_is_retried(self) -> None:
        desk, call = self.unsettled(retry=1)
        desk.receive(failure("rateLimitExceeded"))
        desk.pass_time(SETTLE)
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        assert asked(desk)[-1] == ("getTaskDetails", A)
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        desk.pass_time(1.0)
        ((task,),) = desk.take_written()
        assert task["taskUUID"] == call.uuid != A
        assert call.attempts == [f"{A}: rateLimitExceeded"]

    def test_repeated_error_counts_once(self) -> None:
        desk, call = self.unsettled(retry=1)
        desk.receive({"data": [image(number=1)]})
        desk.receive(failure("inferenceError"))
        desk.receive(failure("inferenceError"))
        assert call.uuid == A
        desk.pass_time(SETTLE)
        assert asked(desk) == [("getResponse", A)]
        desk.receive({"data": [image(number=3)]})
        assert call.attempts == [f"{A}: inferenceError"]  # two arrived, and one failed

    def test_replayed_error_of_one_result_waits_for_the_others(self) -> None:
        desk, call = self.unsettled(retry=2)
        desk.receive({"data": [image(number=1)]})
        desk.lose()
        desk.ready()
        desk.take_written()
        desk.receive(failure("inferenceError"))
        assert call.uuid == A
        desk.receive(failure("inferenceError"))
        assert call.uuid == A
        desk.receive({"data": [image(number=3)]})
        assert len(call.items) == 2
        assert call.attempts == [f"{A}: inferenceError"]

    def test_drop_after_the_error_of_one_result_retries_an_unknown_task(self) -> None:
        desk, call = self.unsettled(retry=2)
        desk.receive(failure("rateLimitExceeded"))
        desk.lose()
        desk.ready()
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        assert call.attempts == [f"{A}: rateLimitExceeded"]


class TestTaskDetails:
    ONE_FAILED: ClassVar[dict[str, Any]] = {
        "taskType": "getTaskDetails",
        "taskUUID": A,
        "request": [{}],
        "response": {"errors": [{"code": "inferenceError", "message": "It failed.", "taskUUID": A}]},
    }

    def test_repeated_details_count_once(self) -> None:
        """They report one failure of two, which says nothing about the other result."""
        desk = ready_desk()
        call = desk.submit(expected=2, retry=2)
        desk.lose()
        desk.ready()
        for _ in range(12):
            desk.receive({"data": [self.ONE_FAILED]})
        assert call not in desk.ended
        assert not call.attempts
        desk.receive({"data": [image(number=1), image(number=2)]})
        assert desk.ended[call] is None

    @pytest.mark.parametrize("expected", [1, 2])
    @pytest.mark.parametrize("about", ["getResponse", "imageInference"])
    def test_failed_lookup_does_not_send_the_task_again(self, expected: int, about: str) -> None:
        """The server cannot answer the lookup, over and over, which says nothing about the task."""
        desk = ready_desk()
        call = desk.submit(expected=expected, retry=1)
        desk.lose()
        desk.ready()
        start = desk.now
        while call not in desk.ended:
            for question, _ in asked(desk):
                named = question if about == "getResponse" else about
                desk.receive(failure("internalServerError", taskType=named))
            desk.pass_time(0.5)
        assert not call.attempts
        error = desk.ended[call]
        assert error is not None
        assert error.may_have_run
        if about == "imageInference" and expected == 1:
            assert isinstance(error, ServerError)
            assert desk.now - start < PATIENCE + 6.0
        else:
            assert isinstance(error, ConnectionLostError)
            assert desk.now == pytest.approx(call.deadline, abs=1.0)

    def test_result_missing_from_the_details_is_not_requested_again(self) -> None:
        """If only one failure of two is ever reported, the call ends with it, without a retry."""
        desk = ready_desk()
        call = desk.submit(expected=2, retry=2)
        desk.lose()
        desk.ready()
        while call not in desk.ended:
            for question, _ in asked(desk):
                unknown = failure("taskNotFound", taskType="getResponse")
                desk.receive(unknown if question == "getResponse" else {"data": [self.ONE_FAILED]})
            assert not call.attempts
            desk.pass_time(0.05)
        error = desk.ended[call]
        assert isinstance(error, TaskError)
        assert error.code == "inferenceError"

    def test_task_known_only_to_get_task_details_is_waited_for(self) -> None:
        desk = ready_desk()
        call = desk.submit(timeout=60.0)
        desk.lose()
        desk.ready()
        known = {"taskType": "getTaskDetails", "taskUUID": A, "request": [{}], "response": {"data": []}}
        for _ in range(30):
            while not (questions := asked(desk)):
                desk.pass_time(0.01)
            ((question, _),) = questions
            unknown = failure("taskNotFound", taskType="getResponse")
            desk.receive(unknown if question == "getResponse" else {"data": [known]})
            assert call not in desk.ended
        desk.receive({"data": [{**known, "response": {"data": [image()]}}]})
        assert desk.ended[call] is None

    @pytest.mark.parametrize("code", ["invalidConnectionSessionUUID", "sessionNotFound", "sessionExpired"])
    def test_session_forgotten_by_the_server_is_not_resumed_again(self, code: str) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.pass_time(desk.session.next_deadline() - desk.now)
        desk.open()
        desk.receive(failure(code, None, taskType="authentication"))
        desk.take_written()
        desk.ready()
        (auth,), (question,) = desk.take_written()
        assert "connectionSessionUUID" not in auth
        assert question["taskType"] == "getResponse"
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_nothing_is_looked_up_before_the_key_is_accepted(self) -> None:
        desk = ready_desk()
        call = desk.submit()
        desk.lose()
        desk.ready()
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        desk.lose()
        desk.pass_time(desk.session.next_deadline() - desk.now)
        desk.open()
        desk.take_written()
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        assert call not in desk.ended
        assert desk.take_written() == []
        desk.accept_key()
        assert asked(desk)
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None


def test_ended_call_is_not_polled_again() -> None:
    """One message contains both that the task runs and all of its results."""
    desk = ready_desk()
    call = desk.submit(task_type="videoInference", completion=Completion.EXISTING, timeout=20.0)
    details = {"taskType": "getTaskDetails", "taskUUID": A, "response": {"data": [video()]}}
    desk.receive({"data": [PROCESSING, details]})
    assert desk.ended[call] is None
    assert desk.session.in_flight == 0
    desk.take_written()
    for _ in range(30):
        desk.pass_time(1.0)
        desk.receive({"data": [{"taskType": "ping", "pong": True}]})
    assert asked(desk) == []


class TestMayHaveRun:
    """A task that was sent once may have run, in whatever state its call ended."""

    def sent_again(self, **config: Any) -> tuple[Desk, Call]:
        """Return a call that the server denied knowing, and that waits to be sent again."""
        desk = ready_desk(max_in_flight=1, **config)
        call = desk.submit(timeout=20.0)
        desk.lose()
        desk.ready()
        desk.hold_writes = True
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        desk.lose()
        assert call.state is CallState.QUEUED
        return desk, call

    def test_timeout_of_a_resent_call_has_may_have_run(self) -> None:
        desk, call = self.sent_again()
        desk.pass_time(20.0)
        error = desk.ended[call]
        assert isinstance(error, ConnectionLostError)
        assert error.may_have_run

    def test_close_of_a_resent_call_says_that_it_may_run(self) -> None:
        desk, call = self.sent_again()
        desk.close()
        assert "may still run" in str(desk.ended[call])

    def test_failed_reconnect_of_a_written_call_has_may_have_run(self) -> None:
        desk = ready_desk()
        written = desk.submit(A)
        desk.lose()
        waiting = desk.submit(B)
        desk.pass_time(desk.session.next_deadline() - desk.now)
        desk.fail_dial(ConnectionFailedError("the server answered 403"), permanent=True)
        error = desk.ended[written]
        assert isinstance(error, ConnectionLostError)
        assert error.may_have_run
        assert "403" in str(error)
        assert isinstance(desk.ended[waiting], ConnectionFailedError)


def test_result_for_a_queued_call_takes_a_slot() -> None:
    desk = ready_desk(max_in_flight=2)
    desk.submit(A, expected=2)
    desk.submit(B)
    desk.submit(C, expected=2)
    desk.take_written()
    desk.receive({"data": [image(C)]})
    assert repr(desk.session).endswith("3 in flight>")


def test_connect_needs_no_slot() -> None:
    desk = ready_desk(max_in_flight=1)
    desk.submit()
    waiting = desk.connect()
    assert desk.ended[waiting] is None
    desk.lose()
    desk.submit(B)
    waiting = desk.connect()
    assert waiting not in desk.ended
    desk.ready()
    assert desk.ended[waiting] is None


def test_several_connect_calls_end_once_each() -> None:
    desk = Desk()
    calls = [
        Call(uuid=name, text=b"", task_type="", timeout=60.0, completion=Completion.CONNECTION)
        for name in ("a", "b", "c")
    ]
    for call in calls:
        desk.session.submit(call, desk.now)
    desk.perform()
    desk.ready()
    assert [desk.ended[call] for call in calls] == [None] * 3


def test_any_number_of_connect_calls_may_wait() -> None:
    desk = Desk(max_in_flight=1)
    calls = [
        Call(uuid=f"{number}", text=b"", task_type="", timeout=60.0, completion=Completion.CONNECTION)
        for number in range(2000)
    ]
    for call in calls:
        desk.session.submit(call, desk.now)
    task = desk.submit()
    desk.perform()
    desk.ready()
    assert [desk.ended[call] for call in calls] == [None] * 2000
    assert task.state is CallState.SENT


def test_many_empty_responses_cost_no_more_than_others() -> None:
    desk = ready_desk()
    for number in range(3000):
        desk.submit(f"00000000-0000-4000-8000-{number:012d}", timeout=600.0)
    desk.lose()
    desk.ready()
    looked = 0

    class Counted(dict[str, Call]):
        def values(self) -> Any:
            nonlocal looked
            looked += len(self)
            return super().values()

    desk.session.calls = Counted(desk.session.calls)
    for _ in range(3000):
        desk.receive({"data": []})
    assert looked < 10 * 3000


def test_result_of_a_long_task_is_taken_as_an_acknowledgement() -> None:
    desk = ready_desk()
    call = desk.submit(expected=3, task_type="videoInference")
    desk.receive({"data": [video(number=1)]})
    desk.take_written()
    next_poll(desk)
    desk.receive({"data": [video(number=number) for number in (1, 2, 3)]})
    assert desk.ended[call] is None


def test_connection_that_delivered_something_is_healthy() -> None:
    desk = ready_desk()
    desk.submit(timeout=10_000.0, expected=100)
    for number in range(30):
        desk.receive({"data": [image(number=number)]})
        desk.lose()
        assert desk.session.next_deadline() - desk.now <= 1.0
        desk.ready()


class TestRateLimits:
    def submit_many(self, desk: Desk, count: int, **facts: Any) -> list[Call]:
        return [
            desk.submit(f"00000000-0000-4000-8000-{number:012d}", timeout=600.0, **facts) for number in range(count)
        ]

    def test_rate_limit_halves_the_window_and_successes_lift_it(self) -> None:
        desk = ready_desk()
        calls = self.submit_many(desk, 40)
        assert len(desk.take_written()) == 40
        desk.receive({"errors": [failure("rateLimitExceeded", call.uuid)["errors"][0] for call in calls[:10]]})
        late = [desk.submit(uuid, timeout=600.0) for uuid in (A, B, C)]
        assert desk.take_written() == []  # 30 are at the server, and the window is 20
        for call in calls[10:20]:
            desk.receive({"data": [image(call.uuid)]})
        assert desk.take_written() == []
        for call in calls[20:]:
            desk.receive({"data": [image(call.uuid)]})
        assert {frame[0]["taskUUID"] for frame in desk.take_written()} == {A, B, C}
        for call in late:
            desk.receive({"data": [image(call.uuid)]})
        # One more after each round of successes, until the window is lifted.
        for _ in range(2000):
            if desk.session._queue.window is None:
                break
            desk.receive({"data": [image(desk.submit(new_uuid()).uuid)]})
        assert desk.session._queue.window is None

    def test_burst_of_rate_limits_halves_the_window_once(self) -> None:
        desk = ready_desk()
        calls = self.submit_many(desk, 16)
        for call in calls[:8]:
            desk.receive(failure("rateLimitExceeded", call.uuid))
        assert desk.session._queue.window == 8.0

    def test_window_is_never_below_one_call(self) -> None:
        desk = ready_desk()
        for number in range(6):
            call = desk.submit(new_uuid())
            desk.receive(failure("rateLimitExceeded", call.uuid))
            desk.now += 2.0
            assert desk.session._queue.window == 1.0, number
        call = desk.submit(A)
        desk.receive({"data": [image(A)]})
        assert desk.ended[call] is None


def test_repeated_error_counts_once_after_the_acknowledgement() -> None:
    desk = ready_desk()
    call = desk.submit(expected=2, retry=1)
    for _ in range(2):
        desk.receive(failure("inferenceError"))
    for _ in range(2):
        desk.receive(ack(kind="imageInference"))
    assert call.uuid == A
    desk.receive({"data": [image(number=1)]})
    assert call.attempts == [f"{A}: inferenceError"]


def test_late_response_does_not_answer_the_next_lookup() -> None:
    desk = ready_desk()
    call = desk.submit()
    desk.lose()
    desk.ready()
    desk.take_written()
    while not (questions := asked(desk)):  # getResponse gets no response in time
        desk.pass_time(0.1)
        desk.session.bytes_received(desk.now)
    assert questions == [("getTaskDetails", A)]
    desk.receive(failure("taskNotFound", taskType="getResponse"))
    assert desk.take_written() == []
    desk.receive({"data": [{"taskType": "getTaskDetails", "taskUUID": A, "response": {"data": [image()]}}]})
    assert desk.ended[call] is None


class TestReplayedErrors:
    def test_repeatedly_replayed_errors_do_not_add_up(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3, retry=1, body={"numberResults": 3})
        desk.lose()
        desk.ready()
        for _ in range(3):
            desk.receive(failure("rateLimitExceeded"))
            desk.receive(failure("rateLimitExceeded"))
            desk.lose()
            desk.pass_time(desk.session.next_deadline() - desk.now)
            desk.open()
            for _ in range(4):  # before the reply to authentication
                desk.receive(failure("rateLimitExceeded"))
            desk.accept_key()
            for _ in range(4):  # and after it
                desk.receive(failure("rateLimitExceeded"))
        # One result may still arrive: the server has not denied it, so nothing is requested again.
        assert call.uuid == A
        assert call.attempt == 1
        desk.take_written()
        next_poll(desk)
        desk.receive({"data": [image(number=1, status="success"), image(number=2, status="success")]})
        assert call not in desk.ended


def text(uuid: str, words: str, **more: Any) -> dict[str, Any]:
    return {"taskType": "textInference", "taskUUID": uuid, "text": words, **more}


class TestResultsOfSeveralAttempts:
    def test_texts_of_the_next_attempt_are_new(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2, retry=2, task_type="textInference", body={"numberResults": 2})
        desk.receive(ack(A, "textInference"))
        desk.pass_time(0.2)
        desk.receive({"data": [text(A, "one", status="success")], **failure("timeoutProvider", status="error")})
        desk.pass_time(3.0)
        again = desk.take_written()[-1][0]
        assert again["numberResults"] == 1
        desk.receive(ack(again["taskUUID"], "textInference"))
        desk.pass_time(0.3)
        desk.receive({"data": [text(again["taskUUID"], "one", status="success")]})  # equal, and still another one
        assert desk.ended[call] is None
        assert len(call.items) == 2

    def test_indices_of_the_next_attempt_start_anew(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2, retry=2, body={"numberResults": 2})
        desk.receive({"data": [image(number=1, resultIndex=0)], **failure("timeoutProvider")})
        desk.pass_time(3.0)
        again = desk.take_written()[-1][0]["taskUUID"]
        desk.receive({"data": [image(again, 2, resultIndex=0)]})
        assert desk.ended[call] is None

    def test_prompt_versions_are_counted_like_results(self) -> None:
        desk = ready_desk()
        desk.submit(expected=3, retry=2, task_type="promptEnhance", body={"promptVersions": 3})
        data = [{**text(A, word), "taskType": "promptEnhance"} for word in "ab"]
        desk.receive({"data": data, **failure("inferenceError")})
        desk.pass_time(3.0)
        assert desk.take_written()[-1][0]["promptVersions"] == 1


class TestErrorsOfLookups:
    def test_temporary_lookup_errors_send_the_task_never_again(self) -> None:
        desk = ready_desk()
        desk.submit(retry=2)
        desk.lose()
        desk.ready()
        for _ in range(40):
            for task in itertools.chain(*desk.take_written()):
                if task["taskType"].startswith("get"):
                    desk.receive(failure("serviceUnavailable", task["taskUUID"]))
                assert task.get("taskUUID", A) == A
            desk.pass_time(0.5)

    def test_accepted_and_forgotten_task_is_not_sent_again(self) -> None:
        desk = ready_desk()
        call = accepted(desk, retry=RetryPolicy(retry=lambda state: True))
        for _ in range(400):
            desk.pass_time(0.1)
            for task in itertools.chain(*desk.take_written()):
                assert task["taskUUID"] == A
                desk.receive(failure("taskNotFound", taskType=task["taskType"]))
        assert isinstance(desk.ended[call], NotFoundError)


class TestOtherRetries:
    def test_retry_policy_that_raises_ends_only_its_call(self) -> None:
        desk = ready_desk()

        def broken(state: tenacity.RetryCallState) -> bool:
            raise AttributeError("a mistake")

        call, other = desk.submit(A, retry=RetryPolicy(retry=broken)), desk.submit(B)
        desk.receive(failure("timeoutProvider"))
        assert isinstance(desk.ended[call], ProviderError)
        desk.receive({"data": [image(B)]})
        assert desk.ended[other] is None

    @pytest.mark.parametrize("kind", ["getResponse", "getTaskDetails"])
    def test_lookup_of_a_caller_is_retried_with_the_same_uuid(self, kind: str) -> None:
        desk = ready_desk()
        call = desk.submit(retry=2, task_type=kind, completion=Completion.ANSWER, repeatable=True)
        desk.take_written()
        desk.receive(failure("rateLimitExceeded", taskType=kind))
        desk.receive(failure("rateLimitExceeded", taskType=kind))  # repeated, and counted once
        assert call.state is CallState.RETRYING
        assert call.attempt == 2
        desk.pass_time(3.0)
        assert desk.take_written() == [[{"taskType": kind, "taskUUID": A}]]
        desk.receive({"data": [image() if kind == "getResponse" else {"taskType": kind, "taskUUID": A}]})
        assert desk.ended[call] is None

    def test_call_that_skips_the_response_is_retried_with_a_new_uuid(self) -> None:
        desk = ready_desk()
        call = desk.submit(retry=2, completion=Completion.ACKNOWLEDGEMENT, task_type="videoInference")
        desk.receive(failure("internalServerError"))
        desk.pass_time(3.0)
        again = desk.take_written()[-1][0]["taskUUID"]
        assert again not in (A, None)
        desk.receive(ack(again))
        assert desk.ended[call] is None


class TestModelUploads:
    def test_asynchronous_upload_is_polled(self) -> None:
        desk = ready_desk()
        body = {"deliveryMethod": "async"}
        call = desk.submit(task_type="modelUpload", completion=Completion.STATUSES, timeout=600.0, body=body)
        desk.receive(ack(A, "modelUpload"))
        next_poll(desk)
        desk.receive({"data": [{"taskType": "modelUpload", "taskUUID": A, "status": "stored"}]})
        next_poll(desk)
        desk.receive({"data": [{"taskType": "modelUpload", "taskUUID": A, "status": "ready", "air": "a:1@1"}]})
        assert desk.ended[call] is None


class TestUnwrittenMessages:
    """A task that was sent again waits to be written, and is no longer wanted."""

    def sent_again(self) -> tuple[Desk, Call]:
        desk = ready_desk()
        call = desk.submit(retry=2)
        desk.lose()
        desk.ready()
        desk.hold_writes = True
        desk.receive(failure("taskNotFound", taskType="getResponse"))
        desk.receive(failure("taskNotFound", taskType="getTaskDetails"))
        assert call.state is CallState.SENT
        desk.take_written()
        return desk, call

    def sent(self, desk: Desk) -> list[str]:
        desk.hold_writes = False
        desk.perform()
        return [task["taskUUID"] for task in itertools.chain(*desk.take_written()) if task["taskType"][:3] != "get"]

    def test_message_is_discarded_when_its_result_is_replayed(self) -> None:
        desk, call = self.sent_again()
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None
        assert self.sent(desk) == []

    def test_message_is_discarded_when_its_response_is_too_large(self) -> None:
        desk, call = self.sent_again()
        desk.session.message_too_large([A], 1000, desk.now)
        desk.perform()
        assert call in desk.ended
        assert self.sent(desk) == []

    def test_message_is_discarded_when_another_attempt_is_made(self) -> None:
        desk, call = self.sent_again()
        desk.receive(failure("timeoutProvider"))
        assert call.attempt == 2
        desk.pass_time(3.0)
        assert self.sent(desk) == [call.uuid]
        assert call.uuid != A
