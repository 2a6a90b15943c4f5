"""Every command on a terminal and in a pipe: colours, width and progress on the one, plain text in the other."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from runware import Runware
from runware.local import LocalServer
from runware.local.images import encode, scene

pytest.importorskip("typer")
pytest.importorskip("pty")

from typer.testing import CliRunner

from runware.cli import app

from .conftest import until
from .terminals import PROJECT, on_terminal

ESCAPE = "\x1b["
COMMANDS: dict[str, tuple[str, ...]] = {
    "image": ("image", "a red kite", "-o", "kite.png"),
    "video": ("video", "waves", "-o", "waves.mp4"),
    "audio": ("audio", "calm piano", "-o", "piano.mp3"),
    "speech": ("audio", "Hello.", "--voice", "Ashley", "-o", "hello.wav"),
    "3d": ("3d", "a chair", "-o", "chair.glb"),
    "3d from an image": ("3d", "--from", "picture.png", "-o", "chair.glb"),
    "text": ("text", "Why is the sky blue?"),
    "caption": ("caption", "picture.png"),
    "upscale": ("upscale", "picture.png", "-o", "large.png"),
    "remove-background": ("remove-background", "picture.png", "-o", "cut.png"),
    "vectorize": ("vectorize", "picture.png", "-o", "picture.svg"),
    "upload": ("upload", "picture.png"),
    "account": ("account",),
    "models search": ("models", "search", "flux"),
    "models list": ("models", "list", "-q", "kling"),
    "models show": ("models", "show", "bfl-flux-2-klein-9b"),
    "models price": ("models", "price", "klingai-video-2-6-pro"),
    "run": ("run", "bfl-flux-2-klein-9b", "positive_prompt=a red kite", "width=512", "height=512", "-o", "run.jpg"),
    "doctor": ("doctor",),
    "key show": ("key", "show"),
    "completion": ("completion", "bash"),
}


@pytest.fixture
def environment(server: LocalServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture.png").write_bytes(encode(scene("x", 1, 256, 256), "png", 90))
    return {"RUNWARE_API_KEY": server.api_key, "RUNWARE_URL": server.url}


def in_pipe(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "runware", *arguments],
        input=stdin, capture_output=True, text=True, timeout=50, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm-256color", **environment},
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_command_works_in_a_pipe_without_terminal_sequences(name: str, environment: dict[str, str]) -> None:
    ran = in_pipe(*COMMANDS[name], **environment)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    assert name == "completion" or "\x1b" not in ran.stdout + ran.stderr
    if "-o" in COMMANDS[name]:
        (path,) = ran.stdout.split()
        assert pathlib.Path(path).stat().st_size > 100
        assert "1 result, $0." in ran.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_command_works_on_a_terminal_within_its_width(name: str, environment: dict[str, str]) -> None:
    shown = on_terminal(*COMMANDS[name], columns=100, **environment)
    assert shown.code == 0, shown.text
    if "-o" in COMMANDS[name]:
        assert pathlib.Path(COMMANDS[name][-1]).stat().st_size > 100
        assert f"{ESCAPE}2m1 result, $0." in shown.text  # dimmed
    if name.startswith("models list"):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.text)
        assert max(map(len, plain.splitlines())) <= 100
        assert "Creator" in plain


def test_help_fits_narrow_terminals() -> None:
    shown = on_terminal("image", "--help", columns=60)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.text)
    assert max(map(len, plain.splitlines())) <= 60
    assert shown.code == 0


@pytest.mark.parametrize("name", [*COMMANDS, "chat", "job", "models refresh", "key set", "key delete"])
def test_every_command_has_help(name: str) -> None:
    words = name.split()
    command = words[:2] if words[0] in ("models", "key") else ["audio"] if name == "speech" else words[:1]
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Usage: " in shown.output
    assert "--help" in shown.output


@pytest.mark.parametrize("name", ["", "image", "key", "key show", "jobs list", "models", "models list"])
def test_help_shows_no_type_beside_flags(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"])
    assert "Show this message and exit." in shown.output
    assert not re.search(r"<?bool(ean)?>?", shown.output, re.IGNORECASE)


def test_parameter_names_of_a_model_are_whole_on_a_terminal() -> None:
    shown = on_terminal("models", "show", "bfl-flux-2-klein-9b", columns=100)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.text)
    assert re.search(r"accelerator_options\.cache_max_consecutive_steps +an integer between 1 and 5", plain)
    assert re.search(r"advanced_features\.watermark +a dict", plain)
    assert max(map(len, plain.splitlines())) <= 100
    narrow = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal("models", "show", "bfl-flux-2-klein-9b", columns=60).text)
    assert max(map(len, narrow.splitlines())) <= 60


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_airs_are_whole_in_narrow_terminals(columns: int) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal("models", "list", "-q", "kling", columns=columns).text)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    (line,) = [line for line in lines if line.startswith("klingai:kling-video@2.6-standard ")]
    assert "Kling" in line
    assert all(line.startswith("klingai:") for line in lines[1:-1])


def test_doctor_wraps_long_findings_beside_their_names(environment: dict[str, str]) -> None:
    shown = on_terminal("doctor", columns=80, **environment)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.text).splitlines()
    (first,) = [at for at, line in enumerate(lines) if line.startswith("ok    packages")]
    assert lines[first + 1].startswith(" " * 22 + lines[first + 1].strip()[0])
    assert max(map(len, lines)) <= 80


def test_no_color_leaves_no_colour(environment: dict[str, str]) -> None:
    coloured = on_terminal("models", "list", "-q", "kling", **environment)
    plain = on_terminal("models", "list", "-q", "kling", NO_COLOR="1", **environment)
    assert re.search(r"\x1b\[[\d;]*3\dm", coloured.text)
    assert not re.search(r"\x1b\[[\d;]*3[0-8]", plain.text)


def test_text_is_printed_while_it_arrives(environment: dict[str, str], server: LocalServer) -> None:
    # Only a text that is shown before the answer is complete can be answered by Ctrl-C.
    server.configure(spread=0.3)
    shown = on_terminal("text", "hello there", typed=[("You", signal.SIGINT)], **environment)
    assert shown.code == 130
    assert "interrupted" in shown.text


def test_chat_answers_and_obeys_commands_on_a_terminal(environment: dict[str, str]) -> None:
    typed = [
        ("> ", "hello there\n"),
        ("> ", "/cost\n"),
        ("tokens, ", ""),
        ("> ", "/clear\n"),
        ("forgotten", ""),
        ("> ", "/model\n"),
        ("google:gemma", ""),
        ("> ", "/nonsense\n"),
        ("leave, as Ctrl-D", ""),
        ("> ", "\x04"),
    ]
    shown = on_terminal("chat", typed=typed, **environment)
    assert shown.code == 0
    assert "hello there" in shown.text.replace("hello there\r\n", "", 1)


def test_chat_leaves_at_the_second_ctrl_c_in_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runware.cli import text

    class Keyboard:
        def isatty(self) -> bool:
            return True

    typed = iter((KeyboardInterrupt, "/model", KeyboardInterrupt, KeyboardInterrupt))

    def ask(_: str) -> str:
        key = next(typed)
        if key is KeyboardInterrupt:
            raise KeyboardInterrupt
        return str(key)

    monkeypatch.setattr(text.sys, "stdin", Keyboard())
    monkeypatch.setattr(text, "_ask", ask)
    chat = Runware("rw-x").chat("google:gemma@4-31b")
    with pytest.raises(KeyboardInterrupt):
        text._Conversation(chat, None, as_json=False).run()
    assert capsys.readouterr().err.count("Ctrl-C once more") == 2


def test_ctrl_c_stops_an_answer_and_not_the_chat(environment: dict[str, str], server: LocalServer) -> None:
    server.configure(spread=0.3)
    typed = [("> ", "hello there\n"), ("You", signal.SIGINT), ("stopped", ""), ("> ", "/exit\n")]
    shown = on_terminal("chat", typed=typed, **environment)
    assert shown.code == 0
    assert "Traceback" not in shown.text


def test_serve_ends_with_ctrl_c_on_a_terminal() -> None:
    shown = on_terminal("serve", "--port", "0", typed=[("ws://127.0.0.1:", signal.SIGINT)])
    assert shown.code in (0, 130)
    assert "Traceback" not in shown.text


@pytest.mark.parametrize("run", [on_terminal, in_pipe])
def test_task_of_another_process_is_collected(run: Any, environment: dict[str, str]) -> None:
    (item,) = json.loads(in_pipe("video", "waves", "--json", **environment).stdout)
    ran = run("job", item["taskUUID"], "-o", "waves.mp4", **environment)
    assert "waves.mp4" in (ran.text if run is on_terminal else ran.stdout)
    assert pathlib.Path("waves.mp4").stat().st_size > 100


def test_chat_takes_each_line_of_a_pipe_as_a_message(environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    ran = in_pipe("chat", "--json", "--history", "chat.json", stdin="one\ntwo\n", **environment)
    assert ran.returncode == 0, ran.stderr
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ["one" in answers[0]["text"], "two" in answers[1]["text"]] == [True, True]
    assert answers[0]["cost"] > 0
    assert len(json.loads((tmp_path / "chat.json").read_text())["messages"]) == 4
    in_pipe("chat", "--history", "chat.json", stdin="three\n", **environment)
    assert len(json.loads((tmp_path / "chat.json").read_text())["messages"]) == 6


def test_history_with_a_lone_surrogate_is_continued(environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    path = tmp_path / "chat.json"
    in_pipe("chat", "--history", "chat.json", stdin="a kïte\n", **environment)
    path.write_text(path.read_text("utf-8").replace("a kïte", r"a kïte \ud800"), "utf-8")  # as a model may write it
    ran = in_pipe("chat", "--history", "chat.json", stdin="another\n", **environment)
    assert ran.returncode == 0, ran.stderr
    messages = json.loads(path.read_text("utf-8"))["messages"]
    assert (messages[0]["content"], len(messages)) == ("a kïte \ud800", 4)


def test_chat_in_a_missing_directory_is_refused_before_anything_is_sent(
    environment: dict[str, str], server: LocalServer
) -> None:
    ran = in_pipe("chat", "--history", "missing/chat.json", stdin="one\n", **environment)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert "missing is no directory, and the chat cannot be kept in it." in ran.stderr
    assert server.ledger.connections == 0


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux only")
def test_file_name_that_is_no_utf8_is_printed_unchanged(environment: dict[str, str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "runware", "image", "x y", "-W", "128", "-H", "128", "-o", b"kite-\xff.jpg"],
        capture_output=True, timeout=50, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": "utf-8:strict", **environment},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, b"kite-\xff.jpg\n"), ran.stderr
    assert os.path.exists(b"kite-\xff.jpg")


def test_progress_is_drawn_and_cleared_on_a_terminal(environment: dict[str, str], server: LocalServer) -> None:
    with server.hold("imageInference"):
        shown = on_terminal("image", "x y", "-n", "2", typed=[("0 of 2", signal.SIGINT)], **environment)
    assert shown.code == 130
    assert "Traceback" not in shown.text
    assert shown.text.count("\x1b[?25l") == shown.text.count("\x1b[?25h")  # the cursor is back


def test_ctrl_c_ends_a_command_in_a_pipe_with_one_line(environment: dict[str, str], server: LocalServer) -> None:
    with (
        server.hold("imageInference"),
        subprocess.Popen(
            [sys.executable, "-m", "runware", "image", "x y"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        ) as process,
    ):  # fmt: skip
        until(lambda: server.ledger.tasks("imageInference"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("error: interrupted")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("models", "list"), ("models", "list", "--json"), ("completion", "zsh"), ("doctor", "--local")]
)
def test_reader_that_goes_away_is_no_error(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-m", "runware", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said: Any = process.stderr.read()
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said
    assert process.returncode in (0, 1)


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors in a POSIX shell")
@pytest.mark.parametrize(
    ("command", "closed", "code"),
    [
        ("models list", "<&- >&- 2>&-", 0),
        ("models list", ">&-", 0),
        ("models list", "2>&-", 0),
        ("models show no-such-model", "2>&-", 1),
        ("image 'x y' -o out", "<&- >&- 2>&-", 0),
        ("text -", "<&-", 0),
        ("chat", "<&-", 0),
    ],
)
def test_closed_standard_streams_are_no_error(
    command: str, closed: str, code: int, environment: dict[str, str]
) -> None:
    ran = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -X dev -W error -m runware {command} {closed}"],
        capture_output=True, text=True, timeout=50, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    )  # fmt: skip
    assert (ran.returncode, "Traceback" in ran.stdout + ran.stderr) == (code, False), ran.stderr
    if command.startswith("image"):
        assert len(list(pathlib.Path("out").iterdir())) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device of Linux that is always full")
@pytest.mark.parametrize(
    ("command", "code"),
    [("models list", 2), ("models list --json", 2), ("models show no-such-model --json", 1), ("doctor --json", 2)],
)
def test_full_disk_is_reported_in_a_line(command: str, code: int, environment: dict[str, str]) -> None:
    ran = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -X dev -W error -m runware {command} > /dev/full"],
        capture_output=True, text=True, timeout=50, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    )  # fmt: skip
    assert ran.stderr.startswith("error: ")
    assert (ran.returncode, ran.stderr.count("\n")) == (code, 1), ran.stderr
