"""Results: what the API's items become, and that reading them never fails."""

from __future__ import annotations

import copy
import functools
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import attrs
import pytest

import runware
from runware.errors import NotFoundError, RunwareError
from runware.protocol.codec import structure
from runware.requests.base import Task
from runware.requests.raw import RawTask
from runware.results import Part
from runware.results import platform as answers
from runware.results.media import class_by_name
from tests.test_tasks import REQUEST_CLASSES, needed

A = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
B = "1c6e4d2f-8b63-4d2e-8b51-7e2a3c9f1b02"
C = "cc000000-0000-4000-8000-00000000000"
HOST = "https://im.runware.ai"


def read(task: Task[Any], *items: dict[str, Any]) -> Any:
    """Return the results of a call, made as a job makes them."""
    return task.assemble(runware.Results(structure(item, class_for(task, item)) for item in items))


def class_for(task: Task[Any], item: dict[str, Any]) -> type[runware.Result]:
    kind = type(task)
    return kind.result_class if kind.class_of is None else kind.class_of(item)


def example(name: str, **parameters: Any) -> Task[Any]:
    cls: Any = getattr(runware, name)
    task: Task[Any] = cls(**{**needed(cls), **parameters})
    return task


# Task, item, class, values: one example of each form of an item (`docs/protocol.md`, section 5).
FRAMES: list[tuple[str, dict[str, Any], type[Any], dict[str, Any]]] = [
    (
        "ImageInference",
        {"imageUUID": C + "1", "imageURL": f"{HOST}/i/1.png", "seed": 77, "cost": 0.0013},
        runware.Image,
        {"uuid": C + "1", "url": f"{HOST}/i/1.png", "seed": 77, "cost": 0.0013, "image_url": f"{HOST}/i/1.png"},
    ),
    (
        "ImageInference",
        {"imageUUID": C + "2", "imageBase64Data": "iVBORw0KGgo=", "seed": 7532114250969985124, "NSFWContent": False},
        runware.Image,
        {"base64_data": "iVBORw0KGgo=", "seed": 7532114250969985124, "nsfw_content": False, "image_uuid": C + "2"},
    ),
    (
        "ImageInference",
        {"imageUUID": C + "3", "imageDataURI": "data:image/png;base64,iVBORw0KGgo=", "outputs": {"textBlocks": []}},
        runware.Image,
        {"data_uri": "data:image/png;base64,iVBORw0KGgo=", "url": None, "outputs": {"textBlocks": []}},
    ),
    (
        "VideoInference",
        {"status": "success", "videoUUID": C + "1", "videoURL": f"{HOST}/v/1.mp4", "cost": 0.18},
        runware.Video,
        {"uuid": C + "1", "url": f"{HOST}/v/1.mp4", "cost": 0.18, "status": "success", "video_url": f"{HOST}/v/1.mp4"},
    ),
    (
        "VideoInference",
        {"mediaUUID": C + "1", "mediaURL": f"{HOST}/v/1.mp4", "outputs": {"draftId": "d"}},
        runware.Video,
        {"uuid": C + "1", "url": f"{HOST}/v/1.mp4", "outputs": {"draftId": "d"}},
    ),
    (
        "MediaStorage",
        {"operation": "upload", "mediaUUID": C + "1", "mediaURL": f"{HOST}/m/1.mp4"},
        runware.StoredMedia,
        {"operation": "upload", "uuid": C + "1", "url": f"{HOST}/m/1.mp4"},
    ),
    (
        "MediaStorage",
        {"operation": "delete", "mediaUUID": C + "1"},
        runware.StoredMedia,
        {"operation": "delete", "uuid": C + "1", "url": None},
    ),
    (
        "ImageUpload",
        {"imageUUID": C + "1", "imageURL": f"{HOST}/i/1.png"},
        runware.StoredMedia,
        {"uuid": C + "1", "url": f"{HOST}/i/1.png", "operation": None},
    ),
    ("Caption", {"text": "boats tied to a pier"}, runware.Text, {"text": "boats tied to a pier", "usage": None}),
    (
        "Caption",
        {"structuredData": {"ageGroup": "adult", "confidence": 0.9}},
        runware.Text,
        {"text": None, "structured_data": {"ageGroup": "adult", "confidence": 0.9}},
    ),
    (
        "Upscale",
        {"imageUUID": C + "2", "imageURL": f"{HOST}/i/up.png", "inputImageUUID": C + "1", "cost": 0.002},
        runware.Image,
        {"uuid": C + "2", "input_image_uuid": C + "1", "cost": 0.002},
    ),
    ("Upscale", {"videoUUID": C + "2", "videoURL": f"{HOST}/v/up.mp4"}, runware.Video, {"uuid": C + "2"}),
    ("Upscale", {"mediaUUID": C + "2", "mediaURL": f"{HOST}/v/up.mp4?x=1.png"}, runware.Video, {"uuid": C + "2"}),
    (
        "RemoveBackground",
        {"mediaUUID": C + "3", "mediaURL": f"{HOST}/i/cut.png"},
        runware.Image,
        {"uuid": C + "3", "url": f"{HOST}/i/cut.png", "media_uuid": C + "3"},
    ),
    ("RemoveBackground", {"mediaUUID": C + "3"}, runware.Image, {"uuid": C + "3"}),
    (
        "ControlNetPreprocess",
        {"guideImageUUID": C + "4", "guideImageURL": f"{HOST}/i/guide.png", "inputImageUUID": C + "1"},
        runware.GuideImage,
        {"uuid": C + "4", "url": f"{HOST}/i/guide.png", "input_image_uuid": C + "1", "guide_image_uuid": C + "4"},
    ),
    (
        "ImageMasking",
        {
            "maskImageUUID": C + "5",
            "maskImageURL": f"{HOST}/i/mask.png",
            "inputImageUUID": C + "1",
            "detections": [{"x_min": 10, "y_min": 20, "x_max": 110, "y_max": 140}],
        },
        runware.MaskImage,
        {"uuid": C + "5", "mask_image_url": f"{HOST}/i/mask.png"},
    ),
    (
        "ThreeDInference",
        {"status": "success", "outputs": {"files": [{"uuid": C + "6", "url": f"{HOST}/m/1.glb"}]}, "seed": 5},
        runware.Model3D,
        {"uuid": C + "6", "url": f"{HOST}/m/1.glb", "seed": 5},
    ),
    (
        "AudioInference",
        {"status": "success", "audioUUID": C + "7", "audioURL": f"{HOST}/a/1.mp3", "cost": 0.01},
        runware.Audio,
        {"uuid": C + "7", "audio_url": f"{HOST}/a/1.mp3", "cost": 0.01},
    ),
    ("AudioInference", {"videoUUID": C + "7", "videoURL": f"{HOST}/v/1.mp4"}, runware.Video, {"uuid": C + "7"}),
    (
        "Training",
        {"status": "success", "air": "acme:100@1", "outputs": {}, "cost": 2.5},
        runware.TrainedModel,
        {"air": "acme:100@1", "outputs": {}, "cost": 2.5},
    ),
    (
        "ModelUpload",
        {"status": "ready", "message": "Deployed.", "air": "acme:1@1"},
        runware.UploadedModel,
        {"status": "ready", "message": "Deployed.", "air": "acme:1@1"},
    ),
    (
        "TextInference",
        {
            "text": "Hi there.",
            "finishReason": "stop",
            "reasoningContent": "short greeting",
            "thoughtSignature": "sig",
            "cost": 0.00002,
            "seed": 4,
        },
        runware.Text,
        {"text": "Hi there.", "finish_reason": "stop", "reasoning_content": "short greeting", "seed": 4},
    ),
    (
        "Tools",
        {"outputs": {"files": [{"uuid": C + "7", "url": f"{HOST}/f/7.mp3"}]}, "cost": 0.001},
        runware.ToolOutput,
        {"uuid": C + "7", "url": f"{HOST}/f/7.mp3", "cost": 0.001},
    ),
    ("Vectorize", {"imageUUID": C + "8", "imageURL": f"{HOST}/i/v.svg"}, runware.Image, {"url": f"{HOST}/i/v.svg"}),
    (
        "PhotoMaker",
        {"imageUUID": C + "9", "imageURL": f"{HOST}/i/pm.png", "inputImagesUUID": [C + "1"], "seed": 11},
        runware.Image,
        {"input_images_uuid": [C + "1"], "seed": 11},
    ),
]


@pytest.mark.parametrize(("name", "item", "cls", "values"), FRAMES)
def test_example_item_becomes_its_result(
    name: str, item: dict[str, Any], cls: type[Any], values: dict[str, Any]
) -> None:
    task = example(name)
    item = {"taskType": task.task_type, "taskUUID": B, **item}
    answer = read(task, item)
    result = answer[0] if task.many else answer
    assert type(result) is cls
    assert (result.task_type, result.task_uuid, result.raw) == (task.task_type, B, item)
    for attribute, value in values.items():
        got = getattr(result, attribute)
        assert (list(got) if isinstance(got, tuple) else got) == value
    if name not in ("Upscale", "RemoveBackground", "AudioInference"):
        assert answers.class_for(item) is cls


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("short greeting", "short greeting"),
        (["first", "second"], "first\nsecond"),
        ([], None),
        (["first", 2, None, "second"], "first\nsecond"),
        ({"text": "first"}, None),
        (None, None),
    ],
)
def test_reasoning_is_text_whether_it_came_as_text_or_as_a_list(sent: object, expected: str | None) -> None:
    text = read(example("TextInference"), {"text": "Hi.", "reasoningContent": sent})[0]
    assert text.reasoning_content == expected
    assert text.raw["reasoningContent"] == sent
    assert "first" not in repr(text)


def test_detections_are_parsed() -> None:
    item = {"detections": [{"x_min": 10, "y_min": 20.5, "x_max": 110, "y_max": 140, "score": 1}, None, {}]}
    first, odd, empty = structure(item, runware.MaskImage).detections
    assert (first.x_min, first.y_min, first.x_max, first.y_max) == (10, 20.5, 110, 140)
    assert first.raw["score"] == 1
    assert odd == empty == runware.Detection()


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"promptTokens": 9, "completionTokens": 3, "totalTokens": 12, "thinkingTokens": 1}, (9, 3, 12, 1, 9, 3)),
        ({"inputTokens": 9, "outputTokens": 3}, (9, 3, None, None, 9, 3)),
        ({"promptTokens": 0, "costBreakdown": {"prompt": 0.1}}, (0, None, None, None, 0, None)),
    ],
)
def test_usage_is_parsed_under_both_names(usage: dict[str, Any], tokens: tuple[int | None, ...]) -> None:
    got = structure({"text": "x", "usage": usage}, runware.Text).usage
    assert got is not None
    names = ("prompt", "completion", "total", "thinking", "input", "output")
    assert tuple(getattr(got, f"{name}_tokens") for name in names) == tokens
    assert got.raw == usage


def test_str_of_a_text_result_is_its_text() -> None:
    assert str(runware.Text(text="hello")) == "hello"
    assert str(runware.Text()) == ""


def test_model_search_becomes_a_page_of_models() -> None:
    item = {
        "taskType": "modelSearch",
        "taskUUID": B,
        "totalResults": 42,
        "results": [
            {
                "air": "civitai:305149@392545",
                "name": "Sample XL",
                "version": "v1",
                "category": "checkpoint",
                "architecture": "sdxl",
                "type": "base",
                "tags": ["photo"],
                "heroImage": "https://mim.runware.ai/r/x.jpg",
                "private": False,
                "comment": "",
                "defaultWidth": 1024,
                "defaultHeight": 1024,
                "defaultSteps": 20,
                "defaultScheduler": "Default",
                "defaultCFG": 7.5,
                "nsfwLevel": 0,
                "positiveTriggerWords": ["a"],
            },
            {"air": "acme:2@1", "defaultWidth": "wide"},
        ],
    }
    page = read(runware.ModelSearch(), item)
    assert isinstance(page, runware.ModelPage)
    assert page.total_results == 42
    assert len(page) == 2
    first, second = page
    assert page[0] is first
    assert attrs.asdict(first, filter=attrs.filters.exclude("raw")) == {
        "air": "civitai:305149@392545",
        "name": "Sample XL",
        "version": "v1",
        "category": "checkpoint",
        "architecture": "sdxl",
        "type": "base",
        "conditioning": None,
        "tags": first.tags,
        "hero_image": "https://mim.runware.ai/r/x.jpg",
        "image_url": None,
        "thumbnail_url": None,
        "nsfw_level": 0,
        "private": False,
        "comment": "",
        "default_width": 1024,
        "default_height": 1024,
        "default_steps": 20,
        "default_scheduler": "Default",
        "default_cfg": 7.5,
        "default_strength": None,
        "default_weight": None,
        "positive_trigger_words": ["a"],
    }
    assert list(first.tags or ()) == ["photo"]
    assert (second.air, second.default_width) == ("acme:2@1", None)


def test_account_is_parsed() -> None:
    item = {
        "operation": "getDetails",
        "organizationUUID": A,
        "organizationName": "Test Org",
        "AIRSource": "testorg",
        "balance": 12.5,
        "team": [{"name": "Ada Example", "email": "ada@example.com", "roles": ["Owner"], "joinedAt": "2025-01-01"}],
        "apiKeys": [{"name": "ci", "apiKey": "abcd****", "enabled": True, "requests": 3, "lastUsedAt": "2025-01-03"}],
        "usage": {
            "total": {"credits": 1.5, "requests": 9},
            "last7Days": {"credits": 0.5, "requests": 3},
            "last30Days": {"credits": 1, "requests": 5},
        },
    }
    account = read(runware.AccountManagement(), item)
    assert isinstance(account, runware.Account)
    assert (account.organization_uuid, account.air_source, account.balance) == (A, "testorg", 12.5)
    assert account.team[0].joined_at == "2025-01-01"
    assert list(account.team[0].roles or ()) == ["Owner"]
    assert (account.api_keys[0].api_key, account.api_keys[0].requests) == ("abcd****", 3)
    assert "abcd" not in repr(account)
    usage = account.usage
    assert usage is not None
    assert (usage.total, usage.today) == (runware.Spending(credits=1.5, requests=9, raw=usage.raw["total"]), None)
    assert usage.last_7_days is not None
    assert usage.last_30_days is not None
    assert (usage.last_7_days.credits, usage.last_30_days.requests) == (0.5, 5)
    assert structure({"balance": {"amount": 3}}, runware.Account).balance == {"amount": 3}


@pytest.mark.parametrize(
    ("balance", "amount"),
    [(12.5, 12.5), (3, 3), ({"amount": 3.5, "freeBalance": 1, "currency": "USD"}, 3.5), ({}, None), ("3", None),
     (True, None), (None, None)],
)  # fmt: skip
def test_balance_is_a_number_or_an_object(balance: Any, amount: float | None) -> None:
    assert structure({"balance": balance}, runware.Account).balance_amount == amount


def test_usage_reports_have_rows_and_totals() -> None:
    item = {
        "operation": "getUsageActivity",
        "startDate": "2026-10-01",
        "endDate": "2026-10-31",
        "usage": {
            "timeseries": {
                "data": [
                    {"date": "2026-10-01", "count": 3, "spend": 0.01, "clientErrors": 1, "serverErrors": 0},
                    {"date": "2026-10-02", "avgInferenceTime": None, "p90InferenceTime": 1.5, "p99InferenceTime": 2},
                ],
                "meta": {"totalRequests": 3, "totalSpend": 0.01, "errorRate": 0.25, "p50InferenceTime": 1},
            },
            "model": {"data": [{"model": "runware:101@1", "modelName": "FLUX.1 schnell", "apiKey": "key"}], "meta": {}},
            "apiKey": {"data": []},
        },
    }
    account = read(runware.AccountManagement(operation="getUsageActivity"), item)
    assert (account.start_date, account.end_date) == ("2026-10-01", "2026-10-31")
    usage = account.usage
    assert usage is not None
    assert usage.total is None
    report = usage.timeseries
    assert isinstance(report, runware.UsageReport)
    assert [(row.date, row.count, row.spend, row.client_errors) for row in report] == [
        ("2026-10-01", 3, 0.01, 1),
        ("2026-10-02", None, None, None),
    ]
    assert (report[1].avg_inference_time, report[1].p90_inference_time, report[-1].p99_inference_time) == (None, 1.5, 2)
    assert len(report) == len(report[:2]) == 2
    assert report.meta is not None
    assert (report.meta.total_requests, report.meta.total_spend, report.meta.error_rate) == (3, 0.01, 0.25)
    assert report.meta.p50_inference_time == 1
    assert usage.model is not None
    assert (usage.model[0].model, usage.model[0].model_name, usage.model[0].api_key) == (
        "runware:101@1",
        "FLUX.1 schnell",
        "key",
    )
    assert usage.api_key
    assert list(usage.api_key) == []


@pytest.mark.parametrize(
    "item", [{"structuredPrompt": {"subject": "a kite"}}, {"outputs": {"structuredPrompt": {"subject": "a kite"}}}]
)
def test_structured_prompt_of_an_image_can_be_fed_back(item: dict[str, Any]) -> None:
    image = structure(item, runware.Image)
    assert image.structured_prompt == {"subject": "a kite"}
    again = runware.ImageInference(structured_prompt=image.structured_prompt)
    assert again.wire()["structuredPrompt"] == {"subject": "a kite"}
    assert "kite" not in repr(image)
    assert structure({"outputs": {}}, runware.Image).structured_prompt is None


IMAGE_ITEM = {"taskType": "imageInference", "taskUUID": A, "imageUUID": C + "1", "imageURL": f"{HOST}/i/1.png"}
FAILURE = {"code": "taskNotFound", "message": "Failed.", "taskUUID": A}


@pytest.mark.parametrize(
    ("response", "results", "errors"),
    [
        ({"data": [IMAGE_ITEM]}, 1, 0),
        ({"errors": [FAILURE]}, 0, 1),
        ([{"data": [IMAGE_ITEM, IMAGE_ITEM], "error": FAILURE}], 2, 1),
        ([{"data": [IMAGE_ITEM]}, {"errors": [FAILURE]}], 1, 1),
        ({"data": [{"taskType": "imageInference", "status": "error", "error": FAILURE}]}, 0, 1),
        ({"data": None}, 0, 0),
        (None, 0, 0),
        ("odd", 0, 0),
    ],
)
def test_task_details_are_parsed(response: Any, results: int, errors: int) -> None:
    request = {"taskType": "imageInference", "positivePrompt": "a red kite"}
    item = {"taskType": "getTaskDetails", "taskUUID": A, "request": [request], "response": response}
    details = read(runware.GetTaskDetails(task_uuid=A), item)
    assert isinstance(details, runware.TaskDetails)
    assert details.request == [request]
    assert [type(one) for one in details.results] == [runware.Image] * results
    assert [type(one) for one in details.errors] == [NotFoundError] * errors
    assert len(details.results.errors) == errors
    assert structure({"request": request}, runware.TaskDetails).request == [request]
    assert pickle.loads(pickle.dumps(details)) == details


def test_get_response_gives_each_item_its_class() -> None:
    task = runware.GetResponse(task_uuid=A)
    running = {"taskType": "videoInference", "taskUUID": A, "status": "processing", "progress": 30}
    found = read(task, IMAGE_ITEM, running, {"taskType": "new", "videoURL": "x"}, {"taskType": "new", "a": 1}, {})
    assert [type(one) for one in found] == [
        runware.Image,
        runware.Video,
        runware.Video,
        runware.Result,
        runware.Result,
    ]
    assert (found[1].status, found[1].progress) == ("processing", 30)


def test_raw_tasks_give_typed_results() -> None:
    task = RawTask(body={"taskType": "imageInference"})
    assert isinstance(read(task, IMAGE_ITEM)[0], runware.Image)


def test_class_of_an_item_agrees_with_the_class_of_its_request() -> None:
    for cls in REQUEST_CLASSES:
        item = {"taskType": cls.task_type}
        if cls not in (runware.GetResponse, runware.Upscale, runware.RemoveBackground, runware.AudioInference):
            assert answers.class_for(item) is cls.result_class
        assert class_for(cls(**needed(cls)), item) in (cls.result_class, runware.Result)


def test_requested_class_wins_over_names_in_the_item() -> None:
    item = {"audioURL": "a.mp3", "imageURL": "cover.png"}
    assert class_by_name(item, runware.Audio) is runware.Audio
    assert class_by_name(item, runware.Result) is runware.Image
    assert class_by_name({}, runware.Audio) is runware.Audio
    assert class_by_name({"imageURL": None, "mediaURL": 5}, runware.Result) is runware.Result


def all_parts(cls: type[Any] = Part) -> list[type[Any]]:
    return [cls, *(found for below in cls.__subclasses__() for found in all_parts(below))]


@pytest.mark.parametrize("odd", [None, "text", 5, 1.5, True, [], [None, 1, "x"], {}, {"a": {"b": None}}], ids=repr)
@pytest.mark.parametrize("cls", list(dict.fromkeys(all_parts())), ids=lambda cls: cls.__name__)
def test_reading_a_result_never_fails(cls: type[Any], odd: Any) -> None:
    from runware.protocol.codec import _result_wire_name

    names = [_result_wire_name(cls, field.name) for field in attrs.fields(cls) if field.name != "raw"]
    item = {**dict.fromkeys(names, odd), "brandNew": odd, "outputs": odd}
    result = structure(item, cls)
    assert result.raw is item
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == copy.copy(result) == result
    repr(result)
    str(result)
    for name in ("files", "results", "errors"):
        list(getattr(result, name, None) or ())
    assert structure({}, cls) == cls()


def test_valid_fields_are_kept_beside_invalid_ones() -> None:
    image = structure({"imageUUID": "u", "seed": "seven", "cost": [1], "imageURL": None}, runware.Image)
    assert (image.uuid, image.seed, image.cost, image.url) == ("u", None, None, None)
    assert image.raw["seed"] == "seven"


def test_number_too_large_for_a_float_becomes_none() -> None:
    image = structure({"cost": 10**400}, runware.Image)
    assert (image.cost, structure({"cost": 2}, runware.Image).cost) == (None, 2)
    image._repr_mimebundle_()


ODD = ["text", "false", 5, 0, 1.5, True, [], ["a"], [["a"]], {}, {"a": 1}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    ("cls", "wire", "name", "fits"),
    [
        (runware.Image, "imageURL", "url", (str,)),
        (runware.Image, "imageUUID", "uuid", (str,)),
        (runware.Image, "NSFWContent", "nsfw_content", (bool,)),
        (runware.Image, "seed", "seed", (int,)),
        (runware.Image, "cost", "cost", (float, int)),
        (runware.Image, "outputs", "outputs", (dict,)),
        (runware.Detection, "x_min", "x_min", (float, int)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_value_of_another_type_becomes_none(
    cls: type[Any], wire: str, name: str, fits: tuple[type, ...], odd: Any
) -> None:
    result = structure({wire: odd}, cls)
    assert getattr(result, name) == (odd if type(odd) in fits else None)
    assert result.raw[wire] == odd


@pytest.mark.parametrize("odd", ["abc", {"a": 1}, 5, [1], ["a", None]], ids=repr)
def test_list_of_other_types_becomes_none(odd: Any) -> None:
    assert structure({"inputImagesUUID": odd}, runware.Image).input_images_uuid is None
    assert structure({"inputImagesUUID": ["a", "b"]}, runware.Image).input_images_uuid == ("a", "b")
    assert not structure({"results": "abc"}, runware.ModelPage).results


class TestLazyAttributes:
    ITEM = MappingProxyType({"imageUUID": "u", "seed": 7, "cost": 1})

    def test_attribute_is_read_once(self) -> None:
        image = structure(dict(self.ITEM), runware.Image)
        assert list(vars(image)) == ["raw"]
        assert (image.seed, image.seed, image.url) == (7, 7, None)
        assert vars(image) == {"raw": dict(self.ITEM), "seed": 7}

    def test_constructor_arguments_win_over_raw_values(self) -> None:
        image = runware.Image(raw=dict(self.ITEM), seed=8)
        assert (image.uuid, image.seed, image.cost) == ("u", 8, 1)
        assert runware.Usage(input_tokens=0).prompt_tokens == 0
        assert runware.Usage(raw={"outputTokens": 3}).completion_tokens == 3
        assert attrs.evolve(image, seed=None).seed == 7

    def test_threads_may_read_attributes_concurrently(self) -> None:
        images = [structure(dict(self.ITEM), runware.Image) for _ in range(200)]
        with ThreadPoolExecutor(8) as pool:
            for found in [pool.submit(lambda: [(one.seed, one.uuid) for one in images]) for _ in range(8)]:
                assert found.result(20) == [(7, "u")] * 200


def test_results_become_inputs() -> None:
    assert runware.Image(uuid="u", url="x").as_input() == "u"
    assert runware.Image(media_uuid="m", url="x").as_input() == "m"
    assert runware.Video(url="x").as_input() == "x"
    assert runware.Model3D(outputs={"files": [{"uuid": "f"}]}).as_input() == "f"
    with pytest.raises(RunwareError):
        runware.Image().as_input()


def test_results_list_sums_costs_and_partial_counts() -> None:
    results = runware.Results([runware.Image(cost=0.1), runware.Image(), runware.Image(cost=0.2)])
    assert results.cost == pytest.approx(0.3)
    assert runware.Results([runware.Text()]).cost is None
    assert runware.Results([runware.Text()]).save_all is not None
    partial = runware.Partial([1], all=[0, 1], total=3)
    assert (list(partial), partial.completed, partial.total, list(partial.all)) == ([1], 2, 3, [0, 1])


PARTS = list(dict.fromkeys(all_parts()))


def wire_names(cls: type[Any]) -> dict[str, str]:
    from runware.protocol.codec import rules

    return {name: wire for name, (wire, _, _) in rules(cls).items()}


class TestHashes:
    @pytest.mark.parametrize("odd", [None, "text", 5, 1.5, True, [], ["x"], {}, {"a": [{"b": None}]}], ids=repr)
    @pytest.mark.parametrize("cls", PARTS, ids=lambda cls: cls.__name__)
    def test_equal_results_have_equal_hashes(self, cls: type[Any], odd: Any) -> None:
        item = dict.fromkeys(wire_names(cls).values(), odd)
        result = structure(item, cls)
        for other in (
            structure(copy.deepcopy(item), cls),
            pickle.loads(pickle.dumps(result)),
            copy.copy(result),
            copy.deepcopy(result),
            attrs.evolve(result),
        ):
            assert other == result
            assert hash(other) == hash(result)
            assert {result: 1}[other] == 1
        assert hash(cls()) == hash(structure({}, cls))

    @pytest.mark.parametrize("cls", PARTS, ids=lambda cls: cls.__name__)
    def test_reading_a_result_does_not_change_its_hash(self, cls: type[Any]) -> None:
        item = dict.fromkeys(wire_names(cls).values(), "x")
        unread, read = structure(item, cls), structure(item, cls)
        for field in attrs.fields(cls):
            getattr(read, field.name)
        assert hash(read) == hash(unread)
        assert read == unread

    def test_results_work_in_sets_and_caches(self) -> None:
        images = [structure({"taskUUID": A, "imageUUID": f"u{number}"}, runware.Image) for number in range(100)]
        assert len({hash(image) for image in images}) > 90
        assert len({*images, *copy.deepcopy(images)}) == 100
        asked = []

        @functools.lru_cache
        def size(image: runware.Image) -> int:
            asked.append(image)
            return 3

        assert size(images[0]) == size(copy.copy(images[0])) == 3
        assert len(asked) == 1

    def test_results_of_different_classes_are_different(self) -> None:
        assert runware.Image(uuid="u") != runware.GuideImage(uuid="u")
        assert len({runware.Image(uuid="u"), runware.GuideImage(uuid="u"), runware.Image(uuid="u")}) == 2

    def test_meta_can_be_hashed(self) -> None:
        assert hash(runware.Meta(request={"a": 1}, attempts=["x"])) == hash(runware.Meta(request={"a": 1}))


class TestListOperations:
    LOST = NotFoundError("lost")
    OTHER = RunwareError("other")

    def results(self, *numbers: int, errors: Any = ()) -> runware.Results[Any]:
        return runware.Results((runware.Image(seed=number, cost=0.5) for number in numbers), errors=errors)

    def test_slices_are_results_and_keep_the_errors(self) -> None:
        results = self.results(0, 1, 2, 3, errors=[self.LOST])
        for index in (slice(2), slice(1, None), slice(None, None, 2), slice(-1, None), slice(9, 12), slice(None)):
            part = results[index]
            assert type(part) is runware.Results
            assert part == list(results)[index]
            assert part.errors == (self.LOST,)
        assert results[:2].cost == 1.0
        assert results[9:].cost is None
        assert results[-1] is list(results)[-1]
        with pytest.raises(IndexError):
            results[4]

    def test_sums_are_results_and_join_the_errors(self) -> None:
        one, two = self.results(0, 1, errors=[self.LOST]), self.results(2, errors=[self.OTHER])
        for whole in (one + two, sum([two], one), sum([one, two], runware.Results())):
            assert type(whole) is runware.Results
            assert [image.seed for image in whole] == [0, 1, 2]
            assert whole.errors == (self.LOST, self.OTHER)
        assert (one[:1] + one[1:]).errors == (self.LOST,)
        more = one + list(two)
        assert (type(more), more.errors, len(more)) == (runware.Results, (self.LOST,), 3)
        more = list(two) + one
        assert (type(more), more.errors, [image.seed for image in more]) == (runware.Results, (self.LOST,), [2, 0, 1])
        for other in ((1,), 1, None):
            with pytest.raises(TypeError):
                one + other  # type: ignore[operator]
            with pytest.raises(TypeError):
                other + one  # type: ignore[operator]

    def test_adding_in_place_joins_the_errors(self) -> None:
        one = same = self.results(0, errors=[self.LOST])
        one += self.results(1, errors=[self.OTHER, self.LOST])
        one += (runware.Image(seed=2) for _ in range(1))
        assert one is same
        assert [image.seed for image in one] == [0, 1, 2]
        assert one.errors == (self.LOST, self.OTHER)
        assert runware.Results().errors == ()

    def test_repeated_results_stay_results(self) -> None:
        results = self.results(0, 1, errors=[self.LOST])
        for many in (results * 2, 2 * results):
            assert type(many) is runware.Results
            assert many == [*results, *results]
            assert many.errors == (self.LOST,)
        with pytest.raises(TypeError):
            results * "2"  # type: ignore[operator]

    def test_copies_keep_errors_and_costs(self) -> None:
        results = self.results(0, 1, errors=[self.LOST])
        for other in (results.copy(), copy.copy(results)):
            assert (type(other), other, other.errors) == (runware.Results, results, results.errors)
            assert other is not results
        for deep in (copy.deepcopy(results), pickle.loads(pickle.dumps(results))):
            assert (type(deep), deep) == (runware.Results, results)
            assert [str(error) for error in deep.errors] == ["lost"]
        partial = runware.Partial(results[1:], all=tuple(results), total=3)
        for other in (partial.copy(), copy.copy(partial), copy.deepcopy(partial), pickle.loads(pickle.dumps(partial))):
            assert (type(other), other, other.all, other.total) == (runware.Partial, partial, partial.all, 3)

    def test_slices_of_a_partial_are_results(self) -> None:
        partial = runware.Partial(self.results(1, 2), all=self.results(0, 1, 2), total=3)
        assert type(partial[:1]) is runware.Results
        assert type(partial + partial) is type(partial * 2) is runware.Results
        assert partial.errors == ()

    def test_results_are_compared_as_lists(self) -> None:
        assert self.results(0, errors=[self.LOST]) == self.results(0) == list(self.results(0))
        assert self.results(0) != self.results(1)

    def test_pages_of_models_can_be_sliced(self) -> None:
        page = structure({"results": [{"air": f"a:{number}@1"} for number in range(5)]}, runware.ModelPage)
        assert [model.air for model in page[:2]] == ["a:0@1", "a:1@1"]
        assert page[-1] == page[4] == list(page)[-1]
        assert list(page[::-1]) == list(reversed(page.results))
        assert page[3] in page
        with pytest.raises(IndexError):
            page[5]


SHOWN = {"status", "finish_reason", "operation", "name", "version", "category", "architecture", "type", "conditioning",
         "tags", "roles", "air", "air_source", "organization_name", "default_scheduler", "joined_at", "created_at",
         "last_used_at", "task_type", "model", "model_name", "date", "start_date", "end_date",
         "id", "app_id", "endpoint", "completed_at"}  # fmt: skip
"""Fields of names, kinds and dates. Besides these a `repr` shows UUIDs, numbers, and URLs without their queries."""


@pytest.mark.parametrize("marked", ["MARK", ["MARK"], {"a": ["MARK"]}], ids=repr)
@pytest.mark.parametrize("cls", PARTS, ids=lambda cls: cls.__name__)
def test_no_repr_shows_prompts_media_or_tokens(cls: type[Any], marked: Any) -> None:
    item = dict.fromkeys((wire for name, wire in wire_names(cls).items() if name not in SHOWN), marked)
    for name, wire in wire_names(cls).items():
        if "uuid" in name:
            item[wire] = "0" * 250 + "MARK"  # base64 that arrived in its place
        elif "url" in name or name == "hero_image":
            item[wire] = "https://example.com/x.png?token=MARK"
    result = structure(item, cls)
    for shown in (result, runware.Results([result] * 2), runware.Partial([result], all=[result], total=1)):
        assert "MARK" not in repr(shown)
        if not isinstance(shown, Part) or isinstance(shown, runware.Result):
            assert "MARK" not in shown._repr_mimebundle_()["text/plain"]


def test_no_repr_shows_values_of_nested_parts() -> None:
    account = structure(
        {
            "team": [{"name": "Ada", "email": "MARK@example.com"}],
            "apiKeys": [{"name": "ci", "apiKey": "MARK", "description": "MARK"}],
            "balance": {"MARK": 1},
        },
        runware.Account,
    )
    assert "Ada" in repr(account)
    page = structure(
        {"results": [{"name": "XL", "comment": "MARK", "positiveTriggerWords": "MARK"}]}, runware.ModelPage
    )
    assert "XL" in repr(page)
    usage = structure({"usage": {"costBreakdown": {"MARK": 1}}}, runware.Text)
    assert "MARK" not in repr([account, page, usage])


def test_reprs_show_fields_but_neither_prompts_nor_media() -> None:
    item = {"imageUUID": "u", "seed": 0, "imageBase64Data": "secret", "imageDataURI": "secret", "cost": None}
    item |= {"positivePrompt": "secret", "negativePrompt": "secret", "outputs": {"structuredPrompt": "secret"}}
    assert repr(structure(item, runware.Image)) == "Image(uuid='u', seed=0)"
    for cls in (runware.Video, runware.Model3D, runware.TrainedModel):
        assert repr(structure({"taskUUID": A, "outputs": {"secret": 1}}, cls)) == f"{cls.__name__}(task_uuid='{A}')"
    details = structure({"taskUUID": A, "request": [item], "response": {"data": [item]}}, runware.TaskDetails)
    assert repr(details) == f"TaskDetails(task_uuid='{A}')"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://im.runware.ai/i/1.png", "'https://im.runware.ai/i/1.png'"),
        ("https://im.runware.ai/i/1.png?token=secret", "'https://im.runware.ai/i/1.png?...'"),
        ("https://im.runware.ai/i/1.png#secret", "'https://im.runware.ai/i/1.png?...'"),
        ("data:image/png;base64,secret", "<str of length 28>"),
        ("secret" * 50, "<str of length 300>"),
    ],
)
def test_reprs_show_urls_without_their_queries(url: str, shown: str) -> None:
    assert repr(runware.Image(url=url)) == f"Image(url={shown})"
    assert repr(runware.Image(input_images_uuid=[A, "x" * 201])) == (
        f"Image(input_images_uuid=['{A}', <str of length 201>])"
    )


def test_raw_of_a_result_can_be_written_as_json() -> None:
    item = {"taskType": "imageInference", "imageUUID": "u", "later": {"x": [1, None]}}
    assert json.loads(json.dumps(structure(item, runware.Image).raw)) == item
