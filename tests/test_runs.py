"""Runs: bulk work that resumes, limits its spending and saves its results."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import pickle
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runware import (
    Budget,
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    Image,
    ImageInference,
    NotFoundError,
    Results,
    Runware,
    RunwareError,
    StoreError,
    ValidationError,
    task_uuid_for,
)
from runware.local import LocalServer
from runware.media.saving import Template
from runware.store.places import MapPlace
from runware.webhooks import sign

from .api_objects import IMAGE
from .conftest import until

COMMON = {"model": "runware:101@1", "width": 256, "height": 256}
PROMPTS = [f"a kite above dune {number}" for number in range(12)]

Start = Callable[..., Runware]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def start(server: LocalServer, store: Path) -> Iterator[Start]:
    """Return a function that creates a client on the store, as a further start of the program would."""
    clients: list[Runware] = []

    def create(**options: Any) -> Runware:
        client = Runware(
            server.api_key, url=server.url, retry_delay=0.05, **{"timeout": 20.0, "store": store, **options}
        )
        clients.append(client)
        return client

    yield create
    for client in clients:
        client.close()


def kites(rw: Runware, inputs: Any = None, **options: Any) -> list[Any]:
    given = PROMPTS if inputs is None else inputs
    return list(rw.map(rw.image_inference, given, **{"common": COMMON, "run": "nightly", **options}))


def sent(server: LocalServer) -> int:
    """Return how many tasks the server has received."""
    return sum(task["taskType"] != "authentication" for task in server.ledger.received)


def prices(rw: Runware) -> tuple[float, float]:
    """Return what an image may cost by the catalogue's estimate, and what it costs."""
    request = ImageInference(positive_prompt="a heron", include_cost=True, **COMMON)  # type: ignore[arg-type]
    estimate, cost = rw.estimate(request).cost, rw.run(request).cost
    assert estimate
    assert cost
    return estimate, cost


def billed(server: LocalServer) -> dict[str, int]:
    """Return how often each prompt was executed."""
    return server.ledger.executions_by_prompt()


@pytest.fixture(params=["blocking", "asyncio"])
def form(request: pytest.FixtureRequest) -> Callable[..., list[Any]]:
    def run(rw: Runware, inputs: Any, **options: Any) -> list[Any]:
        options = {"common": COMMON, "run": "nightly", **options}
        if request.param == "blocking":
            return list(rw.map(rw.image_inference, inputs, **options))

        async def main() -> list[Any]:
            return [answer async for answer in rw.aio.map(rw.aio.image_inference, inputs, **options)]

        return asyncio.run(main())

    return run


class TestSecondStart:
    def test_second_start_yields_the_same_results_without_sending(
        self, form: Any, start: Start, server: LocalServer
    ) -> None:
        first = form(start(), PROMPTS)
        received = sent(server)
        second = form(start(), PROMPTS)
        assert sent(server) == received
        assert second == first
        assert {type(answer) for answer in second} == {Results}
        assert {type(image) for answer in second for image in answer} == {Image}
        assert set(billed(server).values()) == {1}

    def test_run_goes_on_where_an_early_break_left_it(self, form: Any, start: Start, server: LocalServer) -> None:
        rw = start()
        for _ in itertools.islice(rw.map(rw.image_inference, PROMPTS, common=COMMON, run="nightly", concurrency=3), 4):
            pass
        gc.collect()  # the iterator is gone, with what ran
        assert len(form(rw, PROMPTS)) == len(PROMPTS)
        assert len(form(start(), PROMPTS)) == len(PROMPTS)
        assert billed(server) == dict.fromkeys(PROMPTS, 1)

    def test_run_goes_on_after_its_client_was_closed_while_tasks_ran(self, start: Start, server: LocalServer) -> None:
        rw = start()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                kites(rw, concurrency=6)
            except RunwareError as error:
                errors.append(error)

        with server.hold():
            thread = threading.Thread(target=work)
            thread.start()
            server.ledger.wait_for(lambda ledger: ledger.held == 6)
            rw.close()
            thread.join(20)
        assert errors
        images = kites(start())
        assert len(images) == len(PROMPTS)
        assert billed(server) == dict.fromkeys(PROMPTS, 1)

    def test_nothing_is_bought_twice_after_the_store_was_lost(
        self, form: Any, start: Start, server: LocalServer, store: Path
    ) -> None:
        rw = start()
        first = form(rw, PROMPTS)
        rw.close()
        for path in store.parent.glob("jobs.db*"):
            path.unlink()
        second = form(start(), PROMPTS)
        assert [answer[0].uuid for answer in second] == [answer[0].uuid for answer in first]
        assert billed(server) == dict.fromkeys(PROMPTS, 1)

    def test_equal_inputs_are_tasks_of_their_own_in_every_start(self, start: Start, server: LocalServer) -> None:
        inputs = ["a kite", "a heron", "a kite", {"positive_prompt": "a kite"}]
        first = kites(start(), inputs)
        second = kites(start(), inputs)
        assert second == first
        assert len({answer[0].uuid for answer in first}) == 4
        assert billed(server) == {"a kite": 3, "a heron": 1}

    def test_inputs_may_come_in_another_order_and_be_more(self, start: Start, server: LocalServer) -> None:
        first = dict(zip(PROMPTS, kites(start()), strict=True))
        others = [*reversed(PROMPTS), "a heron"]
        second = dict(zip(others, kites(start(), others), strict=True))
        assert first.items() <= second.items()
        assert billed(server) == dict.fromkeys(others, 1)

    def test_unordered_run_yields_everything_once(self, form: Any, start: Start, server: LocalServer) -> None:
        first = form(start(), PROMPTS, ordered=False)
        second = form(start(), PROMPTS, ordered=False)
        assert Counter(answer[0].uuid for answer in first) == Counter(answer[0].uuid for answer in second)
        assert billed(server) == dict.fromkeys(PROMPTS, 1)

    @pytest.mark.parametrize("shared", [False, True], ids=["two clients", "two threads of one client"])
    def test_two_work_on_one_run_together(self, start: Start, server: LocalServer, shared: bool) -> None:
        server.configure(delay=0.01)
        first = start()
        clients = [first, first if shared else start()]
        found: list[list[Any]] = [[], []]
        threads = [
            threading.Thread(target=lambda number=number: found[number].extend(kites(clients[number], concurrency=4)))
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [answer[0].uuid for answer in found[0]] == [answer[0].uuid for answer in found[1]]
        assert len(found[0]) == len(PROMPTS)
        assert billed(server) == dict.fromkeys(PROMPTS, 1)

    def test_call_takes_the_task_over_from_a_cancelled_one_of_the_same_client(
        self, start: Start, server: LocalServer
    ) -> None:
        rw = start()
        uuid = task_uuid_for("order 17")
        with server.hold():
            jobs = [rw.submit.image_inference(positive_prompt="a kite", task_uuid=uuid, **COMMON) for _ in range(3)]
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            jobs[0].cancel()
        assert jobs[1].result(20) == jobs[2].result(20)
        assert billed(server) == {"a kite": 1}

    def test_end_is_written_although_calls_for_the_same_task_end_at_the_same_moment(
        self, start: Start, server: LocalServer
    ) -> None:
        rw = start()
        with server.hold():
            jobs = [
                rw.submit.image_inference(positive_prompt="a kite", task_uuid=task_uuid_for("order 18"), **COMMON)
                for _ in range(3)
            ]
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            with rw.jobs.database.writing():  # the recorder waits, so that it gets all three ends at once
                for job in jobs:
                    job.cancel()
        until(lambda: rw.jobs.get(task_uuid_for("order 18")).owner is None)
        assert rw.image_inference(positive_prompt="a kite", task_uuid=task_uuid_for("order 18"), **COMMON)
        assert billed(server) == {"a kite": 1}

    @pytest.mark.parametrize(
        ("operation", "inputs", "common"),
        [
            ("video_inference", ["waves", "a storm"], {"model": "klingai:5@3", "duration": 5}),
            ("text_inference", ["hello"], {"model": "google:gemma@4-31b"}),
            ("caption", [Image(uuid=IMAGE)], {}),
            ("image_inference", ["a kite", "a heron"], {**COMMON, "number_results": 3}),
        ],
    )
    def test_results_of_every_kind_come_from_the_store(
        self, start: Start, server: LocalServer, operation: str, inputs: list[Any], common: Any
    ) -> None:
        server.configure(delay=0.01)
        answers = []
        for _ in range(2):
            rw = start()
            answers.append(list(rw.map(getattr(rw, operation), inputs, common=common, run="kinds")))
        assert answers[0] == answers[1]
        assert [type(answer) for answer in answers[0]] == [type(answer) for answer in answers[1]]
        assert sent(server) == len(inputs) + sum(task["taskType"] == "getResponse" for task in server.ledger.received)

    def test_run_over_http_goes_on_too(self, form: Any, start: Start, server: LocalServer) -> None:
        for answers in itertools.islice(
            start(transport="http").map(ImageInference, PROMPTS, common=COMMON, run="nightly", concurrency=3), 4
        ):
            assert isinstance(answers, Results)
        gc.collect()
        assert len(form(start(transport="http"), PROMPTS)) == len(PROMPTS)
        assert billed(server) == dict.fromkeys(PROMPTS, 1)

    def test_acknowledged_task_is_not_sent_again(self, start: Start, server: LocalServer) -> None:
        common = {"model": "klingai:5@3", "duration": 5, "skip_response": True, "delivery_method": "async"}
        for _ in range(2):
            rw = start()
            assert len(list(rw.map(rw.video_inference, ["waves"], common=common, run="later"))) == 1
            rw.close()
        assert billed(server) == {"waves": 1}

    def test_request_objects_make_a_run_too(self, start: Start, server: LocalServer) -> None:
        tasks = [ImageInference(positive_prompt=prompt, **COMMON) for prompt in PROMPTS[:3]]
        first = list(start().map(tasks, run="objects"))
        rw = start()
        assert list(rw.map(tasks, run="objects")) == first
        assert rw.runs.get("objects").operation == "requests"
        assert billed(server) == dict.fromkeys(PROMPTS[:3], 1)

    def test_task_that_only_reads_is_sent_again(self, start: Start, server: LocalServer) -> None:
        for _ in range(2):
            rw = start()
            assert len(list(rw.map(rw.model_search, ["realistic"], run="search"))) == 1
        assert len(server.ledger.tasks("modelSearch")) == 2

    def test_dry_run_leaves_nothing_in_a_run(self, start: Start, server: LocalServer) -> None:
        kites(start(dry_run=True), ["a kite"])
        rw = start()
        assert rw.runs.get("nightly").total == 0
        assert kites(rw, ["a kite"])[0][0].url
        assert billed(server) == {"a kite": 1}


class TestFailures:
    INPUTS = ("a kite", "[error:modelNotFound] a heron", "a swan")

    def test_failure_is_told_again_from_the_store(self, form: Any, start: Start, server: LocalServer) -> None:
        first = form(start(), self.INPUTS, return_exceptions=True)
        received = sent(server)
        second = form(start(), self.INPUTS, return_exceptions=True)
        assert sent(server) == received
        assert [type(answer) for answer in second] == [type(answer) for answer in first]
        assert second[1].code == first[1].code
        assert str(second[1]) == str(first[1])

    def test_stored_failure_is_raised_in_its_place(self, form: Any, start: Start) -> None:
        form(start(), self.INPUTS, return_exceptions=True)
        rw = start()
        answers = rw.map(rw.image_inference, self.INPUTS, common=COMMON, run="nightly")
        assert isinstance(next(answers), Results)
        with pytest.raises(RunwareError) as caught:
            next(answers)
        assert caught.value.index == 1

    @pytest.mark.parametrize("how", ["retry_failed=True", "rw.runs"])
    def test_failed_tasks_are_run_again_when_asked_for(
        self, form: Any, start: Start, server: LocalServer, how: str
    ) -> None:
        failing = threading.Event()
        failing.set()

        def script(task: dict[str, Any]) -> Any:
            if failing.is_set() and task.get("positivePrompt") == "a heron":
                return [{"errors": [{"code": "invalidPositivePrompt", "message": "No.", "taskUUID": task["taskUUID"]}]}]
            return None

        server.script(script)
        inputs = ["a kite", "a heron"]
        assert isinstance(form(start(), inputs, return_exceptions=True)[1], ValidationError)
        failing.clear()
        rw = start()
        assert isinstance(form(rw, inputs, return_exceptions=True)[1], ValidationError)
        again = how == "retry_failed=True"
        if not again:
            assert rw.runs.get("nightly").retry_failed() == 1
            assert rw.runs.get("nightly").failed == 0
        answers = form(rw, inputs, retry_failed=again)
        assert [type(answer) for answer in answers] == [Results, Results]
        assert form(start(), inputs) == answers
        assert billed(server) == {"a kite": 1, "a heron": 1}

    def test_failure_that_may_pass_is_tried_again_by_itself(self, form: Any, start: Start, server: LocalServer) -> None:
        server.balance = 0.0
        first = form(start(max_retries=0), ["a kite"], return_exceptions=True)
        assert isinstance(first[0], RunwareError)
        server.balance = 10.0
        assert isinstance(form(start(), ["a kite"])[0], Results)
        assert billed(server) == {"a kite": 1}

    def test_error_knows_its_input_and_does_not_show_it(self, form: Any, start: Start) -> None:
        inputs: list[Any] = ["a kite", {"positive_prompt": "[error:modelNotFound] a secret", "seed": 7}, {"widht": 1}]
        answers = form(start(), inputs, return_exceptions=True)
        assert [answer.index for answer in answers[1:]] == [1, 2]
        assert answers[1].input == inputs[1]
        assert answers[2].input == {"widht": 1}
        assert "secret" not in str(answers[1]) + repr(answers[1])
        assert "input: number 1" in str(answers[1])
        assert pickle.loads(pickle.dumps(answers[1])).input == inputs[1]

    def test_short_form_of_an_input_holds_no_media(self, rw: Runware) -> None:
        inputs: list[Any] = [
            {"positive_prompt": "x" * 5000, "seed_image": b"x" * 5000, "width": "wide", "lora": [[[]]]}
        ]
        (error,) = rw.map(rw.image_inference, inputs, return_exceptions=True)
        assert error.index == 0  # type: ignore[union-attr]
        assert error.input == {  # type: ignore[union-attr]
            "positive_prompt": "<str of length 5000>",
            "seed_image": "<bytes of length 5000>",
            "width": "wide",
            "lora": [[[]]],
        }


class TestBadInput:
    @pytest.mark.parametrize("name", ["", " ", "x" * 201, 7, "two\nlines", b"nightly"])
    def test_invalid_name_is_refused(self, form: Any, start: Start, server: LocalServer, name: Any) -> None:
        with pytest.raises(ValidationError, match="run must be") as caught:
            form(start(), PROMPTS, run=name)
        assert caught.value.parameter == "run"
        assert not sent(server)

    def test_run_needs_a_store(self, form: Any, rw: Runware) -> None:
        with pytest.raises(ConfigurationError, match="store") as caught:
            form(rw, PROMPTS)
        assert caught.value.parameter == "store"
        with pytest.raises(ConfigurationError):
            rw.runs

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"common": {**COMMON, "width": 512}}, "common parameters: width"),
            ({"common": {**COMMON, "steps": 9, "height": 512}}, "common parameters: height, steps"),
            ({"common": {"model": "runware:101@1"}}, "common parameters: height, width"),
        ],
    )
    def test_other_common_parameters_are_refused(
        self, form: Any, start: Start, server: LocalServer, changed: Any, words: str
    ) -> None:
        form(start(), PROMPTS[:1])
        received = sent(server)
        with pytest.raises(ValidationError, match=words) as caught:
            form(start(), PROMPTS, **changed)
        assert caught.value.parameter == "run"
        assert sent(server) == received

    def test_other_operation_is_refused_and_settings_are_not(self, start: Start) -> None:
        rw = start()
        kites(rw, PROMPTS[:1])
        with pytest.raises(ValidationError, match="ImageInference, and not Caption"):
            rw.map(rw.caption, [], run="nightly")
        assert len(kites(rw, PROMPTS[:1], common={**COMMON, "timeout": 9.0, "retry": 0})) == 1

    def test_url_that_is_signed_anew_for_each_start_is_accepted(self, start: Start, server: LocalServer) -> None:
        url = "http://127.0.0.1:9/hook"  # nothing listens there
        for expires_in in (100.0, 200.0):
            signed = sign(url, "a secret of some length", expires_in=expires_in)
            kites(start(), PROMPTS[:1], common={**COMMON, "webhook_url": signed, "delivery_method": "async"})
        assert billed(server) == {PROMPTS[0]: 1}

    def test_common_media_are_compared_by_their_contents(self, start: Start, tmp_path: Path) -> None:
        path = tmp_path / "seed.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n one")
        rw = start()
        list(rw.map(rw.image_inference, [], common={"seed_image": path}, run="media"))
        list(rw.map(rw.image_inference, [], common={"seed_image": path.read_bytes()}, run="media"))
        path.write_bytes(b"\x89PNG\r\n\x1a\n two")
        with pytest.raises(ValidationError, match="seed_image"):
            rw.map(rw.image_inference, [], common={"seed_image": path}, run="media")

    def test_retry_failed_needs_a_run(self, form: Any, start: Start) -> None:
        for given in ({"run": None, "retry_failed": True}, {"retry_failed": 1}):
            with pytest.raises(ValidationError, match="retry_failed"):
                form(start(), PROMPTS, **given)

    @pytest.mark.parametrize(
        ("budget", "run"), [(-1.0, "nightly"), ("5", None), (Budget(1.0, per="run"), None), (float("nan"), None)]
    )
    def test_invalid_budget_is_refused(self, form: Any, start: Start, budget: Any, run: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            form(start(), PROMPTS, budget=budget, run=run)
        assert caught.value.parameter == "budget"

    def test_budget_per_day_needs_a_store(self, form: Any, rw: Runware) -> None:
        with pytest.raises(ConfigurationError, match="store"):
            form(rw, PROMPTS, budget=Budget(1.0, per="day"), run=None)

    def test_store_that_cannot_be_opened_fails_before_anything_is_sent(
        self, form: Any, start: Start, server: LocalServer, tmp_path: Path
    ) -> None:
        (tmp_path / "text.db").write_text("this is no database, and longer than the header of one would be " * 9)
        with pytest.raises(StoreError):
            form(start(store=tmp_path / "text.db"), PROMPTS)
        assert not sent(server)


class TestBudgets:
    def test_run_stops_at_its_budget_over_all_starts(self, form: Any, start: Start, server: LocalServer) -> None:
        estimate, cost = prices(start())
        for _ in range(2):
            limit = estimate + 2.5 * cost
            answers = form(start(), PROMPTS, budget=limit, return_exceptions=True, concurrency=1)
            assert sum(isinstance(answer, Results) for answer in answers) == 3
            refused = [answer for answer in answers if not isinstance(answer, Results)]
            assert {type(error) for error in refused} == {BudgetExceededError}
            assert "run 'nightly'" in str(refused[0])
            assert refused[0].index is not None
        assert len(form(start(), PROMPTS, budget=100.0)) == len(PROMPTS)
        assert billed(server) == {"a heron": 1, **dict.fromkeys(PROMPTS, 1)}

    @pytest.mark.parametrize("stored", [True, False])
    def test_budget_without_a_run_is_for_one_call(
        self, form: Any, start: Start, rw: Runware, server: LocalServer, stored: bool
    ) -> None:
        estimate, cost = prices(rw)
        client = start() if stored else rw
        for _ in range(2):
            limit = estimate + 1.5 * cost
            answers = form(client, PROMPTS, budget=limit, run=None, return_exceptions=True, concurrency=1)
            assert sum(isinstance(answer, Results) for answer in answers) == 2
            assert "of this map()" in str(answers[-1])

    def test_task_that_is_sent_again_reserves_again(self, start: Start, server: LocalServer) -> None:
        rw = start()
        kites(rw, ["[error:modelNotFound] a heron"], budget=1.0, return_exceptions=True)
        kites(rw, ["[error:modelNotFound] a heron"], budget=1.0, return_exceptions=True, retry_failed=True)
        until(lambda: self.reserved(rw, "run nightly") == 0.0)
        (error,) = kites(rw, ["[error:modelNotFound] a heron"], budget=0.0, return_exceptions=True, retry_failed=True)
        assert isinstance(error, BudgetExceededError)

    def test_task_that_was_not_sent_counts_for_the_next_start(self, start: Start, server: LocalServer) -> None:
        server.unplug()
        rw = start(timeout=0.3, max_retries=0)
        (error,) = kites(rw, ["a kite"], budget=1.0, return_exceptions=True)
        assert not error.may_have_run
        rw.close()
        server.plug()
        rw = start()
        assert self.reserved(rw, "run nightly") == 0.0
        (refused,) = kites(rw, ["a kite"], budget=0.0, return_exceptions=True)
        assert isinstance(refused, BudgetExceededError)
        assert len(kites(start(), ["a kite"], budget=1.0)) == 1
        assert billed(server) == {"a kite": 1}

    def test_budget_per_day_is_that_of_the_day(self, start: Start) -> None:
        rw = start(budget=Budget(1.0, per="day"))
        kites(rw, ["a kite"])
        with rw.jobs.database.reading() as connection:
            scopes = {row.scope.split()[0]: row.scope for row in connection.exec_driver_sql(_SCOPES)}
        assert scopes.keys() == {"store", "day", "run"}
        assert len(scopes["day"].split()) == 2

    def test_budget_per_client_is_not_shared_through_the_store(self, start: Start) -> None:
        estimate, cost = prices(start())
        for prompt in ("a kite", "a swan"):
            rw = start(budget=Budget(estimate + 0.5 * cost, per="client"))
            assert isinstance(kites(rw, [prompt])[0], Results)
            with pytest.raises(BudgetExceededError, match="of this client"):
                kites(rw, [f"{prompt} again"])

    @staticmethod
    def reserved(rw: Runware, scope: str) -> float:
        database = rw.jobs.database
        with database.reading() as connection:
            return database.spent(connection, scope)[1]


_SCOPES = "SELECT scope FROM runware_spending"


class TestRuns:
    def test_runs_are_listed_with_their_numbers(self, start: Start) -> None:
        rw = start()
        kites(rw, ["a kite", "[error:modelNotFound] a heron", "a swan"], return_exceptions=True)
        kites(rw, [], run="empty")
        nightly, empty = rw.runs
        assert (nightly.name, nightly.total, nightly.succeeded, nightly.failed, nightly.open) == ("nightly", 3, 2, 1, 0)
        assert nightly.progress == 100.0
        assert nightly.cost is not None
        assert nightly.cost > 0
        assert (empty.name, empty.total, empty.progress, empty.cost) == ("empty", 0, 0.0, None)
        assert "2 of 3 succeeded, 1 failed, 0 open, $" in repr(nightly)
        table = str(rw.runs).splitlines()
        assert table[0].split() == ["run", "operation", "begun", "succeeded", "failed", "open", "progress", "cost"]
        assert table[1].split()[:6] == ["nightly", "ImageInference", "3", "2", "1", "0"]
        assert "<td>nightly</td>" in rw.runs._repr_html_()
        assert "jobs.db" in repr(rw.runs)

    def test_failures_have_their_error_and_request(self, start: Start) -> None:
        rw = start()
        kites(rw, ["a kite", "[error:modelNotFound] a heron"], return_exceptions=True)
        (failure,) = rw.runs.get("nightly").failures()
        assert failure.error is not None
        assert failure.request is not None
        assert failure.request["positivePrompt"] == "[error:modelNotFound] a heron"

    def test_unknown_run_is_not_found(self, start: Start) -> None:
        rw = start()
        kites(rw, [])
        with pytest.raises(NotFoundError, match=r"no run .weekly.\. It has .nightly."):
            rw.runs.get("weekly")

    def test_async_runs_have_the_same_methods(self, start: Start) -> None:
        rw = start()
        kites(rw, ["a kite", "[error:modelNotFound] a heron"], return_exceptions=True)

        async def main() -> None:
            (run,) = await rw.aio.runs.list()
            assert run == await rw.aio.runs.get("nightly")
            assert [task.kind for task in await run.failures()] == ["ImageInference"]
            assert await run.retry_failed() == 1
            assert (await rw.aio.runs.get("nightly")).open == 1
            with pytest.raises(NotFoundError):
                await rw.aio.runs.get("weekly")

        asyncio.run(main())

    def test_names_are_escaped_in_the_notebook(self, start: Start) -> None:
        rw = start()
        kites(rw, [], run="<b>")
        assert "<td>&lt;b&gt;</td>" in rw.runs.get("<b>")._repr_html_()


class TestMemory:
    def test_equal_inputs_are_counted_outside_memory(self) -> None:
        place = MapPlace("nightly", None, retries_failed=False)
        fingerprints = [f"{number:064x}" for number in range(100)]
        first = [place.uuid_for(one) for one in fingerprints]
        assert [place.number for one in fingerprints if place.uuid_for(one)] == [1] * 100
        assert len({*first, place.uuid_for(fingerprints[0])}) == 101
        place.close()

    @pytest.mark.timeout(300)
    def test_memory_does_not_grow_with_the_number_of_tasks(self, tmp_path: Path) -> None:
        inputs = ({"positive_prompt": "a kite", "seed": number, **COMMON} for number in range(1, 10_001))
        with (
            LocalServer(api_key="rw-test-key", keep=100) as server,
            Runware(server.api_key, url=server.url, store=tmp_path / "many.db", timeout=120.0) as rw,
        ):
            blocks: list[int] = []
            for number, _ in enumerate(rw.map(rw.image_inference, inputs, run="many", concurrency=64), 1):
                if number % 2000 == 0:
                    gc.collect()
                    blocks.append(sys.getallocatedblocks())
            assert rw.runs.get("many").succeeded == 10_000
        # Less than one object for each of the 8,000 tasks after the first measurement.
        assert len(blocks) == 5
        assert max(blocks[1:]) - blocks[0] < 6_000, blocks


class TestSaving:
    def test_results_are_saved_before_they_are_yielded(self, form: Any, start: Start, tmp_path: Path) -> None:
        where = tmp_path / "out"
        answers = form(start(), PROMPTS, save_to=where)
        paths = [answer[0].path for answer in answers]
        assert len(set(paths)) == len(PROMPTS)
        for answer in answers:
            path = answer[0].path
            assert path.parent == where
            assert path.stem == answer[0].uuid
            assert path.read_bytes() == answer[0].read()
        assert sorted(where.iterdir()) == sorted(paths)

    def test_template_names_the_files(self, form: Any, rw: Runware, tmp_path: Path) -> None:
        template = f"{tmp_path}/{{kind}}/{{index:03d}}-{{n}}.{{ext}}"
        common = {**COMMON, "number_results": 2}
        answers = form(rw, PROMPTS[:3], common=common, save_to=template, run=None)
        found = [[image.path.name.partition(".")[0] for image in answer] for answer in answers]
        assert found == [["000-0", "000-1"], ["001-0", "001-1"], ["002-0", "002-1"]]
        assert {image.path.parent.name for answer in answers for image in answer} == {"image"}
        assert pickle.loads(pickle.dumps(answers[0][0])).path == answers[0][0].path

    def test_template_needs_no_dot_before_the_extension(self, rw: Runware, tmp_path: Path) -> None:
        for template in ("{index}{ext}", "{ext}/{index}.{ext}"):
            (answer,) = rw.map(rw.image_inference, ["a kite"], common=COMMON, save_to=f"{tmp_path}/{template}")
            where = tmp_path / "jpg" if "/" in template else tmp_path
            assert answer[0].path == where / "0.jpg"

    def test_second_start_downloads_only_what_is_missing(
        self, form: Any, start: Start, tmp_path: Path, downloads: list[str]
    ) -> None:
        rw = start()
        first = form(rw, PROMPTS, save_to=tmp_path / "out")
        rw.close()
        assert len(downloads) == len(PROMPTS)
        first[3][0].path.unlink()
        whole = first[5][0].path.read_bytes()
        first[5][0].path.write_bytes(whole[:-1])
        downloads.clear()
        second = form(start(), PROMPTS, save_to=tmp_path / "out")
        assert [answer[0].path for answer in second] == [answer[0].path for answer in first]
        assert sorted(downloads) == sorted([first[3][0].url, first[5][0].url])
        assert all(answer[0].path.exists() for answer in second)
        assert first[5][0].path.read_bytes() == whole

    def test_files_of_a_lost_store_are_recognised(self, start: Start, store: Path, tmp_path: Path) -> None:
        rw = start()
        template = f"{tmp_path}/out/{{index}}.{{ext}}"
        first = kites(rw, save_to=template)
        rw.close()
        for path in store.parent.glob("jobs.db*"):
            path.unlink()
        second = kites(start(), save_to=template)
        assert [answer[0].path for answer in second] == [answer[0].path for answer in first]
        assert len(list((tmp_path / "out").iterdir())) == len(PROMPTS)

    def test_failed_download_is_an_error_with_the_results(
        self, form: Any, start: Start, server: LocalServer, tmp_path: Path, failing: set[str]
    ) -> None:
        failing.add("a kite above dune 2")
        answers = form(start(), PROMPTS, save_to=tmp_path / "out", return_exceptions=True)
        errors = [answer for answer in answers if not isinstance(answer, Results)]
        assert [type(error) for error in errors] == [DownloadError]
        assert errors[0].index == 2
        assert isinstance(errors[0].results[0], Image)
        assert errors[0].results[0].path is None
        failing.clear()
        again = form(start(), PROMPTS, save_to=tmp_path / "out")
        assert again[2][0].path.exists()
        assert billed(server) == dict.fromkeys(PROMPTS, 1)

    def test_other_file_is_not_replaced(self, form: Any, start: Start, tmp_path: Path) -> None:
        (tmp_path / "0.jpg").write_text("mine")
        (answer,) = form(start(), ["a kite"], save_to=f"{tmp_path}/{{index}}.jpg", return_exceptions=True)
        assert isinstance(answer, DownloadError)
        assert isinstance(answer.__cause__, FileExistsError)
        assert "save_to" in str(answer)
        assert (tmp_path / "0.jpg").read_text() == "mine"
        assert [path.name for path in tmp_path.glob(".runware*")] == []

    def test_every_file_of_a_result_is_saved(self, server: LocalServer, rw: Runware, tmp_path: Path) -> None:
        files = [{"uuid": f"part-{number}", "base64Data": "iVBORw0KGgo="} for number in range(3)]
        server.script(
            lambda task: (
                [{"data": [{"taskType": "tools", "taskUUID": task["taskUUID"], "outputs": {"files": files}}]}]
                if task["taskType"] == "tools"
                else None
            )
        )
        template = f"{tmp_path}/{{index}}-{{n}}-{{uuid}}.{{ext}}"
        (output,) = rw.map(rw.tools, [{"inputs": {"video": IMAGE}}], save_to=template)
        assert [path.name for path in output.paths] == ["0-0-part-0.png", "0-1-part-1.png", "0-2-part-2.png"]
        assert output.path == output.paths[0]

    def test_what_dead_downloads_left_behind_is_removed(self, rw: Runware, tmp_path: Path) -> None:
        old, young = tmp_path / ".runware-00.part", tmp_path / ".runware-11.part"
        for path in (old, young):
            path.write_text("x")
        os.utime(old, (0, time.time() - 90_000))
        list(rw.map(rw.image_inference, ["a kite"], common=COMMON, save_to=tmp_path))
        assert not old.exists()
        assert young.exists()

    def test_results_beside_an_error_are_saved_too(
        self, form: Any, start: Start, server: LocalServer, tmp_path: Path
    ) -> None:
        inputs = [{"positive_prompt": "[fail:1] a kite", "number_results": 3}]
        (error,) = form(start(max_retries=0), inputs, save_to=tmp_path / "out", return_exceptions=True)
        assert isinstance(error, RunwareError)
        assert not isinstance(error, DownloadError)
        assert error.results
        assert all(image.path.exists() for image in error.results)

    def test_files_of_a_failed_attempt_are_replaced_by_those_of_the_next(
        self, start: Start, server: LocalServer, tmp_path: Path
    ) -> None:
        inputs = [{"positive_prompt": "[fail:2] a kite", "number_results": 3}]
        options: Any = {
            "save_to": f"{tmp_path}/out/{{n}}.{{ext}}".replace("{n}", "{index}-{n}"),
            "return_exceptions": True,
        }
        found = []
        for _ in range(2):
            rw = start(max_retries=0)
            (error,) = kites(rw, inputs, retry_failed=True, **options)
            rw.close()
            assert len(error.results) == 2
            assert [image.path.read_bytes() for image in error.results] == [image.read() for image in error.results]
            found.append([image.uuid for image in error.results])
        assert not set(found[0]) & set(found[1])
        assert len(list((tmp_path / "out").iterdir())) == 2

    def test_slow_download_does_not_hold_up_other_tasks(
        self, start: Start, server: LocalServer, tmp_path: Path, slow: threading.Event
    ) -> None:
        rw = start()
        answers = rw.map(
            rw.image_inference, PROMPTS, common=COMMON, run="nightly", concurrency=2, ordered=False, save_to=tmp_path
        )
        thread = threading.Thread(target=lambda: list(answers))
        thread.start()
        server.ledger.wait_for(
            lambda ledger: sum(ledger.executions_by_prompt().values()) >= 8
        )  # 2 * 4 wait to be saved
        slow.set()
        thread.join(60)
        assert not thread.is_alive()

    def test_leaving_the_loop_ends_the_downloads(
        self, start: Start, server: LocalServer, tmp_path: Path, slow: threading.Event
    ) -> None:
        rw = start()
        answers = rw.map(rw.image_inference, PROMPTS, common=COMMON, save_to=tmp_path / "out", concurrency=12)
        thread = threading.Thread(target=lambda: next(answers, None))
        thread.start()
        server.ledger.wait_for(lambda ledger: sum(ledger.executions_by_prompt().values()) >= 8)
        slow.set()
        thread.join(60)
        answers.close()  # type: ignore[attr-defined]
        until(lambda: not any(thread.name == "runware-save" for thread in threading.enumerate()))
        assert not list((tmp_path / "out").glob(".runware*"))

    def test_inline_results_and_texts_are_no_trouble(self, form: Any, start: Start, tmp_path: Path) -> None:
        common = {**COMMON, "output_type": "base64Data"}
        (answer,) = form(start(), ["a kite"], common=common, save_to=tmp_path / "out")
        assert answer[0].path.read_bytes() == answer[0].read()
        rw = start()
        (text,) = rw.map(rw.prompt_enhance, ["a kite"], save_to=tmp_path / "texts", run="texts")
        assert text
        assert not (tmp_path / "texts").exists()

    def test_run_field_is_the_name_made_safe(self, start: Start, tmp_path: Path) -> None:
        (answer,) = kites(start(), ["a kite"], run="../a/b", save_to=f"{tmp_path}/{{run}}-{{index}}.{{ext}}")
        assert answer[0].path.parent == tmp_path
        assert answer[0].path.name.startswith("a-b-0.")

    @pytest.mark.parametrize(
        ("save_to", "words"),
        [
            ("out/{seed}.png", r"unknown field {seed}; there are {run}, {index}"),
            ("out/{index.__class__}.png", "unknown field"),
            ("out/{}.png", "unknown field"),
            ("out/{index:05x}{", "not a valid template"),
            ("out/{uuid:05d}.png", "not a valid template"),
            ("out/{n}.{ext}", "gives all results the same name"),
            ("out/image.png", "names one file for all results"),
            ("out/{run}-{index}.png", "pass run="),
            ("", "must be a directory or a template"),
            (7, "must be a directory or a template"),
            (b"out", "must be a directory or a template"),
        ],
    )
    def test_invalid_save_to_is_refused_before_anything_is_sent(
        self, form: Any, rw: Runware, server: LocalServer, save_to: Any, words: str
    ) -> None:
        with pytest.raises(ValidationError, match=words) as caught:
            form(rw, PROMPTS, save_to=save_to, run=None)
        assert caught.value.parameter == "save_to"
        assert not sent(server)

    def test_directory_with_a_dot_ends_with_a_slash(self, tmp_path: Path) -> None:
        image = Image(uuid="x")
        where = os.path.join(tmp_path, "out.v2", "")
        path = Template(where, None).path(image, index=0, n=0, task_uuid="t", extension=".png")
        assert path == tmp_path / "out.v2" / "x.png"


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the URLs that are downloaded."""
    found: list[str] = []
    _around_fetch(monkeypatch, found.append)
    return found


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set of prompts whose results cannot be downloaded."""
    prompts: set[str] = set()
    from runware.media.downloadable import Downloadable

    contents = Downloadable._contents

    def broken(self: Any, *arguments: Any) -> Any:
        if self.meta.request.get("positivePrompt") in prompts:
            raise DownloadError("The file is gone.", retryable=True)
        return contents(self, *arguments)

    monkeypatch.setattr(Downloadable, "_contents", broken)
    return prompts


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event until which every download waits."""
    event = threading.Event()
    _around_fetch(monkeypatch, lambda url: event.wait(30))
    return event


def _around_fetch(monkeypatch: pytest.MonkeyPatch, before: Callable[[str], object]) -> None:
    from runware.media.downloads import Session

    fetch = Session.fetch

    def changed(self: Session, url: str, **options: Any) -> Iterator[bytes]:
        before(url)
        return fetch(self, url, **options)

    monkeypatch.setattr(Session, "fetch", changed)
