"""Results in the cells of marimo, which shows what they show in a notebook."""

from __future__ import annotations

import marimo

app = marimo.App()


@app.cell
def draw():
    from runware import get_client

    images = get_client().image_inference(
        positive_prompt="a kite", model="runware:101@1", width=512, height=512, number_results=2
    )
    images
    return (images,)


@app.cell
def table(images):
    found = images.to_dicts(api_names=False)
    return (found,)


outputs, names = app.run()
assert len(names["found"]) == 2
shown = marimo.as_html(names["images"][0]).text
assert names["images"][0].url in shown, shown
assert "img loading" in shown, shown
print("cells, and the view of a result")
