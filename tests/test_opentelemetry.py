"""Traces and metrics for OpenTelemetry, read back from exporters in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="it is an optional part of the test environment")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from runware import Runware, RunwareError, ValidationError
from runware.integrations.opentelemetry import CAPTURE_VARIABLE, RunwareInstrumentor, instrument, uninstrument
from runware.local import LocalServer

from .conftest import Interface, until

MODEL = "runware:101@1"
VIDEO_MODEL = "klingai:5@3"
TEXT_MODEL = "google:gemma@4-31b"
PICTURE: dict[str, Any] = {"positive_prompt": "a secret lighthouse", "model": MODEL, "width": 512, "height": 512}


class Telemetry:
    """What a program has recorded: its spans and measurements."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])
        self.tracer = self.tracer_provider.get_tracer("test")

    def instrument(self, client: Runware, **options: Any) -> None:
        instrument(client, **self.providers, **options)

    @property
    def providers(self) -> dict[str, Any]:
        return {"tracer_provider": self.tracer_provider, "meter_provider": self.meter_provider}

    @property
    def spans(self) -> list[ReadableSpan]:
        """The finished spans, in the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def wait_for(self, count: int) -> list[ReadableSpan]:
        """Wait until so many calls and downloads were recorded, and return their spans."""

        def recorded() -> list[ReadableSpan]:
            return [span for span in self.spans if span.kind is SpanKind.CLIENT]

        until(lambda: len(recorded()) >= count)
        assert len(recorded()) == count
        return recorded()

    def children(self, parent: ReadableSpan | trace.Span) -> list[ReadableSpan]:
        found = [span for span in self.spans if span.parent is not None]
        return [span for span in found if span.parent.span_id == parent.get_span_context().span_id]  # type: ignore[union-attr]

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric."""
        data = self._reader.get_metrics_data()
        metrics = (
            []
            if data is None
            else [metric for one in data.resource_metrics for scope in one.scope_metrics for metric in scope.metrics]
        )
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracer_provider.shutdown()
    telemetry.meter_provider.shutdown()


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def named(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


# ---------------------------------------------------------------------- the trace of a service


def test_trace_of_a_service_with_a_dropped_connection(server: LocalServer, rw: Runware, telemetry: Telemetry) -> None:
    """Three images and a video, whose connection is dropped while all of them run."""
    telemetry.instrument(rw)
    tracer = telemetry.tracer
    cost: dict[str, float] = {}

    async def paint(number: int) -> None:
        with tracer.start_as_current_span(f"paint {number}"):
            (image,) = await rw.aio.image_inference(**PICTURE, include_cost=True)
            cost[f"paint {number}"] = image.cost or 0.0

    async def film() -> None:
        with tracer.start_as_current_span("film"):
            (video,) = await rw.aio.video_inference(
                positive_prompt="waves", model=VIDEO_MODEL, duration=5, include_cost=True
            )
            cost["film"] = video.cost or 0.0

    async def drop() -> None:
        await asyncio.to_thread(server.ledger.wait_for, lambda ledger: ledger.held == 4)
        await asyncio.to_thread(server.drop)
        await asyncio.to_thread(server.release)

    async def serve() -> None:
        with tracer.start_as_current_span("request"):
            await asyncio.gather(paint(1), paint(2), paint(3), film(), drop())

    server.hold()
    asyncio.run(serve())
    calls = telemetry.wait_for(4)

    (request,) = [span for span in telemetry.spans if span.name == "request"]
    assert len({span.get_span_context().trace_id for span in telemetry.spans}) == 1
    parents = {span.name: span for span in telemetry.children(request)}
    assert parents.keys() == {"paint 1", "paint 2", "paint 3", "film"}
    for name, parent in parents.items():
        (call,) = telemetry.children(parent)
        assert call in calls
        model, output = (VIDEO_MODEL, "video") if name == "film" else (MODEL, "image")
        assert call.name == f"generate_content {model}"
        assert call.status.status_code is StatusCode.UNSET
        shown = facts(call)
        assert shown["gen_ai.operation.name"] == "generate_content"
        assert shown["gen_ai.provider.name"] == "runware"
        assert shown["gen_ai.request.model"] == model
        assert shown["gen_ai.output.type"] == output
        assert shown["server.address"] == "127.0.0.1"
        assert shown["runware.attempts"] == 1
        assert shown["runware.cost"] == cost[name] > 0
        assert request.start_time <= parent.start_time <= call.start_time < call.end_time
        (attempt,) = telemetry.children(call)
        assert attempt.name == "attempt 1"
        assert facts(attempt)["runware.task.uuid"] == shown["runware.task.uuid"]
        assert call.start_time <= attempt.start_time < attempt.end_time == call.end_time
        assert "runware.interrupted" in named(attempt)
        assert "runware.polled" in named(attempt)[named(attempt).index("runware.interrupted") :]
        assert server.ledger.executions(shown["runware.task.uuid"]) == 1
    assert sum(cost.values()) == pytest.approx(rw.stats.cost)
    assert sum(point.value for point in telemetry.points("runware.client.cost")) == pytest.approx(rw.stats.cost)
    assert rw.stats.drops == 1


# ---------------------------------------------------------------------- calls


def test_caller_is_the_parent_in_every_interface(rw: Runware, interface: Interface, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    with telemetry.tracer.start_as_current_span("mine") as mine:
        interface(rw, "image_inference", **PICTURE)
    (call,) = telemetry.wait_for(1)
    assert telemetry.children(mine) == [call]


def test_caller_is_the_parent_in_threads_maps_and_callbacks(rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)

    def in_thread() -> None:
        with telemetry.tracer.start_as_current_span("thread"):
            rw.image_inference(**PICTURE)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join(20)
    with telemetry.tracer.start_as_current_span("map"):
        assert len(list(rw.map(rw.image_inference, ["a kite", "a pier"], common={**PICTURE, "width": 128}))) == 2
    called = threading.Event()

    def again(job: Any) -> None:
        rw.submit.image_inference(**PICTURE).add_done_callback(lambda _: called.set())

    with telemetry.tracer.start_as_current_span("callback"):
        rw.submit.image_inference(**PICTURE).add_done_callback(again)
    assert called.wait(20)
    telemetry.wait_for(5)
    mine = {span.name: span for span in telemetry.spans if span.name in ("thread", "map", "callback")}
    assert {name: len(telemetry.children(span)) for name, span in mine.items()} == {
        "thread": 1,
        "map": 2,
        "callback": 2,
    }


def test_call_without_a_caller_s_span_begins_a_trace(rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    rw.image_inference(**PICTURE)
    (call,) = telemetry.wait_for(1)
    assert call.parent is None


def test_each_attempt_has_a_span(rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    rw.image_inference(**{**PICTURE, "positive_prompt": "a kite [rate-limit:2]"})
    (call,) = telemetry.wait_for(1)
    attempts = telemetry.children(call)
    assert [one.name for one in attempts] == ["attempt 1", "attempt 2", "attempt 3"]
    assert len({facts(one)["runware.task.uuid"] for one in attempts}) == 3
    assert [one.status.status_code for one in attempts] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert facts(attempts[0])["error.type"] == "RateLimitError"
    assert call.status.status_code is StatusCode.UNSET
    assert "error.type" not in facts(call)
    (retries,) = telemetry.points("runware.client.retries")
    assert retries.value == 2


def test_failed_call_has_its_class_of_error_and_no_message(rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    with pytest.raises(ValidationError):
        rw.image_inference(**PICTURE, extra={"width": 63})
    (call,) = telemetry.wait_for(1)
    assert call.status.status_code is StatusCode.ERROR
    assert call.status.description is None
    assert facts(call)["error.type"] == "ValidationError"
    (attempt,) = telemetry.children(call)
    assert attempt.status.status_code is StatusCode.ERROR
    (duration,) = telemetry.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "ValidationError"


def test_cancelled_call_is_no_error(server: LocalServer, rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    with server.hold():
        job = rw.submit.image_inference(**PICTURE)
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        job.cancel()
        (call,) = telemetry.wait_for(1)
    assert call.status.status_code is StatusCode.UNSET
    assert (facts(call)["runware.status"], facts(call)["error.type"]) == ("cancelled", "cancelled")


def test_duration_is_measured_for_each_operation_and_model(rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    for _ in range(2):
        rw.image_inference(**PICTURE)
    rw.model_search(search="flux")
    telemetry.wait_for(3)
    points = {point.attributes["gen_ai.operation.name"]: point for point in telemetry.points(DURATION)}
    assert points.keys() == {"generate_content", "modelSearch"}
    images = points["generate_content"]
    assert (images.count, images.attributes["gen_ai.request.model"]) == (2, MODEL)
    assert images.explicit_bounds[0] == 0.01
    assert images.explicit_bounds[-1] > 600
    assert telemetry.points("gen_ai.client.token.usage") == []


DURATION = "gen_ai.client.operation.duration"


def test_task_that_is_picked_up_is_polled_on_its_own_span(
    server: LocalServer, rw: Runware, telemetry: Telemetry
) -> None:
    telemetry.instrument(rw)
    (ref,) = rw.video_inference(positive_prompt="waves", model=VIDEO_MODEL, duration=5, skip_response=True)
    rw.job(ref).result(20)
    first, second = telemetry.wait_for(2)
    assert [one.name for one in telemetry.children(first)] == ["attempt 1"]
    assert telemetry.children(second) == []
    assert "runware.polled" in named(second)


# ---------------------------------------------------------------------- texts and apps

QUESTION: dict[str, Any] = {
    "model": TEXT_MODEL,
    "messages": [{"role": "user", "content": "A secret question"}],
    "include_cost": True,
    "include_usage": True,
}


def stream_in_loop(rw: Runware) -> None:
    async def main() -> None:
        async with rw.aio.stream_text(**QUESTION) as stream:
            await stream.result()

    asyncio.run(main())


@pytest.mark.parametrize(
    "talk",
    [
        lambda rw: rw.stream_text(**QUESTION).result(),
        lambda rw: rw.submit.stream_text(**QUESTION).result(20),
        stream_in_loop,
        lambda rw: rw.chat(model="local-model").stream("A secret question").result(),
    ],
    ids=["blocking", "job", "asyncio", "chat"],
)
def test_stream_has_tokens_and_the_time_of_its_first_piece(
    rw: Runware, telemetry: Telemetry, talk: Callable[[Runware], Any]
) -> None:
    telemetry.instrument(rw)
    with telemetry.tracer.start_as_current_span("mine") as mine:
        talk(rw)
    (call,) = telemetry.wait_for(1)
    assert telemetry.children(mine) == [call]
    shown = facts(call)
    assert call.name == f"chat {shown['gen_ai.request.model']}"
    assert shown["gen_ai.request.stream"] is True
    assert shown["gen_ai.usage.input_tokens"] > 0
    assert shown["gen_ai.usage.output_tokens"] > 0
    assert shown["runware.cost"] > 0
    duration = (call.end_time - call.start_time) / 1e9
    assert 0 < shown["gen_ai.response.time_to_first_chunk"] <= duration + 0.01  # another clock
    (attempt,) = telemetry.children(call)
    assert named(attempt) == ["runware.first_piece"]
    (first,) = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
    assert first.count == 1
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in telemetry.points(TOKENS)}
    assert tokens == {"input": shown["gen_ai.usage.input_tokens"], "output": shown["gen_ai.usage.output_tokens"]}


TOKENS = "gen_ai.client.token.usage"


def test_app_s_call_is_recorded_under_its_name(server: LocalServer, rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    server.app("my-upscaler", {"run": lambda payload: {"done": True}})
    with telemetry.tracer.start_as_current_span("mine") as mine:
        rw.submit.app("my-upscaler").call("run", {"x": 1}).result(20)
    (call,) = telemetry.wait_for(1)
    assert telemetry.children(mine) == [call]
    assert call.name == "serverless my-upscaler"
    assert [one.name for one in telemetry.children(call)] == ["attempt 1"]


# ---------------------------------------------------------------------- downloads


@pytest.mark.parametrize("how", ["save", "asave", "save_all"])
def test_download_is_a_child_of_the_code_that_saves(
    rw: Runware, telemetry: Telemetry, tmp_path: Path, how: str
) -> None:
    images = rw.image_inference(**PICTURE, number_results=2)
    telemetry.instrument(rw)
    with telemetry.tracer.start_as_current_span("mine") as mine:
        if how == "save":
            images[0].save(tmp_path)
        elif how == "asave":
            asyncio.run(images[0].asave(tmp_path))  # type: ignore[arg-type]
        else:
            images.save_all(tmp_path)
    downloads = telemetry.wait_for(2 if how == "save_all" else 1)
    assert telemetry.children(mine) == downloads
    for one in downloads:
        assert one.name == "download"
        assert facts(one)["http.response.body.size"] > 100
        assert facts(one)["runware.task.uuid"] == images[0].task_uuid
        assert "secret" not in one.to_json()


# ---------------------------------------------------------------------- content


def test_prompts_are_not_recorded(rw: Runware, telemetry: Telemetry) -> None:
    telemetry.instrument(rw)
    rw.image_inference(**PICTURE)
    rw.stream_text(**QUESTION).result()
    telemetry.wait_for(2)
    recorded = " ".join(span.to_json() for span in telemetry.spans)
    assert "secret" not in recorded
    assert "gen_ai.input" not in recorded


@pytest.mark.parametrize("by", ["option", "variable"])
def test_prompts_and_texts_are_recorded_on_request(
    rw: Runware, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "variable":
        monkeypatch.setenv(CAPTURE_VARIABLE, "span_only")
    telemetry.instrument(rw, **({"capture_content": True} if by == "option" else {}))
    rw.image_inference(**PICTURE)
    text = rw.stream_text(**QUESTION).result().text
    answer = rw.chat(model="local-model").send("A secret question").text
    image, stream, chat = map(facts, telemetry.wait_for(3))
    prompt = [{"role": "user", "parts": [{"type": "text", "content": "a secret lighthouse"}]}]
    question = [{"role": "user", "parts": [{"type": "text", "content": "A secret question"}]}]
    assert json.loads(image["gen_ai.input.messages"]) == prompt
    assert "gen_ai.output.messages" not in image
    for shown, said in ((stream, text), (chat, answer)):
        assert json.loads(shown["gen_ai.input.messages"]) == question
        (message,) = json.loads(shown["gen_ai.output.messages"])
        assert message["parts"] == [{"type": "text", "content": said}]


# ---------------------------------------------------------------------- switching it on and off


def test_client_can_be_instrumented_while_it_is_connected(rw: Runware, telemetry: Telemetry) -> None:
    rw.image_inference(**PICTURE)
    telemetry.instrument(rw)
    telemetry.instrument(rw)  # changes nothing
    rw.image_inference(**PICTURE)
    telemetry.wait_for(1)
    uninstrument(rw)
    uninstrument(rw)
    rw.image_inference(**PICTURE)
    assert not rw._core.io_loop().watched
    telemetry.instrument(rw)
    for same in (rw.aio, rw.with_options(timeout=5.0)):
        telemetry.instrument(same)  # type: ignore[arg-type]
    rw.image_inference(**PICTURE)
    telemetry.wait_for(2)


@contextlib.contextmanager
def everything_instrumented(telemetry: Telemetry) -> Iterator[RunwareInstrumentor]:
    instrumentor = RunwareInstrumentor()
    instrumentor.instrument(**telemetry.providers)
    try:
        yield instrumentor
    finally:
        instrumentor.uninstrument()


def test_instrumentor_covers_clients_made_before_and_after(server: LocalServer, telemetry: Telemetry) -> None:
    with Runware(server.api_key, url=server.url) as before:
        with everything_instrumented(telemetry) as instrumentor, Runware(server.api_key, url=server.url) as after:
            assert RunwareInstrumentor().is_instrumented_by_opentelemetry
            instrumentor.instrument(**telemetry.providers)  # changes nothing
            before.image_inference(**PICTURE)
            after.image_inference(**PICTURE)
            after.image_inference(**PICTURE, dry_run=True)
            telemetry.wait_for(3)
        before.image_inference(**PICTURE)
        assert not before._core.io_loop().watched
    assert not RunwareInstrumentor().is_instrumented_by_opentelemetry
    assert len([span for span in telemetry.spans if span.kind is SpanKind.CLIENT]) == 3


def test_entry_point_leads_to_the_instrumentor() -> None:
    found = entry_points(group="opentelemetry_instrumentor", name="runware")
    if not found:
        pytest.skip("the package is not installed here")
    (entry,) = found
    assert entry.load() is RunwareInstrumentor


def test_failing_exporter_disturbs_no_call(rw: Runware, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, *args: Any, **more: Any) -> trace.Tracer:
            tracer = super().get_tracer(*args, **more)

            def start_span(*_: Any, **__: Any) -> Any:
                raise RuntimeError("mine")

            tracer.start_span = start_span  # type: ignore[method-assign]
            return tracer

    instrument(rw, tracer_provider=Broken())
    assert rw.image_inference(**PICTURE)
    until(lambda: "a callback raised" in caplog.text)
    with pytest.raises(RunwareError):
        rw.image_inference(**{**PICTURE, "positive_prompt": "[error:invalidModel]"})


def test_nothing_of_it_is_loaded_unless_it_is_used() -> None:
    code = """
import sys
from runware import Runware
from runware.local import LocalServer
with LocalServer() as server, Runware(server.api_key, url=server.url) as rw:
    rw.image_inference(positive_prompt="a kite", model="runware:101@1")
print([name for name in sys.modules if name.startswith(("opentelemetry", "runware.integrations"))])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"


def test_missing_extra_is_named() -> None:
    code = """
import sys
sys.modules["opentelemetry"] = None
try:
    import runware.integrations.opentelemetry
except ModuleNotFoundError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'runware-client[otel]'" in ran.stdout
