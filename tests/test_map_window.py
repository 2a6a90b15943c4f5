"""The window of `map`, without a client: which request is submitted next, and which outcome is yielded next."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from runware import ImageInference, ValidationError
from runware.jobs import Job
from runware.map.window import Entry, Window

TASK = ImageInference(positive_prompt="a kite", model="runware:101@1")


class FakeJob:
    """What the window uses of a job."""

    def __init__(self, outcome: object = None) -> None:
        self.given = outcome
        self.ended_by: list[str] = []

    def exception(self, timeout: float) -> BaseException | None:
        return self.given if isinstance(self.given, BaseException) else None

    def result(self, timeout: float) -> object:
        return self.given

    def cancel(self) -> None:
        self.ended_by.append("cancel")

    def interrupt(self) -> None:
        self.ended_by.append("interrupt")


def window(inputs: Iterable[Any], concurrency: int = 2, *, ordered: bool = True) -> Window[Any]:
    return Window(iter(inputs), concurrency, ordered=ordered)


def endless() -> Iterator[tuple[object, Any]]:
    return ((number, TASK) for number in itertools.count())


def submit(subject: Window[Any]) -> list[Entry[Any]]:
    """Submit requests until the window is full."""
    entries = []
    while (following := subject.next_task()) is not None:
        entry, _ = following
        subject.add(entry, cast("Job[Any]", FakeJob(f"result {entry.index}")))
        entries.append(entry)
    return entries


def yielded(subject: Window[Any]) -> list[int]:
    """Return the numbers of the inputs whose outcomes can be yielded now."""
    found = []
    while (entry := subject.next_outcome()) is not None:
        subject.yielded()
        found.append(entry.index)
    return found


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "2"])
def test_invalid_concurrency_raises(concurrency: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        window([], concurrency)
    assert caught.value.parameter == "concurrency"


def test_requests_are_submitted_up_to_the_concurrency() -> None:
    subject = window(endless(), 3)
    first = submit(subject)
    assert [entry.index for entry in first] == [0, 1, 2]
    subject.advance(first[1], ready=True)
    assert [entry.index for entry in submit(subject)] == [3]


def test_ordered_outcomes_wait_for_the_first_one() -> None:
    subject = window(endless(), 2)
    one, two = submit(subject)
    subject.advance(two, ready=True)
    assert yielded(subject) == []
    subject.advance(one, ready=True)
    assert yielded(subject) == [0, 1]


def test_unordered_outcomes_are_yielded_as_jobs_end() -> None:
    subject = window(endless(), 2, ordered=False)
    one, two = submit(subject)
    subject.advance(two, ready=True)
    assert yielded(subject) == [1]
    subject.advance(one, ready=True)
    assert yielded(subject) == [0]


def test_slow_first_request_limits_how_many_others_finish() -> None:
    subject = window(endless(), 2)
    taken = 0
    while entries := submit(subject):
        for entry in entries:
            taken += 1
            if entry.index:
                subject.advance(entry, ready=True)
    assert taken == 4 * 2
    assert yielded(subject) == []
    assert subject.running


def test_results_are_not_yielded_before_they_are_saved() -> None:
    subject = window([("a", TASK)])
    (entry,) = submit(subject)
    subject.advance(entry, ready=False)
    assert yielded(subject) == []
    assert submit(subject) == []
    assert subject.running
    assert not subject.completed
    subject.advance(entry, ready=True)
    assert subject.completed
    assert yielded(subject) == [0]


def test_saving_frees_the_slot_of_the_request() -> None:
    subject = window(endless(), 1)
    (entry,) = submit(subject)
    subject.advance(entry, ready=False)
    assert [entry.index for entry in submit(subject)] == [1]


@pytest.mark.parametrize("ordered", [True, False])
def test_invalid_input_is_an_outcome_and_takes_no_slot(ordered: bool) -> None:
    error = ValueError("not a prompt")
    subject = window([("a", error), ("b", TASK)], 1, ordered=ordered)
    assert [entry.index for entry in submit(subject)] == [1]
    failed = subject.next_outcome()
    assert failed is not None
    with pytest.raises(ValueError, match="not a prompt") as caught:
        failed.outcome(return_exceptions=False)
    assert (caught.value.index, caught.value.input) == (0, "a")  # type: ignore[attr-defined]
    assert failed.outcome(return_exceptions=True) is error


def test_request_that_cannot_be_submitted_is_an_outcome() -> None:
    subject = window([("a", TASK)])
    following = subject.next_task()
    assert following is not None
    subject.add_failed(following[0], OSError("closed file"))
    assert not subject.running
    assert yielded(subject) == [0]


def test_error_of_the_iterable_is_kept_until_the_outcomes_before_are_yielded() -> None:
    def inputs() -> Iterator[tuple[object, Any]]:
        yield "a", TASK
        raise RuntimeError("the file has ended")

    subject = window(inputs())
    (entry,) = submit(subject)
    assert isinstance(subject.input_error, RuntimeError)
    assert subject.running
    subject.advance(entry, ready=True)
    assert yielded(subject) == [0]


@pytest.mark.parametrize(("interrupted", "how"), [(False, "cancel"), (True, "interrupt")])
@pytest.mark.parametrize("ordered", [True, False])
def test_cancel_ends_every_job_that_was_not_yielded_once(ordered: bool, interrupted: bool, how: str) -> None:
    subject = window(endless(), 3, ordered=ordered)
    entries = submit(subject)
    subject.advance(entries[0], ready=True)
    leaving = subject.next_outcome()  # the caller does not have it yet
    subject.advance(entries[1], ready=True)
    held = FakeJob()
    subject.cancel([cast("Job[Any]", held), *(entry.job for entry in entries if entry.job)], interrupted=interrupted)
    assert leaving is entries[0]
    jobs = [cast("FakeJob", entry.job) for entry in entries]
    assert [job.ended_by for job in (*jobs, held)] == [[how]] * 4
    assert subject.next_task() is None


def test_yielded_outcome_is_not_cancelled() -> None:
    subject = window(endless(), 1)
    (entry,) = submit(subject)
    subject.advance(entry, ready=True)
    assert yielded(subject) == [0]
    subject.cancel()
    assert cast("FakeJob", entry.job).ended_by == []
