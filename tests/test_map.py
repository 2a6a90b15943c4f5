"""Bulk work with `map`: order, memory, errors, early exits, progress."""

from __future__ import annotations

import asyncio
import io
import itertools
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import runware
from runware import (
    BudgetExceededError,
    ConfigurationError,
    Image,
    ImageInference,
    Progress,
    Results,
    Runware,
    RunwareError,
    StreamText,
    Text,
    UsageError,
    ValidationError,
)
from runware._support.lazy_modules import lazy_module
from runware.display import progress
from runware.local import LocalServer
from runware.map import requests_from
from runware.requests.base import Task

from .api_objects import IMAGE, UUID
from .conftest import until
from .test_three_interfaces import PICTURE


def seeds(count: int) -> list[dict[str, Any]]:
    return [{**PICTURE, "seed": seed} for seed in range(1, count + 1)]


@pytest.fixture(params=["blocking", "asyncio"])
def outcomes(request: pytest.FixtureRequest, rw: Runware) -> Any:
    """Run `map` through an interface form and return the list of what it yields."""

    def run(operation: str | Any, *arguments: Any, **options: Any) -> list[Any]:
        if request.param == "blocking":
            what = getattr(rw, operation) if isinstance(operation, str) else operation
            return list(rw.map(what, *arguments, **options))

        async def main() -> list[Any]:
            what = getattr(rw.aio, operation) if isinstance(operation, str) else operation
            return [answer async for answer in rw.aio.map(what, *arguments, **options)]

        return asyncio.run(main())

    return run


class TestEveryInterface:
    def test_ordered_map_yields_results_in_input_order(self, outcomes: Any, server: LocalServer) -> None:
        server.configure(delay=lambda task: 0.05 if task.get("seed", 0) % 7 == 1 else 0.0)
        answers = outcomes("image_inference", seeds(60), concurrency=8)
        assert all(isinstance(answer, Results) for answer in answers)
        assert [answer[0].seed for answer in answers] == list(range(1, 61))

    def test_unordered_map_yields_results_as_they_finish(self, outcomes: Any) -> None:
        answers = outcomes("image_inference", seeds(60), concurrency=8, ordered=False)
        assert sorted(answer[0].seed for answer in answers) == list(range(1, 61))

    def test_map_takes_request_classes_objects_and_single_values(self, outcomes: Any, server: LocalServer) -> None:
        assert len(outcomes(ImageInference, ["a kite", {"positive_prompt": "a heron"}])) == 2
        assert len(outcomes([ImageInference(positive_prompt="a kite"), {"taskType": "imageInference", **WIRE}])) == 2
        prompts = [task["positivePrompt"] for task in server.ledger.received if task["taskType"] == "imageInference"]
        assert sorted(prompts) == ["a heron", "a kite", "a kite", "a wire"]

    def test_map_runs_no_more_than_concurrency_at_once(self, outcomes: Any, server: LocalServer) -> None:
        with server.hold():
            thread = threading.Thread(target=outcomes, args=("image_inference", seeds(50)), kwargs={"concurrency": 5})
            thread.start()
            for _ in range(3):
                server.ledger.wait_for(lambda ledger: ledger.held == 5)
                assert server.ledger.held == 5
                before = server.ledger.results
                server.release(5)
                server.ledger.wait_for(lambda ledger: ledger.results >= before + 5)
        thread.join(30)
        assert not thread.is_alive()

    def test_first_error_is_raised_and_the_rest_is_cancelled(self, outcomes: Any, rw: Runware) -> None:
        inputs = seeds(30)
        inputs[3] = {**PICTURE, "width": 100}
        with pytest.raises(ValidationError):
            outcomes("image_inference", inputs, concurrency=4)
        rw.connect()  # after the cancellations
        assert rw._core._io_loop is not None
        assert rw._core._io_loop._session.calls == {}

    def test_return_exceptions_yields_errors_in_place_of_results(self, outcomes: Any) -> None:
        inputs: list[Any] = seeds(6)
        inputs[1] = {**PICTURE, "width": 100}
        inputs[4] = {**PICTURE, "width": "wide"}
        answers = outcomes("image_inference", inputs, return_exceptions=True)
        assert [isinstance(answer, ValidationError) for answer in answers] == [False, True, False, False, True, False]

    def test_progress_is_reported_for_each_input(self, outcomes: Any) -> None:
        told: list[Progress] = []
        outcomes("image_inference", seeds(10), progress=told.append)
        assert [progress.completed for progress in told] == list(range(1, 11))
        assert {progress.total for progress in told} == {10}
        assert [progress.percent for progress in told] == [10.0 * number for number in range(1, 11)]
        assert [progress.status for progress in told] == ["running"] * 9 + ["succeeded"]

    @pytest.mark.parametrize(("bad", "status"), [({1}, "partial"), ({2}, "partial"), ({0, 1, 2}, "failed")])
    @pytest.mark.parametrize("sized", [True, False])
    def test_last_progress_says_whether_inputs_have_failed(
        self, outcomes: Any, bad: set[int], status: str, sized: bool
    ) -> None:
        told: list[Progress] = []
        inputs = [{**PICTURE, "width": 100} if number in bad else dict(PICTURE) for number in range(3)]
        outcomes("image_inference", inputs if sized else iter(inputs), progress=told.append, return_exceptions=True)
        assert (told[-1].status, *told[-1][:3]) == (status, 3, 3, 100.0)
        assert {progress.status for progress in told[:-1]} == {"running"}

    def test_progress_of_no_inputs_has_succeeded(self, outcomes: Any) -> None:
        told: list[Progress] = []
        outcomes("image_inference", [], progress=told.append)
        assert [(one.completed, one.total, one.percent, one.status) for one in told] == [(0, 0, 100.0, "succeeded")]

    def test_progress_has_no_percentage_when_the_length_is_unknown(self, outcomes: Any) -> None:
        told: list[Progress] = []
        outcomes("image_inference", (one for one in seeds(3)), progress=told.append)
        assert [(progress.completed, progress.total, progress.percent, progress.status) for progress in told] == [
            (1, 0, None, "running"), (2, 0, None, "running"), (3, 0, None, "running"), (3, 3, 100.0, "succeeded")
        ]  # fmt: skip

    def test_progress_of_a_failed_map_stays_below_100_percent(self, outcomes: Any) -> None:
        told: list[Progress] = []
        inputs = seeds(4)
        inputs[2] = {**PICTURE, "width": 100}
        with pytest.raises(ValidationError):
            outcomes("image_inference", inputs, progress=told.append, concurrency=1)
        assert [(progress.percent, progress.status) for progress in told] == [
            (25.0, "running"), (50.0, "running"), (50.0, "partial")
        ]  # fmt: skip

    def test_progress_of_a_map_that_fails_at_once_has_failed(self, outcomes: Any) -> None:
        told: list[Progress] = []
        with pytest.raises(ValidationError):
            outcomes("image_inference", [{**PICTURE, "width": 100}], progress=told.append)
        assert [(one.completed, one.percent, one.status) for one in told] == [(0, 0.0, "failed")]

    def test_map_that_is_left_early_reports_no_end(self, rw: Runware) -> None:
        told: list[Progress] = []
        results = rw.map(rw.image_inference, seeds(3), progress=told.append)
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert [one.status for one in told] == ["running"]

    @pytest.mark.parametrize(
        ("progress", "problem"),
        [
            ("bar", "must be True, False or a function; got 'bar'"),
            (lambda: None, "must take one argument: a Progress"),
            (asyncio.sleep, "must be a plain function, not a coroutine function"),
        ],
    )
    def test_progress_that_could_not_be_called_is_refused(
        self, outcomes: Any, rw: Runware, progress: Any, problem: str, server: LocalServer
    ) -> None:
        for run in (outcomes, lambda *_, **given: rw.image_inference(**PICTURE, **given)):
            with pytest.raises(ValidationError, match=problem) as caught:
                run("image_inference", seeds(2), progress=progress)
            assert caught.value.parameter == "progress"
        assert server.ledger.executed == 0

    def test_progress_bar_is_shown(self, outcomes: Any, capsys: pytest.CaptureFixture[str]) -> None:
        outcomes("image_inference", seeds(10), progress=True)
        assert "10/10" in capsys.readouterr().err

    @pytest.mark.parametrize("concurrency", [0, -1, 1.5, True])
    def test_invalid_concurrency_raises_value_error(self, outcomes: Any, concurrency: Any) -> None:
        with pytest.raises(ValueError, match="concurrency"):
            outcomes("image_inference", seeds(1), concurrency=concurrency)

    def test_unmappable_operation_or_input_raises(self, outcomes: Any) -> None:
        for arguments in ((len, ["x"]), (ImageInference,), (7,)):
            with pytest.raises(TypeError, match="map"):
                outcomes(*arguments)
        with pytest.raises(
            ValidationError, match=r"^map\(\) without an operation takes request objects .*; got 7\. Name"
        ):
            outcomes([7])
        with pytest.raises(ValidationError, match=r"<str of length 10>\. Name the operation first"):
            outcomes(["a red kite"])
        with pytest.raises(ValidationError, match="dict of parameters"):
            outcomes("account_management", [7])

    @pytest.mark.parametrize("inputs", ["a red kite", b"...", bytearray(b"x"), {"positive_prompt": "x"}])
    def test_single_input_instead_of_a_list_is_explained(self, outcomes: Any, inputs: Any) -> None:
        with pytest.raises(TypeError, match="Put it in a list"):
            outcomes("image_inference", inputs)
        with pytest.raises(TypeError, match="iterable of request objects"):
            requests_from(inputs, None)

    def test_invalid_inputs_become_exceptions_in_their_places(self, outcomes: Any, server: LocalServer) -> None:
        closed = io.BytesIO(b"...")
        closed.close()
        inputs: list[Any] = seeds(9)
        inputs[1] = {**PICTURE, "widht": 512}
        inputs[2] = {**PICTURE, 7: 8}
        inputs[4] = {**PICTURE, "timeout": "soon"}
        inputs[5] = {**PICTURE, "seed_image": closed}
        inputs[6] = 3.5
        answers = outcomes("image_inference", inputs, return_exceptions=True, concurrency=2)
        kinds = [type(answer) for answer in answers]
        expected: list[type] = [Results] * 9
        expected[1:3] = [UsageError, TypeError]
        expected[4:7] = [ConfigurationError, ValidationError, ValidationError]
        assert kinds == expected
        assert "did you mean 'width'" in str(answers[1])
        (answer,) = outcomes([{**PICTURE, "taskType": "imageInference", 7: 8}], return_exceptions=True)
        assert "must have names as keys; got the key 7." in str(answer)
        answers = outcomes("image_inference", inputs, return_exceptions=True, ordered=False)
        assert sorted(map(str, map(type, answers))) == sorted(map(str, expected))

    def test_invalid_input_is_raised_after_the_results_before_it(
        self, outcomes: Any, rw: Runware, server: LocalServer
    ) -> None:
        taken: list[Any] = []
        inputs = [*seeds(5), {**PICTURE, "widht": 512}, *seeds(5)]
        with pytest.raises(TypeError, match="widht"):
            outcomes("image_inference", inputs, progress=taken.append, concurrency=3)
        assert [one.completed for one in taken] == [1, 2, 3, 4, 5, 5]

    def test_exception_of_the_iterable_comes_after_everything_submitted(self, outcomes: Any) -> None:
        told: list[Any] = []

        def inputs() -> Iterator[Any]:
            yield from seeds(5)
            raise OSError("the disk is gone")

        for return_exceptions in (False, True):
            told.clear()
            with pytest.raises(OSError, match="disk"):
                outcomes(
                    "image_inference",
                    inputs(),
                    concurrency=3,
                    return_exceptions=return_exceptions,
                    progress=told.append,
                )
            assert [one.status for one in told] == ["running"] * 5 + ["partial"]

    def test_common_parameters_apply_to_every_input(self, outcomes: Any, server: LocalServer) -> None:
        common = {"model": "runware:101@1", "width": 256, "height": 320, "positive_prompt": "nothing"}
        request = ImageInference(positive_prompt="an object")
        inputs = ["a kite", {"positive_prompt": "a heron", "width": 512}, {"seed": 7}, request]
        assert len(outcomes("image_inference", inputs, common=common)) == 4
        tasks = [task for task in server.ledger.received if task["taskType"] == "imageInference"]
        sent = {task["positivePrompt"]: (task.get("model"), task.get("width"), task.get("height")) for task in tasks}
        assert sent == {
            "a kite": ("runware:101@1", 256, 320),
            "a heron": ("runware:101@1", 512, 320),
            "nothing": ("runware:101@1", 256, 320),
            "an object": (None, None, None),
        }

    def test_invalid_common_parameters_raise_type_error(self, outcomes: Any) -> None:
        with pytest.raises(TypeError, match="did you mean 'width'"):
            outcomes("image_inference", ["x"], common={"widht": 512}, return_exceptions=True)
        with pytest.raises(TypeError, match="must be a dict"):
            outcomes("image_inference", ["x"], common=["width"])
        with pytest.raises(TypeError, match="together with an operation"):
            outcomes([ImageInference(positive_prompt="x")], common={"width": 512})

    def test_empty_input_gives_no_results(self, outcomes: Any) -> None:
        assert outcomes("image_inference", []) == []


@pytest.mark.parametrize(
    ("request_class", "value", "common", "wire"),
    [
        ("ImageInference", "a kite", {}, {"positivePrompt": "a kite"}),
        ("PhotoMaker", "a kite", {"input_images": [IMAGE]}, {"positivePrompt": "a kite"}),
        ("VideoInference", "a kite", {"model": "m"}, {"positivePrompt": "a kite", "model": "m"}),
        ("AudioInference", "a song", {"model": "m"}, {"positivePrompt": "a song"}),
        ("ThreeDInference", "a chair", {"model": "m"}, {"positivePrompt": "a chair"}),
        ("TextInference", "hello", {"model": "m"}, {"messages": [{"role": "user", "content": "hello"}]}),
        (
            "TextInference",
            [{"role": "a", "content": "b"}],
            {"model": "m"},
            {"messages": [{"role": "a", "content": "b"}]},
        ),
        ("PromptEnhance", "a kite", {}, {"prompt": "a kite"}),
        ("Upscale", IMAGE, {}, {"inputImage": IMAGE}),
        ("RemoveBackground", IMAGE, {}, {"inputImage": IMAGE}),
        ("Caption", IMAGE, {}, {"inputImage": IMAGE}),
        ("ControlNetPreprocess", IMAGE, {}, {"inputImage": IMAGE}),
        ("ImageMasking", IMAGE, {}, {"inputImage": IMAGE}),
        ("Vectorize", Image(uuid=IMAGE), {}, {"inputs": {"image": IMAGE}}),
        ("ModelSearch", "realistic", {}, {"search": "realistic"}),
        ("Training", "acme:1@1", {}, {"model": "acme:1@1"}),
        ("ImageUpload", IMAGE, {}, {"image": IMAGE}),
        ("MediaStorage", IMAGE, {}, {"media": IMAGE}),
        ("GetResponse", UUID, {}, {}),
        ("GetTaskDetails", UUID, {}, {}),
    ],
)
def test_single_value_becomes_the_main_parameter(request_class: str, value: Any, common: Any, wire: Any) -> None:
    (task,) = requests_from(getattr(runware, request_class), [value], common)
    assert isinstance(task, Task), task
    assert wire.items() <= task.wire().items()
    if not wire:
        assert task.task_uuid == UUID


@pytest.mark.parametrize("request_class", ["ModelUpload", "AccountManagement"])
def test_requests_without_a_main_parameter_need_a_dict(request_class: str) -> None:
    (error,) = requests_from(getattr(runware, request_class), ["x"])
    assert isinstance(error, ValidationError)
    assert "needs a dict of parameters" in str(error)


WIRE = {"positivePrompt": "a wire", "width": 512, "height": 512}


class TestLaziness:
    def test_inputs_are_taken_only_as_slots_become_free(self, rw: Runware) -> None:
        taken = 0

        def inputs() -> Iterator[dict[str, Any]]:
            nonlocal taken
            for seed in itertools.count(1):  # endless
                taken += 1
                yield {**PICTURE, "seed": seed}

        answers = rw.map(rw.image_inference, inputs(), concurrency=4)
        first = list(itertools.islice(answers, 20))
        assert [answer[0].seed for answer in first] == list(range(1, 21))
        assert taken <= 20 + 4 * 4 + 1
        answers.close()  # type: ignore[attr-defined]

    @pytest.mark.parametrize("ordered", [True, False])
    def test_endless_invalid_inputs_are_taken_one_by_one(self, rw: Runware, ordered: bool) -> None:
        wrong = itertools.repeat({"widht": 512})
        answers = rw.map(rw.image_inference, wrong, concurrency=4, ordered=ordered, return_exceptions=True)
        assert [type(answer) for answer in itertools.islice(answers, 50)] == [UsageError] * 50

    def test_leaving_map_early_cancels_what_runs(self, rw: Runware, server: LocalServer) -> None:
        answers = rw.map(rw.image_inference, seeds(100), concurrency=4)
        next(answers)
        with server.hold():
            answers.close()  # type: ignore[attr-defined]
            rw.connect()
            assert rw._core._io_loop is not None
            assert rw._core._io_loop._session.calls == {}

    def test_leaving_async_map_early_cancels_what_runs(self, rw: Runware) -> None:
        async def main() -> None:
            answers = rw.aio.map(rw.aio.image_inference, seeds(100), concurrency=4)
            async for _ in answers:
                break
            await answers.aclose()  # type: ignore[attr-defined]
            await rw.aio.connect()

        asyncio.run(main())
        assert rw._core._io_loop is not None
        assert rw._core._io_loop._session.calls == {}

    def test_slow_call_does_not_hold_up_the_others(self, rw: Runware, server: LocalServer) -> None:
        first = threading.Event()

        def script(task: dict[str, Any]) -> list[Any] | None:
            return [] if task.get("seed") == 1 and not first.is_set() else None

        server.script(script)
        with pytest.raises(RunwareError):  # the first one never arrives
            list(rw.map(rw.image_inference, [{**one, "timeout": 0.5} for one in seeds(40)], concurrency=4))
        done = [task for task in server.ledger.received if task.get("seed")]
        assert len(done) >= 15  # four times the window ran ahead of it


class TestHostileNetwork:
    def test_thousand_calls_survive_a_drop_and_a_rate_limit(self, rw: Runware, server: LocalServer) -> None:
        server.play("X16")
        inputs = [{**PICTURE, "positive_prompt": f"kite {number}", "seed": number} for number in range(1, 1001)]
        inputs[500]["positive_prompt"] = "[rate-limit:1] kite 501"
        inputs[501]["include_cost"] = True
        seen = []
        for number, (image,) in enumerate(rw.map(rw.image_inference, inputs, concurrency=64), 1):
            seen.append(image.seed)
            if number == 300:
                server.drop()
        assert seen == list(range(1, 1001))
        executed = server.ledger.executions_by_prompt()
        assert all(executed[one["positive_prompt"]] == 1 for one in inputs)


def wait_for_watchers() -> None:
    for thread in threading.enumerate():
        if thread.name == "runware-progress":
            thread.join(10)


class TestProgressOfCalls:
    def test_progress_function_is_called_for_each_change(self, rw: Runware, server: LocalServer) -> None:
        told: list[Progress] = []
        over = threading.Event()

        def show(progress: Progress) -> None:
            told.append(progress)
            if progress.status == "succeeded":
                over.set()

        images = rw.image_inference(**PICTURE, number_results=3, progress=show)
        assert over.wait(10)
        assert len(images) == 3
        assert told[-1][:3] == (3, 3, None)

    def test_percent_is_100_when_a_job_has_succeeded(self, rw: Runware, server: LocalServer) -> None:
        told: list[Progress] = []
        with server.hold("videoInference"):
            job = rw.submit.video_inference(positive_prompt="waves", model="klingai:5@3", progress=told.append)
            until(lambda: job.progress.percent is not None)  # so that the server has reported the progress
            assert job.progress.percent < 100
        assert job.result(20)
        wait_for_watchers()
        assert job.progress[:3] == told[-1][:3] == (1, 1, 100.0)
        assert [now.status for now in told if now.percent == 100.0] == ["succeeded"]

    @pytest.mark.parametrize("end", ["failed", "cancelled"])
    def test_percent_of_an_unsuccessful_job_stays_below_100(self, rw: Runware, server: LocalServer, end: str) -> None:
        told: list[Progress] = []
        words = "[provider-error] waves" if end == "failed" else "waves"
        with server.hold("videoInference"):
            job = rw.submit.video_inference(
                positive_prompt=words, model="klingai:5@3", progress=told.append, retry=0, number_results=2
            )
            until(lambda: job.progress.percent is not None or job.done())
            if end == "cancelled":
                job.cancel()
        until(job.done)
        wait_for_watchers()
        assert (told[-1].status, job.status) == (end, end)
        assert all(now.percent is None or now.percent < 100 for now in told)
        assert job.progress.percent is None or job.progress.percent < 100

    def test_percent_stays_none_when_the_server_reports_none(self, rw: Runware) -> None:
        job = rw.submit.image_inference(**PICTURE)
        job.result(20)
        assert job.progress[:3] == (1, 1, None)

    @pytest.mark.parametrize("progress", ["True", "lambda now: print(now.status, now.percent, file=sys.stderr)"])
    def test_bar_shows_the_end_when_the_program_exits_at_once(self, server: LocalServer, progress: str) -> None:
        code = f"""
import atexit, sys, threading
import runware.display.progress
from runware import Runware
ending, run = threading.Event(), threading.Thread.run
atexit.register(ending.set)
def late(thread):
    if thread.name == "runware-progress":
        ending.wait(10)  # like a thread that the system starts late
    run(thread)
threading.Thread.run = late
rw = Runware({server.api_key!r}, url={server.url!r})
rw.image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512, progress={progress})
"""
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
        assert "succeeded" in shown.stderr

    def test_bar_counts_several_results(self, rw: Runware, capsys: pytest.CaptureFixture[str]) -> None:
        job = rw.submit.image_inference(**PICTURE, number_results=3, progress=True)
        job.result()
        wait_for_watchers()
        assert "3/3" in capsys.readouterr().err

    def test_bar_of_a_video_shows_time_and_state_without_a_percentage(
        self, rw: Runware, server: LocalServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rw.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5, progress=True)
        wait_for_watchers()
        shown = capsys.readouterr().err
        assert "videoInference: 00:0" in shown
        assert "succeeded" in shown
        assert "it/s" not in shown

    def test_progress_without_tqdm_names_what_to_install(self, rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        monkeypatch.setattr(progress, "auto", lazy_module("tqdm.auto"))
        with pytest.raises(ConfigurationError, match=r"runware-client\[progress\]"):
            rw.image_inference(**PICTURE, progress=True)
        assert isinstance(rw.image_inference(**PICTURE)[0], Image)


def test_budget_of_a_map_limits_streams(server: LocalServer, rw: Runware, outcomes: Any) -> None:
    text = {"model": "anthropic:claude@fable-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
    estimate = rw.estimate(StreamText(**text)).cost
    assert estimate is not None
    found = outcomes("stream_text", [text] * 3, budget=estimate * 0.9, return_exceptions=True)
    assert [type(one) for one in found] == [BudgetExceededError] * 3
    assert "of this map()" in str(found[0])
    assert server.ledger.executed == 0
    found = outcomes("stream_text", [text] * 5, budget=estimate * 1.5, return_exceptions=True, concurrency=1)
    (whole, *_) = found
    assert whole.cost > 0
    billed = sum(one.cost for one in found if isinstance(one, Text))
    assert billed == pytest.approx(server.ledger.billed)
    assert billed <= estimate * 1.5


def test_run_of_streams_is_refused(server: LocalServer, tmp_path: pathlib.Path) -> None:
    text = {"model": "anthropic:claude@fable-5", "messages": [{"role": "user", "content": "Hello"}]}
    with (
        Runware(server.api_key, url=server.url, store=tmp_path / "jobs.db") as rw,
        pytest.raises(UsageError, match="text_inference") as caught,
    ):
        list(rw.map(rw.stream_text, [text], run="nightly"))
    assert caught.value.parameter == "run"
    assert server.ledger.executed == 0


def test_map_with_a_budget_ends_on_a_closed_client(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, timeout=20.0) as rw:
        images = rw.map(rw.image_inference, seeds(3), budget=1.0, concurrency=1)
        next(images)
    images.close()
