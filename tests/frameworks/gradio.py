"""Results in an interface of Gradio, called by its own client."""

from __future__ import annotations

import gradio
from gradio_client import Client

from runware import get_client


def draw(prompt):
    (image,) = get_client().image_inference(positive_prompt=prompt, model="runware:101@1", width=512, height=512)
    return image.to_pil(), image.to_dict()


interface = gradio.Interface(draw, "text", ["image", "json"], api_name="draw")
_, url, _ = interface.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", share=False)
try:
    picture, facts = Client(url, verbose=False).predict("a kite", api_name="/draw")
    assert picture
    assert facts["imageURL"].startswith("http")
finally:
    interface.close()
print("an image and JSON")
