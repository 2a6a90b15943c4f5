"""Results that leave the program: as dicts, JSON, pickles and pydantic fields, and what comes back of them."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import pytest

import runware
from runware import BudgetExceededError, Image, Job, Result, Results, Runware, ValidationError
from runware.jobs import JobStatus, Progress
from runware.local import LocalServer
from runware.models import dry_run
from runware.results import from_dict, from_json
from tests.test_results import FRAMES, class_for, example, read
from tools import frameworks

from .test_three_interfaces import PICTURE

SECRET = {**PICTURE, "positive_prompt": "a secret kite"}


@pytest.mark.parametrize(("name", "item", "cls", "values"), FRAMES)
def test_every_result_comes_back_from_its_json(name: str, item: dict[str, Any], cls: Any, values: Any) -> None:
    task = example(name)
    answer = read(task, {"taskType": task.task_type, "taskUUID": "u", **item})
    result = answer[0] if task.many else answer
    for _ in range(2):  # also once its attributes were read
        assert json.loads(json.dumps(result.to_dict())) == result.raw
        assert cls.from_json(result.to_json()) == result
        repr(result), [getattr(result, field.name) for field in attrs.fields(cls)]
    assert dict(result) == result.raw
    python = json.loads(json.dumps(result.to_dict(api_names=False)))
    assert python["task_type"] == task.task_type
    assert "taskType" not in python
    assert {name: python.get(name) for name in values if not name.endswith(("_url", "_uuid"))} == {
        name: value for name, value in values.items() if not name.endswith(("_url", "_uuid"))
    }
    if class_for(task, result.raw) is cls and runware.results.platform.class_for(result.raw) is cls:
        assert type(from_dict(result.to_dict())) is cls


def test_list_comes_back_with_the_classes_of_its_results() -> None:
    items = [{"taskType": "imageInference", "imageURL": "https://a/1.png"}, {"taskType": "caption", "text": "x"}]
    results = from_dict(items)
    assert isinstance(results, Results)
    assert [type(one) for one in results] == [Image, runware.Text]
    assert from_json(results.to_json()) == results
    assert results.to_dicts() == items
    assert results.to_dicts(api_names=False)[1] == {"task_type": "caption", "text": "x"}


ODD_NUMBERS = {
    "cost": float("nan"),
    "progress": float("inf"),
    "extra": {"a": [1.5, float("-inf"), {"b": float("nan")}]},
}


def finite_only(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_numbers_that_json_does_not_have_become_null() -> None:
    image = from_dict({"taskType": "imageInference", "imageURL": "https://a/1.png", "seed": 5, **ODD_NUMBERS})
    assert isinstance(image, Image)
    assert (image.cost, image.progress, image.seed) == (None, None, 5)
    written = json.loads(image.to_json(), parse_constant=finite_only)
    assert written["extra"] == {"a": [1.5, None, {"b": None}]}
    assert (written["cost"], written["progress"], written["seed"]) == (None, None, 5)
    assert json.loads(image.to_json(api_names=False)) == {
        "task_type": "imageInference", "url": "https://a/1.png", "seed": 5,
    }  # fmt: skip
    assert Results([image]).to_dicts() == [dict(image)] == [written]
    by_hand = Image(cost=float("inf"), seed=5)
    assert json.loads(by_hand.to_json()) == {"cost": None, "seed": 5}
    assert Results([image, by_hand, Image(cost=0.25), Image(cost=1)]).cost == 1.25
    assert Results([image, by_hand]).cost is None


@pytest.mark.parametrize("cost", [float("nan"), float("-inf"), 10**400, "free", True], ids=type)
@pytest.mark.parametrize("stored", [False, True])
def test_odd_cost_of_one_result_spoils_no_sum(server: LocalServer, tmp_path: Path, cost: Any, stored: bool) -> None:
    store = f"sqlite:///{tmp_path / 'jobs.db'}" if stored else None
    with Runware(server.api_key, url=server.url, timeout=20.0, store=store, budget=1.0) as rw:
        server.respond("imageInference", [{"cost": cost}, {"cost": 0.99}])
        images = rw.image_inference(**PICTURE, number_results=2)
        assert ([image.cost for image in images], images.cost) == ([None, 0.99], 0.99)
        assert rw.stats.cost == 0.99
        with pytest.raises(BudgetExceededError) as caught:
            rw.image_inference(**PICTURE, number_results=20)
        assert caught.value.spent == pytest.approx(0.99)


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), True, None], ids=str)
def test_odd_cost_of_a_dry_run_is_none(monkeypatch: pytest.MonkeyPatch, cost: Any) -> None:
    rw = Runware("key")
    monkeypatch.setattr(dry_run, "_post", lambda *_: {"data": [{"cost": cost}]})
    known = rw.estimate(task_type="imageInference", **PICTURE)
    assert rw.estimate(task_type="imageInference", **PICTURE, exact=True) == known


def test_python_name_as_a_key_is_answered_with_the_attribute() -> None:
    image = Image(url="https://example.com/kite.png")
    with pytest.raises(KeyError) as raised:
        image["url"]
    assert raised.value.args == ("url",)
    assert raised.value.__notes__ == ["Keys are the API's names. The attribute is .url."]
    with pytest.raises(KeyError) as raised:
        image["nothing"]
    assert not hasattr(raised.value, "__notes__")


def test_dict_of_a_result_is_its_own() -> None:
    image = Image(raw={"outputs": {"blocks": [1]}})
    image.to_dict()["outputs"]["blocks"].append(2)
    image.to_dict(api_names=False)["outputs"]["blocks"].append(2)
    assert image.raw == {"outputs": {"blocks": [1]}}


def test_object_made_by_hand_has_its_values_under_both_names() -> None:
    image = Image(url="https://a/b.png", seed=5, raw={"seed": 4, "novel": 1})
    assert image.to_dict() == {"seed": 5, "novel": 1, "imageURL": "https://a/b.png"}
    assert image.to_dict(api_names=False) == {"url": "https://a/b.png", "seed": 5}
    changed = attrs.evolve(Image(raw={"mediaURL": "https://a/b.png"}), cost=1.5)
    assert changed.to_dict() == {"mediaURL": "https://a/b.png", "cost": 1.5}
    mask = runware.MaskImage(detections=[runware.Detection(x_min=1.0)])
    assert mask.to_dict() == {"detections": [{"x_min": 1.0}]}
    assert runware.MaskImage.from_dict(mask.to_dict()).detections[0].x_min == 1.0


@pytest.mark.parametrize("data", [5, "x", None, {"task_type": "imageInference", "url": "https://a"}])
def test_what_is_no_object_of_the_api_is_refused(data: Any) -> None:
    for make in (Image.from_dict, from_dict):
        with pytest.raises(ValidationError, match="API's names"):
            make(data)


def test_text_that_is_not_json_is_refused() -> None:
    for make in (Image.from_json, from_json):
        with pytest.raises(ValidationError, match="not JSON"):
            make("{")


def test_prompt_is_known_but_does_not_travel(rw: Runware) -> None:
    images = rw.image_inference(**SECRET, number_results=2)
    (image, _) = images
    assert image.positive_prompt == "a secret kite"
    (video,) = rw.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)
    assert video.positive_prompt == "waves"
    for text in (
        image.to_json(),
        image.to_json(api_names=False),
        images.to_json(),
        json.dumps(dict(image)),
        json.dumps(image.__json__()),
        json.dumps(images, default=Result.to_dict),
        attrs.evolve(image, cost=1.0).to_json(),
        repr(images),
    ):
        assert "secret" not in text
        assert image.uuid is not None
        assert image.uuid in text
    assert from_dict(image.to_dict()) == image
    assert hash(from_dict(image.to_dict())) == hash(image)
    assert from_dict(image.to_dict()).positive_prompt is None  # type: ignore[attr-defined]
    for copied in (pickle.loads(pickle.dumps(image)), copy.copy(image), copy.deepcopy(image)):
        assert copied == image
        assert copied.positive_prompt == "a secret kite"
    assert Image(raw={"positivePrompt": "x"}).to_dict(api_names=False) == {"positive_prompt": "x"}


def test_pydantic_reads_what_it_writes(rw: Runware) -> None:
    pydantic = pytest.importorskip("pydantic")
    images = rw.image_inference(**SECRET, number_results=2)
    for kind, value in ((Image, images[0]), (Results[Image], images), (Image | None, images[0])):
        adapter = pydantic.TypeAdapter(kind)
        written = adapter.dump_json(value)
        assert b"secret" not in written
        assert adapter.validate_json(written) == value
        assert type(adapter.validate_json(written)) is type(value)
        assert adapter.validate_python(value) is value
        assert adapter.json_schema()
    with pytest.raises(pydantic.ValidationError, match="Image or a dict expected, not int"):
        pydantic.TypeAdapter(Results[Image]).validate_python([5])
    with pytest.raises(pydantic.ValidationError, match="Results or a list expected, not dict"):
        pydantic.TypeAdapter(Results[Image]).validate_python({})
    with pytest.raises(pydantic.ValidationError, match="Python names"):
        pydantic.TypeAdapter(Image).validate_python({"task_type": "imageInference"})


def test_orjson_writes_results(rw: Runware) -> None:
    orjson = pytest.importorskip("orjson", reason="it is an extra")
    images = rw.image_inference(**SECRET)
    assert from_json(orjson.dumps(images, default=Result.to_dict)) == images


def test_url_for_strict_callers_is_a_text_or_an_error(rw: Runware) -> None:
    (image,) = rw.image_inference(**PICTURE)
    assert image.get_url() == image.url
    (image,) = rw.image_inference(**PICTURE, output_type="base64Data")
    assert not image.url
    with pytest.raises(runware.DownloadError, match=r"inline; use read\(\) or save\(\)"):
        image.get_url()
    with pytest.raises(runware.DownloadError, match="the server sent none"):
        Image().get_url()


def test_status_is_one_of_the_declared_ones(rw: Runware, server: LocalServer) -> None:
    known = get_args(JobStatus)
    assert get_type_hints(Job.status.fget)["return"] is get_type_hints(Progress)["status"] is JobStatus  # type: ignore[attr-defined]
    with server.hold("imageInference"):
        job = rw.submit.image_inference(**PICTURE)
        assert job.status in known
    job.result(20)
    assert job.progress.status in known


def test_every_framework_has_a_script_and_packages() -> None:
    scripts = {path.stem for path in frameworks.SCRIPTS.glob("*.py")}
    assert scripts == set(frameworks.PACKAGES)
    assert set(frameworks.EXTRAS) <= scripts


def test_failed_framework_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr(frameworks, "SCRIPTS", tmp_path)
    monkeypatch.setattr(frameworks, "PACKAGES", {"bad": ("attrs",), "good": ("attrs",)})
    monkeypatch.setattr(frameworks, "install", lambda *_: sys.executable)
    monkeypatch.setattr(sys, "argv", ["frameworks", "--directory", str(tmp_path / "kept")])
    (tmp_path / "good.py").write_text("import os; print(os.environ['RUNWARE_URL'][:2])")
    (tmp_path / "bad.py").write_text("raise SystemExit('it broke')")
    assert frameworks.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["bad", "good"]
    assert "FAILED  it broke" in lines[0]
    assert "passed  ws" in lines[1]
    (tmp_path / "bad.py").unlink()
    monkeypatch.setattr(frameworks, "PACKAGES", {"good": ("attrs",)})
    assert frameworks.main() == 0
