"""The parts of a session, each on its own: states, registry, queue, timers, output."""

from __future__ import annotations

import ast
import pathlib
import random
from typing import Any

import pytest

import runware
from runware.errors import ConnectionFailedError
from runware.events import Resolved
from runware.protocol.call import Call, CallState, Completion
from runware.protocol.call_queue import CallQueue
from runware.protocol.connection import FOLLOWING, Connection
from runware.protocol.effects import FOREVER, Ended, Happened, Open, Send, SessionConfig, State
from runware.protocol.output import Output
from runware.protocol.registry import CallRegistry
from runware.protocol.timers import BATCH, Timers

from .support import A, B, C


def make_call(uuid: str = A, **facts: Any) -> Call:
    call = Call(uuid=uuid, text=b"[{}]", task_type="imageInference", timeout=60.0, **facts)
    call.deadline = call.scheduled_deadline = 160.0
    return call


# ---------------------------------------------------------------------- states


def way_to(state: CallState) -> list[CallState]:
    return {
        CallState.QUEUED: [],
        CallState.SENT: [CallState.SENT],
        CallState.ACCEPTED: [CallState.SENT, CallState.ACCEPTED],
        CallState.RECOVERING: [CallState.SENT, CallState.RECOVERING],
        CallState.RETRYING: [CallState.SENT, CallState.RETRYING],
        CallState.UNRECORDED: [CallState.UNRECORDED],
        CallState.DONE: [CallState.DONE],
    }[state]


@pytest.mark.parametrize("before", CallState)
@pytest.mark.parametrize("after", CallState)
def test_call_only_enters_a_state_that_may_follow(before: CallState, after: CallState) -> None:
    call = make_call()
    for state in way_to(before):
        call.enter(state)
    if after in before.following:
        call.enter(after)
        assert call.state is after
    else:
        with pytest.raises(RuntimeError, match=f"from {before.value} to {after.value}"):
            call.enter(after)
        assert call.state is before


def test_every_call_can_end_and_none_twice() -> None:
    assert all(CallState.DONE in state.following for state in CallState if state is not CallState.DONE)
    assert CallState.DONE.following == ()


def make_connection(**config: Any) -> tuple[Connection, Output]:
    output = Output(watched=False)
    return Connection(SessionConfig(**config), output, random.Random(1)), output


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_connection_only_enters_a_state_that_may_follow(before: State, after: State) -> None:
    connection, _ = make_connection()
    connection.state = before
    if after in FOLLOWING[before]:
        connection.enter(after, 5.0)
        assert (connection.state, connection.since, connection.until) == (after, 5.0, FOREVER)
    else:
        with pytest.raises(RuntimeError, match=f"from {before.value} to {after.value}"):
            connection.enter(after, 5.0)
        assert connection.state is before


def test_every_open_connection_can_be_closed_for_good() -> None:
    assert all(State.CLOSED in following for state, following in FOLLOWING.items() if state is not State.CLOSED)
    assert FOLLOWING[State.CLOSED] == ()


def test_states_are_assigned_in_one_function_only() -> None:
    for path in (pathlib.Path(runware.__file__).parent / "protocol").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name not in ("__init__", "enter"):
                for node in ast.walk(function):
                    targets = node.targets if isinstance(node, ast.Assign) else []
                    names = [target.attr for target in targets if isinstance(target, ast.Attribute)]
                    assert "state" not in names, f"{path.name}: {function.name}"


# ---------------------------------------------------------------------- connection


def test_dialling_numbers_connections_and_has_a_time_limit() -> None:
    connection, output = make_connection(connect_timeout=7.0)
    connection.dial(100.0)
    assert output.effects.popleft() == Open(1)
    assert (connection.state, connection.until, connection.stage) == (State.CONNECTING, 107.0, "name lookup")
    connection.opened(103.0)
    assert (connection.since, connection.until) == (100.0, 107.0)  # dialling and authentication share the limit
    connection.ready(104.0)
    assert (connection.since, connection.until) == (104.0, FOREVER)


def test_attempts_are_hopeless_only_if_no_connection_was_ever_made() -> None:
    error = ConnectionFailedError("refused", stage="TCP")
    connection, _ = make_connection(dial_attempts=2)
    assert [connection.failed(error), connection.failed(error)] == [False, True]
    assert connection.last_failure is error
    connection, _ = make_connection(dial_attempts=2)
    connection.dial(0.0)
    connection.opened(0.0)
    connection.ready(0.0)
    assert not any([connection.failed(error), connection.failed(error), connection.failed(error)])


def test_connection_backs_off_only_while_calls_want_it() -> None:
    connection, _ = make_connection()
    connection.dial(0.0)
    connection.failed(ConnectionFailedError("refused", stage="TCP"))
    connection.back_off(1.0, wanted=True)
    assert connection.state is State.BACKING_OFF
    assert 1.0 <= connection.until <= 1.1
    connection.dial(2.0)
    connection.back_off(3.0, wanted=False)
    assert connection.state is State.IDLE


# ---------------------------------------------------------------------- registry


def test_registry_finds_the_call_an_item_names_and_lookups_of_it() -> None:
    registry = CallRegistry()
    call = make_call(A)
    results = Call(uuid=A, text=b"", task_type="getResponse", timeout=1.0, completion=Completion.ANSWER)
    details = Call(uuid=A, text=b"", task_type="getTaskDetails", timeout=1.0, completion=Completion.ANSWER)
    results.key, details.key = "1", "2"
    for one in (call, results, details):
        registry.add(one)
    assert registry.matching({"taskType": "imageInference", "taskUUID": A}) == [call, results]
    assert registry.matching({"taskType": "getTaskDetails", "taskUUID": A}) == [call, details]
    results.polling.empty_answer = True
    assert registry.matching({"taskType": "getTaskDetails", "taskUUID": A}) == [call, results, details]
    assert registry.matching({"taskUUID": B}) == registry.matching({"taskUUID": 5}) == registry.matching({}) == []
    assert registry.named([A, A, B]) == [call, results]
    for one in (results, details, call):
        registry.remove(one)
    assert (registry.calls, registry.lookups) == ({}, {})


def test_registry_removes_no_other_call_of_the_same_key() -> None:
    registry = CallRegistry()
    call = make_call(A)
    registry.add(call)
    registry.remove(make_call(A))
    assert registry.calls == {A: call}
    registry.rename(call, B)
    assert (registry.calls, call.uuid, call.key) == ({B: call}, B, B)


# ---------------------------------------------------------------------- queue


def queue_of(*calls: Call, limit: int | None = None) -> CallQueue:
    queue = CallQueue(limit)
    for number, call in enumerate(calls):
        call.sequence = number
        queue.new.append(call)
    return queue


def test_returned_calls_go_before_those_submitted_later() -> None:
    calls = [make_call(uuid) for uuid in (A, B, C)]
    queue = queue_of(*calls)
    assert queue.pop(100.0) is calls[0]
    assert queue.pop(100.0) is calls[1]
    queue.put_back(calls[1])
    queue.put_back(calls[0])
    assert len(queue) == 3
    assert [queue.pop(100.0) for _ in range(4)] == [*calls, None]


def test_queue_skips_ended_and_expired_calls() -> None:
    ended, expired, waiting = calls = [make_call(uuid) for uuid in (A, B, C)]
    queue = queue_of(*calls)
    ended.enter(CallState.DONE)
    expired.deadline = 100.0
    assert queue.pop(100.0) is waiting
    queue = queue_of(*calls)
    queue.put_back(ended)
    queue.drop_ended()
    assert list(queue.new) == [expired, waiting]
    assert not queue.returned


def test_queue_gives_no_call_without_a_slot() -> None:
    first, second = make_call(A), make_call(B)
    queue = queue_of(first, second, limit=1)
    assert queue.has_next
    assert queue.pop(100.0) is first
    queue.in_flight += 1
    first.enter(CallState.SENT)
    assert not queue.has_next
    assert queue.pop(100.0) is None
    queue.release_slot(second)  # which holds none
    assert queue.in_flight == 1
    queue.release_slot(first)
    assert queue.pop(100.0) is second


def test_rate_limit_halves_the_window_once_a_second_and_successes_lift_it() -> None:
    queue = CallQueue(100)
    queue.in_flight = 8
    queue.slow_down(10.0)
    queue.slow_down(10.9)
    assert queue.window == 4.0
    queue.in_flight = 4
    queue.slow_down(11.0)
    assert queue.window == 2.0
    for _ in range(100):
        queue.speed_up()
    assert queue.window is None
    queue.speed_up()
    assert queue.window is None


# ---------------------------------------------------------------------- timers


def test_timers_tell_the_first_of_deadlines_steps_and_polls() -> None:
    timers = Timers()
    assert timers.first() == FOREVER
    one, other = make_call(A), make_call(B)
    timers.add_deadline(one)
    timers.add_deadline(other)
    assert timers.first() == 160.0
    timers.set(one, 120.0)
    timers.set_poll_limit(other, 110.0)
    assert timers.first() == 110.0
    timers.cancel(other)
    assert timers.first() == 120.0
    assert timers.due(119.0) == []
    assert timers.due(120.0) == [one]
    assert (one.timer, timers.first()) == (0.0, 160.0)


def test_setting_a_timer_replaces_the_one_before() -> None:
    timers, call = Timers(), make_call()
    timers.set(call, 110.0)
    timers.set(call, 120.0)
    assert timers.due(115.0) == []
    assert timers.due(120.0) == [call]
    timers.set(call, 130.0)
    call.enter(CallState.DONE)
    timers.call_ended(call)
    assert timers.due(140.0) == []
    assert timers.first() == FOREVER


def test_calls_expire_in_order_and_not_before_a_deadline_that_moved() -> None:
    timers, calls = Timers(), [make_call(uuid) for uuid in (A, B, C)]
    for number, call in enumerate(calls):
        call.sequence = number
        timers.add_deadline(call)
    calls[1].deadline = 200.0

    def expire(now: float) -> list[Call]:
        expired = []
        for call in timers.expired(now):
            expired.append(call)
            call.enter(CallState.DONE)
            timers.call_ended(call)
        return expired

    assert expire(159.0) == []
    assert expire(160.0) == [calls[0], calls[2]]
    assert timers.first() == 200.0
    assert expire(200.0) == [calls[1]]
    assert len(timers) == 0


def test_due_timers_come_in_batches() -> None:
    timers, calls = Timers(), [make_call(f"{number}") for number in range(BATCH + 5)]
    for call in calls:
        timers.set(call, 110.0)
    assert timers.due(110.0) == calls[:BATCH]
    assert timers.due(110.0) == calls[BATCH:]


def test_stale_timers_are_swept_out() -> None:
    timers, call = Timers(), make_call()
    for number in range(10_000):
        timers.set(call, 110.0 + number)
    assert len(timers) < 2_100
    assert timers.first() == 110.0 + 9_999


def test_oldest_poll_is_the_first_that_is_outstanding() -> None:
    timers, calls = Timers(), [make_call(uuid) for uuid in (A, B, C)]
    for number, call in enumerate(calls):
        call.enter(CallState.SENT)
        call.enter(CallState.ACCEPTED)
        timers.set_poll_limit(call, 110.0 + number)
        call.polling.outstanding = number > 0
    assert timers.oldest_poll() is calls[1]
    timers.cancel(calls[1])
    assert timers.oldest_poll() is calls[2]


# ---------------------------------------------------------------------- output, and the parts of a call


def test_output_counts_and_reports_the_end_of_a_call() -> None:
    output = Output(watched=True)
    call, cancelled = make_call(A), make_call(B)
    output.call_ended(call, 100.0)
    output.call_ended(cancelled, 100.0, status="cancelled")
    assert (output.counts["succeeded"], output.counts["cancelled"]) == (1, 1)
    ended, resolved, last = output.effects
    assert ended == Ended(call)
    assert isinstance(resolved, Happened)
    assert resolved.kind is Resolved
    assert isinstance(last, Happened)
    assert last.facts["status"] == "cancelled"


def test_sends_that_were_not_performed_are_taken_back() -> None:
    output = Output(watched=False)
    call = make_call()
    output.effects.extend((Open(1), Send(call.text, call), Send(b"ping"), Ended(call)))
    assert output.take_back_sends() == [call]
    assert list(output.effects) == [Open(1), Ended(call)]


def test_plain_call_has_no_polling_state() -> None:
    call = make_call()
    assert not call.poll_outstanding
    assert call._polling is None
    call.enter(CallState.SENT)
    assert call.add_pushed([{"taskType": "imageInference", "taskUUID": A, "imageUUID": B}], 1)
    assert call._polling is None


def test_new_attempt_forgets_the_polls_of_the_one_before() -> None:
    call = make_call()
    call.polling.outstanding = call.polling.confirmed = call.polling.empty_answer = True
    assert call.polling.failed(100.0) == 0.0
    assert call.polling.failed(103.0) == 3.0
    call.begin_attempt()
    polling = call.polling
    assert not any((polling.outstanding, polling.confirmed, polling.failed_polls, polling.failing_since))
    assert polling.empty_answer  # of a lookup, which stays the same
