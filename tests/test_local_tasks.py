"""The local server: results, errors and delivery of every task type."""

from __future__ import annotations

import base64
import io
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from runware.local import LocalServer
from runware.local.task_types import TASK_TYPES
from tests.test_local_server import Peer, errors, new_uuid

MODEL = "runware:101@1"
PNG = "data:image/png;base64,iVBORw0KGgo="
STORED = "cc000000-0000-4000-8000-000000000001"
HEAD = {"taskType", "taskUUID"}

MINIMAL: dict[str, dict[str, Any]] = {
    "imageInference": {"positivePrompt": "a red kite"},
    "photoMaker": {"positivePrompt": "rwre a man", "inputImages": [STORED]},
    "videoInference": {"model": "klingai:5@3", "positivePrompt": "waves"},
    "audioInference": {"model": MODEL, "positivePrompt": "rain"},
    "3dInference": {"model": MODEL, "positivePrompt": "a cube"},
    "textInference": {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]},
    "upscale": {"inputImage": STORED},
    "imageUpscale": {"inputImage": STORED},
    "removeBackground": {"inputImage": STORED},
    "imageBackgroundRemoval": {"inputImage": STORED},
    "caption": {"inputImage": STORED},
    "imageCaption": {"inputImage": STORED},
    "controlNetPreprocess": {"inputs": {"image": STORED}},
    "imageControlNetPreProcess": {"inputImage": STORED, "preProcessorType": "canny"},
    "imageMasking": {"model": MODEL, "inputImage": STORED},
    "vectorize": {"model": MODEL, "inputs": {"image": STORED}},
    "promptEnhance": {"prompt": "harbour"},
    "training": {"model": MODEL, "importModel": {"air": "acme:100@1"}},
    "tools": {"model": MODEL, "inputs": {"image": STORED}},
    "imageUpload": {"image": PNG},
    "mediaStorage": {"operation": "upload", "media": PNG},
    "modelUpload": {"category": "lora", "name": "n", "downloadURL": "https://example.com/m.safetensors"},
    "modelSearch": {},
    "accountManagement": {"operation": "getDetails"},
}
KEYS = {
    "imageInference": {"imageUUID", "imageURL", "seed"},
    "photoMaker": {"imageUUID", "imageURL", "seed", "inputImagesUUID"},
    "videoInference": {"videoUUID", "videoURL", "seed", "status"},
    "audioInference": {"audioUUID", "audioURL", "seed"},
    "3dInference": {"outputs", "seed", "status"},
    "textInference": {"text", "finishReason"},
    "upscale": {"imageUUID", "imageURL", "inputImageUUID"},
    "imageUpscale": {"imageUUID", "imageURL", "inputImageUUID"},
    "removeBackground": {"imageUUID", "imageURL", "inputImageUUID"},
    "imageBackgroundRemoval": {"imageUUID", "imageURL", "inputImageUUID"},
    "caption": {"text"},
    "imageCaption": {"text"},
    "controlNetPreprocess": {"guideImageUUID", "guideImageURL", "inputImageUUID"},
    "imageControlNetPreProcess": {"guideImageUUID", "guideImageURL", "inputImageUUID"},
    "imageMasking": {"maskImageUUID", "maskImageURL", "inputImageUUID", "detections"},
    "vectorize": {"imageUUID", "imageURL"},
    "promptEnhance": {"text"},
    "training": {"air", "outputs", "status"},
    "tools": {"outputs", "status"},
    "imageUpload": {"imageUUID", "imageURL"},
    "mediaStorage": {"operation", "mediaUUID", "mediaURL"},
    "modelUpload": {"status", "message", "air"},
    "modelSearch": {"totalResults", "results"},
}
FREE = {"imageUpload", "mediaStorage", "modelUpload", "modelSearch", "accountManagement"}


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server
        assert not server.ledger.errors


@pytest.fixture
def peer(shared: LocalServer) -> Iterator[Peer]:
    with Peer(shared) as connected:
        yield connected


def finish(peer: Peer, kind: str, **fields: Any) -> list[Any]:
    """Run a task to its end, with a poll if it is asynchronous; return its items."""
    task = peer.task(kind, **fields)
    items = peer.frame()["data"]
    if items == [{"taskType": kind, "taskUUID": task}]:
        items = peer.ask("getResponse", taskUUID=task)["data"]
    return list(items)


def fetch(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url) as reply:
        return reply.headers["Content-Type"], reply.read()


@pytest.mark.parametrize("kind", MINIMAL)
def test_every_task_type_returns_its_keys(peer: Peer, kind: str) -> None:
    cost = {} if kind in FREE else {"includeCost": True}
    [item] = finish(peer, kind, **MINIMAL[kind], **cost)
    assert item["taskType"] == kind
    assert set(item) == HEAD | KEYS.get(kind, set(item)) | ({"cost"} if cost else set())


@pytest.mark.parametrize("kind", [*sorted(FREE), "getResponse", "getTaskDetails"])
def test_free_task_types_reject_include_cost(peer: Peer, kind: str) -> None:
    [error] = peer.ask(kind, includeCost=True, **MINIMAL.get(kind, {}))["errors"]
    assert (error["code"], error["parameter"]) == ("unknownParameter", "includeCost")


def test_every_task_type_is_tested() -> None:
    assert set(TASK_TYPES) - set(MINIMAL) == {"getResponse", "getTaskDetails"}


# imageInference.


def test_seeds_of_results_count_up(peer: Peer) -> None:
    assert [item["seed"] for item in peer.ask(numberResults=3, seed=77)["data"]] == [77, 78, 79]
    first, second = peer.ask(numberResults=2)["data"]
    assert second["seed"] == first["seed"] + 1
    assert 0 < first["seed"] < 2**32


def test_every_result_has_its_own_uuid(peer: Peer) -> None:
    items = peer.ask(numberResults=20)["data"]
    assert len({item["imageUUID"] for item in items}) == 20


@pytest.mark.parametrize(("name", "kind"), [("JPG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WEBP")])
def test_images_are_valid_and_depend_on_prompt_and_seed_only(peer: Peer, name: str, kind: str) -> None:
    options = {"width": 256, "height": 128, "outputFormat": name, "outputQuality": 80}
    one, two = (peer.ask(seed=5, **options)["data"][0] for _ in range(2))
    other = peer.ask(seed=6, **options)["data"][0]
    assert one["imageUUID"] != two["imageUUID"]
    content_type, data = fetch(one["imageURL"])
    assert content_type == f"image/{kind.lower()}"
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == kind
        assert picture.size == (256, 128)
    assert fetch(two["imageURL"])[1] == data != fetch(other["imageURL"])[1]
    again = peer.ask(seed=5, outputType="base64Data", **options)["data"][0]
    assert base64.b64decode(again["imageBase64Data"]) == data
    assert "imageURL" not in again
    uri = peer.ask(seed=5, outputType=["dataURI"], **options)["data"][0]["imageDataURI"]
    assert uri == f"data:image/{kind.lower()};base64,{again['imageBase64Data']}"


def test_nsfw_flag_is_returned_on_request(peer: Peer) -> None:
    assert peer.ask(checkNSFW=True)["data"][0]["NSFWContent"] is False
    assert peer.ask(safety={"mode": "fast"}, positivePrompt="odd [nsfw]")["data"][0]["NSFWContent"] is True
    assert "NSFWContent" not in peer.ask(safety={"mode": "none"})["data"][0]


def test_cost_is_returned_on_request(peer: Peer) -> None:
    assert [item["cost"] for item in peer.ask(includeCost=True, numberResults=2)["data"]] == [0.0013, 0.0013]


# Validation.


def limits(error: Any) -> dict[str, Any]:
    names = ("code", "parameter", "type", "min", "max", "multiplier", "allowedValues")
    return {name: error[name] for name in names if name in error}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"height": 100},
            {"code": "invalidCustomHeight", "parameter": "height", "type": "integer", "min": 128, "max": 2048,
             "multiplier": 64},
        ),
        (
            {"width": "wide"},
            {"code": "invalidWidth", "parameter": "width", "type": "integer", "min": 128, "max": 2048,
             "multiplier": 64},
        ),
        ({"steps": 101}, {"code": "invalidSteps", "parameter": "steps", "type": "integer", "min": 1, "max": 100}),
        ({"steps": True}, {"code": "invalidSteps", "parameter": "steps", "type": "integer", "min": 1, "max": 100}),
        ({"CFGScale": 51}, {"code": "invalidCFGScale", "parameter": "CFGScale", "type": "float", "min": 0, "max": 50}),
        ({"seed": 0}, {"code": "invalidSeed", "parameter": "seed", "type": "integer", "min": 1, "max": 2**63 - 1}),
        (
            {"positivePrompt": "x"},
            {"code": "invalidPositivePromptLength", "parameter": "positivePrompt", "type": "string", "min": 2,
             "max": 3000},
        ),
        ({"ttl": 59}, {"code": "invalidTtl", "parameter": "ttl", "type": "integer", "min": 60}),
        (
            {"outputType": "file"},
            {"code": "invalidOutputType", "parameter": "outputType", "type": "string",
             "allowedValues": ["URL", "base64Data", "dataURI"]},
        ),
        (
            {"outputFormat": "GIF"},
            {"code": "invalidOutputFormat", "parameter": "outputFormat", "type": "string",
             "allowedValues": ["JPG", "PNG", "WEBP"]},
        ),
        (
            {"deliveryMethod": "stream"},
            {"code": "invalidDeliveryMethod", "parameter": "deliveryMethod", "type": "string",
             "allowedValues": ["sync", "async"]},
        ),
        ({"model": "not a model"}, {"code": "invalidModel", "parameter": "model", "type": "string"}),
        (
            {"lora": [{"model": "a:1@1"}, {"model": "a:1@1", "weight": 5}]},
            {"code": "invalidWeight", "parameter": "lora[1].weight", "type": "float", "min": -4, "max": 4},
        ),
        (
            {"controlNet": [{"model": "a:1@1"}]},
            {"code": "missingParameter", "parameter": "controlNet[0].guideImage", "type": "string", "min": 1},
        ),
        (
            {"outpaint": {"top": 65}},
            {"code": "invalidTop", "parameter": "outpaint.top", "type": "integer", "min": 0, "multiplier": 64},
        ),
        ({"puLID": {"inputImages": []}},
         {"code": "arrayTooSmall", "parameter": "puLID.inputImages", "type": "array", "min": 1, "max": 1}),
        ({"providerSettings": {"nobody": {}}},
         {"code": "unknownProviderSettingsProvider", "parameter": "providerSettings.nobody"}),
        ({"model": "openai:1@1", "providerSettings": {"bfl": {}}},
         {"code": "mismatchProviderSettingsProvider", "parameter": "providerSettings.bfl"}),
        ({"safety": "full"}, {"code": "invalidSafety", "parameter": "safety", "type": "object"}),
    ],
)  # fmt: skip
def test_wrong_image_parameter_is_rejected_with_its_limits(
    peer: Peer, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    task = peer.task(**fields)
    [error] = peer.frame()["errors"]
    assert limits(error) == expected
    assert error["taskUUID"] == task
    assert error["taskType"] == "imageInference"
    assert error["message"]
    assert error["documentation"].startswith("https://")
    assert peer.server.ledger.executions(task) == 0


@pytest.mark.parametrize(
    ("kind", "fields", "code", "parameter"),
    [
        ("imageInference", {"positivePrompt": None}, "invalidPositivePrompt", "positivePrompt"),
        ("videoInference", {"positivePrompt": "waves"}, "missingParameter", "model"),
        ("videoInference", {"model": MODEL, "duration": 90}, "unsupportedDuration", "duration"),
        ("videoInference", {"model": MODEL, "outputType": "base64Data"}, "invalidOutputType", "outputType"),
        ("videoInference", {"model": MODEL, "numberResults": 5}, "invalidNumberResults", "numberResults"),
        ("upscale", {}, "missingParameter", "inputImage"),
        ("upscale", {"inputs": {"image": STORED}, "upscaleFactor": 9}, "invalidUpscaleFactor", "upscaleFactor"),
        ("vectorize", {"model": MODEL}, "missingParameter", "inputImage"),
        ("textInference", {"model": MODEL, "messages": []}, "arrayTooSmall", "messages"),
        ("textInference", {"model": MODEL, "messages": [{"role": "user"}]}, "missingParameter", "messages[0].content"),
        ("promptEnhance", {"prompt": "x", "promptVersions": 6}, "invalidPromptVersions", "promptVersions"),
        ("promptEnhance", {"prompt": "x", "colour": 1}, "unknownParameter", "colour"),
        ("mediaStorage", {"operation": "copy", "media": "x"}, "invalidOperation", "operation"),
        ("mediaStorage", {"operation": "upload", "media": "%%%"}, "invalidMedia", "media"),
        ("mediaStorage", {"operation": "delete", "media": "some-uuid"}, "mediaNotFound", "media"),
        ("imageUpload", {"image": "%%%"}, "invalidImage", "image"),
        ("photoMaker", {"positivePrompt": "abc", "inputImages": ["a"] * 5}, "invalidInputImages", "inputImages"),
        ("getResponse", {"taskUUID": None}, "invalidRequest", "taskUUID"),
        ("getResponse", {"taskUUID": "x"}, "invalidTaskUUID", "taskUUID"),
        ("nonsense", {}, "unsupportedTaskType", "taskType"),
        (5, {}, "unsupportedTaskType", "taskType"),
        (None, {}, "invalidRequest", "taskType"),
    ],
)
def test_wrong_parameter_is_rejected_for_each_task_type(
    peer: Peer, kind: Any, fields: dict[str, Any], code: str, parameter: str
) -> None:
    peer.send({"taskType": kind, "taskUUID": new_uuid(), **fields})
    [error] = peer.frame()["errors"]
    assert (error["code"], error["parameter"]) == (code, parameter)


MEDIA = [
    ("upscale", lambda medium: {"inputImage": medium}, "invalidInputImage", "inputImage"),
    ("upscale", lambda medium: {"inputVideo": medium}, "invalidInputVideo", "inputVideo"),
    ("caption", lambda medium: {"inputImages": [STORED, medium]}, "invalidInputImages", "inputImages[1]"),
    ("caption", lambda medium: {"inputs": {"image": medium}}, "invalidImage", "inputs.image"),
    (
        "imageInference",
        lambda medium: {"positivePrompt": "xx", "inputs": {"referenceImages": [STORED, {"image": medium}]}},
        "invalidReferenceImages", "inputs.referenceImages[1].image",
    ),
    (
        "imageInference", lambda medium: {"positivePrompt": "xx", "seedImage": medium},
        "invalidSeedImage", "seedImage",
    ),
    (
        "imageInference",
        lambda medium: {"positivePrompt": "xx", "controlNet": [{"model": MODEL, "guideImage": medium}]},
        "invalidGuideImage", "controlNet[0].guideImage",
    ),
    (
        "videoInference",
        lambda medium: {"model": MODEL, "frameImages": [{"inputImage": medium, "frame": "first"}]},
        "invalidFrameImages", "frameImages[0].inputImage",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "code", "parameter"), MEDIA)
def test_string_that_stands_for_no_file_is_rejected(
    peer: Peer, kind: str, fields: Callable[[str], dict[str, Any]], code: str, parameter: str
) -> None:
    for wrong in ("photo.png", "/pictures/photo", "http://", "some-uuid", "abc", 5):
        [error] = peer.ask(kind, **fields(wrong))["errors"]
        assert (error["code"], error["parameter"], error["type"]) == (code, parameter, "string")
    encoded = base64.b64encode(bytes(range(256)) * 64).decode()
    for right in (STORED, "https://example.com/a.png", "HTTP://EXAMPLE.COM/A", PNG, "aGk=", encoded):
        assert "data" in peer.ask(kind, **fields(right)), right


def test_missing_prompt_has_its_own_error_code(peer: Peer) -> None:
    peer.send({"taskType": "imageInference", "taskUUID": new_uuid()})
    assert errors(peer.frame()) == ["missingPositivePrompt"]


def test_unknown_parameters_are_accepted_unless_strict() -> None:
    with LocalServer() as server, Peer(server) as peer:
        assert "data" in peer.ask(novelty=1, settings={"novelty": 1}, providerSettings={"bfl": {"novelty": 1}})
        server.switch(strict=True)
        assert "data" in peer.ask(settings={"novelty": 1}, providerSettings={"bfl": {"novelty": 1}})
        [error] = peer.ask(novelty=1)["errors"]
        assert (error["code"], error["parameter"]) == ("unknownParameter", "novelty")


def test_wrong_task_does_not_affect_others_in_its_message(peer: Peer) -> None:
    good, bad = new_uuid(), new_uuid()
    peer.send(
        {"taskType": "imageInference", "taskUUID": bad, "positivePrompt": "x"},
        {"taskType": "imageInference", "taskUUID": good, "positivePrompt": "xx"},
    )
    assert peer.frame()["errors"][0]["taskUUID"] == bad
    assert peer.frame()["data"][0]["taskUUID"] == good


# Marks in prompts, and credits.


@pytest.mark.parametrize(
    ("mark", "code"),
    [
        ("[unsafe]", "invalidProviderContent"),
        ("[provider-error]", "providerInternalError"),
        ("[timeout]", "timeoutProvider"),
        ("[rate-limit]", "rateLimitExceeded"),
        ("[error:modelNotFound]", "modelNotFound"),
    ],
)
def test_mark_in_the_prompt_fails_the_task(peer: Peer, mark: str, code: str) -> None:
    task = peer.task(positivePrompt=f"a kite {mark}", numberResults=3)
    frame = peer.frame()
    assert errors(frame) == [code]
    assert "data" not in frame
    assert peer.server.ledger.cost(task) == 0


def test_mark_with_a_number_fails_the_first_attempts_only(peer: Peer) -> None:
    prompt = f"{new_uuid()} [rate-limit:2]"
    assert [list(peer.ask(positivePrompt=prompt)) for _ in range(3)] == [["errors"], ["errors"], ["data"]]
    prompt = f"{new_uuid()} [provider-error:1]"
    assert [list(peer.ask(positivePrompt=prompt)) for _ in range(2)] == [["errors"], ["data"]]


def test_fail_mark_fails_one_of_several_results(peer: Peer) -> None:
    task = peer.task(positivePrompt="a kite [fail:2]", numberResults=3, seed=1)
    frame = peer.frame()
    assert [item["seed"] for item in frame["data"]] == [1, 3]
    assert errors(frame) == ["inferenceError"]
    assert peer.server.ledger.cost(task) == 0.0026


def test_balance_is_charged_and_refunded_for_failures() -> None:
    with LocalServer(balance=0.004) as server, Peer(server) as peer:
        assert errors(peer.ask(numberResults=4)) == ["insufficientCredits"]
        assert errors(peer.ask(numberResults=3, positivePrompt="bad [unsafe]")) == ["invalidProviderContent"]
        assert server.balance == 0.004
        assert errors(peer.ask(numberResults=2, positivePrompt="bad [fail:1]")) == ["inferenceError"]
        assert server.balance == 0.0027
        assert "data" in peer.ask(numberResults=2)
        assert errors(peer.ask()) == ["insufficientCredits"]
        server.balance = None
        assert "data" in peer.ask()
        assert server.balance is None


def test_used_task_uuid_is_a_conflict(peer: Peer) -> None:
    task = peer.task()
    peer.frame()
    [error] = peer.ask(taskUUID=task)["errors"]
    assert (error["code"], error["parameter"], error["taskUUID"]) == ("conflictTaskUUID", "taskUUID", task)
    assert peer.server.ledger.executions(task) == 1


def test_queries_may_reuse_a_task_uuid(peer: Peer) -> None:
    task = new_uuid()
    assert [list(peer.ask("modelSearch", taskUUID=task)) for _ in range(2)] == [["data"], ["data"]]


# Asynchronous delivery.


def test_asynchronous_task_is_acknowledged_and_polled() -> None:
    with LocalServer() as server, Peer(server) as peer, server.hold():
        video = {"model": "klingai:5@3", "positivePrompt": "waves", "numberResults": 2, "includeCost": True, "seed": 1}
        task = peer.task("videoInference", **video)
        head = {"taskType": "videoInference", "taskUUID": task}
        assert peer.frame() == {"data": [head]}
        server.ledger.wait_for(lambda ledger: ledger.held == 2)
        waiting = head | {"status": "processing"}
        assert peer.ask("getResponse", taskUUID=task) == {"data": [waiting | {"progress": 0}, waiting]}
        server.release(1)
        done, running = peer.ask("getResponse", taskUUID=task)["data"]
        assert running == waiting | {"progress": 0}
        assert (done["status"], done["seed"], done["cost"]) == ("success", 1, 0.18)
        server.release(1)
        items = peer.ask("getResponse", taskUUID=task)["data"]
        assert items[0] == done
        assert [item["status"] for item in items] == ["success", "success"]
        assert server.ledger.polls(task) == 3


def test_progress_grows_with_time() -> None:
    with LocalServer(delay=0.2) as server, Peer(server) as peer:
        task = peer.task("videoInference", **MINIMAL["videoInference"])
        peer.frame()
        seen = []
        while not seen or seen[-1]["status"] == "processing":
            seen += peer.ask("getResponse", taskUUID=task)["data"]
        progress = [item["progress"] for item in seen[:-1]]
        assert progress == sorted(progress)
        assert progress[-1] > 0


@pytest.mark.parametrize(("value", "count"), [("all", 3), ("one", 1), ("known", 0)])
def test_switch_q9_selects_the_placeholders_in_polls(value: str, count: int) -> None:
    with LocalServer(switches={"q9": value}) as server, Peer(server) as peer, server.hold():
        task = peer.task(deliveryMethod="async", numberResults=3)
        peer.frame()
        assert len(peer.ask("getResponse", taskUUID=task)["data"]) == count


def test_switch_q8_selects_the_content_of_an_acknowledgement() -> None:
    with LocalServer(switches={"q8": "processing"}) as server, Peer(server) as peer:
        assert peer.ask(deliveryMethod="async")["data"][0]["status"] == "processing"
        server.switch(q8="finished")
        [item] = peer.ask(deliveryMethod="async")["data"]
        assert item["status"] == "success"
        assert item["imageURL"]
        with server.hold():
            assert set(peer.ask(deliveryMethod="async")["data"][0]) == HEAD


@pytest.mark.parametrize(("value", "whole", "part"), [("mixed", "errors", "item"), ("errors",) * 3, ("item",) * 3])
def test_switch_q7_selects_the_form_of_failures_in_polls(value: str, whole: str, part: str) -> None:
    def shape(frame: Any, results: int) -> str:
        code = "providerInternalError" if not results else "inferenceError"
        good = [item for item in frame["data"] if item["status"] == "success"]
        assert len(good) == results
        if "errors" in frame:
            [error] = frame["errors"]
            assert (error["code"], error["status"]) == (code, "error")
            assert error["taskUUID"] == task
            return "errors"
        [bad] = [item for item in frame["data"] if item["status"] == "error"]
        assert bad["error"]["code"] == code
        return "item"

    with LocalServer(switches={"q7": value}) as server, Peer(server) as peer:
        task = peer.task(deliveryMethod="async", positivePrompt="x [provider-error]", numberResults=2)
        peer.frame()
        assert shape(peer.ask("getResponse", taskUUID=task), 0) == whole
        task = peer.task(deliveryMethod="async", positivePrompt="x [fail:1]", numberResults=2)
        peer.frame()
        assert shape(peer.ask("getResponse", taskUUID=task), 1) == part


def test_switches_q6_q17_and_sync_polls_change_poll_responses() -> None:
    with LocalServer() as server, Peer(server) as peer:
        assert errors(peer.ask("getResponse", taskUUID=new_uuid())) == ["taskNotFound"]
        task = peer.task()
        peer.frame()
        assert peer.ask("getResponse", taskUUID=task)["data"][0]["taskType"] == "imageInference"
        server.switch(q6="empty", q17="getResponse")
        assert peer.ask("getResponse", taskUUID=new_uuid()) == {"data": []}
        assert peer.ask("getResponse", taskUUID=task)["data"][0]["taskType"] == "getResponse"
        server.switch(sync_polls=False)
        assert peer.ask("getResponse", taskUUID=task) == {"data": []}


def test_rejected_task_is_not_acknowledged(peer: Peer) -> None:
    frame = peer.ask("videoInference", model=MODEL, duration=0)
    assert errors(frame) == ["unsupportedDuration"]
    assert "data" not in frame


def test_delivery_method_is_ignored_for_training_only(peer: Peer) -> None:
    assert "videoURL" in peer.ask("videoInference", deliveryMethod="sync", **MINIMAL["videoInference"])["data"][0]
    assert set(peer.ask("training", deliveryMethod="sync", **MINIMAL["training"])["data"][0]) == HEAD


def test_switch_q10_selects_the_answer_to_a_stream_over_websocket() -> None:
    text = MINIMAL["textInference"] | {"deliveryMethod": "stream"}
    with LocalServer() as server, Peer(server) as peer:
        assert errors(peer.ask("textInference", **text)) == ["unsupportedParameter"]
        server.switch(q10="sync")
        assert peer.ask("textInference", **text)["data"][0]["text"]


# Task details.


def test_task_details_have_the_form_of_their_switch() -> None:
    with LocalServer() as server, Peer(server) as peer:
        good = peer.task(positivePrompt="good")
        item = peer.frame()["data"][0]
        bad = peer.task(positivePrompt="bad [unsafe]")
        error = peer.frame()["errors"][0]
        [details] = peer.ask("getTaskDetails", taskUUID=good)["data"]
        assert details["taskType"] == "getTaskDetails"
        assert details["taskUUID"] == good
        assert details["request"][0]["positivePrompt"] == "good"
        assert details["response"] == {"data": [item]}
        assert peer.ask("getTaskDetails", taskUUID=bad)["data"][0]["response"] == {"errors": [error]}
        server.switch(task_details="array")
        assert peer.ask("getTaskDetails", taskUUID=good)["data"][0]["response"] == [{"data": [item]}]
        assert peer.ask("getTaskDetails", taskUUID=bad)["data"][0]["response"] == [{"data": [], "error": error}]
        assert errors(peer.ask("getTaskDetails", taskUUID=new_uuid())) == ["taskNotFound"]
