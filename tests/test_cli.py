"""The command line: what each command prints, its exit codes, and one-line errors without secrets."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import tomllib
from typing import Any

import pytest

from runware.local import LocalServer
from runware.local.images import encode, scene

from .net import listening, read_head, refusing_port

pytest.importorskip("typer")

from typer.testing import CliRunner

from runware.cli import app

PROJECT = pathlib.Path(__file__).parent.parent
KEY = "rw-test-key"


class Ran:
    def __init__(self, result: Any) -> None:
        self.code: int = result.exit_code
        self.out: str = result.stdout
        self.err: str = result.stderr
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert KEY not in self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def error(self) -> str:
        """Return the error, which must be the only line."""
        assert self.code != 0
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        return self.err


def run(*arguments: str | pathlib.Path, stdin: str | None = None) -> Ran:
    return Ran(CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin))


@pytest.fixture
def here(server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """Enter an empty directory, with an environment that leads to the server."""
    monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
    monkeypatch.setenv("RUNWARE_URL", server.url)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def image_file(here: pathlib.Path) -> pathlib.Path:
    path = here / "picture.png"
    path.write_bytes(encode(scene("x", 1, 256, 256), "png", 90))
    return path


def test_image_command_saves_the_images(here: pathlib.Path) -> None:
    ran = run("image", "a red kite", "-n", "2", "-W", "512", "-H", "512", "--format", "PNG", "-o", "out/")
    paths = [here / line for line in ran.out.splitlines()]
    assert (ran.code, len(paths)) == (0, 2)
    assert all(path.parent == here / "out" and path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert "2 results, $0.0" in ran.err


def test_image_command_prints_urls_and_json(here: pathlib.Path, server: LocalServer) -> None:
    ran = run(
        "image", "a red kite", "--seed", "5", "--set", "steps=7", "--set", "cfg_scale=3.5", "--set", "scheduler=x"
    )
    assert ran.out.startswith(server.http_url)
    sent = server.ledger.tasks("imageInference")[0]
    assert (sent["steps"], sent["CFGScale"], sent["scheduler"]) == (7, 3.5, "x")
    (item,) = run("image", "a red kite", "--json", "--seed", "5", "--set", "CFGScale=2", "-o", "out").json
    assert server.ledger.last["CFGScale"] == 2
    assert item["seed"] == 5
    assert pathlib.Path(item["path"]).exists()


def test_format_option_ignores_case(here: pathlib.Path, server: LocalServer) -> None:
    for form in ("png", "Png", "PNG"):
        assert run("image", "x y", "--format", form).code == 0
    assert {task["outputFormat"] for task in server.ledger.tasks("imageInference")} == {"PNG"}
    assert run("image", "x y", "--format", "gif").code == 2


def test_prompt_is_read_from_standard_input(here: pathlib.Path, server: LocalServer) -> None:
    assert run("image", "-", stdin="a red kite\n").code == 0
    assert run("video", "-", stdin="waves\n").code == 0
    assert server.ledger.tasks("imageInference")[0]["positivePrompt"] == "a red kite"
    assert server.ledger.tasks("videoInference")[0]["positivePrompt"] == "waves"


@pytest.mark.parametrize("command", ["video", "audio"])
@pytest.mark.parametrize("duration", ["nan", "inf"])
def test_duration_that_is_no_number_is_refused(here: pathlib.Path, command: str, duration: str) -> None:
    assert "duration must be a finite number" in run(command, "x y", "-d", duration).error()


def test_factor_that_is_no_number_is_refused(image_file: pathlib.Path) -> None:
    assert "upscale_factor must be a finite number" in run("upscale", image_file, "-f", "nan").error()


def test_upscale_factor_of_a_particular_model_is_accepted(image_file: pathlib.Path, server: LocalServer) -> None:
    assert run("upscale", image_file, "-f", "3", "-m", "runware:501@1").code == 0
    sent = server.ledger.tasks("upscale")[0]
    assert (sent["upscaleFactor"], sent["model"]) == (3, "runware:501@1")
    assert "2 or 4, and others with some models" in shown_help("upscale")


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ((), {"upscaleFactor": 2}),
        (("--set", "target_megapixels=4"), {"targetMegapixels": 4}),
        (("-m", "runware:503@1"), {"upscaleFactor": 2}),
        (("-m", "prunaai:p-image@upscale", "--set", "target_megapixels=4"), {"targetMegapixels": 4}),
        (("-m", "prunaai:p-image@upscale", "-f", "3"), {"upscaleFactor": 3}),
        (("-m", "acme:1@1"), {}),
        (("-m", "acme:1@1", "-f", "1.5"), {"upscaleFactor": 1.5}),
    ],
)
def test_upscale_sends_a_factor_only_where_it_fits(
    image_file: pathlib.Path, server: LocalServer, arguments: tuple[str, ...], sent: dict[str, Any]
) -> None:
    server.switch(models="off")
    ran = run("upscale", image_file, *arguments)
    assert (ran.code, "parameter" in ran.err) == (0, False)
    (task,) = server.ledger.tasks("upscale")
    assert {name: task[name] for name in ("upscaleFactor", "targetMegapixels") if name in task} == sent
    assert ("inputs" if "-m" in arguments else "inputImage") in task


def test_upscale_of_a_video_sends_topaz_the_size_alone(here: pathlib.Path, server: LocalServer) -> None:
    size = ("--set", "width=1920", "--set", "height=1080")
    for model in ("topazlabs:proteus@4", "topazlabs:starlight-precise@2.5"):
        ran = run("upscale", "https://example.com/a.mp4", "-m", model, *size)
        assert (ran.code, "parameter" in ran.err) == (0, False)
        task = server.ledger.last
        assert "upscaleFactor" not in task
        assert (task["width"], task["inputs"]["video"]) == (1920, "https://example.com/a.mp4")


@pytest.mark.parametrize(
    "arguments",
    [
        ("caption", "-m", "runware:152@2", "--prompt", "What is it?"),
        ("remove-background",),
        ("remove-background", "-m", "bria:2@1"),
        ("vectorize",),
        ("vectorize", "-m", "picsart:1@1"),
    ],
)
def test_models_get_only_what_they_take(
    image_file: pathlib.Path, server: LocalServer, arguments: tuple[str, ...]
) -> None:
    server.switch(models="strict")
    ran = run(arguments[0], image_file, *arguments[1:])
    assert (ran.code, "parameter" in ran.err) == (0, False)


def test_defaults_of_sizes_and_durations_are_left_out_where_models_take_none(
    image_file: pathlib.Path, server: LocalServer
) -> None:
    run("image", "x y", "-m", "alibaba:qwen-image@layered")
    run("image", "x y", "-m", "acme:1@1", "--set", "resolution=2k")
    run("image", "x y", "-W", "512")
    assert [(task.get("width"), task.get("height")) for task in server.ledger.tasks("imageInference")] == [
        (None, None),
        (None, None),
        (512, 1024),
    ]
    run("video", "x y", "-m", "creatify:aurora@0")
    run("video", "x y")
    assert [task.get("duration") for task in server.ledger.tasks("videoInference")] == [None, 5]


def shown_help(*command: str) -> str:
    """Return the words of a help page, without its frames and line breaks."""
    return " ".join(run(*command, "--help").out.translate(dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")).split())


def test_models_are_listed_page_by_page(here: pathlib.Path) -> None:
    everything = run("models", "flux", "--json").json
    ran = run("models", "flux", "--json", "--limit", "2", "--offset", "3")
    assert ran.json == everything[3:5]
    assert run("models", "flux", "--limit", "2", "--offset", "3").err == "2 of 28 after the first 3\n"


def test_invalid_job_reference_is_explained(here: pathlib.Path) -> None:
    for wrong, missing in (
        ('{"a":1}', "this has no task_uuid"),
        ('{"a"', "this is not JSON"),
        ("x", "the UUID of a task"),
    ):
        ran = run("job", wrong)
        assert ran.code == 2
        assert missing in ran.error()


def test_video_caption_upscale_models_and_account_commands(image_file: pathlib.Path, server: LocalServer) -> None:
    ran = run("video", "waves", "-d", "5", "--from", image_file, "-o", "out")
    assert (ran.code, pathlib.Path(ran.out.strip()).suffix) == (0, ".mp4")
    assert "is not a parameter" not in ran.err
    (task,) = server.ledger.tasks("videoInference")
    assert task["duration"] == 5
    assert [frame["frame"] for frame in task["inputs"]["frameImages"]] == ["first"]
    assert run("image", "x y", "--from", image_file).code == 0
    assert server.ledger.tasks("imageInference")[0]["inputs"]["seedImage"].startswith("data:image/png;base64,")
    assert len(run("caption", image_file).out.split()) > 2
    assert run("upscale", image_file, "-f", "4", "-o", "out").code == 0
    assert run("models", "flux", "--limit", "3").err == "3 of 28\n"
    assert len(run("models", "--json", "--limit", "4").json) == 4
    assert "balance       $99.9" in run("account").out
    assert "apiKey" not in json.dumps([list(key) for key in run("account", "--json").json[0]["apiKeys"]])


def test_videos_are_edited_as_videos(here: pathlib.Path, server: LocalServer) -> None:
    run("video", "waves", "-o", "clip.mp4")
    assert run("upscale", "clip.mp4", "-o", "large.mp4").out == "large.mp4\n"
    assert run("remove-background", "clip.mp4", "-o", "cut.webm").out == "cut.webm\n"
    assert run("upscale", "https://example.com/clip.MOV?x=1").code == 0
    edited = [*server.ledger.tasks("upscale"), *server.ledger.tasks("removeBackground")]
    assert [list(task["inputs"]) for task in edited] == [["video"]] * 3
    assert "inputImage" not in {name for task in edited for name in task}
    assert edited[2]["model"] == "bria:51@1"


def test_job_command_collects_a_task_of_another_process(here: pathlib.Path, server: LocalServer) -> None:
    (item,) = run("video", "waves", "--json").json
    assert run("job", item["taskUUID"]).out.strip() == item["videoURL"]
    assert run("job", json.dumps({"task_uuid": item["taskUUID"]}), "--json").json[0]["videoUUID"] == item["videoUUID"]
    assert "taskNotFound" in run("job", "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01").error()
    assert sum(server.ledger.executions_by_prompt().values()) == 1


def test_run_command_reads_tasks_from_a_file(here: pathlib.Path) -> None:
    task = {
        "taskType": "imageInference",
        "positivePrompt": "x y",
        "model": "runware:101@1",
        "width": 512,
        "height": 512,
    }
    (here / "tasks.json").write_text(json.dumps([task, {**task, "numberResults": 2}]))
    assert len(run("run", "tasks.json", "-o", "out").out.splitlines()) == 3
    assert len(run("run", "-", "--json", stdin=json.dumps(task)).json) == 1
    (here / "bad.json").write_text("{")
    assert "not JSON" in run("run", "bad.json").error()
    (here / "bad.json").write_bytes(b"\xff")
    assert "not UTF-8" in run("run", "bad.json").error()


PICTURE = {"taskType": "imageInference", "positivePrompt": "x y", "model": "runware:101@1", "width": 512, "height": 512}


def tasks(here: pathlib.Path, *changes: dict[str, Any]) -> str:
    (here / "tasks.json").write_text(json.dumps([{**PICTURE, **change} for change in changes]))
    return "tasks.json"


def test_task_file_may_begin_with_a_byte_order_mark(here: pathlib.Path) -> None:
    task = {"taskType": "imageInference", "model": KLEIN, "positivePrompt": "x y", "width": 512, "height": 512}
    (here / "tasks.json").write_text(json.dumps(task), encoding="utf-8-sig")
    assert run("run", "tasks.json", "--check-only").code == 0
    assert run("run", "-", "--check-only", stdin=f"\ufeff{json.dumps(task)}").code == 0


def test_json_that_is_nested_too_deeply_is_no_traceback(here: pathlib.Path, server: LocalServer) -> None:
    (here / "deep.json").write_text("[" * 100_000)
    assert "deep.json is nested too deeply to be tasks." in run("run", "deep.json").error()
    assert run("image", "x y", "--set", f"note={'[' * 100_000}", "-W", "128", "-H", "128").code == 0
    assert server.ledger.last["note"] == "[" * 100_000


def test_results_of_a_task_file_are_kept_when_other_tasks_fail(here: pathlib.Path) -> None:
    file = tasks(here, {}, {"positivePrompt": "x [unsafe]"}, {"numberResults": 2}, {"width": 5})
    ran = run("run", file, "-o", "out")
    paths = [here / line for line in ran.out.splitlines()]
    assert (ran.code, len(paths), all(path.exists() for path in paths)) == (1, 3, True)
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == ["task 2", "task 4"]
    ran = run("run", file, "--json")
    assert ran.code == 1
    assert ["imageURL" in item for item in ran.json] == [True, True, True, False, False]
    assert [item["error"]["task"] for item in ran.json[3:]] == [2, 4]


def test_exit_code_is_that_of_the_failure_shared_by_all_tasks(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("run", tasks(here, {"width": 5}, {"height": 5}))
    assert (ran.code, ran.out, ran.err.count("error: task ")) == (2, "", 2)
    assert run("run", tasks(here, {"width": 5}, {"positivePrompt": "x [unsafe]"})).code == 1
    monkeypatch.setenv("RUNWARE_API_KEY", "rw-wrong")
    ran = run("run", tasks(here, {}, {}))  # what all have in common is printed once
    assert ran.code == 3
    ran.error()


def test_invalid_task_in_a_file_is_reported_before_anything_is_sent(here: pathlib.Path, server: LocalServer) -> None:
    for wrong in (7, {"positivePrompt": "x y"}):
        (here / "tasks.json").write_text(json.dumps([PICTURE, wrong]))
        ran = run("run", "tasks.json")
        assert ran.code == 2
        assert "Task 2 of the file" in ran.error()
    assert server.ledger.connections == 0


def test_file_name_in_place_of_media_says_how_to_send_the_file(here: pathlib.Path, server: LocalServer) -> None:
    said = run("run", KLEIN, "positive_prompt=x y", "inputs.reference_images.0=nothere.jpeg2000").error()
    assert "inputs.reference_images[0] is not a UUID" in said
    assert "If it is a file name, put an @ before it." in said
    said = run("run", tasks(here, {}, {"inputs": {"seedImage": "start.png"}})).error()
    assert "Task 2 of the file: " in said
    assert "If it is a file name, store it with `runware upload`, and use its UUID." in said
    assert server.ledger.connections == 0


def test_task_in_a_file_may_have_settings_of_its_call(here: pathlib.Path, server: LocalServer) -> None:
    with server.hold("imageInference"):
        assert run("run", tasks(here, {"timeout": 0.5})).code == 5
    assert "timeout" not in server.ledger.last
    with server.hold("imageInference"):
        assert run("run", tasks(here, {"timeout": 60}), "--timeout", "0.5").code == 5
    assert "timeout must be a number of seconds" in run("run", tasks(here, {"timeout": "x"})).error()


def test_one_file_for_several_results_of_a_task_is_refused(here: pathlib.Path, server: LocalServer) -> None:
    ran = run("run", tasks(here, {"numberResults": 2}), "-o", "kite.png")
    assert ran.code == 2
    assert run("run", KLEIN, "positive_prompt=x y", "number_results=2", "-o", "kite.png").code == 2
    assert server.ledger.connections == 0


def test_tasks_of_a_file_honour_the_timeout(here: pathlib.Path, server: LocalServer) -> None:
    file = tasks(here, {}, {"taskType": "videoInference", "model": "klingai:5@3", "width": 1280, "height": 720})
    with server.hold("videoInference"):
        ran = run("run", file, "--timeout", "3")
    assert (ran.code, len(ran.out.splitlines())) == (1, 1)
    assert "python -m runware job " in ran.err


def test_results_of_a_partly_failed_task_are_kept(here: pathlib.Path, server: LocalServer) -> None:
    ran = run("image", "x [fail:1]", "-n", "3", "-W", "512", "-H", "512", "-o", "out")
    assert (ran.code, len(ran.out.splitlines()), len(list((here / "out").iterdir()))) == (1, 2, 2)
    assert "error: 2 of 3 results arrived" in ran.err
    server.configure(spread=5.0)
    ran = run("image", "x y", "-n", "2", "--timeout", "1", "--json")
    assert ran.code == 5
    assert ["imageURL" in item for item in ran.json] == [True, False]
    assert ran.json[1]["error"]["type"] == "TaskTimeoutError"


def test_results_that_cannot_be_saved_are_still_printed(here: pathlib.Path, server: LocalServer) -> None:
    (here / "kite-5.jpg").write_text("mine")
    ran = run("image", "x y", "--seed", "5", "-o", "kite-{seed}.jpg")
    assert (ran.code, ran.out.startswith(server.http_url)) == (1, True)
    assert "error: The file kite-5.jpg exists; --overwrite replaces it." in ran.err


def test_local_option_starts_a_server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("image", "a red kite", "--local", "-o", "out/").code == 0
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert run("account", "--local").code == 0


def test_local_option_saves_results_without_an_output_directory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("image", "a red kite", "--local", "-W", "512", "-H", "512")
    assert (tmp_path / ran.out.strip()).read_bytes().startswith(b"\xff\xd8")
    assert "saved to the current directory" in ran.err
    (item,) = run("image", "a red kite", "--local", "--json").json
    assert pathlib.Path(item["path"]).exists()


def test_local_option_prints_no_reference_to_collect_later(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("video", "waves", "--local", "--timeout", "0.2")
    assert ran.code == 5
    assert "--timeout" in ran.error()
    press_ctrl_c_once_there_are(0, monkeypatch)
    assert run("video", "waves", "--local").error() == "error: interrupted\n"
    assert "picked" not in ran.err + ran.out
    assert "runware job" not in ran.err + ran.out


def test_error_is_a_single_line(here: pathlib.Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("image", "x y", "--width", "100")
    assert ran.code == 2
    assert "width" in ran.error()
    ran = run("caption", "nothere.png")
    assert (ran.code, ran.error()) == (2, "error: nothere.png: No such file or directory.\n")
    assert run("run", "nothere.json").error() == "error: nothere.json: No such file or directory.\n"
    assert run("caption", here).code == 2
    assert run("image", "x y", "--set", "width").code == 2
    ran = run("image", "x y [provider-error]")
    assert ran.code == 1
    ran.error()
    ran = run("image", "x y [unsafe]", "--json")
    assert (ran.code, ran.json["error"]["type"]) == (1, "ContentModerationError")
    monkeypatch.setenv("RUNWARE_API_KEY", "rw-wrong")
    ran = run("image", "x y")
    assert ran.code == 3
    assert "RUNWARE_API_KEY" in ran.error()
    assert "rw-wrong" not in ran.err
    monkeypatch.delenv("RUNWARE_API_KEY")
    ran = run("image", "x y")
    assert (ran.code, "RUNWARE_API_KEY" in ran.error()) == (2, True)


def test_network_failure_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    monkeypatch.setenv("RUNWARE_URL", f"ws://127.0.0.1:{refusing_port()}/v1")
    ran = run("image", "x y", "--timeout", "0.5")
    assert ran.code in (4, 5)
    ran.error()


def test_timeout_has_its_own_exit_code(here: pathlib.Path, server: LocalServer) -> None:
    with server.hold("imageInference"):
        ran = run("image", "x y", "--timeout", "0.3")
    assert ran.code == 5
    assert "python -m runware job " in ran.error()


def test_ctrl_c_exits_with_code_130(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, server: LocalServer) -> None:
    press_ctrl_c_once_there_are(0, monkeypatch)
    with server.hold("videoInference"):
        ran = run("video", "waves", "--timeout", "20")
    assert ran.code == 130
    assert "python -m runware job " in ran.error()


def test_results_that_arrived_before_ctrl_c_are_kept(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, server: LocalServer
) -> None:
    press_ctrl_c_once_there_are(1, monkeypatch)
    server.configure(spread=20.0)
    ran = run("image", "x y", "-n", "2")
    assert (ran.code, ran.out.startswith(server.http_url)) == (130, True)
    assert "python -m runware job " in ran.err


def press_ctrl_c_once_there_are(results: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from runware import Job

    wait = Job.exception

    def interrupted(job: Job[Any], timeout: float | None = None) -> BaseException | None:
        if timeout is None:
            monkeypatch.setattr(Job, "exception", wait)
            while len(job.results) < results:
                time.sleep(0.01)
            raise KeyboardInterrupt
        return wait(job, timeout)

    monkeypatch.setattr(Job, "exception", interrupted)


def test_progress_is_shown_on_terminals_only(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, server: LocalServer
) -> None:
    from runware.cli import output

    class Screen:
        text = ""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            self.text += text
            server.release(1)

        def flush(self) -> None: ...

    screen = Screen()
    monkeypatch.setattr(output.sys, "stderr", screen)
    from runware import Runware

    monkeypatch.setattr(output, "_REDRAW", 0.01)
    with server.hold("imageInference"), Runware() as rw:
        shown = output.Output(as_json=False)
        shown.wait(rw.submit.image_inference(positive_prompt="x y", model="runware:101@1", number_results=2))
    assert "imageInference" in screen.text
    assert "0 of 2" in screen.text
    assert screen.text.endswith("\x1b[2K")  # the line is cleared


# ---------------------------------------------------------------------- doctor


def test_doctor_finds_no_problem(here: pathlib.Path) -> None:
    ran = run("doctor")
    assert ran.code == 0, ran.out
    for name in ("packages", "key", "url", "proxy", "TCP", "upgrade", "clock", "sign-in"):
        assert f"ok    {name:15} " in ran.out
    assert all(finding["ok"] for finding in run("doctor", "--json").json)
    assert run("doctor", "--local").code == 0


def test_doctor_reports_problems_with_the_key(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "rw-wrong")
    ran = run("doctor")
    assert ran.code == 3
    assert "FAIL  sign-in" in ran.out
    assert "rw-wrong" not in ran.out
    for value, word in ((" rw-x", "white space"), ("", "not set")):
        monkeypatch.setenv("RUNWARE_API_KEY", value)
        ran = run("doctor")
        assert ran.code == 3
        assert word in ran.out
        assert "ok    upgrade" in ran.out


def test_doctor_reports_problems_with_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    monkeypatch.setenv("RUNWARE_URL", "wss://nowhere.invalid/v1")
    ran = run("doctor")
    assert ran.code == 4
    assert "FAIL  name lookup" in ran.out
    assert "ok    trust store" in ran.out
    monkeypatch.setenv("RUNWARE_URL", f"ws://127.0.0.1:{refusing_port()}/v1")
    assert "FAIL  TCP" in run("doctor").out
    monkeypatch.setenv("RUNWARE_URL", "http://127.0.0.1/v1")
    assert "url must look like" in run("doctor").out
    monkeypatch.setenv("RUNWARE_TRANSPORT", "http")
    assert "FAIL  sign-in" in run("doctor").out
    monkeypatch.delenv("RUNWARE_TRANSPORT")
    monkeypatch.setenv("RUNWARE_URL", "ws://localhost:99999")
    assert "FAIL  options         url must" in run("doctor").out
    monkeypatch.setenv("RUNWARE_URL", "wss://api.example.com/v1")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret/9@127.0.0.1:80")
    ran = run("doctor")
    assert ran.code == 2
    assert "FAIL  options         HTTPS_PROXY must" in ran.out
    assert "secret" not in ran.out

    def refuse(sock: Any) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with listening(refuse) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
        ran = run("doctor")
    assert f"http://127.0.0.1:{port} with a password" in ran.out
    assert "secret" not in ran.out
    assert "FAIL  proxy" in ran.out


def test_doctor_reports_missing_and_conflicting_packages(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runware.cli import doctor

    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == "tenacity" else "1.0")
    monkeypatch.setenv("SSL_CERT_FILE", str(here / "gone.pem"))
    ran = run("doctor")
    assert ran.code == 1
    assert "tenacity missing" in ran.out
    assert "note  in the way      runware-sdk 1.0 is installed" in ran.out
    monkeypatch.setenv("RUNWARE_URL", "wss://nowhere.invalid/v1")
    assert "gone.pem does not exist" in run("doctor").out


# ---------------------------------------------------------------------- as a process


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *arguments],
        capture_output=True, text=True, timeout=50, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    )  # fmt: skip


def test_help_and_version_are_printed() -> None:
    ran = process("-m", "runware", "--help")
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in ("image", "video", "doctor", "Exit codes"))
    assert process("-m", "runware", "--version").stdout.startswith("runware-client ")


@pytest.fixture
def script(tmp_path: pathlib.Path) -> str:
    """Return the console script, as an installer makes it."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]["runware"]
    module, _, function = declared.partition(":")
    path = tmp_path / "runware"
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return str(path)


def test_console_script_is_the_same_command_line(script: str) -> None:
    assert process(script, "--version").stdout == process("-m", "runware", "--version").stdout
    assert process(script, "image", "--help").stdout.strip().startswith("Usage: runware image")
    assert process("-m", "runware", "image", "--help").stdout.strip().startswith("Usage: python -m runware image")


def test_command_line_without_typer_names_what_to_install(tmp_path: pathlib.Path, script: str) -> None:
    (tmp_path / "typer.py").write_text("raise ImportError('no')")
    for command in (["-m", "runware"], [script]):
        ran = process(*command, PYTHONPATH=os.pathsep.join((str(tmp_path), str(PROJECT))))
        assert (ran.returncode, ran.stderr) == (
            1, "error: the command line needs an extra: pip install 'runware-client[cli]'\n",
        )  # fmt: skip


def test_serve_command_lists_faults_and_serves_until_terminated() -> None:
    assert "X6" in process("-m", "runware", "serve", "--list").stdout
    assert process("-m", "runware", "serve", "--help").stdout.startswith("usage: python -m runware serve ")
    assert "python -m runware serve: error" in process("-m", "runware", "serve", "--nonsense").stderr
    with subprocess.Popen(
        [sys.executable, "-m", "runware", "serve", "--port", "0", "--key", KEY],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ) as served:  # fmt: skip
        assert served.stdout is not None
        url = served.stdout.readline().strip()
        ran = process("-m", "runware", "image", "x y", RUNWARE_URL=url, RUNWARE_API_KEY=KEY)
        served.terminate()
    assert (ran.returncode, served.returncode) == (0, 0)
    assert ran.stdout.startswith("http://127.0.0.1:")


KLEIN = "runware:400@2"
KLING = "klingai:kling-video@2.6-pro"


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """Enter an empty directory, with no key and no server."""
    monkeypatch.setenv("RUNWARE_URL", f"ws://127.0.0.1:{refusing_port()}/v1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_errors_do_not_speak_of_python_functions(here: pathlib.Path) -> None:
    wrong = run("models", "list", "--category", "images")
    assert (wrong.code, wrong.err.startswith("error: category must be one of '3d', ")) == (2, True), wrong.err


def test_known_models_are_listed_without_a_key(nothing: pathlib.Path) -> None:
    ran = run("models", "list", "--category", "video", "--creator", "kling ai", "-q", "kling", "--json")
    assert KLING in [one["air"] for one in ran.json]
    assert {one["modality"] for one in ran.json} == {"video"}
    ran = run("models", "list", "--capability", "text-to-video", "-q", "kling 2.6")
    assert ran.out.split()[0] == KLING
    assert "models of 20" in ran.err


def test_model_and_its_prices_are_shown_without_a_key(nothing: pathlib.Path) -> None:
    assert "a multiple of 16 between 128 and 2048" in run("models", "show", "bfl-flux-2-klein-9b").out
    shown = run("models", "show", KLEIN, "--json").json
    assert (shown["air"], shown["parameters"][0]["name"]) == (KLEIN, "positive_prompt")
    unknown = run("models", "price", "zzz")
    assert "`runware models list -q WORD`" in unknown.err
    assert "rw." not in unknown.err
    assert "REF must be the UUID of a task." in run("job", "x", "--local").err
    assert run("models", "price", KLING).out.startswith("$0.07 per second (without audio)\n")
    assert run("models", "price", KLING, "duration=10").out.startswith("$0.70 to $1.40, about ")
    priced = run("models", "price", KLING, "duration=10", "provider_settings.klingai.sound=true", "--json").json
    assert (priced["minimum"], priced["basis"], priced["exact"]) == (1.4, "rates", True)
    assert KLING in run("models", "show", "klingai:kling-video@2.6").error()


def test_models_are_refreshed_without_a_key(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, nothing: pathlib.Path
) -> None:
    assert run("models", "refresh").code == 4
    monkeypatch.setenv("RUNWARE_URL", server.url)
    assert run("models", "refresh", "--timeout", "20", "--json").json["models"] > 300


def test_model_runs_with_parameters_typed_by_its_schema(here: pathlib.Path, server: LocalServer) -> None:
    (here / "start.png").write_bytes(encode(scene("x", 1, 256, 256), "png", 90))
    arguments = ("positive_prompt=2024", "width=512", "height=512", "CFGScale=3.5", "lora.0.model=civitai:1@1")
    ran = run("run", "bfl-flux-2-klein-9b", *arguments, "lora.0.weight=1", "inputs.reference_images.0=@start.png")
    assert ran.code == 0
    (sent,) = server.ledger.tasks("imageInference")
    expected = {"model": KLEIN, "positivePrompt": "2024", "width": 512, "CFGScale": 3.5}
    assert expected.items() <= sent.items()
    assert sent["lora"] == [{"model": "civitai:1@1", "weight": 1}]
    assert sent["inputs"]["referenceImages"][0].startswith("data:image/png;base64,")


def test_community_model_runs_with_its_task_type(here: pathlib.Path, server: LocalServer) -> None:
    assert "task_type" in run("run", "civitai:1@1", "positive_prompt=x y").error()
    arguments = ("task_type=imageInference", "positive_prompt=x y", "width=512", "height=512", "settings.a_b=low")
    assert run("run", "civitai:1@1", *arguments, "-o", "out").code == 0
    assert server.ledger.tasks("imageInference")[0]["settings"] == {"aB": "low"}


def test_check_only_lists_the_problems_and_sends_nothing(nothing: pathlib.Path) -> None:
    ran = run("run", KLEIN, "positive_prompt=x y", "width=1000", "height=1024", "num_inference_steps=4", "--check-only")
    assert (ran.code, ran.out.splitlines()) == (
        2,
        [
            "width must be a multiple of 16 between 128 and 2048 for FLUX.2 [klein] 9B; got 1000. Did you mean 1008?",
            "num_inference_steps is not a parameter of FLUX.2 [klein] 9B; did you mean steps?",
        ],
    )
    ran = run("run", KLEIN, "positive_prompt=x y", "width=1000", "height=1024", "--check-only", "--json")
    assert (ran.code, ran.json[0]["suggestion"]) == (2, 1008)
    good = {"taskType": "imageInference", "model": KLEIN, "positivePrompt": "x y", "width": 512, "height": 512}
    (nothing / "tasks.json").write_text(json.dumps([good, {**good, "width": 1000}]))
    assert run("run", "tasks.json", "--check-only").code == 2
    ran = run("run", "-", "--check-only", "--estimate", stdin=json.dumps(good))
    assert (ran.code, ran.err) == (0, "no problems known\n")
    assert ran.out.startswith("about $")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("no-such-model", "width=5"), 1, "No model 'no-such-model' in the catalogue"),
        (("missing.json",), 2, "missing.json: No such file or directory."),
        (("-", "width=5"), 2, "A file takes no parameters; got 'width=5'."),
        ((KLEIN, "width"), 2, "Parameters are NAME=VALUE, such as width=1024; got 'width'."),
        ((KLEIN, "inputs.reference_images.0=@kiet.png"), 2, "there is no file kiet.png."),
        ((KLEIN, "positive_prompt=x", "seed_image=@a/b.JPEG"), 2, "there is no file a/b.JPEG."),
        ((KLEIN, "model=a:1@1"), 2, "The model is the first argument"),
        ((KLEIN, "lora.1.weight=1"), 2, "lora.1.weight cannot be set: '1' is not the next position of the list"),
        ((KLEIN, "width=5", "width.a=1"), 2, "width.a cannot be set: it is inside a parameter that has a value"),
    ],
)
def test_wrong_arguments_of_run_are_explained(
    nothing: pathlib.Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ran = run("run", *arguments, stdin="{}")
    assert message in ran.error()
    assert ran.code == code


def completed(shell: str, **environment: str) -> str:
    """Return what the command line prints for a completion."""
    program = "import sys; sys.argv = ['runware']; from runware.__main__ import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "_RUNWARE_COMPLETE": f"complete_{shell}", "PYTHONPATH": str(PROJECT), **environment},
        check=False,
    )
    assert shown.stderr == ""
    return shown.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("runware run bfl-flux-2-kl", "bfl-flux-2-klein-9b"),
        # As bash splits them; it replaces what follows the last `:`, `=` or `@`.
        ("runware run runware : 400 @", "2"),
        ("runware run runware : 40", "400@2"),
        ("runware run runware :", "400@2"),
        ("runware run runware : 400 @ 2 wid", "width="),
        ("runware run runware : 400 @ 2 width = 512 hei", "height="),
        ("runware run bfl-flux-2-klein-9b settings.x 'open hei", "height="),
        ("runware run runware : 400 @ 2 output_format =", "WEBP"),
        ("runware run runware : 400 @ 2 outputFormat = W", "WEBP"),
        ("runware run runware : 400 @ 2 safety.check_content = t", "true"),
        ("runware models price klingai : kling-video @ 2.6-pro dur", "duration="),
        ("runware models show bfl-flux-1-d", "bfl-flux-1-dev"),
        ("runware image kite --model bfl-flux-1-d", "bfl-flux-1-dev"),
    ],
)
def test_bash_completes_models_and_parameters(nothing: pathlib.Path, typed: str, expected: str) -> None:
    shown = completed("bash", COMP_WORDS=typed, COMP_CWORD=str(len(typed.split()) - 1)).splitlines()
    assert expected in shown
    assert len(shown) < 100


def test_bash_completes_all_parameters_after_a_space(nothing: pathlib.Path) -> None:
    shown = completed("bash", COMP_WORDS="runware run runware : 400 @ 2 width = 512 ", COMP_CWORD="10").splitlines()
    assert {"height=", "lora=", "safety.mode="} <= set(shown)
    assert not any("[" in one for one in shown)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_script_for_bash_completes_as_bash_splits_words(nothing: pathlib.Path) -> None:
    (nothing / "runware").write_text(
        f"#!{sys.executable}\nimport sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        "from runware.__main__ import main\nmain()\n"
    )
    (nothing / "runware").chmod(0o755)
    program = """
        eval "$(runware --show-completion bash)"
        COMP_WORDS=(runware run runware : 400 @ 2 wid) COMP_CWORD=7
        _runware_completion runware
        echo "${COMPREPLY[@]}"
    """
    shown = subprocess.run(
        ["bash", "--norc", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        env={
            **os.environ,
            "PATH": f"{nothing}{os.pathsep}{os.environ['PATH']}",
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
        check=False,
    )
    assert (shown.stdout, shown.stderr) == ("width=\n", "")


def test_zsh_and_fish_complete_models_and_parameters(nothing: pathlib.Path) -> None:
    shown = completed("zsh", _TYPER_COMPLETE_ARGS="runware run runware:400")
    assert r'"runware\\:400@2":"FLUX.2 (klein) 9B"' in shown
    assert '"width=":"a multiple of 16' in completed("zsh", _TYPER_COMPLETE_ARGS="runware run runware:400@2 wid")
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "runware:400@2\tFLUX.2 (klein) 9B" in completed(
        "fish", _TYPER_COMPLETE_ARGS="runware run runware:400", **fish
    )
    shown = completed("fish", _TYPER_COMPLETE_ARGS="runware run runware:400@2 wid", **fish)
    assert shown.startswith("width=\ta multiple of 16")
