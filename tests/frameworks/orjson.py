"""Results as JSON of orjson."""

from __future__ import annotations

import orjson

from runware import Result, get_client
from runware.results import from_json

images = get_client().image_inference(positive_prompt="a secret kite", model="runware:101@1", width=512, height=512)
data = orjson.dumps({"images": images}, default=Result.to_dict)
assert b"secret" not in data
assert from_json(orjson.dumps(images, default=Result.to_dict)) == images
print("default=Result.to_dict")
