"""The local server: answers that a test chooses, and faults by their readable names."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from runware import InsufficientCreditsError, ProviderError, Runware, RunwareError
from runware.local import FAULTS, LocalServer
from runware.local.__main__ import create_parser, describe_all

MODEL = {"model": "runware:101@1", "width": 512, "height": 512}


def make(rw: Runware, prompt: str = "a red kite", **more: Any) -> Any:
    return rw.image_inference(positive_prompt=prompt, **{**MODEL, **more})


def png(color: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(out, "PNG")
    return out.getvalue()


def test_given_fields_replace_those_of_every_result(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", {"seed": 7, "imageURL": "https://cdn.test/a.jpg"})
    images = make(rw, number_results=2)
    assert [(image.seed, image.url) for image in images] == [(7, "https://cdn.test/a.jpg")] * 2
    assert make(rw)[0].url.startswith(server.http_url), "one task only"


def test_list_has_the_fields_of_each_result(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", [{"seed": 1}, {"seed": 2}])
    assert [image.seed for image in make(rw, number_results=2)] == [1, 2]


def test_function_answers_by_the_task(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", lambda task: {"seed": task["width"]} if task["width"] == 576 else None, times=2)
    assert make(rw, width=576)[0].seed == 576
    assert make(rw, width=512, seed=3)[0].seed == 3


def test_failing_function_fails_the_task_and_is_kept_in_the_ledger(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", lambda task: {"seed": task["noSuchKey"]})
    with pytest.raises(RunwareError, match="noSuchKey"):
        make(rw, retry=0)
    assert isinstance(server.ledger.errors.pop(), KeyError)


def test_wrong_number_of_results_is_an_error_of_the_task(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", [{"seed": 1}, {"seed": 2}])
    with pytest.raises(RunwareError, match="given 2 results, and the task asks for 3"):
        make(rw, number_results=3)
    assert server.ledger.billed == 0


def test_error_fails_the_task(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", error="providerInternalError", message="No GPU is left.")
    with pytest.raises(ProviderError, match="No GPU is left") as caught:
        make(rw, retry=0)
    assert caught.value.code == "providerInternalError"
    assert server.ledger.billed == 0
    server.respond("imageInference", error={"code": "insufficientCredits", "message": "Empty.", "parameter": "model"})
    with pytest.raises(InsufficientCreditsError, match="Empty"):
        make(rw)


def test_error_that_is_retried_is_answered_by_the_next_answer(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", error="timeoutProvider")
    server.respond("imageInference", {"seed": 5})
    assert make(rw, retry=1)[0].seed == 5


def test_file_is_the_content_of_the_result(server: LocalServer, rw: Runware, tmp_path: Any) -> None:
    server.respond("imageInference", file=png("red"))
    assert make(rw)[0].read() == png("red")
    (tmp_path / "blue.png").write_bytes(png("blue"))
    server.respond("imageInference", file=tmp_path / "blue.png")
    assert make(rw, output_type="base64Data")[0].read() == png("blue")


def test_video_is_answered_through_polls(server: LocalServer, rw: Runware) -> None:
    server.respond("videoInference", {"cost": 0.25}, file=b"not really a video")
    (video,) = rw.video_inference(model="klingai:5@3", positive_prompt="waves", include_cost=True)
    assert (video.read(), video.cost) == (b"not really a video", 0.25)
    assert server.ledger.billed == 0.25


def test_text_is_answered_at_once_and_in_pieces(server: LocalServer, rw: Runware) -> None:
    server.respond("textInference", {"text": "Four."}, times=None)
    messages = [{"role": "user", "content": "2+2?"}]
    assert rw.text_inference(model="google:gemma@4-31b", messages=messages)[0].text == "Four."
    with rw.stream_text(model="google:gemma@4-31b", messages=messages) as stream:
        assert "".join(piece.text for piece in stream) == "Four."


def test_queries_are_answered(server: LocalServer, rw: Runware) -> None:
    server.respond("modelSearch", {"results": [], "totalResults": 0})
    assert rw.model_search(search="flux").total_results == 0
    assert rw.model_search(search="flux").total_results


def test_delay_is_that_of_the_answer(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", {"seed": 1}, delay=60.0)
    slow = rw.submit.image_inference(positive_prompt="slow", **MODEL)
    server.ledger.wait_for(lambda ledger: ledger.executed == 1)
    assert make(rw)
    assert not slow.done()
    slow.cancel()


def test_counted_answers_come_first_and_then_the_newest_of_the_others(server: LocalServer, rw: Runware) -> None:
    server.respond("imageInference", {"seed": 1}, times=None)
    newest = server.respond("imageInference", {"seed": 2}, times=None)
    server.respond("imageInference", {"seed": 3})
    server.respond("imageInference", {"seed": 4})
    assert [make(rw)[0].seed for _ in range(4)] == [3, 4, 2, 2]
    assert [task["width"] for task in newest.requests] == [512, 512]
    newest.stop()
    assert make(rw)[0].seed == 1


def test_answer_ends_with_its_block(server: LocalServer, rw: Runware) -> None:
    with server.respond("imageInference", {"seed": 9}, times=None) as answer:
        assert make(rw)[0].seed == 9
    assert make(rw, seed=4)[0].seed == 4
    assert repr(answer) == "<PlannedAnswer imageInference, used=1, always>"


def test_older_name_of_a_task_type_means_the_same(server: LocalServer) -> None:
    assert server.respond("imageCaption", {"text": "x"}).task_type == "caption"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task_type": "image_inference"}, "Did you mean 'imageInference'"),
        ({"task_type": "imageInfrence"}, "Did you mean 'imageInference'"),
        ({"task_type": "soup"}, "The task types are: imageInference, "),
        ({"task_type": "getResponse"}, "use `script`"),
        ({"results": {"image_url": "x"}}, "takes the API's names: 'imageURL'"),
        ({"results": lambda: 0, "error": "x"}, "error excludes results"),
        ({"error": ""}, "error takes an error code"),
        ({"error": {"message": "x"}}, "a dict with a code"),
        ({"message": "x"}, "message belongs to an error"),
        ({"delay": -1.0}, "delay must not be negative"),
        ({"times": 0}, "times must be 1 or more"),
        ({"file": b""}, "file must not be empty"),
        ({"task_type": "caption", "file": b"x"}, "results of caption have no file"),
    ],
)
def test_wrong_answers_are_refused(server: LocalServer, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        server.respond(**{"task_type": "imageInference", **arguments})


def test_results_of_another_type_are_refused(server: LocalServer) -> None:
    for wrong in ("text", 5, [1]):
        with pytest.raises(TypeError, match="a dict, a list of dicts, or a function"):
            server.respond("imageInference", wrong)  # type: ignore[arg-type]


def test_every_fault_has_a_readable_name_of_its_own(server: LocalServer) -> None:
    names = [fault.alias for fault in FAULTS.values()]
    assert len(set(names)) == len(names)
    assert list(server.faults) == names
    for short, alias in zip(FAULTS, names, strict=True):
        assert server.play(alias).name == server.play(alias.replace("_", "-").upper()).name == short
    server.stop_faults()


def test_readable_name_takes_parameters(server: LocalServer) -> None:
    fault = server.play("drop_between_results:replay=all", times=3)
    assert (fault.name, fault.parameters["replay"], fault.times) == ("X6", "all", 3)
    assert "drop_between_results (X6)" in repr(fault)
    assert "\n* drop_between_results   X6   the connection is lost" in repr(server.faults)
    assert server.faults.playing == (fault,)


def test_unknown_fault_suggests_a_name(server: LocalServer) -> None:
    with pytest.raises(ValueError, match="Did you mean 'drop_between_results'"):
        server.play("drop_betwen_results")
    with pytest.raises(ValueError, match=r"The faults are: silent_authentication, .* `runware serve --list`"):
        server.play("soup")


def test_command_line_shows_the_names() -> None:
    text = " ".join(create_parser().format_help().split())
    listed = describe_all()
    for fault in FAULTS.values():
        assert f"{fault.alias} ({fault.name})" in text
        assert f"  {fault.name:4} {fault.alias}: {fault.summary}" in listed
