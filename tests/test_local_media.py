"""The local server: media files, uploads, text, models, the account, dry runs, webhooks."""

from __future__ import annotations

import base64
import io
import json
import random
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from runware.local import LocalServer
from runware.local.media import Media
from runware.local.uuids import new_uuid as server_uuid
from tests.test_local_server import Peer, errors, new_uuid
from tests.test_local_tasks import HEAD, MINIMAL, MODEL, fetch, finish


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server
        assert not server.ledger.errors


@pytest.fixture
def peer(shared: LocalServer) -> Iterator[Peer]:
    with Peer(shared) as connected:
        yield connected


# Media.


def test_server_uuids_stay_unique_when_a_program_seeds_random() -> None:
    state = random.getstate()
    try:
        made = []
        for _ in range(2):
            random.seed(1)
            made.append(server_uuid())
    finally:
        random.setstate(state)
    assert made[0] != made[1]


@pytest.mark.parametrize(
    ("kind", "key", "formats"),
    [
        ("videoInference", "videoURL", {"MP4": "video/mp4", "WEBM": "video/webm", "MOV": "video/quicktime"}),
        (
            "audioInference",
            "audioURL",
            {"MP3": "audio/mpeg", "WAV": "audio/wav", "FLAC": "audio/flac", "OGG": "audio/ogg"},
        ),
        ("vectorize", "imageURL", {"SVG": "image/svg+xml"}),
    ],
)
def test_media_files_have_the_requested_format(peer: Peer, kind: str, key: str, formats: dict[str, str]) -> None:
    starts = {
        "MP4": (4, b"ftypisom"), "MOV": (4, b"ftypqt"), "WEBM": (0, b"\x1aE\xdf\xa3"), "MP3": (0, b"\xff\xfb"),
        "WAV": (8, b"WAVE"), "FLAC": (0, b"fLaC"), "OGG": (0, b"OggS"), "SVG": (0, b"<svg"),
    }  # fmt: skip
    for name, content_type in formats.items():
        [item] = finish(peer, kind, outputFormat=name, **MINIMAL[kind])
        assert item[key].endswith(f".{name.lower()}")
        found, data = fetch(item[key])
        position, start = starts[name]
        assert (found, data[position : position + len(start)]) == (content_type, start)


@pytest.mark.parametrize("name", ["GLB", "PLY", "OBJ", "STL", "FBX", "USDZ", "3MF"])
def test_3d_files_have_the_requested_format(peer: Peer, name: str) -> None:
    [item] = finish(peer, "3dInference", outputFormat=name, **MINIMAL["3dInference"])
    [file] = item["outputs"]["files"]
    assert file["uuid"] in file["url"]
    starts = {"GLB": b"glTF", "PLY": b"ply", "OBJ": b"v ", "STL": b"solid", "FBX": b"Kaydara", "USDZ": b"PK"}
    assert fetch(file["url"])[1].startswith(starts.get(name, b"PK"))


ODD_PROMPT = "a kite \ud800 [\x00\x07] \udfff <&>"
"""Lone surrogates, which JSON can hold and UTF-8 cannot, and control characters, which XML cannot hold."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("imageInference", "PNG"), ("imageInference", "JPG"), ("videoInference", "MP4"), ("audioInference", "WAV"),
        ("3dInference", "GLB"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inside", [False, True])
def test_prompt_with_a_lone_surrogate_is_drawn(peer: Peer, kind: str, name: str, inside: bool) -> None:
    form = {"outputType": "dataURI"} if inside and kind in ("imageInference", "audioInference") else {}
    key = {"imageInference": "image", "videoInference": "video", "audioInference": "audio"}.get(kind)
    [item] = finish(peer, kind, **{**MINIMAL[kind], "positivePrompt": ODD_PROMPT, "outputFormat": name, **form})
    if form:
        assert len(base64.b64decode(item[f"{key}DataURI"].partition(",")[2])) > 100
    else:
        url = item[f"{key}URL"] if key else item["outputs"]["files"][0]["url"]
        assert len(fetch(url)[1]) > 100


def test_drawing_of_any_prompt_as_svg_is_valid_xml() -> None:
    tree = ET.fromstring(Media("image", "svg", {"width": 64, "height": 64}, ODD_PROMPT, 1).render())
    assert [one.text for one in tree if one.tag.endswith("title")] == ["a kite ? [\ufffd\ufffd] ? <&>"]


def test_lone_surrogate_in_a_text_comes_back_as_an_escape(peer: Peer) -> None:
    [item] = finish(peer, "promptEnhance", prompt=ODD_PROMPT)
    assert item["text"].startswith(ODD_PROMPT)


def test_audio_can_be_sent_inside_a_result(peer: Peer) -> None:
    [item] = finish(peer, "audioInference", outputType="base64Data", outputFormat="WAV", **MINIMAL["audioInference"])
    assert base64.b64decode(item["audioBase64Data"]).startswith(b"RIFF")


def test_unknown_file_gets_status_404(peer: Peer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        fetch(f"{peer.server.http_url}/image/{new_uuid()}.jpg")
    caught.value.close()


def size_of(url: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(fetch(url)[1])) as picture:
        return picture.size


def test_editing_tasks_use_the_input_image(peer: Peer) -> None:
    source = peer.ask(width=256, height=128, positivePrompt="a lighthouse")["data"][0]
    for given in ({"inputImage": source["imageUUID"]}, {"inputs": {"image": source["imageURL"]}}):
        item = peer.ask("upscale", upscaleFactor=4, **given)["data"][0]
        assert item["inputImageUUID"] == source["imageUUID"]
        assert size_of(item["imageURL"]) == (1024, 512)
        cut = peer.ask("removeBackground", **given)["data"][0]["imageURL"]
        with Image.open(io.BytesIO(fetch(cut)[1])) as picture:
            assert (picture.mode, picture.size) == ("RGBA", (256, 128))
        assert peer.ask("caption", **given)["data"][0]["text"] == "a picture of a lighthouse"
        for kind, key in (("controlNetPreprocess", "guideImageURL"), ("imageMasking", "maskImageURL")):
            assert size_of(peer.ask(kind, model=MODEL, **given)["data"][0][key]) == (256, 128)


def test_editing_tasks_use_the_input_video(peer: Peer) -> None:
    [video] = finish(peer, "videoInference", **MINIMAL["videoInference"])
    for kind, extension in (("upscale", "mp4"), ("removeBackground", "webm")):
        [item] = finish(peer, kind, inputs={"video": video["videoUUID"]})
        assert item["mediaUUID"] in item["mediaURL"]
        assert item["mediaURL"].endswith(extension)
        assert fetch(item["mediaURL"])[0] == f"video/{extension}"


@pytest.mark.parametrize("form", ["TIFF", "BMP"])
def test_tiff_and_bmp_can_be_uploaded_and_edited(peer: Peer, form: str) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 32), (200, 10, 10)).save(picture, form)
    encoded = base64.b64encode(picture.getvalue()).decode()
    for given in (encoded, f"data:image/{form.lower()};base64,{encoded}"):
        uploaded = peer.ask("imageUpload", image=given)["data"][0]
        assert uploaded["imageURL"].endswith(f".{form.lower()}")
        assert fetch(uploaded["imageURL"]) == (f"image/{form.lower()}", picture.getvalue())
        stored = peer.ask("mediaStorage", operation="upload", media=given)["data"][0]
        assert fetch(stored["mediaURL"]) == (f"image/{form.lower()}", picture.getvalue())
        [larger] = finish(peer, "upscale", inputImage=given, upscaleFactor=2)
        with Image.open(io.BytesIO(fetch(larger["imageURL"])[1])) as opened:
            assert opened.size == (128, 64)
            assert opened.convert("RGB").getpixel((64, 8))[0] > 150  # type: ignore[index]
    copied = peer.ask("mediaStorage", operation="upload", media=f"https://example.com/a.{form.lower()}")["data"][0]
    kind, data = fetch(copied["mediaURL"])
    with Image.open(io.BytesIO(data)) as opened:
        assert (kind, opened.format) == (f"image/{form.lower()}", form)


def test_uploaded_images_can_be_used_and_deleted(peer: Peer) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(picture, "PNG")
    encoded = base64.b64encode(picture.getvalue()).decode()
    uploaded = peer.ask("imageUpload", image=encoded)["data"][0]
    assert fetch(uploaded["imageURL"]) == ("image/png", picture.getvalue())
    for given in (uploaded["imageUUID"], encoded, f"data:image/png;base64,{encoded}"):
        item = peer.ask("upscale", inputImage=given)["data"][0]
        assert size_of(item["imageURL"]) == (80, 60)
        assert fetch(f"{peer.server.http_url}/image/{item['inputImageUUID']}.png")[1] == picture.getvalue()
    stored = peer.ask("mediaStorage", operation="upload", media=f"data:image/png;base64,{encoded}")["data"][0]
    assert fetch(stored["mediaURL"])[1] == picture.getvalue()
    copied = peer.ask("mediaStorage", operation="upload", media=stored["mediaURL"])["data"][0]
    assert size_of(copied["mediaURL"]) == (40, 30)
    gone = peer.ask("mediaStorage", operation="delete", media=stored["mediaUUID"])["data"][0]
    assert (gone["operation"], gone["mediaUUID"]) == ("delete", stored["mediaUUID"])
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        fetch(stored["mediaURL"])
    caught.value.close()
    film = peer.ask("mediaStorage", operation="upload", media="https://example.com/clip.mp4")["data"][0]
    assert fetch(film["mediaURL"])[0] == "video/mp4"


# Text, models, account.


def test_text_results_have_usage(peer: Peer) -> None:
    settings = {"systemPrompt": "Be brief."}
    items = peer.ask("textInference", numberResults=2, includeUsage=True, settings=settings, **MINIMAL["textInference"])
    first, second = items["data"]
    assert first["text"] != second["text"]
    assert "hi" in first["text"]
    assert first["finishReason"] == "stop"
    usage = first["usage"]
    assert usage["totalTokens"] == usage["promptTokens"] + usage["completionTokens"]


def test_enhanced_prompts_start_with_the_prompt(peer: Peer) -> None:
    first, second = peer.ask("promptEnhance", prompt="harbour", promptVersions=2, includeCost=True)["data"]
    assert first["text"] != second["text"]
    assert first["text"].startswith("harbour, ")
    assert set(first) == HEAD | {"text", "cost"}
    assert len(peer.ask("promptEnhance", prompt="harbour", promptMaxLength=12)["data"][0]["text"]) == 12


def test_uploaded_model_reports_statuses_and_is_found_by_search() -> None:
    with LocalServer() as server, Peer(server) as peer:
        upload = MINIMAL["modelUpload"] | {"air": "acme:1@1", "name": "Acme", "private": True}
        task = peer.task("modelUpload", **upload)
        frames = [peer.frame()["data"][0] for _ in range(5)]
        assert [item["status"] for item in frames] == ["validated", "downloaded", "optimized", "stored", "ready"]
        assert {(item["taskUUID"], item["air"]) for item in frames} == {(task, "acme:1@1")}
        found = peer.ask("modelSearch", search="acme")["data"][0]
        assert (found["totalResults"], found["results"][0]["air"]) == (1, "acme:1@1")
        assert peer.ask("modelSearch", search="acme", visibility="public")["data"][0]["totalResults"] == 0
        with server.hold():
            task = peer.task("modelUpload", deliveryMethod="async", **upload)
            assert set(peer.frame()["data"][0]) == HEAD
            assert peer.ask("getResponse", taskUUID=task)["data"][0]["status"] == "processing"
            server.release(2)
            assert peer.ask("getResponse", taskUUID=task)["data"][0]["status"] == "downloaded"


def test_model_search_filters_sorts_and_pages() -> None:
    with LocalServer() as server, Peer(server) as peer:
        _search_page_by_page(peer)


def _search_page_by_page(peer: Peer) -> None:
    def search(**fields: Any) -> Any:
        return peer.ask("modelSearch", **fields)["data"][0]

    everything = search(limit=100)
    pages = [model for offset in range(0, 60, 25) for model in search(limit=25, offset=offset)["results"]]
    assert pages == everything["results"]
    assert everything["totalResults"] == len(pages) == len({model["air"] for model in pages}) == 60
    assert len(search()["results"]) == 20
    checkpoints = search(category="checkpoint", search="realistic", sort="-name")
    assert 0 < checkpoints["totalResults"] < 60
    assert all(model["category"] == "checkpoint" for model in checkpoints["results"])
    names = [model["name"] for model in checkpoints["results"]]
    assert names == sorted(names, reverse=True)
    tag = pages[0]["tags"][0]
    assert all(tag in model["tags"] for model in search(tags=[tag])["results"])


def test_account_shows_balance_and_redacted_key() -> None:
    with LocalServer(balance=12.5) as server, Peer(server) as peer:
        [account] = peer.ask("accountManagement", operation="getDetails")["data"]
        assert account["balance"] == 12.5
        assert account["apiKeys"][0]["apiKey"] == "rw-l****"
        server.switch(q18="object")
        assert isinstance(peer.ask("accountManagement", operation="getDetails")["data"][0]["balance"], dict)
        assert peer.ask("accountManagement", operation="getUsageErrors")["data"][0]["operation"] == "getUsageErrors"


def test_usage_reports_count_what_was_executed() -> None:
    with LocalServer() as server, Peer(server) as peer:
        for model in ("runware:101@1", "runware:101@1", "runware:100@1"):
            finish(peer, "imageInference", positivePrompt="a kite", model=model)
        asked = {"operation": "getUsageActivity", "startDate": "2026-10-01", "groupBy": ["model"]}
        [report] = peer.ask("accountManagement", **asked)["data"]
        assert report["startDate"] == "2026-10-01"
        assert set(report["usage"]) == {"model"}
        rows = {row["model"]: (row["count"], row["spend"]) for row in report["usage"]["model"]["data"]}
        assert rows == {"runware:100@1": (1, 0.0013), "runware:101@1": (2, 0.0026)}
        assert report["usage"]["model"]["meta"]["totalRequests"] == 3
        for operation, column in (("getUsagePerformance", "p90InferenceTime"), ("getUsageErrors", "clientErrors")):
            [report] = peer.ask("accountManagement", operation=operation)["data"]
            assert set(report["usage"]) == {"timeseries", "model", "apiKey"}
            assert column in report["usage"]["timeseries"]["data"][0]


# Dry runs.


def test_dry_run_costs_nothing_and_executes_nothing() -> None:
    with LocalServer() as server, Peer(server, query="?sdk=js&version=1&dryRun=1") as peer:
        items = peer.ask(numberResults=2, seed=3)["data"]
        assert [(item["seed"], item["cost"]) for item in items] == [(3, 0.0013), (4, 0.0013)]
        assert set(items[0]) == HEAD | {"seed", "cost"}
        assert errors(peer.ask(width=1)) == ["invalidWidth"]
        task = peer.task("videoInference", **MINIMAL["videoInference"])
        assert set(peer.frame()["data"][0]) == HEAD
        assert peer.ask("getResponse", taskUUID=task)["data"][0]["cost"] == 0.18
        server.switch(q11="empty")
        assert peer.ask() == {"data": []}
        assert (server.ledger.executed, server.ledger.billed, server.ledger.dry_runs) == (0, 0, 3)
        with Peer(server) as wet:
            wet.task("videoInference", taskUUID=task, **MINIMAL["videoInference"])
            assert "data" in wet.frame()
        assert server.ledger.executions(task) == 1


# Webhooks and uploads.


class Receiver(BaseHTTPRequestHandler):
    """Receives webhooks and uploads; `refuse=N` in the path makes it fail the first N attempts."""

    taken: list[tuple[str, str, str, bytes]]

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append((self.command, self.path, self.headers["Content-Type"], body))
        refusals = int(self.path.partition("refuse=")[2] or 0)
        seen = sum(1 for _, path, _, _ in self.taken if path == self.path)
        self.send_response(204 if seen > refusals else 500)
        self.end_headers()

    do_POST = do_PUT = _take

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[str, str, str, bytes]]]]:
    taken: list[tuple[str, str, str, bytes]] = []
    handler = type("Handler", (Receiver,), {"taken": taken})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", taken
        server.shutdown()
        thread.join()


def test_webhooks_deliver_each_result(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer() as server, Peer(server) as peer:
        server.configure(webhook_delay=0.001)
        task = peer.task(numberResults=2, webhookURL=f"{url}/hook?token=1", seed=1)
        assert peer.frame() == {"data": [{"taskType": "imageInference", "taskUUID": task}]}
        server.ledger.wait_for(lambda ledger: sum(hook["delivered"] for hook in ledger.webhooks) == 2)
        assert {(method, path, kind) for method, path, kind, _ in taken} == {
            ("POST", "/hook?token=1", "application/json")
        }
        bodies = sorted((json.loads(body) for *_, body in taken), key=lambda body: body["seed"])
        assert [(body["status"], body["seed"], body["taskUUID"]) for body in bodies] == [
            ("success", 1, task),
            ("success", 2, task),
        ]
        assert len(peer.ask("getResponse", taskUUID=task)["data"]) == 2


def test_webhooks_are_retried_in_the_form_of_switch_q12(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer(switches={"q12": "data"}) as server, Peer(server) as peer:
        server.configure(webhook_delay=0.001, webhook_tries=3)
        peer.task(webhookURL=f"{url}/?refuse=2")
        server.ledger.wait_for(lambda ledger: ledger.webhooks and ledger.webhooks[0]["delivered"])
        assert server.ledger.webhooks[0]["statuses"] == [500, 500, 204]
        assert list(json.loads(taken[0][3])) == ["data"]
        peer.task(webhookURL=f"{url}/fail", positivePrompt="x [unsafe]")
        server.ledger.wait_for(lambda ledger: len(ledger.webhooks) == 2 and ledger.webhooks[1]["delivered"])
        assert errors(json.loads(taken[-1][3])) == ["invalidProviderContent"]
        server.switch(q12="flat")
        peer.task(webhookURL=f"{url}/?refuse=9", positivePrompt="x [unsafe]")
        server.ledger.wait_for(lambda ledger: len(ledger.webhooks) == 3 and len(ledger.webhooks[2]["statuses"]) == 3)
        assert server.ledger.webhooks[-1]["delivered"] is False
        body = json.loads(taken[-1][3])
        assert (body["status"], body["error"]["code"]) == ("error", "invalidProviderContent")


def test_webhooks_and_uploads_to_other_machines_are_refused() -> None:
    with LocalServer() as server, Peer(server) as peer:
        peer.ask(webhookURL="https://example.com/hook")
        peer.ask(uploadEndpoint="http://192.0.2.1/put", width=128, height=128)
        for [entry] in (server.ledger.webhooks, server.ledger.uploads):
            assert entry["statuses"] == ["refused: not on this machine"]
            assert entry["delivered"] is False


def test_result_is_uploaded_to_the_upload_endpoint(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer() as server, Peer(server) as peer:
        item = peer.ask(uploadEndpoint=f"{url}/put", width=128, height=128)["data"][0]
        server.ledger.wait_for(lambda ledger: ledger.uploads and ledger.uploads[0]["delivered"])
        [(method, path, kind, body)] = taken
        assert (method, path, kind) == ("PUT", "/put", "image/jpeg")
        assert fetch(item["imageURL"])[1] == body


# Faults of webhooks.


def bodies(taken: list[Any]) -> list[Any]:
    return [json.loads(body) for *_, body in taken]


def test_every_webhook_is_delivered_several_times(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer() as server, Peer(server) as peer, server.play("W1", copies=2):
        peer.task(webhookURL=url, numberResults=2)
        server.ledger.wait_for(lambda ledger: sum(hook["delivered"] for hook in ledger.webhooks) == 6)
    assert Counter(body["imageUUID"] for body in bodies(taken)).most_common()[1][1] == 3


def test_webhooks_of_all_tasks_are_mixed(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer() as server, Peer(server) as peer:
        for order in ("shuffled", "reversed"):
            taken.clear()
            server.ledger.reset()
            with server.play("W2", order=order, interval=0.001), server.hold():
                tasks = [peer.task(webhookURL=url, numberResults=5, seed=1) for _ in range(4)]
                server.ledger.wait_for(lambda ledger: ledger.held == 20)
                server.release()
                server.ledger.wait_for(lambda ledger: sum(hook["delivered"] for hook in ledger.webhooks) == 20)
            sent = [(hook["body"]["taskUUID"], hook["body"]["seed"]) for hook in server.ledger.webhooks]
            assert sorted(sent) == sorted((task, seed) for task in tasks for seed in range(1, 6))
            assert sent != [(task, seed) for task in tasks for seed in range(1, 6)]


def test_fault_delays_webhooks(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer() as server, Peer(server) as peer, server.play("W3", seconds=0.2):
        task = peer.task(webhookURL=url)
        assert peer.ask("getResponse", taskUUID=task)["data"]
        assert taken == []
        server.ledger.wait_for(lambda ledger: ledger.webhooks[0]["delivered"])


def test_webhook_comes_before_the_acknowledgement(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer() as server, Peer(server) as peer, server.play("W4"):
        for address, statuses in ((url, [204]), ("https://example.com/", ["refused: not on this machine"])):
            task = peer.task(webhookURL=address, numberResults=2)
            assert peer.frame() == {"data": [{"taskType": "imageInference", "taskUUID": task}]}
            assert server.ledger.webhooks[0]["statuses"] == statuses
            server.ledger.wait_for(lambda ledger: all(hook["statuses"] for hook in ledger.webhooks))
            server.ledger.reset()
        assert "data" in peer.ask(numberResults=1)
    assert len(taken) == 2


def test_fault_loses_webhooks(receiver: tuple[str, list[Any]]) -> None:
    url, taken = receiver
    with LocalServer() as server, Peer(server) as peer:
        server.play("W5")
        lost, delivered = (peer.task(webhookURL=url) for _ in range(2))
        server.ledger.wait_for(lambda ledger: len(ledger.webhooks) == 2 and ledger.webhooks[1]["delivered"])
        assert server.ledger.webhooks[0]["statuses"] == ["lost"]
        assert [body["taskUUID"] for body in bodies(taken)] == [delivered]
        assert len(peer.ask("getResponse", taskUUID=lost)["data"]) == 1


@pytest.mark.parametrize("form", ["several", "processing", "unknown-task", "garbage"])
def test_webhooks_have_unexpected_forms(receiver: tuple[str, list[Any]], form: str) -> None:
    url, taken = receiver
    with LocalServer(switches={"webhook_error": "error"}) as server, Peer(server) as peer:
        server.play("W6", form=form)
        task = peer.task(webhookURL=url, numberResults=3, positivePrompt="x [fail:2]")
        expected = {"several": 1}.get(form, 6)
        server.ledger.wait_for(lambda ledger: sum(hook["delivered"] for hook in ledger.webhooks) == expected)
    if form == "several":
        (body,) = bodies(taken)
        assert (len(body["data"]), len(body["errors"])) == (2, 1)
    elif form == "garbage":
        assert sum(body.startswith(b"<html>") for *_, body in taken) == 3
    else:
        others = [body for body in bodies(taken) if body.get("progress") == 50 or "newField" in body]
        assert len(others) == 3
        assert all((body["taskUUID"] == task) is (form == "processing") for body in others)


@pytest.mark.parametrize("form", ["errors", "error", "item", "data", "flat"])
def test_errors_in_webhooks_have_the_form_of_their_switch(receiver: tuple[str, list[Any]], form: str) -> None:
    url, taken = receiver
    with LocalServer(switches={"webhook_error_body": form}) as server, Peer(server) as peer:
        task = peer.task(webhookURL=url, positivePrompt="x [unsafe]")
        server.ledger.wait_for(lambda ledger: ledger.webhooks and ledger.webhooks[0]["delivered"])
    (body,) = bodies(taken)
    error = {
        "errors": lambda: body["errors"][0],
        "error": lambda: body["error"],
        "item": lambda: body["error"],
        "data": lambda: body["data"][0]["error"],
        "flat": lambda: body,
    }[form]()
    assert (error["code"], error["taskUUID"]) == ("invalidProviderContent", task)
