"""Traces and metrics for OpenTelemetry (extra `otel`), with its conventions for generative AI.

    from runware import Runware
    from runware.integrations.opentelemetry import instrument

    rw = Runware()
    instrument(rw)                       # this client
    RunwareInstrumentor().instrument()   # or every client of the process, as `opentelemetry-instrument` does

Spans are children of the span that was current where the call was made, in whichever thread or task that was. They are
made when a call ends, from its events, on the thread of the events: no call waits for an exporter.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from runware import events
from runware._version import __version__
from runware.core import attach_to_every_core, detach_from_new_cores
from runware.protocol.codec import dumps, loads

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context, get_current
except ModuleNotFoundError as missing:
    # The class of error by which `opentelemetry-instrument` skips a package that lacks something.
    raise ModuleNotFoundError(
        "runware.integrations.opentelemetry needs an extra: pip install 'runware-client[otel]'.", name=missing.name
    ) from missing

if TYPE_CHECKING:
    from runware.client import AsyncRunware, Runware
    from runware.core import Core

__all__ = ["RunwareInstrumentor", "instrument", "uninstrument"]

CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable by which instrumentations for generative AI are told to record prompts and answers in spans."""
_CAPTURING = frozenset(("true", "span_only", "span_and_event"))

_PROVIDER = "runware"
_OPERATIONS = {
    "textInference": "chat",
    "imageInference": "generate_content",
    "videoInference": "generate_content",
    "audioInference": "generate_content",
    "3dInference": "generate_content",
    "photoMaker": "generate_content",
}
"""The well-known names of operations. Others are called by their task type."""
_OUTPUTS = {
    "chat": "text",
    "textInference": "text",
    "imageInference": "image",
    "photoMaker": "image",
    "videoInference": "video",
    "audioInference": "audio",
    "3dInference": "3d",
}
_SECONDS = [
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
    327.68,
    655.36,
]
"""The recommended boundaries, and three more, as videos take minutes."""
_TOKENS = [4**power for power in range(14)]

Attributes = dict[str, Any]


def instrument(
    client: Runware | AsyncRunware,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    capture_content: bool | None = None,
) -> None:
    """Record traces and metrics of a client, and of all that share its connection, from now on.

    A client that is instrumented already stays as it is.

    Args:
        client: The client.
        tracer_provider: Where spans go. `None` uses the global one.
        meter_provider: Where measurements go. `None` uses the global one.
        capture_content: Record prompts and texts in spans. `None` reads the environment variable
            `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`, and defaults to `False`.
    """
    _Recorder(tracer_provider, meter_provider, capture_content).attach(client._core.whole)  # noqa: SLF001 - of this package


def uninstrument(client: Runware | AsyncRunware) -> None:
    """Record nothing more of a client."""
    _detach(client._core.whole)  # noqa: SLF001 - of this package


class RunwareInstrumentor:
    """Records traces and metrics of every client of this process, also of those that are made later.

    `opentelemetry-instrument` finds it by its entry point. All instances are one.
    """

    _recorder: ClassVar[_Recorder | None] = None

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether `instrument` was called."""
        return RunwareInstrumentor._recorder is not None

    def instrument(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        capture_content: bool | None = None,
        **_: Any,
    ) -> None:
        """Record from now on. Calling it again changes nothing.

        Args:
            tracer_provider: Where spans go. `None` uses the global one.
            meter_provider: Where measurements go. `None` uses the global one.
            capture_content: Record prompts and texts in spans, as for the function `instrument`.
        """
        if RunwareInstrumentor._recorder is None:
            recorder = RunwareInstrumentor._recorder = _Recorder(tracer_provider, meter_provider, capture_content)
            attach_to_every_core(recorder.attach)

    def uninstrument(self, **_: Any) -> None:
        """Record nothing more, of any client."""
        recorder, RunwareInstrumentor._recorder = RunwareInstrumentor._recorder, None
        if recorder is not None:
            detach_from_new_cores(recorder.attach)
            for core in list(_listeners):
                _detach(core)


_listeners: weakref.WeakKeyDictionary[Core, _Listener] = weakref.WeakKeyDictionary()
"""The listener of each client that is instrumented."""


def _detach(core: Core) -> None:
    listener = _listeners.pop(core, None)
    if listener is not None:
        core.unlisten(listener)


class _Recorder:
    """The instruments that clients share."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
        capture_content: bool | None,
    ) -> None:
        if capture_content is None:
            capture_content = os.environ.get(CAPTURE_VARIABLE, "").lower() in _CAPTURING
        self.capture_content = capture_content
        self.tracer = trace.get_tracer(__name__, __version__, tracer_provider)
        meter = metrics.get_meter(__name__, __version__, meter_provider)
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of calls, with retries.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.first_piece = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time until the first piece of a streamed text.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens of texts.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.cost = meter.create_counter("runware.client.cost", "{USD}", "Cost of results, as the server reports it.")
        self.retries = meter.create_counter("runware.client.retries", "{retry}", "Attempts after a failed one.")

    def attach(self, core: Core) -> None:
        """Listen to a client, unless it is instrumented already."""
        if core not in _listeners:
            listener = _listeners[core] = _Listener(self, core.options.url)
            core.listen(listener, (events.Resolved, events.Downloaded), content=self.capture_content)


class _Listener:
    """Turns the events of one client into spans and measurements. It has no state: each event holds all it needs."""

    def __init__(self, recorder: _Recorder, url: str) -> None:
        self._recorder = recorder
        parts = urlsplit(url)
        port = parts.port or (80 if parts.scheme in ("ws", "http") else 443)
        self._server: Attributes = {"server.address": parts.hostname or "", "server.port": port}

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Resolved):
            self._record_call(event)
        elif isinstance(event, events.Downloaded):
            self._record_download(event)

    # ------------------------------------------------------------------ calls

    def _record_call(self, end: events.Resolved) -> None:
        operation = _OPERATIONS.get(end.task_type, end.task_type or "job")
        common: Attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": _PROVIDER, **self._server}
        if end.model is not None:
            common["gen_ai.request.model"] = end.model
        failure = _error_type(end)
        first_piece = next((event for event in end.history if isinstance(event, events.FirstPiece)), None)
        parent = _parent(end)
        # The clocks of `at` and `elapsed` may drift apart, so the first event tells the start most exactly.
        first = end.history[0] if end.history else end
        span = self._recorder.tracer.start_span(
            f"{operation} {end.model}" if end.model else operation,
            parent,
            trace.SpanKind.CLIENT,
            attributes=common,
            start_time=_nanoseconds(first.at - first.elapsed),
        )
        context = trace.set_span_in_context(span, parent)
        if span.is_recording():
            span.set_attributes(_present(self._facts(end, first_piece)))
            self._record_attempts(span, context, end)
            _set_status(span, failure, failed=end.status == "failed")
        self._measure(end, {**common, **failure}, first_piece, context)
        span.end(_nanoseconds(end.at))  # last, so that whoever sees it finds the figures too

    def _facts(self, end: events.Resolved, first_piece: events.FirstPiece | None) -> Attributes:
        facts: Attributes = {
            "gen_ai.output.type": _OUTPUTS.get(end.task_type),
            "gen_ai.request.choice.count": end.total if end.total != 1 else None,
            "gen_ai.usage.input_tokens": end.input_tokens,
            "gen_ai.usage.output_tokens": end.output_tokens,
            "runware.task.type": end.task_type or None,
            "runware.task.uuid": end.task_uuid or None,
            "runware.status": end.status,
            "runware.results": end.completed,
            "runware.attempts": end.attempt,
            "runware.cost": end.cost,
            "runware.error.code": end.code,
        }
        if first_piece is not None:
            facts |= {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": first_piece.elapsed}
        if end.request is not None:
            facts |= {
                "gen_ai.input.messages": _json(_input_messages(end.request)),
                "gen_ai.output.messages": _json(_output_messages(end.response or ())),
            }
        return facts

    def _record_attempts(self, span: trace.Span, context: Context, end: events.Resolved) -> None:
        """Add a span for each attempt, with what happened in it as its events; before the first, to the call's span."""
        attempt: trace.Span | None = None
        for event in end.history:
            at = _nanoseconds(event.at)
            if isinstance(event, events.Sent) and attempt is None:
                attempt = self._start_attempt(context, event)
                continue
            target = span if attempt is None else attempt
            target.add_event(f"runware.{_event_name(event)}", _present(_event_facts(event)), at)
            if isinstance(event, events.Retrying) and attempt is not None:
                attempt.set_attributes(_present({"runware.error.code": event.code}))
                _set_status(attempt, {"error.type": event.error}, failed=True)
                attempt.end(at)
                attempt = None
        if attempt is not None:
            attempt.set_attributes(_present({"runware.error.code": end.code}))
            _set_status(attempt, _error_type(end), failed=end.status == "failed")
            attempt.end(_nanoseconds(end.at))

    def _start_attempt(self, context: Context, event: events.Sent) -> trace.Span:
        facts = {
            "runware.attempt": event.attempt,
            "runware.task.uuid": event.task_uuid or None,
            "runware.message.size": event.size,
        }
        return self._recorder.tracer.start_span(
            f"attempt {event.attempt}", context, attributes=_present(facts), start_time=_nanoseconds(event.at)
        )

    def _measure(
        self, end: events.Resolved, attributes: Attributes, first_piece: events.FirstPiece | None, context: Context
    ) -> None:
        recorder = self._recorder
        recorder.duration.record(end.elapsed, attributes, context)
        if first_piece is not None:
            recorder.first_piece.record(first_piece.elapsed, attributes, context)
        for kind, count in (("input", end.input_tokens), ("output", end.output_tokens)):
            if count is not None:
                recorder.tokens.record(count, {**attributes, "gen_ai.token.type": kind}, context)
        if end.cost is not None:
            recorder.cost.add(end.cost, attributes, context)
        if end.attempt > 1:
            recorder.retries.add(end.attempt - 1, attributes, context)

    # ------------------------------------------------------------------ downloads

    def _record_download(self, event: events.Downloaded) -> None:
        facts = {
            "server.address": event.host,
            "http.response.body.size": event.size,
            "runware.task.uuid": event.task_uuid,
        }
        span = self._recorder.tracer.start_span(
            "download",
            _parent(event),
            trace.SpanKind.CLIENT,
            attributes=_present(facts),
            start_time=_nanoseconds(event.at - event.elapsed),
        )
        failure = {} if event.error is None else {"error.type": event.error}
        _set_status(span, failure, failed=event.error not in (None, "cancelled"))
        span.end(_nanoseconds(event.at))


def _parent(event: events.TaskEvent | events.Downloaded) -> Context:
    """Return the OpenTelemetry context of the caller; an empty one makes a trace of its own."""
    # A copy, as another listener may be running code in the context itself.
    return Context() if event.context is None else event.context.copy().run(get_current)


def _error_type(end: events.Resolved) -> Attributes:
    if end.status == "succeeded":
        return {}
    return {"error.type": end.error or "cancelled"}


def _set_status(span: trace.Span, failure: Attributes, *, failed: bool) -> None:
    """Note a failure. A call that was cancelled is none. Error messages stay out, as they may repeat a prompt."""
    span.set_attributes(failure)
    if failed:
        span.set_status(trace.Status(trace.StatusCode.ERROR))


_EVENT_NAMES = {events.Sent: "sent_again", events.PartialResults: "partial_results", events.FirstPiece: "first_piece"}
_COMMON_FIELDS = frozenset(("at", "task_uuid", "task_type", "attempt", "elapsed", "model"))


def _event_name(event: events.TaskEvent) -> str:
    return _EVENT_NAMES.get(type(event), type(event).__name__.lower())


def _event_facts(event: events.TaskEvent) -> Attributes:
    return {f"runware.{name}": value for name, value in event.to_dict().items() if name not in _COMMON_FIELDS}


def _present(facts: Mapping[str, Any]) -> Attributes:
    return {name: value for name, value in facts.items() if value is not None}


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)


# ---------------------------------------------------------------------- prompts and texts, if they are wanted


def _json(messages: Sequence[Attributes]) -> str | None:
    return dumps(messages).decode() if messages else None


def _input_messages(request: bytes | Mapping[str, Any]) -> list[Attributes]:
    """Return the prompt or the messages of a request, without media, in the form of the conventions."""
    task: Any = request
    if isinstance(request, bytes):
        parsed = loads(request or b"{}")
        task = parsed[0] if isinstance(parsed, list) else parsed
    messages = task.get("messages")
    if isinstance(messages, list):
        return [
            {"role": message.get("role", "user"), "parts": _parts(_texts(message.get("content")))}
            for message in messages
            if isinstance(message, dict)
        ]
    prompt = task.get("positivePrompt") or task.get("prompt")
    return [{"role": "user", "parts": _parts([prompt])}] if isinstance(prompt, str) else []


def _output_messages(items: Iterable[Mapping[str, Any]]) -> list[Attributes]:
    messages: list[Attributes] = []
    for item in items:
        if texts := _texts(item.get("text")):
            reason = item.get("finishReason")
            messages.append({"role": "assistant", "parts": _parts(texts), "finish_reason": reason or "stop"})
    return messages


def _texts(content: object) -> list[str]:
    """Return the texts of a message, whose content may be a list of texts and media."""
    if isinstance(content, str):
        return [content] if content else []
    parts = content if isinstance(content, list) else []
    return [text for part in parts if isinstance(part, dict) and isinstance(text := part.get("text"), str)]


def _parts(texts: Sequence[str]) -> list[Attributes]:
    return [{"type": "text", "content": text} for text in texts]
