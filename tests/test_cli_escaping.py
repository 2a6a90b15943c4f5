"""No output of the command line lets a server or a file control the terminal or forge a line."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runware.local import LocalServer
from runware.models.services import cache_folder

from .net import listening, read_head

pytest.importorskip("typer")

from typer.testing import CliRunner

from runware.cli import app

PROJECT = pathlib.Path(__file__).parent.parent
KEY = "rw-cli-9sK2vQ7xT4"
EVIL = "nice\x1b]0;owned\x07\x1b[31m\x9b2J\u202etxt\r\nerror: forged\x00\ud800\u2028"
FORBIDDEN = ("\x1b]", "\x1b[31m", "\x9b", "\x07", "\x00", "\u202e", "\u2028")


def terminal(*arguments: str, **environment: str) -> str:
    """Run a command on a terminal of its own; return what it wrote there."""
    pty = pytest.importorskip("pty")
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal is to be had here: {error}")
    with subprocess.Popen(
        [sys.executable, "-m", "runware", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": "utf-8", **environment},
    ) as process:  # fmt: skip
        os.close(theirs)
        data = b""
        try:
            while piece := os.read(ours, 65536):
                data += piece
        except OSError:  # how Linux reports that the other side is closed
            pass
        os.close(ours)
        process.wait(50)
    return data.decode("utf-8")


def pipe(*arguments: str, **environment: str) -> str:
    """Run a command whose output is redirected; return what it wrote."""
    ran = CliRunner().invoke(app, arguments, env=environment)
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran.stdout + ran.stderr


def answer(task: dict[str, Any]) -> list[Any] | None:
    kind, uuid = task["taskType"], task.get("taskUUID")
    head = {"taskType": kind, "taskUUID": uuid}
    if kind == "imageInference" and task["positivePrompt"] == "refuse":
        error = {**head, "code": EVIL, "message": f"{EVIL} {KEY}", "parameter": EVIL}
        return [json.dumps({"errors": [error]})]  # a text, in which the lone surrogate can be escaped
    found = {
        "imageInference": {"imageUUID": EVIL, "imageURL": f"https://im.example/{EVIL}"},
        "caption": {"text": f"one\n\ttwo {EVIL}"},
        "modelSearch": {"results": [{"air": EVIL, "name": EVIL, "version": EVIL, "category": EVIL}], "totalResults": 1},
        "accountManagement": {"organizationName": EVIL, "team": [], "apiKeys": [{"apiKey": KEY, "name": EVIL}]},
    }.get(kind)
    return None if found is None else [json.dumps({"data": [{**head, **found}]})]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with LocalServer(api_key=KEY) as server:
        server.script(answer)
        described = {
            "air": "evil:1@1", "slug": "evil-1", "name": EVIL, "creator": EVIL, "capabilities": [EVIL],
            "outputModality": "image", "taskType": "imageInference", "replacedBy": EVIL,
            "pricingRates": [{"amount": 1, "unit": EVIL, "label": EVIL}],
            "pricingExamples": [{"configuration": EVIL, "price": 1.0}],
        }  # fmt: skip
        schema = {"properties": {EVIL: {"enum": [EVIL], "default": EVIL}, "width": {"enum": [EVIL]}}}
        folder = cache_folder()
        folder.mkdir(parents=True)
        saved = {"format": 1, "records": [described], "schemas": {"evil:1@1": schema}}
        host = server.http_url.partition("://")[2].partition("/")[0].replace(":", "_")
        (folder / f"models-{host}.json").write_text(json.dumps(saved))
        yield {"RUNWARE_API_KEY": KEY, "RUNWARE_URL": server.url}


COMMANDS = {
    "url": ("image", "x y"),
    "text": ("caption", "https://example.com/x.png"),
    "stream": ("text", EVIL.replace("\x00", "").replace("\ud800", "")),
    "names": ("models", "x"),
    "account": ("account",),
    "list": ("models", "list", "-q", "evil"),
    "show": ("models", "show", "evil:1@1"),
    "price": ("models", "price", "evil:1@1"),
    "check": ("run", "evil:1@1", "task_type=imageInference", "width=5", "--check-only"),
    "error": ("image", "refuse"),
    "ref": ("job", json.dumps({"task_uuid": "x", "task_type": EVIL})),
    "file": ("caption", f"{EVIL.replace(chr(0), '')[:20]}.png"),
}


def harmless(said: str) -> list[str]:
    assert said.strip()
    assert KEY not in said
    # The command line's own sequences: colours, but none in the form that the server sends, and the progress line.
    assert not [mark for mark in FORBIDDEN if mark in said], said
    lines = re.sub(r"\r(\x1b\[1A)?\x1b\[2K", "", said.replace("\r\n", "\n")).split("\n")
    assert not [line for line in lines if "\r" in line], lines
    return lines


@pytest.mark.parametrize("run", [terminal, pipe])
@pytest.mark.parametrize("name", COMMANDS)
def test_output_contains_no_terminal_sequences(name: str, run: Callable[..., str], environment: dict[str, str]) -> None:
    lines = harmless(run(*COMMANDS[name], **environment))
    # Line feeds belong to the text itself.
    assert name in ("text", "stream") or not [line for line in lines if line.startswith("error: forged")], lines


@pytest.mark.parametrize("run", [terminal, pipe])
@pytest.mark.parametrize("name", ["url", "names", "list", "show", "price", "check", "account", "error"])
def test_json_output_is_valid_and_contains_no_terminal_sequences(
    name: str, run: Callable[..., str], environment: dict[str, str]
) -> None:
    said = run(*COMMANDS[name], "--json", **environment)
    harmless(said)
    found = json.dumps(json.loads(said), ensure_ascii=False)
    assert "owned" in found


def test_line_feeds_of_a_text_are_kept(environment: dict[str, str]) -> None:
    said = pipe(*COMMANDS["text"], **environment)
    assert said.startswith("one\n\ttwo nice\\x1b]0;owned\\x07\\x1b[31m")


def test_file_names_are_escaped_on_a_terminal_and_exact_in_a_pipe(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "\x1b[31mred"
    assert f"{tmp_path}/\\x1b[31mred/" in terminal("image", "x y", "--local", "-W", "128", "-H", "128", "-o", str(out))
    said = pipe("image", "x y", "--local", "-W", "128", "-H", "128", "-o", str(out))
    assert len(list(out.iterdir())) == 2
    assert said


def test_doctor_repeats_no_text_of_a_proxy() -> None:
    def refuse(sock: Any) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 407 no \x1b]0;owned\x07 proxy-pass-71\r\n\r\n")

    with listening(refuse) as port:
        given = {"RUNWARE_API_KEY": KEY, "HTTPS_PROXY": f"http://me:proxy-pass-71@127.0.0.1:{port}"}
        for run in (terminal, pipe):
            said = run("doctor", RUNWARE_URL="wss://api.example/v1", **given)
            harmless(said)
            assert "FAIL  proxy" in re.sub(r"\x1b\[[\d;]*m", "", said)
            assert "proxy-pass-71" not in said
