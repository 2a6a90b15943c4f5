"""Every request class: the task it becomes, and what it rejects."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import attrs
import pytest

import runware
from runware import ValidationError
from runware.protocol.call import Completion
from runware.protocol.codec import dumps
from runware.requests.base import Task
from runware.requests.plan import completion_of
from runware.requests.raw import RawTask, as_task
from runware.requests.validation import SETTINGS
from tests.api_objects import FULL, IMAGE, PNG, PNG_URI, TASK_TYPE_OF, UUID

REQUEST_CLASSES = [getattr(runware, name) for name in TASK_TYPE_OF]


def needed(cls: Any) -> dict[str, Any]:
    """Return the fewest parameters that make a task of the class."""
    given = next(parameters for name, parameters, _ in FULL if name == cls.__name__)
    return {field.name: given[field.name] for field in attrs.fields(cls) if field.default is attrs.NOTHING}


@pytest.mark.parametrize(("name", "parameters", "wire"), FULL)
def test_request_becomes_the_task_that_is_sent(name: str, parameters: dict[str, Any], wire: dict[str, Any]) -> None:
    assert getattr(runware, name)(**parameters).wire() == {"taskType": TASK_TYPE_OF[name], **wire}


def takes_long(task: Task[Any]) -> bool:
    return task.takes_long(task.wire())


def waits_for(task: Task[Any]) -> Completion:
    return completion_of(task, task.wire())


def test_every_operation_has_an_example() -> None:
    assert {name for name, _, _ in FULL} == set(TASK_TYPE_OF)


def test_task_types_are_those_of_the_operations() -> None:
    assert set(runware.TaskType) == {*TASK_TYPE_OF.values(), "authentication", "ping"}


@pytest.mark.parametrize("cls", REQUEST_CLASSES)
def test_every_request_has_the_common_parameters(cls: type[Task[Any]]) -> None:
    task = cls(**needed(cls))
    assert task.task_type == TASK_TYPE_OF[cls.__name__]
    assert copy.deepcopy(task) == task
    assert waits_for(cls(**needed(cls), skip_response=True)) is Completion.ACKNOWLEDGEMENT
    assert "newParameter" in cls(**needed(cls), extra={"newParameter": {"a": None}}).wire()
    assert not {"retry", "timeout", "taskUUID", "onPartial", "extra", "skipResponse"} & task.wire().keys()


@pytest.mark.parametrize("cls", REQUEST_CLASSES)
def test_wrong_types_name_the_parameter(cls: type[Task[Any]]) -> None:
    for field in attrs.fields(cls):
        if field.name in (*SETTINGS, "dataset"):
            continue
        with pytest.raises(ValidationError) as caught:
            cls(**{**needed(cls), field.name: object()})
        assert caught.value.parameter == field.name
        assert caught.value.task_type == cls.task_type
    for name in needed(cls):
        with pytest.raises(ValidationError) as caught:
            cls(**{**needed(cls), name: None})
        assert caught.value.parameter == name


@pytest.mark.parametrize(
    ("cls", "parameters"),
    [
        ("ImageInference", {"width": True}),
        ("ImageInference", {"cfg_scale": float("nan")}),
        ("ImageInference", {"output_format": 3}),
        ("PhotoMaker", {"positive_prompt": None}),
        ("VideoInference", {"duration": ["5"]}),
        ("ImageInference", {"number_results": 0}),
        ("ImageInference", {"lora": "acme:1@1"}),
        ("VideoInference", {"delivery_method": "stream"}),
        ("TextInference", {"number_results": 0}),
        ("RemoveBackground", {"settings": {1: 2}}),
        ("PhotoMaker", {"style": "cinematic"}),
        ("ControlNetPreprocess", {"pre_processor_type": "hed"}),
        ("MediaStorage", {"operation": "list"}),
        ("GetResponse", {"task_uuid": "the last one"}),
        ("ModelSearch", {"limit": "20"}),
    ],
)
def test_invalid_parameters_are_rejected(cls: str, parameters: dict[str, Any]) -> None:
    request = getattr(runware, cls)
    with pytest.raises(ValidationError) as caught:
        request(**{**needed(request), **parameters})
    assert caught.value.parameter == next(iter(parameters))


@pytest.mark.parametrize(
    ("cls", "parameters", "wire"),
    [
        ("ImageInference", {"model": "exactly:photo@journey"}, {"model": "exactly:photo@journey"}),
        ("ImageInference", {"output_format": "TIFF"}, {"outputFormat": "TIFF"}),
        ("ImageInference", {"output_format": "JXL"}, {"outputFormat": "JXL"}),
        ("VideoInference", {"duration": "auto"}, {"duration": "auto"}),
        ("VideoInference", {"check_nsfw": True}, {"checkNSFW": True}),
        ("VideoInference", {"output_format": "MKV"}, {"outputFormat": "MKV"}),
        ("AudioInference", {"output_format": "MOV"}, {"outputFormat": "MOV"}),
        ("ThreeDInference", {"output_format": "GLTF"}, {"outputFormat": "GLTF"}),
        ("TextInference", {"json_schema": '{"type": "object"}'}, {"jsonSchema": '{"type": "object"}'}),
        ("TextInference", {"output_format": "XML"}, {"outputFormat": "XML"}),
        ("Upscale", {"fps": 23.976, "output_format": "MKV"}, {"fps": 23.976, "outputFormat": "MKV"}),
        ("RemoveBackground", {"provider_settings": {"bria": {"x": 1}}}, {"providerSettings": {"bria": {"x": 1}}}),
        ("ControlNetPreprocess", {"settings": {"lowThreshold": 90}}, {"settings": {"lowThreshold": 90}}),
        (
            "Vectorize",
            {"positive_prompt": "a fox", "width": 1024, "height": 1024, "settings": {"a": 1}, "output_format": "EPS"},
            {"positivePrompt": "a fox", "width": 1024, "height": 1024, "settings": {"a": 1}, "outputFormat": "EPS"},
        ),
        ("PhotoMaker", {"check_nsfw": True}, {"checkNSFW": True}),
        *(
            (
                "VideoInference",
                {"inputs": runware.VideoInputs(**{name: [{"type": "style", "image": PNG}, IMAGE]})},
                {"inputs": {wire: [{"type": "style", "image": PNG_URI}, IMAGE]}},
            )
            for name, wire in {
                "images": "images",
                "reference_images": "referenceImages",
                "reference_videos": "referenceVideos",
                "reference_audios": "referenceAudios",
                "audios": "audios",
                "references": "references",
                "elements": "elements",
            }.items()
        ),
        (
            "ImageInference",
            {"inputs": {"images": [{"image": PNG, "strength": 0.5}], "super_resolution_references": [{"image": PNG}]}},
            {
                "inputs": {
                    "images": [{"image": PNG_URI, "strength": 0.5}],
                    "superResolutionReferences": [{"image": PNG_URI}],
                }
            },
        ),
        ("ImageInference", {"reference_images": [{"image": PNG}]}, {"referenceImages": [{"image": PNG_URI}]}),
        ("VideoInference", {"reference_videos": [{"video": IMAGE}]}, {"referenceVideos": [{"video": IMAGE}]}),
        (
            "ThreeDInference",
            {"inputs": runware.ThreeDInputs(images=[{"image": PNG, "view": "left"}])},
            {"inputs": {"images": [{"image": PNG_URI, "view": "left"}]}},
        ),
        ("TextInference", {"inputs": {"videos": [{"video": IMAGE}]}}, {"inputs": {"videos": [{"video": IMAGE}]}}),
        (
            "TextInference",
            {
                "messages": [
                    runware.Message(role="user", content="Weather in Bern?"),
                    runware.Message(
                        role="assistant", tools=[{"id": "c1", "name": "weather", "input": {"city": "Bern"}}]
                    ),
                    runware.Message(role="tool", id="c1", content='{"t": 7}'),
                    {"role": "assistant", "tools": [{"id": "c2"}]},
                ]
            },
            {
                "messages": [
                    {"role": "user", "content": "Weather in Bern?"},
                    {"role": "assistant", "tools": [{"id": "c1", "name": "weather", "input": {"city": "Bern"}}]},
                    {"role": "tool", "id": "c1", "content": '{"t": 7}'},
                    {"role": "assistant", "tools": [{"id": "c2"}]},
                ]
            },
        ),
        ("TextInference", {"routing": {"order": ["a"]}}, {"routing": {"order": ["a"]}}),
        ("ImageInference", {"acceleration": "extreme"}, {"acceleration": "extreme"}),
        ("ImageInference", {"safety": {"mode": "strict"}}, {"safety": {"mode": "strict"}}),
        ("ImageInference", {"prompt_weighting": "a1111"}, {"promptWeighting": "a1111"}),
        ("ModelSearch", {"source": "featured", "category": "motion"}, {"source": "featured", "category": "motion"}),
        ("ModelSearch", {"visibility": "team", "type": "edit"}, {"visibility": "team", "type": "edit"}),
        ("ModelUpload", {"type": "edit"}, {"type": "edit"}),
        ("AccountManagement", {"operation": "getInvoices"}, {"operation": "getInvoices"}),
        ("AccountManagement", {"group_by": "model"}, {"groupBy": ["model"]}),
        ("AccountManagement", {"group_by": ["date", "model"]}, {"groupBy": ["date", "model"]}),
        ("AccountManagement", {"group_by": "model", "extra": {"groupBy": "date"}}, {"groupBy": "date"}),
        (
            "ImageInference",
            {"control_net": [runware.ControlNet(model="m", start_step_percentage=2.5, end_step_percentage=97.5)]},
            {"controlNet": [{"model": "m", "startStepPercentage": 2.5, "endStepPercentage": 97.5}]},
        ),
        (
            "ImageInference",
            {"accelerator_options": runware.AcceleratorOptions(cache_start_step_percentage=12.5)},
            {"acceleratorOptions": {"cacheStartStepPercentage": 12.5}},
        ),
    ],
)
def test_values_for_particular_models_are_accepted(cls: str, parameters: dict[str, Any], wire: dict[str, Any]) -> None:
    request = getattr(runware, cls)
    assert wire.items() <= request(**{**needed(request), **parameters}).wire().items()


def test_dicts_in_place_of_objects_may_have_python_names() -> None:
    given: dict[str, Any] = {
        "safety": {"check_content": True, "checkInputs": False},
        "lora": [{"model": "acme:1@1", "weight": 0.5}],
        "control_net": ({"model": "m", "guide_image": PNG, "new_on_wire": 1},),
        "advanced_features": {
            "regional_prompting": {"background_prompt": "x", "regions": [{"prompt": "y", "mask": [0, 0, 1, 1]}]},
            "flux_kontext": runware.FluxKontext(guidance_end_step=5),
            "fluxKontext2": {"guidance_end_step": 5},
        },
        "hires_fix": {"as_it_is": True},
        "settings": {"snake_case": 1},
    }
    task = runware.ImageInference(positive_prompt="x", **given)
    assert task.wire() == {
        "taskType": "imageInference",
        "positivePrompt": "x",
        "safety": {"checkContent": True, "checkInputs": False},
        "lora": [{"model": "acme:1@1", "weight": 0.5}],
        "controlNet": [{"model": "m", "guideImage": PNG_URI, "new_on_wire": 1}],
        "advancedFeatures": {
            "regionalPrompting": {"backgroundPrompt": "x", "regions": [{"prompt": "y", "mask": [0, 0, 1, 1]}]},
            "fluxKontext": {"guidanceEndStep": 5},
            "fluxKontext2": {"guidance_end_step": 5},
        },
        "hiresFix": {"as_it_is": True},
        "settings": {"snake_case": 1},
    }
    assert task.safety == given["safety"]  # it stays as it was given
    assert "safety=dict, " in repr(task)
    assert "lora=list of dict, " in repr(task)
    for again in (pickle.loads(pickle.dumps(task)), copy.deepcopy(task)):
        assert again.wire() == task.wire()


def test_dicts_inside_objects_and_inside_lists_of_them() -> None:
    inputs = runware.VideoInputs(frame_images=[{"input_image": IMAGE}, {"inputImage": IMAGE}])
    frames = [{"inputImage": IMAGE}] * 2
    assert runware.VideoInference(model="m", inputs=inputs).wire()["inputs"] == {"frameImages": frames}
    task = runware.VideoInference(model="m", inputs={"frame_images": [{"input_image": IMAGE}, {"inputImage": IMAGE}]})
    assert task.wire()["inputs"] == {"frameImages": frames}
    message = runware.TextInference(model="m", messages=[{"role": "user", "content": [{"a_b": 1}]}])
    assert message.wire()["messages"] == [{"role": "user", "content": [{"a_b": 1}]}]


class Whole:
    """An integer as numpy has them: not an `int`, but convertible."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Real(float):
    """A number as numpy has them: a `float`, but of a type of its own."""


def test_numbers_of_other_types_become_plain_ones() -> None:
    task = runware.ImageInference(
        positive_prompt="x",
        width=Whole(512),  # type: ignore[arg-type]
        strength=Whole(1),  # type: ignore[arg-type]
        cfg_scale=Real(7.5),
        true_cfg_scale=Decimal("4.5"),  # type: ignore[arg-type]
        advanced_features=runware.AdvancedFeatures(
            regional_prompting={"regions": [{"mask": [Whole(1), Real(2)]}]}, hires_fix={"steps": Whole(3)}
        ),
        settings={"deep": [Whole(4), Real(0.5)]},
        extra={"novel": Whole(5)},
    )
    assert type(task.width) is int
    wire = task.wire()
    for name in ("width", "strength", "CFGScale", "trueCFGScale"):
        assert type(wire[name]) in (int, float), name
    assert type(wire["settings"]["deep"][1]) is float
    sent = json.loads(dumps(wire))
    assert (sent["width"], sent["strength"], sent["CFGScale"], sent["trueCFGScale"]) == (512, 1, 7.5, 4.5)
    assert sent["advancedFeatures"]["hiresFix"] == {"steps": 3}
    assert sent["settings"] == {"deep": [4, 0.5]}
    assert sent["novel"] == 5
    region = runware.Region(prompt="a tree", mask=[Whole(0), Whole(64)])  # type: ignore[list-item]
    assert region.mask == [0, 64]


def test_numpy_numbers_become_plain_ones() -> None:
    numpy = pytest.importorskip("numpy")
    task = runware.ImageInference(seed=numpy.int64(7), strength=numpy.float32(0.5), cfg_scale=numpy.float64(7.5))
    sent = json.loads(dumps(task.wire()))
    assert (sent["seed"], sent["strength"], sent["CFGScale"]) == (7, 0.5, 7.5)
    for name, value in (
        ("seed", numpy.float64(7)),
        ("seed", numpy.True_),
        ("strength", numpy.True_),
        ("strength", numpy.float32("nan")),
        ("seed", numpy.array([7])),
    ):
        with pytest.raises(ValidationError) as caught:
            runware.ImageInference(**{name: value})
        assert caught.value.parameter == name


class Ambiguous:
    """An array as numpy has them: comparing it gives no truth value."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __len__(self) -> int:
        return 2


def test_array_in_place_of_a_listed_text_is_a_validation_error() -> None:
    with pytest.raises(ValidationError, match=r"output_format must be one of 'JPG', .*; got Ambiguous"):
        runware.ImageInference(output_format=Ambiguous())  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"delivery_method must be one of 'sync', .*; got Ambiguous"):
        runware.ImageInference(delivery_method=Ambiguous())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["skip_response", "return_partial"])
@pytest.mark.parametrize("value", ["no", 0, "async", Ambiguous()])
def test_switch_of_a_call_is_true_or_false(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=f"{name} must be True or False; got ") as caught:
        runware.ImageInference(positive_prompt="x", **{name: value})
    assert caught.value.parameter == name
    assert runware.ImageInference(positive_prompt="x", **{name: True})


def test_misspelt_parameter_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"^ImageInference has no parameter 'heigth'; did you mean 'height'\?$"):
        runware.ImageInference(positive_prompt="x", heigth=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("positivePrompt", "positive_prompt"),
        ("CFGScale", "cfg_scale"),
        ("checkNSFW", "check_nsfw"),
        ("taskUUID", "task_uuid"),
        ("ipAdapter", "ip_adapters"),
        ("number_of_results", "number_results"),
        ("prompt", "positive_prompt"),
    ],
)
def test_suggestion_is_made_for_api_names_and_near_misses(name: str, known: str) -> None:
    with pytest.raises(TypeError) as caught:
        runware.ImageInference(**{name: 1})
    assert str(caught.value) == f"ImageInference has no parameter {name!r}; did you mean {known!r}?"


def test_call_errors_name_no_private_names() -> None:
    for make, message in (
        (
            lambda: runware.ImageInference(zzz=1),  # type: ignore[call-arg]
            "ImageInference has no parameter 'zzz'. Pass API parameters without a Python name in extra={...}.",
        ),
        (lambda: runware.Lora(model="m", zzz=1), "Lora has no parameter 'zzz'."),  # type: ignore[call-arg]
        (lambda: runware.Lora(modell="m"), "Lora has no parameter 'modell'; did you mean 'model'?"),  # type: ignore[call-arg]
        (lambda: runware.VideoInference(duration=5), "VideoInference requires the parameter 'model'."),  # type: ignore[call-arg]
        (
            lambda: runware.PhotoMaker(positive_prompt="x"),  # type: ignore[call-arg]
            "PhotoMaker requires the parameter 'input_images'.",
        ),
        (lambda: runware.Lora("m"), "Lora takes keyword arguments only, such as model=...."),  # type: ignore[misc]
    ):
        with pytest.raises(TypeError) as caught:
            make()
        assert str(caught.value) == message


def test_users_subclass_may_have_converters_and_factories() -> None:
    @attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
    class Mine(runware.ImageInference):
        mark: Sequence[str] = attrs.field(factory=tuple)
        size: int = attrs.field(default=2, converter=int)

    task = Mine(positive_prompt="x", size="3")  # type: ignore[arg-type]
    assert (task.mark, task.size, task.width) == ((), 3, None)


def test_delivery_method_decides_what_a_call_waits_for() -> None:
    video = runware.VideoInference(model="m")
    assert takes_long(video)
    assert waits_for(video) is Completion.RESULTS
    assert runware.VideoInference(model="m", extra={"deliveryMethod": "sync"}).wire()["deliveryMethod"] == "sync"
    assert waits_for(runware.Training(model="m", webhook_url="https://example.com")) is Completion.ACKNOWLEDGEMENT
    audio = runware.AudioInference(model="m")
    assert not takes_long(audio)
    assert "deliveryMethod" not in audio.wire()
    assert takes_long(runware.AudioInference(model="m", delivery_method="async"))
    upload = runware.ModelUpload(**needed(runware.ModelUpload))
    assert upload.statuses
    assert takes_long(upload)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (runware.ImageInference(positive_prompt="x"), 1),
        (runware.ImageInference(positive_prompt="x", number_results=4), 4),
        (runware.TextInference(model="m", messages=[], number_results=3), 3),
        (runware.PromptEnhance(prompt="x", prompt_versions=5), 5),
        (runware.Upscale(input_image=IMAGE), 1),
        (RawTask(body={"taskType": "tools", "numberResults": 2}), 2),
        (RawTask(body={"taskType": "promptEnhance", "promptVersions": 3}), 3),
        (runware.ImageInference(positive_prompt="x", extra={"numberResults": 3}), 3),
    ],
)
def test_expected_number_of_results(task: Task[Any], expected: int) -> None:
    assert task.expected(task.wire()) == expected


@pytest.mark.parametrize("given", [{}, {"content": None}, {"tools": []}])
def test_message_needs_content_or_tools(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="except in a message with tools") as caught:
        runware.Message(role="assistant", **given)
    assert caught.value.parameter == "content"


def test_task_types_are_those_of_the_operations_and_the_servers() -> None:
    from runware.local.task_types import OLDER_NAMES, TASK_TYPES

    names = {str(one) for one in runware.TaskType}
    assert names == (TASK_TYPES.keys() - OLDER_NAMES.keys()) | {"authentication", "ping"}
    assert {cls.task_type for cls in REQUEST_CLASSES} <= names
    assert runware.ThreeDInference.task_type == runware.TaskType.THREE_D_INFERENCE
    task = as_task({"taskType": runware.TaskType.IMAGE_UPLOAD, "image": IMAGE})
    assert dumps(task.wire()) == dumps({"taskType": "imageUpload", "image": IMAGE})


@pytest.mark.parametrize("cls", [runware.GetResponse, runware.GetTaskDetails, runware.ModelSearch])
def test_reading_tasks_are_repeatable(cls: type[Task[Any]]) -> None:
    assert cls.repeatable


def test_extra_may_set_an_older_task_type() -> None:
    task = runware.ControlNetPreprocess(input_image=IMAGE, extra={"taskType": "imageControlNetPreProcess"})
    assert task.wire() == {"taskType": "imageControlNetPreProcess", "inputImage": IMAGE}


def test_extra_stays_at_the_top_level() -> None:
    task = runware.TextInference(model="m", messages=[], temperature=0.5, top_k=2, extra={"temperature": 0.1})
    wire = task.wire()
    assert wire["temperature"] == 0.1
    assert wire["settings"] == {"topK": 2}


def test_raw_task_is_sent_unchanged() -> None:
    task = as_task({"taskType": "tools", "taskUUID": UUID, "inputs": {"image": PNG}, "unknown": [1]})
    assert task.task_uuid == UUID
    assert task.wire() == {"taskType": "tools", "inputs": {"image": PNG_URI}, "unknown": [1]}
    with pytest.raises(ValidationError, match="taskType"):
        as_task({"model": "m"})
    with pytest.raises(ValidationError):
        as_task("imageInference")  # type: ignore[arg-type]


def test_request_whose_constructor_failed_has_a_repr() -> None:
    with pytest.raises(runware.UsageError) as caught:
        runware.VideoInference(positive_prompt="waves")  # type: ignore[call-arg]
    shown = [repr(entry.frame.f_locals["self"]) for entry in caught.traceback if "self" in entry.frame.f_locals]
    assert shown == ["VideoInference()"]


def test_reprs_show_neither_prompts_nor_media() -> None:
    secret = "a very private prompt about a person"
    task = runware.TextInference(
        model="m", messages=[runware.Message(role="user", content=secret)], extra={"a": secret}
    )
    assert secret not in repr(task)
    assert secret not in repr(task.messages[0])
    assert "iVBOR" not in repr(runware.ImageUpload(image=PNG_URI * 10))


def test_raw_task_behaves_like_its_task_type() -> None:
    video = RawTask(body={"taskType": "videoInference"})
    assert takes_long(video)
    upload = RawTask(body={"taskType": "modelUpload"})
    assert upload.statuses
    assert not upload.priced
    assert RawTask(body={"taskType": "getResponse"}).inspects
    assert not takes_long(RawTask(body={"taskType": "brandNew"}))


def test_extra_cannot_replace_the_task_uuid() -> None:
    with pytest.raises(ValidationError, match="task_uuid"):
        runware.ImageInference(positive_prompt="x", extra={"taskUUID": "y"})


@pytest.mark.parametrize("name", ["negative_prompt", "task_uuid", "on_partial"])
def test_extra_cannot_hold_a_parameter_under_its_python_name(name: str) -> None:
    with pytest.raises(ValidationError, match=f"pass {name}=") as caught:
        runware.ImageInference(positive_prompt="x", extra={name: "y"})
    assert caught.value.parameter == "extra"
    assert "conditioning_scale" in runware.ImageInference(positive_prompt="x", extra={"conditioning_scale": 1}).wire()


async def _awaitable(results: Any, error: Any) -> None: ...


@pytest.mark.parametrize(
    ("callback", "words"),
    [(5, "callable"), (_awaitable, "async for"), (lambda results: None, "two arguments")],
    ids=["no function", "a coroutine function", "too few parameters"],
)
def test_callback_with_a_wrong_signature_is_rejected_at_once(callback: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        runware.ImageInference(positive_prompt="x", on_partial=callback)


@pytest.mark.parametrize(
    "callback", [print, lambda *_: None, lambda results, error, more=1: None], ids=["builtin", "any", "more"]
)
def test_callbacks_of_any_other_form_are_accepted(callback: Any) -> None:
    runware.ImageInference(positive_prompt="x", on_partial=callback)


def test_skip_response_makes_a_task_asynchronous() -> None:
    task = runware.ImageInference(positive_prompt="x", skip_response=True)
    assert task.wire()["deliveryMethod"] == "async"
    with pytest.raises(ValidationError, match="delivery_method"):
        runware.ImageInference(positive_prompt="x", skip_response=True, delivery_method="sync")


@pytest.mark.parametrize("name", ["lora", "embeddings", "control_net"])
def test_single_object_in_place_of_a_list_is_explained(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        runware.ImageInference(**{name: {"model": "m"}})
    assert caught.value.message == f"ImageInference: {name} takes a list: {name}=[{{...}}]; got a single dict."
    assert caught.value.parameter == name
    with pytest.raises(ValidationError, match="width must be int; got dict"):
        runware.ImageInference(width={"model": "m"})  # type: ignore[arg-type]
