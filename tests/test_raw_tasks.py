"""Tasks given as dicts: what their media may be, and the settings of their calls."""

from __future__ import annotations

import asyncio
import io
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture

from runware import (
    Acknowledgement,
    AsyncRunware,
    ConfigurationError,
    IncompleteResultsError,
    Runware,
    TaskTimeoutError,
    UsageError,
    ValidationError,
)
from runware.local import LocalServer
from runware.local.images import encode, scene
from runware.media.files import decode_base64
from runware.protocol.ids import new_uuid
from runware.requests.raw import as_task

from .api_objects import IMAGE
from .test_three_interfaces import PICTURE

KITE = {"taskType": "imageInference", "positivePrompt": "a kite", "model": "runware:101@1", "width": 512, "height": 512}
EDIT = {"taskType": "upscale", "upscaleFactor": 2}
PNG = encode(scene("a kite", 1, 64, 64), "png", 90)


def in_asyncio(rw: Runware, task: dict[str, Any]) -> Any:
    async def main() -> Any:
        options = rw._core.options
        async with AsyncRunware(options.api_key, url=options.url) as client:
            return await client.run(task)

    return asyncio.run(main())


FORMS: dict[str, Callable[[Runware, dict[str, Any]], Any]] = {
    "blocking": lambda rw, task: rw.run(task),
    "job": lambda rw, task: rw.submit.run(task).result(20),
    "asyncio": lambda rw, task: asyncio.run(rw.aio.run(task)),
    "client for asyncio": in_asyncio,
    "map": lambda rw, task: next(iter(rw.map([task]))),
}


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(
    ("task", "path"),
    [
        ({**EDIT, "inputImage": "y.png"}, "input_image"),
        ({**EDIT, "inputs": {"image": "y.png"}}, "inputs.image"),
        ({**EDIT, "input_image": "y.png"}, "input_image"),
        ({**KITE, "inputs": {"referenceImages": [IMAGE, "y.png"]}}, "inputs.reference_images[1]"),
        ({**KITE, "controlNet": [{"model": "m", "guideImage": "y.png"}]}, "control_net[0].guide_image"),
        ({"taskType": "caption", "inputImages": [PNG, "y.png"]}, "input_images[1]"),
        ({"taskType": "mediaStorage", "media": "y.png"}, "media"),
        (
            {"model": "klingai:kling-video@2.6-pro", "inputs": {"frame_images": [{"image": "y.png"}]}},
            "inputs.frame_images[0].image",
        ),
    ],
)
def test_file_name_in_place_of_media_is_refused(
    rw: Runware, server: LocalServer, run: Any, task: dict[str, Any], path: str
) -> None:
    with pytest.raises(ValidationError, match=r"If it is a file name, pass Path\('y\.png'\)") as caught:
        run(rw, task)
    assert caught.value.parameter == path
    assert f": {path} is not a UUID" in caught.value.message
    assert not server.ledger.tasks(task.get("taskType", "videoInference"))


def test_other_texts_and_unknown_tasks_are_sent_as_they_are() -> None:
    for body in (
        {**EDIT, "inputImage": IMAGE, "positivePrompt": "y.png", "fileName": "y.png", "settings": {"image": "y.png"}},
        {**EDIT, "inputs": {"image": {"url": "y.png"}, "other": "y.png"}},
        {"taskType": "brandNew", "inputImage": "y.png", "inputs": {"image": "y.png"}},
    ):
        assert {"taskType": body["taskType"], **as_task(body).wire()} == body


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "picture", "result"])
def test_media_are_encoded_as_for_the_method(
    rw: Runware, server: LocalServer, run: Any, kind: str, tmp_path: Path
) -> None:
    (tmp_path / "y.png").write_bytes(PNG)
    uploaded = rw.image_upload(image=PNG)
    media = {
        "path": tmp_path / "y.png",
        "bytes": PNG,
        "file": io.BytesIO(PNG),
        "picture": Picture.new("RGB", (2, 2)),
        "result": uploaded,
    }
    run(rw, {**EDIT, "inputImage": media[kind]})
    sent = server.ledger.tasks("upscale")[0]["inputImage"]
    if kind == "result":
        assert sent == uploaded.uuid
    else:
        assert sent.startswith("data:image/png;base64,")
        assert kind == "picture" or decode_base64(sent) == PNG


def test_media_that_cannot_be_sent_are_named_as_for_the_method(rw: Runware, run: Any, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"inputs\.image: .*'y\.png' cannot be read") as caught:
        run(rw, {**EDIT, "inputs": {"image": tmp_path / "y.png"}})
    assert caught.value.parameter == "inputs.image"


def test_settings_of_the_call_apply_and_are_not_sent(rw: Runware, server: LocalServer, run: Any) -> None:
    seen: list[Any] = []
    known = threading.Event()

    def on_partial(results: Any, error: Any) -> None:
        seen.extend(results)
        known.set()

    settings = {
        "timeout": 15,
        "max_retries": 0,
        "on_partial": on_partial,
        "return_partial": True,
        "progress": False,
        "dry_run": None,
        "extra": {"newerName": 1},
    }
    run(rw, {**KITE, **settings, "numberResults": 2})
    assert known.wait(20)
    assert seen[0].url
    (sent,) = server.ledger.tasks("imageInference")
    assert sent["newerName"] == 1
    assert not settings.keys() & sent.keys()


def test_timeout_in_a_dict_is_the_deadline_of_the_call(rw: Runware, server: LocalServer, run: Any) -> None:
    with server.hold("imageInference"), pytest.raises(TaskTimeoutError):
        run(rw, {**KITE, "timeout": 0.2})


def test_dry_run_in_a_dict_is_not_billed(rw: Runware, server: LocalServer, run: Any) -> None:
    run(rw, {**KITE, "dry_run": True})
    assert not server.ledger.executions_by_prompt()


@pytest.mark.parametrize("task_type", ["imageInference", "upscale", "caption"])
def test_skipped_response_in_a_dict_is_acknowledged(rw: Runware, server: LocalServer, run: Any, task_type: str) -> None:
    body = {**KITE} if task_type == "imageInference" else {"taskType": task_type, "inputImage": PNG}
    with server.hold(task_type):
        (said,) = run(rw, {**body, "skip_response": True})
        assert type(said) is Acknowledgement
    assert rw.job(said).result(20)
    with pytest.raises(ValidationError, match="needs delivery_method='async'") as caught:
        run(rw, {**body, "skip_response": True, "deliveryMethod": "sync"})
    assert caught.value.parameter == "skip_response"


@pytest.mark.parametrize(
    ("wrong", "kind", "parameter"),
    [
        ({"timeout": "5"}, ConfigurationError, "timeout"),
        ({"timeout": math.nan}, ConfigurationError, "timeout"),
        ({"max_retries": -1}, ValidationError, "max_retries"),
        ({"retry": 1, "max_retries": 1}, ValidationError, "max_retries"),
        ({"on_partial": "x"}, ValidationError, "on_partial"),
        ({"progress": 1}, ValidationError, "progress"),
        ({"extra_headers": {"X-Team": "a"}}, UsageError, "extra_headers"),
        ({"extra": {"taskUUID": "x"}}, ValidationError, "extra"),
        ({"dryRun": True}, ValidationError, "dryRun"),
        ({"skipResponse": True}, ValidationError, "skipResponse"),
        ({"check": "error"}, ValidationError, "check"),
        ({"long_timeout": 5}, ValidationError, "long_timeout"),
    ],
)
def test_wrong_setting_in_a_dict_is_named_before_anything_is_sent(
    rw: Runware, server: LocalServer, run: Any, wrong: dict[str, Any], kind: type[Exception], parameter: str
) -> None:
    with pytest.raises(kind) as caught:
        run(rw, {**KITE, **wrong})
    assert getattr(caught.value, "parameter", None) == parameter
    assert not server.ledger.tasks("imageInference")


def test_error_about_a_setting_says_what_works(rw: Runware) -> None:
    with pytest.raises(ValidationError, match=r"^dryRun is no parameter of the API but .* written 'dry_run'\."):
        rw.run({**KITE, "dryRun": True})
    with pytest.raises(ValidationError, match=r"use rw\.with_options\(check=\.\.\.\)\."):
        rw.run({**KITE, "check": "off"})


def test_headers_in_a_dict_go_with_requests_over_http(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, transport="http", timeout=20) as rw:
        assert rw.run({**KITE, "extra_headers": {"X-Team": "a"}})
        assert rw.estimate({**KITE, "extra_headers": {"X-Team": "a"}}, exact=True).cost is not None


def test_check_and_estimate_take_dicts_with_settings(rw: Runware) -> None:
    task = {"model": "runware:400@2", **PICTURE, "timeout": 5, "on_partial": print}
    assert rw.estimate(task) == rw.estimate({"model": "runware:400@2", **PICTURE})
    assert "timeout" not in str(rw.check(task))


def test_task_uuid_and_cost_are_taken_by_both_names(rw: Runware, server: LocalServer) -> None:
    uuid = new_uuid()
    rw.run({**KITE, "task_uuid": uuid, "include_cost": True})
    (sent,) = server.ledger.tasks("imageInference")
    assert (sent["taskUUID"], sent["includeCost"]) == (uuid, True)


def test_partial_results_of_a_dict_are_returned_if_asked_for(rw: Runware) -> None:
    task = {**KITE, "positivePrompt": "a kite [fail:2]", "numberResults": 2, "max_retries": 0}
    with pytest.raises(IncompleteResultsError):
        rw.run(task)
    results = rw.run({**task, "return_partial": True})
    assert len(results) == len(results.errors) == 1
