"""An asyncio service with traces and metrics: each request makes three images and a video, and its trace is printed.

python examples/opentelemetry_service.py --local                # loses the connection in the middle; the trace shows it
RUNWARE_API_KEY=... python examples/opentelemetry_service.py    # against the API; some cents

A real service sends its spans to a collector (OTLPSpanExporter) instead of keeping them in memory.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from runware import AsyncRunware

try:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
except ImportError as missing:
    print(
        f"skipped: this example needs OpenTelemetry ({missing}): pip install 'runware-client[otel]' opentelemetry-sdk"
    )
    sys.exit(0)

from runware.integrations.opentelemetry import instrument

exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracer_provider, meter_provider = TracerProvider(), MeterProvider([reader])
tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = tracer_provider.get_tracer("service")


async def serve(rw: AsyncRunware, subject: str) -> None:
    """Answer one request. The calls are children of its span, as they are made in its task, or in tasks of it."""
    with tracer.start_as_current_span("POST /story"):
        await asyncio.gather(
            *(
                rw.image_inference(positive_prompt=f"{subject}, {style}", model="runware:101@1", width=512, height=512)
                for style in ("woodcut", "watercolour", "linocut")
            ),
            rw.video_inference(positive_prompt=subject, model="bytedance:seedance@1.5-pro", duration=5),
        )


async def main(rw: AsyncRunware, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
    instrument(rw, tracer_provider=tracer_provider, meter_provider=meter_provider)
    async with rw:
        await asyncio.gather(serve(rw, "a lighthouse at dusk"), *([meanwhile()] if meanwhile else []))
    # The client is closed, so that every event has become a span.
    show()


def show() -> None:
    """Print the trace as a tree, and the costs that were measured."""
    spans = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def show_children(parent: int | None, indent: str) -> None:
        for span in spans:
            if getattr(span.parent, "span_id", None) == parent:
                print(f"{indent}{span.name}  {milliseconds(span)} ms{details(span)}")
                show_children(getattr(span.context, "span_id", 0), indent + "    ")

    show_children(None, "")
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for metric in resource.scope_metrics[0].metrics:
            if metric.name == "runware.client.cost":
                for point in metric.data.data_points:
                    model, cost = (point.attributes or {})["gen_ai.request.model"], getattr(point, "value", 0.0)
                    print(model, f"{cost:.4f} dollars", sep=": ")


def milliseconds(span: ReadableSpan) -> int:
    return ((span.end_time or 0) - (span.start_time or 0)) // 1_000_000


def details(span: ReadableSpan) -> str:
    cost = (span.attributes or {}).get("runware.cost")
    happened = [event.name.removeprefix("runware.") for event in span.events if event.name != "runware.polled"]
    return ("" if cost is None else f", {cost:.4f} dollars") + (f", {', '.join(happened)}" if happened else "")


if __name__ == "__main__":
    if "--local" in sys.argv:
        from runware.local import LocalServer

        with LocalServer() as server:
            server.hold()  # results are kept back until the connection was lost

            def lose_connection() -> None:
                server.ledger.wait_for(lambda ledger: ledger.held == 4)
                server.drop()
                server.release()

            client = AsyncRunware(server.api_key, url=server.url, include_cost=True)
            asyncio.run(main(client, lambda: asyncio.to_thread(lose_connection)))
    else:
        asyncio.run(main(AsyncRunware(include_cost=True)))
