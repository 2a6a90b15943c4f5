"""Results as return values of jobs, which RQ pickles, with a Redis in memory."""

from __future__ import annotations

import sys

import fakeredis
from rq import Queue, SimpleWorker

from runware import Image, get_client


def draw(prompt):
    return get_client().image_inference(positive_prompt=prompt, model="runware:101@1", width=512, height=512)


sys.modules["shop"] = sys.modules["__main__"]  # jobs are found by the name of their module
redis = fakeredis.FakeStrictRedis()
queue = Queue(connection=redis)
job = queue.enqueue("shop.draw", "a kite")
assert SimpleWorker([queue], connection=redis).work(burst=True, logging_level="WARNING")
job.refresh()
(image,) = job.return_value()
assert isinstance(image, Image)
assert image.positive_prompt == "a kite"
assert image.read()
print("pickled results, with their request")
