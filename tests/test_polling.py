"""Long tasks: acknowledged and polled, looked up, collected elsewhere, and the ways they fail."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from runware import (
    Acknowledgement,
    ContentModerationError,
    IncompleteResultsError,
    NotFoundError,
    ProviderError,
    Runware,
    RunwareError,
    TaskTimeoutError,
    UploadedModel,
    ValidationError,
    Video,
)
from runware.local import LocalServer

from .conftest import Interface
from .net import listening, read_head

PROJECT = pathlib.Path(__file__).parent.parent
CLIP: dict[str, Any] = {"positive_prompt": "waves at dusk", "model": "klingai:5@3", "duration": 5}
PICTURE: dict[str, Any] = {"positive_prompt": "a red kite", "model": "runware:101@1", "width": 512, "height": 512}
UPLOAD: dict[str, Any] = {
    "category": "lora",
    "architecture": "sdxl",
    "name": "mine",
    "version": "v1",
    "download_url": "https://example.com/m.safetensors",
    "unique_identifier": "abc",
}


def new_uuid() -> str:
    return str(uuid.uuid4())


class TestSchedule:
    def test_two_hundred_videos_of_different_length_are_polled_on_one_connection(
        self, rw: Runware, server: LocalServer
    ) -> None:
        """Each is polled on its own schedule, none is polled once it is done, and all share a connection."""
        count, shortest, longest = 200, 0.05, 1.6
        lengths = {
            number: shortest + (longest - shortest) * (number - 1) / (count - 1) for number in range(1, count + 1)
        }
        server.configure(delay=lambda task: lengths[task["seed"]] if task["taskType"] == "videoInference" else 0.0)
        asked_when_done: Counter[str] = Counter()

        def watch(task: dict[str, Any]) -> None:
            if task["taskType"] == "getResponse":
                asked_when_done[task["taskUUID"]] += server._state.runs[task["taskUUID"]].done

        server.script(watch)
        # Not in the order of their durations.
        jobs = {
            seed: rw.submit.video_inference(**CLIP, seed=seed) for seed in sorted(lengths, key=lambda n: n * 37 % 201)
        }
        for seed, job in jobs.items():
            (video,) = job.result(30)
            assert video.seed == seed
            assert video.task_uuid == job.task_uuid
            assert server.ledger.executions(job.task_uuid) == 1

        rw.image_inference(**PICTURE)  # whatever was still in transit has arrived before this is answered
        assert set(asked_when_done.values()) == {1}
        assert len(asked_when_done) == count
        polls = [server.ledger.polls(jobs[seed].task_uuid) for seed in sorted(jobs)]
        assert sum(polls[-20:]) > 2 * sum(polls[:20])
        assert max(polls) < 25  # growing intervals: not one every 50 ms
        assert server.ledger.connections == 1
        assert server.ledger.errors == []

    def test_polling_does_not_delay_other_calls(self, rw: Runware, server: LocalServer) -> None:
        with server.hold("videoInference"):
            videos = [rw.submit.video_inference(**CLIP) for _ in range(20)]
            assert len(rw.image_inference(**PICTURE)) == 1
            assert not any(job.done() for job in videos)
        assert all(len(job.result(20)) == 1 for job in videos)

    def test_several_results_arrive_one_by_one(self, rw: Runware, server: LocalServer, interface: Interface) -> None:
        told: list[tuple[int, int]] = []
        all_told = threading.Event()

        def on_partial(results: Any, error: RunwareError | None) -> None:
            assert error is None
            told.append((len(results), results.completed))
            if results.completed < 3:
                server.release(1)
            else:
                all_told.set()

        with server.hold():
            first = threading.Thread(
                target=lambda: (server.ledger.wait_for(lambda ledger: ledger.held == 3), server.release(1))
            )
            first.start()
            videos = interface(rw, "video_inference", **CLIP, number_results=3, on_partial=on_partial)
            first.join()
        assert all_told.wait(10)
        assert told == [(1, 1), (1, 2), (1, 3)]
        assert len({video.uuid for video in videos}) == 3

    @pytest.mark.parametrize("acknowledgement", ["none", "processing", "finished"])
    @pytest.mark.parametrize("placeholders", ["all", "one", "known"])
    def test_every_form_of_acknowledgement_and_placeholder_is_understood(
        self, rw: Runware, server: LocalServer, acknowledgement: str, placeholders: str
    ) -> None:
        server.switch(acknowledgement=acknowledgement, placeholders=placeholders)
        server.configure(delay=0.1, spread=0.05)
        assert len(rw.video_inference(**CLIP, number_results=2)) == 2

    @pytest.mark.parametrize(
        "operation", ["image_inference", "caption", "upscale", "text_inference", "audio_inference"]
    )
    def test_any_task_can_be_delivered_asynchronously(
        self, rw: Runware, server: LocalServer, interface: Interface, operation: str
    ) -> None:
        given = {
            "image_inference": PICTURE,
            "caption": {"input_image": new_uuid()},
            "upscale": {"input_image": new_uuid(), "upscale_factor": 2},
            "text_inference": {"model": "minimax:m2.7@0", "messages": [{"role": "user", "content": "hi"}]},
            "audio_inference": {"model": "elevenlabs:1@1", "positive_prompt": "rain"},
        }[operation]
        server.configure(delay=0.08)
        task_uuid = new_uuid()
        assert interface(rw, operation, **given, delivery_method="async", task_uuid=task_uuid)
        assert server.ledger.polls(task_uuid) >= 1
        assert server.ledger.executions(task_uuid) == 1


class TestAcknowledgementOnly:
    def test_skip_response_returns_after_the_acknowledgement(
        self, rw: Runware, server: LocalServer, interface: Interface
    ) -> None:
        task_uuid = new_uuid()
        with server.hold():
            (video,) = interface(rw, "video_inference", **CLIP, skip_response=True, task_uuid=task_uuid)
            assert type(video) is Acknowledgement
            assert video.task_uuid == task_uuid
            assert "rw.job(task_uuid)" in repr(video)
        assert server.ledger.polls(task_uuid) == 0
        assert rw.job(task_uuid).result()[0].url

    @pytest.mark.parametrize("method", ["training", "three_d_inference", "model_upload"])
    def test_skip_response_works_for_other_long_tasks(self, rw: Runware, server: LocalServer, method: str) -> None:
        given = {
            "training": {"model": "runware:flux-1-dev@style-lora-training"},
            "three_d_inference": {"model": "tripo:1@1", "positive_prompt": "a chair"},
            "model_upload": UPLOAD,
        }[method]
        answer = getattr(rw, method)(**given, skip_response=True)
        answer = answer[0] if isinstance(answer, list) else answer
        assert type(answer) is Acknowledgement
        assert server.ledger.polls(str(answer.task_uuid)) == 0

    def test_skip_response_still_raises_a_rejection(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(ValidationError) as caught:
            interface(rw, "video_inference", **{**CLIP, "duration": 0.5}, skip_response=True)
        assert caught.value.parameter == "duration"

    @pytest.mark.parametrize("operation", ["video_inference", "image_inference", "caption"])
    def test_webhook_call_returns_while_the_task_runs(
        self, rw: Runware, server: LocalServer, interface: Interface, operation: str
    ) -> None:
        """The result goes to the receiver."""
        given = {"video_inference": CLIP, "image_inference": PICTURE, "caption": {"input_image": new_uuid()}}[operation]
        task_uuid = new_uuid()

        def receive(sock: Any) -> None:
            read_head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        with listening(receive) as port, server.hold():
            url = f"http://127.0.0.1:{port}/hook?token=t"
            answer = interface(rw, operation, **given, webhook_url=url, task_uuid=task_uuid)
            answer = answer[0] if isinstance(answer, list) else answer
            assert type(answer) is Acknowledgement
            assert answer.task_uuid == task_uuid
            assert "results go to the webhook" in repr(answer)
            assert server.ledger.webhooks == []
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            server.release()
            server.ledger.wait_for(lambda ledger: ledger.webhooks and ledger.webhooks[0]["delivered"])
        (sent,) = server.ledger.webhooks
        assert sent["url"] == url
        assert sent["body"]["taskUUID"] == task_uuid
        assert server.ledger.polls(task_uuid) == 0
        assert rw.job(task_uuid).result(20)  # a lost webhook loses no result

    def test_acknowledgement_says_why_it_has_no_url(self, rw: Runware) -> None:
        (answer,) = rw.video_inference(**CLIP, skip_response=True)
        with pytest.raises(AttributeError, match=r"no attribute 'url': the call did not wait.*rw\.job"):
            _ = answer.url
        assert not hasattr(answer, "seed")
        for other in (pickle.loads(pickle.dumps(answer)), copy.copy(answer), copy.deepcopy(answer)):
            assert other == answer
            assert repr(other) == repr(answer)
        assert rw.submit.video_inference(**CLIP, skip_response=True).result(20)[0].task_type == "videoInference"

    def test_job_takes_an_acknowledgement(self, rw: Runware) -> None:
        (answer,) = rw.video_inference(**CLIP, skip_response=True)
        job = rw.job(answer)
        assert job.ref == {"task_uuid": answer.task_uuid, "task_type": "videoInference"}
        assert job.result(20)[0].url

    def test_results_in_the_acknowledgement_are_results(self, rw: Runware, server: LocalServer) -> None:
        server.switch(acknowledgement="finished")
        (video,) = rw.video_inference(**CLIP, skip_response=True)
        assert isinstance(video, Video)
        assert video.url


class TestFailures:
    @pytest.fixture(params=["errors", "item", "mixed"])
    def form(self, request: pytest.FixtureRequest, server: LocalServer) -> str:
        server.switch(failed_poll=request.param)
        server.configure(delay=0.06)
        return str(request.param)

    @pytest.mark.usefixtures("form")
    def test_failure_of_the_whole_task_is_raised(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(ContentModerationError) as caught:
            interface(rw, "video_inference", **{**CLIP, "positive_prompt": "[unsafe] waves"})
        assert caught.value.code == "invalidProviderContent"
        assert caught.value.task_type == "videoInference"
        assert caught.value.task_uuid
        assert caught.value.results == ()

    @pytest.mark.usefixtures("form")
    def test_failure_of_one_result_keeps_the_others(
        self, rw: Runware, interface: Interface, server: LocalServer
    ) -> None:
        clip = {**CLIP, "positive_prompt": "[fail:2] waves", "number_results": 3, "seed": 5}
        with pytest.raises(IncompleteResultsError) as caught:
            interface(rw, "video_inference", **clip, retry=0)
        assert [video.seed for video in caught.value.results] == [5, 7]
        assert [type(error) for error in caught.value.errors] == [ProviderError]
        assert server.ledger.executed == 1

    @pytest.mark.usefixtures("form")
    def test_return_partial_returns_results_instead_of_raising(self, rw: Runware, interface: Interface) -> None:
        clip = {**CLIP, "positive_prompt": "[fail:2] waves", "number_results": 3, "seed": 5}
        videos = interface(rw, "video_inference", **clip, retry=0, return_partial=True)
        assert [video.seed for video in videos] == [5, 7]
        assert [type(error) for error in videos.errors] == [ProviderError]

    @pytest.mark.usefixtures("form")
    def test_temporary_failure_is_retried(self, rw: Runware, server: LocalServer) -> None:
        job = rw.submit.video_inference(**{**CLIP, "positive_prompt": "[provider-error:1] waves"})
        (video,) = job.result(20)
        (first,) = job.attempts
        assert first.endswith(": providerInternalError")
        assert video.meta.attempts == job.attempts
        assert video.meta.task_uuid == job.task_uuid != video.meta.request["taskUUID"] == first.partition(":")[0]
        assert server.ledger.executed == 2

    def test_return_partial_returns_what_arrived_by_the_deadline(
        self, rw: Runware, server: LocalServer, interface: Interface
    ) -> None:
        with server.hold():
            first = threading.Thread(
                target=lambda: (server.ledger.wait_for(lambda ledger: ledger.held == 3), server.release(1))
            )
            first.start()
            videos = interface(rw, "video_inference", **CLIP, number_results=3, return_partial=True, timeout=1.0)
            first.join()
        assert len(videos) == 1
        (error,) = videos.errors
        assert isinstance(error, TaskTimeoutError)
        assert error.may_be_running

    def test_return_partial_without_any_result_raises(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(ContentModerationError):
            interface(rw, "video_inference", **{**CLIP, "positive_prompt": "[unsafe] waves"}, return_partial=True)

    @pytest.mark.parametrize("code", ["rateLimitExceeded", "internalServerError", "serviceUnavailable"])
    def test_temporary_error_of_a_poll_is_tolerated(
        self, rw: Runware, server: LocalServer, interface: Interface, code: str
    ) -> None:
        server.configure(delay=0.05)
        trouble = server.play("X16", code=code)
        assert len(interface(rw, "video_inference", **CLIP, retry=0)) == 1
        assert trouble.played == 1
        assert server.ledger.executed == 1

    def test_drop_during_polling_executes_the_task_once(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.video_inference(**CLIP)
            server.ledger.wait_for(lambda ledger: ledger.polls(job.task_uuid))
            server.drop()
        assert job.result(20)[0].url
        assert server.ledger.executions(job.task_uuid) == 1


class TestDryRun:
    @pytest.fixture
    def dry(self, server: LocalServer) -> Iterator[Runware]:
        client = Runware(server.api_key, url=server.url, dry_run=True)
        yield client
        client.close()

    @pytest.mark.parametrize(("operation", "given"), [("image_inference", PICTURE), ("video_inference", CLIP)])
    def test_dry_run_returns_costs_and_executes_nothing(
        self, dry: Runware, server: LocalServer, interface: Interface, operation: str, given: dict[str, Any]
    ) -> None:
        results = interface(dry, operation, **given, number_results=2)
        assert [result.url for result in results] == [None, None]
        assert results.cost
        assert (server.ledger.dry_runs, server.ledger.executed, server.ledger.billed) == (1, 0, 0)

    def test_dry_run_reports_mistakes(self, dry: Runware, interface: Interface) -> None:
        with pytest.raises(ValidationError) as caught:
            interface(dry, "image_inference", **{**PICTURE, "width": 100})
        assert caught.value.parameter == "width"


class TestLookups:
    """`get_response` and `get_task_details`, called by the user."""

    @pytest.mark.parametrize("form", ["original", "getResponse"])
    def test_lookups_of_a_task_that_runs_on_this_client(
        self, rw: Runware, server: LocalServer, interface: Interface, form: str
    ) -> None:
        server.switch(poll_task_type=form)
        with server.hold():
            job = rw.submit.video_inference(**CLIP, number_results=2)
            server.ledger.wait_for(lambda ledger: ledger.held == 2 and ledger.polls(job.task_uuid))
            looks = interface(rw, "get_response", task_uuid=job.task_uuid)
            assert [look.status for look in looks] == ["processing", "processing"]
            server.release(1)
            looks = interface(rw, "get_response", task_uuid=job.task_uuid)
            assert sorted(look.status for look in looks) == ["processing", "success"]
            details = interface(rw, "get_task_details", task_uuid=job.task_uuid)
            assert details.request[0]["numberResults"] == 2
            assert [type(result) for result in details.results] == [Video]
            assert not job.done()
        assert len(job.result(20)) == 2
        assert server.ledger.executions(job.task_uuid) == 1

    def test_many_concurrent_lookups_are_answered(self, rw: Runware, server: LocalServer) -> None:
        with server.hold():
            job = rw.submit.video_inference(**CLIP)
            server.ledger.wait_for(lambda ledger: ledger.polls(job.task_uuid))
            looks = [rw.submit.get_response(task_uuid=job.task_uuid) for _ in range(20)]
            details = [rw.submit.get_task_details(task_uuid=job.task_uuid) for _ in range(20)]
            assert all(look.result(20)[0].status == "processing" for look in looks)
            assert all(one.result(20).task_uuid == job.task_uuid for one in details)
        assert job.result(20)[0].url

    def test_lookups_of_a_finished_task(self, rw: Runware, interface: Interface) -> None:
        (video,) = rw.video_inference(**CLIP)
        (again,) = interface(rw, "get_response", task_uuid=video.task_uuid)
        assert (type(again), again.uuid, again.url) == (Video, video.uuid, video.url)
        details = interface(rw, "get_task_details", task_uuid=video.task_uuid)
        assert details.results[0].uuid == video.uuid
        assert details.errors == ()

    def test_lookups_of_an_unknown_task_raise_not_found(
        self, rw: Runware, server: LocalServer, interface: Interface
    ) -> None:
        for operation in ("get_response", "get_task_details"):
            with pytest.raises(NotFoundError) as caught:
                interface(rw, operation, task_uuid=new_uuid())
            assert caught.value.task_uuid
        server.switch(unknown_poll="empty")  # an empty response, so that the details are looked up
        with pytest.raises(NotFoundError):
            interface(rw, "get_response", task_uuid=new_uuid())

    @pytest.mark.parametrize("form", ["errors", "item"])
    def test_lookups_of_a_failed_task(self, rw: Runware, server: LocalServer, interface: Interface, form: str) -> None:
        server.switch(failed_poll=form)
        job = rw.submit.video_inference(**{**CLIP, "positive_prompt": "[unsafe] waves"})
        assert isinstance(job.exception(20), ContentModerationError)
        with pytest.raises(ContentModerationError):
            interface(rw, "get_response", task_uuid=job.task_uuid)
        (error,) = interface(rw, "get_task_details", task_uuid=job.task_uuid).errors
        assert isinstance(error, ContentModerationError)

    @pytest.mark.parametrize("form", ["errors", "item"])
    def test_lookups_of_a_task_with_one_failed_result(
        self, rw: Runware, server: LocalServer, interface: Interface, form: str
    ) -> None:
        server.switch(failed_poll=form)
        job = rw.submit.video_inference(
            **{**CLIP, "positive_prompt": "[fail:2] waves"}, number_results=3, seed=5, retry=0
        )
        assert isinstance(job.exception(20), IncompleteResultsError)
        found = interface(rw, "get_response", task_uuid=job.task_uuid)
        assert [video.seed for video in found] == [5, 7]
        (error,) = found.errors
        assert isinstance(error, ProviderError)
        assert error.task_uuid == job.task_uuid


def script(server: LocalServer, directory: pathlib.Path, code: str, *arguments: str) -> str:
    """Run a program in a process of its own, with only the key and the URL."""
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "RUNWARE_API_KEY": server.api_key,
            "RUNWARE_URL": server.url,
        },
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


class TestCollectedElsewhere:
    """A task that one process submits and another one collects."""

    SUBMIT = """
        import json, sys
        from runware import Runware

        rw = Runware()
        clip = {"positive_prompt": sys.argv[1], "model": "klingai:5@3", "duration": 5}
        job = rw.submit.video_inference(**clip, skip_response=True)
        job.result()
        print(json.dumps(job.ref))
        """

    @pytest.mark.parametrize("by", ["ref", "uuid"])
    def test_another_process_saves_the_result(self, server: LocalServer, tmp_path: pathlib.Path, by: str) -> None:
        with server.hold():
            ref = json.loads(script(server, tmp_path, self.SUBMIT, "waves"))
            assert ref["task_type"] == "videoInference"
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
        collect = """
            import json, sys
            from runware import Runware

            with Runware() as rw:
                (video,) = rw.job(json.loads(sys.argv[1])).result()
                print(type(video).__name__, video.save("saved"))
            """
        shown = script(server, tmp_path, collect, json.dumps(ref if by == "ref" else ref["task_uuid"]))
        kind, path = shown.split()
        assert kind == "Video"
        assert (tmp_path / path).stat().st_size > 100
        assert server.ledger.executions(ref["task_uuid"]) == 1
        assert server.ledger.connections == 2

    def test_task_of_a_process_that_exits_early_is_collected(self, server: LocalServer, tmp_path: pathlib.Path) -> None:
        """It does not even wait for the acknowledgement; only the written message remains."""
        code = """
            import os
            from runware import Runware

            rw = Runware()
            job = rw.submit.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)
            while job.status not in ("accepted", "running"):
                pass
            print(job.task_uuid, flush=True)
            os._exit(0)
            """
        with server.hold():
            task_uuid = script(server, tmp_path, code).strip()
            with Runware(server.api_key, url=server.url) as rw:
                job = rw.job(task_uuid)
                server.ledger.wait_for(lambda ledger: ledger.polls(task_uuid) >= 2)
                assert not job.done()
                server.release()
                assert job.result(20)[0].url
        assert server.ledger.executions(task_uuid) == 1

    def test_collected_task_reports_partial_results(self, rw: Runware, server: LocalServer) -> None:
        told: list[int] = []
        ended = threading.Event()

        def on_partial(results: Any, error: RunwareError | None) -> None:
            told.append(results.completed)
            if results.completed == 3:
                ended.set()

        with server.hold():
            rw.video_inference(**CLIP, number_results=3, skip_response=True, task_uuid=(task_uuid := new_uuid()))
            other = Runware(server.api_key, url=server.url)
            job = other.job(task_uuid, on_partial=on_partial)
            server.ledger.wait_for(lambda ledger: ledger.polls(task_uuid))
            server.release(1)
            results = iter(job)
            assert isinstance(next(results), Video)
        assert len(job.result(20)) == 3
        assert ended.wait(10)
        assert told[-1] == 3
        other.close()

    def test_finished_task_is_collected(self, rw: Runware, server: LocalServer) -> None:
        (video,) = rw.video_inference(**CLIP)
        other = Runware(server.api_key, url=server.url)
        assert other.job(str(video.task_uuid)).result(20)[0].uuid == video.uuid
        other.close()

    def test_synchronous_task_is_collected(self, rw: Runware, server: LocalServer) -> None:
        """Whether or not getResponse knows synchronous tasks."""
        images = rw.image_inference(**PICTURE, number_results=2)
        for known in (True, False):
            server.switch(poll_sync_tasks=known)
            found = rw.job(str(images[0].task_uuid)).result(20)
            assert [image.uuid for image in found] == [image.uuid for image in images]

    @pytest.mark.parametrize("form", ["errors", "item"])
    def test_failed_task_raises_when_it_is_collected(self, rw: Runware, server: LocalServer, form: str) -> None:
        server.switch(failed_poll=form)
        rw.video_inference(
            **{**CLIP, "positive_prompt": "[unsafe] waves"}, skip_response=True, task_uuid=(task_uuid := new_uuid())
        )
        with pytest.raises(ContentModerationError) as caught:
            rw.job(task_uuid).result(20)
        assert caught.value.task_uuid == task_uuid
        assert server.ledger.executions(task_uuid) == 1

    @pytest.mark.parametrize("form", ["errors", "item"])
    def test_task_with_one_failed_result_raises_when_it_is_collected(
        self, rw: Runware, server: LocalServer, form: str
    ) -> None:
        server.switch(failed_poll=form)
        clip = {**CLIP, "positive_prompt": "[fail:2] waves", "number_results": 3, "seed": 5}
        rw.video_inference(**clip, skip_response=True, task_uuid=(task_uuid := new_uuid()))
        with pytest.raises(IncompleteResultsError) as caught:
            rw.job(task_uuid).result(20)
        assert [video.seed for video in caught.value.results] == [5, 7]
        assert server.ledger.executions(task_uuid) == 1

    def test_unknown_task_raises_not_found(self, rw: Runware, server: LocalServer) -> None:
        for answer in ("error", "empty"):
            server.switch(unknown_poll=answer)
            with pytest.raises(NotFoundError) as caught:
                rw.job(task_uuid := new_uuid()).result(20)
            assert caught.value.task_uuid == task_uuid
            assert server.ledger.executions(task_uuid) == 0

    def test_invalid_reference_raises(self, rw: Runware) -> None:
        refs: tuple[Any, ...] = ("the last one", {"uuid": new_uuid()}, {}, None, 7, {"task_uuid": "x"})
        for ref in refs:
            with pytest.raises(ValidationError, match=r"^job\(\): ref must be a job's ref, the UUID") as caught:
                rw.job(ref)
            assert caught.value.parameter == "ref"

    def test_task_is_collected_in_an_event_loop(self, rw: Runware) -> None:
        import asyncio

        (video,) = rw.video_inference(**CLIP)

        async def main() -> Any:
            return await rw.aio.job(str(video.task_uuid))

        assert asyncio.run(main())[0].uuid == video.uuid


class TestModelUpload:
    STEPS = ("validated", "downloaded", "optimized", "stored", "ready")

    @pytest.mark.parametrize("form", ["as it should be", "repeat", "no-task-type"])
    @pytest.mark.parametrize("spread", [0.0, 0.01])
    def test_each_status_of_an_upload_is_reported(
        self, rw: Runware, server: LocalServer, interface: Interface, form: str, spread: float
    ) -> None:
        server.configure(spread=spread)
        if form != "as it should be":
            server.play("X24", form=form)
        told: list[str | None] = []
        ready = threading.Event()

        def on_partial(results: Any, error: RunwareError | None) -> None:
            assert error is None
            assert all(isinstance(one, UploadedModel) for one in results)
            told.extend(one.status for one in results)
            if "ready" in told:
                ready.set()

        model = interface(rw, "model_upload", **UPLOAD, on_partial=on_partial)
        assert (model.status, model.air) == ("ready", "local:abc@v1")
        assert ready.wait(10)
        assert tuple(dict.fromkeys(told)) == self.STEPS
        assert told.count("ready") == 1
        (found,) = rw.model_search(search="mine")
        assert found.air == model.air

    def test_failed_status_of_an_upload_is_an_error(
        self, rw: Runware, server: LocalServer, interface: Interface
    ) -> None:
        server.play("X24", form="failed")
        told: list[Any] = []
        failed = threading.Event()

        def on_partial(results: Any, error: RunwareError | None) -> None:
            told.append([one.status for one in results])
            if error is not None:
                told.append(type(error))
                failed.set()

        with pytest.raises(ProviderError, match="Download failed") as caught:
            interface(rw, "model_upload", **UPLOAD, on_partial=on_partial)
        assert caught.value.task_type == "modelUpload"
        assert failed.wait(10)
        assert told == [["validated"], [], ProviderError]

    def test_rejected_upload_raises(self, rw: Runware, interface: Interface) -> None:
        with pytest.raises(ValidationError) as caught:
            interface(rw, "model_upload", **UPLOAD, default_weight=9.0)
        assert caught.value.parameter == "default_weight"
