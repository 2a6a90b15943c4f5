"""The three interface forms over a real socket, by the same test bodies."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from typing import Any

import pytest

import runware._support.event_loops
from runware import (
    AsyncRunware,
    AuthenticationError,
    ClientClosedError,
    Image,
    ImageInference,
    IncompleteResultsError,
    Job,
    Results,
    Runware,
    RunwareAsyncUsageWarning,
    TaskCancelledError,
    TaskTimeoutError,
    ValidationError,
    WrongThreadError,
)
from runware.local import LocalServer
from runware.transport.loop_inbox import LoopWait

from .conftest import Interface, until

PICTURE = {"positive_prompt": "a red kite over dunes", "model": "runware:101@1", "width": 512, "height": 512}


class TestEveryInterface:
    def test_image_inference_returns_results(self, rw: Runware, server: LocalServer, interface: Interface) -> None:
        images = interface(rw, "image_inference", **PICTURE, seed=77, include_cost=True, output_format="PNG")
        assert isinstance(images, Results)
        (image,) = images
        assert isinstance(image, Image)
        assert image.seed == 77
        assert image.cost == images.cost
        assert image.url is not None
        assert image.url.endswith(".png")
        assert image.raw["imageURL"] == image.url == image.image_url
        (sent,) = [task for task in server.ledger.received if task["taskType"] == "imageInference"]
        assert sent == {
            "taskType": "imageInference",
            "taskUUID": image.task_uuid,
            "positivePrompt": "a red kite over dunes",
            "model": "runware:101@1",
            "width": 512,
            "height": 512,
            "seed": 77,
            "includeCost": True,
            "outputFormat": "PNG",
        }

    def test_alias_returns_the_same_results(self, rw: Runware, interface: Interface) -> None:
        assert len(interface(rw, "request_images", **PICTURE, number_results=3)) == 3

    def test_server_error_is_raised_with_its_parameter(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(ValidationError) as caught:
            interface(rw, "image_inference", **{**PICTURE, "width": 100})
        assert caught.value.parameter == "width"
        assert caught.value.task_type == "imageInference"
        assert caught.value.task_uuid

    def test_wrong_type_is_rejected_before_anything_is_sent(
        self, rw: Runware, server: LocalServer, interface: Interface
    ) -> None:
        with pytest.raises(ValidationError, match="width must be int; got '512'") as caught:
            interface(rw, "image_inference", **{**PICTURE, "width": "512"})
        assert caught.value.parameter == "width"
        assert server.ledger.received == []

    def test_unknown_parameter_is_a_type_error(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(TypeError, match="positive_promt"):
            interface(rw, "image_inference", positive_promt="x")

    def test_timeout_says_that_the_task_may_run(self, rw: Runware, server: LocalServer, interface: Interface) -> None:
        with server.hold(), pytest.raises(TaskTimeoutError) as caught:
            interface(rw, "image_inference", **PICTURE, timeout=0.2)
        assert caught.value.may_be_running

    def test_failure_of_some_results_keeps_the_others(self, rw: Runware, interface: Interface) -> None:
        parameters = {**PICTURE, "positive_prompt": "[fail:2] a kite"}
        with pytest.raises(IncompleteResultsError) as caught:
            interface(rw, "image_inference", **parameters, number_results=3, retry=0, seed=5)
        assert len(caught.value.results) == 2
        assert all(isinstance(image, Image) for image in caught.value.results)

    def test_wrong_key_raises_authentication_error(self, server: LocalServer, interface: Interface) -> None:
        client = Runware("rw-wrong-key", url=server.url)
        try:
            with pytest.raises(AuthenticationError):
                interface(client, "image_inference", **PICTURE)
        finally:
            client.close()

    def test_call_after_close_raises(self, rw: Runware, interface: Interface) -> None:
        rw.close()
        with pytest.raises(ClientClosedError):
            interface(rw, "image_inference", **PICTURE)

    def test_on_partial_receives_each_result(self, rw: Runware, server: LocalServer, interface: Interface) -> None:
        seen: list[tuple[int, int, int]] = []
        server.configure(frame_size=1)

        def on_partial(results: Any, error: Any) -> None:
            assert error is None
            assert all(isinstance(image, Image) for image in results.all)
            seen.append((len(results), results.completed, results.total))
            if results.completed == 5:
                told.set()

        told = threading.Event()
        images = interface(rw, "image_inference", **PICTURE, number_results=5, on_partial=on_partial)
        assert told.wait(10)
        assert len(images) == 5
        assert seen[-1][1:] == (5, 5)
        assert sum(new for new, _, _ in seen) == 5

    def test_on_partial_receives_results_and_then_the_error(self, rw: Runware, interface: Interface) -> None:
        told: list[Any] = []
        done = threading.Event()

        def on_partial(results: Any, error: Any) -> None:
            told.append((len(results.all), error))
            if error is not None:
                done.set()

        parameters = {**PICTURE, "positive_prompt": "[fail:4] a kite", "on_partial": on_partial}
        with pytest.raises(IncompleteResultsError):
            interface(rw, "image_inference", **parameters, number_results=4, retry=0, seed=5)
        assert done.wait(10)
        completed, error = told[-1]
        assert completed == 3
        assert isinstance(error, IncompleteResultsError)

    def test_callback_that_raises_disturbs_no_call(
        self, rw: Runware, interface: Interface, caplog: pytest.LogCaptureFixture
    ) -> None:
        def on_partial(results: Any, error: Any) -> None:
            raise RuntimeError("the callback's own trouble")

        assert len(interface(rw, "image_inference", **PICTURE, on_partial=on_partial)) == 1

    def test_run_takes_request_objects_and_api_objects(
        self, rw: Runware, server: LocalServer, interface: Interface
    ) -> None:
        task = runware.ImageInference(**PICTURE)
        assert len(interface(rw, "run", task=task)) == 1
        (raw,) = interface(
            rw, "run", task={"taskType": "imageInference", "positivePrompt": "a kite", "width": 512, "height": 512}
        )
        assert raw.raw["imageURL"]

    def test_run_without_a_task_raises(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(ValidationError, match="needs a task_type"):
            interface(rw, "run", task={})
        with pytest.raises(ValidationError, match="request object or a dict"):
            interface(rw, "run", task=7)

    def test_given_uuid_and_extra_are_sent(self, rw: Runware, server: LocalServer, interface: Interface) -> None:
        uuid = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
        (image,) = interface(rw, "image_inference", **PICTURE, task_uuid=uuid, extra={"novelKey": {"snake_case": 1}})
        assert image.task_uuid == uuid
        assert server.ledger.received[-1]["novelKey"] == {"snake_case": 1}

    def test_reused_uuid_is_a_conflict(self, rw: Runware, interface: Interface) -> None:
        uuid = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
        interface(rw, "image_inference", **PICTURE, task_uuid=uuid)
        with pytest.raises(runware.ConflictError):
            interface(rw, "image_inference", **PICTURE, task_uuid=uuid)


class TestJobs:
    def test_iterating_yields_each_result_as_it_arrives(self, rw: Runware, server: LocalServer) -> None:
        server.configure(frame_size=1)
        with server.hold():
            job = rw.submit.image_inference(**PICTURE, number_results=3)
            results = iter(job)
            server.ledger.wait_for(lambda ledger: ledger.held == 3)
            server.release(1)
            assert isinstance(next(results), Image)
            assert not job.done()
            assert len(job.results) == 1
            server.release()
            assert len(list(results)) == 2
        assert job.status == "succeeded"

    def test_iterating_ends_with_the_error(self, rw: Runware) -> None:
        job = rw.submit.image_inference(
            **{**PICTURE, "positive_prompt": "[fail:3] kite"}, number_results=3, retry=0, seed=1
        )
        seen = []
        with pytest.raises(IncompleteResultsError):
            for image in job:
                seen.append(image)
        assert len(seen) == 2
        assert job.status == "partial"

    def test_async_iteration_yields_every_result(self, rw: Runware, server: LocalServer) -> None:
        server.configure(frame_size=1)

        async def main() -> int:
            return len([image async for image in rw.submit.image_inference(**PICTURE, number_results=4)])

        assert asyncio.run(main()) == 4

    def test_several_loops_and_threads_may_await_a_job(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)

            async def main() -> Any:
                return await job

            with ThreadPoolExecutor(8) as pool:
                waiting = [pool.submit(asyncio.run, main()) for _ in range(4)]
                waiting += [pool.submit(job.result) for _ in range(4)]
                server.release()
                answers = [future.result(20) for future in waiting]
        assert all(answer is answers[0] for answer in answers)

    def test_wait_and_as_completed_accept_jobs(self, rw: Runware) -> None:
        jobs = [rw.submit.image_inference(**PICTURE) for _ in range(5)]
        done, pending = wait(jobs, timeout=20)
        assert (len(done), len(pending)) == (5, 0)
        assert {len(job.result()) for job in as_completed(jobs, timeout=20)} == {1}

    @pytest.mark.parametrize("how", [wait, lambda jobs, timeout: list(as_completed(jobs, timeout))])
    def test_wait_and_as_completed_see_a_cancelled_job(
        self, how: Callable[..., Any], rw: Runware, server: LocalServer
    ) -> None:
        with server.hold():
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(2)]
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(how, jobs, timeout=20)
                while not all(job._waiters for job in jobs):
                    time.sleep(0.001)
                assert jobs[0].cancel()
                assert jobs[0].cancel()
                server.release()
                waiting.result(20)
        assert jobs[0].cancelled()
        assert not jobs[1].cancel()

    def test_cancelled_job_raises_and_the_client_goes_on(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            assert job.cancel()
            assert job.status == "cancelled"
            with pytest.raises(TaskCancelledError):
                job.result()
            with pytest.raises(TaskCancelledError):
                asyncio.run(job.wait_async())
            with pytest.raises(TaskCancelledError):
                list(job)
        assert len(rw.image_inference(**PICTURE)) == 1
        assert not job.done() or job.cancelled()

    def test_cancelling_one_waiter_does_not_cancel_the_job(self, rw: Runware, server: LocalServer) -> None:
        async def main() -> None:
            with server.hold():
                job = rw.submit.image_inference(**PICTURE)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(job, 0.05)
                assert not job.done()
                server.release()
                assert len(await job) == 1

        asyncio.run(main())

    def test_cancelling_the_asyncio_caller_cancels_the_call(self, rw: Runware, server: LocalServer) -> None:
        async def main() -> None:
            with server.hold():
                task = asyncio.create_task(rw.aio.image_inference(**PICTURE))
                await asyncio.to_thread(
                    server.ledger.wait_for,
                    lambda ledger: any(t["taskType"] == "imageInference" for t in ledger.received),
                )
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        asyncio.run(main())
        io_loop = rw._core._io_loop
        assert io_loop is not None
        rw.connect()  # after the cancellation in the same inbox
        assert io_loop._session.calls == {}

    def test_every_waiter_gets_its_own_exception(self, rw: Runware) -> None:
        job = rw.submit.image_inference(**{**PICTURE, "width": 100})
        errors = []
        for _ in range(2):
            with pytest.raises(ValidationError) as caught:
                job.result()
            errors.append(caught.value)
        assert errors[0] is not errors[1]
        assert str(errors[0]) == str(errors[1])

    def test_done_callbacks_run_on_the_callback_thread(self, rw: Runware, server: LocalServer) -> None:
        names: list[str] = []
        told = threading.Event()

        def callback(job: Any) -> None:
            names.append(threading.current_thread().name)
            told.set()

        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            job.add_done_callback(callback)
            server.release()
            assert told.wait(10)
        assert names == ["runware-callbacks"]

    def test_blocking_call_in_a_callback_raises_instead_of_hanging(self, rw: Runware, server: LocalServer) -> None:
        caught: list[BaseException] = []
        told = threading.Event()

        def callback(job: Any) -> None:
            try:
                rw.image_inference(**PICTURE)
            except BaseException as error:
                caught.append(error)
            told.set()

        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            job.add_done_callback(callback)
            server.release()
            assert told.wait(10)
        assert isinstance(caught[0], WrongThreadError)

    def test_waiting_with_a_timeout_leaves_the_job_alone(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            with pytest.raises(TimeoutError):
                job.result(0.05)
            server.release()
            assert len(job.result(10)) == 1

    def test_job_does_not_keep_its_request(self, rw: Runware, server: LocalServer) -> None:
        # The request may hold large media, which have been sent.
        task = ImageInference(**PICTURE)
        held = weakref.ref(task)
        with server.hold("imageInference"):
            job = rw.submit.run(task)
            del task
            gc.collect()
            assert held() is None
        assert len(job.result(20)) == 1

    def test_job_keeps_its_client_alive(self, server: LocalServer) -> None:
        job = Runware(server.api_key, url=server.url).submit.image_inference(**PICTURE)
        assert len(job.result(20)) == 1


class TestLifeCycle:
    def test_construction_does_nothing(self, server: LocalServer) -> None:
        before = threading.active_count()
        client = Runware(server.api_key, url=server.url)
        assert threading.active_count() == before
        assert server.ledger.connections == 0
        assert "not connected" in repr(client)

    def test_initialize_connects(self, server: LocalServer) -> None:
        client = Runware.initialize(server.api_key, url=server.url)
        assert server.ledger.connections == 1
        assert "ready" in repr(client)
        client.disconnect()
        assert client.closed

    def test_initialize_with_a_wrong_key_raises_at_once(self, server: LocalServer) -> None:
        with pytest.raises(AuthenticationError):
            Runware.initialize("rw-wrong-key", url=server.url)

    def test_repeated_connect_uses_one_connection(self, rw: Runware, server: LocalServer) -> None:
        rw.connect()
        rw.ensure_connection()
        rw.connect(timeout=5.0)
        assert server.ledger.connections == 1

    def test_context_manager_connects_and_closes(self, server: LocalServer) -> None:
        with Runware(server.api_key, url=server.url) as client:
            assert server.ledger.connections == 1
            client.image_inference(**PICTURE)
        with pytest.raises(ClientClosedError):
            client.image_inference(**PICTURE)

    def test_async_context_manager_and_initialize_connect_and_close(self, server: LocalServer) -> None:
        async def main() -> None:
            async with AsyncRunware(server.api_key, url=server.url) as client:
                assert len(await client.image_inference(**PICTURE)) == 1
                await client.ensure_connection()
                assert len(await client.submit.image_inference(**PICTURE)) == 1
            with pytest.raises(ClientClosedError):
                await client.image_inference(**PICTURE)
            other = await AsyncRunware.initialize(server.api_key, url=server.url)
            await other.disconnect()

        asyncio.run(main())

    def test_close_ends_running_calls(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: any(t["taskType"] == "imageInference" for t in ledger.received))
            start = time.monotonic()
            rw.close()
            assert time.monotonic() - start < 5.0
        with pytest.raises(ClientClosedError, match="may still run"):
            job.result(5)

    def test_close_twice_or_unused_does_nothing(self, rw: Runware) -> None:
        rw.close()
        rw.close()

    def test_fifty_event_loops_one_after_another_use_one_client(self, rw: Runware, server: LocalServer) -> None:
        async def main() -> int:
            return len(await rw.aio.image_inference(**PICTURE))

        assert [asyncio.run(main()) for _ in range(50)] == [1] * 50
        assert server.ledger.connections == 1

    def test_blocking_call_in_an_event_loop_works_and_warns_once(
        self, rw: Runware, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runware._support.event_loops, "_warned", [])

        async def main() -> int:
            return len(rw.image_inference(**PICTURE)) + len(rw.image_inference(**PICTURE))

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert asyncio.run(main()) == 2
        assert [warning.category for warning in caught] == [RunwareAsyncUsageWarning]
        assert "rw.aio" in str(caught[0].message)
        assert caught[0].filename == __file__

    def test_many_threads_and_loops_share_one_connection(self, rw: Runware, server: LocalServer) -> None:
        """64 threads and 20 event loops, 50 calls each: every result reaches its own caller."""

        def thread(number: int) -> None:
            for turn in range(50):
                seed = number * 1000 + turn + 1
                (image,) = rw.image_inference(**PICTURE, seed=seed)
                assert image.seed == seed

        async def one(seed: int) -> None:
            (image,) = await rw.aio.image_inference(**PICTURE, seed=seed)
            assert image.seed == seed

        async def loop(number: int) -> None:
            await asyncio.gather(*(one(1_000_000 + number * 1000 + turn) for turn in range(50)))

        with ThreadPoolExecutor(84) as pool:
            running = [pool.submit(thread, number) for number in range(64)]
            running += [pool.submit(asyncio.run, loop(number)) for number in range(20)]
            for future in running:
                future.result(55)
        assert server.ledger.connections == 1
        assert len([task for task in server.ledger.received if task["taskType"] == "imageInference"]) == 84 * 50


def test_signature_and_docstring_show_every_parameter() -> None:
    client = Runware("rw-test-key", url="ws://127.0.0.1:9")
    fields = {field.name for field in runware.ImageInference.__attrs_attrs__}
    for operation in (client.image_inference, client.submit.image_inference, client.aio.image_inference):
        signature = inspect.signature(operation)
        assert set(signature.parameters) == fields
        assert next(iter(signature.parameters)) == "positive_prompt"
        assert signature.parameters["width"].default is None
        for name in fields:
            assert f"\n    {name}: " in (inspect.getdoc(operation) or "")
    assert isinstance(Job.__doc__, str)


class TestApiFieldsDecide:
    """What is sent decides how a task is answered, whether it came from parameters, `extra` or a dict."""

    def test_result_count_in_extra_or_dict_is_expected(self, rw: Runware, server: LocalServer) -> None:
        server.configure(spread=0.01)
        assert len(rw.image_inference(**PICTURE, extra={"numberResults": 3})) == 3
        assert len(rw.run({"taskType": "promptEnhance", "prompt": "a kite", "promptVersions": 3})) == 3

    def test_dict_of_a_model_upload_waits_for_its_statuses(self, rw: Runware) -> None:
        model = {"category": "lora", "architecture": "sdxl", "name": "n", "version": "1", "air": "me:1@1"}
        source = {"format": "safetensors", "downloadURL": "https://example.com/x.safetensors"}
        (uploaded,) = rw.run({"taskType": "modelUpload", **model, **source})
        assert uploaded.status == "ready"

    def test_costs_are_requested_only_where_the_api_has_them(self, server: LocalServer) -> None:
        with Runware(server.api_key, url=server.url, include_cost=True) as rw:
            assert rw.image_inference(**PICTURE).cost is not None
            assert rw.model_search(search="flux").total_results
        (searched,) = server.ledger.tasks("modelSearch")
        assert "includeCost" not in searched

    def test_skipped_response_returns_the_acknowledgement(self, rw: Runware, server: LocalServer) -> None:
        with server.hold("imageInference"):
            said = rw.image_inference(**PICTURE, number_results=3, skip_response=True)
        assert len(said) == 1
        assert len(rw.job(said[0].task_uuid).result(20)) == 3


def test_value_that_contains_itself_is_rejected_in_every_interface(rw: Runware, interface: Interface) -> None:
    rw.connect()
    circle: dict[str, Any] = {}
    circle["again"] = circle
    for given in ({"extra": circle}, {"safety": circle}):
        with pytest.raises(ValidationError, match="contains itself"):
            interface(rw, "image_inference", **PICTURE, **given)


class TestAsyncioWithAllThreadsBusy:
    """All worker threads of the event loop are busy, and stay so."""

    @staticmethod
    async def take_all_threads(until: threading.Event) -> list[asyncio.Task[bool]]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = [asyncio.create_task(asyncio.to_thread(until.wait, 30))]
        await asyncio.sleep(0)
        return busy

    def test_connect_call_and_close_need_no_worker_thread(self, server: LocalServer) -> None:
        async def main() -> None:
            free = threading.Event()
            busy = await self.take_all_threads(free)
            rw = AsyncRunware(server.api_key, url=server.url, timeout=20.0)
            async with asyncio.timeout(25):
                await rw.connect()
                stored = await rw.image_upload(image=b"\x89PNG\r\n\x1a\n" + bytes(50))
                assert stored.uuid
                await rw.close()
            free.set()
            await asyncio.gather(*busy)

        asyncio.run(main())

    def test_call_cancelled_while_it_is_encoded_is_not_sent(self, rw: Runware, server: LocalServer) -> None:
        rw.connect()
        begun, go_on = threading.Event(), threading.Event()
        submit = rw._core.submit

        def slow(*arguments: Any) -> Any:
            begun.set()
            go_on.wait(20)
            return submit(*arguments)

        async def main() -> None:
            picture = b"\x89PNG\r\n\x1a\n" + bytes(50)
            call = asyncio.create_task(rw.aio.image_inference(**PICTURE, seed_image=picture, strength=0.5))
            await asyncio.get_running_loop().run_in_executor(None, begun.wait, 20)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            go_on.set()

        rw._core.submit = slow  # type: ignore[method-assign]
        with server.hold("imageInference"):
            asyncio.run(main())
            rw._core.submit = submit  # type: ignore[method-assign]
            until(lambda: rw.stats.cancelled == 1)


def test_callback_runs_before_the_result_even_if_that_is_there_first(
    rw: Runware, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_in_loop = Job.wait_in_loop

    def late(job: Job[Any]) -> LoopWait:
        assert job.wait_done(20)  # it is over before it is awaited
        return wait_in_loop(job)

    monkeypatch.setattr(Job, "wait_in_loop", late)

    async def main() -> None:
        told: list[int] = []
        await rw.aio.image_inference(**PICTURE, on_partial=lambda results, error: told.append(len(results)))
        assert told == [1]

    asyncio.run(main())


def test_callback_that_raises_cancelled_error_does_not_hang_the_call(rw: Runware) -> None:
    async def main() -> None:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        call = rw.aio.image_inference(**PICTURE, on_partial=lambda results, error: gone.result())
        assert len(await asyncio.wait_for(call, 20)) == 1

    asyncio.run(main())


def test_callback_that_exits_does_not_stop_later_ones(rw: Runware, server: LocalServer) -> None:
    told = threading.Event()
    with server.hold("imageInference"):  # otherwise the callback of a finished job would run, and exit, in this thread
        first = rw.submit.image_inference(**PICTURE)
        first.add_done_callback(lambda job: sys.exit(1))
        second = rw.submit.image_inference(**PICTURE)
        second.add_done_callback(lambda job: told.set())
    assert told.wait(20)


def test_event_loop_whose_waits_timed_out_is_released(rw: Runware, server: LocalServer) -> None:
    rw.connect()
    left: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main(jobs: list[Job[Any]]) -> None:
        left.append(weakref.ref(asyncio.get_running_loop()))
        for job in jobs:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(job.wait_async(), 0.01)

    for _ in range(3):
        with server.hold("imageInference"):
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(3)]
            asyncio.run(main(jobs))
        assert all(len(job.result(20)) == 1 for job in jobs)
        jobs.clear()
    gc.collect()
    assert [loop() for loop in left] == [None, None, None]


def test_callback_error_is_printed_without_configured_logging(server: LocalServer) -> None:
    script = f"""
from runware import Runware
rw = Runware({server.api_key!r}, url={server.url!r})
rw.image_inference(**{PICTURE!r}, on_partial=lambda results, error: 1 / 0)
with rw:
    pass
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert "ZeroDivisionError" in done.stderr


def test_program_that_ends_too_early_names_its_unfinished_calls(server: LocalServer) -> None:
    script = f"""
from runware import Runware
rw = Runware({server.api_key!r}, url={server.url!r})
rw.connect()
print(rw.submit.image_inference(**{PICTURE!r}).task_uuid)
"""
    with server.hold("imageInference"):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.strip() in done.stderr
    assert "result()" in done.stderr


def test_jobs_and_clients_refuse_pickling_and_copying_as_documented(rw: Runware) -> None:
    job = rw.submit.image_inference(**PICTURE)
    with pytest.raises(TypeError, match=r"rw\.job\(ref\)"):
        pickle.dumps(job)
    assert copy.copy(rw) is copy.deepcopy(rw) is rw
