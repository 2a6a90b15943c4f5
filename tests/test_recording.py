"""Sessions that are recorded once, and replayed without the service."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from runware import ContentModerationError, IncompleteResultsError, Runware, RunwareError, ValidationError
from runware.local import LocalServer
from runware.local.recording import Recording

from .net import listening, read_head

MODEL = {"model": "runware:101@1", "width": 512, "height": 512}
KEY = "rw-very-secret-key"
PROJECT = pathlib.Path(__file__).parent.parent
PICTURE = b"\x89PNG" + bytes(5000)


@pytest.fixture
def service() -> Iterator[LocalServer]:
    """Play the real service."""
    with LocalServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "session.jsonl"


def recorder(path: pathlib.Path, service: LocalServer) -> LocalServer:
    return LocalServer(record=path, upstream=service.url)


def make(rw: Runware, prompt: str = "a red kite", **more: Any) -> Any:
    return rw.image_inference(**{"positive_prompt": prompt, **MODEL, **more})


def lines(path: pathlib.Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_session_is_replayed_as_it_was_recorded(path: pathlib.Path, service: LocalServer, transport: Any) -> None:
    def session(rw: Runware) -> list[Any]:
        images = make(rw, number_results=3, include_cost=True)
        (bigger,) = [rw.upscale(input_image=images[0], upscale_factor=2)]
        (video,) = rw.video_inference(model="klingai:5@3", positive_prompt="waves")
        (text,) = rw.text_inference(model="google:gemma@4-31b", messages=[{"role": "user", "content": "hello"}])
        found = rw.model_search(search="flux")
        return [
            [(image.uuid, image.seed, image.cost) for image in images],
            bigger.uuid, video.uuid, video.seed, text.text, found.total_results,
        ]  # fmt: skip

    with recorder(path, service) as server, Runware(KEY, url=server.url, transport=transport) as rw:
        recorded = session(rw)
        assert server.ledger.requests[0].results == 3
        assert server.ledger.requests[0].cost == service.ledger.requests[0].cost > 0
    executed = service.ledger.executed
    assert executed > 0
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url, transport=transport) as rw:
        assert session(rw) == recorded
        assert make(rw, number_results=3, include_cost=True)[0].read(), "files are drawn anew"
        assert not server.ledger.errors
    assert service.ledger.executed == executed


def test_text_with_a_lone_surrogate_is_recorded_and_replayed(path: pathlib.Path, service: LocalServer) -> None:
    given = {"model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "data:,a kite \ud800"}]}
    with recorder(path, service) as server, Runware(KEY, url=server.url, timeout=20.0) as rw:
        (recorded,) = rw.text_inference(**given)
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url, timeout=20.0) as rw:
        (replayed,) = rw.text_inference(**given)
    assert "\ud800" in str(recorded.text)
    assert replayed.text == recorded.text


def test_image_of_a_result_is_recognized_by_its_url(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        rw.caption(input_image=make(rw)[0].url)
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url) as rw:
        assert rw.caption(input_image=make(rw)[0].url)


def test_recording_has_no_secrets_and_no_media(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        make(
            rw,
            f"my key is {KEY}",
            output_type="base64Data",
            reference_images=[PICTURE, "https://user:pass@x.test/a.png?token=hidden#part"],
            extra={"providerApiKey": "hidden", "webhookURL": "http://127.0.0.1:9/hidden"},
            retry=0,
            skip_response=True,
        )
        rw.account_management(operation="getDetails")
    text = path.read_text()
    assert len(text) < 2000
    for secret in (KEY, "hidden", "user:pass", "UE5H", "apiKey", "balance"):
        assert secret not in text, secret
    task = lines(path)[1]["task"]
    assert task["positivePrompt"] == "my key is ***"
    assert task["referenceImages"][0].startswith("sha256:")
    assert task["referenceImages"][1] == "https://x.test/a.png"


def test_files_in_requests_are_compared_by_content(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        rw.caption(input_image=PICTURE)
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url) as rw:
        assert rw.caption(input_image=PICTURE)
        with pytest.raises(ValidationError, match="nearest one differs in input"):
            rw.caption(input_image=PICTURE + b"x")


def test_errors_are_replayed(path: pathlib.Path, service: LocalServer) -> None:
    def session(rw: Runware) -> list[Any]:
        found: list[Any] = []
        with pytest.raises(ContentModerationError) as caught:
            make(rw, "[unsafe]")
        found.append((caught.value.code, caught.value.message))
        with pytest.raises(IncompleteResultsError) as partly:
            make(rw, "[fail:3=gpuOutOfMemory]", number_results=3, retry=0)
        found += [[image.seed for image in partly.value.results], [error.code for error in partly.value.errors]]
        with pytest.raises(ValidationError) as wrong:
            rw.run({"taskType": "imageInference", **MODEL, "width": 1})
        found.append((wrong.value.code, wrong.value.parameter))
        return found

    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        recorded = session(rw)
        errors = [request.error for request in server.ledger.requests]
    assert set(errors) == {"invalidProviderContent", "gpuOutOfMemory", recorded[-1][0]}
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url) as rw:
        assert session(rw) == recorded
        assert [request.error for request in server.ledger.requests] == errors


def test_same_request_is_answered_in_the_recorded_order(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        seeds = [make(rw)[0].seed for _ in range(3)]
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url) as rw:
        assert [make(rw)[0].seed for _ in range(5)] == [*seeds, seeds[-1], seeds[-1]]


def test_request_that_was_not_recorded_says_what_differs(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        make(rw)
        make(rw, "a heron", steps=20, seed=7)
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url) as rw:
        with pytest.raises(ValidationError, match=r"session.jsonl has no imageInference .* differs in width: recorded"
                           r" 512, sent 576\. Record the session again"):  # fmt: skip
            make(rw, width=576)
        with pytest.raises(ValidationError, match=r'differs in positivePrompt: recorded "a red kite", sent "x y"'):
            make(rw, "x y")
        with pytest.raises(ValidationError, match=r"has no caption; it has imageInference"):
            rw.caption(input_image=PICTURE)
        with pytest.raises(ValidationError, match="never recorded"):
            rw.account_management(operation="getDetails")
        assert [request.error for request in server.ledger.requests] == ["missingRecording"] * 4
        assert server.ledger.billed == 0
        server.respond("imageInference", {"seed": 5})
        assert make(rw, width=576)[0].seed == 5


def test_recorded_session_can_fail_on_request(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        seeds = [image.seed for image in make(rw, number_results=3)]
    with LocalServer(replay=path, frame_size=1) as server, Runware(server.api_key, url=server.url) as rw:
        server.play("drop_between_results")
        assert [image.seed for image in make(rw, number_results=3)] == seeds
        assert server.ledger.resumes == 1


def test_recorder_survives_a_lost_connection(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, Runware(KEY, url=server.url, retry_delay=0.05) as rw:
        with service.hold():
            job = rw.submit.image_inference(positive_prompt="a kite", number_results=2, **MODEL)
            service.ledger.wait_for(lambda ledger: ledger.held == 2)
            server.drop()
        assert len(job.result(20)) == 2
        assert service.ledger.executions(job.task_uuid) == 1
    (entry,) = lines(path)[1:]
    assert (len(entry["results"]), entry["complete"]) == (2, True)


def test_recording_stays_until_another_request_is_recorded(path: pathlib.Path, service: LocalServer) -> None:
    for prompt in ("a kite", None, "a heron"):
        before = path.read_text() if path.exists() else ""
        with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
            if prompt:
                make(rw, prompt)
        if prompt:
            assert [line["task"]["positivePrompt"] for line in lines(path)[1:]] == [prompt]
        else:
            assert path.read_text() == before


def test_unfinished_request_is_recorded_as_such(path: pathlib.Path, service: LocalServer) -> None:
    with service.hold():
        with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
            job = rw.submit.image_inference(positive_prompt="a kite", **MODEL)
            service.ledger.wait_for(lambda ledger: ledger.held == 1)
            job.cancel()
        assert lines(path)[1]["complete"] is False
    ended = pytest.raises(ValidationError, match=r"The recording session.jsonl ended before imageInference did")
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url) as rw, ended:
        make(rw, "a kite")


def test_stream_is_recorded_and_replayed(path: pathlib.Path, service: LocalServer) -> None:
    def read(rw: Runware) -> str:
        stream = rw.stream_text(model="google:gemma@4-31b", messages=[{"role": "user", "content": "hello"}])
        return "".join(piece.text or "" for piece in stream)

    with recorder(path, service) as server, Runware(KEY, url=server.url) as rw:
        recorded = read(rw)
        assert lines(path)[1]["complete"] is True  # as soon as the client has it
    with LocalServer(replay=path) as server, Runware(server.api_key, url=server.url) as rw:
        assert read(rw) == recorded != ""


def test_stream_that_speaks_of_its_own_end_is_recorded_whole(path: pathlib.Path) -> None:
    parts, arrived = ["the last line is data: [DONE]", ", and this is a later piece"], threading.Event()

    def event(text: str, finish: str | None) -> bytes:
        body = {"taskType": "textInference", "delta": {"text": text}, "finishReason": finish}
        return f"data: {json.dumps(body)}\n\n".encode()

    def answer(sock: socket.socket) -> None:
        head = read_head(sock)
        sock.recv(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        sock.sendall(event(parts[0], None))
        arrived.wait(20)
        sock.sendall(event(parts[1], "stop") + b"data: [DONE]\n\n")

    with listening(answer) as port, LocalServer(record=path, upstream=f"ws://127.0.0.1:{port}/v1") as server:
        client, got = Runware(KEY, url=server.url), []  # it makes no WebSocket
        for piece in client.stream_text(model="google:gemma@4-31b", messages=[{"role": "user", "content": "hello"}]):
            got.append(piece.text)
            arrived.set()
        client.close()
        assert "".join(filter(None, got)) == "".join(parts)
        assert lines(path)[1]["results"][0]["text"] == "".join(parts)


def test_wrong_key_is_refused_by_the_service(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, pytest.raises(RunwareError) as caught:
        Runware("rw-wrong-key", url=server.url).connect()
    assert type(caught.value).__name__ == "AuthenticationError"
    assert "rw-wrong-key" not in path.read_text()


def test_unreachable_service_closes_the_connection(path: pathlib.Path, service: LocalServer) -> None:
    service.unplug()
    for transport in ("websocket", "http"):
        with recorder(path, service) as server:
            rw = Runware(KEY, url=server.url, transport=transport, max_retries=0, timeout=5.0)
            with pytest.raises(RunwareError):
                make(rw)
            rw.close()
            assert server.ledger.errors


def test_chats_and_apps_are_neither_recorded_nor_replayed(path: pathlib.Path, service: LocalServer) -> None:
    with recorder(path, service) as server, LocalServer(replay=path) as other:
        for one in (server, other):
            rw = Runware(KEY, url=one.url)
            with pytest.raises(ValidationError, match="Chats and apps are neither recorded nor replayed"):
                rw.chat("google-gemma-4-31b").send("hello")
            rw.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{}\n", "line 1: not a line of a recorded session"),
        ('{"format":"runware session","version":1}\nnonsense\n', "line 2: not a line"),
        ('{"format":"runware session","version":1}\n{"task":{}}\n', "line 2: .*'results'"),
    ],
)
def test_file_that_is_no_recording_is_refused(path: pathlib.Path, content: str, message: str) -> None:
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Recording(path)


def test_wrong_options_are_refused(path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        LocalServer(replay=path, record=path)
    with pytest.raises(ValueError, match="must be a wss:// URL"):
        LocalServer(record=path, upstream="ws://real.example/v1")
    with pytest.raises(FileNotFoundError):
        LocalServer(replay=path)
    wrong = subprocess.run(
        [sys.executable, "-m", "runware.local", "--replay", str(path)], capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, "No such file" in wrong.stderr) == (2, True)


def test_command_line_records(path: pathlib.Path, service: LocalServer) -> None:
    command = [sys.executable, "-m", "runware.local", "--port", "0", "--record", str(path), "--upstream", service.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with Runware(KEY, url=process.stdout.readline().strip()) as rw:
            seed = make(rw)[0].seed
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        way = process.stdout.read()
    assert "export RUNWARE_URL=" in way
    assert "RUNWARE_API_KEY" not in way, "the key is that of the program"
    assert lines(path)[1]["results"][0]["seed"] == seed


TESTS = """
import pytest
from runware import get_client

@pytest.mark.runware_session("kite.jsonl")
def test_kite(runware_server):
    images = get_client().image_inference(positive_prompt="a kite", model="runware:101@1", number_results=2)
    assert len({image.seed for image in images}) == 2
"""


def run_pytest(folder: pathlib.Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RUNWARE_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "pytest_runware", "-p", "no:cacheprovider",
         "--strict-markers", *options],
        capture_output=True, text=True, timeout=50, cwd=folder, check=False,
        env={**bare, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PROJECT), **environment},
    )  # fmt: skip


def test_marker_records_on_request_and_replays(tmp_path: pathlib.Path, service: LocalServer) -> None:
    (tmp_path / "test_theirs.py").write_text(TESTS)
    missing = run_pytest(tmp_path)
    assert "Record it: pytest --runware-record test_theirs.py::test_kite" in missing.stdout
    assert "needs the key" in run_pytest(tmp_path, "--runware-record").stdout
    recorded = run_pytest(tmp_path, "--runware-record", RUNWARE_API_KEY=KEY, RUNWARE_URL=service.url)
    assert recorded.returncode == 0, recorded.stdout
    assert service.ledger.executed == 1
    assert KEY not in (tmp_path / "kite.jsonl").read_text()
    replayed = run_pytest(tmp_path)
    assert replayed.returncode == 0, replayed.stdout
    assert service.ledger.executed == 1
