"""User-style code: what type checkers infer of webhooks."""

from concurrent.futures import Future
from typing import Any, assert_type

from runware import Acknowledgement, Image, Result, Results, Runware, TaskError, Text, Video
from runware.webhooks import Delivery, PendingResults, WebhookReceiver, parse, sign

rw = Runware("key")


async def take(delivery: Delivery) -> None:
    assert_type(delivery.result, Result | None)
    assert_type(delivery.error, TaskError | None)
    if isinstance(delivery.result, Video):
        assert_type(delivery.result.url, str | None)


receiver = WebhookReceiver(take, secret="a secret of the tests", client=rw)
other = WebhookReceiver(print, secret=[b"new", "old"], client=rw.aio)


async def use() -> None:
    assert_type(parse(b"{}"), list[Delivery])
    url = sign("https://example.com/", b"a secret of the tests")
    job = rw.submit.image_inference(positive_prompt="x", webhook_url=url)
    assert_type(receiver.expect(job), PendingResults[Image])
    assert_type(receiver.expect(job).result(), Results[Image])
    assert_type(await receiver.expect(job), Results[Image])
    future: Future[Results[Image]] = receiver.expect(job)
    future.cancel()
    assert_type(receiver.expect(rw.submit.caption(input_image="x")), PendingResults[Text])
    (answer,) = rw.video_inference(positive_prompt="x", model="a:1@1", webhook_url=url)
    assert_type(receiver.expect(answer), PendingResults[Video])
    if isinstance(answer, Acknowledgement):
        assert_type(receiver.expect(answer), PendingResults[Any])
    assert_type(receiver.expect("0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01", results=2), PendingResults[Any])
