"""Results as return values and arguments of tasks, sent as JSON, between threads with a broker in memory."""

from __future__ import annotations

from celery import Celery
from celery.contrib.testing.worker import start_worker

from runware import Image, get_client
from runware.results import from_dict

app = Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"])


@app.task
def draw(prompt):
    return get_client().image_inference(positive_prompt=prompt, model="runware:101@1", width=512, height=512)


@app.task
def size(image):
    return len(from_dict(image).read())


with start_worker(app, pool="solo", perform_ping_check=False):
    (image,) = from_dict(draw.delay("a secret kite").get(timeout=60))
    assert isinstance(image, Image)
    assert "secret" not in image.to_json()
    assert size.delay(image).get(timeout=60) == len(image.read())
print("results and arguments over the JSON serializer")
