"""What results and jobs display in a notebook, and the example notebook, executed."""

from __future__ import annotations

import base64
import html.parser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
from typing import Any

import pytest

import runware
from runware import Runware
from runware.display.notebook import Bar, answer_bundle, in_notebook
from runware.local import LocalServer
from runware.local.images import encode, scene
from runware.protocol.codec import structure
from runware.results.text import Usage
from runware.text.answers import Answer

from .test_three_interfaces import PICTURE

PROJECT = pathlib.Path(__file__).parent.parent
EVIL = "\"><script>alert('1')</script><img src=x onerror=alert(1)>"
VOID = {"img", "br", "source"}


class Page(html.parser.HTMLParser):
    """Parses a page, and insists that every opened element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def page(shown: Any) -> Page:
    bundle = shown._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"]
    return Page(bundle["text/html"])


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a repr must not fetch anything")

    monkeypatch.setattr("runware.media.downloads.Session.fetch", forbidden)


def test_images_are_shown_in_a_grid(rw: Runware) -> None:
    images = rw.image_inference(
        positive_prompt="a <red> kite", model="runware:101@1", width=768, height=512, number_results=3,
        include_cost=True, seed=7,
    )  # fmt: skip
    shown = page(images)
    assert [tag["src"] for tag in shown.all("img")] == [image.url for image in images]
    assert shown.all("img")[0]["alt"] == "a <red> kite"
    for word in ("a <red> kite", "seed 7", "seed 8", "seed 9", "768 × 512", "$0.00", "3 results"):
        assert word in shown.words
    assert len(page(images[0]).all("img")) == 1


@pytest.mark.parametrize("output_type", ["base64Data", "dataURI"])
def test_embedded_bytes_are_embedded_in_the_page(rw: Runware, output_type: Any) -> None:
    (image,) = rw.image_inference(**PICTURE, output_type=output_type, output_format="PNG")
    (tag,) = page(image).all("img")
    assert tag["src"] is not None
    kind, _, data = tag["src"].partition(";base64,")
    assert kind == "data:image/png"
    assert base64.b64decode(data) == image.read()


def test_players_and_links_show_video_audio_and_models(rw: Runware) -> None:
    (video,) = rw.video_inference(positive_prompt="waves", model="klingai:5@3", duration=5)
    assert page(video).all("video")[0]["src"] == video.url
    assert "5 s" in page(video).words
    (audio,) = rw.audio_inference(positive_prompt="rain", model="elevenlabs:1@1", duration=10)
    assert page(audio).all("audio")[0]["src"] == audio.url
    (model,) = rw.three_d_inference(positive_prompt="a chair", model="tripo:1@1")
    assert page(model).all("a")[0]["href"] == model.url
    several = runware.Model3D(outputs={"files": [{"url": "https://a/1.glb"}, {"url": "https://a/2.fbx"}]})
    assert [tag["href"] for tag in page(several).all("a")] == ["https://a/1.glb", "https://a/2.fbx"]


def test_everything_is_escaped() -> None:
    shown: list[Any] = [
        runware.Image(url=f"https://example.com/{EVIL}", positive_prompt=EVIL),
        runware.Video(url=f"https://example.com/{EVIL}"),
        runware.Model3D(url=f"https://example.com/x.glb?{EVIL}"),
        runware.Text(text=EVIL),
    ]
    errors = [runware.ServerError(EVIL)]
    for one in [*shown, runware.Results(shown, errors=errors)]:
        seen = page(one)
        assert not seen.all("script")
        assert not any("onerror" in tag for _, tag in seen.tags)
    assert EVIL in page(runware.Results(shown, errors=errors)).words


def test_lone_surrogates_leave_a_view_that_can_be_sent() -> None:
    shown: list[Any] = [
        runware.Image(url="https://a/1.png", positive_prompt="a \ud800 kite"),
        runware.Text(text="\udfff"),
    ]
    for one in [*shown, runware.Results(shown, errors=[runware.ServerError("\ud800")])]:
        for view in one._repr_mimebundle_().values():
            view.encode()
    assert "a ? kite" in page(shown[0]).words


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "http://[::1", "", None]
)
def test_only_http_urls_are_loaded(url: str | None) -> None:
    for cls in (runware.Image, runware.Video, runware.Audio, runware.Model3D, runware.MediaResult):
        for _, attributes in page(cls(url=url)).tags:
            assert "src" not in attributes
            assert "href" not in attributes


def test_large_or_damaged_media_are_not_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = base64.b64encode(encode(scene("x", 1, 64, 64), "png", 90)).decode()
    assert not page(runware.Image(base64_data="?" * 100)).all("img")
    monkeypatch.setattr("runware.display.notebook._MAX_EMBEDDED", 100)
    shown = page(runware.Image(base64_data=text))
    assert not shown.all("img")
    assert "save()" in shown.words


def test_flags_costs_and_unusual_requests_are_shown() -> None:
    item = {"imageURL": "https://a/b.png", "NSFWContent": True, "cost": 0.18}
    origin = ({"positivePrompt": ["not text"], "width": "768"}, None, 0.0, ())
    image = runware.Image(raw=item)
    object.__setattr__(image, "_origin", origin)
    words = page(image).words
    assert "flagged" in words
    assert "$0.18" in words
    many = page(runware.Results([image] * 100))
    assert "and 40 more" in many.words


def cells(shown: Page) -> str:
    assert len(shown.all("table")) == 1
    return shown.words


def test_models_and_the_account_are_tables(rw: Runware) -> None:
    found = rw.model_search(search="flux", limit=3)
    words = cells(page(found))
    assert len(page(found).all("tr")) == 4
    for model in found:
        assert model.air is not None
        assert model.air in words
    account = rw.account_management()
    words = cells(page(account))
    assert account.organization_name is not None
    assert account.organization_name in words
    assert "$100.00" in words
    listed = rw.models.list(q="flux dev")
    shown = Page(listed._repr_html_())  # type: ignore[attr-defined]
    assert len(shown.all("tr")) == len(listed) + 1
    assert "runware:101@1" in shown.words


def test_tables_are_escaped_and_limited() -> None:
    models = [{"air": f"{EVIL}{number}", "name": EVIL, "tags": [EVIL]} for number in range(250)]
    found = runware.ModelPage(raw={"results": models, "totalResults": 9000})
    shown = page(found)
    assert EVIL in shown.words
    assert "and 50 more" in shown.words
    assert "250 of 9000 models" in shown.words
    assert not shown.all("script")
    usage = {"timeseries": {"data": [{"date": EVIL, "spend": 0.5, "count": 3}]}, "today": {"credits": 2.0}}
    shown = page(runware.Account(raw={"organizationName": EVIL, "usage": usage}))
    assert not shown.all("script")
    assert "$0.50 · 3 requests" in shown.words


def test_other_results_are_plain_text() -> None:
    assert list(runware.TrainedModel(air="a:1@1")._repr_mimebundle_()) == ["text/plain"]
    assert list(runware.Results([])._repr_mimebundle_()) == ["text/plain"]


def test_answer_without_a_number_of_tokens_shows_none_of_them() -> None:
    for usage, shown in (({"totalTokens": 7}, "7 tokens"), ({"promptTokens": 5}, ""), ({}, "")):
        answer = Answer(text="yes", usage=structure(usage, Usage))
        assert Page(answer_bundle(answer)["text/html"]).words == f"yes{shown}"


def test_answers_of_chats_show_their_text(rw: Runware) -> None:
    def get_weather(city: str) -> str:
        return f"rain in {city}"

    chat = rw.chat("google:gemma@4-31b", tools=[get_weather])
    bundle = chat.send('[call:get_weather {"city": "<Oslo>"}] What is the weather?')._repr_mimebundle_()
    assert "rain in &lt;Oslo&gt;" in bundle["text/html"]
    assert "called get_weather" in bundle["text/html"]
    assert " tokens · $0.00" in bundle["text/html"]
    assert "Oslo" not in bundle["text/plain"]
    assert "tokens" not in runware.Answer(text="Hello.")._repr_mimebundle_()["text/html"]


def test_slices_of_models_are_tables(rw: Runware) -> None:
    found = rw.models.list(q="kling")
    assert found[0].air in found[:2]._repr_html_()
    assert len(found[:2]) == 2


def test_single_result_is_large() -> None:
    image = runware.Image(url="https://a/b.png")
    one, many = (runware.Results([image] * count)._repr_mimebundle_()["text/html"] for count in (1, 2))
    assert "max-width:960px" in image._repr_mimebundle_()["text/html"]
    assert "grid" not in one
    assert "grid" in many


def test_results_are_embedded_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(scene("x", 1, 64, 64), "png", 90)
    fetched: list[int] = []

    def fetch(self: object, url: str, *, max_bytes: int, **_: object) -> Any:
        fetched.append(max_bytes)
        if "gone" in url:
            raise runware.DownloadError("gone")
        yield data

    monkeypatch.setattr("runware.media.downloads.Session.fetch", fetch)
    image = runware.Image(url="https://a/b.png")
    assert page(image).all("img")[0]["src"] == image.url
    assert fetched == []
    inline = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    assert page(image.embed()).all("img")[0]["src"] == inline
    monkeypatch.setattr("runware.display.embed", True)
    assert [tag["src"] for tag in page(runware.Results([image, image])).all("img")] == [inline] * 2
    assert fetched == [8 << 20] * 3
    gone = runware.Image(url="https://a/gone.png")
    assert page(gone).all("img")[0]["src"] == gone.url


def test_failed_job_says_why(server: LocalServer, rw: Runware) -> None:
    job = rw.submit.image_inference(**{**PICTURE, "positive_prompt": "x [error:invalidModel]"})
    error = job.exception(20)
    assert isinstance(error, runware.RunwareError)
    words = page(job).words
    assert f"{type(error).__name__}: " in words
    assert error.message in words
    with server.hold("imageInference"):
        cancelled = rw.submit.image_inference(**PICTURE)
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        cancelled.cancel()
        assert "TaskCancelledError" in page(cancelled).words


def test_job_shows_its_status_and_results(server: LocalServer, rw: Runware) -> None:
    with server.hold("imageInference"):
        job = rw.submit.image_inference(**PICTURE, number_results=2, include_cost=True)
        server.ledger.wait_for(lambda ledger: ledger.held == 2)
        shown = page(job)
        assert "sent" in shown.words
        assert "0 of 2" in shown.words
        assert job.task_uuid in shown.words
        (bar,) = shown.all("progress")
        assert "value" not in bar
        server.release(1)
        next(iter(job))
        shown = page(job)
        assert shown.all("progress")[0]["value"] == "50"
        assert len(shown.all("img")) == 1
    job.result(20)
    shown = page(job)
    assert "succeeded" in shown.words
    assert shown.all("progress")[0]["value"] == "100"
    assert len(shown.all("img")) == 2
    failed = rw.submit.image_inference(positive_prompt="x [error:invalidModel]", model="runware:101@1")
    failed.exception(20)
    assert "failed" in page(failed).words
    assert not page(failed).all("progress")


def jobs_of_every_form(rw: Runware) -> dict[str, runware.Job[Any]]:
    (video,) = rw.video_inference(positive_prompt="waves", model="klingai:5@3", skip_response=True)
    assert video.task_uuid is not None
    form = {"taskType": "imageInference", "positivePrompt": "a private kite", "width": 512, "height": 512}
    started = rw.submit.image_inference(**PICTURE)
    started.result(20)  # so that the server knows it when it is collected
    return {
        "operation": started,
        "request": rw.submit.run(runware.ImageInference(**PICTURE)),
        "raw": rw.submit.run(form),
        "raw of no class": rw.submit.run({**form, "taskType": "madeUp"}),
        "by UUID": rw.job(video.task_uuid),
        "by ref": rw.job(started.ref),
        "connect": rw._core.connect(20.0),
    }


TYPES = {"by UUID": "", "connect": "", "raw of no class": "madeUp"}


def test_jobs_of_every_form_show_themselves(rw: Runware, server: LocalServer) -> None:
    jobs = jobs_of_every_form(rw)
    for moment in ("under way", "over"):
        for form, job in jobs.items():
            if moment == "over":
                job.exception(20)
            kind = TYPES.get(form, "imageInference")
            for shown_as in (repr(job), str(job)):
                assert re.fullmatch(rf"<Job {kind}{' ' if kind else ''}{job.task_uuid} [a-z]+ \d/\d>", shown_as)
            shown = page(job)
            assert (kind or "job") in shown.words
            assert "private" not in job._repr_mimebundle_()["text/plain"]
            assert moment == "under way" or job.status in ("succeeded", "failed")
    assert {form for form, job in jobs.items() if job.status == "failed"} == {"raw of no class"}
    with server.hold("imageInference"):
        cancelled = rw.submit.run({"taskType": "imageInference", "positivePrompt": "a kite"})
        cancelled.cancel()
        assert repr(cancelled) == f"<Job imageInference {cancelled.task_uuid} cancelled 0/1>"


def test_partly_failed_job_shows_no_full_bar(rw: Runware) -> None:
    job = rw.submit.image_inference(**{**PICTURE, "positive_prompt": "[fail:2] a kite"}, number_results=2, retry=0)
    assert isinstance(job.exception(20), runware.IncompleteResultsError)
    assert job.status == "partial"
    assert page(job).all("progress")[0]["value"] == "50"


def test_progress_bar_needs_no_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_notebook()
    pytest.importorskip("IPython")
    import IPython.display

    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(bundle)

    def display(bundle: dict[str, str], **_: Any) -> Handle:
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr("runware.display.notebook._REFRESH", 0.0)
    bar = Bar(total=3, desc="tasks <b>")
    bar.update(1)
    bar.set_postfix_str("running", refresh=True)
    bar.update(2)
    bar.close()
    bar.close()
    values = [Page(bundle["text/html"]).all("progress")[0]["value"] for bundle in shown]
    assert values == ["0", "1", "1", "3", "3"]
    assert "running" in shown[2]["text/plain"]
    Bar(desc="one").close()
    assert [len(Page(bundle["text/html"]).all("progress")) for bundle in shown[-2:]] == [1, 0]


def executed(server: LocalServer, tmp_path: pathlib.Path, *sources: str) -> list[Any]:
    """Run cells in a kernel, and return their outputs."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    environment = {
        **os.environ, "PYTHONPATH": str(PROJECT), "RUNWARE_API_KEY": server.api_key, "RUNWARE_URL": server.url,
        "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }  # fmt: skip
    client.NotebookClient(book, timeout=50, resources={"metadata": {"path": str(tmp_path)}}).execute(env=environment)
    return [cell.outputs for cell in book.cells]


FOLLOWED = """
import threading
from runware import Runware
rw = Runware()
size = {"width": 512, "height": 512}
job = rw.submit.image_inference(positive_prompt="a kite", model="runware:101@1", number_results=2, **size)
job
"""
WAITED = """
job.result(30)
for thread in threading.enumerate():
    if thread.name == "runware-display":
        thread.join(30)
job.result()[0].show()
"""


@pytest.mark.filterwarnings("default")  # of the libraries that run notebooks
def test_displayed_job_updates_itself(server: LocalServer, tmp_path: pathlib.Path) -> None:
    first, second = executed(server, tmp_path, FOLLOWED, WAITED)
    [output] = first
    assert "succeeded 2/2" in output["data"]["text/plain"]
    assert len(Page(output["data"]["text/html"]).all("img")) == 2
    [shown] = second
    assert len(Page(shown["data"]["text/html"]).all("img")) == 1


def test_displayed_job_is_updated_until_it_is_done(
    server: LocalServer, rw: Runware, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("IPython")
    import IPython.display

    shown: list[dict[str, str]] = []
    ended = threading.Event()

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(bundle)
            if " succeeded " in bundle["text/plain"]:
                ended.set()

    def display(bundle: dict[str, str], **_: Any) -> Handle:
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr("runware.display.notebook.in_notebook", lambda: True)
    with server.hold("imageInference"):
        job = rw.submit.image_inference(**PICTURE)
        job._ipython_display_()
        assert "0/1" in shown[0]["text/plain"]
    assert ended.wait(30)
    assert "1/1" in shown[-1]["text/plain"]
    with pytest.raises(NotImplementedError):  # a job that is done shows itself like any result
        job._ipython_display_()
    monkeypatch.undo()
    with pytest.raises(NotImplementedError):
        rw.submit.image_inference(**PICTURE)._ipython_display_()


def test_example_notebook_runs(server: LocalServer, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("nbconvert")
    pytest.importorskip("ipykernel")
    result = subprocess.run(
        [
            sys.executable, "-m", "nbconvert", "--to", "html", "--execute", "--output-dir", str(tmp_path),
            shutil.copy(PROJECT / "examples" / "notebook.ipynb", tmp_path / "copy.ipynb"),
        ],
        capture_output=True, text=True, timeout=55, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "RUNWARE_API_KEY": server.api_key, "RUNWARE_URL": server.url,
             "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    seen = (tmp_path / "copy.html").read_text()
    assert seen.count('src="data:image/jpeg;base64,') == 4
    assert "<progress" in seen
    assert "<video" in seen
    assert "&lt;b&gt;please&lt;/b&gt;" in seen
    assert "IProgress" not in seen
    assert "Traceback" not in seen
