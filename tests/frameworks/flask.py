"""Results as JSON responses of views."""

from __future__ import annotations

import flask

from runware import Image, get_client
from runware.results import from_dict

app = flask.Flask(__name__)


@app.get("/images")
def images() -> flask.Response:
    made = get_client().image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512)
    return flask.jsonify(made.to_dicts())


@app.get("/page")
def page() -> str:
    made = get_client().image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512)
    return flask.render_template_string('<img src="{{ image.url }}" alt="{{ image.positive_prompt }}">', image=made[0])


client = app.test_client()
(image,) = from_dict(client.get("/images").get_json())
assert isinstance(image, Image)
assert image.read()
assert 'alt="a kite"' in client.get("/page").text
print("jsonify, a template")
