"""The small things that users meet first: words, options, mistakes."""

from __future__ import annotations

import asyncio
import pathlib
from unittest import mock

import pytest

import runware
from runware import (
    AsyncRunware,
    ConfigurationError,
    OverwriteError,
    Runware,
    RunwareError,
    UsageError,
    ValidationError,
    get_client,
)
from runware.local import LocalServer

from .test_faces import PICTURE


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
