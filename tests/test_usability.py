"""The small things that users meet first: words, options, mistakes."""

from __future__ import annotations

import asyncio
import copy
import pathlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

import runware
from runware import (
    AsyncRunware,
    ConfigurationError,
    Image,
    OverwriteError,
    Results,
    Runware,
    RunwareError,
    UsageError,
    ValidationError,
    get_client,
    models,
    requests,
)
from runware._support.api_names import wire_name
from runware._support.unknown_names import near_name
from runware.local import LocalServer
from runware.requests import validation

from .test_serverless import PNG
from .test_three_interfaces import PICTURE


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("num_inference_steps", "steps"),
        ("inference_steps", "steps"),
        ("n", "number_results"),
        ("num_images", "number_results"),
        ("num_outputs", "number_results"),
        ("prompt", "positive_prompt"),
        ("guidance_scale", "cfg_scale"),
        ("positivePrompt", "positive_prompt"),
        ("webhook", "webhook_url"),
        ("init_image", "seed_image"),
    ],
)
def test_names_of_other_libraries_are_answered_with_ours(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {meant!r}") as caught:
        Runware("key").image_inference(model="runware:101@1", **{typed: 1})  # type: ignore[call-overload]
    assert isinstance(caught.value, TypeError)
    assert caught.value.parameter == typed


def test_unknown_name_is_never_taken_for_the_number_of_results_by_its_looks() -> None:
    for name in ("num_steps_total", "numerator", "results_dir"):
        with pytest.raises(UsageError) as caught:
            Runware("key").image_inference(model="runware:101@1", **{name: 1})  # type: ignore[call-overload]
        assert "number_results" not in str(caught.value)


@pytest.mark.parametrize(("typed", "meant"), [("base_url", "url"), ("token", "api_key"), ("time_out", "timeout")])
def test_misspelt_options_are_errors_of_the_package(typed: str, meant: str) -> None:
    with pytest.raises(RunwareError, match=f"did you mean {meant!r}"):
        Runware(**{typed: "x"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"did you mean {meant!r}"):
        get_client(**{typed: "x"})


def test_options_of_a_client_cannot_be_assigned() -> None:
    rw = Runware("key")
    with pytest.raises(AttributeError, match=r"rw\.with_options\(timeout=...\)"):
        rw.timeout = 5  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="fixed options"):
        rw.aio.max_retries = 0  # type: ignore[attr-defined]


def test_methods_can_still_be_patched() -> None:
    rw = Runware("key")
    with mock.patch.object(rw, "image_inference", return_value=["made"]):
        assert rw.image_inference(positive_prompt="x") == ["made"]


def test_with_options_shares_the_connection(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url) as rw:
        patient = rw.with_options(timeout=33.0, max_retries=0, include_cost=True)
        assert patient.image_inference(**PICTURE)[0].cost
        assert rw.image_inference(**PICTURE)[0].cost is None
        assert asyncio.run(patient.aio.image_inference(**PICTURE))[0].cost
        assert patient.submit.image_inference(**PICTURE).result()[0].cost
        assert all(images[0].cost for images in patient.map(patient.image_inference, [PICTURE, PICTURE]))
        further = patient.with_options(check="off")
        assert further.image_inference(**PICTURE)[0].cost
        assert server.ledger.connections == 1
    assert patient.closed


def test_with_options_applies_to_retries_and_deadlines(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, retry_delay=0) as rw:
        once = rw.with_options(max_retries=0)
        with pytest.raises(RunwareError):
            once.image_inference(**{**PICTURE, "positive_prompt": "a [rate-limit:1]"})
        assert rw.image_inference(**{**PICTURE, "positive_prompt": "b [rate-limit:1]"})
        with server.hold(), pytest.raises(TimeoutError, match=r"within 0\.2 s"):
            rw.with_options(timeout=0.2).image_inference(**PICTURE)


def test_with_options_checks_its_values() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Runware("key").with_options(timeout=-1)
    assert caught.value.parameter == "timeout"


def test_leaving_a_with_block_keeps_a_shared_client_open(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
    monkeypatch.setenv("RUNWARE_URL", server.url)
    with get_client() as first:
        assert first.image_inference(**PICTURE)
    assert not first.closed
    second = get_client()
    assert second.image_inference(**PICTURE)

    async def use() -> None:
        async with get_client().aio as rw:
            await rw.image_inference(**PICTURE)

    asyncio.run(use())
    assert server.ledger.connections == 1
    third = get_client(timeout=7.0)
    assert third.image_inference(**PICTURE)
    assert server.ledger.connections == 2
    second.close()
    assert first.closed
    assert not third.closed
    third.close()


def test_blocking_client_in_async_with_says_what_to_use(server: LocalServer) -> None:
    async def wrong() -> None:
        async with Runware(server.api_key, url=server.url):  # type: ignore[attr-defined]
            pass

    with pytest.raises(UsageError, match="async with AsyncRunware"):
        asyncio.run(wrong())
    with pytest.raises(UsageError, match="with Runware"), AsyncRunware("key"):
        pass


def test_tilde_in_a_path_is_explained() -> None:
    with pytest.raises(ValidationError, match="expanduser") as caught:
        Runware("key").image_inference(**PICTURE, seed_image=pathlib.Path("~/x.png"))
    assert caught.value.parameter == "seed_image"


def test_existing_file_is_an_error_of_the_package(server: LocalServer, tmp_path: pathlib.Path) -> None:
    with Runware(server.api_key, url=server.url) as rw:
        (image,) = rw.image_inference(**PICTURE)
        path = image.save(tmp_path / "a.jpg")
        with pytest.raises(OverwriteError, match="overwrite=True") as caught:
            image.save(path)
    assert isinstance(caught.value, FileExistsError)
    assert caught.value.filename == str(path)


def test_parameter_of_the_servers_error_is_a_python_name(server: LocalServer) -> None:
    server.script(
        lambda task: (
            [
                {
                    "errors": [
                        {
                            "code": "invalidValue",
                            "message": "No.",
                            "parameter": "providerSettings.klingai.soundURL",
                            "taskUUID": task["taskUUID"],
                        }
                    ]
                }
            ]
            if task["taskType"] == "imageInference"
            else None
        )
    )
    with Runware(server.api_key, url=server.url) as rw, pytest.raises(ValidationError) as caught:
        rw.image_inference(**PICTURE)
    assert caught.value.parameter == "provider_settings.klingai.sound_url"
    assert caught.value.raw["parameter"] == "providerSettings.klingai.soundURL"


def test_names_of_the_official_package_are_answered() -> None:
    with pytest.raises(ImportError, match="ImageInference"):
        from runware import IImageInference  # type: ignore[attr-defined]  # noqa: F401
    assert not hasattr(runware, "nothing_like_that")


def test_calls_take_max_retries_too(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, retry_delay=0) as rw:
        with pytest.raises(RunwareError):
            rw.image_inference(**{**PICTURE, "positive_prompt": "a [rate-limit:1]"}, max_retries=0)
        assert rw.image_inference(**{**PICTURE, "positive_prompt": "b [rate-limit:1]"}, max_retries=1)
        with pytest.raises(ValidationError, match="pass one of them") as caught:
            rw.image_inference(**PICTURE, max_retries=1, retry=1)
        assert caught.value.parameter == "max_retries"
        with pytest.raises(ValidationError, match="0 or more"):
            rw.image_inference(**PICTURE, max_retries=-1)


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_app_is_named_in_the_user_agent(server: LocalServer, transport: str) -> None:
    with Runware(server.api_key, url=server.url, app="shop/1.2", transport=transport) as rw:  # type: ignore[arg-type]
        rw.image_inference(**PICTURE)
    assert any(agent.startswith("shop/1.2 runware-client/") for agent in server.ledger.user_agents)


@pytest.mark.parametrize("app", ["", "two words", "a/b/c", "line\nfeed", 7])
def test_app_that_cannot_stand_in_a_header_is_refused(app: object) -> None:
    with pytest.raises(ConfigurationError, match=r"shop/1\.2"):
        Runware("key", app=app)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ({"size": "1024x1024"}, "width=1024, height=1024"),
        ({"aspect_ratio": "16:9"}, "width=1344, height=768"),
        ({"response_format": "b64_json"}, "output_type='base64Data'"),
        ({"headers": {}}, "extra_headers"),
        ({"requestImage": None}, "pass its parameters themselves"),
    ],
)
def test_names_without_one_parameter_of_ours_are_answered_with_what_to_do(typed: dict[str, Any], advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        Runware("key").image_inference(positive_prompt="a kite", **typed)
    assert advice in caught.value.message
    assert "extra={...}" not in caught.value.message  # it would not help


def test_short_names_are_not_taken_for_others_that_look_like_them() -> None:
    with pytest.raises(UsageError) as caught:
        Runware("key").image_inference(eta=0)  # type: ignore[call-overload]
    assert "did you mean" not in caught.value.message


def test_all_unknown_names_are_answered_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Runware("key").image_inference(prompt="a kite", n=2, zzz=1)  # type: ignore[call-overload]
    assert caught.value.message == (
        "ImageInference has no parameter 'prompt'; did you mean 'positive_prompt'? Nor has it 'n'; did you mean "
        "'number_results'? Nor has it 'zzz'. Pass API parameters without a Python name in extra={...}."
    )
    assert caught.value.parameter == "prompt"


def test_prompt_by_position_is_answered_with_its_name() -> None:
    rw: Any = Runware("key")
    for call, name in (
        (rw.image_inference, "positive_prompt"),
        (rw.text_inference, "messages"),
        (rw.upscale, "input_image"),
    ):
        with pytest.raises(UsageError, match=rf"keyword arguments only, such as {name}="):
            call("a red kite")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rw: rw.text_inference(model="m", messages="hi"), "messages=[{'role': ..., 'content': ...}]"),
        (lambda rw: rw.text_inference(model="m", messages=["hi"]), "messages=[{'role': ..., 'content': ...}]"),
        (lambda rw: rw.text_inference(model="m", positive_prompt="hi"), "did you mean 'messages'"),
        (lambda rw: rw.text_inference(model="m", messages=[], stream=True), "rw.stream_text(...)"),
        (lambda rw: rw.audio_inference(model="m", speech="hi"), "speech={'text': ..., 'voice': ...}"),
        (lambda rw: rw.audio_inference(model="m", voice="x"), "speech={'voice': ...}"),
        (lambda rw: rw.image_inference(lora=["m"]), "lora=[{'model': ..., 'weight': ...}]"),
        (lambda rw: rw.caption(input_image=Results([Image(url="https://x/y")])), "input_image=results[0]"),
        (
            lambda rw: rw.image_inference(inputs={"seedimage": b"x"}),
            "inputs.seedimage is not a parameter; did you mean",
        ),
        (lambda rw: rw.image_inference(lora=[{"model": "m", "Weight": 1}]), "lora[0].Weight is not a parameter"),
        (lambda rw: rw.run("owner/model", input={"prompt": "x"}), "rw.run({'model': ..., 'positive_prompt': ...})"),
        (lambda rw: rw.run(model="m", positive_prompt="x"), "rw.run({'model': ..., 'positive_prompt': ...})"),
        (lambda rw: rw.submit.run(model="m"), "rw.run({'model': ..., 'positive_prompt': ...})"),
        (lambda rw: rw.run("a prompt"), "such as rw.run({'model': ..., 'positive_prompt': ...})"),
        (lambda rw: rw.run([{"taskType": "imageInference"}]), "rw.map(requests)"),
        (lambda rw: rw.estimate(rw.image_inference, positive_prompt="x"), "a request object, a dict or parameters"),
        (lambda rw: rw.stream("owner/model", input={}), "rw.stream_text(model=..., messages=[...])"),
        (lambda rw: rw.aio.stream({"prompt": "x"}), "rw.stream_text(model=..., messages=[...])"),
        (lambda rw: rw.chat("m", system="x"), "did you mean 'system_prompt'"),
        (lambda rw: rw.with_options(time_out=3), "did you mean 'timeout'"),
        (lambda rw: rw.map(rw.image_inference, ["x"], max_workers=3), "did you mean 'concurrency'"),
        (lambda rw: rw.map(rw.image_inference, ["x"], model="m"), "common={...}"),
        (lambda rw: rw.models.list("flux"), "list() takes its parameters by name: capability, "),
        (lambda rw: rw.models.list(search="flux"), "did you mean 'q'"),
    ],
)
def test_calls_written_for_other_sdks_raise_helpful_errors(call: Callable[[Any], object], words: str) -> None:
    with pytest.raises(RunwareError) as caught:
        call(Runware("key"))
    assert isinstance(caught.value, (TypeError, ValueError))
    assert words in caught.value.message


def test_keys_of_the_api_stay_valid_in_dicts() -> None:
    request = runware.ImageInference(inputs={"seedImage": "https://x/y.png", "unheardOf": 1}, lora=[{"model": "m"}])
    assert request.inputs == {"seedImage": "https://x/y.png", "unheardOf": 1}


def test_misused_run_of_asyncio_is_an_error_of_the_package() -> None:
    rw: Any = runware.AsyncRunware("key")
    with pytest.raises(UsageError, match="takes one request object or dict"):
        asyncio.run(rw.run(model="m", positive_prompt="x"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imageInference", "Did you mean: 'image_inference'?"),
        ("promptEnhance", "Did you mean: 'prompt_enhance'?"),
        ("imageBackgroundRemoval", "Use rw.remove_background(...)."),
        ("images", "Use rw.image_inference(positive_prompt=..., model=...)."),
        ("predictions", "Use rw.submit"),
        ("balance", "Use rw.account_management().balance."),
        ("image_inferense", "Did you mean: 'image_inference'?"),
    ],
)
def test_attributes_of_other_clients_are_answered_with_ours(name: str, words: str) -> None:
    for rw in (Runware("key"), runware.AsyncRunware("key")):
        with pytest.raises(AttributeError) as caught:
            getattr(rw, name)
        assert words in str(caught.value)
        assert not hasattr(rw, "_repr_html_")


def test_attribute_of_one_result_says_that_there_is_a_list() -> None:
    results = Results([Image(url="https://x/y.png")])
    with pytest.raises(AttributeError, match=r"use results\[0\]\.url, or a loop"):
        results.url  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"results\.save_all"):
        results.save("x")  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"It is the list itself"):
        results.images  # type: ignore[attr-defined]
    for name in ("zzz", "_repr_png_", "__array__"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'$"):
            getattr(results, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'url'$"):
        Results().url  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(results)) == copy.deepcopy(results) == results


def test_model_of_another_kind_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    strict: Any = Runware("key", check="error")
    with pytest.raises(ValidationError) as caught:
        strict.image_inference(positive_prompt="a kite", model="klingai:kling-video@2.6-pro", width=512, height=512)
    assert caught.value.message == (
        "model klingai:kling-video@2.6-pro (Kling VIDEO 2.6 Pro) makes videos, not images. Use "
        "rw.video_inference(...), or a model of rw.models.list(category='image')."
    )
    assert (caught.value.parameter, caught.value.task_type) == ("model", "imageInference")
    with LocalServer() as server, Runware(server.api_key, url=server.url) as rw:
        assert rw.video_inference(positive_prompt="a kite", model="runware:101@1", duration=5)
        assert rw.upscale(input_image=PNG, model="runware:101@1")  # not a kind that a model makes
    assert ["makes images, not videos" in line for line in caplog.messages] == [True]


def test_checks_of_with_options_are_those_of_its_calls() -> None:
    with LocalServer() as server, Runware(server.api_key, url=server.url) as rw:
        parameters: dict[str, Any] = {**PICTURE, "lora": [{"model": "civitai:1@1", "scale": 1}]}
        strict = rw.with_options(check="error")
        with pytest.raises(ValidationError, match=r"did you mean lora\[0\]\.weight"):
            strict.image_inference(**parameters)
        assert strict.with_options(check="off").image_inference(**parameters)
        assert strict.with_options(timeout=50).models.get("runware:101@1")
        with pytest.raises(ValidationError):
            strict.with_options(timeout=50).image_inference(**parameters)
        assert len(server.ledger.tasks("imageInference")) == 1


@pytest.mark.parametrize("name", ["black-forest-labs/FLUX.1-dev", "black-forest-labs/flux-schnell", "bfl/flux-1-dev"])
def test_model_names_of_other_services_are_answered_with_the_air(name: str) -> None:
    with (
        LocalServer() as server,
        Runware(server.api_key, url=server.url) as rw,
        pytest.raises(ValidationError) as caught,
    ):
        rw.image_inference(positive_prompt="a kite", model=name, width=512, height=512)
    assert ("runware:100@1" if "schnell" in name else "runware:101@1") in caught.value.message


def test_missing_key_leads_to_the_local_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWARE_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=r"python -m runware\.local"):
        Runware()


def classes_of_dicts() -> dict[str, dict[str, Any]]:
    """Return the parameters of each task type that take dicts in place of objects, with their classes."""
    found: dict[str, dict[str, Any]] = {}
    for name, *_ in requests.OPERATIONS.values():
        request = getattr(requests, name)
        for field, check in validation._checks(request).items():
            if check.object_class is not None:
                found.setdefault(request.task_type, {})[wire_name(field)] = check.object_class
    return found


def test_no_name_in_a_schema_of_the_catalogue_is_taken_for_a_misspelt_one() -> None:
    classes = classes_of_dicts()
    looked_at = 0
    for model in models.list():
        for name, cls in classes.get(model.task_type or "", {}).items():
            schema = model.schema.get("properties", {}).get(name)
            inner = schema.get("items", schema) if isinstance(schema, dict) else None
            for key in (inner or {}).get("properties", {}) if isinstance(inner, dict) else ():
                looked_at += 1
                assert key in validation._names(cls) or near_name(key, validation._checks(cls)) is None, (model, key)
    assert looked_at > 1000


def test_misspelt_keys_of_dicts_are_refused_as_those_of_classes_are(server: LocalServer, rw: Runware) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"lora": [{"model": "civitai:1@1", "wieght": 1}]},
            r"lora\[0\]\.wieght is not a parameter; did you mean 'weight'\?",
        ),
        ({"outpaint": {"lef": 64}}, r"outpaint\.lef is not a parameter; did you mean 'left'\?"),
        ({"inputs": {"reference_image": [PNG]}}, "did you mean 'reference_images'"),
    ]
    for given, words in cases:
        with pytest.raises(ValidationError, match=words):
            rw.image_inference(**PICTURE, **given)
    assert server.ledger.tasks("imageInference") == []


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("OpenAI", "use Runware."),
        ("AsyncClient", "use AsyncRunware."),
        ("APITimeoutError", "use TaskTimeoutError."),
        ("RunwareAPIError", "use RunwareError."),
        ("IImageCaption", "use Caption,"),
        ("IRequestImage", "use ImageInference,"),
    ],
)
def test_imports_of_other_libraries_are_answered_with_ours(name: str, ours: str) -> None:
    with pytest.raises(ImportError, match=ours):
        exec(f"from runware import {name}")


def test_refused_model_without_a_similar_one_says_how_to_find_one() -> None:
    with (
        LocalServer() as server,
        Runware(server.api_key, url=server.url) as rw,
        pytest.raises(ValidationError, match=r"rw\.models\.list\(q=\.\.\.\)"),
    ):
        rw.image_inference(positive_prompt="a kite", model="flux", width=512, height=512)


@pytest.mark.parametrize("typed", ["imageInferenc", "image_inference", "ImageInference"])
def test_refused_task_type_is_answered_with_the_right_one(typed: str, rw: Runware) -> None:
    with pytest.raises(ValidationError, match="Did you mean 'imageInference'") as caught:
        rw.run({"taskType": typed, "positivePrompt": "a kite", "model": "runware:101@1", "width": 512, "height": 512})
    assert caught.value.parameter == "task_type"


def test_suggestion_for_an_attribute_is_made_once() -> None:
    code = "from runware import Runware; Runware('key').image_inferrence"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert failed.stderr.count("image_inference") == 1, failed.stderr


def test_attribute_of_the_client_is_named_on_its_jobs_form() -> None:
    with pytest.raises(AttributeError, match=r"It is one of the client: rw\.chat\.$"):
        Runware("key").submit.chat  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [{1, 2}, frozenset("x")])
def test_set_is_refused_by_name(value: Any) -> None:
    rw = Runware("key")
    with pytest.raises(ValidationError) as caught:
        rw.image_inference(positive_prompt="a kite", model="runware:101@1", settings={"steps": value})
    assert caught.value.parameter == "settings.steps"
    rw.close()


def test_name_that_is_given_twice_is_said_to_be() -> None:
    rw = Runware("key")
    with pytest.raises(ValidationError, match=r"^positive_prompt is given twice, as positive_prompt and as "):
        rw.run({"model": "runware:101@1", "positive_prompt": "a kite", "positivePrompt": "a heron"})
    rw.close()
