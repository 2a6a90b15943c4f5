"""Webhooks: Runware posts each video when it is ready, and nothing has to wait or poll for it.

python examples/webhook_receiver.py --local                                      # try it here
WEBHOOK_SECRET=... uvicorn webhook_receiver:app --app-dir examples               # ASGI, or
WEBHOOK_SECRET=... gunicorn --chdir examples webhook_receiver:application        # WSGI

The program that starts the videos may be another one. It needs the same WEBHOOK_SECRET, to sign the URL of the webhook.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from wsgiref.simple_server import WSGIRequestHandler, make_server

import attrs

from runware import Runware, Video, VideoInference
from runware.webhooks import Delivery, WebhookReceiver, sign

SECRET = os.environ.get("WEBHOOK_SECRET") or secrets.token_urlsafe(32)


def handle(delivery: Delivery) -> None:
    """Take one result or error. It runs after the answer, and once, however often the delivery comes."""
    if delivery.error is not None:
        print(f"{delivery.task_uuid} failed: {delivery.error.message}")
    elif isinstance(delivery.result, Video):
        print(f"{delivery.task_uuid} is ready, seed {delivery.result.seed}: {delivery.result.url}")


receiver = WebhookReceiver(handle, secret=SECRET)
app = receiver.asgi
application = receiver.wsgi


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve the receiver on this machine, and give its URL. Anything but a trial needs a real server."""

    class Handler(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Log nothing."""

    with make_server("127.0.0.1", 0, application, handler_class=Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/webhook/"
        server.shutdown()
        thread.join()


def try_it(rw: Runware, url: str) -> None:
    clip = VideoInference(
        positive_prompt="waves at dusk", model="bytedance:seedance@1.5-pro", duration=5, number_results=2
    )
    (acknowledgement,) = rw.run(attrs.evolve(clip, webhook_url=sign(f"{url}?order=7", SECRET)))
    print(f"The call returned before the videos were made: {acknowledgement!r}")
    videos = receiver.expect(acknowledgement).result(30)
    print(f"Both were delivered: {len(videos)} videos")

    unsafe = attrs.evolve(clip, positive_prompt="waves [unsafe]", number_results=1, webhook_url=sign(url, SECRET))
    print(f"This one fails: {receiver.expect(rw.submit.run(unsafe)).exception(30)!r}")

    forged = json.dumps({"taskUUID": acknowledgement.task_uuid, "videoURL": "https://example.com/"}).encode()
    try:
        urllib.request.urlopen(f"{url}?order=7", forged, timeout=10)  # noqa: S310 - it is a server of this program
    except urllib.error.HTTPError as error:
        print(f"A forged delivery is answered with {error.code}: {error.read().decode().strip()}")
        error.close()


if __name__ == "__main__":
    if "--local" not in sys.argv:
        sys.exit("Run it with uvicorn or gunicorn (see above), or try it with --local.")
    from runware.local import LocalServer

    with LocalServer(delay=0.2, spread=0.1) as server, served() as hook:
        with Runware(server.api_key, url=server.url) as client:
            try_it(client, hook)
        receiver.close()  # waits for the handler
