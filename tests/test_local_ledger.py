"""The local server's ledger: what was sent, for tests and for people."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runware import Message, ProviderError, Runware, RunwareError
from runware.local import LocalServer

MODEL = {"model": "runware:101@1", "width": 512, "height": 512}


def make(rw: Runware, prompt: str = "a red kite", **more: Any) -> Any:
    return rw.image_inference(positive_prompt=prompt, **{**MODEL, **more})


def test_requests_are_what_was_sent_to_be_executed(server: LocalServer, rw: Runware) -> None:
    before = time.time()
    make(rw, number_results=2)
    rw.video_inference(model="klingai:5@3", positive_prompt="waves")
    image, video = server.ledger.requests
    assert (image.task_type, video.task_type) == ("imageInference", "videoInference")
    assert image["positivePrompt"] == "a red kite"
    assert "negativePrompt" not in image
    assert "taskUUID" not in image.parameters
    assert image.parameters["width"] == 512
    assert image.results == 2
    assert image.cost == server.ledger.cost(image.task_uuid) > 0
    assert before <= image.received_at <= video.received_at <= time.time()
    assert server.ledger.last is video


def test_ledger_without_requests_says_so(server: LocalServer) -> None:
    with pytest.raises(LookupError, match="nothing was sent yet"):
        _ = server.ledger.last
    assert str(server.ledger) == "0 requests, $0.00000"
    assert repr(server.ledger) == "<Ledger received=0, billed=0.00000>"


def test_rejected_and_failed_requests_have_their_error(server: LocalServer, rw: Runware) -> None:
    with pytest.raises(RunwareError):
        make(rw, "[error:invalidModel]")
    assert server.ledger.last.error == "invalidModel"
    rejection = server.ledger.last.rejection
    assert rejection is not None
    assert "asked for the error" in rejection["message"]
    with pytest.raises(ProviderError):
        make(rw, "[provider-error]", retry=0)
    assert server.ledger.last.error == "providerInternalError"
    assert server.ledger.last.rejection is None
    with pytest.raises(RunwareError):
        make(rw, "[fail:2]", number_results=2, retry=0)
    assert (server.ledger.last.error, server.ledger.last.results) == ("inferenceError", 1)


def test_chats_are_requests(server: LocalServer, rw: Runware) -> None:
    rw.chat("google-gemma-4-31b").send("What is 2+2?")
    assert server.ledger.last.task_type == "chat"
    assert server.ledger.last.cost == server.ledger.billed > 0
    with pytest.raises(RunwareError):
        rw.chat("google-gemma-4-31b").send("[unsafe]")
    assert server.ledger.last.error == "invalidProviderContent"


def test_table_shows_type_outcome_and_main_parameters(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", {"cost": 0.0125})
    server.respond("imageInference", error="providerInternalError")
    make(rw, steps=20, output_type="URL")
    with pytest.raises(ProviderError):
        make(rw, "a very long prompt with a\nline break and much more than forty characters", retry=0)
    first, second, total = str(server.ledger).splitlines()
    assert first.startswith("imageInference  1 result, $0.01250                          model='runware:101@1', ")
    assert "positivePrompt='a red kite', width=512, height=512, " in first
    assert "steps=20" in first
    assert "0 results, $0.00000, providerInternalError  model=" in second
    assert r"positivePrompt='a very long prompt with a\nline break …, width" in second
    assert total == "2 requests, $0.01250"
    assert repr(server.ledger.requests[0]).startswith("<imageInference model='runware:101@1', ")
    assert repr(server.ledger.requests[0]).endswith(": 1 result, $0.01250>")


def test_table_shortens_files_and_lists(server: LocalServer, rw: Runware) -> None:
    make(rw, reference_images=[b"\x89PNG" + bytes(3000)] * 3)
    line = str(server.ledger).splitlines()[0]
    assert len(line) < 400
    assert "…" in line
    rw.text_inference(model="google:gemma@4-31b", messages=[Message(role="user", content="hello")])
    assert "messages=[{'role': 'user', 'content': 'hello'}]" in str(server.ledger)


def test_ledger_keeps_as_many_requests_as_it_is_told() -> None:
    with LocalServer(keep=3) as server, Runware(server.api_key, url=server.url) as rw:
        for number in range(8):
            make(rw, f"kite {number}")
        prompts = [request["positivePrompt"] for request in server.ledger.requests]
    assert 3 <= len(prompts) <= 6
    assert prompts[-1] == "kite 7"


def test_forgetting_forgets_requests(server: LocalServer, rw: Runware) -> None:
    make(rw)
    server.forget()
    assert server.ledger.requests == ()
