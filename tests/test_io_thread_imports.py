"""No module is imported on the I/O thread: an import takes locks, and delays all calls by up to 0.25 s."""

from __future__ import annotations

import pytest

from runware import Runware
from runware.local import LocalServer

from .test_processes import run
from .test_three_interfaces import PICTURE

WATCHED = """
import logging
from runware.options import RetryPolicy

class Watch:
    found = []
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread().name.startswith(("runware-io", "runware-http")):
            self.found.append(name)

def ended(call, *expected):
    try:
        call()
    except RunwareError as error:
        assert type(error).__name__ in expected, repr(error)
    else:
        assert not expected

sys.meta_path.insert(0, Watch())
"""


def imported(server: LocalServer, script: str) -> list[str]:
    return run(server, WATCHED + script + "\nrw.close()\nprint(*Watch.found)").split()


@pytest.mark.parametrize(
    "policy",
    ["stop=lambda state: state.attempt_number > 2", "retry=lambda state: True", "wait=lambda state: 0.0"],
)
@pytest.mark.parametrize("place", ["client", "call"])
def test_custom_retry_policy_imports_tenacity_on_the_caller_thread(
    server: LocalServer, policy: str, place: str
) -> None:
    server.play("X10:form=F22")
    script = f"""
policy = RetryPolicy({policy})
assert "tenacity" not in sys.modules
if {place!r} == "client":
    rw = Runware(max_retries=policy, retry_delay=0.01)
    rw.image_inference(**PICTURE)
else:
    rw.image_inference(**PICTURE, retry=policy)
assert "tenacity" in sys.modules
assert rw.stats.retries == 1
"""
    assert imported(server, script) == []


def test_policy_without_custom_parts_needs_no_tenacity(server: LocalServer) -> None:
    server.play("X10:form=F22")
    script = """
rw.image_inference(**PICTURE, retry=RetryPolicy())
assert "tenacity" not in sys.modules
"""
    assert imported(server, script) == []


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_io_thread_imports_nothing_for_any_kind_of_call(server: LocalServer, transport: str) -> None:
    script = (
        f"""
rw = Runware(transport={transport!r}, timeout=20.0, retry_delay=0.05)
"""
        """
(image,) = rw.image_inference(**PICTURE, seed=7)
rw.image_inference(**PICTURE, number_results=2, delivery_method="async")
rw.video_inference(positive_prompt="waves at dusk", model="klingai:5@3", duration=5)
rw.text_inference(model="google:gemma@4", messages=[{"role": "user", "content": "Hello"}])
rw.audio_inference(positive_prompt="a foghorn", model="elevenlabs:1@1")
rw.caption(input_image="https://example.com/kite.png")
rw.upscale(input_image="https://example.com/kite.png", upscale_factor=2)
rw.model_search(search="flux")
rw.account_management(operation="getDetails")
rw.run({"taskType": "imageInference", "positivePrompt": "a kite", "width": 512, "height": 512})
rw.get_response(task_uuid=image.task_uuid)
rw.get_task_details(task_uuid=image.task_uuid)
rw.job(image.task_uuid).result()
"""
    )
    assert imported(server, script) == []


@pytest.mark.parametrize(
    "call",
    [
        "rw.job(JOB).result()",
        "rw.get_response(task_uuid=JOB)",
        "rw.get_task_details(task_uuid=JOB)",
        "rw.run({'taskType': 'imageInference', 'positivePrompt': 'a kite', 'width': 512, 'height': 512})",
        "rw.run({'taskType': 'modelSearch', 'search': 'flux'})",
        "rw.upscale(input_image='https://example.com/kite.png', upscale_factor=2)",
        "rw.connect()",
    ],
)
def test_io_thread_imports_nothing_for_the_first_call_of_a_process(server: LocalServer, call: str) -> None:
    with Runware(server.api_key, url=server.url) as before:
        uuid = before.image_inference(**PICTURE)[0].task_uuid
    assert imported(server, f"JOB = {uuid!r}\n{call}") == []


@pytest.mark.parametrize(
    "fault",
    [
        "X5:when=submit,then=replay,delivery=any",
        "X5:when=submit,then=nothing,delivery=any",
        "X5:when=submit,then=conflict,delivery=any,how=rst",
        "X6:replay=all,mid_frame=true",
        "X7:code=1001",
        "X9",
        "X10:form=F20",
        "X14:form=text",
        "X19",
    ],
)
def test_io_thread_imports_nothing_for_a_call_that_succeeds_after_a_fault(server: LocalServer, fault: str) -> None:
    server.play(fault)
    assert imported(server, "rw.image_inference(**PICTURE, number_results=2)") == []


@pytest.mark.parametrize(
    ("faults", "call", "error"),
    [
        ((), "image_inference(**{**PICTURE, 'positive_prompt': '[error:invalidWidth] a kite'})", "ValidationError"),
        (("X10:form=F20",), "image_inference(**PICTURE, number_results=3, retry=0)", "IncompleteResultsError"),
        (("X10:form=F22",), "image_inference(**PICTURE, retry=0)", "ServerError"),
        (("X10:form=F22",), "image_inference(**PICTURE, number_results=2)", "ServerError"),
        (("X2",), "image_inference(**PICTURE)", "AuthenticationError"),
        ((), "job('0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01').result()", "NotFoundError"),
    ],
)
def test_io_thread_imports_nothing_for_a_call_that_fails(
    server: LocalServer, faults: tuple[str, ...], call: str, error: str
) -> None:
    for fault in faults:
        server.play(fault)
    assert imported(server, f"ended(lambda: rw.{call}, {error!r})") == []


def test_io_thread_imports_nothing_for_a_timeout_a_cancellation_and_the_close(server: LocalServer) -> None:
    with server.hold("imageInference"):
        script = """
ended(lambda: rw.image_inference(**PICTURE, timeout=0.2), "TaskTimeoutError")
rw.submit.image_inference(**PICTURE).cancel()
job = rw.submit.image_inference(**PICTURE)
rw.close()
ended(job.result, "ClientClosedError")
"""
        assert imported(server, script) == []


def test_io_thread_imports_nothing_for_events_and_the_log(server: LocalServer) -> None:
    script = """
logging.getLogger("runware").setLevel("DEBUG")
with Runware(on_event=lambda event: None) as watched:
    watched.image_inference(**PICTURE, on_partial=lambda results, error: None)
"""
    assert imported(server, script) == []


def test_threads_for_http_import_nothing_when_requests_fail(server: LocalServer) -> None:
    server.play("X20")
    server.play("X20:run=false,status=429,retry_after=0,date=true")
    script = """
rw = Runware(transport="http", timeout=20.0, retry_delay=0.01)
rw.image_inference(**PICTURE)
rw.close()
rw = Runware(transport="http", url="http://127.0.0.1:9/v1", max_retries=0)
ended(lambda: rw.image_inference(**PICTURE), "ConnectionFailedError")
rw.close()
rw = Runware(transport="http", url="https://127.0.0.1:9/v1", max_retries=0)
ended(lambda: rw.image_inference(**PICTURE), "ConnectionFailedError")
"""
    assert imported(server, script) == []
