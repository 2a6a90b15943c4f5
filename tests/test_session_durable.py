"""Durable calls in the session, with a made-up clock: nothing is sent before the store has it."""

from __future__ import annotations

from typing import Any

import pytest

from runware.errors import (
    BudgetExceededError,
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    RunwareError,
    ServerError,
    StoreError,
    TaskTimeoutError,
)
from runware.protocol.call import Call, CallState, Completion, Durable
from runware.protocol.effects import State, Step
from runware.protocol.ids import derived_uuid, task_uuid_for

from .support import A, B, C, Desk, ack, failure, image
from .test_http_session import HttpDesk

UNKNOWN = "taskNotFound"


def ready_desk(**config: Any) -> Desk:
    desk = Desk(**config)
    desk.connect()
    desk.ready()
    desk.take_written()
    return desk


@pytest.fixture
def desk() -> Desk:
    return ready_desk()


def durable(*, stable: bool = False) -> Durable:
    return Durable(object(), stable=stable)


def sent(desk: Desk) -> list[tuple[str, str]]:
    """Return the type and the UUID of each task that was written; pings and keys have none."""
    tasks = [task for frame in desk.take_written() for task in frame]
    return [(task["taskType"], task["taskUUID"]) for task in tasks if "taskUUID" in task]


def deny(desk: Desk, uuid: str = A) -> None:
    """Answer the outstanding question with the word that the server does not know the task."""
    ((task,),) = desk.take_written()
    desk.receive(failure(UNKNOWN, uuid, taskType=task["taskType"]))


class TestWaitingForTheStore:
    def test_task_is_sent_only_after_the_store_has_it(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        assert call.state is CallState.UNRECORDED
        assert sent(desk) == []
        desk.record()
        assert sent(desk) == [("imageInference", A)]
        desk.receive({"data": [image()]})
        assert desk.ended == {**desk.ended, call: None}
        assert desk.steps(call) == [Step.SENT]

    def test_each_call_is_sent_as_soon_as_the_store_has_it(self, desk: Desk) -> None:
        for uuid in (A, B, C):
            desk.submit(uuid, durable=durable())
        for record in reversed(desk.to_record()):
            desk.session.task_recorded(record.call, record.uuid, desk.now)
        desk.perform()
        assert [uuid for _, uuid in sent(desk)] == [C, B, A]

    def test_calls_recorded_before_the_connection_is_ready_keep_their_order(self) -> None:
        desk = Desk()
        for uuid in (A, B, C):
            desk.submit(uuid, durable=durable())
        assert desk.opened == [1]  # while the store writes
        for record in reversed(desk.to_record()):
            desk.session.task_recorded(record.call, record.uuid, desk.now)
        desk.ready()
        assert [frame[0]["taskUUID"] for frame in desk.take_written()[1:]] == [A, B, C]

    def test_other_calls_do_not_wait_behind_an_unrecorded_one(self, desk: Desk) -> None:
        desk.submit(A, durable=durable())
        desk.submit(B)
        assert sent(desk) == [("imageInference", B)]

    def test_deadline_before_the_record_says_that_nothing_was_sent(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), timeout=5.0)
        desk.pass_time(5.0)
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert "store" in str(error)
        assert "not sent" in str(error)
        assert (error.may_have_run, error.retryable) == (False, True)
        desk.record()  # too late
        assert sent(desk) == []

    def test_late_record_of_a_cancelled_call_sends_nothing(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.cancel(call)
        assert desk.steps(call) == [Step.TASK, Step.CANCELLED]
        desk.record()
        assert sent(desk) == []
        assert desk.session.calls == {}

    def test_closing_ends_an_unrecorded_call_as_not_sent(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.close()
        error = desk.ended[call]
        assert isinstance(error, ClientClosedError)
        assert not error.may_have_run
        desk.record()
        assert sent(desk) == []

    def test_connection_lost_meanwhile_changes_nothing(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.lose()
        assert call.state is CallState.UNRECORDED
        desk.record()
        desk.ready()
        assert sent(desk) == [("imageInference", A)]

    def test_record_wakes_a_connection_that_is_idle(self) -> None:
        desk = ready_desk(reconnect=False)
        call = desk.submit(durable=durable())
        desk.lose()
        assert call in desk.ended
        other = desk.submit(B, durable=durable())
        desk.record()
        desk.ready()
        desk.take_written()
        desk.receive({"data": [image(B)]})
        assert desk.ended[other] is None

    def test_hopeless_connection_ends_an_unrecorded_call_as_not_sent(self) -> None:
        desk = Desk()
        call = desk.submit(durable=durable())
        desk.fail_dial(ConnectionFailedError("untrusted", stage="TLS"), permanent=True)
        assert isinstance(desk.ended[call], ConnectionFailedError)
        desk.record()
        assert desk.outbox == []

    def test_refused_record_ends_the_call(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.refuse_record(call, BudgetExceededError("too much", limit=1.0))
        assert isinstance(desk.ended[call], BudgetExceededError)
        assert sent(desk) == []
        assert desk.session.calls == {}

    def test_refused_record_of_an_earlier_attempt_is_ignored(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.record()
        desk.session.recording_failed(call, A, StoreError("late"), desk.now)
        desk.session.recording_failed(call, B, StoreError("another"), desk.now)
        desk.perform()
        assert call not in desk.ended

    def test_unrecorded_calls_count_as_queued(self) -> None:
        desk = ready_desk(max_queued=2)
        for uuid in (A, B):
            desk.submit(uuid, durable=durable())
        third = desk.submit(C, durable=durable())
        error = desk.ended[third]
        assert isinstance(error, RunwareError)
        assert "max_queued" in str(error)
        desk.record()
        assert [uuid for _, uuid in sent(desk)] == [A, B]
        fourth = desk.submit(C, durable=durable())
        assert fourth not in desk.ended

    def test_limit_in_flight_holds_for_recorded_calls(self) -> None:
        desk = ready_desk(max_in_flight=1)
        for uuid in (A, B):
            desk.submit(uuid, durable=durable())
        desk.record()
        assert [uuid for _, uuid in sent(desk)] == [A]
        desk.receive({"data": [image(A)]})
        assert [uuid for _, uuid in sent(desk)] == [B]

    def test_stray_error_about_an_unrecorded_task_is_not_its_own(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), retry=2)
        desk.receive(failure("inferenceError"))
        desk.receive(failure("conflictTaskUUID"))
        assert call.state is CallState.UNRECORDED
        assert call not in desk.ended

    def test_result_of_an_unrecorded_task_is_taken(self) -> None:
        desk = ready_desk(max_queued=1)
        call = desk.submit(durable=durable(), expected=2)
        desk.receive({"data": [image(A, 1)]})  # another client has bought it, and the session is resumed
        assert call.state is CallState.ACCEPTED
        assert desk.submit(B) not in desk.ended  # it does not count as queued any more
        desk.record()
        desk.receive({"data": [image(A, 2)]})
        assert desk.ended[call] is None
        assert [kind for kind, _ in sent(desk)] == ["imageInference"]  # only B


class TestRetries:
    def test_next_attempt_waits_for_its_record(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), retry=2)
        desk.record()
        sent(desk)
        desk.receive(failure("inferenceError"))
        assert call.state is CallState.RETRYING
        ((_, step, uuid),) = desk.to_record()
        assert (step, uuid) == (Step.TASK, call.uuid)
        assert uuid != A
        desk.pass_time(10.0)
        assert call.state is CallState.UNRECORDED
        assert sent(desk) == []
        desk.session.task_recorded(call, A, desk.now)  # late, of the first attempt
        desk.perform()
        assert sent(desk) == []
        desk.session.task_recorded(call, uuid, desk.now)
        desk.perform()
        assert sent(desk) == [("imageInference", uuid)]

    def test_record_that_comes_during_the_pause_does_not_shorten_it(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), retry=2)
        desk.record()
        sent(desk)
        desk.receive(failure("inferenceError"))
        desk.record()
        assert sent(desk) == []
        desk.pass_time(10.0)
        assert sent(desk) == [("imageInference", call.uuid)]

    def test_attempt_that_cannot_be_recorded_is_not_sent(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), retry=2, expected=2, body={"numberResults": 2})
        desk.record()
        sent(desk)
        desk.receive({"data": [image()]})
        desk.receive(failure("inferenceError"))
        assert call.state is CallState.RETRYING
        desk.refuse_record(call, StoreError("full"))
        assert isinstance(desk.ended[call], StoreError)
        assert call.items == [image()]
        desk.pass_time(10.0)
        assert sent(desk) == []

    def test_deadline_while_the_next_attempt_is_unrecorded(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), retry=2, timeout=20.0)
        desk.record()
        sent(desk)
        desk.receive(failure("inferenceError"))
        desk.pass_time(30.0)
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert not error.may_have_run
        assert sent(desk) == []

    def test_stable_uuid_is_followed_by_derived_ones(self, desk: Desk) -> None:
        first = task_uuid_for("order-17/cover")
        call = desk.submit(first, durable=durable(stable=True), retry=2)
        desk.record()
        desk.receive(failure("inferenceError", first))
        assert call.uuid == derived_uuid(first)


class TestKnownTasks:
    def test_task_that_another_client_follows_is_waited_for(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), timeout=5.0, long_timeout=100.0)
        desk.meet(call, elsewhere=True)
        desk.pass_time(50.0)
        assert sent(desk) == []
        desk.settle(call, [image()])
        assert desk.ended[call] is None
        assert call.items == [image()]

    def test_deadline_says_that_another_client_may_still_be_billed(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), timeout=5.0, long_timeout=100.0)
        desk.meet(call, elsewhere=True)
        desk.pass_time(100.0)
        error = desk.ended[call]
        assert isinstance(error, TaskTimeoutError)
        assert error.may_have_run
        assert "another client" in str(error)
        assert "not sent" not in str(error)

    def test_closing_says_that_another_client_has_sent_it(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.meet(call, elsewhere=True)
        desk.close()
        error = desk.ended[call]
        assert error is not None
        assert error.may_have_run

    def test_left_task_is_asked_for_before_it_is_sent(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.meet(call, elsewhere=False)
        assert sent(desk) == [("getResponse", A)]
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None

    def test_left_task_that_the_server_does_not_know_is_sent_with_its_uuid(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.meet(call, elsewhere=False)
        deny(desk)
        deny(desk)
        assert sent(desk) == [("imageInference", A)]
        desk.receive(failure("conflictTaskUUID"))  # its first message had been on its way
        assert call.state is CallState.RECOVERING
        assert sent(desk) == [("getResponse", A)]

    def test_left_task_is_asked_for_once_the_owner_is_gone(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.meet(call, elsewhere=True)
        desk.meet(call, elsewhere=False)
        assert sent(desk) == [("getResponse", A)]

    def test_later_attempt_is_asked_for_by_its_own_uuid(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.meet(call, B, elsewhere=False)
        assert sent(desk) == [("getResponse", B)]
        desk.receive(failure(UNKNOWN, B, taskType="getResponse"))
        deny(desk, B)
        assert sent(desk) == [("imageInference", B)]
        desk.receive({"data": [image(B)]})
        assert desk.ended[call] is None

    def test_results_of_earlier_attempts_are_not_bought_again(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), expected=3, body={"numberResults": 3})
        desk.meet(call, B, [image(A, 1)], elsewhere=False)
        desk.receive(failure(UNKNOWN, B, taskType="getResponse"))
        desk.receive(failure(UNKNOWN, B, taskType="getTaskDetails"))
        task = desk.take_written()[-1][0]
        assert (task["taskUUID"], task["numberResults"]) == (B, 2)
        desk.receive({"data": [image(B, 2)]})
        desk.receive({"data": [image(B, 3)]})
        assert desk.ended[call] is None
        assert call.items == [image(A, 1), image(B, 2), image(B, 3)]

    def test_late_word_about_a_known_task_is_ignored(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.record()
        assert sent(desk) == [("imageInference", A)]
        desk.meet(call, elsewhere=False)
        assert sent(desk) == []
        assert call.state is CallState.SENT

    def test_connection_lost_while_another_client_works(self, desk: Desk) -> None:
        call = desk.submit(durable=durable(), timeout=300.0)
        desk.meet(call, elsewhere=True)
        desk.lose()
        desk.ready()
        desk.take_written()
        desk.settle(call, [image()])
        assert desk.ended[call] is None


class TestSettledTasks:
    @pytest.mark.parametrize("state", ["unrecorded", "queued", "sent", "accepted", "recovering", "retrying"])
    def test_outcome_of_the_store_ends_a_call_in_every_state(self, state: str) -> None:
        desk = ready_desk(max_in_flight=1)
        if state == "queued":
            desk.submit(C)
        call = desk.submit(durable=durable(), retry=2)
        if state != "unrecorded":
            desk.record()
        if state == "accepted":
            desk.receive(ack(A, "imageInference"))
        elif state == "recovering":
            desk.lose()
        elif state == "retrying":
            desk.receive(failure("inferenceError"))
        assert call.state.value == state
        desk.settle(call, [image()])
        assert desk.ended[call] is None
        assert call.items == [image()]
        desk.settle(call, [])  # once more
        if state == "recovering":
            desk.ready()
        desk.pass_time(100.0)
        assert (A in desk.session.calls, call.uuid in desk.session.calls) == (False, False)

    def test_stored_failure_is_the_calls_failure(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        error = ServerError("It failed.", code="inferenceError")
        desk.settle(call, [], error)
        assert desk.ended[call] is error


class TestStableUuids:
    def test_conflict_on_the_first_message_is_followed(self, desk: Desk) -> None:
        call = desk.submit(durable=Durable(stable=True))
        assert sent(desk) == [("imageInference", A)]
        desk.receive(failure("conflictTaskUUID"))
        assert sent(desk) == [("getResponse", A)]
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None

    def test_conflict_of_a_plain_uuid_is_an_error(self, desk: Desk) -> None:
        call = desk.submit(durable=durable())
        desk.record()
        desk.receive(failure("conflictTaskUUID"))
        assert isinstance(desk.ended[call], ConflictError)


class TestSameTask:
    """Calls of one client for one task, whose UUID is stable, without a store."""

    def submit(self, desk: Desk, **facts: Any) -> Call:
        return desk.submit(durable=Durable(stable=True), **facts)

    def test_further_calls_wait_for_the_first_and_ask_for_its_results(self, desk: Desk) -> None:
        calls = [self.submit(desk) for _ in range(3)]
        assert sent(desk) == [("imageInference", A)]
        desk.receive({"data": [image()]})
        assert [call in desk.ended for call in calls] == [True, False, False]
        for call in calls[1:]:
            assert sent(desk) == [("imageInference", A)]
            desk.receive(failure("conflictTaskUUID"))
            assert sent(desk) == [("getResponse", A)]
            desk.receive({"data": [image(status="success")]})
            assert desk.ended[call] is None
        assert sent(desk) == []

    def test_next_call_sends_the_task_if_the_first_was_cancelled_unsent(self) -> None:
        desk = ready_desk(max_in_flight=1)
        desk.submit(B)
        first, second = self.submit(desk), self.submit(desk)
        desk.cancel(first)
        desk.take_written()
        desk.receive({"data": [image(B)]})
        assert sent(desk) == [("imageInference", A)]
        desk.receive({"data": [image()]})
        assert desk.ended[second] is None

    def test_call_that_waits_for_another_ends_by_its_deadline_and_may_be_billed(self, desk: Desk) -> None:
        self.submit(desk, timeout=100.0)
        second = self.submit(desk, timeout=5.0, long_timeout=10.0)
        desk.pass_time(9.0)
        assert second not in desk.ended
        desk.pass_time(1.0)
        error = desk.ended[second]
        assert isinstance(error, TaskTimeoutError)
        assert error.may_have_run

    @pytest.mark.parametrize("was_sent", [False, True])
    def test_deadline_after_the_first_was_cancelled_tells_whether_it_had_sent_the_task(self, was_sent: bool) -> None:
        desk = ready_desk(max_in_flight=1)
        if not was_sent:
            desk.submit(B, timeout=100.0)
        first, second = self.submit(desk), self.submit(desk, timeout=5.0)
        desk.cancel(first)
        if was_sent:
            desk.lose()
        desk.pass_time(5.0)
        assert desk.ended[second] is not None
        assert desk.ended[second].may_have_run is was_sent

    @pytest.mark.parametrize("retrying", [True, False])
    def test_call_waits_for_the_first_also_while_that_makes_another_attempt(self, desk: Desk, retrying: bool) -> None:
        first = self.submit(desk, retry=2)
        desk.receive(failure("inferenceError"))
        if not retrying:
            desk.pass_time(5.0)
        second = self.submit(desk, retry=2)
        desk.pass_time(5.0)
        again = derived_uuid(A)
        assert sent(desk) == [("imageInference", A), ("imageInference", again)]
        desk.receive({"data": [image(again)]})
        assert desk.ended == {**desk.ended, first: None}
        assert sent(desk) == [("imageInference", A)]
        desk.receive(failure("conflictTaskUUID"))
        desk.take_written()
        desk.receive(failure("inferenceError", taskType="imageInference", status="error"))
        desk.pass_time(5.0)
        assert ("imageInference", again) in sent(desk)
        desk.receive(failure("conflictTaskUUID", again))
        desk.receive({"data": [image(again, status="success")]})
        assert desk.ended[second] is None
        assert desk.session.calls == {}

    def test_call_with_a_budget_waits_too_and_is_not_counted_again(self, desk: Desk) -> None:
        first, second, third = [desk.submit(durable=Durable(object(), stable=True), timeout=60.0) for _ in range(3)]
        assert [record.call for record in desk.to_record()] == [first]
        desk.session.task_recorded(first, A, desk.now)
        desk.perform()
        desk.receive({"data": [image()]})
        assert desk.to_record() == []
        assert sent(desk) == [("imageInference", A)] * 2
        desk.cancel(second)
        assert [record.call for record in desk.to_record()] == [third]
        desk.session.task_recorded(third, A, desk.now)
        desk.perform()
        desk.receive(failure("conflictTaskUUID"))
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[third] is None

    def test_lookup_neither_waits_for_the_task_nor_is_waited_for(self, desk: Desk) -> None:
        facts = {"completion": Completion.ANSWER, "task_type": "getResponse", "repeatable": True}
        lookups = [self.submit(desk, **facts)]
        self.submit(desk)
        lookups.append(self.submit(desk, **facts))
        assert sent(desk) == [("getResponse", A), ("imageInference", A), ("getResponse", A)]
        desk.receive({"data": [{"taskType": "imageInference", "taskUUID": A, "status": "processing"}]})
        assert [desk.ended[lookup] for lookup in lookups] == [None, None]

    def test_closing_ends_all_of_them(self, desk: Desk) -> None:
        calls = [self.submit(desk) for _ in range(3)]
        desk.close()
        assert all(isinstance(desk.ended[call], ClientClosedError) for call in calls)


class TestFollowing:
    def test_job_of_a_task_that_this_client_runs_waits_for_the_store(self, desk: Desk) -> None:
        running = desk.submit(durable=durable())
        desk.record()
        sent(desk)
        job = desk.follow()
        desk.meet(job, elsewhere=True)
        desk.receive({"data": [image()]})
        assert desk.ended[running] is None
        assert job not in desk.ended  # the message was for the other one
        desk.settle(job, [image()])
        assert desk.ended[job] is None
        assert sent(desk) == []

    def test_job_that_met_its_task_too_early_asks_the_store_again(self, desk: Desk) -> None:
        job = desk.follow()
        (first,) = desk.to_record()
        running = desk.submit(durable=durable())
        (second,) = desk.to_record()
        desk.session.task_recorded(first.call, first.uuid, desk.now)  # the store knew nothing of it then
        desk.perform()
        (again,) = desk.to_record()
        assert again.call is job
        desk.session.task_recorded(second.call, second.uuid, desk.now)
        desk.perform()
        desk.meet(job, elsewhere=True)
        desk.receive({"data": [image()]})
        desk.settle(job, [image()])
        assert (desk.ended[running], desk.ended[job]) == (None, None)

    @pytest.mark.parametrize("asks_only", [False, True])
    def test_call_waits_once_for_a_job_that_asks_for_its_task(self, desk: Desk, asks_only: bool) -> None:
        job = desk.follow()
        desk.record()
        assert sent(desk) == [("getResponse", A)]
        call = desk.follow() if asks_only else desk.submit(durable=Durable(object(), stable=True, shared=True))
        desk.record()
        assert desk.to_record() == []  # the store would only say the same again
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[job] is None
        desk.record()
        desk.take_written()
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None

    @pytest.mark.parametrize("asks_only", [False, True])
    def test_call_to_which_the_store_gives_a_left_task_goes_ahead_of_one_that_waits_there(
        self, desk: Desk, asks_only: bool
    ) -> None:
        shared = Durable(object(), stable=True, shared=True)
        waiting = desk.submit(durable=shared)
        call = desk.follow() if asks_only else desk.submit(durable=Durable(object(), stable=True, shared=True))
        for one in (waiting, call):
            desk.meet(one, elsewhere=True)
        desk.meet(call, elsewhere=False)  # the client that had it is gone
        assert desk.to_record() == []
        assert sent(desk) == [("getResponse", A)]
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[call] is None
        desk.settle(waiting, [image()])
        assert desk.ended[waiting] is None
        assert desk.session.calls == {}

    def test_cancelled_call_that_waited_for_a_job_of_its_task_is_not_recorded_again(self, desk: Desk) -> None:
        job = desk.follow()
        desk.record()
        call = desk.submit(durable=Durable(object(), stable=True, shared=True))
        desk.record()
        desk.cancel(call)
        desk.cancel(job)
        assert [record.step for record in desk.to_record() if record.call is call] == []

    def test_job_of_a_running_call_that_is_not_durable_fails_at_once(self, desk: Desk) -> None:
        desk.submit(repeatable=True)
        job = desk.follow()
        desk.record()
        assert isinstance(desk.ended[job], ConflictError)

    def test_job_of_a_task_that_the_store_does_not_know_asks_the_server(self, desk: Desk) -> None:
        job = desk.follow()
        desk.record()
        assert sent(desk) == [("getResponse", A)]
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[job] is None

    def test_followed_task_is_never_sent(self, desk: Desk) -> None:
        job = desk.follow()
        desk.meet(job, elsewhere=False)
        kinds = set()
        for _ in range(30):
            for frame in desk.take_written():
                kinds.add(frame[0]["taskType"])
                desk.receive(failure(UNKNOWN, A, taskType=frame[0]["taskType"]))
            desk.pass_time(1.0)
        assert kinds == {"getResponse", "getTaskDetails"}
        assert job in desk.ended

    def test_two_jobs_of_one_task(self, desk: Desk) -> None:
        first, second = desk.follow(), desk.follow()
        desk.meet(first, elsewhere=False)
        desk.meet(second, elsewhere=True)
        desk.receive({"data": [image(status="success")]})
        assert desk.ended[first] is None
        desk.settle(second, [image()])
        assert desk.ended[second] is None

    def test_deadline_before_the_store_answers_makes_no_statement_about_bills(self, desk: Desk) -> None:
        job = desk.follow(timeout=5.0)
        desk.pass_time(5.0)
        error = desk.ended[job]
        assert isinstance(error, TaskTimeoutError)
        assert error.may_have_run
        assert "Nothing was billed" not in str(error)


class TestExchanges:
    def test_request_is_made_only_after_the_store_has_the_task(self) -> None:
        desk = HttpDesk()
        call = desk.submit(durable=durable())
        assert desk.bodies == []
        desk.record()
        assert [body[0]["taskUUID"] for body in desk.bodies] == [A]
        desk.answer({"data": [image()]})
        assert desk.ended == {call: None}

    def test_left_task_is_asked_for_first(self) -> None:
        desk = HttpDesk()
        call = desk.submit(durable=durable())
        desk.meet(call, elsewhere=False)
        assert desk.question() == "getResponse"
        desk.answer({"data": [image(status="success")]})
        assert desk.ended == {call: None}

    def test_left_task_that_is_not_known_is_sent(self) -> None:
        desk = HttpDesk()
        call = desk.submit(durable=durable())
        desk.meet(call, elsewhere=False)
        for kind in ("getResponse", "getTaskDetails"):
            assert desk.question() == kind
            desk.answer(failure(UNKNOWN, A, taskType=kind), 404)
        assert [body[0]["taskType"] for body in desk.bodies] == ["imageInference"]
        desk.answer({"data": [image()]})
        assert desk.ended == {call: None}

    def test_closing_makes_no_request(self) -> None:
        desk = HttpDesk()
        call = desk.submit(durable=durable())
        desk.close()
        desk.record()
        assert desk.bodies == []
        assert isinstance(desk.ended[call], ClientClosedError)
        assert desk.session.state is State.CLOSED


def test_acknowledged_call_tells_the_store_of_its_steps(desk: Desk) -> None:
    kind = Completion.ACKNOWLEDGEMENT
    call: Call = desk.submit(durable=durable(), completion=kind)
    desk.record()
    desk.receive(ack(A, "imageInference"))
    assert desk.ended[call] is None
    assert desk.steps(call) == [Step.SENT]
