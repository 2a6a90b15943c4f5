"""`rw.models`, checks, estimates and routing by model, in a client: with the services, without them, and failing."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import os
import pathlib
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

import runware
from runware import NotFoundError, Runware, RunwareError, ValidationError, models
from runware.errors import ClientClosedError, ConfigurationError, ConnectionFailedError
from runware.local import LocalServer
from runware.models import access
from runware.models.access import AsyncModels, Catalogue, Models
from runware.models.catalogue import Model, ModelExample, Snapshot, bundled_snapshot
from runware.models.checker import Route
from runware.models.services import Services, cache_folder
from runware.options import DEFAULT_URL, Options
from runware.requests.plan import Planner
from runware.requests.raw import as_task

from .conftest import Interface, until
from .net import listening, read_head, refusing_port

KLEIN = "runware:400@2"
DEV = "runware:101@1"
KLING = "klingai:kling-video@2.6-pro"
LIMIT = 0.4
GUARD = 60.0
SCHEMA = json.dumps({"format": 1, "schemas": {KLEIN: {"properties": 5}}})


def options(url: str = DEFAULT_URL, **given: Any) -> Options:
    return Options(api_key="rw-test-key", url=url, **given)


class Form:
    """One of the forms in which the catalogue is offered."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self._call = call

    def __repr__(self) -> str:
        return self.name

    def __call__(self, rw: Runware, method: str, /, *args: Any, **given: Any) -> Any:
        return self._call(rw, method, args, given)


def _awaited(rw: Runware, method: str, args: Any, given: Any) -> Any:
    async def main() -> Any:
        return await getattr(rw.aio.models, method)(*args, **given)

    return asyncio.run(main())


BLOCKING = Form("blocking", lambda rw, method, args, given: getattr(rw.models, method)(*args, **given))
ASYNCIO = Form("asyncio", _awaited)
WITHOUT_KEY = Form("without a key", lambda _, method, args, given: getattr(models, method)(*args, **given))


@pytest.fixture(params=[BLOCKING, ASYNCIO, WITHOUT_KEY], ids=repr)
def form(request: pytest.FixtureRequest, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Form:
    monkeypatch.setenv("RUNWARE_URL", server.url)
    return request.param


@pytest.fixture
def strict(server: LocalServer) -> Iterator[Runware]:
    with Runware(server.api_key, url=server.url, check="error", timeout=20.0) as client:
        yield client


def image(**more: Any) -> dict[str, Any]:
    return {"model": KLEIN, "positive_prompt": "a lighthouse", "width": 1024, "height": 1024, **more}


# ---------------------------------------------------------------------- the catalogue


def test_catalogue_is_known_without_the_network(form: Form, rw: Runware, server: LocalServer) -> None:
    assert form(rw, "get", "bfl-flux-2-klein-9b").air == KLEIN
    assert KLING in [one.air for one in form(rw, "list", category="video", capability="io:text-to-video", q="kling")]
    assert form(rw, "list", creator="black forest labs", status="live")
    assert server.ledger.service_requests == server.ledger.connections == 0


def test_catalogue_is_a_collection(rw: Runware) -> None:
    assert len(rw.models) == len(list(rw.models)) == len(rw.models.list())
    assert next(iter(rw.models)) in rw.models.list()
    assert KLEIN in rw.models
    assert "bfl-flux-2-klein-9b" in rw.models
    assert "acme:1@1" not in rw.models
    assert 5 not in rw.models


@pytest.mark.parametrize("name", [None, 5, b"runware:400@2"])
def test_name_of_a_model_must_be_a_str(form: Form, rw: Runware, name: Any) -> None:
    with pytest.raises(ValidationError, match=r"get\(\): name must be a str, an AIR or a slug; got ") as failure:
        form(rw, "get", name)
    assert failure.value.parameter == "name"


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), "5", None, 90_000_000])
def test_timeout_of_the_services_is_a_number_of_seconds(
    form: Form, rw: Runware, server: LocalServer, timeout: Any
) -> None:
    for method, given in (("refresh", {}), ("get", {"name": KLEIN, "schema": True})):
        with pytest.raises(ConfigurationError, match="timeout") as failure:
            form(rw, method, timeout=timeout, **given)
        assert failure.value.parameter == "timeout"
    assert server.ledger.service_requests == 0


def test_unknown_model_names_the_nearest(form: Form, rw: Runware) -> None:
    with pytest.raises(NotFoundError, match=KLING.replace(".", r"\.")) as failure:
        form(rw, "get", "klingai:kling-video@2.6")
    assert (failure.value.parameter, failure.value.code) == ("model", "modelNotFound")


def test_refresh_asks_once_and_later_processes_know_it(form: Form, rw: Runware, server: LocalServer) -> None:
    form(rw, "refresh", timeout=20.0)
    (saved,) = cache_folder().glob("models-*.json")
    content = json.loads(saved.read_text())
    content["registry"]["models"]["acme:new@1"] = {"taskType": "imageInference", "id": "acme-new-1"}
    saved.write_text(json.dumps(content))
    asked = server.ledger.service_requests
    fresh = Catalogue(options(server.url))
    known = fresh.get("acme-new-1")
    assert known is not None
    assert known.air == "acme:new@1"
    assert known in list(fresh.all())
    assert server.ledger.service_requests == asked


def test_unchanged_registry_is_not_sent_again(rw: Runware, server: LocalServer) -> None:
    rw.models.refresh(20.0)
    (saved,) = cache_folder().glob("models-*.json")
    before = json.loads(saved.read_text())
    Models(Catalogue(options(server.url))).refresh(20.0)
    after = json.loads(saved.read_text())
    assert before["etag"]
    assert (after["etag"], after["registry"]) == (before["etag"], before["registry"])


def test_full_schema_of_a_model_is_fetched_and_kept(rw: Runware, server: LocalServer) -> None:
    assert rw.models.get(KLEIN, schema=True, timeout=20.0).limits
    asked = server.ledger.service_requests
    again = Catalogue(options(server.url)).get(KLEIN)
    assert again is not None
    assert again.check(width=1000)
    assert server.ledger.service_requests == asked == 1


def test_listings_are_fetched(rw: Runware) -> None:
    assert rw.models.creators(timeout=20.0)
    assert "text-to-image" in rw.models.capabilities()
    assert asyncio.run(rw.aio.models.capabilities()) == rw.models.capabilities()
    assert asyncio.run(rw.aio.models.creators(timeout=20.0)) == rw.models.creators(timeout=20.0)
    assert isinstance(rw.models.collections(timeout=20.0), list)


def test_search_yields_page_after_page(rw: Runware, server: LocalServer) -> None:
    found = list(rw.models.search("flux", limit=5))
    assert len(found) == 28
    assert [task["offset"] for task in server.ledger.tasks("modelSearch")] == [0, 5, 10, 15, 20, 25]

    async def main() -> list[Any]:
        return [one.air async for one in rw.aio.models.search("flux", limit=10)]

    assert asyncio.run(main()) == [one.air for one in found]


def test_search_begins_at_the_offset_that_was_asked_for(rw: Runware, server: LocalServer) -> None:
    everything = list(rw.models.search("flux", limit=100))
    assert list(rw.models.search("flux", limit=5, offset=19)) == everything[19:]
    assert [task["offset"] for task in server.ledger.tasks("modelSearch")][1:] == [19, 24]

    async def main() -> list[Any]:
        return [one async for one in rw.aio.models.search("flux", offset=27)]

    assert asyncio.run(main()) == everything[27:]


def test_search_without_a_client_says_what_it_needs() -> None:
    with pytest.raises(RunwareError, match=r"rw\.models\.search"):
        next(Models(Catalogue(options())).search("flux"))

    async def main() -> None:
        async for _ in AsyncModels(Models(Catalogue(options()))).search("flux"):
            pass

    with pytest.raises(RunwareError, match=r"rw\.models\.search"):
        asyncio.run(main())


@pytest.mark.parametrize("form", [BLOCKING, ASYNCIO, WITHOUT_KEY], ids=repr, indirect=True)
def test_examples_are_fetched_and_run(form: Form, rw: Runware) -> None:
    for example in form(rw, "get", KLING, examples=True, timeout=20.0).examples[:1]:
        assert example.run(rw)[0].url


def test_example_runs_in_every_form(rw: Runware) -> None:
    example = ModelExample(title="A kite", request={"model": DEV, **image(model=DEV)})
    assert example.run(rw)[0].url
    assert example.run(rw.submit).result(20)[0].url

    async def main() -> Any:
        return await example.run(rw.aio)

    assert asyncio.run(main())[0].url


# ---------------------------------------------------------------------- caches and services that fail


def test_corrupt_cache_is_removed_with_a_log_line(
    server: LocalServer, rw: Runware, caplog: pytest.LogCaptureFixture
) -> None:
    rw.models.refresh(20.0)
    (saved,) = cache_folder().glob("models-*.json")
    for content in ("{", '{"format": 99}', '{"format": 1, "registry": {"models": "none"}}', SCHEMA, "[" * 100_000):
        saved.write_text(content)
        caplog.clear()
        assert Catalogue(options(server.url)).get(KLEIN) is not None
        assert [record.name for record in caplog.records] == ["runware.models"], content
        assert "is removed" in caplog.text
        assert not saved.exists()


def test_user_without_a_home_directory_has_no_cache_and_can_call(
    rw: Runware, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import platformdirs

    def no_home(*_: Any, **__: Any) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("RUNWARE_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_dir", no_home)
    assert len(rw.image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512)) == 1
    rw.models.refresh()
    assert "RUNWARE_CACHE can name one" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_cache_is_readable_by_others_as_the_umask_says(rw: Runware) -> None:
    previous = os.umask(0o027)
    try:
        rw.models.refresh(20.0)
    finally:
        os.umask(previous)
    (saved,) = cache_folder().iterdir()
    assert saved.stat().st_mode & 0o777 == 0o640


def test_unwritable_cache_is_only_logged(
    rw: Runware, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNWARE_CACHE", str(tmp_path / "file" / "cache"))
    rw.models.refresh(20.0)
    assert "cannot be written" in caplog.text
    assert rw.models.get(KLEIN).air == KLEIN


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("X25:form=stall", "did not answer within"),
        ("X25:form=drip", "did not answer within"),
        ("X25:form=html", "did not answer with JSON"),
        ("X25:form=nonsense", "answered with something else"),
        ("X25:form=cut", "could not be reached|did not answer with JSON"),
        ("X25:form=error", "answered with status 503"),
    ],
)
def test_failing_services_cost_the_time_limit_at_most(
    form: Form, rw: Runware, server: LocalServer, fault: str, message: str
) -> None:
    server.play(fault)
    limit = LIMIT if "within" in message else 20.0
    started = time.monotonic()
    with pytest.raises(ConnectionFailedError, match=message):
        form(rw, "refresh", timeout=limit)
    assert time.monotonic() - started < limit + 10.0
    assert form(rw, "get", KLEIN).air == KLEIN
    assert not list(cache_folder().glob("*"))


def test_answers_that_are_too_long_are_cut(rw: Runware, server: LocalServer) -> None:
    server.play("X25:form=huge")
    with pytest.raises(ConnectionFailedError, match=r"sent too much|did not answer within"):
        rw.models.refresh(30.0)


def test_calls_do_not_ask_failing_services(rw: Runware, server: LocalServer) -> None:
    server.play("X25:form=stall")
    assert rw.run(image())[0].url
    assert rw.check(image(width=1000))
    assert rw.estimate(image()).cost is not None
    assert server.ledger.service_requests == 0


def test_headers_that_drip_are_cut_at_the_time_limit() -> None:
    stopped = threading.Event()

    def drip(sock: Any) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not stopped.wait(0.02):
            sock.sendall(b"x")

    with listening(drip) as port:
        try:
            with pytest.raises(ConnectionFailedError, match=r"did not answer within 0\.4 s"):
                Models(Catalogue(options(f"ws://127.0.0.1:{port}/v1"))).refresh(LIMIT)
        finally:
            stopped.set()


@pytest.mark.parametrize("properties", [{"width": {"minimum": "x"}}, {"deliveryMethod": True}])
def test_schema_that_cannot_be_read_does_not_stop_a_call(
    server: LocalServer, rw: Runware, caplog: pytest.LogCaptureFixture, properties: dict[str, Any]
) -> None:
    cache_folder().mkdir(parents=True)
    name = rw.models.catalogue._cache._path()
    name.write_text(json.dumps({"format": 1, "schemas": {KLEIN: {"properties": properties}}}))
    task = {"taskType": "imageInference", "model": KLEIN, "positivePrompt": "x y", "width": 512, "height": 512}
    assert rw.run(task)[0].url
    assert "cannot check requests to FLUX.2 [klein] 9B" in caplog.text


# ---------------------------------------------------------------------- a refresh in the background


DAY = 86_400.0


def wait_for_renewals() -> None:
    for thread in threading.enumerate():
        if thread.name == "runware-models":
            thread.join(30.0)
            assert not thread.is_alive()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock for the age of the catalogue, a year after the snapshot was made."""
    made = datetime.fromisoformat(bundled_snapshot().date).replace(tzinfo=UTC).timestamp()
    clock = SimpleNamespace(now=made + 365 * DAY)
    monkeypatch.setattr(access, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
def aged(server: LocalServer, clock: SimpleNamespace) -> Iterator[Runware]:
    """A client for which the snapshot in the package is too old."""
    client = Runware(server.api_key, url=server.url, models_max_age=DAY, timeout=20.0)
    yield client
    client.close()
    wait_for_renewals()


def test_old_catalogue_is_refreshed_once_in_the_background(
    aged: Runware, clock: SimpleNamespace, server: LocalServer, interface: Interface, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "runware.models"):
        for _ in range(3):
            assert interface(aged, "image_inference", **image())[0].url
        wait_for_renewals()
        asked = server.ledger.service_requests
        assert asked
        assert interface(aged, "image_inference", **image())[0].url
        clock.now += DAY - 1
        assert aged.models.get(KLEIN).air == KLEIN
        wait_for_renewals()
        assert server.ledger.service_requests == asked
        clock.now += 2
        assert aged.models.list(q="klein")
        wait_for_renewals()
        assert server.ledger.service_requests > asked
    assert caplog.records == []


def test_catalogue_that_another_process_refreshed_is_read_and_not_fetched(
    aged: Runware, clock: SimpleNamespace, server: LocalServer
) -> None:
    aged.models.get(KLEIN)
    wait_for_renewals()
    asked = server.ledger.service_requests
    (saved,) = cache_folder().glob("models-*.json")
    clock.now += 2 * DAY
    content = json.loads(saved.read_text())
    content["registry"]["models"]["acme:new@1"] = {"taskType": "imageInference", "id": "acme-new-1"}
    saved.write_text(json.dumps({**content, "at": content["at"] + 2 * DAY - 1}))
    aged.models.list()
    wait_for_renewals()
    assert aged.models.get("acme-new-1").air == "acme:new@1"
    assert server.ledger.service_requests == asked


def test_catalogue_is_not_refreshed_without_the_option(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "time", SimpleNamespace(time=lambda: 1e12))
    with Runware(server.api_key, url=server.url) as client:
        assert client.run(image())[0].url
        assert client.models.list()
    assert server.ledger.service_requests == 0


@pytest.mark.parametrize("form", ["stall", "drip", "html", "nonsense", "cut", "error", "refused"])
def test_failed_refresh_in_the_background_costs_a_log_line_and_no_call(
    aged: Runware, server: LocalServer, form: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "REFRESH_TIMEOUT", LIMIT if form in ("stall", "drip") else 20.0)
    if form == "refused":
        monkeypatch.setattr(Options, "service_url", lambda *_: f"http://127.0.0.1:{refusing_port()}")
    else:
        server.play(f"X25:form={form}")
    with caplog.at_level(logging.DEBUG, "runware.models"):
        for _ in range(3):
            assert aged.run(image())[0].url
        wait_for_renewals()
        assert aged.run(image())[0].url
        wait_for_renewals()
    (record,) = [record for record in caplog.records if record.name == "runware.models"]
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("the catalogue of models was not refreshed, and stays as it is: ")
    assert aged.models.get(KLEIN).air == KLEIN


def test_stalling_refresh_ends_when_the_client_is_closed(
    aged: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "REFRESH_TIMEOUT", 600.0)
    server.play("X25:form=stall")
    with caplog.at_level(logging.DEBUG, "runware.models"):
        aged.models.get(KLEIN)
        until(lambda: server.ledger.service_requests)
        aged.close()
        wait_for_renewals()
    assert caplog.records == []


def test_refresh_in_the_background_starts_once_for_many_threads(aged: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    catalogue = aged._core.knowledge.catalogue
    monkeypatch.setattr(catalogue, "_renew", lambda: started.append(1))
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait(20.0)
        catalogue.get(KLEIN)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    wait_for_renewals()
    assert started == [1]


def test_catalogue_works_where_no_thread_can_start(
    aged: Runware, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with caplog.at_level(logging.INFO, "runware.models"):
        assert aged.models.get(KLEIN).air == KLEIN
    assert "can't start new thread" in caplog.text


def test_time_in_the_future_does_not_stop_refreshes(aged: Runware, clock: SimpleNamespace, server: LocalServer) -> None:
    catalogue = aged._core.knowledge.catalogue
    catalogue._cache.write({"at": clock.now + 1000 * DAY})
    catalogue.get(KLEIN)
    wait_for_renewals()
    assert server.ledger.service_requests


def test_catalogue_works_where_a_fork_left_the_lock_of_renewals_taken(aged: Runware, server: LocalServer) -> None:
    catalogue = aged._core.knowledge.catalogue
    with catalogue._renewing:
        assert catalogue.get(KLEIN) is not None
        assert aged.run(image())[0].url
    assert server.ledger.service_requests == 0


def test_option_travels_with_a_pickled_client(aged: Runware, server: LocalServer, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
    again = pickle.loads(pickle.dumps(aged))
    assert again._core.options.models_max_age == DAY


def test_checks_beside_refreshes_are_right_with_each_catalogue() -> None:
    client = made_up(["async", "sync"], 1.0)
    checker, catalogue = client._core.knowledge.checker, client._core.knowledge.catalogue
    task = {"taskType": "imageInference", "model": "acme:1@1", "deliveryMethod": "sync"}
    schemas = [
        {"type": "object", "properties": {"deliveryMethod": {"type": "string", "enum": methods}}}
        for methods in (["async"], ["async", "sync"])
    ]
    stop, failed = threading.Event(), []

    def check() -> None:
        try:
            while not stop.is_set():
                checker.check(dict(task))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=check) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(200):
            catalogue._keep({"schemas": {"acme:1@1": schemas[number % 2]}})
            expected = number % 2 == 0
            assert checker.check(dict(task)) == Route(expected, 1.0)
            assert checker.check(dict(task)) == Route(expected, 1.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20.0)
    assert failed == []


@pytest.mark.parametrize("wrong", [0, -1, True, "1 d", 86_400_000.0])
def test_models_max_age_is_a_number_of_seconds(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="models_max_age") as failure:
        Runware("rw-test-key", models_max_age=wrong)
    assert failure.value.parameter == "models_max_age"


# ---------------------------------------------------------------------- what is kept


def test_refresh_keeps_a_schema_that_was_fetched_meanwhile(
    rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = rw._core.knowledge.catalogue
    models_of = Services.models

    def slow(self: Services, **filters: Any) -> Iterator[dict[str, Any]]:
        catalogue.fetch_schema(catalogue.get(KLEIN), 20.0)  # type: ignore[arg-type]
        return models_of(self, **filters)

    monkeypatch.setattr(Services, "models", slow)
    rw.models.refresh(20.0)
    assert list(json.loads(catalogue._cache._path().read_text())["schemas"]) == [KLEIN]


def test_refresh_fetches_kept_schemas_again_when_the_registry_has_changed(rw: Runware, server: LocalServer) -> None:
    catalogue = rw._core.knowledge.catalogue
    catalogue._keep({"etag": "old", "schemas": {KLEIN: {"properties": {"width": {"maximum": 1}}}}})
    assert rw.check(image())
    rw.models.refresh(20.0)
    assert rw.check(image()) == []


@pytest.mark.parametrize("broken", [False, True])
def test_schema_is_kept_beside_what_another_process_has_saved(server: LocalServer, broken: bool) -> None:
    first, second = Catalogue(options(server.url)), Catalogue(options(server.url))
    klein = first.get(KLEIN)
    assert klein is not None
    second.refresh(20.0)
    path = second._cache._path()
    saved = json.loads(path.read_text())
    saved["schemas"] = {DEV: 5 if broken else {"properties": {}}}
    path.write_text(json.dumps(saved))
    first.fetch_schema(klein, 20.0)
    kept = json.loads(path.read_text())
    assert sorted(kept["schemas"]) == ([KLEIN] if broken else [DEV, KLEIN])
    assert [kept.get(name) for name in ("at", "etag", "records")] == (
        [None] * 3 if broken else [saved[name] for name in ("at", "etag", "records")]
    )


def test_cache_beside_an_older_snapshot_is_not_used(server: LocalServer) -> None:
    wrong = {KLEIN: {"properties": {"width": {"maximum": 1}}}}
    for date, count in (("2020-01-01", 0), (bundled_snapshot().date, 1)):
        Catalogue(options(server.url))._cache.write({"schemas": wrong, "snapshot": date})
        found = Catalogue(options(server.url)).get(KLEIN)
        assert found is not None
        assert len(found.check(positive_prompt="x y", width=512, height=512)) == count


# ---------------------------------------------------------------------- checks


def test_all_problems_are_raised_before_anything_is_sent(
    strict: Runware, server: LocalServer, interface: Interface
) -> None:
    with pytest.raises(ValidationError) as failure:
        interface(strict, "image_inference", **image(width=1000, cfg_scale=0.5))
    error = failure.value
    assert [problem.parameter for problem in error.problems] == ["width", "cfg_scale"]
    assert error.parameter == ["width", "cfg_scale"]
    assert "Did you mean 1008?" in error.message
    assert (error.minimum, error.maximum) == (128, 2048)
    assert error.documentation == "https://runware.ai/docs/models/bfl-flux-2-klein-9b"
    assert server.ledger.tasks("imageInference") == []


def test_raw_tasks_and_map_are_checked_too(strict: Runware, server: LocalServer) -> None:
    wrong = image(width=1000)
    for run in (strict.run, strict.submit.run, lambda task: asyncio.run(strict.aio.run(task))):
        with pytest.raises(ValidationError, match="width must be a multiple of 16"):
            run(wrong)
    outcomes = list(strict.map([wrong, image(width=512)], return_exceptions=True))
    assert isinstance(outcomes[0], ValidationError)
    assert outcomes[1][0].url

    async def main() -> list[Any]:
        return [one async for one in strict.aio.map([wrong, image(width=512)], return_exceptions=True)]

    assert [type(one) for one in asyncio.run(main())] == [type(one) for one in outcomes]
    assert [task["width"] for task in server.ledger.tasks("imageInference")] == [512, 512]


def test_warning_is_logged_once_for_a_parameter_and_stops_nothing(
    rw: Runware, server: LocalServer, interface: Interface, caplog: pytest.LogCaptureFixture
) -> None:
    interface(rw, "image_inference", **image(extra={"num_inference_steps": 4}))
    for steps in (51, 52):
        interface(rw, "image_inference", **image(steps=steps))
    shown = [record.getMessage() for record in caplog.records if record.name == "runware.check"]
    assert len(shown) == 2
    assert shown[0] == "num_inference_steps is not a parameter of FLUX.2 [klein] 9B; did you mean steps?"
    assert shown[1].startswith("steps must be")
    assert [task.get("steps") for task in server.ledger.tasks("imageInference")] == [None, 51, 52]


def test_checks_that_are_off_look_at_nothing(server: LocalServer, caplog: pytest.LogCaptureFixture) -> None:
    with Runware(server.api_key, url=server.url, check="off") as client:
        client.image_inference(model=KLEIN, positive_prompt="x y", width=1024, height=1024, cfg_scale=0.5)
        client.run({"taskType": "imageInference", "model": DEV, "positivePrompt": "x y", "width": 512, "height": 512})
        assert client._core.knowledge._checker is None
    assert caplog.records == []


def test_community_model_is_not_checked(strict: Runware) -> None:
    assert strict.image_inference(model="civitai:1@1", positive_prompt="x y", width=512, height=512)[0].url
    with pytest.raises(NotFoundError, match="community"):
        strict.check({"model": "civitai:1@1", "taskType": "imageInference"})
    with pytest.raises(NotFoundError, match="names no model"):
        strict.check({"taskType": "caption"})


def test_unknown_model_without_a_task_type_is_not_found(rw: Runware) -> None:
    with pytest.raises(NotFoundError, match="Did you mean runware:101@1"):
        rw.check(model="bfl-flux-1-devv", positive_prompt="a red kite")
    with pytest.raises(NotFoundError, match=r"rw\.models\.search"):
        rw.estimate(model="civitai:1@1")
    with pytest.raises(ValidationError, match=r"needs a task_type, .* since its model is not known") as failure:
        rw.estimate(model="civitai:1@1", exact=True)
    assert failure.value.parameter == "task_type"
    for empty in ({}, {"positive_prompt": "a red kite"}):
        for run in (rw.run, rw.submit.run, rw.check, rw.estimate):
            with pytest.raises(ValidationError, match=r"needs a task_type, .*, or a model"):
                run(empty)


def test_flat_media_are_answered_with_inputs(rw: Runware) -> None:
    (problem, _) = rw.check(runware.Caption(input_image="https://example.com/a.png", model="runware:150@2"))
    assert str(problem) == ("input_image is not a parameter of Meta Llava 1 6 Mistral 7B; media go into inputs={...}.")


def test_check_and_estimate_send_nothing(rw: Runware, server: LocalServer) -> None:
    assert [problem.suggestion for problem in rw.check(image(width=1000))] == [1008]
    assert rw.aio.check(image()) == []
    assert rw.estimate(image()).basis == "measured"
    assert asyncio.run(rw.aio.estimate(image())) == rw.estimate(image())
    assert server.ledger.connections == server.ledger.http_requests == 0


def test_check_and_estimate_take_parameters_by_name(rw: Runware) -> None:
    request = image(width=1000)
    assert rw.check(**request) == rw.check({"model": KLEIN}, **{**request, "width": 1000}) == rw.check(request)
    assert rw.check(runware.ImageInference(**request)) == rw.check(request) == rw.aio.check(**request)
    assert rw.estimate(**image()) == rw.estimate(image()) == asyncio.run(rw.aio.estimate(**image()))
    assert rw.estimate(exact=True, **image()).basis == "dry run"
    with pytest.raises(TypeError, match="put 'steps' into it"):
        rw.check(runware.ImageInference(**request), steps=4)


def test_refused_model_is_answered_with_those_that_may_have_been_meant(rw: Runware, interface: Interface) -> None:
    with pytest.raises(ValidationError, match=r"Did you mean runware:101@1 \(FLUX\.1 \[dev\]\)\?") as failure:
        interface(rw, "image_inference", **image(model="bfl-flux-1-devv"))
    assert failure.value.parameter == "model"
    assert "Did you mean" not in str(failure.value.raw)
    with pytest.raises(ValidationError, match="There is no model") as failure:
        interface(rw, "image_inference", **image(model="no-such-model"))
    assert "Did you mean" not in failure.value.message


def test_exact_estimate_is_the_dry_run_of_the_server(rw: Runware, server: LocalServer) -> None:
    found = rw.estimate(image(number_results=2), exact=True)
    assert (found.basis, found.exact, found.minimum == found.maximum) == ("dry run", True, True)
    assert found.cost == pytest.approx(sum(one.cost for one in rw.run(image(number_results=2, includeCost=True))))
    assert asyncio.run(rw.aio.estimate(image(), exact=True)).cost == pytest.approx(found.cost / 2)
    unknown = rw.estimate({**image(model="civitai:1@1"), "taskType": "imageInference"}, exact=True)
    assert (unknown.basis, unknown.seconds) == ("dry run", None)
    assert (server.ledger.dry_runs, server.ledger.executed) == (3, 1)


def test_exact_estimate_raises_what_the_server_refuses(rw: Runware, server: LocalServer) -> None:
    with pytest.raises(ValidationError, match="positivePrompt"):
        rw.estimate(image(positive_prompt=""), exact=True)
    with pytest.raises(runware.AuthenticationError):
        Runware("rw-wrong-key", url=server.url).estimate(image(), exact=True)


def test_exact_estimate_takes_the_timeout_at_most() -> None:
    def stall(sock: Any) -> None:
        while sock.recv(65536):
            pass

    with listening(stall) as port, pytest.raises(ConnectionFailedError, match=r"did not answer within 0\.4 s"):
        Runware("rw-test-key", url=f"ws://127.0.0.1:{port}/v1", timeout=LIMIT).estimate(image(), exact=True)


# ---------------------------------------------------------------------- closed clients


ASKING: dict[str, Callable[[Runware], object]] = {
    "estimate": lambda rw: rw.estimate(image(), exact=True),
    "estimate in a loop": lambda rw: asyncio.run(rw.aio.estimate(image(), exact=True)),
    "refresh": lambda rw: rw.models.refresh(GUARD),
    "refresh in a loop": lambda rw: asyncio.run(rw.aio.models.refresh(GUARD)),
    "schema": lambda rw: rw.models.get(KLEIN, schema=True, timeout=GUARD),
    "examples": lambda rw: rw.models.get(KLEIN, examples=True, timeout=GUARD),
    "creators": lambda rw: rw.models.creators(GUARD),
}


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_closed_client_ends_what_is_asked_about_models(ask: Callable[[Runware], object], scheme: str) -> None:
    asked = threading.Event()

    def stall(sock: Any) -> None:
        while sock.recv(65536):  # the request, or the beginning of the TLS handshake
            asked.set()

    with listening(stall) as port, ThreadPoolExecutor(1) as pool:
        rw = Runware("rw-test-key", url=f"{scheme}://127.0.0.1:{port}/v1", timeout=GUARD)
        answer = pool.submit(ask, rw)
        assert asked.wait(20.0)
        rw.close()
        with pytest.raises(ClientClosedError, match="The client is closed"):
            answer.result(20.0)
    with pytest.raises(ClientClosedError):
        ask(rw)


def test_closed_client_ends_a_refresh_that_fetches_schemas_again(rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
    rw._core.knowledge.catalogue._keep({"etag": "old", "schemas": {KLEIN: {"properties": {}}}})
    fetch = Services.schema

    def close_first(services: Services, name: str) -> Any:
        rw.close()
        return fetch(services, name)

    monkeypatch.setattr(Services, "schema", close_first)
    with pytest.raises(ClientClosedError):
        rw.models.refresh(20.0)


def test_closed_client_still_knows_its_models(rw: Runware) -> None:
    rw.close()
    assert rw.models.get(KLEIN).air == KLEIN
    assert rw.estimate(image()).cost


# ---------------------------------------------------------------------- names


def test_slug_stands_for_the_air(rw: Runware, server: LocalServer, interface: Interface) -> None:
    lora = [{"model": "bfl-flux-1-dev", "weight": 1.0}]
    interface(rw, "image_inference", model="bfl-flux-1-dev", positive_prompt="x y", width=512, height=512, lora=lora)
    (sent,) = server.ledger.tasks("imageInference")
    assert sent["model"] == DEV
    assert sent["lora"] == lora


def test_model_tells_the_task_type_and_python_names_are_taken(rw: Runware, server: LocalServer) -> None:
    rw.run(image(model="bfl-flux-2-klein-9b", cfg_scale=3.5, number_results=2))
    (sent,) = server.ledger.tasks("imageInference")
    expected = {"taskType": "imageInference", "model": KLEIN, "positivePrompt": "a lighthouse", "CFGScale": 3.5}
    assert expected.items() <= sent.items()
    assert sent["numberResults"] == 2


def test_task_without_type_of_an_unknown_model_is_explained(rw: Runware, server: LocalServer) -> None:
    with pytest.raises(ValidationError, match=r"needs a task_type.*runware:101@1") as failure:
        rw.run({"model": "runware:101@", "positive_prompt": "x y"})
    assert failure.value.parameter == "task_type"
    assert server.ledger.received == []


def planned(task: Any, **given: Any) -> dict[str, Any]:
    """Return the request that a client makes of a task."""
    client = Runware("rw-test-key", **given)
    planner = Planner(client._core.options, client._core.knowledge)
    (made,) = json.loads(planner.request(client._core.task_of(task)).text)
    return made


@pytest.mark.parametrize("check", ["off", "warn"])
def test_names_inside_settings_become_those_of_the_api(check: Any) -> None:
    text = runware.TextInference(
        model="minimax:m2.7@0",
        messages=[{"role": "user", "content": "x"}],
        settings={"frequency_penalty": 1, "deep": [{"inner_name": {"more_so": 1}}]},
        tools=[{"name": "f", "parameters": {"my_name": 1}}],
        json_schema={"properties": {"first_name": {}}},
        provider_settings={"some": {"x_y": True}},
        extra={"custom": {"my_key": 1}},
    )
    made = planned(text, check=check)
    assert made["settings"] == {"frequencyPenalty": 1, "deep": [{"innerName": {"moreSo": 1}}]}
    assert made["providerSettings"] == {"some": {"xY": True}}
    assert made["tools"] == [{"name": "f", "parameters": {"my_name": 1}}]
    assert made["jsonSchema"] == {"properties": {"first_name": {}}}
    assert made["custom"] == {"my_key": 1}


def test_names_that_a_schema_knows_are_replaced_and_others_are_not() -> None:
    video = runware.VideoInference(
        model=KLING,
        positive_prompt="x y",
        provider_settings={"klingai": {"keep_original_sound": True, "generate_audio": True}},
        extra={"settings": {"my_key": 1}},
    )
    made = planned(video)
    assert made["providerSettings"] == {"klingai": {"keepOriginalSound": True, "generate_audio": True}}
    assert made["settings"] == {"my_key": 1}


def test_name_given_in_both_spellings_is_not_overwritten() -> None:
    made = planned({"taskType": "textInference", "model": "a:1@1", "settings": {"max_tokens": 1, "maxTokens": 2}})
    assert made["settings"] == {"max_tokens": 1, "maxTokens": 2}


def test_raw_task_of_a_community_model_may_have_python_names() -> None:
    task = {"task_type": "imageInference", "model": "civitai:1@1", "positive_prompt": "x y", "lora": [{"some_name": 1}]}
    made = planned(task)
    assert {name: made[name] for name in made if name != "taskUUID"} == {
        "taskType": "imageInference",
        "model": "civitai:1@1",
        "positivePrompt": "x y",
        "lora": [{"someName": 1}],
    }


@pytest.mark.parametrize(
    ("given", "parameter", "words"),
    [
        ({"conditioning_scale": 0.8}, "conditioning_scale", "of FLUX.2 [klein] 9B. API parameters have no underscores"),
        ({"num_inference_steps": 4}, "num_inference_steps", "; did you mean steps?"),
        ({"lora": [{"model": "a:1@1", "conditioning_scale": 0.8}]}, "lora[0].conditioning_scale", "is not a parameter"),
        ({"settings": {"conditioning_scale": 0.8}}, None, ""),
        ({"conditioningScale": 0.8}, None, ""),
    ],
)
def test_names_that_no_api_parameter_has_are_refused_in_a_dict(
    server: LocalServer, given: dict[str, Any], parameter: str | None, words: str
) -> None:
    with Runware(server.api_key, url=server.url, check="off") as rw:
        server.ledger.reset()
        if parameter is None:
            rw.run(image(**given))
            return
        with pytest.raises(ValidationError) as failure:
            rw.run(image(**given))
        assert failure.value.parameter == parameter
        assert words in failure.value.message
        assert server.ledger.received == []
        rw.check(image(**given))  # which returns problems, and raises for none of them


def test_names_that_no_api_parameter_has_are_refused_in_a_dict_in_place_of_an_object(server: LocalServer) -> None:
    with Runware(server.api_key, url=server.url, check="off") as rw:
        server.ledger.reset()
        net = {"model": "civitai:1@1", "guide_image": "https://example.com/a.png", "conditioning_scale": 0.8}
        with pytest.raises(ValidationError) as failure:
            rw.image_inference(**image(model="civitai:9@9"), control_net=[net])
        assert failure.value.parameter == "control_net[0].conditioning_scale"
        assert server.ledger.received == []
        rw.image_inference(**image(), extra={"conditioning_scale": 0.8, "deep": {"a_b": 1}})


# ---------------------------------------------------------------------- refusals of the server


def refuse(server: LocalServer, error: dict[str, Any]) -> None:
    def script(task: dict[str, Any]) -> list[Any] | None:
        return [{"errors": [{**error, "taskUUID": task["taskUUID"]}]}] if "taskUUID" in task else None

    server.script(script)


def test_refusal_of_the_server_is_completed(rw: Runware, server: LocalServer, interface: Interface) -> None:
    refused = {"code": "invalidWidth", "message": "It is refused", "parameter": "width", "taskType": "imageInference"}
    refuse(server, refused)
    with pytest.raises(ValidationError) as failure:
        interface(rw, "image_inference", **image(width=1000))
    error = failure.value
    assert error.message == "It is refused. It takes a multiple of 16 between 128 and 2048. Did you mean 1008?"
    assert str(error).startswith(error.message)
    assert (error.parameter, error.minimum, error.maximum) == ("width", 128, 2048)
    assert error.documentation == "https://runware.ai/docs/models/bfl-flux-2-klein-9b"
    assert refused.items() <= error.raw.items()


@pytest.mark.parametrize(
    ("parameter", "python", "task", "message"),
    [
        ("CFGScale", "cfg_scale", {}, "No. It takes a number between 1 and 20."),
        ("acceleration", "acceleration", {}, "No. It takes 'none', 'low', 'medium' or 'high'."),
        ("lora.0.weight", "lora[0].weight", {}, None),
        ("lora[0].weight", "lora[0].weight", {}, None),
        (
            "numInferenceSteps",
            "num_inference_steps",
            {"numInferenceSteps": 4},
            "No. num_inference_steps is not a parameter of FLUX.2 [klein] 9B; did you mean steps?",
        ),
        ("neverHeardOf", "never_heard_of", {}, "No."),
        (["width", "height"], ["width", "height"], {}, None),
    ],
)
def test_refused_parameters_have_python_names(
    rw: Runware, server: LocalServer, parameter: Any, python: Any, task: dict[str, Any], message: str | None
) -> None:
    refused = {"code": "invalidParameter", "message": "No.", "parameter": parameter}
    refuse(server, refused)
    with pytest.raises(ValidationError) as failure:
        rw.run(image(**task))
    assert failure.value.parameter == python
    assert failure.value.message.startswith("No.")
    assert message is None or failure.value.message == message


def test_refusal_is_not_said_twice(rw: Runware, server: LocalServer) -> None:
    server.switch(models="strict")
    with pytest.raises(ValidationError) as failure:
        rw.run(image(num_inference_steps=4))
    assert failure.value.message == "num_inference_steps is not a parameter of FLUX.2 [klein] 9B; did you mean steps?"


def test_refusal_is_completed_once_and_not_on_the_io_thread(
    rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runware.knowledge import Knowledge

    threads: list[str] = []
    whole = Knowledge.complete

    def complete(self: Knowledge, *args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return whole(self, *args)

    monkeypatch.setattr(Knowledge, "complete", complete)
    job = rw.submit.image_inference(**image(positive_prompt="[error:invalidWidth] x y"))
    found = [job.exception(20) for _ in range(3)]
    assert len(threads) <= 1
    assert threads in ([], [threading.current_thread().name])
    assert found[0] is not found[1]


def test_callbacks_get_the_completed_refusal(rw: Runware, server: LocalServer, interface: Interface) -> None:
    refuse(server, {"code": "invalidWidth", "message": "No.", "parameter": "width"})
    got: list[Any] = []
    called = threading.Event()

    def on_partial(_: Any, error: RunwareError | None) -> None:
        got.append(error)
        called.set()

    with pytest.raises(ValidationError):
        interface(rw, "image_inference", **image(), on_partial=on_partial)
    assert called.wait(20)
    assert [error.message for error in got] == ["No. It takes a multiple of 16 between 128 and 2048."]


def test_refusal_of_an_unknown_model_stays_as_it_is(rw: Runware, server: LocalServer) -> None:
    refused = {"code": "invalidWidth", "message": "No.", "parameter": "CFGScale"}
    refuse(server, refused)
    with pytest.raises(ValidationError) as failure:
        rw.image_inference(model="civitai:1@1", positive_prompt="x y", width=512, height=512)
    assert (failure.value.message, failure.value.parameter) == ("No.", "cfg_scale")


# ---------------------------------------------------------------------- delivery and deadline


def made_up(delivery: list[str], seconds: float) -> Runware:
    """Return a client that knows one model, with these delivery methods and this typical time."""
    header = {
        "date": "2026-11-28", "version": "1", "enums": {}, "architectures": {}, "models": [["acme:1@1", "acme-1", "A"]],
    }  # fmt: skip
    record = {
        "air": "acme:1@1",
        "slug": "acme-1",
        "name": "Acme",
        "taskType": "imageInference",
        "pricingMeasured": [{"configuration": "any", "price": 0.1, "latencyMs": seconds * 1000}],
        "schema": {"type": "object", "properties": {"deliveryMethod": {"type": "string", "enum": delivery}}},
    }
    client = Runware("rw-test-key")
    snapshot = Snapshot([json.dumps(header), json.dumps(record)])
    client._core.knowledge._catalogue = Catalogue(client._core.options, snapshot)
    return client


def plan(client: Runware, **more: Any) -> Any:
    planner = Planner(client._core.options, client._core.knowledge)
    return planner.request(as_task({"taskType": "imageInference", "model": "acme:1@1", **more}))


def test_model_that_is_only_asynchronous_is_asked_so() -> None:
    made = plan(made_up(["async"], 1.0))
    assert json.loads(made.text)[0]["deliveryMethod"] == "async"
    assert made.timeout == made.long_timeout == 1200.0
    asked = plan(made_up(["async"], 1.0), deliveryMethod="sync")  # as the caller says
    assert json.loads(asked.text)[0]["deliveryMethod"] == "sync"


@pytest.mark.parametrize(("seconds", "timeout"), [(1.0, 60.0), (29.0, 60.0), (31.0, 1200.0)])
def test_slow_models_have_the_long_deadline(seconds: float, timeout: float) -> None:
    made = plan(made_up(["sync", "async"], seconds))
    assert made.timeout == timeout
    assert "deliveryMethod" not in json.loads(made.text)[0]


def test_timeouts_of_the_caller_hold_for_slow_models() -> None:
    client = made_up(["sync"], 100.0)
    planner = Planner(client._core.options, client._core.knowledge)
    task = as_task({"taskType": "imageInference", "model": "acme:1@1"})
    assert planner.request(runware.ImageInference(model="acme:1@1", positive_prompt="x y", timeout=5.0)).timeout == 5.0
    assert planner.request(task).timeout == 1200.0
    chosen = options(timeout=10.0)
    assert Planner(chosen, client._core.knowledge).request(task).timeout == 10.0


def test_asynchronous_model_is_polled(server: LocalServer, rw: Runware) -> None:
    air = next(
        one.air for one in bundled_snapshot() if one.task_type == "upscale" and one.delivery_methods == ("async",)
    )
    job = rw.submit.run({"taskType": "upscale", "model": air, "inputs": {"video": "https://example.com/a.mp4"}})
    assert job.result(20)
    assert server.ledger.tasks("upscale")[0]["deliveryMethod"] == "async"
    assert server.ledger.polls(job.task_uuid)


# ---------------------------------------------------------------------- a model in a terminal and a notebook


def test_model_describes_itself_in_a_terminal() -> None:
    shown = str(models.get(KLING))
    assert "Kling VIDEO 2.6 Pro  (klingai:kling-video@2.6-pro)" in shown
    assert "$0.07 per second (without audio)" in shown
    assert "https://runware.ai/docs/models/klingai-video-2-6-pro" in shown
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_model_in_a_notebook_escapes_what_the_services_say() -> None:
    evil = "<script>alert(1)</script>"
    record = {
        "air": f"acme:{evil}@1", "slug": f"s'\"{evil}", "name": evil, "creator": evil, "capabilities": [evil],
        "notes": [evil], "pricingExamples": [{"configuration": evil, "price": 1.0}],
        "pricingRates": [{"amount": 1, "unit": evil, "label": evil}],
        "schema": {"properties": {evil: {"enum": [evil], "default": evil}}},
    }  # fmt: skip
    shown = Model.of(record)._repr_html_()
    assert "<script" not in shown
    assert html.escape(evil) in shown
    assert "'\"" not in shown


def test_log_of_checks_has_no_prompt(rw: Runware, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        rw.check(image(positive_prompt="my secret lighthouse" * 1000))
        rw.submit.run(image(positive_prompt="my secret lighthouse" * 1000))
    assert "my secret lighthouse" not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("runware.check")
    )


def test_remembered_request_is_checked_where_it_differs(strict: Runware) -> None:
    good = image(model=DEV, seed=1, steps=1)
    assert strict.run(good)
    assert strict.run({**good, "seed": 2})
    for wrong in ({"seed": -1}, {"seed": "x"}, {"positive_prompt": "x"}, {"steps": True}, {"seed": 1.5}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            strict.run({**good, **wrong})
    plain = next(
        one.air
        for one in bundled_snapshot()
        if one.task_type == "imageInference" and "unknown" in str(one.check(negative_prompt="x y", unknown=1))
        if "negative_prompt" in str(one.check(negative_prompt="x y"))
    )
    checker = strict._core.knowledge.checker
    task = {"taskType": "imageInference", "model": plain, "positivePrompt": "x y", "width": 1024, "height": 1024}
    checker.check(dict(task))
    assert checker._memory.good
    with pytest.raises(ValidationError, match="negative_prompt is not a parameter"):
        checker.check({**task, "negativePrompt": "fog"})


@pytest.mark.parametrize("flat", [False, True])
def test_remembered_request_equals_only_requests_with_the_same_types(strict: Runware, flat: bool) -> None:
    checker = strict._core.knowledge.checker
    task = {"taskType": "imageInference", "model": DEV, "positivePrompt": "x y", "width": 512, "height": 512}
    checker.check({**task, "steps": 1}, flat=flat)
    assert len(checker._memory.good) == 1
    checker.check({"steps": 1, **task}, flat=flat)
    assert len(checker._memory.good) == 2  # with the names in another order
    for wrong in (True, 1.5, "1", None):
        with pytest.raises(ValidationError, match="steps"):
            checker.check({**task, "steps": wrong}, flat=flat)
    with pytest.raises(ValidationError, match="positive_prompt"):
        checker.check({**task, "steps": 1, "positivePrompt": "x" * 4000}, flat=flat)


def test_flat_requests_with_long_texts_are_not_kept(strict: Runware) -> None:
    checker = strict._core.knowledge.checker
    task = {"taskType": "imageInference", "model": DEV, "positivePrompt": "x y" * 500, "width": 512, "height": 512}
    checker.check(dict(task), flat=True)
    assert len(checker._memory.good) == 1
    checker.check({**task, "webhookURL": "https://example.com/" + "a" * 1000}, flat=True)
    assert len(checker._memory.good) == 1


def test_flat_request_with_nothing_but_its_model_is_checked(strict: Runware) -> None:
    checker = strict._core.knowledge.checker
    for _ in range(2):
        assert checker.check({"model": DEV}, flat=True) is None  # without a task type, it is of no model
        with pytest.raises(ValidationError):
            checker.check({"taskType": "imageInference", "model": DEV, "steps": 0}, flat=True)


def test_requests_with_media_in_them_are_not_kept(rw: Runware) -> None:
    checker = rw._core.knowledge.checker
    task = {"taskType": "imageInference", "model": DEV, "positivePrompt": "x y", "width": 512, "height": 512}
    checker.check({**task, "seedImage": "data:image/png;base64," + "A" * 1000, "strength": 0.5})
    checker.check({**task, "inputs": {"seedImage": "data:image/png;base64," + "A" * 1000}})
    assert checker._memory.good == {}
    checker.check({**task, "lora": [{"model": "civitai:1@1", "weight": 1.0}]})
    assert len(checker._memory.good) == 1


def test_conversations_are_checked_and_not_kept(strict: Runware) -> None:
    checker = strict._core.knowledge.checker
    task: dict[str, Any] = {"taskType": "textInference", "model": "google:gemma@4-31b"}
    for number in range(3):
        checker.check({**task, "messages": [{"role": "user", "content": f"question {number}"}]})
    assert checker._memory.good == {}
    with pytest.raises(ValidationError, match="messages"):
        checker.check({**task, "messages": "question"})


def test_remembered_request_is_checked_again_after_a_refresh() -> None:
    client = made_up(["async", "sync"], 1.0)
    checker, catalogue = client._core.knowledge.checker, client._core.knowledge.catalogue
    task = {"taskType": "imageInference", "model": "acme:1@1", "deliveryMethod": "sync"}
    assert checker.check(dict(task)) == Route(False, 1.0)
    schema = {"type": "object", "properties": {"deliveryMethod": {"type": "string", "enum": ["async"]}}}
    catalogue._keep({"schemas": {"acme:1@1": schema}})
    assert checker.check(dict(task)) == Route(True, 1.0)
    assert checker._warned == {("Acme", "delivery_method")}
