"""What a stream does, decided without sockets and with a made-up clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware.errors import (
    AuthenticationError,
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    InsufficientCreditsError,
    NotFoundError,
    ProviderError,
    RateLimitError,
    RunwareError,
    ServerError,
    TaskCancelledError,
    TaskTimeoutError,
    ValidationError,
)
from runware.protocol.codec import structure
from runware.protocol.redaction import Redactor
from runware.protocol.retry import Retries
from runware.requests.plan import Plan
from runware.results import Results, Text, TextPiece
from runware.results.pieces import TextParts
from runware.text.exchange import (
    BrokenConnectionError,
    DeadlineError,
    Exchange,
    Open,
    Pieces,
    Read,
    Recover,
    Reply,
    Sleep,
)

A = "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
STREAM = Reply(200, "text/event-stream")
DONE = b"data: [DONE]\n\n"


def event(text: str | None = None, **more: Any) -> bytes:
    delta = {} if text is None else {"text": text}
    body = {"taskUUID": A, "taskType": "textInference", "delta": delta, "finishReason": None, **more}
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


class Late:
    """An answer that comes after some seconds; `Late(5)` alone is none."""

    def __init__(self, seconds: float, answer: Any = None) -> None:
        self.seconds = seconds
        self.answer = answer


class Desk:
    """An exchange whose steps are answered from lists.

    Args:
        replies: Answers to `Open`: a `Reply`, an error, or a `Late` one.
        chunks: Answers to `Read`.
        found: The answer to `Recover`.
    """

    def __init__(
        self,
        replies: Sequence[Any] = (STREAM,),
        chunks: Sequence[Any] = (),
        found: Any = None,
        *,
        timeout: float = 100.0,
        silence: float = 10.0,
        retries: int = 2,
    ) -> None:
        self.now = 1000.0
        self.replies, self.chunks = list(replies), list(chunks)
        self.found = NotFoundError("No such task.", code="taskNotFound") if found is None else found
        self.opened: list[Open] = []
        self.asked: list[Recover] = []
        self.slept: list[float] = []
        self.pieces: list[TextPiece] = []
        self.error: RunwareError | None = None
        body = json.dumps([{"taskType": "textInference", "taskUUID": A, "deliveryMethod": "stream"}]).encode()
        policy = Retries.of(retries, 2, 1.0)
        plan = Plan(A, body, "textInference", timeout, timeout, policy=policy, sent=body)
        self.exchange = Exchange(plan, silence, lambda: self.now, Redactor(["rw-secret-key"]))

    def run(self) -> Desk:
        steps = self.exchange.steps()
        outcome: Any = None
        failure: Exception | None = None
        try:
            while True:
                step = steps.send(outcome) if failure is None else steps.throw(failure)
                outcome = failure = None
                try:
                    outcome = self.perform(step)
                except Exception as error:
                    failure = error
        except StopIteration:
            pass
        except RunwareError as error:
            self.error = error
        return self

    def perform(self, step: Any) -> Any:
        match step:
            case Open():
                self.opened.append(step)
                return self.answer(self.replies.pop(0), step.until)
            case Read(until):
                return self.answer(self.chunks.pop(0) if self.chunks else b"", until)
            case Sleep(seconds):
                self.slept.append(seconds)
                self.now += seconds
                return None
            case Recover(_, timeout):
                self.asked.append(step)
                return self.answer(self.found, self.now + timeout)
            case Pieces(pieces):
                self.pieces += pieces
                return None
        raise AssertionError(step)

    def answer(self, answer: Any, until: float) -> Any:
        if isinstance(answer, Late):
            if self.now + answer.seconds > until:
                self.now = until
                raise DeadlineError
            self.now += answer.seconds
            answer = answer.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def uuids(self) -> list[str]:
        return [json.loads(opened.body)[0]["taskUUID"] for opened in self.opened]


def whole(text: str, **more: Any) -> Results[Any]:
    item = {"taskType": "textInference", "taskUUID": A, "text": text, "finishReason": "stop", "cost": 0.5, **more}
    return Results([structure(item, Text)])


def refused(code: str, message: str = "No.", **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **more}, "taskUUID": A}).encode()


class TestPieces:
    def test_stream_ends_with_its_announced_end(self) -> None:
        desk = Desk(chunks=[event("Hel"), event("lo") + event(finishReason="stop", cost=0.5), DONE, b"ignored"]).run()
        assert desk.error is None
        assert [piece.text for piece in desk.pieces] == ["Hel", "lo", ""]
        result = desk.exchange.text()
        assert (result.text, result.finish_reason, result.cost) == ("Hello", "stop", 0.5)
        assert desk.chunks == [b"ignored"]

    def test_unknown_parts_of_events_are_kept(self) -> None:
        odd = b'data: {"delta": {"text": "x", "odd": 1}, "strange": [2]}\n\n'
        desk = Desk(chunks=[odd, DONE]).run()
        assert desk.pieces[0].raw["delta"]["odd"] == 1
        result = desk.exchange.text()
        assert (result.raw["odd"], result.raw["strange"], result.task_uuid) == (1, [2], A)

    def test_events_of_other_types_are_pieces_without_text(self) -> None:
        desk = Desk(chunks=[b'data: {"delta": null}\n\ndata: {"delta": {"text": 5}}\n\n' + event("x"), DONE]).run()
        assert [piece.text for piece in desk.pieces] == ["", "", "x"]

    @pytest.mark.parametrize("sent", ["first", ["first"]])
    def test_reasoning_may_be_text_or_a_list(self, sent: Any) -> None:
        body = json.dumps({"delta": {"reasoningContent": sent}}).encode()
        desk = Desk(chunks=[b"data: " + body + b"\n\n", DONE]).run()
        assert desk.pieces[0].reasoning == "first"
        assert desk.exchange.text().reasoning == "first"

    def test_first_reason_for_the_end_counts(self) -> None:
        desk = Desk(chunks=[event("x", finishReason="length"), event(finishReason="unknown"), DONE]).run()
        assert desk.exchange.text().finish_reason == "length"

    @pytest.mark.parametrize(
        "more",
        [
            {"sources": [{"url": "https://a.example/", "title": "A"}]},
            {"delta": {"text": "x", "citations": [{"url": "https://a.example/", "title": "A"}]}},
            {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example/", "title": "A"}}]},
            {"groundingMetadata": {"groundingChunks": [{"web": {"uri": "https://a.example/", "title": "A"}}]}},
        ],
        ids=["sources", "citations", "annotations", "grounding"],
    )
    def test_sources_are_found_under_every_name(self, more: dict[str, Any]) -> None:
        again = b"data: " + json.dumps(more).encode() + b"\n\n"
        desk = Desk(chunks=[again + again, DONE]).run()
        (source,) = desk.exchange.text().sources
        assert (source.url, source.title) == ("https://a.example/", "A")

    def test_citation_that_is_only_a_url(self) -> None:
        desk = Desk(chunks=[b'data: {"citations": ["https://a.example/"]}\n\n', DONE]).run()
        assert desk.exchange.text().sources[0].url == "https://a.example/"

    @pytest.mark.parametrize(
        "parts",
        [
            [{"toolCalls": [{"id": "1", "name": "f", "input": '{"a"'}]}, {"toolCalls": [{"id": "1", "input": ": 1}"}]}],
            [{"tools": [{"id": "1", "name": "f", "input": '{"a"'}]}, {"tools": [{"input": ": 1}"}]}],
            [
                {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": ""}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}}]},
            ],
            [{"tools": [{"id": "1", "name": "f", "input": {"a": 1}}]}],
        ],
    )
    def test_parts_of_a_tool_call_are_put_together(self, parts: list[dict[str, Any]]) -> None:
        chunks = [b"data: " + json.dumps({"delta": part}).encode() + b"\n\n" for part in parts]
        desk = Desk(chunks=[*chunks, DONE]).run()
        (call,) = desk.exchange.text().tool_calls
        assert (call.id, call.name) == ("1", "f")
        found = call.input if isinstance(call.input, dict) else json.loads(call.input)
        assert found == {"a": 1}


class TestEnds:
    @pytest.mark.parametrize("end", [b"", BrokenConnectionError("reset"), b"data: {oops\n\n", b"data: 5\n\n"])
    def test_rest_is_taken_from_what_the_server_has(self, end: Any) -> None:
        desk = Desk(chunks=[event("Hel"), end], found=whole("Hello")).run()
        assert desk.error is None
        assert [piece.text for piece in desk.pieces] == ["Hel", "lo"]
        assert desk.exchange.text().cost == 0.5
        assert desk.asked[0].ref == {"task_uuid": A, "task_type": "textInference"}
        assert len(desk.opened) == 1

    def test_rest_of_the_reasoning_comes_too(self) -> None:
        thought = b'data: {"delta": {"reasoningContent": "Hm"}}\n\n'
        desk = Desk(chunks=[thought, b""], found=whole("Yes", reasoningContent="Hm, well")).run()
        assert desk.exchange.text().reasoning == "Hm, well"
        assert desk.text == "Yes"

    def test_end_after_the_reason_but_without_the_announcement_is_confirmed(self) -> None:
        desk = Desk(chunks=[event("Hello", finishReason="stop"), b""], found=whole("Hello")).run()
        assert desk.error is None
        assert desk.exchange.text().text == "Hello"
        assert isinstance(Desk(chunks=[event("Hello", finishReason="stop")]).run().error, ConnectionLostError)

    @pytest.mark.parametrize(
        "found",
        [
            NotFoundError("No such task.", code="taskNotFound"),
            TaskTimeoutError("Too late."),
            ConnectionFailedError("No connection."),
            RateLimitError("Slow down."),
            Results(),
        ],
        ids=lambda found: type(found).__name__,
    )
    def test_without_the_whole_text_the_error_has_what_came(self, found: Any) -> None:
        desk = Desk(chunks=[event("Hel"), BrokenConnectionError("reset by the server")], found=found).run()
        assert isinstance(desk.error, ConnectionLostError)
        assert desk.error.may_have_run
        assert [text.text for text in desk.error.results] == ["Hel"]
        assert "reset by the server" in str(desk.error)
        assert "Hel" not in desk.error.message

    def test_failure_of_the_task_is_raised_as_itself(self) -> None:
        failure = ProviderError("It failed.", code="timeoutProvider")
        desk = Desk(chunks=[event("Hel"), b""], found=failure).run()
        assert desk.error is failure
        assert desk.error.results[0].text == "Hel"

    def test_another_text_does_not_complete_the_stream(self) -> None:
        desk = Desk(chunks=[event("Hel"), b""], found=whole("Good bye")).run()
        assert isinstance(desk.error, ConnectionLostError)
        assert [text.text for text in desk.error.results] == ["Hel", "Good bye"]

    @pytest.mark.parametrize("form", ["errors", "error", "text"])
    def test_error_event_ends_the_stream(self, form: str) -> None:
        error: Any = {"code": "timeoutProvider", "message": "It failed for rw-secret-key."}
        body = {"errors": {"errors": [error]}, "error": {"error": error}, "text": {"error": "It failed."}}[form]
        desk = Desk(chunks=[event("Hel") + b"data: " + json.dumps(body).encode() + b"\n\n", event("lo")]).run()
        assert isinstance(desk.error, ServerError if form == "text" else ProviderError)
        assert "secret" not in str(desk.error) + repr(desk.error.raw)
        assert desk.error.results[0].text == desk.text == "Hel"
        assert desk.error.may_have_run
        assert not desk.asked
        assert len(desk.opened) == 1

    def test_empty_list_of_errors_is_no_error(self) -> None:
        assert Desk(chunks=[event("x", errors=[]), DONE]).run().error is None

    def test_error_in_place_of_the_first_piece_is_a_refusal(self) -> None:
        refusal = b'data: {"error": {"code": "timeoutProvider", "message": "No."}}\n\n'
        desk = Desk([STREAM, STREAM], [refusal, event("x"), DONE]).run()
        assert desk.error is None
        assert desk.text == "x"
        assert desk.uuids[0] != desk.uuids[1]
        desk = Desk(chunks=[refusal], retries=0).run()
        assert isinstance(desk.error, ProviderError)
        assert desk.error.results == ()
        assert not desk.error.may_have_run
        assert desk.error.task_uuid == A

    def test_closed_by_stream_client_or_fork(self) -> None:
        desk = Desk()
        assert isinstance(desk.exchange.closed_error("stream"), TaskCancelledError)
        assert "Nothing was sent" in str(desk.exchange.closed_error("client"))
        desk.run()
        for by in ("client", "fork"):
            error = desk.exchange.closed_error(by)
            assert isinstance(error, ClientClosedError)
            assert error.may_have_run


STORY = "Grüße aus ☃ und 🏔: all of it, and nothing twice."


@given(st.data())
def test_any_cut_of_any_stream_is_completed_without_a_gap_or_a_repetition(data: st.DataObject) -> None:
    newline = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    borders = sorted(data.draw(st.lists(st.integers(0, len(STORY)), max_size=6)))
    parts = [STORY[start:end] for start, end in zip([0, *borders], [*borders, len(STORY)], strict=True)]
    stream = b"".join(event(part).replace(b"\n", newline) for part in parts)
    stream += DONE.replace(b"\n", newline) if data.draw(st.booleans()) else b""
    stream = stream[: data.draw(st.integers(0, len(stream)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    end = data.draw(st.sampled_from([b"", BrokenConnectionError("reset")]))
    desk = Desk(chunks=[*filter(None, chunks), end], found=whole(STORY)).run()
    assert desk.error is None
    assert desk.text == desk.exchange.text().text == STORY


class TestTime:
    def test_ten_seconds_without_a_byte_end_the_stream(self) -> None:
        desk = Desk(chunks=[Late(9, event("a")), Late(9, event("b")), Late(11, event("c"))], found=whole("ab!")).run()
        assert desk.text == "ab!"
        assert desk.now == 1028.0

    def test_comments_count_as_life_for_five_times_as_long(self) -> None:
        pings = [Late(9, b": ping\n\n")] * 100
        desk = Desk(chunks=[event("a"), *pings]).run()
        assert isinstance(desk.error, ConnectionLostError)
        assert "No piece came for 50 s" in str(desk.error)
        desk = Desk(chunks=[event("a"), *pings[:5], event("b"), *pings[:5], event("c"), DONE], timeout=1000.0).run()
        assert desk.error is None

    @pytest.mark.parametrize("chunk", [event("a"), b": ping\n\n", b"x"])
    def test_deadline_bounds_the_whole_stream(self, chunk: bytes) -> None:
        desk = Desk(chunks=[Late(4, chunk)] * 1000, timeout=30.0).run()
        assert isinstance(desk.error, TaskTimeoutError)
        assert desk.error.may_have_run
        assert desk.now == 1030.0
        assert not desk.asked

    def test_time_to_ask_is_bounded_by_the_deadline(self) -> None:
        desk = Desk(chunks=[Late(8, event("a")), b""], timeout=12.0).run()
        assert desk.asked[0].timeout == 4.0
        assert Desk(chunks=[b""], timeout=1000.0).run().asked[0].timeout == 30.0

    def test_no_response_is_asked_about(self) -> None:
        desk = Desk([Late(50)], found=whole("Hello")).run()
        assert desk.text == "Hello"
        assert desk.now == 1010.0
        desk = Desk([Late(50)], timeout=5.0).run()
        assert isinstance(desk.error, TaskTimeoutError)
        assert desk.error.may_have_run

    def test_large_events_and_streams_are_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runware.text.exchange.MAX_RECEIVED", 1000)
        desk = Desk(chunks=[event("x" * 50)] * 1000).run()
        assert isinstance(desk.error, ConnectionLostError)
        assert "1,000 bytes" in str(desk.error)
        monkeypatch.undo()
        endless = [b"data: " + b"x" * 2**20] * 100
        assert "exceeds" in str(Desk(chunks=endless).run().error)


class TestAttempts:
    def test_connection_that_failed_is_tried_again_with_the_same_uuid(self) -> None:
        failure = ConnectionFailedError("No.")
        desk = Desk([failure, failure, STREAM], [event("x"), DONE]).run()
        assert desk.error is None
        assert desk.uuids == [A, A, A]
        desk = Desk([failure] * 3).run()
        assert isinstance(desk.error, ConnectionFailedError)
        assert not desk.error.may_have_run
        assert len(desk.opened) == 3
        assert len(Desk([failure], retries=0).run().opened) == 1

    @pytest.mark.parametrize("broken", [BrokenConnectionError("reset"), Late(20)])
    def test_request_that_may_have_arrived_is_never_sent_again(self, broken: Any) -> None:
        desk = Desk([broken, STREAM]).run()
        assert isinstance(desk.error, ConnectionLostError)
        assert desk.error.may_have_run
        assert desk.error.results == ()
        assert len(desk.opened) == 1
        assert len(desk.asked) == 1

    def test_refusal_gets_a_new_uuid(self) -> None:
        desk = Desk(
            [Reply(429, "application/json"), STREAM], [refused("rateLimitExceeded"), b"", event("x"), DONE]
        ).run()
        assert desk.error is None
        first, second = desk.uuids
        assert first == A != second == desk.exchange.uuid
        assert desk.exchange.attempts == (f"{A}: rateLimitExceeded",)

    @pytest.mark.parametrize(("asked", "seconds"), [(7.0, 7.0), (0.5, 0.5), (1_000_000.0, 60.0), (0.0, 0.0)])
    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_honoured_up_to_a_minute(self, status: int, asked: float, seconds: float) -> None:
        desk = Desk([Reply(status, "text/plain", asked), STREAM], [b"", event("x"), DONE], timeout=1000.0).run()
        assert desk.error is None
        assert seconds <= desk.slept[0] <= max(seconds, 0.1)
        assert desk.uuids == [A, A], "without the server's word, the task keeps its UUID"

    def test_retry_after_beyond_the_deadline_is_not_waited_for(self) -> None:
        desk = Desk([Reply(429, "application/json", 60.0)], [refused("rateLimitExceeded")], timeout=30.0).run()
        assert isinstance(desk.error, RateLimitError)
        assert not desk.slept

    @pytest.mark.parametrize(("status", "may_have_run"), [(429, False), (503, True)])
    def test_error_without_a_word_about_the_task_says_what_is_known(self, status: int, may_have_run: bool) -> None:
        desk = Desk([Reply(status, "text/plain")] * 3, [b"", b"", b""]).run()
        assert isinstance(desk.error, (RateLimitError, ServerError))
        assert desk.error.may_have_run is may_have_run
        assert len(desk.opened) == 3

    def test_conflict_after_an_unclear_refusal_means_that_it_runs(self) -> None:
        replies = [Reply(503, "text/plain"), Reply(400, "application/json")]
        chunks = [b"upstream unavailable", b"", refused("conflictTaskUUID"), b""]
        desk = Desk(replies, chunks, found=whole("Hello")).run()
        assert desk.text == "Hello"
        desk = Desk(replies, chunks).run()
        assert isinstance(desk.error, ConflictError)
        assert desk.error.may_have_run

    def test_conflict_of_the_first_attempt_is_an_error(self) -> None:
        desk = Desk([Reply(400, "application/json")], [refused("conflictTaskUUID")]).run()
        assert isinstance(desk.error, ConflictError)
        assert not desk.asked

    @pytest.mark.parametrize(
        ("status", "body", "cls"),
        [
            (400, refused("invalidModel"), ValidationError),
            (401, b"", AuthenticationError),
            (401, refused("invalidApiKey"), AuthenticationError),
            (402, b"<html>", InsufficientCreditsError),
            (403, b"", AuthenticationError),
            (404, b"not found", ServerError),
            (302, b"", ServerError),
            (200, refused("invalidModel"), ValidationError),
            (500, refused("somethingNew"), ServerError),
        ],
    )
    def test_refusals_are_typed_and_cost_nothing(self, status: int, body: bytes, cls: type[RunwareError]) -> None:
        desk = Desk([Reply(status, "text/html")], [body]).run()
        assert type(desk.error) is cls
        assert not desk.error.may_have_run
        assert desk.error.task_uuid == desk.exchange.uuid == A
        assert not desk.asked
        assert len(desk.opened) == 1

    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_status_without_a_word_about_the_task_is_asked_about(self, status: int) -> None:
        desk = Desk([Reply(status, "text/html")], [b"<html>"], found=whole("Hello")).run()
        assert desk.text == "Hello"
        desk = Desk([Reply(status, "text/html")], [b"<html>"]).run()
        assert isinstance(desk.error, ConnectionLostError)
        assert len(desk.opened) == 1

    def test_request_that_took_too_long_goes_on_at_the_server(self) -> None:
        desk = Desk([Reply(504, "application/json")], [refused("requestTimeout"), b""], found=whole("Hello")).run()
        assert desk.text == "Hello"
        desk = Desk([Reply(504, "application/json")], [refused("requestTimeout"), b""]).run()
        assert isinstance(desk.error, ProviderError)
        assert desk.error.may_have_run
        assert len(desk.opened) == 1

    @pytest.mark.parametrize("status", [408, 425, 500, 502])
    def test_error_of_a_gateway_is_no_word_about_the_task(self, status: int) -> None:
        """It names no task. A new attempt would buy the text a second time."""
        body = b'{"error": {"code": "internalServerError", "message": "No."}}'
        desk = Desk([Reply(status, "application/json"), STREAM], [body, b""], found=whole("Hello")).run()
        assert (desk.error, desk.text, len(desk.opened)) == (None, "Hello", 1)
        desk = Desk([Reply(status, "application/json"), STREAM], [body, b""]).run()
        assert desk.error is not None
        assert desk.error.may_have_run

    def test_503_of_a_gateway_keeps_the_uuid(self) -> None:
        body = b'{"error": {"code": "serviceUnavailable", "message": "No."}}'
        desk = Desk([Reply(503, "application/json"), STREAM], [body, b"", event("x"), DONE]).run()
        assert desk.error is None
        assert desk.uuids == [A, A]

    def test_refusal_of_the_rate_after_an_unclear_answer_keeps_the_uuid(self) -> None:
        replies = [Reply(503, "text/plain"), Reply(429, "application/json"), STREAM]
        desk = Desk(replies, [b"", refused("rateLimitExceeded"), b"", event("x"), DONE]).run()
        assert desk.error is None
        assert desk.uuids == [A, A, A]

    @pytest.mark.parametrize("then", [Reply(401, "text/plain"), ConnectionFailedError("No.", stage="TCP")])
    def test_error_after_an_unclear_answer_says_that_the_task_may_have_run(self, then: Any) -> None:
        desk = Desk([Reply(503, "text/plain"), then], [b"", b""], retries=1).run()
        assert type(desk.error) in (AuthenticationError, ConnectionFailedError)
        assert desk.error.may_have_run

    def test_answer_that_is_no_stream(self) -> None:
        items = [
            {"taskType": "authentication"},
            {"taskType": "textInference", "taskUUID": A, "text": "Hi", "cost": 1.5},
        ]
        reply = Reply(200, "application/json")
        desk = Desk([reply], [json.dumps({"data": items, "errors": []}).encode()]).run()
        assert (desk.error, desk.text, desk.exchange.text().cost) == (None, "Hi", 1.5)
        for body in (b'{"data": []}', b"{}", b"", b'{"data": [{"taskType": "textInference", "taskUUID": "x"}]}'):
            assert Desk([reply], [body], found=whole("Hello")).run().text == "Hello"
            assert isinstance(Desk([reply], [body]).run().error, ConnectionLostError)

    def test_response_without_an_end_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runware.text.exchange.MAX_REFUSAL", 1000)
        desk = Desk([Reply(400, "text/html")], [b"x" * 100] * 100).run()
        assert isinstance(desk.error, ConnectionLostError)
        desk = Desk([Reply(400, "text/html")], [Late(20)]).run()
        assert isinstance(desk.error, ConnectionLostError)


@pytest.mark.parametrize("handed", range(5))
def test_text_so_far_leaves_out_pieces_that_were_not_handed_over(handed: int) -> None:
    deltas = [{"reasoningContent": "so"}, {"text": "a", "reasoningContent": "!"}, {"text": ""}, {"text": "bc"}]
    pieces = [structure({"taskUUID": "1", "delta": delta}, TextPiece) for delta in deltas]
    text = TextParts(pieces).result(ahead=pieces[handed:])
    assert text.text == "".join(piece.text for piece in pieces[:handed])
    assert (text.reasoning or "") == "".join(piece.reasoning for piece in pieces[:handed])
