"""Webhooks: what is read from a body, tokens in URLs, and what a receiver answers, hands on and drops."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runware
from runware import (
    Acknowledgement,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    ContentModerationError,
    IncompleteResultsError,
    ProviderError,
    Results,
    Runware,
    TaskTimeoutError,
    ValidationError,
    WebhookError,
    WebhookTokenError,
)
from runware.local import LocalServer
from runware.protocol.ids import new_uuid
from runware.webhooks import Delivery, PendingResults, WebhookReceiver, parse, sign, verify
from runware.webhooks.memory import RecentKeys

from .conftest import until
from .support import A, B, image, video

SECRET = "a secret of the tests, long enough"
URL = "https://example.com/hook/?user=7&order=a%20b&flag"
CLIP: dict[str, Any] = {"positive_prompt": "waves at dusk", "model": "klingai:5@3", "duration": 5}
PICTURE: dict[str, Any] = {"positive_prompt": "a red kite", "model": "runware:101@1", "width": 512, "height": 512}
FAILURE = {"code": "timeoutProvider", "message": "The provider took too long.", "taskType": "videoInference"}
NAMED = {**FAILURE, "taskUUID": A}


class TestParse:
    @pytest.mark.parametrize("wrap", [lambda item: {"data": [item]}, lambda item: item, lambda item: [item]])
    @pytest.mark.parametrize("encode", [lambda body: json.dumps(body).encode(), json.dumps, lambda body: body])
    def test_wrapped_and_flat_bodies_give_the_same_result(self, wrap: Any, encode: Any) -> None:
        (delivery,) = parse(encode(wrap(video())))
        assert type(delivery.result) is runware.Video
        assert delivery.result.url == video()["videoURL"]
        assert (delivery.task_uuid, delivery.task_type, delivery.error) == (A, "videoInference", None)
        assert delivery.key == f"{A}:videoUUID:{video()['videoUUID']}"
        assert delivery.raw == video()
        assert [delivery] == parse(video(cost=0.1))

    @pytest.mark.parametrize(
        "body",
        [
            {"errors": [NAMED]},
            {"errors": NAMED},
            {"error": NAMED},
            {"data": [], "errors": [NAMED]},
            {"taskUUID": A, "taskType": "videoInference", "error": FAILURE},
            {"taskUUID": A, "taskType": "videoInference", "errors": [FAILURE]},
            {"taskUUID": A, "taskType": "videoInference", "status": "error", "error": FAILURE},
            {"taskUUID": A, "taskType": "videoInference", "status": "error", "error": [FAILURE]},
            {"data": [{"taskUUID": A, "taskType": "videoInference", "status": "error", "error": FAILURE}]},
            {**NAMED, "status": "error"},
            NAMED,
            {"data": [NAMED]},
        ],
    )
    def test_every_form_of_an_error_is_the_same_typed_error(self, body: Any) -> None:
        (delivery,) = parse(json.dumps(body))
        assert type(delivery.error) is ProviderError
        assert delivery.error.code == "timeoutProvider"
        assert delivery.error.message == FAILURE["message"]
        assert (delivery.task_uuid, delivery.error.task_uuid, delivery.result) == (A, A, None)
        assert delivery.task_type == "videoInference"

    def test_error_that_is_a_string_is_parsed(self) -> None:
        (delivery,) = parse({"taskUUID": A, "taskType": "caption", "status": "error", "error": "It broke."})
        assert delivery.error is not None
        assert (delivery.error.code, delivery.error.message) == ("taskFailed", "It broke.")

    def test_result_with_an_error_field_is_not_lost(self) -> None:
        for body in (video(error={"code": "x"}), {"data": [video(error=None)]}, video(error=None)):
            assert parse(body)[0].result is not None

    def test_several_items_in_one_post(self) -> None:
        items = [image(number=1), image(number=2), image(B)]
        found = parse({"data": items, "errors": [NAMED, {"code": "x", "message": "names no task"}]})
        assert [delivery.task_uuid for delivery in found] == [A, A, B, A]
        assert len({delivery.key for delivery in found}) == 4
        assert found[3].error is not None

    @pytest.mark.parametrize("more", [{"status": "processing", "progress": 40}, {"status": "queued"}, {}])
    def test_status_is_neither_result_nor_error(self, more: dict[str, Any]) -> None:
        (delivery,) = parse({"taskUUID": A, "taskType": "videoInference", **more})
        assert (delivery.result, delivery.error) == (None, None)

    @pytest.mark.parametrize(
        ("item", "cls"),
        [
            (image(), runware.Image),
            ({"taskType": "upscale", "taskUUID": A, "videoUUID": B, "videoURL": "u"}, runware.Video),
            ({"taskType": "audioInference", "taskUUID": A, "audioUUID": B, "audioBase64Data": "AA=="}, runware.Audio),
            ({"taskType": "3dInference", "taskUUID": A, "outputs": {"files": [{"uuid": B}]}}, runware.Model3D),
            ({"taskType": "textInference", "taskUUID": A, "text": "hi", "finishReason": "stop"}, runware.Text),
            ({"taskType": "training", "taskUUID": A, "air": "me:1@1"}, runware.TrainedModel),
            ({"taskType": "controlNetPreprocess", "taskUUID": A, "guideImageUUID": B}, runware.GuideImage),
            ({"taskType": "invented", "taskUUID": A, "newField": [1]}, runware.Result),
            ({"taskUUID": A, "imageURL": "https://im.runware.ai/x.png"}, runware.Image),
        ],
    )
    def test_results_have_the_class_that_calls_return(self, item: dict[str, Any], cls: type) -> None:
        (delivery,) = parse(item)
        assert type(delivery.result) is cls
        assert delivery.result is not None
        assert delivery.result.raw == item

    def test_keys_tell_results_of_a_task_apart(self) -> None:
        text = {"taskType": "textInference", "taskUUID": A, "text": "hi"}
        bodies = [image(), image(number=2), image(B), text, {**text, "text": "ho"}, NAMED, {**NAMED, "code": "other"}]
        keys = [parse(body)[0].key for body in bodies]
        assert len(set(keys)) == len(keys)
        assert keys == [parse({"data": [body]})[0].key for body in bodies]
        assert parse({"errors": [NAMED]})[0].key == parse({"error": NAMED})[0].key

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "is empty"),
            (b"<html>secret-word", r"is not JSON \(17 bytes\)"),
            ("\ud800", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b"5", "a number"),
            (b'"secret-word"', "a text"),
            (b"null", "null"),
            (b"true", "a boolean"),
            ({1, 2}, "a set"),
            (b"{}", "names no task"),
            (b"[]", "names no task"),
            (b'{"data": []}', "names no task"),
            (b'{"data": [{"taskUUID": "secret-word"}]}', "names no task"),
            (b'{"taskUUID": 7}', "names no task"),
            ({"errors": [FAILURE]}, "names no task"),
            ({"error": True, "errorMessage": "secret-word"}, "names no task"),
        ],
    )
    def test_garbage_is_a_typed_error_that_does_not_repeat_it(self, body: Any, why: str) -> None:
        with pytest.raises(WebhookError, match=why) as caught:
            parse(body)
        assert isinstance(caught.value, ValueError)
        assert caught.value.status == 400
        assert "secret-word" not in f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"

    def test_body_above_the_limit_raises(self) -> None:
        body = json.dumps(image())
        assert parse(body, max_size=len(body))
        with pytest.raises(WebhookError, match="bytes; the limit is") as caught:
            parse(body, max_size=len(body) - 1)
        assert caught.value.status == 413

    def test_object_that_refers_to_itself(self) -> None:
        circle: dict[str, Any] = {"taskUUID": A, "taskType": "textInference", "text": "x"}
        circle["again"] = circle
        with pytest.raises(WebhookError, match="nested too deeply"):
            parse(circle)

    def test_errors_hold_no_key_and_no_media(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-a-key-that-nobody-may-see")
        message = "bad key rw-a-key-that-nobody-may-see, image data:image/png;base64," + "A" * 5000
        (delivery,) = parse({"errors": [{**NAMED, "message": message}]})
        shown = f"{delivery!r}{delivery.error}{delivery.error and delivery.error.raw}{delivery.raw}"
        assert "nobody-may-see" not in shown
        assert "AAAA" not in shown

    def test_deliveries_pickle_and_show_no_prompt(self) -> None:
        for body in (image(positivePrompt="a private kite"), NAMED):
            (delivery,) = parse(body)
            assert pickle.loads(pickle.dumps(delivery)) == delivery
            assert "private" not in repr(delivery)

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["data", "errors", "error", "taskUUID", "taskType", "status", "imageUUID", "code", "message", "x"]
                ),
                inner | st.just(A),
                max_size=6,
            )
        ),
        max_leaves=25,
    )

    @given(json_values)
    def test_any_json_is_read_or_refused(self, body: Any) -> None:
        for given_body in (body, json.dumps(body), json.dumps(body).encode()):
            try:
                found = parse(given_body)
            except WebhookError:
                continue
            assert found
            for delivery in found:
                assert delivery.task_uuid.lower() == A
                assert delivery.result is None or delivery.error is None
                assert repr(delivery)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_refused(self, body: bytes) -> None:
        with pytest.raises(WebhookError):
            parse(body)


class TestTokens:
    def test_signed_url_keeps_its_parts_in_order(self) -> None:
        signed = sign(f"{URL}#top", SECRET)
        assert signed.startswith(f"{URL}&runware_token=")
        assert signed.endswith("#top")
        verify(signed, SECRET)
        parts = urlsplit(signed)
        verify(f"{parts.path}?{parts.query}", SECRET)
        verify(signed.replace("https://example.com", "http://10.0.0.1:8000"), SECRET)
        assert sign(signed, SECRET).count("runware_token") == 1

    @pytest.mark.parametrize(
        "url", ["http://h", "http://h/", "http://h?", "http://h/a%2Fb?x=%C3%A9", "http://h//a//b/?a=&b&&c=1=2;d"]
    )
    def test_url_of_any_form_can_be_signed_and_verified(self, url: str) -> None:
        verify(sign(url, SECRET), SECRET)

    def test_encoding_on_the_way_does_not_matter(self) -> None:
        signed = sign("http://h/caf%c3%a9/%7Ex?q=a%20b&r=%2f", SECRET)
        verify(signed.replace("%c3%a9", "é").replace("%7E", "~").replace("%20", "+").replace("%2f", "/"), SECRET)

    def test_characters_outside_ascii_are_encoded(self) -> None:
        signed = sign("http://h/café/?q=é%20è#ü", SECRET)
        assert signed.startswith("http://h/caf%C3%A9/?q=%C3%A9%20%C3%A8&runware_token=")
        assert signed.endswith("#%C3%BC")
        verify(signed, SECRET)
        assert sign("http://bücher.example/x", SECRET).startswith("http://bücher.example/x?")

    @pytest.mark.parametrize("url", [
        "/hook/\ud800?runware_token=1.2", "/hook/?runware_token=\udc80.2", "http://[bad/hook/?runware_token=1.2",
    ])  # fmt: skip
    def test_text_that_is_no_url_is_refused(self, url: str) -> None:
        with pytest.raises(WebhookTokenError) as caught:
            verify(url, SECRET)
        assert caught.value.reason == "changed"

    @pytest.mark.parametrize(
        "change",
        [
            ("user=7", "user=8"),
            ("/hook/", "/hook/x"),
            ("/hook/", "/hook"),
            ("&flag", ""),
            ("&flag", "&flag&more"),
            ("user=7&order=a%20b", "order=a%20b&user=7"),
            ("runware_token=1", "runware_token=2"),
            ("runware_token=", "runware_token=x"),
            ("runware_token=", "runware_token=0.AAAA&runware_token="),
            ("runware_token=1", "runware_token=é"),
        ],
    )
    def test_changed_url_is_refused(self, change: tuple[str, str]) -> None:
        signed = sign(URL, SECRET)
        assert change[0] in signed
        with pytest.raises(WebhookTokenError) as caught:
            verify(signed.replace(*change), SECRET)
        assert (caught.value.reason, caught.value.status) == ("changed", 403)
        assert SECRET not in str(caught.value)

    def test_every_character_of_the_token_counts(self) -> None:
        signed = sign("http://h/", SECRET)
        start = signed.index("token=") + len("token=")
        for at in range(start, len(signed)):
            other = signed[:at] + ("A" if signed[at] != "A" else "B") + signed[at + 1 :]
            with pytest.raises(WebhookTokenError):
                verify(other, SECRET)

    def test_missing_token_raises(self) -> None:
        for url in (URL, "/hook/", "", "?x=runware_token"):
            with pytest.raises(WebhookTokenError, match="not made by sign") as caught:
                verify(url, SECRET)
            assert caught.value.reason == "missing"

    def test_token_expires(self, monkeypatch: pytest.MonkeyPatch) -> None:
        signed, forever = sign(URL, SECRET, expires_in=60), sign(URL, SECRET, expires_in=None)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 59)
        verify(signed, SECRET)
        monkeypatch.setattr(time, "time", lambda: now + 62)
        verify(forever, SECRET)
        with pytest.raises(WebhookTokenError, match="expired") as caught:
            verify(signed, SECRET)
        assert caught.value.reason == "expired"
        later = signed.replace("runware_token=", "runware_token=9")
        with pytest.raises(WebhookTokenError) as caught:
            verify(later, SECRET)
        assert caught.value.reason == "changed"

    def test_secrets_can_be_rotated(self) -> None:
        old, new = b"the old secret, in bytes", "the new secret, as a text"
        verify(sign(URL, old), [new, old])
        verify(sign(URL, [new, old]), new)
        with pytest.raises(WebhookTokenError):
            verify(sign(URL, [new, old]), old)

    @pytest.mark.parametrize("secret", ["", "too short", b"x", [], [SECRET, "short"], None, 7, [None], {SECRET: 1}])
    def test_invalid_secret_raises(self, secret: Any) -> None:
        for use in (lambda: sign(URL, secret), lambda: verify(URL, secret)):
            with pytest.raises(ConfigurationError) as caught:
                use()
            assert caught.value.parameter == "secret"
            assert "short" not in str(caught.value).replace("shorter", "")

    @pytest.mark.parametrize("url", ["", "/hook", "ftp://h/", "http:///x", "http://[::1/", "http://h/a b", None, b"x"])
    def test_invalid_url_raises(self, url: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            sign(url, SECRET)
        assert caught.value.parameter == "url"

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "60"])
    def test_invalid_expires_in_raises(self, seconds: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            sign(URL, SECRET, expires_in=seconds)
        assert caught.value.parameter == "expires_in"

    texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)

    @given(texts, st.lists(st.tuples(texts, texts), max_size=4))
    def test_any_url_verifies_and_no_other_query_does(self, path: str, query: list[tuple[str, str]]) -> None:
        from urllib.parse import quote, urlencode

        signed = sign(f"https://h/{quote(path)}?{urlencode(query)}", SECRET)
        verify(signed, SECRET)
        assert [pair for pair in parse_qsl(urlsplit(signed).query, True) if pair[0] != "runware_token"] == query
        with pytest.raises(WebhookTokenError):
            verify(signed + "&more=1", SECRET)


class Site:
    """A receiver behind one of its three interfaces, and a server that posts to it."""

    def __init__(self, kind: str, receiver: WebhookReceiver) -> None:
        if kind == "django":
            pytest.importorskip("django")
        self.kind = kind
        self.receiver = receiver
        self.url = sign("https://example.com/hook/?user=7&name=Zoë%20a%2Fb", SECRET)

    def post(self, body: Any = b"", *, method: str = "POST", url: str | None = None, length: Any = None) -> int:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        parts = urlsplit(self.url if url is None else url)
        status = getattr(self, f"_{self.kind}")(method, parts, data, str(len(data)) if length is None else length)
        assert isinstance(status, int)
        return status

    def _asgi(self, method: str, parts: Any, data: bytes, length: str) -> int:
        return asyncio.run(asgi(self.receiver, method, parts, data, length))[0]

    def _wsgi(self, method: str, parts: Any, data: bytes, length: str) -> int:
        started: list[Any] = []
        environ = {
            "REQUEST_METHOD": method, "SCRIPT_NAME": parts.path[:3], "PATH_INFO": parts.path[3:],
            "QUERY_STRING": parts.query, "CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(data),
        }  # fmt: skip
        body = b"".join(self.receiver.wsgi(environ, lambda *args: started.append(args)))
        ((status, headers),) = started
        assert dict(headers)["Content-Length"] == str(len(body))
        return int(status[:3])

    def _django(self, method: str, parts: Any, data: bytes, length: str) -> int:
        from django.conf import settings
        from django.core.handlers.wsgi import WSGIRequest

        if not settings.configured:
            settings.configure(DEFAULT_CHARSET="utf-8", ALLOWED_HOSTS=["*"])
        environ = {
            "REQUEST_METHOD": method, "PATH_INFO": parts.path, "QUERY_STRING": parts.query, "CONTENT_LENGTH": length,
            "wsgi.input": io.BytesIO(data), "SERVER_NAME": "h", "SERVER_PORT": "80",
        }  # fmt: skip
        assert self.receiver.django_view.csrf_exempt  # type: ignore[attr-defined]
        return int(self.receiver.django_view(WSGIRequest(environ)).status_code)


async def asgi(
    receiver: WebhookReceiver, method: str, parts: Any, data: bytes, length: str, *, answered: Any = None
) -> tuple[int, bytes]:
    halves = [data[: len(data) // 2], data[len(data) // 2 :]]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": halves.pop(0), "more_body": bool(halves)}

    async def send(message: Any) -> None:
        sent.append(message)
        if answered is not None and message["type"] == "http.response.body":
            answered.set()

    scope = {
        "type": "http", "method": method, "path": parts.path, "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(), "headers": [(b"content-length", length.encode())],
    }  # fmt: skip
    await receiver.asgi(scope, receive, send)
    start, body = sent
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    return start["status"], body["body"]


KINDS = ["asgi", "wsgi", "django"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Inbox:
    """A handler that remembers, and can be told to fail."""

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        self.failures = 0
        self.changed = threading.Condition()

    def __call__(self, delivery: Delivery) -> None:
        with self.changed:
            if self.failures:
                self.failures -= 1
                raise RuntimeError("the disk is full")
            self.taken.append(delivery)
            self.changed.notify_all()

    def wait(self, count: int) -> list[Delivery]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, 20)
        return self.taken


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def site(kind: str, inbox: Inbox) -> Iterator[Site]:
    with WebhookReceiver(inbox, secret=SECRET, max_body=10_000) as receiver:
        yield Site(kind, receiver)


class TestReceiver:
    def test_each_delivery_is_handled_once(self, site: Site, inbox: Inbox) -> None:
        for body in (image(), {"data": [image()]}, image(number=2), NAMED, {"errors": [NAMED]}, image()):
            assert site.post(body) == 200
        site.receiver.close()
        assert len(inbox.taken) == 3
        assert sorted(delivery.key for delivery in inbox.wait(3)) == sorted(
            parse(body)[0].key for body in (image(), image(number=2), NAMED)
        )

    def test_statuses_of_running_tasks_are_not_handed_on(self, site: Site, inbox: Inbox) -> None:
        assert site.post({"taskUUID": A, "taskType": "videoInference", "status": "processing"}) == 200
        assert site.post(image()) == 200
        site.receiver.close()
        assert [delivery.result is not None for delivery in inbox.taken] == [True]

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
    def test_other_methods_than_post_get_405(self, site: Site, method: str) -> None:
        assert site.post(image(), method=method) == 405

    def test_forged_and_expired_tokens_get_403(
        self, site: Site, inbox: Inbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for url in (
            site.url.partition("&runware_token")[0],
            site.url.replace("user=7", "user=8"),
            sign(site.url, "another secret, long enough"),
        ):
            assert site.post(image(), url=url) == 403
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 100_000)
        assert site.post(image()) == 403
        site.receiver.close()
        assert inbox.taken == []
        assert "refused a delivery" in caplog.text
        assert SECRET not in caplog.text

    def test_body_above_the_limit_gets_413(self, site: Site, inbox: Inbox) -> None:
        assert site.post(b"x", length="10001") == 413
        assert site.post(b"x", length="9" * 40) == 413
        assert site.post(image(x="y" * 10_000)) == 413
        assert site.post(b"{}", length="-2") == 400
        assert inbox.taken == []

    @pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<html>", b"[]", b'{"taskUUID": "x"}', b"[" * 5000])
    def test_malformed_body_gets_400(self, site: Site, body: bytes) -> None:
        assert site.post(body) == 400

    def test_failing_handler_is_logged(self, site: Site, inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
        inbox.failures = 1
        assert site.post(image()) == 200
        assert site.post(image(number=2)) == 200
        site.receiver.close()
        assert f"the webhook handler failed for task {A}" in caplog.text
        assert "the disk is full" in caplog.text
        assert len(inbox.taken) == 1

    def test_confirmed_delivery_comes_again_until_it_is_handled(self, kind: str, inbox: Inbox) -> None:
        inbox.failures = 2
        with WebhookReceiver(inbox, secret=SECRET, confirm=True) as receiver:
            site = Site(kind, receiver)
            body = {"data": [image(), image(number=2)]}
            assert [site.post(body) for _ in range(4)] == [500, 200, 200, 200]
        assert sorted(delivery.key for delivery in inbox.taken) == sorted(one.key for one in parse(body))

    @pytest.mark.parametrize("confirm", [True, False])
    def test_delivery_without_a_thread_for_its_handler_may_come_again(
        self, kind: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, confirm: bool
    ) -> None:
        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with WebhookReceiver(inbox, secret=SECRET, confirm=confirm) as receiver:
            site = Site(kind, receiver)
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", fail)
                if kind == "asgi":  # which answers before the handler, unless it is to confirm
                    assert site.post(image()) == (500 if confirm else 200)
                    assert "no thread for the webhook handler" in caplog.text
                elif not confirm:
                    assert site.post(image()) == 503
            assert receiver._unhandled == 0
            assert site.post(image()) == 200
        assert [delivery.task_uuid for delivery in inbox.taken] == [A]

    def test_async_handler_receives_each_delivery_once(self, kind: str) -> None:
        taken: list[Delivery] = []

        async def handler(delivery: Delivery) -> None:
            await asyncio.sleep(0)
            taken.append(delivery)

        with WebhookReceiver(handler, secret=SECRET) as receiver:
            site = Site(kind, receiver)
            assert [site.post(body) for body in (image(), image(), NAMED)] == [200, 200, 200]
        assert len(taken) == 2

    def test_failing_async_handler_gets_500_and_is_logged(self, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        async def handler(delivery: Delivery) -> None:
            raise RuntimeError("the disk is full")

        with WebhookReceiver(handler, secret=SECRET, confirm=True) as receiver:
            assert Site(kind, receiver).post(image()) == 500
        assert "the disk is full" in caplog.text

    def test_receivers_may_share_the_memory_of_deliveries(self, kind: str, inbox: Inbox) -> None:
        class Table:
            def __init__(self) -> None:
                self.keys: set[str] = set()
                self.broken = False

            def add(self, key: str) -> bool:
                if self.broken:
                    raise OSError("the database is away")
                new = key not in self.keys
                self.keys.add(key)
                return new

            def discard(self, key: str) -> None:
                self.keys.discard(key)

        table = Table()
        with (
            WebhookReceiver(inbox, secret=SECRET, remember=table, confirm=True) as one,
            WebhookReceiver(inbox, secret=SECRET, remember=table, confirm=True) as other,
        ):
            inbox.failures = 1
            assert [Site(kind, one).post(image()), Site(kind, one).post(image())] == [500, 200]
            assert Site(kind, other).post(image()) == 200
            table.broken = True
            assert Site(kind, other).post(image(number=2)) == 500
            table.broken = False
            assert Site(kind, other).post(image(number=2)) == 200
        assert len(inbox.taken) == 2

    def test_without_a_secret_every_request_counts(self, kind: str, inbox: Inbox) -> None:
        with WebhookReceiver(inbox, secret=None) as receiver:
            assert Site(kind, receiver).post(image(), url="http://h/anything") == 200
        assert len(inbox.taken) == 1

    def test_path_that_a_proxy_changes(self, kind: str, inbox: Inbox) -> None:
        inner = sign("https://example.com/api/hook/", SECRET).replace("/api", "")
        with WebhookReceiver(inbox, secret=SECRET, path="/api/hook/") as receiver:
            assert Site(kind, receiver).post(image(), url=inner) == 200
            assert Site(kind, receiver).post(image(), url=inner + "x") == 403

    def test_answer_does_not_wait_for_the_handler(self, kind: str) -> None:
        go, taken = threading.Event(), threading.Event()

        def handler(delivery: Delivery) -> None:
            assert go.wait(20)
            taken.set()

        with WebhookReceiver(handler, secret=SECRET) as receiver:
            site = Site(kind, receiver)
            if kind == "asgi":

                async def main() -> None:
                    answered = asyncio.Event()
                    data = json.dumps(image()).encode()
                    call = asyncio.create_task(
                        asgi(receiver, "POST", urlsplit(site.url), data, str(len(data)), answered=answered)
                    )
                    await asyncio.wait_for(answered.wait(), 20)
                    assert not taken.is_set()
                    go.set()
                    assert (await call)[0] == 200

                asyncio.run(main())
            else:
                assert site.post(image()) == 200
                assert not taken.is_set()
                go.set()
            assert taken.wait(20)

    def test_delivery_that_is_being_confirmed_is_sent_away(self, kind: str) -> None:
        """A server that loses patience must not take the answer to its second attempt for that of the first."""
        inside, go = threading.Event(), threading.Event()

        def handler(delivery: Delivery) -> None:
            inside.set()
            assert go.wait(20)

        with WebhookReceiver(handler, secret=SECRET, confirm=True) as receiver:
            site = Site(kind, receiver)
            statuses: list[int] = []
            first = threading.Thread(target=lambda: statuses.append(site.post(image())))
            first.start()
            assert inside.wait(20)
            assert site.post(image()) == 503
            go.set()
            first.join(20)
            assert statuses == [200]
            assert site.post(image()) == 200

    def test_too_many_unhandled_deliveries_are_sent_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from runware.webhooks import receiver as module

        monkeypatch.setattr(module, "_MOST_UNHANDLED", 3)
        go = threading.Event()
        taken: list[Delivery] = []

        def handler(delivery: Delivery) -> None:
            assert go.wait(20)
            taken.append(delivery)

        with WebhookReceiver(handler, secret=SECRET, workers=1) as receiver:
            site = Site("wsgi", receiver)
            assert [site.post(image(number=number)) for number in range(5)] == [200, 200, 200, 503, 503]
            go.set()
            until(lambda: len(taken) == 3)
            until(lambda: site.post(image(number=4)) == 200)
            until(lambda: len(taken) == 4)

    def test_context_of_the_request_is_there_in_the_handler(self, kind: str) -> None:
        from contextvars import ContextVar

        variable: ContextVar[str] = ContextVar("variable", default="")
        seen: list[str] = []
        with WebhookReceiver(lambda _: seen.append(variable.get()), secret=SECRET) as receiver:
            token = variable.set("request 7")
            Site(kind, receiver).post(image())
            variable.reset(token)
        assert seen == ["request 7"]

    def test_asgi_servers_need_not_know_what_it_is(self) -> None:
        async def main(scope: dict[str, Any], *events: str) -> list[Any]:
            sent: list[Any] = []
            coming = list(events)

            async def receive() -> dict[str, Any]:
                return {"type": coming.pop(0)}

            async def send(message: Any) -> None:
                sent.append(message["type"])

            await WebhookReceiver(secret=SECRET).asgi(scope, receive, send)
            return sent

        assert asyncio.run(main({"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")) == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]
        assert asyncio.run(main({"type": "websocket"})) == ["websocket.close"]
        gone = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        gone["query_string"] = urlsplit(sign("http://h/", SECRET)).query.encode()
        assert asyncio.run(main(gone, "http.disconnect")) == []

    def test_delivery_whose_answer_cannot_be_sent_comes_again(self, inbox: Inbox) -> None:
        with WebhookReceiver(inbox, secret=SECRET) as receiver:

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": json.dumps(image()).encode()}

            async def send(message: Any) -> None:
                raise OSError("the connection is closed")

            query = urlsplit(Site("asgi", receiver).url).query.encode()
            scope = {"type": "http", "method": "POST", "path": "/hook/", "headers": [], "query_string": query}
            with pytest.raises(OSError, match="closed"):
                asyncio.run(receiver.asgi(scope, receive, send))
            assert inbox.taken == []
            assert Site("asgi", receiver).post(image()) == 200
        assert len(inbox.taken) == 1

    def test_wsgi_body_without_a_length(self, inbox: Inbox) -> None:
        with WebhookReceiver(inbox, secret=None, max_body=1000) as receiver:
            for more, status in (({}, "411"), ({"wsgi.input_terminated": True}, "200")):
                started: list[Any] = []
                data = io.BytesIO(json.dumps(image()).encode())
                environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": data, **more}
                receiver.wsgi(environ, lambda *args, started=started: started.append(args))
                assert started[0][0].startswith(status)
        assert len(inbox.taken) == 1

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("handler", 7), ("secret", "short"), ("max_body", 0), ("max_body", 1.5), ("remember", 0),
            ("remember", 1e9), ("workers", 0), ("poll_after", -1), ("poll_after", None),
        ],
    )  # fmt: skip
    def test_invalid_option_raises(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            WebhookReceiver(**{"secret": SECRET, name: value})
        assert caught.value.parameter == name

    def test_dropped_receiver_leaves_nothing_behind(self, inbox: Inbox) -> None:
        receiver = WebhookReceiver(inbox, secret=SECRET)
        Site("wsgi", receiver).post(image())
        inbox.wait(1)
        receiver.expect(B).cancel()
        ref = weakref.ref(receiver)
        del receiver
        until(lambda: gc.collect() >= 0 and ref() is None)
        until(lambda: not [one for one in threading.enumerate() if one.name.startswith("runware-webhook")])

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_receiver_works_in_a_forked_child(self) -> None:
        code = """
            import os, sys, threading
            sys.path.insert(0, sys.argv[1])
            from tests.test_webhooks import A, B, SECRET, Site, image
            from runware.errors import ClientClosedError
            from runware.webhooks import WebhookReceiver

            taken = []
            receiver = WebhookReceiver(taken.append, secret=SECRET)
            site = Site("wsgi", receiver)
            site.post(image())
            future, left = receiver.expect(A), receiver.expect(B)
            inside, go = threading.Event(), threading.Event()
            def hold():
                with receiver._lock, receiver._memory._lock, receiver._expectations._condition:
                    inside.set()
                    go.wait(20)
            holder = threading.Thread(target=hold)
            holder.start()
            inside.wait(20)
            pid = os.fork()
            if not pid:
                ok = site.post(image()) == site.post(image(number=2)) == 200
                waiting = receiver.expect(A, results=3)
                receiver.close()
                error = left.exception(20)
                ok = ok and type(error) is ClientClosedError and "forked" in str(error) and error.may_have_run
                os._exit(0 if ok and waiting.done() and len(taken) >= 1 else 3)
            go.set()
            holder.join()
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), future.done())
            """
        import textwrap

        root = os.path.dirname(os.path.dirname(__file__))
        result = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code), root],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        assert result.stdout == "0 True\n", result.stderr


def test_importing_runware_loads_no_webhooks() -> None:
    code = (
        "import sys, runware; assert 'runware.webhooks' not in sys.modules; runware.webhooks.parse;"
        "print([name for name in ('asyncio', 'django', 'runware.transport') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.fixture
def served(rw: Runware, server: LocalServer) -> Iterator[tuple[WebhookReceiver, str]]:
    """A receiver behind a server of its own, which asks the API for what is not delivered; and its signed URL."""
    server.configure(webhook_delay=0.01)
    with WebhookReceiver(secret=SECRET, client=rw) as receiver, serve(receiver) as url:
        yield receiver, url


@contextmanager
def serve(receiver: WebhookReceiver) -> Iterator[str]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            """Write no log."""

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    with make_server("127.0.0.1", 0, receiver.wsgi, Server, Quiet) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        yield sign(f"http://127.0.0.1:{web.server_port}/hook/?user=7", SECRET)
        web.shutdown()
        thread.join()


class TestExpect:
    """Results go to the code in this process that waits for them."""

    def receive(self, receiver: WebhookReceiver, *bodies: Any) -> None:
        site = Site("wsgi", receiver)
        for body in bodies:
            assert site.post(body) == 200

    @pytest.mark.parametrize("early", [True, False])
    def test_delivery_may_come_before_it_is_expected(self, early: bool) -> None:
        receiver = WebhookReceiver(secret=SECRET)
        bodies = image(), {"data": [image(number=3)]}, image(), image(number=2)
        if early:
            self.receive(receiver, *bodies)
        pending = receiver.expect(A, results=3)
        if not early:
            assert not pending.done()
            self.receive(receiver, *bodies)
        results = pending.result(0)
        assert type(results) is Results
        assert [one.url[-5:] for one in results] == ["1.png", "3.png", "2.png"]

    def test_results_may_be_partly_early(self) -> None:
        receiver = WebhookReceiver(secret=SECRET)
        self.receive(receiver, image())
        pending = receiver.expect(A.upper(), results=2)
        assert not pending.done()
        self.receive(receiver, image(B), image())
        assert not pending.done()
        self.receive(receiver, image(number=2))
        assert len(pending.result(0)) == 2
        assert receiver.expect(B).result(0)[0].task_uuid == B

    def test_expectation_raises_delivered_errors(self) -> None:
        receiver = WebhookReceiver(secret=SECRET)
        one, two = receiver.expect(A), receiver.expect(A, results=2)
        self.receive(receiver, NAMED)
        with pytest.raises(ProviderError) as caught:
            one.result(0)
        assert caught.value.task_uuid == A
        assert not two.done()
        self.receive(receiver, image())
        with pytest.raises(IncompleteResultsError, match="1 of 2 results arrived; the rest failed") as partly:
            two.result(0)
        assert len(partly.value.results) == len(partly.value.errors) == 1

    def test_kept_deliveries_are_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from runware.webhooks import expectations as module

        receiver = WebhookReceiver(secret=SECRET)
        kept = receiver._expectations._kept
        for number in range(1100):
            self.receive(receiver, image(new_uuid(), number))
        assert len(kept) == 1000
        monkeypatch.setattr(module, "_MOST_KEPT_BYTES", 5000)
        self.receive(receiver, image(text="x" * 2000), image(B, text="x" * 2000))
        assert len(kept) < 20
        assert receiver.expect(B).done()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 1000)
        self.receive(receiver, image(number=9))
        assert len(kept) == 1

    def test_timeout_of_a_wait_for_results_is_checked(self) -> None:
        pending = WebhookReceiver(secret=SECRET).expect(A)
        for wait in (pending.result, pending.exception):
            with pytest.raises(runware.ConfigurationError, match="timeout must be a number of seconds; got str"):
                wait("5")  # type: ignore[arg-type]
            with pytest.raises(TimeoutError):
                wait(0)
        pending.cancel()

    def test_expectation_times_out_with_the_results_so_far(self) -> None:
        receiver = WebhookReceiver(secret=SECRET)
        pending = receiver.expect(A, results=2, timeout=0.1)
        self.receive(receiver, image())
        with pytest.raises(TaskTimeoutError, match="1 of 2 results were delivered") as caught:
            pending.result(20)
        assert caught.value.may_have_run
        assert caught.value.ref == {"task_uuid": A}
        assert len(caught.value.results) == 1
        failing = receiver.expect(B, results=3, timeout=0.1)
        self.receive(receiver, {**NAMED, "taskUUID": B})
        with pytest.raises(IncompleteResultsError) as late:
            failing.result(20)
        assert late.value.may_have_run

    def test_the_thread_ends_with_the_last_expectation(self) -> None:
        receiver = WebhookReceiver(secret=SECRET)
        many = [receiver.expect(new_uuid(), timeout=1000.0 - number) for number in range(50)]
        assert sum(one.name == "runware-webhooks" for one in threading.enumerate()) >= 1
        for one in many:
            assert one.cancel()
        until(lambda: receiver._expectations._thread is None)
        assert len(receiver._expectations) == 0
        self.receive(receiver, image(many[0].task_uuid))

    def test_close_ends_what_is_expected(self) -> None:
        receiver = WebhookReceiver(secret=SECRET)
        pending = receiver.expect(A)
        assert "pending" in repr(pending)
        receiver.close()
        with pytest.raises(ClientClosedError) as caught:
            pending.result(0)
        assert caught.value.may_have_run
        assert "done" in repr(pending)

    @pytest.mark.parametrize("task", [None, 7, "x", [], [1, 2], {"task_uuid": A}])
    def test_invalid_task_raises(self, task: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            WebhookReceiver(secret=SECRET).expect(task)
        assert caught.value.parameter == "task"

    def test_invalid_results_and_timeout_raise(self) -> None:
        receiver = WebhookReceiver(secret=SECRET)
        for results in (0, -1, True, 1.5):
            with pytest.raises(ValidationError) as caught:
                receiver.expect(A, results=results)  # type: ignore[arg-type]
            assert caught.value.parameter == "results"
        for timeout in (0, -1, float("inf")):
            with pytest.raises(ConfigurationError):
                receiver.expect(A, timeout=timeout)

    def test_expectation_can_be_awaited(self) -> None:
        receiver = WebhookReceiver(secret=SECRET)

        async def main() -> None:
            pending = receiver.expect(A)
            for attempt in range(2):
                waiting = asyncio.ensure_future(asyncio.wait_for(asyncio.ensure_future(wait(pending)), 20))
                await asyncio.sleep(0)
                if not attempt:
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                    assert not pending.done()
            self.receive(receiver, image())
            assert len(await waiting) == 1

        async def wait(pending: PendingResults[Any]) -> Any:
            return await pending

        asyncio.run(main())

    # With the local server.

    @pytest.mark.parametrize("body", ["flat", "data"])
    @pytest.mark.parametrize("given", ["job", "done job", "acknowledgement", "list"])
    def test_expectation_returns_the_results_of_a_call(
        self, rw: Runware, server: LocalServer, served: tuple[WebhookReceiver, str], body: str, given: str
    ) -> None:
        receiver, url = served
        server.switch(webhook_body=body)
        server.configure(spread=0.01, result_order="shuffled")
        job = rw.submit.image_inference(**PICTURE, number_results=3, webhook_url=url, seed=5)
        if given != "job":
            acknowledged = job.result(20)
            assert type(acknowledged[0]) is Acknowledgement
        task: Any = {"acknowledgement": lambda: job.result()[0], "list": job.result}.get(given, lambda: job)()
        results = receiver.expect(task).result(20)
        assert sorted(one.seed for one in results) == [5, 6, 7]
        assert server.ledger.executed == 1
        assert server.ledger.polls(job.task_uuid) == 0

    def test_fifty_expected_tasks_complete(
        self, rw: Runware, server: LocalServer, served: tuple[WebhookReceiver, str]
    ) -> None:
        receiver, url = served
        pending = [receiver.expect(rw.submit.video_inference(**CLIP, webhook_url=url)) for _ in range(50)]
        found = {future.result(0)[0].uuid for future in as_completed(pending, 20)}
        assert len(found) == server.ledger.executed == 50

    def test_failed_submission_fails_what_is_expected(self, rw: Runware, served: tuple[WebhookReceiver, str]) -> None:
        receiver, url = served
        with pytest.raises(ValidationError) as caught:
            receiver.expect(rw.submit.video_inference(**{**CLIP, "duration": 0.5}, webhook_url=url)).result(20)
        assert caught.value.parameter == "duration"
        job = rw.submit.video_inference(**CLIP, webhook_url=url)
        pending = receiver.expect(job)
        if job.cancel():
            until(pending.done)
            assert pending.cancelled() or pending.result(0)  # a delivery may have been quicker

    def test_results_in_the_acknowledgement_need_no_delivery(
        self, rw: Runware, server: LocalServer, served: tuple[WebhookReceiver, str]
    ) -> None:
        receiver, url = served
        server.switch(acknowledgement="finished")
        assert receiver.expect(rw.submit.video_inference(**CLIP, webhook_url=url)).result(20)[0].url
        assert receiver.expect(rw.video_inference(**CLIP, webhook_url=url)).result(20)[0].url

    def test_uuid_of_a_later_attempt_counts(
        self, rw: Runware, server: LocalServer, served: tuple[WebhookReceiver, str]
    ) -> None:
        receiver, url = served
        clip = {**CLIP, "positive_prompt": "waves [rate-limit:1]"}
        job = rw.submit.video_inference(**clip, webhook_url=url, task_uuid=(first := new_uuid()))
        pending = receiver.expect(job)
        assert pending.result(20)[0].task_uuid != first
        assert pending.task_uuid == job.task_uuid

    def test_expectation_raises_errors_of_the_server(
        self, rw: Runware, server: LocalServer, served: tuple[WebhookReceiver, str]
    ) -> None:
        receiver, url = served
        clip = {**CLIP, "positive_prompt": "waves [unsafe]"}
        with pytest.raises(ContentModerationError):
            receiver.expect(rw.submit.video_inference(**clip, webhook_url=url)).result(20)
        # One error of three: it may be that of the whole task, so the server is asked at once.
        with pytest.raises(ContentModerationError):
            receiver.expect(rw.submit.video_inference(**clip, number_results=3, webhook_url=url)).result(20)
        clip = {**CLIP, "positive_prompt": "[fail:2] waves", "seed": 5}
        with pytest.raises(IncompleteResultsError) as caught:
            receiver.expect(rw.submit.video_inference(**clip, number_results=3, webhook_url=url)).result(20)
        assert sorted(one.seed for one in caught.value.results) == [5, 7]

    def test_task_whose_webhook_is_never_called_is_asked_for(self, rw: Runware, server: LocalServer) -> None:
        with WebhookReceiver(secret=SECRET, client=rw, poll_after=0.05) as receiver, server.hold():
            url = "http://127.0.0.1:9/nothing-listens-here"
            acknowledged = rw.video_inference(**CLIP, number_results=2, webhook_url=url)
            pending = receiver.expect(acknowledged)
            server.ledger.wait_for(lambda ledger: ledger.polls(pending.task_uuid))
            assert not pending.done()
            server.release()
            assert len(pending.result(20)) == 2
            assert server.ledger.executed == 1

    def test_empty_answer_to_a_poll_ends_no_expectation(self, rw: Runware, server: LocalServer) -> None:
        with WebhookReceiver(secret=SECRET, client=rw, poll_after=0.05) as receiver:
            pending = receiver.expect(A)
            server.ledger.wait_for(lambda ledger: ledger.polls(A))
            until(lambda: [entry.job for (entry,) in receiver._expectations._entries.values()] == [None])
            self.receive(receiver, image())
            assert len(pending.result(0)) == 1

    def test_question_while_the_task_is_submitted_ends_nothing(self) -> None:
        class Submitting:
            asked = 0

            def job(self, ref: str, *, timeout: float) -> Future[Any]:
                self.asked += 1
                answer: Future[Any] = Future()
                answer.set_exception(ConflictError("A task with this task_uuid is already running on this client."))
                return answer

        client: Any = Submitting()
        with WebhookReceiver(secret=SECRET, client=client, poll_after=0.01) as receiver:
            pending = receiver.expect(A)
            ((entry,),) = receiver._expectations._entries.values()
            until(lambda: client.asked and (pending.done() or entry.ask_at < entry.deadline))
            assert not pending.done()
            self.receive(receiver, image())
            assert len(pending.result(0)) == 1

    def test_closed_client_is_no_reason_to_stop_waiting(self, rw: Runware) -> None:
        rw.close()
        with WebhookReceiver(secret=SECRET, client=rw, poll_after=0.01) as receiver:
            pending = receiver.expect(A, timeout=0.2)
            with pytest.raises(TaskTimeoutError):
                pending.result(20)


def test_recent_keys_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = RecentKeys(10.0, most=3)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert [keys.add(key) for key in "abcab"] == [True, True, True, False, False]
    assert keys.add("d")
    assert len(keys) == 3
    assert keys.add("a")
    keys.discard("a")
    keys.discard("unknown")
    assert keys.add("a")
    now += 11
    assert keys.add("a")
    assert len(keys) == 1


class TestFaults:
    """Whatever the server does with its webhooks, each task is resolved once."""

    @pytest.mark.parametrize(
        "fault",
        [
            "W1:copies=2", "W2", "W2:order=reversed", "W3", "W4", "W6", "W6:form=processing", "W6:form=unknown-task",
            "W6:form=garbage",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("body", ["flat", "data"])
    def test_expectation_survives_faults_of_webhooks(
        self, rw: Runware, server: LocalServer, served: tuple[WebhookReceiver, str], fault: str, body: str
    ) -> None:
        receiver, url = served
        server.switch(webhook_body=body)
        server.configure(webhook_tries=2)
        server.play(fault)
        jobs = [rw.submit.image_inference(**PICTURE, number_results=2, webhook_url=url) for _ in range(5)]
        for pending in [receiver.expect(job) for job in jobs]:
            results = pending.result(20)
            assert len({one.uuid for one in results}) == 2
            assert {one.task_uuid for one in results} == {pending.task_uuid}
        assert server.ledger.executed == 5
        assert all(server.ledger.polls(job.task_uuid) == 0 for job in jobs)

    @pytest.mark.parametrize("form", ["errors", "error", "item", "data", "flat"])
    def test_error_in_every_form_of_the_server_is_raised(
        self, rw: Runware, server: LocalServer, served: tuple[WebhookReceiver, str], form: str
    ) -> None:
        receiver, url = served
        server.switch(webhook_error=form)
        job = rw.submit.video_inference(**{**CLIP, "positive_prompt": "waves [unsafe]"}, webhook_url=url)
        with pytest.raises(ContentModerationError) as caught:
            receiver.expect(job).result(20)
        assert caught.value.task_uuid == job.task_uuid
        assert caught.value.code == "invalidProviderContent"

    def test_lost_webhooks_are_replaced_by_polling(self, rw: Runware, server: LocalServer) -> None:
        server.play("W5", times=None)
        with WebhookReceiver(secret=SECRET, client=rw, poll_after=0.05) as receiver:
            job = rw.submit.video_inference(**CLIP, webhook_url=sign("http://127.0.0.1:9/", SECRET))
            assert receiver.expect(job).result(20)[0].url
        assert server.ledger.executed == 1

    def test_handler_that_fails_gets_the_delivery_again(self, server: LocalServer, rw: Runware, inbox: Inbox) -> None:
        server.configure(webhook_delay=0.01)
        inbox.failures = 2
        with WebhookReceiver(inbox, secret=SECRET, confirm=True) as receiver, serve(receiver) as url:
            rw.video_inference(**CLIP, webhook_url=url)
            assert inbox.wait(1)[0].result is not None
            server.ledger.wait_for(lambda ledger: ledger.webhooks[0]["delivered"])
        assert server.ledger.webhooks[0]["statuses"] == [500, 500, 200]
