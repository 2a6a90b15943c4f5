"""Where the command line saves results, how it names fields, where it finds the key, and what the shell completes."""

from __future__ import annotations

import base64
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types
from typing import Any

import pytest
from PIL import Image

from runware._support.lazy_modules import lazy_module
from runware.local import LocalServer
from runware.local.images import encode, scene

pytest.importorskip("typer")

from runware.cli import key_sources, screen, text

from .test_cli import PROJECT, here, run

__all__ = ["here"]


SIZE = ("-W", "512", "-H", "512")


def form_of(path: pathlib.Path) -> str | None:
    with Image.open(path) as found:
        return found.format


def test_file_name_chooses_the_format(here: pathlib.Path, server: LocalServer) -> None:
    for name, form in (("a.png", "PNG"), ("b.webp", "WEBP"), ("c.jpeg", "JPEG"), ("deep/er/d.jpg", "JPEG")):
        ran = run("image", "x y", *SIZE, "-o", name)
        assert (ran.out, ran.err.count("\n")) == (f"{name}\n", 1)
        assert form_of(here / name) == form
    sent = [task["outputFormat"] for task in server.ledger.tasks("imageInference")]
    assert sent == ["PNG", "WEBP", "JPG", "JPG"]


def test_file_becomes_what_its_name_says(here: pathlib.Path) -> None:
    task = {
        "taskType": "imageInference",
        "positivePrompt": "x y",
        "model": "runware:101@1",
        "width": 512,
        "height": 512,
    }
    run("run", "-", "-o", "out.png", stdin=json.dumps(task))  # the server makes a JPG
    assert form_of(here / "out.png") == "PNG"


def test_several_results_fill_a_template(here: pathlib.Path) -> None:
    ran = run("image", "x y", *SIZE, "-n", "3", "--seed", "5", "-o", "out/kite-{number:02}-{seed}.webp")
    assert ran.out.split() == [f"out/kite-0{number}-{4 + number}.webp" for number in (1, 2, 3)]
    ran = run("image", "x y", *SIZE, "-n", "2", "-o", "{uuid}")
    assert all((here / name).suffix == ".jpg" and form_of(here / name) for name in ran.out.split())
    assert run("image", "x y", *SIZE, "-o", "one.{ext}").out == "one.jpg\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "a.gif"), "a.gif is no file of this command, whose formats are JPG, PNG, WEBP, TIFF."),
        (("-o", "a.png", "--format", "JPG"), "a.png is not a name for JPG, which --format wants."),
        (("-o", "a.png", "-n", "2"), "a.png is one file, and there will be 2 results; use -o 'a-{number}.png'."),
        (("-o", "-", "-n", "2"), "use a directory (-o out/)"),
        (("-o", "{name}.png"), "may hold {number}, {seed}, {uuid}, {ext} in braces; got {name}."),
        (("-o", "{number.real}.png"), "may hold {number}"),
        (("-o", "{number"), "may hold {number}"),
        (("-o", "x.{ext}", "-n", "2"), "would be the same for 2 results; add {number}, {seed} or {uuid}."),
        (("-o", "taken.png"), "taken.png exists; --overwrite replaces it."),
        (("-o", "taken-{number}.png", "-n", "2"), "taken-2.png exists; --overwrite replaces it."),
        (("-o", "-", "--json"), "cannot both use standard output"),
        (("-o", "taken.png/"), "taken.png is a file, and results cannot be saved in it."),
        (("-o", "taken.png/deep/a.png"), "taken.png is a file, and results cannot be saved in it."),
        (("-o", "taken.png/{number}.png"), "taken.png is a file, and results cannot be saved in it."),
    ],
)
def test_wrong_name_is_refused_before_anything_is_sent(
    here: pathlib.Path, server: LocalServer, arguments: tuple[str, ...], message: str
) -> None:
    (here / "taken.png").write_bytes(b"mine")
    (here / "taken-2.png").write_bytes(b"mine")
    ran = run("image", "x y", *arguments)
    assert ran.code == 2
    assert message in (json.loads(ran.out)["error"]["message"] if "--json" in arguments else ran.error())
    assert server.ledger.connections == 0
    assert (here / "taken.png").read_bytes() == b"mine"


@pytest.mark.skipif(os.name == "nt", reason="directories have no such permission on Windows")
def test_directory_that_cannot_be_written_to_is_refused_before_anything_is_sent(
    here: pathlib.Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "closed").mkdir(0o555)
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and pathlib.Path(path).name == "closed"))
    for out in ("closed/", "closed/a.png", "closed/new/{number}.png"):
        assert "closed is a directory that this user cannot write to." in run("image", "x y", "-o", out).error()
    assert server.ledger.connections == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in directories")
def test_pipe_is_not_replaced_by_a_file(here: pathlib.Path, server: LocalServer) -> None:
    os.mkfifo("pipe")
    for overwrite in ((), ("--overwrite",)):
        message = run("image", "x y", "-o", "pipe", *overwrite).error()
        assert "pipe is no regular file; -o - writes to standard output." in message
    assert server.ledger.connections == 0
    assert (here / "pipe").is_fifo()


def test_template_with_a_format_for_seeds_names_results_without_one(here: pathlib.Path) -> None:
    (here / "in.png").write_bytes(encode(scene("x", 1, 256, 256), "png", 90))
    assert run("upscale", "in.png", "-o", "up-{seed:05d}.png").out == "up-no-seed.png\n"
    assert run("image", "x y", *SIZE, "--seed", "7", "-o", "kite-{seed:05d}.png").out == "kite-00007.png\n"
    ran = run("image", "x y", *SIZE, "--seed", "7", "-o", "kite-{seed:05d}.png")
    assert "kite-00007.png exists; --overwrite replaces it" in ran.err


def test_existing_file_is_replaced_on_request(here: pathlib.Path) -> None:
    (here / "taken.png").write_bytes(b"mine")
    assert run("image", "x y", *SIZE, "-o", "taken.png", "--overwrite").code == 0
    assert form_of(here / "taken.png") == "PNG"


@pytest.mark.parametrize("arguments", [("--json",), ()])
def test_printed_json_has_no_nan(here: pathlib.Path, server: LocalServer, arguments: tuple[str, ...]) -> None:
    server.respond("imageInference", {"imageURL": None, "cost": float("nan"), "more": [float("inf"), 1]})
    printed = json.loads(run("image", "x y", *SIZE, *arguments).out, parse_constant=pytest.fail)
    (item,) = printed if arguments else [printed]
    assert (item["cost"], item["more"]) == (None, [None, 1])


def test_media_is_written_to_standard_output(server: LocalServer) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "runware", "image", "x y", *SIZE, "-o", "-"],
        capture_output=True, check=True, timeout=50,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "RUNWARE_API_KEY": server.api_key, "RUNWARE_URL": server.url},
    )  # fmt: skip
    with Image.open(io.BytesIO(ran.stdout)) as found:
        assert found.size == (512, 512)
    assert ran.stderr.startswith(b"1 result, $0.")


def test_saved_files_are_opened_in_their_viewer(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", lambda url: opened.append(url) or 0)
    run("image", "x y", *SIZE, "-o", "a.png", "--open")
    assert opened == ["a.png"]
    (path,) = run("image", "x y", *SIZE, "--open").out.split()  # the current directory
    assert opened[1:] == [path]
    monkeypatch.setattr("typer.launch", lambda url: 3)
    assert "no viewer was found" in run("image", "x y", *SIZE, "-o", "b.png", "--open").err


def test_file_that_may_be_a_program_is_not_opened(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, server: LocalServer
) -> None:
    def answer(task: dict[str, Any]) -> list[Any] | None:
        if task["taskType"] != "imageInference":
            return None
        data = base64.b64encode(b"#!/bin/sh\necho owned\n").decode()
        item = {"taskType": task["taskType"], "taskUUID": task["taskUUID"], "imageUUID": "x", "imageBase64Data": data}
        return [{"data": [item]}]

    server.script(answer)
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", lambda url: opened.append(url) or 0)
    ran = run("image", "x y", "-o", "out/", "--open")
    assert "is not opened: it is no image" in ran.err
    assert opened == []


def test_names_of_json_are_chosen(here: pathlib.Path) -> None:
    (api,) = run("image", "x y", *SIZE, "--json").json
    (python,) = run("image", "x y", *SIZE, "--json", "--names", "python").json
    assert {"taskUUID", "imageURL", "taskType"} <= api.keys()
    assert {"task_uuid", "image_url", "task_type"} <= python.keys()
    error = run("image", "x y [unsafe]", "--json").json["error"]
    assert {"taskUUID", "taskType"} <= error.keys()
    error = run("image", "x y [unsafe]", "--json", "--names", "python").json["error"]
    assert {"task_uuid", "task_type"} <= error.keys()
    (account,) = run("account", "--json", "--names", "python").json
    assert "last_7_days" in account["usage"]
    assert "taskType" in run("models", "list", "-q", "kling", "--json").json[0]


def test_costs_have_a_unit() -> None:
    shown = [screen.dollars(cost) for cost in (0.0032, 2.0, 0.5, 12.345678, 0.0, 0.0000001, 0.00002)]
    assert shown == ["$0.0032", "$2.00", "$0.50", "$12.345678", "$0.00", "<$0.000001", "$0.00002"]


def test_upload_prints_a_uuid_that_other_commands_take(here: pathlib.Path, server: LocalServer) -> None:
    run("image", "x y", *SIZE, "-o", "a.png")
    uuid = run("upload", "a.png").out.strip()
    assert run("caption", uuid).code == 0
    assert server.ledger.tasks("caption")[0]["inputImage"] == uuid
    assert len(run("upload", "a.png", "a.png", "--json").json) == 2


def test_pieces_of_a_text_are_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    shown = text.Screen()
    for piece in ("one\r", "\ntwo\x1b[31m", "\x1b]0;owned\x07\ud800", "\r", "three\r"):
        shown.write(piece)
    shown.end()
    assert capsys.readouterr().out == "one\ntwo\\x1b[31m\\x1b]0;owned\\x07\\ud800\\rthree\n"


def test_standard_input_is_part_of_a_text_prompt(here: pathlib.Path) -> None:
    (answer,) = run("text", "Repeat this:", "-", "--json", stdin="a red kite\n").json
    assert "a red kite" in answer["text"]
    assert answer["cost"] > 0
    assert run("text", "x [provider-error]").code in (0, 1)


# ---------------------------------------------------------------------- the key


def test_key_comes_from_a_file(here: pathlib.Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWARE_API_KEY")
    (here / "key").write_text(f"{server.api_key}\n")
    assert run("account", "--key-file", "key").code == 0
    monkeypatch.setenv("RUNWARE_API_KEY_FILE", str(here / "key"))
    assert run("account").code == 0
    assert run("key", "show").out == f"from RUNWARE_API_KEY_FILE ({here / 'key'})\n"
    assert "from RUNWARE_API_KEY_FILE" in run("doctor").out
    (here / "key").write_text(f"{server.api_key}\r\n", encoding="utf-8-sig")
    assert run("account").code == 0
    (here / "wrong").write_text("rw-wrong")
    ran = run("account", "--key-file", "wrong")
    assert (ran.code, "The key was read from --key-file wrong." in ran.error()) == (3, True)
    for content, message in ((b"", "nothing else"), (b"two words", "nothing else"), (b"\xff", "nothing else")):
        (here / "bad").write_bytes(content)
        assert message in run("account", "--key-file", "bad").error()
    assert (
        "The key file none cannot be read: No such file or directory." in run("account", "--key-file", "none").error()
    )


class Ring:
    """A keyring in memory, in the form of the package keyring."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.broken = False

    class KeyringError(Exception):
        pass

    def get_password(self, service: str, user: str) -> str | None:
        if self.broken:
            raise self.KeyringError("locked")
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, value: str) -> None:
        if self.broken:
            raise self.KeyringError("locked")
        self.kept[service, user] = value

    def delete_password(self, service: str, user: str) -> None:
        del self.kept[service, user]

    def get_keyring(self) -> Any:
        return types.SimpleNamespace(name="a keyring in memory")


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    found = Ring()
    monkeypatch.setattr(key_sources, "keyring", found)
    monkeypatch.setattr(key_sources, "keyring_errors", found)
    return found


def test_key_is_kept_in_the_keyring(
    here: pathlib.Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch, ring: Ring
) -> None:
    monkeypatch.delenv("RUNWARE_API_KEY")
    assert run("key", "set", stdin=f"{server.api_key}\n").err == "stored in a keyring in memory\n"
    assert run("key", "show", "--json").json == {"source": "the keyring"}
    assert run("account").code == 0
    (here / "key").write_text(server.api_key)
    assert run("key", "set", "--key-file", "key").code == 0
    monkeypatch.setenv("RUNWARE_API_KEY", "rw-wrong")  # comes first
    assert run("account").code == 3
    assert [run("key", "delete").err, run("key", "delete").err] == ["deleted\n", "there was none\n"]
    assert run("key", "set", stdin="\n").code == 2
    monkeypatch.delenv("RUNWARE_API_KEY")
    ring.broken = True
    assert "RUNWARE_API_KEY_FILE" in run("account").error()
    assert "cannot be used: locked" in run("key", "set", stdin="x\n").error()


def test_missing_keyring_package_is_named(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sources, "keyring", lazy_module("keyring_that_is_not_there"))
    assert "pip install 'runware-client[keyring]'" in run("key", "set", stdin="x\n").error()
    monkeypatch.delenv("RUNWARE_API_KEY")
    assert "runware key set" in run("key", "show").error()


# ---------------------------------------------------------------------- completion


def completed(shell: str, words: str) -> list[str]:
    """Return what the shell is told for a line whose last word is being typed."""
    asked = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    program = "import sys; sys.argv = ['runware']; from runware.__main__ import main; main()"
    environment = {
        **os.environ,
        **asked,
        "_RUNWARE_COMPLETE": f"complete_{shell}",
        "PYTHONPATH": str(PROJECT),
    }
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, env=environment, check=False
    )
    assert shown.stderr == ""
    return shown.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completes_commands_models_and_parameters(shell: str) -> None:
    def offered(words: str) -> str:
        return " ".join(completed(shell, words))

    assert "remove-background" in offered("runware rem")
    assert "image" in offered("runware ima")
    assert "--overwrite" in offered("runware image --over")
    found = offered("runware image x --model bfl-flux-2-kl")
    assert "bfl-flux-2-klein-9b" in found
    assert "klingai" not in offered("runware image x --model klingai-video")  # it makes videos
    assert "klingai-video-2-6-pro" in offered("runware video x --model klingai-video")
    assert "CFGScale=" in offered("runware image x --model bfl-flux-2-klein-9b --set CFG")
    assert "WEBP" in offered("runware image x --format W")
    assert "width=" in offered("runware run bfl-flux-2-klein-9b wid")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_valid_for_its_shell(shell: str, tmp_path: pathlib.Path) -> None:
    script = run("completion", shell).out
    assert f"complete_{shell}" in script
    assert "runware" in script
    if (program := shutil.which(shell)) is not None:
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", str(tmp_path / "script")], check=True, timeout=20)
    assert run("completion", "tcsh").code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (("runware", "remo"), "remove-background"),
        (("runware", "video", '"a b"', "--model", "klingai-video-2-6-p"), "klingai-video-2-6-pro"),
        (("runware", "video", "x", "-m", "klingai", ":", "kling-video", "@", "2.6-p"), "2.6-pro"),
        (("runware", "run", "runware", ":", "400", "@", "2", "wid"), "width="),
    ],
)
def test_script_that_is_printed_completes_in_bash(line: tuple[str, ...], offered: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "script").write_text(run("completion", "bash").out)
    program = tmp_path / "runware"
    program.write_text(f"#!{sys.executable}\nfrom runware.__main__ import main\nmain()\n")
    program.chmod(0o755)
    words = " ".join(f"'{word}'" for word in line)
    commands = (
        f"source script; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _runware_completion runware; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    shown = subprocess.run(
        ["bash", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=True
    )
    assert shown.stderr == ""
    assert shown.stdout == f"{offered}\n"
