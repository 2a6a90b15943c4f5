"""What a result knows about the call that it came from."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import attrs
import pytest

import runware
from runware import Image, IncompleteResultsError, Meta, Runware
from runware.local import LocalServer

from .conftest import Interface

PICTURE: dict[str, Any] = {
    "positive_prompt": "a very private kite",
    "model": "runware:101@1",
    "width": 512,
    "height": 512,
}


def test_meta_has_the_sent_task_and_the_elapsed_time(rw: Runware, server: LocalServer, interface: Interface) -> None:
    server.configure(delay=0.05)
    (image,) = interface(rw, "image_inference", **PICTURE, extra={"novelKey": {"snake_case": 1}})
    (sent,) = server.ledger.tasks("imageInference")
    assert image.meta.request == sent
    assert image.meta.task_uuid == image.task_uuid == sent["taskUUID"]
    assert 0.05 <= image.meta.elapsed < 20
    assert image.meta.attempts == ()


def test_request_of_meta_can_be_sent_again(rw: Runware) -> None:
    (image,) = rw.image_inference(**PICTURE, seed=7)
    again = {name: value for name, value in image.meta.request.items() if name != "taskUUID"}
    (other,) = rw.run(again)
    assert other.raw["seed"] == 7
    assert other.task_uuid != image.task_uuid


def test_meta_lists_earlier_attempts(rw: Runware, interface: Interface) -> None:
    (image,) = interface(rw, "image_inference", **{**PICTURE, "positive_prompt": "[rate-limit:2] a kite"})
    assert [attempt.partition(": ")[2] for attempt in image.meta.attempts] == ["rateLimitExceeded"] * 2
    assert image.meta.attempts[0].partition(": ")[0] == image.meta.request["taskUUID"]
    assert image.meta.task_uuid == image.task_uuid != image.meta.request["taskUUID"]


def test_each_result_has_its_own_elapsed_time(rw: Runware, server: LocalServer) -> None:
    server.configure(frame_size=1)
    with server.hold():
        job = rw.submit.image_inference(**PICTURE, number_results=2)
        results = iter(job)
        server.ledger.wait_for(lambda ledger: ledger.held == 2)
        server.release(1)
        first = next(results)
        threading.Event().wait(0.02)  # not for anything to happen: it is the time that is measured
        server.release(1)
        second = next(results)
    assert second.meta.elapsed - first.meta.elapsed >= 0.02
    assert first.meta.request is not None
    assert first.meta.request == second.meta.request


def test_each_file_of_a_model_has_meta(rw: Runware) -> None:
    (model,) = rw.three_d_inference(positive_prompt="a chair", model="tripo:1@1")
    assert model.files
    assert all(file.meta == model.meta for file in model.files)
    assert model.meta.request["positivePrompt"] == "a chair"


def test_results_of_an_error_have_meta(rw: Runware) -> None:
    with pytest.raises(IncompleteResultsError) as caught:
        rw.image_inference(**{**PICTURE, "positive_prompt": "[fail:2] a kite"}, number_results=2, seed=1, retry=0)
    assert [image.meta.request["numberResults"] for image in caught.value.results] == [2]
    (again,) = pickle.loads(pickle.dumps(caught.value)).results
    assert again.meta == caught.value.results[0].meta


def test_acknowledgement_and_collected_results_have_meta(rw: Runware) -> None:
    (video,) = rw.video_inference(positive_prompt="waves", model="klingai:5@3", skip_response=True)
    assert video.meta.request["deliveryMethod"] == "async"
    (again,) = rw.job(str(video.task_uuid)).result(20)
    assert again.meta.request == {}  # another client sent it
    assert again.meta.task_uuid == video.task_uuid


def test_copies_and_pickles_keep_meta(rw: Runware) -> None:
    def on_partial(results: Any, error: Any) -> None:
        """Not picklable, because it is local."""

    (image,) = rw.image_inference(**PICTURE, on_partial=on_partial)
    for other in (pickle.loads(pickle.dumps(image)), copy.copy(image), copy.deepcopy(image), attrs.evolve(image)):
        assert other == image
        assert other.meta == image.meta
        assert other.meta.request["positivePrompt"] == PICTURE["positive_prompt"]
    changed = attrs.evolve(image, seed=5)
    assert (changed.seed, changed.url, changed.meta) == (5, image.url, image.meta)
    assert pickle.loads(pickle.dumps(image.meta)) == image.meta


def test_copies_keep_the_download_settings_and_pickles_do_not(rw: Runware) -> None:
    (image,) = rw.image_inference(**PICTURE)
    assert image._downloads is rw._core.downloads
    for other in (copy.copy(image), copy.deepcopy(image), attrs.evolve(image, seed=5)):
        assert other._downloads is image._downloads
        assert other.read() == image.read()
    again = pickle.loads(pickle.dumps(image))
    assert again._downloads not in (None, rw._core.downloads)
    assert again._downloads.proxy is again._downloads.ssl_context is None
    assert again.read() == image.read()  # with the settings of the environment


def test_meta_is_ignored_in_comparisons_and_reprs(rw: Runware) -> None:
    (image,) = rw.image_inference(**PICTURE)
    plain = Image(raw=image.raw)
    assert plain == image
    assert hash(plain) == hash(image)
    assert plain.meta == Meta(task_uuid=image.task_uuid)
    assert repr(plain) == repr(image)
    assert "private" not in repr(image) + repr(image.meta)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        image.meta.elapsed = 0.0  # type: ignore[misc]


def test_server_cannot_set_private_attributes_of_a_result() -> None:
    image = Image(raw={"_origin": "x", "origin": "x", "Origin": "x", "_downloads": "x", "downloads": "x"})
    assert image.meta == Meta()
    assert image._downloads is None


def test_result_made_by_hand_has_an_empty_meta() -> None:
    assert Image(uuid="u").meta == Meta()
    assert (Meta().request, Meta().task_uuid, Meta().elapsed, Meta().attempts) == ({}, None, 0.0, ())


def test_results_do_not_keep_their_inputs(rw: Runware) -> None:
    """Neither large media nor the results that they were made from."""
    data = b"\x89PNG\r\n\x1a\n" + bytes(300_000)
    (image,) = rw.image_inference(**PICTURE, inputs={"referenceImages": [data]}, extra={"note": "short"})
    assert image.meta.request["inputs"] == {"referenceImages": ["<text of length 400034>"]}
    assert image.meta.request["positivePrompt"] == PICTURE["positive_prompt"]
    assert image.meta.request["note"] == "short"
    assert len(pickle.dumps(image)) < 3000
    (larger,) = (rw.upscale(input_image=image, upscale_factor=2),)
    assert larger.meta.request["inputImage"] == image.uuid


def test_request_objects_have_meta_in_every_interface(rw: Runware, interface: Interface) -> None:
    task = runware.ImageInference(**PICTURE, task_uuid="0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01")
    (image,) = interface(rw, "run", task=task)
    assert image.meta.request == {"taskType": "imageInference", "taskUUID": task.task_uuid,
        "positivePrompt": "a very private kite", "model": "runware:101@1", "width": 512, "height": 512
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Account", "Model", "ModelPage", "TaskDetails", "TrainedModel"])
def test_results_pickled_by_version_0_2_can_be_unpickled(name: str) -> None:
    assert pickle.loads(f"crunware.answers\n{name}\n.".encode()) is getattr(runware, name)
    assert pickle.loads(f"crunware.results\n{'Image'}\n.".encode()) is Image
    assert pickle.loads(b"crunware.downloads\n_nothing\n.")() is None
