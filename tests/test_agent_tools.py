"""The tools for agents, called as a model would call them: results, money, jobs, and what they may read."""

from __future__ import annotations

import base64
import copy
import os
import pathlib
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import runware
from runware import (
    AsyncRunware,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectionLostError,
    Image,
    Results,
    Runware,
    TaskCancelledError,
    TaskTimeoutError,
)
from runware.agents import Budget, BudgetError, ToolResult, toolbox, tools
from runware.agents.toolbox import Toolbox, _settle
from runware.local import LocalServer
from runware.local.images import encode, scene

from .conftest import until

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Tools:
    """The tools by name, with what each returned as a `ToolResult`."""

    def __init__(self, rw: Runware, **options: Any) -> None:
        self.box = Toolbox(rw, **options)

    def __getattr__(self, name: str) -> Callable[..., ToolResult]:
        return getattr(self.box, name)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "pictures"


@pytest.fixture
def use(rw: Runware, folder: pathlib.Path) -> Tools:
    return Tools(rw, folder=folder)


@pytest.fixture
def local_image(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    path = folder / "kite.png"
    path.write_bytes(encode(scene("kite", 1, 256, 256), "png", 90))
    return path


@pytest.fixture
def held_videos(server: LocalServer) -> Iterator[None]:
    """Keep back the results of videos until the test releases them."""
    with server.hold("videoInference"):
        yield


def id_in(text: str) -> str:
    found = UUID.search(text)
    assert found is not None, text
    return found[0]


def sent(server: LocalServer, task_type: str = "imageInference") -> dict[str, Any]:
    return server.ledger.tasks(task_type)[-1]


# ---------------------------------------------------------------------- results


def test_image_is_made_saved_and_described_in_the_answer(use: Tools, folder: pathlib.Path, server: LocalServer) -> None:
    answer = use.make_image("a red kite", width=512, height=512, number=2)
    assert answer.error is None
    assert answer.startswith("2 images for $0.00")
    assert len(answer.results) == len(answer.paths) == 2
    for image, path in zip(answer.results, answer.paths, strict=True):
        assert path.parent == folder
        assert path.read_bytes().startswith(b"\xff\xd8\xff")
        assert all(part in answer for part in (image.uuid, image.url, str(path)))
    assert sent(server)["numberResults"] == 2
    assert sent(server)["includeCost"] is True


def test_without_a_folder_the_answer_has_urls_and_nothing_is_saved(rw: Runware) -> None:
    answer = Tools(rw).make_image("a red kite")
    assert not answer.paths
    assert answer.results[0].url in answer
    assert "file" not in answer


def test_result_is_edited_by_its_id(use: Tools, server: LocalServer) -> None:
    made = use.make_image("a red kite")
    edited = use.edit_image(id_in(made), "make it blue")
    assert edited.error is None
    assert sent(server)["inputs"] == {"referenceImages": [id_in(made)]}
    assert sent(server)["positivePrompt"] == "make it blue"


def test_file_in_the_folder_is_sent_as_data(use: Tools, local_image: pathlib.Path, server: LocalServer) -> None:
    for named in (str(local_image), "kite.png", local_image.as_uri()):
        assert use.edit_image(named, "make it blue").error is None
        assert sent(server)["inputs"]["referenceImages"][0].startswith("data:image/png;base64,")


def test_video_starts_from_an_image(use: Tools, server: LocalServer) -> None:
    video = use.make_video("it flies away", image="https://example.com/kite.png", duration=5)
    assert video.startswith("1 video for $0.23.")
    assert sent(server, "videoInference")["inputs"] == {
        "frameImages": [{"image": "https://example.com/kite.png", "frame": "first"}]
    }
    assert sent(server, "videoInference")["duration"] == 5


def test_speech_is_made_and_an_image_is_described(use: Tools, server: LocalServer) -> None:
    speech = use.make_speech("Good morning", voice="Ann")
    assert speech.startswith("1 audio file for $")
    assert sent(server, "audioInference")["speech"] == {"text": "Good morning", "voice": "Ann"}
    described = use.describe_image("https://example.com/kite.png", "Which colour?")
    assert described.startswith(str(described.results[0]))
    assert "(1 description for $" in described
    assert sent(server, "caption")["prompt"] == "Which colour?"


def test_model_may_be_named_by_its_slug(use: Tools, server: LocalServer) -> None:
    assert use.make_image("a red kite", model="bfl-flux-2-klein-9b").error is None
    assert sent(server)["model"] == "runware:400@2"


def test_results_of_a_task_that_failed_in_part_are_kept(use: Tools) -> None:
    answer = use.make_image("a kite [fail:2=contentPolicyViolation]", number=2)
    assert len(answer.results) == len(answer.paths) == 1
    assert answer.startswith("1 image for $")
    assert "Error: " in answer
    assert answer.error is not None


def test_folder_that_cannot_be_used_is_found_before_it_costs(
    rw: Runware, tmp_path: pathlib.Path, server: LocalServer
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    answer = Tools(rw, folder=tmp_path / "taken").make_image("a red kite")
    assert answer.startswith("Error: Files cannot be saved: ")
    assert str(tmp_path / "taken") in answer
    assert server.ledger.executed == 0


def test_file_that_cannot_be_saved_leaves_its_url(use: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "kite.png")

    monkeypatch.setattr(Results, "save_all", fail)
    answer = use.make_image("a red kite")
    assert answer.results[0].url in answer
    assert "Error: Files cannot be saved: No space left on device (kite.png)." in answer
    assert answer.error is not None


def test_files_that_no_thread_can_save_leave_their_urls(use: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        if thread.name.startswith("runware-save"):
            raise RuntimeError("can't start new thread")
        start(thread)

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", fail)
    answer = use.make_image("a red kite")
    assert answer.results[0].url in answer
    assert "Could not start a thread to save the results" in answer


def test_name_chosen_by_the_server_replaces_no_file_of_the_user(use: Tools, folder: pathlib.Path) -> None:
    folder.mkdir()
    (folder / "holiday.png").write_text("mine")
    data = base64.b64encode(encode(scene("kite", 1, 64, 64), "png", 90)).decode()
    for uuid in ("holiday", "26a972d8-4213-4ee9-9724-8fc1dfcd8baf"):
        result = Image(uuid=uuid, base64_data=data)
        answers = [use.box._report(Results([result]), None, "image") for _ in range(2)]
    assert (folder / "holiday.png").read_text() == "mine"
    assert [answer.error for answer in answers] == [None, None]


def test_tool_result_is_a_text_that_travels(use: Tools) -> None:
    answer = use.make_image("a red kite")
    assert isinstance(answer, str)
    again = pickle.loads(pickle.dumps(answer))
    assert (again, again.paths) == (answer, answer.paths)
    assert copy.copy(answer).results == answer.results


# ---------------------------------------------------------------------- errors


def test_errors_are_texts_that_say_what_would_work(use: Tools) -> None:
    assert "multiple of" in use.make_image("a red kite", width=1000)
    assert "job_status" not in use.make_image("a red kite", width=1000)
    unknown = use.make_image("a red kite", model="nobody:1@1")
    assert unknown.startswith("Error: ")
    assert unknown.error is not None


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("make_video", {"prompt": "the sea", "duration": float("inf")}, "NaN or an infinity"),
        ("make_video", {"prompt": "the sea", "duration": float("nan")}, "NaN or an infinity"),
        ("get_price", {"model": "runware:101@1", "duration": float("nan")}, "NaN or an infinity"),
        ("edit_image", {"image": "file://[", "prompt": "night"}, "'file://[' is not a path"),
    ],
)
def test_odd_values_of_the_declared_types_are_errors_as_texts(
    use: Tools, server: LocalServer, name: str, arguments: dict[str, Any], words: str
) -> None:
    answer = getattr(use, name)(**arguments)
    assert words in answer
    assert server.ledger.executed == 0


def test_model_that_does_not_fit_is_refused_before_sending(use: Tools, server: LocalServer) -> None:
    url = "https://example.com/a.png"
    assert "search_models(makes='video')" in use.make_video("waves", model="runware:400@2")
    assert "search_models(makes='image')" in use.edit_image(url, "blue", model="minimax:h3@fast")
    assert "search_models(query='edit')" in use.edit_image(url, "blue", model=without(use, "image-to-image", "image"))
    assert "search_models(query='image-to-video')" in use.make_video(
        "waves", image=url, model=without(use, "image-to-video", "video")
    )
    assert server.ledger.executed == 0


def without(use: Tools, capability: str, makes: str) -> str:
    """Return a model that takes no image, as far as its schema says."""
    place = ("referenceImages", "seedImage", "frameImages", "inputs")
    for model in use.box._rw.models.list(category=makes):
        properties = model.schema.get("properties", {})
        if model.air and properties and not set(place) & set(properties) and capability not in model.capabilities:
            return model.air
    raise AssertionError(f"every model that makes {makes} takes images")


def test_error_of_a_task_that_may_have_run_names_its_job(use: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Toolbox, job: Any, *__: Any) -> None:
        job.result(20)
        raise TaskTimeoutError("The deadline passed.", may_be_running=True, task_uuid=job.task_uuid)

    finish = Toolbox._finish
    monkeypatch.setattr(Toolbox, "_finish", fail)
    answer = use.make_video("waves")
    assert answer.startswith("Error: The deadline passed.")
    assert f"call job_status with job_id {id_in(answer)} before you try again" in answer
    monkeypatch.setattr(Toolbox, "_finish", finish)
    assert use.job_status(id_in(answer)).startswith("1 result for $")


# ---------------------------------------------------------------------- what may be read


def test_files_outside_the_folders_are_never_opened(
    use: Tools, local_image: pathlib.Path, tmp_path: pathlib.Path, server: LocalServer
) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(local_image.read_bytes())
    (local_image.parent / "link.png").symlink_to(outside)
    (local_image.parent / "linked").symlink_to(tmp_path, target_is_directory=True)
    for named in (str(outside), "../secret.png", "link.png", "linked/secret.png", outside.as_uri(), "/etc/passwd"):
        answer = use.edit_image(named, "make it blue")
        assert "is outside the folders that may be read" in answer, named
        assert f"the path of an image in {local_image.parent}, an https:// URL, or the id" in answer
    # The answer does not tell whether there is such a file.
    assert use.describe_image("../nothing.png").replace("nothing", "secret") == use.describe_image("../secret.png")
    assert server.ledger.executed == 0


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("nothing.png", "there is no file"),
        (".", "outside the folders"),
        ("notes.txt", "is not an image"),
        ("a\0b", "is not a path"),
        ("loop/a.png", "is not a path|there is no file"),
        ("~nobody-of-that-name/a.png", "is not a path"),
        ("ftp://example.com/a.png", "ftp: URLs are not accepted"),
        ("data:image/png;base64,AAAA", "data: URLs are not accepted"),
        ("", "outside the folders"),
    ],
)
def test_what_is_not_an_image_in_the_folder_is_refused(
    use: Tools, local_image: pathlib.Path, server: LocalServer, named: str, why: str
) -> None:
    (local_image.parent / "notes.txt").write_text("The password is ...")
    (local_image.parent / "loop").symlink_to(local_image.parent / "loop")
    answer = use.describe_image(named)
    assert re.search(why, answer), answer
    assert answer.error is not None
    assert server.ledger.executed == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_in_the_folder_does_not_block(use: Tools, local_image: pathlib.Path) -> None:
    os.mkfifo(local_image.parent / "pipe.png")
    assert "there is no file" in use.describe_image("pipe.png")


def test_file_that_is_too_large_is_refused(use: Tools, local_image: pathlib.Path) -> None:
    with local_image.open("ab") as file:
        file.truncate(40 * 2**20)
    assert "more than 32 MiB" in use.describe_image("kite.png")


def test_further_folders_can_be_read(rw: Runware, local_image: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = Tools(rw, folder=tmp_path / "new", read=[local_image.parent])
    assert other.describe_image("kite.png").error is None
    assert "Pass an https:// URL, or the id" in Tools(rw).describe_image(str(local_image))


# ---------------------------------------------------------------------- money


def test_budget_counts_bills_and_refuses_before_sending(rw: Runware, server: LocalServer) -> None:
    use = Tools(rw, budget=0.003)
    first = use.make_image("a red kite")
    assert "$0.0017 of the budget of $0.003 is left." in first
    assert use.make_image("a blue kite").error is None
    refused = use.make_image("a green kite")
    assert isinstance(refused.error, BudgetError)
    assert "costs up to $0.0013, and $0.0004 of $0.003 is left. Nothing was sent." in refused
    assert server.ledger.executed == 2


def test_running_job_is_reserved_until_its_bill_comes(rw: Runware, server: LocalServer, held_videos: None) -> None:
    use = Tools(rw, budget=0.3, wait=0)
    started = use.make_video("waves")
    assert use.box.budget.left == pytest.approx(0.07)
    assert isinstance(use.make_video("more waves").error, BudgetError)
    server.ledger.wait_for(lambda ledger: ledger.held == 1)
    server.release()
    use.box._wait_limit = 20.0
    assert "$0.07 of the budget" in use.job_status(id_in(started))
    assert len(server.ledger.tasks("videoInference")) == 1


def test_task_that_failed_costs_nothing(rw: Runware) -> None:
    use = Tools(rw, budget=0.0013)
    assert use.make_image("a kite [unsafe]").error is not None
    assert use.make_image("a kite").error is None


def test_rejected_task_costs_nothing_even_if_the_catalogue_knows_its_price(rw: Runware) -> None:
    use = Tools(rw, budget=5.0)
    assert use.make_video("waves", duration=1000).error is not None
    assert use.box.budget.left == pytest.approx(5.0)


def test_unknown_price_is_refused_within_a_budget(rw: Runware, server: LocalServer) -> None:
    server.switch(dry_run_reply="empty")
    answer = Tools(rw, budget=1.0).make_speech("Good morning")
    assert isinstance(answer.error, BudgetError)
    assert "neither the catalogue nor the server can tell what it costs" in answer
    assert server.ledger.executed == 0
    assert Tools(rw).make_speech("Good morning").error is None


def test_tools_of_several_threads_do_not_exceed_the_budget(rw: Runware, server: LocalServer) -> None:
    use = Tools(rw, budget=0.0013 * 3)
    answers: list[ToolResult] = []
    threads = [threading.Thread(target=lambda: answers.append(use.make_image("a kite"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(answer.error is None for answer in answers) == 3
    assert server.ledger.executed == 3


def test_failure_gives_back_what_was_reserved_although_no_tool_looks(rw: Runware, server: LocalServer) -> None:
    server.configure(delay={"videoInference": 0.2})
    use = Tools(rw, budget=1.0, wait=0)
    use.make_video("waves [unsafe]")
    until(lambda: use.box.budget.left == pytest.approx(1.0))


def test_task_that_could_not_be_submitted_gives_back_what_was_reserved(rw: Runware) -> None:
    use = Tools(rw, budget=1.0)
    rw.close()
    assert isinstance(use.make_video("waves").error, ClientClosedError)
    assert use.box.budget.left == pytest.approx(1.0)


class Done:
    """A job that is done."""

    def __init__(self, cost: float | None, error: BaseException | None) -> None:
        self.cost = cost
        self._error = error

    def exception(self, _: float) -> BaseException | None:
        if isinstance(self._error, TaskCancelledError):
            raise self._error
        return self._error


@pytest.mark.parametrize(
    ("cost", "error", "counted"),
    [
        (0.1, None, 0.1),
        (None, None, 0.5),
        (float("nan"), None, 0.5),
        (float("inf"), None, 0.5),
        (-1000.0, None, 0.5),
        (None, ConnectionLostError("lost", may_have_run=True), 0.5),
        (None, ConnectionLostError("lost"), 0.0),
        (0.2, ConnectionLostError("lost", may_have_run=True), 0.2),
        (None, TaskCancelledError("cancelled"), 0.5),
    ],
)
def test_what_may_have_been_billed_stays_counted(cost: float | None, error: BaseException, counted: float) -> None:
    budget = Budget(1.0)
    reservation = budget.reserve(0.5)
    for _ in range(2):
        _settle(reservation, Done(cost, error))
    assert budget.left == pytest.approx(1.0 - counted)


def test_budget_may_be_that_of_the_package_and_its_error_is_too(rw: Runware) -> None:
    use = Tools(rw, budget=runware.Budget(0.003))
    use.make_image("a red kite", number=2)
    error = use.make_image("a green kite").error
    assert isinstance(error, BudgetExceededError)
    assert (error.limit, error.reserved) == (0.003, 0.0)
    assert error.spent == pytest.approx(0.0026)
    assert error.estimate == pytest.approx(0.0013)
    with pytest.raises(ConfigurationError, match="Budget\\(2\\)"):
        Tools(rw, budget=runware.Budget(2.0, per="day"))


def test_price_that_is_no_number_is_not_in_the_budget() -> None:
    budget = Budget(1.0)
    with pytest.raises(BudgetError):
        budget.reserve(float("nan"))
    assert budget.left == 1.0


def test_budget_of_zero_refuses_everything_that_costs() -> None:
    budget = Budget(0)
    budget.reserve(0.0)
    with pytest.raises(BudgetError):
        budget.reserve(0.001)
    assert str(Budget()) == ""
    Budget().reserve(1e9)


# ---------------------------------------------------------------------- jobs


def test_job_that_takes_long_is_picked_up_by_its_id(rw: Runware, server: LocalServer, held_videos: None) -> None:
    use = Tools(rw, wait=0.05)
    started = use.make_video("waves")
    assert started.startswith("Not finished yet")
    job = id_in(started)
    assert use.job_status(job).startswith("Not finished yet")
    server.release()
    use.box._wait_limit = 20.0
    assert use.job_status(job).startswith("1 result for $0.23.")
    # Another process knows nothing but the id.
    assert Tools(rw).job_status(job).startswith("1 result for $0.23.")
    assert len(server.ledger.tasks("videoInference")) == 1


def test_job_is_known_while_another_call_waits_for_it(rw: Runware, server: LocalServer, held_videos: None) -> None:
    first = Tools(rw, wait=20)
    other = copy.copy(first.box)
    other._wait_limit = 0.0
    maker = threading.Thread(target=first.make_video, args=("waves",))
    maker.start()
    server.ledger.wait_for(lambda ledger: ledger.held == 1)
    job = sent(server, "videoInference")["taskUUID"]
    assert other.job_status(job).startswith("Not finished yet")
    server.release()
    maker.join(20)
    assert not first.box._running
    assert first.job_status(job).startswith("1 result for $0.23.")


def test_jobs_that_are_done_are_not_kept_for_ever(
    use: Tools, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolbox, "_MOST_JOBS", 3)
    use.box._wait_limit = 0.0
    with server.hold("imageInference"):
        started = [id_in(use.make_image("a kite")) for _ in range(12)]
        assert len(use.box._running) == 12  # a running job is not given up
    until(lambda: all(job.done() for job, _ in list(use.box._running.values())))
    with server.hold("imageInference"):
        use.make_image("a kite")
        assert len(use.box._running) == 1
    use.box._wait_limit = 20.0
    assert all(use.job_status(one).error is None for one in started)


def test_job_that_does_not_exist(use: Tools) -> None:
    assert "is not the id of a job: it looks like" in use.job_status("my video")
    answer = use.job_status("26a972d8-4213-4ee9-9724-8fc1dfcd8baf")
    assert "There is no job 26a972d8-4213-4ee9-9724-8fc1dfcd8baf" in answer
    assert "search_models" not in answer


# ---------------------------------------------------------------------- models and prices


def test_price_comes_from_rates_or_from_the_server(use: Tools, server: LocalServer) -> None:
    video = use.get_price("minimax:h3@fast", duration=10)
    assert "costs $0.46." in video
    assert server.ledger.dry_runs == 0
    image = use.get_price("runware:400@2")
    assert re.search(r"costs \$0\.0013.*says the server", image)
    assert "costs $0.01, says the server" in use.get_price("inworld:tts@1.5-mini", text="Good morning")
    assert "Prices of FLUX.2 [klein] 9B: $0.00078 (1024x1024, 4 steps)" in image
    assert server.ledger.executed == 0


def test_price_without_the_server_is_that_of_earlier_runs(rw: Runware, server: LocalServer) -> None:
    server.stop()
    use = Tools(rw, budget=1.0)
    assert "costs about $0.00078, about 6 s, as earlier runs did." in use.get_price("runware:400@2")
    assert "$1 of the budget of $1 is left." in use.get_price("runware:400@2")


def test_price_of_what_the_server_refuses(use: Tools) -> None:
    answer = use.get_price("runware:400@2", width=1000)
    assert "The server does not accept such a request: " in answer
    assert "Prices of FLUX.2 [klein] 9B" in answer
    assert use.get_price("nobody:1@1").startswith("Error: ")


def test_price_of_a_model_that_the_catalogue_lacks_is_that_of_what_is_asked_for(use: Tools) -> None:
    video = use.get_price("klingai:5@3", duration=5)
    assert "The catalogue does not say what klingai:5@3 makes; a video was assumed." in video
    assert "$" not in video, "the server prices no video in a dry run; its price of an image would be wrong"
    assert "an image was assumed" in use.get_price("civitai:25694@143906")


def test_price_of_other_models_is_that_of_the_catalogue(use: Tools, server: LocalServer) -> None:
    assert use.get_price("anthropic:claude@fable-5").startswith("Prices of Claude Fable 5: $10.00 per million input")
    assert use.get_price("runware:152@2") == "The prices of runware:152@2 are not known."
    assert server.ledger.dry_runs == 0


def test_search_finds_models_by_name_ability_and_output(use: Tools) -> None:
    assert "klingai:kling-video@2.6-pro" in use.search_models("kling", makes="video")
    first = use.search_models("edit", makes="image").splitlines()[0]
    assert "edit" in first
    assert "$" in first
    assert re.search(r"\n\d+ more: search for more words\.$", use.search_models())
    assert use.search_models("anime", community=True).startswith("civitai:")
    assert "No model has that" in use.search_models("no-such-thing")


# ---------------------------------------------------------------------- options


def test_wrong_options_are_refused(rw: Runware) -> None:
    for options, parameter in (
        ({"budget": -1}, "budget"),
        ({"budget": "1.00"}, "budget"),
        ({"budget": float("nan")}, "budget"),
        ({"wait": 60_000_000}, "wait"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            tools(rw, **options)
        assert caught.value.parameter == parameter
    with pytest.raises(ConfigurationError, match="frameworks run on threads"):
        tools(rw.aio)  # type: ignore[arg-type]
    assert isinstance(rw.aio, AsyncRunware)


def test_chat_calls_the_tools(rw: Runware, folder: pathlib.Path, server: LocalServer) -> None:
    chat = rw.chat("google:gemma@4-31b", tools=tools(rw, folder=folder))
    chat.send('[call:make_image {"prompt": "a red kite", "width": 512, "height": 512}]')
    assert sent(server)["positivePrompt"] == "a red kite"
    assert len(list(folder.iterdir())) == 1
