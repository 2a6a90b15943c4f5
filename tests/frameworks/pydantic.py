"""Results as fields of models: written as JSON, and read from it."""

from __future__ import annotations

from pydantic import BaseModel, TypeAdapter, ValidationError

from runware import Image, Results, get_client


class Post(BaseModel):
    image: Image
    others: Results[Image]
    cover: Image | None = None


images = get_client().image_inference(
    positive_prompt="a secret kite", model="runware:101@1", width=512, height=512, number_results=2
)
post = Post(image=images[0], others=images)
text = post.model_dump_json()
assert "secret" not in text
again = Post.model_validate_json(text)
assert again == post
assert type(again.others) is Results
assert again.image.read()
assert Post.model_json_schema()["properties"]["others"]["type"] == "array"
adapter = TypeAdapter(Image)
assert adapter.validate_python(adapter.dump_python(images[0])) == images[0]
message = ""
try:
    Post.model_validate({"image": 5, "others": []})
except ValidationError as error:
    message = str(error)
assert "Image or a dict expected" in message
print("fields, JSON both ways, a schema")
