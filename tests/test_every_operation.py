"""Every operation under every name, in every interface form: what is sent, what comes back, and each way to fail.

The scripted messages have the forms that `docs/protocol.md` describes in sections 3 (messages), 5 (delivery) and 6
(errors).
"""

from __future__ import annotations

import pathlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

import runware
from runware import (
    IncompleteResultsError,
    ProviderError,
    Results,
    Runware,
    TaskTimeoutError,
    ValidationError,
    requests,
)
from runware.local import LocalServer

from .conftest import Interface

Item = dict[str, Any]

HOST = "https://im.runware.ai"
PICTURE = "cc000000-0000-4000-8000-000000000001"
PUSHED, POLLED, STATUSES, LOOK = "pushed", "polled", "statuses", "look"


def name_of(number: int) -> str:
    return f"ee000000-0000-4000-8000-{number:012d}"


@attrs.frozen(kw_only=True)
class Case:
    """One operation: its parameters, the task that is sent, the server's items, and the result they become."""

    operation: str
    given: Item
    task_type: str
    sent: Item
    reply: Callable[[int], Item]
    gives: type[Any]
    values: Callable[[int], Item]
    delivery: str = PUSHED
    counter: str | None = None
    """The parameter that asks for several results; without one, the answer is a single result."""

    def __str__(self) -> str:
        return self.operation


CASES = [
    Case(
        operation="image_inference",
        given={"positive_prompt": "a red kite", "model": "runware:101@1", "width": 1024, "height": 768, "steps": 20},
        task_type="imageInference",
        sent={"positivePrompt": "a red kite", "model": "runware:101@1", "width": 1024, "height": 768, "steps": 20},
        reply=lambda n: {"imageUUID": name_of(n), "imageURL": f"{HOST}/i/{n}.png", "seed": 77 + n, "cost": 0.0013},
        gives=runware.Image,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/i/{n}.png", "seed": 77 + n, "cost": 0.0013},
        counter="number_results",
    ),
    Case(
        operation="video_inference",
        given={"positive_prompt": "waves at dusk", "model": "klingai:5@3", "duration": 5, "width": 1280, "height": 720},
        task_type="videoInference",
        sent={
            "positivePrompt": "waves at dusk",
            "model": "klingai:5@3",
            "duration": 5,
            "width": 1280,
            "height": 720,
            "deliveryMethod": "async",
        },
        reply=lambda n: {"videoUUID": name_of(n), "videoURL": f"{HOST}/v/{n}.mp4", "cost": 0.18},
        gives=runware.Video,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/v/{n}.mp4", "cost": 0.18, "status": "success"},
        delivery=POLLED,
        counter="number_results",
    ),
    Case(
        operation="audio_inference",
        given={"positive_prompt": "a calm piano", "model": "elevenlabs:1@1", "duration": 30},
        task_type="audioInference",
        sent={"positivePrompt": "a calm piano", "model": "elevenlabs:1@1", "duration": 30},
        reply=lambda n: {"audioUUID": name_of(n), "audioURL": f"{HOST}/a/{n}.mp3", "cost": 0.01},
        gives=runware.Audio,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/a/{n}.mp3", "cost": 0.01},
        counter="number_results",
    ),
    Case(
        operation="three_d_inference",
        given={"model": "acme:1@1", "inputs": {"image": PICTURE}, "output_format": "GLB"},
        task_type="3dInference",
        sent={
            "model": "acme:1@1",
            "inputs": {"image": PICTURE},
            "outputFormat": "GLB",
            "deliveryMethod": "async",
        },
        reply=lambda n: {"outputs": {"files": [{"uuid": name_of(n), "url": f"{HOST}/m/{n}.glb"}]}, "seed": 5},
        gives=runware.Model3D,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/m/{n}.glb", "seed": 5},
        delivery=POLLED,
        counter="number_results",
    ),
    Case(
        operation="text_inference",
        given={"model": "minimax:m2.7@0", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 64},
        task_type="textInference",
        sent={
            "model": "minimax:m2.7@0",
            "messages": [{"role": "user", "content": "hi"}],
            "settings": {"maxTokens": 64},
        },
        reply=lambda n: {
            "text": f"Hi there {n}.",
            "finishReason": "stop",
            "usage": {"promptTokens": 9, "completionTokens": 3, "totalTokens": 12},
            "cost": 0.00002,
        },
        gives=runware.Text,
        values=lambda n: {"text": f"Hi there {n}.", "finish_reason": "stop", "cost": 0.00002},
        counter="number_results",
    ),
    Case(
        operation="upscale",
        given={"input_image": PICTURE, "upscale_factor": 4},
        task_type="upscale",
        sent={"inputImage": PICTURE, "upscaleFactor": 4},
        reply=lambda n: {
            "imageUUID": name_of(n),
            "imageURL": f"{HOST}/i/up.png",
            "inputImageUUID": PICTURE,
            "cost": 0.002,
        },
        gives=runware.Image,
        values=lambda n: {
            "uuid": name_of(n),
            "url": f"{HOST}/i/up.png",
            "input_image_uuid": PICTURE,
            "cost": 0.002,
        },
    ),
    Case(
        operation="upscale",
        given={"inputs": runware.EditingInputs(video=PICTURE), "upscale_factor": 2},
        task_type="upscale",
        sent={"inputs": {"video": PICTURE}, "upscaleFactor": 2, "deliveryMethod": "async"},
        reply=lambda n: {"mediaUUID": name_of(n), "mediaURL": f"{HOST}/v/up.mp4"},
        gives=runware.Video,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/v/up.mp4"},
        delivery=POLLED,
    ),
    Case(
        operation="remove_background",
        given={"inputs": {"image": PICTURE}, "output_format": "PNG"},
        task_type="removeBackground",
        sent={"inputs": {"image": PICTURE}, "outputFormat": "PNG"},
        reply=lambda n: {"mediaUUID": name_of(n), "mediaURL": f"{HOST}/i/cut.png"},
        gives=runware.Image,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/i/cut.png", "media_uuid": name_of(n)},
    ),
    Case(
        operation="caption",
        given={"model": "runware:150@1", "inputs": {"image": PICTURE}},
        task_type="caption",
        sent={"model": "runware:150@1", "inputs": {"image": PICTURE}},
        reply=lambda n: {"text": "boats tied to a pier"},
        gives=runware.Text,
        values=lambda n: {"text": "boats tied to a pier"},
    ),
    Case(
        operation="prompt_enhance",
        given={"prompt": "harbour", "prompt_max_length": 64},
        task_type="promptEnhance",
        sent={"prompt": "harbour", "promptMaxLength": 64, "promptVersions": 1},
        reply=lambda n: {"text": f"harbour, morning mist {n}", "cost": 0.0001},
        gives=runware.Text,
        values=lambda n: {"text": f"harbour, morning mist {n}", "cost": 0.0001},
        counter="prompt_versions",
    ),
    Case(
        operation="controlnet_preprocess",
        given={"input_image": PICTURE, "pre_processor_type": "canny", "low_threshold_canny": 100},
        task_type="controlNetPreprocess",
        sent={"inputImage": PICTURE, "preProcessorType": "canny", "lowThresholdCanny": 100},
        reply=lambda n: {
            "guideImageUUID": name_of(n),
            "guideImageURL": f"{HOST}/i/guide.png",
            "inputImageUUID": PICTURE,
        },
        gives=runware.GuideImage,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/i/guide.png", "input_image_uuid": PICTURE},
    ),
    Case(
        operation="image_masking",
        given={"input_image": PICTURE, "model": "runware:35@1", "confidence": 0.3},
        task_type="imageMasking",
        sent={"inputImage": PICTURE, "model": "runware:35@1", "confidence": 0.3},
        reply=lambda n: {
            "maskImageUUID": name_of(n),
            "maskImageURL": f"{HOST}/i/mask.png",
            "inputImageUUID": PICTURE,
            "detections": [{"x_min": 10, "y_min": 20, "x_max": 110, "y_max": 140}],
        },
        gives=runware.MaskImage,
        values=lambda n: {
            "uuid": name_of(n),
            "detections": (
                runware.Detection(
                    x_min=10,
                    y_min=20,
                    x_max=110,
                    y_max=140,
                    raw={"x_min": 10, "y_min": 20, "x_max": 110, "y_max": 140},
                ),
            ),
        },
    ),
    Case(
        operation="photo_maker",
        given={"positive_prompt": "rwre in space", "input_images": [PICTURE], "style": "Cinematic", "strength": 15},
        task_type="photoMaker",
        sent={"positivePrompt": "rwre in space", "inputImages": [PICTURE], "style": "Cinematic", "strength": 15},
        reply=lambda n: {
            "imageUUID": name_of(n),
            "imageURL": f"{HOST}/i/pm.png",
            "inputImagesUUID": [PICTURE],
            "seed": 11,
        },
        gives=runware.Image,
        values=lambda n: {"uuid": name_of(n), "input_images_uuid": (PICTURE,), "seed": 11},
        counter="number_results",
    ),
    Case(
        operation="vectorize",
        given={"inputs": {"image": PICTURE}, "model": "recraft:1@1", "output_format": "SVG"},
        task_type="vectorize",
        sent={"inputs": {"image": PICTURE}, "model": "recraft:1@1", "outputFormat": "SVG"},
        reply=lambda n: {"imageUUID": name_of(n), "imageURL": f"{HOST}/i/v.svg"},
        gives=runware.Image,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/i/v.svg"},
    ),
    Case(
        operation="tools",
        given={"inputs": {"video": PICTURE}, "settings": {"start": 1}, "output_format": "MP3", "ttl": 60},
        task_type="tools",
        sent={
            "model": "runware:ffmpeg@0",
            "inputs": {"video": PICTURE},
            "settings": {"start": 1},
            "outputFormat": "MP3",
            "ttl": 60,
            "deliveryMethod": "async",
        },
        reply=lambda n: {"outputs": {"files": [{"uuid": name_of(n), "url": f"{HOST}/f/{n}.mp3"}]}, "cost": 0.001},
        gives=runware.ToolOutput,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/f/{n}.mp3", "cost": 0.001},
        delivery=POLLED,
    ),
    Case(
        operation="training",
        given={
            "model": "acme:1@1",
            "inputs": {"dataset": "https://example.com/set.zip"},
            "import_model": runware.ImportModel(air="acme:100@1", name="mine"),
        },
        task_type="training",
        sent={
            "model": "acme:1@1",
            "inputs": {"dataset": "https://example.com/set.zip"},
            "importModel": {"air": "acme:100@1", "name": "mine"},
            "deliveryMethod": "async",
        },
        reply=lambda n: {"air": "acme:100@1", "outputs": {}, "cost": 2.5},
        gives=runware.TrainedModel,
        values=lambda n: {"air": "acme:100@1", "outputs": {}, "cost": 2.5},
        delivery=POLLED,
    ),
    Case(
        operation="model_upload",
        given={
            "category": "checkpoint",
            "architecture": "sdxl",
            "name": "mine",
            "version": "v1",
            "download_url": "https://example.com/m.safetensors",
        },
        task_type="modelUpload",
        sent={
            "category": "checkpoint",
            "architecture": "sdxl",
            "format": "safetensors",
            "name": "mine",
            "version": "v1",
            "downloadURL": "https://example.com/m.safetensors",
        },
        reply=lambda n: {"status": "ready", "message": "Deployed.", "air": "acme:1@1"},
        gives=runware.UploadedModel,
        values=lambda n: {"status": "ready", "message": "Deployed.", "air": "acme:1@1"},
        delivery=STATUSES,
    ),
    Case(
        operation="model_search",
        given={"search": "realistic", "category": "checkpoint", "limit": 1, "offset": 0},
        task_type="modelSearch",
        sent={"search": "realistic", "category": "checkpoint", "limit": 1, "offset": 0},
        reply=lambda n: {
            "totalResults": 42,
            "results": [{"air": "civitai:305149@392545", "name": "Sample XL", "defaultCFG": 7.5, "tags": ["photo"]}],
        },
        gives=runware.ModelPage,
        values=lambda n: {
            "total_results": 42,
            "results": (
                runware.Model(
                    air="civitai:305149@392545",
                    name="Sample XL",
                    default_cfg=7.5,
                    tags=("photo",),
                    raw={"air": "civitai:305149@392545", "name": "Sample XL", "defaultCFG": 7.5, "tags": ["photo"]},
                ),
            ),
        },
    ),
    Case(
        operation="image_upload",
        given={"image": b"\x89PNG\r\n\x1a\n"},
        task_type="imageUpload",
        sent={"image": "data:image/png;base64,iVBORw0KGgo="},
        reply=lambda n: {"imageUUID": name_of(n), "imageURL": f"{HOST}/i/{n}.png"},
        gives=runware.StoredMedia,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/i/{n}.png", "operation": None},
    ),
    Case(
        operation="media_storage",
        given={"media": "https://example.com/clip.mp4"},
        task_type="mediaStorage",
        sent={"operation": "upload", "media": "https://example.com/clip.mp4"},
        reply=lambda n: {"operation": "upload", "mediaUUID": name_of(n), "mediaURL": f"{HOST}/media/{n}.mp4"},
        gives=runware.StoredMedia,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/media/{n}.mp4", "operation": "upload"},
    ),
    Case(
        operation="media_storage",
        given={"media": PICTURE, "operation": "delete"},
        task_type="mediaStorage",
        sent={"operation": "delete", "media": PICTURE},
        reply=lambda n: {"operation": "delete", "mediaUUID": PICTURE},
        gives=runware.StoredMedia,
        values=lambda n: {"uuid": PICTURE, "url": None, "operation": "delete"},
    ),
    Case(
        operation="get_response",
        given={},
        task_type="getResponse",
        sent={},
        reply=lambda n: {
            "taskType": "videoInference",
            "status": "success",
            "videoUUID": name_of(n),
            "videoURL": f"{HOST}/v/{n}.mp4",
        },
        gives=runware.Video,
        values=lambda n: {"uuid": name_of(n), "url": f"{HOST}/v/{n}.mp4", "status": "success"},
        delivery=LOOK,
        counter="",
    ),
    Case(
        operation="get_task_details",
        given={},
        task_type="getTaskDetails",
        sent={},
        reply=lambda n: {
            "request": [{"taskType": "imageInference", "model": "runware:101@1"}],
            "response": {"data": [{"taskType": "imageInference", "imageUUID": name_of(n)}]},
        },
        gives=runware.TaskDetails,
        values=lambda n: {
            "request": [{"taskType": "imageInference", "model": "runware:101@1"}],
            "errors": (),
            "results": [
                runware.Image(
                    task_type="imageInference",
                    uuid=name_of(n),
                    raw={"taskType": "imageInference", "imageUUID": name_of(n)},
                )
            ],
        },
        delivery=LOOK,
    ),
    Case(
        operation="account_management",
        given={},
        task_type="accountManagement",
        sent={"operation": "getDetails"},
        reply=lambda n: {
            "operation": "getDetails",
            "organizationUUID": name_of(n),
            "organizationName": "Test Org",
            "AIRSource": "testorg",
            "balance": 12.5,
            "usage": {"total": {"credits": 1.5, "requests": 9}},
        },
        gives=runware.Account,
        values=lambda n: {
            "operation": "getDetails",
            "organization_uuid": name_of(n),
            "organization_name": "Test Org",
            "air_source": "testorg",
            "balance": 12.5,
        },
    ),
]

ALIASES = {name: [name, *aliases] for name, (_, *aliases) in requests.OPERATIONS.items()}
NAMED = [(name, case) for case in CASES for name in ALIASES[case.operation]]
UNDER_EVERY_NAME = pytest.mark.parametrize(("name", "case"), NAMED, ids=str)
ASKS_FOR_SEVERAL = [(name, case) for name, case in NAMED if case.counter]


class Stage:
    """A server that answers from a script, and a client of it."""

    def __init__(self, server: LocalServer, client: Runware) -> None:
        self.server = server
        self.client = client

    def play(self, *scenes: Any) -> None:
        """Answer the first task with the first frames, and later ones with the next; the last frames repeat."""
        left = list(scenes)

        def answer(task: Item) -> list[Any] | None:
            if task["taskType"] in ("authentication", "ping"):
                return None
            scene = left.pop(0) if len(left) > 1 else left[0]
            return scene(task) if callable(scene) else scene

        self.server.script(answer)

    def sent(self, task_uuid: str) -> list[Item]:
        return [task for task in list(self.server.ledger.received) if task.get("taskUUID") == task_uuid]


@pytest.fixture(scope="module")
def theatre() -> Iterator[Stage]:
    with LocalServer(api_key="rw-test-key") as server:
        client = Runware(server.api_key, url=server.url, timeout=20.0, long_timeout=20.0, max_retries=0)
        client.connect()
        yield Stage(server, client)
        client.close()
        assert server.ledger.errors == []
        assert server.ledger.connections == 1


@pytest.fixture
def stage(theatre: Stage) -> Iterator[Stage]:
    yield theatre
    theatre.server.script(None)


def new_uuid() -> str:
    return str(uuid.uuid4())


def frame(case: Case, task_uuid: str, *items: Item) -> Item:
    """Return a message with these items of the task."""
    return {"data": [{"taskType": case.task_type, "taskUUID": task_uuid, **item} for item in items]}


def failure(case: Case, task_uuid: str, code: str, **more: Any) -> Item:
    return {"code": code, "message": f"It is {code}.", "taskType": case.task_type, "taskUUID": task_uuid, **more}


def failed_item(code: str = "providerInternalError") -> Item:
    """Return the item of a result that failed, with an `error` of its own."""
    return {"status": "error", "error": {"code": code, "message": f"It is {code}."}}


def scenes(case: Case, task_uuid: str, *items: Item) -> list[list[Item]]:
    """Return how the server delivers these items: at once, or after an acknowledgement and some polls."""
    if case.delivery == POLLED:
        done = [item if "status" in item else {"status": "success", **item} for item in items]
        waiting = [{"status": "processing", "progress": 30}] * len(items)
        return [
            [frame(case, task_uuid, {})],
            [frame(case, task_uuid, *waiting)],
            [frame(case, task_uuid, *done)],
        ]
    if case.delivery == STATUSES:
        steps = ("validated", "downloaded", "optimized", "stored")
        before = [frame(case, task_uuid, {"status": step, "message": step, "air": "acme:1@1"}) for step in steps]
        return [[*before, *(frame(case, task_uuid, item) for item in items)]]
    return [[frame(case, task_uuid, *items)]]


def several(case: Case) -> dict[str, int]:
    return {case.counter: 3} if case.counter else {}


def test_cases_cover_every_operation() -> None:
    assert {case.operation for case in CASES} == set(ALIASES)


def test_readme_lists_every_operation() -> None:
    readme = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
    for name in ALIASES:
        assert f"`{name}`" in readme, name


@UNDER_EVERY_NAME
def test_sent_task_and_result_have_the_documented_form(
    name: str, case: Case, interface: Interface, stage: Stage
) -> None:
    task_uuid = new_uuid()
    stage.play(*scenes(case, task_uuid, case.reply(1)))
    answer = interface(stage.client, name, **case.given, task_uuid=task_uuid)

    first, *polls = stage.sent(task_uuid)
    assert first == {"taskType": case.task_type, "taskUUID": task_uuid, **case.sent}
    assert list(first)[:2] == ["taskType", "taskUUID"]
    assert polls == [{"taskType": "getResponse", "taskUUID": task_uuid}] * (2 if case.delivery == POLLED else 0)

    if case.counter is not None:
        assert isinstance(answer, Results)
        assert answer.errors == ()
        (answer,) = answer
    assert type(answer) is case.gives
    assert answer.task_uuid == task_uuid
    assert answer.task_type == case.reply(1).get("taskType", case.task_type)
    for attribute, value in case.values(1).items():
        assert getattr(answer, attribute) == value, attribute
    assert case.reply(1).items() <= answer.raw.items()
    assert answer.meta.request == first
    assert answer.meta.task_uuid == task_uuid
    assert 0 < answer.meta.elapsed < 60


@pytest.mark.parametrize(("name", "case"), ASKS_FOR_SEVERAL, ids=str)
def test_several_results_arrive(name: str, case: Case, interface: Interface, stage: Stage) -> None:
    task_uuid = new_uuid()
    stage.play(*scenes(case, task_uuid, *map(case.reply, (1, 2, 3))))
    answers = interface(stage.client, name, **case.given, **several(case), task_uuid=task_uuid)
    assert [type(answer) for answer in answers] == [case.gives] * 3
    for number, answer in enumerate(answers, 1):
        for attribute, value in case.values(number).items():
            assert getattr(answer, attribute) == value, attribute
    counter = {"number_results": "numberResults", "prompt_versions": "promptVersions"}[str(case.counter)]
    assert stage.sent(task_uuid)[0][counter] == 3


@UNDER_EVERY_NAME
def test_server_error_is_raised_with_its_details(name: str, case: Case, interface: Interface, stage: Stage) -> None:
    task_uuid = new_uuid()
    wrong = failure(case, task_uuid, "invalidModel", parameter="model", documentation=f"{HOST}/errors", type="string")
    stage.play([{"errors": [wrong]}])
    with pytest.raises(ValidationError) as caught:
        interface(stage.client, name, **case.given, task_uuid=task_uuid)
    error = caught.value
    assert (error.code, error.parameter) == ("invalidModel", "model")
    assert error.message.startswith("It is invalidModel.")  # similar models may follow
    assert (error.task_type, error.task_uuid) == (case.task_type, task_uuid)
    assert error.documentation == f"{HOST}/errors"
    assert error.raw == wrong
    assert error.results == ()
    assert len(stage.sent(task_uuid)) == 1


@pytest.mark.parametrize("form", ["errors", "item"])
@UNDER_EVERY_NAME
def test_failure_of_the_only_result_is_raised(
    name: str, case: Case, form: str, interface: Interface, stage: Stage
) -> None:
    """Servers report it under `errors` or in the item; model uploads report it as a status."""
    task_uuid = new_uuid()
    if case.delivery == STATUSES and form == "item":
        stage.play([{"data": [{"taskUUID": task_uuid, "status": "failed", "message": "Download failed."}]}])
        code, message = "taskFailed", "Download failed."
    elif case.task_type == "getTaskDetails":
        told = {"code": "providerInternalError", "message": "It is providerInternalError."}
        response = {"errors": [told]} if form == "errors" else [{"data": [], "error": told}]
        stage.play([frame(case, task_uuid, {"request": [{"taskType": "imageInference"}], "response": response})])
        details = interface(stage.client, name, **case.given, task_uuid=task_uuid)
        assert details.results == []
        assert [type(error) for error in details.errors] == [ProviderError]
        return
    else:
        code, message = "providerInternalError", "It is providerInternalError."
        *before, last = scenes(case, task_uuid, failed_item())
        if form == "errors":
            last = [{"data": [], "errors": [failure(case, task_uuid, code, status="error")]}]
        stage.play(*before, last)
    with pytest.raises(ProviderError) as caught:
        interface(stage.client, name, **case.given, task_uuid=task_uuid)
    error = caught.value
    assert (error.code, error.message, error.retryable) == (code, message, True)
    assert (error.task_type, error.task_uuid) == (case.task_type, task_uuid)


@pytest.mark.parametrize("form", ["errors", "item"])
@pytest.mark.parametrize(("name", "case"), ASKS_FOR_SEVERAL, ids=str)
def test_failure_of_one_of_several_results_keeps_the_others(
    name: str, case: Case, form: str, interface: Interface, stage: Stage
) -> None:
    """Two of three results arrive, and are kept."""
    task_uuid = new_uuid()
    good = list(map(case.reply, (1, 2)))
    *before, last = scenes(case, task_uuid, *good, failed_item("inferenceError"))
    if form == "errors":
        status = {"status": "error"} if case.delivery == POLLED else {}
        (items,) = scenes(case, task_uuid, *good)[-1]
        last = [{**items, "errors": [failure(case, task_uuid, "inferenceError", **status)]}]
    stage.play(*before, last)
    with pytest.raises(IncompleteResultsError) as caught:
        interface(stage.client, name, **case.given, **several(case), task_uuid=task_uuid)
    error = caught.value
    assert [type(result) for result in error.results] == [case.gives] * 2
    for number, result in enumerate(error.results, 1):
        for attribute, value in case.values(number).items():
            assert getattr(result, attribute) == value, attribute
    assert [type(one) for one in error.errors] == [ProviderError]
    assert (error.code, error.task_type, error.task_uuid) == ("inferenceError", case.task_type, task_uuid)


@UNDER_EVERY_NAME
def test_timeout_ends_a_call_to_a_silent_server(name: str, case: Case, interface: Interface, stage: Stage) -> None:
    """The server sends nothing at all."""
    task_uuid = new_uuid()
    stage.play([])
    started = time.monotonic()
    with pytest.raises(TaskTimeoutError) as caught:
        interface(stage.client, name, **case.given, task_uuid=task_uuid, timeout=0.03)
    assert 0.03 <= time.monotonic() - started < 10
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.may_be_running is not getattr(requests, requests.OPERATIONS[case.operation][0]).repeatable
    assert (error.task_type, error.task_uuid) == (case.task_type, task_uuid)
    stage.server.ledger.wait_for(lambda _: stage.sent(task_uuid))
    assert len(stage.sent(task_uuid)) == 1


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, case in NAMED if case.delivery in (POLLED, STATUSES)], ids=str
)
def test_timeout_ends_a_call_whose_task_still_runs(name: str, case: Case, interface: Interface, stage: Stage) -> None:
    """The task is acknowledged, and never finishes."""
    task_uuid = new_uuid()
    status = "processing" if case.delivery == POLLED else "stored"
    stage.play([frame(case, task_uuid, {})], [frame(case, task_uuid, {"status": status})])
    with pytest.raises(TaskTimeoutError) as caught:
        interface(stage.client, name, **case.given, task_uuid=task_uuid, timeout=0.3)
    assert caught.value.may_be_running
    assert (caught.value.task_type, caught.value.task_uuid) == (case.task_type, task_uuid)
    polls = [task["taskType"] for task in stage.sent(task_uuid)[1:]]
    assert set(polls) == ({"getResponse"} if case.delivery == POLLED else set())  # statuses are pushed
