"""Results in a page of Streamlit, run by its own test tool."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

PAGE = """
import streamlit
from runware import get_client

prompt = streamlit.text_input("Prompt", "a kite")
if streamlit.button("Draw"):
    images = get_client().image_inference(
        positive_prompt=prompt, model="runware:101@1", width=512, height=512, number_results=2
    )
    streamlit.session_state["images"] = images
for image in streamlit.session_state.get("images", ()):
    streamlit.image(image.url, caption=image.positive_prompt)
if "images" in streamlit.session_state:
    streamlit.image(streamlit.session_state["images"][0].read())
    streamlit.dataframe(streamlit.session_state["images"].to_dicts(api_names=False))
    streamlit.json(streamlit.session_state["images"].to_dicts())
"""

page = AppTest.from_string(PAGE, default_timeout=60).run()
assert not page.exception
page.button[0].click().run()
assert not page.exception, page.exception
assert len(page.session_state["images"]) == 2
assert list(page.dataframe[0].value["url"]) == [image.url for image in page.session_state["images"]]
page.run()  # the results are kept between runs of the page
assert not page.exception
print("images, a table and JSON, kept in the session")
