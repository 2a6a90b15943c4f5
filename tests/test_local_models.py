"""The local server knows the models: its services, its checks by schema, its prices, and how its services fail."""

from __future__ import annotations

import asyncio
import json
import pathlib
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runware import Runware
from runware._support.api_names import python_name
from runware.errors import ConnectionFailedError, NotFoundError, ValidationError
from runware.local import LocalServer
from runware.local.model_check import SchemaValidators, create_validator
from runware.local.model_records import ModelRecords
from runware.local.model_words import python_path
from runware.models.access import Catalogue, Models
from runware.models.catalogue import Model, bundled_snapshot
from runware.models.estimates import estimate
from runware.models.schema import matches
from runware.models.services import Cache
from runware.options import read_options
from tests import model_requests
from tests.test_local_http import post
from tests.test_local_server import Peer, errors, new_uuid

KLEIN = "runware:400@2"
DEV = "runware:101@1"
KLING = "klingai:kling-video@2.6-pro"
SIZED = "bfl:flux@3-image"

RECORDS = ModelRecords()
VALIDATORS = SchemaValidators()


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started
        assert not started.ledger.errors


@pytest.fixture
def models(server: LocalServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Models:
    """The catalogue of a client of the local server, with a cache of its own."""
    monkeypatch.setenv("RUNWARE_CACHE", str(tmp_path))
    return Models(Catalogue(read_options({"api_key": "rw-test-key", "url": server.url})))


def get(server: LocalServer, path: str, **headers: str) -> tuple[int, Any, Any]:
    """GET a path without a key; return the status, the headers and the JSON."""
    request = urllib.request.Request(
        server.http_url + path, headers={n.replace("_", "-"): v for n, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.headers, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
            return error.code, error.headers, json.loads(body) if body.startswith(b"{") else body


def known(air: str) -> Model:
    found = bundled_snapshot().get(air)
    assert found is not None
    return found


def image(model: str, **more: Any) -> dict[str, Any]:
    return {
        "taskType": "imageInference",
        "taskUUID": new_uuid(),
        "model": model,
        "positivePrompt": "a lighthouse",
        "width": 1024,
        "height": 1024,
        **more,
    }


def sent(model: str) -> dict[str, Any]:
    """Return the parameters of an image task for `Peer.ask`."""
    return {"model": model, "width": 1024, "height": 1024}


class TestContentService:
    def test_model_is_found_by_slug_and_by_air_in_both_spellings(self, server: LocalServer) -> None:
        found = [
            get(server, f"/models/{name}")[2] for name in ("bfl-flux-2-klein-9b", "runware%3A400%402", "runware:400@2")
        ]
        assert found[0] == found[1] == found[2]
        assert (found[0]["air"], found[0]["model"]) == (KLEIN, "bfl-flux-2-klein-9b")
        assert found[0]["creator"] == "black-forest-labs"
        assert found[0]["capabilities"] == ["io:text-to-image", "io:image-to-image", "op:edit", "form:checkpoint"]
        assert not {"slug", "schema", "limits"} & set(found[0])

    @pytest.mark.parametrize(
        "path",
        ["/models/no-such", "/models/no-such/pricing", "/models/bfl-flux-1-dev/no-such", "/creators/no", "/resolve/no"],
    )
    def test_unknown_name_gets_404(self, server: LocalServer, path: str) -> None:
        assert get(server, path)[0] == 404

    def test_model_has_pricing_guides_and_examples(self, server: LocalServer) -> None:
        pricing = get(server, "/models/klingai%3Akling-video%402.6-pro/pricing")[2]
        assert {rate["label"] for rate in pricing["pricingRates"]} == {"with audio", "without audio"}
        assert pricing["category"] == ["video"]
        assert get(server, "/models/bfl-flux-1-dev/guides")[2] == []
        (example,) = get(server, "/models/bfl-flux-1-dev/examples")[2]
        assert example["request"]["model"] == DEV
        assert get(server, "/models/bfl-flux-1-dev/examples?capability=io:text-to-3d")[2] == []

    def test_list_has_filters_and_orders(self, server: LocalServer) -> None:
        everything = get(server, "/models")[2]
        assert len(everything) == len(bundled_snapshot())
        for query, holds in {
            "category=video": lambda one: one["outputModality"] == "video",
            "creator=kling-ai": lambda one: one["air"].startswith("klingai:"),
            "capability=io:text-to-video": lambda one: "io:text-to-video" in one["capabilities"],
            "q=flux%20klein": lambda one: "klein" in (one["name"] + one["model"]).lower(),
            "status=deprecated": lambda one: one["status"] == "deprecated",
            "category=video&q=kling": lambda one: "kling" in one["air"],
        }.items():
            found = get(server, f"/models?{query}")[2]
            assert 0 < len(found) < len(everything), query
            assert all(map(holds, found)), query
        names = [one["name"].lower() for one in get(server, "/models?sort=name")[2]]
        assert names == sorted(names)
        assert [one["name"].lower() for one in get(server, "/models?sort=alpha&order=desc")[2]] == names[::-1]
        dates = [one.get("releasedAt", "") for one in get(server, "/models?sort=newest")[2]]
        assert dates == sorted(dates, reverse=True)

    def test_pages_together_are_the_list(self, server: LocalServer) -> None:
        everything, found, offset = get(server, "/models")[2], [], 0
        while True:
            page = get(server, f"/models?paginate=true&limit=100&offset={offset}")[2]
            assert (page["total"], page["limit"], page["offset"]) == (len(everything), 100, offset)
            found += page["items"]
            offset += 100
            if offset >= page["total"]:
                break
        assert found == everything

    def test_creators_collections_and_capabilities_are_listed(self, server: LocalServer) -> None:
        creators = get(server, "/creators")[2]
        one = next(one for one in creators if one["id"] == "kling-ai")
        assert {model["creator"] for model in one["models"]} == {"kling-ai"}
        assert get(server, "/creators/kling-ai")[2] == one
        assert {one["id"] for one in get(server, "/collections")[2]} >= {"image", "video", "text", "audio", "3d"}
        assert [one["id"] for one in get(server, "/collections?category=audio")[2]] == ["audio"]
        assert {"id": "io:text-to-image", "label": "Text to image"} in get(server, "/capabilities")[2]

    def test_no_foreign_page_may_read_it(self, server: LocalServer) -> None:
        assert get(server, "/models", Origin="https://example.com")[0] == 403

    def test_files_are_still_served_beside_it(self, server: LocalServer) -> None:
        [item] = post(server, [image(DEV)])[1]["data"]
        with urllib.request.urlopen(item["imageURL"]) as reply:
            assert reply.headers["Content-Type"] == "image/jpeg"
        assert server.ledger.service_requests == 0


class TestSchemaService:
    def test_registry_is_not_sent_again_for_its_etag(self, server: LocalServer) -> None:
        status, headers, registry = get(server, "/registry.json")
        assert (status, headers["Cache-Control"]) == (200, "max-age=300")
        assert registry["models"][DEV] == {"taskType": "imageInference", "id": "bfl-flux-1-dev"}
        assert registry["architectureTaskTypes"]["sdxl"] == "imageInference"
        assert registry["version"] == bundled_snapshot().version
        again = get(server, "/registry.json", If_None_Match=headers["ETag"])
        assert (again[0], again[1]["ETag"], again[2]) == (304, headers["ETag"], b"")
        assert get(server, "/registry.json", If_None_Match='"other"')[0] == 200

    def test_schema_of_a_model_is_served(self, server: LocalServer) -> None:
        found = get(server, "/resolve/runware%3A400%402")[2]
        assert found["responseSchema"] is None
        assert found["documentation"].endswith("/bfl-flux-2-klein-9b")
        assert found["requestSchema"]["properties"]["width"]["multipleOf"] == 16
        assert "$ref" not in json.dumps(found)
        assert get(server, "/resolve/bfl-flux-2-klein-9b")[2] == found

    def test_uploaded_model_has_the_schema_of_its_family(self, server: LocalServer) -> None:
        with Peer(server) as peer:
            upload = {"category": "checkpoint", "downloadURL": "https://example.com/a", "name": "Mine"}
            peer.ask("modelUpload", **upload, air="mine:1@1", architecture="sdxl")
            server.ledger.wait_for(lambda ledger: ledger.results >= 5)
        assert get(server, "/resolve/mine%3A1%401")[2]["requestSchema"] == RECORDS.families["sdxl"]


class TestClientOfTheServices:
    def test_refresh_keeps_what_the_services_say(self, server: LocalServer, models: Models) -> None:
        models.refresh()
        assert len(models.list()) == len(bundled_snapshot())
        other = Models(Catalogue(read_options({"api_key": "rw-test-key", "url": server.url})))
        assert other.get(KLEIN).capabilities == known(KLEIN).capabilities
        assert other.get(KLEIN).parameters == known(KLEIN).parameters
        requests = server.ledger.service_requests
        models.refresh()
        assert server.ledger.service_requests == 2 * requests

    def test_full_schema_and_examples_come_from_the_services(self, server: LocalServer, models: Models) -> None:
        model = models.get("bfl-flux-2-klein-9b", schema=True, examples=True)
        assert [one.name for one in model.parameters] == [one.name for one in known(KLEIN).parameters]
        assert model.check(width=1000, height=1024, positive_prompt="a lighthouse")[0].suggestion == 1008
        with Runware(server.api_key, url=server.url) as rw:
            assert len(model.examples[0].run(rw)) == 1
        assert "black-forest-labs" in [one["id"] for one in models.creators()]
        assert "video" in [one["id"] for one in models.collections()]

    @pytest.mark.parametrize("form", ["stall", "drip", "html", "nonsense", "cut", "huge", "error"])
    def test_failing_services_cost_at_most_the_time_limit(self, server: LocalServer, models: Models, form: str) -> None:
        models.refresh()
        before = Cache(read_options({"api_key": "rw-test-key", "url": server.url})).read()
        server.play("X25", form=form)
        limit = 0.3 if form in ("stall", "drip") else 20.0
        with pytest.raises(ConnectionFailedError):
            models.refresh(timeout=limit)
        assert models.get(KLEIN).name == "FLUX.2 [klein] 9B"
        assert Cache(read_options({"api_key": "rw-test-key", "url": server.url})).read() == before
        server.stop_faults()
        models.refresh()

    @pytest.mark.parametrize(
        "ask",
        [
            lambda rw: rw.models.get(KLEIN, schema=True, timeout=0.2),
            lambda rw: rw.models.get(KLEIN, examples=True, timeout=0.2),
            lambda rw: rw.models.creators(timeout=0.2),
            lambda rw: rw.models.collections(timeout=0.2),
            lambda rw: asyncio.run(rw.aio.models.refresh(timeout=0.2)),
        ],
        ids=["schema", "examples", "creators", "collections", "asyncio"],
    )
    def test_stalled_services_end_what_asks_them_and_nothing_else(
        self,
        server: LocalServer,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        ask: Callable[[Runware], Any],
    ) -> None:
        monkeypatch.setenv("RUNWARE_CACHE", str(tmp_path))
        server.play("X25", form="stall")
        with Runware(server.api_key, url=server.url, check="error") as rw:
            with pytest.raises(ConnectionFailedError):
                ask(rw)
            assert rw.image_inference(model=KLEIN, positive_prompt="a lighthouse", width=1008, height=1024)
            with pytest.raises(ValidationError):
                rw.image_inference(model=KLEIN, positive_prompt="a lighthouse", width=1000, height=1024)
            assert rw.models.get("bfl-flux-2-klein-9b").estimate(width=1024, height=1024).cost is not None
            # The one that timed out, which a slow machine may not even have received by then.
            assert server.ledger.service_requests <= 1

    @pytest.mark.parametrize("form", ["nonsense", "html"])
    def test_malformed_schema_is_an_error(self, server: LocalServer, models: Models, form: str) -> None:
        with server.play("X25", form=form, path="/resolve"), pytest.raises(ConnectionFailedError):
            models.get(KLEIN, schema=True)
        assert models.get(KLEIN).parameters == known(KLEIN).parameters

    def test_fault_is_played_only_where_it_is_asked_for(self, server: LocalServer) -> None:
        fault = server.play("X25", form="error", path="/registry", status=500, times=1)
        assert get(server, "/models/bfl-flux-1-dev")[0] == 200
        assert get(server, "/registry.json")[0] == 500
        assert get(server, "/registry.json")[0] == 200
        assert fault.played == 1


class TestUnknownModels:
    def test_model_that_cannot_exist_is_refused(self, server: LocalServer) -> None:
        with Peer(server) as peer:
            for name in ("nonexistent:999@999", "no-such-model"):
                [error] = peer.ask(**sent(name))["errors"]
                assert (error["code"], error["parameter"], error["type"]) == ("invalidModel", "model", "string")
            server.switch(models="off")
            assert "data" in peer.ask(**sent("nonexistent:999@999"))

    def test_models_of_the_community_and_newer_ones_are_accepted(self, server: LocalServer) -> None:
        with Peer(server) as peer:
            for name in ("civitai:133005@782002", "rundiffusion:130@100", "runware:9999@1"):
                assert "data" in peer.ask(**sent(name)), name
            server.switch(models="strict")
            assert "data" in peer.ask(**sent("civitai:133005@782002"))
            assert errors(peer.ask(**sent("runware:9999@1"))) == ["invalidModel"]

    def test_uploaded_model_exists(self, server: LocalServer) -> None:
        with Peer(server) as peer:
            assert errors(peer.ask(**sent("mine:7@1"))) == ["invalidModel"]
            upload = {"category": "checkpoint", "downloadURL": "https://example.com/a", "name": "Mine"}
            peer.ask("modelUpload", **upload, air="mine:7@1")
            server.ledger.wait_for(lambda ledger: ledger.results >= 5)
        for strictness in ("lenient", "strict"):
            server.switch(models=strictness)
            assert post(server, [image("mine:7@1")])[0] == 200
        server.forget()
        assert post(server, [image("mine:7@1")])[0] == 400


class TestStrictness:
    def test_lenient_server_takes_what_the_model_or_the_task_type_takes(self, server: LocalServer) -> None:
        assert post(server, [image(KLEIN, width=1008)])[0] == 200
        assert post(server, [{**image(DEV), "unknown": 1}])[0] == 200
        task = image(DEV)
        del task["width"], task["height"]
        assert post(server, [task])[0] == 200
        assert post(server, [image(KLEIN, width=1001)])[0] == 400

    @pytest.mark.parametrize(
        ("task", "code", "parameter", "more"),
        [
            (image(KLEIN, width=1000), "invalidWidth", "width", {"min": 128, "max": 2048, "multiplier": 16}),
            (image(KLEIN, CFGScale=99), "invalidCFGScale", "CFGScale", {"max": 20, "type": "float"}),
            (image(KLEIN, acceleration="fast"), "invalidAcceleration", "acceleration", {"type": "string"}),
            (image(KLEIN, seedImage="https://a.b/c.png"), "unsupportedParameter", "seedImage", {}),
            (image(KLEIN, lora=[{"weight": 1}]), "missingParameter", "lora[0].model", {}),
            (image(KLEIN, deliveryMethod="stream"), "invalidDeliveryMethod", "deliveryMethod", {}),
            (image(KLING, taskType="videoInference", duration=7), "invalidDuration", "duration", {}),
            (image(SIZED, width=1000), "invalidSize", ["width", "height"], {}),
            (image(KLING), "invalidTaskType", "taskType", {}),
        ],
    )
    def test_strict_server_refuses_what_the_schema_refuses(
        self, server: LocalServer, task: dict[str, Any], code: str, parameter: Any, more: dict[str, Any]
    ) -> None:
        server.switch(models="strict")
        task = {**task, "taskUUID": new_uuid()}
        if task["model"] == KLING and "width" in task and task["width"] == 1024:
            task |= {"width": 1920, "height": 1080}
        status, frame = post(server, [task])
        [error] = frame.get("errors") or [frame["error"]]  # the second is the form for streams
        assert status == 400
        assert (error["code"], error["parameter"], error["taskUUID"]) == (code, parameter, task["taskUUID"])
        assert more.items() <= error.items()
        assert error["message"] in {one.message for one in known(task["model"]).check_task(task)}

    def test_user_reads_the_same_words_before_and_after_sending(self, server: LocalServer) -> None:
        server.switch(models="strict")
        messages = []
        for check in ("error", "off"):
            with Runware(server.api_key, url=server.url, check=check) as rw, pytest.raises(ValidationError) as caught:
                rw.image_inference(model=KLEIN, positive_prompt="a lighthouse", width=1000, height=1024)
            messages.append(caught.value.message)
            assert caught.value.parameter == "width"
        assert messages[0] == messages[1]

    def test_older_names_of_task_types_are_known(self, server: LocalServer) -> None:
        server.switch(models="strict")
        record = RECORDS.find_air("runware:500@1")
        assert record is not None
        task = model_requests.grown(
            record, model_requests.groups(record), lambda task: found(known("runware:500@1"), task), high=False
        )
        assert post(server, [{**task, "taskUUID": new_uuid(), "taskType": "imageUpscale"}])[0] == 200


def found(model: Model, task: dict[str, Any]) -> set[str]:
    return {one.message for one in model.check_task(task)}


@cache
def at_limits(air: str) -> list[dict[str, Any]]:
    record = RECORDS.find_air(air)
    assert record is not None
    model = known(air)
    return [
        task
        for high in (False, True)
        for task in model_requests.requests_at_limits(record, lambda task: found(model, task), high=high)
    ]


AIRS = [record["air"] for record in RECORDS.all()]


class TestSameWords:
    """Every model of the snapshot, checked by the client and by the server, which share no code."""

    def test_names_in_python_are_the_same(self) -> None:
        names = {part for air in AIRS for task in at_limits(air) for part in _names(task)}
        assert len(names) > 100
        assert [name for name in names if python_path(name) != python_name(name)] == []

    def test_every_parameter_at_its_limits_is_accepted_by_both(self) -> None:
        for air in AIRS:
            record = RECORDS.find_air(air)
            assert record is not None
            tasks = at_limits(air)
            for task in tasks:
                assert found(known(air), task) == set(), air
                assert list(map(str, VALIDATORS.refusals(record, task))) == [], air
            for leaf in model_requests.leaves(record["schema"]):
                assert any(model_requests.has(task, leaf.path) for task in tasks), (air, leaf)

    def test_server_accepts_every_model_at_its_limits(self, server: LocalServer) -> None:
        server.switch(models="strict")
        tasks = [{**task, "taskUUID": new_uuid()} for air in AIRS for task in at_limits(air)[-1:]]
        tasks = [task for task in tasks if task["taskType"] != "tools" and RECORDS.find_air(task["model"])["taskType"]]  # type: ignore[index]
        assert len(tasks) > 350
        _, frame = post(server, tasks, X_Runware_Dry_Run="1")
        assert frame.get("errors", []) == []
        assert {item["taskUUID"] for item in frame["data"]} == {task["taskUUID"] for task in tasks}

    def test_one_step_beyond_is_refused_by_both_with_the_same_words(self) -> None:
        refused = 0
        for air in AIRS:
            record, model = RECORDS.find_air(air), known(air)
            assert record is not None
            start = model_requests.base(record)
            for leaf in model_requests.leaves(record["schema"]):
                good = model_requests.with_value(
                    start, leaf.path, model_requests.at_limit(leaf.schema, leaf.path[-1], high=False)
                )
                before = found(model, good)
                for value in model_requests.beyond(leaf.schema, leaf.path[-1]):
                    task = model_requests.with_value(start, leaf.path, value)
                    here = found(model, task)
                    assert here - before, (air, leaf.path, value)
                    assert here == set(map(str, VALIDATORS.refusals(record, task))), (air, leaf.path)
                    refused += 1
        assert refused > 10_000

    @pytest.mark.parametrize("given", [{"width": 10**400}, {"CFGScale": 10**400}, {"seed": 2**63}], ids=" ".join)
    def test_numbers_beyond_all_floats_are_refused_with_the_same_words(self, given: dict[str, int]) -> None:
        record = RECORDS.find_air(DEV)
        assert record is not None
        task = {**image(DEV), **given}
        refusals = list(map(str, VALIDATORS.refusals(record, task)))
        assert len(refusals) == 1
        assert found(known(DEV), task) == set(refusals)

    def test_unknown_and_missing_parameters_are_refused_with_the_same_words(self) -> None:
        for air in AIRS:
            record, model = RECORDS.find_air(air), known(air)
            assert record is not None
            task = at_limits(air)[0]
            required = [name for name in record["schema"].get("required", ()) if name != "taskUUID"]
            changed = [{name: value for name, value in task.items() if name != missing} for missing in required]
            changed += [{**task, "zzzzUnknown": 1}] if record["schema"].get("additionalProperties") is False else []
            for one in changed:
                assert found(model, one), air
                assert found(model, one) == set(map(str, VALIDATORS.refusals(record, one))), air

    def test_typing_errors_are_answered_with_the_right_name_by_both(self) -> None:
        for air in (KLEIN, KLING, DEV):
            record = RECORDS.find_air(air)
            assert record is not None
            start = model_requests.base(record)
            for name in record["schema"]["properties"]:
                task = {**start, f"{name[:-2]}{name[-1]}": 1} if len(name) > 5 else start
                assert found(known(air), task) == set(map(str, VALIDATORS.refusals(record, task)))


def _names(task: Any) -> Iterator[str]:
    if isinstance(task, dict):
        for name, value in task.items():
            yield name
            yield from _names(value)
    elif isinstance(task, list):
        for one in task[:1]:
            yield from _names(one)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3000),
    st.sampled_from([0.07, 1.11, 3.5, 7.005, 1e300, 2**63, -0.0, 1.0]),
    st.sampled_from(["", "x", "auto", "1080p", "2K", "PNG", "URL", "async", model_requests.URL, model_requests.UUID]),
    st.lists(st.sampled_from([model_requests.URL, {}, {"model": "a:1@1"}, {"frame": "last"}, 1]), max_size=3),
)


@st.composite
def instances(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a model, and a request that is half right."""
    air = draw(st.sampled_from(AIRS))
    record = RECORDS.find_air(air)
    assert record is not None
    task = draw(st.sampled_from(at_limits(air)))
    leaves = list(model_requests.leaves(record["schema"]))
    for leaf in draw(st.lists(st.sampled_from(leaves), max_size=4)) if leaves else []:
        value = draw(
            st.one_of(
                JUNK,
                st.sampled_from([model_requests.at_limit(leaf.schema, leaf.path[-1], high=high) for high in (0, 1)]),
            )
        )
        try:
            task = model_requests.with_value(task, leaf.path, value)
        except (TypeError, AttributeError):  # the object around it has become something else
            continue
    for name in draw(st.lists(st.sampled_from(sorted(task)), max_size=2)):
        task = {key: value for key, value in task.items() if key != name}
    return air, task


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(instances())
def test_client_and_json_schema_agree_on_any_request(drawn: tuple[str, Any]) -> None:
    air, task = drawn
    record = RECORDS.find_air(air)
    assert record is not None
    if air not in COMPILED:
        COMPILED[air] = create_validator(record["schema"])
    valid = COMPILED[air].is_valid(task)
    assert matches(known(air).schema, task) == valid
    if "taskUUID" in task:  # the client adds it, and does not miss it
        assert (found(known(air), task) == set()) == valid


COMPILED: dict[str, Any] = {}


class TestPrices:
    def test_hundred_random_requests_cost_what_was_estimated(self, server: LocalServer) -> None:
        server.switch(models="strict")
        rng = random.Random(19)
        priced = [record for record in RECORDS.all() if record.get("pricingRates") and record.get("taskType")]
        exact = 0
        for number in range(100):
            record = priced[number % len(priced)]
            model = known(record["air"])
            task = {**_random_request(record, model, rng), "taskUUID": new_uuid()}
            guess = estimate(model, task)
            status, frame = post(server, [task])
            assert status == 200, frame
            server.ledger.wait_for(lambda ledger, done=number: ledger.results > done)  # type: ignore[misc]
            bill = server.ledger.cost(task["taskUUID"])
            if guess.exact:
                exact += 1
                assert bill == pytest.approx(guess.cost, abs=1e-8), task
            elif guess.basis == "rates" and record["taskType"] != "textInference":
                assert guess.minimum is not None
                assert guess.maximum is not None
                assert guess.minimum - 1e-8 <= bill <= guess.maximum + 1e-8, task
        assert exact >= 25

    def test_costs_of_results_add_up_to_the_bill(self, server: LocalServer) -> None:
        task = {
            **image("xai:grok-imagine@image-2.0", numberResults=3, includeCost=True),
            "inputs": {"referenceImages": [model_requests.URL, model_requests.URL]},
        }
        del task["width"], task["height"]
        items = post(server, [task])[1]["data"]
        assert items[0]["cost"] > items[1]["cost"] == items[2]["cost"]
        assert sum(item["cost"] for item in items) == pytest.approx(server.ledger.cost(task["taskUUID"]))

    def test_dry_run_returns_the_price_and_charges_nothing(self, server: LocalServer) -> None:
        server.balance = 1.0
        [item] = post(server, [image("bfl:5@1", width=1024)], X_Runware_Dry_Run="1")[1]["data"]
        assert item["cost"] == 0.03
        assert (server.balance, server.ledger.billed) == (1.0, 0)

    @pytest.mark.parametrize(("prices", "cost"), [("flat", 0.0013), ("rates", 0.0013), ("measured", 0.0038)])
    def test_switch_chooses_the_prices(self, server: LocalServer, prices: str, cost: float) -> None:
        server.switch(prices=prices)
        [item] = post(server, [image(DEV, includeCost=True)])[1]["data"]
        assert item["cost"] == cost

    def test_text_is_billed_by_its_tokens(self, server: LocalServer) -> None:
        task = {
            "taskType": "textInference",
            "taskUUID": new_uuid(),
            "model": "google:gemini@3.1-pro",
            "messages": [{"role": "user", "content": "Hello"}],
            "includeCost": True,
            "includeUsage": True,
        }
        [item] = post(server, [task])[1]["data"]
        rates = {rate.unit: rate.amount for rate in known(task["model"]).rates}  # type: ignore[arg-type]
        usage = item["usage"]
        price = rates["inputToken"] * usage["promptTokens"] + rates["outputToken"] * usage["completionTokens"]
        assert item["cost"] == pytest.approx(price, abs=1e-9)

    def test_balance_pays_the_price_of_the_model(self, server: LocalServer) -> None:
        server.balance = 0.05
        assert post(server, [image("bfl:5@1", width=1024)])[0] == 200
        assert server.balance == pytest.approx(0.02)
        assert post(server, [image("bfl:5@1", width=1024)])[0] == 402
        [error] = post(server, [image("bfl:5@1", positivePrompt="[provider-error]", width=512, height=512)])[1][
            "errors"
        ]
        assert error["code"] == "insufficientCredits"


def _random_request(record: dict[str, Any], model: Model, rng: random.Random) -> dict[str, Any]:
    """Return a request with a random choice of parameters, at a random end of their limits."""
    groups = model_requests.groups(record)
    rng.shuffle(groups)
    wanted = [
        group for group in groups if group[0].path[0] not in ("webhookURL", "uploadEndpoint", "outputType", "ttl")
    ]
    high = rng.random() < 0.5

    def problems(task: dict[str, Any]) -> set[str]:
        return found(model, task)

    needed = model_requests.grown(record, wanted, problems, high=high, stop_when_good=True)
    for group in wanted[: rng.randrange(8)]:
        more = model_requests.put(needed, group, record, high=rng.random() < 0.5)
        if not problems(more):
            needed = more
    if "duration" in needed and isinstance(needed["duration"], int) and rng.random() < 0.5:
        shorter = {**needed, "duration": needed["duration"] - 1}
        needed = needed if problems(shorter) else shorter
    return needed


def test_unknown_model_of_the_catalogue_is_not_found(models: Models) -> None:
    with pytest.raises(NotFoundError):
        models.get("nonexistent:999@999", schema=True)
