"""What is billed is neither lost nor executed twice, and errors are truthful about costs.

The session is driven with a simulated clock; what a server does is also tested over real sockets.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from runware import (
    AuthenticationError,
    ConnectionLostError,
    IncompleteResultsError,
    NotFoundError,
    ProviderError,
    Runware,
    ServerError,
    TaskTimeoutError,
    Text,
    ValidationError,
    Video,
)
from runware.local import LocalServer
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.tracker import SETTLE

from .conftest import Interface
from .support import A, B, Desk, ack, failure, image, video
from .test_session import ready_desk

PICTURE: dict[str, Any] = {"positive_prompt": "a red kite", "model": "runware:101@1", "width": 512, "height": 512}
PROCESSING = {"taskType": "videoInference", "taskUUID": A, "status": "processing"}
DENIALS = {kind: failure("taskNotFound", taskType=kind) for kind in ("getResponse", "getTaskDetails")}


def answer(desk: Desk, answers: dict[str, Any]) -> set[str]:
    """Answer every lookup, by its kind, and return the UUIDs of the other tasks that were sent."""
    others = set()
    for task in [task for frame in desk.take_written() for task in frame]:
        if task["taskType"] in ("getResponse", "getTaskDetails"):
            if task["taskType"] in answers:
                desk.receive(answers[task["taskType"]])
        elif "taskUUID" in task:
            others.add(task["taskUUID"])
    return others


def live(desk: Desk, seconds: float, answers: dict[str, Any]) -> set[str]:
    """Advance the clock with a server that answers all lookups alike; return the UUIDs of the tasks that were sent."""
    sent: set[str] = set()
    end = desk.now + seconds
    while desk.now < end:
        sent |= answer(desk, answers)
        desk.session.bytes_received(desk.now)
        desk.pass_time(min(0.05, end - desk.now))
    return sent


WAYS = {
    "denied": DENIALS,
    "empty": {"getResponse": {"data": []}, "getTaskDetails": {"data": []}},
    "silent": {},
    "trouble": {kind: failure("internalServerError", taskType=kind) for kind in DENIALS},
}


class TestOneOfSeveralFails:
    """The error of one result says nothing about its siblings, which are billed."""

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("code", ["gpuOutOfMemory", "providerInternalError", "invalidProviderContent", "timeout"])
    def test_slow_siblings_are_waited_for(self, code: str, way: str) -> None:
        desk = ready_desk()
        call = desk.submit(expected=4, body={"numberResults": 4}, timeout=20.0, retry=2)
        desk.take_written()
        desk.receive(failure(code))
        assert live(desk, 15.0, WAYS[way]) == set()
        assert call not in desk.ended
        for number in (1, 2):
            desk.receive({"data": [image(number=number)]})
            live(desk, 1.0, WAYS[way])
        desk.receive({"data": [image(number=3)]})
        # With three results and one error nothing more can arrive, so that the failed one may be retried.
        assert len(call.items) == 3
        assert call.attempts == [f"{A}: {code}"] if code not in ("gpuOutOfMemory", "invalidProviderContent") else True
        if not call.attempts:
            assert isinstance(desk.ended[call], IncompleteResultsError)

    @pytest.mark.parametrize("code", ["invalidSeed", "gpuOutOfMemory"])
    def test_siblings_that_arrive_after_the_error_are_kept(self, code: str) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3)
        desk.receive(failure(code))
        live(desk, 0.3, DENIALS)
        desk.receive({"data": [image(number=1)]})
        live(desk, 5.0, DENIALS)
        assert call not in desk.ended
        desk.receive({"data": [image(number=2)]})
        error = desk.ended[call]
        assert isinstance(error, IncompleteResultsError)
        assert error.code == code
        assert len(call.items) == 2

    @pytest.mark.parametrize("came", [0, 1])
    def test_deadline_reports_the_error_and_that_the_rest_may_run(self, came: int) -> None:
        desk = ready_desk()
        call = desk.submit(expected=4, timeout=20.0, retry=2)
        desk.receive(failure("providerInternalError"))
        for number in range(came):
            desk.receive({"data": [image(number=number)]})
        assert live(desk, 19.9, DENIALS) == {A}
        assert call not in desk.ended
        live(desk, 0.2, DENIALS)
        error = desk.ended[call]
        assert isinstance(error, IncompleteResultsError if came else ProviderError)
        assert error.code == "providerInternalError"
        assert error.may_have_run
        assert not error.retryable
        assert "may still run and be billed" in error.message

    def test_resumed_session_delivers_slow_siblings(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=4, timeout=60.0, retry=2)
        desk.receive({"data": [image(number=1)]})
        desk.receive(failure("inferenceError"))
        desk.lose()
        desk.ready()
        desk.take_written()
        for number in (2, 3):
            assert live(desk, 8.0, DENIALS) == set()
            assert call not in desk.ended
            desk.receive({"data": [image(number=number)]})
        assert call.attempts == [f"{A}: inferenceError"]

    def test_task_with_results_is_never_sent_again(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2, timeout=20.0)
        desk.receive({"data": [image(number=1)]})
        desk.take_written()
        desk.lose()
        desk.ready()
        assert live(desk, 19.0, DENIALS) == set()
        live(desk, 1.1, DENIALS)
        error = desk.ended[call]
        assert isinstance(error, ConnectionLostError)
        assert error.may_have_run

    def test_errors_with_different_messages_count_as_different_results(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=3)
        for number in range(3):
            assert call not in desk.ended
            desk.receive({"errors": [{"code": "inferenceError", "message": f"Result {number}.", "taskUUID": A}]})
        error = desk.ended[call]
        assert isinstance(error, ProviderError)
        assert not error.may_have_run

    @pytest.mark.parametrize("code", ["inferenceError", "gpuOutOfMemory", "invalidSeed"])
    def test_siblings_arrive_from_a_server_that_denies_what_runs(self, interface: Interface, code: str) -> None:
        with LocalServer(api_key="rw-test-key", delay=0.05, spread=0.8) as server:
            server.switch(sync_polls=False, running_details="unknown")
            with Runware(server.api_key, url=server.url, timeout=20.0) as rw:
                prompt = f"[fail:1={code}] a heron" if code != "invalidSeed" else f"[fail:3={code}] a heron"
                with pytest.raises(IncompleteResultsError) as caught:
                    interface(
                        rw, "image_inference", **{**PICTURE, "positive_prompt": prompt}, number_results=3, retry=0
                    )
            assert len(caught.value.results) == 2
            assert caught.value.code == code
            assert sum(server.ledger.results_by_prompt().values()) == 2


class TestErrorsAboutCosts:
    def test_results_of_an_earlier_attempt_were_billed(self) -> None:
        desk = ready_desk(max_in_flight=1)
        call = desk.submit(expected=2, retry=1, timeout=20.0, body={"numberResults": 2})
        desk.receive({"data": [image(number=1)], **failure("inferenceError")})
        desk.submit(B, timeout=100.0)  # takes the only slot
        desk.pass_time(0.1)
        call.policy = None
        assert call.attempts
        while call not in desk.ended:
            desk.pass_time(1.0)
            desk.receive({"data": [{"taskType": "ping", "pong": True}]})
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert "Nothing was billed" not in error.message
        assert "1 of 2 results arrived" in error.message
        assert not error.retryable

    def test_failed_attempts_without_results_are_listed(self) -> None:
        desk = ready_desk(max_in_flight=1)
        call = desk.submit(retry=1, timeout=20.0)
        desk.receive(failure("inferenceError"))
        desk.submit(B, timeout=100.0)
        while call not in desk.ended:
            desk.pass_time(1.0)
            desk.receive({"data": [{"taskType": "ping", "pong": True}]})
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert "billed" not in error.message
        assert f"{A}: inferenceError" in error.message

    def test_key_revoked_during_a_reconnect_says_which_calls_may_have_run(self) -> None:
        desk = ready_desk()
        sent = desk.submit(A)
        desk.lose()
        waiting = desk.submit(B)
        desk.pass_time(desk.session.next_deadline() - desk.now)
        desk.open()
        desk.receive(failure("invalidApiKey", None, taskType="authentication"))
        for call, may_have_run in ((sent, True), (waiting, False)):
            error = desk.ended[call]
            assert isinstance(error, AuthenticationError)
            assert error.may_have_run is may_have_run
            assert ("may run and bill" in error.message) is may_have_run
            assert not error.retryable

    def test_closed_client_says_which_calls_may_have_run(self) -> None:
        desk = ready_desk(max_in_flight=1)
        sent, waiting = desk.submit(A), desk.submit(B)
        desk.close()
        assert desk.ended[sent].may_have_run
        assert not desk.ended[waiting].may_have_run


NAMELESS = ['{"data":[]}', "{}", "[]", '{"pong":true}', '{"data":null}', '{"data":["x"]}', "[[]]", "null", "7"]


class TestMessagesWithoutTaskUuid:
    @pytest.mark.parametrize("kind", ["getResponse", "getTaskDetails"])
    def test_they_end_no_lookup_of_a_caller(self, kind: str) -> None:
        desk = ready_desk()
        call = desk.submit(task_type=kind, completion=Completion.ANSWER, repeatable=True)
        for message in NAMELESS * 3:
            desk.receive(message.encode())
        assert call not in desk.ended
        desk.receive({"data": [video() if kind == "getResponse" else {"taskType": kind, "taskUUID": A}]})
        assert desk.ended[call] is None
        assert len(call.items) == 1

    def test_they_end_no_task_and_cause_no_resend(self) -> None:
        desk = ready_desk()
        call = desk.submit(timeout=60.0)
        desk.lose()
        desk.ready()
        desk.take_written()
        for _ in range(10):
            for message in NAMELESS:
                desk.receive(message.encode())
            assert live(desk, 0.5, WAYS["empty"]) == set()
        assert call.state is CallState.RECOVERING
        desk.receive({"data": [image()]})
        assert desk.ended[call] is None

    def test_empty_response_is_followed_by_a_details_lookup(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="getResponse", completion=Completion.ANSWER, repeatable=True)
        desk.take_written()
        desk.receive({"data": []})
        assert desk.take_written() == [[{"taskType": "getTaskDetails", "taskUUID": A}]]
        desk.receive({"data": []})
        assert desk.take_written() == []  # once is enough
        desk.receive({"data": [{"taskType": "getTaskDetails", "taskUUID": A, "request": [{}]}]})
        assert desk.ended[call] is None
        assert call.items == []

    @pytest.mark.parametrize("errors", [False, True])
    def test_details_replace_an_empty_response(self, errors: bool) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="getResponse", completion=Completion.ANSWER, repeatable=True)
        desk.receive({"data": []})
        response = {"errors": failure("inferenceError")["errors"]} if errors else {"data": [image()]}
        desk.receive({"data": [{"taskType": "getTaskDetails", "taskUUID": A, "response": response}]})
        assert isinstance(desk.ended[call], ProviderError) if errors else call.items == [image()]

    def test_unanswered_lookup_reports_what_arrived(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="getResponse", completion=Completion.ANSWER, repeatable=True, timeout=20.0)
        desk.receive({"data": []})
        for _ in range(20):
            desk.pass_time(1.0)
            desk.session.bytes_received(desk.now)
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert "answered with nothing" in error.message
        assert not error.may_have_run

    def test_unknown_task_is_not_found_at_a_server_that_answers_with_nothing(
        self, interface: Interface, server: LocalServer, rw: Runware
    ) -> None:
        server.switch(q6="empty")
        with pytest.raises(NotFoundError):
            interface(rw, "get_response", task_uuid=str(uuid.uuid4()))


class TestDamagedMessages:
    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda text: text.replace(b"HERE", b"caf\xc3"), id="torn UTF-8"),
            pytest.param(lambda text: text.replace(b"HERE", b"tab\there\x00"), id="control characters"),
            pytest.param(lambda text: text.replace(b'"seed": 7', b'"seed": ' + b"7" * 5000), id="endless number"),
            pytest.param(lambda text: b"\xef\xbb\xbf" + text, id="byte order mark"),
        ],
    )
    def test_result_of_a_damaged_message_is_read(self, damage: Any) -> None:
        desk = ready_desk()
        call = desk.submit()
        message = json.dumps({"data": [image(positivePrompt="HERE", seed=7)]}).encode()
        desk.receive(damage(message))
        assert desk.ended[call] is None
        assert call.items[0]["imageURL"] == image()["imageURL"]

    def test_task_named_in_an_unreadable_message_is_looked_up(self) -> None:
        desk = ready_desk()
        calls = [desk.submit(uuid) for uuid in (A, B)]
        desk.take_written()
        desk.receive(json.dumps({"data": [image()]}).encode()[:-2])
        assert desk.take_written() == [[{"taskType": "getResponse", "taskUUID": A}]]
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[calls[0]] is None
        assert calls[1].state is CallState.SENT


class TestDeadlines:
    def test_unrequested_acknowledgement_extends_the_deadline_to_long_timeout(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="textInference", timeout=60.0, long_timeout=1200.0)
        desk.receive(ack(kind="textInference"))
        running = {"taskType": "textInference", "taskUUID": A, "status": "processing"}
        live(desk, 1100.0, {"getResponse": {"data": [running]}})
        assert call not in desk.ended
        live(desk, 100.1, {"getResponse": {"data": [running]}})
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert "1200 s" in error.message
        assert error.ref == {"task_uuid": A, "task_type": "textInference"}

    def test_processing_status_extends_the_deadline_to_long_timeout(self) -> None:
        desk = ready_desk()
        call = desk.submit(task_type="videoInference", timeout=60.0, long_timeout=1200.0)
        desk.receive({"data": [PROCESSING]})
        assert call.deadline == pytest.approx(desk.now + 1200.0)

    def test_partial_results_do_not_extend_the_deadline(self) -> None:
        desk = ready_desk()
        call = desk.submit(expected=2, timeout=60.0, long_timeout=1200.0)
        desk.receive({"data": [image()]})
        assert call.deadline == pytest.approx(desk.now + 60.0)

    def test_extended_deadline_wakes_the_loop_once_at_the_old_one(self) -> None:
        desk = ready_desk()
        calls = [desk.submit(uuid, timeout=60.0, long_timeout=1200.0) for uuid in (A, B)]
        desk.receive({"data": [{"taskType": "imageInference", "taskUUID": A, "status": "processing"}]})
        live(desk, 60.1, {"getResponse": {"data": [{**PROCESSING, "taskType": "imageInference"}]}})
        assert calls[0] not in desk.ended
        assert isinstance(desk.ended[calls[1]], TaskTimeoutError)

    def test_unrequested_asynchronous_delivery_is_polled(self, interface: Interface) -> None:
        with LocalServer(api_key="rw-test-key", delay=1.2) as server:
            server.switch(unasked_async=True)
            with Runware(server.api_key, url=server.url, timeout=0.8, long_timeout=20.0) as rw:
                assert len(interface(rw, "image_inference", **PICTURE)) == 1
            assert server.ledger.errors == []

    @pytest.mark.parametrize("operation", ["upscale", "remove_background", "caption"])
    def test_operations_on_a_video_are_delivered_asynchronously(self, interface: Interface, operation: str) -> None:
        with LocalServer(api_key="rw-test-key", delay=1.2) as server:
            with Runware(server.api_key, url=server.url, timeout=0.8, long_timeout=20.0) as rw:
                (clip,) = rw.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)
                result = interface(rw, operation, inputs={"video": clip})
                assert isinstance(result, Text if operation == "caption" else Video)
                with pytest.raises(ValidationError) as caught:
                    interface(rw, operation, inputs={"video": clip}, delivery_method="sync")
            assert caught.value.code == "invalidDeliveryMethod"

    def test_larger_timeout_lengthens_long_tasks_too(self, server: LocalServer) -> None:
        with Runware(server.api_key, url=server.url, timeout=5000.0, long_timeout=600.0) as rw:
            with server.hold("videoInference"):
                job = rw.submit.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)
                server.ledger.wait_for(lambda ledger: ledger.executions(job.task_uuid))
                assert job._call.long_timeout == job._call.timeout == 5000.0
            assert job.result(20)


class TestManyRateLimitedCalls:
    def test_requeued_calls_keep_their_order(self) -> None:
        desk = ready_desk(max_in_flight=1)
        uuids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(6)]
        calls = [desk.submit(uuid, retry=1, timeout=600.0) for uuid in uuids]
        desk.receive(failure("rateLimitExceeded", calls[0].uuid))
        desk.take_written()
        desk.pass_time(0.2)  # the first is queued again, before all others
        desk.receive({"data": [image(calls[1].uuid)]})
        assert [frame[0]["taskUUID"] for frame in desk.take_written()] == [calls[0].uuid]

    def test_work_per_call_does_not_grow_with_the_number_of_calls(self) -> None:
        def steps(count: int) -> int:
            """Count comparisons of calls and of positions in the queue, which are all that could grow."""
            desk = ready_desk()
            compared = 0

            class Turn(int):
                def __lt__(self, other: Any) -> bool:
                    nonlocal compared
                    compared += 1
                    return int(self) < int(other)

            calls = [
                desk.submit(f"00000000-0000-4000-8000-{number:012d}", retry=1, timeout=600.0) for number in range(count)
            ]
            for call in calls:
                call.sequence = Turn(call.sequence)
            desk.take_written()
            errors = [failure("rateLimitExceeded", call.uuid)["errors"][0] for call in calls]
            desk.receive({"errors": errors})
            desk.pass_time(1.0)
            return compared

        few, many = steps(500), steps(4000)
        assert many < few * 8 * 2  # n log n; n² would be 64 times as many

    def test_call_with_a_short_deadline_ends_in_time(self, server: LocalServer) -> None:
        desk = ready_desk()
        for number in range(2000):
            desk.submit(f"00000000-0000-4000-8000-{number:012d}", retry=5, timeout=600.0)
        short = desk.submit(A, retry=5, timeout=1.0)
        for _ in range(20):
            errors = [failure("rateLimitExceeded", task["taskUUID"])["errors"][0] for (task,) in desk.take_written()]
            desk.receive({"errors": errors})
            desk.pass_time(0.1)
        assert short in desk.ended


def test_server_error_with_an_unknown_code_ends_a_single_task_at_once() -> None:
    desk = ready_desk()
    call = desk.submit(task_type="videoInference", timeout=600.0)
    desk.receive(ack())
    desk.pass_time(0.2)
    desk.receive(failure("gpuOutOfMemory"))
    error = desk.ended[call]
    assert isinstance(error, ServerError)
    assert not error.may_have_run


def test_refused_task_with_several_results_ends_after_both_lookups_deny_it() -> None:
    desk = ready_desk()
    call: Call = desk.submit(expected=4, timeout=60.0)
    start = desk.now
    desk.receive(failure("invalidWidth", parameter="width"))
    while call not in desk.ended:
        live(desk, 0.05, DENIALS)
    assert isinstance(desk.ended[call], ValidationError)
    assert desk.now - start < SETTLE + 0.2
