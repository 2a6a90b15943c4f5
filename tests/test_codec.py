"""The codec: API names, JSON, and the shapes a message may have."""

from __future__ import annotations

import gc
import json
import math
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runware
from runware._support.api_names import wire_name
from runware.protocol import codec
from runware.protocol import json_blobs as splicing
from runware.protocol.codec import dumps, loads, read_frame, structure
from runware.requests.raw import as_task
from runware.results import MediaResult

# Names that a simple camelCase rule gets wrong, and some that it gets right.
NAMES = {
    "cfg_scale": "CFGScale",
    "true_cfg_scale": "trueCFGScale",
    "check_nsfw": "checkNSFW",
    "nsfw_content": "NSFWContent",
    "task_uuid": "taskUUID",
    "image_uuid": "imageUUID",
    "media_uuid": "mediaUUID",
    "connection_session_uuid": "connectionSessionUUID",
    "image_url": "imageURL",
    "video_url": "videoURL",
    "webhook_url": "webhookURL",
    "download_url": "downloadURL",
    "hero_image_url": "heroImageURL",
    "image_data_uri": "imageDataURI",
    "mask_image_data_uri": "maskImageDataURI",
    "pulid": "pulid",
    "cfg_start_step": "CFGStartStep",
    "cfg_start_step_percentage": "CFGStartStepPercentage",
    "default_cfg": "defaultCFG",
    "instant_id": "instantID",
    "air": "air",
    "air_source": "AIRSource",
    "x_min": "x_min",
    "y_max": "y_max",
    "last_7_days": "last7Days",
    "draft_id": "draftId",
    "unique_identifier": "uniqueIdentifier",
    "include_hands_and_face_open_pose": "includeHandsAndFaceOpenPose",
    "ip_adapters": "ipAdapters",
    "ttl": "ttl",
    "input_images_uuid": "inputImagesUUID",
}


@pytest.mark.parametrize(("name", "wire"), NAMES.items())
def test_python_names_become_api_names(name: str, wire: str) -> None:
    assert wire_name(name) == wire


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (runware.Image, "image"),
        (runware.Video, "video"),
        (runware.Audio, "audio"),
        (runware.GuideImage, "guideImage"),
        (runware.MaskImage, "maskImage"),
    ],
)
def test_api_names_of_every_media_kind_map_to_the_same_fields(cls: type[MediaResult], kind: str) -> None:
    item = {f"{kind}UUID": "u", f"{kind}URL": "l", f"{kind}Base64Data": "b", f"{kind}DataURI": "d"}
    result = structure(item, cls)
    assert (result.uuid, result.url, result.base64_data, result.data_uri) == ("u", "l", "b", "d")


def test_fields_of_a_class_have_distinct_api_names() -> None:
    for name in runware.__all__:
        cls = getattr(runware, name)
        if attrs.has(cls):
            wire = [wire_name(field.name) for field in attrs.fields(cls)]
            assert len(wire) == len(set(wire)), name


VALUES: list[Any] = [
    {"text": "Grüße ☃ 😀 \u2028 \x00", "list": [1, 2.5, None, True], "deep": {"a": {"b": []}}},
    7532114250969985124,
    2**63 - 1,
    2**64 + 1,
    "lone surrogate \ud800",
    [],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("fast", [True, False])
def test_json_round_trip_keeps_the_value(value: Any, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if fast and codec.orjson is None:
        pytest.skip("orjson is not installed")
    if not fast:
        monkeypatch.setattr(codec, "orjson", None)
    text = dumps(value)
    assert json.loads(text) == value
    if not (fast and value == 2**64 + 1):  # which orjson reads as a float
        assert loads(text) == value
        assert loads(json.dumps([value, "A" * 100_000]).encode()) == [value, "A" * 100_000]


LONG_TEXT = st.builds(
    lambda head, size, tail: head + "Aa1+" * size + tail,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.sampled_from([0, 1, splicing.LONG // 4, splicing.LONG // 2]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
WITH_LONG_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | LONG_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\', max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(WITH_LONG_TEXT)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=60)
def test_long_strings_survive_extraction(value: Any) -> None:
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    assert splicing.dumps_with(encode, value) == plain.encode()
    assert splicing.loads_with(json.loads, plain.encode()) == value
    assert loads(dumps(value)) == value


def test_long_strings_are_hidden_from_the_json_parser() -> None:
    seen: list[bytes | bytearray] = []

    def decode(data: bytes | bytearray) -> Any:
        seen.append(data)
        return json.loads(data)

    data = json.dumps({"data": [{"imageBase64Data": "A" * 100_000, "seed": 1}] * 2}).encode()
    assert splicing.loads_with(decode, data) == splicing.loads_with(decode, bytearray(data)) == json.loads(data)
    assert len(seen[0]) < 400


@pytest.mark.parametrize(
    "prompt", ["two\nlines", "", "a tab\t.", "Gr\u00fc\u00dfe", 'says "yes"', "ends with \\\\", "\\\\"]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_escapes_beside_long_strings_are_read(prompt: str, ascii_only: bool) -> None:
    value = {"data": [{"positivePrompt": prompt, "imageBase64Data": "A" * 100_000, "text": "b\n" * 50_000}]}
    seen: list[int] = []

    def decode(data: bytes | bytearray) -> Any:
        seen.append(len(data))
        return json.loads(data)

    assert splicing.loads_with(decode, json.dumps(value, ensure_ascii=ascii_only).encode()) == value
    assert (seen[0] < 200_000) == (not prompt.endswith(("\\", '"')))  # without the first, but with the second


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("work", [loads, lambda data: dumps(json.loads(data))], ids=["parse", "encode"])
def test_long_strings_are_freed_without_the_garbage_collector(
    work: Callable[[bytes], object], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that holds them is part of a reference cycle: each 2 MB result stayed until the collector ran."""
    if not fast:
        monkeypatch.setattr(codec, "orjson", None)
    data = json.dumps({"data": [{"imageBase64Data": "A" * 1_000_000}]}).encode()
    work(data)
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            work(data)
        assert tracemalloc.get_traced_memory()[0] - before < 500_000
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_long_string_is_copied_once_when_it_is_read() -> None:
    data = bytearray(json.dumps({"data": [{"imageBase64Data": "A" * 4_000_000}]}).encode())
    loads(data)
    tracemalloc.start()
    try:
        found = loads(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found["data"][0]["imageBase64Data"]) == 4_000_000
    assert peak < 1.1 * 4_000_000


@pytest.mark.parametrize("fast", [True, False])
def test_object_keys_may_be_long(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(codec, "orjson", None)
    value = {"data": [{"k" * 100_000: 1, "b": {"l" * 70_000: "v" * 70_000}}]}
    assert loads(json.dumps(value).encode()) == value
    assert json.loads(dumps(value)) == value


def test_many_short_strings_survive() -> None:
    value = [*["a"] * 5000, "b" * 100_000]
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ["[" + "A" * 100_000, '["' + "A" * 100_000, '["' + "A" * 100_000 + '",]'])
def test_long_invalid_json_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text.encode())


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["me"] = [value]
    return value


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


NO_FORM = {
    "NaN": (math.nan, "NaN"),
    "infinity": ([{"b": (1, -math.inf)}], "infinity"),
    "another type's NaN": (Decimal("NaN"), "NaN"),
    "another type's infinity": ({"b": [Decimal("-Infinity")]}, "infinity"),
    "tuple as key": ({(1, 2): 3}, "a tuple as a key"),
    "circular": (circular(), "contains itself"),
    "deep": (nested(5000), "nested more than 100 deep"),
}


@pytest.mark.parametrize(("value", "reason"), NO_FORM.values(), ids=list(NO_FORM))
@pytest.mark.parametrize("place", ["extra", "settings", "inputs", "body"])
def test_unencodable_value_raises_before_it_is_sent(place: str, value: Any, reason: str) -> None:
    if place == "body":
        task: Any = as_task({"taskType": "imageInference", "x": value})
    else:
        task = runware.ImageInference(positive_prompt="x", **{place: {"x": value}})
    with pytest.raises(runware.ValidationError, match=reason) as caught:
        task.wire()
    assert caught.value.parameter == place
    assert place in caught.value.message
    assert caught.value.__context__ is None
    assert caught.value.task_type == "imageInference"


def test_encodable_values_are_sent_unchanged() -> None:
    value = {"deep": nested(90), "list": [1, 2.5, None, True, ("a", "b")], "odd": OrderedDict(a=MappingProxyType({}))}
    wire = runware.ImageInference(positive_prompt="x", settings=value, extra=value).wire()
    same = {"deep": nested(90), "list": [1, 2.5, None, True, ["a", "b"]], "odd": {"a": {}}}
    assert wire["settings"] == same
    assert {name: wire[name] for name in same} == same
    assert json.loads(dumps([wire])) == [wire]


@pytest.mark.parametrize("slots", [True, False])
@pytest.mark.parametrize("base", [object, type("Base", (), {})])
def test_attrs_object_of_the_caller_is_sent_with_its_fields(slots: bool, base: type) -> None:
    fields = {"side_length": attrs.field(), "unit": attrs.field(default="px")}
    size = attrs.make_class("Size", fields, (base,), slots=slots)
    task = runware.ImageInference(positive_prompt="x", settings={"size": size(512)}, extra={"size": size(256)})
    assert not task.holds_payload()
    wire = task.wire()
    assert (wire["settings"], wire["size"]) == ({"size": {"sideLength": 512}}, {"sideLength": 256})


def test_attrs_object_of_the_caller_without_fields_is_sent_as_an_empty_object() -> None:
    nothing = attrs.make_class("Nothing", {}, slots=True)()
    raw = as_task({"taskType": "imageInference", "size": nothing})
    assert raw.wire()["size"] == {}


@pytest.mark.parametrize("value", [print, lambda: None, int])
def test_function_or_class_in_a_request_is_named(value: Any) -> None:
    image = runware.ImageInference(positive_prompt="x", inputs={"reference_images": [value]}, on_partial=print)
    raw = as_task({"taskType": "imageInference", "inputs": {"callback": value}})
    for task, parameter in ((image, "inputs.reference_images[0]"), (raw, "inputs.callback")):
        with pytest.raises(runware.ValidationError, match="is neither media nor JSON") as caught:
            task.wire()
        assert caught.value.parameter == parameter


def test_dumps_of_an_unknown_object_raises_type_error() -> None:
    with pytest.raises(TypeError):
        dumps({"a": object()})


@pytest.mark.parametrize("text", [b"", b"hello", b"{", b"\xff\xfe", b"[1,]"])
def test_invalid_json_raises_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_frame(text)


ITEM = {"taskUUID": "u", "imageUUID": "i"}
ERROR = {"code": "c", "message": "m"}


@pytest.mark.parametrize(
    ("frame", "items", "errors"),
    [
        ({"data": [ITEM]}, [ITEM], []),
        ({"errors": [ERROR]}, [], [ERROR]),
        ({"data": [ITEM], "errors": [ERROR]}, [ITEM], [ERROR]),
        ({"error": ERROR}, [], [ERROR]),
        ({"error": [ERROR]}, [], [ERROR]),
        ([{"errors": [ERROR]}], [], [ERROR]),
        ({"data": ITEM}, [ITEM], []),
        ({"error": True, "errorMessage": "x"}, [], [{"error": True, "errorMessage": "x"}]),
        ({"error": ERROR, "taskUUID": "u", "taskType": "t"}, [], [{"taskUUID": "u", "taskType": "t", **ERROR}]),
        ({"error": "broken"}, [], [{"message": "broken"}]),
        ({"data": []}, [], []),
        ({"data": None}, [], []),
        ({"data": ["x", 1, ITEM]}, [ITEM], []),
        ({}, [], []),
        ([], [], []),
        ("text", [], []),
        (None, [], []),
    ],
)
def test_every_shape_of_a_message_is_read(frame: Any, items: list[Any], errors: list[Any]) -> None:
    assert read_frame(json.dumps(frame).encode()) == (items, errors)
