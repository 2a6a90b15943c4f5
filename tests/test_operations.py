"""The table of operations: names, aliases, parameters, documentation, and that little is loaded for it."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints
from unittest import mock

import attrs
import pytest

import runware
from runware import AsyncRunware, Runware, UsageError, requests
from runware._support.api_names import wire_name
from runware.client import Submitter
from runware.jobs import Job
from runware.local import LocalServer
from runware.operations import operation
from runware.requests.base import Task
from runware.requests.signatures import answer_of, fields, parameters, signature
from tests.api_objects import TASK_TYPE_OF
from tests.conftest import Interface

PROJECT = Path(__file__).parent.parent

# Operation, aliases, request class, result.
TABLE = [
    ("image_inference", ["request_images"], "ImageInference", "Results[Image]"),
    ("video_inference", [], "VideoInference", "Results[Video]"),
    ("audio_inference", [], "AudioInference", "Results[Audio]"),
    ("three_d_inference", [], "ThreeDInference", "Results[Model3D]"),
    ("text_inference", [], "TextInference", "Results[Text]"),
    ("upscale", ["upscale_gan"], "Upscale", "Image | Video"),
    ("remove_background", ["remove_image_background"], "RemoveBackground", "Image | Video"),
    ("caption", ["request_image_to_text"], "Caption", "Text"),
    ("prompt_enhance", ["enhance_prompt"], "PromptEnhance", "Results[Text]"),
    (
        "controlnet_preprocess",
        ["control_net_preprocess", "control_net_pre_process"],
        "ControlNetPreprocess",
        "GuideImage",
    ),
    ("image_masking", [], "ImageMasking", "MaskImage"),
    ("photo_maker", [], "PhotoMaker", "Results[Image]"),
    ("vectorize", [], "Vectorize", "Image"),
    ("tools", [], "Tools", "ToolOutput"),
    ("training", [], "Training", "TrainedModel"),
    ("model_upload", [], "ModelUpload", "UploadedModel"),
    ("model_search", [], "ModelSearch", "ModelPage"),
    ("image_upload", [], "ImageUpload", "StoredMedia"),
    ("media_storage", [], "MediaStorage", "StoredMedia"),
    ("get_response", [], "GetResponse", "Results[Result]"),
    ("get_task_details", [], "GetTaskDetails", "TaskDetails"),
    ("account_management", [], "AccountManagement", "Account"),
]

# The JavaScript library's methods, their aliases and their parameters.
COMMON = "taskUUID retry includeCost"
MAKING = f"{COMMON} outputType outputFormat outputQuality uploadEndpoint skipResponse deliveryMethod"
SEVERAL = f"{MAKING} numberResults seed"
JAVASCRIPT = {
    "imageInference requestImages": (
        f"{SEVERAL} positivePrompt negativePrompt width height model checkNSFW seedImage maskImage maskMargin strength"
        " steps scheduler CFGScale clipSkip usePromptWeighting promptWeighting refiner controlNet lora embeddings"
        " ipAdapters providerSettings outpaint acceleratorOptions advancedFeatures referenceImages onPartialImages"
        " customTaskUUID"
    ),
    "photoMaker": f"{SEVERAL} inputImages style positivePrompt height width onPartialImages",
    "controlNetPreprocess controlNetPreProcess": (
        f"{MAKING} inputImage preProcessorType width height highThresholdCanny lowThresholdCanny"
        " includeHandsAndFaceOpenPose"
    ),
    "caption requestImageToText": f"{COMMON} inputImage inputs model skipResponse deliveryMethod",
    "removeBackground removeImageBackground": f"{MAKING} inputImage inputs model settings",
    "upscale upscaleGan": f"{MAKING} inputImage inputs upscaleFactor model",
    "promptEnhance enhancePrompt": f"{COMMON} prompt promptMaxLength promptVersions",
    "videoInference": (
        f"{SEVERAL} positivePrompt negativePrompt model duration fps width height steps CFGScale inputs inputAudios"
        " referenceVideos speech"
    ),
    "audioInference": f"{SEVERAL} model positivePrompt duration audioSettings inputs",
    "threeDInference": f"{SEVERAL} model positivePrompt inputs onPartialResponse",
    "textInference": (
        f"{COMMON} model messages maxTokens temperature topP topK seed stopSequences systemPrompt numberResults"
        " onPartialResponse skipResponse"
    ),
    "training": f"{COMMON} model importModel inputs webhookURL skipResponse",
    "vectorize": f"{MAKING} model inputs",
    "imageMasking": f"{MAKING} model inputImage confidence maskPadding maskBlur maxDetections",
    "modelUpload": (
        f"{COMMON} air name downloadURL uniqueIdentifier version format architecture heroImageURL tags"
        " shortDescription comment private category type defaultScheduler defaultSteps defaultCFG defaultStrength"
        " defaultWeight positiveTriggerWords negativeTriggerWords conditioning onUploadStream"
    ),
    "modelSearch": (f"{COMMON} search tags category type architecture conditioning visibility limit offset"),
    "imageUpload": f"{COMMON} image",
    "mediaStorage": f"{COMMON} media operation",
    "getTaskDetails": "taskUUID",
    "getResponse": "taskUUID",
}
NESTED = {
    "ControlNet": "model guideImage weight startStep endStep startStepPercentage endStepPercentage controlMode",
    "Outpaint": "top right bottom left blur",
    "AcceleratorOptions": "teaCache teaCacheDistance deepCache deepCacheInterval deepCacheBranchId",
    "AdvancedFeatures": "layerDiffuse",
    "RemoveBackgroundSettings": (
        "rgba postProcessMask returnOnlyMask alphaMatting alphaMattingForegroundThreshold"
        " alphaMattingBackgroundThreshold alphaMattingErodeSize"
    ),
    "VideoInputs": "image images audio audios mask reference references",
    "EditingInputs": "image video",
    "Speech": "voice text",
    "AudioSettings": "sampleRate bitrate",
    "ThreeDInputs": "image mask",
    "ImportModel": "air name uniqueIdentifier version private heroImageURL shortDescription",
    "TrainingInputs": "dataset",
}
# Renamed parameters. `includePayload` and `includeGenerationTime` are none here: results always know both.
RENAMED = {
    "onPartialImages": "on_partial",
    "onPartialResponse": "on_partial",
    "onUploadStream": "on_partial",
    "customTaskUUID": "task_uuid",
}


FORMS = [Runware, AsyncRunware, Submitter]


@pytest.fixture
def rw() -> Runware:
    return Runware("key")


def python_name(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


@pytest.mark.parametrize(("name", "aliases", "cls", "answer"), TABLE)
def test_operation_has_its_request_result_and_aliases(
    name: str, aliases: list[str], cls: str, answer: str, rw: Runware
) -> None:
    assert requests.OPERATIONS[name] == (cls, *aliases)
    for form, expected in ((rw, answer), (rw.submit, f"Job[{answer}]"), (rw.aio, answer)):
        annotation = inspect.signature(getattr(form, name)).return_annotation
        # They name the modules of classes that load at their first use.
        assert annotation.replace("results.", "").replace("platform.", "") == expected
        assert get_type_hints(getattr(form, name))["return"] is not None
    for form in FORMS:
        method = getattr(form, name)
        assert inspect.isfunction(method)
        assert method.__name__ == name
        assert method.request_name == cls
        for alias in aliases:
            assert getattr(form, alias) is method


@pytest.mark.parametrize("form", FORMS)
def test_every_interface_has_the_operations_of_the_table(form: type) -> None:
    named = {name for row in TABLE for name in (row[0], *row[1])} | requests.STREAMS.keys()
    assert {name for name, method in inspect.getmembers(form) if hasattr(method, "request_name")} == named
    assert {row[2] for row in TABLE} == set(TASK_TYPE_OF)


@pytest.mark.parametrize("names", JAVASCRIPT)
def test_every_javascript_parameter_exists(names: str, rw: Runware) -> None:
    for method in names.split():
        found = inspect.signature(getattr(rw, python_name(method))).parameters
        given = {wire_name(name) for name in found}
        for name in JAVASCRIPT[names].split():
            assert RENAMED[name] in found if name in RENAMED else name in given, name


@pytest.mark.parametrize("cls", NESTED)
def test_nested_objects_have_every_javascript_field(cls: str) -> None:
    given = {wire_name(field.name) for field in attrs.fields(getattr(runware, cls))}
    assert set(NESTED[cls].split()) <= given


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_docstring_documents_every_parameter_of_the_method(row: tuple[str, list[str], str, str], rw: Runware) -> None:
    method, cls = getattr(rw, row[0]), getattr(runware, row[2])
    shown = inspect.signature(method).parameters
    assert set(shown) == set(inspect.signature(cls).parameters)
    words = parameters(cls)
    assert set(words) == set(shown)
    for name, parameter in shown.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert words[name].endswith((".", "…")), name
        assert f" {name}: {words[name]} " in " ".join(method.__doc__.split())
        assert "Union[" not in str(parameter)
        assert "runware." not in str(parameter)
    text = pydoc.plain(pydoc.render_doc(method))
    assert "Media" in text or row[0] not in ("upscale", "caption", "image_inference")
    assert "ReadableFile" not in text
    names = list(shown)
    assert names.index("retry") > names.index(fields(cls)[0].name)
    assert names[-1] == "include_cost"


def test_every_parameter_of_every_object_is_documented() -> None:
    for name in requests.__all__:
        cls = getattr(runware, name)
        assert set(parameters(cls)) == {field.name for field in attrs.fields(cls)}, name
        assert cls.__doc__.strip().partition("\n")[0].endswith("."), name


def test_signature_of_image_inference() -> None:
    shown = signature(runware.ImageInference)
    assert list(shown.parameters)[:4] == ["positive_prompt", "model", "width", "height"]
    assert str(shown.parameters["seed_image"]) == "seed_image: Media | None = None"
    assert str(shown.parameters["mask_image"].annotation) == "Media | None"
    assert str(signature(runware.Upscale).parameters["input_image"]) == "input_image: Media | None = None"


def test_required_parameters_come_first() -> None:
    assert list(signature(runware.PhotoMaker).parameters)[:3] == ["positive_prompt", "input_images", "model"]
    assert list(signature(runware.TextInference).parameters)[:3] == ["model", "messages", "system_prompt"]


def test_help_shows_signature_and_description_of_every_parameter() -> None:
    shown = inspect.signature(Runware.image_inference)
    assert [*shown.parameters][:3] == ["self", "positive_prompt", "model"]
    assert shown.return_annotation == "Results[results.Image]"

    def helped(thing: object) -> str:
        # Newer versions put each parameter on a line, and the class's in a frame.
        text = pydoc.plain(pydoc.render_doc(thing)).replace("|", " ").replace("'", "")
        return " ".join(text.split()).replace("( ", "(")

    text = helped(Runware.image_inference)
    assert "image_inference(self, *, positive_prompt: str None = None" in text
    assert "Generate images from text, other images, or both." in text
    assert "positive_prompt: What to generate" in text
    assert Runware.request_images.__name__ == "image_inference"
    assert Runware.image_inference.__doc__ == Runware("key").image_inference.__doc__
    assert "image_inference(self, *, positive_prompt" in helped(Runware)
    assert "image_inference(self, *, positive_prompt" in helped(Submitter)
    assert "async image_inference(self, *, positive_prompt" in helped(AsyncRunware)


def test_method_can_be_called_on_the_class_with_a_client(server: LocalServer) -> None:
    rw = Runware(server.api_key, url=server.url)
    for client in (rw, rw.aio, rw.submit):
        answer: Any = Runware.image_inference(client, positive_prompt="a kite")
        if client is rw.submit:
            answer = answer.result()
        if client is rw.aio:
            answer = asyncio.run(answer)
        assert isinstance(answer, runware.Results)
    for arguments in ((), (3,)):
        with pytest.raises(TypeError, match=r"call it on a client, as in Runware\(\).image_inference"):
            Runware.image_inference(*arguments, positive_prompt="x")  # type: ignore[arg-type]
    rw.close()


def test_subclass_may_extend_an_operation(server: LocalServer) -> None:
    called: list[str] = []

    class Mine(Runware):
        def image_inference(self, **given: Any) -> Any:  # type: ignore[override]
            called.append(given["positive_prompt"])
            return super().image_inference(**given)

    with Mine(server.api_key, url=server.url) as mine:
        for prompt in ("a kite", "a heron"):
            assert len(mine.image_inference(positive_prompt=prompt)) == 1
    assert called == ["a kite", "a heron"]


def test_lists_of_public_names_agree() -> None:
    source = inspect.getsource(requests)
    for name, module in requests._MODULES.items():
        assert getattr(requests, name).__module__ == f"runware.requests.{module}"
        assert name in source.partition("else:")[0], name
    assert set(requests.__all__) == set(requests._MODULES)
    assert set(requests.__all__) <= set(runware.__all__)
    found: dict[str, Any] = {}
    exec("from runware import *", found)
    assert set(runware.__all__) <= set(found)
    assert set(runware.__all__) <= set(dir(runware))
    for module in (runware, requests):
        with pytest.raises(AttributeError, match="Typo"):
            module.Typo  # type: ignore[attr-defined]


def test_request_modules_are_loaded_on_demand() -> None:
    code = """
import sys
import runware
rw = runware.Runware("key")
late = "runware.requests.", "runware.results."
loaded = lambda: sorted(name for name in sys.modules if name.startswith(late))
print(loaded())
try:
    rw.submit.text_inference(model="m", messages=5)
except runware.ValidationError:
    print(loaded())
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    first = {"runware.requests.base", "runware.requests.plan", "runware.requests.serialization"}
    first |= {"runware.requests.validation", "runware.results.acknowledgement", "runware.results.base"}
    then = {"runware.requests.inference", "runware.requests.text", "runware.results.pieces", "runware.results.text"}
    assert shown.stdout.splitlines() == [str(sorted(first)), str(sorted(first | then))]


def test_users_may_define_operations(rw: Runware) -> None:
    @attrs.frozen(kw_only=True, repr=False, eq=False)
    class Masks(Task[runware.Results[runware.Result]]):
        task_type = "masks"
        many = True
        model: str

    class Mine(Runware):
        masks = operation(lambda: Masks)

    class MineForAsyncio(AsyncRunware):
        masks = operation(lambda: Masks)

    assert next(iter(inspect.signature(Mine("key").masks).parameters)) == "model"
    assert repr(Mine.masks) == "<operation masks>"
    assert Mine.masks.request is Masks
    assert inspect.iscoroutinefunction(MineForAsyncio("key").masks)
    assert "masks" not in dir(rw)


def test_operations_page_is_up_to_date() -> None:
    script = PROJECT / "tools" / "reference.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0, f"run {script.name}"


def test_generated_methods_are_up_to_date() -> None:
    script = PROJECT / "tools" / "generate_operations.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0, f"run {script.name}"


class Recorder(Submitter):
    """Returns the request instead of sending it."""

    def __init__(self) -> None:
        pass

    def run(self, task: Any) -> Any:
        return task


@pytest.mark.parametrize("name", requests.OPERATIONS)
def test_method_passes_every_parameter_on(name: str) -> None:
    request = getattr(requests, requests.OPERATIONS[name][0])
    given: dict[str, Any] = {field.name: object() for field in fields(request)}
    with mock.patch.object(request, "__attrs_post_init__"):
        made = getattr(Recorder(), name)(**given)
    assert vars(made) == given


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", requests.OPERATIONS)
def test_defaults_of_methods_are_those_of_requests(name: str, form: type) -> None:
    request = getattr(requests, requests.OPERATIONS[name][0])
    shown = inspect.signature(getattr(form, name)).parameters
    assert {name: one.default for name, one in shown.items() if name != "self"} == {
        name: one.default for name, one in inspect.signature(request).parameters.items()
    }


@pytest.mark.parametrize(
    ("operation", "names", "meant"),
    [
        ("vectorize", ("image", "input_image", "image_url"), "\"inputs={'image': ...}\""),
        ("upscale", ("image", "image_url"), "'input_image'"),
    ],
)
def test_image_under_another_name_is_answered_with_its_place(
    operation: str, names: tuple[str, ...], meant: str
) -> None:
    for name in names:
        with pytest.raises(UsageError) as caught:
            getattr(Runware("key"), operation)(**{name: "https://example.com/kite.png"})
        assert f"has no parameter {name!r}; did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"positivePrompt": "x"}, "ImageInference has no parameter 'positivePrompt'; did you mean 'positive_prompt'?"),
        ({"num_inference_steps": 4}, "ImageInference has no parameter 'num_inference_steps'; did you mean 'steps'?"),
        ({"guidance_scale": 4}, "ImageInference has no parameter 'guidance_scale'; did you mean 'cfg_scale'?"),
        ({"prompt": "x"}, "ImageInference has no parameter 'prompt'; did you mean 'positive_prompt'?"),
        ({"n": 2}, "ImageInference has no parameter 'n'; did you mean 'number_results'?"),
        (
            {"size": "1x1"},
            "ImageInference has no parameter 'size': pass two numbers, as in width=1024, height=1024.",
        ),
        (
            {"check": "error"},
            (
                "ImageInference has no parameter 'check': it is an option of the client, as in Runware(check=...) or "
                "rw.with_options(check=...)."
            ),
        ),
        (
            {"api_key": "x"},
            "ImageInference has no parameter 'api_key': it is an option of the client, as in Runware(api_key=...).",
        ),
        ({"heigth": 5}, "ImageInference has no parameter 'heigth'; did you mean 'height'?"),
        (
            {"zzz": 5},
            "ImageInference has no parameter 'zzz'. Pass API parameters without a Python name in extra={...}.",
        ),
    ],
)
def test_wrong_parameter_name_is_answered_with_the_right_one(
    given: dict[str, Any], message: str, rw: Runware, interface: Interface
) -> None:
    with pytest.raises(TypeError) as caught:
        interface(rw, "image_inference", **given)
    assert str(caught.value) == message


def test_missing_and_positional_parameters_are_named(rw: Runware, interface: Interface) -> None:
    with pytest.raises(TypeError, match=r"^VideoInference requires the parameter 'model'\.$"):
        interface(rw, "video_inference")
    with pytest.raises(
        TypeError, match=r"^ImageInference takes keyword arguments only, such as positive_prompt=\.\.\.\.$"
    ):
        rw.image_inference("a kite")  # type: ignore[misc]


def test_type_error_inside_the_call_is_raised_unchanged() -> None:
    class Broken(Recorder):
        def run(self, task: Any) -> Any:
            raise TypeError("of the call")

    with pytest.raises(TypeError, match="of the call"):
        Broken().image_inference(positive_prompt="a kite")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", requests.OPERATIONS)
def test_type_hints_resolve(name: str, form: type) -> None:
    request = getattr(requests, requests.OPERATIONS[name][0])
    hints = get_type_hints(getattr(form, name))
    answer = answer_of(request)
    assert hints.pop("return") == (Job[answer] if form is Submitter else answer)
    assert hints == {field.name: get_type_hints(request)[field.name] for field in fields(request)}


def test_methods_are_functions_or_coroutine_functions() -> None:
    for name in requests.OPERATIONS:
        assert inspect.iscoroutinefunction(getattr(AsyncRunware, name))
        assert not inspect.iscoroutinefunction(getattr(Runware, name))
        assert not inspect.iscoroutinefunction(getattr(Submitter, name))
    client = AsyncRunware("key")
    assert inspect.iscoroutinefunction(client.image_inference)


def test_client_keeps_no_methods_in_its_dict(rw: Runware) -> None:
    before = set(vars(rw))
    with pytest.raises(runware.ValidationError):
        rw.image_inference(width="x")  # type: ignore[arg-type]
    assert set(vars(rw)) == before


@pytest.mark.parametrize("used", [False, True])
def test_methods_can_be_patched(used: bool, server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw:
        if used:
            rw.image_inference(positive_prompt="a kite")
            asyncio.run(rw.aio.image_inference(positive_prompt="a kite"))
            rw.submit.image_inference(positive_prompt="a kite").result()
        sent = len(server.ledger.tasks("imageInference"))
        with mock.patch.object(rw, "image_inference") as patched:
            assert rw.image_inference(positive_prompt="x") is patched.return_value
        with mock.patch.object(Runware, "image_inference", autospec=True) as patched:
            assert rw.image_inference(positive_prompt="x") is patched.return_value
            patched.assert_called_once_with(rw, positive_prompt="x")
        with mock.patch.object(rw.submit, "image_inference") as patched:
            assert rw.submit.image_inference(positive_prompt="x") is patched.return_value
        with mock.patch.object(AsyncRunware, "image_inference") as patched:
            assert isinstance(patched, mock.AsyncMock)
            assert asyncio.run(rw.aio.image_inference(positive_prompt="x")) is patched.return_value
        assert len(server.ledger.tasks("imageInference")) == sent
        assert len(rw.image_inference(positive_prompt="a kite")) == 1
        assert len(server.ledger.tasks("imageInference")) == sent + 1


def test_methods_run_what_a_subclass_or_a_test_has_in_place_of_run(server: LocalServer) -> None:
    class Counting(AsyncRunware):
        asked = 0

        async def run(self, task: Any = None, **given: Any) -> Any:
            self.__dict__["asked"] = self.asked + 1
            return await super().run(task, **given)

    class CountingToo(Runware):
        asked = 0

        def run(self, task: Any = None, **given: Any) -> Any:
            self.__dict__["asked"] = self.asked + 1
            return super().run(task, **given)

    async def main() -> None:
        async with Counting(server.api_key, url=server.url) as client:
            assert len(await client.image_inference(positive_prompt="a kite")) == 1
            assert client.asked == 1
            with mock.patch.object(client, "run", mock.AsyncMock(return_value="made")):
                assert await client.image_inference(positive_prompt="a kite") == "made"

    asyncio.run(main())
    with CountingToo(server.api_key, url=server.url) as client:
        assert len(client.image_inference(positive_prompt="a kite")) == 1
        assert client.asked == 1
        with mock.patch.object(client.aio, "run", mock.AsyncMock(return_value="made")):
            assert asyncio.run(client.aio.image_inference(positive_prompt="a kite")) == "made"


def test_autospec_refuses_what_the_client_refuses() -> None:
    client = mock.create_autospec(Runware, instance=True)
    client.image_inference(positive_prompt="a kite", width=512)
    with pytest.raises(TypeError, match="widht"):
        client.image_inference(positive_prompt="a kite", widht=512)
    with pytest.raises(TypeError, match="model"):
        client.video_inference()
    with pytest.raises(AttributeError):
        client.image_inferense
    assert isinstance(mock.create_autospec(AsyncRunware, instance=True).caption, mock.AsyncMock)


def test_methods_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "key")
    rw = Runware()
    for client in (rw, rw.submit, rw.aio):
        method = pickle.loads(pickle.dumps(client.request_images))
        assert type(method.__self__) is type(client)
        assert method.__func__ is type(client).image_inference
    assert pickle.loads(pickle.dumps(Runware.image_inference)) is Runware.image_inference


def test_overridden_run_sees_every_operation() -> None:
    for name in requests.OPERATIONS:
        request = getattr(requests, requests.OPERATIONS[name][0])
        needed = {field.name: "lora" for field in fields(request) if field.default is attrs.NOTHING}
        with mock.patch.object(request, "__attrs_post_init__"):
            assert type(getattr(Recorder(), name)(**needed)) is request


def test_map_takes_a_method_of_the_class_or_of_a_client(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw:
        for what in (rw.image_inference, Runware.image_inference, rw.submit.request_images, requests.ImageInference):
            assert [len(images) for images in rw.map(what, ["a kite", "a heron"])] == [1, 1]


def test_pydantic_validates_the_arguments_of_a_method(server: LocalServer) -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is an optional part of the test environment")
    with Runware(server.api_key, url=server.url) as rw:
        checked = pydantic.validate_call(rw.image_inference)
        given: Any = {"positive_prompt": "a kite", "width": "512", "lora": [{"model": "a:1@1"}]}
        assert len(checked(**given, seed_image=b"\x89PNG", refiner=requests.Refiner(model="a:1@1"))) == 1
        assert server.ledger.tasks("imageInference")[-1]["width"] == 512
        for wrong in ({"width": "wide"}, {"widht": 5}, {"seed_image": 5}, {"lora": 5}):
            with pytest.raises(pydantic.ValidationError):
                checked(**given | wrong)
        assert asyncio.run(pydantic.validate_call(rw.aio.image_inference)(**given))
    for name in requests.OPERATIONS:
        for form in FORMS:
            pydantic.validate_call(getattr(form, name))
