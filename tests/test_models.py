"""The snapshot of models, the checks of requests against it, and estimates."""

from __future__ import annotations

import gzip
import io
import json
import math
import pathlib
import pickle
import re
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from runware import models
from runware._support.api_names import python_name, wire_name
from runware.errors import ValidationError
from runware.models.catalogue import Model, Rate, bundled_snapshot, unknown_model
from runware.models.estimates import estimate
from runware.models.problems import Problem, find_problems
from runware.models.schema import matches, prepare
from runware.models.wording import nearest_number
from runware.results import Video
from tools import build_models

KLEIN = "runware:400@2"
DEV = "runware:101@1"
KLING = "klingai:kling-video@2.6-pro"


def model(air: str) -> Model:
    found = bundled_snapshot().get(air)
    assert found is not None
    return found


def problems(air: str, **task: Any) -> list[Problem]:
    one = model(air)
    return one.check_task({"taskType": one.task_type, "model": air, **task})


def image(**more: Any) -> dict[str, Any]:
    return {"positivePrompt": "a lighthouse", "width": 1024, "height": 1024, **more}


def test_snapshot_is_what_its_facts_say() -> None:
    built = build_models.build(build_models.FACTS.read_text(encoding="utf-8"))
    # Not the compressed bytes, which differ between versions of zlib.
    assert gzip.decompress(built) == gzip.decompress(build_models.SNAPSHOT.read_bytes())


def test_models_are_found_by_air_and_by_slug() -> None:
    snapshot = bundled_snapshot()
    assert len(snapshot) == 366
    assert snapshot.get("bfl-flux-2-klein-9b") is snapshot.get(KLEIN)
    assert [one.air for one in snapshot if one.name == "FLUX.1 [dev]"] == [DEV]
    assert snapshot.get("runware:no@such") is None


def test_unknown_model_is_answered_with_the_nearest() -> None:
    error = unknown_model("klingai:kling-video@2.6", bundled_snapshot())
    assert KLING in error.message
    assert "community" in error.message


@pytest.mark.parametrize(
    ("name", "airs"),
    [
        ("runware:101@2", [DEV]),
        ("runware:101", [DEV]),
        ("rnware:101@1", [DEV]),
        ("FLUX.1 [dev]", [DEV, "runware:111@1", "runware:102@1"]),
        ("bfl-flux-1-devv", [DEV]),
        ("klngai:kling-video@2.6-pro", [KLING]),
        ("kling 2.6 pro", [KLING]),
        ("google:gemma", ["google:gemma@4-31b"]),
        ("nano banana", ["google:4@1", "google:4@2", "google:4@3"]),
        # Nothing is near: another number is another model, and `flux` fits too many.
        ("klingai:5@9", []),
        ("civitai:1@1", []),
        ("gpt-4o", []),
        ("flux", []),
        ("", []),
        ("x" * 1_000_000, []),
    ],
)
def test_only_near_models_are_suggested(name: str, airs: list[str]) -> None:
    assert [one.air for one in bundled_snapshot().nearest(name)] == airs
    message = unknown_model(name, bundled_snapshot()).message
    assert ("Did you mean" in message) == bool(airs)
    assert ("rw.models.search(...)" in message) != bool(airs)
    assert len(message) < 500


def test_parameters_inside_others_follow_them() -> None:
    names = [one.name for one in model(KLING).parameters]
    at = names.index("provider_settings")
    assert names[at + 1] == "provider_settings.klingai"
    assert set(names[at + 2 : at + 5]) == {
        f"provider_settings.klingai.{name}" for name in ("sound", "character_orientation", "keep_original_sound")
    }
    by_name = {one.name: one for one in model(KLEIN).parameters}
    assert by_name["lora[].model"].required
    assert by_name["lora[].weight"].takes == "a number between -4 and 4"
    assert by_name["lora[].weight"].api_name == "lora[].weight"
    schema = {"required": ["b"], "properties": {"a": {}, "b": {"properties": {"c": {}}}, "d": {}}}
    made_up = Model(air="acme:1@1", slug="", name="Acme", schema=schema)
    assert [one.name for one in made_up.parameters] == ["b", "b.c", "a", "d"]


def test_descriptions_fit_into_a_terminal() -> None:
    for one in bundled_snapshot():
        title, *lines = str(one).splitlines()
        assert one.name in title
        assert max(map(len, lines)) <= 80, one.slug
    shown = str(model("bfl:flux@3-video"))
    assert "  width x height: 1440x608 (720p)," in shown
    assert "  Note: With three or more frame_images, an integer duration is required." in shown


def test_prices_are_shown_in_words() -> None:
    made_up = Model(
        air="acme:1@1",
        slug="",
        name="Acme",
        raw={
            "pricingRates": [
                {"amount": 0.0000015, "unit": "inputToken", "label": "short"},
                {"amount": 0.07, "unit": "durationSecond", "after": 10},
                {"amount": 0.0013, "unit": "blink"},
            ]
        },
    )
    assert made_up.price_lines == [
        "$1.50 per million input tokens (short)",
        "$0.07 per second from unit 11 on",
        "$0.0013 per blink",
    ]


def test_malformed_record_makes_a_usable_model() -> None:
    nonsense: list[Any] = [None, 0, 1.5, True, "x", [], [0], {}, {"x": 0}]
    for value in nonsense:
        names = ["name", "creator", "status", "replacedBy", "contextWindow", "outputModality", "pricingRates"]
        record = dict.fromkeys([*names, "pricingMeasured", "pricingExamples", "dimensions", "schema", "notes"], value)
        record["capabilities"] = value
        inside = {
            "pricingRates": [{"amount": 1, "unit": value, "label": value, "after": value}],
            "pricingMeasured": [{"price": 1.0, "latencyMs": value, "configuration": value}],
            "dimensions": [value, {"width": value, "height": value, "label": value}],
        }
        for one in (record, inside):
            made = Model.of({"air": "acme:1@1", "slug": "acme-1", "taskType": "imageInference", **one})
            assert str(made)
            assert made._repr_html_()
            assert made.check(width=1) == []
            assert made.estimate(width=1024, height=1024)


def test_model_can_be_pickled() -> None:
    for one in (model(KLEIN), model(KLING), model("bfl:flux@3-video")):
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert again.check(width=1000) == one.check(width=1000)
        assert again.estimate(duration=5) == one.estimate(duration=5)
    problem = model(KLEIN).check(width=1000)[0]
    assert pickle.loads(pickle.dumps(problem)) == problem


def test_model_knows_its_parameters() -> None:
    by_name = {one.name: one for one in model(KLEIN).parameters}
    assert by_name["width"].required
    assert (by_name["width"].minimum, by_name["width"].maximum) == (128, 2048)
    assert by_name["width"].takes == "a multiple of 16 between 128 and 2048"
    assert by_name["acceleration"].allowed == ("none", "low", "medium", "high")
    assert by_name["cfg_scale"].api_name == "CFGScale"
    assert by_name["inputs.reference_images"].takes == "a list"


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"category": "vidoe"}, r"category must be one of .*'video'; got 'vidoe'\. Did you mean 'video'\?"),
        ({"status": "dead"}, r"status must be one of .*'live'; got 'dead'\."),
        ({"capability": "text-to-vidoe"}, r"capability is .*; got 'text-to-vidoe'\. Did you mean 'text-to-video'\?"),
        ({"creator": "Kling IA"}, r"creator is .*; got 'Kling IA'\. Did you mean 'Kling AI'\?"),
        ({"capability": 5}, r"capability must be a str; got 5\."),
        ({"q": 5}, r"q must be a str; got 5\."),
        ({"creator": 5}, r"creator is that of no known model; got 5\."),
        ({"q": ["flux"]}, r"q must be a str; got \['flux'\]\."),
    ],
)
def test_list_refuses_filters_that_no_model_fits(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        models.list(**filters)
    assert failure.value.parameter == next(iter(filters))


def test_list_compares_without_case() -> None:
    assert {one.modality for one in models.list(category="Video")} == {"video"}
    assert models.list(capability="io:Text-To-Video") == models.list(capability="text-to-video") != []
    assert models.list(creator="kling ai") == models.list(creator="Kling AI") != []
    assert models.list(status="LIVE") == models.list(status="live") != []


def test_check_of_a_model_takes_its_own_slug() -> None:
    one = model(KLEIN)
    good = {"positive_prompt": "a lighthouse", "width": 1024, "height": 1024}
    assert one.check(model=one.slug, **good) == one.check(model=one.air, **good) == []
    assert [problem.parameter for problem in one.check(model=DEV, **good)] == ["model"]


@pytest.mark.parametrize(
    ("air", "task", "parameter", "message", "suggestion"),
    [
        (
            KLEIN,
            image(width=1000),
            "width",
            "width must be a multiple of 16 between 128 and 2048 for FLUX.2 [klein] 9B; got 1000. Did you mean 1008?",
            1008,
        ),
        (
            KLING,
            image(width=1920, height=1080, duration=99),
            "duration",
            "duration must be 5 or 10 for Kling VIDEO 2.6 Pro; got 99. Did you mean 10?",
            10,
        ),
        (
            KLING,
            image(width=1920, height=1080, providerSettings={"klingai": {"generate_audio": True}}),
            "provider_settings.klingai.generate_audio",
            (
                "provider_settings.klingai.generate_audio is not a parameter of Kling VIDEO 2.6 Pro; did you mean "
                "provider_settings.klingai.sound?"
            ),
            "sound",
        ),
        (
            KLEIN,
            image(num_inference_steps=4),
            "num_inference_steps",
            "num_inference_steps is not a parameter of FLUX.2 [klein] 9B; did you mean steps?",
            "steps",
        ),
        (
            KLEIN,
            image(lora=[{"model": "civitai:1@1", "wieght": 1.0}]),
            "lora[0].wieght",
            "lora[0].wieght is not a parameter of FLUX.2 [klein] 9B; did you mean lora[0].weight?",
            "weight",
        ),
        (
            KLEIN,
            image(acceleration="hihg"),
            "acceleration",
            (
                "acceleration must be 'none', 'low', 'medium' or 'high' for FLUX.2 [klein] 9B; got 'hihg'. "
                "Did you mean 'high'?"
            ),
            "high",
        ),
        (KLEIN, image(CFGScale=0.5), "cfg_scale", "cfg_scale must be a number between 1 and 20", 1),
        (KLEIN, image(positivePrompt=""), "positive_prompt", "positive_prompt takes 1 to 10,000 characters", None),
        (KLEIN, image(width="big"), "width", "width must be an integer for FLUX.2 [klein] 9B; got 'big'.", None),
        (
            DEV,
            image(strength=0.5),
            "inputs.seed_image",
            "inputs.seed_image is required for FLUX.1 [dev] with strength.",
            None,
        ),
        (
            "bfl:flux@3-image",
            image(width=1000, height=1000),
            "width",
            "width and height must be 1024x1024",
            (1024, 1024),
        ),
        (
            "bfl:flux@3-image",
            {**image(), "resolution": "1K", "inputs": {"referenceImages": ["https://example.com/a.png"]}},
            "resolution",
            "resolution cannot be combined with width or height for FLUX 3 Image.",
            None,
        ),
        (
            KLING,
            image(width=1920, height=1080, inputs={"frameImages": ["https://example.com/a.png"]}),
            "width",
            "width is not accepted with inputs.frame_images or inputs.reference_videos for Kling",
            None,
        ),
        (
            "alibaba:wan@3.0",
            image(width=1280, height=720, duration=40),
            "duration",
            "duration must be an integer between 2 and 30 or 'auto' for Wan3.0; got 40. Did you mean 30?",
            30,
        ),
    ],
)
def test_problem_says_what_is_wrong_and_what_would_work(
    air: str, task: dict[str, Any], parameter: str, message: str, suggestion: Any
) -> None:
    (found,) = [one for one in problems(air, **task) if one.parameter == parameter]
    assert found.message.startswith(message)
    assert found.suggestion == suggestion


class Whole:
    """An integer as NumPy has them: not an `int`, but convertible."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def test_check_takes_what_a_request_takes() -> None:
    dev = {"positive_prompt": "x y", "width": Whole(512), "height": 512, "cfg_scale": Decimal("3.5")}
    assert model(DEV).check(**dev, lora=({"model": "civitai:1@1", "weight": Decimal(1)},)) == []
    (problem,) = model(DEV).check(**{**dev, "width": Whole(500)})
    assert problem.message.startswith("width must be a multiple of 64")
    for video in (pathlib.Path("missing.mp4"), b"video", io.BytesIO(b"video"), Video(raw={"videoUUID": "u"})):
        assert model("bria:51@1").check(inputs={"video": video}) == []
    (problem,) = model("bria:51@1").check(inputs={"video": object()})
    assert problem.parameter == "inputs.video"


def test_all_problems_are_found_at_once() -> None:
    found = problems(KLEIN, width=1000, height=1000, steps=0, CFGScale=99.0, prompt="a lighthouse")
    assert {one.parameter for one in found} == {"width", "height", "steps", "cfg_scale", "prompt", "positive_prompt"}


def test_good_requests_have_no_problems() -> None:
    assert problems(KLEIN, **image(steps=4, CFGScale=3.57, seed=1, outputFormat="PNG", numberResults=20)) == []
    assert problems(KLING, **image(width=1920, height=1080, duration=10)) == []


def test_prompts_are_in_no_message() -> None:
    secret = "a very private lighthouse"
    for found in problems(KLEIN, **image(positivePrompt=secret * 1000, positive_promt=secret)):
        assert secret not in found.message
        assert secret not in repr(found)


def test_size_of_any_type_is_refused_without_an_exception() -> None:
    for value in ([1024], {"a": 1}, "1024" * 20, None, True):
        found = problems("bfl:flux@3-image", positivePrompt="a lighthouse", width=value, height=1024)
        assert any(one.parameter == "width" for one in found)
        assert not any("1024" * 20 in one.message for one in found)


def test_value_that_no_keyword_of_its_type_refuses_is_refused_by_the_whole_schema() -> None:
    for value in (3, "text", [1], False):
        (found,) = problems("bfl:flux@3-image", **image(advancedFeatures={"watermark": value}))
        assert found.message == "advanced_features.watermark has a form that is not accepted for FLUX 3 Image."


def test_model_that_two_fact_sheets_describe_is_one_model() -> None:
    airs = [one.air for one in bundled_snapshot()]
    assert len(set(airs)) == len(airs)
    old = model("bytedance:seedance@1.5-pro")
    assert (old.status, old.replaced_by) == ("deprecated", "bytedance-seedance-2-5")
    assert old.rates
    assert old.parameters


def test_nothing_is_written_into_the_task() -> None:
    task = image(model=KLEIN, taskType="imageInference")
    before = json.dumps(task)
    model(KLEIN).check_task(task)
    assert json.dumps(task) == before


def test_hundredths_are_multiples_of_a_hundredth() -> None:
    for value in [number / 100 for number in range(2001)]:
        assert matches({"multipleOf": 0.01}, value)
        assert not matches({"multipleOf": 0.01}, value + 0.005)


@pytest.mark.parametrize("seed", [2**63, 9223372036854776000, 1e300])
def test_seed_above_the_largest_is_refused_with_the_exact_limit(seed: float) -> None:
    (found,) = problems(DEV, **image(seed=seed))
    assert found.message == (
        f"seed must be an integer between 0 and 9223372036854775807 for FLUX.1 [dev]; got {seed!r}. "
        "Did you mean 9223372036854775807?"
    )
    assert (found.maximum, found.suggestion) == (2**63 - 1, 2**63 - 1)
    assert problems(DEV, **image(seed=2**63 - 1)) == []


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"minimum": -9223372036854776000, "maximum": 9223372036854776000}, [-(2**63), 2**63 - 1]),
        ({"minimum": -(2.0**63), "maximum": 2.0**63}, [-(2**63), 2**63 - 1]),
        ({"minimum": 0, "maximum": 18446744073709552000}, [0, 2**64 - 1]),
        ({"minimum": 0.5, "maximum": 2**53 - 1}, [0.5, 2**53 - 1]),
    ],
)
def test_limits_that_javascript_rounded_are_whole_again(given: dict[str, Any], meant: list[float]) -> None:
    limits = prepare({"properties": {"seed": {"type": "integer", **given}, "maximum": {"type": "null"}}})["properties"]
    assert repr([limits["seed"]["minimum"], limits["seed"]["maximum"]]) == repr(meant)
    assert limits["maximum"] == {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "value", "nearest"),
    [
        ({"multipleOf": 16}, 2**60 + 9, 2**60 + 16),
        ({"multipleOf": 16, "maximum": 2**60 + 15}, 2**60 + 14, 2**60),
        ({"multipleOf": 64, "minimum": 100}, 3, 128),
        ({"multipleOf": 0.1, "maximum": 20}, 10**400, 20.0),
        ({"multipleOf": 0.1}, 10**400, 10**400),
        ({"multipleOf": 0.01, "maximum": 0.57}, 0.5712, 0.57),
    ],
)
def test_nearest_number_is_exact_for_large_integers(schema: dict[str, Any], value: float, nearest: float) -> None:
    assert nearest_number(schema, value) == nearest
    assert not matches(schema, value)


@pytest.mark.parametrize(
    ("air", "task"),
    [(DEV, {"numberResults": 10**400}), (KLING, {"duration": 10**400}), (KLING, {"numberResults": 10**400})],
    ids=["images", "seconds", "videos"],
)
def test_estimate_of_a_number_beyond_all_floats_is_unknown(air: str, task: dict[str, Any]) -> None:
    assert estimate(model(air), image(**task)).cost is None


def test_estimate_by_bytes_counts_a_lone_surrogate() -> None:
    speaker: Any = SimpleNamespace(rates=(Rate(amount=0.5, unit="utf8Byte"),), schema={}, sizes=(), seconds=None)
    assert estimate(speaker, {"positivePrompt": "é\ud800"}).cost == 2.5


def test_keywords_of_a_newer_schema_are_ignored() -> None:
    assert matches({"x-new": 1, "unevaluatedProperties": False}, {"a": 1})
    assert find_problems({"properties": {"a": {"type": "brand new"}}}, {"a": 1}, "Newest") == []


def test_references_and_sizes_are_prepared() -> None:
    size = {"title": "720p", "properties": {"width": {"const": 1280}, "height": {"const": 720}}}
    schema = prepare({"properties": {"scheduler": {"$ref": "#/enums/few"}}, "oneOf": [size]}, {"few": ["Euler"]})
    assert matches(schema, {"scheduler": "Euler", "width": 1280, "height": 720})
    assert not matches(schema, {"scheduler": "Other", "width": 1280, "height": 720})
    assert not matches(schema, {"width": 720, "height": 1280})


@pytest.mark.parametrize(
    ("api", "python"),
    [
        ("CFGScale", "cfg_scale"),
        ("taskUUID", "task_uuid"),
        ("webhookURL", "webhook_url"),
        ("positivePrompt", "positive_prompt"),
        ("checkNSFW", "check_nsfw"),
        ("lora[0]", "lora[0]"),
        ("steps", "steps"),
    ],
)
def test_api_names_have_python_names(api: str, python: str) -> None:
    assert python_name(api) == python
    assert wire_name(python) == api


@pytest.mark.parametrize(
    ("air", "task", "cost", "exact"),
    [
        (KLING, {"duration": 10, "providerSettings": {"klingai": {"sound": True}}}, 1.4, True),
        (KLING, {"duration": 5, "providerSettings": {"klingai": {"sound": False}}, "numberResults": 2}, 0.7, True),
        ("bfl:5@1", {"width": 1024, "height": 1024}, 0.03, True),
        ("bfl:5@1", {"width": 2048, "height": 1024}, 0.045, True),
        ("meta:muse@image", {"numberResults": 3}, 0.03, True),
        ("alibaba:qwen@3-tts-1.7b-base", {"speech": {"text": "x" * 100}}, 0.0015, True),
        ("minimax:h3@max", {"duration": 5, "resolution": "480p"}, 0.25, True),
    ],
)
def test_rates_make_an_exact_estimate(air: str, task: dict[str, Any], cost: float, exact: bool) -> None:
    found = estimate(model(air), task)
    assert (found.cost, found.exact, found.basis) == (pytest.approx(cost), exact, "rates")


def test_what_is_left_open_makes_a_range() -> None:
    found = estimate(model(KLING), {"duration": 10})
    assert (found.minimum, found.maximum, found.exact) == (pytest.approx(0.7), pytest.approx(1.4), False)
    assert found.seconds is not None


def test_media_of_every_type_count_as_inputs() -> None:
    seedance = model("bytedance:seedance@2.5")
    size = {"width": 1024, "height": 1024, "duration": 5}
    expected = seedance.estimate(inputs={"video": "https://example.com/a.mp4"}, **size)
    assert expected != seedance.estimate(**size)
    for video in (pathlib.Path("a.mp4"), b"video", io.BytesIO(b"video")):
        assert seedance.estimate(inputs={"video": video}, **size) == expected


def test_size_of_any_type_is_estimated_without_an_exception() -> None:
    for one in models.list():
        for width in ([512], {"a": 1}, "x", None):
            assert one.estimate(width=width, height=512) == one.estimate(height=512)


@pytest.mark.parametrize("duration", [math.nan, math.inf, -5, 0])
def test_duration_that_no_video_has_is_estimated_as_none(duration: float) -> None:
    kling = model(KLING)
    assert kling.estimate(duration=duration) == kling.estimate(duration="x")


@pytest.mark.parametrize(
    ("limits", "settings", "longest"),
    [
        ({"maximum": 2000}, {}, 2000),
        ({"maximum": 2000, "default": 500}, {}, 500),
        ({"maximum": 2000, "default": 500}, {"maxTokens": None}, 500),
        ({"maximum": 2000}, {"maxTokens": 100}, 100),
    ],
)
def test_text_without_a_limit_costs_as_much_as_its_longest_answer(
    limits: dict[str, int], settings: dict[str, Any], longest: int
) -> None:
    schema = {"properties": {"settings": {"properties": {"maxTokens": limits}}}}
    priced = attrs.evolve(model("google:gemini@3.1-pro"), schema=schema)
    found = estimate(priced, {"messages": [{"role": "user", "content": "x" * 400}], "settings": settings})
    assert found.maximum == pytest.approx(200 * 2e-6 + longest * 1.2e-5)
    assert (found.basis, found.exact) == ("rates", False)


def test_text_of_any_length_has_an_estimate_only_from_earlier_runs() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    assert model("google:gemini@3.1-pro").estimate(messages=messages).basis == "unknown"
    found = model("anthropic:claude@fable-5").estimate(messages=messages)
    assert (found.maximum, found.basis) == (0.271, "measured")


def test_earlier_runs_are_the_estimate_where_there_are_no_rates() -> None:
    found = estimate(model(DEV), image())
    assert (found.minimum, found.basis, found.exact) == (0.0038, "measured", False)
    assert str(found) == "about $0.0038"


def test_model_without_prices_has_an_unknown_estimate() -> None:
    unpriced = next(one for one in bundled_snapshot() if not one.rates and not one.prices)
    assert estimate(unpriced, {}).basis == "unknown"
    assert str(estimate(unpriced, {})) == "of unknown cost"


def test_every_model_is_read_and_checked_without_an_exception() -> None:
    for one in bundled_snapshot():
        assert one.name
        assert repr(one)
        assert isinstance(one.parameters, tuple)
        one.check_task({"taskType": one.task_type, "model": one.air})
        estimate(one, {"duration": 5, "width": 1024, "height": 1024})


def test_long_list_of_choices_reads_as_a_sentence() -> None:
    (problem,) = models.get("runware:101@1").check(positive_prompt="a kite", width=512, height=512, scheduler="Foo")
    assert re.search(
        r"'DDIM', .*[^r] 'DPM\+\+ 2M SDE', 'DPM\+\+ 2M SDE Beta' or one of \d+ others for", problem.message
    )
